/* SPDX-License-Identifier: MIT */
/* The subcommands of chatctl: one function each, and the table of them. */
#ifndef CLI_SUBCOMMANDS_H
#define CLI_SUBCOMMANDS_H

struct options;

/* argv[0] is the subcommand. Returns the exit status. */
typedef int subcommand_run(const struct options *o, int argc, char **argv);

struct subcommand {
	const char *name;
	const char *usage; /* arguments */
	const char *help;  /* one line */
	subcommand_run *run;
	const char *options; /* what --help says of them, or NULL */
};
/* Ends with a NULL name. */
extern const struct subcommand subcommands[];

subcommand_run command_backup, command_ban, command_check, command_config, command_export, command_forget,
    command_history, command_search, command_join, command_keys, command_kick, command_list,
    command_log_level, command_metrics, command_passwd, command_ping, command_reload, command_restart,
    command_send, command_status, command_tail, command_token, command_top, command_unban, command_version,
    command_watch;
/* For the shells' completions, so not in the table. */
subcommand_run command_complete;

/* NULL if there is none of that name. */
const struct subcommand *subcommand_find(const char *name);
/* Says that there is none, and which one may be meant. Returns EXIT_USAGE. */
int subcommand_unknown(const char *name);
/* Prints what `chatctl help NAME` does. Returns the exit status. */
int subcommand_help(const char *name);

#endif
