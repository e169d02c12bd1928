/* SPDX-License-Identifier: MIT */
/*
 * Somebody is removed from a room by somebody else, which the room has been told: its own worker sees to it that it
 * leaves, by its handler's expelled().
 */
#ifndef DAEMON_EXPEL_H
#define DAEMON_EXPEL_H

#include "daemon/engine/context.h"

struct expulsion;

/* NULL without memory. by isn't NUL-terminated; reason may be "". */
struct expulsion *expel_new(uint64_t id, uint32_t index, uint32_t room, const char *by, size_t by_len,
			    const char *reason);
/* Takes it over. */
void expel_now(struct context *ctx, struct expulsion *e);

/* What of it handlers need: the room's index; by whom; why. */
uint32_t expel_room(const struct expulsion *e);
const char *expel_by(const struct expulsion *e);
const char *expel_reason(const struct expulsion *e);

#endif
