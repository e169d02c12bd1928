/* SPDX-License-Identifier: MIT */
/* LUSERS: how many are here. With many people that is counted once a second only, since everybody who comes is told. */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"

#include <pthread.h>
#include <stdlib.h>

#define LUSERS_MANY 1000
#define LUSERS_US 1000000

struct lusers {
	unsigned all, invisible, operators, unregistered;
};

static struct {
	pthread_mutex_t lock;
	struct lusers last;
	int64_t at_us; /* CLOCK_MONOTONIC; 0: never */
	unsigned most;
} lusers_known = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lusers_add(struct irc_call *call, const struct roster_member *m, struct lusers *l)
{
	struct irc_user u;

	if (m->id == connection_id(call->c)) /* which may register in this very step */
		u = *irc_user(call->c);
	else if (!irc_users_copy(irc_shared(call)->irc->users, m->index, m->id, &u))
		u = (struct irc_user){.flags = IRC_REGISTERED};
	if (!(u.flags & IRC_REGISTERED)) {
		l->unregistered++;
		return;
	}
	l->all++;
	l->invisible += (u.flags & IRC_INVISIBLE) != 0;
	l->operators += (u.flags & IRC_OPER) != 0;
}

static struct lusers lusers_count(struct irc_call *call)
{
	enum { PART = 256 }; /* under the roster's lock, which others want */
	_cleanup_free_ struct roster_member *some = malloc(PART * sizeof(*some));
	struct lusers l = {0};
	uint64_t cursor = 0;

	for (size_t n; some && (n = roster_some(irc_shared(call)->roster, &cursor, some, PART)) > 0;)
		for (size_t i = 0; i < n; i++)
			lusers_add(call, &some[i], &l);
	return l;
}

static struct lusers lusers_get(struct irc_call *call, unsigned *ret_most)
{
	int64_t now = clock_us(CLOCK_MONOTONIC);

	pthread_mutex_lock(&lusers_known.lock);
	struct lusers l = lusers_known.last;
	bool known = l.all > LUSERS_MANY && lusers_known.at_us && now - lusers_known.at_us < LUSERS_US;
	pthread_mutex_unlock(&lusers_known.lock);
	if (!known)
		l = lusers_count(call);
	pthread_mutex_lock(&lusers_known.lock);
	if (!known) {
		lusers_known.last = l;
		lusers_known.at_us = now;
	}
	if (l.all > lusers_known.most)
		lusers_known.most = l.all;
	*ret_most = lusers_known.most;
	pthread_mutex_unlock(&lusers_known.lock);
	return l;
}

void irc_lusers(struct irc_call *call)
{
	unsigned most;
	const struct lusers l = lusers_get(call, &most);

	irc_numeric(call, RPL_LUSERCLIENT, ":There are %u users and %u invisible on 1 servers",
		    l.all - l.invisible, l.invisible);
	irc_numeric(call, RPL_LUSEROP, "%u", l.operators);
	irc_numeric(call, RPL_LUSERUNKNOWN, "%u", l.unregistered);
	irc_numeric(call, RPL_LUSERCHANNELS, "%u", rooms_count(irc_shared(call)->rooms));
	irc_numeric(call, RPL_LUSERME, ":I have %u clients and 0 servers", l.all);
	irc_numeric(call, RPL_LOCALUSERS, "%u %u :Current local users %u, max %u", l.all, most, l.all, most);
	irc_numeric(call, RPL_GLOBALUSERS, "%u %u :Current global users %u, max %u", l.all, most, l.all,
		    most);
}

static enum verdict lusers_run(struct irc_call *call)
{
	irc_lusers(call);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_lusers[] = {
    {.name = "LUSERS", .run = lusers_run, .cost = 2, .only_asks = true},
    {0},
};
