/* SPDX-License-Identifier: MIT */
/* The roster, for who asks about people: copies, so that the lock is held for no longer than they take. */
#include "daemon/rooms/roster_own.h"

#include <stdlib.h>
#include <string.h>

static struct roster_member people_copy(const struct roster *ro, const struct roster_entry *e)
{
	struct roster_member m = {.id = e->id, .index = e->index, .len = e->len};

	/* A guest's is the client's as well, but no account. */
	m.is_account = e->title & ROSTER_ENTITLED && !roster_looks_like_guest(ro, e->nick, e->len);
	memcpy(m.nick, e->nick, e->len);
	return m;
}

/* The lock is held. */
static struct roster_entry *people_find(struct roster *ro, const char *nick, size_t len)
{
	struct nick_keys keys = nick_keys(nick, len);
	struct nick_cursor at = {0};
	const struct nick_link *l = nick_index_next(&ro->index, &keys, &at);

	return l ? NICK_LINK_OWNER(l, struct roster_entry, link) : NULL;
}

struct roster_member *roster_members(struct roster *ro, uint32_t room, size_t *ret_n)
{
	struct roster_member *all = NULL;
	size_t n = 0;

	pthread_mutex_lock(&ro->lock);
	if (room < ROOMS_CAPACITY && ro->sizes[room] > 0)
		all = calloc(ro->sizes[room], sizeof(*all));
	for (struct seat *s = all ? ro->rooms[room] : NULL; s; s = s->next)
		all[n++] = people_copy(ro, roster_entry_of(s));
	pthread_mutex_unlock(&ro->lock);
	*ret_n = n;
	return all;
}

bool roster_member(struct roster *ro, const char *nick, size_t len, struct roster_member *ret)
{
	pthread_mutex_lock(&ro->lock);
	const struct roster_entry *e = people_find(ro, nick, len);
	if (e)
		*ret = people_copy(ro, e);
	pthread_mutex_unlock(&ro->lock);
	return e;
}

size_t roster_rooms(struct roster *ro, const struct roster_member *of, uint32_t *ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&ro->lock);
	struct roster_entry *e = people_find(ro, of->nick, of->len);
	struct seat *s = e && e->id == of->id ? &e->seat : NULL;
	for (struct seat *first = s; s && n < max; s = s->other == first ? NULL : s->other)
		if (s->room < ROOMS_CAPACITY)
			ret[n++] = s->room;
	pthread_mutex_unlock(&ro->lock);
	return n;
}

/* How many are in a bucket; so many as there is space for are copied. The lock is held. */
static size_t people_copy_bucket(const struct roster *ro, uint64_t bucket, struct roster_member *ret,
				 size_t max)
{
	size_t n = 0;

	for (const struct nick_link *l = NULL; (l = nick_index_walk(&ro->index, bucket, l)); n++)
		if (n < max)
			ret[n] = people_copy(ro, NICK_LINK_OWNER(l, const struct roster_entry, link));
	return n;
}

size_t roster_some(struct roster *ro, uint64_t *cursor, struct roster_member *ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&ro->lock);
	for (; *cursor < ro->index.n_buckets && n < max; (*cursor)++) {
		size_t more = people_copy_bucket(ro, *cursor, ret + n, max - n);
		/* The rest of a bucket comes with all of it the next time, unless it alone is too much. */
		if (more > max - n && n > 0)
			break;
		n += more < max - n ? more : max - n;
	}
	pthread_mutex_unlock(&ro->lock);
	return n;
}
