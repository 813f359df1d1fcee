/* SPDX-License-Identifier: MIT */
/*
 * check_tree.c - second pass of fs_check(): every entry of every directory
 * against the table of inodes. Counts the names of each inode. One thread.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fs/check.h"

static int compare_inos(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* All directories in order, so that the store is read forward. */
static int directories(struct check *c, uint64_t **out, size_t *count)
{
	uint64_t *inos = malloc((c->result->directories + 1) * sizeof(*inos));
	size_t n = 0;

	if (!inos)
		return -ENOMEM;
	for (size_t i = 0; i < c->slots; i++)
		if (c->nodes[i].ino && (c->nodes[i].flags & NODE_RECORD) &&
		    S_ISDIR(c->nodes[i].mode))
			inos[n++] = c->nodes[i].ino;
	qsort(inos, n, sizeof(*inos), compare_inos);
	*out = inos;
	*count = n;
	return 0;
}

static void remove_entry(struct check *c, uint64_t dir, struct lsm_slice name,
			 uint64_t cookie)
{
	struct key k;

	check_delete(c, key_name(&k, dir, KEY_ENTRY_NAME, name));
	check_delete(c, key_cookie(&k, dir, cookie));
}

/* What is wrong with the entry; NULL: nothing. */
static const char *judge(const struct check_node *child, uint64_t dir)
{
	if (!child || !(child->flags & NODE_RECORD))
		return "which does not exist";
	if (!S_ISDIR(child->mode))
		return NULL;
	if (child->ino == FS_ROOT_INO)
		return "the root directory";
	if (child->ino == dir)
		return "the directory itself";
	if (child->named_by)
		return "a directory that has a name elsewhere";
	return NULL;
}

/* Returns whether the entry stays. */
static bool tree_entry(struct check *c, struct check_node *dir,
		       struct lsm_slice name, struct entry_rec *e)
{
	struct check_node *child = check_find(c, e->ino);
	const char *wrong = judge(child, dir->ino);

	if (wrong) {
		if (!check_found(c,
				 "directory %" PRIu64 ": entry '%.*s' names "
				 "inode %" PRIu64 ", %s",
				 dir->ino, (int)name.len,
				 (const char *)name.data, e->ino, wrong))
			return true;
		remove_entry(c, dir->ino, name, e->cookie);
		return false;
	}
	if (e->type != mode_to_dt(child->mode) &&
	    check_found(c,
			"directory %" PRIu64 ": entry '%.*s' is called a %s "
			"but is a %s",
			dir->ino, (int)name.len, (const char *)name.data,
			mode_to_text(dt_to_mode(e->type)),
			mode_to_text(child->mode))) {
		e->type = mode_to_dt(child->mode);
		check_put_entry_name(c, dir->ino, name, e);
		check_put_entry_cookie(c, dir->ino, name, e);
	}
	if (S_ISDIR(child->mode)) {
		child->named_by = dir->ino;
		dir->links++;
	} else {
		child->links++;
	}
	return true;
}

static int tree_directory(struct check *c, struct lsm_iter *it, uint64_t ino)
{
	struct check_node *dir = check_find(c, ino);
	struct inode_rec rec;
	uint64_t removed = 0;
	struct key k;
	int r;

	dir->links = 2;
	for (r = lsm_iter_seek(it, key_ino(&k, ino, KEY_ENTRY_NAME)); r == 0;
	     r = lsm_iter_next(it)) {
		struct key_parts p;
		struct lsm_slice value;
		struct entry_rec e;

		if (key_decode(lsm_iter_key(it), &p))
			continue;
		if (p.ino != ino || p.type != KEY_ENTRY_NAME)
			break;
		r = iter_value(it, &value);
		if (r)
			break;
		if (entry_name_decode(value, &e))
			continue; /* reported by the scan */
		if (!tree_entry(c, dir, p.rest, &e))
			removed++;
	}
	if (r < 0)
		return r;
	if (removed) {
		r = check_get_inode(c, ino, &rec);
		if (r)
			return r < 0 ? r : -EUCLEAN;
		rec.entries -= removed < rec.entries ? removed : rec.entries;
		c->result->entries -= removed;
		check_put_inode(c, ino, &rec);
	}
	return check_flush(c, false);
}

int check_tree(struct check *c)
{
	struct lsm_iter_options o = {.no_fill_cache = true};
	struct lsm_iter *it;
	uint64_t *inos;
	size_t count;
	int r = directories(c, &inos, &count);

	if (r)
		return r;
	r = lsm_iter_new(c->fs->db, &o, &it);
	if (r == 0) {
		for (size_t i = 0; r == 0 && i < count; i++)
			r = tree_directory(c, it, inos[i]);
		lsm_iter_free(it);
	}
	free(inos);
	return r;
}
