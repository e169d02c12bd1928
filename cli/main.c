/* SPDX-License-Identifier: MIT */
/* chatctl: controls chatd. The options before the subcommand; see chatctl(1).
 * By getopt, not argp: the table of the subcommands makes the help as well as the completions, which argp's help can't. */
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/subcommands.h"
#include "common/cleanup.h"

#include <curses.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>

#define DEFAULT_SOCKET "/run/chatd/control.sock"

/* An option before the subcommand. */
static int main_unknown_option(char **argv)
{
	char letter[3] = {'-', (char)optopt, '\0'};
	bool is_long = !optopt || strncmp(argv[optind - 1], "--", 2) == 0;

	return fail(EXIT_USAGE, "there is no option %s; chatctl --help lists them",
		    is_long ? argv[optind - 1] : letter);
}

static void main_print_help(void)
{
	puts("Usage: chatctl [OPTION...] COMMAND [ARGUMENT...]\n");
	for (const struct subcommand *c = subcommands; c->name; c++)
		printf("  %-10s %s\n", c->name, c->help);
	puts("\nchatctl help COMMAND tells its arguments.\n\n"
	     "  -s, --socket PATH   the control socket (the configuration's,\n"
	     "                      else " DEFAULT_SOCKET ")\n"
	     "  -c, --config FILE   the configuration (" SYSCONFDIR "/chatd.conf)\n"
	     "  -H, --host MACHINE  run chatctl there, by ssh (USER@MACHINE)\n"
	     "  -j, --json          output for programs\n"
	     "  -h, --help          show this help\n"
	     "  -V, --version       show the version\n"
	     "\n"
	     "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 chatd can't be\n"
	     "reached. See chatctl(1).");
}

/* "chatctl send --help"; after ROOM, --help is a part of the message. */
static bool main_asks_for_help(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return true;
	for (int i = 2; i < argc && strcmp(argv[0], "send") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 ||
		    (strcmp(argv[i], "-h") == 0 && strcmp(argv[0], "token") == 0))
			return true;
	return false;
}

/* People write --json and -j at the end as well; after the ROOM of send they are a part of the message. */
static void main_take_json(struct options *o, int *argc, char **argv)
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

/* chatd speaks UTF-8, whatever the terminal's locale is. readline looks for it in the environment. */
static void main_speak_utf8(void)
{
	setlocale(LC_ALL, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
		return;
	setenv("LC_ALL", "C.UTF-8", 1);
	setlocale(LC_ALL, "C.UTF-8");
}

static void main_print_version(void)
{
	printf("chatctl %s\nconfiguration " SYSCONFDIR "/chatd.conf; readline %s, %s\n", PACKAGE_VERSION,
	       rl_library_version, curses_version());
}

/* The options before the subcommand. Returns an exit status, or -1 to go on. */
static int main_options(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, 's'},
	    {"config", required_argument, NULL, 'c'},
	    {"host", required_argument, NULL, 'H'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int opt;

	opterr = 0; /* its messages would show the program's whole path */
	/* "+": options after the subcommand belong to it. */
	while ((opt = getopt_long(argc, argv, "+:s:c:H:jhV", options, NULL)) >= 0)
		switch (opt) {
		case 's':
			o->socket = optarg;
			break;
		case 'c':
			o->config = optarg;
			break;
		case 'H':
			o->host = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			main_print_help();
			return EXIT_DONE;
		case 'V':
			main_print_version();
			return EXIT_DONE;
		case ':':
			return fail(EXIT_USAGE, "%s needs a value; see chatctl --help", argv[optind - 1]);
		default:
			return main_unknown_option(argv);
		}
	return -1;
}

static int main_run(struct options *o, int argc, char **argv)
{
	if (strcmp(argv[0], "help") == 0) {
		if (argc > 1)
			return subcommand_help(argv[1]);
		main_print_help();
		return EXIT_DONE;
	}
	if (strcmp(argv[0], "complete") == 0)
		return command_complete(o, argc, argv);
	const struct subcommand *command = subcommand_find(argv[0]);
	if (!command)
		return subcommand_unknown(argv[0]);
	if (main_asks_for_help(argc, argv))
		return subcommand_help(argv[0]);
	main_take_json(o, &argc, argv);
	int status = command->run(o, argc, argv);
	if (fflush(stdout) != 0 && status == EXIT_DONE)
		return fail(EXIT_REFUSED, "can't write: %s", strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	struct options o = {.socket = NULL};
	_cleanup_free_ char *socket = NULL;

	main_speak_utf8();
	int status = main_options(&o, argc, argv);
	if (status >= 0)
		return status;
	if (optind == argc) {
		main_print_help();
		return EXIT_USAGE;
	}
	if (o.host && strcmp(argv[optind], "complete") != 0)
		return remote_run(&(struct remote){.host = o.host,
						   .socket = o.socket,
						   .config = o.config,
						   .json = o.json,
						   .argc = argc - optind,
						   .argv = argv + optind});
	if (!o.config)
		o.config = SYSCONFDIR "/chatd.conf";
	if (!o.socket) {
		socket = configured(o.config, "control.socket");
		o.socket = socket ? socket : DEFAULT_SOCKET;
	}
	argc -= optind;
	argv += optind;
	optind = 0;
	return main_run(&o, argc, argv);
}
