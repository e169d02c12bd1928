/* SPDX-License-Identifier: MIT */
/*
 * How far the connections of a process before have got, by what the kernel says, and for TLS by what its state says
 * of that.
 */
#include "daemon/server/takeover.h"

#include "common/cleanup.h"
#include "daemon/state/sockets.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* States in which a FIN was seen, and sent. */
#define TAKEOVER_PEERS_FIN                                                                                   \
	(1U << TCP_STATE_CLOSE_WAIT | 1U << TCP_STATE_LAST_ACK | 1U << TCP_STATE_CLOSING |                   \
	 1U << TCP_STATE_TIME_WAIT)
#define TAKEOVER_OUR_FIN                                                                                     \
	(1U << TCP_STATE_FIN_WAIT1 | 1U << TCP_STATE_FIN_WAIT2 | 1U << TCP_STATE_CLOSING |                   \
	 1U << TCP_STATE_LAST_ACK)

/* 0 with the state; -ENOTCONN if the connection is over, or -errno. */
static int takeover_read_info(int fd, struct tcp_info *ret)
{
	socklen_t len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &len) < 0)
		return -errno;
	if (len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(ret->tcpi_bytes_received))
		return -EOPNOTSUPP;
	return ret->tcpi_state == TCP_STATE_CLOSE ? -ENOTCONN : 0;
}

/*
 * Of a connection that was reset, nothing can be sent any more, but what it had said before counts. Whether
 * the peer's FIN is among the bytes received, the state doesn't tell any more; the error does, once, and then
 * the entry. So much was taken for certain.
 */
void takeover_progress_of_closed(int fd, const struct client *c, uint64_t taken,
				 struct connection_progress *ret)
{
	const struct client_state *st = client_live(c);
	int in = 0, error = 0;
	struct tcp_info info;
	socklen_t len = sizeof(error), info_len = sizeof(info);

	*ret = (struct connection_progress){.sent = st->out_end, .received = taken};
	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len) < 0 || ioctl(fd, SIOCINQ, &in) < 0)
		return;
	if (error == 0 && st->rights & CLIENT_PEER_ENDED)
		error = EPIPE;
	else if (error == 0 && st->rights & CLIENT_PEER_RESET)
		error = ECONNRESET;
	uint64_t not_taken = (uint64_t)in + (error == EPIPE);
	if (error == 0 || info.tcpi_bytes_received < not_taken + taken)
		return;
	ret->received = info.tcpi_bytes_received - not_taken;
	ret->gone = error;
}

int takeover_progress(int fd, struct connection_progress *ret)
{
	struct tcp_info before, after;
	int in = 0, out = 0;
	int r = takeover_read_info(fd, &before);

	*ret = (struct connection_progress){0};
	/*
	 * The peer goes on sending and acknowledging meanwhile. These numbers only grow, so if they are the same before
	 * and after, what was asked between belongs to the same instant.
	 */
	for (unsigned tries = 0; r == 0 && tries < 1000; tries++, before = after) {
		if (ioctl(fd, SIOCINQ, &in) < 0 || ioctl(fd, SIOCOUTQ, &out) < 0)
			return -errno;
		r = takeover_read_info(fd, &after);
		if (r < 0 || before.tcpi_bytes_received != after.tcpi_bytes_received ||
		    before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
		    before.tcpi_state != after.tcpi_state)
			continue;
		/* The peer's FIN counts as a byte once it has arrived. */
		const unsigned state = 1U << after.tcpi_state;
		bool fin = state & TAKEOVER_PEERS_FIN;
		uint64_t received = after.tcpi_bytes_received - (fin && after.tcpi_bytes_received > 0);
		*ret = (struct connection_progress){
		    .sent = after.tcpi_bytes_acked + (uint64_t)out,
		    .received = received > (uint64_t)in ? received - (uint64_t)in : 0,
		    .ended = state & TAKEOVER_OUR_FIN,
		};
		return 0;
	}
	return r < 0 ? r : -EBUSY;
}

const char *takeover_stream(struct shared *shared, const struct client *c, int fd,
			    struct connection_progress *p, struct stream *ret)
{
	const struct client_state *st = client_live(c);
	const bool tls = st->flags & CLIENT_TLS;
	const struct tls_place place = clients_tls(shared->clients, c);
	int r = takeover_progress(fd, p);

	*ret = stream_plain(fd);
	if (r == -ENOTCONN)
		takeover_progress_of_closed(fd, c, tls ? tls_live(place.state)->in_at : st->in_parsed, p);
	else if (r < 0)
		return strerror(-r);
	if (!tls)
		return NULL;
	struct tls_progress at = {.received = p->received,
				  .sent = p->sent,
				  .over = r == -ENOTCONN,
				  .closing = st->flags & CLIENT_CLOSING};
	const char *why = tls_stream_restore(&place, clients_tls_scratches(shared->clients),
					     CLIENTS_SCRATCHES, &at, fd, ret);
	p->received = at.received;
	/* Nothing is missing for who can't get anything more. */
	p->sent = at.over || tls_live(place.state)->flags & TLS_BYE ? st->out_end : at.sent;
	return why;
}
