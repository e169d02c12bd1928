/* SPDX-License-Identifier: MIT */
/*
 * Proof that a datagram's source address is real: a short text that only who receives at that address can
 * know. It is a keyed hash (SipHash-2-4) of the address, so nothing is remembered; the key changes, and the
 * one before it counts as well.
 */
#ifndef DAEMON_COOKIE_H
#define DAEMON_COOKIE_H

#include "common/address.h"

#include <stdbool.h>

#define COOKIE_LEN 8
/* How long a cookie is good for, at least; at most twice that. */
#define COOKIE_PERIOD_US INT64_C(60000000)

struct cookies;

/* Returns 0 or -ENOMEM. */
int cookies_new(struct cookies **ret);
void cookies_free(struct cookies *c);

/* now: CLOCK_MONOTONIC in us. No NUL is added. */
void cookies_make(struct cookies *c, const union address *a, int64_t now, char ret[static COOKIE_LEN]);
bool cookies_check(struct cookies *c, const union address *a, int64_t now, const char *text, size_t len);

#endif
