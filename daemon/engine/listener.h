/* SPDX-License-Identifier: MIT */
/*
 * A listener as the server and the workers see it, whatever its transport: a socket that lives on one worker.
 * The transports (net/tcp.c, net/udp_listener.c) begin their own struct with this one and fill in the
 * operations; a new one is a row in the table of net/listener_entry.c.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include "common/address.h"
#include "daemon/config/config.h"
#include "daemon/engine/worker.h"

struct listener;

/* A client as `chatctl list clients` shows it. */
struct client_info {
	uint64_t id;
	union address address;
	char listener[64];
	const char *mode;
	char nick[TEXT_NICK_MAX + 1];
	char room[TEXT_ROOM_MAX + 1];
	int64_t age_us, idle_us;
	uint64_t received, sent, behind; /* bytes */
	uint64_t dropped;		 /* messages */
	int64_t lease_us;		 /* what is left of a registration's; -1: it isn't a registration */
	bool covered, tls;
};

/* As struct client_tally. */
struct listener_stats {
	uint64_t accepted, received, dropped, ignored;
};

/* All but free() are called on the worker's thread (or before its start). Those that may be NULL say so. */
struct listener_ops {
	/* Joins the worker's loop, or leaves it for good; what belongs to the socket alone ends with it. */
	int (*start)(struct listener *l);
	void (*stop)(struct listener *l);
	/* l->config is new, and differs in what need not close the socket (NULL). */
	void (*configure)(struct listener *l);
	/* Once a second. */
	void (*tick)(struct listener *l);
	/* The room has news; one the listener has members in, or the private one (NULL). */
	void (*deliver)(struct listener *l, uint32_t room);
	/* Each turn, as long as l->wants_turn says so (NULL). */
	void (*again)(struct listener *l);
	/* The server ends: no more input; then what was said is sent, and the members are sent away (NULL). */
	void (*freeze)(struct listener *l);
	void (*goodbye)(struct listener *l);
	/*
	 * Its members, for `chatctl list clients` (NULL), and the end of one: false if it is not here, else
	 * *ret_from is where it was (NULL).
	 */
	void (*each)(struct listener *l, void (*fn)(const struct client_info *info, void *arg), void *arg);
	bool (*kick)(struct listener *l, uint64_t id, const struct notice *why, union address *ret_from);
	void (*free)(struct listener *l);
};

struct listener {
	struct source source; /* in the worker's epoll set */
	struct resident resident;
	const struct listener_ops *ops;
	int fd;
	struct clients *clients;
	unsigned origin; /* from clients_intern(), held */
	unsigned home;	 /* index of its worker */
	const struct handler *handler;
	const struct listener_config *config; /* follows a reload on the worker's thread */
	char name[CONFIG_NAME_MAX + 1];
	struct client_tally *tally; /* NULL: not started yet */
	bool wants_turn;
	int64_t turn; /* of the preludes: which it was, and how many steps were taken in it */
	unsigned steps;
	struct worker *w;    /* NULL: not started */
	struct context *ctx; /* of its worker */
};

/* Fills in what all listeners have, of one that a transport made. Takes fd (bound, non-blocking) over, and holds
 * the origin. */
void listener_init(struct listener *l, struct clients *clients, int fd, const struct listener_config *config,
		   unsigned origin, unsigned home);
void listener_free(struct listener *l);

int listener_start(struct listener *l, struct worker *w);
void listener_stop(struct listener *l);

/*
 * Whether somebody may come from that address: by the listener's allow and deny and the bans; and, with
 * listener_admit(), by the limits, which count it then. Why not is in *ret_why, for people; it has been
 * counted and logged.
 */
bool listener_allows(struct listener *l, const union address *a, const char **ret_why);
bool listener_admit(struct listener *l, const union address *a, const char **ret_why);
/* Counts and logs that somebody was refused. */
void listener_refused(struct listener *l, const union address *a, const char *why);

/* For `chatctl list listeners`; any thread. */
void listener_tally_stats(const struct client_tally *t, struct listener_stats *ret);

#endif
