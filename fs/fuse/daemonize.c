/* SPDX-License-Identifier: MIT */
/*
 * daemonize.c - the parent stays until the mount works, so that whoever typed
 * the command (or wrote the line of fstab) sees why it does not, and gets the
 * exit code of mount(8).
 *
 * The fork comes before any thread: threads do not survive it. The child
 * keeps the parent's stderr while it starts and says itself what is wrong; the
 * pipe carries one byte only, the exit code. A child that dies without a byte
 * closes the pipe, and the parent says so.
 */
#include "fs/fuse/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fuse/log.h"

/* The child's end of the pipe; -1: in the foreground, or told already. */
static int verdict_fd = -1;

static void __attribute__((noreturn)) parent(int fd, pid_t child)
{
	unsigned char code;
	ssize_t n;
	int status = 0;

	do {
		n = read(fd, &code, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(code);
	if (waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		log_user("the daemon was ended by signal %d (%s) "
			 "while it started",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		log_user("the daemon ended while it started");
	_exit(EXIT_SYSTEM);
}

int daemonize_start(bool foreground)
{
	int fds[2];
	pid_t pid;
	int ret;

	if (foreground)
		return 0;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		close(fds[0]);
		close(fds[1]);
		return ret;
	}
	if (pid > 0) {
		close(fds[1]);
		parent(fds[0], pid);
	}
	close(fds[0]);
	verdict_fd = fds[1];
	/* A session of its own now, so that a Ctrl-C typed while the parent
	 * waits ends the parent's wait and not the half-made mount. */
	setsid();
	return 0;
}

static void send_verdict(unsigned char code)
{
	ssize_t n;

	do {
		n = write(verdict_fd, &code, 1);
	} while (n < 0 && errno == EINTR);
	/* Nobody listens any more: nobody to tell either. */
	close(verdict_fd);
	verdict_fd = -1;
}

void daemonize_ready(void)
{
	int null;

	if (verdict_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	send_verdict(EXIT_OK);
}

void daemonize_failed(enum exit_code code)
{
	if (verdict_fd >= 0)
		send_verdict(code);
}
