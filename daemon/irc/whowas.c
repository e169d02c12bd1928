/* SPDX-License-Identifier: MIT */
/* WHOWAS: a ring of who has gone here, and one of other nodes, so that a large one doesn't displace all; the newest first when somebody asks. */
#include "daemon/irc/whowas.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/channels/mask.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHOWAS_MAX 1024
#define WHOWAS_TOLD 20 /* of one name, or mask */

struct whowas {
	uint64_t us; /* CLOCK_REALTIME: when it went */
	size_t len;
	char node[ELSEWHERE_NODE_MAX + 1]; /* "": this one */
	char nick[TEXT_NICK_MAX + 1];
	char user[IRC_USER_MAX + 1];
	char host[IRC_HOST_MAX + 1];
	char realname[IRC_REALNAME_MAX + 1];
};

struct whowas_ring {
	uint64_t n; /* that there ever were */
	struct whowas at[WHOWAS_MAX];
};

static struct {
	pthread_mutex_t lock;
	struct whowas_ring here, elsewhere;
} whowas_all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void whowas_note(struct whowas_ring *ring, const char *node, const char *nick, size_t len,
			const struct irc_user *u)
{
	struct whowas w = {.us = (uint64_t)clock_us(CLOCK_REALTIME), .len = len};

	memcpy(w.nick, nick, len);
	snprintf(w.node, sizeof(w.node), "%s", node);
	snprintf(w.user, sizeof(w.user), "%s", u->user);
	snprintf(w.host, sizeof(w.host), "%s", u->host);
	snprintf(w.realname, sizeof(w.realname), "%s", u->realname);
	pthread_mutex_lock(&whowas_all.lock);
	ring->at[ring->n++ % WHOWAS_MAX] = w;
	pthread_mutex_unlock(&whowas_all.lock);
}

void irc_whowas_note(const char *nick, size_t len, const struct irc_user *u)
{
	if (len > 0 && len <= TEXT_NICK_MAX)
		whowas_note(&whowas_all.here, "", nick, len, u);
}

void irc_whowas_note_elsewhere(const char *node, const char *nick, size_t len)
{
	struct irc_user u = {.user = ""};

	if (len == 0 || len > TEXT_NICK_MAX)
		return;
	irc_user_make_up(nick, len, &u);
	whowas_note(&whowas_all.elsewhere, node, nick, len, &u);
}

/* mask: NULL where a nick is meant. */
static bool whowas_is(const struct whowas *w, struct irc_arg nick, const char *mask)
{
	return mask ? irc_mask_match(mask, w->nick) : nick_equal(w->nick, w->len, nick.at, nick.len);
}

/* The next older one in the ring, from *at on, where it is then; NULL: there is none. */
static const struct whowas *whowas_older(const struct whowas_ring *ring, uint64_t *at, struct irc_arg nick,
					 const char *mask)
{
	uint64_t end = ring->n > WHOWAS_MAX ? ring->n - WHOWAS_MAX : 0;

	while (*at > end) {
		const struct whowas *w = &ring->at[--*at % WHOWAS_MAX];
		if (whowas_is(w, nick, mask))
			return w;
	}
	return NULL;
}

/* Copies the newest ones, at most max. */
static size_t whowas_find(struct irc_arg nick, const char *mask, struct whowas *ret, size_t max)
{
	const struct whowas_ring *here = &whowas_all.here, *elsewhere = &whowas_all.elsewhere;
	size_t n = 0;

	pthread_mutex_lock(&whowas_all.lock);
	uint64_t at_here = here->n, at_elsewhere = elsewhere->n;
	const struct whowas *a = whowas_older(here, &at_here, nick, mask);
	const struct whowas *b = whowas_older(elsewhere, &at_elsewhere, nick, mask);
	while (n < max && (a || b)) {
		bool is_here = !b || (a && a->us >= b->us);
		ret[n++] = is_here ? *a : *b;
		if (is_here)
			a = whowas_older(here, &at_here, nick, mask);
		else
			b = whowas_older(elsewhere, &at_elsewhere, nick, mask);
	}
	pthread_mutex_unlock(&whowas_all.lock);
	return n;
}

static void whowas_tell(struct irc_call *call, const struct whowas *w)
{
	char shown[IRC_SHOWN_MAX + 1], when[64];
	time_t t = (time_t)(w->us / 1000000);
	struct tm tm;

	irc_nick_show(w->nick, w->len, shown);
	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y UTC", &tm);
	irc_numeric(call, RPL_WHOWASUSER, "%s %s %s * :%s", shown, w->user, w->host, w->realname);
	irc_numeric(call, RPL_WHOISSERVER, "%s %s :%s", shown,
		    w->node[0] ? w->node : irc_config(call)->irc.server_name, when);
}

static enum verdict whowas_run(struct irc_call *call)
{
	_cleanup_free_ struct whowas *found = calloc(WHOWAS_TOLD, sizeof(*found));
	struct irc_arg nick = call->line->params[0];
	char mask[IRC_BODY_MAX], count[16], echo[IRC_BODY_MAX / 2];
	size_t max = WHOWAS_TOLD, n = 0;
	long wanted = strtol(irc_param(call, 1, count, sizeof(count)), NULL, 10);

	if (wanted > 0 && wanted < WHOWAS_TOLD)
		max = (size_t)wanted;
	irc_arg_copy(nick, mask, sizeof(mask));
	irc_query_echo(nick, echo, sizeof(echo));
	if (found && nick.len > 0)
		n = whowas_find(nick, strpbrk(mask, "*?") ? mask : NULL, found, max);
	for (size_t i = 0; i < n; i++)
		whowas_tell(call, &found[i]);
	if (n == 0)
		irc_numeric(call, ERR_WASNOSUCHNICK, "%s", echo);
	irc_numeric(call, RPL_ENDOFWHOWAS, "%s", echo);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_whowas[] = {
    {.name = "WHOWAS", .run = whowas_run, .needs = 1, .cost = 2, .only_asks = true},
    {0},
};
