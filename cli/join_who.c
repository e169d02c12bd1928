/* SPDX-License-Identifier: MIT */
/* Follows what the server says about the person's nick and room, and tells the person. */
#include "cli/join.h"

#include <stdio.h>
#include <string.h>

void who_send(const char *line, size_t len)
{
	int r = link_send(me.link, line, len);

	if (r < 0)
		me.error = r;
}

void who_describe(const struct identity *i, char *dst, size_t size)
{
	snprintf(dst, size, "%s in %s, not %s in %s", i->nick[0] ? i->nick : "nobody",
		 i->room[0] ? i->room : "no room", i->wanted_nick[0] ? i->wanted_nick : i->nick,
		 i->wanted_room[0] ? i->wanted_room : i->room);
}

void who_say_held(void)
{
	char what[400];

	who_describe(&me.identity, what, sizeof(what));
	show_note("* You are %s.", what);
	show_note("* Nothing is said until you use /nick, /join, /login or /stay.");
}

static bool who_is_announcement(const char *s, size_t len)
{
	return len > 2 && s[0] == '*' && s[1] == ' ' && s[2] != '[' &&
	       (memmem(s, len, " joined ", 8) || memmem(s, len, " left ", 6) ||
		memmem(s, len, " is now ", 8));
}

/* "* You have been removed: REASON", "* Sorry: your address is banned.": then don't connect again. */
static void who_note_removal(const char *s, size_t len)
{
	static const char *const lines[] = {"* You have been removed", "* You have been banned",
					    "* Sorry: your address is banned"};

	/* Over a transport that removes nobody, somebody just said that. */
	if (!link_has_end(me.link))
		return;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (len >= strlen(lines[i]) && memcmp(s, lines[i], strlen(lines[i])) == 0) {
			bool full_stop = s[len - 1] == '.';
			snprintf(me.removed, sizeof(me.removed), "%.*s", (int)len - 2 - full_stop, s + 2);
		}
}

void who_received(const char *s, size_t len, void *arg)
{
	struct identity *i = &me.identity;
	char room[sizeof(i->room)];
	int before = i->phase;

	(void)arg;
	who_note_removal(s, len);
	if (!link_has_commands(me.link)) {
		show_line(s, len);
		return;
	}
	memcpy(room, i->room, sizeof(room));
	bool seen = identity_line(i, s, len, who_send);
	if (strcmp(room, i->room) != 0)
		me.history_until = join_now() + JOIN_HISTORY_S;
	/* The history has no comings and goings, so it ends before the first one. */
	else if (who_is_announcement(s, len))
		me.history_until = 0;
	if (len >= 20 && memcmp(s, "* chatd is going dow", 20) == 0)
		me.going_down = true;
	if (seen)
		show_line(s, len);
	if (before == IDENTITY_ASKED && i->phase == IDENTITY_SURE && me.again)
		show_note("* You are %s in %s again.", i->nick, i->room);
	if (before == IDENTITY_GREETING && i->phase == IDENTITY_LOGIN && me.again)
		show_note("* You were %s in %s, and will be again once you have logged in.",
			  i->wanted_nick[0] ? i->wanted_nick : "a guest", i->wanted_room);
	if (before == IDENTITY_ASKED && i->phase == IDENTITY_HELD && me.times)
		who_say_held();
	if (before == IDENTITY_HELD && i->phase == IDENTITY_SURE)
		show_note("* You go on as %s in %s.", i->nick, i->room);
}
