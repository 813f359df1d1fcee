/* SPDX-License-Identifier: MIT */
/*
 * env_fault_crash.c - what is left on the disk in memory after power loss.
 *
 * Names: the changes since the last sync of the directory are gone through in
 * the order they were made. By a coin each is kept or lost; once one change of
 * a name is lost, so is every later one of that name, because a filesystem may
 * delay what it does to a name but does not reorder it. A rename is kept or
 * lost as a whole.
 *
 * Shuffled, names know nothing of each other, as on a filesystem without a
 * journal: each is what it was at some moment since the last sync, a rename is
 * a change of two names, and the file of a rename can be found under both of
 * them or under none.
 *
 * Bytes: each sector written since the last sync of the file is kept or put
 * back to what it was, and the length is the old one, the new one, or one in
 * between. The last append may in addition be torn.
 */
#include <string.h>

#include "lsm/env/env_fault_impl.h"

struct crash {
	enum env_fault_keep keep;
	bool torn;
	uint64_t random; /* state of splitmix64 (Steele, Lea, Flood 2014) */
};

static uint64_t next_random(struct crash *c)
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static bool keeps(struct crash *c)
{
	switch (c->keep) {
	case ENV_KEEP_NONE:
		return false;
	case ENV_KEEP_ALL:
		return true;
	case ENV_KEEP_RANDOM:
	case ENV_KEEP_SHUFFLED:
		break;
	}
	return next_random(c) & 1;
}

static void crash_names(struct crash *c, struct fault_dir *d)
{
	struct fault_op *op;

	for (op = d->ops; op; op = op->next) {
		bool keep = keeps(c);

		if (op->from->cut || (op->to && op->to->cut))
			keep = false;
		if (keep) {
			fault_op_keep(op);
			continue;
		}
		op->from->cut = true;
		if (op->to)
			op->to->cut = true;
	}
	fault_names_revert(d);
	d->lock_holder = NULL;
}

/* One of the files the name stood for, each as likely (reservoir sampling,
 * Vitter 1985). */
static void shuffle_name(struct crash *c, const struct fault_dir *d,
			 struct fault_entry *e)
{
	struct fault_file *kept = e->durable;
	const struct fault_op *op;
	uint64_t seen = 1;

	for (op = d->ops; op; op = op->next) {
		if (op->from != e && op->to != e)
			continue;
		if (next_random(c) % ++seen == 0)
			kept = fault_op_file(op, e);
	}
	fault_entry_keep(e, kept);
}

static void shuffle_names(struct crash *c, struct fault_dir *d)
{
	struct fault_entry *e;

	for (e = d->entries; e; e = e->next)
		shuffle_name(c, d, e);
	fault_names_revert(d);
	d->lock_holder = NULL;
}

static uint64_t sector_up(uint64_t bytes)
{
	return (bytes + FAULT_SECTOR - 1) / FAULT_SECTOR * FAULT_SECTOR;
}

/* Where the last append ends: at its end, or at a sector border inside it. */
static uint64_t tear(struct crash *c, const struct fault_file *f)
{
	uint64_t first = sector_up(f->last_from);
	uint64_t borders, at;

	if (!c->torn || c->keep == ENV_KEEP_NONE || first >= f->last_to)
		return UINT64_MAX;
	borders = (sector_up(f->last_to) - first) / FAULT_SECTOR;
	at = first + next_random(c) % (borders + 1) * FAULT_SECTOR;
	return at < f->last_to ? at : UINT64_MAX;
}

static uint64_t crash_length(struct crash *c, const struct fault_file *f,
			     uint64_t torn_at)
{
	uint64_t bytes = f->bytes;

	if (!keeps(c)) {
		bytes = f->durable_bytes;
		/* A delayed length need not be delayed altogether. */
		if (c->keep >= ENV_KEEP_RANDOM && f->bytes > bytes &&
		    (next_random(c) & 1))
			bytes += next_random(c) % (f->bytes - bytes);
	}
	/* The append that grew the file is the one that was torn. */
	if (torn_at < bytes && f->last_to == f->bytes &&
	    f->bytes > f->durable_bytes)
		bytes = torn_at > f->durable_bytes ? torn_at : f->durable_bytes;
	return bytes;
}

static void crash_bytes(struct crash *c, struct fault_file *f)
{
	uint64_t torn_at = tear(c, f);
	uint64_t bytes = crash_length(c, f, torn_at);
	size_t s, i;

	fault_file_own(f);
	fault_file_reread(f);
	/* First the coins: a sector that stays loses its mark. */
	for (s = 0; s < f->sector_count; s++) {
		bool torn;

		if (f->sectors[s] == SECTOR_CLEAN)
			continue;
		torn = s * FAULT_SECTOR >= torn_at &&
		       s * FAULT_SECTOR < f->last_to;
		if (keeps(c) && !torn)
			f->sectors[s] = SECTOR_CLEAN;
		else if (f->sectors[s] == SECTOR_WAS_ZERO)
			fault_file_put_back(f, s, NULL);
	}
	for (i = 0; i < f->undo_count; i++)
		if (f->sectors[f->undo[i].sector] == SECTOR_WAS_DATA)
			fault_file_put_back(f, f->undo[i].sector,
					    f->undo[i].old);
	/* Sectors put back may hold old bytes behind what was written. */
	f->bytes = bytes;
	fault_file_sync(f);
}

void env_fault_restart(struct lsm_env *base, enum env_fault_keep keep,
		       bool torn, uint64_t seed)
{
	struct fault_env *env = (struct fault_env *)base;
	struct crash c = {.keep = keep, .torn = torn, .random = seed};
	struct fault_file *f;
	struct fault_dir *d;

	mutex_lock(&env->mutex);
	for (d = env->dirs; d; d = d->next) {
		if (keep == ENV_KEEP_SHUFFLED)
			shuffle_names(&c, d);
		else
			crash_names(&c, d);
	}
	for (f = env->files; f; f = f->next)
		crash_bytes(&c, f);
	env->life++;
	env->off = false;
	env->power_armed = false;
	env->fail_armed = false;
	mutex_unlock(&env->mutex);
}
