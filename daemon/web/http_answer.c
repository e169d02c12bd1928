/* SPDX-License-Identifier: MIT */
/* Heads of answers, and what a problem looks like. Nothing of it says which browser, time or version it is: it is the same
 * whenever it is made. */
#include "daemon/web/http_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* What a page of chatd's may do, should somebody find a way to put something into it. */
static const char http_guards[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

static const struct {
	unsigned status;
	const char *reason;
} http_reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

const char *http_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof(http_reasons) / sizeof(http_reasons[0]); i++)
		if (http_reasons[i].status == status)
			return http_reasons[i].reason;
	return "Status";
}

size_t http_answer_head(const struct http_answer *a, char ret[static HTTP_ANSWER_HEAD_MAX])
{
	bool bodiless = a->status == 204 || a->status == 304;
	char length[40] = "";

	if (!a->endless && !bodiless)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", a->len);
	int n = snprintf(ret, HTTP_ANSWER_HEAD_MAX, "HTTP/1.1 %u %s\r\n%s%s%s%s%s%s%s\r\n", a->status,
			 http_reason(a->status), a->type ? "Content-Type: " : "", a->type ? a->type : "",
			 a->type ? "\r\n" : "", length, a->closes ? "Connection: close\r\n" : "", http_guards,
			 a->headers ? a->headers : "");
	return n < 0 ? 0 : (size_t)n < HTTP_ANSWER_HEAD_MAX ? (size_t)n : HTTP_ANSWER_HEAD_MAX - 1;
}

char *http_problem(unsigned status, const char *detail)
{
	json_t *o = json_pack("{s:s, s:s, s:i, s:s*}", "type", "about:blank", "title", http_reason(status),
			      "status", (int)status, "detail", detail);
	char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(o);
	return text;
}
