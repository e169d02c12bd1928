#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
TLS through hundreds of deaths of chatd. Clients check every byte (Python's ssl with each suite, openssl s_client and
gnutls-cli with new keys), while chatd is killed at fault points and at random instants, and restarted. In builds with fault
points what left the machine is audited as well. For long runs: CHATD_TLS_KILLS=1000 (the audit takes 3 MB
for each) CHATD_TLS_SEED=7, and CHATD_TLS_OTHER=PATH of another chatd, with which every other process is started, as an
upgrade does it.
"""

import collections
import random
import signal
import socket
import ssl
import struct

from testing import *

KILLS = int(os.environ.get("CHATD_TLS_KILLS", int(250 * SCALE)))
SEED = int(os.environ.get("CHATD_TLS_SEED", os.getpid()))
OTHER = os.environ.get("CHATD_TLS_OTHER")
# TLS 1.3's suite is that of OpenSSL's configuration, so each has a program of its own, and TLS 1.2's with the same AEAD.
SUITES = {"TLS_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
          "TLS_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
          "TLS_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305"}
# Where they die: in TLS, and in what is done for connections before and behind it.
FAULTS = ("tls-", "receive", "commit-", "recover-", "accept", "send-")
AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


QUIET = 60  # seconds in which nothing more comes: then what lacks will not come

# --- clients: `tls_survive.py --clients SUITE ECHO_PORT CHAT_PORT SEED`, told what to do by lines ---


def context(suite, new):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1_3 if new else ssl.TLSVersion.TLSv1_2
    if not new:
        c.set_ciphers(SUITES[suite])
    return c


class Wire:
    """As ssl's socket, but its records are cut anywhere, and rest for a while where they are cut."""

    def __init__(self, sock, context, rng):
        self.sock, self.rng, self.came, self.gone = sock, rng, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls, self.out, self.hold = context.wrap_bio(self.came, self.gone), bytearray(), 0
        self.cipher, self.close, self.patient = self.tls.cipher, sock.close, True
        self.call(self.tls.do_handshake)

    def call(self, function, *args):
        while True:
            try:
                result = function(*args)
                self.out += self.gone.read()
                self.push(self.patient)
                return result
            except ssl.SSLWantReadError:
                self.out += self.gone.read()
                self.push(self.patient)
                data = self.sock.recv(1 << 16)
                if not data:
                    raise ConnectionResetError("it was closed") from None
                self.came.write(data)

    def push(self, all):
        if all:
            self.sock.sendall(self.out)
            self.out.clear()
        now = time.monotonic()
        if self.out and now >= self.hold:
            n = self.sock.send(self.out[:self.rng.choice((1, 2, 4, 5, 6, 30, 1000, 5000, 20000, 60000))])
            del self.out[:n]
            if self.rng.random() < 0.01:
                self.hold = now + self.rng.random() * 1.6

    def setblocking(self, on):
        self.patient = on
        self.sock.setblocking(on)

    def sendall(self, data):
        self.call(self.tls.write, data)

    def send(self, data):
        if self.out:
            self.push(False)
            return 0
        return self.call(self.tls.write, data)

    def recv(self, n):
        return self.call(self.tls.read, n)


class Peer:
    """One connection; step() does what can be done without waiting. rcvbuf: whoever is slow has a small one."""

    pieces = False

    def __init__(self, name, suite, new, port, rng, rcvbuf=None):
        self.name, self.suite, self.new, self.port, self.rng, self.rcvbuf = name, suite, new, port, rng, rcvbuf
        self.sock, self.local, self.stopping, self.pause, self.bytes = None, None, False, 0, 0

    def connect(self):
        s = socket.socket()
        if self.rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rcvbuf)
        s.settimeout(PATIENCE)
        try:
            s.connect(("127.0.0.1", self.port))
            self.local = s.getsockname()[1]
            c = context(self.suite, self.new)
            self.sock = Wire(s, c, self.rng) if self.pieces else c.wrap_socket(s)
        except BaseException:
            s.close()
            raise
        equal(self.sock.cipher()[0], self.suite if self.new else SUITES[self.suite])

    def send(self, data):
        try:
            return self.sock.send(data)
        except AGAIN:
            return 0

    def receive(self):
        """None: nothing for now."""
        try:
            data = self.sock.recv(1 << 16)
        except AGAIN:
            return None
        check(data, "it was closed")
        self.bytes += len(data)
        return data


class Echo(Peer):
    """Sends bytes that nobody could guess, and compares what comes back."""

    def begin(self):
        self.connect()
        self.sock.sendall(b"?")
        equal(self.sock.recv(1), b"?")  # from now on nothing may happen to it
        self.sock.setblocking(False)
        self.expected, self.out, self.most = bytearray(), b"", 4_000_000 if self.rcvbuf else 200_000

    def step(self, now):
        if not self.out and not self.stopping and len(self.expected) < self.most:
            self.out = self.rng.randbytes(self.rng.choice((1, 5, 60, 60, 1000, 4096, 16384, 16385, 40000)))
        if self.out:
            n = self.send(self.out)
            self.expected += self.out[:n]
            self.out = self.out[n:]
        if now < self.pause and not self.stopping:
            return
        if self.rcvbuf and self.rng.random() < 0.02:
            self.pause = now + self.rng.random()
        data = self.receive()
        if data is not None:
            if not self.expected.startswith(data):
                at = next(i for i in range(len(data) + 1) if data[:i + 1] != self.expected[:i + 1])
                raise Failure("byte %d of the echo is another" % (self.bytes - len(data) + at))
            del self.expected[:len(data)]

    def done(self):
        return not self.expected and not self.out


class Pieces(Echo):
    pieces = True


class Fresh(Peer):
    """Comes and goes all the time. What is cut before the first byte has come back was not a connection yet."""

    def begin(self):
        self.came = self.gone = 0
        self.state, self.wait = None, 0

    def step(self, now):
        if self.state is None:
            if self.stopping or now < self.wait:
                return
            self.wait = now + 0.05
            self.state = Echo(self.name, self.suite, self.new, self.port, self.rng)
            try:
                self.state.begin()
                self.came += 1
            except (OSError, Failure, ssl.SSLError):
                if self.state.sock:
                    self.state.sock.close()
                self.state, self.gone = None, self.gone + 1
            return
        self.state.step(now)
        self.state.stopping = self.state.stopping or self.stopping or self.rng.random() < 0.1
        if self.state.stopping and self.state.done():
            self.bytes += self.state.bytes
            self.state.sock.close()
            self.state = None

    def done(self):
        return self.state is None


def line_of(who, number):
    return b"%d %b" % (number, (b"%b-%d." % (who, number)) * (number * 7919 % 40))


class Chat(Peer):
    """Speaks in a room, and hears everybody there, itself included: each line once and in order, and nothing else."""

    def begin(self):
        self.connect()
        c = Client(self.sock)
        c.expect(WELCOME)
        c.send("/nick %s\n" % self.name)
        c.expect("is now %s\n" % self.name)
        self.sock.setblocking(False)
        self.buf, self.out, self.said, self.heard, self.next = c.buf, b"", 0, collections.Counter(), 0
        self.others = None

    def step(self, now):
        if self.others and not self.stopping and not self.out and now >= self.next:
            for _ in range(self.rng.choice((1, 1, 1, 20))):
                self.out += line_of(self.name.encode(), self.said) + b"\n"
                self.said += 1
            self.next = now + self.rng.random() * 0.02
        if self.out:
            self.out = self.out[self.send(self.out):]
        if now < self.pause and not self.stopping:
            return
        if self.rcvbuf and self.rng.random() < 0.02:
            self.pause = now + self.rng.random() * 0.5
        data = self.receive()
        if data is None:
            return
        self.buf += data
        while b"\n" in self.buf:
            line, _, self.buf = self.buf.partition(b"\n")
            who, _, text = bytes(line).partition(b": ")
            if line.startswith(b"* ") and not self.heard:
                continue  # they are coming
            check(text == line_of(who, self.heard[who]), "instead of line %d of %r: %r" % (self.heard[who], who, line[:200]))
            self.heard[who] += 1

    def done(self):
        return not self.out and not self.buf


class Deaf(Chat):
    """Reads nothing for long, so that its socket is full and a send takes a part of a record."""

    def begin(self):
        super().begin()
        self.pause = time.monotonic() + 20  # the room's log still has what was said since


def clients(suite, echo, chat, seed):
    """Says "ready", "done COUNTS", or what was wrong."""
    rng, tag = random.Random(seed), suite.split("_")[1][0].lower() + suite.split("_")[2][0]
    plan = [(Echo, "e13", True, echo, None), (Echo, "e12", False, echo, None), (Echo, "es13", True, echo, 4096),
            (Echo, "es12", False, echo, 8192), (Pieces, "p13", True, echo, None), (Pieces, "p12", False, echo, None), (Fresh, "f13", True, echo, None), (Fresh, "f12", False, echo, None),
            (Chat, "c13", True, chat, None), (Chat, "c12", False, chat, None), (Chat, "cs13", True, chat, 4096),
            (Deaf, "cd13", True, chat, 4096)]
    peers = [kind(name + tag, suite, new, port, random.Random("%s %s" % (seed, name)), rcvbuf)
             for kind, name, new, port, rcvbuf in plan]
    for p in peers:
        p.begin()
    print("ready", flush=True)
    talkers, until, at, moved = [p for p in peers if isinstance(p, Chat)], None, None, 0
    while True:
        if select.select([sys.stdin], [], [], 0.001)[0]:
            what = sys.stdin.readline().split()
            if what[:1] == ["talk"]:
                for p in talkers:
                    p.others = True
            elif what == ["stop"] or not what:
                for p in peers:
                    p.stopping = True
                until = time.monotonic() + QUIET
                print("said", json.dumps({p.name: p.said for p in talkers}), flush=True)
            elif what[0] == "heard":
                at = {who.encode(): n for who, n in json.loads(" ".join(what[1:])).items()}
        now = time.monotonic()
        for p in peers:
            try:
                p.step(now)
            except (OSError, Failure) as e:
                raise Failure("%s from port %s, %d bytes in: %s %s" % (p.name, p.local, p.bytes, type(e).__name__, e))
        if at is not None and all(p.done() for p in peers) and all(p.heard[w] == at[w] for p in talkers for w in at):
            break
        so_far = sum(p.bytes for p in peers)
        if until and so_far > moved:  # a small window takes its time for megabytes
            until, moved = now + QUIET, so_far
        if until and now > until:
            raise Failure("not there yet: %s" % [(p.name, p.bytes, len(getattr(p, "expected", "")), dict(getattr(p, "heard", {})))
                                                 for p in peers if not p.done() or isinstance(p, Chat)])
    fresh = [p for p in peers if isinstance(p, Fresh)]
    print("done", json.dumps({"bytes": sum(p.bytes for p in peers), "came": sum(p.came for p in fresh),
                              "cut": sum(p.gone for p in fresh)}), flush=True)
    sys.stdin.read()  # or others would hear that somebody left


class Program:
    """s_client or gnutls-cli at an echo: lines, and now and then its command for new keys."""

    def __init__(self, args, commands, pace):
        self.errors = tempfile.TemporaryFile()
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.commands, self.pace, self.next_keys = commands, pace, 0
        self.buf, self.sent, self.got, self.keys, self.last = b"", 0, 0, 0, 0
        self.name = args[0]
        self.put(b"")  # whoever is cut before it has begun is no connection
        wait_for(lambda: self.step() or self.got > 0, what=self.name)

    def put(self, more):
        self.p.stdin.write(b"line %d %b\n" % (self.sent, b"x" * (self.sent * 7919 % 2000)) + more)
        self.p.stdin.flush()
        self.sent += 1

    def step(self, rng=None):
        try:
            while True:
                data = os.read(self.p.stdout.fileno(), 1 << 16)
                if not data:
                    self.errors.seek(0)
                    raise Failure("%s has ended after %d of %d lines and %d commands: %r, %r" % (
                        self.name, self.got, self.sent, self.keys, self.errors.read()[-500:], self.buf[-200:]))
                self.buf += data
        except BlockingIOError:
            pass
        while b"\n" in self.buf:
            line, _, self.buf = self.buf.partition(b"\n")
            if line.startswith(b"line "):
                check(line == b"line %d %b" % (self.got, b"x" * (self.got * 7919 % 2000)), self.name, "line", self.got,
                      "of", self.sent, "commands", self.keys, line[:40])
                self.got += 1
            else:
                check(b"line" not in line or self.got == 0, self.name, line)
        now = time.monotonic()
        # A command has to be all that s_client reads at once; it says when it did.
        taken = self.name != "openssl" or os.pread(self.errors.fileno(), 1 << 20, 0).count(b"KEYUPDATE\n") == self.keys
        if rng and taken and self.sent - self.got < 5 and now > self.last + 0.03:
            self.last = now
            if now > self.next_keys and self.sent == self.got:
                self.next_keys = now + self.pace
                self.p.stdin.write(rng.choice(self.commands))
                self.p.stdin.flush()
                self.keys += 1
            else:
                self.put(b"")

    def end(self):
        wait_for(lambda: self.step() or self.got == self.sent, what="all lines of %s: %d of %d" % (self.name, self.got, self.sent))
        self.p.kill()
        self.p.wait()


# --- chatd's many lives ---


def start_clients(d, tls_echo, tls_chat, seed):
    programs = []
    for suite in SUITES:
        conf = os.path.join(d.dir, suite + ".cnf")
        with open(conf, "w") as f:
            f.write("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCiphersuites = %s\n" % suite)
        programs.append(subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--clients", suite, str(tls_echo), str(tls_chat), "%d %s" % (seed, suite)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, OPENSSL_CONF=conf)))
    return programs


def answer(p, word):
    line = p.stdout.readline()
    if not line.startswith(word):
        p.stdin.close()
        raise Failure("a client says: " + line + p.stdout.read())
    return line[len(word):]


class Lives:
    """Starts chatd again and again, and has each die in another way."""

    def __init__(self, d, seed, points, start):
        self.d, self.rng, self.points, self.start = d, random.Random(seed), points, start
        self.once = os.path.join(d.dir, "once")
        self.deaths, self.died = collections.Counter(), False
        self.hit = collections.Counter()
        self.binaries = [d.binary] + ([OTHER] if OTHER else [])

    def next(self):
        d, rng = self.d, self.rng
        d.binary = self.binaries[sum(self.deaths.values()) % len(self.binaries)]
        points = self.points if rng.random() < 0.4 else [p for p in self.points if p.startswith("tls-")]
        calm = rng.random() < 0.01  # what is idle for a second gives memory back
        if self.died and rng.random() < 0.4:  # what only the next one passes
            points, passages, after = [p for p in self.points if "recover" in p], (1,), True
        else:
            passages, after = (1, 1, 2, 3, 5, 10, 30, 100), False
        point = rng.choice(points) if points and not calm and (after or rng.random() < 0.8) else None
        self.died = False
        for name in ("CHATD_FAULT", "CHATD_FAULT_ONCE"):
            d.env.pop(name, None)
        if point:
            d.env.update(CHATD_FAULT="%s:%d" % (point, rng.choice(passages)), CHATD_FAULT_ONCE=self.once)
        # The point is passed while clients are taken over, or later: it counts as long as the file is there.
        later = not after and rng.random() < 0.5
        if point and not later:
            open(self.once, "w").close()
        d.spawn()
        # Some die before they are there.
        patience = 2.5 if calm else rng.random() * self.start if not point and rng.random() < 0.2 else self.start * 2 + rng.random() * 0.1
        until = time.monotonic() + patience
        while d.alive() and time.monotonic() < until:
            time.sleep(0.001)
            if point and later and d.ready:
                later = False
                until += 0.05
                open(self.once, "w").close()
        if d.pid is not None:
            self.let_go()
            if os.path.exists(self.once):
                os.unlink(self.once)
        elif point and not os.path.exists(self.once):
            self.deaths["fault point"] += 1
            self.hit[point] += 1
            self.died = True
        else:
            raise Failure("chatd ended with status %r:\n%s" % (d.status, d.last_words()))
        check(d.status in (0, signal.SIGKILL), "chatd ended with status", d.status, d.last_words())

    def let_go(self):
        d, kind = self.d, self.rng.random()
        if kind < 0.8 or not d.ready:
            self.deaths["random instant"] += 1
            d.kill()
        elif kind < 0.9:
            self.deaths["service manager's restart"] += 1
            d.signal(signal.SIGUSR1)
            d.wait()
        else:
            self.deaths["chatctl restart"] += 1
            p = subprocess.Popen([CHATCTL, "-s", d.socket, "restart"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: p.poll() is not None or not d.alive(), what="the restart")  # it may die of it
            p.kill()
            p.wait()
            self.deaths["random instant"] += 1
            d.kill()


def audit(directory):
    """What was sealed and left: no nonce of a key may be there twice. How many records and bytes."""
    violations = os.path.join(directory, "violations")
    if os.path.exists(violations):
        with open(violations) as f:
            raise Failure("the audit found: " + f.read()[:3000])
    left, sealed = {}, {}
    with open(os.path.join(directory, "seals"), "rb") as f:
        data = f.read()
    for id, at, size, key, nonce, tag in struct.iter_unpack("=5Q16s8x", data):
        sealed.setdefault(id, {}).setdefault(at, []).append((size, key, nonce, tag))
    records = octets = 0
    for id, seals in sealed.items():
        path = os.path.join(directory, "%d.bytes" % id)
        if not os.path.exists(path):
            continue
        with open(path, "rb") as f:
            at, end = min(seals), os.fstat(f.fileno()).st_size
            octets += max(0, end - at)
            # Some were sealed by a process that died before that was true. What left is one record behind the other.
            while at < end:
                for size, key, nonce, tag in reversed(seals.get(at, [])):
                    f.seek(at + size - 16)
                    if at + size > end or f.read(16) == tag:
                        break
                else:
                    raise Failure("byte %d of client %d (%d to %d) begins no record that was sealed, but %r" % (
                        at, id, min(seals), end, seals.get(at)))
                check(left.setdefault((key, nonce), (id, at)) == (id, at), "a nonce of client", id, "is there twice")
                at += size
                records += 1
    return records, octets


@test
def nobody_notices_hundreds_of_deaths():
    d = Daemon(store=True, start=False, env={"CHATD_TLS_RECORDS_MAX": "200", "CHATD_TLS_BLOCKS_MAX": str(1 << 34)})
    tls_echo, tls_chat, cert, key = free_port(), free_port(), *tls_files(d.dir)
    with_certificate = 'tls_certificate = "%s"; tls_key = "%s";' % (cert, key)
    d.write_config(rooms='{ name = "lobby"; log_size = "64M"; history = 0; }', listeners="""
      { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; %s },
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; %s }""" % (
          tls_echo, with_certificate, tls_chat, with_certificate))
    audited = os.path.join(d.dir, "audit")
    if has_faults() and not OTHER:
        os.mkdir(audited)
        d.env["CHATD_TLS_AUDIT"] = audited
    start = time.monotonic()
    d.start()
    start = time.monotonic() - start
    note("CHATD_TLS_SEED=%d" % SEED)
    peers = start_clients(d, tls_echo, tls_chat, SEED)
    programs, rng, failed, over = [], random.Random(SEED), [], threading.Event()

    def step_programs():
        try:
            while not over.wait(0.005):
                for p in programs:
                    p.step(rng)
        except Failure as e:
            failed.append(e)
    thread = threading.Thread(target=step_programs)
    try:
        for p in peers:
            answer(p, "ready")
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
            programs.append(Program(["openssl", "s_client", "-brief", "-connect", "127.0.0.1:%d" % tls_echo, "-ciphersuites", suite],
                                    [b"K\n", b"k\n"], 0.1))
        if shutil.which("gnutls-cli"):
            programs.append(Program(["gnutls-cli", "--insecure", "--inline-commands", "-p", str(tls_echo), "127.0.0.1"],
                                    [b"^rekey^\n", b"^rekey1^\n"], 0.5))  # which wants no more
        for p in peers:
            p.stdin.write("talk\n")
            p.stdin.flush()
        d.kill()
        thread.start()
        lives = Lives(d, SEED, [n for n in fault_points() if n.startswith(FAULTS)] if has_faults() else [], start)
        while sum(lives.deaths.values()) < KILLS:
            lives.next()
            check(not failed, *failed)
            for p in peers:
                check(p.poll() is None, "a client ended with", p.returncode, p.stdout.read() if p.returncode is not None else "")
        for name in ("CHATD_FAULT", "CHATD_FAULT_ONCE"):
            d.env.pop(name, None)
        d.start()
        over.set()
        thread.join()
        for p in programs:
            p.end()
        said = {}
        for p in peers:
            p.stdin.write("stop\n")
            p.stdin.flush()
            said.update(json.loads(answer(p, "said")))
        for p in peers:
            p.stdin.write("heard %s\n" % json.dumps(said))
            p.stdin.flush()
        counts = collections.Counter()
        for p in peers:
            counts.update(json.loads(answer(p, "done")))
    except Failure as e:
        # What chatd said of it, which is not among the last lines.
        for port in re.findall(r"from port (\d+)", str(e)):
            said_of = [line for line in d.log().splitlines() if re.search(r"\bport %s\b" % port, line)]
            for line in said_of[-10:]:
                note("log: " + line)
        raise
    finally:
        over.set()
        for p in peers + [x.p for x in programs]:
            p.kill()
    refused = [l for l in d.log().splitlines() if "can't be resumed" in l or "doesn't add up" in l]
    check(not refused, refused[:10])
    note("%d deaths (%s), %s" % (sum(lives.deaths.values()), dict(lives.deaths), dict(counts)))
    note("new keys by programs: %s" % [(p.name, p.keys, p.got) for p in programs])
    if has_faults():
        note("not died at: %s" % " ".join(sorted(set(lives.points) - set(lives.hit))))
    if os.path.exists(audited):
        d.stop()  # or it would say farewell to those who have gone, meanwhile
        note("audit: %d records, %d bytes" % audit(audited))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--clients"]:
        clients(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
