/* SPDX-License-Identifier: MIT */
/* The keeper: which pairs there are, and how the sockets of many messages come together in few. See keeper.h. */
#include "daemon/state/keeper.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/state/pair.h"
#include "daemon/state/sockets.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

/* A merge that had no file descriptors is tried again after that, then after twice the time, and so on. */
#define RETRY_US SECOND_US
#define RETRY_MAX_US (64 * SECOND_US)
/* Merging is worth while from this many new sockets on. */
#define MERGE_FROM 128
/* Sockets looked at in one step, so that the main loop goes on. */
#define MERGE_STEP 256
/*
 * A base that may have more closed sockets than open ones is made again, but no more often than this if
 * nobody comes.
 */
#define RENEW_US (10 * SECOND_US)
#define MAX_FROZEN 128
#define MAX_BASES 64
/* Once many come at once, so many pairs are ready for what comes next. */
#define LINE 4

struct keeper {
	pthread_mutex_t lock;
	/* Under the lock: those before at are full, new sockets go to the one at it, the others are spare. */
	struct pair line[2 * LINE];
	unsigned n_line, at;
	unsigned loose; /* sockets in them */
	/* The main thread's. */
	struct pair bases[MAX_BASES];	/* full messages; the last one is written to */
	struct pair frozen[MAX_FROZEN]; /* to be merged into the bases; the first one first */
	unsigned n_bases, n_frozen;
	unsigned next_number;
	bool merging;
	int64_t retry_at, retry_after, renew_at;
	unsigned full; /* sockets in a full message: whoever looks at it needs as many free descriptors */
	int batch[PAIR_MESSAGE_MAX]; /* peeked, to be put into a base */
	unsigned n_batch;
	unsigned n_copied;	    /* messages that are in the bases once the batch is */
	atomic_bool short_of_pairs; /* the main thread has been asked for more */
	int event;		    /* eventfd: so that it hears of it */
};

/* --- start --- */

static void keeper_take_pairs(struct keeper *k, struct sockets *passed)
{
	/* The numbers grow with every merge, so they are looked for by what was passed, not by counting. */
	for (;;) {
		char name[PAIR_NAME_MAX];
		struct pair p = {.write = -1, .read = -1};
		int fd = sockets_claim_prefix(passed, "chatd-keeper-", name, sizeof(name));
		char end;
		if (fd < 0)
			break;
		if (sscanf(name, "chatd-keeper-%u-%c", &p.number, &end) != 2 || (end != 'w' && end != 'r') ||
		    sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 0) <= 0) {
			log_error("keeper: what was passed as %s is not a keeper's socket", name);
			sockets_unstore(name);
			close(fd);
			continue;
		}
		if (p.number >= k->next_number)
			k->next_number = p.number + 1;
		struct pair *same = NULL;
		for (unsigned i = 0; i < k->n_frozen; i++)
			if (k->frozen[i].number == p.number)
				same = &k->frozen[i];
		if (!same && k->n_frozen < MAX_FROZEN) {
			same = &k->frozen[k->n_frozen++];
			*same = p;
		}
		if (!same)
			log_error("keeper: %s is one pair too many", name);
		int *slot = same ? (end == 'w' ? &same->write : &same->read) : NULL;
		if (slot && *slot < 0)
			*slot = fd;
		else
			close(fd);
	}
	/* One end only: its storing was cut by a crash, and nothing can be in it. */
	for (unsigned i = 0; i < k->n_frozen;) {
		struct pair *p = &k->frozen[i];
		if (p->read >= 0 && p->write >= 0) {
			i++;
			continue;
		}
		char name[PAIR_NAME_MAX];
		int fd = p->read >= 0 ? p->read : p->write;
		pair_name(p, p->read >= 0 ? 'r' : 'w', name);
		sockets_unstore(name);
		close(fd);
		*p = k->frozen[--k->n_frozen];
	}
}

static int keeper_open_line(struct keeper *k)
{
	int r = pair_open(k->next_number++, &k->line[0]);

	k->n_line = r == 0;
	k->at = k->loose = 0;
	return r;
}

int keeper_new(struct sockets *passed, struct keeper **ret)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	pthread_mutex_init(&k->lock, NULL);
	k->next_number = 1;
	/* A merge holds one message and makes another; sockets_reserve() is there for that. */
	k->full = sockets_reserve() / 2;
	if (k->full > PAIR_MESSAGE_MAX || k->full < 2)
		k->full = k->full < 2 ? 2 : PAIR_MESSAGE_MAX;
	k->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = k->event < 0 ? -errno : 0;
	if (r == 0 && passed)
		keeper_take_pairs(k, passed);
	/* Where there are some, keeper_each() finds out which of them go on being filled. */
	if (r == 0 && k->n_frozen == 0)
		r = keeper_open_line(k);
	if (r < 0) {
		keeper_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

static void keeper_close_batch(struct keeper *k)
{
	while (k->n_batch > 0)
		close(k->batch[--k->n_batch]);
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	keeper_close_batch(k);
	for (unsigned i = 0; i < k->n_line; i++)
		pair_close(&k->line[i]);
	for (unsigned i = 0; i < k->n_bases; i++)
		pair_close(&k->bases[i]);
	for (unsigned i = 0; i < k->n_frozen; i++)
		pair_close(&k->frozen[i]);
	if (k->event >= 0)
		close(k->event);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* The lock is held. */
static bool keeper_line_is_short(const struct keeper *k)
{
	return k->at >= k->n_line ||
	       (k->at == k->n_line - 1 && k->line[k->at].messages >= k->line[k->at].capacity / 2);
}

int keeper_add(struct keeper *k, const int *fds, unsigned n)
{
	int r = -EAGAIN;

	/* A merge holds the lock only while it takes pairs out of the line. */
	pthread_mutex_lock(&k->lock);
	while (k->at < k->n_line) {
		r = pair_put(&k->line[k->at], fds, n);
		if (r != -EAGAIN)
			break;
		k->at++;
	}
	if (r == 0)
		k->loose += n;
	bool is_short = keeper_line_is_short(k);
	pthread_mutex_unlock(&k->lock);
	if (is_short && !atomic_exchange(&k->short_of_pairs, true))
		eventfd_write(k->event, 1);
	return r;
}

static int keeper_by_number(const void *a, const void *b)
{
	unsigned x = ((const struct pair *)a)->number, y = ((const struct pair *)b)->number;

	return x < y ? -1 : x > y;
}

/* What becomes of a pair of the process before that has been looked at. True: it is to be merged. */
static bool keeper_sort_in(struct keeper *k, struct pair *p)
{
	pair_measure(p);
	if (p->messages > 0 && p->sockets >= p->messages * (k->full / 2 + 1) && k->n_bases < MAX_BASES) {
		k->bases[k->n_bases++] = *p; /* of full messages, which need not be merged again */
		return false;
	}
	/* So that many restarts in a row don't make many pairs. */
	if (p->messages < p->capacity / 2 && k->n_line == 0) {
		k->line[k->n_line++] = *p;
		k->loose = p->sockets;
		return false;
	}
	if (p->messages == 0)
		pair_drop(p);
	return p->messages > 0;
}

void keeper_each(struct keeper *k, void (*fn)(int fd, void *arg), void *arg)
{
	unsigned n = k->n_frozen;

	/* The newest base is the one that has space. */
	qsort(k->frozen, n, sizeof(*k->frozen), keeper_by_number);
	k->n_frozen = 0;
	for (unsigned i = 0; i < k->n_line; i++)
		pair_each(&k->line[i], fn, arg);
	for (unsigned i = 0; i < n; i++) {
		struct pair p = k->frozen[i];
		pair_each(&p, fn, arg);
		if (keeper_sort_in(k, &p))
			k->frozen[k->n_frozen++] = p;
	}
	if (k->n_line == 0 && keeper_open_line(k) < 0)
		atomic_store(&k->short_of_pairs, true); /* it is tried again */
}

/* --- merging --- */

static bool keeper_is_open(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != TCP_STATE_CLOSE;
}

static int keeper_open_base(struct keeper *k)
{
	int r = k->n_bases < MAX_BASES ? pair_open(k->next_number++, &k->bases[k->n_bases]) : -ENOBUFS;

	k->n_bases += r == 0;
	return r;
}

/* What is in a base leaves the pair it came from at once: a user's sockets in flight are limited. */
static bool keeper_put_batch(struct keeper *k)
{
	if (k->n_batch == 0)
		return true;
	int r = pair_put(&k->bases[k->n_bases - 1], k->batch, k->n_batch);
	if (r == -EAGAIN) {
		r = keeper_open_base(k);
		if (r == 0)
			r = pair_put(&k->bases[k->n_bases - 1], k->batch, k->n_batch);
	}
	keeper_close_batch(k);
	if (r < 0) {
		log_warning("keeper: sockets can't be merged: %s", strerror(-r));
		return false;
	}
	FAULT("keeper-copied");
	pair_take(&k->frozen[0], k->n_copied);
	k->n_copied = 0;
	return true;
}

/* Nothing is dropped before its copy is in place, so giving up costs only space. */
static void keeper_give_up(struct keeper *k)
{
	keeper_close_batch(k);
	k->n_copied = 0;
	k->merging = false;
	k->retry_after = k->retry_after == 0		 ? RETRY_US
			 : k->retry_after < RETRY_MAX_US ? 2 * k->retry_after
							 : RETRY_MAX_US;
	k->retry_at = clock_us(CLOCK_MONOTONIC) + k->retry_after;
}

/*
 * Leaves the full pairs of the line to be merged and, if all is true, the current one as well. At least ready pairs
 * are there then for new sockets; false if they can't be made.
 */
static bool keeper_advance(struct keeper *k, bool all, unsigned ready)
{
	struct pair fresh[LINE];
	unsigned n = 0, moved = 0;

	pthread_mutex_lock(&k->lock);
	unsigned used = k->at + all < k->n_line ? k->at + all : k->n_line, spare = k->n_line - used;
	pthread_mutex_unlock(&k->lock);
	while (spare + n < ready && pair_open(k->next_number++, &fresh[n]) == 0)
		n++;
	bool good = spare + n >= ready;
	pthread_mutex_lock(&k->lock);
	/* Meanwhile others may have come to be full. The current one stays as long as there is no other. */
	used = k->at + (all && (n > 0 || k->at + 1 < k->n_line));
	if (used > k->n_line)
		used = k->n_line;
	for (; moved < used && k->n_frozen < MAX_FROZEN; moved++) {
		k->loose -= k->line[moved].sockets;
		k->frozen[k->n_frozen++] = k->line[moved];
	}
	memmove(k->line, k->line + moved, (k->n_line - moved) * sizeof(*k->line));
	k->n_line -= moved;
	k->at -= k->at < moved ? k->at : moved;
	unsigned fit = 2 * LINE - k->n_line < n ? 2 * LINE - k->n_line : n;
	memcpy(k->line + k->n_line, fresh, fit * sizeof(*fresh));
	k->n_line += fit;
	pthread_mutex_unlock(&k->lock);
	for (unsigned i = fit; i < n; i++)
		pair_drop(&fresh[i]);
	FAULT("keeper-swap");
	return good;
}

int keeper_fd(const struct keeper *k)
{
	return k->event;
}

void keeper_relieve(struct keeper *k)
{
	eventfd_t n;

	if (eventfd_read(k->event, &n) < 0 && !atomic_load(&k->short_of_pairs))
		return;
	if (keeper_advance(k, false, LINE))
		atomic_store(&k->short_of_pairs, false);
}

static unsigned keeper_loose(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	unsigned n = k->loose;
	pthread_mutex_unlock(&k->lock);
	return n;
}

/* Whether the bases may have more closed sockets than open ones. */
static bool keeper_is_stale(const struct keeper *k, unsigned live)
{
	unsigned sockets = 0;

	for (unsigned i = 0; i < k->n_bases; i++)
		sockets += k->bases[i].sockets;
	return sockets > 2 * live + 1024;
}

static bool keeper_begin_merge(struct keeper *k, unsigned live)
{
	if (keeper_is_stale(k, live) && k->n_frozen < MAX_FROZEN) {
		k->frozen[k->n_frozen++] = k->bases[0];
		memmove(k->bases, k->bases + 1, --k->n_bases * sizeof(*k->bases));
		k->renew_at = clock_us(CLOCK_MONOTONIC) + RENEW_US;
	}
	/* A merge that is tried again has its pairs already. */
	if (keeper_loose(k) >= MERGE_FROM)
		keeper_advance(k, true, 1);
	if (k->n_frozen == 0 || (k->n_bases == 0 && keeper_open_base(k) < 0))
		return false;
	pair_peek_from(&k->frozen[0], 0);
	k->merging = true;
	return true;
}

/* Copies the n sockets of a message into a base. They are closed then, or put aside for the next full message. */
static bool keeper_merge_sockets(struct keeper *k, const int *fds, int n)
{
	bool good = true;

	for (int i = 0; i < n; i++) {
		if (!good || !keeper_is_open(fds[i])) {
			close(fds[i]);
			continue;
		}
		k->batch[k->n_batch++] = fds[i];
		if (k->n_batch == k->full)
			good = keeper_put_batch(k);
	}
	k->n_copied++;
	return good;
}

/* All of the first pair is in the bases, so it goes. False if it can't. */
static bool keeper_end_pair(struct keeper *k)
{
	if (!keeper_put_batch(k))
		return false;
	FAULT("keeper-merged");
	pair_drop(&k->frozen[0]);
	memmove(k->frozen, k->frozen + 1, --k->n_frozen * sizeof(*k->frozen));
	k->n_copied = 0;
	k->merging = k->n_frozen > 0;
	if (k->merging)
		pair_peek_from(&k->frozen[0], 0);
	else
		k->retry_after = 0;
	return true;
}

bool keeper_merge(struct keeper *k, unsigned live)
{
	int fds[PAIR_MESSAGE_MAX] = {-1};
	unsigned seen = 0;

	if (atomic_load(&k->short_of_pairs))
		keeper_relieve(k);
	if (!k->merging) {
		int64_t now = clock_us(CLOCK_MONOTONIC);
		bool due = keeper_loose(k) >= MERGE_FROM || k->n_frozen > 0 ||
			   (keeper_is_stale(k, live) && now >= k->renew_at);
		if (!due || (k->retry_after > 0 && now < k->retry_at) || !keeper_begin_merge(k, live))
			return false;
	}
	while (seen < MERGE_STEP && k->merging) {
		bool cut, good;
		int n = pair_peek(&k->frozen[0], fds, &cut);
		if (n == -EAGAIN) {
			good = keeper_end_pair(k);
		} else {
			good = keeper_merge_sockets(k, fds, n) && !cut && n >= 0;
			if (cut)
				log_warning("keeper: sockets can't be merged: file descriptors ran out");
		}
		if (!good)
			keeper_give_up(k);
		seen += n > 0 ? (unsigned)n : 1;
	}
	return k->merging;
}

int keeper_forget(struct keeper *k)
{
	while (k->n_frozen > 0)
		pair_drop(&k->frozen[--k->n_frozen]);
	while (k->n_bases > 0)
		pair_drop(&k->bases[--k->n_bases]);
	while (k->n_line > 0)
		pair_drop(&k->line[--k->n_line]);
	return keeper_open_line(k);
}

static void keeper_tell(const struct pair *p, unsigned n, void (*fn)(const char *name, int fd, void *arg),
			void *arg)
{
	char name[PAIR_NAME_MAX];

	for (unsigned i = 0; i < n; i++) {
		pair_name(&p[i], 'w', name);
		fn(name, p[i].write, arg);
		pair_name(&p[i], 'r', name);
		fn(name, p[i].read, arg);
	}
}

void keeper_pairs(struct keeper *k, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	keeper_tell(k->line, k->n_line, fn, arg);
	keeper_tell(k->bases, k->n_bases, fn, arg);
	keeper_tell(k->frozen, k->n_frozen, fn, arg);
}
