/* SPDX-License-Identifier: MIT */
/*
 * The handshake of a WebSocket (RFC 6455, 4.2): what a request for one must have, and the answer, which is one step with
 * becoming a member.
 */
#include "daemon/web/shake.h"
#include "daemon/web/socket.h"

#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/config/config.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define SHAKE_PROTOCOL "chatd.v1.json"
#define SHAKE_KEY_BYTES 16
#define SHAKE_KEY_TEXT 24

struct shake {
	const struct web_call *call;
	unsigned form;
	char accept[SHAKE_ACCEPT_SIZE];
	char room[TEXT_ROOM_MAX + 1], nick[TEXT_NICK_MAX + 1];
	struct socket_asked asked;
};

/* That the server has understood what it is asked for. False: the key can't be one. */
static bool shake_accept(struct http_text key, char ret[static SHAKE_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char bytes[SHAKE_KEY_BYTES], digest[EVP_MAX_MD_SIZE];
	char text[SHAKE_KEY_TEXT + sizeof(guid)];
	unsigned digest_len = 0;
	size_t n = 0;

	if (key.len != SHAKE_KEY_TEXT ||
	    sodium_base642bin(bytes, sizeof(bytes), key.at, key.len, NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n != SHAKE_KEY_BYTES)
		return false;
	memcpy(text, key.at, key.len);
	memcpy(text + key.len, guid, sizeof(guid) - 1);
	if (!EVP_Digest(text, key.len + sizeof(guid) - 1, digest, &digest_len, EVP_sha1(), NULL))
		return false;
	sodium_bin2base64(ret, SHAKE_ACCEPT_SIZE, digest, digest_len, sodium_base64_VARIANT_ORIGINAL);
	return true;
}

static bool shake_knows_protocol(struct http_text word, void *arg)
{
	(void)arg;
	return word.len == sizeof(SHAKE_PROTOCOL) - 1 && memcmp(word.at, SHAKE_PROTOCOL, word.len) == 0;
}

unsigned shake_check(const struct http_request *r, char ret_accept[static SHAKE_ACCEPT_SIZE],
		     const char **ret_why, const char **ret_headers)
{
	*ret_headers = NULL;
	*ret_why = "That is not a WebSocket's handshake.";
	if (r->minor < 1 || !http_has_word(r, "upgrade", "websocket") ||
	    !http_has_word(r, "connection", "upgrade")) {
		*ret_headers = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
		return 426;
	}
	if (!http_text_is(http_header(r, "sec-websocket-version"), "13")) {
		*ret_why = "WebSocket's version 13 is spoken here.";
		*ret_headers = "Sec-WebSocket-Version: 13\r\n";
		return 426;
	}
	return r->body_len > 0 || !shake_accept(http_header(r, "sec-websocket-key"), ret_accept) ? 400 : 0;
}

static unsigned shake_choose(struct shake *s, const char **ret_why)
{
	const struct http_request *r = s->call->r;

	s->form = WEB_LINES;
	if (!http_header(r, "sec-websocket-protocol").at)
		return 0;
	s->form = WEB_JSON;
	*ret_why = "The only subprotocol is " SHAKE_PROTOCOL ".";
	return http_any_word(r, "sec-websocket-protocol", shake_knows_protocol, NULL) ? 0 : 400;
}

size_t shake_answer(const char *accept, const char *protocol, char ret[static SHAKE_ANSWER_MAX])
{
	return (size_t)snprintf(
	    ret, SHAKE_ANSWER_MAX,
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
	    accept, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
	    protocol ? "\r\n" : "");
}

bool socket_epoch(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = strlen(text);

	if (n == 0 || n > 16)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = text[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		v = v << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret = v;
	return true;
}

/* What the address says behind "?": where it wants to be, as whom, and what it has seen. NULL, or what can't be. */
static const char *shake_read_query(struct shake *s)
{
	const struct http_request *r = s->call->r;
	char epoch[32] = "0", nick[HTTP_TARGET_MAX + 1];
	uint64_t since = UINT64_MAX;

	int n = http_query(r, "room", s->room, sizeof(s->room));
	if (n < 0)
		s->room[0] = '\0';
	if (n != -ENOENT && (n < 0 || !text_room_valid(s->room, (size_t)n)))
		return "There can't be a room of that name.";
	n = http_query(r, "nick", nick, sizeof(nick));
	if (n == -EINVAL)
		return "nick is there twice, or has what no name can have.";
	/* One that is too long is like any other that nobody can have: one is a guest. */
	memcpy(s->nick, nick, n > 0 && n <= TEXT_NICK_MAX ? (size_t)n : 0);
	n = http_query(r, "epoch", epoch, sizeof(epoch));
	if (n == -EINVAL || !socket_epoch(epoch, &s->asked.epoch))
		return "epoch must be that of a room, in hexadecimal.";
	if (http_query_number(r, "since", &since) < 0)
		return "since must be the number of a message.";
	s->asked.has_since = since != UINT64_MAX;
	s->asked.number = since;
	return NULL;
}

/* Within the transaction: what was asked is consumed and answered, and from now on frames are spoken. */
static void shake_begin(struct connection *c, void *arg)
{
	const struct shake *s = arg;
	char head[SHAKE_ANSWER_MAX];
	size_t n = shake_answer(s->accept, s->form == WEB_JSON ? SHAKE_PROTOCOL : NULL, head);

	connection_consume(c, s->call->consumed);
	connection_write_wire(c, head, n);
	connection_set_form(c, s->form);
	/* From here on it is sent what others say, and slow readers are dealt with as everywhere. */
	connection_limit_unsent(c, 0);
}

enum verdict web_socket_open(const struct web_call *call)
{
	struct connection *c = call->c;
	struct shake s = {.call = call};
	const char *why, *headers;

	unsigned status = shake_check(call->r, s.accept, &why, &headers);
	if (status == 0)
		status = shake_choose(&s, &why);
	if (status > 0)
		return web_refuse_with(call, status, why, headers);
	why = shake_read_query(&s);
	if (why)
		return web_refuse(call, 400, why);
	const struct chat_opening opening = {.room = s.room[0] ? s.room : connection_first_room(c),
					     .opener = s.room[0] ? connection_address(c) : NULL,
					     .nick = s.nick,
					     .nick_len = strlen(s.nick),
					     .begin = shake_begin,
					     .arg = &s};
	count(connection_context(c)->counters, COUNT_SOCKETS, 1);
	socket_asked = s.asked;
	chat_open(c, &opening);
	socket_asked = (struct socket_asked){.id = ""};
	if (connection_state(c)->nick_len == 0)
		connection_expect(c, WEB_EXPECTS_LOGIN, chat_config(c)->login_timeout_us);
	return connection_state(c)->flags & CLIENT_CLOSING ? HANDLER_CLOSE : HANDLER_MORE;
}
