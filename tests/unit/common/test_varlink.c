/* SPDX-License-Identifier: MIT */
/* Messages of the control protocol, in whatever pieces they come. */
#include "tests/unit/unit.h"

#include "common/varlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void takes_whole_messages(void **state)
{
	static const char bytes[] = "{\"method\":\"a\"}\0{\"method\":\"b\"}";
	struct varlink_input in = {.max = 100};
	json_t *m;

	(void)state;
	/* One byte at a time: a message is there with its NUL, not before. */
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(varlink_feed(&in, bytes + i, 1), 0);
		int r = varlink_next(&in, &m);
		assert_int_equal(r, bytes[i] == '\0');
		if (r == 1) {
			assert_string_equal(json_string_value(json_object_get(m, "method")),
					    i < 15 ? "a" : "b");
			json_decref(m);
		}
	}
	varlink_input_clear(&in);
}

static void takes_many_at_once(void **state)
{
	struct varlink_input in = {.max = 100};
	json_t *m;

	(void)state;
	assert_int_equal(varlink_feed(&in, "{}\0{}\0{", 7), 0);
	assert_int_equal(varlink_next(&in, &m), 1);
	json_decref(m);
	assert_int_equal(varlink_next(&in, &m), 1);
	json_decref(m);
	assert_int_equal(varlink_next(&in, &m), 0);
	assert_int_equal(varlink_feed(&in, "}\0", 2), 0);
	assert_int_equal(varlink_next(&in, &m), 1);
	json_decref(m);
	varlink_input_clear(&in);
}

static int first(const char *bytes, size_t len, size_t max)
{
	struct varlink_input in = {.max = max};
	json_t *m = NULL;

	assert_int_equal(varlink_feed(&in, bytes, len), 0);
	int r = varlink_next(&in, &m);
	json_decref(m);
	varlink_input_clear(&in);
	return r;
}

static void refuses_garbage(void **state)
{
	(void)state;
	assert_int_equal(first("", 0, 10), 0);
	assert_int_equal(first("\0", 1, 10), -EBADMSG);
	assert_int_equal(first("nonsense\0", 9, 10), -EBADMSG);
	assert_int_equal(first("[]\0", 3, 10), -EBADMSG);
	assert_int_equal(first("{}x\0", 4, 10), -EBADMSG);
	assert_int_equal(first("{\"a\":1,\"a\":2}\0", 14, 20), -EBADMSG);
	assert_int_equal(first("{\"a\":\"\xff\"}\0", 10, 20), -EBADMSG);
	assert_int_equal(first("01234567890", 11, 10), -EMSGSIZE);
	assert_int_equal(first("{\"abcdefgh\":1}\0", 15, 10), -EMSGSIZE);
}

static void frames(void **state)
{
	json_t *m = json_pack("{s:s}", "a", "x\n");
	size_t len;
	char *frame = varlink_frame(m, &len);

	(void)state;
	assert_int_equal(len, strlen("{\"a\":\"x\\n\"}") + 1);
	assert_string_equal(frame, "{\"a\":\"x\\n\"}");
	free(frame);
	json_decref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_whole_messages),
	    cmocka_unit_test(takes_many_at_once),
	    cmocka_unit_test(refuses_garbage),
	    cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests_name("varlink", tests, NULL, NULL);
}
