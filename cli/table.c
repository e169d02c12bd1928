/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include "common/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

struct table {
	const char *const *titles;
	size_t columns, n, room;
	char **cells;
};

struct table *table_new(const char *const *titles)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->titles = titles;
	while (titles[t->columns])
		t->columns++;
	return t;
}

void table_add(struct table *t, const char *format, ...)
{
	va_list ap;

	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->cells = reallocarray(t->cells, t->room, sizeof(char *));
		if (!t->cells)
			abort();
	}
	va_start(ap, format);
	if (vasprintf(&t->cells[t->n++], format, ap) < 0)
		abort();
	va_end(ap);
}

/* Columns that the text takes on a terminal. */
static size_t width_of(const char *s)
{
	wchar_t wide[256];
	size_t n = mbstowcs(wide, s, sizeof(wide) / sizeof(*wide));
	int w = n < sizeof(wide) / sizeof(*wide) ? wcswidth(wide, n)
						 : -1; /* too long, or no text of this locale */

	return w < 0 ? strlen(s) : (size_t)w;
}

static bool is_number(const char *title)
{
	return title[0] == '>';
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
	size_t pad = width > width_of(text) ? width - width_of(text) : 0;

	if (right)
		printf("%*s%s", (int)pad, "", text);
	else
		printf("%s%*s", text, last ? 0 : (int)pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

void table_print(struct table *t)
{
	bool bold = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	_cleanup_free_ size_t *widths = calloc(t->columns, sizeof(*widths));

	if (!widths)
		abort();
	for (size_t k = 0; k < t->columns; k++)
		widths[k] = strlen(t->titles[k]) - is_number(t->titles[k]);
	for (size_t i = 0; i < t->n; i++)
		if (width_of(t->cells[i]) > widths[i % t->columns])
			widths[i % t->columns] = width_of(t->cells[i]);
	if (bold)
		fputs("\033[1m", stdout);
	for (size_t k = 0; k < t->columns; k++)
		print_cell(t->titles[k] + is_number(t->titles[k]), widths[k], is_number(t->titles[k]),
			   k + 1 == t->columns);
	if (bold)
		fputs("\033[0m", stdout);
	for (size_t i = 0; i < t->n; i++) {
		size_t k = i % t->columns;
		print_cell(t->cells[i], widths[k], is_number(t->titles[k]), k + 1 == t->columns);
		free(t->cells[i]);
	}
	free(t->cells);
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
