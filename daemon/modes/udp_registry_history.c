/* SPDX-License-Identifier: MIT */
/*
 * #HISTORY of a UDP registry: what was said before, for members who show with the question that they receive at their
 * address. A registration isn't enough for that, as anybody may send in a registered address's name, and the answer is far
 * longer than the question.
 */
#include "daemon/base/clock.h"
#include "daemon/engine/limits.h"
#include "daemon/history/archive.h"
#include "daemon/modes/past.h"
#include "daemon/modes/udp_registry.h"
#include "daemon/net/cookie.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REGISTRY_HISTORY_LINES 20
#define REGISTRY_HISTORY_MAX 100
/* Of commands_per_second, as over TCP. */
#define REGISTRY_HISTORY_COST 4

static void registry_say_all(struct udp_listener *u, const struct member *m, const char *text, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) + 1 : len;
		udp_say(u, &m->address, &m->local, text, n);
		text += n;
		len -= n;
	}
}

/* The lines, and how many they are. False: the log doesn't have all of them, and nothing was sent. */
static bool registry_tell_past(struct udp_listener *u, const struct member *m, unsigned lines,
			       uint64_t before, const struct answer *a, bool log_will_do)
{
	struct registry *g = udp_data(u);
	struct past p = {.style = PAST_DATAGRAM, .wanted = lines, .before = before, .space = PAST_LINE_MAX};
	char end[64];

	logring_lock(g->room->log);
	int r = past_collect(&p, g->room, a);
	logring_unlock(g->room->log);
	bool done = r < 0 || log_will_do || p.more;
	if (done) {
		registry_say_all(u, m, p.text, p.len);
		int n = p.more && p.n > 0
			    ? snprintf(end, sizeof(end), "#END %u before:%" PRIu64 "\n", p.n, p.oldest)
			    : snprintf(end, sizeof(end), "#END %u\n", p.n);
		udp_say(u, &m->address, &m->local, end, (size_t)n);
	}
	past_free(&p);
	return done;
}

static void registry_fail(struct udp_listener *u, const struct member *m, const char *why)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "#ERR %s\n", why);

	udp_say(u, &m->address, &m->local, text, (size_t)n);
}

/* On the listener's worker. */
static void registry_answered(struct context *ctx, struct question *q)
{
	struct udp_listener *u = question_who(q)->user;
	const struct registry *g = udp_data(u);
	struct member *m = members_at(g->members, question_who(q)->index);
	const struct question_request *r = question_request(q);
	const struct answer *a = question_answer(q);

	(void)ctx;
	m->asked = NULL;
	if (a->error < 0 && a->error != -ETIME)
		registry_fail(u, m,
			      a->error == -EBUSY ? "too many are asking" : "what is stored can't be read");
	registry_tell_past(u, m, r->query.limit, r->before_number, a, true);
	question_drop(q);
}

static const char *registry_ask_history(struct udp_listener *u, struct member *m, unsigned lines,
					uint64_t before)
{
	const struct registry *g = udp_data(u);
	const struct question_caller caller = {.w = context_worker(registry_context(u)),
					       .answered = registry_answered,
					       .user = u,
					       .address = &m->address,
					       .index = m->index,
					       .id = m->client->id};
	const struct question_request request = {.query = {.room = g->room->name, .limit = lines},
						 .before_number = before,
						 .bytes = PAST_LINE_MAX};
	int r = question_ask(registry_shared(u)->questions, &caller, &request, &m->asked);

	return r == 0 ? NULL : r == -EBUSY ? "too many are asking" : "not now";
}

/* "N", "before:N" and a cookie, in any order. */
struct registry_wish {
	unsigned lines;
	uint64_t before;
	struct registry_word cookie;
};

static bool registry_read_lines(const struct registry_word *w, unsigned *ret)
{
	unsigned v = 0;

	if (w->len >= COOKIE_LEN)
		return false; /* a cookie may be of digits only */
	for (size_t i = 0; i < w->len; i++) {
		if (w->at[i] < '0' || w->at[i] > '9')
			return false;
		v = v * 10 + (unsigned)(w->at[i] - '0');
	}
	*ret = v > 0 && v < REGISTRY_HISTORY_MAX ? v : REGISTRY_HISTORY_MAX;
	return true;
}

static void registry_read_wish(const char *at, const char *end, struct registry_wish *ret)
{
	struct registry_word w;

	*ret = (struct registry_wish){.lines = REGISTRY_HISTORY_LINES};
	while ((w = registry_next_word(&at, end)).len > 0) {
		size_t len = w.len;
		if (!past_cut_before(w.at, &len, &ret->before) && !registry_read_lines(&w, &ret->lines))
			ret->cookie = w;
	}
}

const char *registry_history(struct udp_listener *u, const struct datagram *d, struct member *m,
			     const char *at, const char *end)
{
	struct registry *g = udp_data(u);
	const struct context *x = registry_context(u);
	const struct shared *shared = registry_shared(u);
	struct registry_wish w;

	registry_read_wish(at, end, &w);
	if (!cookies_check(g->cookies, &d->from, x->now, w.cookie.at, w.cookie.len)) {
		registry_ask_for_proof(u, d);
		return NULL;
	}
	unsigned rate = x->config->commands_per_second;
	if (g->room->history == 0)
		return "this room shows nothing of what was said before";
	if (m->asked)
		return "your last question has no answer yet";
	if (rate > 0 && m->asks_due > x->now)
		return "too many questions";
	if (rate > 0)
		limits_charge(&m->asks_due, rate, REGISTRY_HISTORY_COST, SECOND_US, x->now);
	bool stored = shared->questions && archive_keeps(shared->archive, g->room->name);
	if (registry_tell_past(u, m, w.lines, w.before, NULL, !stored))
		return NULL;
	return registry_ask_history(u, m, w.lines, w.before);
}
