/* SPDX-License-Identifier: MIT */
/*
 * inode_cache.c - the table of inodes in memory; see inode_cache.h.
 */
#include "fs/inode_cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/fs_impl.h"
#include "lsm/base/hash.h"

#define FIRST_BUCKETS 64

static uint64_t ino_hash(uint64_t ino)
{
	return hash_mix(ino, 0);
}

static struct cache_shard *shard_of(struct fs *fs, uint64_t ino)
{
	return &fs->cache.shards[ino_hash(ino) % CACHE_SHARDS];
}

static struct inode **bucket_of(struct cache_shard *s, uint64_t ino)
{
	size_t i = (ino_hash(ino) / CACHE_SHARDS) & (s->bucket_count - 1);

	return &s->buckets[i];
}

int inode_cache_init(struct inode_cache *c)
{
	int r = 0;

	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *s = &c->shards[i];

		mutex_init(&s->mutex);
		s->count = 0;
		s->bucket_count = FIRST_BUCKETS;
		s->buckets = calloc(FIRST_BUCKETS, sizeof(*s->buckets));
		if (!s->buckets)
			r = -ENOMEM;
	}
	return r;
}

static void inode_free(struct inode *inode)
{
	rwlock_destroy(&inode->lock);
	free(inode);
}

void inode_cache_release(struct inode_cache *c)
{
	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *s = &c->shards[i];

		for (size_t b = 0; s->buckets && b < s->bucket_count; b++) {
			struct inode *inode = s->buckets[b], *next;

			for (; inode; inode = next) {
				next = inode->next;
				inode_free(inode);
			}
		}
		free(s->buckets);
		mutex_destroy(&s->mutex);
	}
}

/* ---- the table; all with the shard's mutex held ---- */

static struct inode *find_locked(struct cache_shard *s, uint64_t ino)
{
	struct inode *inode = *bucket_of(s, ino);

	while (inode && inode->ino != ino)
		inode = inode->next;
	return inode;
}

static void grow_locked(struct cache_shard *s)
{
	size_t old_count = s->bucket_count;
	struct inode **old = s->buckets, **more;

	more = calloc(old_count * 2, sizeof(*more));
	if (!more)
		return; /* longer chains, nothing worse */
	s->buckets = more;
	s->bucket_count = old_count * 2;
	for (size_t b = 0; b < old_count; b++) {
		struct inode *inode = old[b], *next;

		for (; inode; inode = next) {
			struct inode **to = bucket_of(s, inode->ino);

			next = inode->next;
			inode->next = *to;
			*to = inode;
		}
	}
	free(old);
}

static void insert_locked(struct cache_shard *s, struct inode *inode)
{
	struct inode **b;

	if (s->count >= s->bucket_count)
		grow_locked(s);
	b = bucket_of(s, inode->ino);
	inode->next = *b;
	*b = inode;
	s->count++;
}

static void remove_locked(struct cache_shard *s, struct inode *inode)
{
	struct inode **p = bucket_of(s, inode->ino);

	while (*p != inode)
		p = &(*p)->next;
	*p = inode->next;
	s->count--;
}

/* ---- getting and putting ---- */

/* A new inode, referenced and write-locked. */
static struct inode *inode_alloc(uint64_t ino)
{
	int r;

	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->ino = ino;
	inode->refs = 1;
	rwlock_init(&inode->lock);
	/* Nobody else knows this lock yet: taking it waits for nobody, so the
	 * lock order does not matter. A try says just that, also to tools
	 * that watch the order. */
	r = pthread_rwlock_trywrlock(&inode->lock.l);
	assert(r == 0);
	(void)r;
	return inode;
}

uint64_t inode_rec_alloc_end(struct fs *fs, const struct inode_rec *rec)
{
	return rec->blocks ? fs_blocks(fs, rec->size) : 0;
}

static int inode_decode(struct fs *fs, struct inode *inode,
			struct lsm_slice value)
{
	int r = inode_rec_decode(value, &inode->rec);

	if (r)
		fs_log(fs, LSM_LOG_ERROR, "inode %llu: bad inode record",
		       (unsigned long long)inode->ino);
	else
		inode->alloc_end = inode_rec_alloc_end(fs, &inode->rec);
	return r;
}

/* Ends the loading of an inode that this thread inserted and holds locked. */
static void load_done(struct fs *fs, struct inode *inode, int error)
{
	if (error) {
		struct cache_shard *s = shard_of(fs, inode->ino);

		/* Out of the table, so that the next one tries again. */
		mutex_lock(&s->mutex);
		remove_locked(s, inode);
		mutex_unlock(&s->mutex);
		inode->error = error;
	}
	inode_wrunlock(inode);
}

static bool inode_in_table_locked(struct cache_shard *s, struct inode *inode)
{
	return find_locked(s, inode->ino) == inode;
}

/* Finds ino or inserts it empty and locked; *loading says which. */
static struct inode *find_or_insert(struct fs *fs, uint64_t ino, bool *loading)
{
	struct cache_shard *s = shard_of(fs, ino);
	struct inode *inode, *fresh = NULL;

	*loading = false;
	mutex_lock(&s->mutex);
	inode = find_locked(s, ino);
	if (!inode) {
		mutex_unlock(&s->mutex);
		fresh = inode_alloc(ino);
		if (!fresh)
			return NULL;
		mutex_lock(&s->mutex);
		inode = find_locked(s, ino);
		if (!inode) {
			insert_locked(s, fresh);
			mutex_unlock(&s->mutex);
			*loading = true;
			return fresh;
		}
	}
	inode->refs++;
	mutex_unlock(&s->mutex);
	if (fresh) {
		inode_wrunlock(fresh);
		inode_free(fresh);
	}
	return inode;
}

int inode_get(struct fs *fs, uint64_t ino, struct inode **out)
{
	struct lsm_pin pin = {0};
	struct inode *inode;
	bool loading;
	struct key k;
	int r;

	if (ino == 0 || ino > INO_MAX)
		return -ESTALE;
	inode = find_or_insert(fs, ino, &loading);
	if (!inode)
		return -ENOMEM;
	if (loading) {
		r = lsm_get(fs->db, NULL, key_ino(&k, ino, KEY_INODE), &pin);
		if (r == 0)
			r = inode_decode(fs, inode,
					 lsm_slice(pin.data, pin.len));
		else if (r == LSM_NOTFOUND)
			r = -ESTALE;
		lsm_unpin(&pin);
		load_done(fs, inode, r);
		if (r) {
			inode_put(fs, inode);
			return r;
		}
	}
	*out = inode;
	return 0;
}

int inode_get_group(struct fs *fs, const uint64_t *inos, size_t count,
		    struct inode **out)
{
	struct lsm_slice keys[INODE_GROUP];
	struct lsm_pin pins[INODE_GROUP] = {0};
	int results[INODE_GROUP];
	size_t at[INODE_GROUP], missing = 0;
	struct key storage[INODE_GROUP];
	int r = 0;

	assert(count <= INODE_GROUP);
	for (size_t i = 0; i < count; i++)
		out[i] = NULL;
	for (size_t i = 0; i < count; i++) {
		bool loading;

		out[i] = find_or_insert(fs, inos[i], &loading);
		if (!out[i]) {
			r = -ENOMEM;
			break;
		}
		if (!loading)
			continue;
		keys[missing] = key_ino(&storage[missing], inos[i], KEY_INODE);
		at[missing++] = i;
	}
	if (missing) /* the results tell more than the first error */
		(void)lsm_multi_get(fs->db, NULL, missing, keys, pins, results);
	for (size_t m = 0; m < missing; m++) {
		struct inode *inode = out[at[m]];
		int e = results[m];

		if (e == 0)
			e = inode_decode(fs, inode,
					 lsm_slice(pins[m].data, pins[m].len));
		else if (e == LSM_NOTFOUND)
			e = -ESTALE;
		lsm_unpin(&pins[m]);
		load_done(fs, inode, e);
		if (e) {
			inode_put(fs, inode);
			out[at[m]] = NULL;
		}
	}
	for (size_t i = 0; r && i < count; i++) {
		if (out[i])
			inode_put(fs, out[i]);
		out[i] = NULL;
	}
	return r;
}

struct inode *inode_find(struct fs *fs, uint64_t ino)
{
	struct cache_shard *s = shard_of(fs, ino);
	struct inode *inode;

	mutex_lock(&s->mutex);
	inode = find_locked(s, ino);
	if (inode)
		inode->refs++;
	mutex_unlock(&s->mutex);
	return inode;
}

/* Nobody else holds the inode: a deleted one gives its space back. The caller
 * keeps its reference. */
static void reclaim(struct fs *fs, struct inode *inode)
{
	int r;

	if (inode_wrlock(inode))
		return;
	r = orphan_reclaim(fs, inode->ino, &inode->rec);
	if (r)
		fs_log(fs, LSM_LOG_ERROR,
		       "inode %llu: its space is reclaimed at the next mount: "
		       "%s",
		       (unsigned long long)inode->ino, lsm_strerror(r));
	inode_kill(inode, -ESTALE);
}

void inode_put(struct fs *fs, struct inode *inode)
{
	struct cache_shard *s = shard_of(fs, inode->ino);
	bool last;

	mutex_lock(&s->mutex);
	/* With one reference and no lookup nobody else can be changing it. */
	while (inode->refs == 1 && inode->nlookup == 0 && !inode->error &&
	       inode->rec.nlink == 0 && !fs->read_only) {
		mutex_unlock(&s->mutex);
		reclaim(fs, inode);
		mutex_lock(&s->mutex);
	}
	assert(inode->refs > 0);
	last = --inode->refs == 0 && inode->nlookup == 0;
	if (last && inode_in_table_locked(s, inode))
		remove_locked(s, inode);
	mutex_unlock(&s->mutex);
	if (last)
		inode_free(inode);
}

void inode_ref_drop(struct fs *fs, struct inode *inode)
{
	struct cache_shard *s = shard_of(fs, inode->ino);

	mutex_lock(&s->mutex);
	assert(inode->refs > 1);
	inode->refs--;
	mutex_unlock(&s->mutex);
}

struct inode *inode_new(struct fs *fs, uint64_t ino,
			const struct inode_rec *rec)
{
	struct cache_shard *s = shard_of(fs, ino);
	struct inode *inode = inode_alloc(ino);

	if (!inode)
		return NULL;
	inode->rec = *rec;
	mutex_lock(&s->mutex);
	assert(!find_locked(s, ino));
	insert_locked(s, inode);
	mutex_unlock(&s->mutex);
	return inode;
}

void inode_kill(struct inode *inode, int error)
{
	inode->error = error;
	inode->dirty = false;
	inode_wrunlock(inode);
}

/* ---- lookup counts ---- */

void inode_lookup_add(struct fs *fs, struct inode *inode, uint64_t count)
{
	struct cache_shard *s = shard_of(fs, inode->ino);

	mutex_lock(&s->mutex);
	inode->nlookup += count;
	mutex_unlock(&s->mutex);
}

void inode_lookup_sub(struct fs *fs, struct inode *inode, uint64_t count)
{
	struct cache_shard *s = shard_of(fs, inode->ino);

	mutex_lock(&s->mutex);
	/* The count comes from outside; more than there were is all. */
	inode->nlookup -= count < inode->nlookup ? count : inode->nlookup;
	mutex_unlock(&s->mutex);
}

uint64_t inode_lookups(struct fs *fs, struct inode *inode)
{
	struct cache_shard *s = shard_of(fs, inode->ino);
	uint64_t n;

	mutex_lock(&s->mutex);
	n = inode->nlookup;
	mutex_unlock(&s->mutex);
	return n;
}

/* ---- the whole table ---- */

/* Takes a reference on each inode of a shard. *out is to be freed. */
static int shard_list(struct cache_shard *s, struct inode ***out, size_t *count)
{
	struct inode **all = NULL;
	size_t n = 0;
	int r = 0;

	mutex_lock(&s->mutex);
	if (s->count) {
		all = calloc(s->count, sizeof(*all));
		if (!all)
			r = -ENOMEM;
	}
	for (size_t b = 0; all && b < s->bucket_count; b++) {
		for (struct inode *p = s->buckets[b]; p; p = p->next) {
			p->refs++;
			all[n++] = p;
		}
	}
	mutex_unlock(&s->mutex);
	*out = all;
	*count = n;
	return r;
}

int inode_cache_forget(struct fs *fs)
{
	int r = 0;

	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *s = &fs->cache.shards[i];
		struct inode **all;
		size_t n;
		int e = shard_list(s, &all, &n);

		r = r ? r : e;
		for (size_t j = 0; j < n; j++) {
			mutex_lock(&s->mutex);
			all[j]->nlookup = 0;
			mutex_unlock(&s->mutex);
			inode_put(fs, all[j]);
		}
		free(all);
	}
	return r;
}

static int reload_one(struct fs *fs, struct inode *inode)
{
	struct lsm_pin pin = {0};
	struct key k;
	int r;

	rwlock_wrlock(&inode->lock);
	r = lsm_get(fs->db, NULL, key_ino(&k, inode->ino, KEY_INODE), &pin);
	if (r == 0) {
		r = inode_decode(fs, inode, lsm_slice(pin.data, pin.len));
		inode->error = r;
	} else if (r == LSM_NOTFOUND) {
		inode->error = -ESTALE;
		r = 0;
	}
	inode->dirty = false;
	lsm_unpin(&pin);
	rwlock_wrunlock(&inode->lock);
	return r;
}

int inode_cache_reload(struct fs *fs)
{
	int r = 0;

	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		struct inode **all;
		size_t n;
		int e = shard_list(&fs->cache.shards[i], &all, &n);

		r = r ? r : e;
		for (size_t j = 0; j < n; j++) {
			e = reload_one(fs, all[j]);
			r = r ? r : e;
			inode_put(fs, all[j]);
		}
		free(all);
	}
	return r;
}
