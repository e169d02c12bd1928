/* SPDX-License-Identifier: MIT */
/* Nicks: what is taken is safe to show, stays what it is, and is the same as what was typed. */
#include "tests/fuzz/fuzz.h"

#include "common/nick.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	char nick[TEXT_NICK_MAX + 1], again[TEXT_NICK_MAX + 1];
	int n = nick_normalise(s, size, nick);

	nick_is_guest(s, size);
	REQUIRE(nick_same(s, size, s, size));
	if (n < 0)
		return 0;
	REQUIRE(n > 0 && n <= TEXT_NICK_MAX && strlen(nick) == (size_t)n);
	REQUIRE(nick_well_formed(nick, (size_t)n));
	REQUIRE(!strpbrk(nick, ":* \t"));
	REQUIRE(nick_normalise(nick, (size_t)n, again) == n && strcmp(nick, again) == 0);
	if (size <= TEXT_NICK_MAX)
		REQUIRE(nick_same(s, size, nick, (size_t)n));
	return 0;
}
