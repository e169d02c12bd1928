/* SPDX-License-Identifier: MIT */
/* chatctl status: how chatd is. */
#include "cli/command.h"
#include "cli/show.h"
#include "cli/subcommands.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void status_print_survival(const json_t *status, const json_t *takeover)
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

static void status_print_takeover(const json_t *takeover)
{
	char when[32];

	if (show_integer(takeover, "count") == 0)
		return;
	printf("takeovers  %" JSON_INTEGER_FORMAT ", the last %s: ", show_integer(takeover, "count"),
	       show_when(takeover, "time", when));
	print_outcome(takeover);
}

static void status_print_differences(const json_t *list)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d)
	    printf("           room %s is not on node %s what it is here: %s\n", show_string(d, "room"),
		   show_string(d, "node"), show_string(d, "what"));
}

static void status_print_cluster(const json_t *c)
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
	status_print_differences(json_object_get(c, "differences"));
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

static void status_print_history(const json_t *h)
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

static void status_print_webhook(const char *title, const json_t *w)
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

/* The first line, for scripts. Returns the exit status. */
static int status_print_health(const json_t *problems)
{
	const json_t *p;
	size_t i;

	if (json_array_size(problems) == 0) {
		puts(problems ? "all is well"
			      : "NOT KNOWN to be well: this chatd can't tell, as it is older than chatctl");
		return problems ? EXIT_DONE : EXIT_REFUSED;
	}
	json_array_foreach(problems, i, p)
	{
		fputs(i == 0 ? "NOT WELL: " : "; ", stdout);
		for (const char *c = show_string(p, "text"); *c; c++)
			putchar(*c == '\n' ? ' ' : *c);
	}
	putchar('\n');
	return EXIT_REFUSED;
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
		if (json_array_size(json_object_get(reply, "problems")) > 0)
			status = EXIT_REFUSED;
		json_decref(reply);
		return status;
	}
	status = status_print_health(json_object_get(reply, "problems"));
	printf("chatd %s, pid %" JSON_INTEGER_FORMAT ", up %s, configured by %s\n",
	       show_string(reply, "version"), show_integer(reply, "pid"),
	       format_duration(show_number(reply, "uptime"), uptime), show_string(reply, "config"));
	if (json_object_get(reply, "config_mistakes"))
		printf("mistakes   that file is not in use; what was in use before goes on:\n%s\n",
		       show_string(reply, "config_mistakes"));
	status_print_survival(reply, json_object_get(reply, "takeover"));
	printf("rooms      %" JSON_INTEGER_FORMAT "\nlisteners  %" JSON_INTEGER_FORMAT "\n",
	       show_integer(reply, "rooms"), show_integer(reply, "listeners"));
	printf("messages   %" JSON_INTEGER_FORMAT " since the start (%s received, %s sent)\n",
	       show_integer(reply, "messages"), format_bytes(show_integer(reply, "received_bytes"), in),
	       format_bytes(show_integer(reply, "sent_bytes"), out));
	status_print_takeover(json_object_get(reply, "takeover"));
	status_print_cluster(json_object_get(reply, "cluster"));
	status_print_history(json_object_get(reply, "history"));
	json_array_foreach(json_object_get(reply, "webhooks"), i, worker)
	    status_print_webhook(i == 0 ? "webhooks" : "", worker);
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
	return status;
}
