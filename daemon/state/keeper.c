/* SPDX-License-Identifier: MIT */
#include "daemon/state/keeper.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
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

/* So many fit in one message: SCM_MAX_FD of Linux. */
#define MESSAGE_MAX 253
/* A merge that had no file descriptors is tried again after that, then after twice the time, and so on. */
#define RETRY_US SECOND_US
#define RETRY_MAX_US (64 * SECOND_US)
/* Merging is worth while from so many single sockets on. */
#define MERGE_FROM 128
/* Single sockets looked at in one step, so that the main loop goes on. */
#define MERGE_STEP 128
#define BUFFER (64 << 20)
#define MAX_PAIRS 64
/* More than the kernel accounts to one message of one socket. */
#define MESSAGE_SPACE 1024

struct pair {
	int write, read;
	unsigned number;
	unsigned messages, singles, sockets; /* as far as is known; singles are messages of one socket */
	unsigned room;			     /* messages that fit for certain */
};

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
	int batch[MESSAGE_MAX]; /* peeked, to be put into base */
	unsigned n_batch;
	atomic_uint singles;
	atomic_bool full_pair; /* the current one takes no more */
	int event;	       /* eventfd: the current pair is half full, or full */
};

static void pair_name(const struct pair *p, char end, char dst[static 40])
{
	snprintf(dst, 40, "chatd-keeper-%u-%c", p->number, end);
}

static void measure(struct pair *p)
{
	int size = 0;
	socklen_t len = sizeof(size);

	if (getsockopt(p->write, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0)
		p->room = (unsigned)size / MESSAGE_SPACE;
}

static int pair_open(struct keeper *k, struct pair *ret)
{
	const int size = BUFFER;
	int fds[2];
	char name[40];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	/* As much as the system allows: net.core.wmem_max. */
	if (setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret = (struct pair){.write = fds[0], .read = fds[1], .number = k->next_number++};
	measure(ret);
	pair_name(ret, 'w', name);
	sockets_store(ret->write, name);
	FAULT("keeper-store");
	pair_name(ret, 'r', name);
	sockets_store(ret->read, name);
	return 0;
}

static void pair_drop(struct pair *p)
{
	char name[40];

	if (p->read < 0)
		return;
	pair_name(p, 'w', name);
	sockets_unstore(name);
	pair_name(p, 'r', name);
	sockets_unstore(name);
	close(p->write);
	close(p->read);
	p->read = p->write = -1;
}

/* Puts n sockets into the pair as one message. */
static int pair_put(struct pair *p, const int *fds, unsigned n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(MESSAGE_MAX * sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};

	memset(&control, 0, m.msg_controllen);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	if (sendmsg(p->write, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	p->messages++;
	p->sockets += n;
	return 0;
}

/*
 * Looks at the next message without taking it. Returns how many fds it has, or -EAGAIN after the last.
 * *ret_cut: it has more of them, for which there are no free descriptors.
 */
static int pair_peek(const struct pair *p, int fds[static MESSAGE_MAX], bool *ret_cut)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(MESSAGE_MAX * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int n = 0;

	*ret_cut = false;
	ssize_t r = recvmsg(p->read, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (r <= 0)
		return r < 0 ? -errno : -EAGAIN;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(h), (size_t)n * sizeof(int));
		}
	*ret_cut = m.msg_flags & MSG_CTRUNC;
	return n;
}

/* Each message is a byte. */
static void peek_from(const struct pair *p, int number)
{
	setsockopt(p->read, SOL_SOCKET, SO_PEEK_OFF, &number, sizeof(number));
}

/* --- start --- */

static void take_pairs(struct keeper *k, struct sockets *passed)
{
	/* The numbers grow with every merge, so they are looked for by what was passed, not by counting. */
	for (;;) {
		char name[40];
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
		char name[40];
		int fd = p->read >= 0 ? p->read : p->write;
		pair_name(p, p->read >= 0 ? 'r' : 'w', name);
		sockets_unstore(name);
		close(fd);
		*p = k->frozen[--k->n_frozen];
	}
}

/* The newest pair goes on being filled, so that many restarts in a row don't make many pairs. */
static int choose_current(struct keeper *k)
{
	unsigned newest = 0;

	if (k->n_frozen == 0)
		return pair_open(k, &k->current);
	for (unsigned i = 1; i < k->n_frozen; i++)
		if (k->frozen[i].number > k->frozen[newest].number)
			newest = i;
	k->current = k->frozen[newest];
	measure(&k->current);
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
	if (k->full > MESSAGE_MAX || k->full < 2)
		k->full = k->full < 2 ? 2 : MESSAGE_MAX;
	k->base.read = k->base.write = k->current.read = k->current.write = -1;
	k->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (passed)
		take_pairs(k, passed);
	r = k->event < 0 ? -errno : choose_current(k);
	if (r < 0) {
		keeper_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

static void pair_close(struct pair *p)
{
	if (p->read >= 0)
		close(p->read);
	if (p->write >= 0)
		close(p->write);
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
	bool half_full = r == 0 && k->current.messages == k->current.room / 2;
	pthread_mutex_unlock(&k->lock);
	if (r == 0)
		atomic_fetch_add(&k->singles, 1);
	if (half_full || (r < 0 && !atomic_exchange(&k->full_pair, true)))
		eventfd_write(k->event, 1);
	return r;
}

/*
 * The sockets of the message of that number. Those that fn has no use for are closed at once, so a message
 * that was cut is looked at again as long as that shows more of it.
 */
static int message_each(const struct pair *p, int number, void (*fn)(int fd, void *arg), void *arg,
			bool *ret_cut)
{
	int fds[MESSAGE_MAX] = {-1}, seen = 0, n;

	do {
		peek_from(p, number);
		n = pair_peek(p, fds, ret_cut);
		for (int i = 0; i < n; i++)
			fn(fds[i], arg);
		if (n <= seen)
			break;
		seen = n;
	} while (*ret_cut);
	return n < 0 ? n : seen;
}

static void pair_each(struct pair *p, void (*fn)(int fd, void *arg), void *arg)
{
	unsigned cut_messages = 0;
	bool cut = false;
	int n;

	while ((n = message_each(p, (int)p->messages, fn, arg, &cut)) >= 0) {
		p->messages++;
		p->singles += n == 1;
		p->sockets += (unsigned)n;
		cut_messages += cut;
	}
	peek_from(p, 0);
	if (cut_messages > 0)
		log_error("keeper: file descriptors ran out, so clients can't be taken over: LimitNOFILE= "
			  "(or ulimit -n) is less than it was");
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

static bool is_open(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state != 7 /* TCP_CLOSE */;
}

static bool put_batch(struct keeper *k)
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
static void give_up(struct keeper *k)
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
static bool swap(struct keeper *k)
{
	struct pair fresh;

	if (k->n_frozen >= MAX_PAIRS - 1 || pair_open(k, &fresh) < 0)
		return false;
	pthread_mutex_lock(&k->lock);
	k->frozen[k->n_frozen] = k->current;
	k->current = fresh;
	pthread_mutex_unlock(&k->lock);
	atomic_store(&k->singles, 0);
	atomic_store(&k->full_pair, false);
	FAULT("keeper-swap");
	peek_from(&k->frozen[k->n_frozen++], 0);
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
		swap(k);
}

static bool begin_merge(struct keeper *k, unsigned live)
{
	/* Mostly closed sockets in the base: it is made anew, too. */
	if (k->base.read >= 0 && k->base.sockets > 2 * live + 1024 && k->n_frozen < MAX_PAIRS - 2) {
		peek_from(&k->base, 0);
		k->frozen[k->n_frozen++] = k->base;
		k->base.read = k->base.write = -1;
	}
	/* A merge that is tried again has its pairs already. */
	if ((atomic_load(&k->singles) >= MERGE_FROM || atomic_load(&k->full_pair)) && !swap(k) &&
	    k->n_frozen == 0)
		return false;
	k->base_is_spare = k->base.read < 0;
	if (k->base_is_spare && pair_open(k, &k->base) < 0)
		return false;
	for (unsigned i = 0; i < k->n_frozen; i++)
		peek_from(&k->frozen[i], 0);
	k->merging = true;
	return true;
}

/* Copies n sockets of a pair into the base. They are closed then, or put aside for the next full message. */
static bool merge_sockets(struct keeper *k, const int *fds, int n)
{
	bool good = true;

	for (int i = 0; i < n; i++) {
		if (!good || !is_open(fds[i])) {
			close(fds[i]);
			continue;
		}
		k->batch[k->n_batch++] = fds[i];
		if (k->n_batch == k->full)
			good = put_batch(k);
	}
	return good;
}

/* All of the last pair is in the base as well, so it goes. False if it can't. */
static bool pair_is_merged(struct keeper *k)
{
	if (!put_batch(k))
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
	int fds[MESSAGE_MAX] = {-1};

	if (!k->merging) {
		bool due =
		    atomic_load(&k->singles) >= MERGE_FROM || atomic_load(&k->full_pair) || k->n_frozen > 0;
		if (!due || (k->retry_after > 0 && clock_us(CLOCK_MONOTONIC) < k->retry_at) ||
		    !begin_merge(k, live))
			return false;
	}
	for (unsigned step = 0; step < MERGE_STEP && k->merging; step++) {
		bool cut, good;
		int n = pair_peek(&k->frozen[k->n_frozen - 1], fds, &cut);
		if (n == -EAGAIN) {
			good = pair_is_merged(k);
		} else {
			good = merge_sockets(k, fds, n) && !cut && n >= 0;
			if (cut)
				log_warning("keeper: sockets can't be merged: file descriptors ran out");
		}
		if (!good)
			give_up(k);
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
	return pair_open(k, &k->current);
}

void keeper_pairs(struct keeper *k, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	struct pair all[MAX_PAIRS + 2];
	unsigned n = 0;
	char name[40];

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
