/* SPDX-License-Identifier: MIT */
/*
 * schema_text.c - keys and records in words, for dump, fsck and tests. Any
 * thread.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "fs/schema.h"
#include "fs/super.h"

const char *mode_to_text(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symbolic link";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "unknown type";
	}
}

static int time_to_text(const char *what, struct timespec t, struct buf *out)
{
	return buf_printf(out, " %s %lld.%09ld", what, (long long)t.tv_sec,
			  (long)t.tv_nsec);
}

int inode_rec_to_text(const struct inode_rec *r, struct buf *out)
{
	int e = buf_printf(
		out,
		"%s mode %04o uid %u gid %u nlink %u size %llu blocks %llu",
		mode_to_text(r->mode), r->mode & 07777, r->uid, r->gid,
		r->nlink, (unsigned long long)r->size,
		(unsigned long long)r->blocks);

	if (!e && (S_ISCHR(r->mode) || S_ISBLK(r->mode)))
		e = buf_printf(out, " rdev %llx", (unsigned long long)r->rdev);
	if (!e && r->flags)
		e = buf_printf(out, " flags %x", r->flags);
	if (!e)
		e = time_to_text("atime", r->atime, out);
	if (!e)
		e = time_to_text("mtime", r->mtime, out);
	if (!e)
		e = time_to_text("ctime", r->ctime, out);
	if (!e)
		e = time_to_text("btime", r->btime, out);
	if (!e && S_ISDIR(r->mode))
		e = buf_printf(out,
			       " parent %llu entries %llu next cookie %llu",
			       (unsigned long long)r->parent,
			       (unsigned long long)r->entries,
			       (unsigned long long)r->next_cookie);
	return e;
}

static int entry_to_text(const struct entry_rec *e, struct buf *out)
{
	return buf_printf(out, "inode %llu %s", (unsigned long long)e->ino,
			  mode_to_text(dt_to_mode(e->type)));
}

static int super_to_text(const struct superblock *sb, struct buf *out)
{
	int e = buf_printf(out, "format %u block %u bytes uuid ", sb->format,
			   sb->block_bytes);

	for (unsigned i = 0; !e && i < 16; i++)
		e = buf_printf(out, "%02x", sb->uuid[i]);
	if (!e)
		e = buf_printf(out, " limit %llu label '",
			       (unsigned long long)sb->size_limit);
	if (!e)
		e = buf_append_escaped(out,
				       lsm_slice(sb->label, strlen(sb->label)));
	return e ? e : buf_printf(out, "'");
}

static int global_to_text(const struct key_parts *k, struct lsm_slice value,
			  struct buf *out)
{
	struct superblock sb;
	struct usage_rec u;
	uint64_t next;
	int e;

	switch (k->type) {
	case KEY_GLOBAL_SUPER:
		e = buf_printf(out, "superblock: ");
		if (e)
			return e;
		if (super_decode(value, &sb) == 0)
			return super_to_text(&sb, out);
		break;
	case KEY_GLOBAL_WATERMARK:
		e = buf_printf(out, "inode watermark: ");
		if (e)
			return e;
		if (watermark_decode(value, &next) == 0)
			return buf_printf(out, "%llu",
					  (unsigned long long)next);
		break;
	case KEY_GLOBAL_USAGE:
		e = buf_printf(out,
			       "usage %llu: ", (unsigned long long)k->number);
		if (e)
			return e;
		if (usage_rec_decode(value, &u) == 0)
			return buf_printf(out, "blocks %llu inodes %llu",
					  (unsigned long long)u.blocks,
					  (unsigned long long)u.inodes);
		break;
	case KEY_GLOBAL_ORPHAN:
		return buf_printf(out, "orphan: inode %llu",
				  (unsigned long long)k->number);
	case KEY_GLOBAL_UNCOUNTED:
		return buf_printf(out, "uncounted: inode %llu",
				  (unsigned long long)k->number);
	case KEY_GLOBAL_SNAPSHOT:
		e = buf_printf(out, "snapshot '");
		if (!e)
			e = buf_append_escaped(out, k->rest);
		return e ? e : buf_printf(out, "'");
	}
	return buf_printf(out, "damaged");
}

static int named_to_text(const char *what, struct lsm_slice name,
			 struct buf *out)
{
	int e = buf_printf(out, "%s '", what);

	if (!e)
		e = buf_append_escaped(out, name);
	return e ? e : buf_printf(out, "': ");
}

static int object_to_text(const struct key_parts *k, struct lsm_slice value,
			  struct buf *out)
{
	struct inode_rec rec;
	struct entry_rec entry;
	int e = buf_printf(out, "inode %llu: ", (unsigned long long)k->ino);

	if (e)
		return e;
	switch (k->type) {
	case KEY_INODE:
		if (inode_rec_decode(value, &rec) == 0)
			return inode_rec_to_text(&rec, out);
		break;
	case KEY_SYMLINK:
		return named_to_text("target", value, out);
	case KEY_XATTR:
		e = named_to_text("attribute", k->rest, out);
		return e ? e : buf_printf(out, "%zu bytes", value.len);
	case KEY_ENTRY_NAME:
		e = named_to_text("entry", k->rest, out);
		if (e)
			return e;
		if (entry_name_decode(value, &entry) == 0) {
			e = entry_to_text(&entry, out);
			if (e)
				return e;
			return buf_printf(out, " cookie %llu",
					  (unsigned long long)entry.cookie);
		}
		break;
	case KEY_ENTRY_COOKIE:
		e = buf_printf(out,
			       "cookie %llu: ", (unsigned long long)k->number);
		if (e)
			return e;
		if (entry_cookie_decode(value, &entry) == 0) {
			e = named_to_text("entry", entry.name, out);
			return e ? e : entry_to_text(&entry, out);
		}
		break;
	case KEY_BLOCK:
		return buf_printf(out, "block %llu: %zu bytes",
				  (unsigned long long)k->number, value.len);
	}
	return buf_printf(out, "damaged");
}

int fs_key_to_text(struct lsm_slice key, struct lsm_slice value, char **text)
{
	struct key_parts k;
	struct buf out = {0};
	int e;

	if (key_decode(key, &k)) {
		e = buf_printf(&out, "unknown key '");
		if (!e)
			e = buf_append_escaped(&out, key);
		if (!e)
			e = buf_printf(&out, "': %zu bytes", value.len);
	} else if (k.ino == 0) {
		e = global_to_text(&k, value, &out);
	} else {
		e = object_to_text(&k, value, &out);
	}
	/* A final zero whatever came last. */
	if (!e)
		e = buf_append_u8(&out, 0);
	if (e) {
		buf_release(&out);
		return e;
	}
	*text = (char *)out.data;
	return 0;
}
