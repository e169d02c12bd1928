/* SPDX-License-Identifier: MIT */
/* Accounts that have a status in a shared room. */
#include "daemon/channels/accounts.h"

#include "common/nick.h"
#include "daemon/channels/channels.h"
#include "daemon/rooms/elsewhere.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Its place in the record; n_status: it isn't there. */
static uint32_t account_at(const struct irc_channel *ch, const char *account)
{
	uint32_t i = 0;

	while (i < ch->n_status && (ch->status[i].id != 0 || strcasecmp(ch->status[i].account, account) != 0))
		i++;
	return i;
}

static struct irc_channel_person *account_add(struct irc_channel *ch, const char *account)
{
	struct irc_channel_person *p = &ch->status[ch->n_status++];

	memset(p, 0, sizeof(*p));
	memcpy(p->account, account, strlen(account));
	return p;
}

enum irc_decided irc_decide_status_of_account(struct irc_deciding *d, char sign, char letter,
					      const char *account)
{
	const struct irc_channel *now = irc_channels_now(d->channels, d->room);
	uint8_t bit = letter == 'o' ? IRC_STATUS_OP : IRC_STATUS_VOICE;
	uint32_t at = now ? account_at(now, account) : 0;
	bool there = now && at < now->n_status;
	bool is = there && now->status[at].flags & bit;

	if (!nick_valid(account, strlen(account)))
		return IRC_DECIDED_INVALID;
	if (is == (sign == '+'))
		return IRC_DECIDED_SAME;
	if (!there && now && now->n_status >= IRC_STATUS_MAX)
		return IRC_DECIDED_FULL;
	struct irc_channel *ch = irc_channels_draft(d->channels, d->room);
	struct irc_channel_person *p = there ? &ch->status[at] : account_add(ch, account);
	p->flags ^= bit;
	if (p->flags == 0)
		*p = ch->status[--ch->n_status];
	irc_told_add(&d->told, sign, letter, account);
	return IRC_DECIDED;
}

/* --- rooms that become shared --- */

static bool account_has_clients(const struct irc_channel *ch)
{
	for (uint32_t i = 0; ch && i < ch->n_status; i++)
		if (ch->status[i].id != 0)
			return true;
	return false;
}

static void account_share(struct irc_channels *cs, const struct room *room)
{
	struct irc_channel *ch = irc_channels_draft(cs, room);
	uint32_t n = ch->n_status;

	ch->n_status = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct irc_channel_person was = ch->status[i];
		uint32_t at = account_at(ch, was.account);
		if (!was.account[0])
			continue;
		if (at == ch->n_status)
			account_add(ch, was.account);
		ch->status[at].flags |= was.flags;
	}
	irc_channels_seal(cs, room, logring_count(room->log));
}

void irc_channels_share(struct irc_channels *cs, struct rooms *rooms)
{
	for (uint32_t i = 1; cs && i < ROOMS_CAPACITY; i++) {
		const struct room *room = rooms_at(rooms, i);
		if (!room || !room->outgoing)
			continue;
		logring_lock(room->log);
		if (account_has_clients(irc_channels_get(cs, room)))
			account_share(cs, room);
		logring_unlock(room->log);
	}
}

/* --- who it is --- */

bool irc_decide_find_account(const struct irc_deciding *d, struct roster *roster, struct elsewhere *el,
			     const char *nick, size_t len, char ret[static TEXT_NICK_MAX + 1])
{
	const struct irc_channel *now = irc_channels_now(d->channels, d->room);
	struct roster_member m;
	struct elsewhere_found f;

	if (!nick_valid(nick, len))
		return false;
	snprintf(ret, TEXT_NICK_MAX + 1, "%.*s", (int)len, nick);
	uint32_t at = now ? account_at(now, ret) : 0;
	if (now && at < now->n_status) {
		snprintf(ret, TEXT_NICK_MAX + 1, "%s", now->status[at].account);
		return true;
	}
	if (irc_decide_find(roster, d->room, nick, len, &m)) {
		snprintf(ret, TEXT_NICK_MAX + 1, "%.*s", m.len, m.nick);
		return m.is_account;
	}
	const struct nick_keys keys = nick_keys(nick, len);
	if (!elsewhere_find(el, &keys, &f) || !nick_same(nick, len, f.client.nick, f.client.nick_len))
		return false;
	snprintf(ret, TEXT_NICK_MAX + 1, "%.*s", f.client.nick_len, f.client.nick);
	return f.client.account;
}
