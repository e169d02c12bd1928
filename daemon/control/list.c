/* SPDX-License-Identifier: MIT */
/*
 * List: the clients, rooms, listeners, bans and nodes that there are. Everything is copied first, and made into JSON
 * when no lock is held and no worker waits.
 */
#include "common/cleanup.h"
#include "daemon/control/cluster_report.h"
#include "daemon/control/errand.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/engine/bans.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Each worker adds its clients to one list. */
struct client_list {
	struct errand errand;
	pthread_mutex_t lock;
	struct client_info *at;
	size_t n, capacity;
};

static void list_clear(struct errand *e)
{
	struct client_list *l = (struct client_list *)e;

	pthread_mutex_destroy(&l->lock);
	free(l->at);
}

static void list_add_client(const struct client_info *info, void *arg)
{
	struct client_list *l = arg;

	if (l->n == l->capacity) {
		size_t capacity = l->capacity ? l->capacity * 2 : 256;
		struct client_info *at = reallocarray(l->at, capacity, sizeof(*at));
		if (!at)
			return;
		l->at = at;
		l->capacity = capacity;
	}
	l->at[l->n++] = *info;
}

static void list_worker_clients(struct worker *w, void *arg)
{
	struct client_list *l = arg;

	pthread_mutex_lock(&l->lock);
	worker_each_client(w, list_add_client, l);
	pthread_mutex_unlock(&l->lock);
}

static int list_by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct client_info *)a)->id, y = ((const struct client_info *)b)->id;

	return x < y ? -1 : x > y;
}

static json_int_t list_counter(const struct service *s, enum counter which)
{
	return (json_int_t)s->ops->counter(s, which);
}

/* ZeroMQ doesn't tell peers apart: there is one line for all of a listener's. */
static void list_peers(const struct listeners *listeners, const char *room, json_t *array)
{
	const struct listener_entry *e;

	for (size_t i = 0; (e = listeners_at(listeners, i)); i++) {
		char place[PLACES_TEXT_MAX];
		if (!e->service || (room && strcmp(e->room, room) != 0))
			continue;
		json_array_append_new(
		    array, json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:f,s:f,s:I,s:I,s:I,s:I,s:i,s:I,s:b,s:b,s:i}",
				     "id", 0, "nick", "", "room", e->room, "listener", e->name, "mode",
				     e->handler->mode, "address", places_text(&e->places, place), "age", 0.0,
				     "idle", 0.0, "received", list_counter(e->service, COUNT_BYTES_IN),
				     "sent", list_counter(e->service, COUNT_BYTES_OUT), "messages_in",
				     list_counter(e->service, COUNT_ZMQ_IN), "messages_out",
				     list_counter(e->service, COUNT_ZMQ_OUT), "behind", 0, "dropped",
				     list_counter(e->service, COUNT_ZMQ_DROPPED), "covered", 0, "tls", 0,
				     "peers", (int)e->service->ops->peers(e->service)));
	}
}

static json_t *list_client_json(const struct client_info *k)
{
	char address[ADDRESS_TEXT_MAX];
	json_t *o =
	    json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:f,s:f,s:I,s:I,s:I,s:I,s:b,s:b}", "id", (json_int_t)k->id,
		      "nick", k->nick, "room", k->room, "listener", k->listener, "mode", k->mode, "address",
		      address_format(&k->address, address), "age", control_seconds(k->age_us), "idle",
		      control_seconds(k->idle_us), "received", (json_int_t)k->received, "sent",
		      (json_int_t)k->sent, "behind", (json_int_t)k->behind, "dropped", (json_int_t)k->dropped,
		      "covered", k->covered, "tls", k->tls);

	if (k->lease_us >= 0)
		json_object_set_new(o, "lease", json_real(control_seconds(k->lease_us)));
	return o;
}

/* Those on other nodes, of whom less is known. */
static void list_elsewhere(struct elsewhere *el, const char *room, json_t *array)
{
	enum { PART = 512 }; /* under the lock, which others want */
	_cleanup_free_ struct elsewhere_found *at = malloc(PART * sizeof(*at));
	uint32_t cursor = 0;

	for (size_t n; at && el && (n = elsewhere_copy(el, &cursor, at, PART)) > 0;)
		for (size_t i = 0; i < n; i++) {
			const struct elsewhere_client *k = &at[i].client;
			if (k->reserved || (room && strcmp(k->room, room) != 0))
				continue;
			json_array_append_new(array,
					      json_pack("{s:s,s:I,s:s,s:s,s:s,s:b,s:f}", "node", at[i].node,
							"id", (json_int_t)k->id, "nick", k->nick, "room",
							k->room, "type", k->kind, "account", k->account,
							"since", control_seconds(k->since_us)));
		}
}

static void list_add_elsewhere(const struct host *h, const char *room, json_t *here, json_t *reply)
{
	json_t *elsewhere = json_array(), *client;
	size_t i;

	json_array_foreach(here, i, client)
	{
		if (h->ctx.config->cluster)
			json_object_set_new(client, "node", json_string(h->ctx.config->cluster->node));
	}
	list_elsewhere(h->ctx.shared->elsewhere, room, elsewhere);
	json_object_set_new(reply, "elsewhere", elsewhere);
}

/* What a list of clients is to have; room: only who is in it, or NULL. */
struct list_wanted {
	bool all;
	const char *room;
};

static int list_by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * The ids of those in the room who have a nick, in order; who is in many rooms is found by that only. Returns 0, -ENOENT:
 * there is no such room, or -ENOMEM.
 */
static int list_room_ids(const struct host *h, const char *name, uint64_t **ret, size_t *ret_n)
{
	struct shared *shared = h->ctx.shared;
	struct room *room;

	if (rooms_enter_existing(shared->rooms, name, h->ctx.slot, &room) < 0)
		return -ENOENT;
	_cleanup_free_ struct roster_member *at = roster_members(shared->roster, room->index, ret_n);
	rooms_leave(shared->rooms, room, h->ctx.slot);
	if (!at)
		*ret_n = 0;
	*ret = calloc(*ret_n + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < *ret_n; i++)
		(*ret)[i] = at[i].id;
	qsort(*ret, *ret_n, sizeof(**ret), list_by_number);
	return 0;
}

/* Leaves those in the room. */
static int list_keep_room(const struct host *h, struct client_list *l, const char *room)
{
	_cleanup_free_ uint64_t *ids = NULL;
	size_t n_ids, n = 0;
	int r = list_room_ids(h, room, &ids, &n_ids);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->at[i].room, room) == 0 ||
		    bsearch(&l->at[i].id, ids, n_ids, sizeof(*ids), list_by_number))
			l->at[n++] = l->at[i];
	l->n = n;
	return 0;
}

static void list_clients(struct control_client *c, const struct list_wanted *wanted)
{
	struct host *h = control_host(c);
	struct client_list *l = (struct client_list *)errand_new(sizeof(*l), list_clear);

	if (!l) {
		control_refuse(c, "out of memory");
		return;
	}
	pthread_mutex_init(&l->lock, NULL);
	if (errand_run(&l->errand, h->ctx.shared, list_worker_clients) < 0) {
		errand_unref(&l->errand);
		control_refuse(c, "a worker does not answer");
		return;
	}
	int r = wanted->room ? list_keep_room(h, l, wanted->room) : 0;
	if (r < 0) {
		errand_unref(&l->errand);
		if (r == -ENOENT)
			control_refuse(c, "there is no room %s", wanted->room);
		else
			control_refuse(c, "out of memory");
		return;
	}
	if (l->n > 0)
		qsort(l->at, l->n, sizeof(*l->at), list_by_id);
	json_t *array = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(array, list_client_json(&l->at[i]));
	errand_unref(&l->errand);
	list_peers(h->listeners, wanted->room, array);
	json_t *reply = json_pack("{s:o}", "clients", array);
	if (wanted->room)
		json_object_set_new(reply, "room", json_string(wanted->room));
	if (wanted->all)
		list_add_elsewhere(h, wanted->room, array, reply);
	control_reply(c, reply, false);
}

static json_t *list_room_json(const struct room_info *r, struct elsewhere *elsewhere)
{
	json_t *o =
	    json_pack("{s:s,s:i,s:s,s:I,s:I,s:i,s:i,s:b}", "name", r->name, "members", (int)r->members,
		      "format", r->raw ? "raw" : "named", "messages", (json_int_t)r->messages, "log_size",
		      (json_int_t)r->log_size, "history", (int)r->history, "announce_max",
		      (int)r->announce_max, "configured", r->configured);

	if (elsewhere)
		json_object_set_new(
		    o, "elsewhere",
		    json_integer(r->shared ? (json_int_t)elsewhere_count(elsewhere, r->name) : 0));
	return o;
}

static void list_rooms(struct control_client *c)
{
	size_t n;
	struct shared *shared = control_host(c)->ctx.shared;
	struct room_info *at = rooms_copy(shared->rooms, &n);

	if (!at) {
		control_refuse(c, "out of memory");
		return;
	}
	json_t *array = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, list_room_json(&at[i], shared->elsewhere));
	free(at);
	control_reply(c, json_pack("{s:o}", "rooms", array), false);
}

static void list_listeners(struct control_client *c)
{
	struct host *h = control_host(c);
	const struct listener_entry *l;
	json_t *array = json_array();

	for (size_t i = 0; (l = listeners_at(h->listeners, i)); i++) {
		char place[PLACES_TEXT_MAX];
		struct listener_stats stats;
		listeners_stats(h->listeners, l, &stats);
		json_array_append_new(
		    array,
		    json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:s}", "name", l->name, "type",
			      l->handler->type, "mode", l->handler->mode, "address",
			      places_text(&l->places, place), "room", l->room, "accepted",
			      (json_int_t)stats.accepted, "received", (json_int_t)stats.received, "dropped",
			      (json_int_t)stats.dropped, "ignored", (json_int_t)stats.ignored, "socket",
			      l->places.at[0].passed ? "systemd" : "own"));
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

static void list_nodes(struct control_client *c)
{
	struct cluster *cluster = control_host(c)->ctx.shared->cluster;
	size_t n;

	if (!cluster) {
		control_refuse(c, "there is no cluster in the configuration that is in use");
		return;
	}
	struct cluster_node *nodes = cluster_copy_nodes(cluster, &n);
	if (!nodes) {
		control_refuse(c, "out of memory");
		return;
	}
	control_reply(c, json_pack("{s:o}", "nodes", cluster_report_nodes(nodes, n)), false);
	free(nodes);
}

/* Clients of one room, or with those of other nodes; nothing else is chosen from. */
static void list_chosen_clients(struct control_client *c, const json_t *parameters)
{
	const json_t *all = json_object_get(parameters, "all"), *room = json_object_get(parameters, "room");

	if (all && !json_is_boolean(all) && !json_is_null(all))
		control_invalid(c, "all");
	else if (room && !json_is_null(room) &&
		 !text_room_valid(json_string_value(room), json_string_length(room)))
		control_invalid(c, "room");
	else
		list_clients(
		    c, &(struct list_wanted){.all = json_is_true(all), .room = json_string_value(room)});
}

void control_list(struct control_client *c, const json_t *parameters, bool more)
{
	const char *what = json_string_value(json_object_get(parameters, "what"));

	(void)more;
	if (what && strcmp(what, "clients") == 0)
		list_chosen_clients(c, parameters);
	else if (what && strcmp(what, "rooms") == 0)
		list_rooms(c);
	else if (what && strcmp(what, "listeners") == 0)
		list_listeners(c);
	else if (what && strcmp(what, "bans") == 0)
		list_bans(c);
	else if (what && strcmp(what, "nodes") == 0)
		list_nodes(c);
	else
		control_invalid(c, "what");
}
