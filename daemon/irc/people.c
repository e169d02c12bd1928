/* SPDX-License-Identifier: MIT */
/* First long answers, then people, then rooms. */
#include "daemon/irc/people.h"

#include "common/nick.h"
#include "daemon/channels/channels.h"
#include "daemon/irc/wire.h"

#include <stdio.h>
#include <string.h>

/* --- long answers --- */

/* What an outbox has space for once it is empty, with some of it kept for what follows. */
#define PEOPLE_LONG (200U << 10)
#define PEOPLE_RESERVE 4096
/* How many people of other nodes one answer has at most. */
#define PEOPLE_ELSEWHERE_MAX 4096

/* What it is with the tags that its lines get: the time, a batch. */
static size_t people_size(const struct irc_call *call)
{
	size_t more =
	    IRC_WIRE_MORE + (irc_has(call->c, IRC_CAP_SERVER_TIME) ? 32 : 0) + (call->label[0] ? 24 : 0);

	return call->answer.len + (size_t)call->answer.n * more + PEOPLE_RESERVE;
}

static bool people_has_all_space(const struct irc_call *call)
{
	return connection_wire_space(call->c) >= PEOPLE_LONG;
}

bool irc_query_fits(struct irc_call *call)
{
	size_t most = people_has_all_space(call) ? connection_space(call->c) : PEOPLE_LONG;

	return people_size(call) < most;
}

size_t irc_query_space(struct irc_call *call)
{
	size_t space = connection_space(call->c), used = people_size(call);

	return space > used ? space - used : 0;
}

void irc_query_cut(struct irc_call *call, const char *what)
{
	char nick[TEXT_NICK_MAX + 1];

	irc_from_server(call, "NOTICE %s :There are more %s than one answer has space for.",
			irc_nick(call->c, nick), what);
}

enum verdict irc_query_done(struct irc_call *call)
{
	if (people_size(call) <= connection_space(call->c) || people_has_all_space(call))
		return HANDLER_MORE;
	irc_abandon(call);
	return HANDLER_BLOCKED;
}

const char *irc_query_echo(struct irc_arg a, char *buf, size_t size)
{
	size_t n = 0;

	while (a.len > 0 && *a.at == ':') {
		a.at++;
		a.len--;
	}
	while (n < a.len && n + 1 < size && a.at[n] != ' ')
		n++;
	n = text_cut(a.at, a.len, n);
	if (n == 0)
		return strcpy(buf, "*");
	memcpy(buf, a.at, n);
	buf[n] = '\0';
	return buf;
}

/* --- people --- */

void irc_user_make_up(const char *nick, size_t len, struct irc_user *ret)
{
	irc_user_of_nick(nick, len, ret->user, sizeof(ret->user));
	strcpy(ret->host, IRC_HOST_OF_OTHERS);
	memcpy(ret->realname, nick, len);
}

static void people_make_up(struct irc_person *p)
{
	const struct roster_member *m = &p->member;

	irc_user_make_up(m->nick, m->len, &p->user);
	if (m->is_account)
		memcpy(p->user.account, m->nick, m->len);
}

bool irc_person_of(struct irc_call *call, const struct roster_member *m, struct irc_person *ret)
{
	*ret = (struct irc_person){.member = *m};
	irc_nick_show(m->nick, m->len, ret->nick);
	ret->is_irc = irc_users_copy(irc_shared(call)->irc->users, m->index, m->id, &ret->user);
	if (ret->is_irc)
		return ret->user.flags & IRC_REGISTERED;
	people_make_up(ret);
	return true;
}

bool irc_person_find(struct irc_call *call, struct irc_arg nick, struct irc_person *ret)
{
	struct roster_member m;

	return nick_valid(nick.at, nick.len) &&
	       roster_member(irc_shared(call)->roster, nick.at, nick.len, &m) && irc_person_of(call, &m, ret);
}

/* Its id and place mean nothing here. */
void irc_person_elsewhere(const struct elsewhere_found *f, struct irc_person *ret)
{
	const struct elsewhere_client *c = &f->client;

	*ret = (struct irc_person){
	    .member = {.index = UINT32_MAX, .len = c->nick_len, .is_account = c->account}};
	memcpy(ret->node, f->node, sizeof(ret->node));
	memcpy(ret->room, c->room, sizeof(ret->room));
	memcpy(ret->member.nick, c->nick, c->nick_len);
	irc_nick_show(c->nick, c->nick_len, ret->nick);
	people_make_up(ret);
}

bool irc_person_anywhere(struct irc_call *call, struct irc_arg nick, struct irc_person *ret)
{
	struct elsewhere_found found;

	if (irc_person_find(call, nick, ret))
		return true;
	if (!nick_valid(nick.at, nick.len))
		return false;
	const struct nick_keys keys = nick_keys(nick.at, nick.len);
	if (!elsewhere_find(irc_shared(call)->elsewhere, &keys, &found))
		return false;
	irc_person_elsewhere(&found, ret);
	return true;
}

struct elsewhere_found *irc_people_elsewhere(struct irc_call *call, const struct room *room, size_t *ret_n)
{
	*ret_n = 0;
	return room->outgoing
		   ? elsewhere_people(irc_shared(call)->elsewhere, room->name, PEOPLE_ELSEWHERE_MAX, ret_n)
		   : NULL;
}

const char *irc_person_server(struct irc_call *call, const struct irc_person *p)
{
	return p->node[0] ? p->node : irc_config(call)->irc.server_name;
}

bool irc_person_is_self(struct irc_call *call, const struct irc_person *p)
{
	return p->member.id == connection_id(call->c);
}

/* --- rooms --- */

static bool people_add_room(struct connection *c, struct room *room, void *arg)
{
	struct irc_own_rooms *own = arg;

	(void)c;
	own->at[own->n++] = room->index;
	return own->n < IRC_PERSON_ROOMS;
}

void irc_own_rooms(struct irc_call *call, struct irc_own_rooms *ret)
{
	ret->n = 0;
	seats_each(call->c, people_add_room, ret);
}

bool irc_own_rooms_has(const struct irc_own_rooms *own, uint32_t index)
{
	for (size_t i = 0; i < own->n; i++)
		if (own->at[i] == index)
			return true;
	return false;
}

static bool people_look(struct irc_call *call, struct room *room, struct irc_look *ret)
{
	if (!room)
		return false;
	logring_lock(room->log);
	ret->room = room;
	ret->channel = irc_channels_get(irc_shared(call)->irc->channels, room);
	return true;
}

bool irc_look_at(struct irc_call *call, const struct irc_own_rooms *own, uint32_t index, struct irc_look *ret)
{
	struct rooms *rooms = irc_shared(call)->rooms;

	*ret = (struct irc_look){.mine = irc_own_rooms_has(own, index)};
	return people_look(call,
			   ret->mine ? rooms_at(rooms, index)
				     : rooms_enter_index(rooms, index, irc_context(call)->slot),
			   ret);
}

bool irc_look_for(struct irc_call *call, const char *name, struct irc_look *ret)
{
	struct room *room;

	*ret = (struct irc_look){.mine = false};
	if (rooms_enter_existing(irc_shared(call)->rooms, name, irc_context(call)->slot, &room) < 0)
		return false;
	ret->mine = seats_in(call->c, room);
	/* Then the seat holds it. The rooms' lock is taken before that of a log, never within. */
	if (ret->mine)
		rooms_leave(irc_shared(call)->rooms, room, irc_context(call)->slot);
	return people_look(call, room, ret);
}

void irc_look_away(struct irc_call *call, struct irc_look *look)
{
	logring_unlock(look->room->log);
	if (!look->mine)
		rooms_leave(irc_shared(call)->rooms, look->room, irc_context(call)->slot);
	look->room = NULL;
}

uint64_t irc_room_made_us(const struct room *room, const struct irc_channel *ch, uint64_t now_us)
{
	if (ch && ch->created_us)
		return ch->created_us;
	/* Numbers of messages begin with the time when the log was made, or, behind a history, above all that were given. */
	return room->number_base <= now_us ? room->number_base : 0;
}

bool irc_look_is_secret(const struct irc_look *look)
{
	return (look->channel && look->channel->modes & IRC_M_SECRET) || look->room->members_only;
}

bool irc_look_is_open(struct irc_call *call, const struct irc_look *look)
{
	return look->mine || !irc_look_is_secret(look) || irc_user(call->c)->flags & IRC_OPER;
}

const char *irc_look_status(const struct irc_look *look, const struct irc_person *p, bool all)
{
	uint8_t flags = irc_channel_status_of(look->channel, p->node[0] ? 0 : p->member.id, p->user.account);

	if (flags & IRC_STATUS_OP)
		return all && flags & IRC_STATUS_VOICE ? "@+" : "@";
	return flags & IRC_STATUS_VOICE ? "+" : "";
}
