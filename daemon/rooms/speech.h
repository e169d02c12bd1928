/* SPDX-License-Identifier: MIT */
/*
 * What happens in rooms, over whatever transport: somebody enters, leaves, changes the nick, or says
 * something. Each is an event in the room's record; the line in its log, in the wire format of chat, is one
 * rendering of it. Nothing else puts anything into a room's log.
 *
 *	struct speech s = {0};
 *	speech_say(&s, room, &who, text, len);
 *	connection_commit(c, speech_room(&s));	// or transaction_commit(), or speech_commit()
 *
 * What is put becomes true, and the log's lock is given back, with the commit. Until then more may be said in
 * the same room.
 */
#ifndef DAEMON_SPEECH_H
#define DAEMON_SPEECH_H

#include "daemon/rooms/room.h"

/* The longest name that anybody speaks under: a bridge's may be its listener's. */
#define SPEECH_NICK_MAX 64

/* Who does something. */
struct speaker {
	uint64_t id;	/* a client's; 0: chatd itself, an admin, a bridge */
	uint32_t index; /* the client's place in the table, for private messages */
	const char *nick;
	size_t nick_len;
};

/* What one caller says in one room between two commits; all zero: nothing yet. */
struct speech {
	struct room *room; /* its log is locked; NULL: it isn't */
	uint64_t first;	   /* number of the first message that was put */
	uint64_t time_us;
	bool raw;
};

/*
 * Locks the room's log. Whatever says something does that by itself, unless the caller has already.
 * speech_try() does so unless the room has to be delivered first, which it returns false for.
 */
void speech_begin(struct speech *s, struct room *room);
bool speech_try(struct speech *s, const struct rooms *rooms, struct room *room);
/* The log is locked by the caller, as it is being read. */
struct speech speech_within(struct room *room);
/* The room that is to be committed and unlocked, or NULL; the speech is over. */
struct room *speech_room(struct speech *s);
/* Commits what was put, without a transaction, and marks the room; *kick collects whom to wake. Returns how
 * many messages it was. */
uint64_t speech_commit(struct speech *s, struct rooms *rooms, struct slot_set *kick);

/*
 * Comings and goings. False: they aren't announced there at the moment, and nothing has happened.
 * for_good: the client is gone, rather than in another room.
 */
bool speech_enter(struct speech *s, struct room *room, const struct speaker *who);
bool speech_leave(struct speech *s, struct room *room, const struct speaker *who, bool for_good);
/* who is the speaker under the old nick. */
bool speech_rename(struct speech *s, struct room *room, const struct speaker *who, const char *nick,
		   size_t len);
/* As speech_leave(), of a client that could not be taken over, and so is not among the room's members any
 * more. Commits; the members aren't there yet either. */
void speech_leave_lost(struct room *room, const struct speaker *who);

/*
 * Says a line, without its newline, which is sanitised unless the room is raw; "/me": does what it says.
 * Returns 0, -EAGAIN if what was put before has to be committed first, or -ENOMEM. An empty line says nothing
 * in a room that isn't raw.
 */
int speech_say(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len);
int speech_act(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len);

/* Private messages, in their own room. Whom they are for is a client's id and its place in the table. text is
 * sanitised already. */
struct speech_peer {
	uint64_t id;
	uint32_t index;
};
void speech_tell(struct speech *s, struct room *private, const struct speaker *who,
		 const struct speech_peer *to, const char *text, size_t len);
/* Tells the sender of that message that it could not be delivered to who. */
void speech_bounce(struct speech *s, struct room *private, const struct record *message,
		   const struct speaker *who);

/* --- reading --- */

/*
 * Whether a message of the log may be shown to who did not receive it when it was said. What was said while
 * the room was raw may look like anybody's words; line is looked at only if it is from a build that let it
 * look like the server's.
 */
bool speech_shows(const struct room *room, const struct record *record, const char *line);
/* Where the text begins in the line, as it has always been told to those who read logs: a notice's is all of
 * it. */
size_t speech_text_at(const struct record *record);

#endif
