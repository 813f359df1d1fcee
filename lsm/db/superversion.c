/* SPDX-License-Identifier: MIT */
/*
 * superversion.c - publishing the state that reads use, and taking the old
 * ones back.
 *
 * A replaced superversion is handed to epoch_retire(). The callback may run in
 * any thread and under foreign locks, so it only pushes the superversion on a
 * list; sv_reap() drops the reference from a thread that may take locks.
 */
#include <assert.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

struct superversion *sv_alloc(void)
{
	return calloc(1, sizeof(struct superversion));
}

void sv_ref(struct superversion *sv)
{
	/* Whoever counts is pinned or holds a reference: no order needed. */
	atomic_fetch_add_explicit(&sv->refs, 1, memory_order_relaxed);
}

/* True when that was the last. */
static bool sv_drop(struct superversion *sv)
{
	/* acq_rel: pairs with itself; see db_mem_put(). */
	if (atomic_fetch_sub_explicit(&sv->refs, 1, memory_order_acq_rel) != 1)
		return false;
	for (unsigned i = 0; i < sv->mem_count; i++)
		db_mem_put(sv->mems[i]);
	version_put(sv->version);
	free(sv);
	return true;
}

void sv_put(struct superversion *sv)
{
	sv_drop(sv);
}

void sv_put_user(struct superversion *sv)
{
	struct lsm_db *db = sv->db;

	if (!sv_drop(sv))
		return;
	mutex_lock(&db->mutex);
	db->cleanup_due = true;
	background_wake_locked(db);
	mutex_unlock(&db->mutex);
}

struct superversion *sv_get(struct lsm_db *db)
{
	struct superversion *sv;

	epoch_pin();
	/* acquire: pairs with the release in sv_install_locked(). */
	sv = atomic_load_explicit(&db->sv, memory_order_acquire);
	sv_ref(sv);
	epoch_unpin();
	return sv;
}

struct superversion *
sv_get_at(struct lsm_db *db, const struct lsm_snapshot *snapshot, uint64_t *seq)
{
	struct superversion *sv;

	epoch_pin();
	sv = sv_load(db, snapshot, seq);
	sv_ref(sv);
	epoch_unpin();
	return sv;
}

static void sv_retired(void *arg)
{
	struct superversion *sv = arg;
	struct lsm_db *db = sv->db;
	struct superversion *head;

	head = atomic_load_explicit(&db->retired, memory_order_relaxed);
	do {
		sv->next_retired = head;
		/* release: pairs with the acquire in sv_reap(). */
	} while (!atomic_compare_exchange_weak_explicit(&db->retired, &head, sv,
							memory_order_release,
							memory_order_relaxed));
}

void sv_install_locked(struct lsm_db *db, struct superversion *fresh,
		       struct db_mem *active)
{
	struct superversion *old;

	assert(db->imm_count < DB_MEMS_MAX);
	if (!active)
		active = atomic_load_explicit(&db->sv, memory_order_relaxed)
				 ->mems[0];
	atomic_init(&fresh->refs, 1);
	fresh->db = db;
	fresh->version = db->vs.current;
	version_ref(fresh->version);
	fresh->mems[0] = active;
	for (unsigned i = 0; i < db->imm_count; i++)
		fresh->mems[i + 1] = db->imm[i];
	fresh->mem_count = db->imm_count + 1;
	for (unsigned i = 0; i < fresh->mem_count; i++)
		atomic_fetch_add_explicit(&fresh->mems[i]->refs, 1,
					  memory_order_relaxed);
	/* release: pairs with the acquire of readers, who then see the whole
	 * superversion. */
	old = atomic_exchange_explicit(&db->sv, fresh, memory_order_acq_rel);
	if (old)
		epoch_retire(sv_retired, old);
}

static void drop_retired(struct lsm_db *db)
{
	struct superversion *sv, *next;

	/* acquire: pairs with the release in sv_retired(). */
	sv = atomic_exchange_explicit(&db->retired, NULL, memory_order_acquire);
	for (; sv; sv = next) {
		next = sv->next_retired;
		sv_drop(sv);
	}
}

void sv_reap(struct lsm_db *db)
{
	epoch_barrier();
	drop_retired(db);
	version_set_delete_obsolete(&db->vs);
}

void sv_close(struct lsm_db *db)
{
	struct superversion *sv;

	sv = atomic_exchange_explicit(&db->sv, NULL, memory_order_acq_rel);
	epoch_barrier();
	drop_retired(db);
	if (sv)
		sv_drop(sv);
}
