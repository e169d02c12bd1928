/* SPDX-License-Identifier: MIT */
/*
 * The connection of `chatctl join`: lines in and out, over the transport of its URL: tcp://HOST:PORT,
 * tls://HOST:PORT, udp://HOST:PORT, or zmq://HOST:PULL,PUB.
 */
#ifndef CLI_LINK_H
#define CLI_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

struct link;

struct link_options {
	const char *url;
	const char *room; /* or NULL; for udp and zmq, as nick; for the others see identity.h */
	const char *nick; /* or NULL */
	bool patient;	  /* udp: it isn't an error if nobody is there yet */
	const char *ca;	  /* tls: certificates to trust instead of the system's, or NULL */
};

/* Connects. Returns 0, -EINVAL for a bad URL, or -errno; why says it in words. */
int link_open(const struct link_options *o, char *why, size_t size, struct link **ret);
void link_close(struct link *l);

/* What to wait for with zmq_poll(), and for how long at most in ms (-1: for ever). */
void link_poll_item(const struct link *l, zmq_pollitem_t *item);
long link_timeout(const struct link *l);
/*
 * Reads what is there and calls line() for each line, without its newline. Returns 0, or -ECONNRESET when the
 * other side has ended, or -errno. Is to be called after the timeout as well.
 */
int link_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg);
/* Whether it takes lines already. */
bool link_is_ready(const struct link *l);
/* Whether the name was refused; then only another "#REG NAME" may be sent. */
bool link_is_refused(const struct link *l);
/* The name it is registered under; NULL if there is none, or just a guest's. */
const char *link_nick(const struct link *l);
/* "TCP", "TLS", "UDP" or "ZeroMQ". */
const char *link_name(const struct link *l);
/* Whether it is a conversation with /nick and /join. */
bool link_has_commands(const struct link *l);
/* One line, without its newline. Returns 0, -EPERM for what can't be sent now, or -errno. */
int link_send(struct link *l, const char *line, size_t len);
/* Says goodbye. Receive on until -ECONNRESET, or for a moment if there is no end (link_has_end()). */
void link_leave(struct link *l);
/* Whether it can be known that the other side has gone. */
bool link_has_end(const struct link *l);

#endif
