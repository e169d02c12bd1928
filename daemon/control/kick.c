/* SPDX-License-Identifier: MIT */
/* Kick: one client is told why, and disconnected. */
#include "common/nick.h"
#include "daemon/base/logger.h"
#include "daemon/control/errand.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/roster.h"

#include <inttypes.h>
#include <string.h>

#define KICK_REASON_MAX 80

struct kick {
	struct errand errand;
	uint64_t id;
	char reason[KICK_REASON_MAX * TEXT_SANITISE_GROWTH + 1]; /* "": none is given */
	union address from;					 /* written before found is set */
	atomic_bool found;
};

static void kick_client(struct worker *w, void *arg)
{
	struct kick *k = arg;

	const struct notice why = {.kind = NOTICE_REMOVED, .text = k->reason[0] ? k->reason : NULL};

	if (worker_kick(w, k->id, &why, &k->from))
		atomic_store(&k->found, true);
}

static void kick_log(const struct kick *k, const char *reason, const char *peer)
{
	char from[ADDRESS_TEXT_MAX];

	log_event(
	    LOG_NOTICE,
	    &(struct log_fields){
		.message_id = EVENT_CLIENT_KICKED, .client = k->id, .address = &k->from, .reason = reason},
	    "client %" PRIu64 " from %s removed by %s%s%s", k->id, address_peer(&k->from, from), peer,
	    reason ? ": " : "", reason ? reason : "");
}

/* Who has that nick. Returns an id, or 0 after refusing it. */
static uint64_t kick_find(struct control_client *c, const char *nick, size_t len)
{
	struct shared *shared = control_host(c)->ctx.shared;
	struct nick_keys keys = nick_keys(nick, len);
	struct elsewhere_found there;
	struct roster_member here;

	if (roster_member(shared->roster, nick, len, &here)) {
		if (nick_equal(here.nick, here.len, nick, len))
			return here.id;
		control_refuse(c, "nobody is called %s, but client %" PRIu64 " is %s, which looks like it",
			       nick, here.id, here.nick);
	} else if (shared->elsewhere && elsewhere_find(shared->elsewhere, &keys, &there)) {
		control_refuse(c, "%s is at node %s: kick there", there.client.nick, there.node);
	} else {
		control_refuse(c, "nobody is called %s", nick);
	}
	return 0;
}

static void kick_do(struct control_client *c, uint64_t id, const char *why)
{
	struct host *h = control_host(c);
	struct kick *k = (struct kick *)errand_new(sizeof(*k), NULL);

	if (!k) {
		control_refuse(c, "out of memory");
		return;
	}
	k->id = id;
	if (why)
		k->reason[text_sanitise(k->reason, why, strnlen(why, KICK_REASON_MAX))] = '\0';
	if (errand_run(&k->errand, h->ctx.shared, kick_client) < 0) {
		control_refuse(c, "a worker does not answer");
	} else if (!atomic_load(&k->found)) {
		control_refuse(c, "there is no client %" PRIu64, k->id);
	} else {
		kick_log(k, why, control_peer(c));
		control_reply(c, json_pack("{s:I}", "id", (json_int_t)k->id), false);
	}
	errand_unref(&k->errand);
}

void control_kick(struct control_client *c, const json_t *parameters, bool more)
{
	const json_t *id = json_object_get(parameters, "id"), *nick = json_object_get(parameters, "nick"),
		     *reason = json_object_get(parameters, "reason");
	bool by_nick = nick && !json_is_null(nick), by_id = id && !json_is_null(id);

	(void)more;
	if (by_nick && (by_id || !nick_well_formed(json_string_value(nick), json_string_length(nick)))) {
		control_invalid(c, "nick");
	} else if (!by_nick && !(json_is_integer(id) && json_integer_value(id) > 0)) {
		control_invalid(c, "id");
	} else if (reason && !json_is_string(reason) && !json_is_null(reason)) {
		control_invalid(c, "reason");
	} else {
		const char *why = json_string_length(reason) > 0 ? json_string_value(reason) : NULL;
		uint64_t whom = by_nick ? kick_find(c, json_string_value(nick), json_string_length(nick))
					: (uint64_t)json_integer_value(id);
		if (whom)
			kick_do(c, whom, why);
	}
}
