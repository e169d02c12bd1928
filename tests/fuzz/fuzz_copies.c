/* SPDX-License-Identifier: MIT */
/* The copies of a configuration's files, as a process before left them: what is believed is whole. */
#include "tests/fuzz/fuzz.h"

#include "daemon/config/copies.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct copies *c;

	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	if (copies_load(fd, &c) == 0) {
		REQUIRE(copies_text(c, copies_first(c)));
		int again = copies_save(c);
		REQUIRE(again >= 0 && copies_are_same(fd, again));
		close(again);
		copies_free(c);
	}
	close(fd);
	return 0;
}
