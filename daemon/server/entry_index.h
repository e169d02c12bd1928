/* SPDX-License-Identifier: MIT */
/*
 * Which entry in the table of clients a socket belongs to, by its cookie. It is made once, at a takeover, and takes
 * the same time for each client however many there are.
 */
#ifndef DAEMON_ENTRY_INDEX_H
#define DAEMON_ENTRY_INDEX_H

#include "daemon/state/clients.h"

struct entry_index;

/* Of all connections in the table. Returns 0, -ENOMEM, or -EBADMSG if two entries claim the same cookie or id, or an id
 * was never given out: then none of them can be trusted. */
int entry_index_new(struct clients *clients, struct entry_index **ret);
void entry_index_free(struct entry_index *ix);

/* The connection with that cookie, or NULL; *ret_again: it was found before. */
struct client *entry_index_find(struct entry_index *ix, uint64_t cookie, bool *ret_again);
/* Calls fn with each that was not found yet. */
void entry_index_rest(const struct entry_index *ix, void (*fn)(struct client *c, void *arg), void *arg);

#endif
