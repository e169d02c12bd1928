/* SPDX-License-Identifier: MIT */
/*
 * /etc/chatd.conf (libconfig), checked in full and turned into plain data. The main thread reads the file;
 * what it made is not changed any more, so every thread may look at it until a reload hands it another.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "common/accounts.h"
#include "common/address.h"
#include "common/tokens.h"
#include "daemon/config/handler.h"
#include "daemon/config/irc.h"
#include "daemon/config/origins.h"
#include "daemon/rooms/room.h"

#include <stdint.h>
#include <stdio.h>

/*
 * The most that there can be of each. Threads take slots, which readers of a room have, too: context.h
 * asserts that there are enough. A listener's name is also part of the state and of the log's events:
 * config.c asserts that it fits.
 */
#define CONFIG_NAME_MAX 63 /* bytes of a listener's name */
#define CONFIG_MAX_LISTENERS 256
#define CONFIG_MAX_WORKERS 63	 /* a thread each */
#define CONFIG_MAX_ZMQ 16	 /* listeners of type "zmq": a thread each */
#define CONFIG_MAX_MESSAGE 16384 /* bytes */
#define CONFIG_ENDPOINT_MAX 128	 /* with its NUL */

/*
 * A peer that has been silent for `keepalive`: it is asked again after this many seconds, and given up after
 * this many questions without an answer.
 */
#define CONFIG_PROBE_EVERY_S 10
#define CONFIG_PROBES 6

/* What happens to a client that falls a whole log behind. */
enum slow_policy { SLOW_SKIP, SLOW_DISCONNECT };

/* "tcp://ADDRESS:PORT" or "ipc://PATH", as libzmq has it. */
struct endpoint_config {
	char text[CONFIG_ENDPOINT_MAX]; /* "": it has no endpoint of that number */
	union address address;		/* family 0: it is not a TCP endpoint */
};

struct listener_config {
	/* What every listener has. */
	char name[CONFIG_NAME_MAX + 1];
	char *where;		       /* in the configuration: "FILE:LINE", or NULL without memory for it */
	const struct handler *handler; /* its type and mode */
	void *own; /* the mode's own settings, in a struct that its file knows; NULL: none */

	/* Where it listens: TCP and UDP at an address, ZeroMQ at one endpoint or two. */
	union address listen; /* family 0: at the endpoints */
	/* Where its socket is bound, which the service manager's units may say otherwise; family 0: it is not
	 * open yet. Filled in before anybody else sees the configuration. */
	union address bound;
	struct endpoint_config endpoints[HANDLER_ENDPOINTS];
	int backlog; /* of listen(2): connections */

	/* Who may come. */
	unsigned max_clients;	    /* clients; 0: no limit of its own */
	struct prefix_list allow;   /* none: everybody but those that deny names */
	struct prefix_list deny;    /* none: nobody is kept out */
	struct prefix_list proxies; /* these have to begin with a PROXY header; none: nobody has to */

	/* The room, and who they are there. */
	char room[TEXT_ROOM_MAX + 1]; /* "": none */
	/* What is said without a name is said under the listener's, which is nobody else's then. */
	bool speaks;
	bool password;		  /* nothing is possible without a login */
	char *password_file;	  /* or NULL */
	struct accounts accounts; /* of that file */
	char *token_file;	  /* for programs, or NULL */
	struct tokens tokens;	  /* of that file */

	/* Browsers. */
	struct origin_list origins; /* whose pages may talk there, beside its own */
	struct origin_list hosts;   /* names by which it is called */

	/* TLS. */
	char *tls_certificate, *tls_key, *tls_client_ca; /* paths, or NULL */
	struct tls_context *tls;			 /* made of them; NULL: plain text */
	bool tls_client_optional;			 /* who has no certificate may come, too */
	bool tls_survives;				 /* connections outlive the process */
};

struct cluster_config;
struct history_config;
struct webhooks_config;
struct copies;

struct config {
	unsigned workers;	  /* threads; 0: one per CPU */
	unsigned max_message;	  /* bytes; never 0 */
	int64_t drain_timeout_us; /* 0: clients end at once */
	enum slow_policy slow;
	int log_level; /* LOG_ERR to LOG_DEBUG */
	bool io_uring; /* use it where the kernel allows it */

	struct room_config *rooms;
	size_t n_rooms;
	struct room_settings room_defaults; /* of rooms that people open */
	struct rooms_limits room_limits;

	struct listener_config *listeners;
	size_t n_listeners;

	unsigned max_clients;		  /* clients; never 0 */
	unsigned max_clients_per_address; /* clients; 0: any number */
	unsigned max_bans;		  /* bans; 0: none */
	unsigned max_rooms_per_client;	  /* that one may be in at once; never 0 */

	/* Rates, of which a second's or a minute's worth may come at once; 0: no limit. */
	unsigned lines_per_second;	   /* of a client */
	unsigned bytes_per_second;	   /* of a TCP client */
	unsigned commands_per_second;	   /* of a TCP client */
	unsigned nick_changes_per_minute;  /* of a client */
	unsigned joins_per_minute;	   /* of a client */
	unsigned failed_logins_per_minute; /* from an address */

	int64_t idle_timeout_us;       /* without a line; 0: never */
	int64_t first_line_timeout_us; /* before the first line; 0: never */
	int64_t login_timeout_us;      /* before a login that is needed; 0: never */
	int64_t handshake_timeout_us;  /* for TLS and a PROXY header; never 0 */
	int64_t flush_timeout_us;      /* without reading what is left at the end; never 0 */
	int64_t keepalive_us;	       /* of silence, before TCP asks; 0: it never does */
	int64_t user_timeout_us;       /* without an answer of a TCP peer; 0: as the kernel has it */

	struct irc_config irc;
	struct cluster_config *cluster;	  /* config/cluster.h; NULL: none */
	struct history_config *history;	  /* config/history.h; NULL: none */
	struct webhooks_config *webhooks; /* config/webhooks.h; NULL: none */

	char *control_socket;  /* path */
	char *control_group;   /* its name */
	union address metrics; /* where they are served over HTTP; family 0: nowhere */
	char *metrics_where;   /* in the configuration: "FILE:LINE"; NULL if there are none */
	struct copies *copies; /* of all files that it was made of; NULL: there are none */
	char *
	    state_directory; /* path, for what has to outlive a reboot; NULL: systemd's, or control_socket's */
};

/*
 * Reads and checks a file. Every error is written to errors as "FILE:LINE: what, and what is allowed", one
 * per line. Returns 0, -EINVAL after errors, or -ENOMEM. config_parse() reads a string; name stands for the
 * file in errors. modes are those that a listener can have, NULL-terminated. What is odd but allowed is
 * written to warnings, if that isn't NULL, as "FILE:LINE: warning: what".
 */
int config_load(const char *path, const struct handler *const *modes, FILE *errors, FILE *warnings,
		struct config **ret);
/* The same from copies of those files, which are consumed; they are no part of what it returns. */
int config_load_copies(struct copies *copies, const struct handler *const *modes, FILE *errors,
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

/*
 * The path of a file of that name in the state directory: the configured one, else the service manager's, else the
 * control socket's. An absolute path stays as it is. To be freed; NULL without memory.
 */
char *config_state_path(const struct config *c, const char *name);
/* The path of an endpoint that is a Unix socket; NULL if it isn't one, or there is no endpoint. */
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
