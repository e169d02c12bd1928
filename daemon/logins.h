/* SPDX-License-Identifier: MIT */
/*
 * Passwords are checked by a thread of their own, because that is meant to take long (argon2id). Whoever
 * asked goes on as soon as the answer is there.
 */
#ifndef DAEMON_LOGINS_H
#define DAEMON_LOGINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logins;
struct worker;

int logins_new(struct logins **ret);
/* Ends the thread, which finishes the check at hand; the workers must not run any more. */
void logins_free(struct logins *l);

/*
 * Has a password checked against a hash (NULL: there is no such account; it takes as long all the same). The
 * answer comes to the connection by connection_login_result() on its worker. False if too many are waiting.
 */
bool logins_ask(struct logins *l, struct worker *w, uint32_t index, uint64_t id, const char *hash,
		const char *password, size_t len);

#endif
