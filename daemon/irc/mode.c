/* SPDX-License-Identifier: MIT */
/*
 * MODE. What changes in a channel is one event in its room, with as many changes as the command has, in the words of IRC; its
 * record changes in the same step.
 */
#include "daemon/irc/commands.h"

#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/channels/accounts.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/mask.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/names.h"
#include "daemon/irc/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct moding {
	struct irc_call *call;
	struct room *room;
	bool may;  /* change anything but ask */
	bool asks; /* what is in lists */
	bool refused;
	bool shown[3]; /* which lists were, as in mode_show_list() */
	unsigned next_arg, n_changes;
	struct irc_deciding d;
};

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

	if (m->next_arg >= line->n_params || m->n_changes >= IRC_DECIDE_CHANGES_MAX)
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

	/* Once in one command, whatever that asks for. */
	if (m->shown[k])
		return;
	m->shown[k] = true;
	for (uint32_t i = 0; ch && i < ch->n_list; i++)
		if (ch->list[i].kind == kind)
			irc_numeric(m->call, of[k].item, "#%s %s %s %" PRIu64, m->room->name,
				    ch->list[i].mask, ch->list[i].by, ch->list[i].us / 1000000);
	irc_numeric(m->call, of[k].end, "#%s", m->room->name);
}

static void mode_list(struct moding *m, char sign, char kind)
{
	char given[IRC_BODY_MAX], mask[IRC_MASK_MAX + 1];

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
	if (irc_decide_mask(&m->d, sign, kind, mask) == IRC_DECIDED_FULL)
		irc_numeric(m->call, ERR_BANLISTFULL, "#%s %s", m->room->name, mask);
}

/* --- people --- */

bool irc_find_member(struct irc_call *call, const struct room *room, const char *nick,
		     struct roster_member *ret)
{
	return irc_decide_find(irc_shared(call)->roster, room, nick, strlen(nick), ret);
}

const char *irc_member_account(struct irc_call *call, const struct roster_member *m, struct irc_user *buf)
{
	return irc_users_copy(irc_shared(call)->irc->users, m->index, m->id, buf) ? buf->account : NULL;
}

/* In a shared room. */
static void mode_account(struct moding *m, char sign, char letter, const char *nick)
{
	const struct shared *shared = irc_shared(m->call);
	char account[TEXT_NICK_MAX + 1], echo[65];

	if (irc_decide_find_account(&m->d, shared->roster, shared->elsewhere, nick, strlen(nick), account))
		irc_decide_status_of_account(&m->d, sign, letter, account);
	else
		irc_numeric(m->call, ERR_INVALIDMODEPARAM,
			    "#%s %c %s :Several nodes share it: that is for who is logged in under that nick",
			    m->room->name, letter,
			    irc_query_echo((struct irc_arg){nick, strlen(nick)}, echo, sizeof(echo)));
}

static void mode_status(struct moding *m, char sign, char letter)
{
	char nick[IRC_BODY_MAX], echo[65];
	struct roster_member who;
	struct irc_user u;

	if (!mode_arg(m, nick, sizeof(nick)) || !mode_may(m))
		return;
	if (m->room->outgoing) {
		mode_account(m, sign, letter, nick);
		return;
	}
	if (!irc_find_member(m->call, m->room, nick, &who)) {
		if (nick_valid(nick, strlen(nick)) &&
		    roster_member(irc_shared(m->call)->roster, nick, strlen(nick), &who))
			irc_numeric(m->call, ERR_USERNOTINCHANNEL, "%s #%s", nick, m->room->name);
		else
			irc_numeric(m->call, ERR_NOSUCHNICK, "%s",
				    irc_query_echo((struct irc_arg){nick, strlen(nick)}, echo, sizeof(echo)));
		return;
	}
	irc_decide_status(&m->d, sign, letter, &who, irc_member_account(m->call, &who, &u));
}

/* --- the others --- */

static void mode_key(struct moding *m, char sign)
{
	char key[IRC_BODY_MAX];
	bool given = mode_arg(m, key, sizeof(key));

	if (!mode_may(m))
		return;
	if (sign == '+' && !given)
		irc_numeric(m->call, ERR_INVALIDMODEPARAM, "#%s k * :A key is one word", m->room->name);
	else if (irc_decide_key(&m->d, sign, key) == IRC_DECIDED_INVALID)
		irc_numeric(m->call, ERR_INVALIDKEY, "#%s", m->room->name);
}

static void mode_limit(struct moding *m, char sign)
{
	char text[IRC_BODY_MAX];

	if ((sign == '-' || mode_arg(m, text, sizeof(text))) && mode_may(m))
		irc_decide_limit(&m->d, sign, text);
}

/* Those who may not are told so only if there is such a mode. */
static void mode_flag(struct moding *m, char sign, char letter)
{
	if (!irc_decide_is_flag(letter))
		irc_numeric(m->call, ERR_UNKNOWNMODE, "%c", letter);
	else if (mode_may(m))
		irc_decide_flag(&m->d, sign, letter);
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
		mode_flag(m, sign, letter);
	}
}

struct irc_deciding irc_deciding(const struct irc_call *call, const struct room *room,
				 const struct speaker *who)
{
	return (struct irc_deciding){.channels = irc_shared(call)->irc->channels, .room = room, .by = who};
}

bool irc_may_decide(struct irc_call *call, const struct room *room)
{
	char source[IRC_SOURCE_MAX + 1];
	const struct irc_channel_who who = irc_channel_who(call, true, source);

	return !room->raw && irc_channel_may_decide(irc_channel(call, room), &who);
}

static void mode_show(struct irc_call *call, struct room *room, bool member)
{
	const struct irc_channel *ch = irc_channel(call, room);
	char modes[IRC_DECIDE_MODES_MAX];
	uint64_t made_us = irc_room_made_us(room, ch, (uint64_t)clock_us(CLOCK_REALTIME));

	irc_decide_modes(ch, member, modes);
	irc_numeric(call, RPL_CHANNELMODEIS, "#%s %s", room->name, modes);
	if (made_us)
		irc_numeric(call, RPL_CREATIONTIME, "#%s %" PRIu64, room->name, made_us / 1000000);
}

_Static_assert(sizeof(": MODE # ") + IRC_SOURCE_MAX + TEXT_ROOM_MAX <= IRC_TOLD_FROM &&
		   sizeof(": MODE # ") + IRC_SHOWN_MAX + IRC_USER_MAX + sizeof(IRC_HOST_OF_OTHERS "!@") +
			   TEXT_ROOM_MAX <=
		       IRC_TOLD_FROM,
	       "whoever changes something");

/* Tells the room of what was changed since it was told before. */
static void mode_tell(struct moding *m)
{
	struct irc_call *call = m->call;
	char text[IRC_TOLD_MAX], msgid[IRC_MSGID_MAX];
	size_t n = irc_told_text(&m->d.told, text);

	if (n == 0)
		return;
	irc_msgid_next(m->room, msgid);
	speech_mode(&call->speech, m->room, m->d.by, text, n);
	if (!irc_sees_later(call, m->room))
		irc_own_event(call, call->speech.time_us, msgid, "", "MODE #%s %s", m->room->name, text);
	m->d.told = (struct irc_told){.n_letters = 0};
}

/* Its log is locked: by irc_speak(). */
static void mode_of_room(struct irc_call *call, struct room *room, bool member)
{
	const struct irc_look look = {.room = room, .mine = member, .channel = irc_channel(call, room)};
	const struct speaker who = irc_speaker(call->c);
	struct moding m = {.call = call,
			   .room = room,
			   .d = irc_deciding(call, room, &who),
			   .may = member && irc_may_decide(call, room),
			   .asks = irc_look_is_open(call, &look),
			   .next_arg = 2};
	char sign = '+';

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
		if (irc_told_is_full(&m.d.told))
			mode_tell(&m);
	}
	mode_tell(&m);
	if (room->outgoing) /* it is changed when that comes back */
		irc_channels_forget(m.d.channels, room);
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

static const struct mode_user_flag {
	char letter;
	uint32_t bit;
} mode_user_flags[] = {{'B', IRC_BOT}, {'i', IRC_INVISIBLE}, {'o', IRC_OPER}, {'w', IRC_WALLOPS}};
#define MODE_USER_FLAGS (sizeof(mode_user_flags) / sizeof(*mode_user_flags))

static void mode_change_user(struct irc_call *call, char sign, char letter, struct irc_told *told)
{
	for (size_t i = 0; i < MODE_USER_FLAGS; i++) {
		if (mode_user_flags[i].letter != letter)
			continue;
		bool is = irc_user(call->c)->flags & mode_user_flags[i].bit;
		if (is == (sign == '+') || (letter == 'o' && sign == '+')) /* that is for OPER */
			return;
		irc_change(call)->flags ^= mode_user_flags[i].bit;
		irc_told_add(told, sign, letter, NULL);
		return;
	}
	irc_numeric(call, ERR_UMODEUNKNOWNFLAG, "%s", "");
}

static enum verdict mode_user(struct irc_call *call)
{
	const struct irc_arg nick = call->line->params[0];
	const struct client_state *st = connection_state(call->c);
	struct irc_told told = {.n_letters = 0};
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
