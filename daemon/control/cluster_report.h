/* SPDX-License-Identifier: MIT */
/* What the control socket and the metrics tell of a cluster: the interface's types Cluster and Node. */
#ifndef DAEMON_CLUSTER_REPORT_H
#define DAEMON_CLUSTER_REPORT_H

#include "daemon/cluster/cluster.h"
#include "daemon/config/cluster.h"

#include <jansson.h>
#include <stdio.h>

json_t *cluster_report_status(const struct cluster_config *config, const struct cluster_status *status,
			      const struct cluster_node *nodes, size_t n);
json_t *cluster_report_nodes(const struct cluster_node *nodes, size_t n);
void cluster_report_metrics(FILE *f, const struct cluster_status *status, const struct cluster_node *nodes,
			    size_t n);

#endif
