/* SPDX-License-Identifier: MIT */
/* chatctl status, list, metrics: what is there. */
#include "cli/command.h"
#include "cli/subcommands.h"
#include "cli/table.h"

#include <getopt.h>
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

/* "2026-11-26 22:00:00", or "" if the time is missing. */
static const char *show_when(const json_t *o, const char *key, char dst[static 32])
{
	time_t at = (time_t)show_number(o, key);
	struct tm tm;

	dst[0] = '\0';
	if (at)
		strftime(dst, 32, "%F %T", localtime_r(&at, &tm));
	return dst;
}

static void show_print_differences(const json_t *list)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d)
	    printf("           room %s is not on node %s what it is here: %s\n", show_string(d, "room"),
		   show_string(d, "node"), show_string(d, "what"));
}

static void show_print_cluster(const json_t *c)
{
	json_int_t waiting = show_integer(c, "waiting"), lag = show_integer(c, "lag"),
		   missing = show_integer(c, "missing"), nodes = show_integer(c, "nodes");
	bool connected = json_is_true(json_object_get(c, "connected"));
	const char *why = show_string(c, "why");
	char since[32];

	if (!c)
		return;
	show_when(c, "since", since);
	printf("cluster    node %s, %s %s%s%s%s%s\n", show_string(c, "node"),
	       connected ? "connected to" : "NOT connected to", connected ? show_string(c, "server") : "NATS",
	       since[0] ? " since " : "", since, why[0] ? ": " : "", why);
	if (!connected)
		printf("           what is said here %s\n",
		       strcmp(show_string(c, "when_away"), "wait") == 0
			   ? "is shown when NATS is back"
			   : "is shown here at once, and elsewhere when NATS is back");
	printf("           %" JSON_INTEGER_FORMAT " node%s here, %" JSON_INTEGER_FORMAT
	       " shared room%s; %" JSON_INTEGER_FORMAT " line%s to go out, %" JSON_INTEGER_FORMAT
	       " message%s to come in\n",
	       nodes, nodes == 1 ? " is" : "s are", show_integer(c, "rooms"),
	       PLURAL(show_integer(c, "rooms")), waiting, PLURAL(waiting), lag, PLURAL(lag));
	if (show_integer(c, "refused") > 0)
		printf("           %" JSON_INTEGER_FORMAT
		       " message%s of NATS can't be a node's: see the log\n",
		       show_integer(c, "refused"), PLURAL(show_integer(c, "refused")));
	show_print_differences(json_object_get(c, "differences"));
	if (show_integer(c, "unread") > 0)
		printf("           %" JSON_INTEGER_FORMAT
		       " message%s about nodes, people and bans could not be read\n",
		       show_integer(c, "unread"), PLURAL(show_integer(c, "unread")));
	if (show_integer(c, "misused") > 0)
		printf("           somebody else spoke in the name of this node %" JSON_INTEGER_FORMAT
		       " time%s: see the log\n",
		       show_integer(c, "misused"), PLURAL(show_integer(c, "misused")));
	if (missing > 0)
		printf("           %" JSON_INTEGER_FORMAT
		       " line%s of other nodes will never come: NATS doesn't have them any more\n",
		       missing, PLURAL(missing));
}

static void show_print_history(const json_t *h)
{
	json_int_t messages = show_integer(h, "messages"), waiting = show_integer(h, "waiting"),
		   lost = show_integer(h, "lost");
	const char *state = show_string(h, "state"), *why = show_string(h, "why");
	bool away = strcmp(state, "away") == 0;
	char since[32], bytes[32], oldest[32];

	if (!h)
		return;
	show_when(h, "since", since);
	show_when(h, "oldest", oldest);
	if (away)
		printf("history    AWAY since %s: %s\n", since, why);
	else
		printf("history    %s, %" JSON_INTEGER_FORMAT " message%s, %s%s%s\n",
		       strcmp(state, "behind") == 0 ? "BEHIND" : "stores", messages, PLURAL(messages),
		       format_bytes(show_integer(h, "bytes"), bytes), oldest[0] ? ", the oldest of " : "",
		       oldest);
	if (away || waiting > 0)
		printf("           %" JSON_INTEGER_FORMAT " message%s to be stored%s\n", waiting,
		       PLURAL(waiting), away ? ", while the rooms have them" : "");
	if (lost > 0)
		printf("           %" JSON_INTEGER_FORMAT " message%s could not be stored\n", lost,
		       PLURAL(lost));
	if (show_integer(h, "set_aside") > 0)
		printf("           a damaged database was set aside: see the log\n");
}

static void show_print_webhook(const char *title, const json_t *w)
{
	json_int_t delivered = show_integer(w, "delivered"), waiting = show_integer(w, "waiting"),
		   missed = show_integer(w, "missed");
	bool away = strcmp(show_string(w, "state"), "away") == 0;
	char since[32];

	show_when(w, "since", since);
	printf("%-10s %s: %s%s%s%s", title, show_string(w, "name"), away ? "AWAY since " : "delivers",
	       away ? since : "", away ? ": " : "", away ? show_string(w, "why") : "");
	printf("; %" JSON_INTEGER_FORMAT " message%s of room %s delivered", delivered, PLURAL(delivered),
	       show_string(w, "room"));
	if (waiting > 0)
		printf(", %" JSON_INTEGER_FORMAT " to be", waiting);
	if (missed > 0)
		printf(", %" JSON_INTEGER_FORMAT " too old, or gone", missed);
	putchar('\n');
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
	show_print_cluster(json_object_get(reply, "cluster"));
	show_print_history(json_object_get(reply, "history"));
	json_array_foreach(json_object_get(reply, "webhooks"), i, worker)
	    show_print_webhook(i == 0 ? "webhooks" : "", worker);
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

/* Those of all nodes, of whom only this much is known. */
static void show_print_all_clients(const json_t *list)
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

static int show_list_all_clients(const struct options *o)
{
	json_t *reply;
	int status = call(o, "List", json_pack("{s:s,s:b}", "what", "clients", "all", 1), &reply);

	if (status != EXIT_DONE)
		return status;
	json_t *list = json_object_get(reply, "clients");
	json_array_extend(list, json_object_get(reply, "elsewhere"));
	if (o->json)
		print_json(list);
	else
		show_print_all_clients(list);
	json_decref(reply);
	return EXIT_DONE;
}

static void show_print_rooms(const json_t *list)
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

static void show_print_nodes(const json_t *list)
{
	static const char *const titles[] = {"~NODE", "STATE",	 "SINCE", ">CLIENTS",
					     ">LAG",  "VERSION", "SEEN",  NULL};
	struct table *t = table_new(titles);
	const json_t *n;
	char text[32];
	size_t i;

	json_array_foreach(list, i, n)
	{
		bool self = json_is_true(json_object_get(n, "self"));
		table_add(t, "%s", show_string(n, "name"));
		table_add(t, "%s",
			  self					     ? "this one"
			  : json_is_true(json_object_get(n, "here")) ? "here"
								     : "away");
		table_add(t, "%s", show_or_dash(show_when(n, "since", text)));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(n, "clients"));
		table_add(t, "%" JSON_INTEGER_FORMAT, show_integer(n, "lag"));
		table_add(t, "%s", show_or_dash(show_string(n, "version")));
		table_add(t, "%s", show_or_dash(show_when(n, "seen", text)));
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
		     {"bans", show_print_bans},
		     {"nodes", show_print_nodes}};
	const struct option options[] = {{"all", no_argument, NULL, 'a'}, {0}};
	bool all = false;
	json_t *reply;
	int opt;

	while ((opt = getopt_long(argc, argv, "a", options, NULL)) >= 0) {
		if (opt != 'a')
			return wrong_option(argv);
		all = true;
	}
	const char *what = optind < argc ? argv[optind] : "clients";
	if (argc - optind > 1 || (all && strcmp(what, "clients") != 0))
		return usage(argv[0]);
	if (all)
		return show_list_all_clients(o);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].what, what) != 0)
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
