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
/* Merging is worth while from so many single sockets on. */
#define MERGE_FROM 128
/* Single sockets looked at in one step, so that the main loop goes on. */
#define MERGE_STEP 128
#define MAX_PAIRS 64

struct keeper {
	pthread_mutex_t lock;
	struct pair current;	       /* new sockets go there; under the lock */
	struct pair base;	       /* full messages; main thread */
	struct pair frozen[MAX_PAIRS]; /* to be merged into base; main thread */
	unsigned n_frozen;
	unsigned next_number;
	bool merging;
	bool base_is_spare; /* all that it has is still in the frozen pairs as well */
	int64_t retry_at, retry_after;
	unsigned full; /* sockets in a full message: whoever looks at it needs as many free descriptors */
	int batch[PAIR_MESSAGE_MAX]; /* peeked, to be put into base */
	unsigned n_batch;
	atomic_uint singles;
	atomic_bool full_pair; /* the current one takes no more */
	int event;	       /* eventfd: the current pair is half full, or full */
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
			log_error("keeper: what was passed as %s is none", name);
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
		if (!same && k->n_frozen < MAX_PAIRS) {
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

/* The newest pair goes on being filled, so that many restarts in a row don't make many pairs. */
static int keeper_choose_current(struct keeper *k)
{
	unsigned newest = 0;

	if (k->n_frozen == 0)
		return pair_open(k->next_number++, &k->current);
	for (unsigned i = 1; i < k->n_frozen; i++)
		if (k->frozen[i].number > k->frozen[newest].number)
			newest = i;
	k->current = k->frozen[newest];
	pair_measure(&k->current);
	k->frozen[newest] = k->frozen[--k->n_frozen];
	return 0;
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
	k->base.read = k->base.write = k->current.read = k->current.write = -1;
	k->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (passed)
		keeper_take_pairs(k, passed);
	r = k->event < 0 ? -errno : keeper_choose_current(k);
	if (r < 0) {
		keeper_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < k->n_batch; i++)
		close(k->batch[i]);
	pair_close(&k->current);
	pair_close(&k->base);
	for (unsigned i = 0; i < k->n_frozen; i++)
		pair_close(&k->frozen[i]);
	if (k->event >= 0)
		close(k->event);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

int keeper_add(struct keeper *k, int fd)
{
	/* A merge holds the lock only while it swaps the pairs. */
	pthread_mutex_lock(&k->lock);
	int r = pair_put(&k->current, &fd, 1);
	bool half_full = r == 0 && k->current.messages == k->current.capacity / 2;
	pthread_mutex_unlock(&k->lock);
	if (r == 0)
		atomic_fetch_add(&k->singles, 1);
	if (half_full || (r < 0 && !atomic_exchange(&k->full_pair, true)))
		eventfd_write(k->event, 1);
	return r;
}

void keeper_each(struct keeper *k, void (*fn)(int fd, void *arg), void *arg)
{
	pair_each(&k->current, fn, arg);
	atomic_store(&k->singles, k->current.singles);
	for (unsigned i = 0; i < k->n_frozen;) {
		struct pair *p = &k->frozen[i];
		pair_each(p, fn, arg);
		if (p->messages > 0 && (k->base.read >= 0 || p->singles > p->messages / 2)) {
			i++;
			continue;
		}
		/* An empty one goes; one of full messages need not be merged again. */
		if (p->messages == 0)
			pair_drop(p);
		else
			k->base = *p;
		*p = k->frozen[--k->n_frozen];
	}
}

/* --- merging --- */

static bool keeper_is_open(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != TCP_STATE_CLOSE;
}

static bool keeper_put_batch(struct keeper *k)
{
	if (k->n_batch == 0)
		return true;
	int r = pair_put(&k->base, k->batch, k->n_batch);
	for (unsigned i = 0; i < k->n_batch; i++)
		close(k->batch[i]);
	k->n_batch = 0;
	if (r < 0)
		log_warning("keeper: sockets can't be merged: %s", strerror(-r));
	return r == 0;
}

/* Nothing is dropped before its copy is in place, so giving up costs only space. */
static void keeper_give_up(struct keeper *k)
{
	for (unsigned i = 0; i < k->n_batch; i++)
		close(k->batch[i]);
	k->n_batch = 0;
	k->merging = false;
	if (k->base_is_spare)
		pair_drop(&k->base);
	k->retry_after = k->retry_after == 0		 ? RETRY_US
			 : k->retry_after < RETRY_MAX_US ? 2 * k->retry_after
							 : RETRY_MAX_US;
	k->retry_at = clock_us(CLOCK_MONOTONIC) + k->retry_after;
}

/* New sockets go to a fresh pair from now on. */
static bool keeper_swap(struct keeper *k)
{
	struct pair fresh;

	if (k->n_frozen >= MAX_PAIRS - 1 || pair_open(k->next_number++, &fresh) < 0)
		return false;
	pthread_mutex_lock(&k->lock);
	k->frozen[k->n_frozen] = k->current;
	k->current = fresh;
	pthread_mutex_unlock(&k->lock);
	atomic_store(&k->singles, 0);
	atomic_store(&k->full_pair, false);
	FAULT("keeper-swap");
	pair_peek_from(&k->frozen[k->n_frozen++], 0);
	return true;
}

int keeper_fd(const struct keeper *k)
{
	return k->event;
}

void keeper_relieve(struct keeper *k)
{
	eventfd_t n;

	if (eventfd_read(k->event, &n) == 0)
		keeper_swap(k);
}

static bool keeper_begin_merge(struct keeper *k, unsigned live)
{
	/* Mostly closed sockets in the base: it is made anew, too. */
	if (k->base.read >= 0 && k->base.sockets > 2 * live + 1024 && k->n_frozen < MAX_PAIRS - 2) {
		pair_peek_from(&k->base, 0);
		k->frozen[k->n_frozen++] = k->base;
		k->base.read = k->base.write = -1;
	}
	/* A merge that is tried again has its pairs already. */
	if ((atomic_load(&k->singles) >= MERGE_FROM || atomic_load(&k->full_pair)) && !keeper_swap(k) &&
	    k->n_frozen == 0)
		return false;
	k->base_is_spare = k->base.read < 0;
	if (k->base_is_spare && pair_open(k->next_number++, &k->base) < 0)
		return false;
	for (unsigned i = 0; i < k->n_frozen; i++)
		pair_peek_from(&k->frozen[i], 0);
	k->merging = true;
	return true;
}

/* Copies n sockets of a pair into the base. They are closed then, or put aside for the next full message. */
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
	return good;
}

/* All of the last pair is in the base as well, so it goes. False if it can't. */
static bool keeper_end_pair(struct keeper *k)
{
	if (!keeper_put_batch(k))
		return false;
	FAULT("keeper-merged");
	pair_drop(&k->frozen[--k->n_frozen]);
	k->base_is_spare = false;
	k->merging = k->n_frozen > 0;
	if (!k->merging)
		k->retry_after = 0;
	return true;
}

bool keeper_merge(struct keeper *k, unsigned live)
{
	int fds[PAIR_MESSAGE_MAX] = {-1};

	if (!k->merging) {
		bool due =
		    atomic_load(&k->singles) >= MERGE_FROM || atomic_load(&k->full_pair) || k->n_frozen > 0;
		if (!due || (k->retry_after > 0 && clock_us(CLOCK_MONOTONIC) < k->retry_at) ||
		    !keeper_begin_merge(k, live))
			return false;
	}
	for (unsigned step = 0; step < MERGE_STEP && k->merging; step++) {
		bool cut, good;
		int n = pair_peek(&k->frozen[k->n_frozen - 1], fds, &cut);
		if (n == -EAGAIN) {
			good = keeper_end_pair(k);
		} else {
			good = keeper_merge_sockets(k, fds, n) && !cut && n >= 0;
			if (cut)
				log_warning("keeper: sockets can't be merged: file descriptors ran out");
		}
		if (!good)
			keeper_give_up(k);
		if (n > 8)
			break; /* a full message is a step's worth */
	}
	return k->merging;
}

int keeper_forget(struct keeper *k)
{
	while (k->n_frozen > 0)
		pair_drop(&k->frozen[--k->n_frozen]);
	pair_drop(&k->base);
	pair_drop(&k->current);
	atomic_store(&k->singles, 0);
	return pair_open(k->next_number++, &k->current);
}

void keeper_pairs(struct keeper *k, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	struct pair all[MAX_PAIRS + 2];
	unsigned n = 0;
	char name[PAIR_NAME_MAX];

	all[n++] = k->current;
	if (k->base.read >= 0)
		all[n++] = k->base;
	for (unsigned i = 0; i < k->n_frozen; i++)
		all[n++] = k->frozen[i];
	for (unsigned i = 0; i < n; i++) {
		pair_name(&all[i], 'w', name);
		fn(name, all[i].write, arg);
		pair_name(&all[i], 'r', name);
		fn(name, all[i].read, arg);
	}
}
