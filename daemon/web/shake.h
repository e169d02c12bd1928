/* SPDX-License-Identifier: MIT */
/* The handshake of a WebSocket (RFC 6455, 4.2), for all listeners that have them. */
#ifndef DAEMON_SHAKE_H
#define DAEMON_SHAKE_H

#include "daemon/web/http_request.h"

#define SHAKE_ACCEPT_SIZE 29 /* of 20 bytes in base64, with a NUL */
#define SHAKE_ANSWER_MAX 512

/* Whether that is one. 0, and what proves that it was understood; or the status that refuses it, with why, and more headers
 * (or NULL). */
unsigned shake_check(const struct http_request *r, char ret_accept[static SHAKE_ACCEPT_SIZE],
		     const char **ret_why, const char **ret_headers);
/* The head of the answer; protocol: the subprotocol that was chosen, or NULL. Returns its length. */
size_t shake_answer(const char *accept, const char *protocol, char ret[static SHAKE_ANSWER_MAX]);

#endif
