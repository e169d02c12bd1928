#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How TCP connections begin and end, in order and otherwise: time limits, vanished peers, what is left to read or to send."""

import contextlib
import fcntl
import os
import random
import re
import signal
import socket
import struct
import subprocess
import termios
import time

from testing import (Client, Daemon, Failure, Namespace, PATIENCE, Skip, WELCOME, check,
                     drain, equal, free_port, logged, main, need, run, test, wait_for)

# A wall clock that is off by what a file says; nothing else of the machine's time is touched.
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_OFFSET");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	offset = p == MAP_FAILED ? NULL : p;
	if (fd >= 0)
		close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	if (r == 0 && clock == CLOCK_REALTIME && offset)
		ts->tv_sec += *offset;
	return r;
}
"""


class WallClock:
    """What chatd takes for the wall clock, and a step of it."""

    def __init__(self, d):
        need("cc")
        self.path = os.path.join(d.dir, "offset")
        source, library = os.path.join(d.dir, "shim.c"), os.path.join(d.dir, "shim.so")
        with open(source, "w") as f:
            f.write(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        self.step(0)
        asan = os.environ.get("ASAN_OPTIONS", "")
        d.env.update(LD_PRELOAD=library, CLOCK_OFFSET=self.path,
                     ASAN_OPTIONS=asan + (":" if asan else "") + "verify_asan_link_order=0")

    def step(self, seconds):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=q", seconds))


# --- time limits ---


@test
def a_step_of_the_wall_clock_sends_nobody_away():
    d = Daemon(store=True, start=False, extra="limits: { first_line_timeout = 3600; login_timeout = 3600; };")
    with open(os.path.join(d.dir, "passwords"), "w"):
        pass
    clock = WallClock(d)
    d.members, udp = free_port(), free_port(socket.SOCK_DGRAM)
    d.write_config(extra="limits: { first_line_timeout = 3600; login_timeout = 3600; };", listeners="""
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "hall"; },
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "members"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }
      """ % (udp, d.port, d.members, os.path.join(d.dir, "passwords")))
    d.start()
    mute, member = d.join(), d.connect(port=d.members)
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.settimeout(PATIENCE)
    device.sendto(b"#REG porch", ("127.0.0.1", udp))
    check(device.recv(100).startswith(b"#OK porch"))
    member.expect("Please log in")
    day = 86400
    for seconds in (day, -day):
        clock.step(seconds)
        time.sleep(2.5)  # each second is looked who is late
        ages = [c["age"] for c in d.json("list", "clients")]
        check(len(ages) == 3 and all(0 <= a < 60 for a in ages), ages)
        check(0 <= d.json("status")["uptime"] < 60)
        clock.step(0)
        d.kill()
        d.start()
    mute.send("here I am\n")
    mute.expect("here I am\n")
    member.send("me too\n")
    member.expect("Please log in first")
    equal(d.metric("clients_mute_closed_total"), 0)


@test
def a_wall_clock_set_back_keeps_nobody():
    d = Daemon(start=False, store=True)
    with open(os.path.join(d.dir, "passwords"), "w"):
        pass
    clock = WallClock(d)
    d.write_config(extra="limits: { login_timeout = 3; };", listeners="""
      { name = "members"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }
      """ % (d.port, os.path.join(d.dir, "passwords")))
    d.start()
    mute = d.connect()
    mute.expect("Please log in")
    clock.step(-86400)
    d.kill()  # the limit goes on where it was
    d.start()
    check(mute.rest().endswith(b"* You have not logged in in time.\n"))


# --- other protocols ---


HELLO = b"\x16\x03\x01\x00\x0alobby\nhello\n"  # enough of it


FOREIGN = [  # each in pieces
    (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",),
    (b"POST /x HTTP/1.1\r\n", b"Content-Length: 9\r\n\r\n", b"said by a web page\n"),
    (b"OPT", b"IONS * HT", b"TP/1.0", b"\n", b"said\n"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
    (b"CONNECT mail:25 HTTP/1.1\r\n/me said so\r\n",),
    (b"GET /" + b"x" * 9000, b"y" * 9000 + b" HTTP/1.1\r\nsaid\r\n"),
    (b"POST / HTTP/1.1\n" + b"said by a web page\n" * 10000,),
    (HELLO,),
    (HELLO[:1], HELLO[1:]),
]


def is_turned_away(c, what):
    text = c.rest()
    if what[0][0] == 0x16:
        check(text.endswith(b"* TLS is not spoken here.\n"), text)
    else:
        check(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n" in text and
              text.endswith(b"\r\n\r\nThis is a chat server, not a web server.\r\n"), text)
    check(b"said" not in text, text)


def nothing_was_said(watcher):
    watcher.send("ping\n")
    heard = watcher.expect("watcher: ping\n")
    for line in heard.splitlines():
        check(line.startswith(b"* guest") or line == b"watcher: ping", heard)


@test
def browsers_are_turned_away():
    """HTTP and TLS, in one piece or in many, also before a login; nothing of them is said."""
    d = Daemon(start=False)
    with open(os.path.join(d.dir, "passwords"), "w"):
        pass
    members = free_port()
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "members"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }
      """ % (d.port, members, os.path.join(d.dir, "passwords")))
    d.start()
    watcher = d.join(nick="watcher")
    for port, greeting in ((d.port, WELCOME), (members, b"* Welcome. Please log in: /login NAME PASSWORD\n")):
        for what in FOREIGN:
            c = d.connect(port=port)
            c.expect(greeting)
            for piece in what:
                try:
                    c.send(piece)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it has gone already
                time.sleep(0.02)
            is_turned_away(c, what)
    nothing_was_said(watcher)
    equal(d.metric("foreign_protocols_closed_total"), 2 * len(FOREIGN))
    logged(d, re.compile(r"^<5>client \d+ from 127.0.0.1 port \d+ is turned away: it speaks HTTP$", re.M))


@test
def people_may_say_what_looks_like_http():
    """A line that is no request; and behind the first line anything."""
    d = Daemon()
    lines = [b"GET up", b"GET / HTTP", b"get / HTTP/1.1", b"see http://x HTTP/1.1", b"POST it, HTTP/1.1 is old", b"GET  HTTP/1.1"]
    for line in lines:
        c = d.join()
        c.send(line + b"\nGET / HTTP/1.1\n\x16\x03\n")
        c.expect(b": " + line + b"\n")
        c.expect(b": GET / HTTP/1.1\n")
        c.expect(": \ufffd\ufffd\n")
        c.send("/quit\n")
        c.rest()
    equal(d.metric("foreign_protocols_closed_total"), 0)
    c = d.connect()
    c.send(b"GET /x")  # an unfinished line, by printf | nc
    c.sock.shutdown(socket.SHUT_WR)
    check(c.rest().endswith(b": GET /x\n"))


@test
def a_crash_within_a_request():
    d = Daemon(store=True)
    watcher = d.join(nick="watcher")
    for what in FOREIGN[1], FOREIGN[2], FOREIGN[8]:
        c = d.join()
        whole = b"".join(what)
        half = whole[:len(what[0]) // 2 + 1]
        c.send(half)
        wait_for(lambda: len(half) in [x["received"] for x in d.json("list", "clients")], what="the first half")
        d.kill()
        d.start()
        c.send(whole[len(half):])
        is_turned_away(c, what)
    nothing_was_said(watcher)


# --- peers that vanish ---


@test
def who_vanished_is_noticed():
    net = Namespace()
    try:
        d = Daemon(netns=net.names[0], extra="limits: { keepalive = 1; user_timeout = 2; };")
        s = net.socket(1, socket.AF_INET)
        s.settimeout(PATIENCE)
        s.connect(("10.77.0.1", d.port))
        gone = Client(s)
        d.clients.append(gone)
        gone.expect(WELCOME)
        gone.send("/nick alice\n")
        gone.expect("alice")
        # From here on chatd hears nothing from there, not even a reset.
        equal(run("ip", "-n", net.names[1], "route", "replace", "blackhole", "10.77.0.1/32").returncode, 0)
        s.close()
        wait_for(lambda: d.json("status")["clients"] == 0, what="the end of who is gone")
        logged(d, "alice left lobby")
    finally:
        net.close()


@test
def so_are_those_of_zeromq():
    need("ss")
    port = free_port()
    d = Daemon(start=False)
    d.write_config(listeners="""
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; }
      """ % (port, free_port()))
    d.start()

    def kept():
        c = d.connect(port=port)
        time.sleep(0.3)  # its first bytes are under way until then, which have a timer of their own
        out = run("ss", "-tnoH", "src", "127.0.0.1:%d" % port).stdout.decode()
        c.close()
        return re.search(r"timer:\(keepalive,(59|60|1min)", out)
    wait_for(kept, what="the timer")


@test
def connections_are_watched_over_by_default():
    """A new one, one behind a restart; and none where it is turned off."""
    need("ss")
    d = Daemon(store=True)
    a = d.join(nick="alice")

    def kept(connections):
        """The time to the next probe of each connection that has one, once nothing is under way."""
        out = run("ss", "-tnoH", "src", "127.0.0.1:%d" % d.port, "or", "src", "[::ffff:127.0.0.1]:%d" % d.port)
        lines = out.stdout.decode().splitlines()
        if len(lines) != connections or any("timer:(on" in l for l in lines):
            return None
        return re.findall(r"timer:\(keepalive,([^,]+),", out.stdout.decode())

    wait_for(lambda: len(kept(1) or "") == 1, what="the timer")
    d.kill()
    d.start()
    a.send("hello\n")
    a.expect("alice: hello\n")
    left = wait_for(lambda: kept(1), what="the timer")[0]
    check(left == "1min" or left.endswith("sec"), left)
    d.write_config(extra="limits: { keepalive = 0; user_timeout = 0; };")
    equal(d.ctl("reload")[0], 0)
    d.join(nick="bob")
    equal(len(wait_for(lambda: kept(2), what="both")), 1)


@test
def who_reads_slowly_is_there():
    """And stays, however narrow its window is all the time; who takes nothing at all goes."""
    d = Daemon(extra="limits: { user_timeout = 2; max_clients_per_address = 0; };")
    rng, began = random.Random(5), time.monotonic()
    deaf = d.connect(port=d.echo_port, rcvbuf=4096)
    readers = [d.connect(port=d.echo_port, rcvbuf=4096) for _ in range(4)]
    sent, got, until = [b""] * 4, [b""] * 4, [0.0] * 4
    for c in readers + [deaf]:
        c.sock.setblocking(False)
    while time.monotonic() < began + 9:
        for i, c in enumerate(readers):
            with contextlib.suppress(BlockingIOError):
                more = rng.randbytes(rng.choice((60, 1000, 16384, 40000)))
                sent[i] += more[:c.sock.send(more)]
            if time.monotonic() > until[i]:
                until[i] = time.monotonic() + (rng.random() * 0.5 if rng.random() < 0.1 else 0)
                with contextlib.suppress(BlockingIOError):
                    data = c.sock.recv(rng.choice((500, 1000, 65536)))
                    check(data, "reader", i, "was closed after", time.monotonic() - began, "s")
                    got[i] += data
        with contextlib.suppress(BlockingIOError, ConnectionError):
            deaf.sock.send(rng.randbytes(16384))
        time.sleep(0.002)
    for s, g in zip(sent, got):
        check(len(g) > 10000 and s.startswith(g), len(s), len(g))
    equal(len(d.json("list", "clients")), 4)
    logged(d, "is given up: it takes nothing of what it was sent", 1)
    equal(d.metric("clients_unread_closed_total"), 1)


# --- what is left to read ---


def fill(d, c, at_least=65536):
    """Sends to an echo, without reading, until so much waits in chatd beyond what the kernel takes; returns what was sent."""
    sent = b""
    while True:
        chunk = os.urandom(32768)
        c.send(chunk)
        sent += chunk
        state = {}

        def taken():
            state.update(next((x for x in d.json("list", "clients") if x["mode"] == "echo"), {}))
            return state.get("received") == len(sent)  # it may not even be accepted yet
        wait_for(taken, what="chatd to take what was sent")
        if state["behind"] >= at_least:
            return sent


@test
def who_pauses_reading_at_the_end_gets_all_of_it():
    d = Daemon()
    c = d.connect(port=d.echo_port, rcvbuf=65536)
    sent = fill(d, c)
    c.sock.shutdown(socket.SHUT_WR)
    time.sleep(12)
    got = c.rest()
    check(got == sent, "it got", len(got), "of", len(sent), "bytes:", got[-60:])
    wait_for(lambda: d.json("status")["clients"] == 0)


@test
def who_never_reads_the_end_is_reset():
    """Not ended in order, which would say that nothing is missing; as long as something moves it may take its time."""
    d = Daemon(extra="limits: { flush_timeout = 4; };")
    c = d.connect(port=d.echo_port, rcvbuf=4096)
    sent, got = fill(d, c, 131072), b""
    c.sock.shutdown(socket.SHUT_WR)
    for _ in range(5):  # 5 s, but never 4 s without a byte
        time.sleep(1)
        while len(got) < len(sent) - 131072:
            got += c.sock.recv(16384)
            if len(got) % 3 == 0:
                break
    equal(d.json("status")["clients"], 1)
    wait_for(lambda: d.json("status")["clients"] == 0, what="its end")
    try:
        c.rest()
        raise Failure("it was ended in order")
    except ConnectionResetError:
        pass
    equal(d.metric("clients_unread_closed_total"), 1)
    logged(d, "does not read what is left for it")


@test
def who_is_kicked_may_read_what_was_left():
    d = Daemon()
    c = d.connect(port=d.echo_port, rcvbuf=65536)
    sent = fill(d, c)
    equal(d.ctl("kick", str(d.json("list", "clients")[0]["id"]))[0], 0)
    time.sleep(2.5)  # each second is looked whose time is up
    got = c.rest()
    check(got == sent + b"* You have been removed.\n", "it got", len(got), "of", len(sent), "bytes:", got[-60:])


@test
def an_end_waits_for_the_goodbye():
    """What comes from a client after its /quit doesn't reset what was still on its way to it."""
    d = Daemon()
    a, b = d.join(nick="a"), d.join(nick="b")
    a.expect("is now b\n")
    a.send("bye\n/quit\n")
    b.expect("* a left lobby\n")
    for _ in range(20):
        a.send("x" * 1000 + "\n")  # would be answered by a reset, if the socket was gone
        time.sleep(0.01)
    equal(a.rest(), b"a: bye\n")
    wait_for(lambda: d.json("status")["clients"] == 1)


# --- what is left to be said ---


def reset(c):
    """Ends a connection at once, with a reset."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def said(reader, nick):
    """Its lines, until it leaves."""
    return re.findall(rb"^%b: (.*)$" % nick, reader.expect(b"* %b left lobby\n" % nick), re.M)


LINES = [b"%03d" % i for i in range(100)]


def slowed_down(d, more=b""):
    """A reader, and a sender of 100 lines, of which most wait in chatd since it may send fewer."""
    d.write_config(extra="limits: { lines_per_second = 30; };")
    d.start()
    b, a = d.join(nick="b"), d.join(nick="a")
    b.expect("is now a\n")
    a.send(b"\n".join(LINES) + b"\n" + more)
    a.expect("Not so fast")
    return a, b


@test
def what_is_left_by_who_has_gone_takes_no_longer_than_flush_timeout():
    d = Daemon(extra="limits: { lines_per_second = 1; flush_timeout = 2; };")
    a, b = d.join(nick="alice"), d.join()
    time.sleep(1.1)  # a nick costs a line, too
    a.send("x\n" * 1000)
    a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    wait_for(lambda: d.json("status")["clients"] == 1)
    b.send("/nick alice\n")
    b.expect("is now alice\n")


@test
def a_reset_of_a_slowed_down_sender_loses_nothing():
    d = Daemon(start=False)
    a, b = slowed_down(d, b"unfinished")
    reset(a)
    equal(said(b, b"a"), LINES)
    wait_for(lambda: re.search("client 2 from .* closed: Connection reset by peer", d.log()), what="the log")


@test
def an_end_of_a_slowed_down_sender_loses_nothing():
    """It has ended in order, so that also the unfinished line counts; that it hears nothing any more doesn't matter."""
    d = Daemon(start=False)
    a, b = slowed_down(d, b"unfinished")
    a.sock.shutdown(socket.SHUT_WR)
    a.close()  # what it was sent it has not read
    equal(said(b, b"a"), LINES + [b"unfinished"])


@test
def a_reset_behind_more_than_can_be_read_at_once():
    """Whatever had arrived before the reset counts, to the last whole line."""
    d = Daemon(rooms='{ name = "lobby"; log_size = "16M"; history = 0; announce_max = 2; }')
    b, a = d.join(nick="b"), d.join(nick="a")
    b.expect("is now a\n")
    drain(a)
    line = b"x" * 99 + b"\n"
    for _ in range(30):  # until the kernel takes much at once
        a.send(line * 1000)
        b.expect_messages(1000)
    d.signal(signal.SIGSTOP)
    try:
        a.sock.setblocking(False)
        sent, left = 0, line * 5000
        try:
            while sent < len(left):
                sent += a.sock.send(left[sent:])
        except BlockingIOError:
            pass
        under_way = []

        def settled():
            under_way.append(struct.unpack("i", fcntl.ioctl(a.sock, termios.TIOCOUTQ, b"\0" * 4))[0])
            return len(under_way) > 10 and len(set(under_way[-10:])) == 1
        wait_for(settled, what="an end of the acknowledgements")
        arrived = sent - under_way[-1]
        check(arrived > 65536, "only", arrived, "bytes arrived")  # which is one look's worth
        a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(a.sock.detach())
    finally:
        d.signal(signal.SIGCONT)
    got = len(said(b, b"a"))
    check(got >= arrived // len(line), got, "lines of", arrived // len(line))


@test
def a_crash_after_a_reset_loses_nothing():
    d = Daemon(store=True, start=False)
    a, b = slowed_down(d)
    reset(a)
    wait_for(lambda: "closed" not in d.log() and b.receive() and b"020" in b.buf)
    for _ in range(3):
        d.kill()
        d.start()
    equal(said(b, b"a"), LINES)


@test
def a_reset_while_chatd_is_away_loses_nothing():
    for in_order in (False, True):
        d = Daemon(store=True, start=False)
        a, b = slowed_down(d, b"unfinished")
        d.kill()
        if in_order:
            a.sock.shutdown(socket.SHUT_WR)
        reset(a)
        d.start()
        equal(said(b, b"a"), LINES + [b"unfinished"] * in_order)


main()
