/* SPDX-License-Identifier: MIT */
/* Formats a line once, for the log and for those who watch, and writes it to the one of three places that was
 * found at the start. */
#include "daemon/base/logger.h"

#include "common/text.h"
#include "daemon/base/clock.h"
#include "daemon/base/log_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

static atomic_int max_level = LOG_INFO;
static bool to_journal, to_terminal;

/* JOURNAL_STREAM is DEVICE:INODE of the stream that the service manager connected (systemd.exec(5)). */
static bool log_stderr_is_journal(void)
{
	const char *e = getenv("JOURNAL_STREAM");
	char text[64];
	struct stat st;

	if (!e || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(e, text) == 0;
}

void log_open(int level)
{
	log_set_level(level);
	to_journal = log_stderr_is_journal();
	to_terminal = isatty(STDERR_FILENO);
}

void log_set_level(int level)
{
	atomic_store(&max_level, level);
}

int log_get_level(void)
{
	return atomic_load(&max_level);
}

static const struct {
	const char *name;
	int level;
} log_levels[] = {
    {"error", LOG_ERR}, {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
    {"info", LOG_INFO}, {"debug", LOG_DEBUG},
};

int log_level_parse(const char *s)
{
	for (size_t i = 0; i < sizeof(log_levels) / sizeof(*log_levels); i++)
		if (strcmp(s, log_levels[i].name) == 0)
			return log_levels[i].level;
	return -EINVAL;
}

const char *log_level_name(int level)
{
	for (size_t i = 0; i < sizeof(log_levels) / sizeof(*log_levels); i++)
		if (log_levels[i].level == level)
			return log_levels[i].name;
	return "?";
}

static void log_send_to_journal(int level, const struct log_fields *f, const char *text)
{
	char fields[11][320];
	struct iovec iov[12];
	char host[ADDRESS_TEXT_MAX];
	int n = 0;

	/* MESSAGE is longer than the other fields, so it has its own buffer. */
	char message[1200];
	snprintf(message, sizeof(message), "MESSAGE=%s", text);
	iov[n++] = (struct iovec){message, strlen(message)};

#define ADD(...)                                                                                             \
	do {                                                                                                 \
		snprintf(fields[n], sizeof(fields[n]), __VA_ARGS__);                                         \
		iov[n] = (struct iovec){fields[n], strlen(fields[n])};                                       \
		n++;                                                                                         \
	} while (0)
	ADD("PRIORITY=%d", level);
	if (f && f->message_id)
		ADD("MESSAGE_ID=%s", f->message_id);
	if (f && f->client)
		ADD("CHATD_CLIENT=%" PRIu64, f->client);
	if (f && f->room)
		ADD("CHATD_ROOM=%s", f->room);
	if (f && f->listener)
		ADD("CHATD_LISTENER=%s", f->listener);
	if (f && (f->address || f->prefix))
		ADD("CHATD_ADDRESS=%s", f->prefix ? f->prefix : address_host(f->address, host));
	if (f && f->address)
		ADD("CHATD_PORT=%u", address_port(f->address));
	if (f && f->reason)
		ADD("CHATD_REASON=%s", f->reason);
	if (f && f->until_us)
		ADD("CHATD_UNTIL=%" PRId64, f->until_us / 1000000);
	if (f && f->node)
		ADD("CHATD_NODE=%s", f->node);
#undef ADD
	sd_journal_sendv(iov, n);
}

/*
 * Nobody waits for a terminal that was stopped, or for a pipe that is full since nobody reads it: the line is left out,
 * and those that are missing are counted where the next one goes out.
 */
static void log_write_line(const char *line, size_t len)
{
	static atomic_uint missing;
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, 0) == 0) {
		atomic_fetch_add(&missing, 1);
		return;
	}
	unsigned n = atomic_exchange(&missing, 0);
	if (n > 0)
		dprintf(STDERR_FILENO, "%s%u line%s of the log %s missing here: nobody took them\n",
			to_terminal ? "" : "<4>", n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
	/* One write per line keeps lines of different threads whole. */
	if (write(STDERR_FILENO, line, len) < 0)
		(void)0; /* nowhere to report it */
}

static void log_write(int level, const struct log_fields *fields, const char *raw, size_t n)
{
	char text[1100];

	text_escape(text, sizeof(text), raw, n);
	if (to_journal) {
		log_send_to_journal(level, fields, text);
	} else {
		char line[1200];
		/* A person wants no priorities; a program that reads a pipe or a file may. */
		int len = to_terminal ? snprintf(line, sizeof(line), "%s\n", text)
				      : snprintf(line, sizeof(line), "<%d>%s\n", level, text);
		log_write_line(line, (size_t)len);
	}
}

/* --- what all call --- */

static bool log_is_logged(int level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* To those who watch, and to the log if it is to be logged; missing: how many of the kind were not. */
static void log_emit(int level, const struct log_fields *fields, bool logged, unsigned missing,
		     const char *format, va_list ap)
{
	char raw[1024];
	int saved = errno;
	bool watched = log_watch_wants(fields);

	if (!logged && !watched)
		return;
	int n = vsnprintf(raw, sizeof(raw), format, ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
	if (watched)
		log_watch_keep(fields, raw, len);
	if (logged && missing > 0) {
		n = snprintf(raw + len, sizeof(raw) - len, " (and %u more of this kind before)", missing);
		len = len + (size_t)n < sizeof(raw) ? len + (size_t)n : sizeof(raw) - 1;
	}
	if (logged)
		log_write(level, fields, raw, len);
	errno = saved;
}

void log_event(int level, const struct log_fields *fields, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_emit(level, fields, log_is_logged(level), 0, format, ap);
	va_end(ap);
}

void log_limited(enum log_topic topic, int level, const struct log_fields *fields, const char *format, ...)
{
	static struct {
		_Atomic int64_t next_us;
		atomic_uint lines, missing;
	} topics[LOG_TOPICS];
	static const unsigned lines[LOG_TOPICS] = {
	    [LOG_TOPIC_LOGIN] = LOG_LOGINS, [LOG_TOPIC_NODES] = LOG_NODES};
	int64_t now = clock_us(CLOCK_MONOTONIC), next = atomic_load(&topics[topic].next_us);
	bool logged = log_is_logged(level);
	unsigned missing = 0;
	va_list ap;

	if (logged && now >= next &&
	    atomic_compare_exchange_strong(&topics[topic].next_us, &next, now + LOG_LIMIT_US))
		atomic_store(&topics[topic].lines, 0);
	if (logged && atomic_fetch_add(&topics[topic].lines, 1) >= (lines[topic] ? lines[topic] : 1)) {
		atomic_fetch_add(&topics[topic].missing, 1);
		logged = false;
	} else if (logged) {
		missing = atomic_exchange(&topics[topic].missing, 0);
	}
	va_start(ap, format);
	log_emit(level, fields, logged, missing, format, ap);
	va_end(ap);
}
