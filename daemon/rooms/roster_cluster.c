/* SPDX-License-Identifier: MIT */
/* What other nodes have to do with who is here: they are told of changes, and a nick is somebody's on one of them only. */
#include "daemon/rooms/roster_own.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the watcher gets to know; the lock is held --- */

void roster_note_change(struct roster *ro, const struct roster_entry *e)
{
	if (ro->journal)
		journal_note(ro->journal, e->index);
}

/* Until the others know of it, they may give it away as well. */
static void roster_hurry(struct roster *ro, const struct roster_entry *e)
{
	if (!ro->wakeup || roster_looks_like_guest(ro, e->nick, e->len))
		return;
	atomic_store(&ro->hurries, true);
	wakeup_kick(ro->wakeup);
}

/* A client that changes its nick has two for a moment; until roster_replace() the first one counts. */
void roster_note_claim(struct roster *ro, struct roster_entry *e, int64_t since_us)
{
	if (!ro->journal)
		return;
	struct journal_mark *m = journal_note(ro->journal, e->index);
	m->claimed_us = since_us;
	if (m->entry && m->entry->id == e->id)
		return;
	m->entry = e;
	m->since_us = since_us;
	roster_hurry(ro, e);
}

void roster_note_replace(struct roster *ro, struct roster_entry *with)
{
	if (!ro->journal)
		return;
	struct journal_mark *m = journal_note(ro->journal, with->index);
	m->entry = with;
	m->since_us = m->claimed_us;
	roster_hurry(ro, with);
}

void roster_note_release(struct roster *ro, const struct roster_entry *e)
{
	if (!ro->journal)
		return;
	struct journal_mark *m = journal_note(ro->journal, e->index);
	if (m->entry == e)
		m->entry = NULL;
}

/* --- nicks of two nodes --- */

static bool roster_has_account(const struct roster *ro, const struct roster_entry *e)
{
	return e->title & ROSTER_ENTITLED && !roster_looks_like_guest(ro, e->nick, e->len);
}

/* As both nodes decide it, each from what the other one was told. */
static bool roster_loses(const struct roster *ro, const struct roster_entry *e, int64_t since_us,
			 const char *node, const struct elsewhere_client *c)
{
	if (roster_has_account(ro, e) != c->account)
		return c->account;
	return c->since_us != since_us ? c->since_us < since_us : strcmp(node, ro->node) < 0;
}

/* A guest always finds its name free, even if two nodes have names that look alike. */
bool roster_is_elsewhere(struct roster *ro, const struct roster_entry *e, const struct roster_person *who)
{
	struct elsewhere_found found;

	if (!ro->node || roster_looks_like_guest(ro, e->nick, e->len) ||
	    !elsewhere_find(ro->elsewhere, &e->link.keys, &found))
		return false;
	/* What is known to be taken is so, also by who has a clock that is ahead. */
	return who->title & ROSTER_AGAIN ? roster_loses(ro, e, who->since_us, found.node, &found.client)
					 : !roster_has_account(ro, e) || found.client.account;
}

static int64_t roster_since(const struct roster *ro, const struct roster_entry *e)
{
	const struct journal_mark *m = journal_at(ro->journal, e->index);

	return !m ? INT64_MAX : m->entry == e ? m->since_us : m->claimed_us;
}

void roster_contest(struct roster *ro, const char *node, const struct elsewhere_client *c)
{
	struct nick_keys keys = nick_keys(c->nick, c->nick_len);

	if (roster_looks_like_guest(ro, c->nick, c->nick_len))
		return;
	pthread_mutex_lock(&ro->lock);
	struct nick_cursor at = {0};
	for (struct nick_link *l; (l = nick_index_next(&ro->index, &keys, &at));) {
		struct roster_entry *e = NICK_LINK_OWNER(l, struct roster_entry, link);
		if (e->title & ROSTER_LOST || !roster_loses(ro, e, roster_since(ro, e), node, c))
			continue;
		if (!c->reserved)
			e->title |= ROSTER_LOST;
		atomic_fetch_add(&ro->losses, 1);
	}
	pthread_mutex_unlock(&ro->lock);
}

void roster_reserve_names(struct roster *ro, char (*names)[TEXT_NICK_MAX + 1], size_t n)
{
	pthread_mutex_lock(&ro->lock);
	free(ro->names);
	ro->names = names;
	ro->n_names = n;
	ro->names_version++;
	pthread_mutex_unlock(&ro->lock);
}

char (*roster_names(struct roster *ro, unsigned *version, size_t *ret_n))[TEXT_NICK_MAX + 1]
{
	char(*copy)[TEXT_NICK_MAX + 1] = NULL;

	pthread_mutex_lock(&ro->lock);
	if (*version != ro->names_version)
		copy = calloc(ro->n_names + 1, sizeof(*copy));
	if (copy) {
		*version = ro->names_version;
		*ret_n = ro->n_names;
		memcpy(copy, ro->names, ro->n_names * sizeof(*copy));
	}
	pthread_mutex_unlock(&ro->lock);
	return copy;
}

bool roster_is_lost(struct roster *ro, const struct roster_entry *e)
{
	pthread_mutex_lock(&ro->lock);
	bool r = e->title & ROSTER_LOST;
	pthread_mutex_unlock(&ro->lock);
	return r;
}

unsigned roster_losses(const struct roster *ro)
{
	return atomic_load_explicit(&ro->losses, memory_order_relaxed);
}

/* --- the watcher --- */

int roster_watch(struct roster *ro, const char *node, struct elsewhere *elsewhere)
{
	ro->journal = journal_new();
	if (!ro->journal)
		return -ENOMEM;
	snprintf(ro->node_name, sizeof(ro->node_name), "%s", node);
	ro->node = ro->node_name;
	ro->elsewhere = elsewhere;
	return 0;
}

void roster_wakes(struct roster *ro, struct wakeup *w)
{
	ro->wakeup = w;
}

bool roster_hurries(struct roster *ro)
{
	return atomic_exchange(&ro->hurries, false);
}

size_t roster_changes(struct roster *ro, struct roster_change *ret, size_t max)
{
	struct journal_mark *m;
	size_t n = 0;

	pthread_mutex_lock(&ro->lock);
	/* One may be two: somebody has gone, and another has the place. */
	while (n + 2 <= max && (m = journal_take(ro->journal))) {
		const struct roster_entry *e = m->entry;
		if (m->told && (!e || m->told != e->id))
			ret[n++] = (struct roster_change){.id = m->told};
		m->told = e ? e->id : 0;
		if (!e)
			continue;
		struct roster_change *c = &ret[n++];
		*c = (struct roster_change){.id = e->id,
					    .since_us = m->since_us,
					    .room = e->seat.room < ROOMS_CAPACITY ? e->seat.room : ROOM_NONE,
					    .is_account = roster_has_account(ro, e),
					    .is_datagram = e->title & ROSTER_DATAGRAM,
					    .nick_len = e->len};
		memcpy(c->nick, e->nick, e->len);
	}
	pthread_mutex_unlock(&ro->lock);
	return n;
}
