/* SPDX-License-Identifier: MIT */
/*
 * What the parts of `chatctl top` share: the views that Tab goes through, each a table of one kind of things, and what is
 * known of them now. One thread.
 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct top_column {
	const char *title;
	const char *key; /* of the item */
	int width;	 /* at least; < 0: text, to the left, which gets what is left over */
	char sort;	 /* the key to press */
	enum { TOP_NUMBER, TOP_RATE, TOP_BYTES, TOP_SECONDS, TOP_WHEN, TOP_TEXT } kind;
	const char
	    *grows; /* of the item: the key has how much this grows in a second; NULL: chatd tells the key */
};

struct top_view {
	const char *name; /* as List calls it, or Status; and as it is shown */
	const char *id;	  /* which item is which: the key of a number or a text */
	bool in_status;	  /* Status has the items */
	const char *only; /* it is there only if Status has this; NULL: always */
	const struct top_column *columns;
	size_t n_columns;
	size_t fixed; /* the columns that stay when others are scrolled sideways: they say which it is */
	size_t sort;  /* the column that it is sorted by at first */
};

enum { TOP_CLIENTS, TOP_ROOMS, TOP_LISTENERS, TOP_NODES, TOP_WEBHOOKS, TOP_VIEWS };
extern const struct top_view top_views[TOP_VIEWS];

/* What is known of a view's items. */
struct top_items {
	json_t *now;	/* an array, or NULL */
	json_t *before; /* id to the item of last time, or NULL */
	double at;	/* of now, by the monotonic clock, in seconds; 0: never */
};

struct top {
	const char *socket;
	json_t *status;
	struct top_items items[TOP_VIEWS];
	double status_at;
	json_int_t messages, received, sent; /* of last time */
	double rates[3];
	size_t view;
	struct top_place {
		size_t sort;
		bool reverse;
		size_t first;	     /* of the items on the screen */
		size_t first_column; /* of those that are not fixed */
	} places[TOP_VIEWS];
	char error[256];
};

/* top_ask.c: */
double top_now(void);
bool top_has_view(const struct top *t, size_t view);
/* The next view that there is; with step TOP_VIEWS - 1 the one before. */
size_t top_next_view(const struct top *t, size_t step);
/* Asks for what the present view and the head show; error says what went wrong, and what was known stays. */
void top_refresh(struct top *t);
void top_forget(struct top *t);
/* The view's items in its order, free()d by the caller; they are the view's. NULL: none, or no memory. */
json_t **top_sorted(const struct top *t, size_t *ret_n);

/* top_draw.c: */
void top_draw(struct top *t);
size_t top_page(void);

#endif
