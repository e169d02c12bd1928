/* SPDX-License-Identifier: MIT */
/* SipHash-2-4 of libsodium, and FNV-1a where there is no key. */
#include "common/hash.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(struct hash_key) == crypto_shorthash_KEYBYTES, "SipHash-2-4 has keys of 128 bits");
_Static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "and returns 64");

struct hash_key hash_key_new(void)
{
	struct hash_key key;

	randombytes_buf(key.bytes, sizeof(key.bytes));
	return key;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t len)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t h;

	crypto_shorthash(out, data, len, key->bytes);
	memcpy(&h, out, sizeof(h));
	return h;
}

/* FNV-1a. The state has names of counters in this form. */
uint64_t hash_fixed(const char *s, size_t len)
{
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * 1099511628211ULL;
	return h;
}
