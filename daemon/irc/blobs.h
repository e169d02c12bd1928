/* SPDX-License-Identifier: MIT */
/*
 * What few users have and what is too long for their records: away texts, lists of whom they watch, exchanges of SASL. There
 * are two places for each; the user's record has the number of the one that counts (0: none), so that a blob
 * becomes true with the record.
 */
#ifndef DAEMON_IRC_BLOBS_H
#define DAEMON_IRC_BLOBS_H

#include "daemon/irc/records.h"
#include "daemon/state/clients.h"

enum irc_blob_kind {
	IRC_BLOB_AWAY,	   /* irc_user.away_at: a text without NUL */
	IRC_BLOB_MONITOR,  /* irc_user.monitor_at: whatever irc/monitor.c makes of it */
	IRC_BLOB_SASL,	   /* irc_user.sasl_at: struct irc_sasl, as far as it is used */
	IRC_BLOB_METADATA, /* irc_user.metadata_at: pairs.h */
};

struct irc_file;
struct irc_blobs;

/*
 * By the worker that has the client, within a transaction: stores len bytes and returns their number, which
 * is to be put into the draft of the user's record. holds: the number in the record that holds (not in the
 * draft). 0: it is too long.
 */
uint32_t irc_blob_put(struct irc_blobs *bs, const struct client *c, enum irc_blob_kind kind, uint32_t holds,
		      const void *data, size_t len);
/* Nothing is left of either: for what had a password in it. By the same, when none of them counts any more. */
void irc_blob_wipe(struct irc_blobs *bs, const struct client *c, enum irc_blob_kind kind);
/*
 * By any thread: copies the blob of that number to ret and returns its length; 0: there is none, or it is
 * longer than size. index, id: whose it is.
 */
size_t irc_blob_get(struct irc_blobs *bs, uint32_t index, uint64_t id, enum irc_blob_kind kind,
		    uint32_t number, void *ret, size_t size);

/* Returns 0 or -ENOMEM. */
int irc_blobs_new(struct irc_file *file, struct clients *cs, struct irc_blobs **ret);
void irc_blobs_free(struct irc_blobs *bs);

#endif
