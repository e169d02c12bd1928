/* SPDX-License-Identifier: MIT */
/*
 * Two notes for each client, each with a check of whose it is and of which nick. The nick that becomes true by the store
 * of `live` finds the note that was written before; the nick that stays finds the other one.
 */
#include "daemon/state/nick_since.h"

#include "daemon/base/fault.h"
#include "daemon/state/file.h"

#include <string.h>

/* Never 0. */
static uint64_t nick_since_check(const struct client *c, const char *nick, size_t len, int64_t since_us)
{
	char padded[TEXT_NICK_MAX] = "";
	const uint64_t what[] = {c->id, (uint64_t)since_us, len};

	memcpy(padded, nick, len);
	uint64_t h = checksum_add(checksum_add(CLIENTS_MAGIC, what, sizeof(what)), padded, sizeof(padded));
	return h ? h : 1;
}

static struct client_nick_note *nick_since_find(struct clients *cs, const struct client *c, const char *nick,
						size_t len)
{
	struct client_nick_note *n = cs->file->later[file_index(cs, c)].nicks;

	for (unsigned i = 0; i < CLIENT_NICK_NOTES; i++)
		if (n[i].check != 0 && n[i].check == nick_since_check(c, nick, len, n[i].since_us))
			return &n[i];
	return NULL;
}

int64_t nick_since(struct clients *cs, const struct client *c, const char *nick, size_t len)
{
	const struct client_nick_note *n =
	    len > 0 && len <= TEXT_NICK_MAX ? nick_since_find(cs, c, nick, len) : NULL;

	return n ? n->since_us : 0;
}

void nick_since_note(struct clients *cs, const struct client *c, const char *nick, size_t len,
		     int64_t since_us)
{
	const struct client_state *st = client_live(c);
	struct client_nick_note *n = cs->file->later[file_index(cs, c)].nicks;
	const struct client_nick_note *live =
	    st->nick_len <= TEXT_NICK_MAX ? nick_since_find(cs, c, st->nick, st->nick_len) : NULL;

	if (len > TEXT_NICK_MAX ||
	    (live && live->since_us == since_us && live->check == nick_since_check(c, nick, len, since_us)))
		return;
	struct client_nick_note *to = &n[live && live == n];
	to->since_us = since_us;
	FAULT("cluster-nick-noting");
	to->check = nick_since_check(c, nick, len, since_us);
	FAULT("cluster-nick-noted");
}
