/* SPDX-License-Identifier: MIT */
/*
 * What IRC needs of a client beyond its entry, and what has to outlive the process: a record at the client's
 * index in the file of IRC (irc/file.h). It becomes true together with the client's `live`, by these rules:
 *
 * - a change is made in the worker's own place for a draft, never in the record itself;
 * - right before the commit the draft is sealed, with the generation that the client's state will have then;
 * - right after the commit it is copied to the record, and the place is empty again;
 * - a process that died between is made up for by the next one: it copies the draft if that generation is
 *   true, else forgets it.
 *
 * So there is one copy for each client, not two. A record names the id of whose it is, so nobody inherits
 * that of who had the index before, and nothing has to be released.
 *
 * The worker that has the client reads and changes its record; other threads get a copy.
 */
#ifndef DAEMON_IRC_USERS_H
#define DAEMON_IRC_USERS_H

#include "daemon/irc/records.h"
#include "daemon/state/clients.h"

struct irc_file;
struct irc_users;

/* --- by the worker that has the client; worker: its number, ctx->slot (other threads have no drafts) --- */

/*
 * What holds; within a transaction that has a draft, the draft. NULL: it has none, or it was damaged. Good
 * until that worker's next irc_users_draft(), irc_users_forget() or irc_users_settle().
 */
const struct irc_user *irc_users_get(struct irc_users *us, unsigned worker, const struct client *c);
/*
 * Within a transaction (engine/transaction.h): what holds from its commit on, to be changed. At the first
 * call it is a copy of what holds, or all 0. A worker has one draft at a time; that of another client is
 * forgotten.
 */
struct irc_user *irc_users_draft(struct irc_users *us, unsigned worker, const struct client *c);
/* The transaction was given up, or begins again: there is no draft. */
void irc_users_forget(struct irc_users *us, unsigned worker);
/*
 * Right before transaction_commit(), between which and this nothing may fail: st is the client's state that
 * it makes true. Nothing happens without a draft.
 */
void irc_users_seal(struct irc_users *us, unsigned worker, const struct client_state *st);
/* Right after transaction_commit(). Nothing happens without a draft that is sealed. */
void irc_users_settle(struct irc_users *us, unsigned worker);

/* --- by any thread --- */

/*
 * A copy of what holds for the client of that index, if it has that id (as the roster has them); false: it
 * has none.
 */
bool irc_users_copy(struct irc_users *us, uint32_t index, uint64_t id, struct irc_user *ret);

/* --- for the file --- */

/* Returns 0 or -ENOMEM. */
int irc_users_new(struct irc_file *file, struct clients *cs, struct irc_users **ret);
void irc_users_free(struct irc_users *us);
/*
 * For the start, when it is known which states are true, before anybody is served: what was under way has
 * happened or not, and what is damaged is forgotten, with a line in the log.
 */
void irc_users_recover(struct irc_users *us);

#endif
