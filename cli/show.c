/* SPDX-License-Identifier: MIT */
/* chatctl status, list, metrics: what is there. */
#include "cli/command.h"
#include "cli/subcommands.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *show_string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t show_integer(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static double show_number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* An empty name. */
static const char *show_or_dash(const char *s)
{
	return s[0] ? s : "-";
}

static void show_print_survival(const json_t *status, const json_t *takeover)
{
	json_int_t clients = show_integer(status, "clients"), tls = show_integer(takeover, "tls");
	json_int_t uncovered = show_integer(takeover, "uncovered") - tls;
	json_int_t handshakes = show_integer(takeover, "handshakes");

	printf("clients    %" JSON_INTEGER_FORMAT, clients);
	if (!json_is_true(json_object_get(takeover, "store")))
		puts(" (they survive `chatctl restart`, but not a crash: neither systemd's fd store nor "
		     "`chatd --supervise` is there)");
	else if (uncovered > 0)
		printf(" (%" JSON_INTEGER_FORMAT
		       " of them would not survive a crash: see chatd(8), SURVIVAL)\n",
		       uncovered);
	else
		printf(" (all %ssurvive a restart or a crash)\n", tls ? "others " : "of them ");
	if (tls > 0)
		printf("           %" JSON_INTEGER_FORMAT
		       " of them use%s TLS that does not survive, and %s closed at a restart\n",
		       tls, tls == 1 ? "s" : "", tls == 1 ? "is" : "are");
	if (handshakes > 0)
		printf("           %" JSON_INTEGER_FORMAT
		       " more %s not begun (TLS, PROXY), and would be closed at a restart\n",
		       handshakes, handshakes == 1 ? "has" : "have");
}

void print_outcome(const json_t *takeover)
{
	printf("%" JSON_INTEGER_FORMAT " client%s taken over, %" JSON_INTEGER_FORMAT
	       " closed; nobody was served for %.3f s\n",
	       show_integer(takeover, "clients"), PLURAL(show_integer(takeover, "clients")),
	       show_integer(takeover, "closed"), show_number(takeover, "gap"));
}

static void show_print_takeover(const json_t *takeover)
{
	time_t at = (time_t)show_number(takeover, "time");
	char when[32];
	struct tm tm;

	if (show_integer(takeover, "count") == 0)
		return;
	strftime(when, sizeof(when), "%F %T", localtime_r(&at, &tm));
	printf("takeovers  %" JSON_INTEGER_FORMAT ", the last %s: ", show_integer(takeover, "count"), when);
	print_outcome(takeover);
}

int command_status(const struct options *o, int argc, char **argv)
{
	static const char *const titles[] = {"THREAD", ">CLIENTS", "SENDS BY", NULL};
	char uptime[32], in[32], out[32];
	json_t *reply, *worker;
	size_t i;

	if (argc > 1)
		return usage(argv[0]);
	int status = call(o, "Status", NULL, &reply);
	if (status != EXIT_DONE)
		return status;
	if (o->json) {
		print_json(reply);
		json_decref(reply);
		return EXIT_DONE;
	}
	printf("chatd %s, pid %" JSON_INTEGER_FORMAT ", up %s, configured by %s\n",
	       show_string(reply, "version"), show_integer(reply, "pid"),
	       format_duration(show_number(reply, "uptime"), uptime), show_string(reply, "config"));
	if (json_object_get(reply, "config_mistakes"))
		printf("mistakes   that file is not in use; what was in use before goes on:\n%s\n",
		       show_string(reply, "config_mistakes"));
	show_print_survival(reply, json_object_get(reply, "takeover"));
	printf("rooms      %" JSON_INTEGER_FORMAT "\nlisteners  %" JSON_INTEGER_FORMAT "\n",
	       show_integer(reply, "rooms"), show_integer(reply, "listeners"));
	printf("messages   %" JSON_INTEGER_FORMAT " since the start (%s received, %s sent)\n",
	       show_integer(reply, "messages"), format_bytes(show_integer(reply, "received_bytes"), in),
	       format_bytes(show_integer(reply, "sent_bytes"), out));
	show_print_takeover(json_object_get(reply, "takeover"));
	putchar('\n');
	struct table *t = table_new(titles);
	json_array_foreach(json_object_get(reply, "workers"), i, worker)
	{
		table_add(t, "%s", show_string(worker, "name"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(worker, "connections"));
		table_add(t, "%s", show_string(worker, "sender"));
	}
	table_print(t);
	json_decref(reply);
	return EXIT_DONE;
}

static void show_print_clients(const json_t *list)
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

static void show_print_rooms(const json_t *list)
{
	static const char *const titles[] = {"~ROOM", ">MEMBERS",   ">MESSAGES", "FORMAT",
					     ">LOG",  "CONFIGURED", NULL};
	struct table *t = table_new(titles);
	const json_t *r;
	char text[32];
	size_t i;

	json_array_foreach(list, i, r)
	{
		table_add(t, "%s", show_string(r, "name"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(r, "members"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(r, "messages"));
		table_add(t, "%s", show_string(r, "format"));
		table_add(t, "%s", format_size(show_integer(r, "log_size"), text));
		table_add(t, "%s", json_is_true(json_object_get(r, "configured")) ? "yes" : "no");
	}
	table_print(t);
}

static void show_print_listeners(const json_t *list)
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

static void show_print_bans(const json_t *list)
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

int command_list(const struct options *o, int argc, char **argv)
{
	static const struct {
		const char *what;
		void (*print)(const json_t *list);
	} kinds[] = {{"clients", show_print_clients},
		     {"rooms", show_print_rooms},
		     {"listeners", show_print_listeners},
		     {"bans", show_print_bans}};
	const char *what = argc > 1 ? argv[1] : "clients";
	json_t *reply;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (argc > 2 || strcmp(kinds[i].what, what) != 0)
			continue;
		int status = call(o, "List", json_pack("{s:s}", "what", what), &reply);
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
