/* SPDX-License-Identifier: MIT */
/* chatctl forget, backup: what is taken out of the history, and a copy of it. */
#include "cli/client.h"
#include "cli/past.h"
#include "cli/subcommands.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- forget --- */

struct forget {
	const char *room, *nick;
	double since, before; /* 0: no limit */
	bool yes;
};

static int forget_parse(int argc, char **argv, struct forget *f)
{
	static const struct option options[] = {
	    {"room", required_argument, NULL, 'r'},  {"nick", required_argument, NULL, 'n'},
	    {"since", required_argument, NULL, 's'}, {"before", required_argument, NULL, 'b'},
	    {"yes", no_argument, NULL, 'y'},	     {NULL, 0, NULL, 0},
	};
	int opt, status = EXIT_DONE;

	while (status == EXIT_DONE && (opt = getopt_long(argc, argv, "y", options, NULL)) >= 0)
		switch (opt) {
		case 'r':
			f->room = optarg;
			break;
		case 'n':
			f->nick = optarg;
			break;
		case 's':
			status = past_parse_time("since", optarg, &f->since);
			break;
		case 'b':
			status = past_parse_time("before", optarg, &f->before);
			break;
		case 'y':
			f->yes = true;
			break;
		default:
			return wrong_option(argv);
		}
	if (status == EXIT_DONE && (optind < argc || (!f->room && !f->nick)))
		return usage(argv[0]);
	if (status == EXIT_DONE)
		status = name_room(&f->room);
	if (status == EXIT_DONE)
		status = past_check_nick("nick", f->nick);
	return status == EXIT_DONE ? past_check_times(f->since, "before", f->before) : status;
}

static void forget_print_time(const char *word, double at)
{
	time_t t = (time_t)at;
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%F %T", localtime_r(&t, &tm));
	fprintf(stderr, " %s %s", word, text);
}

/* Asks on a terminal; a program has to say --yes. */
static int forget_confirm(const struct forget *f)
{
	char answer[16];

	if (f->yes)
		return EXIT_DONE;
	if (!isatty(STDIN_FILENO))
		return fail(EXIT_USAGE,
			    "what is forgotten can't be brought back; say --yes if that is meant");
	fprintf(stderr, "Forget everything that %s said", f->nick ? f->nick : "anybody");
	if (f->room)
		fprintf(stderr, " in room %s", f->room);
	if (f->since > 0)
		forget_print_time("since", f->since);
	if (f->before > 0)
		forget_print_time("before", f->before);
	fputs("? It can't be brought back. [y/N] ", stderr);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return EXIT_DONE;
	return fail(EXIT_REFUSED, "nothing was forgotten");
}

int command_forget(const struct options *o, int argc, char **argv)
{
	struct forget f = {0};
	int status = forget_parse(argc, argv, &f);
	json_t *reply;

	if (status == EXIT_DONE)
		status = forget_confirm(&f);
	if (status != EXIT_DONE)
		return status;
	json_t *p = json_object();
	if ((f.room && json_object_set_new(p, "room", json_string(f.room)) < 0) ||
	    (f.nick && json_object_set_new(p, "nick", json_string(f.nick)) < 0)) {
		json_decref(p);
		return fail(EXIT_USAGE, "that is not UTF-8");
	}
	if (f.since > 0)
		json_object_set_new(p, "since", json_real(f.since));
	if (f.before > 0)
		json_object_set_new(p, "before", json_real(f.before));
	status = call(o, "Forget", p, &reply);
	if (status != EXIT_DONE)
		return status;
	json_int_t n = json_integer_value(json_object_get(reply, "removed"));
	if (o->json)
		print_json(reply);
	else
		printf("%" JSON_INTEGER_FORMAT " message%s forgotten\n", n, PLURAL(n));
	if (!json_is_true(json_object_get(reply, "clean")))
		status = fail(EXIT_REFUSED,
			      "somebody reads the database all the time, so traces of them are still in "
			      "its files; they go with the next pause");
	json_decref(reply);
	return status;
}

/* --- backup --- */

static int backup_write(FILE *f, const char *base64)
{
	size_t size = strlen(base64) / 4 * 3 + 3, n;
	_cleanup_free_ unsigned char *bytes = malloc(size);

	if (!bytes)
		return -ENOMEM;
	if (sodium_base642bin(bytes, size, base64, strlen(base64), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0)
		return -EBADMSG;
	return fwrite(bytes, 1, n, f) == n ? 0 : -errno;
}

/* Writes the pieces to f. Returns the exit status. */
static int backup_receive(const struct options *o, FILE *f)
{
	_cleanup_free_ char *error = NULL;
	struct client *c;
	json_t *reply;
	int status = reach(o, &c), r, w = 0;

	if (status != EXIT_DONE)
		return status;
	r = client_send(c, "Backup", NULL, true);
	r = r < 0 ? r : 1;
	while (r > 0 && w == 0 && (r = client_receive(c, &reply, &error)) >= 0) {
		const char *data = json_string_value(json_object_get(reply, "data"));
		w = backup_write(f, data ? data : "");
		json_decref(reply);
	}
	client_close(c);
	if (w < 0)
		return fail(EXIT_REFUSED, "the copy can't be written: %s", strerror(-w));
	return r < 0 ? explain(r, error) : EXIT_DONE;
}

int command_backup(const struct options *o, int argc, char **argv)
{
	_cleanup_free_ char *part = NULL;

	if (argc != 2 || !*argv[1])
		return usage(argv[0]);
	const char *file = argv[1];
	if (access(file, F_OK) == 0)
		return fail(EXIT_REFUSED, "%s is there already, and is left as it is", file);
	if (asprintf(&part, "%s.part", file) < 0)
		return fail(EXIT_REFUSED, "out of memory");
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return fail(EXIT_REFUSED, "%s can't be written: %s", part, strerror(error));
	}
	int status = backup_receive(o, f);
	if (status == EXIT_DONE && (fflush(f) != 0 || fsync(fd) < 0))
		status = fail(EXIT_REFUSED, "%s can't be written: %s", part, strerror(errno));
	fclose(f);
	/* Not over a file that came meanwhile. */
	if (status == EXIT_DONE && link(part, file) < 0)
		status = fail(EXIT_REFUSED, "%s can't be made: %s", file, strerror(errno));
	unlink(part);
	return status;
}
