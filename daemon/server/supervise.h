/* SPDX-License-Identifier: MIT */
/*
 * `chatd --supervise`, for where there is no systemd: a parent that is to the daemon what systemd is by chatd.service.
 * It keeps the daemon's file descriptors as sd_notify(3) says (FDSTORE=1), starts the daemon again when it dies, passes
 * signals on, and has a watchdog. It touches no client's bytes, and knows nothing of what it keeps.
 */
#ifndef DAEMON_SUPERVISE_H
#define DAEMON_SUPERVISE_H

/* In the daemon's environment: the parent's process number. */
#define SUPERVISE_VARIABLE "CHATD_SUPERVISOR"

/* Runs the daemon with that configuration until it ends in order or is told to. Returns the exit status. */
int supervise_run(const char *config_path);

#endif
