/* SPDX-License-Identifier: MIT */
/* Capabilities: CAP as https://ircv3.net/specs/extensions/capability-negotiation has it, with version 302. */
#include "daemon/irc/account.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/metadata.h"
#include "daemon/irc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Only what works is offered. */
static const struct caps_row {
	const char *name;
	enum irc_cap bit;
} caps_rows[] = {
    {"account-notify", IRC_CAP_ACCOUNT_NOTIFY},
    {"account-tag", IRC_CAP_ACCOUNT_TAG},
    {"away-notify", IRC_CAP_AWAY_NOTIFY},
    {"batch", IRC_CAP_BATCH},
    {"cap-notify", IRC_CAP_CAP_NOTIFY},
    {"chghost", IRC_CAP_CHGHOST},
    {"draft/account-registration", IRC_CAP_ACCOUNT_REGISTRATION},
    {"draft/chathistory", IRC_CAP_CHATHISTORY},
    {"draft/event-playback", IRC_CAP_EVENT_PLAYBACK},
    {"draft/metadata-3", IRC_CAP_METADATA},
    {"draft/message-redaction", IRC_CAP_REDACTION},
    {"draft/read-marker", IRC_CAP_READ_MARKER},
    {"echo-message", IRC_CAP_ECHO_MESSAGE},
    {"extended-join", IRC_CAP_EXTENDED_JOIN},
    {"extended-monitor", IRC_CAP_EXTENDED_MONITOR},
    {"invite-notify", IRC_CAP_INVITE_NOTIFY},
    {"labeled-response", IRC_CAP_LABELED_RESPONSE},
    {"message-tags", IRC_CAP_MESSAGE_TAGS},
    {"multi-prefix", IRC_CAP_MULTI_PREFIX},
    {"sasl", IRC_CAP_SASL},
    {"server-time", IRC_CAP_SERVER_TIME},
    {"setname", IRC_CAP_SETNAME},
    {"standard-replies", IRC_CAP_STANDARD_REPLIES},
    {"userhost-in-names", IRC_CAP_USERHOST_IN_NAMES},
};
#define CAPS_ROWS (sizeof(caps_rows) / sizeof(*caps_rows))

/* The row's value where the client knows of values; NULL: it has none, or isn't offered at all. */
#define CAPS_VALUE_MAX 64

_Static_assert(CAPS_VALUE_MAX >= IRC_SASL_LIST_MAX && CAPS_VALUE_MAX >= IRC_REGISTER_VALUE_MAX,
	       "all values fit");

/* *ret_value: in value[], where the client knows of values; NULL: it has none. False: the row isn't offered here. */
static bool caps_offered(struct irc_call *call, const struct caps_row *row, char value[static CAPS_VALUE_MAX],
			 const char **ret_value)
{
	*ret_value = row->bit == IRC_CAP_METADATA ? IRC_METADATA_VALUE : NULL;
	if (row->bit == IRC_CAP_SASL) {
		*ret_value = irc_sasl_value(call->c, value);
		return *ret_value;
	}
	if (row->bit == IRC_CAP_ACCOUNT_REGISTRATION) {
		const char *v = irc_register_value(call->c, value);
		*ret_value = v && *v ? v : NULL;
		return v;
	}
	return true;
}

static const struct caps_row *caps_find(struct irc_call *call, struct irc_arg name)
{
	char space[CAPS_VALUE_MAX];
	const char *value;

	for (size_t i = 0; i < CAPS_ROWS; i++)
		if (irc_arg_equals(name, caps_rows[i].name))
			return caps_offered(call, &caps_rows[i], space, &value) ? &caps_rows[i] : NULL;
	return NULL;
}

/* What fits beside ":server CAP nick LS * :" */
#define CAPS_LINE_MAX 350

static void caps_list(struct irc_call *call, const char *what, uint32_t only, bool values)
{
	char line[CAPS_LINE_MAX + 1], nick[TEXT_NICK_MAX + 1], one[128];
	size_t n = 0;

	line[0] = 0;
	for (size_t i = 0; i < CAPS_ROWS; i++) {
		char space[CAPS_VALUE_MAX];
		const char *value;
		if (!(caps_rows[i].bit & only) || !caps_offered(call, &caps_rows[i], space, &value))
			continue;
		const bool valued = values && value;
		int len = snprintf(one, sizeof(one), "%s%s%s", caps_rows[i].name, valued ? "=" : "",
				   valued ? value : "");
		if (n + 1 + (size_t)len > CAPS_LINE_MAX) {
			irc_from_server(call, "CAP %s %s %s:%s", irc_nick(call->c, nick), what,
					values ? "* " : "", line);
			n = 0;
		}
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", n ? " " : "", one);
	}
	irc_from_server(call, "CAP %s %s :%s", irc_nick(call->c, nick), what, line);
}

static enum verdict caps_ls(struct irc_call *call)
{
	char version[16];

	irc_param(call, 1, version, sizeof(version));
	struct irc_user *u = irc_change(call);
	if (!(u->flags & IRC_REGISTERED))
		u->flags |= IRC_CAP_NEGOTIATING;
	if (atoi(version) >= 302) {
		u->flags |= IRC_CAP_302;
		u->caps |= IRC_CAP_CAP_NOTIFY;
	}
	caps_list(call, "LS", UINT32_MAX, u->flags & IRC_CAP_302);
	return HANDLER_MORE;
}

/* What its form has beside IRC_CAPS_FORM. */
static unsigned caps_wire(const struct connection *c, uint32_t caps)
{
	const unsigned wire = connection_form(c) & IRC_FORM_WIRE;

	return wire & IRC_FORM_SOCKET ? wire : caps & IRC_CAP_BATCH ? IRC_FORM_BATCH : 0;
}

static enum verdict caps_req(struct irc_call *call)
{
	uint32_t caps = irc_user(call->c)->caps;
	const struct irc_arg list =
	    call->line->n_params > 1 ? call->line->params[1] : (struct irc_arg){"", 0};
	struct irc_arg word;
	char nick[TEXT_NICK_MAX + 1];
	bool good = true;

	for (size_t at = 0; at < list.len; at += word.len + 1) {
		word.at = list.at + at;
		const char *space = memchr(word.at, ' ', list.len - at);
		word.len = space ? (size_t)(space - word.at) : list.len - at;
		if (word.len == 0)
			continue;
		bool off = word.at[0] == '-';
		const struct caps_row *row = caps_find(call, (struct irc_arg){word.at + off, word.len - off});
		/* Who knows version 302 can't do without it. */
		if (!row || (off && row->bit == IRC_CAP_CAP_NOTIFY && irc_user(call->c)->flags & IRC_CAP_302))
			good = false;
		else if (off)
			caps &= ~(uint32_t)row->bit;
		else
			caps |= row->bit;
	}
	struct irc_user *u = irc_change(call);
	if (!(u->flags & IRC_REGISTERED))
		u->flags |= IRC_CAP_NEGOTIATING;
	irc_from_server(call, "CAP %s %s :%.*s", irc_nick(call->c, nick), good ? "ACK" : "NAK", (int)list.len,
			list.at);
	if (good) {
		u->caps = caps;
		connection_set_form(call->c, caps_wire(call->c, caps) | (caps & IRC_CAPS_FORM));
	}
	return HANDLER_MORE;
}

static enum verdict caps_end(struct irc_call *call)
{
	if (irc_user(call->c)->flags & IRC_REGISTERED)
		return HANDLER_MORE;
	irc_change(call)->flags &= ~(uint32_t)IRC_CAP_NEGOTIATING;
	return irc_maybe_register(call);
}

static enum verdict caps_run(struct irc_call *call)
{
	const struct irc_arg sub = call->line->params[0];
	char text[32];

	if (irc_arg_is(sub, "LS"))
		return caps_ls(call);
	if (irc_arg_is(sub, "REQ"))
		return caps_req(call);
	if (irc_arg_is(sub, "END"))
		return caps_end(call);
	if (irc_arg_is(sub, "LIST")) {
		caps_list(call, "LIST", irc_user(call->c)->caps, false);
		return HANDLER_MORE;
	}
	if (irc_arg_copy(sub, text, sizeof(text)) < 0 || !text[0])
		snprintf(text, sizeof(text), "*");
	irc_numeric(call, ERR_INVALIDCAPCMD, "%s", text);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_caps[] = {
    {.name = "CAP", .run = caps_run, .needs = 1, .early = true},
    {0},
};
