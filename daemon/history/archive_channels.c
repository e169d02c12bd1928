/* SPDX-License-Identifier: MIT */
/*
 * What is decided in rooms, stored beside what is said there, and given back to them at a start after a stop or a reboot. The
 * records lie in the file of IRC (channels/channels.h), and are true there; the database has each of them some tenths of a second
 * later. Nobody waits for that: what has changed is asked for in each turn.
 */
#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/pack.h"
#include "daemon/history/archive_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(IRC_CHANNEL_PACKED_MAX <= STORE_CHANNEL_MAX, "the store takes each record");

static struct irc_channels *decided_channels(struct archive *a)
{
	return atomic_load(&a->ctx.shared->channels); /* NULL: nobody has spoken IRC yet */
}

/* --- storing --- */

void archive_channels_changed(struct archive *a, void (*fn)(uint32_t index, void *arg))
{
	struct irc_channels *cs = decided_channels(a);

	if (cs)
		irc_channels_take_changed(cs, fn, a);
}

void archive_channels_again(struct archive *a)
{
	struct irc_channels *cs = decided_channels(a);

	if (cs)
		irc_channels_change_all(cs);
}

size_t archive_channel_pack(struct archive *a, struct room *r, uint64_t *ret_check)
{
	struct irc_channels *cs = decided_channels(a);
	size_t len = 0;

	if (!cs)
		return 0;
	logring_lock(r->log);
	/* Asked for with the lock, as what is said is: of a room that is not to be stored nothing is. */
	const struct irc_channel *ch = r->is_archived ? irc_channels_get(cs, r) : NULL;
	if (ch)
		len = irc_channel_pack(ch, a->channel);
	logring_unlock(r->log);
	if (len > 0)
		memcpy(ret_check, a->channel, sizeof(*ret_check));
	return len;
}

/* --- restoring --- */

static void decided_left_out(const char *room, const char *why)
{
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_HISTORY, .room = room},
		  "history: the topic and modes of %s are not restored: %s", room, why);
}

void archive_channel_restore(struct archive *a, struct store *s, struct room *room)
{
	struct irc_channels *cs = decided_channels(a);
	struct irc_channel *ch = a->unpacked;
	size_t len;

	if (!cs)
		return;
	int r = store_channel(s, room->name, a->channel, &len);
	if (r == 0)
		r = irc_channel_unpack(a->channel, len, ch);
	if (r == 0) {
		FAULT("restore-channel");
		irc_channels_restore(cs, room, ch);
	} else if (r != -ENOENT) {
		decided_left_out(room->name, r == -EBADMSG	     ? "what is in the database is damaged"
					     : r == -EPROTONOSUPPORT ? "a newer chatd has stored them"
					     : r == -ENOMEM	     ? "there is no memory"
								     : store_why(s));
	}
}
