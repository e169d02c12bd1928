/* SPDX-License-Identifier: MIT */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/engine/bans.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* --- Kick --- */

struct kick {
	uint64_t id;
	char text[300];
	union address from; /* written before found is set */
	atomic_bool found;
	atomic_uint references;
};

static void kick_unref(void *arg)
{
	struct kick *k = arg;

	if (atomic_fetch_sub(&k->references, 1) == 1)
		free(k);
}

static void kick_client(struct worker *w, void *arg)
{
	struct kick *k = arg;

	if (worker_kick(w, k->id, k->text, &k->from))
		atomic_store(&k->found, true);
}

void control_kick(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	const json_t *id = json_object_get(parameters, "id"), *reason = json_object_get(parameters, "reason");
	char from[ADDRESS_TEXT_MAX];
	struct kick *k;

	(void)more;
	if (!json_is_integer(id) || json_integer_value(id) <= 0 ||
	    (reason && !json_is_string(reason) && !json_is_null(reason))) {
		control_invalid(c, !json_is_integer(id) || json_integer_value(id) <= 0 ? "id" : "reason");
		return;
	}
	k = calloc(1, sizeof(*k));
	if (!k) {
		control_refuse(c, "out of memory");
		return;
	}
	atomic_store(&k->references, 2);
	k->id = (uint64_t)json_integer_value(id);
	if (json_string_length(reason) > 0) {
		char clean[200 * TEXT_SANITISE_GROWTH];
		size_t len = json_string_length(reason) < 80 ? json_string_length(reason) : 80;
		len = text_sanitise(clean, json_string_value(reason), len);
		snprintf(k->text, sizeof(k->text), "* You have been removed: %.*s\n", (int)len, clean);
	} else {
		snprintf(k->text, sizeof(k->text), "* You have been removed.\n");
	}
	int r = workers_call(h->ctx.shared, NULL, kick_client, k, kick_unref, CONTROL_CALL_TIMEOUT_US);
	if (r < 0) {
		control_refuse(c, "a worker does not answer");
	} else if (!atomic_load(&k->found)) {
		control_refuse(c, "there is no client %" PRIu64, k->id);
	} else {
		const char *why = json_string_length(reason) > 0 ? json_string_value(reason) : NULL;
		log_event(LOG_NOTICE,
			  &(struct log_fields){.message_id = EVENT_CLIENT_KICKED,
					       .client = k->id,
					       .address = &k->from,
					       .reason = why},
			  "client %" PRIu64 " from %s removed by %s%s%s", k->id, address_peer(&k->from, from),
			  control_peer(c), why ? ": " : "", why ? why : "");
		control_reply(c, NULL, false);
	}
	kick_unref(k);
}

/* --- Ban, Unban --- */

struct eviction {
	struct prefix prefix;
	atomic_uint n, references;
};

static void eviction_unref(void *arg)
{
	struct eviction *e = arg;

	if (atomic_fetch_sub(&e->references, 1) == 1)
		free(e);
}

static void evict(struct worker *w, void *arg)
{
	struct eviction *e = arg;

	atomic_fetch_add(&e->n, worker_evict(w, &e->prefix, "* You have been banned.\n"));
}

static void log_ban(const struct ban *ban, double seconds, const char *peer)
{
	char text[ADDRESS_TEXT_MAX], time[40] = "";

	prefix_format(&ban->prefix, text);
	if (ban->until_us)
		snprintf(time, sizeof(time), " for %.0f s", seconds);
	log_event(LOG_NOTICE,
		  &(struct log_fields){.message_id = EVENT_BAN, .prefix = text, .until_us = ban->until_us},
		  "%s banned by %s%s", text, peer, time);
}

void control_ban(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	const char *address = json_string_value(json_object_get(parameters, "address"));
	const json_t *length = json_object_get(parameters, "seconds");
	struct ban ban = {.until_us = 0};
	char text[ADDRESS_TEXT_MAX];

	(void)more;
	if (!address || prefix_parse(address, &ban.prefix) < 0) {
		control_invalid(c, "address");
		return;
	}
	if (length && !json_is_null(length)) {
		double v = json_number_value(length);
		if (!json_is_number(length) || !(v > 0) || !(v <= 100 * 365 * 86400.0)) {
			control_invalid(c, "seconds");
			return;
		}
		ban.until_us = clock_us(CLOCK_REALTIME) + (int64_t)(v * 1e6);
	}
	struct eviction *e = calloc(1, sizeof(*e));
	if (!e || bans_add(h->ctx.shared->bans, &ban, h->ctx.config->max_bans) < 0) {
		control_refuse(c, e ? "there are too many bans (limits.max_bans)" : "out of memory");
		free(e);
		return;
	}
	e->prefix = ban.prefix;
	prefix_format(&ban.prefix, text);
	atomic_store(&e->references, 2);
	int r = bans_save(h->ctx.shared->bans);
	if (r < 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_BAN},
			  "the bans can't be saved, so they end with chatd: %s", strerror(-r));
	workers_call(h->ctx.shared, NULL, evict, e, eviction_unref, CONTROL_CALL_TIMEOUT_US);
	log_ban(&ban, json_number_value(length), control_peer(c));
	json_t *reply =
	    json_pack("{s:s,s:b,s:i}", "address", text, "saved", r == 0, "kicked", (int)atomic_load(&e->n));

	if (r < 0)
		json_object_set_new(reply, "reason", json_string(strerror(-r)));
	eviction_unref(e);
	control_reply(c, reply, false);
}

void control_unban(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	const char *address = json_string_value(json_object_get(parameters, "address"));
	char text[ADDRESS_TEXT_MAX];
	struct prefix p;

	(void)more;
	if (!address || prefix_parse(address, &p) < 0) {
		control_invalid(c, "address");
		return;
	}
	if (bans_remove(h->ctx.shared->bans, &p) < 0) {
		control_refuse(c, "%s is not banned", prefix_format(&p, text));
		return;
	}
	int r = bans_save(h->ctx.shared->bans);
	prefix_format(&p, text);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_BAN, .prefix = text},
		  "%s unbanned by %s", text, control_peer(c));
	json_t *reply = json_pack("{s:b}", "saved", r == 0);
	if (r < 0)
		json_object_set_new(reply, "reason", json_string(strerror(-r)));
	control_reply(c, reply, false);
}
