/* SPDX-License-Identifier: MIT */
/* The tables of chatctl top: what each shows, how wide, and by which key it is sorted. */
#include "cli/top.h"

/* 80 columns have space for those up to IDLE. */
static const struct top_column top_clients[] = {
    {"ID", "id", 7, 'i', TOP_NUMBER, NULL},	      {"NICK", "nick", -14, 'n', TOP_TEXT, NULL},
    {"ROOM", "room", -12, 'r', TOP_TEXT, NULL},	      {"BEHIND", "behind", 8, 'b', TOP_BYTES, NULL},
    {"IN/s", "in", 8, 't', TOP_BYTES, "received"},    {"OUT/s", "out", 8, 'o', TOP_BYTES, "sent"},
    {"IDLE", "idle", 12, 'd', TOP_SECONDS, NULL},     {"ADDRESS", "address", -22, 'a', TOP_TEXT, NULL},
    {"DROPPED", "dropped", 8, 'x', TOP_NUMBER, NULL}, {"LISTENER", "listener", -12, 'l', TOP_TEXT, NULL},
};

static const struct top_column top_rooms[] = {
    {"ROOM", "name", -16, 'r', TOP_TEXT, NULL},		  {"MEMBERS", "members", 8, 'm', TOP_NUMBER, NULL},
    {"ELSEWHERE", "elsewhere", 9, 'e', TOP_NUMBER, NULL}, {"PER s", "rate", 8, 't', TOP_RATE, "messages"},
    {"MESSAGES", "messages", 12, 'n', TOP_NUMBER, NULL},  {"FORMAT", "format", -6, 'f', TOP_TEXT, NULL},
    {"LOG", "log_size", 8, 'l', TOP_BYTES, NULL},
};

static const struct top_column top_listeners[] = {
    {"LISTENER", "name", -12, 'l', TOP_TEXT, NULL},   {"TYPE", "type", -6, 't', TOP_TEXT, NULL},
    {"MODE", "mode", -8, 'm', TOP_TEXT, NULL},	      {"ACCEPTED", "accepted", 8, 'a', TOP_NUMBER, NULL},
    {"PER s", "rate", 6, 's', TOP_RATE, "accepted"},  {"RECEIVED", "received", 8, 'r', TOP_NUMBER, NULL},
    {"DROPPED", "dropped", 8, 'x', TOP_NUMBER, NULL}, {"IGNORED", "ignored", 8, 'i', TOP_NUMBER, NULL},
    {"ADDRESS", "address", -22, 'd', TOP_TEXT, NULL}, {"ROOM", "room", -12, 'o', TOP_TEXT, NULL},
    {"SOCKET", "socket", -8, 'k', TOP_TEXT, NULL},
};

static const struct top_column top_nodes[] = {
    {"NODE", "name", -14, 'n', TOP_TEXT, NULL},	      {"STATE", "state", -8, 's', TOP_TEXT, NULL},
    {"CLIENTS", "clients", 8, 'c', TOP_NUMBER, NULL}, {"LAG", "lag", 8, 'l', TOP_NUMBER, NULL},
    {"SINCE", "since", 19, 'i', TOP_WHEN, NULL},      {"VERSION", "version", -8, 'v', TOP_TEXT, NULL},
    {"SEEN", "seen", 19, 'e', TOP_WHEN, NULL},
};

static const struct top_column top_webhooks[] = {
    {"WEBHOOK", "name", -12, 'n', TOP_TEXT, NULL},    {"STATE", "state", -8, 's', TOP_TEXT, NULL},
    {"WAITING", "waiting", 8, 'w', TOP_NUMBER, NULL}, {"DELIVERED", "delivered", 9, 'd', TOP_NUMBER, NULL},
    {"PER s", "rate", 6, 't', TOP_RATE, "delivered"}, {"FAILURES", "failures", 8, 'f', TOP_NUMBER, NULL},
    {"MISSED", "missed", 8, 'm', TOP_NUMBER, NULL},   {"ROOM", "room", -12, 'r', TOP_TEXT, NULL},
    {"WHY", "why", -20, 'y', TOP_TEXT, NULL},
};

#define COLUMNS(of) .columns = (of), .n_columns = sizeof(of) / sizeof(*(of))

const struct top_view top_views[TOP_VIEWS] = {
    [TOP_CLIENTS] = {"clients", "id", COLUMNS(top_clients), .fixed = 2, .sort = 3},
    [TOP_ROOMS] = {"rooms", "name", COLUMNS(top_rooms), .fixed = 1, .sort = 1},
    [TOP_LISTENERS] = {"listeners", "name", COLUMNS(top_listeners), .fixed = 1, .sort = 3},
    [TOP_NODES] = {"nodes", "name", .only = "cluster", COLUMNS(top_nodes), .fixed = 2, .sort = 0},
    [TOP_WEBHOOKS] = {"webhooks", "name", .in_status = true, .only = "webhooks", COLUMNS(top_webhooks),
		      .fixed = 2, .sort = 2},
};
