/* SPDX-License-Identifier: MIT */
/*
 * What others see of who speaks, as it was when something happened: records of events name it by a number.
 * Once stored a persona never changes. Numbers are never handed out twice, and the last 65,536 personas are
 * known.
 */
#ifndef DAEMON_IRC_PERSONAS_H
#define DAEMON_IRC_PERSONAS_H

#include "daemon/irc/records.h"

#include <stdbool.h>

struct irc_file;
struct irc_personas;

/* What others see of that user. */
void irc_persona_of(const struct irc_user *u, struct irc_persona *ret);

/* Stores it and returns its number, never 0. Any thread. */
uint32_t irc_persona_put(struct irc_personas *ps, const struct irc_persona *p);
/* False: there is none of that number (0 never has one), or it was overwritten. Any thread. */
bool irc_persona_get(struct irc_personas *ps, uint32_t number, struct irc_persona *ret);

/* Returns 0 or -ENOMEM. */
int irc_personas_new(struct irc_file *file, struct irc_personas **ret);
void irc_personas_free(struct irc_personas *ps);

#endif
