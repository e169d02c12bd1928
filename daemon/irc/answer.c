/* SPDX-License-Identifier: MIT */
/*
 * What a command answers: lines that gather until the transaction is committed, when it is known whether they are one or
 * many. Then they get their tags: the time, the label of what they answer (IRCv3 labeled-response), the batch.
 */
#include "daemon/irc/irc.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_BODY_MAX (IRC_BODY_MAX - 2)
#define ANSWER_TAGS_MAX 512

void irc_answer_clear(struct irc_answer *a)
{
	free(a->text);
	*a = (struct irc_answer){.text = NULL};
}

static bool answer_reserve(struct irc_answer *a, size_t more)
{
	if (a->size - a->len >= more)
		return true;
	size_t size = a->size ? 2 * a->size : 4096;
	while (size - a->len < more)
		size *= 2;
	char *text = realloc(a->text, size);
	if (!text)
		return false;
	a->text = text;
	a->size = size;
	return true;
}

static void answer_add(struct irc_call *call, const char *tags, const char *line, size_t len)
{
	struct irc_answer *a = &call->answer;
	char batch[32];

	batch[0] = 0;
	if (a->batch[0])
		snprintf(batch, sizeof(batch), "%sbatch=%s", *tags ? ";" : "", a->batch);
	size_t tags_len = strlen(tags), batch_len = strlen(batch);
	len = text_cut(line, len, ANSWER_BODY_MAX);
	/* Without memory the answer is incomplete, as it is without space. */
	if (!answer_reserve(a, tags_len + batch_len + len + 2)) {
		count(irc_context(call)->counters, COUNT_REPLIES_CUT, 1);
		return;
	}
	char *p = a->text + a->len;
	memcpy(p, tags, tags_len);
	memcpy(p + tags_len, batch, batch_len);
	p += tags_len + batch_len;
	*p++ = 0;
	memcpy(p, line, len);
	p[len] = 0;
	a->len = (size_t)(p + len + 1 - a->text);
	a->n++;
}

static void answer_format(struct irc_call *call, const char *tags, const char *head, const char *format,
			  va_list ap, const char *end)
{
	char line[2 * IRC_BODY_MAX];
	size_t n = (size_t)snprintf(line, sizeof(line), "%s", head);
	int m = vsnprintf(line + n, sizeof(line) - n, format, ap);

	n += m > 0 ? (size_t)m : 0;
	if (n >= sizeof(line))
		n = sizeof(line) - 1;
	if (end)
		n +=
		    (size_t)snprintf(line + n, sizeof(line) - n, "%s:%s", line[n - 1] == ' ' ? "" : " ", end);
	if (n >= sizeof(line))
		n = sizeof(line) - 1;
	answer_add(call, tags, line, n);
}

void irc_say(struct irc_call *call, const char *tags, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	answer_format(call, tags, "", format, ap, NULL);
	va_end(ap);
}

void irc_numeric(struct irc_call *call, enum irc_numeric n, const char *format, ...)
{
	char head[IRC_SERVER_NAME_MAX + TEXT_NICK_MAX + 16], nick[TEXT_NICK_MAX + 1];
	va_list ap;

	snprintf(head, sizeof(head), ":%s %03d %s ", irc_config(call)->irc.server_name, n,
		 irc_nick(call->c, nick));
	va_start(ap, format);
	answer_format(call, "", head, format, ap, irc_numeric_text(n));
	va_end(ap);
}

void irc_from_server(struct irc_call *call, const char *format, ...)
{
	char head[IRC_SERVER_NAME_MAX + 8];
	va_list ap;

	snprintf(head, sizeof(head), ":%s ", irc_config(call)->irc.server_name);
	va_start(ap, format);
	answer_format(call, "", head, format, ap, NULL);
	va_end(ap);
}

void irc_from_self(struct irc_call *call, const char *format, ...)
{
	char head[IRC_SOURCE_MAX + 4], source[IRC_SOURCE_MAX + 1], tags[TEXT_NICK_MAX + 16];
	const struct irc_user *u = irc_user(call->c);
	va_list ap;

	snprintf(head, sizeof(head), ":%s ", irc_source(call->c, source));
	tags[0] = 0;
	if (u->account[0] && u->caps & IRC_CAP_ACCOUNT_TAG)
		snprintf(tags, sizeof(tags), "account=%s", u->account);
	va_start(ap, format);
	answer_format(call, tags, head, format, ap, NULL);
	va_end(ap);
}

size_t irc_message_tags(struct irc_call *call, const char *msgid, const char *client_tags, char *ret,
			size_t size)
{
	return (size_t)snprintf(ret, size, "msgid=%s%s%s%s", msgid, *client_tags ? ";" : "", client_tags,
				irc_user(call->c)->flags & IRC_BOT ? ";bot" : "");
}

void irc_own_event(struct irc_call *call, uint64_t time_us, const char *msgid, const char *client_tags,
		   const char *format, ...)
{
	char head[IRC_SOURCE_MAX + 4], source[IRC_SOURCE_MAX + 1], tags[IRC_TAGS_DATA_MAX + 256];
	const struct irc_user *u = irc_user(call->c);
	char time[IRC_TIME_MAX];
	size_t n = 0;
	va_list ap;

	tags[0] = 0;
	/* The event's own time, which is what it has later as well. */
	if (u->caps & IRC_CAP_SERVER_TIME && time_us > 0)
		n += (size_t)snprintf(tags, sizeof(tags), "time=%s", irc_time_format(time_us, time));
	if (u->caps & IRC_CAP_MESSAGE_TAGS) {
		n += (size_t)snprintf(tags + n, sizeof(tags) - n, "%s", n ? ";" : "");
		n += irc_message_tags(call, msgid, client_tags, tags + n, sizeof(tags) - n);
	}
	if (u->account[0] && u->caps & IRC_CAP_ACCOUNT_TAG)
		snprintf(tags + n, sizeof(tags) - n, "%saccount=%s", n ? ";" : "", u->account);
	snprintf(head, sizeof(head), ":%s ", irc_source(call->c, source));
	va_start(ap, format);
	answer_format(call, tags, head, format, ap, NULL);
	va_end(ap);
}

void irc_standard(struct irc_call *call, const char *type, const char *command, const char *code,
		  const char *context, const char *text)
{
	char nick[TEXT_NICK_MAX + 1];

	if (irc_has(call->c, IRC_CAP_STANDARD_REPLIES) || strcmp(command, "REGISTER") == 0 ||
	    strcmp(command, "CHATHISTORY") == 0 || strcmp(command, "MARKREAD") == 0 ||
	    strcmp(command, "REDACT") == 0 || strcmp(command, "METADATA") == 0 ||
	    strcmp(code, "INVALID_UTF8") == 0)
		irc_from_server(call, "%s %s %s %s:%s", type, command, code, context, text);
	else
		irc_from_server(call, "NOTICE %s :%s", irc_nick(call->c, nick), text);
}

/* --- batches --- */

/* Means nothing outside of the connection, in which it is that of one batch at a time. */
static void answer_reference(struct irc_call *call, char *ret, size_t size)
{
	snprintf(ret, size, "%x%x", (unsigned)connection_state(call->c)->in_parsed & 0xffffff,
		 call->answer.n);
}

void irc_batch_begin(struct irc_call *call, const char *type_and_params)
{
	char reference[sizeof(call->answer.batch)];

	if (!irc_has(call->c, IRC_CAP_BATCH))
		return;
	answer_reference(call, reference, sizeof(reference));
	irc_from_server(call, "BATCH +%s %s", reference, type_and_params);
	memcpy(call->answer.batch, reference, sizeof(reference));
}

void irc_batch_end(struct irc_call *call)
{
	char reference[sizeof(call->answer.batch)];

	if (!call->answer.batch[0])
		return;
	memcpy(reference, call->answer.batch, sizeof(reference));
	call->answer.batch[0] = 0;
	irc_from_server(call, "BATCH -%s", reference);
}

/* --- tags, and the outbox --- */

static void tags_add(char *out, size_t size, size_t *len, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void tags_add(char *out, size_t size, size_t *len, const char *format, ...)
{
	va_list ap;

	if (*len + 1 >= size)
		return;
	out[*len] = *len == 0 ? '@' : ';';
	va_start(ap, format);
	int n = vsnprintf(out + *len + 1, size - *len - 1, format, ap);
	va_end(ap);
	if (n > 0 && *len + 1 + (size_t)n < size - 1)
		*len += 1 + (size_t)n;
}

size_t irc_tags(uint32_t caps, uint64_t time_us, const char *more, char *out, size_t size)
{
	size_t len = 0;

	if (caps & IRC_CAP_SERVER_TIME && time_us > 0) {
		time_t seconds = (time_t)(time_us / 1000000);
		struct tm tm;
		gmtime_r(&seconds, &tm);
		tags_add(out, size, &len, "time=%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			 (unsigned)(time_us / 1000 % 1000));
	}
	if (*more)
		tags_add(out, size, &len, "%s", more);
	if (len > 0)
		out[len++] = ' ';
	out[len] = 0;
	return len;
}

struct flush {
	struct irc_call *call;
	uint32_t caps;
	uint64_t now;
	size_t space;
	bool cut;
};

/* The end of a batch must come, or the client waits for it: there is space for so much. */
#define FLUSH_RESERVE 1024

static void flush_line(struct flush *f, const char *tags, const char *more, const char *line)
{
	char all[ANSWER_TAGS_MAX + 8192], head[sizeof(all) + 64];

	/* A line that has its own time keeps it. */
	bool timed = strncmp(tags, "time=", 5) == 0;
	snprintf(all, sizeof(all), "%s%s%s", tags, *tags && *more ? ";" : "", more);
	size_t head_len = irc_tags(f->caps, timed ? 0 : f->now, all, head, sizeof(head));
	size_t len = strlen(line);
	if (f->cut || head_len + len + IRC_WIRE_MORE > f->space) {
		f->cut = true;
		return;
	}
	f->space -= head_len + len + IRC_WIRE_MORE;
	irc_write_line(f->call->c, head, head_len, line, len);
}

static void flush_lines(struct flush *f, const char *more)
{
	const struct irc_answer *a = &f->call->answer;

	for (const char *p = a->text; a->text && p < a->text + a->len;) {
		const char *tags = p, *line = p + strlen(p) + 1;
		/* What is in another batch, which began within this one, isn't in this one. */
		flush_line(f, tags, strstr(tags, "batch=") ? "" : more, line);
		p = line + strlen(line) + 1;
	}
}

static void flush_batch(struct flush *f, const char *tags, const char *format, const char *reference)
{
	char line[IRC_BODY_MAX];
	bool cut = f->cut;

	snprintf(line, sizeof(line), format, irc_config(f->call)->irc.server_name, reference);
	f->cut = false;
	flush_line(f, tags, "", line);
	f->cut = cut;
}

/* One line has the label itself; none is an acknowledgement; more are a batch, which goes on until the last. */
static void flush_labelled(struct flush *f, bool last)
{
	struct irc_call *call = f->call;
	char label[sizeof(call->label) + 8], batch[32], reference[16], line[IRC_BODY_MAX];

	snprintf(label, sizeof(label), "label=%s", call->label);
	snprintf(reference, sizeof(reference), "l%x",
		 (unsigned)connection_state(call->c)->in_parsed & 0xffffff);
	snprintf(batch, sizeof(batch), "batch=%s", reference);
	if (last && !call->label_open && call->answer.n == 0) {
		snprintf(line, sizeof(line), ":%s ACK", irc_config(call)->irc.server_name);
		flush_line(f, "", label, line);
		return;
	}
	if (last && !call->label_open && call->answer.n == 1) {
		flush_lines(f, label);
		return;
	}
	if (!call->label_open)
		flush_batch(f, label, ":%s BATCH +%s labeled-response", reference);
	call->label_open = !last;
	flush_lines(f, batch);
	if (last) {
		f->space += FLUSH_RESERVE;
		flush_batch(f, "", ":%s BATCH -%s", reference);
	}
}

void irc_answer_flush(struct irc_call *call, bool last)
{
	const struct irc_user *u = irc_user(call->c);
	struct flush f = {.call = call, .caps = u->caps, .now = (uint64_t)clock_us(CLOCK_REALTIME)};
	size_t space = connection_space(call->c);

	f.space = space > FLUSH_RESERVE ? space - FLUSH_RESERVE : 0;
	if (call->label[0] && u->caps & IRC_CAP_LABELED_RESPONSE && u->caps & IRC_CAP_BATCH)
		flush_labelled(&f, last);
	else
		flush_lines(&f, "");
	if (f.cut)
		count(irc_context(call)->counters, COUNT_REPLIES_CUT, 1);
	irc_answer_clear(&call->answer);
}
