/* SPDX-License-Identifier: MIT */
/* What is a channel, and which room that is. */
#include "daemon/irc/names.h"

#include <string.h>
#include <strings.h>

bool irc_is_channel(struct irc_arg a)
{
	return a.len > 0 && a.at[0] == '#';
}

bool irc_room_name(struct irc_arg channel, char ret[static TEXT_ROOM_MAX + 1])
{
	ret[0] = '\0';
	if (!irc_is_channel(channel) || !text_room_valid(channel.at + 1, channel.len - 1))
		return false;
	memcpy(ret, channel.at + 1, channel.len - 1);
	ret[channel.len - 1] = '\0';
	return true;
}

void irc_room_lower(const char *room, char ret[static TEXT_ROOM_MAX + 1])
{
	size_t i = 0;

	for (; i < TEXT_ROOM_MAX && room[i]; i++)
		ret[i] = room[i] >= 'A' && room[i] <= 'Z' ? (char)(room[i] | 0x20) : room[i];
	ret[i] = '\0';
}

bool irc_room_same(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}
