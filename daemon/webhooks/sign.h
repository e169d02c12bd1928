/* SPDX-License-Identifier: MIT */
/*
 * A delivery's signature as Standard Webhooks has it (standardwebhooks.com), so that receivers can use its libraries:
 * HMAC-SHA256 of "ID.TIMESTAMP.BODY", in base64 behind "v1,". A secret that begins with "whsec_" is base64.
 */
#ifndef DAEMON_WEBHOOKS_SIGN_H
#define DAEMON_WEBHOOKS_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define SIGN_SIZE 48 /* with its NUL */

void sign_delivery(const char *secret, const char *id, int64_t timestamp_s, const char *body, size_t len,
		   char ret[static SIGN_SIZE]);

#endif
