/* SPDX-License-Identifier: MIT */
/*
 * `history` in the configuration: in which database what is said in rooms is stored, for how long, and how much
 * one question about it may cost.
 */
#ifndef DAEMON_CONFIG_HISTORY_H
#define DAEMON_CONFIG_HISTORY_H

#include "common/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long what was said in a room is kept: until the first of these is exceeded. */
struct history_keep {
	char room[TEXT_ROOM_MAX + 1]; /* "": of all rooms that are not named */
	bool nothing;		      /* nothing is stored, and what was is removed */
	int64_t us;		      /* 0: for ever */
	uint64_t messages, bytes;     /* of each room; 0: any number */
};

struct history_config {
	char *database;		    /* path, or a file's name in the state directory */
	struct history_keep keep;   /* of all rooms but these */
	struct history_keep *rooms; /* each is there once */
	size_t n_rooms;
	bool search;	       /* words can be searched for; else there is no index of them */
	unsigned lines;	       /* the most that one question is answered with */
	int64_t time_limit_us; /* that one question may take */
	unsigned questions;    /* how many may wait */
	unsigned refs;	       /* its own */
};

/* How long a room's messages are kept. */
const struct history_keep *history_config_keep(const struct history_config *c, const char *room);
void history_config_free(struct history_config *c);
/* One more history_config_free() is needed. On the main thread, as that. */
static inline struct history_config *history_config_hold(struct history_config *c)
{
	c->refs++;
	return c;
}

/*
 * For a reload: what counts only after a restart (whether there is a history, where, and whether with an index) becomes
 * in *new what it is in old. Returns whether anything did; -ENOMEM.
 */
int history_config_reload(struct history_config **new, struct history_config *old);

#endif
