/* SPDX-License-Identifier: MIT */
/* Values of chatd's replies, as the subcommands show them; what is missing is "" or 0. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <jansson.h>

const char *show_string(const json_t *o, const char *key);
json_int_t show_integer(const json_t *o, const char *key);
double show_number(const json_t *o, const char *key);
/* An empty name. */
const char *show_or_dash(const char *s);
/* "2026-11-26 22:00:00", or "" if the time is missing. */
const char *show_when(const json_t *o, const char *key, char dst[static 32]);
/* How a node of the cluster is: "this one", "here" or "away". */
const char *show_node_state(const json_t *node);

#endif
