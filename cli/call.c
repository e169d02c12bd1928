/* SPDX-License-Identifier: MIT */
/* How the subcommands reach chatd, and what they say when they can't or when it refuses. */
#include "cli/client.h"
#include "cli/command.h"
#include "common/cleanup.h"
#include "common/text.h"

#include <grp.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* How long a chatd that restarts is waited for. */
#define CALL_RETRIES 100
#define CALL_RETRY_NS 100000000

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

int name_room(const char **room)
{
	const char *name = *room;

	if (name && *name == '#')
		name++;
	if (name && !text_room_valid(name, strlen(name)))
		return fail(EXIT_USAGE, "\"%s\" is not a valid room name", *room);
	*room = name;
	return EXIT_DONE;
}

char *configured(const char *path, const char *setting)
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

/*
 * The group whose members may use the socket: the socket's own, or the configuration's where it can't be
 * seen.
 */
static const struct group *call_group(const struct options *o)
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
	const struct group *g = r == -EACCES ? call_group(o) : NULL;

	if (r != -EACCES)
		return fail(EXIT_UNREACHABLE, "chatd can't be reached at %s: %s", o->socket, strerror(-r));
	if (!g)
		return fail(EXIT_UNREACHABLE, "chatd can't be reached at %s: %s; only root may connect",
			    o->socket, strerror(-r));
	return fail(EXIT_UNREACHABLE,
		    "chatd can't be reached at %s: %s; root and the members of group %s may: sudo usermod "
		    "-aG %s $USER, "
		    "then log in again",
		    o->socket, strerror(-r), g->gr_name, g->gr_name);
}

int reach(const struct options *o, struct client **ret)
{
	int r = client_open(o->socket, ret);

	return r < 0 ? unreachable(o, r) : EXIT_DONE;
}

int reach_again(const struct options *o, struct client **ret)
{
	for (unsigned i = 0; i < CALL_RETRIES; i++) {
		nanosleep(&(struct timespec){.tv_nsec = CALL_RETRY_NS}, NULL);
		if (client_open(o->socket, ret) == 0)
			return 0;
	}
	return -ECONNRESET;
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

char *join_words(int argc, char **argv)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (int i = 0; i < argc; i++)
		fprintf(f, "%s%s", i ? " " : "", argv[i]);
	fclose(f);
	return text;
}

void print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
	putchar('\n');
}
