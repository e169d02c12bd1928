/* SPDX-License-Identifier: MIT */
/*
 * Copies of all files that a configuration was made of: its text, with what it includes, and the accounts, certificates
 * and keys that it names. With them it can be used again when what is on disk has mistakes. They hold secrets, which are
 * wiped when they go.
 */
#ifndef DAEMON_COPIES_H
#define DAEMON_COPIES_H

#include <stdbool.h>
#include <stddef.h>

struct copies;

/* NULL without memory. */
struct copies *copies_new(void);
void copies_free(struct copies *c);

/* Adds a file, which is called after its path, unless it is there already. Returns 0 or -errno. */
int copies_add(struct copies *c, const char *path, const char *data, size_t size);
/* The same as it is on disk; -EINVAL if it is no regular file, -EFBIG if it is far too large. */
int copies_add_file(struct copies *c, const char *path);

/* The path of the first, which is the configuration's; NULL if there is none. */
const char *copies_first(const struct copies *c);
/* What is in a file, with a NUL behind it; NULL if there is none of that path. */
const char *copies_text(const struct copies *c, const char *path);
/* The same as a memory file, for what opens files by a path: /proc/self/fd/N. Returns the fd or -ENOENT, -errno. */
int copies_open(const struct copies *c, const char *path);

/* All of them as one memory file, which can't be changed any more. Returns the fd or -errno. */
int copies_save(const struct copies *c);
/* Reads what copies_save() wrote, and believes nothing that doesn't add up: -EBADMSG. Returns 0 or -errno. */
int copies_load(int fd, struct copies **ret);
/* Whether two of those files are the same to the byte. */
bool copies_are_same(int a, int b);

#endif
