/* SPDX-License-Identifier: MIT */
/* logger.h - how the engine speaks: one line at a time to the user's function.
 */
#ifndef LSM_BASE_LOGGER_H
#define LSM_BASE_LOGGER_H

#include "lsm/lsm.h"

struct logger {
	lsm_log_fn fn; /* NULL: silent */
	void *arg;
	enum lsm_log_level level; /* the highest that is passed on */
};

/* log may be NULL. */
void logger_printf(const struct logger *log, enum lsm_log_level level,
		   const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Reports corrupt bytes where they were found, and returns -EUCLEAN:
 *     return log_corrupt(log, name, offset, "block checksum mismatch");  */
int log_corrupt(const struct logger *log, const char *file, uint64_t offset,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
