/* SPDX-License-Identifier: MIT */
/* What presence needs of this node: its roster's changes, its rooms' names, and their ears. Bans go the same way. */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/ban_share.h"
#include "daemon/cluster/kept_names.h"
#include "daemon/cluster/presence.h"
#include "daemon/cluster/presence_text.h"
#include "daemon/rooms/letter.h"
#include "daemon/rooms/roster.h"
#include "daemon/rooms/slots.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After that all nodes have been heard; and who is not known by then isn't waited for. */
#define PEOPLE_HEARD_US (SECOND_US + 150000)
#define PEOPLE_NEW_US PRESENCE_GONE_US
/* So many changes of the roster at once. */
#define PEOPLE_CHANGES 256
/* And so many messages of bans. */
#define PEOPLE_BANS 8

struct people {
	struct people_start start;
	struct presence *presence;
	struct kept_names *kept; /* of other nodes; NULL: they are not kept */
	bool left, is_new;
	int64_t began;
	uint64_t bans_unread;
	unsigned losses; /* of the roster, of which the workers know */
	/* The names that are reserved here, as if they were clients with these ids. */
	char (*names)[TEXT_NICK_MAX + 1];
	unsigned names_version;
	size_t n_names, told;
	uint64_t first_id,
	    old_id; /* of the first one; of those before this everybody was told that they are gone */
	char subjects[PEOPLE_SUBJECTS][PRESENCE_SUBJECT_MAX]; /* the last one: of bans */
	struct roster_change changes[PEOPLE_CHANGES];
};

_Static_assert(PEOPLE_SUBJECTS == PRESENCE_SUBJECTS + 1, "those of presence, and the bans'");

static void people_send(void *arg, const char *subject, const char *data, size_t len)
{
	const struct core_link *link = &((struct people *)arg)->start.core->start.link;

	if (link->send(link->arg, subject, data, len) == -EMSGSIZE)
		log_limited(
		    LOG_TOPIC_CLUSTER, LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER},
		    "cluster: the server takes no message of %zu bytes (max_payload), so the others don't "
		    "hear who is here, or is banned",
		    len);
}

/* When there are others, those before are gone after they are there: one that is in both is reserved all the time. */
static size_t people_names(struct people *p, struct elsewhere_client *ret, size_t max)
{
	size_t n = 0, n_names;

	if (p->old_id == p->first_id && p->told == p->n_names) {
		char(*names)[TEXT_NICK_MAX + 1] = roster_names(p->start.roster, &p->names_version, &n_names);
		if (!names)
			return 0;
		free(p->names);
		p->names = names;
		p->first_id += p->n_names;
		p->n_names = n_names;
		p->told = 0;
	}
	for (; n < max && p->told < p->n_names; p->told++) {
		const char *name = p->names[p->told];
		size_t len = strlen(name);
		if (!nick_valid(name, len)) /* an account that was left out, or a relay's name */
			continue;
		ret[n] = (struct elsewhere_client){
		    .id = p->first_id + p->told, .reserved = true, .nick_len = (uint8_t)len};
		memcpy(ret[n++].nick, name, len);
	}
	for (; n < max && p->told == p->n_names && p->old_id < p->first_id; n++)
		ret[n] = (struct elsewhere_client){.id = p->old_id++};
	return n;
}

/* In a room that isn't shared it is nobody's business who is there. */
static size_t people_changes(void *arg, struct elsewhere_client *ret, size_t max)
{
	struct people *p = arg;
	size_t n = roster_changes(p->start.roster, p->changes, max < PEOPLE_CHANGES ? max : PEOPLE_CHANGES);

	for (size_t i = 0; i < n; i++) {
		const struct roster_change *k = &p->changes[i];
		struct elsewhere_client *c = &ret[i];
		*c = (struct elsewhere_client){.id = k->id,
					       .since_us = k->since_us,
					       .nick_len = k->nick_len,
					       .account = k->is_account,
					       .kind = "tcp"};
		memcpy(c->nick, k->nick, sizeof(c->nick));
		if (k->is_datagram)
			memcpy(c->kind, "udp", 4);
		if (!rooms_shared_name(p->start.core->start.rooms, k->room, c->room))
			c->room[0] = '\0';
	}
	return n + 2 <= max ? n + people_names(p, ret + n, max - n) : n;
}

static void people_arrived(void *arg, const char *node, const struct elsewhere_client *c)
{
	roster_contest(((struct people *)arg)->start.roster, node, c);
}

/* So many lines name people; of a node with more in one room the rest is counted. */
#define PEOPLE_GONE_LINES 10
#define PEOPLE_GONE_TEXT (128 + SPEECH_GONE_MAX * (TEXT_NICK_MAX + 2))

/* nicks may be NULL. */
static void people_gone_text(char *ret, const char *node, const struct elsewhere_nick *nicks, unsigned n)
{
	size_t len = (size_t)snprintf(ret, PEOPLE_GONE_TEXT, "Node %s is gone, with %u %s who %s here", node,
				      n, n == 1 ? "person" : "people", n == 1 ? "was" : "were");

	for (unsigned i = 0; nicks && i < n; i++)
		len += (size_t)snprintf(ret + len, PEOPLE_GONE_TEXT - len, "%s%.*s", i ? ", " : ": ",
					nicks[i].len, nicks[i].nick);
	snprintf(ret + len, PEOPLE_GONE_TEXT - len, ".");
}

/* Who they were is told where comings and goings are. */
static void people_tell_gone(struct core *c, struct room *r, const char *node,
			     const struct elsewhere_nick *nicks, unsigned n)
{
	char text[PEOPLE_GONE_TEXT];

	for (unsigned i = 0; nicks && n > 0 && i < PEOPLE_GONE_LINES && room_announces(r); i++) {
		unsigned part = n < SPEECH_GONE_MAX ? n : SPEECH_GONE_MAX;
		people_gone_text(text, node, nicks, part);
		away_put(c, r, speech_gone, text);
		nicks += part;
		n -= part;
	}
	if (n == 0)
		return;
	people_gone_text(text, node, NULL, n);
	away_note(c, r, text);
}

static void people_gone(void *arg, const char *node, const char *room, const struct elsewhere_nick *nicks,
			unsigned n)
{
	struct core *c = ((struct people *)arg)->start.core;
	struct room *r;

	if (rooms_enter_existing(c->start.rooms, room, c->start.slot, &r) < 0)
		return;
	if (r->outgoing && room_members(r) > 0)
		people_tell_gone(c, r, node, nicks, n);
	rooms_leave(c->start.rooms, r, c->start.slot);
}

static void people_back(void *arg, const char *node, const char *room, const struct elsewhere_nick *nicks,
			unsigned n)
{
	struct core *c = ((struct people *)arg)->start.core;
	struct room *r;

	if (!nicks || rooms_enter_existing(c->start.rooms, room, c->start.slot, &r) < 0)
		return;
	if (r->outgoing && room_members(r) > 0)
		netjoin_tell(c, r, node, nicks, n);
	rooms_leave(c->start.rooms, r, c->start.slot);
}

int people_new(const struct people_start *start, struct people **ret)
{
	static const struct presence_ops ops = {.send = people_send,
						.changes = people_changes,
						.arrived = people_arrived,
						.gone = people_gone,
						.back = people_back};
	struct people *p = calloc(1, sizeof(*p));
	uint64_t boot;

	if (!p)
		return -ENOMEM;
	p->start = *start;
	p->first_id = p->old_id = ELSEWHERE_RESERVED_ID;
	randombytes_buf(&boot, sizeof(boot));
	int r = presence_new(start->core->root, start->core->node, boot | 1, start->elsewhere, &ops, p,
			     &p->presence);
	if (r < 0) {
		free(p);
		return r;
	}
	roster_wakes(start->roster, slots_wakeup(start->slots, start->slot));
	p->is_new = true;
	p->began = start->core->now;
	letter_nodes_set_unsure(rooms_letter_nodes(start->core->start.rooms), true);
	presence_subjects(p->presence, p->subjects);
	snprintf(p->subjects[PRESENCE_SUBJECTS], sizeof(p->subjects[0]), "%s.ban.*", start->core->root);
	*ret = p;
	return 0;
}

void people_free(struct people *p)
{
	if (!p)
		return;
	presence_free(p->presence);
	kept_names_free(p->kept);
	free(p->names);
	free(p);
}

const char *people_subject(const struct people *p, unsigned i)
{
	return p->subjects[i];
}

uint64_t people_unread(const struct people *p)
{
	return presence_refused(p->presence) + p->bans_unread;
}

void people_connected(struct people *p)
{
	presence_limit(p->presence, p->start.core->max_payload);
	presence_connected(p->presence, p->start.core->now, p->start.core->connected);
	elsewhere_set_known(p->start.elsewhere, false);
}

/* Most likely from a clock that is ahead: its bans don't hold here. */
static void people_refuse_bans(struct people *p, const char *node)
{
	p->bans_unread++;
	if (presence_node_valid(node, strlen(node)))
		log_limited(LOG_TOPIC_CLUSTER, LOG_WARNING,
			    &(struct log_fields){.message_id = EVENT_NODE, .node = node},
			    "cluster: what node %s says of bans is passed over, as its format or its clock "
			    "is another one",
			    node);
}

void people_heard(struct people *p, const char *subject, const char *data, size_t len)
{
	const struct core *core = p->start.core;
	const char *bans = p->subjects[PRESENCE_SUBJECTS];

	if (strncmp(subject, bans, strlen(bans) - 1) != 0)
		presence_take(p->presence, core->now, subject, data, len);
	else if (!ban_share_heard(p->start.bans, core->node, core->now, data, len))
		people_refuse_bans(p, subject + strlen(bans) - 1);
}

static void people_tell_bans(struct people *p)
{
	const struct core *core = p->start.core;
	char subject[PRESENCE_SUBJECT_MAX];

	snprintf(subject, sizeof(subject), "%s.ban.%s", core->root, core->node);
	for (unsigned i = 0; i < PEOPLE_BANS && core->connected; i++) {
		char *text = ban_share_next(p->start.bans, core->node, core->now, core->max_payload);
		if (!text)
			return;
		people_send(p, subject, text, strlen(text));
		free(text);
	}
}

int people_keep_names(struct people *p, const char *path)
{
	return kept_names_new(path, p->start.core->node, p->start.elsewhere, &p->kept);
}

int people_save_names(struct people *p)
{
	return kept_names_save(p->kept);
}

static bool people_has_node(const char *node, void *arg)
{
	return nodes_is_alive(arg, node);
}

/* Whoever has to give a nick back. */
static void people_wake_losers(struct people *p)
{
	unsigned losses = roster_losses(p->start.roster);

	for (unsigned i = 0; losses != p->losses && i < p->start.slots->n_workers; i++)
		wakeup_kick(slots_wakeup(p->start.slots, i));
	p->losses = losses;
}

/* Every node that is there says so once a second. Who hears itself hears the others. */
static void people_look_whether_all_are_known(struct people *p)
{
	const struct core *core = p->start.core;
	bool heard = core->connected && core->nodes[0]->heard - core->connected_at >= PEOPLE_HEARD_US &&
		     presence_is_whole(p->presence);

	/* With another connection there may be nodes that were forgotten meanwhile. */
	if (core->connected && (heard || core->now - core->connected_at >= PEOPLE_NEW_US))
		elsewhere_set_known(p->start.elsewhere, true);
	if (!p->is_new || !(heard || core->now - p->began >= PEOPLE_NEW_US))
		return;
	p->is_new = false;
	letter_nodes_set_unsure(rooms_letter_nodes(core->start.rooms), false);
}

int64_t people_turn(struct people *p)
{
	people_look_whether_all_are_known(p);
	people_tell_bans(p);
	kept_names_turn(p->kept, p->start.core->now, p->start.core->start.reserve_for_us, people_has_node,
			p->start.core);
	if (!p->left)
		presence_start(p->presence);
	if (roster_hurries(p->start.roster))
		presence_hurry(p->presence);
	people_wake_losers(p);
	return presence_tick(p->presence, p->start.core->now);
}

void people_leave(struct people *p)
{
	p->left = true;
	presence_bye(p->presence);
}
