/* SPDX-License-Identifier: MIT */
/* Which command does what, and what it costs: each file of commands has a table, and they are all here. */
#include "daemon/irc/commands.h"

#include <string.h>
#include <strings.h>

static const struct irc_command *const commands_tables[] = {
    irc_commands_registration, irc_commands_account, irc_commands_authenticate, irc_commands_oper,
    irc_commands_caps,	       irc_commands_rooms,   irc_commands_say,		irc_commands_nick,
    irc_commands_quit,	       irc_commands_names,   irc_commands_who,		irc_commands_whois,
    irc_commands_whowas,       irc_commands_list,    irc_commands_lusers,	irc_commands_info,
    irc_commands_help,	       irc_commands_modes,   irc_commands_topic,	irc_commands_away,
    irc_commands_setname,      irc_commands_kill,    irc_commands_chathistory,	irc_commands_markread,
    irc_commands_monitor,
};

static const struct irc_command *commands_find(struct irc_arg name)
{
	for (size_t i = 0; i < sizeof(commands_tables) / sizeof(*commands_tables); i++)
		for (const struct irc_command *row = commands_tables[i]; row->name; row++)
			if (irc_arg_is(name, row->name))
				return row;
	return NULL;
}

/* A command's name as it is told back to who sent it. */
static const char *commands_name(const struct irc_call *call, char *buf, size_t size)
{
	return irc_arg_copy(call->line->command, buf, size) < 0 ? "*" : buf;
}

static enum verdict commands_refuse(struct irc_call *call)
{
	const struct irc_command *row = call->command;
	const struct irc_user *u = irc_user(call->c);
	char name[32];

	commands_name(call, name, sizeof(name));
	if (!row && !(u->flags & IRC_REGISTERED))
		irc_numeric(call, ERR_NOTREGISTERED, "%s", "");
	else if (!row)
		irc_numeric(call, ERR_UNKNOWNCOMMAND, "%s", name);
	else if (!row->early && !(u->flags & IRC_REGISTERED))
		irc_numeric(call, ERR_NOTREGISTERED, "%s", "");
	else if (row->needs > call->line->n_params)
		irc_numeric(call, ERR_NEEDMOREPARAMS, "%s", row->name);
	else if (row->oper && !(u->flags & IRC_OPER))
		irc_numeric(call, ERR_NOPRIVILEGES, "%s", "");
	else
		return HANDLER_YIELD; /* it may */
	return HANDLER_MORE;
}

/* What costs no more than a line looks at nothing. */
static bool commands_may_look(const struct irc_command *command)
{
	return command && (command->cost > 0 || command->enters);
}

/* Its answer is all that there would be, and nobody is there to hear it. */
static bool commands_is_moot(const struct irc_call *call)
{
	return connection_is_unheard(call->c) && (!call->command || call->command->only_asks);
}

/* It goes out escaped, as it came. */
static void commands_take_label(struct irc_call *call)
{
	char label[IRC_LABEL_MAX + 1];

	call->label[0] = 0;
	/* The steps that have been done began its batch. */
	call->label_open = irc_user(call->c)->steps > 0;
	if (call->line->tags.len > 0 && irc_tag_get(call->line->tags, "label", label, sizeof(label)) == 0)
		irc_tag_escape(call->label, sizeof(call->label), label, strlen(label));
}

enum verdict irc_run(struct irc_call *call)
{
	struct connection *c = call->c;

	call->command = commands_find(call->line->command);
	bool moot = commands_is_moot(call);
	if (connection_space(c) < IRC_REPLY_MAX)
		return HANDLER_BLOCKED;
	if (!moot && commands_may_look(call->command) && !connection_has_turn(c))
		return HANDLER_YIELD;
	if (!connection_may_talk(c, moot ? 0 : call->command ? call->command->cost : 1))
		return HANDLER_LIMITED;
	commands_take_label(call);
	enum verdict verdict = moot ? HANDLER_MORE : commands_refuse(call);
	if (verdict == HANDLER_YIELD)
		verdict = call->command->run(call);
	if (verdict == HANDLER_MORE || verdict == HANDLER_CLOSE) {
		irc_commit(call);
		/* What was awaited for it is nothing to the next line, which may await something of another kind. */
		connection_await_end(c);
		connection_line_done(c);
	} else {
		irc_abandon(call);
	}
	if (call->command && call->command->enters)
		connection_charge_entries(c, call->work);
	else
		connection_charge(c, call->work);
	return verdict;
}
