/* SPDX-License-Identifier: MIT */
/*
 * How often a peer may send what is no data. Messages behind the handshake are new keys, or the wish for a new
 * handshake; each costs as much as many lines. Programs send them every few gigabytes, and empty records hardly ever.
 */
#ifndef DAEMON_TLS_RENEWALS_H
#define DAEMON_TLS_RENEWALS_H

#include "daemon/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* This many are taken within a minute, or a megabyte. */
#define RENEWALS_MAX 32
#define RENEWALS_US (60 * SECOND_US)
#define RENEWALS_BYTES (1 << 20)

struct tls_renewals {
	int64_t since_us; /* CLOCK_MONOTONIC */
	uint32_t bytes;	  /* of data since then */
	uint32_t n;
};

static inline void tls_renewals_data(struct tls_renewals *r, size_t n)
{
	r->bytes += n < RENEWALS_BYTES ? (uint32_t)n : RENEWALS_BYTES;
	if (r->bytes >= RENEWALS_BYTES)
		*r = (struct tls_renewals){0};
}

static inline void tls_renewals_add(struct tls_renewals *r)
{
	int64_t now = clock_us(CLOCK_MONOTONIC);

	if (r->since_us == 0 || now - r->since_us > RENEWALS_US)
		*r = (struct tls_renewals){.since_us = now};
	r->n++;
}

static inline bool tls_renewals_too_many(const struct tls_renewals *r)
{
	return r->n > RENEWALS_MAX;
}

#endif
