/* SPDX-License-Identifier: MIT */
/* Lines of IRC with their tags: whatever comes, what is found lies within the line, and means what was there. */
#include "tests/fuzz/fuzz.h"

#include "common/text.h"
#include "daemon/irc/line.h"

#include <errno.h>
#include <string.h>

static void require_within(struct irc_arg a, const char *data, size_t len)
{
	REQUIRE(a.len == 0 || (a.at >= data && a.at + a.len <= data + len));
	REQUIRE(a.len == 0 ||
		(!memchr(a.at, '\n', a.len) && !memchr(a.at, '\r', a.len) && !memchr(a.at, 0, a.len)));
}

static void check_line(const struct irc_line *l, const char *data, size_t len)
{
	require_within(l->tags, data, len);
	require_within(l->source, data, len);
	require_within(l->command, data, len);
	REQUIRE(l->n_params <= IRC_PARAMS_MAX);
	REQUIRE(!l->tags.at || !memchr(l->tags.at, ' ', l->tags.len));
	REQUIRE(!l->command.at || !memchr(l->command.at, ' ', l->command.len));
	for (unsigned i = 0; i < l->n_params; i++) {
		const struct irc_arg *a = &l->params[i];
		struct irc_arg piece;
		size_t at = 0, sum = 0;

		require_within(*a, data, len);
		if (i + 1 < l->n_params)
			REQUIRE(a->len > 0 && !memchr(a->at, ' ', a->len) && a->at[0] != ':');
		while (irc_arg_next(*a, &at, &piece)) {
			require_within(piece, a->at, a->len);
			REQUIRE(piece.len > 0 && !memchr(piece.at, ',', piece.len));
			sum += piece.len;
		}
		REQUIRE(sum <= a->len);
	}
}

/* What a tag is, unescaped and escaped, is what it is. */
static void check_tags(struct irc_arg tags)
{
	static char value[8192], escaped[16384], tag[16384 + 2], again[8192];
	struct irc_arg whole;
	char key[64];

	for (size_t at = 0; irc_tag_next_client(tags, &at, &whole);) {
		require_within(whole, tags.at, tags.len);
		REQUIRE(whole.len > 1 && whole.at[0] == '+' && text_is_utf8(whole.at, whole.len));
		REQUIRE(!memchr(whole.at, ';', whole.len) && !memchr(whole.at, ' ', whole.len));
		const char *equals = memchr(whole.at, '=', whole.len);
		size_t n = equals ? (size_t)(equals - whole.at) : whole.len;
		if (n >= sizeof(key))
			continue;
		memcpy(key, whole.at, n);
		key[n] = '\0';
		REQUIRE(irc_tag_get(tags, key, value, sizeof(value)) == 0);
		size_t len = irc_tag_escape(escaped, sizeof(escaped), value, strlen(value));
		REQUIRE(len == strlen(escaped) && len < sizeof(escaped));
		REQUIRE(!strpbrk(escaped, "; \r\n"));
		int k = snprintf(tag, sizeof(tag), "k=%s", escaped);
		REQUIRE(irc_tag_get((struct irc_arg){tag, (size_t)k}, "k", again, sizeof(again)) == 0);
		REQUIRE(strcmp(value, again) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct irc_line line;
	/* On the heap, so that a look behind it is seen. */
	char *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	int r = irc_line_parse(copy, size, &line);
	REQUIRE(r == 0 || r == -EINVAL || r == -E2BIG || r == -EMSGSIZE);
	check_line(&line, copy, size);
	if (r == 0) {
		REQUIRE(line.command.len > 0 && line.tags.len <= IRC_TAGS_DATA_MAX && size <= IRC_INPUT_MAX);
		check_tags(line.tags);
	}
	free(copy);
	return 0;
}
