/* SPDX-License-Identifier: MIT */
/*
 * log.c - the daemon's lines: to stderr in the foreground, to the system log
 * (facility daemon) in the background.
 *
 * While the daemon starts, what the engine and libfuse have to say is held
 * back. When the start fails, the first error among it becomes the reason in
 * the one line that the user reads; when it succeeds, all of it goes to the
 * log. The held lines are bounded: a store that complains without end must
 * not take memory.
 */
#include "fs/fuse/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "lsm/base/sync.h"

#define HELD_LINES 32
#define LINE_BYTES 512

struct held_line {
	enum lsm_log_level level;
	char text[LINE_BYTES];
};

static struct {
	struct mutex mutex;
	/* Protected by mutex. */
	enum lsm_log_level level;
	bool holding;
	bool to_syslog;
	unsigned held_count;
	unsigned dropped;
	char first_error[LINE_BYTES];
	struct held_line held[HELD_LINES];
} state;

void log_init(enum lsm_log_level level)
{
	mutex_init(&state.mutex);
	state.level = level;
	state.holding = true;
}

static void emit(enum lsm_log_level level, const char *text)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO,
				       LOG_DEBUG};

	if (state.to_syslog)
		syslog(priority[level], "%s", text);
	else
		fprintf(stderr, "tinylsmfs: %s\n", text);
}

static void hold(enum lsm_log_level level, const char *text)
{
	struct held_line *line;

	if (level == LSM_LOG_ERROR && !state.first_error[0])
		snprintf(state.first_error, sizeof(state.first_error), "%s",
			 text);
	if (state.held_count == HELD_LINES) {
		state.dropped++;
		return;
	}
	line = &state.held[state.held_count++];
	line->level = level;
	snprintf(line->text, sizeof(line->text), "%s", text);
}

static void write_line(enum lsm_log_level level, const char *text)
{
	mutex_lock(&state.mutex);
	if (level <= state.level) {
		if (state.holding)
			hold(level, text);
		else
			emit(level, text);
	}
	mutex_unlock(&state.mutex);
}

void log_release(bool to_syslog)
{
	unsigned i;

	mutex_lock(&state.mutex);
	if (to_syslog)
		openlog("tinylsmfs", LOG_PID, LOG_DAEMON);
	state.to_syslog = to_syslog;
	state.holding = false;
	for (i = 0; i < state.held_count; i++)
		emit(state.held[i].level, state.held[i].text);
	if (state.dropped)
		emit(LSM_LOG_WARN, "(more lines of the start were dropped)");
	state.held_count = 0;
	state.dropped = 0;
	mutex_unlock(&state.mutex);
}

const char *log_first_error(void)
{
	return state.first_error;
}

void log_printf(enum lsm_log_level level, const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_line(level, text);
}

void log_user(const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "tinylsmfs: %s\n", text);
}

void log_engine(void *arg, enum lsm_log_level level, const char *msg)
{
	(void)arg;
	if ((unsigned)level > LSM_LOG_DEBUG)
		level = LSM_LOG_DEBUG;
	write_line(level, msg);
}
