/* SPDX-License-Identifier: MIT */
/* A file that is replaced, with file descriptors and without. */
#include "tests/unit/unit.h"

#include "daemon/io/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/chatd-replace-XXXXXX", path[64];

static void expect_content(const char *expected)
{
	char got[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(fread(got, 1, sizeof(got) - 1, f) == strlen(expected));
	fclose(f);
	assert_string_equal(got, expected);
}

static void replace_as_a_whole(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(replace_file(path, "one", 3), 0);
	expect_content("one");
	assert_int_equal(replace_file(path, "two\n", 4), 0);
	expect_content("two\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(replace_file("/nowhere/at/all", "x", 1), -ENOENT);
}

/* No other descriptor is closed for it, and none is left open. */
static void replace_without_descriptors(void **state)
{
	struct rlimit before, none;
	int lowest = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(lowest >= 0);
	}
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int error = errno;
	int r = replace_file(path, "three", 5);
	int nowhere = replace_file("/nowhere/at/all", "x", 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(error, EMFILE);
	assert_int_equal(r, 0);
	assert_int_equal(nowhere, -ENOENT);
	expect_content("three");
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd, lowest);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replace_as_a_whole),
	    cmocka_unit_test(replace_without_descriptors),
	};

	if (!mkdtemp(directory))
		return 1;
	snprintf(path, sizeof(path), "%s/file", directory);
	return cmocka_run_group_tests_name("replace", tests, NULL, NULL);
}
