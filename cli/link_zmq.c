/* SPDX-License-Identifier: MIT */
/* Lines over ZeroMQ: pushed to a listener, and received from what it publishes. */
#include "cli/link_own.h"

#include <stdio.h>
#include <string.h>

static int zeromq_open(struct link *l, const struct link_options *o, const char *host, const char *service,
		       char *why, size_t size)
{
	const char *comma = strchr(service, ',');
	char endpoint[300];
	int linger = 2000;

	if (!comma || comma == service || !comma[1]) {
		snprintf(why, size, "a ZeroMQ URL has two ports: zmq://HOST:PULL,PUB");
		return -EINVAL;
	}
	l->zmq = zmq_ctx_new();
	l->push = l->zmq ? zmq_socket(l->zmq, ZMQ_PUSH) : NULL;
	l->sub = l->zmq ? zmq_socket(l->zmq, ZMQ_SUB) : NULL;
	if (!l->push || !l->sub)
		return -ENOMEM;
	zmq_setsockopt(l->push, ZMQ_LINGER, &linger, sizeof(linger));
	/* With a room, what is said there; without one, everything that is published. */
	zmq_setsockopt(l->sub, ZMQ_SUBSCRIBE, o->room ? o->room : "", o->room ? strlen(o->room) : 0);
	snprintf(endpoint, sizeof(endpoint), "tcp://%s:%.*s", host, (int)(comma - service), service);
	if (zmq_connect(l->push, endpoint) == 0) {
		snprintf(endpoint, sizeof(endpoint), "tcp://%s:%s", host, comma + 1);
		if (zmq_connect(l->sub, endpoint) == 0)
			return 0;
	}
	snprintf(why, size, "%s: %s", endpoint, zmq_strerror(errno));
	return -EINVAL;
}

/* The frames of a message are one line; of [ROOM][NICK: TEXT] only the second one is shown. */
static int zeromq_receive(struct link *l, void (*line)(const char *s, size_t len, void *arg), void *arg)
{
	for (;;) {
		size_t n = 0, frames = 0;
		int more = 1;
		while (more) {
			zmq_msg_t m;
			size_t size = sizeof(more);
			zmq_msg_init(&m);
			if (zmq_msg_recv(&m, l->sub, ZMQ_DONTWAIT) < 0) {
				zmq_msg_close(&m);
				return errno == EAGAIN || errno == EINTR ? 0 : -errno;
			}
			zmq_getsockopt(l->sub, ZMQ_RCVMORE, &more, &size);
			if (frames++ == 1)
				n = 0;
			size_t len =
			    zmq_msg_size(&m) < LINK_LINE_MAX - n ? zmq_msg_size(&m) : LINK_LINE_MAX - n;
			memcpy(l->buf + n, zmq_msg_data(&m), len);
			n += len;
			zmq_msg_close(&m);
		}
		line(l->buf, n, arg);
	}
}

static int zeromq_say(struct link *l, const char *text, size_t len)
{
	if (l->nick[0] && zmq_send(l->push, l->nick, strlen(l->nick), ZMQ_SNDMORE) < 0)
		return -errno;
	return zmq_send(l->push, text, len, 0) < 0 ? -errno : 0;
}

static void zeromq_leave(struct link *l)
{
	(void)l; /* there is nobody to tell; closing the socket sends what is queued */
}

const struct transport link_zmq = {
    .scheme = "zmq://",
    .name = "ZeroMQ",
    .service = "5558,5557",
    .example = "zmq://HOST:PULL,PUB",
    .open = zeromq_open,
    .receive = zeromq_receive,
    .send = zeromq_say,
    .leave = zeromq_leave,
    .timeout_ms = -1,
};
