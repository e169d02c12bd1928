/* SPDX-License-Identifier: MIT */
/*
 * Forget: somebody's messages, or a room's, are taken out of the rooms' logs, which is done at once, and out of the
 * database, which the archive's thread does in steps. That goes on if the client that asked for it goes away.
 */
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/engine/connections.h"
#include "daemon/history/archive.h"
#include "daemon/history/store.h"
#include "daemon/rooms/forget.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is removed in one step. */
#define FORGET_ROWS 1000
/* Somebody who reads the database may keep its traces in the file for so long. */
#define FORGET_SCRUB_US (10 * SECOND_US)

/* How long workers may take to hear that something is gone. */
#define FORGET_TELL_US SECOND_US

struct forget_call {
	struct archive_task task; /* first */
	atomic_uint references;	  /* the client's and the archive's */
	atomic_bool over;
	const struct slots *slots;
	unsigned slot; /* of the thread that is told */
	char room[TEXT_ROOM_MAX + 1], nick[TEXT_NICK_MAX + 1], peer[96];
	struct store_forget what;
	/* The archive's. */
	int64_t from, scrub_until;
	uint64_t removed;
	int error;
	bool clean; /* no traces are left */
};

static void forget_unref(struct forget_call *f)
{
	if (atomic_fetch_sub(&f->references, 1) == 1)
		free(f);
}

/* --- on the archive's thread --- */

static int forget_step(struct archive_task *t, struct store *s)
{
	struct forget_call *f = (struct forget_call *)t;
	bool more = false;
	uint64_t n = 0;
	int r;

	/* All that had been said is stored; however much is said from now on, there is an end of it. */
	if (f->what.last == 0)
		f->what.last = store_last_id(s) > 0 ? store_last_id(s) : 1;
	if (f->scrub_until == 0) {
		r = store_forget(s, &f->what, FORGET_ROWS, &f->from, &n, &more);
		f->removed += n;
		if (r == 0 && !more)
			f->scrub_until = clock_us(CLOCK_MONOTONIC) + FORGET_SCRUB_US;
		return r < 0 ? r : 1;
	}
	r = store_scrub(s, &more);
	f->clean = r == 0 && !more;
	return r < 0 ? r : more && clock_us(CLOCK_MONOTONIC) < f->scrub_until;
}

/* On any thread. */
static void forget_over(struct archive_task *t, int r)
{
	struct forget_call *f = (struct forget_call *)t;

	f->error = r;
	log_event(r < 0 ? LOG_WARNING : LOG_NOTICE,
		  &(struct log_fields){.message_id = EVENT_HISTORY, .room = f->room[0] ? f->room : NULL},
		  "history: %s has %" PRIu64 " message%s%s%s%s%s forgotten%s%s", f->peer, f->removed,
		  f->removed == 1 ? "" : "s", f->nick[0] ? " of " : "", f->nick, f->room[0] ? " in " : "",
		  f->room, r < 0 ? "; the others are still there: " : "", r < 0 ? strerror(-r) : "");
	atomic_store(&f->over, true);
	wakeup_kick(slots_wakeup(f->slots, f->slot));
	forget_unref(f);
}

/* --- on the main thread --- */

/* Where it is to be forgotten: the room, or all. */
static void forget_in_rooms(struct host *h, const struct forget_call *f)
{
	const struct room_forget what = {f->what.nick, f->what.since_us, f->what.before_us};
	struct rooms *rooms = h->ctx.shared->rooms;
	struct room_info *list = NULL;
	size_t n = 0;

	if (f->what.room) {
		list = calloc(1, sizeof(*list));
		if (list)
			memcpy(list[n++].name, f->room, sizeof(f->room));
	} else {
		list = rooms_copy(rooms, &n);
	}
	for (size_t i = 0; list && i < n; i++) {
		struct room *r;
		if (rooms_enter_existing(rooms, list[i].name, h->ctx.slot, &r) < 0)
			continue;
		room_forget(r, &what);
		rooms_leave(rooms, r, h->ctx.slot);
	}
	workers_do(h->ctx.shared, connections_tell_places, FORGET_TELL_US);
	free(list);
}

static void forget_forget(struct control_client *c, void *data)
{
	(void)c;
	forget_unref(data);
}

static void forget_follow(struct control_client *c, void *data)
{
	struct forget_call *f = data;

	if (!atomic_load(&f->over))
		return;
	if (f->error == -EAGAIN)
		control_refuse(c,
			       "the database can't be written at the moment (chatctl status says why), so it "
			       "still has them; they are gone from the rooms' logs");
	else if (f->error < 0)
		control_refuse(c, "%" PRIu64 " were removed, then that failed: %s", f->removed,
			       strerror(-f->error));
	else
		control_reply(c, json_pack("{s:I,s:b}", "removed", (json_int_t)f->removed, "clean", f->clean),
			      false);
	control_stream_end(c);
}

static bool forget_take_name(const json_t *parameters, const char *key, size_t size, char *buf,
			     const char **ret)
{
	const json_t *v = json_object_get(parameters, key);

	if (!v || json_is_null(v))
		return true;
	if (json_string_length(v) == 0 || json_string_length(v) >= size)
		return false;
	memcpy(buf, json_string_value(v), json_string_length(v) + 1);
	*ret = buf;
	return true;
}

/* The name of the member that makes no sense, or NULL. */
static const char *forget_take(struct forget_call *f, const json_t *parameters)
{
	if (!forget_take_name(parameters, "room", sizeof(f->room), f->room, &f->what.room))
		return "room";
	if (!forget_take_name(parameters, "nick", sizeof(f->nick), f->nick, &f->what.nick))
		return "nick";
	if (!report_take_time(parameters, "since", &f->what.since_us))
		return "since";
	if (!report_take_time(parameters, "before", &f->what.before_us))
		return "before";
	return f->what.room || f->what.nick ? NULL : "room";
}

void control_forget(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {forget_follow, forget_forget};
	struct host *h = control_host(c);
	struct archive *a = h->ctx.shared->archive;
	struct forget_call *f = calloc(1, sizeof(*f));
	const char *wrong = f ? forget_take(f, parameters) : NULL;

	(void)more;
	if (!f || wrong || !a) {
		if (wrong)
			control_invalid(c, wrong);
		else
			control_refuse(c, f ? "there is no history: the configuration has no group history"
					    : "out of memory");
		free(f);
		return;
	}
	/* What is said from now on stays. */
	int64_t now = clock_us(CLOCK_REALTIME);
	if (f->what.before_us == 0 || f->what.before_us > now)
		f->what.before_us = now;
	snprintf(f->peer, sizeof(f->peer), "%s", control_peer(c));
	f->slots = h->ctx.shared->slots;
	f->slot = h->ctx.slot;
	f->task = (struct archive_task){.step = forget_step, .over = forget_over};
	atomic_store(&f->references, 2);
	forget_in_rooms(h, f);
	control_stream(c, &ops, f);
	archive_ask(a, &f->task);
}
