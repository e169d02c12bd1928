/* SPDX-License-Identifier: MIT */
/* chatctl top: a live view for an admin in trouble: rates, rooms, clients, slow readers. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/subcommands.h"
#include "cli/table.h"
#include "common/cleanup.h"

#include <curses.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

struct column {
	const char *title;
	const char *key; /* of the client */
	int width;	 /* < 0: text, to the left */
	char sort;	 /* the key to press */
	enum { NUMBER, BYTES, SECONDS, TEXT } kind;
};

/* 80 columns have space for those up to IDLE. */
static const struct column columns[] = {
    {"ID", "id", 7, 'i', NUMBER},	    {"NICK", "nick", -14, 'n', TEXT},
    {"ROOM", "room", -12, 'r', TEXT},	    {"BEHIND", "behind", 8, 'b', BYTES},
    {"IN/s", "in", 8, 't', BYTES},	    {"OUT/s", "out", 8, 'o', BYTES},
    {"IDLE", "idle", 12, 'd', SECONDS},	    {"ADDRESS", "address", -22, 'a', TEXT},
    {"DROPPED", "dropped", 8, 'x', NUMBER}, {"LISTENER", "listener", -12, 'l', TEXT},
};
/* The columns that stay when the others are scrolled sideways: they say who it is. */
#define N_FIXED 2
#define BEHIND 3

#define N_COLUMNS (sizeof(columns) / sizeof(*columns))

struct top {
	const struct options *o;
	json_t *status, *clients, *rooms; /* of now */
	json_t *before;			  /* client id to the entry of last time */
	double at, before_at;
	json_int_t messages, received, sent; /* of last time */
	double rates[3];
	size_t sort;
	bool reverse;
	size_t first;	     /* of the clients on the screen */
	size_t first_column; /* of those that are not fixed */
	char error[256];
};

static double top_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- what is there --- */

static int top_ask(struct client *c, const char *method, json_t *parameters, json_t **ret, char *why,
		   size_t size)
{
	_cleanup_free_ char *error = NULL;
	int r = client_send(c, method, parameters, false);

	if (r == 0)
		r = client_receive(c, ret, &error);
	if (r < 0)
		snprintf(why, size, "%s", error ? error : strerror(-r));
	return r;
}

static json_t *top_list(struct client *c, const char *what, char *why, size_t size)
{
	json_t *reply = NULL, *found = NULL;

	if (top_ask(c, "List", json_pack("{s:s}", "what", what), &reply, why, size) == 0)
		found = json_incref(json_object_get(reply, what));
	json_decref(reply);
	return found;
}

static void top_id_of(const json_t *client, char dst[static 24])
{
	snprintf(dst, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(client, "id")));
}

/* Adds bytes a second since the last time to what the daemon says. */
static void top_add_rates(struct top *t)
{
	json_t *known = json_object();
	json_t *c;
	size_t i;

	json_array_foreach(t->clients, i, c)
	{
		char id[24];
		top_id_of(c, id);
		const json_t *old = json_object_get(t->before, id);
		double seconds = t->at - t->before_at;
		static const char *const pairs[][2] = {{"received", "in"}, {"sent", "out"}};
		for (size_t k = 0; k < 2; k++) {
			double now_value = json_number_value(json_object_get(c, pairs[k][0]));
			double change = now_value - json_number_value(json_object_get(old, pairs[k][0]));
			json_object_set_new(
			    c, pairs[k][1],
			    json_real(old && seconds > 0 && change > 0 ? change / seconds : 0));
		}
		json_object_set(known, id, c);
	}
	json_decref(t->before);
	t->before = known;
}

static double top_rate(json_int_t value, json_int_t *last, double seconds)
{
	double r = seconds > 0 && value >= *last ? (double)(value - *last) / seconds : 0;

	*last = value;
	return r;
}

static void top_refresh(struct top *t)
{
	struct client *c;
	int r = client_open(t->o->socket, &c);

	t->error[0] = '\0';
	if (r < 0) {
		snprintf(t->error, sizeof(t->error), "chatd can't be reached at %s: %s", t->o->socket,
			 strerror(-r));
		return;
	}
	json_t *status = NULL;
	top_ask(c, "Status", NULL, &status, t->error, sizeof(t->error));
	json_t *clients = top_list(c, "clients", t->error, sizeof(t->error));
	json_t *rooms = top_list(c, "rooms", t->error, sizeof(t->error));
	client_close(c);
	if (status && clients && rooms) {
		json_decref(t->status);
		json_decref(t->clients);
		json_decref(t->rooms);
		t->status = json_incref(status);
		t->clients = json_incref(clients);
		t->rooms = json_incref(rooms);
		t->before_at = t->at;
		t->at = top_now();
		top_add_rates(t);
		double seconds = t->before_at > 0 ? t->at - t->before_at : 0;
		t->rates[0] =
		    top_rate(json_integer_value(json_object_get(status, "messages")), &t->messages, seconds);
		t->rates[1] = top_rate(json_integer_value(json_object_get(status, "received_bytes")),
				       &t->received, seconds);
		t->rates[2] =
		    top_rate(json_integer_value(json_object_get(status, "sent_bytes")), &t->sent, seconds);
	}
	json_decref(status);
	json_decref(clients);
	json_decref(rooms);
}

/* --- the order --- */

static const struct top *sorting;

static int top_by_column(const void *a, const void *b)
{
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
	const struct column *c = &columns[sorting->sort];
	int r;

	if (c->kind == TEXT) {
		const char *s = json_string_value(json_object_get(x, c->key)),
			   *u = json_string_value(json_object_get(y, c->key));
		r = strcasecmp(s ? s : "", u ? u : "");
	} else {
		double v = json_number_value(json_object_get(x, c->key)),
		       w = json_number_value(json_object_get(y, c->key));
		r = (v < w) - (v > w); /* the largest first */
	}
	return sorting->reverse ? -r : r;
}

static json_t **top_sorted(struct top *t, size_t *ret_n)
{
	size_t n = json_array_size(t->clients);
	json_t **at = calloc(n + 1, sizeof(*at));

	*ret_n = at ? n : 0;
	for (size_t i = 0; at && i < n; i++)
		at[i] = json_array_get(t->clients, i);
	sorting = t;
	if (at && n > 0)
		qsort(at, n, sizeof(*at), top_by_column);
	return at;
}

/* --- the screen --- */

/* As much of the text as fits, and blanks up to the column's width. */
static void top_put(int width, const char *text)
{
	size_t left = strlen(text), step, n = 0;
	int cells = width < 0 ? -width : width, have = 0, x = getcurx(stdscr), y = getcury(stdscr);
	mbstate_t state = {0};
	wchar_t c;

	for (; left > 0; n += step, left -= step) {
		step = mbrtowc(&c, text + n, left, &state);
		int w = step > 0 && step <= left ? wcwidth(c) : -1;
		if (w < 0 || have + w > cells)
			break;
		have += w;
	}
	mvaddnstr(y, x + (width > 0 ? cells - have : 0), text, (int)n);
	/* Beyond the right edge there is nothing to move to, nor to draw. */
	move(y, x + cells);
}

static void top_draw_cell(const struct column *c, const json_t *client)
{
	const json_t *v = json_object_get(client, c->key);
	const char *s = json_string_value(v);
	char text[64];

	switch (c->kind) {
	case NUMBER:
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case BYTES:
		format_bytes((int64_t)json_number_value(v), text);
		break;
	case SECONDS:
		format_duration(json_number_value(v), text);
		break;
	case TEXT:
		top_put(c->width, s && s[0] ? s : "-");
		return;
	}
	top_put(c->width, text);
}

/* Draws the columns that are in view: their titles, or their cells for a client. */
static void top_draw_columns(const struct top *t, const json_t *client)
{
	int y = getcury(stdscr), x = 0;

	for (size_t i = 0; i < N_COLUMNS; i++) {
		int width = columns[i].width < 0 ? -columns[i].width : columns[i].width;
		if (i >= N_FIXED && i < N_FIXED + t->first_column)
			continue;
		if (x + width > COLS)
			return;
		move(y, x);
		if (client) {
			top_draw_cell(&columns[i], client);
		} else {
			attrset(i == t->sort ? A_REVERSE : A_BOLD);
			top_put(columns[i].width, columns[i].title);
			attrset(A_NORMAL);
		}
		x += width + 1;
	}
}

/* A line from formatted text, cut where the screen ends. */
static void __attribute__((format(printf, 2, 3))) top_draw_line(int y, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	move(y, 0);
	top_put(-COLS, text);
}

static void top_draw_head(const struct top *t)
{
	const json_t *takeover = json_object_get(t->status, "takeover");
	json_int_t clients = json_integer_value(json_object_get(t->status, "clients")),
		   uncovered = json_integer_value(json_object_get(takeover, "uncovered")),
		   takeovers = json_integer_value(json_object_get(takeover, "count"));
	size_t rooms = json_array_size(t->rooms);
	char up[32], in[32], out[32], danger[64] = "";

	if (uncovered > 0)
		snprintf(danger, sizeof(danger), " (a crash ends %" JSON_INTEGER_FORMAT ")", uncovered);
	top_draw_line(0, "chatd %s  up %s  %" JSON_INTEGER_FORMAT " client%s%s  %zu room%s",
		      json_string_value(json_object_get(t->status, "version")),
		      format_duration(json_number_value(json_object_get(t->status, "uptime")), up), clients,
		      PLURAL(clients), danger, rooms, PLURAL(rooms));
	top_draw_line(1, "%.1f messages/s  in %s/s  out %s/s  %" JSON_INTEGER_FORMAT " takeover%s",
		      t->rates[0], format_bytes((int64_t)t->rates[1], in),
		      format_bytes((int64_t)t->rates[2], out), takeovers, PLURAL(takeovers));
}

/* The fullest rooms on one line. */
static void top_draw_rooms(const struct top *t)
{
	const json_t *used[256] = {NULL};
	size_t n = json_array_size(t->rooms) < 256 ? json_array_size(t->rooms) : 256;

	move(2, 0);
	for (size_t k = 0; k < n && getcurx(stdscr) < COLS - 24; k++) {
		size_t best = n;
		for (size_t i = 0; i < n; i++)
			if (!used[i] &&
			    (best == n ||
			     json_integer_value(json_object_get(json_array_get(t->rooms, i), "members")) >
				 json_integer_value(
				     json_object_get(json_array_get(t->rooms, best), "members"))))
				best = i;
		used[best] = json_array_get(t->rooms, best);
		printw("%.24s %" JSON_INTEGER_FORMAT "  ",
		       json_string_value(json_object_get(used[best], "name")),
		       json_integer_value(json_object_get(used[best], "members")));
	}
}

#define HEAD_LINES 5
#define FOOT_LINES 2

static size_t top_lines_for_clients(void)
{
	return LINES > HEAD_LINES + FOOT_LINES ? (size_t)(LINES - HEAD_LINES - FOOT_LINES) : 1;
}

/* The keys. */
static void top_draw_foot(const struct top *t, size_t n)
{
	size_t last = t->first + top_lines_for_clients() < n ? t->first + top_lines_for_clients() : n;

	move(LINES - 2, 0);
	addnstr("sort:", COLS);
	for (size_t i = 0; i < N_COLUMNS; i++) {
		if (getcurx(stdscr) + (int)strlen(columns[i].title) + 4 > COLS)
			break;
		printw(" %c ", columns[i].sort);
		attrset(i == t->sort ? A_REVERSE : A_NORMAL);
		addstr(columns[i].title);
		attrset(A_NORMAL);
	}
	top_draw_line(LINES - 1, "%zu-%zu of %zu  arrows, PgUp, PgDn, Home, End: scroll  R: reverse  q: quit",
		      n > 0 ? t->first + 1 : 0, last, n);
}

static void top_draw(struct top *t)
{
	size_t n;
	_cleanup_free_ json_t **at = top_sorted(t, &n);

	erase();
	if (t->status) {
		top_draw_head(t);
		top_draw_rooms(t);
	}
	move(4, 0);
	top_draw_columns(t, NULL);
	/* Clients may have gone, and the screen may have another size. */
	if (t->first + top_lines_for_clients() > n)
		t->first = n > top_lines_for_clients() ? n - top_lines_for_clients() : 0;
	for (size_t i = 0; t->first + i < n && i < top_lines_for_clients(); i++) {
		const json_t *client = at[t->first + i];
		move(HEAD_LINES + (int)i, 0);
		/* Slow readers stand out. */
		if (json_integer_value(json_object_get(client, "behind")) > 65536)
			attrset(A_BOLD);
		top_draw_columns(t, client);
		attrset(A_NORMAL);
	}
	if (t->error[0])
		top_draw_line(3, "%s", t->error);
	top_draw_foot(t, n);
	refresh();
}

/* top_draw() knows where the end is. */
static void top_scroll(struct top *t, int k)
{
	size_t page = top_lines_for_clients();

	switch (k) {
	case KEY_UP:
		t->first -= t->first > 0;
		break;
	case KEY_DOWN:
		t->first++;
		break;
	case KEY_PPAGE:
		t->first -= t->first < page ? t->first : page;
		break;
	case KEY_NPAGE:
		t->first += page;
		break;
	case KEY_HOME:
		t->first = 0;
		break;
	case KEY_END:
		t->first = json_array_size(t->clients);
		break;
	case KEY_LEFT:
		t->first_column -= t->first_column > 0;
		break;
	case KEY_RIGHT:
		t->first_column += t->first_column + N_FIXED + 1 < N_COLUMNS;
		break;
	default:
		break;
	}
}

/* True to go on. */
static bool top_take_key(struct top *t, int k)
{
	if (k == 'q' || k == 27 || k == 4)
		return false;
	if (k == 'R')
		t->reverse = !t->reverse;
	top_scroll(t, k);
	for (size_t i = 0; i < N_COLUMNS; i++)
		if (columns[i].sort == k)
			t->sort = i;
	return true;
}

int command_top(const struct options *o, int argc, char **argv)
{
	struct top t = {.o = o, .sort = BEHIND, .before = json_object()};
	struct client *c;

	if (argc > 1)
		return usage(argv[0]);
	int status = reach(o, &c);
	if (status != EXIT_DONE) {
		json_decref(t.before);
		return status;
	}
	client_close(c);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		json_decref(t.before);
		return fail(EXIT_REFUSED,
			    "top needs a terminal; chatctl --json list clients is for programs");
	}
	if (!initscr())
		return fail(EXIT_REFUSED, "this terminal is too simple");
	noecho();
	cbreak();
	keypad(stdscr, true);
	curs_set(0);
	bool going = true;
	for (double next = 0; going;) {
		if (top_now() >= next) {
			top_refresh(&t);
			next = top_now() + 1;
		}
		top_draw(&t);
		double left = next - top_now();
		timeout(left > 0 ? (int)(left * 1000) + 1 : 0);
		int k = getch();
		if (k != ERR)
			going = top_take_key(&t, k);
	}
	endwin();
	json_decref(t.status);
	json_decref(t.clients);
	json_decref(t.rooms);
	json_decref(t.before);
	return EXIT_DONE;
}
