#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How TCP connections begin and end, in order and otherwise: time limits, vanished peers, what is left to read or to send."""

import os
import re
import socket
import struct
import subprocess
import time

from testing import (Client, Daemon, Namespace, Skip, WELCOME, check, equal, free_port, main, need, run, test, wait_for)

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
    d.members = free_port()
    d.write_config(extra="limits: { first_line_timeout = 3600; login_timeout = 3600; };", listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "members"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }
      """ % (d.port, d.members, os.path.join(d.dir, "passwords")))
    d.start()
    mute, member = d.join(), d.connect(port=d.members)
    member.expect("Please log in")
    day = 86400
    for seconds in (day, -day):
        clock.step(seconds)
        time.sleep(2.5)  # each second is looked who is late
        ages = [c["age"] for c in d.json("list", "clients")]
        check(len(ages) == 2 and all(0 <= a < 60 for a in ages), ages)
        check(0 <= d.json("status")["uptime"] < 60)
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


# --- peers that vanish ---


@test
def who_vanished_is_noticed():
    net = Namespace()
    try:
        d = Daemon(netns=net.names[0], extra="limits: { keepalive = 1; user_timeout = 2; };")
        s = net.socket(1, socket.AF_INET)
        s.settimeout(20)
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
        check("alice left lobby" in d.log())
    finally:
        net.close()


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


main()
