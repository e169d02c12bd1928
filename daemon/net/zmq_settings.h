/* SPDX-License-Identifier: MIT */
/* What all modes of ZeroMQ have in their listeners' groups; each has its own endpoints besides. */
#ifndef DAEMON_ZMQ_SETTINGS_H
#define DAEMON_ZMQ_SETTINGS_H

#include "daemon/config/config.h"
#include "daemon/config/mode_settings.h"

/* high_water_mark, linger, max_size, curve_secret_key, curve_clients. */
extern const struct setting_key zmq_setting_keys[];

/* A row for an endpoint of a mode: the number of its socket, and the setting that has it. */
setting_reader zmq_setting_endpoint;
#define ZMQ_ENDPOINT(mode, number, name)                                                                     \
	SETTING(name, zmq_setting_endpoint, offsetof(struct listener_config, endpoints[number]),             \
		.missing = "mode \"" mode "\" of type \"zmq\" needs " name                                   \
			   " = \"tcp://ADDRESS:PORT\" or \"ipc://PATH\"")

/* For .complete. */
void zmq_settings_complete(struct settings *ss, const config_setting_t *group, struct listener_config *l);

#endif
