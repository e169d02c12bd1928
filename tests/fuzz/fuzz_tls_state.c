/* SPDX-License-Identifier: MIT */
/*
 * The state of a TLS stream, as damage could leave it, with and without checks that fit: it is refused, or goes on
 * within its own memory.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/io/tls_stream_own.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ID 77

/* What the input begins with; the rest is what comes from the socket. */
struct input {
	struct tls_state state;
	struct tls_secrets secrets;
	uint64_t received, sent; /* behind in_at and out_base, so that they fit more often */
	uint8_t over, closing, fits, prepares;
	struct tls_mark in, out[2];
};

static uint8_t *rests;
static struct tls_scratch *scratch;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	rests = malloc(2 * (size_t)TLS_REST_SIZE);
	scratch = aligned_alloc(65536, sizeof(*scratch));
	return 0;
}

/* As a build would have written it. */
static void make_checks_fit(struct input *in, const struct tls_place *place)
{
	struct tls_half *h = &in->state.half[atomic_load(&in->state.live) & 1];

	in->state.suite.version = in->state.suite.version & 1 ? TLS_1_2 : TLS_1_3;
	in->state.suite.aead = (uint8_t)(TLS_AES_128_GCM + in->state.suite.aead % 3);
	in->state.suite.hash = in->state.suite.hash & 1 ? 32 : 48;
	atomic_store(&in->state.live, atomic_load(&in->state.live) & 1);
	h->flags &= TLS_FLAGS;
	h->check = tls_half_check(&in->state, h, ID);
	for (enum tls_direction d = TLS_IN; d <= TLS_OUT; d++)
		for (unsigned slot = 0; slot < 2; slot++)
			in->secrets.check[d][slot] = tls_secret_check(place, d, slot);
	atomic_store(&scratch->in.owner, tls_mark_owner(&scratch->in, ID));
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&scratch->out[i].owner, tls_mark_owner(&scratch->out[i], ID));
}

static void go_on(struct stream *s, const struct input *in)
{
	static uint8_t buf[65536];
	struct tls_tools *tools;
	const void *data;

	REQUIRE(tls_tools_new(scratch, &tools) == 0);
	stream_attach(s, tools);
	for (unsigned i = 0; i < 8; i++)
		if (s->ops->receive(s, buf, TLS_RECORD_MAX + i * 4000) <= 0)
			break;
	stream_flush(s);
	if (in->prepares && s->ops->prepare(s, buf, in->prepares * 10U, &data) > 0)
		s->ops->sent(s, in->prepares);
	s->ops->send(s, buf, sizeof(buf));
	stream_bye(s);
	tls_tools_free(tools);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;
	const struct tls_place place = {&in.state, &in.secrets, rests, ID};
	struct stream s;
	int fds[2];

	if (size < sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	memset(scratch, 0, offsetof(struct tls_scratch, in_data));
	scratch->in = in.in;
	memcpy(scratch->out, in.out, sizeof(in.out));
	if (in.fits)
		make_checks_fit(&in, &place);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	REQUIRE(send(fds[1], data + sizeof(in), size - sizeof(in), MSG_DONTWAIT) >= 0 || size == sizeof(in));
	const struct tls_half *h = tls_live(&in.state);
	struct tls_progress p = {.received = h->in_at + in.received,
				 .sent = h->out_base + in.sent,
				 .over = in.over & 1,
				 .closing = in.closing & 1};
	if (!tls_stream_restore(&place, scratch, 1, &p, fds[0], &s)) {
		go_on(&s, &in);
		stream_free(&s);
	}
	close(fds[0]);
	close(fds[1]);
	return 0;
}
