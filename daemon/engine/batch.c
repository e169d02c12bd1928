/* SPDX-License-Identifier: MIT */
/* Decides how long a busy room's delivery is put off, from how its last one went. */
#include "daemon/engine/batch.h"

/* Sleeping is not worth while for less, and nothing is gained by sends that are larger than that. */
#define DELAY_MIN_US 40
#define BYTES_ENOUGH 65536
/* Fewer messages than this on their way are not a stream. */
#define MESSAGES_MIN 4
/* After this long without a delivery another room may be the busiest one. */
#define FORGET_US 10000

void batch_delivered(struct batch *b, uint32_t room, uint64_t messages, int64_t began, int64_t ended)
{
	int64_t took = ended - began;

	if (b->room == room) {
		b->period = ended - b->ended;
	} else {
		/* Twice as long, so that two rooms of a size don't take turns in being forgotten. */
		if (took < 2 * b->took && ended - b->ended < FORGET_US)
			return;
		b->room = room;
		b->period = 0;
	}
	b->ended = ended;
	b->took = took;
	b->messages = messages;
}

int64_t batch_delay(const struct batch *b, uint64_t bytes, uint64_t messages, unsigned workers)
{
	/* One worker alone needs none: its deliveries take long enough. */
	int64_t delay = workers > 1 ? b->took * workers : 0;

	if (delay > BATCH_DELAY_MAX_US)
		delay = BATCH_DELAY_MAX_US;
	if (delay < DELAY_MIN_US || messages == 0 || bytes >= BYTES_ENOUGH || b->period <= 0)
		return 0;
	/* At the rate of the last period. */
	uint64_t expected = b->messages * (uint64_t)delay / (uint64_t)b->period;
	return expected >= MESSAGES_MIN && expected >= messages ? delay : 0;
}
