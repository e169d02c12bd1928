/* SPDX-License-Identifier: MIT */
/*
 * What the files of the connections know of each other, and nobody else: a connection's insides, the set of
 * them, and what each file offers the others.
 */
#ifndef DAEMON_CONNECTION_OWN_H
#define DAEMON_CONNECTION_OWN_H

#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/logins.h"

#include <stdatomic.h>

/* Why input is not read at the moment. */
enum pause {
	PAUSE_BLOCKED = 1 << 0, /* the output has to drain */
	PAUSE_CROWDED = 1 << 1, /* the room has to be delivered, or others have their turn */
	PAUSE_LIMITED = 1 << 2, /* lines_per_second */
	PAUSE_CLOSING = 1 << 3,
	PAUSE_FROZEN = 1 << 4, /* the server ends */
	PAUSE_LOGIN = 1 << 5,  /* a password is being checked */
};

struct connection {
	struct source source;
	struct task task; /* to be looked at again, or buried */
	int fd;
	uint8_t pause;
	bool blocked; /* the kernel took less than it was given: wait for EPOLLOUT */
	bool skipped; /* there may be news in the room that it was not sent */
	bool doomed;  /* to be closed when no pin is held */
	bool dead, eof, retired, lingering, ending, covered, spoke;
	bool unheard;	/* the peer has gone: what is sent goes nowhere, but what it sent before counts */
	bool unwatched; /* epoll would tell of its end without end */
	bool kicked;	/* so its deadline is one, whatever it reads */
	bool arrived;	/* all of it has, and the peer's goodbye is waited for */
	bool out_touched, in_touched; /* pages to give back when idle */
	bool paid_line, paid_command; /* what the line at hand costs */
	uint8_t login;		      /* enum login */
	uint8_t login_subject[LOGIN_SUBJECT_LEN];
	struct login_request *asked; /* until its answer is there */
	uint8_t failures;	     /* wrong passwords */
	uint32_t events;
	uint64_t pos;  /* in the room's log, once the outbox is empty */
	uint64_t seq;  /* the number of the message at pos */
	uint64_t sent; /* output bytes the kernel took */
	struct connection *room_next, *room_prev;
	struct room *room;
	struct client *client;
	const struct handler *handler;
	struct worker *w;
	struct context *ctx; /* of its worker */
	struct connection *next, *prev;
	struct roster_entry *roster;
	struct client_state *draft; /* within a transaction */
	const char *end_text;
	int error;	   /* errno that ended it, for the log */
	uint32_t leftover; /* input bytes received, not consumed, in the inbox */
	int64_t active;	   /* CLOCK_MONOTONIC in us of the last input */
	int64_t began;	   /* and of the beginning, also if that was in another process */
	/* When the next one is due, were they evenly spread (GCRA): lines, bytes, new nicks, new rooms. */
	int64_t lines_due, bytes_due, commands_due, nicks_due, rooms_due;
	const char *too_many;  /* of what, when it is slowed down */
	int64_t noticed;       /* when it was last told that it is slowed down */
	int64_t deadline;      /* of closing, or of being limited */
	int64_t unheard_until; /* so long what it sent may take */
	uint64_t acked;	       /* bytes that the peer's TCP had at the last look, when closing */
	struct tls *tls;       /* or NULL: the socket's bytes are the stream's */
	union address address;
};

/* A worker's. */
struct connections {
	struct resident resident;
	struct context *ctx;
	struct connection *first;
	struct connection **members;  /* per room */
	struct connection **by_index; /* per place in the table */
	uint64_t private_seq;	      /* up to where this worker has handed out private messages */
	atomic_uint all, uncovered, mortal;
};

/* --- connections.c --- */

void connections_add(struct connections *cs, struct connection *c);
void connections_remove(struct connections *cs, struct connection *c);

/* --- connection.c --- */

/* Once a second. *releases is how many buffers' pages may still be given back. */
void connection_tick(struct connection *c, unsigned *releases);
/* The worker's configuration is another one. */
void connection_reloaded(struct connection *c);
/* Tries again to put the socket into the keeper, if it is not there. */
void connection_cover(struct connection *c);
/* The server ends: what is outstanding and text (which must stay) are sent, then it closes. */
void connection_end(struct connection *c, const char *text);
/* Cuts the connection without a word, by a reset if something is missing; the worker's thread has ended. */
void connection_hang_up(struct connection *c);
/* No more input is read. */
void connection_freeze(struct connection *c);
/* Releases the process's side; the entry and the socket's other references live on. */
void connection_free(struct connection *c);
/* For `chatctl list clients`. */
void connection_info(const struct connection *c, struct client_info *ret);

/* --- output.c --- */

/* Sends the room's news to this worker's members. */
void output_deliver(struct connections *cs, uint32_t room);

/* --- private.c --- */

/* Hands out the private messages that have come. */
void private_deliver(struct connections *cs);

#endif
