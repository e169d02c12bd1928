#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Rooms across machines through many deaths: hundreds talk on three nodes, while nodes, nats-servers and both are killed,
stopped, restarted and upgraded, and everybody's stream is compared with everybody's. For long runs: CHATD_CLUSTER_KILLS=1000
CHATD_CLUSTER_SEED=7, and CHATD_CLUSTER_OTHER=PATH of another chatd, which every other upgrade is to.
"""

from mixed import MixedLoad, mixed_cluster
from nats import nats_cluster
from nodes import *
from testing import *

KILLS = int(os.environ.get("CHATD_CLUSTER_KILLS", int(60 * SCALE)))
SEED = int(os.environ.get("CHATD_CLUSTER_SEED", os.getpid()))
OTHER = os.environ.get("CHATD_CLUSTER_OTHER")
# Where nodes die in builds with fault points: in the cluster's steps, and where what is said becomes true.
FAULTS = ("cluster-", "outgoing-", "commit-", "recover-", "speech-", "receive")


def outlive(cluster, load, kinds, count):
    """Until so many things have happened. Then everything said has come, nobody was closed, and nothing was missing."""
    points = [n for n in fault_points() if n.startswith(FAULTS)] if has_faults() else []
    havoc = Havoc(cluster, kinds + ((("fault", 2),) if points else ()), count, SEED, other=OTHER, points=points)
    load.run(havoc.done)
    result = load.finish(120)
    note("%s; %d lines, %d deliveries compared, longest silence %.2f s" % (
        havoc, result["lines"], result["deliveries"], result["longest_silence"]))
    for (node, text), n in sorted(load.notes.items()):
        note("%d times on %s: %s" % (n, node, text))
    if has_faults():
        note("not died at: %s" % " ".join(sorted(set(points) - set(havoc.hit))))
    if result["n_problems"]:
        note("CHATD_CLUSTER_SEED=%d" % SEED)
    for p in result["problems"]:
        note(p)
    equal(result["n_problems"], 0)
    check(result["deliveries"] > 0)
    equal([text for _, text in load.notes if "missing" in text], [])
    for d in cluster.nodes:
        equal((d.name, d.json("status")["takeover"].get("closed", 0)), (d.name, 0))
        check("can't be resumed" not in d.log(), d.last_words())
    load.close()


@test
def nodes_die():
    c = Cluster(3)
    load = CrossLoad(c.nodes, 300 if SCALE >= 1 else 60, 10, interval=0.6)
    outlive(c, load, (("node", 5), ("node again", 2), ("nodes", 2), ("restart", 1), ("upgrade", 1)), KILLS // 2)


@test
def members_of_every_transport_survive():
    """By TCP, TLS, UDP and ZeroMQ, on each node."""
    c = mixed_cluster(3)
    load = MixedLoad(c.nodes, 60, 3, interval=0.6)
    outlive(c, load, (("node", 5), ("node again", 2), ("nodes", 1), ("restart", 1), ("upgrade", 1), ("server", 1), ("both", 1)),
            KILLS // 4)
    note(load.told())


@test
def servers_and_nodes_die():
    c = Cluster(3)
    load = CrossLoad(c.nodes, 150 if SCALE >= 1 else 60, 5, interval=0.6)
    outlive(c, load, (("server", 3), ("both", 2), ("pause", 1), ("node", 1), ("restart", 1)), KILLS // 4)


@test
def each_line_comes_once_when_nobody_waits():
    """when_away = "local": the order differs, but for that of each sender."""
    c = Cluster(3, when_away="local", more="away_after = 0.1;")
    load = CrossLoad(c.nodes, 60, 3, ordered=False, interval=0.5)
    outlive(c, load, (("server", 2), ("both", 2), ("pause", 2), ("node", 3), ("upgrade", 1)), KILLS // 5)


@test
def one_of_three_servers_dies():
    c = Cluster(3, servers=nats_cluster(3), replicas=3)
    load = CrossLoad(c.nodes, 60, 3, interval=0.5)
    outlive(c, load, (("server", 20), ("both", 20), ("pause", 10), ("node", 1)), max(2, KILLS // 30))


def networks_part(when_away):
    """A server beside each node; now and then one of them is cut off with its node. The order may be another one there:
    a_node_on_the_smaller_side_of_three_servers() of cluster.py."""
    network = Network(3)
    try:
        servers = nats_cluster(3, hosts=[network.address(i) for i in range(3)], netns=network.names)
        c = Cluster(3, servers=servers, replicas=3, network=network, when_away=when_away, more="away_after = 0.1;")
        load = CrossLoad(c.nodes, 60, 3, ordered=False, interval=0.5)
        outlive(c, load, (("cut", 30), ("both", 10), ("node", 1)), max(2, KILLS // 30))
        c.finish()
    finally:
        network.close()


@test
def networks_part_and_nobody_waits():
    networks_part("local")


@test
def networks_part_and_all_wait():
    networks_part("wait")


main()
