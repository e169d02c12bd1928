/* SPDX-License-Identifier: MIT */
/*
 * Which nodes there are: each says once a second, by core NATS, that it is there, how far it has read the stream,
 * how many clients it has, and which log its private messages are in: "VERSION BOOT APPLIED CLIENTS LETTERS".
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/letter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_BEAT_US SECOND_US
#define NODES_DEAD_US (10 * SECOND_US)
#define NODES_CLASH_US (60 * SECOND_US)
/* Not heard of for so long, and there are CORE_NODES_MAX: it makes way. */
#define NODES_TEXT_MAX 128

static struct core_node *nodes_find(const struct core *c, const char *name)
{
	for (unsigned i = 0; i < c->n_nodes; i++)
		if (strcmp(c->nodes[i]->shown.name, name) == 0)
			return c->nodes[i];
	return NULL;
}

/* With all places taken, the one that was heard of longest ago makes way. */
static struct core_node *nodes_add(struct core *c, const char *name)
{
	struct core_node *n = NULL;

	if (c->n_nodes < CORE_NODES_MAX) {
		n = malloc(sizeof(*n));
		if (n)
			c->nodes[c->n_nodes++] = n;
	} else {
		for (unsigned i = 1; i < c->n_nodes; i++)
			if (!n || c->nodes[i]->heard < n->heard)
				n = c->nodes[i];
	}
	if (!n)
		return NULL;
	*n = (struct core_node){0};
	snprintf(n->shown.name, sizeof(n->shown.name), "%s", name);
	return n;
}

int nodes_open(struct core *c)
{
	struct core_node *n = nodes_add(c, c->node);

	if (!n)
		return -ENOMEM;
	n->shown.self = n->shown.alive = true;
	n->boot = c->boot;
	n->shown.since_us = clock_us(CLOCK_REALTIME);
	snprintf(n->shown.version, sizeof(n->shown.version), "%s", PACKAGE_VERSION);
	return 0;
}

void nodes_free(struct core *c)
{
	for (unsigned i = 0; i < c->n_nodes; i++)
		free(c->nodes[i]);
	c->n_nodes = 0;
}

bool nodes_is_alive(const struct core *c, const char *name)
{
	const struct core_node *n = nodes_find(c, name);

	return n && n->shown.alive;
}

bool nodes_has_no_letters(const struct core *c, const char *name)
{
	const struct core_node *n = nodes_find(c, name);

	return n && n->shown.alive && n->letters == 0;
}

static void nodes_tell(const struct core_node *n)
{
	const struct log_fields fields = {.message_id = EVENT_NODE, .node = n->shown.name};

	/* Whoever may publish can make up nodes. */
	log_limited(LOG_TOPIC_NODES, LOG_NOTICE, &fields,
		    n->shown.alive ? "cluster: node %s is there"
				   : "cluster: nothing is heard of node %s any more",
		    n->shown.name);
}

/* --- hearing --- */

static bool nodes_parse(const char *text, size_t len, struct core_node *ret)
{
	char copy[NODES_TEXT_MAX], *words[4], *rest, *end;
	const char *letters;
	uint64_t numbers[4];

	if (!wire_words(text, len, copy, sizeof(copy), words, &rest))
		return false;
	for (int i = 1; i < 4; i++) {
		numbers[i] = strtoull(words[i], &end, i == 1 ? 16 : 10);
		if (*end || (i > 1 && numbers[i] > INT64_MAX))
			return false; /* what follows may be of a later version */
	}
	/* Releases before this one don't say that. */
	letters = strsep(&rest, " ");
	if (letters)
		ret->letters = strtoull(letters, NULL, 16);
	for (const char *p = words[0]; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	snprintf(ret->shown.version, sizeof(ret->shown.version), "%s", words[0]);
	ret->boot = numbers[1];
	ret->shown.applied = numbers[2];
	ret->shown.clients = numbers[3] > UINT32_MAX ? UINT32_MAX : (unsigned)numbers[3];
	return true;
}

/* The name at a subject's end; NULL: there is none. */
static const char *nodes_name(const struct core *c, const char *subject)
{
	size_t n = strlen(c->root);

	if (!subject || strncmp(subject, c->root, n) != 0 || strncmp(subject + n, ".beat.", 6) != 0)
		return NULL;
	const char *name = subject + n + 6;
	return *name && strlen(name) <= WIRE_NODE_MAX &&
		       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
			   strlen(name)
		   ? name
		   : NULL;
}

static void nodes_clash(struct core *c)
{
	c->clash_at = c->now;
	snprintf(c->status.why, sizeof(c->status.why), "another node has the name %s, too", c->node);
	if (!core_may_tell(c, &c->clash_told, NODES_CLASH_US))
		return;
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_NODE, .node = c->node},
		  "cluster: there is another node %s; each one needs a name of its own", c->node);
}

void nodes_heard(struct core *c, const char *subject, const char *text, size_t len)
{
	const char *name = nodes_name(c, subject);
	struct core_node said = {0};

	if (!name) /* not about that */
		return;
	if (!nodes_parse(text, len, &said)) {
		c->unread++;
		return;
	}
	struct core_node *n = nodes_find(c, name);
	if (n && n->shown.self) {
		if (said.boot != c->boot)
			nodes_clash(c);
		else
			n->heard = c->now;
		return;
	}
	if (!n && !(n = nodes_add(c, name)))
		return;
	n->heard = c->now;
	n->boot = said.boot;
	n->letters = said.letters;
	letter_nodes_set(rooms_letter_nodes(c->start.rooms), name, n->letters);
	n->shown.seen_us = clock_us(CLOCK_REALTIME);
	n->shown.applied = said.shown.applied;
	n->shown.clients = said.shown.clients;
	memcpy(n->shown.version, said.shown.version, sizeof(n->shown.version));
	if (n->shown.alive)
		return;
	n->shown.alive = true;
	n->shown.since_us = n->shown.seen_us;
	c->agreed_at = 0; /* it wants to hear that */
	nodes_tell(n);
}

/* --- saying --- */

/* It is not heard of any more, or this node isn't. */
static void nodes_look_whether_clash_is_over(struct core *c)
{
	if (c->clash_at == 0 || c->now - c->clash_at < NODES_DEAD_US)
		return;
	c->clash_at = 0;
	if (c->connected)
		c->status.why[0] = '\0';
}

/* What another one has read is in the stream, unless it was said before that lost its end, or was no node's word. */
static uint64_t nodes_last(const struct core *c)
{
	uint64_t last = c->last;

	for (unsigned i = 1; i < c->n_nodes; i++)
		if (c->nodes[i]->shown.alive && c->nodes[i]->shown.applied > last)
			last = c->nodes[i]->shown.applied;
	return last;
}

void nodes_turn(struct core *c)
{
	char subject[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX], text[NODES_TEXT_MAX];

	nodes_look_whether_clash_is_over(c);
	c->status.last = nodes_last(c);
	for (unsigned i = 1; i < c->n_nodes; i++) {
		struct core_node *n = c->nodes[i];
		n->shown.lag = c->status.last > n->shown.applied ? c->status.last - n->shown.applied : 0;
		/* While this node hears of none, they may be there. */
		if (!n->shown.alive || !c->connected || c->now - n->heard < NODES_DEAD_US ||
		    c->now - c->connected_at < NODES_DEAD_US)
			continue;
		n->shown.alive = false;
		agree_forget(c, n->shown.name);
		n->shown.since_us = clock_us(CLOCK_REALTIME);
		nodes_tell(n);
	}
	struct core_node *self = c->nodes[0];
	self->shown.applied = c->read.seq;
	self->shown.lag = c->status.last > c->read.seq ? c->status.last - c->read.seq : 0;
	self->shown.clients = c->clients;
	self->shown.seen_us = clock_us(CLOCK_REALTIME);
	if (!c->connected || c->now - c->beat_at < NODES_BEAT_US)
		return;
	c->beat_at = c->now;
	snprintf(subject, sizeof(subject), "%s.beat.%s", c->root, c->node);
	int n = snprintf(text, sizeof(text), "%s %" PRIx64 " %" PRIu64 " %u %" PRIx64, self->shown.version,
			 c->boot, c->read.seq, c->clients, letters_boot(c));
	(void)!c->start.link.send(c->start.link.arg, subject, text, (size_t)n);
}
