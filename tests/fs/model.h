/* SPDX-License-Identifier: MIT */
/*
 * model.h - a filesystem as a plain tree in memory, and random operations that
 * are done to it and to a real one alike. model_step() chooses the operation
 * from the seed and the model alone, so a history can be played again without
 * a filesystem: that tells what each of its prefixes looks like.
 *
 * A tree is compared by one number over names, types, modes, link counts,
 * sizes, blocks, contents, targets and attributes; not times.
 */
#ifndef TESTS_FS_MODEL_H
#define TESTS_FS_MODEL_H

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>

#include "lsm/base/hash.h"
#include "tests/fs/fs_test.h"

#define MODEL_NODES      256
#define MODEL_ENTRIES    64
#define MODEL_BLOCK      4096
#define MODEL_FILE_MAX   (60 * MODEL_BLOCK)
#define MODEL_FILE_BLOCK (MODEL_FILE_MAX / MODEL_BLOCK)

struct model_entry {
	char name[16];
	int node;
};

struct model_node {
	bool used;
	mode_t mode;
	unsigned nlink;
	/* directories */
	int parent;
	struct model_entry entries[MODEL_ENTRIES];
	unsigned count;
	/* files; len[b]: bytes of block b that are stored */
	uint8_t *data;
	uint64_t size;
	uint16_t len[MODEL_FILE_BLOCK];
	char target[32];
	char xattr[32]; /* user.x; empty: none */
};

struct model {
	struct model_node nodes[MODEL_NODES]; /* 0: the root */
	uint64_t rnd;
	unsigned dirs[MODEL_NODES], dir_count;
};

static inline struct model *model_new(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	ck_assert_ptr_nonnull(m);
	m->rnd = rnd_seed(seed);
	m->nodes[0].used = true;
	m->nodes[0].mode = S_IFDIR | 0755;
	m->nodes[0].nlink = 2;
	return m;
}

static inline void model_free(struct model *m)
{
	for (unsigned i = 0; i < MODEL_NODES; i++)
		free(m->nodes[i].data);
	free(m);
}

static inline uint64_t model_hash_node(struct model *m, int i)
{
	struct model_node *n = &m->nodes[i];
	uint64_t h = hash_mix(n->mode, n->nlink);

	h = hash_mix(h, hash64(n->xattr, strlen(n->xattr)));
	if (S_ISDIR(n->mode)) {
		uint64_t sum = 0;

		for (unsigned e = 0; e < n->count; e++)
			sum += hash_mix(hash64(n->entries[e].name,
					       strlen(n->entries[e].name)),
					model_hash_node(m, n->entries[e].node));
		return hash_mix(h, sum);
	}
	if (S_ISLNK(n->mode))
		return hash_mix(h, hash64(n->target, strlen(n->target)));
	if (S_ISREG(n->mode)) {
		uint64_t blocks = 0;

		for (unsigned b = 0; b < MODEL_FILE_BLOCK; b++)
			blocks += n->len[b] != 0;
		h = hash_mix(h, hash_mix(n->size, blocks * 8));
		h = hash_mix(h, n->size ? hash64(n->data, n->size) : 0);
	}
	return h;
}

static inline uint64_t model_hash(struct model *m)
{
	return model_hash_node(m, 0);
}

/* ---- the same number of a real tree ---- */

struct tree_walk {
	struct fs *fs;
	uint64_t sum;
	int error;
};

static inline int tree_hash(struct fs *fs, const struct fs_attr *a,
			    uint64_t *out);

static inline int tree_fill(void *arg, const char *name, uint64_t ino,
			    mode_t type, uint64_t cookie,
			    const struct fs_attr *attr)
{
	struct tree_walk *w = arg;
	uint64_t h = 0;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (!attr) {
		w->error = -EUCLEAN;
		return 1;
	}
	w->error = tree_hash(w->fs, attr, &h);
	w->sum += hash_mix(hash64(name, strlen(name)), h);
	fs_forget(w->fs, ino, 1);
	return 0;
}

static inline int tree_hash(struct fs *fs, const struct fs_attr *a,
			    uint64_t *out)
{
	static uint8_t data[MODEL_FILE_MAX];
	char buf[FS_SYMLINK_MAX + 1];
	uint64_t ino = a->st.st_ino,
		 h = hash_mix(a->st.st_mode, a->st.st_nlink);
	ssize_t n = fs_getxattr(fs, ino, "user.x", buf, sizeof(buf));

	if (n < 0 && n != -ENODATA)
		return (int)n;
	h = hash_mix(h, hash64(buf, n < 0 ? 0 : (size_t)n));
	if (S_ISDIR(a->st.st_mode)) {
		struct tree_walk w = {.fs = fs};
		int r = fs_readdir(fs, ino, 0, true, tree_fill, &w);

		*out = hash_mix(h, w.sum);
		return r ? r : w.error;
	}
	if (S_ISLNK(a->st.st_mode)) {
		int r = fs_readlink(fs, ino, buf, sizeof(buf));

		if (r)
			return r;
		h = hash_mix(h, hash64(buf, strlen(buf)));
	} else if (S_ISREG(a->st.st_mode)) {
		n = fs_read(fs, ino, data, sizeof(data), 0);
		if (n != a->st.st_size)
			return n < 0 ? (int)n : -EIO;
		h = hash_mix(h, hash_mix((uint64_t)a->st.st_size,
					 (uint64_t)a->st.st_blocks));
		h = hash_mix(h, n ? hash64(data, (size_t)n) : 0);
	}
	*out = h;
	return 0;
}

static inline uint64_t fs_hash(struct fs *fs)
{
	struct fs_attr a = must_stat(fs, FS_ROOT_INO);
	uint64_t h = 0;
	int r = tree_hash(fs, &a, &h);

	ck_assert_msg(r == 0, "reading the tree: %s", lsm_strerror(r));
	return h;
}

/* ---- choosing ---- */

static inline unsigned pick(struct model *m, unsigned n)
{
	return (unsigned)((rnd(&m->rnd) >> 20) % n);
}

static inline void list_dirs(struct model *m, int i)
{
	m->dirs[m->dir_count++] = (unsigned)i;
	for (unsigned e = 0; e < m->nodes[i].count; e++)
		if (S_ISDIR(m->nodes[m->nodes[i].entries[e].node].mode))
			list_dirs(m, m->nodes[i].entries[e].node);
}

static inline int pick_dir(struct model *m)
{
	m->dir_count = 0;
	list_dirs(m, 0);
	return (int)m->dirs[pick(m, m->dir_count)];
}

static inline int model_find(struct model *m, int dir, const char *name)
{
	struct model_node *d = &m->nodes[dir];

	for (unsigned e = 0; e < d->count; e++)
		if (!strcmp(d->entries[e].name, name))
			return (int)e;
	return -1;
}

static inline int model_alloc(struct model *m)
{
	for (int i = 1; i < MODEL_NODES; i++) {
		if (m->nodes[i].used)
			continue;
		free(m->nodes[i].data);
		memset(&m->nodes[i], 0, sizeof(m->nodes[i]));
		return i;
	}
	return -1;
}

static inline void model_add(struct model *m, int dir, const char *name,
			     int node)
{
	struct model_node *d = &m->nodes[dir];

	ck_assert_uint_lt(d->count, MODEL_ENTRIES);
	strcpy(d->entries[d->count].name, name);
	d->entries[d->count++].node = node;
	if (S_ISDIR(m->nodes[node].mode)) {
		d->nlink++;
		m->nodes[node].parent = dir;
	}
}

/* Takes the name away; the node loses a link when drop is set. */
static inline void model_remove(struct model *m, int dir, int e, bool drop)
{
	struct model_node *d = &m->nodes[dir];
	struct model_node *n = &m->nodes[d->entries[e].node];

	if (S_ISDIR(n->mode))
		d->nlink--;
	if (drop && (S_ISDIR(n->mode) || --n->nlink == 0))
		n->used = false;
	memmove(&d->entries[e], &d->entries[e + 1],
		(d->count - (unsigned)e - 1) * sizeof(d->entries[0]));
	d->count--;
}

static inline bool model_below(struct model *m, int node, int top)
{
	for (; node != top; node = m->nodes[node].parent)
		if (node == 0)
			return false;
	return true;
}

/* ---- inodes of the real one ---- */

/* Inode of a directory by its path; 0: the filesystem failed. */
static inline uint64_t real_dir(struct model *m, struct fs *fs, int dir)
{
	struct model_node *p;
	struct fs_attr a;
	uint64_t up;

	if (dir == 0)
		return FS_ROOT_INO;
	up = real_dir(m, fs, m->nodes[dir].parent);
	p = &m->nodes[m->nodes[dir].parent];
	for (unsigned e = 0; up && e < p->count; e++) {
		if (p->entries[e].node != dir)
			continue;
		if (fs_lookup(fs, up, p->entries[e].name, &a))
			return 0;
		fs_forget(fs, a.st.st_ino, 1);
		return a.st.st_ino;
	}
	return 0;
}

static inline uint64_t real_entry(struct model *m, struct fs *fs, int dir,
				  int e)
{
	uint64_t d = real_dir(m, fs, dir);
	struct fs_attr a;

	if (!d || fs_lookup(fs, d, m->nodes[dir].entries[e].name, &a))
		return 0;
	fs_forget(fs, a.st.st_ino, 1);
	return a.st.st_ino;
}

/* ---- operations ---- */

/* The result that the model expects, and what the filesystem said. */
struct step {
	const char *what;
	int expect, got;
	bool synced; /* everything before is durable when got is 0 */
};

static inline void step_create(struct model *m, struct fs *fs, struct step *s)
{
	int dir = pick_dir(m), node = model_alloc(m);
	unsigned kind = pick(m, 10);
	struct fs_attr a;
	char name[16], target[32];
	uint64_t d;

	sprintf(name, "n%u", pick(m, 40));
	sprintf(target, "target%u", pick(m, 1000));
	s->what = kind < 6 ? "mknod" : kind < 9 ? "mkdir" : "symlink";
	if (node < 0 || m->nodes[dir].count == MODEL_ENTRIES)
		return;
	s->expect = model_find(m, dir, name) >= 0 ? -EEXIST : 0;
	if (fs) {
		d = real_dir(m, fs, dir);
		s->got = -EIO;
		if (d && kind < 6)
			s->got = fs_mknod(fs, &root_cred, d, name,
					  S_IFREG | 0644, 0, &a);
		else if (d && kind < 9)
			s->got = fs_mkdir(fs, &root_cred, d, name, 0755, &a);
		else if (d)
			s->got =
				fs_symlink(fs, &root_cred, d, name, target, &a);
		if (s->got == 0)
			fs_forget(fs, a.st.st_ino, 1);
	}
	if (s->got || s->expect)
		return;
	m->nodes[node].used = true;
	m->nodes[node].nlink = 1;
	m->nodes[node].mode = S_IFREG | 0644;
	if (kind >= 6 && kind < 9) {
		m->nodes[node].mode = S_IFDIR | 0755;
		m->nodes[node].nlink = 2;
	} else if (kind == 9) {
		m->nodes[node].mode = S_IFLNK | 0777;
		strcpy(m->nodes[node].target, target);
	}
	model_add(m, dir, name, node);
}

/* A directory and one of its entries; false: it has none. */
static inline bool pick_entry(struct model *m, int *dir, int *e)
{
	*dir = pick_dir(m);
	if (m->nodes[*dir].count == 0)
		return false;
	*e = (int)pick(m, m->nodes[*dir].count);
	return true;
}

static inline void step_remove(struct model *m, struct fs *fs, struct step *s)
{
	bool rmdir = pick(m, 3) == 0, is_dir;
	struct model_node *n;
	uint64_t d;
	int dir, e;

	s->what = rmdir ? "rmdir" : "unlink";
	if (!pick_entry(m, &dir, &e))
		return;
	n = &m->nodes[m->nodes[dir].entries[e].node];
	is_dir = S_ISDIR(n->mode);
	if (rmdir != is_dir)
		s->expect = rmdir ? -ENOTDIR : -EISDIR;
	else if (is_dir && n->count)
		s->expect = -ENOTEMPTY;
	if (fs) {
		d = real_dir(m, fs, dir);
		s->got =
			!d      ? -EIO
			: rmdir ? fs_rmdir(fs, d, m->nodes[dir].entries[e].name)
				: fs_unlink(fs, d,
					    m->nodes[dir].entries[e].name);
	}
	if (s->got == 0 && s->expect == 0)
		model_remove(m, dir, e, true);
}

static inline void step_link(struct model *m, struct fs *fs, struct step *s)
{
	int dir = pick_dir(m), from, e, node;
	struct fs_attr a;
	char name[16];

	s->what = "link";
	sprintf(name, "n%u", pick(m, 40));
	if (!pick_entry(m, &from, &e) || m->nodes[dir].count == MODEL_ENTRIES)
		return;
	node = m->nodes[from].entries[e].node;
	if (S_ISDIR(m->nodes[node].mode))
		s->expect = -EPERM;
	else if (model_find(m, dir, name) >= 0)
		s->expect = -EEXIST;
	if (fs) {
		uint64_t ino = real_entry(m, fs, from, e);
		uint64_t d = real_dir(m, fs, dir);

		s->got = ino && d ? fs_link(fs, ino, d, name, &a) : -EIO;
		if (s->got == 0)
			fs_forget(fs, ino, 1);
	}
	if (s->got || s->expect)
		return;
	m->nodes[node].nlink++;
	model_add(m, dir, name, node);
}

static inline int rename_expect(struct model *m, int src, int dst, int from,
				int to, unsigned flags)
{
	bool src_dir = S_ISDIR(m->nodes[src].mode);
	bool dst_dir = dst >= 0 && S_ISDIR(m->nodes[dst].mode);

	if (src_dir && from != to && model_below(m, to, src))
		return -EINVAL;
	if (dst >= 0 && dst_dir && from != to && model_below(m, from, dst))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (dst < 0)
		return flags & RENAME_EXCHANGE ? -ENOENT : 0;
	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (src == dst || (flags & RENAME_EXCHANGE))
		return 0;
	if (src_dir != dst_dir)
		return src_dir ? -ENOTDIR : -EISDIR;
	return dst_dir && m->nodes[dst].count ? -ENOTEMPTY : 0;
}

static inline void step_rename(struct model *m, struct fs *fs, struct step *s)
{
	static const unsigned all[] = {0, 0, 0, RENAME_NOREPLACE,
				       RENAME_EXCHANGE};
	unsigned flags = all[pick(m, 5)];
	int to = pick_dir(m), from, e, src, dst, old;
	char name[16], new_name[16];

	s->what = "rename";
	sprintf(new_name, "n%u", pick(m, 40));
	if (!pick_entry(m, &from, &e) || m->nodes[to].count == MODEL_ENTRIES)
		return;
	src = m->nodes[from].entries[e].node;
	strcpy(name, m->nodes[from].entries[e].name);
	old = model_find(m, to, new_name);
	dst = old < 0 ? -1 : m->nodes[to].entries[old].node;
	s->expect = rename_expect(m, src, dst, from, to, flags);
	if (fs) {
		uint64_t a = real_dir(m, fs, from), b = real_dir(m, fs, to);

		s->got = a && b ? fs_rename(fs, &root_cred, a, name, b,
					    new_name, flags)
				: -EIO;
	}
	if (s->got || s->expect || src == dst)
		return;
	if (old >= 0)
		model_remove(m, to, old, !(flags & RENAME_EXCHANGE));
	model_remove(m, from, model_find(m, from, name), false);
	model_add(m, to, new_name, src);
	if (flags & RENAME_EXCHANGE)
		model_add(m, from, name, dst);
}

/* A regular file; -1: none was found. */
static inline int pick_file(struct model *m, int *dir, int *e)
{
	for (int tries = 0; tries < 5; tries++) {
		if (pick_entry(m, dir, e) &&
		    S_ISREG(m->nodes[m->nodes[*dir].entries[*e].node].mode))
			return m->nodes[*dir].entries[*e].node;
	}
	return -1;
}

static inline void model_write(struct model_node *n, const uint8_t *buf,
			       uint64_t from, uint64_t to)
{
	memcpy(n->data + from, buf, to - from);
	for (uint64_t b = from / MODEL_BLOCK; b * MODEL_BLOCK < to; b++) {
		uint64_t end = to - b * MODEL_BLOCK;

		if (end > MODEL_BLOCK)
			end = MODEL_BLOCK;
		if (n->len[b] < end)
			n->len[b] = (uint16_t)end;
	}
	if (to > n->size)
		n->size = to;
}

static inline void model_zero(struct model_node *n, uint64_t from, uint64_t to)
{
	memset(n->data + from, 0, to - from);
	for (uint64_t b = from / MODEL_BLOCK; b * MODEL_BLOCK < to; b++) {
		uint64_t start = b * MODEL_BLOCK;
		uint64_t a = from > start ? from - start : 0;

		if (to - start >= n->len[b] && a < n->len[b])
			n->len[b] = (uint16_t)a;
	}
}

static inline void step_data(struct model *m, struct fs *fs, struct step *s)
{
	static uint8_t buf[MODEL_FILE_MAX];
	unsigned kind = pick(m, 8), big = pick(m, 6) == 0;
	uint64_t from, to, ino = 1;
	struct model_node *n;
	int dir, e, node = pick_file(m, &dir, &e);

	s->what = kind < 5 ? "write" : kind < 7 ? "truncate" : "punch";
	if (node < 0)
		return;
	n = &m->nodes[node];
	if (!n->data)
		n->data = calloc(1, MODEL_FILE_MAX);
	ck_assert_ptr_nonnull(n->data);
	from = pick(m, big ? MODEL_FILE_MAX - 1 : 20000);
	if (pick(m, 2))
		from -= from % MODEL_BLOCK;
	to = from + 1 + pick(m, big ? MODEL_FILE_MAX : 10000);
	if (to > MODEL_FILE_MAX)
		to = MODEL_FILE_MAX;
	if (fs) {
		ino = real_entry(m, fs, dir, e);
		if (!ino) {
			s->got = -EIO;
			return;
		}
	}
	if (kind < 5) {
		memset(buf, (int)pick(m, 255) + 1, to - from);
		if (fs) {
			ssize_t r = fs_write(fs, ino, buf, to - from, from, 0);

			s->got = r < 0 ? (int)r : 0;
		}
		if (s->got == 0)
			model_write(n, buf, from, to);
	} else if (kind < 7) {
		struct fs_attr a = {0};

		a.st.st_size = (off_t)from;
		if (fs)
			s->got = fs_setattr(fs, &root_cred, ino, &a,
					    FS_SET_SIZE, &a);
		if (s->got == 0) {
			if (from < n->size)
				model_zero(n, from, MODEL_FILE_MAX);
			n->size = from;
		}
	} else {
		if (fs)
			s->got = fs_fallocate(
				fs, ino,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				from, to - from, 0);
		if (to > n->size)
			to = n->size;
		if (s->got == 0 && from < to)
			model_zero(n, from, to);
	}
}

static inline bool model_all_zero(const uint8_t *p, size_t len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

/* Copies [from, from + len), whole blocks but perhaps for the last. */
static inline void model_copy(const struct model_node *src,
			      struct model_node *dst, uint64_t from,
			      uint64_t to, uint64_t len)
{
	uint64_t a = from / MODEL_BLOCK, b = to / MODEL_BLOCK, at;

	for (at = 0; at + MODEL_BLOCK <= len; at += MODEL_BLOCK)
		dst->len[b++] = src->len[a++];
	if (at < len &&
	    (dst->len[b] || !model_all_zero(src->data + from + at, len - at)) &&
	    dst->len[b] < len - at)
		dst->len[b] = (uint16_t)(len - at);
	memcpy(dst->data + to, src->data + from, len);
	if (to + len > dst->size)
		dst->size = to + len;
}

static inline void step_copy(struct model *m, struct fs *fs, struct step *s)
{
	int dir[2] = {0}, e[2] = {0},
	    node[2] = {pick_file(m, &dir[0], &e[0]),
		       pick_file(m, &dir[1], &e[1])};
	uint64_t from = pick(m, 6) * MODEL_BLOCK, to = pick(m, 6) * MODEL_BLOCK;
	uint64_t len = pick(m, 40) * MODEL_BLOCK, ino[2];
	struct model_node *src, *dst;
	ssize_t n;

	s->what = "copy_file_range";
	if (node[0] < 0 || node[1] < 0)
		return;
	src = &m->nodes[node[0]];
	dst = &m->nodes[node[1]];
	if (from >= src->size)
		return;
	if (len > src->size - from)
		len = src->size - from;
	if (!len || (src == dst && from < to + len && to < from + len))
		return;
	if (!dst->data)
		dst->data = calloc(1, MODEL_FILE_MAX);
	ck_assert_ptr_nonnull(dst->data);
	if (to + len > MODEL_FILE_MAX)
		return;
	if (fs) {
		for (int i = 0; i < 2; i++)
			ino[i] = real_entry(m, fs, dir[i], e[i]);
		n = ino[0] && ino[1] ? fs_copy_file_range(fs, ino[0], from,
							  ino[1], to, len, 0)
				     : -EIO;
		s->got = n < 0 ? (int)n : 0;
		ck_assert(n < 0 || n == (ssize_t)len);
	}
	if (s->got == 0)
		model_copy(src, dst, from, to, len);
}

static inline void step_attr(struct model *m, struct fs *fs, struct step *s)
{
	bool xattr = pick(m, 2);
	struct model_node *n;
	struct fs_attr a = {0};
	char value[32];
	uint64_t ino = 1;
	int dir, e;

	s->what = xattr ? "setxattr" : "chmod";
	sprintf(value, "value%u", pick(m, 1000));
	a.st.st_mode = pick(m, 0777); /* no setgid: new files would inherit */
	if (!pick_entry(m, &dir, &e))
		return;
	n = &m->nodes[m->nodes[dir].entries[e].node];
	if (fs) {
		ino = real_entry(m, fs, dir, e);
		if (!ino)
			s->got = -EIO;
		else if (!xattr)
			s->got = fs_setattr(fs, &root_cred, ino, &a,
					    FS_SET_MODE, &a);
		else if (n->xattr[0])
			s->got = fs_removexattr(fs, &root_cred, ino, "user.x");
		else
			s->got = fs_setxattr(fs, &root_cred, ino, "user.x",
					     value, strlen(value), 0);
	}
	if (s->got)
		return;
	if (!xattr)
		n->mode = (n->mode & S_IFMT) | (a.st.st_mode & 07777);
	else if (n->xattr[0])
		n->xattr[0] = '\0';
	else
		strcpy(n->xattr, value);
}

static inline void step_sync(struct model *m, struct fs *fs, struct step *s)
{
	s->what = "sync";
	s->synced = true;
	if (pick(m, 2))
		s->got = fs ? fs_sync(fs) : 0;
	else
		s->got = fs ? fs_fsync(fs, FS_ROOT_INO, pick(m, 2))
			    : (pick(m, 2), 0);
}

/* One operation on the model, and on fs unless NULL. The model changes only
 * when the filesystem said what was expected. setgid semantics are kept out:
 * new files in such directories would inherit. */
static inline struct step model_step(struct model *m, struct fs *fs)
{
	struct step s = {.what = "nothing"};
	unsigned kind = pick(m, 100);

	if (kind < 26)
		step_create(m, fs, &s);
	else if (kind < 36)
		step_remove(m, fs, &s);
	else if (kind < 42)
		step_link(m, fs, &s);
	else if (kind < 56)
		step_rename(m, fs, &s);
	else if (kind < 80)
		step_data(m, fs, &s);
	else if (kind < 86)
		step_copy(m, fs, &s);
	else if (kind < 95)
		step_attr(m, fs, &s);
	else
		step_sync(m, fs, &s);
	if (!fs)
		s.got = s.expect;
	return s;
}

#endif
