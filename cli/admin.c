/* SPDX-License-Identifier: MIT */
/* chatctl kick, log-level, reload, restart, check: what changes something. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/subcommands.h"
#include "common/cleanup.h"
#include "common/nick.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

/* How long a restart may take. */
#define RETRIES 300
#define RETRY_NS 100000000

/* A call whose reply has nothing in it. */
static int admin_call(const struct options *o, const char *method, json_t *parameters)
{
	json_t *reply;
	int status = call(o, method, parameters, &reply);

	if (status == EXIT_DONE)
		json_decref(reply);
	return status;
}

int command_kick(const struct options *o, int argc, char **argv)
{
	const struct option options[] = {{"nick", no_argument, NULL, 'n'}, {0}};
	bool by_nick = false;
	json_t *parameters;
	int opt;

	/* "+": a reason may begin with a dash. */
	while ((opt = getopt_long(argc, argv, "+n", options, NULL)) >= 0) {
		if (opt != 'n')
			return wrong_option(argv);
		by_nick = true;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return usage(argv[0]);
	const char *whom = argv[optind];
	if (by_nick || whom[strspn(whom, "0123456789")] || !whom[0]) {
		if (!nick_well_formed(whom, strlen(whom)))
			return fail(EXIT_USAGE,
				    "\"%s\" is neither an ID that `chatctl list` shows nor a nick", whom);
		parameters = json_pack("{s:s}", "nick", whom);
	} else {
		errno = 0;
		long long id = strtoll(whom, NULL, 10);
		if (errno || id <= 0)
			return fail(EXIT_USAGE, "ID is a number that `chatctl list` shows, not \"%s\"", whom);
		parameters = json_pack("{s:I}", "id", (json_int_t)id);
	}
	if (optind + 1 < argc)
		json_object_set_new(parameters, "reason", json_string(argv[optind + 1]));
	return admin_call(o, "Kick", parameters);
}

/* chatd logs the mistakes itself, so systemd's ExecReload=, whose output is in the same journal, need not. */
static int admin_reload_quietly(const struct options *o)
{
	_cleanup_free_ char *error = NULL;
	json_t *reply = NULL;
	struct client *c;
	int status = reach(o, &c);

	if (status != EXIT_DONE)
		return status;
	int r = client_send(c, "Reload", NULL, false);
	if (r == 0)
		r = client_receive(c, &reply, &error);
	client_close(c);
	json_decref(reply);
	return r == -EREMOTEIO ? EXIT_REFUSED : r < 0 ? explain(r, error) : EXIT_DONE;
}

int command_reload(const struct options *o, int argc, char **argv)
{
	bool quiet = false;
	json_t *reply;
	int opt;

	while ((opt = getopt(argc, argv, "q")) >= 0)
		if (opt == 'q')
			quiet = true;
		else
			return wrong_option(argv);
	if (argc > optind)
		return usage(argv[0]);
	if (quiet)
		return admin_reload_quietly(o);
	int status = call(o, "Reload", NULL, &reply);
	const char *warnings =
	    status == EXIT_DONE ? json_string_value(json_object_get(reply, "warnings")) : NULL;
	if (warnings)
		fputs(warnings, stderr);
	if (status == EXIT_DONE)
		json_decref(reply);
	return status;
}

int command_log_level(const struct options *o, int argc, char **argv)
{
	json_t *reply;

	if (argc > 2)
		return usage(argv[0]);
	int status = call(o, "LogLevel", argc > 1 ? json_pack("{s:s}", "level", argv[1]) : NULL, &reply);
	if (status != EXIT_DONE)
		return status;
	const char *level = json_string_value(json_object_get(reply, "level"));
	const char *configured = json_string_value(json_object_get(reply, "configured"));
	if (o->json)
		print_json(reply);
	else if (level && configured && strcmp(level, configured) != 0)
		printf("%s, until the next reload or restart: the configuration has %s\n", level, configured);
	else
		printf("%s, as the configuration has it\n", level ? level : "");
	json_decref(reply);
	return EXIT_DONE;
}

static json_int_t admin_takeovers(const json_t *status)
{
	return json_integer_value(json_object_get(json_object_get(status, "takeover"), "count"));
}

/* Status; silent while chatd is not there. */
static json_t *admin_get_status(const struct options *o)
{
	_cleanup_free_ char *error = NULL;
	json_t *reply = NULL;
	struct client *c;

	if (client_open(o->socket, &c) < 0)
		return NULL;
	if (client_send(c, "Status", NULL, false) == 0 && client_receive(c, &reply, &error) < 0)
		reply = NULL;
	client_close(c);
	return reply;
}

int command_restart(const struct options *o, int argc, char **argv)
{
	json_t *before, *now;

	if (argc > 1)
		return usage(argv[0]);
	int status = call(o, "Status", NULL, &before);
	if (status != EXIT_DONE)
		return status;
	json_int_t count = admin_takeovers(before);
	json_decref(before);
	status = admin_call(o, "Restart", NULL);
	for (unsigned i = 0; status == EXIT_DONE && i < RETRIES; i++) {
		nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
		now = admin_get_status(o);
		const json_t *t = json_object_get(now, "takeover");
		if (admin_takeovers(now) > count && o->json) {
			print_json(t);
		} else if (admin_takeovers(now) > count) {
			printf("chatd %s took over: ", json_string_value(json_object_get(now, "version")));
			print_outcome(t);
		}
		bool done = admin_takeovers(now) > count;
		json_decref(now);
		if (done)
			return EXIT_DONE;
	}
	return status != EXIT_DONE ? status : fail(EXIT_UNREACHABLE, "chatd has not come back");
}

int command_keys(const struct options *o, int argc, char **argv)
{
	char public[41], secret[41];

	if (argc > 1)
		return usage(argv[0]);
	if (zmq_curve_keypair(public, secret) < 0)
		return fail(EXIT_REFUSED, "no keys can be made: %s", zmq_strerror(errno));
	if (o->json) {
		json_t *j = json_pack("{s:s,s:s}", "public", public, "secret", secret);
		print_json(j);
		json_decref(j);
	} else {
		printf("public key  %s\nsecret key  %s\n", public, secret);
	}
	return EXIT_DONE;
}

/* The daemon beside this program, else the installed one. */
static void admin_find_chatd(char path[static PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 16);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, "chatd");
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s", SBINDIR "/chatd");
}

int command_check(const struct options *o, int argc, char **argv)
{
	const char *file = argc > 1 ? argv[1] : o->config;
	char path[PATH_MAX];

	if (argc > 2)
		return usage(argv[0]);
	admin_find_chatd(path);
	execl(path, "chatd", "--check", file, (char *)NULL);
	return fail(EXIT_REFUSED, "%s can't be run: %s", path, strerror(errno));
}
