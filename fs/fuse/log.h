/* SPDX-License-Identifier: MIT */
/* log.h - where the daemon's lines go. See log.c. Any thread may call. */
#ifndef FS_FUSE_LOG_H
#define FS_FUSE_LOG_H

#include <stdbool.h>

#include "lsm/lsm.h"

/* Lines up to level are kept; debug is for -d. To be called first. */
void log_init(enum lsm_log_level level);
/* While starting, lines are held back, so that a failed start is one line for
 * the user. log_release() lets them go, to the system log or to stderr. */
void log_release(bool to_syslog);
/* The first error held back, or "". Valid until log_release(). */
const char *log_first_error(void);

void log_printf(enum lsm_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* One line to the user at the terminal, at once: "tinylsmfs: ...". */
void log_user(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For struct lsm_options.log. */
void log_engine(void *arg, enum lsm_log_level level, const char *msg);

#endif
