/* SPDX-License-Identifier: MIT */
/*
 * check.c - runs the passes of fs_check() (check.h), and what they share:
 * the table of inodes, reporting, the batch of repairs. One thread; nobody
 * else uses the filesystem.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/recount.h"
#include "lsm/base/hash.h"

#define FLUSH_BYTES (1u << 20)
#define FIRST_SLOTS 1024

static struct check_node *slot_of(struct check_node *nodes, size_t slots,
				  uint64_t ino)
{
	size_t i = hash_mix(ino, 1) & (slots - 1);

	while (nodes[i].ino && nodes[i].ino != ino)
		i = (i + 1) & (slots - 1);
	return &nodes[i];
}

struct check_node *check_find(struct check *c, uint64_t ino)
{
	struct check_node *n = slot_of(c->nodes, c->slots, ino);

	return n->ino ? n : NULL;
}

struct check_node *check_node(struct check *c, uint64_t ino)
{
	struct check_node *n = slot_of(c->nodes, c->slots, ino);

	if (n->ino)
		return n;
	if ((c->used + 1) * 4 > c->slots * 3) {
		size_t slots = c->slots * 2;
		struct check_node *more = calloc(slots, sizeof(*more));

		if (!more)
			return NULL;
		for (size_t i = 0; i < c->slots; i++)
			if (c->nodes[i].ino)
				*slot_of(more, slots, c->nodes[i].ino) =
					c->nodes[i];
		free(c->nodes);
		c->nodes = more;
		c->slots = slots;
		n = slot_of(more, slots, ino);
	}
	n->ino = ino;
	c->used++;
	return n;
}

static void report(struct check *c, bool repaired, const char *fmt, va_list ap)
{
	char line[768];
	int n = vsnprintf(line, sizeof(line) - 16, fmt, ap);

	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 17)
		n = sizeof(line) - 17;
	if (repaired)
		snprintf(line + n, sizeof(line) - (size_t)n, " (repaired)");
	if (c->options->report)
		c->options->report(c->options->arg, line);
}

bool check_found(struct check *c, const char *fmt, ...)
{
	va_list ap;

	c->result->found++;
	if (c->options->repair)
		c->result->fixed++;
	va_start(ap, fmt);
	report(c, c->options->repair, fmt, ap);
	va_end(ap);
	return c->options->repair;
}

void check_found_only(struct check *c, const char *fmt, ...)
{
	va_list ap;

	c->result->found++;
	va_start(ap, fmt);
	report(c, false, fmt, ap);
	va_end(ap);
}

/* ---- repairs; an error of building is remembered by the batch ---- */

void check_put(struct check *c, struct lsm_slice key, struct lsm_slice value)
{
	(void)lsm_batch_put(c->batch, key, value);
}

void check_delete(struct check *c, struct lsm_slice key)
{
	(void)lsm_batch_delete(c->batch, key);
}

void check_put_inode(struct check *c, uint64_t ino, const struct inode_rec *rec)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	check_put(c, key_ino(&k, ino, KEY_INODE),
		  lsm_slice(v, inode_rec_encode(rec, v)));
}

void check_put_entry_name(struct check *c, uint64_t dir, struct lsm_slice name,
			  const struct entry_rec *e)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	check_put(c, key_name(&k, dir, KEY_ENTRY_NAME, name),
		  lsm_slice(v, entry_name_encode(e, v)));
}

void check_put_entry_cookie(struct check *c, uint64_t dir,
			    struct lsm_slice name, const struct entry_rec *e)
{
	struct entry_rec named = *e;
	uint8_t v[RECORD_MAX];
	struct key k;

	named.name = name;
	check_put(c, key_cookie(&k, dir, e->cookie),
		  lsm_slice(v, entry_cookie_encode(&named, v)));
}

int check_flush(struct check *c, bool anyway)
{
	struct lsm_write_options sync = {.sync = true};
	int r;

	if (lsm_batch_count(c->batch) == 0 ||
	    (!anyway && lsm_batch_size(c->batch) < FLUSH_BYTES))
		return 0;
	r = lsm_write(c->fs->db, c->batch, &sync);
	lsm_batch_clear(c->batch);
	return r;
}

int check_get_inode(struct check *c, uint64_t ino, struct inode_rec *rec)
{
	struct lsm_pin pin = {0};
	struct key k;
	int r = lsm_get(c->fs->db, NULL, key_ino(&k, ino, KEY_INODE), &pin);

	if (r == 0)
		r = inode_rec_decode(lsm_slice(pin.data, pin.len), rec);
	lsm_unpin(&pin);
	return r;
}

int check_get_cookie(struct check *c, uint64_t dir, uint64_t cookie,
		     struct entry_rec *e, struct lsm_pin *pin)
{
	struct key k;
	int r = lsm_get(c->fs->db, NULL, key_cookie(&k, dir, cookie), pin);

	if (r == 0)
		r = entry_cookie_decode(lsm_slice(pin->data, pin->len), e);
	if (r == 0)
		e->cookie = cookie;
	return r;
}

/* What is in memory follows what was repaired in the store. */
static int reload(struct check *c)
{
	struct fs *fs = c->fs;
	int r = inode_cache_reload(fs);
	int r2 = usage_load(fs);

	mutex_lock(&fs->ino_mutex);
	if (c->watermark > fs->ino_limit) {
		fs->ino_next = c->watermark;
		fs->ino_limit = c->watermark;
	}
	mutex_unlock(&fs->ino_mutex);
	return r ? r : r2;
}

static int run(struct check *c)
{
	int r = check_scan(c);

	if (r == 0)
		r = check_flush(c, true);
	if (r == 0)
		r = check_tree(c);
	if (r == 0)
		r = check_flush(c, true);
	if (r == 0)
		r = check_links(c);
	if (r == 0)
		r = check_flush(c, true);
	if (r == 0 && c->options->repair) {
		r = reload(c);
		if (r == 0)
			r = check_lost(c);
	}
	if (r == 0 && c->options->data) {
		r = lsm_verify(c->fs->db, NULL, NULL);
		if (r == -EUCLEAN) {
			check_found_only(c, "a block of the store is corrupt; "
					    "the log names file and offset");
			r = 0;
		}
	}
	return r;
}

int fs_check(struct fs *fs, const struct fs_check_options *options,
	     struct fs_check_result *result)
{
	static const struct fs_check_options defaults;
	struct check c = {.fs = fs,
			  .options = options ? options : &defaults,
			  .result = result,
			  .slots = FIRST_SLOTS};
	int r = 0;

	memset(result, 0, sizeof(*result));
	if (c.options->repair && fs->read_only)
		return -EROFS;
	rwlock_wrlock(&fs->check_lock);
	if (!fs->read_only) {
		recount_all(fs);
		r = inode_flush_all(fs);
	}
	c.nodes = calloc(c.slots, sizeof(*c.nodes));
	c.batch = lsm_batch_new();
	c.total_inodes =
		atomic_load_explicit(&fs->usage.inodes, memory_order_relaxed);
	if (!c.nodes || !c.batch)
		r = r ? r : -ENOMEM;
	if (r == 0)
		r = run(&c);
	lsm_batch_free(c.batch);
	free(c.nodes);
	rwlock_wrunlock(&fs->check_lock);
	return r;
}
