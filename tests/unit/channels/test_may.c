/* SPDX-License-Identifier: MIT */
/* Who may speak in a channel, come in, and decide there. */
#include "tests/unit/unit.h"

#include "daemon/channels/may.h"

#include <stdlib.h>
#include <string.h>

static const struct irc_channel_who eve = {
    .id = 5, .source = "eve!eve@chat", .account = "", .realname = "Eve", .is_member = true};

static struct irc_channel *channel(uint32_t modes)
{
	struct irc_channel *ch = calloc(1, sizeof(*ch));

	assert_non_null(ch);
	ch->modes = modes;
	return ch;
}

static void list(struct irc_channel *ch, char kind, const char *mask)
{
	struct irc_channel_mask *m = &ch->list[ch->n_list++];

	m->kind = kind;
	strcpy(m->mask, mask);
}

static void status(struct irc_channel *ch, uint8_t flags)
{
	ch->n_status = 1;
	ch->status[0].id = eve.id;
	ch->status[0].flags = flags;
}

static void test_speak(void **state)
{
	struct irc_channel_who outside = eve, known = eve;
	struct irc_channel *ch = channel(IRC_M_MODERATED);

	(void)state;
	outside.is_member = false;
	known.account = "eve";
	assert_int_equal(irc_channel_may_speak(NULL, &eve), IRC_WHY_MAY);
	assert_int_equal(irc_channel_may_speak(NULL, &outside), IRC_WHY_OUTSIDE);
	assert_int_equal(irc_channel_may_speak(ch, &eve), IRC_WHY_MODERATED);
	status(ch, IRC_STATUS_VOICE);
	list(ch, 'b', "*!*@chat");
	assert_int_equal(irc_channel_may_speak(ch, &eve), IRC_WHY_MAY);
	ch->n_status = 0;
	ch->modes = IRC_M_LOGGED_IN_SPEAK;
	assert_int_equal(irc_channel_may_speak(ch, &eve), IRC_WHY_LOGIN);
	assert_int_equal(irc_channel_may_speak(ch, &known), IRC_WHY_BANNED);
	list(ch, 'e', "a:eve");
	assert_int_equal(irc_channel_may_speak(ch, &known), IRC_WHY_MAY);
	ch->expelled[ch->n_expelled++] = eve.id;
	assert_int_equal(irc_channel_may_speak(ch, &known), IRC_WHY_REMOVED);
	free(ch);
}

static void test_muted_may_come(void **state)
{
	struct irc_channel *ch = channel(0);

	(void)state;
	list(ch, 'b', "m:eve!*@*");
	assert_int_equal(irc_channel_may_speak(ch, &eve), IRC_WHY_BANNED);
	assert_int_equal(irc_channel_may_enter(ch, &eve, "", 0, 1), IRC_WHY_MAY);
	free(ch);
}

static void test_enter(void **state)
{
	struct irc_channel_who oper = eve;
	struct irc_channel *ch = channel(IRC_M_INVITE);

	(void)state;
	oper.is_oper = true;
	assert_int_equal(irc_channel_may_enter(NULL, &eve, "", 0, 9), IRC_WHY_MAY);
	assert_int_equal(irc_channel_may_enter(ch, &eve, "", 0, 1), IRC_WHY_INVITE);
	list(ch, 'I', "eve!*@*");
	assert_int_equal(irc_channel_may_enter(ch, &eve, "", 0, 1), IRC_WHY_MAY);
	strcpy(ch->key, "sesame");
	assert_int_equal(irc_channel_may_enter(ch, &eve, "sesam", 5, 1), IRC_WHY_KEY);
	assert_int_equal(irc_channel_may_enter(ch, &eve, "sesame", 6, 1), IRC_WHY_MAY);
	ch->limit = 2;
	assert_int_equal(irc_channel_may_enter(ch, &eve, "sesame", 6, 2), IRC_WHY_MAY);
	assert_int_equal(irc_channel_may_enter(ch, &eve, "sesame", 6, 3), IRC_WHY_FULL);
	ch->modes = IRC_M_LOGGED_IN;
	assert_int_equal(irc_channel_may_enter(ch, &eve, "sesame", 6, 2), IRC_WHY_LOGIN);
	list(ch, 'b', "eve!*@*");
	assert_int_equal(irc_channel_may_enter(ch, &eve, "sesame", 6, 2), IRC_WHY_BANNED);
	assert_int_equal(irc_channel_may_enter(ch, &oper, "", 0, 9), IRC_WHY_MAY);
	ch->invited[ch->n_invited++] = eve.id;
	assert_int_equal(irc_channel_may_enter(ch, &eve, "", 0, 9), IRC_WHY_MAY);
	free(ch);
}

static void test_decide(void **state)
{
	struct irc_channel *ch = channel(IRC_M_DEFAULT);

	(void)state;
	assert_false(irc_channel_may_set_topic(NULL, &eve));
	assert_false(irc_channel_may_set_topic(ch, &eve));
	ch->modes = 0;
	assert_true(irc_channel_may_set_topic(ch, &eve));
	ch->modes = IRC_M_MODERATED; /* or it would be a way to speak */
	assert_false(irc_channel_may_set_topic(ch, &eve));
	status(ch, IRC_STATUS_VOICE);
	assert_true(irc_channel_may_set_topic(ch, &eve));
	assert_false(irc_channel_may_decide(ch, &eve));
	status(ch, IRC_STATUS_OP);
	assert_true(irc_channel_may_decide(ch, &eve));
	ch->modes = IRC_M_TOPIC;
	assert_true(irc_channel_may_set_topic(ch, &eve));
	free(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_speak),
	    cmocka_unit_test(test_muted_may_come),
	    cmocka_unit_test(test_enter),
	    cmocka_unit_test(test_decide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
