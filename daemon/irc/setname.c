/* SPDX-License-Identifier: MIT */
/* What others see of somebody changes: the real name by SETNAME, the host by a configuration that cloaks otherwise. */
#include "daemon/irc/cloak.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/tell.h"

#include <string.h>

static enum verdict setname_run(struct irc_call *call)
{
	const struct irc_arg name = call->line->params[0];

	if (name.len == 0 || name.len > IRC_REALNAME_MAX) {
		irc_standard(call, "FAIL", "SETNAME", "INVALID_REALNAME", "",
			     name.len ? "That is too long a name" : "A name is not empty");
		return HANDLER_MORE;
	}
	struct irc_user *u = irc_change(call);
	irc_text(name, u->realname, sizeof(u->realname));
	if (irc_has(call->c, IRC_CAP_SETNAME))
		irc_from_self(call, "SETNAME :%s", u->realname);
	irc_tell_near(call, IRC_CAP_SETNAME, "SETNAME :%s", u->realname);
	return HANDLER_MORE;
}

void irc_host_reload(struct connection *c)
{
	const struct config *config = connection_context(c)->config;
	const struct listener_config *l = config_listener(config, connection_listener(c));
	const struct irc_user *now = irc_user(c);
	struct irc_call call = {.c = c};
	char host[IRC_HOST_MAX + 1] = "";

	if (!l || !(now->flags & IRC_REGISTERED) || connection_state(c)->flags & CLIENT_CLOSING)
		return;
	irc_cloak_host(config, l, connection_address(c), host);
	if (strcmp(host, now->host) == 0)
		return;
	/* Both come from who it was. */
	if (irc_has(c, IRC_CAP_CHGHOST))
		irc_from_self(&call, "CHGHOST %s %s", now->user, host);
	irc_tell_near(&call, IRC_CAP_CHGHOST, "CHGHOST %s %s", now->user, host);
	memcpy(irc_change(&call)->host, host, sizeof(host));
	irc_numeric(&call, RPL_VISIBLEHOST, "%s", host);
	irc_commit(&call);
	connection_hurry(c);
}

const struct irc_command irc_commands_setname[] = {
    {.name = "SETNAME", .run = setname_run, .needs = 1, .cost = 4},
    {0},
};
