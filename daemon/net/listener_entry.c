/* SPDX-License-Identifier: MIT */
/* One listener of the set: it is opened, announced in the log, and kept for a successor. */
#include "daemon/net/listener_entry.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/net/tcp.h"
#include "daemon/net/udp.h"

#include <stdio.h>
#include <string.h>

static int listener_entry_intern(struct clients *clients, const struct listener_config *config)
{
	struct client_origin origin = {.listener = ""};

	snprintf(origin.listener, sizeof(origin.listener), "%s", config->name);
	snprintf(origin.type, sizeof(origin.type), "%s", config->handler->type);
	snprintf(origin.mode, sizeof(origin.mode), "%s", config->handler->mode);
	snprintf(origin.room, sizeof(origin.room), "%s", config->room);
	return clients_intern(clients, &origin);
}

/* Its sockets are open, and are its own from here on. */
static int listener_entry_make_zmq(struct shared *shared, const struct config *config,
				   const struct listener_config *c, struct listener_entry *e)
{
	int fds[HANDLER_ENDPOINTS];

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		fds[i] = e->places.at[i].fd;
	int r = zmq_listener_new(shared, config, c, fds, e->origin, &e->zmq);
	if (r == 0)
		e->service = zmq_listener_service(e->zmq);
	return r;
}

/* The transports, a row each: it makes a listener that lives on a worker, or a service. */
static const struct {
	struct listener *(*listener)(const struct listener_config *c);
	int (*service)(struct shared *shared, const struct config *config, const struct listener_config *c,
		       struct listener_entry *e);
} listener_entry_transports[] = {
    [TRANSPORT_TCP] = {.listener = tcp_listener_new},
    [TRANSPORT_UDP] = {.listener = udp_listener_new},
    [TRANSPORT_ZMQ] = {.service = listener_entry_make_zmq},
};

static int listener_entry_make(struct shared *shared, struct config *config, size_t number,
			       struct listener_entry *e)
{
	struct listener_config *c = &config->listeners[number];

	if (listener_entry_transports[c->handler->transport].service)
		return listener_entry_transports[c->handler->transport].service(shared, config, c, e);
	c->bound = e->places.at[0].bound;
	struct listener *l = listener_entry_transports[c->handler->transport].listener(c);
	if (!l)
		return -ENOMEM;
	listener_init(l, shared->clients, e->places.at[0].fd, c, e->origin,
		      (unsigned)(number % shared->n_workers));
	if (l->ops->configure) /* a borrowed socket has the backlog of before */
		l->ops->configure(l);
	e->listener = l;
	return 0;
}

int listener_entry_open(struct shared *shared, struct sockets *sockets, const struct places_list *there,
			struct config *config, size_t number, struct listener_entry **ret)
{
	const struct listener_config *c = &config->listeners[number];
	struct listener_entry *e = calloc(1, sizeof(*e));

	*ret = e;
	if (!e)
		return -ENOMEM;
	memcpy(e->name, c->name, sizeof(e->name));
	memcpy(e->room, c->room, sizeof(e->room));
	e->handler = c->handler;
	places_init(&e->places, c);
	int r = listener_entry_intern(shared->clients, c);
	if (r < 0)
		return r;
	e->origin = (unsigned)r;
	r = places_open(&e->places, sockets, there);
	if (r < 0)
		return r;
	r = listener_entry_make(shared, config, number, e);
	if (r < 0)
		places_close(&e->places);
	return r;
}

#define LISTENER_ENTRY_TEXT(x) LISTENER_ENTRY_TEXT_OF(x)
#define LISTENER_ENTRY_TEXT_OF(x) #x

const char *listener_entry_why(int error)
{
	/* Old and new ones are open at once in a reload, so half as many can be too many. */
	if (error == -EUSERS)
		return "only " LISTENER_ENTRY_TEXT(
		    CONFIG_MAX_ZMQ) " ZeroMQ listeners can be open at once, and "
				    "those that a reload replaces still are: remove them with one reload, "
				    "and add the new "
				    "ones with the next";
	return zmq_strerror(-error);
}

void listener_entry_free(struct listener_entry *e)
{
	if (!e)
		return;
	listener_free(e->listener);
	zmq_listener_free(e->zmq);
	free(e);
}

void listener_entry_announce(const struct listener_entry *e)
{
	char text[PLACES_TEXT_MAX];

	places_warn_of_units(&e->places, e->name);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->name},
		  "listener %s: %s %s on %s%s%s%s", e->name, e->handler->type, e->handler->mode,
		  places_text(&e->places, text), e->room[0] ? ", room " : "", e->room,
		  e->places.at[0].passed ? " (socket from systemd)" : "");
}

void listener_entry_store(const struct listener_entry *e)
{
	places_each(&e->places, false, sockets_store_each, NULL);
}

void listener_entry_unstore(const struct listener_entry *e)
{
	places_each(&e->places, false, sockets_unstore_each, NULL);
}
