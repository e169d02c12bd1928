/* SPDX-License-Identifier: MIT */
/*
 * Lines that are missing in the stream, as it lost them or they expired. Their node is asked for them by core NATS,
 * and publishes them again if its outgoing log still has them; what came after them is left until then, and the
 * stream is not taken as read beyond it. If they are gone, or the node is, the stream is read again from there with
 * the gap accepted, and people are told.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP_ASK_US 100000
/* For so long lines are waited for: of a node that isn't heard of, and of one that is. */
#define GAP_DEAD_US (5 * SECOND_US)
#define GAP_ALIVE_US (30 * SECOND_US)
#define GAP_TEXT_MAX 256

static bool gap_is(const struct gap *g, const struct channel *ch, const char *node, size_t node_len,
		   uint64_t boot)
{
	return g->ch == ch && g->boot == boot && strlen(g->node) == node_len &&
	       memcmp(g->node, node, node_len) == 0;
}

static struct gap *gap_find(const struct core *c, const struct channel *ch, const char *node, size_t node_len,
			    uint64_t boot)
{
	struct gap *g = c->gaps;

	while (g && !gap_is(g, ch, node, node_len, boot))
		g = g->next;
	return g;
}

static void gap_remove(struct core *c, struct gap *g)
{
	struct gap **p = &c->gaps;

	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	g->ch->n_gaps--;
	free(g);
}

static const struct cluster_position *gap_position(struct core *c, const struct gap *g)
{
	return cluster_file_position(c->start.file, g->ch->room, g->node, strlen(g->node), g->boot);
}

struct cluster_applied gap_applied(const struct core *c)
{
	/* What is read from the beginning is read from there again, until all of it was. */
	struct cluster_applied a = c->rolled_back ? (struct cluster_applied){0, 0} : c->read;

	if (c->n_misused > 0 && c->misused_before.seq < a.seq)
		a = c->misused_before;
	for (const struct gap *g = c->gaps; g; g = g->next)
		if (g->before.seq < a.seq)
			a = g->before;
	return a;
}

static void gap_tell(struct core *c, struct channel *ch, const char *node, uint64_t n)
{
	char text[128];

	c->status.gaps += n;
	snprintf(text, sizeof(text), "%" PRIu64 " line%s of node %s %s missing here.", n, n == 1 ? "" : "s",
		 node, n == 1 ? "is" : "are");
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_GAP, .room = ch->room, .node = node},
		  "cluster: %s", text);
	away_note(c, ch->main, text);
	FAULT("cluster-gap-told");
}

void gap_give_up(struct core *c, struct channel *ch, const char *node, const struct cluster_position *p,
		 uint64_t next)
{
	gap_tell(c, ch, node, next - p->expected);
	cluster_file_move(c->start.file, p, next, p->echoed, cluster_file_applied(c->start.file));
}

static struct gap *gap_add(struct core *c, struct channel *ch, const struct wire_batch *b)
{
	struct gap *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->ch = ch;
	memcpy(g->node, b->node, b->node_len);
	g->boot = b->boot;
	g->next_line = b->first;
	g->before = cluster_file_applied(c->start.file);
	g->began = c->now;
	g->expected = c->has_holes;
	g->next = c->gaps;
	c->gaps = g;
	ch->n_gaps++;
	return g;
}

/* By more than a log has, although the stream has lost nothing: no node counts so. */
static bool gap_is_wild(const struct channel *ch, const struct cluster_position *p, uint64_t next)
{
	return next - p->expected > logring_size(ch->main->log) / LOGRING_BYTES_PER_RECORD;
}

bool gap_found(struct core *c, struct channel *ch, const struct wire_batch *b,
	       const struct cluster_position *p)
{
	struct gap *g = gap_find(c, ch, b->node, b->node_len, b->boot);

	/* One's own of before have nobody left who could say them again. */
	if (b->node_len == c->node_len && memcmp(b->node, c->node, c->node_len) == 0) {
		if (!c->has_holes && gap_is_wild(ch, p, b->first)) {
			c->refused++;
			return false;
		}
		gap_give_up(c, ch, c->node, p, b->first);
		return true;
	}
	if (!g)
		g = gap_add(c, ch, b);
	if (!g)
		return false; /* the next message finds it again */
	if (b->first < g->next_line)
		g->next_line = b->first;
	if (b->first + b->count > g->end)
		g->end = b->first + b->count;
	return false;
}

void gap_filled(struct core *c, struct channel *ch, const struct wire_batch *b, uint64_t end)
{
	struct gap *g = c->gaps ? gap_find(c, ch, b->node, b->node_len, b->boot) : NULL;

	if (!g || end < g->end)
		return;
	gap_remove(c, g);
	cluster_file_set_applied(c->start.file, gap_applied(c));
}

void gaps_free(struct core *c)
{
	while (c->gaps)
		gap_remove(c, c->gaps);
}

/* --- asking --- */

static void gap_ask(struct core *c, struct gap *g)
{
	char subject[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX], text[GAP_TEXT_MAX], token[WIRE_TOKEN_MAX];
	const struct cluster_position *p = gap_position(c, g);

	g->asked = c->now;
	if (!p)
		return;
	snprintf(subject, sizeof(subject), "%s.nak.%s", c->root, g->node);
	int n = snprintf(text, sizeof(text), "%s %" PRIx64 " %" PRIu64 " %s", wire_token(g->ch->room, token),
			 g->boot, p->expected, c->node);
	(void)!c->start.link.send(c->start.link.arg, subject, text, (size_t)n);
}

/* The lines that are missing are given up, and the stream is read again from there. */
static void gap_accept(struct core *c, struct gap *g)
{
	const struct cluster_position *p = gap_position(c, g);

	if (p && channel_hold(c, g->ch))
		gap_give_up(c, g->ch, g->node, p, g->next_line);
	FAULT("cluster-gap-accepted");
	c->read = g->before;
	gap_remove(c, g);
	core_read_again(c);
}

/* What is beyond it was never said, and is passed over. What is said from where the node is comes all the same. */
static void gap_drop(struct core *c, struct gap *g)
{
	c->refused++;
	log_limited(
	    LOG_TOPIC_CLUSTER, LOG_ERR,
	    &(struct log_fields){.message_id = EVENT_NODE, .room = g->ch->room, .node = g->node},
	    "cluster: there are lines in the name of node %s that it can't have said, or doesn't speak "
	    "of; they are passed over",
	    g->node);
	gap_remove(c, g);
	FAULT("cluster-gap-dropped");
	cluster_file_set_applied(c->start.file, gap_applied(c));
}

/* Nobody says what became of the lines. */
static void gap_end(struct core *c, struct gap *g)
{
	const struct cluster_position *p = gap_position(c, g);

	if (p && !g->expected && channel_hold(c, g->ch) && gap_is_wild(g->ch, p, g->next_line))
		gap_drop(c, g);
	else
		gap_accept(c, g);
}

void gaps_turn(struct core *c)
{
	if (!c->subscribed)
		return;
	for (struct gap *g = c->gaps; g; g = g->next) {
		int64_t patience = nodes_is_alive(c, g->node) ? GAP_ALIVE_US : GAP_DEAD_US;
		if (c->now - g->began > patience) {
			gap_end(c, g);
			return;
		}
		if (c->now - g->asked >= GAP_ASK_US)
			gap_ask(c, g);
	}
}

/*
 * --- what nodes send each other of it: "ROOM BOOT NUMBER NODE" ---
 *
 * To chatd.nak.<node>: NODE misses the lines from that number on. To chatd.gone.<node>: NODE has none before that
 * number; if it is the one that was asked for, there are none at all.
 */

struct gap_words {
	char room[TEXT_ROOM_MAX + 1];
	char node[WIRE_NODE_MAX + 1];
	uint64_t boot, number;
};

static bool gap_read(const char *text, size_t len, struct gap_words *ret)
{
	char copy[GAP_TEXT_MAX], *words[4], *rest, *end;

	if (!wire_words(text, len, copy, sizeof(copy), words, &rest) || rest ||
	    !wire_room(words[0], strlen(words[0]), ret->room))
		return false;
	ret->boot = strtoull(words[1], &end, 16);
	if (*end)
		return false;
	ret->number = strtoull(words[2], &end, 10);
	if (*end || strlen(words[3]) > WIRE_NODE_MAX || strpbrk(words[3], ".*> "))
		return false;
	memcpy(ret->node, words[3], strlen(words[3]) + 1);
	return true;
}

/* Tells the node who asked from which number on there are lines. */
static void gap_answer(struct core *c, const struct gap_words *asked, uint64_t from)
{
	char subject[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX], text[GAP_TEXT_MAX], token[WIRE_TOKEN_MAX];

	snprintf(subject, sizeof(subject), "%s.gone.%s", c->root, asked->node);
	int n = snprintf(text, sizeof(text), "%s %" PRIx64 " %" PRIu64 " %s", wire_token(asked->room, token),
			 asked->boot, from, c->node);
	(void)!c->start.link.send(c->start.link.arg, subject, text, (size_t)n);
}

/* Nothing was said here from that number on. */
static bool gap_is_of_nothing(const struct core *c, const struct channel *ch, const struct gap_words *w)
{
	uint64_t end;

	if (w->boot == ch->boot.boot)
		return w->number >= logring_count(ch->out->log);
	return boots_was(c->start.file, c->node, w->room, w->boot, &end) && w->number >= end;
}

void gap_asked(struct core *c, const char *text, size_t len)
{
	struct gap_words w;

	if (!gap_read(text, len, &w)) {
		c->unread++;
		return;
	}
	struct channel *ch = channel_known(c, w.room);
	if (ch && !channel_hold(c, ch))
		ch = NULL;
	if (ch && gap_is_of_nothing(c, ch, &w)) {
		gap_answer(c, &w, w.number);
		return;
	}
	if (!ch || ch->boot.boot != w.boot) {
		gap_answer(c, &w, UINT64_MAX);
		return;
	}
	if (w.number >= ch->low || ch->misused)
		return; /* it is going to come */
	uint64_t oldest = channel_oldest(c, ch);
	if (oldest < ch->boot.from)
		oldest = ch->boot.from;
	if (w.number < oldest) {
		gap_answer(c, &w, oldest);
		return;
	}
	ch->low = w.number;
	channel_go_back(ch, c->now);
	channel_look(c, ch);
}

void gap_gone(struct core *c, const char *text, size_t len)
{
	struct gap_words w;

	if (!gap_read(text, len, &w)) {
		c->unread++;
		return;
	}
	struct channel *ch = channel_known(c, w.room);
	struct gap *g = ch && c->subscribed ? gap_find(c, ch, w.node, strlen(w.node), w.boot) : NULL;
	const struct cluster_position *p = g && channel_hold(c, ch) ? gap_position(c, g) : NULL;
	if (!p || w.number < p->expected)
		return;
	if (w.number == p->expected)
		gap_drop(c, g);
	else if (w.number >= g->next_line)
		gap_accept(c, g);
	else
		gap_give_up(c, ch, g->node, p, w.number);
}
