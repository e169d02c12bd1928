/* SPDX-License-Identifier: MIT */
/* chatctl: controls chatd. One table of subcommands; see chatctl(1). */
#include "cli/client.h"
#include "cli/command.h"
#include "common/cleanup.h"

#include <curses.h>
#include <getopt.h>
#include <grp.h>
#include <langinfo.h>
#include <libconfig.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <readline/readline.h>

#define DEFAULT_SOCKET "/run/chatd/control.sock"

static const struct command commands[] = {
    {"status", "", "show how chatd is: clients, workers, the last takeover", command_status, NULL},
    {"list", "[clients|rooms|listeners|bans]", "list who and what is there", command_list, NULL},
    {"send", "[--as NICK] ROOM TEXT...|-", "say something in a room (-: each line of stdin)", command_send,
     "  --as NICK        the name to speak under, which nobody has (admin)\n"},
    {"tail", "[-n N] [-f] [-t] ROOM", "show what was said in a room (-f: and goes on)", command_tail,
     "  -n N             so many messages (10)\n"
     "  -f               go on with what comes\n"
     "  -t               each with its time (the default on a terminal)\n"},
    {"join", "[--room R] [--nick N] [URL]",
     "talk from a terminal (tcp://, tls://, udp://, zmq://HOST:PULL,PUB)", command_join,
     "  -r, --room R     the room to talk in\n"
     "  -n, --nick N     the name to talk under\n"
     "      --ca FILE    certificates to trust for TLS instead of the system's\n"},
    {"kick", "ID [REASON]", "disconnect a client", command_kick, NULL},
    {"ban", "ADDRESS[/BITS] [TIME]", "keep an address out (TIME: 90s, 10m, 2h, 7d; else for ever)",
     command_ban, NULL},
    {"unban", "ADDRESS[/BITS]", "let a banned address in again", command_unban, NULL},
    {"passwd", "[-d] FILE NAME", "set an account's password (-d: delete it)", command_passwd,
     "  -d               delete the account\n"},
    {"reload", "[-q]", "apply the configuration (-q: mistakes and warnings are in the log only)",
     command_reload, "  -q               mistakes and warnings are in the log only\n"},
    {"restart", "", "run the program on disk, keeping everybody connected", command_restart, NULL},
    {"check", "[FILE]", "check a configuration file", command_check, NULL},
    {"keys", "", "make a pair of CURVE keys for ZeroMQ", command_keys, NULL},
    {"watch", "", "show events as they happen: who comes, goes, is kicked or too slow", command_watch, NULL},
    {"top", "", "show clients and rooms live", command_top, NULL},
    {"metrics", "", "print the counters for Prometheus", command_metrics, NULL},
};

static int command_complete(const struct options *o, int argc, char **argv);

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

int fail(int status, const char *format, ...)
{
	va_list ap;

	fputs("chatctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int usage(const char *command)
{
	const struct command *c = find(command);

	return fail(EXIT_USAGE, "usage: chatctl %s%s%s", command, c && c->usage[0] ? " " : "",
		    c ? c->usage : "");
}

int wrong_option(char **argv)
{
	const struct command *c = find(argv[0]);
	char letter[3] = {'-', (char)optopt, '\0'};
	/* Of a word of letters it may be any; of "--name" optopt is 0, or it lacks its value. */
	const char *option = optopt && strncmp(argv[optind - 1], "--", 2) != 0 ? letter : argv[optind - 1];

	return fail(EXIT_USAGE, "%s can't be used with %s; usage: chatctl %s%s%s", option, argv[0], argv[0],
		    c && c->usage[0] ? " " : "", c ? c->usage : "");
}

/* Before the command. */
static int unknown_option(char **argv)
{
	char letter[3] = {'-', (char)optopt, '\0'};
	bool is_long = !optopt || strncmp(argv[optind - 1], "--", 2) == 0;

	return fail(EXIT_USAGE, "there is no option %s; chatctl --help lists them",
		    is_long ? argv[optind - 1] : letter);
}

/* A configuration's text setting; the caller free()s it. A configuration that can't be read has none. */
static char *configured(const char *path, const char *setting)
{
	const char *value;
	char *copy = NULL;
	config_t lib;

	config_init(&lib);
	if (config_read_file(&lib, path) && config_lookup_string(&lib, setting, &value))
		copy = strdup(value);
	config_destroy(&lib);
	return copy;
}

/* The group whose members may use the socket: the socket's own, or what the configuration says where it can't
 * be seen. */
static const struct group *group_of(const struct options *o)
{
	_cleanup_free_ char *name = NULL;
	struct stat st;

	if (stat(o->socket, &st) == 0)
		return st.st_mode & S_IWGRP && st.st_gid != 0 ? getgrgid(st.st_gid) : NULL;
	name = configured(o->config, "control.group");
	return getgrnam(name ? name : "chatd");
}

int unreachable(const struct options *o, int r)
{
	const struct group *g = r == -EACCES ? group_of(o) : NULL;

	if (r != -EACCES)
		return fail(EXIT_UNREACHABLE, "chatd can't be reached at %s: %s", o->socket, strerror(-r));
	if (!g)
		return fail(EXIT_UNREACHABLE, "chatd can't be reached at %s: %s; only root may", o->socket,
			    strerror(-r));
	return fail(EXIT_UNREACHABLE,
		    "chatd can't be reached at %s: %s; root and the group %s may: sudo usermod -aG %s $USER, "
		    "then log "
		    "in again",
		    o->socket, strerror(-r), g->gr_name, g->gr_name);
}

int reach(const struct options *o, struct client **ret)
{
	int r = client_open(o->socket, ret);

	return r < 0 ? unreachable(o, r) : EXIT_DONE;
}

int explain(int r, const char *error)
{
	if (r == -EREMOTEIO)
		return fail(EXIT_REFUSED, "%s", error ? error : "refused");
	if (r == -ECONNRESET)
		return fail(EXIT_UNREACHABLE, "chatd closed the connection");
	if (r == -EINVAL)
		return fail(EXIT_REFUSED, "that is not UTF-8");
	return fail(EXIT_UNREACHABLE, "%s", strerror(-r));
}

int call(const struct options *o, const char *method, json_t *parameters, json_t **ret)
{
	_cleanup_free_ char *error = NULL;
	struct client *c;
	int status = reach(o, &c);

	if (status != EXIT_DONE) {
		json_decref(parameters);
		return status;
	}
	int r = client_send(c, method, parameters, false);
	if (r == 0)
		r = client_receive(c, ret, &error);
	client_close(c);
	return r < 0 ? explain(r, error) : EXIT_DONE;
}

void print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
	putchar('\n');
}

static void print_help(void)
{
	puts("Usage: chatctl [OPTION...] COMMAND [ARGUMENT...]\n");
	for (size_t i = 0; i < N_COMMANDS; i++) {
		char left[64];
		snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].usage);
		printf("  %-36s %s\n", left, commands[i].help);
	}
	puts("\n"
	     "  -s, --socket PATH   the control socket (default: the configuration's, else " DEFAULT_SOCKET
	     ")\n"
	     "  -c, --config FILE   the configuration (" SYSCONFDIR "/chatd.conf)\n"
	     "  -j, --json          output for programs\n"
	     "  -h, --help          show this help\n"
	     "  -V, --version       show the version\n"
	     "\n"
	     "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 chatd can't be reached. See "
	     "chatctl(1).");
}

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters have to be changed, added, taken away or swapped (Damerau), for words of up to 31 bytes.
 */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][32]; /* of the letter before the last, of the last one, and of this one */
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t n = strlen(b);

	if (strlen(a) > 31 || n > 31)
		return 99;
	for (size_t k = 0; k <= n; k++)
		last[k] = before[k] = (unsigned)k;
	for (size_t i = 0; a[i]; i++) {
		row[0] = (unsigned)i + 1;
		for (size_t k = 0; k < n; k++) {
			row[k + 1] = smaller(last[k] + (a[i] != b[k]), smaller(last[k + 1], row[k]) + 1);
			if (i > 0 && k > 0 && a[i] == b[k - 1] && a[i - 1] == b[k])
				row[k + 1] = smaller(row[k + 1], before[k - 1] + 1);
		}
		unsigned *free = before;
		before = last;
		last = row;
		row = free;
	}
	return last[n];
}

static int unknown(const char *name)
{
	const char *near = NULL;
	/* One slip, in a longer word two: "say" is nothing like "ban". */
	unsigned least = strlen(name) > 5 ? 3 : 2;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		unsigned d = distance(name, commands[i].name);
		if (d < least || (strlen(name) > 1 && strncmp(name, commands[i].name, strlen(name)) == 0)) {
			least = d < least ? d : least;
			near = commands[i].name;
		}
	}
	if (near)
		return fail(EXIT_USAGE, "there is no command \"%s\"; do you mean %s?", name, near);
	return fail(EXIT_USAGE, "there is no command \"%s\"; chatctl --help lists them", name);
}

static void print_names(const json_t *list, const char *key)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
	{
		const json_t *v = json_object_get(e, key);
		if (json_is_integer(v) && json_integer_value(v) > 0)
			printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
		else if (json_string_length(v) > 0)
			puts(json_string_value(v));
	}
}

/* Where a client comes from, without its port and brackets. */
static void print_addresses(const json_t *list)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
	{
		const char *a = json_string_value(json_object_get(e, "address"));
		const char *colon = a && !json_object_get(e, "peers") ? strrchr(a, ':') : NULL;
		if (colon)
			printf("%.*s\n", (int)(colon - a) - (a[0] == '[' ? 2 : 0), a + (a[0] == '['));
	}
}

/* For the shells' completions (completions/): what there is of a kind, a line each. */
static int command_complete(const struct options *o, int argc, char **argv)
{
	static const struct {
		const char *kind, *list, *key;
	} kinds[] = {{"rooms", "rooms", "name"},
		     {"ids", "clients", "id"},
		     {"addresses", "clients", NULL},
		     {"bans", "bans", "address"}};
	json_t *reply = NULL;

	if (argc != 2)
		return usage(argv[0]);
	if (strcmp(argv[1], "commands") == 0)
		for (size_t i = 0; i < N_COMMANDS; i++)
			puts(commands[i].name);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].kind, argv[1]) != 0)
			continue;
		int status = call(o, "List", json_pack("{s:s}", "what", kinds[i].list), &reply);
		if (status != EXIT_DONE)
			return status;
		if (kinds[i].key)
			print_names(json_object_get(reply, kinds[i].list), kinds[i].key);
		else
			print_addresses(json_object_get(reply, kinds[i].list));
		json_decref(reply);
	}
	return EXIT_DONE;
}

static int help(int argc, char **argv)
{
	if (argc == 1) {
		print_help();
		return EXIT_DONE;
	}
	const struct command *c = find(argv[1]);
	if (!c)
		return unknown(argv[1]);
	printf("Usage: chatctl [OPTION...] %s%s%s\n\n%c%s. chatctl(1) says more.\n", c->name,
	       c->usage[0] ? " " : "", c->usage, c->help[0] - 'a' + 'A', c->help + 1);
	printf("%s%s", c->options ? "\nOptions:\n" : "", c->options ? c->options : "");
	return EXIT_DONE;
}

/* "chatctl send --help"; behind ROOM it is something to be said. */
static bool asks_for_help(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return true;
	for (int i = 2; i < argc && strcmp(argv[0], "send") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

/* People write --json and -j at the end as well; behind ROOM of send they are something to be said. */
static void take_json(struct options *o, int *argc, char **argv)
{
	bool sends = strcmp(argv[0], "send") == 0;

	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") != 0 && strcmp(argv[i], "-j") != 0) {
			if (sends)
				return;
			continue;
		}
		o->json = true;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
		--*argc;
		i--;
	}
}

/* chatd does, whatever the terminal's locale is. In the environment since readline asks there. */
static void speak_utf8(void)
{
	setlocale(LC_ALL, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
		return;
	setenv("LC_ALL", "C.UTF-8", 1);
	setlocale(LC_ALL, "C.UTF-8");
}

static void print_version(void)
{
	printf("chatctl %s\nconfiguration " SYSCONFDIR "/chatd.conf; readline %s, %s\n", PACKAGE_VERSION,
	       rl_library_version, curses_version());
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, 's'}, {"config", required_argument, NULL, 'c'},
	    {"json", no_argument, NULL, 'j'},	      {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
	};
	struct options o = {.config = SYSCONFDIR "/chatd.conf"};
	_cleanup_free_ char *socket = NULL;
	int opt;

	speak_utf8();
	opterr = 0; /* with the program's whole path */
	/* "+": what follows the command is the command's. */
	while ((opt = getopt_long(argc, argv, "+:s:c:jhV", options, NULL)) >= 0)
		switch (opt) {
		case 's':
			o.socket = optarg;
			break;
		case 'c':
			o.config = optarg;
			break;
		case 'j':
			o.json = true;
			break;
		case 'h':
			print_help();
			return EXIT_DONE;
		case 'V':
			print_version();
			return EXIT_DONE;
		case ':':
			return fail(EXIT_USAGE, "%s needs a value; see chatctl --help", argv[optind - 1]);
		default:
			return unknown_option(argv);
		}
	if (optind == argc) {
		print_help();
		return EXIT_USAGE;
	}
	if (!o.socket) {
		socket = configured(o.config, "control.socket");
		o.socket = socket ? socket : DEFAULT_SOCKET;
	}
	argc -= optind;
	argv += optind;
	optind = 0;
	if (strcmp(argv[0], "help") == 0)
		return help(argc, argv);
	if (strcmp(argv[0], "complete") == 0)
		return command_complete(&o, argc, argv);
	const struct command *command = find(argv[0]);
	if (!command)
		return unknown(argv[0]);
	if (asks_for_help(argc, argv))
		return help(2, (char *[]){argv[0], argv[0], NULL});
	take_json(&o, &argc, argv);
	int status = command->run(&o, argc, argv);
	if (fflush(stdout) != 0 && status == EXIT_DONE)
		return fail(EXIT_REFUSED, "can't write: %s", strerror(errno));
	return status;
}
