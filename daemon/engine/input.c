/* SPDX-License-Identifier: MIT */
/*
 * What a connection says: bytes are received into the worker's scratch, the handler works on them, and what it
 * leaves is kept in the client's inbox. Its verdict says whether reading pauses.
 */
#include "daemon/engine/connection_own.h"

#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/limits.h"

#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void input_load(struct connection *c, char *to, uint64_t base)
{
	const char *inbox = clients_inbox(c->ctx->shared->clients, c->client);
	size_t at = base % CLIENT_IN_SIZE, first = CLIENT_IN_SIZE - at;

	if (first > c->leftover)
		first = c->leftover;
	memcpy(to, inbox + at, first);
	memcpy(to + first, inbox, c->leftover - first);
}

/* Puts len bytes of input, the first of which is at that offset, where a successor finds them. */
static void input_store(struct connection *c, const char *from, uint64_t offset, size_t len)
{
	char *inbox = clients_inbox(c->ctx->shared->clients, c->client);
	size_t at = offset % CLIENT_IN_SIZE, first = CLIENT_IN_SIZE - at;

	if (first > len)
		first = len;
	memcpy(inbox + at, from, first);
	memcpy(inbox, from + first, len - first);
	c->in_touched = true;
}

void connection_amend_input(struct connection *c, size_t at, char byte)
{
	struct scratch *s = c->ctx->scratch;
	uint64_t offset = connection_state(c)->in_parsed + at;

	s->data[offset - s->base] = byte;
	/* What was left over before isn't stored once more. */
	if (offset - s->base < c->leftover)
		input_store(c, &byte, offset, 1);
}

static void input_tell_of_renewals(struct connection *c)
{
	char from[ADDRESS_TEXT_MAX];

	count(c->ctx->counters, COUNT_TLS_RENEWALS, 1);
	log_limited(LOG_TOPIC_TLS, LOG_NOTICE, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED),
		    "client %" PRIu64 " from %s is closed: it wants new TLS keys all the time", c->client->id,
		    address_peer(connection_address(c), from));
}

static ssize_t input_receive(struct connection *c, void *buf, size_t len)
{
	ssize_t n = c->stream.ops->receive(&c->stream, buf, len);

	if (n == -EDQUOT)
		input_tell_of_renewals(c);
	return n;
}

/*
 * Receives behind the have bytes of input that are in the scratch. Returns how many came; *ret_rest is how long
 * (us) nothing should be read, for having received so much.
 */
static size_t input_take(struct connection *c, char *data, size_t have, int64_t *ret_rest)
{
	size_t most = CLIENT_IN_SIZE - have;
	unsigned rate = c->ctx->config->bytes_per_second;

	if (rate > 0 && most > rate)
		most = rate > c->stream.ops->least ? rate : c->stream.ops->least;
	ssize_t n = input_receive(c, data + have, most);
	FAULT("receive");
	/* All has been read. A peer that ended in order before it was reset did have an end. */
	if (n == -EPIPE || (n == -EAGAIN && c->unheard && c->stream.ops->direct))
		n = 0;
	if (n < 0 && !stream_is_temporary(n)) {
		closing_doom(c, (int)-n);
	} else if (n == 0 && c->unheard && c->error != EPIPE) {
		closing_doom(c, c->error); /* a line that has no end doesn't count */
	} else if (n == 0) {
		c->eof = true;
	} else if (n > 0) {
		c->active = c->ctx->now;
		count(c->ctx->counters, COUNT_BYTES_IN, (uint64_t)n);
		*ret_rest = pace_received(c, (uint64_t)n + c->stream.padding);
		return (size_t)n;
	}
	return 0;
}

/* Of have bytes from base on, what the handler did not consume is put where a successor finds it. */
static void input_settle(struct connection *c, uint64_t base, size_t have)
{
	const struct scratch *s = c->ctx->scratch;
	size_t consumed = connection_state(c)->in_parsed - base;

	c->spoke |= consumed > 0;
	/* What was left over before is still there. */
	size_t settled = consumed > c->leftover ? consumed : c->leftover;
	c->leftover = (uint32_t)(have - consumed);
	if (settled < have)
		input_store(c, s->data + settled, base + settled, have - settled);
	FAULT("receive-settled");
}

static void input_follow(struct connection *c, enum verdict verdict)
{
	switch (verdict) {
	case HANDLER_MORE:
		break;
	case HANDLER_BLOCKED:
		c->pause |= PAUSE_BLOCKED;
		c->behind = true;
		break;
	case HANDLER_YIELD:
		c->pause |= PAUSE_TURN;
		worker_hurry(context_worker(c->ctx));
		break;
	case HANDLER_CROWDED:
		c->pause |= PAUSE_TURN;
		count(c->ctx->counters, COUNT_CROWDED, 1);
		break;
	case HANDLER_LIMITED:
		pace_wait(c);
		break;
	case HANDLER_WAITING:
		c->pause |= PAUSE_ANSWER;
		break;
	case HANDLER_CLOSE:
		closing_leave(c);
		break;
	}
}

/* Receives straight into the worker's scratch, where a successor finds it, and lets the handler work on it. */
static void input_run(struct connection *c, bool receive)
{
	struct scratch *s = c->ctx->scratch;
	uint64_t base = connection_state(c)->in_parsed;
	size_t have = c->leftover;
	int64_t rest = 0;

	if (have > 0)
		input_load(c, s->data, base);
	s->base = base;
	atomic_store_explicit(&s->owner, scratch_owner(s, c->client->id), memory_order_release);
	FAULT("receive-owner");
	if (receive && !c->eof && have + c->stream.ops->least < CLIENT_IN_SIZE)
		have += input_take(c, s->data, have, &rest);

	enum verdict verdict = HANDLER_MORE;
	if (c->phase < PHASE_DOOMED && (have > c->leftover || c->eof || !receive))
		verdict = c->handler->received(c, s->data, have, c->eof);
	if (verdict == HANDLER_MORE && c->eof)
		verdict = HANDLER_CLOSE;
	input_settle(c, base, have);
	atomic_store_explicit(&s->owner, 0, memory_order_release);

	input_follow(c, verdict);
	if (rest > 0 && c->phase == PHASE_OPEN && !(c->pause & PAUSE_LIMITED))
		pace_slow_down(c, rest, "bytes");
	if (c->pause & PAUSE_TURN)
		connection_retry(c);
	else if (c->pause & PAUSE_LIMITED)
		worker_retry_later(context_worker(c->ctx), &c->task);
}

/* Input that no event will announce: what the stream has already, or what a peer sent that has gone. */
static bool input_has_more(const struct connection *c)
{
	return connection_may_read(c) && !c->eof && (c->unheard || stream_has_input(&c->stream));
}

void input_pump(struct connection *c)
{
	output_run(c);
	while (c->phase == PHASE_OPEN && c->pause == PAUSE_BLOCKED && !c->blocked && !output_is_pending(c)) {
		c->pause = 0;
		input_run(c, false);
		output_run(c);
	}
	connection_rewatch(c);
	if (input_has_more(c))
		connection_retry(c);
}

static int input_socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error == 0 ? EPIPE : error;
}

void input_ready(struct source *s, uint32_t events)
{
	struct connection *c = (struct connection *)s;

	if (c->phase >= PHASE_DOOMED || c->unwatched)
		return;
	if (c->phase >= PHASE_LINGERING) {
		closing_discard(c);
		return;
	}
	if (events & EPOLLOUT)
		c->blocked = stream_flush(&c->stream) == -EAGAIN;
	if (connection_may_read(c) && !c->eof && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		input_run(c, true);
	else if (events & (EPOLLHUP | EPOLLERR))
		closing_lose_peer(c, input_socket_error(c->stream.fd));
	input_pump(c);
}

void input_again(struct connection *c)
{
	if (c->phase == PHASE_OPEN) {
		if (pace_rests(c)) {
			worker_retry_later(context_worker(c->ctx), &c->task);
			return;
		}
		if (c->pause & (PAUSE_TURN | PAUSE_LIMITED)) {
			c->pause &= (uint8_t) ~(PAUSE_TURN | PAUSE_LIMITED);
			if (!c->pause)
				input_run(c, false);
		} else if (input_has_more(c)) {
			input_run(c, true);
		}
	}
	input_pump(c);
}
