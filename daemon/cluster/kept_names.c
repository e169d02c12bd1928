/* SPDX-License-Identifier: MIT */
/* When each node was there last, and the file's text on its way from the cluster's thread to the main one. */
#include "daemon/cluster/kept_names.h"

#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/presence_text.h"
#include "daemon/io/replace.h"
#include "daemon/rooms/elsewhere.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_LOOK_US SECOND_US
/* It is written that often even if nothing has changed, so that it says who was there lately. */
#define KEPT_WRITE_US (3600 * SECOND_US)

struct kept_names {
	struct elsewhere *el;
	char *path;
	char node[ELSEWHERE_NODE_MAX + 1];
	int64_t seen_s[ELSEWHERE_NODES]; /* by the node's place: CLOCK_REALTIME */
	int64_t looked, written;
	unsigned version; /* of the names, in the text */

	pthread_mutex_t lock;
	char *text; /* to be written; NULL: nothing has changed */
	size_t len;
};

static int64_t kept_now_s(void)
{
	return clock_us(CLOCK_REALTIME) / SECOND_US;
}

/* --- reading --- */

static bool kept_read_line(struct kept_names *k, char *line, uint64_t number)
{
	struct elsewhere_client c = {.id = ELSEWHERE_RESERVED_ID + number, .reserved = true};
	char *seen = strchr(line, ' '), *nick = seen ? strchr(seen + 1, ' ') : NULL, *end;

	if (!nick)
		return false;
	*seen++ = *nick++ = '\0';
	errno = 0;
	long long seen_s = strtoll(seen, &end, 10);
	size_t len = strlen(nick);
	if (*end || end == seen || errno || seen_s < 0 || !presence_node_valid(line, strlen(line)) ||
	    len > TEXT_NICK_MAX || !nick_valid(nick, len))
		return false;
	if (strcmp(line, k->node) == 0)
		return true; /* this node is called as that one was, and has its own */
	struct elsewhere_node *node = elsewhere_node(k->el, line);
	c.nick_len = (uint8_t)len;
	memcpy(c.nick, nick, len);
	if (!node || !elsewhere_put(k->el, node, &c))
		return false;
	int64_t now = kept_now_s();
	k->seen_s[elsewhere_place(k->el, node)] = seen_s < now ? seen_s : now;
	elsewhere_drop(k->el, node, NULL, NULL); /* it is not there; its names stay */
	return true;
}

static void kept_read(struct kept_names *k)
{
	FILE *f = fopen(k->path, "re");
	char line[256];
	unsigned wrong = 0;

	if (!f && errno != ENOENT)
		log_warning("%s can't be read, so names of other nodes' accounts are free until those are "
			    "heard of: %s",
			    k->path, strerror(errno));
	for (uint64_t n = 0; f && n < KEPT_NAMES_MAX && fgets(line, sizeof(line), f); n++) {
		line[strcspn(line, "\n")] = '\0';
		wrong += !kept_read_line(k, line, n);
	}
	if (wrong > 0)
		log_warning("%s: %u line%s can't be used", k->path, wrong, wrong == 1 ? "" : "s");
	if (f)
		fclose(f);
	k->version = elsewhere_reserved_version(k->el);
}

int kept_names_new(const char *path, const char *node, struct elsewhere *el, struct kept_names **ret)
{
	struct kept_names *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	pthread_mutex_init(&k->lock, NULL);
	k->el = el;
	k->path = strdup(path);
	if (!k->path) {
		kept_names_free(k);
		return -ENOMEM;
	}
	snprintf(k->node, sizeof(k->node), "%s", node);
	kept_read(k);
	*ret = k;
	return 0;
}

void kept_names_free(struct kept_names *k)
{
	if (!k)
		return;
	pthread_mutex_destroy(&k->lock);
	free(k->path);
	free(k->text);
	free(k);
}

/* --- keeping --- */

struct kept_text {
	const struct kept_names *k;
	FILE *f;
	unsigned n;
};

static void kept_write_name(const struct elsewhere_node *node, const char *name, const char *nick, size_t len,
			    void *arg)
{
	struct kept_text *t = arg;

	if (t->n++ < KEPT_NAMES_MAX)
		fprintf(t->f, "%s %" PRId64 " %.*s\n", name, t->k->seen_s[elsewhere_place(t->k->el, node)],
			(int)len, nick);
}

/* news: also if there is none, as there was one before. */
static void kept_make_text(struct kept_names *k, bool news)
{
	char *text = NULL;
	size_t len;
	struct kept_text t = {.k = k, .f = open_memstream(&text, &len)};

	if (!t.f)
		return; /* again in a while */
	elsewhere_each_reserved(k->el, kept_write_name, &t);
	if (fclose(t.f) != 0 || (t.n == 0 && !news)) {
		free(text);
		return;
	}
	if (t.n > KEPT_NAMES_MAX)
		log_limited(
		    LOG_TOPIC_CLUSTER, LOG_WARNING, &(struct log_fields){.message_id = EVENT_NODE},
		    "cluster: of %u names that other nodes reserve %d are kept for when they are away", t.n,
		    KEPT_NAMES_MAX);
	pthread_mutex_lock(&k->lock);
	char *old = k->text;
	k->text = text;
	k->len = len;
	pthread_mutex_unlock(&k->lock);
	free(old);
}

void kept_names_turn(struct kept_names *k, int64_t now, int64_t keep_us,
		     bool (*is_there)(const char *node, void *arg), void *arg)
{
	if (!k || now - k->looked < KEPT_LOOK_US)
		return;
	k->looked = now;
	for (size_t i = 0; i < ELSEWHERE_NODES; i++) {
		struct elsewhere_node *node = elsewhere_node_at(k->el, i);
		if (!node)
			continue;
		if (!node->kept || is_there(node->name, arg))
			k->seen_s[i] = kept_now_s();
		else if (kept_now_s() - k->seen_s[i] >= keep_us / SECOND_US)
			elsewhere_forget(k->el, node);
	}
	unsigned version = elsewhere_reserved_version(k->el);
	bool news = version != k->version;
	if (k->written == 0)
		k->written = now;
	if (!news && now - k->written < KEPT_WRITE_US)
		return;
	k->version = version;
	k->written = now;
	kept_make_text(k, news);
}

int kept_names_save(struct kept_names *k)
{
	if (!k)
		return 0;
	pthread_mutex_lock(&k->lock);
	char *text = k->text;
	size_t len = k->len;
	k->text = NULL;
	pthread_mutex_unlock(&k->lock);
	if (!text)
		return 0;
	int r = replace_file(k->path, text, len);
	free(text);
	return r;
}
