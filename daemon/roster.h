/* SPDX-License-Identifier: MIT */
/* Who is here: every nick once (compared without ASCII case), and the nicks of each room. Any thread. */
#ifndef DAEMON_ROSTER_H
#define DAEMON_ROSTER_H

#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

struct roster;
struct roster_entry;

int roster_new(struct roster **ret);
void roster_free(struct roster *ro);

/*
 * Registers a nick (valid, not NUL-terminated) of a client in a room. Returns 0, -EEXIST if it is taken,
 * -EPERM if it is reserved for chatd itself (admin, chatd; guest and a number, unless that is the client's
 * own) or, unless entitled, for an account, or -ENOMEM.
 */
int roster_claim(struct roster *ro, const char *nick, size_t len, uint64_t id, uint32_t index, uint32_t room,
		 bool entitled, struct roster_entry **ret);
void roster_release(struct roster *ro, struct roster_entry *e);
void roster_move(struct roster *ro, struct roster_entry *e, uint32_t room);

/* From now on these nicks (n, sorted by strcasecmp()) are reserved; takes the array over. */
void roster_reserve(struct roster *ro, char (*nicks)[TEXT_NICK_MAX + 1], size_t n);

/* Whether somebody has that nick, and who. */
bool roster_find(struct roster *ro, const char *nick, size_t len, uint64_t *ret_id, uint32_t *ret_index);

/* Writes "alice, bob" of a room to buf, as many as fit, and returns how many there are; *ret_shown is how
 * many fit. */
size_t roster_list(struct roster *ro, uint32_t room, char *buf, size_t size, size_t *ret_shown);

#endif
