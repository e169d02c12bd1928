# SPDX-License-Identifier: MIT
"""A real nats-server with JetStream for tests of rooms across machines, one or a cluster of them, and a raw client of its
text protocol, which says what no chatd would."""

import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from testing import PATIENCE, Daemon, Failure, check, equal, free_port, need, read_log, wait_for, wait_stopped

STREAM = "CHATD"
os.environ["PATH"] += ":/usr/sbin"  # where Debian has it, and people don't look


class NatsServer:
    """On ports of its own, with its store in its own directory. more: lines of its configuration. It is among
    Daemon.running, behind the daemons that need it to end."""

    last = True

    def __init__(self, name="n1", routes=(), route_port=None, host="127.0.0.1", port=None, netns=None, more="", start=True,
                 tls=None):
        need("nats-server")
        self.name, self.host, self.netns, self.tls = name, host, netns, tls
        self.port = port or free_port()
        self.route_port, self.routes, self.more = route_port, routes, more
        self.dir = tempfile.mkdtemp(prefix="chatd-nats-")
        self.store = os.path.join(self.dir, "js")
        self.log_path = os.path.join(self.dir, "log")
        self.p = None
        self.paused = False
        Daemon.running.append(self)
        if start:
            self.start()

    @property
    def url(self):
        return "%s://%s:%d" % ("tls" if self.tls else "nats", self.host, self.port)

    def write_config(self):
        text = 'server_name: "%s"\nlisten: "%s:%d"\njetstream { store_dir: "%s", max_file: 4G }\n' % (
            self.name, self.host, self.port, self.store)
        if self.route_port:
            text += 'cluster { name: "test", listen: "%s:%d", routes: [ %s ] }\n' % (
                self.host, self.route_port, ", ".join('"%s"' % r for r in self.routes))
        if self.tls:
            text += 'tls { cert_file: "%s", key_file: "%s" }\n' % self.tls
        path = os.path.join(self.dir, "conf")
        with open(path, "w") as f:
            f.write(text + self.more)
        return path

    def spawn(self):
        path = self.write_config()
        command = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command += ["nsenter", "--net=/run/netns/" + self.netns] if self.netns else []
        with open(self.log_path, "ab") as log:
            self.p = subprocess.Popen(command + ["nats-server", "-c", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.paused = False

    def listening(self):
        check(self.p.poll() is None, "nats-server has ended:", self.log()[-2000:])
        return "Server is ready" in self.log()[self.began:]

    def start(self):
        self.began = len(self.log())
        self.spawn()
        wait_for(self.listening, what="nats-server")
        return self

    def alive(self):
        return self.p is not None and self.p.poll() is None

    def kill(self):
        if self.alive():
            self.p.kill()
            self.p.wait()

    def restart(self):
        self.kill()
        self.start()

    def pause(self):
        self.p.send_signal(signal.SIGSTOP)
        wait_stopped(self.p.pid)
        self.paused = True

    def go_on(self):
        self.p.send_signal(signal.SIGCONT)
        self.paused = False

    # --- its store, while it is stopped ---

    def wipe(self):
        check(not self.alive())
        shutil.rmtree(self.store, ignore_errors=True)

    def save(self):
        check(not self.alive())
        shutil.rmtree(self.store + ".saved", ignore_errors=True)
        shutil.copytree(self.store, self.store + ".saved")

    def roll_back(self):
        """To what it was when it was saved."""
        self.wipe()
        shutil.copytree(self.store + ".saved", self.store)

    # --- as testing.py's main() wants it of a daemon ---

    def log(self):
        return read_log(self.log_path)

    def last_words(self):
        return self.log()[-1500:]

    def finish(self):
        self.clean_up()

    def clean_up(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
        Daemon.running.remove(self)


def nats_cluster(n=3, hosts=None, netns=None, start=True):
    """So many servers with routes to each other: streams of them have replicas."""
    hosts, netns = hosts or ["127.0.0.1"] * n, netns or [None] * n
    ports = [free_port() for _ in range(n)]
    routes = ["nats://%s:%d" % (h, p) for h, p in zip(hosts, ports)]
    servers = [NatsServer("n%d" % (i + 1), routes, ports[i], host=hosts[i], netns=netns[i], start=False) for i in range(n)]
    if start:
        for s in servers:
            s.began = len(s.log())
            s.spawn()
        for s in servers:
            wait_for(s.listening, what="nats-server")
        if not any(netns):
            wait_for(lambda: has_leader(servers[0]), what="JetStream's leader")
    return servers


def has_leader(server):
    try:
        with Raw(server) as r:
            return "error" not in r.api("INFO", timeout=2)
    except (OSError, Failure, ValueError):
        return False


class Raw:
    """A client of the text protocol."""

    inboxes = itertools.count()

    def __init__(self, server, options=None, sock=None):
        self.sock = sock or socket.create_connection((server.host, server.port), PATIENCE)
        self.buf = b""
        self.info = json.loads(self.line()[len(b"INFO "):])
        if server.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.inbox = "_TEST.%d.%d" % (os.getpid(), next(self.inboxes))
        self.messages = []  # (subject, reply, data)
        self.put("CONNECT %s\r\nSUB %s.> 1\r\n" % (json.dumps(dict({"verbose": False, "pedantic": False, "headers": True},
                                                                      **(options or {}))), self.inbox))
        self.ping()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def put(self, text):
        self.sock.sendall(text.encode() if isinstance(text, str) else text)

    def receive(self):
        data = self.sock.recv(1 << 16)
        check(data, "nats-server has closed the connection:", self.buf)
        self.buf += data

    def line(self):
        while b"\r\n" not in self.buf:
            self.receive()
        line, _, self.buf = self.buf.partition(b"\r\n")
        return line

    def step(self):
        """One thing that came; messages are put into self.messages. Returns its first word."""
        words = self.line().split()
        if words[0] in (b"MSG", b"HMSG"):
            size, head = int(words[-1]), int(words[-2]) if words[0] == b"HMSG" else 0
            reply = words[3] if len(words) == 5 + (words[0] == b"HMSG") else b""
            while len(self.buf) < size + 2:
                self.receive()
            self.messages.append((words[1].decode(), reply.decode(), self.buf[head:size]))
            self.buf = self.buf[size + 2:]
        elif words[0] == b"PING":
            self.put("PONG\r\n")
        elif words[0] == b"-ERR":
            raise Failure(b" ".join(words).decode())
        return words[0]

    def ping(self):
        """All that was said before has been taken."""
        self.put("PING\r\n")
        while self.step() != b"PONG":
            pass

    def subscribe(self, subject):
        self.put("SUB %s 2\r\n" % subject)
        self.ping()

    def publish(self, subject, data, reply=""):
        self.put(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(data), data))

    def next(self, subject, timeout=PATIENCE):
        """The next message of that subject; others are dropped."""
        until = time.monotonic() + timeout
        while True:
            while self.messages:
                message = self.messages.pop(0)
                if message[0] == subject:
                    return message[2]
            self.sock.settimeout(max(0.01, until - time.monotonic()))
            try:
                self.step()
            except socket.timeout:
                raise Failure("nothing came for " + subject) from None

    def request(self, subject, data=b"", timeout=PATIENCE):
        reply = "%s.%d" % (self.inbox, next(self.inboxes))
        self.publish(subject, data, reply)
        return self.next(reply, timeout)

    # --- JetStream ---

    def api(self, what, request=None, timeout=PATIENCE):
        return json.loads(self.request("$JS.API." + what, json.dumps(request).encode() if request else b"", timeout))

    def stream(self, name=STREAM):
        return self.api("STREAM.INFO." + name)

    def last_seq(self):
        return self.stream()["state"]["last_seq"]

    def delete_stream(self, name=STREAM):
        equal(self.api("STREAM.DELETE." + name).get("success"), True)

    def purge(self, keep=0, name=STREAM):
        equal(self.api("STREAM.PURGE." + name, {"keep": keep} if keep else None).get("success"), True)

    def store(self, subject, data):
        """Into the stream; returns its number there."""
        answer = json.loads(self.request(subject, data))
        check("seq" in answer, answer)
        return answer["seq"]
