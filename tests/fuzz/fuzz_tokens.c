/* SPDX-License-Identifier: MIT */
/* Token files: whatever they say, what is taken is valid and has rights, and whoever shows something else has none. */
#include "tests/fuzz/fuzz.h"

#include "common/tokens.h"

#include <string.h>

static FILE *errors;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct tokens t;

	if (!errors)
		errors = fopen("/dev/null", "w");
	memcpy(text, data, size);
	text[size] = '\0';
	int r = tokens_parse(text, "file", errors, &t);
	REQUIRE(r <= 0 && (r == 0 || t.n == 0) && t.n <= TOKENS_MAX);
	REQUIRE(!tokens_find(&t, (const char *)data, size));
	for (size_t i = 0; i < t.n; i++) {
		const struct token *x = &t.at[i];
		REQUIRE(nick_valid(x->name, strlen(x->name)) && !nick_is_chatds(x->name, strlen(x->name)));
		REQUIRE(x->n_rights > 0);
		for (size_t k = 0; k < x->n_rights; k++) {
			const struct token_right *right = &x->rights[k];
			bool all = strcmp(right->room, "*") == 0;
			REQUIRE(right->rights >= 1 && right->rights <= (TOKEN_READ | TOKEN_SPEAK));
			REQUIRE(all || text_room_valid(right->room, strlen(right->room)));
			REQUIRE(token_may(x, right->room, right->rights));
		}
	}
	tokens_free(&t);
	free(text);
	return 0;
}
