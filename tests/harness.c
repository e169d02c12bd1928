/* SPDX-License-Identifier: MIT */
/* Sockets of loopback stand in for clients, memfds for what systemd keeps; a turn is taken whenever a test asks for one. */
#include "tests/harness.h"

#include "common/cleanup.h"
#include "daemon/modes/table.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/listener.h"
#include "daemon/engine/logins.h"
#include "daemon/irc/store.h"
#include "daemon/net/udp.h"
#include "daemon/io/memfd.h"
#include "daemon/rooms/outgoing.h"
#include "daemon/rooms/speech.h"
#include "daemon/state/keeper.h"
#include "daemon/state/sockets.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct harness {
	struct config *config;
	struct shared shared;
	struct slots *slots;
	struct worker *workers[1];
	int rooms_fd, clients_fd, listen_fd;
	int irc_fd; /* -1: no listener speaks it */
	union address listen_address;
	struct listener *listeners[4];
	size_t n_listeners;
	/* A cluster of this machine only: up to where the lines of an outgoing log came back. */
	bool clustered, away, forgets;
	unsigned reader;
	struct {
		uint64_t epoch, shown;
	} came_back[32];
	char buf[1 << 20];
};

/* --- the cluster --- */

static bool harness_shares(const char *name, void *arg)
{
	const struct harness *h = arg;

	return h->clustered && name;
}

/* Of that log: made if need be. */
static uint64_t *harness_came_back(struct harness *h, const struct room *outgoing)
{
	size_t i = 0;

	while (h->came_back[i].epoch && h->came_back[i].epoch != outgoing->epoch)
		if (++i == sizeof(h->came_back) / sizeof(*h->came_back))
			abort();
	h->came_back[i].epoch = outgoing->epoch;
	return &h->came_back[i].shown;
}

static uint64_t harness_shown(const struct room *outgoing, void *arg)
{
	return *harness_came_back(arg, outgoing);
}

struct harness_pairs {
	uint32_t at[32];
	unsigned n;
};

static bool harness_collect(struct room *r, void *arg)
{
	struct harness_pairs *p = arg;

	if (r->outgoing)
		p->at[p->n++] = r->outgoing->index;
	return p->n < sizeof(p->at) / sizeof(*p->at);
}

/* Puts what waits in that log into its room. Returns how many lines it was. */
static unsigned harness_bring_back(struct harness *h, struct room *outgoing)
{
	struct slot_set kick = {{0}};
	struct speech_event e;
	struct logring_view v;
	struct speech s = {0};
	uint64_t *shown = harness_came_back(h, outgoing), first = *shown;

	logring_pin(outgoing->log, h->reader, &v);
	for (; *shown < v.count; ++*shown) {
		speech_event_at(outgoing->log, &v, *shown, &e);
		int error = speech_replay(&s, outgoing->main, &e);
		if (error == -EAGAIN) {
			speech_commit(&s, h->shared.rooms, &kick);
			error = speech_replay(&s, outgoing->main, &e);
		}
		if (error < 0)
			abort();
	}
	speech_commit(&s, h->shared.rooms, &kick);
	logring_flushed(outgoing->log, h->reader, &v);
	logring_unpin(outgoing->log, h->reader);
	rooms_kick(h->shared.rooms, &kick, h->reader);
	return (unsigned)(*shown - first);
}

static unsigned harness_echo(struct harness *h)
{
	struct harness_pairs pairs = {.n = 0};
	unsigned n = 0;

	rooms_each(h->shared.rooms, harness_collect, &pairs);
	for (unsigned i = 0; i < pairs.n; i++) {
		struct room *outgoing = rooms_enter_index(h->shared.rooms, pairs.at[i], h->reader);
		if (!outgoing)
			continue;
		n += harness_bring_back(h, outgoing);
		rooms_leave(h->shared.rooms, outgoing, h->reader);
	}
	return n;
}

static int harness_open_cluster(struct harness *h)
{
	if (!h->clustered && !h->forgets)
		return 0;
	if (slots_take(h->slots, true, &h->reader) < 0)
		abort();
	rooms_cluster_reader(h->shared.rooms, h->reader, harness_shown, h);
	return rooms_cluster(h->shared.rooms, h->clustered ? harness_shares : NULL, h);
}

void harness_hold_back(struct harness *h, bool away)
{
	h->away = away;
}

void harness_uncluster(struct harness *h)
{
	h->clustered = false;
	h->forgets = true;
}

/* --- the process --- */

static int harness_open_irc(struct harness *h, bool fresh)
{
	struct irc *irc;
	int r = h->irc_fd < 0
		    ? 0
		    : irc_store_open(h->irc_fd, fresh, fresh, h->shared.clients, h->shared.rooms, &irc);

	if (h->irc_fd >= 0 && r == 0)
		atomic_store(&h->shared.irc, irc);
	return r;
}

static bool harness_wants_irc(const struct config *config)
{
	for (size_t i = 0; i < config->n_listeners; i++)
		if (strcmp(config->listeners[i].handler->mode, "irc") == 0)
			return true;
	return false;
}

/* The process's side of everything, over state that is fresh or a predecessor's. */
static int harness_begin(struct harness *h, bool fresh, struct sockets *passed)
{
	int r = 0;

	if (slots_new(1, &h->slots) < 0)
		abort();
	h->shared = (struct shared){.slots = h->slots, .workers = h->workers};
	r = rooms_open(h->rooms_fd, fresh, h->slots, &h->shared.rooms);
	if (r == 0)
		r = harness_open_cluster(h);
	if (r == 0)
		r = clients_open(h->clients_fd, fresh, &h->shared.clients);
	if (r == 0)
		r = harness_open_irc(h, fresh);
	if (r == 0)
		r = roster_new(h->config->max_clients, &h->shared.roster);
	if (r == 0)
		r = limits_new(h->config->max_clients, &h->shared.limits);
	if (r == 0)
		r = logins_new(&h->shared.logins);
	if (r == 0)
		r = keeper_new(passed, &h->shared.keeper);
	if (r == 0)
		r = rooms_configure(h->shared.rooms, h->config->rooms, h->config->n_rooms,
				    &h->config->room_defaults, &h->config->room_limits);
	if (r == 0)
		r = worker_new(&h->shared, 0, h->config, &h->workers[0]);
	if (r == 0)
		h->shared.n_workers = 1;
	if (r == 0)
		r = connections_new(h->workers[0]);
	return r;
}

/* As if the process had died: nothing is said to anybody. */
static void harness_end(struct harness *h)
{
	logins_free(h->shared.logins);
	if (h->shared.n_workers)
		worker_free(h->workers[0]);
	while (h->n_listeners > 0)
		listener_free(h->listeners[--h->n_listeners]);
	keeper_free(h->shared.keeper);
	limits_free(h->shared.limits);
	roster_free(h->shared.roster);
	irc_store_close(atomic_load(&h->shared.irc));
	clients_close(h->shared.clients);
	rooms_close(h->shared.rooms);
	slots_free(h->slots);
}

static struct harness *harness_make(const char *text, bool clustered)
{
	struct harness *h = calloc(1, sizeof(*h));
	FILE *errors = fopen("/dev/null", "w");
	socklen_t len = sizeof(union address);

	log_open(LOG_CRIT);
	if (!h || !errors || config_parse(text, "test", handlers, errors, &h->config) < 0) {
		fclose(errors);
		free(h);
		return NULL;
	}
	fclose(errors);
	h->clustered = clustered;
	h->rooms_fd = memfd_new("rooms", rooms_file_size());
	h->clients_fd = memfd_new("clients", clients_file_size());
	h->irc_fd = harness_wants_irc(h->config) ? memfd_new(IRC_STORE_NAME, irc_store_size()) : -1;
	h->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	h->listen_address.in =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	/* As the real listeners have it: what is sent is there when the turn is over. */
	setsockopt(h->listen_fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (bind(h->listen_fd, &h->listen_address.sa, sizeof(h->listen_address.in)) < 0 ||
	    listen(h->listen_fd, 16) < 0 || getsockname(h->listen_fd, &h->listen_address.sa, &len) < 0 ||
	    harness_begin(h, true, NULL) < 0)
		abort();
	return h;
}

struct harness *harness_new(const char *text)
{
	return harness_make(text, false);
}

struct harness *harness_new_clustered(const char *text)
{
	return harness_make(text, true);
}

void harness_free(struct harness *h)
{
	harness_end(h);
	close(h->rooms_fd);
	close(h->clients_fd);
	if (h->irc_fd >= 0)
		close(h->irc_fd);
	close(h->listen_fd);
	config_free(h->config);
	free(h);
}

struct shared *harness_shared(struct harness *h)
{
	return &h->shared;
}

uint16_t harness_listen(struct harness *h, size_t number)
{
	const struct listener_config *config = &h->config->listeners[number];
	struct client_origin origin = {.listener = ""};
	union address a = h->listen_address;
	socklen_t len = sizeof(a);
	struct listener *l;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(origin.listener, config->name, sizeof(config->name));
	a.in.sin_port = 0;
	if (bind(fd, &a.sa, sizeof(a.in)) < 0 || getsockname(fd, &a.sa, &len) < 0 ||
	    !(l = udp_listener_new(config)))
		abort();
	listener_init(l, h->shared.clients, fd, config, (unsigned)clients_intern(h->shared.clients, &origin),
		      0);
	h->listeners[h->n_listeners] = l;
	if (listener_start(l, h->workers[0]) < 0)
		abort();
	h->n_listeners++;
	return address_port(&a);
}

static void harness_pass(const char *name, int fd, void *arg)
{
	sockets_give_back(arg, fcntl(fd, F_DUPFD_CLOEXEC, 3), name);
}

int harness_crash(struct harness *h, void (*meddle)(int rooms_fd, int clients_fd, void *arg), void *arg,
		  struct takeover *ret)
{
	struct sockets *passed;

	if (sockets_take(&passed) < 0)
		abort();
	keeper_pairs(h->shared.keeper, harness_pass, passed);
	harness_end(h);
	if (meddle)
		meddle(h->rooms_fd, h->clients_fd, arg);
	int r = harness_begin(h, false, passed);
	if (r == 0)
		takeover_run(&h->shared, ret);
	if (r == 0)
		rooms_settle(h->shared.rooms, NULL, NULL);
	sockets_close(passed);
	return r;
}

int harness_connect(struct harness *h, const char *type, const char *mode, const char *room)
{
	struct client_origin origin = {.listener = "test"};
	union address a = {.in = {.sin_family = AF_INET, .sin_port = 1}};
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	snprintf(origin.type, sizeof(origin.type), "%s", type);
	snprintf(origin.mode, sizeof(origin.mode), "%s", mode);
	snprintf(origin.room, sizeof(origin.room), "%s", room);
	int ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Others on this machine may have used all ports up for the moment; and libFuzzer has an alarm. */
	for (unsigned i = 0;
	     connect(ours, &h->listen_address.sa, sizeof(h->listen_address.in)) < 0 && errno != EISCONN;
	     i++) {
		if ((errno != EADDRNOTAVAIL && errno != EINTR && errno != EALREADY) || i == 600)
			abort();
		nanosleep(&(struct timespec){.tv_nsec = errno == EADDRNOTAVAIL ? 100000000 : 1000000}, NULL);
	}
	setsockopt(ours, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	int fd;
	do
		fd = accept4(h->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0 || fcntl(ours, F_SETFL, O_NONBLOCK) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ||
	    limits_take(h->shared.limits, &a, 0, NULL) < 0)
		abort();
	struct client *c = clients_allocate(h->shared.clients);
	c->origin = (uint16_t)clients_intern(h->shared.clients, &origin);
	c->st[0].rights = CLIENT_OPEN;
	c->st[0].private_seq = logring_count(rooms_private(h->shared.rooms)->log);
	atomic_store(&c->sealed_cookie, cookie);
	client_seal(c, &c->st[0]);
	atomic_store(&c->cookie, cookie);
	const struct connection_start start = {stream_plain(fd), a, c, handler_find(type, mode),
					       keeper_add(h->shared.keeper, &fd, 1) == 0};
	if (connection_open(h->workers[0], &start) < 0)
		abort();
	return ours;
}

void harness_settle(struct harness *h)
{
	do
		for (unsigned i = 0; i < 12; i++) {
			wakeup_kick(slots_wakeup(h->slots, 0)); /* so that no turn waits */
			worker_turn(h->workers[0]);
		}
	while (h->clustered && !h->away && harness_echo(h) > 0);
}

const char *harness_read(struct harness *h, int fd)
{
	size_t n = 0;
	ssize_t r;

	while (n < sizeof(h->buf) - 1 && (r = recv(fd, h->buf + n, sizeof(h->buf) - 1 - n, 0)) > 0)
		n += (size_t)r;
	h->buf[n] = '\0';
	return h->buf;
}

const char *harness_say(struct harness *h, int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		abort();
	harness_settle(h);
	return harness_read(h, fd);
}
