/* SPDX-License-Identifier: MIT */
/* One token of a file is added or removed, and the rest of the file kept as it is: for `chatctl token`. */
#include "common/rewrite.h"
#include "common/tokens.h"

#include <errno.h>
#include <string.h>

struct tokens_edit {
	const char *name, *line;
	char *alike;
};

/* How long the line's name is; 0: it has none. */
static size_t tokens_line_name(const char *line, size_t n)
{
	const char *colon = line[0] == '#' ? NULL : memchr(line, ':', n);

	return colon ? (size_t)(colon - line) : 0;
}

static int tokens_write_edited(FILE *f, const char *text, void *arg)
{
	const struct tokens_edit *e = arg;
	bool found = false;

	while (*text) {
		size_t n = strcspn(text, "\n"), len = tokens_line_name(text, n);
		bool equal = nick_equal(text, len, e->name, strlen(e->name));
		if (e->line && (equal || (len > 0 && nick_same(text, len, e->name, strlen(e->name))))) {
			snprintf(e->alike, TEXT_NICK_MAX + 1, "%.*s", (int)len, text);
			return -EEXIST;
		}
		if (equal)
			found = true;
		else
			fprintf(f, "%.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
	if (e->line)
		fprintf(f, "%s\n", e->line);
	return found || e->line ? 0 : -ENOENT;
}

int tokens_change(const char *path, const char *name, const char *line, int group,
		  char ret_alike[static TEXT_NICK_MAX + 1])
{
	struct tokens_edit e = {name, line, ret_alike};

	return rewrite_file(path, &(struct rewrite){tokens_write_edited, &e, line, group});
}
