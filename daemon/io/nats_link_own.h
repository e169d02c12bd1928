/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the link to NATS share. A *life* is one connection, from the attempt to its end: libnats's threads
 * hold on to it as long as they may still call, whatever became of the link meanwhile.
 */
#ifndef DAEMON_NATS_LINK_OWN_H
#define DAEMON_NATS_LINK_OWN_H

#include "daemon/io/nats_link.h"

#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>

#define NATS_WHY_MAX 1024
/* What a call to the server may take. */
#define NATS_REQUEST_MS 2000
#define NATS_WRITE_MS 500
/* The server says at least that often that the consumer lives, and is taken for dead after three that didn't come. */
#define NATS_HEARTBEAT_MS 500
#define NATS_SILENCE_US (INT64_C(3) * NATS_HEARTBEAT_MS * 1000)
/* What may wait in the queue. */
#define NATS_REPLIES_MAX 131072u

/* An event that is the owner's, with what it points into. */
struct nats_node {
	struct nats_node *next;
	struct nats_link *link;
	struct nats_event event;
	natsMsg *msg;
	char why[];
};

struct nats_link {
	/* The owner, its thread, and each life. */
	atomic_uint refs;
	struct nats_link_settings settings;
	pthread_t thread;
	/* The thread's own: the options of an attempt that found nobody, for the next one. */
	natsOptions *kept;
	bool kept_tls;

	/* Guards what follows. */
	pthread_mutex_t mutex;
	/* The thread waits for something to do. */
	pthread_cond_t work;
	bool stopping, ended;
	struct nats_life *life;
	bool asked;
	uint64_t asked_applied;
	int64_t asked_time_ns;
	char server[256];
	/* The queue. offered: the last generation whose NATS_CONNECTED was taken. */
	struct nats_node *first, *last;
	size_t n_events;
	uint64_t offered;
	bool readable;
	int fd;
	/* The descriptor that the owner waits for: this one, and the connection's socket. */
	int epoll;

	/* Held while the connection is used by the owner, so that it stays there. Taken before the mutex. */
	pthread_mutex_t use;
	natsConnection *nc;
	struct nats_life *user; /* that connection's */
	natsSubscription *const *subs;
	size_t n_subs;
	/* Messages that the owner has done with. */
	struct nats_node *spent;
	size_t n_spent, spent_bytes;
	bool writing; /* the socket is waited for to take more */
	/* The generation that may publish; 0: none. */
	uint64_t open;
	char inbox[64];
};

struct nats_life {
	/* The link's thread, the callback that the connection is closed, and the subscription to replies. */
	atomic_uint refs;
	struct nats_link *link;
	uint64_t generation;
	pthread_t session;
	/* libnats has something to write, and waits for being called. */
	atomic_bool writes;
	/* Of whoever reads the socket: whether TLS is spoken there, and how many bytes are waited for. */
	enum nats_layer { NATS_LAYER_UNKNOWN, NATS_LAYER_PLAIN, NATS_LAYER_TLS } layer;
	int needs;

	/* Guarded by the link's mutex. */
	bool over;
	char why[NATS_WHY_MAX];
	/* -1: none, or it is closed. */
	int socket;
	/* The messages may come: NATS_SUBSCRIBED is in the queue. */
	bool flows;
	/* When the consumer was last heard of. */
	int64_t heard_us;
	/* Of the last message: its number among what this consumer sent. */
	uint64_t consumed;
};

/* --- nats_link.c --- */

void nats_link_unref(struct nats_link *l);
/* Whoever waits looks again; the mutex is held. */
void nats_link_wake(struct nats_link *l);
struct nats_life *nats_life_new(struct nats_link *l, uint64_t generation);
void nats_life_unref(struct nats_life *life);
static inline struct nats_life *nats_life_ref(struct nats_life *life)
{
	atomic_fetch_add(&life->refs, 1);
	return life;
}
/* The connection is to end; what was said first counts. */
void nats_life_end(struct nats_life *life, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- nats_session.c --- */

/* The thread. */
void *nats_session_run(void *link);

/* --- nats_events.c: the queue. The mutex is held by the caller. --- */

/* A copy of it, its own as well; msg is taken over. The owner's thread may do so at any time. */
struct nats_event *nats_events_new(struct nats_link *l, const struct nats_event *e, natsMsg *msg);
void nats_events_put(struct nats_link *l, const struct nats_event *e);
/* False: there is none, and the descriptor is no longer readable because of that. */
bool nats_events_take(struct nats_link *l, struct nats_event *ret);
/* The owner is to call nats_link_next(). */
void nats_events_wake(struct nats_link *l);
void nats_events_failed(struct nats_link *l, uint64_t generation, const char *why);
/* A connection is over: its events go. If it was usable (why), it is said to be lost; to have failed, if nobody heard of it. */
void nats_events_over(struct nats_link *l, uint64_t generation, const char *why);
void nats_events_clear(struct nats_link *l);

/* --- nats_connect.c --- */

/* One attempt at one server. 0, or -1 and why. */
int nats_connect(struct nats_life *life, const char *server, natsConnection **ret, char why[NATS_WHY_MAX]);
/* What it kept of an attempt for the next one, which is to read the files again. */
void nats_connect_forget(struct nats_link *l);
/* Ends what blocks inside of nats_connect(). */
void nats_connect_interrupt(pthread_t thread);
int nats_connect_prepare(void);
/* What went wrong in the last call of libnats, in plain words. */
void nats_connect_why(natsStatus s, char why[NATS_WHY_MAX]);

/* --- nats_stream.c --- */

/* Makes the stream, or sees to it that it is as it should be. */
int nats_stream_prepare(const struct nats_link_settings *settings, jsCtx *js, char why[NATS_WHY_MAX]);
/* Has the messages behind applied sent to `deliver`. ret becomes a NATS_SUBSCRIBED. */
int nats_stream_read(const struct nats_link_settings *settings, jsCtx *js, const char *deliver,
		     uint64_t applied, int64_t time_ns, struct nats_event *ret, char why[NATS_WHY_MAX]);

/* --- nats_socket.c: what libnats leaves to the owner's thread. The connection is held by the caller. --- */

natsStatus nats_socket_options(natsOptions *o, struct nats_life *life);
void nats_socket_begin(struct nats_link *l);
void nats_socket_end(struct nats_link *l);
/* Reads what is there, up to a limit, and writes what can be written. */
void nats_socket_read(struct nats_link *l);
void nats_socket_write(struct nats_link *l);
/* Writes until little is left. False: the server doesn't take it in time. */
bool nats_socket_press(struct nats_link *l);
/* Of a connection that the owner has no longer: reads and writes until nothing more comes, or that is over. */
void nats_socket_settle(struct nats_life *life, natsConnection *nc, int64_t ms);
/* From any thread, with nothing held: whether the other end is gone; whether there is something to do that the owner has
 * not come to. */
bool nats_socket_is_dead(struct nats_life *life);
bool nats_socket_is_behind(struct nats_life *life);
/* Whoever is blocked by it isn't any more. */
void nats_socket_cut(struct nats_life *life);

/* --- nats_receive.c --- */

/* The callback. */
void nats_receive_reply(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *life);
/* The next message, if there is one. The connection is held by the caller. */
bool nats_receive_next(struct nats_link *l, bool flows, struct nats_event *ret);

#endif
