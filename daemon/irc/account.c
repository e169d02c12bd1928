/* SPDX-License-Identifier: MIT */
/* Accounts: how somebody becomes one, what fails, and PASS. */
#include "daemon/irc/account.h"

#include "common/nick.h"
#include "daemon/base/logger.h"
#include "daemon/engine/late_accounts.h"
#include "daemon/engine/logins.h"
#include "daemon/irc/tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A client is sent away after this many wrong passwords. */
#define LOGIN_FAILURES_MAX 3

static const struct listener_config *account_listener(struct connection *c)
{
	return config_listener(connection_context(c)->config, connection_listener(c));
}

const struct account *irc_find_account(struct connection *c, const char *name, size_t len,
				       struct account *ret)
{
	const struct context *ctx = connection_context(c);

	return len > 0 && len <= TEXT_NICK_MAX &&
		       late_accounts_find(ctx->shared->late_accounts, account_listener(c), name, len, ret)
		   ? ret
		   : NULL;
}

enum login irc_check_password(struct irc_call *call, const char *hash, struct irc_arg name,
			      struct irc_arg password, bool *ret_refused)
{
	const struct login_question q = {hash, name.at, password.at, name.len, password.len};
	enum login answer = connection_login_take(call->c, &q);

	*ret_refused = answer == LOGIN_NONE && !connection_login_ask(call->c, &q);
	return answer == LOGIN_GOOD && !hash ? LOGIN_BAD : answer;
}

bool irc_needs_password(struct connection *c)
{
	const struct irc_listener_config *l = irc_listener(c);

	return l && l->password.text[0] && !(irc_user(c)->flags & IRC_GOT_PASS);
}

bool irc_needs_account(struct connection *c)
{
	return !(connection_state(c)->rights & CLIENT_OPEN) && !irc_user(c)->account[0];
}

/* --- becoming an account --- */

void irc_mark_account(struct irc_call *call)
{
	struct client_state *next = irc_begin(call);
	const char *account = irc_user(call->c)->account;

	if (account[0] && next->nick_len > 0 &&
	    nick_equal(account, strlen(account), next->nick, next->nick_len))
		next->flags |= CLIENT_ACCOUNT;
	else
		next->flags &= (uint16_t)~CLIENT_ACCOUNT;
}

void irc_log_in(struct irc_call *call, const char *account)
{
	struct connection *c = call->c;
	char source[IRC_SOURCE_MAX + 1], from[ADDRESS_TEXT_MAX];
	struct irc_user *u = irc_change(call);
	const struct log_fields fields = {.message_id = EVENT_LOGIN,
					  .client = connection_id(c),
					  .listener = connection_listener(c),
					  .address = connection_address(c)};

	count(irc_context(call)->counters, COUNT_LOGINS, 1);
	log_event(LOG_INFO, &fields, "client %" PRIu64 " from %s logged in as %s", connection_id(c),
		  address_peer(connection_address(c), from), account);
	memset(u->account, 0, sizeof(u->account));
	memcpy(u->account, account, strlen(account));
	irc_take_nick(call);
	irc_mark_account(call);
	irc_tell_near(call, IRC_CAP_ACCOUNT_NOTIFY, "ACCOUNT %s", account);
	irc_numeric(call, RPL_LOGGEDIN, "%s %s :You are now logged in as %s", irc_source(c, source), account,
		    account);
}

void irc_login_failed(struct irc_call *call, struct irc_arg name, const char *why)
{
	struct connection *c = call->c;
	char from[ADDRESS_TEXT_MAX], shown[4 * TEXT_NICK_MAX];
	const struct log_fields fields = {.message_id = EVENT_LOGIN,
					  .client = connection_id(c),
					  .listener = connection_listener(c),
					  .address = connection_address(c)};

	count(irc_context(call)->counters, COUNT_LOGINS_FAILED, 1);
	log_limited(
	    LOG_TOPIC_LOGIN, LOG_WARNING, &fields, "client %" PRIu64 " from %s: %s (%s)", connection_id(c),
	    address_peer(connection_address(c), from), why,
	    text_escape(shown, sizeof(shown), name.at, name.len < TEXT_NICK_MAX ? name.len : TEXT_NICK_MAX));
	if (connection_login_failed(c) >= LOGIN_FAILURES_MAX)
		irc_end(call, "Too many wrong passwords");
}

void irc_account_reload(struct connection *c)
{
	const struct context *ctx = connection_context(c);
	const char *account = irc_user(c)->account;
	char from[ADDRESS_TEXT_MAX];

	if (!account[0] || connection_state(c)->flags & CLIENT_CLOSING ||
	    late_accounts_has(ctx->shared->late_accounts, ctx->config, account, strlen(account)))
		return;
	const struct log_fields fields = {.message_id = EVENT_CLIENT_KICKED,
					  .client = connection_id(c),
					  .listener = connection_listener(c),
					  .address = connection_address(c)};
	log_event(LOG_INFO, &fields,
		  "client %" PRIu64 " from %s is sent away: the account %s has been removed",
		  connection_id(c), address_peer(connection_address(c), from), account);
	connection_kick(c, &(struct notice){.kind = NOTICE_ACCOUNT_GONE});
}

/* --- PASS --- */

/* The connection ends, as those who come with a wrong password shall. */
static enum verdict account_wrong_pass(struct irc_call *call, struct irc_arg name, const char *why)
{
	irc_numeric(call, ERR_PASSWDMISMATCH, "%s", "");
	irc_login_failed(call, name, why);
	if (!(irc_begin(call)->flags & CLIENT_CLOSING))
		irc_end(call, "Wrong password");
	return HANDLER_MORE;
}

static enum verdict account_right_pass(struct irc_call *call)
{
	irc_change(call)->flags |= IRC_GOT_PASS;
	return HANDLER_MORE;
}

/* Whether it is the listener's. LOGIN_NONE: wait, or (*ret_refused) it can't be found out. */
static enum login account_check_listener(struct irc_call *call, const struct irc_password *p,
					 struct irc_arg given, bool *ret_refused)
{
	struct logins *l = irc_shared(call)->logins;
	const union address *a = connection_address(call->c);

	*ret_refused = false;
	if (irc_password_is_hash(p))
		return irc_check_password(call, p->text, (struct irc_arg){"", 0}, given, ret_refused);
	*ret_refused = !logins_may_try(l, a);
	if (*ret_refused)
		return LOGIN_NONE;
	if (irc_password_is(p, given.at, given.len))
		return LOGIN_GOOD;
	logins_failed(l, a, 1, irc_config(call)->failed_logins_per_minute);
	return LOGIN_BAD;
}

/* ACCOUNT:PASSWORD. */
static enum verdict account_pass_account(struct irc_call *call, struct irc_arg name, struct irc_arg password)
{
	struct account found;
	const struct account *a = irc_find_account(call->c, name.at, name.len, &found);
	bool refused;

	switch (irc_check_password(call, a ? a->hash : NULL, name, password, &refused)) {
	case LOGIN_GOOD:
		irc_log_in(call, found.nick);
		return HANDLER_MORE;
	case LOGIN_BAD:
		return account_wrong_pass(call, name, "wrong name or password");
	default:
		return refused ? account_wrong_pass(call, name, "too many logins at once") : HANDLER_WAITING;
	}
}

static enum verdict account_pass(struct irc_call *call)
{
	const struct irc_listener_config *own = irc_listener(call->c);
	const struct listener_config *l = account_listener(call->c);
	struct irc_arg given = call->line->params[0], name = {given.at, 0}, password;
	const char *colon = memchr(given.at, ':', given.len);
	bool refused;

	if (irc_user(call->c)->flags & IRC_REGISTERED) {
		irc_numeric(call, ERR_ALREADYREGISTERED, "%s", "");
		return HANDLER_MORE;
	}
	name.len = colon ? (size_t)(colon - given.at) : 0;
	password = (struct irc_arg){given.at + name.len + 1, colon ? given.len - name.len - 1 : 0};
	bool account = l && l->password_file && name.len > 0 && password.len > 0 &&
		       password.len <= ACCOUNTS_PASSWORD_MAX && nick_valid(name.at, name.len);
	if (own && own->password.text[0] && !account) {
		switch (account_check_listener(call, &own->password, given, &refused)) {
		case LOGIN_GOOD:
			return account_right_pass(call);
		case LOGIN_BAD:
			return account_wrong_pass(call, name, "wrong password of the listener");
		default:
			return refused ? account_wrong_pass(call, name, "too many logins at once")
				       : HANDLER_WAITING;
		}
	}
	/* A listener's password may look like an account's; who has to wait is told nothing of either. */
	if (own && own->password.text[0] && !irc_password_is_hash(&own->password) &&
	    logins_may_try(irc_shared(call)->logins, connection_address(call->c)) &&
	    irc_password_is(&own->password, given.at, given.len))
		return account_right_pass(call);
	return account ? account_pass_account(call, name, password) : HANDLER_MORE;
}

const struct irc_command irc_commands_account[] = {
    {.name = "PASS", .run = account_pass, .needs = 1, .cost = 2, .early = true},
    {.name = "REGISTER", .run = irc_register, .needs = 3, .cost = 4, .early = true},
    {.name = NULL},
};
