/* SPDX-License-Identifier: MIT */
/* Bans of a cluster: this node's are told when it starts, and those of other nodes are followed as if they were made here. */
#include "daemon/server/server.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/ban_share.h"
#include "daemon/engine/bans.h"

#include <stdlib.h>
#include <string.h>

#define FOLLOW_AT_ONCE 64
/* How long workers may take to send somebody away. */
#define FOLLOW_TIMEOUT_US SECOND_US

void ban_follow_begin(struct server *s)
{
	size_t n;
	struct ban *bans = bans_list(s->shared.bans, &n);

	for (size_t i = 0; i < n; i++)
		ban_share_say(s->shared.ban_share,
			      &(struct ban_word){.prefix = bans[i].prefix,
						 .until_us = bans[i].until_us,
						 .changed_us = bans_saved_us(s->shared.bans)});
	free(bans);
}

static void ban_follow_evict(struct worker *w, void *arg)
{
	worker_evict(w, arg, &(struct notice){.kind = NOTICE_BANNED});
}

static bool ban_follow_one(struct server *s, const struct ban_word *w)
{
	char text[ADDRESS_TEXT_MAX];
	const struct ban ban = {w->prefix, w->until_us};
	int r = w->removed ? bans_remove(s->shared.bans, &w->prefix)
			   : bans_add(s->shared.bans, &ban, s->config->max_bans);

	prefix_format(&w->prefix, text);
	const struct log_fields fields = {
	    .message_id = EVENT_BAN, .prefix = text, .until_us = w->removed ? 0 : w->until_us};
	if (r < 0 && w->removed)
		return false;
	log_event(r < 0 ? LOG_WARNING : LOG_NOTICE, &fields,
		  r < 0	       ? "%s is banned on another node, and can't be here: %s"
		  : w->removed ? "%s unbanned on another node"
			       : "%s banned on another node",
		  text, strerror(-r));
	struct prefix *copy = r == 0 && !w->removed ? malloc(sizeof(*copy)) : NULL;
	if (copy) {
		*copy = w->prefix;
		workers_call(&s->shared, NULL, ban_follow_evict, copy, free, FOLLOW_TIMEOUT_US);
	}
	return r == 0;
}

void ban_follow(struct server *s)
{
	struct ban_word at[FOLLOW_AT_ONCE];
	bool changed = false;

	size_t n = ban_share_take(s->shared.ban_share, at, FOLLOW_AT_ONCE);
	for (size_t i = 0; i < n; i++)
		changed |= ban_follow_one(s, &at[i]);
	int r = changed ? bans_save(s->shared.bans) : 0;
	if (r < 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_BAN},
			  "the bans can't be saved, so they end with chatd: %s", strerror(-r));
}
