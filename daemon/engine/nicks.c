/* SPDX-License-Identifier: MIT */
/* Since when a client has had a nick, and that it is noted. Without a cluster nobody wants to know. */
#include "daemon/engine/nicks.h"

#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/engine/context.h"
#include "daemon/state/nick_since.h"

#include <string.h>

/* 0: it is new to the client, or that isn't known. */
static int64_t nicks_had_since(struct shared *shared, const struct client *c, const char *nick, size_t len)
{
	const struct client_state *st = client_live(c);

	if (st->nick_len == 0 || st->nick_len > TEXT_NICK_MAX)
		return 0;
	const struct nick_keys old = nick_keys(st->nick, st->nick_len), new = nick_keys(nick, len);
	if (memcmp(old.at, new.at, sizeof(old.at)) != 0)
		return 0;
	return nick_since(shared->clients, c, st->nick, st->nick_len);
}

int nicks_claim(struct shared *shared, const struct client *c, const char *nick, size_t len, unsigned title,
		struct roster_entry **ret)
{
	struct roster_person who = {.id = c->id, .index = clients_index(shared->clients, c), .title = title};

	/* Nobody contends for a guest's name. */
	if (!shared->elsewhere || nick_is_guest_of_node(nick, len))
		return roster_claim(shared->roster, nick, len, &who, ret);
	int64_t now = clock_us(CLOCK_REALTIME);
	who.since_us = nicks_had_since(shared, c, nick, len);
	if (who.since_us > 0 && who.since_us <= now)
		who.title |= ROSTER_AGAIN;
	else
		who.since_us = now;
	int r = roster_claim(shared->roster, nick, len, &who, ret);
	if (r == 0)
		nick_since_note(shared->clients, c, nick, len, who.since_us);
	return r;
}
