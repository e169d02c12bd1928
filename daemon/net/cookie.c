/* SPDX-License-Identifier: MIT */
/* Cookies, made of an address and a key that changes; how long one is good for is in the header. */
#include "daemon/net/cookie.h"

#include "common/cleanup.h"

#include <sodium.h>
#include <string.h>

/* 48 of the hash's 64 bits. */
#define COOKIE_BYTES 6

struct cookies {
	/* Of this period and of the one before. */
	unsigned char keys[2][crypto_shorthash_KEYBYTES];
	int64_t since; /* when the newer key came into use */
};

int cookies_new(struct cookies **ret)
{
	struct cookies *c = calloc(1, sizeof(*c));

	if (!c || sodium_init() < 0) {
		free(c);
		return -ENOMEM;
	}
	randombytes_buf(c->keys, sizeof(c->keys));
	*ret = c;
	return 0;
}

void cookies_free(struct cookies *c)
{
	free(c);
}

static void cookies_rotate(struct cookies *c, int64_t now)
{
	if (now - c->since < COOKIE_PERIOD_US)
		return;
	if (now - c->since < 2 * COOKIE_PERIOD_US)
		memcpy(c->keys[1], c->keys[0], sizeof(c->keys[1]));
	else
		randombytes_buf(c->keys[1], sizeof(c->keys[1]));
	randombytes_buf(c->keys[0], sizeof(c->keys[0]));
	c->since = now;
}

static void cookie_write(const unsigned char *key, const union address *a, char ret[static COOKIE_LEN])
{
	unsigned char in[18], out[crypto_shorthash_BYTES];
	char text[COOKIE_LEN + 1];
	uint16_t port = address_port(a);

	address_key(a, in);
	memcpy(in + 16, &port, sizeof(port));
	crypto_shorthash(out, in, sizeof(in), key);
	sodium_bin2base64(text, sizeof(text), out, COOKIE_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	memcpy(ret, text, COOKIE_LEN);
}

void cookies_make(struct cookies *c, const union address *a, int64_t now, char ret[static COOKIE_LEN])
{
	cookies_rotate(c, now);
	cookie_write(c->keys[0], a, ret);
}

bool cookies_check(struct cookies *c, const union address *a, int64_t now, const char *text, size_t len)
{
	char good[COOKIE_LEN];

	if (len != COOKIE_LEN)
		return false;
	cookies_rotate(c, now);
	for (unsigned i = 0; i < 2; i++) {
		cookie_write(c->keys[i], a, good);
		if (sodium_memcmp(good, text, COOKIE_LEN) == 0)
			return true;
	}
	return false;
}
