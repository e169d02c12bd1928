/* SPDX-License-Identifier: MIT */
/*
 * Nicks that belong to somebody. Nobody else may have the nick of an account, of a room's member (whose
 * account may be missing for the moment), of a token, or of a relay that speaks in a room.
 */
#include "daemon/server/server.h"

#include "common/nick.h"
#include "common/text.h"
#include "daemon/engine/late_accounts.h"

#include <stdlib.h>
#include <string.h>

struct reserved {
	uint64_t *keys;
	char (*text)[TEXT_NICK_MAX + 1];
	size_t n, most; /* of the keys: NICK_KEYS for each; names that there is space for */
};

static void reserved_add(struct reserved *names, const char *nick)
{
	size_t len = strlen(nick);
	struct nick_keys keys = nick_keys(nick, len);

	/* A listener's may be longer. Of late ones more may come meanwhile, which are for the next time. */
	if (len <= TEXT_NICK_MAX && names->n / NICK_KEYS < names->most) {
		memcpy(names->keys + names->n, keys.at, sizeof(keys.at));
		memcpy(names->text[names->n / NICK_KEYS], nick, len + 1);
		names->n += NICK_KEYS;
	}
}

static void reserved_count_late(const char *nick, void *arg)
{
	(void)nick;
	(*(size_t *)arg)++;
}

static void reserved_add_late(const char *nick, void *arg)
{
	reserved_add(arg, nick);
}

void reserved_apply(struct roster *roster, const struct config *config, struct late_accounts *late)
{
	struct reserved names = {.n = 0};
	size_t most = config->n_listeners + 1;

	late_accounts_each(late, reserved_count_late, &most);
	for (size_t i = 0; i < config->n_listeners; i++)
		most += config->listeners[i].accounts.n + config->listeners[i].tokens.n;
	for (size_t i = 0; i < config->n_rooms; i++)
		most += config->rooms[i].n_members;
	names.most = most;
	names.keys = calloc(most, NICK_KEYS * sizeof(*names.keys));
	names.text = calloc(most, sizeof(*names.text));
	if (!names.keys || !names.text)
		abort(); /* a crash is recovered from */
	for (size_t i = 0; i < config->n_listeners; i++) {
		const struct listener_config *l = &config->listeners[i];
		for (size_t k = 0; k < l->accounts.n; k++)
			reserved_add(&names, l->accounts.at[k].nick);
		for (size_t k = 0; k < l->tokens.n; k++)
			reserved_add(&names, l->tokens.at[k].name);
		if (l->speaks)
			reserved_add(&names, l->name);
	}
	for (size_t i = 0; i < config->n_rooms; i++)
		for (size_t k = 0; k < config->rooms[i].n_members; k++)
			reserved_add(&names, config->rooms[i].members[k]);
	late_accounts_each(late, reserved_add_late, &names);
	roster_reserve(roster, names.keys, names.n);
	if (config->cluster)
		roster_reserve_names(roster, names.text, names.n / NICK_KEYS);
	else
		free(names.text);
}

void reserved_follow(struct server *s)
{
	unsigned version = late_accounts_version(s->shared.late_accounts);

	if (version == s->late_version)
		return;
	s->late_version = version;
	reserved_apply(s->shared.roster, s->config, s->shared.late_accounts);
}
