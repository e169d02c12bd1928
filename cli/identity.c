/* SPDX-License-Identifier: MIT */
/* Compares what the server says of the name and the room with what was asked for. */
#include "cli/identity.h"

#include "common/nick.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void identity_init(struct identity *i, const char *nick, const char *room)
{
	*i = (struct identity){.phase = IDENTITY_SURE};
	snprintf(i->wanted_nick, sizeof(i->wanted_nick), "%s", nick ? nick : "");
	snprintf(i->wanted_room, sizeof(i->wanted_room), "%s", room ? room : "");
}

void identity_connected(struct identity *i)
{
	/* A wish that was not met stays one. Any guest number will do for a guest. */
	if (i->phase == IDENTITY_SURE && i->room[0])
		snprintf(i->wanted_room, sizeof(i->wanted_room), "%s", i->room);
	if (i->phase == IDENTITY_SURE && i->nick[0])
		snprintf(i->wanted_nick, sizeof(i->wanted_nick), "%s",
			 nick_is_guest_of_node(i->nick, strlen(i->nick)) ? "" : i->nick);
	if (i->lost_nick[0])
		snprintf(i->wanted_nick, sizeof(i->wanted_nick), "%s", i->lost_nick);
	i->lost_nick[0] = i->nick[0] = i->room[0] = '\0';
	i->awaiting = i->wrong_nick = i->wrong_room = false;
	/* Where nothing was asked for, nothing can be wrong, even if the server isn't a chat. */
	i->phase = i->wanted_nick[0] || i->wanted_room[0] ? IDENTITY_GREETING : IDENTITY_SURE;
}

static bool identity_begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static bool identity_ends(const char *s, const char *with)
{
	return strlen(s) >= strlen(with) && strcmp(s + strlen(s) - strlen(with), with) == 0;
}

static void identity_keep(char *dst, size_t size, const char *s, size_t len)
{
	snprintf(dst, size, "%.*s", (int)len, s);
}

/*
 * "* alice is reserved now; you are guest7.": the server took the nick back. The room hears of it before or
 * after.
 */
static bool identity_learn_loss(struct identity *i, const char *s)
{
	const char *at = strstr(s, "; you are "), *space = s[2] != '[' ? strchr(s + 2, ' ') : NULL;

	if (!at || !space || !identity_ends(s, ".") ||
	    (!identity_begins(space, " is reserved now; ") &&
	     !identity_begins(space, " is somebody's on another node; ") &&
	     !identity_begins(space, " can't be your name any more; ")))
		return false;
	if (!nick_is_guest_of_node(s + 2, (size_t)(space - s) - 2))
		identity_keep(i->lost_nick, sizeof(i->lost_nick), s + 2, (size_t)(space - s) - 2);
	identity_keep(i->nick, sizeof(i->nick), at + 10, strlen(at) - 11);
	return true;
}

/* What the server says of the nick and the room. */
enum { NEWS_NICK = 1, NEWS_ROOM = 2 };

static unsigned identity_learn(struct identity *i, const char *s)
{
	size_t n = strlen(i->nick);
	const char *at;

	if (identity_learn_loss(i, s))
		return 0;
	if (identity_begins(s, "* Welcome, ") && (at = strstr(s, ". You are in "))) {
		identity_keep(i->nick, sizeof(i->nick), s + 11, (size_t)(at - s) - 11);
		identity_keep(i->room, sizeof(i->room), at + 13, strcspn(at + 13, ";"));
		return NEWS_NICK | NEWS_ROOM;
	}
	if (identity_begins(s, "* You are now ") && identity_ends(s, ".")) {
		identity_keep(i->nick, sizeof(i->nick), s + 14, strlen(s) - 15);
		i->lost_nick[0] = '\0';
		return NEWS_NICK;
	}
	if (identity_begins(s, "* You are in ")) {
		at = strstr(s, "; /help");
		size_t end = at				     ? (size_t)(at - s)
			     : identity_ends(s, " already.") ? strlen(s) - 9
							     : strlen(s) - 1;
		identity_keep(i->room, sizeof(i->room), s + 13, end > 13 ? end - 13 : 0);
		return NEWS_ROOM;
	}
	/* Where names are announced, only the announcement tells the new one. */
	if (n > 0 && identity_begins(s, "* ") && strncmp(s + 2, i->nick, n) == 0 &&
	    identity_begins(s + 2 + n, " is now ") && !strchr(s + 2 + n + 8, ' ')) {
		snprintf(i->nick, sizeof(i->nick), "%s", s + 2 + n + 8);
		i->lost_nick[0] = '\0';
		return NEWS_NICK;
	}
	return 0;
}

static bool identity_has_nick(const struct identity *i)
{
	return !i->wanted_nick[0] ||
	       nick_same(i->nick, strlen(i->nick), i->wanted_nick, strlen(i->wanted_nick));
}

static bool identity_has_room(const struct identity *i)
{
	return !i->wanted_room[0] || strcmp(i->room, i->wanted_room) == 0;
}

/* Asks for the nick and the room that are wanted. The answers come in the order of the questions. */
static void identity_restore(struct identity *i, identity_send send)
{
	char text[128];

	if (identity_has_nick(i) && identity_has_room(i)) {
		i->phase = IDENTITY_SURE;
		return;
	}
	i->phase = IDENTITY_ASKED;
	if (!identity_has_nick(i))
		send(text, (size_t)snprintf(text, sizeof(text), "/nick %s", i->wanted_nick));
	if (!identity_has_room(i))
		send(text, (size_t)snprintf(text, sizeof(text), "/join %s", i->wanted_room));
	send("/who", 4);
}

/* "* 3 in lobby: alice, bob" */
static bool identity_is_who(const char *s)
{
	size_t n = identity_begins(s, "* ") ? strspn(s + 2, "0123456789") : 0;

	return n > 0 && identity_begins(s + 2 + n, " in ") && strchr(s, ':');
}

bool identity_line(struct identity *i, const char *line, size_t len, identity_send send)
{
	char s[512];

	if (len < 2 || line[0] != '*' || line[1] != ' ' || len >= sizeof(s))
		return true; /* it says nothing about the nick or the room */
	identity_keep(s, sizeof(s), line, len);
	unsigned news = identity_learn(i, s);
	switch (i->phase) {
	case IDENTITY_GREETING:
		if (identity_begins(s, "* Welcome. Please log in"))
			i->phase = IDENTITY_LOGIN;
		else if (news)
			identity_restore(i, send);
		break;
	case IDENTITY_LOGIN:
		/* The room comes after the name, or is refused. */
		if (i->nick[0] && (i->room[0] || identity_begins(s, "* Room ")))
			identity_restore(i, send);
		else if (!news)
			i->awaiting = false;
		break;
	case IDENTITY_ASKED:
		if (!identity_is_who(s))
			break;
		i->wrong_nick = !identity_has_nick(i);
		i->wrong_room = !identity_has_room(i);
		i->phase = i->wrong_nick || i->wrong_room ? IDENTITY_HELD : IDENTITY_SURE;
		return false;
	case IDENTITY_HELD:
		/* If the person has changed something since, that is what is wanted now. */
		i->wrong_nick &= !(news & NEWS_NICK);
		i->wrong_room &= !(news & NEWS_ROOM);
		if (!i->wrong_nick && !i->wrong_room)
			i->phase = IDENTITY_SURE;
		break;
	case IDENTITY_SURE:
		break;
	}
	return true;
}

bool identity_takes_lines(const struct identity *i)
{
	return i->phase == IDENTITY_SURE || i->phase == IDENTITY_HELD ||
	       (i->phase == IDENTITY_LOGIN && !i->awaiting);
}

bool identity_may_send(struct identity *i, const char *s, size_t len)
{
	static const char *const harmless[] = {"/nick",	   "/join",   "/login", "/who", "/rooms",
					       "/history", "/search", "/help",	"/quit"};
	size_t n = 0;

	if (i->phase == IDENTITY_LOGIN)
		i->awaiting = len > 0; /* each line is an attempt to log in, and gets an answer */
	if (i->phase != IDENTITY_HELD || len == 0)
		return true;
	while (n < len && s[n] != ' ')
		n++;
	for (size_t k = 0; k < sizeof(harmless) / sizeof(*harmless); k++)
		if (strlen(harmless[k]) == n && strncasecmp(harmless[k], s, n) == 0)
			return true;
	return false;
}

void identity_stay(struct identity *i)
{
	i->phase = IDENTITY_SURE;
	i->wrong_nick = i->wrong_room = false;
	i->lost_nick[0] = '\0';
}
