/* SPDX-License-Identifier: MIT */
/* Which events have a word of their own. */
#include "daemon/base/events.h"

#include <stddef.h>
#include <string.h>

const char *event_kind(const char *message_id)
{
	static const struct {
		const char *id, *kind;
	} kinds[] = {
	    {EVENT_CLIENT_OPENED, "connected"},
	    {EVENT_CLIENT_CLOSED, "closed"},
	    {EVENT_CLIENT_KICKED, "kicked"},
	    {EVENT_CLIENT_REFUSED, "refused"},
	    {EVENT_CLIENT_SLOWED, "slowed"},
	    {EVENT_JOINED, "joined"},
	    {EVENT_LEFT, "left"},
	    {EVENT_RENAMED, "renamed"},
	    {EVENT_SKIPPED, "skipped"},
	    {EVENT_LOGIN, "login"},
	    {EVENT_BAN, "ban"},
	    {EVENT_RELOADED, "reloaded"},
	    {EVENT_LISTENER, "listener"},
	    {EVENT_WORKER, "worker"},
	    {EVENT_TAKEOVER, "takeover"},
	    {EVENT_STARTED, "started"},
	    {EVENT_STOPPED, "stopping"},
	    {EVENT_CONFIG_ERROR, "error"},
	    {EVENT_STATE_REFUSED, "error"},
	    {EVENT_CLUSTER, "cluster"},
	    {EVENT_NODE, "node"},
	    {EVENT_GAP, "gap"},
	    {EVENT_CLUSTER_REFUSED, "error"},
	    {EVENT_HISTORY, "history"},
	    {EVENT_WEBHOOK, "webhook"},
	};

	for (size_t i = 0; message_id && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i].id, message_id) == 0)
			return kinds[i].kind;
	return NULL;
}
