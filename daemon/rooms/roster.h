/* SPDX-License-Identifier: MIT */
/*
 * Who is here: every nick once (common/nick.h says which ones are the same), and the nicks of each room.
 * Whoever has a nick may be in many rooms. Any thread.
 */
#ifndef DAEMON_ROSTER_H
#define DAEMON_ROSTER_H

#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

struct roster;
struct roster_entry;

/* Look-ups are fast up to about so many clients; more are no harm. */
int roster_new(uint32_t clients, struct roster **ret);
void roster_free(struct roster *ro);

/*
 * Registers a nick (normalised, not NUL-terminated) of a client, in no room. Returns 0, -EEXIST if it is
 * taken, -EPERM if it is reserved for chatd itself (admin, chatd; guest and a number, unless that is the
 * client's own) or, unless entitled, by roster_reserve(), or -ENOMEM.
 */
int roster_claim(struct roster *ro, const char *nick, size_t len, uint64_t id, uint32_t index, bool entitled,
		 struct roster_entry **ret);
/* Leaves all rooms, and frees the entry. */
void roster_release(struct roster *ro, struct roster_entry *e);
/* *mine (or NULL) makes way for another nick of the same client, which is in its rooms then. */
void roster_replace(struct roster *ro, struct roster_entry **mine, struct roster_entry *with);

/* Enters a room that it is not in. Returns 0, or -ENOMEM, which can't be if it is in no room yet. Without an
 * entry (NULL) these two do nothing. */
int roster_enter(struct roster *ro, struct roster_entry *e, uint32_t room);
void roster_leave(struct roster *ro, struct roster_entry *e, uint32_t room);

/* From now on the nicks of these n keys (nick_keys()) are reserved; takes the array over. Whoever has one
 * keeps it: see roster_is_reserved(). */
void roster_reserve(struct roster *ro, uint64_t *keys, size_t n);
bool roster_is_reserved(struct roster *ro, const struct roster_entry *e);

/*
 * For somebody who speaks under a nick without being there: 0, -EINVAL if it isn't one, -EPERM if it is
 * reserved, -EEXIST if somebody has it.
 */
int roster_check(struct roster *ro, const char *nick, size_t len);

/* Whether somebody has that nick, and who. */
bool roster_find(struct roster *ro, const char *nick, size_t len, uint64_t *ret_id, uint32_t *ret_index);

/* Writes "alice, bob" of a room to buf, as many as fit, and returns how many there are; *ret_shown is how
 * many fit. */
size_t roster_list(struct roster *ro, uint32_t room, char *buf, size_t size, size_t *ret_shown);

#endif
