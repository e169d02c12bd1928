/* SPDX-License-Identifier: MIT */
/*
 * OpenMetrics differs in little from Prometheus's text format: a counter's family is without its "_total", units are
 * told, quotes in a HELP are escaped, and the end is marked.
 */
#include "daemon/control/openmetrics.h"

#include "common/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of one medium of the list, as "text/plain; version=0.0.4;q=0.5". */
struct wish {
	char type[48];
	char version[16];
	double q; /* 0 to 1 */
};

static size_t wish_trim(const char **s, size_t len)
{
	while (len > 0 && strchr(" \t", **s)) {
		(*s)++;
		len--;
	}
	while (len > 0 && strchr(" \t", (*s)[len - 1]))
		len--;
	return len;
}

/* A weight is 0 to 1 with up to three decimals. Not strtod(), which takes "inf" and asks the locale. */
static double wish_weight(const char *s, size_t len)
{
	double q = 0, unit = 1;

	if (len < 1 || len > 5 || (s[0] != '0' && s[0] != '1') || (len > 1 && s[1] != '.'))
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (i == 1)
			continue;
		if (s[i] < '0' || s[i] > '9')
			return 0;
		q += (s[i] - '0') * unit;
		unit /= 10;
	}
	return q > 1 ? 1 : q;
}

static void wish_copy(char *to, size_t size, const char *s, size_t len)
{
	/* What is longer is nothing that is known here. */
	snprintf(to, size, "%.*s", len < size ? (int)len : 0, s);
}

static void wish_read(struct wish *w, const char *s, size_t len)
{
	*w = (struct wish){.q = 1};
	for (bool first = true; first || len > 0; first = false) {
		const char *end = memchr(s, ';', len), *part = s;
		size_t all = end ? (size_t)(end - s) : len, n = wish_trim(&part, all);
		if (first)
			wish_copy(w->type, sizeof(w->type), part, n);
		else if (n >= 2 && strncasecmp(part, "q=", 2) == 0)
			w->q = wish_weight(part + 2, n - 2);
		else if (n >= 8 && strncasecmp(part, "version=", 8) == 0)
			wish_copy(w->version, sizeof(w->version), part + 8, n - 8);
		s += all + (end ? 1 : 0);
		len -= all + (end ? 1 : 0);
	}
}

bool openmetrics_wanted(const char *accept)
{
	double open = 0, plain = 0;

	for (const char *s = accept; s && *s;) {
		size_t len = strcspn(s, ",");
		struct wish w;
		wish_read(&w, s, len);
		if (strcasecmp(w.type, "application/openmetrics-text") == 0) {
			bool ours = w.version[0] == '\0' || strcmp(w.version, "1.0.0") == 0;
			open = ours && w.q > open ? w.q : open;
		} else if (strcasecmp(w.type, "text/plain") == 0 && w.q > plain) {
			plain = w.q;
		}
		s += len + (s[len] == ',');
	}
	return open > 0 && open >= plain;
}

static void openmetrics_help(FILE *f, const char *name, int len, const char *help, size_t n)
{
	fprintf(f, "# HELP %.*s ", len, name);
	for (size_t i = 0; i < n; i++) {
		if (help[i] == '"')
			fputc('\\', f);
		fputc(help[i], f);
	}
	fputc('\n', f);
}

static bool name_ends(const char *name, int len, const char *end)
{
	int n = (int)strlen(end);

	return len > n && strncmp(name + len - n, end, (size_t)n) == 0;
}

/* The HELP and the TYPE of a family, which begin at s. Returns what follows them. */
static const char *openmetrics_family(FILE *f, const char *s)
{
	const char *name = s + strlen("# HELP "), *help = name + strcspn(name, " \n");
	const char *help_end = help + strcspn(help, "\n"), *type = help_end;
	int len = (int)(help - name);

	if (strncmp(type, "\n# TYPE ", strlen("\n# TYPE ")) != 0 ||
	    strncmp(type + strlen("\n# TYPE "), name, (size_t)len) != 0)
		return *help_end ? help_end + 1 : help_end;
	type += strlen("\n# TYPE ") + (size_t)len;
	const char *end = type + strcspn(type, "\n");
	if (name_ends(name, len, "_total") && strncmp(type, " counter", (size_t)(end - type)) == 0)
		len -= (int)strlen("_total");
	fprintf(f, "# TYPE %.*s%.*s\n", len, name, (int)(end - type), type);
	for (const char *const *unit = (const char *const[]){"seconds", "bytes", NULL}; *unit; unit++)
		if (name_ends(name, len, *unit))
			fprintf(f, "# UNIT %.*s %s\n", len, name, *unit);
	if (*help == ' ')
		openmetrics_help(f, name, len, help + 1, (size_t)(help_end - help - 1));
	return *end ? end + 1 : end;
}

char *openmetrics_from_text(const char *text)
{
	char *to = NULL;
	size_t size;
	FILE *f = open_memstream(&to, &size);

	if (!f)
		return NULL;
	while (*text) {
		if (strncmp(text, "# HELP ", strlen("# HELP ")) == 0) {
			text = openmetrics_family(f, text);
			continue;
		}
		size_t len = strcspn(text, "\n");
		fprintf(f, "%.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
	fputs("# EOF\n", f);
	fclose(f);
	return to;
}
