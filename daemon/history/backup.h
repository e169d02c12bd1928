/* SPDX-License-Identifier: MIT */
/*
 * A copy of the database as it is at one moment, with other files in it (the table files). It is made by a thread of its
 * own, as that takes as long as the database is large, in a file beside the database that has no name when it is
 * done. That thread serves nobody and ends with its copy, so it isn't a service.
 */
#ifndef DAEMON_HISTORY_BACKUP_H
#define DAEMON_HISTORY_BACKUP_H

#include <stdbool.h>
#include <stddef.h>

struct backup;
struct slots;

/* Removes what a process that died within a copy has left. */
void backup_tidy(const char *database);

/* The thread with this slot is woken when it is there. files: paths, of those that are there; they are copied. Only one
 * copy of a database may be under way. Returns 0 or -errno. */
int backup_begin(const char *database, const char *const *files, size_t n, const struct slots *slots,
		 unsigned slot, struct backup **ret);
/* A descriptor to read the copy from, which is the backup's; -EINPROGRESS: not yet; or -errno, and why is for people. */
int backup_fd(struct backup *b, const char **ret_why);
/* Ends it wherever it is. */
void backup_free(struct backup *b);

#endif
