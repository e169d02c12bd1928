/* SPDX-License-Identifier: MIT */
/*
 * What may stand in a listener's group of a certain mode, beside its name, type and mode. The mode's own file
 * says so: its own settings are a table there, which fills a struct of its own (listener_config.own); what
 * several modes have in common is a table in mode_settings.h, which fills the listener_config.
 */
#ifndef DAEMON_MODE_H
#define DAEMON_MODE_H

#include "daemon/config/settings.h"

struct listener_config;

#define MODE_TABLES 6

struct mode_settings {
	/* Tables for the struct listener_config; the rest is NULL. */
	const struct setting_key *common[MODE_TABLES];
	/* The mode's own; NULL: it has none. */
	const struct setting_key *own;
	size_t own_size; /* of what own fills */
	/* Writes the defaults to what is all 0 (or NULL: they are 0); false without memory. */
	bool (*init)(void *own);
	/* Frees what the struct points to, not the struct itself (or NULL). */
	void (*release)(void *own);
	/* All settings are read: judges what takes more than one of them (or NULL). */
	void (*complete)(struct settings *ss, const config_setting_t *group, struct listener_config *l);
};

#endif
