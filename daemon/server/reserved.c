/* SPDX-License-Identifier: MIT */
/*
 * Nicks that belong to somebody. Nobody else may have the nick of an account, of a room's member (whose
 * account may be missing for the moment), or of a relay that speaks in a room.
 */
#include "daemon/server/server.h"

#include "common/nick.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

struct reserved {
	uint64_t *keys;
	size_t n;
};

static void reserved_add(struct reserved *names, const char *nick)
{
	size_t len = strlen(nick);
	struct nick_keys keys = nick_keys(nick, len);

	if (len <= TEXT_NICK_MAX) { /* a listener's may be longer */
		memcpy(names->keys + names->n, keys.at, sizeof(keys.at));
		names->n += NICK_KEYS;
	}
}

void reserved_apply(struct roster *roster, const struct config *config)
{
	struct reserved names = {.n = 0};
	size_t most = config->n_listeners + 1;

	for (size_t i = 0; i < config->n_listeners; i++)
		most += config->listeners[i].accounts.n;
	for (size_t i = 0; i < config->n_rooms; i++)
		most += config->rooms[i].n_members;
	names.keys = calloc(most, NICK_KEYS * sizeof(*names.keys));
	if (!names.keys)
		abort(); /* a crash is recovered from */
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct listener_config *l = &config->listeners[i];
		for (size_t k = 0; k < l->accounts.n; k++)
			reserved_add(&names, l->accounts.at[k].nick);
		if (l->speaks)
			reserved_add(&names, l->name);
	}
	for (size_t i = 0; i < config->n_rooms; i++)
		for (size_t k = 0; k < config->rooms[i].n_members; k++)
			reserved_add(&names, config->rooms[i].members[k]);
	roster_reserve(roster, names.keys, names.n);
}
