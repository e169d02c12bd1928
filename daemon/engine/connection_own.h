/* SPDX-License-Identifier: MIT */
/*
 * What the files of the connections know of each other, and nobody else: a connection's insides, the set of
 * them, and what each file offers the others.
 */
#ifndef DAEMON_CONNECTION_OWN_H
#define DAEMON_CONNECTION_OWN_H

#include "daemon/engine/batch.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/logins.h"
#include "daemon/engine/rendering.h"
#include "daemon/engine/worker.h"
#include "daemon/io/sender.h"

#include <stdatomic.h>

/* Where a connection is in its life. A phase only goes forward: see closing.c. */
enum phase {
	PHASE_OPEN,	 /* it talks, or may do so after a pause */
	PHASE_CLOSING,	 /* nothing is read any more; what is outstanding is sent */
	PHASE_LINGERING, /* all was given to the kernel, our goodbye included */
	PHASE_ARRIVED,	 /* all has arrived; only the peer's goodbye is missing */
	PHASE_DOOMED,	 /* to be closed in this turn, once no pin is held */
	PHASE_DEAD,	 /* closed; the worker frees it at the end of the turn */
};

/* Why an open connection is not read from at the moment; any number of reasons. */
enum pause {
	PAUSE_BLOCKED = 1 << 0, /* the output has to drain */
	PAUSE_TURN = 1 << 1,	/* until its next turn: the input that is there is worked on then */
	PAUSE_LIMITED = 1 << 2, /* it was too fast: until its deadline */
	PAUSE_FROZEN = 1 << 3,	/* the server ends */
	PAUSE_ANSWER = 1 << 4,	/* what it asked a service isn't answered yet */
};

enum pace { PACE_LINES, PACE_BYTES, PACE_COMMANDS, PACE_ENTRIES, PACE_NICKS, PACE_ROOMS, PACES };

/* What is to be known of a connection only while it does something: see activity.c. */
struct activity {
	struct connection *of;
	/* How fast it has been: when the next of each kind is due if they come evenly spread (GCRA). */
	int64_t due[PACES];
	int64_t matters_until; /* then all of this is as if it had done nothing */
	int64_t rests_until;   /* as long as it is PAUSE_LIMITED */
	int64_t noticed;       /* when it was last told that it is slowed down */
	const char *too_many;  /* of what, when it is slowed down */
	/* The password that is being checked (connection_login.c). */
	struct login_request *asked; /* until its answer is there */
	uint8_t login_subject[LOGIN_SUBJECT_LEN];
	uint8_t login; /* enum login: the answer, until it is taken */
	/* What else a service is asked (connection_await.c). */
	void *awaited; /* until the handler is done with it; NULL: nothing */
	void (*drop_awaited)(void *what);
	int64_t awaited_until;
	/* What the peer is waited for (patience.c). */
	int64_t expects_until;
	uint8_t expects; /* the handler's number for it; 0: nothing */
};

/* Most connections are idle at most times, so this is what each one costs: see the assertion below. */
struct connection {
	struct source source;
	struct task task; /* to be looked at again, or buried */
	struct stream stream;
	struct context *ctx; /* of its worker */
	struct client *client;
	const struct handler *handler;
	struct room *room;
	struct connection *room_next, *room_prev;
	uint64_t pos;  /* in the room's log, once the outbox is empty */
	uint64_t seq;  /* the number of the message at pos */
	uint64_t sent; /* output bytes the kernel took */
	struct roster_entry *roster;
	int64_t active;	   /* CLOCK_MONOTONIC in us of the last input */
	int64_t deadline;  /* of closing; of what was said by who is unheard; before, of the next look */
	uint32_t acked;	   /* how far the peer's TCP had got at the last look */
	uint32_t leftover; /* input bytes received, not consumed, in the inbox */
	uint32_t untold;   /* how much of the log it was sent, rendered, since its place was committed */
	uint32_t activity; /* its number among those, plus 1; 0: it has none */
	uint16_t error;	   /* errno that ended it, for the log */
	uint8_t phase;	   /* enum phase */
	uint8_t pause;	   /* enum pause */
	uint8_t watched;   /* the events that epoll watches for */
	uint8_t failures;  /* wrong passwords */
	/* What is known of the peer. */
	bool eof : 1;	  /* it says nothing more, and all it said has been received */
	bool unheard : 1; /* it has gone: what is sent goes nowhere, but what it said before counts */
	bool spoke : 1;	  /* it has said something */
	/* What is known of its output. */
	bool blocked : 1; /* the kernel took less than it was given: wait for EPOLLOUT */
	bool behind : 1;  /* there may be news in the room that it was not sent */
	/* What was done. */
	bool covered : 1;		      /* the keeper has the socket, too */
	bool unwatched : 1;		      /* epoll would tell of its end without end */
	bool retired : 1;		      /* it has left its room and given its nick back */
	bool ending : 1;		      /* because the server ends */
	bool kicked : 1;		      /* so its deadline is one, whatever it reads */
	bool out_touched : 1, in_touched : 1; /* pages to give back when idle */
	bool paid_line : 1, paid_command : 1; /* what the line at hand costs */
	bool drafting : 1;		      /* a transaction is under way */
	uint8_t looks : 3;		      /* that found the peer where it was, and not at the end */
	/* One, if the entry was made by a release that didn't note it there, else none. */
	union address address[];
};

/* With malloc's header this is a multiple of 16. What an idle connection costs in all is in docs/PERFORMANCE.md. */
_Static_assert(sizeof(struct connection) <= 184, "an idle connection costs no more than 0.7 kB in all");

/* What the log says of a connection beside the message. */
#define CONNECTION_FIELDS(c, event, ...)                                                                     \
	(&(struct log_fields){.message_id = (event),                                                         \
			      .client = (c)->client->id,                                                     \
			      .listener = connection_listener(c),                                            \
			      .address = connection_address(c),                                              \
			      ##__VA_ARGS__})

/* Lines that the transaction under way has written, in a form that wraps, and that are not wrapped yet: writing.c. */
struct lines {
	const struct connection *of; /* whose transaction it is; NULL: there is none */
	size_t len;
	bool ended; /* the handler has said the last word itself */
	/* Words that belong in front of the last one, if that is said in a transaction of this connection. */
	const struct connection *leaving;
	const struct notice *why;
	char text[CLIENT_OUT_SIZE / 4];
};

/* A worker's. */
struct connections {
	struct resident resident;
	struct context *ctx;
	struct connection **members;  /* per room */
	struct connection **by_index; /* per place in the table */
	struct seat **seats;	      /* likewise: the rooms of who may be in many */
	struct seat **waiting;	    /* per room: who is in it, but is sent another one's log at the moment */
	uint32_t high;		    /* places from here on were never used */
	uint32_t tick_at, tick_end; /* up to where the tick has come, and where it ends */
	unsigned releases;	    /* of buffers' pages that the tick may still make */
	unsigned losses;	    /* roster_losses() at the last tick */
	bool looks_for_losses;	    /* this tick does, as somebody's nick is lost */
	struct activity *activities;
	uint32_t n_activities, activities_capacity;
	struct batch batch;
	uint64_t private_seq; /* up to where this worker has handed out private messages */
	atomic_uint all, uncovered, mortal;
	struct lines lines;
	struct renderings *renderings;
};

/* --- connections.c --- */

void connections_add(struct connections *cs, struct connection *c);
void connections_remove(struct connections *cs, struct connection *c);

/* --- connection.c --- */

/* The worker's configuration is another one. */
void connection_reloaded(struct connection *c);
/* The server ends: what is outstanding and a last word are sent, then it closes. */
void connection_end(struct connection *c);
/* Cuts the connection without a word, by a reset if something is missing; the worker's thread has ended. */
void connection_hang_up(struct connection *c);
/* No more input is read. */
void connection_freeze(struct connection *c);
/* Releases the process's side; the entry and the socket's other references live on. */
void connection_free(struct connection *c);
/* For `chatctl list clients`. */
void connection_info(const struct connection *c, struct client_info *ret);

/* It becomes a member that is sent that room's log, is so no more, and gives back a room that it has left. */
void connection_link(struct connection *c, struct room *room);
void connection_unlink(struct connection *c);
void connection_give_room_back(struct connection *c, struct room *room);
/* Within a transaction: where in its room's log the stream goes on behind the outbox. */
void connection_go_on_at(struct connection *c, struct position p);
/* Has it looked at again in this turn or the next. Takes no locks. */
void connection_retry(struct connection *c);
/* Has epoll watch for what the connection waits for now; for nothing any more. */
void connection_rewatch(struct connection *c);
void connection_unwatch(struct connection *c);
/* A transaction of its own that sets them. */
void connection_set_flags(struct connection *c, uint16_t flags);

static inline bool connection_may_read(const struct connection *c)
{
	return c->phase == PHASE_OPEN && !c->pause;
}

/* CLOCK_MONOTONIC in us of its beginning, also if that was in another process. */
int64_t connection_began(const struct connection *c);

/* --- seats.c: for whose handler says `many` --- */

/* Its outbox is empty, and its room's log sent: turns to another room that has news. False: none has. */
bool seats_turn(struct connection *c);
/* Those who wait in that room and can be sent something are sent its log from now on. Holds no pin. */
void seats_turn_all(struct connections *cs, uint32_t room);
/* Whether a room has news for it. */
bool seats_lack_something(const struct connection *c);
/* Leaves all rooms, whatever its entry says. */
void seats_give_up(struct connection *c);
void seats_free(struct connection *c);
/* Its rooms for a list: "lobby", "lobby,ops", "lobby,+3"; "": none. */
void seats_describe(const struct connection *c, char *text, size_t size);

/* --- upkeep.c --- */

/* Once a second. *releases is how many buffers' pages may still be given back. */
void connection_tick(struct connection *c, unsigned *releases);
/* Tries again to put the socket into the keeper, if it is not there. */
void connection_cover(struct connection *c);

/* --- connection_await.c --- */

/* Nobody would hear the answer. Takes no locks. */
void connection_await_no_more(struct connection *c);
/* Once a second: who has waited for too long goes on without an answer. */
void connection_await_tick(struct connection *c);

/* --- patience.c --- */

/* Once a second: whoever has not said in time what is waited for is sent away. */
bool connection_is_late(struct connection *c);

/* --- input.c --- */

void input_ready(struct source *s, uint32_t events);
/* What had to wait for another turn. */
void input_again(struct connection *c);
/* Sends what is there, and takes up input that had to wait for that. */
void input_pump(struct connection *c);

/* --- activity.c --- */

/* NULL: it has none. The pointer is good until one is made or forgotten, be it another connection's. */
static inline struct activity *activity_of(const struct connection *c)
{
	return c->activity ? &c->ctx->connections->activities[c->activity - 1] : NULL;
}
/* The one it has, or one that is made; NULL without memory. */
struct activity *activity_make(struct connection *c);
void activity_forget(struct connection *c);
/* Until then something in it makes a difference. */
void activity_matters(struct activity *a, int64_t until);
/* Once a second: forgets those that make none any more. */
void activity_tick(struct connections *cs);

/* --- connection_login.c --- */

/* The password that is being checked is nobody's any more. */
void connection_login_forget(struct connection *c);

/* --- pace.c --- */

/* n bytes were received. Returns for how long (us) no more should be. */
int64_t pace_received(struct connection *c, uint64_t n);
/* The line at hand was not paid for: reading rests until it can be. */
void pace_wait(struct connection *c);
/* Reading rests for so long (us); a person is told why, now and then. */
void pace_slow_down(struct connection *c, int64_t rest, const char *what);
/* Whether it still has to rest. */
bool pace_rests(const struct connection *c);

/* --- writing.c --- */

/* A transaction begins, is forgotten, or is about to be committed. */
void writing_begin(struct connection *c);
void writing_abandon(struct connection *c);
void writing_commit(struct connection *c);
/* Wraps what was written in lines, so that what follows comes behind it. */
void writing_wrap(struct connection *c);
/* Whatever happens to it is in front of the last word that the next transactions may say; NULL: no more. */
void writing_leave(struct connection *c, const struct notice *why);

static inline bool writing_renders(const struct connection *c)
{
	return __builtin_expect(c->handler->renders != 0, 0) && c->handler->renders >> connection_form(c) & 1;
}

/* Whose rendering of the room's events it is sent. */
static inline struct audience writing_audience(const struct connection *c, const struct room *room)
{
	return (struct audience){c->handler, connection_form(c), room};
}

/* --- output.c --- */

static inline bool output_is_pending(const struct connection *c)
{
	return c->sent < connection_state(c)->out_end;
}

/* Sends all that the kernel takes, and goes on with the end if that is next. */
void output_run(struct connection *c);
/*
 * What a process before sent straight from the room's log, or from renderings of it, was so much: puts the place on the
 * boundary behind that. False if it doesn't add up.
 */
bool output_restore(struct connection *c, uint64_t straight);
/* Has the stream take what it takes; as send(), but -errno. */
ssize_t output_transmit(struct connection *c, const void *data, size_t len);
/* Counts a send; n as in struct send_op. Returns how much was taken; -1: the peer is lost. */
ssize_t output_took(struct connection *c, ssize_t n);
/* The kernel took less than it was given. */
void output_was_cut(struct connection *c);

/* As connection_settle(), in that room and from there on; *p is where it is then. */
bool output_settle_at(struct connection *c, struct room *room, struct position *p, size_t reserve);
/* Whether the member is shown an event. */
bool output_shows(struct connection *c, const struct room *room, uint64_t seq, const struct record *event,
		  const char *line, size_t len);

/* Sends the room's news to this worker's members. */
void output_deliver(struct connections *cs, uint32_t room);

/* --- output_rendered.c: for members who are sent renderings; but for output_tell_place(), with the log pinned --- */

/* What is to be sent to many at once. */
struct output_batch {
	size_t n;
	struct send_op ops[SENDER_BATCH];
	struct rendered parts[SENDER_BATCH]; /* of which renderings, where it isn't the log itself */
};

/* Adds the next part to it, or sends it. */
void output_prepare_rendered(struct connection *c, const struct logring_view *v, struct output_batch *b);
/* After a send of r; n as in struct send_op. */
void output_sent_rendered(struct connection *c, const struct logring_view *v, const struct rendered *r,
			  ssize_t n);
/* Sends the next part to one. */
void output_send_rendered(struct connection *c, const struct logring_view *v);
/* As output_restore(); the log is locked. */
bool output_restore_rendered(struct connection *c, const struct logring_view *v, uint64_t straight);
/* Commits the place of a member that is sent renderings, if it was sent some since. */
void output_tell_place(struct connection *c);

/* --- closing.c --- */

/* Leaves the room and gives the nick back, as long as that is not done. */
void closing_retire(struct connection *c);
/* From now on nothing is read; the state says CLIENT_CLOSING, or will before the output has drained. */
void closing_begin(struct connection *c);
/* Leaves the room, gives the nick back, and begins to close; its entry says so. */
void closing_leave(struct connection *c);
/* All was given to the kernel. */
void closing_finish(struct connection *c);
/* Input that comes while it lingers. */
void closing_discard(struct connection *c);
/* Once a second, as long as it is closing. */
void closing_watch(struct connection *c);
/* The peer has gone. Takes no locks, since a pin may be held. */
void closing_lose_peer(struct connection *c, int error);
/* Has it closed in this turn. Takes no locks. */
void closing_doom(struct connection *c, int error);
/* Closes it. Takes locks. */
void closing_close(struct connection *c);
/* An end in order would say that nothing is missing: the peer gets a reset if something is. */
bool closing_lacks_something(const struct connection *c);

/* --- private.c --- */

/* Hands out the private messages that have come. */
void private_deliver(struct connections *cs);

#endif
