/* SPDX-License-Identifier: MIT */
/*
 * MODE. What changes in a channel is one event in its room, with as many changes as the command has, in the words of IRC; its
 * record changes in the same step.
 */
#include "daemon/irc/commands.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/mask.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/names.h"
#include "daemon/irc/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Changes with an argument in one command, as ISUPPORT says. */
#define MODE_CHANGES_MAX 20
/* Masks of all lists of a channel, likewise. */
#define MODE_LIST_MAX 100

static const struct mode_flag {
	char letter;
	uint32_t bit;
} mode_flags[] = {
    {'C', IRC_M_NO_CTCP},   {'M', IRC_M_LOGGED_IN_SPEAK}, {'R', IRC_M_LOGGED_IN}, {'i', IRC_M_INVITE},
    {'m', IRC_M_MODERATED}, {'n', IRC_M_NO_EXTERNAL},	  {'s', IRC_M_SECRET},	  {'t', IRC_M_TOPIC},
};
#define MODE_FLAGS (sizeof(mode_flags) / sizeof(*mode_flags))

/* What was changed, to be told: "+o-v" and the arguments. */
struct modes_told {
	char letters[3 * MODE_CHANGES_MAX + 40];
	char args[IRC_BODY_MAX];
	size_t n_letters, n_args;
	char sign;
};

struct moding {
	struct irc_call *call;
	struct room *room;
	bool may;  /* change anything but ask */
	bool asks; /* what is in lists */
	bool refused;
	unsigned next_arg, n_changes;
	struct modes_told told;
};

static void mode_tell(struct moding *m, char sign, char letter, const char *arg)
{
	struct modes_told *t = &m->told;

	if (t->n_letters + 2 >= sizeof(t->letters))
		return;
	if (t->sign != sign)
		t->letters[t->n_letters++] = t->sign = sign;
	t->letters[t->n_letters++] = letter;
	t->letters[t->n_letters] = 0;
	if (arg && t->n_args + strlen(arg) + 2 < sizeof(t->args))
		t->n_args += (size_t)snprintf(t->args + t->n_args, sizeof(t->args) - t->n_args, " %s", arg);
}

/* Whether it may change something; if not, it is told so, once. */
static bool mode_may(struct moding *m)
{
	if (m->may)
		return true;
	if (!m->refused)
		irc_numeric(m->call, ERR_CHANOPRIVSNEEDED, "#%s", m->room->name);
	m->refused = true;
	return false;
}

/* The next argument as a string; false: there is none. */
static bool mode_arg(struct moding *m, char *buf, size_t size)
{
	const struct irc_line *line = m->call->line;

	if (m->next_arg >= line->n_params || m->n_changes >= MODE_CHANGES_MAX)
		return false;
	m->n_changes++;
	return irc_arg_copy(line->params[m->next_arg++], buf, size) == 0 && buf[0] && !strchr(buf, ' ');
}

/* --- lists --- */

static void mode_show_list(struct moding *m, char kind)
{
	static const struct {
		char kind;
		enum irc_numeric item, end;
	} of[] = {{'b', RPL_BANLIST, RPL_ENDOFBANLIST},
		  {'e', RPL_EXCEPTLIST, RPL_ENDOFEXCEPTLIST},
		  {'I', RPL_INVEXLIST, RPL_ENDOFINVEXLIST}};
	const struct irc_channel *ch = irc_channel(m->call, m->room);
	size_t k = kind == 'b' ? 0 : kind == 'e' ? 1 : 2;

	for (uint32_t i = 0; ch && i < ch->n_list; i++)
		if (ch->list[i].kind == kind)
			irc_numeric(m->call, of[k].item, "#%s %s %s %" PRIu64, m->room->name,
				    ch->list[i].mask, ch->list[i].by, ch->list[i].us / 1000000);
	irc_numeric(m->call, of[k].end, "#%s", m->room->name);
}

static int64_t mode_find_mask(const struct irc_channel *ch, char kind, const char *mask)
{
	for (uint32_t i = 0; ch && i < ch->n_list; i++)
		if (ch->list[i].kind == kind && strcasecmp(ch->list[i].mask, mask) == 0)
			return i;
	return -1;
}

static void mode_list(struct moding *m, char sign, char kind)
{
	char given[IRC_BODY_MAX], mask[IRC_MASK_MAX + 1], nick[TEXT_NICK_MAX + 1];

	if (m->next_arg >= m->call->line->n_params && !m->asks) {
		irc_numeric(m->call, ERR_NOTONCHANNEL, "#%s", m->room->name);
		return;
	}
	if (m->next_arg >= m->call->line->n_params) {
		mode_show_list(m, kind);
		return;
	}
	if (!mode_arg(m, given, sizeof(given)) || !mode_may(m))
		return;
	irc_mask_normalise(given, strlen(given), mask, sizeof(mask));
	const struct irc_channel *now = irc_channel(m->call, m->room);
	int64_t at = mode_find_mask(now, kind, mask);
	if ((at >= 0) == (sign == '+'))
		return;
	if (sign == '+' && now && now->n_list >= MODE_LIST_MAX) {
		irc_numeric(m->call, ERR_BANLISTFULL, "#%s %s", m->room->name, mask);
		return;
	}
	struct irc_channel *ch = irc_channel_change(m->call, m->room);
	if (sign == '+') {
		struct irc_channel_mask *e = &ch->list[ch->n_list++];
		memset(e, 0, sizeof(*e));
		e->us = (uint64_t)clock_us(CLOCK_REALTIME);
		e->kind = kind;
		memcpy(e->mask, mask, strlen(mask));
		irc_nick(m->call->c, nick);
		memcpy(e->by, nick, strlen(nick));
	} else {
		memmove(&ch->list[at], &ch->list[at + 1], (--ch->n_list - (size_t)at) * sizeof(*ch->list));
	}
	mode_tell(m, sign, kind, mask);
}

/* --- people --- */

bool irc_find_member(struct irc_call *call, const struct room *room, const char *nick,
		     struct roster_member *ret)
{
	struct roster *roster = irc_shared(call)->roster;
	size_t n = 0;
	_cleanup_free_ struct roster_member *all = NULL;

	if (!nick_valid(nick, strlen(nick)) || !roster_member(roster, nick, strlen(nick), ret))
		return false;
	all = roster_members(roster, room->index, &n);
	for (size_t i = 0; i < n; i++)
		if (all[i].id == ret->id)
			return true;
	return false;
}

/* Sets and takes away status flags of somebody; true: that changed something. */
bool irc_set_status(struct irc_call *call, struct room *room, uint64_t id, uint8_t set, uint8_t clear)
{
	const struct irc_channel *now = irc_channel(call, room);
	uint32_t i = 0;

	while (now && i < now->n_status && now->status[i].id != id)
		i++;
	bool there = now && i < now->n_status;
	uint8_t before = there ? now->status[i].flags : 0, after = (uint8_t)((before | set) & ~clear);
	if (before == after || (!there && now && now->n_status >= IRC_STATUS_MAX))
		return false;
	struct irc_channel *ch = irc_channel_change(call, room);
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

static void mode_status(struct moding *m, char sign, char letter)
{
	char nick[IRC_BODY_MAX], echo[65];
	struct roster_member who;
	uint8_t bit = letter == 'o' ? IRC_STATUS_OP : IRC_STATUS_VOICE;

	if (!mode_arg(m, nick, sizeof(nick)) || !mode_may(m))
		return;
	if (!irc_find_member(m->call, m->room, nick, &who)) {
		if (nick_valid(nick, strlen(nick)) &&
		    roster_member(irc_shared(m->call)->roster, nick, strlen(nick), &who))
			irc_numeric(m->call, ERR_USERNOTINCHANNEL, "%s #%s", nick, m->room->name);
		else
			irc_numeric(m->call, ERR_NOSUCHNICK, "%s",
				    irc_query_echo((struct irc_arg){nick, strlen(nick)}, echo, sizeof(echo)));
		return;
	}
	if (irc_set_status(m->call, m->room, who.id, sign == '+' ? bit : 0, sign == '-' ? bit : 0)) {
		char text[TEXT_NICK_MAX + 1];
		snprintf(text, sizeof(text), "%.*s", who.len, who.nick);
		mode_tell(m, sign, letter, text);
	}
}

/* --- the others --- */

static void mode_key(struct moding *m, char sign)
{
	char key[IRC_BODY_MAX];
	const struct irc_channel *now = irc_channel(m->call, m->room);
	bool given = mode_arg(m, key, sizeof(key));

	if (!mode_may(m))
		return;
	if (sign == '-') {
		if (!now || !now->key[0])
			return;
		mode_tell(m, '-', 'k', "*");
		struct irc_channel *ch = irc_channel_change(m->call, m->room);
		memset(ch->key, 0, sizeof(ch->key));
		return;
	}
	if (!given) {
		irc_numeric(m->call, ERR_INVALIDMODEPARAM, "#%s k * :A key is one word", m->room->name);
		return;
	}
	if (strlen(key) > IRC_KEY_MAX || strpbrk(key, " ,:")) {
		irc_numeric(m->call, ERR_INVALIDKEY, "#%s", m->room->name);
		return;
	}
	struct irc_channel *ch = irc_channel_change(m->call, m->room);
	memset(ch->key, 0, sizeof(ch->key));
	memcpy(ch->key, key, strlen(key));
	mode_tell(m, '+', 'k', key);
}

static void mode_limit(struct moding *m, char sign)
{
	char text[IRC_BODY_MAX];
	const struct irc_channel *now = irc_channel(m->call, m->room);

	if (sign == '-') {
		if (!mode_may(m) || !now || now->limit == 0)
			return;
		irc_channel_change(m->call, m->room)->limit = 0;
		mode_tell(m, '-', 'l', NULL);
		return;
	}
	if (!mode_arg(m, text, sizeof(text)) || !mode_may(m))
		return;
	long n = strtol(text, NULL, 10);
	if (n < 1 || n > 1000000 || (now && now->limit == (uint32_t)n))
		return;
	irc_channel_change(m->call, m->room)->limit = (uint32_t)n;
	snprintf(text, sizeof(text), "%ld", n);
	mode_tell(m, '+', 'l', text);
}

static bool mode_flag(struct moding *m, char sign, char letter)
{
	const struct irc_channel *now = irc_channel(m->call, m->room);
	uint32_t modes = now ? now->modes : IRC_M_DEFAULT;

	for (size_t i = 0; i < MODE_FLAGS; i++) {
		if (mode_flags[i].letter != letter)
			continue;
		bool is = modes & mode_flags[i].bit;
		if (!mode_may(m) || is == (sign == '+'))
			return true;
		struct irc_channel *ch = irc_channel_change(m->call, m->room);
		ch->modes ^= mode_flags[i].bit;
		mode_tell(m, sign, letter, NULL);
		return true;
	}
	return false;
}

static void mode_change(struct moding *m, char sign, char letter)
{
	switch (letter) {
	case 'b':
	case 'e':
	case 'I':
		mode_list(m, sign, letter);
		break;
	case 'o':
	case 'v':
		mode_status(m, sign, letter);
		break;
	case 'k':
		mode_key(m, sign);
		break;
	case 'l':
		mode_limit(m, sign);
		break;
	default:
		if (!mode_flag(m, sign, letter))
			irc_numeric(m->call, ERR_UNKNOWNMODE, "%c", letter);
	}
}

bool irc_may_decide(struct irc_call *call, const struct room *room)
{
	char source[IRC_SOURCE_MAX + 1];
	const struct irc_channel_who who = irc_channel_who(call, true, source);

	return !room->raw && !room->outgoing && irc_channel_may_decide(irc_channel(call, room), &who);
}

static void mode_show(struct irc_call *call, struct room *room, bool member)
{
	const struct irc_channel *ch = irc_channel(call, room);
	uint32_t modes = ch ? ch->modes : IRC_M_DEFAULT;
	char letters[32] = "+", args[64] = "";
	size_t n = 1;

	for (size_t i = 0; i < MODE_FLAGS; i++)
		if (modes & mode_flags[i].bit)
			letters[n++] = mode_flags[i].letter;
	if (ch && ch->key[0]) {
		letters[n++] = 'k';
		snprintf(args, sizeof(args), " %s", member ? ch->key : "*");
	}
	if (ch && ch->limit) {
		letters[n++] = 'l';
		snprintf(args + strlen(args), sizeof(args) - strlen(args), " %u", ch->limit);
	}
	letters[n] = 0;
	irc_numeric(call, RPL_CHANNELMODEIS, "#%s %s%s", room->name, letters, args);
	irc_numeric(call, RPL_CREATIONTIME, "#%s %" PRIu64, room->name,
		    /* Numbers of messages begin with the time when the log was made. */
		    (ch && ch->created_us ? ch->created_us : room->number_base) / 1000000);
}

/* Its log is locked: by irc_speak(). */
static void mode_of_room(struct irc_call *call, struct room *room, bool member)
{
	const struct irc_look look = {.room = room, .mine = member, .channel = irc_channel(call, room)};
	struct moding m = {.call = call,
			   .room = room,
			   .may = member && irc_may_decide(call, room),
			   .asks = irc_look_is_open(call, &look),
			   .next_arg = 2};
	const struct speaker who = irc_speaker(call->c);
	char text[sizeof(m.told.letters) + sizeof(m.told.args)], msgid[IRC_MSGID_MAX], sign = '+';

	if (call->line->n_params < 2) {
		mode_show(call, room, member);
		return;
	}
	for (size_t i = 0; i < call->line->params[1].len; i++) {
		char letter = call->line->params[1].at[i];
		if (letter == '+' || letter == '-')
			sign = letter;
		else
			mode_change(&m, sign, letter);
	}
	if (m.told.n_letters == 0)
		return;
	int n = snprintf(text, sizeof(text), "%s%s", m.told.letters, m.told.args);
	irc_msgid_next(room, msgid);
	speech_mode(&call->speech, room, &who, text, (size_t)n);
	if (!irc_sees_later(call, room))
		irc_own_event(call, call->speech.time_us, msgid, "", "MODE #%s %s", room->name, text);
}

static enum verdict mode_channel(struct irc_call *call)
{
	struct shared *shared = irc_shared(call);
	const struct irc_arg channel = call->line->params[0];
	char name[TEXT_ROOM_MAX + 1], echo[80];
	struct room *room;

	if (!irc_room_of(call, channel, name) ||
	    rooms_enter_existing(shared->rooms, name, irc_context(call)->slot, &room) < 0) {
		irc_numeric(call, ERR_NOSUCHCHANNEL, "%s", irc_query_echo(channel, echo, sizeof(echo)));
		return HANDLER_MORE;
	}
	if (!irc_speak(call, room)) {
		rooms_leave(shared->rooms, room, irc_context(call)->slot);
		return HANDLER_BLOCKED;
	}
	mode_of_room(call, room, seats_in(call->c, room));
	irc_after(call, irc_give_room_back, irc_give_room_back, room);
	return HANDLER_MORE;
}

/* --- a user's --- */

static const struct mode_flag mode_user_flags[] = {
    {'B', IRC_BOT}, {'i', IRC_INVISIBLE}, {'o', IRC_OPER}, {'w', IRC_WALLOPS}};
#define MODE_USER_FLAGS (sizeof(mode_user_flags) / sizeof(*mode_user_flags))

static void mode_change_user(struct irc_call *call, char sign, char letter, struct modes_told *told)
{
	for (size_t i = 0; i < MODE_USER_FLAGS; i++) {
		if (mode_user_flags[i].letter != letter)
			continue;
		bool is = irc_user(call->c)->flags & mode_user_flags[i].bit;
		if (is == (sign == '+') || (letter == 'o' && sign == '+')) /* that is for OPER */
			return;
		irc_change(call)->flags ^= mode_user_flags[i].bit;
		struct moding m = {.told = *told};
		mode_tell(&m, sign, letter, NULL);
		*told = m.told;
		return;
	}
	irc_numeric(call, ERR_UMODEUNKNOWNFLAG, "%s", "");
}

static enum verdict mode_user(struct irc_call *call)
{
	const struct irc_arg nick = call->line->params[0];
	const struct client_state *st = connection_state(call->c);
	struct modes_told told = {.n_letters = 0};
	char letters[16] = "+", source[TEXT_NICK_MAX + 1], echo[80], sign = '+';
	size_t n = 1;

	if (!nick_same(nick.at, nick.len, st->nick, st->nick_len)) {
		uint64_t id;
		uint32_t index;
		if (nick_valid(nick.at, nick.len) &&
		    roster_find(irc_shared(call)->roster, nick.at, nick.len, &id, &index))
			irc_numeric(call, ERR_USERSDONTMATCH, "%s", "");
		else
			irc_numeric(call, ERR_NOSUCHNICK, "%s", irc_query_echo(nick, echo, sizeof(echo)));
		return HANDLER_MORE;
	}
	if (call->line->n_params < 2) {
		for (size_t i = 0; i < MODE_USER_FLAGS; i++)
			if (irc_user(call->c)->flags & mode_user_flags[i].bit)
				letters[n++] = mode_user_flags[i].letter;
		irc_numeric(call, RPL_UMODEIS, "%s", letters);
		return HANDLER_MORE;
	}
	for (size_t i = 0; i < call->line->params[1].len; i++) {
		char letter = call->line->params[1].at[i];
		if (letter == '+' || letter == '-')
			sign = letter;
		else
			mode_change_user(call, sign, letter, &told);
	}
	if (told.n_letters > 0)
		irc_from_self(call, "MODE %s %s", irc_nick(call->c, source), told.letters);
	return HANDLER_MORE;
}

static enum verdict mode_run(struct irc_call *call)
{
	return irc_is_channel(call->line->params[0]) ? mode_channel(call) : mode_user(call);
}

const struct irc_command irc_commands_modes[] = {
    {.name = "MODE", .run = mode_run, .needs = 1, .cost = 2},
    {0},
};
