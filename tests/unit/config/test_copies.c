/* SPDX-License-Identifier: MIT */
/* Copies of files come back as they were, or not at all; a configuration made of them is the same. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "daemon/config/config.h"
#include "daemon/config/copies.h"
#include "daemon/modes/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct copies *some(void)
{
	struct copies *c = copies_new();

	assert_non_null(c);
	assert_null(copies_first(c));
	assert_int_equal(copies_add(c, "/etc/one", "1st", 3), 0);
	assert_int_equal(copies_add(c, "/etc/none", "", 0), 0);
	assert_int_equal(copies_add(c, "/etc/nul", "a\0b", 3), 0);
	assert_int_equal(copies_add(c, "/etc/one", "other", 5), 0); /* which is there */
	return c;
}

static void they_come_back(void **state)
{
	struct copies *c = some(), *d;
	char text[8];
	int fd = copies_save(c);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(copies_load(fd, &d), 0);
	assert_string_equal(copies_first(d), "/etc/one");
	assert_string_equal(copies_text(d, "/etc/one"), "1st");
	assert_string_equal(copies_text(d, "/etc/none"), "");
	assert_memory_equal(copies_text(d, "/etc/nul"), "a\0b", 4);
	assert_null(copies_text(d, "/etc/two"));
	assert_int_equal(copies_open(d, "/etc/two"), -ENOENT);
	_cleanup_close_ int one = copies_open(d, "/etc/one"), again = copies_save(d);
	assert_int_equal(pread(one, text, sizeof(text), 0), 3);
	assert_true(copies_are_same(fd, again));
	assert_int_equal(copies_add(d, "/etc/more", "", 0), 0);
	_cleanup_close_ int more = copies_save(d);
	assert_false(copies_are_same(fd, more));
	close(fd);
	copies_free(c);
	copies_free(d);
}

static int load(const char *data, size_t size, int seals)
{
	_cleanup_close_ int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct copies *c;

	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	int r = copies_load(fd, &c);
	if (r == 0)
		copies_free(c);
	return r;
}

static void nothing_else_is_believed(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct copies *c = some();
	_cleanup_close_ int fd = copies_save(c);
	char data[512] = "", changed[512];
	ssize_t n = pread(fd, data, sizeof(data), 0);

	(void)state;
	copies_free(c);
	assert_int_equal(load(data, (size_t)n, all), 0);
	for (int missing = F_SEAL_SHRINK; missing <= F_SEAL_WRITE; missing <<= 1)
		assert_int_equal(load(data, (size_t)n, all & ~missing), -EBADMSG);
	/* Cut within a file it is damaged; between two it is a whole one, of fewer files. */
	for (ssize_t i = 0, good = 0; i < n; i++) {
		int r = load(data, (size_t)i, all);
		assert_true(r == -EBADMSG || (r == 0 && ++good <= 2));
	}
	assert_int_equal(load(data, (size_t)n + 1, all), -EBADMSG);
	/* Lengths that lead anywhere else. */
	for (int at = 16; at < 32; at++) {
		memcpy(changed, data, sizeof(data));
		changed[at] = (char)(changed[at] ^ 0x81);
		assert_int_equal(load(changed, (size_t)n, all), -EBADMSG);
	}
}

/* Everything that the sample says, and what libconfig writes in its own way. */
static void a_configuration_is_the_same(void **state)
{
	static const char text[] =
	    "limits: { idle_timeout = 1234.5; max_clients = 0x7B; login_timeout = 5L; };"
	    "rooms = ( { name = \"a\"; members = ( \"\\x41da\", \"b\" \"ob\" ); read_only = true; } );"
	    "metrics: { listen = \"127.0.0.1:9150\"; }; slow = \"disconnect\";";
	char path[] = "/tmp/test-copies-XXXXXX", errors[1000] = "";
	_cleanup_close_ int file = mkstemp(path);
	struct config *a, *b;
	struct copies *copies;
	FILE *f = fmemopen(errors, sizeof(errors), "w");

	(void)state;
	assert_int_equal(write(file, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(config_load(path, handlers, f, NULL, &a), 0);
	unlink(path);
	_cleanup_close_ int fd = copies_save(a->copies);
	assert_int_equal(copies_load(fd, &copies), 0);
	assert_string_equal(copies_first(copies), path);
	assert_int_equal(config_load_copies(copies, handlers, f, &b), 0);
	fclose(f);
	assert_string_equal(errors, "");
	assert_null(b->copies);
	assert_int_equal(b->idle_timeout_us, 1234500000);
	assert_int_equal(a->idle_timeout_us, b->idle_timeout_us);
	assert_int_equal(b->max_clients, 123);
	assert_int_equal(b->login_timeout_us, 5000000);
	assert_int_equal(b->slow, SLOW_DISCONNECT);
	assert_string_equal(b->rooms[0].members[0], "Ada");
	assert_string_equal(b->rooms[0].members[1], "bob");
	assert_true(b->rooms[0].settings.read_only);
	assert_int_equal(address_port(&b->metrics), 9150);
	config_free(a);
	config_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(they_come_back),
					   cmocka_unit_test(nothing_else_is_believed),
					   cmocka_unit_test(a_configuration_is_the_same)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
