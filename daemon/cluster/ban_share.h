/* SPDX-License-Identifier: MIT */
/*
 * The bans of all nodes: of each address the latest word counts, wherever it was said, that it is banned or no longer. Nodes
 * tell each other what changes, and compare sums of all they know, as a message may be lost. Any thread; the main one
 * says what happens to this node's bans, the cluster's sends and receives (ROOT.ban.NODE, JSON).
 */
#ifndef DAEMON_BAN_SHARE_H
#define DAEMON_BAN_SHARE_H

#include "common/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ban_share;

/* Times are CLOCK_REALTIME in us. */
struct ban_word {
	struct prefix prefix;
	int64_t until_us;   /* 0: for ever */
	int64_t changed_us; /* when that was said */
	bool removed;	    /* it is banned no longer */
};

int ban_share_new(struct ban_share **ret);
void ban_share_free(struct ban_share *b);

/* --- for the main thread; b may be NULL: there is no cluster --- */

/* It was said on this node. Others hear of its end in full seconds. */
void ban_share_say(struct ban_share *b, const struct ban_word *w);
/* Takes at most max words of other nodes that this one has to follow. */
size_t ban_share_take(struct ban_share *b, struct ban_word *ret, size_t max);

/* --- for the cluster's --- */

/*
 * The next message, to be freed, or NULL: there is nothing to say at the moment. now: CLOCK_MONOTONIC. max_payload: the
 * longest that can be sent; 0: as long as they get.
 */
char *ban_share_next(struct ban_share *b, const char *node, int64_t now, size_t max_payload);
/* What another node says. False: it can't be read. */
bool ban_share_heard(struct ban_share *b, const char *node, int64_t now, const char *data, size_t len);

#endif
