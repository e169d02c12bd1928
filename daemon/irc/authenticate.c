/* SPDX-License-Identifier: MIT */
/*
 * AUTHENTICATE (IRCv3's sasl, versions 3.1 and 3.2): an exchange is a blob of the client's, which changes together with what is
 * answered.
 */
#include "daemon/irc/account.h"

#include "common/nick.h"
#include "daemon/engine/logins.h"
#include "daemon/irc/blobs.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <string.h>

/* --- what is kept --- */

static const struct client *authenticate_client(struct irc_call *call)
{
	return clients_at(irc_shared(call)->clients, connection_index(call->c));
}

/* False: there is no exchange under way. */
static bool authenticate_load(struct irc_call *call, struct irc_sasl *ret)
{
	uint32_t at = irc_user(call->c)->sasl_at;
	size_t n;

	*ret = (struct irc_sasl){.mechanism = IRC_SASL_NONE};
	if (at == 0)
		return false;
	n = irc_blob_get(irc_shared(call)->irc->blobs, connection_index(call->c), connection_id(call->c),
			 IRC_BLOB_SASL, at, ret, sizeof(*ret));
	return irc_sasl_is_good(ret, n);
}

static void authenticate_keep(struct irc_call *call, const struct irc_sasl *s)
{
	uint32_t holds = irc_user(call->c)->sasl_at;

	irc_change(call)->sasl_at = irc_blob_put(irc_shared(call)->irc->blobs, authenticate_client(call),
						 IRC_BLOB_SASL, holds, s, irc_sasl_size(s));
}

/* There may be a password in it. */
static void authenticate_wipe(struct irc_call *call, void *arg)
{
	(void)arg;
	irc_blob_wipe(irc_shared(call)->irc->blobs, authenticate_client(call), IRC_BLOB_SASL);
}

static void authenticate_over(struct irc_call *call)
{
	if (irc_user(call->c)->sasl_at == 0)
		return;
	irc_change(call)->sasl_at = 0;
	irc_after(call, authenticate_wipe, NULL, NULL);
}

void irc_sasl_abandon(struct irc_call *call)
{
	if (irc_user(call->c)->sasl_at == 0)
		return;
	irc_numeric(call, ERR_SASLABORTED, "%s", "");
	authenticate_over(call);
}

/* --- mechanisms --- */

const char *irc_sasl_value(struct connection *c, char ret[static IRC_SASL_LIST_MAX])
{
	const struct listener_config *l =
	    config_listener(connection_context(c)->config, connection_listener(c));
	char name[TLS_PEER_MAX + 1];

	return l && l->password_file ? irc_sasl_list(connection_peer_name(c, name) > 0, ret) : NULL;
}

static enum verdict authenticate_fail(struct irc_call *call)
{
	irc_numeric(call, ERR_SASLFAIL, "%s", "");
	authenticate_over(call);
	return HANDLER_MORE;
}

/* It was no mistake of the program's, but a wrong name or password. */
static enum verdict authenticate_refuse(struct irc_call *call, struct irc_arg name, const char *why)
{
	authenticate_fail(call);
	irc_login_failed(call, name, why);
	return HANDLER_MORE;
}

static enum verdict authenticate_succeed(struct irc_call *call, const char *account)
{
	irc_log_in(call, account);
	irc_numeric(call, RPL_SASLSUCCESS, "%s", "");
	authenticate_over(call);
	return HANDLER_MORE;
}

/* Who acts as somebody else doesn't. */
static bool authenticate_acts_as(const char *as, size_t as_len, const char *name, size_t len)
{
	return as_len == 0 || nick_equal(as, as_len, name, len);
}

static enum verdict authenticate_plain(struct irc_call *call, const char *message, size_t len)
{
	struct irc_sasl_plain p;
	struct account found;
	bool refused;

	if (irc_sasl_plain(message, len, &p) < 0 || !nick_valid(p.name, p.name_len) ||
	    !authenticate_acts_as(p.as, p.as_len, p.name, p.name_len))
		return authenticate_fail(call);
	const struct account *a = irc_find_account(call->c, p.name, p.name_len, &found);
	const struct irc_arg name = {p.name, p.name_len}, password = {p.password, p.password_len};
	switch (irc_check_password(call, a ? a->hash : NULL, name, password, &refused)) {
	case LOGIN_GOOD:
		return authenticate_succeed(call, found.nick);
	case LOGIN_BAD:
		return authenticate_refuse(call, name, "wrong name or password");
	default:
		return refused ? authenticate_refuse(call, name, "too many logins at once") : HANDLER_WAITING;
	}
}

/* The peer's certificate says who it is, and TLS has proved that it is its own. */
static enum verdict authenticate_external(struct irc_call *call, const char *message, size_t len)
{
	char name[TLS_PEER_MAX + 1];
	size_t n = connection_peer_name(call->c, name);
	struct account found;

	if (n == 0 || !authenticate_acts_as(message, len, name, n))
		return authenticate_fail(call);
	if (!irc_find_account(call->c, name, n, &found) ||
	    !nick_equal(found.nick, strlen(found.nick), name, n))
		return authenticate_refuse(call, (struct irc_arg){name, n},
					   "a certificate's name is no account");
	return authenticate_succeed(call, found.nick);
}

/* --- SCRAM --- */

/* The account's verifier, or one that nothing proves: which of them it is can't be told by what is answered. */
static void authenticate_verifier(struct irc_call *call, const char *name, struct account *ret)
{
	static const char purpose[] = "chatd: salts of SCRAM";
	const struct irc_config *config = &irc_config(call)->irc;
	uint8_t key[SCRAM_KEY_SIZE];

	if (irc_find_account(call->c, name, strlen(name), ret) && ret->scram.iterations > 0)
		return;
	/* The same for all processes of this server, as salts of accounts are. */
	crypto_generichash(key, sizeof(key), (const unsigned char *)purpose, sizeof(purpose),
			   config->cloak_key, sizeof(config->cloak_key));
	scram_verifier_pretend(key, name, strlen(name), &ret->scram);
	ret->nick[0] = '\0';
}

static void authenticate_send(struct irc_call *call, const char *message)
{
	char text[sodium_base64_ENCODED_LEN(SCRAM_MESSAGE_MAX, sodium_base64_VARIANT_ORIGINAL)];

	sodium_bin2base64(text, sizeof(text), (const unsigned char *)message, strlen(message),
			  sodium_base64_VARIANT_ORIGINAL);
	irc_say(call, "", "AUTHENTICATE %s", text); /* always less than a chunk */
}

static enum verdict authenticate_scram_first(struct irc_call *call, struct irc_sasl *s, const char *message,
					     size_t len)
{
	char answer[SCRAM_MESSAGE_MAX + 1];
	struct scram_names names;
	struct account a;

	if (len > sizeof(s->first) || scram_names(message, len, &names) < 0 ||
	    !authenticate_acts_as(names.as, strlen(names.as), names.name, strlen(names.name)))
		return authenticate_fail(call);
	/* Whoever asks for a challenge may try; who failed too often waits, and so may not even ask. */
	if (!logins_may_try(irc_shared(call)->logins, connection_address(call->c)))
		return authenticate_refuse(call, (struct irc_arg){names.name, strlen(names.name)},
					   "too many logins at once");
	authenticate_verifier(call, names.name, &a);
	memcpy(s->first, message, len);
	s->first_len = (uint16_t)len;
	scram_nonce(s->nonce);
	if (scram_challenge(s->first, len, s->nonce, &a.scram, answer) < 0)
		return authenticate_fail(call);
	s->step = IRC_SASL_FINAL;
	authenticate_keep(call, s);
	authenticate_send(call, answer);
	return HANDLER_MORE;
}

static enum verdict authenticate_scram_final(struct irc_call *call, struct irc_sasl *s, const char *message,
					     size_t len)
{
	char answer[SCRAM_MESSAGE_MAX + 1];
	struct scram_names names;
	struct account a;

	if (scram_names(s->first, s->first_len, &names) < 0)
		return authenticate_fail(call);
	authenticate_verifier(call, names.name, &a);
	int r = scram_verify(s->first, s->first_len, s->nonce, &a.scram, message, len, answer);
	if (r == -EACCES) {
		logins_failed(irc_shared(call)->logins, connection_address(call->c), 1,
			      irc_config(call)->failed_logins_per_minute);
		return authenticate_refuse(call, (struct irc_arg){names.name, strlen(names.name)},
					   "wrong name or password");
	}
	if (r < 0)
		return authenticate_fail(call);
	memcpy(s->account, a.nick, sizeof(s->account));
	s->step = IRC_SASL_DONE;
	authenticate_keep(call, s);
	authenticate_send(call, answer);
	return HANDLER_MORE;
}

static enum verdict authenticate_scram(struct irc_call *call, struct irc_sasl *s, const char *message,
				       size_t len)
{
	if (s->step == IRC_SASL_FIRST)
		return authenticate_scram_first(call, s, message, len);
	if (s->step == IRC_SASL_FINAL)
		return authenticate_scram_final(call, s, message, len);
	return len == 0 ? authenticate_succeed(call, s->account) : authenticate_fail(call);
}

/* --- the command --- */

static enum verdict authenticate_begin(struct irc_call *call, struct irc_arg name)
{
	struct irc_sasl s = {.mechanism = (uint8_t)irc_sasl_find(name.at, name.len)};
	char list[IRC_SASL_LIST_MAX], peer[TLS_PEER_MAX + 1];
	const char *value = irc_sasl_value(call->c, list);

	if (!value)
		return authenticate_fail(call);
	if (s.mechanism == IRC_SASL_NONE ||
	    (s.mechanism == IRC_SASL_EXTERNAL && connection_peer_name(call->c, peer) == 0)) {
		irc_numeric(call, RPL_SASLMECHS, "%s", value);
		return authenticate_fail(call);
	}
	authenticate_keep(call, &s);
	irc_say(call, "", "AUTHENTICATE +");
	return HANDLER_MORE;
}

static enum verdict authenticate_message(struct irc_call *call, struct irc_sasl *s)
{
	char message[IRC_SASL_MESSAGE_MAX];
	size_t len;
	enum verdict v;

	if (irc_sasl_take(s, message, &len) < 0)
		return authenticate_fail(call);
	switch (s->mechanism) {
	case IRC_SASL_PLAIN:
		v = authenticate_plain(call, message, len);
		break;
	case IRC_SASL_EXTERNAL:
		v = authenticate_external(call, message, len);
		break;
	default:
		v = authenticate_scram(call, s, message, len);
		break;
	}
	sodium_memzero(message, sizeof(message));
	return v;
}

static enum verdict authenticate(struct irc_call *call)
{
	struct irc_arg given = call->line->params[0];
	struct irc_sasl s;
	enum verdict v = HANDLER_MORE;
	bool under_way = authenticate_load(call, &s);

	if (!irc_has(call->c, IRC_CAP_SASL))
		return authenticate_fail(call);
	if (irc_arg_equals(given, "*")) {
		irc_numeric(call, ERR_SASLABORTED, "%s", "");
		authenticate_over(call);
		return HANDLER_MORE;
	}
	if (!under_way)
		return authenticate_begin(call, given);
	switch (irc_sasl_add(&s, given.at, given.len)) {
	case 0:
		v = authenticate_message(call, &s);
		break;
	case -EAGAIN:
		authenticate_keep(call, &s);
		break;
	case -EMSGSIZE:
		irc_numeric(call, ERR_SASLTOOLONG, "%s", "");
		authenticate_over(call);
		break;
	default:
		v = authenticate_fail(call);
		break;
	}
	sodium_memzero(&s, sizeof(s));
	return v;
}

const struct irc_command irc_commands_authenticate[] = {
    {.name = "AUTHENTICATE", .run = authenticate, .needs = 1, .cost = 1, .early = true},
    {.name = NULL},
};
