/* SPDX-License-Identifier: MIT */
/* What chatctl and others can ask for: one function a method, and the interface's description (varlink.org).
 */
#include "common/cleanup.h"
#include "common/varlink.h"
#include "daemon/bans.h"
#include "daemon/clock.h"
#include "daemon/connection.h"
#include "daemon/control.h"
#include "daemon/limits.h"
#include "daemon/logger.h"
#include "daemon/metrics.h"
#include "daemon/server.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CALL_TIMEOUT_US 5000000

static double seconds(int64_t us)
{
	return (double)us / 1e6;
}

/* A JSON string holds UTF-8 only, which lines of raw rooms need not be. */
static json_t *clean_string(const char *s, size_t len)
{
	_cleanup_free_ char *buf = malloc(len * TEXT_SANITISE_GROWTH + 1);

	return buf ? json_stringn(buf, text_sanitise(buf, s, len)) : NULL;
}

/* --- Status --- */

static void method_status(struct control_client *c, const json_t *parameters, bool more)
{
	struct server *s = control_server(c);
	struct shared *shared = server_shared(s);

	(void)parameters;
	(void)more;
	json_t *workers = json_array();
	for (unsigned i = 0; i < shared->n_workers; i++) {
		const struct worker *w = shared->workers[i];
		char name[32];
		snprintf(name, sizeof(name), "chatd/%u", i);
		json_array_append_new(workers,
				      json_pack("{s:s,s:i,s:s}", "name", name, "connections",
						(int)worker_connections(w), "sender", worker_sender_name(w)));
	}
	const struct listener_entry *e;
	for (size_t i = 0; (e = listeners_at(server_listeners(s), i)); i++)
		if (e->zmq)
			json_array_append_new(workers,
					      json_pack("{s:s,s:i,s:s}", "name",
							zmq_listener_thread_name(e->zmq), "connections",
							(int)zmq_listener_peers(e->zmq), "sender", "zmq"));
	json_t *reply =
	    json_pack("{s:s,s:i,s:f,s:s,s:i,s:i,s:i,s:I,s:I,s:I,s:o}", "version", PACKAGE_VERSION, "pid",
		      (int)getpid(), "uptime", seconds(clock_us(CLOCK_REALTIME) - server_started_us(s)),
		      "config", server_config_path(s), "clients", (int)limits_total(shared->limits), "rooms",
		      (int)rooms_count(shared->rooms), "listeners", (int)listeners_count(server_listeners(s)),
		      "messages", (json_int_t)metrics_total(s, COUNT_MESSAGES), "received_bytes",
		      (json_int_t)metrics_total(s, COUNT_BYTES_IN), "sent_bytes",
		      (json_int_t)metrics_total(s, COUNT_BYTES_OUT), "workers", workers);
	json_object_set_new(reply, "takeover", server_takeover_json(s));
	control_reply(c, reply, false);
}

/* --- List --- */

/* Each worker adds its clients to one list; whoever comes late after a time-out still finds it there. */
struct client_list {
	pthread_mutex_t lock;
	struct client_info *at;
	size_t n, room;
	unsigned references;
};

static void client_list_unref(void *arg)
{
	struct client_list *l = arg;

	pthread_mutex_lock(&l->lock);
	bool last = --l->references == 0;
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l->at);
	free(l);
}

static void collect_client(const struct client_info *info, void *arg)
{
	struct client_list *l = arg;

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 256;
		struct client_info *at = reallocarray(l->at, room, sizeof(*at));
		if (!at)
			return;
		l->at = at;
		l->room = room;
	}
	l->at[l->n++] = *info;
}

static void collect_clients(struct worker *w, void *arg)
{
	struct client_list *l = arg;

	pthread_mutex_lock(&l->lock);
	for (const struct connection *k = *worker_all(w); k; k = connection_next(k)) {
		struct client_info info;
		connection_info(k, &info);
		collect_client(&info, l);
	}
	for (struct listener *k = *worker_listeners(w); k; k = k->next)
		if (k->ops->each)
			k->ops->each(k, collect_client, l);
	pthread_mutex_unlock(&l->lock);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct client_info *)a)->id, y = ((const struct client_info *)b)->id;

	return x < y ? -1 : x > y;
}

static int64_t zmq_counter(const struct zmq_listener *z, enum counter which)
{
	return (int64_t)atomic_load_explicit(&zmq_listener_counters(z)->v[which], memory_order_relaxed);
}

/* ZeroMQ doesn't tell peers apart: there is one line for all of a listener's. */
static void list_peers(const struct listeners *listeners, json_t *array)
{
	const struct listener_entry *e;

	for (size_t i = 0; (e = listeners_at(listeners, i)); i++) {
		char place[LISTENER_PLACE_MAX];
		if (!e->zmq)
			continue;
		json_array_append_new(
		    array,
		    json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:I,s:I,s:i,s:I,s:b,s:b,s:i}", "id",
			      0, "nick", "", "room", e->config.room, "listener", e->config.name, "mode",
			      e->config.handler->mode, "address", listener_place(&e->config, place), "age", 0,
			      "idle", 0, "received", zmq_counter(e->zmq, COUNT_BYTES_IN), "sent",
			      zmq_counter(e->zmq, COUNT_BYTES_OUT), "messages_in",
			      zmq_counter(e->zmq, COUNT_ZMQ_IN), "messages_out",
			      zmq_counter(e->zmq, COUNT_ZMQ_OUT), "behind", 0, "dropped",
			      zmq_counter(e->zmq, COUNT_ZMQ_DROPPED), "covered", 0, "tls", 0, "peers",
			      (int)zmq_listener_peers(e->zmq)));
	}
}

static void list_clients(struct control_client *c)
{
	struct server *s = control_server(c);
	struct client_list *l = calloc(1, sizeof(*l));

	if (!l) {
		control_refuse(c, "out of memory");
		return;
	}
	pthread_mutex_init(&l->lock, NULL);
	l->references = 2;
	if (workers_call(server_shared(s), NULL, collect_clients, l, client_list_unref, CALL_TIMEOUT_US) <
	    0) {
		client_list_unref(l);
		control_refuse(c, "a worker does not answer");
		return;
	}
	if (l->n > 0)
		qsort(l->at, l->n, sizeof(*l->at), by_id);
	json_t *array = json_array();
	for (size_t i = 0; i < l->n; i++) {
		const struct client_info *k = &l->at[i];
		char address[ADDRESS_TEXT_MAX];
		json_t *client = json_pack(
		    "{s:I,s:s,s:s,s:s,s:s,s:s,s:f,s:f,s:I,s:I,s:I,s:I,s:b,s:b}", "id", (json_int_t)k->id,
		    "nick", k->nick, "room", k->room, "listener", k->listener, "mode", k->mode, "address",
		    address_format(&k->address, address), "age", seconds(k->age_us), "idle",
		    seconds(k->idle_us), "received", (json_int_t)k->received, "sent", (json_int_t)k->sent,
		    "behind", (json_int_t)k->behind, "dropped", (json_int_t)k->dropped, "covered", k->covered,
		    "tls", k->tls);
		if (k->lease_us >= 0)
			json_object_set_new(client, "lease", json_real(seconds(k->lease_us)));
		json_array_append_new(array, client);
	}
	client_list_unref(l);
	list_peers(server_listeners(s), array);
	control_reply(c, json_pack("{s:o}", "clients", array), false);
}

static bool add_room(struct room *r, void *arg)
{
	json_array_append_new(arg,
			      json_pack("{s:s,s:i,s:s,s:I,s:I,s:i,s:i,s:b}", "name", r->name, "members",
					(int)room_members(r), "format", r->raw ? "raw" : "named", "messages",
					(json_int_t)logring_count(r->log), "log_size",
					(json_int_t)logring_size(r->log), "history", (int)r->history,
					"announce_max", (int)r->announce_max, "configured", r->configured));
	return true;
}

static void list_rooms(struct control_client *c)
{
	json_t *array = json_array();

	rooms_each(server_shared(control_server(c))->rooms, add_room, array);
	control_reply(c, json_pack("{s:o}", "rooms", array), false);
}

static void list_listeners(struct control_client *c)
{
	const struct server *s = control_server(c);
	const struct listener_entry *l;
	json_t *array = json_array();

	for (size_t i = 0; (l = listeners_at(server_listeners(s), i)); i++) {
		char place[LISTENER_PLACE_MAX];
		struct listener_stats stats;
		if (l->zmq)
			zmq_listener_stats(l->zmq, &stats);
		else
			listener_stats(l->listener, &stats);
		json_array_append_new(
		    array,
		    json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:s}", "name", l->config.name, "type",
			      l->config.handler->type, "mode", l->config.handler->mode, "address",
			      listener_place(&l->config, place), "room", l->config.room, "accepted",
			      (json_int_t)stats.accepted, "received", (json_int_t)stats.received, "dropped",
			      (json_int_t)stats.dropped, "ignored", (json_int_t)stats.ignored, "socket",
			      l->passed[0] ? "systemd" : "own"));
	}
	control_reply(c, json_pack("{s:o}", "listeners", array), false);
}

static void list_bans(struct control_client *c)
{
	size_t n;
	struct ban *bans = bans_list(server_shared(control_server(c))->bans, &n);
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		char text[ADDRESS_TEXT_MAX];
		json_t *o = json_pack("{s:s}", "address", prefix_format(&bans[i].prefix, text));
		if (bans[i].until_us)
			json_object_set_new(o, "until", json_real(seconds(bans[i].until_us)));
		json_array_append_new(array, o);
	}
	free(bans);
	control_reply(c, json_pack("{s:o}", "bans", array), false);
}

static void method_list(struct control_client *c, const json_t *parameters, bool more)
{
	const char *what = json_string_value(json_object_get(parameters, "what"));

	(void)more;
	if (what && strcmp(what, "clients") == 0)
		list_clients(c);
	else if (what && strcmp(what, "rooms") == 0)
		list_rooms(c);
	else if (what && strcmp(what, "listeners") == 0)
		list_listeners(c);
	else if (what && strcmp(what, "bans") == 0)
		list_bans(c);
	else
		control_invalid(c, "what");
}

/* --- Send --- */

/* Gives a room that is full of undelivered text a moment. */
static bool wait_for_room(struct server *s, struct room *room)
{
	for (unsigned i = 0; i < 500; i++) {
		logring_caught_up(room->log, server_slot(s));
		if (!room_crowded(server_shared(s)->rooms, room))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

static void method_send(struct control_client *c, const json_t *parameters, bool more)
{
	struct server *s = control_server(c);
	struct shared *shared = server_shared(s);
	const char *name = json_string_value(json_object_get(parameters, "room"));
	const json_t *text = json_object_get(parameters, "text"), *as = json_object_get(parameters, "as");
	const char *nick = as && !json_is_null(as) ? json_string_value(as) : "admin";
	size_t len = json_string_length(text);
	uint64_t id;
	uint32_t index;
	struct room *room;

	(void)more;
	if (!name || !json_is_string(text) || !nick) {
		control_invalid(c, !name ? "room" : !nick ? "as" : "text");
		return;
	}
	if (strcmp(nick, "admin") != 0 && !text_nick_valid(nick, strlen(nick))) {
		control_refuse(c, "%s is no valid nick", nick);
		return;
	}
	if (strcmp(nick, "admin") != 0 && roster_find(shared->roster, nick, strlen(nick), &id, &index)) {
		control_refuse(c, "nick %s is in use", nick);
		return;
	}
	if (len > server_config(s)->max_message) {
		control_refuse(c, "the message is longer than max_message (%u bytes)",
			       server_config(s)->max_message);
		return;
	}
	if (memchr(json_string_value(text), '\n', len)) {
		control_refuse(c, "a message is one line");
		return;
	}
	if (rooms_enter_existing(shared->rooms, name, server_slot(s), &room) < 0) {
		control_refuse(c, "there is no room %s", name);
		return;
	}
	if (!wait_for_room(s, room)) {
		rooms_leave(shared->rooms, room, server_slot(s));
		control_refuse(c, "room %s is too busy", name);
		return;
	}

	_cleanup_free_ char *clean = malloc(len * TEXT_SANITISE_GROWTH + 1);
	char head[TEXT_NICK_MAX + 3] = "";
	struct slot_set kick = {{0}};
	if (!room->raw)
		snprintf(head, sizeof(head), "%s: ", nick);
	struct record record = {.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				.kind = RECORD_MESSAGE,
				.text = (uint16_t)strlen(head)};
	if (clean) {
		const char *body = json_string_value(text);
		if (!room->raw) {
			len = text_sanitise(clean, body, len);
			body = clean;
		}
		logring_lock(room->log);
		logring_put(room->log, &record, head, strlen(head), body, len);
		logring_commit(room->log);
		logring_unlock(room->log);
		rooms_mark(shared->rooms, room, &kick);
		/* The main thread is told as well: `chatctl tail` may follow the room. */
		rooms_kick(shared->rooms, &kick, UINT32_MAX);
		count(server_counters(s), COUNT_MESSAGES, 1);
	}
	rooms_leave(shared->rooms, room, server_slot(s));
	log_event(LOG_DEBUG, &(struct log_fields){EVENT_CONTROL, 0, name, NULL},
		  "control: %s sent to room %s", control_peer(c), name);
	control_reply(c, NULL, false);
}

/* --- Tail --- */

struct tail {
	struct room *room;
	uint64_t seq;
	uint64_t live; /* announcements before this one are old news */
	bool follow, replied;
};

static const char *const kind_names[RECORD_KINDS] = {"message", "action", "notice"};

/* Adds up to 100 messages from t->seq on to array; true if there are more. The log is locked. */
static bool collect_lines(struct tail *t, json_t *array, uint64_t *ret_skipped)
{
	struct logring_view v;

	logring_peek(t->room->log, &v);
	*ret_skipped = t->seq < v.first ? v.first - t->seq : 0;
	t->seq += *ret_skipped;
	for (unsigned n = 0; t->seq < v.count && n < 100; n++, t->seq++) {
		const struct record *r = logring_record(t->room->log, t->seq);
		uint64_t start = logring_start(t->room->log, &v, t->seq);
		const char *line = logring_at(&v, start);
		if (r->kind == RECORD_NOTICE && t->seq < t->live)
			continue;
		json_array_append_new(
		    array, json_pack("{s:f,s:s,s:I,s:o?,s:o?}", "time", seconds((int64_t)r->time_us), "kind",
				     kind_names[r->kind], "client", (json_int_t)r->sender, "line",
				     clean_string(line, r->end - start - 1), "text",
				     clean_string(line + r->text, r->end - start - 1 - r->text)));
	}
	return t->seq < v.count;
}

static void tail_forget(struct control_client *c, void *data)
{
	struct tail *t = data;
	struct server *s = control_server(c);

	rooms_leave(server_shared(s)->rooms, t->room, server_slot(s));
	free(t);
}

static void tail_follow(struct control_client *c, void *data)
{
	struct tail *t = data;
	bool more = true;

	/* The room need not wait for this reader, who is told what it missed. */
	logring_caught_up(t->room->log, server_slot(control_server(c)));
	while (more && !control_is_full(c)) {
		json_t *array = json_array();
		uint64_t skipped;
		logring_lock(t->room->log);
		more = collect_lines(t, array, &skipped);
		logring_unlock(t->room->log);
		bool last = !more && !t->follow;
		if (json_array_size(array) > 0 || skipped > 0 || last || !t->replied)
			control_reply(c,
				      json_pack("{s:o,s:I,s:I}", "messages", array, "skipped",
						(json_int_t)skipped, "next", (json_int_t)t->seq),
				      !last);
		else
			json_decref(array);
		t->replied = true;
		if (last) {
			control_stream_end(c);
			return;
		}
	}
}

static void method_tail(struct control_client *c, const json_t *parameters, bool more)
{
	static const struct control_stream ops = {tail_follow, tail_forget};
	struct server *s = control_server(c);
	struct shared *shared = server_shared(s);
	const char *name = json_string_value(json_object_get(parameters, "room"));
	const json_t *lines = json_object_get(parameters, "lines"),
		     *follow = json_object_get(parameters, "follow");
	const json_t *from = json_object_get(parameters, "from");
	json_int_t n = lines && !json_is_null(lines) ? json_integer_value(lines) : 10;
	struct logring_view v;

	if (!name || n < 0 || (lines && !json_is_integer(lines) && !json_is_null(lines))) {
		control_invalid(c, !name ? "room" : "lines");
		return;
	}
	if (from && !json_is_null(from) && (!json_is_integer(from) || json_integer_value(from) < 0)) {
		control_invalid(c, "from");
		return;
	}
	if (!more) {
		control_refuse(c, "Tail has many replies, so the call must say \"more\"");
		return;
	}
	struct tail *t = calloc(1, sizeof(*t));
	if (!t || rooms_enter_existing(shared->rooms, name, server_slot(s), &t->room) < 0) {
		free(t);
		control_refuse(c, "there is no room %s", name);
		return;
	}
	t->follow = json_is_true(follow);
	logring_lock(t->room->log);
	logring_peek(t->room->log, &v);
	t->seq = t->live = v.count;
	if (json_is_integer(from)) {
		/* A number that isn't there yet is of a log before this one, all of which is news. */
		t->seq = t->live = (uint64_t)json_integer_value(from) <= v.count
				       ? (uint64_t)json_integer_value(from)
				       : v.first;
		n = 0;
	}
	for (json_int_t left = n; t->seq > v.first && left > 0; t->seq--)
		if (logring_record(t->room->log, t->seq - 1)->kind != RECORD_NOTICE)
			left--;
	logring_unlock(t->room->log);
	control_stream(c, &ops, t);
}

/* --- Watch --- */

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

static void watch_follow(struct control_client *c, void *data)
{
	struct watch *w = data;
	struct log_entry e;
	uint64_t missed, all_missed = 0;

	while (!control_is_full(c)) {
		json_t *array = json_array();
		unsigned n = 0;
		for (; n < 100 && log_watch_next(&w->next, &e, &missed); n++, all_missed += missed) {
			json_t *o = json_pack("{s:f,s:s,s:s}", "time", seconds(e.time_us), "kind", e.kind,
					      "text", e.text);
			if (e.client)
				json_object_set_new(o, "client", json_integer((json_int_t)e.client));
			if (e.room[0])
				json_object_set_new(o, "room", json_string(e.room));
			if (e.listener[0])
				json_object_set_new(o, "listener", json_string(e.listener));
			json_array_append_new(array, o);
		}
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

static void method_watch(struct control_client *c, const json_t *parameters, bool more)
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

/* --- Kick --- */

struct kick {
	uint64_t id;
	char text[300];
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

	for (struct connection *c = *worker_all(w); c; c = connection_next(c))
		if (connection_id(c) == k->id) {
			if (connection_kick(c, k->text)) {
				atomic_store(&k->found, true);
				count(worker_counters(w), COUNT_CLIENTS_KICKED, 1);
			}
			return;
		}
	for (struct listener *l = *worker_listeners(w); l; l = l->next)
		if (l->ops->kick && l->ops->kick(l, k->id, k->text)) {
			atomic_store(&k->found, true);
			count(worker_counters(w), COUNT_CLIENTS_KICKED, 1);
		}
}

static void method_kick(struct control_client *c, const json_t *parameters, bool more)
{
	struct server *s = control_server(c);
	const json_t *id = json_object_get(parameters, "id"), *reason = json_object_get(parameters, "reason");
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
	int r = workers_call(server_shared(s), NULL, kick_client, k, kick_unref, CALL_TIMEOUT_US);
	if (r < 0) {
		control_refuse(c, "a worker does not answer");
	} else if (!atomic_load(&k->found)) {
		control_refuse(c, "there is no client %" PRIu64, k->id);
	} else {
		log_event(LOG_NOTICE, &(struct log_fields){EVENT_CLIENT_KICKED, k->id, NULL, NULL},
			  "client %" PRIu64 " removed by %s", k->id, control_peer(c));
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

/* Members of a listener that come from there, collected before they go. */
struct victims {
	const struct prefix *prefix;
	uint64_t id[256];
	size_t n;
};

static void collect_victim(const struct client_info *info, void *arg)
{
	struct victims *v = arg;

	if (v->n < sizeof(v->id) / sizeof(*v->id) && prefix_contains(v->prefix, &info->address))
		v->id[v->n++] = info->id;
}

static void evict(struct worker *w, void *arg)
{
	struct eviction *e = arg;

	for (struct connection *c = *worker_all(w), *next; c; c = next) {
		next = connection_next(c);
		if (prefix_contains(&e->prefix, connection_address(c)) &&
		    connection_kick(c, "* You have been banned.\n"))
			atomic_fetch_add(&e->n, 1);
	}
	for (struct listener *l = *worker_listeners(w); l; l = l->next) {
		struct victims v = {.prefix = &e->prefix};
		do {
			v.n = 0;
			if (l->ops->each && l->ops->kick)
				l->ops->each(l, collect_victim, &v);
			for (size_t i = 0; i < v.n; i++)
				if (l->ops->kick(l, v.id[i], "* You have been banned.\n"))
					atomic_fetch_add(&e->n, 1);
		} while (v.n == sizeof(v.id) / sizeof(*v.id));
	}
	count(worker_counters(w), COUNT_CLIENTS_KICKED, atomic_load(&e->n));
}

static void method_ban(struct control_client *c, const json_t *parameters, bool more)
{
	struct server *s = control_server(c);
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
	if (!e || bans_add(server_shared(s)->bans, &ban, server_config(s)->max_bans) < 0) {
		control_refuse(c, e ? "there are too many bans (limits.max_bans)" : "out of memory");
		free(e);
		return;
	}
	e->prefix = ban.prefix;
	atomic_store(&e->references, 2);
	int r = bans_save(server_shared(s)->bans);
	if (r < 0)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_BAN},
			  "the bans can't be saved, so they end with chatd: %s", strerror(-r));
	workers_call(server_shared(s), NULL, evict, e, eviction_unref, CALL_TIMEOUT_US);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_BAN}, "%s banned by %s",
		  prefix_format(&ban.prefix, text), control_peer(c));
	json_t *reply = json_pack("{s:b,s:i}", "saved", r == 0, "kicked", (int)atomic_load(&e->n));
	if (r < 0)
		json_object_set_new(reply, "reason", json_string(strerror(-r)));
	eviction_unref(e);
	control_reply(c, reply, false);
}

static void method_unban(struct control_client *c, const json_t *parameters, bool more)
{
	struct server *s = control_server(c);
	const char *address = json_string_value(json_object_get(parameters, "address"));
	char text[ADDRESS_TEXT_MAX];
	struct prefix p;

	(void)more;
	if (!address || prefix_parse(address, &p) < 0) {
		control_invalid(c, "address");
		return;
	}
	if (bans_remove(server_shared(s)->bans, &p) < 0) {
		control_refuse(c, "%s is not banned", prefix_format(&p, text));
		return;
	}
	int r = bans_save(server_shared(s)->bans);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_BAN}, "%s no longer banned, says %s",
		  prefix_format(&p, text), control_peer(c));
	json_t *reply = json_pack("{s:b}", "saved", r == 0);
	if (r < 0)
		json_object_set_new(reply, "reason", json_string(strerror(-r)));
	control_reply(c, reply, false);
}

/* --- Reload, Restart, Metrics --- */

static void method_reload(struct control_client *c, const json_t *parameters, bool more)
{
	_cleanup_free_ char *errors = NULL;

	(void)parameters;
	(void)more;
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_CONTROL},
		  "control: %s asks for a reload", control_peer(c));
	if (server_reload(control_server(c), &errors) < 0)
		control_error(c, VARLINK_INTERFACE ".ConfigInvalid",
			      json_pack("{s:s}", "reason", errors ? errors : "unknown"));
	else
		control_reply(c, NULL, false);
}

static void method_restart(struct control_client *c, const json_t *parameters, bool more)
{
	_cleanup_free_ char *why = NULL;

	(void)parameters;
	(void)more;
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_CONTROL},
		  "control: %s asks for a restart", control_peer(c));
	if (server_restart(control_server(c), &why) < 0)
		control_refuse(c, "%s", why ? why : "out of memory");
	else
		control_reply(c, NULL, false);
}

static void method_metrics(struct control_client *c, const json_t *parameters, bool more)
{
	_cleanup_free_ char *text = metrics_text(control_server(c));

	(void)parameters;
	(void)more;
	if (text)
		control_reply(c, json_pack("{s:s}", "text", text), false);
	else
		control_refuse(c, "out of memory");
}

const struct control_method control_methods[] = {
    {"Status", method_status},	 {"List", method_list},	      {"Send", method_send},
    {"Tail", method_tail},	 {"Kick", method_kick},	      {"Reload", method_reload},
    {"Restart", method_restart}, {"Metrics", method_metrics}, {"Ban", method_ban},
    {"Watch", method_watch},	 {"Unban", method_unban},     {NULL, NULL},
};

const char control_interface[] =
    "# Steers chatd.\n"
    "interface io.chatd.Control\n"
    "\n"
    "type Worker (name: string, connections: int, sender: string)\n"
    "# How often the clients were taken over from a process before, and how that went the last time.\n"
    "type Takeover (count: int, time: ?float, clients: ?int, closed: ?int, gap: ?float, covered: int, "
    "uncovered: "
    "int, tls: int, store: bool)\n"
    "type Ban (address: string, until: ?float)\n"
    "type Client (id: int, nick: string, room: string, listener: string, mode: string, address: string, age: "
    "float, idle: float, received: int, sent: int, behind: int, dropped: int, covered: bool, tls: bool, "
    "lease: ?float, "
    "peers: ?int, messages_in: ?int, messages_out: ?int)\n"
    "type Room (name: string, members: int, format: string, messages: int, log_size: int, history: int, "
    "announce_max: int, configured: bool)\n"
    "type Listener (name: string, type: string, mode: string, address: string, room: string, accepted: int, "
    "received: int, dropped: int, ignored: int, socket: string)\n"
    "type Message (time: float, kind: string, client: int, line: string, text: string)\n"
    "\n"
    "method Status() -> (version: string, pid: int, uptime: float, config: string, clients: int, rooms: int, "
    "listeners: int, messages: int, received_bytes: int, sent_bytes: int, workers: []Worker, takeover: "
    "Takeover)\n"
    "# what: clients, rooms, listeners or bans; only that member is in the reply.\n"
    "method List(what: string) -> (clients: ?[]Client, rooms: ?[]Room, listeners: ?[]Listener, bans: "
    "?[]Ban)\n"
    "method Send(room: string, text: string, as: ?string) -> ()\n"
    "# Call it with more; with follow it goes on until the next call or the end of the connection. from: the "
    "number\n"
    "# of the first message wanted, as next was.\n"
    "method Tail(room: string, lines: ?int, from: ?int, follow: ?bool) -> (messages: []Message, skipped: "
    "int, "
    "next: int)\n"
    "type Event (time: float, kind: string, text: string, client: ?int, room: ?string, listener: ?string)\n"
    "# Call it with more. missed: events that came faster than they were read.\n"
    "method Watch() -> (events: []Event, missed: int)\n"
    "method Kick(id: int, reason: ?string) -> ()\n"
    "# An address or ADDRESS/BITS, for some time or for ever. saved: whether it is kept on disk; if not, "
    "reason.\n"
    "method Ban(address: string, seconds: ?float) -> (saved: bool, reason: ?string, kicked: int)\n"
    "method Unban(address: string) -> (saved: bool, reason: ?string)\n"
    "method Reload() -> ()\n"
    "# Replies before the new program takes over; Status tells when it has.\n"
    "method Restart() -> ()\n"
    "# In the Prometheus text format.\n"
    "method Metrics() -> (text: string)\n"
    "\n"
    "error Refused (reason: string)\n"
    "error ConfigInvalid (reason: string)\n";
