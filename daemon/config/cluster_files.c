/* SPDX-License-Identifier: MIT */
/*
 * Secrets become text. What libnats reads by path when it connects is a copy of the file, as it was when the
 * configuration was read: half of a renewal, or a file that is gone, ends no connection.
 */
#include "daemon/config/cluster_files.h"

#include "common/cleanup.h"
#include "daemon/config/copies.h"
#include "daemon/io/tls.h"

#include <errno.h>
#include <string.h>

/* The service manager's, which are not there since the file is only checked: setting_path() says so. */
static bool cluster_file_is_elsewhere(const char *path)
{
	return path && path[0] != '/';
}

/* Whether it is among the copies, or is now; why it isn't is told. */
static bool cluster_copy_file(struct settings *ss, const config_setting_t *s, struct copies *copies,
			      const char *path)
{
	int r = copies_text(copies, path) ? 0 : copies_add_file(copies, path);

	if (r < 0)
		settings_complain(ss, s, "%s can't be read%s: %s", path, ss->as,
				  r == -EINVAL ? "it is not a file" : strerror(-r));
	return r == 0;
}

/* A file that is a password or a token: one line, with or without its end. */
static void cluster_read_secret(struct settings *ss, const config_setting_t *group, struct copies *copies,
				const char *name, const char *path, char **ret)
{
	const config_setting_t *s = config_setting_get_member(group, name);

	if (!path || cluster_file_is_elsewhere(path) || !cluster_copy_file(ss, s, copies, path))
		return;
	const char *text = copies_text(copies, path);
	size_t len = strcspn(text, "\r\n");
	if (len == 0 || text[len + strspn(text + len, "\r\n")])
		settings_complain(ss, s, "%s must be one line, the %s", path,
				  strcmp(name, "token_file") == 0 ? "token" : "password");
	else if (!*ret)
		*ret = strndup(text, len);
}

/* File number i is used as its copy. */
static void cluster_use_copy(struct settings *ss, const config_setting_t *group, struct copies *copies,
			     struct cluster_config *c, unsigned i, char **path)
{
	static const char *const names[CLUSTER_FILES] = {"credentials", "tls_ca", "tls_certificate",
							 "tls_key"};
	const config_setting_t *s = config_setting_get_member(group, names[i]);

	if (!*path || cluster_file_is_elsewhere(*path) || !cluster_copy_file(ss, s, copies, *path))
		return;
	c->copies[i] = copies_open(copies, *path);
	if (c->copies[i] < 0)
		return;
	c->files[i] = *path;
	if (asprintf(path, "/proc/self/fd/%d", c->copies[i]) < 0)
		*path = NULL;
}

static void cluster_check_credentials(struct settings *ss, const config_setting_t *group,
				      struct copies *copies, const struct cluster_config *c)
{
	const char *path = c->files[0], *text = path ? copies_text(copies, path) : NULL;

	if (text && (!strstr(text, "BEGIN NATS USER JWT") || !strstr(text, "BEGIN USER NKEY SEED")))
		settings_complain(ss, config_setting_get_member(group, "credentials"),
				  "%s is not a file of credentials, as `nsc generate creds` makes it", path);
}

static void cluster_check_tls(struct settings *ss, const config_setting_t *group,
			      const struct cluster_config *c)
{
	const struct tls_files used = {c->tls_certificate, c->tls_key, c->tls_ca, false, false};
	const struct tls_files named = {c->files[2], c->files[3], c->files[1], false, false};
	struct tls_context *tls = NULL;
	const char *setting;
	char why[1024];

	if ((c->tls_certificate && c->copies[2] < 0) || (c->tls_key && c->copies[3] < 0) ||
	    (c->tls_ca && c->copies[1] < 0) || (!c->tls_ca && !c->tls_certificate))
		return;
	/* What is wrong is told by the names that people know. */
	if (tls_context_new(&used, why, sizeof(why), &setting, &tls) < 0 &&
	    tls_context_new(&named, why, sizeof(why), &setting, &tls) < 0)
		settings_complain(ss,
				  config_setting_get_member(
				      group, strcmp(setting, "tls_client_ca") == 0 ? "tls_ca" : setting),
				  "%s%s", why, ss->as);
	tls_context_free(tls);
}

void cluster_read_files(struct settings *ss, const config_setting_t *s, struct cluster_config *c)
{
	struct copies *copies = ss->copies ? ss->copies : copies_new();

	if (!copies)
		return;
	cluster_read_secret(ss, s, copies, "password_file", c->password_file, &c->password);
	cluster_read_secret(ss, s, copies, "token_file", c->token_file, &c->token);
	cluster_use_copy(ss, s, copies, c, 0, &c->credentials);
	cluster_use_copy(ss, s, copies, c, 1, &c->tls_ca);
	cluster_use_copy(ss, s, copies, c, 2, &c->tls_certificate);
	cluster_use_copy(ss, s, copies, c, 3, &c->tls_key);
	cluster_check_credentials(ss, s, copies, c);
	cluster_check_tls(ss, s, c);
	if (copies != ss->copies)
		copies_free(copies);
}
