#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Clients that talk without pause and compare what each of them gets with what every other one gets, to the byte.

As a program, for use inside a container: load.py HOST PORT CLIENTS ROOMS [IDLE]; it prints "ready", talks until its
standard input ends, and prints the result as JSON.
"""

import json
import random
import re
import selectors
import socket
import sys
import time


class Member:
    def __init__(self, sock, room, name):
        self.sock = sock
        self.room = room
        self.name = name
        self.stream = bytearray()
        self.sent = 0  # lines
        self.pending = b""
        self.next_at = 0.0
        self.started = False


class Load:
    def __init__(self, host, port, clients, rooms, idle=0, seed=1, interval=0.05):
        self.rng = random.Random(seed)
        self.interval = interval
        self.selector = selectors.DefaultSelector()
        self.members = []
        self.problems = []
        self.deliveries = 0
        self.longest_silence = 0.0
        self.next_line = {}  # name -> the number that comes next in its room
        self.idlers = [self.connect(host, port) for _ in range(idle)]
        for i in range(clients):
            name = "m%d" % i
            room = "r%d" % (i % rooms)
            s = self.connect(host, port)
            s.sendall(("/join %s\n/nick %s\n" % (room, name)).encode())
            self.members.append(Member(s, room, name))
            self.next_line[name.encode()] = 0
        self.by_room = [[m for m in self.members if m.room == "r%d" % r] for r in range(rooms)]
        for m in self.members:
            self.read_until(m, re.compile(rb"\* (You are now|\S+ is now) %s\.?\n" % m.name.encode()))
        # From the marker on everybody's stream has to be the same.
        for group in self.by_room:
            group[0].sock.sendall(b"--- start ---\n")
            for m in group:
                self.read_until(m, re.compile(rb"%s: --- start ---\n" % group[0].name.encode()))
        for m in self.members:
            m.sock.setblocking(False)
            m.next_at = time.monotonic() + self.rng.random() * self.interval
            self.selector.register(m.sock, selectors.EVENT_READ, m)

    def connect(self, host, port):
        for attempt in range(100):
            try:
                s = socket.create_connection((host, port), 20)
                return s
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("can't connect to %s:%d" % (host, port))

    def read_until(self, m, pattern):
        m.sock.settimeout(30)
        while True:
            found = pattern.search(bytes(m.stream))
            if found:
                del m.stream[:found.end()]
                return
            data = m.sock.recv(65536)
            if not data:
                raise RuntimeError("%s was closed" % m.name)
            m.stream += data

    def take_in(self, m):
        try:
            data = m.sock.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError as e:
            data = b""
            self.problems.append("%s: %s" % (m.name, e))
        if not data:
            self.problems.append("%s was closed" % m.name)
            self.selector.unregister(m.sock)
            return False
        m.stream += data
        return True

    def talk(self, m, now):
        if not m.pending:
            n = self.rng.randrange(1, 4)
            lines = ["%d %s\n" % (m.sent + i, "." * self.rng.randrange(60)) for i in range(n)]
            m.sent += n
            m.pending = "".join(lines).encode()
        # Cut anywhere, so that half lines are under way at any instant.
        cut = self.rng.randrange(1, len(m.pending) + 1) if self.rng.random() < 0.5 else len(m.pending)
        try:
            n = m.sock.send(m.pending[:cut])
            m.pending = m.pending[n:]
        except BlockingIOError:
            pass
        except OSError as e:
            self.problems.append("%s: %s" % (m.name, e))
        m.next_at = now + self.interval * (0.5 + self.rng.random()) * (0.2 if m.pending else 1)

    def compare(self):
        """What all members of a room have is compared and let go."""
        for group in self.by_room:
            n = min(len(m.stream) for m in group)
            reference = bytes(group[0].stream[:n])
            n = reference.rfind(b"\n") + 1
            reference = reference[:n]
            if not n:
                continue
            for m in group:
                if m.stream[:n] != reference:
                    at = next(i for i in range(n) if m.stream[i] != reference[i])
                    self.problems.append("%s differs from %s: %r, %r" % (
                        m.name, group[0].name, bytes(m.stream[max(0, at - 100):at + 60]),
                        reference[max(0, at - 100):at + 60]))
                    m.stream[:n] = reference
                del m.stream[:n]
            for line in reference.split(b"\n")[:-1]:
                found = re.match(rb"(m\d+): (\d+) \.*$", line)
                if not found or self.next_line.get(found.group(1)) != int(found.group(2)):
                    self.problems.append("unexpected line %r (next was %r)" % (
                        line, found and self.next_line.get(found.group(1))))
                if found:
                    self.next_line[found.group(1)] = int(found.group(2)) + 1
                self.deliveries += len(group)

    def turn(self, talking=True):
        now = time.monotonic()
        for m in self.members:
            if m.next_at <= now and (talking or m.pending):
                self.talk(m, now)
        got = 0
        for key, _ in self.selector.select(0.005):
            got += self.take_in(key.data)
        if got:
            now = time.monotonic()
            if getattr(self, "last_heard", None) and talking:
                self.longest_silence = max(self.longest_silence, now - self.last_heard)
            self.last_heard = now
        return got

    def run(self, until):
        """Talks until until() is true (asked now and then)."""
        turns = 0
        while not until():
            self.turn()
            turns += 1
            if turns % 50 == 0:
                self.compare()
            if len(self.problems) > 20:
                break

    def finish(self, timeout=60):
        """Everything said has to arrive. Returns the result."""
        until = time.monotonic() + timeout
        while time.monotonic() < until and len(self.problems) < 20:
            self.turn(talking=False)
            self.compare()
            if all(self.next_line[m.name.encode()] == m.sent for m in self.members):
                break
        for m in self.members:
            if self.next_line[m.name.encode()] != m.sent:
                self.problems.append("%s said %d lines, %d came" % (m.name, m.sent, self.next_line[m.name.encode()]))
            elif m.stream:
                self.problems.append("%s has %r left" % (m.name, bytes(m.stream[:100])))
        for i, s in enumerate(self.idlers):
            s.setblocking(False)
            try:
                while s.recv(65536):
                    pass
                self.problems.append("idler %d was closed" % i)
            except BlockingIOError:
                pass
            except OSError as e:
                self.problems.append("idler %d: %s" % (i, e))
        return {"deliveries": self.deliveries, "lines": sum(m.sent for m in self.members),
                "longest_silence": self.longest_silence, "problems": self.problems[:10],
                "n_problems": len(self.problems)}

    def close(self):
        for m in self.members:
            m.sock.close()
        for s in self.idlers:
            s.close()


def during(load, steps):
    """Runs the load while steps() (a generator) goes from one wait (seconds) to the next."""
    state = {"at": time.monotonic()}

    def done():
        while time.monotonic() >= state["at"]:
            try:
                state["at"] = time.monotonic() + next(steps)
            except StopIteration:
                return True
        return False

    load.run(done)


if __name__ == "__main__":
    import resource
    import select
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = Load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]),
                int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    print("ready", flush=True)
    load.run(lambda: select.select([sys.stdin], [], [], 0)[0] and not sys.stdin.readline())
    print(json.dumps(load.finish()), flush=True)
