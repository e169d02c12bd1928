/* SPDX-License-Identifier: MIT */
/* What link.c and its transports share: a transport is one file and one struct of functions. */
#ifndef CLI_LINK_OWN_H
#define CLI_LINK_OWN_H

#include "cli/link.h"

#include <openssl/ssl.h>

#define LINK_TIMEOUT_MS 10000
#define LINK_LINE_MAX 65536

struct transport {
	const char *scheme, *name;
	const char *service; /* where the URL has none: as in the configuration that comes with chatd */
	const char *example;
	int (*open)(struct link *l, const struct link_options *o, const char *host, const char *service,
		    char *why, size_t size);
	int (*receive)(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg);
	int (*send)(struct link *l, const char *line, size_t len);
	void (*leave)(struct link *l);
	long timeout_ms;   /* how often it wants to be called even if nothing comes; -1: never */
	bool has_end;	   /* it can be known that the other side has gone */
	bool has_commands; /* it is a conversation with /nick and /join */
	bool registers;	   /* nothing can be sent before the name is registered */
};

struct link {
	const struct transport *t;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	void *zmq, *push, *sub;
	char nick[64];
	/* A line that has not ended yet. */
	char *buf;
	size_t len;
	/* UDP: */
	double lease, renewed;
	bool registered, refused, left, patient;
};

extern const struct transport link_tcp, link_tls, link_udp, link_zmq;

/* A connected socket, which blocks; else -errno, and why says it in words. */
int link_dial(const char *host, const char *service, int type, char *why, size_t size);

#endif
