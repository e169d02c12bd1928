/* SPDX-License-Identifier: MIT */
/* What all modes of ZeroMQ have in their listeners' groups; each has its own endpoints besides. */
#ifndef DAEMON_ZMQ_SETTINGS_H
#define DAEMON_ZMQ_SETTINGS_H

#include "daemon/config/config.h"
#include "daemon/config/mode_settings.h"

/* A CURVE key in Z85 (rfc.zeromq.org/spec/32). */
#define ZMQ_KEY_LEN 40

/* The listener_config's own. */
struct zmq_own {
	int high_water_mark;			/* messages */
	int64_t linger_us;			/* -1: drain_timeout */
	int64_t max_size;			/* bytes of a message */
	char curve_secret_key[ZMQ_KEY_LEN + 1]; /* "": no CURVE */
	char (*curve_clients)[ZMQ_KEY_LEN + 1]; /* allowed public keys; none: whoever knows ours */
	size_t n_curve_clients;
};

/* -ENOMEM without memory; zmq_own_release() is for either case. */
int zmq_own_copy(struct zmq_own *to, const struct zmq_own *from);
/* Frees what it points to, and forgets the key; for .release, too. */
void zmq_own_release(void *own);
bool zmq_own_same(const struct zmq_own *a, const struct zmq_own *b);

/* The rest of a struct mode_settings. */
extern const struct setting_key zmq_own_keys[];
bool zmq_own_init(void *own);
void zmq_own_complete(struct settings *ss, const config_setting_t *group, struct listener_config *l);
#define ZMQ_OWN                                                                                              \
	.own = zmq_own_keys, .own_size = sizeof(struct zmq_own), .init = zmq_own_init,                       \
	.release = zmq_own_release

/* A row for an endpoint of a mode: the number of its socket, and the setting that has it. */
setting_reader zmq_setting_endpoint;
#define ZMQ_ENDPOINT(mode, number, name)                                                                     \
	SETTING(name, zmq_setting_endpoint, offsetof(struct listener_config, endpoints[number]),             \
		.missing = "mode \"" mode "\" of type \"zmq\" needs " name                                   \
			   " = \"tcp://ADDRESS:PORT\" or \"ipc://PATH\"")

#endif
