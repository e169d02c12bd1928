/* SPDX-License-Identifier: MIT */
/*
 * Private messages that come from other nodes (letters.c): each is put into the private log, in one step with the
 * number of the next one. Its receiver must be the client that the sender meant, with that nick still. If it isn't,
 * that is noted for good before it is answered: the position's echoed is its number plus 1 then, as expected is,
 * and nothing behind it is taken before the sender's node knows.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/letter.h"
#include "daemon/rooms/roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAILBOX_TEXT_MAX 256

enum mailbox_result { MAILBOX_TOOK, MAILBOX_GONE, MAILBOX_BUSY };

static void mailbox_answer(struct core *c, const struct wire_batch *b, uint64_t number,
			   enum mailbox_result result)
{
	static const char *const words[] = {
	    [MAILBOX_TOOK] = "took", [MAILBOX_GONE] = "gone", [MAILBOX_BUSY] = "busy"};
	char subject[CORE_ROOT_MAX + 8 + WIRE_NODE_MAX], text[MAILBOX_TEXT_MAX];

	snprintf(subject, sizeof(subject), "%s.took.%.*s", c->root, (int)b->node_len, b->node);
	int n = snprintf(text, sizeof(text), "%" PRIx64 " %" PRIu64 " %s %s", b->boot, number, c->node,
			 words[result]);
	FAULT("cluster-letters-answer");
	(void)!c->start.link.send(c->start.link.arg, subject, text, (size_t)n);
}

/* Of a message the receiver here, of what comes back its sender. */
static bool mailbox_find(const struct core *c, const struct letter *letter, struct speech_peer *ret)
{
	const struct letter_address *to = &letter->to;

	if (strcmp(to->node, c->node) != 0 || (to->boot && to->boot != letters_boot(c)))
		return false;
	*ret = (struct speech_peer){to->id, to->index};
	if (letter->is_return)
		return true; /* if it is gone, nobody gets it */
	return c->start.roster &&
	       roster_find(c->start.roster, to->nick, to->nick_len, &ret->id, &ret->index) &&
	       ret->id == to->id;
}

static void mailbox_put(struct speech *s, struct room *private, const struct speech_event *e,
			const struct letter *letter, const struct speech_peer *to, uint64_t from)
{
	const struct speaker who = {.id = e->sender,
				    .index = letter->from_index,
				    .from = from,
				    .nick = letter->from,
				    .nick_len = letter->from_len};
	char text[TEXT_NICK_MAX + 80];

	if (!letter->is_return) {
		speech_tell(s, private, &who, to, letter->text, letter->text_len);
		return;
	}
	snprintf(text, sizeof(text), "Your message to %.*s could not be delivered: too much waits there.",
		 (int)letter->from_len, letter->from);
	speech_note_to(s, private, to, text);
}

/* Line n of a batch. */
static enum mailbox_result mailbox_take_line(struct core *c, const struct wire_batch *b,
					     const struct cluster_position *p, uint64_t n,
					     const struct speech_event *e)
{
	struct room *private = rooms_private(c->start.rooms);
	struct speech_peer to;
	struct letter letter;
	struct speech s = {0};

	if (!e || !letter_read(e, &letter) || !mailbox_find(c, &letter, &to)) {
		cluster_file_move(c->start.file, p, n + 1, n + 1, cluster_file_applied(c->start.file));
		FAULT("cluster-letter-refused");
		return MAILBOX_GONE;
	}
	if (room_log_is_crowded(c->start.rooms, private))
		return MAILBOX_BUSY;
	mailbox_put(&s, private, e, &letter, &to, letter_tag(b->node, b->node_len, b->boot));
	letters_commit(c, &s, p, n + 1, 0);
	return MAILBOX_TOOK;
}

void mailbox_take(struct core *c, const char *data, size_t len)
{
	enum mailbox_result result = MAILBOX_TOOK;
	struct speech_event event;
	struct wire_batch b;
	enum wire_next next;

	if (wire_open(data, len, &b) < 0 ||
	    (b.node_len == c->node_len && memcmp(b.node, c->node, b.node_len) == 0)) {
		c->refused++;
		return;
	}
	const struct cluster_position *p =
	    cluster_file_position(c->start.file, "", b.node, b.node_len, b.boot);
	if (!p) {
		c->refused++;
		return;
	}
	/* It may not know yet that the last one was not delivered. */
	if (b.first < p->expected && p->echoed == p->expected) {
		mailbox_answer(c, &b, p->expected - 1, MAILBOX_GONE);
		return;
	}
	uint64_t n = b.first;
	for (; result == MAILBOX_TOOK && (next = wire_next(&b, &event)) != WIRE_END; n++)
		if (n >= p->expected)
			result = mailbox_take_line(c, &b, p, n, next == WIRE_EVENT ? &event : NULL);
	mailbox_answer(c, &b, result == MAILBOX_GONE ? p->expected - 1 : p->expected, result);
}
