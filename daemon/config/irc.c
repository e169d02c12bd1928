/* SPDX-License-Identifier: MIT */
/* Look-ups in what is configured of IRC, and its end. */
#include "daemon/config/irc.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* IRC wants a name with a dot, by which a server is told from a nick. */
void irc_config_default_name(char ret[static IRC_SERVER_NAME_MAX + 1])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	char host[IRC_SERVER_NAME_MAX + 1];

	memcpy(ret, "chatd.local", sizeof("chatd.local"));
	if (gethostname(host, sizeof(host)) == 0 && memchr(host, '\0', sizeof(host)) && strchr(host, '.') &&
	    strchr(letters, host[0]) && host[strspn(host, letters)] &&
	    host[strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0')
		memcpy(ret, host, strlen(host) + 1);
}

void irc_config_release(struct irc_config *c)
{
	if (c->operators)
		explicit_bzero(c->operators, c->n_operators * sizeof(*c->operators));
	explicit_bzero(c->cloak_key, sizeof(c->cloak_key));
	free(c->operators);
	free(c->motd_file);
	free(c->motd);
	free(c->cloak_key_file);
}

const struct irc_operator *irc_config_operator(const struct irc_config *c, const char *name, size_t len,
					       bool is_account)
{
	for (size_t i = 0; i < c->n_operators; i++) {
		const struct irc_operator *o = &c->operators[i];
		if (o->is_account == is_account && nick_equal(o->name, strlen(o->name), name, len))
			return o;
	}
	return NULL;
}

bool irc_password_is_hash(const struct irc_password *p)
{
	return strncmp(p->text, "$argon2id$", 10) == 0;
}

bool irc_password_is(const struct irc_password *p, const char *given, size_t len)
{
	uint8_t a[crypto_generichash_BYTES], b[crypto_generichash_BYTES];

	crypto_generichash(a, sizeof(a), (const unsigned char *)p->text, strlen(p->text), NULL, 0);
	crypto_generichash(b, sizeof(b), (const unsigned char *)given, len, NULL, 0);
	return p->text[0] && sodium_memcmp(a, b, sizeof(a)) == 0;
}
