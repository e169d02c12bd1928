/* SPDX-License-Identifier: MIT */
/*
 * The nick and the room of `chatctl join`. What is typed for one room, under one nick, must not be said in
 * another room or under another nick. So this follows what the server says, asks for the nick and the room
 * again after each connect, and holds lines back until it has them; if the server refuses, the person
 * decides.
 */
#ifndef CLI_IDENTITY_H
#define CLI_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

struct identity {
	enum {
		IDENTITY_SURE,	   /* lines may be sent */
		IDENTITY_GREETING, /* the server has not greeted yet */
		IDENTITY_LOGIN,	   /* it wants a login first */
		IDENTITY_ASKED,	   /* the server was asked for the nick and the room */
		IDENTITY_HELD	   /* it refused one of them */
	} phase;
	bool awaiting;			       /* LOGIN: the answer to a line */
	bool wrong_nick, wrong_room;	       /* HELD: what is to be decided */
	char nick[64], room[72];	       /* now; "": not known */
	char wanted_nick[64], wanted_room[72]; /* "": any */
	char lost_nick[64]; /* the nick that the server took back; "": none, or that is settled */
};

/* What is to be sent to the server. */
typedef void (*identity_send)(const char *line, size_t len);

/* Before the first connect: what was asked for (or NULL). */
void identity_init(struct identity *i, const char *nick, const char *room);
/* After each connect, before anything is received. */
void identity_connected(struct identity *i);
/* Looks at a line from the server. False if it is the answer to a question of ours, and not to be shown. */
bool identity_line(struct identity *i, const char *s, size_t len, identity_send send);
/* Whether lines may be taken from the person now. */
bool identity_takes_lines(const struct identity *i);
/*
 * Whether this line may be sent now. While the person has to decide, only commands that tell others nothing
 * are.
 */
bool identity_may_send(struct identity *i, const char *s, size_t len);
/* The person goes on as things are. */
void identity_stay(struct identity *i);

#endif
