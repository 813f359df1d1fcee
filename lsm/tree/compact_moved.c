/* SPDX-License-Identifier: MIT */
/* compact_moved.c - see compact_moved.h. */
#include "lsm/tree/compact_moved.h"

#include <stdlib.h>

#include "lsm/base/hash.h"

/* 2 MiB of memory, taken as it is used; 128 MiB of values of 4 KiB. */
#define MOVED_VALUES 32768

static size_t place_of(const struct blob_handle *h)
{
	return hash_mix(h->offset ^ h->file << 40, h->index) % MOVED_VALUES;
}

const struct moved_value *moved_find(const struct moved_values *m,
				     const struct blob_handle *h)
{
	const struct moved_value *v;

	if (!m->value)
		return NULL;
	v = &m->value[place_of(h)];
	return v->file == h->file && v->offset == h->offset &&
			       v->index == h->index && v->to.len == h->len
		       ? v
		       : NULL;
}

struct moved_value *moved_add(struct moved_values *m,
			      const struct blob_handle *h, uint32_t index)
{
	struct moved_value *v;

	if (!m->value)
		m->value = calloc(MOVED_VALUES, sizeof(*m->value));
	if (!m->value)
		return NULL;
	v = &m->value[place_of(h)];
	*v = (struct moved_value){
		.file = h->file,
		.offset = h->offset,
		.index = h->index,
		.block = m->block,
		.to = {.index = index, .len = h->len, .shared = true},
	};
	return v;
}

void moved_placed(const struct moved_values *m, struct moved_value *v,
		  const struct blob_handle *place)
{
	/* Another value of this block may have taken its place since. */
	if (v->block != m->block)
		return;
	v->to.file = place->file;
	v->to.offset = place->offset;
	v->to.bytes = place->bytes;
	v->to.type = place->type;
}

void moved_next_block(struct moved_values *m)
{
	m->block++;
}

void moved_release(struct moved_values *m)
{
	free(m->value);
	m->value = NULL;
}
