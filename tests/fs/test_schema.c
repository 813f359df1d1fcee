/* SPDX-License-Identifier: MIT */
/*
 * test_schema.c - keys keep the order they promise, records survive encoding,
 * decoders refuse what is not a record and read what a later version with more
 * fields wrote.
 */
#include "fs/schema.h"

#include <dirent.h>

#include "fs/super.h"
#include "lsm/base/coding.h"
#include "tests/fs/fs_test.h"

static int compare(struct lsm_slice a, struct lsm_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = memcmp(a.data, b.data, n);

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

START_TEST(keys_of_an_inode_are_one_ordered_range)
{
	uint64_t inos[] = {1, 2, 255, 256, 65535, INO_MAX - 1};
	struct key storage[16], after;

	for (unsigned i = 0; i < 6; i++) {
		uint64_t ino = inos[i];
		struct lsm_slice k[12];
		unsigned n = 0;

		k[n] = key_ino_start(&storage[n], ino), n++;
		k[n] = key_ino(&storage[n], ino, KEY_INODE), n++;
		k[n] = key_ino(&storage[n], ino, KEY_SYMLINK), n++;
		k[n] = key_name(&storage[n], ino, KEY_XATTR,
				lsm_slice("user.a", 6)),
		n++;
		k[n] = key_name(&storage[n], ino, KEY_ENTRY_NAME,
				lsm_slice("a", 1)),
		n++;
		k[n] = key_name(&storage[n], ino, KEY_ENTRY_NAME,
				lsm_slice("ab", 2)),
		n++;
		k[n] = key_cookie(&storage[n], ino, 3), n++;
		k[n] = key_cookie(&storage[n], ino, 256), n++;
		k[n] = key_block(&storage[n], ino, 0), n++;
		k[n] = key_block(&storage[n], ino, 255), n++;
		k[n] = key_block(&storage[n], ino, 1ull << 40), n++;
		for (unsigned j = 1; j < n; j++)
			ck_assert_int_lt(compare(k[j - 1], k[j]), 0);
		ck_assert_int_lt(
			compare(k[n - 1], key_ino_start(&after, ino + 1)), 0);
	}
}
END_TEST

START_TEST(keys_are_taken_apart_again)
{
	struct key_parts p;
	struct key k;

	ck_assert_int_eq(key_decode(key_block(&k, 77, 1234567), &p), 0);
	ck_assert_uint_eq(p.ino, 77);
	ck_assert_uint_eq(p.type, KEY_BLOCK);
	ck_assert_uint_eq(p.number, 1234567);
	ck_assert_int_eq(key_decode(key_orphan(&k, 99), &p), 0);
	ck_assert_uint_eq(p.number, 99);
	ck_assert_int_eq(key_decode(key_usage(&k, 63), &p), 0);
	ck_assert_uint_eq(p.number, 63);
	ck_assert_int_eq(
		key_decode(key_name(&k, 5, KEY_XATTR, lsm_slice("user.x", 6)),
			   &p),
		0);
	ck_assert_uint_eq(p.rest.len, 6);
	ck_assert_mem_eq(p.rest.data, "user.x", 6);
	/* too short, too long, of no type */
	ck_assert_int_eq(key_decode(key_ino_start(&k, 5), &p), -EUCLEAN);
	ck_assert_int_eq(key_decode(key_ino(&k, 5, KEY_BLOCK), &p), -EUCLEAN);
	ck_assert_int_eq(key_decode(key_ino(&k, 5, 0x99), &p), -EUCLEAN);
	ck_assert_int_eq(key_decode(key_ino(&k, 5, KEY_XATTR), &p), -EUCLEAN);
	ck_assert_int_eq(key_decode(key_ino(&k, 0, 0x30), &p), -EUCLEAN);
}
END_TEST

static struct inode_rec sample(uint32_t type)
{
	struct inode_rec r = {.mode = type | 0751,
			      .uid = 1,
			      .gid = 4000000000u,
			      .nlink = 3,
			      .rdev = 0x123456789,
			      .size = FS_FILE_BYTES_MAX,
			      .blocks = 1ull << 50,
			      .flags = 15,
			      .generation = 1ull << 63,
			      .atime = {-1, 999999999},
			      .mtime = {1ll << 50, 0},
			      .ctime = {0, 1},
			      .btime = {-(1ll << 50), 2}};

	if (type == S_IFDIR) {
		r.next_cookie = 1ull << 60;
		r.parent = INO_MAX;
		r.entries = 12345;
	}
	return r;
}

/* Whatever lies between the fields. */
static bool same_rec(const struct inode_rec *a, const struct inode_rec *b)
{
	uint8_t va[RECORD_MAX], vb[RECORD_MAX];
	size_t na = inode_rec_encode(a, va), nb = inode_rec_encode(b, vb);

	return na == nb && memcmp(va, vb, na) == 0 && a->uid == b->uid &&
	       a->gid == b->gid && a->size == b->size &&
	       a->entries == b->entries && a->parent == b->parent &&
	       a->btime.tv_sec == b->btime.tv_sec;
}

START_TEST(inode_records_survive_encoding)
{
	uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
			    S_IFBLK, S_IFIFO, S_IFSOCK};
	uint8_t v[RECORD_MAX];

	for (unsigned i = 0; i < 7; i++) {
		struct inode_rec r = sample(types[i]), got;
		size_t n = inode_rec_encode(&r, v);

		ck_assert_int_eq(inode_rec_decode(lsm_slice(v, n), &got), 0);
		ck_assert(same_rec(&r, &got));
		for (size_t cut = 0; cut < n; cut++)
			ck_assert_int_eq(
				inode_rec_decode(lsm_slice(v, cut), &got),
				-EUCLEAN);
	}
}
END_TEST

START_TEST(fields_added_later_are_skipped)
{
	struct inode_rec r = sample(S_IFDIR), got;
	struct entry_rec e = {.ino = 9, .type = DT_REG, .cookie = 5}, ge;
	uint8_t v[RECORD_MAX];
	size_t n = inode_rec_encode(&r, v);

	memset(v + n, 0xee, 16);
	put_le16(v + 1, (uint16_t)(n - RECORD_HEAD + 16));
	ck_assert_int_eq(inode_rec_decode(lsm_slice(v, n + 16), &got), 0);
	ck_assert(same_rec(&r, &got));
	v[0] = 2; /* another layout */
	ck_assert_int_eq(inode_rec_decode(lsm_slice(v, n + 16), &got),
			 -EUCLEAN);
	e.name = lsm_slice("name", 4);
	n = entry_cookie_encode(&e, v);
	memmove(v + n - 4 + 8, v + n - 4, 4);
	put_le16(v + 1, (uint16_t)(n - 4 - RECORD_HEAD + 8));
	ck_assert_int_eq(entry_cookie_decode(lsm_slice(v, n + 8), &ge), 0);
	ck_assert_uint_eq(ge.name.len, 4);
	ck_assert_mem_eq(ge.name.data, "name", 4);
}
END_TEST

START_TEST(impossible_inodes_are_refused)
{
	struct inode_rec r = sample(S_IFREG), got;
	uint8_t v[RECORD_MAX];

	r.mode = 0644;
	ck_assert_int_eq(
		inode_rec_decode(lsm_slice(v, inode_rec_encode(&r, v)), &got),
		-EUCLEAN);
	r = sample(S_IFREG);
	r.size++;
	ck_assert_int_eq(
		inode_rec_decode(lsm_slice(v, inode_rec_encode(&r, v)), &got),
		-EUCLEAN);
	r = sample(S_IFREG);
	r.mtime.tv_nsec = 1000000000;
	ck_assert_int_eq(
		inode_rec_decode(lsm_slice(v, inode_rec_encode(&r, v)), &got),
		-EUCLEAN);
	r = sample(S_IFDIR);
	r.next_cookie = 2;
	ck_assert_int_eq(
		inode_rec_decode(lsm_slice(v, inode_rec_encode(&r, v)), &got),
		-EUCLEAN);
}
END_TEST

START_TEST(superblock_features_rule_who_may_open)
{
	struct fs_mkfs_options o = {.label = "label", .size_limit = 12345};
	struct superblock sb, got;
	uint8_t v[SUPER_BYTES_MAX];
	size_t n;

	ck_assert_int_eq(super_from_options(&o, &sb), 0);
	n = super_encode(&sb, v);
	ck_assert_int_eq(super_decode(lsm_slice(v, n), &got), 0);
	ck_assert_mem_eq(&sb, &got, sizeof(sb));
	sb.compat = sb.ro_compat = 1ull << 40;
	n = super_encode(&sb, v);
	ck_assert_int_eq(super_decode(lsm_slice(v, n), &got), 0);
	sb.incompat = 1ull << 40;
	n = super_encode(&sb, v);
	ck_assert_int_eq(super_decode(lsm_slice(v, n), &got), -EPROTONOSUPPORT);
	sb.incompat = 0;
	sb.format++;
	n = super_encode(&sb, v);
	ck_assert_int_eq(super_decode(lsm_slice(v, n), &got), -EPROTONOSUPPORT);
	sb.format = 1;
	sb.block_bytes = 5000;
	n = super_encode(&sb, v);
	ck_assert_int_eq(super_decode(lsm_slice(v, n), &got), -EUCLEAN);
}
END_TEST

START_TEST(random_bytes_never_crash_a_decoder)
{
	uint64_t r = rnd_seed(test_seed(1));

	for (unsigned i = 0; i < 200000; i++) {
		/* exact sizes on the heap, so that a sanitizer sees a step
		 * beyond */
		size_t len = rnd(&r) % 160, klen = rnd(&r) % 30;
		uint8_t *v = malloc(len + 1), *k = malloc(klen + 1);
		struct lsm_slice value = lsm_slice(v + 1, len);
		struct lsm_slice key = lsm_slice(k + 1, klen);
		struct inode_rec ir;
		struct entry_rec er;
		struct usage_rec ur;
		struct superblock sb;
		uint64_t n;
		char *text;

		for (size_t j = 0; j < len; j++)
			v[j + 1] = (uint8_t)rnd(&r);
		memset(k + 1, 0, klen);
		for (size_t j = rnd(&r) % 9; j < klen; j++)
			k[j + 1] = (uint8_t)(rnd(&r) & 0x43);
		if (len > 3 && rnd(&r) % 2) {
			v[1] = 1;
			put_le16(v + 2, (uint16_t)(len - 3));
		}
		(void)inode_rec_decode(value, &ir);
		(void)entry_name_decode(value, &er);
		(void)entry_cookie_decode(value, &er);
		(void)usage_rec_decode(value, &ur);
		(void)watermark_decode(value, &n);
		(void)super_decode(value, &sb);
		ck_assert_int_eq(fs_key_to_text(key, value, &text), 0);
		ck_assert_ptr_null(strchr(text, '\n'));
		free(text);
		free(v);
		free(k);
	}
}
END_TEST

START_TEST(text_says_what_a_record_holds)
{
	struct inode_rec r = sample(S_IFDIR);
	struct entry_rec e = {.ino = 9, .type = DT_REG, .cookie = 5};
	uint8_t v[RECORD_MAX];
	struct key k;
	char *text;

	ck_assert_int_eq(
		fs_key_to_text(key_ino(&k, 7, KEY_INODE),
			       lsm_slice(v, inode_rec_encode(&r, v)), &text),
		0);
	ck_assert_ptr_nonnull(strstr(text, "inode 7: directory mode 0751"));
	free(text);
	e.name = lsm_slice("a\nb", 3);
	ck_assert_int_eq(
		fs_key_to_text(key_cookie(&k, 7, 5),
			       lsm_slice(v, entry_cookie_encode(&e, v)), &text),
		0);
	ck_assert_str_eq(text,
			 "inode 7: cookie 5: entry 'a\\x0ab': inode 9 file");
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/schema");
	TCase *c = tcase_create("schema");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, keys_of_an_inode_are_one_ordered_range);
	tcase_add_test(c, keys_are_taken_apart_again);
	tcase_add_test(c, inode_records_survive_encoding);
	tcase_add_test(c, fields_added_later_are_skipped);
	tcase_add_test(c, impossible_inodes_are_refused);
	tcase_add_test(c, superblock_features_rule_who_may_open);
	tcase_add_test(c, random_bytes_never_crash_a_decoder);
	tcase_add_test(c, text_says_what_a_record_holds);
	suite_add_tcase(s, c);
	return run_suite(s);
}
