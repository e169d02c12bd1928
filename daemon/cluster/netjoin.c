/* SPDX-License-Identifier: MIT */
/*
 * Who was told to be gone with a node, and is there again as the node is: IRC has that as a netjoin. Nothing is kept for it
 * but what the room's log says, so it is the same for a process that didn't tell of the one or the other.
 */
#include "daemon/cluster/core.h"

#include "common/cleanup.h"
#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/logring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So far back it is looked for: some milliseconds. */
#define NETJOIN_RECORDS (1U << 17)
#define NETJOIN_TEXT (64 + ELSEWHERE_NODE_MAX + SPEECH_BACK_MAX * (TEXT_NICK_MAX + 2))

struct netjoin_one {
	const struct elsewhere_nick *who;
	bool decided; /* by something newer */
	bool back;
};

struct netjoin {
	const char *node;
	struct netjoin_one *all; /* sorted by nick */
	size_t n, undecided;
};

static int netjoin_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return r != 0 ? r : (a_len > b_len) - (a_len < b_len);
}

static int netjoin_compare(const void *a, const void *b)
{
	const struct elsewhere_nick *x = ((const struct netjoin_one *)a)->who;
	const struct elsewhere_nick *y = ((const struct netjoin_one *)b)->who;

	return netjoin_order(x->nick, x->len, y->nick, y->len);
}

static struct netjoin_one *netjoin_find(const struct netjoin *j, const char *nick, size_t len)
{
	struct elsewhere_nick who = {.len = (uint8_t)len};
	const struct netjoin_one key = {.who = &who};

	if (len > TEXT_NICK_MAX)
		return NULL;
	memcpy(who.nick, nick, len);
	return bsearch(&key, j->all, j->n, sizeof(*j->all), netjoin_compare);
}

/* gone_us: 0: it is there. Who has the nick only since then came anew, and that is told by itself. */
static void netjoin_decide(struct netjoin *j, const char *nick, size_t len, uint64_t gone_us)
{
	struct netjoin_one *one = netjoin_find(j, nick, len);

	if (!one || one->decided)
		return;
	one->decided = true;
	one->back = gone_us > 0 && one->who->since_us < (int64_t)gone_us;
	j->undecided--;
}

static void netjoin_read(struct netjoin *j, const struct speech_event *e)
{
	const char *node, *nicks, *one;
	size_t node_len, len, one_len;
	bool back = speech_back_of(e->text, e->text_len, &node, &node_len, &nicks, &len);

	if (!back && !speech_gone_of(e->text, e->text_len, &node, &node_len, &nicks, &len))
		return;
	if (netjoin_order(node, node_len, j->node, strlen(j->node)) != 0)
		return;
	while ((one = speech_next_of(&nicks, &len, &one_len)))
		netjoin_decide(j, one, one_len, back ? 0 : e->time_us);
}

static void netjoin_look(struct netjoin *j, struct logring *log)
{
	struct logring_view v;
	struct speech_event e;

	logring_lock(log);
	logring_peek(log, &v);
	uint64_t end = v.count - v.first > NETJOIN_RECORDS ? v.count - NETJOIN_RECORDS : v.first;
	for (uint64_t seq = v.count; seq > end && j->undecided > 0;) {
		const struct record *r = logring_record(log, --seq);
		if (r->forgotten || (r->kind != RECORD_JOIN && r->kind != RECORD_GONE))
			continue;
		speech_event_at(log, &v, seq, &e);
		if (e.kind == RECORD_JOIN)
			netjoin_decide(j, e.nick, e.nick_len, 0);
		else
			netjoin_read(j, &e);
	}
	logring_unlock(log);
}

static void netjoin_say(struct core *c, struct room *room, const struct netjoin *j)
{
	char text[NETJOIN_TEXT];
	size_t len = 0;
	unsigned n = 0;

	for (size_t i = 0; i < j->n && room_announces(room); i++) {
		const struct elsewhere_nick *who = j->all[i].who;
		if (j->all[i].back) {
			len += n > 0 ? (size_t)snprintf(text + len, sizeof(text) - len, ", ")
				     : (size_t)snprintf(text, sizeof(text), "Back on node %s: ", j->node);
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s", who->len, who->nick);
			n++;
		}
		if (n < SPEECH_BACK_MAX && (n == 0 || i + 1 < j->n))
			continue;
		snprintf(text + len, sizeof(text) - len, ".");
		away_put(c, room, speech_gone, text);
		len = n = 0;
	}
}

void netjoin_tell(struct core *c, struct room *room, const char *node, const struct elsewhere_nick *nicks,
		  unsigned n)
{
	_cleanup_free_ struct netjoin_one *all = calloc(n, sizeof(*all));
	struct netjoin j = {.node = node, .all = all, .n = n, .undecided = n};

	if (!all || !room_announces(room))
		return;
	for (unsigned i = 0; i < n; i++)
		all[i].who = &nicks[i];
	qsort(all, n, sizeof(*all), netjoin_compare);
	netjoin_look(&j, room->log);
	netjoin_say(c, room, &j);
}
