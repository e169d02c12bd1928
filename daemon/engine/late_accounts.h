/* SPDX-License-Identifier: MIT */
/*
 * Accounts that people made themselves since the configuration was read. They are in their password file, so the next one
 * that reads it knows them; until then they are here. Any thread; where there is none (NULL) there are no such accounts.
 */
#ifndef DAEMON_LATE_ACCOUNTS_H
#define DAEMON_LATE_ACCOUNTS_H

#include "common/accounts.h"
#include "daemon/config/config.h"

struct late_accounts;

/* NULL without memory. */
struct late_accounts *late_accounts_new(void);
void late_accounts_free(struct late_accounts *la);

/* file: the path of the password file that it was written to. Returns 0 or -ENOMEM. */
int late_accounts_add(struct late_accounts *la, const char *file, const struct account *a);
/* There is another configuration: what it knows is late no more. Main thread. */
void late_accounts_settle(struct late_accounts *la, const struct config *c);
/* Grows when there is one more. */
unsigned late_accounts_version(struct late_accounts *la);
/* Calls fn with the name of each, with a lock held. */
void late_accounts_each(struct late_accounts *la, void (*fn)(const char *nick, void *arg), void *arg);

/* A copy of the account of that name (not NUL-terminated), or of one that looks like it, that may log in at that listener, whether
 * the configuration has it or it came later. False: there is none. */
bool late_accounts_find(struct late_accounts *la, const struct listener_config *l, const char *nick,
			size_t len, struct account *ret);
/* Whether any listener has an account of that name: config_has_account(), and what came later. */
bool late_accounts_has(struct late_accounts *la, const struct config *c, const char *nick, size_t len);

#endif
