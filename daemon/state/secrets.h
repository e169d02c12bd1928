/* SPDX-License-Identifier: MIT */
/*
 * The TLS secrets of clients in a memory file of their own: one that only who maps it can read (memfd_secret(2)), where
 * there is such a thing and RLIMIT_MEMLOCK allows it; else an ordinary one that is left out of core dumps.
 */
#ifndef DAEMON_SECRETS_H
#define DAEMON_SECRETS_H

#include "daemon/io/tls_state.h"

#include <stdbool.h>
#include <stdint.h>

#define SECRETS_NAME "chatd-secrets-5"

struct secrets;

/* A new file with so many places, of which so many are needed for certain. Returns its fd or -errno. */
int secrets_new(uint32_t places, uint32_t needed, struct secrets **ret);
/* One of a process before. Returns 0 or -errno; fd stays the caller's. */
int secrets_open(int fd, uint32_t places, uint32_t needed, struct secrets **ret);
void secrets_free(struct secrets *s);

/* A client's, by its index in the table; NULL: there is no place for it. s may be NULL. */
struct tls_secrets *secrets_at(const struct secrets *s, uint32_t index);
/* Whether nobody else can read them. */
bool secrets_are_hidden(const struct secrets *s);

#endif
