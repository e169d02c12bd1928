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
 *
 * In a room that is shared with other machines all of it goes into the outgoing log (outgoing.h), and
 * speech_room() is that hidden room. When it comes back, speech_replay() puts the same bytes into the room itself.
 * Whoever locks both takes the room's own log first.
 */
#ifndef DAEMON_SPEECH_H
#define DAEMON_SPEECH_H

#include "daemon/rooms/room.h"

/* The longest name that anybody speaks under: a bridge's may be its listener's. */
#define SPEECH_NICK_MAX 64
/* The longest text: three bytes for each one of the longest message, as text_clean() may make of it. */
#define SPEECH_TEXT_MAX ((size_t)TEXT_SANITISE_GROWTH * 16384)

/* Who does something. */
struct speaker {
	uint64_t id;	/* a client's; 0: chatd itself, an admin, a bridge */
	uint32_t index; /* the client's place in the table, for private messages */
	const char *nick;
	size_t nick_len;
	uint64_t from;	  /* for these: which node they are of, by letter_tag(); 0: this one */
	uint32_t persona; /* what else others see of it: daemon/irc/personas.h; 0: nothing */
};

/* What one caller says in one room between two commits; all zero: nothing yet. */
struct speech {
	struct room *room;    /* its log is locked, and put to; NULL: none is */
	struct room *reading; /* the room whose own log is locked as well, or NULL */
	uint64_t first;	      /* number of the first message that was put */
	uint64_t time_us;
	uint64_t number, stream; /* of what is put next: see struct speech_event */
	uint32_t
	    attachment; /* likewise: what belongs to it and isn't in its line, daemon/irc/attachments.h; 0: nothing */
	bool unanswered; /* likewise: no program is to answer it */
	bool raw;
};

/*
 * Locks the room's log. Whatever says something does that by itself, unless the caller has already.
 * speech_try() does so unless the room has to be delivered first, which it returns false for.
 */
void speech_begin(struct speech *s, struct room *room);
bool speech_try(struct speech *s, const struct rooms *rooms, struct room *room);
/* These two with the room's own log locked as well, which may be read until speech_room(). */
void speech_begin_reading(struct speech *s, struct room *room);
bool speech_try_reading(struct speech *s, const struct rooms *rooms, struct room *room);
/* The log, which is the one that is put to, is locked by the caller, as it is being read. */
struct speech speech_within(struct room *room);
/* The room that is to be committed and unlocked, or NULL; the speech is over. */
struct room *speech_room(struct speech *s);
/* Or nothing of what was put is to become true. */
void speech_drop(struct speech *s);
/* Commits what was put, without a transaction, and marks the room; *kick collects whom to wake. Returns how
 * many messages it was. */
uint64_t speech_commit(struct speech *s, struct rooms *rooms, struct slot_set *kick);

/*
 * Comings and goings. False: they aren't announced there at the moment, and nothing has happened.
 * for_good: the client is gone, rather than in another room.
 */
bool speech_enter(struct speech *s, struct room *room, const struct speaker *who);
bool speech_leave(struct speech *s, struct room *room, const struct speaker *who, bool for_good);
/* The same with a reason that is clean and fits (speech_reason()); len 0: none is given. */
bool speech_leave_because(struct speech *s, struct room *room, const struct speaker *who, bool for_good,
			  const char *reason, size_t len);
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

/*
 * What is decided in a room that isn't raw: the topic (len 0: there is none any more), a change of modes in the words of
 * IRC, and who is removed. Text is sanitised. As speech_say().
 */
int speech_topic(struct speech *s, struct room *room, const struct speaker *who, const char *text,
		 size_t len);
int speech_mode(struct speech *s, struct room *room, const struct speaker *who, const char *text, size_t len);
int speech_kick(struct speech *s, struct room *room, const struct speaker *who, const char *nick,
		const char *reason, size_t len);
/* What stands behind the room's name in "lobby: why", or behind a nick in "bob: why"; len 0: nothing. */
const char *speech_reason(const char *text, size_t len, size_t *ret_len);

/* A notice of chatd's own for this machine's members only: never goes into the outgoing log. As speech_say(). */
int speech_note(struct speech *s, struct room *room, const char *text);
/* The same, about people of another machine who are gone: RECORD_GONE says how text is put, and speech_gone_of() takes it apart. */
#define SPEECH_GONE_MAX 100 /* nicks in it */
int speech_gone(struct speech *s, struct room *room, const char *text);
/* The node's name, and "bob, carol"; false: it names nobody. */
bool speech_gone_of(const char *text, size_t len, const char **ret_node, size_t *ret_node_len,
		    const char **ret_nicks, size_t *ret_nicks_len);
/* The same of such a record about people who are back, of whom a text names fewer: a line of IRC for each is longer. */
#define SPEECH_BACK_MAX 50
bool speech_back_of(const char *text, size_t len, const char **ret_node, size_t *ret_node_len,
		    const char **ret_nicks, size_t *ret_nicks_len);
/* The first nick of "bob, carol", and its length in *ret_len; moves on behind it. NULL: there is none any more. */
const char *speech_next_of(const char **nicks, size_t *nicks_len, size_t *ret_len);

/* --- what is said on other machines --- */

/* What happened: enough to put the same bytes into a room of that name anywhere. Nothing ends with NUL. */
struct speech_event {
	uint64_t time_us, sender; /* the latter means something only to where it is from; 0: nobody */
	/* 0: none. Which number it has had before; and where it is in a cluster's stream: sequence << 16 | index. */
	uint64_t number, stream;
	uint8_t kind; /* enum record_kind */
	uint8_t nick_len;
	bool raw;   /* the text as it was said, without a nick */
	bool clean; /* that the text is so, or no line's end in it, was seen to already */
	const char *nick, *text;
	size_t text_len;
};

/* Of a message of an outgoing log; line is with its newline, and what is in *ret points into it. */
/* What programs are told of a kind: "message" ...; one that this build doesn't know is a "notice". */
const char *speech_kind_name(unsigned kind);
void speech_event_of(const struct record *r, const char *line, size_t len, struct speech_event *ret);
/* Of message seq of an outgoing log, which is pinned or locked, and has it. Returns its record. */
const struct record *speech_event_at(const struct logring *log, const struct logring_view *v, uint64_t seq,
				     struct speech_event *ret);
/*
 * Puts it into the room's own log. Returns 0, -EBADMSG if that is nothing that could have been said in this room,
 * -EAGAIN if what was put before has to be committed first, or -ENOMEM. What was said in a raw room is made safe
 * in one that isn't.
 */
int speech_replay(struct speech *s, struct room *room, const struct speech_event *e);

/* Private messages, in their own room. Whom they are for is a client's id and its place in the table. text is
 * sanitised already. To somebody on another node: letter.h. */
struct speech_peer {
	uint64_t id;
	uint32_t index;
};
void speech_tell(struct speech *s, struct room *private, const struct speaker *who,
		 const struct speech_peer *to, const char *text, size_t len);
/* A notice of chatd's own, "* TEXT", for that client alone. */
void speech_note_to(struct speech *s, struct room *private, const struct speech_peer *to, const char *text);
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
/* With the log locked or pinned: the first message of those that are there whose number is not below that; v->count: none. */
uint64_t speech_find_number(const struct room *room, const struct logring_view *v, uint64_t number);
/* Where the text begins in the line, as it has always been told to those who read logs: a notice's is all of
 * it. */
size_t speech_text_at(const struct record *record);

#endif
