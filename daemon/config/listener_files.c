/* SPDX-License-Identifier: MIT */
/* Accounts and certificates are read with the configuration, so that a mistake in them is one of the
 * configuration. */
#include "daemon/config/listener_files.h"

#include "common/cleanup.h"
#include "daemon/config/copies.h"
#include "daemon/io/tls.h"

#include <errno.h>
#include <string.h>

/* A credential that is not there since the file is only checked: setting_path() says so. */
static bool listener_file_is_elsewhere(const char *path)
{
	return path && path[0] != '/';
}

/* Whether one of the first n listeners has that password file. */
static bool listener_file_was_read(const struct config *c, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (c->listeners[i].password_file && strcmp(c->listeners[i].password_file, path) == 0)
			return true;
	return false;
}

/*
 * A text to take apart, the caller's: what is used is what is copied, and not what the file has become in between. NULL:
 * there is no copy.
 */
static char *listener_read_copy(struct settings *ss, const char *path)
{
	_cleanup_free_ char *text = NULL;

	if (ss->copies && !ss->from_copies && accounts_read_text(path, &text) == 0)
		copies_add(ss->copies, path, text, strlen(text));
	const char *copy = ss->copies ? copies_text(ss->copies, path) : NULL;
	return copy ? strdup(copy) : NULL;
}

static int listener_load_accounts(struct settings *ss, const char *path, FILE *errors, FILE *warnings,
				  struct accounts *ret)
{
	_cleanup_free_ char *text = listener_read_copy(ss, path);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return accounts_load(path, errors, warnings, ret); /* which says why it can't be read */
	int r = accounts_parse(text, path, errors, warnings, ret);
	explicit_bzero(text, len);
	return r;
}

static void listener_read_accounts(struct settings *ss, const config_setting_t *s, const struct config *c,
				   struct listener_config *l)
{
	_cleanup_free_ char *text = NULL, *odd = NULL;
	size_t size, odd_size;
	bool again = l->password_file && listener_file_was_read(c, c->n_listeners, l->password_file);

	if (!l->password_file || listener_file_is_elsewhere(l->password_file))
		return;
	FILE *f = open_memstream(&text, &size), *warnings = open_memstream(&odd, &odd_size);
	int r =
	    f && warnings ? listener_load_accounts(ss, l->password_file, f, warnings, &l->accounts) : -ENOMEM;
	/* An account that looks like one of another file would pass for it. */
	for (size_t i = 0; r == 0 && i < c->n_listeners; i++) {
		const struct listener_config *o = &c->listeners[i];
		if (o->password_file && strcmp(o->password_file, l->password_file) != 0 &&
		    !listener_file_was_read(c, i, o->password_file))
			accounts_leave_out(&l->accounts, l->password_file, &o->accounts, o->password_file,
					   warnings);
	}
	if (f)
		fclose(f);
	if (warnings)
		fclose(warnings);
	if (r < 0) {
		fputs(text ? text : "", ss->errors);
		settings_complain(ss, s, "this password_file can't be used%s", ss->as);
		return;
	}
	/* Accounts that are left out. */
	for (char *rest = again ? NULL : odd, *line; (line = strsep(&rest, "\n"));)
		if (line[0])
			settings_warn(ss, s, "%s", line);
	if (l->password && l->accounts.n == 0) {
		settings_warn(ss, s, "%s has no accounts, so nobody can log in here", l->password_file);
	}
}

static int listener_load_tokens(struct settings *ss, const char *path, FILE *errors, struct tokens *ret)
{
	_cleanup_free_ char *text = listener_read_copy(ss, path);

	return text ? tokens_parse(text, path, errors, ret) : tokens_load(path, errors, ret);
}

static void listener_read_tokens(struct settings *ss, const config_setting_t *s, struct listener_config *l)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (!l->token_file || listener_file_is_elsewhere(l->token_file))
		return;
	FILE *f = open_memstream(&text, &size);
	int r = f ? listener_load_tokens(ss, l->token_file, f, &l->tokens) : -ENOMEM;
	if (f)
		fclose(f);
	if (r == 0)
		return;
	fputs(text ? text : "", ss->errors);
	settings_complain(ss, s, "this token_file can't be used%s", ss->as);
}

/* A path that leads to the copy of a file, whose *ret_fd is open meanwhile. */
static const char *listener_open_copy(const struct settings *ss, const char *path, char dst[static 32],
				      int *ret_fd)
{
	if (!path)
		return NULL;
	if (!ss->from_copies)
		copies_add_file(ss->copies, path);
	*ret_fd = copies_open(ss->copies, path);
	if (*ret_fd < 0)
		return path;
	snprintf(dst, 32, "/proc/self/fd/%d", *ret_fd);
	return dst;
}

/* OpenSSL reads files by their paths: those of the copies, or else of the files themselves, which it names then. */
static int listener_load_tls(struct settings *ss, const struct tls_files *files, char *why, size_t size,
			     const char **ret_setting, struct tls_context **ret)
{
	_cleanup_close_ int certificate = -1, key = -1, client_ca = -1;
	char paths[3][32];

	if (ss->copies) {
		const struct tls_files copies = {
		    listener_open_copy(ss, files->certificate, paths[0], &certificate),
		    listener_open_copy(ss, files->key, paths[1], &key),
		    listener_open_copy(ss, files->client_ca, paths[2], &client_ca), files->survives,
		    files->optional};
		if (tls_context_new(&copies, why, size, ret_setting, ret) == 0)
			return 0;
	}
	return tls_context_new(files, why, size, ret_setting, ret);
}

void listener_read_files(struct settings *ss, const config_setting_t *e, const struct config *c,
			 struct listener_config *l)
{
	const struct tls_files files = {l->tls_certificate, l->tls_key ? l->tls_key : l->tls_certificate,
					l->tls_client_ca, l->tls_survives, l->tls_client_optional};
	const char *setting;
	char why[1024];

	if (l->password && !l->password_file)
		settings_complain(ss, e, "auth = \"password\" needs a password_file");
	listener_read_accounts(ss, config_setting_get_member(e, "password_file"), c, l);
	listener_read_tokens(ss, config_setting_get_member(e, "token_file"), l);
	if (!files.certificate && (l->tls_key || l->tls_client_ca))
		settings_complain(ss, e, "%s needs a tls_certificate",
				  l->tls_key ? "tls_key" : "tls_client_ca");
	if (l->tls_client_optional && !l->tls_client_ca)
		settings_complain(ss, config_setting_get_member(e, "tls_client_optional"),
				  "tls_client_optional needs a tls_client_ca");
	if (!files.certificate || listener_file_is_elsewhere(files.certificate) ||
	    listener_file_is_elsewhere(files.key) || listener_file_is_elsewhere(files.client_ca))
		return;
	if (listener_load_tls(ss, &files, why, sizeof(why), &setting, &l->tls) < 0) {
		const config_setting_t *s = config_setting_get_member(e, setting);
		settings_complain(ss, s ? s : config_setting_get_member(e, "tls_certificate"), "%s%s", why,
				  ss->as);
	}
}
