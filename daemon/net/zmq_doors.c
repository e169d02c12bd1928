/* SPDX-License-Identifier: MIT */
/*
 * The doors of a ZeroMQ listener. libzmq accepts everybody at once, so who must wait (because file
 * descriptors are short, or because the listener ends) is kept out by a filter at the listening socket.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/net/zmq_private.h"

#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void zmq_doors_set(const struct zmq_endpoint *e, bool closed)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {1, &drop};
	int unused = 0;

	if (e->fd >= 0 && closed)
		setsockopt(e->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	else if (e->fd >= 0)
		setsockopt(e->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
}

static void zmq_doors_set_all(struct zmq_listener *z, bool closed)
{
	z->doors_closed = closed;
	z->doors_looked_at = clock_us(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		zmq_doors_set(&z->at[i], closed);
}

void zmq_doors_close(struct zmq_listener *z)
{
	if (z->doors_closed)
		return;
	zmq_doors_set_all(z, true);
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = z->setup.name},
		  "listener %s: no more connections can be accepted for now: %s", z->setup.name,
		  strerror(EMFILE));
}

/* Once a second. */
void zmq_doors_look(struct zmq_listener *z, int64_t now)
{
	if (!z->doors_closed || now - z->doors_looked_at < SECOND_US)
		return;
	z->doors_looked_at = now;
	if (sockets_are_short())
		return;
	zmq_doors_set_all(z, false);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = z->setup.name},
		  "listener %s: connections are accepted again", z->setup.name);
}

bool zmq_doors_led_to(const struct zmq_endpoint *e, int fd)
{
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
		struct sockaddr_un un;
		union address in;
	} a;
	socklen_t len = sizeof(a);
	char text[ADDRESS_TEXT_MAX];
	const char *port = strrchr(e->bound, ':');

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, &a.sa, &len) < 0)
		return false;
	if (a.sa.sa_family == AF_UNIX)
		return strncmp(e->bound, "ipc://", 6) == 0 && strcmp(a.un.sun_path, e->bound + 6) == 0;
	address_format(&a.in, text);
	return port && strncmp(e->bound, "tcp://", 6) == 0 && strcmp(strrchr(text, ':'), port) == 0;
}
