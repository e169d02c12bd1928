/* SPDX-License-Identifier: MIT */
/*
 * The service that makes one room of the rooms of many machines: what is said here goes to NATS, and what
 * comes from there is said here, on all nodes in the same order. It is there only if the configuration has a
 * cluster.
 */
#ifndef DAEMON_CLUSTER_H
#define DAEMON_CLUSTER_H

#include "common/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cluster;
struct cluster_config;
struct cluster_file;
struct config;
struct rooms;
struct shared;

/*
 * Makes the service, if there is a cluster, and shares its rooms: before anything is said or configured and before
 * the takeover. Without a cluster, rooms that were shared get what was not shown in them yet. 0 or -errno.
 */
int cluster_open(struct shared *shared, const struct config *config);
/* Names that other nodes reserve are kept in that file; reads it, before anybody has a nick. NULL is fine. 0 or -errno. */
int cluster_keep_names(struct cluster *c, const char *path);
/* Writes what has changed there, now and then; may wait for the disk. NULL is fine. Returns 0 or -errno. */
int cluster_save_names(struct cluster *c);
/* Begins its thread; NULL is fine. */
int cluster_start(struct cluster *c);

/*
 * Before that: whether the node takes the name that it has in the configuration now. As long as lines have not come back
 * that were said under another one, it keeps that, and has it in the configuration.
 */
void boots_take_name(struct rooms *rooms, struct cluster_file *f, struct cluster_config *g);

/* A shared room that is not the same on another node. */
#define CLUSTER_DIFFERENCES 16
struct cluster_difference {
	char node[64], room[TEXT_ROOM_MAX + 1];
	char what[40]; /* "members, read_only, format" */
};

/* How it is. */
struct cluster_status {
	bool connected;
	int64_t since_us;   /* CLOCK_REALTIME of the last change of that; 0: it has not been connected yet */
	char server[256];   /* URL of the one that it is connected to, or was; "" */
	char why[256];	    /* why it isn't connected; "" */
	uint64_t lines_out; /* published, again and again if need be */
	uint64_t lines_in;  /* put into rooms of this node */
	uint64_t waiting_lines; /* of this node that have not come back */
	uint64_t batches;	/* published */
	uint64_t trimmed;	/* lines that came again, and were left out */
	uint64_t gaps;		/* lines that will never come */
	uint64_t refused;	/* what NATS brought and no node can have said */
	uint64_t unread;	/* what others say of nodes, people and bans that can't be read */
	uint64_t misused;	/* messages in this node's name that it has not said */
	uint64_t applied,
	    last; /* number of the stream's message up to which this node has read, and of the newest */
	unsigned n_rooms; /* that are shared with other nodes */
	struct cluster_difference differences[CLUSTER_DIFFERENCES];
	unsigned n_differences;
};

/* The node ends, not only this process: the others need not find out. Main thread; c may be NULL. */
void cluster_leave(struct cluster *c);

/* A node that was heard of, this one included. */
struct cluster_node {
	char name[64];
	bool self, alive;
	int64_t since_us, seen_us; /* CLOCK_REALTIME: alive or away since; last heard of */
	uint64_t applied, lag;	   /* messages of the stream: read; not read yet */
	unsigned clients;
	char version[16];
};

/* Any thread; c may be NULL: all zeros, nobody. */
void cluster_copy_status(struct cluster *c, struct cluster_status *ret);
/* In an array to be freed, this node first; NULL without memory. */
struct cluster_node *cluster_copy_nodes(struct cluster *c, size_t *ret_n);

#endif
