/* SPDX-License-Identifier: MIT */
/* One word for each place in the table of clients: of whom it is, and the second. Pages exist where somebody was. */
#include "daemon/irc/idle.h"

#include "daemon/base/clock.h"
#include "daemon/state/entry.h"

#include <stdatomic.h>

static _Atomic uint64_t idle_since[CLIENTS_CAPACITY];

static uint32_t idle_now(void)
{
	return (uint32_t)(clock_us(CLOCK_MONOTONIC) / 1000000);
}

void irc_idle_spoke(uint32_t index, uint64_t id)
{
	if (index < CLIENTS_CAPACITY)
		atomic_store_explicit(&idle_since[index], id << 32 | idle_now(), memory_order_relaxed);
}

int64_t irc_idle_seconds(uint32_t index, uint64_t id)
{
	uint64_t word =
	    index < CLIENTS_CAPACITY ? atomic_load_explicit(&idle_since[index], memory_order_relaxed) : 0;

	if (word == 0 || (uint32_t)(word >> 32) != (uint32_t)id)
		return 0;
	return (int64_t)(idle_now() - (uint32_t)word);
}
