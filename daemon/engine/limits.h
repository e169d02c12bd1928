/* SPDX-License-Identifier: MIT */
/*
 * How many clients there are: in all, from each address, and at each listener; any thread may ask. And how
 * fast one client may do something, which is a number that its owner keeps.
 */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include "common/address.h"

#include <stdbool.h>

struct limits;

/* Look-ups are fast up to about so many clients; more are no harm. */
int limits_new(uint32_t clients, struct limits **ret);
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
 * Whether one more is allowed now, at a rate of so many in per_us, which may all come at once (GCRA); a rate
 * of 0 is no limit. *due begins with 0: it is when the next one would come if they came evenly, and moves on
 * with each that is allowed. now is CLOCK_MONOTONIC in us.
 */
bool limits_allow(int64_t *due, unsigned rate, int64_t per_us, int64_t now);

/* The same for what costs as much as several. Returns 0 if it is allowed, else in how many us it will be. */
int64_t limits_wait(int64_t *due, unsigned rate, unsigned cost, int64_t per_us, int64_t now);

/* A due that is so long (us) past is as good as 0; rate and cost are not 0. */
int64_t limits_window(unsigned rate, unsigned cost, int64_t per_us);

/* n have come, whether allowed or not, at a rate of so many in per_us. Returns for how many us no more should
 * be taken. */
int64_t limits_charge(int64_t *due, unsigned rate, uint64_t n, int64_t per_us, int64_t now);

#endif
