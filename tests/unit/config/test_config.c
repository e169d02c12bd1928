/* SPDX-License-Identifier: MIT */
/* A configuration is read as it is meant, and each mistake is told with its line. */
#include "tests/unit/unit.h"

#include "tests/unit/config/parse.h"

#include "daemon/config/config.h"
#include "daemon/modes/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static void defaults(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(parse("", &c), 0);
	assert_int_equal(c->workers, 0);
	assert_int_equal(c->max_message, 4096);
	assert_int_equal(c->drain_timeout_us, 5000000);
	assert_int_equal(c->slow, SLOW_SKIP);
	assert_int_equal(c->max_clients, 100000);
	assert_int_equal(c->max_clients_per_address, 1000);
	assert_int_equal(c->n_listeners, 0);
	assert_string_equal(c->control_socket, "/run/chatd/control.sock");
	assert_string_equal(c->control_group, "chatd");
	config_free(c);
}

static void everything(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(
	    parse("workers = 3; max_message = 1000; drain_timeout = 2; slow = \"disconnect\";"
		  "log_level = \"debug\";"
		  "rooms = ( { name = \"lobby\"; history = 5; log_size = \"1M\"; announce_max = 7; },"
		  "          { name = \"raw\"; format = \"raw\"; log_size = 100000; } );"
		  "room_defaults: { history = 1; log_size = \"128K\"; announce_max = 2; };"
		  "listeners = ("
		  " { name = \"a\"; type = \"tcp\"; mode = \"chat\"; listen = \"[::]:5050\"; room = \"x\"; },"
		  " { name = \"b\"; type = \"tcp\"; mode = \"echo\"; listen = \"127.0.0.1:7\"; backlog = 9; "
		  "} );"
		  "limits: { max_clients = 5; max_clients_per_address = 2; max_rooms = 9;"
		  " lines_per_second = 3; idle_timeout = 1.5; keepalive = 90; user_timeout = 0;"
		  " room_linger = 60; };"
		  "control: { socket = \"/tmp/x\"; group = \"g\"; };",
		  &c),
	    0);
	assert_string_equal(errors, "");
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->drain_timeout_us, 2000000);
	assert_int_equal(c->slow, SLOW_DISCONNECT);
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_int_equal(c->n_rooms, 2);
	assert_int_equal(c->rooms[0].settings.log_size, 1 << 20);
	assert_true(c->rooms[1].settings.raw);
	assert_int_equal(c->room_defaults.history, 1);
	assert_int_equal(c->n_listeners, 2);
	assert_string_equal(c->listeners[0].room, "x");
	assert_ptr_equal(c->listeners[1].handler, handler_find("tcp", "echo"));
	assert_int_equal(c->listeners[1].backlog, 9);
	assert_int_equal(c->idle_timeout_us, 1500000);
	assert_int_equal(c->room_limits.linger_us, 60000000);
	assert_int_equal(c->keepalive_us, 90000000);
	assert_int_equal(c->user_timeout_us, 0);
	assert_string_equal(c->control_socket, "/tmp/x");
	config_free(c);
}

#define LISTENER(rest) "listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"chat\"; " rest " } );"

static void mistakes(void **state)
{
	(void)state;
	assert_error("\n\nworkerz = 1;", "f:3: ");
	assert_error("workers = -1;", "workers");
	assert_error("workers = \"many\";", "f:1: workers");
	assert_error("max_message = 1;", "max_message");
	assert_error("drain_timeout = \"x\";", "drain_timeout");
	assert_error("slow = \"stop\";", "\"skip\" or \"disconnect\", not \"stop\"");
	assert_error("log_level = \"loud\";", "not \"loud\"");
	assert_error("rooms = 1;", "rooms must be a list");
	assert_error("rooms = ( 1 );", "rooms must be a list of groups");
	assert_error("rooms = ( { } );", "a room needs a name");
	assert_error("rooms = ( { name = \"a b\"; } );", "name");
	assert_error("rooms = ( { name = \"a\"; }, { name = \"a\"; } );", "two rooms named \"a\"");
	assert_error("rooms = ( { name = \"a\"; log_size = \"1K\"; } );", "log_size");
	assert_error("rooms = ( { name = \"a\"; format = \"xml\"; } );", "\"named\" or \"raw\", not \"xml\"");
	assert_error("max_message = 8192; rooms = ( { name = \"a\"; log_size = \"64K\"; } );", "too small");
	assert_error(LISTENER("listen = \"5050\";"), "listen must be an address");
	assert_error(LISTENER(""), "a listener needs an address");
	assert_error(LISTENER("listen = \"1.2.3.4:5\"; colour = 1;"), "colour");
	assert_error("listeners = ( { type = \"tcp\"; mode = \"chat\"; listen = \"1.2.3.4:5\"; } );",
		     "needs a name");
	assert_error(
	    "listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"quake\"; listen = \"1.2.3.4:5\"; } );",
	    "no mode \"quake\" of type \"tcp\"; allowed are tcp chat, tcp echo");
	assert_error("listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"echo\"; listen = \"1.2.3.4:5\"; "
		     "room = \"x\"; } );",
		     "has no room");
	assert_error(
	    "listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"echo\"; listen = \"1.2.3.4:5\"; },"
	    "{ name = \"b\"; type = \"tcp\"; mode = \"echo\"; listen = \"1.2.3.4:5\"; } );",
	    "1.2.3.4:5 is taken by listener \"a\"");
	assert_error("limits: { max_clients = 0; };", "max_clients");
	assert_error("limits = 5;", "limits must be a group");
	assert_error("control: { socket = \"here\"; };", "absolute path");
	assert_error("workers = ;", "f:1: syntax error");
}

#define TWO(a, b)                                                                                            \
	"listeners = ( { name = \"a\"; type = \"tcp\"; mode = \"echo\"; " a " },\n"                          \
	"{ name = \"b\"; " b " } );"
#define TCP_AT(at) "type = \"tcp\"; mode = \"echo\"; listen = \"" at "\";"
#define UDP_AT(at) "type = \"udp\"; mode = \"echo\"; listen = \"" at "\";"

/* [::] serves IPv4 as well, and ZeroMQ's and the metrics' sockets are sockets like others. */
static void addresses_that_overlap(void **state)
{
	struct config *c;

	(void)state;
	assert_error(TWO("listen = \"[::]:5\";", TCP_AT("127.0.0.1:5")),
		     "f:2: 127.0.0.1:5 can't be had beside [::]:5");
	assert_error(TWO("listen = \"0.0.0.0:5\";", TCP_AT("[::]:5")),
		     "f:2: [::]:5 can't be had beside 0.0.0.0:5");
	assert_error(TWO("listen = \"127.0.0.1:5\";", TCP_AT("[::ffff:127.0.0.1]:5")),
		     "f:2: 127.0.0.1:5 can't be had");
	assert_error(
	    TWO("listen = \"1.2.3.4:5\";", "type = \"zmq\"; mode = \"reply\"; listen = \"tcp://*:5\";"),
	    "f:2: [::]:5 can't be had beside 1.2.3.4:5 of listener \"a\"");
	assert_error(TWO("listen = \"[::]:5\";", TCP_AT("[::]:6")) "metrics: { listen = \"[::1]:6\"; };",
		     "f:2: metrics: [::1]:6 can't be had beside [::]:6 of listener \"b\"");
	assert_error(TWO("listen = \"[::]:5\";", TCP_AT("[::1]:6")) "metrics: { listen = \"[::1]:6\"; };",
		     "f:2: metrics: [::1]:6 is taken by listener \"b\"");
	assert_error("listeners = ( { name = \"a\"; type = \"zmq\"; mode = \"relay\"; pull = \"tcp://*:5\"; "
		     "pub = \"tcp://127.0.0.1:5\"; } );",
		     "pull and pub must be different");
	assert_int_equal(parse(TWO("listen = \"[::]:5\";", UDP_AT("127.0.0.1:5")), &c), 0);
	config_free(c);
	assert_int_equal(parse(TWO("listen = \"0.0.0.0:5\";", TCP_AT("[::1]:5")), &c), 0);
	config_free(c);
	assert_int_equal(parse(TWO("listen = \"127.0.0.1:5\";", TCP_AT("127.0.0.2:5")), &c), 0);
	config_free(c);
}

/* libconfig stops at the line after the one that lacks a comma, and doesn't say which setting is there twice.
 */
static void mistakes_of_syntax(void **state)
{
	(void)state;
	assert_error(
	    "rooms = (\n  { name = \"a\"; }\n\n  # next\n  /* , */\n  { name = \"b\"; } );",
	    "f:6: syntax error: is a comma, a semicolon or a bracket missing (or too much) here, or at the "
	    "end of line 2?");
	assert_error("slow = \"# no comment\";\nworkers = = 1;", "f:2: syntax error: is");
	assert_error("workers = 1;\nslow = \"skip\";\nworkers = 2;",
		     "f:3: workers is set twice; the first is in line 1");
	assert_error(
	    "listeners = ( { name = \"a\"; }, { name = \"name = b\"; room = \"x\"; room = \"y\"; } );",
	    "f:1: room is set twice; the first is in line 1");
	assert_error("limits: { max_rooms = 1;\n max_bans = 1; };\nlimits: { };",
		     "f:3: limits is set twice; the first is in line 1");
	assert_error("workers\n= 1; workers\n= 2;", "f:2: duplicate setting name");
}

/* All of them in one go. */
static void all_mistakes_at_once(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(parse("workers = -1;\nslow = 3;\nfoo = 1;\nlimits: { bar = 1; };\n", &c), -EINVAL);
	assert_non_null(strstr(errors, "f:1: "));
	assert_non_null(strstr(errors, "f:2: "));
	assert_non_null(strstr(errors, "f:3: "));
	assert_non_null(strstr(errors, "f:4: "));
}

static void files(void **state)
{
	struct config *c;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	assert_int_equal(config_load("/nonexistent/file", handlers, f, NULL, &c), -EINVAL);
	assert_int_equal(config_load("/", handlers, f, NULL, &c), -EINVAL);
	fclose(f);
	assert_non_null(strstr(text, "/nonexistent/file: can't be read: No such file or directory"));
	assert_non_null(strstr(text, "/: can't be read: Is a directory"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(everything),
	    cmocka_unit_test(mistakes),
	    cmocka_unit_test(addresses_that_overlap),
	    cmocka_unit_test(mistakes_of_syntax),
	    cmocka_unit_test(all_mistakes_at_once),
	    cmocka_unit_test(files),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
