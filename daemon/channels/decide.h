/* SPDX-License-Identifier: MIT */
/*
 * What is decided in a channel: each function changes one thing in the draft of the record (channels.h), if it is another than before,
 * and tells of it. Whether somebody may decide is asked before (may.h); the room's log is locked. What is a string ends with NUL, and is
 * clean (irc_decide_text()).
 */
#ifndef DAEMON_CHANNELS_DECIDE_H
#define DAEMON_CHANNELS_DECIDE_H

#include "daemon/channels/record.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"

struct irc_channels;
struct speaker;

/* Changes in one command (in IRC's: of those with an argument), and masks of all lists of a channel, as IRC's ISUPPORT says. */
#define IRC_DECIDE_CHANGES_MAX 20
#define IRC_DECIDE_LIST_MAX 100
#define IRC_DECIDE_LIMIT_MAX 1000000

/* Modes that were changed, to be told: "+o-v" and the arguments. */
#define IRC_TOLD_LETTERS (3 * IRC_DECIDE_CHANGES_MAX + 40)
#define IRC_TOLD_ARGS 512
struct irc_told {
	char letters[IRC_TOLD_LETTERS];
	char args[IRC_TOLD_ARGS];
	size_t n_letters, n_args;
	char sign;
};
/* arg may be NULL. */
void irc_told_add(struct irc_told *t, char sign, char letter, const char *arg);
/*
 * Whether one change more might not fit: a line of IRC has 510 bytes, and those who change something up to IRC_TOLD_FROM of them. What is
 * there is to be told then, and forgotten.
 */
#define IRC_TOLD_FROM 200
bool irc_told_is_full(const struct irc_told *t);
#define IRC_TOLD_MAX (IRC_TOLD_LETTERS + IRC_TOLD_ARGS)
/* Both together; returns the length. */
size_t irc_told_text(const struct irc_told *t, char ret[static IRC_TOLD_MAX]);

/* Where it is decided, and by whom. */
struct irc_deciding {
	struct irc_channels *channels;
	const struct room *room;
	const struct speaker *by;
	uint64_t time_us; /* when, CLOCK_REALTIME; 0: now */
	struct irc_told told;
};

enum irc_decided {
	IRC_DECIDED_SAME,
	IRC_DECIDED,
	IRC_DECIDED_UNKNOWN, /* there is no such mode */
	IRC_DECIDED_INVALID, /* it can't be that */
	IRC_DECIDED_FULL,
};

/* sign: '+' or '-'. A mode that is a letter and nothing more. */
bool irc_decide_is_flag(char letter);
enum irc_decided irc_decide_flag(struct irc_deciding *d, char sign, char letter);
/* kind: b, e or I; the mask as irc_mask_normalise() has it. */
enum irc_decided irc_decide_mask(struct irc_deciding *d, char sign, char kind, const char *mask);
/*
 * letter: o or v. account: by which it is known after a reboot, and has what was kept for that since the last one; "": it has none; NULL:
 * its nick, if that is one.
 */
enum irc_decided irc_decide_status(struct irc_deciding *d, char sign, char letter,
				   const struct roster_member *who, const char *account);
/* For '-' the key isn't looked at. */
enum irc_decided irc_decide_key(struct irc_deciding *d, char sign, const char *key);
enum irc_decided irc_decide_limit(struct irc_deciding *d, char sign, const char *limit);
/* "": there is none any more. Told by nothing here. */
void irc_decide_topic(struct irc_deciding *d, const char topic[static IRC_TOPIC_MAX + 1]);
/*
 * Somebody of the room is on its way out, and has no status any more. Likewise. IRC_DECIDED_SAME: it is already; IRC_DECIDED_FULL: as many
 * as can be known to be are, which their workers see to in a moment. account: as above.
 */
enum irc_decided irc_decide_removal(struct irc_deciding *d, struct roster *roster,
				    const struct roster_member *who, const char *account);

/* --- what helps --- */

/* Sets and takes away status flags of that client; whether that changed something. */
bool irc_decide_flags_of(struct irc_channels *cs, const struct room *room, uint64_t id, uint8_t set,
			 uint8_t clear);
/* Who has that nick, and is in the room. */
bool irc_decide_find(struct roster *roster, const struct room *room, const char *nick, size_t len,
		     struct roster_member *ret);
/* As it can be shown anywhere, cut where a character begins, of less than size bytes; what is behind it in ret is 0. */
void irc_decide_text(const char *text, size_t len, char *ret, size_t size);
/* "+nt", and the key (if it may be known) and the limit behind it; returns the length. NULL: the defaults. */
#define IRC_DECIDE_MODES_MAX 96
size_t irc_decide_modes(const struct irc_channel *ch, bool with_key, char ret[static IRC_DECIDE_MODES_MAX]);

#endif
