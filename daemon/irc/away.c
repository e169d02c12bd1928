/* SPDX-License-Identifier: MIT */
/* AWAY: somebody isn't there, and says why. The text is a blob, so that it outlives the process with the record. */
#include "daemon/irc/away.h"

#include "daemon/irc/blobs.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/isupport.h"
#include "daemon/irc/tell.h"

#include <string.h>

size_t irc_away_text(const struct irc *irc, uint32_t index, uint64_t id, const struct irc_user *u,
		     char ret[static IRC_BLOB_AWAY_MAX + 1])
{
	size_t n = 0;

	if (u->flags & IRC_AWAY)
		n = irc_blob_get(irc->blobs, index, id, IRC_BLOB_AWAY, u->away_at, ret, IRC_BLOB_AWAY_MAX);

	ret[n] = '\0';
	/* It may be damaged. */
	if (n == 0 && u->flags & IRC_AWAY)
		n = strlen(strcpy(ret, "Away"));
	return n;
}

static size_t away_own_text(struct irc_call *call, char ret[static IRC_BLOB_AWAY_MAX + 1])
{
	return irc_away_text(irc_shared(call)->irc, connection_index(call->c), connection_id(call->c),
			     irc_user(call->c), ret);
}

void irc_away_on_join(struct irc_call *call, const struct room *room)
{
	char text[IRC_BLOB_AWAY_MAX + 1];

	if (away_own_text(call, text) > 0)
		irc_tell_room(call, room, IRC_CAP_AWAY_NOTIFY, "AWAY :%s", text);
}

/* text: "" if it is back. */
static void away_set(struct irc_call *call, const char *text)
{
	struct shared *shared = irc_shared(call);
	const struct client *client = clients_at(shared->clients, connection_index(call->c));
	uint32_t holds = irc_user(call->c)->away_at;
	struct irc_user *u = irc_change(call);

	if (!text[0]) {
		u->flags &= ~(uint32_t)IRC_AWAY;
		irc_tell_near(call, IRC_CAP_AWAY_NOTIFY, "AWAY");
		return;
	}
	u->flags |= IRC_AWAY;
	u->away_at = irc_blob_put(shared->irc->blobs, client, IRC_BLOB_AWAY, holds, text, strlen(text));
	irc_tell_near(call, IRC_CAP_AWAY_NOTIFY, "AWAY :%s", text);
}

static enum verdict away_run(struct irc_call *call)
{
	size_t most = irc_limits_of("").away;
	char text[IRC_BLOB_AWAY_MAX + 1] = "", now[IRC_BLOB_AWAY_MAX + 1];

	if (call->line->n_params > 0)
		irc_text(call->line->params[0], text, most + 1);
	away_own_text(call, now);
	/* Nobody wants to be told the same again. */
	if (strcmp(text, now) != 0)
		away_set(call, text);
	irc_numeric(call, text[0] ? RPL_NOWAWAY : RPL_UNAWAY, "%s", "");
	return HANDLER_MORE;
}

const struct irc_command irc_commands_away[] = {
    {.name = "AWAY", .run = away_run, .cost = 4},
    {0},
};
