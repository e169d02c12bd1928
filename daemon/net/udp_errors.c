/* SPDX-License-Identifier: MIT */
/*
 * What the network reports of datagrams that were sent: which addresses are unreachable. The kernel queues it at
 * the socket.
 */
#include "common/cleanup.h"
#include "daemon/net/udp_private.h"

#include <linux/errqueue.h>
#include <string.h>
#include <sys/socket.h>

static bool udp_errors_mean_unreachable(const struct sock_extended_err *e)
{
	return (e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_ICMP6) &&
	       (e->ee_errno == ECONNREFUSED || e->ee_errno == EHOSTUNREACH || e->ee_errno == ENETUNREACH);
}

bool udp_errors_read(struct udp_listener *u)
{
	bool any = false;

	for (unsigned i = 0; i < 1000; i++) {
		char control[512] __attribute__((aligned(8)));
		union address to;
		struct msghdr m = {.msg_name = &to,
				   .msg_namelen = sizeof(to),
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};
		if (recvmsg(u->base.fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		any = true;
		for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
			struct sock_extended_err e;
			if (!(h->cmsg_level == SOL_IP && h->cmsg_type == IP_RECVERR) &&
			    !(h->cmsg_level == SOL_IPV6 && h->cmsg_type == IPV6_RECVERR))
				continue;
			memcpy(&e, CMSG_DATA(h), sizeof(e));
			if (udp_errors_mean_unreachable(&e) && u->n_unreachable < UDP_UNREACHABLE_MAX)
				u->unreachable[u->n_unreachable++] = to;
		}
	}
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(u->base.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error)
		any = true;
	return any;
}

void udp_errors_act(struct udp_listener *u)
{
	for (size_t i = 0; i < u->n_unreachable; i++) {
		count(u->base.ctx->counters, COUNT_UNREACHABLE, 1);
		if (u->behaviour->unreachable)
			u->behaviour->unreachable(u, &u->unreachable[i]);
	}
	u->n_unreachable = 0;
}
