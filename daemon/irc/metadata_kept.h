/* SPDX-License-Identifier: MIT */
/* What there is of metadata: of somebody, and of a channel. What is damaged is nothing. */
#ifndef DAEMON_IRC_METADATA_KEPT_H
#define DAEMON_IRC_METADATA_KEPT_H

#include "daemon/irc/irc.h"
#include "daemon/irc/pairs.h"

/* The caller's ret->text and ret->size; any thread. number: that of the user's record. */
void irc_metadata_read(struct irc *irc, uint32_t index, uint64_t id, uint32_t number, struct irc_pairs *ret);
/* By the worker that has the client. */
void irc_metadata_read_own(struct connection *c, struct irc_pairs *ret);
/* With the log of its room locked; NULL: it has no record. */
void irc_metadata_read_channel(const struct irc_channel *ch, struct irc_pairs *ret);
/* Whether a client wants to be told of that key; by its worker. */
bool irc_metadata_wants(struct connection *c, const char *key);

#endif
