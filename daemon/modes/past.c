/* SPDX-License-Identifier: MIT */
/*
 * The text is made from its end: the newest line comes first, and whatever doesn't fit before it any more is left for the
 * next question.
 */
#include "daemon/modes/past.h"

#include "common/cleanup.h"
#include "common/json_text.h"
#include "daemon/rooms/speech.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How many lines of the log are looked at, whatever they are: senders wait meanwhile. */
#define PAST_LOOKS 20000

struct past_line {
	uint64_t number, time_us;
	const char *nick, *text;
	size_t nick_len, text_len;
	bool action;
};

/* --- one line --- */

#define PAST_TIME_MAX 32

static void past_time(const struct past *p, int64_t us, char ret[static PAST_TIME_MAX])
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) ||
	    strftime(ret, PAST_TIME_MAX, p->style == PAST_CHAT ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%dT%H:%M:%SZ",
		     &tm) == 0)
		strcpy(ret, "?");
}

static size_t past_render_head(const struct past *p, const struct past_line *l, char *ret, size_t size)
{
	char when[PAST_TIME_MAX];
	const char *words = l->nick_len == 0 ? "" : l->action ? " * " : ": ";
	int n;

	past_time(p, (int64_t)l->time_us, when);
	if (p->style == PAST_CHAT)
		n = snprintf(ret, size, "* [%s] %.*s%s", when, (int)l->nick_len, l->nick, words);
	else
		n = snprintf(ret, size, "#PAST %" PRIu64 " %s %.*s%s", l->number, when, (int)l->nick_len,
			     l->nick, words);
	return (size_t)n;
}

/* Puts a line before the others; false if it doesn't fit. */
static bool past_put(struct past *p, const char *head, size_t head_len, const char *text, size_t len)
{
	if (head_len + len + 1 > p->space - p->len)
		return false;
	p->len += head_len + len + 1;
	char *at = p->buf + p->space - p->len;
	memcpy(at, head, head_len);
	memcpy(at + head_len, text, len);
	at[head_len + len] = p->style == PAST_JSON ? ',' : '\n';
	p->text = at;
	return true;
}

static bool past_put_json(struct past *p, const struct past_line *l, const char *text, size_t len)
{
	size_t size = 160 + 6 * (l->nick_len + len);
	_cleanup_free_ char *item = malloc(size);
	struct json_text t = {.at = item, .size = size};

	if (!item)
		return false;
	json_putf(&t, "{\"number\":%" PRIu64 ",\"time\":%" PRIu64 ",\"kind\":\"%s\"", l->number, l->time_us,
		  l->action ? "action" : "message");
	if (l->nick_len > 0)
		json_put_member(&t, "nick", l->nick, l->nick_len);
	json_put_member(&t, "text", text, len);
	json_put(&t, "}");
	return !t.cut && past_put(p, item, t.len, "", 0);
}

static bool past_put_line(struct past *p, const struct past_line *l, const char *text, size_t len)
{
	char head[80 + SPEECH_NICK_MAX] = "";

	if (p->style == PAST_JSON)
		return past_put_json(p, l, text, len);
	return past_put(p, head, past_render_head(p, l, head, sizeof(head)), text, len);
}

/* False: that is all there can be. */
static bool past_add(struct past *p, const struct past_line *l)
{
	_cleanup_free_ char *clean = NULL;
	size_t len = l->text_len;
	const char *text =
	    text_clean(l->text, &len, &clean); /* what was said in a raw room is as it was said */

	if (p->n == p->wanted || !text || !past_put_line(p, l, text, len)) {
		p->more = true;
		return false;
	}
	p->oldest = l->number;
	p->n++;
	return true;
}

/* --- from the log --- */

/* The number from which on the log has all. */
static uint64_t past_begin_of_log(const struct room *room, const struct logring_view *v)
{
	return v->first < v->count ? room_number(room, logring_record(room->log, v->first), v->first)
				   : UINT64_MAX;
}

static bool past_take_log(struct past *p, const struct room *room, const struct logring_view *v)
{
	uint64_t seq = p->before > 0 ? speech_find_number(room, v, p->before) : v->count;
	unsigned looks = 0;

	while (logring_back(room->log, v, &seq)) {
		const struct record *r = logring_record(room->log, seq);
		uint64_t start = logring_start(room->log, v, seq);
		const char *line = logring_at(v, start);
		const struct past_line l = {.number = room_number(room, r, seq),
					    .time_us = r->time_us,
					    .nick = line + r->nick_at,
					    .nick_len = r->nick_len,
					    .text = line + r->text,
					    .text_len = r->end - start - r->text - 1,
					    .action = r->kind == RECORD_ACTION};
		if (++looks > PAST_LOOKS) {
			p->more = true;
			return false;
		}
		if (speech_shows(room, r, line) && !past_add(p, &l))
			return false;
	}
	return true;
}

/* --- from the history --- */

static bool past_put_gap(struct past *p, int64_t time_us, uint64_t first, uint64_t lines)
{
	char text[128], when[PAST_TIME_MAX];
	int n;

	past_time(p, time_us, when);
	if (p->style == PAST_JSON)
		n = snprintf(text, sizeof(text),
			     "{\"number\":%" PRIu64 ",\"time\":%" PRId64
			     ",\"kind\":\"missing\",\"lines\":%" PRIu64 "}",
			     first, time_us, lines);
	else if (p->style == PAST_CHAT)
		n = snprintf(text, sizeof(text), "* [%s] (%" PRIu64 " line%s missing)", when, lines,
			     lines == 1 ? " is" : "s are");
	else
		n = snprintf(text, sizeof(text), "#GAP %" PRIu64 " %s %" PRIu64, first, when, lines);
	p->more |= !past_put(p, text, (size_t)n, "", 0);
	return !p->more;
}

/* What is missing between the line that comes next, with that number, and those that are there; and before end, from
 * where on the log has all. */
static bool past_add_gaps(struct past *p, const struct answer *a, size_t *at, uint64_t number, uint64_t end)
{
	for (; *at < a->n_gaps && a->gaps[*at].first > number; ++*at) {
		const struct answer_gap *g = &a->gaps[*at];
		uint64_t up_to = g->end < end ? g->end : end;
		if (g->first < up_to && !past_put_gap(p, g->time_us, g->first, up_to - g->first))
			return false;
	}
	return true;
}

static void past_take_answer(struct past *p, const struct room *room, const struct answer *a, uint64_t end)
{
	size_t gap = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct speech_event *e = &a->at[i]->event;
		const struct past_line l = {.number = a->at[i]->number,
					    .time_us = e->time_us,
					    .nick = e->nick,
					    .nick_len = e->raw ? 0 : e->nick_len,
					    .text = e->text,
					    .text_len = e->text_len,
					    .action = e->kind == RECORD_ACTION};
		/* The log has it; numbers of another epoch mean nothing there. */
		if (l.number >= end && a->at[i]->epoch == room->epoch)
			continue;
		if (e->raw && !room->raw) /* as speech_shows() has it */
			continue;
		if ((p->n < p->wanted && !past_add_gaps(p, a, &gap, l.number, end)) || !past_add(p, &l))
			return;
	}
	p->more |= a->more;
	if (!p->more)
		past_add_gaps(p, a, &gap, 0, end);
}

int past_collect(struct past *p, const struct room *room, const struct answer *a)
{
	struct logring_view v;

	p->n = 0;
	p->len = 0;
	p->more = false;
	p->oldest = 0;
	p->buf = malloc(p->space);
	p->text = p->buf;
	if (!p->buf)
		return -ENOMEM;
	logring_peek(room->log, &v);
	if (p->stored_only && a)
		past_take_answer(p, room, a, UINT64_MAX);
	else if (past_take_log(p, room, &v) && a)
		past_take_answer(p, room, a, past_begin_of_log(room, &v));
	return 0;
}

void past_free(struct past *p)
{
	free(take_ptr(p->buf));
}

bool past_cut_before(const char *text, size_t *len, uint64_t *ret)
{
	static const char word[] = "before:";
	size_t n = *len, digits = 0;
	uint64_t v = 0;

	while (n > 0 && text[n - 1] == ' ')
		n--;
	size_t end = n;
	while (n > 0 && text[n - 1] >= '0' && text[n - 1] <= '9')
		n--;
	digits = end - n;
	for (size_t i = n; i < end; i++)
		v = v * 10 + (uint64_t)(text[i] - '0');
	size_t word_len = sizeof(word) - 1;
	if (digits == 0 || digits > 19 || n < word_len || memcmp(text + n - word_len, word, word_len) != 0)
		return false;
	n -= word_len;
	if (n > 0 && text[n - 1] != ' ')
		return false;
	while (n > 0 && text[n - 1] == ' ')
		n--;
	*len = n;
	*ret = v;
	return true;
}
