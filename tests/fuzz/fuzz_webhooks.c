/* SPDX-License-Identifier: MIT */
/* Files of webhooks' cursors: what is taken from one is written as the same text again. */
#include "tests/fuzz/fuzz.h"

#include "daemon/webhooks/cursors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cursors c, again;
	char *text = malloc(size + 1);
	size_t len;

	memcpy(text, data, size);
	text[size] = '\0';
	int r = cursors_parse(text, &c);
	REQUIRE(r <= 0 && (r == 0 || c.n == 0) && c.n <= WEBHOOKS_MAX);
	for (size_t i = 0; i < c.n; i++)
		REQUIRE(text_room_valid(c.at[i].name, strlen(c.at[i].name)) &&
			text_room_valid(c.at[i].room, strlen(c.at[i].room)));
	free(text);
	text = cursors_format(&c, &len);
	REQUIRE(cursors_parse(text, &again) == 0 && again.n == c.n);
	for (size_t i = 0; i < c.n; i++)
		REQUIRE(again.at[i].epoch == c.at[i].epoch && again.at[i].next == c.at[i].next &&
			again.at[i].time_us == c.at[i].time_us && again.at[i].left == c.at[i].left);
	free(text);
	return 0;
}
