/* SPDX-License-Identifier: MIT */
/* WebSocket's frames: what is found doesn't depend on the pieces it comes in, lies within what came, and is consumed to
 * the end. */
#include "tests/fuzz/fuzz.h"

#include "common/text.h"
#include "daemon/web/frames.h"

#include <string.h>

#define MAX 4096

/* On the heap, so that a look behind it is seen. */
static void find(const uint8_t *data, size_t len, struct frames_found *ret)
{
	char *copy = malloc(len ? len : 1);

	memcpy(copy, data, len);
	frames_find(copy, len, MAX, ret);
	if (ret->what == FRAMES_FOUND_MESSAGE) {
		char *payload = malloc(ret->len ? ret->len : 1);
		frames_copy(copy, ret, payload);
		(void)text_is_utf8(payload, ret->len);
		free(payload);
	}
	free(copy);
}

static void check(const struct frames_found *f, size_t len)
{
	REQUIRE(f->at <= len && f->size <= len - f->at);
	switch (f->what) {
	case FRAMES_UNFINISHED:
		break;
	case FRAMES_FOUND_MESSAGE:
		REQUIRE(f->len <= MAX && f->at == 0 && f->size >= 6 + f->len);
		REQUIRE(f->opcode == FRAMES_TEXT || f->opcode == FRAMES_BINARY);
		break;
	case FRAMES_FOUND_CONTROL:
		REQUIRE(f->len <= FRAMES_CONTROL_MAX && f->size == 6 + f->len);
		REQUIRE(f->opcode >= FRAMES_CLOSE && f->opcode <= FRAMES_PONG);
		break;
	case FRAMES_BROKEN:
		REQUIRE(f->code >= 1000 && f->why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);
	size_t at = 0;

	memcpy(data, input, size);
	while (true) {
		struct frames_found whole, part;
		find(data + at, size - at, &whole);
		check(&whole, size - at);
		for (size_t n = 0; n < size - at && n < 200; n++) {
			find(data + at, n, &part);
			check(&part, n);
			if (part.what != FRAMES_UNFINISHED)
				REQUIRE(part.what == whole.what && part.code == whole.code);
		}
		if (whole.what == FRAMES_UNFINISHED || whole.what == FRAMES_BROKEN)
			break;
		if (whole.at > 0)
			data[at + whole.at] = (uint8_t)FRAMES_DEALT_WITH;
		else
			at += whole.size;
		if (whole.opcode == FRAMES_CLOSE)
			break;
	}
	free(data);
	return 0;
}
