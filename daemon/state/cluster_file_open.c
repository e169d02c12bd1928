/* SPDX-License-Identifier: MIT */
/* The cluster's file as a process before left it: checked, row by row, and what was under way is carried out or not. */
#include "daemon/state/cluster_file_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/io/memfd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* An older place is as good: the lines' numbers tell what is new. */
static void cluster_file_check_applied(struct cluster_file *f)
{
	struct cluster_header *h = f->header;

	for (unsigned i = 0; i < 2; i++) {
		if (h->half[h->live & 1].check == cluster_half_check(&h->half[h->live & 1]))
			return;
		h->live = !(h->live & 1);
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "the place in the cluster's stream can't be trusted");
	}
	cluster_file_set_applied(f, (struct cluster_applied){0, 0});
}

static bool cluster_position_is_sound(const struct cluster_position *p)
{
	return p->check == cluster_position_check(p) && p->fresh <= 1 && p->own <= 1 &&
	       (!p->fresh || p->expected == 0);
}

/* Out of the table, and free. */
static void cluster_file_drop(struct cluster_file *f, uint32_t row)
{
	cluster_position_set_check(cluster_file_row(f, row), 0);
	cluster_positions_give(f, row);
}

/* Those that may make way, in the order in which they were noted. */
struct cluster_age {
	int64_t seen_s;
	uint32_t row;
};

static int cluster_age_compare(const void *a, const void *b)
{
	const struct cluster_age *x = a, *y = b;

	if (x->seen_s != y->seen_s)
		return x->seen_s < y->seen_s ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int cluster_file_line_up(struct cluster_file *f)
{
	struct cluster_age *ages = calloc(f->high + 1UL, sizeof(*ages));
	uint32_t n = 0;

	if (!ages)
		return -ENOMEM;
	for (uint32_t row = 1; row <= f->high; row++) {
		const struct cluster_position *p = cluster_file_row(f, row);
		if (row != f->pending && p->check && !p->own)
			ages[n++] = (struct cluster_age){p->seen_s, row};
	}
	qsort(ages, n, sizeof(*ages), cluster_age_compare);
	for (uint32_t i = 0; i < n; i++)
		cluster_positions_append(f, ages[i].row);
	free(ages);
	return 0;
}

/* Takes a position back as a process before left it. False: it is damaged, and gone. */
static bool cluster_file_adopt(struct cluster_file *f, uint32_t row)
{
	const struct cluster_position *p = cluster_file_row(f, row);
	bool sound = cluster_position_is_sound(p) && !cluster_positions_find(f, p->key, p->boot);

	if (sound)
		cluster_positions_index(f, row);
	else
		cluster_file_drop(f, row);
	return sound;
}

static bool cluster_intent_is_whole(const struct cluster_file *f)
{
	const struct cluster_intent *i = &f->header->intent;

	return i->mark == cluster_intent_mark(i) && i->row > 0 && i->row <= f->capacity &&
	       cluster_position_is_sound(&i->position);
}

/* Whatever is in the table. Where the file has a hole, nothing ever was. */
static int cluster_file_take_back(struct cluster_file *f, int fd)
{
	const off_t table = CLUSTER_TABLE_AT, size = (off_t)sizeof(*f->table);
	unsigned damaged = 0;
	off_t at = table;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && at < table + f->capacity * size) {
		uint32_t first = (uint32_t)((at - table) / size) + 1;
		for (; f->high + 1 < first; f->high++)
			cluster_positions_give(f, f->high + 1);
		at = lseek(fd, at, SEEK_HOLE);
		while (f->high < f->capacity && table + f->high * size < at) {
			uint32_t row = ++f->high;
			const struct cluster_position *p = cluster_file_row(f, row);
			if (row == f->pending)
				continue;
			if (p->check == 0)
				cluster_file_drop(f, row);
			else
				damaged += !cluster_file_adopt(f, row);
		}
	}
	if (at < 0 && errno != ENXIO)
		return -errno;
	if (damaged > 0)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "%u of the cluster's positions can't be trusted and %s forgotten", damaged,
			  damaged == 1 ? "is" : "are");
	return cluster_file_line_up(f);
}

static int cluster_file_open_old(struct cluster_file *f, int fd)
{
	const struct cluster_header *h = f->header;

	if (h->magic != CLUSTER_MAGIC || h->layout != CLUSTER_LAYOUT || h->capacity != f->capacity)
		return -EBADMSG;
	cluster_file_check_applied(f);
	if (cluster_intent_is_whole(f))
		f->pending = h->intent.row;
	return cluster_file_take_back(f, fd);
}

static void cluster_file_make_new(struct cluster_file *f)
{
	struct cluster_header *h = f->header;

	h->layout = CLUSTER_LAYOUT;
	h->capacity = f->capacity;
	h->identity = f->identity;
	h->made_real_ns = clock_us(CLOCK_REALTIME) * 1000;
	h->made_boot_ns = clock_us(CLOCK_BOOTTIME) * 1000;
	h->made_stream_ns = 0;
	memcpy(h->node, f->node, sizeof(h->node));
	cluster_file_set_applied(f, (struct cluster_applied){0, 0});
	cluster_file_step(&h->magic, CLUSTER_MAGIC);
}

static int cluster_file_map(struct cluster_file *f, int fd)
{
	int64_t size = memfd_check(fd, CLUSTER_TABLE_AT + sizeof(*f->table));
	void *map;
	int r = size < 0 ? (int)size : 0;

	if (r < 0)
		return r;
	f->capacity = (uint32_t)((size - CLUSTER_TABLE_AT) / (int64_t)sizeof(*f->table));
	if (size > (int64_t)cluster_file_size())
		f->capacity = CLUSTER_FILE_POSITIONS;
	f->map_size = CLUSTER_TABLE_AT + f->capacity * sizeof(*f->table);
	r = memfd_map(fd, 0, f->map_size, &map);
	if (r < 0)
		return r;
	f->header = map;
	f->table = (void *)((char *)map + CLUSTER_TABLE_AT);
	for (f->n_buckets = 1; f->n_buckets < f->capacity;)
		f->n_buckets *= 2;
	f->buckets = calloc(f->n_buckets, sizeof(*f->buckets));
	f->links = calloc(f->capacity, sizeof(*f->links));
	return f->buckets && f->links ? 0 : -ENOMEM;
}

/* Its name; NULL: it is none. */
static const char *cluster_file_kept_node(const struct cluster_header *h)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	const char *node = h->node_live & 1 ? h->other_node : h->node;
	size_t len = strnlen(node, sizeof(h->node));

	return len > 0 && len < sizeof(h->node) && strspn(node, allowed) == len ? node : NULL;
}

int cluster_file_open(int fd, bool fresh, const char *node, uint64_t identity, struct cluster_file **ret)
{
	struct cluster_file *f = calloc(1, sizeof(*f));
	int r = !f					       ? -ENOMEM
		: node && strlen(node) > CLUSTER_FILE_NODE_MAX ? -EINVAL
							       : cluster_file_map(f, fd);

	if (r == 0) {
		f->key = hash_key_new();
		f->identity = identity;
		const char *kept = fresh ? NULL : cluster_file_kept_node(f->header);
		cluster_file_set_node(f, kept ? kept : node ? node : "");
		if (fresh)
			cluster_file_make_new(f);
		else
			r = cluster_file_open_old(f, fd);
	}
	if (r < 0)
		cluster_file_close(f);
	else
		*ret = f;
	return r;
}

const char *cluster_file_node(const struct cluster_file *f)
{
	return f->node;
}

void cluster_file_set_node(struct cluster_file *f, const char *node)
{
	memset(f->node, 0, sizeof(f->node));
	memcpy(f->node, node, strnlen(node, sizeof(f->node) - 1));
}

void cluster_file_keep_node(struct cluster_file *f)
{
	struct cluster_header *h = f->header;

	memcpy(h->node_live & 1 ? h->node : h->other_node, f->node, sizeof(f->node));
	FAULT("cluster-name-written");
	cluster_file_step(&h->node_live, !(h->node_live & 1));
	FAULT("cluster-renamed");
}

void cluster_file_close(struct cluster_file *f)
{
	if (!f)
		return;
	if (f->header)
		munmap(f->header, f->map_size);
	free(f->buckets);
	free(f->links);
	free(f);
}

/* --- recovering --- */

static bool cluster_intent_has_happened(const struct cluster_intent *i, struct rooms *rooms)
{
	const struct room *room = rooms_at(rooms, i->room);

	if (i->room == ROOM_NONE)
		return true;
	return room && room->epoch == i->epoch && logring_count(room->log) >= i->count;
}

/* What became of the intent, and so of its position. */
static void cluster_file_decide(struct cluster_file *f, struct rooms *rooms)
{
	const struct cluster_position *p = cluster_file_row(f, f->pending);

	if (cluster_intent_has_happened(&f->header->intent, rooms))
		cluster_file_carry_out(f);
	if (cluster_file_adopt(f, f->pending) && !p->own)
		cluster_positions_append(f, f->pending);
	f->pending = 0;
}

void cluster_file_recover(struct cluster_file *f, struct rooms *rooms)
{
	struct cluster_header *h = f->header;

	if (f->pending) {
		cluster_file_decide(f, rooms);
	} else if (h->intent.mark) {
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_STATE_REFUSED},
			  "what was under way in the cluster can't be trusted");
	}
	FAULT("cluster-recovered");
	cluster_file_step(&h->intent.mark, 0);
	if (h->identity != f->identity) {
		cluster_file_set_applied(f, (struct cluster_applied){0, 0});
		FAULT("cluster-other-rooms");
		cluster_file_step(&h->identity, f->identity);
	}
}
