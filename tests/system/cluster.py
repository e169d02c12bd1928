#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rooms across machines: several chatds, real nats-servers, and clients on each node who get the very same."""

import base64
import json
import random
import select
import shutil
import signal
import socket
import tempfile
import threading

from nats import NatsServer, Raw, nats_cluster
from nodes import *
from testing import *

TOOL = os.path.abspath(os.path.join(BUILD, "tests/system/zmqtool"))
SEED = int(os.environ.get("CHATD_CLUSTER_SEED", os.getpid()))
AWAY = {"local": "* The other nodes can't be reached; they will get later what is said meanwhile.\n",
        "wait": "* The other nodes can't be reached; what is said will appear when they can.\n"}
BACK = "* The other nodes are here again.\n"


def people(cluster, **kwargs):
    """One on each node, who have all heard each other: name -> client."""
    clients = {"on-" + d.name: d.join(nick="on-" + d.name, **kwargs) for d in cluster.nodes}
    talk_to_each_other(clients)
    for c in clients.values():
        del c.buf[:]
    return clients


class Recorder(Client):
    """Keeps all that it gets."""

    def __init__(self, client):
        super().__init__(client.sock)
        self.buf, self.all = client.buf, bytes(client.buf)

    def receive(self):
        data = super().receive()
        self.all += data
        return data


class Reader:
    """Keeps all that a client gets, in the background."""

    def __init__(self, client):
        self.all, self.client = bytearray(client.buf), client
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while True:
                if select.select([self.client.sock], [], [], 1)[0]:
                    data = self.client.sock.recv(1 << 16)
                    if not data:
                        return
                    self.all += data
        except (OSError, ValueError):
            pass


def memory(d):
    with open("/proc/%d/status" % d.pid) as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))


def the_same(recorders):
    """But for notices of chatd's own all have got the same bytes."""
    got = {name: without_notices(r.all) for name, r in recorders.items()}
    first = next(iter(got))
    for name in got:
        if got[name] != got[first]:
            a, b = got[name].splitlines(True), got[first].splitlines(True)
            at = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
            raise Failure("%s and %s differ from line %d on: %r, %r" % (name, first, at, a[at:at + 3], b[at:at + 3]))


def once_each(recorders):
    """All have the same lines, and those of each in their order."""
    lines = {n: [l for l in r.all.splitlines() if not l.startswith(b"* ")] for n, r in recorders.items()}
    for n in lines:
        equal((n, sorted(lines[n])), (n, sorted(lines["on-b"])))
        for who in lines:
            equal([l for l in lines[n] if l.startswith(who.encode() + b": ")],
                  [l for l in lines[who] if l.startswith(who.encode() + b": ")])


# --- what is said is said everywhere ---


def doors(d):
    """A listener of each kind."""
    for name in ("tls", "pull", "pub"):
        setattr(d, name, getattr(d, name, None) or free_port())
    d.udp = getattr(d, "udp", None) or free_port(socket.SOCK_DGRAM)
    d.cert = getattr(d, "cert", None) or tls_files(d.dir)
    return """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
      { name = "tls"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; tls_certificate = "%s"; tls_key = "%s"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; },
      { name = "bridge-%s"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; room = "lobby"; }
      """ % (d.port, d.tls, *d.cert, d.udp, d.name, d.pull, d.pub)


@test
def what_is_said_by_any_transport_is_said_on_each_node():
    c = Cluster(3, listeners=doors)
    clients, say, count = people(c), {}, 20
    heard = {}  # by UDP members and subscribers
    for d in c.nodes:
        tls = tls_connect(d, d.tls)
        tls.expect(WELCOME)
        tls.send("/nick tls-%s\n" % d.name)
        tls.expect("You are now tls-%s.\n" % d.name)
        clients["tls-" + d.name] = tls
        device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        device.connect(("127.0.0.1", d.udp))
        device.settimeout(PATIENCE)
        device.send(b"#REG udp-%s" % d.name.encode())
        equal(device.recv(100), b"#OK udp-%s 300\n" % d.name.encode())
        sub = subprocess.Popen([TOOL, "sub", "tcp://127.0.0.1:%d" % d.pub, "", str(count * 15)], stdout=subprocess.PIPE)
        push = subprocess.Popen([TOOL, "push", "tcp://127.0.0.1:%d" % d.pull], stdin=subprocess.PIPE)
        heard[d.name] = device, sub, push

        def pushed(text, push=push):
            push.stdin.write(text)
            push.stdin.flush()
        say["on-" + d.name] = clients["on-" + d.name].send
        say["tls-" + d.name] = tls.send
        say["udp-" + d.name] = lambda text, device=device: device.send(text.rstrip(b"\n"))
        say["bridge-" + d.name] = pushed
        say["admin"] = say.get("admin") or (lambda text, d=d: equal(d.ctl("send", "lobby", text.decode().strip())[0], 0))
    try:
        for d in c.nodes:
            wait_for(lambda: sum(x.get("peers", 0) for x in d.json("list", "clients")) >= 2, what="the bridge's peers")
        time.sleep(0.3)  # for the subscriptions
        talk_to_each_other(clients)
        for x in clients.values():
            del x.buf[:]
        numbers = {who: 0 for who in say}
        for i in range(count):
            for who in say:
                say[who](b"%s says %d\n" % (who.encode(), i))
        expected = {"%s: %s says %d" % (who, who, i) for who in say for i in range(count)}
        clients["on-a"].send("that was all\n")
        got = {}
        for name, x in clients.items():
            lines, text = [], b""
            while not expected <= set(lines):
                text += x.expect("\n")
                lines = text.decode().splitlines()
            got[name] = [l for l in lines if l in expected]
        for name in got:
            equal(sorted(got[name]), sorted(expected))
            equal((name, got[name]), (name, got["on-a"]))
        for who in say:
            equal([l for l in got["on-b"] if l.startswith(who + ": ")], ["%s: %s says %d" % (who, who, i) for i in range(count)])
        for d in c.nodes:
            device, sub, push = heard[d.name]
            seen = []
            while not expected <= set(seen):
                seen.append(device.recv(65536).decode().rstrip("\n"))
            equal([l for l in seen if l in expected], got["on-a"])
    finally:
        for device, sub, push in heard.values():
            device.close()
            for p in (sub, push):
                p.kill()
                p.wait()
            push.stdin.close()
            sub.stdout.close()


@test
def comings_and_goings_are_seen_on_each_node():
    c = Cluster(2, rooms='{ name = "lobby"; history = 0; }')
    a, b = (d.join(nick="on-" + d.name) for d in c.nodes)
    talk_to_each_other({"on-a": a, "on-b": b})
    third = c.nodes[1].join(nick="third")
    a.expect(re.compile(rb"\* \S+ is now third\n"))
    third.send("/me waves\n")
    a.expect("third * waves\n")
    b.expect("third * waves\n")
    third.send("last words\n/quit\n")
    for x in (a, b):
        x.expect("third: last words\n")
        x.expect("* third left lobby\n")


@test
def a_room_that_is_made_by_a_client_is_on_each_node():
    c = Cluster(3)
    x, y, z = (d.join("den") for d in c.nodes)
    for i in range(3):
        for who in (x, y, z):
            who.send("%d\n" % i)
            for other in (x, y, z):
                other.expect(": %d\n" % i)


@test
def rooms_of_each_kind_are_the_same_everywhere():
    """Raw ones, those with names that are no words of NATS's, and lines as long as they may be."""
    c = Cluster(2, extra=DEFAULTS + "max_message = 16384; ", rooms="""
      { name = "lobby"; announce_max = 0; history = 0; }, { name = "raw"; format = "raw"; log_size = "1M"; }""")
    for room in ("a.b", "x-_Y", "...", "-" * 64):
        a, b = (d.join(room) for d in c.nodes)
        talk_to_each_other({"a": a, "b": b})
        for n in (1, 4096, 16000):
            a.send("%s\n" % ("x" * n))
            b.expect(": %s\n" % ("x" * n))
    a, b = (Recorder(d.join("raw")) for d in c.nodes)
    blob = b"".join(bytes(x for x in random.Random(i).randbytes(100) if x not in b"\n\r/\0") + b"\n" for i in range(200))
    before = len(a.all), len(b.all)
    a.send(blob + b"end\n")
    a.expect(b"end\n")
    b.expect(b"end\n")
    equal(a.all[before[0]:], b.all[before[1]:])
    check(blob in b.all)


@test
def more_rooms_than_a_node_may_have_are_left_out_there():
    c = Cluster(2, extra=DEFAULTS + "limits: { max_clients_per_address = 0; max_rooms = 3; };")
    c.configure(c.nodes[0], extra=DEFAULTS + "limits: { max_clients_per_address = 0; max_rooms = 30; };")
    equal(c.nodes[0].ctl("reload")[0], 0)
    clients = people(c)
    guests = []
    for i in range(10):
        guests.append(c.nodes[0].join("den%d" % i))
        guests[-1].send("hello\n")
        guests[-1].expect(": hello\n")
    talk_to_each_other(clients)
    wait_for(lambda: c.nodes[1].json("status")["cluster"]["lag"] == 0, what="all messages")
    check(len(c.nodes[1].json("list", "rooms")) <= 3, c.nodes[1].json("list", "rooms"))
    equal(len(c.nodes[0].json("list", "rooms")), 11)


# --- servers ---


@test
def a_paused_server_is_noticed():
    """It has all its connections, and says nothing."""
    c = Cluster(2, more="away_after = 0.3;")
    clients = people(c)
    c.servers[0].pause()
    clients["on-a"].expect(AWAY["wait"])
    clients["on-a"].send("are you there\n")
    c.servers[0].go_on()
    clients["on-b"].expect("on-a: are you there\n")
    if BACK.encode() not in clients["on-a"].expect("on-a: are you there\n"):
        clients["on-a"].expect(BACK)
    talk_to_each_other(clients)


# --- networks that part ---


def parted(network, c, which, clients, policy):
    """Node `which` is cut off, people talk on both sides, and it comes back."""
    alone, others = "on-" + c.nodes[which].name, ["on-" + d.name for d in c.nodes if d.number != which]
    network.cut(which)
    clients[alone].send("am I alone\n")
    text = clients[alone].expect(AWAY[policy])
    if policy == "local" and b"am I alone" not in text:
        clients[alone].expect("%s: am I alone\n" % alone)
    for i in range(100):
        clients[others[i % 2]].send("%d among us\n" % i)
        clients[others[0]].expect("%d among us\n" % i)
        clients[alone].send("%d to myself\n" % i)
        if policy == "local":
            clients[alone].expect("%d to myself\n" % i)
    if policy == "wait":
        hears_nothing(clients[alone])
    network.plug(which)
    clients[alone].expect(BACK)


@test
def a_node_that_is_cut_off_waits():
    network = Network(3)
    try:
        c = Cluster(3, servers=[NatsServer(host="10.78.0.254", netns=network.hub)], network=network, more="away_after = 0.3;")
        clients = {n: Recorder(x) for n, x in people(c).items()}
        for which in (2, 0):
            parted(network, c, which, clients, "wait")
            talk_to_each_other(clients)
        the_same(clients)
        for r in clients.values():
            equal(len(re.findall(rb"am I alone", r.all)), 2)
            equal(len(re.findall(rb"among us", r.all)), 200)
            equal(len(re.findall(rb"to myself", r.all)), 200)
        for d in c.nodes:
            # Once each time, and the end of it; a busy machine may part a node from NATS as well, also when it begins.
            def told(x=clients["on-" + d.name]):
                notes = re.findall(rb"(?m)^\* The other nodes (can't|are here)[^\n]*\n", x.all)
                return notes[notes[:1] == [b"are here"]:]
            while len(told()) % 2:
                clients["on-" + d.name].expect(BACK)
            notes = told()
            equal(notes, [b"can't", b"are here"] * (len(notes) // 2))
            pairs, reasons = len(notes) // 2, d.log().count("cluster: the other nodes can't be reached")
            if not (d.number != 1) <= pairs <= reasons:
                raise Failure("node %s: told %d times, for %d reasons" % (d.name, pairs, reasons))
    finally:
        network.close()


@test
def a_node_that_is_cut_off_goes_on():
    network = Network(3)
    try:
        c = Cluster(3, servers=[NatsServer(host="10.78.0.254", netns=network.hub)], network=network, when_away="local",
                    more="away_after = 0.3;")
        clients = {n: Recorder(x) for n, x in people(c).items()}
        for which in (2, 0):
            parted(network, c, which, clients, "local")
            talk_to_each_other(clients)
        once_each(clients)
    finally:
        network.close()


@test
def a_node_on_the_smaller_side_of_three_servers():
    """Each node has a server beside it. The one that is cut off with its node is there, but keeps nothing.
    If it was the stream's leader, nats-server 2.9 shows that node what it had not confirmed where the others have something
    else; so there the order may be another one, and all else holds."""
    network = Network(3)
    try:
        servers = nats_cluster(3, hosts=[network.address(i) for i in range(3)], netns=network.names)
        c = Cluster(3, servers=servers, replicas=3, network=network, more="away_after = 0.3;")
        clients = {n: Recorder(x) for n, x in people(c).items()}
        parted(network, c, 2, clients, "wait")
        talk_to_each_other(clients)
        once_each(clients)
        the_same({n: clients[n] for n in ("on-a", "on-b")})
        for r in clients.values():
            equal(len(re.findall(rb"among us", r.all)), 100)
            equal(len(re.findall(rb"to myself", r.all)), 100)
    finally:
        network.close()


# --- what was missed ---


@test
def whoever_is_stopped_while_nats_is_away_waits_for_it():
    """As long as drain_timeout allows; what can't go out then is told in the log."""
    c = Cluster(2, more="away_after = 0.3;", extra=DEFAULTS + "drain_timeout = 30.0;")
    clients = people(c)
    c.servers[0].kill()
    clients["on-a"].expect(AWAY["wait"])
    clients["on-a"].send("last words\n")
    wait_for(lambda: c.nodes[0].json("status")["cluster"]["waiting"] == 1, what="the line that waits")
    c.nodes[0].signal(signal.SIGTERM)
    hears_nothing(clients["on-a"], 1.5)
    check(c.nodes[0].alive())
    c.servers[0].start()
    c.nodes[0].wait()
    clients["on-b"].expect("on-a: last words\n")
    check("had not gone out" not in c.nodes[0].log(), c.nodes[0].log())
    c.extra = DEFAULTS + "drain_timeout = 0.5;"
    c.configure(c.nodes[1])
    equal(c.nodes[1].ctl("reload")[0], 0)
    c.servers[0].kill()
    clients["on-b"].expect(AWAY["wait"])
    clients["on-b"].send("lost words\n")
    wait_for(lambda: c.nodes[1].json("status")["cluster"]["waiting"] == 1, what="the line that waits")
    c.nodes[1].stop()
    logged(c.nodes[1], "<4>cluster: of what was said here 1 line had not gone out")


def say(who, n, listener, text="line"):
    """So many lines, which the listener gets before it returns."""
    for first in range(0, n, 100):
        who.send("".join("%s %d\n" % (text, i) for i in range(first, min(n, first + 100))))
        listener.expect(": %s %d\n" % (text, min(n, first + 100) - 1))


@test
def a_node_that_was_away_catches_up():
    c = Cluster(3)
    clients = {n: Recorder(x) for n, x in people(c).items()}
    for how in ("kill", "upgrade"):
        d = c.nodes[2]
        if how == "kill":
            d.kill()
        else:
            d.signal(signal.SIGUSR1)
            d.wait()
        clients["on-c"].send("from one who waits\n")
        say(clients["on-a"], 1000, clients["on-b"], how)
        d.start()
        for x in clients.values():
            x.expect("on-c: from one who waits\n")
        if b"%s 999\n" % how.encode() not in clients["on-c"].all:
            clients["on-c"].expect("on-a: %s 999\n" % how)
        talk_to_each_other(clients)
    the_same(clients)
    equal(len(re.findall(rb"on-a: (kill|upgrade) \d+\n", clients["on-c"].all)), 2000)


@test
def a_new_node_gets_the_history():
    c = Cluster(2, rooms='{ name = "lobby"; history = 20; announce_max = 0; }')
    clients = people(c)
    say(clients["on-a"], 50, clients["on-b"])
    new = c.add()
    c.wait_connected([new])
    history = ["on-a: line %d" % i for i in range(30, 50)]
    wait_for(lambda: new.ctl("tail", "-n", "1", "lobby")[1].strip().endswith("line 49"), what="the history")
    x = new.join(nick="on-c")
    talk_to_each_other(dict(clients, **{"on-c": x}))
    # An admin looks at what it has kept; whoever joins is shown the last of it.
    late = new.connect()
    shown = late.expect("on-c is here")
    equal([l for l in history[3:] if l.encode() not in shown], [])
    # Stopped in order a node forgets what it had, and is new when it starts again.
    c.nodes[1].stop()
    clients["on-a"].send("without b\n")
    c.nodes[1].start()
    c.wait_connected([c.nodes[1]])
    wait_for(lambda: c.nodes[1].ctl("tail", "-n", "1", "lobby")[1].strip().endswith("without b"), what="the history")


@test
def the_stream_is_set_back():
    """Its server comes up with what it had an hour ago, or with nothing: what was said since is said again, once."""
    c = Cluster(3)
    clients = {n: Recorder(x) for n, x in people(c).items()}
    server = c.servers[0]
    say(clients["on-a"], 200, clients["on-b"], "before")
    server.kill()
    server.save()
    server.start()
    for way in ("rolled back", "killed and rolled back", "made anew", "deleted"):
        talk_to_each_other(clients)
        say(clients["on-b"], 200, clients["on-c"], "after")
        clients["on-a"].expect(": after 199\n")
        if way == "deleted":
            with Raw(server) as r:
                r.delete_stream()
        else:
            server.kill()
            if way == "made anew":
                server.wipe()
            else:
                server.roll_back()
            clients["on-a"].send("while %s\n" % way)
            if way.startswith("killed"):
                for d in c.nodes:
                    d.kill()
            server.start()
            for d in c.nodes:
                if d.pid is None:
                    d.start()
        if way == "deleted":
            clients["on-a"].send("while deleted\n")
        for x in clients.values():
            x.expect(": while %s\n" % way)
    talk_to_each_other(clients)
    the_same(clients)
    for r in clients.values():
        equal(len(re.findall(rb": before \d+\n", r.all)), 200)
        equal(len(re.findall(rb": after \d+\n", r.all)), 800)
        check(b"missing" not in r.all, r.all[-3000:])


@test
def what_has_expired_is_missed_aloud():
    """A node was away for so long that neither the stream nor the other node's log has what was said."""
    c = Cluster(2, rooms='{ name = "lobby"; announce_max = 0; history = 0; log_size = "128K"; }', more='keep_bytes = "1M";')
    clients = people(c)
    c.nodes[1].kill()
    text = "x" * 900
    for i in range(4000):
        clients["on-a"].send("%d %s\n" % (i, text))
        clients["on-a"].expect("on-a: %d " % i)
    with Raw(c.servers[0]) as r:
        check(r.stream()["state"]["bytes"] <= 1 << 20)
    c.nodes[1].start()
    got = clients["on-b"].expect("on-a: 3999 ")
    gaps = re.findall(rb"(?m)^\* (\d+) lines of node a are missing here\.\n", got)
    numbers = [int(x) for x in re.findall(rb"(?m)^on-a: (\d+) ", got)]
    equal(numbers, sorted(set(numbers)))
    equal(len(gaps), 1)
    check(int(gaps[0]) == 4000 - len(numbers), gaps, len(numbers), numbers[:3])
    for x in clients.values():
        del x.buf[:]
    talk_to_each_other(clients)


@test
def whoever_talks_while_nats_is_away_waits():
    """Nothing is lost, nobody is closed, and chatd doesn't grow."""
    for policy in ("wait", "local"):
        c = Cluster(2, when_away=policy, more="away_after = 0.3;",
                    rooms='{ name = "lobby"; announce_max = 0; history = 0; log_size = "256K"; }')
        clients = people(c)
        talkers = [c.nodes[0].join(nick="t%d" % i) for i in range(3)]
        for t in talkers:
            t.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        server = c.servers[0]
        server.kill()
        clients["on-a"].expect(AWAY[policy])
        sent, last, before = [0] * len(talkers), time.monotonic(), memory(c.nodes[0])
        readers = [Reader(x) for x in talkers + [clients["on-a"], clients["on-b"]]]
        for t in talkers:
            t.sock.setblocking(False)
        pending = [b""] * len(talkers)
        while time.monotonic() < last + 2:
            for i, t in enumerate(talkers):
                pending[i] = pending[i] or b"%d %s\n" % (sent[i], b"." * 500)
                try:
                    n = t.sock.send(pending[i])
                    pending[i] = pending[i][n:]
                    sent[i] += not pending[i]
                    last = time.monotonic()
                except BlockingIOError:
                    pass
            time.sleep(0.0001)
            check(sum(sent) * 500 < 200 << 20, "nobody was made to wait")
        note("%s: %d lines until all waited; %d kB more in memory" % (policy, sum(sent), memory(c.nodes[0]) - before))
        check(memory(c.nodes[0]) - before < 8 << 10, memory(c.nodes[0]), before)
        c.nodes[0].kill()
        c.nodes[0].start()
        server.start()
        for i, t in enumerate(talkers):
            t.sock.setblocking(True)
            t.send(pending[i] + b"that was all\n")
        for r in readers:
            wait_for(lambda: r.all.count(b": that was all\n") == len(talkers), what="the end of what was said")
            for i in range(len(talkers)):
                equal([int(n) for n in re.findall(rb"(?m)^t%d: (\d+) \.{500}\n" % i, r.all)], list(range(sent[i] + bool(pending[i]))))
        if policy == "wait":
            the_same({str(i): r for i, r in enumerate(readers[-2:])})
        c.finish()


@test
def what_waits_is_said_also_after_a_change_of_settings():
    """While NATS is away a node is restarted: with another name, and with a log of another size."""
    for change in ("node", "size", "no cluster"):
        c = Cluster(2)
        clients = {n: Recorder(x) for n, x in people(c).items()}
        c.servers[0].kill()
        clients["on-a"].expect(AWAY["wait"])
        clients["on-a"].send("".join("waits %d\n" % i for i in range(100)))
        wait_for(lambda: c.nodes[0].json("status")["cluster"]["waiting"] == 100, what="what waits")
        c.nodes[0].kill()
        if change == "node":
            c.configure(c.nodes[0], node="z")
        elif change == "size":
            c.configure(c.nodes[0], rooms='{ name = "lobby"; announce_max = 0; history = 0; log_size = "2M"; }')
        else:
            c.nodes[0].write_config(rooms=ROOMS, extra=DEFAULTS)
        c.nodes[0].start()
        c.servers[0].start()
        if change == "no cluster":
            # It is heard by those who are here, and nobody else.
            clients["on-a"].expect("on-a: waits 99\n")
            del clients["on-b"]
        else:
            for x in clients.values():
                x.expect("on-a: waits 99\n")
            talk_to_each_other(clients)
            the_same(clients)
        for r in clients.values():
            equal(re.findall(rb"on-a: waits (\d+)\n", r.all), [b"%d" % i for i in range(100)])
        c.finish()


# --- settings ---


@test
def without_a_cluster_there_is_nothing_of_it():
    need_cluster()
    d = Daemon()
    d.join()
    equal([t for t in d.threads() if "cluster" in t or "nats" in t], [])
    check("cluster" not in d.json("status"))
    equal([n for n in os.listdir("/proc/%d/fd" % d.pid) if "cluster" in os.readlink("/proc/%d/fd/%s" % (d.pid, n))], [])
    threads = len(d.threads())
    d.finish()
    c = Cluster(1)
    check("chatd/cluster" in c.nodes[0].threads(), c.nodes[0].threads())
    check(len(c.nodes[0].threads()) > threads)


@test
def rooms_that_are_not_listed_are_this_nodes_own():
    c = Cluster(2, which='"den"')
    den, lobby = [d.join("den") for d in c.nodes], [d.join() for d in c.nodes]
    talk_to_each_other({"a": den[0], "b": den[1]})
    lobby[0].send("only here\n")
    lobby[0].expect("only here\n")
    den[0].send("here and there\n")
    den[1].expect("here and there\n")
    lobby[1].nothing()


@test
def a_reload_leads_to_another_server():
    c = Cluster(2)
    clients = people(c)
    old, new = c.servers[0], NatsServer("other")
    c.servers = [new]
    for d in c.nodes:
        c.configure(d)
        equal(d.ctl("reload")[0], 0)
    for d in c.nodes:
        wait_for(lambda: new.url.partition("//")[2] in json.dumps(d.json("status")), what="the other server")
    old.kill()
    c.wait_connected()
    talk_to_each_other(clients)
    old.clean_up()


@test
def wrong_credentials_are_told_and_mended():
    server = NatsServer(more='authorization { user: "chatd", password: "right" }\n')
    c = Cluster(2, servers=[server], more='user = "chatd"; password = "wrong";', when_away="local", start=False)
    for d in c.nodes:
        d.start()
    x = c.nodes[0].join(nick="on-a")
    x.send("served all the same\n")
    x.expect("on-a: served all the same\n")
    wait_for(lambda: "refuses the user, the password" in c.nodes[0].ctl("status")[1], what="the reason")
    check(c.nodes[0].ctl("status")[1].startswith("NOT WELL: NATS is not reached: "))
    wait_for(lambda: "refuses the user, the password" in c.nodes[0].log(), what="the reason in the log")
    check("right" not in c.nodes[0].log() and "wrong" not in c.nodes[0].log())
    c.more = 'user = "chatd"; password = "right";'
    for d in c.nodes:
        c.configure(d)
        equal(d.ctl("reload")[0], 0)
    c.wait_connected()
    y = c.nodes[1].join(nick="on-b")
    talk_to_each_other({"on-a": x, "on-b": y})


@test
def a_server_with_tls():
    directory = tempfile.mkdtemp()
    try:
        key = tls_files(directory, "localhost")
        server = NatsServer(host="127.0.0.1", tls=key)
        url = "tls://localhost:%d" % server.port
        c = Cluster(2, servers=[server], start=False)
        c.servers = [url]
        c.more = 'tls_ca = "%s";' % key[0]
        for d in c.nodes:
            c.configure(d)
            d.start()
        c.wait_connected()
        talk_to_each_other(people(c))
        # One whose certificate is of nobody that it trusts.
        c.more = ""
        stranger = c.add()
        wait_for(lambda: re.search("(?i)certificate|SSL|TLS", stranger.ctl("status")[1]), what="the reason")
        check(not connected(stranger))
    finally:
        shutil.rmtree(directory)


@test
def two_nodes_of_one_name_are_told():
    c = Cluster(2, more="away_after = 0.3;")
    clients = people(c)
    third = c.add(start=False)
    c.configure(third, node="a")
    third.start()
    for d in (c.nodes[0], third):
        wait_for(lambda: "<3>cluster: there is another node a" in d.log(), what="the error in the log")
        wait_for(lambda: "another node has the name a, too" in d.ctl("status")[1], what="it in the status")
    third.stop()
    talk_to_each_other(clients)


@test
def garbage_from_others_is_refused():
    """Anybody who may publish there can say anything; what is no batch of lines is counted, and all goes on."""
    c = Cluster(2)
    clients = {n: Recorder(x) for n, x in people(c).items()}
    rng = random.Random(SEED)
    with Raw(c.servers[0]) as r:
        r.store("chatd.s.room.lobby", b"")
        good = None
        clients["on-a"].send("a good one\n")
        clients["on-b"].expect("a good one\n")
        answer = r.api("STREAM.MSG.GET.CHATD", {"last_by_subj": "chatd.s.room.lobby"})
        good = base64.b64decode(answer["message"]["data"])
        check(b"a good one" in good and good.startswith(b"CHDC"), good)
        refused = 0
        for i in range(300):
            data = bytearray(good)
            kind = i % 5
            if kind == 0:
                data = rng.randbytes(rng.randrange(200))
            elif kind == 1:
                data = data[:rng.randrange(len(data))]
            elif kind == 2:
                # Lengths and texts. Who knows the numbers can speak in the node's name.
                data[rng.choice((5, 6, 7, *range(24, len(data))))] ^= 1 << rng.randrange(8)
            elif kind == 3:
                data[4] = rng.randrange(2, 256)
            else:
                data += rng.randbytes(rng.randrange(1, 50))
            r.store("chatd.s.room." + rng.choice(("lobby", "lobby", "den", "=", "=zz", "=00", "a=0A", "x" * 200)), bytes(data))
        for subject in ("chatd.nak.a", "chatd.nak.b", "chatd.beat.a", "chatd.beat.x", "chatd.gone.a", "chatd.beat." + "n" * 100):
            for data in (b"", good, rng.randbytes(3), rng.randbytes(40), rng.randbytes(2000)):
                r.publish(subject, data)
        r.ping()
        last = r.last_seq()
        late = {"address": "192.0.2.9", "changed": int(time.time() * 1e6) + 3600 * 10**6}

        def told():
            """A log that has a line of garbage already has the next one after a while."""
            r.publish("chatd.ban.x", json.dumps({"v": 1, "node": "x", "bans": [late]}).encode())
            return all("<4>cluster: what node x says of bans is passed over" in d.log() for d in c.nodes)
        wait_for(told, what="the bans that are passed over in the logs")
    talk_to_each_other(clients)
    for d in c.nodes:
        wait_for(lambda: d.json("status")["cluster"]["refused"] >= 150, what="the count of what was refused")
        check(d.alive())
        check("192.0.2.9" not in d.ctl("list", "bans")[1])
    # They read on behind it after the next start, too.
    for d in c.nodes:
        d.kill()
        d.start()
    talk_to_each_other(clients)
    for d in c.nodes:
        d.join("den").send("served\n")
    check(last > 300)


main()
