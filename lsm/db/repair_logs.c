/* SPDX-License-Identifier: MIT */
/*
 * repair_logs.c - what the logs hold becomes tables.
 *
 * Every record that can be read counts, also behind a gap: recovery would end
 * the history there, but who repairs wants what there is. Of a log that is
 * damaged, what lies before the damage. Batches stay whole: one that points to
 * values beside the log which are not there is left out.
 *
 * Without a manifest nobody says which logs are obsolete. But flushes go in the
 * order of sequences: up to the last sequence that any table holds everything
 * is in tables, and such records are left out, or keys deleted since could come
 * back. When a table is damaged they are used, as they may be all there is;
 * also when it refers to a blob file that is not there: power loss may have
 * kept of a flush that was not finished the name of the table alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/db/repair.h"

struct log_repair {
	struct repair *r;
	struct memtable *mem;
	uint64_t skip_seq; /* up to here everything is in tables */
	uint64_t mem_seq;  /* the last one in mem */
	uint64_t last_seq; /* of the record before; 0: none */
	uint64_t records;  /* that were used */
	const char *name;  /* of the log */
};

static int flush(struct log_repair *l)
{
	struct compact_env env;
	struct version_edit edit = {0};
	int err;

	repair_env(l->r, &env);
	err = flush_memtables(&env, &l->mem, 1, &edit);
	for (size_t i = 0; i < edit.added_count && !err; i++)
		err = repair_add_input(l->r, &edit.added[i].meta);
	version_edit_release(&edit);
	if (err)
		return err;
	memtable_put_ref(l->mem);
	l->mem_seq = 0;
	l->mem = memtable_new(0);
	return l->mem ? 0 : -ENOMEM;
}

/* Before any of it is applied: a batch is used whole or not at all. */
static int check_batch(struct lsm_slice rep, uint64_t *first, uint64_t *last)
{
	struct batch_reader b;
	struct batch_op op;
	int err = batch_reader_init(&b, rep);

	if (err)
		return err;
	*first = b.seq;
	*last = b.seq + b.left - 1;
	if (!b.left)
		return -EUCLEAN;
	do {
		err = batch_reader_next(&b, &op);
	} while (!err);
	return err == LSM_END ? 0 : err;
}

static int use_record(struct log_repair *l, struct lsm_slice rep)
{
	uint64_t first, last;
	int err = check_batch(rep, &first, &last);

	if (err)
		return err;
	if (l->last_seq && first > l->last_seq + 1)
		repair_say(l->r,
			   "%s: sequences %" PRIu64 " to %" PRIu64
			   " are missing before it",
			   l->name, l->last_seq + 1, first - 1);
	l->last_seq = last;
	if (last <= l->skip_seq)
		return 0;
	err = repair_check_values(l->r, rep);
	if (!err)
		repair_say(l->r,
			   "%s: values of sequences %" PRIu64 " to %" PRIu64
			   " did not reach the disk; they are left out",
			   l->name, first, last);
	if (err <= 0)
		return err;
	err = 0;
	/* No entry may come twice into one memtable. */
	if (first <= l->mem_seq)
		err = flush(l);
	if (!err)
		err = memtable_apply(l->mem, rep);
	if (err)
		return err;
	l->mem_seq = last;
	l->records++;
	if (last > l->r->last_seq)
		l->r->last_seq = last;
	if (memtable_bytes(l->mem) >= l->r->opt.write_buffer_bytes)
		err = flush(l);
	return err;
}

static int read_log(struct log_repair *l, struct repair_file *f)
{
	struct lsm_slice rep;
	struct wal_reader *w;
	uint64_t before = l->records, offset = 0;
	int err =
		wal_reader_open(l->r->dir, l->name, f->number, &l->r->log, &w);

	if (!err) {
		do {
			offset = wal_reader_offset(w);
			err = wal_reader_next(w, &rep);
			if (!err)
				err = use_record(l, rep);
		} while (!err);
		wal_reader_close(w);
	}
	if (repair_is_damage(err)) {
		repair_say(l->r,
			   "%s: damaged at offset %" PRIu64
			   ": what lies behind is lost",
			   l->name, offset);
		f->bad = true;
		err = LSM_END;
	}
	if (err == LSM_END && l->records > before)
		repair_say(l->r, "%s: %" PRIu64 " batches used", l->name,
			   l->records - before);
	return err == LSM_END ? 0 : err;
}

int repair_logs(struct repair *r)
{
	struct log_repair l = {.r = r};
	char name[FILE_NAME_MAX];
	int err = 0;

	if (!r->damaged)
		l.skip_seq = r->known ? r->state.last_seq : r->last_seq;
	l.name = name;
	l.mem = memtable_new(0);
	if (!l.mem)
		return -ENOMEM;
	for (size_t i = 0; i < r->file_count && !err; i++) {
		struct repair_file *f = &r->files[i];

		if (f->kind != FILE_WAL ||
		    (r->known && f->number < r->state.log_number))
			continue;
		file_name(name, FILE_WAL, f->number);
		err = read_log(&l, f);
	}
	if (!err && !memtable_empty(l.mem))
		err = flush(&l);
	if (l.mem)
		memtable_put_ref(l.mem);
	return err;
}
