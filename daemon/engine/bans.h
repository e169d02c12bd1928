/* SPDX-License-Identifier: MIT */
/* Addresses that may not come, for a time or for ever. Any thread may ask; only the main thread changes
 * them. */
#ifndef DAEMON_BANS_H
#define DAEMON_BANS_H

#include "common/address.h"

#include <stdint.h>

struct bans;

struct ban {
	struct prefix prefix;
	int64_t until_us; /* CLOCK_REALTIME; 0: for ever */
};

/*
 * path: where they are kept ("PREFIX UNTIL" lines, UNTIL in seconds), or NULL. What is there is read; a
 * line that isn't a ban is logged and left out. Returns 0 or -ENOMEM.
 */
int bans_new(const char *path, struct bans **ret);
void bans_free(struct bans *b);

bool bans_match(struct bans *b, const union address *a);

/*
 * Bans, or changes the time of, a prefix. Returns 0, or -ENOSPC if there are max of them. The file is written
 * by bans_save().
 */
int bans_add(struct bans *b, const struct ban *ban, size_t max);
/* -ENOENT if there is no such ban. */
int bans_remove(struct bans *b, const struct prefix *p);
/* Writes the file anew, whole or not at all. Returns 0, -ENOTSUP without a path, or -errno. */
int bans_save(struct bans *b);
/* Where they are kept; NULL: nowhere. */
const char *bans_path(const struct bans *b);
/* When the file was written that was read in the beginning; CLOCK_REALTIME in us, 0: there was none. */
int64_t bans_saved_us(const struct bans *b);
/* Forgets those whose time is over. */
void bans_expire(struct bans *b);

size_t bans_count(const struct bans *b);
/* A copy, free()d by the caller; NULL without memory. */
struct ban *bans_list(struct bans *b, size_t *ret_n);

#endif
