/* SPDX-License-Identifier: MIT */
/* Events that were put into another log, on this machine or on another, and are put into a room's own once more. */
#include "daemon/rooms/speech_own.h"

#include "common/cleanup.h"
#include "common/nick.h"

#include <errno.h>

/* The end of the year 9999: whoever shows a time can show all before. */
#define SPEECH_TIME_MAX (253402300800ULL * 1000000)

const char *speech_kind_name(unsigned kind)
{
	static const char *const names[RECORD_KINDS] = {
	    [RECORD_MESSAGE] = "message", [RECORD_ACTION] = "action", [RECORD_NOTICE] = "notice",
	    [RECORD_JOIN] = "join",	  [RECORD_LEAVE] = "leave",   [RECORD_RENAME] = "rename",
	    [RECORD_QUIT] = "quit",	  [RECORD_TOPIC] = "topic",   [RECORD_MODE] = "mode",
	    [RECORD_KICK] = "kick",	  [RECORD_GONE] = "notice"};

	return names[kind < RECORD_KINDS ? kind : RECORD_NOTICE];
}

void speech_event_of(const struct record *r, const char *line, size_t len, struct speech_event *ret)
{
	*ret = (struct speech_event){.time_us = r->time_us,
				     .sender = r->sender,
				     .number = r->number,
				     .stream = r->target,
				     .kind = r->kind,
				     .nick_len = r->nick_len,
				     .raw = r->kind == RECORD_MESSAGE && r->nick_len == 0,
				     .nick = line + r->nick_at,
				     .text = line + r->text,
				     .text_len = len - r->text - 1};
}

const struct record *speech_event_at(const struct logring *log, const struct logring_view *v, uint64_t seq,
				     struct speech_event *ret)
{
	uint64_t start = logring_start(log, v, seq);
	const struct record *r = logring_record(log, seq);

	speech_event_of(r, logring_at(v, start), r->end - start, ret);
	return r;
}

/* A listener speaks under its name, which may be longer than a person's. */
static bool speech_is_name(const char *s, size_t len)
{
	return nick_well_formed(s, len) || (len <= SPEECH_NICK_MAX && text_room_valid(s, len));
}

static bool speech_is_of(const struct speech_event *e, const struct room *room)
{
	return e->text_len == strlen(room->name) && memcmp(e->text, room->name, e->text_len) == 0;
}

/* The same, with a reason or without. */
static bool speech_is_end_of(const struct speech_event *e, const struct room *room)
{
	size_t len = strlen(room->name);

	return e->text_len >= len && memcmp(e->text, room->name, len) == 0 &&
	       (e->text_len == len || (e->text_len > len + 2 && memcmp(e->text + len, ": ", 2) == 0));
}

/* Whether it could have been said in a room such as this one. */
static bool speech_is_possible(const struct speech_event *e, const struct room *room)
{
	if (e->kind >= RECORD_KINDS || e->time_us >= SPEECH_TIME_MAX ||
	    e->text_len > (e->raw ? SPEECH_TEXT_MAX / 3 : SPEECH_TEXT_MAX))
		return false;
	if (e->raw)
		return e->kind == RECORD_MESSAGE && e->nick_len == 0 &&
		       (e->clean || !memchr(e->text, '\n', e->text_len));
	if (!e->clean && !text_is_clean(e->text, e->text_len))
		return false;
	if (e->kind == RECORD_NOTICE || e->kind == RECORD_GONE)
		return e->nick_len == 0;
	if (!speech_is_name(e->nick, e->nick_len))
		return false;
	switch (e->kind) {
	case RECORD_MESSAGE:
		return e->text_len > 0;
	case RECORD_JOIN:
		return speech_is_of(e, room);
	case RECORD_LEAVE:
	case RECORD_QUIT:
		return speech_is_end_of(e, room);
	case RECORD_MODE:
	case RECORD_KICK:
		return e->text_len > 0;
	case RECORD_RENAME:
		return speech_is_name(e->text, e->text_len);
	default:
		return true;
	}
}

static bool speech_put_event(struct speech *s, const struct speech_event *e, const char *text, size_t len)
{
	static const char *const words[RECORD_KINDS] = {[RECORD_MESSAGE] = ": ",
							[RECORD_ACTION] = " * ",
							[RECORD_JOIN] = " joined ",
							[RECORD_LEAVE] = " left ",
							[RECORD_RENAME] = " is now ",
							[RECORD_QUIT] = " left ",
							[RECORD_TOPIC] = " set the topic: ",
							[RECORD_MODE] = " set mode ",
							[RECORD_KICK] = " removed "};
	const struct speaker who = {.id = e->sender, .nick = e->nick, .nick_len = e->nick_len};

	if (e->raw)
		return speech_put_raw(s, &who, text, len);
	if (e->kind == RECORD_NOTICE || e->kind == RECORD_GONE)
		return speech_put_notice(s, e->kind, text, len) == 0;
	struct record record = speech_record(s, e->kind, &who);
	return speech_put(s, &record, &who, record_is_notice(&record) ? "* " : "", words[e->kind], text, len);
}

int speech_replay(struct speech *s, struct room *room, const struct speech_event *e)
{
	_cleanup_free_ char *buf = NULL;
	const char *text = e->text;
	size_t len = e->text_len;

	if (!speech_is_possible(e, room))
		return -EBADMSG;
	if (e->raw && !room->raw)
		text = text_clean(text, &len, &buf);
	if (!text)
		return -ENOMEM;
	/* As long a text as the configuration lets anybody say has this much space. */
	if (len > logring_size(room->log) / 16 * 3)
		return -EBADMSG;
	speech_begin_own(s, room);
	s->time_us = e->time_us;
	s->number = e->number;
	s->stream = e->stream;
	bool put = speech_put_event(s, e, text, len);
	s->number = s->stream = 0;
	return put ? 0 : -EAGAIN;
}
