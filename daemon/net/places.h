/* SPDX-License-Identifier: MIT */
/*
 * Where a listener's sockets listen: where they should by the configuration, where they really do, and whose
 * they are. A socket comes from systemd, from a process before, from a listener that a reload is about to
 * end, or is new. Only the main thread looks at places.
 */
#ifndef DAEMON_PLACES_H
#define DAEMON_PLACES_H

#include "daemon/config/config.h"
#include "daemon/state/sockets.h"

/* One socket. */
struct place_socket {
	struct place wanted;
	char endpoint[CONFIG_ENDPOINT_MAX]; /* ZeroMQ's, as the configuration has it; else "" */
	const char *label;		    /* the setting that has it, if there are several; else NULL */
	int fd;				    /* -1: not open, or libzmq has one of its own */
	bool passed;			    /* the service manager passed it */
	/* Where it is really bound: an address (else family 0), or any place as libzmq would have it. */
	union address bound;
	char bound_text[CONFIG_ENDPOINT_MAX];
};

/* Those of one listener. */
struct places {
	struct place_socket at[HANDLER_ENDPOINTS];
	unsigned n;
	struct places *next; /* in a list */
};

/* Those of all listeners that are there. All zeros: none. */
struct places_list {
	struct places *first;
};

/* Where that listener's sockets shall be; none is open. */
void places_init(struct places *p, const struct listener_config *c);
/*
 * Opens them, except for those that libzmq makes by itself. Whoever is there already, under whatever name,
 * lends its socket to one at the same address. Returns 0, or -errno with none open.
 */
int places_open(struct places *p, struct sockets *sockets, const struct places_list *there);
void places_close(struct places *p);

void places_add(struct places_list *list, struct places *p);
/* Datagrams and connections may share an address. */
bool places_match(const struct place *a, const struct place *b);
/* Whether one who is there has an endpoint that p shall have. */
bool places_collide(const struct places *p, const struct places_list *there);
/* A passed socket that nobody of those who stay has waits for the next reload; systemd holds it anyway. */
void places_give_back(const struct places *p, struct sockets *sockets, const struct places_list *staying);

/* Where a listener listens (what is bound, if it is), for people: "[::]:5050", "pull tcp://... pub tcp://...". */
#define PLACES_TEXT_MAX 320
char *places_text(const struct places *p, char dst[static PLACES_TEXT_MAX]);
/* A unit counts more than the configuration, which is easily overlooked: says so where they differ. */
void places_warn_of_units(const struct places *p, const char *listener);
/* Calls fn with the sockets that chatd bound itself, or with all, and the names by which they are kept. */
void places_each(const struct places *p, bool passed_too, void (*fn)(const char *name, int fd, void *arg),
		 void *arg);

#endif
