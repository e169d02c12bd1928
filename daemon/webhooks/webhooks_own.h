/* SPDX-License-Identifier: MIT */
/*
 * What the files of the service share, and nobody else: webhooks.c is the service as others see it, hooks.c which
 * webhooks there are, transfer.c one delivery, courier.c the thread. All of it is the thread's own, but where it says
 * otherwise.
 */
#ifndef DAEMON_WEBHOOKS_OWN_H
#define DAEMON_WEBHOOKS_OWN_H

#include "daemon/engine/context.h"
#include "daemon/webhooks/payload.h"
#include "daemon/webhooks/webhooks.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

/* How much of a receiver's answer is read. */
#define TRANSFER_ANSWER_MAX (64U << 10)

/* A webhook. */
struct hook {
	struct hook *next;
	struct webhook_config config;
	struct room *room;    /* held */
	struct cursor cursor; /* as it is, or is to be, in the file; changed under webhooks.lock */
	unsigned max;	      /* messages in one delivery: fewer if the receiver says that it is too much */
	uint64_t seen;	      /* so many messages had the log when there was nothing to deliver */
	bool has_seen;
	/* What the log has no more, of the history: backlog.h. */
	struct question *question;   /* NULL: nothing is asked */
	int64_t backlog_after;	     /* the last message of it that was seen there; 0: none */
	uint64_t backlog_gone_below; /* it can't be asked for what is below that number */
	/* A delivery under way: */
	CURL *easy; /* NULL: there is none */
	struct curl_slist *headers;
	struct payload payload;
	size_t answered; /* bytes of the answer's body */
	char error[CURL_ERROR_SIZE];
	/* After a failure: */
	int64_t retry_at, retry_us; /* CLOCK_MONOTONIC; 0: none */
	int64_t told_at;
	bool told_missed;
	/* What status tells, under webhooks.lock. */
	struct webhook_status status;
};

enum courier_phase { COURIER_RUN, COURIER_DRAIN, COURIER_QUIT };

struct webhooks {
	struct service service; /* first */
	struct context ctx;

	/* Of the main thread: */
	pthread_t thread;
	bool started, has_slot;
	const struct config *config; /* until there are rooms: of the start */

	/* Of all: */
	struct wakeup *wakeup;
	CURLM *multi;
	char *path; /* of the cursors */
	atomic_int phase;
	atomic_bool leaves, drained;
	_Atomic int64_t quit_until;
	pthread_mutex_t lock; /* of what follows; only the locks of logs are taken after it */
	struct hook *wanted;  /* as the configuration has them; each holds its room */
	bool has_wanted;
	struct hook *hooks; /* changed by the thread only, and before it begins */

	/* Of the thread: */
	struct cursors stored; /* as the file had them at the start */
	bool dirty;	       /* cursors are to be written */
	bool is_new;	       /* and one of them is of a webhook that has none in the file */
	int64_t save_at;
	bool told_save;
};

/* --- hooks.c --- */

/* On the main thread: hooks for all that are configured, each with its room and where that ends. */
int hooks_want(struct webhooks *w, const struct webhooks_config *config);
/* Takes over what is wanted: those that are the same go on as they are. */
void hooks_take_wanted(struct webhooks *w);
/* The thread has ended, or never began: frees the list, whose rooms are left. */
void hooks_free(struct webhooks *w, struct hook *first);
void hooks_load(struct webhooks *w);
/* Writes the cursors, if they have changed. */
void hooks_save(struct webhooks *w);

/* --- transfer.c --- */

/* Begins a delivery if there is something to deliver. Returns whether there was. */
bool transfer_begin(struct webhooks *w, struct hook *h);
/* It is over. */
void transfer_end(struct webhooks *w, struct hook *h, CURLcode result);
/* Whatever is under way ends unheard. */
void transfer_abort(struct webhooks *w, struct hook *h);

/* --- courier.c --- */

void *courier_run(void *arg);

#endif
