/* SPDX-License-Identifier: MIT */
/* The configuration that is in use, as text again. */
#ifndef DAEMON_CONFIG_PRINT_H
#define DAEMON_CONFIG_PRINT_H

struct config;

/*
 * text: what the configuration c was read from. In libconfig's syntax, with the defaults of what isn't in it (of settings that
 * are no list's and no optional part's) and without secrets, which are named in comments before it. free()d by the caller; NULL
 * without memory.
 */
char *config_print(const char *text, const struct config *c);

#endif
