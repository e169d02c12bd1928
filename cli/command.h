/* SPDX-License-Identifier: MIT */
/* What the subcommands of chatctl share. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

struct client;

struct options {
	const char *socket;
	const char *config;
	bool json;
	const char *host; /* chatctl is run there; NULL: here */
};

/* One line on stderr; returns the status. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
int usage(const char *command);
/* The same for the option at which getopt() stopped; opterr is 0. */
int wrong_option(char **argv);
/*
 * A room that was named, maybe as IRC's channel is ("#lobby"), becomes the room's name; NULL is none. EXIT_DONE, or
 * EXIT_USAGE after a word on stderr.
 */
int name_room(const char **room);
/* The ending of a noun: "s" unless there is exactly one. */
#define PLURAL(n) ((n) == 1 ? "" : "s")

/* A configuration's text setting, free()d by the caller. A configuration that can't be read has none. */
char *configured(const char *path, const char *setting);

/* The group that the daemon runs as, so that it can read a file: the configuration's, else chatd; or -1. */
int access_find_group(const char *config);

/* Connects; says on stderr why it can't. EXIT_DONE or EXIT_UNREACHABLE. */
int reach(const struct options *o, struct client **ret);
/* After client_open() failed: says so. Returns EXIT_UNREACHABLE. */
int unreachable(const struct options *o, int r);

/* Waits some seconds for a chatd that restarts. 0, or -ECONNRESET: it has not come back. */
int reach_again(const struct options *o, struct client **ret);

/* After client_send() or client_receive() failed: says so and returns the status. */
int explain(int r, const char *error);

/* One call with one reply, which is the caller's. Says on stderr what went wrong. Returns the exit status. */
int call(const struct options *o, const char *method, json_t *parameters, json_t **ret);

/* The arguments with spaces between them, free()d by the caller; NULL without memory. */
char *join_words(int argc, char **argv);
/* Writes JSON on a line of its own. */
void print_json(const json_t *j);
/* How a takeover went, to the end of the line: "2 clients taken over, ...". */
void print_outcome(const json_t *takeover);

#endif
