/* SPDX-License-Identifier: MIT */
/* How many clients there are, in all and from each address. Any thread. */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include "common/address.h"

struct limits;

int limits_new(struct limits **ret);
void limits_free(struct limits *l);

/* Counts one more. Returns 0, -EUSERS (in all), -EDQUOT (that address; max 0: unlimited) or -ENOMEM. */
int limits_take(struct limits *l, const union address *a, unsigned max, unsigned max_per_address);
void limits_give(struct limits *l, const union address *a);
unsigned limits_total(struct limits *l);

#endif
