/* SPDX-License-Identifier: MIT */
/* Opens a link by its URL, and what all transports have in common. */
#include "cli/link_own.h"

#include "common/nick.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct transport *const link_transports[] = {&link_tcp, &link_tls, &link_udp, &link_zmq};

int link_dial(const char *host, const char *service, int type, char *why, size_t size)
{
	const struct addrinfo hints = {.ai_socktype = type};
	struct addrinfo *list;
	int fd = -1, e = ENOENT;

	int r = getaddrinfo(host, service, &hints, &list);
	if (r != 0) {
		snprintf(why, size, "%s: %s", host, gai_strerror(r));
		return -ENOENT;
	}
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		e = errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(why, size, "%s port %s: %s", host, service, strerror(e));
	return fd < 0 ? -e : fd;
}

/* "HOST:PORT", "[HOST]:PORT", or either without its port; an IPv6 address without one needs no brackets. */
static bool link_split(const char *s, const char *standard, char host[static 256], char service[static 32])
{
	const char *colon = strrchr(s, ':');
	size_t n = strlen(s);

	/* A colon within brackets, or one of many, belongs to the address. */
	if (colon && (s[0] == '[' ? colon[-1] != ']' : strchr(s, ':') != colon))
		colon = NULL;
	if (colon)
		n = (size_t)(colon - s);
	if (s[0] == '[' && (n < 3 || s[n - 1] != ']'))
		return false;
	if (s[0] == '[') {
		s++;
		n -= 2;
	}
	const char *port = colon ? colon + 1 : standard;
	if (n == 0 || n >= 256 || strcspn(s, "/ ") < n || strlen(port) == 0 || strlen(port) >= 32 ||
	    port[strspn(port, "0123456789,")])
		return false;
	snprintf(host, 256, "%.*s", (int)n, s);
	snprintf(service, 32, "%s", port);
	return true;
}

/* The transport of a URL, tcp:// if it has no scheme; NULL if there is none. */
static const struct transport *link_find_transport(const char *url, const char **ret_rest)
{
	*ret_rest = url;
	if (!strstr(url, "://"))
		return link_transports[0];
	for (size_t i = 0; i < sizeof(link_transports) / sizeof(*link_transports); i++)
		if (strncmp(link_transports[i]->scheme, url, 6) == 0) {
			*ret_rest = url + 6;
			return link_transports[i];
		}
	return NULL;
}

int link_open(const struct link_options *o, char *why, size_t size, struct link **ret)
{
	char host[256], service[32];

	snprintf(why, size, "out of memory");
	struct link *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->fd = -1;
	l->buf = malloc(LINK_LINE_MAX);
	snprintf(l->nick, sizeof(l->nick), "%s", o->nick ? o->nick : "");
	const char *rest;
	l->t = link_find_transport(o->url, &rest);
	int r = l->buf ? 0 : -ENOMEM;
	if (r == 0 && (!l->t || !link_split(rest, l->t->service, host, service))) {
		snprintf(why, size, "\"%s\" is not a URL like %s", o->url,
			 l->t ? l->t->example
			      : "tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or zmq://HOST:PULL,PUB");
		r = -EINVAL;
	}
	if (r == 0)
		r = l->t->open(l, o, host, service, why, size);
	if (r < 0) {
		link_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	if (l->fd >= 0)
		close(l->fd);
	if (l->push)
		zmq_close(l->push);
	if (l->sub)
		zmq_close(l->sub);
	if (l->zmq)
		zmq_ctx_term(l->zmq);
	free(l->buf);
	free(l);
}

void link_poll_item(const struct link *l, zmq_pollitem_t *item)
{
	*item = (zmq_pollitem_t){.socket = l->sub, .fd = l->fd, .events = ZMQ_POLLIN};
}

long link_timeout(const struct link *l)
{
	return l->t->timeout_ms;
}

int link_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	return l->t->receive(l, line, arg);
}

int link_send(struct link *l, const char *line, size_t len)
{
	return l->t->send(l, line, len);
}

void link_leave(struct link *l)
{
	l->t->leave(l);
}

bool link_is_ready(const struct link *l)
{
	return !l->t->registers || l->registered;
}

bool link_is_refused(const struct link *l)
{
	return l->refused;
}

const char *link_nick(const struct link *l)
{
	return l->registered && !nick_is_guest_of_node(l->nick, strlen(l->nick)) ? l->nick : NULL;
}

const char *link_name(const struct link *l)
{
	return l->t->name;
}

bool link_has_commands(const struct link *l)
{
	return l->t->has_commands;
}

bool link_has_end(const struct link *l)
{
	return l->t->has_end;
}
