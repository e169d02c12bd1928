/* SPDX-License-Identifier: MIT */
/*
 * First this node's side: changes, and the whole for those who ask; then what is known of others. While a whole is
 * being sent no changes are taken, so that all its parts are of one version.
 */
#include "daemon/cluster/presence.h"

#include "common/cleanup.h"
#include "daemon/cluster/presence_text.h"

#include <stdio.h>
#include <string.h>

#define PRESENCE_FLUSH_US 50000	  /* between two looks at what has changed */
#define PRESENCE_HURRY_US 2000	  /* or between these, if one must not wait */
#define PRESENCE_PULSE_US 1000000 /* between two messages, however little there is to say */
#define PRESENCE_ASK_US 1000000	  /* between two questions, and how long an answer may pause */
/* Parts of 64 kB: 12 MB a second, so that chat has its share of the connection. */
#define PRESENCE_STEP_US 20000
#define PRESENCE_STEP_PARTS 4UL
/* Messages of changes at one look; the rest has time until the next one. */
#define PRESENCE_FLUSH_MAX 8UL
/* What a message has beside its clients, and how many of them are always tried: most are shorter than they may be. */
#define PRESENCE_HEAD_MAX 512
#define PRESENCE_CLIENTS_MIN 4
/* A pause of this thread isn't the others' fault. */
#define PRESENCE_PAUSE_US 2000000

struct peer {
	bool used;
	char name[ELSEWHERE_NODE_MAX + 1];
	struct elsewhere_node *node;
	uint64_t boot, version;		  /* of what is known; boot 0: nothing yet */
	uint64_t told_boot, told_version; /* what it has now, as it says */
	int64_t seen, asked;
	bool heard; /* since the connection was made */
	bool met;   /* all of it were known once */
	/* The whole that is coming. */
	bool coming;
	uint64_t whole_boot, whole_version;
	unsigned next_part;
};

struct presence {
	char root[PRESENCE_ROOT_MAX + 1], node[ELSEWHERE_NODE_MAX + 1];
	const struct presence_ops *ops;
	void *arg;
	bool started, connected;
	bool hurries;
	bool complete; /* all who are here since the start have been taken: before, nothing is said */
	size_t max;    /* clients in a message */
	int64_t ticked, flushed, said, connected_at; /* when */
	uint64_t refused;

	/* This node's clients as the others were told of them, at this version. */
	struct elsewhere *own;
	struct elsewhere_node *own_node;
	uint64_t boot, version;

	/* Who waits for the whole, the first one being served. */
	char askers[ELSEWHERE_NODES][ELSEWHERE_NODE_MAX + 1];
	size_t n_askers;
	bool serving;
	uint32_t cursor;
	unsigned part;
	int64_t served;

	struct elsewhere *el;
	struct peer peers[ELSEWHERE_NODES];
	struct elsewhere_client scratch[PRESENCE_CLIENTS];
	struct elsewhere_found found[PRESENCE_CLIENTS];
};

int presence_new(const char *root, const char *node, uint64_t boot, struct elsewhere *el,
		 const struct presence_ops *ops, void *arg, struct presence **ret)
{
	struct presence *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	int r = elsewhere_new(UINT32_MAX, &p->own);
	if (r < 0) {
		free(p);
		return r;
	}
	p->own_node = elsewhere_node(p->own, "");
	p->ops = ops;
	p->max = PRESENCE_CLIENTS;
	p->arg = arg;
	p->boot = boot & INT64_MAX;
	p->el = el;
	snprintf(p->root, sizeof(p->root), "%s", root);
	snprintf(p->node, sizeof(p->node), "%s", node);
	*ret = p;
	return 0;
}

void presence_free(struct presence *p)
{
	if (!p)
		return;
	elsewhere_free(p->own);
	free(p);
}

size_t presence_subjects(const struct presence *p, char ret[PRESENCE_SUBJECTS][PRESENCE_SUBJECT_MAX])
{
	snprintf(ret[0], sizeof(ret[0]), "%s.who.*", p->root);
	snprintf(ret[1], sizeof(ret[1]), "%s.ask.%s", p->root, p->node);
	snprintf(ret[2], sizeof(ret[2]), "%s.whole.%s", p->root, p->node);
	return PRESENCE_SUBJECTS;
}

void presence_limit(struct presence *p, size_t max_payload)
{
	size_t space = max_payload > PRESENCE_HEAD_MAX ? max_payload - PRESENCE_HEAD_MAX : 0;
	size_t n = space / (PRESENCE_TEXT_MAX / PRESENCE_CLIENTS);

	p->max = max_payload == 0 || n > PRESENCE_CLIENTS ? PRESENCE_CLIENTS
		 : n < PRESENCE_CLIENTS_MIN		  ? PRESENCE_CLIENTS_MIN
							  : n;
}

unsigned presence_nodes(const struct presence *p)
{
	unsigned n = 0;

	for (size_t i = 0; i < ELSEWHERE_NODES; i++)
		n += p->peers[i].used;
	return n;
}

uint64_t presence_refused(const struct presence *p)
{
	return p->refused;
}

/* --- what this node says --- */

static void presence_send(struct presence *p, const char *what, const char *node, struct presence_message *m)
{
	char subject[PRESENCE_SUBJECT_MAX];

	memcpy(m->node, p->node, sizeof(m->node));
	_cleanup_free_ char *text = presence_write(m);
	if (!text || !p->connected)
		return;
	snprintf(subject, sizeof(subject), "%s.%s.%s", p->root, what, node);
	p->ops->send(p->arg, subject, text, strlen(text));
}

static void presence_send_changes(struct presence *p, int64_t now, size_t n)
{
	struct presence_message m = {
	    .boot = p->boot, .from = p->version, .to = p->version + n, .clients = p->scratch, .n = n};

	p->version += n;
	p->said = now;
	presence_send(p, "who", p->node, &m);
}

static void presence_pulse(struct presence *p, int64_t now)
{
	if (now - p->said >= PRESENCE_PULSE_US)
		presence_send_changes(p, now, 0);
}

static void presence_flush(struct presence *p, int64_t now)
{
	size_t n = p->max, left = (size_t)PRESENCE_FLUSH_MAX * PRESENCE_CLIENTS;

	p->flushed = now;
	p->hurries = false;
	for (; n + 1 >= p->max && (left >= p->max || !p->complete); left -= left < p->max ? left : p->max) {
		n = p->ops->changes(p->arg, p->scratch, p->max);
		for (size_t k = 0; k < n; k++) {
			const struct elsewhere_client *c = &p->scratch[k];
			if (c->nick_len == 0)
				elsewhere_remove(p->own, p->own_node, c->id);
			else
				elsewhere_put(p->own, p->own_node, c);
		}
		if (n > 0 && p->complete)
			presence_send_changes(p, now, n);
		else
			p->version += n;
	}
	p->complete = true;
}

static void presence_asked(struct presence *p, const char *node)
{
	for (size_t i = 0; i < p->n_askers; i++)
		if (strcmp(p->askers[i], node) == 0)
			return;
	if (p->n_askers == ELSEWHERE_NODES)
		return;
	memcpy(p->askers[p->n_askers++], node, sizeof(p->askers[0]));
}

/* The next parts for the first who asked. */
static void presence_serve(struct presence *p, int64_t now)
{
	p->served = now;
	if (!p->serving) {
		p->serving = true;
		p->cursor = 0;
		p->part = 0;
	}
	size_t left = (size_t)PRESENCE_STEP_PARTS * PRESENCE_CLIENTS;
	for (; left >= p->max && p->serving; left -= p->max) {
		size_t n = elsewhere_copy(p->own, &p->cursor, p->found, p->max);
		for (size_t k = 0; k < n; k++)
			p->scratch[k] = p->found[k].client;
		struct presence_message m = {.boot = p->boot,
					     .to = p->version,
					     .part = p->part++,
					     .last = n == 0,
					     .clients = p->scratch,
					     .n = n};
		presence_send(p, "whole", p->askers[0], &m);
		p->serving = n > 0;
	}
	if (p->serving)
		return;
	p->n_askers--;
	memmove(p->askers[0], p->askers[1], p->n_askers * sizeof(p->askers[0]));
}

void presence_start(struct presence *p)
{
	p->started = true;
}

void presence_bye(struct presence *p)
{
	struct presence_message m = {.boot = p->boot, .bye = true};

	if (p->started)
		presence_send(p, "who", p->node, &m);
	p->started = false;
}

/* --- who is gone, or back --- */

struct presence_about {
	struct presence *p;
	const struct peer *peer;
	bool back; /* rather than gone */
};

static void presence_tell(const char *room, const struct elsewhere_nick *nicks, unsigned n, void *arg)
{
	const struct presence_about *l = arg;
	const struct presence_ops *ops = l->p->ops;

	(l->back ? ops->back : ops->gone)(l->p->arg, l->peer->name, room, nicks, n);
}

static void presence_forget(struct presence *p, struct peer *peer, bool tell)
{
	struct presence_about gone = {p, peer, false};

	elsewhere_drop(p->el, peer->node, tell && p->ops->gone ? presence_tell : NULL, &gone);
	peer->used = false;
}

static void presence_meet(struct presence *p, struct peer *peer)
{
	struct presence_about back = {p, peer, true};

	if (!peer->met && p->ops->back)
		elsewhere_by_room(p->el, peer->node, presence_tell, &back);
	peer->met = true;
}

/* --- what others say --- */

static struct peer *presence_peer(struct presence *p, int64_t now, const char *name)
{
	struct peer *free_one = NULL;

	for (size_t i = 0; i < ELSEWHERE_NODES; i++) {
		struct peer *peer = &p->peers[i];
		if (peer->used && strcmp(peer->name, name) == 0)
			return peer;
		if (!peer->used && !free_one)
			free_one = peer;
	}
	struct elsewhere_node *node = free_one ? elsewhere_node(p->el, name) : NULL;
	if (!node)
		return NULL;
	*free_one = (struct peer){.used = true, .node = node, .seen = now, .asked = now - PRESENCE_ASK_US};
	memcpy(free_one->name, name, strlen(name) + 1);
	return free_one;
}

static void presence_apply(struct presence *p, struct peer *peer, const struct presence_message *m)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct elsewhere_client *c = &m->clients[i];
		if (c->nick_len == 0) {
			elsewhere_remove(p->el, peer->node, c->id);
			continue;
		}
		if (!elsewhere_put(p->el, peer->node, c))
			p->refused++;
		else if (p->ops->arrived)
			p->ops->arrived(p->arg, peer->name, c);
	}
}

static bool presence_is_behind(const struct peer *peer)
{
	return peer->told_boot != 0 && (peer->told_boot != peer->boot || peer->told_version > peer->version);
}

bool presence_is_whole(const struct presence *p)
{
	for (size_t i = 0; i < ELSEWHERE_NODES; i++)
		if (p->peers[i].used && (p->peers[i].coming || presence_is_behind(&p->peers[i])))
			return false;
	return true;
}

static void presence_ask(struct presence *p, int64_t now, struct peer *peer)
{
	struct presence_message m = {.n = 0};

	if (!presence_is_behind(peer) || now - peer->asked < PRESENCE_ASK_US)
		return;
	peer->asked = now;
	peer->coming = false;
	presence_send(p, "ask", peer->name, &m);
}

/* Changes, or that the node is there, or that it goes. */
static void presence_take_who(struct presence *p, int64_t now, const struct presence_message *m)
{
	struct peer *peer = presence_peer(p, now, m->node);

	if (!peer || m->boot == 0)
		return;
	if (m->bye) {
		if (m->boot == peer->told_boot)
			presence_forget(p, peer, true);
		return;
	}
	peer->seen = now;
	peer->heard = true;
	if (m->boot != peer->told_boot) {
		peer->told_boot = m->boot;
		peer->told_version = 0;
	}
	if (m->to > peer->told_version)
		peer->told_version = m->to;
	/* While a whole is coming, the changes are behind it. */
	if (m->boot == peer->boot && m->from == peer->version && !peer->coming) {
		presence_apply(p, peer, m);
		peer->version = m->to;
	}
	presence_ask(p, now, peer);
}

static void presence_take_whole(struct presence *p, int64_t now, const struct presence_message *m)
{
	struct peer *peer = presence_peer(p, now, m->node);

	if (!peer || m->boot == 0 || m->bye || (peer->told_boot && m->boot != peer->told_boot))
		return;
	if (m->boot == peer->boot && m->to <= peer->version) {
		peer->told_version = peer->version; /* if there is more, it says so within a second */
		return;
	}
	if (m->part == 0) {
		elsewhere_begin(p->el, peer->node);
		peer->coming = true;
		peer->whole_boot = m->boot;
		peer->whole_version = m->to;
		peer->next_part = 0;
		peer->boot = 0; /* with a part of it, what was known is neither the old nor the new */
	}
	if (!peer->coming || m->boot != peer->whole_boot || m->to != peer->whole_version ||
	    m->part < peer->next_part)
		return;
	if (m->part > peer->next_part) { /* one was lost; it is asked for again */
		peer->coming = false;
		return;
	}
	peer->seen = now;
	peer->heard = true;
	peer->asked = now; /* it comes */
	peer->next_part++;
	presence_apply(p, peer, m);
	if (!m->last)
		return;
	elsewhere_end(p->el, peer->node);
	peer->coming = false;
	peer->boot = m->boot;
	peer->version = m->to;
	presence_meet(p, peer);
}

void presence_take(struct presence *p, int64_t now, const char *subject, const char *data, size_t len)
{
	static const struct {
		const char *prefix;
		enum { WHO, ASK, WHOLE } what;
	} kinds[] = {{".who.", WHO}, {".ask.", ASK}, {".whole.", WHOLE}};
	struct presence_message m;
	size_t root = strlen(p->root);

	if (strncmp(subject, p->root, root) != 0)
		return;
	subject += root;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t n = strlen(kinds[i].prefix);
		if (strncmp(subject, kinds[i].prefix, n) != 0)
			continue;
		if (presence_read(data, len, &m) < 0) {
			p->refused++;
			return;
		}
		p->refused += m.n_refused;
		const char *about = subject + n;
		bool own = strcmp(m.node, p->node) == 0;
		if (!own && kinds[i].what == WHO && strcmp(about, m.node) == 0)
			presence_take_who(p, now, &m);
		else if (!own && kinds[i].what == ASK && strcmp(about, p->node) == 0)
			presence_asked(p, m.node);
		else if (!own && kinds[i].what == WHOLE && strcmp(about, p->node) == 0)
			presence_take_whole(p, now, &m);
		presence_message_free(&m);
		return;
	}
}

/* --- time --- */

void presence_connected(struct presence *p, int64_t now, bool connected)
{
	p->connected = connected;
	p->said = now - PRESENCE_PULSE_US;
	p->serving = false;
	p->n_askers = 0;
	if (!connected)
		return;
	p->connected_at = now;
	/* They could not be heard meanwhile; where connections come and go without a word of them, they have that time once. */
	for (size_t i = 0; i < ELSEWHERE_NODES; i++) {
		if (p->peers[i].heard)
			p->peers[i].seen = now;
		p->peers[i].heard = false;
	}
}

void presence_hurry(struct presence *p)
{
	p->hurries = true;
}

/* Whether who isn't heard is gone, rather than this node alone: that has been connected for long enough, or hears others. */
static bool presence_may_tell(const struct presence *p, int64_t now)
{
	bool hears = false;

	for (size_t i = 0; i < ELSEWHERE_NODES; i++)
		hears |= p->peers[i].used && p->peers[i].heard;
	return p->connected && (hears || now - p->connected_at >= PRESENCE_GONE_US);
}

int64_t presence_tick(struct presence *p, int64_t now)
{
	int64_t pause = p->ticked ? now - p->ticked : 0;

	p->ticked = now;
	for (size_t i = 0; i < ELSEWHERE_NODES; i++) {
		struct peer *peer = &p->peers[i];
		if (!peer->used)
			continue;
		if (pause > PRESENCE_PAUSE_US)
			peer->seen += pause;
		if (now - peer->seen > PRESENCE_GONE_US)
			presence_forget(p, peer, presence_may_tell(p, now));
		else
			presence_ask(p, now, peer);
	}
	if (!p->started)
		return PRESENCE_FLUSH_US;
	int64_t wait = p->hurries ? PRESENCE_HURRY_US : PRESENCE_FLUSH_US;
	if (p->complete && (p->serving || (p->n_askers > 0 && p->flushed > p->served))) {
		if (now - p->served >= PRESENCE_STEP_US)
			presence_serve(p, now);
	} else if (now - p->flushed >= wait || p->n_askers > 0) {
		/* Between two wholes, too. */
		presence_flush(p, now);
	}
	presence_pulse(p, now);
	return p->hurries && !p->serving ? PRESENCE_HURRY_US : PRESENCE_FLUSH_US;
}
