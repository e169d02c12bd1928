/* SPDX-License-Identifier: MIT */
/* The table itself. A new mode is a file of this folder that fills a struct handler, and a row here. */
#include "daemon/modes/table.h"

#include <string.h>

#define MODES(X)                                                                                             \
	X(handler_tcp_chat)                                                                                  \
	X(handler_tcp_echo)                                                                                  \
	X(handler_http_chat) /* daemon/web */                                                                \
	X(handler_tcp_irc)   /* daemon/irc */                                                                \
	X(handler_http_irc)                                                                                  \
	X(handler_udp_echo)                                                                                  \
	X(handler_udp_registry)                                                                              \
	X(handler_zmq_reply)                                                                                 \
	X(handler_zmq_relay)                                                                                 \
	X(handler_zmq_pipeline)

#define X(mode) extern const struct handler mode;
MODES(X)
#undef X

const struct handler *const handlers[] = {
#define X(mode) &(mode),
    MODES(X)
#undef X
	NULL,
};

const struct handler *handler_find(const char *type, const char *mode)
{
	for (const struct handler *const *h = handlers; *h; h++)
		if (strcmp((*h)->type, type) == 0 && strcmp((*h)->mode, mode) == 0)
			return *h;
	return NULL;
}
