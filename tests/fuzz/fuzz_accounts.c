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
	int r = accounts_parse(text, "file", errors, &a);
	REQUIRE(r <= 0 && (r == 0 || a.n == 0));
	for (size_t i = 0; i < a.n; i++) {
		REQUIRE(nick_valid(a.at[i].nick, strlen(a.at[i].nick)));
		REQUIRE(strncmp(a.at[i].hash, "$argon2id$", 10) == 0);
		REQUIRE(accounts_find(&a, a.at[i].nick, strlen(a.at[i].nick)) == &a.at[i]);
	}
	accounts_free(&a);
	free(text);
	return 0;
}
