/* SPDX-License-Identifier: MIT */
/* The table itself: a new mode is a row here. */
#include "daemon/modes/table.h"

#include <string.h>

/* clang-format off */
const struct handler *const handlers[] = {
	&handler_tcp_chat,
	&handler_tcp_echo,
	&handler_udp_echo,
	&handler_udp_registry,
	&handler_zmq_reply,
	&handler_zmq_relay,
	&handler_zmq_pipeline,
	NULL,
};
/* clang-format on */

const struct handler *handler_find(const char *type, const char *mode)
{
	for (const struct handler *const *h = handlers; *h; h++)
		if (strcmp((*h)->type, type) == 0 && strcmp((*h)->mode, mode) == 0)
			return *h;
	return NULL;
}
