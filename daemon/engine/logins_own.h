/* SPDX-License-Identifier: MIT */
/* What the files of the logins know of each other: who asked, whose turn it is, and which addresses had failures. */
#ifndef DAEMON_LOGINS_OWN_H
#define DAEMON_LOGINS_OWN_H

#include "common/accounts.h"
#include "common/hash.h"
#include "daemon/engine/logins.h"
#include "daemon/engine/worker.h"

#include <pthread.h>
#include <sodium.h>

#define LOGINS_BUCKETS 1024

struct login_request {
	struct job job;
	struct login_request *next, *prev; /* of the same address, while it waits */
	struct asker *asker;		   /* or NULL: its turn has come */
	struct worker *w;
	void (*answered)(struct context *ctx, const struct login_answer *answer);
	struct login_answer answer;
	unsigned failures_per_minute;
	char hash[ACCOUNTS_HASH_MAX];
	size_t len;
	char password[ACCOUNTS_PASSWORD_MAX];
};

/* An address with requests, or with failures that still count. */
struct asker {
	struct asker *next; /* in the bucket */
	uint8_t key[ADDRESS_KEY_LEN];
	struct login_request *first, *last;
	struct asker *turn;   /* whose turn comes after it, while it has requests */
	int64_t failures_due; /* limits.h */
	int64_t rests_until;
	bool busy; /* one of its requests is being checked */
};

struct logins {
	struct service service; /* first */
	pthread_mutex_t lock;
	pthread_cond_t news;
	pthread_t thread;
	bool started, paused, quit;
	bool busy; /* the thread is doing something that takes long */
	unsigned waiting;
	int64_t expired;
	struct hash_key bucket_key;
	struct asker *buckets[LOGINS_BUCKETS];
	struct asker *turns, **last_turn;
	struct login_errand *errands, **last_errand;
	unsigned n_errands;
	uint8_t key[crypto_generichash_KEYBYTES]; /* of the subjects */
	char nobody[ACCOUNTS_HASH_MAX];		  /* what is checked where there is no account */
};

/* --- logins_turns.c, all with the lock --- */

/* The address's place in its bucket; *result is NULL if there is none. */
struct asker **logins_find_asker(struct logins *l, const uint8_t key[static ADDRESS_KEY_LEN]);
/* The same, made if need be; NULL without memory. */
struct asker *logins_make_asker(struct logins *l, const uint8_t key[static ADDRESS_KEY_LEN]);
void logins_dequeue(struct logins *l, struct login_request *a);
void logins_take_turn(struct logins *l, struct asker *o);
void logins_lose_turn(struct logins *l, struct asker *o);
/* The next one that may be asked for, of the address whose turn it is; else NULL, and when to look again. */
struct login_request *logins_next(struct logins *l, int64_t now, int64_t *ret_due, struct asker **ret_asker);
/* So many failures. A minute's worth may come at once; then the address rests until one more would be allowed. */
void logins_note_failures(struct asker *o, unsigned n, unsigned per_minute);

#endif
