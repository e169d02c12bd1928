/* SPDX-License-Identifier: MIT */
/*
 * How a UDP registry comes up again: whoever was registered in the process before, or before a crash, is
 * found in the table of clients. What doesn't add up there is refused, with a line in the log.
 */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/nicks.h"
#include "daemon/modes/udp_registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Why an entry of a process before can't be trusted, or NULL. */
static const char *registry_check_entry(struct udp_listener *u, const struct client *c, union address *ret)
{
	const struct registry *g = udp_data(u);
	const struct client_state *st = client_live(c);
	struct clients *clients = registry_shared(u)->clients;
	const struct membership *m = membership_direct(clients, st);
	const struct room *room = m ? rooms_at(registry_shared(u)->rooms, m->room) : NULL;
	struct position p;

	if (atomic_load(&c->live) > 1 || st->seal != client_seal_of(c, st) ||
	    !nick_well_formed(st->nick, st->nick_len))
		return "its entry is damaged";
	*ret = c->address;
	if ((ret->sa.sa_family != AF_INET && ret->sa.sa_family != AF_INET6) || address_port(ret) == 0)
		return "its address is damaged";
	if (!room || strcmp(room->name, g->room_name) != 0)
		return "its room is gone";
	if (!membership_is_of(clients, c, m) || !membership_get(c, st, m, &p))
		return "its place in the room is damaged";
	return NULL;
}

/* Whether it was never confirmed, or was about to go. */
static bool registry_is_void(const struct client *c)
{
	const struct client_state *st = client_live(c);

	return st->seal == client_seal_of(c, st) &&
	       (!(st->flags & CLIENT_GREETED) || st->flags & CLIENT_CLOSING);
}

static bool registry_restore(struct udp_listener *u, struct client *c)
{
	struct registry *g = udp_data(u);
	struct shared *shared = registry_shared(u);
	union address a;

	if (registry_is_void(c))
		return false;
	const char *why = registry_check_entry(u, c, &a);
	if (!why && members_find(g->members, &a))
		why = "its address belongs to another client";
	if (!why && limits_take(shared->limits, &a, udp_base(u)->origin, NULL) < 0)
		why = "out of memory";
	struct member *m = why ? NULL : registry_add(u, c, &a);
	if (m) {
		const struct client_state *st = client_live(c);
		uint64_t sent = atomic_load(&c->sent_seq);
		uint64_t seq = membership_place(shared->clients, st).seq;
		uint32_t room = membership_room(shared->clients, st);
		g->room = rooms_enter_index(shared->rooms, room, registry_context(u)->slot);
		uint64_t count = logring_count(g->room->log);
		memcpy(&m->local.address, st->local, sizeof(st->local));
		m->local.known = !IN6_IS_ADDR_UNSPECIFIED(&m->local.address);
		m->seq = sent < seq ? seq : sent;
		if (m->seq > count)
			m->seq = count;
		if (registry_active_us(m) > registry_context(u)->now)
			atomic_store(&c->active_us, registry_context(u)->now);
		if (st->private_seq < g->private_seq)
			g->private_seq = st->private_seq;
		if (!nick_valid(st->nick, st->nick_len) ||
		    nicks_claim(shared, c, st->nick, st->nick_len, ROSTER_DATAGRAM, &m->roster) < 0)
			registry_make_guest(u, m);
		else
			(void)!roster_enter(shared->roster, m->roster, room);
		return true;
	}
	log_event(LOG_ERR,
		  &(struct log_fields){
		      .message_id = EVENT_STATE_REFUSED, .client = c->id, .listener = udp_base(u)->name},
		  "client %" PRIu64 " can't be taken over: %s", c->id, why ? why : "out of memory");
	return false;
}

static int registry_by_activity(const void *a, const void *b)
{
	int64_t x = atomic_load(&(*(struct client *const *)a)->active_us);
	int64_t y = atomic_load(&(*(struct client *const *)b)->active_us);

	return x < y ? -1 : x > y;
}

void registry_started(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	struct clients *clients = registry_shared(u)->clients;
	_cleanup_free_ struct client **found = NULL;
	size_t n = 0, capacity = 0;
	struct client *c;

	g->private_seq = logring_count(rooms_private(registry_shared(u)->rooms)->log);
	for (uint32_t i = 0; (c = clients_at(clients, i)); i++) {
		if (!client_is_datagram(c) || c->origin != udp_base(u)->origin)
			continue;
		if (n == capacity) {
			capacity = capacity ? capacity * 2 : 64;
			struct client **more = reallocarray(found, capacity, sizeof(struct client *));
			if (!more)
				abort(); /* a crash is recovered from; a lost registration is not */
			found = more;
		}
		found[n++] = c;
	}
	if (n > 0)
		qsort(found, n, sizeof(struct client *), registry_by_activity);
	for (size_t i = 0; i < n; i++)
		if (!registry_restore(u, found[i]))
			clients_release(clients, found[i]);
	if (members_count(g->members) > 0)
		rooms_remark(registry_shared(u)->rooms, g->room, registry_context(u)->slot);
}
