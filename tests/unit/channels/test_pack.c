/* SPDX-License-Identifier: MIT */
/* A channel's record as bytes: what comes back is what it was, and nothing comes back of what is damaged. */
#include "tests/unit/unit.h"

#include "daemon/channels/pack.h"

#include <errno.h>
#include <stdlib.h>

static struct irc_channel was, is;
static uint8_t packed[IRC_CHANNEL_PACKED_MAX], again[IRC_CHANNEL_PACKED_MAX];

static void add_person(uint64_t id, uint8_t flags, const char *account)
{
	struct irc_channel_person *p = &was.status[was.n_status++];

	*p = (struct irc_channel_person){.id = id, .flags = flags};
	strcpy(p->account, account);
}

static void add_mask(char kind, const char *mask, const char *by)
{
	struct irc_channel_mask *m = &was.list[was.n_list++];

	*m = (struct irc_channel_mask){.us = 7, .kind = kind};
	strcpy(m->mask, mask);
	strcpy(m->by, by);
}

/* Each test begins with it. */
static int make(void **state)
{
	(void)state;
	was = (struct irc_channel){.created_us = 1, .topic_us = 2, .modes = IRC_M_DEFAULT | IRC_M_MODERATED};
	was.limit = 99;
	strcpy(was.key, "sesame");
	strcpy(was.topic, "a topic, \xc3\xa9");
	strcpy(was.topic_by, "ann");
	memcpy(was.metadata, "url=x\0+color", 13);
	was.metadata_len = 13;
	was.n_invited = was.n_expelled = 1;
	was.invited[0] = was.expelled[0] = 4;
	add_person(7, IRC_STATUS_OP, "ann");
	add_person(8, IRC_STATUS_OP, ""); /* whom nobody knows later */
	add_person(9, IRC_STATUS_VOICE, "bob");
	add_mask('b', "eve!*@*", "ann");
	add_mask('I', "a:\x02odd", "");
	return 0;
}

static void test_round(void **state)
{
	size_t len = irc_channel_pack(&was, packed);

	(void)state;
	memset(&is, 0xff, sizeof(is));
	assert_int_equal(len % 8, 0);
	assert_int_equal(irc_channel_unpack(packed, len, &is), 0);
	assert_int_equal(is.created_us, 1);
	assert_int_equal(is.topic_us, 2);
	assert_int_equal(is.modes, was.modes);
	assert_int_equal(is.limit, 99);
	assert_string_equal(is.key, "sesame");
	assert_string_equal(is.topic, was.topic);
	assert_string_equal(is.topic_by, "ann");
	assert_int_equal(is.metadata_len, 13);
	assert_memory_equal(is.metadata, was.metadata, 13);
	assert_int_equal(is.n_invited + is.n_expelled, 0);
	assert_int_equal(is.n_status, 2);
	assert_int_equal(is.status[0].id + is.status[1].id, 0);
	assert_string_equal(is.status[0].account, "ann");
	assert_int_equal(is.status[0].flags, IRC_STATUS_OP);
	assert_string_equal(is.status[1].account, "bob");
	assert_int_equal(is.status[1].flags, IRC_STATUS_VOICE);
	assert_int_equal(is.n_list, 2);
	assert_memory_equal(is.list, was.list, 2 * sizeof(*is.list));
	assert_int_equal(irc_channel_pack(&is, again), len);
	assert_memory_equal(packed, again, len);
}

static void test_largest(void **state)
{
	char name[TEXT_NICK_MAX + 1], mask[IRC_MASK_MAX + 1];

	(void)state;
	memset(name, 'n', TEXT_NICK_MAX);
	memset(mask, 'm', IRC_MASK_MAX);
	name[TEXT_NICK_MAX] = mask[IRC_MASK_MAX] = '\0';
	memset(was.topic, 't', IRC_TOPIC_MAX);
	memset(was.key, 'k', IRC_KEY_MAX);
	strcpy(was.topic_by, name);
	was.metadata_len = IRC_CHANNEL_METADATA_MAX;
	while (was.n_status < IRC_STATUS_MAX)
		add_person(1, IRC_STATUS_OP, name);
	while (was.n_list < IRC_LIST_MAX)
		add_mask('e', mask, name);
	size_t len = irc_channel_pack(&was, packed);
	assert_int_equal(irc_channel_unpack(packed, len, &is), 0);
	assert_int_equal(is.n_status, IRC_STATUS_MAX - 1);
	assert_int_equal(is.n_list, IRC_LIST_MAX);
	assert_string_equal(is.list[IRC_LIST_MAX - 1].mask, mask);
}

static void test_damaged(void **state)
{
	size_t len = irc_channel_pack(&was, packed);

	(void)state;
	for (size_t i = 0; i < len; i++) { /* in memory of its own, so that nothing is read behind it */
		uint8_t *copy = malloc(len);
		memcpy(copy, packed, len);
		copy[i] ^= 0x20;
		assert_int_equal(irc_channel_unpack(copy, len, &is), -EBADMSG);
		free(copy);
		copy = malloc(i + 1);
		memcpy(copy, packed, i);
		assert_int_equal(irc_channel_unpack(copy, i, &is), -EBADMSG);
		free(copy);
	}
}

/* What it becomes once its check is right. */
static int unpack_sealed(size_t len)
{
	uint64_t sum = checksum_add(IRC_CHANNEL_CHECK, packed + 8, len - 8);

	for (unsigned i = 0; i < 8; i++)
		packed[i] = (uint8_t)(sum >> 8 * i);
	return irc_channel_unpack(packed, len, &is);
}

/* Records whose check is right, but which nobody can have decided. */
static void test_impossible(void **state)
{
	static char *const strings[] = {was.topic,	was.topic_by, was.list[0].mask,
					was.list[0].by, was.key,      was.status[0].account};
	size_t len;

	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		make(state);
		strings[i][1] = '\n';
		assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is), -EBADMSG);
		make(state);
		strings[i][1] = ' ';
		assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is),
				 i == 0 ? 0 : -EBADMSG);
	}
	make(state);
	was.topic[1] = '\x1b';
	assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is), -EBADMSG);
	make(state);
	was.list[1].kind = 'x';
	assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is), -EBADMSG);
	make(state);
	was.modes |= 1 << 20;
	assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is), -EBADMSG);
	make(state);
	was.limit = 1000001;
	assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is), -EBADMSG);
	make(state);
	was.topic_us = UINT64_MAX;
	assert_int_equal(irc_channel_unpack(packed, irc_channel_pack(&was, packed), &is), -EBADMSG);
	make(state);
	was.status[0].flags = 0;
	len = irc_channel_pack(&was, packed);
	assert_int_equal(irc_channel_unpack(packed, len, &is), -EBADMSG);
	/* A later version may have anything behind its number. */
	make(state);
	len = irc_channel_pack(&was, packed);
	packed[8] = 2;
	assert_int_equal(unpack_sealed(len), -EPROTONOSUPPORT);
	packed[8] = 0;
	assert_int_equal(unpack_sealed(len), -EBADMSG);
	packed[8] = 1;
	assert_int_equal(unpack_sealed(len), 0);
	memset(packed + len, 0, 8);
	assert_int_equal(unpack_sealed(len + 8), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_round, make),
	    cmocka_unit_test_setup(test_largest, make),
	    cmocka_unit_test_setup(test_damaged, make),
	    cmocka_unit_test_setup(test_impossible, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
