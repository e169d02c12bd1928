/* SPDX-License-Identifier: MIT */
/*
 * The commands of the TCP mode "chat": a table, whose rows say what each is called, who may use it, how many
 * arguments it takes, what it costs, and what /help says of it. A new command is a function and a row.
 */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/modes/chat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* How long a list gets before its rest is only counted. */
#define CHAT_LIST_MAX 4096

/* --- names and rooms --- */

static enum verdict chat_command_nick(struct connection *c, const struct chat_call *call)
{
	const struct client_state *st = connection_state(c);
	struct roster_entry *entry;
	char nick[TEXT_NICK_MAX + 1];
	int n = nick_normalise(call->args[0].at, call->args[0].len, nick);

	if (n < 0) {
		chat_reply(c, call->consumed,
			   "* A name has 1 to %d bytes: letters, digits and ASCII's other characters but : "
			   "and *; it doesn't begin with / # or [.\n",
			   TEXT_NICK_MAX);
		return HANDLER_MORE;
	}
	size_t len = (size_t)n;
	if (st->nick_len == len && memcmp(st->nick, nick, len) == 0) {
		chat_reply(c, call->consumed, "* That is your name already.\n");
		return HANDLER_MORE;
	}
	if (st->flags & CLIENT_ACCOUNT) {
		chat_reply(c, call->consumed, "* You are logged in as %.*s, so that is your name.\n",
			   st->nick_len, st->nick);
		return HANDLER_MORE;
	}
	if (!connection_may_rename(c)) {
		chat_reply(c, call->consumed,
			   "* Not so fast: you have changed your name too often. Try again in a minute.\n");
		return HANDLER_MORE;
	}
	int r = chat_claim(c, nick, len, 0, &entry);
	if (r < 0) {
		chat_reply(c, call->consumed, "* %s is %s.\n", nick,
			   r == -EEXIST	 ? "taken"
			   : r == -EPERM ? "reserved"
					 : "not possible now");
		return HANDLER_MORE;
	}
	chat_begin_reply(c, call->consumed);
	chat_rename(c, entry, nick, len, true);
	return HANDLER_MORE;
}

static enum verdict chat_command_join(struct connection *c, const struct chat_call *call)
{
	const struct chat_arg *arg = &call->args[0];
	struct room *room, *old = connection_room(c);

	if (!text_room_valid(arg->at, arg->len)) {
		chat_reply(c, call->consumed,
			   "* A room's name has 1 to %d of the characters A-Z a-z 0-9 _ . and -.\n",
			   TEXT_ROOM_MAX);
		return HANDLER_MORE;
	}
	char name[TEXT_ROOM_MAX + 1];
	memcpy(name, arg->at, arg->len);
	name[arg->len] = '\0';
	if (old && strcmp(old->name, name) == 0) {
		chat_reply(c, call->consumed, "* You are in %s already.\n", name);
		return HANDLER_MORE;
	}
	if (!connection_may_move(c)) {
		chat_reply(c, call->consumed,
			   "* Not so fast: you have changed rooms too often. Try again in a minute.\n");
		return HANDLER_MORE;
	}
	const struct chat_door door = {
	    .name = name, .opener = connection_address(c), .key = call->args[1], .who = chat_speaker(c)};
	int r = chat_find_room(c, &door, &room);
	if (r < 0) {
		chat_reply(c, call->consumed, "* Room %s %s.\n", name, chat_why_not_entered(r));
		return HANDLER_MORE;
	}
	/* Two steps: a crash between them finds a client without a room whose /join is still to be done. */
	if (!chat_leave(c, CHAT_MOVES)) {
		rooms_leave(chat_shared(c)->rooms, room, chat_slot(c));
		return HANDLER_BLOCKED;
	}
	struct client_state *next = connection_begin(c);
	connection_consume(c, call->consumed);
	if (!chat_words(c))
		connection_printf(c, "* You are in %s.\n", room->name);
	chat_enter(c, next, room);
	return HANDLER_MORE;
}

static enum verdict chat_command_quit(struct connection *c, const struct chat_call *call)
{
	if (!chat_leave(c, CHAT_QUITS))
		return HANDLER_BLOCKED;
	struct client_state *next = connection_begin(c);
	next->flags |= CLIENT_CLOSING;
	connection_consume(c, call->consumed);
	FAULT("quit");
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

/* --- questions --- */

#define CHAT_ROOMS 100UL

struct chat_command_rooms {
	const struct room *own;
	struct elsewhere *elsewhere;
	struct elsewhere_room at[CHAT_ROOMS]; /* with those who are here */
	size_t n, all;
	size_t also; /* of all: in which others are as well */
};

static bool chat_command_collect_room(struct room *r, void *arg)
{
	struct chat_command_rooms *l = arg;
	size_t others = r->outgoing ? elsewhere_count(l->elsewhere, r->name) : 0;

	l->also += others > 0;
	if (r->decided & ROOM_SECRET && r != l->own)
		return true;
	if (l->n < CHAT_ROOMS) {
		memcpy(l->at[l->n].name, r->name, sizeof(l->at[l->n].name));
		l->at[l->n++].n = room_members(r) + others;
	}
	l->all++;
	return true;
}

/* Rooms that are on other nodes only, and would be the same ones here. */
static void chat_command_add_elsewhere(struct connection *c, struct chat_command_rooms *l)
{
	struct elsewhere_room at[2 * CHAT_ROOMS];
	size_t all, n = elsewhere_rooms(l->elsewhere, at, 2 * CHAT_ROOMS, &all);

	for (size_t i = 0; i < n && l->n < CHAT_ROOMS; i++)
		if (rooms_would_share(chat_shared(c)->rooms, at[i].name))
			l->at[l->n++] = at[i];
	l->all += all > l->also ? all - l->also : 0;
}

static enum verdict chat_command_rooms(struct connection *c, const struct chat_call *call)
{
	struct chat_command_rooms l = {.own = connection_room(c), .elsewhere = chat_shared(c)->elsewhere};
	const struct chat_words *words = chat_words(c);
	size_t bytes = 0, i = 0;

	if (words) {
		chat_begin_reply(c, call->consumed);
		words->rooms(c);
		connection_commit(c, NULL);
		return HANDLER_MORE;
	}

	rooms_each(chat_shared(c)->rooms, chat_command_collect_room, &l);
	if (l.elsewhere)
		chat_command_add_elsewhere(c, &l);
	chat_begin_reply(c, call->consumed);
	for (; i < l.n && bytes < CHAT_LIST_MAX; i++) {
		connection_printf(c, "* %s (%zu)\n", l.at[i].name, l.at[i].n);
		bytes += strlen(l.at[i].name) + 16;
	}
	if (i < l.all)
		connection_printf(c, "* ... and %zu more\n", l.all - i);
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

static enum verdict chat_command_who(struct connection *c, const struct chat_call *call)
{
	struct room *room = connection_room(c);
	const struct chat_words *words = chat_words(c);
	char list[CHAT_LIST_MAX];
	size_t shown = 0, n = 0, more = 0;

	if (words) {
		chat_begin_reply(c, call->consumed);
		words->who(c, room);
		connection_commit(c, NULL);
		return HANDLER_MORE;
	}

	if (room)
		n = roster_list(chat_shared(c)->roster, room->index, list, sizeof(list), &shown);
	if (room && room->outgoing) { /* it is shared: those on other nodes come behind */
		n += elsewhere_list(chat_shared(c)->elsewhere, room->name, list, sizeof(list), &more);
		shown += more;
	}
	chat_begin_reply(c, call->consumed);
	connection_printf(c, "* %zu in %s: ", n, room ? room->name : "no room");
	if (room)
		connection_write(c, list, strlen(list));
	if (shown < n)
		connection_printf(c, " and %zu more", n - shown);
	connection_write(c, "\n", 1);
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

static enum verdict chat_command_help(struct connection *c, const struct chat_call *call);

/* --- speaking --- */

static enum verdict chat_command_me(struct connection *c, const struct chat_call *call)
{
	struct room *room = connection_room(c);
	const struct speaker who = chat_speaker(c);
	struct speech s = {0};

	if (!room) {
		chat_reply_usage(c, call);
		return HANDLER_MORE;
	}
	if (!chat_may_speak(c, room, call->consumed))
		return HANDLER_MORE;
	speech_begin_reading(&s, room);
	enum irc_channel_why why = chat_why_silent(c, room);
	if (why != IRC_WHY_MAY) {
		speech_drop(&s);
		chat_reply_silent(c, room, why, call->consumed);
		return HANDLER_MORE;
	}
	connection_begin(c);
	connection_consume(c, call->consumed);
	(void)!speech_act(&s, room, &who, call->args[0].at, call->args[0].len);
	connection_commit(c, speech_room(&s));
	return HANDLER_MORE;
}

/* --- the table --- */

/* In the order in which /help has them. */
static const struct chat_command chat_commands[] = {
    {"nick", chat_command_nick, "NAME", "change your name", .n_args = 1, .cost = 1},
    {"join", chat_command_join, "ROOM [KEY]", "go to a room (it is made if need be)", .n_args = 2, .cost = 2},
    {"rooms", chat_command_rooms, "", "list the rooms", .cost = 4, .only_asks = true},
    {"who", chat_command_who, "", "list who is in this room", .cost = 4, .only_asks = true},
    {"history", chat_history, "[N]", "show what was said before", .n_args = 1, .cost = 4, .only_asks = true},
    {"search", chat_search, "TEXT", "find what was said", .n_args = 1, .needs = 1, .cost = 8,
     .only_asks = true},
    {"me", chat_command_me, "TEXT", "say what you do", .n_args = 1, .needs = 1},
    {"msg", chat_msg, "NICK TEXT", "say something to one person only", .n_args = 2, .needs = 2},
    {"login", chat_login, "NAME PASSWORD", "prove that you are NAME", .n_args = 2, .cost = 1,
     .nameless = true},
    {"topic", chat_topic, "[TEXT]", "show or set what the room is about", .n_args = 1, .cost = 2,
     .decides = true},
    {"mode", chat_mode, "[MODES [ARGS]]", "show or change its modes: +m -m +k KEY +l N", .n_args = 2,
     .cost = 2, .decides = true},
    {"kick", chat_kick, "NICK [WHY]", "remove somebody from the room", .n_args = 2, .needs = 1, .cost = 2,
     .decides = true},
    {"ban", chat_ban, "[NICK]", "keep somebody out (or NICK!USER@HOST with *)", .n_args = 1, .cost = 2,
     .decides = true},
    {"unban", chat_unban, "NICK", "and let in again", .n_args = 1, .needs = 1, .cost = 2, .decides = true},
    {"op", chat_op, "NICK", "make somebody an operator", .n_args = 1, .needs = 1, .cost = 2, .decides = true},
    {"deop", chat_deop, "NICK", "and no more", .n_args = 1, .needs = 1, .cost = 2, .decides = true},
    {"voice", chat_voice, "NICK", "let somebody speak in a moderated room", .n_args = 1, .needs = 1,
     .cost = 2, .decides = true},
    {"devoice", chat_devoice, "NICK", "and no more", .n_args = 1, .needs = 1, .cost = 2, .decides = true},
    {"quit", chat_command_quit, "", "leave (as does: quit)", .nameless = true},
    {"help", chat_command_help, "", NULL, .cost = 1, .nameless = true, .only_asks = true},
};

/* Whether there is such a command for this client. */
static bool chat_command_is_there(struct connection *c, const struct chat_command *command)
{
	return command && (!command->decides || chat_channels(c));
}

bool chat_command_is_shown(struct connection *c, const struct chat_command *command)
{
	return command->help && chat_command_is_there(c, command);
}

const struct chat_command *chat_command_at(size_t i)
{
	return i < sizeof(chat_commands) / sizeof(*chat_commands) ? &chat_commands[i] : NULL;
}

static enum verdict chat_command_help(struct connection *c, const struct chat_call *call)
{
	chat_begin_reply(c, call->consumed);
	for (size_t i = 0; i < sizeof(chat_commands) / sizeof(*chat_commands); i++) {
		const struct chat_command *k = &chat_commands[i];
		char use[32];
		if (!chat_command_is_shown(c, k))
			continue;
		snprintf(use, sizeof(use), "%s %s", k->name, k->arguments);
		connection_printf(c, "* /%-21s%s\n", use, k->help);
	}
	connection_printf(c, "* /%-21s%s\n", "/TEXT", "say something that begins with /");
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

void chat_reply_usage(struct connection *c, const struct chat_call *call)
{
	chat_reply(c, call->consumed, "* Usage: /%s %s\n", call->command->name, call->command->arguments);
}

/* --- which one a line is, and running it --- */

static bool chat_command_is_quit(const char *line, size_t len)
{
	return len == 4 && memcmp(line, "quit", 4) == 0;
}

bool chat_is_command(const char *line, size_t len)
{
	return (len > 0 && line[0] == '/' && !(len > 1 && line[1] == '/')) || chat_command_is_quit(line, len);
}

/* The length of the command's word, with its slash. */
static size_t chat_command_word(const char *line, size_t len)
{
	size_t n = 1;

	while (n < len && line[n] != ' ')
		n++;
	return n;
}

const struct chat_command *chat_find_command(const char *line, size_t len)
{
	bool quit = chat_command_is_quit(line, len);
	const char *name = quit ? line : line + 1;
	size_t n = quit ? len : chat_command_word(line, len) - 1;

	for (size_t i = 0; i < sizeof(chat_commands) / sizeof(*chat_commands); i++)
		if (strlen(chat_commands[i].name) == n && strncasecmp(chat_commands[i].name, name, n) == 0)
			return &chat_commands[i];
	return NULL;
}

bool chat_command_is_moot(struct connection *c, const struct chat_command *command)
{
	return connection_is_unheard(c) && (!command || command->only_asks);
}

unsigned chat_command_cost(struct connection *c, const struct chat_command *command)
{
	if (connection_is_unheard(c))
		return 0;
	return command ? command->cost : 1;
}

/* Splits what follows the word. */
static void chat_command_split(struct chat_call *call, const char *at, const char *end)
{
	while (at < end && *at == ' ')
		at++;
	for (unsigned i = 0; i < call->command->n_args; i++) {
		bool last = i + 1 == call->command->n_args;
		const char *space = last ? NULL : memchr(at, ' ', (size_t)(end - at));
		const char *stop = space ? space : end;
		call->args[i] = (struct chat_arg){at, (size_t)(stop - at)};
		at = space ? space + 1 : end;
	}
}

static bool chat_command_is_complete(const struct chat_call *call)
{
	for (unsigned i = 0; i < call->command->needs; i++)
		if (call->args[i].len == 0)
			return false;
	return true;
}

enum verdict chat_run_call(struct connection *c, const struct chat_call *call)
{
	count(chat_counters(c), COUNT_COMMANDS, 1);
	if (chat_command_is_moot(c, call->command)) {
		connection_begin(c);
		connection_consume(c, call->consumed);
		connection_commit(c, NULL);
	} else if (!chat_command_is_there(c, call->command)) {
		chat_reply(c, call->consumed, "* There is no such command; /help lists them.\n");
	} else if (connection_state(c)->nick_len == 0 && !call->command->nameless) {
		chat_ask_for_login(c, call->consumed);
	} else if (!chat_command_is_complete(call)) {
		chat_reply_usage(c, call);
	} else {
		return call->command->run(c, call);
	}
	return HANDLER_MORE;
}

enum verdict chat_run_command(struct connection *c, const struct chat_command *command, const char *line,
			      size_t len, size_t consumed)
{
	struct chat_call call = {.command = command, .consumed = consumed};

	if (command)
		chat_command_split(&call, line + chat_command_word(line, len), line + len);
	return chat_run_call(c, &call);
}
