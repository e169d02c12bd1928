/* SPDX-License-Identifier: MIT */
/* Accounts in the TCP mode "chat": /login, and what becomes of a client whose account has been removed. */
#include "common/accounts.h"
#include "common/nick.h"
#include "daemon/config/config.h"
#include "daemon/engine/late_accounts.h"
#include "daemon/engine/logins.h"
#include "daemon/modes/chat.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A client is sent away after this many wrong passwords. */
#define LOGIN_FAILURES_MAX 3

void chat_ask_for_login(struct connection *c, size_t consumed)
{
	chat_reply(c, consumed, "* Please log in first: /login NAME PASSWORD\n");
}

bool chat_lost_account(struct connection *c)
{
	const struct client_state *st = connection_state(c);
	char from[ADDRESS_TEXT_MAX];

	if (!(st->flags & CLIENT_ACCOUNT) || st->flags & CLIENT_CLOSING ||
	    late_accounts_has(connection_context(c)->shared->late_accounts, chat_config(c), st->nick,
			      st->nick_len))
		return false;
	const struct log_fields fields = chat_fields(c, EVENT_CLIENT_KICKED, NULL);
	log_event(LOG_INFO, &fields,
		  "client %" PRIu64 " from %s is sent away: the account %.*s has been removed",
		  connection_id(c), address_peer(connection_address(c), from), st->nick_len, st->nick);
	connection_kick(c, &(struct notice){.kind = NOTICE_ACCOUNT_GONE});
	return true;
}

/* The account is proved: the client gets its name, and enters the listener's room if it waited for that. */
static enum verdict chat_login_done(struct connection *c, const struct account *a, size_t consumed)
{
	struct room *room = connection_room(c);
	size_t len = strlen(a->nick);
	struct roster_entry *entry;
	const char *name;
	char from[ADDRESS_TEXT_MAX];

	int r = chat_claim(c, a->nick, len, ROSTER_ENTITLED, &entry);
	if (r < 0) {
		chat_reply(c, consumed, r == -EEXIST ? "* %s is here already.\n" : "* %s can't log in now.\n",
			   a->nick);
		return HANDLER_MORE;
	}
	count(chat_counters(c), COUNT_LOGINS, 1);
	const struct log_fields fields = chat_fields(c, EVENT_LOGIN, NULL);
	log_event(LOG_INFO, &fields, "client %" PRIu64 " from %s logged in as %s", connection_id(c),
		  address_peer(connection_address(c), from), a->nick);
	bool nameless = connection_state(c)->nick_len == 0;
	chat_begin_reply(c, consumed);
	connection_draft(c)->flags |= CLIENT_ACCOUNT;
	chat_rename(c, entry, a->nick, len, true);
	if (!nameless)
		return HANDLER_MORE;
	name = connection_first_room(c);
	const struct chat_door door = {.name = name, .who = chat_speaker(c)};
	r = chat_find_room(c, &door, &room);
	if (r < 0) {
		chat_reply(c, 0, "* Room %s %s; /join another one.\n", name, chat_why_not_entered(r));
	} else {
		struct client_state *next = connection_begin(c);
		if (!chat_words(c))
			connection_printf(c, "* You are in %s; /help lists the commands.\n", room->name);
		chat_enter(c, next, room);
	}
	return HANDLER_MORE;
}

/* why is for the log, where the name stands behind the address: docs/fail2ban counts on it. */
static enum verdict chat_login_failed(struct connection *c, const struct chat_call *call, const char *why,
				      const char *text)
{
	char from[ADDRESS_TEXT_MAX];

	count(chat_counters(c), COUNT_LOGINS_FAILED, 1);
	const struct log_fields fields = chat_fields(c, EVENT_LOGIN, NULL);
	log_limited(LOG_TOPIC_LOGIN, LOG_WARNING, &fields, "client %" PRIu64 " from %s: %s (%.*s)",
		    connection_id(c), address_peer(connection_address(c), from), why, (int)call->args[0].len,
		    call->args[0].at);
	chat_begin_reply(c, call->consumed);
	connection_write(c, text, strlen(text));
	if (connection_login_failed(c) >= LOGIN_FAILURES_MAX)
		connection_draft(c)->flags |= CLIENT_CLOSING;
	connection_commit(c, NULL);
	return HANDLER_MORE;
}

enum verdict chat_login(struct connection *c, const struct chat_call *call)
{
	const struct listener_config *l = config_listener(chat_config(c), connection_listener(c));
	const struct chat_arg *nick = &call->args[0], *password = &call->args[1];

	if (connection_state(c)->flags & CLIENT_ACCOUNT) {
		chat_reply(c, call->consumed, "* You are logged in already.\n");
		return HANDLER_MORE;
	}
	if (!l || !l->password_file) {
		chat_reply(c, call->consumed, "* There are no accounts here.\n");
		return HANDLER_MORE;
	}
	if (password->len == 0 || password->len > ACCOUNTS_PASSWORD_MAX || !nick_valid(nick->at, nick->len)) {
		chat_reply_usage(c, call);
		return HANDLER_MORE;
	}
	struct account found;
	const struct account *a =
	    late_accounts_find(connection_context(c)->shared->late_accounts, l, nick->at, nick->len, &found)
		? &found
		: NULL;
	const struct login_question q = {a ? a->hash : NULL, nick->at, password->at, nick->len,
					 password->len};
	switch (connection_login_take(c, &q)) {
	case LOGIN_GOOD:
		if (a)
			return chat_login_done(c, a, call->consumed);
		break;
	case LOGIN_BAD:
		return chat_login_failed(c, call, "wrong name or password", "* Wrong name or password.\n");
	default:
		break;
	}
	if (connection_login_ask(c, &q))
		return HANDLER_WAITING;
	return chat_login_failed(c, call, "too many logins at once",
				 "* Too many are logging in at the moment; try again in a while.\n");
}
