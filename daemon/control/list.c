/* SPDX-License-Identifier: MIT */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/control/metrics.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* --- Status --- */

/* How the clients were taken over; the interface's type Takeover. */
static json_t *takeover(const struct shared *shared)
{
	const struct client_history *h = clients_history(shared->clients);
	struct connections_tally tally = connections_total(shared);
	unsigned connections = tally.all, mortal = tally.mortal, uncovered = connections_at_risk(shared);

	json_t *o = json_pack("{s:I,s:i,s:i,s:i,s:b}", "count", (json_int_t)h->takeovers, "covered",
			      (int)(connections - uncovered), "uncovered", (int)uncovered, "tls", (int)mortal,
			      "store", sockets_have_store());
	if (h->takeovers > 0)
		json_object_update_new(o, json_pack("{s:f,s:I,s:I,s:f}", "time", (double)h->last_us / 1e6,
						    "clients", (json_int_t)h->last_clients, "closed",
						    (json_int_t)h->last_closed, "gap",
						    (double)h->last_gap_us / 1e6));
	return o;
}

void control_status(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	struct shared *shared = h->ctx.shared;

	(void)parameters;
	(void)more;
	json_t *workers = json_array();
	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct worker *w = shared->workers[i];
		char name[32];
		snprintf(name, sizeof(name), "chatd/%u", i);
		json_array_append_new(workers, json_pack("{s:s,s:i,s:s}", "name", name, "connections",
							 (int)connections_tally(w).all, "sender",
							 worker_sender_name(w)));
	}
	const struct listener_entry *e;
	for (size_t i = 0; (e = listeners_at(h->listeners, i)); i++)
		if (e->zmq)
			json_array_append_new(workers,
					      json_pack("{s:s,s:i,s:s}", "name",
							zmq_listener_thread_name(e->zmq), "connections",
							(int)zmq_listener_peers(e->zmq), "sender", "zmq"));
	json_t *reply =
	    json_pack("{s:s,s:i,s:f,s:s,s:i,s:i,s:i,s:I,s:I,s:I,s:o}", "version", PACKAGE_VERSION, "pid",
		      (int)getpid(), "uptime", control_seconds(clock_us(CLOCK_MONOTONIC) - h->began_us),
		      "config", h->config_path, "clients", (int)limits_total(shared->limits), "rooms",
		      (int)rooms_count(shared->rooms), "listeners", (int)listeners_count(h->listeners),
		      "messages", (json_int_t)metrics_total(h, COUNT_MESSAGES), "received_bytes",
		      (json_int_t)metrics_total(h, COUNT_BYTES_IN), "sent_bytes",
		      (json_int_t)metrics_total(h, COUNT_BYTES_OUT), "workers", workers);
	json_object_set_new(reply, "takeover", takeover(h->ctx.shared));
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
	worker_each_client(w, collect_client, l);
	pthread_mutex_unlock(&l->lock);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct client_info *)a)->id, y = ((const struct client_info *)b)->id;

	return x < y ? -1 : x > y;
}

static int64_t zmq_counter(const struct zmq_listener *z, enum counter which)
{
	return (int64_t)zmq_listener_counter(z, which);
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
	struct host *h = control_host(c);
	struct client_list *l = calloc(1, sizeof(*l));

	if (!l) {
		control_refuse(c, "out of memory");
		return;
	}
	pthread_mutex_init(&l->lock, NULL);
	l->references = 2;
	if (workers_call(h->ctx.shared, NULL, collect_clients, l, client_list_unref,
			 CONTROL_CALL_TIMEOUT_US) < 0) {
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
		    address_format(&k->address, address), "age", control_seconds(k->age_us), "idle",
		    control_seconds(k->idle_us), "received", (json_int_t)k->received, "sent",
		    (json_int_t)k->sent, "behind", (json_int_t)k->behind, "dropped", (json_int_t)k->dropped,
		    "covered", k->covered, "tls", k->tls);
		if (k->lease_us >= 0)
			json_object_set_new(client, "lease", json_real(control_seconds(k->lease_us)));
		json_array_append_new(array, client);
	}
	client_list_unref(l);
	list_peers(h->listeners, array);
	control_reply(c, json_pack("{s:o}", "clients", array), false);
}

struct room_info {
	char name[TEXT_ROOM_MAX + 1];
	bool raw, configured;
	unsigned members, history, announce_max;
	uint64_t messages, log_size;
};

struct room_list {
	struct room_info *at;
	size_t n, space;
};

static bool collect_room(struct room *r, void *arg)
{
	struct room_list *l = arg;

	if (l->n == l->space)
		return false; /* made since they were counted */
	struct room_info *i = &l->at[l->n++];
	*i = (struct room_info){.raw = r->raw,
				.configured = r->configured,
				.members = room_members(r),
				.history = r->history,
				.announce_max = r->announce_max,
				.messages = logring_count(r->log),
				.log_size = logring_size(r->log)};
	memcpy(i->name, r->name, sizeof(i->name));
	return true;
}

static void list_rooms(struct control_client *c)
{
	struct rooms *rooms = control_host(c)->ctx.shared->rooms;
	struct room_list l = {.space = rooms_count(rooms)};

	l.at = calloc(l.space + 1, sizeof(*l.at));
	if (!l.at) {
		control_refuse(c, "out of memory");
		return;
	}
	rooms_each(rooms, collect_room, &l);
	json_t *array = json_array();
	for (size_t i = 0; i < l.n; i++) {
		const struct room_info *r = &l.at[i];
		json_array_append_new(
		    array, json_pack("{s:s,s:i,s:s,s:I,s:I,s:i,s:i,s:b}", "name", r->name, "members",
				     (int)r->members, "format", r->raw ? "raw" : "named", "messages",
				     (json_int_t)r->messages, "log_size", (json_int_t)r->log_size, "history",
				     (int)r->history, "announce_max", (int)r->announce_max, "configured",
				     r->configured));
	}
	free(l.at);
	control_reply(c, json_pack("{s:o}", "rooms", array), false);
}

static void list_listeners(struct control_client *c)
{
	struct host *h = control_host(c);
	const struct listener_entry *l;
	json_t *array = json_array();

	for (size_t i = 0; (l = listeners_at(h->listeners, i)); i++) {
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
	struct ban *bans = bans_list(control_host(c)->ctx.shared->bans, &n);
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		char text[ADDRESS_TEXT_MAX];
		json_t *o = json_pack("{s:s}", "address", prefix_format(&bans[i].prefix, text));
		if (bans[i].until_us)
			json_object_set_new(o, "until", json_real(control_seconds(bans[i].until_us)));
		json_array_append_new(array, o);
	}
	free(bans);
	control_reply(c, json_pack("{s:o}", "bans", array), false);
}

void control_list(struct control_client *c, const json_t *parameters, bool more)
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
