/* SPDX-License-Identifier: MIT */
/* Send: a line that an admin says in a room. */
#include "common/nick.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/rooms/speech.h"

#include <string.h>
#include <time.h>

/* Waits a moment for a room that is full of undelivered text. */
static bool send_wait(struct host *h, struct room *room)
{
	for (unsigned i = 0; i < 500; i++) {
		if (!room_crowded(h->ctx.shared->rooms, room))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

/* Returns 0 or -ENOMEM. */
static int send_line(struct host *h, struct room *room, const char *nick, size_t nick_len, const char *text,
		     size_t len)
{
	struct rooms *rooms = h->ctx.shared->rooms;
	const struct speaker who = {.nick = nick, .nick_len = nick_len};
	struct slot_set kick = {{0}};
	struct speech s = {0};

	int r = speech_say(&s, room, &who, text, len);
	count(h->ctx.counters, COUNT_MESSAGES, speech_commit(&s, rooms, &kick));
	/* The main thread is told as well: `chatctl tail` may follow the room. */
	rooms_kick(rooms, &kick, UINT32_MAX);
	return r;
}

/* Refuses the call if the nick can't be had. Returns the length of the nick in normal, or -1. */
static int send_check_nick(struct control_client *c, const char *nick, char normal[static TEXT_NICK_MAX + 1])
{
	int len = nick_normalise(nick, strlen(nick), normal);
	const struct shared *shared = control_host(c)->ctx.shared;
	struct elsewhere_found found;
	uint64_t id;
	uint32_t index;

	if (len < 0) {
		control_refuse(c, "\"%s\" is not a valid nick", nick);
		return -1;
	}
	/* "admin" itself is never anybody else's nick. */
	struct nick_keys keys = nick_keys(normal, (size_t)len);
	if (roster_find(shared->roster, normal, (size_t)len, &id, &index)) {
		control_refuse(c, "nick %s is in use", nick);
		return -1;
	}
	if (elsewhere_find(shared->elsewhere, &keys, &found)) {
		control_refuse(c, "nick %s is in use on node %s", nick, found.node);
		return -1;
	}
	return len;
}

static void send_done(struct control_client *c, const char *room)
{
	log_event(LOG_DEBUG, &(struct log_fields){.message_id = EVENT_CONTROL, .room = room},
		  "control: %s sent to room %s", control_peer(c), room);
	control_reply(c, NULL, false);
}

void control_send(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	struct rooms *rooms = h->ctx.shared->rooms;
	const char *name = json_string_value(json_object_get(parameters, "room"));
	const json_t *text = json_object_get(parameters, "text"), *as = json_object_get(parameters, "as");
	const char *nick = as && !json_is_null(as) ? json_string_value(as) : "admin";
	size_t len = json_string_length(text);
	char normal[TEXT_NICK_MAX + 1];
	struct room *room;

	(void)more;
	if (!name || !json_is_string(text) || !nick) {
		control_invalid(c, !name ? "room" : !nick ? "as" : "text");
		return;
	}
	int nick_len = send_check_nick(c, nick, normal);
	if (nick_len < 0)
		return;
	if (len > h->ctx.config->max_message) {
		control_refuse(c, "the message is longer than max_message (%u bytes)",
			       h->ctx.config->max_message);
		return;
	}
	if (memchr(json_string_value(text), '\n', len)) {
		control_refuse(c, "a message is one line");
		return;
	}
	if (rooms_enter_existing(rooms, name, h->ctx.slot, &room) < 0) {
		control_refuse(c, "there is no room %s", name);
		return;
	}
	/* An empty line says nothing in a named room; in a raw one it is a line like any other. */
	if (len == 0 && !room->raw)
		control_refuse(c, "the message is empty");
	else if (!send_wait(h, room))
		control_refuse(c, "room %s is too busy", name);
	else if (send_line(h, room, normal, (size_t)nick_len, json_string_value(text), len) < 0)
		control_refuse(c, "out of memory");
	else
		send_done(c, name);
	rooms_leave(rooms, room, h->ctx.slot);
}
