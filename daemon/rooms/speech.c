/* SPDX-License-Identifier: MIT */
/* How events become records and lines. The words of the wire format are here and in speech_replay.c. */
#include "daemon/rooms/speech_own.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The longest reason that is given; whoever has one sees to it that no character is cut. */
#define SPEECH_REASON_MAX 1024

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

void speech_begin_own(struct speech *s, struct room *room)
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

bool speech_try_reading(struct speech *s, const struct rooms *rooms, struct room *room)
{
	if (s->room || !room->outgoing)
		return speech_try(s, rooms, room);
	logring_lock(room->log);
	if (!speech_try(s, rooms, room)) {
		logring_unlock(room->log);
		return false;
	}
	s->reading = room;
	return true;
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
	return speech_leave_because(s, room, who, for_good, NULL, 0);
}

bool speech_leave_because(struct speech *s, struct room *room, const struct speaker *who, bool for_good,
			  const char *reason, size_t len)
{
	char text[TEXT_ROOM_MAX + 2 + SPEECH_REASON_MAX];

	if (!room_announces(room))
		return false;
	speech_begin(s, room);
	if (len == 0) {
		speech_announce_end(s, room, who, for_good);
		return true;
	}
	int n = snprintf(text, sizeof(text), "%s: %.*s", room->name,
			 (int)(len < SPEECH_REASON_MAX ? len : SPEECH_REASON_MAX - 1), reason);
	speech_announce(s, for_good ? RECORD_QUIT : RECORD_LEAVE, who, " left ", text, (size_t)n);
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

bool speech_put_raw(struct speech *s, const struct speaker *who, const char *text, size_t len)
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

/* "* NICK WORDS TEXT" that is no coming or going, and is told in rooms of any size. */
static int speech_decide(struct speech *s, struct room *room, enum record_kind kind,
			 const struct speaker *who, const char *words, const char *text, size_t len)
{
	_cleanup_free_ char *buf = NULL;

	speech_begin(s, room);
	if (s->raw)
		return -EINVAL;
	text = text_clean(text, &len, &buf);
	if (!text)
		return -ENOMEM;
	struct record record = speech_record(s, kind, who);
	return speech_put(s, &record, who, "* ", words, text, len) ? 0 : -EAGAIN;
}

int speech_topic(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len)
{
	return speech_decide(s, room, RECORD_TOPIC, who, " set the topic: ", text, len);
}

int speech_mode(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len)
{
	return speech_decide(s, room, RECORD_MODE, who, " set mode ", text, len);
}

int speech_kick(struct speech *s, struct room *room, const struct speaker *who, const char *nick,
		const char *reason, size_t len)
{
	char text[SPEECH_NICK_MAX + 2 + SPEECH_REASON_MAX];
	int n = len == 0 ? snprintf(text, sizeof(text), "%s", nick)
			 : snprintf(text, sizeof(text), "%s: %.*s", nick,
				    (int)(len < SPEECH_REASON_MAX ? len : SPEECH_REASON_MAX - 1), reason);

	return speech_decide(s, room, RECORD_KICK, who, " removed ", text, (size_t)n);
}

const char *speech_reason(const char *text, size_t len, size_t *ret_len)
{
	const char *colon = memmem(text, len, ": ", 2);

	*ret_len = colon ? len - (size_t)(colon + 2 - text) : 0;
	return colon ? colon + 2 : text + len;
}

/* "Node NODE is gone, with 2 people who were here: NICK, NICK." */
static bool speech_named(const char *before, const char *text, size_t len, const char **ret_node,
			 size_t *ret_node_len, const char **ret_nicks, size_t *ret_nicks_len)
{
	const size_t n = strlen(before);

	if (len < n || memcmp(text, before, n) != 0)
		return false;
	const char *nicks = memmem(text, len, ": ", 2);
	if (!nicks || nicks <= text + n || text[len - 1] != '.')
		return false;
	const char *end = memchr(text + n, ' ', (size_t)(nicks - text) - n);
	*ret_node = text + n;
	*ret_node_len = (size_t)((end ? end : nicks) - *ret_node);
	*ret_nicks = nicks + 2;
	*ret_nicks_len = (size_t)(text + len - 1 - *ret_nicks);
	return *ret_node_len > 0 && *ret_nicks < text + len - 1;
}

bool speech_gone_of(const char *text, size_t len, const char **ret_node, size_t *ret_node_len,
		    const char **ret_nicks, size_t *ret_nicks_len)
{
	return speech_named("Node ", text, len, ret_node, ret_node_len, ret_nicks, ret_nicks_len);
}

bool speech_back_of(const char *text, size_t len, const char **ret_node, size_t *ret_node_len,
		    const char **ret_nicks, size_t *ret_nicks_len)
{
	return speech_named("Back on node ", text, len, ret_node, ret_node_len, ret_nicks, ret_nicks_len);
}

const char *speech_next_of(const char **nicks, size_t *nicks_len, size_t *ret_len)
{
	const char *one = *nicks, *end = memmem(*nicks, *nicks_len, ", ", 2);

	if (*nicks_len == 0)
		return NULL;
	*ret_len = end ? (size_t)(end - one) : *nicks_len;
	size_t n = *ret_len + (end ? 2 : 0);
	*nicks += n;
	*nicks_len -= n;
	return one;
}

int speech_put_notice(struct speech *s, enum record_kind kind, const char *text, size_t len)
{
	static const struct speaker nobody = {0};
	struct record record = speech_record(s, kind, &nobody);

	record.text = 2;

	return logring_put(s->room->log, &record, "* ", 2, text, len) ? 0 : -EAGAIN;
}

int speech_note(struct speech *s, struct room *room, const char *text)
{
	speech_begin_own(s, room);
	return speech_put_notice(s, RECORD_NOTICE, text, strlen(text));
}

int speech_gone(struct speech *s, struct room *room, const char *text)
{
	speech_begin_own(s, room);
	return speech_put_notice(s, RECORD_GONE, text, strlen(text));
}

/* --- private messages --- */

void speech_tell(struct speech *s, struct room *private, const struct speaker *who,
		 const struct speech_peer *to, const char *text, size_t len)
{
	speech_begin(s, private);
	struct record record = speech_record(s, RECORD_MESSAGE, who);
	record.target = to->id;
	record.target_index = to->index;
	record.sender_index = 0;
	if (who->from) {
		record.from = who->from;
		record.from_index = 0;
	}
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
