/* SPDX-License-Identifier: MIT */
/* The table of subcommands, their help and usage, and a guess at what a mistyped one was meant to be. */
#include "cli/subcommands.h"

#include "cli/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

const struct subcommand subcommands[] = {
    {"status", "", "show the state of chatd: clients, workers, the last takeover", command_status, NULL},
    {"ping", "", "ask whether chatd answers, and how fast", command_ping, NULL},
    {"version", "", "show the versions of chatctl and of the chatd that runs", command_version, NULL},
    {"list", "[OPTION...] [clients|rooms|listeners|bans|nodes]",
     "list clients, rooms, listeners, bans or nodes", command_list,
     "  -a, --all        clients of the cluster's other nodes, too\n"
     "  -r, --room R     clients that are in a room\n"
     "  -l, --listener L clients of a listener\n"
     "      --address A  clients from an address or a network (192.0.2.0/24)\n"
     "  -n, --nick N     the client of that nick\n"},
    {"send", "[--as NICK] ROOM TEXT...|-", "say something in a room (-: each line of stdin)", command_send,
     "  --as NICK        the name to speak under, which must be free (admin)\n"},
    {"tail", "[-n N] [-f] [-t] ROOM", "show what was said in a room (-f: follow it)", command_tail,
     "  -n N             how many messages (10)\n"
     "  -f               go on with new messages as they come\n"
     "  -t               with the time of each (the default on a terminal)\n"},
    {"history", "[OPTION...] ROOM", "show what was said in a room, from the history", command_history,
     "  -n N             the last N messages (20; with --since all from there on)\n"
     "      --since T    not before (T: 2h, yesterday, 10:00, 2026-11-24 10:00, ...)\n"
     "      --until T    before\n"
     "      --from NICK  what NICK said\n"
     "      --grep TEXT  with these words in it (\"some words\", begin*)\n"
     "      --notices    comings and goings, too\n"},
    {"search", "[OPTION...] TEXT...", "find words in what was said", command_search,
     "  -n N             the last N messages (20; with --since all from there on)\n"
     "      --room R     in this room only\n"
     "      --since T    not before (T: 2h, yesterday, 10:00, 2026-11-24 10:00, ...)\n"
     "      --until T    before\n"
     "      --from NICK  what NICK said\n"},
    {"export", "[OPTION...] [ROOM]", "print the history, the oldest first", command_export,
     "      --format F   jsonl (a JSON object a line) or mbox (as mail)\n"
     "      --since T    not before (T: 2h, yesterday, 10:00, 2026-11-24 10:00, ...)\n"
     "      --until T    before\n"
     "      --from NICK  what NICK said\n"},
    {"forget", "[--room R] [--nick N] [OPTION...]", "take messages out of the history for good",
     command_forget,
     "      --room R     those of a room\n"
     "      --nick N     those of a nick\n"
     "      --since T    not those before T (2h, yesterday, 2026-11-24 10:00, ...)\n"
     "      --before T   only those before T\n"
     "  -y, --yes        don't ask\n"},
    {"backup", "FILE", "copy the history, the bans and the accounts into a file", command_backup, NULL},
    {"join", "[--room R] [--nick N] [URL]",
     "talk from a terminal (tcp://, tls://, udp://, zmq://HOST:PULL,PUB)", command_join,
     "  -r, --room R     the room to talk in\n"
     "  -n, --nick N     the name to talk under\n"
     "      --ca FILE    certificates to trust for TLS instead of the system's\n"},
    {"kick", "[-n] ID|NICK [REASON]", "disconnect a client", command_kick,
     "  -n, --nick       it is a nick, although it is a number\n"},
    {"ban", "ADDRESS[/BITS] [TIME]", "keep an address out (TIME: 90s, 10m, 2h, 7d; for ever without it)",
     command_ban, NULL},
    {"unban", "ADDRESS[/BITS]", "let a banned address in again", command_unban, NULL},
    {"passwd", "[-d] [-S] FILE NAME", "set an account's password (-d: delete it)", command_passwd,
     "  -d               delete the account\n"
     "  -S               without a verifier for SCRAM\n"},
    {"token", "add|list|revoke [OPTION...] [NAME] FILE", "make, show or revoke tokens for HTTP",
     command_token,
     "  -r, --room R     it is for this room (again for each; all rooms without it)\n"
     "      --read       it may read\n"
     "      --speak      it may speak, under its name\n"},
    {"reload", "[-q]", "apply the configuration", command_reload,
     "  -q               mistakes and warnings are in the log only\n"},
    {"config", "", "show the configuration that is in use, with defaults", command_config, NULL},
    {"log-level", "[LEVEL]", "set the log's level until the next reload or restart, or show it",
     command_log_level, NULL},
    {"restart", "", "run the program on disk, keeping everybody connected", command_restart, NULL},
    {"check", "[FILE]", "check a configuration file", command_check, NULL},
    {"keys", "", "make a pair of CURVE keys for ZeroMQ", command_keys, NULL},
    {"watch", "", "show events as they happen: who comes, goes, is kicked or too slow", command_watch, NULL},
    {"top", "", "show clients, rooms and all else live", command_top, NULL},
    {"metrics", "", "print the counters for Prometheus", command_metrics, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct subcommand *subcommand_find(const char *name)
{
	for (size_t i = 0; subcommands[i].name; i++)
		if (strcmp(subcommands[i].name, name) == 0)
			return &subcommands[i];
	return NULL;
}

int usage(const char *command)
{
	const struct subcommand *c = subcommand_find(command);

	return fail(EXIT_USAGE, "usage: chatctl %s%s%s", command, c && c->usage[0] ? " " : "",
		    c ? c->usage : "");
}

int wrong_option(char **argv)
{
	const struct subcommand *c = subcommand_find(argv[0]);
	char letter[3] = {'-', (char)optopt, '\0'};
	/*
	 * In "-abc" it may be any letter; for "--name" optopt is 0, or the option's own if its value is
	 * missing.
	 */
	const char *option = optopt && strncmp(argv[optind - 1], "--", 2) != 0 ? letter : argv[optind - 1];

	return fail(EXIT_USAGE, "%s can't be used with %s; usage: chatctl %s%s%s", option, argv[0], argv[0],
		    c && c->usage[0] ? " " : "", c ? c->usage : "");
}

static unsigned subcommand_smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters have to be changed, added, removed or swapped (Damerau), for words of up to 31 bytes. */
static unsigned subcommand_distance(const char *a, const char *b)
{
	unsigned rows[3][32]; /* for the letter before the last, for the last one, and for this one */
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t n = strlen(b);

	if (strlen(a) > 31 || n > 31)
		return 99;
	for (size_t k = 0; k <= n; k++)
		last[k] = before[k] = (unsigned)k;
	for (size_t i = 0; a[i]; i++) {
		row[0] = (unsigned)i + 1;
		for (size_t k = 0; k < n; k++) {
			row[k + 1] = subcommand_smaller(last[k] + (a[i] != b[k]),
							subcommand_smaller(last[k + 1], row[k]) + 1);
			if (i > 0 && k > 0 && a[i] == b[k - 1] && a[i - 1] == b[k])
				row[k + 1] = subcommand_smaller(row[k + 1], before[k - 1] + 1);
		}
		unsigned *free = before;
		before = last;
		last = row;
		row = free;
	}
	return last[n];
}

int subcommand_unknown(const char *name)
{
	const char *near = NULL;
	/* One slip, or two in a longer word: "say" is nothing like "ban". */
	unsigned least = strlen(name) > 5 ? 3 : 2;

	for (size_t i = 0; subcommands[i].name; i++) {
		unsigned d = subcommand_distance(name, subcommands[i].name);
		if (d < least ||
		    (strlen(name) > 1 && strncmp(name, subcommands[i].name, strlen(name)) == 0)) {
			least = d < least ? d : least;
			near = subcommands[i].name;
		}
	}
	if (near)
		return fail(EXIT_USAGE, "there is no command \"%s\"; do you mean %s?", name, near);
	return fail(EXIT_USAGE, "there is no command \"%s\"; chatctl --help lists them", name);
}

int subcommand_help(const char *name)
{
	const struct subcommand *c = subcommand_find(name);

	if (!c)
		return subcommand_unknown(name);
	printf("Usage: chatctl [OPTION...] %s%s%s\n\n%c%s.\nchatctl(1) says more.\n", c->name,
	       c->usage[0] ? " " : "", c->usage, c->help[0] - 'a' + 'A', c->help + 1);
	printf("%s%s", c->options ? "\nOptions:\n" : "", c->options ? c->options : "");
	return EXIT_DONE;
}
