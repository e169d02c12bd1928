/* SPDX-License-Identifier: MIT */
/* chatctl send, tail: messages. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/subcommands.h"
#include "common/cleanup.h"
#include "common/text.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* As client_receive(): 0, or -errno with *ret_error, which the caller free()s. */
static int talk_send_one(struct client *c, const char *room, const char *text, size_t len, const char *as,
			 char **ret_error)
{
	json_t *string = json_stringn(text, len), *reply = NULL;

	*ret_error = NULL;
	if (!string)
		return -EINVAL;
	json_t *parameters = json_pack("{s:s,s:o}", "room", room, "text", string);
	if (as)
		json_object_set_new(parameters, "as", json_string(as));
	int r = client_send(c, "Send", parameters, false);
	if (r == 0)
		r = client_receive(c, &reply, ret_error);
	json_decref(reply);
	return r;
}

/* All lines are sent, even if some are refused; what is wrong with many in a row is said once. */
static int talk_send_stdin(struct client *c, const char *room, const char *as)
{
	_cleanup_free_ char *line = NULL, *said = NULL;
	size_t size = 0;
	int worst = EXIT_DONE;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) >= 0) {
		_cleanup_free_ char *error = NULL;
		if (n > 0 && line[n - 1] == '\n')
			n--;
		int r = talk_send_one(c, room, line, (size_t)n, as, &error);
		/* Among other lines an empty one is skipped where it is not a message. */
		if (r == -EREMOTEIO && n == 0)
			continue;
		bool again = r == -EREMOTEIO && error && said && strcmp(error, said) == 0;
		int status = r == 0 ? EXIT_DONE : again ? EXIT_REFUSED : explain(r, error);
		if (status == EXIT_UNREACHABLE)
			return status;
		worst = status > worst ? status : worst;
		free(said);
		said = error;
		error = NULL;
	}
	return worst;
}

/* --as NICK, which people write after ROOM and after "-" as well. */
static int talk_take_as(int argc, char **argv, int at, const char **ret_as)
{
	if (argc - at < 2 || strcmp(argv[at], "--as") != 0)
		return at;
	*ret_as = argv[at + 1];
	return at + 2;
}

int command_send(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"as", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
	const char *as = NULL;
	struct client *c;
	int opt;

	while ((opt = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (opt != 'a')
			return wrong_option(argv);
		as = optarg;
	}
	if (argc - optind < 2)
		return usage(argv[0]);
	const char *room = argv[optind];
	if (name_room(&room) != EXIT_DONE)
		return EXIT_USAGE;
	int text_at = talk_take_as(argc, argv, optind + 1, &as);
	if (text_at == argc)
		return usage(argv[0]);
	bool from_stdin =
	    strcmp(argv[text_at], "-") == 0 && talk_take_as(argc, argv, text_at + 1, &as) == argc;
	int status = reach(o, &c);
	if (status != EXIT_DONE)
		return status;
	if (from_stdin) {
		status = talk_send_stdin(c, room, as);
	} else {
		_cleanup_free_ char *text = join_words(argc - text_at, argv + text_at);
		_cleanup_free_ char *error = NULL;
		int r = text ? talk_send_one(c, room, text, strlen(text), as, &error) : -ENOMEM;
		status = r < 0 ? explain(r, error) : EXIT_DONE;
	}
	client_close(c);
	return status;
}

/* "12:34:56", with the date if that isn't today's. */
static void talk_print_time(double seconds)
{
	time_t at = (time_t)seconds, today = time(NULL);
	struct tm then, now;
	char text[32];

	localtime_r(&at, &then);
	localtime_r(&today, &now);
	bool same = then.tm_year == now.tm_year && then.tm_yday == now.tm_yday;
	strftime(text, sizeof(text), same ? "%T" : "%F %T", &then);
	printf("%s  ", text);
}

static void talk_print_message(const struct options *o, const json_t *m, bool with_time)
{
	const char *line = json_string_value(json_object_get(m, "line"));

	if (o->json) {
		print_json(m);
		return;
	}
	if (with_time)
		talk_print_time(json_number_value(json_object_get(m, "time")));
	puts(line ? line : "");
}

struct tail {
	const char *room;
	long lines;
	bool follow, with_time;
	json_int_t next; /* number of the message that comes next; -1: not known yet */
};

/* Prints the replies. Returns 0 at the end, or an error of client_receive(). */
static int talk_follow(const struct options *o, struct client *c, struct tail *t, char **ret_error)
{
	json_t *parameters = json_pack("{s:s,s:b}", "room", t->room, "follow", t->follow);
	json_t *reply, *m;
	size_t i;

	if (t->next >= 0)
		json_object_set_new(parameters, "from", json_integer(t->next));
	else
		json_object_set_new(parameters, "lines", json_integer(t->lines));
	int r = client_send(c, "Tail", parameters, true);
	if (r < 0)
		return r;
	while ((r = client_receive(c, &reply, ret_error)) >= 0) {
		json_int_t skipped = json_integer_value(json_object_get(reply, "skipped"));
		if (skipped > 0)
			fprintf(stderr, "chatctl: %" JSON_INTEGER_FORMAT " message%s skipped\n", skipped,
				PLURAL(skipped));
		json_array_foreach(json_object_get(reply, "messages"), i, m)
		    talk_print_message(o, m, t->with_time);
		fflush(stdout);
		t->next = json_integer_value(json_object_get(reply, "next"));
		json_decref(reply);
		if (r == 0)
			return 0;
	}
	return r;
}

int command_tail(const struct options *o, int argc, char **argv)
{
	struct tail t = {.lines = 10, .next = -1, .with_time = isatty(STDOUT_FILENO)};
	_cleanup_free_ char *error = NULL;
	struct client *c;
	char *end;
	int opt;

	while ((opt = getopt(argc, argv, "n:ft")) >= 0)
		switch (opt) {
		case 'n':
			t.lines = strtol(optarg, &end, 10);
			if (*end || end == optarg || t.lines < 0)
				return fail(EXIT_USAGE, "-n takes a number, not \"%s\"", optarg);
			break;
		case 'f':
			t.follow = true;
			break;
		case 't':
			t.with_time = true;
			break;
		default:
			return wrong_option(argv);
		}
	if (argc - optind != 1)
		return usage(argv[0]);
	t.room = argv[optind];
	if (name_room(&t.room) != EXIT_DONE)
		return EXIT_USAGE;
	int status = reach(o, &c);
	if (status != EXIT_DONE)
		return status;
	int r = talk_follow(o, c, &t, &error);
	client_close(c);
	/* A restart is no reason to stop following. */
	while (r == -ECONNRESET && t.follow && t.next >= 0 && reach_again(o, &c) == 0) {
		r = talk_follow(o, c, &t, &error);
		client_close(c);
	}
	return r < 0 ? explain(r, error) : EXIT_DONE;
}

/* Prints events until the connection ends. Returns the error of client_receive(). */
static int talk_watch_events(const struct options *o, struct client *c, char **ret_error)
{
	json_t *reply, *e;
	size_t i;
	int r = client_send(c, "Watch", NULL, true);

	while (r >= 0 && (r = client_receive(c, &reply, ret_error)) >= 0) {
		json_int_t missed = json_integer_value(json_object_get(reply, "missed"));
		if (missed > 0)
			fprintf(stderr, "chatctl: %" JSON_INTEGER_FORMAT " event%s missed\n", missed,
				PLURAL(missed));
		json_array_foreach(json_object_get(reply, "events"), i, e)
		{
			if (o->json) {
				print_json(e);
				continue;
			}
			talk_print_time(json_number_value(json_object_get(e, "time")));
			printf("%-9s  %s\n", json_string_value(json_object_get(e, "kind")),
			       json_string_value(json_object_get(e, "text")));
		}
		fflush(stdout);
		json_decref(reply);
	}
	return r;
}

int command_watch(const struct options *o, int argc, char **argv)
{
	_cleanup_free_ char *error = NULL;
	struct client *c;

	if (argc > 1)
		return usage(argv[0]);
	int status = reach(o, &c);
	if (status != EXIT_DONE)
		return status;
	int r = talk_watch_events(o, c, &error);
	client_close(c);
	while (r == -ECONNRESET && reach_again(o, &c) == 0) {
		fputs("chatctl: chatd has restarted; what happened in between is not shown\n", stderr);
		r = talk_watch_events(o, c, &error);
		client_close(c);
	}
	return explain(r, error);
}
