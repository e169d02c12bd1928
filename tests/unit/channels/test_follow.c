/* SPDX-License-Identifier: MIT */
/* What is decided in shared rooms: through the wire, from the event to the record. */
#include "tests/unit/irc/kept.h"

#include "daemon/channels/decide.h"
#include "daemon/channels/follow.h"
#include "daemon/channels/may.h"
#include "daemon/cluster/wire.h"

static struct room *den(struct kept *k)
{
	struct room *room;

	assert_int_equal(rooms_enter(k->rooms.rooms, "den", 0, &anybody, &room), 0);
	return room;
}

/* As another node gets it; what it says becomes true. Returns whether the room could be told. */
static bool comes(struct kept *k, struct room *room, enum record_kind kind, const char *nick,
		  const char *text)
{
	static unsigned char buf[WIRE_SIZE_MIN];
	const struct speech_event said = {.kind = kind,
					  .time_us = 42000000,
					  .sender = 7,
					  .nick = nick,
					  .nick_len = (uint8_t)strlen(nick),
					  .text = text,
					  .text_len = strlen(text)};
	struct speech s = {0};
	struct wire_writer w;
	struct wire_batch b;
	struct speech_event e;
	struct slot_set kick = {0};

	wire_begin(&w, buf, sizeof(buf), "a", 1, 1);
	assert_true(wire_add(&w, &said));
	assert_int_equal(wire_open(buf, wire_end(&w), &b), 0);
	if (wire_next(&b, &e) != WIRE_EVENT || speech_replay(&s, room, &e) < 0)
		return false;
	irc_follow(k->irc->channels, room, &e);
	irc_follow_seal(k->irc->channels, room);
	assert_int_equal(speech_commit(&s, k->rooms.rooms, &kick), 1);
	return true;
}

static const struct irc_channel *record(struct kept *k, const struct room *room)
{
	logring_lock(room->log);
	const struct irc_channel *now = irc_channels_get(k->irc->channels, room);
	logring_unlock(room->log);
	return now;
}

static void test_topic(void **state)
{
	struct kept *k = *state;
	struct room *room = den(k);
	char long_one[IRC_TOPIC_MAX + 2] = "", name[TEXT_NICK_MAX + 10] = "";

	assert_true(comes(k, room, RECORD_MESSAGE, "ann", "no topic"));
	assert_null(record(k, room));
	assert_true(comes(k, room, RECORD_TOPIC, "ann", "the weather"));
	assert_string_equal(record(k, room)->topic, "the weather");
	assert_string_equal(record(k, room)->topic_by, "ann");
	assert_int_equal(record(k, room)->topic_us, 42000000);
	/* None can be that long, whoever says so; and nothing that can't be shown gets this far. */
	memset(long_one, 'x', IRC_TOPIC_MAX + 1);
	assert_true(comes(k, room, RECORD_TOPIC, "ann", long_one));
	assert_false(comes(k, room, RECORD_TOPIC, "ann", "a\nb"));
	assert_false(comes(k, room, RECORD_TOPIC, "", "nobody's"));
	assert_string_equal(record(k, room)->topic, "the weather");
	long_one[IRC_TOPIC_MAX] = '\0';
	memset(name, 'n', TEXT_NICK_MAX + 9);
	assert_true(comes(k, room, RECORD_TOPIC, name, long_one));
	assert_string_equal(record(k, room)->topic, long_one);
	assert_int_equal(strlen(record(k, room)->topic_by), TEXT_NICK_MAX);
	assert_true(comes(k, room, RECORD_TOPIC, "bob", ""));
	assert_string_equal(record(k, room)->topic, "");
}

static const char *modes(struct kept *k, const struct room *room)
{
	static char text[IRC_DECIDE_MODES_MAX];

	irc_decide_modes(record(k, room), true, text);
	return text;
}

static void test_modes(void **state)
{
	struct kept *k = *state;
	struct room *room = den(k);

	assert_true(comes(k, room, RECORD_MODE, "ann", "+mb-t+klb eve!*@* sesame 7 a:bob"));
	assert_string_equal(modes(k, room), "+mnkl sesame 7");
	const struct irc_channel *now = record(k, room);
	assert_int_equal(now->n_list, 2);
	assert_string_equal(now->list[0].mask, "eve!*@*");
	assert_string_equal(now->list[0].by, "ann");
	assert_int_equal(now->list[0].us, 42000000);
	assert_string_equal(now->list[1].mask, "a:bob");
	/* What is so already is no change, also of somebody who decided before that came. */
	assert_true(comes(k, room, RECORD_MODE, "bob", "+mbI EVE!*@* kay!*@*"));
	assert_int_equal(record(k, room)->n_list, 3);
	assert_string_equal(record(k, room)->list[0].by, "ann");
	assert_true(comes(k, room, RECORD_MODE, "bob", "-kl-bb * eve!*@* nobody!*@*"));
	assert_string_equal(modes(k, room), "+mn");
	assert_int_equal(record(k, room)->n_list, 2);
}

static void test_accounts(void **state)
{
	struct kept *k = *state;
	struct room *room = den(k);
	char many[64];

	assert_true(comes(k, room, RECORD_MODE, "ann", "+ovv-v bob bob eve eve"));
	const struct irc_channel *now = record(k, room);
	assert_int_equal(now->n_status, 1);
	/* Whichever client it is; and who has no account is nobody. */
	assert_int_equal(irc_channel_status_of(now, 7, "Bob"), IRC_STATUS_OP | IRC_STATUS_VOICE);
	assert_int_equal(irc_channel_status_of(now, 0, "bob"), IRC_STATUS_OP | IRC_STATUS_VOICE);
	assert_int_equal(irc_channel_status_of(now, 0, ""), 0);
	assert_int_equal(irc_channel_status_of(now, 0, "eve"), 0);
	assert_true(comes(k, room, RECORD_MODE, "ann", "-vo BOB bob"));
	assert_int_equal(record(k, room)->n_status, 0);
	/* Nobody can be called that, and the others would have no space. */
	assert_true(comes(k, room, RECORD_MODE, "ann", "+oo a:b bob"));
	for (unsigned i = 0; i < IRC_STATUS_MAX; i++) {
		snprintf(many, sizeof(many), "+v eve%u", i);
		assert_true(comes(k, room, RECORD_MODE, "ann", many));
	}
	assert_int_equal(record(k, room)->n_status, IRC_STATUS_MAX);
	assert_int_equal(irc_channel_status_of(record(k, room), 0, "bob"), IRC_STATUS_OP);
	assert_int_equal(irc_channel_status_of(record(k, room), 0, "eve255"), 0);
}

/* From somebody who can write into the stream. */
static void test_no_modes(void **state)
{
	static const char *const wrong[] = {"+b",
					    "+k",
					    "+l",
					    "+l 0",
					    "+l x",
					    "+k a,b",
					    "+b  ",
					    "-k",
					    "x +t",
					    "+b  x",
					    "+k 123456789012345678901234",
					    "+ m",
					    "+xm",
					    "-bm a"};
	struct kept *k = *state;
	struct room *room = den(k);
	char text[160] = "+bm ", many[64];

	assert_true(comes(k, room, RECORD_MODE, "ann", "+l 7"));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		(void)!comes(k, room, RECORD_MODE, "ann", wrong[i]);
	memset(text + 4, 'x', IRC_MASK_MAX + 1);
	assert_true(comes(k, room, RECORD_MODE, "ann", text));
	assert_int_equal(record(k, room)->n_list, 0);
	for (unsigned i = 0; i <= IRC_LIST_MAX; i++) {
		snprintf(many, sizeof(many), "+b eve%u!*@*", i);
		assert_true(comes(k, room, RECORD_MODE, "ann", many));
	}
	assert_int_equal(record(k, room)->n_list, IRC_DECIDE_LIST_MAX);
	assert_string_equal(modes(k, room), "+ntl 7");
	/* As many as fit into a line. */
	memset(text, 'i', sizeof(text) - 1);
	assert_true(comes(k, room, RECORD_MODE, "ann", text));
}

static void test_nobody_speaks_irc(void **state)
{
	struct kept *k = *state;
	const struct speech_event e = {
	    .kind = RECORD_TOPIC, .nick = "ann", .nick_len = 3, .text = "x", .text_len = 1};

	irc_follow(NULL, den(k), &e);
	irc_follow_seal(NULL, den(k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_topic, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_modes, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_accounts, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_no_modes, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(test_nobody_speaks_irc, kept_setup, kept_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
