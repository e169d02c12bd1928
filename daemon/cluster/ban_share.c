/* SPDX-License-Identifier: MIT */
/* A hash of the words by their addresses. What is over is forgotten, and that a ban was lifted is known for a week. */
#include "daemon/cluster/ban_share.h"

#include "common/hash.h"
#include "daemon/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARE_FORMAT 1
#define SHARE_BUCKETS 4096
#define SHARE_MAX 131072
#define SHARE_TEXT_MAX 65536
/* So many words are surely no more than that. */
#define SHARE_WORDS 400
#define SHARE_HEAD_MAX 256
/* How often sums are compared, and all is told if they differ. */
#define SHARE_COMPARE_US (5 * SECOND_US)
#define SHARE_KEEP_US (7 * INT64_C(86400) * SECOND_US)
/* Clocks may differ by so much; what is said to be from later could never be taken back. */
#define SHARE_SKEW_US (60 * SECOND_US)

struct word {
	struct word *next; /* in its bucket */
	struct ban_word is;
	bool untold; /* to the other nodes */
	bool news;   /* to this node's main thread */
};

struct ban_share {
	pthread_mutex_t lock;
	struct hash_key key;
	struct word *buckets[SHARE_BUCKETS];
	size_t n, n_untold, n_news;
	uint64_t sum; /* of all words, in whatever order */
	int64_t compared, told_all, swept;
};

int ban_share_new(struct ban_share **ret)
{
	struct ban_share *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	b->key = hash_key_new();
	*ret = b;
	return 0;
}

void ban_share_free(struct ban_share *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < SHARE_BUCKETS; i++)
		for (struct word *w = b->buckets[i], *next; w; w = next) {
			next = w->next;
			free(w);
		}
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* --- the words; the lock is held --- */

/* The same on every node. */
static uint64_t share_sum_of(const struct ban_word *w)
{
	char address[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX + 64];
	int n = snprintf(text, sizeof(text), "%s %" PRId64 " %" PRId64 " %d",
			 prefix_format(&w->prefix, address), w->until_us, w->changed_us, w->removed);

	return hash_fixed(text, (size_t)n);
}

static struct word **share_find(struct ban_share *b, const struct prefix *p)
{
	char text[ADDRESS_TEXT_MAX];

	prefix_format(p, text);
	struct word **w = &b->buckets[hash_bytes(&b->key, text, strlen(text)) % SHARE_BUCKETS];
	while (*w && !prefix_equal(&(*w)->is.prefix, p))
		w = &(*w)->next;
	return w;
}

static void share_mark(size_t *n, bool *flag, bool value)
{
	*n = *n - *flag + value;
	*flag = value;
}

static void share_forget(struct ban_share *b, struct word **at)
{
	struct word *w = *at;

	share_mark(&b->n_untold, &w->untold, false);
	share_mark(&b->n_news, &w->news, false);
	b->sum ^= share_sum_of(&w->is);
	b->n--;
	*at = w->next;
	free(w);
}

static bool share_is_over(const struct ban_word *w, int64_t now_real)
{
	if (w->removed)
		return w->changed_us < now_real - SHARE_KEEP_US;
	return w->until_us && w->until_us <= now_real;
}

static bool share_is_later(const struct ban_word *a, const struct ban_word *b)
{
	if (a->changed_us != b->changed_us)
		return a->changed_us > b->changed_us;
	return a->removed != b->removed ? a->removed : a->until_us > b->until_us;
}

/* NULL: it says nothing new. *ret_differs: whether what is to be done is another thing than before. */
static struct word *share_merge(struct ban_share *b, const struct ban_word *is, bool *ret_differs)
{
	struct word **at = share_find(b, &is->prefix), *w = *at;

	if (w && !share_is_later(is, &w->is))
		return NULL;
	if (!w) {
		if (b->n >= SHARE_MAX || !(w = calloc(1, sizeof(*w))))
			return NULL;
		w->is = (struct ban_word){.prefix = is->prefix, .removed = true};
		*at = w;
		b->n++;
	} else {
		b->sum ^= share_sum_of(&w->is);
	}
	*ret_differs = w->is.removed != is->removed || w->is.until_us != is->until_us;
	w->is = *is;
	b->sum ^= share_sum_of(is);
	return w;
}

/* --- for the main thread --- */

void ban_share_say(struct ban_share *b, const struct ban_word *is)
{
	struct ban_word word = *is;
	bool differs;

	if (!b)
		return;
	/* As the file of bans has it: a node that starts again says the same. */
	word.until_us = (word.until_us + SECOND_US - 1) / SECOND_US * SECOND_US;
	pthread_mutex_lock(&b->lock);
	/* Whoever says something has the last word, whatever the clock says. */
	const struct word *known = *share_find(b, &is->prefix);
	if (known && known->is.changed_us >= word.changed_us)
		word.changed_us = known->is.changed_us + 1;
	struct word *w = share_merge(b, &word, &differs);
	if (w) {
		share_mark(&b->n_untold, &w->untold, true);
		share_mark(&b->n_news, &w->news, false);
	}
	pthread_mutex_unlock(&b->lock);
}

size_t ban_share_take(struct ban_share *b, struct ban_word *ret, size_t max)
{
	size_t n = 0;

	if (!b)
		return 0;
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < SHARE_BUCKETS && b->n_news > 0 && n < max; i++)
		for (struct word *w = b->buckets[i]; w && n < max; w = w->next)
			if (w->news) {
				share_mark(&b->n_news, &w->news, false);
				ret[n++] = w->is;
			}
	pthread_mutex_unlock(&b->lock);
	return n;
}

/* --- saying --- */

static json_t *share_word_json(const struct ban_word *w)
{
	char address[ADDRESS_TEXT_MAX];
	json_t *o = json_pack("{s:s,s:I}", "address", prefix_format(&w->prefix, address), "changed",
			      (json_int_t)w->changed_us);

	if (w->until_us)
		json_object_set_new(o, "until", json_integer(w->until_us));
	if (w->removed)
		json_object_set_new(o, "removed", json_true());
	return o;
}

static size_t share_words(size_t max_payload)
{
	const size_t word = SHARE_TEXT_MAX / SHARE_WORDS;
	size_t n = max_payload > SHARE_HEAD_MAX + word ? (max_payload - SHARE_HEAD_MAX) / word : 1;

	return max_payload == 0 || n > SHARE_WORDS ? SHARE_WORDS : n;
}

static json_t *share_take_untold(struct ban_share *b, size_t max)
{
	json_t *words = json_array();

	for (size_t i = 0; i < SHARE_BUCKETS && b->n_untold > 0 && json_array_size(words) < max; i++)
		for (struct word *w = b->buckets[i]; w && json_array_size(words) < max; w = w->next)
			if (w->untold) {
				share_mark(&b->n_untold, &w->untold, false);
				json_array_append_new(words, share_word_json(&w->is));
			}
	return words;
}

static void share_sweep(struct ban_share *b, int64_t now)
{
	int64_t now_real = clock_us(CLOCK_REALTIME);

	if (now - b->swept < SECOND_US)
		return;
	b->swept = now;
	for (size_t i = 0; i < SHARE_BUCKETS; i++)
		for (struct word **w = &b->buckets[i]; *w;)
			if (share_is_over(&(*w)->is, now_real))
				share_forget(b, w);
			else
				w = &(*w)->next;
}

char *ban_share_next(struct ban_share *b, const char *node, int64_t now, size_t max_payload)
{
	char sum[17], *text = NULL;

	pthread_mutex_lock(&b->lock);
	share_sweep(b, now);
	bool compares = now - b->compared >= SHARE_COMPARE_US;
	if (b->n_untold > 0 || compares) {
		json_t *o = json_pack("{s:i,s:s,s:o}", "v", SHARE_FORMAT, "node", node, "bans",
				      share_take_untold(b, share_words(max_payload)));
		/* While there is more to tell, the others' sums can't be the same. */
		if (b->n_untold == 0) {
			b->compared = now;
			snprintf(sum, sizeof(sum), "%016" PRIx64, b->sum);
			json_object_set_new(o, "sum", json_string(sum));
		}
		text = json_dumps(o, JSON_COMPACT);
		json_decref(o);
	}
	pthread_mutex_unlock(&b->lock);
	return text;
}

/* --- hearing --- */

static bool share_read_word(const json_t *o, int64_t now_real, struct ban_word *ret)
{
	const char *address = json_string_value(json_object_get(o, "address"));
	const json_t *changed = json_object_get(o, "changed"), *until = json_object_get(o, "until");

	*ret = (struct ban_word){.changed_us = json_integer_value(changed),
				 .until_us = json_integer_value(until),
				 .removed = json_is_true(json_object_get(o, "removed"))};
	return address && prefix_parse(address, &ret->prefix) == 0 && json_is_integer(changed) &&
	       ret->changed_us >= 0 && ret->changed_us <= now_real + SHARE_SKEW_US &&
	       (!until || json_is_integer(until)) && ret->until_us >= 0;
}

static void share_hear_word(struct ban_share *b, const struct ban_word *is)
{
	bool differs;
	struct word *w = share_merge(b, is, &differs);

	if (!w)
		return;
	share_mark(&b->n_untold, &w->untold, false);
	if (differs)
		share_mark(&b->n_news, &w->news, true);
}

/* The others say the same once they see that this node's sum is not theirs. */
static void share_compare(struct ban_share *b, int64_t now, const char *sum)
{
	char own[17];

	snprintf(own, sizeof(own), "%016" PRIx64, b->sum);
	if (strcmp(own, sum) == 0 || b->n_untold > 0 || (b->told_all && now - b->told_all < SHARE_COMPARE_US))
		return;
	b->told_all = now;
	for (size_t i = 0; i < SHARE_BUCKETS; i++)
		for (struct word *w = b->buckets[i]; w; w = w->next)
			share_mark(&b->n_untold, &w->untold, true);
	b->compared = 0; /* even if there is nothing */
}

bool ban_share_heard(struct ban_share *b, const char *node, int64_t now, const char *data, size_t len)
{
	json_t *o = len <= SHARE_TEXT_MAX ? json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL) : NULL, *word;
	const json_t *format = json_object_get(o, "v"), *words = json_object_get(o, "bans");
	const char *from = json_string_value(json_object_get(o, "node")),
		   *sum = json_string_value(json_object_get(o, "sum"));
	int64_t now_real = clock_us(CLOCK_REALTIME);
	bool good = json_is_integer(format) && json_integer_value(format) == SHARE_FORMAT && from &&
		    (!words || json_is_array(words));
	size_t i;

	if (good && strcmp(from, node) != 0) {
		pthread_mutex_lock(&b->lock);
		json_array_foreach(words, i, word)
		{
			struct ban_word is;
			if (!share_read_word(word, now_real, &is))
				good = false;
			else if (!share_is_over(&is, now_real))
				share_hear_word(b, &is);
		}
		if (sum)
			share_compare(b, now, sum);
		pthread_mutex_unlock(&b->lock);
	}
	json_decref(o);
	return good;
}
