/* SPDX-License-Identifier: MIT */
/* How events become records and lines. The words of the wire format are here and nowhere else. */
#include "daemon/rooms/speech.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"

#include <errno.h>
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

void speech_begin(struct speech *s, struct room *room)
{
	if (s->room)
		return;
	logring_lock(room->log);
	*s = speech_within(room);
}

bool speech_try(struct speech *s, const struct rooms *rooms, struct room *room)
{
	if (s->room)
		return true;
	/* Under the lock, so that many threads can't overrun a reader by what each of them has to say. */
	logring_lock(room->log);
	if (room_crowded(rooms, room)) {
		logring_unlock(room->log);
		return false;
	}
	*s = speech_within(room);
	return true;
}

struct speech speech_within(struct room *room)
{
	return (struct speech){.room = room,
			       .first = logring_pending(room->log),
			       .time_us = (uint64_t)clock_us(CLOCK_REALTIME),
			       .raw = room->raw};
}

struct room *speech_room(struct speech *s)
{
	return take_ptr(s->room);
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
	return (struct record){.time_us = s->time_us, .sender = who->id, .kind = (uint8_t)kind};
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

static void speech_announce_end(struct speech *s, const struct speaker *who, bool for_good)
{
	speech_announce(s, for_good ? RECORD_QUIT : RECORD_LEAVE, who, " left ", s->room->name,
			strlen(s->room->name));
}

bool speech_leave(struct speech *s, struct room *room, const struct speaker *who, bool for_good)
{
	if (!room_announces(room))
		return false;
	speech_begin(s, room);
	speech_announce_end(s, who, for_good);
	return true;
}

/* With the lock held: whether the room's last word is that this client is gone. */
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

	if (room->raw || room_members(room) >= room->announce_max)
		return;
	speech_begin(&s, room);
	/* Or a process that died before the client's entry was released has said it already. */
	if (!speech_has_left(room, who))
		speech_announce_end(&s, who, true);
	speech_make_true(room);
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

	speech_begin(s, room);
	text = text_clean(text, &len, &buf);
	if (!text)
		return -ENOMEM;
	struct record record = speech_record(s, RECORD_ACTION, who);
	return speech_put(s, &record, who, "", " * ", text, len) ? 0 : -EAGAIN;
}

/* --- private messages --- */

void speech_tell(struct speech *s, struct room *private, const struct speaker *who,
		 const struct speech_peer *to, const char *text, size_t len)
{
	speech_begin(s, private);
	struct record record = speech_record(s, RECORD_MESSAGE, who);
	record.target = to->id;
	record.target_index = to->index;
	record.sender_index = who->index + 1;
	speech_put(s, &record, who, "* [", " -> you] ", text, len);
}

void speech_bounce(struct speech *s, struct room *private, const struct record *message,
		   const struct speaker *who)
{
	static const char before[] = "* Your message to ",
			  after[] = " could not be delivered: too much waits there.";
	struct record record = {.time_us = message->time_us,
				.kind = RECORD_NOTICE,
				.text = 2,
				.target = message->sender,
				.target_index = message->sender_index - 1};
	char text[sizeof(before) + SPEECH_NICK_MAX + sizeof(after)];
	size_t n = sizeof(before) - 1;

	speech_begin(s, private);
	memcpy(text, before, n);
	memcpy(text + n, who->nick, who->nick_len);
	n += who->nick_len;
	memcpy(text + n, after, sizeof(after) - 1);
	logring_put(private->log, &record, "", 0, text, n + sizeof(after) - 1);
}

/* --- reading --- */

bool speech_shows(const struct room *room, const struct record *record, const char *line)
{
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
