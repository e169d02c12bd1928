/* SPDX-License-Identifier: MIT */
/*
 * IRCv3's sasl as far as it is about messages: which mechanisms there are, how a message comes in chunks of 400 bytes of
 * base64, what PLAIN's says. authenticate.c has the command. What has to be kept from one AUTHENTICATE to the next is a
 * struct that is a blob (blobs.h) of the client's, so that an exchange goes on in the next process.
 */
#ifndef DAEMON_IRC_SASL_H
#define DAEMON_IRC_SASL_H

#include "common/accounts.h"
#include "common/scram.h"
#include "daemon/irc/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IRC_SASL_CHUNK 400
/* A message of PLAIN with the longest names and password there are, in base64. */
#define IRC_SASL_DATA_MAX ((size_t)1712)
#define IRC_SASL_MESSAGE_MAX (IRC_SASL_DATA_MAX / 4 * 3)

enum irc_sasl_mechanism {
	IRC_SASL_NONE,
	IRC_SASL_PLAIN,
	IRC_SASL_EXTERNAL,
	IRC_SASL_SCRAM,
	IRC_SASL_MECHANISMS
};

/* What comes next. */
enum irc_sasl_step {
	IRC_SASL_FIRST,
	IRC_SASL_FINAL, /* of SCRAM: its proof */
	IRC_SASL_DONE,	/* likewise: an empty message, as we have proved ourselves, too */
	IRC_SASL_STEPS,
};

struct irc_sasl {
	uint8_t mechanism, step;
	uint16_t first_len; /* of SCRAM's first message */
	uint16_t len;	    /* of data: the message so far */
	char account[TEXT_NICK_MAX + 1];
	char nonce[SCRAM_NONCE_SIZE];
	char first[SCRAM_MESSAGE_MAX / 2];
	char data[IRC_SASL_DATA_MAX];
};

_Static_assert(sizeof(struct irc_sasl) <= IRC_BLOB_SASL_MAX, "it is a blob");

/* By its name, in whatever case (not NUL-terminated); IRC_SASL_NONE: there is none of it. */
enum irc_sasl_mechanism irc_sasl_find(const char *name, size_t len);
/* As the capability's value has them: "PLAIN,SCRAM-SHA-256". */
#define IRC_SASL_LIST_MAX 48
const char *irc_sasl_list(bool external, char ret[static IRC_SASL_LIST_MAX]);

/* The blob's size; and whether one that was read, of that size, is one. */
size_t irc_sasl_size(const struct irc_sasl *s);
bool irc_sasl_is_good(const struct irc_sasl *s, size_t size);

/* Adds the parameter of an AUTHENTICATE. 0: the message is there; -EAGAIN: more of it comes; -EMSGSIZE: it is no chunk;
 * -EFBIG: there is no message that long. */
int irc_sasl_add(struct irc_sasl *s, const char *chunk, size_t len);
/* What the message is; it is gone then. -EBADMSG: it isn't base64. */
int irc_sasl_take(struct irc_sasl *s, char ret[static IRC_SASL_MESSAGE_MAX], size_t *ret_len);

/* A message of PLAIN (RFC 4616). */
struct irc_sasl_plain {
	const char *as, *name, *password; /* as: whom it wants to act as; as_len 0: the same */
	size_t as_len, name_len, password_len;
};
/* 0 or -EBADMSG, also of what can be no password. */
int irc_sasl_plain(const char *message, size_t len, struct irc_sasl_plain *ret);

#endif
