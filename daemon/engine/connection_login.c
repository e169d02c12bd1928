/* SPDX-License-Identifier: MIT */
/*
 * A connection's login: its question goes to the thread that checks passwords, reading pauses until the answer is
 * there, and the answer counts for exactly the line that asked.
 */
#include "daemon/engine/connection_own.h"

#include "daemon/engine/connections.h"

#include <string.h>

/* The answer to connection_login_ask(). */
static void connection_login_answered(struct context *ctx, const struct login_answer *answer)
{
	struct connection *c = connections_find(ctx, answer->index, answer->id);
	struct activity *a = c ? activity_of(c) : NULL;

	if (!a)
		return;
	a->asked = NULL;
	if (!(c->pause & PAUSE_ANSWER) || c->phase != PHASE_OPEN ||
	    memcmp(answer->subject, a->login_subject, sizeof(a->login_subject)) != 0)
		return;
	a->login = answer->good ? LOGIN_GOOD : LOGIN_BAD;
	c->pause &= (uint8_t)~PAUSE_ANSWER;
	c->pause |= PAUSE_TURN; /* so that the line is worked on again in this turn */
	connection_retry(c);
}

bool connection_login_ask(struct connection *c, const struct login_question *q)
{
	struct shared *shared = c->ctx->shared;
	struct activity *a = activity_make(c);
	const struct login_caller caller = {context_worker(c->ctx), connection_login_answered,
					    connection_index(c),    connection_id(c),
					    connection_address(c),  c->ctx->config->failed_logins_per_minute};

	if (!a)
		return false;
	logins_subject(shared->logins, q, a->login_subject);
	a->login = LOGIN_NONE;
	return logins_ask(shared->logins, &caller, q, &a->asked);
}

enum login connection_login_take(struct connection *c, const struct login_question *q)
{
	struct activity *a = activity_of(c);
	enum login answer = a ? (enum login)a->login : LOGIN_NONE;
	uint8_t subject[LOGIN_SUBJECT_LEN];

	if (answer == LOGIN_NONE)
		return LOGIN_NONE;
	a->login = LOGIN_NONE;
	logins_subject(c->ctx->shared->logins, q, subject);
	return memcmp(subject, a->login_subject, sizeof(subject)) == 0 ? answer : LOGIN_NONE;
}

void connection_login_forget(struct connection *c)
{
	struct activity *a = activity_of(c);

	if (!a || !a->asked)
		return;
	logins_cancel(c->ctx->shared->logins, a->asked);
	a->asked = NULL;
}

unsigned connection_login_failed(struct connection *c)
{
	if (c->failures < UINT8_MAX)
		c->failures++;
	return c->failures;
}
