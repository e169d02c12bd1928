/* SPDX-License-Identifier: MIT */
/*
 * chatctl top: a live view for an admin in trouble: rates, what is stored and sent elsewhere, and a table of clients (with
 * slow readers first), rooms, listeners, nodes or webhooks.
 */
#include "cli/top.h"

#include "cli/client.h"
#include "cli/command.h"
#include "cli/subcommands.h"

#include <curses.h>
#include <unistd.h>

/* top_draw() knows where the end is. */
static void top_scroll(struct top *t, int k)
{
	const struct top_view *view = &top_views[t->view];
	struct top_place *place = &t->places[t->view];
	size_t page = top_page();

	switch (k) {
	case KEY_UP:
		place->first -= place->first > 0;
		break;
	case KEY_DOWN:
		place->first++;
		break;
	case KEY_PPAGE:
		place->first -= place->first < page ? place->first : page;
		break;
	case KEY_NPAGE:
		place->first += page;
		break;
	case KEY_HOME:
		place->first = 0;
		break;
	case KEY_END:
		place->first = json_array_size(t->items[t->view].now);
		break;
	case KEY_LEFT:
		place->first_column -= place->first_column > 0;
		break;
	case KEY_RIGHT:
		place->first_column += place->first_column + view->fixed + 1 < view->n_columns;
		break;
	default:
		break;
	}
}

static void top_turn(struct top *t, size_t step)
{
	t->view = top_next_view(t, step);
	top_refresh(t);
}

/* True to go on. */
static bool top_take_key(struct top *t, int k)
{
	if (k == 'q' || k == 27 || k == 4)
		return false;
	if (k == '\t')
		top_turn(t, 1);
	if (k == KEY_BTAB)
		top_turn(t, TOP_VIEWS - 1);
	if (k == 'R')
		t->places[t->view].reverse = !t->places[t->view].reverse;
	top_scroll(t, k);
	for (size_t i = 0; i < top_views[t->view].n_columns; i++)
		if (top_views[t->view].columns[i].sort == k)
			t->places[t->view].sort = i;
	return true;
}

static void top_run(struct top *t)
{
	bool going = true;

	for (double next = 0; going;) {
		if (top_now() >= next) {
			top_refresh(t);
			next = top_now() + 1;
		}
		top_draw(t);
		double left = next - top_now();
		timeout(left > 0 ? (int)(left * 1000) + 1 : 0);
		int k = getch();
		if (k != ERR)
			going = top_take_key(t, k);
	}
}

int command_top(const struct options *o, int argc, char **argv)
{
	struct top t = {.socket = o->socket};
	struct client *c;

	if (argc > 1)
		return usage(argv[0]);
	int status = reach(o, &c);
	if (status != EXIT_DONE)
		return status;
	client_close(c);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail(EXIT_REFUSED,
			    "top needs a terminal; chatctl --json list clients is for programs");
	if (!initscr())
		return fail(EXIT_REFUSED, "this terminal is too simple");
	noecho();
	cbreak();
	keypad(stdscr, true);
	curs_set(0);
	for (size_t i = 0; i < TOP_VIEWS; i++)
		t.places[i].sort = top_views[i].sort;
	top_run(&t);
	endwin();
	top_forget(&t);
	return EXIT_DONE;
}
