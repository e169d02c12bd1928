/* SPDX-License-Identifier: MIT */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/logins.h"
#include "daemon/engine/transaction.h"
#include "daemon/engine/worker.h"
#include "daemon/io/memfd.h"
#include "daemon/io/sender.h"
#include "daemon/rooms/speech.h"
#include "daemon/io/tls.h"
#include "daemon/state/keeper.h"
#include "daemon/state/sockets.h"

#include <inttypes.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#define TCP_STATE_CLOSE 7 /* as tcpi_state has it (Linux, net/tcp_states.h) */

/* Once a closed connection has got everything: how long it may take to say goodbye before its socket goes. */
#define LINGER_US 2000000
/* Who is kicked has so long to read what it was sent; others, whose loss it would be, have flush_timeout. */
#define KICK_US 10000000
/* Who asks for too much waits at least so long. */
#define COMMANDS_PAUSE_US 250000
/* A client that is too fast hears of it so often. */
#define NOTICE_US 10000000

static void ready(struct source *s, uint32_t events);
static void pump(struct connection *c);
static void look_again(struct connection *c);
static void doom(struct connection *c, int error);
static void login_answered(struct context *ctx, const struct login_answer *answer);

/* --- what handlers see --- */

uint64_t connection_id(const struct connection *c)
{
	return c->client->id;
}

uint32_t connection_index(const struct connection *c)
{
	return clients_index(c->ctx->shared->clients, c->client);
}

struct context *connection_context(const struct connection *c)
{
	return c->ctx;
}

const struct client_state *connection_state(const struct connection *c)
{
	return client_live(c->client);
}

struct roster_entry **connection_roster(struct connection *c)
{
	return &c->roster;
}

struct room *connection_room(const struct connection *c)
{
	return c->room;
}

const char *connection_listener(const struct connection *c)
{
	const struct client_origin *o = clients_origin(c->ctx->shared->clients, c->client->origin);

	return o ? o->listener : "?";
}

const char *connection_first_room(const struct connection *c)
{
	const struct client_origin *o = clients_origin(c->ctx->shared->clients, c->client->origin);

	return o ? o->room : "";
}

bool connection_is_ending(const struct connection *c)
{
	return c->ending;
}

struct client_state *connection_begin(struct connection *c)
{
	struct client_state *next = transaction_begin(c->client);

	if (c->sent >= next->out_end) {
		/* The outbox is empty, so the stream's next byte is the log's at pos. */
		next->out_end = c->sent;
		next->cursor = c->pos;
		next->cursor_seq = c->seq;
	}
	c->draft = next;
	return next;
}

struct client_state *connection_draft(struct connection *c)
{
	return c->draft;
}

void connection_abandon(struct connection *c)
{
	c->draft = NULL;
}

size_t connection_space(const struct connection *c)
{
	uint64_t end = c->draft ? c->draft->out_end : connection_state(c)->out_end;

	return end > c->sent ? CLIENT_OUT_SIZE - (size_t)(end - c->sent) : CLIENT_OUT_SIZE;
}

void connection_write(struct connection *c, const char *data, size_t len)
{
	char *outbox = clients_outbox(c->ctx->shared->clients, c->client);
	size_t at = c->draft->out_end % CLIENT_OUT_SIZE, first = CLIENT_OUT_SIZE - at;

	if (first > len)
		first = len;
	memcpy(outbox + at, data, first);
	memcpy(outbox, data + first, len - first);
	c->draft->out_end += len;
	c->out_touched = true;
}

void connection_printf(struct connection *c, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		connection_write(c, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void connection_consume(struct connection *c, size_t n)
{
	c->draft->in_parsed += n;
	if (n > 0)
		c->draft->rights &= (uint8_t)~CLIENT_NEW;
}

void connection_commit(struct connection *c, struct room *locked)
{
	transaction_commit(c->ctx, c->client, locked);
	c->pos = c->draft->cursor;
	c->seq = c->draft->cursor_seq;
	c->draft = NULL;
}

bool connection_settle(struct connection *c, size_t reserve)
{
	struct logring_view v;

	if (!c->room)
		return true;
	logring_peek(c->room->log, &v);
	uint64_t from = c->draft->cursor, seq = c->draft->cursor_seq;
	if (from < v.floor) {
		if (connection_space(c) < 64 + reserve)
			return false;
		connection_printf(c, "* %" PRIu64 " message%s skipped\n", v.count - seq,
				  v.count - seq == 1 ? "" : "s");
		count(c->ctx->counters, COUNT_MESSAGES_SKIPPED, v.count - seq);
	} else {
		if (connection_space(c) < v.head - from + reserve)
			return false;
		connection_write(c, logring_at(&v, from), v.head - from);
	}
	c->draft->cursor = v.head;
	c->draft->cursor_seq = v.count;
	return true;
}

void connection_set_room(struct connection *c, struct room *room)
{
	struct shared *shared = c->ctx->shared;

	if (c->room) {
		if (c->room_prev)
			c->room_prev->room_next = c->room_next;
		else
			c->ctx->connections->members[c->room->index] = c->room_next;
		if (c->room_next)
			c->room_next->room_prev = c->room_prev;
		rooms_leave(shared->rooms, c->room, c->ctx->slot);
	}
	c->room = room;
	c->room_prev = c->room_next = NULL;
	if (room) {
		struct connection **head = &c->ctx->connections->members[room->index];
		c->room_next = *head;
		if (*head)
			(*head)->room_prev = c;
		*head = c;
	}
}

bool connection_is_unheard(const struct connection *c)
{
	return c->unheard;
}

bool connection_may_talk(struct connection *c, unsigned command_cost)
{
	const struct config *config = c->ctx->config;
	int64_t now = c->ctx->now, wait;

	if (!c->paid_line) {
		wait = limits_wait(&c->lines_due, config->lines_per_second, 1, SECOND_US, now);
		c->too_many = "lines";
		if (wait > 0) {
			c->deadline = now + wait;
			return false;
		}
		c->paid_line = true;
	}
	if (!c->paid_command) {
		wait =
		    limits_wait(&c->commands_due, config->commands_per_second, command_cost, SECOND_US, now);
		c->too_many = "commands";
		if (wait > 0) {
			/* Several at once, as each time all that it has sent is looked at. */
			c->deadline = now + (wait > COMMANDS_PAUSE_US ? wait : COMMANDS_PAUSE_US);
			return false;
		}
		c->paid_command = true;
	}
	return true;
}

void connection_line_done(struct connection *c)
{
	c->paid_line = c->paid_command = false;
}

static bool allow_by_the_minute(struct connection *c, int64_t *due, unsigned rate)
{
	char from[ADDRESS_TEXT_MAX];

	if (limits_allow(due, rate, 60 * SECOND_US, c->ctx->now))
		return true;
	count(c->ctx->counters, COUNT_CHANGES_REFUSED, 1);
	log_limited(LOG_TOPIC_RATE, LOG_INFO,
		    &(struct log_fields){.message_id = EVENT_CLIENT_SLOWED,
					 .client = c->client->id,
					 .listener = connection_listener(c),
					 .address = &c->address},
		    "client %" PRIu64 " from %s changes its nick or room too often", c->client->id,
		    address_peer(&c->address, from));
	return false;
}

bool connection_may_rename(struct connection *c)
{
	return allow_by_the_minute(c, &c->nicks_due, c->ctx->config->nick_changes_per_minute);
}

bool connection_may_move(struct connection *c)
{
	return allow_by_the_minute(c, &c->rooms_due, c->ctx->config->joins_per_minute);
}

/* --- the socket, or TLS on it; results as recv() and send() have them, but -errno --- */

static void tell_of_renewals(struct connection *c)
{
	char from[ADDRESS_TEXT_MAX];

	count(c->ctx->counters, COUNT_TLS_RENEWALS, 1);
	log_limited(LOG_TOPIC_TLS, LOG_NOTICE,
		    &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
					 .client = c->client->id,
					 .listener = connection_listener(c),
					 .address = &c->address},
		    "client %" PRIu64 " from %s is closed: it wants new TLS keys all the time", c->client->id,
		    address_peer(&c->address, from));
}

static ssize_t take_in(struct connection *c, void *buf, size_t len)
{
	if (c->tls) {
		ssize_t r = tls_recv(c->tls, buf, len);
		if (r == -EDQUOT)
			tell_of_renewals(c);
		return r;
	}
	ssize_t n = recv(c->fd, buf, len, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static ssize_t transmit(struct connection *c, const void *data, size_t len)
{
	if (c->unheard)
		return (ssize_t)len;
	if (c->tls)
		return tls_send(c->tls, data, len);
	ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static bool is_temporary(ssize_t error)
{
	return error == -EAGAIN || error == -EINTR || error == -ENOBUFS;
}

static void unwatch(struct connection *c)
{
	worker_unwatch(c->w, c->fd);
	c->unwatched = true;
	c->events = 0;
}

static void run_again(struct connection *c)
{
	worker_retry(c->w, &c->task);
}

/*
 * The peer has gone, or nothing can be sent to it any more. What it said before is in the inbox and in the
 * kernel, and counts: it is read to its end, as fast as its limits allow, and only then the connection ends.
 * Takes no locks, since a pin may be held.
 */
static void lose_reader(struct connection *c, int error)
{
	if (c->unheard)
		return;
	if (c->pause & PAUSE_CLOSING || c->doomed || error == EPROTO) {
		doom(c, error);
		return;
	}
	c->error = error;
	c->unheard = c->skipped = true;
	c->unheard_until = c->ctx->now + c->ctx->config->flush_timeout_us;
	c->blocked = false;
	unwatch(c);
	/* Whether it had ended in order before, the kernel tells only once. */
	connection_begin(c)->rights |= error == EPIPE ? CLIENT_PEER_ENDED : CLIENT_PEER_RESET;
	connection_commit(c, NULL);
	run_again(c);
}

static int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error == 0 ? EPIPE : error;
}

size_t connection_send(struct connection *c, const char *data, size_t len)
{
	if (c->blocked || len == 0 || connection_state(c)->out_end > c->sent)
		return 0;
	ssize_t n = transmit(c, data, len);
	FAULT("send-straight");
	count(c->ctx->counters, COUNT_SENDS, 1);
	if (n < 0 && !is_temporary(n)) {
		lose_reader(c, (int)-n);
		n = c->unheard ? (ssize_t)len : 0;
	} else if (n < 0) {
		n = 0;
	}
	c->sent += (uint64_t)n;
	c->blocked = (size_t)n < len;
	count(c->ctx->counters, COUNT_BYTES_OUT, (uint64_t)n);
	return (size_t)n;
}

/* --- logging in --- */

bool connection_ask_login(struct connection *c, const struct login_question *q)
{
	struct shared *shared = c->ctx->shared;
	const struct login_caller caller = {c->w,
					    login_answered,
					    connection_index(c),
					    connection_id(c),
					    &c->address,
					    c->ctx->config->failed_logins_per_minute};

	logins_subject(shared->logins, q, c->login_subject);
	c->login = LOGIN_NONE;
	return logins_ask(shared->logins, &caller, q, &c->asked);
}

enum login connection_login(struct connection *c, const struct login_question *q)
{
	enum login answer = (enum login)c->login;
	uint8_t subject[LOGIN_SUBJECT_LEN];

	if (answer == LOGIN_NONE)
		return LOGIN_NONE;
	c->login = LOGIN_NONE;
	logins_subject(c->ctx->shared->logins, q, subject);
	return memcmp(subject, c->login_subject, sizeof(subject)) == 0 ? answer : LOGIN_NONE;
}

unsigned connection_login_failed(struct connection *c)
{
	if (c->failures < UINT8_MAX)
		c->failures++;
	return c->failures;
}

/* --- the end of a connection --- */

static bool output_pending(const struct connection *c)
{
	return c->sent < connection_state(c)->out_end;
}

static void set_flags(struct connection *c, uint16_t flags)
{
	connection_begin(c)->flags |= flags;
	connection_commit(c, NULL);
}

/* Leaves the room and gives the nick back, as long as that is not done. */
static void retire(struct connection *c)
{
	if (c->retired)
		return;
	c->retired = true;
	if (c->asked)
		logins_cancel(c->ctx->shared->logins, c->asked);
	c->asked = NULL;
	c->handler->closed(c);
	connection_set_room(c, NULL);
}

/* An end in order would say that nothing is missing: the peer gets a reset if something is. */
static bool lacks_something(const struct connection *c)
{
	return c->error != EPROTO && (output_pending(c) || (c->tls && tls_is_waiting(c->tls)));
}

static void close_now(struct connection *c)
{
	struct shared *shared = c->ctx->shared;
	char from[ADDRESS_TEXT_MAX];

	if (c->dead)
		return;
	c->dead = true;
	retire(c);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
				       .client = c->client->id,
				       .listener = connection_listener(c),
				       .address = &c->address},
		  "client %" PRIu64 " from %s closed%s%s", c->client->id, address_peer(&c->address, from),
		  c->error ? ": " : "", c->error ? strerror(c->error) : "");
	connections_remove(c->ctx->connections, c);
	worker_unwatch(c->w, c->fd);
	/* The keeper may hold the socket, too: it ends here for all of them. */
	if (c->error == ETIMEDOUT || lacks_something(c))
		sockets_reset(c->fd);
	else
		shutdown(c->fd, SHUT_RDWR);
	FAULT("close-shutdown");
	if (c->out_touched)
		memfd_release(clients_outbox(shared->clients, c->client), CLIENT_OUT_SIZE);
	if (c->in_touched)
		memfd_release(clients_inbox(shared->clients, c->client), CLIENT_IN_SIZE);
	limits_give(shared->limits, &c->address, c->client->origin);
	clients_release(shared->clients, c->client);
	FAULT("close-release");
	tls_free(c->tls);
	c->tls = NULL;
	sender_forget(c->ctx->sender, c->fd);
	close(c->fd);
	c->fd = -1;
	count(c->ctx->counters, COUNT_CLIENTS_CLOSED, 1);
	worker_bury(c->w, &c->task);
}

/* Closing takes locks, which must not happen while a pin is held. */
static void doom(struct connection *c, int error)
{
	if (!c->doomed)
		c->error = error;
	c->doomed = true;
	run_again(c);
}

static void want(struct connection *c)
{
	uint32_t events = (c->lingering || (!c->pause && !c->eof) ? EPOLLIN : 0) |
			  (c->blocked || (c->tls && tls_is_waiting(c->tls)) ? EPOLLOUT : 0);

	if (c->dead || c->unwatched || events == c->events)
		return;
	int r = worker_rewatch(c->w, c->fd, events, &c->source);
	if (r < 0)
		doom(c, -r);
	c->events = events;
}

/* All that was sent has arrived, the FIN included; or nobody is there any more whom it could reach. */
static bool is_acknowledged(const struct connection *c)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int out = 0;

	if (ioctl(c->fd, SIOCOUTQ, &out) < 0)
		return false;
	return out == 0 || (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
			    info.tcpi_state == TCP_STATE_CLOSE);
}

/* Everything is in the kernel's hands: says goodbye, and waits until it has arrived, and for the peer's
 * goodbye, or close() would reset what is still under way. */
static void finish(struct connection *c)
{
	if (c->lingering)
		return;
	if (!c->unheard && c->tls && tls_bye(c->tls) == -EAGAIN) {
		c->blocked = true; /* come back when it is out */
		return;
	}
	if (c->unheard || (c->eof && is_acknowledged(c))) {
		close_now(c);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	c->lingering = true;
	if (c->eof)
		unwatch(c); /* it would be told for ever that both have ended */
	want(c);
}

static void discard_input(struct connection *c)
{
	char *sink = c->ctx->scratch->data;
	ssize_t n = recv(c->fd, sink, CLIENT_IN_SIZE, MSG_DONTWAIT);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	c->eof = true;
	if (n < 0 || is_acknowledged(c))
		close_now(c);
	else
		unwatch(c);
}

/* What is outstanding may take as long as the peer reads some of it now and then. */
static void start_closing(struct connection *c)
{
	c->pause |= PAUSE_CLOSING;
	c->deadline = c->ctx->now + (c->kicked ? KICK_US : c->ctx->config->flush_timeout_us);
}

static void give_up(struct connection *c)
{
	char from[ADDRESS_TEXT_MAX];

	count(c->ctx->counters, COUNT_CLIENTS_UNREAD, 1);
	log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO,
		    &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
					 .client = c->client->id,
					 .listener = connection_listener(c),
					 .address = &c->address},
		    "client %" PRIu64 " from %s is reset: it does not read what is left for it",
		    c->client->id, address_peer(&c->address, from));
	c->error = ETIMEDOUT;
	close_now(c);
}

/* Once a second, for who is closing. */
static void watch_closing(struct connection *c)
{
	int64_t now = c->ctx->now;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (c->lingering && is_acknowledged(c)) {
		if (!c->arrived)
			c->deadline = now + LINGER_US;
		c->arrived = true;
		if (c->eof || c->ending || now >= c->deadline)
			close_now(c);
		return;
	}
	memset(&info, 0, sizeof(info));
	if (!c->kicked && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    info.tcpi_bytes_acked != c->acked) {
		c->acked = info.tcpi_bytes_acked;
		c->deadline = now + c->ctx->config->flush_timeout_us;
	}
	if (now >= c->deadline)
		give_up(c);
}

/* --- output --- */

/* A reader whose next message is gone goes on with the oldest at hand, or ends, as configured. Holds the pin.
 */
static void lapped(struct connection *c, const struct logring_view *v)
{
	char from[ADDRESS_TEXT_MAX];
	uint64_t seq, pos;

	if (c->ctx->config->slow == SLOW_DISCONNECT && !c->unheard) {
		if (!c->doomed) {
			count(c->ctx->counters, COUNT_CLIENTS_SLOW, 1);
			log_event(LOG_INFO,
				  &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
						       .client = c->client->id,
						       .room = c->room->name,
						       .listener = connection_listener(c),
						       .address = &c->address},
				  "client %" PRIu64 " from %s reads too slowly and is disconnected",
				  c->client->id, address_peer(&c->address, from));
		}
		doom(c, EOVERFLOW);
		return;
	}
	pos = logring_resume(c->room->log, v, &seq);
	struct client_state *next = connection_begin(c);
	next->cursor = pos;
	next->cursor_seq = seq;
	uint64_t skipped = seq > c->seq ? seq - c->seq : 0;
	connection_printf(c, "* %" PRIu64 " message%s skipped\n", skipped, skipped == 1 ? "" : "s");
	count(c->ctx->counters, COUNT_MESSAGES_SKIPPED, skipped);
	connection_commit(c, NULL);
	c->skipped = true;
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_SKIPPED,
				       .client = c->client->id,
				       .room = c->room->name,
				       .listener = connection_listener(c),
				       .address = &c->address},
		  "client %" PRIu64 " from %s reads too slowly and misses %" PRIu64 " messages in %s",
		  c->client->id, address_peer(&c->address, from), skipped, c->room->name);
}

/* After a send from the log; n as in struct send_op. Holds the pin. */
static void sent_from_log(struct connection *c, const struct logring_view *v, ssize_t n)
{
	struct counters *counters = c->ctx->counters;

	count(counters, COUNT_SENDS, 1);
	if (n < 0) {
		if (!is_temporary(n)) {
			lose_reader(c, (int)-n);
			return;
		}
		n = 0;
	}
	count(counters, COUNT_BYTES_OUT, (uint64_t)n);
	c->pos += (uint64_t)n;
	c->sent += (uint64_t)n;
	if (c->pos == v->head) {
		c->seq = v->count;
		return;
	}

	/* Cut. Within a message, its rest goes to the outbox, so that the cursor stands on a boundary. */
	FAULT("send-cut");
	uint64_t seq = logring_seek(c->room->log, v, c->pos);
	if (logring_start(c->room->log, v, seq) != c->pos) {
		uint64_t end = logring_record(c->room->log, seq)->end;
		struct client_state *next = connection_begin(c);
		next->cursor = end;
		next->cursor_seq = seq + 1;
		connection_write(c, logring_at(v, c->pos), end - c->pos);
		connection_commit(c, NULL);
	} else {
		c->seq = seq;
	}
	c->blocked = true;
	c->skipped = true;
	want(c);
}

/* Sends what the outbox holds; true when it is empty. */
static bool send_outbox(struct connection *c)
{
	const char *outbox = clients_outbox(c->ctx->shared->clients, c->client);
	uint64_t end = connection_state(c)->out_end;

	while (c->sent < end) {
		size_t at = c->sent % CLIENT_OUT_SIZE, n = CLIENT_OUT_SIZE - at;
		if (n > end - c->sent)
			n = end - c->sent;
		ssize_t r = transmit(c, outbox + at, n);
		FAULT("send-outbox");
		count(c->ctx->counters, COUNT_SENDS, 1);
		if (r < 0 && !is_temporary(r)) {
			lose_reader(c, (int)-r);
			if (c->doomed)
				return false;
			continue;
		}
		if (r > 0) {
			c->sent += (uint64_t)r;
			count(c->ctx->counters, COUNT_BYTES_OUT, (uint64_t)r);
		}
		if (r < (ssize_t)n) {
			c->blocked = true;
			return false;
		}
	}
	return true;
}

static void send_log(struct connection *c)
{
	struct logring_view v;

	c->skipped = false;
	logring_pin(c->room->log, c->ctx->slot, &v);
	if (c->pos < v.floor) {
		lapped(c, &v);
	} else if (c->pos < v.head) {
		sent_from_log(c, &v, transmit(c, logring_at(&v, c->pos), v.head - c->pos));
	}
	logring_unpin(c->room->log, c->ctx->slot);
}

static void output(struct connection *c)
{
	while (!c->blocked && !c->doomed && !c->dead && !c->lingering) {
		if (output_pending(c)) {
			if (!send_outbox(c))
				break;
		} else if (c->room && c->skipped) {
			send_log(c);
		} else if (connection_state(c)->flags & CLIENT_CLOSING) {
			finish(c);
			break;
		} else if (c->ending) {
			if (c->handler->ending)
				c->handler->ending(c, c->end_text);
			retire(c);
			set_flags(c, CLIENT_CLOSING);
		} else {
			break;
		}
	}
	want(c);
}

void output_deliver(struct connections *cs, uint32_t index)
{
	struct connection *c = cs->members[index], *next;
	struct context *ctx = cs->ctx;
	struct send_op ops[SENDER_BATCH];
	struct logring_view v;
	size_t n = 0;

	if (!c)
		return;
	struct room *room = c->room;
	logring_pin(room->log, ctx->slot, &v);
	for (; c || n > 0; c = next) {
		next = c ? c->room_next : NULL;
		if (c && !c->doomed) {
			if (c->blocked || output_pending(c)) {
				c->skipped = true;
				if (c->pos < v.floor && ctx->config->slow == SLOW_DISCONNECT)
					lapped(c, &v);
			} else if (c->pos < v.floor) {
				lapped(c, &v);
				run_again(c);
			} else if (c->pos < v.head && (c->tls || c->unheard)) {
				sent_from_log(c, &v, transmit(c, logring_at(&v, c->pos), v.head - c->pos));
				want(c);
			} else if (c->pos < v.head) {
				ops[n++] = (struct send_op){.fd = c->fd,
							    .data = logring_at(&v, c->pos),
							    .len = v.head - c->pos,
							    .user = c};
			}
		}
		if (n == SENDER_BATCH || (!next && n > 0)) {
			sender_run(ctx->sender, ops, n);
			FAULT("send-log");
			for (size_t i = 0; i < n; i++)
				sent_from_log(ops[i].user, &v, ops[i].result);
			n = 0;
		}
		if (!c)
			break;
	}
	logring_flushed(room->log, ctx->slot, &v);
	logring_unpin(room->log, ctx->slot);
}

/* --- input --- */

static void load_leftover(struct connection *c, char *to, uint64_t base)
{
	const char *inbox = clients_inbox(c->ctx->shared->clients, c->client);
	size_t at = base % CLIENT_IN_SIZE, first = CLIENT_IN_SIZE - at;

	if (first > c->leftover)
		first = c->leftover;
	memcpy(to, inbox + at, first);
	memcpy(to + first, inbox, c->leftover - first);
}

/* Puts len bytes of input, the first of which is at that offset, where a successor finds them. */
static void store_leftover(struct connection *c, const char *from, uint64_t offset, size_t len)
{
	char *inbox = clients_inbox(c->ctx->shared->clients, c->client);
	size_t at = offset % CLIENT_IN_SIZE, first = CLIENT_IN_SIZE - at;

	if (first > len)
		first = len;
	memcpy(inbox + at, from, first);
	memcpy(inbox, from + first, len - first);
	c->in_touched = true;
}

/* Reading rests until c->deadline; a person is told why, now and then. */
static void slow_down(struct connection *c, const char *what)
{
	int64_t now = c->ctx->now;
	char from[ADDRESS_TEXT_MAX];

	if (!(c->pause & PAUSE_LIMITED))
		count(c->ctx->counters, COUNT_RATE_PAUSES, 1);
	c->pause |= PAUSE_LIMITED;
	log_limited(LOG_TOPIC_RATE, LOG_INFO,
		    &(struct log_fields){.message_id = EVENT_CLIENT_SLOWED,
					 .client = c->client->id,
					 .listener = connection_listener(c),
					 .address = &c->address},
		    "client %" PRIu64 " from %s sends too many %s a second and is slowed down", c->client->id,
		    address_peer(&c->address, from), what);
	if (!c->handler->ending || (c->noticed && now - c->noticed < NOTICE_US) || connection_space(c) < 256)
		return;
	c->noticed = now;
	connection_begin(c);
	connection_printf(
	    c, "* Not so fast: that is too many %s a second. Nothing is lost, but it takes a while.\n", what);
	connection_commit(c, NULL);
	c->skipped = true;
}

/* Receives straight into the worker's scratch, where a successor finds it, and lets the handler work on it.
 */
static void input(struct connection *c, bool receive)
{
	struct scratch *s = c->ctx->scratch;
	uint64_t base = connection_state(c)->in_parsed;
	size_t have = c->leftover;
	int64_t rest = 0; /* us without reading, for having sent so much */

	if (have > 0)
		load_leftover(c, s->data, base);
	s->base = base;
	atomic_store_explicit(&s->owner, scratch_owner(s, c->client->id), memory_order_release);
	FAULT("receive-owner");
	if (receive && !c->eof && have < CLIENT_IN_SIZE) {
		size_t room = CLIENT_IN_SIZE - have;
		unsigned rate = c->ctx->config->bytes_per_second;
		if (rate > 0 && room > rate)
			room = rate;
		ssize_t n = take_in(c, s->data + have, room);
		FAULT("receive");
		/* All has been read. Who had ended in order before it was reset had an end. */
		if (n == -EPIPE || (n == -EAGAIN && c->unheard && !c->tls))
			n = 0;
		if (n < 0 && !is_temporary(n)) {
			doom(c, (int)-n);
		} else if (n == 0 && c->unheard && c->error != EPIPE) {
			doom(c, c->error); /* a line that it was within is none */
		} else if (n == 0) {
			c->eof = true;
		} else if (n > 0) {
			have += (size_t)n;
			c->active = c->ctx->now;
			count(c->ctx->counters, COUNT_BYTES_IN, (uint64_t)n);
			rest = limits_charge(&c->bytes_due, rate, (uint64_t)n, c->active);
		}
	}

	enum verdict verdict = HANDLER_MORE;
	if (!c->doomed && (have > c->leftover || c->eof || !receive))
		verdict = c->handler->received(c, s->data, have, c->eof);
	if (verdict == HANDLER_MORE && c->eof)
		verdict = HANDLER_CLOSE;

	size_t consumed = connection_state(c)->in_parsed - base;
	c->spoke |= consumed > 0;
	/* What was left over before is still there. */
	size_t settled = consumed > c->leftover ? consumed : c->leftover;
	c->leftover = (uint32_t)(have - consumed);
	if (settled < have)
		store_leftover(c, s->data + settled, base + settled, have - settled);
	FAULT("receive-settled");
	atomic_store_explicit(&s->owner, 0, memory_order_release);

	switch (verdict) {
	case HANDLER_MORE:
		break;
	case HANDLER_BLOCKED:
		c->pause |= PAUSE_BLOCKED;
		c->skipped = true;
		break;
	case HANDLER_YIELD:
		c->pause |= PAUSE_CROWDED;
		worker_hurry(c->w);
		break;
	case HANDLER_CROWDED:
		c->pause |= PAUSE_CROWDED;
		count(c->ctx->counters, COUNT_CROWDED, 1);
		break;
	case HANDLER_LIMITED:
		slow_down(c, c->too_many);
		break;
	case HANDLER_WAITING:
		c->pause |= PAUSE_LOGIN;
		break;
	case HANDLER_CLOSE:
		retire(c);
		set_flags(c, CLIENT_CLOSING);
		start_closing(c);
		break;
	}
	if (rest > 0 && !(c->pause & (PAUSE_LIMITED | PAUSE_CLOSING))) {
		c->deadline = c->ctx->now + rest;
		slow_down(c, "bytes");
	}
	if (c->pause & PAUSE_CROWDED)
		run_again(c);
	else if (c->pause & PAUSE_LIMITED)
		worker_retry_later(c->w, &c->task);
}

/* Sends what is there, and takes up input that had to wait for that. */
static void pump(struct connection *c)
{
	output(c);
	while (c->pause == PAUSE_BLOCKED && !c->blocked && !c->doomed && !c->dead && !output_pending(c)) {
		c->pause = 0;
		input(c, false);
		output(c);
	}
	want(c);
}

static void ready(struct source *s, uint32_t events)
{
	struct connection *c = (struct connection *)s;

	if (c->dead || c->unwatched)
		return;
	if (c->lingering) {
		discard_input(c);
		return;
	}
	if (events & EPOLLOUT)
		c->blocked = c->tls && tls_flush(c->tls) == -EAGAIN;
	if (!c->pause && !c->eof && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		input(c, true);
	else if (events & (EPOLLHUP | EPOLLERR))
		lose_reader(c, socket_error(c->fd));
	pump(c);
	look_again(c);
}

/* Input of which no event will tell: what TLS has deciphered already, or what was sent by who has gone. */
static bool has_more(const struct connection *c)
{
	return !c->pause && !c->eof && (c->unheard || (c->tls && tls_has_input(c->tls)));
}

static void look_again(struct connection *c)
{
	if (!c->dead && !c->doomed && has_more(c))
		run_again(c);
}

/* The answer to connection_ask_login(). */
static void login_answered(struct context *ctx, const struct login_answer *answer)
{
	struct connection *c = connections_find(ctx, answer->index, answer->id);

	if (!c)
		return;
	c->asked = NULL;
	if (!(c->pause & PAUSE_LOGIN) || c->dead ||
	    memcmp(answer->subject, c->login_subject, sizeof(c->login_subject)) != 0)
		return;
	c->login = answer->good ? LOGIN_GOOD : LOGIN_BAD;
	c->pause &= (uint8_t)~PAUSE_LOGIN;
	c->pause |= PAUSE_CROWDED; /* so that the line is worked on again in this turn */
	run_again(c);
}

static void again(struct task *t)
{
	struct connection *c = (struct connection *)((char *)t - offsetof(struct connection, task));

	if (c->doomed) {
		close_now(c);
		return;
	}
	if (c->pause & PAUSE_LIMITED && c->ctx->now < c->deadline) {
		worker_retry_later(c->w, &c->task);
		return;
	}
	if (c->pause & (PAUSE_CROWDED | PAUSE_LIMITED)) {
		c->pause &= (uint8_t) ~(PAUSE_CROWDED | PAUSE_LIMITED);
		if (!c->pause)
			input(c, false);
	} else if (has_more(c)) {
		input(c, true);
	}
	pump(c);
	look_again(c);
}

/* --- private messages --- */

/*
 * Whoever was told that a message is on its way hears that it did not arrive, in the same step in which it is
 * given up. The log is locked; it is unlocked.
 */
static void bounce(struct connection *c, const struct record *r)
{
	const struct client_state *st = connection_state(c);
	struct room *private = rooms_private(c->ctx->shared->rooms);
	const struct speaker who = {.id = c->client->id, .nick = st->nick, .nick_len = st->nick_len};
	struct speech s = speech_within(private);

	count(c->ctx->counters, COUNT_PRIVATE_DROPPED, 1);
	/* What comes back is not sent back once more. */
	if (r->sender && r->sender_index > 0)
		speech_bounce(&s, private, r, &who);
	connection_commit(c, speech_room(&s));
}

/* The private log is locked, and is unlocked. */
static void take_private(struct connection *c, uint64_t seq, const struct record *r, const char *line,
			 size_t len)
{
	const struct client_state *st = connection_state(c);
	struct logring *log = rooms_private(c->ctx->shared->rooms)->log;

	if (seq < st->private_seq || (st->flags & CLIENT_CLOSING) || c->retired) {
		logring_unlock(log);
		return;
	}
	struct client_state *next = connection_begin(c);
	next->private_seq = seq + 1;
	if (connection_space(c) >= len) {
		connection_write(c, line, len);
		logring_unlock(log);
		connection_commit(c, NULL);
	} else {
		bounce(c, r);
	}
	run_again(c);
}

void private_deliver(struct connections *cs)
{
	struct logring *log = rooms_private(cs->ctx->shared->rooms)->log;
	uint64_t *seq = &cs->private_seq;
	struct logring_view v;

	logring_lock(log);
	logring_peek(log, &v);
	for (; *seq < v.count; ++*seq) {
		if (*seq < v.first)
			*seq = v.first;
		const struct record *r = logring_record(log, *seq);
		struct connection *c = connections_find(cs->ctx, r->target_index, r->target);
		if (c && !c->dead) {
			uint64_t start = logring_start(log, &v, *seq);
			take_private(c, *seq, r, logring_at(&v, start), r->end - start);
			logring_lock(log);
			logring_peek(log, &v);
		}
	}
	logring_flushed(log, cs->ctx->slot, &v);
	logring_unlock(log);
}

/* --- the worker's side --- */

static void connection_task_free(struct task *t)
{
	connection_free((struct connection *)((char *)t - offsetof(struct connection, task)));
}

static const struct task_ops task_ops = {.again = again, .free = connection_task_free};

static struct connection *make(struct worker *w, const struct connection_start *start)
{
	struct shared *shared = worker_context(w)->shared;
	struct connection *c = calloc(1, sizeof(*c));

	if (c) {
		*c = (struct connection){
		    .source.ready = ready,
		    .task.ops = &task_ops,
		    .fd = start->fd,
		    .client = start->client,
		    .handler = start->handler,
		    .w = w,
		    .ctx = worker_context(w),
		    .covered = start->covered,
		    .tls = start->tls,
		    .active = worker_context(w)->now,
		    .began = atomic_load(&start->client->datagram.active_us),
		    .address = start->address,
		};
		/* An entry of an older build doesn't say, and a damaged one is not believed. */
		if (c->began <= 0 || c->began > c->active)
			c->began = c->active;
		if (worker_watch(w, start->fd, 0, &c->source) == 0)
			goto good;
	}
	free(c);
	tls_free(start->tls);
	shutdown(start->fd, SHUT_RDWR);
	close(start->fd);
	limits_give(shared->limits, &start->address, start->client->origin);
	clients_release(shared->clients, start->client);
	return NULL;
good:
	connections_add(c->ctx->connections, c);
	return c;
}

int connection_open(struct worker *w, const struct connection_start *start)
{
	struct connection *c = make(w, start);
	const struct client *client = start->client;
	char from[ADDRESS_TEXT_MAX];

	if (!c)
		return -ENOMEM;
	count(worker_context(w)->counters, COUNT_CLIENTS_ACCEPTED, 1);
	if (!c->covered)
		count(worker_context(w)->counters, COUNT_UNCOVERED, 1);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_CLIENT_OPENED,
				       .client = client->id,
				       .listener = connection_listener(c),
				       .address = &c->address},
		  "client %" PRIu64 " from %s connected", client->id, address_peer(&c->address, from));
	const struct client_origin *o = clients_origin(worker_context(w)->shared->clients, client->origin);
	c->handler->opened(c, o ? o->room : "");
	pump(c);
	look_again(c);
	return 0;
}

int connection_restore(struct worker *w, const struct connection_start *start,
		       const struct connection_progress *progress)
{
	struct connection *c = make(w, start);
	const struct client *client = start->client;
	const struct handler *handler = start->handler;
	const struct client_state *st = client_live(client);

	if (!c)
		return -ENOMEM;
	c->sent = progress->sent;
	c->pos = st->cursor;
	c->seq = st->cursor_seq;
	if (handler->mirrors && !(st->flags & CLIENT_CLOSING) && c->sent > st->out_end) {
		uint64_t straight = c->sent - st->out_end;
		connection_begin(c);
		connection_consume(c, straight);
		connection_commit(c, NULL);
		st = connection_state(c);
	}
	c->leftover = (uint32_t)(progress->received - st->in_parsed);
	c->out_touched = c->in_touched = true; /* whatever is there is looked at once */
	c->spoke = true;		       /* or it has been given its time already */
	c->skipped = true;
	if (st->flags & CLIENT_CLOSING) {
		start_closing(c);
		if (c->sent > st->out_end)
			c->sent = st->out_end;
	}
	handler->restored(c);
	if (c->room && c->sent >= st->out_end) {
		struct logring_view v;
		c->pos += c->sent - st->out_end;
		logring_lock(c->room->log);
		logring_peek(c->room->log, &v);
		if (c->pos >= v.floor && c->pos <= v.head) {
			uint64_t seq = logring_seek(c->room->log, &v, c->pos);
			struct client_state *next = connection_begin(c);
			next->cursor_seq = seq;
			if (logring_start(c->room->log, &v, seq) != c->pos) {
				next->cursor = logring_record(c->room->log, seq)->end;
				next->cursor_seq = seq + 1;
				connection_write(c, logring_at(&v, c->pos), next->cursor - c->pos);
			}
			connection_commit(c, NULL);
		}
		logring_unlock(c->room->log);
	}
	if (!(st->flags & CLIENT_GREETED)) {
		const struct client_origin *o =
		    clients_origin(worker_context(w)->shared->clients, client->origin);
		handler->opened(c, o ? o->room : "");
	}
	if (c->leftover > 0)
		c->pause |= PAUSE_CROWDED; /* so that it is worked on in the first turn */
	if (progress->gone)
		lose_reader(c, progress->gone);
	run_again(c);
	connection_reloaded(c);
	return 0;
}

void connection_reloaded(struct connection *c)
{
	if (c->dead || !c->handler->reloaded)
		return;
	c->handler->reloaded(c);
	if (!c->dead && output_pending(c))
		run_again(c);
}

void connection_cover(struct connection *c)
{
	if (c->covered || c->dead || c->tls || keeper_add(c->ctx->shared->keeper, c->fd) < 0)
		return;
	c->covered = true;
	atomic_fetch_sub(&c->ctx->connections->uncovered, 1);
}

/* Who has to say something, or who they are, before long. */
static void check_beginning(struct connection *c)
{
	const struct config *config = c->ctx->config;
	const struct client_state *st = connection_state(c);
	bool nameless = c->handler->has_nicks && st->nick_len == 0;
	int64_t first = config->first_line_timeout_us, login = nameless ? config->login_timeout_us : 0;

	if ((first == 0 || c->spoke) && login == 0)
		return;
	int64_t age = c->ctx->now - c->began;
	const char *text = NULL;
	char from[ADDRESS_TEXT_MAX];
	if (login > 0 && age > login)
		text = "* You have not logged in in time.\n";
	else if (first > 0 && !c->spoke && age > first)
		text = "* You have said nothing yet; goodbye.\n";
	if (!text)
		return;
	count(c->ctx->counters, COUNT_CLIENTS_MUTE, 1);
	log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO,
		    &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
					 .client = c->client->id,
					 .listener = connection_listener(c),
					 .address = &c->address},
		    "client %" PRIu64 " from %s said nothing in time", c->client->id,
		    address_peer(&c->address, from));
	connection_kick(c, text);
}

/* The pages of buffers that are empty; each costs two system calls, so there is a limit a tick for all. */
static void release_pages(struct connection *c, unsigned *releases)
{
	struct clients *clients = c->ctx->shared->clients;

	/* Who is talking will need them again. */
	if (*releases == 0 || c->ctx->now - c->active < SECOND_US)
		return;
	if (c->out_touched && !output_pending(c)) {
		memfd_release(clients_outbox(clients, c->client), CLIENT_OUT_SIZE);
		c->out_touched = false;
		--*releases;
	}
	if (*releases > 0 && c->in_touched && c->leftover == 0) {
		memfd_release(clients_inbox(clients, c->client), CLIENT_IN_SIZE);
		c->in_touched = false;
		--*releases;
	}
}

void connection_tick(struct connection *c, unsigned *releases)
{
	int64_t now = c->ctx->now, idle = c->ctx->config->idle_timeout_us;
	char from[ADDRESS_TEXT_MAX];

	if (c->dead)
		return;
	if (c->lingering || (c->pause & PAUSE_CLOSING)) {
		watch_closing(c);
		return;
	}
	if (c->unheard && now >= c->unheard_until) {
		doom(c, ETIMEDOUT); /* or what it left would keep its nick for hours */
		return;
	}
	connection_cover(c);
	release_pages(c, releases);
	if (idle > 0 && !c->pause && now - c->active > idle) {
		count(c->ctx->counters, COUNT_CLIENTS_IDLE, 1);
		log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO,
			    &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
						 .client = c->client->id,
						 .listener = connection_listener(c),
						 .address = &c->address},
			    "client %" PRIu64 " from %s was silent for too long", c->client->id,
			    address_peer(&c->address, from));
		connection_kick(c, "* You have been silent for too long.\n");
		return;
	}
	check_beginning(c);
}

bool connection_kick(struct connection *c, const char *text)
{
	if (c->dead || (c->pause & PAUSE_CLOSING))
		return false;
	retire(c);
	connection_begin(c)->flags |= CLIENT_CLOSING;
	if (text && connection_space(c) >= strlen(text))
		connection_write(c, text, strlen(text));
	connection_commit(c, NULL);
	c->kicked = true;
	start_closing(c);
	output(c);
	return true;
}

void connection_freeze(struct connection *c)
{
	c->pause |= PAUSE_FROZEN;
	want(c);
}

void connection_end(struct connection *c, const char *text)
{
	c->ending = c->skipped = true;
	c->end_text = text;
	if (!c->dead)
		output(c);
}

void connection_hang_up(struct connection *c)
{
	struct logring_view v;
	bool behind = false;

	if (c->room) {
		logring_lock(c->room->log);
		logring_peek(c->room->log, &v);
		behind = c->pos < v.head;
		logring_unlock(c->room->log);
	}
	if (behind || lacks_something(c))
		sockets_reset(c->fd);
	else
		shutdown(c->fd, SHUT_RDWR);
}

void connection_free(struct connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	tls_free(c->tls);
	roster_release(c->ctx->shared->roster, c->roster);
	free(c);
}

const union address *connection_address(const struct connection *c)
{
	return &c->address;
}

void connection_info(const struct connection *c, struct client_info *ret)
{
	const struct client_state *st = connection_state(c);

	*ret = (struct client_info){
	    .lease_us = -1,
	    .id = c->client->id,
	    .address = c->address,
	    .mode = c->handler->mode,
	    .age_us = c->ctx->now - c->began,
	    .idle_us = c->ctx->now - c->active,
	    .received = st->in_parsed + c->leftover,
	    .sent = c->sent,
	    .behind = st->out_end > c->sent ? st->out_end - c->sent : 0,
	    .covered = c->covered,
	    .tls = c->tls != NULL,
	};
	snprintf(ret->listener, sizeof(ret->listener), "%s", connection_listener(c));
	memcpy(ret->nick, st->nick, st->nick_len);
	if (c->room) {
		struct logring_view v;
		snprintf(ret->room, sizeof(ret->room), "%s", c->room->name);
		logring_lock(c->room->log);
		logring_peek(c->room->log, &v);
		logring_unlock(c->room->log);
		ret->behind += v.head > c->pos ? v.head - c->pos : 0;
	}
}
