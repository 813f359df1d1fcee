/* SPDX-License-Identifier: MIT */
/* logger.c - formats one line and hands it to the user's function. */
#include "lsm/base/logger.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void logger_vprintf(const struct logger *log, enum lsm_log_level level,
			   const char *fmt, va_list ap)
{
	char line[1024];

	if (!log || !log->fn || level > log->level)
		return;
	vsnprintf(line, sizeof(line), fmt, ap);
	log->fn(log->arg, level, line);
}

void logger_printf(const struct logger *log, enum lsm_log_level level,
		   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	logger_vprintf(log, level, fmt, ap);
	va_end(ap);
}

int log_corrupt(const struct logger *log, const char *file, uint64_t offset,
		const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	logger_printf(log, LSM_LOG_ERROR, "%s: corrupt at offset %llu: %s",
		      file, (unsigned long long)offset, why);
	return -EUCLEAN;
}
