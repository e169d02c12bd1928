/* SPDX-License-Identifier: MIT */
#include "daemon/keeper.h"

#include "common/cleanup.h"
#include "daemon/fault.h"
#include "daemon/logger.h"
#include "daemon/sockets.h"

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
#define FULL_MESSAGE 253
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
	int batch[FULL_MESSAGE]; /* peeked, to be put into base */
	unsigned n_batch;
	atomic_uint singles;
	atomic_bool full;
	int event; /* eventfd: the current pair is half full, or full */
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
		char space[CMSG_SPACE(FULL_MESSAGE * sizeof(int))];
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

/* Looks at the next message without taking it. Returns how many fds it has, or -EAGAIN after the last. */
static int pair_peek(const struct pair *p, int fds[static FULL_MESSAGE])
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(FULL_MESSAGE * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int n = 0;

	ssize_t r = recvmsg(p->read, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (r <= 0)
		return r < 0 ? -errno : -EAGAIN;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(h), (size_t)n * sizeof(int));
		}
	if (m.msg_flags & MSG_CTRUNC)
		log_error("keeper: file descriptors ran out; some clients can't be taken over");
	return n;
}

static void peek_from_start(const struct pair *p)
{
	int zero = 0;

	setsockopt(p->read, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero));
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
	if (half_full || (r < 0 && !atomic_exchange(&k->full, true)))
		eventfd_write(k->event, 1);
	return r;
}

static void pair_each(struct pair *p, void (*fn)(int fd, void *arg), void *arg)
{
	int fds[FULL_MESSAGE] = {-1}, n;

	peek_from_start(p);
	while ((n = pair_peek(p, fds)) >= 0) {
		p->messages++;
		p->singles += n == 1;
		p->sockets += (unsigned)n;
		for (int j = 0; j < n; j++)
			fn(fds[j], arg);
	}
	peek_from_start(p);
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
	atomic_store(&k->singles, 0); /* try again after as many new ones */
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
	atomic_store(&k->full, false);
	FAULT("keeper-swap");
	peek_from_start(&k->frozen[k->n_frozen++]);
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
		peek_from_start(&k->base);
		k->frozen[k->n_frozen++] = k->base;
		k->base.read = k->base.write = -1;
	}
	if (k->base.read < 0 && pair_open(k, &k->base) < 0)
		return false;
	if (!swap(k))
		return false;
	for (unsigned i = 0; i < k->n_frozen; i++)
		peek_from_start(&k->frozen[i]);
	k->merging = true;
	return true;
}

bool keeper_merge(struct keeper *k, unsigned live)
{
	int fds[FULL_MESSAGE] = {-1};

	if (!k->merging) {
		bool due = atomic_load(&k->singles) >= MERGE_FROM || atomic_load(&k->full) || k->n_frozen > 0;
		if (!due || !begin_merge(k, live))
			return false;
	}
	for (unsigned step = 0; step < MERGE_STEP; step++) {
		int n = pair_peek(&k->frozen[k->n_frozen - 1], fds);
		if (n < 0) { /* that pair is copied */
			if (!put_batch(k)) {
				give_up(k);
				return false;
			}
			FAULT("keeper-merged");
			pair_drop(&k->frozen[--k->n_frozen]);
			if (k->n_frozen == 0) {
				k->merging = false;
				return false;
			}
			continue;
		}
		for (int i = 0; i < n; i++) {
			if (!is_open(fds[i])) {
				close(fds[i]);
				continue;
			}
			k->batch[k->n_batch++] = fds[i];
			if (k->n_batch == FULL_MESSAGE && !put_batch(k)) {
				for (i++; i < n; i++)
					close(fds[i]);
				give_up(k);
				return false;
			}
		}
		if (n > 8)
			break; /* a full message is a step's worth */
	}
	return true;
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
