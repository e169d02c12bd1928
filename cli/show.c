/* SPDX-License-Identifier: MIT */
/* Values of replies, and what is shown by one call: config, metrics. */
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

const char *show_node_state(const json_t *node)
{
	return json_is_true(json_object_get(node, "self"))   ? "this one"
	       : json_is_true(json_object_get(node, "here")) ? "here"
							     : "away";
}

void print_outcome(const json_t *takeover)
{
	printf("%" JSON_INTEGER_FORMAT " client%s taken over, %" JSON_INTEGER_FORMAT
	       " closed; nobody was served for %.3f s\n",
	       show_integer(takeover, "clients"), PLURAL(show_integer(takeover, "clients")),
	       show_integer(takeover, "closed"), show_number(takeover, "gap"));
}

/* A call without arguments whose reply has a text. */
static int show_text(const struct options *o, const char *method)
{
	json_t *reply;
	int status = call(o, method, NULL, &reply);

	if (status != EXIT_DONE)
		return status;
	if (o->json)
		print_json(reply);
	else
		fputs(show_string(reply, "text"), stdout);
	json_decref(reply);
	return EXIT_DONE;
}

int command_config(const struct options *o, int argc, char **argv)
{
	return argc > 1 ? usage(argv[0]) : show_text(o, "Config");
}

int command_metrics(const struct options *o, int argc, char **argv)
{
	return argc > 1 ? usage(argv[0]) : show_text(o, "Metrics");
}
