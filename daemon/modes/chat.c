/* SPDX-License-Identifier: MIT */
/*
 * TCP mode "chat": lines for people with nc and telnet. A line is a message to the sender's room; "/" begins
 * a command; what the server says begins with "* ". docs/PROTOCOL.md is the users' side of this.
 */
#include "common/accounts.h"
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/config/config.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/logins.h"
#include "daemon/engine/worker.h"
#include "daemon/io/foreign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What the longest reply but the history needs in the outbox: a private message of max_message's limit,
 * sanitised. */
#define REPLY_MAX (8192 + 3 * 16384)
#define LIST_MAX 4096

static const char help[] = "* /nick NAME            change your name\n"
			   "* /join ROOM            go to a room (it is made if need be)\n"
			   "* /rooms                list the rooms\n"
			   "* /who                  list who is in this room\n"
			   "* /me TEXT              say what you do\n"
			   "* /msg NICK TEXT        say something to one person only\n"
			   "* /login NAME PASSWORD  prove that you are NAME\n"
			   "* /quit                 leave (as does: quit)\n"
			   "* //TEXT                say something that begins with /\n";

static struct shared *shared_of(struct connection *c)
{
	return connection_context(c)->shared;
}

static struct counters *counters_of(struct connection *c)
{
	return connection_context(c)->counters;
}

/* --- coming and going --- */

/* The last messages of a room, as many of the wanted as fit; announcements are left out. The log is locked.
 */
static void write_history(struct connection *c, struct room *room)
{
	unsigned wanted = room->history, n = 0;
	size_t space = connection_space(c), bytes = 0;
	_cleanup_free_ uint64_t *found = wanted > 0 ? malloc(wanted * sizeof(*found)) : NULL;
	struct logring_view v;

	logring_peek(room->log, &v);
	uint64_t seq = v.count;
	while (found && n < wanted && logring_back(room->log, &v, &seq)) {
		const struct record *r = logring_record(room->log, seq);
		uint64_t start = logring_start(room->log, &v, seq);
		size_t len = r->end - start;
		if (!room_shows(room, r, logring_at(&v, start)))
			continue;
		if (bytes + len + REPLY_MAX > space)
			break;
		bytes += len;
		found[n++] = seq;
	}
	while (n-- > 0) {
		uint64_t start = logring_start(room->log, &v, found[n]);
		connection_write(c, logring_at(&v, start), logring_record(room->log, found[n])->end - start);
	}
}

/*
 * Becomes a member of room (entered already) in a transaction that has begun: history, the announcement to
 * the others, and the place in the log behind it. Commits.
 */
static void enter(struct connection *c, struct client_state *next, struct room *room)
{
	logring_lock(room->log);
	write_history(c, room);
	if (room_announces(room))
		room_put_notice(room, connection_id(c), "%.*s joined %s", next->nick_len, next->nick,
				room->name);
	next->room = room->index;
	next->cursor = logring_pending_head(room->log);
	next->cursor_seq = logring_pending(room->log);
	FAULT("join");
	connection_commit(c, room);
	connection_set_room(c, room);
	roster_move(shared_of(c)->roster, *connection_roster(c), room->index);
	const struct client_state *st = connection_state(c);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_JOINED,
				       .client = connection_id(c),
				       .room = room->name,
				       .listener = connection_listener(c),
				       .address = connection_address(c)},
		  "%.*s joined %s", st->nick_len, st->nick, room->name);
}

/* In an entry that is about to go: or a successor would have two clients of a nick that is free already. */
static void give_up_nick(struct client_state *next)
{
	next->flags |= CLIENT_CLOSING;
	next->nick_len = 0;
	memset(next->nick, 0, sizeof(next->nick));
}

/* Leaves the room, with what it said before in the outbox. False if that doesn't fit yet and must not be
 * lost; for good: in any case, and without the nick. */
static bool leave(struct connection *c, bool for_good)
{
	struct room *room = connection_room(c);

	if (!room)
		return true;
	struct client_state *next = connection_begin(c);
	logring_lock(room->log);
	if (!connection_settle(c, REPLY_MAX) && !for_good) {
		logring_unlock(room->log);
		connection_abandon(c);
		return false;
	}
	if (room_announces(room) && !connection_is_ending(c))
		room_put_notice(room, connection_id(c), "%.*s left %s", next->nick_len, next->nick,
				room->name);
	next->room = ROOM_NONE;
	if (for_good)
		give_up_nick(next);
	char name[TEXT_ROOM_MAX + 1];
	memcpy(name, room->name, sizeof(name)); /* which may close when nobody is there any more */
	const struct client_state *st = connection_state(c);
	FAULT("leave");
	connection_commit(c, room);
	connection_set_room(c, NULL);
	roster_move(shared_of(c)->roster, *connection_roster(c), ROOM_NONE);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_LEFT,
				       .client = connection_id(c),
				       .room = name,
				       .listener = connection_listener(c),
				       .address = connection_address(c)},
		  "%.*s left %s", st->nick_len, st->nick, name);
	return true;
}

/* Enters a room as who the client has proved to be; opener: whose number of rooms it counts for, or NULL. */
static int enter_room(struct connection *c, const char *name, const union address *opener, struct room **ret)
{
	struct context *ctx = connection_context(c);
	const struct client_state *st = connection_state(c);
	bool account = st->flags & CLIENT_ACCOUNT;
	const struct room_guest guest = {
	    .is_member = account && config_is_member(ctx->config, name, st->nick, st->nick_len),
	    .address = opener,
	};
	int r = rooms_enter(shared_of(c)->rooms, name, ctx->slot, &guest, ret);

	if (r == -EACCES)
		count(counters_of(c), COUNT_ROOM_REFUSED, 1);
	if (r == -ENOSPC || r == -EDQUOT) {
		count(counters_of(c), COUNT_ROOMS_FULL, 1);
		char from[ADDRESS_TEXT_MAX];
		log_limited(LOG_TOPIC_ROOMS, LOG_NOTICE,
			    &(struct log_fields){.message_id = EVENT_CLIENT_REFUSED,
						 .client = connection_id(c),
						 .room = name,
						 .listener = connection_listener(c),
						 .address = connection_address(c)},
			    "client %" PRIu64 " from %s could not open room %s: %s", connection_id(c),
			    address_peer(connection_address(c), from), name,
			    r == -EDQUOT ? "its address has opened too many" : "there are too many");
	}
	return r;
}

static const char *why_not_entered(int error)
{
	return error == -EACCES	  ? "is for its members only"
	       : error == -EDQUOT ? "can't be opened: you have opened too many"
	       : error == -ENOSPC ? "can't be opened: there are too many rooms"
				  : "can't be entered now";
}

static void chat_opened(struct connection *c, const char *room_name)
{
	struct shared *shared = shared_of(c);
	struct room *room = NULL;
	char nick[TEXT_NICK_MAX + 1];

	if (!(connection_state(c)->rights & CLIENT_OPEN)) {
		connection_begin(c)->flags |= CLIENT_GREETED;
		connection_printf(c, "* Welcome. Please log in: /login NAME PASSWORD\n");
		connection_commit(c, NULL);
		return;
	}
	int n = snprintf(nick, sizeof(nick), "guest%" PRIu64, connection_id(c));
	int r = roster_claim(shared->roster, nick, (size_t)n, connection_id(c), connection_index(c),
			     ROOM_NONE, false, connection_roster(c));
	if (r == 0)
		r = text_room_valid(room_name, strlen(room_name)) ? enter_room(c, room_name, NULL, &room)
								  : -ENOENT;
	struct client_state *next = connection_begin(c);
	if (!room) {
		log_event(LOG_WARNING,
			  &(struct log_fields){.client = connection_id(c),
					       .room = room_name,
					       .listener = connection_listener(c),
					       .address = connection_address(c)},
			  "client %" PRIu64 " can't enter room %s: %s", connection_id(c), room_name,
			  strerror(-r));
		next->flags |= CLIENT_GREETED | CLIENT_CLOSING;
		connection_printf(c, "* Sorry, room %s %s.\n", room_name, why_not_entered(r));
		connection_commit(c, NULL);
		return;
	}
	next->flags |= CLIENT_GREETED;
	next->nick_len = (uint8_t)n;
	memcpy(next->nick, nick, (size_t)n);
	connection_printf(c, "* Welcome, %s. You are in %s; /help lists the commands.\n", nick, room->name);
	FAULT("greet");
	enter(c, next, room);
}

static void chat_restored(struct connection *c)
{
	struct shared *shared = shared_of(c);
	const struct client_state *st = connection_state(c);

	if (!(st->flags & CLIENT_GREETED) || st->nick_len == 0 ||
	    (st->flags & CLIENT_CLOSING && st->room == ROOM_NONE))
		return;
	/* If it isn't its nick any more, chat_reloaded() sees to that. */
	if (nick_valid(st->nick, st->nick_len))
		(void)!roster_claim(shared->roster, st->nick, st->nick_len, connection_id(c),
				    connection_index(c), st->room, st->flags & CLIENT_ACCOUNT,
				    connection_roster(c));
	if (st->room != ROOM_NONE)
		connection_set_room(c,
				    rooms_enter_index(shared->rooms, st->room, connection_context(c)->slot));
}

/* --- commands --- */

struct command {
	const char *name;
	/* args: without the space before them. consumed: the line's length, which is consumed with
	 * HANDLER_MORE only. */
	enum verdict (*run)(struct connection *c, const char *args, size_t len, size_t consumed);
	/* What it takes from commands_per_second: the work that it makes, roughly. 0: it counts as a line. */
	unsigned cost;
	bool nameless; /* possible before a login */
	bool asks;     /* does nothing but answer */
};

/* Begins a reply that comes after what the client said before. */
static void begin_reply(struct connection *c, size_t consumed)
{
	struct room *room = connection_room(c);

	connection_begin(c);
	if (room) {
		logring_lock(room->log);
		/* If it is far behind it gets the reply before the room's news. */
		connection_settle(c, REPLY_MAX);
		logring_unlock(room->log);
	}
	connection_consume(c, consumed);
}

__attribute__((format(printf, 3, 4))) static void reply(struct connection *c, size_t consumed,
							const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	begin_reply(c, consumed);
	connection_write(c, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	connection_commit(c, NULL);
}

static enum verdict command_help(struct connection *c, const char *args, size_t len, size_t consumed)
{
	(void)args;
	(void)len;
	begin_reply(c, consumed);
	connection_write(c, help, sizeof(help) - 1);
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

/* Takes the name of that entry of the roster, in a transaction that has begun. The room hears of it; where it
 * doesn't, the client does, if it is to. */
static void rename_to(struct connection *c, struct roster_entry *entry, const char *nick, size_t len,
		      bool tell)
{
	const struct client_state *st = connection_state(c);
	struct room *room = connection_room(c);
	struct client_state *next = connection_draft(c);
	const char *old = st->nick;
	int old_len = st->nick_len;
	bool told = room && room_announces(room);
	if (told) {
		logring_lock(room->log);
		room_put_notice(room, connection_id(c), "%.*s is now %.*s", old_len, old, (int)len, nick);
	} else if (tell) {
		connection_printf(c, "* You are now %.*s.\n", (int)len, nick);
	}
	next->nick_len = (uint8_t)len;
	memset(next->nick, 0, sizeof(next->nick));
	memcpy(next->nick, nick, len);
	char who[32 + TEXT_NICK_MAX];
	if (old_len > 0)
		snprintf(who, sizeof(who), "%.*s", old_len, old);
	else /* a login, before which there was no name */
		snprintf(who, sizeof(who), "client %" PRIu64, connection_id(c));
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_RENAMED,
				       .client = connection_id(c),
				       .room = room ? room->name : NULL,
				       .listener = connection_listener(c),
				       .address = connection_address(c)},
		  "%s is now %.*s", who, (int)len, nick);
	FAULT("nick");
	connection_commit(c, told ? room : NULL);
	roster_release(shared_of(c)->roster, *connection_roster(c));
	*connection_roster(c) = entry;
}

/* Who logged in as an account that is there no more may not go on as it: somebody else may be it next. */
static bool send_away(struct connection *c)
{
	const struct client_state *st = connection_state(c);
	const struct config *config = connection_context(c)->config;
	char from[ADDRESS_TEXT_MAX];

	if (!(st->flags & CLIENT_ACCOUNT) || st->flags & CLIENT_CLOSING ||
	    config_has_account(config, st->nick, st->nick_len))
		return false;
	log_event(LOG_INFO,
		  &(struct log_fields){.message_id = EVENT_CLIENT_KICKED,
				       .client = connection_id(c),
				       .listener = connection_listener(c),
				       .address = connection_address(c)},
		  "client %" PRIu64 " from %s is sent away: the account %.*s is no more", connection_id(c),
		  address_peer(connection_address(c), from), st->nick_len, st->nick);
	connection_kick(c, "* Your account is no more; goodbye.\n");
	return true;
}

/* The nick of who isn't logged in may be an account's or a relay's now, or none; then it is a guest again. */
static void chat_reloaded(struct connection *c)
{
	struct shared *shared = shared_of(c);
	const struct client_state *st = connection_state(c);
	struct roster_entry *entry, *mine = *connection_roster(c);
	const struct room *room = connection_room(c);
	char guest[TEXT_NICK_MAX + 1];

	if (send_away(c))
		return;
	if (st->nick_len == 0 || (st->flags & CLIENT_CLOSING && !room) ||
	    (mine && (st->flags & CLIENT_ACCOUNT || !roster_is_reserved(shared->roster, mine))))
		return;
	int n = snprintf(guest, sizeof(guest), "guest%" PRIu64, connection_id(c));
	if (roster_claim(shared->roster, guest, (size_t)n, connection_id(c), connection_index(c),
			 room ? room->index : ROOM_NONE, true, &entry) < 0) {
		log_event(LOG_WARNING,
			  &(struct log_fields){.client = connection_id(c), .address = connection_address(c)},
			  "client %" PRIu64 ": its nick is lost", connection_id(c));
		return;
	}
	begin_reply(c, 0);
	/* Who doesn't read finds out when it does, by what the room is told. */
	if (connection_space(c) >= REPLY_MAX)
		connection_printf(c, "* %.*s %s; you are %s.\n", st->nick_len, st->nick,
				  roster_check(shared->roster, st->nick, st->nick_len) == -EPERM
				      ? "is reserved now"
				      : "can't be your name any more",
				  guest);
	connection_draft(c)->flags &= (uint16_t)~CLIENT_ACCOUNT;
	rename_to(c, entry, guest, (size_t)n, false);
}

static enum verdict command_nick(struct connection *c, const char *args, size_t len, size_t consumed)
{
	struct shared *shared = shared_of(c);
	const struct client_state *st = connection_state(c);
	const struct room *room = connection_room(c);
	struct roster_entry *entry;
	char nick[TEXT_NICK_MAX + 1];
	int n = nick_normalise(args, len, nick);

	if (n < 0) {
		reply(c, consumed,
		      "* A name has 1 to %d bytes: letters, digits and ASCII's other characters but : and *; "
		      "it doesn't begin with / # or [.\n",
		      TEXT_NICK_MAX);
		return HANDLER_MORE;
	}
	args = nick;
	len = (size_t)n;
	if (st->nick_len == len && memcmp(st->nick, args, len) == 0) {
		reply(c, consumed, "* That is your name already.\n");
		return HANDLER_MORE;
	}
	if (st->flags & CLIENT_ACCOUNT) {
		reply(c, consumed, "* You are logged in as %.*s, so that is your name.\n", st->nick_len,
		      st->nick);
		return HANDLER_MORE;
	}
	if (!connection_may_rename(c)) {
		reply(c, consumed,
		      "* Not so fast: you have changed your name too often. Try again in a minute.\n");
		return HANDLER_MORE;
	}
	int r = roster_claim(shared->roster, args, len, connection_id(c), connection_index(c),
			     room ? room->index : ROOM_NONE, false, &entry);
	if (r < 0) {
		reply(c, consumed, "* %.*s is %s.\n", (int)len, args,
		      r == -EEXIST  ? "taken"
		      : r == -EPERM ? "reserved"
				    : "not possible now");
		return HANDLER_MORE;
	}
	begin_reply(c, consumed);
	rename_to(c, entry, args, len, true);
	return HANDLER_MORE;
}

/* Whether something may be said in this room; if not, that is the reply. */
static bool may_speak(struct connection *c, const struct room *room, size_t consumed)
{
	if (!room->read_only)
		return true;
	count(counters_of(c), COUNT_ROOM_REFUSED, 1);
	reply(c, consumed, "* Room %s is read-only.\n", room->name);
	return false;
}

static enum verdict command_join(struct connection *c, const char *args, size_t len, size_t consumed)
{
	struct shared *shared = shared_of(c);
	struct room *room, *old = connection_room(c);

	if (!text_room_valid(args, len)) {
		reply(c, consumed, "* A room's name has 1 to %d of the characters A-Z a-z 0-9 _ . and -.\n",
		      TEXT_ROOM_MAX);
		return HANDLER_MORE;
	}
	char name[TEXT_ROOM_MAX + 1];
	memcpy(name, args, len);
	name[len] = '\0';
	if (old && strcmp(old->name, name) == 0) {
		reply(c, consumed, "* You are in %s already.\n", name);
		return HANDLER_MORE;
	}
	if (!connection_may_move(c)) {
		reply(c, consumed,
		      "* Not so fast: you have changed rooms too often. Try again in a minute.\n");
		return HANDLER_MORE;
	}
	unsigned slot = connection_context(c)->slot;
	int r = enter_room(c, name, connection_address(c), &room);
	if (r < 0) {
		reply(c, consumed, "* Room %s %s.\n", name, why_not_entered(r));
		return HANDLER_MORE;
	}
	/* Two steps: a crash between them finds a client without a room whose /join is still to be done. */
	if (!leave(c, false)) {
		rooms_leave(shared->rooms, room, slot);
		return HANDLER_BLOCKED;
	}
	struct client_state *next = connection_begin(c);
	connection_consume(c, consumed);
	connection_printf(c, "* You are in %s.\n", room->name);
	enter(c, next, room);
	return HANDLER_MORE;
}

struct room_line {
	char name[TEXT_ROOM_MAX + 1];
	uint32_t members;
};

struct room_list {
	struct room_line at[100];
	size_t n, all;
};

static bool collect_room(struct room *r, void *arg)
{
	struct room_list *l = arg;

	if (l->n < sizeof(l->at) / sizeof(*l->at)) {
		memcpy(l->at[l->n].name, r->name, sizeof(r->name));
		l->at[l->n++].members = room_members(r);
	}
	l->all++;
	return true;
}

static enum verdict command_rooms(struct connection *c, const char *args, size_t len, size_t consumed)
{
	struct room_list l = {.n = 0};
	size_t bytes = 0;

	(void)args;
	(void)len;
	rooms_each(shared_of(c)->rooms, collect_room, &l);
	begin_reply(c, consumed);
	size_t i = 0;
	for (; i < l.n && bytes < LIST_MAX; i++) {
		connection_printf(c, "* %s (%" PRIu32 ")\n", l.at[i].name, l.at[i].members);
		bytes += strlen(l.at[i].name) + 16;
	}
	if (i < l.all)
		connection_printf(c, "* ... and %zu more\n", l.all - i);
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

static enum verdict command_who(struct connection *c, const char *args, size_t len, size_t consumed)
{
	struct room *room = connection_room(c);
	char list[LIST_MAX];
	size_t shown = 0, n = 0;

	(void)args;
	(void)len;
	if (room)
		n = roster_list(shared_of(c)->roster, room->index, list, sizeof(list), &shown);
	begin_reply(c, consumed);
	connection_printf(c, "* %zu in %s: ", n, room ? room->name : "no room");
	if (room)
		connection_write(c, list, strlen(list));
	if (shown < n)
		connection_printf(c, " and %zu more", n - shown);
	connection_write(c, "\n", 1);
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

static enum verdict command_me(struct connection *c, const char *args, size_t len, size_t consumed)
{
	const struct client_state *st = connection_state(c);
	struct room *room = connection_room(c);
	_cleanup_free_ char *buf = NULL;
	char head[TEXT_NICK_MAX + 4];

	if (len == 0 || !room) {
		reply(c, consumed, "* Usage: /me TEXT\n");
		return HANDLER_MORE;
	}
	if (!may_speak(c, room, consumed))
		return HANDLER_MORE;
	const char *text = text_clean(args, &len, &buf);
	int n = snprintf(head, sizeof(head), "%.*s * ", st->nick_len, st->nick);
	struct record record = {.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				.sender = connection_id(c),
				.kind = RECORD_ACTION,
				.text = (uint16_t)n};
	connection_begin(c);
	connection_consume(c, consumed);
	logring_lock(room->log);
	if (text)
		logring_put(room->log, &record, head, (size_t)n, text, len);
	connection_commit(c, room);
	return HANDLER_MORE;
}

static enum verdict command_msg(struct connection *c, const char *args, size_t len, size_t consumed)
{
	struct shared *shared = shared_of(c);
	const struct client_state *st = connection_state(c);
	struct room *private = rooms_private(shared->rooms);
	_cleanup_free_ char *buf = NULL;
	const char *space = memchr(args, ' ', len);
	size_t nick_len = space ? (size_t)(space - args) : len;
	char head[TEXT_NICK_MAX + 32];
	struct record record = {.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				.sender = connection_id(c),
				.sender_index = connection_index(c) + 1,
				.kind = RECORD_MESSAGE};

	size_t text_len = space ? len - nick_len - 1 : 0;
	if (text_len == 0) {
		reply(c, consumed, "* Usage: /msg NICK TEXT\n");
		return HANDLER_MORE;
	}
	if (!nick_valid(args, nick_len) ||
	    !roster_find(shared->roster, args, nick_len, &record.target, &record.target_index)) {
		reply(c, consumed, "* There is nobody of that name here.\n");
		return HANDLER_MORE;
	}
	/* Or messages that are on their way would be overrun. */
	if (room_crowded(shared->rooms, private))
		return HANDLER_CROWDED;
	const char *text = text_clean(space + 1, &text_len, &buf);
	if (!text) {
		reply(c, consumed, "* Not possible now.\n");
		return HANDLER_MORE;
	}
	int n = snprintf(head, sizeof(head), "* [%.*s -> you] ", st->nick_len, st->nick);
	record.text = (uint16_t)n;
	begin_reply(c, consumed);
	connection_printf(c, "* [you -> %.*s] ", (int)nick_len, args);
	connection_write(c, text, text_len);
	connection_write(c, "\n", 1);
	logring_lock(private->log);
	logring_put(private->log, &record, head, (size_t)n, text, text_len);
	FAULT("msg");
	connection_commit(c, private);
	count(counters_of(c), COUNT_PRIVATE_MESSAGES, 1);
	return HANDLER_MORE;
}

static enum verdict command_quit(struct connection *c, const char *args, size_t len, size_t consumed)
{
	(void)args;
	(void)len;
	if (!leave(c, false))
		return HANDLER_BLOCKED;
	struct client_state *next = connection_begin(c);
	next->flags |= CLIENT_CLOSING;
	connection_consume(c, consumed);
	FAULT("quit");
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

/* The account is proved: its name, and the listener's room for who had to wait for that. */
static enum verdict logged_in(struct connection *c, const struct account *a, size_t consumed)
{
	struct shared *shared = shared_of(c);
	struct room *room = connection_room(c);
	size_t len = strlen(a->nick);
	struct roster_entry *entry;
	const char *listener = connection_listener(c), *name;
	char from[ADDRESS_TEXT_MAX];

	int r = roster_claim(shared->roster, a->nick, len, connection_id(c), connection_index(c),
			     room ? room->index : ROOM_NONE, true, &entry);
	if (r < 0) {
		reply(c, consumed, r == -EEXIST ? "* %s is here already.\n" : "* %s can't log in now.\n",
		      a->nick);
		return HANDLER_MORE;
	}
	count(counters_of(c), COUNT_LOGINS, 1);
	log_event(LOG_INFO,
		  &(struct log_fields){.message_id = EVENT_LOGIN,
				       .client = connection_id(c),
				       .listener = listener,
				       .address = connection_address(c)},
		  "client %" PRIu64 " from %s logged in as %s", connection_id(c),
		  address_peer(connection_address(c), from), a->nick);
	bool nameless = connection_state(c)->nick_len == 0;
	begin_reply(c, consumed);
	connection_draft(c)->flags |= CLIENT_ACCOUNT;
	rename_to(c, entry, a->nick, len, true);
	if (!nameless)
		return HANDLER_MORE;
	name = connection_first_room(c);
	r = enter_room(c, name, NULL, &room);
	if (r < 0) {
		reply(c, 0, "* Room %s %s; /join another one.\n", name, why_not_entered(r));
	} else {
		struct client_state *next = connection_begin(c);
		connection_printf(c, "* You are in %s; /help lists the commands.\n", room->name);
		enter(c, next, room);
	}
	return HANDLER_MORE;
}

#define FAILURES_MAX 3

/* why is for the log, where the name stands behind the address: docs/fail2ban counts on it. */
static enum verdict login_failed(struct connection *c, const char *why, const char *nick, size_t len,
				 const char *text, size_t consumed)
{
	char from[ADDRESS_TEXT_MAX];

	count(counters_of(c), COUNT_LOGINS_FAILED, 1);
	log_limited(LOG_TOPIC_LOGIN, LOG_WARNING,
		    &(struct log_fields){.message_id = EVENT_LOGIN,
					 .client = connection_id(c),
					 .listener = connection_listener(c),
					 .address = connection_address(c)},
		    "client %" PRIu64 " from %s: %s (%.*s)", connection_id(c),
		    address_peer(connection_address(c), from), why, (int)len, nick);
	begin_reply(c, consumed);
	connection_write(c, text, strlen(text));
	if (connection_login_failed(c) >= FAILURES_MAX)
		connection_draft(c)->flags |= CLIENT_CLOSING;
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

static enum verdict command_login(struct connection *c, const char *args, size_t len, size_t consumed)
{
	const struct listener_config *l =
	    config_listener(connection_context(c)->config, connection_listener(c));
	const char *space = memchr(args, ' ', len);
	size_t nick_len = space ? (size_t)(space - args) : len;
	size_t password_len = space ? len - nick_len - 1 : 0;

	if (connection_state(c)->flags & CLIENT_ACCOUNT) {
		reply(c, consumed, "* You are logged in already.\n");
		return HANDLER_MORE;
	}
	if (!l || !l->password_file) {
		reply(c, consumed, "* There are no accounts here.\n");
		return HANDLER_MORE;
	}
	if (password_len == 0 || password_len > ACCOUNTS_PASSWORD_MAX || !nick_valid(args, nick_len)) {
		reply(c, consumed, "* Usage: /login NAME PASSWORD\n");
		return HANDLER_MORE;
	}
	const struct account *a = accounts_find(&l->accounts, args, nick_len);
	const struct login_question q = {a ? a->hash : NULL, args, space + 1, nick_len, password_len};
	switch (connection_login(c, &q)) {
	case LOGIN_GOOD:
		if (a)
			return logged_in(c, a, consumed);
		break;
	case LOGIN_BAD:
		return login_failed(c, "wrong name or password", args, nick_len,
				    "* Wrong name or password.\n", consumed);
	default:
		break;
	}
	if (connection_ask_login(c, &q))
		return HANDLER_WAITING;
	return login_failed(c, "too many logins at once", args, nick_len,
			    "* Too many are logging in at the moment; try again in a while.\n", consumed);
}

static const struct command commands[] = {
    {"nick", command_nick, 1, false, false},  {"join", command_join, 2, false, false},
    {"rooms", command_rooms, 4, false, true}, {"who", command_who, 4, false, true},
    {"me", command_me, 0, false, false},      {"msg", command_msg, 0, false, false},
    {"help", command_help, 1, true, true},    {"quit", command_quit, 0, true, false},
    {"login", command_login, 1, true, false},
};

static bool is_quit(const char *line, size_t len)
{
	return len == 4 && memcmp(line, "quit", 4) == 0;
}

static bool is_command(const char *line, size_t len)
{
	return (len > 0 && line[0] == '/' && !(len > 1 && line[1] == '/')) || is_quit(line, len);
}

/* The length of the command's word, with its slash. */
static size_t command_len(const char *line, size_t len)
{
	size_t n = 1;

	while (n < len && line[n] != ' ')
		n++;
	return n;
}

/* NULL: there is none of that name. */
static const struct command *find_command(const char *line, size_t len)
{
	const char *name = is_quit(line, len) ? line : line + 1;
	size_t n = is_quit(line, len) ? len : command_len(line, len) - 1;

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strlen(commands[i].name) == n && strncasecmp(commands[i].name, name, n) == 0)
			return &commands[i];
	return NULL;
}

static void ask_for_login(struct connection *c, size_t consumed)
{
	reply(c, consumed, "* Please log in first: /login NAME PASSWORD\n");
}

/* The connection is lost: what it said counts, but nobody waits for an answer, nor for the next one. */
static bool is_moot(struct connection *c, const struct command *command)
{
	return connection_is_unheard(c) && (!command || command->asks);
}

static unsigned cost_of(struct connection *c, const struct command *command)
{
	if (connection_is_unheard(c))
		return 0;
	return command ? command->cost : 1;
}

static enum verdict run_command(struct connection *c, const struct command *command, const char *line,
				size_t len, size_t consumed)
{
	const char *args = line + command_len(line, len);

	while (args < line + len && *args == ' ')
		args++;
	count(counters_of(c), COUNT_COMMANDS, 1);
	if (is_moot(c, command)) {
		connection_begin(c);
		connection_consume(c, consumed);
		connection_commit(c, NULL);
	} else if (!command) {
		reply(c, consumed, "* There is no such command; /help lists them.\n");
	} else if (connection_state(c)->nick_len == 0 && !command->nameless) {
		ask_for_login(c, consumed);
	} else {
		return command->run(c, args, (size_t)(line + len - args), consumed);
	}
	return HANDLER_MORE;
}

/* --- lines --- */

/* A run of plain lines, put into the log under one lock and committed as one step. */
struct run {
	struct room *room; /* locked; NULL: there is no run */
	size_t consumed;
	bool raw;
	const char *nick;
	size_t nick_len;
	struct record record;
};

/* False if the room has to be delivered first. */
static bool run_begin(struct run *run, struct connection *c)
{
	struct room *room = connection_room(c);
	const struct client_state *st = connection_state(c);

	/* Under the lock, so that many workers can't overrun a reader by one run each. */
	logring_lock(room->log);
	if (room_crowded(shared_of(c)->rooms, room)) {
		logring_unlock(room->log);
		return false;
	}
	connection_begin(c);
	run->room = room;
	run->consumed = 0;
	run->raw = room->raw;
	run->nick = st->nick;
	run->nick_len = st->nick_len;
	run->record = (struct record){.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				      .sender = connection_id(c),
				      .kind = RECORD_MESSAGE};
	return true;
}

static void run_end(struct run *run, struct connection *c)
{
	if (!run->room)
		return;
	connection_consume(c, run->consumed);
	connection_commit(c, run->room);
	run->room = NULL;
}

/* Adds a line to the run, whose lock is held. False if the run has to be committed first. */
static bool say(struct run *run, const char *text, size_t len, size_t consumed)
{
	_cleanup_free_ char *buf = NULL;

	if (run->raw || len > 0) { /* an empty line in a named room is a person pressing Enter */
		const char *cleaned = run->raw ? text : text_clean(text, &len, &buf);
		char head[TEXT_NICK_MAX + 2];
		size_t head_len = room_head(run->raw, run->nick, run->nick_len, text, len, head);
		run->record.text = (uint16_t)head_len;
		if (cleaned && !logring_put(run->room->log, &run->record, head, head_len, cleaned, len))
			return false;
	}
	run->consumed += consumed;
	return true;
}

static void refuse_long(struct connection *c, size_t consumed, bool discard, unsigned max)
{
	count(counters_of(c), COUNT_LINES_REFUSED, 1);
	begin_reply(c, consumed);
	connection_printf(c, "* That message was longer than %u bytes and has been refused.\n", max);
	if (discard)
		connection_draft(c)->flags |= CLIENT_DISCARD;
	FAULT("discard");
	connection_commit(c, NULL);
}

/* What one connection may do in a turn, in plain lines, before the others have theirs. */
#define TURN_WORK 1024

/* Who speaks HTTP or TLS is told so in its own words, where it has some, and goes; nothing of it is said. */
static enum verdict turn_away_foreign(struct connection *c, enum foreign what, size_t len)
{
	static const char http[] =
	    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 42\r\n\r\nThis is a chat server, not a web server.\r\n",
			  tls[] = "* TLS is not spoken here.\n";
	const char *name = what == FOREIGN_HTTP ? "HTTP" : "TLS";
	char from[ADDRESS_TEXT_MAX];

	if (!leave(c, false))
		return HANDLER_BLOCKED;
	count(counters_of(c), COUNT_FOREIGN, 1);
	log_limited(LOG_TOPIC_REFUSED, LOG_NOTICE,
		    &(struct log_fields){.message_id = EVENT_CLIENT_REFUSED,
					 .client = connection_id(c),
					 .listener = connection_listener(c),
					 .address = connection_address(c)},
		    "client %" PRIu64 " from %s is turned away: it speaks %s", connection_id(c),
		    address_peer(connection_address(c), from), name);
	connection_begin(c)->flags |= CLIENT_CLOSING;
	if (what == FOREIGN_HTTP)
		connection_write(c, http, sizeof(http) - 1);
	else
		connection_write(c, tls, sizeof(tls) - 1);
	connection_consume(c, len);
	FAULT("foreign");
	connection_commit(c, NULL);
	return HANDLER_CLOSE;
}

static enum verdict chat_received(struct connection *c, const char *data, size_t len, bool eof)
{
	const struct shared *shared = shared_of(c);
	unsigned max = connection_context(c)->config->max_message;
	struct run run = {.room = NULL};
	enum verdict verdict = HANDLER_MORE;
	unsigned work = 0;
	size_t at = 0;

	if (len > 0 && connection_state(c)->rights & CLIENT_NEW) {
		enum foreign what = foreign_find(data, len, eof, max + 1u);
		if (what != FOREIGN_NONE)
			return turn_away_foreign(c, what, len);
	}
	while (at < len || eof) {
		if (work >= TURN_WORK) {
			verdict = HANDLER_YIELD;
			break;
		}
		if (connection_state(c)->flags & CLIENT_CLOSING) {
			verdict = HANDLER_CLOSE;
			break;
		}
		const char *line = data + at, *newline = at < len ? memchr(line, '\n', len - at) : NULL;
		size_t n = newline ? (size_t)(newline - line) : len - at, consumed = n + (newline ? 1 : 0);

		if (connection_state(c)->flags & CLIENT_DISCARD) {
			if (consumed > 0) {
				struct client_state *next = connection_begin(c);
				if (newline)
					next->flags &= (uint16_t)~CLIENT_DISCARD;
				connection_consume(c, consumed);
				connection_commit(c, NULL);
				at += consumed;
			}
			if (newline)
				continue;
			if (!eof)
				break;
			n = consumed = 0;
		}
		if (!newline && !eof) {
			/* One byte more may be the '\r' of a line that is just not too long. */
			if (n <= max + 1u)
				break;
			run_end(&run, c);
			if (connection_space(c) < REPLY_MAX) {
				verdict = HANDLER_BLOCKED;
				break;
			}
			refuse_long(c, n, true, max);
			at += n;
			continue;
		}
		if (n > 0 && line[n - 1] == '\r')
			n--;
		if (consumed == 0) { /* the end of the input: an unfinished line before it was a line */
			run_end(&run, c);
			verdict = leave(c, false) ? HANDLER_CLOSE : HANDLER_BLOCKED;
			break;
		}

		struct room *room = connection_room(c);
		bool has_command = n <= max && is_command(line, n);
		const struct command *command = has_command ? find_command(line, n) : NULL;
		/* What has a reply. */
		bool special = n > max || has_command || !room || room->read_only;
		work += special && !(has_command && is_moot(c, command)) ? TURN_WORK / 16 : 1;
		if (special) {
			run_end(&run, c);
			if (connection_space(c) < REPLY_MAX) {
				verdict = HANDLER_BLOCKED;
				break;
			}
		}
		if (!connection_may_talk(c, has_command ? cost_of(c, command) : 0)) {
			verdict = HANDLER_LIMITED;
			break;
		}
		if (special && room && room_crowded(shared->rooms, room)) {
			verdict = HANDLER_CROWDED;
			break;
		}
		if (n > max) {
			refuse_long(c, consumed, false, max);
		} else if (has_command) {
			verdict = run_command(c, command, line, n, consumed);
			if (verdict != HANDLER_MORE)
				break;
		} else if (connection_state(c)->nick_len == 0) {
			ask_for_login(c, consumed);
		} else if (room && room->read_only) {
			may_speak(c, room, consumed);
		} else if (!room) {
			reply(c, consumed, "* You are in no room; /join one.\n");
		} else {
			bool slashes = n > 1 && line[0] == '/';
			if (!run.room && !run_begin(&run, c)) {
				verdict = HANDLER_CROWDED;
				break;
			}
			if (!say(&run, line + slashes, n - slashes, consumed)) {
				run_end(&run, c);
				continue;
			}
		}
		connection_line_done(c);
		at += consumed;
	}
	run_end(&run, c);
	if (verdict == HANDLER_MORE && connection_state(c)->flags & CLIENT_CLOSING)
		verdict = HANDLER_CLOSE;
	return verdict;
}

static void chat_ending(struct connection *c, const char *text)
{
	connection_begin(c);
	if (connection_space(c) >= strlen(text))
		connection_write(c, text, strlen(text));
	connection_commit(c, NULL);
}

static void chat_closed(struct connection *c)
{
	if (connection_room(c)) {
		leave(c, true);
	} else if (connection_state(c)->nick_len > 0) {
		give_up_nick(connection_begin(c));
		connection_commit(c, NULL);
	}
	roster_release(shared_of(c)->roster, *connection_roster(c));
	*connection_roster(c) = NULL;
}

const struct handler handler_tcp_chat = {
    .type = "tcp",
    .mode = "chat",
    .transport = TRANSPORT_TCP,
    .uses_room = true,
    .opened = chat_opened,
    .restored = chat_restored,
    .reloaded = chat_reloaded,
    .received = chat_received,
    .ending = chat_ending,
    .closed = chat_closed,
};
