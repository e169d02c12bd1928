/* SPDX-License-Identifier: MIT */
/*
 * A ZeroMQ listener: sockets of libzmq, served by a thread of its own, which is a service. It works as a
 * worker does, but for messages instead of connections. What is done with the messages is a behaviour's
 * (struct zmq_behaviour).
 *
 * libzmq keeps the connections to itself, so they don't outlive the process: peers connect again by
 * themselves. The end is orderly: nobody may send any more, what was sent is taken and passed on, then the
 * sockets close.
 */
#ifndef DAEMON_ZMQ_H
#define DAEMON_ZMQ_H

#include "daemon/base/counters.h"
#include "daemon/config/config.h"
#include "daemon/config/handler.h"
#include "daemon/engine/context.h"
#include "daemon/engine/service.h"
#include "daemon/state/sockets.h"

#include <zmq.h>

struct zmq_listener;

/* --- for the main thread --- */

/*
 * fds: for each of the mode's sockets one that listens at its TCP endpoint, or -1; they stay with the
 * listener. It becomes one of the services, takes a slot, and is started as a service. Returns 0, -ENOMEM, or
 * -EUSERS if there are CONFIG_MAX_ZMQ of them, those that a reload is about to end included.
 */
int zmq_listener_new(struct shared *shared, const struct config *config,
		     const struct listener_config *listener, const int *fds, unsigned origin,
		     struct zmq_listener **ret);
/* Its thread has ended. */
void zmq_listener_free(struct zmq_listener *z);
struct service *zmq_listener_service(struct zmq_listener *z);

/* Whether a listener with that configuration has the same sockets, so that this one can go on. */
bool zmq_listener_is_same(const struct zmq_listener *z, const struct listener_config *config);

/* --- for the behaviours --- */

struct zmq_behaviour {
	/* Takes at most so many messages from socket 0, as long as there are any and they can be passed on. */
	void (*forward)(struct zmq_listener *z, unsigned most);
	/* The types of the sockets, one for each of the handler's endpoints. 0: there is none. */
	int types[HANDLER_ENDPOINTS];
};

extern const struct zmq_behaviour zmq_reply, zmq_relay, zmq_pipeline;

void *zmq_listener_socket(struct zmq_listener *z, unsigned number);
/* The first frame of the next message at socket 0; false if there is none. */
bool zmq_listener_take(struct zmq_listener *z, zmq_msg_t *m);
/* Another frame of it: of a ROUTER's message the first one doesn't always say whose it is. */
void zmq_listener_took_frame(struct zmq_listener *z, zmq_msg_t *m);
/* A message that was taken and can't be passed on yet: the sockets' readiness decides when forward() is
 * called again. */
struct zmq_held {
	zmq_msg_t *message; /* initialised */
	bool any;
};
struct zmq_held *zmq_listener_held(struct zmq_listener *z);

/* Whether the room (if there is one) takes more; else forward() is called again when it has been delivered. */
bool zmq_listener_room_takes(struct zmq_listener *z);
/* A text that was pushed becomes a message of nick (NULL: the listener). */
void zmq_listener_say(struct zmq_listener *z, const char *nick, const char *text, size_t len);
/* The name of its room, or NULL. */
const char *zmq_listener_room(const struct zmq_listener *z);
/* Whether that is a nick which is nobody's, and not reserved; it is normalised then. */
bool zmq_listener_may_be(struct zmq_listener *z, const char *s, size_t len, char ret[TEXT_NICK_MAX + 1]);
void zmq_listener_count(struct zmq_listener *z, uint64_t messages_in, uint64_t messages_out,
			uint64_t bytes_in, uint64_t bytes_out);
void zmq_listener_count_dropped(struct zmq_listener *z, uint64_t n);
void zmq_listener_count_ignored(struct zmq_listener *z, uint64_t n);

#endif
