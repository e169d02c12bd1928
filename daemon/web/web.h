/* SPDX-License-Identifier: MIT */
/*
 * What the files of daemon/web share, and nobody else includes. A connection of a listener of type "http" has one of these
 * forms, which is all that there is to know of it beside its unconsumed input; so it goes on in the next process.
 */
#ifndef DAEMON_WEB_H
#define DAEMON_WEB_H

#include "daemon/base/counters.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/worker.h"
#include "daemon/web/http_answer.h"
#include "daemon/web/http_request.h"
#include "daemon/web/origin.h"

enum web_form {
	WEB_REQUEST, /* HTTP requests are read, one after the other */
	WEB_LINES,   /* a WebSocket that speaks the line protocol */
	WEB_JSON,    /* a WebSocket that speaks chatd.v1.json */
	WEB_EVENTS,  /* server-sent events: the body of an answer that has no end */
};

/* What a connection is waited for, see connection_expect(). */
enum web_expects {
	WEB_EXPECTS_NOTHING,
	WEB_EXPECTS_REQUEST,
	WEB_EXPECTS_REST,
	WEB_EXPECTS_LOGIN,
	WEB_EXPECTS_BODY, /* which was asked for by 100 Continue */
};

/* A request that was read whole, or its head alone. */
struct web_call {
	struct connection *c;
	const struct http_request *r;
	const char *body;	      /* of r->body_len bytes; NULL: it is held back, see web_continue() */
	size_t consumed;	      /* bytes of the request: whoever answers it consumes them */
	char room[TEXT_ROOM_MAX + 1]; /* in the path; "": none */
};

/* --- answers (web.c): each is one transaction that consumes the request --- */

/* The most that a body may have, since an answer has to fit the outbox, which is empty when a request is worked on. */
#define WEB_BODY_MAX (CLIENT_OUT_SIZE - 2 * HTTP_ANSWER_HEAD_MAX)

enum verdict web_answer(const struct web_call *call, const struct http_answer *a);
/* A problem; detail: for people, or NULL. */
enum verdict web_refuse(const struct web_call *call, unsigned status, const char *detail);
/* The same with more headers. */
enum verdict web_refuse_with(const struct web_call *call, unsigned status, const char *detail,
			     const char *headers);

/* The same with something that was said in a room, whose log is locked; it is committed in the same step and unlocked. */
enum verdict web_answer_said(const struct web_call *call, const struct http_answer *a, struct room *locked);

/* What the head says may be done: has the body sent that waits for this (Expect: 100-continue). Consumes nothing. */
enum verdict web_continue(const struct web_call *call);

/* --- tokens (token.c) --- */

struct token;
/* The token that the request shows, which lives as long as the worker's configuration. */
enum web_proof { WEB_NOBODY, WEB_PROVED, WEB_LIAR };
enum web_proof web_token(const struct connection *c, const struct http_request *r, const struct token **ret);
const char *web_token_name(const struct token *t);
bool web_token_may(const struct token *t, const char *room, bool speak);
/* What a stream of that token's is known by later: never 0. */
uint64_t web_token_proof(const struct token *t);
/* Whether the very token that it came by is still there, and may read in that room. */
bool web_proved_token_may(const struct connection *c, const char *room);
/* Whether what is said there may be read; t: NULL: without a token; open: room_is_open(). */
bool web_may_read(const struct connection *c, const struct token *t, const char *room, bool open);
/* Want of a right; and a token that isn't one. */
enum verdict web_refuse_rights(const struct web_call *call, const struct token *t);
enum verdict web_refuse_token(const struct web_call *call);

/* --- the API (api*.c, events.c) --- */

enum verdict web_api_rooms(const struct web_call *call);
enum verdict web_api_messages(const struct web_call *call); /* GET and POST */
enum verdict web_api_say(const struct web_call *call);
/* Server-sent events, form WEB_EVENTS. */
enum verdict web_events_open(const struct web_call *call);
enum verdict web_events_received(struct connection *c, size_t len, bool eof);
void web_events_restored(struct connection *c);
void web_events_reloaded(struct connection *c);
void web_events_closed(struct connection *c);
size_t web_events_render(const struct room *room, uint64_t seq, const struct record *event, const char *line,
			 size_t len, char *out);
void web_events_wrap(struct connection *c, const char *text, size_t len, bool closing);

/* --- the page (page.c) --- */

enum verdict web_page(const struct web_call *call);

/* --- WebSockets (socket.c), forms WEB_LINES and WEB_JSON --- */

/* GET /ws: shakes hands and changes the form, or refuses. */
enum verdict web_socket_open(const struct web_call *call);
/* As those of struct handler. */
enum verdict web_socket_received(struct connection *c, const char *data, size_t len, bool eof);
void web_socket_restored(struct connection *c);
void web_socket_reloaded(struct connection *c);
void web_socket_closed(struct connection *c);
size_t web_socket_render(unsigned form, const struct room *room, uint64_t seq, const struct record *event,
			 const char *line, size_t len, char *out);
extern const struct chat_words socket_words;
/* A notice to somebody with a WebSocket, as notices_line(). */
size_t web_socket_notice(const struct connection *c, const struct notice *n, char *text, size_t size);
void web_socket_wrap(struct connection *c, const char *text, size_t len, bool closing);

#endif
