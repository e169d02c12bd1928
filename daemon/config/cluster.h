/* SPDX-License-Identifier: MIT */
/*
 * `cluster` in the configuration: which rooms are shared with other nodes, and how NATS is reached, over which they
 * are. What it names are files of secrets; their content is here, and never in a log.
 */
#ifndef DAEMON_CONFIG_CLUSTER_H
#define DAEMON_CONFIG_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define CLUSTER_NODE_MAX 32    /* bytes of a node's name, [A-Za-z0-9_-] */
#define CLUSTER_STREAM_MAX 32  /* bytes of a stream's name, likewise */
#define CLUSTER_SERVERS_MAX 32 /* servers of NATS */
#define CLUSTER_FILES 4	       /* that libnats reads itself */

/* What people in a room get while NATS can't be reached. */
enum cluster_away {
	CLUSTER_LOCAL, /* what is said here is shown here at once; the order differs from node to node */
	CLUSTER_WAIT,  /* it is shown when NATS is back: one order everywhere */
};

struct cluster_config {
	char node[CLUSTER_NODE_MAX + 1];
	char stream[CLUSTER_STREAM_MAX + 1];
	char **rooms; /* their names; NULL: all rooms */
	size_t n_rooms;

	char **servers; /* "nats://HOST:PORT", or all "tls://HOST:PORT"; at least one */
	size_t n_servers;
	bool tls; /* they are tls:// */
	/* Who we are there. NULL: not said. user comes with a password; a token or credentials come alone. */
	char *user, *password, *token;
	/* Paths, or NULL. They can be opened as long as this configuration is there, and lead to what was read
	 * when it was loaded. */
	char *credentials, *tls_ca, *tls_certificate, *tls_key;

	enum cluster_away when_away;
	int64_t away_after_us;	/* NATS is away when it was not there for so long */
	int64_t reserve_for_us; /* names of a node's accounts are reserved here for so long when it is away */
	unsigned replicas;	/* of the stream: 1, 3 or 5 */
	int64_t keep_us;	/* how long, */
	uint64_t keep_bytes;	/* and how much of it NATS keeps */

	/* Its own. */
	char *password_file, *token_file;
	char *files[CLUSTER_FILES]; /* as the configuration has them: see paths above */
	int copies[CLUSTER_FILES];  /* what these lead to; -1: none */
	unsigned refs;
};

/* c may be NULL: there is no cluster, and no room of it. */
bool cluster_config_has_room(const struct cluster_config *c, const char *name);
void cluster_config_free(struct cluster_config *c);
/* One more cluster_config_free() is needed. On the main thread, as that. */
static inline struct cluster_config *cluster_config_hold(struct cluster_config *c)
{
	c->refs++;
	return c;
}

/*
 * For a reload: what counts only after a restart (whether there is a cluster, node, stream and rooms) becomes in *new
 * what it is in old. Returns whether anything did; -ENOMEM.
 */
int cluster_config_keep(struct cluster_config **new, struct cluster_config *old);

#endif
