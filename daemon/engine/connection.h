/* SPDX-License-Identifier: MIT */
/*
 * A TCP connection, owned by one worker. Handlers change its lasting state in transactions:
 *
 *	struct client_state *next = connection_begin(c);
 *	connection_printf(c, "* hello\n");	// goes to the outbox
 *	connection_consume(c, n);		// that much input is dealt with
 *	connection_commit(c, room or NULL);	// all of it becomes true, with what the room's log was given
 *
 * A crash before the commit leaves nothing of it, a crash after it everything.
 */
#ifndef DAEMON_CONNECTION_H
#define DAEMON_CONNECTION_H

#include "common/address.h"
#include "daemon/config/handler.h"
#include "daemon/engine/listener.h"
#include "daemon/io/stream.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"
#include "daemon/state/clients.h"
#include "daemon/state/memberships.h"

#include <stdarg.h>

struct connection;
struct worker;

/* --- for handlers --- */

uint64_t connection_id(const struct connection *c);
uint32_t connection_index(const struct connection *c);
struct context *connection_context(const struct connection *c);
const struct client_state *connection_state(const struct connection *c);
/* The handler's own: the nick's entry in the roster. */
struct roster_entry **connection_roster(struct connection *c);
struct room *connection_room(const struct connection *c);
const struct handler *connection_handler(const struct connection *c);
const char *connection_listener(const struct connection *c);
/* The listener's. */
const char *connection_first_room(const struct connection *c);

struct client_state *connection_begin(struct connection *c);
/* What connection_begin() returned last; NULL: no transaction is under way. */
struct client_state *connection_draft(const struct connection *c);
/* Forgets the transaction. */
void connection_abandon(struct connection *c);
/*
 * Its form (config/handler.h), in the transaction if one is under way. What is written from then on, and the room's
 * events, are in the new one. Whoever changes it while it is in a room settles first (connection_settle()).
 */
unsigned connection_form(const struct connection *c);
void connection_set_form(struct connection *c, unsigned form);
/* How many bytes still fit in the outbox; where they are wrapped, bytes of lines, with space for what that adds. */
size_t connection_space(const struct connection *c);
/* They must fit. In a form that wraps, lines: all that a transaction writes is wrapped at its commit, or before events. */
void connection_write(struct connection *c, const char *data, size_t len);
/*
 * Bytes as they go out, behind what was written before: the handler's own framing. False if they don't fit; then
 * none is written. connection_write_last() ends the connection with them: it sets CLIENT_CLOSING, and wrap() is not
 * asked for a last word.
 */
bool connection_write_wire(struct connection *c, const char *data, size_t len);
bool connection_write_last(struct connection *c, const char *data, size_t len);
size_t connection_wire_space(const struct connection *c);
/*
 * A past event of a room whose log is locked, in the client's form. False if it doesn't fit. What all of them may take
 * (in bytes as they go out), so that reserve bytes of lines can still be written, is connection_event_space(); one takes
 * connection_event_size().
 */
bool connection_write_event(struct connection *c, const struct room *room, uint64_t seq,
			    const struct record *event, const char *line, size_t len);
size_t connection_event_size(struct connection *c, const struct room *room, uint64_t seq,
			     const struct record *event, const char *line, size_t len);
size_t connection_event_space(const struct connection *c, size_t reserve);
/* Past the outbox, if nothing waits there: how much the kernel took of it. For handlers that mirror. */
size_t connection_send(struct connection *c, const char *data, size_t len);
void connection_printf(struct connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The handler's words for a notice, within a transaction. False: they don't fit, or it has none. */
bool connection_notify(struct connection *c, const struct notice *n);
void connection_consume(struct connection *c, size_t n);
/*
 * Changes the byte so far behind what is consumed, outside of a transaction, for a handler that has dealt with something that
 * it can't consume yet. A successor may find it as it was.
 */
void connection_amend_input(struct connection *c, size_t at, char byte);
/* room: its log is locked and holds what was put; it is committed in the same step and unlocked. */
void connection_commit(struct connection *c, struct room *locked);

/*
 * Within a transaction, with the lock of the connection's room held: what is still to be sent from the room's
 * log goes to the outbox first, so that what follows comes after it. False if it doesn't fit with reserve
 * bytes left; then nothing is changed.
 */
bool connection_settle(struct connection *c, size_t reserve);

/*
 * How much (bytes) the kernel keeps of what it has not sent yet, beyond which the connection is blocked; 0: as much as it
 * likes. For who answers requests of a peer that may not read. It outlives the process.
 */
void connection_limit_unsent(struct connection *c, int bytes);

/* What was written to it by others than its own input is sent in this turn or the next. */
void connection_hurry(struct connection *c);

/* Within a transaction: the room that it is in from the commit on (or NULL), and where in that room's log its
 * stream goes on behind the outbox. */
void connection_place(struct connection *c, const struct room *room, struct position p);

/* Makes room (entered; or NULL) the one whose log is sent on; the one before is left. After the commit. */
void connection_set_room(struct connection *c, struct room *room);

/* The server itself ends, so nobody needs to be told that this client leaves. */
bool connection_is_ending(const struct connection *c);

/*
 * Takes from the client's allowance what the line at hand costs: as a line, and, if it is a command, as one.
 * It is paid for once, however often it has to be tried; connection_line_done() is called when it is dealt
 * with.
 */
bool connection_may_talk(struct connection *c, unsigned command_cost);
void connection_line_done(struct connection *c);
/* Whether the peer is gone for good, and only what it said before is still being looked at. */
bool connection_is_unheard(const struct connection *c);
/* Takes one change of its nick, or of its room, from the client's allowance. */
bool connection_may_rename(struct connection *c);
bool connection_may_move(struct connection *c);
/*
 * What a command turned out to cost beyond what was taken for it, in entries of tables that were looked at (about 1 us each): so
 * many are as one command. The next command waits for it, for half a minute at most; nothing else does. 0 is nothing.
 */
#define CONNECTION_COMMAND_WORK 128
void connection_charge(struct connection *c, uint64_t work);
/* Whether the commands of this turn have not looked at so much yet that others are waiting; else the verdict is HANDLER_YIELD. */
#define CONNECTION_TURN_WORK 1024
bool connection_has_turn(const struct connection *c);
/*
 * Likewise, of rooms that a client with many of them enters and leaves, which are no commands otherwise: as it comes back to
 * all of them at once, half a minute's worth is free, and then it goes on at the pace of commands. may_enter(), before each of
 * them: false: the verdict is HANDLER_LIMITED.
 */
void connection_charge_entries(struct connection *c, uint64_t work);
bool connection_may_enter(struct connection *c);

/*
 * Has a password checked (logins.h): the handler returns HANDLER_WAITING, and finds the answer when it is
 * called again with the same input. connection_login_take() takes the answer to exactly this question; one to
 * another is forgotten. connection_login_failed() counts a failure and tells how many there were.
 */
enum login { LOGIN_NONE, LOGIN_GOOD, LOGIN_BAD };
struct login_question;
bool connection_login_ask(struct connection *c, const struct login_question *q);
enum login connection_login_take(struct connection *c, const struct login_question *q);
unsigned connection_login_failed(struct connection *c);

/*
 * Something else that a service finds out. The handler leaves it with the connection and returns HANDLER_WAITING; it is
 * called again with the same input after connection_await_over(), or when some seconds have passed without. One at
 * a time: drop() is called for the one before, and at the end. False without memory, and it is dropped.
 */
bool connection_await(struct connection *c, void *what, void (*drop)(void *what));
void *connection_awaited(const struct connection *c);
void connection_await_end(struct connection *c);
/* The answer to that client is there; for the service's job on its worker. */
void connection_await_over(struct context *ctx, uint32_t index, uint64_t id, const void *what);

/*
 * The handler waits for something of the peer's, which is what (not 0) to it: if that isn't here in so many us, the client is
 * sent away (NOTICE_LATE). Waiting for the same once more changes nothing; 0: nothing is waited for any more. A successor
 * doesn't know of it, so restored() begins anew.
 */
void connection_expect(struct connection *c, unsigned what, int64_t us);
unsigned connection_expects(const struct connection *c);

/* --- for the worker and the listeners --- */

struct connection_start {
	struct stream stream;
	union address address;
	struct client *client;
	const struct handler *handler;
	bool covered; /* the keeper has the socket, too */
};

/*
 * The way into the worker: a new connection, or one of the process before. All of start is handed over, also
 * when it fails (-errno), which closes the connection. The client is counted in the limits for that address
 * already.
 */
int connection_open(struct worker *w, const struct connection_start *start);

/* What a predecessor had done on the socket, as the kernel says. */
struct connection_progress {
	uint64_t sent;	   /* output bytes the kernel has */
	uint64_t received; /* input bytes taken from the kernel */
	int gone;	   /* the peer is: EPIPE, in order, or why (errno); else 0 */
	bool ended;	   /* by us: our FIN is on its way */
};
int connection_restore(struct worker *w, const struct connection_start *start,
		       const struct connection_progress *progress);

const union address *connection_address(const struct connection *c);
/* The name in the certificate that the peer has proved to be its own by TLS. Returns its length; 0: it has none. */
size_t connection_peer_name(const struct connection *c, char ret[static TLS_PEER_MAX + 1]);
/* Says why (NULL: nothing) and closes, leaving the room. False if it is closing already. */
bool connection_kick(struct connection *c, const struct notice *why);

#endif
