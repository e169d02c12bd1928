/* SPDX-License-Identifier: MIT */
/* The screen of chatctl top: four lines about all of it, the present view's table, and the keys. */
#include "cli/command.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/top.h"
#include "common/cleanup.h"

#include <assert.h>
#include <curses.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define HEAD_LINES 5
#define FOOT_LINES 2

size_t top_page(void)
{
	return LINES > HEAD_LINES + FOOT_LINES ? (size_t)(LINES - HEAD_LINES - FOOT_LINES) : 1;
}

/* As much of the text as fits, and blanks up to the column's width. */
static void top_put(int width, bool left_aligned, const char *text)
{
	size_t left = strlen(text), step, n = 0;
	int have = 0, x = getcurx(stdscr), y = getcury(stdscr);
	mbstate_t state = {0};
	wchar_t c;

	for (; left > 0; n += step, left -= step) {
		step = mbrtowc(&c, text + n, left, &state);
		int w = step > 0 && step <= left ? wcwidth(c) : -1;
		if (w < 0 || have + w > width)
			break;
		have += w;
	}
	mvaddnstr(y, x + (left_aligned ? 0 : width - have), text, (int)n);
	/* Beyond the right edge there is nothing to move to, nor to draw. */
	move(y, x + width);
}

static void top_draw_cell(const struct top_column *c, int width, const json_t *item)
{
	char text[64];

	switch (c->kind) {
	case TOP_NUMBER:
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, show_integer(item, c->key));
		break;
	case TOP_RATE:
		snprintf(text, sizeof(text), "%.1f", show_number(item, c->key));
		break;
	case TOP_BYTES:
		format_bytes((int64_t)show_number(item, c->key), text);
		break;
	case TOP_SECONDS:
		format_duration(show_number(item, c->key), text);
		break;
	case TOP_WHEN:
		show_when(item, c->key, text);
		break;
	case TOP_TEXT:
		top_put(width, true, show_or_dash(show_string(item, c->key)));
		return;
	}
	top_put(width, false, text);
}

/* --- the table --- */

#define COLUMNS_MAX 16

/* How wide the columns are, 0 for those out of view: together as wide as the terminal, and no wider. */
static void top_measure(const struct top *t, int widths[static COLUMNS_MAX])
{
	const struct top_view *view = &top_views[t->view];
	int left = COLS + 1, texts = 0;

	assert(view->n_columns <= COLUMNS_MAX);
	for (size_t i = 0; i < view->n_columns; i++) {
		int width = abs(view->columns[i].width);
		if (i >= view->fixed && i < view->fixed + t->places[t->view].first_column)
			continue;
		if (width + 1 > left)
			break;
		widths[i] = width;
		left -= width + 1;
		texts += view->columns[i].width < 0;
	}
	for (size_t i = 0; i < view->n_columns && texts > 0; i++) {
		if (widths[i] == 0 || view->columns[i].width > 0)
			continue;
		widths[i] += left / texts;
		left -= left / texts--;
	}
}

/* A line of the table: the titles, or an item's cells. */
static void top_draw_columns(const struct top *t, const int widths[static COLUMNS_MAX], const json_t *item)
{
	const struct top_view *view = &top_views[t->view];
	int y = getcury(stdscr), x = 0;

	for (size_t i = 0; i < view->n_columns; i++) {
		const struct top_column *c = &view->columns[i];
		if (widths[i] == 0)
			continue;
		move(y, x);
		if (item) {
			top_draw_cell(c, widths[i], item);
		} else {
			attrset(i == t->places[t->view].sort ? A_REVERSE : A_BOLD);
			top_put(widths[i], c->width < 0, c->title);
			attrset(A_NORMAL);
		}
		x += widths[i] + 1;
	}
}

/* Slow readers, and what is away. */
static bool top_stands_out(const json_t *item)
{
	return show_integer(item, "behind") > 65536 || strcmp(show_string(item, "state"), "away") == 0;
}

static size_t top_draw_table(struct top *t)
{
	struct top_place *place = &t->places[t->view];
	int widths[COLUMNS_MAX] = {0};
	size_t n;
	_cleanup_free_ json_t **at = top_sorted(t, &n);

	top_measure(t, widths);
	move(HEAD_LINES - 1, 0);
	top_draw_columns(t, widths, NULL);
	/* Some may have gone, and the screen may have another size. */
	if (place->first + top_page() > n)
		place->first = n > top_page() ? n - top_page() : 0;
	for (size_t i = 0; place->first + i < n && i < top_page(); i++) {
		const json_t *item = at[place->first + i];
		move(HEAD_LINES + (int)i, 0);
		if (top_stands_out(item))
			attrset(A_BOLD);
		top_draw_columns(t, widths, item);
		attrset(A_NORMAL);
	}
	return n;
}

/* --- what is above and below it --- */

/* A line from formatted text, cut where the screen ends. */
static void __attribute__((format(printf, 2, 3))) top_draw_line(int y, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	move(y, 0);
	top_put(COLS, true, text);
}

static void top_draw_head(const struct top *t)
{
	const json_t *takeover = json_object_get(t->status, "takeover");
	json_int_t clients = show_integer(t->status, "clients"), rooms = show_integer(t->status, "rooms"),
		   uncovered = show_integer(takeover, "uncovered"),
		   takeovers = show_integer(takeover, "count");
	char up[32], in[32], out[32], danger[64] = "";

	if (uncovered > 0)
		snprintf(danger, sizeof(danger), " (a crash ends %" JSON_INTEGER_FORMAT ")", uncovered);
	top_draw_line(
	    0, "chatd %s  up %s  %" JSON_INTEGER_FORMAT " client%s%s  %" JSON_INTEGER_FORMAT " room%s",
	    show_string(t->status, "version"), format_duration(show_number(t->status, "uptime"), up), clients,
	    PLURAL(clients), danger, rooms, PLURAL(rooms));
	top_draw_line(1, "%.1f messages/s  in %s/s  out %s/s  %" JSON_INTEGER_FORMAT " takeover%s",
		      t->rates[0], format_bytes((int64_t)t->rates[1], in),
		      format_bytes((int64_t)t->rates[2], out), takeovers, PLURAL(takeovers));
}

/* The fullest rooms on one line. */
static void top_draw_rooms(const struct top *t)
{
	const json_t *rooms = t->items[TOP_ROOMS].now, *used[256] = {NULL};
	size_t n = json_array_size(rooms) < 256 ? json_array_size(rooms) : 256;

	move(2, 0);
	for (size_t k = 0; k < n && getcurx(stdscr) < COLS - 24; k++) {
		size_t best = n;
		for (size_t i = 0; i < n; i++)
			if (!used[i] &&
			    (best == n || show_integer(json_array_get(rooms, i), "members") >
					      show_integer(json_array_get(rooms, best), "members")))
				best = i;
		used[best] = json_array_get(rooms, best);
		printw("%.24s %" JSON_INTEGER_FORMAT "  ", show_string(used[best], "name"),
		       show_integer(used[best], "members"));
	}
}

/* What is said of a part: "history stores, 3 waiting", or why it is away. */
static void top_say_history(const json_t *h, char *dst, size_t size)
{
	const char *state = show_string(h, "state");

	if (h && strcmp(state, "away") == 0)
		snprintf(dst, size, "history AWAY: %s  ", show_string(h, "why"));
	else if (h)
		snprintf(dst, size, "history %s, %" JSON_INTEGER_FORMAT " waiting  ",
			 strcmp(state, "behind") == 0 ? "BEHIND" : state, show_integer(h, "waiting"));
}

static void top_say_cluster(const json_t *c, char *dst, size_t size)
{
	if (c)
		snprintf(dst, size,
			 "%s%" JSON_INTEGER_FORMAT " node%s, %" JSON_INTEGER_FORMAT
			 " to go out, %" JSON_INTEGER_FORMAT " to come in  ",
			 json_is_true(json_object_get(c, "connected")) ? "" : "NO NATS, ",
			 show_integer(c, "nodes"), PLURAL(show_integer(c, "nodes")),
			 show_integer(c, "waiting"), show_integer(c, "lag"));
}

static void top_say_webhooks(const json_t *webhooks, char *dst, size_t size)
{
	size_t n = json_array_size(webhooks), away = 0, i;
	const json_t *w;

	json_array_foreach(webhooks, i, w) away += strcmp(show_string(w, "state"), "away") == 0;
	if (away > 0)
		snprintf(dst, size, "%zu webhook%s, %zu AWAY", n, PLURAL(n), away);
	else if (webhooks)
		snprintf(dst, size, "%zu webhook%s", n, PLURAL(n));
}

/* What is stored and sent elsewhere; what went wrong with chatctl itself is more important. */
static void top_draw_parts(const struct top *t)
{
	char history[256] = "", cluster[128] = "", webhooks[64] = "";

	top_say_history(json_object_get(t->status, "history"), history, sizeof(history));
	top_say_cluster(json_object_get(t->status, "cluster"), cluster, sizeof(cluster));
	top_say_webhooks(json_object_get(t->status, "webhooks"), webhooks, sizeof(webhooks));
	if (t->error[0])
		top_draw_line(3, "%s", t->error);
	else
		top_draw_line(3, "%s%s%s", history, cluster, webhooks);
}

/* The keys. */
static void top_draw_foot(const struct top *t, size_t n)
{
	const struct top_view *view = &top_views[t->view];
	const struct top_place *place = &t->places[t->view];
	size_t last = place->first + top_page() < n ? place->first + top_page() : n;

	move(LINES - 2, 0);
	addnstr("sort:", COLS);
	for (size_t i = 0; i < view->n_columns; i++) {
		if (getcurx(stdscr) + (int)strlen(view->columns[i].title) + 4 > COLS)
			break;
		printw(" %c ", view->columns[i].sort);
		attrset(i == place->sort ? A_REVERSE : A_NORMAL);
		addstr(view->columns[i].title);
		attrset(A_NORMAL);
	}
	top_draw_line(LINES - 1, "%zu-%zu of %zu %s  Tab: %s  arrows: scroll  R: reverse  q: quit",
		      n > 0 ? place->first + 1 : 0, last, n, view->name, top_views[top_next_view(t, 1)].name);
}

void top_draw(struct top *t)
{
	erase();
	if (t->status) {
		top_draw_head(t);
		top_draw_rooms(t);
	}
	top_draw_parts(t);
	top_draw_foot(t, top_draw_table(t));
	refresh();
}
