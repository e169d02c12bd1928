#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Private messages to people on other nodes: they come once and in their order, or who sent one is told that it has not,
through deaths of nodes and of nats-servers. For long runs: CHATD_CLUSTER_KILLS=1000 CHATD_CLUSTER_SEED=7.
"""

import collections
import itertools
import random
import select
import signal
import socket

from nats import NatsServer, Raw
from nodes import *
from testing import *

KILLS = int(os.environ.get("CHATD_CLUSTER_KILLS", int(60 * SCALE)))
SEED = int(os.environ.get("CHATD_CLUSTER_SEED", os.getpid()))
FAULTS = ("cluster-letter", "cluster-intent", "cluster-done", "cluster-position", "commit-", "recover-", "speech-", "msg", "receive")
NOBODY = "* There is nobody by that name here."
LOST = "* Your message to %s could not be delivered: nobody of that name is on node %s.\n"


def listeners(d):
    d.udp = getattr(d, "udp", 0) or free_port(socket.SOCK_DGRAM)
    return ('{ name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; },'
            '{ name = "devices"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }' % (d.port, d.udp))


def cluster(n=2, **kwargs):
    c = Cluster(n, listeners=listeners, **kwargs)
    for d in c.nodes:
        wait_for(lambda: sum(k["here"] for k in d.json("list", "nodes")) == n, what="all nodes to know each other")
    return c


def knows(d, *nicks):
    wait_for(lambda: set(nicks) <= {k["nick"] for k in d.json("list", "clients", "--all")}, what="node %s to know %s" % (d.name, nicks))


# --- from one to another ---


@test
def they_come_to_people_and_devices():
    c = cluster(3)
    a, b, third = c.nodes
    alice, bob, carol = a.join(nick="alice"), b.join(nick="bob"), third.join(nick="carol")
    sensor = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sensor.connect(("127.0.0.1", b.udp))
    sensor.settimeout(PATIENCE)
    sensor.send(b"#REG sensor")
    equal(sensor.recv(100), b"#OK sensor 300\n")
    for d in c.nodes:
        knows(d, "alice", "bob", "carol", "sensor")
    talk_to_each_other({"alice": alice, "bob": bob, "carol": carol})
    while b"carol" not in sensor.recv(1000):
        pass
    for x in alice, bob, carol:
        del x.buf[:]
    with Raw(c.servers[0]) as r:
        stored = r.last_seq()
        alice.send("/msg BOB psst \x1b[2J\t!\n/msg sensor on\n/msg nobody x\n")
        alice.expect("* [you -> BOB] psst \ufffd[2J\t!\n")
        alice.expect("* [you -> sensor] on\n* There is nobody by that name here.\n")
        bob.expect("* [alice -> you] psst \ufffd[2J\t!\n")
        equal(sensor.recv(1000), b"* [alice -> you] on\n")
        bob.send("/msg alice back\n/msg carol you, too\n")
        alice.expect("* [bob -> you] back\n")
        carol.expect("* [bob -> you] you, too\n")
        # The longest there may be, and many.
        long = "x" * (a.json("status").get("max_message", 4096) - 20)
        for i in range(500):
            bob.send("/msg alice %d %s\n" % (i, long if i % 50 == 0 else ""))
        for i in range(500):
            alice.expect("* [bob -> you] %d %s\n" % (i, long if i % 50 == 0 else ""))
        # Nobody else hears of them, and NATS keeps nothing.
        for x in alice, carol:
            x.nothing()
        equal(r.last_seq(), stored)
    sensor.close()
    for d in c.nodes:
        wait_for(lambda: d.json("status")["cluster"]["waiting"] == 0, what="nothing to wait")


@test
def who_is_somebody_else_by_now_gets_nothing():
    c = cluster()
    a, b = c.nodes
    alice, bob = a.join(nick="alice"), b.join(nick="bob")
    knows(a, "bob")
    # What is said to bob before his node hears that there is another one has to find out there.
    b.signal(signal.SIGSTOP)
    alice.send("/msg bob are you bob\n")
    alice.expect("* [you -> bob] are you bob\n")
    alice.expect("* Your message to bob waits: node b can't be reached.\n")
    b.kill()  # and with it nothing is lost, but bob leaves before anybody else can be served
    bob.sock.close()
    b.start()
    text = alice.expect(LOST % ("bob", "b"))
    check(text.count(b"bob") < 5, text)
    other = b.join(nick="bob")
    knows(a, "bob")
    alice.send("/msg bob hello\n")
    other.expect("* [alice -> you] hello\n")
    other.nothing()


@test
def who_waits_for_nats_is_told_and_it_comes():
    for policy in "wait", "local":
        c = cluster(when_away=policy)
        a, b = c.nodes
        alice, bob = a.join(nick="alice"), b.join(nick="bob")
        knows(a, "bob")
        c.servers[0].kill()
        alice.send("/msg bob hello\n/msg bob again\n")
        for word in "hello", "again":
            alice.expect("* [you -> bob] %s\n" % word)
        for _ in range(2):
            alice.expect("* Your message to bob waits: node b can't be reached.\n")
        a.kill()
        a.start()
        c.servers[0].spawn()
        bob.expect("* [alice -> you] hello\n")
        bob.expect("* [alice -> you] again\n")
        c.wait_connected()
        knows(a, "bob")
        bob.send("/msg alice thanks\n")
        check(b"message to bob" not in alice.expect("* [bob -> you] thanks\n"))
        c.finish()


@test
def who_talks_right_after_a_restart_finds_everybody():
    c = cluster(3)
    a, b, _ = c.nodes
    alice, bob = a.join(nick="alice"), b.join(nick="bob")
    knows(a, "bob")
    for i in range(5):
        a.kill()
        alice.send("/msg bob %d\n" % i)
        a.start()
        alice.expect("* [you -> bob] %d\n" % i)
        bob.expect("* [alice -> you] %d\n" % i)
    alice.send("/msg nobody hello\n")
    alice.expect("* There is nobody by that name here.\n")


@test
def who_does_not_read_is_told_of():
    c = cluster()
    a, b = c.nodes
    alice = a.join(nick="alice")
    bob = b.connect(rcvbuf=4096)
    bob.expect(WELCOME)
    bob.send("/nick bob\n")
    bob.expect("You are now bob.\n")
    knows(a, "bob")
    sent, said, told = 0, 0, 0

    def hear():
        """What alice hears until now: how many went out, and of how many she is told that they came back."""
        nonlocal said, told
        alice.send("/msg alice end\n")
        text = alice.expect("* [alice -> you] end\n")
        said += text.count(b"* [you -> bob] ")
        told += text.count(b"* Your message to bob could not be delivered: too much waits there.\n")

    while not told:
        check(sent < 100000)
        alice.send("".join("/msg bob %d %s\n" % (sent + i, "x" * 1000) for i in range(100)))
        sent += 100
        hear()
    wait_for(lambda: a.json("status")["cluster"]["waiting"] == b.json("status")["cluster"]["waiting"] == 0, what="all to be there")
    got = b""
    while select.select([bob.sock], [], [], 3)[0]:
        got += bob.sock.recv(1 << 20)
    hear()
    numbers = [int(n) for n in re.findall(rb"(?m)^\* \[alice -> you\] (\d+) x+$", got)]
    check(numbers == sorted(set(numbers)))
    equal(len(numbers) + told, said)


@test
def what_no_node_says_is_refused():
    c = cluster()
    a, b = c.nodes
    alice, bob = a.join(nick="alice"), b.join(nick="bob")
    knows(a, "bob")
    rng = random.Random(SEED)
    note("CHATD_CLUSTER_SEED=%d" % SEED)
    with Raw(c.servers[0]) as r:
        r.put("SUB chatd.to.> 9\r\n")
        r.ping()
        alice.send("/msg bob hello\n")
        bob.expect("* [alice -> you] hello\n")
        r.ping()
        good = next(data for subject, _, data in r.messages if subject == "chatd.to.b")
        check(b"hello" in good)
        r.publish("chatd.to.b", good)  # once more
        for i in range(300):
            data = bytearray(good)
            kind = i % 3
            if kind == 0:
                data = rng.randbytes(rng.randrange(200))
            elif kind == 1:
                data = data[:rng.randrange(len(data))]
            else:  # another node's name, so that its numbers are its own, and another text
                data[28] = ord("x")
                at = rng.randrange(29, len(data))
                data[at] = rng.choice(b"\0\n\x1b\xff 09az")
                data[16] = i & 255
            r.publish("chatd.to.b", bytes(data))
        for data in (b"", b" ", b"x" * 3000, b"1 2 b took", b"%x 99999 b took" % rng.getrandbits(60), good):
            for node in "ab":
                r.publish("chatd.took." + node, data)
        r.ping()
    for i in range(20):
        alice.send("/msg bob %d\n" % i)
        text = bob.expect("* [alice -> you] %d\n" % i)
        check(b"\0" not in text and b"\x1b" not in text, text)
    for d in c.nodes:
        check(d.alive())


@test
def who_leaves_the_cluster_tells_those_who_wait():
    c = cluster()
    a, b = c.nodes
    alice, bob = a.join(nick="alice"), b.join(nick="bob")
    knows(a, "bob")
    c.servers[0].kill()
    alice.send("/msg bob hello\n")
    alice.expect("* [you -> bob] hello\n")
    a.kill()
    a.write_config(rooms=ROOMS, listeners=listeners(a), extra=DEFAULTS)
    a.start()
    alice.expect("* It isn't known whether your message to bob arrived: this node has left the cluster.\n")
    alice.send("/msg bob hello\n")
    alice.expect("* There is nobody by that name here.\n")
    check(b"message" not in alice.buf)


# --- through many deaths ---


class Letters:
    """People of all nodes who say things to each other in private. What each gets is told by its sender and number."""

    def __init__(self, c, people, pace):
        self.c, self.pace, self.next_at, self.turns = c, pace, 0.0, itertools.count()
        self.people, self.text = {}, {}
        self.sent, self.told = collections.Counter(), collections.Counter()
        # The numbers of those that were sent, as chatd says, and that came.
        self.said, self.got = collections.defaultdict(list), collections.defaultdict(list)
        self.problems = []
        for i in range(people):
            name = "p%d" % i
            self.people[name] = c.nodes[i % len(c.nodes)].join(nick=name)
            self.text[name] = bytearray()
        self.names = list(self.people)
        for d in c.nodes:
            knows(d, *self.names)
        for name, x in self.people.items():
            self.text[name] += x.buf
            x.sock.setblocking(False)

    def say(self):
        i = next(self.turns)
        who, to = self.names[i % len(self.names)], self.names[(i * 7 + i // len(self.names) + 1) % len(self.names)]
        if who == to:
            return
        try:
            self.people[who].sock.sendall(b"/msg %s number %d\n" % (to.encode(), self.sent[who, to]))
        except BlockingIOError:
            return
        self.sent[who, to] += 1

    def read(self, timeout):
        socks = {x.sock: name for name, x in self.people.items()}
        for s in select.select(list(socks), [], [], timeout)[0]:
            name = socks[s]
            data = s.recv(1 << 16)
            check(data, name, "was closed")
            self.text[name] += data
            lines = bytes(self.text[name]).split(b"\n")
            self.text[name][:] = lines.pop()
            for line in lines:
                self.take(name, line.decode())

    def take(self, name, line):
        m = re.fullmatch(r"\* \[(\w+) -> (\w+)\] number (\d+)", line)
        if m and m[1] == "you":
            self.said[name, m[2]].append(int(m[3]))
        elif m:
            self.got[m[1], name].append(int(m[3]))
        elif line.startswith("* ") and not re.match(r"\* (Welcome|p\d+ |guest|You are now|The other nodes|Node )", line):
            self.told[re.sub(r"p\d+", "P", line)] += 1

    def run(self, done):
        while not done():
            if time.monotonic() >= self.next_at:
                self.next_at = time.monotonic() + self.pace
                for _ in range(4):
                    self.say()
            self.read(0.005)

    def finish(self, timeout):
        until = time.monotonic() + timeout
        while time.monotonic() < until and (self.got != self.said or self.answered() < sum(self.sent.values())):
            self.read(0.1)
        equal(self.answered(), sum(self.sent.values()))
        for pair in self.sent:
            if self.got[pair] != self.said[pair]:
                self.problems.append("%s to %s: %s came of %s" % (*pair, self.got[pair], self.said[pair]))

    def answered(self):
        return sum(len(x) for x in self.said.values()) + self.told[NOBODY]


def outlive(c, kinds, count, people=12, pace=0.01, unknown=False):
    """unknown: that somebody isn't known may happen."""
    points = [n for n in fault_points() if n.startswith(FAULTS)] if has_faults() else []
    load = Letters(c, people, pace)
    havoc = Havoc(c, kinds + ((("fault", 4),) if points else ()), count, SEED, points=points)
    load.run(havoc.done)
    load.finish(60)
    note("%s; %d private messages" % (havoc, sum(load.sent.values())))
    for text, n in sorted(load.told.items()):
        note("%d times: %s" % (n, text))
    if has_faults():
        note("not died at: %s" % " ".join(sorted(set(points) - set(havoc.hit))))
    for p in load.problems[:20]:
        note(p)
    if load.problems:
        note("CHATD_CLUSTER_SEED=%d" % SEED)
    equal(len(load.problems), 0)
    # Nobody was told that one is lost, or that somebody isn't there.
    equal({t for t in load.told if not t.startswith("* Your message to P waits: node ") and not (unknown and t == NOBODY)}, set())
    check(sum(load.sent.values()) > 100)
    for d in c.nodes:
        equal((d.name, d.json("status")["takeover"].get("closed", 0)), (d.name, 0))


@test
def nodes_die():
    outlive(cluster(3), (("node", 5), ("node again", 2), ("nodes", 2), ("restart", 1), ("upgrade", 1)), KILLS // 2)


@test
def servers_and_nodes_die():
    # A node that begins while a server of NATS is paused hears of nobody elsewhere: docs/CLUSTER.md, what is not promised.
    outlive(cluster(3), (("server", 3), ("both", 2), ("pause", 1), ("node", 1), ("restart", 1)), KILLS // 4, unknown=True)


@test
def networks_part():
    network = Network(3)
    try:
        c = Cluster(3, servers=[NatsServer(host="10.78.0.254", netns=network.hub)], network=network)
        # A node that begins while another one is cut off knows nobody there.
        outlive(c, (("cut", 3), ("node", 2)), max(2, KILLS // 10), unknown=True)
        c.finish()
    finally:
        network.close()


main()
