/* SPDX-License-Identifier: MIT */
#include "daemon/net/udp.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/config/handler.h"

#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* As large as a datagram gets (RFC 768, less the headers, rounded up). */
#define DATAGRAM_MAX 65536
#define RECEIVE_BATCH 64
/* Batches in a turn, so that a flood doesn't keep others waiting. */
#define RECEIVE_ROUNDS 4
#define UNREACHABLE_MAX 64
#define CONTROL_SIZE (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))

struct udp_listener {
	struct listener base;
	const struct udp_behaviour *behaviour;
	void *data;
	bool wildcard;	  /* bound to all addresses: answers have to come from the one that was asked */
	bool blocked;	  /* wait for EPOLLOUT */
	bool no_segments; /* the kernel or a device refused them */
	bool frozen;
	uint32_t events;
	char *buffers; /* RECEIVE_BATCH of DATAGRAM_MAX; pages exist where something was written */
	struct datagram held[RECEIVE_BATCH];
	size_t held_at, held_n;
	union address unreachable[UNREACHABLE_MAX];
	size_t n_unreachable;
};

void *udp_data(struct udp_listener *u)
{
	return u->data;
}

struct listener *udp_base(struct udp_listener *u)
{
	return &u->base;
}

bool udp_has_segments(const struct udp_listener *u)
{
	return !u->no_segments;
}

bool udp_is_blocked(const struct udp_listener *u)
{
	return u->blocked;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void udp_count_ignored(struct udp_listener *u)
{
	add(&u->base.tally->ignored, 1);
	count(u->base.ctx->counters, COUNT_DATAGRAMS_IGNORED, 1);
}

void udp_count_dropped(struct udp_listener *u, uint64_t n)
{
	add(&u->base.tally->dropped, n);
	count(u->base.ctx->counters, COUNT_DATAGRAMS_DROPPED, n);
}

void udp_count_accepted(struct udp_listener *u)
{
	add(&u->base.tally->accepted, 1);
}

static void watch(struct udp_listener *u)
{
	bool reads = !u->frozen && u->held_at == u->held_n;
	uint32_t events = (reads ? EPOLLIN : 0) | (u->blocked ? EPOLLOUT : 0);

	if (events == u->events)
		return;
	worker_rewatch(u->base.w, u->base.fd, events, &u->base.source);
	u->events = events;
}

/* --- errors that the network reported: IP_RECVERR (ip(7)) --- */

static bool means_unreachable(const struct sock_extended_err *e)
{
	return (e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_ICMP6) &&
	       (e->ee_errno == ECONNREFUSED || e->ee_errno == EHOSTUNREACH || e->ee_errno == ENETUNREACH);
}

/* Reads what was reported; it is acted upon later, when nobody walks over the members. True if there was any.
 */
static bool drain_errors(struct udp_listener *u)
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
			if (means_unreachable(&e) && u->n_unreachable < UNREACHABLE_MAX)
				u->unreachable[u->n_unreachable++] = to;
		}
	}
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(u->base.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error)
		any = true;
	return any;
}

static void act_on_errors(struct udp_listener *u)
{
	for (size_t i = 0; i < u->n_unreachable; i++) {
		count(u->base.ctx->counters, COUNT_UNREACHABLE, 1);
		if (u->behaviour->unreachable)
			u->behaviour->unreachable(u, &u->unreachable[i]);
	}
	u->n_unreachable = 0;
}

/* --- sending --- */

static size_t put_control(const struct udp_listener *u, const struct udp_out *o, char *control)
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

static uint64_t datagrams_in(const struct udp_out *o)
{
	return o->segment ? (o->len + o->segment - 1) / o->segment : 1;
}

/* One that the kernel refused; not for want of space. */
static void refused(struct udp_listener *u, struct udp_out *o, int error)
{
	if (o->segment && (error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP)) {
		/* Segments need a route and a device that can do it: from now on without. */
		u->no_segments = true;
		o->error = -EOPNOTSUPP;
		return;
	}
	o->error = -error;
	udp_count_dropped(u, datagrams_in(o));
}

static void send_batch(struct udp_listener *u, struct udp_out *out, size_t n)
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
		size_t control = put_control(u, &out[i], controls[i]);
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
			count(counters, COUNT_DATAGRAMS_OUT, datagrams_in(o));
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
			watch(u);
			return;
		}
		/* What the network reported of an earlier datagram comes out at a later one. */
		int error = errno;
		if (tries++ < 8 && drain_errors(u))
			continue;
		refused(u, &out[done], error);
		tries = 0;
		done++;
	}
}

void udp_send(struct udp_listener *u, struct udp_out *out, size_t n)
{
	for (size_t i = 0; i < n; i += UDP_BATCH)
		send_batch(u, out + i, n - i < UDP_BATCH ? n - i : UDP_BATCH);
}

void udp_say(struct udp_listener *u, const union address *to, const struct udp_local *local, const char *text,
	     size_t len)
{
	struct udp_out o = {.to = to, .local = local, .data = text, .len = len};

	udp_send(u, &o, 1);
	if (o.error == -EAGAIN)
		udp_count_dropped(u, 1);
}

/* --- receiving --- */

static void get_local(struct msghdr *m, struct udp_local *ret)
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
static void drop_unwelcome(struct udp_listener *u)
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
static bool receive_batch(struct udp_listener *u)
{
	char controls[RECEIVE_BATCH][CMSG_SPACE(sizeof(struct in6_pktinfo))] __attribute__((aligned(8)));
	struct mmsghdr messages[RECEIVE_BATCH];
	struct iovec iov[RECEIVE_BATCH];
	uint64_t bytes = 0;

	for (size_t i = 0; i < RECEIVE_BATCH; i++) {
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
	int n = recvmmsg(u->base.fd, messages, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0) {
		/* An error of the network is reported instead of what is there; it is asked for again. */
		if (errno != EAGAIN && errno != EINTR && drain_errors(u))
			n = recvmmsg(u->base.fd, messages, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
		if (n < 0)
			return false;
	}
	u->held_at = 0;
	u->held_n = (size_t)n;
	for (size_t i = 0; i < (size_t)n; i++) {
		u->held[i].data = iov[i].iov_base;
		u->held[i].len = messages[i].msg_len;
		get_local(&messages[i].msg_hdr, &u->held[i].local);
		bytes += messages[i].msg_len;
	}
	add(&u->base.tally->received, (uint64_t)n);
	count(u->base.ctx->counters, COUNT_DATAGRAMS_IN, (uint64_t)n);
	count(u->base.ctx->counters, COUNT_BYTES_IN, bytes);
	drop_unwelcome(u);
	return n > 0;
}

static void receive(struct udp_listener *u)
{
	for (unsigned round = 0; round < RECEIVE_ROUNDS; round++) {
		if (u->held_at == u->held_n && !receive_batch(u))
			break;
		u->held_at += u->behaviour->received(u, u->held + u->held_at, u->held_n - u->held_at);
		if (u->held_at < u->held_n) {
			u->base.wants_turn = true;
			break;
		}
		if (u->held_n < RECEIVE_BATCH / 2)
			break;
	}
}

static void ready(struct source *s, uint32_t events)
{
	struct udp_listener *u = (struct udp_listener *)s;

	if (events & EPOLLERR)
		drain_errors(u);
	if (events & EPOLLOUT) {
		u->blocked = false;
		if (u->behaviour->deliver)
			u->behaviour->deliver(u, ROOM_NONE);
	}
	if (events & EPOLLIN && !u->frozen)
		receive(u);
	act_on_errors(u);
	watch(u);
}

/* --- as a listener --- */

static int start(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;
	int r = worker_watch(l->w, l->fd, EPOLLIN, &l->source);

	u->events = EPOLLIN;
	if (r == 0 && u->behaviour->started)
		u->behaviour->started(u);
	return r;
}

static void goodbye(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->goodbye)
		u->behaviour->goodbye(u, false);
}

static void stop(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->goodbye)
		u->behaviour->goodbye(u, true);
	worker_unwatch(l->w, l->fd);
}

static void configure(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->reloaded)
		u->behaviour->reloaded(u);
}

static void tick(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	drain_errors(u);
	act_on_errors(u);
	if (u->behaviour->tick)
		u->behaviour->tick(u);
}

static void deliver(struct listener *l, uint32_t room)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (!u->behaviour->deliver)
		return;
	u->behaviour->deliver(u, room);
	act_on_errors(u);
}

static void again(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	receive(u);
	act_on_errors(u);
	watch(u);
}

static void freeze(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	u->frozen = true;
	l->wants_turn = false;
	watch(u);
}

static void each(struct listener *l, void (*fn)(const struct client_info *info, void *arg), void *arg)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->each)
		u->behaviour->each(u, fn, arg);
}

static bool kick(struct listener *l, uint64_t id, const char *text, union address *ret_from)
{
	struct udp_listener *u = (struct udp_listener *)l;

	return u->behaviour->kick && u->behaviour->kick(u, id, text, ret_from);
}

static void release(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->data)
		u->behaviour->closed(u->data);
	if (u->buffers)
		munmap(u->buffers, (size_t)RECEIVE_BATCH * DATAGRAM_MAX);
	free(u);
}

static const struct listener_ops ops = {
    .start = start,
    .stop = stop,
    .configure = configure,
    .tick = tick,
    .deliver = deliver,
    .again = again,
    .freeze = freeze,
    .goodbye = goodbye,
    .each = each,
    .kick = kick,
    .free = release,
};

static bool is_wildcard(const union address *a)
{
	return a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == INADDR_ANY
					  : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

struct listener *udp_listener_new(const struct listener_config *config)
{
	struct udp_listener *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->base.source.ready = ready;
	u->base.ops = &ops;
	u->behaviour = config->handler->udp;
	u->wildcard = is_wildcard(config_bound(config));
	u->buffers = mmap(NULL, (size_t)RECEIVE_BATCH * DATAGRAM_MAX, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (u->buffers == MAP_FAILED)
		u->buffers = NULL;
	if (!u->buffers || (u->behaviour->opened && u->behaviour->opened(u, config, &u->data) < 0)) {
		release(&u->base);
		return NULL;
	}
	return &u->base;
}
