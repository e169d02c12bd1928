/* SPDX-License-Identifier: MIT */
/* Messages of SASL: chunks become one, one becomes bytes, and PLAIN's become names and a password. */
#include "daemon/irc/sasl.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const sasl_names[IRC_SASL_MECHANISMS] = {
    [IRC_SASL_PLAIN] = "PLAIN",
    [IRC_SASL_EXTERNAL] = "EXTERNAL",
    [IRC_SASL_SCRAM] = SCRAM_MECHANISM,
};

enum irc_sasl_mechanism irc_sasl_find(const char *name, size_t len)
{
	for (enum irc_sasl_mechanism m = IRC_SASL_PLAIN; m < IRC_SASL_MECHANISMS; m++)
		if (strlen(sasl_names[m]) == len && strncasecmp(sasl_names[m], name, len) == 0)
			return m;
	return IRC_SASL_NONE;
}

const char *irc_sasl_list(bool external, char ret[static IRC_SASL_LIST_MAX])
{
	snprintf(ret, IRC_SASL_LIST_MAX, "%s,%s%s%s", sasl_names[IRC_SASL_PLAIN],
		 external ? sasl_names[IRC_SASL_EXTERNAL] : "", external ? "," : "",
		 sasl_names[IRC_SASL_SCRAM]);
	return ret;
}

size_t irc_sasl_size(const struct irc_sasl *s)
{
	return offsetof(struct irc_sasl, data) + s->len;
}

bool irc_sasl_is_good(const struct irc_sasl *s, size_t size)
{
	return size >= offsetof(struct irc_sasl, data) && s->mechanism > IRC_SASL_NONE &&
	       s->mechanism < IRC_SASL_MECHANISMS && s->step < IRC_SASL_STEPS &&
	       s->first_len <= sizeof(s->first) && s->len <= sizeof(s->data) && size == irc_sasl_size(s) &&
	       memchr(s->account, '\0', sizeof(s->account)) && memchr(s->nonce, '\0', sizeof(s->nonce));
}

int irc_sasl_add(struct irc_sasl *s, const char *chunk, size_t len)
{
	if (len > IRC_SASL_CHUNK)
		return -EMSGSIZE;
	if (len == 1 && chunk[0] == '+')
		return 0; /* behind a last chunk of 400 bytes, or all of an empty message */
	if (len > sizeof(s->data) - s->len)
		return -EFBIG;
	memcpy(s->data + s->len, chunk, len);
	s->len += (uint16_t)len;
	return len == IRC_SASL_CHUNK ? -EAGAIN : 0;
}

int irc_sasl_take(struct irc_sasl *s, char ret[static IRC_SASL_MESSAGE_MAX], size_t *ret_len)
{
	int r = sodium_base642bin((unsigned char *)ret, IRC_SASL_MESSAGE_MAX, s->data, s->len, NULL, ret_len,
				  NULL, sodium_base64_VARIANT_ORIGINAL) == 0
		    ? 0
		    : -EBADMSG;

	sodium_memzero(s->data, s->len);
	s->len = 0;
	return r;
}

int irc_sasl_plain(const char *message, size_t len, struct irc_sasl_plain *ret)
{
	const char *end = message + len, *name = memchr(message, '\0', len);
	const char *password = name ? memchr(name + 1, '\0', (size_t)(end - name - 1)) : NULL;

	if (!password)
		return -EBADMSG;
	*ret = (struct irc_sasl_plain){message,
				       name + 1,
				       password + 1,
				       (size_t)(name - message),
				       (size_t)(password - name - 1),
				       (size_t)(end - password - 1)};
	return ret->name_len > 0 && ret->password_len > 0 && ret->password_len <= ACCOUNTS_PASSWORD_MAX &&
		       !memchr(ret->password, '\0', ret->password_len)
		   ? 0
		   : -EBADMSG;
}
