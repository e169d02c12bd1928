/* SPDX-License-Identifier: MIT */
/* HMAC-SHA256 by libsodium: see the header. */
#include "daemon/webhooks/sign.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define SIGN_VERSION "v1,"
#define SIGN_PREFIX "whsec_"
#define SIGN_KEY_MAX 1024

_Static_assert(sizeof(SIGN_VERSION) - 1 +
		       sodium_base64_ENCODED_LEN(crypto_auth_hmacsha256_BYTES,
						 sodium_base64_VARIANT_ORIGINAL) <=
		   SIGN_SIZE,
	       "a signature fits");

void sign_delivery(const char *secret, const char *id, int64_t timestamp_s, const char *body, size_t len,
		   char ret[static SIGN_SIZE])
{
	unsigned char decoded[SIGN_KEY_MAX], mac[crypto_auth_hmacsha256_BYTES];
	const unsigned char *key = (const unsigned char *)secret;
	size_t n = strlen(secret), prefix = strlen(SIGN_PREFIX);
	crypto_auth_hmacsha256_state s;
	char head[128];

	if (strncmp(secret, SIGN_PREFIX, prefix) == 0 &&
	    sodium_base642bin(decoded, sizeof(decoded), secret + prefix, n - prefix, NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) == 0)
		key = decoded;
	else
		n = strlen(secret);
	crypto_auth_hmacsha256_init(&s, key, n);
	int written = snprintf(head, sizeof(head), "%s.%" PRId64 ".", id, timestamp_s);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)head, (size_t)written);
	crypto_auth_hmacsha256_update(&s, (const unsigned char *)body, len);
	crypto_auth_hmacsha256_final(&s, mac);
	memcpy(ret, SIGN_VERSION, sizeof(SIGN_VERSION));
	sodium_bin2base64(ret + strlen(SIGN_VERSION), SIGN_SIZE - strlen(SIGN_VERSION), mac, sizeof(mac),
			  sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(decoded, sizeof(decoded));
	sodium_memzero(&s, sizeof(s));
}
