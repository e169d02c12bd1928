#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""UDP: echo and the registry, alone and in rooms with TCP members."""

import random
import select
import signal
import socket
import struct

from testing import *


class Device:
    """A UDP socket that talks to one address of chatd."""

    def __init__(self, port, host="127.0.0.1", bind=None, rcvbuf=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if bind:
            self.sock.bind(bind)
        self.sock.connect((host, port))
        self.sock.settimeout(PATIENCE)

    def send(self, data):
        self.sock.send(data if isinstance(data, bytes) else data.encode())

    def receive(self, timeout=PATIENCE):
        self.sock.settimeout(timeout)
        return self.sock.recv(65536)

    def ask(self, data):
        self.send(data)
        return self.receive()

    def expect(self, what):
        """The next datagram that is this one; others before it are returned."""
        before = []
        while True:
            try:
                data = self.receive()
            except socket.timeout:
                raise Failure("expected %r, got %r" % (what, before[-20:])) from None
            if data == what:
                return before
            before.append(data)

    def silence(self, data, seconds=0.2):
        self.send(data)
        try:
            got = self.receive(seconds)
        except socket.timeout:
            return
        raise Failure("%r was answered with %r" % (data, got))

    def join(self, nick):
        equal(self.ask("#REG %s" % nick), b"#OK %s 300\n" % nick.encode())
        return self

    def drain(self):
        self.sock.setblocking(False)
        got = []
        try:
            while True:
                got.append(self.sock.recv(65536))
        except BlockingIOError:
            return got

    def close(self):
        self.sock.close()


def udp_daemon(udp="", rooms='{ name = "lobby"; announce_max = 0; }', host="[::]", listeners="", extra="", **kwargs):
    port = free_port(socket.SOCK_DGRAM)
    d = Daemon(start=False, **kwargs)
    d.udp_port = port
    d.udp_rooms = rooms
    d.udp_listeners = lambda udp, more="": """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "%s:%d"; room = "lobby"; %s }%s""" % (
          d.port, host, port, udp, more)
    d.write_config(rooms=rooms, listeners=d.udp_listeners(udp, listeners), extra=extra)
    d.start()
    return d


@test
def conversation_with_nc():
    need("nc")
    d = udp_daemon()
    alice = d.join(nick="alice")
    p = subprocess.Popen(["nc", "-u", "127.0.0.1", str(d.udp_port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        def say(line):
            p.stdin.write(line)
            p.stdin.flush()
        say(b"#REG bob\n")
        equal(p.stdout.readline(), b"#OK bob 300\n")
        say(b"hello\n")
        equal(p.stdout.readline(), b"bob: hello\n")
        alice.expect("bob: hello\n")
        alice.send("hi bob\n")
        equal(p.stdout.readline(), b"alice: hi bob\n")
        say(b"quit\n")
        equal(p.stdout.readline(), b"#BYE\n")
    finally:
        p.kill()
        p.wait()


@test
def a_shell_line_with_socat():
    need("socat")
    d = udp_daemon()
    alice = d.join(nick="alice")
    out = run("sh", "-c", "(echo '#REG probe'; sleep 0.2; echo 'load 0.42'; sleep 0.2; echo '#DEREG'; sleep 0.2)"
              " | socat - UDP:127.0.0.1:%d" % d.udp_port)
    equal(out.stdout, b"#OK probe 300\nprobe: load 0.42\n#BYE\n")
    alice.expect("probe: load 0.42\n")


@test
def commands_and_mistakes():
    d = udp_daemon(rooms='{ name = "lobby"; }')
    alice = d.join(nick="alice")
    v = Device(d.udp_port)
    v.silence("hello")  # a stranger
    v.silence("#DEREG")
    v.silence("#FOO")
    equal(d.metric("datagrams_ignored_total"), 3)
    equal(v.ask("#REG dev"), b"#OK dev 300\n")
    alice.expect("* dev joined lobby\n")
    equal(v.ask("#REG"), b"#OK dev 300\n")  # renewed
    equal(v.ask("#reg dev \r\n"), b"#OK dev 300\n")
    equal(v.ask("#REG alice"), b"#ERR that name is taken\n")
    check(v.ask("#REG #x").startswith(b"#ERR a name has"))
    check(v.ask("#FOO").startswith(b"#ERR there is no such command"))
    equal(v.ask(b""), b"#ERR the message is empty\n")
    equal(v.ask(b"\n"), b"#ERR the message is empty\n")
    equal(v.ask(b"a\nb"), b"#ERR a message is one line\n")
    equal(v.ask(b"x" * 4097), b"#ERR the message is longer than max_message\n")
    equal(v.ask(b"x" * 60000), b"#ERR the message is longer than max_message\n")
    equal(v.ask(b"\033[31mred\xff"), "dev: \ufffd[31mred\ufffd\n".encode())
    equal(v.ask("##tag"), b"dev: #tag\n")
    equal(v.ask("/me waves"), b"dev: /me waves\n")
    equal(v.ask("x" * 4096), b"dev: " + b"x" * 4096 + b"\n")
    equal(v.ask("#REG sensor"), b"#OK sensor 300\n")
    equal(v.receive(), b"* dev is now sensor\n")
    equal(v.ask("#DEREG"), b"#BYE\n")
    v.silence("gone")
    alice.expect("* sensor left lobby\n")
    w = Device(d.udp_port)
    check(re.fullmatch(rb"#OK guest\d+ 300\n", w.ask("#REG *")))
    alice.send("/msg %s psst\n" % [c["nick"] for c in d.json("list", "clients") if c["listener"] == "udp"][0])
    w.expect(b"* [alice -> you] psst\n")
    alice.send("/who\n")
    alice.expect(re.compile(rb"\* 2 in lobby: guest\d+, alice\n"))


@test
def raw_rooms_carry_bytes():
    d = udp_daemon(rooms='{ name = "lobby"; format = "raw"; }')
    a, b = Device(d.udp_port).join("a"), Device(d.udp_port).join("b")
    a.send(b"\x00\x01\xff\x1b")
    equal(b.receive(), b"\x00\x01\xff\x1b\n")
    equal(a.receive(), b"\x00\x01\xff\x1b\n")


@test
def what_the_server_says_is_told_apart_from_what_members_of_a_raw_room_say():
    d = udp_daemon(rooms='{ name = "lobby"; format = "raw"; }')
    device, tcp = Device(d.udp_port).join("dev"), d.join()
    # The third is of the second's length, so that both could leave as segments of one send.
    tcp.send("#BYE\n#OK dev 1\n#COOKIE x\n##tag\n* chatd ends\n*\nplain\n")
    for line in (b"##BYE\n", b"##OK dev 1\n", b"##COOKIE x\n", b"###tag\n", b"** chatd ends\n", b"**\n", b"plain\n"):
        equal(device.receive(), line)
    tcp.expect("#BYE\n#OK dev 1\n#COOKIE x\n##tag\n** chatd ends\n**\nplain\n")
    device.send("* [alice -> you] hi")
    tcp.expect("** [alice -> you] hi\n")
    equal(d.ctl("send", "lobby", "* is everywhere")[0], 0)
    tcp.expect("** is everywhere\n")
    equal(d.ctl("tail", "-n", "2", "lobby")[1], "** [alice -> you] hi\n** is everywhere\n")
    equal(json.loads(d.ctl("--json", "tail", "-n", "1", "lobby")[1])["text"], "* is everywhere")


@test
def ipv4_ipv6_and_several_listeners():
    port = free_port(socket.SOCK_DGRAM)
    d = udp_daemon(listeners=', { name = "two"; type = "udp"; mode = "registry"; listen = "[::1]:%d"; room = "lobby"; }' % port)
    four, six, other = Device(d.udp_port).join("four"), Device(d.udp_port, "::1").join("six"), Device(port, "::1").join("other")
    tcp = d.join(nick="tcp")
    for v in (four, six, other):
        v.send("it is me")
    text = b"".join(tcp.expect(": it is me\n") for _ in range(3))
    equal(sorted(re.findall(rb"(\w+): it is me\n", text)), [b"four", b"other", b"six"])
    for v in (four, six, other):
        equal(sorted(v.receive() for _ in range(3)), [b"four: it is me\n", b"other: it is me\n", b"six: it is me\n"])
    clients = {c["nick"]: c for c in d.json("list", "clients")}
    check(clients["four"]["address"].startswith("127.0.0.1:") and clients["six"]["address"].startswith("[::1]:"), clients)
    check(299 < clients["other"]["lease"] <= 300 and clients["other"]["listener"] == "two", clients)
    listeners = {l["name"]: l for l in d.json("list", "listeners")}
    equal((listeners["udp"]["accepted"], listeners["two"]["accepted"]), (2, 1))
    code, out, _ = d.ctl("list", "clients")
    check("LEASE" in out and "4 min 59 s" in out, out)


@test
def sent_kicked_and_tailed_by_an_admin():
    d = udp_daemon()
    v = Device(d.udp_port).join("dev")
    equal(d.ctl("send", "lobby", "hello", "all")[0], 0)
    equal(v.receive(), b"admin: hello all\n")
    v.send("21.5")
    equal(v.receive(), b"dev: 21.5\n")
    equal(d.ctl("tail", "-n", "1", "lobby")[1], "dev: 21.5\n")
    number = d.json("list", "clients")[0]["id"]
    equal(d.ctl("kick", str(number), "enough")[0], 0)
    equal(v.receive(), b"* You have been removed: enough\n")
    equal(v.receive(), b"#BYE\n")
    equal(d.json("list", "clients"), [])
    v.silence("gone")


@test
def watched_by_an_admin():
    d = udp_daemon()
    p = subprocess.Popen([CHATCTL, "-s", d.socket, "watch"], stdout=subprocess.PIPE)
    try:
        # Until it watches.
        wait_for(lambda: d.join().close() or select.select([p.stdout], [], [], 0)[0], what="the first event")
        device = Device(d.udp_port).join("porch")
        device.ask("#REG attic")
        device.ask("#DEREG")
        seen = b""
        while b"attic left lobby" not in seen:
            seen += p.stdout.readline()
        check(re.search(rb"joined +porch joined lobby\n.*renamed +porch is now attic\n.*left +attic left lobby\n", seen,
                        re.S), seen)
    finally:
        p.kill()
        p.wait()


@test
def leases_end():
    d = udp_daemon("lease = 2;", rooms='{ name = "lobby"; }')
    alice = d.join(nick="alice")
    a, b = Device(d.udp_port), Device(d.udp_port)
    equal(a.ask("#REG a"), b"#OK a 2\n")
    equal(b.ask("#REG b"), b"#OK b 2\n")
    for _ in range(5):
        time.sleep(0.7)
        a.send("still here")
    alice.expect("* b left lobby\n")
    b.expect(b"#BYE\n")
    equal([c["nick"] for c in d.json("list", "clients") if c["listener"] == "udp"], ["a"])


@test
def who_is_unreachable_is_removed():
    d = udp_daemon(rooms='{ name = "lobby"; }')
    alice = d.join(nick="alice")
    four, six, stays = Device(d.udp_port).join("four"), Device(d.udp_port, "::1").join("six"), Device(d.udp_port).join("stays")
    four.close()
    six.close()

    def gone():
        # The kernel limits how much it tells of what is unreachable, and in which order it comes is not for us to say.
        alice.send("anybody?\n")
        stays.expect(b"alice: anybody?\n")
        return {c.get("nick") for c in d.json("list", "clients")} == {"alice", "stays"}

    wait_for(gone, what="the two to be gone")
    alice.send("enough\n")
    stays.expect(b"alice: enough\n")
    heard = alice.expect("alice: enough\n")
    equal(sorted(l for l in heard.split(b"\n") if l.endswith(b" left lobby")), [b"* four left lobby", b"* six left lobby"])
    for i in range(20):
        alice.send("%d\n" % i)
        stays.expect(b"alice: %d\n" % i)
    check(d.metric("unreachable_total") >= 2)


@test
def what_a_member_does_not_read_delays_nobody():
    d = udp_daemon()
    lazy, keen = Device(d.udp_port, rcvbuf=2048).join("lazy"), Device(d.udp_port, rcvbuf=1 << 22).join("keen")
    alice = d.join(nick="alice")
    for i in range(2000):
        alice.send("%04d %s\n" % (i, "." * 100))
        if i % 50 == 49:
            alice.expect("%04d %s\n" % (i, "." * 100))
    expected = [b"alice: %04d %s\n" % (i, b"." * 100) for i in range(2000)]
    equal([keen.receive() for _ in range(2000)], expected)
    check(len(lazy.drain()) < 100)


@test
def a_room_of_devices_only():
    """The log goes round many times with nobody there but UDP members, on a worker of their own."""
    d = udp_daemon(rooms='{ name = "lobby"; announce_max = 0; log_size = "128K"; }', workers=3)
    a, b = Device(d.udp_port, rcvbuf=1 << 21).join("a"), Device(d.udp_port, rcvbuf=1 << 21).join("b")
    for i in range(3000):
        a.send(b"%04d %s" % (i, b"." * 300))
        if i % 20 == 19:
            b.expect(b"a: %04d %s\n" % (i, b"." * 300))


@test
def ten_thousand_members():
    n = 10000 if SCALE >= 1 else 500
    d = udp_daemon(workers=1)
    devices = []
    for i in range(n):
        v = Device(d.udp_port)
        v.send("#REG d%d" % i)
        devices.append(v)
        if i % 100 == 99:
            for v in devices[-100:]:
                check(v.receive().startswith(b"#OK d"))
    equal(d.json("status")["clients"], n)
    started, cpu = time.monotonic(), d.cpu()
    devices[0].send("hello all")
    for v in devices:
        equal(v.receive(), b"d0: hello all\n")
    note("%d members got a message in %.2f s, %.1f us of CPU each" % (
        n, time.monotonic() - started, (d.cpu() - cpu) * 1e6 / n))
    for i in range(30):
        devices[1].send("burst %d" % i)
    for v in devices:
        equal([v.receive() for _ in range(30)], [b"d1: burst %d\n" % i for i in range(30)])
    for v in devices:
        v.close()


@test
def tcp_and_udp_see_the_same():
    """Everybody talks; each member's messages are the same in the same order, none lost and none doubled."""
    lines = 100 if SCALE >= 1 else 30
    d = udp_daemon(workers=4)
    devices = [Device(d.udp_port, rcvbuf=1 << 22).join("u%d" % i) for i in range(10)]
    people = [d.join(nick="t%d" % i) for i in range(10)]
    for p in people:
        p.send("/join lobby\n/who\n")
    for k in range(lines):
        for i in range(10):
            devices[i].send("u%d-%d" % (i, k))
            people[i].send("t%d-%d\n" % (i, k))
        if k % 5 == 0:  # the socket's buffer is as large as the system allows only
            time.sleep(0.01)
    streams = [p.expect_messages(20 * lines) for p in people]
    people[0].send("the end\n")
    for p, stream in zip(people, streams):
        stream += p.expect_messages(1)
        equal(stream[-1], "t0: the end")
    for v in devices:
        got = [m.decode().rstrip("\n") for m in v.expect(b"t0: the end\n")] + ["t0: the end"]
        streams.append([l for l in got if re.match(r"[tu]\d: ", l)])
    for s in streams[1:]:
        equal(s[-(20 * lines + 1):], streams[0])
    for who in ["u%d" % i for i in range(10)] + ["t%d" % i for i in range(10)]:
        mine = [l for l in streams[0] if l.startswith(who + ": " + who)]
        equal(mine, ["%s: %s-%d" % (who, who, k) for k in range(lines)])


class Network:
    """What a bad network does: loses, doubles and reorders, between one device and chatd, both ways."""

    def __init__(self, port, seed=5):
        self.rng = random.Random(seed)
        self.inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inner.connect(("127.0.0.1", port))
        self.outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outer.bind(("127.0.0.1", 0))
        self.port = self.outer.getsockname()[1]
        self.peer = None
        self.kept = []
        self.on = True
        self.threads = [threading.Thread(target=self.carry, args=x, daemon=True)
                        for x in ((self.outer, self.inner), (self.inner, self.outer))]
        for t in self.threads:
            t.start()

    def pass_on(self, to, data):
        try:
            if to is self.inner:
                to.send(data)
            elif self.peer:
                to.sendto(data, self.peer)
        except OSError:
            pass

    def carry(self, source, to):
        kept = []
        source.settimeout(0.05)
        while self.on:
            try:
                data, address = source.recvfrom(65536)
            except OSError:
                for k in kept:
                    self.pass_on(to, k)
                kept = []
                continue
            if source is self.outer:
                self.peer = address
            chance = self.rng.random()
            if chance < 0.2:
                continue
            if chance < 0.4:
                kept.append(data)
                continue
            self.pass_on(to, data)
            if chance < 0.6:
                self.pass_on(to, data)
            for k in kept:
                self.pass_on(to, k)
            kept = []

    def close(self):
        self.on = False
        for t in self.threads:
            t.join()
        self.inner.close()
        self.outer.close()


@test
def a_bad_network():
    d = udp_daemon()
    alice = d.join(nick="alice")
    net = Network(d.udp_port)
    v = Device(net.port, rcvbuf=1 << 21)
    # Who asks again until it is answered gets in, and only once.
    for _ in range(100):
        v.send("#REG dev")
        try:
            if v.receive(0.1) == b"#OK dev 300\n":
                break
        except (socket.timeout, ConnectionError):
            pass
    else:
        raise Failure("never registered")
    equal([c["nick"] for c in d.json("list", "clients")], ["alice", "dev"])
    said = set()
    for i in range(200):
        v.send("n%d" % i)
        alice.send("a%d\n" % i)
        said.add("n%d" % i)
        time.sleep(0.002)
    time.sleep(0.3)
    alice.send("the end\n")
    heard = re.findall(r"dev: (\S+)\n", alice.expect("alice: the end\n").decode())
    check(set(heard) <= said and 100 < len(set(heard)) < 200, "heard", len(set(heard)))
    back = {m for m in v.drain() if m.startswith(b"alice: a")}
    check(back <= {b"alice: a%d\n" % i for i in range(200)} and len(back) > 100, "came back:", len(back))
    # Whoever never heard of its end asks again, too.
    for _ in range(100):
        v.send("#DEREG")
        time.sleep(0.02)
        if len(d.json("list", "clients")) == 1:
            break
    equal([c["nick"] for c in d.json("list", "clients")], ["alice"])
    net.close()


# --- the address has to be proved ---

@test
def strangers_prove_their_address():
    d = udp_daemon("trusted = ();")
    v = Device(d.udp_port)
    equal(v.ask("#REG"), b"#PAD")
    equal(v.ask("#REG dev"), b"#PAD 16\n")
    for padding in ("       ", "        ", "                     \n"):
        request = "#REG dev " + padding
        answer = v.ask(request)
        check(len(answer) <= len(request), answer)
        cookie = re.fullmatch(rb"#COOKIE ([\w-]{8})\n?", answer).group(1)
    v.silence("hello")
    # It is good for this address only.
    other = Device(d.udp_port)
    check(other.ask(b"#REG dev " + cookie + b" ").startswith(b"#COOKIE"))
    check(other.ask(b"#REG dev 12345678").startswith(b"#COOKIE"))
    equal(d.json("list", "clients"), [])
    equal(v.ask(b"#REG dev " + cookie), b"#OK dev 300\n")
    equal(v.ask("hello"), b"dev: hello\n")
    check(re.fullmatch(rb"#OK guest\d+ 300\n", other.ask(
        b"#REG * " + re.match(rb"#COOKIE (\S{8})", other.ask("#REG *          ")).group(1))))


def prove(device, question):
    """Asks with a proof of the address; all lines of the answer."""
    cookie = re.match(rb"#COOKIE (\S{8})", device.ask(question + b" " * 16)).group(1)
    device.send(question + b" " + cookie)
    lines = []
    while not lines or not lines[-1].startswith((b"#END", b"#ERR")):
        lines.append(device.receive())
    return lines


@test
def what_was_said_before():
    d = udp_daemon(rooms='{ name = "lobby"; announce_max = 0; }, { name = "silent"; history = 0; }', listeners="""
      , { name = "mute"; type = "udp"; mode = "registry"; listen = "[::]:%d"; room = "silent"; }""" % (
          port := free_port(socket.SOCK_DGRAM)), extra="limits: { lines_per_second = 0; };")
    v = Device(d.udp_port)
    v.silence("#HISTORY 5")  # for members only
    v.join("dev")
    for text in ("one", "##two", "three"):
        v.send(text)
        v.receive()
    # Nobody is believed without a proof, not even a trusted address, whatever stands there.
    for question in (b"#HISTORY", b"#HISTORY 100", b"#HISTORY 100 12345678", b"#HISTORY 100 before:99999999999999999999"):
        answer = v.ask(question)
        check(answer.startswith((b"#PAD", b"#COOKIE")) and len(answer) <= len(question), question, answer)
    lines = prove(v, b"#HISTORY 2")
    past = [re.fullmatch(rb"#PAST (\d+) \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*)\n", line).groups() for line in lines[:-1]]
    equal([text for _, text in past], [b"dev: #two", b"dev: three"])
    equal(lines[-1], b"#END 2 before:%s\n" % past[0][0])
    lines = prove(v, b"#HISTORY 2 before:" + past[0][0])
    check(lines[0].endswith(b"dev: one\n"))
    equal(lines[1:], [b"#END 1\n"])
    # No more than a hundred, and not too often.
    for i in range(150):
        v.send("number %d" % i)
        v.receive()
    lines = wait_for(lambda: (lines := prove(v, b"#HISTORY 9999"))[0].startswith(b"#PAST") and lines)
    equal((len(lines), lines[99][-11:]), (101, b"number 149\n"))
    wait_for(lambda: prove(v, b"#HISTORY 1")[0] == b"#ERR too many questions\n")
    mute = Device(port)
    mute.join("mute")
    mute.ask("x")
    equal(prove(mute, b"#HISTORY"), [b"#ERR this room shows nothing of what was said before\n"])


@test
def limits():
    d = udp_daemon(extra="limits: { max_clients_per_address = 3; lines_per_second = 5; nick_changes_per_minute = 2; };")
    devices = [Device(d.udp_port) for _ in range(4)]
    for i in range(3):
        devices[i].join("d%d" % i)
    equal(devices[3].ask("#REG d3"), b"#ERR there are too many connections from your address\n")
    equal(devices[0].ask("#DEREG"), b"#BYE\n")
    equal(devices[3].ask("#REG d3"), b"#OK d3 300\n")
    answers = [devices[1].ask("m%d" % i) for i in range(8)]
    check(answers[0] == b"d1: m0\n" and b"#ERR too many messages\n" in answers, answers)
    equal([devices[1].ask("#REG name%d" % i) for i in range(3)],
          [b"#OK name0 300\n", b"#OK name1 300\n", b"#ERR too many changes of name\n"])
    equal(devices[1].ask("#REG name1"), b"#OK name1 300\n")  # renewing is no change
    equal(d.metric("changes_refused_total"), 1)


def forged(source, destination, payload):
    """An IPv4 packet that says to come from source (RFC 791, RFC 768; no UDP check sum)."""
    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source[0]),
                       socket.inet_aton(destination[0])) + udp


@test
def forged_sources_gain_nothing():
    net = Namespace()
    try:
        d = Daemon(start=False, netns=net.names[0])
        d.write_config(rooms='{ name = "lobby"; announce_max = 0; }', listeners="""
          { name = "udp"; type = "udp"; mode = "registry"; listen = "0.0.0.0:5051"; room = "lobby"; },
          { name = "echo"; type = "udp"; mode = "echo"; listen = "0.0.0.0:5052"; }""")
        d.start()
        attacker = net.socket(1, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        sent = received = 0
        requests = [b"#REG", b"#REG x", b"#REG victim", b"#REG victim       ", b"#REG victim 12345678", b"hello",
                    b"#DEREG", b"#NONSENSE", b"", b"#REG " + b"y" * 200]
        # Each comes from a port of its own, so that an answer tells what it answers, however late it is.
        victims = {net.socket(1, socket.AF_INET, socket.SOCK_DGRAM): request for request in requests}
        for i, v in enumerate(victims):
            v.bind(("10.77.0.3", 4000 + i))

        def hear(seconds):
            nonlocal received
            while ready := select.select(list(victims), [], [], seconds)[0]:
                for v in ready:
                    data = v.recv(65536)
                    received += len(data)
                    check(len(data) <= len(victims[v]), victims[v], data)

        for i in range(300):
            kind = i % len(requests)
            attacker.sendto(forged(("10.77.0.3", 4000 + kind), ("10.77.0.1", 5051), requests[kind]), ("10.77.0.1", 5051))
            sent += len(requests[kind])
            hear(0.02 if i else 0.3)
        hear(0.5)
        note("forged requests of %d bytes made chatd send %d bytes" % (sent, received))
        check(received <= sent)
        equal(d.json("list", "clients"), [])
        # Nothing that is said in the room goes there.
        d.ctl("send", "lobby", "secret")
        before = received
        hear(0.3)
        equal(received, before)
        # Echo does not begin an endless conversation with another echo service, or another chatd's.
        for port in (7, 19, 5052):
            attacker.sendto(forged(("10.77.0.3", port), ("10.77.0.1", 5052), b"again and again"), ("10.77.0.1", 5052))
        wait_for(lambda: {l["name"]: l["ignored"] for l in d.json("list", "listeners")}["echo"] == 3)
        # An honest host gets in, and answers come from the address that it asked.
        honest = net.socket(1, socket.AF_INET, socket.SOCK_DGRAM)
        honest.bind(("10.77.0.2", 0))
        honest.connect(("10.77.0.1", 5051))
        honest.settimeout(PATIENCE)
        honest.send(b"#REG honest       ")
        cookie = re.match(rb"#COOKIE (\S{8})", honest.recv(100)).group(1)
        honest.send(b"#REG honest " + cookie)
        equal(honest.recv(100), b"#OK honest 300\n")
        # In a member's name, nobody can ask for what is longer than the question.
        for i in range(20):
            d.ctl("send", "lobby", "x" * 500)
            honest.recv(1000)
        for request in (b"#HISTORY", b"#HISTORY 100", b"#HISTORY 100 12345678", b"#HISTORY 100 %s" % b"z" * 8):
            attacker.sendto(forged(honest.getsockname(), ("10.77.0.1", 5051), request), ("10.77.0.1", 5051))
            check(len(honest.recv(65536)) <= len(request), request)
        honest.settimeout(0.3)
        try:
            check(False, honest.recv(65536))
        except socket.timeout:
            pass
        d.finish()
    finally:
        net.close()


# --- echo ---

@test
def echo():
    need("socat")
    port = free_port(socket.SOCK_DGRAM)
    d = Daemon(listeners='{ name = "e"; type = "udp"; mode = "echo"; listen = "[::]:%d"; }' % port)
    equal(run("socat", "-t1", "-", "UDP:127.0.0.1:%d" % port, stdin=b"abc\n").stdout, b"abc\n")
    v = Device(port, "::1", rcvbuf=1 << 22)
    equal(v.ask(b""), b"")
    for n in (1, 1472, 9000, 65507 - 20):
        equal(v.ask(b"x" * n), b"x" * n)
    for i in range(200):
        v.send(b"%d" % i)
    equal([v.receive() for _ in range(200)], [b"%d" % i for i in range(200)])
    # A service that would answer: its port is well known.
    w = Device(port, bind=("127.0.0.1", 19))
    w.silence(b"loop?")
    equal(d.json("list", "listeners")[0]["ignored"], 1)


@test
def echoes_do_not_answer_each_other():
    """One datagram that says to come from another listener of ours would go to and fro for ever."""
    ports = [free_port(socket.SOCK_DGRAM) for _ in range(3)]
    d = Daemon(listeners='''
      { name = "a"; type = "udp"; mode = "echo"; listen = "[::]:%d"; },
      { name = "b"; type = "udp"; mode = "echo"; listen = "127.0.0.1:%d"; },
      { name = "c"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; }''' % tuple(ports))
    try:
        attacker = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except PermissionError:
        raise Skip("only root can forge addresses") from None
    for source, destination in ((1, 0), (0, 1), (2, 0), (0, 0)):
        attacker.sendto(forged(("127.0.0.1", ports[source]), ("127.0.0.1", ports[destination]), b"ping"), ("127.0.0.1", 0))
    wait_for(lambda: d.metric("datagrams_ignored_total") == 4)
    equal((d.metric("datagrams_received_total"), d.metric("datagrams_sent_total")), (4, 0))
    equal(Device(ports[0]).ask(b"hello"), b"hello")


# --- the life of the daemon ---

@test
def registrations_survive():
    d = udp_daemon(store=True, workers=3)
    devices = [Device(d.udp_port, rcvbuf=1 << 20).join("d%d" % i) for i in range(50)]
    alice = d.join(nick="alice")
    d.supervise()
    rng = random.Random(4)
    confirmed, latecomers = 50, []
    for k in range(30 if SCALE >= 1 else 8):
        deaths = d.deaths
        d.signal(signal.SIGKILL)
        time.sleep(rng.random() * 0.05)
        # The socket is there all the time: what is sent meanwhile waits.
        late = Device(d.udp_port)
        latecomers.append(late)
        answer = None
        while answer is None:
            try:
                answer = late.ask("#REG late%d" % k)
            except socket.timeout:
                pass
        equal(answer, b"#OK late%d 300\n" % k)
        confirmed += 1
        alice.send("round %d\n" % k)
        alice.expect("alice: round %d\n" % k)
        for v in devices:
            v.expect(b"alice: round %d\n" % k)
        wait_for(lambda: d.deaths > deaths)
    d.unsupervise()
    clients = d.json("list", "clients")
    equal(len(clients), confirmed + 1)
    equal(len({c["nick"] for c in clients}), confirmed + 1)
    # Messages of before and after are in order; around a crash one may come twice.
    alice.send("the end\n")
    for v in devices:
        v.expect(b"alice: the end\n")
    # A graceful restart, by chatctl.
    equal(d.ctl("restart")[0], 0)
    alice.send("after the restart\n")
    for v in devices:
        v.expect(b"alice: after the restart\n")
    d.stop()
    for v in devices:
        v.expect(b"#BYE\n")


@test
def answers_come_from_where_they_were_asked():
    """A device knows one of chatd's addresses, and takes nothing from another one, after a restart neither."""
    d = udp_daemon(store=True)
    alice = d.join(nick="alice")
    device = Device(d.udp_port, host="127.0.0.2").join("porch")
    d.supervise()
    for k, end in enumerate(("kill", "restart", "kill")):
        if end == "kill":
            deaths = d.deaths
            d.signal(signal.SIGKILL)
            wait_for(lambda: d.deaths > deaths)
        else:
            d.unsupervise()
            equal(d.ctl("restart")[0], 0)
            d.supervise()
        alice.send("round %d\n" % k)
        device.expect(b"alice: round %d\n" % k)
    d.unsupervise()


@test
def a_listener_that_goes_says_goodbye():
    d = udp_daemon(store=True)
    v = Device(d.udp_port).join("dev")
    alice = d.join(nick="alice")
    # Another lease: nobody is dropped.
    d.write_config(rooms=d.udp_rooms, listeners=d.udp_listeners("lease = 100;"))
    equal(d.ctl("reload")[0], 0)
    equal(v.ask("#REG"), b"#OK dev 100\n")
    d.write_config(rooms=d.udp_rooms)
    equal(d.ctl("reload"), (0, "", ""))
    equal(v.receive(), b"#BYE\n")
    d.drain_notify()
    equal([c["nick"] for c in d.json("list", "clients")], ["alice"])
    # And when it has gone while chatd was away.
    d.write_config(rooms=d.udp_rooms, listeners=d.udp_listeners(""))
    equal(d.ctl("reload")[0], 0)
    v = Device(d.udp_port).join("dev")
    d.kill()
    d.write_config(rooms='{ name = "lobby"; }')
    d.start()
    equal([c["nick"] for c in d.json("list", "clients")], ["alice"])
    alice.expect("* dev left lobby\n")


@test
def a_socket_from_systemd():
    d = Daemon(start=False)
    port = free_port(socket.SOCK_DGRAM)
    passed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    passed.bind(("127.0.0.1", port))
    wrong = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    d.passed = [(fcntl.fcntl(passed.fileno(), fcntl.F_DUPFD_CLOEXEC, 300), "whatever"),
                (fcntl.fcntl(wrong.fileno(), fcntl.F_DUPFD_CLOEXEC, 300), "other")]
    d.write_config(listeners="""
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; },
      { name = "other"; type = "udp"; mode = "echo"; listen = "127.0.0.1:%d"; }""" % (port, free_port(socket.SOCK_DGRAM)))
    v = Device(port)
    v.send("#REG early")  # waits in the socket
    d.start()
    equal(v.receive(), b"#OK early 300\n")
    equal({l["name"]: l["socket"] for l in d.json("list", "listeners")}, {"udp": "systemd", "other": "own"})
    logged(d, '"other" is not a UDP socket')
    passed.close()
    wrong.close()


main()
