/* SPDX-License-Identifier: MIT */
/* What is typed, or comes by a pipe: lines, commands, and passwords, which are never shown. */
#include "cli/join.h"

#include "cli/command.h"
#include "common/accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <wchar.h>
#include <readline/history.h>
#include <readline/readline.h>

/*
 * For transports without commands. A line that begins with / was probably meant as one (with a password,
 * say), so it is not sent.
 */
static void type_say_plainly(const char *line, size_t len)
{
	bool slash = len > 0 && line[0] == '/';

	if (slash && len == 5 && memcmp(line, "/quit", 5) == 0) {
		me.ended = true;
		return;
	}
	if (slash && (len < 2 || line[1] != '/')) {
		const char *space = memchr(line, ' ', len);
		show_note("* There is no %.*s over %s; to say /TEXT, type //TEXT.",
			  (int)(space && space - line < 32 ? space - line
				: len < 32		   ? (long)len
							   : 32),
			  line, link_name(me.link));
		me.unsaid = true;
		return;
	}
	int r = link_send(me.link, line + slash, len - slash);
	if (r == -EPERM)
		show_note("* That was not said; first take another name: #REG NAME");
	else if (r < 0)
		me.error = r;
	me.ended |= len == 4 && memcmp(line, "quit", 4) == 0;
}

static void type_say(const char *line, size_t len)
{
	if (!link_has_commands(me.link)) {
		type_say_plainly(line, len);
		return;
	}
	if (me.identity.phase == IDENTITY_HELD && len == 5 && memcmp(line, "/stay", 5) == 0) {
		identity_stay(&me.identity);
		show_note("* You go on as %s in %s.", me.identity.nick, me.identity.room);
		return;
	}
	if (!identity_may_send(&me.identity, line, len)) {
		show_note("* That was not said.");
		who_say_held();
		return;
	}
	who_send(line, len);
	if ((len == 5 && memcmp(line, "/quit", 5) == 0) || (len == 4 && memcmp(line, "quit", 4) == 0))
		me.ended = true;
}

/* Where the password begins in "/login NAME PASSWORD"; 0: there is none. ret_name: where NAME begins, else 0.
 */
static size_t type_password_at(const char *line, size_t *ret_name)
{
	*ret_name = 0;
	if (strncasecmp(line, "/login ", 7) != 0)
		return 0;
	size_t name = 7 + strspn(line + 7, " "), n = strcspn(line + name, " ");
	if (n > 0)
		*ret_name = name;
	return n > 0 && line[name + n] ? name + n + 1 : 0;
}

void type_redisplay(void)
{
	size_t name, at = me.password_of[0] ? 0 : type_password_at(rl_line_buffer, &name);

	if ((at == 0 && !me.password_of[0]) || at >= (size_t)rl_end) {
		rl_redisplay();
		return;
	}
	int end = rl_end, point = rl_point;
	char c = rl_line_buffer[at];
	rl_line_buffer[at] = '\0';
	rl_end = (int)at;
	rl_point = point < rl_end ? point : rl_end;
	rl_redisplay();
	rl_line_buffer[at] = c;
	rl_end = end;
	rl_point = point;
}

/* How many rows of the terminal the prompt and this much of a line take. */
static int type_rows(const char *line, size_t left)
{
	int rows, columns, width = 2;
	mbstate_t state = {0};
	wchar_t c;

	rl_get_screen_size(&rows, &columns);
	for (size_t n; left > 0; line += n, left -= n) {
		n = mbrtowc(&c, line, left, &state);
		if (n == 0 || n > left)
			break;
		width += wcwidth(c) > 0 ? wcwidth(c) : 0;
	}
	return columns > 0 ? width / columns + 1 : 1;
}

static void type_erase(int n)
{
	for (; n > 0; n--)
		printf("\033[A\033[2K\r");
	fflush(stdout);
}

/* The answer to "Password: ". */
static void type_password(const char *password)
{
	char line[sizeof(me.password_of) + ACCOUNTS_PASSWORD_MAX + 16];
	int n = snprintf(line, sizeof(line), "/login %s %s", me.password_of, password);

	me.password_of[0] = '\0';
	rl_set_prompt("> ");
	type_erase(1);
	if (n > 0 && (size_t)n < sizeof(line) && password[0])
		type_say(line, (size_t)n);
	explicit_bzero(line, sizeof(line));
}

/* A line that was typed. It is erased, as the server's copy of it will be shown. */
static void type_line(char *line)
{
	size_t name, at;

	if (!line) {
		me.ended = true;
		return;
	}
	me.typing = false; /* readline shows the next prompt itself */
	if (me.password_of[0]) {
		type_password(line);
	} else if (line[0]) {
		at = type_password_at(line, &name);
		type_erase(type_rows(line, at ? at : strlen(line)));
		if (at == 0)
			add_history(line);
		if (at == 0 && name > 0 && link_has_commands(me.link)) {
			snprintf(me.password_of, sizeof(me.password_of), "%s", line + name);
			rl_set_prompt("Password: ");
		} else {
			type_say(line, strlen(line));
		}
	}
	me.typing = true;
	explicit_bzero(line, strlen(line));
	free(line);
}

void type_start(void)
{
	rl_catch_signals = 0;
	rl_catch_sigwinch = 0;
	rl_attempted_completion_function = names_complete;
	rl_completer_word_break_characters = " ";
	/* A byte of UTF-8 isn't a command with Meta, whatever the locale and ~/.inputrc say, which this reads
	 * first. */
	rl_initialize();
	rl_variable_bind("input-meta", "on");
	rl_variable_bind("output-meta", "on");
	rl_variable_bind("convert-meta", "off");
	using_history();
	stifle_history(1000);
	rl_redisplay_function = type_redisplay;
	/* Between two lines the terminal stays as it is: else a Ctrl-D that comes right behind Enter is taken
	 * by the terminal itself, and lost. */
	rl_deprep_term_function = NULL;
	rl_callback_handler_install("> ", type_line);
	me.typing = true;
}

void type_stop(void)
{
	if (!me.typing)
		return;
	me.typing = false;
	rl_clear_visible_line();
	rl_callback_handler_remove();
	rl_deprep_terminal();
	printf("\r");
	fflush(stdout);
}

bool type_takes_lines(void)
{
	return (link_is_ready(me.link) || link_is_refused(me.link)) && identity_takes_lines(&me.identity);
}

void type_piped(bool readable)
{
	static char buf[65536];
	static size_t have;
	static bool all;
	char *end;

	if (readable && !all && have < sizeof(buf)) {
		ssize_t n = read(STDIN_FILENO, buf + have, sizeof(buf) - have);
		all = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
		have += n > 0 ? (size_t)n : 0;
	}
	while (!me.ended && type_takes_lines() && (end = memchr(buf, '\n', have))) {
		size_t len = (size_t)(end - buf);
		type_say(buf, len);
		have -= len + 1;
		memmove(buf, end + 1, have);
	}
	if (!me.ended && type_takes_lines() && (have == sizeof(buf) || all)) {
		if (have > 0)
			type_say(buf, have);
		have = 0;
		me.ended |= all;
	}
}
