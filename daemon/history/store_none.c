/* SPDX-License-Identifier: MIT */
/* The store in a build without libsqlite3: there is none, so nothing but store_open() is ever called in earnest. */
#include "daemon/history/store.h"

#include <errno.h>
#include <stdio.h>

int store_open(const char *path, enum store_access access, uint64_t epoch, struct store **ret,
	       char why[static STORE_WHY_MAX])
{
	(void)path;
	(void)access;
	(void)epoch;
	*ret = NULL;
	snprintf(why, STORE_WHY_MAX, "this chatd was built without SQLite");
	return -EOPNOTSUPP;
}

void store_close(struct store *s)
{
	(void)s;
}

bool store_is_in_use(const char *path)
{
	(void)path;
	return false;
}

bool store_is_anothers(const char *path)
{
	(void)path;
	return false;
}

long store_left_by(const char *path)
{
	(void)path;
	return 0;
}

void store_leave(struct store *s)
{
	(void)s;
}

int64_t store_last_id(const struct store *s)
{
	(void)s;
	return 0;
}

uint64_t store_epoch(const struct store *s)
{
	(void)s;
	return 0;
}

const char *store_why(const struct store *s)
{
	(void)s;
	return "";
}

int store_set_aside(const char *path, char *ret_name, size_t size)
{
	(void)path;
	(void)ret_name;
	(void)size;
	return -EOPNOTSUPP;
}

int store_begin(struct store *s)
{
	(void)s;
	return -EOPNOTSUPP;
}

int store_put(struct store *s, const struct store_room *room, const struct store_message *m)
{
	(void)s;
	(void)room;
	(void)m;
	return -EOPNOTSUPP;
}

int store_gap(struct store *s, const struct store_room *room, uint64_t first, uint64_t end, int64_t time_us,
	      const char *why)
{
	(void)s;
	(void)room;
	(void)first;
	(void)end;
	(void)time_us;
	(void)why;
	return -EOPNOTSUPP;
}

int store_set_value(struct store *s, const char *key, int64_t value)
{
	(void)s;
	(void)key;
	(void)value;
	return -EOPNOTSUPP;
}

int store_commit(struct store *s)
{
	(void)s;
	return -EOPNOTSUPP;
}

void store_abandon(struct store *s)
{
	(void)s;
}

int store_position(struct store *s, const char *room, uint64_t epoch, uint64_t *ret_next)
{
	(void)s;
	(void)room;
	(void)epoch;
	(void)ret_next;
	return -EOPNOTSUPP;
}

int store_room_ended(struct store *s, const char *room)
{
	(void)s;
	(void)room;
	return -EOPNOTSUPP;
}

int store_floor(struct store *s, uint64_t *ret)
{
	(void)s;
	(void)ret;
	return -EOPNOTSUPP;
}

int store_value(struct store *s, const char *key, int64_t *ret)
{
	(void)s;
	(void)key;
	(void)ret;
	return -EOPNOTSUPP;
}

void store_set_search(struct store *s, bool on)
{
	(void)s;
	(void)on;
}

int store_index(struct store *s, unsigned max_rows, uint64_t *ret_waiting)
{
	(void)s;
	(void)max_rows;
	(void)ret_waiting;
	return -EOPNOTSUPP;
}

int store_read(struct store *s, const struct store_query *q,
	       bool (*fn)(const struct store_message *m, void *arg), void *arg)
{
	(void)s;
	(void)q;
	(void)fn;
	(void)arg;
	return -EOPNOTSUPP;
}

int store_rooms(struct store *s,
		bool (*fn)(const struct store_room *room, uint64_t next, int64_t last_us, void *arg),
		void *arg)
{
	(void)s;
	(void)fn;
	(void)arg;
	return -EOPNOTSUPP;
}

int store_room_next(struct store *s, const char *room, uint64_t *ret_epoch, uint64_t *ret_next)
{
	(void)s;
	(void)room;
	(void)ret_epoch;
	(void)ret_next;
	return -EOPNOTSUPP;
}

int store_gaps(struct store *s, const char *room, bool (*fn)(const struct store_gap *g, void *arg), void *arg)
{
	(void)s;
	(void)room;
	(void)fn;
	(void)arg;
	return -EOPNOTSUPP;
}

int store_figures(struct store *s, struct store_figures *ret)
{
	(void)s;
	(void)ret;
	return -EOPNOTSUPP;
}

void store_interrupt(struct store *s)
{
	(void)s;
}

int store_expire(struct store *s, const struct store_keep *rules, size_t n, int64_t now_us, unsigned max_rows,
		 bool *ret_more)
{
	(void)s;
	(void)rules;
	(void)n;
	(void)now_us;
	(void)max_rows;
	(void)ret_more;
	return -EOPNOTSUPP;
}

int store_forget(struct store *s, const struct store_forget *f, unsigned max_rows, int64_t *from,
		 uint64_t *ret_n, bool *ret_more)
{
	(void)s;
	(void)f;
	(void)max_rows;
	(void)from;
	(void)ret_n;
	(void)ret_more;
	return -EOPNOTSUPP;
}

int store_scrub(struct store *s, bool *ret_more)
{
	(void)s;
	(void)ret_more;
	return -EOPNOTSUPP;
}

int store_backup(struct store *s, const char *path)
{
	(void)s;
	(void)path;
	return -EOPNOTSUPP;
}

int store_add_file(const char *backup, const char *path, unsigned mode, const void *content, size_t len,
		   char why[static STORE_WHY_MAX])
{
	(void)backup;
	(void)path;
	(void)mode;
	(void)content;
	(void)len;
	(void)why;
	return -EOPNOTSUPP;
}

bool store_is_unclean(struct store *s)
{
	(void)s;
	return false;
}

int store_set_channel(struct store *s, const struct store_room *room, uint64_t next, const void *data,
		      size_t len)
{
	(void)s;
	(void)room;
	(void)next;
	(void)data;
	(void)len;
	return -EOPNOTSUPP;
}

int store_channel(struct store *s, const char *room, uint8_t ret[static STORE_CHANNEL_MAX], size_t *ret_len)
{
	(void)s;
	(void)room;
	(void)ret;
	(void)ret_len;
	return -EOPNOTSUPP;
}

int store_set_place(struct store *s, const char *room, const struct store_place *p)
{
	(void)s;
	(void)room;
	(void)p;
	return -EOPNOTSUPP;
}

int store_place(struct store *s, const char *room, struct store_place *ret)
{
	(void)s;
	(void)room;
	*ret = (struct store_place){0};
	return -EOPNOTSUPP;
}

int store_places(struct store *s, bool (*fn)(const char *room, const struct store_place *p, void *arg),
		 void *arg)
{
	(void)s;
	(void)fn;
	(void)arg;
	return -EOPNOTSUPP;
}
