/* SPDX-License-Identifier: MIT */
/* How somebody comes to chat, comes back in a new process, and goes, whatever the connection is. */
#include "daemon/modes/chat.h"

#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/config/handler.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct chat_words *chat_words(const struct connection *c)
{
	const struct chat_words *words = connection_handler(c)->words;

	return words && words->form == connection_form(c) ? words : NULL;
}

/* Begins the transaction in which it is welcome. */
static struct client_state *chat_greet(struct connection *c, const struct chat_opening *o)
{
	struct client_state *next = connection_begin(c);

	next->flags |= CLIENT_GREETED;
	if (o->begin)
		o->begin(c, o->arg);
	return next;
}

static void chat_open_nameless(struct connection *c, const struct chat_opening *o)
{
	chat_greet(c, o);
	const struct chat_words *words = chat_words(c);
	if (words)
		words->welcome(c);
	else
		connection_printf(c, "* Welcome. Please log in: /login NAME PASSWORD\n");
	connection_commit(c, NULL);
}

/* The name that was asked for, if it can be had, or a guest's. Returns its length. */
static size_t chat_first_nick(struct connection *c, const struct chat_opening *o,
			      char ret[static TEXT_NICK_MAX + 1])
{
	int n = o->nick_len > 0 ? nick_normalise(o->nick, o->nick_len, ret) : -EINVAL;

	if (n > 0 && chat_claim(c, ret, (size_t)n, 0, connection_roster(c)) == 0)
		return (size_t)n;
	return roster_guest(chat_shared(c)->roster, connection_id(c), ret);
}

static void chat_open_nowhere(struct connection *c, const struct chat_opening *o, int error)
{
	const struct log_fields fields = chat_fields(c, NULL, o->room);

	log_event(LOG_WARNING, &fields, "client %" PRIu64 " can't enter room %s: %s", connection_id(c),
		  o->room, strerror(-error));
	struct client_state *next = chat_greet(c, o);
	next->flags |= CLIENT_CLOSING;
	connection_printf(c, "* Sorry, room %s %s.\n", o->room, chat_why_not_entered(error));
	connection_commit(c, NULL);
}

static int chat_find_first(struct connection *c, const struct chat_opening *o, const char *nick, size_t len,
			   struct room **ret)
{
	const struct chat_door door = {
	    .name = o->room,
	    .opener = o->opener,
	    .who = {.id = connection_id(c), .index = connection_index(c), .nick = nick, .nick_len = len},
	};

	return text_room_valid(o->room, strlen(o->room)) ? chat_find_room(c, &door, ret) : -ENOENT;
}

/* Those in the room don't want it, but there are others. */
static void chat_open_outside(struct connection *c, const struct chat_opening *o, const char *nick,
			      size_t len, int error)
{
	struct client_state *next = chat_greet(c, o);
	const struct chat_words *words = chat_words(c);

	client_set_nick(next, nick, len);
	if (words)
		words->welcome(c);
	else
		connection_printf(c, "* Welcome, %s. /help lists the commands.\n", nick);
	connection_printf(c, "* Room %s %s. You are in no room; /join one.\n", o->room,
			  chat_why_not_entered(error));
	FAULT("irc-kept-outside");
	connection_commit(c, NULL);
}

void chat_open(struct connection *c, const struct chat_opening *o)
{
	struct room *room = NULL;
	char nick[TEXT_NICK_MAX + 1];
	int r = 0;

	if (!(connection_state(c)->rights & CLIENT_OPEN)) {
		chat_open_nameless(c, o);
		return;
	}
	size_t n = chat_first_nick(c, o, nick);
	if (!*connection_roster(c))
		r = chat_claim(c, nick, n, 0, connection_roster(c));
	if (r == 0)
		r = chat_find_first(c, o, nick, n, &room);
	if (chat_is_kept_out(r)) {
		chat_open_outside(c, o, nick, n, r);
		return;
	}
	if (r < 0) {
		chat_open_nowhere(c, o, r);
		return;
	}
	struct client_state *next = chat_greet(c, o);
	client_set_nick(next, nick, n);
	const struct chat_words *words = chat_words(c);
	if (words)
		words->welcome(c);
	else
		connection_printf(c, "* Welcome, %s. You are in %s; /help lists the commands.\n", nick,
				  room->name);
	FAULT("greet");
	chat_enter(c, next, room);
}

void chat_restore(struct connection *c)
{
	struct shared *shared = chat_shared(c);
	const struct client_state *st = connection_state(c);
	uint32_t room = membership_room(shared->clients, st);

	if (!(st->flags & CLIENT_GREETED) || st->nick_len == 0 ||
	    (st->flags & CLIENT_CLOSING && room == ROOM_NONE))
		return;
	/* If it isn't its nick any more, chat_reload() sees to that. */
	if (nick_valid(st->nick, st->nick_len) &&
	    chat_claim(c, st->nick, st->nick_len, st->flags & CLIENT_ACCOUNT ? ROSTER_ENTITLED : 0,
		       connection_roster(c)) == 0)
		(void)!roster_enter(shared->roster, *connection_roster(c), room);
	if (room != ROOM_NONE)
		connection_set_room(c, rooms_enter_index(shared->rooms, room, chat_slot(c)));
}

void chat_reload(struct connection *c)
{
	chat_leave_where_removed(c);
	if (!chat_lost_account(c))
		chat_check_nick(c);
}

void chat_close(struct connection *c)
{
	if (connection_room(c))
		chat_leave(c, CHAT_IS_GONE);
	else if (connection_state(c)->nick_len > 0)
		chat_give_up_nick(c);
	roster_release(chat_shared(c)->roster, *connection_roster(c));
	*connection_roster(c) = NULL;
}
