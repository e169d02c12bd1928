/* SPDX-License-Identifier: MIT */
/*
 * Which of a worker's connections do something at present, and what is to be known of those only. They lie side by
 * side, since most of them stop at about the same time: after a restart of the network everybody joins a room, and
 * what that took is given back, which single pieces among others on the heap would not be.
 */
#include "daemon/engine/connection_own.h"

#include <stdlib.h>

#define ACTIVITIES_MIN 64

/* Makes it an array for so many. */
static bool activity_resize(struct connections *cs, uint32_t capacity)
{
	struct activity *p = reallocarray(cs->activities, capacity, sizeof(*p));

	if (!p)
		return false;
	cs->activities = p;
	cs->activities_capacity = capacity;
	return true;
}

struct activity *activity_make(struct connection *c)
{
	struct connections *cs = c->ctx->connections;

	if (c->activity)
		return activity_of(c);
	/* Nobody would forget that of a dead one. */
	if (c->phase == PHASE_DEAD ||
	    (cs->n_activities == cs->activities_capacity &&
	     !activity_resize(cs, cs->activities_capacity ? cs->activities_capacity * 2 : ACTIVITIES_MIN)))
		return NULL;
	cs->activities[cs->n_activities++] = (struct activity){.of = c};
	c->activity = cs->n_activities;
	return activity_of(c);
}

void activity_forget(struct connection *c)
{
	struct connections *cs = c->ctx->connections;

	if (!c->activity)
		return;
	/* The last one takes its place. */
	struct activity *a = activity_of(c);
	*a = cs->activities[--cs->n_activities];
	a->of->activity = c->activity;
	c->activity = 0;
	/* With so much to spare it won't be in want of more at once; what can't be given back is kept. */
	if (cs->activities_capacity > ACTIVITIES_MIN && cs->n_activities < cs->activities_capacity / 4)
		activity_resize(cs, cs->activities_capacity / 2);
}

void activity_matters(struct activity *a, int64_t until)
{
	if (a->matters_until < until)
		a->matters_until = until;
}

void activity_tick(struct connections *cs)
{
	int64_t now = cs->ctx->now;

	for (uint32_t i = cs->n_activities; i-- > 0;) {
		const struct activity *a = &cs->activities[i];
		connection_await_tick(a->of);
		if (now > a->matters_until && !(a->of->pause & PAUSE_LIMITED) && !a->asked &&
		    a->login == LOGIN_NONE && !a->awaited)
			activity_forget(a->of);
	}
}
