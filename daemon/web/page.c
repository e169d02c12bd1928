/* SPDX-License-Identifier: MIT */
/* The page: three files that are part of chatd. A browser asks whether it still has the right ones, so a new release is
 * there at once, and nothing is sent twice. */
#include "daemon/web/page.h"

#include "daemon/web/web.h"

#include <stdio.h>
#include <string.h>

static const char *page_type(const char *path)
{
	const char *dot = strrchr(path, '.');

	return strcmp(dot, ".css") == 0	 ? "text/css; charset=utf-8"
	       : strcmp(dot, ".js") == 0 ? "text/javascript; charset=utf-8"
					 : "text/html; charset=utf-8";
}

static bool page_is_tag(struct http_text word, void *arg)
{
	/* A weak one will do. */
	if (word.len > 2 && memcmp(word.at, "W/", 2) == 0) {
		word.at += 2;
		word.len -= 2;
	}
	return http_text_is(word, "*") || (word.len == strlen(arg) && memcmp(word.at, arg, word.len) == 0);
}

enum verdict web_page(const struct web_call *call)
{
	const struct page_file *f = page_files;
	char headers[160];

	for (size_t i = 1; i < PAGE_FILES; i++)
		if (strcmp(call->r->path, page_files[i].path) == 0)
			f = &page_files[i];
	snprintf(headers, sizeof(headers), "ETag: %s\r\nCache-Control: no-cache\r\n", f->etag);
	struct http_answer a = {.status = 200, .type = page_type(f->path), .headers = headers};
	if (http_any_word(call->r, "if-none-match", page_is_tag, (char *)f->etag)) {
		a.status = 304;
		a.type = NULL;
	} else {
		a.body = f->data;
		a.len = f->len;
	}
	return web_answer(call, &a);
}
