/* SPDX-License-Identifier: MIT */
/*
 * What people do in chat, whatever it comes in: chat_lines.c works on lines, chat_rooms.c is about rooms and names,
 * chat_commands.c has the commands, chat_msg.c the one for private messages, chat_may.c says who may speak,
 * chat_operators.c has what operators decide, chat_history.c what was said before, chat_login.c the accounts, chat_life.c
 * how one comes and goes. chat.c is the TCP mode "chat", which takes its input apart into lines; daemon/web has another
 * way in.
 */
#ifndef DAEMON_CHAT_H
#define DAEMON_CHAT_H

#include "daemon/base/logger.h"
#include "daemon/channels/others.h"
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

static inline struct irc_channels *chat_channels(struct connection *c)
{
	return atomic_load_explicit(&chat_shared(c)->channels, memory_order_acquire);
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

	return (struct speaker){
	    .id = connection_id(c), .index = connection_index(c), .nick = st->nick, .nick_len = st->nick_len};
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

struct chat_arg {
	const char *at;
	size_t len; /* 0: it is missing */
};

/* --- coming and going (chat_life.c) --- */

struct chat_opening {
	const char *room; /* where to */
	/* Whom that room is counted for if it is opened; NULL: nobody, as it is the listener's. */
	const union address *opener;
	const char *nick; /* that is wanted; a guest's is had if it can't be. len 0: none is */
	size_t nick_len;
	/* Called in the transaction, before anything is written; NULL: nothing is to be done. */
	void (*begin)(struct connection *c, void *arg);
	void *arg;
};

/* Greets somebody new, who enters the room, or is asked to log in. */
void chat_open(struct connection *c, const struct chat_opening *o);
/* As those of struct handler. */
void chat_restore(struct connection *c);
void chat_reload(struct connection *c);
void chat_close(struct connection *c);

/*
 * How chat is put in a form of connection that has something better than lines. Each writes, within the transaction that
 * is under way, what a line would have said.
 */
struct past;
struct chat_words {
	unsigned form;
	/* The draft has the nick; none: it has to log in. */
	void (*welcome)(struct connection *c);
	/* It is in that room from this transaction on; and what was said there. The room's own log is locked. */
	void (*entered)(struct connection *c, struct room *room);
	/* It has that nick from this transaction on. */
	void (*named)(struct connection *c, const char *nick, size_t len);
	/* Its message to that nick is on its way. */
	void (*told)(struct connection *c, const struct chat_arg *nick, const char *text, size_t len);
	void (*who)(struct connection *c, struct room *room); /* NULL: in none */
	void (*rooms)(struct connection *c);
	/* The answer to a question about what was said, in PAST_JSON. searched: for what; NULL: for nothing.
	 * remark: what else is to be said of it, or NULL. */
	void (*past)(struct connection *c, const struct room *room, const struct past *p,
		     const char *searched, const char *remark);
};

/* NULL: it is lines. */
const struct chat_words *chat_words(const struct connection *c);

/* --- answers (chat_lines.c) --- */

/* Begins a transaction whose text comes after what the client said before, and which consumes so much. */
void chat_begin_reply(struct connection *c, size_t consumed);
/* The whole of one. */
void chat_reply(struct connection *c, size_t consumed, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- lines (chat_lines.c) --- */

/* What one connection may do in a turn, in plain lines, before the others have theirs. */
#define CHAT_TURN_WORK 1024

/* What is worked on in one go. */
struct chat_input {
	struct connection *c;
	unsigned max;  /* bytes in a line */
	unsigned work; /* of CHAT_TURN_WORK */
	/* As many plain lines as come are put into the log under one lock and committed as one step. */
	struct speech run;
	struct speaker who;
	size_t run_consumed;
};

struct chat_line {
	const char *text;
	size_t len;	 /* without its end */
	size_t consumed; /* bytes of input that it is */
	bool plain;	 /* it is to be said, whatever it looks like */
};

struct chat_input chat_input(struct connection *c);
/*
 * Works on a line: says it, does what it says, or answers why not. HANDLER_MORE: it is dealt with, and consumed, or will
 * be by chat_end_run(), which must follow before anything else is consumed and at the end.
 */
enum verdict chat_line(struct chat_input *in, const struct chat_line *l);
void chat_end_run(struct chat_input *in);
/* The same with a command that was found and taken apart already. */
struct chat_call;
enum verdict chat_do(struct chat_input *in, const struct chat_call *call);
/* Whether something that has an answer may be worked on now, and pays for it: HANDLER_MORE, or what it waits for. It is
 * done with connection_line_done(). moot: there will be none, as nobody hears it. */
enum verdict chat_may_answer(struct chat_input *in, unsigned cost, bool moot);
/* Answers that a line is too long. discard: its end hasn't come yet. */
void chat_refuse_long(struct chat_input *in, size_t consumed, bool discard);

/* --- rooms and names (chat_rooms.c) --- */

/* An error beyond errno's: what was decided in the room keeps it out. */
#define CHAT_KEPT_OUT 4096
static inline bool chat_is_kept_out(int error)
{
	return error < -CHAT_KEPT_OUT;
}

/* What somebody looks for. */
struct chat_door {
	const char *name;
	const union address *opener; /* whom the room is counted for if it is opened, or NULL */
	struct chat_arg key;	     /* len 0: none */
	struct speaker who;	     /* as which it wants to come in */
};

/*
 * Finds or opens a room for who the client has proved to be. Returns 0, or an error that chat_why_not_entered() has
 * words for. After 0, chat_enter() or rooms_leave() must follow.
 */
int chat_find_room(struct connection *c, const struct chat_door *door, struct room **ret);
const char *chat_why_not_entered(int error);
/*
 * The newest messages of a room that whoever comes may be shown, whose own log is locked: at most so many (wanted), above
 * that number, that take space bytes at most, as they go out. more: there are older ones above it.
 */
struct chat_events {
	uint64_t *at; /* the newest one first */
	size_t n;
	uint64_t first; /* the oldest one's number */
	bool more;
};
void chat_events_find(struct connection *c, const struct room *room, unsigned wanted, uint64_t above,
		      size_t space, struct chat_events *ret);
/* Writes and frees them. */
void chat_events_write(struct connection *c, const struct room *room, struct chat_events *events);
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
/* As that of struct handler. */
void chat_expelled(struct connection *c, const struct expulsion *e);
/* Whom the process before did not get to. */
void chat_leave_where_removed(struct connection *c);
/* Gives back the nick of a client that is in no room. */
void chat_give_up_nick(struct connection *c);
/* Claims a nick for the client: nicks_claim(). */
int chat_claim(struct connection *c, const char *nick, size_t len, unsigned title, struct roster_entry **ret);
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
	struct chat_arg args[CHAT_ARGS_MAX];
	size_t consumed; /* bytes of input that it is: consumed when HANDLER_MORE is returned */
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
	bool decides;	/* there is such a command only where there is IRC */
};

/* Whether somebody who asks is told of it. */
bool chat_command_is_shown(struct connection *c, const struct chat_command *command);
/* In the order in which /help has them; NULL: there are no more. */
const struct chat_command *chat_command_at(size_t i);
/* Whether a line is a command; the one it names, or NULL if there is none of that name. */
bool chat_is_command(const char *line, size_t len);
const struct chat_command *chat_find_command(const char *line, size_t len);
/* command: NULL if there is none of that name. */
enum verdict chat_run_command(struct connection *c, const struct chat_command *command, const char *line,
			      size_t len, size_t consumed);
/* command: NULL as well. args: as many as it takes. */
enum verdict chat_run_call(struct connection *c, const struct chat_call *call);
/* What the command costs this client. */
unsigned chat_command_cost(struct connection *c, const struct chat_command *command);
/* Whether nobody hears an answer any more, and the command does nothing else. */
bool chat_command_is_moot(struct connection *c, const struct chat_command *command);
/* Answers how it is used. */
void chat_reply_usage(struct connection *c, const struct chat_call *call);

/* --- speaking (chat_may.c) --- */

/* Whether something may be said in this room; if not, that is the reply. */
bool chat_may_speak(struct connection *c, const struct room *room, size_t consumed);
/* The client, as the questions of daemon/channels have it. Whose account is an operator's in the configuration is one. */
struct irc_other chat_other(struct connection *c, const struct speaker *who);
/* Why it may not speak there, as decided; the log that is put to is locked. */
enum irc_channel_why chat_why_silent(struct connection *c, const struct room *room);
void chat_reply_silent(struct connection *c, const struct room *room, enum irc_channel_why why,
		       size_t consumed);

/* /msg (chat_msg.c). */
enum verdict chat_msg(struct connection *c, const struct chat_call *call);

/* --- what operators decide (chat_operators.c) --- */

enum verdict chat_topic(struct connection *c, const struct chat_call *call);
enum verdict chat_kick(struct connection *c, const struct chat_call *call);
enum verdict chat_mode(struct connection *c, const struct chat_call *call);
enum verdict chat_op(struct connection *c, const struct chat_call *call);
enum verdict chat_deop(struct connection *c, const struct chat_call *call);
enum verdict chat_voice(struct connection *c, const struct chat_call *call);
enum verdict chat_devoice(struct connection *c, const struct chat_call *call);
enum verdict chat_ban(struct connection *c, const struct chat_call *call);
enum verdict chat_unban(struct connection *c, const struct chat_call *call);

/* --- what was said before (chat_history.c) --- */

enum verdict chat_history(struct connection *c, const struct chat_call *call);
enum verdict chat_search(struct connection *c, const struct chat_call *call);

/* --- accounts (chat_login.c) --- */

enum verdict chat_login(struct connection *c, const struct chat_call *call);
void chat_ask_for_login(struct connection *c, size_t consumed);
/* Closes the connection if the account that the client logged in as no longer exists, since somebody else may
 * get that name next. False if it may stay. */
bool chat_lost_account(struct connection *c);

#endif
