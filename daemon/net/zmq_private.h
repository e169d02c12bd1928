/* SPDX-License-Identifier: MIT */
/*
 * What the files of a ZeroMQ listener share, and nobody else includes. Each of them has one subject:
 *
 *	zmq_listener.c     the listener as the main thread and the behaviours see it
 *	zmq_thread.c       its thread: the loop, and the draining
 *	zmq_sockets.c      libzmq's sockets, opened and closed
 *	zmq_curve.c        who may connect: CURVE, and libzmq's questions about it (ZAP)
 *	zmq_doors.c        whether anybody can connect at the moment
 *	zmq_monitor.c      who is connected, and who is cut off
 *	zmq_subscribers.c  how many subscribe, and those who are waited for after a restart
 *	zmq_room.c         the room: what is said there and what is published from there
 */
#ifndef DAEMON_ZMQ_PRIVATE_H
#define DAEMON_ZMQ_PRIVATE_H

#include "daemon/net/zmq.h"
#include "daemon/net/zmq_peers.h"
#include "daemon/net/zmq_settings.h"

#include <pthread.h>

/* This many messages are passed on before the other sockets are looked at; zmq_proxy() does as many. */
#define ZMQ_BURST 1000

enum zmq_phase { ZMQ_PHASE_RUN, ZMQ_PHASE_DRAIN, ZMQ_PHASE_QUIT };

/* What a listener needs of its configuration, which may end before it: copies, and no pointer into that. */
struct zmq_setup {
	char name[CONFIG_NAME_MAX + 1];
	char room[TEXT_ROOM_MAX + 1];
	char endpoints[HANDLER_ENDPOINTS][CONFIG_ENDPOINT_MAX];
	int64_t keepalive_us;
	struct zmq_own own;
};

struct zmq_endpoint {
	void *socket, *monitor;
	int fd; /* listens; ours, libzmq has a copy */
	char bound[256];
	struct zmq_peers *peers;
};

struct zmq_listener {
	struct service service; /* first */
	struct context ctx;	/* without a configuration: see setup */
	const struct zmq_behaviour *behaviour;
	struct zmq_setup setup;
	unsigned origin;
	uint64_t before[COUNTERS_N]; /* how the counters were when the slot became ours */
	struct client_tally *tally;

	/* Of the main thread: */
	pthread_t thread;
	bool started;

	/* Of both: */
	struct wakeup *wakeup;
	atomic_int phase;
	atomic_bool drained;
	atomic_uint max_message, peers, subscribers;
	_Atomic int64_t linger_us, beat;

	/* Of its own thread, once that runs: */
	void *libzmq, *zap;
	struct zmq_endpoint at[HANDLER_ENDPOINTS];
	struct room *room; /* NULL: no bridge */
	uint64_t seq;	   /* the next of its messages to be published */
	zmq_msg_t message;
	struct zmq_held held_message;
	bool crowded;	   /* the room has to be delivered first */
	bool held;	   /* subscribers are waited for */
	bool doors_closed; /* as only the reserve of file descriptors is left */
	bool draining;
	int64_t held_until, doors_looked_at, peers_looked_at;
	int64_t last_input;
	int64_t alone_since; /* while draining, when the last peer had gone; 0: not yet */
};

static inline void zmq_tally(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* --- zmq_thread.c --- */

/* The thread; arg is the listener. */
void *zmq_thread_run(void *arg);

/* --- zmq_sockets.c --- */

/* Opens all of them. Returns 0, or -errno with the endpoint in *ret_why, if it is one. */
int zmq_sockets_open(struct zmq_listener *z, const char **ret_why);
/* Closes them, which waits for as long as the linger says. */
void zmq_sockets_close(struct zmq_listener *z);

/* --- zmq_curve.c --- */

/* Before any other socket is opened. */
int zmq_curve_open(struct zmq_listener *z);
int zmq_curve_set(const struct zmq_listener *z, void *socket);
/* Answers libzmq's next question. */
void zmq_curve_answer(struct zmq_listener *z);

/* --- zmq_doors.c --- */

/*
 * Closes or opens the door of one endpoint: while it is closed, the kernel drops who wants to connect, and
 * they try again in a second. (zmq_unbind() would end the connections that there are.)
 */
void zmq_doors_set(const struct zmq_endpoint *e, bool closed);
/* Closes all of them until there are file descriptors again, for which zmq_doors_look() looks. */
void zmq_doors_close(struct zmq_listener *z);
void zmq_doors_look(struct zmq_listener *z, int64_t now);
/* Whether fd is a connection that came through this door: libzmq may have closed the one that was meant. */
bool zmq_doors_led_to(const struct zmq_endpoint *e, int fd);

/* --- zmq_monitor.c --- */

/* Starts to listen to what libzmq says of a socket's connections. */
int zmq_monitor_open(struct zmq_listener *z, unsigned number);
void zmq_monitor_close(struct zmq_endpoint *e);
void zmq_monitor_read(struct zmq_listener *z, struct zmq_endpoint *e);
/* Looks for messages without an end, at most every few milliseconds. */
void zmq_monitor_look(struct zmq_listener *z, int64_t now);
bool zmq_monitor_may_look(const struct zmq_listener *z, int64_t now);
/* Whether to look soon, even if nobody sends anything. */
bool zmq_monitor_wants_to_look(const struct zmq_listener *z, int64_t now);
#define ZMQ_LOOK_MS 5
/*
 * Nobody can send any more: a peer that sees the end of our side closes, and its kernel delivers what it had
 * taken before that. Our side goes on reading until then. Peers that come again before that are treated
 * alike.
 */
void zmq_monitor_end_peers(const struct zmq_endpoint *e);

/* --- zmq_subscribers.c --- */

/* held: those that there were before are waited for, for a moment. */
void zmq_subscribers_begin(struct zmq_listener *z, bool held);
/* Takes subscriptions, and their ends. */
void zmq_subscribers_read(struct zmq_listener *z);
/* Each turn: whether they are still waited for; how many there are is left for the next process. */
void zmq_subscribers_look(struct zmq_listener *z);

/* --- zmq_room.c --- */

int zmq_room_enter(struct zmq_listener *z);
void zmq_room_leave(struct zmq_listener *z);
bool zmq_room_has_news(const struct zmq_listener *z);
/* Publishes the room's news as [room][line]; or, while subscribers are waited for, lets nobody wait. */
void zmq_room_publish(struct zmq_listener *z);
void zmq_room_hold(struct zmq_listener *z);

#endif
