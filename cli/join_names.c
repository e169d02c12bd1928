/* SPDX-License-Identifier: MIT */
/*
 * The names that the Tab key completes: commands, and nicks and rooms that were seen in lines from the
 * server.
 */
#include "cli/join.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <readline/readline.h>

/* Names for the Tab key; the oldest make way. */
#define NAMES_MAX 256

static const char *const names_commands[] = {"/help", "/history", "/join",  "/login",  "/me",	"/msg",
					     "/nick", "/quit",	  "/rooms", "/search", "/stay", "/who"};
#define NAMES_QUIT 7 /* the one that needs no server */

static struct {
	char *at[NAMES_MAX];
	size_t n;
} names;

static void names_remember(const char *s, size_t len)
{
	if (len == 0 || len > TEXT_ROOM_MAX)
		return;
	for (size_t i = 0; i < names.n && i < NAMES_MAX; i++)
		if (strlen(names.at[i]) == len && memcmp(names.at[i], s, len) == 0)
			return;
	char **place = &names.at[names.n++ % NAMES_MAX];
	free(*place);
	*place = strndup(s, len);
	if (!*place)
		names.n--;
}

size_t names_nick_len(const char *s, size_t len)
{
	const char *colon = memmem(s, len, ": ", 2), *star = memmem(s, len, " * ", 3);
	const char *end = !colon || (star && star < colon) ? star : colon;
	size_t n = end ? (size_t)(end - s) : 0;

	return n > 0 && nick_valid(s, n) ? n : 0;
}

/* Names stand in what is said, and in what the server says of people and rooms. */
void names_learn(const char *s, size_t len)
{
	static const char *const verbs[] = {" joined ", " left ", " is now "};

	if (len > 2 && s[0] == '*' && s[1] == ' ') {
		s += 2;
		len -= 2;
		for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
			const char *verb = memmem(s, len, verbs[i], strlen(verbs[i]));
			if (!verb || memchr(s, ' ', (size_t)(verb - s)))
				continue;
			names_remember(s, (size_t)(verb - s));
			verb += strlen(verbs[i]);
			names_remember(verb, (size_t)(s + len - verb));
		}
		const char *bracket = memmem(s, len, " (", 2); /* /rooms */
		if (bracket && !memchr(s, ' ', (size_t)(bracket - s)))
			names_remember(s, (size_t)(bracket - s));
		if (len > 12 && memcmp(s, "You are in ", 11) == 0)
			names_remember(s + 11, strcspn(s + 11, ".; "));
		return;
	}
	names_remember(s, names_nick_len(s, len));
}

static char *names_next(const char *text, int state)
{
	static size_t at;
	size_t n_commands = sizeof(names_commands) / sizeof(*names_commands);

	if (state == 0)
		at = 0;
	while (at < n_commands + NAMES_MAX) {
		size_t i = at++;
		const char *name = i >= n_commands				   ? names.at[i - n_commands]
				   : link_has_commands(me.link) || i == NAMES_QUIT ? names_commands[i]
										   : NULL;
		/* Commands stand only at the beginning of a line. */
		if (name && strncasecmp(name, text, strlen(text)) == 0 &&
		    (i >= n_commands || (text[0] == '/' && strncmp(rl_line_buffer, text, strlen(text)) == 0)))
			return strdup(name);
	}
	return NULL;
}

char **names_complete(const char *text, int start, int end)
{
	(void)end;
	rl_attempted_completion_over = 1; /* no file names */
	if (me.password_of[0])
		return NULL;
	char **matches = rl_completion_matches(text, names_next);
	/* A nick at the beginning of a line is followed by a colon. */
	rl_completion_append_character = start == 0 && text[0] != '/' ? ':' : ' ';
	return matches;
}

void names_free(void)
{
	for (size_t i = 0; i < NAMES_MAX; i++)
		free(names.at[i]);
}
