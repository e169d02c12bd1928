#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
IRC clients with different capabilities talk in several channels while chatd is killed and restarted over and over: each
gets each line that it is entitled to once, in each channel in the order in which all of them get it.
"""

import random
import select

from irc_client import *

CAPS = ["", "message-tags", "server-time", "message-tags server-time account-tag extended-join", "echo-message",
        "echo-message message-tags server-time batch labeled-response"]
CHANNELS = ["#a", "#b", "#c", "#d"]


class Person(IRC):
    def __init__(self, d, i):
        caps = CAPS[i % len(CAPS)]
        super().__init__(d, "p%d" % i, caps=caps)
        self.echoes = "echo-message" in caps
        self.rooms = random.sample(CHANNELS, 1 + i % len(CHANNELS))
        for room in self.rooms:
            self.join(room)
        self.said = {room: 0 for room in CHANNELS}
        self.heard = []  # bodies, in order
        self.buffer = b""

    def say(self):
        room = random.choice(self.rooms)
        self.said[room] += 1
        self.sock.sendall(("PRIVMSG %s :%s %d\r\n" % (room, self.nick, self.said[room])).encode())

    def hear(self):
        data = self.sock.recv(1 << 20)
        check(data, self.nick, "was closed")
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\r\n")
        self.heard += [Line.of(l.decode()) for l in lines]


def hear_all(people, until, what):
    end = time.monotonic() + 60
    while not until():
        check(time.monotonic() < end, "timed out waiting for", what)
        for s in select.select([p.sock for p in people], [], [], 0.05)[0]:
            next(p for p in people if p.sock is s).hear()


def is_sound(people):
    """In each channel all have heard the same, in one order, but for what they said themselves."""
    for room in CHANNELS:
        members = [p for p in people if room in p.rooms]
        streams = {p.nick: [l.params[1] for l in p.heard if l.command == "PRIVMSG" and l.params[0] == room] for p in members}
        full = next((streams[p.nick] for p in members if p.echoes), None)
        for p in members:
            equal(len(set(streams[p.nick])), len(streams[p.nick]))
            if full is not None:
                equal(streams[p.nick], [t for t in full if p.echoes or not t.startswith(p.nick + " ")])
            for q in members:
                if q is not p or p.echoes:
                    equal([t for t in streams[p.nick] if t.startswith(q.nick + " ")],
                          ["%s %d" % (q.nick, i + 1) for i in range(q.said[room])])


def survive(restart):
    random.seed(20)
    d = irc_daemon(store=True, start=False, workers=2, rooms="".join('{ name = "%s"; log_size = "4M"; },' % c[1:] for c in CHANNELS).rstrip(","))
    d.start_supervised()
    people = [Person(d, i) for i in range(max(12, int(40 * SCALE)))]
    for p in people:
        p.sock.setblocking(True)
    rounds = max(4, int(30 * SCALE))
    for i in range(rounds):
        for _ in range(100):
            random.choice(people).say()
        if i % 5 == 4:
            p = random.choice(people)
            p.sock.sendall(("NICK %sx%d\r\nNICK %s\r\n" % (p.nick, i, p.nick)).encode())
        if restart and i % 3 == 0:
            d.ctl("restart")
        else:
            kill(d)
        hear_all(people, lambda: True, "")
    for p in people:
        p.sock.sendall(b"PING :the end\r\n")
    due = lambda p: sum(sum(q.said[room] for q in people if room in q.rooms and (q is not p or p.echoes)) for room in p.rooms)
    hear_all(people, lambda: all(sum(l.command == "PRIVMSG" for l in p.heard) >= due(p) and
                                 any(l.command == "PONG" for l in p.heard) for p in people), "all to be heard")
    is_sound(people)
    # Names that changed were told once each to those who share a channel.
    for p in people:
        nicks = [l.body() for l in p.heard if l.command == "NICK"]
        equal(len(nicks), len(set(nicks)))
    note("%d deaths" % d.deaths)
    d.unsupervise()
    d.finish()


@test
def many_channels_through_kills():
    survive(False)


@test
def and_through_restarts():
    survive(True)


main()
