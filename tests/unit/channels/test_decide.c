/* SPDX-License-Identifier: MIT */
/* What is decided in a channel, one thing at a time: the record, and what is told of it. */
#include "tests/unit/irc/kept.h"

#include "daemon/channels/decide.h"
#include "daemon/rooms/speech.h"

#include <sys/stat.h>

static const struct speaker ann = {.id = 1, .nick = "ann", .nick_len = 3};

struct deciding {
	struct kept *k;
	struct room *room;
	struct irc_deciding d;
	char told[IRC_TOLD_MAX];
};

static struct deciding begin(void **state)
{
	struct deciding t = {.k = *state};

	assert_int_equal(rooms_enter(t.k->rooms.rooms, "den", 0, &anybody, &t.room), 0);
	t.d = (struct irc_deciding){.channels = t.k->irc->channels, .room = t.room, .by = &ann};
	logring_lock(t.room->log);
	return t;
}

static const struct irc_channel *now(const struct deciding *t)
{
	return irc_channels_now(t->d.channels, t->room);
}

static const char *told(struct deciding *t)
{
	irc_told_text(&t->d.told, t->told);
	return t->told;
}

static void end(struct deciding *t)
{
	irc_channels_forget(t->d.channels, t->room);
	logring_unlock(t->room->log);
}

static void test_flags(void **state)
{
	struct deciding t = begin(state);

	assert_null(now(&t));
	assert_int_equal(irc_decide_flag(&t.d, '+', 'n'), IRC_DECIDED_SAME);
	assert_int_equal(irc_decide_flag(&t.d, '+', 'x'), IRC_DECIDED_UNKNOWN);
	assert_null(now(&t)); /* nothing has begun */
	assert_int_equal(irc_decide_flag(&t.d, '+', 'm'), IRC_DECIDED);
	assert_int_equal(irc_decide_flag(&t.d, '+', 'm'), IRC_DECIDED_SAME);
	assert_int_equal(irc_decide_flag(&t.d, '-', 't'), IRC_DECIDED);
	assert_int_equal(now(&t)->modes, IRC_M_NO_EXTERNAL | IRC_M_MODERATED);
	assert_string_equal(told(&t), "+m-t");
	end(&t);
	assert_null(now(&t));
}

static void test_values(void **state)
{
	struct deciding t = begin(state);
	char modes[IRC_DECIDE_MODES_MAX];

	assert_int_equal(irc_decide_key(&t.d, '-', ""), IRC_DECIDED_SAME);
	assert_int_equal(irc_decide_key(&t.d, '+', ""), IRC_DECIDED_INVALID);
	assert_int_equal(irc_decide_key(&t.d, '+', "two words"), IRC_DECIDED_INVALID);
	assert_int_equal(irc_decide_key(&t.d, '+', "123456789012345678901234"), IRC_DECIDED_INVALID);
	assert_int_equal(irc_decide_key(&t.d, '+', "\033[2J"), IRC_DECIDED_INVALID);
	assert_int_equal(irc_decide_key(&t.d, '+', "12345678901234567890123"), IRC_DECIDED);
	assert_int_equal(irc_decide_key(&t.d, '+', "sesame"), IRC_DECIDED);
	assert_int_equal(irc_decide_limit(&t.d, '+', "0"), IRC_DECIDED_INVALID);
	assert_int_equal(irc_decide_limit(&t.d, '+', "1000001"), IRC_DECIDED_INVALID);
	assert_int_equal(irc_decide_limit(&t.d, '+', "7"), IRC_DECIDED);
	irc_decide_modes(now(&t), true, modes);
	assert_string_equal(modes, "+ntkl sesame 7");
	irc_decide_modes(now(&t), false, modes);
	assert_string_equal(modes, "+ntkl * 7");
	assert_int_equal(irc_decide_key(&t.d, '-', ""), IRC_DECIDED);
	assert_int_equal(irc_decide_limit(&t.d, '-', ""), IRC_DECIDED);
	assert_string_equal(told(&t), "+kkl-kl 12345678901234567890123 sesame 7 *");
	irc_decide_modes(now(&t), true, modes);
	assert_string_equal(modes, "+nt");
	end(&t);
}

static void test_masks(void **state)
{
	struct deciding t = begin(state);
	char mask[32];

	assert_int_equal(irc_decide_mask(&t.d, '-', 'b', "eve!*@*"), IRC_DECIDED_SAME);
	for (unsigned i = 0; i < IRC_DECIDE_LIST_MAX; i++) {
		snprintf(mask, sizeof(mask), "eve%u!*@*", i);
		assert_int_equal(irc_decide_mask(&t.d, '+', "beI"[i % 3], mask), IRC_DECIDED);
	}
	assert_int_equal(irc_decide_mask(&t.d, '+', 'b', "EVE0!*@*"), IRC_DECIDED_SAME);
	assert_int_equal(irc_decide_mask(&t.d, '+', 'e', "eve0!*@*"), IRC_DECIDED_FULL);
	assert_int_equal(irc_decide_mask(&t.d, '-', 'b', "eve0!*@*"), IRC_DECIDED);
	assert_string_equal(now(&t)->list[0].mask, "eve1!*@*");
	assert_string_equal(now(&t)->list[0].by, "ann");
	assert_int_equal(now(&t)->n_list, IRC_DECIDE_LIST_MAX - 1);
	/* Whoever lists them at a terminal sees no control characters; who typed them can take them away. */
	assert_int_equal(irc_decide_mask(&t.d, '+', 'b', "\033[2J!*@*"), IRC_DECIDED);
	assert_string_equal(now(&t)->list[now(&t)->n_list - 1].mask, "\xef\xbf\xbd[2J!*@*");
	assert_int_equal(irc_decide_mask(&t.d, '+', 'b', "\033[2J!*@*"), IRC_DECIDED_SAME);
	assert_int_equal(irc_decide_mask(&t.d, '-', 'b', "\033[2J!*@*"), IRC_DECIDED);
	end(&t);
}

/* What is told in one piece is a line of IRC, whose letters have all their arguments. */
static void test_told(void **state)
{
	struct deciding t = begin(state);
	char mask[IRC_MASK_MAX + 1], sign = '+';
	unsigned n = 0;

	memset(mask, 'x', sizeof(mask));
	mask[IRC_MASK_MAX] = '\0';
	for (; !irc_told_is_full(&t.d.told); n++) {
		mask[0] = (char)('a' + n);
		irc_told_add(&t.d.told, sign, 'b', mask);
	}
	assert_int_equal(n, 3);
	assert_int_equal(strlen(told(&t)), strlen("+bbb") + 3 * (1 + IRC_MASK_MAX));
	t.d.told = (struct irc_told){.n_letters = 0};
	for (n = 0; !irc_told_is_full(&t.d.told); n++, sign = sign == '+' ? '-' : '+')
		irc_told_add(&t.d.told, sign, 'm', NULL);
	assert_int_equal(strlen(told(&t)), 2 * n);
	end(&t);
}

static void test_people(void **state)
{
	struct deciding t = begin(state);
	const struct roster_member bob = {.id = 7, .nick = "bob", .len = 3},
				   odd = {.id = 8, .nick = "a,b", .len = 3};

	assert_int_equal(irc_decide_status(&t.d, '-', 'o', &bob, NULL), IRC_DECIDED_SAME);
	assert_int_equal(irc_decide_status(&t.d, '+', 'o', &bob, NULL), IRC_DECIDED);
	assert_int_equal(irc_decide_status(&t.d, '+', 'v', &bob, NULL), IRC_DECIDED);
	assert_string_equal(told(&t), "+ov bob bob");
	/* As IRC has that nick. */
	assert_int_equal(irc_decide_status(&t.d, '+', 'v', &odd, NULL), IRC_DECIDED);
	assert_string_equal(told(&t), "+ovv bob bob a\xef\xbc\x8c"
				      "b");
	irc_decide_flags_of(t.d.channels, t.room, 8, 0, IRC_STATUS_VOICE);
	assert_int_equal(irc_decide_removal(&t.d, NULL, &bob, NULL), IRC_DECIDED);
	assert_int_equal(now(&t)->n_status, 0);
	assert_true(irc_channel_lists(now(&t)->expelled, now(&t)->n_expelled, 7));
	assert_int_equal(irc_decide_removal(&t.d, NULL, &bob, NULL), IRC_DECIDED_SAME);
	end(&t);
}

/* As long as somebody is in the room it is known that it has to leave. */
static void test_many_removals(void **state)
{
	struct deciding t = begin(state);
	const struct roster_member bob = {.id = 7};
	struct roster_entry *entries[IRC_INVITED_MAX];
	struct roster *roster;
	char nick[TEXT_NICK_MAX + 1];

	assert_int_equal(roster_new(IRC_INVITED_MAX, &roster), 0);
	for (unsigned i = 0; i < IRC_INVITED_MAX; i++) {
		const struct roster_person who = {.id = 100 + i, .index = i};
		const struct roster_member eve = {.id = who.id};
		int len = snprintf(nick, sizeof(nick), "eve%u", i);
		assert_int_equal(roster_claim(roster, nick, (size_t)len, &who, &entries[i]), 0);
		assert_int_equal(roster_enter(roster, entries[i], t.room->index), 0);
		assert_int_equal(irc_decide_removal(&t.d, roster, &eve, NULL), IRC_DECIDED);
	}
	assert_int_equal(irc_decide_removal(&t.d, roster, &bob, NULL), IRC_DECIDED_FULL);
	assert_int_equal(now(&t)->n_expelled, IRC_INVITED_MAX);
	roster_leave(roster, entries[5], t.room->index);
	assert_int_equal(irc_decide_removal(&t.d, roster, &bob, NULL), IRC_DECIDED);
	assert_int_equal(now(&t)->n_expelled, IRC_INVITED_MAX);
	assert_false(irc_channel_lists(now(&t)->expelled, now(&t)->n_expelled, 105));
	assert_true(irc_channel_lists(now(&t)->expelled, now(&t)->n_expelled, 100));
	assert_true(irc_channel_lists(now(&t)->expelled, now(&t)->n_expelled, 7));
	end(&t);
	for (unsigned i = 0; i < IRC_INVITED_MAX; i++)
		roster_release(roster, entries[i]);
	roster_free(roster);
}

static void test_topic(void **state)
{
	struct deciding t = begin(state);
	char text[IRC_TOPIC_MAX + 1], longest[IRC_TOPIC_MAX + 8];

	/* Each cut where a character begins. */
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + IRC_TOPIC_MAX - 1, "\xc3\xa9", 2);
	irc_decide_text(longest, sizeof(longest), text, sizeof(text));
	assert_int_equal(strlen(text), IRC_TOPIC_MAX - 1);
	irc_decide_text("a\x01"
			"b",
			3, text, sizeof(text));
	assert_string_equal(text, "a\xef\xbf\xbd"
				  "b");
	irc_decide_topic(&t.d, text);
	assert_string_equal(now(&t)->topic, text);
	assert_string_equal(now(&t)->topic_by, "ann");
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_flags, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_values, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_masks, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_told, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_people, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_many_removals, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_topic, kept_setup, kept_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
