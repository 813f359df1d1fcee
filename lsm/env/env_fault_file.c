/* SPDX-License-Identifier: MIT */
/*
 * env_fault_file.c - the bytes of a file of the disk in memory, and what they
 * were when they were last synced. See env_fault_impl.h; env->mutex is held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env/env_fault_impl.h"

#define BUF_MIN 4096

struct fault_file *fault_file_new(struct fault_env *env)
{
	struct fault_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->env = env;
	f->refs = 1;
	f->next = env->files;
	if (f->next)
		f->next->link = &f->next;
	f->link = &env->files;
	env->files = f;
	return f;
}

void fault_file_get(struct fault_file *f)
{
	f->refs++;
}

void fault_file_put(struct fault_file *f)
{
	if (!f || --f->refs > 0)
		return;
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	fault_buf_put(f->buf);
	free(f->sectors);
	free(f->undo);
	free(f);
}

void fault_buf_put(struct fault_buf *b)
{
	if (b && --b->refs == 0)
		free(b);
}

/* A buffer of the file's own with room for bytes. */
static int file_room(struct fault_file *f, uint64_t bytes)
{
	size_t cap = f->buf ? f->buf->cap : BUF_MIN;
	struct fault_buf *b;

	if (f->buf && bytes <= f->buf->cap)
		return 0;
	while (cap < bytes) {
		if (cap > SIZE_MAX / 4)
			return -ENOMEM;
		cap *= 2;
	}
	/* calloc: large ones are zero pages that take no memory. */
	b = calloc(1, sizeof(*b) + cap);
	if (!b)
		return -ENOMEM;
	b->refs = 1;
	b->cap = cap;
	if (f->buf)
		memcpy(b->data, f->buf->data, f->written);
	fault_buf_put(f->buf);
	f->buf = b;
	return 0;
}

struct fault_buf *fault_file_pin(struct fault_file *f)
{
	if (file_room(f, f->bytes))
		return NULL;
	f->buf->refs++;
	return f->buf;
}

static int sectors_room(struct fault_file *f, size_t count)
{
	size_t cap = f->sector_count ? f->sector_count : 64;
	uint8_t *p;

	if (count <= f->sector_count)
		return 0;
	while (cap < count)
		cap *= 2;
	p = realloc(f->sectors, cap);
	if (!p)
		return -ENOMEM;
	memset(p + f->sector_count, SECTOR_CLEAN, cap - f->sector_count);
	f->sectors = p;
	f->sector_count = cap;
	return 0;
}

/* Remembers what a sector holds before it is first written after a sync. */
static int save_sector(struct fault_file *f, size_t sector)
{
	size_t at = sector * FAULT_SECTOR, cap = f->undo_cap;
	struct fault_undo *p;

	if (f->sectors[sector] != SECTOR_CLEAN) {
		f->sectors[sector] &= (uint8_t)~SECTOR_LOST;
		return 0;
	}
	if (at >= f->written) {
		f->sectors[sector] = SECTOR_WAS_ZERO;
		return 0;
	}
	if (f->undo_count == cap) {
		cap = cap ? cap * 2 : 16;
		p = realloc(f->undo, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		f->undo = p;
		f->undo_cap = cap;
	}
	p = &f->undo[f->undo_count++];
	p->sector = sector;
	/* Buffers are whole sectors long, with zeros behind what is written. */
	memcpy(p->old, f->buf->data + at, FAULT_SECTOR);
	f->sectors[sector] = SECTOR_WAS_DATA;
	return 0;
}

/* Writes len bytes of data, or zeros when data is NULL; not the length. */
static int put_bytes(struct fault_file *f, uint64_t offset, const void *data,
		     size_t len)
{
	size_t first, last, s;
	int err;

	if (len == 0)
		return 0;
	first = (size_t)(offset / FAULT_SECTOR);
	last = (size_t)((offset + len - 1) / FAULT_SECTOR);
	err = file_room(f, offset + len);
	if (!err)
		err = sectors_room(f, last + 1);
	for (s = first; !err && s <= last; s++)
		err = save_sector(f, s);
	if (err)
		return err;
	if (data)
		memcpy(f->buf->data + offset, data, len);
	else
		memset(f->buf->data + offset, 0, len);
	if (offset + len > f->written)
		f->written = (size_t)(offset + len);
	return 0;
}

int fault_file_grow(struct fault_file *f, uint64_t bytes)
{
	uint64_t end = bytes < f->written ? bytes : f->written;
	int err = 0;

	if (bytes <= f->bytes)
		return 0;
	/* What a trim left behind must not come back. */
	if (end > f->bytes)
		err = put_bytes(f, f->bytes, NULL, (size_t)(end - f->bytes));
	if (!err)
		f->bytes = bytes;
	return err;
}

int fault_file_write(struct fault_file *f, uint64_t offset, const void *data,
		     size_t len)
{
	int err;

	if (len == 0)
		return 0;
	err = fault_file_grow(f, offset + len);
	if (!err)
		err = put_bytes(f, offset, data, len);
	if (err)
		return err;
	f->last_from = offset;
	f->last_to = offset + len;
	return 0;
}

size_t fault_file_read(struct fault_file *f, uint64_t offset, void *buf,
		       size_t len)
{
	size_t have = 0;

	if (offset >= f->bytes)
		return 0;
	if (len > f->bytes - offset)
		len = (size_t)(f->bytes - offset);
	if (offset < f->written) {
		have = f->written - (size_t)offset;
		if (have > len)
			have = len;
		memcpy(buf, f->buf->data + offset, have);
	}
	memset((uint8_t *)buf + have, 0, len - have);
	return len;
}

void fault_file_cut_tail(struct fault_file *f)
{
	if (f->written <= f->bytes)
		return;
	memset(f->buf->data + f->bytes, 0, f->written - (size_t)f->bytes);
	f->written = (size_t)f->bytes;
}

void fault_file_own(struct fault_file *f)
{
	struct fault_buf *b;

	if (!f->buf || f->buf->refs == 1)
		return;
	b = malloc(sizeof(*b) + f->buf->cap);
	/* Without memory the mappings see it happen, as they might. */
	if (!b)
		return;
	memcpy(b, f->buf, sizeof(*b) + f->buf->cap);
	b->refs = 1;
	fault_buf_put(f->buf);
	f->buf = b;
}

/* Whatever is not lost is as it was synced. */
static void forget_undo(struct fault_file *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->undo_count; i++)
		if (f->sectors[f->undo[i].sector] & SECTOR_LOST)
			f->undo[n++] = f->undo[i];
	f->undo_count = n;
	for (size_t s = 0; s < f->sector_count; s++)
		if (!(f->sectors[s] & SECTOR_LOST))
			f->sectors[s] = SECTOR_CLEAN;
}

void fault_file_sync(struct fault_file *f)
{
	fault_file_cut_tail(f);
	f->durable_bytes = f->bytes;
	forget_undo(f);
	f->last_from = f->last_to = 0;
}

void fault_file_lose(struct fault_file *f)
{
	for (size_t s = 0; s < f->sector_count; s++)
		if (f->sectors[s] != SECTOR_CLEAN)
			f->sectors[s] |= SECTOR_LOST;
}

void fault_file_put_back(struct fault_file *f, size_t sector,
			 const uint8_t *old)
{
	uint8_t *p = f->buf->data + sector * FAULT_SECTOR;

	if (old)
		memcpy(p, old, FAULT_SECTOR);
	else
		memset(p, 0, FAULT_SECTOR);
}

void fault_file_reread(struct fault_file *f)
{
	size_t n = 0;

	fault_file_own(f);
	for (size_t s = 0; s < f->sector_count; s++)
		if (f->sectors[s] == (SECTOR_WAS_ZERO | SECTOR_LOST)) {
			fault_file_put_back(f, s, NULL);
			f->sectors[s] = SECTOR_CLEAN;
		}
	for (size_t i = 0; i < f->undo_count; i++) {
		struct fault_undo *u = &f->undo[i];

		if (f->sectors[u->sector] & SECTOR_LOST) {
			fault_file_put_back(f, u->sector, u->old);
			f->sectors[u->sector] = SECTOR_CLEAN;
		} else {
			f->undo[n++] = *u;
		}
	}
	f->undo_count = n;
}

uint8_t *fault_file_undo(struct fault_file *f, size_t sector)
{
	size_t i;

	for (i = 0; i < f->undo_count; i++)
		if (f->undo[i].sector == sector)
			return f->undo[i].old;
	return NULL;
}
