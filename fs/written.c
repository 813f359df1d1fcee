/* SPDX-License-Identifier: MIT */
/*
 * written.c - what an open store has written for what it was given, and how
 * that passes from the daemon to whoever looks at its mount: as an extended
 * attribute of the root that no list of attributes names. Any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "fs/fs.h"

void fs_get_written(struct fs *fs, struct fs_written *out)
{
	struct lsm_stats s;

	lsm_get_stats(fs_db(fs), &s);
	out->given = s.write_bytes;
	out->log = s.wal_written_bytes;
	out->direct = s.blob_direct_bytes;
	out->flush = s.flush_written_bytes;
	out->compact = s.compact_written_bytes;
}

int fs_written_to_text(const struct fs_written *w, char out[FS_WRITTEN_TEXT])
{
	return snprintf(out, FS_WRITTEN_TEXT,
			"given %" PRIu64 " log %" PRIu64 " direct %" PRIu64
			" flush %" PRIu64 " compact %" PRIu64,
			w->given, w->log, w->direct, w->flush, w->compact);
}

int fs_written_from_text(struct fs_written *w, const char *text)
{
	return sscanf(text,
		      "given %" SCNu64 " log %" SCNu64 " direct %" SCNu64
		      " flush %" SCNu64 " compact %" SCNu64,
		      &w->given, &w->log, &w->direct, &w->flush,
		      &w->compact) == 5
		       ? 0
		       : -EINVAL;
}
