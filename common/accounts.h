/* SPDX-License-Identifier: MIT */
/*
 * Password files: lines "NAME:HASH", where HASH is argon2id's as libsodium's crypto_pwhash_str() writes it;
 * empty lines and lines that begin with # are comments. chatd reads them, `chatctl passwd` writes them.
 */
#ifndef COMMON_ACCOUNTS_H
#define COMMON_ACCOUNTS_H

#include "common/nick.h"

#include <stdio.h>

#define ACCOUNTS_HASH_MAX 128
#define ACCOUNTS_PASSWORD_MAX 1024

struct account {
	char nick[TEXT_NICK_MAX + 1];
	char hash[ACCOUNTS_HASH_MAX];
	unsigned line;
};

struct account_key {
	uint64_t key;
	size_t number;
};

struct accounts {
	struct account *at;
	size_t n;
	struct account_key *keys; /* NICK_KEYS of each, sorted */
};

/*
 * Reads a file. Errors are written to errors as "FILE:LINE: what". Returns 0, -EINVAL after errors in lines,
 * or -errno (told in errors, too). With 0 they tell of accounts that are left out, since an older chatd took
 * names that are not valid now, or look like another one.
 */
int accounts_load(const char *path, FILE *errors, struct accounts *ret);
/* The same from text, for a name in errors. */
int accounts_parse(char *text, const char *name, FILE *errors, struct accounts *ret);
void accounts_free(struct accounts *a);

/* NULL if there is none of that name (not NUL-terminated), or none that looks like it. */
const struct account *accounts_find(const struct accounts *a, const char *nick, size_t len);

/*
 * Writes the file anew, whole or not at all, with that account's hash changed, added, or removed (NULL). What
 * the file says besides is kept, also what another process changes at the same time. A new file has mode 0640
 * and belongs to the group (or -1). Returns 0, -ENOENT if the account to be removed is not there, -EEXIST if
 * there is one that only looks like it, or -errno.
 */
int accounts_change(const char *path, const char *nick, const char *hash, int group);

#endif
