/* SPDX-License-Identifier: MIT */
/*
 * Transport and behaviour apart: a transport owns sockets and bytes, a handler is what happens on a
 * connection. A new behaviour is one file that fills a struct handler and one row in modes/table.c; the
 * configuration finds it there by `type` and `mode`.
 */
#ifndef DAEMON_HANDLER_H
#define DAEMON_HANDLER_H

#include "daemon/config/notice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct expulsion;
struct record;
struct room;
struct shared;
struct chat_words;
struct mode_settings;
struct udp_behaviour;
struct zmq_behaviour;

enum transport { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ZMQ };

#define HANDLER_ENDPOINTS 2

/* What became of the bytes that received() was given. */
enum verdict {
	HANDLER_MORE,	 /* everything useful is consumed: come back with more input */
	HANDLER_BLOCKED, /* the output is full: come back when it has drained */
	HANDLER_CROWDED, /* the room has to be delivered first: come back next turn */
	HANDLER_YIELD,	 /* enough for one turn: come back next turn, after the others */
	HANDLER_LIMITED, /* too fast: come back in a moment */
	HANDLER_WAITING, /* for the answer to connection_login_ask(), or for what connection_await() is about */
	HANDLER_CLOSE,	 /* flush what is there and close; the state says CLIENT_CLOSING */
};

/* The most that an event whose line has len bytes may become: what is added to it, among it the tags of IRC that somebody gave a
 * message (irc/line.h: 4,094 bytes), and each byte escaped. */
#define HANDLER_RENDERED_MAX(len) (6 * (len) + 12288)

struct handler {
	const char *type, *mode; /* as the configuration has it */
	enum transport transport;
	const struct mode_settings *settings; /* what may stand in a listener's group; never NULL */
	bool many;			      /* its clients may be in many rooms (engine/seats.h) */
	bool has_nicks; /* its clients have nicks; who has none for login_timeout is sent away */
	bool mirrors;	/* sends its input and nothing else, so a byte more sent is a byte more consumed */

	/* TRANSPORT_TCP: */
	/* For a new connection, once, when its socket is safe from a crash. room: the listener's, or "". */
	void (*opened)(struct connection *c, const char *room);
	/* The same connection in a new process: its state came back, what lives in the process must be made
	 * again. */
	void (*restored)(struct connection *c);
	/* There is a configuration that it has not seen: another one, or this process's, after restored() (or
	 * NULL). */
	void (*reloaded)(struct connection *c);
	/*
	 * data[0..len) is all input that connection_consume() has not taken yet. eof: none will follow.
	 * Called again with the rest, as the verdict says.
	 */
	enum verdict (*received)(struct connection *c, const char *data, size_t len, bool eof);
	/*
	 * A connection has a form, as its handler says (connection_set_form()): a small number in its entry, 0 at
	 * first. In the forms (one bit each) that `renders` has, members get their room's events by render(), and in
	 * those that `wraps` has, what is written in lines goes through wrap(). In all others both go out as they
	 * are, which costs least.
	 *
	 * render() makes of an event what a member in that form is sent: at most HANDLER_RENDERED_MAX(len) bytes, to
	 * out. Returns how many; 0: nothing is shown of it. line: as the room's log has it, with its newline.
	 *   - It is a pure function of the event, of what that names by number (daemon/irc/personas.h), and of the
	 *     room's name, epoch and numbers (room_number()): not of settings, nor of the time. What went out is found again by making the same bytes again, by the next
	 *     process as well. A release that renders otherwise gives that form another number.
	 *   - One rendering is for all members in that form, so it is made once, whoever they are.
	 *   - A place in a room is between two events, never within one's rendering.
	 */
	uint64_t renders, wraps;
	size_t (*render)(const struct shared *shared, unsigned form, const struct room *room, uint64_t seq,
			 const struct record *event, const char *line, size_t len, char *out);
	/*
	 * The same of a private message to c, in a form that `renders` has; NULL: render() does that, with the private
	 * room. It may depend on anything.
	 */
	size_t (*letter)(struct connection *c, uint64_t seq, const struct record *event, const char *line,
			 size_t len, char *out);
	/*
	 * Whether a member in a form that `renders` has is shown an event of its room; NULL: all of them. Only asked of
	 * what it did itself and of notices. It takes no locks.
	 */
	bool (*sees)(struct connection *c, const struct room *room, uint64_t seq, const struct record *event,
		     const char *line, size_t len);
	/*
	 * Whole lines (each with its newline; len may be 0) that were written to this one, in its form: it writes them
	 * by connection_write_wire(), within the transaction that they belong to. closing: with this transaction the
	 * connection ends, and nothing may follow: a last word of the protocol's is due.
	 */
	void (*wrap)(struct connection *c, const char *text, size_t len, bool closing);
	/* How chat is put in a form that has something better than lines: modes/chat.h. NULL: there is none. */
	const struct chat_words *words;
	/* Somebody removed it from a room, which was told: it leaves. NULL: nobody can be removed. */
	void (*expelled)(struct connection *c, const struct expulsion *e);
	/* It is over: gives back whatever it holds. Called once. */
	void (*closed)(struct connection *c);

	/*
	 * TRANSPORT_TCP, TRANSPORT_UDP: puts a notice into words, at most size bytes (at least NOTICE_MAX). c: whose it
	 * is; NULL: it has no connection (yet). Returns the length; 0: it says nothing of that. NULL: of anything.
	 */
	size_t (*notice)(const struct connection *c, const struct notice *n, char *text, size_t size);

	/* TRANSPORT_UDP, TRANSPORT_ZMQ: what it does instead of the above. */
	const struct udp_behaviour *udp;
	const struct zmq_behaviour *zmq;
	/* TRANSPORT_ZMQ: the settings that have its endpoints, instead of `listen`. */
	const char *endpoints[HANDLER_ENDPOINTS];
};

#endif
