/* SPDX-License-Identifier: MIT */
/* test_version_edit.c - manifest records: what goes in comes out, and no bytes
 * do harm. */
#include "tree_test.h"

static void random_blob(struct version_edit *e, uint64_t *s)
{
	struct edit_blob b = {.what = (enum edit_blob_what)(rnd(s) % 3)};

	b.meta.number = rnd(s) | 1;
	if (b.what == EDIT_BLOB_ADD) {
		b.meta.file_bytes = rnd(s);
		b.meta.values = rnd(s);
		b.meta.value_bytes = rnd(s) >> 1;
		b.live_bytes = b.meta.value_bytes / 3;
	} else if (b.what == EDIT_BLOB_LIVE) {
		b.less = rnd(s);
		b.more = rnd(s) >> 1;
	}
	OK(version_edit_blob(e, &b));
}

static void random_edit(struct version_edit *e, uint64_t *s)
{
	char a[32], b[32];
	int i, n = (int)(rnd(s) % 5);

	e->has_header = rnd(s) & 1;
	if (e->has_header) {
		e->header.format = MANIFEST_FORMAT;
		e->header.compat = rnd(s);
		e->header.incompat = rnd(s);
		memset(e->header.uuid, (int)rnd(s), UUID_BYTES);
	}
	e->has_log_number = rnd(s) & 1;
	e->log_number = e->has_log_number ? rnd(s) : 0;
	e->has_last_seq = rnd(s) & 1;
	e->last_seq = e->has_last_seq ? rnd(s) & SEQ_MAX : 0;
	e->has_next_file = rnd(s) & 1;
	e->next_file = e->has_next_file ? rnd(s) : 0;
	for (i = 0; i < n; i++) {
		struct sst_meta m;

		snprintf(a, sizeof(a), "a%d", (int)(rnd(s) % 1000));
		snprintf(b, sizeof(b), "b%d", (int)(rnd(s) % 1000));
		m = fake_meta(1 + rnd(s) % 1000, a, b, rnd(s) & SEQ_MAX,
			      rnd(s));
		m.largest_exclusive = rnd(s) & 1;
		m.entries = rnd(s);
		m.deletions = m.entries / 2;
		m.range_deletions = rnd(s);
		for (uint64_t k = rnd(s) % 4; k; k--)
			OK(sst_meta_add_blob(&m, 1 + rnd(s) % 50,
					     1 + rnd(s) % 1000000));
		OK(version_edit_add(e, (unsigned)(rnd(s) % LSM_LEVELS), &m));
		ck_assert_ptr_null(m.smallest.data);
		OK(version_edit_delete(e, (unsigned)(rnd(s) % LSM_LEVELS),
				       rnd(s)));
		OK(version_edit_snapshot(e, i & 1, a, rnd(s) & SEQ_MAX));
		random_blob(e, s);
	}
}

static void assert_same(const struct version_edit *a,
			const struct version_edit *b)
{
	struct buf x = {0}, y = {0};

	OK(version_edit_encode(a, &x));
	OK(version_edit_encode(b, &y));
	ck_assert(slice_eq(buf_slice(&x), buf_slice(&y)));
	buf_clear(&x);
	buf_clear(&y);
	OK(version_edit_to_text(a, &x));
	OK(version_edit_to_text(b, &y));
	ck_assert(slice_eq(buf_slice(&x), buf_slice(&y)));
	buf_release(&x);
	buf_release(&y);
}

START_TEST(edit_survives_encoding)
{
	uint64_t s = test_seed(1);
	int i;

	for (i = 0; i < 500; i++) {
		struct version_edit e = {0}, d = {0};
		struct buf rec = {0};
		size_t k;

		random_edit(&e, &s);
		OK(version_edit_encode(&e, &rec));
		OK(version_edit_decode(&d, buf_slice(&rec)));
		assert_same(&e, &d);
		ck_assert_uint_eq(e.added_count, d.added_count);
		for (k = 0; k < e.added_count; k++) {
			ck_assert_uint_eq(e.added[k].meta.max_seq,
					  d.added[k].meta.max_seq);
			ck_assert_uint_eq(e.added[k].meta.raw_bytes,
					  d.added[k].meta.raw_bytes);
			ck_assert(sst_meta_blobs_equal(&e.added[k].meta,
						       &d.added[k].meta));
			ck_assert(e.added[k].meta.largest_exclusive ==
				  d.added[k].meta.largest_exclusive);
		}
		version_edit_release(&e);
		version_edit_release(&d);
		buf_release(&rec);
	}
}
END_TEST

START_TEST(cut_or_damaged_record_is_refused_or_sane)
{
	uint64_t s = test_seed(2);
	int i;

	for (i = 0; i < 3000; i++) {
		struct version_edit e = {0}, d = {0}, again = {0};
		struct buf rec = {0}, two = {0};
		uint8_t *exact;
		size_t k, n;
		int err;

		random_edit(&e, &s);
		OK(version_edit_encode(&e, &rec));
		n = rec.len ? rnd(&s) % (rec.len + 1) : 0;
		for (k = rnd(&s) % 3; k && n; k--)
			rec.data[rnd(&s) % n] ^= (uint8_t)rnd(&s);
		/* as large as it is, so that a sanitizer sees an overrun */
		exact = malloc(n ? n : 1);
		if (n)
			memcpy(exact, rec.data, n);
		err = version_edit_decode(&d, lsm_slice(exact, n));
		ck_assert(!err || err == -EUCLEAN || err == -EPROTONOSUPPORT);
		if (!err) {
			OK(version_edit_encode(&d, &two));
			OK(version_edit_decode(&again, buf_slice(&two)));
			assert_same(&d, &again);
		}
		free(exact);
		version_edit_release(&e);
		version_edit_release(&d);
		version_edit_release(&again);
		buf_release(&rec);
		buf_release(&two);
	}
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
	uint64_t s = test_seed(3);
	int i;

	for (i = 0; i < 20000; i++) {
		struct version_edit d = {0};
		size_t n = rnd(&s) % 40, k;
		uint8_t *p = malloc(n ? n : 1);
		int err;

		for (k = 0; k < n; k++)
			p[k] = (uint8_t)(rnd(&s) & 1 ? rnd(&s) % 20 : rnd(&s));
		err = version_edit_decode(&d, lsm_slice(p, n));
		ck_assert(!err || err == -EUCLEAN || err == -EPROTONOSUPPORT);
		version_edit_release(&d);
		free(p);
	}
}
END_TEST

START_TEST(unknown_odd_tag_is_skipped_and_even_refused)
{
	struct version_edit e = {.has_log_number = true, .log_number = 7};
	struct version_edit d = {0};
	struct buf rec = {0};

	OK(buf_append_varint(&rec, 1001));
	OK(buf_append_slice(&rec, slice_str("from the future")));
	OK(version_edit_encode(&e, &rec));
	OK(version_edit_decode(&d, buf_slice(&rec)));
	ck_assert(d.has_log_number);
	ck_assert_uint_eq(d.log_number, 7);
	OK(buf_append_varint(&rec, 1002));
	OK(buf_append_slice(&rec, slice_str("x")));
	ck_assert_int_eq(version_edit_decode(&d, buf_slice(&rec)),
			 -EPROTONOSUPPORT);
	version_edit_release(&d);
	buf_release(&rec);
}
END_TEST

START_TEST(newer_format_is_refused)
{
	struct version_edit e = {.has_header = true,
				 .header = {.format = MANIFEST_FORMAT + 1}};
	struct version_edit d = {0};
	struct buf rec = {0};

	OK(version_edit_encode(&e, &rec));
	ck_assert_int_eq(version_edit_decode(&d, buf_slice(&rec)),
			 -EPROTONOSUPPORT);
	version_edit_release(&d);
	buf_release(&rec);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("version_edit");
	TCase *t = tcase_create("all");

	tcase_add_test(t, edit_survives_encoding);
	tcase_add_test(t, cut_or_damaged_record_is_refused_or_sane);
	tcase_add_test(t, random_bytes_do_no_harm);
	tcase_add_test(t, unknown_odd_tag_is_skipped_and_even_refused);
	tcase_add_test(t, newer_format_is_refused);
	suite_add_tcase(s, t);
	return run_suite(s);
}
