/* SPDX-License-Identifier: MIT */
/*
 * Private messages to people on other nodes, from the log of letters (rooms/letter.h) to the node of each, by core
 * NATS: nothing of them is ever stored there. What is not answered is sent again, and the receiver knows by the
 * numbers what it has.
 *
 *	ROOT.to.NODE	a batch as wire.h has it, of letters to that node that stand side by side in the log
 *	ROOT.took.NODE	"BOOT NUMBER NODE took": all below that number is there, or came back
 *			"BOOT NUMBER NODE gone": all below is there, and that one can't be delivered, for good
 *			"BOOT NUMBER NODE busy": all below is there, and the rest later
 *
 * Of each node one batch is under way, so lines come there in their order. Whoever takes some notes it before it
 * answers (mailbox.c), and that a line can't be delivered is decided once. What was decided here is noted as well, in a
 * position of the file for each node: expected is the first line that isn't settled, and of those up to echoed the
 * senders were told that they wait. The position of this node itself says up to where all are settled.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/letter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS_RETRY_US 250000
/* Without an answer for so long while there is a connection, nothing is waited for any more. */
#define LETTERS_LOST_US (60 * SECOND_US)
#define LETTERS_TELL_US SECOND_US
/* So many are told of, or given up, in one turn. */
#define LETTERS_BURST 64
#define LETTERS_NONE UINT64_MAX
#define LETTERS_TEXT_MAX 256

/* A node that letters are for. */
struct letters_to {
	struct letters_to *next;
	char node[WIRE_NODE_MAX + 1];
	uint64_t acked;	 /* all below are settled */
	uint64_t first;	 /* the first one that isn't, or none is known */
	uint64_t n;	 /* how many aren't */
	int64_t sent_at; /* 0: it is to be sent now */
	int64_t since;	 /* when it last answered, or the first one was put */
};

struct letters {
	struct room *room; /* which stays as long as there is a cluster */
	uint64_t boot;
	const struct cluster_position *own;
	uint64_t low;  /* all below are settled */
	uint64_t seen; /* those from here on were not looked at */
	uint64_t marked;
	struct letters_to *to;
};

/* --- their log --- */

/* The first line from n on that is for that node; of those before end. */
static uint64_t letters_find(const struct core *c, const struct letters_to *to, uint64_t n, uint64_t end)
{
	const struct letters *l = c->letters;
	struct speech_event e;
	struct logring_view v;

	logring_pin(l->room->log, c->start.slot, &v);
	for (n = n < v.first ? v.first : n; n < end; n++) {
		speech_event_at(l->room->log, &v, n, &e);
		if (letter_is_to(&e, to->node, strlen(to->node)))
			break;
	}
	logring_unpin(l->room->log, c->start.slot);
	return n < end ? n : LETTERS_NONE;
}

static const struct cluster_position *letters_position(const struct core *c, const char *node)
{
	return cluster_file_position(c->start.file, "", node, strlen(node), c->letters->boot);
}

static struct letters_to *letters_known(const struct letters *l, const char *node)
{
	struct letters_to *to = l->to;

	while (to && strcmp(to->node, node) != 0)
		to = to->next;
	return to;
}

static struct letters_to *letters_to(struct core *c, const char *node)
{
	struct letters_to *to = letters_known(c->letters, node);

	if (to)
		return to;
	const struct cluster_position *p = letters_position(c, node);
	to = p ? calloc(1, sizeof(*to)) : NULL;
	if (!to)
		return NULL;
	snprintf(to->node, sizeof(to->node), "%s", node);
	to->acked = p->expected;
	to->first = LETTERS_NONE;
	to->next = c->letters->to;
	c->letters->to = to;
	return to;
}

static void letters_note(struct core *c, struct letters_to *to, uint64_t n)
{
	if (n < to->acked)
		return;
	to->n++;
	if (to->first != LETTERS_NONE)
		return;
	to->first = n;
	to->since = c->now;
	to->sent_at = 0;
}

/* What was put since the last time. */
static void letters_look(struct core *c)
{
	struct letters *l = c->letters;
	uint64_t count = logring_count(l->room->log);
	struct speech_event e;
	struct letter letter;
	struct logring_view v;

	for (; l->seen < count; l->seen++) {
		logring_pin(l->room->log, c->start.slot, &v);
		bool is_one = l->seen >= v.first;
		if (is_one) {
			speech_event_at(l->room->log, &v, l->seen, &e);
			is_one = letter_read(&e, &letter) && strcmp(letter.to.node, c->node) != 0;
		}
		logring_unpin(l->room->log, c->start.slot);
		struct letters_to *to = is_one ? letters_to(c, letter.to.node) : NULL;
		if (is_one && !to)
			return; /* without memory; later */
		if (to)
			letters_note(c, to, l->seen);
		else
			c->refused++;
	}
}

/* All below the first line that isn't settled may go. */
static void letters_settle(struct core *c)
{
	struct letters *l = c->letters;
	uint64_t low = l->seen;
	struct logring_view v;

	for (const struct letters_to *to = l->to; to; to = to->next)
		if (to->first < low)
			low = to->first;
	if (low <= l->low)
		return;
	cluster_file_move(c->start.file, l->own, low, low, cluster_file_applied(c->start.file));
	FAULT("cluster-letters-settled");
	l->low = low;
	logring_pin(l->room->log, c->start.slot, &v);
	uint64_t pos = low < v.first ? v.floor : logring_start(l->room->log, &v, low);
	logring_unpin(l->room->log, c->start.slot);
	logring_flushed_to(l->room->log, c->start.slot, pos, low);
}

int letters_open(struct core *c)
{
	struct letters *l = calloc(1, sizeof(*l));
	uint64_t count;

	if (!l)
		return -ENOMEM;
	c->letters = l;
	l->room = rooms_letters(c->start.rooms);
	l->boot = l->room->epoch;
	l->own = letters_position(c, c->node);
	if (!l->own)
		return -ENOSPC;
	count = logring_count(l->room->log);
	l->seen = l->own->expected < count ? l->own->expected : count;
	letters_look(c);
	letters_settle(c);
	return 0;
}

void letters_free(struct core *c)
{
	struct letters *l = c->letters;

	for (struct letters_to *next; l && l->to; l->to = next) {
		next = l->to->next;
		free(l->to);
	}
	free(l);
	c->letters = NULL;
}

uint64_t letters_boot(const struct core *c)
{
	return c->letters->boot;
}

/* --- what becomes of them --- */

void letters_commit(struct core *c, struct speech *s, const struct cluster_position *p, uint64_t expected,
		    uint64_t echoed)
{
	const struct cluster_applied applied = cluster_file_applied(c->start.file);

	cluster_file_intend(c->start.file, s->room, logring_pending(s->room->log), p, expected, echoed,
			    applied);
	FAULT("cluster-letter-intent");
	speech_commit(s, c->start.rooms, c->start.kick);
	FAULT("cluster-letter-committed");
	cluster_file_done(c->start.file);
	FAULT("cluster-letter-done");
	rooms_kick(c->start.rooms, c->start.kick, c->start.slot);
}

/* Those below number are settled, as is noted already. */
static void letters_advance(struct core *c, struct letters_to *to, uint64_t number)
{
	uint64_t n = to->first;

	while (n < number) {
		to->n--;
		n = letters_find(c, to, n + 1, c->letters->seen);
	}
	to->first = n;
	to->acked = number;
	to->sent_at = 0;
}

/*
 * Tells the sender of line n what becomes of it, which is noted in the same step: that the line is settled, and all
 * before it, or that the sender was told. False: not now. format: of the receiver's nick and of the node.
 */
__attribute__((format(printf, 5, 0))) static bool letters_tell(struct core *c, const struct letters_to *to,
							       uint64_t n, bool settled, const char *format)
{
	struct room *private = rooms_private(c->start.rooms);
	const struct cluster_position *p = letters_position(c, to->node);
	uint64_t expected = settled ? n + 1 : to->acked;
	char text[LETTERS_TEXT_MAX] = "";
	struct speech_peer peer = {0, 0};
	struct speech_event e;
	struct letter letter;
	struct logring_view v;
	struct speech s = {0};

	if (!p || room_log_is_crowded(c->start.rooms, private))
		return false;
	logring_pin(c->letters->room->log, c->start.slot, &v);
	const struct record *r = speech_event_at(c->letters->room->log, &v, n, &e);
	if (letter_read(&e, &letter) && !letter.is_return && r->sender_index > 0) {
		peer = (struct speech_peer){r->sender, r->sender_index - 1};
		snprintf(text, sizeof(text), format, (int)letter.to.nick_len, letter.to.nick, to->node);
	}
	logring_unpin(c->letters->room->log, c->start.slot);
	uint64_t told = p->echoed > n + 1 ? p->echoed : n + 1;
	if (!*text) { /* what comes back has nobody who could be told */
		cluster_file_move(c->start.file, p, expected, told, cluster_file_applied(c->start.file));
		return true;
	}
	speech_note_to(&s, private, &peer, text);
	letters_commit(c, &s, p, expected, told);
	return true;
}

/* The first line that isn't settled won't be. False: not now. */
__attribute__((format(printf, 3, 0))) static bool letters_give_back(struct core *c, struct letters_to *to,
								    const char *format)
{
	uint64_t n = to->first;

	if (!letters_tell(c, to, n, true, format))
		return false;
	letters_advance(c, to, n + 1);
	return true;
}

/* Somebody waits for longer than it takes when all is well. */
static void letters_tell_waiting(struct core *c, struct letters_to *to)
{
	const struct cluster_position *p = letters_position(c, to->node);
	uint64_t n = p ? p->echoed : 0;

	if (!p || c->now - to->since < LETTERS_TELL_US)
		return;
	n = letters_find(c, to, n > to->first ? n : to->first, c->letters->seen);
	for (unsigned i = 0; i < LETTERS_BURST && n != LETTERS_NONE; i++) {
		if (!letters_tell(c, to, n, false, "Your message to %.*s waits: node %s can't be reached."))
			return;
		n = letters_find(c, to, n + 1, c->letters->seen);
	}
}

/* --- sending --- */

/* Returns the length of a batch from the first line on, in the core's buffer. */
static size_t letters_pack(struct core *c, const struct letters_to *to)
{
	const struct letters *l = c->letters;
	struct speech_event e;
	struct wire_writer w;
	struct logring_view v;
	uint64_t n = to->first;

	wire_begin(&w, c->batch, sizeof(c->batch), c->node, l->boot, n);
	logring_pin(l->room->log, c->start.slot, &v);
	for (; n < l->seen; n++) {
		speech_event_at(l->room->log, &v, n, &e);
		if ((n > to->first && w.len + e.nick_len + e.text_len > c->batch_max) ||
		    !letter_is_to(&e, to->node, strlen(to->node)) || !wire_add(&w, &e))
			break;
	}
	logring_unpin(l->room->log, c->start.slot);
	return wire_end(&w);
}

static void letters_send(struct core *c, struct letters_to *to)
{
	char subject[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX];

	if (!c->connected || (to->sent_at && c->now - to->sent_at < LETTERS_RETRY_US))
		return;
	size_t len = letters_pack(c, to);
	to->sent_at = c->now;
	snprintf(subject, sizeof(subject), "%s.to.%s", c->root, to->node);
	FAULT("cluster-letters-packed");
	int r = c->start.link.send(c->start.link.arg, subject, c->batch, len);
	FAULT("cluster-letters-sent");
	if (r != -EMSGSIZE)
		return;
	to->sent_at = 0;
	if (c->batch_max > CORE_BATCH_MIN)
		c->batch_max /= 2;
	else
		(void)letters_give_back(c, to,
					"Your message to %.*s could not be delivered: it is too long for the "
					"way to node %s.");
}

/* Whether nothing is going to come of them any more; then they are settled. */
static bool letters_are_lost(struct core *c, struct letters_to *to)
{
	const char *format = LETTER_DOUBT "node %s is gone.";
	int64_t since = to->since > c->connected_at ? to->since : c->connected_at;

	if (!c->connected)
		return false;
	if (nodes_has_no_letters(c, to->node))
		format =
		    "Your message to %.*s could not be delivered: node %s doesn't take private messages yet.";
	else if (c->now - since < LETTERS_LOST_US)
		return false;
	for (unsigned i = 0; i < LETTERS_BURST && to->first != LETTERS_NONE; i++)
		if (!letters_give_back(c, to, format))
			break;
	return true;
}

void letters_turn(struct core *c)
{
	for (struct letters_to *to = c->letters->to; to; to = to->next) {
		if (to->first == LETTERS_NONE || letters_are_lost(c, to))
			continue;
		letters_tell_waiting(c, to);
		letters_send(c, to);
	}
	letters_settle(c);
}

bool letters_put(struct core *c, uint32_t index)
{
	if (index != c->letters->room->index)
		return false;
	letters_look(c);
	return true;
}

/* --- answers --- */

struct letters_answer {
	uint64_t boot, number;
	char node[WIRE_NODE_MAX + 1], what[8];
};

static bool letters_read_answer(const char *text, size_t len, struct letters_answer *ret)
{
	char copy[LETTERS_TEXT_MAX], *words[4], *rest, *end;

	if (!wire_words(text, len, copy, sizeof(copy), words, &rest))
		return false;
	ret->boot = strtoull(words[0], &end, 16);
	if (*end)
		return false;
	ret->number = strtoull(words[1], &end, 10);
	if (*end || strlen(words[2]) > WIRE_NODE_MAX || strlen(words[3]) >= sizeof(ret->what))
		return false;
	strcpy(ret->node, words[2]);
	strcpy(ret->what, words[3]);
	return true;
}

static void letters_took(struct core *c, struct letters_to *to, uint64_t number)
{
	const struct cluster_position *p = letters_position(c, to->node);

	if (!p || number <= to->first)
		return;
	cluster_file_move(c->start.file, p, number, p->echoed, cluster_file_applied(c->start.file));
	FAULT("cluster-letters-took");
	letters_advance(c, to, number);
}

void letters_answered(struct core *c, const char *text, size_t len)
{
	struct letters_answer a;

	if (!letters_read_answer(text, len, &a) || a.boot != c->letters->boot)
		return;
	struct letters_to *to = letters_known(c->letters, a.node);
	bool gone = strcmp(a.what, "gone") == 0;
	if (!to || to->first == LETTERS_NONE || a.number < to->first || a.number > c->letters->seen ||
	    (gone && letters_find(c, to, a.number, a.number + 1) != a.number))
		return; /* it is settled, or nothing that was sent */
	to->since = c->now;
	letters_took(c, to, a.number);
	if (gone)
		(void)letters_give_back(
		    c, to, "Your message to %.*s could not be delivered: nobody of that name is on node %s.");
	if (strcmp(a.what, "busy") == 0)
		to->sent_at = c->now;
}

/* --- what waits --- */

uint64_t letters_waiting(const struct core *c)
{
	uint64_t n = 0;

	for (const struct letters_to *to = c->letters->to; to; to = to->next)
		n += to->n;
	return n;
}

void letters_mark(struct core *c)
{
	c->letters->marked = logring_count(c->letters->room->log);
}

bool letters_is_waiting(const struct core *c)
{
	for (const struct letters_to *to = c->letters->to; to; to = to->next)
		if (to->first < c->letters->marked && nodes_is_alive(c, to->node))
			return true;
	return false;
}
