/* SPDX-License-Identifier: MIT */
/*
 * The HTTP listener of the metrics: libmicrohttpd within the main thread's event loop. Nobody is kept out by
 * others who only hold connections.
 */
#include "daemon/control/metrics_http.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/control/host.h"
#include "daemon/control/metrics.h"
#include "daemon/control/openmetrics.h"
#include "daemon/state/sockets.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* Prometheus needs one connection. The others are for people with a browser, and for idle ones. */
#define CONNECTIONS_MAX 64
#define BACKLOG 512
#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define TIMEOUT_S 10
/* When nothing can be accepted. */
#define PAUSE_US (SECOND_US / 4)

struct visitor {
	struct visitor *next; /* newest first */
	int fd;
	uint8_t key[16]; /* of its address */
};

struct metrics_listener {
	struct host *host;
	int fd;
	struct MHD_Daemon *http;
	sd_event_source *io, *timer, *door, *pause;
	struct visitor *visitors;
	unsigned n_visitors;
};

static enum MHD_Result http_respond(struct MHD_Connection *c, unsigned status, const char *type, char *text,
				    enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), text, mode);

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Vary", "Accept");
	enum MHD_Result done = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result http_metrics(const struct metrics_listener *l, struct MHD_Connection *c)
{
	const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
	_cleanup_free_ char *text = metrics_text(l->host);

	if (!text)
		return MHD_NO;
	if (!openmetrics_wanted(accept))
		return http_respond(c, MHD_HTTP_OK, TEXT_TYPE, take_ptr(text), MHD_RESPMEM_MUST_FREE);
	char *open = openmetrics_from_text(text);
	return open ? http_respond(c, MHD_HTTP_OK, OPENMETRICS_TYPE, open, MHD_RESPMEM_MUST_FREE) : MHD_NO;
}

static enum MHD_Result http_answer(void *arg, struct MHD_Connection *c, const char *url, const char *method,
				   const char *version, const char *upload, size_t *upload_size, void **state)
{
	const struct metrics_listener *l = arg;

	(void)version;
	(void)upload;
	(void)state;
	*upload_size = 0; /* a body is ignored */
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return http_respond(c, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_TYPE, "GET only\n",
				    MHD_RESPMEM_PERSISTENT);
	if (strcmp(url, "/metrics") != 0)
		return http_respond(c, MHD_HTTP_NOT_FOUND, TEXT_TYPE, "See /metrics\n",
				    MHD_RESPMEM_PERSISTENT);
	return http_metrics(l, c);
}

/* libmicrohttpd wants to be called when its connections' time is over, too. */
static void http_arm(struct metrics_listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(l->http, &ms) == MHD_YES) {
		sd_event_source_set_time_relative(l->timer, ms * 1000);
		sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	}
}

static int http_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct metrics_listener *l = arg;

	(void)source;
	(void)fd;
	(void)events;
	MHD_run(l->http);
	http_arm(l);
	return 0;
}

static int http_time(sd_event_source *source, uint64_t now, void *arg)
{
	(void)now;
	return http_io(source, -1, 0, arg);
}

static void http_visitor(void *arg, struct MHD_Connection *c, void **context,
			 enum MHD_ConnectionNotificationCode what)
{
	struct metrics_listener *l = arg;
	const union MHD_ConnectionInfo *fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		struct visitor *v = calloc(1, sizeof(*v));
		union address a = {0};
		socklen_t len = sizeof(a);
		if (!v)
			return;
		v->fd = fd->connect_fd;
		if (getpeername(v->fd, &a.sa, &len) == 0)
			address_key(&a, v->key);
		v->next = l->visitors;
		l->visitors = v;
		l->n_visitors++;
		*context = v;
	} else if (*context) {
		struct visitor **p = &l->visitors;
		while (*p != *context)
			p = &(*p)->next;
		*p = (*p)->next;
		l->n_visitors--;
		free(*context);
	}
}

static unsigned http_count_of_address(const struct metrics_listener *l, const struct visitor *v)
{
	unsigned n = 0;

	for (const struct visitor *o = l->visitors; o; o = o->next)
		n += memcmp(o->key, v->key, sizeof(o->key)) == 0;
	return n;
}

/* Closes the oldest connection of the address that has the most, so that idle ones keep nobody out. */
static void http_make_way(struct metrics_listener *l)
{
	const struct visitor *victim = NULL;
	unsigned most = 0;

	for (const struct visitor *v = l->visitors; v; v = v->next) {
		unsigned n = http_count_of_address(l, v);
		if (n >= most) {
			most = n;
			victim = v;
		}
	}
	if (!victim)
		return;
	shutdown(victim->fd, SHUT_RDWR);
	MHD_run(l->http);
}

static void http_pause(struct metrics_listener *l)
{
	sd_event_source_set_enabled(l->door, SD_EVENT_OFF);
	sd_event_source_set_time_relative(l->pause, PAUSE_US);
	sd_event_source_set_enabled(l->pause, SD_EVENT_ONESHOT);
}

static int http_pause_over(sd_event_source *source, uint64_t now, void *arg)
{
	const struct metrics_listener *l = arg;

	(void)source;
	(void)now;
	return sd_event_source_set_enabled(l->door, SD_EVENT_ON);
}

/* One at a time, so that the main thread gets to its other work in between. */
static int http_door(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct metrics_listener *l = arg;
	unsigned most = sockets_reserve() / 4 < CONNECTIONS_MAX ? sockets_reserve() / 4 : CONNECTIONS_MAX;
	union address a;
	socklen_t len = sizeof(a);

	(void)source;
	(void)events;
	/* Requests that have arrived are answered before any connection has to go. */
	MHD_run(l->http);
	if (l->n_visitors >= most)
		http_make_way(l);
	int fd = accept4(listen_fd, &a.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		http_pause(l);
	if (fd >= 0)
		MHD_add_connection(l->http, fd, &a.sa, len); /* which closes it if it can't */
	MHD_run(l->http);
	http_arm(l);
	return 0;
}

static int http_open_socket(const union address *at)
{
	_cleanup_close_ int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, zero = 0;

	/* As a listener's: [::] serves IPv4 as well. */
	if (fd >= 0 && at->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, &at->sa, address_len(at)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

static int http_start(struct metrics_listener *l, sd_event *event)
{
	l->http =
	    MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, http_answer, l,
			     MHD_OPTION_CONNECTION_LIMIT, 2 * CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
			     TIMEOUT_S, MHD_OPTION_NOTIFY_CONNECTION, http_visitor, l, MHD_OPTION_END);
	if (!l->http)
		return -EIO;
	int r =
	    sd_event_add_io(event, &l->io, MHD_get_daemon_info(l->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
			    EPOLLIN, http_io, l);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, 0, 0, http_time, l);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &l->pause, CLOCK_MONOTONIC, 0, 0, http_pause_over, l);
	if (r >= 0)
		r = sd_event_add_io(event, &l->door, l->fd, EPOLLIN, http_door, l);
	return r < 0 ? r : 0;
}

int metrics_listen(struct host *h, sd_event *event, const union address *at, struct metrics_listener **ret)
{
	struct metrics_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->host = h;
	l->fd = http_open_socket(at);
	int r = l->fd < 0 ? l->fd : http_start(l, event);
	if (r < 0) {
		metrics_listener_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void metrics_listener_free(struct metrics_listener *l)
{
	if (!l)
		return;
	sd_event_source_disable_unref(l->door);
	sd_event_source_disable_unref(l->pause);
	sd_event_source_disable_unref(l->io);
	sd_event_source_disable_unref(l->timer);
	if (l->http)
		MHD_stop_daemon(l->http);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}
