/* SPDX-License-Identifier: MIT */
/*
 * What an admin may search the log for: each kind of event has a MESSAGE_ID, the same in every release, and
 * those that `chatctl watch` shows have a word; and the fields that a line may have.
 */
#ifndef DAEMON_EVENTS_H
#define DAEMON_EVENTS_H

#include <stdint.h>

union address;

/* `journalctl MESSAGE_ID=...`; chatd(8) lists them. */
#define EVENT_STARTED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f01"
#define EVENT_STOPPED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f02"
#define EVENT_RELOADED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f03"
#define EVENT_CONFIG_ERROR "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f04"
#define EVENT_CLIENT_OPENED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f05"
#define EVENT_CLIENT_CLOSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f06"
#define EVENT_CLIENT_KICKED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f07"
#define EVENT_CLIENT_REFUSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f08"
#define EVENT_LISTENER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f09"
#define EVENT_WORKER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0a"
#define EVENT_CONTROL "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0b"
#define EVENT_TAKEOVER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0c"
#define EVENT_STATE_REFUSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0d"
#define EVENT_LOGIN "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0e"
#define EVENT_BAN "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0f"
#define EVENT_CLIENT_SLOWED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f10"
#define EVENT_JOINED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f11"
#define EVENT_LEFT "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f12"
#define EVENT_RENAMED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f13"
#define EVENT_SKIPPED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f14"
/* The way to the other nodes of a cluster is there or lost; a node is; lines of one are missing; a message of NATS is not
 * what a node says. */
#define EVENT_CLUSTER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f15"
#define EVENT_NODE "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f16"
#define EVENT_GAP "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f17"
#define EVENT_CLUSTER_REFUSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f18"
/* Rooms were restored; nothing can be stored, or can again; messages were not; a damaged database was set aside. */
#define EVENT_HISTORY "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f19"

/* A webhook's receiver is away or there again; messages were not delivered to it. */
#define EVENT_WEBHOOK "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f1a"

/* What a line of the log is about. All fields may be left 0. */
struct log_fields {
	const char *message_id;
	uint64_t client;
	const char *room;
	const char *listener;
	const union address *address; /* the peer's */
	const char *prefix;	      /* instead of it: all addresses that a ban is for */
	const char *reason;	      /* an admin's */
	int64_t until_us;	      /* CLOCK_REALTIME: when the ban ends */
	const char *node;	      /* of a cluster */
};

/* The word for an event: "joined", "kicked", ...; NULL: `chatctl watch` doesn't show it. message_id may be
 * NULL. */
const char *event_kind(const char *message_id);

#endif
