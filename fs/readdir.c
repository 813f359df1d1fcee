/* SPDX-License-Identifier: MIT */
/*
 * readdir.c - walking a directory in order of cookies. Entries are taken in
 * groups under the directory's lock and handed out without it, so fill may
 * call anything. A walk that goes on later seeks strictly behind its cookie;
 * nothing is kept between calls. Any thread.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dir.h"
#include "fs/fs_impl.h"

struct group {
	struct {
		uint64_t ino, cookie;
		struct inode *inode; /* counted, when attributes are wanted */
		uint8_t type;
		char name[FS_NAME_MAX + 1];
	} entries[INODE_GROUP];
	unsigned count;
	bool end; /* there is nothing behind */
};

static void group_add(struct group *g, uint64_t ino, uint64_t cookie,
		      uint8_t type, struct lsm_slice name)
{
	g->entries[g->count].ino = ino;
	g->entries[g->count].cookie = cookie;
	g->entries[g->count].type = type;
	g->entries[g->count].inode = NULL;
	memcpy(g->entries[g->count].name, name.data, name.len);
	g->entries[g->count].name[name.len] = '\0';
	g->count++;
}

/* Entries of the store behind cookie. */
static int group_scan(struct fs *fs, uint64_t dir, uint64_t cookie,
		      struct group *g)
{
	struct lsm_iter_options o = {0};
	struct lsm_iter *it;
	struct key k, k2;
	int r;

	o.lower = key_cookie(&k, dir, cookie + 1);
	o.upper = key_ino(&k2, dir, KEY_ENTRY_COOKIE + 1);
	r = lsm_iter_new(fs->db, &o, &it);
	if (r)
		return r;
	for (r = lsm_iter_first(it); r == 0 && g->count < INODE_GROUP;
	     r = lsm_iter_next(it)) {
		struct key_parts key;
		struct lsm_slice value;
		struct entry_rec e;

		r = iter_value(it, &value);
		if (r)
			break;
		r = key_decode(lsm_iter_key(it), &key);
		if (r == 0)
			r = entry_cookie_decode(value, &e);
		if (r) {
			fs_log(fs, LSM_LOG_ERROR,
			       "directory %llu: bad entry record",
			       (unsigned long long)dir);
			break;
		}
		group_add(g, e.ino, key.number, e.type, e.name);
	}
	lsm_iter_free(it);
	if (r == LSM_END) {
		g->end = true;
		r = 0;
	}
	return r;
}

/* Finds the inodes and counts a lookup for each, while none of the names can
 * go away. */
static int group_inodes(struct fs *fs, struct group *g, unsigned first)
{
	struct inode *inodes[INODE_GROUP];
	uint64_t inos[INODE_GROUP];
	unsigned n = 0;
	int r;

	for (unsigned i = first; i < g->count; i++)
		inos[n++] = g->entries[i].ino;
	r = inode_get_group(fs, inos, n, inodes);
	if (r)
		return r;
	for (unsigned i = 0; i < n; i++) {
		if (!inodes[i])
			continue;
		inode_lookup_add(fs, inodes[i], 1);
		g->entries[first + i].inode = inodes[i];
	}
	return 0;
}

static int group_fill(struct fs *fs, struct inode *dir, uint64_t cookie,
		      bool attributes, struct group *g)
{
	unsigned dots;
	int r;

	g->count = 0;
	g->end = false;
	r = inode_rdlock(dir);
	if (r)
		return r;
	if (!S_ISDIR(dir->rec.mode))
		r = -ENOTDIR;
	if (r == 0 && cookie < COOKIE_DOT)
		group_add(g, dir->ino, COOKIE_DOT, DT_DIR, lsm_slice(".", 1));
	if (r == 0 && cookie < COOKIE_DOTDOT) {
		group_add(g, dir->rec.parent, COOKIE_DOTDOT, DT_DIR,
			  lsm_slice("..", 2));
		cookie = COOKIE_DOTDOT;
	}
	dots = g->count;
	if (r == 0 && (dir->rec.nlink == 0 || dir->rec.entries == 0))
		g->end = true;
	else if (r == 0)
		r = group_scan(fs, dir->ino, cookie, g);
	if (r == 0 && attributes && g->count > dots)
		r = group_inodes(fs, g, dots);
	inode_rdunlock(dir);
	return r;
}

static const struct fs_attr *entry_attr(struct fs *fs, struct inode *dir,
					struct inode *inode, uint64_t cookie,
					struct fs_attr *attr)
{
	/* "." and ".." are shown with what is known without another lock. */
	if (cookie <= COOKIE_DOTDOT)
		inode = dir;
	if (!inode || inode_rdlock(inode))
		return NULL;
	inode_fill_attr(fs, inode, attr);
	if (cookie == COOKIE_DOTDOT)
		attr->st.st_ino = inode->rec.parent;
	inode_rdunlock(inode);
	return attr;
}

int fs_readdir(struct fs *fs, uint64_t ino, uint64_t cookie, bool attributes,
	       int (*fill)(void *arg, const char *name, uint64_t ino,
			   mode_t type, uint64_t cookie,
			   const struct fs_attr *attr),
	       void *arg)
{
	struct group *g;
	struct inode *dir;
	bool stop = false;
	int r;

	if (cookie > COOKIE_MAX)
		return -EINVAL;
	r = inode_get(fs, ino, &dir);
	if (r)
		return r;
	g = malloc(sizeof(*g));
	if (!g)
		r = -ENOMEM;
	while (r == 0 && !stop) {
		r = group_fill(fs, dir, cookie, attributes, g);
		for (unsigned i = 0; i < g->count; i++) {
			struct inode *inode = g->entries[i].inode;
			uint64_t at = g->entries[i].cookie;
			const struct fs_attr *a = NULL;
			struct fs_attr attr;

			if (attributes && r == 0 && !stop) {
				a = entry_attr(fs, dir, inode, at, &attr);
				if (!a && inode)
					inode_lookup_sub(fs, inode, 1);
			} else if (inode) {
				inode_lookup_sub(fs, inode, 1);
			}
			if (r == 0 && !stop) {
				stop = fill(arg, g->entries[i].name,
					    g->entries[i].ino,
					    dt_to_mode(g->entries[i].type), at,
					    a) != 0;
				if (stop && a && inode)
					inode_lookup_sub(fs, inode, 1);
				else if (!stop)
					cookie = at;
			}
			if (inode)
				inode_put(fs, inode);
		}
		if (g->end)
			break;
	}
	free(g);
	if (r == 0)
		inode_touch_atime(fs, dir);
	inode_put(fs, dir);
	return r;
}
