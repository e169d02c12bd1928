/* SPDX-License-Identifier: MIT */
/* OPER, REHASH and WALLOPS: who runs the server. An operator is an account or a name of the configuration, by its password. */
#include "daemon/irc/account.h"

#include "daemon/base/logger.h"
#include "daemon/engine/logins.h"
#include "daemon/irc/tell.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static enum verdict oper_succeed(struct irc_call *call, const char *name)
{
	struct connection *c = call->c;
	char nick[TEXT_NICK_MAX + 1], from[ADDRESS_TEXT_MAX];
	const struct log_fields fields = {.message_id = EVENT_LOGIN,
					  .client = connection_id(c),
					  .listener = connection_listener(c),
					  .address = connection_address(c)};

	if (!(irc_user(c)->flags & IRC_OPER)) {
		log_event(LOG_NOTICE, &fields, "client %" PRIu64 " from %s is an operator of IRC now, as %s",
			  connection_id(c), address_peer(connection_address(c), from), name);
		irc_change(call)->flags |= IRC_OPER;
		irc_from_self(call, "MODE %s +o", irc_nick(c, nick));
	}
	irc_numeric(call, RPL_YOUREOPER, "%s", "");
	return HANDLER_MORE;
}

static enum verdict oper_fail(struct irc_call *call, struct irc_arg name, const char *why)
{
	irc_numeric(call, ERR_PASSWDMISMATCH, "%s", "");
	irc_login_failed(call, name, why);
	return HANDLER_MORE;
}

/* One that stands in the configuration as it is. */
static enum verdict oper_check_plain(struct irc_call *call, const struct irc_operator *o, struct irc_arg name,
				     struct irc_arg password)
{
	struct logins *l = irc_shared(call)->logins;

	if (!logins_may_try(l, connection_address(call->c)))
		return oper_fail(call, name, "too many logins at once");
	if (irc_password_is(&o->password, password.at, password.len))
		return oper_succeed(call, o->name);
	logins_failed(l, connection_address(call->c), 1, irc_config(call)->failed_logins_per_minute);
	return oper_fail(call, name, "wrong password of an operator");
}

static enum verdict oper(struct irc_call *call)
{
	struct irc_arg name = call->line->params[0], password = call->line->params[1];
	const struct irc_config *config = &irc_config(call)->irc;
	const struct irc_operator *o = irc_config_operator(config, name.at, name.len, false);
	const char *hash = NULL;
	struct account found;
	bool refused;

	if (o && !irc_password_is_hash(&o->password))
		return oper_check_plain(call, o, name, password);
	if (o)
		hash = o->password.text;
	else if ((o = irc_config_operator(config, name.at, name.len, true)))
		hash = irc_find_account(call->c, o->name, strlen(o->name), &found) ? found.hash : NULL;
	/* Whoever is no operator is found out as slowly as a wrong password is. */
	switch (irc_check_password(call, hash, name, password, &refused)) {
	case LOGIN_GOOD:
		return oper_succeed(call, o->name);
	case LOGIN_BAD:
		return oper_fail(call, name, "wrong name or password of an operator");
	default:
		return refused ? oper_fail(call, name, "too many logins at once") : HANDLER_WAITING;
	}
}

/* What `chatctl reload` does, which is the main thread's business: what it says of mistakes is in the log. */
static enum verdict rehash(struct irc_call *call)
{
	kill(getpid(), SIGHUP);
	irc_numeric(call, RPL_REHASHING, "chatd.conf");
	return HANDLER_MORE;
}

/* To all who want to hear from operators, wherever they are (user mode w). */
static enum verdict oper_wallops(struct irc_call *call)
{
	char text[IRC_BODY_MAX];

	irc_text(call->line->params[0], text, sizeof(text));
	if (text[0])
		irc_tell_flagged(call, IRC_WALLOPS, "WALLOPS :%s", text);
	else
		irc_numeric(call, ERR_NEEDMOREPARAMS, "WALLOPS");
	return HANDLER_MORE;
}

const struct irc_command irc_commands_oper[] = {
    {.name = "OPER", .run = oper, .needs = 2, .cost = 4},
    {.name = "REHASH", .run = rehash, .cost = 8, .oper = true},
    {.name = "WALLOPS", .run = oper_wallops, .needs = 1, .cost = 4, .oper = true},
    {.name = NULL},
};
