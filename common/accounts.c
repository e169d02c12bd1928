/* SPDX-License-Identifier: MIT */
/* Password files as chatd reads them: lines become accounts, which are found by the keys of their names. */
#include "common/accounts.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (64 << 20)

static int account_by_key(const void *a, const void *b)
{
	const struct account_key *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* "$argon2id$..." without anything that crypto_pwhash_str() would not write. */
static bool account_is_hash(const char *s)
{
	size_t n = strlen(s);

	return strncmp(s, "$argon2id$", 10) == 0 && n < ACCOUNTS_HASH_MAX &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=,$") == n;
}

/* "HASH" or "HASH:VERIFIER", which is taken apart. Returns what is wrong with it, or NULL. */
static const char *account_parse_secret(char *s, struct account *ret)
{
	char *colon = strchr(s, ':');

	if (colon)
		*colon = '\0';
	if (!account_is_hash(s))
		return "this isn't a hash of argon2id, as `chatctl passwd` writes it";
	snprintf(ret->hash, sizeof(ret->hash), "%s", s);
	ret->scram = (struct scram_verifier){.iterations = 0};
	if (colon && scram_verifier_parse(colon + 1, &ret->scram) < 0)
		return "what follows the hash isn't a verifier of SCRAM-SHA-256, as `chatctl passwd` writes "
		       "it";
	return NULL;
}

/* Returns what is wrong with the line, or NULL; *ret_odd: why the account has to be left out, or NULL. */
static const char *account_parse_line(char *line, struct account *ret, const char **ret_odd)
{
	char *colon = strchr(line, ':');

	*ret_odd = NULL;
	if (!colon)
		return "a line is NAME:HASH or NAME:HASH:VERIFIER, as `chatctl passwd` writes it";
	*colon = '\0';
	size_t len = (size_t)(colon - line);
	if (!nick_well_formed(line, len))
		return "this is not a valid name";
	const char *wrong = account_parse_secret(colon + 1, ret);
	if (wrong)
		return wrong;
	/* An older chatd took more names. */
	if (nick_normalise(line, len, ret->nick) < 0) {
		*ret_odd = "this is not a valid name any more";
		memcpy(ret->nick, line, len + 1);
	} else if (nick_is_chatds(ret->nick, strlen(ret->nick))) {
		*ret_odd = "this is one of chatd's own names";
	}
	ret->left_out = *ret_odd;
	return NULL;
}

/* The first with that key, or NULL; they end with keys + n * NICK_KEYS. */
static struct account_key *account_first_key(const struct accounts *a, uint64_t key)
{
	size_t from = 0, to = a->n * NICK_KEYS;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (a->keys[middle].key < key)
			from = middle + 1;
		else
			to = middle;
	}
	return from < a->n * NICK_KEYS && a->keys[from].key == key ? &a->keys[from] : NULL;
}

/* Which account looks like it: any, the one of the very name, or any but that one. */
enum likeness { ANY, EXACTLY, ALIKE };

static const struct account *account_find(const struct accounts *a, const char *nick, size_t len,
					  enum likeness how)
{
	struct nick_keys keys = nick_keys(nick, len);

	for (unsigned i = 0; i < NICK_KEYS && a->n > 0; i++) {
		const struct account_key *k = account_first_key(a, keys.at[i]);
		for (; k && k < a->keys + a->n * NICK_KEYS && k->key == keys.at[i]; k++) {
			const struct account *x = &a->at[k->number];
			if (!x->left_out && (how == ANY || nick_equal(x->nick, strlen(x->nick), nick, len) ==
							       (how == EXACTLY)))
				return x;
		}
	}
	return NULL;
}

const struct account *accounts_find(const struct accounts *a, const char *nick, size_t len)
{
	return account_find(a, nick, len, ANY);
}

const struct account *accounts_find_exactly(const struct accounts *a, const char *nick, size_t len)
{
	return account_find(a, nick, len, EXACTLY);
}

const struct account *accounts_find_alike(const struct accounts *a, const char *nick, size_t len)
{
	return account_find(a, nick, len, ALIKE);
}

static void account_leave_out(struct account *x, const char *name, const struct account *first,
			      const char *first_name, FILE *warnings)
{
	bool equal = nick_equal(x->nick, strlen(x->nick), first->nick, strlen(first->nick));

	x->left_out = true;
	if (!warnings)
		return;
	fprintf(warnings, "%s:%u: %s %s the account %s of ", name, x->line, x->nick,
		equal ? "is" : "looks like", first->nick);
	if (name == first_name)
		fprintf(warnings, "line %u, so it is left out\n", first->line);
	else
		fprintf(warnings, "%s:%u, so it is left out\n", first_name, first->line);
}

/* Makes them known by their keys; of those that share one, all but the first are left out. */
static int account_index_keys(struct accounts *a, const char *name, FILE *warnings)
{
	size_t n = a->n * NICK_KEYS;
	/* By the place of a key's first entry: the account that has it, and one. */
	_cleanup_free_ size_t *owners = calloc(n + 1, sizeof(*owners));

	a->keys = calloc(n + 1, sizeof(*a->keys));
	if (!a->keys || !owners)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *nick = a->at[i / NICK_KEYS].nick;
		struct nick_keys keys = nick_keys(nick, strlen(nick));
		a->keys[i] = (struct account_key){keys.at[i % NICK_KEYS], i / NICK_KEYS};
	}
	if (n > 0)
		qsort(a->keys, n, sizeof(*a->keys), account_by_key);
	for (size_t i = 0; i < a->n; i++) {
		struct account *x = &a->at[i];
		struct nick_keys keys = nick_keys(x->nick, strlen(x->nick));
		for (unsigned k = 0; k < NICK_KEYS && !x->left_out; k++) {
			size_t owner = owners[account_first_key(a, keys.at[k]) - a->keys];
			if (owner > 0)
				account_leave_out(x, name, &a->at[owner - 1], name, warnings);
		}
		for (unsigned k = 0; k < NICK_KEYS && !x->left_out; k++)
			owners[account_first_key(a, keys.at[k]) - a->keys] = i + 1;
	}
	return 0;
}

void accounts_leave_out(struct accounts *a, const char *name, const struct accounts *before,
			const char *before_name, FILE *warnings)
{
	for (size_t i = 0; i < a->n && before->n > 0; i++) {
		struct account *x = &a->at[i];
		const struct account *first =
		    x->left_out ? NULL : accounts_find_alike(before, x->nick, strlen(x->nick));
		if (first)
			account_leave_out(x, name, first, before_name, warnings);
	}
}

int accounts_parse(char *text, const char *name, FILE *errors, FILE *warnings, struct accounts *ret)
{
	struct accounts a = {0};
	size_t capacity = 0;
	int r = 0;

	for (unsigned number = 1; *text; number++) {
		char *end = text + strcspn(text, "\n"), *next = *end ? end + 1 : end;
		*end = '\0';
		if (end > text && end[-1] == '\r')
			end[-1] = '\0';
		if (*text && *text != '#') {
			if (a.n == capacity) {
				capacity = capacity ? capacity * 2 : 16;
				struct account *at = reallocarray(a.at, capacity, sizeof(*at));
				if (!at) {
					accounts_free(&a);
					return -ENOMEM;
				}
				a.at = at;
			}
			const char *odd, *why = account_parse_line(text, &a.at[a.n], &odd);
			if (!why && odd && warnings)
				fprintf(warnings, "%s:%u: %s, so it is left out\n", name, number, odd);
			if (why) {
				fprintf(errors, "%s:%u: %s\n", name, number, why);
				r = -EINVAL;
			} else {
				a.at[a.n++].line = number;
			}
		}
		text = next;
	}
	int k = account_index_keys(&a, name, warnings);
	if (k < 0)
		r = k;
	if (r < 0)
		accounts_free(&a);
	*ret = a;
	return r;
}

int accounts_read_text(const char *path, char **ret)
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

int accounts_load(const char *path, FILE *errors, FILE *warnings, struct accounts *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = accounts_read_text(path, &text);

	*ret = (struct accounts){0};
	if (r < 0 || !text) {
		fprintf(errors, "%s: can't be read: %s\n", path, strerror(-r));
		return r;
	}
	r = accounts_parse(text, path, errors, warnings, ret);
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
