/* SPDX-License-Identifier: MIT */
/* /etc/chatd.conf (libconfig), checked in full and turned into plain data. Only the main thread reads it. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "common/accounts.h"
#include "common/address.h"
#include "daemon/config/handler.h"
#include "daemon/rooms/room.h"

#include <stdint.h>
#include <stdio.h>

#define CONFIG_NAME_MAX 63
#define CONFIG_MAX_LISTENERS 256
#define CONFIG_MAX_WORKERS 63
/* A peer that has been silent for `keepalive`: how often it is asked, and how many times in vain. */
#define CONFIG_PROBE_EVERY_S 10
#define CONFIG_PROBES 6
/* Listeners of type "zmq": each has a thread. */
#define CONFIG_MAX_ZMQ 16

enum slow_policy { SLOW_SKIP, SLOW_DISCONNECT };

#define CONFIG_ENDPOINT_MAX 128 /* with its NUL */
/* "tcp://ADDRESS:PORT" or "ipc://PATH", as libzmq has it. */
struct endpoint_config {
	char text[CONFIG_ENDPOINT_MAX];
	union address address;		 /* family 0: it is none of TCP */
	char bound[CONFIG_ENDPOINT_MAX]; /* what it is in truth, if that is known: see listener_config */
};

struct listener_config {
	char name[CONFIG_NAME_MAX + 1];
	char *where;		       /* in the configuration: "FILE:LINE" */
	const struct handler *handler; /* transport and behaviour */
	union address listen;
	/* Where its socket is bound, which the service manager's units may say otherwise; family 0: it is not
	 * open yet. Filled in before anybody else sees the configuration. */
	union address bound;
	char room[TEXT_ROOM_MAX + 1];
	int backlog;
	unsigned max_clients;				 /* 0: no limit of its own */
	struct prefix_list allow, deny;			 /* allow is empty: all that deny doesn't have */
	struct prefix_list proxies;			 /* who has to begin with a PROXY header */
	bool password;					 /* nothing goes without a login */
	char *password_file;				 /* or NULL */
	struct accounts accounts;			 /* of it */
	char *tls_certificate, *tls_key, *tls_client_ca; /* paths, or NULL */
	struct tls_context *tls;			 /* made of them, or NULL */
	void *own; /* the mode's own settings, in a struct that its file knows; NULL: it has none */
	/* What is said in its room without a name is said under the listener's, which is nobody else's then. */
	bool speaks;
	/* ZeroMQ: */
	struct endpoint_config endpoints[HANDLER_ENDPOINTS];
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

	unsigned max_clients, max_clients_per_address;
	struct rooms_limits room_limits;
	unsigned max_bans;
	/* 0: unlimited */
	unsigned lines_per_second, bytes_per_second, nick_changes_per_minute, joins_per_minute;
	unsigned commands_per_second, failed_logins_per_minute;
	/* 0: never */
	int64_t idle_timeout_us, first_line_timeout_us, login_timeout_us;
	int64_t handshake_timeout_us;
	int64_t flush_timeout_us;
	int64_t keepalive_us, user_timeout_us; /* of TCP; 0: off */

	char *control_socket;
	char *control_group;
	union address metrics; /* where they are served over HTTP; family 0: nowhere */
	char *metrics_where;   /* "FILE:LINE" */
	char *state_directory; /* what has to outlive a reboot */
};

/*
 * Reads and checks a file. Every error is written to errors as "FILE:LINE: what, and what is allowed", one
 * per line. Returns 0, -EINVAL after errors, or -ENOMEM. config_parse() reads a string; name stands for the
 * file in errors. modes are those that a listener can have, NULL-terminated. What is odd but allowed is
 * written to warnings, if that isn't NULL, as "FILE:LINE: warning: what".
 */
int config_load(const char *path, const struct handler *const *modes, FILE *errors, FILE *warnings,
		struct config **ret);
/*
 * For `chatd --check`: also writes what is odd, as "FILE:LINE: warning: what". The files that the
 * configuration names are looked at as the user that chatd runs as, which this process becomes for good
 * (NULL: it stays who it is).
 */
struct passwd;
int config_check(const char *path, const struct handler *const *modes, const struct passwd *as, FILE *errors);
int config_parse(const char *text, const char *name, const struct handler *const *modes, FILE *errors,
		 struct config **ret);
void config_free(struct config *c);
/* Only what l points to. */
void config_free_listener(struct listener_config *l);

/* The path of an endpoint that is a Unix socket; NULL if it is none, or there is no endpoint. */
const char *config_endpoint_path(const struct endpoint_config *e);
/* Where it listens: what is bound, or as long as nothing is, what shall be. */
const union address *config_bound(const struct listener_config *c);
/* The listener of that name, and what is said of a room of that name; NULL if there is none. */
const struct listener_config *config_listener(const struct config *c, const char *name);
const struct room_config *config_room(const struct config *c, const char *name);
/* Whether any listener has an account of that name (not NUL-terminated). */
bool config_has_account(const struct config *c, const char *nick, size_t len);
/* Whether an account of that name (not NUL-terminated; len 0: none) is one of the room's members. */
bool config_is_member(const struct config *c, const char *room, const char *account, size_t len);

#endif
