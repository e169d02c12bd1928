/* SPDX-License-Identifier: MIT */
/*
 * What a configuration makes of the rooms: those that it names are there, whatever else was opened by people.
 * And the end of a takeover, when everybody who was in a room is in it again.
 */
#include "daemon/base/logger.h"
#include "daemon/rooms/directory.h"

#include <string.h>

/* Rooms that only their members could enter, who are no longer known. */
static void configure_tell_of_closed(const struct rooms *rs)
{
	for (uint32_t i = 1; i < rs->high; i++)
		if (rs->at[i] && rs->at[i]->members_only && !rs->at[i]->configured)
			log_notice(
			    "room %s had members and isn't in the configuration any more: nobody can enter "
			    "it until it is there again",
			    rs->at[i]->name);
}

/* A log can't change its size under its readers; an empty room just starts again. */
static struct room *configure_find(struct rooms *rs, const struct room_config *c)
{
	struct room *r = directory_find(rs, c->name);

	if (!r || logring_size(r->log) == logring_round(c->settings.log_size))
		return r;
	if (rs->settled && outgoing_room_is_idle(rs, r) && logring_count(r->log) == 0) {
		directory_remove(rs, r);
		return NULL;
	}
	log_notice("room %s keeps its log_size of %llu until chatd is stopped and started", c->name,
		   (unsigned long long)logring_size(r->log));
	return r;
}

static uint32_t configure_sum_members(const struct room_config *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_members; i++)
		sum ^= hash_fixed(c->members[i], strlen(c->members[i]));
	return (uint32_t)(sum ^ sum >> 32);
}

/* What a room was for stays, also when it is no longer in the configuration. */
static void configure_room(struct rooms *rs, struct room *r, const struct room_config *c)
{
	const struct room_settings *set = &c->settings;
	struct room_slot *s = &rs->dir->slots[r->index];

	r->configured = true;
	r->members_sum = configure_sum_members(c);
	directory_adopt(rs, r);
	r->history = set->history;
	r->announce_max = set->announce_max;
	r->raw = set->raw;
	s->raw = set->raw;
	r->read_only = set->read_only;
	s->read_only = set->read_only;
	r->members_only = set->members_only;
	s->members_only = set->members_only;
	memset(r->opener, 0, sizeof(r->opener));
	memset(s->opener, 0, sizeof(s->opener));
}

/* Rooms that were made for a configuration that isn't used. */
static void configure_forget(struct rooms *rs, const struct room_config *configured, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct room *r = directory_find(rs, configured[i].name);
		if (r && !r->configured && outgoing_room_is_idle(rs, r) && logring_count(r->log) == 0)
			directory_remove(rs, r);
	}
}

int rooms_configure(struct rooms *rs, const struct room_config *configured, size_t n,
		    const struct room_settings *defaults, const struct rooms_limits *limits)
{
	int e = 0;

	pthread_mutex_lock(&rs->lock);
	/* First what may fail, so that a failure changes nothing. */
	for (size_t i = 0; i < n && e == 0; i++)
		if (!configure_find(rs, &configured[i]))
			e = outgoing_create_room(rs, configured[i].name, &configured[i].settings, NULL, NULL);
	if (e < 0)
		configure_forget(rs, configured, n);
	if (e == 0) {
		rs->defaults = *defaults;
		rs->limits = *limits;
		for (uint32_t i = 1; i < rs->high; i++)
			if (rs->at[i]) {
				rs->at[i]->configured = false;
				rs->at[i]->history = defaults->history;
				rs->at[i]->announce_max = defaults->announce_max;
			}
		for (size_t i = 0; i < n; i++)
			configure_room(rs, directory_find(rs, configured[i].name), &configured[i]);
		configure_tell_of_closed(rs);
	}
	pthread_mutex_unlock(&rs->lock);
	return e;
}

void rooms_settle(struct rooms *rs, bool (*has_stranger)(uint32_t room, void *arg), void *arg)
{
	pthread_mutex_lock(&rs->lock);
	outgoing_remove_retired(rs);
	for (uint32_t i = 1; rs->dir->revision == 0 && i < rs->high; i++) {
		struct room *r = rs->at[i];
		if (!r || r->main || r->configured || r->born || has_stranger(i, arg))
			continue;
		/* It may have been for members only, and nobody is there to ask. */
		if (room_is_unread(r)) {
			directory_remove(rs, r);
		} else {
			r->members_only = true;
			rs->dir->slots[i].members_only = true;
		}
	}
	rs->dir->revision = ROOMS_REVISION;
	rs->dir->begins = false;
	rs->settled = true;
	pthread_mutex_unlock(&rs->lock);
}
