/* SPDX-License-Identifier: MIT */
/*
 * What outlives the process of each client, as it lies in the file of clients: its entry with its state, and its
 * memberships; besides, the scratches of the workers. state/clients.h and state/memberships.h say by which rules they
 * change, state/file.h where in the file they are.
 */
#ifndef DAEMON_ENTRY_H
#define DAEMON_ENTRY_H

#include "common/address.h"
#include "common/text.h"
#include "daemon/base/checksum.h"
#include "daemon/io/tls_state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* As many as max_clients may say. */
#define CLIENTS_LIMIT 2000000
/* The table's places: the same, rounded up so that every part of the file ends on a page of any size. */
#define CLIENTS_CAPACITY 2000896
#define CLIENT_IN_SIZE 65536
#define CLIENT_OUT_SIZE 262144
/* All that has an area of its own: the inbox, the outbox, and cipher text in both directions. */
#define CLIENT_AREA_SIZE (CLIENT_IN_SIZE + CLIENT_OUT_SIZE + 2 * TLS_REST_SIZE)
#define CLIENTS_SCRATCHES 64
#define CLIENTS_ORIGINS 1024
/* Space for counters, in sets: one for each scratch, and more for other threads. */
#define CLIENTS_COUNTERS 160
#define CLIENTS_MORE_COUNTERS 17
#define CLIENTS_COUNTER_SETS (CLIENTS_SCRATCHES + CLIENTS_MORE_COUNTERS)

enum client_flags {
	CLIENT_GREETED = 1 << 0,
	CLIENT_CLOSING = 1 << 1, /* flush, then close */
	CLIENT_DISCARD = 1 << 2, /* within a line that is too long */
	CLIENT_ACCOUNT = 1 << 3, /* logged in: the nick is its account's */
	CLIENT_TLS = 1 << 4,	 /* what the kernel has is cipher text: see tls_state.h */
	/* What its connection speaks at the moment: a number that its handler knows, see config/handler.h. */
	CLIENT_FORM_SHIFT = 5,
	CLIENT_FORMS = 1 << 6,
	CLIENT_FORM = (CLIENT_FORMS - 1) << CLIENT_FORM_SHIFT,
	CLIENT_FLAGS = (1 << 11) - 1,
};

/* What a connection may do is decided when it is accepted, whatever becomes of its listener. */
enum client_rights {
	CLIENT_OPEN = 1 << 0, /* to talk without a login: its listener asked for none */
	/* Not a right, but what the kernel tells only once: how the peer went, whose input is still worked
	   on. */
	CLIENT_PEER_ENDED = 1 << 1, /* in order, before it was reset */
	CLIENT_PEER_RESET = 1 << 2,
	/* Nor this: nothing of its input is consumed yet, so it may turn out to speak something else than
	   chat. */
	CLIENT_NEW = 1 << 3,
};

enum client_kind {
	CLIENT_CONNECTION,
	CLIENT_DATAGRAM, /* no connection, but an address */
};

struct client_state {
	union {
		struct {
			uint64_t in_parsed;
			uint64_t out_end;
		};
		/* a datagram client's: our address that it talks to (IPv6); 0: not known */
		uint8_t local[16];
	};
	/* Grows with each commit. Positions in rooms count from the generation on that they were changed in. */
	uint64_t generation;
	uint64_t private_seq; /* first private message not yet in the outbox */
	uint32_t direct;      /* the membership whose room's log goes out, plus 1; 0: none */
	uint16_t flags;
	uint8_t nick_len; /* 0: none */
	uint8_t rights;	  /* enum client_rights */
	char nick[TEXT_NICK_MAX];
	uint64_t seal; /* of the above and of whose it is: see client_seal() */
};

_Static_assert(sizeof(struct client_state) == 80, "without holes, for the seal");

struct client {
	_Atomic uint64_t cookie; /* SO_COOKIE, or the id of a client with an address; 0: free. Stored last. */
	uint64_t id;
	uint64_t connected_us; /* CLOCK_REALTIME */
	_Atomic uint32_t live; /* which of st[] is true: 0 or 1 */
	uint16_t origin;
	uint16_t kind; /* enum client_kind */
	struct client_state st[2];
	/* Where it is, or came from, maybe as a proxy told. Releases before 0.2.0 noted a connection's only then. */
	union {
		union address address;
		uint8_t address_space[32];
	};
	union {
		/* A connection's cookie once more, under the seal. */
		_Atomic uint64_t sealed_cookie;
		/* A datagram client's next message, stored after the sending. */
		_Atomic uint64_t sent_seq;
	};
	/* CLOCK_MONOTONIC of a datagram client's last datagram, and of a connection's beginning; 0: not known */
	_Atomic int64_t active_us;
	/* Made anew by every process: the first of its memberships, plus 1, and whether some of them are over. */
	uint32_t memberships;
	uint32_t has_left;
	/* Its handler's, of what let it in, for as long as it is there; 0: nothing. Not under the seal. */
	uint64_t proof;
};

_Static_assert(sizeof(struct client) == 256, "part of the state's layout");

/* Where clients come from: survives the listener that it names. */
struct client_origin {
	char listener[64];
	char type[16], mode[16];
	char room[TEXT_ROOM_MAX + 1];
	uint8_t reserved[31];
};

/* A worker's own part: input of one client at a time, and the intent of the change under way. */
struct scratch {
	_Atomic uint64_t
	    owner; /* scratch_owner() of the client whose input from base on lies in data; 0: nobody */
	uint64_t base;
	_Atomic uint64_t intent; /* scratch_intent(): the client's live becomes live_after if the room has
				    count messages; 0: none */
	uint32_t client, live_after, room;
	_Atomic uint32_t waits; /* the worker has nothing to do: it would serve at once whoever comes */
	uint64_t count;
	_Atomic uint64_t beat_us; /* CLOCK_MONOTONIC of the end of the last turn */
	uint8_t reserved2[8];
	_Atomic uint64_t counters[CLIENTS_COUNTERS];
	_Alignas(4096) char data[CLIENT_IN_SIZE];
};

/* How the state was handed on, for `chatctl status`. */
struct client_history {
	uint64_t takeovers;    /* by successors of this state */
	uint64_t last_us;      /* CLOCK_REALTIME of the last one */
	uint64_t last_clients; /* how many were taken over */
	uint64_t last_closed;  /* how many could not */
	uint64_t last_gap_us;  /* how long nobody was served */
};

/* What has come through listeners of an origin, ever. */
struct client_tally {
	_Atomic uint64_t accepted;		     /* connections, or registrations */
	_Atomic uint64_t received, dropped, ignored; /* datagrams, or messages */
};

#define MEMBERSHIPS_CAPACITY (4 * CLIENTS_CAPACITY)
/* The cursor of who has left. */
#define MEMBERSHIP_LEFT UINT64_MAX

struct membership {
	_Atomic uint32_t client; /* whose it is: the entry's index, plus 1; 0: free */
	uint32_t room;
	uint32_t next;	/* the client's next one, plus 1; every process makes it again */
	uint32_t flags; /* none yet */
	struct membership_position {
		_Atomic uint64_t
		    mark; /* the generation, and a check of all this: see memberships.c; 0: none */
		_Atomic uint64_t cursor; /* a message boundary in the room's log */
		_Atomic uint64_t seq;	 /* that message's number */
	} at[2];
};

_Static_assert(sizeof(struct membership) == 64, "part of the state's layout: a cache line");

/*
 * A state counts only with the seal that belongs to it, so that damage to the memory file is noticed rather
 * than delivered. Call it when the state is complete, before it goes live.
 */
static inline uint64_t client_seal_of(const struct client *c, const struct client_state *st)
{
	uint64_t h = c->id * 0x9e3779b97f4a7c15ULL + ((uint64_t)c->kind << 16 | c->origin), word;

	h = checksum_add(h, st, offsetof(struct client_state, seal));
	for (size_t i = 0; i < sizeof(c->address_space); i += sizeof(word)) {
		memcpy(&word, c->address_space + i, sizeof(word));
		h = (h ^ word) * 0xc4ceb9fe1a85ec53ULL;
	}
	/* Or another one's socket could be taken for this client's. */
	if (c->kind == CLIENT_CONNECTION)
		h = (h ^ atomic_load_explicit(&c->sealed_cookie, memory_order_relaxed)) *
		    0xff51afd7ed558ccdULL;
	return h;
}

static inline void client_seal(const struct client *c, struct client_state *st)
{
#ifdef MEASURE_WITHOUT_SURVIVAL /* what do the marks for a successor cost? See tests/bench */
	(void)c;
	(void)st;
#else
	st->seal = client_seal_of(c, st);
#endif
}

/* Marks that damage can hardly make. Never 0. */
static inline uint64_t scratch_owner(const struct scratch *s, uint64_t id)
{
#ifdef MEASURE_WITHOUT_SURVIVAL
	(void)s;
	return id;
#else
	return ((id * 0x9e3779b97f4a7c15ULL ^ s->base) * 0xff51afd7ed558ccdULL) | 1;
#endif
}

static inline uint64_t scratch_intent(const struct scratch *s)
{
	uint64_t h = ((uint64_t)s->client << 32 | s->room) * 0x9e3779b97f4a7c15ULL + s->live_after;

	return ((h ^ s->count) * 0xff51afd7ed558ccdULL) | 1;
}

static inline bool client_is_datagram(const struct client *c)
{
	return atomic_load_explicit(&c->cookie, memory_order_acquire) != 0 && c->kind == CLIENT_DATAGRAM;
}

/* Gives a draft that nick; len 0: none. */
static inline void client_set_nick(struct client_state *draft, const char *nick, size_t len)
{
	draft->nick_len = (uint8_t)len;
	memset(draft->nick, 0, sizeof(draft->nick));
	memcpy(draft->nick, nick, len);
}

static inline unsigned client_form(const struct client_state *st)
{
	return (st->flags & CLIENT_FORM) >> CLIENT_FORM_SHIFT;
}

static inline const struct client_state *client_live(const struct client *c)
{
	return &c->st[atomic_load_explicit(&c->live, memory_order_acquire) & 1];
}

#endif
