/* SPDX-License-Identifier: MIT */
/*
 * The mode that docs/ARCHITECTURE.md shows to those who want to add one: it is compiled as it stands there, and
 * does what the text says.
 */
#include "tests/unit/unit.h"

#include "daemon/modes/table.h"
#include "tests/unit/harnessed.h"
#include "tests/unit/modes/example.inc"

#include <string.h>
#include <unistd.h>

/* This program's modes, instead of modes/table.c. */
const struct handler *const handlers[] = {&handler_tcp_shout, NULL};

const struct handler *handler_find(const char *type, const char *mode)
{
	return strcmp(type, "tcp") == 0 && strcmp(mode, "shout") == 0 ? handlers[0] : NULL;
}

static int setup(void **state)
{
	return harnessed(state,
			 "workers = 1; listeners = ( { name = \"shout\"; type = \"tcp\"; mode = \"shout\"; "
			 "listen = \"127.0.0.1:5007\"; } );");
}

static int join(struct harness *h)
{
	int fd = harness_connect(h, "tcp", "shout", "");

	harness_settle(h);
	assert_string_equal(harness_read(h, fd), "* Speak up.\n");
	return fd;
}

static void it_shouts(void **state)
{
	int fd = join(*state);

	assert_string_equal(harness_say(*state, fd, "hello, "), "HELLO, ");
	assert_string_equal(harness_say(*state, fd, "World\n"), "WORLD\n");
	close(fd);
}

static void it_survives(void **state)
{
	int fd = join(*state);
	struct takeover r;

	assert_string_equal(harness_say(*state, fd, "hel"), "HEL");
	assert_int_equal(write(fd, "lo", 2), 2); /* read by nobody yet */
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 1);
	assert_string_equal(harness_say(*state, fd, "!"), "LO!");
	close(fd);
}

static void who_does_not_read_is_not_read_from(void **state)
{
	static char text[8192], all[32 << 20];
	int fd = join(*state);
	size_t sent = 0, n = 0;

	memset(text, 'a', sizeof(text));
	for (int i = 0; i < 4096; i++) {
		ssize_t w = write(fd, text, sizeof(text));
		if (w < 0)
			break;
		sent += (size_t)w;
		harness_settle(*state);
	}
	assert_true(sent < sizeof(text) * 4096);
	for (unsigned idle = 0; idle < 3; harness_settle(*state)) {
		const char *got = harness_read(*state, fd);
		size_t len = strlen(got);
		idle = len ? 0 : idle + 1;
		assert_true(n + len <= sizeof(all));
		memcpy(all + n, got, len);
		n += len;
	}
	assert_int_equal(n, sent);
	assert_int_equal(strspn(all, "A"), n);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(it_shouts, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(it_survives, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(who_does_not_read_is_not_read_from, setup, harnessed_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
