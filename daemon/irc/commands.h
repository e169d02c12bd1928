/* SPDX-License-Identifier: MIT */
/* The tables of commands, one of each file that has some: see struct irc_command. */
#ifndef DAEMON_IRC_COMMANDS_H
#define DAEMON_IRC_COMMANDS_H

#include "daemon/irc/irc.h"

extern const struct irc_command irc_commands_registration[];
extern const struct irc_command irc_commands_caps[];
extern const struct irc_command irc_commands_rooms[];
extern const struct irc_command irc_commands_say[];
extern const struct irc_command irc_commands_nick[];
extern const struct irc_command irc_commands_quit[];

#endif
