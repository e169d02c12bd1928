/* SPDX-License-Identifier: MIT */
/* TLS records: any bytes as a stream of records, and any text within a record that is sealed well. */
#include "tests/fuzz/fuzz.h"

#include "daemon/io/tls_record.h"

#include <stdbool.h>
#include <string.h>

static struct tls_cryptor *cryptor;
static const struct tls_keys keys = {{1}, {2}};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	REQUIRE(tls_cryptor_new(&cryptor) == 0);
	return 0;
}

static bool may_come(uint8_t type)
{
	return type >= TLS_ALERT && type <= TLS_DATA;
}

/* On the heap, so that a look or a store beyond is seen. */
static ssize_t open_copy(const struct tls_suite *suite, uint64_t seq, const uint8_t *record, size_t size,
			 uint8_t *buf, uint8_t *type)
{
	uint8_t *copy = malloc(size ? size : 1), *own = malloc(size ? size : 1);

	memcpy(copy, record, size);
	ssize_t n = tls_open(cryptor, suite, &keys, seq, copy, size, own, type);
	REQUIRE(n <= (ssize_t)size && n <= TLS_PLAIN_MAX);
	REQUIRE(n < 0 || (may_come(*type) && (n > 0 || *type == TLS_DATA)));
	if (n > 0)
		memcpy(buf, own, (size_t)n);
	free(copy);
	free(own);
	return n;
}

/* No bytes that were not sealed can be opened, whatever they look like. */
static void stream_of_anything(const struct tls_suite *suite, const uint8_t *data, size_t size)
{
	static uint8_t buf[TLS_RECORD_MAX];
	uint8_t type;

	for (size_t at = 0; at < size;) {
		ssize_t n = tls_record_size(suite, data + at, size - at);
		for (size_t have = 0; have < 5 && have < size - at; have++) {
			ssize_t early = tls_record_size(suite, data + at, have);
			REQUIRE(early == 0 || early == n);
		}
		if (n <= 0)
			break;
		REQUIRE(n >= TLS_HEADER_SIZE && n <= TLS_RECORD_MAX);
		if ((size_t)n > size - at)
			break;
		REQUIRE(open_copy(suite, at, data + at, (size_t)n, buf, &type) == -TLS_BAD_RECORD_MAC);
		at += (size_t)n;
	}
	open_copy(suite, 0, data, size < TLS_RECORD_MAX ? size : TLS_RECORD_MAX, buf, &type);
}

/* What was sealed is opened to the same; with one bit changed to nothing. */
static void there_and_back(const struct tls_suite *suite, uint8_t type, const uint8_t *data, size_t size)
{
	static uint8_t record[TLS_PLAIN_MAX + TLS_RECORD_OVERHEAD], buf[TLS_RECORD_MAX];
	size_t n = size < TLS_PLAIN_MAX ? size : TLS_PLAIN_MAX, inner = n;
	uint8_t got, want = type;
	ssize_t sealed = tls_seal(cryptor, suite, &keys, 5, 6, type, data, n, record);

	REQUIRE(sealed > (ssize_t)n && sealed <= (ssize_t)(n + TLS_RECORD_OVERHEAD));
	/* TLS 1.3: a type of zero is padding, and the type stands before it. */
	while (suite->version == TLS_1_3 && want == 0 && inner > 0)
		want = data[--inner];
	bool good = may_come(want) && (inner > 0 || want == TLS_DATA);
	ssize_t r = open_copy(suite, 5, record, (size_t)sealed, buf, &got);
	REQUIRE(good ? r == (ssize_t)inner && got == want && memcmp(buf, data, inner) == 0
		     : r == -TLS_UNEXPECTED_MESSAGE);
	REQUIRE(open_copy(suite, 4, record, (size_t)sealed, buf, &got) == -TLS_BAD_RECORD_MAC);
	record[TLS_HEADER_SIZE + type % (sealed - TLS_HEADER_SIZE)] ^= (uint8_t)(1 << (n & 7));
	REQUIRE(open_copy(suite, 5, record, (size_t)sealed, buf, &got) == -TLS_BAD_RECORD_MAC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct tls_suite suite = {data[0] & 1 ? TLS_1_3 : TLS_1_2, (uint8_t)(1 + (data[0] >> 1) % 3), 32};
	REQUIRE(tls_suite_check(&suite) == 0);
	there_and_back(&suite, data[1], data + 2, size - 2);
	stream_of_anything(&suite, data + 1, size - 1);
	return 0;
}
