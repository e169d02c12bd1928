/* SPDX-License-Identifier: MIT */
/* Watch: the events of the log as they happen. */
#include "common/cleanup.h"
#include "daemon/base/log_watch.h"
#include "daemon/base/logger.h"
#include "daemon/control/methods.h"

#include <stdlib.h>

struct watch {
	uint64_t next;
	bool replied;
};

static void watch_forget(struct control_client *c, void *data)
{
	(void)c;
	log_unwatch();
	free(data);
}

static json_t *watch_json(const struct log_entry *e)
{
	json_t *o =
	    json_pack("{s:f,s:s,s:s}", "time", control_seconds(e->time_us), "kind", e->kind, "text", e->text);

	if (e->client)
		json_object_set_new(o, "client", json_integer((json_int_t)e->client));
	if (e->room[0])
		json_object_set_new(o, "room", json_string(e->room));
	if (e->listener[0])
		json_object_set_new(o, "listener", json_string(e->listener));
	if (e->address[0])
		json_object_set_new(o, "address", json_string(e->address));
	if (e->reason[0])
		json_object_set_new(o, "reason", json_string(e->reason));
	if (e->until_us)
		json_object_set_new(o, "until", json_real(control_seconds(e->until_us)));
	return o;
}

static void watch_follow(struct control_client *c, void *data)
{
	struct watch *w = data;
	struct log_entry e;
	uint64_t missed, all_missed = 0;

	while (!control_is_full(c)) {
		json_t *array = json_array();
		unsigned n = 0;
		for (; n < 100 && log_watch_next(&w->next, &e, &missed); n++, all_missed += missed)
			json_array_append_new(array, watch_json(&e));
		if (n == 0 && w->replied) {
			json_decref(array);
			return;
		}
		w->replied = true;
		control_reply(c, json_pack("{s:o,s:I}", "events", array, "missed", (json_int_t)all_missed),
			      true);
		all_missed = 0;
	}
}

void control_watch(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {watch_follow, watch_forget};
	struct watch *w = more ? calloc(1, sizeof(*w)) : NULL;

	(void)parameters;
	if (!w) {
		control_refuse(c, more ? "out of memory"
				       : "Watch has many replies, so the call must say \"more\"");
		return;
	}
	w->next = log_watch();
	control_stream(c, &ops, w);
}
