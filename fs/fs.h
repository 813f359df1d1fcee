/* SPDX-License-Identifier: MIT */
/*
 * fs.h - the filesystem core: inodes, directories and file data as keys of an
 * LSM store (doc/ARCHITECTURE.md, doc/FORMAT.md). No FUSE in it: the daemon,
 * the command line and in-process tests call the same functions.
 *
 * Results: 0 or a negative errno as the system call of that name documents it;
 * damaged stored data is -EUCLEAN (the daemon answers EIO). Names are one path
 * component each, 1 to 255 bytes, without '/' and zero bytes.
 *
 * One operation is one batch of the store: after a crash the filesystem is a
 * prefix of the history of completed operations.
 *
 * Threads: every function may be called by any number of threads at once,
 * except fs_open() and fs_close().
 *
 * Permissions are the caller's business (the kernel checks them under
 * default_permissions); the core does what needs the caller's identity: owners
 * of new files, setgid directories, clearing of setuid bits.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "lsm/lsm.h"

#define FS_ROOT_INO            1
#define FS_NAME_MAX            255
#define FS_XATTR_NAME_MAX      255
#define FS_XATTR_SIZE_MAX      65536
#define FS_LINK_MAX            2000000000u
#define FS_SYMLINK_MAX         4095
#define FS_BLOCK_BYTES_DEFAULT 4096
#define FS_BLOCK_BYTES_MAX     65536
#define FS_FILE_BYTES_MAX      ((uint64_t)1 << 62)
#define FS_LABEL_MAX           63

struct fs;

/* ---- making, opening ---- */

struct fs_mkfs_options {
	const char *label;    /* NULL or up to FS_LABEL_MAX bytes */
	uint32_t block_bytes; /* 0: 4096; a power of two up to 64 KiB */
	uint64_t size_limit;  /* bytes that df shows as total; 0: the disk */
	enum lsm_compression compression; /* kept in the superblock */
	uint8_t uuid[16];                 /* all zero: random */
	uid_t root_uid;                   /* owner of the root directory */
	gid_t root_gid;
	bool force; /* an existing filesystem is not an error */
};

/* A store is made in the directory path, which is missing or empty.
 * -EEXIST: there is a filesystem; -ENOTEMPTY: there is something else. */
int fs_mkfs(const char *path, const struct lsm_options *engine,
	    const struct fs_mkfs_options *options);

#define FS_BLOB_NONE UINT32_MAX

struct fs_options {
	bool read_only;
	bool no_create;   /* without it a missing or empty store is made */
	bool noatime;     /* never update access times */
	bool strictatime; /* on every read; neither: relatime */
	unsigned commit_seconds; /* power loss takes at most this; 0: 5 */
	/* Truncating and punching holes walk over so many blocks before they
	 * return, to count them; more are counted afterwards. 0: 8192 */
	unsigned count_max_blocks;
	/*
	 * Given to the engine; env, memory_bytes, log and so on. commit is
	 * filled in from here. compression: what is written until fs_close();
	 * LSM_COMPRESSION_DEFAULT means the superblock's, which is not changed;
	 * what is stored is read either way. blob_bytes,
	 * the size from which on file data lies outside of the tree: 0 means
	 * 1024, FS_BLOB_NONE that all data goes into the tree; what is stored
	 * already stays where it is.
	 */
	struct lsm_options engine;
};

/* Expected: those of lsm_open(); -EMEDIUMTYPE: a store without a filesystem.
 * *out is to be closed with fs_close(). Starts the background threads:
 * attribute writeback, orphan reclaim. */
int fs_open(const char *path, const struct fs_options *options,
	    struct fs **out);
/* Everything becomes durable. Returns the first error that prevented it. */
int fs_close(struct fs *fs);
/* The store underneath, for statistics and tests. */
struct lsm_db *fs_db(struct fs *fs);

struct fs_info {
	uint8_t uuid[16];
	char label[FS_LABEL_MAX + 1];
	uint32_t format, block_bytes;
	uint64_t features_compat, features_incompat;
	uint64_t size_limit;
	enum lsm_compression compression;
	uint64_t created_ns;
};
void fs_get_info(struct fs *fs, struct fs_info *out);

/* ---- inodes ---- */

/* Who asks. The supplementary groups are not needed here. */
struct fs_cred {
	uid_t uid;
	gid_t gid;
	mode_t umask; /* applied to new files unless a default ACL rules */
	bool fsetid;  /* has CAP_FSETID: setuid and setgid bits survive */
};

/* st_ino, st_mode, st_nlink, st_uid, st_gid, st_rdev, st_size, st_blksize,
 * st_blocks (512-byte units, exact), st_atim, st_mtim, st_ctim. */
struct fs_attr {
	struct stat st;
	struct timespec btime;
	uint64_t generation;
	/* st.st_blocks is too large until it is asked for again: what was cut
	 * off is still to be counted. Only fs_setattr() says so. */
	bool blocks_to_come;
};

/*
 * Lookup counts. The functions that say "counts" raise the inode's lookup
 * count by one, as the kernel expects of a reply with an entry; fs_forget()
 * lowers it. An unlinked inode lives on until its count is zero (fs_forget()),
 * then its space is reclaimed. FS_ROOT_INO is never forgotten. All other
 * functions want an inode with a count above zero, or that has a name; without
 * either they return -ESTALE. Inodes with a count stay in memory, some 350
 * bytes each: the kernel's caches bound them.
 */
int fs_lookup(struct fs *fs, uint64_t parent, const char *name,
	      struct fs_attr *out); /* counts */
void fs_forget(struct fs *fs, uint64_t ino, uint64_t count);
int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out);

enum fs_set {
	FS_SET_MODE = 1,
	FS_SET_UID = 2,
	FS_SET_GID = 4,
	FS_SET_SIZE = 8,
	FS_SET_ATIME = 16,
	FS_SET_MTIME = 32,
	FS_SET_CTIME = 64,
	FS_SET_ATIME_NOW = 128,
	FS_SET_MTIME_NOW = 256,
	FS_SET_KILL_PRIV = 512, /* clear setuid/setgid as for a write */
};
int fs_setattr(struct fs *fs, const struct fs_cred *cred, uint64_t ino,
	       const struct fs_attr *in, unsigned set, struct fs_attr *out);

/* Any type but directories; mode includes the type. */
int fs_mknod(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	     const char *name, mode_t mode, dev_t rdev,
	     struct fs_attr *out); /* counts */
int fs_mkdir(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	     const char *name, mode_t mode, struct fs_attr *out); /* counts */
int fs_symlink(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	       const char *name, const char *target,
	       struct fs_attr *out); /* counts */
int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name,
	    struct fs_attr *out); /* counts */
int fs_unlink(struct fs *fs, uint64_t parent, const char *name);
int fs_rmdir(struct fs *fs, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE of <linux/fs.h>, RENAME_WHITEOUT. */
int fs_rename(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	      const char *name, uint64_t new_parent, const char *new_name,
	      unsigned flags);
/* buf of FS_SYMLINK_MAX + 1 bytes gets a terminated string. */
int fs_readlink(struct fs *fs, uint64_t ino, char *buf, size_t size);

/* ---- data ---- */

/* Bytes read (0 at or behind the end of the file) or -errno. */
ssize_t fs_read(struct fs *fs, uint64_t ino, void *buf, size_t size,
		uint64_t offset);

/*
 * The same without a copy: iov[0..count) is the data, in order, where it lies
 * in memory (holes are zeros somewhere). It stays until fs_pieces_release(),
 * which is to come soon, as it keeps memory from being used for anything else;
 * it follows any call, also one that failed. No piece is empty, and there are
 * fewer than IOV_MAX. size is FS_PIECES_BYTES_MAX at most. kept: the caller
 * will keep the data, so that a large read need not leave it in the cache.
 */
#define FS_PIECES_BYTES_MAX ((size_t)1 << 20)
struct fs_pieces {
	const struct iovec *iov;
	unsigned count;
	/* private */
	struct lsm_hold *hold;
	void *memory;
};
ssize_t fs_read_pieces(struct fs *fs, uint64_t ino, size_t size,
		       uint64_t offset, bool kept, struct fs_pieces *out);
/* Leaves out the hole that the pieces end with, if they do, and returns how
 * many bytes that were. */
size_t fs_pieces_drop_hole(struct fs_pieces *p);
void fs_pieces_release(struct fs_pieces *p);

enum fs_write_flags {
	FS_WRITE_APPEND = 1,    /* offset is ignored: at the end of the file */
	FS_WRITE_KILL_PRIV = 2, /* clear setuid, setgid, security.capability */
	FS_WRITE_NO_TIMES = 4,  /* the kernel's page cache keeps the times */
};
/* Whole blocks of zeros are not stored, they become holes. All of it or nothing
 * up to FS_WRITE_BYTES_ATOMIC bytes: size or -errno
 * (-EFBIG, -ENOSPC). A larger write goes in pieces of that size; an error
 * behind the first piece returns the number of bytes that were written. */
#define FS_WRITE_BYTES_ATOMIC (1u << 20)
ssize_t fs_write(struct fs *fs, uint64_t ino, const void *buf, size_t size,
		 uint64_t offset, unsigned flags);
/* Everything before it becomes durable, whatever ino is; datasync may leave
 * times behind. */
int fs_fsync(struct fs *fs, uint64_t ino, bool datasync);
int fs_sync(struct fs *fs); /* the whole filesystem */
/*
 * mode as fallocate(2): 0 and FALLOC_FL_KEEP_SIZE check that there is room
 * (it is not set aside: a block takes space when it is written),
 * FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE and FALLOC_FL_ZERO_RANGE give the
 * blocks back. All else is -EOPNOTSUPP. flags: FS_WRITE_KILL_PRIV and
 * FS_WRITE_NO_TIMES, or 0.
 */
int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t offset,
		 uint64_t length, unsigned flags);
/*
 * copy_file_range(2): the number of bytes copied, fewer where the source ends;
 * 0 at its end. In batches of at most FS_WRITE_BYTES_ATOMIC bytes; an error
 * behind the first returns what was copied until then. Holes stay holes.
 * -EINVAL: ranges of one file that overlap. flags as for fs_write(), without
 * FS_WRITE_APPEND.
 */
ssize_t fs_copy_file_range(struct fs *fs, uint64_t src, uint64_t src_offset,
			   uint64_t dst, uint64_t dst_offset, size_t size,
			   unsigned flags);
/* lseek(2) for SEEK_DATA and SEEK_HOLE; -ENXIO behind the end of the file. */
int fs_seek(struct fs *fs, uint64_t ino, uint64_t offset, int whence,
	    uint64_t *out);

/* ---- directories ---- */

/*
 * Calls fill for entries behind cookie (0: from the start) in a stable order,
 * "." and ".." first, until it returns non-zero, which ends the walk with
 * success: that entry counts as not taken. cookie passed to fill is where a
 * later call goes on behind that entry. With attributes: attr is not NULL, and
 * an entry taken (fill returned 0) counts as a lookup, except "." and "..".
 * attr is NULL then only where the inode cannot be read, which does not count.
 * No lock is held while fill runs.
 */
int fs_readdir(struct fs *fs, uint64_t ino, uint64_t cookie, bool attributes,
	       int (*fill)(void *arg, const char *name, uint64_t ino,
			   mode_t type, uint64_t cookie,
			   const struct fs_attr *attr),
	       void *arg);

/* ---- extended attributes ---- */

/* size 0: only the length is returned. -ENODATA, -ERANGE. ACLs are kept under
 * their system.posix_acl_* names; a change of one sets the mode bits too. */
ssize_t fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *buf,
		    size_t size);
/* flags: XATTR_CREATE, XATTR_REPLACE. */
int fs_setxattr(struct fs *fs, const struct fs_cred *cred, uint64_t ino,
		const char *name, const void *value, size_t size, int flags);
ssize_t fs_listxattr(struct fs *fs, uint64_t ino, char *buf, size_t size);
int fs_removexattr(struct fs *fs, const struct fs_cred *cred, uint64_t ino,
		   const char *name);

/* ---- the whole ---- */

struct fs_statfs {
	uint32_t block_bytes;
	uint64_t blocks, blocks_free; /* in block_bytes */
	uint64_t inodes, inodes_free;
};
int fs_statfs(struct fs *fs, struct fs_statfs *out);

/*
 * Bytes since the store was opened: what the engine was given, keys and values,
 * and what it wrote for that: to the log, to blob files by large writes, by
 * flushes, by compactions and collection. All that was written, over what was
 * given, is the write amplification.
 */
struct fs_written {
	uint64_t given, log, direct, flush, compact;
};
void fs_get_written(struct fs *fs, struct fs_written *out);
/* The attribute of a mount's root that has it as text. */
#define FS_XATTR_WRITTEN "tinylsm.written"
#define FS_WRITTEN_TEXT  160
/* The length of the text. */
int fs_written_to_text(const struct fs_written *w, char out[FS_WRITTEN_TEXT]);
/* 0 or -EINVAL. text ends with a zero. */
int fs_written_from_text(struct fs_written *w, const char *text);

/* Checks every key (fsck). Each finding is one line to report; with repair
 * what can be mended is mended, and the line says so. */
struct fs_check_options {
	bool repair;
	bool data; /* also every block's checksum, by lsm_verify() */
	void (*report)(void *arg, const char *line);
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};
struct fs_check_result {
	uint64_t inodes, directories, files, symlinks, others;
	uint64_t entries, xattrs, blocks, orphans;
	uint64_t found, fixed;
};
/* On an open filesystem that nobody else uses, or -EBUSY-free in tests. 0 also
 * when something was found: see result. */
int fs_check(struct fs *fs, const struct fs_check_options *options,
	     struct fs_check_result *result);

/* A key and its value in words, for dump. 0 or -ENOMEM; the text is one line,
 * to be freed by the caller. */
int fs_key_to_text(struct lsm_slice key, struct lsm_slice value, char **text);

#endif
