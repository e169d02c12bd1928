/* SPDX-License-Identifier: MIT */
/*
 * WHO, of a channel, a nick or a mask, and WHOX (https://ircv3.net/specs/extensions/whox), in which the client says what it
 * wants to know.
 */
#include "common/cleanup.h"
#include "daemon/channels/mask.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/idle.h"
#include "daemon/irc/people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO_TOKEN_MAX 3
/* What one that is looked at costs: irc_work(). */
#define WHO_WORK 2

struct who {
	struct irc_call *call;
	struct irc_own_rooms own;
	bool only_operators, whox;
	char fields[32], token[WHO_TOKEN_MAX + 1];
	bool full; /* more doesn't fit */
};

/* --- one of them --- */

struct who_place {
	char channel[IRC_CHANNEL_MAX + 3]; /* "*": none that the client may know of */
	char status[3];
};

/* As modern.ircdocs.horse has it: here or gone, an operator, a bot, and the status in the channel. */
static const char *who_flags(const struct irc_person *p, const struct who_place *place, char ret[static 8])
{
	snprintf(ret, 8, "%s%s%s%s", p->user.flags & IRC_AWAY ? "G" : "H",
		 p->user.flags & IRC_OPER ? "*" : "", place->status, p->user.flags & IRC_BOT ? "B" : "");
	return ret;
}

/* In the order in which the specification has them. */
static void who_extended(struct who *w, const struct irc_person *p, const struct who_place *place)
{
	char line[IRC_BODY_MAX] = "", flags[8], idle[16];
	size_t n = 0;
	const struct {
		char field;
		const char *value;
	} all[] = {
	    {'t', w->token[0] ? w->token : "0"},
	    {'c', place->channel},
	    {'u', p->user.user},
	    {'i', "255.255.255.255"}, /* addresses are nobody's business */
	    {'h', p->user.host},
	    {'s', irc_person_server(w->call, p)},
	    {'n', p->nick},
	    {'f', who_flags(p, place, flags)},
	    {'d', "0"},
	    {'l', idle},
	    {'a', p->user.account[0] ? p->user.account : "0"},
	    {'o', "n/a"},
	};

	snprintf(idle, sizeof(idle), "%lld",
		 (long long)(p->node[0] ? 0 : irc_idle_seconds(p->member.index, p->member.id)));
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strchr(w->fields, all[i].field))
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", n ? " " : "", all[i].value);
	if (strchr(w->fields, 'r'))
		snprintf(line + n, sizeof(line) - n, "%s:%s", n ? " " : "", p->user.realname);
	irc_numeric(w->call, RPL_WHOSPCRPL, "%s", line);
}

static void who_tell(struct who *w, const struct irc_person *p, const struct who_place *place)
{
	char flags[8];

	if (w->full || (w->only_operators && !(p->user.flags & IRC_OPER)))
		return;
	if (!irc_query_fits(w->call)) {
		w->full = true;
		return;
	}
	if (w->whox)
		who_extended(w, p, place);
	else
		irc_numeric(w->call, RPL_WHOREPLY, "%s %s %s %s %s %s :0 %s", place->channel, p->user.user,
			    p->user.host, irc_person_server(w->call, p), p->nick, who_flags(p, place, flags),
			    p->user.realname);
}

static void who_place_in(struct who *w, const struct irc_look *look, const struct irc_person *p,
			 struct who_place *ret)
{
	snprintf(ret->channel, sizeof(ret->channel), "#%s", look->room->name);
	snprintf(ret->status, sizeof(ret->status), "%s",
		 irc_look_status(look, p, irc_has(w->call->c, IRC_CAP_MULTI_PREFIX)));
}

/* A room that both are in; false: there is none. */
static bool who_shared_place(struct who *w, const struct irc_person *p, struct who_place *ret)
{
	uint32_t rooms[IRC_PERSON_ROOMS];
	size_t n = roster_rooms(irc_shared(w->call)->roster, &p->member, rooms, IRC_PERSON_ROOMS);

	*ret = (struct who_place){.channel = "*"};
	for (size_t i = 0; i < n; i++) {
		struct irc_look look;
		if (!irc_own_rooms_has(&w->own, rooms[i]) || !irc_look_at(w->call, &w->own, rooms[i], &look))
			continue;
		who_place_in(w, &look, p, ret);
		irc_look_away(w->call, &look);
		return true;
	}
	return false;
}

/* --- whom is asked for --- */

static bool who_matches(const struct irc_person *p, const char *mask)
{
	char whole[IRC_SHOWN_MAX + IRC_USER_MAX + IRC_HOST_MAX + 3];

	snprintf(whole, sizeof(whole), "%s!%s@%s", p->nick, p->user.user, p->user.host);
	return irc_mask_match(mask, p->nick) || irc_mask_match(mask, whole) ||
	       irc_mask_match(mask, p->user.user) || irc_mask_match(mask, p->user.host) ||
	       irc_mask_match(mask, p->user.realname);
}

/* Those of the room who are on other nodes; look: at it, or NULL, and nobody's status is known; mask: NULL for all of them. */
static void who_elsewhere(struct who *w, const struct room *room, const struct irc_look *look,
			  const char *mask)
{
	size_t n;
	_cleanup_free_ struct elsewhere_found *all = irc_people_elsewhere(w->call, room, &n);
	struct irc_person p;
	struct who_place place = {.status = ""};

	snprintf(place.channel, sizeof(place.channel), "#%s", room->name);
	for (size_t i = 0; i < n && !w->full; i++) {
		irc_work(w->call, WHO_WORK);
		irc_person_elsewhere(&all[i], &p);
		if (look)
			who_place_in(w, look, &p, &place);
		if (!mask || who_matches(&p, mask))
			who_tell(w, &p, &place);
	}
}

static void who_channel(struct who *w, struct irc_arg channel)
{
	_cleanup_free_ struct roster_member *all = NULL;
	char name[TEXT_ROOM_MAX + 1];
	struct irc_look look;
	struct irc_person p;
	struct who_place place;
	size_t n;

	if (!irc_room_of(w->call, channel, name) || !irc_look_for(w->call, name, &look))
		return;
	if (irc_look_is_open(w->call, &look)) {
		all = roster_members(irc_shared(w->call)->roster, look.room->index, &n);
		for (size_t i = 0; all && i < n && !w->full; i++) {
			irc_work(w->call, WHO_WORK);
			bool shown = irc_person_of(w->call, &all[i], &p) &&
				     (look.mine || !(p.user.flags & IRC_INVISIBLE) ||
				      irc_user(w->call->c)->flags & IRC_OPER);
			if (!shown)
				continue;
			who_place_in(w, &look, &p, &place);
			who_tell(w, &p, &place);
		}
	}
	if (irc_look_is_open(w->call, &look))
		who_elsewhere(w, look.room, &look, NULL);
	irc_look_away(w->call, &look);
}

/* Whether somebody there wants to be found isn't known, so it is by who is in a room with it; and each is in one. */
static void who_mask_elsewhere(struct who *w, const char *mask)
{
	for (size_t i = 0; i < w->own.n && !w->full; i++) {
		const struct room *room = rooms_at(irc_shared(w->call)->rooms, w->own.at[i]);
		if (room)
			who_elsewhere(w, room, NULL, mask);
	}
}

/* Who doesn't want to be found is found by who is in a room with it, and by operators. */
static void who_mask(struct who *w, const char *mask)
{
	enum { PART = 256 }; /* under the roster's lock, which others want */
	_cleanup_free_ struct roster_member *some = malloc(PART * sizeof(*some));
	uint64_t cursor = 0;
	struct irc_person p;
	struct who_place place;

	for (size_t n;
	     some && !w->full && (n = roster_some(irc_shared(w->call)->roster, &cursor, some, PART)) > 0;)
		for (size_t i = 0; i < n && !w->full; i++) {
			irc_work(w->call, WHO_WORK);
			if (!irc_person_of(w->call, &some[i], &p) || !who_matches(&p, mask))
				continue;
			bool shares = who_shared_place(w, &p, &place);
			if (shares || irc_person_is_self(w->call, &p) || !(p.user.flags & IRC_INVISIBLE) ||
			    irc_user(w->call->c)->flags & IRC_OPER)
				who_tell(w, &p, &place);
		}
}

static void who_nick(struct who *w, struct irc_arg nick)
{
	struct irc_person p;
	struct who_place place;

	if (!irc_person_anywhere(w->call, nick, &p))
		return;
	if (p.node[0])
		place = (struct who_place){.channel = "*"};
	else
		who_shared_place(w, &p, &place);
	who_tell(w, &p, &place);
}

/* "o", "%tcn,42" */
static void who_options(struct who *w, struct irc_arg options)
{
	char text[64];

	if (irc_arg_copy(options, text, sizeof(text)) < 0)
		return;
	char *fields = strchr(text, '%');
	if (fields)
		*fields++ = '\0';
	w->only_operators = strchr(text, 'o');
	if (!fields)
		return;
	char *comma = strchr(fields, ',');
	if (comma)
		*comma++ = '\0';
	w->whox = fields[0];
	snprintf(w->fields, sizeof(w->fields), "%s", fields);
	if (comma && strlen(comma) <= WHO_TOKEN_MAX && strspn(comma, "0123456789") == strlen(comma))
		snprintf(w->token, sizeof(w->token), "%s", comma);
}

static enum verdict who_run(struct irc_call *call)
{
	struct irc_arg mask = call->line->n_params ? call->line->params[0] : (struct irc_arg){"*", 1};
	struct who w = {.call = call};
	char text[IRC_BODY_MAX];

	irc_own_rooms(call, &w.own);
	if (call->line->n_params > 1)
		who_options(&w, call->line->params[1]);
	if (irc_arg_equals(mask, "0"))
		mask = (struct irc_arg){"*", 1};
	if (irc_is_channel(mask))
		who_channel(&w, mask);
	else if (mask.len > 0 && (memchr(mask.at, '*', mask.len) || memchr(mask.at, '?', mask.len))) {
		irc_arg_copy(mask, text, sizeof(text));
		who_mask(&w, text);
		who_mask_elsewhere(&w, text);
	} else {
		who_nick(&w, mask);
	}
	if (w.full)
		irc_query_cut(call, "people");
	irc_numeric(call, RPL_ENDOFWHO, "%s",
		    call->line->n_params ? irc_query_echo(call->line->params[0], text, sizeof(text) / 2)
					 : "*");
	return irc_query_done(call);
}

const struct irc_command irc_commands_who[] = {
    {.name = "WHO", .run = who_run, .cost = 4, .only_asks = true},
    {0},
};
