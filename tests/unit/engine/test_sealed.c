/* SPDX-License-Identifier: MIT */
/* Events that are rendered once for all, and sealed for each: by streams of this test, in batches and in pieces. */
#include "tests/unit/engine/formed.h"

/* One that turns all bits round, as TLS seals: up to so many bytes, which it keeps if the socket doesn't take them. */
struct turned {
	size_t len, sent;
	char data[64];
};

static void turned_fill(struct turned *t, const char *data, size_t len)
{
	*t = (struct turned){.len = len};
	for (size_t i = 0; i < len; i++)
		t->data[i] = (char)~data[i];
}

static int turned_flush(struct stream *s)
{
	struct turned *t = s->own;
	ssize_t n = t->len > t->sent ? send(s->fd, t->data + t->sent, t->len - t->sent, MSG_NOSIGNAL) : 0;

	t->sent += n > 0 ? (size_t)n : 0;
	return t->sent < t->len ? -EAGAIN : 0;
}

static bool turned_is_waiting(const struct stream *s)
{
	const struct turned *t = s->own;

	return t->sent < t->len;
}

static ssize_t turned_send(struct stream *s, const void *data, size_t len)
{
	struct turned *t = s->own;

	if (turned_flush(s) < 0)
		return -EAGAIN;
	turned_fill(t, data, len < sizeof(t->data) ? len : sizeof(t->data));
	turned_flush(s);
	return (ssize_t)t->len;
}

static size_t turned_prepare(struct stream *s, const void *data, size_t len, const void **ret)
{
	struct turned *t = s->own;

	if (turned_is_waiting(s) || len > sizeof(t->data))
		return 0;
	turned_fill(t, data, len);
	*ret = t->data;
	return len;
}

static void turned_sent(struct stream *s, ssize_t result)
{
	struct turned *t = s->own;

	assert_true(result > 0);
	t->sent = (size_t)result;
}

static void what_is_sealed_comes_once(void **state)
{
	struct turned own[3];
	const struct stream_ops *plain = NULL;
	struct stream_ops ops;
	int fds[3];

	for (unsigned i = 0; i < 3; i++) {
		fds[i] = formed_join(*state, 1 + i % 2);
		struct connection *c = formed_connection(*state, i);
		plain = c->stream.ops;
		own[i] = (struct turned){.len = 0};
		c->stream.own = &own[i];
	}
	ops = (struct stream_ops){.receive = plain->receive,
				  .send = turned_send,
				  .prepare = turned_prepare,
				  .sent = turned_sent,
				  .is_waiting = turned_is_waiting,
				  .flush = turned_flush};
	for (unsigned i = 0; i < 3; i++)
		formed_connection(*state, i)->stream.ops = &ops;
	/* Of 25 events some batches are sealed as a whole, and larger ones in pieces that end within an event. */
	for (unsigned round = 0; round < 25; round++) {
		for (unsigned i = 0; i <= round; i++)
			formed_say(*state, "0123456789");
		harness_settle(*state);
		for (unsigned k = 0; k < 3; k++) {
			size_t len = 0;
			for (const char *got; *(got = harness_read(*state, fds[k])); harness_settle(*state))
				for (; *got; got++, len++)
					if (k % 2 == 0)
						assert_int_equal((char)~*got, "{0123456789}"[len % 12]);
			assert_true(k % 2 == 0 ? len == (round + 1) * 12 : len > (round + 1) * 12);
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		struct stream *s = &formed_connection(*state, i)->stream;
		s->own = NULL;
		s->ops = plain;
		close(fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_sealed_comes_once, formed_setup, harnessed_teardown),
	};

	return cmocka_run_group_tests_name("sealed", tests, NULL, NULL);
}
