/* SPDX-License-Identifier: MIT */
/* First what is told, then when somebody comes or goes, then the command. */
#include "daemon/irc/monitor.h"

#include "common/nick.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/each_worker.h"
#include "daemon/irc/blobs.h"
#include "daemon/irc/commands.h"
#include "daemon/irc/people.h"
#include "daemon/irc/watched.h"
#include "daemon/irc/watchers.h"
#include "daemon/irc/whowas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What fits beside ":server 730 nick :" */
#define MONITOR_LINE_MAX (IRC_BODY_MAX - 2 - IRC_SERVER_NAME_MAX - TEXT_NICK_MAX - 16)

/* What one that is looked for costs: irc_work(). */
#define MONITOR_WORK 2

static struct irc_watcher monitor_self(struct connection *c)
{
	return (struct irc_watcher){.id = connection_id(c), .index = connection_index(c)};
}

static void monitor_load(struct connection *c, struct irc_watched *ret)
{
	char data[IRC_BLOB_MONITOR_MAX];
	size_t n =
	    irc_blob_get(connection_context(c)->shared->irc->blobs, connection_index(c), connection_id(c),
			 IRC_BLOB_MONITOR, irc_user(c)->monitor_at, data, sizeof(data));

	irc_watched_unpack(data, n, ret);
}

/* Once in a transaction. */
static void monitor_keep(struct irc_call *call, const struct irc_watched *w)
{
	struct shared *shared = irc_shared(call);
	const struct client *client = clients_at(shared->clients, connection_index(call->c));
	uint32_t holds = irc_user(call->c)->monitor_at;
	char data[IRC_BLOB_MONITOR_MAX];
	size_t n = irc_watched_pack(w, data);
	struct irc_user *u = irc_change(call);

	u->monitor_at =
	    n > 0 ? irc_blob_put(shared->irc->blobs, client, IRC_BLOB_MONITOR, holds, data, n) : 0;
}

/* --- what is told --- */

/* Names that are told in as many lines of that numeric as need be. */
struct monitor_names {
	enum irc_numeric numeric;
	size_t len;
	char line[MONITOR_LINE_MAX + 1];
};

static void monitor_flush(struct irc_call *call, struct monitor_names *names)
{
	if (names->len > 0)
		irc_numeric(call, names->numeric, ":%s", names->line);
	names->len = 0;
}

static void monitor_add(struct irc_call *call, struct monitor_names *names, const char *name)
{
	if (names->len + 1 + strlen(name) >= sizeof(names->line))
		monitor_flush(call, names);
	names->len += (size_t)snprintf(names->line + names->len, sizeof(names->line) - names->len, "%s%s",
				       names->len ? "," : "", name);
}

struct monitor_report {
	struct irc_call *call;
	struct monitor_names here, gone;
};

static struct monitor_report monitor_report(struct irc_call *call)
{
	return (struct monitor_report){
	    .call = call, .here.numeric = RPL_MONONLINE, .gone.numeric = RPL_MONOFFLINE};
}

static void monitor_report_end(struct monitor_report *r)
{
	monitor_flush(r->call, &r->here);
	monitor_flush(r->call, &r->gone);
}

/* Who only looks like it is somebody else. */
static bool monitor_is_here(struct irc_call *call, const struct irc_watched_nick *one, struct irc_person *ret)
{
	return irc_person_anywhere(call, (struct irc_arg){one->nick, one->len}, ret) &&
	       nick_equal(ret->member.nick, ret->member.len, one->nick, one->len);
}

/* Whoever was said to be here, and isn't found, may be on a node that isn't known at the moment. */
static bool monitor_may_be_here(struct irc_call *call, const struct irc_watched_nick *one)
{
	return one->is_here && !elsewhere_is_known(irc_shared(call)->elsewhere);
}

/* gone_as: how it was spelled, if that is known; else NULL. */
static void monitor_tell(struct monitor_report *r, struct irc_watched_nick *one, const char *gone_as,
			 size_t gone_len)
{
	char text[IRC_SHOWN_MAX + IRC_USER_MAX + IRC_HOST_MAX + 3];
	struct irc_person p;

	irc_work(r->call, MONITOR_WORK);
	one->is_here = monitor_is_here(r->call, one, &p);
	if (one->is_here) {
		snprintf(text, sizeof(text), "%s!%s@%s", p.nick, p.user.user, p.user.host);
		monitor_add(r->call, &r->here, text);
		return;
	}
	irc_nick_show(gone_as ? gone_as : one->nick, gone_as ? gone_len : one->len, text);
	monitor_add(r->call, &r->gone, text);
}

/* Nor is anybody who asks told that it is gone, as long as it may be here. */
static void monitor_tell_now(struct monitor_report *r, struct irc_watched_nick *one)
{
	char text[IRC_SHOWN_MAX + 1];
	struct irc_person p;

	if (!monitor_may_be_here(r->call, one) || monitor_is_here(r->call, one, &p)) {
		monitor_tell(r, one, NULL, 0);
		return;
	}
	irc_nick_show(one->nick, one->len, text);
	monitor_add(r->call, &r->here, text);
}

/* --- somebody comes or goes --- */

struct monitor_change {
	struct irc_watcher *who; /* it concerns; NULL: all */
	bool was_here;		 /* rather than on another node */
	size_t n, len;
	char nick[TEXT_NICK_MAX]; /* len 0: any */
};

static bool monitor_has_changed(struct irc_call *call, const struct irc_watched_nick *one,
				const struct monitor_change *change)
{
	struct irc_person p;

	if (change->len > 0 && !nick_equal(one->nick, one->len, change->nick, change->len))
		return false;
	if (monitor_is_here(call, one, &p) == one->is_here)
		return false;
	return change->was_here || !monitor_may_be_here(call, one);
}

static void monitor_compare(struct connection *c, const struct monitor_change *change)
{
	struct irc_call call = {.c = c};
	struct monitor_report r = monitor_report(&call);
	struct irc_watched w;
	bool any = false;

	/* Without space for the answer it is told with the next change. */
	if (!(irc_user(c)->flags & IRC_REGISTERED) || !irc_user(c)->monitor_at ||
	    connection_state(c)->flags & CLIENT_CLOSING || connection_space(c) < IRC_REPLY_MAX)
		return;
	monitor_load(c, &w);
	for (size_t i = 0; i < w.n; i++) {
		if (!monitor_has_changed(&call, &w.at[i], change))
			continue;
		monitor_tell(&r, &w.at[i], change->len > 0 ? change->nick : NULL, change->len);
		any = true;
	}
	if (!any)
		return;
	monitor_report_end(&r);
	monitor_keep(&call, &w);
	irc_commit(&call);
	connection_hurry(c);
}

static void monitor_compare_any(struct connection *c, void *arg)
{
	monitor_compare(c, arg);
}

static void monitor_compare_here(struct worker *w, void *what)
{
	struct monitor_change *change = what;

	if (!change->who) {
		connections_with(worker_context(w), &handler_tcp_irc, monitor_compare_any, change);
		connections_with(worker_context(w), &handler_http_irc, monitor_compare_any, change);
	}

	for (size_t i = 0; i < change->n; i++) {
		struct connection *c =
		    connections_find(worker_context(w), change->who[i].index, change->who[i].id);
		if (c && irc_is_spoken(c))
			monitor_compare(c, change);
	}
}

static void monitor_compared(void *what)
{
	struct monitor_change *change = what;

	free(change->who);
	free(change);
}

/* Takes who over. */
static void monitor_changed(struct shared *shared, const struct monitor_change *what)
{
	struct monitor_change *change = malloc(sizeof(*change));

	if (!change) {
		free(what->who);
		return;
	}
	*change = *what;
	each_worker(shared, monitor_compare_here, monitor_compared, change);
}

static void monitor_nick(struct shared *shared, bool was_here, const char *nick, size_t len)
{
	struct monitor_change change = {.was_here = was_here, .len = len};

	change.n = irc_watchers_find(shared->irc->watchers, nick, len, &change.who);
	if (change.n == 0)
		return;
	memcpy(change.nick, nick, len);
	monitor_changed(shared, &change);
}

static void monitor_noted(void *arg, const char *nick, size_t len)
{
	monitor_nick(arg, true, nick, len);
}

static void monitor_noted_elsewhere(void *arg, const char *node, const char *nick, size_t len, bool gone)
{
	if (gone)
		irc_whowas_note_elsewhere(node, nick, len);
	if (len > 0)
		monitor_nick(arg, false, nick, len);
	else
		monitor_changed(arg, &(struct monitor_change){.n = 0});
}

void irc_monitor_start(struct shared *shared)
{
	struct irc *irc = shared->irc;

	if (!irc || irc->listener.fn)
		return;
	irc->listener = (struct roster_listener){.fn = monitor_noted, .arg = shared};
	roster_listen(shared->roster, &irc->listener);
	irc->elsewhere_listener = (struct elsewhere_listener){.fn = monitor_noted_elsewhere, .arg = shared};
	elsewhere_listen(shared->elsewhere, &irc->elsewhere_listener);
}

void irc_monitor_stop(struct shared *shared)
{
	elsewhere_listen(shared->elsewhere, NULL);
	if (shared->roster) /* there is none if the start failed early */
		roster_listen(shared->roster, NULL);
}

static void monitor_is_registered(struct irc_call *call, void *arg)
{
	const struct client_state *st = connection_state(call->c);

	(void)arg;
	monitor_noted(irc_shared(call), st->nick, st->nick_len);
}

void irc_monitor_registered(struct irc_call *call)
{
	irc_after(call, monitor_is_registered, NULL, NULL);
}

void irc_monitor_restored(struct connection *c)
{
	struct shared *shared = connection_context(c)->shared;
	const struct irc_watcher self = monitor_self(c);
	struct irc_watcher *who;
	struct irc_watched w;

	if (!irc_user(c)->monitor_at)
		return;
	monitor_load(c, &w);
	for (size_t i = 0; i < w.n; i++)
		(void)!irc_watchers_add(shared->irc->watchers, w.at[i].nick, w.at[i].len, &self);
	who = malloc(sizeof(*who));
	if (!who)
		return;
	*who = self;
	/* Done when the workers begin, and then all are here who were. */
	monitor_changed(shared, &(struct monitor_change){.who = who, .n = 1});
}

static void monitor_forget(struct connection *c, const struct irc_watched *w)
{
	const struct irc_watcher self = monitor_self(c);

	for (size_t i = 0; i < w->n; i++)
		irc_watchers_remove(connection_context(c)->shared->irc->watchers, w->at[i].nick, w->at[i].len,
				    &self);
}

void irc_monitor_closed(struct connection *c)
{
	struct irc_watched w;

	if (!irc_user(c)->monitor_at)
		return;
	monitor_load(c, &w);
	monitor_forget(c, &w);
}

/* --- the command --- */

static void monitor_refuse(struct irc_call *call, struct irc_arg target)
{
	char echo[64];

	irc_numeric(call, ERR_ERRONEUSNICKNAME, "%s", irc_query_echo(target, echo, sizeof(echo)));
}

/* What doesn't fit any more is told back, as far as that fits into the line. */
static void monitor_full(struct irc_call *call, struct irc_arg left)
{
	char text[MONITOR_LINE_MAX - 32], echo[sizeof(text)];

	snprintf(text, sizeof(text), "%.*s", (int)(left.len < sizeof(text) ? left.len : sizeof(text) - 1),
		 left.at);
	irc_numeric(call, ERR_MONLISTFULL, "%d %s", IRC_WATCHED_MAX,
		    irc_query_echo((struct irc_arg){text, strlen(text)}, echo, sizeof(echo)));
}

static void monitor_watch(struct irc_call *call, struct irc_watched *w, struct irc_arg targets)
{
	struct irc_watchers *ws = irc_shared(call)->irc->watchers;
	const struct irc_watcher self = monitor_self(call->c);
	struct monitor_report r = monitor_report(call);
	struct irc_arg target;
	size_t at = 0;

	while (irc_arg_next(targets, &at, &target)) {
		char nick[TEXT_NICK_MAX + 1];
		int n = nick_normalise(target.at, target.len, nick);
		if (n <= 0) {
			monitor_refuse(call, target);
			continue;
		}
		struct irc_watched_nick *one = irc_watched_add(w, nick, (size_t)n);
		if (!one) {
			size_t from = (size_t)(target.at - targets.at);
			monitor_full(call, (struct irc_arg){target.at, targets.len - from});
			break;
		}
		/* Before it is looked for: who comes now is told of in any case. */
		if (irc_watchers_add(ws, nick, (size_t)n, &self))
			monitor_tell(&r, one, NULL, 0);
		else
			irc_watched_remove(w, nick, (size_t)n);
	}
	monitor_report_end(&r);
	monitor_keep(call, w);
}

static void monitor_unwatch(struct irc_call *call, struct irc_watched *w, struct irc_arg targets)
{
	const struct irc_watcher self = monitor_self(call->c);
	struct irc_arg target;
	size_t at = 0;

	while (irc_arg_next(targets, &at, &target)) {
		char nick[TEXT_NICK_MAX + 1];
		int n = nick_normalise(target.at, target.len, nick);
		if (n > 0 && irc_watched_remove(w, nick, (size_t)n))
			irc_watchers_remove(irc_shared(call)->irc->watchers, nick, (size_t)n, &self);
	}
	monitor_keep(call, w);
}

static void monitor_list(struct irc_call *call, const struct irc_watched *w)
{
	struct monitor_names names = {.numeric = RPL_MONLIST};
	char shown[IRC_SHOWN_MAX + 1];

	for (size_t i = 0; i < w->n; i++) {
		irc_nick_show(w->at[i].nick, w->at[i].len, shown);
		monitor_add(call, &names, shown);
	}
	monitor_flush(call, &names);
	irc_numeric(call, RPL_ENDOFMONLIST, "%s", "");
}

static void monitor_status(struct irc_call *call, struct irc_watched *w)
{
	struct monitor_report r = monitor_report(call);

	for (size_t i = 0; i < w->n; i++)
		monitor_tell_now(&r, &w->at[i]);
	monitor_report_end(&r);
	if (w->n > 0)
		monitor_keep(call, w);
}

static enum verdict monitor_run(struct irc_call *call)
{
	const struct irc_arg what = call->line->params[0];
	bool adds = irc_arg_is(what, "+"), changes = adds || irc_arg_is(what, "-");
	struct irc_watched w;

	if (changes && call->line->n_params < 2) {
		irc_numeric(call, ERR_NEEDMOREPARAMS, "MONITOR");
		return HANDLER_MORE;
	}
	monitor_load(call->c, &w);
	if (adds) {
		monitor_watch(call, &w, call->line->params[1]);
	} else if (changes) {
		monitor_unwatch(call, &w, call->line->params[1]);
	} else if (irc_arg_is(what, "C")) {
		monitor_forget(call->c, &w);
		irc_change(call)->monitor_at = 0;
	} else if (irc_arg_is(what, "L")) {
		monitor_list(call, &w);
	} else if (irc_arg_is(what, "S")) {
		monitor_status(call, &w);
	}
	return HANDLER_MORE;
}

const struct irc_command irc_commands_monitor[] = {
    {.name = "MONITOR", .run = monitor_run, .needs = 1, .cost = 4},
    {0},
};
