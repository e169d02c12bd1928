/* SPDX-License-Identifier: MIT */
/* Look-ups in a configuration that is there, and its end. load.c makes it. */
#include "daemon/config/config.h"

#include "daemon/base/log_watch.h"
#include "daemon/config/cluster.h"
#include "daemon/config/copies.h"
#include "daemon/config/history.h"
#include "daemon/config/mode.h"
#include "daemon/config/webhooks.h"
#include "daemon/io/tls.h"
#include "daemon/state/clients.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(((struct client_origin *)NULL)->listener) > CONFIG_NAME_MAX,
	       "the state has a listener's name");
_Static_assert(sizeof(((struct log_entry *)NULL)->listener) > CONFIG_NAME_MAX,
	       "an event has a listener's name");

void config_free_listener(struct listener_config *l)
{
	const struct mode_settings *m = l->handler ? l->handler->settings : NULL;

	if (m && m->release && l->own)
		m->release(l->own);
	free(l->own);
	free(l->where);
	free(l->allow.at);
	free(l->deny.at);
	free(l->proxies.at);
	free(l->password_file);
	free(l->token_file);
	free(l->origins.at);
	free(l->hosts.at);
	tokens_free(&l->tokens);
	accounts_free(&l->accounts);
	free(l->tls_certificate);
	free(l->tls_key);
	free(l->tls_client_ca);
	tls_context_free(l->tls);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_rooms; i++)
		free(c->rooms[i].members);
	free(c->rooms);
	for (size_t i = 0; i < c->n_listeners; i++)
		config_free_listener(&c->listeners[i]);
	free(c->listeners);
	irc_config_release(&c->irc);
	cluster_config_free(c->cluster);
	history_config_free(c->history);
	webhooks_config_free(c->webhooks);
	free(c->control_socket);
	free(c->control_group);
	free(c->state_directory);
	free(c->metrics_where);
	copies_free(c->copies);
	free(c);
}

char *config_state_path(const struct config *c, const char *name)
{
	const char *dir = c->state_directory ? c->state_directory : getenv("STATE_DIRECTORY");
	size_t len = dir ? strcspn(dir, ":") : (size_t)(strrchr(c->control_socket, '/') - c->control_socket);
	char *path;

	if (name[0] == '/')
		return strdup(name);
	return asprintf(&path, "%.*s/%s", (int)len, dir ? dir : c->control_socket, name) < 0 ? NULL : path;
}

const char *config_endpoint_path(const struct endpoint_config *e)
{
	return strncmp(e->text, "ipc://", 6) == 0 ? e->text + 6 : NULL;
}

const union address *config_bound(const struct listener_config *c)
{
	return c->bound.sa.sa_family ? &c->bound : &c->listen;
}

const struct listener_config *config_listener(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (strcmp(c->listeners[i].name, name) == 0)
			return &c->listeners[i];
	return NULL;
}

const struct room_config *config_room(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_rooms; i++)
		if (strcmp(c->rooms[i].name, name) == 0)
			return &c->rooms[i];
	return NULL;
}

bool config_has_account(const struct config *c, const char *nick, size_t len)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (accounts_find_exactly(&c->listeners[i].accounts, nick, len))
			return true;
	return false;
}

bool config_is_member(const struct config *c, const char *room, const char *account, size_t len)
{
	const struct room_config *r = config_room(c, room);

	if (!r)
		return false;
	for (size_t i = 0; i < r->n_members; i++)
		if (len > 0 && nick_equal(r->members[i], strlen(r->members[i]), account, len))
			return true;
	return false;
}
