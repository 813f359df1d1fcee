/* SPDX-License-Identifier: MIT */
/*
 * test_hostile.c - a whole store, with values in blob files and a log, whose
 * files were changed by somebody who means harm: bytes flipped, files cut,
 * pieces of one file put into another, and, with every checksum right, records
 * of the manifest, of the log, and footers and indexes of blob files that say
 * what no writer of ours would.
 *
 * The store may refuse and say so; it may never crash, hang, ask for memory by
 * the word of a length, or give a value that was never written under the key.
 * Repair may lose what is damaged, and what it says opens, opens.
 *
 * HOSTILE_ROUNDS (150) changes of each kind.
 */
#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"
#include "lsm/base/file_name.h"
#include "lsm/env/env.h"
#include "lsm/mem/batch.h"
#include "lsm/table/blob_format.h"
#include "lsm/table/sst_format.h"
#include "lsm/tree/manifest.h"
#include "lsm/wal/wal.h"
#include "tests/lsm/db/db_check.h"

#define PATH      "/store"
#define KEYS      90
#define VALUE_MAX 700
#define FILES_MAX 64

struct file {
	char name[64];
	uint8_t *data;
	size_t len;
};

static struct lsm_env *env;
static struct env_dir *dir;
static struct lsm_options options;
static struct file files[FILES_MAX];
static unsigned file_count;
/* Whoever can give a record the right checksum can also give it other values,
 * so those are not judged. */
static bool values_free;
static const struct lsm_slice none;

static unsigned rounds(void)
{
	const char *s = getenv("HOSTILE_ROUNDS");

	return s                     ? (unsigned)strtoul(s, NULL, 0)
	       : getenv("TEST_LONG") ? 3000
				     : 150;
}

/* ---- the store and its files ---- */

/* Every value says whose it is, and there are few versions of it. */
static struct lsm_slice value_of(unsigned i, unsigned v, char buf[VALUE_MAX])
{
	size_t len = i % 3 == 2 ? 30 : 120 + i * 6;

	for (size_t k = 0; k < len; k++)
		buf[k] = (char)(i % 2 ? i * 7 + v : i * 7 + v * 31 + k * k / 3);
	buf[0] = (char)i;
	buf[1] = (char)v;
	return lsm_slice(buf, len);
}

static void check_value(unsigned i, struct lsm_slice got)
{
	char buf[VALUE_MAX];
	struct lsm_slice want;
	unsigned v;

	if (values_free)
		return;
	ck_assert_uint_lt(i, KEYS);
	ck_assert_uint_ge(got.len, 2);
	v = ((const uint8_t *)got.data)[1];
	ck_assert_uint_le(v, 4);
	want = value_of(i, v, buf);
	ck_assert_uint_eq(got.len, want.len);
	ck_assert(!memcmp(got.data, want.data, got.len));
}

static void put(struct lsm_db *db, unsigned v, unsigned step)
{
	char key[16], buf[VALUE_MAX];

	for (unsigned i = v % step; i < KEYS; i += step)
		ck_ok(lsm_put(db, model_key(key, i), value_of(i, v, buf)));
}

/* Straight into a blob file, which only the log knows of. */
static void put_bulk(struct lsm_db *db, unsigned v)
{
	struct lsm_batch *b = lsm_batch_new();
	char key[16], buf[VALUE_MAX];

	ck_assert_ptr_nonnull(b);
	for (unsigned i = 30; i < KEYS; i += 2)
		ck_ok(lsm_batch_put(b, model_key(key, i), value_of(i, v, buf)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static int take_file(void *arg, const char *name, uint64_t bytes)
{
	struct file *f = &files[file_count];

	if (!strcmp(name, "LOCK"))
		return 0;
	ck_assert_uint_lt(file_count, FILES_MAX);
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->len = bytes;
	file_count++;
	return 0;
}

static void make_store(void)
{
	struct lsm_batch *b = lsm_batch_new();
	struct env_object *o;
	struct lsm_db *db;

	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	options = (struct lsm_options){.env = env,
				       .write_buffer_bytes = 64 << 10,
				       .memory_bytes = 2 << 20,
				       .block_bytes = 512,
				       .table_bytes = 4096,
				       .level_base_bytes = 8192,
				       .level_multiplier = 2,
				       .no_background_compaction = true,
				       .wal_sync_interval_ms = UINT32_MAX,
				       .blob_bytes = 100,
				       .blob_file_bytes = 16384,
				       .blob_direct_bytes = 4096};
	if (getenv("DB_LOG")) {
		options.log_level = LSM_LOG_DEBUG;
	}
	ck_ok(lsm_open(PATH, &options, &db));
	put(db, 0, 1);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_snapshot_create(db, "name"));
	put(db, 1, 2);
	ck_ok(lsm_batch_delete_range(b, slice_of("k00020"),
				     slice_of("k00024")));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	ck_ok(lsm_flush(db));
	put(db, 2, 3);
	ck_ok(lsm_flush(db));
	put(db, 3, 5);
	put_bulk(db, 4);
	ck_ok(lsm_sync(db));
	put(db, 4, 9);
	put_bulk(db, 3);
	/* the process ends here */
	env_fault_power_off_at(env, env_fault_calls(env));
	lsm_close(db);
	env_fault_restart(env, ENV_KEEP_ALL, false, 0);
	ck_ok(env_dir_open(env, PATH, 0, &dir));
	file_count = 0;
	ck_ok(env_dir_list(dir, take_file, NULL));
	for (unsigned i = 0; i < file_count; i++) {
		struct file *f = &files[i];

		f->data = malloc(f->len + 1);
		ck_assert_ptr_nonnull(f->data);
		ck_ok(env_object_open(dir, f->name, &o));
		if (f->len)
			ck_ok(env_object_read(o, 0, f->data, f->len));
		env_object_close(o);
	}
}

static void drop_store(void)
{
	while (file_count)
		free(files[--file_count].data);
	env_dir_close(dir);
	env_fault_free(env);
}

static void write_file(const char *name, const void *data, size_t len)
{
	struct env_writer *w;

	(void)env_dir_delete(dir, name);
	ck_ok(env_writer_create(dir, name, &w));
	ck_ok(env_writer_append(w, data, len));
	ck_ok(env_writer_finish(w));
}

static int wipe_file(void *arg, const char *name, uint64_t bytes)
{
	char(*names)[64] = arg;
	unsigned i = 0;

	while (names[i][0])
		i++;
	ck_assert_uint_lt(i, 255);
	snprintf(names[i], 64, "%s", name);
	return 0;
}

static void restore(void)
{
	static char names[256][64];

	memset(names, 0, sizeof(names));
	ck_ok(env_dir_list(dir, wipe_file, names));
	for (unsigned i = 0; names[i][0]; i++)
		ck_ok(env_dir_delete(dir, names[i]));
	for (unsigned i = 0; i < file_count; i++)
		write_file(files[i].name, files[i].data, files[i].len);
	ck_ok(env_dir_sync(dir));
}

/* A file of that kind, any of them. */
static struct file *file_like(const char *part, uint64_t *seed)
{
	unsigned at = rnd_below(seed, file_count);

	for (unsigned i = 0; i < file_count; i++) {
		struct file *f = &files[(at + i) % file_count];

		if (strstr(f->name, part))
			return f;
	}
	ck_abort_msg("no %s", part);
	return NULL;
}

/* ---- the judge ---- */

static void told(const char *what, int r)
{
	/* The ways to refuse what is on the disk. */
	ck_assert_msg(r == 0 || r == -EUCLEAN || r == -EPROTONOSUPPORT ||
			      r == -ENOENT || r == -ENOTEMPTY || r == -EIO,
		      "%s gives %d (%s)", what, r, lsm_strerror(r));
}

static void read_all(struct lsm_db *db, const struct lsm_snapshot *snapshot)
{
	struct lsm_iter_options o = {.snapshot = snapshot};
	struct lsm_pin pin = {0};
	struct lsm_iter *it;
	char key[16];
	int r;

	for (unsigned i = 0; i < KEYS; i++) {
		r = lsm_get(db, snapshot, model_key(key, i), &pin);
		if (!r)
			check_value(i, lsm_slice(pin.data, pin.len));
		else if (r != LSM_NOTFOUND)
			told("get", r);
	}
	lsm_unpin(&pin);
	r = lsm_iter_new(db, &o, &it);
	told("iter", r);
	if (r)
		return;
	for (r = lsm_iter_first(it); !r; r = lsm_iter_next(it)) {
		struct lsm_slice v = lsm_iter_value(it);

		if (!v.data)
			break;
		if (!values_free && lsm_iter_key(it).len == 6)
			check_value(model_index(lsm_iter_key(it)), v);
	}
	if (r != LSM_END)
		told("next", r);
	for (r = lsm_iter_last(it); !r; r = lsm_iter_prev(it))
		if (!lsm_iter_value(it).data)
			break;
	if (r != LSM_END)
		told("prev", r);
	lsm_iter_free(it);
}

static void look_at(struct lsm_db *db)
{
	const struct lsm_snapshot *s;
	struct lsm_stats stats;
	uint64_t bytes;

	read_all(db, NULL);
	if (!lsm_snapshot_open(db, "name", &s)) {
		read_all(db, s);
		lsm_snapshot_release(db, s);
	}
	told("verify", lsm_verify(db, NULL, NULL));
	told("size", lsm_approximate_size(db, none, none, &bytes));
	lsm_get_stats(db, &stats);
}

static int ignore_line(void *arg, const char *line)
{
	return 0;
}

static int dump_file(void *arg, const char *name, uint64_t bytes)
{
	lsm_dump_file(env, PATH, name, ignore_line, NULL);
	return 0;
}

/* Everything one can do to a store; values must be right. */
static void use_store(uint64_t seed)
{
	struct lsm_options o = options;
	struct lsm_db *db;
	char key[16], buf[VALUE_MAX];
	int r;

	ck_ok(env_dir_list(dir, dump_file, NULL));
	o.read_only = true;
	r = lsm_open(PATH, &o, &db);
	told("read-only open", r);
	if (!r) {
		look_at(db);
		told("close", lsm_close(db));
	}
	if (rnd_below(&seed, 3)) {
		r = lsm_open(PATH, &options, &db);
		told("open", r);
	} else {
		r = -EUCLEAN;
	}
	if (!r) {
		look_at(db);
		told("put",
		     lsm_put(db, model_key(key, 5), value_of(5, 1, buf)));
		told("flush", lsm_flush(db));
		told("compact", lsm_compact_range(db, none, none));
		look_at(db);
		told("close", lsm_close(db));
	}
	r = lsm_repair(PATH, &options, NULL, NULL);
	told("repair", r);
	if (r)
		return;
	ck_ok(lsm_open(PATH, &options, &db));
	look_at(db);
	ck_ok(lsm_close(db));
}

/* ---- without checksums ---- */

static void harm(struct file *f, uint64_t *seed)
{
	uint8_t *p = malloc(f->len + 4096);
	struct file *other = &files[rnd_below(seed, file_count)];
	size_t len = f->len, n, at;

	ck_assert_ptr_nonnull(p);
	memcpy(p, f->data, f->len);
	at = len ? rnd(seed) % len : 0;
	switch (rnd_below(seed, 7)) {
	case 0:
		for (n = 1 + rnd_below(seed, 4); len && n; n--)
			p[rnd(seed) % len] ^= (uint8_t)(1 + rnd(seed) % 255);
		break;
	case 1:
		len = at;
		break;
	case 2: /* a sector is zeros */
		for (n = at / 512 * 512; n < len && n < at / 512 * 512 + 512;)
			p[n++] = 0;
		break;
	case 3: /* a piece of another file */
		for (n = 0; n < 700 && at + n < len && n < other->len; n++)
			p[at + n] = other->data[n];
		break;
	case 4: /* the whole of another file */
		len = other->len < f->len + 4096 ? other->len : f->len;
		memcpy(p, other->data, len);
		break;
	case 5: /* longer */
		for (n = rnd_below(seed, 4096); n; n--)
			p[len++] = (uint8_t)rnd(seed);
		break;
	default:
		for (n = 0; n < 9 && at + n < len; n++)
			p[at + n] = 0xff;
	}
	write_file(f->name, p, len);
	free(p);
}

START_TEST(damage_anywhere_is_refused_or_harmless)
{
	uint64_t seed = test_seed(70 + (uint64_t)_i);

	make_store();
	for (unsigned i = 0; i < rounds(); i++) {
		restore();
		for (unsigned n = 1 + rnd_below(&seed, 2); n; n--)
			harm(&files[rnd_below(&seed, file_count)], &seed);
		use_store(rnd(&seed));
	}
	drop_store();
}
END_TEST

/* ---- numbers that nobody means well by ---- */

static uint64_t bad_number(uint64_t *seed)
{
	static const uint64_t bad[] = {0,
				       1,
				       2,
				       127,
				       128,
				       UINT32_MAX,
				       1ull << 32,
				       INT64_MAX,
				       (1ull << 56) - 1,
				       1ull << 56,
				       UINT64_MAX - 1,
				       UINT64_MAX};
	unsigned n = sizeof(bad) / sizeof(bad[0]);

	if (rnd_below(seed, 3))
		return bad[rnd_below(seed, n)];
	return rnd(seed) >> rnd_below(seed, 64);
}

/* ---- the manifest, with right checksums ---- */

#define RECORDS_MAX 64

static void spoil_edit(struct version_edit *e, uint64_t *seed)
{
	struct edit_blob *b;
	struct sst_meta *m;
	size_t i;

	switch (rnd_below(seed, 12)) {
	case 0:
		e->has_next_file = true;
		e->next_file = bad_number(seed);
		break;
	case 1:
		e->has_log_number = true;
		e->log_number = bad_number(seed);
		break;
	case 2:
		e->has_last_seq = true;
		e->last_seq = bad_number(seed);
		break;
	case 3:
		(void)version_edit_delete(e, rnd_below(seed, LSM_LEVELS),
					  bad_number(seed));
		break;
	case 4:
		(void)version_edit_snapshot(e, rnd_below(seed, 2), "other",
					    bad_number(seed));
		break;
	case 5:
	case 6:
	case 7:
		if (!e->blob_count)
			break;
		b = &e->blobs[rnd_below(seed, (unsigned)e->blob_count)];
		switch (rnd_below(seed, 8)) {
		case 0:
			b->what = (enum edit_blob_what)rnd_below(seed, 3);
			break;
		case 1:
			b->meta.number = bad_number(seed);
			break;
		case 2:
			b->meta.file_bytes = bad_number(seed);
			break;
		case 3:
			b->meta.values = bad_number(seed);
			break;
		case 4:
			b->meta.value_bytes = bad_number(seed);
			break;
		case 5:
			b->live_bytes = bad_number(seed);
			break;
		case 6:
			b->less = bad_number(seed);
			break;
		default:
			b->more = bad_number(seed);
		}
		break;
	default:
		if (!e->added_count)
			break;
		i = rnd_below(seed, (unsigned)e->added_count);
		m = &e->added[i].meta;
		switch (rnd_below(seed, 10)) {
		case 0:
			e->added[i].level = rnd_below(seed, LSM_LEVELS + 2);
			break;
		case 1:
			m->number = bad_number(seed);
			break;
		case 2:
			m->file_bytes = bad_number(seed);
			break;
		case 3:
			m->max_seq = bad_number(seed);
			break;
		case 4:
			m->entries = bad_number(seed);
			break;
		case 5:
			m->raw_bytes = bad_number(seed);
			break;
		case 6:
			if (m->blob_count)
				m->blobs[0].bytes = bad_number(seed);
			break;
		case 7:
			if (m->blob_count)
				m->blobs[m->blob_count - 1].file =
					bad_number(seed);
			break;
		case 8:
			m->range_deletions = bad_number(seed);
			break;
		default:
			m->largest_exclusive = !m->largest_exclusive;
		}
	}
}

static uint64_t number_of(const struct file *f)
{
	uint64_t n = 0;

	file_name_parse(f->name, &n);
	return n;
}

/* The log of records again, each passed through change(). */
static void rewrite(const struct file *f, uint64_t *seed,
		    void (*change)(struct buf *rec, bool hit, uint64_t *seed))
{
	struct buf recs[RECORDS_MAX] = {{0}};
	uint64_t number = number_of(f), end;
	unsigned count = 0, hit;
	struct wal_reader *r;
	struct wal_writer *w;
	struct lsm_slice s;

	ck_ok(wal_reader_open(dir, f->name, number, NULL, &r));
	while (count < RECORDS_MAX && !wal_reader_next(r, &s))
		ck_ok(buf_append(&recs[count++], s.data, s.len));
	wal_reader_close(r);
	ck_assert_uint_gt(count, 0);
	hit = rnd_below(seed, count);
	ck_ok(env_dir_delete(dir, f->name));
	ck_ok(wal_writer_open(dir, f->name, number, NULL, 0, &w));
	for (unsigned i = 0; i < count; i++) {
		change(&recs[i], i == hit, seed);
		if (recs[i].len)
			ck_ok(wal_writer_append(w, buf_slice(&recs[i]), none,
						&end));
		buf_release(&recs[i]);
		if (rnd_below(seed, 3) == 0)
			ck_ok(wal_writer_sync(w));
	}
	ck_ok(wal_writer_close(w, true));
}

static void change_edit(struct buf *rec, bool hit, uint64_t *seed)
{
	struct version_edit e = {0};

	if (!hit)
		return;
	if (rnd_below(seed, 8) == 0) { /* raw bytes */
		rec->data[rnd(seed) % rec->len] ^= (uint8_t)rnd(seed);
		return;
	}
	if (rnd_below(seed, 12) == 0) { /* left out, or cut */
		rec->len = rnd(seed) % rec->len;
		return;
	}
	ck_ok(version_edit_decode(&e, buf_slice(rec)));
	for (unsigned n = 1 + rnd_below(seed, 2); n; n--)
		spoil_edit(&e, seed);
	buf_clear(rec);
	ck_ok(version_edit_encode(&e, rec));
	version_edit_release(&e);
}

START_TEST(manifest_that_lies_is_refused_or_harmless)
{
	uint64_t seed = test_seed(80 + (uint64_t)_i);

	make_store();
	for (unsigned i = 0; i < rounds(); i++) {
		restore();
		rewrite(file_like("MANIFEST", &seed), &seed, change_edit);
		use_store(rnd(&seed));
	}
	drop_store();
}
END_TEST

/* ---- the log, with right checksums ---- */

static uint8_t *put_op(uint8_t *p, unsigned kind, const char *key,
		       struct lsm_slice value)
{
	*p++ = (uint8_t)kind;
	p = put_varint32(p, (uint32_t)strlen(key));
	memcpy(p, key, strlen(key));
	p += strlen(key);
	if (kind == KIND_DELETE)
		return p;
	p = put_varint32(p, (uint32_t)value.len);
	memcpy(p, value.data, value.len);
	return p + value.len;
}

/* Handles of files that are there or not, into blocks or between them. */
static size_t bad_handle(uint8_t *buf, uint64_t *seed)
{
	struct file *f = file_like(".blob", seed);
	struct blob_handle h = {
		.file = number_of(f),
		.offset = rnd_below(seed, 2) ? 0 : rnd(seed) % (f->len + 100),
		.bytes = (uint32_t)(rnd(seed) % (f->len + 50)),
		.type = (uint8_t)rnd_below(seed, 2),
		.index = rnd_below(seed, 4),
		.len = 1 + rnd_below(seed, 800)};
	size_t len;

	switch (rnd_below(seed, 8)) {
	case 0:
		h.file = bad_number(seed);
		break;
	case 1:
		h.file = number_of(file_like(".sst", seed));
		break;
	case 2:
		h.offset = bad_number(seed);
		break;
	case 3:
		h.bytes = (uint32_t)bad_number(seed);
		break;
	case 4:
		h.len = (uint32_t)bad_number(seed);
		break;
	case 5:
		h.type = (uint8_t)rnd(seed);
		break;
	default:
		break;
	}
	len = blob_handle_encode(&h, buf);
	if (rnd_below(seed, 6) == 0)
		len = rnd(seed) % (len + 1);
	return len;
}

static void change_batch(struct buf *rec, bool hit, uint64_t *seed)
{
	uint8_t out[512], value[64], *p = out + 12;
	uint32_t count;

	if (!hit)
		return;
	if (rnd_below(seed, 4) == 0) {
		rec->data[rnd(seed) % rec->len] ^= (uint8_t)rnd(seed);
		return;
	}
	memcpy(out, rec->data, 12);
	count = get_le32(out + 8);
	/* As many operations as before, or the next record does not fit. */
	for (uint32_t i = 0; i < count && i < 4; i++)
		p = put_op(p,
			   rnd_below(seed, 8) ? KIND_BLOB
					      : (unsigned)rnd(seed) % 8,
			   rnd_below(seed, 5) ? "zzz" : "zz",
			   lsm_slice(value, bad_handle(value, seed)));
	if (rnd_below(seed, 10) == 0)
		put_le32(out + 8, (uint32_t)bad_number(seed));
	buf_clear(rec);
	ck_ok(buf_append(rec, out, (size_t)(p - out)));
}

START_TEST(log_that_lies_is_refused_or_harmless)
{
	uint64_t seed = test_seed(90 + (uint64_t)_i);

	make_store();
	values_free = true;
	for (unsigned i = 0; i < rounds(); i++) {
		restore();
		rewrite(file_like(".wal", &seed), &seed, change_batch);
		use_store(rnd(&seed));
	}
	drop_store();
}
END_TEST

/* ---- blob files, with right checksums ---- */

static void seal(uint8_t *p, uint32_t bytes, uint8_t type, uint64_t number,
		 uint64_t offset)
{
	p[bytes] = type;
	put_le32(p + bytes + 1, sst_block_crc(p, bytes, type, number, offset));
}

static void spoil_blob(struct file *f, uint64_t *seed)
{
	uint8_t *p = malloc(f->len), *foot = p + f->len - BLOB_FOOTER_BYTES;
	uint64_t number = number_of(f), at;
	struct blob_footer footer;
	uint8_t type;
	uint32_t n;

	ck_assert_ptr_nonnull(p);
	memcpy(p, f->data, f->len);
	if (blob_footer_decode(&footer, foot, f->len - BLOB_FOOTER_BYTES,
			       number, NULL, f->name)) {
		/* one that only the log knows of: no footer yet */
		p[rnd(seed) % f->len] ^= 1;
		write_file(f->name, p, f->len);
		free(p);
		return;
	}
	at = footer.index_offset;
	switch (rnd_below(seed, 4)) {
	case 0: /* the index */
		p[at + rnd(seed) % footer.index_bytes] = (uint8_t)rnd(seed);
		seal(p + at, footer.index_bytes, SST_BLOCK_RAW, number, at);
		break;
	case 1: /* the first block: the only one whose place is known */
		if (!get_varint32(p + at, p + at + footer.index_bytes, &n))
			break;
		type = p[n];
		for (unsigned k = 1 + rnd_below(seed, 3); k; k--)
			p[rnd(seed) % (k % 2 ? n : 24)] = (uint8_t)rnd(seed);
		seal(p, n, type, number, 0);
		break;
	default:
		switch (rnd_below(seed, 7)) {
		case 0:
			footer.index_offset = bad_number(seed);
			break;
		case 1:
			footer.index_bytes = (uint32_t)bad_number(seed);
			break;
		case 2:
			footer.blocks = (uint32_t)bad_number(seed);
			break;
		case 3:
			footer.values = bad_number(seed);
			break;
		case 4:
			footer.value_bytes = bad_number(seed);
			break;
		case 5:
			footer.number = bad_number(seed);
			break;
		default: /* more index than there is */
			n = rnd_below(seed, 60);
			footer.index_offset -= n;
			footer.index_bytes += n;
			seal(p + at - n, footer.index_bytes, SST_BLOCK_RAW,
			     number, at - n);
		}
	}
	blob_footer_encode(&footer, foot);
	write_file(f->name, p, f->len);
	free(p);
}

START_TEST(blob_file_that_lies_is_refused_or_harmless)
{
	uint64_t seed = test_seed(100 + (uint64_t)_i);

	make_store();
	values_free = true;
	for (unsigned i = 0; i < rounds(); i++) {
		restore();
		spoil_blob(file_like(".blob", &seed), &seed);
		use_store(rnd(&seed));
	}
	drop_store();
}
END_TEST

/* ---- names ---- */

/* A file that anybody could have put there must not keep the store from
 * working, nor make it forget anything. */
START_TEST(strange_names_do_no_harm)
{
	static const char *const names[] = {"18446744073709551615.wal",
					    "18446744073709551615.sst",
					    "18446744073709551615.blob",
					    "18446744073709551614.wal",
					    "99999999999999999999999.wal",
					    "9223372036854775807.blob",
					    "MANIFEST-18446744073709551615",
					    "000000.wal",
					    "000000.sst",
					    "000000.blob",
					    "MANIFEST-000000",
					    "-1.wal",
					    "1.wal.bad",
					    "0x10.sst",
					    "000001.SST",
					    ".wal"};
	char key[16], buf[VALUE_MAX];
	struct lsm_db *db;

	make_store();
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		restore();
		write_file(names[i], "", 0);
		for (unsigned n = 0; n < 3; n++) {
			int r = lsm_open(PATH, &options, &db);

			ck_assert_msg(!r, "%s: open gives %d (%s)", names[i], r,
				      lsm_strerror(r));
			look_at(db);
			ck_ok(lsm_verify(db, NULL, NULL));
			r = lsm_put(db, model_key(key, 5), value_of(5, 1, buf));
			ck_assert_msg(!r, "%s: put gives %d", names[i], r);
			r = lsm_flush(db);
			ck_assert_msg(!r, "%s: flush gives %d", names[i], r);
			r = lsm_compact_range(db, none, none);
			ck_assert_msg(!r, "%s: compact gives %d", names[i], r);
			ck_ok(lsm_close(db));
		}
	}
	drop_store();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db hostile");
	TCase *t = tcase_create("hostile");

	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, damage_anywhere_is_refused_or_harmless, 0, 3);
	tcase_add_loop_test(t, manifest_that_lies_is_refused_or_harmless, 0, 3);
	tcase_add_loop_test(t, log_that_lies_is_refused_or_harmless, 0, 3);
	tcase_add_loop_test(t, blob_file_that_lies_is_refused_or_harmless, 0,
			    2);
	tcase_add_test(t, strange_names_do_no_harm);
	suite_add_tcase(s, t);
	return run_suite(s);
}
