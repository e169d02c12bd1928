/* SPDX-License-Identifier: MIT */
/* How events become records and lines. The words of the wire format are here and nowhere else. */
#include "daemon/rooms/speech.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "* [" or the like, the nick, and the longest of the words below. */
#define SPEECH_HEAD_MAX (2 + SPEECH_NICK_MAX + 16)

/* What stands before a line's text. */
struct speech_head {
	char at[SPEECH_HEAD_MAX];
	size_t len;
};

/* --- beginning and end --- */

/* What is put into the log of at, which is locked, is said in room. */
static struct speech speech_into(struct room *at, const struct room *room)
{
	return (struct speech){.room = at,
			       .first = logring_pending(at->log),
			       .time_us = (uint64_t)clock_us(CLOCK_REALTIME),
			       .raw = room->raw};
}

struct speech speech_within(struct room *room)
{
	return speech_into(room, room);
}

/* In the room's own log, whatever others have. */
static void speech_begin_own(struct speech *s, struct room *room)
{
	if (s->room)
		return;
	logring_lock(room->log);
	*s = speech_within(room);
}

void speech_begin(struct speech *s, struct room *room)
{
	if (s->room)
		return;
	struct room *at = room_spoken_to(room);
	logring_lock(at->log);
	*s = speech_into(at, room);
}

bool speech_try(struct speech *s, const struct rooms *rooms, struct room *room)
{
	if (s->room)
		return true;
	struct room *at = room_spoken_to(room);
	/* Under the lock, so that many threads can't overrun a reader by what each of them has to say. */
	logring_lock(at->log);
	if (room_crowded(rooms, room)) {
		logring_unlock(at->log);
		return false;
	}
	*s = speech_into(at, room);
	return true;
}

void speech_begin_reading(struct speech *s, struct room *room)
{
	if (room->outgoing)
		logring_lock(room->log);
	speech_begin(s, room);
	if (room->outgoing)
		s->reading = room;
}

struct room *speech_room(struct speech *s)
{
	if (s->reading)
		logring_unlock(take_ptr(s->reading)->log);
	return take_ptr(s->room);
}

void speech_drop(struct speech *s)
{
	const struct room *room = speech_room(s);

	if (!room)
		return;
	logring_abandon(room->log);
	logring_unlock(room->log);
}

/* What was put becomes true without a transaction, and the log's lock is given back. */
static void speech_make_true(struct room *room)
{
	FAULT("speech-put");
	logring_commit(room->log);
	FAULT("speech-commit");
	logring_unlock(room->log);
}

uint64_t speech_commit(struct speech *s, struct rooms *rooms, struct slot_set *kick)
{
	struct room *room = speech_room(s);

	if (!room)
		return 0;
	uint64_t n = logring_pending(room->log) - s->first;
	speech_make_true(room);
	if (n > 0)
		rooms_mark(rooms, room, kick);
	return n;
}

/* --- rendering --- */

/* Always inline, since there it is known how long the words are: everybody's lines come through here. */
#define SPEECH_INLINE static inline __attribute__((always_inline))

SPEECH_INLINE void speech_add(struct speech_head *h, const char *text, size_t len)
{
	memcpy(h->at + h->len, text, len);
	h->len += len;
}

/* Puts a line whose head is BEFORE NICK WORDS. */
SPEECH_INLINE bool speech_put(struct speech *s, struct record *record, const struct speaker *who,
			      const char *before, const char *words, const char *text, size_t len)
{
	struct speech_head h;

	h.len = 0;
	speech_add(&h, before, strlen(before));
	speech_add(&h, who->nick, who->nick_len);
	speech_add(&h, words, strlen(words));
	record->nick_at = (uint8_t)strlen(before);
	record->nick_len = (uint8_t)who->nick_len;
	record->text = (uint16_t)h.len;
	return logring_put(s->room->log, record, h.at, h.len, text, len);
}

SPEECH_INLINE struct record speech_record(const struct speech *s, enum record_kind kind,
					  const struct speaker *who)
{
	return (struct record){.time_us = s->time_us,
			       .sender = who->id,
			       .target = s->stream,
			       .kind = (uint8_t)kind,
			       .number = s->number};
}

/* --- comings and goings --- */

/* "* NICK WORDS TEXT" */
static void speech_announce(struct speech *s, enum record_kind kind, const struct speaker *who,
			    const char *words, const char *text, size_t len)
{
	struct record record = speech_record(s, kind, who);

	speech_put(s, &record, who, "* ", words, text, len);
}

bool speech_enter(struct speech *s, struct room *room, const struct speaker *who)
{
	if (!room_announces(room))
		return false;
	speech_begin(s, room);
	speech_announce(s, RECORD_JOIN, who, " joined ", room->name, strlen(room->name));
	return true;
}

static void speech_announce_end(struct speech *s, const struct room *room, const struct speaker *who,
				bool for_good)
{
	speech_announce(s, for_good ? RECORD_QUIT : RECORD_LEAVE, who, " left ", room->name,
			strlen(room->name));
}

bool speech_leave(struct speech *s, struct room *room, const struct speaker *who, bool for_good)
{
	if (!room_announces(room))
		return false;
	speech_begin(s, room);
	speech_announce_end(s, room, who, for_good);
	return true;
}

/* With the lock held: whether the last word of that log is that this client is gone. */
static bool speech_has_left(struct room *room, const struct speaker *who)
{
	struct logring_view v;

	logring_peek(room->log, &v);
	if (v.count == v.first)
		return false;
	const struct record *last = logring_record(room->log, v.count - 1);
	return last->kind == RECORD_QUIT && last->sender == who->id;
}

void speech_leave_lost(struct room *room, const struct speaker *who)
{
	struct speech s = {0};

	if (room_members(room) >= room->announce_max || !room_announces(room))
		return;
	speech_begin_reading(&s, room);
	/* Or a process that died before the client's entry was released has said it already. */
	if (!speech_has_left(s.room, who) && !speech_has_left(room, who))
		speech_announce_end(&s, room, who, true);
	speech_make_true(speech_room(&s));
}

bool speech_rename(struct speech *s, struct room *room, const struct speaker *who, const char *nick,
		   size_t len)
{
	if (!room_announces(room))
		return false;
	speech_begin(s, room);
	speech_announce(s, RECORD_RENAME, who, " is now ", nick, len);
	return true;
}

/* --- lines --- */

/*
 * In a raw room a line stands as it was said, with one more star before one that begins with a star: so
 * nothing that a person says looks like the server's own lines, which begin with "* ".
 */
static bool speech_put_raw(struct speech *s, const struct speaker *who, const char *text, size_t len)
{
	struct record record = speech_record(s, RECORD_MESSAGE, who);

	record.text = len > 0 && text[0] == '*';
	return logring_put(s->room->log, &record, "*", record.text, text, len);
}

int speech_say(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len)
{
	_cleanup_free_ char *buf = NULL;

	if (!s->room)
		speech_begin(s, room);
	if (s->raw)
		return speech_put_raw(s, who, text, len) ? 0 : -EAGAIN;
	if (len == 0)
		return 0;
	text = text_clean(text, &len, &buf);
	if (!text)
		return -ENOMEM;
	struct record record = speech_record(s, RECORD_MESSAGE, who);
	return speech_put(s, &record, who, "", ": ", text, len) ? 0 : -EAGAIN;
}

int speech_act(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len)
{
	_cleanup_free_ char *buf = NULL;

	if (!s->room)
		speech_begin(s, room);
	text = text_clean(text, &len, &buf);
	if (!text)
		return -ENOMEM;
	struct record record = speech_record(s, RECORD_ACTION, who);
	return speech_put(s, &record, who, "", " * ", text, len) ? 0 : -EAGAIN;
}

static int speech_put_notice(struct speech *s, const char *text, size_t len)
{
	static const struct speaker nobody = {0};
	struct record record = speech_record(s, RECORD_NOTICE, &nobody);

	record.text = 2;

	return logring_put(s->room->log, &record, "* ", 2, text, len) ? 0 : -EAGAIN;
}

int speech_note(struct speech *s, struct room *room, const char *text)
{
	speech_begin_own(s, room);
	return speech_put_notice(s, text, strlen(text));
}

/* --- what is said on other machines --- */

/* The end of the year 9999: whoever shows a time can show all before. */
#define SPEECH_TIME_MAX (253402300800ULL * 1000000)

const char *speech_kind_name(unsigned kind)
{
	static const char *const names[RECORD_KINDS] = {
	    [RECORD_MESSAGE] = "message", [RECORD_ACTION] = "action", [RECORD_NOTICE] = "notice",
	    [RECORD_JOIN] = "join",	  [RECORD_LEAVE] = "leave",   [RECORD_RENAME] = "rename",
	    [RECORD_QUIT] = "quit"};

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
	if (e->kind == RECORD_NOTICE)
		return e->nick_len == 0;
	if (!speech_is_name(e->nick, e->nick_len))
		return false;
	switch (e->kind) {
	case RECORD_MESSAGE:
		return e->text_len > 0;
	case RECORD_JOIN:
	case RECORD_LEAVE:
	case RECORD_QUIT:
		return speech_is_of(e, room);
	case RECORD_RENAME:
		return speech_is_name(e->text, e->text_len);
	default:
		return true;
	}
}

static bool speech_put_event(struct speech *s, const struct speech_event *e, const char *text, size_t len)
{
	static const char *const words[RECORD_KINDS] = {
	    [RECORD_MESSAGE] = ": ",   [RECORD_ACTION] = " * ",	     [RECORD_JOIN] = " joined ",
	    [RECORD_LEAVE] = " left ", [RECORD_RENAME] = " is now ", [RECORD_QUIT] = " left "};
	const struct speaker who = {.id = e->sender, .nick = e->nick, .nick_len = e->nick_len};

	if (e->raw)
		return speech_put_raw(s, &who, text, len);
	if (e->kind == RECORD_NOTICE)
		return speech_put_notice(s, text, len) == 0;
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

/* --- private messages --- */

void speech_tell(struct speech *s, struct room *private, const struct speaker *who,
		 const struct speech_peer *to, const char *text, size_t len)
{
	speech_begin(s, private);
	struct record record = speech_record(s, RECORD_MESSAGE, who);
	record.target = to->id;
	record.target_index = to->index;
	if (who->from)
		record.from = who->from;
	*(who->from ? &record.from_index : &record.sender_index) = who->index + 1;
	speech_put(s, &record, who, "* [", " -> you] ", text, len);
}

void speech_note_to(struct speech *s, struct room *private, const struct speech_peer *to, const char *text)
{
	speech_begin(s, private);
	struct record record = {.time_us = s->time_us,
				.kind = RECORD_NOTICE,
				.text = 2,
				.target = to->id,
				.target_index = to->index};
	logring_put(private->log, &record, "* ", 2, text, strlen(text));
}

void speech_bounce(struct speech *s, struct room *private, const struct record *message,
		   const struct speaker *who)
{
	const struct speech_peer to = {message->sender, message->sender_index - 1};
	char text[SPEECH_NICK_MAX + 80];

	snprintf(text, sizeof(text), "Your message to %.*s could not be delivered: too much waits there.",
		 (int)who->nick_len, who->nick);
	speech_note_to(s, private, &to, text);
}

/* --- reading --- */

bool speech_shows(const struct room *room, const struct record *record, const char *line)
{
	if (record->forgotten)
		return false;
	if (record_is_notice(record) || record->nick_len > 0)
		return true;
	/* From here on it was said in a raw room, or is from a build that did not write nick_len. */
	bool said_raw = record->kind == RECORD_MESSAGE && record->text <= 1;
	return (room->raw || !said_raw) && (line[0] != '*' || record->text == 1);
}

size_t speech_text_at(const struct record *record)
{
	return record_is_notice(record) ? 2 : record->text;
}

uint64_t speech_find_number(const struct room *room, const struct logring_view *v, uint64_t number)
{
	uint64_t low = v->first, high = v->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (room_number(room, logring_record(room->log, middle), middle) < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
