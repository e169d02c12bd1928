/* SPDX-License-Identifier: MIT */
/* Token files as chatd reads them, and tokens as they are made and found. */
#include "common/tokens.h"

#include "common/accounts.h"
#include "common/cleanup.h"

#include <sodium.h>
#include <string.h>

#define TOKEN_PREFIX "chatd_"
#define TOKEN_RANDOM_BYTES 32
#define TOKEN_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(sizeof(TOKEN_PREFIX) - 1 + sodium_base64_ENCODED_LEN(TOKEN_RANDOM_BYTES, TOKEN_VARIANT) ==
		   TOKEN_TEXT_SIZE,
	       "a token fits");
_Static_assert(sodium_base64_ENCODED_LEN(TOKEN_HASH_BYTES, TOKEN_VARIANT) == TOKEN_HASH_SIZE, "a hash fits");
_Static_assert(crypto_hash_sha256_BYTES == TOKEN_HASH_BYTES, "a hash is SHA-256");

/* --- one line --- */

static bool token_parse_rights(const char *s, unsigned *ret)
{
	*ret = 0;
	for (;;) {
		size_t n = strcspn(s, ",");
		if (n == 4 && memcmp(s, "read", n) == 0)
			*ret |= TOKEN_READ;
		else if (n == 5 && memcmp(s, "speak", n) == 0)
			*ret |= TOKEN_SPEAK;
		else
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

/* The words behind the second colon. Returns what is wrong with them, or NULL. */
static const char *token_parse_rooms(char *s, struct token *t)
{
	size_t capacity = 1;

	for (const char *p = s; *p; p++)
		capacity += *p == ' ';
	t->rights = calloc(capacity, sizeof(*t->rights));
	if (!t->rights)
		return "out of memory";
	for (char *word; (word = strsep(&s, " "));) {
		struct token_right *r = &t->rights[t->n_rights];
		char *equals = strchr(word, '=');
		if (!*word)
			continue;
		if (!equals)
			return "a right is ROOM=read,speak";
		*equals = '\0';
		if (strcmp(word, "*") != 0 && !text_room_valid(word, strlen(word)))
			return "this is not a valid room name";
		if (!token_parse_rights(equals + 1, &r->rights))
			return "rights are read, speak or read,speak";
		snprintf(r->room, sizeof(r->room), "%s", word);
		t->n_rights++;
	}
	return t->n_rights > 0 ? NULL : "a token without rights is of no use";
}

static const char *token_parse_line(char *line, struct token *t)
{
	char *hash = strchr(line, ':'), *rooms = hash ? strchr(hash + 1, ':') : NULL;
	size_t len = 0;

	if (!rooms)
		return "a line is NAME:HASH:RIGHTS, as `chatctl token add` writes it";
	*hash++ = *rooms++ = '\0';
	if (nick_normalise(line, strlen(line), t->name) < 0)
		return "this is not a valid name";
	if (nick_is_chatds(t->name, strlen(t->name)))
		return "this is, or looks like, one of chatd's own names";
	if (sodium_base642bin(t->hash, sizeof(t->hash), hash, strlen(hash), NULL, &len, NULL,
			      TOKEN_VARIANT) != 0 ||
	    len != sizeof(t->hash))
		return "this isn't a token's hash, as `chatctl token add` writes it";
	return token_parse_rooms(rooms, t);
}

/* --- the file --- */

static const struct token *tokens_find_name(const struct tokens *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (nick_equal(t->at[i].name, strlen(t->at[i].name), name, strlen(name)))
			return &t->at[i];
	return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *tokens_add(struct tokens *t, char *line, unsigned number, size_t *capacity)
{
	if (t->n == TOKENS_MAX)
		return "these are too many tokens for one file";
	if (t->n == *capacity) {
		struct token *at = reallocarray(t->at, *capacity * 2 + 16, sizeof(*at));
		if (!at)
			return "out of memory";
		t->at = at;
		*capacity = *capacity * 2 + 16;
	}
	struct token *x = &t->at[t->n];
	*x = (struct token){.line = number};
	const char *why = token_parse_line(line, x);
	if (!why && tokens_find_name(t, x->name))
		why = "a token of that name was there before";
	if (why)
		free(x->rights);
	else
		t->n++;
	return why;
}

int tokens_parse(char *text, const char *name, FILE *errors, struct tokens *ret)
{
	struct tokens t = {0};
	size_t capacity = 0;
	int r = 0;

	for (unsigned number = 1; *text; number++) {
		char *end = text + strcspn(text, "\n"), *next = *end ? end + 1 : end;
		*end = '\0';
		if (end > text && end[-1] == '\r')
			end[-1] = '\0';
		const char *why = *text && *text != '#' ? tokens_add(&t, text, number, &capacity) : NULL;
		if (why) {
			fprintf(errors, "%s:%u: %s\n", name, number, why);
			r = -EINVAL;
		}
		text = next;
	}
	if (r < 0)
		tokens_free(&t);
	*ret = t;
	return r;
}

int tokens_load(const char *path, FILE *errors, struct tokens *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = accounts_read_text(path, &text);

	*ret = (struct tokens){0};
	if (r < 0 || !text) {
		fprintf(errors, "%s: can't be read: %s\n", path, strerror(-r));
		return r;
	}
	return tokens_parse(text, path, errors, ret);
}

void tokens_free(struct tokens *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->at[i].rights);
	free(t->at);
	*t = (struct tokens){0};
}

/* --- tokens --- */

const struct token *tokens_find(const struct tokens *t, const char *text, size_t len)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	const struct token *found = NULL;

	if (len != TOKEN_TEXT_SIZE - 1)
		return NULL;
	crypto_hash_sha256(hash, (const unsigned char *)text, len);
	for (size_t i = 0; i < t->n; i++)
		if (sodium_memcmp(t->at[i].hash, hash, sizeof(hash)) == 0)
			found = &t->at[i];
	return found;
}

bool token_may(const struct token *t, const char *room, unsigned rights)
{
	unsigned has = 0;

	for (size_t i = 0; i < t->n_rights; i++)
		if (strcmp(t->rights[i].room, "*") == 0 || strcmp(t->rights[i].room, room) == 0)
			has |= t->rights[i].rights;
	return (has & rights) == rights;
}

void token_make(char ret_text[static TOKEN_TEXT_SIZE], char ret_hash[static TOKEN_HASH_SIZE])
{
	unsigned char random[TOKEN_RANDOM_BYTES], hash[crypto_hash_sha256_BYTES];
	size_t prefix = strlen(TOKEN_PREFIX);

	randombytes_buf(random, sizeof(random));
	memcpy(ret_text, TOKEN_PREFIX, prefix);
	sodium_bin2base64(ret_text + prefix, TOKEN_TEXT_SIZE - prefix, random, sizeof(random), TOKEN_VARIANT);
	crypto_hash_sha256(hash, (const unsigned char *)ret_text, TOKEN_TEXT_SIZE - 1);
	sodium_bin2base64(ret_hash, TOKEN_HASH_SIZE, hash, sizeof(hash), TOKEN_VARIANT);
	sodium_memzero(random, sizeof(random));
}
