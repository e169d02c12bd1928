/* SPDX-License-Identifier: MIT */
/* Receiving of a UDP listener: a batch of datagrams at a time, which the behaviour deals with. */
#include "common/cleanup.h"
#include "daemon/net/udp_private.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* As large as a datagram gets (RFC 768, less the headers, rounded up). */
#define DATAGRAM_MAX 65536
/* Batches in a turn, so that a flood doesn't keep others waiting. */
#define RECEIVE_ROUNDS 4

int udp_receive_init(struct udp_listener *u)
{
	void *buffers = mmap(NULL, (size_t)UDP_RECEIVE_BATCH * DATAGRAM_MAX, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (buffers == MAP_FAILED)
		return -ENOMEM;
	u->buffers = buffers;
	return 0;
}

void udp_receive_release(struct udp_listener *u)
{
	if (u->buffers)
		munmap(u->buffers, (size_t)UDP_RECEIVE_BATCH * DATAGRAM_MAX);
}

static void udp_get_local(struct msghdr *m, struct udp_local *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	ret->known = false;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level == SOL_IP && h->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(h), sizeof(info));
			memcpy(ret->address.s6_addr, mapped, 12);
			memcpy(ret->address.s6_addr + 12, &info.ipi_addr, 4);
			/* An answer can't come from a broadcast or multicast address. */
			uint32_t a = ntohl(info.ipi_addr.s_addr);
			ret->known = info.ipi_spec_dst.s_addr == info.ipi_addr.s_addr && a >> 28 != 0xe;
		} else if (h->cmsg_level == SOL_IPV6 && h->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(h), sizeof(info));
			ret->address = info.ipi6_addr;
			ret->known = !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
		}
	}
}

/* Who may not come is not even told so. */
static void udp_drop_unwelcome(struct udp_listener *u)
{
	size_t kept = 0;

	for (size_t i = 0; i < u->held_n; i++) {
		const char *why;
		if (listener_allows(&u->base, &u->held[i].from, &why))
			u->held[kept++] = u->held[i];
		else
			udp_count_ignored(u);
	}
	u->held_n = kept;
}

/* Fills u->held; false when nothing is there. */
static bool udp_receive_batch(struct udp_listener *u)
{
	char controls[UDP_RECEIVE_BATCH][CMSG_SPACE(sizeof(struct in6_pktinfo))] __attribute__((aligned(8)));
	struct mmsghdr messages[UDP_RECEIVE_BATCH];
	struct iovec iov[UDP_RECEIVE_BATCH];
	uint64_t bytes = 0;

	for (size_t i = 0; i < UDP_RECEIVE_BATCH; i++) {
		iov[i] = (struct iovec){u->buffers + i * DATAGRAM_MAX, DATAGRAM_MAX};
		memset(&u->held[i].from, 0, sizeof(u->held[i].from));
		messages[i].msg_hdr =
		    (struct msghdr){.msg_name = &u->held[i].from,
				    .msg_namelen = sizeof(u->held[i].from),
				    .msg_iov = &iov[i],
				    .msg_iovlen = 1,
				    .msg_control = u->wildcard ? &controls[i][0] : NULL,
				    .msg_controllen = u->wildcard ? sizeof(controls[i]) : 0};
	}
	int n = recvmmsg(u->base.fd, messages, UDP_RECEIVE_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0) {
		/* An error of the network is reported instead of what is there; it is asked for again. */
		if (errno != EAGAIN && errno != EINTR && udp_errors_read(u))
			n = recvmmsg(u->base.fd, messages, UDP_RECEIVE_BATCH, MSG_DONTWAIT, NULL);
		if (n < 0)
			return false;
	}
	u->held_at = 0;
	u->held_n = (size_t)n;
	for (size_t i = 0; i < (size_t)n; i++) {
		u->held[i].data = iov[i].iov_base;
		u->held[i].len = messages[i].msg_len;
		udp_get_local(&messages[i].msg_hdr, &u->held[i].local);
		bytes += messages[i].msg_len;
	}
	udp_tally(&u->base.tally->received, (uint64_t)n);
	count(u->base.ctx->counters, COUNT_DATAGRAMS_IN, (uint64_t)n);
	count(u->base.ctx->counters, COUNT_BYTES_IN, bytes);
	udp_drop_unwelcome(u);
	return n > 0;
}

void udp_receive(struct udp_listener *u)
{
	for (unsigned round = 0; round < RECEIVE_ROUNDS; round++) {
		if (u->held_at == u->held_n && !udp_receive_batch(u))
			break;
		u->held_at += u->behaviour->received(u, u->held + u->held_at, u->held_n - u->held_at);
		if (u->held_at < u->held_n) {
			u->base.wants_turn = true;
			break;
		}
		if (u->held_n < UDP_RECEIVE_BATCH / 2)
			break;
	}
}
