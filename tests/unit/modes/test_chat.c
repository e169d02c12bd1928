/* SPDX-License-Identifier: MIT */
/* The chat protocol, line by line, against a worker that is turned by hand. */
#include "tests/unit/unit.h"

#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "tests/unit/harnessed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char config[] = "workers = 1; max_message = 100;"
			     "rooms = ( { name = \"lobby\"; history = 3; },"
			     "          { name = \"quiet\"; announce_max = 0; },"
			     "          { name = \"sensors\"; format = \"raw\"; } );";

static int setup(void **state)
{
	return harnessed(state, config);
}

static int join(struct harness *h, const char *room)
{
	int fd = harness_connect(h, "tcp", "chat", room);
	harness_settle(h);
	return fd;
}

static void greets(void **state)
{
	int a = join(*state, "lobby");

	assert_string_equal(harness_read(*state, a),
			    "* Welcome, guest1. You are in lobby; /help lists the commands.\n");
	close(a);
}

static void everybody_hears_everybody(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	harness_read(*state, b);
	assert_non_null(strstr(harness_read(*state, a), "* guest2 joined lobby\n"));
	assert_string_equal(harness_say(*state, a, "hello\n"), "guest1: hello\n");
	assert_string_equal(harness_read(*state, b), "guest1: hello\n");
	assert_string_equal(harness_say(*state, b, "hi\r\n"), "guest2: hi\n");
	assert_string_equal(harness_read(*state, a), "guest2: hi\n");
	close(a);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, b), "* guest1 left lobby\n");
	close(b);
}

static void lines_may_come_in_pieces(void **state)
{
	int a = join(*state, "lobby");

	harness_read(*state, a);
	assert_string_equal(harness_say(*state, a, "he"), "");
	assert_string_equal(harness_say(*state, a, "l"), "");
	assert_string_equal(harness_say(*state, a, "lo\ntwo\nthr"), "guest1: hello\nguest1: two\n");
	assert_string_equal(harness_say(*state, a, "ee\n"), "guest1: three\n");
	close(a);
}

static void history_on_join(void **state)
{
	int a = join(*state, "lobby");

	harness_say(*state, a, "1\n2\n3\n4\n/me waves\n");
	int b = join(*state, "lobby");
	assert_string_equal(harness_read(*state, b),
			    "* Welcome, guest2. You are in lobby; /help lists the commands.\n"
			    "guest1: 3\nguest1: 4\nguest1 * waves\n");
	close(a);
	close(b);
}

static void nicks(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	harness_read(*state, a);
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, a, "/nick alice\n"), "* guest1 is now alice\n");
	assert_string_equal(harness_read(*state, b), "* guest1 is now alice\n");
	assert_string_equal(harness_say(*state, b, "/nick ALICE\n"), "* ALICE is taken.\n");
	assert_string_equal(harness_say(*state, b, "/nick admin\n"), "* admin is reserved.\n");
	assert_string_equal(harness_say(*state, b, "/nick guest7\n"), "* guest7 is reserved.\n");
	assert_string_equal(harness_say(*state, a, "/nick Alice\n"), "* alice is now Alice\n");
	assert_non_null(strstr(harness_say(*state, a, "/nick a b\n"), "* A name has 1 to 32 bytes"));
	assert_non_null(strstr(harness_say(*state, a, "/nick #a\n"), "* A name has"));
	assert_non_null(strstr(harness_say(*state, a, "/nick\n"), "* A name has"));
	assert_string_equal(harness_say(*state, a, "x\n"), "Alice: x\n");
	/* A nick is free again when its bearer has gone. */
	close(a);
	harness_settle(*state);
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, b, "/nick alice\n"), "* guest2 is now alice\n");
	close(b);
}

static void rooms(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	harness_say(*state, a, "hi\n");
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, a, "/join den\n"), "* You are in den.\n");
	assert_string_equal(harness_read(*state, b), "* guest1 left lobby\n");
	assert_string_equal(harness_say(*state, a, "alone\n"), "guest1: alone\n");
	assert_string_equal(harness_read(*state, b), "");
	assert_string_equal(harness_say(*state, b, "/join den\n"), "* You are in den.\nguest1: alone\n");
	assert_string_equal(harness_read(*state, a), "* guest2 joined den\n");
	assert_string_equal(harness_say(*state, a, "/join den\n"), "* You are in den already.\n");
	assert_non_null(strstr(harness_say(*state, a, "/join no/such\n"), "* A room's name has"));
	const char *list = harness_say(*state, a, "/rooms\n");
	assert_non_null(strstr(list, "* lobby (0)\n"));
	assert_non_null(strstr(list, "* den (2)\n"));
	assert_string_equal(harness_say(*state, a, "/who\n"), "* 2 in den: guest2, guest1\n");
	close(a);
	close(b);
}

/* What was said before a command is received before its answer. */
static void answers_keep_their_place(void **state)
{
	int a = join(*state, "lobby");

	harness_read(*state, a);
	assert_string_equal(
	    harness_say(*state, a, "one\n/who\ntwo\n/join den\nthree\n"),
	    "guest1: one\n* 1 in lobby: guest1\nguest1: two\n* You are in den.\nguest1: three\n");
	close(a);
}

static void private_messages(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "quiet"), c = join(*state, "lobby");

	harness_read(*state, a);
	harness_read(*state, b);
	harness_read(*state, c);
	assert_string_equal(harness_say(*state, a, "/msg guest2 psst\n"), "* [you -> guest2] psst\n");
	assert_string_equal(harness_read(*state, b), "* [guest1 -> you] psst\n");
	assert_string_equal(harness_read(*state, c), "");
	assert_string_equal(harness_say(*state, a, "/msg nobody psst\n"),
			    "* There is nobody by that name here.\n");
	assert_string_equal(harness_say(*state, a, "/msg guest2\n"), "* Usage: /msg NICK TEXT\n");
	close(a);
	close(b);
	close(c);
}

static void commands(void **state)
{
	int a = join(*state, "lobby");

	harness_read(*state, a);
	const char *help = harness_say(*state, a, "/help\n");
	assert_non_null(strstr(help, "/nick NAME"));
	/* What the commands do is in one column. */
	for (const char *line = help; *line; line = strchr(line, '\n') + 1) {
		assert_true(memcmp(line, "* /", 3) == 0 && strcspn(line, "\n") > 24);
		assert_true(line[23] == ' ' && line[24] != ' ');
	}
	assert_string_equal(harness_say(*state, a, "/HELPME\n"),
			    "* There is no such command; /help lists them.\n");
	assert_string_equal(harness_say(*state, a, "//x y\n"), "guest1: /x y\n");
	assert_string_equal(harness_say(*state, a, "/me waves\n"), "guest1 * waves\n");
	assert_string_equal(harness_say(*state, a, "quit it\n"), "guest1: quit it\n");
	assert_string_equal(harness_say(*state, a, "\n\r\n"), "");
	close(a);
}

static void assert_closed(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

static void quitting(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	harness_read(*state, a);
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, a, "bye\nquit\nnot said\n"), "guest1: bye\n");
	assert_closed(a);
	assert_string_equal(harness_read(*state, b), "guest1: bye\n* guest1 left lobby\n");
	assert_string_equal(harness_say(*state, b, "/quit\n"), "");
	assert_closed(b);
	close(a);
	close(b);
}

/* However much one client sends at once, the others have their turn before all of it is done. */
static void a_turn_is_limited(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");
	char text[2000];
	size_t n = 0;

	harness_read(*state, a);
	harness_read(*state, b);
	while (n < sizeof(text) - 10)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "/me x\n");
	assert_int_equal(send(a, text, n, 0), n);
	worker_turn(harness_shared(*state)->workers[0]);
	assert_int_equal(send(b, "hello\n", 6, 0), 6);
	worker_turn(harness_shared(*state)->workers[0]);
	worker_turn(harness_shared(*state)->workers[0]);
	size_t before = strlen(harness_read(*state, b));
	for (unsigned i = 0; i < 5; i++)
		harness_settle(*state);
	const char *after = harness_read(*state, b);
	assert_true(before > 0 && strstr(after, "guest1 * x\n"));
	assert_int_equal(before + strlen(after),
			 n / strlen("/me x\n") * strlen("guest1 * x\n") + strlen("guest2: hello\n"));
	close(a);
	close(b);
}

/* Or a successor of a process that dies now would have two clients of one nick. */
static void a_free_nick_is_in_no_entry(void **state)
{
	struct shared *shared = harness_shared(*state);
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	harness_say(*state, a, "/nick alice\n");
	struct connection *c =
	    connections_find(worker_context(shared->workers[0]), 0, clients_at(shared->clients, 0)->id);
	assert_int_equal(connection_state(c)->nick_len, 5);
	assert_true(connection_kick(c, &(struct notice){.kind = NOTICE_BANNED}));
	assert_int_equal(connection_state(c)->nick_len, 0); /* it is still to read this */
	harness_settle(*state);
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, b, "/nick alice\n"), "* guest2 is now alice\n");
	close(a);
	close(b);
}

/* The last line counts even if its newline is missing. */
static void end_of_input(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	harness_read(*state, b);
	assert_int_equal(send(a, "last", 4, 0), 4);
	shutdown(a, SHUT_WR);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, b), "guest1: last\n* guest1 left lobby\n");
	assert_non_null(strstr(harness_read(*state, a), "guest1: last\n"));
	assert_closed(a);
	close(a);
	close(b);
}

static void long_lines(void **state)
{
	char line[4000];
	int a = join(*state, "lobby");
	static const char refused[] = "* That message was longer than 100 bytes and has been refused.\n";

	harness_read(*state, a);
	memset(line, 'x', sizeof(line));
	memcpy(line + 100, "\r\n", 3);
	assert_int_equal(strlen(harness_say(*state, a, line)), strlen("guest1: ") + 101);
	memcpy(line + 100, "x\n", 3);
	assert_string_equal(harness_say(*state, a, line), refused);
	line[100] = line[101] = line[102] = 'x';
	line[3900] = '\0';
	assert_string_equal(harness_say(*state, a, line), refused);
	assert_string_equal(harness_say(*state, a, line), "");
	assert_string_equal(harness_say(*state, a, "/quit\nok\n"), "guest1: ok\n");
	line[3898] = '\n';
	line[3899] = 'y';
	assert_string_equal(harness_say(*state, a, line), refused);
	assert_string_equal(harness_say(*state, a, "es\n"), "guest1: yes\n");
	close(a);
}

static void text_is_made_safe(void **state)
{
	int a = join(*state, "lobby");

	harness_read(*state, a);
	assert_string_equal(harness_say(*state, a, "\033[31mred\n"), "guest1: \xef\xbf\xbd[31mred\n");
	assert_string_equal(harness_say(*state, a,
					"a\xff"
					"b\n"),
			    "guest1: a\xef\xbf\xbd"
			    "b\n");
	assert_string_equal(harness_say(*state, a, "gr\xc3\xbc\xc3\x9f\tdich\n"),
			    "guest1: gr\xc3\xbc\xc3\x9f\tdich\n");
	assert_string_equal(harness_say(*state, a, "a\rb\n"), "guest1: a\xef\xbf\xbd"
							      "b\n");
	close(a);
}

/* A line that begins with "* " is the server's, whatever nicks and texts people choose. */
static void nobody_speaks_like_the_server(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "sensors");

	harness_read(*state, a);
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, a, "/me -> you] send me the password\n"),
			    "guest1 * -> you] send me the password\n");
	assert_string_equal(harness_say(*state, a, "/me is going down\n"), "guest1 * is going down\n");
	/* Line and paragraph separators break lines in some programs. */
	assert_string_equal(harness_say(*state, a, "x\xe2\x80\xa8* chatd is going down\n"),
			    "guest1: x\xef\xbf\xbd* chatd is going down\n");
	assert_string_equal(harness_say(*state, b, "* chatd is going down\n*\n**\n"),
			    "** chatd is going down\n**\n***\n");
	assert_string_equal(harness_say(*state, b, "/me waves\n"), "guest2 * waves\n");
	close(a);
	close(b);
}

static void raw_rooms(void **state)
{
	int a = join(*state, "sensors"), b = join(*state, "sensors");

	harness_read(*state, a);
	harness_read(*state, b);
	assert_string_equal(harness_say(*state, a, "t=\x01\xff\n\n"), "t=\x01\xff\n\n");
	assert_string_equal(harness_read(*state, b), "t=\x01\xff\n\n");
	close(a);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, b), "");
	close(b);
}

static void large_rooms_are_silent(void **state)
{
	int a = join(*state, "quiet"), b = join(*state, "quiet");

	harness_read(*state, a);
	close(b);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "");
	assert_string_equal(harness_say(*state, a, "/nick zoe\n"), "* You are now zoe.\n");
	close(a);
}

static void echo(void **state)
{
	int a = harness_connect(*state, "tcp", "echo", "");

	harness_settle(*state);
	assert_string_equal(harness_say(*state, a, "abc"), "abc");
	assert_string_equal(harness_say(*state, a, "\xff\x01quit\n"), "\xff\x01quit\n");
	shutdown(a, SHUT_WR);
	harness_settle(*state);
	assert_closed(a);
	close(a);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, harnessed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(greets),
	    CASE(everybody_hears_everybody),
	    CASE(lines_may_come_in_pieces),
	    CASE(history_on_join),
	    CASE(nicks),
	    CASE(rooms),
	    CASE(answers_keep_their_place),
	    CASE(private_messages),
	    CASE(commands),
	    CASE(quitting),
	    CASE(a_free_nick_is_in_no_entry),
	    CASE(a_turn_is_limited),
	    CASE(end_of_input),
	    CASE(long_lines),
	    CASE(text_is_made_safe),
	    CASE(nobody_speaks_like_the_server),
	    CASE(raw_rooms),
	    CASE(large_rooms_are_silent),
	    CASE(echo),
	};

	return cmocka_run_group_tests_name("chat", tests, NULL, NULL);
}
