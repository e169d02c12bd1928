/* SPDX-License-Identifier: MIT */
/* What chatctl top knows of chatd: asked for once a second, with how much it grew since, and put into an order. */
#include "cli/client.h"
#include "cli/show.h"
#include "cli/top.h"
#include "common/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double top_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool top_has_view(const struct top *t, size_t view)
{
	const char *only = top_views[view].only;

	return !only || json_object_get(t->status, only);
}

size_t top_next_view(const struct top *t, size_t step)
{
	size_t view = t->view;

	do
		view = (view + step) % TOP_VIEWS;
	while (!top_has_view(t, view));
	return view;
}

/* The caller's, or NULL, with why in error. */
static json_t *top_ask(struct top *t, struct client *c, const char *method, json_t *parameters)
{
	_cleanup_free_ char *error = NULL;
	json_t *reply = NULL;
	int r = client_send(c, method, parameters, false);

	if (r == 0)
		r = client_receive(c, &reply, &error);
	if (r < 0)
		snprintf(t->error, sizeof(t->error), "%s", error ? error : strerror(-r));
	return reply;
}

static json_t *top_list(struct top *t, struct client *c, const char *what)
{
	json_t *reply = top_ask(t, c, "List", json_pack("{s:s}", "what", what));
	json_t *found = json_incref(json_object_get(reply, what));

	json_decref(reply);
	return found;
}

/* Names are looked for as such, numbers as text. */
static const char *top_id(const struct top_view *view, const json_t *item, char dst[static 24])
{
	const json_t *id = json_object_get(item, view->id);

	if (json_is_string(id))
		return json_string_value(id);
	snprintf(dst, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	return dst;
}

/* Adds how much something grows in a second to what the daemon says of an item. */
static void top_add_rates(const struct top_view *view, json_t *item, const json_t *old, double seconds)
{
	for (size_t i = 0; i < view->n_columns; i++) {
		const struct top_column *c = &view->columns[i];
		if (!c->grows)
			continue;
		double change = show_number(item, c->grows) - show_number(old, c->grows);
		json_object_set_new(item, c->key,
				    json_real(old && seconds > 0 && change > 0 ? change / seconds : 0));
	}
}

/* Takes over the reference. */
static void top_take(struct top *t, size_t view, json_t *list)
{
	struct top_items *items = &t->items[view];
	json_t *known = json_object(), *item;
	double now = top_now(), seconds = items->at > 0 ? now - items->at : 0;
	size_t i;

	json_array_foreach(list, i, item)
	{
		char number[24];
		const char *id = top_id(&top_views[view], item, number);
		top_add_rates(&top_views[view], item, json_object_get(items->before, id), seconds);
		if (view == TOP_NODES)
			json_object_set_new(item, "state", json_string(show_node_state(item)));
		json_object_set(known, id, item);
	}
	json_decref(items->before);
	json_decref(items->now);
	*items = (struct top_items){.now = list, .before = known, .at = now};
}

static double top_rate(json_int_t value, json_int_t *last, double seconds)
{
	double r = seconds > 0 && value >= *last ? (double)(value - *last) / seconds : 0;

	*last = value;
	return r;
}

/* Takes over the reference. */
static void top_take_status(struct top *t, json_t *status)
{
	double now = top_now(), seconds = t->status_at > 0 ? now - t->status_at : 0;

	json_decref(t->status);
	t->status = status;
	t->status_at = now;
	t->rates[0] = top_rate(show_integer(status, "messages"), &t->messages, seconds);
	t->rates[1] = top_rate(show_integer(status, "received_bytes"), &t->received, seconds);
	t->rates[2] = top_rate(show_integer(status, "sent_bytes"), &t->sent, seconds);
	if (!top_has_view(t, t->view))
		t->view = TOP_CLIENTS; /* a reload has ended it */
}

static void top_refresh_view(struct top *t, struct client *c, size_t view)
{
	const char *name = top_views[view].name;
	json_t *list =
	    top_views[view].in_status ? json_incref(json_object_get(t->status, name)) : top_list(t, c, name);

	if (list)
		top_take(t, view, list);
}

void top_refresh(struct top *t)
{
	struct client *c;
	int r = client_open(t->socket, &c);

	t->error[0] = '\0';
	if (r < 0) {
		snprintf(t->error, sizeof(t->error), "chatd can't be reached at %s: %s", t->socket,
			 strerror(-r));
		return;
	}
	json_t *status = top_ask(t, c, "Status", NULL);
	if (status) {
		top_take_status(t, status);
		top_refresh_view(t, c, TOP_ROOMS); /* the head has the fullest ones */
		if (t->view != TOP_ROOMS)
			top_refresh_view(t, c, t->view);
	}
	client_close(c);
}

void top_forget(struct top *t)
{
	json_decref(t->status);
	for (size_t i = 0; i < TOP_VIEWS; i++) {
		json_decref(t->items[i].now);
		json_decref(t->items[i].before);
	}
}

/* --- the order --- */

static const struct top *sorting;

static int top_by_column(const void *a, const void *b)
{
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
	const struct top_place *place = &sorting->places[sorting->view];
	const struct top_column *c = &top_views[sorting->view].columns[place->sort];
	int r;

	if (c->kind == TOP_TEXT) {
		r = strcasecmp(show_string(x, c->key), show_string(y, c->key));
	} else {
		double v = show_number(x, c->key), w = show_number(y, c->key);
		r = (v < w) - (v > w); /* the largest first */
	}
	return place->reverse ? -r : r;
}

json_t **top_sorted(const struct top *t, size_t *ret_n)
{
	const json_t *items = t->items[t->view].now;
	size_t n = json_array_size(items);
	json_t **at = calloc(n + 1, sizeof(*at));

	*ret_n = at ? n : 0;
	for (size_t i = 0; at && i < n; i++)
		at[i] = json_array_get(items, i);
	sorting = t;
	if (at && n > 0)
		qsort(at, n, sizeof(*at), top_by_column);
	return at;
}
