/* SPDX-License-Identifier: MIT */
/* Which nicks IRC can't have, and what they are there. */
#include "daemon/channels/nicks.h"

#include <string.h>

/*
 * In a line of IRC: separators of words, targets and masks; wildcards; and at the beginning what makes a channel, a trailing
 * parameter, a status (also those that only other servers have, since clients look for them), or a mask of servers.
 */
static bool name_is_foreign(char c, bool first)
{
	return strchr(" ,*?!@", c) || (first && strchr(":#$&~%+", c));
}

bool irc_nick_possible(const char *nick, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!nick[i] || name_is_foreign(nick[i], i == 0))
			return false;
	return len > 0 && len <= TEXT_NICK_MAX;
}

size_t irc_nick_show(const char *nick, size_t len, char ret[static IRC_SHOWN_MAX + 1])
{
	size_t o = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)nick[i];
		/* Where a character that doesn't fit as a whole begins it is cut. */
		if (o + (c >= 0xc0 ? 4 : c >= 0x80 ? 1 : 3) > IRC_SHOWN_MAX)
			break;
		if (c <= ' ' || !name_is_foreign((char)c, i == 0)) {
			ret[o++] = (char)(c <= ' ' ? '_' : c);
			continue;
		}
		/* U+FF01..U+FF5E are the forms of 0x21..0x7e: always three bytes, so no library is needed. */
		unsigned wide = 0xff00U + c - 0x20U;
		ret[o++] = (char)(0xe0 | wide >> 12);
		ret[o++] = (char)(0x80 | (wide >> 6 & 0x3f));
		ret[o++] = (char)(0x80 | (wide & 0x3f));
	}
	ret[o] = '\0';
	return o;
}

void irc_user_of_nick(const char *nick, size_t len, char *ret, size_t size)
{
	size_t o = 0;

	for (size_t i = 0; i < len && o + 1 < size; i++) {
		char c = nick[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			ret[o++] = c;
	}
	if (o == 0 && size > 1)
		ret[o++] = 'x';
	ret[o] = '\0';
}
