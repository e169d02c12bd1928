/* SPDX-License-Identifier: MIT */
/* Where the listeners' sockets listen: see the header. */
#include "daemon/net/places.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PLACES_BACKLOG 4096

/* --- what the configuration says --- */

static void places_init_zmq(struct places *p, const struct listener_config *c)
{
	const char *const *settings = c->handler->endpoints;

	for (; p->n < HANDLER_ENDPOINTS && settings[p->n]; p->n++) {
		struct place_socket *s = &p->at[p->n];
		const char *label = settings[1] ? settings[p->n] : NULL;
		int most = (int)(sizeof(s->wanted.name) - (label ? 2 + strlen(label) : 1));
		s->label = label;
		s->wanted = (struct place){.address = c->endpoints[p->n].address, .backlog = PLACES_BACKLOG};
		snprintf(s->wanted.name, sizeof(s->wanted.name), "%.*s%s%s", most, c->name, label ? "." : "",
			 label ? label : "");
		memcpy(s->endpoint, c->endpoints[p->n].text, sizeof(s->endpoint));
	}
}

void places_init(struct places *p, const struct listener_config *c)
{
	*p = (struct places){.at = {{.fd = -1}, {.fd = -1}}};
	if (c->handler->transport == TRANSPORT_ZMQ) {
		places_init_zmq(p, c);
		return;
	}
	p->n = 1;
	p->at[0].wanted = (struct place){
	    .datagrams = c->handler->transport == TRANSPORT_UDP, .address = c->listen, .backlog = c->backlog};
	snprintf(p->at[0].wanted.name, sizeof(p->at[0].wanted.name), "%s", c->name);
}

bool places_match(const struct place *a, const struct place *b)
{
	return a->address.sa.sa_family && a->datagrams == b->datagrams &&
	       address_equal(&a->address, &b->address);
}

/* --- opening --- */

/* A copy of a socket that somebody has at the same place; -ENOENT. */
static int places_borrow(const struct places_list *there, struct place_socket *s)
{
	for (const struct places *p = there->first; p; p = p->next)
		for (unsigned i = 0; i < p->n; i++) {
			const struct place_socket *old = &p->at[i];
			if (!places_match(&old->wanted, &s->wanted) || old->fd < 0)
				continue;
			s->passed = old->passed;
			int fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 3);
			return fd < 0 ? -errno : fd;
		}
	return -ENOENT;
}

/*
 * Whether those who are there, and those of a process before, let others have their addresses, [::] and 127.0.0.1
 * of one port.
 */
static bool places_share(const struct sockets *sockets, const struct places_list *there,
			 const struct place *place, bool share)
{
	bool any = sockets_share_unclaimed(sockets, place, share);

	for (const struct places *p = there->first; p; p = p->next)
		for (unsigned i = 0; i < p->n; i++) {
			const struct place_socket *old = &p->at[i];
			if (old->fd < 0 || old->wanted.datagrams != place->datagrams ||
			    !old->bound.sa.sa_family || !address_overlaps(&old->bound, &place->address))
				continue;
			sockets_share(old->fd, share);
			any = true;
		}
	return any;
}

static int places_listen(struct place_socket *s, struct sockets *sockets, const struct places_list *there)
{
	int fd = places_borrow(there, s);

	if (fd == -ENOENT)
		fd = sockets_listen(sockets, &s->wanted, false, &s->passed);
	/* It may be a listener of ours that moves from an address to all of them, or back, by a reload or since
	 * the process before: both have it until the old one ends. */
	if (fd == -EADDRINUSE && places_share(sockets, there, &s->wanted, true)) {
		fd = sockets_listen(sockets, &s->wanted, true, &s->passed);
		places_share(sockets, there, &s->wanted, false);
	}
	return fd;
}

static int places_open_one(struct place_socket *s, struct sockets *sockets, const struct places_list *there)
{
	int fd = s->endpoint[0] ? sockets_claim_unix(sockets, s->wanted.name, s->endpoint) : -ENOENT;

	if (fd >= 0)
		s->passed = true;
	else if (s->wanted.address.sa.sa_family)
		fd = places_listen(s, sockets, there);
	else
		return 0; /* libzmq opens it */
	if (fd < 0)
		return fd;
	s->fd = fd;
	/* What is bound is the truth, also where a unit of systemd says something else than the configuration. */
	if (!sockets_bound(fd, &s->bound, s->bound_text, sizeof(s->bound_text)))
		s->bound_text[0] = '\0';
	return 0;
}

int places_open(struct places *p, struct sockets *sockets, const struct places_list *there)
{
	for (unsigned i = 0; i < p->n; i++) {
		int r = places_open_one(&p->at[i], sockets, there);
		if (r < 0) {
			places_close(p);
			return r;
		}
	}
	return 0;
}

void places_close(struct places *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (p->at[i].fd >= 0)
			close(p->at[i].fd);
		p->at[i].fd = -1;
	}
}

/* --- those who are there --- */

void places_add(struct places_list *list, struct places *p)
{
	struct places **at = &list->first;

	while (*at)
		at = &(*at)->next;
	p->next = NULL;
	*at = p;
}

bool places_collide(const struct places *p, const struct places_list *there)
{
	for (const struct places *old = there->first; old; old = old->next)
		for (unsigned i = 0; i < old->n; i++)
			for (unsigned k = 0; k < p->n; k++)
				if (p->at[k].endpoint[0] &&
				    strcmp(p->at[k].endpoint, old->at[i].endpoint) == 0)
					return true;
	return false;
}

static bool places_have(const struct places_list *list, const struct place *place)
{
	for (const struct places *p = list->first; p; p = p->next)
		for (unsigned i = 0; i < p->n; i++)
			if (places_match(&p->at[i].wanted, place))
				return true;
	return false;
}

void places_give_back(const struct places *p, struct sockets *sockets, const struct places_list *staying)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct place_socket *s = &p->at[i];
		if (!s->passed || places_have(staying, &s->wanted))
			continue;
		int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0)
			sockets_give_back(sockets, fd, s->wanted.name);
	}
}

/* --- what is told of them --- */

char *places_text(const struct places *p, char dst[static PLACES_TEXT_MAX])
{
	size_t o = 0;

	for (unsigned i = 0; i < p->n; i++) {
		const struct place_socket *s = &p->at[i];
		if (!s->endpoint[0])
			return address_format(s->bound.sa.sa_family ? &s->bound : &s->wanted.address, dst);
		o += (size_t)snprintf(dst + o, PLACES_TEXT_MAX - o, "%s%s%s%s", i ? " " : "",
				      s->label ? s->label : "", s->label ? " " : "",
				      s->bound_text[0] ? s->bound_text : s->endpoint);
	}
	return dst;
}

/* [::] of a unit with BindIPv6Only=ipv6-only. */
static bool places_is_ipv6_only(const struct place_socket *s)
{
	int only = 0;
	socklen_t len = sizeof(only);

	return s->bound.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&s->bound.in6.sin6_addr) &&
	       getsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only;
}

/* Whether it is where the configuration wants it. */
static bool places_is_as_wanted(const struct place_socket *s)
{
	if (!s->bound.sa.sa_family)
		return strcmp(s->bound_text, s->endpoint) == 0;
	return s->wanted.address.sa.sa_family && sockets_same_place(&s->bound, &s->wanted.address);
}

void places_warn_of_units(const struct places *p, const char *listener)
{
	const struct log_fields fields = {.message_id = EVENT_LISTENER, .listener = listener};

	for (unsigned i = 0; i < p->n; i++) {
		const struct place_socket *s = &p->at[i];
		bool zmq = s->endpoint[0];
		char wanted[ADDRESS_TEXT_MAX];
		if (!s->passed || !s->bound_text[0])
			continue;
		const char *at = zmq ? s->bound_text : s->bound_text + strlen("tcp://");
		if (!places_is_as_wanted(s))
			log_event(LOG_WARNING, &fields,
				  "listener %s: the socket from systemd is at %s, which counts; the "
				  "configuration says %s",
				  listener, at,
				  zmq ? s->endpoint : address_format(&s->wanted.address, wanted));
		else if (places_is_ipv6_only(s))
			log_event(LOG_WARNING, &fields,
				  "listener %s: the socket from systemd at %s takes no IPv4 (BindIPv6Only=)",
				  listener, at);
	}
}

void places_each(const struct places *p, bool passed_too, void (*fn)(const char *name, int fd, void *arg),
		 void *arg)
{
	char own[SOCKETS_OWN_NAME_MAX];

	for (unsigned i = 0; i < p->n; i++) {
		const struct place_socket *s = &p->at[i];
		if (s->fd >= 0 && !s->passed)
			fn(sockets_own_name(s->wanted.name, own), s->fd, arg);
		else if (s->fd >= 0 && passed_too)
			fn(s->wanted.name, s->fd, arg);
	}
}
