/* SPDX-License-Identifier: MIT */
/*
 * Who somebody is on IRC: an account, proved by PASS, AUTHENTICATE or REGISTER. It is in the client's record, whatever nick it
 * has; the entry's CLIENT_ACCOUNT, which all other modes go by, is there as long as the nick is the account's name.
 */
#ifndef DAEMON_IRC_ACCOUNT_H
#define DAEMON_IRC_ACCOUNT_H

#include "daemon/irc/irc.h"
#include "daemon/irc/sasl.h"

extern const struct irc_command irc_commands_account[];	     /* PASS, REGISTER */
extern const struct irc_command irc_commands_authenticate[]; /* AUTHENTICATE */
extern const struct irc_command irc_commands_oper[];	     /* OPER, REHASH, WALLOPS */

enum verdict irc_register(struct irc_call *call);

/* --- for registration and capabilities --- */

/* The value of the capability `sasl`: the mechanisms. NULL: nobody can log in here, so there is no such capability. */
const char *irc_sasl_value(struct connection *c, char ret[static IRC_SASL_LIST_MAX]);
/* That of `draft/account-registration`, maybe ""; NULL: nobody can make an account here. */
#define IRC_REGISTER_VALUE_MAX 64
const char *irc_register_value(struct connection *c, char ret[static IRC_REGISTER_VALUE_MAX]);
/* Registration is complete while an exchange isn't: it is aborted (906). */
void irc_sasl_abandon(struct irc_call *call);
/* Whether its listener has a password that it hasn't given; or asks for an account that it has not proved. */
bool irc_needs_password(struct connection *c);
bool irc_needs_account(struct connection *c);

/* --- logging in (account.c) --- */

/* The account of that name (not NUL-terminated) at the client's listener, a copy; NULL, and nothing in ret: there is none. */
const struct account *irc_find_account(struct connection *c, const char *name, size_t len,
				       struct account *ret);
/*
 * Whether it is the account's password (a NULL: no account, which is found out as slowly). LOGIN_NONE: not known yet, and the
 * command returns HANDLER_WAITING; *ret_refused: too many ask, so that it can't be found out.
 */
enum login irc_check_password(struct irc_call *call, const char *hash, struct irc_arg name,
			      struct irc_arg password, bool *ret_refused);
/* It is the account from this transaction on: 900. */
void irc_log_in(struct irc_call *call, const char *account);
/* One more failure, which was no error of the client program's: it is logged, and the third one ends the connection. why is for the
 * log. */
void irc_login_failed(struct irc_call *call, struct irc_arg name, const char *why);
/* Within a transaction that changes its nick or its account: sets CLIENT_ACCOUNT as it should be. */
void irc_mark_account(struct irc_call *call);

#endif
