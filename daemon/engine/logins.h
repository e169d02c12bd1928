/* SPDX-License-Identifier: MIT */
/*
 * Passwords are checked by a thread of their own, because that is meant to take long (argon2id). Whoever
 * asked goes on as soon as the answer is there. Addresses take turns, and one from which many wrong passwords
 * came has to wait, so that nobody keeps the others from logging in.
 */
#ifndef DAEMON_LOGINS_H
#define DAEMON_LOGINS_H

#include "common/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGIN_SUBJECT_LEN 16

struct config;
struct logins;
struct context;
struct shared;
struct worker;

/* Makes it one of the services, which free it. Returns 0 or -ENOMEM, as does logins_new(). */
int logins_open(struct shared *shared, const struct config *config);
/* One that isn't a service. */
int logins_new(struct logins **ret);
/* Ends the thread, which finishes the check at hand; the workers must not run any more. */
void logins_free(struct logins *l);

struct login_question {
	/* The account's; NULL: there is no such account, and finding that out takes as long. */
	const char *hash;
	const char *nick, *password;
	size_t nick_len, len;
};

/* What an answer is about: this name, this password and this hash, and nothing else. */
void logins_subject(const struct logins *l, const struct login_question *q,
		    uint8_t ret[static LOGIN_SUBJECT_LEN]);

struct login_answer {
	uint32_t index;
	uint64_t id;
	uint8_t subject[LOGIN_SUBJECT_LEN];
	bool good;
};

/* Who asks, and where the answer goes: to answered(), on that worker's thread. */
struct login_caller {
	struct worker *w;
	void (*answered)(struct context *ctx, const struct login_answer *answer);
	uint32_t index; /* of the client in the table */
	uint64_t id;
	const union address *address;
	unsigned failures_per_minute; /* from one address, before it has to wait; 0: any number */
};

struct login_request;
/* Has a password checked. False if so many are waiting, or the password is so long, that it isn't taken. */
bool logins_ask(struct logins *l, const struct login_caller *caller, const struct login_question *q,
		struct login_request **ret);
/* Takes a question back that has not been answered: nobody waits for it any more. On the caller's worker. */
void logins_cancel(struct logins *l, struct login_request *a);

/*
 * For passwords and proofs that are cheap to check, so that the thread isn't needed. By any thread: whether an address may
 * try, or has to wait since so many of its failures count; and that it had n more.
 */
bool logins_may_try(struct logins *l, const union address *address);
void logins_failed(struct logins *l, const union address *address, unsigned n, unsigned per_minute);

/*
 * Something about accounts that takes long, or waits for a disk: run() is called on the thread that checks passwords, between
 * two checks, or drop() at the end instead. Either has the errand from then on. logins_do() is false if it isn't taken.
 */
struct login_errand {
	struct login_errand *next; /* the logins' */
	void (*run)(struct login_errand *e);
	void (*drop)(struct login_errand *e);
};
bool logins_do(struct logins *l, struct login_errand *e);

#endif
