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

static void say(void *arg, enum lsm_log_level level, const char *msg)
{
	fprintf(stderr, "store: %s\n", msg);
}

static int count(struct lsm_db *db, const char *word)
{
	struct lsm_slice key = lsm_slice(word, strlen(word));
	struct lsm_pin pin = {0};
	uint64_t n = 0;
	int err = lsm_get(db, NULL, key, &pin);

	if (err == LSM_OK && pin.len == sizeof(n))
		memcpy(&n, pin.data, sizeof(n));
	lsm_unpin(&pin);
	if (err < 0)
		return err;
	n++;
	return lsm_put(db, key, lsm_slice(&n, sizeof(n)));
}

int main(int argc, char **argv)
{
	struct lsm_options options = {.log = say, .log_level = LSM_LOG_WARN};
	struct lsm_db *db;
	struct lsm_iter *it;
	char word[256];
	int err, closed;

	if (argc != 2) {
		fprintf(stderr, "usage: wordcount STORE < TEXT\n");
		return 2;
	}
	err = lsm_open(argv[1], &options, &db);
	if (err) {
		fprintf(stderr, "%s: %s\n", argv[1], lsm_strerror(err));
		return 1;
	}
	while (!err && scanf("%255s", word) == 1)
		err = count(db, word);
	if (!err)
		err = lsm_sync(db); /* from here on it survives power loss */
	if (!err)
		err = lsm_iter_new(db, NULL, &it);
	if (!err) {
		for (err = lsm_iter_first(it); !err; err = lsm_iter_next(it)) {
			struct lsm_slice k = lsm_iter_key(it);
			uint64_t n = 0;

			memcpy(&n, lsm_iter_value(it).data, sizeof(n));
			printf("%7" PRIu64 " %.*s\n", n, (int)k.len,
			       (const char *)k.data);
		}
		lsm_iter_free(it);
	}
	closed = lsm_close(db);
	if (err < 0 || closed < 0)
		fprintf(stderr, "%s\n", lsm_strerror(err < 0 ? err : closed));
	return err < 0 || closed < 0;
}
