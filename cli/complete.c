/* SPDX-License-Identifier: MIT */
/* For the shells' completions (completions/): what there is of a kind, a line each. */
#include "cli/command.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

static void complete_names(const json_t *list, const char *key)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
	{
		const json_t *v = json_object_get(e, key);
		if (json_is_integer(v) && json_integer_value(v) > 0)
			printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
		else if (json_string_length(v) > 0)
			puts(json_string_value(v));
	}
}

/* The clients' addresses, without ports and brackets. */
static void complete_addresses(const json_t *list)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
	{
		const char *a = json_string_value(json_object_get(e, "address"));
		const char *colon = a && !json_object_get(e, "peers") ? strrchr(a, ':') : NULL;
		if (colon)
			printf("%.*s\n", (int)(colon - a) - (a[0] == '[' ? 2 : 0), a + (a[0] == '['));
	}
}

int command_complete(const struct options *o, int argc, char **argv)
{
	static const struct {
		const char *kind, *list, *key;
	} kinds[] = {{"rooms", "rooms", "name"},
		     {"listeners", "listeners", "name"},
		     {"ids", "clients", "id"},
		     {"addresses", "clients", NULL},
		     {"bans", "bans", "address"}};
	json_t *reply = NULL;

	if (argc != 2)
		return usage(argv[0]);
	if (strcmp(argv[1], "commands") == 0)
		for (const struct subcommand *c = subcommands; c->name; c++)
			printf("%s\t%s\n", c->name, c->help);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].kind, argv[1]) != 0)
			continue;
		int status = call(o, "List", json_pack("{s:s}", "what", kinds[i].list), &reply);
		if (status != EXIT_DONE)
			return status;
		if (kinds[i].key)
			complete_names(json_object_get(reply, kinds[i].list), kinds[i].key);
		else
			complete_addresses(json_object_get(reply, kinds[i].list));
		json_decref(reply);
	}
	return EXIT_DONE;
}
