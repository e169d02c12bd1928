/* SPDX-License-Identifier: MIT */
/* Clients are counted under one lock; the rates need none. */
#include "daemon/engine/limits.h"

#include "common/cleanup.h"
#include "common/hash.h"
#include "daemon/base/clock.h"
#include "daemon/state/clients.h"

#include <pthread.h>
#include <string.h>

/* As many as the largest power of two that is not above the number of clients, and no fewer than this. */
#define BUCKETS_MIN 4096

struct source_count {
	struct source_count *next;
	uint8_t key[16];
	unsigned n;
};

struct limits {
	struct hash_key key;
	pthread_mutex_t lock;
	unsigned total;
	unsigned origins[CLIENTS_ORIGINS];
	struct source_count **buckets;
	uint64_t n_buckets;
};

int limits_new(uint32_t clients, struct limits **ret)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	for (l->n_buckets = BUCKETS_MIN; 2 * l->n_buckets <= clients;)
		l->n_buckets *= 2;
	l->buckets = calloc(l->n_buckets, sizeof(struct source_count *));
	if (!l->buckets) {
		free(l);
		return -ENOMEM;
	}
	pthread_mutex_init(&l->lock, NULL);
	l->key = hash_key_new();
	*ret = l;
	return 0;
}

void limits_free(struct limits *l)
{
	if (!l)
		return;
	for (uint64_t i = 0; i < l->n_buckets; i++)
		for (struct source_count *s = l->buckets[i], *next; s; s = next) {
			next = s->next;
			free(s);
		}
	pthread_mutex_destroy(&l->lock);
	free(l->buckets);
	free(l);
}

static struct source_count **limits_find(struct limits *l, const union address *a, uint8_t key[static 16])
{
	address_site(a, key);
	struct source_count **p = &l->buckets[hash_bytes(&l->key, key, 16) & (l->n_buckets - 1)];
	while (*p && memcmp((*p)->key, key, 16) != 0)
		p = &(*p)->next;
	return p;
}

int limits_take(struct limits *l, const union address *a, unsigned origin, const struct limits_caps *caps)
{
	unsigned *at_listener = &l->origins[origin % CLIENTS_ORIGINS];
	uint8_t key[16];
	int r = 0;

	pthread_mutex_lock(&l->lock);
	struct source_count **p = limits_find(l, a, key);
	if (caps && l->total >= caps->clients)
		r = -EUSERS;
	else if (caps && caps->per_listener && *at_listener >= caps->per_listener)
		r = -ENOSPC;
	else if (caps && *p && caps->per_address && (*p)->n >= caps->per_address)
		r = -EDQUOT;
	if (r == 0 && !*p) {
		*p = calloc(1, sizeof(**p));
		if (*p)
			memcpy((*p)->key, key, 16);
		else
			r = -ENOMEM;
	}
	if (r == 0) {
		(*p)->n++;
		++*at_listener;
		l->total++;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

void limits_give(struct limits *l, const union address *a, unsigned origin)
{
	uint8_t key[16];

	pthread_mutex_lock(&l->lock);
	struct source_count **p = limits_find(l, a, key), *s = *p;
	if (s && --s->n == 0) {
		*p = s->next;
		free(s);
	}
	l->origins[origin % CLIENTS_ORIGINS]--;
	l->total--;
	pthread_mutex_unlock(&l->lock);
}

unsigned limits_total(struct limits *l)
{
	pthread_mutex_lock(&l->lock);
	unsigned n = l->total;
	pthread_mutex_unlock(&l->lock);
	return n;
}

static int64_t limits_price(unsigned rate, unsigned cost, int64_t per_us)
{
	return per_us / rate * cost;
}

/* What costs more than may come at once is allowed after a pause as long as its price. */
int64_t limits_window(unsigned rate, unsigned cost, int64_t per_us)
{
	int64_t price = limits_price(rate, cost, per_us);

	return price > per_us ? price : per_us;
}

int64_t limits_wait(int64_t *due, unsigned rate, unsigned cost, int64_t per_us, int64_t now)
{
	if (rate == 0 || cost == 0)
		return 0;
	int64_t price = limits_price(rate, cost, per_us), window = limits_window(rate, cost, per_us);
	if (*due < now - window)
		*due = now - window;
	if (*due + price > now)
		return *due + price - now;
	*due += price;
	return 0;
}

bool limits_allow(int64_t *due, unsigned rate, int64_t per_us, int64_t now)
{
	return limits_wait(due, rate, 1, per_us, now) == 0;
}

int64_t limits_charge(int64_t *due, unsigned rate, uint64_t n, int64_t per_us, int64_t now)
{
	if (rate == 0)
		return 0;
	if (*due < now - per_us)
		*due = now - per_us;
	*due += (int64_t)(n * (uint64_t)per_us / rate);
	return *due > now ? *due - now : 0;
}
