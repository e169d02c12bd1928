#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What TLS costs: CPU of a delivery to a room's members, and memory of those who are idle, beside plain TCP and TLS by
OpenSSL's SSL_write (tls_survives = false), in one run: BUILD_DIR=build python3 tests/bench/tls.py [MEMBERS [LINES [ROUNDS]]].
A line of 64 bytes is said when all have got the one before; members take bytes from their sockets without opening them.
"""

import os
import select
import socket
import ssl
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from testing import *

MEMBERS, LINES, ROUNDS = (int(a) for a in (sys.argv[1:] + ["1000", "150", "7"][len(sys.argv) - 1:]))
KINDS = {"plain": "", "survives": "tls_survives = true;", "SSL_write": "tls_survives = false;"}


def started():
    d = Daemon(start=False, workers=1, store=True)
    d.log_level = "info"
    cert, key = tls_files(d.dir)
    d.ports = {kind: free_port() for kind in KINDS}
    tls = 'tls_certificate = "%s"; tls_key = "%s"; ' % (cert, key)
    d.write_config(
        rooms=", ".join('{ name = "%s"; announce_max = 0; history = 0; }' % k for k in KINDS),
        listeners=", ".join('{ name = "%s"; type = "tcp"; mode = "chat"; room = "%s"; listen = "127.0.0.1:%d"; %s }' % (
            k, k, d.ports[k], tls + more if more else "") for k, more in KINDS.items()),
        extra="limits: { max_clients_per_address = 0; lines_per_second = 0; bytes_per_second = 0; };")
    d.start()
    return d


def memory(d):
    """Bytes of the process and of its state, hidden memory included."""
    with open("/proc/%d/status" % d.pid) as f:
        return sum(int(x) for x in re.findall(r"^Rss\w+:\s+(\d+)", f.read(), re.M)) * 1024


def worker_seconds(d):
    for t in os.listdir("/proc/%d/task" % d.pid):
        with open("/proc/%d/task/%s/comm" % (d.pid, t)) as f:
            if f.read().strip() == "chatd/0":
                with open("/proc/%d/task/%s/schedstat" % (d.pid, t)) as g:
                    return int(g.read().split()[0]) / 1e9
    raise Failure("there is no worker")


class Member:
    def __init__(self, d, kind):
        s = socket.create_connection(("127.0.0.1", d.ports[kind]))
        if KINDS[kind]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.tls = context.wrap_socket(s)
            s = socket.socket(fileno=os.dup(self.tls.fileno()))
        self.sock = s
        s.setblocking(False)


def arrive(epoll, n, timeout=5):
    """Until so many have got something."""
    seen, until = set(), time.monotonic() + timeout
    while len(seen) < n and time.monotonic() < until:
        for fd, _ in epoll.poll(0.05):
            try:
                os.read(fd, 65536)
                seen.add(fd)
            except BlockingIOError:
                pass


d = started()
members, epolls, speakers, took = {}, {}, {}, {k: [] for k in KINDS}
for kind in KINDS:
    first = Member(d, kind)  # what everybody shares
    time.sleep(2)
    before = memory(d)
    members[kind] = [Member(d, kind) for _ in range(MEMBERS)]
    time.sleep(2.5 + MEMBERS / 500)  # pages that have no use are given back
    print("%-10s %6d bytes for an idle member" % (kind, (memory(d) - before) / MEMBERS), flush=True)
    epolls[kind] = select.epoll()
    for m in members[kind]:
        epolls[kind].register(m.sock.fileno(), select.EPOLLIN)
    first.sock.close()
for kind in KINDS:
    c = speakers[kind] = d.connect(port=d.ports["plain"])
    c.expect(WELCOME)
    c.send("/join %s\n" % kind)
    c.expect("You are in %s" % kind)
for _ in range(ROUNDS):
    for kind in KINDS:
        arrive(epolls[kind], MEMBERS + 1, 0.5)
        began = worker_seconds(d)
        for i in range(LINES):
            speakers[kind].send(b"x" * 63 + b"\n")
            arrive(epolls[kind], MEMBERS)
            speakers[kind].expect("x\n")
        took[kind].append((worker_seconds(d) - began) / (LINES * MEMBERS) * 1e6)
for kind in KINDS:
    print("%-10s %.2f us CPU a delivery (%.2f-%.2f), %.2f of plain" % (
        kind, statistics.median(took[kind]), min(took[kind]), max(took[kind]),
        statistics.median(t / p for t, p in zip(took[kind], took["plain"]))))
d.clean_up()
