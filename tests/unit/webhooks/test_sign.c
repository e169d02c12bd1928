/* SPDX-License-Identifier: MIT */
/* Signatures: those that Standard Webhooks has as its example, and one of openssl(1). */
#include "tests/unit/unit.h"

#include "daemon/webhooks/sign.h"

#include <string.h>

static void as_the_standard_has_it(void **state)
{
	const char *body = "{\"test\": 2432232314}";
	char signature[SIGN_SIZE];

	(void)state;
	sign_delivery("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
		      body, strlen(body), signature);
	assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void a_secret_may_be_any_text(void **state)
{
	char signature[SIGN_SIZE], other[SIGN_SIZE];

	(void)state;
	/* printf '1-2.3.{}' | openssl dgst -sha256 -hmac 'a secret of any kind' -binary | base64 */
	sign_delivery("a secret of any kind", "1-2", 3, "{}", 2, signature);
	assert_string_equal(signature, "v1,ELaP3TiRwylrrsYiICgGTmjOb+YSBJ2nnWov0Ojk66E=");
	/* What isn't base64 behind the prefix is a text as well. */
	sign_delivery("whsec_not base64!", "1-2", 3, "{}", 2, other);
	assert_string_not_equal(signature, other);
	sign_delivery("a secret of any kind", "1-2", 4, "{}", 2, other);
	assert_string_not_equal(signature, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_the_standard_has_it),
	    cmocka_unit_test(a_secret_may_be_any_text),
	};

	return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}
