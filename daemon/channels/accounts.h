/* SPDX-License-Identifier: MIT */
/*
 * A status in a room that is shared with other machines is an account's, on all of them, whether that is there or not: a client
 * means something on its own node only. An entry of the record whose id is 0 is such a one. Who is logged in under another nick than
 * that of the account has the status as well, but can be given one only under the account's.
 */
#ifndef DAEMON_CHANNELS_ACCOUNTS_H
#define DAEMON_CHANNELS_ACCOUNTS_H

#include "daemon/channels/decide.h"

struct elsewhere;

/* As irc_decide_status(). */
enum irc_decided irc_decide_status_of_account(struct irc_deciding *d, char sign, char letter,
					      const char *account);
/*
 * The account that this nick is: of somebody who is in the room, or on another node (el may be NULL), or has a status there. False:
 * there is nobody such, or nobody who is logged in.
 */
bool irc_decide_find_account(const struct irc_deciding *d, struct roster *roster, struct elsewhere *el,
			     const char *nick, size_t len, char ret[static TEXT_NICK_MAX + 1]);

/*
 * Who had a status in a room before that was shared has it as an account from now on, or not any more. For the start of who shares
 * rooms, before anything is said. cs: NULL is fine.
 */
void irc_channels_share(struct irc_channels *cs, struct rooms *rooms);

#endif
