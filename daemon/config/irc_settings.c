/* SPDX-License-Identifier: MIT */
/* The readers of IRC's settings. What they name are small files, whose content is part of the configuration. */
#include "daemon/config/irc_settings.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "daemon/config/config.h"
#include "daemon/config/copies.h"
#include "daemon/config/irc.h"
#include "daemon/config/mode_settings.h"

#include <sodium.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

void setting_irc_server_name(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			     void *at)
{
	const char *v = setting_string(ss, s, "a name such as \"irc.example.org\"");
	size_t len = v ? strlen(v) : 0;

	if (!v)
		return;
	if (len == 0 || len > IRC_SERVER_NAME_MAX || !strchr(v, '.') || strspn(v, LETTERS ".-") != len ||
	    strspn(v, LETTERS) == 0)
		settings_complain(ss, s,
				  "%s must be a name with a dot in it, such as \"irc.example.org\": at most "
				  "%d of the characters A-Z a-z 0-9 . and -, not \"%s\"",
				  key->name, IRC_SERVER_NAME_MAX, v);
	else
		memcpy(at, v, len + 1);
}

void setting_irc_network(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			 void *at)
{
	const char *v = setting_string(ss, s, "a name such as \"ExampleNet\"");
	size_t len = v ? strlen(v) : 0;

	if (!v)
		return;
	if (len == 0 || len > IRC_NETWORK_MAX || strspn(v, LETTERS "._-") != len)
		settings_complain(ss, s,
				  "%s must have 1 to %d of the characters A-Z a-z 0-9 . _ and -, not \"%s\"",
				  key->name, IRC_NETWORK_MAX, v);
	else
		memcpy(at, v, len + 1);
}

void setting_irc_admin(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
		       void *at)
{
	char(*lines)[IRC_ADMIN_MAX + 1] = at;
	bool list = config_setting_is_list(s) || config_setting_is_array(s);
	int n = list ? config_setting_length(s) : 1;
	bool good = n <= IRC_ADMIN_LINES;

	for (int i = 0; good && i < n; i++) {
		const char *v = list ? config_setting_get_string_elem(s, i) : config_setting_get_string(s);
		good = v && strlen(v) <= IRC_ADMIN_MAX && text_is_clean(v, strlen(v));
		if (good)
			memcpy(lines[i], v, strlen(v) + 1);
	}
	if (!good)
		settings_complain(ss, s,
				  "%s must be a string, or a list of up to %d, such as ( \"Example Ltd.\", "
				  "\"irc@example.org\" ), of at most %d bytes each, in one line",
				  key->name, IRC_ADMIN_LINES, IRC_ADMIN_MAX);
}

/* --- files --- */

/*
 * What is in the file that s names, whose path goes to *path: a copy that the caller frees. NULL: it is not there since the
 * configuration is only checked, or that it can't be used was told.
 */
static char *irc_read_file(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			   char **path, size_t max)
{
	_cleanup_free_ char *text = NULL;

	setting_path(ss, s, key, path);
	if (!*path || (*path)[0] != '/') /* a credential, which is elsewhere; setting_path() says so */
		return NULL;
	const char *copy = ss->copies ? copies_text(ss->copies, *path) : NULL;
	int r = 0;
	if (copy)
		text = strdup(copy);
	else if (!ss->from_copies)
		r = accounts_read_text(*path, &text);
	if (r == 0 && text && strlen(text) > max)
		r = -EFBIG;
	if (r < 0 || !text) {
		settings_complain(ss, s, "%s can't be read%s: %s", *path, ss->as,
				  r == -EINVAL	  ? "it is not a file"
				  : r == -EBADMSG ? "it is not text"
						  : strerror(r < 0 ? -r : ENOMEM));
		return NULL;
	}
	if (ss->copies && !copy)
		copies_add(ss->copies, *path, text, strlen(text));
	return take_ptr(text);
}

void setting_irc_motd_file(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			   void *at)
{
	struct irc_config *c = at;

	free(c->motd);
	c->motd = irc_read_file(ss, s, key, &c->motd_file, IRC_MOTD_MAX);
	if (c->motd && !text_is_utf8(c->motd, strlen(c->motd)))
		settings_complain(ss, s, "%s is not UTF-8", c->motd_file);
}

/* The key is a hash of all that the file has, so that any will do that can't be guessed. */
void setting_irc_cloak_key_file(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
				void *at)
{
	struct irc_config *c = at;
	_cleanup_free_ char *text = irc_read_file(ss, s, key, &c->cloak_key_file, IRC_MOTD_MAX);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	if (len < IRC_CLOAK_KEY_FILE_MIN)
		settings_complain(ss, s,
				  "%s must have at least %d bytes, such as `openssl rand -hex 32` makes",
				  c->cloak_key_file, IRC_CLOAK_KEY_FILE_MIN);
	crypto_generichash(c->cloak_key, sizeof(c->cloak_key), (const unsigned char *)text, len, NULL, 0);
	c->has_cloak_key = true;
	explicit_bzero(text, len);
}

/* --- passwords and operators --- */

static void irc_setting_password(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	static const char allowed[] = "a password, or what `chatctl passwd -S - NAME` writes behind the name";
	const char *v = setting_string(ss, s, allowed);
	struct irc_password *p = at;
	size_t len = v ? strlen(v) : 0;

	if (!v)
		return;
	/* A hash that nothing is the password of would only be noticed by who can't log in. */
	bool hash = v[0] == '$';
	if (hash ? len >= sizeof(p->text) || strncmp(v, "$argon2id$v=", 12) != 0 ||
		       strspn(v, LETTERS "+/=,$") != len || crypto_pwhash_str_needs_rehash(v, 1, 8192) < 0
		 : len == 0 || len > IRC_PASSWORD_MAX || !text_is_clean(v, len))
		settings_complain(ss, s,
				  "%s must be %s: 1 to %d bytes, in one line, and no \"$\" as the first",
				  key->name, allowed, IRC_PASSWORD_MAX);
	else
		memcpy(p->text, v, len + 1);
}

/* An operator's name, or an account's. */
static void irc_setting_operator(struct settings *ss, const config_setting_t *s,
				 const struct setting_key *key, void *at)
{
	struct irc_operator *o = at;
	const char *v = setting_string(ss, s, "a name");

	if (!v)
		return;
	if (nick_normalise(v, strlen(v), o->name) < 0)
		settings_complain(ss, s, "%s: \"%s\" is not a valid name", key->name, v);
	o->is_account = key->min;
}

static const struct setting_key irc_operator_keys[] = {
    SETTING("account", irc_setting_operator, 0, .min = true),
    SETTING("name", irc_setting_operator, 0, .min = false),
    SETTING("password", irc_setting_password, offsetof(struct irc_operator, password)),
    SETTINGS_END,
};

static void irc_check_operator(struct settings *ss, const config_setting_t *e, const struct irc_config *c,
			       const struct irc_operator *o)
{
	bool account = config_setting_get_member(e, "account"), name = config_setting_get_member(e, "name"),
	     password = config_setting_get_member(e, "password");

	if (account == name)
		settings_complain(ss, e, "an operator has an account, or a name and a password");
	else if (account && password)
		settings_complain(ss, e,
				  "an operator with an account has that account's password, and no other");
	else if (name && !password)
		settings_complain(ss, e, "an operator with a name needs a password");
	else if (o->name[0] && irc_config_operator(c, o->name, strlen(o->name), o->is_account))
		settings_complain(ss, e, "there are two operators \"%s\"", o->name);
}

void setting_irc_operators(struct settings *ss, const config_setting_t *s, const struct setting_key *key,
			   void *at)
{
	struct irc_config *c = at;
	size_t n;

	(void)key;
	if (!settings_is_list_of_groups(ss, s, IRC_OPERATORS_MAX, &n))
		return;
	c->operators = calloc(n + 1, sizeof(*c->operators));
	for (size_t i = 0; c->operators && i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct irc_operator *o = &c->operators[i];
		settings_read(ss, e, irc_operator_keys, o);
		irc_check_operator(ss, e, c, o);
		c->n_operators++;
	}
}

/* --- a listener's --- */

static bool irc_listener_init(void *own)
{
	((struct irc_listener_config *)own)->cloak = true;
	return true;
}

static void irc_listener_release(void *own)
{
	explicit_bzero(own, sizeof(struct irc_listener_config));
}

static void irc_listener_complete(struct settings *ss, const config_setting_t *group,
				  struct listener_config *l)
{
	const struct irc_listener_config *own = l->own;

	if (!own->register_accounts) {
		const config_setting_t *early = config_setting_get_member(group, "register_early"),
				       *email = config_setting_get_member(group, "register_email");
		if (own->register_early || own->register_email)
			settings_complain(ss, own->register_early ? early : email,
					  "%s needs register_accounts = true",
					  own->register_early ? "register_early" : "register_email");
		return;
	}
	const config_setting_t *s = config_setting_get_member(group, "register_accounts");
	if (!l->password_file)
		settings_complain(ss, s, "register_accounts needs a password_file");
	else if (strncmp(config_setting_get_string(config_setting_get_member(group, "password_file")),
			 "credential:", 11) == 0)
		settings_complain(ss, s,
				  "register_accounts needs a password_file that chatd can write; a "
				  "credential isn't one");
}

static const struct setting_key irc_listener_keys[] = {
    SETTING("password", irc_setting_password, offsetof(struct irc_listener_config, password)),
    SETTING("cloak", setting_bool, offsetof(struct irc_listener_config, cloak)),
    SETTING("register_accounts", setting_bool, offsetof(struct irc_listener_config, register_accounts)),
    SETTING("register_early", setting_bool, offsetof(struct irc_listener_config, register_early)),
    SETTING("register_email", setting_bool, offsetof(struct irc_listener_config, register_email)),
    SETTINGS_END,
};

const struct mode_settings irc_mode_settings = {
    .common = {mode_socket_keys, mode_tcp_keys, mode_login_keys},
    .own = irc_listener_keys,
    .own_size = sizeof(struct irc_listener_config),
    .init = irc_listener_init,
    .release = irc_listener_release,
    .complete = irc_listener_complete,
};

const struct mode_settings irc_http_settings = {
    .common = {mode_socket_keys, mode_tcp_keys, mode_login_keys, mode_origin_keys},
    .own = irc_listener_keys,
    .own_size = sizeof(struct irc_listener_config),
    .init = irc_listener_init,
    .release = irc_listener_release,
    .complete = irc_listener_complete,
};
