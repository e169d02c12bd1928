# SPDX-License-Identifier: MIT
"""A load on the nodes of a cluster whose members come by TCP and TLS, with a UDP member and a ZeroMQ peer on each node, who
talk as well: what they get is compared with what the others got."""

import collections
import fcntl
import os
import socket
import ssl
import subprocess
import time

from nodes import CrossLoad, Cluster
from testing import BUILD, PATIENCE, free_port, tls_files

TOOL = os.path.join(BUILD, "tests/system/zmqtool")
# So far back what was sent may come again to a UDP member, when its node died between the sending and the note of it.
AGAIN = 4096


def mixed_cluster(n=3, **kwargs):
    """Nodes with a listener of each kind; those of UDP and ZeroMQ are for room r0."""
    def listeners(d):
        if not hasattr(d, "udp"):
            d.udp, d.tls = free_port(), free_port()
            d.pull, d.pub = ("tcp://127.0.0.1:%d" % free_port() for _ in range(2))
            d.files = tls_files(d.dir)
        return ('{ name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; },'
                '{ name = "tls"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; '
                'tls_certificate = "%s"; tls_key = "%s"; },'
                '{ name = "devices"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "r0"; lease = 3600; },'
                '{ name = "z-%s"; type = "zmq"; mode = "relay"; pull = "%s"; pub = "%s"; room = "r0"; }') % (
                    d.port, d.tls, d.files[0], d.files[1], d.udp, d.name, d.pull, d.pub)
    return Cluster(n, listeners=listeners, **kwargs)


class TlsSocket:
    """As a plain socket, for those who wait with select()."""

    def __init__(self, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20))
        self.fileno, self.settimeout, self.setblocking = self.sock.fileno, self.sock.settimeout, self.sock.setblocking
        self.sendall, self.close = self.sock.sendall, self.sock.close

    def recv(self, n):
        """All that is there, since what was decrypted already wakes nobody."""
        data = b""
        while True:
            try:
                part = self.sock.recv(n)
            except ssl.SSLWantReadError:
                if not data:
                    raise BlockingIOError from None
                return data
            data += part
            if not part or self.sock.gettimeout() != 0:
                return data

    def send(self, data):
        try:
            return self.sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None


class Peer:
    """Somebody in r0 who is no stream. It says a line again until that has come; who counts knows it by its number."""

    def __init__(self, d, name):
        self.d, self.name, self.lines, self.at = d, name, collections.deque(), 0
        self.said, self.next_at, self.again = -1, 0.0, 0
        self.got, self.deaths = 0, 0

    def talk(self, now, came):
        """came: the number of its last line that has come back."""
        if now < self.next_at:
            return
        if came >= self.said:
            self.said += 1
        self.next_at = now + (0.15 if came >= self.said - 1 else 2.0)
        self.say("%d ." % self.said)


class Device(Peer):
    """By UDP: nothing is left out; what was sent just before a death may come again."""

    def __init__(self, d, name):
        super().__init__(d, name)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 1 << 24)
        self.sock.connect(("127.0.0.1", d.udp))
        self.sock.settimeout(PATIENCE)
        self.sock.send(b"#REG " + name.encode())
        answer = self.sock.recv(1000)
        if not answer.startswith(b"#OK " + name.encode()):
            raise RuntimeError("%s: %r" % (name, answer))
        self.sock.setblocking(False)

    def say(self, text):
        try:
            self.sock.send(text.encode())
        except OSError:
            pass  # nobody is there at the moment

    def take_in(self):
        try:
            while True:
                for line in self.sock.recv(65536).splitlines():
                    if not line.startswith((b"* ", b"#")):
                        self.lines.append(line)
        except OSError:
            pass

    def close(self):
        self.sock.close()


class Subscriber(Peer):
    """By ZeroMQ, with PUSH and SUB: its connections end with the process. Then it misses some; nothing comes twice."""

    def __init__(self, d, name):
        super().__init__(d, name)
        self.program = subprocess.Popen([TOOL, "talk", d.pull, d.pub, "r0"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        fcntl.fcntl(self.program.stdout, fcntl.F_SETFL, os.O_NONBLOCK)
        self.rest = b""

    def say(self, text):
        self.program.stdin.write(text.encode() + b"\n")
        self.program.stdin.flush()

    def take_in(self):
        while True:
            data = self.program.stdout.read(65536)
            if not data:
                return
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.lines.extend(line[3:] for line in lines if line.startswith(b"r0\t") and not line.startswith(b"r0\t* "))

    def close(self):
        self.program.stdin.close()
        self.program.kill()
        self.program.wait()
        self.program.stdout.close()


class MixedLoad(CrossLoad):
    """Every third connection is TLS; the peers' lines are in the streams of room r0, where each one's numbers go on, or are
    the last one's again."""

    def __init__(self, nodes, clients, rooms, **kwargs):
        self.history, self.before = [], 0  # what r0's members got; how much of that is let go
        self.came, self.peers, self.missed, self.doubled = {}, [], 0, 0
        super().__init__(nodes, clients, rooms, **kwargs)
        for d in nodes:
            self.peers += [Device(d, "u-" + d.name)]
            if os.path.exists(TOOL):
                self.peers += [Subscriber(d, "z-" + d.name)]
        self.came = {p.name.encode(): -1 for p in self.peers}

    def connect(self, host, port):
        turn = next(self.turns)
        d = self.nodes[turn // self.n_rooms % len(self.nodes)]
        for attempt in range(100):
            try:
                return TlsSocket(d.tls) if turn // (self.n_rooms * len(self.nodes)) % 3 == 2 else d.connect().sock
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("can't connect to node " + d.name)

    def turn(self, talking=True):
        got = super().turn(talking)
        now = time.monotonic()
        for p in self.peers:
            p.take_in()
            if talking:
                p.talk(now, self.came[p.name.encode()])
        return got

    def compare_lines(self, text, following, times, m):
        rest = []
        for line in text.split(b"\n")[:-1]:
            name, _, said = line.partition(b": ")
            if m.room == "r0":
                self.history.append(line)
            if name not in self.came:
                rest.append(line)
                continue
            number = int(said.split()[0])
            if number not in (self.came[name], self.came[name] + 1):
                self.problems.append("%s: %r after %d" % (m.name, line, self.came[name]))
            self.came[name] = number
        super().compare_lines(b"\n".join(rest + [b""]), following, times, m)

    def compare(self):
        super().compare()
        for p in self.peers:
            self.compare_peer(p)
        let_go = max(0, min([p.at for p in self.peers] or [0]) - AGAIN - self.before)
        del self.history[:let_go]
        self.before += let_go

    def compare_peer(self, p):
        while p.lines and p.at < self.before + len(self.history):
            line, at = p.lines[0], p.at - self.before
            if line != self.history[at]:
                found = self.find(p, line, at)
                if found is None:
                    return  # it may be one of those that the others don't have yet
                at = found
            p.lines.popleft()
            p.got += 1
            self.deliveries += 1
            p.at = self.before + at + 1

    def find(self, p, line, at):
        """Where it is instead of there, if it may be somewhere else."""
        back = isinstance(p, Device)
        places = range(at - 1, max(-1, at - AGAIN), -1) if back else range(at + 1, len(self.history))
        found = next((i for i in places if self.history[i] == line), None)
        if found is not None:
            self.doubled += at - found if back else 0
            self.missed += 0 if back else found - at
        elif len(self.problems) < 20 and (back or line in self.history[max(0, at - AGAIN):at]):
            self.problems.append("%s on %s got %r instead of %r" % (p.name, p.d.name, line, self.history[at]))
            p.lines.popleft()
        return found

    def finish(self, timeout=60):
        result = super().finish(timeout)
        until = time.monotonic() + 20
        while time.monotonic() < until and any(p.lines or (isinstance(p, Device) and p.at < self.before + len(self.history))
                                               for p in self.peers):
            self.turn(talking=False)
            self.compare()
        for p in self.peers:
            if p.lines or (isinstance(p, Device) and p.at < self.before + len(self.history)):
                self.problems.append("%s on %s: %d lines are left, %d of the others'" % (
                    p.name, p.d.name, len(p.lines), self.before + len(self.history) - p.at))
            if p.got == 0 or self.came[p.name.encode()] < 0:
                self.problems.append("%s on %s was never heard, or heard nothing" % (p.name, p.d.name))
        result.update(problems=self.problems[:10], n_problems=len(self.problems), deliveries=self.deliveries)
        return result

    def told(self):
        return "by UDP and ZeroMQ %d lines came and %d were said; %d came again by UDP, %d were missed by ZeroMQ" % (
            sum(p.got for p in self.peers), sum(n + 1 for n in self.came.values()), self.doubled, self.missed)

    def close(self):
        super().close()
        for p in self.peers:
            p.close()
