/* SPDX-License-Identifier: MIT */
/*
 * Token files: who may read and speak by HTTP. A line is "NAME:HASH:RIGHTS", where HASH is the SHA-256 of the token in
 * base64url, and RIGHTS are words like "ops=read,speak" with a room's name, or * for all of them; empty lines and
 * lines that begin with # are comments. chatd reads them, `chatctl token` writes them. A token is shown once, when it is
 * made: "chatd_" and 256 random bits.
 */
#ifndef COMMON_TOKENS_H
#define COMMON_TOKENS_H

#include "common/nick.h"

#include <stdio.h>

#define TOKEN_HASH_BYTES 32
/* With their NULs. */
#define TOKEN_TEXT_SIZE 50
#define TOKEN_HASH_SIZE 44
#define TOKENS_MAX 4096 /* in one file */

enum token_rights { TOKEN_READ = 1, TOKEN_SPEAK = 2 };

struct token_right {
	char room[TEXT_ROOM_MAX + 1]; /* "*": all */
	unsigned rights;
};

struct token {
	char name[TEXT_NICK_MAX + 1]; /* a valid nick, under which it speaks */
	unsigned char hash[TOKEN_HASH_BYTES];
	struct token_right *rights;
	size_t n_rights;
	unsigned line;
};

struct tokens {
	struct token *at;
	size_t n;
};

/* Reads a file. Errors are written to errors as "FILE:LINE: what". Returns 0, -EINVAL after errors in lines, or
 * -errno (told in errors, too). */
int tokens_load(const char *path, FILE *errors, struct tokens *ret);
/* The same from text, which it changes, for a name in errors. */
int tokens_parse(char *text, const char *name, FILE *errors, struct tokens *ret);
void tokens_free(struct tokens *t);

/* The token that somebody shows (not NUL-terminated), or NULL. How long that takes tells nothing about the others. Any
 * thread. */
const struct token *tokens_find(const struct tokens *t, const char *text, size_t len);
/* Whether it has all of these rights in the room. "*": in all of them. */
bool token_may(const struct token *t, const char *room, unsigned rights);

/* A new one, and what a file has of it. */
void token_make(char ret_text[static TOKEN_TEXT_SIZE], char ret_hash[static TOKEN_HASH_SIZE]);

/*
 * Adds a line for the name, or removes it (line is NULL), as rewrite_file() does. Returns 0 or -errno, also: -EEXIST,
 * ret_alike is there: the same name, or one that looks like it; -ENOENT: it is not there.
 */
int tokens_change(const char *path, const char *name, const char *line, int group,
		  char ret_alike[static TEXT_NICK_MAX + 1]);

#endif
