/* SPDX-License-Identifier: MIT */
/*
 * What happens in a turn, and what becomes of each event of the link. After a connection the stream is read first up
 * to where it ended then: so what this node published before, and does not know of, comes back, and is not published
 * again.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The stream's last message may have been taken out of it: then nothing comes any more. */
#define TURN_GATE_US (2 * SECOND_US)
#define TURN_TELL_US (60 * SECOND_US)
#define TURN_IDLE_US SECOND_US
#define TURN_BUSY_US 100000

static void turn_name_subjects(struct core *c)
{
	snprintf(c->root, sizeof(c->root), "%s", c->start.stream);
	for (char *p = c->root; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	snprintf(c->nak, sizeof(c->nak), "%s.nak.%s", c->root, c->node);
	snprintf(c->gone, sizeof(c->gone), "%s.gone.%s", c->root, c->node);
	snprintf(c->to, sizeof(c->to), "%s.to.%s", c->root, c->node);
	snprintf(c->took, sizeof(c->took), "%s.took.%s", c->root, c->node);
}

int core_new(const struct core_start *start, struct core **ret)
{
	struct core *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->start = *start;
	c->now = c->reached_at = start->now;
	snprintf(c->node, sizeof(c->node), "%s", start->node);
	c->node_len = strlen(c->node);
	c->boot = rooms_private(start->rooms)->epoch;
	c->key = hash_key_new();
	c->batch_max = CORE_BATCH_MAX;
	c->read = cluster_file_applied(start->file);
	c->status.applied = c->read.seq;
	c->away = cluster_file_is_away(start->file); /* who was told so is told when it is over */
	turn_name_subjects(c);
	int r = nodes_open(c);
	if (r == 0)
		r = channels_open(c);
	if (r == 0)
		r = letters_open(c);
	if (r < 0) {
		core_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void core_free(struct core *c)
{
	if (!c)
		return;
	gaps_free(c);
	letters_free(c);
	channels_free(c);
	nodes_free(c);
	free(c);
}

/* --- the connection --- */

static void turn_why(struct core *c, const char *why)
{
	snprintf(c->status.why, sizeof(c->status.why), "%s", why ? why : "");
}

/* An attempt to connect failed, as more of them may. */
static void turn_failed(struct core *c, const char *why)
{
	bool again = strcmp(c->status.why, why ? why : "") == 0;

	turn_why(c, why);
	if (!again)
		c->failed_told = 0;
	if (!core_may_tell(c, &c->failed_told, TURN_TELL_US))
		return;
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_CLUSTER},
		  "cluster: NATS can't be reached: %s", c->status.why);
}

static void turn_forget_stream(struct core *c, struct channel *ch)
{
	(void)c;
	ch->in_stream = ch->stored = 0;
	ch->history = HISTORY_UNKNOWN;
	ch->restored = 0;
	ch->restored_ns = 0;
}

static void turn_channel_lost(struct core *c, struct channel *ch)
{
	(void)c;
	ch->stored = 0; /* it is read before anything else is published */
	channel_go_back(ch, 0);
}

void core_lost(struct core *c, const char *why)
{
	if (!c->connected)
		return;
	c->connected = c->subscribed = c->ready = false;
	c->status.connected = false;
	c->status.since_us = clock_us(CLOCK_REALTIME);
	turn_why(c, why);
	if (c->people)
		people_connected(c->people);
	log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_CLUSTER}, "cluster: NATS is lost: %s",
		  why ? why : "");
	gaps_free(c); /* they are found again */
	c->read = cluster_file_applied(c->start.file);
	channels_each(c, turn_channel_lost);
}

void core_read_again(struct core *c)
{
	c->asked = c->read;
	c->subscribed = c->ready = false;
	c->start.link.subscribe(c->start.link.arg, c->generation, c->asked.seq, c->asked.time_ns);
}

static void turn_connected(struct core *c, const struct nats_event *e)
{
	core_lost(c, "another connection took its place");
	c->generation = e->generation;
	c->connected = true;
	c->connected_at = c->now;
	c->beat_at = c->size_told = c->agreed_at = 0;
	c->max_payload = e->max_payload;
	c->batch_max = CORE_BATCH_MAX; /* another server may take more */
	c->status.connected = true;
	c->status.since_us = clock_us(CLOCK_REALTIME);
	turn_why(c, NULL);
	if (c->people)
		people_connected(c->people);
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_CLUSTER}, "cluster: NATS is there");
	c->read = cluster_file_applied(c->start.file);
	core_read_again(c);
}

static void turn_subscribed(struct core *c, const struct nats_event *e)
{
	c->subscribed = true;
	c->ready = false;
	c->read = c->asked;
	c->gate = e->seq > e->last ? 0 : e->last;
	c->gate_at = c->now;
	c->last = e->last;
	cluster_file_tell_time(c->start.file, e->time_ns);
	c->has_holes = c->asked.seq == 0 || e->rolled_back || e->seq > c->asked.seq + 1;
	if (c->asked.seq > 0 && !e->rolled_back)
		return;
	if (e->rolled_back)
		log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_CLUSTER},
			  "cluster: the stream is not the one that was read up to message %" PRIu64
			  ", or lost its end; it is read from its beginning",
			  c->asked.seq);
	gaps_free(c);
	c->first_read = !e->rolled_back;
	c->rolled_back = true;
	c->read = c->asked = (struct cluster_applied){0, 0};
	cluster_file_set_applied(c->start.file, c->read);
	channels_each(c, turn_forget_stream);
}

/* The stream lost its end: what it had of this node is published again as far as it is there. */
static void turn_publish_again(struct core *c, struct channel *ch)
{
	uint64_t from = ch->in_stream > ch->boot.from ? ch->in_stream : ch->boot.from;

	if (from >= ch->low || !channel_hold(c, ch))
		return;
	ch->low = from;
	channel_go_back(ch, 0);
	channel_look(c, ch);
}

static void turn_look_whether_ready(struct core *c)
{
	if (c->ready || !c->subscribed || (c->read.seq < c->gate && c->now - c->gate_at < TURN_GATE_US))
		return;
	c->ready = true;
	c->first_read = c->has_holes = false;
	if (c->rolled_back)
		channels_each(c, turn_publish_again);
}

/* All of that is there again; before, a process after this one would not know of it. */
static void turn_look_whether_whole(struct core *c)
{
	if (!c->ready || !c->rolled_back)
		return;
	for (unsigned i = 0; i < c->n_busy; i++)
		if (c->busy[i]->low < c->busy[i]->own->echoed)
			return;
	c->rolled_back = false;
	cluster_file_set_applied(c->start.file, gap_applied(c));
}

/* --- events --- */

static bool turn_message(struct core *c, const struct nats_event *e)
{
	if (!c->subscribed || e->generation != c->generation)
		return true;
	c->gate_at = c->now;
	if (e->seq > c->last)
		c->last = e->seq;
	if (e->seq > c->read.seq)
		return apply_message(c, e);
	core_read_again(c); /* the stream lost its end under way, and begins to have another one */
	return true;
}

static void turn_plain(struct core *c, const struct nats_event *e)
{
	const char *subject = e->subject ? e->subject : "";

	if (strcmp(subject, c->nak) == 0)
		gap_asked(c, e->data, e->len);
	else if (strcmp(subject, c->gone) == 0)
		gap_gone(c, e->data, e->len);
	else if (strcmp(subject, c->to) == 0)
		mailbox_take(c, e->data, e->len);
	else if (strcmp(subject, c->took) == 0)
		letters_answered(c, e->data, e->len);
	else if (!agree_heard(c, subject, e->data, e->len))
		nodes_heard(c, subject, e->data, e->len);
	if (c->people)
		people_heard(c->people, subject, e->data, e->len);
}

bool core_event(struct core *c, const struct nats_event *e)
{
	switch (e->kind) {
	case NATS_CONNECTED:
		turn_connected(c, e);
		break;
	case NATS_SUBSCRIBED:
		if (c->connected && e->generation == c->generation)
			turn_subscribed(c, e);
		break;
	case NATS_MESSAGE:
		if (!turn_message(c, e))
			return false;
		break;
	case NATS_REPLY:
		publish_replied(c, e);
		break;
	case NATS_PLAIN:
		turn_plain(c, e);
		break;
	case NATS_LOST:
		if (e->generation == c->generation)
			core_lost(c, e->why);
		break;
	case NATS_FAILED:
		turn_failed(c, e->why);
		break;
	}
	turn_look_whether_ready(c);
	return true;
}

void core_said(struct core *c, uint32_t index)
{
	struct channel *ch = letters_put(c, index) ? NULL : channel_of_index(c, index);

	if (ch)
		channel_look(c, ch);
}

/* --- the turn --- */

static void turn_publish(struct core *c)
{
	for (unsigned i = 0; i < c->n_busy;) {
		struct channel *ch = c->busy[i];
		publish_channel(c, ch);
		if (ch->misused || ch->low < logring_count(ch->out->log)) {
			i++;
			continue;
		}
		ch->busy = false;
		c->busy[i] = c->busy[--c->n_busy];
	}
}

uint64_t core_waiting(const struct core *c)
{
	uint64_t n = letters_waiting(c);

	for (unsigned i = 0; i < c->n_busy; i++)
		n += logring_count(c->busy[i]->out->log) - c->busy[i]->low;
	return n;
}

void core_mark(struct core *c)
{
	for (unsigned i = 0; i < c->n_busy; i++)
		c->busy[i]->marked = logring_count(c->busy[i]->out->log);
	letters_mark(c);
}

bool core_is_waiting(const struct core *c)
{
	for (unsigned i = 0; i < c->n_busy; i++)
		if (c->busy[i]->low < c->busy[i]->marked)
			return true;
	return letters_is_waiting(c);
}

int64_t core_turn(struct core *c, int64_t now)
{
	c->now = now;
	turn_look_whether_ready(c);
	away_turn(c);
	turn_look_whether_whole(c);
	turn_publish(c);
	letters_turn(c);
	gaps_turn(c);
	nodes_turn(c);
	agree_turn(c);
	channels_tidy(c);
	c->status.applied = c->read.seq;
	c->status.refused = c->refused;
	c->status.unread = c->unread + (c->people ? people_unread(c->people) : 0);
	int64_t people = c->people ? people_turn(c->people) : TURN_IDLE_US;
	bool waiting = c->n_busy > 0 || c->gaps || !c->ready || letters_waiting(c) > 0;
	return waiting && people > TURN_BUSY_US ? TURN_BUSY_US : people;
}
