#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
An upgrade from a release whose state has another layout (the first commit below), with clients connected: nothing is closed,
lost or doubled, also when the new process is killed while it converts. And from one that stored nothing, and one with browsers.
The old releases are built once, from the history.
"""

import glob
import random
import shutil
import signal
import socket

from past import *
from releases import *
from testing import *
from ws import *

WITHOUT_HISTORY = "64199be"  # the last one
WITH_WEB = "f60cba1"  # the first one
BATCH = 128  # so many datagrams are sent at once


def fault_points():
    names = set()
    for path in glob.glob(os.path.join(SOURCE, "daemon", "state", "layout*.c")):
        with open(path) as f:
            names.update(re.findall(r'\bFAULT\("([\w-]+)"\)', f.read()))
    return sorted(names)


def goes(d, way):
    """The old one hands over, or dies; what comes next is the new one."""
    if way == "handover":
        d.signal(signal.SIGUSR1)
        d.wait()
    else:
        d.kill()
    d.binary = CHATD


class Old:
    """The old release with clients of each kind, each of them in the middle of something."""

    def __init__(self, people):
        self.d = d = Daemon(store=True, start=False, binary=old_chatd())
        self.udp, self.door = free_port(socket.SOCK_DGRAM), free_port()
        passwords = os.path.join(d.dir, "passwords")
        add_account(passwords, "alice", "secret", "-S")
        d.write_config(extra='state_directory = "%s";' % d.dir, rooms="""{ name = "lobby"; history = 5; announce_max = 0; },
          { name = "board"; members = ("alice"); }, { name = "bare"; format = "raw"; }, { name = "small"; log_size = "64K"; }""",
                       listeners="""
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
          { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; },
          { name = "door"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; room = "lobby"; },
          { name = "devices"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }"""
                       % (d.port, d.echo_port, self.door, passwords, self.udp))
        d.start()
        self.people = [d.join() for _ in range(people)]
        self.small = [d.join("small") for _ in range(2)]
        for k in range(40):  # so that its log goes round
            self.small[0].send("".join("%04d%s\n" % (i, "." * 60) for i in range(k * 50, k * 50 + 50)))
            for c in self.small:
                c.expect("%04d%s\n" % (k * 50 + 49, "." * 60))
        self.bare = d.join("bare")
        self.den = d.join("den", nick="hermit")
        self.alice = d.connect(port=self.door)
        self.alice.expect("Please log in")
        self.alice.send("/login alice secret\n/join board\nmine\n")
        self.alice.expect("alice: mine\n")
        self.stranger = d.connect(port=self.door)
        self.stranger.expect("\n")
        self.fancy = d.join(nick="\u00e9lan")
        self.reader = d.join(rcvbuf=4096)  # much waits for it
        self.echo = d.connect(port=d.echo_port)
        self.echo.send("abc")
        self.echo.expect("abc")
        self.device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.device.connect(("127.0.0.1", self.udp))
        self.device.settimeout(PATIENCE)
        try:
            self.device.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            self.has_space = True
        except PermissionError:
            self.has_space = False
        self.device.send(b"#REG dev")
        check(self.device.recv(1000).startswith(b"#OK dev"))
        self.fancy.send("/msg hermit psst\n")
        self.den.expect("psst\n")
        equal(run(CHATCTL, "-s", d.socket, "ban", "192.0.2.7").returncode, 0)
        self.last = 0
        for c in self.people:  # the greetings of those who came after it
            del c.buf[:]
            c.send("half ")
        self.say(300)
        time.sleep(0.2)

    def everybody(self):
        return self.people + [self.fancy, self.reader]

    def say(self, n):
        """Somebody who talks all the time: each line has its number."""
        for _ in range(n):
            self.last += 1
            self.fancy.send("no. %d %s\n" % (self.last, "x" * 200))

    def check_all(self):
        """What everybody received, from the beginning, is what was said."""
        d, last = self.d, self.last
        for i, c in enumerate(self.people):
            c.send("a line %d\n" % i)
        for c in self.everybody():
            taken = b""
            while taken.count(b"half a line") < len(self.people) or b"no. %d " % last not in taken:
                taken += c.expect("\n", 60)
            got = [int(n) for n in re.findall(rb"no\. (\d+) ", taken)]
            equal(got, list(range(1, last + 1)))
            equal(sorted(int(n) for n in re.findall(rb"half a line (\d+)\n", taken)), list(range(len(self.people))))
        self.stranger.send("hi\n")
        self.stranger.expect("Please log in first")
        self.alice.send("still\n")
        equal(self.alice.expect("still\n"), b"alice: still\n")
        other = d.join()
        other.send("/join board\n")
        other.expect("members only")
        other.send("/join small\n")
        other.expect("in small")
        other.send("/join den\n/who\n")
        other.expect("2 in den: ")
        self.den.expect(" joined den\n")
        self.bare.send("bare words\n")
        self.bare.expect("bare words\n")
        self.small[0].send("after all\n")
        check(b"." not in self.small[1].expect("after all\n"), "what it had already comes again")
        self.echo.send("def")
        self.echo.expect("def")
        self.fancy.send("/msg hermit and again\n")
        self.den.expect("and again\n")
        self.device.send(b"from a device")
        self.fancy.expect("dev: from a device\n")
        equal(d.json("status")["takeover"]["closed"], 0)
        check(b"192.0.2.7" in run(CHATCTL, "-s", d.socket, "list", "bans").stdout)
        if not self.has_space:
            self.device.setblocking(False)
            try:
                while True:
                    self.device.recv(65536)
            except BlockingIOError:
                self.device.settimeout(PATIENCE)
        # What is there now is this release's, and lasts.
        d.drain_notify()
        equal(sorted(n for n in d.stored if n.startswith(("chatd-rooms", "chatd-clients"))),
              ["chatd-clients-5", "chatd-rooms-5"])
        d.kill()
        d.start()
        equal(d.json("status")["takeover"]["closed"], 0)
        self.fancy.send("the end\n")
        for c in self.people:
            c.expect("the end\n")
        self.check_device(last)

    def check_device(self, last):
        """Around a crash those that were sent last may come twice; none is missing, unless this socket had no space for it."""
        datagrams = []
        while not datagrams or b"the end" not in datagrams[-1]:
            datagrams.append(self.device.recv(65536))
        got = [int(n) for n in re.findall(rb"no\. (\d+) ", b"".join(datagrams))]
        first = list(dict.fromkeys(got))
        equal(first, sorted(first))
        check(all(b >= a - BATCH for a, b in zip(got, got[1:])), "older ones come again", got)
        if self.has_space:
            equal(first, list(range(1, last + 1)))


def addresses(d):
    """Where each client came from, which the old release did not note for all."""
    return sorted((x["id"], x["address"]) for x in d.json("list", "clients"))


@test
def everybody_comes_along():
    old = Old(200 if SCALE >= 1 else 50)
    d = old.d
    d.binary = CHATD
    came_from = addresses(d)
    d.kill()
    old.say(50)
    d.start()
    note("taken over: %r" % d.json("status")["takeover"])
    equal(addresses(d), came_from)
    old.say(50)
    old.check_all()


@test
def restarts_in_order():
    """`chatctl restart`, when the program on disk has become the new one, and a stop for the service manager's sake."""
    for way in ("restart", "handover"):
        old = Old(20)
        d = old.d
        path = os.path.join(d.dir, "chatd")
        shutil.copy(d.binary, path)
        if way == "restart":
            d.binary = path
            d.kill()
            d.start()
            os.rename(path, path + ".old")
            with open(path, "w") as f:
                f.write('#!/bin/sh\nexec %s "$@"\n' % CHATD)
            os.chmod(path, 0o755)
            old.say(10)
            equal(run(CHATCTL, "-s", d.socket, "restart").returncode, 0)
            wait_for(lambda: b"layout 5" in d.log().encode(), what="the new program")
            d.wait_ready()
            d.binary = CHATD
        else:
            d.signal(signal.SIGUSR1)
            d.wait()
            d.binary = CHATD
            d.start()
        old.say(10)
        old.check_all()
        d.finish()


@test
def killed_while_it_converts():
    """At every fault point of converting, at some of its passages; the one after that begins again."""
    if run(CHATD, "--version").stdout.find(b"fault points") < 0:
        raise Skip("this build has no fault points (--enable-faults)")
    deaths = 0
    for name in fault_points():
        for passage in (1, 2, 7):
            old = Old(12)
            d = old.d
            once = os.path.join(d.dir, "once")
            open(once, "w").close()
            d.kill()
            d.binary = CHATD
            d.env.update(CHATD_FAULT="%s:%d" % (name, passage), CHATD_FAULT_ONCE=once)
            d.spawn()
            d.supervise()
            wait_for(lambda: d.ready, what="chatd")
            hit = not os.path.exists(once)
            equal(d.deaths, int(hit))
            check(hit or passage > 1, "fault point", name, "was never reached")
            deaths += hit
            d.unsupervise()
            try:
                old.say(10)
                old.check_all()
            except (Failure, OSError):
                note("at fault point %s:%d" % (name, passage))
                raise
            d.finish()
            if not hit:
                break
    note("%d deaths at %d fault points" % (deaths, len(fault_points())))


@test
def killed_at_any_time():
    rng = random.Random(15)
    for _ in range(6):
        old = Old(12)
        d = old.d
        d.kill()
        d.binary = CHATD
        for k in range(8):
            d.spawn()
            time.sleep(rng.random() * (0.08 if SCALE >= 1 else 0.4))
            old.say(3)
            d.kill()
            d.drain_notify()
        d.start()
        old.say(10)
        old.check_all()
        d.finish()


@test
def an_old_state_that_is_damaged_is_refused():
    for damage in ("clients", "rooms", "entry", "log"):
        old = Old(3)
        d = old.d
        d.kill()
        d.drain_notify()
        clients, rooms = d.stored["chatd-clients"][0], d.stored["chatd-rooms"][0]
        if damage == "clients":
            os.pwrite(clients, b"garbage!", 0)
        elif damage == "rooms":
            os.pwrite(rooms, b"garbage!", 0)
        else:
            fd, what = (clients, b"hermit") if damage == "entry" else (rooms, b"chatdlog")
            data = os.pread(fd, 64 << 20, 0)
            at = data.find(what)
            while at >= 0:
                os.pwrite(fd, b"\033\033\033", at)
                at = data.find(what, at + 1)
        d.binary = CHATD
        d.start()
        logged(d, "can't be")
        b = d.join(nick="bob")
        b.send("served\n")
        b.expect("bob: served\n")
        data = old.den.rest()
        check(damage == "clients" or b"please connect again" in data, damage, data)
        d.kill()
        d.start()
        b.send("and after the next crash\n")
        b.expect("bob: and after the next crash\n")
        d.finish()


@test
def what_is_said_is_stored_from_then_on():
    """By a release that has a history, after one that had none: who is there stays, and what they say is stored, once."""
    rooms = '{ name = "lobby"; announce_max = 0; history = 10; }'
    for way in ("kill", "handover", "killed again and again"):
        d = Daemon(store=True, start=False, binary=old_chatd(WITHOUT_HISTORY), rooms=rooms)
        d.start()
        alice, bob, hermit = d.join(nick="alice"), d.join(nick="bob"), d.join("den", "hermit")
        people = (alice, bob)
        said = []

        def say(text, who=alice):
            said.append(text)
            who.send(text + "\n")

        def hear():
            for c in people:
                taken = c.expect(said[-1] + "\n")
                equal(re.findall(rb": (before \d+|meanwhile|after \d+)\n", taken), [s.encode() for s in said])
            said.clear()

        for i in range(50):
            say("before %d" % i)
        hear()
        hermit.send("mine\n")
        hermit.expect("hermit: mine\n")
        alice.send("half a ")
        goes(d, way)
        d.write_config(rooms=rooms, extra='history: { database = "history.db"; };')
        say("meanwhile", bob)
        for i in range(5 if way.startswith("killed") else 0):
            d.spawn()
            time.sleep(0.02 * i)
            d.kill()
            d.drain_notify()
        d.start()
        equal(d.json("status")["takeover"]["closed"], 0)
        hear()
        after = ["meanwhile"]
        alice.send("line\n")
        bob.expect("alice: half a line\n")
        after.append("half a line")
        del alice.buf[:]
        for i in range(20):
            say("after %d" % i)
        after += said
        hear()
        hermit.send("and mine\n")
        hermit.expect("hermit: and mine\n")
        wait_stored(d, after)
        wait_stored(d, ["and mine"], "den")
        d.kill()
        d.start()
        say("after 20")
        hear()
        wait_stored(d, after + ["after 20"])
        equal(query(d, "SELECT * FROM gaps"), [])
        # And it outlives what the old release did not: a stop.
        for c in (alice, bob, hermit):
            c.close()
        wait_for(lambda: d.json("status")["history"]["waiting"] == 0, what="the end of storing")
        reboot(d, "stop")
        d.start()
        equal([l.split(": ", 1)[1] for l in tail(d)], (after + ["after 20"])[-10:])
        d.finish()


class Browsers:
    """Each way to be here by HTTP, in the middle of something, under an old release."""

    def __init__(self):
        self.d = d = Daemon(store=True, start=False, binary=old_chatd(WITH_WEB))
        d.web_port, self.tls_port = free_port(), free_port()
        cert, key = tls_files(d.dir)
        d.write_config(rooms='{ name = "lobby"; announce_max = 0; history = 0; }', listeners="""
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
          { name = "web"; type = "http"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; },
          { name = "secret"; type = "http"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; tls_certificate = "%s"; tls_key = "%s"; }"""
                       % (d.port, d.web_port, self.tls_port, cert, key))
        d.start()
        self.talker = d.join(nick="talker")
        self.json = [WebSocket(d, "chatd.v1.json", "?nick=json"),
                     WebSocket(d, "chatd.v1.json", "?nick=secret", sock=tls_connect(d, self.tls_port).sock)]
        self.lines = WebSocket(d, query="?nick=lines")
        self.streams = [d.connect(port=d.web_port), tls_connect(d, self.tls_port)]
        for s in self.streams:
            s.send("GET /api/v1/rooms/lobby/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            s.expect("retry: 2000\n\n")
        self.asker = d.connect(port=d.web_port)
        self.asker.send("GET /api/v1/rooms HTTP/1.1\r\nHo")
        self.half = [frame(TEXT, json.dumps({"do": "say", "text": "half by %d" % i})) for i in range(len(self.json))]
        for w, f in zip(self.json, self.half):
            w.send(f[:9])
        self.said = []
        self.say(50)

    def say(self, n):
        for _ in range(n):
            self.said.append("no. %d" % len(self.said))
            self.talker.send(self.said[-1] + "\n")

    def check_all(self):
        """Each of them got each line once and in order, and what they were in the middle of is done."""
        d = self.d
        self.talker.expect("talker: %s\n" % self.said[-1])
        for i, (w, f) in enumerate(zip(self.json, self.half)):
            w.send(f[9:])
            self.talker.expect("half by %d\n" % i)  # or the next one might be first
        self.lines.say("by lines")
        self.talker.expect("lines: by lines\n")
        self.talker.send("the end\n")
        wanted = self.said + ["half by %d" % i for i in range(len(self.json))] + ["by lines", "the end"]
        for w in self.json:
            got = [w.got("message")]
            while got[-1]["text"] != "the end":
                got.append(w.got("message"))
            equal(sorted(m["text"] for m in got), sorted(wanted))
            numbers = [m["number"] for m in got]
            equal((numbers, [m["text"] for m in got if m["nick"] == "talker"]), (sorted(set(numbers)), self.said + ["the end"]))
        heard = ""
        while not heard.endswith("the end\n"):
            heard += self.lines.text().rstrip("\n") + "\n"
        equal(re.findall(r"(?m)^talker: (.*)$", heard), self.said + ["the end"])
        for s in self.streams:
            taken = s.expect(re.compile(rb'"the end"\}\n\n'))
            equal([t.decode() for t in re.findall(rb'"nick":"talker","text":"([^"]*)"', taken)], self.said + ["the end"])
        self.asker.send("st: localhost\r\n\r\n")
        self.asker.expect("HTTP/1.1 200 OK\r\n")
        self.asker.expect('"name":"lobby"')
        equal(d.json("status")["takeover"]["closed"], 0)


@test
def browsers_come_along():
    for way in ("kill", "handover", "killed again and again"):
        old = Browsers()
        d = old.d
        goes(d, way)
        old.say(20)
        for i in range(6 if way.startswith("killed") else 0):
            d.spawn()
            time.sleep(0.03 * i)
            old.say(5)
            d.kill()
            d.drain_notify()
        d.start()
        old.say(20)
        # This release's own state is as good.
        d.kill()
        old.say(20)
        d.start()
        old.say(20)
        old.check_all()
        d.finish()


@test
def a_state_that_an_older_build_has_left_alone_is_old():
    """Back to the old release and forth again: what counts is what was served last."""
    old = Old(3)
    d = old.d
    before = d.binary
    d.binary = CHATD
    d.kill()
    d.start()
    d.kill()
    d.binary = before  # which knows nothing of the new files, and begins anew
    d.start()
    c = d.join(nick="later")
    d.drain_notify()
    check("chatd-clients-5" in d.stored and "chatd-clients" in d.stored, d.stored)
    d.kill()
    d.binary = CHATD
    d.start()
    c.send("here\n")
    c.expect("later: here\n")


main()
