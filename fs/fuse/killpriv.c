/* SPDX-License-Identifier: MIT */
/*
 * killpriv.c - sees the requests and the INIT reply pass between libfuse and
 * the kernel, for what libfuse 3.14 does not relay.
 *
 * FUSE_HANDLE_KILLPRIV_V2: without this flag the kernel asks for
 * security.capability before EVERY write(2), a round trip that costs five
 * times as much as the write. libfuse 3.14 has no name for it, so the flag is
 * set in the INIT reply when the kernel offered it. With it the duty to clear
 * setuid, setgid and security.capability is ours, for the requests the kernel
 * marks; libfuse drops those marks, so the read hook keeps them. A thread that
 * reads a request processes it before it reads the next, therefore a
 * thread-local variable holds the mark.
 *
 * FUSE_SETXATTR_EXT: the same for one mark of SETXATTR (an ACL set by someone
 * who is not in the file's group clears setgid). It comes with a longer
 * request. Which of the two lengths libfuse expects depends on the kernel
 * header it was built with, so the read hook gives it the one it knows.
 *
 * max_readahead: libfuse lowers it to what the kernel has as its default at
 * the time of the mount (128 KiB); the reply allows READAHEAD_BYTES, and
 * conn.c raises the default.
 *
 * FOPEN_PARALLEL_DIRECT_WRITES: libfuse has a field for it from 3.15 on; the
 * flag is put into the reply on its way out.
 *
 * Requests are the kernel's, but a length is checked before it is believed.
 * Both hooks are called by any worker thread.
 */
#define FUSE_USE_VERSION 312
#include "fs/fuse/killpriv.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fuse/conn.h"
#include "fs/fuse/turns.h"

/* libfuse from this version on asks for the longer SETXATTR when it wants it,
 * and understands both. Before, it has the one of its kernel header, which is
 * the longer one from this minor version on. */
#define LIBFUSE_BOTH_SETXATTR 315
#define MINOR_LONG_SETXATTR   33

static struct {
	/* INIT is the first request and is served alone: plain fields. */
	uint64_t unique;
	uint32_t offered;
	uint32_t granted;
	int setxattr_change; /* bytes to add to a SETXATTR for libfuse */
	/* Set with release when the INIT reply has passed, read with acquire
	 * by the hooks of all threads, which then may read granted. */
	atomic_bool passed;
} init;

static __thread enum killpriv of_request = KILLPRIV_UNKNOWN;

enum killpriv killpriv_of_request(void)
{
	return of_request;
}

/* The next reply of this thread is that of an open file. */
static __thread bool parallel_writes;

void killpriv_parallel_writes(void)
{
	parallel_writes = true;
}

/* The body of the reply ends with struct fuse_open_out; that of an error is
 * missing. */
static void add_parallel_writes(struct iovec *iov, int count)
{
	struct fuse_open_out out;
	char *at;

	parallel_writes = false;
	if (count != 2 || iov[1].iov_len < sizeof(out))
		return;
	at = (char *)iov[1].iov_base + iov[1].iov_len - sizeof(out);
	memcpy(&out, at, sizeof(out));
	out.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
	memcpy(at, &out, sizeof(out));
}

/* A request as it lies in the buffer of capacity bytes; len of them used. */
struct request {
	struct fuse_in_header *header;
	void *body;
	size_t len;
	size_t capacity;
};

static bool has_body(const struct request *r, size_t bytes)
{
	return r->len >= sizeof(*r->header) + bytes;
}

static enum killpriv mark(bool kill)
{
	return kill ? KILLPRIV_YES : KILLPRIV_NO;
}

static void note_init(const struct request *r)
{
	const struct fuse_init_in *in = r->body;

	/* Kernels before 7.36 send the first four fields only. */
	if (!has_body(r, 4 * sizeof(uint32_t)) || in->major != 7)
		return;
	init.unique = r->header->unique;
	init.offered = in->flags;
}

static void note_setxattr(struct request *r)
{
	struct fuse_setxattr_in *in = r->body;
	bool is_long = init.granted & FUSE_SETXATTR_EXT;
	size_t body = is_long ? sizeof(*in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
	char *from = (char *)in + body;
	char *to = from + init.setxattr_change;
	size_t tail;

	if (!has_body(r, body))
		return;
	if (is_long)
		of_request =
			mark(in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID);
	if (!init.setxattr_change ||
	    r->len + sizeof(*in) - FUSE_COMPAT_SETXATTR_IN_SIZE > r->capacity)
		return;
	tail = r->len - sizeof(*r->header) - body;
	memmove(to, from, tail);
	if (init.setxattr_change > 0) {
		in->setxattr_flags = 0;
		in->padding = 0;
	}
	r->len = (size_t)(to + tail - (char *)r->header);
	r->header->len = (uint32_t)r->len;
}

static void note_request(struct request *r)
{
	bool known = init.granted & FUSE_HANDLE_KILLPRIV_V2;

	of_request = known ? KILLPRIV_NO : KILLPRIV_UNKNOWN;
	switch (r->header->opcode) {
	case FUSE_WRITE: {
		const struct fuse_write_in *in = r->body;

		if (known && has_body(r, sizeof(*in)))
			of_request =
				mark(in->write_flags & FUSE_WRITE_KILL_SUIDGID);
		break;
	}
	case FUSE_SETATTR: {
		const struct fuse_setattr_in *in = r->body;

		if (known && has_body(r, sizeof(*in)))
			of_request = mark(in->valid & FATTR_KILL_SUIDGID);
		break;
	}
	case FUSE_CREATE: {
		const struct fuse_create_in *in = r->body;

		if (known && has_body(r, sizeof(*in)))
			of_request =
				mark(in->open_flags & FUSE_OPEN_KILL_SUIDGID);
		break;
	}
	case FUSE_SETXATTR:
		note_setxattr(r);
		break;
	default:
		break;
	}
}

static enum turns_length length_of(const struct request *r)
{
	switch (r->header->opcode) {
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		return TURNS_SYNC;
	case FUSE_COPY_FILE_RANGE:
		return TURNS_LONG;
	default:
		return TURNS_SHORT;
	}
}

static ssize_t hook_read(int fd, void *buf, size_t capacity, void *userdata)
{
	struct request r = {buf, (struct fuse_in_header *)buf + 1, 0, capacity};
	ssize_t n;

	(void)userdata;
	turns_wait(fd);
	n = read(fd, buf, capacity);
	if (n < (ssize_t)sizeof(*r.header)) {
		int saved = errno;

		turns_pass();
		errno = saved;
		return n;
	}
	r.len = (size_t)n;
	turns_take(fd, length_of(&r));
	/* Pairs with the release in hook_writev(). */
	if (atomic_load_explicit(&init.passed, memory_order_acquire)) {
		note_request(&r);
		return (ssize_t)r.len;
	}
	if (r.header->opcode == FUSE_INIT)
		note_init(&r);
	return n;
}

/* out: as libfuse made it. */
static int setxattr_change(const struct fuse_init_out *out)
{
	const int change = (int)sizeof(struct fuse_setxattr_in) -
			   FUSE_COMPAT_SETXATTR_IN_SIZE;
	bool sent_long = init.offered & FUSE_SETXATTR_EXT;
	bool wants_long;

	if (fuse_version() >= LIBFUSE_BOTH_SETXATTR)
		wants_long = out->flags & FUSE_SETXATTR_EXT;
	else
		wants_long = out->minor >= MINOR_LONG_SETXATTR;
	if (sent_long == wants_long)
		return 0;
	return wants_long ? change : -change;
}

/* The reply to INIT: iov[0] the header, iov[1] struct fuse_init_out. */
static void grant(struct iovec *iov, int count)
{
	const struct fuse_out_header *header = iov[0].iov_base;
	struct fuse_init_out *out;

	if (count != 2 || iov[0].iov_len != sizeof(*header) ||
	    header->unique != init.unique || header->error ||
	    iov[1].iov_len < sizeof(*out))
		return;
	out = iov[1].iov_base;
	init.setxattr_change = setxattr_change(out);
	out->flags |=
		init.offered & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT);
	out->max_readahead = CONN_READAHEAD_BYTES;
	init.granted = out->flags;
	/* Pairs with the acquire in hook_read(). */
	atomic_store_explicit(&init.passed, true, memory_order_release);
}

static ssize_t hook_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	/* Relaxed: only the thread that serves INIT finds it false. */
	if (!atomic_load_explicit(&init.passed, memory_order_relaxed) &&
	    init.unique)
		grant(iov, count);
	if (parallel_writes)
		add_parallel_writes(iov, count);
	turns_reply(fd);
	return writev(fd, iov, count);
}

int killpriv_install(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {
		.read = hook_read,
		.writev = hook_writev,
	};

	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
