# SPDX-License-Identifier: MIT
"""
What grows with the number of clients, for ./dev bench sizes: connecting, a takeover after kill -9, memory of chatd and of the
kernel, with as many connections as one process may have here, with UDP members beyond, and with chatd's own code on entries
without sockets (tests/bench/table.c). Writes build/bench/sizes.json and docs/scaling.svg; docs/SCALING.md has the table.
"""

import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, "build")
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
CONNECTIONS = (1000, 5000, 10000, 19000)
# A kernel that counts connections (nf_conntrack) has space for 262,144 by default, and forgets slowly.
MEMBERS = (1000, 10000, 100000)
ENTRIES = (1000, 10000, 100000, 1000000)
ROOMS = '{ name = "lobby"; announce_max = 0; history = 0; }'
LIMITS = "limits: { max_clients = 2000000; max_clients_per_address = 0; joins_per_minute = 0; };"


def kernel_memory():
    """What the kernel has for itself: slabs, and what sockets have outside of them."""
    with open("/proc/meminfo") as f:
        return sum(int(n) * 1024 for n in re.findall(r"^(?:Slab|KernelStack|PageTables):\s+(\d+)", f.read(), re.M))


def resident(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


class Crowd:
    def __init__(self, kind, port, n):
        self.p = subprocess.Popen([BUILD + "/tests/bench/crowd", kind, str(port), str(n)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        line = self.p.stdout.readline()
        if not line:
            raise SystemExit("the crowd of %d (%s) did not get in" % (n, kind))
        self.result = json.loads(line)

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def settle(d, settled):
    """Until memory doesn't shrink any more: pages that nobody needs are given back bit by bit."""
    last = resident(d.pid)
    for _ in range(30):
        time.sleep(3)
        now = resident(d.pid)
        if settled or last - now < 100000:
            return now
        last = now
    return last


def measure(kind, n, runs):
    """Clients come, are idle, and are taken over again and again."""
    import testing
    testing.Daemon.log_level = "error"
    listeners = None
    port = testing.free_port(testing.socket.SOCK_DGRAM)
    if kind == "udp":
        listeners = ('{ name = "udp"; type = "udp"; mode = "registry"; listen = "0.0.0.0:%d"; room = "lobby"; lease = 86400; }' % port)
    d = testing.Daemon(start=False, store=True, workers=2, rooms=ROOMS, listeners=listeners, extra=LIMITS)
    try:
        d.start()
        before, kernel = resident(d.pid), kernel_memory()
        crowd = Crowd(kind, port if kind == "udp" else d.port, n)
        at_first = resident(d.pid)
        row = {"clients": n, "connect": crowd.result["seconds"], "kB_at_first": (at_first - before) / n / 1024,
               "kB": (settle(d, kind == "udp") - before) / n / 1024, "uncovered": d.metric("clients_uncovered_total")}
        # Both ends are on this machine.
        row["kernel_kB"] = (kernel_memory() - kernel) / n / 1024 / (1 if kind == "udp" else 2)
        row["takeover"], row["ready"] = [], []
        for _ in range(runs):
            d.kill()
            began = time.monotonic()
            d.start(120)
            row["ready"].append(time.monotonic() - began)
            status = d.json("status")
            if (status["clients"], status["takeover"]["closed"]) != (n, 0):
                raise SystemExit("of %d clients %d are left" % (n, status["clients"]))
            row["takeover"].append(status["takeover"]["gap"])
            time.sleep(1.5)
        crowd.close()
        return row
    finally:
        d.clean_up()


def table(n):
    p = subprocess.run([BUILD + "/tests/bench/table", str(n)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(p.stdout)


def run(runs):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    result = {"tcp": [], "udp": [], "table": []}
    for kind, sizes in (("tcp", CONNECTIONS), ("udp", MEMBERS)):
        print("\n## %s\n%9s  %22s  %22s  %9s  %12s  %9s  %10s" % (
            {"tcp": "TCP connections", "udp": "UDP members"}[kind], "clients", "takeover s", "ready again s", "connect s",
            "kB at first", "kB idle", "kernel kB"), flush=True)
        for n in sizes:
            if kind == "tcp" and n > limit - 900:
                continue
            row = measure(kind, n, runs)
            result[kind].append(row)

            def spread(values):
                return "%.3f (%.3f-%.3f)" % (statistics.median(values), min(values), max(values))
            print("%9d  %22s  %22s  %9.2f  %12.2f  %9.2f  %10.2f" % (
                n, spread(row["takeover"]), spread(row["ready"]), row["connect"], row["kB_at_first"], row["kB"], row["kernel_kB"]),
                  flush=True)
    print("\n## chatd's own part, without the kernel's\n%9s  %12s  %12s  %14s  %10s  %9s" % (
        "clients", "connect us", "takeover us", "in user mode", "turn ms", "kB idle"))
    for n in ENTRIES:
        row = table(n)
        result["table"].append(row)
        print("%9d  %12.2f  %12.2f  %14.2f  %10.2f  %9.2f" % (
            n, row["connect_us"], row["takeover_us"], row["takeover_user_us"], row["turn_ms"], row["kB"]), flush=True)
    os.makedirs(BUILD + "/bench", exist_ok=True)
    with open(BUILD + "/bench/sizes.json", "w") as f:
        json.dump(result, f, indent=1)
    plot(result)


def plot(result):
    """Takeover over clients, both logarithmic; a dashed line goes on from the largest measured one, at its price each."""
    left, top, width, height = 70, 60, 560, 300

    def at(n, seconds):
        x = left + width * (math.log10(n) - 3) / 3
        y = top + height * (1 - (math.log10(max(seconds, 0.001)) + 3) / 4)
        return "%.1f %.1f" % (x, y)
    svg = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 420" font-family="sans-serif" font-size="13">',
           '<rect width="760" height="420" rx="8" fill="#ffffff" stroke="#c8c8c8"/>', '<g fill="#202020">',
           '<text x="20" y="28" font-size="15">Takeover after kill -9: seconds, over the number of clients</text>']
    for exponent in range(3, 7):
        x = at(10 ** exponent, 1).split()[0]
        svg.append('<path d="M%s %d V%d" stroke="#dddddd"/><text x="%s" y="%d" text-anchor="middle" fill="#505050">%s</text>'
                   % (x, top, top + height, x, top + height + 20, "{:,}".format(10 ** exponent)))
    for exponent in range(-3, 2):
        y = at(1000, 10.0 ** exponent).split()[1]
        svg.append('<path d="M%d %s H%d" stroke="#dddddd"/><text x="%d" y="%s" text-anchor="end" fill="#505050">%g s</text>'
                   % (left, y, left + width, left - 8, y, 10.0 ** exponent))
    lines = (("TCP connections", "#33658a", [(r["clients"], statistics.median(r["takeover"])) for r in result["tcp"]]),
             ("UDP members", "#b0532b", [(r["clients"], statistics.median(r["ready"])) for r in result["udp"]]),
             ("chatd's own part", "#606060", [(r["clients"], r["takeover_us"] * r["clients"] / 1e6) for r in result["table"]]))
    for number, (name, colour, points) in enumerate(lines):
        svg.append('<path d="M%s" fill="none" stroke="%s" stroke-width="2"/>' % (" L".join(at(*p) for p in points), colour))
        last = points[-1]
        if last[0] < 1000000:
            svg.append('<path d="M%s L%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="6 5"/>'
                       % (at(*last), at(1000000, last[1] / last[0] * 1000000), colour))
        svg.append('<text x="%d" y="%d" fill="%s">%s</text>' % (left + 20 + 180 * number, top + height + 44, colour, name))
    with open(os.path.join(ROOT, "docs/scaling.svg"), "w") as f:
        f.write("\n".join(svg + ["</g>", "</svg>", ""]))
    print("docs/scaling.svg is new")
