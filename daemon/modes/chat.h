/* SPDX-License-Identifier: MIT */
/*
 * What the files of the TCP mode "chat" share, and nobody else includes: chat.c takes the input apart into
 * lines, chat_rooms.c is about rooms and names, chat_commands.c has the commands, chat_login.c the accounts.
 */
#ifndef DAEMON_CHAT_H
#define DAEMON_CHAT_H

#include "daemon/base/logger.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/worker.h"
#include "daemon/rooms/speech.h"

/* What the longest reply but the history needs in the outbox: a private message of max_message's limit,
 * sanitised. A line that has a reply is worked on when there is so much space. */
#define CHAT_REPLY_MAX (8192 + 3 * 16384)

static inline struct shared *chat_shared(struct connection *c)
{
	return connection_context(c)->shared;
}

static inline struct counters *chat_counters(struct connection *c)
{
	return connection_context(c)->counters;
}

static inline const struct config *chat_config(struct connection *c)
{
	return connection_context(c)->config;
}

static inline unsigned chat_slot(struct connection *c)
{
	return connection_context(c)->slot;
}

static inline struct speaker chat_speaker(struct connection *c)
{
	const struct client_state *st = connection_state(c);

	return (struct speaker){connection_id(c), connection_index(c), st->nick, st->nick_len};
}

/* For what the log says of this client; room may be NULL. */
static inline struct log_fields chat_fields(struct connection *c, const char *message_id, const char *room)
{
	return (struct log_fields){.message_id = message_id,
				   .client = connection_id(c),
				   .room = room,
				   .listener = connection_listener(c),
				   .address = connection_address(c)};
}

/* --- answers (chat.c) --- */

/* Begins a transaction whose text comes after what the client said before, and which consumes so much. */
void chat_begin_reply(struct connection *c, size_t consumed);
/* The whole of one. */
void chat_reply(struct connection *c, size_t consumed, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- rooms and names (chat_rooms.c) --- */

/*
 * Finds or opens a room for who the client has proved to be. opener: the address that the room is counted for
 * if it is opened, or NULL. Returns 0, or an error that chat_why_not_entered() has words for. After 0,
 * chat_enter() or rooms_leave() must follow.
 */
int chat_find_room(struct connection *c, const char *name, const union address *opener, struct room **ret);
const char *chat_why_not_entered(int error);
/*
 * Becomes a member of that room in a transaction that has begun: history, the announcement to the others, and
 * the place in the log behind it. Commits.
 */
void chat_enter(struct connection *c, struct client_state *next, struct room *room);
/*
 * Leaves the room, with what was said there before in the outbox. False if that doesn't fit yet and must not
 * be lost. A client that is gone leaves in any case, and gives its nick back.
 */
enum chat_leaving { CHAT_MOVES, CHAT_QUITS, CHAT_IS_GONE };
bool chat_leave(struct connection *c, enum chat_leaving how);
/* Gives back the nick of a client that is in no room. */
void chat_give_up_nick(struct connection *c);
/* Gives the client the nick of that entry of the roster, in a transaction that has begun, and commits. The
 * room is told; where rooms aren't told of such things, the client is, if tell says so. */
void chat_rename(struct connection *c, struct roster_entry *entry, const char *nick, size_t len, bool tell);
/* There is another configuration: if the client isn't logged in, its nick may be an account's or a relay's
 * now, or can't be had at all. Then it is a guest again. */
void chat_check_nick(struct connection *c);

/* --- commands (chat_commands.c) --- */

/* The arguments of a command: split at spaces, the last one is the rest of the line. */
#define CHAT_ARGS_MAX 2
struct chat_call {
	const struct chat_command *command;
	struct chat_arg {
		const char *at;
		size_t len; /* 0: it is missing */
	} args[CHAT_ARGS_MAX];
	size_t consumed; /* the line's length: what is consumed when HANDLER_MORE is returned */
};

struct chat_command {
	const char *name;
	enum verdict (*run)(struct connection *c, const struct chat_call *call);
	const char *arguments, *help; /* for /help; NULL: it isn't listed there */
	unsigned n_args;	      /* how many it takes */
	unsigned needs;		      /* how many must be there, or the answer is how it is used */
	unsigned cost;	/* what it takes from commands_per_second: roughly the work it makes. 0: as a line */
	bool nameless;	/* possible before a login */
	bool only_asks; /* does nothing but answer */
};

/* Whether a line is a command; the one it names, or NULL if there is none of that name. */
bool chat_is_command(const char *line, size_t len);
const struct chat_command *chat_find_command(const char *line, size_t len);
/* command: NULL if there is none of that name. */
enum verdict chat_run_command(struct connection *c, const struct chat_command *command, const char *line,
			      size_t len, size_t consumed);
/* What the command costs this client. */
unsigned chat_command_cost(struct connection *c, const struct chat_command *command);
/* Whether nobody hears an answer any more, and the command does nothing else. */
bool chat_command_is_moot(struct connection *c, const struct chat_command *command);
/* Answers how it is used. */
void chat_reply_usage(struct connection *c, const struct chat_call *call);
/* Whether something may be said in this room; if not, that is the reply. */
bool chat_may_speak(struct connection *c, const struct room *room, size_t consumed);

/* --- accounts (chat_login.c) --- */

enum verdict chat_login(struct connection *c, const struct chat_call *call);
void chat_ask_for_login(struct connection *c, size_t consumed);
/* Closes the connection if the account that the client logged in as no longer exists, since somebody else may
 * get that name next. False if it may stay. */
bool chat_lost_account(struct connection *c);

#endif
