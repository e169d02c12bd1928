/* SPDX-License-Identifier: MIT */
/*
 * The JetStream stream of the link: it is made if it isn't there, and otherwise has to be one that chatd can use. Where
 * reading goes on is checked each time, as a server may have lost what it had, or have another stream by that name. The
 * consumer is an ephemeral one, of the link's own making instead of libnats's "ordered" one, which begins from the start
 * when it is lost early, and lets memory grow when nobody takes what comes.
 */
#include "daemon/io/nats_link_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S INT64_C(1000000000)

static jsOptions nats_stream_options(void)
{
	jsOptions o;

	jsOptions_Init(&o);
	o.Wait = NATS_REQUEST_MS;
	return o;
}

static int nats_stream_fail(natsStatus s, jsErrCode code, const char *what, const char *name,
			    char why[NATS_WHY_MAX])
{
	char text[NATS_WHY_MAX];

	/* Whoever has no JetStream either doesn't listen at its subjects, or says so. */
	if (s == NATS_NO_RESPONDERS || code == JSNotEnabledErr || code == JSNotEnabledForAccountErr)
		snprintf(text, sizeof(text), "JetStream is not enabled there");
	else
		nats_connect_why(s, text);
	snprintf(why, NATS_WHY_MAX, "%s %s: %.900s", what, name, text);
	return -1;
}

/* --- the stream itself --- */

static int64_t nats_stream_limit(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static int64_t nats_stream_max_age(const struct nats_link_settings *s)
{
	return s->max_age_s > INT64_MAX / NS_PER_S ? 0 : (int64_t)s->max_age_s * NS_PER_S;
}

static int nats_stream_make(const struct nats_link_settings *settings, jsCtx *js, char why[NATS_WHY_MAX])
{
	jsOptions o = nats_stream_options();
	jsStreamConfig c;
	jsErrCode code = 0;
	natsStatus s;

	jsStreamConfig_Init(&c);
	c.Name = settings->stream;
	c.Subjects = (const char *[]){settings->subjects};
	c.SubjectsLen = 1;
	c.Storage = js_FileStorage;
	c.Retention = js_LimitsPolicy;
	c.Discard = js_DiscardOld;
	c.Replicas = settings->replicas ? settings->replicas : 1;
	c.MaxAge = nats_stream_max_age(settings);
	c.MaxBytes = settings->max_bytes ? nats_stream_limit(settings->max_bytes) : -1;
	s = js_AddStream(NULL, js, &c, &o, &code);
	return s == NATS_OK ? 0 : nats_stream_fail(s, code, "can't make the stream", c.Name, why);
}

/* Why a stream that is there is none for us; NULL: it is one. */
static const char *nats_stream_differs(const jsStreamConfig *c, const struct nats_link_settings *settings)
{
	if (c->Mirror || c->SourcesLen)
		return "it mirrors another one";
	if (c->SubjectsLen != 1 || strcmp(c->Subjects[0], settings->subjects) != 0)
		return "it has other subjects";
	if (c->Retention != js_LimitsPolicy)
		return "its messages go when somebody has read them";
	if (c->Discard != js_DiscardOld)
		return "it refuses messages when it is full";
	if (c->NoAck)
		return "it doesn't acknowledge";
	return c->Sealed ? "it is sealed" : NULL;
}

/* The limits become those of the settings. Replicas are only added, so that nodes whose configurations differ for a moment
 * don't move the stream to and fro. */
static int nats_stream_adapt(const struct nats_link_settings *settings, jsCtx *js, jsStreamConfig *c,
			     char why[NATS_WHY_MAX])
{
	int64_t age = nats_stream_max_age(settings), bytes = nats_stream_limit(settings->max_bytes);
	int64_t had_bytes = c->MaxBytes > 0 ? c->MaxBytes : 0;
	jsOptions o = nats_stream_options();
	jsErrCode code = 0;
	natsStatus s;

	if (c->MaxAge == age && had_bytes == bytes && c->Replicas >= (int64_t)settings->replicas)
		return 0;
	c->MaxAge = age;
	c->MaxBytes = bytes ? bytes : -1;
	if (c->Replicas < (int64_t)settings->replicas)
		c->Replicas = settings->replicas;
	if (age && c->Duplicates > age)
		c->Duplicates = age;
	s = js_UpdateStream(NULL, js, c, &o, &code);
	return s == NATS_OK ? 0 : nats_stream_fail(s, code, "can't change the stream", c->Name, why);
}

int nats_stream_prepare(const struct nats_link_settings *settings, jsCtx *js, char why[NATS_WHY_MAX])
{
	jsOptions o = nats_stream_options();
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	natsStatus s = js_GetStreamInfo(&info, js, settings->stream, &o, &code);
	const char *differs;
	int r;

	if (s == NATS_NOT_FOUND)
		return nats_stream_make(settings, js, why);
	if (s != NATS_OK)
		return nats_stream_fail(s, code, "can't look at the stream", settings->stream, why);
	differs = nats_stream_differs(info->Config, settings);
	/* A server for itself takes the number, and does nothing about it. */
	if (!differs && settings->replicas > 1 && !info->Cluster)
		differs = "it is to have replicas, and the server belongs to no cluster of NATS's";
	if (differs) {
		snprintf(why, NATS_WHY_MAX, "the stream %s is not for this: %s", settings->stream, differs);
		r = -1;
	} else {
		r = nats_stream_adapt(settings, js, info->Config, why);
	}
	jsStreamInfo_Destroy(info);
	return r;
}

/* --- where reading goes on --- */

struct nats_extent {
	uint64_t first, last;
	int64_t created_ns;
};

static int nats_stream_extent(const char *stream, jsCtx *js, struct nats_extent *ret, char why[NATS_WHY_MAX])
{
	jsOptions o = nats_stream_options();
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	natsStatus s = js_GetStreamInfo(&info, js, stream, &o, &code);

	if (s != NATS_OK)
		return nats_stream_fail(s, code, "can't look at the stream", stream, why);
	*ret = (struct nats_extent){
	    .first = info->State.FirstSeq, .last = info->State.LastSeq, .created_ns = info->Created};
	if (!info->State.Msgs)
		ret->first = ret->last + 1;
	jsStreamInfo_Destroy(info);
	return 0;
}

/* Whether the stream is still the one whose message `applied` had that time. 1: no; 0: yes, or nothing speaks against it. */
static int nats_stream_is_other(const char *stream, jsCtx *js, uint64_t applied, int64_t time_ns,
				struct nats_extent *x, char why[NATS_WHY_MAX])
{
	jsOptions o = nats_stream_options();
	jsErrCode code = 0;
	natsMsg *m = NULL;
	natsStatus s;
	int r;

	if (!applied || applied > x->last)
		return applied != 0;
	if (applied >= x->first) {
		s = js_GetMsg(&m, js, stream, applied, &o, &code);
		if (s == NATS_OK) {
			r = natsMsg_GetTime(m) != time_ns;
			natsMsg_Destroy(m);
			return r;
		}
		if (s != NATS_NOT_FOUND && code != JSNoMessageFoundErr)
			return nats_stream_fail(s, code, "can't read the stream", stream, why);
		/* Deleted, or expired this moment. */
		r = nats_stream_extent(stream, js, x, why);
		if (r < 0 || applied >= x->first)
			return r < 0 ? r : 1;
	}
	/* It has expired, so only the stream's age tells. */
	return x->created_ns > time_ns;
}

/* *ret_ns: when that was, by the server's clock. */
static int nats_stream_consume(const char *stream, jsCtx *js, const char *deliver, uint64_t start,
			       int64_t *ret_ns, char why[NATS_WHY_MAX])
{
	jsOptions o = nats_stream_options();
	jsConsumerInfo *info = NULL;
	jsConsumerConfig c;
	jsErrCode code = 0;
	natsStatus s;

	jsConsumerConfig_Init(&c);
	c.DeliverSubject = deliver;
	c.DeliverPolicy = js_DeliverByStartSequence;
	c.OptStartSeq = start;
	c.AckPolicy = js_AckNone;
	c.MaxDeliver = 1;
	c.FlowControl = true;
	c.Heartbeat = NATS_HEARTBEAT_MS * INT64_C(1000000);
	c.MemoryStorage = true;
	c.Replicas = 1;
	s = js_AddConsumer(&info, js, stream, &c, &o, &code);
	if (s != NATS_OK)
		return nats_stream_fail(s, code, "can't subscribe to the stream", stream, why);
	*ret_ns = info->Created;
	jsConsumerInfo_Destroy(info);
	return 0;
}

int nats_stream_read(const struct nats_link_settings *settings, jsCtx *js, const char *deliver,
		     uint64_t applied, int64_t time_ns, struct nats_event *ret, char why[NATS_WHY_MAX])
{
	const char *stream = settings->stream;
	struct nats_extent before, after;
	uint64_t start;
	int64_t now_ns;
	int other;

	if (nats_stream_extent(stream, js, &before, why) < 0)
		return -1;
	other = nats_stream_is_other(stream, js, applied, time_ns, &before, why);
	if (other < 0)
		return -1;
	start = other || applied < before.first ? before.first : applied + 1;
	if (nats_stream_consume(stream, js, deliver, start ? start : 1, &now_ns, why) < 0 ||
	    nats_stream_extent(stream, js, &after, why) < 0)
		return -1;
	if (after.created_ns != before.created_ns) {
		snprintf(why, NATS_WHY_MAX, "the stream %s was made anew this moment", stream);
		return -1;
	}
	*ret = (struct nats_event){.kind = NATS_SUBSCRIBED,
				   .seq = start < after.first ? after.first : start,
				   .first = after.first,
				   .last = after.last,
				   .time_ns = now_ns,
				   .rolled_back = other};
	return 0;
}
