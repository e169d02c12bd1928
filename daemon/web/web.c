/* SPDX-License-Identifier: MIT */
/*
 * The handler of a listener of type "http": what is read while a connection speaks HTTP, and which file sees to which path.
 * Each request is one transaction that consumes it and has the whole answer, so it is answered once, whoever dies when.
 */
#include "daemon/web/web.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/config/mode_settings.h"
#include "daemon/modes/chat.h"
#include "daemon/modes/notices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So long (us) a connection may rest between two requests, and so long one request may take. */
#define WEB_UNSENT_MAX (128 << 10)
#define WEB_REST_US (120 * SECOND_US)
#define WEB_REQUEST_US (10 * SECOND_US)
/* Requests of one connection in a turn, before the others have theirs. */
#define WEB_TURN_WORK 4

static enum web_form web_form(const struct connection *c)
{
	return (enum web_form)connection_form(c);
}

/* --- answers --- */

enum verdict web_answer_said(const struct web_call *call, const struct http_answer *a, struct room *locked)
{
	struct connection *c = call->c;
	char head[HTTP_ANSWER_HEAD_MAX], cors[WEB_CORS_MAX], headers[HTTP_ANSWER_HEAD_MAX / 2];
	struct http_answer full = *a;

	if (a->len > WEB_BODY_MAX)
		abort(); /* whoever makes a body sees to it; a crash is recovered from */

	web_cors(c, call->r, cors);
	if (cors[0]) {
		snprintf(headers, sizeof(headers), "%s%s", a->headers ? a->headers : "", cors);
		full.headers = headers;
	}
	full.closes |= !call->r->keep_alive;
	size_t head_len = http_answer_head(&full, head);
	struct client_state *next = connection_begin(c);
	connection_consume(c, call->consumed);
	connection_write(c, head, head_len);
	if (call->r->method != HTTP_HEAD && a->len > 0)
		connection_write(c, a->body, a->len);
	if (full.closes)
		next->flags |= CLIENT_CLOSING;
	FAULT("http-answer");
	connection_commit(c, locked);
	return full.closes ? HANDLER_CLOSE : HANDLER_MORE;
}

enum verdict web_answer(const struct web_call *call, const struct http_answer *a)
{
	return web_answer_said(call, a, NULL);
}

enum verdict web_refuse_with(const struct web_call *call, unsigned status, const char *detail,
			     const char *headers)
{
	_cleanup_free_ char *body = http_problem(status, detail);

	count(connection_context(call->c)->counters, COUNT_HTTP_REFUSED, 1);
	return web_answer(call, &(struct http_answer){.status = status,
						      .type = "application/problem+json",
						      .headers = headers,
						      .body = body,
						      .len = body ? strlen(body) : 0,
						      .closes = call->r->head_len == 0});
}

enum verdict web_refuse(const struct web_call *call, unsigned status, const char *detail)
{
	return web_refuse_with(call, status, detail, NULL);
}

/* Whoever dies behind this may send it once more, as a client has to expect (RFC 9110, 15.2). */
enum verdict web_continue(const struct web_call *call)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	connection_begin(call->c);
	connection_write(call->c, text, sizeof(text) - 1);
	FAULT("http-continue");
	connection_commit(call->c, NULL);
	return HANDLER_MORE;
}

/* --- which file sees to which path --- */

static const struct web_route {
	const char *path; /* "*" stands for a room's name */
	const char *allow;
	enum verdict (*run)(const struct web_call *call);
	unsigned methods; /* enum http_method */
	unsigned cost;	  /* of commands_per_second, beside the request's own */
	bool has_limit;	  /* and more with ?limit= */
} web_routes[] = {
    {"/", "GET, HEAD", web_page, HTTP_GET | HTTP_HEAD, 0, false},
    {"/index.html", "GET, HEAD", web_page, HTTP_GET | HTTP_HEAD, 0, false},
    {"/chat.css", "GET, HEAD", web_page, HTTP_GET | HTTP_HEAD, 0, false},
    {"/chat.js", "GET, HEAD", web_page, HTTP_GET | HTTP_HEAD, 0, false},
    {"/ws", "GET", web_socket_open, HTTP_GET, 0, false},
    {"/api/v1/rooms", "GET, HEAD, OPTIONS", web_api_rooms, HTTP_GET | HTTP_HEAD, 4, false},
    {"/api/v1/rooms/*/messages", "GET, HEAD, POST, OPTIONS", web_api_messages,
     HTTP_GET | HTTP_HEAD | HTTP_POST, 2, true},
    {"/api/v1/rooms/*/events", "GET, OPTIONS", web_events_open, HTTP_GET, 2, false},
};

/* Whether the path is that of the route; the room's name then is in ret, or "" if it can't be one. */
static bool web_matches(const char *pattern, const char *path, char ret[static TEXT_ROOM_MAX + 1])
{
	const char *star = strchr(pattern, '*');
	size_t before = star ? (size_t)(star - pattern) : 0;

	ret[0] = 0;
	if (!star)
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, before) != 0)
		return false;
	size_t len = strcspn(path + before, "/");
	if (strcmp(path + before + len, star + 1) != 0)
		return false;
	if (len <= TEXT_ROOM_MAX && text_room_valid(path + before, len)) {
		memcpy(ret, path + before, len);
		ret[len] = 0;
	}
	return true;
}

/* A page of another origin asks whether it may ask. */
static enum verdict web_preflight(const struct web_call *call, const struct web_route *route)
{
	char headers[256];

	snprintf(headers, sizeof(headers),
		 "Allow: %s\r\nAccess-Control-Allow-Methods: %s\r\n"
		 "Access-Control-Allow-Headers: authorization, content-type, last-event-id\r\n"
		 "Access-Control-Max-Age: 600\r\n",
		 route->allow, route->allow);
	return web_answer(call, &(struct http_answer){.status = 204, .headers = headers});
}

static const struct web_route *web_find_route(struct web_call *call)
{
	for (size_t i = 0; i < sizeof(web_routes) / sizeof(web_routes[0]); i++)
		if (web_matches(web_routes[i].path, call->r->path, call->room))
			return &web_routes[i];
	return NULL;
}

/* So many messages take about the work of one command. */
#define WEB_MESSAGES_PER_COMMAND 25
#define WEB_ROOMS_PER_COMMAND 25

static unsigned web_cost(const struct web_call *call, const struct web_route *route)
{
	uint64_t limit = 2ULL * WEB_MESSAGES_PER_COMMAND, most = 20ULL * WEB_MESSAGES_PER_COMMAND;

	if (!route)
		return 1;
	if (route->run == web_api_rooms)
		return route->cost +
		       rooms_count(connection_context(call->c)->shared->rooms) / WEB_ROOMS_PER_COMMAND;
	if (!route->has_limit)
		return route->cost;
	(void)!http_query_number(call->r, "limit", &limit);
	return route->cost + (unsigned)((limit < most ? limit : most) / WEB_MESSAGES_PER_COMMAND);
}

static enum verdict web_run(struct web_call *call)
{
	const struct web_route *route = web_find_route(call);
	char allow[80];

	/* What is said is paid for by who says it: api_say.c. */
	unsigned cost = call->r->method == HTTP_POST ? 0 : web_cost(call, route);
	if (!connection_may_talk(call->c, cost))
		return HANDLER_LIMITED;
	unsigned refused = web_check_origin(call->c, call->r);
	if (refused)
		return web_refuse(call, refused, web_origin_refused(refused));
	if (!route)
		return web_refuse(call, 404, NULL);
	if (strchr(route->path, '*') && !call->room[0])
		return web_refuse(call, 404, "There can't be a room of that name.");
	if (route->methods & call->r->method) /* only what is said looks at a body */
		return call->body || call->r->method == HTTP_POST ? route->run(call) : web_continue(call);
	if (call->r->method == HTTP_OPTIONS && strstr(route->allow, "OPTIONS"))
		return web_preflight(call, route);
	snprintf(allow, sizeof(allow), "Allow: %s\r\n", route->allow);
	return web_refuse_with(call, 405, NULL, allow);
}

/* --- the input --- */

/* What can't be understood is answered, and is the end: nobody knows where the next request begins. */
static enum verdict web_turn_away(struct connection *c, const struct http_request *r, size_t len,
				  unsigned status)
{
	struct http_request bad = *r;

	bad.keep_alive = false;
	bad.head_len = 0;
	return web_refuse(&(struct web_call){.c = c, .r = &bad, .consumed = len}, status, NULL);
}

/* Whether somebody waits with the body until its head was found good (RFC 9110, 10.1.1), and wasn't told yet. */
static bool web_holds_body(const struct connection *c, const struct http_request *r, size_t len)
{
	return r->minor > 0 && r->body_len > 0 && len == r->head_len &&
	       http_has_word(r, "expect", "100-continue") && connection_expects(c) != WEB_EXPECTS_BODY;
}

/* One request, which begins at data. Consumes nothing if it isn't whole. */
static enum verdict web_take_request(struct connection *c, const char *data, size_t len, bool *ret_unfinished)
{
	struct http_request r;
	int status = http_request_parse(data, len, &r);

	if (status > 0)
		return web_turn_away(c, &r, len, (unsigned)status);
	*ret_unfinished = status == HTTP_UNFINISHED || r.head_len + r.body_len > len;
	bool holds = status == 0 && *ret_unfinished && web_holds_body(c, &r, len);
	if (*ret_unfinished && !holds)
		return HANDLER_MORE;
	if (holds)
		r.keep_alive = false; /* if it is refused, nobody knows whether the body comes all the same */
	else
		connection_expect(c, WEB_EXPECTS_NOTHING, 0);
	struct web_call call = {.c = c,
				.r = &r,
				.body = holds ? NULL : data + r.head_len,
				.consumed = holds ? len : r.head_len + r.body_len};
	uint64_t before = connection_state(c)->in_parsed;
	enum verdict verdict = web_run(&call);
	if (holds && verdict == HANDLER_MORE)
		connection_expect(c, WEB_EXPECTS_BODY, WEB_REQUEST_US);
	if (connection_state(c)->in_parsed != before) {
		count(connection_context(c)->counters, COUNT_HTTP_REQUESTS, 1);
		connection_line_done(c);
	}
	return verdict;
}

static enum verdict web_received(struct connection *c, const char *data, size_t len, bool eof);

static enum verdict web_read_requests(struct connection *c, const char *data, size_t len, bool eof)
{
	uint64_t begin = connection_state(c)->in_parsed;
	bool unfinished = false;

	for (unsigned work = 0;; work++) {
		size_t at = (size_t)(connection_state(c)->in_parsed - begin);
		if (web_form(c) != WEB_REQUEST) /* what follows is for another one */
			return web_received(c, data + at, len - at, eof);
		if (at == len || unfinished)
			break;
		if (work == WEB_TURN_WORK)
			return HANDLER_YIELD;
		/* The answer before has to be out. */
		if (connection_space(c) < CLIENT_OUT_SIZE)
			return HANDLER_BLOCKED;
		enum verdict verdict = web_take_request(c, data + at, len - at, &unfinished);
		if (verdict != HANDLER_MORE)
			return verdict;
	}
	if (eof)
		return HANDLER_CLOSE;
	if (!unfinished)
		connection_expect(c, WEB_EXPECTS_REQUEST, WEB_REST_US);
	else if (connection_expects(c) != WEB_EXPECTS_BODY)
		connection_expect(c, WEB_EXPECTS_REST, WEB_REQUEST_US);
	return HANDLER_MORE;
}

static enum verdict web_received(struct connection *c, const char *data, size_t len, bool eof)
{
	switch (web_form(c)) {
	case WEB_REQUEST:
		return web_read_requests(c, data, len, eof);
	case WEB_EVENTS:
		return web_events_received(c, len, eof);
	default:
		return web_socket_received(c, data, len, eof);
	}
}

/* --- coming, coming back, and the end --- */

static void web_opened(struct connection *c, const char *room)
{
	(void)room;
	connection_begin(c)->flags |= CLIENT_GREETED;
	connection_commit(c, NULL);
	/* Or who asks and doesn't read would have the kernel keep some MB. */
	connection_limit_unsent(c, WEB_UNSENT_MAX);
	connection_expect(c, WEB_EXPECTS_REQUEST, WEB_REST_US);
}

static void web_restored(struct connection *c)
{
	switch (web_form(c)) {
	case WEB_REQUEST:
		connection_expect(c, WEB_EXPECTS_REQUEST, WEB_REST_US);
		break;
	case WEB_EVENTS:
		web_events_restored(c);
		break;
	default:
		web_socket_restored(c);
	}
}

static void web_reloaded(struct connection *c)
{
	switch (web_form(c)) {
	case WEB_REQUEST:
		break;
	case WEB_EVENTS:
		web_events_reloaded(c);
		break;
	default:
		web_socket_reloaded(c);
	}
}

static void web_closed(struct connection *c)
{
	switch (web_form(c)) {
	case WEB_REQUEST:
		break;
	case WEB_EVENTS:
		web_events_closed(c);
		break;
	default:
		web_socket_closed(c);
	}
}

static size_t web_render(const struct shared *shared, unsigned form, const struct room *room, uint64_t seq,
			 const struct record *event, const char *line, size_t len, char *out)
{
	(void)shared;
	return form == WEB_EVENTS ? web_events_render(room, seq, event, line, len, out)
				  : web_socket_render(form, room, seq, event, line, len, out);
}

static void web_wrap(struct connection *c, const char *text, size_t len, bool closing)
{
	if (web_form(c) == WEB_EVENTS)
		web_events_wrap(c, text, len, closing);
	else
		web_socket_wrap(c, text, len, closing);
}

/* As long as HTTP is spoken, only the end of a request can be told, by an answer. */
static size_t web_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	unsigned status = 503;

	if (c && web_form(c) != WEB_REQUEST)
		return web_socket_notice(c, n, text, size);
	if (n->kind == NOTICE_LATE && c &&
	    (connection_expects(c) == WEB_EXPECTS_REST || connection_expects(c) == WEB_EXPECTS_BODY))
		status = 408;
	else if (n->kind != NOTICE_REFUSED)
		return 0;
	return http_problem_answer(status, n->kind == NOTICE_REFUSED ? n->text : NULL, text, size);
}

static const struct mode_settings web_mode_settings = {
    .common = {mode_socket_keys, mode_tcp_keys, mode_room_keys, mode_login_keys, mode_token_keys,
	       mode_origin_keys},
    .complete = mode_default_room,
};

const struct handler handler_http_chat = {
    .type = "http",
    .mode = "chat",
    .transport = TRANSPORT_TCP,
    .settings = &web_mode_settings,
    .opened = web_opened,
    .restored = web_restored,
    .reloaded = web_reloaded,
    .received = web_received,
    .renders = 1U << WEB_LINES | 1U << WEB_JSON | 1U << WEB_EVENTS,
    .wraps = 1U << WEB_LINES | 1U << WEB_JSON | 1U << WEB_EVENTS,
    .render = web_render,
    .wrap = web_wrap,
    .words = &socket_words,
    .notice = web_notice,
    .closed = web_closed,
    .expelled = chat_expelled,
};
