/* SPDX-License-Identifier: MIT */
/* Hashes: what is keyed differs from process to process, what is stored never does. */
#include "tests/unit/unit.h"

#include "common/hash.h"

#include <string.h>

/* The first of the vectors in SipHash's paper, appendix A. */
static void keyed_is_siphash(void **state)
{
	struct hash_key key;
	unsigned char in[15];

	(void)state;
	for (unsigned char i = 0; i < sizeof(key.bytes); i++)
		key.bytes[i] = i;
	for (unsigned char i = 0; i < sizeof(in); i++)
		in[i] = i;
	assert_true(hash_bytes(&key, in, sizeof(in)) == 0xa129ca6149be45e5ULL);
}

static void keys_are_made_at_random(void **state)
{
	struct hash_key a = hash_key_new(), b = hash_key_new();

	(void)state;
	assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
	assert_true(hash_bytes(&a, "lobby", 5) == hash_bytes(&a, "lobby", 5));
	assert_true(hash_bytes(&a, "lobby", 5) != hash_bytes(&b, "lobby", 5));
	assert_true(hash_bytes(&a, "lobby", 5) != hash_bytes(&a, "lobbz", 5));
}

/* The vectors of FNV-1a (Noll); the state of every release depends on them. */
static void fixed_is_fnv(void **state)
{
	(void)state;
	assert_true(hash_fixed("", 0) == 0xcbf29ce484222325ULL);
	assert_true(hash_fixed("a", 1) == 0xaf63dc4c8601ec8cULL);
	assert_true(hash_fixed("foobar", 6) == 0x85944171f73967e8ULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keyed_is_siphash),
	    cmocka_unit_test(keys_are_made_at_random),
	    cmocka_unit_test(fixed_is_fnv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
