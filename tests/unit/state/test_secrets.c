/* SPDX-License-Identifier: MIT */
/* The file of TLS secrets: what is written is there for the next process, and nothing else is taken for it. */
#include "tests/unit/unit.h"

#include "daemon/io/memfd.h"
#include "daemon/state/secrets.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void the_next_process_finds_them(void **state)
{
	struct secrets *s;
	int fd = secrets_new(1024, 100, &s);

	(void)state;
	assert_true(fd >= 0);
	assert_non_null(secrets_at(s, 1023));
	assert_null(secrets_at(s, 1024));
	memset(secrets_at(s, 1023), 7, sizeof(struct tls_secrets));
	bool hidden = secrets_are_hidden(s);
	secrets_free(s);
	assert_int_equal(secrets_open(fd, 1024, 100, &s), 0);
	assert_int_equal(secrets_are_hidden(s), hidden);
	assert_int_equal(secrets_at(s, 1023)->secret[TLS_OUT][1][5], 7);
	secrets_free(s);
	close(fd);
}

static void without_a_file_there_are_none(void **state)
{
	(void)state;
	assert_null(secrets_at(NULL, 0));
	assert_false(secrets_are_hidden(NULL));
}

static void other_files_are_refused(void **state)
{
	struct secrets *s;
	int fds[2], small = memfd_new("small", 65536);

	(void)state;
	assert_int_equal(secrets_open(small, 1024, 100, &s), -EINVAL);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(secrets_open(fds[0], 1024, 100, &s), -EBADF);
	close(fds[0]);
	close(fds[1]);
	close(small);
}

/* Less may be locked than all need: as many as there is memory for, or all of them in a file that isn't hidden. */
static void little_memory_may_be_locked(void **state)
{
	const struct rlimit some = {1 << 20, 1 << 20};
	struct secrets *s;
	uid_t uid = geteuid();

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &some), 0);
	assert_true(uid != 0 || seteuid(65534) == 0); /* root may lock all */
	for (uint32_t needed = 1000; needed <= 16000; needed *= 16) {
		int fd = secrets_new(16384, needed, &s);
		assert_true(fd >= 0);
		assert_non_null(secrets_at(s, needed - 1));
		assert_true(needed == 1000 || !secrets_are_hidden(s));
		secrets_free(s);
		close(fd);
	}
	assert_int_equal(seteuid(uid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_next_process_finds_them),
	    cmocka_unit_test(without_a_file_there_are_none),
	    cmocka_unit_test(other_files_are_refused),
	    cmocka_unit_test(little_memory_may_be_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
