/* SPDX-License-Identifier: MIT */
/* SCRAM-SHA-256 by the example of RFC 7677, and whatever else is no proof. */
#include "tests/unit/unit.h"

#include "common/scram.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* RFC 7677, 3. */
#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define CHALLENGE "r=rOprNGfwEbeRWgbNEkqO" NONCE ",s=" SALT ",i=4096"
#define FINAL "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define GOOD "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct scram_verifier verifier_of(const char *password)
{
	struct scram_verifier v;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t n;

	assert_int_equal(sodium_base642bin(salt, sizeof(salt), SALT, strlen(SALT), NULL, &n, NULL,
					   sodium_base64_VARIANT_ORIGINAL),
			 0);
	assert_true(scram_verifier_derive(password, strlen(password), salt, n, 4096, &v));
	return v;
}

static int verify(const struct scram_verifier *v, const char *first, const char *final,
		  char ret[SCRAM_MESSAGE_MAX + 1])
{
	return scram_verify(first, strlen(first), NONCE, v, final, strlen(final), ret);
}

static void the_example(void **state)
{
	const struct scram_verifier v = verifier_of("pencil"), other = verifier_of("Pencil");
	char text[SCRAM_MESSAGE_MAX + 1];
	struct scram_names names;

	(void)state;
	assert_int_equal(scram_names(FIRST, strlen(FIRST), &names), 0);
	assert_string_equal(names.name, "user");
	assert_string_equal(names.as, "");
	assert_int_equal(scram_challenge(FIRST, strlen(FIRST), NONCE, &v, text), 0);
	assert_string_equal(text, CHALLENGE);
	assert_int_equal(verify(&v, FIRST, FINAL, text), 0);
	assert_string_equal(text, GOOD);
	assert_int_equal(verify(&other, FIRST, FINAL, text), -EACCES);
}

static void what_is_no_proof(void **state)
{
	static const char *const finals[] = {
	    "",
	    "c=biws",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE,
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=AAAA",
	    /* "y,," is not how it began */
	    "c=eSws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    /* another nonce of ours, and none */
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE "1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    /* nothing may follow */
	    FINAL ",x=1",
	};
	const struct scram_verifier v = verifier_of("pencil");
	char text[SCRAM_MESSAGE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(finals) / sizeof(*finals); i++)
		assert_int_equal(verify(&v, FIRST, finals[i], text), -EBADMSG);
	/* A NUL ends nothing. */
	assert_int_equal(scram_verify(FIRST, strlen(FIRST), NONCE, &v, FINAL, strlen(FINAL) + 1, text),
			 -EBADMSG);
	/* What the client says beyond the proof is proved, too. */
	assert_int_equal(verify(&v, FIRST,
				"c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE
				",x=1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
				text),
			 -EACCES);
	assert_int_equal(verify(&v, "n,,n=root,r=rOprNGfwEbeRWgbNEkqO", FINAL, text), -EACCES);
}

static void first_messages(void **state)
{
	static const char *const wrong[] = {"",
					    "n",
					    "n,",
					    "n,,",
					    "n,,n=user",
					    "n,,n=,r=x",
					    "x,,n=a,r=b",
					    "p=tls-unique,,n=a,r=b",
					    "n,a=,n=a,r=b",
					    "n,a=x",
					    "n,,m=1,n=a,r=b",
					    "n,,n=a=41,r=b",
					    "n,,n=a=,r=b",
					    "n,,n=a,r=",
					    "n,,n=a,r=b\x7f",
					    "n,,n=\xff,r=b"};
	struct scram_names names;
	char long_one[SCRAM_MESSAGE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (scram_names(wrong[i], strlen(wrong[i]), &names) != -EBADMSG)
			fail_msg("\"%s\" was taken", wrong[i]);
	const char *odd = "y,a=b=3Db,n=a=2Ca,r=b,x=1";
	assert_int_equal(scram_names(odd, strlen(odd), &names), 0);
	assert_string_equal(names.name, "a,a");
	assert_string_equal(names.as, "b=b");
	int n = snprintf(long_one, sizeof(long_one), "n,,n=%0*d,r=b", SCRAM_NAME_MAX, 1);
	assert_int_equal(scram_names(long_one, (size_t)n, &names), 0);
	n = snprintf(long_one, sizeof(long_one), "n,,n=%0*d,r=b", SCRAM_NAME_MAX + 1, 1);
	assert_int_equal(scram_names(long_one, (size_t)n, &names), -EBADMSG);
}

static void verifiers(void **state)
{
	const struct scram_verifier v = verifier_of("pencil");
	struct scram_verifier again, made;
	char text[SCRAM_VERIFIER_TEXT];
	static const char *const wrong[] = {
	    "",
	    "SCRAM-SHA-256$",
	    "SCRAM-SHA-1$4096:" SALT "$",
	    "SCRAM-SHA-256$4095:W22Z$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	    "SCRAM-SHA-256$-4096:W22Z$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	    "SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	    "SCRAM-SHA-256$4096:W22Z$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4q==:"
	    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	    "SCRAM-SHA-256$4096:W22Z$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:",
	    "SCRAM-SHA-256$4096:W22Z$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
	};

	(void)state;
	/* As PostgreSQL stores that password with that salt. */
	scram_verifier_format(&v, text);
	assert_string_equal(text, "SCRAM-SHA-256$4096:" SALT "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
				  "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	assert_int_equal(scram_verifier_parse(text, &again), 0);
	assert_memory_equal(&v, &again, sizeof(v));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (scram_verifier_parse(wrong[i], &again) != -EINVAL)
			fail_msg("\"%s\" was taken", wrong[i]);
	/* Each has a salt of its own. */
	assert_true(scram_verifier_make("pencil", 6, &made));
	assert_true(scram_verifier_make("pencil", 6, &again));
	assert_int_equal(made.salt_len, SCRAM_SALT_SIZE);
	assert_memory_not_equal(made.salt, again.salt, SCRAM_SALT_SIZE);
	scram_verifier_format(&made, text);
	assert_int_equal(scram_verifier_parse(text, &again), 0);
	assert_memory_equal(&made, &again, sizeof(made));
}

/* RFC 4013: a non-breaking space is a space, a ligature its letters; what isn't allowed is used as it is. */
static void passwords_are_prepared(void **state)
{
	const struct scram_verifier space = verifier_of("a b"), wide = verifier_of("a\u00a0b"),
				    ix = verifier_of("IX"), roman = verifier_of("\u2168"),
				    bell = verifier_of("a\ab"), bytes = verifier_of("\xff"),
				    bytes2 = verifier_of("\xfe");

	(void)state;
	assert_memory_equal(space.stored_key, wide.stored_key, SCRAM_KEY_SIZE);
	assert_memory_equal(ix.stored_key, roman.stored_key, SCRAM_KEY_SIZE);
	assert_memory_not_equal(bell.stored_key, space.stored_key, SCRAM_KEY_SIZE);
	assert_memory_not_equal(bytes.stored_key, bytes2.stored_key, SCRAM_KEY_SIZE);
}

/* Who asks can't tell a name that has no verifier by what comes back. */
static void pretended(void **state)
{
	static const uint8_t key[SCRAM_KEY_SIZE] = {1}, other[SCRAM_KEY_SIZE] = {2};
	struct scram_verifier a, b;

	(void)state;
	scram_verifier_pretend(key, "ann", 3, &a);
	scram_verifier_pretend(key, "ann", 3, &b);
	assert_int_equal(a.iterations, SCRAM_ITERATIONS);
	assert_int_equal(a.salt_len, SCRAM_SALT_SIZE);
	assert_memory_equal(a.salt, b.salt, sizeof(a.salt));
	scram_verifier_pretend(key, "bob", 3, &b);
	assert_memory_not_equal(a.salt, b.salt, sizeof(a.salt));
	scram_verifier_pretend(other, "ann", 3, &b);
	assert_memory_not_equal(a.salt, b.salt, sizeof(a.salt));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_example),
	    cmocka_unit_test(what_is_no_proof),
	    cmocka_unit_test(first_messages),
	    cmocka_unit_test(verifiers),
	    cmocka_unit_test(passwords_are_prepared),
	    cmocka_unit_test(pretended),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}
