/* SPDX-License-Identifier: MIT */
/*
 * main.c - tinylsmfs STORE MOUNTPOINT: the life of the daemon.
 *
 *   options -> paths -> fork -> open the store -> mount -> loop -> close
 *
 * Each step leaves the world as it found it when a later one fails, and says
 * in one line why. The exit codes are mount(8)'s, see daemonize.h.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/fuse/awake.h"
#include "fs/fuse/conn.h"
#include "fs/fuse/daemon.h"
#include "fs/fuse/daemonize.h"
#include "fs/fuse/dirty.h"
#include "fs/fuse/log.h"
#include "fs/fuse/mountpoint.h"
#include "fs/fuse/ops.h"
#include "fs/fuse/seek.h"
#include "fs/fuse/signals.h"
#include "fs/fuse/store.h"
#include "fs/fuse/turns.h"

/* Tables of the engine, and a margin. */
#define OPEN_FILES 8192

/* Larger than the batch of a request, which comes and goes. */
#define HEAP_BLOCK_MAX (4 << 20)
#define HEAP_SPARE     (2 << 20)

/* libfuse's io_uring, 3.18. */
#define LIBFUSE_IO_URING 318

static void log_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[512];
	size_t n;

	vsnprintf(text, sizeof(text), fmt, ap);
	n = strlen(text);
	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	log_printf(level <= FUSE_LOG_ERR       ? LSM_LOG_ERROR
		   : level == FUSE_LOG_WARNING ? LSM_LOG_WARN
		   : level == FUSE_LOG_DEBUG   ? LSM_LOG_DEBUG
					       : LSM_LOG_INFO,
		   "%s", text);
}

/* "a" or "a=value" for libfuse; commas in the value are escaped. */
static int add_option(struct fuse_args *args, const char *word,
		      const char *value)
{
	char *list = NULL, *text = NULL;
	int ret = -ENOMEM;

	if (asprintf(&text, "%s%s%s", word, value ? "=" : "",
		     value ? value : "") < 0)
		return -ENOMEM;
	if (!fuse_opt_add_opt_escaped(&list, text) &&
	    !fuse_opt_add_arg(args, "-o") && !fuse_opt_add_arg(args, list))
		ret = 0;
	free(list);
	free(text);
	return ret;
}

static int fill_args(const struct options *o, struct fuse_args *args)
{
	int ret = fuse_opt_add_arg(args, "tinylsmfs");

	/* Root's mounts are for everybody, as those of other filesystems. */
	if (!ret && (o->allow_other || (geteuid() == 0 && !o->allow_root)))
		ret = add_option(args, "allow_other", NULL);
	if (!ret && o->allow_root)
		ret = add_option(args, "allow_root", NULL);
	if (!ret)
		ret = add_option(args, "default_permissions", NULL);
	if (!ret)
		ret = add_option(args, "subtype", "tinylsmfs");
	if (!ret)
		ret = add_option(args, "fsname", o->store);
	if (!ret && o->debug)
		ret = add_option(args, "debug", NULL);
	if (!ret && o->kernel &&
	    (fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, o->kernel)))
		ret = -ENOMEM;
	return ret ? -ENOMEM : 0;
}

static int new_session(struct daemon *d)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops;
	const char *why;

	memset(&ops, 0, sizeof(ops));
	ops_add_name(&ops);
	ops_add_inode(&ops);
	ops_add_data(&ops);
	ops_add_dir(&ops);
	ops_add_xattr(&ops);
	if (!fill_args(d->options, &args))
		d->session = fuse_session_new(&args, &ops, sizeof(ops), d);
	fuse_opt_free_args(&args);
	if (d->session)
		return 0;
	why = log_first_error();
	log_user("cannot set FUSE up: %s", *why ? why : "no memory");
	return EXIT_SYSTEM;
}

static int mount_session(struct daemon *d)
{
	const struct options *o = d->options;
	const char *why;
	int ret;

	if (fuse_session_mount(d->session, o->mountpoint)) {
		why = log_first_error();
		log_user("cannot mount on %s: %s", o->mountpoint,
			 *why ? why : "see the line above");
		return EXIT_MOUNT;
	}
	/* libfuse does io_uring only without hooks. What they do for 3.14,
	 * that libfuse does itself. */
	ret = o->io_uring ? 0 : killpriv_install(d->session);
	if (ret) {
		log_user("cannot set FUSE up: %s", strerror(-ret));
		fuse_session_unmount(d->session);
		return EXIT_SYSTEM;
	}
	conn_tune(d);
	return 0;
}

/* In the thread that serves INIT. */
static void on_ready(struct daemon *d)
{
	const struct options *o = d->options;

	d->is_ready = true;
	daemonize_ready();
	log_release(!o->foreground);
	log_printf(LSM_LOG_INFO, "%s is mounted on %s%s", o->store,
		   o->mountpoint, o->read_only ? ", read-only" : "");
}

static int run_loop(struct daemon *d)
{
	const struct options *o = d->options;
	unsigned threads = options_threads(o);
	struct fuse_loop_config *config;
	int ret;

	if (o->single_thread)
		return fuse_session_loop(d->session);
	if (!o->io_uring) {
		awake_start(o->awake);
		ret = turns_start(threads);
		if (ret)
			goto out_awake;
	}
	ret = -ENOMEM;
	config = fuse_loop_cfg_create();
	if (!config)
		goto out_turns;
	fuse_loop_cfg_set_clone_fd(config, o->clone_fd);
	fuse_loop_cfg_set_max_threads(config, threads);
	if (o->max_idle != UINT32_MAX)
		fuse_loop_cfg_set_idle_threads(config, o->max_idle);
	ret = fuse_session_loop_mt(d->session, config);
	fuse_loop_cfg_destroy(config);
out_turns:
	turns_stop();
out_awake:
	awake_stop();
	return ret;
}

/* From a working mount to its end. Returns the exit code. */
static int serve(struct daemon *d)
{
	int code = EXIT_OK;
	int ret;

	ret = signals_start(d);
	if (ret) {
		log_user("cannot start a thread: %s", strerror(-ret));
		fuse_session_unmount(d->session);
		return EXIT_SYSTEM;
	}
	seek_start(d);
	ret = run_loop(d);
	seek_stop();
	/* Relaxed: nothing else is handed over by it. */
	atomic_store_explicit(&d->loop_ended, true, memory_order_relaxed);
	signals_stop();
	if (ret < 0) {
		log_printf(LSM_LOG_ERROR, "serving %s ended with an error: %s",
			   d->options->mountpoint, strerror(-ret));
		code = EXIT_SYSTEM;
	}
	if (!d->is_ready && !code) {
		log_user("the mount on %s ended before it began",
			 d->options->mountpoint);
		code = EXIT_MOUNT;
	}
	if (!d->unmounted)
		fuse_session_unmount(d->session);
	return code;
}

static int close_store(struct daemon *d)
{
	int ret = fs_close(d->fs);

	if (!ret) {
		log_printf(LSM_LOG_INFO, "%s is unmounted and closed",
			   d->options->store);
		return EXIT_OK;
	}
	if (d->is_ready)
		log_printf(LSM_LOG_ERROR,
			   "closing %s: %s; the last changes may be lost",
			   d->options->store, lsm_strerror(ret));
	else
		log_user("closing %s: %s", d->options->store,
			 lsm_strerror(ret));
	return EXIT_SYSTEM;
}

static int run(struct daemon *d)
{
	int code, closed;

	code = store_open(d->options, &d->fs);
	if (code)
		return code;
	signals_block();
	code = new_session(d);
	if (!code) {
		code = mount_session(d);
		if (!code)
			code = serve(d);
		dirty_stop();
		/* Closes the device: whoever still waits gets an error. */
		fuse_session_destroy(d->session);
	}
	closed = close_store(d);
	return code ? code : closed;
}

/*
 * What is freed shall leave the process: its memory has a bound, and what grows
 * with the data is not malloc's. By default each thread gets a heap of its own,
 * and each keeps what was its peak. No more heaps than cores can use; and the
 * threshold from which on a block is mapped stays where it is, instead of being
 * raised by each one that is freed.
 */
static void bound_heaps(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	mallopt(M_ARENA_MAX, cores < 2 ? 1 : cores < 8 ? (int)cores : 8);
	mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MAX);
	mallopt(M_TRIM_THRESHOLD, HEAP_SPARE);
}

/*
 * The kernel may throttle whoever dirties pages, and reclaim memory through
 * filesystems; a thread that both wait for must be exempt from waiting for
 * them. Needs a privilege; without it nothing is lost but that.
 */
static void prepare_process(void)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < OPEN_FILES &&
	    files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < OPEN_FILES ? files.rlim_max
							     : OPEN_FILES;
		setrlimit(RLIMIT_NOFILE, &files);
	}
#ifdef PR_SET_IO_FLUSHER
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
#endif
	/* The files of the store hold everybody's data. */
	umask(077);
}

static int start(struct options *o)
{
	struct daemon d = {.options = o, .ready = on_ready};
	int code, ret;

	code = mountpoint_prepare(o);
	if (code)
		return code;
	ret = daemonize_start(o->foreground);
	if (ret) {
		log_user("cannot go to the background: %s", strerror(-ret));
		return EXIT_SYSTEM;
	}
	if (chdir("/"))
		log_printf(LSM_LOG_WARN, "cannot go to /: %s", strerror(errno));
	prepare_process();
	code = run(&d);
	/* What led to a failed start, for whoever looks closer. */
	if (!d.is_ready && o->debug)
		log_release(false);
	daemonize_failed(code);
	return code;
}

int main(int argc, char **argv)
{
	struct options o;
	int code;

	code = options_parse(&o, argc, argv);
	if (code)
		goto out;
	if (o.help) {
		options_print_help();
		goto out;
	}
	if (o.version) {
		printf("tinylsmfs %s, libfuse %s\n", lsm_version(),
		       fuse_pkgversion());
		goto out;
	}
	if (o.remount) {
		code = mountpoint_remount(&o);
		goto out;
	}
	if (o.io_uring && fuse_version() < LIBFUSE_IO_URING) {
		log_user("option io_uring needs libfuse 3.18 or newer; this is "
			 "libfuse %s",
			 fuse_pkgversion());
		code = EXIT_USAGE;
		goto out;
	}
	bound_heaps();
	log_init(o.debug ? LSM_LOG_DEBUG : LSM_LOG_INFO);
	fuse_set_log_func(log_fuse);
	code = start(&o);
out:
	options_release(&o);
	return code;
}
