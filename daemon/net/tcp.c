/* SPDX-License-Identifier: MIT */
/*
 * A listening TCP socket: one worker accepts and spreads the connections over all. accept() pauses when only
 * the reserve of file descriptors is left and goes on when more are free.
 */
#include "daemon/net/tcp.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"
#include "daemon/io/tls.h"
#include "daemon/net/prelude.h"
#include "daemon/state/keeper.h"
#include "daemon/state/sockets.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <time.h>

/* At most this many connections are accepted in a turn, so that a flood doesn't keep others waiting. */
#define ACCEPT_BATCH 16
/* The kernel asks no silent peer more often. */
#define PROBES_MAX 127

struct adoption;

struct tcp_listener {
	struct listener base;
	bool paused, warned;
	struct prelude *preludes;
	/* Have an entry; the keeper gets them as one message before their workers do. */
	struct adoption *arrivals[ACCEPT_BATCH];
	unsigned n_arrivals;
};

static void tcp_ready(struct source *s, uint32_t events);

static int tcp_start(struct listener *l)
{
	return worker_watch(l->w, l->fd, EPOLLIN, &l->source);
}

static void tcp_stop(struct listener *l)
{
	worker_unwatch(l->w, l->fd);
	prelude_end(&((struct tcp_listener *)l)->preludes, true);
}

static void tcp_configure(struct listener *l)
{
	if (listen(l->fd, l->config->backlog) < 0)
		log_warning("listener %s: backlog: %s", l->name, strerror(errno));
}

/* --- a connection's way to its worker --- */

struct adoption {
	struct job job;
	struct connection_start start;
};

static void tcp_adopt(struct worker *w, struct job *job)
{
	struct adoption *a = (struct adoption *)job;

	if (w) {
		connection_open(w, &a->start);
	} else {
		stream_free(&a->start.stream);
		close(a->start.stream.fd); /* the worker ends; a successor finds the entry */
	}
	free(a);
}

/* A word about why, where the handler has some; it is too early to wait for anything. */
static void tcp_turn_away(struct listener *l, const struct prelude_result *p, const char *why)
{
	const struct notice n = {.kind = NOTICE_REFUSED, .text = why};
	struct stream stream = p->stream;
	char text[NOTICE_MAX];
	size_t len = l->handler->notice ? l->handler->notice(NULL, &n, text, sizeof(text)) : 0;

	if (len > 0 && (stream.ops->send(&stream, text, len) < 0 || stream_bye(&stream) < 0))
		(void)0; /* a courtesy */
	stream_free(&stream);
	close(stream.fd);
}

static struct worker *tcp_least_loaded(struct shared *shared)
{
	struct worker *best = shared->workers[0];

	for (unsigned i = 1; i < shared->n_workers; i++)
		if (connections_tally(shared->workers[i]).all < connections_tally(best).all)
			best = shared->workers[i];
	return best;
}

/* The entry in the table. Whatever the kernel counts as received before the first byte is accounted for. */
static void tcp_fill_entry(const struct listener *l, struct client *client, const struct prelude_result *p,
			   uint64_t cookie)
{
	client->connected_us = (uint64_t)clock_us(CLOCK_REALTIME);
	client->origin = (uint16_t)l->origin;
	client->kind = CLIENT_CONNECTION;
	atomic_store(&client->active_us, l->ctx->now);
	atomic_store_explicit(&client->sealed_cookie, cookie, memory_order_relaxed);
	client->address = p->address;
	/* The stream of a surviving TLS counts from its beginning. */
	client->st[0].in_parsed = p->stream.ops->secret ? 0 : p->consumed;
	client->st[0].flags = p->stream.ops->secret ? CLIENT_TLS : 0;
	client->st[0].rights = CLIENT_NEW | (l->config->password ? 0 : CLIENT_OPEN);
	client->st[0].private_seq = logring_count(rooms_private(l->ctx->shared->rooms)->log);
	client_seal(client, &client->st[0]);
}

/* From here on TLS is chatd's own, whose state is in the table, if it can be. */
static void tcp_take_over_tls(const struct listener *l, const struct client *client, uint64_t consumed,
			      struct stream *stream)
{
	const struct tls_place place = clients_tls(l->ctx->shared->clients, client);
	struct tls_handed handed;
	struct stream ours;
	char peer[TLS_PEER_MAX + 1];

	if (!stream->ops->secret)
		return;
	size_t peer_len = tls_peer(stream, peer);
	/* Without TLS the ciphers, a quarter of a megabyte for each worker, need not be there. */
	if (place.secrets && tls_hand_over(stream, tls_tools_cryptor(l->ctx->tls), &handed) == 0) {
		handed.received += consumed;
		if (tls_stream_begin(&place, &handed, stream->fd, &ours) == 0) {
			stream_free(stream);
			*stream = ours;
		}
		explicit_bzero(&handed, sizeof(handed));
	}
	if (peer_len > 0)
		tls_place_set_peer(&place, peer, peer_len);
}

/* A connection that has been counted and may begin: as soon as tcp_hand_out() is called. */
static void tcp_begin(struct listener *l, const struct prelude_result *p)
{
	struct tcp_listener *t = (struct tcp_listener *)l;
	struct shared *shared = l->ctx->shared;
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	struct adoption *job = malloc(sizeof(*job));
	struct client *client = job ? clients_allocate(shared->clients) : NULL;

	if (!client || getsockopt(p->stream.fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 || cookie == 0) {
		if (client)
			clients_release(shared->clients, client);
		free(job);
		limits_give(shared->limits, &p->address, l->origin);
		listener_refused(l, &p->address, "the server is full");
		tcp_turn_away(l, p, "the server is full");
		return;
	}
	struct stream stream = p->stream;
	tcp_fill_entry(l, client, p, cookie);
	tcp_take_over_tls(l, client, p->consumed, &stream);
	FAULT("accept-entry");
	/* The entry comes before the socket's copy, so that a socket without an entry is nobody's. */
	atomic_store_explicit(&client->cookie, cookie, memory_order_release);
	FAULT("accept-cookie");
	*job = (struct adoption){{NULL, tcp_adopt}, {stream, p->address, client, l->handler, false}};
	atomic_fetch_add(&l->tally->accepted, 1);
	t->arrivals[t->n_arrivals++] = job;
}

/* To the keeper, and then each to its worker. */
static void tcp_hand_out(struct tcp_listener *t)
{
	struct shared *shared = t->base.ctx->shared;
	int fds[ACCEPT_BATCH];
	unsigned n = 0;

	if (t->n_arrivals == 0)
		return;
	for (unsigned i = 0; i < t->n_arrivals; i++)
		if (t->arrivals[i]->start.stream.ops->survives)
			fds[n++] = t->arrivals[i]->start.stream.fd;
	bool covered = n > 0 && keeper_add(shared->keeper, fds, n) == 0;
	FAULT("accept-keeper");
	for (unsigned i = 0; i < t->n_arrivals; i++) {
		struct adoption *a = t->arrivals[i];
		struct worker *to = tcp_least_loaded(shared);
		a->start.covered = covered && a->start.stream.ops->survives;
		if (to == t->base.w)
			tcp_adopt(to, &a->job);
		else
			worker_post(to, &a->job);
	}
	t->n_arrivals = 0;
}

/* The address is known now, if a proxy stood before it. */
static void tcp_after_prelude(struct listener *l, const struct prelude_result *p)
{
	const char *why;

	if (!listener_admit(l, &p->address, &why)) {
		tcp_turn_away(l, p, why);
		return;
	}
	tcp_begin(l, p);
	tcp_hand_out((struct tcp_listener *)l);
}

/*
 * A silent peer may vanish without a word; the kernel finds out. The settings are the socket's, so they outlive this
 * process. It gives up after user_timeout, or a number of questions. TCP_USER_TIMEOUT would end slow readers as
 * well, who read all the time: upkeep.c has an eye on those who were sent something.
 */
static void tcp_watch_over(const struct config *config, int fd)
{
	const int on = config->keepalive_us > 0;
	int idle = (int)((config->keepalive_us + SECOND_US - 1) / SECOND_US);
	int timeout = (int)((config->user_timeout_us + SECOND_US - 1) / SECOND_US);
	int every = CONFIG_PROBE_EVERY_S, probes = CONFIG_PROBES;

	if (timeout > 0) {
		every = MIN(every, MAX(timeout / probes, 1));
		every = MAX(every, (timeout + PROBES_MAX - 1) / PROBES_MAX);
		probes = (timeout + every - 1) / every;
	}
	if ((on && (setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) < 0 ||
		    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every)) < 0 ||
		    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes)) < 0)) ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0)
		log_limited(LOG_TOPIC_REFUSED, LOG_WARNING,
			    &(struct log_fields){.message_id = EVENT_LISTENER}, "keepalive can't be set: %s",
			    strerror(errno));
}

static void tcp_take(struct listener *l, int fd, const union address *a)
{
	const struct prelude_result direct = {.stream = stream_plain(fd), .address = *a};
	const struct listener_config *config = l->config;
	bool proxy = prefixes_contain(&config->proxies, a);
	const struct limits_caps caps = {l->ctx->config->max_clients, 0, config->max_clients};
	const char *why = "the server is full";

	tcp_watch_over(l->ctx->config, fd);
	if (proxy) {
		/* All that it stands for come from its address, so only the others' number counts. */
		if (limits_take(l->ctx->shared->limits, a, l->origin, &caps) == 0) {
			prelude_start(&((struct tcp_listener *)l)->preludes, l, fd, a, true,
				      tcp_after_prelude);
			return;
		}
		listener_refused(l, a, why);
	} else if (listener_admit(l, a, &why)) {
		if (config->tls)
			prelude_start(&((struct tcp_listener *)l)->preludes, l, fd, a, false,
				      tcp_after_prelude);
		else
			tcp_begin(l, &direct);
		return;
	}
	if (config->tls)
		close(fd); /* it would not understand plain text */
	else
		tcp_turn_away(l, &direct, why);
}

static void tcp_pause(struct tcp_listener *t, int error)
{
	struct listener *l = &t->base;

	if (!t->warned)
		log_event(
		    LOG_WARNING, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = l->name},
		    "listener %s: no more connections can be accepted for now: %s", l->name, strerror(error));
	t->warned = t->paused = true;
	count(l->ctx->counters, COUNT_ACCEPT_PAUSES, 1);
	worker_rewatch(l->w, l->fd, 0, &l->source);
}

/* As many as wait, but not more than are one turn's. */
static void tcp_accept(struct tcp_listener *t)
{
	int enough = sockets_for_clients();

	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		union address a;
		socklen_t len = sizeof(a);
		memset(&a, 0, sizeof(a));
		int fd = accept4(t->base.fd, &a.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				tcp_pause(t, errno);
			/* EAGAIN: done. Whatever else happened to one connection, accept(2) says to go on. */
			if (errno == EAGAIN || t->paused)
				return;
			continue;
		}
		FAULT("accept");
		tcp_take(&t->base, fd, &a);
		if (fd >= enough) {
			tcp_pause(t, EMFILE);
			return;
		}
	}
}

static void tcp_ready(struct source *s, uint32_t events)
{
	struct tcp_listener *t = (struct tcp_listener *)s;

	(void)events;
	if (sockets_are_short()) {
		tcp_pause(t, EMFILE);
		return;
	}
	tcp_accept(t);
	tcp_hand_out(t);
}

static void tcp_tick(struct listener *l)
{
	struct tcp_listener *t = (struct tcp_listener *)l;

	prelude_tick(&t->preludes);
	if (t->paused) {
		t->paused = false;
		worker_rewatch(l->w, l->fd, EPOLLIN, &l->source);
	} else if (t->warned) {
		log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = l->name},
			  "listener %s: connections are accepted again", l->name);
		t->warned = false;
	}
}

static void tcp_release(struct listener *l)
{
	prelude_end(&((struct tcp_listener *)l)->preludes, false);
	free(l);
}

/* It has no members of its own: connections live on when their listener goes. */
static const struct listener_ops tcp_ops = {
    .start = tcp_start,
    .stop = tcp_stop,
    .configure = tcp_configure,
    .tick = tcp_tick,
    .freeze = listener_stop,
    .free = tcp_release,
};

struct listener *tcp_listener_new(const struct listener_config *config)
{
	struct tcp_listener *t = calloc(1, sizeof(*t));

	(void)config;
	if (!t)
		return NULL;
	t->base.source.ready = tcp_ready;
	t->base.ops = &tcp_ops;
	return &t->base;
}
