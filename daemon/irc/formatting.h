/* SPDX-License-Identifier: MIT */
/*
 * Bold, colours and the like are IRC's own, and control characters elsewhere: they are left out, so that everybody reads
 * the same. \x03 has up to two numbers behind it, \x04 six digits.
 */
#ifndef DAEMON_IRC_FORMATTING_H
#define DAEMON_IRC_FORMATTING_H

#include <stddef.h>

/* Writes s without it to out, which has space for len bytes; returns how many there are. */
size_t irc_strip_formatting(const char *s, size_t len, char *out);

#endif
