/* SPDX-License-Identifier: MIT */
/* One change at a time of what is decided in a channel, for IRC's commands and those of chat. */
#include "daemon/channels/decide.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/may.h"
#include "daemon/channels/nicks.h"
#include "daemon/rooms/speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What is looked at of a text: no line of IRC has more. */
#define DECIDE_TEXT_MAX 512
/* Of a line of IRC, without its end. */
#define DECIDE_LINE_MAX 510

static const struct decide_flag {
	char letter;
	uint32_t bit;
} decide_flags[] = {
    {'C', IRC_M_NO_CTCP},   {'M', IRC_M_LOGGED_IN_SPEAK}, {'R', IRC_M_LOGGED_IN}, {'i', IRC_M_INVITE},
    {'m', IRC_M_MODERATED}, {'n', IRC_M_NO_EXTERNAL},	  {'s', IRC_M_SECRET},	  {'t', IRC_M_TOPIC},
};
#define DECIDE_FLAGS (sizeof(decide_flags) / sizeof(*decide_flags))

/* --- what is told --- */

void irc_told_add(struct irc_told *t, char sign, char letter, const char *arg)
{
	if (t->n_letters + 2 >= sizeof(t->letters))
		return;
	if (t->sign != sign)
		t->letters[t->n_letters++] = t->sign = sign;
	t->letters[t->n_letters++] = letter;
	t->letters[t->n_letters] = 0;
	if (arg && t->n_args + strlen(arg) + 2 < sizeof(t->args))
		t->n_args += (size_t)snprintf(t->args + t->n_args, sizeof(t->args) - t->n_args, " %s", arg);
}

bool irc_told_is_full(const struct irc_told *t)
{
	const size_t longest = strlen("+b ") + IRC_MASK_MAX; /* one change */

	return t->n_letters + 4 >= sizeof(t->letters) ||
	       IRC_TOLD_FROM + t->n_letters + t->n_args + longest > DECIDE_LINE_MAX;
}

size_t irc_told_text(const struct irc_told *t, char ret[static IRC_TOLD_MAX])
{
	return (size_t)snprintf(ret, IRC_TOLD_MAX, "%s%s", t->letters, t->args);
}

/* --- the record --- */

static const struct irc_channel *decide_now(const struct irc_deciding *d)
{
	return irc_channels_now(d->channels, d->room);
}

static struct irc_channel *decide_draft(const struct irc_deciding *d)
{
	return irc_channels_draft(d->channels, d->room);
}

static uint64_t decide_time(const struct irc_deciding *d)
{
	return d->time_us ? d->time_us : (uint64_t)clock_us(CLOCK_REALTIME);
}

/* --- modes --- */

static const struct decide_flag *decide_flag(char letter)
{
	for (size_t i = 0; i < DECIDE_FLAGS; i++)
		if (decide_flags[i].letter == letter)
			return &decide_flags[i];
	return NULL;
}

bool irc_decide_is_flag(char letter)
{
	return decide_flag(letter);
}

enum irc_decided irc_decide_flag(struct irc_deciding *d, char sign, char letter)
{
	const struct irc_channel *now = decide_now(d);
	const struct decide_flag *flag = decide_flag(letter);
	uint32_t modes = now ? now->modes : IRC_M_DEFAULT;

	if (!flag)
		return IRC_DECIDED_UNKNOWN;
	bool is = modes & flag->bit;
	if (is == (sign == '+'))
		return IRC_DECIDED_SAME;
	decide_draft(d)->modes ^= flag->bit;
	irc_told_add(&d->told, sign, letter, NULL);
	return IRC_DECIDED;
}

static int64_t decide_find_mask(const struct irc_channel *ch, char kind, const char *mask)
{
	for (uint32_t i = 0; ch && i < ch->n_list; i++)
		if (ch->list[i].kind == kind && strcasecmp(ch->list[i].mask, mask) == 0)
			return i;
	return -1;
}

enum irc_decided irc_decide_mask(struct irc_deciding *d, char sign, char kind, const char *mask)
{
	const struct irc_channel *now = decide_now(d);
	int64_t at = decide_find_mask(now, kind, mask);
	char clean[IRC_MASK_MAX + 1];

	/* What is in a list is shown to people at a terminal. An earlier build may have put it there as it was. */
	if (at < 0) {
		irc_decide_text(mask, strlen(mask), clean, sizeof(clean));
		mask = clean;
		at = decide_find_mask(now, kind, mask);
	}
	if ((at >= 0) == (sign == '+'))
		return IRC_DECIDED_SAME;
	if (sign == '+' && now && now->n_list >= IRC_DECIDE_LIST_MAX)
		return IRC_DECIDED_FULL;
	struct irc_channel *ch = decide_draft(d);
	if (sign == '+') {
		struct irc_channel_mask *e = &ch->list[ch->n_list++];
		memset(e, 0, sizeof(*e));
		e->us = decide_time(d);
		e->kind = kind;
		snprintf(e->mask, sizeof(e->mask), "%s", mask);
		memcpy(e->by, d->by->nick, d->by->nick_len);
	} else {
		memmove(&ch->list[at], &ch->list[at + 1], (--ch->n_list - (size_t)at) * sizeof(*ch->list));
	}
	irc_told_add(&d->told, sign, kind, mask);
	return IRC_DECIDED;
}

bool irc_decide_flags_of(struct irc_channels *cs, const struct room *room, uint64_t id, uint8_t set,
			 uint8_t clear)
{
	const struct irc_channel *now = irc_channels_now(cs, room);
	uint32_t i = 0;

	while (now && i < now->n_status && now->status[i].id != id)
		i++;
	bool there = now && i < now->n_status;
	uint8_t before = there ? now->status[i].flags : 0, after = (uint8_t)((before | set) & ~clear);
	if (before == after || (!there && now && now->n_status >= IRC_STATUS_MAX))
		return false;
	struct irc_channel *ch = irc_channels_draft(cs, room);
	if (!there) {
		memset(&ch->status[ch->n_status], 0, sizeof(ch->status[0]));
		ch->status[ch->n_status].id = id;
		i = ch->n_status++;
	}
	ch->status[i].flags = after;
	if (after == 0)
		ch->status[i] = ch->status[--ch->n_status];
	return true;
}

static const char *decide_account(const struct roster_member *who, const char *account,
				  char nick[static TEXT_NICK_MAX + 1])
{
	snprintf(nick, TEXT_NICK_MAX + 1, "%.*s", who->is_account ? who->len : 0, who->nick);
	return account ? account : nick;
}

/* Who has that account has the status that was kept for it: from now on it is the client's, and can be taken away. */
static void decide_come_back(struct irc_deciding *d, const struct roster_member *who, const char *account)
{
	char nick[TEXT_NICK_MAX + 1];

	account = decide_account(who, account, nick);
	if (!irc_channel_awaits(decide_now(d), account))
		return;
	struct irc_channel *ch = decide_draft(d);
	uint8_t flags = irc_channel_status(ch, who->id);
	irc_channel_forget_status(ch, who->id);
	irc_channel_come_back(ch, who->id, account);
	irc_decide_flags_of(d->channels, d->room, who->id, flags, 0);
}

/* Who has a status is known by that account after a reboot; nothing happens without either. */
static void decide_note_account(struct irc_deciding *d, const struct roster_member *who, const char *account)
{
	const struct irc_channel *now = decide_now(d);
	char nick[TEXT_NICK_MAX + 1];

	account = decide_account(who, account, nick);
	for (uint32_t i = 0; now && account[0] && i < now->n_status; i++)
		if (now->status[i].id == who->id) {
			char *to = decide_draft(d)->status[i].account;
			snprintf(to, sizeof(now->status[i].account), "%s", account);
			return;
		}
}

enum irc_decided irc_decide_status(struct irc_deciding *d, char sign, char letter,
				   const struct roster_member *who, const char *account)
{
	uint8_t bit = letter == 'o' ? IRC_STATUS_OP : IRC_STATUS_VOICE;
	char nick[IRC_SHOWN_MAX + 1];

	decide_come_back(d, who, account);
	if (!irc_decide_flags_of(d->channels, d->room, who->id, sign == '+' ? bit : 0, sign == '-' ? bit : 0))
		return IRC_DECIDED_SAME;
	irc_nick_show(who->nick, who->len, nick);
	irc_told_add(&d->told, sign, letter, nick);
	decide_note_account(d, who, account);
	return IRC_DECIDED;
}

enum irc_decided irc_decide_key(struct irc_deciding *d, char sign, const char *key)
{
	const struct irc_channel *now = decide_now(d);

	if (sign == '-' && (!now || !now->key[0]))
		return IRC_DECIDED_SAME;
	if (sign == '+' &&
	    (!key[0] || strlen(key) > IRC_KEY_MAX || strpbrk(key, " ,:") || !text_is_clean(key, strlen(key))))
		return IRC_DECIDED_INVALID;
	struct irc_channel *ch = decide_draft(d);
	memset(ch->key, 0, sizeof(ch->key));
	if (sign == '+')
		memcpy(ch->key, key, strlen(key));
	irc_told_add(&d->told, sign, 'k', sign == '+' ? key : "*");
	return IRC_DECIDED;
}

enum irc_decided irc_decide_limit(struct irc_deciding *d, char sign, const char *limit)
{
	const struct irc_channel *now = decide_now(d);
	uint32_t is = now ? now->limit : 0;
	long n = sign == '+' ? strtol(limit, NULL, 10) : 0;
	char text[16];

	if (sign == '+' && (n < 1 || n > IRC_DECIDE_LIMIT_MAX))
		return IRC_DECIDED_INVALID;
	if (is == (uint32_t)n)
		return IRC_DECIDED_SAME;
	decide_draft(d)->limit = (uint32_t)n;
	snprintf(text, sizeof(text), "%ld", n);
	irc_told_add(&d->told, sign, 'l', sign == '+' ? text : NULL);
	return IRC_DECIDED;
}

size_t irc_decide_modes(const struct irc_channel *ch, bool with_key, char ret[static IRC_DECIDE_MODES_MAX])
{
	uint32_t modes = ch ? ch->modes : IRC_M_DEFAULT;
	char letters[32] = "+", args[IRC_KEY_MAX + 16] = "";
	size_t n = 1;

	for (size_t i = 0; i < DECIDE_FLAGS; i++)
		if (modes & decide_flags[i].bit)
			letters[n++] = decide_flags[i].letter;
	if (ch && ch->key[0]) {
		letters[n++] = 'k';
		snprintf(args, sizeof(args), " %s", with_key ? ch->key : "*");
	}
	if (ch && ch->limit) {
		letters[n++] = 'l';
		snprintf(args + strlen(args), sizeof(args) - strlen(args), " %u", ch->limit);
	}
	letters[n] = 0;
	return (size_t)snprintf(ret, IRC_DECIDE_MODES_MAX, "%s%s", letters, args);
}

/* --- what is no mode --- */

static bool decide_has(const struct roster_member *all, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].id == id)
			return true;
	return false;
}

void irc_decide_topic(struct irc_deciding *d, const char topic[static IRC_TOPIC_MAX + 1])
{
	struct irc_channel *ch = decide_draft(d);

	memset(ch->topic, 0, sizeof(ch->topic));
	memcpy(ch->topic, topic, strlen(topic));
	memset(ch->topic_by, 0, sizeof(ch->topic_by));
	memcpy(ch->topic_by, d->by->nick, d->by->nick_len);
	ch->topic_us = decide_time(d);
}

/* The record is what tells a successor, too, who has to leave: only those who have left already are forgotten. */
static void decide_forget_removed(struct irc_deciding *d, struct roster *roster)
{
	struct irc_channel *ch = decide_draft(d);
	size_t n = 0;
	uint32_t left = 0;
	_cleanup_free_ struct roster_member *all = roster_members(roster, d->room->index, &n);

	for (uint32_t i = 0; all && i < ch->n_expelled; i++)
		if (decide_has(all, n, ch->expelled[i]))
			ch->expelled[left++] = ch->expelled[i];
	if (all)
		ch->n_expelled = left;
}

enum irc_decided irc_decide_removal(struct irc_deciding *d, struct roster *roster,
				    const struct roster_member *who, const char *account)
{
	decide_come_back(d, who, account);
	const struct irc_channel *now = decide_now(d);
	if (now && irc_channel_lists(now->expelled, now->n_expelled, who->id))
		return IRC_DECIDED_SAME;
	if (now && now->n_expelled == IRC_INVITED_MAX)
		decide_forget_removed(d, roster);
	struct irc_channel *ch = decide_draft(d);
	if (ch->n_expelled == IRC_INVITED_MAX)
		return IRC_DECIDED_FULL;
	irc_decide_flags_of(d->channels, d->room, who->id, 0, IRC_STATUS_OP | IRC_STATUS_VOICE);
	ch->expelled[ch->n_expelled++] = who->id;
	return IRC_DECIDED;
}

/* --- what helps --- */

bool irc_decide_find(struct roster *roster, const struct room *room, const char *nick, size_t len,
		     struct roster_member *ret)
{
	size_t n = 0;
	_cleanup_free_ struct roster_member *all = NULL;

	if (!nick_valid(nick, len) || !roster_member(roster, nick, len, ret))
		return false;
	all = roster_members(roster, room->index, &n);
	return decide_has(all, n, ret->id);
}

void irc_decide_text(const char *text, size_t len, char *ret, size_t size)
{
	char clean[TEXT_SANITISE_GROWTH * DECIDE_TEXT_MAX];
	size_t n = text_cut(text, len, size - 1 < DECIDE_TEXT_MAX ? size - 1 : DECIDE_TEXT_MAX);

	len = text_sanitise(clean, text, n);
	memset(ret, 0, size);
	memcpy(ret, clean, text_cut(clean, len, size - 1));
}
