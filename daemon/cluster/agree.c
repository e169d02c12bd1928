/* SPDX-License-Identifier: MIT */
/* Says what this node's rooms are, hears what those of others are, and tells once of each that differs. */
#include "daemon/cluster/agree.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGREE_LOOK_US SECOND_US
/* Also if nothing has changed: whoever has just come, or has lost a message, hears it as well. */
#define AGREE_SAY_US (10 * SECOND_US)

struct agree_room {
	char name[TEXT_ROOM_MAX + 1];
	char letters[16];
};

struct agree_rooms {
	struct agree_room *at;
	size_t n, space;
	bool all;
};

/* --- this node's --- */

static bool agree_add_room(struct room *r, void *arg)
{
	struct agree_rooms *l = arg;
	struct agree_room k = {.letters = ""};

	if (!r->outgoing || (l->all && !r->raw && !r->read_only && !r->members_only))
		return true;
	if (l->n == l->space) {
		size_t space = l->space ? l->space * 2 : 32;
		struct agree_room *at = realloc(l->at, space * sizeof(*at));
		if (!at)
			return false;
		l->at = at;
		l->space = space;
	}
	snprintf(k.name, sizeof(k.name), "%.*s", TEXT_ROOM_MAX, r->name);
	int n = snprintf(k.letters, sizeof(k.letters), "%s%s", r->read_only ? "r" : "", r->raw ? "w" : "");
	if (r->members_only)
		snprintf(k.letters + n, sizeof(k.letters) - (size_t)n, "m%08x", (unsigned)r->members_sum);
	l->at[l->n++] = k;
	return true;
}

static struct agree_said agree_own(const struct core *c)
{
	/* No room has that name, so all have. */
	struct agree_rooms l = {.all = c->start.has_room("", c->start.arg)};
	struct agree_said said = {.all = l.all, .rooms = json_object()};

	snprintf(said.node, sizeof(said.node), "%.*s", (int)sizeof(said.node) - 1, c->node);
	rooms_each(c->start.rooms, agree_add_room, &l);
	for (size_t i = 0; i < l.n; i++)
		json_object_set_new(said.rooms, l.at[i].name, json_string(l.at[i].letters));
	free(l.at);
	return said;
}

void agree_turn(struct core *c)
{
	char subject[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX];

	if (!c->connected || (c->agreed_at && c->now - c->agree_looked_at < AGREE_LOOK_US))
		return;
	c->agree_looked_at = c->now;
	struct agree_said said = agree_own(c);
	_cleanup_free_ char *text = agree_write(&said, c->max_payload ? c->max_payload : AGREE_TEXT_MAX);
	json_decref(said.rooms);
	uint64_t sum = text ? hash_fixed(text, strlen(text)) : 0;
	if (!text || (c->agreed_at && sum == c->agreed_sum && c->now - c->agreed_at < AGREE_SAY_US))
		return;
	c->agreed_at = c->now;
	c->agreed_sum = sum;
	snprintf(subject, sizeof(subject), "%s.rooms.%s", c->root, c->node);
	(void)!c->start.link.send(c->start.link.arg, subject, text, strlen(text));
}

/* --- what others say --- */

static bool agree_is_known(const struct cluster_difference *at, unsigned n,
			   const struct cluster_difference *d)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(at[i].node, d->node) == 0 && strcmp(at[i].room, d->room) == 0 &&
		    strcmp(at[i].what, d->what) == 0)
			return true;
	return false;
}

void agree_forget(struct core *c, const char *node)
{
	struct cluster_status *s = &c->status;
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_differences; i++)
		if (strcmp(s->differences[i].node, node) != 0)
			s->differences[n++] = s->differences[i];
	s->n_differences = n;
}

static void agree_judge(struct core *c, const struct agree_said *other)
{
	struct cluster_difference found[CLUSTER_DIFFERENCES], before[CLUSTER_DIFFERENCES];
	struct cluster_status *s = &c->status;
	unsigned n_before = s->n_differences;
	struct agree_said own = agree_own(c);
	unsigned n = agree_compare(&own, other, c->start.has_room, c->start.arg, found, CLUSTER_DIFFERENCES);

	json_decref(own.rooms);
	memcpy(before, s->differences, sizeof(before));
	agree_forget(c, other->node);
	for (unsigned i = 0; i < n && s->n_differences < CLUSTER_DIFFERENCES; i++) {
		const struct cluster_difference *d = &found[i];
		s->differences[s->n_differences++] = *d;
		if (!agree_is_known(before, n_before, d))
			log_limited(
			    LOG_TOPIC_NODES, LOG_WARNING,
			    &(struct log_fields){.message_id = EVENT_NODE, .room = d->room, .node = d->node},
			    "cluster: room %s is not on node %s what it is here: %s", d->room, d->node,
			    d->what);
	}
}

bool agree_heard(struct core *c, const char *subject, const char *text, size_t len)
{
	size_t n = strlen(c->root);
	struct agree_said said;

	if (strncmp(subject, c->root, n) != 0 || strncmp(subject + n, ".rooms.", 7) != 0)
		return false;
	int r = agree_read(text, len, &said);
	if (r == 0 && strcmp(subject + n + 7, said.node) != 0)
		r = -EBADMSG;
	if (r == 0 && nodes_is_alive(c, said.node) && strcmp(said.node, c->node) != 0)
		agree_judge(c, &said);
	c->unread += r < 0;
	json_decref(said.rooms);
	return true;
}
