/* SPDX-License-Identifier: MIT */
/* How many clients there are, in all and from each address. Any thread. */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include "common/address.h"

#include <stdbool.h>

struct limits;

int limits_new(struct limits **ret);
void limits_free(struct limits *l);

/* Counts one more. Returns 0, -EUSERS (in all), -EDQUOT (that address; max 0: unlimited) or -ENOMEM. */
int limits_take(struct limits *l, const union address *a, unsigned max, unsigned max_per_address);
void limits_give(struct limits *l, const union address *a);
unsigned limits_total(struct limits *l);

/*
 * Whether one more is allowed at rate a second (0: no limit), of which a second's worth may come at once
 * (GCRA). Takes it from *allowance, which is when the next one would be due, were they evenly spread; now:
 * CLOCK_MONOTONIC in us.
 */
bool limits_allow(int64_t *allowance, unsigned rate, int64_t now);

#endif
