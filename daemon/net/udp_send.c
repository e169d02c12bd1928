/* SPDX-License-Identifier: MIT */
/* Sending of a UDP listener: a batch of datagrams at a time, each with the address that it has to come from. */
#include "common/cleanup.h"
#include "daemon/net/udp_private.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#define CONTROL_SIZE (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))

static size_t udp_put_control(const struct udp_listener *u, const struct udp_out *o, char *control)
{
	struct msghdr m = {.msg_control = control, .msg_controllen = CONTROL_SIZE};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	size_t n = 0;

	if (u->wildcard && o->local && o->local->known) {
		if (o->to->sa.sa_family == AF_INET) {
			struct in_pktinfo info = {0};
			memcpy(&info.ipi_spec_dst, o->local->address.s6_addr + 12, 4);
			h->cmsg_level = SOL_IP;
			h->cmsg_type = IP_PKTINFO;
			h->cmsg_len = CMSG_LEN(sizeof(info));
			memcpy(CMSG_DATA(h), &info, sizeof(info));
			n += CMSG_SPACE(sizeof(info));
		} else {
			struct in6_pktinfo info = {.ipi6_addr = o->local->address};
			h->cmsg_level = SOL_IPV6;
			h->cmsg_type = IPV6_PKTINFO;
			h->cmsg_len = CMSG_LEN(sizeof(info));
			memcpy(CMSG_DATA(h), &info, sizeof(info));
			n += CMSG_SPACE(sizeof(info));
		}
		h = (struct cmsghdr *)(control + n);
	}
	if (o->segment) {
		h->cmsg_level = SOL_UDP;
		h->cmsg_type = UDP_SEGMENT;
		h->cmsg_len = CMSG_LEN(sizeof(o->segment));
		memcpy(CMSG_DATA(h), &o->segment, sizeof(o->segment));
		n += CMSG_SPACE(sizeof(o->segment));
	}
	return n;
}

static uint64_t udp_datagrams_in(const struct udp_out *o)
{
	return o->segment ? (o->len + o->segment - 1) / o->segment : 1;
}

/* One that the kernel refused; not for want of space. */
static void udp_refused(struct udp_listener *u, struct udp_out *o, int error)
{
	if (o->segment && (error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP)) {
		/* Segments need a route and a device that can do it: from now on without. */
		u->no_segments = true;
		o->error = -EOPNOTSUPP;
		return;
	}
	o->error = -error;
	udp_count_dropped(u, udp_datagrams_in(o));
}

static void udp_send_batch(struct udp_listener *u, struct udp_out *out, size_t n)
{
	char controls[UDP_BATCH][CONTROL_SIZE] __attribute__((aligned(8)));
	struct counters *counters = u->base.ctx->counters;
	struct mmsghdr messages[UDP_BATCH];
	struct iovec iov[UDP_BATCH][2];
	unsigned tries = 0;
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		iov[i][0] = (struct iovec){"#", out[i].stuffed};
		iov[i][1] = (struct iovec){(void *)out[i].data, out[i].len};
		size_t control = udp_put_control(u, &out[i], controls[i]);
		messages[i].msg_hdr = (struct msghdr){.msg_name = (void *)out[i].to,
						      .msg_namelen = address_len(out[i].to),
						      .msg_iov = &iov[i][!out[i].stuffed],
						      .msg_iovlen = 1 + (size_t)out[i].stuffed,
						      .msg_control = control ? controls[i] : NULL,
						      .msg_controllen = control};
	}
	while (done < n) {
		int r =
		    sendmmsg(u->base.fd, messages + done, (unsigned)(n - done), MSG_DONTWAIT | MSG_NOSIGNAL);
		for (int i = 0; i < r && done + (size_t)i < n; i++) {
			const struct udp_out *o = &out[done + (size_t)i];
			out[done + (size_t)i].error = 0;
			count(counters, COUNT_DATAGRAMS_OUT, udp_datagrams_in(o));
			count(counters, COUNT_BYTES_OUT, o->len);
		}
		if (r > 0) {
			done += (size_t)r;
			tries = 0;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN) {
			for (; done < n; done++)
				out[done].error = -EAGAIN;
			u->blocked = true;
			udp_watch(u);
			return;
		}
		/* What the network reported of an earlier datagram comes out at a later one. */
		int error = errno;
		if (tries++ < 8 && udp_errors_read(u))
			continue;
		udp_refused(u, &out[done], error);
		tries = 0;
		done++;
	}
}

void udp_send(struct udp_listener *u, struct udp_out *out, size_t n)
{
	for (size_t i = 0; i < n; i += UDP_BATCH)
		udp_send_batch(u, out + i, n - i < UDP_BATCH ? n - i : UDP_BATCH);
}

void udp_say(struct udp_listener *u, const union address *to, const struct udp_local *local, const char *text,
	     size_t len)
{
	struct udp_out o = {.to = to, .local = local, .data = text, .len = len};

	udp_send(u, &o, 1);
	if (o.error == -EAGAIN)
		udp_count_dropped(u, 1);
}
