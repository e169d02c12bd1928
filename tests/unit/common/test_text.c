/* SPDX-License-Identifier: MIT */
/* Lines are made safe for terminals; names of rooms, escapes and sizes. */
#include "tests/unit/unit.h"

#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BAD "\xef\xbf\xbd"

static void check_sanitised(const char *in, size_t len, const char *expected)
{
	char out[256];
	size_t n = text_sanitise(out, in, len);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(out, expected, n);
	assert_int_equal(text_is_clean(in, len), n == len && memcmp(in, out, n) == 0);
}

static void sanitises(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"a longer line of plain text, with a tab\there",
	     "a longer line of plain text, with a tab\there"},
	    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	    {"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
	    {"\033[1m", BAD "[1m"},
	    {"a\x7f"
	     "b",
	     "a" BAD "b"},
	    {"12345678\x01", "12345678" BAD},
	    {"1234\x1f"
	     "678",
	     "1234" BAD "678"},
	    {"\xc2\x85", BAD}, /* C1 */
	    {"\xc2\x9b"
	     "31m",
	     BAD "31m"},	      /* the eight-bit CSI */
	    {"\xc2\xa0", "\xc2\xa0"}, /* no-break space */
	    {"\xff", BAD},
	    {"\x80", BAD},
	    {"\xc3", BAD},		   /* cut */
	    {"\xc0\xaf", BAD BAD},	   /* overlong */
	    {"\xe0\x80\xaf", BAD BAD BAD}, /* overlong */
	    {"\xe2\x82", BAD},		   /* cut: one maximal subpart */
	    {"\xe2\x82"
	     "A",
	     BAD "A"},
	    {"\xed\xa0\x80", BAD BAD BAD},	   /* surrogate */
	    {"\xf4\x90\x80\x80", BAD BAD BAD BAD}, /* above U+10FFFF */
	    {"\xf0\x9f\x98", BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		check_sanitised(cases[i].in, strlen(cases[i].in), cases[i].out);
	check_sanitised("a\0b", 3, "a" BAD "b");
}

/* The fast path for ASCII must agree with the plain one at every offset. */
static void every_byte_at_every_offset(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++)
		for (unsigned at = 0; at < 20; at++) {
			char line[20];
			memset(line, 'x', sizeof(line));
			line[at] = (char)byte;
			bool clean = byte == '\t' || (byte >= 0x20 && byte < 0x7f);
			assert_int_equal(text_is_clean(line, sizeof(line)), clean);
		}
}

static void rooms(void **state)
{
	char name[66];

	(void)state;
	memset(name, 'r', sizeof(name));
	assert_true(text_room_valid("lobby", 5));
	assert_true(text_room_valid("a_B.9-", 6));
	assert_true(text_room_valid(name, 64));
	assert_false(text_room_valid(name, 65));
	assert_false(text_room_valid("", 0));
	assert_false(text_room_valid("a b", 3));
	assert_false(text_room_valid("a/b", 3));
	assert_false(text_room_valid("\xc3\xbc", 2));
}

static void escapes(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(text_escape(out, sizeof(out), "a\033[1m\n\\", 7), "a\\x1b[1m\\x0a\\x5c");
	assert_string_equal(text_escape(out, sizeof(out), "\xc3\xbc\xff", 3), "\xc3\xbc\\xff");
	assert_string_equal(text_escape(out, 5, "abcdefgh", 8), "abcd");
	assert_string_equal(text_escape(out, 5, "ab\033", 3), "ab");
	assert_string_equal(text_escape(out, 4, "ab\xe2\x82\xac", 5), "ab");
}

static void sizes(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(text_parse_size("4096", &v), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(text_parse_size("64K", &v), 0);
	assert_int_equal(v, 65536);
	assert_int_equal(text_parse_size("4M", &v), 0);
	assert_int_equal(v, 4 << 20);
	assert_int_equal(text_parse_size("1g", &v), 0);
	assert_int_equal(v, 1 << 30);
	assert_int_equal(text_parse_size("", &v), -EINVAL);
	assert_int_equal(text_parse_size("-1", &v), -EINVAL);
	assert_int_equal(text_parse_size("4MB", &v), -EINVAL);
	assert_int_equal(text_parse_size("99999999999999999999", &v), -ERANGE);
	assert_int_equal(text_parse_size("99999999999G", &v), -ERANGE);
}

/* The cases of the Autobahn suite (6) that a terminal would not mind, and some that it would. */
static void knows_utf8(void **state)
{
	static const struct {
		const char *in;
		bool good;
	} cases[] = {
	    {"", true},
	    {"a line\nand \033[1m more\x7f", true},
	    {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", true},
	    {"\xf4\x8f\xbf\xbf \xef\xbf\xbf \xe2\x80\xae", true},
	    {"\xf0\x90\x80\x80", true},
	    {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
	     "edited",
	     false},
	    {"\xf4\x90\x80\x80", false},     /* above U+10FFFF */
	    {"\xf8\x88\x80\x80\x80", false}, /* five bytes */
	    {"\xc0\xaf", false},	     /* overlong */
	    {"\xe0\x80\xaf", false},
	    {"\xf0\x80\x80\xaf", false},
	    {"\xce", false}, /* cut */
	    {"\xf0\x9f\x98", false},
	    {"\x80", false},
	    {"eight ch\xff", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(text_is_utf8(cases[i].in, strlen(cases[i].in)), cases[i].good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sanitises),
	    cmocka_unit_test(knows_utf8),
	    cmocka_unit_test(every_byte_at_every_offset),
	    cmocka_unit_test(rooms),
	    cmocka_unit_test(escapes),
	    cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
