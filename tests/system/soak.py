#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Everything at once for hours: `./dev soak [SECONDS] [asan]`. Two nodes of a cluster with a history, and in the same two rooms,
on each node, somebody by each of lines, TLS, WebSocket, IRC and HTTP (events and posts), a UDP member and a ZeroMQ peer. All
talk, others come and go, also in rooms that are made for it, and nodes are killed, restarted, upgraded and reloaded.

It fails when
- what a witness of a transport got isn't what all others of the room got: a line that is lost, doubled or out of order. What
  docs/PROTOCOL.md leaves open is left open: after a death UDP may get again what it had just got, and ZeroMQ may miss some;
- a connection ends that nobody ended, a node ends otherwise than it was made to, or a sanitizer or an assertion says something;
- it isn't flat. In the first half of the time one node is killed and the other only reloaded, in the second half it is the
  other way round. So each node has a process that lives for half of the time, and a state that is handed on all the while. Of
  each node and half the first third is warm-up; of what was measured then the median of the last third may be no larger than
  that of the first third, but for what SLACK says.
"""

import collections
import json
import os
import re
import select
import signal
import socket
import statistics
import sys
import threading
import time

from irc_client import irc_listener
from mixed import MixedLoad, TlsSocket, mixed_cluster
from nodes import Havoc
from testing import CHATCTL, PATIENCE, Client, Daemon, Failure, check, free_port, run
from ws import TEXT, frame, listener

ROOMS = ["r0", "r1"]
WAYS = ["lines", "TLS", "WebSocket", "IRC", "HTTP"]
KINDS = (("node", 4), ("node again", 1), ("restart", 2), ("upgrade", 2), ("reload", 3), ("server", 1))
# Share, and how much more: of bytes, but for descriptors, threads and entries.
SLACK = {"RSS": (0.05, 4 << 20), "PSS": (0.05, 4 << 20), "descriptors": (0, 6), "threads": (0, 0), "stored": (0, 6),
         "database": (0.05, 1 << 20), "its WAL": (0, 5 << 20)}  # which SQLite lets grow to 4 MB
ASAN_SLACK = dict(SLACK, RSS=(0.05, 16 << 20), PSS=(0.05, 16 << 20))
SAID = re.compile(r"(?m)^.*(?:Sanitizer|runtime error:|Assertion|can't be resumed).*$")
SETTINGS = """
room_defaults: { history = 20; log_size = "64K"; announce_max = 100; };
history: { database = "history.db"; keep = "1m"; keep_messages = 500; };
limits: { max_clients_per_address = 0; lines_per_second = 0; commands_per_second = 0; bytes_per_second = 0;
          nick_changes_per_minute = 0; joins_per_minute = 0; max_rooms_per_address = 0; room_linger = 2; };
"""


# --- who talks ---


class Translated:
    """A stream of something else, as if it were lines of chat, for those who wait with select()."""

    def __init__(self, sock):
        self.sock, self.raw, self.half, self.out, self.blocks = sock, b"", b"", b"", True
        self.close = sock.close
        sock.settimeout(PATIENCE)

    def fileno(self):
        return self.sock.fileno()

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)
        self.blocks = seconds != 0

    def setblocking(self, blocks):
        self.settimeout(PATIENCE if blocks else 0)

    def flush(self):
        while self.out:
            sent = self.sock.send(self.out)
            self.out = self.out[sent:]

    def flush_some(self):
        try:
            self.flush()
        except BlockingIOError:
            pass

    def send(self, data):
        """Takes all of it, unless what was taken before hasn't gone yet."""
        self.flush()
        *lines, self.half = (self.half + data).split(b"\n")
        for line in lines:
            self.say(line.decode())
        self.flush_some()
        return len(data)

    sendall = send

    def recv(self, n):
        while True:
            data = self.sock.recv(n)
            if not data:
                return b""
            self.raw += data
            text = self.understand()
            self.flush_some()  # what is to be answered
            if text:
                return text
            if not self.blocks:
                raise BlockingIOError


class WebSocketLines(Translated):
    def __init__(self, d, nick=None):
        super().__init__(socket.create_connection(("127.0.0.1", d.web), PATIENCE))
        self.sock.sendall(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = Client(self.sock)
        check(head.expect("\r\n\r\n").startswith(b"HTTP/1.1 101 "))
        self.raw = bytes(head.buf)

    def say(self, line):
        self.out += frame(TEXT, line)

    def understand(self):
        text = b""
        while len(self.raw) >= 2:
            size, at = self.raw[1], 2
            if size == 126:
                size, at = int.from_bytes(self.raw[2:4], "big"), 4
            if len(self.raw) < max(at, 2) or len(self.raw) < at + size:
                break
            if self.raw[0] == 0x80 | TEXT:
                text += self.raw[at:at + size] + b"\n"
            elif self.raw[0] in (0x88, 0x89):  # its end, or a ping
                self.out += frame(self.raw[0] & 15 | (self.raw[0] & 1) << 1, self.raw[at:at + size])
            else:
                raise Failure("a frame %r" % self.raw[:at + size])
            self.raw = self.raw[at + size:]
        return text


class IrcLines(Translated):
    """It is echoed what it says, in the order of the room."""

    def __init__(self, d, nick=None):
        super().__init__(socket.create_connection(("127.0.0.1", d.irc), PATIENCE))
        self.room = self.nick = None

    def say(self, line):
        command, _, word = line.partition(" ")
        if command == "/join":
            self.room = word
        elif command == "/nick":
            self.nick = word
            self.out += b"CAP REQ :echo-message\r\nNICK %b\r\nUSER u 0 * :u\r\nCAP END\r\n" % word.encode()
        else:
            self.out += b"PRIVMSG #%b :%b\r\n" % (self.room.encode(), line.encode())

    def understand(self):
        text = b""
        *lines, self.raw = self.raw.split(b"\r\n")
        for line in lines:
            source, _, rest = line.partition(b" ") if line.startswith(b":") else (b"", b"", line)
            command, _, rest = rest.partition(b" ")
            if command == b"PING":
                self.out += b"PONG " + rest + b"\r\n"
            elif command == b"PRIVMSG":
                target, _, said = rest.partition(b" :")
                if target.lower() == b"#" + self.room.encode():
                    text += source[1:].partition(b"!")[0] + b": " + said + b"\n"
            elif command in (b"376", b"422"):
                self.out += b"JOIN #%b\r\n" % self.room.encode()
            elif command == b"366":
                text += b"* You are now %b.\n" % self.nick.encode()
            elif command in (b"433", b"ERROR"):
                raise Failure(line.decode())
        return text


class HttpLines(Translated):
    """Hears by server-sent events, and speaks by posts, of which each has to be answered before the next one goes."""

    def __init__(self, d, nick):
        super().__init__(socket.create_connection(("127.0.0.1", d.web), PATIENCE))
        self.d, self.nick, self.token = d, nick, d.tokens[nick]
        self.posts = socket.create_connection(("127.0.0.1", d.web), PATIENCE)
        self.posts.setblocking(False)
        self.waiting, self.answers, self.under_way = collections.deque(), b"", False
        self.both = select.epoll()
        for s in (self.sock, self.posts):
            self.both.register(s, select.EPOLLIN)
        self.room = None

    def fileno(self):
        return self.both.fileno()

    def close(self):
        for s in (self.both, self.sock, self.posts):
            s.close()

    def say(self, line):
        command, _, word = line.partition(" ")
        if command == "/join":
            self.room = word
        elif command == "/nick":
            check(word == self.nick, word)
            self.out += ("GET /api/v1/rooms/%s/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % (
                self.room, self.token)).encode()
        else:
            self.waiting.append(line)

    def flush(self):
        super().flush()
        if self.waiting and not self.under_way:
            body = json.dumps({"text": self.waiting.popleft()})
            self.posts.send(("POST /api/v1/rooms/%s/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                             "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                                 self.room, self.token, len(body), body)).encode())
            self.under_way = True

    def take_answer(self):
        try:
            data = self.posts.recv(1 << 16)
            check(data, "the connection of posts was closed after", self.answers)
            self.answers += data
        except BlockingIOError:
            return
        m = re.match(rb"(?si)HTTP/1\.1 (\d+) .*?\r\ncontent-length: *(\d+)\r\n.*?\r\n\r\n", self.answers)
        if m and len(self.answers) >= m.end() + int(m[2]):
            check(m[1] in (b"201", b"202"), self.answers)
            self.answers = self.answers[m.end() + int(m[2]):]
            self.under_way = False

    def recv(self, n):
        while True:
            select.select([self.both], [], [], PATIENCE if self.blocks else 0)
            self.take_answer()
            self.flush()
            try:
                self.sock.setblocking(False)
                data = self.sock.recv(n)
                if not data:
                    return b""
                self.raw += data
            except BlockingIOError:
                if not self.blocks:
                    raise
            text = self.understand()
            if text:
                return text
            if not self.blocks:
                raise BlockingIOError

    def understand(self):
        text = b""
        *events, self.raw = self.raw.split(b"\n\n")
        for event in events:
            if b"retry: " in event:
                check(b"200 OK" in event, event)
                text += b"* You are now %b.\n" % self.nick.encode()
            elif (m := re.match(rb"id: \S+\ndata: (.*)$", event)):
                said = json.loads(m[1])
                if said["kind"] == "message":
                    text += ("%s: %s\n" % (said["nick"], said["text"])).encode()
            elif event.startswith(b"event: gap"):
                raise Failure(event.decode())
        return text


def connected_by(way, d, nick):
    if way == "lines":
        return socket.create_connection(("127.0.0.1", d.port), PATIENCE)
    if way == "TLS":
        return TlsSocket(d.tls)
    return {"WebSocket": WebSocketLines, "IRC": IrcLines, "HTTP": HttpLines}[way](d, nick)


def place(number, n_nodes):
    """The way, and the number of the node, of a member."""
    return WAYS[number // (len(ROOMS) * n_nodes) % len(WAYS)], number // len(ROOMS) % n_nodes


class SoakLoad(MixedLoad):
    def connect(self, host, port):
        number = next(self.turns)
        way, node = place(number, len(self.nodes))
        return connected_by(way, self.nodes[node], "m%d" % number)


def soak_cluster():
    """Each member by HTTP has a token, whose name it has."""
    c = mixed_cluster(2, rooms='{ name = "lobby"; }, { name = "r0"; log_size = "64K"; }', extra=SETTINGS, more='keep = "60s";',
                      start=False)
    mixed, members = c.listeners, len(ROOMS) * len(c.nodes) * len(WAYS)
    os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4:malloc_context_size=8")

    def listeners(d):
        if not hasattr(d, "web"):
            d.web, d.irc, d.tokens = free_port(), free_port(), {}
            path = os.path.join(d.dir, "tokens")
            for i in range(members):
                if place(i, len(c.nodes)) == ("HTTP", d.number):
                    out = run(CHATCTL, "token", "add", "m%d" % i, "--read", "--speak", path).stdout.decode()
                    d.tokens["m%d" % i] = re.search(r"chatd_[\w-]+", out)[0]
            d.spare = free_port()
        more = listener(d.web, 'token_file = "%s";' % os.path.join(d.dir, "tokens")).replace("[::]", "127.0.0.1")
        spare = '{ name = "spare"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; },' % d.spare
        return (spare if getattr(d, "with_spare", False) else "") + more + irc_listener(d.irc) + "," + mixed(d)

    c.listeners = listeners
    for d in c.nodes:
        c.configure(d)
    c.start()
    return c


# --- who comes and goes ---


class Passers:
    """One of each transport on each node comes, and goes after some seconds, by its own word or without any, again and again:
    in the rooms of those who talk, and in rooms of its own, four in turn, which are made and end each time. What a cluster
    remembers of a room that was made, some 80 bytes, so that nothing comes twice, stays until there are a million of them:
    by design that grows, but slowly."""

    def __init__(self, nodes):
        self.ended, self.problems = threading.Event(), []
        self.visits, self.in_vain = collections.Counter(), collections.Counter()
        self.threads = [threading.Thread(target=self.stay, args=(d, way, "p%s%d" % (d.name, i)), daemon=True)
                        for d in nodes for i, way in enumerate(["lines", "TLS", "WebSocket", "IRC", "UDP"])]
        for t in self.threads:
            t.start()

    def stay(self, d, way, name):
        number = 0
        while not self.ended.wait(0.3):
            number += 1
            try:
                (self.by_udp if way == "UDP" else self.by_stream)(d, way, "%sx%d" % (name, number), number)
            except Exception as e:
                self.problems.append("%s by %s: %r" % (name, way, e))
                return
            self.visits[way] += 1

    def entered(self, d, way, room, nick):
        """Whoever comes while a process dies may have to come again, as it isn't anybody yet."""
        for _ in range(50):
            sock = None
            try:
                sock = connected_by(way, d, nick)
                client = Client(sock)
                client.send("/join %s\n/nick %s\n" % (room, nick))
                client.expect(re.compile(rb"\* (You are now|\S+ is now) %b\.?\n" % nick.encode()))
                return client
            except (OSError, Failure) as e:
                if sock:
                    sock.close()
                if isinstance(e, TimeoutError) or (isinstance(e, Failure) and not str(e).startswith("closed")):
                    raise  # nobody answers
                self.in_vain[way] += 1
                if self.ended.wait(0.1):
                    return None
        raise Failure("nobody lets it in")

    def by_stream(self, d, way, nick, number):
        for room in ROOMS[number % len(ROOMS)], "of-%s-%d" % (nick.partition("x")[0], number % 4):
            nick += "x"  # who has just gone may still be there
            client = self.entered(d, way, room, nick)
            if not client:
                return
            if room not in ROOMS:
                client.send("is here\n")
                client.expect(b"%b: is here\n" % nick.encode())
            self.ended.wait(0.2 * (number % 10))
            if number % 3 and way not in ("IRC",):
                client.send("/quit\n")
                client.rest()
            client.close()

    def by_udp(self, d, way, nick, number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", d.udp))
            for word, answer in (b"#REG " + nick.encode(), b"#OK "), (b"#DEREG", b"#BYE"):
                s.settimeout(1)
                for _ in range(60):
                    try:
                        s.send(word)
                        while not s.recv(65536).startswith(answer):
                            pass
                        break
                    except OSError:  # what was sent while nobody was there
                        if word == b"#DEREG":
                            break
                        self.in_vain[way] += 1
                else:
                    raise Failure("no answer")
                self.ended.wait(0.2 * (number % 10))

    def end(self):
        self.ended.set()
        for t in self.threads:
            t.join(PATIENCE)


# --- what happens, and what it costs ---


class Disturbance(Havoc):
    """Until that instant, and then until all is well. The node of which half it is is the one that things happen to; reloads
    are the other one's as well."""

    def __init__(self, cluster, until, pace, seed):
        super().__init__(cluster, KINDS, 1 << 60, seed, pace=pace)
        self.until, self.began, self.measure = until, time.monotonic(), None

    def half(self):
        return int(time.monotonic() - self.began > (self.until - self.began) / 2)

    def event(self, kind):
        if kind == "reload":
            d = self.rng.choice(self.cluster.nodes)
            if d in self.dead or not d.ready:
                return False
            d.with_spare = not getattr(d, "with_spare", False)
            self.cluster.configure(d)
            d.signal(signal.SIGHUP)
            self.happened["reload"] += 1
            return True
        self.victims = [self.cluster.nodes[self.half()]]
        return super().event(kind)

    def done(self):
        self.measure()
        if self.left and time.monotonic() >= self.until:
            self.left = 0
        return super().done()


class Measures:
    """Looks every so many seconds; the logs are read then, and emptied."""

    def __init__(self, cluster, disturbance, passers, every):
        self.cluster, self.disturbance, self.passers, self.every = cluster, disturbance, passers, every
        self.began = self.next_at = time.monotonic()
        self.values = collections.defaultdict(list)  # (node, half) -> [{what: how much}]
        self.ends, self.problems = {}, []

    def look(self):
        if time.monotonic() < self.next_at:
            return
        self.next_at += self.every
        for d in self.cluster.nodes:
            self.read_log(d)
            if d in self.disturbance.dead or not d.ready or not d.alive():
                continue
            try:
                value = self.of(d)
            except (OSError, TypeError):
                continue  # it has just died
            self.values[d.name, self.disturbance.half()].append(value)
            print("%6d s  %s %s" % (time.monotonic() - self.began, d.name, told(value)), flush=True)
        problems = self.problems + self.passers.problems
        check(not problems, *problems)

    @staticmethod
    def of(d):
        with open("/proc/%d/smaps_rollup" % d.pid) as f:
            memory = {k: int(n) << 10 for k, n in re.findall(r"(?m)^(Rss|Pss): +(\d+) kB", f.read())}
        base = os.path.join(d.dir, "history.db")
        return {"RSS": memory["Rss"], "PSS": memory["Pss"], "descriptors": d.fds(), "threads": len(d.threads()),
                "stored": sum(len(fds) for fds in list(d.stored.values())),
                "database": os.path.getsize(base), "its WAL": os.path.getsize(base + "-wal")}

    def read_log(self, d):
        text = d.log()
        with open(d.log_path, "r+b") as f:
            f.truncate(0)
        self.problems += SAID.findall(text)
        if SAID.search(text):
            self.problems.append(text[-8000:])
        self.ends[d.name] = (self.ends.get(d.name, "") + text)[-16000:]

    def judge(self, slack):
        """What grew."""
        grew = []
        for (name, half), values in sorted(self.values.items()):
            values = values[len(values) // 3:]
            third = max(1, len(values) // 3)
            for what, (share, more) in slack.items():
                first, last = (statistics.median(v[what] for v in part) for part in (values[:third], values[-third:]))
                if last > first * (1 + share) + more:
                    grew.append("%s of node %s, half %d: from %d to %d" % (what, name, half + 1, first, last))
            if len(values) < 3:
                grew.append("node %s, half %d: measured too seldom" % (name, half + 1))
        return grew

    def range_of(self):
        """From the smallest to the largest one behind the warm-up."""
        values = [v for part in self.values.values() for v in part[len(part) // 3:]]
        return "; ".join("%s %s to %s" % (what, size(what, min(v[what] for v in values)), size(what, max(v[what] for v in values)))
                         for what in SLACK)


def size(what, n):
    return str(n) if what in ("descriptors", "threads", "stored") else "%.1f MB" % (n / 1e6)


def told(value):
    return "  ".join("%s %s" % (what, size(what, n)) for what, n in value.items())


# --- all of it ---


def soak(seconds, asan):
    seed = int(os.environ.get("CHATD_SOAK_SEED", os.getpid()))
    print("soak of %d s, CHATD_SOAK_SEED=%d" % (seconds, seed), flush=True)
    c = soak_cluster()
    load = SoakLoad(c.nodes, len(ROOMS) * len(c.nodes) * len(WAYS), len(ROOMS), interval=0.5)
    passers = Passers(c.nodes)
    began = time.monotonic()
    disturbance = Disturbance(c, began + seconds, 4.0, seed)
    measures = Measures(c, disturbance, passers, min(60.0, max(1.0, seconds / 60)))
    disturbance.measure = measures.look
    try:
        load.run(disturbance.done)
        passers.end()
        result = load.finish(120)
        print("%s; %d visits, %d in vain" % (disturbance, sum(passers.visits.values()), sum(passers.in_vain.values())))
        print("%d lines, %d deliveries compared, longest silence %.2f s; %s" % (
            result["lines"], result["deliveries"], result["longest_silence"], load.told()))
        print(measures.range_of(), flush=True)
        problems = result["problems"] + passers.problems + [text for _, text in load.notes if "missing" in text]
        load.close()
        for d in c.nodes:
            d.stop()  # which is where leaks are told
            measures.read_log(d)
        problems += measures.problems + measures.judge(ASAN_SLACK if asan else SLACK)
        check(not problems, *("\n  " + p for p in problems))
    except BaseException:
        for d in c.nodes:
            print("node %s:\n%s" % (d.name, (measures.ends.get(d.name, "") + d.log())[-4000:]))
        raise
    finally:
        passers.ended.set()
    print("ok: nothing was lost, doubled or out of order, and all is flat", flush=True)


def ended(*_):
    raise SystemExit("ended by a signal")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended)
    Daemon.log_level = "warning"
    try:
        soak(int(sys.argv[1]) if len(sys.argv) > 1 else 6 * 3600, "asan" in sys.argv[2:])
    except Failure as e:
        sys.exit("failed: %s" % e)
    finally:
        for d in list(Daemon.running):
            d.clean_up()
