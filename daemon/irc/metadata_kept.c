/* SPDX-License-Identifier: MIT */
/* Metadata as it is kept: a blob of a user's, bytes of a channel's record. */
#include "daemon/irc/metadata_kept.h"

#include "daemon/channels/channels.h"
#include "daemon/irc/blobs.h"

#include <string.h>

void irc_metadata_read(struct irc *irc, uint32_t index, uint64_t id, uint32_t number, struct irc_pairs *ret)
{
	ret->len = irc_blob_get(irc->blobs, index, id, IRC_BLOB_METADATA, number, ret->text, ret->size);
	if (!irc_pairs_are_good(ret))
		ret->len = 0;
}

void irc_metadata_read_own(struct connection *c, struct irc_pairs *ret)
{
	irc_metadata_read(connection_context(c)->shared->irc, connection_index(c), connection_id(c),
			  irc_user(c)->metadata_at, ret);
}

void irc_metadata_read_channel(const struct irc_channel *ch, struct irc_pairs *ret)
{
	ret->len = ch && ch->metadata_len <= ret->size ? ch->metadata_len : 0;
	if (ret->len > 0)
		memcpy(ret->text, ch->metadata, ret->len);
	if (!irc_pairs_are_good(ret))
		ret->len = 0;
}

bool irc_metadata_wants(struct connection *c, const char *key)
{
	char text[IRC_BLOB_METADATA_MAX];
	struct irc_pairs p = {.text = text, .size = sizeof(text)};

	if (irc_user(c)->metadata_at == 0)
		return false;
	irc_metadata_read_own(c, &p);
	return irc_pairs_wants(&p, key);
}
