/* SPDX-License-Identifier: MIT */
/*
 * The end of a connection. It leaves its room, what is outstanding is sent, the peer's goodbye is waited for,
 * and the socket is closed; or it is doomed and closed at once. Its phase only goes forward on that way.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"
#include "daemon/io/memfd.h"
#include "daemon/io/sender.h"
#include "daemon/state/sockets.h"

#include <inttypes.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Once a closed connection has got everything: how long it may take to say goodbye before its socket goes. */
#define LINGER_US 2000000
/*
 * How long a kicked client has to read what it was sent; others, who would lose something, have
 * flush_timeout.
 */
#define KICK_US 10000000

/* Leaves the room and gives the nick back, as long as that is not done. */
void closing_retire(struct connection *c)
{
	if (c->retired)
		return;
	c->retired = true;
	connection_login_forget(c);
	connection_await_end(c);
	c->handler->closed(c);
	if (c->handler->many)
		seats_give_up(c);
	else
		connection_set_room(c, NULL);
}

/* An end in order would say that nothing is missing: the peer gets a reset if something is. */
bool closing_lacks_something(const struct connection *c)
{
	return c->error != EPROTO && c->error != EKEYEXPIRED &&
	       (output_is_pending(c) || stream_is_waiting(&c->stream));
}

void closing_close(struct connection *c)
{
	struct shared *shared = c->ctx->shared;
	char from[ADDRESS_TEXT_MAX];

	if (c->phase == PHASE_DEAD)
		return;
	c->phase = PHASE_DEAD;
	closing_retire(c);
	log_event(LOG_DEBUG, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
		  "client %" PRIu64 " from %s closed%s%s", c->client->id,
		  address_peer(connection_address(c), from), c->error ? ": " : "",
		  c->error ? strerror(c->error) : "");
	connections_remove(c->ctx->connections, c);
	worker_unwatch(context_worker(c->ctx), c->stream.fd);
	/* The keeper may hold the socket, too: it ends here for all of them. */
	if (c->error == ETIMEDOUT || closing_lacks_something(c))
		sockets_reset(c->stream.fd);
	else
		shutdown(c->stream.fd, SHUT_RDWR);
	FAULT("close-shutdown");
	if (c->out_touched)
		memfd_release(clients_outbox(shared->clients, c->client), CLIENT_OUT_SIZE);
	if (c->in_touched)
		memfd_release(clients_inbox(shared->clients, c->client), CLIENT_IN_SIZE);
	stream_relax(&c->stream, true);
	limits_give(shared->limits, connection_address(c), c->client->origin);
	clients_release(shared->clients, c->client);
	FAULT("close-release");
	stream_free(&c->stream);
	sender_forget(c->ctx->sender, c->stream.fd);
	close(c->stream.fd);
	c->stream.fd = -1;
	count(c->ctx->counters, COUNT_CLIENTS_CLOSED, 1);
	worker_bury(context_worker(c->ctx), &c->task);
}

/* Closing takes locks, which must not happen while a pin is held. */
void closing_doom(struct connection *c, int error)
{
	if (c->phase >= PHASE_DOOMED)
		return;
	c->error = (uint16_t)error;
	c->phase = PHASE_DOOMED;
	connection_retry(c);
}

/*
 * The peer has gone, or nothing can be sent to it any more. What it said before is in the inbox and in the
 * kernel, and counts: it is read to its end, as fast as its limits allow, and only then the connection ends.
 * Takes no locks, since a pin may be held.
 */
void closing_lose_peer(struct connection *c, int error)
{
	if (c->unheard)
		return;
	if (c->phase != PHASE_OPEN || error == EPROTO || error == EKEYEXPIRED) {
		closing_doom(c, error);
		return;
	}
	c->error = (uint16_t)error;
	c->unheard = c->behind = true;
	c->deadline = c->ctx->now + c->ctx->config->flush_timeout_us;
	c->blocked = false;
	connection_unwatch(c);
	/* Whether it had ended in order before, the kernel tells only once. */
	connection_begin(c)->rights |= error == EPIPE ? CLIENT_PEER_ENDED : CLIENT_PEER_RESET;
	connection_commit(c, NULL);
	connection_await_no_more(c);
	connection_retry(c);
}

/* All that was sent has arrived, the FIN included; or nobody is there any more whom it could reach. */
static bool closing_is_acknowledged(const struct connection *c)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int out = 0;

	if (ioctl(c->stream.fd, SIOCOUTQ, &out) < 0)
		return false;
	return out == 0 || (getsockopt(c->stream.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
			    info.tcpi_state == TCP_STATE_CLOSE);
}

/*
 * Everything is in the kernel's hands: says goodbye, and waits until it has arrived, and for the peer's goodbye,
 * or close() would reset what is still under way.
 */
void closing_finish(struct connection *c)
{
	if (c->phase >= PHASE_LINGERING)
		return;
	if (!c->unheard && stream_bye(&c->stream) == -EAGAIN) {
		c->blocked = true; /* come back when it is out */
		return;
	}
	if (c->unheard || (c->eof && closing_is_acknowledged(c))) {
		closing_close(c);
		return;
	}
	shutdown(c->stream.fd, SHUT_WR);
	c->phase = PHASE_LINGERING;
	if (c->eof)
		connection_unwatch(c); /* it would be told for ever that both have ended */
	connection_rewatch(c);
}

void closing_discard(struct connection *c)
{
	char *sink = c->ctx->scratch->data;
	ssize_t n = recv(c->stream.fd, sink, CLIENT_IN_SIZE, MSG_DONTWAIT);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	c->eof = true;
	if (n < 0 || closing_is_acknowledged(c))
		closing_close(c);
	else
		connection_unwatch(c);
}

/* What is outstanding may take as long as the peer reads some of it now and then. */
void closing_begin(struct connection *c)
{
	if (c->phase > PHASE_CLOSING)
		return;
	c->phase = PHASE_CLOSING;
	c->deadline = c->ctx->now + (c->kicked ? KICK_US : c->ctx->config->flush_timeout_us);
}

void closing_leave(struct connection *c)
{
	closing_retire(c);
	connection_set_flags(c, CLIENT_CLOSING);
	closing_begin(c);
}

static void closing_give_up(struct connection *c)
{
	char from[ADDRESS_TEXT_MAX];

	count(c->ctx->counters, COUNT_CLIENTS_UNREAD, 1);
	log_limited(LOG_TOPIC_TIMEOUT, LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
		    "client %" PRIu64 " from %s is reset: it does not read what is left for it",
		    c->client->id, address_peer(connection_address(c), from));
	c->error = ETIMEDOUT;
	closing_close(c);
}

/* Once a second, for a connection that is closing. */
void closing_watch(struct connection *c)
{
	int64_t now = c->ctx->now;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (c->phase >= PHASE_LINGERING && closing_is_acknowledged(c)) {
		if (c->phase != PHASE_ARRIVED)
			c->deadline = now + LINGER_US;
		c->phase = PHASE_ARRIVED;
		if (c->eof || c->ending || now >= c->deadline)
			closing_close(c);
		return;
	}
	memset(&info, 0, sizeof(info));
	if (!c->kicked && getsockopt(c->stream.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    (uint32_t)info.tcpi_bytes_acked != c->acked) {
		c->acked = (uint32_t)info.tcpi_bytes_acked;
		c->deadline = now + c->ctx->config->flush_timeout_us;
	}
	if (now >= c->deadline)
		closing_give_up(c);
}
