/* SPDX-License-Identifier: MIT */
/* An answer to an HTTP request: its head with the headers that keep a browser from harm, and problems as RFC 9457 has them. */
#ifndef DAEMON_HTTP_ANSWER_H
#define DAEMON_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_ANSWER_HEAD_MAX 2048 /* bytes of a head, whose headers of its own are at most half of it */

struct http_answer {
	unsigned status;
	const char *type;    /* of the body, or NULL */
	const char *headers; /* more of them, each with its CRLF; or NULL */
	const char *body;
	size_t len;   /* bytes of the body */
	bool endless; /* the body has no length, but goes on until the connection ends */
	bool closes;  /* the connection ends behind it */
	bool head_only;
};

/* The words for a status. */
const char *http_reason(unsigned status);
/* Writes the head. Returns its length. */
size_t http_answer_head(const struct http_answer *a, char ret[static HTTP_ANSWER_HEAD_MAX]);
/* A problem's body, to be freed; NULL without memory. detail: for people, or NULL. */
char *http_problem(unsigned status, const char *detail);
/* All of an answer behind which the connection ends. Returns its length; 0: it doesn't fit. */
size_t http_problem_answer(unsigned status, const char *detail, char *text, size_t size);

#endif
