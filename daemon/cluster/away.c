/* SPDX-License-Identifier: MIT */
/*
 * While NATS can't be reached: people are told when that begins and when it ends, and what is said meanwhile is
 * shown at once if that is the policy. When it comes back through the stream, its number tells that it is there.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"

/* What is stored is so within a few milliseconds. */
#define AWAY_STUCK_US SECOND_US

void away_put(struct core *c, struct room *room, away_put_fn *put, const char *text)
{
	struct speech s = {0};

	if (put(&s, room, text) == 0)
		speech_commit(&s, c->start.rooms, c->start.kick);
	else
		speech_drop(&s);
	rooms_kick(c->start.rooms, c->start.kick, c->start.slot);
}

void away_note(struct core *c, struct room *room, const char *text)
{
	away_put(c, room, speech_note, text);
}

static void away_tell_room(struct core *c, struct channel *ch, const char *text)
{
	if (!ch->main->raw)
		away_note(c, ch->main, text);
}

/* In each room with somebody in it who could read it. */
static void away_tell(struct core *c, const char *text)
{
	(void)channels_of_rooms(c, true, away_tell_room, text);
}

/* What was said here and is not in the room yet. */
static void away_show(struct core *c, struct channel *ch)
{
	struct wire_batch b;
	uint64_t first, end;

	while ((first = ch->own->expected) < logring_count(ch->out->log) &&
	       !room_log_is_crowded(c->start.rooms, ch->main)) {
		size_t len = publish_pack(c, ch, &first, &end);
		if (len == 0 || wire_open(c->batch, len, &b) < 0)
			return;
		const struct apply a = {
		    ch, ch->own, true, ch->own->echoed, cluster_file_applied(c->start.file), 0, 0};
		if (!apply_lines(c, &a, &b))
			return;
		FAULT("cluster-shown");
	}
}

static void away_begin(struct core *c, bool stuck)
{
	c->away = true;
	cluster_file_set_away(c->start.file, true);
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_CLUSTER},
		  "cluster: the other nodes can't be reached%s",
		  stuck ? ", as NATS doesn't store what is said" : "");
	FAULT("cluster-away");
	away_tell(c, c->start.when_away == CLUSTER_LOCAL
			 ? "The other nodes can't be reached; they will get later what is said meanwhile."
			 : "The other nodes can't be reached; what is said will appear when they can.");
}

static void away_end(struct core *c)
{
	c->away = false;
	cluster_file_set_away(c->start.file, false);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_CLUSTER},
		  "cluster: the other nodes are here again");
	FAULT("cluster-back");
	away_tell(c, "The other nodes are here again.");
}

/* A server may be there and yet store nothing, as it is cut off from the others. */
static bool away_is_stuck(const struct core *c)
{
	int64_t patience = c->start.away_after_us > AWAY_STUCK_US ? c->start.away_after_us : AWAY_STUCK_US;

	for (unsigned i = 0; i < c->n_busy; i++)
		if (c->now - c->busy[i]->moved_at >= patience)
			return true;
	return false;
}

void away_turn(struct core *c)
{
	bool stuck = away_is_stuck(c);

	if (c->ready && !stuck && c->away)
		away_end(c);
	/* Whoever reads what was said before has the others in reach, unless they were not. */
	if (c->subscribed && !stuck && !c->away)
		c->reached_at = c->now;
	if (!c->away && (stuck || c->now - c->reached_at >= c->start.away_after_us))
		away_begin(c, c->subscribed && stuck);
	if (c->away && c->start.when_away == CLUSTER_LOCAL)
		for (unsigned i = 0; i < c->n_busy; i++)
			away_show(c, c->busy[i]);
}
