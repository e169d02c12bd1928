/* SPDX-License-Identifier: MIT */
/* Who may ask a listener that browsers come to. */
#ifndef DAEMON_ORIGIN_H
#define DAEMON_ORIGIN_H

#include "daemon/engine/connection.h"
#include "daemon/web/http_request.h"

/* The listener of a connection as it is configured now, or NULL: it is gone. */
const struct listener_config *web_listener(const struct connection *c);
/* Whether the request is for this server and from a page that may talk to it; 0, or the status that refuses it. */
unsigned web_check_origin(const struct connection *c, const struct http_request *r);
/* The same refusal in words. */
const char *web_origin_refused(unsigned status);

/* Headers for a page of another origin that may read the answer; "" if there is none. */
#define WEB_CORS_MAX 512
const char *web_cors(const struct connection *c, const struct http_request *r, char ret[static WEB_CORS_MAX]);

#endif
