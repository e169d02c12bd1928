/* SPDX-License-Identifier: MIT */
/* One account of a password file is changed, and the rest of the file kept as it is: for `chatctl passwd`. */
#include "common/accounts.h"
#include "common/rewrite.h"

#include <errno.h>
#include <string.h>

/* Which account this line is, by its name; 0: none. */
static size_t accounts_line_name(const char *line, size_t n)
{
	const char *colon = line[0] == '#' ? NULL : memchr(line, ':', n);

	return colon ? (size_t)(colon - line) : 0;
}

/* How near a line's name comes to nick: it looks like it, is the same, or is written like it. */
enum nearness { FAR, SIMILAR, SAME, IDENTICAL };

static enum nearness accounts_nearness(const char *line, size_t n, const char *nick,
				       const struct nick_keys *keys)
{
	size_t len = accounts_line_name(line, n), nick_len = strlen(nick);

	if (len == 0)
		return FAR;
	if (len == nick_len && memcmp(line, nick, len) == 0)
		return IDENTICAL;
	if (nick_equal(line, len, nick, nick_len))
		return SAME;
	struct nick_keys its = nick_keys(line, len);
	return nick_keys_meet(&its, keys) ? SIMILAR : FAR;
}

/* The nearest one's accounts_nearness, and name. */
static enum nearness accounts_find_nearest(const char *text, const char *nick, const struct nick_keys *keys,
					   char ret_name[TEXT_NICK_MAX + 1])
{
	enum nearness best = FAR;

	for (const char *line = text; *line && best < IDENTICAL;) {
		size_t n = strcspn(line, "\n");
		enum nearness it = accounts_nearness(line, n, nick, keys);
		if (it > best) {
			best = it;
			snprintf(ret_name, TEXT_NICK_MAX + 1, "%.*s", (int)accounts_line_name(line, n), line);
		}
		line += n + (line[n] == '\n');
	}
	return best;
}

static int accounts_write_changed(FILE *f, const char *text, const char *nick, const char *secret, bool new,
				  char ret_alike[TEXT_NICK_MAX + 1])
{
	struct nick_keys keys = nick_keys(nick, strlen(nick));
	enum nearness best = accounts_find_nearest(text, nick, &keys, ret_alike);
	bool found = false;

	if (best == SIMILAR)
		return -ENOTUNIQ;
	if (new &&best != FAR)
		return -EEXIST;
	while (*text) {
		size_t n = strcspn(text, "\n");
		bool mine = best != FAR && accounts_nearness(text, n, nick, &keys) == best;
		if (!mine)
			fprintf(f, "%.*s\n", (int)n, text);
		else if (secret && !found)
			fprintf(f, "%s:%s\n", nick, secret);
		found |= mine;
		text += n + (text[n] == '\n');
	}
	if (!found && secret)
		fprintf(f, "%s:%s\n", nick, secret);
	return found || secret ? 0 : -ENOENT;
}

struct accounts_edit {
	const char *nick, *secret;
	bool new;
	char *alike;
};

static int accounts_write_edited(FILE *f, const char *text, void *arg)
{
	const struct accounts_edit *e = arg;

	return accounts_write_changed(f, text, e->nick, e->secret, e->new, e->alike);
}

int accounts_change(const char *path, const char *nick, const char *secret, int group,
		    char ret_alike[TEXT_NICK_MAX + 1])
{
	struct accounts_edit e = {nick, secret, false, ret_alike};

	return rewrite_file(path, &(struct rewrite){accounts_write_edited, &e, secret, group});
}

int accounts_add(const char *path, const char *nick, const char *secret, int group,
		 char ret_alike[TEXT_NICK_MAX + 1])
{
	struct accounts_edit e = {nick, secret, true, ret_alike};

	return rewrite_file(path, &(struct rewrite){accounts_write_edited, &e, true, group});
}
