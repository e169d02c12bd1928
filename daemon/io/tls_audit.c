/* SPDX-License-Identifier: MIT */
/* Writes down what leaves over TLS, for the tests; empty in builds without fault points. */
#include "daemon/io/tls_audit.h"

#ifdef ENABLE_FAULTS
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In no two pages of the file, since a kill could come between them. */
struct audit_seal {
	uint64_t id, at, size;
	uint64_t key; /* tells keys apart */
	uint64_t nonce;
	uint8_t tag[16]; /* the record's end */
	uint64_t reserved;
};

_Static_assert(sizeof(struct audit_seal) == 64, "a part of a page");

/* A file of the audit's directory, or -1. */
static int audit_open(const char *name, int flags)
{
	const char *dir = getenv("CHATD_TLS_AUDIT");
	char path[512];

	if (!dir)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CREAT | O_CLOEXEC, 0600);
}

static void audit_violation(uint64_t id, uint64_t at, const char *what)
{
	int fd = audit_open("violations", O_WRONLY | O_APPEND);

	if (fd < 0)
		return;
	dprintf(fd, "process %d, client %llu, byte %llu: %s\n", (int)getpid(), (unsigned long long)id,
		(unsigned long long)at, what);
	close(fd);
}

/* Whether what stands in the file from at on is the same. */
static bool audit_same(int fd, uint64_t at, const uint8_t *data, size_t len)
{
	uint8_t before[4096];

	for (size_t done = 0; done < len;) {
		size_t n = len - done < sizeof(before) ? len - done : sizeof(before);
		if (pread(fd, before, n, (off_t)(at + done)) != (ssize_t)n ||
		    memcmp(before, data + done, n) != 0)
			return false;
		done += n;
	}
	return true;
}

void tls_audit_offer(uint64_t id, uint64_t at, const void *data, size_t len)
{
	char name[32];
	struct stat st;

	snprintf(name, sizeof(name), "%llu.bytes", (unsigned long long)id);
	int fd = audit_open(name, O_RDWR);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	uint64_t end = (uint64_t)st.st_size;
	size_t again = end <= at ? 0 : end - at < len ? (size_t)(end - at) : len;
	if (end > 0 && at > end)
		audit_violation(id, at, "bytes before it were never offered");
	if (!audit_same(fd, at, data, again))
		audit_violation(id, at, "other bytes were offered there before");
	/* Before they leave; the part that is there already is left alone. */
	if (pwrite(fd, (const uint8_t *)data + again, len - again, (off_t)(at + again)) !=
	    (ssize_t)(len - again))
		audit_violation(id, at, "the audit can't be written");
	close(fd);
}

void tls_audit_seal(uint64_t id, uint64_t at, const struct tls_keys *keys, uint64_t nonce,
		    const uint8_t *record, size_t size)
{
	struct audit_seal s = {.id = id, .at = at, .size = size, .nonce = nonce};
	int fd = audit_open("seals", O_WRONLY | O_APPEND);

	if (fd < 0)
		return;
	for (size_t i = 0; i < sizeof(*keys); i++)
		s.key = (s.key ^ ((const uint8_t *)keys)[i]) * 0x9e3779b97f4a7c15ULL;
	memcpy(s.tag, record + size - sizeof(s.tag), sizeof(s.tag));
	if (write(fd, &s, sizeof(s)) != (ssize_t)sizeof(s))
		audit_violation(id, at, "the audit can't be written");
	close(fd);
}
#endif
