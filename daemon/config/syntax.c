/* SPDX-License-Identifier: MIT */
/* libconfig names the line where it gave up, which is seldom the one with the mistake: what is said about it
 * here leads there. */
#include "daemon/config/syntax.h"

#include "common/cleanup.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 64

/* The last line before that one which has more than space and comments; 0: none. *ret_open: where a text
 * begins that goes on in the next line, which is mostly one that isn't closed; 0: nowhere. */
static unsigned syntax_line_before(const char *text, unsigned line, unsigned *ret_open)
{
	enum { PLAIN, STRING, TO_EOL, BLOCK } in = PLAIN;
	unsigned now = 1, last = 0, begin = 0;

	*ret_open = 0;

	for (const char *p = text; *p && now < line; p++) {
		if (*p == '\n') {
			now++;
			*ret_open = in == STRING && *ret_open == 0 ? begin : *ret_open;
			in = in == TO_EOL ? PLAIN : in;
		} else if (in == STRING) {
			last = now;
			if (*p == '\\' && p[1] && p[1] != '\n')
				p++;
			else if (*p == '"')
				in = PLAIN;
		} else if (in == BLOCK && p[0] == '*' && p[1] == '/') {
			in = PLAIN;
			p++;
		} else if (in == PLAIN && (*p == '#' || (p[0] == '/' && p[1] == '/'))) {
			in = TO_EOL;
		} else if (in == PLAIN && p[0] == '/' && p[1] == '*') {
			in = BLOCK;
			p++;
		} else if (in == PLAIN && !isspace((unsigned char)*p)) {
			last = now;
			begin = now;
			in = *p == '"' ? STRING : PLAIN;
		}
	}
	return last;
}

static const char *syntax_find_line(const char *text, unsigned line)
{
	for (; line > 1 && *text; line--)
		text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n');
	return text;
}

/* The next NAME that a = or : follows; moves *p behind it. False at the end of the line. *ret_fresh: a group
 * began or ended before it. */
static bool syntax_next_name(const char **p, char dst[static NAME_MAX_LEN], bool *ret_fresh)
{
	*ret_fresh = false;
	while (**p && **p != '\n') {
		if (**p == '"') {
			for (++*p; **p && **p != '"' && **p != '\n'; ++*p)
				*p += **p == '\\' && (*p)[1] && (*p)[1] != '\n';
			*p += **p == '"';
			continue;
		}
		size_t n = 0;
		if (isalpha((unsigned char)**p) || **p == '*')
			while (isalnum((unsigned char)(*p)[n]) || ((*p)[n] && strchr("-_*", (*p)[n])))
				n++;
		if (n == 0) {
			*ret_fresh |= **p == '{' || **p == '}';
			++*p;
			continue;
		}
		const char *name = *p;
		*p += n;
		size_t gap = strspn(*p, " \t");
		if (((*p)[gap] == '=' || (*p)[gap] == ':') && n < NAME_MAX_LEN) {
			memcpy(dst, name, n);
			dst[n] = '\0';
			return true;
		}
	}
	return false;
}

/* What was read stops before the second one, so the first is in the group that was read last, or in one
 * around it. */
static const config_setting_t *syntax_find_first(const config_t *lib, const char *name)
{
	const config_setting_t *found = NULL;

	for (config_setting_t *s = config_root_setting(lib); s && config_setting_is_aggregate(s);) {
		const config_setting_t *first =
		    config_setting_is_group(s) ? config_setting_get_member(s, name) : NULL;
		found = first ? first : found;
		int n = config_setting_length(s);
		s = n > 0 ? config_setting_get_elem(s, (unsigned)n - 1) : NULL;
	}
	return found;
}

static bool syntax_report_duplicate(const config_t *lib, const char *file, const char *text, FILE *errors)
{
	unsigned line = (unsigned)config_error_line(lib);
	const char *start = syntax_find_line(text, line), *p = start;
	char name[NAME_MAX_LEN], other[NAME_MAX_LEN];
	bool fresh;

	for (const char *group = start; syntax_next_name(&p, name, &fresh);) {
		const config_setting_t *first = syntax_find_first(lib, name);
		unsigned at = first ? (unsigned)config_setting_source_line(first) : 0;
		group = fresh ? p - strlen(name) : group;
		bool twice = false, ignored;
		for (const char *q = group; at == line && syntax_next_name(&q, other, &ignored) && q < p;)
			twice |= strcmp(other, name) == 0;
		if (!first || (at == line && !twice))
			continue;
		fprintf(errors, "%s:%u: %s is set twice; the first is in line %u\n", file, line, name, at);
		return true;
	}
	return false;
}

void config_report_syntax(const config_t *lib, const char *name, const char *text, FILE *errors)
{
	const char *file = config_error_file(lib) ? config_error_file(lib) : name;
	const char *what = config_error_text(lib);
	int line = config_error_line(lib);
	unsigned open = 0, before = line > 0 ? syntax_line_before(text, (unsigned)line, &open) : 0;
	char quote[64] = "";

	if (open > 0)
		snprintf(quote, sizeof(quote), "; or is the quote in line %u not closed", open);

	if (line <= 0) {
		fprintf(errors, "%s: %s\n", file, what);
	} else if (strncmp(what, "duplicate setting", 17) == 0 &&
		   syntax_report_duplicate(lib, file, text, errors)) {
		return;
	} else if (before > 0 && strcmp(what, "syntax error") == 0) {
		fprintf(errors,
			"%s:%d: syntax error: is a comma, a semicolon or a bracket missing (or too much) "
			"here, or at the end of line %u%s?\n",
			file, line, before, quote);
	} else {
		fprintf(errors, "%s:%d: %s\n", file, line, what);
	}
}

void config_report_file(const config_t *lib, const char *path, FILE *errors)
{
	FILE *f = fopen(config_error_file(lib) ? config_error_file(lib) : path, "re");
	_cleanup_free_ char *text = NULL;
	size_t room = 0;

	/* All of it, since no NUL is expected. */
	if (f && getdelim(&text, &room, '\0', f) < 0)
		text[0] = '\0';
	if (f)
		fclose(f);
	config_report_syntax(lib, path, text ? text : "", errors);
}
