/* SPDX-License-Identifier: MIT */
/*
 * wordcount.c - counts words of standard input in a TinyLSM store, then lists
 * them in order. Counts add up over runs.
 *
 *   cc wordcount.c $(pkg-config --cflags --libs tinylsm) -o wordcount
 *   ./wordcount /tmp/words < README.md
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tinylsm/lsm.h>

static int count(struct lsm_db *db, const char *word)
{
	struct lsm_slice key = lsm_slice(word, strlen(word));
	struct lsm_pin pin = {0};
	uint64_t n = 0;
	int err = lsm_get(db, NULL, key, &pin);

	if (err == LSM_OK && pin.len == sizeof(n))
		memcpy(&n, pin.data, sizeof(n));
	lsm_unpin(&pin);
	n++;
	return err < 0 ? err : lsm_put(db, key, lsm_slice(&n, sizeof(n)));
}

static int list(struct lsm_db *db)
{
	struct lsm_iter *it;
	int err = lsm_iter_new(db, NULL, &it);
	uint64_t n;

	if (err)
		return err;
	for (err = lsm_iter_first(it); !err; err = lsm_iter_next(it)) {
		struct lsm_slice word = lsm_iter_key(it);

		memcpy(&n, lsm_iter_value(it).data, sizeof(n));
		printf("%7" PRIu64 " %.*s\n", n, (int)word.len,
		       (const char *)word.data);
	}
	lsm_iter_free(it);
	return err == LSM_END ? 0 : err;
}

int main(int argc, char **argv)
{
	struct lsm_db *db = NULL;
	char word[256];
	int end, err = argc == 2 ? lsm_open(argv[1], NULL, &db) : LSM_END;

	while (!err && scanf("%255s", word) == 1)
		err = count(db, word);
	if (!err)
		err = list(db);
	end = lsm_close(db); /* makes everything durable; NULL is fine */
	if (err || end)
		fprintf(stderr, "usage: wordcount STORE < TEXT: %s\n",
			lsm_strerror(err ? err : end));
	return err || end;
}
