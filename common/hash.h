/* SPDX-License-Identifier: MIT */
/*
 * The one hash of the tree. Where strangers choose what is hashed (names of rooms, nicks, addresses), it is
 * keyed: whoever makes a table makes a key at random with it, so that nobody can choose names that meet in
 * one bucket.
 */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
	unsigned char bytes[16];
};

/* A new key. What is hashed with it means nothing to another key, so it can't be stored. */
struct hash_key hash_key_new(void);
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t len);

/* Without a key: the same in every process and every release, so that it can be stored or shown. Only for
 * what nobody gains by letting it meet something else. */
uint64_t hash_fixed(const char *s, size_t len);

#endif
