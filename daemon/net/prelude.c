/* SPDX-License-Identifier: MIT */
/*
 * A connection before it is one: a proxy's header is read, then TLS shakes hands. Each is a source of its own in
 * the listener's worker until it is over.
 */
#include "daemon/net/prelude.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"
#include "daemon/io/proxy.h"
#include "daemon/io/tls.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* A handshake costs a millisecond or so: more than this in a turn would be noticed by others. */
#define STEPS_IN_A_TURN 1

struct prelude {
	struct source source;
	struct prelude_result result;
	struct tls *tls;       /* within its handshake */
	union address counted; /* what the limits count it as until then */
	bool proxy;
	bool over; /* freed at the next tick, since events may point at it until then */
	bool writes;
	int64_t deadline;
	struct listener *l;
	void (*done)(struct listener *l, const struct prelude_result *result);
	struct prelude *next, *prev, **list;
};

static void prelude_unlink(struct prelude *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		*p->list = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

static void prelude_over(struct prelude *p)
{
	p->over = true;
	worker_unwatch(p->l->w, p->result.stream.fd);
}

/* It is no longer counted, neither here nor by the limits. */
static void prelude_uncount(const struct prelude *p)
{
	struct shared *shared = p->l->ctx->shared;

	atomic_fetch_sub(&shared->preludes, 1);
	limits_give(shared->limits, &p->counted, p->l->origin);
}

static void prelude_fail(struct prelude *p, enum log_topic topic, const char *why)
{
	char from[ADDRESS_TEXT_MAX];
	struct listener *l = p->l;

	count(l->ctx->counters, topic == LOG_TOPIC_TLS ? COUNT_TLS_FAILED : COUNT_PROXY_FAILED, 1);
	/* Before the PROXY header is read it is the proxy that came, which nobody should be led to ban. */
	log_limited(topic, LOG_NOTICE,
		    &(struct log_fields){.message_id = EVENT_CLIENT_REFUSED,
					 .listener = l->name,
					 .address = &p->result.address},
		    "listener %s: %s %s: %s", l->name, topic == LOG_TOPIC_PROXY ? "proxy" : "refused",
		    address_peer(&p->result.address, from), why);
	prelude_over(p);
	tls_free(p->tls);
	p->tls = NULL;
	close(p->result.stream.fd);
	prelude_uncount(p);
}

static void prelude_succeed(struct prelude *p)
{
	prelude_over(p);
	prelude_uncount(p);
	if (p->tls)
		p->result.stream = tls_stream(p->tls, p->result.stream.fd);
	p->tls = NULL;
	p->done(p->l, &p->result);
}

/* True when the header is read. */
static bool prelude_read_header(struct prelude *p)
{
	char data[PROXY_HEADER_MAX];
	int fd = p->result.stream.fd;
	union address real;
	ssize_t n = recv(fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	ssize_t len = n > 0 ? proxy_parse(data, (size_t)n, &real) : -ECONNRESET;
	if (len == -EAGAIN) {
		/* Or what is there already would wake us for ever. */
		int low = (int)n + 1;
		if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)) < 0)
			prelude_fail(p, LOG_TOPIC_PROXY, strerror(errno));
		return false;
	}
	if (len < 0 || recv(fd, data, (size_t)len, MSG_DONTWAIT) != len) {
		prelude_fail(p, LOG_TOPIC_PROXY,
			     n <= 0 ? "it ended before its PROXY header" : "no valid PROXY header");
		return false;
	}
	int one = 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	p->result.consumed = (uint64_t)len;
	if (real.sa.sa_family)
		p->result.address = real;
	p->proxy = false;
	return true;
}

static void prelude_shake_hands(struct prelude *p)
{
	char why[256];
	int r = tls_handshake(p->tls, why, sizeof(why));
	bool writes = tls_is_waiting(p->tls);

	if (r == 0) {
		prelude_succeed(p);
	} else if (r != -EAGAIN) {
		prelude_fail(p, LOG_TOPIC_TLS, r == -EPROTO ? why : strerror(-r));
	} else if (writes != p->writes) {
		p->writes = writes;
		worker_rewatch(p->l->w, p->result.stream.fd, writes ? EPOLLIN | EPOLLOUT : EPOLLIN,
			       &p->source);
	}
}

static void prelude_go_on(struct prelude *p)
{
	const struct listener_config *config = p->l->config;

	if (p->proxy && !prelude_read_header(p))
		return;
	if (!config->tls && !p->tls) {
		prelude_succeed(p);
		return;
	}
	if (!p->tls)
		p->tls = tls_new(config->tls, p->result.stream.fd);
	if (p->tls)
		prelude_shake_hands(p);
	else
		prelude_fail(p, LOG_TOPIC_TLS, "out of memory");
}

static void prelude_ready(struct source *s, uint32_t events)
{
	struct prelude *p = (struct prelude *)s;

	(void)events;
	if (p->over)
		return;
	if (p->l->turn != p->l->ctx->now) {
		p->l->turn = p->l->ctx->now;
		p->l->steps = 0;
	}
	if (p->l->steps++ < STEPS_IN_A_TURN || !p->l->config->tls)
		prelude_go_on(p); /* or in the next turn: epoll will say so again */
}

void prelude_start(struct prelude **list, struct listener *l, int fd, const union address *peer, bool proxy,
		   void (*done)(struct listener *l, const struct prelude_result *result))
{
	struct prelude *p = calloc(1, sizeof(*p));

	if (p) {
		p->source.ready = prelude_ready;
		p->result = (struct prelude_result){.stream = stream_plain(fd), .address = *peer};
		p->counted = *peer;
		p->proxy = proxy;
		p->l = l;
		p->done = done;
		p->deadline = l->ctx->now + l->ctx->config->handshake_timeout_us;
		p->list = list;
		if (worker_watch(l->w, fd, EPOLLIN, &p->source) == 0) {
			p->next = *list;
			if (p->next)
				p->next->prev = p;
			*list = p;
			atomic_fetch_add(&l->ctx->shared->preludes, 1);
			return;
		}
		free(p);
	}
	limits_give(l->ctx->shared->limits, peer, l->origin);
	close(fd);
}

void prelude_tick(struct prelude **list)
{
	for (struct prelude *p = *list, *next; p; p = next) {
		next = p->next;
		if (p->over) {
			prelude_unlink(p);
			free(p);
		} else if (p->l->ctx->now >= p->deadline) {
			prelude_fail(p, p->proxy ? LOG_TOPIC_PROXY : LOG_TOPIC_TLS,
				     p->proxy ? "no PROXY header in time" : "no handshake in time");
		}
	}
}

void prelude_end(struct prelude **list, bool running)
{
	for (struct prelude *p = *list, *next; p; p = next) {
		next = p->next;
		if (!p->over) {
			tls_free(p->tls);
			close(p->result.stream.fd);
		}
		/* The listener's worker is gone otherwise. */
		if (!p->over && running)
			prelude_uncount(p);
		free(p);
	}
	*list = NULL;
}
