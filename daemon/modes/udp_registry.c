/* SPDX-License-Identifier: MIT */
/*
 * UDP mode "registry": addresses that have registered (#REG) are members of the listener's room.
 * docs/PROTOCOL.md is the users' side of this. A member's entry in the table of clients keeps its address,
 * nick and place in the room, so that registrations outlive the process. A message may be sent twice around a
 * crash, but is not skipped. Here are the behaviour and the leases; udp_registry.h says where the rest is.
 */
#include "daemon/modes/udp_registry.h"

#include "daemon/base/clock.h"
#include "daemon/config/handler.h"
#include "daemon/config/mode_settings.h"
#include "daemon/modes/notices.h"
#include "daemon/net/cookie.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the settings --- */

static const struct setting_key registry_keys[] = {
    SETTING("lease", setting_seconds, offsetof(struct registry_own, lease_us), .min = 1, .max = 30 * DAY_S),
    SETTING("trusted", setting_prefixes, offsetof(struct registry_own, trusted)),
    SETTINGS_END,
};

static bool registry_init(void *own)
{
	struct registry_own *o = own;

	o->lease_us = 300 * SECOND_US;
	o->trusted = (struct prefix_list){calloc(2, sizeof(struct prefix)), 2};
	if (!o->trusted.at)
		return false;
	prefix_parse("127.0.0.0/8", &o->trusted.at[0]);
	prefix_parse("::1", &o->trusted.at[1]);
	return true;
}

static void registry_release(void *own)
{
	free(((struct registry_own *)own)->trusted.at);
}

static const struct mode_settings registry_settings = {
    .common = {mode_socket_keys, mode_room_keys},
    .own = registry_keys,
    .own_size = sizeof(struct registry_own),
    .init = registry_init,
    .release = registry_release,
    .complete = mode_default_room,
};

/* --- the behaviour --- */

static void registry_reloaded(struct udp_listener *u)
{
	const struct registry *g = udp_data(u);

	for (struct member *m = members_oldest(g->members); m; m = m->newer)
		if (!m->roster || roster_is_reserved(registry_shared(u)->roster, m->roster))
			registry_make_guest(u, m);
}

static void registry_tick(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	int64_t now = registry_context(u)->now;
	unsigned losses = roster_losses(registry_shared(u)->roster);
	struct member *m;

	if (losses != g->losses)
		registry_reloaded(u);
	g->losses = losses;
	while ((m = members_oldest(g->members)) && now - registry_active_us(m) > registry_own(u)->lease_us) {
		count(registry_context(u)->counters, COUNT_CLIENTS_IDLE, 1);
		registry_send_away(u, m, true);
	}
}

static void registry_unreachable(struct udp_listener *u, const union address *a)
{
	const struct registry *g = udp_data(u);
	struct member *m = members_find(g->members, a);

	if (m)
		registry_remove(u, m, true);
}

static void registry_goodbye(struct udp_listener *u, bool announce)
{
	struct registry *g = udp_data(u);

	if (members_count(g->members) > 0)
		registry_deliver_room(u);
	for (struct member *m; (m = members_oldest(g->members));)
		registry_send_away(u, m, announce);
}

static void registry_each(struct udp_listener *u, void (*fn)(const struct client_info *info, void *arg),
			  void *arg)
{
	struct registry *g = udp_data(u);
	int64_t now = registry_context(u)->now;
	struct logring_view v = {0};

	if (members_count(g->members) > 0) {
		logring_lock(g->room->log);
		logring_peek(g->room->log, &v);
	}
	for (const struct member *m = members_oldest(g->members); m; m = m->newer) {
		const struct client_state *st = registry_state(m);
		int64_t left = registry_active_us(m) + registry_own(u)->lease_us - now;
		struct client_info info = {
		    .id = m->client->id,
		    .address = m->address,
		    .mode = "registry",
		    .age_us = now > m->began ? now - m->began : 0,
		    .idle_us = now - registry_active_us(m),
		    .received = m->received,
		    .sent = m->sent,
		    .behind = v.head - logring_start(g->room->log, &v, m->seq > v.first ? m->seq : v.first),
		    .dropped = m->dropped,
		    .lease_us = left > 0 ? left : 0,
		    .covered = true,
		};
		snprintf(info.listener, sizeof(info.listener), "%s", udp_base(u)->name);
		memcpy(info.nick, st->nick, st->nick_len);
		snprintf(info.room, sizeof(info.room), "%.*s", TEXT_ROOM_MAX, g->room->name);
		fn(&info, arg);
	}
	if (members_count(g->members) > 0)
		logring_unlock(g->room->log);
}

static bool registry_kick(struct udp_listener *u, uint64_t id, const struct notice *why,
			  union address *ret_from)
{
	struct registry *g = udp_data(u);
	char text[NOTICE_MAX];
	struct member *m = members_oldest(g->members);

	while (m && m->client->id != id)
		m = m->newer;
	if (!m)
		return false;
	*ret_from = m->address;
	udp_say(u, &m->address, &m->local, text, notices_line(NULL, why, text, sizeof(text)));
	registry_send_away(u, m, true);
	return true;
}

/* --- beginning and end --- */

static void registry_closed(void *data)
{
	struct registry *g = data;

	cookies_free(g->cookies);
	members_free(g->members);
	free(g);
}

static int registry_opened(struct udp_listener *u, const struct listener_config *config, void **ret_data)
{
	struct registry *g = calloc(1, sizeof(*g));

	(void)u;
	if (!g)
		return -ENOMEM;
	memcpy(g->room_name, config->room, sizeof(g->room_name));
	g->members = members_new();
	if (!g->members || cookies_new(&g->cookies) < 0) {
		registry_closed(g);
		return -ENOMEM;
	}
	*ret_data = g;
	return 0;
}

const struct udp_behaviour udp_registry = {
    .opened = registry_opened,
    .started = registry_started,
    .received = registry_received,
    .deliver = registry_deliver,
    .tick = registry_tick,
    .reloaded = registry_reloaded,
    .unreachable = registry_unreachable,
    .goodbye = registry_goodbye,
    .each = registry_each,
    .kick = registry_kick,
    .closed = registry_closed,
};

const struct handler handler_udp_registry = {
    .type = "udp",
    .mode = "registry",
    .transport = TRANSPORT_UDP,
    .settings = &registry_settings,
    .notice = notices_line,
    .udp = &udp_registry,
};
