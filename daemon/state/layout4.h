/* SPDX-License-Identifier: MIT */
/*
 * What the files of layout 4 look like (until version 0.1; their rooms' file counted as layout 1), for
 * whoever reads them and for tests. Nothing of it changes any more.
 */
#ifndef DAEMON_LAYOUT4_H
#define DAEMON_LAYOUT4_H

#include "daemon/base/checksum.h"
#include "daemon/rooms/file.h"
#include "daemon/state/file.h"

#include <string.h>

#define OLD_CAPACITY 131072
#define OLD_CLIENTS_LAYOUT 4
#define OLD_ROOMS_LAYOUT 1

struct old_record {
	uint64_t end, time_us, sender, target;
	uint16_t text;
	uint8_t kind, nick_len; /* 0: also from builds that did not write it */
	uint32_t target_index, notices, sender_index;
};

struct old_slot {
	char name[65];
	uint8_t raw, members_only, read_only;
	uint8_t reserved[4];
	uint64_t off, log_size, used;
	uint8_t opener[16];
	uint8_t reserved2[16];
};

struct old_directory {
	uint64_t magic;
	uint32_t layout, capacity;
	uint64_t file_size;
	uint32_t revision;
	uint8_t reserved[100];
	struct old_slot slots[16384];
};

struct old_state {
	uint64_t stream[2]; /* in_parsed and out_end, or a local address */
	uint64_t cursor, cursor_seq, private_seq;
	uint32_t room;
	uint16_t flags;
	uint8_t nick_len;
	char nick[32];
	uint8_t rights;
	uint64_t seal;
};

struct old_client {
	uint64_t cookie, id, connected_us;
	uint32_t live;
	uint16_t origin, kind;
	struct old_state st[2];
	uint8_t address[32];
	uint64_t sent_seq; /* of a connection, its cookie */
	int64_t active_us;
};

struct old_tallies {
	struct client_tally tallies[1024];
	uint64_t n_names, names[160], counters[17][160];
};

struct old_header {
	uint64_t magic;
	uint32_t layout, capacity;
	uint64_t next_id;
	uint32_t high, n_origins;
	struct client_history history;
	struct client_origin origins[1024];
	uint32_t peers[1024];
	uint32_t revision;
};

struct old_scratch {
	uint64_t owner, base, intent;
	uint32_t client, live_after, room, waits;
	uint64_t count, beat_us;
	uint8_t reserved2[8];
	uint64_t counters[160];
	char space[4096 - 64 - 160 * 8];
	char data[65536];
};

struct old_file {
	union {
		struct old_header header;
		struct {
			char header_space[262144 - sizeof(struct old_tallies)];
			struct old_tallies tallies;
		};
	};
	struct old_scratch scratches[64];
	struct old_client entries[OLD_CAPACITY];
	char areas[OLD_CAPACITY][CLIENT_IN_SIZE + CLIENT_OUT_SIZE];
};

_Static_assert(sizeof(struct old_record) == 48, "layout 4");
_Static_assert(sizeof(struct old_slot) == 128, "layout 4");
_Static_assert(sizeof(struct old_state) == 88, "layout 4");
_Static_assert(sizeof(struct old_client) == 256, "layout 4");
_Static_assert(sizeof(struct old_scratch) == sizeof(struct scratch), "the same in layout 5");
_Static_assert(CLIENT_IN_SIZE + CLIENT_OUT_SIZE == 327680 && CLIENTS_SCRATCHES == 64 &&
		   CLIENTS_ORIGINS == 1024 && CLIENTS_COUNTERS == 160 && CLIENTS_MORE_COUNTERS == 17,
	       "the same in layout 5");

/* What belongs to a state of an entry, and to an intent, so that damage shows. */
static inline uint64_t old_seal(const struct old_client *c, const struct old_state *st)
{
	uint64_t h = c->id * 0x9e3779b97f4a7c15ULL + ((uint64_t)c->kind << 16 | c->origin), word;

	h = checksum_add(h, st, offsetof(struct old_state, seal));
	for (size_t i = 0; i < sizeof(c->address); i += sizeof(word)) {
		memcpy(&word, c->address + i, sizeof(word));
		h = (h ^ word) * 0xc4ceb9fe1a85ec53ULL;
	}
	if (c->kind == CLIENT_CONNECTION)
		h = (h ^ c->sent_seq) * 0xff51afd7ed558ccdULL;
	return h;
}

static inline uint64_t old_intent(const struct old_scratch *s)
{
	uint64_t h = ((uint64_t)s->client << 32 | s->room) * 0x9e3779b97f4a7c15ULL + s->live_after;

	return ((h ^ s->count) * 0xff51afd7ed558ccdULL) | 1;
}

#endif
