/* SPDX-License-Identifier: MIT */
#include "common/accounts.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FILE_MAX (64 << 20)

static int only_by_key(const void *a, const void *b)
{
	const struct account_key *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static int by_key(const void *a, const void *b)
{
	const struct account_key *x = a, *y = b;
	int order = only_by_key(a, b);

	return order ? order : x->number < y->number ? -1 : x->number > y->number;
}

/* "$argon2id$..." without anything that crypto_pwhash_str() would not write. */
static bool is_hash(const char *s)
{
	size_t n = strlen(s);

	return strncmp(s, "$argon2id$", 10) == 0 && n < ACCOUNTS_HASH_MAX &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=,$") == n;
}

static const char *parse_line(char *line, struct account *ret)
{
	char *colon = strchr(line, ':');

	if (!colon)
		return "a line is NAME:HASH, as `chatctl passwd` writes it";
	*colon = '\0';
	if (!nick_well_formed(line, strlen(line)))
		return "this is not a valid name";
	if (!is_hash(colon + 1))
		return "this is no hash of argon2id, as `chatctl passwd` writes it";
	snprintf(ret->hash, sizeof(ret->hash), "%s", colon + 1);
	/* Names that an older chatd took keep nobody else out. */
	if (nick_normalise(line, strlen(line), ret->nick) < 0)
		ret->nick[0] = '\0';
	return NULL;
}

/*
 * Makes them known by their keys. Two of one name are an error; of two that look alike, which an older chatd
 * took, the later one is left out.
 */
static int index_keys(struct accounts *a, const char *name, FILE *errors)
{
	size_t n = 0;
	int r = 0;

	a->keys = calloc(a->n * NICK_KEYS + 1, sizeof(*a->keys));
	if (!a->keys)
		return -ENOMEM;
	for (size_t i = 0; i < a->n; i++) {
		struct account *y = &a->at[i];
		struct nick_keys keys = nick_keys(y->nick, strlen(y->nick));
		for (unsigned k = 0; k < NICK_KEYS; k++)
			a->keys[i * NICK_KEYS + k] = (struct account_key){keys.at[k], i};
	}
	n = a->n * NICK_KEYS;
	qsort(a->keys, n, sizeof(*a->keys), by_key);
	for (size_t i = 1; i < n; i++) {
		struct account *x = &a->at[a->keys[i - 1].number], *y = &a->at[a->keys[i].number];
		if (a->keys[i - 1].key != a->keys[i].key || x == y)
			continue;
		/* The earliest of several stands first from here on. */
		bool equal = nick_equal(x->nick, strlen(x->nick), y->nick, strlen(y->nick));
		fprintf(errors, "%s:%u: %s %s the account %s of line %u%s\n", name, y->line, y->nick,
			equal ? "is" : "looks like", x->nick, x->line, equal ? "" : ", so it is left out");
		a->keys[i].number = a->keys[i - 1].number;
		if (equal)
			r = -EINVAL;
	}
	return r;
}

int accounts_parse(char *text, const char *name, FILE *errors, struct accounts *ret)
{
	struct accounts a = {0};
	size_t room = 0;
	int r = 0;

	for (unsigned number = 1; *text; number++) {
		char *end = text + strcspn(text, "\n"), *next = *end ? end + 1 : end;
		*end = '\0';
		if (end > text && end[-1] == '\r')
			end[-1] = '\0';
		if (*text && *text != '#') {
			if (a.n == room) {
				room = room ? room * 2 : 16;
				struct account *at = reallocarray(a.at, room, sizeof(*at));
				if (!at) {
					accounts_free(&a);
					return -ENOMEM;
				}
				a.at = at;
			}
			const char *why = parse_line(text, &a.at[a.n]);
			if (why) {
				fprintf(errors, "%s:%u: %s\n", name, number, why);
				r = -EINVAL;
			} else if (a.at[a.n].nick[0] == '\0') {
				fprintf(errors,
					"%s:%u: this is not a valid name any more, so it is left out\n", name,
					number);
			} else {
				a.at[a.n++].line = number;
			}
		}
		text = next;
	}
	int k = index_keys(&a, name, errors);
	if (k < 0)
		r = k;
	if (r < 0)
		accounts_free(&a);
	*ret = a;
	return r;
}

/* The whole file, NUL-terminated. */
static int read_text(const char *path, char **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > FILE_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (n < (size_t)st.st_size) {
		ssize_t r = read(fd, text + n, (size_t)st.st_size - n);
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	text[n] = '\0';
	if (strlen(text) != n)
		return -EBADMSG;
	*ret = take_ptr(text);
	return 0;
}

int accounts_load(const char *path, FILE *errors, struct accounts *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = read_text(path, &text);

	*ret = (struct accounts){0};
	if (r < 0) {
		fprintf(errors, "%s: can't be read: %s\n", path, strerror(-r));
		return r;
	}
	r = accounts_parse(text, path, errors, ret);
	explicit_bzero(text, strlen(text));
	return r;
}

void accounts_free(struct accounts *a)
{
	if (a->at)
		explicit_bzero(a->at, a->n * sizeof(*a->at));
	free(a->at);
	free(a->keys);
	*a = (struct accounts){0};
}

const struct account *accounts_find(const struct accounts *a, const char *nick, size_t len)
{
	struct nick_keys keys = nick_keys(nick, len);

	for (unsigned i = 0; i < NICK_KEYS && a->n > 0; i++) {
		const struct account_key key = {.key = keys.at[i]}, *found;
		found = bsearch(&key, a->keys, a->n * NICK_KEYS, sizeof(key), only_by_key);
		if (found)
			return &a->at[found->number];
	}
	return NULL;
}

/* Whether this line is the account's of that name: look_alike, of one that looks like it. */
static bool is_account(const char *line, size_t n, const char *nick, bool look_alike)
{
	const char *colon = memchr(line, ':', n);
	size_t len = colon ? (size_t)(colon - line) : 0;

	if (!colon || line[0] == '#')
		return false;
	return look_alike ? nick_same(line, len, nick, strlen(nick))
			  : nick_equal(line, len, nick, strlen(nick));
}

static bool has_account(const char *text, const char *nick, bool look_alike)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		if (is_account(text, n, nick, look_alike))
			return true;
		text += n + (text[n] == '\n');
	}
	return false;
}

static int write_changed(FILE *f, const char *text, const char *nick, const char *hash)
{
	bool found = false;

	/* Somebody else's account is not to be replaced by one that is taken for it. */
	if (hash && !has_account(text, nick, false) && has_account(text, nick, true))
		return -EEXIST;
	while (*text) {
		size_t n = strcspn(text, "\n");
		bool mine = is_account(text, n, nick, false);
		if (!mine)
			fprintf(f, "%.*s\n", (int)n, text);
		else if (hash && !found)
			fprintf(f, "%s:%s\n", nick, hash);
		found |= mine;
		text += n + (text[n] == '\n');
	}
	if (!found && hash)
		fprintf(f, "%s:%s\n", nick, hash);
	return found || hash ? 0 : -ENOENT;
}

/* Two that change the file at once would lose one another's work: the directory is the lock, so that none
 * lies about. */
static int lock_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!directory)
		return -ENOMEM;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			int r = -errno;
			close(fd);
			return r;
		}
	return fd;
}

/* All of the new file, ready to be renamed. Takes fd over. */
static int write_file(int fd, const struct stat *st, const char *text, const char *nick, const char *hash)
{
	FILE *f = fdopen(fd, "w");

	if (!f) {
		int r = -errno;
		close(fd);
		return r;
	}
	int r = write_changed(f, text, nick, hash);
	/* Who may read the file is the admin's affair; it is no error where it can't be kept. */
	if (fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM && r == 0)
		r = -errno;
	if ((fchmod(fd, st->st_mode & 07777) < 0 || fflush(f) != 0 || fsync(fd) < 0) && r == 0)
		r = -errno;
	if (ferror(f) && r == 0)
		r = -EIO;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}

int accounts_change(const char *path, const char *nick, const char *hash, int group)
{
	/* Of a link it is the file behind it that is replaced. */
	_cleanup_free_ char *text = NULL, *temporary = NULL, *real = realpath(path, NULL);
	struct stat st = {.st_mode = 0640, .st_uid = (uid_t)-1, .st_gid = (gid_t)group};

	path = real ? real : path;
	_cleanup_close_ int directory = lock_directory(path);
	if (directory < 0)
		return directory;
	int r = read_text(path, &text);
	if (r == 0 && stat(path, &st) < 0)
		return -errno;
	if (r < 0 && (r != -ENOENT || !hash))
		return r;
	/* A name of its own: what an earlier one left when it was interrupted is in nobody's way. */
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_file(fd, &st, text ? text : "", nick, hash);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r == 0 && fsync(directory) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}
