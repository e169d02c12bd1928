/* SPDX-License-Identifier: MIT */
/*
 * The file of IRC, layout 3, for the files of this folder that are it. What is where, all of it sparse:
 *
 *	header		magic, layout, sizes, the next numbers
 *	drafts		one for each worker: see users.h
 *	made		by the room's index: whether there ever was a channel's record
 *	marked		by the share: whether there ever was a marker
 *	markers		by the share: see markers.h
 *	personas	by their number
 *	attachments	a ring of bytes
 *	channels	by the room's index
 *	ids		by the client's index: whose record there is
 *	users		by the client's index
 *	away, monitor,
 *	sasl, metadata	likewise
 *
 * A hole that is only read gets a page as well, so `made` and `ids` tell where there is something to read.
 */
#ifndef DAEMON_IRC_FILE_H
#define DAEMON_IRC_FILE_H

#include "daemon/base/checksum.h"
#include "daemon/channels/record.h"
#include "daemon/io/memfd.h"
#include "daemon/irc/records.h"
#include "daemon/rooms/wakeup.h"
#include "daemon/state/entry.h"

#include <stdatomic.h>

#define IRC_FILE_MAGIC 0x6372696474616863ULL /* "chatdirc" */
#define IRC_FILE_LAYOUT 3

/* What must be the same in the build that wrote the file. */
struct irc_file_shape {
	uint32_t clients, rooms, drafts, personas;
	uint32_t user_size, channel_size, persona_size, attachments_size;
};

struct irc_file_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t reserved;
	struct irc_file_shape shape;
	uint64_t check;		       /* of the above */
	_Atomic uint64_t next_persona; /* the last 32 bits of it are the number */
	_Atomic uint64_t next_attachment;
	uint8_t marker_key[16];
};

struct irc_user_place {
	uint64_t generation; /* of the client's state with which it became true */
	uint64_t check;	     /* of that, whose it is, and the record */
	struct irc_user user;
};

struct irc_user_draft {
	_Atomic uint64_t mark; /* the check of what follows; 0: there is none, or it is not sealed */
	uint64_t id, generation;
	uint64_t client; /* its index */
	struct irc_user user;
};

struct irc_marker_place {
	uint64_t owner, name;	 /* hashes */
	uint64_t us, changed_us; /* CLOCK_REALTIME */
	uint64_t check;
};

struct irc_persona_place {
	uint64_t number;
	uint64_t check;
	struct irc_persona persona;
};

struct irc_blob_head {
	uint64_t check; /* of the following, whose it is, and the bytes */
	uint32_t number, len;
};

struct irc_away_place {
	struct irc_blob_head head;
	char data[IRC_BLOB_AWAY_MAX];
};

struct irc_monitor_place {
	struct irc_blob_head head;
	char data[IRC_BLOB_MONITOR_MAX];
};

struct irc_sasl_place {
	struct irc_blob_head head;
	char data[IRC_BLOB_SASL_MAX];
};

struct irc_metadata_place {
	struct irc_blob_head head;
	char data[IRC_BLOB_METADATA_MAX];
};

#define IRC_ATTACHMENT_UNIT 16

/* Of an attachment, whose bytes follow. */
struct irc_attachment_head {
	uint64_t at; /* in units, from the beginning of all time */
	uint32_t len;
	uint32_t check;
};

struct irc_file {
	union {
		struct irc_file_header header;
		char header_space[MEMFD_ALIGN];
	};
	union {
		struct irc_user_draft drafts[CLIENTS_SCRATCHES];
		char drafts_space[MEMFD_ALIGN];
	};
	_Atomic uint64_t made[ROOMS_CAPACITY];
	union {
		_Atomic uint64_t marked[IRC_MARKER_SHARES];
		char marked_space[MEMFD_ALIGN];
	};
	struct irc_marker_place markers[IRC_MARKER_SHARES][IRC_MARKERS];
	struct irc_persona_place personas[IRC_PERSONAS];
	char attachments[IRC_ATTACHMENTS_SIZE];
	struct irc_channel_half channels[ROOMS_CAPACITY][2];
	_Atomic uint64_t ids[CLIENTS_CAPACITY];
	struct irc_user_place users[CLIENTS_CAPACITY];
	struct irc_away_place away[CLIENTS_CAPACITY][2];
	struct irc_monitor_place monitor[CLIENTS_CAPACITY][2];
	struct irc_sasl_place sasl[CLIENTS_CAPACITY][2];
	struct irc_metadata_place metadata[CLIENTS_CAPACITY][2];
};

_Static_assert(sizeof(struct irc_user_place) == 320, "part of the state's layout");
_Static_assert(sizeof(struct irc_persona_place) == 232, "part of the state's layout");
_Static_assert(sizeof(struct irc_away_place) == 1024 && sizeof(struct irc_monitor_place) == 4096 &&
		   sizeof(struct irc_metadata_place) == 4096 && sizeof(struct irc_sasl_place) == 2048,
	       "part of the state's layout");
_Static_assert(sizeof(((struct irc_file *)0)->drafts) <= MEMFD_ALIGN, "part of the state's layout");
_Static_assert(offsetof(struct irc_file, ids) % MEMFD_ALIGN == 0, "pages are given back from there on");

/* --- checks, none of which is 0 --- */

static inline uint64_t irc_file_user_check(uint64_t id, uint64_t generation, const struct irc_user *u)
{
	uint64_t h = checksum_add(id * 0x9e3779b97f4a7c15ULL + generation, u, sizeof(*u));

	return h ? h : 1;
}

/* Of a draft: also to whose place it goes. */
static inline uint64_t irc_file_draft_mark(const struct irc_user_draft *d)
{
	uint64_t h = checksum_add(IRC_FILE_MAGIC, &d->id, sizeof(*d) - offsetof(struct irc_user_draft, id));

	return h ? h : 1;
}

static inline uint64_t irc_file_persona_check(const struct irc_persona_place *p)
{
	uint64_t h = checksum_add(p->number, &p->persona, sizeof(p->persona));

	return h ? h : 1;
}

static inline uint64_t irc_file_marker_check(const struct irc_marker_place *p)
{
	uint64_t h = checksum_add(IRC_FILE_MAGIC, p, offsetof(struct irc_marker_place, check));

	return h ? h : 1;
}

/* What is behind the bytes, up to a multiple of 8, is 0. */
static inline uint64_t irc_file_blob_check(const struct irc_blob_head *h, uint64_t id, unsigned kind)
{
	uint64_t sum = id * 0x9e3779b97f4a7c15ULL + kind;

	sum = (sum ^ ((uint64_t)h->len << 32 | h->number)) * 0xc4ceb9fe1a85ec53ULL;
	sum = checksum_add(sum, h + 1, (h->len + 7UL) & ~7UL);
	return sum ? sum : 1;
}

static inline uint64_t irc_file_attachment_units(size_t len)
{
	return 1 + (len + IRC_ATTACHMENT_UNIT - 1) / IRC_ATTACHMENT_UNIT;
}

/* The last unit is filled up with zeroes. */
static inline uint32_t irc_file_attachment_check(const struct irc_attachment_head *h)
{
	uint64_t sum = checksum_add(h->at * 0x9e3779b97f4a7c15ULL + h->len, h + 1,
				    (irc_file_attachment_units(h->len) - 1) * IRC_ATTACHMENT_UNIT);

	return (uint32_t)(sum >> 32) | 1;
}

#endif
