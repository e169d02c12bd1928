/* SPDX-License-Identifier: MIT */
/* chatctl's side of the control socket. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

struct client;

/* Connects. Returns 0 or -errno. */
int client_open(const char *path, struct client **ret);
void client_close(struct client *c);

/*
 * Sends a call of io.chatd.Control, or of the interface that is named with it, and takes over the reference to parameters
 * (or NULL). Returns 0 or -errno.
 */
int client_send(struct client *c, const char *method, json_t *parameters, bool more);

/*
 * Waits for a reply. Returns 1 if more follow, 0 if it is the last, with *ret_parameters owned by the caller;
 * -ECONNRESET when the server has gone, -EREMOTEIO after an error, whose text is in *ret_error (free()d by
 * the caller), or -errno.
 */
int client_receive(struct client *c, json_t **ret_parameters, char **ret_error);

#endif
