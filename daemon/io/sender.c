/* SPDX-License-Identifier: MIT */
/*
 * Batches of sends, as one submission to io_uring; by plain send() where the kernel does not allow that, or has
 * turned out not to work.
 */
#include "daemon/io/sender.h"

#include "common/cleanup.h"

#include <liburing.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Sockets by their number; one beyond that is sent to by its plain number. */
#define FILES 65536
#define FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)

struct sender {
	bool uring; /* until it turns out not to work */
	bool ready; /* the ring is made: by the thread that uses it */
	int files;  /* sockets below that number can be registered, which saves looking them up */
	struct io_uring ring;
	uint64_t registered[FILES / 64];
};

/* The most helpful flags that the kernel has: completions are handled when we ask for them, by this thread
 * alone. */
static int sender_make_ring(struct io_uring *ring)
{
	static const unsigned flags[] = {
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    IORING_SETUP_COOP_TASKRUN,
	    0,
	};
	int r = -ENOSYS;

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		struct io_uring_params p = {.flags = flags[i]};
		r = io_uring_queue_init_params(SENDER_BATCH, ring, &p);
		if (r != -EINVAL)
			break;
	}
	return r;
}

int sender_new(bool io_uring, struct sender **ret)
{
	struct sender *s = calloc(1, sizeof(*s));
	struct io_uring ring;

	if (!s)
		return -ENOMEM;
	/* Seccomp, sysctl or an old kernel may forbid it: tried here, made by the thread. */
	if (io_uring && sender_make_ring(&ring) == 0) {
		io_uring_queue_exit(&ring);
		s->uring = true;
	}
	*ret = s;
	return 0;
}

static void sender_drop_ring(struct sender *s)
{
	if (s->ready)
		io_uring_queue_exit(&s->ring);
	s->ready = false;
	s->files = 0;
	memset(s->registered, 0, sizeof(s->registered));
}

void sender_free(struct sender *s)
{
	if (!s)
		return;
	sender_drop_ring(s);
	free(s);
}

const char *sender_name(const struct sender *s)
{
	return s->uring ? "io_uring" : "send";
}

static void sender_run_plain(struct send_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ssize_t r = send(ops[i].fd, ops[i].data, ops[i].len, FLAGS);
		ops[i].result = r < 0 ? -errno : r;
	}
}

static bool sender_is_registered(const struct sender *s, int fd)
{
	return fd < FILES && s->registered[fd / 64] >> (fd % 64) & 1;
}

/* Sockets that are new to the ring, as one call for each run of numbers. */
static void sender_register_files(struct sender *s, const struct send_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = ops[i].fd;
		if (fd >= s->files || sender_is_registered(s, fd))
			continue;
		if (io_uring_register_files_update(&s->ring, (unsigned)fd, &fd, 1) == 1)
			s->registered[fd / 64] |= 1ULL << (fd % 64);
	}
}

void sender_forget(struct sender *s, int fd)
{
	int none = -1;

	if (!s->ready || !sender_is_registered(s, fd))
		return;
	io_uring_register_files_update(&s->ring, (unsigned)fd, &none, 1);
	s->registered[fd / 64] &= ~(1ULL << (fd % 64));
}

static bool sender_prepare(struct sender *s)
{
	if (s->ready)
		return true;
	if (sender_make_ring(&s->ring) < 0)
		return false;
	s->ready = true;
	/* The kernel allows no more of them than open files. */
	struct rlimit limit;
	int files =
	    getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FILES ? (int)limit.rlim_cur : FILES;
	if (io_uring_register_files_sparse(&s->ring, (unsigned)files) == 0)
		s->files = files;
	return true;
}

/* Submits all of them as one call, which performs them on the way. Returns how many are done; the others say
 * -EAGAIN. */
static size_t sender_submit(struct sender *s, struct send_op *ops, size_t n)
{
	struct io_uring_cqe *cqe;
	size_t done = 0;

	if (s->files > 0)
		sender_register_files(s, ops, n);
	for (size_t i = 0; i < n; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
		io_uring_prep_send(sqe, ops[i].fd, ops[i].data, ops[i].len, FLAGS);
		if (sender_is_registered(s, ops[i].fd))
			sqe->flags |= IOSQE_FIXED_FILE;
		io_uring_sqe_set_data(sqe, &ops[i]);
		ops[i].result = -EAGAIN;
	}
	int r = io_uring_submit_and_wait(&s->ring, (unsigned)n);
	if (r < 0 && r != -EINTR)
		return 0;
	/* For want of memory the kernel may take fewer at once. */
	size_t submitted = r > 0 ? (size_t)r : 0;
	for (unsigned tries = 0; submitted < n && tries < 1000; tries++) {
		r = io_uring_submit(&s->ring);
		submitted += r > 0 ? (size_t)r : 0;
	}
	while (done < submitted) {
		r = io_uring_wait_cqe(&s->ring, &cqe);
		if (r == -EINTR)
			continue;
		if (r < 0)
			abort(); /* what was sent nobody knows any more; a successor asks the kernel */
		struct send_op *op = io_uring_cqe_get_data(cqe);
		op->result = cqe->res;
		io_uring_cqe_seen(&s->ring, cqe);
		done++;
	}
	return done;
}

void sender_run(struct sender *s, struct send_op *ops, size_t n)
{
	if (n < 2 || !s->uring) {
		sender_run_plain(ops, n);
		return;
	}
	/* Twice: the ring may belong to a thread that has ended, or be forbidden since. */
	for (unsigned tries = 0; tries < 2 && sender_prepare(s); tries++) {
		size_t done = sender_submit(s, ops, n);
		if (done == n)
			return;
		/* What it has not taken must not be sent later. */
		sender_drop_ring(s);
		if (done > 0)
			return;
	}
	s->uring = false;
	sender_run_plain(ops, n);
}
