/* SPDX-License-Identifier: MIT */
/*
 * write.c - the commit pipeline.
 *
 *   pace       sleep as long as the tree's debt asks for (pace.c)
 *   append     write_mutex: room in the memtable, sequence numbers, the log
 *   apply      insert into the memtable: a large batch beside other writers,
 *              a small one still under write_mutex
 *   publish    wait until the predecessor is visible, then be visible
 *   sync       when asked for: one fdatasync for all who wait (wal_sync.c)
 *
 * A batch is visible before it is durable: whoever reads it before its writer
 * was acknowledged may lose it in a power failure, as with every write that
 * did not ask for a sync. In exchange no writer waits for another one's disk.
 *
 * Why small batches are applied under the mutex: visibility has an order, so a
 * writer that is descheduled between append and publish stops all behind it,
 * and they must be woken one by one, in order. Under the mutex the running
 * threads overtake a sleeping one instead. Four threads of 116-byte puts on two
 * busy cores: 53,000 a second side by side, 430,000 so; on idle cores neither
 * is ahead. A large batch has enough to insert to be worth the parallel way.
 *
 * room_bytes counts down the bytes appended until the memtable's size is looked
 * at again, so that a write does not have to add up the arena each time.
 *
 * A batch with many large values goes the way of direct.c: it comes here with
 * handles in their place.
 *
 * When the log refuses, the error is sticky and the sequence numbers of the
 * failed batch are published as empty, so that nobody waits for them and no
 * later batch gets them. When a batch cannot be applied to the memtable (no
 * memory), half of it may be there: visible then stays below it for good.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "lsm/db/db_impl.h"

/* Encoded single operations up to this size are built on the stack. */
#define SMALL_BATCH_BYTES 1024
/* Longer values of single puts are not copied into a batch. */
#define SMALL_VALUE_BYTES 512
/* Encoded batches from this size on are applied beside other writers. */
#define APPLY_BESIDE_BYTES (16u << 10)
#define LOCK_SPINS         100
#define PUBLISH_SPINS      100
#define PUBLISH_YIELDS     20
/* See has_enough_direct(). */
#define DIRECT_PART 16
#define SINGLE_PART 32

/* The lock is held for a fraction of a microsecond, and going to sleep costs
 * many times that: try for a while first. */
void db_lock_writers(struct lsm_db *db) NO_TSA
{
	for (unsigned i = 0; i < LOCK_SPINS; i++) {
		if (!pthread_mutex_trylock(&db->write_mutex.m))
			return;
		for (unsigned j = 0; j < 8; j++)
			cpu_relax();
	}
	mutex_lock(&db->write_mutex);
}

void db_set_error_locked(struct lsm_db *db, int err, const char *what)
{
	if (db_error(db))
		return;
	atomic_store_explicit(&db->bg_err, err, memory_order_relaxed);
	event_tell(db, (struct lsm_event){.kind = LSM_EVENT_BACKGROUND_ERROR,
					  .error = err});
	logger_printf(&db->log, LSM_LOG_ERROR,
		      "%s: %s; the store takes no more writes", what,
		      lsm_strerror(err));
	cond_broadcast(&db->done_cond);
	cond_broadcast(&db->work_cond);
	cond_broadcast(&db->timer_cond);
}

void db_set_error(struct lsm_db *db, int err, const char *what)
{
	mutex_lock(&db->mutex);
	db_set_error_locked(db, err, what);
	mutex_unlock(&db->mutex);
}

int db_switch_locked(struct lsm_db *db)
{
	struct superversion *sv = sv_alloc();
	struct db_wal *wal = NULL;
	struct db_mem *mem;
	int err;

	if (!sv)
		return -ENOMEM;
	err = db_wal_new(db, &wal);
	if (err)
		goto fail;
	mem = db_mem_new(db, wal->number, db->last_seq);
	if (!mem) {
		db_wal_put(db, wal);
		err = -ENOMEM;
		goto fail;
	}
	db_mem_charge(db->active, memtable_bytes(db->active->table));

	db->wal->closed = true;
	db->wal->next = wal;
	db->wal = wal;
	db->wal_failed = false;
	mutex_lock(&db->mutex);
	for (unsigned i = db->imm_count++; i > 0; i--)
		db->imm[i] = db->imm[i - 1];
	db->imm[0] = db->active;
	db->active = mem;
	sv_install_locked(db, sv, mem);
	pace_update_locked(db);
	background_wake_locked(db);
	mutex_unlock(&db->mutex);
	return 0;
fail:
	free(sv);
	return err;
}

/* What keeps the memtable from being switched, or 0 when nothing does any
 * more; waits with db->mutex. */
static int wait_for_room_locked(struct lsm_db *db) REQUIRES(db->mutex)
{
	background_wake_locked(db);
	for (;;) {
		bool full = db->imm_count + 1 >= db->opt.write_buffer_count;
		bool deep = db->vs.current->count[0] >= db->opt.level0_stop &&
			    !db->opt.no_background_compaction;

		if (db_error(db))
			return db_error(db);
		if (!full && !deep)
			return 0;
		if (full && db->flush_err)
			return db->flush_err;
		if (deep && db->compact_err)
			return db->compact_err;
		event_stall(db, true);
		cond_wait(&db->done_cond, &db->mutex);
	}
}

/* Gives up write_mutex while it waits, so everything may have changed. */
static int wait_for_room(struct lsm_db *db) REQUIRES(db->write_mutex)
{
	uint64_t start = clock_ns();
	int err;

	mutex_unlock(&db->write_mutex);
	mutex_lock(&db->mutex);
	err = wait_for_room_locked(db);
	mutex_unlock(&db->mutex);
	atomic_fetch_add_explicit(&db->stall_ns, clock_ns() - start,
				  memory_order_relaxed);
	mutex_lock(&db->write_mutex);
	return err;
}

/* How much may be appended before the memtable is looked at again. */
static int64_t room_step(const struct lsm_db *db)
{
	uint64_t step = db->opt.write_buffer_bytes / 16;

	return (int64_t)(step < 65536 ? step : 65536);
}

static bool can_switch(struct lsm_db *db)
{
	bool ok;

	mutex_lock(&db->mutex);
	ok = db->imm_count + 1 < db->opt.write_buffer_count &&
	     (db->vs.current->count[0] < db->opt.level0_stop ||
	      db->opt.no_background_compaction);
	mutex_unlock(&db->mutex);
	return ok;
}

static uint64_t clamp(uint64_t v, uint64_t least, uint64_t most)
{
	return v < least ? least : v > most ? most : v;
}

/*
 * Whether bulk writes have put enough values beside the memtable. Dead ones
 * among them, and those that they overwrite, are found out when it is flushed:
 * so one file of them, and more in a large store only. Values that came one by
 * one are likely to overwrite others: of them no more than a memtable holds.
 */
static bool has_enough_direct(struct lsm_db *db, const struct db_mem *m)
{
	uint64_t file = db->opt.blob_file_bytes, live;
	uint64_t least = db->opt.write_buffer_bytes;

	mutex_lock(&db->mutex);
	live = db->vs.current->blob_live_bytes;
	mutex_unlock(&db->mutex);
	if (least > file)
		least = file;
	return m->direct_bytes >= clamp(live / DIRECT_PART, file, 4 * file) ||
	       m->single_bytes >= clamp(live / SINGLE_PART, least, 4 * file);
}

static int make_room_locked(struct lsm_db *db, size_t bytes)
	REQUIRES(db->write_mutex)
{
	for (;;) {
		uint64_t used;
		bool last;
		int err = db_error(db);

		if (err)
			return err;
		if (db->room_bytes > 0)
			break;
		used = memtable_bytes(db->active->table);
		db_mem_charge(db->active, used);
		if ((used < db->opt.write_buffer_bytes &&
		     !has_enough_direct(db, db->active)) ||
		    memtable_empty(db->active->table)) {
			mutex_lock(&db->mutex);
			last = db->imm_count + 1 >= db->opt.write_buffer_count;
			mutex_unlock(&db->mutex);
			pace_update_mem(db, last, used);
			db->room_bytes = room_step(db);
			break;
		}
		if (can_switch(db))
			err = db_switch_locked(db);
		else
			err = wait_for_room(db);
		if (err)
			return err;
	}
	db->room_bytes -= (int64_t)bytes;
	return 0;
}

/* Waits until the sequence before first is visible, then makes last so. */
static int publish(struct lsm_db *db, uint64_t first, uint64_t last)
{
	unsigned spins = 0;
	bool halted = false;

	/* acquire: pairs with the store below in the predecessor, whose
	 * entries a reader of our sequence number must see too. */
	while (atomic_load_explicit(&db->visible, memory_order_acquire) !=
	       first - 1) {
		if (spins < PUBLISH_SPINS) {
			cpu_relax();
		} else if (spins < PUBLISH_SPINS + PUBLISH_YIELDS) {
			sched_yield();
		} else {
			mutex_lock(&db->publish_mutex);
			/* seq_cst: pairs with the store of visible and the load
			 * of publish_waiters below; one of us sees the other.
			 */
			atomic_fetch_add(&db->publish_waiters, 1);
			while (atomic_load(&db->visible) != first - 1 &&
			       !atomic_load(&db->halted))
				cond_wait(&db->publish_cond,
					  &db->publish_mutex);
			atomic_fetch_sub(&db->publish_waiters, 1);
			halted = atomic_load(&db->visible) != first - 1;
			mutex_unlock(&db->publish_mutex);
			if (halted)
				return db_error(db);
		}
		spins++;
	}
	atomic_store(&db->visible, last);
	if (atomic_load(&db->publish_waiters)) {
		mutex_lock(&db->publish_mutex);
		cond_broadcast(&db->publish_cond);
		mutex_unlock(&db->publish_mutex);
	}
	return 0;
}

/* A batch is in the log and perhaps half in the memtable: nothing from it on
 * can ever become visible in this process. */
static void halt(struct lsm_db *db, int err)
{
	db_set_error(db, err, "applying a batch");
	atomic_store(&db->halted, true);
	mutex_lock(&db->publish_mutex);
	cond_broadcast(&db->publish_cond);
	mutex_unlock(&db->publish_mutex);
}

/* What goes to the log: an encoded batch, or that of a single put without its
 * value, which is not copied before it is in the log and the memtable. */
struct rep {
	uint8_t *data;
	size_t len;
	struct lsm_slice key, value; /* of the single put; NULL: none */
};

static int append_locked(struct lsm_db *db, const struct rep *rep,
			 uint64_t first) REQUIRES(db->write_mutex)
{
	uint64_t end;
	int err;

	put_le64(rep->data, first);
	err = wal_writer_append(db->wal->writer, lsm_slice(rep->data, rep->len),
				rep->value, &end);
	if (err) {
		db->wal_failed = true;
		db_set_error(db, err, "appending to the log");
	}
	return err;
}

/* Inserts and publishes a batch that was appended; append_err: it was not, and
 * only its sequence numbers are published, as empty. */
static int apply(struct lsm_db *db, struct db_mem *mem, const struct rep *rep,
		 uint64_t first, uint64_t last, int append_err)
{
	int err = 0;

	if (!append_err && rep->value.data)
		err = memtable_put(mem->table, rep->key,
				   tag_make(first, KIND_PUT), rep->value);
	else if (!append_err)
		err = memtable_apply(mem->table,
				     lsm_slice(rep->data, rep->len));
	if (err) {
		/* inflight stays: the memtable is never flushed */
		halt(db, err);
		return err;
	}
	err = publish(db, first, last);
	if (err)
		return err;
	/* release: pairs with the acquire of the flush, which then finds all
	 * entries in place and visible. */
	atomic_fetch_sub_explicit(&mem->inflight, 1, memory_order_release);
	return append_err;
}

static int write_rep(struct lsm_db *db, const struct lsm_batch *batch,
		     const struct rep *rep, uint32_t count, uint64_t data_bytes,
		     bool sync, struct direct_write *w)
{
	size_t len = rep->len + rep->value.len;
	struct db_mem *mem;
	uint64_t first, last;
	int err;

	if (len >= WAL_RECORD_MAX)
		return -EINVAL;
	/* Values that went around the log may become garbage all the same. */
	pace_write(db, w ? data_bytes : len);

	db_lock_writers(db);
	err = make_room_locked(db, len);
	if (!err && w)
		err = direct_prepare_locked(db, w);
	if (!err && count > SEQ_MAX - db->last_seq)
		err = -EOVERFLOW;
	if (!err && batch && batch->pins)
		err = share_keep(db, db->active, batch);
	if (err) {
		mutex_unlock(&db->write_mutex);
		return err;
	}
	first = db->last_seq + 1;
	last = db->last_seq + count;
	db->last_seq = last;
	mem = db->active;
	err = append_locked(db, rep, first);
	if (!err) {
		db->batches++;
		db->writes += count;
		db->write_bytes += data_bytes;
		/* Only a hint for direct.c: relaxed. */
		atomic_fetch_add_explicit(&db->unsynced_bytes, data_bytes,
					  memory_order_relaxed);
		if (w)
			direct_commit_locked(db, w);
	}
	atomic_fetch_add_explicit(&mem->inflight, 1, memory_order_relaxed);
	if (err || len < APPLY_BESIDE_BYTES) {
		err = apply(db, mem, rep, first, last, err);
		mutex_unlock(&db->write_mutex);
	} else {
		mutex_unlock(&db->write_mutex);
		err = apply(db, mem, rep, first, last, 0);
	}
	if (err)
		return err;
	wal_mark_dirty(db);
	return sync ? wal_sync_asked(db, last) : 0;
}

int db_write_rep(struct lsm_db *db, const struct lsm_batch *batch, uint8_t *rep,
		 size_t len, uint32_t count, uint64_t data_bytes, bool sync,
		 struct direct_write *w)
{
	const struct rep r = {.data = rep, .len = len};

	return write_rep(db, batch, &r, count, data_bytes, sync, w);
}

/* Values that were not copied into the batch are copied here. */
static int write_refs(struct lsm_db *db, const struct lsm_batch *batch,
		      bool sync)
{
	struct buf rep = {0};
	int err = batch_encode(batch, &rep);

	if (!err)
		err = db_write_rep(db, batch, rep.data, rep.len, batch->count,
				   batch->data_bytes, sync, NULL);
	buf_release(&rep);
	return err;
}

int lsm_write(struct lsm_db *db, struct lsm_batch *batch,
	      const struct lsm_write_options *options)
{
	bool sync = options && options->sync;
	int err;

	if (batch->err)
		return batch->err;
	if (db->read_only)
		return -EROFS;
	if (!batch->count)
		return sync ? lsm_sync(db) : db_error(db);
	if (batch->prepared || direct_wanted(db, batch))
		err = direct_write(db, batch, sync);
	else if (batch->ref_count)
		err = write_refs(db, batch, sync);
	else
		err = db_write_rep(db, batch, batch->rep.data, batch->rep.len,
				   batch->count, batch->data_bytes, sync, NULL);
	if (!err && (batch->deletes || batch->ranges))
		reclaim_note(db, batch);
	return err;
}

/* One value that is a bulk write by itself. */
static int write_large(struct lsm_db *db, struct lsm_slice key,
		       struct lsm_slice value)
{
	struct lsm_batch *b = lsm_batch_new();
	int err = b ? lsm_batch_put_ref(b, key, value) : -ENOMEM;

	if (!err)
		err = lsm_write(db, b, NULL);
	lsm_batch_free(b);
	return err;
}

/* One operation without the detour through a struct lsm_batch. */
static int write_one(struct lsm_db *db, enum entry_kind kind,
		     struct lsm_slice key, struct lsm_slice value)
{
	uint8_t small[SMALL_BATCH_BYTES];
	uint8_t *rep = small, *p;
	size_t bytes = BATCH_HEADER_BYTES + 1 + 2 * VARINT32_MAX + key.len;
	struct rep r = {0};
	int err;

	if (!key.len || key.len > LSM_KEY_MAX || value.len > LSM_VALUE_MAX)
		return -EINVAL;
	if (db->read_only)
		return -EROFS;
	if (kind == KIND_PUT && db->opt.blob_bytes &&
	    value.len >= direct_enough(db))
		return write_large(db, key, value);
	if (value.len > SMALL_VALUE_BYTES)
		r = (struct rep){.key = key, .value = value};
	else
		bytes += value.len;
	if (bytes > sizeof(small)) {
		rep = malloc(bytes);
		if (!rep)
			return -ENOMEM;
	}
	put_le32(rep + 8, 1);
	p = rep + BATCH_HEADER_BYTES;
	*p++ = (uint8_t)kind;
	p = put_varint32(p, (uint32_t)key.len);
	memcpy(p, key.data, key.len);
	p += key.len;
	if (kind == KIND_PUT) {
		p = put_varint32(p, (uint32_t)value.len);
		if (value.len && !r.value.data) {
			memcpy(p, value.data, value.len);
			p += value.len;
		}
	}
	r.data = rep;
	r.len = (size_t)(p - rep);
	err = write_rep(db, NULL, &r, 1, key.len + value.len, false, NULL);
	if (rep != small)
		free(rep);
	return err;
}

int lsm_put(struct lsm_db *db, struct lsm_slice key, struct lsm_slice value)
{
	return write_one(db, KIND_PUT, key, value);
}

int lsm_delete(struct lsm_db *db, struct lsm_slice key)
{
	int err = write_one(db, KIND_DELETE, key, lsm_slice(NULL, 0));

	if (!err)
		reclaim_note_deletes(db, 1);
	return err;
}
