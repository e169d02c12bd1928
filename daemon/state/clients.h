/* SPDX-License-Identifier: MIT */
/*
 * The table of clients in a memory file: everything about a connection that has to outlive the process.
 * state/file.h says where in the file things are; state/memberships.h has who is in which room.
 *
 * A client's entry holds its state twice, each with a generation; a change is prepared in the other half and
 * becomes true by the single store of `live`. Where a change and a message in a room belong together, an
 * intent in the worker's scratch joins them.
 *
 * Output is one stream of bytes, counted from 0 as the kernel counts them: bytes below out_end lie in the
 * client's outbox (at stream offset % CLIENT_OUT_SIZE), the rest is the log of the client's direct room, from
 * its position there on. Input is counted likewise; bytes from in_parsed on that were received are in a
 * worker's scratch, or in the client's inbox at offset % CLIENT_IN_SIZE. How much was really sent and received
 * the kernel knows, so nothing is stored per send().
 */
#ifndef DAEMON_CLIENTS_H
#define DAEMON_CLIENTS_H

#include "common/address.h"
#include "common/text.h"

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
/* What a stream keeps of its own in the file: the state of TLS, of a WebSocket. */
#define CLIENT_STREAM_SIZE 64
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
	CLIENT_TLS = 1 << 4,	 /* what the kernel has is cipher text, whose keys end with the process */
	CLIENT_FLAGS = (1 << 5) - 1,
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
	uint8_t reserved[8];
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

struct clients;

/* The size to create the memory file with. It is the same whatever max_clients says: pages exist only where
 * something was written, so a restart may allow more clients, or fewer. */
uint64_t clients_file_size(void);
/* Returns 0, -EBADMSG for a file of another layout, or -errno. Entries are checked by whoever takes them
 * back. */
int clients_open(int fd, bool fresh, struct clients **ret);
void clients_close(struct clients *cs);

struct client_history *clients_history(struct clients *cs);

/* The entry for a new client; it has an id but no cookie yet. NULL when the table is full. Any thread. */
struct client *clients_allocate(struct clients *cs);
void clients_release(struct clients *cs, struct client *c);
/* For the start: the free entries become known after all used ones have been looked at. */
void clients_rebuild(struct clients *cs);

uint64_t clients_next_id(const struct clients *cs);
/* The places below have been used; all of them are below. */
uint32_t clients_high(const struct clients *cs);
uint32_t clients_index(const struct clients *cs, const struct client *c);
struct client *clients_at(struct clients *cs, uint32_t index);
char *clients_inbox(struct clients *cs, const struct client *c);
char *clients_outbox(struct clients *cs, const struct client *c);
void *clients_stream(struct clients *cs, const struct client *c);
struct scratch *clients_scratch(struct clients *cs, unsigned worker);

/* The number for such an origin, made if need be; main thread only. -ENOSPC when all are in use, by clients
 * or by who holds them. */
int clients_intern(struct clients *cs, const struct client_origin *origin);
/* As long as it is held, a number is nobody else's. Any thread. */
void clients_hold_origin(struct clients *cs, unsigned number);
void clients_drop_origin(struct clients *cs, unsigned number);
const struct client_origin *clients_origin(const struct clients *cs, unsigned number);

/* What has come through listeners of an origin, ever. */
struct client_tally {
	_Atomic uint64_t accepted;		     /* connections, or registrations */
	_Atomic uint64_t received, dropped, ignored; /* datagrams, or messages */
};
struct client_tally *clients_tally(struct clients *cs, unsigned origin);

/* A set of counters, which go on where the process before left them. */
_Atomic uint64_t *clients_counters(struct clients *cs, unsigned set);
/*
 * Says which counters this build has, before they are used. Those that another build left are put in their
 * order.
 */
void clients_order_counters(struct clients *cs, const char *const names[], unsigned n);

/* How many subscribers a listener of that origin had, for the next process. */
_Atomic uint32_t *clients_peers(struct clients *cs, unsigned origin);

/* The layout's version that this build reads and writes. */
unsigned clients_layout(void);

/*
 * What builds of the same layout, or of those that it was converted from, write since when. 0: connections that
 * were accepted but not greeted have no rights yet.
 */
#define CLIENTS_REVISION 1
unsigned clients_revision(const struct clients *cs);
void clients_set_revision(struct clients *cs, unsigned revision);

/*
 * A state counts only with the seal that belongs to it, so that damage to the memory file is noticed rather
 * than delivered. Call it when the state is complete, before it goes live.
 */
static inline uint64_t client_seal_of(const struct client *c, const struct client_state *st)
{
	const unsigned char *p = (const unsigned char *)st;
	uint64_t h = c->id * 0x9e3779b97f4a7c15ULL + ((uint64_t)c->kind << 16 | c->origin), word;

	for (size_t i = 0; i < offsetof(struct client_state, seal); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
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

static inline const struct client_state *client_live(const struct client *c)
{
	return &c->st[atomic_load_explicit(&c->live, memory_order_acquire) & 1];
}

#endif
