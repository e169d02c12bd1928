/* SPDX-License-Identifier: MIT */
/* How somebody registers: PASS, NICK and USER in any order, capabilities in between, and the welcome. */
#include "daemon/irc/account.h"
#include "daemon/irc/commands.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/config/config.h"
#include "daemon/engine/connections.h"
#include "daemon/irc/metadata.h"
#include "daemon/irc/idle.h"
#include "daemon/irc/isupport.h"
#include "daemon/irc/monitor.h"
#include "daemon/irc/playback.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void register_isupport(void *arg, const char *tokens)
{
	irc_numeric(arg, RPL_ISUPPORT, "%s", tokens);
}

void irc_motd(struct irc_call *call)
{
	const struct irc_config *config = &irc_config(call)->irc;

	if (!config->motd) {
		irc_numeric(call, ERR_NOMOTD, "%s", "");
		return;
	}
	irc_numeric(call, RPL_MOTDSTART, ":- %s Message of the day - ", config->server_name);
	for (const char *line = config->motd; *line;) {
		size_t n = strcspn(line, "\n");
		irc_numeric(call, RPL_MOTD, ":- %.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
	irc_numeric(call, RPL_ENDOFMOTD, "%s", "");
}

static void register_welcome(struct irc_call *call)
{
	const struct irc_config *config = &irc_config(call)->irc;
	struct irc_limits limits = irc_limits_of(config->network);
	char source[IRC_SOURCE_MAX + 1];

	limits.history = irc_history_most(irc_config(call));

	irc_numeric(call, RPL_WELCOME, ":Welcome to the %s network, %s", config->network,
		    irc_source(call->c, source));
	irc_numeric(call, RPL_YOURHOST, ":Your host is %s, running chatd %s", config->server_name,
		    PACKAGE_VERSION);
	irc_numeric(call, RPL_CREATED, ":This server goes on through restarts");
	irc_numeric(call, RPL_MYINFO, "%s chatd-%s Biow CIMRbeiklmnostv beIklov", config->server_name,
		    PACKAGE_VERSION);
	irc_isupport(&limits, register_isupport, call);
	irc_lusers(call);
	irc_motd(call);
	irc_metadata_welcome(call);
}

/* It may talk here: it has said the listener's password, and who it is where people have accounts only. */
static const char *register_why_not(struct irc_call *call)
{
	const struct irc_listener_config *own = irc_listener(call->c);
	const struct irc_user *u = irc_user(call->c);

	if (!own || (own->password.text[0] && !(u->flags & IRC_GOT_PASS)))
		return "Password incorrect";
	if (!(connection_state(call->c)->rights & CLIENT_OPEN) && !u->account[0])
		return "You need to log in (SASL, or PASS account:password)";
	return NULL;
}

enum verdict irc_maybe_register(struct irc_call *call)
{
	const struct client_state *st = connection_draft(call->c);
	const struct irc_user *u = irc_user(call->c);
	char nick[TEXT_NICK_MAX + 1], from[ADDRESS_TEXT_MAX];

	if (!st)
		st = connection_state(call->c);
	if (u->flags & (IRC_REGISTERED | IRC_CAP_NEGOTIATING) || !(u->flags & IRC_GOT_USER))
		return HANDLER_MORE;
	irc_give_up_nick(call);
	if (st->nick_len == 0)
		return HANDLER_MORE;
	const char *why = register_why_not(call);
	if (why) {
		irc_numeric(call, ERR_PASSWDMISMATCH, "%s", "");
		irc_end(call, why);
		return HANDLER_CLOSE;
	}
	struct irc_user *change = irc_change(call);
	change->flags |= IRC_REGISTERED;
	irc_sasl_abandon(call);
	change->signon_us = (uint64_t)clock_us(CLOCK_REALTIME);
	irc_idle_spoke(connection_index(call->c), connection_id(call->c));
	register_welcome(call);
	irc_monitor_registered(call);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.client = connection_id(call->c),
				       .listener = connection_listener(call->c),
				       .address = connection_address(call->c)},
		  "client %" PRIu64 " from %s is %s on IRC", connection_id(call->c),
		  address_peer(connection_address(call->c), from), irc_nick(call->c, nick));
	return HANDLER_MORE;
}

/* A user's name as it is shown: what would end it in a line, or be a mask, is left out. */
static void register_clean_user(struct irc_arg name, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < name.len && n + 1 < size; i++) {
		char c = name.at[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("_-.~", c))
			ret[n++] = c;
	}
	if (n == 0)
		ret[n++] = 'x';
	ret[n] = 0;
}

static enum verdict register_user(struct irc_call *call)
{
	if (irc_user(call->c)->flags & (IRC_REGISTERED | IRC_GOT_USER)) {
		irc_numeric(call, ERR_ALREADYREGISTERED, "%s", "");
		return HANDLER_MORE;
	}
	if (call->line->params[0].len == 0 || call->line->params[3].len == 0) {
		irc_numeric(call, ERR_NEEDMOREPARAMS, "USER");
		return HANDLER_MORE;
	}
	struct irc_user *u = irc_change(call);
	register_clean_user(call->line->params[0], u->user, sizeof(u->user));
	irc_text(call->line->params[3], u->realname, sizeof(u->realname));
	u->flags |= IRC_GOT_USER;
	return irc_maybe_register(call);
}

static enum verdict register_motd(struct irc_call *call)
{
	irc_motd(call);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_registration[] = {
    {.name = "USER", .run = register_user, .needs = 4, .early = true},
    {.name = "MOTD", .run = register_motd, .cost = 4, .only_asks = true},
    {0},
};
