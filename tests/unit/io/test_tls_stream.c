/* SPDX-License-Identifier: MIT */
/*
 * The surviving TLS stream over a socketpair, whose other end speaks TLS by hand. A new process is a new stream on the
 * same state, with what the kernel would count; that happens between any two steps.
 */
#include "tests/unit/unit.h"

#include "daemon/io/tls_stream_own.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ID 77

struct pair {
	struct tls_suite suite;
	struct tls_place place;
	struct tls_scratch *scratches; /* two workers' */
	struct tls_tools *tools[2];
	unsigned worker;
	struct stream stream;
	int peer;
	/* The other end. */
	struct tls_cryptor *cryptor;
	uint8_t secret[2][TLS_SECRET_MAX]; /* of the stream's directions */
	uint64_t seq[2], nonce;
	uint64_t written, read;
	uint8_t in[1 << 22];
	size_t n_in;
};

static struct pair *begin(uint8_t version, uint8_t aead, uint8_t hash)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct tls_handed handed = {.suite = {version, aead, hash}, .fragment = TLS_PLAIN_MAX, .nonce = 9000};
	int fds[2];

	p->suite = handed.suite;
	p->nonce = version == TLS_1_2 ? handed.nonce : 0;
	p->place = (struct tls_place){calloc(1, sizeof(struct tls_state)),
				      calloc(1, sizeof(struct tls_secrets)), calloc(2, TLS_REST_SIZE), ID};
	p->scratches = aligned_alloc(65536, 2 * sizeof(struct tls_scratch));
	memset(p->scratches, 0, 2 * sizeof(struct tls_scratch));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(tls_tools_new(&p->scratches[i], &p->tools[i]), 0);
	assert_int_equal(tls_cryptor_new(&p->cryptor), 0);
	memset(handed.secret[TLS_IN], 1, hash);
	memset(handed.secret[TLS_OUT], 2, hash);
	if (version == TLS_1_2)
		handed.in_seq = handed.out_seq = p->seq[TLS_IN] = p->seq[TLS_OUT] = 1;
	memcpy(p->secret, handed.secret, sizeof(p->secret));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	p->peer = fds[1];
	assert_int_equal(tls_stream_begin(&p->place, &handed, fds[0], &p->stream), 0);
	stream_attach(&p->stream, p->tools[0]);
	return p;
}

static void end(struct pair *p)
{
	close(p->stream.fd);
	close(p->peer);
	stream_free(&p->stream);
	for (unsigned i = 0; i < 2; i++)
		tls_tools_free(p->tools[i]);
	tls_cryptor_free(p->cryptor);
	free(p->place.state);
	free(p->place.secrets);
	free(p->place.rests);
	free(p->scratches);
	free(p);
}

static int queued(int fd)
{
	int n = 0;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

/* The process dies; another one goes on, by another worker. */
static void die(struct pair *p)
{
	struct tls_progress at = {.received = p->written - (uint64_t)queued(p->stream.fd),
				  .sent = p->read + (uint64_t)queued(p->peer)};
	int fd = p->stream.fd;

	stream_free(&p->stream);
	assert_null(tls_stream_restore(&p->place, p->scratches, 2, &at, fd, &p->stream));
	for (unsigned i = 0; i < 2; i++)
		tls_scratch_clear(&p->scratches[i]);
	stream_attach(&p->stream, p->tools[++p->worker & 1]);
}

static void keys_of(struct pair *p, enum tls_direction d, struct tls_keys *ret)
{
	if (p->suite.version == TLS_1_2)
		memcpy(ret, p->secret[d], sizeof(*ret));
	else
		assert_int_equal(tls_derive_keys(p->cryptor, &p->suite, p->secret[d], ret), 0);
}

static void renew(struct pair *p, enum tls_direction d)
{
	uint8_t next[TLS_SECRET_MAX] = {0};

	assert_int_equal(tls_next_secret(p->cryptor, &p->suite, p->secret[d], next), 0);
	memcpy(p->secret[d], next, sizeof(next));
	p->seq[d] = 0;
}

/* A record of the peer's. */
static size_t sealed(struct pair *p, uint8_t type, const void *data, size_t n, uint8_t *out)
{
	struct tls_keys keys;

	keys_of(p, TLS_IN, &keys);
	ssize_t size =
	    tls_seal(p->cryptor, &p->suite, &keys, p->seq[TLS_IN], p->seq[TLS_IN], type, data, n, out);
	assert_true(size > 0);
	p->seq[TLS_IN]++;
	return (size_t)size;
}

static void write_bytes(struct pair *p, const void *data, size_t n)
{
	assert_int_equal(send(p->peer, data, n, MSG_DONTWAIT), n);
	p->written += n;
}

static void say(struct pair *p, uint8_t type, const void *data, size_t n)
{
	uint8_t record[TLS_PLAIN_MAX + TLS_RECORD_OVERHEAD];

	write_bytes(p, record, sealed(p, type, data, n, record));
}

/* Reads what there is, and opens the next record: its plain bytes, or -1 if there is none. */
static ssize_t hear(struct pair *p, uint8_t *type, uint8_t *buf)
{
	struct tls_keys keys;
	ssize_t n;

	while ((n = recv(p->peer, p->in + p->n_in, sizeof(p->in) - p->n_in, MSG_DONTWAIT)) > 0) {
		p->n_in += (size_t)n;
		p->read += (uint64_t)n;
	}
	n = tls_record_size(&p->suite, p->in, p->n_in);
	assert_true(n >= 0);
	if (n == 0 || (size_t)n > p->n_in)
		return -1;
	keys_of(p, TLS_OUT, &keys);
	ssize_t r = tls_open(p->cryptor, &p->suite, &keys, p->seq[TLS_OUT], p->in, (size_t)n, buf, type);
	assert_true(r >= 0); /* no bad record, ever */
	p->seq[TLS_OUT]++;
	memmove(p->in, p->in + n, p->n_in - (size_t)n);
	p->n_in -= (size_t)n;
	return r;
}

static void hears(struct pair *p, uint8_t type, const void *data, size_t n)
{
	uint8_t got, buf[TLS_RECORD_MAX];

	assert_int_equal(hear(p, &got, buf), n);
	assert_int_equal(got, type);
	assert_memory_equal(buf, data, n);
}

static ssize_t receive(struct pair *p, void *buf, size_t len)
{
	return p->stream.ops->receive(&p->stream, buf, len);
}

static void receives(struct pair *p, const char *text)
{
	static uint8_t buf[65536];

	assert_int_equal(receive(p, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void sends(struct pair *p, const char *text)
{
	assert_int_equal(p->stream.ops->send(&p->stream, text, strlen(text)), strlen(text));
}

static void nothing_comes(struct pair *p)
{
	uint8_t buf[TLS_RECORD_MAX];

	assert_int_equal(receive(p, buf, sizeof(buf)), -EAGAIN);
}

/* --- the tests --- */

static const uint8_t suites[][3] = {
    {TLS_1_3, TLS_AES_128_GCM, 32}, {TLS_1_3, TLS_AES_256_GCM, 48}, {TLS_1_3, TLS_CHACHA20_POLY1305, 32},
    {TLS_1_2, TLS_AES_128_GCM, 32}, {TLS_1_2, TLS_AES_256_GCM, 48}, {TLS_1_2, TLS_CHACHA20_POLY1305, 32}};

static void both_ways_through_deaths(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
		struct pair *p = begin(suites[i][0], suites[i][1], suites[i][2]);
		for (unsigned k = 0; k < 5; k++) {
			say(p, TLS_DATA, "hello", 5);
			die(p);
			receives(p, "hello");
			sends(p, "and ");
			die(p);
			sends(p, "good bye");
			hears(p, TLS_DATA, "and ", 4);
			hears(p, TLS_DATA, "good bye", 8);
			nothing_comes(p);
		}
		end(p);
	}
}

static void a_record_in_pieces(void **state)
{
	uint8_t record[64];
	struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);

	(void)state;
	size_t n = sealed(p, TLS_DATA, "pieces", 6, record);
	for (size_t i = 0; i + 1 < n; i++) {
		write_bytes(p, record + i, 1);
		nothing_comes(p);
		die(p);
	}
	write_bytes(p, record + n - 1, 1);
	receives(p, "pieces");
	end(p);
}

/* What was received when the process died has not been opened, and lies in the scratch under its mark. */
static void what_was_received_is_not_lost(void **state)
{
	struct pair *p = begin(TLS_1_3, TLS_AES_256_GCM, 48);
	struct tls_scratch *s = &p->scratches[1];
	uint8_t record[64];
	size_t n = sealed(p, TLS_DATA, "half", 4, record);

	(void)state;
	write_bytes(p, record, 7);
	nothing_comes(p); /* the rest has it */
	memcpy(s->in_data, record, n);
	tls_mark_set(&s->in, ID, 0, 0, TLS_REST_SIZE);
	memset(p->place.rests, 'x', TLS_REST_SIZE); /* where a death within the copying left something */
	p->written = n;
	die(p);
	receives(p, "half");
	end(p);
}

static void what_does_not_fit_is_kept(void **state)
{
	static uint8_t data[3 << 20], buf[TLS_RECORD_MAX];
	struct pair *p = begin(TLS_1_3, TLS_AES_256_GCM, 48);
	size_t sent = 0, got = 0;
	uint8_t type;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	while (got < sizeof(data)) {
		while (sent < sizeof(data) &&
		       (n = p->stream.ops->send(&p->stream, data + sent, sizeof(data) - sent)) > 0)
			sent += (size_t)n;
		assert_true(sent == sizeof(data) || n == -EAGAIN);
		die(p);
		stream_flush(&p->stream);
		while ((n = hear(p, &type, buf)) >= 0) {
			assert_memory_equal(buf, data + got, n);
			got += (size_t)n;
		}
		stream_relax(&p->stream, false);
	}
	end(p);
}

static void new_keys_of_the_peer(void **state)
{
	static const uint8_t update[5] = {24, 0, 0, 1, 1}, answer[5] = {24, 0, 0, 1, 0};
	struct pair *p = begin(TLS_1_3, TLS_CHACHA20_POLY1305, 32);

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		say(p, TLS_DATA, "before", 6);
		say(p, TLS_HANDSHAKE, update, 5);
		renew(p, TLS_IN);
		say(p, TLS_DATA, "after", 5);
		receives(p, "beforeafter");
		hears(p, TLS_HANDSHAKE, answer, 5);
		renew(p, TLS_OUT);
		die(p);
		sends(p, "new");
		hears(p, TLS_DATA, "new", 3);
		/* The old ones are gone. */
		const struct tls_half *h = tls_live(p->place.state);
		static const uint8_t none[TLS_SECRET_MAX];
		assert_memory_equal(p->place.secrets->secret[TLS_IN][!(h->flags & TLS_IN_SLOT)], none,
				    sizeof(none));
		assert_memory_equal(p->place.secrets->secret[TLS_OUT][!(h->flags & TLS_OUT_SLOT)], none,
				    sizeof(none));
	}
	end(p);
}

/* RFC 8446, 5.1. Whoever dies between two pieces goes on with the next one. */
static void new_keys_in_pieces(void **state)
{
	static const uint8_t update[5] = {24, 0, 0, 1, 1}, answer[5] = {24, 0, 0, 1, 0};
	uint8_t buf[TLS_RECORD_MAX];

	(void)state;
	for (unsigned cuts = 0; cuts < 32; cuts++) {
		struct pair *p = begin(TLS_1_3, TLS_AES_256_GCM, 48);
		say(p, TLS_DATA, "before", 6);
		for (unsigned at = 0, n = 1; at < 5; at += n, n = 1) {
			while (at + n < 5 && cuts >> (at + n - 1) & 1)
				n++;
			say(p, TLS_HANDSHAKE, update + at, n);
			if (cuts & 16 && at + n < 5) {
				at == 0 ? receives(p, "before") : nothing_comes(p);
				die(p);
			}
		}
		renew(p, TLS_IN);
		say(p, TLS_DATA, "after", 5);
		if (receive(p, buf, sizeof(buf)) == 11)
			assert_memory_equal(buf, "beforeafter", 11);
		else
			assert_memory_equal(buf, "after", 5);
		hears(p, TLS_HANDSHAKE, answer, 5);
		end(p);
	}
	/* Nothing stands between the pieces, and nothing follows the last one. */
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t alert[2] = {2, TLS_UNEXPECTED_MESSAGE};
		static const struct {
			uint8_t type;
			size_t n;
			const char *data;
		} next[] = {{TLS_DATA, 1, "x"}, {TLS_ALERT, 2, "\1\0"}, {TLS_HANDSHAKE, 3, "\1\1\x18"}};
		struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);
		say(p, TLS_HANDSHAKE, update, 3);
		say(p, next[i].type, next[i].data, next[i].n);
		assert_int_equal(receive(p, buf, sizeof(buf)), -EPROTO);
		hears(p, TLS_ALERT, alert, 2);
		end(p);
	}
}

static void new_keys_of_our_own(void **state)
{
	static const uint8_t update[5] = {24, 0, 0, 1, 0};
	struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		tls_tools_limit(p->tools[i], 3);
	for (unsigned i = 0; i < 30; i++) {
		sends(p, "x");
		if (i > 0 && i % 3 == 0) {
			hears(p, TLS_HANDSHAKE, update, 5);
			renew(p, TLS_OUT);
		}
		hears(p, TLS_DATA, "x", 1);
		die(p);
	}
	end(p);
	/* TLS 1.2 has no new keys: an end in order. */
	p = begin(TLS_1_2, TLS_AES_128_GCM, 32);
	tls_tools_limit(p->tools[0], 0);
	assert_int_equal(p->stream.ops->send(&p->stream, "x", 1), -EKEYEXPIRED);
	hears(p, TLS_ALERT, "\1\0", 2);
	end(p);
}

static void the_end(void **state)
{
	struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);
	uint8_t buf[TLS_RECORD_MAX];

	(void)state;
	say(p, TLS_DATA, "last", 4);
	say(p, TLS_ALERT, "\1\0", 2);
	receives(p, "last");
	die(p);
	assert_true(stream_has_input(&p->stream));
	assert_int_equal(receive(p, buf, sizeof(buf)), 0);
	sends(p, "but we");
	assert_int_equal(stream_bye(&p->stream), 0);
	assert_int_equal(stream_bye(&p->stream), 0);
	die(p);
	assert_int_equal(stream_bye(&p->stream), 0);
	assert_int_equal(p->stream.ops->send(&p->stream, "x", 1), -EKEYEXPIRED);
	hears(p, TLS_DATA, "but we", 6);
	hears(p, TLS_ALERT, "\1\0", 2);
	assert_int_equal(hear(p, buf, buf), -1);
	end(p);
}

static void what_may_not_come(void **state)
{
	static const struct {
		uint8_t type, alert;
		size_t n;
		const char *data;
	} wrong[] = {{TLS_HANDSHAKE, TLS_UNEXPECTED_MESSAGE, 4, "\0\0\0\0"},
		     {TLS_HANDSHAKE, TLS_UNEXPECTED_MESSAGE, 10, "\x18\0\0\1\0\x18\0\0\1\0"},
		     {TLS_HANDSHAKE, TLS_ILLEGAL_PARAMETER, 5, "\x18\0\0\1\2"},
		     {TLS_ALERT, TLS_DECODE_ERROR, 1, "\1"},
		     {TLS_DATA, TLS_BAD_RECORD_MAC, 1, "x"}};
	uint8_t buf[TLS_RECORD_MAX];

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);
		const uint8_t alert[2] = {2, wrong[i].alert};
		say(p, TLS_DATA, "good", 4);
		p->seq[TLS_IN] += wrong[i].alert == TLS_BAD_RECORD_MAC;
		say(p, wrong[i].type, wrong[i].data, wrong[i].n);
		receives(p, "good");
		assert_true(stream_has_input(&p->stream));
		assert_int_equal(receive(p, buf, sizeof(buf)), -EPROTO);
		hears(p, TLS_ALERT, alert, 2);
		end(p);
	}
}

static void floods_end(void **state)
{
	static const uint8_t update[5] = {24, 0, 0, 1, 1};
	uint8_t buf[TLS_RECORD_MAX];

	(void)state;
	for (unsigned kind = 0; kind < 2; kind++) {
		struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);
		for (unsigned i = 0; i < 100; i++) {
			say(p, kind ? TLS_HANDSHAKE : TLS_DATA, update, kind ? 5 : 0);
			if (kind)
				renew(p, TLS_IN);
		}
		assert_int_equal(receive(p, buf, sizeof(buf)), -EDQUOT);
		end(p);
	}
}

static void a_batch(void **state)
{
	struct pair *p = begin(TLS_1_3, TLS_AES_256_GCM, 48);
	const void *data;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		/* Sent, cut, or not sent at all; and a death before it is known. */
		size_t n = p->stream.ops->prepare(&p->stream, "line", 4, &data);
		assert_true(n > 4);
		size_t part = i % 3 == 0 ? n : i % 3 == 1 ? n / 2 : 0;
		if (part > 0)
			assert_int_equal(send(p->stream.fd, data, part, 0), part);
		if (i % 7 == 0) {
			die(p);
			assert_int_equal(stream_flush(&p->stream), 0);
			/* The worker's batch died with it. */
			for (unsigned k = 0; k < 2; k++) {
				tls_tools_free(p->tools[k]);
				assert_int_equal(tls_tools_new(&p->scratches[k], &p->tools[k]), 0);
			}
			stream_attach(&p->stream, p->tools[0]);
		} else {
			assert_int_equal(p->stream.ops->prepare(&p->stream, "x", 1, &data), 0);
			assert_int_equal(p->stream.ops->send(&p->stream, "x", 1), -EAGAIN);
			p->stream.ops->sent(&p->stream, part > 0 ? (ssize_t)part : -EAGAIN);
			assert_int_equal(stream_is_waiting(&p->stream), part < n);
			if (i % 5 == 0)
				die(p);
			assert_int_equal(stream_flush(&p->stream), 0);
		}
		hears(p, TLS_DATA, "line", 4);
	}
	end(p);
}

/* Any byte of what counts: it is refused. */
static void damage_is_noticed(void **state)
{
	struct pair *p = begin(TLS_1_3, TLS_AES_256_GCM, 48);
	unsigned live;

	(void)state;
	say(p, TLS_DATA, "x", 1);
	receives(p, "x");
	sends(p, "y");
	live = atomic_load(&p->place.state->live) & 1;
	const struct {
		uint8_t *at;
		size_t size;
	} parts[] = {{(uint8_t *)&p->place.state->half[live], sizeof(struct tls_half)},
		     {(uint8_t *)&p->place.state->suite, sizeof(struct tls_suite)},
		     {(uint8_t *)&p->place.state->fragment, 2},
		     {(uint8_t *)&p->place.state->nonce, 8},
		     {p->place.secrets->secret[TLS_IN][0], TLS_SECRET_MAX},
		     {p->place.secrets->secret[TLS_OUT][0], TLS_SECRET_MAX}};
	for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		for (size_t k = 0; k < parts[i].size * 8; k++) {
			struct tls_progress at = {.received = p->written,
						  .sent = p->read + (uint64_t)queued(p->peer)};
			struct stream s;
			parts[i].at[k / 8] ^= (uint8_t)(1 << k % 8);
			assert_non_null(
			    tls_stream_restore(&p->place, p->scratches, 2, &at, p->stream.fd, &s));
			parts[i].at[k / 8] ^= (uint8_t)(1 << k % 8);
		}
	/* What the kernel counts is another connection's. */
	for (int d = -1; d <= 1; d += 2) {
		struct tls_progress at = {.received = p->written + (d < 0 ? -1 : TLS_REST_SIZE + 1),
					  .sent = p->read + (uint64_t)queued(p->peer)};
		struct stream s;
		assert_string_equal(tls_stream_restore(&p->place, p->scratches, 2, &at, p->stream.fd, &s),
				    "its TLS input doesn't add up");
		at = (struct tls_progress){.received = p->written,
					   .sent = p->read + (uint64_t)queued(p->peer) + (d < 0 ? -40 : 1)};
		assert_string_equal(tls_stream_restore(&p->place, p->scratches, 2, &at, p->stream.fd, &s),
				    "its TLS output doesn't add up");
	}
	die(p);
	hears(p, TLS_DATA, "y", 1);
	end(p);
}

/* What the peer sends in vain is not free. */
static void padding_is_counted(void **state)
{
	uint8_t padded[2000] = "hello\x17", buf[TLS_RECORD_MAX];
	struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);

	(void)state;
	say(p, TLS_DATA, "hello", 5);
	receives(p, "hello");
	assert_int_equal(p->stream.padding, 0);
	say(p, 0, padded, sizeof(padded));
	say(p, 0, padded, sizeof(padded));
	assert_int_equal(receive(p, buf, sizeof(buf)), 10);
	assert_in_range(p->stream.padding, 2 * (sizeof(padded) - 20), 2 * sizeof(padded));
	nothing_comes(p);
	assert_int_equal(p->stream.padding, 0);
	end(p);
}

/* The name in a certificate is there for the next process, and damage makes no other one of it. */
static void peer_names(void **state)
{
	struct pair *p = begin(TLS_1_3, TLS_AES_128_GCM, 32);
	char name[TLS_PEER_MAX + 1], longest[TLS_PEER_MAX + 1];

	(void)state;
	assert_int_equal(tls_place_peer(&p->place, name), 0);
	tls_place_set_peer(&p->place, "alice", 5);
	die(p);
	assert_int_equal(tls_place_peer(&p->place, name), 5);
	assert_string_equal(name, "alice");
	p->place.state->peer[0] ^= 1;
	assert_int_equal(tls_place_peer(&p->place, name), 0);
	p->place.state->peer[0] ^= 1;
	p->place.state->peer_len = TLS_PEER_MAX + 1;
	assert_int_equal(tls_place_peer(&p->place, name), 0);
	p->place.state->peer_len = 4;
	assert_int_equal(tls_place_peer(&p->place, name), 0);
	p->place.state->peer_len = 5;
	p->place.id++;
	assert_int_equal(tls_place_peer(&p->place, name), 0);
	p->place.id--;
	memset(longest, 'x', TLS_PEER_MAX);
	tls_place_set_peer(&p->place, longest, TLS_PEER_MAX);
	assert_int_equal(tls_place_peer(&p->place, name), TLS_PEER_MAX);
	end(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_ways_through_deaths),
	    cmocka_unit_test(a_record_in_pieces),
	    cmocka_unit_test(what_was_received_is_not_lost),
	    cmocka_unit_test(what_does_not_fit_is_kept),
	    cmocka_unit_test(new_keys_of_the_peer),
	    cmocka_unit_test(new_keys_in_pieces),
	    cmocka_unit_test(new_keys_of_our_own),
	    cmocka_unit_test(the_end),
	    cmocka_unit_test(what_may_not_come),
	    cmocka_unit_test(floods_end),
	    cmocka_unit_test(a_batch),
	    cmocka_unit_test(damage_is_noticed),
	    cmocka_unit_test(padding_is_counted),
	    cmocka_unit_test(peer_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
