/* SPDX-License-Identifier: MIT */
/* bench_events.c - the flag --events: what the background does, in words, on
 * stderr, so that the result lines stay what scripts expect. */
#include <stdio.h>

#include "tools/bench.h"
#include "tools/cli.h"

static void print_end(const struct lsm_event *e)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX];

	if (e->error)
		fprintf(stderr, ": %s after %s\n", lsm_strerror(e->error),
			human_time(a, e->duration_ns));
	else if (!e->bytes_out && e->tables_out)
		fprintf(stderr, ": %u moved, %s\n", e->tables_out,
			human_size(a, e->bytes_in));
	else
		fprintf(stderr, ": %u made, %s into %s, took %s\n",
			e->tables_out, human_size(a, e->bytes_in),
			human_size(b, e->bytes_out),
			human_time(c, e->duration_ns));
}

void bench_print_event(void *arg, const struct lsm_event *e)
{
	char text[HUMAN_MAX];

	flockfile(stderr); /* one line, whoever else prints */
	fprintf(stderr, "event %.6f: ", (double)e->time_ns / 1e9);
	switch (e->kind) {
	case LSM_EVENT_FLUSH_BEGIN:
		fprintf(stderr, "flush begins: memtables %u, %s\n",
			e->tables_in, human_size(text, e->bytes_in));
		break;
	case LSM_EVENT_FLUSH_END:
		fprintf(stderr, "flush ends");
		print_end(e);
		break;
	case LSM_EVENT_COMPACTION_BEGIN:
		fprintf(stderr,
			"compaction begins: level %u to %u, tables %u, %s\n",
			e->level, e->output_level, e->tables_in,
			human_size(text, e->bytes_in));
		break;
	case LSM_EVENT_COMPACTION_END:
		fprintf(stderr, "compaction ends: level %u to %u", e->level,
			e->output_level);
		print_end(e);
		break;
	case LSM_EVENT_STALL_BEGIN:
		fprintf(stderr, "stall begins\n");
		break;
	case LSM_EVENT_STALL_END:
		fprintf(stderr, "stall ends after %s\n",
			human_time(text, e->duration_ns));
		break;
	case LSM_EVENT_BACKGROUND_ERROR:
		fprintf(stderr, "writing stops: %s\n", lsm_strerror(e->error));
		break;
	case LSM_EVENT_RESUME:
		fprintf(stderr, "writing goes on\n");
		break;
	}
	if (e->lost)
		fprintf(stderr, "event: %u before it were not told\n", e->lost);
	funlockfile(stderr);
}
