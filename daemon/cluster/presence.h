/* SPDX-License-Identifier: MIT */
/*
 * Who is where: each node tells the others of its clients, over core NATS, and knows theirs (rooms/elsewhere.h). A node
 * alone says who is on it, and counts the versions of that, for each process anew. It tells changes; whoever finds
 * itself behind asks and gets the whole. Nothing of it has to survive: the next process has its clients, and tells them anew.
 *
 *	ROOT.who.NODE     what has changed there, and once a second that it is there
 *	ROOT.ask.NODE     asks it for the whole
 *	ROOT.whole.NODE   the whole of another node, in parts, for this one
 *
 * One thread, which calls these functions with what comes and with the time (CLOCK_MONOTONIC, us).
 */
#ifndef DAEMON_PRESENCE_H
#define DAEMON_PRESENCE_H

#include "daemon/rooms/elsewhere.h"

#include <stddef.h>

/* Of its subjects. */
#define PRESENCE_ROOT_MAX 48
#define PRESENCE_SUBJECT_MAX (PRESENCE_ROOT_MAX + 8 + ELSEWHERE_NODE_MAX)
/* A node that was not heard of for so long is gone. */
#define PRESENCE_GONE_US 10000000

struct presence;

struct presence_ops {
	/* Says it, and doesn't mind if it can't. */
	void (*send)(void *arg, const char *subject, const char *data, size_t len);
	/* Takes what has changed on this node (nick_len 0: is gone), at most max; less than max - 1: that is all. */
	size_t (*changes)(void *arg, struct elsewhere_client *ret, size_t max);
	/* A client of another node is known now, or has changed (NULL). */
	void (*arrived)(void *arg, const char *node, const struct elsewhere_client *c);
	/* A node is gone, with so many who were in that room, and who they were if that is known (NULL). */
	void (*gone)(void *arg, const char *node, const char *room, const struct elsewhere_nick *nicks,
		     unsigned n);
	/* All of a node are known that was not there before, also as this process has just begun: so many are in that room (NULL). */
	void (*back)(void *arg, const char *node, const char *room, const struct elsewhere_nick *nicks,
		     unsigned n);
};

/* root: what all subjects begin with. node: this one's name. boot: a number that no process of this node had before; not 0. Returns 0 or -ENOMEM. */
int presence_new(const char *root, const char *node, uint64_t boot, struct elsewhere *el,
		 const struct presence_ops *ops, void *arg, struct presence **ret);
void presence_free(struct presence *p);

/* Writes what to subscribe to. Returns how many there are. */
#define PRESENCE_SUBJECTS 3
size_t presence_subjects(const struct presence *p, char ret[PRESENCE_SUBJECTS][PRESENCE_SUBJECT_MAX]);

/* Everybody who was here before is here again: now the others may be told who is here. */
void presence_start(struct presence *p);
/* Whether there is a connection. Without one, others are forgotten after a while as well, but nobody is told that
 * they are gone. */
void presence_connected(struct presence *p, int64_t now, bool connected);
/* The longest message that can be sent; 0: as long as they get. Before presence_connected(). */
void presence_limit(struct presence *p, size_t max_payload);
/* A message; those of other subjects are not looked at. */
void presence_take(struct presence *p, int64_t now, const char *subject, const char *data, size_t len);
/* At least every 50 ms. Returns in how many us it is wanted again. */
int64_t presence_tick(struct presence *p, int64_t now);
/* Something has changed that the others should know at once. */
void presence_hurry(struct presence *p);
/* The node ends, and its clients go. */
void presence_bye(struct presence *p);

/* Whether all is known of each node that was heard of. */
bool presence_is_whole(const struct presence *p);
/* How many nodes are known, without this one. */
unsigned presence_nodes(const struct presence *p);
/* How many messages could not be read, or clients in them not be taken. */
uint64_t presence_refused(const struct presence *p);

#endif
