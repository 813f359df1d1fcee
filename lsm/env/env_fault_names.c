/* SPDX-License-Identifier: MIT */
/*
 * env_fault_names.c - the directories of the disk in memory: which names there
 * are, which of them are durable, and the changes between the two in the order
 * they were made. See env_fault_impl.h; env->mutex is held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env/env_fault_impl.h"

struct fault_dir *fault_dir_find(struct fault_env *env, const char *path,
				 size_t path_len)
{
	struct fault_dir *d;

	for (d = env->dirs; d; d = d->next)
		if (strlen(d->path) == path_len &&
		    !memcmp(d->path, path, path_len))
			return d;
	return NULL;
}

struct fault_dir *fault_dir_new(struct fault_env *env, const char *path,
				size_t path_len)
{
	struct fault_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->path = strndup(path, path_len);
	if (!d->path) {
		free(d);
		return NULL;
	}
	d->ops_end = &d->ops;
	d->next = env->dirs;
	env->dirs = d;
	return d;
}

/* A reference to f moves into *place, the one there is given up. */
static void set_file(struct fault_file **place, struct fault_file *f)
{
	if (f)
		fault_file_get(f);
	fault_file_put(*place);
	*place = f;
}

static void set_now(struct fault_entry *e, struct fault_file *f)
{
	if (e->now)
		e->now->names--;
	if (f)
		f->names++;
	set_file(&e->now, f);
}

static struct fault_entry *entry_find(struct fault_dir *d, const char *name)
{
	struct fault_entry *e;

	for (e = d->entries; e; e = e->next)
		if (!strcmp(e->name, name))
			return e;
	return NULL;
}

/* Finds or makes it. */
static struct fault_entry *entry_get(struct fault_dir *d, const char *name)
{
	struct fault_entry *e = entry_find(d, name);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->name = strdup(name);
	if (!e->name) {
		free(e);
		return NULL;
	}
	e->next = d->entries;
	d->entries = e;
	return e;
}

/* Forgets names that are neither there nor durable. Only without pending
 * changes, which point at entries. */
static void prune(struct fault_dir *d)
{
	struct fault_entry **p = &d->entries, *e;

	while ((e = *p)) {
		if (e->now || e->durable) {
			p = &e->next;
			continue;
		}
		*p = e->next;
		free(e->name);
		free(e);
	}
}

static void drop_ops(struct fault_dir *d)
{
	struct fault_op *op;

	while ((op = d->ops)) {
		d->ops = op->next;
		fault_file_put(op->file);
		free(op);
	}
	d->ops_end = &d->ops;
}

void fault_dir_free(struct fault_dir *d)
{
	struct fault_entry *e;

	drop_ops(d);
	for (e = d->entries; e; e = e->next) {
		set_now(e, NULL);
		set_file(&e->durable, NULL);
	}
	prune(d);
	free(d->path);
	free(d);
}

static int note(struct fault_dir *d, enum fault_op_kind kind,
		struct fault_entry *from, struct fault_entry *to,
		struct fault_file *f)
{
	struct fault_op *op = calloc(1, sizeof(*op));

	if (!op)
		return -ENOMEM;
	op->kind = kind;
	op->from = from;
	op->to = to;
	set_file(&op->file, f);
	*d->ops_end = op;
	d->ops_end = &op->next;
	return 0;
}

struct fault_file *fault_name_find(struct fault_dir *d, const char *name)
{
	struct fault_entry *e = entry_find(d, name);

	return e ? e->now : NULL;
}

int fault_name_add(struct fault_dir *d, const char *name, struct fault_file *f)
{
	struct fault_entry *e = entry_get(d, name);

	if (!e)
		return -ENOMEM;
	if (e->now)
		return -EEXIST;
	if (note(d, OP_ADD, e, NULL, f))
		return -ENOMEM;
	set_now(e, f);
	return 0;
}

int fault_name_delete(struct fault_dir *d, const char *name)
{
	struct fault_entry *e = entry_find(d, name);

	if (!e || !e->now)
		return -ENOENT;
	if (note(d, OP_DELETE, e, NULL, NULL))
		return -ENOMEM;
	set_now(e, NULL);
	return 0;
}

int fault_name_rename(struct fault_dir *d, const char *from, const char *to)
{
	struct fault_entry *a = entry_find(d, from), *b;

	if (!a || !a->now)
		return -ENOENT;
	b = entry_get(d, to);
	if (!b)
		return -ENOMEM;
	/* Two names of one file: nothing is done, as rename(2) has it. */
	if (a->now == b->now)
		return 0;
	if (note(d, OP_RENAME, a, b, a->now))
		return -ENOMEM;
	set_now(b, a->now);
	set_now(a, NULL);
	return 0;
}

void fault_names_sync(struct fault_dir *d)
{
	struct fault_entry *e;

	for (e = d->entries; e; e = e->next)
		set_file(&e->durable, e->now);
	drop_ops(d);
	prune(d);
}

struct fault_file *fault_op_file(const struct fault_op *op,
				 const struct fault_entry *e)
{
	switch (op->kind) {
	case OP_ADD:
		return op->file;
	case OP_DELETE:
		return NULL;
	case OP_RENAME:
		break;
	}
	return e == op->to ? op->file : NULL;
}

void fault_entry_keep(struct fault_entry *e, struct fault_file *f)
{
	set_file(&e->durable, f);
}

void fault_op_keep(const struct fault_op *op)
{
	if (op->to)
		fault_entry_keep(op->to, fault_op_file(op, op->to));
	fault_entry_keep(op->from, fault_op_file(op, op->from));
}

void fault_names_revert(struct fault_dir *d)
{
	struct fault_entry *e;

	for (e = d->entries; e; e = e->next) {
		set_now(e, e->durable);
		e->cut = false;
	}
	drop_ops(d);
	prune(d);
}
