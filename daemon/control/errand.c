/* SPDX-License-Identifier: MIT */
/* Counts the references to an errand, which the main thread and the workers hold. */
#include "daemon/control/errand.h"

#include <stdlib.h>

/* How long workers may take to answer. */
#define ERRAND_TIMEOUT_US 5000000

struct errand *errand_new(size_t size, void (*clear)(struct errand *e))
{
	struct errand *e = calloc(1, size);

	if (!e)
		return NULL;
	atomic_store(&e->references, 1);
	e->clear = clear;
	return e;
}

static void errand_release(void *arg)
{
	struct errand *e = arg;

	if (atomic_fetch_sub(&e->references, 1) > 1)
		return;
	if (e->clear)
		e->clear(e);
	free(e);
}

int errand_run(struct errand *e, struct shared *shared, void (*fn)(struct worker *w, void *errand))
{
	atomic_fetch_add(&e->references, 1); /* workers_call()'s, which releases it in any case */
	return workers_call(shared, NULL, fn, e, errand_release, ERRAND_TIMEOUT_US);
}

void errand_unref(struct errand *e)
{
	errand_release(e);
}
