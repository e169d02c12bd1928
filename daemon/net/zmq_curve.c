/* SPDX-License-Identifier: MIT */
/*
 * Who may connect to a ZeroMQ listener with a CURVE key. Where there is a list of clients, libzmq asks about
 * each of them by messages on a socket of its own: ZAP, rfc.zeromq.org/spec/27.
 */
#include "common/cleanup.h"
#include "daemon/net/zmq_private.h"

#include <string.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define KEY_BYTES 32

enum {
	ZAP_VERSION,
	ZAP_REQUEST_ID,
	ZAP_DOMAIN,
	ZAP_ADDRESS,
	ZAP_IDENTITY,
	ZAP_MECHANISM,
	ZAP_KEY,
	ZAP_FRAMES
};

struct zap_request {
	uint8_t frames[ZAP_FRAMES][256];
	int lens[ZAP_FRAMES];
	int n;
};

int zmq_curve_open(struct zmq_listener *z)
{
	if (z->setup.own.n_curve_clients == 0)
		return 0;
	z->zap = zmq_socket(z->libzmq, ZMQ_REP);
	return z->zap && zmq_bind(z->zap, ZAP_ENDPOINT) == 0 ? 0 : -errno;
}

int zmq_curve_set(const struct zmq_listener *z, void *socket)
{
	const struct zmq_own *c = &z->setup.own;
	const int one = 1;

	if (!c->curve_secret_key[0])
		return 0;
	zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof(one));
	if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, c->curve_secret_key, strlen(c->curve_secret_key)) < 0)
		return -errno;
	if (c->n_curve_clients > 0)
		zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "chatd", 5);
	return 0;
}

static bool zmq_curve_read(struct zmq_listener *z, struct zap_request *q)
{
	int more = 1;
	size_t size = sizeof(more);

	while (more) {
		uint8_t sink[256];
		int len =
		    zmq_recv(z->zap, q->n < ZAP_FRAMES ? q->frames[q->n] : sink, sizeof(sink), ZMQ_DONTWAIT);
		if (len < 0)
			return false;
		if (q->n < ZAP_FRAMES)
			q->lens[q->n] = len < (int)sizeof(sink) ? len : (int)sizeof(sink);
		q->n++;
		zmq_getsockopt(z->zap, ZMQ_RCVMORE, &more, &size);
	}
	return true;
}

static bool zmq_curve_allows(const struct zmq_own *c, const uint8_t *key)
{
	char text[ZMQ_KEY_LEN + 1];

	zmq_z85_encode(text, key, KEY_BYTES);
	for (size_t i = 0; i < c->n_curve_clients; i++)
		if (memcmp(text, c->curve_clients[i], ZMQ_KEY_LEN) == 0)
			return true;
	return false;
}

void zmq_curve_answer(struct zmq_listener *z)
{
	struct zap_request q = {0};

	if (!zmq_curve_read(z, &q))
		return;
	bool good = q.n == ZAP_FRAMES && q.lens[ZAP_MECHANISM] == 5 &&
		    memcmp(q.frames[ZAP_MECHANISM], "CURVE", 5) == 0 && q.lens[ZAP_KEY] == KEY_BYTES &&
		    zmq_curve_allows(&z->setup.own, q.frames[ZAP_KEY]);
	const char *status = good ? "200" : "400", *text = good ? "OK" : "not on the list";
	zmq_send(z->zap, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(z->zap, q.frames[ZAP_REQUEST_ID], q.n > ZAP_REQUEST_ID ? (size_t)q.lens[ZAP_REQUEST_ID] : 0,
		 ZMQ_SNDMORE);
	zmq_send(z->zap, status, 3, ZMQ_SNDMORE);
	zmq_send(z->zap, text, strlen(text), ZMQ_SNDMORE);
	zmq_send(z->zap, "", 0, ZMQ_SNDMORE);
	zmq_send(z->zap, "", 0, 0);
}
