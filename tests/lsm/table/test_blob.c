/* SPDX-License-Identifier: MIT */
/*
 * test_blob.c - blob files: what is written is read, what is damaged is
 * noticed, and nothing that a handle or a block says leads outside of it.
 */
#include <errno.h>

#include "lsm/base/epoch.h"
#include "lsm/base/file_name.h"
#include "lsm/base/slice.h"
#include "lsm/env/env_fault.h"
#include "lsm/table/blob_reader.h"
#include "lsm/table/sst_format.h"
#include "tests/check_main.h"

#define NAME   "000009.blob"
#define PATH   "/b/000009.blob"
#define NUMBER 9
#define VALUES 60

#define OK(call) ck_assert_int_eq(call, 0)

struct world {
	struct lsm_env *env;
	struct env_dir *dir;
	struct cache *cache;
	struct blob_handle handle[VALUES];
	struct blob_meta meta;
	size_t max_len;
	bool noise; /* values that do not compress */
};

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dull;
}

static struct lsm_slice value_of(const struct world *w, unsigned i, void *buf)
{
	uint64_t seed = 1000 + i;
	size_t len = 1 + rnd(&seed) % w->max_len;
	uint8_t *p = buf;

	if (i == VALUES / 2)
		len = 3 * BLOB_BLOCK_BYTES / (w->max_len > 1000 ? 1 : 300);
	for (size_t k = 0; k < len; k++)
		p[k] = w->noise ? (uint8_t)rnd(&seed) : (uint8_t)(i + k / 40);
	return lsm_slice(p, len);
}

static struct lsm_slice key_of(unsigned i, char *buf)
{
	return lsm_slice(buf, (size_t)sprintf(buf, "key%05u", i));
}

/* Cuts as a flush does. */
static void write_file(struct world *w)
{
	uint8_t *buf = malloc(4 * BLOB_BLOCK_BYTES);
	struct blob_handle place;
	struct blob_writer *b;
	unsigned i, first = 0;
	char key[32];

	OK(blob_writer_open(w->dir, NAME, NUMBER, true, &b));
	for (i = 0; i <= VALUES; i++) {
		struct lsm_slice k = {0}, v = {0};

		if (i < VALUES) {
			k = key_of(i, key);
			v = value_of(w, i, buf);
		}
		if (i == VALUES || blob_writer_full(b, k, v)) {
			OK(blob_writer_cut(b, &place));
			for (; first < i; first++) {
				w->handle[first].file = place.file;
				w->handle[first].offset = place.offset;
				w->handle[first].bytes = place.bytes;
				w->handle[first].type = place.type;
			}
		}
		if (i == VALUES)
			break;
		w->handle[i].len = (uint32_t)v.len;
		OK(blob_writer_add(b, k, 7 + i, v, &w->handle[i].index));
	}
	OK(blob_writer_finish(b, &w->meta));
	free(buf);
}

static void world_open(struct world *w, size_t max_len, bool noise)
{
	memset(w, 0, sizeof(*w));
	w->max_len = max_len;
	w->noise = noise;
	w->env = env_fault_new();
	OK(env_dir_open(w->env, "/b", ENV_DIR_CREATE, &w->dir));
	w->cache = cache_new(8 << 20);
	ck_assert_ptr_nonnull(w->cache);
	write_file(w);
}

static void world_close(struct world *w)
{
	env_dir_close(w->dir);
	epoch_barrier();
	cache_free(w->cache);
	env_fault_free(w->env);
}

struct seen {
	const struct world *w;
	unsigned count;
	uint8_t *buf;
};

static int check_seen(void *arg, const struct blob_handle *h,
		      struct lsm_slice key, uint64_t seq,
		      struct lsm_slice value)
{
	struct seen *s = arg;
	unsigned i = s->count++;
	char want[32];

	ck_assert_uint_lt(i, VALUES);
	ck_assert(slice_eq(key, key_of(i, want)));
	ck_assert_uint_eq(seq, 7 + i);
	ck_assert(slice_eq(value, value_of(s->w, i, s->buf)));
	ck_assert_uint_eq(h->offset, s->w->handle[i].offset);
	ck_assert_uint_eq(h->index, s->w->handle[i].index);
	return 0;
}

/* Everything there is to ask; 0 or the first error. Answers must be right. */
static int ask_everything(struct world *w)
{
	struct seen seen = {.w = w, .buf = malloc(4 * BLOB_BLOCK_BYTES)};
	struct cache_entry *e;
	struct blob_reader *r;
	struct lsm_slice v;
	int err = blob_reader_open(w->dir, NAME, NUMBER, w->cache, NULL, &r);

	if (err)
		goto out;
	cache_erase_file(w->cache, NUMBER);
	for (unsigned i = 0; i < VALUES && !err; i++) {
		err = blob_reader_block(r, &w->handle[i], i % 2, &e);
		if (err)
			break;
		OK(blob_value(&w->handle[i], e, &v));
		ck_assert(slice_eq(v, value_of(w, i, seen.buf)));
		cache_put(w->cache, e);
	}
	if (!err)
		err = blob_reader_each(r, check_seen, &seen);
	if (!err)
		ck_assert_uint_eq(seen.count, VALUES);
	blob_reader_put(r);
out:
	free(seen.buf);
	return err;
}

START_TEST(values_come_back_as_they_were)
{
	struct world w;
	unsigned blocks = 0, lz4 = 0;

	world_open(&w, 9000, _i);
	OK(ask_everything(&w));
	ck_assert_uint_eq(w.meta.values, VALUES);
	for (unsigned i = 0; i < VALUES; i++) {
		blocks += w.handle[i].index == 0;
		lz4 += w.handle[i].index == 0 && w.handle[i].type;
		if (i != VALUES / 2)
			continue;
		/* larger than a block: alone */
		ck_assert_uint_eq(w.handle[i].index, 0);
		ck_assert_uint_eq(w.handle[i + 1].index, 0);
	}
	ck_assert_uint_gt(blocks, 5);
	ck_assert_uint_eq(lz4, _i ? 0 : blocks);
	world_close(&w);
}
END_TEST

START_TEST(cached_values_need_no_file_and_others_say_so)
{
	struct world w;
	struct cache_entry *e;
	struct blob_reader *r;
	struct lsm_slice v, again;

	world_open(&w, 2000, false);
	epoch_pin();
	ck_assert_int_eq(blob_cached(w.cache, &w.handle[0], &v), -EAGAIN);
	epoch_unpin();
	OK(blob_reader_open(w.dir, NAME, NUMBER, w.cache, NULL, &r));
	OK(blob_reader_block(r, &w.handle[0], true, &e));
	OK(blob_value(&w.handle[0], e, &again));
	blob_reader_put(r);
	epoch_pin();
	OK(blob_cached(w.cache, &w.handle[0], &v));
	ck_assert_ptr_eq(v.data, again.data);
	epoch_unpin();
	cache_put(w.cache, e);
	world_close(&w);
}
END_TEST

START_TEST(every_flipped_byte_is_noticed)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	struct world w;

	world_open(&w, 40, _i);
	for (uint64_t at = 0; at < w.meta.file_bytes; at++) {
		for (size_t k = 0; k < sizeof(masks); k++) {
			int err;

			OK(env_fault_corrupt(w.env, PATH, at, masks[k]));
			err = ask_everything(&w);
			ck_assert_msg(
				err == -EUCLEAN || err == -EPROTONOSUPPORT,
				"byte %llu: %d", (unsigned long long)at, err);
			OK(env_fault_corrupt(w.env, PATH, at, masks[k]));
		}
	}
	OK(ask_everything(&w));
	world_close(&w);
}
END_TEST

START_TEST(every_truncation_is_noticed)
{
	struct world w;
	struct env_object *o;
	uint8_t *all;

	world_open(&w, 40, false);
	OK(env_object_open(w.dir, NAME, &o));
	all = malloc(w.meta.file_bytes);
	OK(env_object_read(o, 0, all, w.meta.file_bytes));
	env_object_close(o);
	for (uint64_t len = 0; len < w.meta.file_bytes; len++) {
		struct env_writer *out;

		OK(env_dir_delete(w.dir, NAME));
		OK(env_writer_create(w.dir, NAME, &out));
		OK(env_writer_append(out, all, len));
		OK(env_writer_finish(out));
		ck_assert_int_eq(ask_everything(&w), -EUCLEAN);
	}
	free(all);
	world_close(&w);
}
END_TEST

START_TEST(handles_that_fit_nothing_are_refused)
{
	struct cache_entry *e;
	struct blob_reader *r;
	struct world w;
	uint64_t seed = test_seed(5);

	world_open(&w, 3000, false);
	OK(blob_reader_open(w.dir, NAME, NUMBER, w.cache, NULL, &r));
	for (unsigned i = 0; i < 2000; i++) {
		struct blob_handle h = w.handle[rnd(&seed) % VALUES];
		int err;

		switch (rnd(&seed) % 5) {
		case 0:
			h.offset += 1 + rnd(&seed) % 200000;
			cache_erase_file(w.cache, NUMBER);
			break;
		case 1:
			h.bytes ^= 1u << rnd(&seed) % 30;
			cache_erase_file(w.cache, NUMBER);
			break;
		case 2:
			h.type ^= 1 + rnd(&seed) % 255;
			cache_erase_file(w.cache, NUMBER);
			break;
		case 3:
			h.index += 1000 + (uint32_t)rnd(&seed) % 100000;
			break;
		default:
			h.len ^= 1u << rnd(&seed) % 30;
		}
		err = blob_reader_block(r, &h, true, &e);
		ck_assert_int_eq(err, -EUCLEAN);
	}
	blob_reader_put(r);
	world_close(&w);
}
END_TEST

START_TEST(handles_survive_encoding_and_noise_is_none)
{
	uint64_t seed = test_seed(6);
	uint8_t buf[BLOB_HANDLE_MAX + 1];
	struct blob_handle h, back;

	for (unsigned i = 0; i < 5000; i++) {
		size_t len;

		h = (struct blob_handle){
			.file = 1 + (rnd(&seed) >> rnd(&seed) % 63),
			.offset = rnd(&seed) >> (1 + rnd(&seed) % 62),
			.bytes = (uint32_t)(rnd(&seed) % SST_BLOCK_MAX),
			.type = rnd(&seed) % 2,
			.index = (uint32_t)rnd(&seed),
			.len = 1 + (uint32_t)(rnd(&seed) % LSM_VALUE_MAX),
		};
		len = blob_handle_encode(&h, buf);
		ck_assert(blob_handle_decode(&back, lsm_slice(buf, len)));
		ck_assert(h.file == back.file && h.offset == back.offset &&
			  h.bytes == back.bytes && h.type == back.type &&
			  h.index == back.index && h.len == back.len);
		buf[len] = 0;
		ck_assert(!blob_handle_decode(&back, lsm_slice(buf, len + 1)));
		for (size_t n = 0; n < len; n++) {
			uint8_t *exact = malloc(n ? n : 1);

			memcpy(exact, buf, n);
			ck_assert(!blob_handle_decode(&back,
						      lsm_slice(exact, n)));
			free(exact);
		}
	}
}
END_TEST

static int any_value(void *arg, uint32_t index, struct lsm_slice key,
		     uint64_t seq, struct lsm_slice value)
{
	const uint8_t *p = value.data;
	unsigned sum = 0;

	for (size_t i = 0; i < value.len; i++)
		sum += p[i];
	p = key.data;
	for (size_t i = 0; i < key.len; i++)
		sum += p[i];
	*(unsigned *)arg += sum;
	return 0;
}

/* Under the address sanitizer: no read beyond what malloc gave. */
START_TEST(random_blocks_never_lead_outside)
{
	uint64_t seed = test_seed(7);
	unsigned sum = 0, sound = 0;

	for (unsigned i = 0; i < 50000; i++) {
		size_t len = rnd(&seed) % 64;
		uint8_t *p = malloc(len ? len : 1);
		struct lsm_slice v;

		for (size_t k = 0; k < len; k++)
			p[k] = rnd(&seed) % 4 ? rnd(&seed) % 8
					      : (uint8_t)rnd(&seed);
		if (len >= 8 && i % 2) {
			memset(p, 0, 8);
			p[0] = 1;
			p[4] = (uint8_t)(rnd(&seed) % 60);
		}
		blob_block_value(p, len, (uint32_t)rnd(&seed) % 4, &v);
		if (blob_block_check(p, len)) {
			sound++;
			OK(blob_block_each(p, len, any_value, &sum));
		}
		free(p);
	}
	ck_assert_uint_gt(sound, 0);
}
END_TEST

START_TEST(open_files_are_bounded)
{
	struct blob_slot slot[3] = {
		{.number = NUMBER}, {.number = 10}, {.number = 11}};
	struct blob_files files;
	struct blob_writer *b;
	struct blob_meta meta;
	struct blob_reader *r;
	char name[FILE_NAME_MAX];
	struct world w;

	world_open(&w, 100, false);
	for (unsigned i = 1; i < 3; i++) {
		file_name(name, FILE_BLOB, slot[i].number);
		OK(blob_writer_open(w.dir, name, slot[i].number, false, &b));
		OK(blob_writer_finish(b, &meta));
	}
	blob_files_init(&files, w.dir, w.cache, NULL, 2);
	for (unsigned i = 0; i < 30; i++) {
		OK(blob_files_get(&files, &slot[i % 3], &r));
		blob_reader_put(r);
		ck_assert_uint_le(files.open_count, 2);
	}
	for (unsigned i = 0; i < 3; i++)
		blob_files_evict(&files, &slot[i]);
	ck_assert_uint_eq(files.open_count, 0);
	blob_files_release(&files);
	world_close(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blob");
	TCase *t = tcase_create("blob");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, values_come_back_as_they_were, 0, 2);
	tcase_add_test(t, cached_values_need_no_file_and_others_say_so);
	tcase_add_loop_test(t, every_flipped_byte_is_noticed, 0, 2);
	tcase_add_test(t, every_truncation_is_noticed);
	tcase_add_test(t, handles_that_fit_nothing_are_refused);
	tcase_add_test(t, handles_survive_encoding_and_noise_is_none);
	tcase_add_test(t, random_blocks_never_lead_outside);
	tcase_add_test(t, open_files_are_bounded);
	suite_add_tcase(s, t);
	return run_suite(s);
}
