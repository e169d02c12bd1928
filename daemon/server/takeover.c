/* SPDX-License-Identifier: MIT */
/* Takes over what a process before left: see takeover.h. */
#include "daemon/server/takeover.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/transaction.h"
#include "daemon/io/memfd.h"
#include "daemon/irc/store.h"
#include "daemon/irc/users.h"
#include "daemon/modes/table.h"
#include "daemon/rooms/speech.h"
#include "daemon/server/entry_index.h"
#include "daemon/state/keeper.h"
#include "daemon/state/memberships.h"
#include "daemon/state/sockets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Why its place in a room can't be trusted, or NULL; sent: so much of that room's log went out. */
static const char *takeover_check_place(struct room *room, struct position at, uint64_t sent)
{
	struct logring_view v;

	logring_lock(room->log);
	logring_peek(room->log, &v);
	logring_unlock(room->log);
	if (at.cursor > v.head || sent > v.head - at.cursor || at.seq > v.count)
		return "its place in the room doesn't add up";
	/* A cursor on a message that is still there must stand where a message begins. */
	if (at.cursor >= v.floor &&
	    logring_start(room->log, &v, logring_seek(room->log, &v, at.cursor)) != at.cursor)
		return "its cursor is within a message";
	return NULL;
}

/* What becomes of an entry's memberships: each is in a room that is there. *ret: the room whose log it gets. */
static const char *takeover_check_rooms(struct clients *clients, struct rooms *rooms, const struct client *c,
					struct room **ret)
{
	const struct client_state *st = client_live(c);
	const struct membership *direct = membership_direct(clients, st);

	*ret = NULL;
	if (st->direct != 0 && (!direct || !membership_is_of(clients, c, direct)))
		return "its entry is damaged";
	for (const struct membership *m = NULL; (m = membership_next(clients, c, m));) {
		struct room *room = m->room == ROOM_PRIVATE ? NULL : rooms_at(rooms, m->room);
		if (!room || room->born || room->main)
			return "its room is gone";
		if (st->nick_len == 0)
			return "it is in a room without a nick";
		if (m == direct) {
			*ret = room;
			continue;
		}
		struct position at;
		const char *why = membership_get(c, st, m, &at) ? takeover_check_place(room, at, 0) : NULL;
		if (why)
			return why;
	}
	return NULL;
}

/* The same where members are sent renderings: so much of those went out. */
static const char *takeover_check_rendered(const struct audience *to, struct position at, uint64_t sent,
					   struct renderings *renderings)
{
	struct logring *log = to->room->log;
	const char *why = sent > 0 && !renderings ? "its output doesn't add up" : NULL;
	struct logring_view v;
	struct position ret;
	size_t cut;

	if (why || sent == 0)
		return why;
	logring_lock(log);
	logring_peek(log, &v);
	why = renderings_recover(renderings, to, &v, at, sent, &ret, &cut);
	logring_unlock(log);
	return why;
}

const char *takeover_check(struct clients *clients, struct rooms *rooms, const struct client *c,
			   const struct connection_progress *p, struct renderings *renderings)
{
	const struct client_state *st = client_live(c);
	const struct client_origin *origin = clients_origin(clients, c->origin);
	const struct handler *handler = origin ? handler_find(origin->type, origin->mode) : NULL;
	struct room *room;

	if (!handler)
		return "it came from an unknown listener";
	const unsigned form = client_form(st);
	if (atomic_load(&c->live) > 1 || st->seal != client_seal_of(c, st) || c->kind != CLIENT_CONNECTION ||
	    atomic_load(&c->cookie) != atomic_load(&c->sealed_cookie) || st->flags & ~CLIENT_FLAGS ||
	    (form > 0 && !((handler->renders | handler->wraps) >> form & 1)) ||
	    st->nick_len > TEXT_NICK_MAX || (st->nick_len > 0 && !nick_well_formed(st->nick, st->nick_len)))
		return "its entry is damaged";
	const char *why = takeover_check_rooms(clients, rooms, c, &room);
	if (why)
		return why;
	if (p->received < st->in_parsed || p->received - st->in_parsed > CLIENT_IN_SIZE)
		return "its input doesn't add up";
	if (st->flags & CLIENT_CLOSING)
		return st->out_end > p->sent && st->out_end - p->sent > CLIENT_OUT_SIZE
			   ? "its output doesn't add up"
			   : NULL;
	if (st->out_end > p->sent)
		return st->out_end - p->sent > CLIENT_OUT_SIZE ? "its output doesn't add up" : NULL;
	/* What went out past the outbox: the room's lines as they are, or what is mirrored; else nothing. */
	uint64_t straight = p->sent - st->out_end;
	uint64_t mirrored = handler->mirrors ? p->received - st->in_parsed : 0;
	if (!room)
		return straight > mirrored ? "its output doesn't add up" : NULL;
	const bool renders = handler->renders >> form & 1;
	const struct position at = membership_place(clients, st);
	why = takeover_check_place(room, at, renders ? 0 : straight);
	if (!why && renders)
		why = takeover_check_rendered(&(struct audience){handler, form, room}, at, straight,
					      renderings);
	return why;
}

bool takeover_input(struct clients *clients, const struct client *c, const struct connection_progress *p)
{
	uint64_t from = client_live(c)->in_parsed;
	char *inbox = clients_inbox(clients, c);

	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++) {
		struct scratch *s = clients_scratch(clients, i);
		if (atomic_load(&s->owner) != scratch_owner(s, c->id))
			continue;
		if (from < s->base || p->received - s->base > CLIENT_IN_SIZE)
			return false;
		for (uint64_t at = from; at < p->received; at++)
			inbox[at % CLIENT_IN_SIZE] = s->data[at - s->base];
		FAULT("recover-input");
		atomic_store(&s->owner, 0);
	}
	return true;
}

void takeover_intents(struct clients *clients, struct rooms *rooms)
{
	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++) {
		struct scratch *s = clients_scratch(clients, i);
		if (atomic_load(&s->intent) == 0)
			continue;
		bool whole = atomic_load(&s->intent) == scratch_intent(s);
		struct client *c = clients_at(clients, s->client);
		const struct room *room = rooms_at(rooms, s->room);
		/* The message was committed, so what belongs to it became true as well. */
		if (whole && c && room && s->live_after <= 1 && logring_count(room->log) >= s->count)
			atomic_store(&c->live, s->live_after);
		FAULT("recover-intent");
		atomic_store(&s->intent, 0);
	}
}

/*
 * A build before rights left entries without them. Those that were greeted have all they need; the others get
 * what their listener gives now, and nothing if it is gone.
 */
static void takeover_grant_rights(struct shared *shared)
{
	struct clients *clients = shared->clients;
	struct worker *w = shared->workers[0];
	struct client *c;

	if (clients_revision(clients) >= 1)
		return;
	for (uint32_t i = 0; (c = clients_at(clients, i)); i++) {
		const struct client_state *st = client_live(c);
		const struct client_origin *o = clients_origin(clients, c->origin);
		const struct listener_config *l =
		    o ? config_listener(worker_context(w)->config, o->listener) : NULL;
		if (!atomic_load(&c->cookie) || c->kind != CLIENT_CONNECTION || st->flags & CLIENT_GREETED ||
		    !l || l->password || st->seal != client_seal_of(c, st))
			continue;
		transaction_begin(clients, c)->rights |= CLIENT_OPEN;
		transaction_commit(worker_context(w), c, NULL);
	}
	clients_set_revision(clients, CLIENTS_REVISION);
}

/* --- the whole --- */

struct taking {
	struct shared *shared;
	struct entry_index *index; /* NULL: nobody is believed */
	/* Where input of somebody is that was not worked on. */
	const struct scratch *owned[CLIENTS_SCRATCHES];
	unsigned n_owned;
	unsigned next_worker;
	struct takeover *result;
};

/* Ends the connection whatever else holds its socket. */
static void takeover_end_socket(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* Where it came from, as its entry says; if that says nothing, as the socket does. */
static bool takeover_find_address(int fd, const struct client *c, union address *ret)
{
	static const uint8_t none[sizeof(c->address_space)];
	socklen_t len = sizeof(*ret);

	if (memcmp(c->address_space, none, sizeof(none)) != 0) {
		*ret = c->address;
		return ret->sa.sa_family == AF_INET || ret->sa.sa_family == AF_INET6;
	}
	memset(ret, 0, sizeof(*ret));
	if (getpeername(fd, &ret->sa, &len) < 0 ||
	    (ret->sa.sa_family != AF_INET && ret->sa.sa_family != AF_INET6))
		ret->sa.sa_family = AF_INET; /* it has ended */
	return true;
}

static void takeover_refuse(struct taking *x, struct client *c, int fd, const char *why)
{
	static const struct notice sorry = {.kind = NOTICE_LOST};
	const struct client_origin *o = clients_origin(x->shared->clients, c->origin);
	union address a;

	log_event(LOG_ERR,
		  &(struct log_fields){.message_id = EVENT_STATE_REFUSED,
				       .client = c->id,
				       .listener = o ? o->listener : NULL,
				       .address = fd >= 0 && takeover_find_address(fd, c, &a) ? &a : NULL},
		  "client %" PRIu64 " can't be taken over: %s", c->id, why);
	if (fd >= 0) {
		const struct handler *h = o ? handler_find(o->type, o->mode) : NULL;
		char text[NOTICE_MAX];
		bool plain = !(client_live(c)->flags & (CLIENT_TLS | CLIENT_FORM));
		size_t len = plain && h && h->notice ? h->notice(NULL, &sorry, text, sizeof(text)) : 0;
		if (len > 0 && send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			(void)0; /* a courtesy */
		if (len == 0)
			sockets_reset(fd); /* or it would look like an end at which nothing is missing */
		takeover_end_socket(fd);
	}
	x->result->closed++;
}

/* Its rooms hear that it has left, as when a connection ends. */
static void takeover_tell_rooms(struct shared *shared, const struct client *c)
{
	const struct client_state *st = client_live(c);
	const struct speaker who = {.id = c->id, .nick = st->nick, .nick_len = st->nick_len};

	if (!(st->flags & CLIENT_GREETED))
		return;
	for (const struct membership *m = NULL; (m = membership_next(shared->clients, c, m));) {
		struct room *room = m->room == ROOM_PRIVATE ? NULL : rooms_at(shared->rooms, m->room);
		if (!room || room->main)
			continue;
		speech_leave_lost(room, &who);
		/* Its thread isn't running yet, and looks when it begins. */
		struct slot_set kick = {{0}};
		if (room->outgoing)
			rooms_mark(shared->rooms, room->outgoing, &kick);
	}
}

void takeover_orphans(struct shared *shared, bool (*has_home)(unsigned origin, void *arg), void *arg)
{
	struct client *c;

	for (uint32_t i = 0; (c = clients_at(shared->clients, i)); i++) {
		if (!client_is_datagram(c) || has_home(c->origin, arg))
			continue;
		const struct client_state *st = client_live(c);
		if (st->seal == client_seal_of(c, st) && nick_well_formed(st->nick, st->nick_len))
			takeover_tell_rooms(shared, c);
		log_info("client %" PRIu64 " was registered at a listener that no longer exists", c->id);
		clients_release(shared->clients, c);
	}
}

/* It is not taken over: its rooms hear of it, if its entry can be believed. */
static void takeover_drop(struct shared *shared, struct client *c)
{
	const struct connection_progress none = {.sent = client_live(c)->out_end,
						 .received = client_live(c)->in_parsed};

	if (!takeover_check(shared->clients, shared->rooms, c, &none, NULL))
		takeover_tell_rooms(shared, c);
	memfd_release(clients_inbox(shared->clients, c), CLIENT_AREA_SIZE); /* all that was kept for it */
	clients_release(shared->clients, c);
}

/* Who speaks IRC has a record since it was greeted, without which nobody knows what it has said of itself. */
static bool takeover_has_irc(struct shared *shared, struct worker *w, const struct client *c)
{
	const struct client_origin *o = clients_origin(shared->clients, c->origin);
	struct irc *irc = atomic_load(&shared->irc);

	if (!o || strcmp(o->mode, "irc") != 0 || !(client_live(c)->flags & CLIENT_GREETED))
		return true;
	return irc && irc_users_get(irc->users, worker_context(w)->slot, c);
}

/* Its input, wherever the process before left it. */
static bool takeover_collect_input(const struct taking *x, const struct client *c,
				   const struct connection_progress *p)
{
	for (unsigned i = 0; i < x->n_owned; i++)
		if (atomic_load(&x->owned[i]->owner) == scratch_owner(x->owned[i], c->id))
			return takeover_input(x->shared->clients, c, p);
	return true;
}

static void takeover_take_socket(int fd, void *arg)
{
	struct taking *x = arg;
	struct shared *shared = x->shared;
	struct connection_progress p;
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	union address a;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		cookie = 0;
	bool again = false;
	struct client *c = cookie && x->index ? entry_index_find(x->index, cookie, &again) : NULL;
	if (!c) {
		takeover_end_socket(fd); /* no entry: it was closed already */
		return;
	}
	if (again) {
		close(fd); /* a second copy */
		return;
	}

	struct stream stream;
	const char *why = takeover_stream(shared, c, fd, &p, &stream);
	if (p.ended && !(client_live(c)->flags & CLIENT_CLOSING)) {
		/* It was closed at once, and all that is missing is that its entry was given back. */
		if (stream.ops)
			stream_free(&stream);
		takeover_end_socket(fd);
		takeover_drop(shared, c);
		return;
	}
	struct worker *w = shared->workers[x->next_worker % shared->n_workers];
	if (!why)
		why = takeover_check(shared->clients, shared->rooms, c, &p, connections_renderings(w));
	if (!why && !takeover_has_irc(shared, w, c))
		why = "what IRC keeps of it is missing";
	if (!why && !takeover_collect_input(x, c, &p))
		why = "its input is missing";
	if (!why && !takeover_find_address(fd, c, &a))
		why = "its address is damaged";
	if (!why && limits_take(shared->limits, &a, c->origin, NULL) < 0)
		why = "out of memory";
	if (why) {
		if (stream.ops)
			stream_free(&stream);
		takeover_refuse(x, c, fd, why);
		takeover_drop(shared, c);
		return;
	}
	const struct client_origin *o = clients_origin(shared->clients, c->origin);
	x->next_worker++;
	const struct connection_start start = {stream, a, c, handler_find(o->type, o->mode), true};
	if (connection_restore(w, &start, &p) == 0)
		x->result->taken++;
	else
		x->result->closed++;
}

/* It was being accepted when the process died, or the keeper was full. */
static void takeover_miss(struct client *c, void *arg)
{
	struct taking *x = arg;

	takeover_drop(x->shared, c);
	x->result->closed++;
}

static void takeover_close_all(struct clients *clients, struct takeover *ret)
{
	struct client *c;

	for (uint32_t i = 0; (c = clients_at(clients, i)); i++)
		if (atomic_exchange(&c->cookie, 0))
			ret->closed++;
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
		  "the table of clients can't be trusted: %u clients are closed", ret->closed);
	memberships_rebuild(clients);
}

void takeover_run(struct shared *shared, struct takeover *ret)
{
	struct taking x = {.shared = shared, .result = ret};
	struct clients *clients = shared->clients;

	*ret = (struct takeover){0};
	takeover_intents(clients, shared->rooms);
	if (atomic_load(&shared->irc))
		irc_users_recover(atomic_load(&shared->irc)->users);
	memberships_rebuild(clients);
	takeover_grant_rights(shared);
	int r = entry_index_new(clients, &x.index);
	if (r == -ENOMEM)
		return;
	if (r < 0)
		takeover_close_all(clients, ret);
	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++)
		if (atomic_load(&clients_scratch(clients, i)->owner) != 0)
			x.owned[x.n_owned++] = clients_scratch(clients, i);
	clients_rebuild(clients);
	keeper_each(shared->keeper, takeover_take_socket, &x);
	FAULT("recover-taken");
	if (x.index)
		entry_index_rest(x.index, takeover_miss, &x);
	entry_index_free(x.index);
	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++) {
		atomic_store(&clients_scratch(clients, i)->owner, 0);
		tls_scratch_clear(clients_tls_scratches(clients) + i);
	}
	/* Private messages that were on their way are looked for. */
	for (unsigned i = 0; i < shared->n_workers; i++)
		rooms_remark(shared->rooms, rooms_private(shared->rooms), i);
}
