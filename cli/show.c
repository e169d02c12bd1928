/* SPDX-License-Identifier: MIT */
/* Values of replies, and what is shown by one call: metrics. */
#include "cli/show.h"

#include "cli/command.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <time.h>

const char *show_string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

json_int_t show_integer(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

double show_number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

const char *show_or_dash(const char *s)
{
	return s[0] ? s : "-";
}

const char *show_when(const json_t *o, const char *key, char dst[static 32])
{
	time_t at = (time_t)show_number(o, key);
	struct tm tm;

	dst[0] = '\0';
	if (at)
		strftime(dst, 32, "%F %T", localtime_r(&at, &tm));
	return dst;
}

void print_outcome(const json_t *takeover)
{
	printf("%" JSON_INTEGER_FORMAT " client%s taken over, %" JSON_INTEGER_FORMAT
	       " closed; nobody was served for %.3f s\n",
	       show_integer(takeover, "clients"), PLURAL(show_integer(takeover, "clients")),
	       show_integer(takeover, "closed"), show_number(takeover, "gap"));
}

int command_metrics(const struct options *o, int argc, char **argv)
{
	json_t *reply;

	if (argc > 1)
		return usage(argv[0]);
	int status = call(o, "Metrics", NULL, &reply);
	if (status != EXIT_DONE)
		return status;
	if (o->json)
		print_json(reply);
	else
		fputs(show_string(reply, "text"), stdout);
	json_decref(reply);
	return EXIT_DONE;
}
