/* SPDX-License-Identifier: MIT */
/* Masks as in lists of bans: "nick!user@host" with wildcards. */
#ifndef DAEMON_CHANNELS_MASK_H
#define DAEMON_CHANNELS_MASK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the mask is all of the text: * is anything, ? is one character, and a backslash takes one of these behind it as it is
 * (RFC 2812, 2.5): others are themselves, as nicks have them. ASCII case-insensitive. Takes at most their lengths multiplied.
 */
bool irc_mask_match(const char *mask, const char *text);

/*
 * The mask in full, cut at a character if it does not fit, with a NUL: "nick" is "nick!*@*", "u@h" is "*!u@h", "n!u" is
 * "n!u@*", and what is empty is "*". "a:NAME" and whatever else is one letter and a colon is left as it is, but for
 * "m:MASK", whose mask is made full.
 */
void irc_mask_normalise(const char *mask, size_t len, char *ret, size_t size);

#endif
