/* SPDX-License-Identifier: MIT */
/*
 * LIST, with the conditions of ELIST (modern.ircdocs.horse): by mask or none of it, by how many are there, by how old the
 * channel or its topic is. Rooms with nobody in them aren't told of.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/mask.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_CONDITIONS 16
#define LIST_MASK_MAX 100
/* What a room that is looked at costs: irc_work(). */
#define LIST_WORK 2

struct list_condition {
	enum { LIST_MASK, LIST_NOT_MASK, LIST_USERS, LIST_CREATED, LIST_TOPIC } what;
	bool below;    /* < rather than > */
	uint64_t than; /* people, or us */
	char mask[LIST_MASK_MAX + 1];
};

struct list_room {
	const char *name;
	uint32_t members;
	uint64_t created_us, topic_us; /* CLOCK_REALTIME; the latter 0: there is no topic */
	char topic[IRC_TOPIC_MAX + 1];
};

struct list_query {
	struct list_condition at[LIST_CONDITIONS];
	size_t n;
	bool names_some; /* one of its masks has to match */
	uint64_t now_us;
};

/* --- what is asked for --- */

static void list_parse_number(struct list_condition *c, const char *s)
{
	uint64_t n = strtoul(s + 1, NULL, 10);

	c->below = *s == '<';
	c->than = c->what == LIST_USERS ? n : n > UINT32_MAX ? UINT64_MAX : n * 60 * 1000000;
}

static void list_parse_one(struct list_query *q, struct irc_arg one)
{
	struct list_condition *c = &q->at[q->n];
	char s[LIST_MASK_MAX + 2];

	if (q->n == LIST_CONDITIONS || irc_arg_copy(one, s, sizeof(s)) < 0)
		return;
	*c = (struct list_condition){.what = LIST_MASK};
	q->n++;
	char next = s[0] ? s[1] : '\0';
	if (*s == '<' || *s == '>') {
		c->what = LIST_USERS;
		list_parse_number(c, s);
	} else if ((*s == 'C' || *s == 'T') && (next == '<' || next == '>')) {
		c->what = *s == 'C' ? LIST_CREATED : LIST_TOPIC;
		list_parse_number(c, s + 1);
	} else if (*s == '!') {
		c->what = LIST_NOT_MASK;
		snprintf(c->mask, sizeof(c->mask), "%s", s + 1);
	} else {
		q->names_some = true;
		snprintf(c->mask, sizeof(c->mask), "%.*s", LIST_MASK_MAX, s);
	}
}

/* --- whether a room is --- */

static uint64_t list_age(const struct list_query *q, uint64_t us)
{
	return us < q->now_us ? q->now_us - us : 0;
}

static bool list_compares(const struct list_condition *c, uint64_t value)
{
	return c->below ? value < c->than : value > c->than;
}

static bool list_fits(const struct list_query *q, const struct list_room *r)
{
	char channel[IRC_CHANNEL_MAX + 3];
	bool named = !q->names_some;

	snprintf(channel, sizeof(channel), "#%s", r->name);
	for (size_t i = 0; i < q->n; i++) {
		const struct list_condition *c = &q->at[i];
		bool fits = true;
		if (c->what == LIST_MASK)
			named |= irc_mask_match(c->mask, channel);
		else if (c->what == LIST_NOT_MASK)
			fits = !irc_mask_match(c->mask, channel);
		else if (c->what == LIST_USERS)
			fits = list_compares(c, r->members);
		else if (c->what == LIST_CREATED)
			fits = list_compares(c, list_age(q, r->created_us));
		else
			fits = r->topic_us && list_compares(c, list_age(q, r->topic_us));
		if (!fits)
			return false;
	}
	return named;
}

/* False: it isn't told of. */
static bool list_look(struct irc_call *call, const struct room_info *info, uint64_t now_us,
		      struct list_room *ret)
{
	struct irc_look look;

	*ret = (struct list_room){.name = info->name, .members = info->members};
	if (info->members == 0 || !irc_look_for(call, info->name, &look))
		return false;
	bool open = irc_look_is_open(call, &look);
	ret->created_us = irc_room_made_us(look.room, look.channel, now_us);
	if (look.channel) {
		ret->topic_us = look.channel->topic[0] ? look.channel->topic_us : 0;
		snprintf(ret->topic, sizeof(ret->topic), "%s", look.channel->topic);
	}
	irc_look_away(call, &look);
	return open;
}

static enum verdict list_run(struct irc_call *call)
{
	struct list_query q = {.now_us = (uint64_t)clock_us(CLOCK_REALTIME)};
	struct irc_arg one;
	size_t at = 0, n;
	_cleanup_free_ struct room_info *rooms = rooms_copy(irc_shared(call)->rooms, &n);
	bool full = false;

	while (call->line->n_params > 0 && irc_arg_next(call->line->params[0], &at, &one))
		list_parse_one(&q, one);
	irc_numeric(call, RPL_LISTSTART, "Channel");
	for (size_t i = 0; rooms && i < n && !full; i++) {
		struct list_room r;
		irc_work(call, LIST_WORK);
		if (!list_look(call, &rooms[i], q.now_us, &r) || !list_fits(&q, &r))
			continue;
		full = !irc_query_fits(call);
		if (!full)
			irc_numeric(call, RPL_LIST, "#%s %u :%s", r.name, r.members, r.topic);
	}
	if (full)
		irc_query_cut(call, "channels");
	irc_numeric(call, RPL_LISTEND, "%s", "");
	return irc_query_done(call);
}

const struct irc_command irc_commands_list[] = {
    {.name = "LIST", .run = list_run, .cost = 4, .only_asks = true},
    {0},
};
