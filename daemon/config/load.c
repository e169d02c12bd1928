/* SPDX-License-Identifier: MIT */
/*
 * The file as a whole: it is opened, read by the tables of settings below, and judged where that takes more
 * than one of them. Listeners and rooms, which are lists of groups, have files of their own.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/config/cluster_settings.h"
#include "daemon/config/config.h"
#include "daemon/config/copies.h"
#include "daemon/config/history_settings.h"
#include "daemon/config/irc_settings.h"
#include "daemon/config/listener_checks.h"
#include "daemon/config/listeners.h"
#include "daemon/config/rooms.h"
#include "daemon/config/settings.h"
#include "daemon/config/syntax.h"
#include "daemon/config/webhooks_settings.h"
#include "daemon/state/clients.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* The service manager makes this directory when chatd starts: RuntimeDirectory= in its unit. */
#define RUNTIME_DIRECTORY "/run/chatd"
/* The kernel takes no more. */
#define KEEPALIVE_MAX_S 32767

/* --- settings that no other file has --- */

static void load_slow(struct settings *ss, const config_setting_t *s, const struct setting_key *key, void *at)
{
	(void)key;
	*(enum slow_policy *)at =
	    setting_word(ss, s, "skip", "disconnect") == 1 ? SLOW_DISCONNECT : SLOW_SKIP;
}

static const char *load_slow_word(const void *at)
{
	return *(const enum slow_policy *)at == SLOW_SKIP ? "skip" : "disconnect";
}

static void load_log_level(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			   void *at)
{
	static const char allowed[] = "\"error\", \"warning\", \"notice\", \"info\" or \"debug\"";
	const char *v = setting_string(ss, s, allowed);
	int level = v ? log_level_parse(v) : -1;

	if (level >= 0)
		*(int *)at = level;
	else if (v)
		settings_complain(ss, s, "%s must be %s, not \"%s\"", key->name, allowed, v);
}

static const char *load_log_level_word(const void *at)
{
	return log_level_name(*(const int *)at);
}

static void load_bytes_per_second(struct settings *ss, const config_setting_t *s,
				  const struct setting_key *key, void *at)
{
	unsigned *v = at;

	setting_unsigned(ss, s, key, at);
	if (*v > 0 && *v < 1024)
		settings_complain(ss, s, "bytes_per_second must be 0 or at least 1024");
}

static void load_control_socket(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
				void *at)
{
	char **path = at;
	const char *v = setting_string(ss, s, "the path of a Unix socket");
	struct sockaddr_un un;

	if (!v)
		return;
	if (v[0] != '/' || strlen(v) >= sizeof(un.sun_path)) {
		settings_complain(ss, s, "%s must be an absolute path of at most %zu bytes", key->name,
				  sizeof(un.sun_path) - 1);
		return;
	}
	free(*path);
	*path = strdup(v);
}

static void load_control_group(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			       void *at)
{
	char **group = at;
	const char *v = setting_string(ss, s, "the name of a group");

	(void)key;
	if (!v)
		return;
	free(*group);
	*group = strdup(v);
}

static void load_metrics(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			 void *at)
{
	static const char allowed[] = "an address such as \"127.0.0.1:9150\"";
	const char *v = setting_string(ss, s, allowed);
	struct config *c = at;

	if (v && address_parse(v, &c->metrics) < 0)
		settings_complain(ss, s, "%s must be %s, not \"%s\"", key->name, allowed, v);
	free(c->metrics_where);
	c->metrics_where = settings_where(ss, s);
}

static void load_state_directory(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	char **path = at;
	const char *v = setting_string(ss, s, "the path of a directory");

	if (!v)
		return;
	if (v[0] != '/') {
		settings_complain(ss, s, "%s must be an absolute path", key->name);
		return;
	}
	free(*path);
	*path = strdup(v);
}

#define AT(field) offsetof(struct config, field)

static const struct setting_key limit_keys[] = {
    SETTING("max_clients", setting_unsigned, AT(max_clients), .min = 1, .max = CLIENTS_LIMIT),
    SETTING("max_clients_per_address", setting_unsigned, AT(max_clients_per_address), .max = CLIENTS_LIMIT),
    SETTING("max_rooms", setting_unsigned, AT(room_limits.rooms), .min = 1, .max = ROOMS_CAPACITY / 2),
    SETTING("lines_per_second", setting_unsigned, AT(lines_per_second), .max = 1000000),
    SETTING("bytes_per_second", load_bytes_per_second, AT(bytes_per_second), .max = 1000000000,
	    .like = setting_unsigned),
    SETTING("nick_changes_per_minute", setting_unsigned, AT(nick_changes_per_minute), .max = 1000000),
    SETTING("joins_per_minute", setting_unsigned, AT(joins_per_minute), .max = 1000000),
    SETTING("commands_per_second", setting_unsigned, AT(commands_per_second), .max = 1000000),
    SETTING("failed_logins_per_minute", setting_unsigned, AT(failed_logins_per_minute), .max = 1000000),
    SETTING("max_rooms_per_address", setting_unsigned, AT(room_limits.rooms_per_address),
	    .max = ROOMS_CAPACITY / 2),
    SETTING("max_rooms_per_client", setting_unsigned, AT(max_rooms_per_client), .min = 1, .max = 100),
    SETTING("max_bans", setting_unsigned, AT(max_bans), .max = 100000),
    SETTING("first_line_timeout", setting_seconds, AT(first_line_timeout_us), .max = DAY_S),
    SETTING("login_timeout", setting_seconds, AT(login_timeout_us), .max = DAY_S),
    SETTING("handshake_timeout", setting_seconds, AT(handshake_timeout_us), .min = 1, .max = 3600),
    SETTING("flush_timeout", setting_seconds, AT(flush_timeout_us), .min = 1, .max = DAY_S),
    SETTING("keepalive", setting_seconds, AT(keepalive_us), .max = KEEPALIVE_MAX_S),
    SETTING("user_timeout", setting_seconds, AT(user_timeout_us), .max = DAY_S),
    SETTING("idle_timeout", setting_seconds, AT(idle_timeout_us), .max = 30 * DAY_S),
    SETTING("room_linger", setting_seconds, AT(room_limits.linger_us), .max = 30 * DAY_S),
    SETTINGS_END,
};

static const struct setting_key control_keys[] = {
    SETTING("socket", load_control_socket, AT(control_socket), .like = setting_path),
    SETTING("group", load_control_group, AT(control_group), .like = setting_path),
    SETTINGS_END,
};

static const struct setting_key metrics_keys[] = {
    SETTING("listen", load_metrics, 0),
    SETTINGS_END,
};

const struct setting_key config_keys[] = {
    SETTING("workers", setting_unsigned, AT(workers), .max = CONFIG_MAX_WORKERS),
    SETTING("max_message", setting_unsigned, AT(max_message), .min = 16, .max = CONFIG_MAX_MESSAGE),
    SETTING("drain_timeout", setting_seconds, AT(drain_timeout_us), .max = 3600),
    SETTING("slow", load_slow, AT(slow), .word = load_slow_word),
    SETTING("log_level", load_log_level, AT(log_level), .word = load_log_level_word),
    SETTING("io_uring", setting_bool, AT(io_uring)),
    SETTING("rooms", setting_rooms, 0),
    SETTING("room_defaults", setting_group, AT(room_defaults), .group = room_defaults_keys),
    SETTING("listeners", setting_listeners, 0),
    SETTING("limits", setting_group, 0, .group = limit_keys),
    SETTING("server_name", setting_irc_server_name, AT(irc.server_name)),
    SETTING("network", setting_irc_network, AT(irc.network)),
    SETTING("motd_file", setting_irc_motd_file, AT(irc)),
    SETTING("admin", setting_irc_admin, AT(irc.admin)),
    SETTING("operators", setting_irc_operators, AT(irc)),
    SETTING("cloak_key_file", setting_irc_cloak_key_file, AT(irc)),
    SETTING("cluster", setting_cluster, AT(cluster)),
    SETTING("history", setting_history, AT(history)),
    SETTING("webhooks", setting_webhooks, AT(webhooks)),
    SETTING("control", setting_group, 0, .group = control_keys),
    SETTING("metrics", setting_group, 0, .group = metrics_keys),
    SETTING("state_directory", load_state_directory, AT(state_directory)),
    SETTINGS_END,
};

#undef AT

static void load_check_control(struct settings *ss, const config_setting_t *at, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));

	if (!dir || access(dir, W_OK | X_OK) == 0 || (errno == ENOENT && strcmp(dir, RUNTIME_DIRECTORY) == 0))
		return;
	settings_warn(ss, at, "the control socket can't be made in %s%s: %s", dir, ss->as, strerror(errno));
}

/* Names of what isn't there: allowed, since it may come later, but mostly a slip. */
static void load_check_names(struct settings *ss, const config_setting_t *root, const struct config *c)
{
	const config_setting_t *s = config_setting_get_member(root, "rooms");
	int n = s ? config_setting_length(s) : 0;
	bool known = true;

	if (c->n_listeners == 0)
		settings_warn(ss, NULL, "there are no listeners, so nobody can connect");
	for (size_t i = 0; i < c->n_listeners; i++)
		known &= !c->listeners[i].password_file || c->listeners[i].password_file[0] == '/';
	for (int i = 0; known && i < n; i++) {
		const config_setting_t *members =
		    config_setting_get_member(config_setting_get_elem(s, (unsigned)i), "members");
		for (int k = 0; members && k < config_setting_length(members); k++) {
			const char *v = config_setting_get_string_elem(members, k);
			if (v && !config_has_account(c, v, strlen(v)))
				settings_warn(ss, config_setting_get_elem(members, (unsigned)k),
					      "no password_file has an account \"%s\"", v);
		}
	}
	if (c->state_directory && access(c->state_directory, W_OK | X_OK) < 0)
		settings_warn(ss, config_setting_get_member(root, "state_directory"),
			      "bans can't be kept in %s%s: %s", c->state_directory, ss->as, strerror(errno));
	load_check_control(ss, config_lookup(root->config, "control.socket"), c->control_socket);
	s = config_lookup(root->config, "control.group");
	if (s && strcmp(c->control_group, "chatd") != 0 && !getgrnam(c->control_group))
		settings_warn(ss, s, "there is no group \"%s\"", c->control_group);
}

/* What needs more than one setting to be judged. */
static void load_check_whole(struct settings *ss, const config_setting_t *root, const struct config *c)
{
	uint64_t min = 16ULL * c->max_message;
	const config_setting_t *rooms = config_setting_get_member(root, "rooms");

	for (size_t i = 0; i < c->n_rooms; i++)
		if (c->rooms[i].settings.log_size < min)
			settings_complain(
			    ss, config_setting_get_elem(rooms, (unsigned)i),
			    "the log of room \"%s\" is too small: log_size must be at least 16 times "
			    "max_message",
			    c->rooms[i].name);
	if (c->room_defaults.log_size < min)
		settings_complain(ss, config_setting_get_member(root, "room_defaults"),
				  "log_size in room_defaults must be at least 16 times max_message");
	listeners_check(ss, root, c);
	if (c->n_rooms > c->room_limits.rooms)
		settings_complain(ss, rooms, "there are %zu rooms; limits.max_rooms allows %u", c->n_rooms,
				  c->room_limits.rooms);
}

static int load_root(config_t *lib, struct settings *ss, struct config **ret)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct config){
	    .max_message = 4096,
	    .drain_timeout_us = 5000000,
	    .slow = SLOW_SKIP,
	    .log_level = LOG_INFO,
	    .io_uring = true,
	    .room_defaults = {.log_size = 1 << 20, .history = 20, .announce_max = 100},
	    .max_clients = 100000,
	    .max_clients_per_address = 1000,
	    .room_limits = {.rooms = 1000, .rooms_per_address = 50, .linger_us = 300 * SECOND_US},
	    .max_bans = 1000,
	    .max_rooms_per_client = 100,
	    .irc.network = "chatd",
	    .nick_changes_per_minute = 30,
	    .joins_per_minute = 60,
	    .commands_per_second = 20,
	    .failed_logins_per_minute = 30,
	    .login_timeout_us = 60 * SECOND_US,
	    .handshake_timeout_us = 10 * SECOND_US,
	    .flush_timeout_us = 300 * SECOND_US,
	    .keepalive_us = 60 * SECOND_US,
	    .user_timeout_us = 300 * SECOND_US,
	    .control_socket = strdup(RUNTIME_DIRECTORY "/control.sock"),
	    .control_group = strdup("chatd"),
	};
	irc_config_default_name(c->irc.server_name);
	config_setting_t *root = config_root_setting(lib);
	settings_read(ss, root, config_keys, c);
	history_read_rooms(ss, config_setting_get_member(root, "rooms"), c->history);
	load_check_whole(ss, root, c);
	if (ss->warnings)
		load_check_names(ss, root, c);
	settings_finish(ss);
	if (ss->n_errors > 0 || !c->control_socket || !c->control_group) {
		config_free(c);
		return ss->n_errors > 0 ? -EINVAL : -ENOMEM;
	}
	*ret = c;
	return 0;
}

static int load_become(struct settings *ss, const struct passwd *user)
{
	if (initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
	    setuid(user->pw_uid) < 0) {
		settings_complain(ss, NULL, "can't be checked%s: %s", ss->as, strerror(errno));
		return -errno;
	}
	if (access(ss->file, R_OK) < 0)
		settings_warn(ss, NULL, "can't be read%s: %s", ss->as, strerror(errno));
	return 0;
}

/* What libconfig has read, as text: with what the file includes, and as it was when it was read. */
static int load_copy_text(const config_t *lib, struct settings *ss)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	config_write(lib, f);
	fclose(f);
	int r = copies_add(ss->copies, ss->file, text, size);
	explicit_bzero(text, size);
	return r;
}

static int load_file(struct settings *ss, const struct passwd *as, struct config **ret)
{
	config_t lib;
	int r = -EINVAL;

	config_init(&lib);
	FILE *f = fopen(ss->file, "re");
	if (!f) {
		settings_complain(ss, NULL, "can't be read: %s", strerror(errno));
	} else {
		/* config_read_file() hides why a file can't be opened, and doesn't name it in errors. */
		if (config_read_file(&lib, ss->file))
			r = as ? load_become(ss, as) : 0;
		else if (config_error_type(&lib) == CONFIG_ERR_FILE_IO)
			settings_complain(ss, NULL, "can't be read: %s", strerror(EISDIR));
		else
			config_report_file(&lib, ss->file, ss->errors);
		fclose(f);
	}
	if (r == 0 && ss->copies)
		r = load_copy_text(&lib, ss);
	if (r == 0)
		r = load_root(&lib, ss, ret);
	config_destroy(&lib);
	return r;
}

int config_load(const char *path, const struct handler *const *modes, FILE *errors, FILE *warnings,
		struct config **ret)
{
	struct settings ss = {.file = path,
			      .errors = errors,
			      .warnings = warnings,
			      .as = "",
			      .copies = copies_new(),
			      .modes = modes};
	int r = ss.copies ? load_file(&ss, NULL, ret) : -ENOMEM;

	if (r == 0)
		(*ret)->copies = ss.copies;
	else
		copies_free(ss.copies);
	return r;
}

static int load_text(struct settings *ss, const char *text, struct config **ret)
{
	config_t lib;
	int r = -EINVAL;

	config_init(&lib);
	if (config_read_string(&lib, text))
		r = load_root(&lib, ss, ret);
	else
		config_report_syntax(&lib, ss->file, text, ss->errors);
	config_destroy(&lib);
	return r;
}

int config_load_copies(struct copies *copies, const struct handler *const *modes, FILE *errors,
		       struct config **ret)
{
	const char *path = copies_first(copies);
	_cleanup_free_ char *name = NULL;
	int r = -ENOMEM;

	if (path && asprintf(&name, "%s (as it was)", path) >= 0) {
		struct settings ss = {.file = name,
				      .errors = errors,
				      .as = "",
				      .copies = copies,
				      .from_copies = true,
				      .modes = modes};
		r = load_text(&ss, copies_text(copies, path), ret);
	}
	copies_free(copies);
	return r;
}

int config_check(const char *path, const struct handler *const *modes, const struct passwd *as, FILE *errors)
{
	_cleanup_free_ char *name = NULL;
	struct config *c = NULL;

	if (as && asprintf(&name, " as user %s", as->pw_name) < 0)
		return -ENOMEM;
	struct settings ss = {.file = path,
			      .errors = errors,
			      .warnings = errors,
			      .checking = true,
			      .as = as ? name : "",
			      .modes = modes};
	int r = load_file(&ss, as, &c);
	config_free(c);
	return r;
}

int config_parse(const char *text, const char *name, const struct handler *const *modes, FILE *errors,
		 struct config **ret)
{
	struct settings ss = {.file = name, .errors = errors, .as = "", .modes = modes};

	return load_text(&ss, text, ret);
}
