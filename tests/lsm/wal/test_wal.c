/* SPDX-License-Identifier: MIT */
/* test_wal.c - logs: what was written is read, and every kind of damage. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lsm/env/env_fault.h"
#include "lsm/wal/wal_format.h"
#include "tests/check_main.h"

#define DIR     "/store"
#define NAME    "000007.wal"
#define PATH    DIR "/" NAME
#define NUMBER  7ull
#define RECORDS 6

static struct lsm_env *env;
static struct env_dir *dir;
static unsigned log_lines;

static void count_line(void *arg, enum lsm_log_level level, const char *msg)
{
	log_lines++;
}

static const struct logger logger = {count_line, NULL, LSM_LOG_DEBUG};

static void setup(void)
{
	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	ck_assert_int_eq(env_dir_open(env, DIR, ENV_DIR_CREATE, &dir), 0);
	log_lines = 0;
}

static void teardown(void)
{
	env_dir_close(dir);
	env_fault_free(env);
}

static uint64_t rnd_state;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

/* Payload i: its length and bytes follow from i. */
static size_t payload(unsigned i, uint8_t *p)
{
	size_t len = 5 + i * 7, k;

	for (k = 0; k < len; k++)
		p[k] = (uint8_t)(i * 31 + k * 7 + 1);
	return len;
}

static uint64_t append(struct wal_writer *w, unsigned i)
{
	uint8_t p[256];
	size_t n = payload(i, p);
	uint64_t end;

	ck_assert_int_eq(
		wal_writer_append(w, lsm_slice(p, n / 2),
				  lsm_slice(p + n / 2, n - n / 2), &end),
		0);
	return end;
}

/* A log with RECORDS records; ends[i]: its length after record i; a sync
 * after record sync_after (-1: none). */
static void make_log(uint64_t *ends, int sync_after)
{
	struct wal_writer *w;
	int i;

	ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL, 0, &w), 0);
	for (i = 0; i < RECORDS; i++) {
		ends[i] = append(w, (unsigned)i);
		if (i == sync_after)
			ck_assert_int_eq(wal_writer_sync(w), 0);
	}
	ck_assert_int_eq(wal_writer_sync(w), 0);
	ck_assert_int_eq(wal_writer_close(w, true), 0);
}

/* Reads until something but 0; checks each payload; *n: records read. */
static int read_all(unsigned *n, bool *torn)
{
	struct wal_reader *r;
	struct lsm_slice s;
	uint8_t p[256];
	int err;

	*n = 0;
	*torn = false;
	err = wal_reader_open(dir, NAME, NUMBER, &logger, &r);
	if (err)
		return err;
	while (!(err = wal_reader_next(r, &s))) {
		ck_assert_uint_eq(s.len, payload(*n, p));
		ck_assert_mem_eq(s.data, p, s.len);
		(*n)++;
	}
	ck_assert_int_eq(wal_reader_next(r, &s), err);
	*torn = wal_reader_torn(r);
	wal_reader_close(r);
	return err;
}

static void put_raw(const char *name, const void *data, size_t len)
{
	ck_assert_int_eq(env_put_file(dir, name, data, len), 0);
}

static uint8_t *get_raw(const char *name, size_t *len)
{
	void *p;

	ck_assert_int_eq(env_get_file(dir, name, 1 << 26, &p, len), 0);
	return p;
}

START_TEST(records_are_read_as_written)
{
	uint64_t ends[RECORDS];
	unsigned n;
	bool torn;

	make_log(ends, 2);
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	ck_assert_uint_eq(n, RECORDS);
	ck_assert(!torn);
	ck_assert_uint_eq(log_lines, 0);
}
END_TEST

START_TEST(large_and_small_records_follow_each_other)
{
	static const size_t sizes[] = {1,       16368, 16369, 1 << 20,
				       5 << 20, 3,     100000};
	size_t i, k, heads[] = {0, 1, 12, 20000};
	struct wal_writer *w;
	struct wal_reader *r;
	struct lsm_slice s;
	uint8_t *big;
	uint64_t end;

	big = malloc(5 << 20);
	for (i = 0; i < 5 << 20; i++)
		big[i] = (uint8_t)(i * 2654435761u >> 13);
	ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL, 1 << 20, &w),
			 0);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (k = 0; k < 4; k++) {
			size_t h = heads[k] < sizes[i] ? heads[k] : sizes[i];

			ck_assert_int_eq(
				wal_writer_append(
					w, lsm_slice(big, h),
					lsm_slice(big + h, sizes[i] - h), &end),
				0);
			ck_assert_uint_eq(end, wal_writer_bytes(w));
		}
	ck_assert_int_eq(wal_writer_close(w, false), 0);
	ck_assert_int_eq(wal_reader_open(dir, NAME, NUMBER, &logger, &r), 0);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (k = 0; k < 4; k++) {
			ck_assert_int_eq(wal_reader_next(r, &s), 0);
			ck_assert_uint_eq(s.len, sizes[i]);
			ck_assert(!memcmp(s.data, big, s.len));
		}
	ck_assert_int_eq(wal_reader_next(r, &s), LSM_END);
	ck_assert(!wal_reader_torn(r));
	ck_assert_uint_eq(wal_reader_offset(r), end);
	wal_reader_close(r);
	free(big);
}
END_TEST

START_TEST(empty_record_is_refused_and_does_no_harm)
{
	uint64_t end, ends[1];
	struct wal_writer *w;
	unsigned n;
	bool torn;

	ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL, 0, &w), 0);
	ck_assert_int_eq(wal_writer_append(w, lsm_slice(NULL, 0),
					   lsm_slice(NULL, 0), &end),
			 -EINVAL);
	ends[0] = append(w, 0);
	ck_assert_uint_eq(ends[0], wal_writer_bytes(w));
	ck_assert_int_eq(wal_writer_close(w, true), 0);
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(log_cut_anywhere_yields_the_whole_records_before)
{
	uint64_t ends[RECORDS], cut;
	unsigned n, whole;
	uint8_t *raw;
	size_t len;
	bool torn;
	int err;

	make_log(ends, 1);
	raw = get_raw(NAME, &len);
	ck_assert_uint_eq(len, ends[RECORDS - 1]);
	for (cut = 0; cut <= len; cut++) {
		put_raw(NAME, raw, cut);
		for (whole = 0; whole < RECORDS && ends[whole] <= cut;)
			whole++;
		err = read_all(&n, &torn);
		ck_assert_int_eq(err, LSM_END);
		ck_assert_uint_eq(n, whole);
		if (cut > WAL_HEADER_BYTES)
			ck_assert_int_eq(torn,
					 whole ? cut != ends[whole - 1] : true);
	}
	ck_assert_uint_eq(log_lines, 0);
	free(raw);
}
END_TEST

START_TEST(tail_torn_in_a_preallocated_log_is_noticed)
{
	uint64_t ends[RECORDS], cut;
	uint8_t *raw, *padded;
	unsigned n;
	size_t len;
	bool torn;

	make_log(ends, -1);
	raw = get_raw(NAME, &len);
	padded = calloc(1, len + 4096);
	for (cut = ends[RECORDS - 2]; cut < len; cut++) {
		memset(padded, 0, len + 4096);
		memcpy(padded, raw, cut);
		put_raw(NAME, padded, len + 4096);
		ck_assert_int_eq(read_all(&n, &torn), LSM_END);
		ck_assert_uint_eq(n, RECORDS - 1);
		/* Below that, the mark is not there yet. */
		if (cut >= ends[RECORDS - 2] + WAL_RECORD_BYTES)
			ck_assert(torn);
		if (cut == ends[RECORDS - 2])
			ck_assert(!torn);
	}
	free(padded);
	free(raw);
}
END_TEST

/* Whichever bit flips: the records before are read, and then it depends on
 * whether a later record says that this one had been durable. */
START_TEST(flipped_bit_is_a_tail_or_corruption_but_never_data)
{
	uint64_t ends[RECORDS], at;
	const int sync_after = 3;
	unsigned n, hit, bit;
	uint8_t *raw;
	size_t len;
	bool torn;
	int err, want;

	make_log(ends, sync_after);
	raw = get_raw(NAME, &len);
	for (at = 0; at < len; at++) {
		bit = (unsigned)(at % 8);
		raw[at] ^= (uint8_t)(1u << bit);
		put_raw(NAME, raw, len);
		raw[at] ^= (uint8_t)(1u << bit);
		log_lines = 0;
		err = read_all(&n, &torn);
		if (at < WAL_HEADER_BYTES) {
			/* The padding is not looked at. */
			if (at < 24) {
				ck_assert_int_eq(err, -EUCLEAN);
				ck_assert_uint_eq(log_lines, 1);
			}
			continue;
		}
		for (hit = 0; ends[hit] <= at;)
			hit++;
		want = hit <= (unsigned)sync_after ? -EUCLEAN : LSM_END;
		ck_assert_int_eq(err, want);
		ck_assert_uint_eq(n, hit);
		ck_assert_uint_eq(log_lines, want == -EUCLEAN);
	}
	free(raw);
}
END_TEST

START_TEST(zeroed_sector_of_durable_records_is_corruption)
{
	uint64_t ends[RECORDS];
	unsigned n;
	uint8_t *raw;
	size_t len;
	bool torn;

	make_log(ends, 3);
	raw = get_raw(NAME, &len);
	memset(raw + ends[0], 0, ends[2] - ends[0]);
	put_raw(NAME, raw, len);
	ck_assert_int_eq(read_all(&n, &torn), -EUCLEAN);
	ck_assert_uint_eq(n, 1);
	/* The header too. */
	memset(raw, 0, WAL_HEADER_BYTES);
	put_raw(NAME, raw, len);
	ck_assert_int_eq(read_all(&n, &torn), -EUCLEAN);
	free(raw);
}
END_TEST

START_TEST(leftovers_of_a_recycled_log_are_not_records)
{
	struct wal_writer *w;
	unsigned n, keep;
	bool torn;
	int i;

	/* The old log has records of the same lengths at the same places. */
	for (keep = 0; keep < RECORDS; keep++) {
		uint64_t ends[RECORDS];

		ck_assert_int_eq(wal_writer_open(dir, "old", 3, NULL, 8192, &w),
				 0);
		for (i = 0; i < RECORDS; i++) {
			ends[i] = append(w, (unsigned)i);
			ck_assert_int_eq(wal_writer_sync(w), 0);
		}
		ck_assert_int_eq(wal_writer_close(w, false), 0);
		ck_assert_int_eq(
			wal_writer_open(dir, NAME, NUMBER, "old", 8192, &w), 0);
		for (i = 0; i < (int)keep; i++)
			ck_assert_uint_eq(append(w, (unsigned)i), ends[i]);
		ck_assert_int_eq(wal_writer_close(w, false), 0);
		ck_assert_int_eq(read_all(&n, &torn), LSM_END);
		ck_assert_uint_eq(n, keep);
		ck_assert(!torn);
		ck_assert_int_eq(env_dir_delete(dir, NAME), 0);
	}
	ck_assert_uint_eq(log_lines, 0);
}
END_TEST

/* A copy of this very log, with its proofs of durability, as the payload of a
 * record that is torn. */
START_TEST(records_inside_a_value_prove_nothing)
{
	uint64_t ends[RECORDS], end;
	struct wal_writer *w;
	uint8_t *raw;
	unsigned n;
	size_t len;
	bool torn;

	make_log(ends, 1);
	raw = get_raw(NAME, &len);
	ck_assert_int_eq(env_dir_delete(dir, NAME), 0);
	ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL, 0, &w), 0);
	ck_assert_int_eq(wal_writer_append(w, lsm_slice(raw, len),
					   lsm_slice(NULL, 0), &end),
			 0);
	ck_assert_int_eq(wal_writer_close(w, true), 0);
	free(raw);
	raw = get_raw(NAME, &len);
	raw[len - 1] ^= 1;
	put_raw(NAME, raw, len);
	free(raw);
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	ck_assert_uint_eq(n, 0);
	ck_assert(torn);
}
END_TEST

START_TEST(header_of_another_log_or_format_is_told)
{
	uint8_t h[WAL_HEADER_BYTES + 4] = {0};
	struct wal_reader *r;
	unsigned n;
	bool torn;

	put_raw(NAME, h, 0);
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	put_raw(NAME, h, sizeof(h));
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	wal_header_put(h, NUMBER - 1); /* recycled, new header lost */
	put_raw(NAME, h, sizeof(h));
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	ck_assert_uint_eq(log_lines, 0);
	wal_header_put(h, NUMBER + 1);
	put_raw(NAME, h, sizeof(h));
	ck_assert_int_eq(read_all(&n, &torn), -EUCLEAN);
	wal_header_put(h, NUMBER);
	put_le32(h + 8, WAL_FORMAT + 1);
	put_le32(h + 20, crc32c(0, h, 20));
	put_raw(NAME, h, sizeof(h));
	ck_assert_int_eq(read_all(&n, &torn), -EPROTONOSUPPORT);
	ck_assert_int_eq(wal_reader_open(dir, "none", 1, &logger, &r), -ENOENT);
	ck_assert_ptr_null(r);
}
END_TEST

/* Creating the log failed half way through its header; or the header of a log
 * with records was damaged later. */
START_TEST(broken_header_is_corruption_only_before_records)
{
	uint8_t h[4096] = {0};
	uint64_t ends[RECORDS];
	uint8_t *raw;
	unsigned n, cut;
	size_t len;
	bool torn;

	for (cut = 0; cut < 24; cut++) {
		memset(h, 0, sizeof(h));
		wal_header_put(h, NUMBER);
		memset(h + cut, 0, WAL_HEADER_BYTES - cut);
		put_raw(NAME, h, sizeof(h));
		ck_assert_int_eq(read_all(&n, &torn), LSM_END);
		/* Over the header of a recycled log. */
		wal_header_put(h, NUMBER - 3);
		memset(h + WAL_HEADER_BYTES, 7, sizeof(h) - WAL_HEADER_BYTES);
		h[20] ^= 1;
		put_raw(NAME, h, sizeof(h));
		ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	}
	memset(h, 'x', sizeof(h));
	put_raw(NAME, h, sizeof(h));
	ck_assert_int_eq(read_all(&n, &torn), -EUCLEAN);
	ck_assert_int_eq(env_dir_delete(dir, NAME), 0);

	make_log(ends, -1);
	raw = get_raw(NAME, &len);
	for (cut = 0; cut < 24; cut++) {
		raw[cut] ^= 0x10;
		put_raw(NAME, raw, len);
		raw[cut] ^= 0x10;
		ck_assert_int_eq(read_all(&n, &torn), -EUCLEAN);
	}
	free(raw);
}
END_TEST

/* What recovery asks to tell a log that was not synced. */
START_TEST(reader_tells_what_the_last_record_knew_durable)
{
	uint64_t ends[RECORDS], i, want;
	struct wal_reader *r;
	struct lsm_slice s;

	make_log(ends, 2);
	ck_assert_int_eq(wal_reader_open(dir, NAME, NUMBER, &logger, &r), 0);
	ck_assert_uint_eq(wal_reader_durable(r), 0);
	for (i = 0; i < RECORDS; i++) {
		ck_assert_int_eq(wal_reader_next(r, &s), 0);
		want = i > 2 ? ends[2] : 0;
		ck_assert_uint_eq(wal_reader_durable(r), want);
	}
	wal_reader_close(r);
}
END_TEST

START_TEST(length_beyond_the_file_costs_no_memory)
{
	uint8_t raw[WAL_HEADER_BYTES + WAL_RECORD_BYTES + 8] = {0};
	unsigned n;
	bool torn;

	wal_header_put(raw, NUMBER);
	wal_record_put(raw + WAL_HEADER_BYTES, 0, 0x7fffffff, 0, NUMBER,
		       WAL_HEADER_BYTES);
	put_raw(NAME, raw, sizeof(raw));
	ck_assert_int_eq(read_all(&n, &torn), LSM_END);
	ck_assert_uint_eq(n, 0);
	ck_assert(torn);
}
END_TEST

START_TEST(random_bytes_are_survived)
{
	static uint8_t raw[70000];
	unsigned long long seed = test_seed(20240607);
	struct wal_reader *r;
	struct lsm_slice s;
	unsigned round;
	size_t i, len;
	int err;

	rnd_state = seed | 1;
	for (round = 0; round < 60; round++) {
		len = rnd() % sizeof(raw);
		for (i = 0; i < len; i++)
			raw[i] = (uint8_t)(rnd() >> 33);
		if (len > WAL_HEADER_BYTES && round % 4)
			wal_header_put(raw, NUMBER);
		/* Headers that look right but for their checksum. */
		for (i = WAL_HEADER_BYTES; round % 2 && i + 64 < len; i += 64)
			wal_record_put(raw + i, (uint32_t)rnd(),
				       (uint32_t)(rnd() % (len - i)), rnd() % i,
				       NUMBER, 0);
		put_raw(NAME, raw, len);
		err = wal_reader_open(dir, NAME, NUMBER, &logger, &r);
		if (err) {
			ck_assert(err == -EUCLEAN || err == LSM_END);
			continue;
		}
		while (!(err = wal_reader_next(r, &s)))
			;
		ck_assert_int_eq(err, LSM_END);
		wal_reader_close(r);
	}
}
END_TEST

START_TEST(power_loss_keeps_what_was_synced)
{
	unsigned long long seed = test_seed(99), round;
	uint64_t calls;
	unsigned n, synced, appended;
	struct wal_writer *w;
	char path[32];
	bool torn;
	int err;

	for (round = 0; round < 200; round++) {
		snprintf(path, sizeof(path), "/crash%llu", round);
		env_dir_close(dir);
		ck_assert_int_eq(env_dir_open(env, path, ENV_DIR_CREATE, &dir),
				 0);
		ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL,
						 round % 2 ? 65536 : 0, &w),
				 0);
		ck_assert_int_eq(env_dir_sync(dir), 0);
		calls = env_fault_calls(env);
		env_fault_power_off_at(env, calls + round % 20);
		synced = appended = 0;
		for (err = 0; !err && appended < RECORDS * 2;) {
			uint8_t p[256];
			size_t len = payload(appended, p);
			uint64_t end;

			err = wal_writer_append(w, lsm_slice(p, len),
						lsm_slice(NULL, 0), &end);
			if (err)
				break;
			appended++;
			if (appended % 3)
				continue;
			err = wal_writer_sync(w);
			if (!err)
				synced = appended;
		}
		wal_writer_close(w, false);
		env_dir_close(dir);
		env_fault_restart(env, (enum env_fault_keep)(round % 3),
				  round % 5 == 0, seed + round);
		ck_assert_int_eq(env_dir_open(env, path, 0, &dir), 0);
		err = read_all(&n, &torn);
		ck_assert_int_eq(err, LSM_END);
		ck_assert_uint_ge(n, synced);
		ck_assert_uint_le(n, appended + 1);
	}
}
END_TEST

START_TEST(error_of_the_disk_stays)
{
	struct wal_writer *w;
	uint8_t p[256];
	uint64_t end, before;
	size_t n = payload(1, p);

	ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL, 0, &w), 0);
	append(w, 0);
	before = wal_writer_bytes(w);
	env_fault_fail_at(env, env_fault_calls(env), -ENOSPC, false);
	ck_assert_int_eq(
		wal_writer_append(w, lsm_slice(p, n), lsm_slice(NULL, 0), &end),
		-ENOSPC);
	ck_assert_int_eq(
		wal_writer_append(w, lsm_slice(p, n), lsm_slice(NULL, 0), &end),
		-ENOSPC);
	ck_assert_int_eq(wal_writer_sync(w), -ENOSPC);
	ck_assert_uint_eq(wal_writer_bytes(w), before);
	ck_assert_uint_eq(wal_writer_durable_bytes(w), 0);
	wal_writer_close(w, false);

	ck_assert_int_eq(wal_writer_open(dir, "b", 9, NULL, 0, &w), 0);
	append(w, 0);
	env_fault_fail_at(env, env_fault_calls(env), -EIO, false);
	ck_assert_int_eq(wal_writer_sync(w), -EIO);
	ck_assert_int_eq(wal_writer_sync(w), -EIO);
	ck_assert_int_eq(
		wal_writer_append(w, lsm_slice(p, n), lsm_slice(NULL, 0), &end),
		-EIO);
	ck_assert_uint_eq(wal_writer_durable_bytes(w), 0);
	wal_writer_close(w, false);
}
END_TEST

static void *sync_often(void *arg)
{
	struct wal_writer *w = arg;
	uint64_t last = 0, now;
	int i;

	for (i = 0; i < 300; i++) {
		if (wal_writer_sync(w))
			return NULL;
		now = wal_writer_durable_bytes(w);
		if (now < last || now > wal_writer_bytes(w))
			return NULL;
		last = now;
	}
	return w;
}

START_TEST(syncs_run_beside_appends)
{
	struct wal_writer *w;
	struct wal_reader *r;
	struct lsm_slice s;
	pthread_t t;
	void *ok;
	unsigned i, n = 0;

	ck_assert_int_eq(wal_writer_open(dir, NAME, NUMBER, NULL, 0, &w), 0);
	ck_assert_int_eq(pthread_create(&t, NULL, sync_often, w), 0);
	for (i = 0; i < 5000; i++)
		append(w, i % 20);
	ck_assert_int_eq(pthread_join(t, &ok), 0);
	ck_assert_ptr_eq(ok, w);
	ck_assert_int_eq(wal_writer_sync(w), 0);
	ck_assert_uint_eq(wal_writer_durable_bytes(w), wal_writer_bytes(w));
	ck_assert_int_eq(wal_writer_close(w, true), 0);
	ck_assert_int_eq(wal_reader_open(dir, NAME, NUMBER, &logger, &r), 0);
	while (!wal_reader_next(r, &s))
		n++;
	ck_assert_uint_eq(n, 5000);
	wal_reader_close(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wal");
	TCase *t = tcase_create("wal");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, records_are_read_as_written);
	tcase_add_test(t, large_and_small_records_follow_each_other);
	tcase_add_test(t, empty_record_is_refused_and_does_no_harm);
	tcase_add_test(t, log_cut_anywhere_yields_the_whole_records_before);
	tcase_add_test(t, tail_torn_in_a_preallocated_log_is_noticed);
	tcase_add_test(t, flipped_bit_is_a_tail_or_corruption_but_never_data);
	tcase_add_test(t, zeroed_sector_of_durable_records_is_corruption);
	tcase_add_test(t, leftovers_of_a_recycled_log_are_not_records);
	tcase_add_test(t, records_inside_a_value_prove_nothing);
	tcase_add_test(t, header_of_another_log_or_format_is_told);
	tcase_add_test(t, broken_header_is_corruption_only_before_records);
	tcase_add_test(t, reader_tells_what_the_last_record_knew_durable);
	tcase_add_test(t, length_beyond_the_file_costs_no_memory);
	tcase_add_test(t, random_bytes_are_survived);
	tcase_add_test(t, power_loss_keeps_what_was_synced);
	tcase_add_test(t, error_of_the_disk_stays);
	tcase_add_test(t, syncs_run_beside_appends);
	suite_add_tcase(s, t);
	return run_suite(s);
}
