/* SPDX-License-Identifier: MIT */
/* chatctl history, search, export: what was said, for people and for programs. */
#include "cli/past.h"
#include "cli/subcommands.h"
#include "common/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How many messages are shown if nothing is said of it. */
#define HISTORY_LINES 20

static const struct option history_options[] = {
    {"since", required_argument, NULL, 's'},
    {"until", required_argument, NULL, 'u'},
    {"from", required_argument, NULL, 'f'},
    {"grep", required_argument, NULL, 'g'},
    {"room", required_argument, NULL, 'r'},
    {"format", required_argument, NULL, 'F'},
    {"notices", no_argument, NULL, 'N'},
    {"lines", required_argument, NULL, 'n'},
    {NULL, 0, NULL, 0},
};

static int history_parse_lines(const char *text, json_int_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	errno = 0;
	*ret = strtoll(text, NULL, 10);
	if (errno || digits == 0 || text[digits])
		return fail(EXIT_USAGE, "-n takes a number, not \"%s\"", text);
	return EXIT_DONE;
}

/* Takes the options of allowed, a string of their letters. */
static int history_parse(int argc, char **argv, const char *allowed, struct past_query *q,
			 const char **ret_format)
{
	int opt, status = EXIT_DONE;

	while (status == EXIT_DONE && (opt = getopt_long(argc, argv, "n:", history_options, NULL)) >= 0) {
		if (!strchr(allowed, opt))
			return opt == '?' ? wrong_option(argv) : usage(argv[0]);
		if (opt == 's')
			status = past_parse_time("since", optarg, &q->since);
		else if (opt == 'u')
			status = past_parse_time("until", optarg, &q->until);
		else if (opt == 'n')
			status = history_parse_lines(optarg, &q->limit);
		else if (opt == 'f')
			q->nick = optarg;
		else if (opt == 'g')
			q->text = optarg;
		else if (opt == 'r')
			q->room = optarg;
		else if (opt == 'F')
			*ret_format = optarg;
		else
			q->notices = true;
	}
	if (status == EXIT_DONE)
		status = past_check_times(q->since, "until", q->until);
	if (status == EXIT_DONE)
		status = past_check_nick("from", q->nick);
	return status == EXIT_DONE ? past_check_text("--grep", q->text) : status;
}

/* --- history, search --- */

struct history_show {
	const struct options *o;
	bool with_room, found;
	json_t *kept; /* the newest first, for the other way round; NULL: each is shown at once */
};

static void history_print(const struct history_show *s, const json_t *m)
{
	_cleanup_free_ char *line = NULL;
	char time[32];

	if (s->o->json) {
		print_json(m);
		return;
	}
	line = past_line(m);
	printf("%s  ", past_time(m, time));
	if (s->with_room)
		printf("%-10s  ", past_string(m, "room"));
	puts(line ? line : "");
}

static bool history_take(json_t *m, void *arg)
{
	struct history_show *s = arg;

	s->found = true;
	if (s->kept)
		return json_array_append(s->kept, m) == 0;
	history_print(s, m);
	return !ferror(stdout);
}

/* The last ones are found from the end, and shown the other way round. */
static int history_show(const struct options *o, struct past_query *q, bool with_room)
{
	struct history_show s = {.o = o, .with_room = with_room};

	/* With a beginning and without a number, all from there on are meant. */
	if (q->limit < 0 && q->since == 0)
		q->limit = HISTORY_LINES;
	q->oldest_first = q->limit < 0;
	s.kept = q->oldest_first ? NULL : json_array();
	int status = past_read(o, q, history_take, &s);
	for (size_t i = json_array_size(s.kept); i-- > 0;)
		history_print(&s, json_array_get(s.kept, i));
	json_decref(s.kept);
	if (status == EXIT_DONE && !s.found && q->limit != 0 && !o->json)
		fputs("No message was found.\n", stderr);
	return status;
}

int command_history(const struct options *o, int argc, char **argv)
{
	struct past_query q = {.limit = -1};
	const char *none;
	int status = history_parse(argc, argv, "sufgNn", &q, &none);

	if (status != EXIT_DONE)
		return status;
	if (argc - optind != 1)
		return usage(argv[0]);
	q.room = argv[optind];
	status = name_room(&q.room);
	return status == EXIT_DONE ? history_show(o, &q, false) : status;
}

int command_search(const struct options *o, int argc, char **argv)
{
	struct past_query q = {.limit = -1};
	const char *none;
	int status = history_parse(argc, argv, "sufrn", &q, &none);

	if (status != EXIT_DONE)
		return status;
	if (argc - optind < 1)
		return usage(argv[0]);
	_cleanup_free_ char *text = join_words(argc - optind, argv + optind);
	q.text = text ? text : "";
	status = past_check_text("search", q.text);
	if (status == EXIT_DONE)
		status = name_room(&q.room);
	return status == EXIT_DONE ? history_show(o, &q, !q.room) : status;
}

/* --- export --- */

static bool history_export_json(json_t *m, void *arg)
{
	(void)arg;
	print_json(m);
	return !ferror(stdout);
}

/* A name in a header, between quotes (RFC 5322, quoted-string). */
static void history_print_quoted(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

/* As mail in the format mboxrd: a message each, so that any reader of mail shows and searches it. */
static bool history_export_mbox(json_t *m, void *arg)
{
	const char *nick = past_string(m, "nick"), *text = past_string(m, "text"), *quoted = text;
	time_t at = (time_t)json_number_value(json_object_get(m, "time"));
	char when[64], date[64];
	struct tm tm;

	(void)arg;
	gmtime_r(&at, &tm);
	strftime(when, sizeof(when), "%a %b %e %T %Y", &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %T +0000", &tm);
	printf("From chatd@localhost %s\nFrom: ", when);
	history_print_quoted(*nick ? nick : "chatd");
	printf(
	    " <chatd@localhost>\nDate: %s\nSubject: %s\nMessage-ID: <%s.%" JSON_INTEGER_FORMAT ".%s@chatd>\n"
	    "X-Chatd-Kind: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
	    "Content-Transfer-Encoding: 8bit\n\n",
	    date, past_string(m, "room"), past_string(m, "epoch"),
	    json_integer_value(json_object_get(m, "number")), past_string(m, "room"), past_string(m, "kind"));
	while (*quoted == '>')
		quoted++;
	printf("%s%s\n\n", strncmp(quoted, "From ", 5) == 0 ? ">" : "", text);
	return !ferror(stdout);
}

int command_export(const struct options *o, int argc, char **argv)
{
	struct past_query q = {.limit = -1, .oldest_first = true, .notices = true};
	const char *format = "jsonl";
	int status = history_parse(argc, argv, "sufF", &q, &format);

	if (status != EXIT_DONE)
		return status;
	if (argc - optind > 1)
		return usage(argv[0]);
	q.room = argv[optind];
	status = name_room(&q.room);
	if (status != EXIT_DONE)
		return status;
	if (strcmp(format, "mbox") == 0)
		return past_read(o, &q, history_export_mbox, NULL);
	if (strcmp(format, "jsonl") != 0)
		return fail(EXIT_USAGE, "--format takes jsonl or mbox, not \"%s\"", format);
	return past_read(o, &q, history_export_json, NULL);
}
