/* SPDX-License-Identifier: MIT */
/*
 * METADATA (https://ircv3.net/specs/extensions/metadata). What somebody says of itself is a blob with the user's record, and
 * what is said of a channel is in the channel's record, so both outlive the process.
 */
#include "daemon/irc/metadata.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/channels/channels.h"
#include "daemon/irc/blobs.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/metadata_kept.h"
#include "daemon/irc/tell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In a larger channel who comes has to ask. */
#define METADATA_SYNC_MEMBERS 100
/* Likewise if the outbox has no space for what a hundred may say. */
#define METADATA_SYNC_SPACE (32U << 10)
/* What one whose metadata may be read costs: irc_work(). */
#define METADATA_WORK 2

/* Whose it is. */
struct metadata {
	struct irc_call *call;
	struct room *room; /* or NULL: it is a user's */
	bool mine;	   /* it may be changed */
	char target[IRC_SHOWN_MAX + IRC_CHANNEL_MAX + 1];
	struct irc_pairs pairs;
	char text[IRC_BLOB_METADATA_MAX];
};

/* --- what is kept --- */

static void metadata_write(struct metadata *m)
{
	struct irc_call *call = m->call;

	if (m->room) {
		struct irc_channel *ch = irc_channel_change(call, m->room);
		memset(ch->metadata, 0, sizeof(ch->metadata));
		memcpy(ch->metadata, m->pairs.text, m->pairs.len);
		ch->metadata_len = (uint32_t)m->pairs.len;
		return;
	}
	const struct client *client = clients_at(irc_shared(call)->clients, connection_index(call->c));
	uint32_t holds = irc_user(call->c)->metadata_at;
	struct irc_user *u = irc_change(call);
	u->metadata_at = irc_blob_put(irc_shared(call)->irc->blobs, client, IRC_BLOB_METADATA, holds,
				      m->pairs.text, m->pairs.len);
}

/* --- answers --- */

static enum verdict metadata_fail(struct irc_call *call, const char *code, const char *target,
				  const char *key, const char *text)
{
	char context[sizeof(((struct metadata *)0)->target) + IRC_PAIRS_KEY_MAX + 80];

	snprintf(context, sizeof(context), "%s%s%s%s", target, *target ? " " : "", key, *key ? " " : "");
	irc_standard(call, "FAIL", "METADATA", code, context, text);
	return HANDLER_MORE;
}

static void metadata_say(struct irc_call *call, const char *target, const char *key, const char *value)
{
	if (value)
		irc_numeric(call, RPL_KEYVALUE, "%s %s * :%s", target, key, value);
	else
		irc_numeric(call, RPL_KEYNOTSET, "%s %s", target, key);
}

static void metadata_batch(struct irc_call *call, const char *target)
{
	char text[sizeof(((struct metadata *)0)->target) + 16];

	snprintf(text, sizeof(text), "metadata %s", target);
	irc_batch_begin(call, text);
}

/* The next pair that is a value. */
static bool metadata_next(const struct irc_pairs *p, size_t *at, char key[static IRC_PAIRS_KEY_MAX + 1],
			  const char **ret_value)
{
	while (irc_pairs_next(p, at, key, ret_value))
		if (*ret_value)
			return true;
	return false;
}

/* What others are told, if they want to know of that key: those in that room, or (NULL) who shares one with the client. It goes
 * before what *list has, for irc_tell_later(). */
static void metadata_tell(struct irc_call *call, const struct room *room, const char *target, const char *key,
			  const char *value, struct irc_tell **list)
{
	struct irc_tell *t = irc_tell_new(call);
	const char *server = irc_config(call)->irc.server_name;

	if (!t)
		return;
	if (value)
		snprintf(t->line, sizeof(t->line), "%s %s * :%s", target, key, value);
	else
		snprintf(t->line, sizeof(t->line), "%s %s :%s", target, key, irc_numeric_text(RPL_KEYNOTSET));
	snprintf(t->head, sizeof(t->head), ":%s %03d", server, value ? RPL_KEYVALUE : RPL_KEYNOTSET);
	t->account[0] = 0; /* the server says it */
	t->caps = IRC_CAP_METADATA;
	t->except_id = connection_id(call->c);
	snprintf(t->metadata_key, sizeof(t->metadata_key), "%s", key);
	if (room)
		t->rooms[t->n_rooms++] = room->index;
	else
		irc_tell_add_rooms(call, t);
	if (t->n_rooms == 0) {
		free(t);
		return;
	}
	t->next = *list;
	*list = t;
}

static void metadata_tell_list(struct irc_call *call, struct irc_tell *list)
{
	if (list)
		irc_tell_later(call, list);
}

/* --- what is told without being asked for --- */

static void metadata_sync_one(struct irc_call *call, const struct irc_pairs *wanted, const char *target,
			      const struct irc_pairs *has)
{
	char key[IRC_PAIRS_KEY_MAX + 1];
	const char *value;

	for (size_t at = 0; irc_query_fits(call) && metadata_next(has, &at, key, &value);)
		if (irc_pairs_wants(wanted, key))
			metadata_say(call, target, key, value);
}

/* Of a channel whose log is locked, and of those in it. asked: also of one with many people. */
static void metadata_sync(struct irc_call *call, struct room *room, bool asked)
{
	char own[IRC_BLOB_METADATA_MAX], text[IRC_BLOB_METADATA_MAX], channel[IRC_CHANNEL_MAX + 3];
	struct irc_pairs wanted = {.text = own, .size = sizeof(own)},
			 has = {.text = text, .size = sizeof(text)};
	struct irc_person p;
	size_t n = 0;

	irc_metadata_read_own(call->c, &wanted);
	snprintf(channel, sizeof(channel), "#%s", room->name);
	irc_metadata_read_channel(irc_channel(call, room), &has);
	metadata_sync_one(call, &wanted, channel, &has);
	_cleanup_free_ struct roster_member *all = roster_members(irc_shared(call)->roster, room->index, &n);
	/* Many rooms may be more than there is space for, or time. */
	if (!asked && (n > METADATA_SYNC_MEMBERS || call->work >= IRC_TURN_WORK ||
		       irc_query_space(call) < METADATA_SYNC_SPACE)) {
		irc_numeric(call, RPL_METADATASYNCLATER, "%s", channel);
		return;
	}
	for (size_t i = 0; all && i < n && irc_query_fits(call); i++) {
		irc_work(call, METADATA_WORK);
		if (!irc_person_of(call, &all[i], &p) || !p.is_irc || p.user.metadata_at == 0 ||
		    all[i].id == connection_id(call->c))
			continue;
		irc_metadata_read(irc_shared(call)->irc, all[i].index, all[i].id, p.user.metadata_at, &has);
		metadata_sync_one(call, &wanted, p.nick, &has);
	}
}

void irc_metadata_join(struct irc_call *call, struct room *room)
{
	char text[IRC_BLOB_METADATA_MAX], key[IRC_PAIRS_KEY_MAX + 1], nick[TEXT_NICK_MAX + 1];
	struct irc_pairs own = {.text = text, .size = sizeof(text)};
	struct irc_tell *list = NULL;
	const char *value;

	if (!irc_has(call->c, IRC_CAP_METADATA) || irc_user(call->c)->metadata_at == 0)
		return;
	metadata_sync(call, room, false);
	irc_metadata_read_own(call->c, &own);
	for (size_t at = 0; metadata_next(&own, &at, key, &value);)
		metadata_tell(call, room, irc_nick(call->c, nick), key, value, &list);
	metadata_tell_list(call, list);
}

void irc_metadata_welcome(struct irc_call *call)
{
	char text[IRC_BLOB_METADATA_MAX], key[IRC_PAIRS_KEY_MAX + 1], nick[TEXT_NICK_MAX + 1];
	struct irc_pairs own = {.text = text, .size = sizeof(text)};
	const char *value;

	if (!irc_has(call->c, IRC_CAP_METADATA) || irc_user(call->c)->metadata_at == 0)
		return;
	irc_metadata_read_own(call->c, &own);
	metadata_batch(call, irc_nick(call->c, nick));
	for (size_t at = 0; metadata_next(&own, &at, key, &value);)
		metadata_say(call, nick, key, value);
	irc_batch_end(call);
}

void irc_metadata_whois(struct irc_call *call, const struct irc_person *p)
{
	char text[IRC_BLOB_METADATA_MAX], key[IRC_PAIRS_KEY_MAX + 1];
	struct irc_pairs has = {.text = text, .size = sizeof(text)};
	const char *value;

	if (!irc_has(call->c, IRC_CAP_METADATA) || !p->is_irc || p->user.metadata_at == 0)
		return;
	irc_metadata_read(irc_shared(call)->irc, p->member.index, p->member.id, p->user.metadata_at, &has);
	for (size_t at = 0; metadata_next(&has, &at, key, &value);)
		irc_numeric(call, RPL_WHOISKEYVALUE, "%s %s * :%s", p->nick, key, value);
}

/* --- the command --- */

typedef enum verdict (*metadata_fn)(struct metadata *m);

/* The key that is the parameter of that number; false: it is none, which is answered. */
static bool metadata_key(const struct metadata *m, unsigned i, char ret[static IRC_PAIRS_KEY_MAX + 1])
{
	char shown[IRC_PAIRS_KEY_MAX + 24];

	irc_param(m->call, i, ret, IRC_PAIRS_KEY_MAX + 1);
	if (irc_pairs_is_key(ret))
		return true;
	metadata_fail(m->call, "KEY_INVALID", "",
		      irc_query_echo(m->call->line->params[i], shown, sizeof(shown)),
		      "A key has the characters a-z 0-9 _ . / and -");
	return false;
}

static enum verdict metadata_get(struct metadata *m)
{
	char key[IRC_PAIRS_KEY_MAX + 1];

	metadata_batch(m->call, m->target);
	for (unsigned i = 2; i < m->call->line->n_params; i++)
		if (metadata_key(m, i, key))
			metadata_say(m->call, m->target, key, irc_pairs_get(&m->pairs, key));
	irc_batch_end(m->call);
	return HANDLER_MORE;
}

static enum verdict metadata_list(struct metadata *m)
{
	char key[IRC_PAIRS_KEY_MAX + 1];
	const char *value;

	metadata_batch(m->call, m->target);
	for (size_t at = 0; metadata_next(&m->pairs, &at, key, &value);)
		metadata_say(m->call, m->target, key, value);
	irc_batch_end(m->call);
	return HANDLER_MORE;
}

static enum verdict metadata_set(struct metadata *m)
{
	char key[IRC_PAIRS_KEY_MAX + 1], value[IRC_PAIRS_VALUE_MAX + 1];
	struct irc_call *call = m->call;
	struct irc_tell *list = NULL;
	bool unset = call->line->n_params < 4 || call->line->params[3].len == 0;

	if (call->line->n_params < 3) {
		irc_numeric(call, ERR_NEEDMOREPARAMS, "METADATA");
		return HANDLER_MORE;
	}
	if (!metadata_key(m, 2, key))
		return HANDLER_MORE;
	if (!m->mine)
		return metadata_fail(call, "KEY_NO_PERMISSION", m->target, key, "That isn't yours to say");
	if (unset && !irc_pairs_get(&m->pairs, key))
		return metadata_fail(call, "KEY_NOT_SET", m->target, key, "Nothing was said of that");
	if (!unset && call->line->params[3].len > IRC_PAIRS_VALUE_MAX)
		return metadata_fail(call, "INVALID_VALUE", "", key, "A value has at most 256 bytes");
	irc_param(call, 3, value, sizeof(value));
	if (!irc_pairs_set(&m->pairs, key, unset ? NULL : value))
		return metadata_fail(call, "LIMIT_REACHED", m->target, "", "That is too much");
	metadata_write(m);
	metadata_say(call, m->target, key, unset ? NULL : value);
	metadata_tell(call, m->room, m->target, key, unset ? NULL : value, &list);
	metadata_tell_list(call, list);
	return HANDLER_MORE;
}

static enum verdict metadata_clear(struct metadata *m)
{
	char key[IRC_PAIRS_KEY_MAX + 1], text[IRC_BLOB_METADATA_MAX];
	struct irc_pairs before = {.text = text, .len = m->pairs.len, .size = sizeof(text)};
	struct irc_tell *list = NULL;
	const char *value;

	if (!m->mine)
		return metadata_fail(m->call, "KEY_NO_PERMISSION", m->target, "*", "That isn't yours to say");
	memcpy(text, m->pairs.text, before.len);
	metadata_batch(m->call, m->target);
	for (size_t at = 0; metadata_next(&before, &at, key, &value);) {
		irc_pairs_set(&m->pairs, key, NULL);
		metadata_say(m->call, m->target, key, NULL);
	}
	irc_batch_end(m->call);
	metadata_write(m);
	for (size_t at = 0; metadata_next(&before, &at, key, &value);)
		metadata_tell(m->call, m->room, m->target, key, NULL, &list);
	metadata_tell_list(m->call, list);
	return HANDLER_MORE;
}

/* --- what somebody wants to know --- */

static void metadata_list_wanted(struct metadata *m, enum irc_numeric n, const char *words)
{
	if (*words)
		irc_numeric(m->call, n, "%s", words);
}

static bool metadata_sync_seat(struct connection *c, struct room *room, void *arg)
{
	(void)c;
	logring_lock(room->log);
	metadata_sync(arg, room, false);
	logring_unlock(room->log);
	return true;
}

static enum verdict metadata_want(struct metadata *m, bool wants)
{
	char key[IRC_PAIRS_KEY_MAX + 1], words[IRC_BODY_MAX] = "";
	size_t n = 0;

	for (unsigned i = 2; i < m->call->line->n_params; i++) {
		if (!metadata_key(m, i, key))
			continue;
		if (!irc_pairs_want(&m->pairs, key, wants)) {
			metadata_fail(m->call, "TOO_MANY_SUBS", "", key, "You want to know of too many keys");
			break;
		}
		if (n + strlen(key) + 2 < sizeof(words) - 160)
			n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%s", n ? " " : "", key);
	}
	metadata_write(m);
	metadata_list_wanted(m, wants ? RPL_METADATASUBOK : RPL_METADATAUNSUBOK, words);
	if (wants && irc_user(m->call->c)->flags & IRC_REGISTERED)
		seats_each(m->call->c, metadata_sync_seat, m->call);
	return HANDLER_MORE;
}

static enum verdict metadata_sub(struct metadata *m)
{
	return metadata_want(m, true);
}

static enum verdict metadata_unsub(struct metadata *m)
{
	return metadata_want(m, false);
}

static enum verdict metadata_subs(struct metadata *m)
{
	char key[IRC_PAIRS_KEY_MAX + 1], words[IRC_BODY_MAX] = "";
	const char *value;
	size_t n = 0;

	for (size_t at = 0; irc_pairs_next(&m->pairs, &at, key, &value);) {
		if (value)
			continue;
		if (n + strlen(key) + 2 >= sizeof(words) - 160) {
			metadata_list_wanted(m, RPL_METADATASUBS, words);
			n = 0;
		}
		n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%s", n ? " " : "", key);
	}
	metadata_list_wanted(m, RPL_METADATASUBS, words);
	return HANDLER_MORE;
}

static enum verdict metadata_ask_sync(struct metadata *m)
{
	metadata_batch(m->call, m->target);
	if (m->room) {
		metadata_sync(m->call, m->room, true);
	} else {
		char text[IRC_BLOB_METADATA_MAX];
		struct irc_pairs wanted = {.text = text, .size = sizeof(text)};
		irc_metadata_read_own(m->call->c, &wanted);
		metadata_sync_one(m->call, &wanted, m->target, &m->pairs);
	}
	irc_batch_end(m->call);
	if (!irc_query_fits(m->call))
		irc_query_cut(m->call, "values");
	return irc_query_done(m->call);
}

static const struct metadata_row {
	const char *name;
	metadata_fn run;
	bool own; /* of the client itself, whatever the target is */
} metadata_rows[] = {
    {"GET", metadata_get, false},     {"LIST", metadata_list, false},	  {"SET", metadata_set, false},
    {"CLEAR", metadata_clear, false}, {"SUB", metadata_sub, true},	  {"UNSUB", metadata_unsub, true},
    {"SUBS", metadata_subs, true},    {"SYNC", metadata_ask_sync, false},
};

/* --- whose it is --- */

static enum verdict metadata_of_self(struct metadata *m, const struct metadata_row *row)
{
	irc_nick(m->call->c, m->target);
	m->mine = true;
	irc_metadata_read_own(m->call->c, &m->pairs);
	return row->run(m);
}

/* Of a channel that isn't open to all only those in it may know. */
static bool metadata_is_open(const struct irc_channel *ch, const struct room *room)
{
	return !room->members_only && (!ch || (!(ch->modes & (IRC_M_INVITE | IRC_M_SECRET)) && !ch->key[0]));
}

static enum verdict metadata_of_channel(struct metadata *m, const struct metadata_row *row)
{
	struct irc_call *call = m->call;
	struct shared *shared = irc_shared(call);
	char name[TEXT_ROOM_MAX + 1];
	struct room *room;

	if (!irc_room_of(call, call->line->params[0], name) ||
	    rooms_enter_existing(shared->rooms, name, irc_context(call)->slot, &room) < 0)
		return metadata_fail(call, "INVALID_TARGET", m->target, "", "There is no such channel");
	if (!irc_speak(call, room)) {
		rooms_leave(shared->rooms, room, irc_context(call)->slot);
		return HANDLER_BLOCKED;
	}
	const struct irc_channel *ch = irc_channel(call, room);
	bool member = seats_in(call->c, room), open = member || metadata_is_open(ch, room);
	snprintf(m->target, sizeof(m->target), "#%s", room->name);
	m->room = room;
	m->mine = member && !room->outgoing && irc_may_decide(call, room);
	m->pairs.size = sizeof(ch->metadata);
	irc_metadata_read_channel(ch, &m->pairs);
	enum verdict verdict =
	    open ? row->run(m)
		 : metadata_fail(call, "INVALID_TARGET", m->target, "", "That is for those who are in it");
	irc_after(call, irc_give_room_back, irc_give_room_back, room);
	return verdict;
}

static enum verdict metadata_of(struct metadata *m, const struct metadata_row *row)
{
	struct irc_call *call = m->call;
	struct irc_arg target = call->line->params[0];
	struct irc_person p;

	if (row->own || irc_arg_equals(target, "*"))
		return metadata_of_self(m, row);
	irc_query_echo(target, m->target, sizeof(m->target));
	if (!(irc_user(call->c)->flags & IRC_REGISTERED))
		return metadata_fail(call, "INVALID_TARGET", m->target, "", "Say who you are first");
	if (irc_is_channel(target))
		return metadata_of_channel(m, row);
	if (!irc_person_find(call, target, &p))
		return metadata_fail(call, "INVALID_TARGET", m->target, "", "There is nobody of that name");
	if (irc_person_is_self(call, &p))
		return metadata_of_self(m, row);
	snprintf(m->target, sizeof(m->target), "%s", p.nick);
	if (p.is_irc)
		irc_metadata_read(irc_shared(call)->irc, p.member.index, p.member.id, p.user.metadata_at,
				  &m->pairs);
	return row->run(m);
}

enum verdict irc_metadata(struct irc_call *call)
{
	struct metadata m = {.call = call};
	char word[16];

	m.pairs = (struct irc_pairs){.text = m.text, .size = sizeof(m.text)};
	for (size_t i = 0; i < sizeof(metadata_rows) / sizeof(*metadata_rows); i++)
		if (irc_arg_is(call->line->params[1], metadata_rows[i].name))
			return metadata_of(&m, &metadata_rows[i]);
	return metadata_fail(call, "SUBCOMMAND_INVALID",
			     irc_query_echo(call->line->params[1], word, sizeof(word)), "",
			     "There is no such subcommand");
}
