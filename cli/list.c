/* SPDX-License-Identifier: MIT */
/* chatctl list: who and what is there. */
#include "cli/command.h"
#include "cli/show.h"
#include "cli/subcommands.h"
#include "cli/table.h"
#include "common/address.h"
#include "common/nick.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void list_print_clients(const json_t *list)
{
	static const char *const titles[] = {">ID",	 "~NICK",     "~ROOM",	  ">BEHIND",   "IDLE",
					     "~ADDRESS", "~LISTENER", ">DROPPED", ">RECEIVED", ">SENT",
					     "AGE",	 "LEASE",     NULL};
	struct table *t = table_new(titles);
	const json_t *c;
	char text[32];
	size_t i;

	json_array_foreach(list, i, c)
	{
		/* The peers of a ZeroMQ listener are one line, with their messages. */
		bool peers = json_object_get(c, "peers");
		if (peers) {
			table_add(t, "-");
			table_add(t,
				  "(%" JSON_INTEGER_FORMAT " peer%s, %" JSON_INTEGER_FORMAT
				  " in, %" JSON_INTEGER_FORMAT " out)",
				  show_integer(c, "peers"), PLURAL(show_integer(c, "peers")),
				  show_integer(c, "messages_in"), show_integer(c, "messages_out"));
		} else {
			table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(c, "id"));
			table_add(t, "%s", show_or_dash(show_string(c, "nick")));
		}
		table_add(t, "%s", show_or_dash(show_string(c, "room")));
		table_add(t, "%s", format_bytes(show_integer(c, "behind"), text));
		table_add(t, "%s", peers ? "-" : format_duration(show_number(c, "idle"), text));
		table_add(t, "%s", show_string(c, "address"));
		table_add(t, "%s", show_string(c, "listener"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(c, "dropped"));
		table_add(t, "%s", format_bytes(show_integer(c, "received"), text));
		table_add(t, "%s", format_bytes(show_integer(c, "sent"), text));
		table_add(t, "%s", peers ? "-" : format_duration(show_number(c, "age"), text));
		table_add(t, "%s",
			  json_object_get(c, "lease") ? format_duration(show_number(c, "lease"), text) : "-");
	}
	table_print(t);
}

/* Those of all nodes, of whom only this much is known. */
static void list_print_all_clients(const json_t *list)
{
	static const char *const titles[] = {"~NODE", ">ID", "~NICK", "~ROOM", "VIA", NULL};
	struct table *t = table_new(titles);
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c)
	{
		bool peers = json_object_get(c, "peers");
		table_add(t, "%s", show_or_dash(show_string(c, "node")));
		table_add(t, peers ? "-" : "%" JSON_INTEGER_FORMAT, show_integer(c, "id"));
		if (peers)
			table_add(t, "(%" JSON_INTEGER_FORMAT " peer%s)", show_integer(c, "peers"),
				  PLURAL(show_integer(c, "peers")));
		else
			table_add(t, "%s", show_or_dash(show_string(c, "nick")));
		table_add(t, "%s", show_or_dash(show_string(c, "room")));
		table_add(t, "%s", show_string(c, json_object_get(c, "listener") ? "listener" : "type"));
	}
	table_print(t);
}

static void list_print_rooms(const json_t *list)
{
	static const char *const titles[] = {"~ROOM", ">MEMBERS",   ">MESSAGES", "FORMAT",
					     ">LOG",  "CONFIGURED", NULL};
	static const char *const shared[] = {"~ROOM",  ">MEMBERS", ">ELSEWHERE", ">MESSAGES",
					     "FORMAT", ">LOG",	   "CONFIGURED", NULL};
	bool cluster = json_object_get(json_array_get(list, 0), "elsewhere");
	struct table *t = table_new(cluster ? shared : titles);
	const json_t *r;
	char text[32];
	size_t i;

	json_array_foreach(list, i, r)
	{
		table_add(t, "%s", show_string(r, "name"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(r, "members"));
		if (cluster)
			table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(r, "elsewhere"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(r, "messages"));
		table_add(t, "%s", show_string(r, "format"));
		table_add(t, "%s", format_size(show_integer(r, "log_size"), text));
		table_add(t, "%s", json_is_true(json_object_get(r, "configured")) ? "yes" : "no");
	}
	table_print(t);
}

static void list_print_listeners(const json_t *list)
{
	static const char *const titles[] = {"~LISTENER", "TYPE",      "MODE",	    "~ADDRESS",
					     "~ROOM",	  ">ACCEPTED", ">RECEIVED", ">DROPPED",
					     ">IGNORED",  "SOCKET",    NULL};
	struct table *t = table_new(titles);
	const json_t *l;
	size_t i;

	json_array_foreach(list, i, l)
	{
		table_add(t, "%s", show_string(l, "name"));
		table_add(t, "%s", show_string(l, "type"));
		table_add(t, "%s", show_string(l, "mode"));
		table_add(t, "%s", show_string(l, "address"));
		table_add(t, "%s", show_or_dash(show_string(l, "room")));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(l, "accepted"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(l, "received"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(l, "dropped"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(l, "ignored"));
		table_add(t, "%s", show_string(l, "socket"));
	}
	table_print(t);
}

static void list_print_bans(const json_t *list)
{
	static const char *const titles[] = {"~ADDRESS", "UNTIL", NULL};
	struct table *t = table_new(titles);
	const json_t *b;
	size_t i;

	json_array_foreach(list, i, b)
	{
		time_t until = (time_t)show_number(b, "until");
		char when[32] = "for ever";
		struct tm tm;
		if (until)
			strftime(when, sizeof(when), "%F %T", localtime_r(&until, &tm));
		table_add(t, "%s", show_string(b, "address"));
		table_add(t, "%s", when);
	}
	table_print(t);
}

static void list_print_nodes(const json_t *list)
{
	static const char *const titles[] = {"~NODE", "STATE",	 "SINCE", ">CLIENTS",
					     ">LAG",  "VERSION", "SEEN",  NULL};
	struct table *t = table_new(titles);
	const json_t *n;
	char text[32];
	size_t i;

	json_array_foreach(list, i, n)
	{
		table_add(t, "%s", show_string(n, "name"));
		table_add(t, "%s", show_node_state(n));
		table_add(t, "%s", show_or_dash(show_when(n, "since", text)));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(n, "clients"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(n, "lag"));
		table_add(t, "%s", show_or_dash(show_string(n, "version")));
		table_add(t, "%s", show_or_dash(show_when(n, "seen", text)));
	}
	table_print(t);
}

/* Which clients; each is NULL without it. */
struct list_filter {
	const char *room, *listener, *nick;
	const char *address; /* as it was typed */
	struct prefix prefix;
};

static bool list_has_address(const json_t *client, const struct prefix *p)
{
	union address a;

	return address_parse(show_string(client, "address"), &a) == 0 && prefix_contains(p, &a);
}

static bool list_is_wanted(const json_t *client, const struct list_filter *f)
{
	const json_t *nick = json_object_get(client, "nick");

	return (!f->listener || strcmp(show_string(client, "listener"), f->listener) == 0) &&
	       (!f->address || list_has_address(client, &f->prefix)) &&
	       (!f->nick ||
		nick_equal(json_string_value(nick), json_string_length(nick), f->nick, strlen(f->nick)));
}

/* Who is in a room only chatd knows, as somebody may be in many; the rest of the choice is made here. */
static int list_clients(const struct options *o, const struct list_filter *f, bool all)
{
	json_t *parameters = json_pack("{s:s}", "what", "clients"), *reply;

	if (all)
		json_object_set_new(parameters, "all", json_true());
	if (f->room)
		json_object_set_new(parameters, "room", json_string(f->room));
	int status = call(o, "List", parameters, &reply);
	if (status != EXIT_DONE)
		return status;
	json_t *list = json_object_get(reply, "clients");
	json_array_extend(list, json_object_get(reply, "elsewhere"));
	for (size_t i = json_array_size(list); i-- > 0;)
		if (!list_is_wanted(json_array_get(list, i), f))
			json_array_remove(list, i);
	if (f->room && !json_object_get(reply, "room"))
		status =
		    fail(EXIT_REFUSED,
			 "this chatd can't list a room's clients; is it of the same version as chatctl?");
	else if (o->json)
		print_json(list);
	else if (all)
		list_print_all_clients(list);
	else
		list_print_clients(list);
	json_decref(reply);
	return status;
}

static int list_options(int argc, char **argv, struct list_filter *f, bool *ret_all)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'},
						{"room", required_argument, NULL, 'r'},
						{"listener", required_argument, NULL, 'l'},
						{"address", required_argument, NULL, 'A'},
						{"nick", required_argument, NULL, 'n'},
						{0}};
	int opt;

	while ((opt = getopt_long(argc, argv, "ar:l:n:", options, NULL)) >= 0)
		if (opt == 'a')
			*ret_all = true;
		else if (opt == 'r')
			f->room = optarg;
		else if (opt == 'l')
			f->listener = optarg;
		else if (opt == 'A')
			f->address = optarg;
		else if (opt == 'n')
			f->nick = optarg;
		else
			return wrong_option(argv);
	if (name_room(&f->room) != EXIT_DONE)
		return EXIT_USAGE;
	if (f->address && prefix_parse(f->address, &f->prefix) < 0)
		return fail(
		    EXIT_USAGE,
		    "ADDRESS is an address such as 192.0.2.7, or a network such as 192.0.2.0/24, not \"%s\"",
		    f->address);
	return EXIT_DONE;
}

int command_list(const struct options *o, int argc, char **argv)
{
	static const struct {
		const char *what;
		void (*print)(const json_t *list);
	} kinds[] = {{"rooms", list_print_rooms},
		     {"listeners", list_print_listeners},
		     {"bans", list_print_bans},
		     {"nodes", list_print_nodes}};
	struct list_filter f = {.room = NULL};
	bool all = false;
	json_t *reply;

	int status = list_options(argc, argv, &f, &all);
	if (status != EXIT_DONE)
		return status;
	const char *what = optind < argc ? argv[optind] : "clients";
	if (argc - optind > 1)
		return usage(argv[0]);
	if (strcmp(what, "clients") == 0)
		return list_clients(o, &f, all);
	if (all || f.room || f.listener || f.address || f.nick)
		return fail(EXIT_USAGE, "only clients are chosen by options");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].what, what) != 0)
			continue;
		status = call(o, "List", json_pack("{s:s}", "what", what), &reply);
		if (status != EXIT_DONE)
			return status;
		if (o->json)
			print_json(json_object_get(reply, what));
		else
			kinds[i].print(json_object_get(reply, what));
		json_decref(reply);
		return EXIT_DONE;
	}
	return usage(argv[0]);
}
