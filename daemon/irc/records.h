/* SPDX-License-Identifier: MIT */
/*
 * What IRC keeps of users and personas, as it lies in its file: users.h and personas.h say by which rules it
 * changes. What it keeps of channels is in daemon/channels.
 */
#ifndef DAEMON_IRC_RECORDS_H
#define DAEMON_IRC_RECORDS_H

#include "common/text.h"
#include "daemon/channels/nicks.h"

#include <stdint.h>

/* --- users --- */

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
	IRC_SECURE = 1 << 10,	    /* it came over TLS */
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
	uint8_t steps; /* so many of the line that it is at are done: irc_step() */
	uint8_t reserved[10];
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

/* --- attachments and blobs, in bytes --- */

#define IRC_ATTACHMENT_MAX 8192
#define IRC_ATTACHMENTS_SIZE (4U << 20)
#define IRC_BLOB_AWAY_MAX 1008
#define IRC_BLOB_MONITOR_MAX 4080
#define IRC_BLOB_SASL_MAX 2032
#define IRC_BLOB_METADATA_MAX 4080

#endif
