/* SPDX-License-Identifier: MIT */
/* The ZeroMQ modes "reply", "relay" and "pipeline": how messages get from one socket to another. */
#include "daemon/config/config.h"
#include "daemon/net/zmq.h"
#include "daemon/net/zmq_settings.h"

#include <string.h>

/* Reads the rest of a message that nobody wants. */
static void zmq_skip_rest(void *socket, zmq_msg_t *m)
{
	while (zmq_msg_more(m) && zmq_msg_recv(m, socket, ZMQ_DONTWAIT) >= 0)
		;
}

/* Passes one message on, whose first frame is m; true if it was taken, else m is as it was. whose: it is a ROUTER's, and the
 * second frame says whose it is; or NULL. */
static bool zmq_pass_on(void *from, void *to, zmq_msg_t *m, uint64_t *bytes, struct zmq_listener *whose)
{
	bool more = zmq_msg_more(m);
	size_t size = zmq_msg_size(m);

	if (zmq_msg_send(m, to, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
		return false;
	*bytes += size;
	/* A message that has begun is taken whole, unless the peer has gone. */
	while (more && zmq_msg_recv(m, from, ZMQ_DONTWAIT) >= 0) {
		more = zmq_msg_more(m);
		*bytes += zmq_msg_size(m);
		if (whose)
			zmq_listener_took_frame(whose, m);
		whose = NULL;
		if (zmq_msg_send(m, to, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
			zmq_skip_rest(from, m);
			break;
		}
	}
	return true;
}

/* --- reply: a request goes back as it came, with the frames that say whose it is (REQ, DEALER) --- */

static void reply_forward(struct zmq_listener *z, unsigned most)
{
	void *s = zmq_listener_socket(z, 0);
	uint64_t in = 0, out = 0, bytes = 0;
	zmq_msg_t m;

	zmq_msg_init(&m);
	for (; in < most && zmq_listener_take(z, &m); in++) {
		if (zmq_pass_on(s, s, &m, &bytes, z)) {
			out++;
			continue;
		}
		/* It has gone, or doesn't read its answers. */
		zmq_skip_rest(s, &m);
		zmq_listener_count_dropped(z, 1);
	}
	zmq_msg_close(&m);
	zmq_listener_count(z, in, out, bytes, bytes);
}

const struct zmq_behaviour zmq_reply = {
    .forward = reply_forward,
    .types = {ZMQ_ROUTER},
};

static const struct setting_key reply_keys[] = {
    ZMQ_ENDPOINT("reply", 0, "listen"),
    SETTINGS_END,
};

static const struct mode_settings reply_settings = {
    .common = {reply_keys},
    ZMQ_OWN,
    .complete = zmq_own_complete,
};

const struct handler handler_zmq_reply = {
    .type = "zmq",
    .mode = "reply",
    .transport = TRANSPORT_ZMQ,
    .settings = &reply_settings,
    .endpoints = {"listen"},
    .zmq = &zmq_reply,
};

/* --- relay: what is pushed is published; with a room, a text is a message there, too --- */

/* A text is one frame, or two of which the first is a nick, if a stranger may have that one. Returns the
 * frame behind first, if that was read. */
static zmq_msg_t *relay_bridge(struct zmq_listener *z, void *from, zmq_msg_t *first, zmq_msg_t *second)
{
	char nick[TEXT_NICK_MAX + 1];

	if (!zmq_msg_more(first)) {
		zmq_listener_say(z, NULL, zmq_msg_data(first), zmq_msg_size(first));
		return NULL;
	}
	if (zmq_msg_recv(second, from, ZMQ_DONTWAIT) < 0)
		return NULL;
	if (!zmq_msg_more(second)) {
		bool may = zmq_listener_may_be(z, zmq_msg_data(first), zmq_msg_size(first), nick);
		zmq_listener_say(z, may ? nick : NULL, zmq_msg_data(second), zmq_msg_size(second));
	}
	return second;
}

/* Several frames that begin with the room's name would look like what was said there, to its subscribers. */
static bool relay_poses_as_room(const struct zmq_listener *z, zmq_msg_t *first)
{
	const char *room = zmq_listener_room(z);

	return room && zmq_msg_more(first) && zmq_msg_size(first) == strlen(room) &&
	       memcmp(zmq_msg_data(first), room, strlen(room)) == 0;
}

static void relay_forward(struct zmq_listener *z, unsigned most)
{
	void *from = zmq_listener_socket(z, 0), *to = zmq_listener_socket(z, 1);
	uint64_t n = 0, bytes = 0;
	zmq_msg_t m, second;

	zmq_msg_init(&m);
	zmq_msg_init(&second);
	for (; n < most && zmq_listener_room_takes(z) && zmq_listener_take(z, &m); n++) {
		if (relay_poses_as_room(z, &m)) {
			zmq_skip_rest(from, &m);
			zmq_listener_count_dropped(z, 1);
			continue;
		}
		zmq_msg_t *rest = zmq_listener_room(z) ? relay_bridge(z, from, &m, &second) : NULL;
		if (rest) {
			bytes += zmq_msg_size(&m);
			zmq_msg_send(&m, to, ZMQ_SNDMORE);
		}
		/* A PUB socket takes everything; subscribers who don't read lose it. */
		zmq_pass_on(from, to, rest ? rest : &m, &bytes, NULL);
	}
	zmq_msg_close(&m);
	zmq_msg_close(&second);
	zmq_listener_count(z, n, n, bytes, bytes);
}

const struct zmq_behaviour zmq_relay = {
    .forward = relay_forward,
    .types = {ZMQ_PULL, ZMQ_XPUB},
};

static const struct setting_key relay_keys[] = {
    ZMQ_ENDPOINT("relay", 0, "pull"),
    ZMQ_ENDPOINT("relay", 1, "pub"),
    SETTINGS_END,
};

static void relay_complete(struct settings *ss, const config_setting_t *group, struct listener_config *l)
{
	zmq_own_complete(ss, group, l);
	l->speaks = l->room[0];
}

static const struct mode_settings relay_settings = {
    .common = {relay_keys, mode_room_keys},
    ZMQ_OWN,
    .complete = relay_complete,
};

const struct handler handler_zmq_relay = {
    .type = "zmq",
    .mode = "relay",
    .transport = TRANSPORT_ZMQ,
    .settings = &relay_settings,
    .endpoints = {"pull", "pub"},
    .zmq = &zmq_relay,
};

/* --- pipeline: what is pushed goes to one of the workers; without any it waits, as do its senders --- */

static void pipeline_forward(struct zmq_listener *z, unsigned most)
{
	void *from = zmq_listener_socket(z, 0), *to = zmq_listener_socket(z, 1);
	struct zmq_held *held = zmq_listener_held(z);
	uint64_t in = 0, out = 0, bytes = 0;

	for (;;) {
		if (!held->any) {
			if (in == most || !zmq_listener_take(z, held->message))
				break;
			held->any = true;
			in++;
		}
		if (!zmq_pass_on(from, to, held->message, &bytes, NULL))
			break;
		held->any = false;
		out++;
	}
	zmq_listener_count(z, in, out, bytes, bytes);
}

const struct zmq_behaviour zmq_pipeline = {
    .forward = pipeline_forward,
    .types = {ZMQ_PULL, ZMQ_PUSH},
};

static const struct setting_key pipeline_keys[] = {
    ZMQ_ENDPOINT("pipeline", 0, "pull"),
    ZMQ_ENDPOINT("pipeline", 1, "push"),
    SETTINGS_END,
};

static const struct mode_settings pipeline_settings = {
    .common = {pipeline_keys},
    ZMQ_OWN,
    .complete = zmq_own_complete,
};

const struct handler handler_zmq_pipeline = {
    .type = "zmq",
    .mode = "pipeline",
    .transport = TRANSPORT_ZMQ,
    .settings = &pipeline_settings,
    .endpoints = {"pull", "push"},
    .zmq = &zmq_pipeline,
};
