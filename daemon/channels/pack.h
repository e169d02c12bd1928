/* SPDX-License-Identifier: MIT */
/*
 * What is decided of a room as bytes, for a database that outlives all processes. Who has a status is in it by account only, and
 * who was invited or removed isn't: clients' ids mean nothing later.
 *
 * The format, with numbers that begin with their lowest byte; a string is its length in two bytes, and its bytes:
 *
 *	8 bytes		the check of all that follows, by checksum.h, from IRC_CHANNEL_CHECK on
 *	1		the version, 1
 *	8, 8		when it was made, when the topic was set: us of CLOCK_REALTIME
 *	4, 4		modes (enum irc_channel_modes), limit
 *	strings		key, topic, who has set it, metadata (irc/pairs.h)
 *	2		how many have a status; of each: its flags in 1 byte, the account
 *	2		how many masks there are; of each: since when in 8, the kind in 1, the mask, who has set it
 *	0 to 7		zeroes, up to a multiple of 8
 */
#ifndef DAEMON_CHANNELS_PACK_H
#define DAEMON_CHANNELS_PACK_H

#include "daemon/channels/record.h"

#define IRC_CHANNEL_PACKED_MAX 40000

/* Returns how many bytes it is. */
size_t irc_channel_pack(const struct irc_channel *ch, uint8_t ret[static IRC_CHANNEL_PACKED_MAX]);
/*
 * Whatever it is that was read, what it becomes is a record that can have been decided, in which nobody is there: each status has
 * the id 0. Returns 0, -EBADMSG if it is damaged, or -EPROTONOSUPPORT if it is of a later version; then *ret is anything.
 */
int irc_channel_unpack(const void *data, size_t len, struct irc_channel *ret);

#endif
