/* SPDX-License-Identifier: MIT */
/* Every listener is compared with those before it; the rest is judged when all of the file is read. */
#include "daemon/config/listener_checks.h"

#include <string.h>

/* --- where they listen --- */

/* A Unix socket that both would listen at. */
static const char *listener_same_path(const struct listener_config *a, const struct listener_config *b)
{
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		for (unsigned k = 0; k < HANDLER_ENDPOINTS; k++)
			if (config_endpoint_path(&a->endpoints[i]) &&
			    strcmp(a->endpoints[i].text, b->endpoints[k].text) == 0)
				return a->endpoints[i].text;
	return NULL;
}

/* One of the addresses that a listener binds, or NULL. */
static const union address *listener_address(const struct listener_config *l, unsigned number)
{
	const union address *a = l->handler->endpoints[0] ? &l->endpoints[number].address
				 : number == 0		  ? &l->listen
							  : NULL;

	return a && a->sa.sa_family ? a : NULL;
}

/* The first address of l that only one of both can have, and which of the other's it is. Datagrams and
 * connections don't meet. */
static const union address *listener_clash(const struct listener_config *l, const struct listener_config *o,
					   const union address **ret_other)
{
	if (!l->handler || !o->handler ||
	    (l->handler->transport == TRANSPORT_UDP) != (o->handler->transport == TRANSPORT_UDP))
		return NULL;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		for (unsigned k = 0; k < HANDLER_ENDPOINTS; k++) {
			const union address *a = listener_address(l, i), *b = listener_address(o, k);
			if (!a || !b || !address_overlaps(a, b))
				continue;
			*ret_other = b;
			return a;
		}
	return NULL;
}

/* Another listener that has its name or its place. */
void listener_check_twins(struct settings *ss, const config_setting_t *e, const struct listener_config *l,
			  const struct listener_config *o)
{
	char text[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];
	const char *path = listener_same_path(l, o);
	const union address *its, *a = listener_clash(l, o, &its);

	if (l->name[0] && strcmp(o->name, l->name) == 0)
		settings_complain(ss, e, "there are two listeners named \"%s\"; each needs its own name",
				  l->name);
	if (path)
		settings_complain(ss, e, "%s is taken by listener \"%s\"; each needs its own endpoint", path,
				  o->name);
	if (a && address_equal(a, its))
		settings_complain(ss, e, "%s is taken by listener \"%s\"; each needs its own address",
				  address_format(a, text), o->name);
	else if (a)
		settings_complain(ss, e,
				  "%s can't be had beside %s of listener \"%s\"; each needs its own address",
				  address_format(a, text), address_format(its, other), o->name);
}

/* The listener of the metrics takes connections as well. */
static void listener_check_metrics(struct settings *ss, const config_setting_t *at, const struct config *c,
				   const struct listener_config *l)
{
	char text[ADDRESS_TEXT_MAX], other[ADDRESS_TEXT_MAX];

	for (unsigned i = 0; c->metrics.sa.sa_family && l->handler && i < HANDLER_ENDPOINTS; i++) {
		const union address *a = listener_address(l, i);
		if (!a || l->handler->transport == TRANSPORT_UDP || !address_overlaps(a, &c->metrics))
			continue;
		if (address_equal(a, &c->metrics))
			settings_complain(
			    ss, at, "metrics: %s is taken by listener \"%s\"; each needs its own address",
			    address_format(&c->metrics, text), l->name);
		else
			settings_complain(ss, at,
					  "metrics: %s can't be had beside %s of listener \"%s\"; each needs "
					  "its own address",
					  address_format(&c->metrics, text), address_format(a, other),
					  l->name);
	}
}

/* Whoever bound the path second would take it away from the other. */
static void listener_check_control(struct settings *ss, const config_setting_t *at, const struct config *c,
				   const struct listener_config *l)
{
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		const char *path = config_endpoint_path(&l->endpoints[i]);
		if (path && strcmp(path, c->control_socket) == 0)
			settings_complain(
			    ss, at, "control.socket: %s is taken by listener \"%s\"; each needs its own path",
			    path, l->name);
	}
}

/* --- who speaks in a room, and who may enter it --- */

/* Whether it is, or looks like, an account or a room's member; which one. */
static const char *listener_account_like(const struct config *c, const char *nick)
{
	size_t len = strlen(nick);

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct accounts *a = &c->listeners[i].accounts;
		for (size_t k = 0; k < a->n; k++)
			if (nick_same(a->at[k].nick, strlen(a->at[k].nick), nick, len))
				return a->at[k].nick;
	}
	for (size_t i = 0; i < c->n_rooms; i++)
		for (size_t k = 0; k < c->rooms[i].n_members; k++)
			if (nick_same(c->rooms[i].members[k], strlen(c->rooms[i].members[k]), nick, len))
				return c->rooms[i].members[k];
	return NULL;
}

/* A relay's anonymous peers speak in its room under its name. */
static void listener_check_speaker(struct settings *ss, const config_setting_t *s,
				   const struct listener_config *l, const struct config *c)
{
	const char *account = l->speaks ? listener_account_like(c, l->name) : NULL;

	if (l->speaks && nick_is_chatds(l->name, strlen(l->name)))
		settings_complain(
		    ss, s,
		    "a relay speaks in its room under its name, and \"%s\" is somebody else's: it "
		    "is, or looks like, one of chatd's own",
		    l->name);
	else if (account)
		settings_complain(
		    ss, s,
		    "a relay speaks in its room under its name, and \"%s\" is somebody else's: it "
		    "is, or looks like, the account %s",
		    l->name, account);
}

void listeners_check(struct settings *ss, const config_setting_t *root, const struct config *c)
{
	const config_setting_t *s = config_setting_get_member(root, "listeners"),
			       *metrics = config_setting_get_member(root, "metrics"),
			       *control = config_lookup(root->config, "control.socket");
	unsigned zmqs = 0;

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];
		const struct room_config *r = l->room[0] ? config_room(c, l->room) : NULL;
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		zmqs += l->handler && l->handler->transport == TRANSPORT_ZMQ;
		listener_check_speaker(ss, e, l, c);
		listener_check_metrics(ss, metrics, c, l);
		listener_check_control(ss, control ? control : e, c, l);
		const config_setting_t *room = config_setting_get_member(e, "room");
		if (room && l->room[0] && !r)
			settings_warn(ss, room,
				      "room \"%s\" is not in rooms; it is made as room_defaults say",
				      l->room);
		/* Whoever comes in by a listener's door must be allowed in its room. */
		if (r && r->members && !l->password && l->handler)
			settings_complain(ss, e, "room \"%s\" has members, so the listener needs %s", l->room,
					  l->handler->transport == TRANSPORT_TCP ? "auth = \"password\""
										 : "another room");
	}
	if (zmqs > CONFIG_MAX_ZMQ)
		settings_complain(ss, s, "there are %u listeners of type \"zmq\"; at most %d are allowed",
				  zmqs, CONFIG_MAX_ZMQ);
}
