/* SPDX-License-Identifier: MIT */
/* Names as IRC shows them: a channel is a room, and whatever a nick is, it ends where it ends. */
#include "common/nick.h"
#include "daemon/irc/names.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct irc_arg arg(const char *s)
{
	return (struct irc_arg){s, strlen(s)};
}

static void channels_are_rooms(void **state)
{
	char room[TEXT_ROOM_MAX + 1], name[TEXT_ROOM_MAX + 3], lower[TEXT_ROOM_MAX + 1];

	(void)state;
	assert_true(irc_is_channel(arg("#")));
	assert_false(irc_is_channel(arg("lobby")));
	assert_false(irc_is_channel(arg("&lobby")));
	assert_false(irc_is_channel(arg("")));
	assert_true(irc_room_name(arg("#Lobby-1.2_x"), room));
	assert_string_equal(room, "Lobby-1.2_x");
	irc_room_lower(room, lower);
	assert_string_equal(lower, "lobby-1.2_x");
	assert_true(irc_room_same(room, lower));
	assert_false(irc_room_same("a_", "a-"));
	assert_false(irc_room_name(arg("#"), room));
	assert_string_equal(room, "");
	assert_false(irc_room_name(arg("##"), room));
	assert_false(irc_room_name(arg("lobby"), room));
	assert_false(irc_room_name(arg("#lob by"), room));
	assert_false(irc_room_name(arg("#l\xc3\xb6"), room));
	memset(name, 'A', sizeof(name));
	name[0] = '#';
	assert_true(irc_room_name((struct irc_arg){name, IRC_CHANNEL_MAX}, room));
	irc_room_lower(room, lower);
	assert_int_equal(strlen(lower), TEXT_ROOM_MAX);
	assert_false(irc_room_name((struct irc_arg){name, IRC_CHANNEL_MAX + 1}, room));
}

/* What IRC would misunderstand it is told in another form, which is the same nick when it is typed. */
static void every_nick_can_be_shown(void **state)
{
	char shown[IRC_SHOWN_MAX + 1], typed[TEXT_NICK_MAX + 1], nick[TEXT_NICK_MAX + 1];
	unsigned foreign = 0;

	(void)state;
	for (int place = 0; place < 2; place++)
		for (int c = 0x21; c < 0x7f; c++) {
			snprintf(nick, sizeof(nick), "%s%c%s", place ? "a" : "", c, "b");
			if (!nick_valid(nick, strlen(nick)))
				continue;
			size_t n = irc_nick_show(nick, strlen(nick), shown);
			assert_int_equal(n, strlen(shown));
			assert_int_equal(irc_nick_possible(nick, strlen(nick)), strcmp(nick, shown) == 0);
			assert_false(strpbrk(shown, " ,*?!@") || strchr("#:$&~%+@", shown[0]));
			int m = nick_normalise(shown, n, typed);
			assert_int_equal(m, strlen(nick));
			assert_string_equal(typed, nick);
			foreign += strcmp(nick, shown) != 0;
		}
	/* , ? ! @ at both places, $ & ~ % + at the first one. */
	assert_int_equal(foreign, 4 * 2 + 5);
}

static void nicks(void **state)
{
	char shown[IRC_SHOWN_MAX + 1], nick[TEXT_NICK_MAX + 9];
	char strange[2 * IRC_SHOWN_MAX];

	(void)state;
	assert_true(irc_nick_possible("J\xc3\xbcrgen", 7));
	assert_true(irc_nick_possible("a+$b", 4));
	assert_false(irc_nick_possible("", 0));
	assert_false(irc_nick_possible("a\0b", 3));
	assert_int_equal(irc_nick_show("@a!b", 4, shown), 8);
	assert_string_equal(shown, "\xef\xbc\xa0"
				   "a\xef\xbc\x81"
				   "b");
	memset(nick, '!', sizeof(nick));
	assert_int_equal(irc_nick_show(nick, sizeof(nick), shown), IRC_SHOWN_MAX);
	assert_int_equal(strlen(shown), IRC_SHOWN_MAX);
	assert_false(irc_nick_possible(nick, TEXT_NICK_MAX));
	/* What is no nick, as another machine may have sent it, is cut where a character begins. */
	for (size_t i = 0; i < 4; i++) {
		memset(strange, 'x', sizeof(strange));
		for (size_t k = i; k + 2 <= sizeof(strange); k += 2)
			memcpy(strange + k, "\xc3\xa9", 2);
		assert_true(text_is_utf8(shown, irc_nick_show(strange, sizeof(strange), shown)));
	}
}

static void users(void **state)
{
	char user[5];

	(void)state;
	irc_user_of_nick("a-b_cdef", 8, user, sizeof(user));
	assert_string_equal(user, "abcd");
	irc_user_of_nick("\xc3\xbc", 2, user, sizeof(user));
	assert_string_equal(user, "x");
	irc_user_of_nick("\xc3\xbc"
			 "B4",
			 4, user, sizeof(user));
	assert_string_equal(user, "B4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(channels_are_rooms),
	    cmocka_unit_test(every_nick_can_be_shown),
	    cmocka_unit_test(nicks),
	    cmocka_unit_test(users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
