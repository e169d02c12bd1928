/* SPDX-License-Identifier: MIT */
/* NAMES: who is in a channel, as many to a line as fit. */
#include "common/cleanup.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"

#include <stdio.h>
#include <string.h>

struct names_reply {
	struct irc_call *call;
	const struct irc_look *look;
	char text[IRC_BODY_MAX];
	size_t len, most;
};

static void names_reply_flush(struct names_reply *l)
{
	if (l->len > 0)
		irc_numeric(l->call, RPL_NAMREPLY, "%c #%s :%s", irc_look_is_secret(l->look) ? '@' : '=',
			    l->look->room->name, l->text);
	l->len = 0;
}

static void names_reply_add(struct names_reply *l, const struct irc_person *p)
{
	char one[2 + IRC_SHOWN_MAX + 2 + IRC_USER_MAX + IRC_HOST_MAX + 1];
	uint32_t caps = irc_user(l->call->c)->caps;
	int n = snprintf(one, sizeof(one), "%s%s", irc_look_status(l->look, p, caps & IRC_CAP_MULTI_PREFIX),
			 p->nick);

	if (caps & IRC_CAP_USERHOST_IN_NAMES)
		n += snprintf(one + n, sizeof(one) - (size_t)n, "!%s@%s", p->user.user, p->user.host);
	if (l->len > 0 && l->len + 1 + (size_t)n > l->most)
		names_reply_flush(l);
	l->len +=
	    (size_t)snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s%s", l->len ? " " : "", one);
}

/* The client itself, which is in its room before the roster says so. */
static void names_reply_add_self(struct names_reply *l)
{
	struct irc_person p = {.member.id = connection_id(l->call->c), .user = *irc_user(l->call->c)};

	irc_nick(l->call->c, p.nick);
	names_reply_add(l, &p);
}

/* Those of the channel who are on other nodes. */
static void names_reply_elsewhere(struct names_reply *l)
{
	size_t n;
	_cleanup_free_ struct elsewhere_found *all = irc_people_elsewhere(l->call, l->look->room, &n);
	struct irc_person p;

	for (size_t i = 0; i < n; i++) {
		irc_work(l->call, 1);
		if (!irc_query_fits(l->call)) {
			names_reply_flush(l);
			irc_query_cut(l->call, "people");
			return;
		}
		irc_person_elsewhere(&all[i], &p);
		names_reply_add(l, &p);
	}
}

static void names_reply_of(struct irc_call *call, const struct irc_look *look, bool with_self)
{
	size_t n;
	_cleanup_free_ struct roster_member *all =
	    roster_members(irc_shared(call)->roster, look->room->index, &n);
	char nick[TEXT_NICK_MAX + 1];
	struct names_reply list = {.call = call, .look = look};
	bool told = false;

	irc_work(call, n);
	list.most = IRC_BODY_MAX - 2 -
		    (strlen(irc_config(call)->irc.server_name) + strlen(irc_nick(call->c, nick)) +
		     strlen(look->room->name) + strlen(":  353  = # :"));
	for (size_t i = 0; i < n; i++) {
		struct irc_person p;
		if (!irc_person_of(call, &all[i], &p))
			continue;
		bool self = irc_person_is_self(call, &p);
		told |= self;
		if (!with_self && !self && p.user.flags & IRC_INVISIBLE &&
		    !(irc_user(call->c)->flags & IRC_OPER))
			continue;
		if (!irc_query_fits(call)) {
			names_reply_flush(&list);
			irc_query_cut(call, "people");
			return;
		}
		names_reply_add(&list, &p);
	}
	if (with_self && !told)
		names_reply_add_self(&list);
	names_reply_elsewhere(&list);
	names_reply_flush(&list);
}

void irc_names(struct irc_call *call, struct room *room)
{
	struct irc_look look = {.room = room, .mine = true, .channel = irc_channel(call, room)};

	names_reply_of(call, &look, true);
	irc_numeric(call, RPL_ENDOFNAMES, "#%s", room->name);
}

static void names_reply_channel(struct irc_call *call, struct irc_arg channel)
{
	char name[TEXT_ROOM_MAX + 1];
	struct irc_look look;

	if (!irc_room_of(call, channel, name) || !irc_look_for(call, name, &look))
		return;
	if (irc_look_is_open(call, &look))
		names_reply_of(call, &look, look.mine);
	irc_look_away(call, &look);
}

/* Each name may be followed by many, so they are few: the rest is looked at when asked for. */
#define NAMES_CHANNELS 10

static enum verdict names_reply_run(struct irc_call *call)
{
	char echo[IRC_BODY_MAX / 2];
	struct irc_arg one;
	size_t at = 0;

	if (call->line->n_params == 0) {
		irc_numeric(call, RPL_ENDOFNAMES, "*");
		return HANDLER_MORE;
	}
	for (unsigned i = 0; i < NAMES_CHANNELS && irc_arg_next(call->line->params[0], &at, &one); i++) {
		irc_work(call, i > 0 ? CONNECTION_COMMAND_WORK : 0);
		names_reply_channel(call, one);
	}
	irc_numeric(call, RPL_ENDOFNAMES, "%s", irc_query_echo(call->line->params[0], echo, sizeof(echo)));
	return irc_query_done(call);
}

const struct irc_command irc_commands_names[] = {
    {.name = "NAMES", .run = names_reply_run, .cost = 2, .only_asks = true},
    {0},
};
