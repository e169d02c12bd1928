/* SPDX-License-Identifier: MIT */
/* A process dies and the next one takes over, with a worker that is turned by hand. */
#include "tests/unit/unit.h"

#include "daemon/state/file.h"
#include "tests/unit/harnessed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char config[] = "workers = 1; rooms = ( { name = \"lobby\"; history = 0; announce_max = 0; } );"
			     "room_defaults: { announce_max = 0; };";

static int setup(void **state)
{
	return harnessed(state, config);
}

static int join(struct harness *h)
{
	int fd = harness_connect(h, "tcp", "chat", "lobby");

	harness_settle(h);
	harness_read(h, fd);
	return fd;
}

static void everything_comes_back(void **state)
{
	int a = join(*state), b = join(*state);
	struct takeover r;

	harness_say(*state, a, "/nick alice\n/join den\nhalf a ");
	assert_string_equal(harness_say(*state, b, "/join den\n"), "* You are in den.\n");
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 2);
	assert_int_equal(r.closed, 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "");
	assert_string_equal(harness_say(*state, a, "line\n"), "alice: half a line\n");
	assert_string_equal(harness_read(*state, b), "alice: half a line\n");
	close(a);
	close(b);
}

/* What arrives, and whoever leaves, while nobody is there. */
static void the_time_between(void **state)
{
	int a = join(*state), b = join(*state);
	struct takeover r;

	assert_int_equal(send(a, "one\ntwo\n", 8, 0), 8);
	close(b);
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "guest1: one\nguest1: two\n");
	assert_string_equal(harness_say(*state, a, "/who\n"), "* 1 in lobby: guest1\n");
	close(a);
}

static void many_deaths_in_a_row(void **state)
{
	int a = join(*state);
	struct takeover r;

	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(send(a, "x\n", 2, 0), 2);
		assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
		assert_int_equal(r.taken, 1);
		harness_settle(*state);
		assert_string_equal(harness_read(*state, a), "guest1: x\n");
	}
	close(a);
}

static void spoil_nick(int rooms_fd, int clients_fd, void *arg)
{
	static char buf[8 << 20];
	ssize_t n = pread(clients_fd, buf, sizeof(buf), 0);
	char *p = memmem(buf, (size_t)n, "guest1", 6);

	(void)rooms_fd;
	(void)arg;
	for (; p; p = memmem(p + 6, (size_t)(buf + n - p - 6), "guest1", 6))
		assert_int_equal(pwrite(clients_fd, "guest9", 6, p - buf), 6);
}

/* One letter of one entry: that client is closed, the other one doesn't notice. */
static void a_damaged_entry_is_refused(void **state)
{
	int a = join(*state), b = join(*state);
	struct takeover r;

	assert_int_equal(harness_crash(*state, spoil_nick, NULL, &r), 0);
	assert_int_equal(r.taken, 1);
	assert_int_equal(r.closed, 1);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a),
			    "* chatd can't go on with this connection; please connect again.\n");
	assert_string_equal(harness_say(*state, b, "still here\n"), "guest2: still here\n");
	close(a);
	close(b);
}

/* As an older chatd would have left it. */
static void call(struct harness *h, uint32_t index, const char *nick)
{
	struct client *c = clients_at(harness_shared(h)->clients, index);
	struct client_state *st = &c->st[atomic_load(&c->live)];

	memset(st->nick, 0, sizeof(st->nick));
	memcpy(st->nick, nick, strlen(nick));
	st->nick_len = (uint8_t)strlen(nick);
	client_seal(c, st);
}

/* Nicks that are none any more, or somebody else's: nobody is closed, and nobody has them. */
static void nicks_of_an_older_chatd(void **state)
{
	int a = join(*state), b = join(*state), c = join(*state), d = join(*state);
	struct takeover r;

	call(*state, 0, "ivan");
	call(*state, 1, "lvan");
	call(*state, 2, "x\u3164y");
	call(*state, 3, "b:b");
	for (unsigned i = 0; i < 2; i++) { /* who has become a guest stays one */
		assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
		assert_int_equal(r.taken, 4);
		harness_settle(*state);
		char first[256];
		snprintf(first, sizeof(first), "%s", harness_read(*state, a));
		const char *second = harness_read(*state, b);
		if (i == 0 && first[0]) { /* whichever came first */
			assert_string_equal(first, "* ivan can't be your name any more; you are guest1.\n");
			assert_string_equal(second, "");
		} else {
			assert_string_equal(second,
					    i ? "" : "* lvan can't be your name any more; you are guest2.\n");
		}
		assert_string_equal(harness_read(*state, c),
				    i ? "" : "* x\u3164y can't be your name any more; you are guest3.\n");
		assert_string_equal(harness_read(*state, d),
				    i ? "" : "* b:b can't be your name any more; you are guest4.\n");
	}
	assert_string_equal(harness_say(*state, d, "hello\n"), "guest4: hello\n");
	assert_string_equal(harness_read(*state, c), "guest4: hello\n");
	close(a);
	close(b);
	close(c);
	close(d);
}

static void spoil_layout(int rooms_fd, int clients_fd, void *arg)
{
	const uint32_t other = 9999;

	(void)rooms_fd;
	(void)arg;
	assert_int_equal(pwrite(clients_fd, &other, sizeof(other), 8), sizeof(other));
}

static void another_layout_is_refused(void **state)
{
	int a = join(*state);
	struct takeover r;

	assert_int_equal(harness_crash(*state, spoil_layout, NULL, &r), -EBADMSG);
	close(a);
}

static void spoil_next_id(int rooms_fd, int clients_fd, void *arg)
{
	const uint64_t none = 0;

	(void)rooms_fd;
	(void)arg;
	assert_int_equal(pwrite(clients_fd, &none, sizeof(none), offsetof(struct file_header, next_id)),
			 sizeof(none));
}

/* Or a client would get the id of nobody, for which the next process would refuse all of them. */
static void a_next_id_of_nobody_is_refused(void **state)
{
	int a = join(*state);
	struct takeover r;

	assert_int_equal(harness_crash(*state, spoil_next_id, NULL, &r), -EBADMSG);
	close(a);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, harnessed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(everything_comes_back),	  CASE(the_time_between),
	    CASE(many_deaths_in_a_row),		  CASE(a_damaged_entry_is_refused),
	    CASE(nicks_of_an_older_chatd),	  CASE(another_layout_is_refused),
	    CASE(a_next_id_of_nobody_is_refused),
	};

	return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
