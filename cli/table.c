/* SPDX-License-Identifier: MIT */
/* Tables, numbers, times and colours for people. */
#include "cli/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

/* A column that may be cut keeps this width before a later one is left out. */
#define WIDTH_MIN 16
#define SEPARATOR "  "

struct column {
	struct libscols_column *scols;
	size_t width; /* of its widest cell */
	bool may_be_cut, hidden;
};

struct table {
	struct libscols_table *scols;
	struct libscols_line *line; /* the one that is being filled */
	struct column columns[16];
	size_t n, at;
};

/* Columns that the text takes on a terminal. */
static size_t table_width_of(const char *s)
{
	wchar_t wide[256];
	size_t n = mbstowcs(wide, s, sizeof(wide) / sizeof(*wide));
	int w = n < sizeof(wide) / sizeof(*wide) ? wcswidth(wide, n)
						 : -1; /* too long, or not text in this locale */

	return w < 0 ? strlen(s) : (size_t)w;
}

struct table *table_new(const char *const *titles)
{
	struct table *t = calloc(1, sizeof(*t));
	bool bold = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	/* table_fit() decides how wide it may be. */
	if (!t || !(t->scols = scols_new_table()) ||
	    scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER) < 0 ||
	    scols_table_set_column_separator(t->scols, SEPARATOR) < 0)
		abort();
	scols_table_enable_colors(t->scols, bold);
	scols_table_enable_minout(t->scols, 1); /* no blanks at the ends of lines */
	for (; titles[t->n] && t->n < sizeof(t->columns) / sizeof(*t->columns); t->n++) {
		const char *title = titles[t->n];
		struct column *c = &t->columns[t->n];
		bool right = title[0] == '>';
		c->may_be_cut = title[0] == '~';
		title += right || c->may_be_cut;
		c->width = table_width_of(title);
		c->scols = scols_table_new_column(t->scols, title, 0, right ? SCOLS_FL_RIGHT : 0);
		if (!c->scols ||
		    (bold && scols_cell_set_color(scols_column_get_header(c->scols), "bold") < 0))
			abort();
	}
	return t;
}

void table_add(struct table *t, const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		abort();
	va_end(ap);
	if (t->at == 0 && !(t->line = scols_table_new_line(t->scols, NULL)))
		abort();
	if (table_width_of(text) > t->columns[t->at].width)
		t->columns[t->at].width = table_width_of(text);
	if (scols_line_refer_data(t->line, t->at, text) < 0)
		abort();
	t->at = (t->at + 1) % t->n;
}

/* As wide as the terminal; a program gets everything. */
static size_t table_terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize w;

	if (!isatty(STDOUT_FILENO))
		return SIZE_MAX;
	if (columns && atoi(columns) > 0)
		return (size_t)atoi(columns);
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* How wide the table is if columns that may be cut are no wider than cap. */
static size_t table_total_width(const struct table *t, size_t cap)
{
	size_t sum = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct column *c = &t->columns[i];
		if (c->hidden)
			continue;
		sum += (i > 0 ? strlen(SEPARATOR) : 0) + (c->may_be_cut && c->width > cap ? cap : c->width);
	}
	return sum;
}

/* Cuts the text to that width; its last character is then a sign that there was more. */
static void table_cut(struct libscols_cell *cell, size_t width)
{
	const char *text = scols_cell_get_data(cell);
	size_t n = 0, have = 0;
	mbstate_t state = {0};
	char *shorter;
	wchar_t c;

	if (!text || table_width_of(text) <= width)
		return;
	for (size_t len = strlen(text), step; n < len; n += step) {
		step = mbrtowc(&c, text + n, len - n, &state);
		if (step == 0 || step > len - n)
			break;
		int w = wcwidth(c) > 0 ? wcwidth(c) : 0;
		if (have + (size_t)w > width - 1)
			break;
		have += (size_t)w;
	}
	if (asprintf(&shorter, "%.*s\u2026", (int)n, text) < 0)
		abort();
	if (scols_cell_refer_data(cell, shorter) < 0)
		abort();
}

/*
 * Leaves out the last columns and cuts the long ones, so that the table fits. libsmartcols by itself would
 * cut all of them to nothing.
 */
static void table_fit(struct table *t)
{
	size_t width = table_terminal_width(), cap = WIDTH_MIN;

	if (width == SIZE_MAX)
		return;
	for (size_t i = t->n; i-- > 1 && table_total_width(t, WIDTH_MIN) > width;) {
		t->columns[i].hidden = true;
		scols_column_set_flags(t->columns[i].scols, SCOLS_FL_HIDDEN);
	}
	if (cap > width)
		cap = width;
	while (cap < width && table_total_width(t, cap + 1) <= width)
		cap++;
	for (size_t i = 0; i < t->n; i++)
		for (size_t k = 0; t->columns[i].may_be_cut && k < scols_table_get_nlines(t->scols); k++)
			table_cut(scols_line_get_cell(scols_table_get_line(t->scols, k), i), cap);
}

void table_print(struct table *t)
{
	table_fit(t);
	/* libsmartcols prints nothing where there are no lines; the titles say what there could be. */
	if (!t->line) {
		for (size_t i = 0; i < t->n && !t->columns[i].hidden; i++)
			printf("%s%s", i > 0 ? SEPARATOR : "",
			       scols_cell_get_data(scols_column_get_header(t->columns[i].scols)));
		putchar('\n');
	}
	scols_print_table(t->scols);
	scols_unref_table(t->scols);
	free(t);
}

char *format_duration(double seconds, char dst[static 32])
{
	long long s = seconds > 0 ? (long long)seconds : 0;

	if (s < 60)
		snprintf(dst, 32, "%lld s", s);
	else if (s < 3600)
		snprintf(dst, 32, "%lld min %lld s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(dst, 32, "%lld h %lld min", s / 3600, s % 3600 / 60);
	else
		snprintf(dst, 32, "%lld d %lld h", s / 86400, s % 86400 / 3600);
	return dst;
}

char *format_size(int64_t bytes, char dst[static 32])
{
	static const char units[] = {0, 'K', 'M', 'G'};
	size_t u = 0;

	while (u < sizeof(units) - 1 && bytes >= 1024 && bytes % 1024 == 0) {
		bytes /= 1024;
		u++;
	}
	snprintf(dst, 32, "%lld%c", (long long)bytes, units[u]);
	return dst;
}

char *format_bytes(int64_t bytes, char dst[static 32])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
	double v = (double)bytes;
	int u = -1;

	while (v >= 1000 && u < 4) {
		v /= 1000;
		u++;
	}
	if (u < 0)
		snprintf(dst, 32, "%lld B", (long long)bytes);
	else
		snprintf(dst, 32, "%.1f %s", v, units[u]);
	return dst;
}
