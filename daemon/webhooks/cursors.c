/* SPDX-License-Identifier: MIT */
/* The file of cursors: what is not as it is written is not believed. */
#include "daemon/webhooks/cursors.h"

#include "common/accounts.h"
#include "common/cleanup.h"
#include "daemon/io/replace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CURSORS_HEAD "chatd webhooks 1"

static bool cursor_parse_name(const char *word, char *ret, size_t size)
{
	size_t n = word ? strlen(word) : 0;

	if (n == 0 || n >= size || !text_room_valid(word, n))
		return false;
	memcpy(ret, word, n + 1);
	return true;
}

static bool cursor_parse_number(const char *word, int base, uint64_t *ret)
{
	char *end;

	/* No sign, no blanks, no 0x. */
	if (!word || !word[0] || word[strspn(word, base == 16 ? "0123456789abcdef" : "0123456789")])
		return false;
	errno = 0;
	*ret = strtoull(word, &end, base);
	return errno == 0 && !*end;
}

static bool cursor_parse_line(char *line, struct cursor *c)
{
	char *words[6];

	for (size_t i = 0; i < 6; i++)
		words[i] = strsep(&line, " ");
	if (line || !cursor_parse_name(words[0], c->name, sizeof(c->name)) ||
	    !cursor_parse_name(words[1], c->room, sizeof(c->room)) ||
	    !cursor_parse_number(words[2], 16, &c->epoch) || !cursor_parse_number(words[3], 10, &c->next) ||
	    !cursor_parse_number(words[4], 10, &c->time_us) || !words[5])
		return false;
	c->left = CURSOR_LEFT_UNKNOWN;
	return strcmp(words[5], "-") == 0 || cursor_parse_number(words[5], 10, &c->left);
}

int cursors_parse(char *text, struct cursors *ret)
{
	const char *head = strsep(&text, "\n");

	ret->n = 0;
	if (!text || strcmp(head, CURSORS_HEAD) != 0)
		return -EBADMSG;
	for (char *line; (line = strsep(&text, "\n"));) {
		if (!*line && !text)
			return 0;
		if (ret->n == WEBHOOKS_MAX || !cursor_parse_line(line, &ret->at[ret->n])) {
			ret->n = 0;
			return -EBADMSG;
		}
		ret->n++;
	}
	ret->n = 0;
	return -EBADMSG; /* the last line is not whole */
}

char *cursors_format(const struct cursors *c, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	fputs(CURSORS_HEAD "\n", f);
	for (size_t i = 0; i < c->n; i++) {
		const struct cursor *x = &c->at[i];
		fprintf(f, "%s %s %" PRIx64 " %" PRIu64 " %" PRIu64 " ", x->name, x->room, x->epoch, x->next,
			x->time_us);
		if (x->left == CURSOR_LEFT_UNKNOWN)
			fputs("-\n", f);
		else
			fprintf(f, "%" PRIu64 "\n", x->left);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int cursors_load(const char *path, struct cursors *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = accounts_read_text(path, &text);

	ret->n = 0;
	return r < 0 ? r : cursors_parse(text, ret);
}

int cursors_save(const char *path, const struct cursors *c)
{
	size_t len;
	_cleanup_free_ char *text = cursors_format(c, &len);

	return text ? replace_file(path, text, len) : -ENOMEM;
}
