/* SPDX-License-Identifier: MIT */
/*
 * What IRC keeps of users, personas and channels, as it lies in its file: users.h, personas.h and channels.h
 * say by which rules it changes.
 */
#ifndef DAEMON_IRC_RECORDS_H
#define DAEMON_IRC_RECORDS_H

#include "common/text.h"

#include <stdint.h>

/* --- users --- */

#define IRC_USER_MAX 12
#define IRC_HOST_MAX 64
#define IRC_REALNAME_MAX 100

enum irc_user_flags {
	IRC_REGISTERED = 1 << 0,
	IRC_GOT_USER = 1 << 1,
	IRC_GOT_PASS = 1 << 2,	      /* PASS was right */
	IRC_CAP_NEGOTIATING = 1 << 3, /* between CAP LS or REQ and CAP END */
	IRC_CAP_302 = 1 << 4,	      /* it knows CAP's version 302 */
	IRC_AWAY = 1 << 5,
	IRC_BOT = 1 << 6,
	IRC_OPER = 1 << 7,
	IRC_INVISIBLE = 1 << 8,
	IRC_WALLOPS = 1 << 9,
	IRC_NICK_REFUSED = 1 << 15, /* before registration: it has none, as somebody else has it */
};

/* All of it is 0 at first. What is a string ends with NUL. */
struct irc_user {
	uint32_t flags;	    /* enum irc_user_flags */
	uint32_t caps;	    /* which capabilities are on */
	uint32_t persona;   /* what others see of it: personas.h; 0: none yet */
	uint32_t told_room; /* below */
	/*
	 * Its nick was renamed_from[0..renamed_len) until renamed_us (CLOCK_REALTIME), and the rooms up to
	 * the index told_room have been told; renamed_len 0: all have.
	 */
	uint64_t renamed_us;
	uint64_t signon_us;   /* CLOCK_REALTIME */
	uint32_t away_at;     /* its away text: blobs.h; 0: none */
	uint32_t monitor_at;  /* whom it watches: likewise */
	uint32_t sasl_at;     /* how far an exchange of SASL has got: likewise */
	uint32_t metadata_at; /* what it says of itself, and wants to know of others: likewise */
	uint8_t renamed_len;
	char renamed_from[TEXT_NICK_MAX];
	char user[IRC_USER_MAX + 1];
	char host[IRC_HOST_MAX + 1];	 /* as others see it */
	char account[TEXT_NICK_MAX + 1]; /* "": none */
	char realname[IRC_REALNAME_MAX + 1];
	uint8_t reserved[11];
};

_Static_assert(sizeof(struct irc_user) == 304, "part of the state's layout: without holes, for the check");

/* --- personas --- */

#define IRC_PERSONAS 65536

struct irc_persona {
	uint32_t flags; /* of enum irc_user_flags: IRC_BOT */
	char user[IRC_USER_MAX + 1];
	char host[IRC_HOST_MAX + 1];
	char account[TEXT_NICK_MAX + 1];
	char realname[IRC_REALNAME_MAX + 1];
};

_Static_assert(sizeof(struct irc_persona) == 216, "part of the state's layout: without holes, for the check");

/* --- markers --- */

/* So many of a share, which people have by the hash of who they are. */
#define IRC_MARKERS 256
#define IRC_MARKER_SHARES 1024

/* --- channels --- */

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
		uint64_t id;   /* of the client */
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

/* --- attachments and blobs, in bytes --- */

#define IRC_ATTACHMENT_MAX 8192
#define IRC_ATTACHMENTS_SIZE (4U << 20)
#define IRC_BLOB_AWAY_MAX 1008
#define IRC_BLOB_MONITOR_MAX 4080
#define IRC_BLOB_SASL_MAX 2032
#define IRC_BLOB_METADATA_MAX 4080

#endif
