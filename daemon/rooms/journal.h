/* SPDX-License-Identifier: MIT */
/*
 * Which entries of the roster have changed since somebody looked, by their clients' places in the table: many
 * changes of one are one. For roster.c only, under its lock.
 */
#ifndef DAEMON_ROOMS_JOURNAL_H
#define DAEMON_ROOMS_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

struct journal;
struct roster_entry;

/* What is known of a place. */
struct journal_mark {
	struct roster_entry *entry; /* who is there; NULL: nobody */
	uint64_t told;		    /* id of whom the watcher knows there; 0: nobody */
	int64_t since_us;	    /* CLOCK_REALTIME: since when it is that client's nick; */
	int64_t claimed_us;	    /* that of one which is about to take the entry's place */
	bool dirty;
};

/* NULL without memory. */
struct journal *journal_new(void);
void journal_free(struct journal *j);
/* What is known of that place, which counts as changed from now on. Aborts without memory. */
struct journal_mark *journal_note(struct journal *j, uint32_t index);
/* What is known of that place; NULL: nothing. */
const struct journal_mark *journal_at(const struct journal *j, uint32_t index);
/* One that has changed, and does not count as that any more; NULL: there is none. */
struct journal_mark *journal_take(struct journal *j);

#endif
