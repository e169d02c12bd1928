/* SPDX-License-Identifier: MIT */
/*
 * What `chatctl join` shows: lines of the server, with times and colours on a terminal, above the one being
 * typed.
 */
#include "cli/join.h"

#include "common/cleanup.h"
#include "common/hash.h"
#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <readline/readline.h>

/* One of the six colours that can be read on dark and on light; a name always has the same one. */
static unsigned show_colour(const char *s, size_t len)
{
	return 31 + (unsigned)(hash_fixed(s, len) % 6);
}

/* "12:34:56 ", or spaces for a line that may be from before one came, whose time isn't known. */
static void show_time(bool notice, char dst[static 16])
{
	time_t t = time(NULL);
	struct tm tm;

	dst[0] = '\0';
	if (!me.times)
		return;
	strftime(dst, 16, "%H:%M:%S ", localtime_r(&t, &tm));
	if (notice || join_now() >= me.history_until)
		return;
	memset(dst, ' ', strlen(dst));
	me.history_until = join_now() + JOIN_HISTORY_S;
}

static void show_print(const char *s, size_t len)
{
	bool notice = len > 1 && s[0] == '*' && s[1] == ' ';
	size_t nick = notice ? 0 : names_nick_len(s, len);
	char when[16];

	show_time(notice, when);
	if (!me.colours)
		printf("%s%.*s\n", when, (int)len, s);
	else if (notice)
		printf("\033[2m%s\033[0m\033[2m%.*s\033[0m\n", when, (int)len, s);
	else if (nick > 0)
		printf("\033[2m%s\033[0m\033[%um%.*s\033[0m%.*s\n", when, show_colour(s, nick), (int)nick, s,
		       (int)(len - nick), s + nick);
	else
		printf("\033[2m%s\033[0m%.*s\n", when, (int)len, s);
}

void show_line(const char *s, size_t len)
{
	_cleanup_free_ char *clean = NULL;

	/* Over ZeroMQ, and in raw rooms, nobody has cleaned it. */
	const char *text = isatty(STDOUT_FILENO) ? text_clean(s, &len, &clean) : s;
	if (!text)
		return;
	names_learn(text, len);
	if (me.typing)
		rl_clear_visible_line();
	show_print(text, len);
	fflush(stdout);
	if (me.typing) {
		rl_on_new_line();
		type_redisplay();
	}
}

void show_note(const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	show_line(text, strlen(text));
}
