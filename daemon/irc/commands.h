/* SPDX-License-Identifier: MIT */
/* The tables of commands, one of each file that has some: see struct irc_command. */
#ifndef DAEMON_IRC_COMMANDS_H
#define DAEMON_IRC_COMMANDS_H

#include "daemon/irc/irc.h"

extern const struct irc_command irc_commands_registration[];
extern const struct irc_command irc_commands_account[];
extern const struct irc_command irc_commands_authenticate[];
extern const struct irc_command irc_commands_oper[];
extern const struct irc_command irc_commands_away[];
extern const struct irc_command irc_commands_caps[];
extern const struct irc_command irc_commands_kill[];
extern const struct irc_command irc_commands_monitor[];
extern const struct irc_command irc_commands_setname[];
extern const struct irc_command irc_commands_rooms[];
extern const struct irc_command irc_commands_say[];
extern const struct irc_command irc_commands_nick[];
extern const struct irc_command irc_commands_quit[];
extern const struct irc_command irc_commands_modes[];
extern const struct irc_command irc_commands_topic[];
extern const struct irc_command irc_commands_names[];
extern const struct irc_command irc_commands_who[];
extern const struct irc_command irc_commands_whois[];
extern const struct irc_command irc_commands_whowas[];
extern const struct irc_command irc_commands_list[];
extern const struct irc_command irc_commands_lusers[];
extern const struct irc_command irc_commands_info[];
extern const struct irc_command irc_commands_help[];
extern const struct irc_command irc_commands_chathistory[];
extern const struct irc_command irc_commands_markread[];

#endif
