/* SPDX-License-Identifier: MIT */
/*
 * What the configuration says of IRC: who the server is, who its operators are, and what a listener of mode "irc" has beside
 * the settings that it shares with others.
 */
#ifndef DAEMON_CONFIG_IRC_H
#define DAEMON_CONFIG_IRC_H

#include "common/accounts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IRC_SERVER_NAME_MAX 63 /* bytes */
#define IRC_NETWORK_MAX 32     /* bytes */
#define IRC_OPERATORS_MAX 256
#define IRC_ADMIN_LINES 3
#define IRC_ADMIN_MAX 200	  /* bytes of a line */
#define IRC_MOTD_MAX 65536	  /* bytes */
#define IRC_PASSWORD_MAX 100	  /* bytes of one that stands in the configuration */
#define IRC_CLOAK_KEY_SIZE 32	  /* bytes */
#define IRC_CLOAK_KEY_FILE_MIN 16 /* bytes that its file has at least */

/* A password in the configuration: as it is, or its hash as `chatctl passwd` makes it, which begins with "$argon2id$". */
struct irc_password {
	char text[ACCOUNTS_HASH_MAX]; /* "": there is none */
};

/* Who may become an operator: an account, by its own password, or a name, by one that stands here. */
struct irc_operator {
	char name[TEXT_NICK_MAX + 1];
	bool is_account;
	struct irc_password password; /* of a name */
};

struct irc_config {
	char server_name[IRC_SERVER_NAME_MAX + 1]; /* never "" */
	char network[IRC_NETWORK_MAX + 1];	   /* likewise */
	char *motd_file;			   /* path, or NULL */
	char *motd;				   /* what is in it; NULL: there is none */
	struct irc_operator *operators;
	size_t n_operators;
	char admin[IRC_ADMIN_LINES][IRC_ADMIN_MAX + 1]; /* "": nothing is said */
	char *cloak_key_file;				/* path, or NULL: chatd makes one */
	bool has_cloak_key;				/* of that file: */
	uint8_t cloak_key[IRC_CLOAK_KEY_SIZE];
};

/* A listener's: listener_config.own. */
struct irc_listener_config {
	struct irc_password password; /* that everybody needs who connects */
	bool cloak;		      /* others see no addresses */
	bool register_accounts;	      /* who comes may make an account, */
	bool register_early;	      /* before being welcome, too; */
	bool register_email;	      /* and has to name an address of e-mail */
};

/* The name that a server has that nobody gave one. */
void irc_config_default_name(char ret[static IRC_SERVER_NAME_MAX + 1]);
void irc_config_release(struct irc_config *c);

/* Who has that name (not NUL-terminated), as an account or as a name of its own; NULL: no operator. */
const struct irc_operator *irc_config_operator(const struct irc_config *c, const char *name, size_t len,
					       bool is_account);
/* Whether it is a hash, which is checked by the thread that checks passwords: engine/logins.h. */
bool irc_password_is_hash(const struct irc_password *p);
/* Whether it is this one, which is not a hash. It takes as long whatever was given. */
bool irc_password_is(const struct irc_password *p, const char *given, size_t len);

#endif
