/* SPDX-License-Identifier: MIT */
/* What is decided of a room, as it lies in the file of IRC: channels.h says by which rules it changes. */
#ifndef DAEMON_CHANNELS_RECORD_H
#define DAEMON_CHANNELS_RECORD_H

#include "common/text.h"
#include "daemon/base/checksum.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define IRC_TOPIC_MAX 390
#define IRC_KEY_MAX 23
#define IRC_MASK_MAX 99
#define IRC_STATUS_MAX 256 /* people with a status, in one channel */
#define IRC_LIST_MAX 150   /* masks in all lists of one channel */
#define IRC_INVITED_MAX 32
#define IRC_CHANNEL_METADATA_MAX 1596 /* bytes */

enum irc_channel_modes {
	IRC_M_INVITE = 1 << 0,		/* i */
	IRC_M_MODERATED = 1 << 1,	/* m */
	IRC_M_NO_EXTERNAL = 1 << 2,	/* n */
	IRC_M_SECRET = 1 << 3,		/* s */
	IRC_M_TOPIC = 1 << 4,		/* t */
	IRC_M_NO_CTCP = 1 << 5,		/* C */
	IRC_M_LOGGED_IN = 1 << 6,	/* R */
	IRC_M_LOGGED_IN_SPEAK = 1 << 7, /* M */
	IRC_M_DEFAULT = IRC_M_NO_EXTERNAL | IRC_M_TOPIC,
};

enum irc_channel_status {
	IRC_STATUS_VOICE = 1 << 0, /* v */
	IRC_STATUS_OP = 1 << 1,	   /* o */
};

/*
 * All strings end with NUL; "": there is none. What is behind the used part of status[] and list[] is anything: a
 * new one is filled in as a whole.
 */
struct irc_channel {
	uint64_t created_us; /* CLOCK_REALTIME */
	uint64_t topic_us;   /* likewise */
	uint32_t modes;	     /* enum irc_channel_modes */
	uint32_t limit;	     /* l; 0: none */
	uint32_t n_status, n_list, n_invited, n_expelled;
	char key[IRC_KEY_MAX + 1];
	char topic[IRC_TOPIC_MAX + 1];
	char topic_by[TEXT_NICK_MAX + 1];
	uint8_t reserved[72];
	uint32_t metadata_len;
	char metadata[IRC_CHANNEL_METADATA_MAX]; /* pairs.h */
	uint64_t invited[IRC_INVITED_MAX];	 /* client ids, the oldest first */
	uint64_t expelled[IRC_INVITED_MAX];	 /* likewise */
	struct irc_channel_person {
		uint64_t id;   /* of the client; 0: it is the account's (accounts.h) */
		uint8_t flags; /* enum irc_channel_status */
		char account[TEXT_NICK_MAX + 1];
		uint8_t reserved[6];
	} status[IRC_STATUS_MAX];
	struct irc_channel_mask {
		uint64_t us; /* CLOCK_REALTIME: since when */
		char kind;   /* b, e or I */
		char mask[IRC_MASK_MAX + 1];
		char by[TEXT_NICK_MAX + 1];
		uint8_t reserved[2];
	} list[IRC_LIST_MAX];
};

_Static_assert(sizeof(struct irc_channel) == 2672 + IRC_STATUS_MAX * 48 + IRC_LIST_MAX * 144,
	       "part of the state's layout: without holes, for the check");

/* One of the two of a room. */
struct irc_channel_half {
	_Atomic uint64_t check;	    /* of what follows, as far as it is used; 0: it does not hold */
	uint64_t version;	    /* grows with each change */
	uint64_t from;		    /* the log's count from which on it holds */
	uint64_t epoch, base, name; /* of the room: the latter a hash */
	struct irc_channel channel;
	uint8_t reserved[256];
};

_Static_assert(sizeof(struct irc_channel_half) % 4096 == 0,
	       "a channel that has no lists touches one page of a half");

#define IRC_CHANNEL_CHECK 0x6372696474616863ULL /* what a check begins with */

/* Of all that is used; never 0. */
static inline uint64_t irc_channel_check(const struct irc_channel_half *h)
{
	const struct irc_channel *c = &h->channel;
	uint64_t sum = checksum_add(IRC_CHANNEL_CHECK, &h->version,
				    offsetof(struct irc_channel_half, channel.status) -
					offsetof(struct irc_channel_half, version));

	sum = checksum_add(sum, c->status, c->n_status * sizeof(*c->status));
	sum = checksum_add(sum, c->list, c->n_list * sizeof(*c->list));
	return sum ? sum : 1;
}

#endif
