/* SPDX-License-Identifier: MIT */
/* Cloaks are BLAKE2b under the key of the configuration, or of a file that chatd keeps. */
#include "daemon/irc/cloak.h"

#include "common/cleanup.h"
#include "daemon/base/events.h"
#include "daemon/base/logger.h"
#include "daemon/config/irc_settings.h"
#include "daemon/io/replace.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE "cloak-key"

/* --- the key --- */

/* Of chatd's own file. 0, or -errno: -EBADMSG if it has something else. */
static int cloak_read_key(const char *path, uint8_t ret[static IRC_CLOAK_KEY_SIZE])
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r = accounts_read_text(path, &text);

	if (r < 0)
		return r;
	if (sodium_hex2bin(ret, IRC_CLOAK_KEY_SIZE, text, strlen(text), "\n", &n, NULL) != 0 ||
	    n != IRC_CLOAK_KEY_SIZE)
		r = -EBADMSG;
	explicit_bzero(text, strlen(text));
	return r;
}

static int cloak_write_key(const char *path, const uint8_t key[static IRC_CLOAK_KEY_SIZE])
{
	char text[2 * IRC_CLOAK_KEY_SIZE + 2];

	sodium_bin2hex(text, sizeof(text), key, IRC_CLOAK_KEY_SIZE);
	memcpy(text + sizeof(text) - 2, "\n", 2);
	int r = replace_file(path, text, sizeof(text) - 1);
	explicit_bzero(text, sizeof(text));
	return r;
}

static void cloak_find_key(struct config *c)
{
	_cleanup_free_ char *path = config_state_path(c, KEY_FILE);
	int r = path ? cloak_read_key(path, c->irc.cloak_key) : -ENOMEM;

	if (r == 0)
		return;
	randombytes_buf(c->irc.cloak_key, sizeof(c->irc.cloak_key));
	/* What can't be read may be there, and be right tomorrow: it isn't replaced. */
	if (r == -ENOENT || r == -EBADMSG)
		r = cloak_write_key(path, c->irc.cloak_key);
	if (r < 0)
		log_warning("irc: the key of cloaks can't be kept in %s: %s; after a restart people have "
			    "other cloaks, and bans don't hold",
			    path ? path : KEY_FILE, strerror(-r));
}

void irc_cloak_complete(struct config *c, const struct config *before)
{
	bool needed = false;

	for (size_t i = 0; i < c->n_listeners; i++)
		needed |= c->listeners[i].handler->settings == &irc_mode_settings;
	if (!needed || c->irc.has_cloak_key)
		return;
	if (before && before->irc.has_cloak_key && !before->irc.cloak_key_file)
		memcpy(c->irc.cloak_key, before->irc.cloak_key, sizeof(c->irc.cloak_key));
	else
		cloak_find_key(c);
	c->irc.has_cloak_key = true;
}

/* --- cloaks --- */

/* Of the first bits of an address, which the hash is told, so that a network is no address of it. */
static uint32_t cloak_part(const struct config *c, const uint8_t address[static ADDRESS_KEY_LEN],
			   unsigned bits)
{
	uint8_t in[ADDRESS_KEY_LEN + 1] = {0}, out[crypto_generichash_BYTES_MIN];

	memcpy(in, address, bits / 8);
	in[ADDRESS_KEY_LEN] = (uint8_t)bits;
	crypto_generichash(out, sizeof(out), in, sizeof(in), c->irc.cloak_key, sizeof(c->irc.cloak_key));
	return (uint32_t)out[0] << 24 | (uint32_t)out[1] << 16 | (uint32_t)out[2] << 8 | out[3];
}

void irc_cloak_host(const struct config *c, const struct listener_config *l, const union address *a,
		    char ret[static IRC_CLOAK_MAX + 1])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct irc_listener_config *own = l ? l->own : NULL;
	uint8_t address[ADDRESS_KEY_LEN];
	char text[ADDRESS_TEXT_MAX];

	if (own && !own->cloak) {
		address_host(a, text);
		/* "::1" would be the end of a line's parameters. */
		snprintf(ret, IRC_CLOAK_MAX + 1, "%s%.63s", text[0] == ':' ? "0" : "", text);
		return;
	}
	address_key(a, address);
	bool ipv4 = memcmp(address, mapped, sizeof(mapped)) == 0;
	snprintf(ret, IRC_CLOAK_MAX + 1, "%08" PRIx32 ".%08" PRIx32 ".%08" PRIx32 ".ip",
		 cloak_part(c, address, 128), cloak_part(c, address, ipv4 ? 120 : 64),
		 cloak_part(c, address, ipv4 ? 112 : 48));
}
