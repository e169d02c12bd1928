/* SPDX-License-Identifier: MIT */
/* CHATHISTORY TARGETS: where, and with whom, something was said in a time. */
#include "daemon/irc/chathistory.h"

#include "common/cleanup.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/names.h"

#include <stdio.h>
#include <stdlib.h>

struct past_target {
	char name[IRC_SHOWN_MAX + 1]; /* "": a person whose nick isn't known yet */
	uint64_t id;		      /* of that one */
	uint64_t us;		      /* when something was said there last */
};

/* People with whom private messages were exchanged; those of longer ago aren't told of. */
#define PAST_PEOPLE 100
#define PAST_LOOKS 20000

struct past_targets {
	uint64_t from_us, up_to_us; /* both exclusive, as their milliseconds */
	struct past_target *at;
	size_t n;
};

/* When something was said there last; 0: never. */
static uint64_t past_last(struct room *room)
{
	struct logring_view v;
	uint64_t us = 0;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	for (uint64_t seq = v.count; us == 0 && logring_back(room->log, &v, &seq);) {
		const struct record *r = logring_record(room->log, seq);
		if (speech_shows(room, r, logring_at(&v, logring_start(room->log, &v, seq))))
			us = r->time_us;
	}
	logring_unlock(room->log);
	return us;
}

static bool past_is_within(const struct past_targets *t, uint64_t us)
{
	return us / PAST_MS > t->from_us / PAST_MS && us / PAST_MS < t->up_to_us / PAST_MS;
}

static bool past_add_target(struct connection *c, struct room *room, void *arg)
{
	struct past_targets *t = arg;
	uint64_t us = room->history > 0 ? past_last(room) : 0;

	(void)c;
	if (!past_is_within(t, us))
		return true;
	t->at[t->n].us = us;
	snprintf(t->at[t->n++].name, sizeof(t->at->name), "#%.*s", TEXT_ROOM_MAX, room->name);
	return true;
}

static bool past_has_person(const struct past_targets *t, uint64_t id)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i].id == id)
			return true;
	return false;
}

/* Whom the private messages of that client are from and to, the latest first. */
static void past_find_people(struct irc_call *call, struct past_targets *t)
{
	struct room *private = rooms_private(irc_shared(call)->rooms);
	const uint64_t me = connection_id(call->c);
	unsigned looks = 0, found = 0;
	struct logring_view v;

	logring_lock(private->log);
	logring_peek(private->log, &v);
	for (uint64_t seq = v.count;
	     found < PAST_PEOPLE && looks < PAST_LOOKS && logring_back(private->log, &v, &seq); looks++) {
		const struct record *r = logring_record(private->log, seq);
		if (r->from || r->forgotten || (r->sender != me && r->target != me))
			continue;
		uint64_t id = r->sender == me ? r->target : r->sender;
		if (past_has_person(t, id))
			continue;
		t->at[t->n++] = (struct past_target){.id = id, .us = r->time_us};
		found++;
	}
	logring_unlock(private->log);
}

/* How they are called, if they are here still; and only if the time is one that is asked for. */
static void past_name_people(struct irc_call *call, struct past_targets *t)
{
	struct roster_member some[64];
	uint64_t cursor = 0;
	size_t n, kept = 0;

	if (t->n == 0)
		return;
	while ((n = roster_some(irc_shared(call)->roster, &cursor, some, sizeof(some) / sizeof(*some))) > 0)
		for (size_t i = 0; i < n * t->n; i++)
			if (t->at[i % t->n].id == some[i / t->n].id)
				irc_nick_show(some[i / t->n].nick, some[i / t->n].len, t->at[i % t->n].name);
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i].name[0] && past_is_within(t, t->at[i].us))
			t->at[kept++] = t->at[i];
	t->n = kept;
}

static int past_compare(const void *a, const void *b)
{
	const struct past_target *x = a, *y = b;

	return x->us < y->us ? -1 : x->us > y->us;
}

enum verdict past_targets(struct irc_call *call)
{
	_cleanup_free_ struct past_target *at = calloc(seats_count(call->c) + PAST_PEOPLE, sizeof(*at));
	struct past_targets t = {.at = at};
	struct irc_ref from, up_to;
	char time[IRC_TIME_MAX];

	if (call->line->n_params != 4 || irc_ref_parse(call->line->params[1], &from) < 0 ||
	    irc_ref_parse(call->line->params[2], &up_to) < 0 || from.kind != IRC_REF_TIME ||
	    up_to.kind != IRC_REF_TIME || past_limit(call, 3) == 0) {
		past_fail(call, "INVALID_PARAMS", false, "Two timestamps and a limit are needed");
		return HANDLER_MORE;
	}
	bool back = from.time_us > up_to.time_us;
	t.from_us = back ? up_to.time_us : from.time_us;
	t.up_to_us = back ? from.time_us : up_to.time_us;
	if (at) {
		past_find_people(call, &t);
		past_name_people(call, &t);
		seats_each(call->c, past_add_target, &t);
	}
	if (t.n > 0)
		qsort(t.at, t.n, sizeof(*t.at), past_compare);
	size_t most = past_limit(call, 3), n = t.n < most ? t.n : most;
	irc_batch_begin(call, "draft/chathistory-targets");
	for (size_t i = back ? t.n - n : 0; i < (back ? t.n : n); i++)
		irc_from_server(call, "CHATHISTORY TARGETS %s %s", t.at[i].name,
				irc_time_format(t.at[i].us, time));
	irc_batch_end(call);
	return HANDLER_MORE;
}
