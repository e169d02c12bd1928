/* SPDX-License-Identifier: MIT */
/*
 * What a search is for, and whether a text has it. Words are what SQLite's tokenizer "unicode61" makes of a text: runs of
 * letters and digits, without regard to case and accents. The same tokenizer makes the index (store_search.c), so it
 * doesn't matter whether a message is found by the index or by reading it.
 */
#include "daemon/history/store_own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* While a query is taken apart. */
struct store_parsing {
	struct store_words *words;
	bool phrase_begins, too_many;
};

/* The tokenizer is SQLite's own, found by the way that it documents. */
static int store_tokenizer(struct store *s)
{
	fts5_api *api = NULL;
	sqlite3_stmt *st;
	void *data;

	if (s->tokenizer)
		return 0;
	if (sqlite3_prepare_v2(s->db, "SELECT fts5(?1)", -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "search");
	sqlite3_bind_pointer(st, 1, &api, "fts5_api_ptr", NULL);
	sqlite3_step(st);
	sqlite3_finalize(st);
	if (!api || api->xFindTokenizer(api, "unicode61", &data, &s->tokenize) != SQLITE_OK)
		return -EOPNOTSUPP;
	return s->tokenize.xCreate(data, NULL, 0, &s->tokenizer) == SQLITE_OK ? 0 : -ENOMEM;
}

void store_tokenizer_free(struct store *s)
{
	if (s->tokenizer)
		s->tokenize.xDelete(s->tokenizer);
	s->tokenizer = NULL;
}

static int store_add_word(void *arg, int flags, const char *token, int len, int begin, int end)
{
	struct store_parsing *p = arg;
	struct store_words *w = p->words;
	struct store_word *word = &w->word[w->n];

	(void)flags;
	(void)begin;
	(void)end;
	if (w->n == STORE_WORDS_MAX || len > (int)sizeof(word->text)) {
		p->too_many = true;
		return SQLITE_OK;
	}
	memcpy(word->text, token, (size_t)len);
	word->len = (uint8_t)len;
	word->prefix = false;
	if (p->phrase_begins)
		w->begins |= UINT64_C(1) << w->n;
	p->phrase_begins = false;
	w->n++;
	return SQLITE_OK;
}

/* What stands between two quotes, or between two spaces, is found as words beside each other. */
int store_parse_words(struct store *s, const char *text, struct store_words *ret)
{
	struct store_parsing p = {.words = ret};
	int r = store_tokenizer(s);

	if (r < 0)
		return r;
	*ret = (struct store_words){0};
	while (*text) {
		bool quoted = *text == '"';
		const char *begin = text + quoted;
		size_t len = strcspn(begin, quoted ? "\"" : " \t\""), before = ret->n;

		p.phrase_begins = true;
		s->tokenize.xTokenize(s->tokenizer, &p, FTS5_TOKENIZE_QUERY, begin, (int)len, store_add_word);
		if (ret->n > before) {
			ret->ends |= UINT64_C(1) << (ret->n - 1);
			ret->word[ret->n - 1].prefix = begin[len - 1] == '*';
		}
		text = begin + len;
		if (*text && (quoted || *text != '"'))
			text++;
	}
	if (ret->n > 0 && !p.too_many)
		return 0;
	snprintf(s->why, sizeof(s->why),
		 p.too_many ? "too many words, or too long ones" : "no word to search for");
	return -EINVAL;
}

/* While a text is looked through: which words could be the one that comes next, and which phrases were found. */
struct store_looking {
	const struct store_words *words;
	uint64_t state, found;
};

static int store_look(void *arg, int flags, const char *token, int len, int begin, int end)
{
	struct store_looking *l = arg;
	const struct store_words *w = l->words;
	uint64_t same = 0;

	(void)flags;
	(void)begin;
	(void)end;
	for (size_t i = 0; i < w->n; i++)
		if ((w->word[i].prefix ? len >= w->word[i].len : len == w->word[i].len) &&
		    memcmp(token, w->word[i].text, w->word[i].len) == 0)
			same |= UINT64_C(1) << i;
	/* All phrases at once (Baeza-Yates and Gonnet's shift-and). */
	l->state = ((l->state << 1 & ~w->begins) | w->begins) & same;
	l->found |= l->state & w->ends;
	return SQLITE_OK;
}

bool store_has_words(struct store *s, const struct store_words *w, const char *text, size_t len)
{
	struct store_looking l = {.words = w};

	s->tokenize.xTokenize(s->tokenizer, &l, FTS5_TOKENIZE_DOCUMENT, text, (int)len, store_look);
	return l.found == w->ends;
}
