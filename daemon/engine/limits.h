/* SPDX-License-Identifier: MIT */
/* How many clients there are, in all, from each address and at each listener. Any thread. */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include "common/address.h"

#include <stdbool.h>

struct limits;

int limits_new(struct limits **ret);
void limits_free(struct limits *l);

struct limits_caps {
	unsigned clients;
	unsigned per_address;  /* 0: unlimited */
	unsigned per_listener; /* likewise */
};

/*
 * Counts one more, that came from address a to a listener (its origin). Returns 0, -EUSERS (caps.clients),
 * -EDQUOT (per_address), -ENOSPC (per_listener) or -ENOMEM. Without caps it is counted in any case.
 */
int limits_take(struct limits *l, const union address *a, unsigned origin, const struct limits_caps *caps);
void limits_give(struct limits *l, const union address *a, unsigned origin);
unsigned limits_total(struct limits *l);

/*
 * Whether one more is allowed, at a rate in per_us (0: no limit), of which that time's worth may come at once
 * (GCRA). Takes it from *due, which is when the next one would be, were they evenly spread; now:
 * CLOCK_MONOTONIC in us.
 */
bool limits_allow(int64_t *due, unsigned rate, int64_t per_us, int64_t now);

/* The same for what costs as much as several. Returns 0, or how long in us it is until it may be. */
int64_t limits_wait(int64_t *due, unsigned rate, unsigned cost, int64_t per_us, int64_t now);

/* n of them came, at a rate a second. Returns how long in us the next should take to come. */
int64_t limits_charge(int64_t *due, unsigned rate, uint64_t n, int64_t now);

#endif
