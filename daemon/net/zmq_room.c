/* SPDX-License-Identifier: MIT */
/*
 * The room that a ZeroMQ listener is a bridge to, if it has one: texts that were pushed are said there, and
 * what is said there is published. The listener's thread reads the room's log as a worker does.
 */
#include "daemon/net/zmq_private.h"
#include "daemon/rooms/speech.h"

#include <string.h>

int zmq_room_enter(struct zmq_listener *z)
{
	if (!z->setup.room[0])
		return 0;
	int r =
	    rooms_enter(z->ctx.shared->rooms, z->setup.room, z->ctx.slot, &(struct room_guest){0}, &z->room);
	if (r == 0)
		z->seq = logring_count(z->room->log);
	return r;
}

void zmq_room_leave(struct zmq_listener *z)
{
	if (z->room)
		rooms_leave(z->ctx.shared->rooms, z->room, z->ctx.slot);
	z->room = NULL;
}

const char *zmq_listener_room(const struct zmq_listener *z)
{
	return z->room ? z->room->name : NULL;
}

bool zmq_listener_room_takes(struct zmq_listener *z)
{
	z->crowded = z->room && room_crowded(z->ctx.shared->rooms, z->room);
	return !z->crowded;
}

void zmq_listener_say(struct zmq_listener *z, const char *nick, const char *text, size_t len)
{
	struct speech s = {0};

	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > atomic_load_explicit(&z->max_message, memory_order_relaxed) || len == 0 ||
	    memchr(text, '\n', len)) {
		count(z->ctx.counters, COUNT_LINES_REFUSED, 1);
		return;
	}
	if (!nick)
		nick = z->setup.name;
	_Static_assert(CONFIG_NAME_MAX <= SPEECH_NICK_MAX, "a listener may speak under its name");
	const struct speaker who = {.nick = nick, .nick_len = strlen(nick)};
	(void)!speech_say(&s, z->room, &who, text, len);
	count(z->ctx.counters, COUNT_MESSAGES, speech_commit(&s, z->ctx.shared->rooms, &z->ctx.kick));
}

bool zmq_room_has_news(const struct zmq_listener *z)
{
	return z->room && z->seq < logring_count(z->room->log);
}

void zmq_room_publish(struct zmq_listener *z)
{
	void *out = z->at[1].socket;
	struct logring_view v;
	uint64_t bytes = 0, n = 0;
	size_t name = strlen(z->room->name);

	logring_pin(z->room->log, z->ctx.slot, &v);
	if (z->seq < v.first) {
		zmq_listener_count_dropped(z, v.first - z->seq);
		z->seq = v.first;
	}
	for (; z->seq < v.count; z->seq++) {
		uint64_t start = logring_start(z->room->log, &v, z->seq);
		size_t len = (size_t)(logring_record(z->room->log, z->seq)->end - start) - 1;
		if (zmq_send(out, z->room->name, name, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
		    zmq_send(out, logring_at(&v, start), len, ZMQ_DONTWAIT) < 0)
			zmq_listener_count_dropped(z, 1);
		bytes += name + len;
		n++;
	}
	logring_flushed(z->room->log, z->ctx.slot, &v);
	logring_unpin(z->room->log, z->ctx.slot);
	zmq_listener_count(z, 0, n, 0, bytes);
}

void zmq_room_hold(struct zmq_listener *z)
{
	if (z->room)
		logring_caught_up(z->room->log, z->ctx.slot);
}
