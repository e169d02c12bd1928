/* SPDX-License-Identifier: MIT */
/* Ban and Unban: an address or a network is kept out, and whoever is connected from there has to go. */
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/ban_share.h"
#include "daemon/control/errand.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/engine/bans.h"

#include <stdio.h>
#include <string.h>

struct eviction {
	struct errand errand;
	struct prefix prefix;
	atomic_uint n;
};

static void ban_evict(struct worker *w, void *arg)
{
	struct eviction *e = arg;

	atomic_fetch_add(&e->n, worker_evict(w, &e->prefix, &(struct notice){.kind = NOTICE_BANNED}));
}

static void ban_log(const struct ban *ban, double seconds, const char *peer)
{
	char text[ADDRESS_TEXT_MAX], time[40] = "";

	prefix_format(&ban->prefix, text);
	if (ban->until_us)
		snprintf(time, sizeof(time), " for %.0f s", seconds);
	log_event(LOG_NOTICE,
		  &(struct log_fields){.message_id = EVENT_BAN, .prefix = text, .until_us = ban->until_us},
		  "%s banned by %s%s", text, peer, time);
}

/* seconds: from now on, or without an end. Returns 0 or -EINVAL. */
static int ban_parse_end(const json_t *seconds, int64_t *ret_until_us)
{
	double v = json_number_value(seconds);

	*ret_until_us = 0;
	if (!seconds || json_is_null(seconds))
		return 0;
	if (!json_is_number(seconds) || !(v > 0) || !(v <= 100 * 365 * 86400.0))
		return -EINVAL;
	*ret_until_us = clock_us(CLOCK_REALTIME) + (int64_t)(v * 1e6);
	return 0;
}

void control_ban(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	struct bans *bans = h->ctx.shared->bans;
	const char *address = json_string_value(json_object_get(parameters, "address"));
	const json_t *seconds = json_object_get(parameters, "seconds");
	struct ban ban = {.until_us = 0};
	char text[ADDRESS_TEXT_MAX];

	(void)more;
	if (!address || prefix_parse(address, &ban.prefix) < 0) {
		control_invalid(c, "address");
		return;
	}
	if (ban_parse_end(seconds, &ban.until_us) < 0) {
		control_invalid(c, "seconds");
		return;
	}
	struct eviction *e = (struct eviction *)errand_new(sizeof(*e), NULL);
	if (!e || bans_add(bans, &ban, h->ctx.config->max_bans) < 0) {
		control_refuse(c, e ? "there are too many bans (limits.max_bans)" : "out of memory");
		if (e)
			errand_unref(&e->errand);
		return;
	}
	ban_share_say(h->ctx.shared->ban_share, &(struct ban_word){.prefix = ban.prefix,
								   .until_us = ban.until_us,
								   .changed_us = clock_us(CLOCK_REALTIME)});
	e->prefix = ban.prefix;
	int r = bans_save(bans);
	if (r < 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_BAN},
			  "the bans can't be saved, so they end with chatd: %s", strerror(-r));
	errand_run(&e->errand, h->ctx.shared, ban_evict);
	ban_log(&ban, json_number_value(seconds), control_peer(c));
	json_t *reply = json_pack("{s:s,s:b,s:i}", "address", prefix_format(&ban.prefix, text), "saved",
				  r == 0, "kicked", (int)atomic_load(&e->n));
	if (r < 0)
		json_object_set_new(reply, "reason", json_string(strerror(-r)));
	errand_unref(&e->errand);
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
	ban_share_say(
	    h->ctx.shared->ban_share,
	    &(struct ban_word){.prefix = p, .removed = true, .changed_us = clock_us(CLOCK_REALTIME)});
	int r = bans_save(h->ctx.shared->bans);
	prefix_format(&p, text);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_BAN, .prefix = text},
		  "%s unbanned by %s", text, control_peer(c));
	json_t *reply = json_pack("{s:b}", "saved", r == 0);
	if (r < 0)
		json_object_set_new(reply, "reason", json_string(strerror(-r)));
	control_reply(c, reply, false);
}
