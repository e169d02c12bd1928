/* SPDX-License-Identifier: MIT */
/* Each message is rendered at once, as nothing of a log that others write to can be kept. */
#include "daemon/irc/playback.h"

#include "common/cleanup.h"
#include "daemon/config/config.h"
#include "daemon/config/history.h"
#include "daemon/irc/people.h"
#include "daemon/irc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many events of the log are looked at, whatever they are. */
#define PLAYBACK_LOOKS 20000
/* What an answer may have: it fits the outbox beside names and topic. */
#define PLAYBACK_SPACE (128U << 10)
/* A line becomes so much longer with its batch. */
#define PLAYBACK_LINE_MORE 40
/* What is left to the end of an answer. */
#define PLAYBACK_RESERVE 1024

unsigned irc_history_most(const struct config *c)
{
	return c->history && c->history->lines < IRC_HISTORY_MAX ? c->history->lines : IRC_HISTORY_MAX;
}

struct irc_playback irc_playback_of(struct irc_call *call, const struct room *room, struct irc_span span)
{
	return (struct irc_playback){.span = span,
				     .shared = irc_shared(call),
				     .room = room,
				     .form = connection_form(call->c) & ~IRC_FORM_WIRE,
				     .count = UINT64_MAX,
				     .space = PLAYBACK_SPACE};
}

void irc_playback_clear(struct irc_playback *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->at[i].text);
	free(p->at);
	p->at = NULL;
	p->n = p->bytes = 0;
	p->full = false;
}

/* --- one message --- */

static size_t playback_lines(const char *text, size_t len)
{
	size_t n = 0;

	for (const char *p = text; p < text + len && (p = memchr(p, '\n', (size_t)(text + len - p))); p++)
		n++;
	return n;
}

/* text is consumed; False: there is no space for it, or no memory, so nor for any other. */
static bool playback_add(struct irc_playback *p, char *text, size_t len)
{
	size_t bytes = len + PLAYBACK_LINE_MORE * playback_lines(text, len);

	if (p->n == p->span.limit || p->bytes + bytes > p->space)
		goto full;
	if (p->n % 32 == 0) {
		struct irc_played *more = reallocarray(p->at, p->n + 32, sizeof(*more));
		if (!more)
			goto full;
		p->at = more;
	}
	char *less = realloc(text, len + 1);
	p->at[p->n++] = (struct irc_played){less ? less : text, len};
	p->bytes += bytes;
	return true;

full:
	free(text);
	p->full = true;
	return false;
}

static bool playback_wants(const struct irc_playback *p, uint8_t kind, uint64_t time_us)
{
	return (p->span.events || kind < RECORD_NOTICE) &&
	       (p->span.since_us == 0 || time_us >= p->span.since_us) &&
	       (p->span.until_us == 0 || time_us < p->span.until_us);
}

static size_t playback_render(const struct irc_playback *p, uint64_t seq, const struct record *r,
			      const char *line, size_t len, char *out)
{
	const struct irc_letters *l = p->letters;

	if (!l)
		return irc_render(p->shared, p->form, p->room, seq, r, line, len, out);
	return irc_render_private(p->shared, p->form, r->sender == l->mine ? l->their_nick : l->my_nick, seq,
				  r, line, len, out);
}

/* Nobody else's private messages. */
static bool playback_is_theirs(const struct irc_playback *p, const struct record *r)
{
	const struct irc_letters *l = p->letters;

	return !l || (r->kind == RECORD_MESSAGE && !r->from &&
		      ((r->sender == l->mine && r->target == l->theirs) ||
		       (r->sender == l->theirs && r->target == l->mine)));
}

/* One event of the log; false: enough. */
static bool playback_look(struct irc_playback *p, const struct logring_view *v, uint64_t seq)
{
	const struct record *r = logring_record(p->room->log, seq);
	uint64_t start = logring_start(p->room->log, v, seq);
	const char *line = logring_at(v, start);
	size_t len = r->end - start;

	if (!playback_is_theirs(p, r) || !playback_wants(p, r->kind, r->time_us) ||
	    !speech_shows(p->room, r, line))
		return true;
	char *text = malloc(HANDLER_RENDERED_MAX(len));
	if (!text)
		return false;
	size_t n = playback_render(p, seq, r, line, len, text);
	if (n > 0)
		return playback_add(p, text, n);
	free(text);
	return true;
}

/* --- the log --- */

/* The first event that isn't older than that; as a clock may have been set back, others may be around it. */
static uint64_t playback_find_time(const struct irc_playback *p, const struct logring_view *v, uint64_t us)
{
	uint64_t low = v->first, high = v->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (logring_record(p->room->log, middle)->time_us < us)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t playback_first(const struct irc_playback *p, const struct logring_view *v)
{
	return v->first < v->count ? room_number(p->room, logring_record(p->room->log, v->first), v->first)
				   : UINT64_MAX;
}

/* [*from, *to) are those of the log that may be wanted. */
static void playback_bound(struct irc_playback *p, const struct logring_view *v, uint64_t *from, uint64_t *to)
{
	const struct irc_span *s = &p->span;
	uint64_t at;

	*from = v->first;
	*to = v->count < p->count ? v->count : p->count;
	p->first = playback_first(p, v);
	p->reaches = s->from > 0 && p->first <= s->from;
	if (s->from > 0 && (at = speech_find_number(p->room, v, s->from)) > *from)
		*from = at;
	if (s->since_us > 0 && (at = playback_find_time(p, v, s->since_us)) > v->first) {
		p->reaches = true;
		*from = at > *from ? at : *from;
	}
	if (s->before > 0 && (at = speech_find_number(p->room, v, s->before)) < *to)
		*to = at;
	if (s->until_us > 0 && (at = playback_find_time(p, v, s->until_us)) < *to)
		*to = at;
}

static void playback_take_log(struct irc_playback *p, const struct logring_view *v, uint64_t from,
			      uint64_t to)
{
	unsigned looks = 0;

	if (p->span.forward) {
		for (uint64_t seq = from; seq < to && !p->full; seq++)
			p->full |= ++looks > PLAYBACK_LOOKS || !playback_look(p, v, seq);
		return;
	}
	for (uint64_t seq = to; seq > from && !p->full;) {
		if (p->span.events)
			seq--;
		else if (!logring_back(p->room->log, v, &seq) || seq < from)
			return;
		p->full |= ++looks > PLAYBACK_LOOKS || !playback_look(p, v, seq);
	}
}

bool irc_playback_log(struct irc_playback *p, const struct logring_view *v)
{
	uint64_t from, to;

	if (p->span.limit == 0)
		return true;
	playback_bound(p, v, &from, &to);
	playback_take_log(p, v, from, to);
	return p->reaches || (!p->span.forward && (p->full || p->n == p->span.limit));
}

/* --- the history --- */

struct question_request irc_playback_question(const struct irc_playback *p)
{
	const struct irc_span *s = &p->span;

	return (struct question_request){.query = {.room = p->room->name,
						   .since_us = (int64_t)s->since_us,
						   .until_us = (int64_t)s->until_us,
						   .oldest_first = s->forward,
						   .notices = s->events,
						   .limit = s->limit},
					 .before_number = s->before,
					 .after_number = s->from > 0 ? s->from - 1 : 0,
					 .bytes = PLAYBACK_SPACE};
}

static bool playback_take_stored(struct irc_playback *p, const struct store_message *m)
{
	if (!playback_wants(p, m->event.kind, m->event.time_us) || (m->event.raw && !p->room->raw))
		return true;
	char *text = malloc(HANDLER_RENDERED_MAX(m->event.nick_len + m->event.text_len + 64));
	if (!text)
		return false;
	size_t n = irc_render_stored(p->shared, p->form, p->room, m, text);
	if (n > 0)
		return playback_add(p, text, n);
	free(text);
	return true;
}

/* What the log hasn't. */
static void playback_take_answer(struct irc_playback *p, const struct answer *a)
{
	for (size_t i = 0; i < a->n && !p->full; i++) {
		const struct store_message *m = a->at[i];
		if (m->number < p->first || m->epoch != p->room->epoch)
			p->full |= !playback_take_stored(p, m);
		else if (p->span.forward)
			return;
	}
	p->full |= a->more;
}

void irc_playback_whole(struct irc_playback *p, const struct logring_view *v, const struct answer *a)
{
	uint64_t from, to;

	playback_bound(p, v, &from, &to);
	if (p->span.forward && !p->reaches)
		playback_take_answer(p, a);
	if (!p->full)
		playback_take_log(p, v, from, to);
	if (!p->span.forward && !p->full && !p->reaches)
		playback_take_answer(p, a);
}

/* --- the answer --- */

static void playback_say_one(struct irc_call *call, struct irc_played *m)
{
	char *end;

	for (char *line = m->text; (end = memchr(line, '\r', (size_t)(m->text + m->len - line)));
	     line = end + 2) {
		char *body = line, *tags = line;
		*end = '\0';
		if (*line == '@' && (body = strchr(line, ' '))) {
			*body++ = '\0';
			tags = line + 1;
		}
		irc_say(call, tags == line ? "" : tags, "%s", body);
		if (end + 2 >= m->text + m->len)
			break;
	}
}

void irc_playback_say(struct irc_call *call, const struct irc_playback *p)
{
	for (size_t i = 0; i < p->n; i++)
		playback_say_one(call, &p->at[p->span.forward ? i : p->n - 1 - i]);
}

void irc_playback_joined(struct irc_call *call, const struct room *room)
{
	struct irc_playback p = irc_playback_of(call, room, (struct irc_span){.limit = room->history});
	size_t space = irc_query_space(call);
	char batch[IRC_CHANNEL_MAX + 16];
	struct logring_view v;

	if (p.span.limit == 0 || irc_has(call->c, IRC_CAP_CHATHISTORY) || space < PLAYBACK_RESERVE)
		return;
	if (space - PLAYBACK_RESERVE < p.space)
		p.space = space - PLAYBACK_RESERVE;
	logring_peek(room->log, &v); /* what isn't committed is its own */
	irc_playback_log(&p, &v);
	if (p.n > 0) {
		snprintf(batch, sizeof(batch), "chathistory #%s", room->name);
		irc_batch_begin(call, batch);
		irc_playback_say(call, &p);
		irc_batch_end(call);
	}
	irc_playback_clear(&p);
}
