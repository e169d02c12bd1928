/* SPDX-License-Identifier: MIT */
/*
 * chatctl join: talk from a terminal. The line being typed stays whole while messages scroll above it
 * (readline); piped input sends its lines and ends, piped output is plain.
 */
#include "cli/command.h"
#include "cli/identity.h"
#include "cli/link.h"
#include "common/accounts.h"
#include "common/cleanup.h"
#include "common/hash.h"
#include "common/nick.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <wchar.h>

#include <readline/history.h>
#include <readline/readline.h>

#define DEFAULT_URL "tcp://127.0.0.1:5050"
/* How often a lost connection is tried again, a second apart. */
#define RETRIES 30
/* How long what is still under way may take at the end. */
#define PATIENCE_MS 3000
/* How long a server may take to say who one is. */
#define GREETING_S 10
/* Lines that come right behind one's entering a room, without a pause of so long, may be old ones. */
#define HISTORY_S 1.0
/* Names for the Tab key; the oldest make way. */
#define NAMES_MAX 256

static const char *const commands[] = {"/help", "/join", "/login", "/me",   "/msg",
				       "/nick", "/quit", "/rooms", "/stay", "/who"};
#define QUIT 6 /* the one that needs no server */

/* readline calls back without an argument, so what its callbacks need is here. */
static struct {
	struct link *link;
	struct identity identity;
	double connected;     /* when, on CLOCK_MONOTONIC */
	double history_until; /* lines up to then may be old; each one moves it on */
	char password_of[64]; /* whose password is being typed; "": a line is */
	bool typing;	      /* readline has the terminal */
	bool colours, times;
	bool ended;	   /* /quit, or the end of the input */
	bool going_down;   /* the server said so */
	bool again;	   /* this is not the first connection */
	int error;	   /* of the last line that was sent */
	bool unsaid;	   /* a line was refused here */
	char removed[200]; /* why chatd doesn't want one any more; "": it does */
	char *names[NAMES_MAX];
	size_t n_names;
} me;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static volatile sig_atomic_t interrupted, resized;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		interrupted = 1;
}

/* --- names --- */

static void remember(const char *s, size_t len)
{
	if (len == 0 || len > TEXT_ROOM_MAX)
		return;
	for (size_t i = 0; i < me.n_names && i < NAMES_MAX; i++)
		if (strlen(me.names[i]) == len && memcmp(me.names[i], s, len) == 0)
			return;
	char **place = &me.names[me.n_names++ % NAMES_MAX];
	free(*place);
	*place = strndup(s, len);
	if (!*place)
		me.n_names--;
}

/* How long the nick is in "NICK: TEXT" or, of /me, "NICK * TEXT"; 0: this is something else. */
static size_t nick_len(const char *s, size_t len)
{
	const char *colon = memmem(s, len, ": ", 2), *star = memmem(s, len, " * ", 3);
	const char *end = !colon || (star && star < colon) ? star : colon;
	size_t n = end ? (size_t)(end - s) : 0;

	return n > 0 && nick_valid(s, n) ? n : 0;
}

/* What is said, and what the server says of people and rooms. */
static void learn(const char *s, size_t len)
{
	static const char *const verbs[] = {" joined ", " left ", " is now "};

	if (len > 2 && s[0] == '*' && s[1] == ' ') {
		s += 2;
		len -= 2;
		for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
			const char *verb = memmem(s, len, verbs[i], strlen(verbs[i]));
			if (!verb || memchr(s, ' ', (size_t)(verb - s)))
				continue;
			remember(s, (size_t)(verb - s));
			verb += strlen(verbs[i]);
			remember(verb, (size_t)(s + len - verb));
		}
		const char *bracket = memmem(s, len, " (", 2); /* /rooms */
		if (bracket && !memchr(s, ' ', (size_t)(bracket - s)))
			remember(s, (size_t)(bracket - s));
		if (len > 12 && memcmp(s, "You are in ", 11) == 0)
			remember(s + 11, strcspn(s + 11, ".; "));
		return;
	}
	remember(s, nick_len(s, len));
}

static char *next_name(const char *text, int state)
{
	static size_t at;
	size_t n_commands = sizeof(commands) / sizeof(*commands);

	if (state == 0)
		at = 0;
	while (at < n_commands + NAMES_MAX) {
		size_t i = at++;
		const char *name = i >= n_commands			     ? me.names[i - n_commands]
				   : link_has_commands(me.link) || i == QUIT ? commands[i]
									     : NULL;
		/* Commands are at the begin of a line only. */
		if (name && strncasecmp(name, text, strlen(text)) == 0 &&
		    (i >= n_commands || (text[0] == '/' && strncmp(rl_line_buffer, text, strlen(text)) == 0)))
			return strdup(name);
	}
	return NULL;
}

static char **complete(const char *text, int start, int end)
{
	(void)end;
	rl_attempted_completion_over = 1; /* no file names */
	if (me.password_of[0])
		return NULL;
	char **matches = rl_completion_matches(text, next_name);
	/* Whom one speaks to is followed by a colon. */
	rl_completion_append_character = start == 0 && text[0] != '/' ? ':' : ' ';
	return matches;
}

/* --- output --- */

/* One of the six colours that can be read on dark and light, always the same for a name. */
static unsigned colour_of(const char *s, size_t len)
{
	return 31 + (unsigned)(hash_fixed(s, len) % 6);
}

/* "12:34:56 "; of what was perhaps said before one came it isn't known. */
static void format_time(bool notice, char dst[static 16])
{
	time_t t = time(NULL);
	struct tm tm;

	dst[0] = '\0';
	if (!me.times)
		return;
	strftime(dst, 16, "%H:%M:%S ", localtime_r(&t, &tm));
	if (notice || now() >= me.history_until)
		return;
	memset(dst, ' ', strlen(dst));
	me.history_until = now() + HISTORY_S;
}

static void print_line(const char *s, size_t len)
{
	bool notice = len > 1 && s[0] == '*' && s[1] == ' ';
	size_t nick = notice ? 0 : nick_len(s, len);
	char when[16];

	format_time(notice, when);
	if (!me.colours)
		printf("%s%.*s\n", when, (int)len, s);
	else if (notice)
		printf("\033[2m%s\033[0m\033[2m%.*s\033[0m\n", when, (int)len, s);
	else if (nick > 0)
		printf("\033[2m%s\033[0m\033[%um%.*s\033[0m%.*s\n", when, colour_of(s, nick), (int)nick, s,
		       (int)(len - nick), s + nick);
	else
		printf("\033[2m%s\033[0m%.*s\n", when, (int)len, s);
}

/* All of the line but a password. */
static void redisplay(void);

static void show(const char *s, size_t len)
{
	_cleanup_free_ char *clean = NULL;

	/* Over ZeroMQ, and in raw rooms, nobody has cleaned it. */
	const char *text = isatty(STDOUT_FILENO) ? text_clean(s, &len, &clean) : s;
	if (!text)
		return;
	learn(text, len);
	if (me.typing)
		rl_clear_visible_line();
	print_line(text, len);
	fflush(stdout);
	if (me.typing) {
		rl_on_new_line();
		redisplay();
	}
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	show(text, strlen(text));
}

/* --- who one is --- */

static void send_line(const char *line, size_t len)
{
	int r = link_send(me.link, line, len);

	if (r < 0)
		me.error = r;
}

/* "guest7 in lobby, not alice in ops" */
static void describe(const struct identity *i, char *dst, size_t size)
{
	snprintf(dst, size, "%s in %s, not %s in %s", i->nick[0] ? i->nick : "nobody",
		 i->room[0] ? i->room : "no room", i->wanted_nick[0] ? i->wanted_nick : i->nick,
		 i->wanted_room[0] ? i->wanted_room : i->room);
}

static void say_held(void)
{
	char what[400];

	describe(&me.identity, what, sizeof(what));
	note("* You are %s.", what);
	note("* Nothing is said until you /nick, /join, /login, or /stay so.");
}

static bool is_announcement(const char *s, size_t len)
{
	return len > 2 && s[0] == '*' && s[1] == ' ' && s[2] != '[' &&
	       (memmem(s, len, " joined ", 8) || memmem(s, len, " left ", 6) ||
		memmem(s, len, " is now ", 8));
}

/* "* You have been removed: REASON", "* Sorry: your address is banned.": to come back at once is not wanted.
 */
static void note_removal(const char *s, size_t len)
{
	static const char *const lines[] = {"* You have been removed", "* You have been banned",
					    "* Sorry: your address is banned"};

	/* Where nobody can be removed it is something that somebody says. */
	if (!link_has_end(me.link))
		return;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (len >= strlen(lines[i]) && memcmp(s, lines[i], strlen(lines[i])) == 0) {
			bool full_stop = s[len - 1] == '.';
			snprintf(me.removed, sizeof(me.removed), "%.*s", (int)len - 2 - full_stop, s + 2);
		}
}

/* A line from the server. */
static void received(const char *s, size_t len, void *arg)
{
	struct identity *i = &me.identity;
	char room[sizeof(i->room)];
	int before = i->phase;

	(void)arg;
	note_removal(s, len);
	if (!link_has_commands(me.link)) {
		show(s, len);
		return;
	}
	memcpy(room, i->room, sizeof(room));
	bool seen = identity_line(i, s, len, send_line);
	if (strcmp(room, i->room) != 0)
		me.history_until = now() + HISTORY_S;
	/* Comings and goings are not part of the history, so that it ends before the first one. */
	else if (is_announcement(s, len))
		me.history_until = 0;
	if (len >= 20 && memcmp(s, "* chatd is going dow", 20) == 0)
		me.going_down = true;
	if (seen)
		show(s, len);
	if (before == IDENTITY_ASKED && i->phase == IDENTITY_SURE && me.again)
		note("* You are %s in %s again.", i->nick, i->room);
	if (before == IDENTITY_GREETING && i->phase == IDENTITY_LOGIN && me.again)
		note("* You were %s in %s; you are once you have logged in.",
		     i->wanted_nick[0] ? i->wanted_nick : "a guest", i->wanted_room);
	if (before == IDENTITY_ASKED && i->phase == IDENTITY_HELD && me.times)
		say_held();
	if (before == IDENTITY_HELD && i->phase == IDENTITY_SURE)
		note("* You go on as %s in %s.", i->nick, i->room);
}

/* --- input --- */

/* Without commands a line that begins with / is none either, and what was meant as one (a password, say) is
 * nobody's to hear. */
static void say_plainly(const char *line, size_t len)
{
	bool slash = len > 0 && line[0] == '/';

	if (slash && len == 5 && memcmp(line, "/quit", 5) == 0) {
		me.ended = true;
		return;
	}
	if (slash && (len < 2 || line[1] != '/')) {
		const char *space = memchr(line, ' ', len);
		note("* There is no %.*s over %s; //TEXT says /TEXT.",
		     (int)(space && space - line < 32 ? space - line
			   : len < 32		      ? (long)len
						      : 32),
		     line, link_name(me.link));
		me.unsaid = true;
		return;
	}
	int r = link_send(me.link, line + slash, len - slash);
	if (r == -EPERM)
		note("* That was not said; first take another name: #REG NAME");
	else if (r < 0)
		me.error = r;
	me.ended |= len == 4 && memcmp(line, "quit", 4) == 0;
}

static void say(const char *line, size_t len)
{
	if (!link_has_commands(me.link)) {
		say_plainly(line, len);
		return;
	}
	if (me.identity.phase == IDENTITY_HELD && len == 5 && memcmp(line, "/stay", 5) == 0) {
		identity_stay(&me.identity);
		note("* You go on as %s in %s.", me.identity.nick, me.identity.room);
		return;
	}
	if (!identity_may_send(&me.identity, line, len)) {
		note("* That was not said.");
		say_held();
		return;
	}
	send_line(line, len);
	if ((len == 5 && memcmp(line, "/quit", 5) == 0) || (len == 4 && memcmp(line, "quit", 4) == 0))
		me.ended = true;
}

/* Where the password begins in "/login NAME PASSWORD"; 0: there is none. ret_name: where NAME begins, else 0.
 */
static size_t password_at(const char *line, size_t *ret_name)
{
	*ret_name = 0;
	if (strncasecmp(line, "/login ", 7) != 0)
		return 0;
	size_t name = 7 + strspn(line + 7, " "), n = strcspn(line + name, " ");
	if (n > 0)
		*ret_name = name;
	return n > 0 && line[name + n] ? name + n + 1 : 0;
}

static void redisplay(void)
{
	size_t name, at = me.password_of[0] ? 0 : password_at(rl_line_buffer, &name);

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

/* How many rows of the terminal the prompt and so much of a line take. */
static int rows_of(const char *line, size_t left)
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

static void erase_rows(int n)
{
	for (; n > 0; n--)
		printf("\033[A\033[2K\r");
	fflush(stdout);
}

/* The answer to "Password: ". */
static void typed_password(const char *password)
{
	char line[sizeof(me.password_of) + ACCOUNTS_PASSWORD_MAX + 16];
	int n = snprintf(line, sizeof(line), "/login %s %s", me.password_of, password);

	me.password_of[0] = '\0';
	rl_set_prompt("> ");
	erase_rows(1);
	if (n > 0 && (size_t)n < sizeof(line) && password[0])
		say(line, (size_t)n);
	explicit_bzero(line, sizeof(line));
}

/* A line that was typed; what comes back shows it, so it is taken away. */
static void typed(char *line)
{
	size_t name, at;

	if (!line) {
		me.ended = true;
		return;
	}
	me.typing = false; /* readline shows the next prompt itself */
	if (me.password_of[0]) {
		typed_password(line);
	} else if (line[0]) {
		at = password_at(line, &name);
		erase_rows(rows_of(line, at ? at : strlen(line)));
		if (at == 0)
			add_history(line);
		if (at == 0 && name > 0 && link_has_commands(me.link)) {
			snprintf(me.password_of, sizeof(me.password_of), "%s", line + name);
			rl_set_prompt("Password: ");
		} else {
			say(line, strlen(line));
		}
	}
	me.typing = true;
	explicit_bzero(line, strlen(line));
	free(line);
}

static void start_typing(void)
{
	rl_catch_signals = 0;
	rl_catch_sigwinch = 0;
	rl_attempted_completion_function = complete;
	rl_completer_word_break_characters = " ";
	/* A byte of UTF-8 is no command with Meta, whatever the locale and ~/.inputrc say, which this reads
	 * first. */
	rl_initialize();
	rl_variable_bind("input-meta", "on");
	rl_variable_bind("output-meta", "on");
	rl_variable_bind("convert-meta", "off");
	using_history();
	stifle_history(1000);
	rl_redisplay_function = redisplay;
	rl_callback_handler_install("> ", typed);
	me.typing = true;
}

static void stop_typing(void)
{
	if (!me.typing)
		return;
	me.typing = false;
	rl_clear_visible_line();
	rl_callback_handler_remove();
	printf("\r");
	fflush(stdout);
}

/* Whether what is typed, or comes by the pipe, may be taken now. */
static bool takes_lines(void)
{
	return (link_is_ready(me.link) || link_is_refused(me.link)) && identity_takes_lines(&me.identity);
}

/* Whole lines of a pipe or a file, as far as they may be sent; the rest waits. */
static void take_piped(bool readable)
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
	while (!me.ended && takes_lines() && (end = memchr(buf, '\n', have))) {
		size_t len = (size_t)(end - buf);
		say(buf, len);
		have -= len + 1;
		memmove(buf, end + 1, have);
	}
	if (!me.ended && takes_lines() && (have == sizeof(buf) || all)) {
		if (have > 0)
			say(buf, have);
		have = 0;
		me.ended |= all;
	}
}

/* --- the whole --- */

/* What was sent is worth an answer: receives until the other side ends, or for a moment where that can't be
 * seen. */
static void leave(void)
{
	int64_t patience = link_has_end(me.link) ? PATIENCE_MS : 0;
	zmq_pollitem_t item;

	link_leave(me.link);
	while (patience > 0 && !interrupted) {
		link_poll_item(me.link, &item);
		if (zmq_poll(&item, 1, 100) <= 0)
			patience -= 100;
		if (link_receive(me.link, received, NULL) < 0)
			return;
	}
}

static int connect_to(struct link_options *o, char *why, size_t size)
{
	int r = link_open(o, why, size, &me.link);

	if (r < 0)
		return r;
	me.connected = now();
	if (link_has_commands(me.link))
		identity_connected(&me.identity);
	return 0;
}

/* True when there is a connection again. */
static bool reconnect(struct link_options *o)
{
	static char nick[64];
	char why[512];

	if (link_nick(me.link)) {
		snprintf(nick, sizeof(nick), "%s", link_nick(me.link));
		o->nick = nick;
	}
	link_close(me.link);
	me.link = NULL;
	me.again = o->patient = true;
	note(me.going_down ? "* The server has gone; waiting for it to come back."
			   : "* The connection is lost; trying again.");
	me.going_down = false;
	for (unsigned i = 0; i < RETRIES && !interrupted; i++) {
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
		if (connect_to(o, why, sizeof(why)) == 0) {
			if (link_is_ready(me.link)) /* else it says so when it is */
				note("* Connected again.");
			return true;
		}
	}
	note("* The server is gone.");
	return false;
}

/* It could not be made as it was asked for, or was. A person decides; a pipe can't. */
static int check_identity(bool terminal)
{
	struct identity *i = &me.identity;
	char what[400];

	if ((i->phase == IDENTITY_GREETING || i->phase == IDENTITY_ASKED) &&
	    now() > me.connected + GREETING_S) {
		i->phase = IDENTITY_HELD;
		i->wrong_nick = i->wanted_nick[0];
		i->wrong_room = i->wanted_room[0];
		if (terminal)
			say_held();
	}
	if (terminal || me.ended)
		return EXIT_DONE;
	if (link_is_refused(me.link))
		return fail(EXIT_REFUSED, "the name is refused; nothing is said");
	if (i->phase != IDENTITY_HELD)
		return EXIT_DONE;
	describe(i, what, sizeof(what));
	return fail(EXIT_REFUSED, "you are %s; nothing is said", what);
}

/* One turn: waits, shows what came, sends what was typed. Returns 0 or -errno. */
static int turn(bool terminal)
{
	zmq_pollitem_t items[2] = {{.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
	bool takes = takes_lines();
	long timeout = takes ? link_timeout(me.link) : 500;

	if (!terminal && takes) {
		take_piped(false); /* what was read before */
		if (me.ended)
			return 0;
	}
	link_poll_item(me.link, &items[1]);
	int n = zmq_poll(takes ? items : items + 1, takes ? 2 : 1, timeout);
	if (resized) {
		resized = 0;
		if (me.typing)
			rl_resize_terminal();
	}
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	int r = link_receive(me.link, received, NULL);
	if (r == 0 && items[0].revents && takes_lines()) {
		if (terminal)
			rl_callback_read_char();
		else
			take_piped(true);
	}
	if (r == 0)
		r = me.error;
	me.error = 0;
	return r;
}

static int talk(struct link_options *o, bool terminal)
{
	int status = EXIT_DONE;

	while (!me.ended && !interrupted && status == EXIT_DONE) {
		int r = turn(terminal);
		if (r == 0) {
			status = check_identity(terminal);
			continue;
		}
		if (me.removed[0])
			break;
		if (!terminal)
			return fail(EXIT_UNREACHABLE, "the connection is lost");
		/* The line being typed stays, and what is typed meanwhile is not shown, but not lost. */
		if (!reconnect(o)) {
			stop_typing();
			return EXIT_UNREACHABLE;
		}
	}
	stop_typing();
	if (!me.removed[0])
		leave();
	if (me.removed[0])
		return fail(EXIT_REFUSED, "%s", me.removed);
	if (status == EXIT_DONE && !terminal && me.unsaid)
		return fail(EXIT_REFUSED, "not all lines were said");
	return status;
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGWINCH, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int command_join(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"room", required_argument, NULL, 'r'},
						{"nick", required_argument, NULL, 'n'},
						{"ca", required_argument, NULL, 'a'},
						{NULL, 0, NULL, 0}};
	struct link_options link = {.url = DEFAULT_URL};
	char why[512];
	int opt;

	(void)o;
	while ((opt = getopt_long(argc, argv, "r:n:", options, NULL)) >= 0)
		switch (opt) {
		case 'r':
			link.room = optarg;
			break;
		case 'n':
			link.nick = optarg;
			break;
		case 'a':
			link.ca = optarg;
			break;
		default:
			return wrong_option(argv);
		}
	if (argc - optind > 1)
		return usage(argv[0]);
	if (optind < argc)
		link.url = argv[optind];
	if (link.nick && !nick_valid(link.nick, strlen(link.nick)))
		return fail(EXIT_USAGE, "\"%s\" is not a valid nick", link.nick);
	if (link.room && !text_room_valid(link.room, strlen(link.room)))
		return fail(EXIT_USAGE, "\"%s\" is not a valid name of a room", link.room);
	catch_signals();
	identity_init(&me.identity, link.nick, link.room);
	int r = connect_to(&link, why, sizeof(why));
	if (r < 0)
		return fail(r == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", why);
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	me.times = isatty(STDOUT_FILENO);
	me.colours = me.times && !getenv("NO_COLOR");
	if (terminal)
		start_typing();
	int status = talk(&link, terminal);
	link_close(me.link);
	for (size_t i = 0; i < NAMES_MAX; i++)
		free(me.names[i]);
	if (terminal)
		clear_history();
	return status;
}
