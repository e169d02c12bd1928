/* SPDX-License-Identifier: MIT */
/* A hash with open addressing, at most half full. Cookies and ids are numbers in a row, which the factor spreads evenly. */
#include "daemon/server/entry_index.h"

#include <errno.h>
#include <stdlib.h>

/* The entry's place in the table, plus 1; 0: free. The highest bit: it was found. */
#define FOUND (1U << 31)

_Static_assert(CLIENTS_CAPACITY < FOUND, "a place fits beside the bit");

struct entry_index {
	struct clients *clients;
	unsigned bits;
	uint32_t slots[];
};

static struct entry_index *entry_index_make(struct clients *clients)
{
	unsigned bits = 4;

	while (1ULL << bits < 2ULL * clients_high(clients))
		bits++;
	struct entry_index *ix = calloc(1, sizeof(*ix) + sizeof(*ix->slots) * (1ULL << bits));
	if (ix) {
		ix->clients = clients;
		ix->bits = bits;
	}
	return ix;
}

void entry_index_free(struct entry_index *ix)
{
	free(ix);
}

static uint64_t entry_index_cookie(const struct client *c)
{
	return atomic_load_explicit(&c->cookie, memory_order_relaxed);
}

static uint64_t entry_index_id(const struct client *c)
{
	return c->id;
}

/* The slot with the entry whose key that is, or the free one where it belongs. */
static uint32_t *entry_index_slot(struct entry_index *ix, uint64_t (*key_of)(const struct client *c),
				  uint64_t key)
{
	uint64_t mask = (1ULL << ix->bits) - 1, at = key * 0x9e3779b97f4a7c15ULL >> (64 - ix->bits);

	while (ix->slots[at] != 0 && key_of(clients_at(ix->clients, (ix->slots[at] & ~FOUND) - 1)) != key)
		at = (at + 1) & mask;
	return &ix->slots[at];
}

/* False if another one has its key. */
static bool entry_index_add(struct entry_index *ix, uint64_t (*key_of)(const struct client *c),
			    const struct client *c)
{
	uint32_t *slot = entry_index_slot(ix, key_of, key_of(c));

	if (*slot != 0)
		return false;
	*slot = clients_index(ix->clients, c) + 1;
	return true;
}

/* An id that two entries claim belongs to neither. */
static int entry_index_check_ids(struct clients *clients)
{
	struct entry_index *ids = entry_index_make(clients);
	const struct client *c;
	bool good = true;

	if (!ids)
		return -ENOMEM;
	for (uint32_t i = 0; good && (c = clients_at(clients, i)); i++)
		if (entry_index_cookie(c))
			good = c->id != 0 && c->id < clients_next_id(clients) &&
			       entry_index_add(ids, entry_index_id, c);
	entry_index_free(ids);
	return good ? 0 : -EBADMSG;
}

int entry_index_new(struct clients *clients, struct entry_index **ret)
{
	int r = entry_index_check_ids(clients);
	struct entry_index *ix = r == 0 ? entry_index_make(clients) : NULL;
	const struct client *c;

	if (!ix)
		return r < 0 ? r : -ENOMEM;
	for (uint32_t i = 0; r == 0 && (c = clients_at(clients, i)); i++)
		/* Those with an address instead of a connection wait for their listener. */
		if (entry_index_cookie(c) && !client_is_datagram(c) &&
		    !entry_index_add(ix, entry_index_cookie, c))
			r = -EBADMSG;
	if (r < 0)
		entry_index_free(ix);
	else
		*ret = ix;
	return r;
}

struct client *entry_index_find(struct entry_index *ix, uint64_t cookie, bool *ret_again)
{
	uint32_t *slot = entry_index_slot(ix, entry_index_cookie, cookie);

	if (*slot == 0)
		return NULL;
	*ret_again = *slot & FOUND;
	*slot |= FOUND;
	return clients_at(ix->clients, (*slot & ~FOUND) - 1);
}

void entry_index_rest(const struct entry_index *ix, void (*fn)(struct client *c, void *arg), void *arg)
{
	for (uint64_t i = 0; i < 1ULL << ix->bits; i++)
		if (ix->slots[i] != 0 && !(ix->slots[i] & FOUND))
			fn(clients_at(ix->clients, ix->slots[i] - 1), arg);
}
