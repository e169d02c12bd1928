/* SPDX-License-Identifier: MIT */
/* WHOIS, ISON and USERHOST: about people who are here, by their nick. */
#include "common/nick.h"
#include "daemon/channels/channels.h"
#include "daemon/irc/away.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/idle.h"
#include "daemon/irc/metadata.h"
#include "daemon/irc/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHOIS_USERHOSTS 5

/* --- WHOIS --- */

/* The rooms that it is in, as far as who asks may know of them. */
static void whois_channels(struct irc_call *call, const struct irc_person *p)
{
	char text[IRC_BODY_MAX / 2] = "";
	uint32_t rooms[IRC_PERSON_ROOMS];
	size_t len = 0, n = roster_rooms(irc_shared(call)->roster, &p->member, rooms, IRC_PERSON_ROOMS);
	struct irc_own_rooms own;
	struct irc_look look;

	irc_own_rooms(call, &own);
	irc_work(call, n);
	for (size_t i = 0; i < n; i++) {
		if (!irc_look_at(call, &own, rooms[i], &look))
			continue;
		char one[IRC_CHANNEL_MAX + 6];
		bool shown = irc_look_is_open(call, &look);
		int one_len =
		    snprintf(one, sizeof(one), "%s#%s", irc_look_status(&look, p, true), look.room->name);
		irc_look_away(call, &look);
		if (!shown)
			continue;
		if (len + 1 + (size_t)one_len >= sizeof(text)) {
			irc_numeric(call, RPL_WHOISCHANNELS, "%s :%s", p->nick, text);
			len = 0;
		}
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", one);
	}
	if (len > 0)
		irc_numeric(call, RPL_WHOISCHANNELS, "%s :%s", p->nick, text);
}

static void whois_away(struct irc_call *call, const struct irc_person *p)
{
	char text[IRC_BLOB_AWAY_MAX + 1];

	if (irc_away_text(irc_shared(call)->irc, p->member.index, p->member.id, &p->user, text) > 0)
		irc_numeric(call, RPL_AWAY, "%s :%s", p->nick, text);
}

/* The one room that its node tells of, if who asks may know of that. */
static void whois_room_elsewhere(struct irc_call *call, const struct irc_person *p)
{
	struct irc_look look;

	if (!p->room[0] || !irc_look_for(call, p->room, &look))
		return;
	bool shown = irc_look_is_open(call, &look);
	irc_look_away(call, &look);
	if (shown)
		irc_numeric(call, RPL_WHOISCHANNELS, "%s :#%s", p->nick, p->room);
}

static void whois_tell_elsewhere(struct irc_call *call, const struct irc_person *p)
{
	irc_numeric(call, RPL_WHOISUSER, "%s %s %s * :%s", p->nick, p->user.user, p->user.host,
		    p->user.realname);
	whois_room_elsewhere(call, p);
	irc_numeric(call, RPL_WHOISSERVER, "%s %s :another node of %s", p->nick, p->node,
		    irc_config(call)->irc.network);
	if (p->user.account[0])
		irc_numeric(call, RPL_WHOISACCOUNT, "%s %s", p->nick, p->user.account);
}

static void whois_tell(struct irc_call *call, const struct irc_person *p)
{
	const struct irc_config *config = &irc_config(call)->irc;
	const struct irc_user *u = &p->user;

	irc_numeric(call, RPL_WHOISUSER, "%s %s %s * :%s", p->nick, u->user, u->host, u->realname);
	whois_channels(call, p);
	irc_numeric(call, RPL_WHOISSERVER, "%s %s :%s", p->nick, config->server_name, config->network);
	whois_away(call, p);
	if (u->flags & IRC_OPER)
		irc_numeric(call, RPL_WHOISOPERATOR, "%s", p->nick);
	if (u->flags & IRC_BOT)
		irc_numeric(call, RPL_WHOISBOT, "%s", p->nick);
	if (u->account[0])
		irc_numeric(call, RPL_WHOISACCOUNT, "%s %s", p->nick, u->account);
	if (u->flags & IRC_SECURE)
		irc_numeric(call, RPL_WHOISSECURE, "%s", p->nick);
	irc_metadata_whois(call, p);
	if (u->signon_us)
		irc_numeric(call, RPL_WHOISIDLE, "%s %" PRId64 " %" PRIu64, p->nick,
			    irc_idle_seconds(p->member.index, p->member.id), u->signon_us / 1000000);
}

static enum verdict whois_run(struct irc_call *call)
{
	struct irc_arg nick;
	struct irc_person p;
	char echo[IRC_SHOWN_MAX + 1];
	size_t at = 0;

	/* "WHOIS SERVER NICK" is what some clients say; there is one server. */
	if (call->line->n_params == 0 ||
	    !irc_arg_next(call->line->params[call->line->n_params > 1], &at, &nick)) {
		irc_numeric(call, ERR_NONICKNAMEGIVEN, "%s", "");
		return HANDLER_MORE;
	}
	irc_query_echo(nick, echo, sizeof(echo));
	if (irc_person_anywhere(call, nick, &p))
		(p.node[0] ? whois_tell_elsewhere : whois_tell)(call, &p);
	else
		irc_numeric(call, ERR_NOSUCHNICK, "%s", echo);
	irc_numeric(call, RPL_ENDOFWHOIS, "%s", echo);
	return HANDLER_MORE;
}

/* --- ISON and USERHOST --- */

/* The words of all parameters, one at a call; *param and *at are 0 at first. */
static bool whois_next_word(const struct irc_line *line, unsigned *param, size_t *at, struct irc_arg *ret)
{
	for (; *param < line->n_params; (*param)++, *at = 0) {
		const struct irc_arg *a = &line->params[*param];
		while (*at < a->len && a->at[*at] == ' ')
			(*at)++;
		if (*at == a->len)
			continue;
		size_t from = *at;
		while (*at < a->len && a->at[*at] != ' ')
			(*at)++;
		*ret = (struct irc_arg){a->at + from, *at - from};
		return true;
	}
	return false;
}

/* Where a line would get too long the rest is left out, as there is no other way to answer. */
static void whois_append(char *text, size_t size, size_t *len, const char *word)
{
	size_t n = strlen(word);

	if (*len + 1 + n < size)
		*len += (size_t)snprintf(text + *len, size - *len, "%s%s", *len ? " " : "", word);
}

static enum verdict whois_ison(struct irc_call *call)
{
	char text[IRC_BODY_MAX - IRC_SERVER_NAME_MAX - TEXT_NICK_MAX - 16] = "";
	unsigned param = 0;
	size_t at = 0, len = 0;
	struct irc_arg nick;
	struct irc_person p;

	while (whois_next_word(call->line, &param, &at, &nick))
		if (irc_person_anywhere(call, nick, &p))
			whois_append(text, sizeof(text), &len, p.nick);
	irc_numeric(call, RPL_ISON, ":%s", text);
	return HANDLER_MORE;
}

static enum verdict whois_userhost(struct irc_call *call)
{
	char text[IRC_BODY_MAX - IRC_SERVER_NAME_MAX - TEXT_NICK_MAX - 16] = "";
	char one[IRC_SHOWN_MAX + IRC_USER_MAX + IRC_HOST_MAX + 6];
	unsigned param = 0, n = 0;
	size_t at = 0, len = 0;
	struct irc_arg nick;
	struct irc_person p;

	while (n < WHOIS_USERHOSTS && whois_next_word(call->line, &param, &at, &nick)) {
		n++;
		if (!irc_person_anywhere(call, nick, &p))
			continue;
		snprintf(one, sizeof(one), "%s%s=%c%s@%s", p.nick, p.user.flags & IRC_OPER ? "*" : "",
			 p.user.flags & IRC_AWAY ? '-' : '+', p.user.user, p.user.host);
		whois_append(text, sizeof(text), &len, one);
	}
	irc_numeric(call, RPL_USERHOST, ":%s", text);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_whois[] = {
    {.name = "WHOIS", .run = whois_run, .cost = 2, .only_asks = true},
    {.name = "METADATA", .run = irc_metadata, .needs = 2, .cost = 4, .early = true},
    {.name = "ISON", .run = whois_ison, .needs = 1, .cost = 2, .only_asks = true},
    {.name = "USERHOST", .run = whois_userhost, .needs = 1, .cost = 2, .only_asks = true},
    {0},
};
