/* SPDX-License-Identifier: MIT */
/* Addresses that log in: what they ask waits in a queue each, they take turns, and who fails too often rests. */
#include "daemon/engine/logins_own.h"

#include "daemon/base/clock.h"
#include "daemon/engine/limits.h"

#include <string.h>

struct asker **logins_find_asker(struct logins *l, const uint8_t key[static ADDRESS_KEY_LEN])
{
	struct asker **p = &l->buckets[hash_bytes(&l->bucket_key, key, ADDRESS_KEY_LEN) % LOGINS_BUCKETS];

	while (*p && memcmp((*p)->key, key, ADDRESS_KEY_LEN) != 0)
		p = &(*p)->next;
	return p;
}

/* Forgets addresses whose failures are long ago. */
static void logins_expire(struct logins *l, int64_t now)
{
	if (now - l->expired < SECOND_US)
		return;
	l->expired = now;
	for (unsigned i = 0; i < LOGINS_BUCKETS; i++)
		for (struct asker **p = &l->buckets[i], *o; (o = *p);) {
			if (o->first || o->busy || o->failures_due > now - 60 * SECOND_US) {
				p = &o->next;
				continue;
			}
			*p = o->next;
			free(o);
		}
}

struct asker *logins_make_asker(struct logins *l, const uint8_t key[static ADDRESS_KEY_LEN])
{
	struct asker *known = *logins_find_asker(l, key);

	if (known)
		return known;
	logins_expire(l, clock_us(CLOCK_MONOTONIC));
	struct asker **p = logins_find_asker(l, key);
	*p = calloc(1, sizeof(**p));
	if (*p)
		memcpy((*p)->key, key, ADDRESS_KEY_LEN);
	return *p;
}

void logins_dequeue(struct logins *l, struct login_request *a)
{
	struct asker *o = a->asker;

	if (a->prev)
		a->prev->next = a->next;
	else
		o->first = a->next;
	if (a->next)
		a->next->prev = a->prev;
	else
		o->last = a->prev;
	a->asker = NULL;
	l->waiting--;
}

void logins_take_turn(struct logins *l, struct asker *o)
{
	o->turn = NULL;
	*l->last_turn = o;
	l->last_turn = &o->turn;
}

void logins_lose_turn(struct logins *l, struct asker *o)
{
	struct asker **p = &l->turns;

	while (*p != o)
		p = &(*p)->turn;
	*p = o->turn;
	if (!*p)
		l->last_turn = p;
}

struct login_request *logins_next(struct logins *l, int64_t now, int64_t *ret_due, struct asker **ret_asker)
{
	struct asker *o;

	*ret_due = INT64_MAX;
	for (struct asker **p = &l->turns; (o = *p); p = &o->turn) {
		if (o->rests_until > now) {
			if (o->rests_until < *ret_due)
				*ret_due = o->rests_until;
			continue;
		}
		*p = o->turn;
		if (!*p)
			l->last_turn = p;
		struct login_request *a = o->first;
		bool more = a->next;
		logins_dequeue(l, a);
		if (more)
			logins_take_turn(l, o);
		*ret_asker = o;
		return a;
	}
	return NULL;
}

void logins_note_failures(struct asker *o, unsigned n, unsigned per_minute)
{
	if (per_minute == 0)
		return;
	limits_charge(&o->failures_due, per_minute, n, 60 * SECOND_US, clock_us(CLOCK_MONOTONIC));
	o->rests_until = o->failures_due + 60 * SECOND_US / per_minute;
}

/* --- for who checks something itself --- */

bool logins_may_try(struct logins *l, const union address *address)
{
	uint8_t key[ADDRESS_KEY_LEN];

	address_site(address, key);
	pthread_mutex_lock(&l->lock);
	const struct asker *o = *logins_find_asker(l, key);
	bool may = !o || o->rests_until <= clock_us(CLOCK_MONOTONIC);
	pthread_mutex_unlock(&l->lock);
	return may;
}

void logins_failed(struct logins *l, const union address *address, unsigned n, unsigned per_minute)
{
	uint8_t key[ADDRESS_KEY_LEN];

	address_site(address, key);
	pthread_mutex_lock(&l->lock);
	struct asker *o = logins_make_asker(l, key);
	if (o)
		logins_note_failures(o, n, per_minute);
	pthread_mutex_unlock(&l->lock);
}
