/* SPDX-License-Identifier: MIT */
/* What a password file says of a password: argon2id's hash, which a login with the password itself is checked by, and a verifier
 * of SCRAM's, for programs that prove it. */
#include "common/accounts.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_pwhash_STRBYTES <= ACCOUNTS_HASH_MAX, "a hash fits");
_Static_assert(crypto_pwhash_STRBYTES + SCRAM_VERIFIER_TEXT <= ACCOUNTS_SECRET_MAX,
	       "and a verifier behind it");

bool accounts_secret_make(const char *password, size_t len, bool scram, char ret[static ACCOUNTS_SECRET_MAX])
{
	struct scram_verifier v;

	if (sodium_init() < 0 || crypto_pwhash_str(ret, password, len, crypto_pwhash_OPSLIMIT_INTERACTIVE,
						   crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		return false;
	if (!scram)
		return true;
	if (!scram_verifier_make(password, len, &v))
		return false;
	size_t o = strlen(ret);
	ret[o++] = ':';
	scram_verifier_format(&v, ret + o);
	return true;
}
