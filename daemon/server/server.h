/* SPDX-License-Identifier: MIT */
/*
 * The main thread: start, signals, timers, watchdog, reload, the handover to a successor, and the end. It
 * touches no client's bytes.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

/* Serves until it is told to end. argv: for `chatctl restart`. Returns the exit status. */
int server_run(const char *config_path, char **argv);

#endif
