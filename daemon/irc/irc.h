/* SPDX-License-Identifier: MIT */
/*
 * What the commands of IRC share. A line of input is one command: what it answers, what it changes and what it says in a
 * room become true in one transaction, together with the line being consumed. Answers gather in the call, so that their
 * tags, labels and batches are the business of one file (answer.c).
 *
 *	irc.c		the handler: lines, and how a connection begins, comes back and ends
 *	call.c		the transaction of a call
 *	answer.c	answers
 *	commands.c	which command does what
 *	render.c	what members are sent of a room's events
 */
#ifndef DAEMON_IRC_H
#define DAEMON_IRC_H

#include "daemon/engine/connection.h"
#include "daemon/engine/context.h"
#include "daemon/engine/seats.h"
#include "daemon/channels/decide.h"
#include "daemon/channels/may.h"
#include "daemon/irc/line.h"
#include "daemon/irc/numerics.h"
#include "daemon/irc/store.h"
#include "daemon/irc/users.h"
#include "daemon/rooms/speech.h"

/* A command is worked on when there is so much space for its answers; what is beyond is cut. */
#define IRC_REPLY_MAX (80U << 10)
/* Bytes of a label (IRCv3's labeled-response), unescaped. */
#define IRC_LABEL_MAX 64
/* NICK!USER@HOST */
#define IRC_SOURCE_MAX (TEXT_NICK_MAX + 1 + IRC_USER_MAX + 1 + IRC_HOST_MAX)

/* Capabilities that a client has asked for; irc_user.caps. */
enum irc_cap {
	IRC_CAP_MESSAGE_TAGS = 1 << 0,
	IRC_CAP_SERVER_TIME = 1 << 1,
	IRC_CAP_ACCOUNT_TAG = 1 << 2,
	IRC_CAP_EXTENDED_JOIN = 1 << 3,
	IRC_CAP_ECHO_MESSAGE = 1 << 4,
	IRC_CAP_LABELED_RESPONSE = 1 << 5,
	IRC_CAP_BATCH = 1 << 6,
	IRC_CAP_ACCOUNT_NOTIFY = 1 << 7,
	IRC_CAP_AWAY_NOTIFY = 1 << 8,
	IRC_CAP_MULTI_PREFIX = 1 << 9,
	IRC_CAP_USERHOST_IN_NAMES = 1 << 10,
	IRC_CAP_CAP_NOTIFY = 1 << 11,
	IRC_CAP_CHGHOST = 1 << 12,
	IRC_CAP_INVITE_NOTIFY = 1 << 13,
	IRC_CAP_SETNAME = 1 << 14,
	IRC_CAP_STANDARD_REPLIES = 1 << 15,
	IRC_CAP_SASL = 1 << 16,
	IRC_CAP_EXTENDED_MONITOR = 1 << 17,
	IRC_CAP_CHATHISTORY = 1 << 18,
	IRC_CAP_READ_MARKER = 1 << 19,
	IRC_CAP_ACCOUNT_REGISTRATION = 1 << 20,
	IRC_CAP_EVENT_PLAYBACK = 1 << 21,
	IRC_CAP_REDACTION = 1 << 22,
	IRC_CAP_METADATA = 1 << 23,
	/* Those that make another form of what a member is sent (render.c); they are the lowest bits. */
	IRC_CAPS_FORM = 15,
};

struct irc_call;
struct irc_channel;

/* HANDLER_MORE: it is done. Anything else: nothing was changed, and it is called again with the same line. */
typedef enum verdict (*irc_command_fn)(struct irc_call *call);

struct irc_command {
	const char *name; /* NULL: the table ends */
	irc_command_fn run;
	uint8_t needs;	/* so many parameters, or the answer is 461 */
	uint8_t cost;	/* what it takes from commands_per_second; 0: as a line */
	bool early;	/* possible before registration */
	bool oper;	/* for operators only */
	bool only_asks; /* for who is gone it isn't run */
	bool enters;	/* what it looks at is paid for as entries: connection_charge_entries() */
};

struct irc_after {
	void (*fn)(struct irc_call *call, void *arg);
	void (*undo)(struct irc_call *call, void *arg);
	void *arg;
};
#define IRC_AFTER_MAX 6

struct irc_answer {
	char *text; /* lines, each as its tags, NUL, the line, NUL */
	size_t len, size;
	unsigned n;
	char batch[16]; /* the one that is open; "": none */
};

struct irc_call {
	struct connection *c;
	const struct irc_line *line;
	const struct irc_command *command;
	size_t consumed;
	struct irc_answer answer;
	struct speech speech;		   /* what is put in a room, to be committed with the rest */
	struct room *within;		   /* whose place goes behind what is put: irc_speak() */
	bool drafted;			   /* the transaction has begun */
	char label[2 * IRC_LABEL_MAX + 1]; /* escaped; "": none */
	bool label_open;		   /* its batch has begun */
	struct irc_after after[IRC_AFTER_MAX];
	unsigned n_after;
	unsigned work; /* irc_work() */
};

/* --- who it is (call.c) --- */

static inline struct context *irc_context(const struct irc_call *call)
{
	return connection_context(call->c);
}

static inline struct shared *irc_shared(const struct irc_call *call)
{
	return connection_context(call->c)->shared;
}

static inline const struct config *irc_config(const struct irc_call *call)
{
	return connection_context(call->c)->config;
}

/* Its record as it will be with the transaction, or is; never NULL. Good until the next irc_change(). */
const struct irc_user *irc_user(struct connection *c);
static inline bool irc_has(struct connection *c, uint32_t caps)
{
	return (irc_user(c)->caps & caps) == caps;
}
/* Its nick as it will be with the transaction, or is, with a NUL; "*": it has none yet. */
const char *irc_nick(struct connection *c, char ret[static TEXT_NICK_MAX + 1]);
/* NICK!USER@HOST */
const char *irc_source(struct connection *c, char ret[static IRC_SOURCE_MAX + 1]);
/* Who speaks, with its persona. */
struct speaker irc_speaker(struct connection *c);
/* The parameter of that number as a string; "" if it isn't there, or doesn't fit. */
const char *irc_param(const struct irc_call *call, unsigned i, char *buf, size_t size);
/* As it can be shown anywhere, cut where a character begins, of less than size bytes; what is behind it in ret is 0. */
void irc_text(struct irc_arg text, char *ret, size_t size);

/* --- the transaction (call.c) --- */

/* Begins it, if need be. */
struct client_state *irc_begin(struct irc_call *call);
/* The same, and what of its record changes. A persona that changed with it is stored anew by irc_commit(). */
struct irc_user *irc_change(struct irc_call *call);
/*
 * Begins it, if need be, and has call->speech put into that room, whose log is locked until the commit. If it is in it, what
 * was said there before goes to the outbox, and its place behind what it puts: so the command writes what the client is to
 * see of that itself. false: not now (the verdict is HANDLER_BLOCKED), and nothing has changed.
 * In a room that is shared with other machines its own words come back by the log: irc_sees_later().
 */
bool irc_speak(struct irc_call *call, struct room *room);
bool irc_sees_later(const struct irc_call *call, const struct room *room);
/* The record of a room whose log is locked by irc_speak(), as it will be with the transaction, or is: channels.h. */
const struct irc_channel *irc_channel(const struct irc_call *call, const struct room *room);
struct irc_channel *irc_channel_change(struct irc_call *call, struct room *room);
/* Has fn called once the transaction is committed: what belongs to the process. Or undo (NULL: there is nothing to be undone), if
 * the transaction is given up. */
void irc_after(struct irc_call *call, void (*fn)(struct irc_call *call, void *arg),
	       void (*undo)(struct irc_call *call, void *arg), void *arg);
/* As undo: all there is to be undone is that arg was allocated. */
void irc_after_free(struct irc_call *call, void *arg);
/* Commits what there is, but the line isn't consumed yet. */
void irc_commit_step(struct irc_call *call);
/*
 * For commands in several steps, which are called again from the beginning when they had to wait in between, and by the next process
 * if this one dies: step i (from 0) begins, and what the ones before it did is committed. False: it has been done already. So
 * each is done once, but for those behind 255.
 */
bool irc_step(struct irc_call *call, unsigned i);
/* For irc_after(): of a room that was entered for this command only. */
void irc_give_room_back(struct irc_call *call, void *room);
/* Gives up the transaction; answers are forgotten as well. */
void irc_abandon(struct irc_call *call);
/* The last one, with the line; false is never. For commands.c, and who has no line (consumed 0). */
void irc_commit(struct irc_call *call);

/* The command has looked at so many people, rooms or connections: it counts as so much more when it is over
 * (connection_charge(), or connection_charge_entries()), and the turn of others comes earlier. */
static inline void irc_work(struct irc_call *call, size_t n)
{
	call->work += (unsigned)n;
}

/* --- answers (answer.c) --- */

/* ":SERVER NNN NICK " and the rest, which is formatted; if the table has a text for it, " :TEXT" comes behind. */
void irc_numeric(struct irc_call *call, enum irc_numeric n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* ":SERVER " and the rest. */
void irc_from_server(struct irc_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* ":NICK!USER@HOST " of the client itself, and the rest. */
void irc_from_self(struct irc_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Any line, with tags that it has beside those of all lines (escaped, without '@'; "": none). */
void irc_say(struct irc_call *call, const char *tags, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Standard replies: type is FAIL, WARN or NOTE; context: "" or more parameters, each with a space behind. Who hasn't the
 * capability gets a NOTICE. */
void irc_standard(struct irc_call *call, const char *type, const char *command, const char *code,
		  const char *context, const char *text);
/* The lines between are a batch, if the client has batches. */
void irc_batch_begin(struct irc_call *call, const char *type_and_params);
void irc_batch_end(struct irc_call *call);
/* Writes them to the outbox, in the transaction, and forgets them. last: none will follow. */
void irc_answer_flush(struct irc_call *call, bool last);
void irc_answer_clear(struct irc_answer *a);
/* ":NICK!USER@HOST " of the client itself, and the rest, which is an event of its own that the client isn't told of by a log: as
 * others see it. time_us: CLOCK_REALTIME, 0: now; msgid: msgref.h; client_tags: may be "". */
void irc_own_event(struct irc_call *call, uint64_t time_us, const char *msgid, const char *client_tags,
		   const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The tags of such an event that those have who have message tags. Returns their length. */
size_t irc_message_tags(struct irc_call *call, const char *msgid, const char *client_tags, char *ret,
			size_t size);
/* @time=...;...: the tags of a line that others are told: what of it the client is to see. */
size_t irc_tags(uint32_t caps, uint64_t time_us, const char *more, char *out, size_t size);

/* --- commands (commands.c) --- */

enum verdict irc_run(struct irc_call *call);

/* --- beginnings and ends --- */

/* Whether all is there that registration needs; then it is welcome (register.c). */
enum verdict irc_maybe_register(struct irc_call *call);
void irc_motd(struct irc_call *call);
void irc_lusers(struct irc_call *call);
/* Leaves all rooms as one who goes; reason may be "". muted: what is told instead where it may not speak; NULL: it isn't its own
 * words, and is told there, too. The nick is given up and the end begins with the transaction that is under way then (quit.c). */
void irc_leave_all(struct irc_call *call, const char *reason, const char *muted);
/* Whether it was removed from a room whose log is locked, and is there only until its worker sees to that (topic.c): so all were told
 * that it is gone, and nothing more is told of it. */
bool irc_is_expelled(struct irc_call *call, const struct room *room);
/* Whether it may speak in a room that it is in, whose log is locked (say.c). */
bool irc_may_speak(struct irc_call *call, const struct room *room);
/* Ends the connection with this transaction. */
void irc_end(struct irc_call *call, const char *why);
/*
 * Before registration: a nick that belongs to an account waits until who wants it has logged in, as most programs say their nick
 * first. irc_take_nick() takes it, if that is so now; irc_give_up_nick(): it isn't, and can't be had (nick.c).
 */
void irc_take_nick(struct irc_call *call);
void irc_give_up_nick(struct irc_call *call);
/* For the handler's reloaded(): whose account is gone is sent away (account.c). */
void irc_account_reload(struct connection *c);
/* Likewise: it has another host now (setname.c). */
void irc_host_reload(struct connection *c);
/* For restored(): whom it watches, of which it is told what has changed; and closed() (monitor.c). */
void irc_monitor_restored(struct connection *c);
void irc_monitor_closed(struct connection *c);
/* Rooms that were not told of its new nick yet (nick.c). */
void irc_tell_nick(struct irc_call *call);
/* Whether the record of the listener wants what: its own configuration, NULL if it is gone. */
const struct irc_listener_config *irc_listener(struct connection *c);

/* --- rooms (rooms.c) --- */

/* The room that a channel's name means for a client: one it is in, else one that is there, else what would be made; in
 * ret. False: that is no channel's name. */
bool irc_room_of(struct irc_call *call, struct irc_arg channel, char ret[static TEXT_ROOM_MAX + 1]);
/* The room that it is in, or NULL, after the answer 403 or 442. */
struct room *irc_own_room(struct irc_call *call, struct irc_arg channel);
/* 353 and 366 for who is in the room, or about to be; its log is locked (names_reply.c). */
void irc_names(struct irc_call *call, struct room *room);
/* 332 and 333, if there is a topic; its log is locked. */
void irc_topic(struct irc_call *call, struct room *room);
/* MARKREAD for a room that it joins, if it wants that (markread.c). */
void irc_markread_joined(struct irc_call *call, const struct room *room);
/* REDACT (redact.c). */
enum verdict irc_redact(struct irc_call *call);
/* Leaves it as PART does, in the transaction. False: not now, and nothing has changed (HANDLER_BLOCKED). */
bool irc_part_room(struct irc_call *call, struct room *room, const char *reason);
/* The client, for the questions of daemon/channels/may.h; source is where its name is put. */
struct irc_channel_who irc_channel_who(struct irc_call *call, bool is_member,
				       char source[static IRC_SOURCE_MAX + 1]);
/* Whether its account is one of those that a room of the configuration is for. */
bool irc_is_member_of(struct irc_call *call, const char *room);
/* Leaves it, in the transaction that is under way and has put what is said of that; after the commit the rest. */
void irc_leave_room(struct irc_call *call, struct room *room);

extern const struct handler handler_tcp_irc, handler_http_irc;
static inline bool irc_is_spoken(const struct connection *c)
{
	return connection_handler(c) == &handler_tcp_irc || connection_handler(c) == &handler_http_irc;
}

/* --- what both handlers are made of (irc.c) --- */

/* In a transaction: somebody has come who speaks IRC. */
void irc_come(struct irc_call *call);
/* What is worked on for one connection in a turn, before the others have theirs; a line of chat is 1 or 2. */
#define IRC_TURN_WORK 1024
/* Works on a line without its end, which is so many bytes of input; *work grows by what that was. */
enum verdict irc_take_line(struct connection *c, const char *text, size_t len, size_t consumed,
			   unsigned *work);
/* As in struct handler. */
void irc_restored(struct connection *c);
void irc_reloaded(struct connection *c);
void irc_closed(struct connection *c);
size_t irc_notice(const struct connection *c, const struct notice *n, char *text, size_t size);

/* With its log locked: may decide there what operators do; who has that nick and is in it. */
bool irc_may_decide(struct irc_call *call, const struct room *room);
bool irc_find_member(struct irc_call *call, const struct room *room, const char *nick,
		     struct roster_member *ret);
/* The account that somebody in a room is logged in as, "" for none, in buf; NULL: it isn't on IRC. */
const char *irc_member_account(struct irc_call *call, const struct roster_member *m, struct irc_user *buf);
/* For changes of its record: by whom. The speaker is the caller's. */
struct irc_deciding irc_deciding(const struct irc_call *call, const struct room *room,
				 const struct speaker *who);
/* As in struct handler. */
void irc_expelled(struct connection *c, const struct expulsion *e);
/* Who was removed from that room (NULL: none), and hasn't gone yet, goes now. No transaction is under way. */
void irc_leave_where_expelled(struct connection *c, struct room *room);

/* --- what members are sent (render.c), as in struct handler --- */

size_t irc_render(const struct shared *shared, unsigned form, const struct room *room, uint64_t seq,
		  const struct record *event, const char *line, size_t len, char *out);
/* The same of a message that the history has: it knows of nobody's user name, nor of tags. */
struct store_message;
size_t irc_render_stored(const struct shared *shared, unsigned form, const struct room *room,
			 const struct store_message *m, char *out);
/* Of a private message, whoever is told of it; target: whom it was for, as that one is called. */
size_t irc_render_private(const struct shared *shared, unsigned form, const char *target, uint64_t seq,
			  const struct record *event, const char *line, size_t len, char *out);
size_t irc_render_letter(struct connection *c, uint64_t seq, const struct record *event, const char *line,
			 size_t len, char *out);
bool irc_sees(struct connection *c, const struct room *room, uint64_t seq, const struct record *event,
	      const char *line, size_t len);

#endif
