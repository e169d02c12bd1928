/* SPDX-License-Identifier: MIT */
/* First the lists, then the questions: see may.h. */
#include "daemon/channels/may.h"

#include "daemon/channels/channels.h"
#include "daemon/channels/mask.h"

#include <string.h>
#include <strings.h>

uint8_t irc_channel_status(const struct irc_channel *ch, uint64_t id)
{
	for (uint32_t i = 0; ch && i < ch->n_status; i++)
		if (ch->status[i].id == id)
			return ch->status[i].flags;
	return 0;
}

uint8_t irc_channel_status_of(const struct irc_channel *ch, uint64_t id, const char *account)
{
	uint8_t flags = 0;

	for (uint32_t i = 0; ch && i < ch->n_status; i++) {
		const struct irc_channel_person *p = &ch->status[i];
		if (p->id ? p->id == id : account[0] && strcasecmp(p->account, account) == 0)
			flags |= p->flags;
	}
	return flags;
}

bool irc_list_has(const struct irc_channel *ch, char kind, bool speaks, const char *source,
		  const char *account, const char *realname)
{
	for (uint32_t i = 0; ch && i < ch->n_list; i++)
		if (ch->list[i].kind == kind && (speaks || strncmp(ch->list[i].mask, "m:", 2) != 0) &&
		    irc_ban_matches(ch->list[i].mask, source, account, realname))
			return true;
	return false;
}

bool irc_ban_matches(const char *mask, const char *source, const char *account, const char *realname)
{
	if (strncmp(mask, "a:", 2) == 0)
		return account[0] && irc_mask_match(mask + 2, account);
	if (strncmp(mask, "r:", 2) == 0)
		return irc_mask_match(mask + 2, realname);
	if (strncmp(mask, "m:", 2) == 0)
		return irc_mask_match(mask + 2, source);
	return irc_mask_match(mask, source);
}

static bool may_lists(const struct irc_channel *ch, char kind, bool speaks, const struct irc_channel_who *who)
{
	return irc_list_has(ch, kind, speaks, who->source, who->account, who->realname);
}

bool irc_channel_bans(const struct irc_channel *ch, const struct irc_channel_who *who, bool speaks)
{
	return may_lists(ch, 'b', speaks, who) && !may_lists(ch, 'e', speaks, who);
}

/* --- the questions --- */

enum irc_channel_why irc_channel_may_speak(const struct irc_channel *ch, const struct irc_channel_who *who)
{
	uint32_t modes = ch ? ch->modes : IRC_M_DEFAULT;

	if (!who->is_member && modes & IRC_M_NO_EXTERNAL)
		return IRC_WHY_OUTSIDE;
	if (irc_channel_status_of(ch, who->id, who->account))
		return IRC_WHY_MAY;
	if (ch && who->is_member && irc_channel_lists(ch->expelled, ch->n_expelled, who->id))
		return IRC_WHY_REMOVED;
	if (modes & IRC_M_MODERATED)
		return IRC_WHY_MODERATED;
	if (modes & IRC_M_LOGGED_IN_SPEAK && !who->account[0])
		return IRC_WHY_LOGIN;
	return irc_channel_bans(ch, who, true) ? IRC_WHY_BANNED : IRC_WHY_MAY;
}

enum irc_channel_why irc_channel_may_enter(const struct irc_channel *ch, const struct irc_channel_who *who,
					   const char *key, size_t key_len, uint32_t n)
{
	if (!ch || who->is_oper || irc_channel_lists(ch->invited, ch->n_invited, who->id))
		return IRC_WHY_MAY;
	if (irc_channel_bans(ch, who, false))
		return IRC_WHY_BANNED;
	if (ch->modes & IRC_M_INVITE && !may_lists(ch, 'I', false, who))
		return IRC_WHY_INVITE;
	if (ch->modes & IRC_M_LOGGED_IN && !who->account[0])
		return IRC_WHY_LOGIN;
	if (ch->key[0] && (key_len != strlen(ch->key) || memcmp(key, ch->key, key_len) != 0))
		return IRC_WHY_KEY;
	return ch->limit > 0 && n > ch->limit ? IRC_WHY_FULL : IRC_WHY_MAY;
}

bool irc_channel_may_decide(const struct irc_channel *ch, const struct irc_channel_who *who)
{
	return who->is_oper || irc_channel_status_of(ch, who->id, who->account) & IRC_STATUS_OP;
}

bool irc_channel_may_set_topic(const struct irc_channel *ch, const struct irc_channel_who *who)
{
	if (irc_channel_may_decide(ch, who))
		return true;
	return !((ch ? ch->modes : (uint32_t)IRC_M_DEFAULT) & IRC_M_TOPIC) &&
	       irc_channel_may_speak(ch, who) == IRC_WHY_MAY;
}
