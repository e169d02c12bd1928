/* SPDX-License-Identifier: MIT */
/* A job for each worker, and a count of those that are left. */
#include "daemon/engine/each_worker.h"

#include <stdatomic.h>
#include <stdlib.h>

struct errand_of_all {
	void (*fn)(struct worker *w, void *what);
	void (*done)(void *what);
	void *what;
	atomic_uint left; /* workers that haven't been there yet, and each_worker() itself */
};

struct errand_job {
	struct job job;
	struct errand_of_all *all;
};

static void each_worker_release(struct errand_of_all *all)
{
	if (atomic_fetch_sub(&all->left, 1) > 1)
		return;
	all->done(all->what);
	free(all);
}

static void each_worker_run(struct worker *w, struct job *job)
{
	struct errand_job *j = (struct errand_job *)job;

	if (w)
		j->all->fn(w, j->all->what);
	each_worker_release(j->all);
	free(j);
}

void each_worker(struct shared *shared, void (*fn)(struct worker *w, void *what), void (*done)(void *what),
		 void *what)
{
	struct errand_of_all *all = calloc(1, sizeof(*all));

	if (!all) {
		done(what);
		return;
	}
	*all = (struct errand_of_all){.fn = fn, .done = done, .what = what};
	atomic_store(&all->left, shared->n_workers + 1);
	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct errand_job *j = calloc(1, sizeof(*j));
		if (!j) {
			each_worker_release(all);
			continue;
		}
		*j = (struct errand_job){.job.run = each_worker_run, .all = all};
		worker_post(shared->workers[i], &j->job);
	}
	each_worker_release(all);
}
