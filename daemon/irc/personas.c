/* SPDX-License-Identifier: MIT */
/*
 * Personas, each in the place that its number has among so many, which the next one of that place overwrites.
 */
#include "daemon/irc/personas.h"

#include "daemon/base/fault.h"
#include "daemon/irc/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define STRIPES 64

_Static_assert((IRC_PERSONAS & (IRC_PERSONAS - 1)) == 0,
	       "numbers that have gone round go on in the next place");

struct irc_personas {
	struct irc_file *file;
	pthread_mutex_t locks[STRIPES]; /* by the place */
};

/* It goes out as C strings, whatever a build before wrote. */
static void irc_personas_end_strings(struct irc_persona *p)
{
	p->user[IRC_USER_MAX] = p->host[IRC_HOST_MAX] = '\0';
	p->account[TEXT_NICK_MAX] = p->realname[IRC_REALNAME_MAX] = '\0';
}

void irc_persona_of(const struct irc_user *u, struct irc_persona *ret)
{
	*ret = (struct irc_persona){.flags = u->flags & IRC_BOT};
	memcpy(ret->user, u->user, sizeof(ret->user));
	memcpy(ret->host, u->host, sizeof(ret->host));
	memcpy(ret->account, u->account, sizeof(ret->account));
	memcpy(ret->realname, u->realname, sizeof(ret->realname));
}

/* Stored before anybody knows it, so that no successor gives it out again. */
static uint32_t irc_personas_number(struct irc_personas *ps)
{
	uint32_t number;

	while ((number = (uint32_t)atomic_fetch_add(&ps->file->header.next_persona, 1)) == 0)
		;
	return number;
}

uint32_t irc_persona_put(struct irc_personas *ps, const struct irc_persona *persona)
{
	uint32_t number = irc_personas_number(ps);
	struct irc_persona_place *p = &ps->file->personas[number % IRC_PERSONAS];
	pthread_mutex_t *lock = &ps->locks[number % STRIPES];

	FAULT("irc-persona-numbered");
	pthread_mutex_lock(lock);
	p->number = number;
	p->persona = *persona;
	FAULT("irc-persona-written");
	p->check = irc_file_persona_check(p);
	pthread_mutex_unlock(lock);
	return number;
}

bool irc_persona_get(struct irc_personas *ps, uint32_t number, struct irc_persona *ret)
{
	const struct irc_persona_place *p = &ps->file->personas[number % IRC_PERSONAS];
	pthread_mutex_t *lock = &ps->locks[number % STRIPES];
	bool found;

	if (number == 0)
		return false;
	pthread_mutex_lock(lock);
	found = p->number == number && p->check == irc_file_persona_check(p);
	if (found)
		*ret = p->persona;
	pthread_mutex_unlock(lock);
	if (found)
		irc_personas_end_strings(ret);
	return found;
}

int irc_personas_new(struct irc_file *file, struct irc_personas **ret)
{
	struct irc_personas *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	ps->file = file;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&ps->locks[i], NULL);
	*ret = ps;
	return 0;
}

void irc_personas_free(struct irc_personas *ps)
{
	if (!ps)
		return;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&ps->locks[i]);
	free(ps);
}
