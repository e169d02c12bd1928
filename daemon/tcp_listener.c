/* SPDX-License-Identifier: MIT */
#include "daemon/tcp_listener.h"

#include "common/cleanup.h"
#include "daemon/clock.h"
#include "daemon/connection.h"
#include "daemon/fault.h"
#include "daemon/keeper.h"
#include "daemon/limits.h"
#include "daemon/logger.h"
#include "daemon/worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

/* So many connections are accepted in a turn, so that a flood doesn't keep others waiting. */
#define ACCEPT_BATCH 64

struct tcp_listener {
	struct source source;
	int fd;
	unsigned origin;
	const struct handler *handler;
	char name[CONFIG_NAME_MAX + 1];
	struct worker *w;
	struct tcp_listener *next, *prev;
	bool paused, warned;
	_Atomic uint64_t accepted;
};

static void ready(struct source *s, uint32_t events);

int tcp_listener_new(int fd, const struct listener_config *config, unsigned origin, struct tcp_listener **ret)
{
	struct tcp_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->source.ready = ready;
	l->fd = fd;
	l->origin = origin;
	l->handler = config->handler;
	memcpy(l->name, config->name, sizeof(l->name));
	*ret = l;
	return 0;
}

void tcp_listener_free(struct tcp_listener *l)
{
	if (!l)
		return;
	close(l->fd);
	free(l);
}

int tcp_listener_fd(const struct tcp_listener *l)
{
	return l->fd;
}

const char *tcp_listener_name(const struct tcp_listener *l)
{
	return l->name;
}

uint64_t tcp_listener_accepted(const struct tcp_listener *l)
{
	return atomic_load(&l->accepted);
}

struct worker *tcp_listener_worker(const struct tcp_listener *l)
{
	return l->w;
}

struct tcp_listener *tcp_listener_next(const struct tcp_listener *l)
{
	return l->next;
}

int tcp_listener_start(struct tcp_listener *l, struct worker *w)
{
	int r = worker_watch(w, l->fd, EPOLLIN, &l->source);

	if (r < 0)
		return r;
	l->w = w;
	l->prev = NULL;
	l->next = *worker_listeners(w);
	if (l->next)
		l->next->prev = l;
	*worker_listeners(w) = l;
	return 0;
}

void tcp_listener_stop(struct tcp_listener *l)
{
	if (!l->w)
		return;
	worker_unwatch(l->w, l->fd);
	if (l->prev)
		l->prev->next = l->next;
	else
		*worker_listeners(l->w) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	l->w = NULL;
}

/* --- a connection's way to its worker --- */

struct adoption {
	struct job job;
	int fd;
	bool covered;
	union address address;
	struct client *client;
	const struct handler *handler;
};

static void adopt(struct worker *w, struct job *job)
{
	struct adoption *a = (struct adoption *)job;

	if (w)
		connection_open(w, a->fd, &a->address, a->client, a->handler, a->covered);
	else
		close(a->fd); /* the worker ends; a successor finds the entry */
	free(a);
}

/* A word for a person, where the handler speaks to people; it is too early to wait for anything. */
static void refuse(struct tcp_listener *l, int fd, const union address *a, const char *why)
{
	char text[128], from[ADDRESS_TEXT_MAX];

	count(worker_counters(l->w), COUNT_CLIENTS_REFUSED, 1);
	log_event(LOG_DEBUG, &(struct log_fields){EVENT_CLIENT_REFUSED, 0, NULL, l->name},
		  "listener %s: refused %s: %s", l->name, address_format(a, from), why);
	if (l->handler->ending) {
		int n = snprintf(text, sizeof(text), "* Sorry: %s.\n", why);
		if (send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			(void)0; /* a courtesy */
	}
	close(fd);
}

static struct worker *least_loaded(struct shared *shared)
{
	struct worker *best = shared->workers[0];

	for (unsigned i = 1; i < shared->n_workers; i++)
		if (worker_connections(shared->workers[i]) < worker_connections(best))
			best = shared->workers[i];
	return best;
}

static void take(struct tcp_listener *l, int fd, const union address *a)
{
	struct shared *shared = worker_shared(l->w);
	const struct config *config = worker_config(l->w);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	int r = limits_take(shared->limits, a, config->max_clients, config->max_clients_per_address);
	if (r < 0) {
		refuse(l, fd, a,
		       r == -EUSERS   ? "the server is full"
		       : r == -EDQUOT ? "there are too many connections from your address"
				      : "the server is out of memory");
		return;
	}
	struct adoption *job = malloc(sizeof(*job));
	struct client *client = job ? clients_allocate(shared->clients) : NULL;
	if (!client || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 || cookie == 0) {
		if (client)
			clients_release(shared->clients, client);
		free(job);
		limits_give(shared->limits, a);
		refuse(l, fd, a, "the server is full");
		return;
	}
	client->connected_us = (uint64_t)clock_us(CLOCK_REALTIME);
	client->origin = (uint16_t)l->origin;
	client->st[0].room = ROOM_NONE;
	client->st[0].private_seq = logring_count(rooms_private(shared->rooms)->log);
	client_seal(client, &client->st[0]);
	FAULT("accept-entry");
	/* The entry comes before the socket's copy, so that a socket without an entry is nobody's. */
	atomic_store_explicit(&client->cookie, cookie, memory_order_release);
	FAULT("accept-cookie");
	bool covered = keeper_add(shared->keeper, fd) == 0;
	FAULT("accept-keeper");

	struct worker *to = least_loaded(shared);
	*job = (struct adoption){{NULL, adopt}, fd, covered, *a, client, l->handler};
	atomic_fetch_add(&l->accepted, 1);
	if (to == l->w)
		adopt(to, &job->job);
	else
		worker_post(to, &job->job);
}

static void pause_accepting(struct tcp_listener *l, int error)
{
	if (!l->warned)
		log_event(LOG_WARNING, &(struct log_fields){EVENT_LISTENER, 0, NULL, l->name},
			  "listener %s: no more connections can be accepted for now: %s", l->name,
			  strerror(error));
	l->warned = l->paused = true;
	count(worker_counters(l->w), COUNT_ACCEPT_PAUSES, 1);
	worker_rewatch(l->w, l->fd, 0, &l->source);
}

static void ready(struct source *s, uint32_t events)
{
	struct tcp_listener *l = (struct tcp_listener *)s;

	(void)events;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		union address a;
		socklen_t len = sizeof(a);
		memset(&a, 0, sizeof(a));
		int fd = accept4(l->fd, &a.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(l, errno);
			/* EAGAIN: done. Whatever else befell one connection, accept(2) says to go on. */
			if (errno == EAGAIN || l->paused)
				return;
			continue;
		}
		FAULT("accept");
		take(l, fd, &a);
	}
}

void tcp_listener_tick(struct tcp_listener *l)
{
	if (l->paused) {
		l->paused = false;
		worker_rewatch(l->w, l->fd, EPOLLIN, &l->source);
	} else if (l->warned) {
		log_event(LOG_NOTICE, &(struct log_fields){EVENT_LISTENER, 0, NULL, l->name},
			  "listener %s: connections are accepted again", l->name);
		l->warned = false;
	}
}
