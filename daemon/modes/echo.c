/* SPDX-License-Identifier: MIT */
/* TCP mode "echo" (RFC 862): bytes come back as they came. A client that sends without reading is not read
 * from any more. */
#include "daemon/config/handler.h"
#include "daemon/config/mode_settings.h"
#include "daemon/engine/connection.h"
#include "daemon/modes/notices.h"

static void echo_opened(struct connection *c, const char *room)
{
	(void)room;
	connection_begin(c)->flags |= CLIENT_GREETED;
	connection_commit(c, NULL);
}

static void echo_restored(struct connection *c)
{
	(void)c;
}

static enum verdict echo_received(struct connection *c, const char *data, size_t len, bool eof)
{
	size_t sent = connection_send(c, data, len), n = connection_space(c);

	(void)eof;
	if (n > len - sent)
		n = len - sent;
	if (sent + n > 0) {
		connection_begin(c);
		connection_write(c, data + sent, n);
		connection_consume(c, sent + n);
		connection_commit(c, NULL);
	}
	return sent + n < len ? HANDLER_BLOCKED : HANDLER_MORE;
}

static void echo_closed(struct connection *c)
{
	(void)c;
}

/* A client that is sent away is told why; nothing else may stand between its bytes. */
static size_t echo_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	switch (n->kind) {
	case NOTICE_SILENT:
	case NOTICE_MUTE:
	case NOTICE_REMOVED:
	case NOTICE_BANNED:
	case NOTICE_RESTARTING:
		return notices_line(c, n, text, size);
	default:
		return 0;
	}
}

const struct handler handler_tcp_echo = {
    .type = "tcp",
    .mode = "echo",
    .transport = TRANSPORT_TCP,
    .settings = &mode_tcp_only,
    .mirrors = true,
    .opened = echo_opened,
    .restored = echo_restored,
    .received = echo_received,
    .notice = echo_notice,
    .closed = echo_closed,
};
