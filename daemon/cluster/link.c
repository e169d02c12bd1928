/* SPDX-License-Identifier: MIT */
/* The link to NATS (io/nats_link.h), made of the configuration and of the subjects that the core wants to hear. */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int link_new(const struct cluster_config *g, const struct core *core, struct nats_link **ret)
{
	char name[CLUSTER_NODE_MAX + 8], subjects[CORE_ROOT_MAX + 8], beats[CORE_ROOT_MAX + 8],
	    rooms[CORE_ROOT_MAX + 8];
	const char *plain[6 + PEOPLE_SUBJECTS] = {core->nak, core->gone, core->to, core->took, beats, rooms};

	snprintf(name, sizeof(name), "chatd %s", g->node);
	snprintf(subjects, sizeof(subjects), "%s.s.>", core->root);
	snprintf(beats, sizeof(beats), "%s.beat.*", core->root);
	snprintf(rooms, sizeof(rooms), "%s.rooms.*", core->root);
	for (unsigned i = 0; i < PEOPLE_SUBJECTS; i++)
		plain[6 + i] = people_subject(core->people, i);
	const struct nats_link_settings s = {.servers = (const char *const *)g->servers,
					     .n_servers = g->n_servers,
					     .name = name,
					     .user = g->user,
					     .password = g->password,
					     .token = g->token,
					     .credentials = g->credentials,
					     .tls_ca = g->tls_ca,
					     .tls_certificate = g->tls_certificate,
					     .tls_key = g->tls_key,
					     .stream = g->stream,
					     .subjects = subjects,
					     .plain = plain,
					     .n_plain = sizeof(plain) / sizeof(*plain),
					     .replicas = g->replicas,
					     .max_age_s = (uint64_t)(g->keep_us / SECOND_US),
					     .max_bytes = g->keep_bytes};
	int r = nats_link_new(&s, ret);
	if (r < 0)
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER}, "cluster: %s",
			  r == -EOPNOTSUPP ? "this build has no NATS" : strerror(-r));
	return r;
}

static bool link_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool link_is_same(const struct cluster_config *a, const struct cluster_config *b)
{
	if (a->n_servers != b->n_servers || a->credentials || b->credentials || a->tls_ca || b->tls_ca ||
	    a->tls_certificate || b->tls_certificate || a->tls_key || b->tls_key)
		return false;
	for (size_t i = 0; i < a->n_servers; i++)
		if (strcmp(a->servers[i], b->servers[i]) != 0)
			return false;
	return link_same(a->user, b->user) && link_same(a->password, b->password) &&
	       link_same(a->token, b->token) && a->replicas == b->replicas && a->keep_us == b->keep_us &&
	       a->keep_bytes == b->keep_bytes;
}
