/* SPDX-License-Identifier: MIT */
/* Kick: one client is told why, and disconnected. */
#include "daemon/base/logger.h"
#include "daemon/control/errand.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"

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

void control_kick(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	const json_t *id = json_object_get(parameters, "id"), *reason = json_object_get(parameters, "reason");
	bool good_id = json_is_integer(id) && json_integer_value(id) > 0;

	(void)more;
	if (!good_id || (reason && !json_is_string(reason) && !json_is_null(reason))) {
		control_invalid(c, good_id ? "reason" : "id");
		return;
	}
	const char *why = json_string_length(reason) > 0 ? json_string_value(reason) : NULL;
	struct kick *k = (struct kick *)errand_new(sizeof(*k), NULL);
	if (!k) {
		control_refuse(c, "out of memory");
		return;
	}
	k->id = (uint64_t)json_integer_value(id);
	if (why)
		k->reason[text_sanitise(k->reason, why, strnlen(why, KICK_REASON_MAX))] = '\0';
	if (errand_run(&k->errand, h->ctx.shared, kick_client) < 0) {
		control_refuse(c, "a worker does not answer");
	} else if (!atomic_load(&k->found)) {
		control_refuse(c, "there is no client %" PRIu64, k->id);
	} else {
		kick_log(k, why, control_peer(c));
		control_reply(c, NULL, false);
	}
	errand_unref(&k->errand);
}
