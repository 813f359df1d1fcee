/* SPDX-License-Identifier: MIT */
/*
 * env_posix_lock.c - one store, one opener.
 *
 * Between processes: a lock on the file LOCK, of the kind that belongs to the
 * open file and not to the process (F_OFD_SETLK), so that closing some other
 * descriptor of the file does not drop it. It ends with its holder, however
 * the holder ends. Inside one process: a list of the directories that are
 * locked, by device and inode, which also holds where the filesystem does not
 * do locks between openers of one host properly.
 *
 * LOCK is never deleted by us. If somebody else deletes it and a new one is
 * made, we notice that the locked file is no longer the one with the name and
 * take the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lsm/env/env_posix.h"

#define LOCK_NAME "LOCK"
#define POLL_MS   20

struct posix_lock {
	struct posix_lock *next; /* protected by held_mutex */
	dev_t dev;
	ino_t ino;
	int fd;
};

static pthread_mutex_t held_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct posix_lock *held; /* protected by held_mutex */

/* False when this process has it already. */
static bool enter(struct posix_lock *lock)
{
	struct posix_lock *l;

	pthread_mutex_lock(&held_mutex);
	for (l = held; l; l = l->next)
		if (l->dev == lock->dev && l->ino == lock->ino)
			break;
	if (!l) {
		lock->next = held;
		held = lock;
	}
	pthread_mutex_unlock(&held_mutex);
	return !l;
}

static void leave(struct posix_lock *lock)
{
	struct posix_lock **p;

	pthread_mutex_lock(&held_mutex);
	for (p = &held; *p != lock; p = &(*p)->next)
		;
	*p = lock->next;
	pthread_mutex_unlock(&held_mutex);
}

static pid_t read_pid(int fd)
{
	char text[24], *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, &end, 10);
	if (end == text || *end != '\n' || pid <= 0 || pid != (pid_t)pid)
		return 0;
	return (pid_t)pid;
}

static int write_pid(int fd)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0))
		return -errno;
	return posix_write_all(fd, text, (size_t)n, 0);
}

/* Whether fd is still the file called LOCK. */
static bool is_current(int dirfd, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) &&
	       !fstatat(dirfd, LOCK_NAME, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* One try at the file. -EBUSY: another process has it; *holder is set. */
static int try_file(int dirfd, struct posix_lock *lock, pid_t *holder)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int err;

	err = posix_open_at(dirfd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW,
			    &lock->fd);
	if (err)
		return err;
	if (fcntl(lock->fd, F_OFD_SETLK, &fl)) {
		err = -errno;
		if (err == -EAGAIN || err == -EACCES) {
			/* Who holds it to read did not write its pid. */
			if (fcntl(lock->fd, F_OFD_GETLK, &fl) ||
			    fl.l_type != F_RDLCK)
				*holder = read_pid(lock->fd);
			else
				*holder = 0;
			err = -EBUSY;
		}
	} else if (!is_current(dirfd, lock->fd)) {
		*holder = 0;
		err = -EBUSY;
	} else {
		err = write_pid(lock->fd);
	}
	if (err)
		posix_close(lock->fd);
	return err;
}

static int try_lock(int dirfd, struct posix_lock *lock, pid_t *holder)
{
	int err;

	if (!enter(lock)) {
		*holder = getpid();
		return -EBUSY;
	}
	err = try_file(dirfd, lock, holder);
	if (err)
		leave(lock);
	return err;
}

int posix_dir_lock(struct env_dir *dir, unsigned wait_ms, pid_t *holder)
{
	const struct timespec poll = {.tv_nsec = POLL_MS * 1000000L};
	struct posix_dir *d = posix_dir_of(dir);
	struct posix_lock *lock;
	unsigned waited_ms = 0;
	struct stat st;
	int err;

	if (d->read_only)
		return -EROFS;
	if (d->lock)
		return -EBUSY;
	if (fstat(d->fd, &st))
		return -errno;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return -ENOMEM;
	lock->dev = st.st_dev;
	lock->ino = st.st_ino;
	for (;;) {
		err = try_lock(d->fd, lock, holder);
		if (err != -EBUSY || waited_ms >= wait_ms)
			break;
		nanosleep(&poll, NULL);
		waited_ms += POLL_MS;
	}
	if (err) {
		free(lock);
		return err;
	}
	*holder = 0;
	d->lock = lock;
	return 0;
}

void posix_lock_release(struct posix_lock *lock)
{
	if (!lock)
		return;
	/* The file first, so that who enters next can lock it. */
	posix_close(lock->fd);
	leave(lock);
	free(lock);
}
