# SPDX-License-Identifier: MIT
"""Several chatds as the nodes of one cluster, networks that can be cut, clients of all of them who compare what they got,
and what happens to nodes and servers while they talk."""

import base64
import collections
import ctypes
import heapq
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from load import Load
from nats import NatsServer, Raw
from testing import CHATCTL, CHATD, CLONE_NEWNET, PATIENCE, Client, Daemon, Failure, Skip, check, equal, need, run, wait_for

ROOMS = '{ name = "lobby"; announce_max = 0; history = 0; }'
DEFAULTS = 'room_defaults: { history = 0; log_size = "8M"; announce_max = 0; };'


def need_cluster():
    """chatd with rooms across machines, and what they are across."""
    need("nats-server")
    with tempfile.NamedTemporaryFile("w") as f:
        f.write('cluster: { node = "a"; servers = ( "nats://localhost" ); };')
        f.flush()
        out = run(CHATD, "--check", f.name)
    if b"built without NATS" in out.stdout + out.stderr:
        raise Skip("chatd was built without NATS")


class Network:
    """A switch in a namespace of its own, and so many others plugged into it, each of which can be pulled out."""

    made = itertools.count()

    def __init__(self, n):
        need("ip", "nsenter")
        mark = "%d-%d" % (os.getpid(), next(self.made))
        self.hub = "chatd-test-%s-hub" % mark
        self.names = ["chatd-test-%s-%d" % (mark, i) for i in range(n)]
        self.libc = ctypes.CDLL(None, use_errno=True)
        try:
            for name in [self.hub] + self.names:
                self.ip("netns add " + name)
            self.ip("-n %s link set lo up" % self.hub)
            self.ip("-n %s link add name switch type bridge" % self.hub)
            self.ip("-n %s addr add 10.78.0.254/24 dev switch" % self.hub)
            self.ip("-n %s link set switch up" % self.hub)
            for i, name in enumerate(self.names):
                self.ip("-n %s link set lo up" % name)
                self.ip("-n %s link add v%d type veth peer name eth netns %s" % (self.hub, i, name))
                self.ip("-n %s link set v%d master switch" % (self.hub, i))
                self.ip("-n %s addr add %s/24 dev eth" % (name, self.address(i)))
                self.ip("-n %s link set eth up" % name)
                self.plug(i)
        except Failure as e:
            self.close()
            raise Skip("no network namespaces here: %s" % e) from None

    @staticmethod
    def ip(command):
        p = run("ip", *command.split())
        check(p.returncode == 0, "ip", command, p.stderr.decode().strip())

    @staticmethod
    def address(i):
        return "10.78.0.%d" % (i + 1)

    def cut(self, i):
        """Whatever is sent to it, or by it, is lost; no connection hears of that."""
        self.ip("-n %s link set v%d down" % (self.hub, i))

    def plug(self, i):
        self.ip("-n %s link set v%d up" % (self.hub, i))

    def connect(self, name, host, port):
        """From within that namespace."""
        with open("/proc/self/ns/net") as home, open("/run/netns/" + name) as there:
            check(self.libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno()))
            try:
                return socket.create_connection((host, port), PATIENCE)
            finally:
                check(self.libc.setns(home.fileno(), CLONE_NEWNET) == 0)

    def close(self):
        for name in self.names + [self.hub]:
            run("ip", "netns", "del", name)


class Node(Daemon):
    """A chatd of a cluster; connect() does so from where it is."""

    network = None

    def connect(self, port=None, host="127.0.0.1", rcvbuf=None):
        if not self.netns:
            return super().connect(port, host, rcvbuf)
        c = Client(self.network.connect(self.netns, host, port or self.port))
        self.clients.append(c)
        return c

    def tried(self, *args):
        """As json(); None while there is no answer."""
        out = self.ctl("--json", *args)[1]
        return json.loads(out) if out else None


class Cluster:
    """Nodes "a", "b" ... with an fd store each, and what is said in their rooms is said in all of them. listeners: of each,
    a function of the node, or chat and echo."""

    def __init__(self, n=3, servers=None, when_away="wait", replicas=1, more="", rooms=ROOMS, extra=DEFAULTS, network=None,
                 start=True, listeners=None, which='"*"', **kwargs):
        need_cluster()
        self.servers = servers or [NatsServer()]
        self.when_away, self.replicas, self.more, self.rooms, self.extra = when_away, replicas, more, rooms, extra
        self.listeners, self.which, self.nodes, self.network = listeners, which, [], network
        for i in range(n):
            self.add(start=False, netns=network.names[i] if network else None, **kwargs)
        # They end before what they need does.
        Daemon.running.sort(key=lambda d: getattr(d, "last", False))
        if start:
            self.start()

    def add(self, start=True, **kwargs):
        """One more node."""
        d = Node(store=True, start=False, **kwargs)
        Daemon.running.sort(key=lambda d: getattr(d, "last", False))
        d.number, d.name, d.network = len(self.nodes), "abcdefgh"[len(self.nodes)], self.network
        self.nodes.append(d)
        self.configure(d)
        if start:
            d.start()
        return d

    def configure(self, d, **changes):
        """Writes the node's configuration; changes: of this cluster's attributes, for this one."""
        now = dict(vars(self), **changes)
        servers = now["servers"]
        first = d.number % len(servers) if len(servers) > 1 else 0
        urls = [s if isinstance(s, str) else s.url for s in servers[first:] + servers[:first]]
        group = 'cluster: { servers = ( %s ); node = "%s"; rooms = ( %s ); when_away = "%s"; replicas = %d; %s };' % (
            ", ".join('"%s"' % u for u in urls), now.get("node", d.name), now["which"], now["when_away"],
            now["replicas"], now["more"])
        d.write_config(rooms=now["rooms"], listeners=now["listeners"](d) if now["listeners"] else None, extra=now["extra"] + group)

    def start(self):
        for d in self.nodes:
            d.spawn()
        for d in self.nodes:
            d.wait_ready()
        self.wait_connected()

    def finish(self):
        for d in self.nodes + self.servers:
            d.finish()

    def wait_connected(self, nodes=None):
        for d in nodes or self.nodes:
            wait_for(lambda: connected(d), what="node %s's connection to NATS" % d.name)

    def settled(self):
        """All servers are there and have the same."""
        try:
            s = next(s for s in self.servers if s.alive() and not s.paused)
            with Raw(s, sock=self.network.connect(self.network.hub, s.host, s.port) if self.network else None) as r:
                info = r.api("STREAM.INFO.CHATD", timeout=2)
        except (OSError, Failure, StopIteration, ValueError):
            return False
        group = info.get("cluster", {})
        return all(s.alive() for s in self.servers) and "state" in info and (self.replicas == 1 or (
            bool(group.get("leader")) and len(group.get("replicas", ())) == self.replicas - 1 and
            all(r.get("current") and not r.get("offline") for r in group["replicas"])))


def connected(d):
    """Whether it says that NATS is there, and all that was said before has come."""
    status = d.tried("status")
    return bool(status and status.get("cluster", {}).get("connected"))


def talk_to_each_other(clients):
    """Each says something, which all get before the next one does. clients: name -> client."""
    for name, c in clients.items():
        mark = "%s is here, %s" % (name, os.urandom(4).hex())
        c.send(mark + "\n")
        for other in clients.values():
            other.expect(": %s\n" % mark)


# --- what no node has said ---


def last_batch(r, room="lobby"):
    """Node, boot, first number and count of the last one in the stream."""
    message = r.api("STREAM.MSG.GET.CHATD", {"last_by_subj": "chatd.s.room." + room})["message"]
    data = base64.b64decode(message["data"])
    boot, first, count = struct.unpack_from("<QQI", data, 8)
    return data[28:28 + data[6]], boot, first, count


def forged(node, boot, first, count):
    """Lines of a kind that nobody knows, in the name of a node."""
    line = struct.pack("<IBBBBQQ", 20, 200, 0, 0, 0, 0, 0)
    return b"CHDC" + struct.pack("<BBBBQQI", 1, 0, len(node), 0, boot, first, count) + node + count * line


def without_notices(text):
    """Of the other nodes, which each node gives when it finds that: on a busy machine also when a test didn't ask for them. And
    of a private message that is there but whose receipt isn't. And without half a line."""
    return re.sub(rb"(?m)^\* (The other nodes|Node \w+ is gone|Your message to \S+ waits:)[ ,][^\n]*\n", b"",
                  bytes(text[:text.rfind(b"\n") + 1]))


def hears_nothing(client, seconds=0.3):
    """But notices."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        client.sock.settimeout(left)
        try:
            check(client.receive(), "closed")
        except socket.timeout:
            pass
    equal(without_notices(client.buf), b"")
    del client.buf[:]


# --- many who talk ---


class CrossLoad(Load):
    """Members of each room on each node. ordered: all get the same in the same order; else each line once, and each
    sender's in order. Notices of chatd's own are for one node only, and are counted by their text."""

    def __init__(self, nodes, clients, rooms, ordered=True, **kwargs):
        self.nodes, self.ordered, self.turns = nodes, ordered, itertools.count()
        self.n_rooms, self.notes = rooms, collections.Counter()
        super().__init__(None, None, clients, rooms, **kwargs)
        self.next_of = {m.name: collections.Counter() for m in self.members}
        self.longest_wait = 0.0

    def connect(self, host, port):
        d = self.nodes[next(self.turns) // self.n_rooms % len(self.nodes)]
        for attempt in range(100):
            try:
                return d.connect().sock
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("can't connect to node " + d.name)

    def node(self, m):
        return self.nodes[self.members.index(m) // self.n_rooms % len(self.nodes)]

    def take_notes(self, m):
        """Takes the notices out; how much of it is whole lines."""
        if m.stream.startswith(b"* ") or b"\n* " in m.stream:
            for text in re.findall(rb"(?m)^\* [^\n]*\n", m.stream):
                self.notes[self.node(m).name, re.sub(rb"\d+", b"N", text).decode(errors="replace").strip()] += 1
            m.stream[:] = re.sub(rb"(?m)^\* [^\n]*\n", b"", m.stream)
        return m.stream.rfind(b"\n") + 1

    def compare(self):
        for group in self.by_room:
            lengths = [self.take_notes(m) for m in group]
            if not self.ordered:
                for m, n in zip(group, lengths):
                    self.compare_each(m, n)
                for m in group:
                    self.next_line[m.name.encode()] = min(self.next_of[o.name][m.name.encode()] for o in group)
                continue
            n = min(lengths)
            reference = bytes(group[0].stream[:n])
            for m in group:
                if m.stream[:n] != reference:
                    at = next(i for i in range(n) if m.stream[i] != reference[i])
                    start = max(0, reference.rfind(b"\n", 0, at) - 200)
                    self.problems.append("%s on %s differs from %s on %s at %d of %d: %r, %r" % (
                        m.name, self.node(m).name, group[0].name, self.node(group[0]).name, at, n,
                        bytes(m.stream[start:at + 200]), reference[start:at + 200]))
                    m.stream[:n] = reference
                del m.stream[:n]
            self.compare_lines(reference, self.next_line, len(group), group[0])

    def compare_lines(self, text, following, times, m):
        for line in text.split(b"\n")[:-1]:
            name, _, rest = line.partition(b": ")
            number = rest.partition(b" ")[0]
            if following.get(name) != (int(number) if number.isdigit() else -1):
                self.problems.append("%s on %s: unexpected line %r (next was %r)" % (
                    m.name, self.node(m).name, line, following.get(name)))
            if number.isdigit():
                following[name] = int(number) + 1
            self.deliveries += times

    def compare_each(self, m, n):
        following = self.next_of[m.name]
        text = bytes(m.stream[:n])
        del m.stream[:n]
        for name in self.next_line:
            following[name] += 0  # so that each is known
        self.compare_lines(text, following, 1, m)


# --- what happens meanwhile ---


class Havoc:
    """So many events of these kinds, at random instants; as done() of a load's run(). Each kind is (name, how likely). What
    it did is in `happened`."""

    def __init__(self, cluster, kinds, count, seed, pace=0.3, other=None, points=()):
        self.cluster, self.kinds, self.left = cluster, kinds, count
        self.rng, self.pace, self.points = random.Random(seed), pace, list(points)
        self.happened, self.hit = collections.Counter(), collections.Counter()
        self.later = []  # (when, number, what): a heap
        self.numbers = itertools.count()
        self.victims = cluster.nodes  # to whom it happens
        self.dead, self.commands = {}, []  # node -> when it begins again
        self.mending = 0  # servers and networks
        self.next_at = time.monotonic() + pace
        self.asked = 0
        for d in cluster.nodes:
            d.binaries = itertools.cycle([d.binary, other or self.copy(d)])

    @staticmethod
    def copy(d):
        path = os.path.join(d.dir, "chatd")
        shutil.copy(CHATD, path)
        return path

    def at(self, delay, what):
        heapq.heappush(self.later, (time.monotonic() + delay, next(self.numbers), what))

    def mend(self, delay, what):
        """What makes a server, or a network, whole again."""
        def mended():
            what()
            self.mending -= 1
        self.mending += 1
        self.at(delay, mended)

    def some(self, least=0.0, most=0.15):
        return least + self.rng.random() * (most - least)

    # --- nodes ---

    def kill(self, d, delay=None):
        if d.alive():
            d.signal(signal.SIGKILL)
            self.happened["kill -9"] += 1
        self.dead.setdefault(d, time.monotonic() + (self.some() if delay is None else delay))

    def tend(self, d):
        """Starts what has ended, as a service manager does."""
        if d.alive():
            return
        if d not in self.dead:
            self.dead[d] = time.monotonic()
        check(d.status in (0, signal.SIGKILL), "node", d.name, "ended with status", d.status, d.last_words())
        if self.dead[d] <= time.monotonic():
            once = d.env.get("CHATD_FAULT_ONCE")
            if once and not os.path.exists(once):
                self.hit[d.env["CHATD_FAULT"].partition(":")[0]] += 1
                self.happened["fault point"] += 1
            for name in ("CHATD_FAULT", "CHATD_FAULT_ONCE"):
                d.env.pop(name, None)
            if getattr(d, "armed", None):
                d.arm(d.armed)
                d.armed = None
            del self.dead[d]
            d.spawn()

    def event(self, kind):
        rng, nodes = self.rng, self.victims
        d = rng.choice(nodes)
        if kind == "node":
            self.kill(d, self.some(0, 0.02) if rng.random() < 0.7 else self.some(0.1, 1.0))
        elif kind == "node again":  # and while it starts
            self.kill(d, 0)
            for k in range(rng.randrange(1, 4)):
                self.at(self.some(0.005, 0.06) * (k + 1), lambda: self.kill(d, 0))
        elif kind == "nodes":
            for d in rng.sample(nodes, rng.randrange(2, len(nodes) + 1)):
                self.kill(d, self.some(0, 0.3))
        elif kind == "fault":
            d.armed = "%s:%d" % (rng.choice(self.points), rng.choice((1, 1, 1, 2, 3, 5, 10, 30)))
            self.kill(d, 0)
            self.happened["kill -9"] -= 1
            self.at(3.0, lambda: self.disarm(d))
        elif kind == "restart":
            if d in self.dead or not d.ready:
                return False
            self.commands.append((d, subprocess.Popen([CHATCTL, "-s", d.socket, "restart"], stdout=subprocess.DEVNULL,
                                                       stderr=subprocess.PIPE)))
            self.happened["chatctl restart"] += 1
        elif kind == "upgrade":
            if not d.alive() or not d.ready:
                return False
            d.binary = next(d.binaries)
            d.ready = False  # until the next process is there, however long this one takes to end
            d.signal(signal.SIGUSR1)
            self.happened["upgrade"] += 1
        else:
            return self.event_of_servers(kind)
        return True

    @staticmethod
    def disarm(d):
        """A point that it has not come to counts no more."""
        if d.env.get("CHATD_FAULT_ONCE") and os.path.exists(d.env["CHATD_FAULT_ONCE"]):
            os.unlink(d.env["CHATD_FAULT_ONCE"])
            for name in ("CHATD_FAULT", "CHATD_FAULT_ONCE"):
                d.env.pop(name, None)

    # --- servers ---

    def event_of_servers(self, kind):
        """One at a time, and the next when all is well again."""
        if self.mending or not all(s.alive() and not s.paused for s in self.cluster.servers):
            return False
        if len(self.cluster.servers) > 1 and (time.monotonic() < self.asked + 0.5 or not self.settled()):
            return False
        s = self.rng.choice(self.cluster.servers)
        if kind == "cut":
            i = self.rng.randrange(len(self.cluster.nodes))
            self.cluster.network.cut(i)
            self.happened["cut of a network"] += 1
            self.mend(self.some(0.2, 4), lambda: self.cluster.network.plug(i))
            return True
        if kind == "pause":
            s.pause()
            self.happened["SIGSTOP of a server"] += 1
            self.mend(self.some(0.05, 2.5), s.go_on)
            return True
        s.kill()
        self.happened["server"] += 1
        self.mend(self.some(0, 0.6) if self.rng.random() < 0.8 else self.some(1, 3), s.spawn)
        if kind == "both":
            for d in self.rng.sample(self.cluster.nodes, self.rng.randrange(1, len(self.cluster.nodes) + 1)):
                self.at(self.some(0, 0.5), lambda d=d: self.kill(d, self.some(0, 0.5)))
        return True

    def settled(self):
        self.asked = time.monotonic()
        return self.cluster.settled()

    # --- together ---

    def done(self):
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            heapq.heappop(self.later)[2]()
        for d in self.cluster.nodes:
            self.tend(d)
        for d, p in list(self.commands):
            if p.poll() is not None:
                self.commands.remove((d, p))
                p.stderr.close()
        if self.left and now >= self.next_at:
            kind = self.rng.choices([k for k, _ in self.kinds], [w for _, w in self.kinds])[0]
            if self.event(kind):
                self.left -= 1
                self.next_at = now + self.pace * self.some(0, 2)
        return not self.left and not self.later and not self.dead and not self.commands and all(
            d.ready for d in self.cluster.nodes)

    def kills(self):
        return sum(self.happened.values())

    def __str__(self):
        return ", ".join("%d x %s" % (n, what) for what, n in self.happened.most_common())


__all__ = ["Cluster", "CrossLoad", "DEFAULTS", "Havoc", "Network", "Node", "ROOMS", "connected", "forged", "hears_nothing", "last_batch",
           "need_cluster", "talk_to_each_other", "without_notices"]
