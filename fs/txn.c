/* SPDX-License-Identifier: MIT */
/*
 * txn.c - see txn.h. Each thread keeps one batch and its memory, so that
 * building a batch allocates nothing.
 */
#include "fs/txn.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fs/fs_impl.h"

/* What a thread keeps for itself: enough for any operation but writing. Larger
 * batches are shared, and there are no more of them than writers at one time,
 * or with many threads each would keep the memory of the largest write. */
#define BATCH_KEEP_BYTES   (64u << 10)
#define BATCH_SHARED_BYTES (4u << 20)
#define SHARED             2

static _Atomic(struct lsm_batch *) shared[SHARED];
static _Thread_local struct lsm_batch *mine;
static pthread_key_t batch_key;
static pthread_once_t batch_once = PTHREAD_ONCE_INIT;
static int batch_key_error;

static void batch_thread_end(void *batch)
{
	lsm_batch_free(batch);
}

static void batch_key_make(void)
{
	batch_key_error = -pthread_key_create(&batch_key, batch_thread_end);
}

static struct lsm_batch *shared_batch(void)
{
	struct lsm_batch *b = NULL;

	/* acquire: pairs with share_batch(), whose thread filled it last */
	for (int i = 0; i < SHARED && !b; i++)
		if (atomic_load_explicit(&shared[i], memory_order_relaxed))
			b = atomic_exchange_explicit(&shared[i], NULL,
						     memory_order_acquire);
	return b;
}

static void share_batch(struct lsm_batch *b)
{
	lsm_batch_clear(b);
	for (int i = 0; i < SHARED; i++) {
		struct lsm_batch *none = NULL;

		/* release: pairs with shared_batch() */
		if (atomic_compare_exchange_strong_explicit(
			    &shared[i], &none, b, memory_order_release,
			    memory_order_relaxed))
			return;
	}
	lsm_batch_free(b);
}

static struct lsm_batch *thread_batch(void)
{
	if (mine) {
		lsm_batch_clear(mine);
		return mine;
	}
	pthread_once(&batch_once, batch_key_make);
	if (batch_key_error)
		return NULL;
	mine = shared_batch();
	if (!mine)
		mine = lsm_batch_new();
	if (mine && pthread_setspecific(batch_key, mine)) {
		lsm_batch_free(mine);
		mine = NULL;
	}
	return mine;
}

void txn_end_large(struct txn *t)
{
	size_t bytes;

	if (!t->batch)
		return;
	assert(t->batch == mine);
	bytes = lsm_batch_size(mine);
	if (bytes <= BATCH_KEEP_BYTES)
		return;
	pthread_setspecific(batch_key, NULL);
	if (bytes <= BATCH_SHARED_BYTES)
		share_batch(mine);
	else
		lsm_batch_free(mine);
	mine = NULL;
	t->batch = NULL;
}

int txn_begin(struct txn *t, struct fs *fs)
{
	if (fs->read_only)
		return -EROFS;
	t->fs = fs;
	t->usages = 0;
	t->batch = thread_batch();
	return t->batch ? 0 : -ENOMEM;
}

void txn_put(struct txn *t, struct lsm_slice key, struct lsm_slice value)
{
	(void)lsm_batch_put(t->batch, key, value); /* lsm_write() says it */
}

void txn_delete(struct txn *t, struct lsm_slice key)
{
	(void)lsm_batch_delete(t->batch, key);
}

void txn_put_inode(struct txn *t, uint64_t ino, const struct inode_rec *rec)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	txn_put(t, key_ino(&k, ino, KEY_INODE),
		lsm_slice(v, inode_rec_encode(rec, v)));
}

void txn_usage(struct txn *t, uint64_t ino, int64_t units, int64_t inodes)
{
	if (units == 0 && inodes == 0)
		return;
	assert(t->usages < 2);
	t->usage[t->usages].ino = ino;
	t->usage[t->usages].units = units;
	t->usage[t->usages].inodes = inodes;
	t->usages++;
}

int txn_commit(struct txn *t)
{
	if (t->usages)
		return usage_commit(t->fs, t);
	return lsm_write(t->fs->db, t->batch, NULL);
}
