#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
./dev bench [--runs N] [--seconds S] [SHAPE...]: chatd beside its peers, in turn, under the same load.

Prints a table for each shape (median, and from min to max, of the runs) with ratios to chatd, and writes
build/bench/results.json, which docs/PERFORMANCE.md is made of; --plot draws docs/fanout.svg from that.
"""

import argparse
import html
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, "build")
TICK = os.sysconf("SC_CLK_TCK")
options = None
used = set()


def free_port():
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = 10000 + s.getsockname()[1] % 20000
        with socket.socket() as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            try:
                s.bind(("127.0.0.1", port))
                u.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in used:
            used.add(port)
            return port


def cpu(pid):
    """Seconds of user and system time so far."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """Resident bytes, shared memory included."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


class Server:
    """A server process with what it needs, ended by its pid."""

    def __init__(self, name, *command, port=None, protocol=None, config=None, ready_port=None):
        self.name, self.port, self.protocol = name, port, protocol or name
        self.dir = tempfile.mkdtemp(prefix="chatd-bench-")
        if config:
            with open(os.path.join(self.dir, "config"), "w") as f:
                f.write(config.replace("DIR", self.dir))
        self.p = subprocess.Popen([c.replace("DIR", self.dir) for c in command], cwd=self.dir,
                                  stdout=subprocess.DEVNULL, stderr=open(os.path.join(self.dir, "log"), "wb"))
        for _ in range(200):
            with socket.socket() as s:
                if ready_port is None or s.connect_ex(("127.0.0.1", ready_port)) == 0:
                    break
            if self.p.poll() is not None:
                raise SystemExit("%s does not start: %s" % (name, open(os.path.join(self.dir, "log")).read()[-500:]))
            time.sleep(0.05)
        time.sleep(0.2)

    def close(self):
        self.p.terminate()
        try:
            self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def chatd(name="chatd", workers=1, listeners=None, more="", binary=BUILD + "/chatd"):
    port = free_port()
    return Server(name, binary, "-c", "DIR/config", port=port, protocol="chatd", ready_port=port, config="""
workers = %d; drain_timeout = 0.0; log_level = "error"; %s
rooms = ( { name = "lobby"; announce_max = 0; } );
room_defaults: { log_size = "4M"; announce_max = 0; };
limits: { max_clients_per_address = 0; max_rooms = 8000; max_rooms_per_address = 0; commands_per_second = 0; joins_per_minute = 0; };
listeners = ( { name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; } %s );
control: { socket = "DIR/socket"; };""" % (workers, more, port, listeners or ""))


def chatd_one():
    return chatd("chatd, 1 worker", 1)


def chatd_two():
    return chatd("chatd, 2 workers", 2)


def chatd_plain():
    return chatd("chatd, by send()", 1, more="io_uring = false;")


def chatd_mortal():
    return chatd("chatd without survival", 1, binary=BUILD + "/mortal/chatd")


def nats():
    port = free_port()
    return Server("nats-server", "nats-server", "-a", "127.0.0.1", "-p", str(port), port=port, protocol="nats", ready_port=port)


def chatd_web():
    web = free_port()
    s = chatd("chatd, WebSocket", 1, ', { name = "web"; type = "http"; mode = "chat"; listen = "127.0.0.1:%d"; }' % web)
    s.port, s.protocol = web, "chatd-web"
    return s


def nats_web():
    port, web = free_port(), free_port()
    return Server("nats-server, WebSocket", "nats-server", "-c", "DIR/config", port=web, protocol="nats-web", ready_port=web,
                  config='listen: "127.0.0.1:%d"\nwebsocket { listen: "127.0.0.1:%d", no_tls: true }\n' % (port, web))


def redis():
    port = free_port()
    return Server("redis-server", "redis-server", "DIR/config", port=port, protocol="redis", ready_port=port, config="""
port %d
bind 127.0.0.1
save ""
protected-mode no
maxclients 20000
client-output-buffer-limit pubsub 0 0 0
""" % port)


def mosquitto():
    port = free_port()
    return Server("mosquitto", "mosquitto", "-c", "DIR/config", port=port, protocol="mqtt", ready_port=port, config="""
listener %d 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
""" % port)


def ncat():
    port = free_port()
    return Server("ncat --broker", "ncat", "-l", "127.0.0.1", str(port), "--broker", "-m", "12000", port=port, protocol="ncat",
                  ready_port=port)


def inspircd():
    """Without its flood limits, and with one short name for every host, so that messages are equally long."""
    port = free_port()
    return Server("inspircd", "inspircd", "--nofork", "--nolog", "--runasroot", "--config", "DIR/config", port=port,
                  protocol="irc", ready_port=port, config="""
<server name="bench.invalid" description="bench" network="Bench">
<admin name="bench" nick="bench" email="bench@bench.invalid">
<bind address="127.0.0.1" port="%d" type="clients">
<module name="hostchange"><hostchange mask="*" action="set" value="h">
<connect allow="*" timeout="60" pingfreq="1000000" softsendq="1000000000" hardsendq="1000000000" recvq="10000000"
 threshold="100000000" commandrate="1000000000" fakelag="no" localmax="20000" globalmax="20000" maxchans="100" resolvehostnames="no"
 useident="no" limit="20000" maxconnwarn="no">
<performance softlimit="20000" somaxconn="4096" netbuffersize="65534">
<options prefixpart="" hostintopic="yes">
<security userstats="Pu">
""" % port)


def ngircd():
    """Likewise. +F: without penalties."""
    port = free_port()
    return Server("ngircd", "ngircd", "-n", "-f", "DIR/config", port=port, protocol="ngircd", ready_port=port, config="""
[Global]
Name = bench.invalid
Info = bench
Listen = 127.0.0.1
Ports = %d
MotdFile = DIR/none
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 31
MaxPenaltyTime = 0
PingTimeout = 100000
[Options]
CloakHost = h
DefaultUserModes = F
DNS = no
Ident = no
PAM = no
""" % port)


def chatd_irc(name="chatd, IRC", workers=1):
    irc = free_port()
    s = chatd(name, workers, ', { name = "irc"; type = "tcp"; mode = "irc"; listen = "127.0.0.1:%d"; cloak = false; }' % irc)
    s.port, s.protocol = irc, "chatd-irc"
    return s


def bare_tcp():
    port = free_port()
    return Server("limit: bare send() loop", BUILD + "/tests/bench/bare", "tcp", str(port), port=port, protocol="bare")


def bare_echo():
    port = free_port()
    return Server("limit: bare epoll echo", BUILD + "/tests/bench/bare", "echo", str(port), port=port)


def bare_udp():
    port = free_port()
    return Server("limit: bare sendto() loop", BUILD + "/tests/bench/bare", "udp", str(port), port=port)


def chatd_echo():
    echo = free_port()
    s = chatd("chatd", 1, ', { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; }' % echo)
    s.port = echo
    return s


def chatd_udp():
    port = free_port()
    s = chatd("chatd", 1, ', { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }' % port)
    s.port = port
    return s


class Broken(Exception):
    """A peer did not hold out."""


class Load:
    """One run of a load program against a server; cpu is the server's during it."""

    def __init__(self, server, *args, program="load"):
        p = subprocess.Popen([BUILD + "/tests/bench/" + program, *map(str, args)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if p.stdout.readline() != "ready\n":
                raise Broken("%s: %s" % (server.name, p.stderr.read().strip()))
            before = cpu(server.p.pid)
            p.stdin.write("\n")
            p.stdin.flush()
            line = p.stdout.readline()
            self.cpu = cpu(server.p.pid) - before
            self.memory = memory(server.p.pid)
            if not line:
                raise Broken("%s: %s" % (server.name, p.stderr.read().strip()))
            self.result = json.loads(line)
        finally:
            p.kill()
            p.wait()
        self.rate = self.result["deliveries"] / self.result["seconds"]
        self.cost = self.cpu / self.result["deliveries"] * 1e6 if self.result["deliveries"] else float("nan")


results = {}


def spread(values, form):
    m = statistics.median(values)
    return (form + " (" + form + "-" + form + ")") % (m, min(values), max(values))


def shape(title, servers, load, columns, reference=0):
    """Runs each server in turn, several times over, and prints the table. columns: (head, function of a Load, format)."""
    print("\n## " + title)
    runs = {}
    for run in range(options.runs):
        for make in servers:
            s = make()
            try:
                one = load(s)
                runs.setdefault(s.name, []).append(one)
            except Broken as e:
                if s.protocol.startswith("chatd"):
                    raise SystemExit(str(e)) from e
                print("(this run is left out: %s)" % e)
            finally:
                s.close()
    names = list(runs)
    head = ["%-26s" % "server"] + ["%26s  %7s" % (c[0], "ratio") for c in columns]
    print("  ".join(head))
    table = {}
    base = [statistics.median(c[1](l) for l in runs[names[reference]]) for c in columns]
    for name in names:
        row = ["%-26s" % name]
        for c, b in zip(columns, base):
            values = [c[1](l) for l in runs[name]]
            m = statistics.median(values)
            row.append("%26s  %7.2f" % (spread(values, c[2]), m / b if b else float("nan")))
            table.setdefault(name, {})[c[0]] = values
        print("  ".join(row), flush=True)
    results[title] = table
    os.makedirs(BUILD + "/bench", exist_ok=True)
    with open(BUILD + "/bench/results.json", "w") as f:
        json.dump(results, f, indent=1)


RATE = ("M deliveries/s", lambda l: l.rate / 1e6, "%.2f")
COST = ("CPU us/delivery", lambda l: l.cost, "%.3f")
P50 = ("p50 ms", lambda l: l.result["p50"] * 1e3, "%.2f")
P99 = ("p99 ms", lambda l: l.result["p99"] * 1e3, "%.2f")
PEERS = [nats, redis, mosquitto, ncat, inspircd]


def fanout(rooms, publishers, subscribers, size, window, rate=0, slow=0):
    return lambda s: Load(s, "fanout", s.protocol, s.port, rooms, publishers, subscribers, size, window, rate,
                          options.seconds, slow)


def shape_a():
    shape("(a) 1 publisher -> 1000 subscribers, 64 bytes, 1000 in flight", [chatd_one, chatd_two, chatd_plain] + PEERS,
          fanout(1, 1, 1000, 64, 1000), [RATE, COST])


def shape_b():
    shape("(b) 1 -> 1000, one message at a time", [chatd_one, chatd_two, chatd_plain, bare_tcp] + PEERS,
          fanout(1, 1, 1000, 64, 1), [RATE, COST, P50])


def shape_c():
    # ncat uses select(), which ends at 1024 file descriptors.
    peers = [p for p in PEERS if p != ncat]
    shape("(c) 50 -> 1000, 1000 in flight", [chatd_one, chatd_two] + peers, fanout(1, 50, 1000, 64, 1000), [RATE, COST])


def shape_d():
    shape("(d) 100 clients who all talk", [chatd_one, chatd_two, ncat], fanout(1, 100, 0, 64, 1000), [RATE, COST])


def shape_e():
    shape("(e) 1000 rooms of 10", [chatd_one, chatd_two, nats, redis], fanout(1000, 1, 9, 64, 10), [RATE, COST])


def shape_f():
    for n in (10, 100, 1000, 10000):
        shape("(f) 1 -> %d, one message at a time" % n, [chatd_one, bare_tcp, nats, redis], fanout(1, 1, n, 64, 1), [RATE, COST])


def shape_survival():
    """What do the marks that a successor needs cost? The other build leaves them out."""
    for window in (1000, 1):
        shape("survival: 1 -> 1000, %d in flight" % window, [chatd_one, chatd_mortal], fanout(1, 1, 1000, 64, window), [RATE, COST])


def shape_g():
    shape("(g) latency to the last of 1000 at 10 messages/s", [chatd_one, chatd_two] + PEERS,
          lambda s: Load(s, "fanout", s.protocol, s.port, 1, 1, 1000, 64, 1, 10, max(options.seconds, 5), 0), [P50, P99])


def shape_h():
    for n in (1, 1000):
        shape("(h) echo, %d connections" % n, [chatd_echo, bare_echo],
              lambda s: Load(s, "echo", s.port, n, 64, options.seconds), [RATE, COST])


def idle_shape(title, servers, connections=10000):
    def idle(s):
        before = memory(s.p.pid)
        p = subprocess.Popen([BUILD + "/tests/bench/load", "idle", s.protocol, str(s.port), str(connections), "4"], stdout=subprocess.PIPE,
                             stdin=subprocess.PIPE, text=True)
        r = json.loads(p.stdout.readline())
        time.sleep(35)  # chatd gives the pages of idle clients back bit by bit, so that nobody waits for it
        r["kB"] = (memory(s.p.pid) - before) / 1024 / r["deliveries"]
        p.kill()
        p.wait()
        l = type("Idle", (), {})()
        l.result = r
        return l
    shape(title, servers, idle,
          [("kB resident each", lambda l: l.result["kB"], "%.2f"), ("s to connect", lambda l: l.result["seconds"], "%.2f")])


def shape_i():
    idle_shape("(i) 10000 idle connections", [chatd_one, nats, redis, mosquitto])


def shape_web():
    for window in (1000, 1):
        shape("WebSocket: 1 -> 1000, 64 bytes, %d in flight" % window, [chatd_one, chatd_web, nats_web],
              fanout(1, 1, 1000, 64, window), [RATE, COST] + ([P50] if window == 1 else []))
    idle_shape("WebSocket: 10000 idle connections", [chatd_one, chatd_web, nats_web])


def shape_irc():
    """Flood limits are lifted everywhere, or chatd would be compared with waiting."""
    for members in (100, 1000):
        for window in (1000, 1):
            shape("IRC: 1 -> %d in a channel, 64 bytes, %d in flight" % (members, window), [chatd_irc, chatd_one, ngircd, inspircd],
                  fanout(1, 1, members, 64, window), [RATE, COST] + ([P50] if window == 1 else []))
    idle_shape("IRC: 2000 idle members of one channel", [chatd_irc, ngircd, inspircd], 2000)


def shape_j():
    for slow in (0, 1):
        shape("(j) 1 -> 1000, %d of them never read" % slow, [chatd_one], fanout(1, 1, 1000, 64, 1000, 0, slow), [RATE, COST])


def shape_udp():
    for window in (1, 50):
        shape("UDP: 1 -> 1000 registered, 64 bytes, %d in flight" % window, [bare_udp, chatd_udp],
              lambda s: Load(s, "udp", s.port, 1000, 64, window, options.seconds), [RATE, COST])


def shape_zmq():
    def chatd_zmq(mode, **endpoints):
        text = " ".join('%s = "%s";' % e for e in endpoints.items())
        return chatd("chatd", 1, ', { name = "z"; type = "zmq"; mode = "%s"; %s }' % (mode, text))

    for size in (64, 1024):
        for subscribers in (1, 10):
            a, b, c, d = ("tcp://127.0.0.1:%d" % free_port() for _ in range(4))

            def proxy():
                s = Server("limit: zmq_proxy()", BUILD + "/tests/bench/bare", "proxy", a, b)
                s.endpoints = a, b
                return s

            def relay():
                s = chatd_zmq("relay", pull=c, pub=d)
                s.endpoints = c, d
                return s
            shape("ZeroMQ relay, %d bytes, %d subscribers" % (size, subscribers), [proxy, relay],
                  lambda s: Load(s, "relay", *s.endpoints, subscribers, size, 2000, options.seconds, program="zload"), [RATE, COST])
    for size in (64, 1024):
        a, b = ("tcp://127.0.0.1:%d" % free_port() for _ in range(2))

        def router():
            s = Server("limit: bare ROUTER", BUILD + "/tests/bench/bare", "reply", a)
            s.endpoint = a
            return s

        def reply():
            s = chatd_zmq("reply", listen=b)
            s.endpoint = b
            return s
        shape("ZeroMQ reply, %d bytes, 10 clients" % size, [router, reply],
              lambda s: Load(s, "reply", s.endpoint, 10, size, options.seconds, program="zload"), [RATE, COST])


def shape_cluster():
    import cluster
    cluster.run(sys.modules[__name__])


def shape_history():
    import history
    history.run(sys.modules[__name__])


def shape_sizes():
    """Takes a quarter of an hour: only when it is asked for."""
    import sizes
    sizes.run(options.runs)


SHAPES = {name[6:]: f for name, f in globals().items() if name.startswith("shape_")}


def plot():
    """docs/fanout.svg from table (a) of docs/PERFORMANCE.md, so that both say the same."""
    with open(os.path.join(ROOT, "docs/PERFORMANCE.md")) as f:
        table = f.read().split("**(a) ", 1)[1].split("\n\n")[1]
    rows = re.findall(r"^\| ([^|]+?) \| ([\d.]+) \(([\d.]+)-([\d.]+)\) ", table, re.M)
    # A background of its own, so that it can be read wherever it is; a linear scale, so that lengths can be compared.
    left, width, step, top = 140, 480, 28, 62
    bottom = top + step * len(rows)
    most = max(float(r[3]) for r in rows)
    svg = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %d" font-family="sans-serif" font-size="13">' % (bottom + 40),
           '<rect width="760" height="%d" rx="8" fill="#ffffff" stroke="#c8c8c8"/>' % (bottom + 40),
           '<g fill="#202020">', '<text x="20" y="28" font-size="15">1 publisher, 1000 subscribers, 64-byte messages, 1000 in flight</text>',
           '<text x="20" y="47" fill="#505050">million deliveries a second: the median, and from the least to the most</text>']
    for tick in range(0, int(most) + 1, 10):
        x = left + width * tick / most
        svg.append('<path d="M%.1f %d V%d" stroke="#dddddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#505050">%d</text>'
                   % (x, top, bottom, x, bottom + 20, tick))
    for i, (name, median, least, greatest) in enumerate(rows):
        y = top + step * i + step / 2
        at = [left + width * float(v) / most for v in (least, median, greatest)]
        svg.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (left - 8, y + 5, html.escape(name)))
        svg.append('<rect x="%d" y="%.1f" width="%.1f" height="16" fill="%s"/>'
                   % (left, y - 8, at[1] - left, "#33658a" if name.startswith("chatd") else "#9a9a9a"))
        svg.append('<path d="M%.1f %.1f H%.1f" stroke="#000000"/>' % (at[0], y, at[2]))
        svg.append('<text x="%.1f" y="%.1f">%s</text>' % (at[2] + 8, y + 5, median))
    with open(os.path.join(ROOT, "docs/fanout.svg"), "w") as f:
        f.write("\n".join(svg + ["</g>", "</svg>", ""]))
    print("docs/fanout.svg is new")


def main():
    global options
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    p = argparse.ArgumentParser()
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--plot", action="store_true", help="only draw docs/fanout.svg, from docs/PERFORMANCE.md")
    p.add_argument("shapes", nargs="*", metavar="SHAPE", help="of " + " ".join(SHAPES))
    options = p.parse_args()
    if options.plot:
        plot()
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print("%d runs of %g s each; %d CPUs, Linux %s" % (options.runs, options.seconds, os.cpu_count(), os.uname().release))
    print("Median (min-max), and the ratio to the first line. CPU is the server's, user and system.")
    for name in options.shapes or [name for name in SHAPES if name != "sizes"]:
        if name not in SHAPES:
            p.error("there is no shape %s; there are %s" % (name, " ".join(SHAPES)))
        SHAPES[name]()


main()
