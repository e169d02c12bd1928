/* SPDX-License-Identifier: MIT */
/*
 * Which boot what is said here has, room by room. It changes in two cases: somebody else has said lines under it, so
 * that other nodes take what comes for known; or the node has another name. What went out under the one before is out;
 * all else goes out under the new one, which nobody knows yet and everybody takes as it comes.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/rooms/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* So many lines of a room are looked at, when it is to be found out what was shown in it. */
#define BOOTS_GUESS 1024

/* The line after the one that a record of its room's log is of; 0: there is none. */
static uint64_t boots_find(struct logring *out, const struct logring_view *v, const struct record *shown)
{
	for (uint64_t n = v->count; n > v->first; n--) {
		const struct record *r = logring_record(out, n - 1);
		if (r->time_us == shown->time_us && r->sender == shown->sender && r->kind == shown->kind &&
		    r->nick_len == shown->nick_len)
			return n;
	}
	return 0;
}

/* What was noted is lost, and the logs are not: the newest line of this node in its room was the last one to be shown. */
static uint64_t boots_guess_shown(const struct room *outgoing)
{
	struct logring *main = outgoing->main->log, *out = outgoing->log;
	struct logring_view shown, said;
	uint64_t n = 0;

	logring_lock(main);
	logring_lock(out);
	logring_peek(main, &shown);
	logring_peek(out, &said);
	for (uint64_t seq = shown.count, looked = 0;
	     n == 0 && said.count > said.first && looked < BOOTS_GUESS && logring_back(main, &shown, &seq);
	     looked++)
		n = boots_find(out, &said, logring_record(main, seq));
	logring_unlock(out);
	logring_unlock(main);
	return n;
}

const struct cluster_position *boots_position(struct cluster_file *f, const char *node,
					      const struct room *outgoing, const struct outgoing_boot *b)
{
	const struct cluster_position *p =
	    cluster_file_position(f, outgoing->main->name, node, strlen(node), b->boot);

	if (!p || !p->fresh || outgoing->main->index == ROOM_PRIVATE)
		return p;
	/* What was noted under the boot before it is not lost with this position. */
	uint64_t shown = boots_guess_shown(outgoing);
	if (shown < b->from)
		shown = b->from;
	if (shown > 0)
		cluster_file_move(f, p, shown, b->from, cluster_file_applied(f));
	return p;
}

/* Whatever comes under a boot that is over is known. Its lines end there, which `echoed` keeps. */
static void boots_close(struct cluster_file *f, const struct cluster_position *p, uint64_t end)
{
	if (p->expected != UINT64_MAX)
		cluster_file_move(f, p, UINT64_MAX, end, cluster_file_applied(f));
	FAULT("cluster-boot-closed");
	cluster_file_retire(f, p);
}

void boots_close_before(struct cluster_file *f, const char *node, const struct room *outgoing,
			const struct outgoing_boot *b)
{
	const struct cluster_position *p =
	    b->before ? cluster_file_position(f, outgoing->main->name, node, strlen(node), b->before) : NULL;

	if (p)
		boots_close(f, p, b->before_end);
}

bool boots_was(const struct cluster_file *f, const char *node, const char *room, uint64_t boot,
	       uint64_t *ret_end)
{
	const struct cluster_position *p = cluster_file_known(f, room, node, strlen(node), boot);

	if (!p || p->expected != UINT64_MAX)
		return false;
	*ret_end = p->echoed;
	return true;
}

/* The lines from `from` on have another boot, of which nothing is known anywhere but this. */
static const struct cluster_position *boots_begin(struct cluster_file *f, const char *node,
						  struct room *outgoing, struct outgoing_boot *b,
						  uint64_t expected)
{
	b->boot = room_epoch_new();
	const struct cluster_position *p =
	    cluster_file_position(f, outgoing->main->name, node, strlen(node), b->boot);
	if (!p)
		return NULL;
	cluster_file_move(f, p, expected, b->from, cluster_file_applied(f));
	FAULT("cluster-boot-noted");
	outgoing_set_boot(outgoing, b);
	return p;
}

bool boots_change(struct core *c, struct channel *ch)
{
	const struct cluster_position *old = ch->own;
	struct outgoing_boot b = {.from = ch->low,
				  .skip_from = ch->boot.skip_from,
				  .skip_to = ch->boot.skip_to,
				  .before = ch->boot.boot,
				  .before_end = ch->low > ch->boot.skip_to ? ch->low : ch->boot.skip_to};
	const struct cluster_position *p = boots_begin(c->start.file, c->node, ch->out, &b, old->expected);

	if (!p)
		return false;
	ch->boot = b;
	ch->own = p;
	ch->sent = ch->in_stream = ch->low;
	boots_close(c->start.file, old, b.before_end);
	return true;
}

/* --- another name --- */

struct boots_naming {
	struct cluster_file *file;
	const char *old, *name;
	uint64_t waiting;
};

static void boots_count_waiting(struct room *o, void *arg)
{
	struct boots_naming *n = arg;
	const struct outgoing_boot b = outgoing_boot(o);
	const struct cluster_position *p = boots_position(n->file, n->old, o, &b);
	uint64_t count = logring_count(o->log);

	if (p && p->echoed < count)
		n->waiting += count - p->echoed;
}

/* Letters are never said again from a stream, and their log keeps its boot. */
static const struct cluster_position *boots_rename_letters(const struct boots_naming *n, const struct room *o,
							   uint64_t count)
{
	const struct cluster_position *p =
	    cluster_file_position(n->file, o->main->name, n->name, strlen(n->name), o->epoch);

	if (p)
		cluster_file_move(n->file, p, count, count, cluster_file_applied(n->file));
	return p;
}

static void boots_rename(struct room *o, void *arg)
{
	const struct boots_naming *n = arg;
	const struct outgoing_boot old = outgoing_boot(o);
	struct outgoing_boot b = {.from = logring_count(o->log)};
	bool letters = o->main->index == ROOM_PRIVATE;
	const struct cluster_position *p =
	    letters ? boots_rename_letters(n, o, b.from) : boots_begin(n->file, n->name, o, &b, b.from);

	FAULT("cluster-renaming");
	if (p && !letters)
		p = cluster_file_position(n->file, o->main->name, n->old, strlen(n->old), old.boot);
	if (p && !letters)
		boots_close(n->file, p, b.from);
}

void boots_take_name(struct rooms *rooms, struct cluster_file *f, struct cluster_config *g)
{
	char old[CLUSTER_FILE_NODE_MAX + 1];
	struct boots_naming n = {.file = f, .old = old, .name = g->node};

	snprintf(old, sizeof(old), "%s", cluster_file_node(f));
	if (strcmp(old, g->node) == 0)
		return;
	outgoing_each(rooms, boots_count_waiting, &n);
	if (n.waiting > 0) {
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER, .node = old},
			  "cluster: this node is still called %s, as %" PRIu64
			  " line%s said under that name have not come back; it is %s with the next start "
			  "after that",
			  old, n.waiting, n.waiting == 1 ? "" : "s", g->node);
		snprintf(g->node, sizeof(g->node), "%.*s", CLUSTER_NODE_MAX, old);
		return;
	}
	cluster_file_set_node(f, g->node);
	outgoing_each(rooms, boots_rename, &n);
	cluster_file_keep_node(f);
}
