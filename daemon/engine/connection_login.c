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

	if (!c)
		return;
	c->asked = NULL;
	if (!(c->pause & PAUSE_LOGIN) || c->phase != PHASE_OPEN ||
	    memcmp(answer->subject, c->login_subject, sizeof(c->login_subject)) != 0)
		return;
	c->login = answer->good ? LOGIN_GOOD : LOGIN_BAD;
	c->pause &= (uint8_t)~PAUSE_LOGIN;
	c->pause |= PAUSE_TURN; /* so that the line is worked on again in this turn */
	connection_retry(c);
}

bool connection_login_ask(struct connection *c, const struct login_question *q)
{
	struct shared *shared = c->ctx->shared;
	const struct login_caller caller = {c->w,
					    connection_login_answered,
					    connection_index(c),
					    connection_id(c),
					    &c->address,
					    c->ctx->config->failed_logins_per_minute};

	logins_subject(shared->logins, q, c->login_subject);
	c->login = LOGIN_NONE;
	return logins_ask(shared->logins, &caller, q, &c->asked);
}

enum login connection_login_take(struct connection *c, const struct login_question *q)
{
	enum login answer = (enum login)c->login;
	uint8_t subject[LOGIN_SUBJECT_LEN];

	if (answer == LOGIN_NONE)
		return LOGIN_NONE;
	c->login = LOGIN_NONE;
	logins_subject(c->ctx->shared->logins, q, subject);
	return memcmp(subject, c->login_subject, sizeof(subject)) == 0 ? answer : LOGIN_NONE;
}

unsigned connection_login_failed(struct connection *c)
{
	if (c->failures < UINT8_MAX)
		c->failures++;
	return c->failures;
}
