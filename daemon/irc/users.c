/* SPDX-License-Identifier: MIT */
/* The records of users, which become true with their clients' states: users.h says by which rules. */
#include "daemon/irc/users.h"

#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/irc/file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

/* A record is copied under one of so many locks, by its index. */
#define STRIPES 64

struct irc_users {
	struct irc_file *file;
	struct clients *clients;
	bool drafted[CLIENTS_SCRATCHES]; /* each is its worker's */
	pthread_mutex_t locks[STRIPES];
};

static bool irc_users_is_whole(const struct irc_user_place *p, const struct client *c)
{
	return p->check == irc_file_user_check(c->id, p->generation, &p->user) &&
	       p->generation <= client_live(c)->generation;
}

/* It goes out as C strings, whatever a build before wrote. */
static void irc_users_end_strings(struct irc_user *u)
{
	if (u->renamed_len > sizeof(u->renamed_from))
		u->renamed_len = 0;
	u->user[sizeof(u->user) - 1] = u->host[sizeof(u->host) - 1] = '\0';
	u->account[sizeof(u->account) - 1] = u->realname[sizeof(u->realname) - 1] = '\0';
}

/* What holds, or NULL. */
static struct irc_user *irc_users_held(struct irc_users *us, uint32_t index, uint64_t id)
{
	if (id == 0 || atomic_load_explicit(&us->file->ids[index], memory_order_acquire) != id)
		return NULL;
	return &us->file->users[index].user;
}

/* --- changing --- */

static bool irc_users_is_drafted(const struct irc_users *us, unsigned worker, const struct client *c)
{
	const struct irc_user_draft *d = &us->file->drafts[worker];

	return worker < CLIENTS_SCRATCHES && us->drafted[worker] && d->id == c->id &&
	       d->client == clients_index(us->clients, c);
}

const struct irc_user *irc_users_get(struct irc_users *us, unsigned worker, const struct client *c)
{
	if (irc_users_is_drafted(us, worker, c))
		return &us->file->drafts[worker].user;
	return irc_users_held(us, clients_index(us->clients, c), c->id);
}

struct irc_user *irc_users_draft(struct irc_users *us, unsigned worker, const struct client *c)
{
	struct irc_user_draft *d = &us->file->drafts[worker];

	if (irc_users_is_drafted(us, worker, c))
		return &d->user;
	uint32_t index = clients_index(us->clients, c);
	const struct irc_user *now = irc_users_held(us, index, c->id);
	atomic_store_explicit(&d->mark, 0, memory_order_release);
	d->id = c->id;
	d->client = index;
	d->user = now ? *now : (struct irc_user){0};
	us->drafted[worker] = true;
	return &d->user;
}

void irc_users_forget(struct irc_users *us, unsigned worker)
{
	us->drafted[worker] = false;
}

void irc_users_seal(struct irc_users *us, unsigned worker, const struct client_state *st)
{
	struct irc_user_draft *d = &us->file->drafts[worker];

	if (!us->drafted[worker])
		return;
	irc_users_end_strings(&d->user);
	d->generation = st->generation;
	FAULT("irc-user-written");
	atomic_store_explicit(&d->mark, irc_file_draft_mark(d), memory_order_release);
	FAULT("irc-user-sealed");
}

/* May be done again by the next process, from wherever this one died. */
static void irc_users_carry_out(struct irc_users *us, struct irc_user_draft *d)
{
	struct irc_user_place *p = &us->file->users[d->client];
	pthread_mutex_t *lock = &us->locks[d->client % STRIPES];

	pthread_mutex_lock(lock);
	p->user = d->user;
	p->generation = d->generation;
	FAULT("irc-user-copying");
	p->check = irc_file_user_check(d->id, d->generation, &d->user);
	atomic_store_explicit(&us->file->ids[d->client], d->id, memory_order_release);
	pthread_mutex_unlock(lock);
	FAULT("irc-user-copied");
	atomic_store_explicit(&d->mark, 0, memory_order_release);
}

void irc_users_settle(struct irc_users *us, unsigned worker)
{
	struct irc_user_draft *d = &us->file->drafts[worker];

	if (us->drafted[worker] && atomic_load_explicit(&d->mark, memory_order_relaxed))
		irc_users_carry_out(us, d);
	us->drafted[worker] = false;
}

bool irc_users_copy(struct irc_users *us, uint32_t index, uint64_t id, struct irc_user *ret)
{
	const struct irc_user *u;

	if (index >= CLIENTS_CAPACITY)
		return false;
	pthread_mutex_lock(&us->locks[index % STRIPES]);
	u = irc_users_held(us, index, id);
	if (u)
		*ret = *u;
	pthread_mutex_unlock(&us->locks[index % STRIPES]);
	return u;
}

/* --- the start --- */

/* Whether the client's state with which it becomes true has been committed. */
static bool irc_users_has_happened(struct irc_users *us, const struct irc_user_draft *d)
{
	const struct client *c =
	    d->client < CLIENTS_CAPACITY ? clients_at(us->clients, (uint32_t)d->client) : NULL;

	return c && atomic_load(&c->cookie) && c->id == d->id && client_live(c)->generation >= d->generation;
}

static void irc_users_finish(struct irc_users *us, struct irc_user_draft *d)
{
	uint64_t mark = atomic_load(&d->mark);

	if (mark == 0)
		return;
	if (mark != irc_file_draft_mark(d))
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "what a user of IRC was changing can't be trusted and is forgotten");
	else if (irc_users_has_happened(us, d))
		irc_users_carry_out(us, d);
	FAULT("irc-user-recovered");
	atomic_store(&d->mark, 0);
}

void irc_users_recover(struct irc_users *us)
{
	unsigned damaged = 0;

	for (unsigned i = 0; i < CLIENTS_SCRATCHES; i++)
		irc_users_finish(us, &us->file->drafts[i]);
	for (uint32_t i = 0; i < clients_high(us->clients); i++) {
		const struct client *c = clients_at(us->clients, i);
		uint64_t id = atomic_load(&us->file->ids[i]);
		if (id == 0)
			continue;
		bool there = atomic_load(&c->cookie) && c->id == id;
		bool whole = there && irc_users_is_whole(&us->file->users[i], c);
		damaged += there && !whole;
		if (whole)
			irc_users_end_strings(&us->file->users[i].user);
		else
			atomic_store(&us->file->ids[i], 0);
	}
	if (damaged > 0)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "%u record%s of IRC's users can't be trusted and %s forgotten", damaged,
			  damaged == 1 ? "" : "s", damaged == 1 ? "is" : "are");
}

int irc_users_new(struct irc_file *file, struct clients *cs, struct irc_users **ret)
{
	struct irc_users *us = calloc(1, sizeof(*us));

	if (!us)
		return -ENOMEM;
	us->file = file;
	us->clients = cs;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&us->locks[i], NULL);
	*ret = us;
	return 0;
}

void irc_users_free(struct irc_users *us)
{
	if (!us)
		return;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&us->locks[i]);
	free(us);
}
