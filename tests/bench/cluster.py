# SPDX-License-Identifier: MIT
"""
The shape `cluster` of ./dev bench: what it takes from a member on one node to a member on another, beside a bare publisher
and subscriber of the same NATS in the same run; how many lines a second two and three nodes take in one room; and what
being in a cluster costs those who are on the same node. NATS, the nodes and the load share the machine.
"""

import json
import os
import re
import statistics
import subprocess
import time


class Nats:
    """One server of NATS with JetStream, or three."""

    def __init__(self, bench, n):
        ports, routes = [bench.free_port() for _ in range(n)], [bench.free_port() for _ in range(n)]
        self.urls = ["nats://127.0.0.1:%d" % p for p in ports]
        self.servers = []
        for i in range(n):
            text = 'server_name: n%d\nlisten: "127.0.0.1:%d"\njetstream { store_dir: "DIR/js", max_file: 8G }\n' % (i, ports[i])
            if n > 1:
                text += 'cluster { name: bench, listen: "127.0.0.1:%d", routes: [ %s ] }\n' % (
                    routes[i], ", ".join('"nats://127.0.0.1:%d"' % r for r in routes))
            self.servers.append(bench.Server("nats-server", "nats-server", "-c", "DIR/config", "-l", "DIR/nats.log", config=text,
                                             ready_port=ports[i] if n == 1 else None))
        if n > 1:
            self.wait_for_leader()

    def wait_for_leader(self):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for s in self.servers:
                path = os.path.join(s.dir, "nats.log")
                if os.path.exists(path):
                    with open(path) as f:
                        if re.search("JetStream cluster new metadata leader|Self is new JetStream cluster metadata leader", f.read()):
                            time.sleep(1)
                            return
            time.sleep(0.1)
        raise SystemExit("NATS has no leader")

    def close(self):
        for s in self.servers:
            s.close()


class Nodes:
    """Some chatds that are one, with their NATS."""

    def __init__(self, bench, n, replicas=1):
        self.nats = Nats(bench, replicas)
        servers = ", ".join('"%s"' % u for u in self.nats.urls)
        self.at = [bench.chatd("node", more='cluster: { node = "%s"; servers = ( %s ); replicas = %d; };' %
                               ("abcdefgh"[i], servers, replicas)) for i in range(n)]
        for s in self.at:
            self.wait(s)

    @staticmethod
    def wait(s):
        ctl = [os.path.join(os.path.dirname(__file__), "..", "..", "build", "chatctl"), "-s", s.dir + "/socket", "--json", "status"]
        for _ in range(300):
            if json.loads(subprocess.run(ctl, capture_output=True).stdout or "{}").get("cluster", {}).get("connected"):
                return
            time.sleep(0.1)
        raise SystemExit("a node is not connected to NATS")

    def close(self):
        for s in self.at:
            s.close()
        self.nats.close()


def load(bench, *args):
    p = subprocess.Popen([bench.BUILD + "/tests/bench/cluster", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
    try:
        if p.stdout.readline() != "ready\n":
            raise SystemExit("the load has not begun")
        p.stdin.write("\n")
        p.stdin.flush()
        return json.loads(p.stdout.readline() or "{}")
    finally:
        p.kill()
        p.wait()


def latency(bench, replicas):
    print("\n## Cluster: from a line on node A to a member on node B, 200 lines a second, R%d" % replicas)
    runs = []
    for _ in range(bench.options.runs):
        nodes = Nodes(bench, 2, replicas)
        try:
            runs.append(load(bench, "latency", nodes.nats.urls[0], replicas, 200, max(bench.options.seconds, 5),
                             *(s.port for s in nodes.at)))
        finally:
            nodes.close()
    for r in runs:
        for kind in ("bare", "other", "own"):
            if r[kind]["n"] != r["said"]:
                raise SystemExit("of %d there were %s" % (r["said"], r))
    print("%-34s%28s%8s%28s%8s" % ("", "p50 ms", "ratio", "p99 ms", "ratio"))
    for kind, name in (("bare", "bare publish and subscribe"), ("other", "chatd, member on another node"),
                       ("own", "chatd, the speaker itself")):
        row = "%-34s" % name
        for p in ("p50", "p99"):
            # The ratio is that of both in the same run.
            ratio = statistics.median(r[kind][p] / r["bare"][p] for r in runs)
            row += "%28s%8.2f" % (bench.spread([r[kind][p] * 1e3 for r in runs], "%.2f"), ratio)
        print(row, flush=True)
    bench.results["cluster latency R%d" % replicas] = runs


def flood(bench, n):
    rates, runs = [], []
    for _ in range(bench.options.runs):
        nodes = Nodes(bench, n)
        try:
            r = load(bench, "flood", bench.options.seconds, *(s.port for s in nodes.at))
        finally:
            nodes.close()
        if r["lost"]:
            raise SystemExit("lines are lost: %s" % r)
        runs.append(r)
        rates.append(r["deliveries"] / r["seconds"] / 1e6)
    print("%d nodes: %s M lines a second into one room, 64 bytes, each delivered on every node" % (n, bench.spread(rates, "%.2f")),
          flush=True)
    bench.results["cluster flood %d" % n] = runs


def same_node(bench):
    """The members are on the node of the speaker; nobody is elsewhere."""
    def clustered():
        nodes = Nodes(bench, 1)
        s = nodes.at[0]
        s.name, close = "chatd in a cluster", s.close
        s.close = lambda: (close(), nodes.nats.close())
        return s
    for window in (1000, 1):
        bench.shape("Cluster: 1 -> 1000 on one node, %d in flight" % window, [bench.chatd_one, clustered],
                    bench.fanout(1, 1, 1000, 64, window), [bench.RATE, bench.COST] + ([bench.P50] if window == 1 else []))


def run(bench):
    for replicas in (1, 3):
        latency(bench, replicas)
    print("\n## Cluster: everybody talks")
    for n in (2, 3):
        flood(bench, n)
    same_node(bench)
