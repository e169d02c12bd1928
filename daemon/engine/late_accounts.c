/* SPDX-License-Identifier: MIT */
/* A list under a lock: accounts are made by hand, and there are few until somebody reloads. */
#include "daemon/engine/late_accounts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct late_account {
	struct late_account *next;
	struct account account;
	char file[];
};

struct late_accounts {
	pthread_mutex_t lock;
	struct late_account *list;
	unsigned version;
};

struct late_accounts *late_accounts_new(void)
{
	struct late_accounts *la = calloc(1, sizeof(*la));

	if (la)
		pthread_mutex_init(&la->lock, NULL);
	return la;
}

static void late_account_free(struct late_account *a)
{
	explicit_bzero(&a->account, sizeof(a->account));
	free(a);
}

void late_accounts_free(struct late_accounts *la)
{
	if (!la)
		return;
	for (struct late_account *a = la->list, *next; a; a = next) {
		next = a->next;
		late_account_free(a);
	}
	pthread_mutex_destroy(&la->lock);
	free(la);
}

int late_accounts_add(struct late_accounts *la, const char *file, const struct account *a)
{
	size_t size = strlen(file) + 1;
	struct late_account *new = la ? malloc(sizeof(*new) + size) : NULL;

	if (!new)
		return -ENOMEM;
	new->account = *a;
	memcpy(new->file, file, size);
	pthread_mutex_lock(&la->lock);
	new->next = la->list;
	la->list = new;
	la->version++;
	pthread_mutex_unlock(&la->lock);
	return 0;
}

/* Whether a listener with that file has it. */
static bool late_account_is_known(const struct late_account *a, const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];
		if (l->password_file && strcmp(l->password_file, a->file) == 0 &&
		    accounts_find_exactly(&l->accounts, a->account.nick, strlen(a->account.nick)))
			return true;
	}
	return false;
}

/* Whether any listener has that file. */
static bool late_account_has_file(const struct late_account *a, const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].password_file && strcmp(c->listeners[i].password_file, a->file) == 0)
			return true;
	return false;
}

void late_accounts_settle(struct late_accounts *la, const struct config *c)
{
	if (!la)
		return;
	pthread_mutex_lock(&la->lock);
	for (struct late_account **p = &la->list, *a; (a = *p);) {
		/* One that was made after the file was read stays late. */
		if (!late_account_is_known(a, c) && late_account_has_file(a, c)) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		late_account_free(a);
	}
	pthread_mutex_unlock(&la->lock);
}

unsigned late_accounts_version(struct late_accounts *la)
{
	if (!la)
		return 0;
	pthread_mutex_lock(&la->lock);
	unsigned version = la->version;
	pthread_mutex_unlock(&la->lock);
	return version;
}

void late_accounts_each(struct late_accounts *la, void (*fn)(const char *nick, void *arg), void *arg)
{
	if (!la)
		return;
	pthread_mutex_lock(&la->lock);
	for (const struct late_account *a = la->list; a; a = a->next)
		fn(a->account.nick, arg);
	pthread_mutex_unlock(&la->lock);
}

bool late_accounts_find(struct late_accounts *la, const struct listener_config *l, const char *nick,
			size_t len, struct account *ret)
{
	const struct account *known = l ? accounts_find(&l->accounts, nick, len) : NULL;
	bool found = known;

	if (known)
		*ret = *known;
	if (known || !la || !l || !l->password_file)
		return known;
	pthread_mutex_lock(&la->lock);
	for (const struct late_account *a = la->list; a && !found; a = a->next) {
		found = strcmp(a->file, l->password_file) == 0 &&
			nick_same(a->account.nick, strlen(a->account.nick), nick, len);
		if (found)
			*ret = a->account;
	}
	pthread_mutex_unlock(&la->lock);
	return found;
}

bool late_accounts_has(struct late_accounts *la, const struct config *c, const char *nick, size_t len)
{
	bool found = config_has_account(c, nick, len);

	if (found || !la)
		return found;
	pthread_mutex_lock(&la->lock);
	for (const struct late_account *a = la->list; a && !found; a = a->next)
		found = nick_equal(a->account.nick, strlen(a->account.nick), nick, len);
	pthread_mutex_unlock(&la->lock);
	return found;
}
