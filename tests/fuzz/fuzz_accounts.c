/* SPDX-License-Identifier: MIT */
/* Password files: whatever they say, what is taken is valid, and found again. */
#include "tests/fuzz/fuzz.h"

#include "common/accounts.h"

#include <string.h>

static FILE *errors;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct accounts a;

	if (!errors)
		errors = fopen("/dev/null", "w");
	memcpy(text, data, size);
	text[size] = '\0';
	int r = accounts_parse(text, "file", errors, errors, &a);
	REQUIRE(r <= 0 && (r == 0 || a.n == 0));
	for (size_t i = 0; i < a.n; i++) {
		const char *nick = a.at[i].nick;
		REQUIRE(strncmp(a.at[i].hash, "$argon2id$", 10) == 0);
		REQUIRE(a.at[i].scram.iterations == 0 || a.at[i].scram.salt_len > 0);
		REQUIRE(nick_well_formed(nick, strlen(nick)));
		REQUIRE(a.at[i].left_out || nick_valid(nick, strlen(nick)));
		REQUIRE(a.at[i].left_out || accounts_find_exactly(&a, nick, strlen(nick)) == &a.at[i]);
		REQUIRE(a.at[i].left_out || !accounts_find_alike(&a, nick, strlen(nick)));
	}
	accounts_free(&a);
	free(text);
	return 0;
}
