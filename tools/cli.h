/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what the commands of `tinylsm` share: how they are described, how
 * they speak on stderr, and numbers as people write them.
 *
 * A command is one function that gets its own argv (argv[0] is the full name,
 * as in "tinylsm info", for getopt's messages) and returns the exit status.
 * All of it runs in the main thread, except cli_log().
 */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lsm/lsm.h"

/* Exit status of every command but fsck, which has those of e2fsck. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

struct command {
	const char *name;
	const char *summary; /* one line, for the list of commands */
	const char *help;    /* all of `tinylsm NAME --help` */
	int (*run)(int argc, char **argv);
};

extern const struct command cmd_mkfs, cmd_mount, cmd_info, cmd_fsck, cmd_dump,
	cmd_bench, cmd_repair;

/* One line on stderr, "tinylsm: ..." . */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same for a wrong command line, with where to find help. */
void cli_usage(const struct command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* What the engine reports, on stderr; given to lsm_options.log. */
void cli_log(void *arg, enum lsm_log_level level, const char *msg);
/* From hold on cli_log() keeps its lines; release prints or forgets them. For
 * calls whose failure is told better by who knows what was wanted. */
void cli_log_hold(void);
void cli_log_release(bool print);
/* Flushes stdout. False, with one line said, when what was printed did not
 * arrive: a full disk must not look like success. */
bool cli_flush(void);

/* "4096", "64K", "1.5G", "2TiB"; binary units. 0 or -EINVAL. */
int parse_size(const char *text, uint64_t *bytes);
/* A whole decimal number. 0 or -EINVAL. */
int parse_u64(const char *text, uint64_t *value);
/* Bytes as a short text with a binary unit, "3.4 MiB". Returns out. */
#define HUMAN_MAX 32
const char *human_size(char out[HUMAN_MAX], uint64_t bytes);
/* Nanoseconds as a short text, "3.4 ms". */
const char *human_time(char out[HUMAN_MAX], uint64_t ns);

/* UUIDs as text, 36 characters and a zero. */
#define UUID_TEXT 37
void uuid_format(char out[UUID_TEXT], const uint8_t uuid[16]);
int uuid_parse(const char *text, uint8_t uuid[16]); /* 0 or -EINVAL */

#endif
