/* SPDX-License-Identifier: MIT */
/*
 * What comes from NATS becomes events: replies in a thread of libnats, as they are few, and messages when the owner asks for
 * the next one. Since the server's questions whether more may come stand behind them, it is slowed down by that.
 */
#include "daemon/base/clock.h"
#include "daemon/io/nats_link_own.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define NATS_ACK_PREFIX "$JS.ACK."

static struct nats_event nats_receive_event(const struct nats_life *life, enum nats_event_kind kind,
					    natsMsg *msg)
{
	return (struct nats_event){.kind = kind,
				   .generation = life->generation,
				   .subject = natsMsg_GetSubject(msg),
				   .data = natsMsg_GetData(msg),
				   .len = (size_t)natsMsg_GetDataLength(msg)};
}

/* --- replies --- */

/* What the server said to a publish: {"stream": ..., "seq": N}, or {"error": {"description": ...}}. */
static json_t *nats_receive_parse(natsMsg *msg, struct nats_event *e)
{
	json_t *reply = json_loadb(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg), 0, NULL);
	json_t *error = json_object_get(reply, "error");
	json_int_t seq = json_integer_value(json_object_get(reply, "seq"));

	if (natsMsg_IsNoResponders(msg))
		e->why = "no stream takes that subject";
	else if (error)
		e->why = json_string_value(json_object_get(error, "description"));
	else if (seq > 0)
		e->seq = (uint64_t)seq;
	if (!e->why && !e->seq)
		e->why = "that is no reply";
	return reply;
}

void nats_receive_reply(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
	struct nats_life *life = arg;
	struct nats_link *l = life->link;
	struct nats_event e = {.kind = NATS_REPLY, .generation = life->generation};
	const char *id = strrchr(natsMsg_GetSubject(msg), '.');
	json_t *reply = nats_receive_parse(msg, &e);

	(void)nc;
	(void)sub;
	e.id = id ? strtoull(id + 1, NULL, 10) : 0;
	pthread_mutex_lock(&l->mutex);
	/* As many as were asked for: more than the bound can't be under way, unless a stranger makes some. */
	if (!life->over && l->n_events < NATS_REPLIES_MAX)
		nats_events_put(l, &e);
	pthread_mutex_unlock(&l->mutex);
	json_decref(reply);
	natsMsg_Destroy(msg);
}

/* --- messages --- */

static bool nats_receive_plain(const struct nats_life *life, natsMsg *msg, struct nats_event *ret)
{
	*ret = nats_receive_event(life, NATS_PLAIN, msg);
	return true;
}

/* A heartbeat, or the question whether more may come. */
static void nats_receive_control(struct nats_life *life, natsConnection *nc, natsMsg *msg)
{
	const char *last = NULL, *stalled = NULL, *reply = natsMsg_GetReply(msg);

	if (natsMsgHeader_Get(msg, "Nats-Last-Consumer", &last) == NATS_OK &&
	    strtoull(last, NULL, 10) != life->consumed)
		nats_life_end(life, "messages of the stream are missing");
	if (!reply && natsMsgHeader_Get(msg, "Nats-Consumer-Stalled", &stalled) == NATS_OK)
		reply = stalled;
	if (reply)
		natsConnection_Publish(nc, reply, NULL, 0);
}

static bool nats_receive_message(struct nats_life *life, natsMsg *msg, struct nats_event *ret)
{
	jsMsgMetaData *m = NULL;
	uint64_t number = 0;

	*ret = nats_receive_event(life, NATS_MESSAGE, msg);
	if (natsMsg_GetMetaData(&m, msg) == NATS_OK) {
		ret->seq = m->Sequence.Stream;
		ret->time_ns = m->Timestamp;
		number = m->Sequence.Consumer;
		jsMsgMetaData_Destroy(m);
	}
	if (number != life->consumed + 1) {
		nats_life_end(life, "messages of the stream are missing");
		return false;
	}
	life->consumed = number;
	return true;
}

static bool nats_receive_stream(struct nats_life *life, natsConnection *nc, natsMsg *msg,
				struct nats_event *ret)
{
	const char *reply = natsMsg_GetReply(msg);

	pthread_mutex_lock(&life->link->mutex);
	life->heard_us = clock_us(CLOCK_MONOTONIC);
	pthread_mutex_unlock(&life->link->mutex);
	if (reply && strncmp(reply, NATS_ACK_PREFIX, strlen(NATS_ACK_PREFIX)) == 0)
		return nats_receive_message(life, msg, ret);
	nats_receive_control(life, nc, msg);
	return false;
}

/* What libnats has of one subscription, up to the first message that the owner is to see. */
static bool nats_receive_from(struct nats_link *l, size_t i, struct nats_event *ret)
{
	struct nats_life *life = l->user;
	bool is_stream = i == l->settings.n_plain;
	uint64_t n = 0;

	while (natsSubscription_QueuedMsgs(l->subs[i], &n) == NATS_OK && n > 0) {
		natsMsg *msg = NULL;
		natsStatus s = natsSubscription_NextMsg(&msg, l->subs[i], 0);
		if (s == NATS_NO_RESPONDERS)
			continue; /* of a stranger, and gone */
		if (s != NATS_OK)
			return false;
		if (is_stream ? nats_receive_stream(life, l->nc, msg, ret)
			      : nats_receive_plain(life, msg, ret)) {
			*ret = *nats_events_new(l, ret, msg);
			return true;
		}
		natsMsg_Destroy(msg);
	}
	return false;
}

/* The connection is read only when all that was read before is taken: so nothing grows here, and the server is slowed down
 * by whoever doesn't take it. */
bool nats_receive_next(struct nats_link *l, bool flows, struct nats_event *ret)
{
	for (int pass = 0; pass < 2; pass++) {
		if (pass > 0)
			nats_socket_read(l);
		for (size_t i = 0; i < l->n_subs; i++)
			if ((flows || i < l->settings.n_plain) && nats_receive_from(l, i, ret)) {
				nats_socket_write(l);
				return true;
			}
	}
	nats_socket_write(l);
	return false;
}
