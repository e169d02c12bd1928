/* SPDX-License-Identifier: MIT */
/*
 * What the files of the UDP mode "registry" share, and nobody else includes:
 *
 *	udp_registry.c           the behaviour, and how leases end
 *	udp_registry_members.c   entering the registry, changing the nick, leaving
 *	udp_registry_commands.c  what datagrams say: commands and messages
 *	udp_registry_history.c   what was said before
 *	udp_registry_delivery.c  the room's news and private messages, sent to the members
 *	udp_registry_restore.c   who was registered in the process before
 *	udp_members.c            the members in this process, found in three ways
 */
#ifndef DAEMON_UDP_REGISTRY_H
#define DAEMON_UDP_REGISTRY_H

#include "daemon/channels/others.h"
#include "daemon/base/logger.h"
#include "daemon/config/config.h"
#include "daemon/modes/udp_members.h"
#include "daemon/net/udp.h"
#include "daemon/rooms/speech.h"
#include "daemon/state/memberships.h"

/* The settings that no other mode has. */
struct registry_own {
	int64_t lease_us;
	struct prefix_list trusted; /* addresses that need not prove to be real */
};

struct registry {
	struct members *members;
	struct room *room; /* entered as long as there are members */
	char room_name[TEXT_ROOM_MAX + 1];
	struct cookies *cookies;
	unsigned losses;      /* roster_losses() that were looked at */
	uint64_t private_seq; /* up to there private messages have been looked at */
};

static inline struct context *registry_context(struct udp_listener *u)
{
	return udp_base(u)->ctx;
}

static inline struct shared *registry_shared(struct udp_listener *u)
{
	return registry_context(u)->shared;
}

static inline const struct registry_own *registry_own(struct udp_listener *u)
{
	return udp_base(u)->config->own;
}

static inline const struct client_state *registry_state(const struct member *m)
{
	return client_live(m->client);
}

static inline struct speaker registry_speaker(const struct member *m)
{
	const struct client_state *st = registry_state(m);

	return (struct speaker){
	    .id = m->client->id, .index = m->index, .nick = st->nick, .nick_len = st->nick_len};
}

static inline struct irc_channels *registry_channels(struct udp_listener *u)
{
	return atomic_load_explicit(&registry_shared(u)->channels, memory_order_acquire);
}

static inline int64_t registry_active_us(const struct member *m)
{
	return atomic_load_explicit(&m->client->active_us, memory_order_relaxed);
}

/* For what the log says of this member; room may be NULL. */
static inline struct log_fields registry_fields(struct udp_listener *u, const struct member *m,
						const char *message_id, const char *room)
{
	return (struct log_fields){.message_id = message_id,
				   .client = m->client->id,
				   .room = room,
				   .listener = udp_base(u)->name,
				   .address = &m->address};
}

/* --- udp_registry_members.c --- */

/* Registers an address that has proved to be real; nick NULL: as a guest. NULL: *ret_why says why not. */
struct member *registry_register(struct udp_listener *u, const struct datagram *d, const char *nick,
				 size_t len, const char **ret_why);
/* Changes the nick of a member, as /nick does. NULL, or why it can't be. */
const char *registry_rename(struct udp_listener *u, struct member *m, const char *nick, size_t len);
/* The member's nick is an account's or a relay's now, or can't be one any more: it is told its new one. */
void registry_make_guest(struct udp_listener *u, struct member *m);
/* Ends a registration: the room is told, its entry is free again. */
void registry_remove(struct udp_listener *u, struct member *m, bool announce);
/* The same, of a member that is told so. */
void registry_send_away(struct udp_listener *u, struct member *m, bool announce);
/* A datagram has come from it: the lease begins again. */
void registry_touch(struct registry *g, struct member *m, int64_t now);
/* Remembers at which of our addresses it arrived, as the next process has to answer from there, too. */
void registry_note_local(struct udp_listener *u, struct member *m, const struct udp_local *local);
/* The process's side of a member whose entry is made; NULL without memory. */
struct member *registry_add(struct udp_listener *u, struct client *c, const union address *a);

/* --- udp_registry_commands.c --- */

size_t registry_received(struct udp_listener *u, struct datagram *d, size_t n);
/* Tells a member its nick and its lease. */
void registry_confirm(struct udp_listener *u, const struct member *m);

/*
 * Asks for proof of the address. The answer is never longer than the question, so that a forged source gains
 * nothing.
 */
void registry_ask_for_proof(struct udp_listener *u, const struct datagram *d);

struct registry_word {
	const char *at;
	size_t len;
};
struct registry_word registry_next_word(const char **at, const char *end);

/* --- udp_registry_history.c --- */

/* #HISTORY, of a member. NULL, or why there is no answer. */
const char *registry_history(struct udp_listener *u, const struct datagram *d, struct member *m,
			     const char *at, const char *end);

/* --- udp_registry_delivery.c --- */

void registry_deliver(struct udp_listener *u, uint32_t room);
/* The room's news only. True when everybody has everything; false when the socket is full. */
bool registry_deliver_room(struct udp_listener *u);

/* --- udp_registry_restore.c --- */

void registry_started(struct udp_listener *u);

#endif
