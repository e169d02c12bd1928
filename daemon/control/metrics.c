/* SPDX-License-Identifier: MIT */
#include "daemon/control/metrics.h"
#include "daemon/engine/connections.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/control/host.h"
#include "daemon/engine/limits.h"
#include "daemon/state/sockets.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* Prometheus needs one connection; more are for people with a browser, and for those who only hold them. */
#define CONNECTIONS_MAX 64
#define BACKLOG 512
#define TIMEOUT_S 10
/* When nothing can be accepted. */
#define PAUSE_US (SECOND_US / 4)

uint64_t metrics_total(struct host *h, enum counter which)
{
	struct clients *clients = h->ctx.shared->clients;
	uint64_t sum = 0;

	/* Of threads that are no more as well, or the sum would go down. */
	for (unsigned i = 0; i < CLIENTS_COUNTER_SETS; i++)
		sum += atomic_load_explicit(&clients_counters(clients, i)[which], memory_order_relaxed);
	return sum;
}

static void head(FILE *f, const char *name, const char *type, const char *text)
{
	fprintf(f, "# HELP chatd_%s %s.\n# TYPE chatd_%s %s\n", name, text, name, type);
}

static void metric(FILE *f, const char *name, const char *type, const char *text, uint64_t value)
{
	head(f, name, type, text);
	fprintf(f, "chatd_%s %" PRIu64 "\n", name, value);
}

struct room_count {
	char name[TEXT_ROOM_MAX + 1];
	uint32_t members;
};

struct room_counts {
	struct room_count *at;
	size_t n, space;
};

static bool collect_room(struct room *r, void *arg)
{
	struct room_counts *c = arg;

	if (!r->configured)
		return true;
	if (c->n == c->space)
		return false; /* made since they were counted */
	memcpy(c->at[c->n].name, r->name, sizeof(r->name));
	c->at[c->n++].members = room_members(r);
	return true;
}

/* A room's name needs no escaping in a label: see text_room_valid(). */
static void room_metrics(FILE *f, struct rooms *rooms)
{
	struct room_counts c = {.space = rooms_count(rooms)};

	c.at = calloc(c.space + 1, sizeof(*c.at));
	if (!c.at)
		return;
	rooms_each(rooms, collect_room, &c);
	for (size_t i = 0; i < c.n; i++)
		fprintf(f, "chatd_room_members{room=\"%s\"} %" PRIu32 "\n", c.at[i].name, c.at[i].members);
	free(c.at);
}

char *metrics_text(struct host *h)
{
	struct shared *shared = h->ctx.shared;
	const struct client_history *history = clients_history(shared->clients);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (int i = 0; i < COUNTERS_N; i++) {
		char name[80];
		snprintf(name, sizeof(name), "%s_total", counter_name((enum counter)i));
		metric(f, name, "counter", counter_help((enum counter)i), metrics_total(h, (enum counter)i));
	}
	metric(f, "rooms", "gauge", "Rooms that exist", rooms_count(shared->rooms));
	metric(f, "clients", "gauge", "Clients connected", limits_total(shared->limits));
	metric(f, "uncovered_clients", "gauge", "Clients connected that would not survive a crash",
	       connections_at_risk(h->ctx.shared));
	metric(f, "workers", "gauge", "Worker threads", shared->n_workers);
	metric(f, "takeovers_total", "counter", "Times a new process took the clients over",
	       history->takeovers);
	head(f, "takeover_gap_seconds", "gauge", "How long nobody was served at the last takeover");
	fprintf(f, "chatd_takeover_gap_seconds %.6f\n", (double)history->last_gap_us / 1e6);
	head(f, "start_time_seconds", "gauge", "When this process was started, in seconds since 1970");
	fprintf(f, "chatd_start_time_seconds %.3f\n", (double)h->started_us / 1e6);
	head(f, "worker_connections", "gauge", "Connections of each worker");
	for (unsigned i = 0; i < shared->n_workers; i++)
		fprintf(f, "chatd_worker_connections{worker=\"%u\"} %u\n", i,
			connections_tally(shared->workers[i]).all);
	head(f, "room_members", "gauge", "Members of each configured room");
	room_metrics(f, shared->rooms);
	fclose(f);
	return text;
}

/* --- over HTTP --- */

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

static enum MHD_Result respond(struct MHD_Connection *c, unsigned status, char *text,
			       enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), text, mode);

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	enum MHD_Result done = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **state)
{
	const struct metrics_listener *l = arg;

	(void)version;
	(void)upload;
	(void)state;
	*upload_size = 0; /* whatever it is */
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n", MHD_RESPMEM_PERSISTENT);
	if (strcmp(url, "/metrics") != 0)
		return respond(c, MHD_HTTP_NOT_FOUND, "See /metrics\n", MHD_RESPMEM_PERSISTENT);
	char *text = metrics_text(l->host);
	return text ? respond(c, MHD_HTTP_OK, text, MHD_RESPMEM_MUST_FREE) : MHD_NO;
}

/* libmicrohttpd wants to be called when its connections' time is over, too. */
static void arm(struct metrics_listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(l->http, &ms) == MHD_YES) {
		sd_event_source_set_time_relative(l->timer, ms * 1000);
		sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct metrics_listener *l = arg;

	(void)source;
	(void)fd;
	(void)events;
	MHD_run(l->http);
	arm(l);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t now, void *arg)
{
	(void)now;
	return on_io(source, -1, 0, arg);
}

/* --- who is there --- */

static void on_visitor(void *arg, struct MHD_Connection *c, void **context,
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

static unsigned count_of_address(const struct metrics_listener *l, const struct visitor *v)
{
	unsigned n = 0;

	for (const struct visitor *o = l->visitors; o; o = o->next)
		n += memcmp(o->key, v->key, sizeof(o->key)) == 0;
	return n;
}

/* So that nobody is kept out by others who just sit there: the oldest of the address that has most goes. */
static void make_way(struct metrics_listener *l)
{
	const struct visitor *victim = NULL;
	unsigned most = 0;

	for (const struct visitor *v = l->visitors; v; v = v->next) {
		unsigned n = count_of_address(l, v);
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

static void pause_accepting(struct metrics_listener *l)
{
	sd_event_source_set_enabled(l->door, SD_EVENT_OFF);
	sd_event_source_set_time_relative(l->pause, PAUSE_US);
	sd_event_source_set_enabled(l->pause, SD_EVENT_ONESHOT);
}

static int on_pause_over(sd_event_source *source, uint64_t now, void *arg)
{
	const struct metrics_listener *l = arg;

	(void)source;
	(void)now;
	return sd_event_source_set_enabled(l->door, SD_EVENT_ON);
}

/* One at a time, so that the main thread's other work comes in between. */
static int on_door(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct metrics_listener *l = arg;
	unsigned most = sockets_reserve() / 4 < CONNECTIONS_MAX ? sockets_reserve() / 4 : CONNECTIONS_MAX;
	union address a;
	socklen_t len = sizeof(a);

	(void)source;
	(void)events;
	/* What has come meanwhile is answered before anybody has to go. */
	MHD_run(l->http);
	if (l->n_visitors >= most)
		make_way(l);
	int fd = accept4(listen_fd, &a.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		pause_accepting(l);
	if (fd >= 0)
		MHD_add_connection(l->http, fd, &a.sa, len); /* which closes it if it can't */
	MHD_run(l->http);
	arm(l);
	return 0;
}

static int open_socket(const union address *at)
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

static int start_http(struct metrics_listener *l, sd_event *event)
{
	l->http =
	    MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer, l,
			     MHD_OPTION_CONNECTION_LIMIT, 2 * CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
			     TIMEOUT_S, MHD_OPTION_NOTIFY_CONNECTION, on_visitor, l, MHD_OPTION_END);
	if (!l->http)
		return -EIO;
	int r =
	    sd_event_add_io(event, &l->io, MHD_get_daemon_info(l->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
			    EPOLLIN, on_io, l);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, 0, 0, on_time, l);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &l->pause, CLOCK_MONOTONIC, 0, 0, on_pause_over, l);
	if (r >= 0)
		r = sd_event_add_io(event, &l->door, l->fd, EPOLLIN, on_door, l);
	return r < 0 ? r : 0;
}

int metrics_listen(struct host *h, sd_event *event, const union address *at, struct metrics_listener **ret)
{
	struct metrics_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->host = h;
	l->fd = open_socket(at);
	int r = l->fd < 0 ? l->fd : start_http(l, event);
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
