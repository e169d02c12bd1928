/* SPDX-License-Identifier: MIT */
/*
 * People and rooms as they are shown to who asks (NAMES, WHO, WHOIS, LIST ...), whatever transport they come by. All of
 * it are copies.
 */
#ifndef DAEMON_IRC_PEOPLE_H
#define DAEMON_IRC_PEOPLE_H

#include "daemon/irc/irc.h"
#include "daemon/irc/names.h"
#include "daemon/rooms/elsewhere.h"

/* Rooms of one person that are looked at. */
#define IRC_PERSON_ROOMS 128

/* --- long answers --- */

/*
 * More lines may be asked for than the outbox has space for, so who makes many asks before each: false: it is full, and what
 * is left out is told of instead (irc_query_cut()). At the end irc_query_done() is the verdict: HANDLER_BLOCKED if there
 * is no space now, but there will be.
 */
bool irc_query_fits(struct irc_call *call);
void irc_query_cut(struct irc_call *call, const char *what);
enum verdict irc_query_done(struct irc_call *call);
/* What still fits the outbox as it is now, with some left. */
size_t irc_query_space(struct irc_call *call);

/* A parameter as it is told back: one word, and never empty. */
const char *irc_query_echo(struct irc_arg a, char *buf, size_t size);

/* --- people --- */

struct irc_person {
	struct roster_member member; /* the nick as it is */
	/* "": it is here. Else member is its nick only, and this the one room that is told of, "" if there is none. */
	char node[ELSEWHERE_NODE_MAX + 1], room[TEXT_ROOM_MAX + 1];
	bool is_irc; /* it has a record of its own; the rest is made up otherwise */
	char nick[IRC_SHOWN_MAX + 1];
	struct irc_user user;
};

/* What is told of who isn't on IRC, or not here: its user name, host and real name, into a record that is all zeroes. */
void irc_user_make_up(const char *nick, size_t len, struct irc_user *ret);
/* False: it is somebody who has not registered yet. */
bool irc_person_of(struct irc_call *call, const struct roster_member *m, struct irc_person *ret);
/* Who has that nick; false: nobody. */
bool irc_person_find(struct irc_call *call, struct irc_arg nick, struct irc_person *ret);
/* The same, also on other nodes: what those tell of people is the nick, the account, and one room. */
bool irc_person_anywhere(struct irc_call *call, struct irc_arg nick, struct irc_person *ret);
/* One of another node. */
void irc_person_elsewhere(const struct elsewhere_found *f, struct irc_person *ret);
/* Those of a room on other nodes, 4096 at most; free()d by the caller. NULL, with *ret_n 0: none, or no memory. */
struct elsewhere_found *irc_people_elsewhere(struct irc_call *call, const struct room *room, size_t *ret_n);
/* What its server is called. */
const char *irc_person_server(struct irc_call *call, const struct irc_person *p);
bool irc_person_is_self(struct irc_call *call, const struct irc_person *p);

/* --- rooms --- */

/* A room that is looked at; its log is locked as long as it is. */
struct irc_look {
	struct room *room;
	bool mine;			   /* the client is in it */
	const struct irc_channel *channel; /* NULL: it has the defaults */
};

/* The rooms of the client, so that many people are compared with them. */
struct irc_own_rooms {
	uint32_t at[IRC_PERSON_ROOMS];
	size_t n;
};
void irc_own_rooms(struct irc_call *call, struct irc_own_rooms *ret);
bool irc_own_rooms_has(const struct irc_own_rooms *own, uint32_t index);

/* By index, or by name. False: there is no such room. irc_look_away() must follow. */
bool irc_look_at(struct irc_call *call, const struct irc_own_rooms *own, uint32_t index,
		 struct irc_look *ret);
bool irc_look_for(struct irc_call *call, const char *name, struct irc_look *ret);
void irc_look_away(struct irc_call *call, struct irc_look *look);
/* When it was made, in us of CLOCK_REALTIME; 0: it isn't known. ch may be NULL. */
uint64_t irc_room_made_us(const struct room *room, const struct irc_channel *ch, uint64_t now_us);
/* Whether the client may know who is there: it is in it, or an operator, or the room isn't secret. */
bool irc_look_is_open(struct irc_call *call, const struct irc_look *look);
bool irc_look_is_secret(const struct irc_look *look);
/* The signs of somebody's status there: "@", "+", "@+" if all of them are wanted, or "". */
const char *irc_look_status(const struct irc_look *look, const struct irc_person *p, bool all);

#endif
