/* SPDX-License-Identifier: MIT */
/*
 * chatctl join: talk from a terminal. The line being typed stays whole while messages scroll above it
 * (readline); piped input sends its lines and ends, piped output is plain.
 */
#include "cli/command.h"
#include "cli/link.h"
#include "common/cleanup.h"
#include "common/nick.h"

#include <getopt.h>
#include <signal.h>
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
/* Names for the Tab key; the oldest make way. */
#define NAMES_MAX 256

static const char *const commands[] = {"/help", "/join", "/login", "/me", "/msg",
				       "/nick", "/quit", "/rooms", "/who"};

/* readline calls back without an argument, so what its callbacks need is here. */
static struct {
	struct link *link;
	bool typing; /* readline has the terminal */
	bool colours, times;
	bool ended;	 /* /quit, or the end of the input */
	bool going_down; /* the server said so */
	int error;	 /* of the last line that was sent */
	char *names[NAMES_MAX];
	size_t n_names;
} me;

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

/* "NICK: text", and what the server says of people and rooms. */
static void learn(const char *s, size_t len)
{
	static const char *const verbs[] = {" joined ", " left ", " is now "};
	const char *colon = memmem(s, len, ": ", 2);

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
	if (colon && nick_valid(s, (size_t)(colon - s)))
		remember(s, (size_t)(colon - s));
}

static char *next_name(const char *text, int state)
{
	static size_t at;
	size_t n_commands = sizeof(commands) / sizeof(*commands);

	if (state == 0)
		at = 0;
	while (at < n_commands + NAMES_MAX) {
		size_t i = at++;
		const char *name = i < n_commands ? commands[i] : me.names[i - n_commands];
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
	char **matches = rl_completion_matches(text, next_name);
	/* Whom one speaks to is followed by a colon. */
	rl_completion_append_character = start == 0 && text[0] != '/' ? ':' : ' ';
	return matches;
}

/* --- output --- */

/* One of the six colours that can be read on dark and light, always the same for a name. */
static unsigned colour_of(const char *s, size_t len)
{
	unsigned h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return 31 + h % 6;
}

static void print_line(const char *s, size_t len)
{
	const char *colon = memmem(s, len, ": ", 2);
	char when[16] = "";
	time_t t = time(NULL);
	struct tm tm;

	if (me.times)
		strftime(when, sizeof(when), "%H:%M:%S ", localtime_r(&t, &tm));
	if (!me.colours) {
		printf("%s%.*s\n", when, (int)len, s);
		return;
	}
	printf("\033[2m%s\033[0m", when);
	if (len > 1 && s[0] == '*' && s[1] == ' ')
		printf("\033[2m%.*s\033[0m\n", (int)len, s);
	else if (colon && nick_valid(s, (size_t)(colon - s)))
		printf("\033[%um%.*s\033[0m%.*s\n", colour_of(s, (size_t)(colon - s)), (int)(colon - s), s,
		       (int)(s + len - colon), colon);
	else
		printf("%.*s\n", (int)len, s);
}

static void show(const char *s, size_t len, void *arg)
{
	_cleanup_free_ char *clean = NULL;

	(void)arg;
	/* Over ZeroMQ, and in raw rooms, nobody has cleaned it. */
	const char *text = isatty(STDOUT_FILENO) ? text_clean(s, &len, &clean) : s;
	if (!text)
		return;
	learn(text, len);
	if (len >= 20 && memcmp(text, "* chatd is going dow", 20) == 0)
		me.going_down = true;
	if (me.typing)
		rl_clear_visible_line();
	print_line(text, len);
	fflush(stdout);
	if (me.typing) {
		rl_on_new_line();
		rl_redisplay();
	}
}

static void note(const char *text)
{
	show(text, strlen(text), NULL);
}

/* --- input --- */

static void say(const char *line, size_t len)
{
	int r = link_send(me.link, line, len);

	if (r < 0)
		me.error = r;
	if ((len == 5 && memcmp(line, "/quit", 5) == 0) || (len == 4 && memcmp(line, "quit", 4) == 0))
		me.ended = true;
}

/* How many rows of the terminal the prompt and a line take. */
static int rows_of(const char *line)
{
	int rows, columns, width = 2;
	mbstate_t state = {0};
	wchar_t c;

	rl_get_screen_size(&rows, &columns);
	for (size_t left = strlen(line), n; left > 0; line += n, left -= n) {
		n = mbrtowc(&c, line, left, &state);
		if (n == 0 || n > left)
			break;
		width += wcwidth(c) > 0 ? wcwidth(c) : 0;
	}
	return columns > 0 ? width / columns + 1 : 1;
}

/* A line that was typed; what comes back shows it, so it is taken away. */
static void typed(char *line)
{
	if (!line) {
		me.ended = true;
		return;
	}
	if (line[0]) {
		add_history(line);
		for (int i = rows_of(line); i > 0; i--)
			printf("\033[A\033[2K\r");
		fflush(stdout);
		say(line, strlen(line));
	}
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

/* Whole lines of a pipe or a file. */
static void read_piped(void)
{
	static char buf[65536];
	static size_t have;
	char *end;

	ssize_t n = read(STDIN_FILENO, buf + have, sizeof(buf) - have);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		if (have > 0)
			say(buf, have);
		have = 0;
		me.ended = true;
		return;
	}
	have += (size_t)n;
	while ((end = memchr(buf, '\n', have))) {
		size_t len = (size_t)(end - buf);
		say(buf, len);
		have -= len + 1;
		memmove(buf, end + 1, have);
	}
	if (have == sizeof(buf)) {
		say(buf, have);
		have = 0;
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
		if (link_receive(me.link, show, NULL) < 0)
			return;
	}
}

/* True when there is a connection again. */
static bool reconnect(const struct link_options *o)
{
	char why[512];

	link_close(me.link);
	me.link = NULL;
	note(me.going_down ? "* The server has gone; waiting for it to come back."
			   : "* The connection is lost; trying again.");
	me.going_down = false;
	for (unsigned i = 0; i < RETRIES && !interrupted; i++) {
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
		if (link_open(o, why, sizeof(why), &me.link) == 0) {
			note("* Connected again.");
			return true;
		}
	}
	note("* The server is gone.");
	return false;
}

static int talk(const struct link_options *o, bool terminal)
{
	int status = EXIT_DONE;

	while (!me.ended && !interrupted) {
		zmq_pollitem_t items[2] = {{.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
		int first = link_is_ready(me.link) ? 0 : 1;
		link_poll_item(me.link, &items[1]);
		int n = zmq_poll(items + first, 2 - first, link_timeout(me.link));
		if (resized) {
			resized = 0;
			if (me.typing)
				rl_resize_terminal();
		}
		if (n < 0 && errno != EINTR)
			return fail(EXIT_REFUSED, "%s", zmq_strerror(errno));
		if (n < 0)
			continue;
		int r = link_receive(me.link, show, NULL);
		if (r == 0 && items[0].revents) {
			if (terminal)
				rl_callback_read_char();
			else
				read_piped();
			r = me.error;
		}
		me.error = 0;
		if (r == 0)
			continue;
		if (!terminal)
			return fail(EXIT_UNREACHABLE, "the connection is lost");
		stop_typing();
		if (!reconnect(o))
			return EXIT_UNREACHABLE;
		start_typing();
	}
	stop_typing();
	leave();
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
		return fail(EXIT_USAGE, "\"%s\" is no valid nick", link.nick);
	if (link.room && !text_room_valid(link.room, strlen(link.room)))
		return fail(EXIT_USAGE, "\"%s\" is no valid name of a room", link.room);
	catch_signals();
	int r = link_open(&link, why, sizeof(why), &me.link);
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
