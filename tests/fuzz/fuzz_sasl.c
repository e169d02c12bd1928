/* SPDX-License-Identifier: MIT */
/* What comes in AUTHENTICATE: whatever chunks say, a message is no longer than it may be, and no proof is one. */
#include "tests/fuzz/fuzz.h"

#include "daemon/irc/sasl.h"

#include <string.h>

/* The input is lines, each the parameter of an AUTHENTICATE. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scram_verifier v;
	struct irc_sasl s = {.mechanism = IRC_SASL_SCRAM};
	char message[IRC_SASL_MESSAGE_MAX], answer[SCRAM_MESSAGE_MAX + 1];
	const char *at = (const char *)data, *end = at + size;

	if (v.iterations == 0)
		scram_verifier_pretend((const uint8_t[SCRAM_KEY_SIZE]){1}, "ann", 3, &v);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((stop ? stop : end) - at);
		int r = irc_sasl_add(&s, at, n);
		REQUIRE(s.len <= IRC_SASL_DATA_MAX && irc_sasl_is_good(&s, irc_sasl_size(&s)));
		at += n + 1;
		if (r != 0)
			continue;
		r = irc_sasl_take(&s, message, &n);
		if (r < 0)
			continue;
		REQUIRE(n <= sizeof(message) && s.len == 0);
		struct irc_sasl_plain p;
		if (irc_sasl_plain(message, n, &p) == 0)
			REQUIRE(p.as_len + p.name_len + p.password_len + 2 == n && p.name_len > 0);
		struct scram_names names;
		if (s.step == IRC_SASL_FIRST && scram_names(message, n, &names) == 0) {
			REQUIRE(names.name[0] && n <= sizeof(s.first));
			memcpy(s.first, message, n);
			s.first_len = (uint16_t)n;
			REQUIRE(scram_challenge(s.first, n, "nonce", &v, answer) == 0);
			REQUIRE(strlen(answer) <= IRC_SASL_CHUNK / 4 * 3);
			s.step = IRC_SASL_FINAL;
		} else if (s.step == IRC_SASL_FINAL) {
			REQUIRE(scram_verify(s.first, s.first_len, "nonce", &v, message, n, answer) < 0);
		}
	}
	return 0;
}
