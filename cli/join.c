/* SPDX-License-Identifier: MIT */
/*
 * `chatctl join`: talk from a terminal. The line being typed stays whole while messages scroll above it
 * (readline); piped input sends its lines and ends, piped output is plain.
 */
#include "cli/join.h"

#include "cli/command.h"
#include "cli/subcommands.h"
#include "common/nick.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <readline/history.h>
#include <readline/readline.h>

#define DEFAULT_URL "tcp://127.0.0.1:5050"
/* How often a lost connection is tried again, a second apart. */
#define RETRIES 30
/* How long replies may take at the end. */
#define PATIENCE_MS 3000
/* How long a server may take to greet and to answer. */
#define GREETING_S 10

struct join me;

double join_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static volatile sig_atomic_t interrupted, resized;

static void join_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		interrupted = 1;
}

/*
 * Waits for replies to what was sent: until the other side ends, or for a moment where its end can't be seen.
 */
static void join_leave(void)
{
	int64_t patience = link_has_end(me.link) ? PATIENCE_MS : 0;
	zmq_pollitem_t item;

	link_leave(me.link);
	while (patience > 0 && !interrupted) {
		link_poll_item(me.link, &item);
		if (zmq_poll(&item, 1, 100) <= 0)
			patience -= 100;
		if (link_receive(me.link, who_received, NULL) < 0)
			return;
	}
}

static int join_connect(struct link_options *o, char *why, size_t size)
{
	int r = link_open(o, why, size, &me.link);

	if (r < 0)
		return r;
	me.connected = join_now();
	if (link_has_commands(me.link))
		identity_connected(&me.identity);
	return 0;
}

/* True when there is a connection again. */
static bool join_reconnect(struct link_options *o)
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
	show_note(me.going_down ? "* The server has gone; waiting for it to come back."
				: "* The connection is lost; trying again.");
	me.going_down = false;
	for (unsigned i = 0; i < RETRIES && !interrupted; i++) {
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
		if (join_connect(o, why, sizeof(why)) == 0) {
			if (link_is_ready(me.link)) /* else the server's line says so later */
				show_note("* Connected again.");
			return true;
		}
	}
	show_note("* The server is gone.");
	return false;
}

/* If the nick or the room can't be had, a person decides; a pipe can't, so it ends. */
static int join_check_identity(bool terminal)
{
	struct identity *i = &me.identity;
	char what[400];

	if ((i->phase == IDENTITY_GREETING || i->phase == IDENTITY_ASKED) &&
	    join_now() > me.connected + GREETING_S) {
		i->phase = IDENTITY_HELD;
		i->wrong_nick = i->wanted_nick[0];
		i->wrong_room = i->wanted_room[0];
		if (terminal)
			who_say_held();
	}
	if (terminal || me.ended)
		return EXIT_DONE;
	if (link_is_refused(me.link))
		return fail(EXIT_REFUSED, "the name was refused, so nothing was said");
	if (i->phase != IDENTITY_HELD)
		return EXIT_DONE;
	who_describe(i, what, sizeof(what));
	return fail(EXIT_REFUSED, "you are %s, so nothing was said", what);
}

/* One turn: waits, shows what came, sends what was typed. Returns 0 or -errno. */
static int join_turn(bool terminal)
{
	zmq_pollitem_t items[2] = {{.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
	bool takes = type_takes_lines();
	long timeout = takes ? link_timeout(me.link) : 500;

	if (!terminal && takes) {
		type_piped(false); /* lines that were read before */
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
	int r = link_receive(me.link, who_received, NULL);
	if (r == 0 && items[0].revents && type_takes_lines()) {
		if (terminal)
			rl_callback_read_char();
		else
			type_piped(true);
	}
	if (r == 0)
		r = me.error;
	me.error = 0;
	return r;
}

static int join_talk(struct link_options *o, bool terminal)
{
	int status = EXIT_DONE;

	while (!me.ended && !interrupted && status == EXIT_DONE) {
		int r = join_turn(terminal);
		if (r == 0) {
			status = join_check_identity(terminal);
			continue;
		}
		if (me.removed[0])
			break;
		if (!terminal)
			return fail(EXIT_UNREACHABLE, "the connection is lost");
		/*
		 * The line being typed stays. What is typed during that isn't shown, but isn't lost either.
		 */
		if (!join_reconnect(o)) {
			type_stop();
			return EXIT_UNREACHABLE;
		}
	}
	type_stop();
	if (!me.removed[0])
		join_leave();
	if (me.removed[0])
		return fail(EXIT_REFUSED, "%s", me.removed);
	if (status == EXIT_DONE && !terminal && me.unsaid)
		return fail(EXIT_REFUSED, "not all lines were said");
	return status;
}

static void join_catch_signals(void)
{
	struct sigaction sa = {.sa_handler = join_signal};

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
	if (name_room(&link.room) != EXIT_DONE)
		return EXIT_USAGE;
	join_catch_signals();
	identity_init(&me.identity, link.nick, link.room);
	int r = join_connect(&link, why, sizeof(why));
	if (r < 0)
		return fail(r == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", why);
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	me.times = isatty(STDOUT_FILENO);
	me.colours = me.times && !getenv("NO_COLOR");
	if (terminal)
		type_start();
	int status = join_talk(&link, terminal);
	link_close(me.link);
	names_free();
	if (terminal)
		clear_history();
	return status;
}
