/* SPDX-License-Identifier: MIT */
/*
 * seek.c - SEEK_DATA and SEEK_HOLE beside the kernel's page cache.
 *
 * The kernel asks for holes without writing its dirty pages back first (there
 * are some without the writeback cache too: those of shared mappings). What
 * the store says alone would tell a program that data just written is a hole,
 * and cp would leave it out. So before an answer that says "hole", the kernel
 * is told to drop its pages of that hole, which writes the dirty ones (clean
 * pages there hold zeros, so nothing of worth is lost), and the store is asked
 * again, until the answer stays.
 *
 * The kernel writes those pages while the one who told it waits, by requests
 * that must be served. A worker may be the last one that can, so a thread of
 * its own does the telling, one request after the other. It starts with the
 * first such request and serves also when there is a single worker.
 *
 * An answer that is data right where the question was needs none of that. Dirty
 * pages of zeros may make a hole of it once they are written, so a later answer
 * can be another, as if the file had changed between the two.
 */
#include "fs/fuse/seek.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lsm/base/sync.h"

/* A program that keeps writing between the questions is not waited for. */
#define TRIES_MAX 16

struct question {
	struct question *next;
	fuse_req_t req;
	fuse_ino_t ino;
	uint64_t offset;
	int whence;
};

static struct {
	struct daemon *d;
	struct mutex mutex;
	struct cond cond;
	/* Protected by mutex. */
	struct question *first, **last;
	bool running, stopping;
	pthread_t thread;
} seek;

struct answer {
	int result;
	uint64_t at;
	/* Where it says that there is a hole; end 0: without end. */
	uint64_t hole, hole_end;
	bool sure;
};

static struct answer ask(const struct question *q)
{
	struct fs *fs = seek.d->fs;
	struct answer a = {0};
	uint64_t data;

	a.result = fs_seek(fs, q->ino, q->offset, q->whence, &a.at);
	if (a.result && a.result != -ENXIO) {
		a.sure = true;
		return a;
	}
	a.hole = q->offset;
	if (a.result == 0 && q->whence == SEEK_DATA) {
		a.sure = a.at == q->offset;
		a.hole_end = a.at;
	} else if (a.result == 0) {
		a.hole = a.at;
		if (fs_seek(fs, q->ino, a.at, SEEK_DATA, &data) == 0)
			a.hole_end = data;
	}
	return a;
}

/* The pages of the hole; one that is only in part in it too. */
static void drop_pages(const struct question *q, const struct answer *a)
{
	uint64_t len = 0;

	if (a->hole_end) {
		len = a->hole_end - a->hole;
		if (len == 0)
			return;
	}
	(void)fuse_lowlevel_notify_inval_inode(seek.d->session, q->ino,
					       (off_t)a->hole, (off_t)len);
}

static void reply_seek(fuse_req_t req, const struct answer *a)
{
	if (a->result)
		reply_result(req, a->result);
	else
		fuse_reply_lseek(req, (off_t)a->at);
}

static void serve(const struct question *q)
{
	struct answer a = ask(q);

	for (unsigned i = 0; !a.sure && i < TRIES_MAX; i++) {
		struct answer before = a;

		drop_pages(q, &a);
		a = ask(q);
		if (a.result == before.result && a.at == before.at &&
		    a.hole_end == before.hole_end)
			break;
	}
	reply_seek(q->req, &a);
}

static void *seek_main(void *arg)
{
	(void)arg;
	mutex_lock(&seek.mutex);
	for (;;) {
		struct question *q = seek.first;

		if (q) {
			seek.first = q->next;
			if (!seek.first)
				seek.last = &seek.first;
			mutex_unlock(&seek.mutex);
			serve(q);
			free(q);
			mutex_lock(&seek.mutex);
		} else if (seek.stopping) {
			break;
		} else {
			cond_wait(&seek.cond, &seek.mutex);
		}
	}
	mutex_unlock(&seek.mutex);
	return NULL;
}

void seek_start(struct daemon *d)
{
	seek.d = d;
	seek.last = &seek.first;
	mutex_init(&seek.mutex);
	cond_init(&seek.cond);
}

void seek_stop(void)
{
	bool running;

	mutex_lock(&seek.mutex);
	seek.stopping = true;
	running = seek.running;
	cond_signal(&seek.cond);
	mutex_unlock(&seek.mutex);
	if (running)
		pthread_join(seek.thread, NULL);
}

/* Takes q over, or says why not. */
static int hand_over(struct question *q)
{
	int r = 0;

	mutex_lock(&seek.mutex);
	if (!seek.running) {
		r = thread_start(&seek.thread, "seek", seek_main, NULL);
		seek.running = r == 0;
	}
	if (r == 0) {
		*seek.last = q;
		seek.last = &q->next;
		cond_signal(&seek.cond);
	}
	mutex_unlock(&seek.mutex);
	return r;
}

void seek_request(fuse_req_t req, fuse_ino_t ino, uint64_t offset, int whence)
{
	struct question local = {NULL, req, ino, offset, whence};
	struct answer a = ask(&local);
	struct question *q;
	int r;

	if (a.sure) {
		reply_seek(req, &a);
		return;
	}
	q = malloc(sizeof(*q));
	if (!q) {
		reply_result(req, -ENOMEM);
		return;
	}
	*q = local;
	r = hand_over(q);
	if (r) {
		free(q);
		reply_result(req, r);
	}
}
