/* SPDX-License-Identifier: MIT */
/* JSON that is written by hand is JSON, whatever stands in it: jansson reads the same back. */
#include "tests/unit/unit.h"

#include "common/json_text.h"
#include "common/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void strings(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", "\"\""},
	    {"plain", "\"plain\""},
	    {"\"\\/", "\"\\\"\\\\/\""},
	    {"\t\n\r\x01\x7f", "\"\\t\\n\\u000d\\u0001\x7f\""},
	    {"gr\xc3\xbc\xe2\x80\xa8\xf0\x9f\x98\x80", "\"gr\xc3\xbc\xe2\x80\xa8\xf0\x9f\x98\x80\""},
	    {"\xff", "\"\xef\xbf\xbd\""},
	};
	char space[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct json_text t = {.at = space, .size = sizeof(space)};
		json_put_string(&t, cases[i].in, strlen(cases[i].in));
		assert_false(t.cut);
		assert_int_equal(t.len, strlen(cases[i].out));
		assert_memory_equal(space, cases[i].out, t.len);
	}
}

static void members(void **state)
{
	char space[128];
	struct json_text t = {.at = space, .size = sizeof(space)};

	(void)state;
	json_put(&t, "{\"a\":1");
	json_put_member(&t, "nick", "x\"y", 3);
	json_put_number(&t, "n", UINT64_MAX);
	json_put(&t, "}");
	static const char expected[] = "{\"a\":1,\"nick\":\"x\\\"y\",\"n\":18446744073709551615}";
	assert_int_equal(t.len, strlen(expected));
	assert_memory_equal(space, expected, t.len);
}

/* What doesn't fit is noticed, and nothing is written behind the space. */
static void what_does_not_fit(void **state)
{
	char space[16] = "...............";

	(void)state;
	for (size_t size = 0; size < 9; size++) {
		struct json_text t = {.at = space, .size = size};
		json_put_string(&t, "abc\"e", 5);
		assert_int_equal(t.cut, size < 8);
		assert_true(t.len <= size);
		assert_int_equal(space[size], '.');
		memset(space, '.', sizeof(space));
	}
}

/* Any bytes, in any length: what comes out is what text_sanitise() makes of them, if they aren't UTF-8. */
static void any_bytes(void **state)
{
	char in[700], out[6 * sizeof(in) + 2], clean[TEXT_SANITISE_GROWTH * sizeof(in)];

	(void)state;
	srandom(7);
	for (unsigned n = 0; n < 3000; n++) {
		size_t len = (size_t)random() % sizeof(in);
		for (size_t i = 0; i < len; i++)
			in[i] =
			    (char)(n % 3 == 0	? 1 + random() % 127
				   : n % 3 == 1 ? 0x80 + random() % 128
						: "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xff"[random() % 11]);
		struct json_text t = {.at = out, .size = sizeof(out)};
		json_put_string(&t, in, len);
		assert_false(t.cut);
		json_t *o = json_loadb(out, t.len, JSON_DECODE_ANY, NULL);
		assert_true(json_is_string(o));
		bool good = text_is_utf8(in, len);
		size_t clean_len = good ? len : text_sanitise(clean, in, len);
		assert_int_equal(json_string_length(o), clean_len);
		assert_memory_equal(json_string_value(o), good ? in : clean, clean_len);
		json_decref(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strings),
	    cmocka_unit_test(members),
	    cmocka_unit_test(what_does_not_fit),
	    cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
