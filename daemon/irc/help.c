/* SPDX-License-Identifier: MIT */
/* HELP and HELPOP: a line on each command. */
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"

#include <stdio.h>
#include <string.h>

static const struct help_row {
	const char *command, *text;
} help_rows[] = {
    {"ADMIN", "ADMIN: who runs this server."},
    {"AWAY", "AWAY [:text]: you are away, and why; without a text you are back."},
    {"CHATHISTORY", "CHATHISTORY LATEST|BEFORE|AFTER|AROUND #channel msgid=...|timestamp=...|* limit: what "
		    "was said before."},
    {"HELP", "HELP [command]: all commands, or what one does."},
    {"INFO", "INFO: what this server is."},
    {"INVITE", "INVITE nick #channel: somebody may come to a channel. INVITE: where you may go."},
    {"ISON", "ISON nick ...: who of them is here."},
    {"JOIN", "JOIN #channel[,#channel] [key[,key]]: enters channels. JOIN 0 leaves all of yours."},
    {"KICK", "KICK #channel nick [:why]: sends somebody out of a channel; for its operators."},
    {"KILL", "KILL nick [:why]: ends somebody's connection; for operators of the server."},
    {"LINKS", "LINKS: which servers there are."},
    {"LIST", "LIST [condition[,condition]]: channels; #mask, !#mask, >people, <people, C>minutes, C<minutes "
	     "(how old), "
	     "T>minutes, T<minutes (its topic)."},
    {"LUSERS", "LUSERS: how many are here."},
    {"MARKREAD", "MARKREAD #channel|nick [timestamp=...]: up to when you have read it."},
    {"METADATA", "METADATA nick|#channel|* GET|LIST|SET|CLEAR|SUB|UNSUB|SUBS|SYNC [key] [:value]: what else "
		 "is said of them."},
    {"MODE", "MODE #channel|nick [modes [arguments]]: shows or changes modes."},
    {"MONITOR",
     "MONITOR +|- nick[,nick]: who comes and goes; L: whom you watch, S: who of them is here, C: nobody."},
    {"MOTD", "MOTD: the message of the day."},
    {"NAMES", "NAMES #channel[,#channel]: who is in a channel."},
    {"NICK", "NICK nick: what you are called."},
    {"NOTICE", "NOTICE nick|#channel :text: as PRIVMSG, but nobody's program answers it."},
    {"OPER", "OPER name password: you are an operator of this server."},
    {"PART", "PART #channel[,#channel] [:why]: leaves channels."},
    {"PING", "PING token: the answer is PONG with it."},
    {"PRIVMSG", "PRIVMSG nick|#channel[,...] :text: says something."},
    {"QUIT", "QUIT [:why]: goodbye."},
    {"REDACT", "REDACT nick|#channel msgid [:why]: takes a message back."},
    {"REGISTER", "REGISTER account|* email|* password: makes an account, where people may."},
    {"REHASH", "REHASH: has the configuration read again; for operators of the server."},
    {"SETNAME", "SETNAME :name: your real name."},
    {"STATS", "STATS u: for how long this server has run."},
    {"TAGMSG", "TAGMSG nick|#channel: as PRIVMSG, but tags only."},
    {"TIME", "TIME: what time it is here."},
    {"TOPIC", "TOPIC #channel [:text]: shows or changes what a channel is about."},
    {"USERHOST", "USERHOST nick ...: where they are from."},
    {"VERSION", "VERSION: which version this is."},
    {"WALLOPS", "WALLOPS :text: to all with the user mode w; for operators of the server."},
    {"WHO", "WHO #channel|nick|mask [%fields[,token]]: who they are."},
    {"WHOIS", "WHOIS nick: what is known of somebody."},
    {"WHOWAS", "WHOWAS nick [count]: who is gone."},
};

#define HELP_ROWS (sizeof(help_rows) / sizeof(*help_rows))

/* The names, a few to a line. */
static void help_all(struct irc_call *call)
{
	char line[80] = "";
	size_t len = 0;

	irc_numeric(call, RPL_HELPSTART, "* :HELP and a command's name says what it does:");
	for (size_t i = 0; i < HELP_ROWS; i++) {
		if (len + strlen(help_rows[i].command) + 2 > sizeof(line)) {
			irc_numeric(call, RPL_HELPTXT, "* :%s", line);
			len = 0;
		}
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s", len ? " " : "",
					help_rows[i].command);
	}
	irc_numeric(call, RPL_HELPTXT, "* :%s", line);
	irc_numeric(call, RPL_ENDOFHELP, "*");
}

static enum verdict help_run(struct irc_call *call)
{
	char echo[64];

	if (call->line->n_params == 0 || call->line->params[0].len == 0) {
		help_all(call);
		return HANDLER_MORE;
	}
	irc_query_echo(call->line->params[0], echo, sizeof(echo));
	for (size_t i = 0; i < HELP_ROWS; i++)
		if (irc_arg_is(call->line->params[0], help_rows[i].command)) {
			irc_numeric(call, RPL_HELPSTART, "%s :%s", echo, help_rows[i].text);
			irc_numeric(call, RPL_ENDOFHELP, "%s", echo);
			return HANDLER_MORE;
		}
	irc_numeric(call, ERR_HELPNOTFOUND, "%s", echo);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_help[] = {
    {.name = "HELP", .run = help_run, .cost = 1, .only_asks = true},
    {.name = "HELPOP", .run = help_run, .cost = 1, .only_asks = true},
    {0},
};
