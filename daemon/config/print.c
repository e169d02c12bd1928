/* SPDX-License-Identifier: MIT */
/* Prints the configuration in use: the file's settings, the defaults of others, and no secrets. */
#include "daemon/config/print.h"

#include "daemon/base/logger.h"
#include "daemon/config/config.h"

#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

/* Settings that are secrets themselves. A webhook's URL often is one. Those that end in _file or tls_key are paths. */
static const char *const print_secrets[] = {"password", "secret", "curve_secret_key", "url"};

enum print_kind {
	PRINT_UNSIGNED,
	PRINT_SECONDS,
	PRINT_SIZE,
	PRINT_BOOL,
	PRINT_LEVEL,
	PRINT_SLOW,
	PRINT_TEXT
};

#define ROW(group_, name_, kind_, field)                                                                     \
	{                                                                                                    \
		group_, name_, kind_, offsetof(struct config, field)                                         \
	}

/* group NULL: at the top. */
static const struct print_row {
	const char *group, *name;
	enum print_kind kind;
	size_t offset;
} print_rows[] = {
    ROW(NULL, "workers", PRINT_UNSIGNED, workers),
    ROW(NULL, "max_message", PRINT_UNSIGNED, max_message),
    ROW(NULL, "drain_timeout", PRINT_SECONDS, drain_timeout_us),
    ROW(NULL, "slow", PRINT_SLOW, slow),
    ROW(NULL, "log_level", PRINT_LEVEL, log_level),
    ROW(NULL, "io_uring", PRINT_BOOL, io_uring),
    ROW("room_defaults", "log_size", PRINT_SIZE, room_defaults.log_size),
    ROW("room_defaults", "history", PRINT_UNSIGNED, room_defaults.history),
    ROW("room_defaults", "announce_max", PRINT_UNSIGNED, room_defaults.announce_max),
    ROW("limits", "max_clients", PRINT_UNSIGNED, max_clients),
    ROW("limits", "max_clients_per_address", PRINT_UNSIGNED, max_clients_per_address),
    ROW("limits", "max_rooms", PRINT_UNSIGNED, room_limits.rooms),
    ROW("limits", "max_rooms_per_address", PRINT_UNSIGNED, room_limits.rooms_per_address),
    ROW("limits", "max_rooms_per_client", PRINT_UNSIGNED, max_rooms_per_client),
    ROW("limits", "max_bans", PRINT_UNSIGNED, max_bans),
    ROW("limits", "lines_per_second", PRINT_UNSIGNED, lines_per_second),
    ROW("limits", "bytes_per_second", PRINT_UNSIGNED, bytes_per_second),
    ROW("limits", "commands_per_second", PRINT_UNSIGNED, commands_per_second),
    ROW("limits", "nick_changes_per_minute", PRINT_UNSIGNED, nick_changes_per_minute),
    ROW("limits", "joins_per_minute", PRINT_UNSIGNED, joins_per_minute),
    ROW("limits", "failed_logins_per_minute", PRINT_UNSIGNED, failed_logins_per_minute),
    ROW("limits", "idle_timeout", PRINT_SECONDS, idle_timeout_us),
    ROW("limits", "first_line_timeout", PRINT_SECONDS, first_line_timeout_us),
    ROW("limits", "login_timeout", PRINT_SECONDS, login_timeout_us),
    ROW("limits", "handshake_timeout", PRINT_SECONDS, handshake_timeout_us),
    ROW("limits", "flush_timeout", PRINT_SECONDS, flush_timeout_us),
    ROW("limits", "keepalive", PRINT_SECONDS, keepalive_us),
    ROW("limits", "user_timeout", PRINT_SECONDS, user_timeout_us),
    ROW("limits", "room_linger", PRINT_SECONDS, room_limits.linger_us),
    ROW("control", "socket", PRINT_TEXT, control_socket),
    ROW("control", "group", PRINT_TEXT, control_group),
};

/* Removes the secrets below a setting, and notes where they were. */
static void print_leave_out(config_setting_t *at, const char *path, FILE *notes)
{
	for (int i = config_setting_length(at); i-- > 0;) {
		config_setting_t *s = config_setting_get_elem(at, (unsigned)i);
		const char *name = config_setting_name(s);
		char below[256];
		bool secret = false;

		if (name)
			snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "", name);
		else
			snprintf(below, sizeof(below), "%s[%d]", path, i);
		for (size_t k = 0; name && k < sizeof(print_secrets) / sizeof(*print_secrets); k++)
			secret |= strcmp(name, print_secrets[k]) == 0;
		if (secret) {
			fprintf(notes, "# %s is left out\n", below);
			config_setting_remove_elem(at, (unsigned)i);
		} else if (config_setting_is_aggregate(s)) {
			print_leave_out(s, below, notes);
		}
	}
}

static void print_value(config_setting_t *group, const struct print_row *row, const struct config *c)
{
	const void *at = (const char *)c + row->offset;
	static const int types[] = {[PRINT_UNSIGNED] = CONFIG_TYPE_INT, [PRINT_SECONDS] = CONFIG_TYPE_FLOAT,
				    [PRINT_SIZE] = CONFIG_TYPE_INT64,	[PRINT_BOOL] = CONFIG_TYPE_BOOL,
				    [PRINT_LEVEL] = CONFIG_TYPE_STRING, [PRINT_SLOW] = CONFIG_TYPE_STRING,
				    [PRINT_TEXT] = CONFIG_TYPE_STRING};
	config_setting_t *s = config_setting_add(group, row->name, types[row->kind]);

	if (!s)
		return; /* it is in the file */
	switch (row->kind) {
	case PRINT_UNSIGNED:
		config_setting_set_int(s, (int)*(const unsigned *)at);
		break;
	case PRINT_SECONDS:
		config_setting_set_float(s, (double)*(const int64_t *)at / 1e6);
		break;
	case PRINT_SIZE:
		config_setting_set_int64(s, *(const int64_t *)at);
		break;
	case PRINT_BOOL:
		config_setting_set_bool(s, *(const bool *)at);
		break;
	case PRINT_LEVEL:
		config_setting_set_string(s, log_level_name(*(const int *)at));
		break;
	case PRINT_SLOW:
		config_setting_set_string(s,
					  *(const enum slow_policy *)at == SLOW_SKIP ? "skip" : "disconnect");
		break;
	case PRINT_TEXT:
		config_setting_set_string(s, *(char *const *)at);
		break;
	}
}

static void print_defaults(config_setting_t *root, const struct config *c)
{
	for (size_t i = 0; i < sizeof(print_rows) / sizeof(*print_rows); i++) {
		const struct print_row *row = &print_rows[i];
		config_setting_t *group = row->group ? config_setting_get_member(root, row->group) : root;
		if (!group)
			group = config_setting_add(root, row->group, CONFIG_TYPE_GROUP);
		if (group)
			print_value(group, row, c);
	}
}

char *config_print(const char *text, const struct config *c)
{
	char *ret = NULL;
	config_t lib;
	size_t size;
	FILE *f = open_memstream(&ret, &size);

	if (!f)
		return NULL;
	config_init(&lib);
	if (config_read_string(&lib, text)) {
		print_leave_out(config_root_setting(&lib), "", f);
		print_defaults(config_root_setting(&lib), c);
		config_write(&lib, f);
	}
	config_destroy(&lib);
	fclose(f);
	return ret;
}
