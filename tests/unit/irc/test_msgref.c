/* SPDX-License-Identifier: MIT */
/* What clients name places in the past by. */
#include "daemon/irc/msgref.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static int parse(const char *s, struct irc_ref *ret)
{
	return irc_ref_parse((struct irc_arg){s, strlen(s)}, ret);
}

static void messages(void **state)
{
	struct irc_ref ref;

	(void)state;
	assert_int_equal(parse("msgid=0123456789abcdef-42", &ref), 0);
	assert_int_equal(ref.kind, IRC_REF_ID);
	assert_true(ref.epoch == 0x0123456789abcdefULL && ref.number == 42);
	static const char *const wrong[] = {"msgid=",
					    "msgid=0123456789abcdef-",
					    "msgid=0123456789abcdef42",
					    "msgid=0123456789ABCDEF-42",
					    "msgid=0123456789abcdef-4x",
					    "msgid=0123456789abcdef-12345678901234567890",
					    "",
					    "msgid"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(parse(wrong[i], &ref), -EINVAL);
	assert_int_equal(parse("account=1", &ref), -ENOTSUP);
	assert_int_equal(parse("*", &ref), 0);
	assert_int_equal(ref.kind, IRC_REF_NONE);
}

static void times(void **state)
{
	struct irc_ref ref;
	char text[IRC_TIME_MAX];

	(void)state;
	assert_int_equal(parse("timestamp=2019-01-04T14:33:26.123Z", &ref), 0);
	assert_int_equal(ref.kind, IRC_REF_TIME);
	assert_true(ref.time_us == 1546612406123000ULL);
	assert_string_equal(irc_time_format(ref.time_us + 999, text), "2019-01-04T14:33:26.123Z");
	assert_int_equal(parse("timestamp=2019-01-04T14:33:26Z", &ref), 0);
	assert_true(ref.time_us == 1546612406000000ULL);
	assert_int_equal(parse("timestamp=2019-01-04T14:33:26.1234567Z", &ref), 0);
	assert_true(ref.time_us == 1546612406123456ULL);
	assert_int_equal(parse("timestamp=9999-12-31T23:59:59.999Z", &ref), 0);
	assert_string_equal(irc_time_format(ref.time_us, text), "9999-12-31T23:59:59.999Z");
	assert_string_equal(irc_time_format(UINT64_MAX, text) ? "some" : "", "some");
	static const char *const wrong[] = {"2019-01-04T14:33:26.123",
					    "2019-01-04 14:33:26.123Z",
					    "2019-01-04T14:33:26.Z",
					    "2019-1-04T14:33:26.123Z",
					    "1969-01-04T14:33:26.123Z",
					    "2019-13-04T14:33:26.123Z",
					    "2019-01-00T14:33:26.123Z",
					    "2019-01-04T24:33:26.123Z",
					    "2019-01-04T14:33:26.123Zx",
					    "*",
					    "",
					    "not-a-timestamp"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(irc_time_parse(wrong[i], strlen(wrong[i]), &ref.time_us), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages),
	    cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
