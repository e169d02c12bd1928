/* SPDX-License-Identifier: MIT */
/* Who a program proves to be: the token in its Authorization header, and what that may do where. */
#include "common/tokens.h"

#include "daemon/web/web.h"

#include <string.h>
#include <strings.h>

enum web_proof web_token(const struct connection *c, const struct http_request *r, const struct token **ret)
{
	static const char scheme[] = "Bearer";
	struct http_text header = http_header(r, "authorization");
	const struct listener_config *l = web_listener(c);
	size_t n = sizeof(scheme) - 1;

	*ret = NULL;
	if (!header.at)
		return WEB_NOBODY;
	if (!l || header.len <= n || header.at[n] != ' ' || strncasecmp(header.at, scheme, n) != 0)
		return WEB_LIAR;
	while (n < header.len && header.at[n] == ' ') /* one or more: RFC 9110, 11.4 */
		n++;
	*ret = tokens_find(&l->tokens, header.at + n, header.len - n);
	return *ret ? WEB_PROVED : WEB_LIAR;
}

const char *web_token_name(const struct token *t)
{
	return t->name;
}

bool web_token_may(const struct token *t, const char *room, bool speak)
{
	return token_may(t, room, speak ? TOKEN_SPEAK : TOKEN_READ);
}

uint64_t web_token_proof(const struct token *t)
{
	uint64_t proof;

	memcpy(&proof, t->hash, sizeof(proof));
	return proof | 1;
}

bool web_proved_token_may(const struct connection *c, const char *room)
{
	const struct client_state *st = connection_state(c);
	const char *name = st->nick;
	const size_t len = st->nick_len;
	const struct listener_config *l = web_listener(c);
	const uint64_t proof = clients_at(connection_context(c)->shared->clients, connection_index(c))->proof;

	for (size_t i = 0; l && i < l->tokens.n; i++) {
		const struct token *t = &l->tokens.at[i];
		/* One of the same name that was made since is another one; who came before that was noted has the name only. */
		if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
			return (proof == 0 || proof == web_token_proof(t)) && web_token_may(t, room, false);
	}
	return false;
}

bool web_may_read(const struct connection *c, const struct token *t, const char *room, bool open)
{
	return (open && connection_state(c)->rights & CLIENT_OPEN) || (t && web_token_may(t, room, false));
}

enum verdict web_refuse_rights(const struct web_call *call, const struct token *t)
{
	if (t)
		return web_refuse(call, 403, "The token has no right to do that here.");
	return web_refuse_with(call, 401, "This takes a token: see `chatctl token`.",
			       "WWW-Authenticate: Bearer realm=\"chatd\"\r\n");
}

enum verdict web_refuse_token(const struct web_call *call)
{
	struct context *ctx = connection_context(call->c);
	char from[ADDRESS_TEXT_MAX];

	count(ctx->counters, COUNT_LOGINS_FAILED, 1);
	log_limited(LOG_TOPIC_LOGIN, LOG_WARNING,
		    &(struct log_fields){.message_id = EVENT_LOGIN,
					 .client = connection_id(call->c),
					 .listener = connection_listener(call->c),
					 .address = connection_address(call->c)},
		    "client %llu from %s: wrong token", (unsigned long long)connection_id(call->c),
		    address_peer(connection_address(call->c), from));
	return web_refuse_with(call, 401, "There is no such token.",
			       "WWW-Authenticate: Bearer realm=\"chatd\", error=\"invalid_token\"\r\n");
}
