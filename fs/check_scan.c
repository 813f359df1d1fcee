/* SPDX-License-Identifier: MIT */
/*
 * check_scan.c - first pass of fs_check(): every key once, in order, and all
 * that can be judged inside one inode. The iterator sees the store as it was,
 * so repairs may be written on the way. One thread.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/check.h"

/* The inode whose keys are passing by. */
struct scan {
	struct check *c;
	struct lsm_iter *it;
	uint64_t ino;    /* 0: none yet */
	bool record;     /* rec is right, but for what is counted below */
	bool rebuild;    /* the record was there but unreadable */
	bool stray_said; /* keys without a record were reported */
	struct inode_rec rec;
	uint64_t blocks, entries, max_cookie;
	uint32_t flags;
	bool target;
	uint64_t last_block;
	size_t last_bytes;
};

static int scan_global(struct check *c, const struct key_parts *k,
		       struct lsm_slice key, struct lsm_slice value)
{
	struct check_node *n;
	struct superblock sb;

	switch (k->type) {
	case KEY_GLOBAL_SUPER:
		if (super_decode(value, &sb))
			check_found_only(c, "the superblock is damaged");
		break;
	case KEY_GLOBAL_WATERMARK:
		c->watermark_ok = watermark_decode(value, &c->watermark) == 0;
		break;
	case KEY_GLOBAL_USAGE:
		if (k->number >= USAGE_SHARDS) {
			if (check_found(c,
					"usage shard %" PRIu64
					" is none of ours",
					k->number))
				check_delete(c, key);
		} else if (usage_rec_decode(value, &c->usage[k->number])) {
			/* Reported with the totals. */
			c->usage[k->number].blocks = UINT64_MAX;
		}
		break;
	case KEY_GLOBAL_ORPHAN:
	case KEY_GLOBAL_UNCOUNTED:
		if (k->number == 0 || k->number > INO_MAX) {
			if (check_found(c, "an orphan or uncounted inode "
					   "with an impossible number"))
				check_delete(c, key);
			break;
		}
		n = check_node(c, k->number);
		if (!n)
			return -ENOMEM;
		n->flags |= k->type == KEY_GLOBAL_ORPHAN ? NODE_ORPHAN
							 : NODE_UNCOUNTED;
		break;
	default:
		break;
	}
	return 0;
}

/* ---- keys of one inode ---- */

static void scan_record(struct scan *s, struct lsm_slice value)
{
	s->record = inode_rec_decode(value, &s->rec) == 0;
	if (s->record) {
		s->max_cookie = COOKIE_FIRST - 1;
		return;
	}
	s->rebuild = true;
	memset(&s->rec, 0, sizeof(s->rec));
}

/* A key that this inode must not have. */
static void scan_misplaced(struct scan *s, struct lsm_slice key,
			   const char *what)
{
	if (check_found(s->c, "inode %" PRIu64 " is a %s but has %s", s->ino,
			mode_to_text(s->rec.mode), what))
		check_delete(s->c, key);
}

static void scan_xattr(struct scan *s, const struct key_parts *k,
		       struct lsm_slice key, struct lsm_slice value)
{
	bool access = k->rest.len == sizeof(ACL_ACCESS_NAME) - 1 &&
		      !memcmp(k->rest.data, ACL_ACCESS_NAME, k->rest.len);
	bool dflt = k->rest.len == sizeof(ACL_DEFAULT_NAME) - 1 &&
		    !memcmp(k->rest.data, ACL_DEFAULT_NAME, k->rest.len);

	if (((access || dflt) && acl_check(value.data, value.len)) ||
	    (dflt && !S_ISDIR(s->rec.mode)) || value.len > FS_XATTR_SIZE_MAX) {
		if (check_found(s->c,
				"inode %" PRIu64 ": attribute '%.*s' is "
				"damaged",
				s->ino, (int)k->rest.len,
				(const char *)k->rest.data)) {
			check_delete(s->c, key);
			return;
		}
	}
	s->c->result->xattrs++;
	s->flags |= INODE_XATTRS;
	if (access)
		s->flags |= INODE_ACL_ACCESS;
	if (dflt)
		s->flags |= INODE_ACL_DEFAULT;
	if (k->rest.len == 19 &&
	    !memcmp(k->rest.data, "security.capability", 19))
		s->flags |= INODE_CAPABILITY;
}

static bool same_entry(const struct entry_rec *a, const struct entry_rec *b,
		       struct lsm_slice name)
{
	return a->ino == b->ino && a->type == b->type &&
	       b->name.len == name.len &&
	       memcmp(b->name.data, name.data, name.len) == 0;
}

static int get_by_name(struct scan *s, struct lsm_slice name,
		       struct entry_rec *e)
{
	struct lsm_pin pin = {0};
	struct key k;
	int r = lsm_get(s->c->fs->db, NULL,
			key_name(&k, s->ino, KEY_ENTRY_NAME, name), &pin);

	if (r == 0)
		r = entry_name_decode(lsm_slice(pin.data, pin.len), e);
	lsm_unpin(&pin);
	return r;
}

/* The entry takes part in the counts of its directory. */
static void count_entry(struct scan *s, uint64_t cookie)
{
	s->entries++;
	s->c->result->entries++;
	if (cookie > s->max_cookie)
		s->max_cookie = cookie;
}

static int scan_entry_name(struct scan *s, struct lsm_slice name,
			   struct lsm_slice key, struct lsm_slice value)
{
	struct lsm_pin pin = {0};
	struct entry_rec e, other, owner;
	int r;

	if (entry_name_decode(value, &e) || memchr(name.data, '/', name.len) ||
	    memchr(name.data, 0, name.len) || name_is_dot(name)) {
		if (check_found(s->c,
				"directory %" PRIu64 ": entry '%.*s' is "
				"damaged",
				s->ino, (int)name.len, (const char *)name.data))
			/* Comes back from its other record, if that is good. */
			check_delete(s->c, key);
		return 0;
	}
	r = check_get_cookie(s->c, s->ino, e.cookie, &other, &pin);
	if (r < 0 && r != -EUCLEAN)
		goto out;
	if (r || !same_entry(&e, &other, name)) {
		bool taken = r == 0 &&
			     get_by_name(s, other.name, &owner) == 0 &&
			     owner.cookie == e.cookie &&
			     same_entry(&owner, &other, other.name);

		if (check_found(s->c, "directory %" PRIu64 ": entry '%.*s' %s",
				s->ino, (int)name.len, (const char *)name.data,
				r ? "has no place in the order"
				  : "has another entry's place in the order")) {
			if (taken) {
				if (s->max_cookie < s->rec.next_cookie)
					s->max_cookie = s->rec.next_cookie;
				e.cookie = ++s->max_cookie;
				check_put_entry_name(s->c, s->ino, name, &e);
			}
			check_put_entry_cookie(s->c, s->ino, name, &e);
		}
	}
	r = 0;
	count_entry(s, e.cookie);
out:
	lsm_unpin(&pin);
	return r;
}

static int scan_entry_cookie(struct scan *s, uint64_t cookie,
			     struct lsm_slice key, struct lsm_slice value)
{
	struct entry_rec e, by_name;
	struct lsm_pin pin = {0};
	int r;

	if (cookie < COOKIE_FIRST || cookie > COOKIE_MAX ||
	    entry_cookie_decode(value, &e)) {
		/* Its name, if there is one, was met before and has written
		 * it anew. */
		r = check_flush(s->c, true);
		if (r)
			return r;
		r = check_get_cookie(s->c, s->ino, cookie, &e, &pin);
		lsm_unpin(&pin);
		if (r == -EUCLEAN || cookie < COOKIE_FIRST ||
		    cookie > COOKIE_MAX) {
			if (check_found(s->c,
					"directory %" PRIu64 ": record %" PRIu64
					" of the order is damaged",
					s->ino, cookie))
				check_delete(s->c, key);
			r = 0;
		}
		return r < 0 ? r : 0;
	}
	e.cookie = cookie;
	r = get_by_name(s, e.name, &by_name);
	if (r == 0) {
		if (by_name.cookie == cookie)
			return 0;
		if (check_found(s->c,
				"directory %" PRIu64 ": '%.*s' stands in the "
				"order twice",
				s->ino, (int)e.name.len,
				(const char *)e.name.data))
			check_delete(s->c, key);
		return 0;
	}
	if (r < 0 && r != -EUCLEAN)
		return r;
	if (name_is_dot(e.name)) {
		if (check_found(s->c,
				"directory %" PRIu64 ": an entry is called "
				"'%.*s'",
				s->ino, (int)e.name.len,
				(const char *)e.name.data))
			check_delete(s->c, key);
		return 0;
	}
	if (check_found(s->c,
			"directory %" PRIu64 ": entry '%.*s' cannot be looked "
			"up",
			s->ino, (int)e.name.len, (const char *)e.name.data))
		check_put_entry_name(s->c, s->ino, e.name, &e);
	count_entry(s, cookie);
	return check_flush(s->c, false);
}

/* Of file data only the length is looked at: reading all of it is the business
 * of lsm_verify(). */
static int scan_block(struct scan *s, uint64_t block, struct lsm_slice key)
{
	struct fs *fs = s->c->fs;
	uint64_t end = fs_blocks(fs, s->rec.size);
	size_t tail = s->rec.size & (fs->block_bytes - 1);
	size_t len = lsm_iter_value_len(s->it);
	struct lsm_slice value;
	int r;

	if (s->record && block >= end) {
		if (check_found(s->c,
				"inode %" PRIu64 ": block %" PRIu64 " lies "
				"behind the end of the file",
				s->ino, block))
			check_delete(s->c, key);
		return 0;
	}
	if (len == 0 || len > fs->block_bytes) {
		if (check_found(s->c,
				"inode %" PRIu64 ": block %" PRIu64 " has %zu "
				"bytes",
				s->ino, block, len))
			check_delete(s->c, key);
		return 0;
	}
	if (s->record && tail && block == end - 1 && len > tail &&
	    check_found(s->c,
			"inode %" PRIu64 ": the last block reaches beyond the "
			"end of the file",
			s->ino)) {
		r = iter_value(s->it, &value);
		if (r)
			return r;
		check_put(s->c, key, lsm_slice(value.data, tail));
	}
	s->blocks++;
	s->c->result->blocks++;
	s->last_block = block;
	s->last_bytes = len;
	return 0;
}

/* ---- the end of one inode ---- */

/* An unreadable record: what the other keys say about it. */
static void scan_rebuild(struct scan *s)
{
	struct inode_rec *r = &s->rec;

	memset(r, 0, sizeof(*r));
	r->nlink = 1;
	r->btime = time_now();
	r->atime = r->mtime = r->ctime = r->btime;
	r->flags = s->flags;
	if (s->entries || s->ino == FS_ROOT_INO) {
		r->mode = S_IFDIR | 0700;
		r->nlink = 2; /* the links pass counts */
		r->parent = FS_ROOT_INO;
		r->entries = s->entries;
		r->next_cookie = s->max_cookie < COOKIE_FIRST
					 ? COOKIE_FIRST
					 : s->max_cookie + 1;
	} else if (s->target) {
		r->mode = S_IFLNK | 0777;
		r->size = s->last_bytes;
	} else {
		r->mode = S_IFREG | 0600;
		r->blocks = s->blocks;
		if (s->blocks)
			r->size = (s->last_block << s->c->fs->block_shift) +
				  s->last_bytes;
	}
}

static void scan_counts(struct scan *s)
{
	struct inode_rec *r = &s->rec;
	struct inode_rec was = *r;
	uint32_t known =
		INODE_ACL_ACCESS | INODE_ACL_DEFAULT | INODE_CAPABILITY;
	bool put = false;

	if (s->blocks != r->blocks) {
		r->blocks = s->blocks;
		put |= check_found(s->c,
				   "inode %" PRIu64 ": %" PRIu64 " blocks are "
				   "counted, there are %" PRIu64,
				   s->ino, was.blocks, s->blocks);
	}
	if (S_ISDIR(r->mode) && s->entries != r->entries) {
		r->entries = s->entries;
		put |= check_found(s->c,
				   "directory %" PRIu64 ": %" PRIu64 " entries "
				   "are counted, there are %" PRIu64,
				   s->ino, was.entries, s->entries);
	}
	if (S_ISDIR(r->mode) && s->max_cookie >= r->next_cookie) {
		r->next_cookie = s->max_cookie + 1;
		put |= check_found(s->c,
				   "directory %" PRIu64 ": places in the order "
				   "would be given out twice",
				   s->ino);
	}
	if ((r->flags & known) != (s->flags & known) ||
	    ((s->flags & INODE_XATTRS) && !(r->flags & INODE_XATTRS))) {
		r->flags = s->flags;
		put |= check_found(s->c,
				   "inode %" PRIu64
				   ": its attributes and their "
				   "flags do not agree",
				   s->ino);
	}
	if (S_ISLNK(r->mode) && !s->target)
		check_found_only(s->c,
				 "inode %" PRIu64 ": the symbolic link has no "
				 "target",
				 s->ino);
	if (put)
		check_put_inode(s->c, s->ino, r);
}

static int scan_finish(struct scan *s)
{
	struct check *c = s->c;
	struct check_node *n;

	if (s->ino == 0 || s->stray_said)
		return 0;
	if (s->rebuild) {
		scan_rebuild(s);
		if (!check_found(c, "inode %" PRIu64 ": bad inode record",
				 s->ino))
			return 0;
		check_put_inode(c, s->ino, &s->rec);
	} else {
		n = check_find(c, s->ino);
		/* That is how it has to be, and the usage is the same. */
		if (n && (n->flags & NODE_UNCOUNTED) &&
		    s->blocks < s->rec.blocks)
			s->blocks = s->rec.blocks;
		scan_counts(s);
	}
	n = check_node(c, s->ino);
	if (!n)
		return -ENOMEM;
	if (s->ino > c->max_ino)
		c->max_ino = s->ino;
	n->flags |= NODE_RECORD;
	n->mode = s->rec.mode;
	n->nlink = s->rec.nlink;
	n->blocks = s->blocks;
	n->parent = s->rec.parent;
	c->result->inodes++;
	if (S_ISDIR(n->mode))
		c->result->directories++;
	else if (S_ISREG(n->mode))
		c->result->files++;
	else if (S_ISLNK(n->mode))
		c->result->symlinks++;
	else
		c->result->others++;
	if (c->options->progress && (++c->done_inodes & 1023) == 0)
		c->options->progress(c->options->arg, c->done_inodes,
				     c->total_inodes);
	return check_flush(c, false);
}

static int scan_object(struct scan *s, const struct key_parts *k,
		       struct lsm_slice key)
{
	struct lsm_slice value = {NULL, 0};
	int r = k->type == KEY_BLOCK ? 0 : iter_value(s->it, &value);

	if (r)
		return r;
	if (k->type == KEY_INODE) {
		scan_record(s, value);
		return 0;
	}
	if (!s->record && !s->rebuild) {
		struct key start, end;

		if (s->stray_said)
			return 0;
		s->stray_said = true;
		if (check_found(s->c,
				"inode %" PRIu64 " does not exist but has "
				"records",
				s->ino))
			(void)lsm_batch_delete_range(
				s->c->batch, key_ino_start(&start, s->ino),
				key_ino_start(&end, s->ino + 1));
		return 0;
	}
	switch (k->type) {
	case KEY_SYMLINK:
		if (s->record && !S_ISLNK(s->rec.mode)) {
			scan_misplaced(s, key, "a link target");
			return 0;
		}
		s->target = true;
		if (s->rebuild)
			s->last_bytes = value.len;
		if (s->record && (value.len != s->rec.size || value.len == 0 ||
				  value.len > FS_SYMLINK_MAX ||
				  memchr(value.data, 0, value.len)))
			check_found_only(s->c,
					 "inode %" PRIu64 ": the symbolic "
					 "link's target is damaged",
					 s->ino);
		return 0;
	case KEY_XATTR:
		scan_xattr(s, k, key, value);
		return 0;
	case KEY_ENTRY_NAME:
	case KEY_ENTRY_COOKIE:
		if (s->record && !S_ISDIR(s->rec.mode)) {
			scan_misplaced(s, key, "directory entries");
			return 0;
		}
		if (k->type == KEY_ENTRY_NAME)
			return scan_entry_name(s, k->rest, key, value);
		return scan_entry_cookie(s, k->number, key, value);
	default:
		if (s->record && !S_ISREG(s->rec.mode))
			scan_misplaced(s, key, "file data");
		else
			return scan_block(s, k->number, key);
		return 0;
	}
}

int check_scan(struct check *c)
{
	struct lsm_iter_options o = {.no_fill_cache = true};
	struct scan s = {.c = c};
	struct lsm_iter *it;
	int r = lsm_iter_new(c->fs->db, &o, &it);

	if (r)
		return r;
	for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it)) {
		struct lsm_slice key = lsm_iter_key(it);
		struct lsm_slice value;
		struct key_parts k;

		if (key_decode(key, &k) || k.ino > INO_MAX) {
			char *text = NULL;

			r = iter_value(it, &value);
			if (r == 0)
				r = fs_key_to_text(key, value, &text);
			if (r)
				break;
			if (check_found(c, "%s", text))
				check_delete(c, key);
			free(text);
			continue;
		}
		if (k.ino == 0) {
			r = iter_value(it, &value);
			if (r == 0)
				r = scan_global(c, &k, key, value);
		} else {
			if (k.ino != s.ino) {
				r = scan_finish(&s);
				s = (struct scan){
					.c = c, .it = it, .ino = k.ino};
			}
			if (r == 0)
				r = scan_object(&s, &k, key);
		}
		if (r)
			break;
	}
	lsm_iter_free(it);
	if (r == LSM_END)
		r = scan_finish(&s);
	return r;
}
