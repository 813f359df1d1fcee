/* SPDX-License-Identifier: MIT */
/*
 * cli.c - messages, sizes and UUIDs of the command line.
 *
 * Every message is one line that begins with the program's name, so that it
 * can be told from the output of what runs beside it in a script.
 */
#include "tools/cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void cli_error(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fputs("tinylsm: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

void cli_usage(const struct command *cmd, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fprintf(stderr, "tinylsm %s: ", cmd->name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (see tinylsm %s --help)\n", cmd->name);
	va_end(ap);
}

/* Lines kept by cli_log_hold(); what does not fit is dropped. */
static struct {
	pthread_mutex_t mutex; /* protects the rest */
	bool on;
	size_t len;
	char text[16384];
} held = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void cli_log(void *arg, enum lsm_log_level level, const char *msg)
{
	size_t room;
	int n;

	pthread_mutex_lock(&held.mutex);
	if (held.on) {
		room = sizeof(held.text) - held.len;
		n = snprintf(held.text + held.len, room, "tinylsm: %s\n", msg);
		if (n > 0 && (size_t)n < room)
			held.len += (size_t)n;
	} else {
		fprintf(stderr, "tinylsm: %s\n", msg);
	}
	pthread_mutex_unlock(&held.mutex);
}

void cli_log_hold(void)
{
	pthread_mutex_lock(&held.mutex);
	held.on = true;
	held.len = 0;
	pthread_mutex_unlock(&held.mutex);
}

void cli_log_release(bool print)
{
	pthread_mutex_lock(&held.mutex);
	held.on = false;
	if (print)
		fwrite(held.text, 1, held.len, stderr);
	pthread_mutex_unlock(&held.mutex);
}

bool cli_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return true;
	cli_error("cannot write the output: %s", strerror(errno));
	return false;
}

int parse_u64(const char *text, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

int parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGTPE";
	char *end;
	double v;
	unsigned shift = 0;
	const char *u;

	if (!parse_u64(text, bytes))
		return 0;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	/* No hexadecimal floats and no exponents: "1e3" is not a size. */
	if (text[strspn(text, "0123456789.")] == '\0')
		return -EINVAL;
	v = strtod(text, &end);
	if (end != text + strspn(text, "0123456789."))
		return -EINVAL;
	if (toupper((unsigned char)*end) == 'B' && !end[1]) {
		/* bytes, said so */
	} else {
		u = strchr(units, toupper((unsigned char)*end));
		if (!*end || !u)
			return -EINVAL;
		shift = 10 * (unsigned)(u - units + 1);
		end++;
		if (*end == 'i')
			end++;
		if (*end == 'B' || *end == 'b')
			end++;
		if (*end)
			return -EINVAL;
	}
	v = ldexp(v, (int)shift);
	if (!(v < 0x1p64))
		return -EINVAL;
	*bytes = (uint64_t)v;
	return 0;
}

const char *human_size(char out[HUMAN_MAX], uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	int i = -1;

	if (bytes < 1024) {
		snprintf(out, HUMAN_MAX, "%u B", (unsigned)bytes);
		return out;
	}
	while (v >= 1023.95 && i < 5) {
		v /= 1024;
		i++;
	}
	if (i < 0) {
		v /= 1024;
		i = 0;
	}
	snprintf(out, HUMAN_MAX, "%.1f %s", v, units[i]);
	return out;
}

const char *human_time(char out[HUMAN_MAX], uint64_t ns)
{
	if (ns < 1000)
		snprintf(out, HUMAN_MAX, "%u ns", (unsigned)ns);
	else if (ns < 1000000)
		snprintf(out, HUMAN_MAX, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(out, HUMAN_MAX, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(out, HUMAN_MAX, "%.1f s", (double)ns / 1e9);
	return out;
}

void uuid_format(char out[UUID_TEXT], const uint8_t uuid[16])
{
	char *p = out;
	int i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += snprintf(p, 3, "%02x", uuid[i]);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int uuid_parse(const char *text, uint8_t uuid[16])
{
	int i, hi, lo;

	if (strlen(text) != UUID_TEXT - 1)
		return -EINVAL;
	for (i = 0; i < 16; i++) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return -EINVAL;
		hi = hex_digit(text[0]);
		lo = hex_digit(text[1]);
		if (hi < 0 || lo < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(hi << 4 | lo);
		text += 2;
	}
	return 0;
}
