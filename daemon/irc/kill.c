/* SPDX-License-Identifier: MIT */
/*
 * KILL: an operator of the server ends somebody's connection, whatever it came by. Each worker is asked, as nobody else
 * knows which one has the client.
 */
#include "daemon/irc/commands.h"

#include "daemon/base/logger.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/each_worker.h"
#include "daemon/irc/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILL_REASON_MAX 255

struct killing {
	uint64_t id;
	uint32_t index;
	char source[IRC_SOURCE_MAX + 1], by[TEXT_NICK_MAX + 1];
	char reason[KILL_REASON_MAX + 1];
};

/* What others are told, and what it is told itself. */
static const char *kill_text(const struct killing *k, char *ret, size_t size)
{
	snprintf(ret, size, "Killed (%s (%s))", k->by, k->reason);
	return ret;
}

/* Somebody on IRC leaves its channels as those do who quit. */
static void kill_irc(struct connection *c, const struct killing *k)
{
	char nick[TEXT_NICK_MAX + 1], text[TEXT_NICK_MAX + KILL_REASON_MAX + 16];
	struct irc_call call = {.c = c};

	if (connection_state(c)->flags & CLIENT_CLOSING)
		return;
	irc_nick(c, nick);
	kill_text(k, text, sizeof(text));
	irc_leave_all(&call, text, NULL);
	irc_say(&call, "", ":%s KILL %s :%s", k->source, nick, text);
	irc_end(&call, text);
	irc_commit(&call);
}

static void kill_log(const struct killing *k, const union address *a)
{
	char from[ADDRESS_TEXT_MAX];

	log_event(LOG_NOTICE,
		  &(struct log_fields){
		      .message_id = EVENT_CLIENT_KICKED, .client = k->id, .address = a, .reason = k->reason},
		  "client %" PRIu64 " from %s removed by %s on IRC: %s", k->id, address_peer(a, from), k->by,
		  k->reason);
}

static void kill_here(struct worker *w, void *what)
{
	const struct killing *k = what;
	struct connection *c = connections_find(worker_context(w), k->index, k->id);
	char text[TEXT_NICK_MAX + KILL_REASON_MAX + 16];
	const struct notice why = {.kind = NOTICE_REMOVED, .text = kill_text(k, text, sizeof(text))};
	union address from;
	bool is_irc = c && irc_is_spoken(c);

	if (is_irc)
		kill_irc(c, k);
	if (worker_kick(w, k->id, is_irc ? NULL : &why, &from))
		kill_log(k, &from);
}

static void kill_after(struct irc_call *call, void *arg)
{
	each_worker(irc_shared(call), kill_here, free, arg);
}

static enum verdict kill_run(struct irc_call *call)
{
	const struct irc_arg nick = call->line->params[0];
	char echo[IRC_SHOWN_MAX + 1];
	struct irc_person p;

	if (irc_arg_is(nick, irc_config(call)->irc.server_name)) {
		irc_numeric(call, ERR_CANTKILLSERVER, "%s", "");
		return HANDLER_MORE;
	}
	if (!irc_person_find(call, nick, &p)) {
		irc_numeric(call, ERR_NOSUCHNICK, "%s", irc_query_echo(nick, echo, sizeof(echo)));
		return HANDLER_MORE;
	}
	struct killing *k = calloc(1, sizeof(*k));
	if (!k)
		return HANDLER_MORE;
	k->id = p.member.id;
	k->index = p.member.index;
	irc_source(call->c, k->source);
	irc_nick(call->c, k->by);
	if (call->line->n_params > 1)
		irc_text(call->line->params[1], k->reason, sizeof(k->reason));
	if (!k->reason[0])
		snprintf(k->reason, sizeof(k->reason), "No reason");
	irc_after(call, kill_after, irc_after_free, k);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_kill[] = {
    {.name = "KILL", .run = kill_run, .needs = 1, .cost = 2, .oper = true},
    {0},
};
