/* SPDX-License-Identifier: MIT */
/* A hash by address, an array by place, and a list by age; all of it private to one worker. */
#include "daemon/modes/udp_members.h"

#include "common/hash.h"
#include "daemon/base/clock.h"
#include "daemon/history/questions.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 256

struct members {
	struct hash_key key; /* so that strangers can't choose addresses that meet */
	struct member **buckets;
	size_t n_buckets, n;
	struct member *oldest, *newest;
	struct member **by_index; /* per place in the table; what isn't used takes no memory */
};

struct members *members_new(void)
{
	struct members *ms = calloc(1, sizeof(*ms));

	if (!ms)
		return NULL;
	ms->n_buckets = BUCKETS_MIN;
	ms->buckets = calloc(ms->n_buckets, sizeof(struct member *));
	ms->by_index = calloc(CLIENTS_CAPACITY, sizeof(struct member *));
	if (!ms->buckets || !ms->by_index) {
		members_free(ms);
		return NULL;
	}
	ms->key = hash_key_new();
	return ms;
}

void members_free(struct members *ms)
{
	if (!ms)
		return;
	for (struct member *m = ms->oldest, *newer; m; m = newer) {
		newer = m->newer;
		question_drop(m->asked);
		free(m);
	}
	free(ms->by_index);
	free(ms->buckets);
	free(ms);
}

size_t members_count(const struct members *ms)
{
	return ms->n;
}

struct member *members_oldest(const struct members *ms)
{
	return ms->oldest;
}

static struct member **members_bucket(const struct members *ms, const union address *a)
{
	unsigned char in[18];
	uint16_t port = address_port(a);

	address_key(a, in);
	memcpy(in + 16, &port, sizeof(port));
	return &ms->buckets[hash_bytes(&ms->key, in, sizeof(in)) & (ms->n_buckets - 1)];
}

struct member *members_find(const struct members *ms, const union address *a)
{
	struct member *m = *members_bucket(ms, a);

	while (m && !address_equal(&m->address, a))
		m = m->next_in_bucket;
	return m;
}

struct member *members_at(const struct members *ms, uint32_t index)
{
	return index < CLIENTS_CAPACITY ? ms->by_index[index] : NULL;
}

static void members_link(struct members *ms, struct member *m)
{
	struct member **b = members_bucket(ms, &m->address);

	m->next_in_bucket = *b;
	*b = m;
}

/* Keeps chains short; without memory they just get longer. */
static void members_grow(struct members *ms)
{
	size_t old_n = ms->n_buckets;
	struct member **old = ms->buckets, **larger = calloc(old_n * 2, sizeof(*larger));

	if (!larger)
		return;
	ms->buckets = larger;
	ms->n_buckets = old_n * 2;
	for (size_t i = 0; i < old_n; i++)
		for (struct member *m = old[i], *next; m; m = next) {
			next = m->next_in_bucket;
			members_link(ms, m);
		}
	free(old);
}

static void members_make_newest(struct members *ms, struct member *m)
{
	m->newer = NULL;
	m->older = ms->newest;
	if (ms->newest)
		ms->newest->newer = m;
	else
		ms->oldest = m;
	ms->newest = m;
}

static void members_unlink(struct members *ms, struct member *m)
{
	if (m->older)
		m->older->newer = m->newer;
	else
		ms->oldest = m->newer;
	if (m->newer)
		m->newer->older = m->older;
	else
		ms->newest = m->older;
}

struct member *members_add(struct members *ms, struct client *c, uint32_t index, const union address *a)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->client = c;
	m->index = index;
	m->address = *a;
	/* From here on the wall clock may go where it likes. */
	int64_t age = clock_us(CLOCK_REALTIME) - (int64_t)c->connected_us;
	m->began = clock_us(CLOCK_MONOTONIC) - (age > 0 ? age : 0);
	if (ms->n >= ms->n_buckets)
		members_grow(ms);
	members_link(ms, m);
	members_make_newest(ms, m);
	ms->by_index[index] = m;
	ms->n++;
	return m;
}

void members_touch(struct members *ms, struct member *m)
{
	members_unlink(ms, m);
	members_make_newest(ms, m);
}

void members_remove(struct members *ms, struct member *m)
{
	struct member **b = members_bucket(ms, &m->address);

	while (*b != m)
		b = &(*b)->next_in_bucket;
	*b = m->next_in_bucket;
	members_unlink(ms, m);
	ms->by_index[m->index] = NULL;
	ms->n--;
	question_drop(m->asked);
	free(m);
}
