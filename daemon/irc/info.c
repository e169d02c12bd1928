/* SPDX-License-Identifier: MIT */
/* What the server says of itself: VERSION, TIME, INFO, ADMIN, STATS, LINKS. There is one server, which is asked. */
#include "daemon/base/clock.h"
#include "daemon/channels/mask.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The process began; as the answer to STATS u. */
static int64_t info_started_us;

__attribute__((constructor)) static void info_start(void)
{
	info_started_us = clock_us(CLOCK_MONOTONIC);
}

/* Whether the parameter, if there is one, means this server: its name, a mask of it, or somebody who is here. */
static bool info_is_here(struct irc_call *call, unsigned i)
{
	char text[IRC_BODY_MAX], echo[IRC_BODY_MAX / 2];
	struct irc_person p;

	if (i >= call->line->n_params || call->line->params[i].len == 0)
		return true;
	irc_param(call, i, text, sizeof(text));
	if (irc_mask_match(text, irc_config(call)->irc.server_name) ||
	    irc_person_find(call, call->line->params[i], &p))
		return true;
	irc_numeric(call, ERR_NOSUCHSERVER, "%s", irc_query_echo(call->line->params[i], echo, sizeof(echo)));
	return false;
}

static enum verdict info_version(struct irc_call *call)
{
	if (info_is_here(call, 0))
		irc_numeric(call, RPL_VERSION, "chatd-%s. %s :channels are rooms", PACKAGE_VERSION,
			    irc_config(call)->irc.server_name);
	return HANDLER_MORE;
}

static enum verdict info_time(struct irc_call *call)
{
	time_t now = (time_t)(clock_us(CLOCK_REALTIME) / 1000000);
	char text[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%A, %e %B %Y %H:%M:%S UTC", &tm);
	if (info_is_here(call, 0))
		irc_numeric(call, RPL_TIME, "%s :%s", irc_config(call)->irc.server_name, text);
	return HANDLER_MORE;
}

static enum verdict info_info(struct irc_call *call)
{
	if (!info_is_here(call, 0))
		return HANDLER_MORE;
	irc_numeric(call, RPL_INFO, ":chatd %s, a chat and message-relay daemon", PACKAGE_VERSION);
	irc_numeric(call, RPL_INFO, ":Channels are rooms, in which people come by other ways than IRC, too.");
	irc_numeric(call, RPL_INFO, ":Connections outlive restarts, upgrades and crashes.");
	irc_numeric(call, RPL_ENDOFINFO, "%s", "");
	return HANDLER_MORE;
}

static enum verdict info_admin(struct irc_call *call)
{
	static const enum irc_numeric lines[IRC_ADMIN_LINES] = {RPL_ADMINLOC1, RPL_ADMINLOC2, RPL_ADMINEMAIL};
	const struct irc_config *config = &irc_config(call)->irc;
	bool any = false;

	if (!info_is_here(call, 0))
		return HANDLER_MORE;
	for (unsigned i = 0; i < IRC_ADMIN_LINES; i++)
		any |= config->admin[i][0] != '\0';
	if (!any) {
		irc_numeric(call, ERR_NOADMININFO, "%s", config->server_name);
		return HANDLER_MORE;
	}
	irc_numeric(call, RPL_ADMINME, "%s", config->server_name);
	for (unsigned i = 0; i < IRC_ADMIN_LINES; i++)
		if (config->admin[i][0])
			irc_numeric(call, lines[i], ":%s", config->admin[i]);
	return HANDLER_MORE;
}

static void info_uptime(struct irc_call *call)
{
	int64_t s = (clock_us(CLOCK_MONOTONIC) - info_started_us) / 1000000;

	irc_numeric(call, RPL_STATSUPTIME, ":Server Up %" PRId64 " days %" PRId64 ":%02d:%02d", s / 86400,
		    s / 3600 % 24, (int)(s / 60 % 60), (int)(s % 60));
}

static void info_operators(struct irc_call *call)
{
	const struct irc_config *config = &irc_config(call)->irc;

	for (size_t i = 0; i < config->n_operators && irc_query_fits(call); i++)
		irc_numeric(call, RPL_STATSOLINE, "O *@* * %s", config->operators[i].name);
}

/* u for everybody, o for operators; of all else nothing is told. */
static enum verdict info_stats(struct irc_call *call)
{
	char echo[32];
	const struct irc_arg *what = &call->line->params[0];

	if (!info_is_here(call, 1))
		return HANDLER_MORE;
	if (irc_arg_equals(*what, "u"))
		info_uptime(call);
	else if (irc_arg_is(*what, "o") && irc_user(call->c)->flags & IRC_OPER)
		info_operators(call);
	else if (irc_arg_is(*what, "o"))
		irc_numeric(call, ERR_NOPRIVILEGES, "%s", "");
	irc_numeric(call, RPL_ENDOFSTATS, "%s", irc_query_echo(*what, echo, sizeof(echo)));
	return HANDLER_MORE;
}

/* There is no other server. */
static enum verdict info_links(struct irc_call *call)
{
	irc_numeric(call, RPL_ENDOFLINKS, "*");
	return HANDLER_MORE;
}

const struct irc_command irc_commands_info[] = {
    {.name = "VERSION", .run = info_version, .cost = 1, .only_asks = true},
    {.name = "TIME", .run = info_time, .cost = 1, .only_asks = true},
    {.name = "INFO", .run = info_info, .cost = 1, .only_asks = true},
    {.name = "ADMIN", .run = info_admin, .cost = 1, .only_asks = true},
    {.name = "STATS", .run = info_stats, .needs = 1, .cost = 2, .only_asks = true},
    {.name = "LINKS", .run = info_links, .cost = 1, .only_asks = true},
    {0},
};
