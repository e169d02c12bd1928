/* SPDX-License-Identifier: MIT */
/* chatctl ban, unban, passwd: who may come in. */
#include "cli/command.h"
#include "cli/subcommands.h"
#include "cli/when.h"
#include "common/accounts.h"
#include "common/address.h"
#include "common/cleanup.h"

#include <getopt.h>
#include <grp.h>
#include <libconfig.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

/* --- ban, unban --- */

/* "90s", "10m", "2h", "7d", or seconds. Returns 0 for anything else. */
static double access_parse_time(const char *s)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || !(v > 0) || (end[0] && end[1]))
		return 0;
	return end[0] ? v * when_unit(end[0]) : v;
}

static bool access_is_address(const char *s)
{
	struct prefix p;

	return prefix_parse(s, &p) == 0;
}

static int access_refuse_address(const char *s)
{
	return fail(
	    EXIT_USAGE,
	    "ADDRESS is an address such as 192.0.2.7 or 2001:db8::7, or a network such as 192.0.2.0/24, "
	    "not \"%s\"",
	    s);
}

/* The ban holds, but only as long as the daemon runs. */
static int access_warn_unsaved(const json_t *reply)
{
	if (json_is_true(json_object_get(reply, "saved")))
		return EXIT_DONE;
	return fail(EXIT_REFUSED, "done, but it could not be saved, so it ends when chatd stops: %s",
		    json_string_value(json_object_get(reply, "reason")));
}

int command_ban(const struct options *o, int argc, char **argv)
{
	double seconds = argc > 2 ? access_parse_time(argv[2]) : 0;
	json_t *reply;

	if (argc < 2 || argc > 3)
		return usage(argv[0]);
	if (argc > 2 && seconds == 0)
		return fail(EXIT_USAGE, "TIME is a number with s, m, h, d or w, such as 10m, not \"%s\"",
			    argv[2]);
	if (!access_is_address(argv[1]))
		return access_refuse_address(argv[1]);
	json_t *parameters = json_pack("{s:s}", "address", argv[1]);
	if (!parameters)
		return fail(EXIT_REFUSED, "that is not UTF-8");
	if (seconds > 0)
		json_object_set_new(parameters, "seconds", json_real(seconds));
	int status = call(o, "Ban", parameters, &reply);
	if (status != EXIT_DONE)
		return status;
	/* 10.0.0.1/8 comes back as 10.0.0.0/8. */
	const char *banned = json_string_value(json_object_get(reply, "address"));
	if (o->json)
		print_json(reply);
	else
		printf("%s is banned; %" JSON_INTEGER_FORMAT " removed\n", banned ? banned : argv[1],
		       json_integer_value(json_object_get(reply, "kicked")));
	status = access_warn_unsaved(reply);
	json_decref(reply);
	return status;
}

int command_unban(const struct options *o, int argc, char **argv)
{
	json_t *reply;

	if (argc != 2)
		return usage(argv[0]);
	if (!access_is_address(argv[1]))
		return access_refuse_address(argv[1]);
	json_t *parameters = json_pack("{s:s}", "address", argv[1]);
	if (!parameters)
		return fail(EXIT_REFUSED, "that is not UTF-8");
	int status = call(o, "Unban", parameters, &reply);
	if (status != EXIT_DONE)
		return status;
	status = access_warn_unsaved(reply);
	json_decref(reply);
	return status;
}

/* --- passwd --- */

/* A line from stdin, without echo if that is a terminal. Returns its length, or -1. */
static ssize_t access_ask(const char *prompt, char *buf, size_t size)
{
	struct termios old, quiet;
	bool terminal = tcgetattr(STDIN_FILENO, &old) == 0;

	if (terminal) {
		fputs(prompt, stderr);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	bool got = fgets(buf, (int)size, stdin);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (!got)
		return -1;
	size_t n = strcspn(buf, "\r\n");
	bool whole = buf[n] != '\0' || n < size - 1;
	buf[n] = '\0';
	return whole ? (ssize_t)n : -1;
}

int access_find_group(const char *config)
{
	const char *name = "chatd";
	config_t lib;

	config_init(&lib);
	if (config_read_file(&lib, config))
		config_lookup_string(&lib, "control.group", &name);
	const struct group *g = getgrnam(name);
	config_destroy(&lib);
	return g ? (int)g->gr_gid : -1;
}

static int access_change(const struct options *o, const char *file, const char *nick, const char *secret)
{
	char alike[TEXT_NICK_MAX + 1];
	int r = accounts_change(file, nick, secret, access_find_group(o->config), alike);

	if (r == -ENOENT && !secret)
		return fail(EXIT_REFUSED, "there is no account %s in %s", nick, file);
	if (r == -ENOTUNIQ)
		return fail(EXIT_REFUSED, "%s looks like the account %s of %s; nothing has changed", nick,
			    alike, file);
	if (r == -EWOULDBLOCK)
		return fail(
		    EXIT_REFUSED,
		    "another process has had the directory of %s locked for seconds; nothing has changed",
		    file);
	if (r == -ENOLINK)
		return fail(EXIT_REFUSED, "%s is a link to a file that is not there; nothing has changed",
			    file);
	if (r < 0)
		return fail(EXIT_REFUSED, "%s can't be written: %s", file, strerror(-r));
	return EXIT_DONE;
}

/* What a password file is to say of a password that is asked for. */
static int access_ask_secret(bool scram, char ret[static ACCOUNTS_SECRET_MAX])
{
	char password[ACCOUNTS_PASSWORD_MAX + 2], again[ACCOUNTS_PASSWORD_MAX + 2];
	ssize_t n = access_ask("Password: ", password, sizeof(password));

	if (n <= 0)
		return fail(EXIT_REFUSED, "a password has 1 to %d bytes", ACCOUNTS_PASSWORD_MAX);
	if (isatty(STDIN_FILENO) &&
	    (access_ask("Once more: ", again, sizeof(again)) != n || strcmp(password, again) != 0))
		return fail(EXIT_REFUSED, "the passwords differ; nothing has changed");
	bool made = accounts_secret_make(password, (size_t)n, scram, ret);
	sodium_memzero(password, sizeof(password));
	sodium_memzero(again, sizeof(again));
	return made ? EXIT_DONE : fail(EXIT_REFUSED, "out of memory");
}

int command_passwd(const struct options *o, int argc, char **argv)
{
	char secret[ACCOUNTS_SECRET_MAX];
	bool delete = false, scram = true;
	int opt;

	while ((opt = getopt(argc, argv, "dS")) >= 0)
		if (opt == 'd')
			delete = true;
		else if (opt == 'S')
			scram = false;
		else
			return wrong_option(argv);
	if (argc - optind != 2)
		return usage(argv[0]);
	const char *file = argv[optind], *name = argv[optind + 1];
	char nick[TEXT_NICK_MAX + 1];
	/* Names that only an older chatd allowed can still be deleted. */
	if (delete &&nick_well_formed(name, strlen(name)))
		return access_change(o, file, name, NULL);
	if (nick_normalise(name, strlen(name), nick) < 0)
		return fail(EXIT_USAGE, "\"%s\" is not a valid name", name);
	if (nick_is_chatds(nick, strlen(nick)))
		return fail(EXIT_USAGE, "\"%s\" is, or looks like, one of chatd's own names", name);
	if (delete)
		return access_change(o, file, nick, NULL);
	int status = access_ask_secret(scram, secret);
	if (status != EXIT_DONE)
		return status;
	if (strcmp(file, "-") != 0)
		return access_change(o, file, nick, secret);
	printf("%s:%s\n", nick, secret);
	return EXIT_DONE;
}
