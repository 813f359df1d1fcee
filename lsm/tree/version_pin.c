/* SPDX-License-Identifier: MIT */
/*
 * version_pin.c - blob files that must stay although no table refers to them.
 *
 * A shared value has a handle in a batch or a memtable before a table counts
 * it. Meanwhile the last table that referred to its file may go, so who has the
 * handle pins the file. An edit decides under vs->mutex which files it takes
 * out and marks them (settle_blobs() in version_blob.c); a pin comes before
 * that, and the file stays, or after it, and is refused. So what a log holds
 * never leads into a file that a durable edit has given up.
 *
 * Pins are counted by number: few files are pinned at a time, and each by few.
 *
 * Any thread, with vs->mutex.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/tree/version.h"

static struct blob_pin *find(const struct version_set *vs, uint64_t file)
{
	for (size_t i = 0; i < vs->pin_count; i++)
		if (vs->pins[i].file == file)
			return &vs->pins[i];
	return NULL;
}

uint32_t blob_pin_count(const struct version_set *vs, uint64_t file)
{
	const struct blob_pin *pin = find(vs, file);

	return pin ? pin->count : 0;
}

bool blob_pins_have(const struct blob_pins *p, uint64_t file)
{
	/* The last one is mostly it. */
	for (size_t i = p->count; i > 0; i--)
		if (p->files[i - 1] == file)
			return true;
	return false;
}

static int reserve(struct blob_pins *p)
{
	size_t cap = p->cap ? 2 * p->cap : 8;
	uint64_t *files;

	if (p->count < p->cap)
		return 0;
	files = reallocarray(p->files, cap, sizeof(*files));
	if (!files)
		return -ENOMEM;
	p->files = files;
	p->cap = cap;
	return 0;
}

static int count_up(struct version_set *vs, uint64_t file)
{
	struct blob_pin *pin = find(vs, file);
	size_t cap = vs->pin_cap ? 2 * vs->pin_cap : 8;

	if (!pin && vs->pin_count == vs->pin_cap) {
		pin = reallocarray(vs->pins, cap, sizeof(*pin));
		if (!pin)
			return -ENOMEM;
		vs->pins = pin;
		vs->pin_cap = cap;
		pin = NULL;
	}
	if (!pin) {
		pin = &vs->pins[vs->pin_count++];
		*pin = (struct blob_pin){.file = file};
	}
	pin->count++;
	return 0;
}

static void count_down(struct version_set *vs, uint64_t file)
{
	struct blob_pin *pin = find(vs, file);
	const struct version_blob *b;

	if (--pin->count)
		return;
	*pin = vs->pins[--vs->pin_count];
	b = version_find_blob(vs->current, file);
	if (b && !b->live)
		vs->dead_blobs = true;
}

int blob_pins_take(struct blob_pins *p, uint64_t file)
{
	int err;

	if (blob_pins_have(p, file))
		return 0;
	err = reserve(p);
	if (!err)
		err = count_up(p->vs, file);
	if (!err)
		p->files[p->count++] = file;
	return err;
}

int blob_pins_add(struct blob_pins *p, uint64_t file)
{
	const struct version_blob *b;

	b = version_find_blob(p->vs->current, file);
	if (!b || b->file->dropping)
		return LSM_NOTFOUND;
	return blob_pins_take(p, file);
}

int blob_pins_join(struct blob_pins *p, const struct blob_pins *from)
{
	size_t before = p->count;
	int err = 0;

	for (size_t i = 0; i < from->count && !err; i++)
		err = blob_pins_take(p, from->files[i]);
	while (err && p->count > before)
		count_down(p->vs, p->files[--p->count]);
	return err;
}

void blob_pins_release(struct blob_pins *p)
{
	while (p->count)
		count_down(p->vs, p->files[--p->count]);
	free(p->files);
	p->files = NULL;
	p->cap = 0;
}
