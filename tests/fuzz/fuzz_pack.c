/* SPDX-License-Identifier: MIT */
/* A channel's record as it comes from a database: whatever it is, what is taken of it can have been decided, and stays the same. */
#include "tests/fuzz/fuzz.h"

#include "daemon/channels/pack.h"

#include <string.h>

static void check(const struct irc_channel *ch)
{
	static uint8_t packed[IRC_CHANNEL_PACKED_MAX], again[IRC_CHANNEL_PACKED_MAX];
	static struct irc_channel read;

	REQUIRE(ch->n_status <= IRC_STATUS_MAX && ch->n_list <= IRC_LIST_MAX);
	REQUIRE(ch->n_invited == 0 && ch->n_expelled == 0 && ch->metadata_len <= sizeof(ch->metadata));
	REQUIRE(memchr(ch->key, 0, sizeof(ch->key)) && memchr(ch->topic, 0, sizeof(ch->topic)));
	REQUIRE(text_is_clean(ch->topic, strlen(ch->topic)) && !strpbrk(ch->key, " \r\n"));
	for (uint32_t i = 0; i < ch->n_status; i++)
		REQUIRE(ch->status[i].id == 0 && ch->status[i].account[0]);
	for (uint32_t i = 0; i < ch->n_list; i++)
		REQUIRE(ch->list[i].mask[0] && !strpbrk(ch->list[i].mask, " \r\n"));
	size_t len = irc_channel_pack(ch, packed);
	REQUIRE(irc_channel_unpack(packed, len, &read) == 0);
	REQUIRE(irc_channel_pack(&read, again) == len && memcmp(packed, again, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t sealed[IRC_CHANNEL_PACKED_MAX + 8];
	static struct irc_channel ch;

	if (irc_channel_unpack(data, size, &ch) == 0)
		check(&ch);
	/* With the check that it would have. */
	if (size < 8 || size > IRC_CHANNEL_PACKED_MAX)
		return 0;
	size_t len = (size + 7) & ~(size_t)7;
	memset(sealed, 0, len);
	memcpy(sealed, data, size);
	uint64_t sum = checksum_add(IRC_CHANNEL_CHECK, sealed + 8, len - 8);
	for (unsigned i = 0; i < 8; i++)
		sealed[i] = (uint8_t)(sum >> 8 * i);
	if (irc_channel_unpack(sealed, len, &ch) == 0)
		check(&ch);
	return 0;
}
