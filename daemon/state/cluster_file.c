/* SPDX-License-Identifier: MIT */
/*
 * The file of the cluster: a page of header (the stream's place twice with a switch, the intent), and a table of
 * positions, sparse and in no order. Beside it, in memory only: an index, and who was noted longest ago.
 *
 * A torn write leaves the old value or the new one:
 *
 * - the stream's place goes into the half that doesn't count, and then the switch is stored;
 * - a position is taken into the table by its check, which is stored last, and out of it by storing 0 there;
 * - a position changes only while the intent is marked, and the intent holds all of what it will be.
 */
#include "daemon/state/cluster_file_own.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t cluster_file_size(void)
{
	return CLUSTER_TABLE_AT + CLUSTER_FILE_POSITIONS * sizeof(struct cluster_position);
}

/* --- the place in the stream --- */

struct cluster_applied cluster_file_applied(const struct cluster_file *f)
{
	const struct cluster_header *h = f->header;

	return h->half[h->live & 1].applied;
}

void cluster_file_set_applied(struct cluster_file *f, struct cluster_applied a)
{
	struct cluster_header *h = f->header;
	uint64_t next = !(h->live & 1);
	struct cluster_half *to = &h->half[next];

	to->applied = a;
	to->check = cluster_half_check(to);
	FAULT("cluster-applied-written");
	cluster_file_step(&h->live, next);
	FAULT("cluster-applied");
}

bool cluster_file_is_away(const struct cluster_file *f)
{
	return f->header->away == 1;
}

void cluster_file_set_away(struct cluster_file *f, bool away)
{
	cluster_file_step(&f->header->away, away);
}

int64_t cluster_file_made_ns(const struct cluster_file *f)
{
	return f->header->made_stream_ns;
}

void cluster_file_tell_time(struct cluster_file *f, int64_t stream_now_ns)
{
	struct cluster_header *h = f->header;
	int64_t age = h->made_boot_ns ? clock_us(CLOCK_BOOTTIME) * 1000 - h->made_boot_ns
				      : clock_us(CLOCK_REALTIME) * 1000 - h->made_real_ns;

	if (h->made_stream_ns || stream_now_ns <= 0)
		return;
	int64_t made = age < 0 ? stream_now_ns : age < stream_now_ns ? stream_now_ns - age : 1;
	cluster_file_step((uint64_t *)&h->made_stream_ns, (uint64_t)made);
}

/* --- positions in the file --- */

static uint32_t cluster_file_make(struct cluster_file *f, const uint8_t key[static 16], uint64_t boot,
				  bool own)
{
	uint32_t row = cluster_positions_take(f);

	if (!row)
		return 0;
	struct cluster_position p = {
	    .boot = boot, .seen_s = clock_us(CLOCK_REALTIME) / SECOND_US, .fresh = 1, .own = own};
	memcpy(p.key, key, sizeof(p.key));
	*cluster_file_row(f, row) = p;
	FAULT("cluster-position-written");
	cluster_position_set_check(cluster_file_row(f, row), cluster_position_check(&p));
	FAULT("cluster-position-made");
	cluster_positions_index(f, row);
	if (!own)
		cluster_positions_append(f, row);
	return row;
}

static void cluster_file_make_key(const char *room, const char *node, size_t node_len, uint8_t key[static 16])
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, 16);
	crypto_generichash_update(&hash, (const unsigned char *)room, strlen(room) + 1);
	crypto_generichash_update(&hash, (const unsigned char *)node, node_len);
	crypto_generichash_final(&hash, key, 16);
}

const struct cluster_position *cluster_file_known(const struct cluster_file *f, const char *room,
						  const char *node, size_t node_len, uint64_t boot)
{
	uint8_t key[16];

	cluster_file_make_key(room, node, node_len, key);
	uint32_t row = cluster_positions_find(f, key, boot);
	return row ? cluster_file_row(f, row) : NULL;
}

const struct cluster_position *cluster_file_position(struct cluster_file *f, const char *room,
						     const char *node, size_t node_len, uint64_t boot)
{
	uint8_t key[16];

	cluster_file_make_key(room, node, node_len, key);
	uint32_t row = cluster_positions_find(f, key, boot);
	if (!row) {
		const char *self = f->node;
		row = cluster_file_make(f, key, boot,
					strlen(self) == node_len && memcmp(self, node, node_len) == 0);
	}
	return row ? cluster_file_row(f, row) : NULL;
}

/* --- one step --- */

static void cluster_file_write_intent(struct cluster_file *f, const struct room *room, uint64_t count,
				      const struct cluster_position *next, uint32_t row,
				      struct cluster_applied applied)
{
	struct cluster_intent *i = &f->header->intent;

	if (i->mark)
		abort(); /* the one before is not done; and a crash is recovered from */
	i->room = room ? room->index : ROOM_NONE;
	i->row = row;
	i->epoch = room ? room->epoch : 0;
	i->count = count;
	i->applied = applied;
	i->position = *next;
	i->position.check = cluster_position_check(next);
	FAULT("cluster-intent-written");
	cluster_file_step(&i->mark, cluster_intent_mark(i));
	FAULT("cluster-intent");
}

void cluster_file_intend(struct cluster_file *f, const struct room *room, uint64_t count,
			 const struct cluster_position *p, uint64_t expected, uint64_t echoed,
			 struct cluster_applied applied)
{
	struct cluster_position next = *p;

	next.expected = expected;
	next.echoed = echoed;
	next.seen_s = clock_us(CLOCK_REALTIME) / SECOND_US;
	next.fresh = 0;
	cluster_file_write_intent(f, room, count, &next, cluster_file_row_of(f, p), applied);
}

void cluster_file_carry_out(struct cluster_file *f)
{
	const struct cluster_intent *i = &f->header->intent;
	struct cluster_position *p = cluster_file_row(f, i->row);

	memcpy(p, &i->position, offsetof(struct cluster_position, check));
	FAULT("cluster-position-moving");
	cluster_position_set_check(p, i->position.check);
	FAULT("cluster-position-moved");
	cluster_file_set_applied(f, i->applied);
}

void cluster_file_abandon(struct cluster_file *f)
{
	cluster_file_step(&f->header->intent.mark, 0);
}

void cluster_file_done(struct cluster_file *f)
{
	const struct cluster_intent *i = &f->header->intent;

	cluster_file_carry_out(f);
	cluster_file_step(&f->header->intent.mark, 0);
	FAULT("cluster-done");
	if (!i->position.own) {
		cluster_positions_take_out(f, i->row);
		cluster_positions_append(f, i->row);
	}
}

void cluster_file_move(struct cluster_file *f, const struct cluster_position *p, uint64_t expected,
		       uint64_t echoed, struct cluster_applied applied)
{
	cluster_file_intend(f, NULL, 0, p, expected, echoed, applied);
	cluster_file_done(f);
}

void cluster_file_retire(struct cluster_file *f, const struct cluster_position *p)
{
	struct cluster_position next = *p;

	if (!p->own)
		return;
	next.own = 0;
	cluster_positions_append(f, cluster_file_row_of(f, p));
	cluster_file_write_intent(f, NULL, 0, &next, cluster_file_row_of(f, p), cluster_file_applied(f));
	cluster_file_done(f);
}
