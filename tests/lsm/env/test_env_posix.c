/* SPDX-License-Identifier: MIT */
/*
 * test_env_posix.c - what only the operating system's env has: other processes,
 * files cut short by others, limits, the end of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lsm/env/env_test.h"

static struct env_dir *dir;
static char path[256];

static void setup(void)
{
	temp_dir_make(path);
	ck_ok(env_dir_open(lsm_env_posix(), path, 0, &dir));
}

static void teardown(void)
{
	env_dir_close(dir);
	temp_dir_remove(path);
}

static void cut_file(const char *name, off_t bytes)
{
	char file[400];

	snprintf(file, sizeof(file), "%s/%s", path, name);
	ck_ok(truncate(file, bytes));
}

START_TEST(page_lost_under_a_map_reads_as_zeros_and_is_told)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), len = 8 * page;
	unsigned char *data = malloc(len);
	const unsigned char *map;
	struct env_object *o, *other;
	const void *base;
	size_t i;

	fill_pattern(data, len, 1);
	write_object(dir, "o", data, len);
	write_object(dir, "other", data, len);
	ck_ok(env_object_open(dir, "o", &o));
	ck_ok(env_object_map(o, &base));
	map = base;
	ck_ok(env_object_open(dir, "other", &other));
	ck_ok(env_object_map(other, &base));
	ck_assert_int_eq(memcmp(map, data, len), 0);
	ck_assert(!env_object_map_lost(o));

	cut_file("o", (off_t)(3 * page));
	ck_assert_int_eq(memcmp(map, data, 3 * page), 0);
	ck_assert(!env_object_map_lost(o));
	for (i = 3 * page; i < len; i++)
		ck_assert_uint_eq(map[i], 0);
	ck_assert(env_object_map_lost(o));
	/* The loss is told of the object that suffered it alone. */
	ck_assert(!env_object_map_lost(other));
	ck_assert_int_eq(memcmp(base, data, len), 0);
	ck_assert(!env_object_map_lost(other));
	ck_assert_int_eq(env_object_read(o, 3 * page, data, 1), -EUCLEAN);
	env_object_close(o);

	/* The registry's slot is used again, and starts unharmed. */
	ck_ok(env_object_open(dir, "other", &o));
	ck_ok(env_object_map(o, &base));
	ck_assert(!env_object_map_lost(o));
	env_object_close(o);
	env_object_close(other);
	free(data);
}
END_TEST

START_TEST(log_cut_short_by_others_fails_and_does_not_kill)
{
	struct env_log *log;
	char rec[100] = {1};
	int err = 0, i;

	ck_ok(env_log_create(dir, "log", NULL, 1 << 20, &log));
	ck_ok(env_log_append(log, rec, sizeof(rec)));
	cut_file("log", 0);
	for (i = 0; i < 1000 && !err; i++)
		err = env_log_append(log, rec, sizeof(rec));
	ck_assert_int_eq(err, -EIO);
	ck_assert_int_eq(env_log_append(log, rec, sizeof(rec)), -EIO);
	ck_assert_int_eq(env_log_sync(log), -EIO);
	ck_ok(env_log_close(log, false));
}
END_TEST

START_TEST(appends_survive_the_kill_of_the_process)
{
	static const size_t sizes[] = {150, 9000, 20, 70000, 4096, 1};
	unsigned char *copy = malloc(1 << 20);
	size_t len = 0, i;
	int status;
	pid_t pid;

	fill_pattern(copy, 1 << 20, 4);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	for (i = 0; i < 60; i++)
		len += sizes[i % 6];
	if (pid == 0) {
		struct env_log *log;
		size_t at = 0;

		if (env_log_create(dir, "log", NULL, 200000, &log))
			_exit(1);
		for (i = 0; i < 60; at += sizes[i++ % 6])
			if (env_log_append(log, copy + at, sizes[i % 6]))
				_exit(2);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	{
		unsigned char *got = malloc(len);
		struct env_object *o;

		ck_ok(env_object_open(dir, "log", &o));
		ck_ok(env_object_read(o, 0, got, len));
		ck_assert_int_eq(memcmp(got, copy, len), 0);
		env_object_close(o);
		free(got);
	}
	free(copy);
}
END_TEST

/* A process that holds the lock until it is killed. */
static pid_t fork_holder(void)
{
	int fds[2];
	pid_t pid;
	char c;

	ck_ok(pipe(fds));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct env_dir *d;

		if (env_dir_open(lsm_env_posix(), path, 0, &d) ||
		    env_dir_lock(d, 0, NULL) || write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

START_TEST(lock_of_another_process_is_told_with_its_pid_and_ends_with_it)
{
	pid_t pid = fork_holder(), holder = 0;

	ck_assert_int_eq(env_dir_lock(dir, 0, &holder), -EBUSY);
	ck_assert_int_eq(holder, pid);
	holder = 0;
	ck_assert_int_eq(env_dir_lock(dir, 50, &holder), -EBUSY);
	ck_assert_int_eq(holder, pid);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_ok(env_dir_lock(dir, 0, &holder));
	ck_assert_int_eq(holder, 0);
}
END_TEST

START_TEST(lock_file_with_nonsense_names_no_holder)
{
	static const char *const texts[] = {"", "x\n", "-4\n", "12",
					    "99999999999\n"};
	char file[400];
	size_t i;

	snprintf(file, sizeof(file), "%s/LOCK", path);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		pid_t pid = fork_holder(), holder = 5;
		int fd = open(file, O_WRONLY | O_TRUNC);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(write(fd, texts[i], strlen(texts[i])),
				 (ssize_t)strlen(texts[i]));
		close(fd);
		ck_assert_int_eq(env_dir_lock(dir, 0, &holder), -EBUSY);
		ck_assert_int_eq(holder, 0);
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
}
END_TEST

START_TEST(files_are_closed_to_other_users)
{
	struct env_log *log;
	struct env_dir *sub;
	char file[400];
	struct stat st;

	umask(0);
	write_object(dir, "o", "x", 1);
	snprintf(file, sizeof(file), "%s/o", path);
	ck_ok(stat(file, &st));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_ok(env_log_create(dir, "log", NULL, 0, &log));
	ck_ok(env_log_close(log, false));
	snprintf(file, sizeof(file), "%s/log", path);
	ck_ok(stat(file, &st));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	snprintf(file, sizeof(file), "%s/sub", path);
	ck_ok(env_dir_open(lsm_env_posix(), file, ENV_DIR_CREATE, &sub));
	env_dir_close(sub);
	ck_ok(stat(file, &st));
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
}
END_TEST

static void limit_files(rlim_t bytes)
{
	struct rlimit lim = {bytes, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	ck_ok(setrlimit(RLIMIT_FSIZE, &lim));
}

START_TEST(refused_write_fails_the_object_and_leaves_no_file)
{
	char *data = calloc(1, 1 << 20);
	struct env_writer *w;
	int err, i;

	limit_files(1 << 20);
	ck_ok(env_writer_create(dir, "o", &w));
	for (i = 0, err = 0; i < 4 && !err; i++)
		err = env_writer_append(w, data, 400000);
	if (err)
		ck_assert_int_eq(err, -EFBIG);
	ck_assert_int_eq(env_writer_finish(w), -EFBIG);
	ck_assert(!exists(dir, "o"));
	/* The rest of the buffer is refused only at the end. */
	limit_files(100000);
	ck_ok(env_writer_create(dir, "p", &w));
	ck_ok(env_writer_append(w, data, 150000));
	ck_assert_int_eq(env_writer_finish(w), -EFBIG);
	ck_assert(!exists(dir, "p"));
	limit_files(RLIM_INFINITY);
	free(data);
}
END_TEST

START_TEST(refused_space_fails_the_append_and_the_log_for_good)
{
	char rec[150] = {1};
	struct env_log *log;
	unsigned i = 0;
	int err = 0;

	limit_files(1 << 20);
	ck_assert_int_eq(env_log_create(dir, "log", NULL, 2 << 20, &log),
			 -EFBIG);
	ck_assert(!exists(dir, "log"));
	ck_ok(env_log_create(dir, "log", NULL, 1 << 20, &log));
	while (!err && i < 10000) {
		err = env_log_append(log, rec, sizeof(rec));
		i++;
	}
	ck_assert_int_eq(err, -EFBIG);
	ck_assert_uint_eq(i, (1 << 20) / sizeof(rec) + 1);
	limit_files(RLIM_INFINITY);
	ck_assert_int_eq(env_log_append(log, rec, 1), -EFBIG);
	ck_assert_int_eq(env_log_sync(log), -EFBIG);
	ck_ok(env_log_close(log, true));
}
END_TEST

START_TEST(failed_recycling_leaves_the_old_name)
{
	struct env_log *log;

	write_object(dir, "1.wal", "abc", 3);
	limit_files(1 << 20);
	ck_assert_int_eq(env_log_create(dir, "2.wal", "1.wal", 2 << 20, &log),
			 -EFBIG);
	limit_files(RLIM_INFINITY);
	ck_assert(exists(dir, "1.wal"));
	ck_assert(!exists(dir, "2.wal"));
}
END_TEST

START_TEST(link_to_another_filesystem_is_a_copy)
{
	char other[] = "/dev/shm/tinylsm-env-XXXXXX", *data = malloc(600000);
	struct stat a, b;
	struct env_dir *to;

	/* Only where there is another filesystem to copy to. */
	if (stat("/dev/shm", &a) || stat(path, &b) || a.st_dev == b.st_dev ||
	    !mkdtemp(other)) {
		free(data);
		return;
	}
	fill_pattern(data, 600000, 5);
	write_object(dir, "o", data, 600000);
	ck_ok(env_dir_open(lsm_env_posix(), other, 0, &to));
	ck_ok(env_dir_link(dir, "o", to));
	expect_object(to, "o", data, 600000);
	ck_assert_int_eq(env_dir_link(dir, "o", to), -EEXIST);
	expect_object(to, "o", data, 600000);
	env_dir_close(to);
	temp_dir_remove(other);
	free(data);
}
END_TEST

START_TEST(descriptors_do_not_pass_to_programs_that_are_run)
{
	struct env_object *o;
	struct env_writer *w;
	struct env_log *log;
	int fd, flags;

	write_object(dir, "o", "x", 1);
	ck_ok(env_object_open(dir, "o", &o));
	ck_ok(env_writer_create(dir, "w", &w));
	ck_ok(env_log_create(dir, "l", NULL, 1000, &log));
	ck_ok(env_dir_lock(dir, 0, NULL));
	for (fd = 3; fd < 64; fd++) {
		char link[32], target[300];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < (ssize_t)strlen(path) ||
		    memcmp(target, path, strlen(path)))
			continue;
		flags = fcntl(fd, F_GETFD);
		ck_assert(flags >= 0 && (flags & FD_CLOEXEC));
	}
	env_object_close(o);
	env_writer_abort(w);
	ck_ok(env_log_close(log, true));
}
END_TEST

static void expect_log(const char *name, const void *data, size_t len)
{
	unsigned char *buf = malloc(len);
	struct env_object *o;

	ck_ok(env_object_open(dir, name, &o));
	ck_assert_uint_ge(env_object_bytes(o), len);
	ck_ok(env_object_read(o, 0, buf, len));
	ck_assert_int_eq(memcmp(buf, data, len), 0);
	env_object_close(o);
	free(buf);
}

/* Appends and, if asked to, syncs each. */
static size_t append_records(struct env_log *log, unsigned char *copy,
			     size_t at, unsigned count, size_t len, bool sync)
{
	for (unsigned i = 0; i < count; i++, at += len) {
		fill_pattern(copy + at, len, (unsigned)at);
		ck_ok(env_log_append(log, copy + at, len));
		if (sync)
			ck_ok(env_log_sync(log));
	}
	return at;
}

START_TEST(log_synced_often_finds_its_blocks_written)
{
	size_t cap = (size_t)1 << 20, len;
	unsigned char *copy = malloc(cap);
	struct env_log *log;
	struct stat st;
	char file[300];
	off_t hole;
	int fd;

	ck_ok(env_log_create(dir, "log", NULL, 4 << 20, &log));
	snprintf(file, sizeof(file), "%s/log", path);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	hole = lseek(fd, 0, SEEK_HOLE);
	len = append_records(log, copy, 0, 8, 3000, true);
	/* Where the filesystem tells written blocks from allocated ones. */
	if (hole == 0)
		ck_assert_int_ge(lseek(fd, 0, SEEK_HOLE), (off_t)len + 65536);
	/* Not beyond what is reserved. */
	ck_ok(fstat(fd, &st));
	ck_assert_int_eq(st.st_size, 4 << 20);
	close(fd);
	/* Seldom, often, seldom: the ways of appending meet in one page. */
	len = append_records(log, copy, len, 1000, 77, false);
	len = append_records(log, copy, len, 5, 555, true);
	len = append_records(log, copy, len, 300, 1234, false);
	len = append_records(log, copy, len, 9, 99, true);
	expect_log("log", copy, len);
	ck_ok(env_log_close(log, true));
	ck_ok(stat(file, &st));
	ck_assert_uint_eq((uint64_t)st.st_size, len);
	free(copy);
}
END_TEST

START_TEST(log_mapped_again_after_syncs_is_still_guarded)
{
	unsigned char *copy = malloc(1 << 20);
	struct env_log *log;
	size_t len, i;
	int err = 0;

	/* From a window to none and to a new one, with the guard set anew. */
	ck_ok(env_log_create(dir, "log", NULL, 1 << 20, &log));
	len = append_records(log, copy, 0, 100, 100, false);
	len = append_records(log, copy, len, 4, 100, true);
	append_records(log, copy, len, 100, 100, false);
	cut_file("log", 0);
	for (i = 0; i < 1000 && !err; i++)
		err = env_log_append(log, copy, 100);
	ck_assert_int_eq(err, -EIO);
	ck_assert_int_eq(env_log_sync(log), -EIO);
	ck_ok(env_log_close(log, false));
	free(copy);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("env_posix");
	TCase *tc = tcase_create("posix");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, page_lost_under_a_map_reads_as_zeros_and_is_told);
	tcase_add_test(tc, log_cut_short_by_others_fails_and_does_not_kill);
	tcase_add_test(tc, log_synced_often_finds_its_blocks_written);
	tcase_add_test(tc, log_mapped_again_after_syncs_is_still_guarded);
	tcase_add_test(tc, appends_survive_the_kill_of_the_process);
	tcase_add_test(
		tc,
		lock_of_another_process_is_told_with_its_pid_and_ends_with_it);
	tcase_add_test(tc, lock_file_with_nonsense_names_no_holder);
	tcase_add_test(tc, files_are_closed_to_other_users);
	tcase_add_test(tc, refused_write_fails_the_object_and_leaves_no_file);
	tcase_add_test(tc, refused_space_fails_the_append_and_the_log_for_good);
	tcase_add_test(tc, failed_recycling_leaves_the_old_name);
	tcase_add_test(tc, link_to_another_filesystem_is_a_copy);
	tcase_add_test(tc, descriptors_do_not_pass_to_programs_that_are_run);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
