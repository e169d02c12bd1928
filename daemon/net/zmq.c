/* SPDX-License-Identifier: MIT */
#include "daemon/net/zmq.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/config/handler.h"
#include "daemon/net/zmq_peers.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zmq.h>

/* So many messages are passed on before the other sockets are looked at; zmq_proxy() does as many. */
#define BURST 1000
#define TICK_MS 1000
/* A room that has to be delivered first is tried again after that. */
#define CROWDED_MS 1
/* How long subscribers of a process before may take to come back. */
#define HELD_US (SECOND_US)
/* Half a greeting may be held for so long. */
#define HANDSHAKE_MS 5000
/* Those who send are looked at so often. */
#define LOOK_MS 5
/* When the last question was so long ago, there are no more. */
#define QUIET_US 50000
/* How long a connection may be accepted but not yet reported by the monitor. */
#define ALONE_US 5000

enum phase { PHASE_RUN, PHASE_DRAIN, PHASE_QUIT };

struct endpoint {
	void *socket, *monitor;
	int fd; /* listens; ours, libzmq has a copy */
	char bound[256];
	struct zmq_peers *peers;
};

struct zmq_listener {
	struct context ctx;
	const struct zmq_behaviour *behaviour;
	struct listener_config config;
	char thread_name[16];
	unsigned origin;
	struct wakeup *wakeup;
	struct room *room; /* NULL: no bridge */
	uint64_t seq;	   /* the next of its messages to be published */
	void *context, *zap;
	struct endpoint at[HANDLER_ENDPOINTS];
	pthread_t thread;
	zmq_msg_t message;
	struct zmq_held held_message;
	bool started;
	bool crowded; /* the room has to be delivered first */
	bool held;    /* subscribers are waited for */
	bool shut;    /* the doors are closed, as only the reserve of file descriptors is left */
	int64_t held_until, shut_at, looked_at;
	int64_t alone_since; /* while draining, when the last peer had gone; 0: not yet */
	atomic_int phase;
	atomic_bool drained;
	atomic_uint max_message, peers, subscribers;
	_Atomic int64_t linger_us, beat;
	uint64_t before[COUNTERS_N]; /* how the counters were when the slot became ours */
	struct client_tally *tally;
	int64_t keepalive_us; /* as it was when the listener began */
};

/* --- for the main thread --- */

int zmq_listener_new(struct shared *shared, const struct config *config,
		     const struct listener_config *listener, const int *fds, unsigned slot, unsigned origin,
		     struct zmq_listener **ret)
{
	struct zmq_listener *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	z->ctx.shared = shared;
	z->behaviour = listener->handler->zmq;
	z->keepalive_us = config->keepalive_us;
	z->config = *listener;
	z->config.curve_clients = calloc(listener->n_curve_clients + 1, sizeof(*z->config.curve_clients));
	if (!z->config.curve_clients) {
		free(z);
		return -ENOMEM;
	}
	if (listener->n_curve_clients > 0)
		memcpy(z->config.curve_clients, listener->curve_clients,
		       listener->n_curve_clients * sizeof(*z->config.curve_clients));
	z->ctx.slot = slot;
	z->origin = origin;
	clients_hold_origin(shared->clients, origin);
	z->wakeup = shared->slots[slot];
	z->tally = clients_tally(shared->clients, origin);
	z->ctx.counters = (struct counters *)clients_counters(shared->clients,
							      CLIENTS_SCRATCHES + slot - shared->n_workers);
	for (int i = 0; i < COUNTERS_N; i++)
		z->before[i] = atomic_load_explicit(&z->ctx.counters->v[i], memory_order_relaxed);
	snprintf(z->thread_name, sizeof(z->thread_name), "chatd/z%u", slot - shared->n_workers);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		z->at[i].fd = fds[i];
	zmq_listener_set_config(z, config);
	*ret = z;
	return 0;
}

void zmq_listener_free(struct zmq_listener *z)
{
	if (!z)
		return;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		if (z->at[i].fd >= 0)
			close(z->at[i].fd);
		zmq_peers_free(z->at[i].peers);
	}
	clients_drop_origin(z->ctx.shared->clients, z->origin);
	explicit_bzero(z->config.curve_secret_key, sizeof(z->config.curve_secret_key));
	free(z->config.curve_clients);
	free(z);
}

void zmq_listener_set_config(struct zmq_listener *z, const struct config *config)
{
	atomic_store(&z->max_message, config->max_message);
	atomic_store(&z->linger_us,
		     z->config.linger_us >= 0 ? z->config.linger_us : config->drain_timeout_us);
}

int64_t zmq_listener_linger(const struct zmq_listener *z)
{
	return atomic_load(&z->linger_us);
}

void zmq_listener_limit_linger(struct zmq_listener *z, int64_t most_us)
{
	if (zmq_listener_linger(z) > most_us)
		atomic_store(&z->linger_us, most_us);
}

const char *zmq_listener_thread_name(const struct zmq_listener *z)
{
	return z->thread_name;
}

int64_t zmq_listener_beat(const struct zmq_listener *z)
{
	if (!z->started)
		return INT64_MAX; /* it could not be started, which is no reason to end all */
	return atomic_load_explicit(&z->beat, memory_order_relaxed);
}

unsigned zmq_listener_peers(const struct zmq_listener *z)
{
	return atomic_load_explicit(&z->peers, memory_order_relaxed);
}

uint64_t zmq_listener_counter(const struct zmq_listener *z, enum counter which)
{
	return atomic_load_explicit(&z->ctx.counters->v[which], memory_order_relaxed) - z->before[which];
}

unsigned zmq_listener_slot(const struct zmq_listener *z)
{
	return z->ctx.slot;
}

int zmq_listener_fd(const struct zmq_listener *z, unsigned number)
{
	return z->at[number].fd;
}

void zmq_listener_stats(const struct zmq_listener *z, struct listener_stats *ret)
{
	listener_tally_stats(z->tally, ret);
}

static void set_phase(struct zmq_listener *z, enum phase phase)
{
	atomic_store(&z->phase, phase);
	wakeup_kick(z->wakeup);
}

void zmq_listener_drain(struct zmq_listener *z)
{
	if (z->started)
		set_phase(z, PHASE_DRAIN);
}

bool zmq_listener_is_drained(const struct zmq_listener *z)
{
	return !z->started || atomic_load(&z->drained);
}

void zmq_listener_quit(struct zmq_listener *z)
{
	if (z->started)
		set_phase(z, PHASE_QUIT);
}

/* --- for the behaviours --- */

void *zmq_listener_socket(struct zmq_listener *z, unsigned number)
{
	return z->at[number].socket;
}

const char *zmq_listener_room(const struct zmq_listener *z)
{
	return z->room ? z->room->name : NULL;
}

bool zmq_listener_may_be(struct zmq_listener *z, const char *s, size_t len, char ret[TEXT_NICK_MAX + 1])
{
	int n = nick_normalise(s, len, ret);

	return n > 0 && roster_check(z->ctx.shared->roster, ret, (size_t)n) == 0;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

void zmq_listener_count(struct zmq_listener *z, uint64_t messages_in, uint64_t messages_out,
			uint64_t bytes_in, uint64_t bytes_out)
{
	add(&z->tally->received, messages_in);
	count(z->ctx.counters, COUNT_ZMQ_IN, messages_in);
	count(z->ctx.counters, COUNT_ZMQ_OUT, messages_out);
	count(z->ctx.counters, COUNT_BYTES_IN, bytes_in);
	count(z->ctx.counters, COUNT_BYTES_OUT, bytes_out);
}

void zmq_listener_count_dropped(struct zmq_listener *z, uint64_t n)
{
	add(&z->tally->dropped, n);
	count(z->ctx.counters, COUNT_ZMQ_DROPPED, n);
}

void zmq_listener_count_ignored(struct zmq_listener *z, uint64_t n)
{
	add(&z->tally->ignored, n);
	count(z->ctx.counters, COUNT_ZMQ_IGNORED, n);
}

struct zmq_held *zmq_listener_held(struct zmq_listener *z)
{
	return &z->held_message;
}

bool zmq_listener_take(struct zmq_listener *z, zmq_msg_t *m)
{
	struct zmq_peers *peers = z->at[0].peers;

	if (zmq_msg_recv(m, z->at[0].socket, ZMQ_DONTWAIT) < 0) {
		zmq_peers_took_all(peers);
		return false;
	}
	zmq_peers_took(peers, m);
	return true;
}

bool zmq_listener_room_takes(struct zmq_listener *z)
{
	z->crowded = z->room && room_crowded(z->ctx.shared->rooms, z->room);
	return !z->crowded;
}

void zmq_listener_say(struct zmq_listener *z, const char *nick, const char *text, size_t len)
{
	_cleanup_free_ char *buf = NULL;
	char head[CONFIG_NAME_MAX + 2];

	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > atomic_load_explicit(&z->max_message, memory_order_relaxed) || len == 0 ||
	    memchr(text, '\n', len)) {
		count(z->ctx.counters, COUNT_LINES_REFUSED, 1);
		return;
	}
	if (!nick)
		nick = z->config.name;
	bool raw = z->room->raw;
	size_t head_len = room_head(raw, nick, strlen(nick), text, len, head);
	if (!raw)
		text = text_clean(text, &len, &buf);
	struct record record = {.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				.kind = RECORD_MESSAGE,
				.text = (uint16_t)head_len};
	if (!text)
		return;
	logring_lock(z->room->log);
	logring_put(z->room->log, &record, head, head_len, text, len);
	logring_commit(z->room->log);
	logring_unlock(z->room->log);
	count(z->ctx.counters, COUNT_MESSAGES, 1);
	rooms_mark(z->ctx.shared->rooms, z->room, &z->ctx.kick);
}

/* --- opening --- */

/* Or peers that vanish without a word would stay for ever. No user_timeout, since one that takes its time
 * over a piece of work would lose those that follow. */
static void watch_over(const struct zmq_listener *z, void *s)
{
	const int on = z->keepalive_us > 0, every = CONFIG_PROBE_EVERY_S, probes = CONFIG_PROBES;
	const int idle = (int)((z->keepalive_us + SECOND_US - 1) / SECOND_US);

	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE, &on, sizeof(on));
	if (!on)
		return;
	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE_IDLE, &idle, sizeof(idle));
	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE_INTVL, &every, sizeof(every));
	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE_CNT, &probes, sizeof(probes));
}

static void *make_socket(struct zmq_listener *z, unsigned number)
{
	const struct listener_config *c = &z->config;
	const int one = 1, handshake = HANDSHAKE_MS, zero = 0, backlog = 4096;
	void *s = zmq_socket(z->context, z->behaviour->types[number]);

	if (!s)
		return NULL;
	zmq_setsockopt(s, ZMQ_IPV6, &one, sizeof(one));
	watch_over(z, s);
	zmq_setsockopt(s, ZMQ_SNDHWM, &c->high_water_mark, sizeof(int));
	zmq_setsockopt(s, ZMQ_RCVHWM, &c->high_water_mark, sizeof(int));
	zmq_setsockopt(s, ZMQ_HANDSHAKE_IVL, &handshake, sizeof(handshake));
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
	zmq_setsockopt(s, ZMQ_BACKLOG, &backlog, sizeof(backlog));
	zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &c->max_size, sizeof(c->max_size));
	if (z->behaviour->types[number] == ZMQ_ROUTER)
		zmq_setsockopt(s, ZMQ_ROUTER_MANDATORY, &one, sizeof(one));
	if (c->curve_secret_key[0]) {
		zmq_setsockopt(s, ZMQ_CURVE_SERVER, &one, sizeof(one));
		if (zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, c->curve_secret_key, strlen(c->curve_secret_key)) <
		    0) {
			zmq_close(s);
			return NULL;
		}
		if (c->n_curve_clients > 0)
			zmq_setsockopt(s, ZMQ_ZAP_DOMAIN, "chatd", 5);
	}
	return s;
}

static int open_endpoint(struct zmq_listener *z, unsigned number)
{
	struct endpoint *e = &z->at[number];
	char address[64];
	size_t size = sizeof(e->bound);

	zmq_peers_free(e->peers);
	e->peers = zmq_peers_new();
	if (!e->peers)
		return -errno;
	e->socket = make_socket(z, number);
	if (!e->socket)
		return -errno;
	snprintf(address, sizeof(address), "inproc://monitor-%u", number);
	if (zmq_socket_monitor(e->socket, address,
			       ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_ACCEPT_FAILED |
				   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
				   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) < 0)
		return -errno;
	e->monitor = zmq_socket(z->context, ZMQ_PAIR);
	if (!e->monitor || zmq_connect(e->monitor, address) < 0)
		return -errno;
	if (e->fd >= 0) {
		/* The socket listens already: see zmq_setsockopt(3), ZMQ_USE_FD. */
		int copy = fcntl(e->fd, F_DUPFD_CLOEXEC, 3);
		if (copy < 0 || zmq_setsockopt(e->socket, ZMQ_USE_FD, &copy, sizeof(copy)) < 0)
			return -errno;
	}
	if (zmq_bind(e->socket, z->config.endpoints[number].text) < 0)
		return -errno;
	if (zmq_getsockopt(e->socket, ZMQ_LAST_ENDPOINT, e->bound, &size) < 0)
		return -errno;
	return 0;
}

static void set_door(const struct endpoint *e, bool closed);
static bool is_ours(const struct endpoint *e, int fd);

static void close_all(struct zmq_listener *z)
{
	int linger = (int)(atomic_load(&z->linger_us) / 1000), zero = 0;

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		struct endpoint *e = &z->at[i];
		if (e->monitor) {
			zmq_socket_monitor(e->socket, NULL, 0);
			zmq_setsockopt(e->monitor, ZMQ_LINGER, &zero, sizeof(zero));
			zmq_close(e->monitor);
		}
		if (e->socket) {
			zmq_setsockopt(e->socket, ZMQ_LINGER, &linger, sizeof(linger));
			zmq_close(e->socket);
		}
		e->socket = e->monitor = NULL;
	}
	if (z->zap)
		zmq_close(z->zap);
	z->zap = NULL;
	zmq_msg_close(&z->message);
	if (z->context)
		zmq_ctx_term(z->context); /* waits for linger */
	z->context = NULL;
	/* Who comes now waits in the backlog. */
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		set_door(&z->at[i], false);
}

/* --- who may connect: ZAP (rfc.zeromq.org/spec/27), asked for by libzmq where there is a list of clients ---
 */

static bool is_allowed(const struct zmq_listener *z, const uint8_t *key)
{
	char text[41];

	zmq_z85_encode(text, key, 32);
	for (size_t i = 0; i < z->config.n_curve_clients; i++)
		if (memcmp(text, z->config.curve_clients[i], 40) == 0)
			return true;
	return false;
}

static void answer_zap(struct zmq_listener *z)
{
	enum {
		ZAP_VERSION,
		ZAP_REQUEST_ID,
		ZAP_DOMAIN,
		ZAP_ADDRESS,
		ZAP_IDENTITY,
		ZAP_MECHANISM,
		ZAP_KEY,
		ZAP_FRAMES
	};
	uint8_t frames[ZAP_FRAMES][256] = {{0}};
	int lens[ZAP_FRAMES] = {0}, n = 0, more = 1;
	size_t size = sizeof(more);

	while (more) {
		uint8_t sink[256];
		int len = zmq_recv(z->zap, n < ZAP_FRAMES ? frames[n] : sink, sizeof(sink), ZMQ_DONTWAIT);
		if (len < 0)
			return;
		if (n < ZAP_FRAMES)
			lens[n] = len < (int)sizeof(sink) ? len : (int)sizeof(sink);
		n++;
		zmq_getsockopt(z->zap, ZMQ_RCVMORE, &more, &size);
	}
	bool good = n == ZAP_FRAMES && lens[ZAP_MECHANISM] == 5 &&
		    memcmp(frames[ZAP_MECHANISM], "CURVE", 5) == 0 && lens[ZAP_KEY] == 32 &&
		    is_allowed(z, frames[ZAP_KEY]);
	const char *status = good ? "200" : "400", *text = good ? "OK" : "not on the list";
	zmq_send(z->zap, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(z->zap, frames[ZAP_REQUEST_ID], n > ZAP_REQUEST_ID ? (size_t)lens[ZAP_REQUEST_ID] : 0,
		 ZMQ_SNDMORE);
	zmq_send(z->zap, status, 3, ZMQ_SNDMORE);
	zmq_send(z->zap, text, strlen(text), ZMQ_SNDMORE);
	zmq_send(z->zap, "", 0, ZMQ_SNDMORE);
	zmq_send(z->zap, "", 0, 0);
}

/* --- who is connected: zmq_socket_monitor(3) --- */

static void shut_doors(struct zmq_listener *z, bool shut)
{
	if (shut == z->shut)
		return;
	z->shut = shut;
	z->shut_at = clock_us(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		set_door(&z->at[i], shut);
	const struct log_fields fields = {.message_id = EVENT_LISTENER, .listener = z->config.name};
	if (shut)
		log_event(LOG_WARNING, &fields,
			  "listener %s: no more connections can be accepted for now: %s", z->config.name,
			  strerror(EMFILE));
	else
		log_event(LOG_NOTICE, &fields, "listener %s: connections are accepted again", z->config.name);
}

/* Once a second. */
static void look_at_doors(struct zmq_listener *z, int64_t now)
{
	if (!z->shut || now - z->shut_at < SECOND_US)
		return;
	z->shut_at = now;
	if (!sockets_are_short())
		shut_doors(z, false);
}

static void peer_came(struct zmq_listener *z, struct endpoint *e, int fd)
{
	/* libzmq accepts all that there are; what is not for clients is not for its peers. */
	if (fd >= sockets_for_clients()) {
		shut_doors(z, true);
		count(z->ctx.counters, COUNT_ACCEPT_PAUSES, 1);
		zmq_listener_count_ignored(z, 1);
		if (is_ours(e, fd))
			shutdown(fd, SHUT_RDWR);
	}
	add(&z->tally->accepted, 1);
	atomic_fetch_add(&z->peers, 1);
	count(z->ctx.counters, COUNT_ZMQ_PEERS, 1);
	zmq_peers_came(e->peers, fd);
}

static void peer_went(struct zmq_listener *z, struct endpoint *e, int fd)
{
	if (atomic_load(&z->peers) > 0)
		atomic_fetch_sub(&z->peers, 1);
	zmq_peers_went(e->peers, fd);
}

static void read_monitor(struct zmq_listener *z, struct endpoint *e)
{
	for (unsigned i = 0; i < BURST; i++) {
		uint8_t event[6], address[256];
		uint16_t kind;
		uint32_t value;
		if (zmq_recv(e->monitor, event, sizeof(event), ZMQ_DONTWAIT) < (int)sizeof(event) ||
		    zmq_recv(e->monitor, address, sizeof(address), ZMQ_DONTWAIT) < 0)
			return;
		memcpy(&kind, event, sizeof(kind));
		memcpy(&value, event + 2, sizeof(value));
		switch (kind) {
		case ZMQ_EVENT_ACCEPTED:
			peer_came(z, e, (int)value);
			break;
		case ZMQ_EVENT_DISCONNECTED:
			peer_went(z, e, (int)value);
			break;
		default: /* a handshake or an accept() that failed */
			zmq_listener_count_ignored(z, 1);
		}
	}
}

/* Subscriptions and their ends come as messages to an XPUB socket; only how many there are is of interest. */
static void read_subscriptions(struct zmq_listener *z, const struct endpoint *e)
{
	zmq_msg_t m;

	zmq_msg_init(&m);
	for (unsigned i = 0; i < BURST; i++) {
		if (zmq_msg_recv(&m, e->socket, ZMQ_DONTWAIT) < 0) {
			zmq_peers_took_all(e->peers);
			break;
		}
		zmq_peers_took(e->peers, &m);
		unsigned now = atomic_load(&z->subscribers);
		char byte = zmq_msg_size(&m) > 0 ? *(const char *)zmq_msg_data(&m) : 2;
		if (byte == 1)
			atomic_store(&z->subscribers, now + 1);
		else if (byte == 0 && now > 0)
			atomic_store(&z->subscribers, now - 1);
	}
	zmq_msg_close(&m);
}

/* --- messages without an end --- */

struct cut {
	struct zmq_listener *z;
	const struct endpoint *e;
};

static void cut_off(int fd, void *arg)
{
	const struct linger reset = {.l_onoff = 1};
	struct cut *c = arg;
	union address a = {0};
	socklen_t len = sizeof(a);

	if (!is_ours(c->e, fd))
		return;
	bool known =
	    getpeername(fd, &a.sa, &len) == 0 && (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6);
	/* A reset, as its buffers are full of what nobody will read. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	shutdown(fd, SHUT_RDWR);
	add(&c->z->tally->dropped, 1);
	count(c->z->ctx.counters, COUNT_ZMQ_TOO_LONG, 1);
	log_limited(LOG_TOPIC_REFUSED, LOG_NOTICE,
		    &(struct log_fields){.message_id = EVENT_CLIENT_REFUSED,
					 .listener = c->z->config.name,
					 .address = known ? &a : NULL},
		    "listener %s: a peer is cut off: its message is longer than max_size", c->z->config.name);
}

/* At most every few milliseconds, whatever comes. */
static void look_at_peers(struct zmq_listener *z, int64_t now)
{
	uint64_t limit = (uint64_t)z->config.max_size, waiting = (uint64_t)z->config.high_water_mark;

	if (now - z->looked_at < INT64_C(1000) * LOOK_MS)
		return;
	z->looked_at = now;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		struct endpoint *e = &z->at[i];
		struct cut cut = {z, e};
		if (!e->socket)
			continue;
		/* Nobody has anything to say there, so there is nothing to be taken. */
		if (z->behaviour->types[i] == ZMQ_PUSH)
			zmq_peers_took_all(e->peers);
		/* An eighth more, for what frames cost on the wire. */
		zmq_peers_look(e->peers, limit + limit / 8, waiting > 0 ? waiting : 1, cut_off, &cut);
	}
}

/* --- the thread --- */

/* Publishes the room's news as [room][line]. */
static void publish(struct zmq_listener *z)
{
	void *out = z->at[1].socket;
	struct logring_view v;
	uint64_t bytes = 0, n = 0;
	size_t name = strlen(z->room->name);

	logring_pin(z->room->log, z->ctx.slot, &v);
	if (z->seq < v.first) {
		zmq_listener_count_dropped(z, v.first - z->seq);
		z->seq = v.first;
	}
	for (; z->seq < v.count; z->seq++) {
		uint64_t start = logring_start(z->room->log, &v, z->seq);
		size_t len = (size_t)(logring_record(z->room->log, z->seq)->end - start) - 1;
		if (zmq_send(out, z->room->name, name, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
		    zmq_send(out, logring_at(&v, start), len, ZMQ_DONTWAIT) < 0)
			zmq_listener_count_dropped(z, 1);
		bytes += name + len;
		n++;
	}
	logring_flushed(z->room->log, z->ctx.slot, &v);
	logring_unpin(z->room->log, z->ctx.slot);
	zmq_listener_count(z, 0, n, 0, bytes);
}

static void ignore_mark(uint32_t room, void *arg)
{
	(void)room;
	(void)arg;
}

static bool is_ours(const struct endpoint *e, int fd)
{
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
		struct sockaddr_un un;
		union address in;
	} a;
	socklen_t len = sizeof(a);
	char text[ADDRESS_TEXT_MAX];
	const char *port = strrchr(e->bound, ':');

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, &a.sa, &len) < 0)
		return false;
	if (a.sa.sa_family == AF_UNIX)
		return strncmp(e->bound, "ipc://", 6) == 0 && strcmp(a.un.sun_path, e->bound + 6) == 0;
	address_format(&a.in, text);
	return port && strncmp(e->bound, "tcp://", 6) == 0 && strcmp(strrchr(text, ':'), port) == 0;
}

/*
 * Closes or opens the door: while it is closed, the kernel drops who wants to connect, and they try again in
 * a second. (zmq_unbind() would end the connections that there are.)
 */
static void set_door(const struct endpoint *e, bool closed)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {1, &drop};
	int unused = 0;

	if (e->fd >= 0 && closed)
		setsockopt(e->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	else if (e->fd >= 0)
		setsockopt(e->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
}

static void end_peer(int fd, void *arg)
{
	if (is_ours(arg, fd))
		shutdown(fd, SHUT_WR);
}

/*
 * Nobody can send any more: a peer that sees the end of our side closes, and its kernel delivers what it had
 * taken before that. Our side goes on reading until then. Peers who come again meanwhile are treated alike.
 */
static void end_peers(const struct endpoint *e)
{
	zmq_peers_each(e->peers, end_peer, (void *)e);
}

static bool is_readable(void *socket)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

/* One step of the draining. True when all that was sent to us has been passed on. */
static bool drain(struct zmq_listener *z, int64_t last_input)
{
	const struct endpoint *in = &z->at[0];
	int64_t now = clock_us(CLOCK_MONOTONIC);

	/* Who asked is answered on the same connection; a question may be under way for a moment. */
	if (z->behaviour->types[0] != ZMQ_PULL)
		return !is_readable(in->socket) && now - last_input > QUIET_US;
	end_peers(in);
	if (zmq_peers_count(in->peers) > 0 || is_readable(in->socket) || z->held_message.any || z->crowded ||
	    z->held) {
		z->alone_since = 0;
		return false;
	}
	/* Nobody is there. The door is closed, and whoever is in it already will be seen in a moment. */
	if (z->alone_since == 0) {
		set_door(in, true);
		z->alone_since = now;
	}
	return now - z->alone_since > ALONE_US;
}

struct polled {
	zmq_pollitem_t items[4 + 3 * HANDLER_ENDPOINTS];
	int n, zap, monitors[HANDLER_ENDPOINTS], input, output, subscriptions;
};

static int add_item(struct polled *p, void *socket, int fd, short events)
{
	p->items[p->n] = (zmq_pollitem_t){.socket = socket, .fd = fd, .events = events};
	return p->n++;
}

static void make_items(struct zmq_listener *z, struct polled *p)
{
	const struct zmq_behaviour *b = z->behaviour;

	*p = (struct polled){.zap = -1, .input = -1, .output = -1, .subscriptions = -1};
	add_item(p, NULL, wakeup_fd(z->wakeup), ZMQ_POLLIN);
	if (z->zap)
		p->zap = add_item(p, z->zap, 0, ZMQ_POLLIN);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		p->monitors[i] = z->at[i].monitor ? add_item(p, z->at[i].monitor, 0, ZMQ_POLLIN) : -1;
	/* When it is too early to look, nobody need say that there is something to see. */
	if (clock_us(CLOCK_MONOTONIC) - z->looked_at >= INT64_C(1000) * LOOK_MS)
		for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
			if (z->at[i].socket)
				add_item(p, NULL, zmq_peers_fd(z->at[i].peers), ZMQ_POLLIN);
	if (z->held_message.any)
		p->output = add_item(p, z->at[1].socket, 0, ZMQ_POLLOUT);
	else if (!z->crowded && !z->held)
		p->input = add_item(p, z->at[0].socket, 0, ZMQ_POLLIN);
	if (b->types[1] == ZMQ_XPUB)
		p->subscriptions = add_item(p, z->at[1].socket, 0, ZMQ_POLLIN);
}

static bool is_ready(const struct polled *p, int item)
{
	return item >= 0 && p->items[item].revents;
}

/* Whether they are to be looked at without anything new from them: suspects, or when it was too early. */
static bool peers_to_look_at(const struct zmq_listener *z)
{
	bool suspects = false;

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		suspects |= z->at[i].socket && zmq_peers_suspects(z->at[i].peers);
	return suspects || clock_us(CLOCK_MONOTONIC) - z->looked_at < INT64_C(1000) * LOOK_MS;
}

static bool news(const struct zmq_listener *z)
{
	return z->room && z->seq < logring_count(z->room->log);
}

/* Subscribers that were there before the restart are waited for. */
static void look_at_held(struct zmq_listener *z)
{
	_Atomic uint32_t *before = clients_peers(z->ctx.shared->clients, z->origin);

	if (z->held && (atomic_load(&z->subscribers) >= atomic_load(before) ||
			clock_us(CLOCK_MONOTONIC) >= z->held_until))
		z->held = false;
	if (!z->held)
		atomic_store(before, atomic_load(&z->subscribers));
}

static void serve(struct zmq_listener *z)
{
	const struct zmq_behaviour *b = z->behaviour;
	bool draining = false;
	int64_t last_input = 0;
	struct polled p;

	for (;;) {
		int phase = atomic_load(&z->phase);
		if (phase == PHASE_QUIT)
			break;
		if (phase == PHASE_DRAIN && !draining) {
			draining = true;
			last_input = clock_us(CLOCK_MONOTONIC);
		}
		if (z->held || b->types[1] == ZMQ_XPUB)
			look_at_held(z);
		/* Before the room is looked at, or a mark of our own would keep the next one from waking us.
		 */
		wakeup_take(z->wakeup, ignore_mark, NULL);
		make_items(z, &p);
		int timeout = z->crowded	    ? CROWDED_MS
			      : draining	    ? 1
			      : peers_to_look_at(z) ? LOOK_MS
			      : z->held		    ? 10
						    : TICK_MS;
		if (!z->held && news(z))
			timeout = 0;
		zmq_poll(p.items, p.n, timeout);
		int64_t now = clock_us(CLOCK_MONOTONIC);
		atomic_store_explicit(&z->beat, now, memory_order_relaxed);
		look_at_doors(z, now);
		if (p.input >= 0 && !is_ready(&p, p.input))
			zmq_peers_took_all(z->at[0].peers);
		if (p.subscriptions >= 0 && !is_ready(&p, p.subscriptions))
			zmq_peers_took_all(z->at[1].peers);
		look_at_peers(z, now);
		if (p.items[0].revents)
			wakeup_clear(z->wakeup);
		if (is_ready(&p, p.zap))
			answer_zap(z);
		for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
			if (is_ready(&p, p.monitors[i]))
				read_monitor(z, &z->at[i]);
		if (is_ready(&p, p.subscriptions))
			read_subscriptions(z, &z->at[1]);
		bool readable = z->crowded || is_ready(&p, p.input) || is_ready(&p, p.output);
		z->crowded = false;
		if (readable) {
			b->forward(z, BURST);
			last_input = clock_us(CLOCK_MONOTONIC);
		}
		rooms_kick(z->ctx.shared->rooms, &z->ctx.kick, z->ctx.slot);
		if (!z->held && news(z))
			publish(z);
		else if (z->held && z->room)
			logring_caught_up(z->room->log, z->ctx.slot); /* waiting doesn't hold the room up */
		if (draining && drain(z, last_input))
			atomic_store(&z->drained, true);
	}
	if (z->held_message.any)
		zmq_listener_count_dropped(z, 1);
	if (news(z))
		publish(z);
	if (b->types[1] == ZMQ_XPUB)
		read_subscriptions(z, &z->at[1]);
	look_at_held(z);
}

static void *run(void *arg)
{
	struct zmq_listener *z = arg;

	pthread_setname_np(pthread_self(), z->thread_name);
	serve(z);
	close_all(z);
	if (z->room)
		rooms_leave(z->ctx.shared->rooms, z->room, z->ctx.slot);
	z->room = NULL;
	return NULL;
}

int zmq_listener_start(struct zmq_listener *z, bool held, const char **ret_why)
{
	int r = 0;

	*ret_why = NULL;
	atomic_store(&z->phase, PHASE_RUN);
	atomic_store(&z->drained, false);
	atomic_store(&z->peers, 0);
	atomic_store(&z->subscribers, 0);
	z->alone_since = 0;
	z->shut = false;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		set_door(&z->at[i], false); /* a process before may have died with them closed */
	zmq_msg_init(&z->message);
	z->held_message = (struct zmq_held){&z->message, false};
	z->context = zmq_ctx_new();
	if (!z->context)
		return -errno;
	/* The kernel's limit counts, not libzmq's. */
	zmq_ctx_set(z->context, ZMQ_MAX_SOCKETS, 1023);
	if (z->config.n_curve_clients > 0) {
		z->zap = zmq_socket(z->context, ZMQ_REP);
		if (!z->zap || zmq_bind(z->zap, "inproc://zeromq.zap.01") < 0)
			r = -errno;
	}
	if (r == 0 && z->config.room[0]) {
		r = rooms_enter(z->ctx.shared->rooms, z->config.room, z->ctx.slot, &(struct room_guest){0},
				&z->room);
		if (r == 0)
			z->seq = logring_count(z->room->log);
	}
	for (unsigned i = 0; r == 0 && i < HANDLER_ENDPOINTS; i++)
		if (z->behaviour->types[i]) {
			r = open_endpoint(z, i);
			if (r < 0)
				*ret_why = z->config.endpoints[i].text;
		}
	z->held = held && z->behaviour->types[1] == ZMQ_XPUB;
	z->held_until = clock_us(CLOCK_MONOTONIC) + HELD_US;
	atomic_store(&z->beat, clock_us(CLOCK_MONOTONIC));
	if (r == 0)
		r = -pthread_create(&z->thread, NULL, run, z);
	if (r < 0) {
		close_all(z);
		if (z->room)
			rooms_leave(z->ctx.shared->rooms, z->room, z->ctx.slot);
		z->room = NULL;
		return r;
	}
	z->started = true;
	return 0;
}

bool zmq_listener_join(struct zmq_listener *z, int64_t timeout_us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;

	while (z->started) {
		if (pthread_tryjoin_np(z->thread, NULL) == 0)
			z->started = false;
		else if (clock_us(CLOCK_MONOTONIC) >= until)
			return false;
		else
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return true;
}
