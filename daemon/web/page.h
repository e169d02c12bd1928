/* SPDX-License-Identifier: MIT */
/* The page's files, which make puts together from daemon/web/page. */
#ifndef DAEMON_PAGE_H
#define DAEMON_PAGE_H

#include <stddef.h>

#define PAGE_FILES 3

struct page_file {
	const char *path, *etag; /* the latter with its quotes: another content has another one */
	const char *data;
	size_t len;
};

/* The first one is what "/" shows. */
extern const struct page_file page_files[PAGE_FILES];

#endif
