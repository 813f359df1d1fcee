/* SPDX-License-Identifier: MIT */
/*
 * check_links.c - third pass of fs_check(): what the table of inodes tells.
 * Names against link counts, the way from each directory up to the root,
 * orphans, usage, the watermark. One thread.
 */
#include <errno.h>
#include <inttypes.h>

#include "fs/check.h"

#define WATERMARK_STEP 4096

/* Takes the entry that names child out of the directory dir. */
static int detach(struct check *c, uint64_t dir, uint64_t child)
{
	struct lsm_iter_options o = {0};
	struct lsm_iter *it;
	struct inode_rec rec;
	struct key k, k2;
	int r;

	o.lower = key_ino(&k, dir, KEY_ENTRY_COOKIE);
	o.upper = key_ino(&k2, dir, KEY_ENTRY_COOKIE + 1);
	r = lsm_iter_new(c->fs->db, &o, &it);
	if (r)
		return r;
	for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it)) {
		struct lsm_slice value;
		struct entry_rec e;

		r = iter_value(it, &value);
		if (r)
			break;
		if (entry_cookie_decode(value, &e) || e.ino != child)
			continue;
		check_delete(c, lsm_iter_key(it));
		check_delete(c, key_name(&k, dir, KEY_ENTRY_NAME, e.name));
		break;
	}
	lsm_iter_free(it);
	if (r == 0)
		r = check_get_inode(c, dir, &rec);
	if (r)
		return r == LSM_END ? 0 : r;
	rec.entries -= rec.entries != 0;
	check_put_inode(c, dir, &rec);
	/* Others of the same directory must see it. */
	return check_flush(c, true);
}

/* Follows the names upwards from start. A ring is cut where it closes. */
static int walk_up(struct check *c, struct check_node *start)
{
	struct check_node *n = start, *up;
	bool ring;
	int r;

	while (n->ino != FS_ROOT_INO && n->named_by &&
	       !(n->flags & (NODE_WALKED | NODE_ON_WAY))) {
		n->flags |= NODE_ON_WAY;
		n = check_find(c, n->named_by);
	}
	ring = n->flags & NODE_ON_WAY;
	for (up = start; up->flags & NODE_ON_WAY;
	     up = check_find(c, up->named_by)) {
		up->flags &= ~NODE_ON_WAY;
		up->flags |= NODE_WALKED;
	}
	if (!ring || !check_found(c,
				  "directory %" PRIu64 " lies inside itself, "
				  "cut off from the root",
				  n->ino))
		return 0;
	up = check_find(c, n->named_by);
	r = detach(c, up->ino, n->ino);
	up->links--;
	n->named_by = 0;
	return r;
}

static int set_nlink(struct check *c, struct check_node *n, uint32_t nlink,
		     uint64_t parent)
{
	struct inode_rec rec;
	int r = check_get_inode(c, n->ino, &rec);

	if (r)
		return r < 0 ? r : -EUCLEAN;
	rec.nlink = nlink;
	n->nlink = nlink;
	if (S_ISDIR(rec.mode))
		rec.parent = parent;
	check_put_inode(c, n->ino, &rec);
	return 0;
}

/* An inode without any name. */
static int links_nameless(struct check *c, struct check_node *n)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	if (n->nlink == 0) {
		if (n->flags & NODE_ORPHAN) {
			c->result->orphans++;
		} else if (check_found(c,
				       "inode %" PRIu64 " was deleted but its "
				       "space not given back",
				       n->ino)) {
			n->flags |= NODE_DROPPED;
			check_put(c, key_orphan(&k, n->ino),
				  lsm_slice(v, orphan_encode(v)));
		}
		return 0;
	}
	if (check_found(c, "%s %" PRIu64 " has no name: to /lost+found",
			mode_to_text(n->mode), n->ino)) {
		n->flags |= NODE_LOST;
		if (n->flags & NODE_ORPHAN)
			check_delete(c, key_orphan(&k, n->ino));
	}
	return 0;
}

static int links_node(struct check *c, struct check_node *n)
{
	bool directory = S_ISDIR(n->mode);
	bool root = n->ino == FS_ROOT_INO;
	uint64_t parent = root ? FS_ROOT_INO : n->named_by;
	struct key k;
	int r = 0;

	if (!(n->flags & NODE_RECORD)) {
		if ((n->flags & NODE_ORPHAN) &&
		    check_found(c, "orphan %" PRIu64 " does not exist", n->ino))
			check_delete(c, key_orphan(&k, n->ino));
		return 0;
	}
	if (directory ? !parent : n->links == 0)
		return links_nameless(c, n);
	if ((n->flags & NODE_ORPHAN) &&
	    check_found(c,
			"inode %" PRIu64 " has a name but is called an "
			"orphan",
			n->ino))
		check_delete(c, key_orphan(&k, n->ino));
	if (n->links != n->nlink &&
	    check_found(c, "inode %" PRIu64 ": link count is %u, should be %u",
			n->ino, n->nlink, n->links))
		r = set_nlink(c, n, n->links, directory ? parent : 0);
	else if (directory && n->parent != parent &&
		 check_found(c,
			     "directory %" PRIu64 ": its parent is %" PRIu64
			     ", not %" PRIu64,
			     n->ino, parent, n->parent))
		r = set_nlink(c, n, n->nlink, parent);
	return r;
}

static void links_usage(struct check *c)
{
	struct usage_rec right[USAGE_SHARDS] = {0};
	uint8_t v[RECORD_MAX];
	struct key k;

	for (size_t i = 0; i < c->slots; i++) {
		const struct check_node *n = &c->nodes[i];
		struct usage_rec *u = &right[n->ino % USAGE_SHARDS];

		/* Lost ones count: they are about to have a name. */
		if (!n->ino || !(n->flags & NODE_RECORD) || n->nlink == 0)
			continue;
		u->inodes++;
		u->blocks += n->blocks * c->fs->units_per_block;
	}
	for (unsigned i = 0; i < USAGE_SHARDS; i++) {
		if (right[i].blocks == c->usage[i].blocks &&
		    right[i].inodes == c->usage[i].inodes)
			continue;
		if (check_found(c,
				"usage shard %u: %" PRIu64
				" inodes and %" PRIu64
				" sectors are counted, there are %" PRIu64
				" and %" PRIu64,
				i, c->usage[i].inodes, c->usage[i].blocks,
				right[i].inodes, right[i].blocks))
			check_put(c, key_usage(&k, i),
				  lsm_slice(v, usage_rec_encode(&right[i], v)));
	}
}

static void links_watermark(struct check *c)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	if (c->watermark_ok && c->watermark > c->max_ino)
		return;
	if (check_found(c, "inode numbers would be given out twice")) {
		c->watermark = c->max_ino + WATERMARK_STEP;
		check_put(c, key_global(&k, KEY_GLOBAL_WATERMARK),
			  lsm_slice(v, watermark_encode(c->watermark, v)));
	}
}

int check_links(struct check *c)
{
	struct check_node *root = check_find(c, FS_ROOT_INO);
	int r = 0;

	if (!root || !(root->flags & NODE_RECORD) || !S_ISDIR(root->mode))
		check_found_only(c, "there is no root directory");
	for (size_t i = 0; r == 0 && i < c->slots; i++)
		if (c->nodes[i].ino && S_ISDIR(c->nodes[i].mode))
			r = walk_up(c, &c->nodes[i]);
	for (size_t i = 0; r == 0 && i < c->slots; i++)
		if (c->nodes[i].ino)
			r = links_node(c, &c->nodes[i]);
	if (r == 0) {
		links_usage(c);
		links_watermark(c);
	}
	return r;
}
