/* SPDX-License-Identifier: MIT */
/* /etc/chatd.conf (libconfig), checked in full and turned into plain data. Only the main thread reads it. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "common/address.h"
#include "daemon/handler.h"
#include "daemon/room.h"

#include <stdint.h>
#include <stdio.h>

#define CONFIG_NAME_MAX 63
#define CONFIG_MAX_LISTENERS 256
#define CONFIG_MAX_WORKERS 63
#define CONFIG_TRUSTED_MAX 32
/* A CURVE key in Z85 (rfc.zeromq.org/spec/32). */
#define CONFIG_KEY_LEN 40
/* Listeners of type "zmq": each has a thread. */
#define CONFIG_MAX_ZMQ 16

enum slow_policy { SLOW_SKIP, SLOW_DISCONNECT };

struct room_config {
	char name[TEXT_ROOM_MAX + 1];
	struct room_settings settings;
};

/* "tcp://ADDRESS:PORT" or "ipc://PATH", as libzmq has it. */
struct endpoint_config {
	char text[128];
	union address address; /* family 0: it is none of TCP */
};

struct listener_config {
	char name[CONFIG_NAME_MAX + 1];
	const struct handler *handler; /* transport and behaviour */
	union address listen;
	char room[TEXT_ROOM_MAX + 1];
	int backlog;
	/* UDP registry: */
	int64_t lease_us;
	struct prefix trusted[CONFIG_TRUSTED_MAX]; /* addresses that need not prove to be real */
	size_t n_trusted;
	/* ZeroMQ: */
	struct endpoint_config endpoints[HANDLER_ENDPOINTS];
	int high_water_mark;
	int64_t linger_us;			   /* -1: drain_timeout */
	int64_t max_size;			   /* bytes of a frame */
	char curve_secret_key[CONFIG_KEY_LEN + 1]; /* "": no CURVE */
	char (*curve_clients)[CONFIG_KEY_LEN + 1]; /* allowed public keys; none: whoever knows ours */
	size_t n_curve_clients;
};

struct config {
	unsigned workers; /* 0: one per CPU */
	unsigned max_message;
	int64_t drain_timeout_us;
	enum slow_policy slow;
	int log_level;
	bool io_uring; /* use it where the kernel allows it */

	struct room_config *rooms;
	size_t n_rooms;
	struct room_settings room_defaults;

	struct listener_config *listeners;
	size_t n_listeners;

	unsigned max_clients, max_clients_per_address, max_rooms;
	unsigned lines_per_second; /* 0: unlimited */
	int64_t idle_timeout_us;   /* 0: never */
	int64_t room_linger_us;

	char *control_socket;
	char *control_group;
};

/*
 * Reads and checks a file. Every error is written to errors as "FILE:LINE: what, and what is allowed", one
 * per line. Returns 0, -EINVAL after errors, or -ENOMEM. config_parse() reads a string; name stands for the
 * file in errors.
 */
int config_load(const char *path, FILE *errors, struct config **ret);
int config_parse(const char *text, const char *name, FILE *errors, struct config **ret);
void config_free(struct config *c);

#endif
