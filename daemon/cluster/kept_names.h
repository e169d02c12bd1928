/* SPDX-License-Identifier: MIT */
/*
 * The names that other nodes reserve, as for accounts, stay reserved here while those nodes are away, until they say
 * otherwise or were away for too long. They are in a file, "NODE SECONDS NAME" a line (when the node was there last), so
 * that they are also reserved when this node was away meanwhile.
 */
#ifndef DAEMON_KEPT_NAMES_H
#define DAEMON_KEPT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

struct elsewhere;
struct kept_names;

/* So many names are in the file at most. */
#define KEPT_NAMES_MAX 65536

/* Reads the file, before anybody can have a nick. node: this one, which reserves its own. Returns 0 or -ENOMEM. */
int kept_names_new(const char *path, const char *node, struct elsewhere *el, struct kept_names **ret);
void kept_names_free(struct kept_names *k);

/*
 * For the thread that changes who is elsewhere, now and then: notes who is there, forgets who was away for longer than
 * keep_us, and makes the file's text anew if need be. now: CLOCK_MONOTONIC. k may be NULL.
 */
void kept_names_turn(struct kept_names *k, int64_t now, int64_t keep_us,
		     bool (*is_there)(const char *node, void *arg), void *arg);
/* For the main thread, which may wait for the disk: writes what has changed. Returns 0 or -errno. */
int kept_names_save(struct kept_names *k);

#endif
