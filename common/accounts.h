/* SPDX-License-Identifier: MIT */
/*
 * Password files: lines "NAME:HASH" or "NAME:HASH:VERIFIER", where HASH is argon2id's as libsodium's crypto_pwhash_str()
 * writes it, and VERIFIER is SCRAM's (scram.h); empty lines and lines that begin with # are comments. chatd reads them,
 * `chatctl passwd` writes them. Files of older releases have no verifiers.
 */
#ifndef COMMON_ACCOUNTS_H
#define COMMON_ACCOUNTS_H

#include "common/nick.h"
#include "common/scram.h"

#include <stdio.h>

#define ACCOUNTS_HASH_MAX 128
#define ACCOUNTS_SECRET_MAX 384 /* HASH:VERIFIER, with its NUL */
#define ACCOUNTS_PASSWORD_MAX 1024

struct account {
	char nick[TEXT_NICK_MAX + 1];
	char hash[ACCOUNTS_HASH_MAX];
	struct scram_verifier scram; /* iterations 0: it has none */
	unsigned line;
	/* Nobody can log in as it, but nobody else gets its name either. That name can't be anybody's any
	 * more, or an account with a name like it came before. */
	bool left_out;
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
 * or -errno (told in errors, too). Which accounts are left out is written to warnings (or NULL).
 */
int accounts_load(const char *path, FILE *errors, FILE *warnings, struct accounts *ret);
/* The same from text, for a name in errors. */
int accounts_parse(char *text, const char *name, FILE *errors, FILE *warnings, struct accounts *ret);
void accounts_free(struct accounts *a);
/* The whole file, NUL-terminated, which the caller free()s. Returns 0 or -errno: -EINVAL if it is no
 * regular file, -EFBIG if it is far too large, -EBADMSG if it has a NUL. */
int accounts_read_text(const char *path, char **ret);

/* NULL if there is none of that name (not NUL-terminated), or none that looks like it. */
const struct account *accounts_find(const struct accounts *a, const char *nick, size_t len);
/* The one of the very name (nick_equal()), and one that only looks like it. */
const struct account *accounts_find_exactly(const struct accounts *a, const char *nick, size_t len);
const struct account *accounts_find_alike(const struct accounts *a, const char *nick, size_t len);
/* Leaves out each account that looks like one of another file, which came before, and has not the very same
 * name. */
void accounts_leave_out(struct accounts *a, const char *name, const struct accounts *before,
			const char *before_name, FILE *warnings);

/* HASH:VERIFIER (scram: false: HASH) of a password. It takes a fifth of a second. False without memory. */
bool accounts_secret_make(const char *password, size_t len, bool scram, char ret[static ACCOUNTS_SECRET_MAX]);

/*
 * Writes the file anew, whole or not at all, with that account's secret changed, added, or removed (NULL). What
 * the file says besides is kept, also what another process changes at the same time. A new file has mode 0640
 * and belongs to the group (or -1). The account is the one whose line says just that name, or else the one of
 * the very name (nick_equal()). Returns 0, or -errno: -ENOENT if the account to be removed is not there,
 * -ENOTUNIQ if there is only one that looks like it, ret_alike; -EWOULDBLOCK if somebody else has had the
 * directory locked all the time, -ENOLINK if path is a link to nothing.
 */
int accounts_change(const char *path, const char *nick, const char *secret, int group,
		    char ret_alike[TEXT_NICK_MAX + 1]);
/* The same of an account that is not there yet: -EEXIST, and nothing changes, if it is. */
int accounts_add(const char *path, const char *nick, const char *secret, int group,
		 char ret_alike[TEXT_NICK_MAX + 1]);

#endif
