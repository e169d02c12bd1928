/* SPDX-License-Identifier: MIT */
/* A wake-up: a bit for each room, a bit for each word of those, and an eventfd. */
#include "daemon/rooms/wakeup.h"

#include "common/cleanup.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#define WORDS (ROOMS_CAPACITY / 64)

struct wakeup {
	_Alignas(64) _Atomic uint64_t summary[WORDS / 64];
	_Atomic uint64_t dirty[WORDS];
	atomic_bool awake;
	int fd;
};

int wakeup_new(struct wakeup **ret)
{
	struct wakeup *w = aligned_alloc(64, (sizeof(*w) + 63) & ~63UL);

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		int r = -errno;
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void wakeup_free(struct wakeup *w)
{
	if (!w)
		return;
	close(w->fd);
	free(w);
}

int wakeup_fd(const struct wakeup *w)
{
	return w->fd;
}

bool wakeup_mark(struct wakeup *w, uint32_t room)
{
	uint32_t word = room / 64;
	uint64_t bit = 1ULL << (room % 64);

	if (atomic_fetch_or(&w->dirty[word], bit) & bit)
		return false; /* whoever marked it first sees to the rest */
	atomic_fetch_or(&w->summary[word / 64], 1ULL << (word % 64));
	return true;
}

void wakeup_kick(struct wakeup *w)
{
	if (!atomic_exchange(&w->awake, true)) {
		uint64_t one = 1;
		if (write(w->fd, &one, sizeof(one)) < 0)
			return; /* the counter is full: it is awake */
	}
}

void wakeup_clear(struct wakeup *w)
{
	uint64_t n;

	if (read(w->fd, &n, sizeof(n)) < 0)
		n = 0;
	atomic_store(&w->awake, false);
}

bool wakeup_pending(struct wakeup *w)
{
	for (unsigned i = 0; i < WORDS / 64; i++)
		if (atomic_load(&w->summary[i]))
			return true;
	return false;
}

void wakeup_take(struct wakeup *w, void (*fn)(uint32_t room, void *arg), void *arg)
{
	for (unsigned i = 0; i < WORDS / 64; i++) {
		uint64_t words = atomic_load(&w->summary[i]) ? atomic_exchange(&w->summary[i], 0) : 0;
		while (words) {
			uint32_t word = i * 64 + (uint32_t)__builtin_ctzll(words);
			words &= words - 1;
			uint64_t bits = atomic_exchange(&w->dirty[word], 0);
			while (bits) {
				fn(word * 64 + (uint32_t)__builtin_ctzll(bits), arg);
				bits &= bits - 1;
			}
		}
	}
}
