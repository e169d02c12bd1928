/* SPDX-License-Identifier: MIT */
/*
 * Who is on other nodes, as those nodes say: the people of each, found by nick and by room. One thread changes
 * it, which holds the lock for one client at a time; any thread may ask.
 */
#ifndef DAEMON_ELSEWHERE_H
#define DAEMON_ELSEWHERE_H

#include "common/nick.h"
#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

#define ELSEWHERE_NODE_MAX 32 /* bytes of a node's name */
#define ELSEWHERE_NODES 128
/* Of all nodes together: with some 150 bytes each, what a node can be made to spend on them is 150 MB. */
#define ELSEWHERE_CLIENTS (1U << 20)
#define ELSEWHERE_KIND_MAX 7
/* No client has such an id: from here on they are those of reserved names. */
#define ELSEWHERE_RESERVED_ID (UINT64_C(1) << 62)

struct elsewhere;
struct away;

/* Read only. */
struct elsewhere_node {
	char name[ELSEWHERE_NODE_MAX + 1];
	bool used;
	bool kept;	/* it is gone, but for what it reserves */
	uint32_t round; /* grows with each whole */
	struct away *first;
};

struct elsewhere_client {
	uint64_t id;	  /* on its node */
	int64_t since_us; /* CLOCK_REALTIME of its node: how long it has had that nick */
	uint8_t nick_len; /* 0: it is gone */
	bool account;	  /* it has proved to be that */
	bool reserved;	  /* nobody is there: the name is kept for somebody, as for an account */
	char kind[ELSEWHERE_KIND_MAX + 1]; /* "tcp", "udp" */
	char nick[TEXT_NICK_MAX + 1];
	char room[TEXT_ROOM_MAX + 1]; /* "": none */
};

struct elsewhere_nick {
	int64_t since_us; /* as of its client */
	uint8_t len;
	char nick[TEXT_NICK_MAX];
};

struct elsewhere_found {
	char node[ELSEWHERE_NODE_MAX + 1];
	struct elsewhere_client client;
};

/* Look-ups are fast up to about so many clients; more are no harm. */
int elsewhere_new(uint32_t clients, struct elsewhere **ret);
void elsewhere_free(struct elsewhere *el);

/*
 * From now on fn is told of every nick that somebody on another node gets or gives up, as by roster_listen(), and without one
 * (len 0) when all nodes are known again; node is which one, and gone that it is given up. On the thread that changes it, without any lock of its own. It may still be called
 * a moment after it was replaced. l is the caller's; NULL: nobody listens. el may be NULL.
 */
struct elsewhere_listener {
	void (*fn)(void *arg, const char *node, const char *nick, size_t len, bool gone);
	void *arg;
};
void elsewhere_listen(struct elsewhere *el, const struct elsewhere_listener *l);

/* --- for the thread that changes it --- */

/*
 * Whether all nodes have said who is there, or were given the time for it; at first not. While they are not, somebody who
 * isn't found may be there all the same.
 */
void elsewhere_set_known(struct elsewhere *el, bool known);

/* The node of that name, which is there (again), made if need be; NULL: there are too many. */
struct elsewhere_node *elsewhere_node(struct elsewhere *el, const char *name);
/* Adds a client, or changes what is known of it. False: there are too many, or no memory; then it isn't there. */
bool elsewhere_put(struct elsewhere *el, struct elsewhere_node *node, const struct elsewhere_client *c);
void elsewhere_remove(struct elsewhere *el, struct elsewhere_node *node, uint64_t id);
/* What is put between these two is the whole of the node: the others are gone with the second one. */
void elsewhere_begin(struct elsewhere *el, struct elsewhere_node *node);
void elsewhere_end(struct elsewhere *el, struct elsewhere_node *node);
/*
 * The node is gone, and with it its clients: fn (or NULL) is told then how many were in each room,
 * and who, if there is memory (or NULL). What it reserves stays
 * so until it is there again and says otherwise, or is forgotten, or its place is needed by one that is there.
 */
void elsewhere_drop(struct elsewhere *el, struct elsewhere_node *node,
		    void (*fn)(const char *room, const struct elsewhere_nick *nicks, unsigned n, void *arg),
		    void *arg);
/* The same of those who are there, and stay. */
void elsewhere_by_room(struct elsewhere *el, struct elsewhere_node *node,
		       void (*fn)(const char *room, const struct elsewhere_nick *nicks, unsigned n,
				  void *arg),
		       void *arg);
void elsewhere_forget(struct elsewhere *el, struct elsewhere_node *node);
/* The node of that place, below ELSEWHERE_NODES, or NULL; its place. */
struct elsewhere_node *elsewhere_node_at(struct elsewhere *el, size_t place);
size_t elsewhere_place(const struct elsewhere *el, const struct elsewhere_node *node);
/* Grows with each change of what is reserved; all of that. */
unsigned elsewhere_reserved_version(const struct elsewhere *el);
void elsewhere_each_reserved(struct elsewhere *el,
			     void (*fn)(const struct elsewhere_node *node, const char *name, const char *nick,
					size_t len, void *arg),
			     void *arg);
/*
 * Copies clients from *cursor on (0: the first), at most max, and moves it. What is not changed meanwhile comes
 * exactly once. Returns how many; 0 is the end.
 */
size_t elsewhere_copy(struct elsewhere *el, uint32_t *cursor, struct elsewhere_found *ret, size_t max);

/* --- for any thread; el may be NULL: nobody is elsewhere --- */

/* As it was set. */
bool elsewhere_is_known(const struct elsewhere *el);
/* Somebody of that nick, or one that looks like it; of several the one who is to keep it: roster_contest(). */
bool elsewhere_find(struct elsewhere *el, const struct nick_keys *keys, struct elsewhere_found *ret);
/* Whether that name, or one that looks like it, is kept for somebody on another node. */
bool elsewhere_reserves(struct elsewhere *el, const struct nick_keys *keys);
/* Appends "alice, bob" of a room to buf, as roster_list() does; buf may have something in it already. */
size_t elsewhere_list(struct elsewhere *el, const char *room, char *buf, size_t size, size_t *ret_shown);
/* Those of a room, at most max, in an array to be freed; NULL: there is nobody, or no memory. */
struct elsewhere_found *elsewhere_people(struct elsewhere *el, const char *room, size_t max, size_t *ret_n);
/* At most max of the rooms that somebody is in, in no order; *ret_all is how many there are. */
struct elsewhere_room {
	char name[TEXT_ROOM_MAX + 1];
	size_t n;
};
size_t elsewhere_rooms(struct elsewhere *el, struct elsewhere_room *ret, size_t max, size_t *ret_all);
/* How many are in that room, or (NULL) at all, with the names that are reserved. */
size_t elsewhere_count(struct elsewhere *el, const char *room);

#endif
