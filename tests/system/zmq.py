#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ZeroMQ: request-reply, the relay with and without a room, the pipeline; its clients are C programs (zmqtool.c)."""

import signal
import socket

from testing import *

TOOL = os.path.abspath(os.path.join(BUILD, "tests/system/zmqtool"))


def tool(*args, stdin=b"", env=None, timeout=60):
    p = subprocess.run([TOOL, *map(str, args)], input=stdin, capture_output=True, timeout=timeout,
                       env=dict(os.environ, **(env or {})))
    check(p.returncode == 0, args, p.stdout.decode()[-500:], p.stderr.decode()[-500:])
    return p.stdout.decode()


class Tool:
    """One that goes on in the background."""

    running = []

    def __init__(self, *args, env=None):
        self.p = subprocess.Popen([TOOL, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))
        Tool.running.append(self)

    def say(self, line):
        self.p.stdin.write(line.encode() + b"\n")
        self.p.stdin.flush()

    def line(self):
        return self.p.stdout.readline().decode().rstrip("\n")

    def lines(self, n):
        return [self.line() for _ in range(n)]

    def end(self, timeout=60):
        out, err = self.p.communicate(timeout=timeout)
        check(self.p.returncode == 0, out.decode()[-500:], err.decode()[-500:])
        return out.decode()

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            f.close()


def cleaned(f):
    """A test after which no tool is left."""
    def wrapped():
        try:
            f()
        finally:
            for t in Tool.running:
                t.kill()
            Tool.running.clear()
    wrapped.__name__ = f.__name__
    return wrapped


def differ(got, expected):
    """Where two lists part."""
    equal(len(got), len(expected))
    for i, (g, e) in enumerate(zip(got, expected)):
        check(g == e, "number %d is %r instead of %r" % (i, g, e))


def zmq_daemon(*modes, rooms='{ name = "lobby"; announce_max = 0; }', more="", **kwargs):
    """Listeners of these modes; their endpoints are in the daemon's attributes."""
    d = Daemon(start=False, rooms=rooms, **kwargs)
    for name in ("reply", "pull", "pub", "tasks_in", "tasks_out"):
        setattr(d, name, "tcp://127.0.0.1:%d" % free_port())
    d.listener_texts = {
        "reply": '{ name = "reply"; type = "zmq"; mode = "reply"; listen = "%s"; %s }' % (d.reply, more),
        "relay": '{ name = "relay"; type = "zmq"; mode = "relay"; pull = "%s"; pub = "%s"; %s }' % (d.pull, d.pub, more),
        "bridge": '{ name = "bridge"; type = "zmq"; mode = "relay"; pull = "%s"; pub = "%s"; room = "lobby"; %s }' % (
            d.pull, d.pub, more),
        "pipeline": '{ name = "pipe"; type = "zmq"; mode = "pipeline"; pull = "%s"; push = "%s"; %s }' % (
            d.tasks_in, d.tasks_out, more),
        "chat": '{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }' % d.port}
    d.configure = lambda *modes: d.write_config(rooms=rooms, listeners=", ".join(d.listener_texts[m] for m in modes))
    d.configure(*modes)
    d.start()
    return d


def control(d, method, parameters):
    """The answer to a call of the control socket, sooner than chatctl would have it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(d.socket)
        s.sendall(json.dumps({"method": "io.chatd.Control." + method, "parameters": parameters}).encode() + b"\0")
        answer = b""
        while not answer.endswith(b"\0"):
            part = s.recv(65536)
            check(part, "it hung up after", answer)
            answer += part
    return json.loads(answer[:-1])


def subscribers(d, n, name=None):
    """Waits until so many peers are there, and a moment longer for their subscriptions."""
    wait_for(lambda: sum(c.get("peers", 0) for c in d.json("list", "clients") if name in (None, c["listener"])) >= n)
    time.sleep(0.2)


@test
@cleaned
def requests_are_answered():
    d = zmq_daemon("reply")
    n = 100 if SCALE >= 1 else 30
    equal(tool("req", d.reply, n, 20, 64), "%d answers\n" % (n * 20))
    equal(tool("req", d.reply, 3, 10, 200000), "30 answers\n")
    equal(tool("dealer", d.reply, 500), "500 answers\n")
    listener = d.json("list", "listeners")[0]
    equal((listener["accepted"], listener["received"]), (n + 4, n * 20 + 530))
    equal([t for t in d.threads() if t.startswith("chatd/z")], ["chatd/z0"])
    check("chatd/z0" in [w["name"] for w in d.json("status")["workers"]])
    logged(d, re.compile(r"^<6>chatd \S+ serves 1 listener with 2 workers and 1 service ", re.M))


@test
@cleaned
def thousands_ask_at_once():
    d = zmq_daemon("reply")
    n = 1000 if SCALE >= 1 else 200
    equal(tool("req", d.reply, n, 3, 32, timeout=120), "%d answers\n" % (n * 3))


@test
@cleaned
def the_weather():
    """Subscribers get what begins with their filter, and nothing else."""
    d = zmq_daemon("relay")
    rounds = 200
    subs = {zip_code: Tool("sub", d.pub, zip_code, rounds) for zip_code in ("10001", "10005", "10009")}
    everything = Tool("sub", d.pub, "", rounds * 10)
    subscribers(d, 4)
    tool("weather", d.pull, rounds)
    expected = ["%d %d" % (i % 40 - 10, 30 + i % 50) for i in range(rounds)]
    for zip_code, s in subs.items():
        equal(s.end().splitlines(), ["%s %s" % (zip_code, e) for e in expected])
    equal(len(everything.end().splitlines()), rounds * 10)
    client = d.json("list", "clients")[0]
    equal((client["listener"], client["messages_in"], client["messages_out"]), ("relay", rounds * 10, rounds * 10))


@test
@cleaned
def multipart_messages_stay_whole():
    d = zmq_daemon("relay")
    s = Tool("sub", d.pub, "", 4)
    subscribers(d, 1)
    messages = ["one", "topic\tbody", "a\tb\tc\td\t\tf", "\t\tempty first"]
    tool("push", d.pull, stdin="".join(m + "\n" for m in messages).encode())
    equal(s.end().splitlines(), messages)


@test
@cleaned
def push_and_sub_by_polling():
    """Two people who each have a PUSH and a SUB socket."""
    d = zmq_daemon("bridge", "chat")
    a, b = Tool("talk", d.pull, d.pub, "lobby"), Tool("talk", d.pull, d.pub, "lobby")
    subscribers(d, 4)
    a.say("hello")
    equal((a.line(), b.line()), ("lobby\tbridge: hello", "lobby\tbridge: hello"))
    b.say("hi")
    equal((a.line(), b.line()), ("lobby\tbridge: hi", "lobby\tbridge: hi"))


@test
@cleaned
def the_room_is_bridged_both_ways():
    d = zmq_daemon("bridge", "chat")
    alice = d.join(nick="alice")
    room, raw, three = Tool("sub", d.pub, "lobby", 6), Tool("sub", d.pub, "10001", 1), Tool("sub", d.pub, "x1", 1)
    subscribers(d, 3)
    alice.send("hello there\n")
    equal(room.line(), "lobby\talice: hello there")
    tool("push", d.pull, stdin=b"10001 21 40\ncarol\thi\nalice\tnot me\nx1\tb\tc\nbad \x1b[31m\n")
    # Nobody speaks for somebody who is here.
    alice.expect("bridge: 10001 21 40\ncarol: hi\nbridge: not me\nbridge: bad \ufffd[31m\n")
    equal(room.lines(4), ["lobby\tbridge: 10001 21 40", "lobby\tcarol: hi", "lobby\tbridge: not me",
                          "lobby\tbridge: bad \ufffd[31m"])
    equal(raw.line(), "10001 21 40")  # unchanged as well, for whoever subscribes to it
    equal(three.line(), "x1\tb\tc")  # three frames are that only
    # The bridge reads the room, but is nobody in it.
    alice.send("/rooms\n/who\n")
    alice.expect("* lobby (1)\n* 1 in lobby: alice\n")
    # Nothing comes back as a new message.
    alice.send("the end\n")
    equal(alice.expect("alice: the end\n"), b"alice: the end\n")
    equal(room.line(), "lobby\talice: the end")
    equal(d.metric("messages_total"), 6)
    # There is nobody in particular who could be answered, so this is a text like any other.
    tool("push", d.pull, stdin=b"/history\n#HISTORY 5\n")
    alice.expect("bridge: /history\nbridge: #HISTORY 5\n")
    # Over-long texts and others that are no line are refused, and counted.
    before = d.metric("lines_refused_total")
    tool("push", d.pull, stdin=b"x" * 5000 + b"\nok\n")
    alice.expect("bridge: ok\n")
    equal(d.metric("lines_refused_total"), before + 1)


@test
@cleaned
def peers_speak_for_nobody_else():
    """Not for accounts, chatd, guests, whoever is here, or those who look like them; nor does anybody for the relay."""
    d = zmq_daemon("bridge", "chat")
    passwords = os.path.join(d.dir, "passwords")
    subprocess.run([CHATCTL, "passwd", passwords, "alice"], input=b"x\n", check=True)
    d.listener_texts["chat"] = d.listener_texts["chat"].replace("room =", 'password_file = "%s"; room =' % passwords)
    d.write_config(rooms='{ name = "lobby"; announce_max = 0; }',
                   listeners=d.listener_texts["bridge"] + "," + d.listener_texts["chat"])
    equal(d.ctl("reload")[0], 0)
    bob = d.join(nick="bob")
    room = Tool("sub", d.pub, "lobby", 15)
    subscribers(d, 1)
    others = ["alice", "Alice", "\u0430lice", "admin", "\u0430dmin", "chatd", "guest1", "guestl7", "BOB", "b0b", "x\u3164",
              "br\u0456dge", "[bob"]
    texts = "".join("%s\tas %d\n" % (nick, i) for i, nick in enumerate(others))
    # What is said in the room is published with the room's name in front, which is for the room to do.
    tool("push", d.pull, stdin=(texts + "lobby\talice: forged\ncarol\thi\n").encode())
    expected = ["bridge: as %d" % i for i in range(len(others))] + ["carol: hi"]
    text = bob.expect("carol: hi\n")
    equal(text.decode().splitlines()[-len(expected):], expected)
    tool("push", d.pull, stdin=b"end\n")
    equal(room.lines(15), ["lobby\t" + line for line in expected] + ["lobby\tbridge: end"])
    bob.send("/nick bridge\n/nick Br\u0456dge\n")
    bob.expect("* bridge is reserved.\n* Br\u0456dge is reserved.\n")


@test
@cleaned
def who_compares_the_whole_first_frame_hears_what_the_room_says_and_nothing_else():
    """A subscription to lobby matches whatever begins so, also what peers push."""
    d = zmq_daemon("bridge", "chat")
    alice = d.join(nick="alice")
    all_that_matches, room = Tool("sub", d.pub, "lobby", 5), Tool("talk", d.pull, d.pub, "lobby")
    subscribers(d, 3)
    tool("push", d.pull, stdin=b"lobby2\tadmin: forged\nlobbyadmin: forged\nlobby\tadmin: forged\n")
    alice.expect("bridge: lobbyadmin: forged\n")
    alice.send("the end\n")
    said = ["lobby\tlobby2: admin: forged", "lobby\tbridge: lobbyadmin: forged", "lobby\talice: the end"]
    equal([room.line() for _ in said], said)
    equal(sorted(all_that_matches.lines(5)), sorted(["lobby2\tadmin: forged", "lobbyadmin: forged"] + said))


@test
@cleaned
def no_relay_with_a_room_is_called_as_somebody_is():
    """Its anonymous peers would speak as that one."""
    d = zmq_daemon("bridge", "chat")
    passwords = os.path.join(d.dir, "passwords")
    subprocess.run([CHATCTL, "passwd", passwords, "alice"], input=b"x\n", check=True)
    rooms = '{ name = "lobby"; }, { name = "board"; members = ( "zoe" ); }'
    chat = d.listener_texts["chat"].replace("room =", 'password_file = "%s"; room =' % passwords)
    for name, what in (("admin", "one of chatd's own"), ("Chatd", "one of chatd's own"), ("guest2", "one of chatd's own"),
                       ("al1ce", "the account alice"), ("Zoe", "the account zoe")):
        relay = d.listener_texts["bridge"].replace('"bridge"', '"%s"' % name)
        d.write_config(rooms=rooms, listeners="\n" + relay + ", " + chat)
        code, _, err = d.ctl("reload")
        check(code == 1 and re.search(r"chatd.conf:\d+: a relay speaks in its room under its name, and \"%s\" is somebody "
                                      "else's: it is, or looks like, %s" % (name, what), err), name, err)
        # Without a room nothing is said under that name.
        d.write_config(rooms=rooms, listeners=relay.replace('room = "lobby";', "") + ", " + chat)
        equal(d.ctl("check", d.config)[0], 0)
    d.write_config(rooms=rooms, listeners=d.listener_texts["bridge"] + ", " + chat)
    equal(d.ctl("reload")[0], 0)


@test
@cleaned
def tcp_udp_and_zeromq_see_the_same():
    d = zmq_daemon("bridge", "chat")
    port = free_port(socket.SOCK_DGRAM)
    d.listener_texts["udp"] = '{ name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }' % port
    d.configure("bridge", "chat", "udp")
    equal(d.ctl("reload"), (0, "", ""))
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    device.connect(("127.0.0.1", port))
    device.settimeout(PATIENCE)
    device.send(b"#REG device")
    equal(device.recv(100), b"#OK device 300\n")
    alice = d.join(nick="alice")
    n = 50
    z = Tool("sub", d.pub, "lobby", 3 * n + 1)
    subscribers(d, 1)
    p = Tool("push", d.pull)
    for i in range(n):
        alice.send("a%d\n" % i)
        device.send(b"d%d" % i)
        p.say("z%d" % i)
        time.sleep(0.001)
    tcp = alice.expect_messages(3 * n)
    alice.send("the end\n")
    tcp += alice.expect_messages(1)
    udp = []
    while not udp or udp[-1] != "alice: the end":
        udp.append(device.recv(65536).decode().rstrip("\n"))
    zmq = [l.split("\t", 1)[1] for l in z.lines(3 * n + 1)]
    equal(tcp[-1], "alice: the end")
    equal(udp[-(3 * n + 1):], tcp)
    equal(zmq, tcp)
    for who, letter in (("alice", "a"), ("device", "d"), ("bridge", "z")):
        equal([l for l in tcp if l.startswith("%s: %s" % (who, letter))], ["%s: %s%d" % (who, letter, i) for i in range(n)])


@test
@cleaned
def work_is_spread():
    d = zmq_daemon("pipeline")
    n = 100000 if SCALE >= 1 else 10000
    results = "tcp://127.0.0.1:%d" % free_port()
    sink = Tool("sink", "@" + results, n)
    workers = [Tool("worker", d.tasks_out, results) for _ in range(4)]
    subscribers(d, 4)
    started = time.monotonic()
    tool("ventilator", d.tasks_in, n)
    equal(sink.end(120), "%d results\n" % n)
    note("%d tasks by 4 workers in %.2f s" % (n, time.monotonic() - started))
    counts = [int(w.end()) for w in workers]
    equal(sum(counts), n)
    check(min(counts) > n / 8, counts)


@test
@cleaned
def work_waits_for_a_worker():
    d = zmq_daemon("pipeline", more="high_water_mark = 100;")
    ventilator = Tool("ventilator", d.tasks_in, 200000, 500)
    time.sleep(1.0)
    # Nobody works: the ventilator is held back, and chatd stays small.
    check(ventilator.p.poll() is None, "the ventilator got rid of everything")
    check(d.json("list", "listeners")[0]["received"] <= 1)
    results = "tcp://127.0.0.1:%d" % free_port()
    sink = Tool("sink", "@" + results, 200000)
    Tool("worker", d.tasks_out, results)
    equal(sink.end(120), "200000 results\n")


@test
@cleaned
def a_restart_loses_nothing_that_was_pushed():
    d = zmq_daemon("bridge", "chat", more="high_water_mark = 100000;")
    alice = d.join(nick="alice")
    rounds = 5 if SCALE >= 1 else 2
    s = Tool("sub", d.pub, "n", 2000 * rounds)
    subscribers(d, 1)
    p = Tool("push", d.pull)
    n = 0
    for _ in range(rounds):
        for i in range(2000):
            p.say("n%d" % n)
            n += 1
            if i == 1000:
                p.p.stdin.flush()
                d.signal(signal.SIGUSR2)
        wait_for(lambda: d.ctl("ping")[0] == 0)
        alice.expect("bridge: n%d\n" % (n - 1))
    p.p.stdin.close()
    got = s.lines(2000 * rounds)
    differ(got, ["n%d" % i for i in range(2000 * rounds)])


@test
@cleaned
def a_stop_passes_on_what_is_there():
    # A PUB socket drops what goes beyond its high-water mark, here as everywhere.
    d = zmq_daemon("relay", more="high_water_mark = 100000;")
    s = Tool("sub", d.pub, "", 20000)
    subscribers(d, 1)
    tool("push", d.pull, stdin=b"".join(b"%d\n" % i for i in range(20000)))
    d.stop()
    differ(s.lines(20000), [str(i) for i in range(20000)])
    logged(d, re.compile(r"2 workers and 1 service ended\n.*stopped", re.S))


@test
@cleaned
def ipc_ipv6_and_several_at_once():
    d = zmq_daemon("reply", "relay", "pipeline")
    path = os.path.join(d.dir, "relay")
    d.listener_texts["relay"] = '{ name = "relay"; type = "zmq"; mode = "relay"; pull = "ipc://%s.pull"; pub = "ipc://%s.pub"; }' % (
        path, path)
    six = free_port()
    d.listener_texts["six"] = '{ name = "six"; type = "zmq"; mode = "reply"; listen = "tcp://[::1]:%d"; }' % six
    star = free_port()
    d.listener_texts["star"] = '{ name = "star"; type = "zmq"; mode = "reply"; listen = "tcp://*:%d"; }' % star
    d.configure("reply", "relay", "pipeline", "six", "star")
    equal(d.ctl("reload"), (0, "", ""))
    equal(tool("req", "tcp://[::1]:%d" % six, 2, 2, 10), "4 answers\n")
    equal(tool("req", "tcp://[::1]:%d" % star, 2, 2, 10), "4 answers\n")
    equal(tool("req", "tcp://127.0.0.1:%d" % star, 2, 2, 10), "4 answers\n")
    equal(tool("req", d.reply, 2, 2, 10), "4 answers\n")
    s = Tool("sub", "ipc://%s.pub" % path, "", 1)
    subscribers(d, 1, "relay")
    tool("push", "ipc://%s.pull" % path, stdin=b"by path\n")
    equal(s.line(), "by path")
    # Again with another high-water mark, at the same paths and ports.
    d.listener_texts["relay"] = d.listener_texts["relay"].replace("}", " high_water_mark = 5000; }")
    d.listener_texts["six"] = d.listener_texts["six"].replace("}", " high_water_mark = 5000; }")
    d.configure("relay", "six")
    equal(d.ctl("reload"), (0, "", ""))
    equal(tool("req", "tcp://[::1]:%d" % six, 2, 2, 10), "4 answers\n")
    s = Tool("sub", "ipc://%s.pub" % path, "", 1)
    subscribers(d, 1, "relay")
    tool("push", "ipc://%s.pull" % path, stdin=b"again\n")
    equal(s.line(), "again")
    equal(len([t for t in d.threads() if t.startswith("chatd/z")]), 2)


@test
@cleaned
def sockets_from_systemd():
    d = Daemon(start=False)
    ports = [free_port() for _ in range(3)]
    passed = []
    for port, name in zip(ports, ("relay.pull", "by-address", "reply")):
        s = socket.socket(socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(100)
        passed.append(s)
        d.passed.append((fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, 300), name))
    d.write_config(listeners="""
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; },
      { name = "reply"; type = "zmq"; mode = "reply"; listen = "tcp://127.0.0.1:%d"; }""" % tuple(ports))
    client = Tool("req", "tcp://127.0.0.1:%d" % ports[2], 5, 5, 10)  # before chatd is there
    d.start()
    equal(client.end(), "25 answers\n")
    equal({l["name"]: l["socket"] for l in d.json("list", "listeners")}, {"relay": "systemd", "reply": "systemd"})
    s = Tool("sub", "tcp://127.0.0.1:%d" % ports[1], "", 1)
    subscribers(d, 1, "relay")
    tool("push", "tcp://127.0.0.1:%d" % ports[0], stdin=b"through\n")
    equal(s.line(), "through")
    for s in passed:
        s.close()


@test
@cleaned
def curve_lets_in_who_is_on_the_list():
    server, friend, stranger = (tool("keys").split() for _ in range(3))
    d = zmq_daemon("reply", more='curve_secret_key = "%s"; curve_clients = ( "%s" );' % (server[1], friend[0]))

    def env(keys):
        return {"CURVE_SERVER": server[0], "CURVE_PUBLIC": keys[0], "CURVE_SECRET": keys[1]}

    equal(tool("req", d.reply, 2, 5, 10, env=env(friend)), "10 answers\n")
    t = Tool("req", d.reply, 1, 1, 10, env=env(stranger))
    plain = Tool("req", d.reply, 1, 1, 10)
    wait_for(lambda: d.json("list", "listeners")[0]["ignored"] >= 2)
    check(t.p.poll() is None and plain.p.poll() is None)
    equal(tool("req", d.reply, 2, 5, 10, env=env(friend)), "10 answers\n")
    # Without a list, whoever knows the public key.
    d.listener_texts["reply"] = re.sub(r"curve_clients = .*?;", "", d.listener_texts["reply"])
    d.configure("reply")
    equal(d.ctl("reload"), (0, "", ""))
    equal(tool("req", d.reply, 2, 5, 10, env=env(stranger)), "10 answers\n")
    code, out, _ = d.ctl("keys")
    equal(code, 0)
    check(re.search(r"public key +\S{40}\nsecret key +\S{40}\n", out), out)


@test
@cleaned
def mistakes_have_a_line():
    d = zmq_daemon("reply")
    for listener, expected in (
            ('mode = "reply"; listen = "tcp://nowhere:5";', 'listen must be an endpoint'),
            ('mode = "reply"; listen = "udp://127.0.0.1:5";', 'listen must be an endpoint'),
            ('mode = "relay"; pull = "tcp://127.0.0.1:5";', 'needs pub ='),
            ('mode = "relay"; pull = "tcp://127.0.0.1:5"; pub = "tcp://127.0.0.1:5";', 'must be different'),
            ('mode = "reply"; listen = "tcp://127.0.0.1:5"; pub = "tcp://127.0.0.1:6";', 'has no pub'),
            ('mode = "reply"; listen = "tcp://127.0.0.1:5"; room = "lobby";', 'has no room'),
            ('mode = "reply"; listen = "tcp://127.0.0.1:5"; curve_secret_key = "short";', 'must be a CURVE key of 40'),
            ('mode = "reply"; listen = "tcp://127.0.0.1:5"; high_water_mark = 0;', 'whole number from 1')):
        d.write_config(listeners='{ name = "z"; type = "zmq";\n %s }' % listener)
        code, _, err = d.ctl("check", d.config)
        check(code == 1 and expected in err and re.search(r"chatd.conf:\d+: ", err), listener, err)
        code, _, err = d.ctl("reload")
        check(code == 1 and expected in err, listener, err)
    # What only shows when it is tried: a port that is taken, a directory that isn't there.
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    for endpoint in ("tcp://127.0.0.1:%d" % taken.getsockname()[1], "ipc:///no/such/directory/socket"):
        d.write_config(listeners='{ name = "z"; type = "zmq"; mode = "reply"; listen = "%s"; }' % endpoint)
        code, _, err = d.ctl("reload")
        check(code == 1 and endpoint in err, err)
    equal(tool("req", d.reply, 2, 2, 10), "4 answers\n")
    taken.close()


@test
@cleaned
def a_reload_that_replaces_too_many_says_what_to_do():
    d = zmq_daemon("reply")
    old, new = [["tcp://127.0.0.1:%d" % free_port() for _ in range(14)] for _ in range(2)]

    def reload(endpoints):
        d.write_config(listeners=", ".join([d.listener_texts["reply"]] + [
            '{ name = "r%d"; type = "zmq"; mode = "reply"; listen = "%s"; }' % (i, e) for i, e in enumerate(endpoints)]))
        code, _, err = d.ctl("reload")
        return code, err

    equal(reload(old), (0, ""))
    # 1 + 14 are open, and 14 more would be for a moment; some may, in place of services that aren't configured.
    code, err = reload(new)
    check(code == 1 and "only 16 ZeroMQ listeners can be open at once" in err and "with one reload" in err, err)
    equal(tool("req", old[8], 2, 2, 10), "4 answers\n")
    # What it says helps.
    equal(reload([]), (0, ""))
    equal(reload(new), (0, ""))
    equal(tool("req", new[8], 2, 2, 10), "4 answers\n")


def zmtp(endpoint, kind):
    """A connection that has said what a libzmq socket of that kind says first (rfc.zeromq.org/spec/23, NULL)."""
    s = socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1])), timeout=20)
    s.sendall(b"\xff" + b"\0" * 8 + b"\x7f\3\0" + b"NULL".ljust(20, b"\0") + b"\0" * 32)
    body = b"\5READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    s.sendall(b"\4" + bytes([len(body)]) + body)
    got = b""
    while len(got) < 66 or len(got) < 66 + got[65]:
        part = s.recv(1)  # what follows is the caller's
        check(part)
        got += part
    return s


def frame(data, more=False):
    return (bytes([more, len(data)]) if len(data) < 256 else bytes([2 | more]) + len(data).to_bytes(8, "big")) + data


def resident(pid):
    """Megabytes that are the process's own."""
    with open("/proc/%d/statm" % pid) as f:
        fields = f.read().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGESIZE") >> 20


@test
@cleaned
def a_message_without_an_end_is_cut_off():
    """Whoever sends frame after frame is cut off at max_size, at each socket; libzmq would keep them all."""
    d = zmq_daemon("reply", "relay", "pipeline")
    before = resident(d.pid)
    attackers = 0
    for endpoint, kind in ((d.reply, b"DEALER"), (d.pull, b"PUSH"), (d.pub, b"SUB"), (d.tasks_in, b"PUSH"), (d.tasks_out, b"PULL")):
        for part in (b"", b"x" * 100):
            s = zmtp(endpoint, kind)
            attackers += 1
            chunk, sent = frame(part, True) * (65536 // (len(part) + 2)), 0
            try:
                while sent < 200 << 20:
                    s.sendall(chunk)
                    sent += len(chunk)
                raise Failure("%s in frames of %d took %d MB" % (kind, len(part), sent >> 20))
            except (BrokenPipeError, ConnectionResetError):
                pass
            s.close()
    wait_for(lambda: d.metric("zmq_too_long_total") == attackers)
    if SCALE >= 1:  # sanitizers keep what is freed
        check(resident(d.pid) - before < 150, resident(d.pid), before)
    logged(d, "a peer is cut off: its message is longer than max_size")
    equal(tool("req", d.reply, 10, 10, 64), "100 answers\n")


@test
@cleaned
def long_messages_and_many_are_not_cut():
    """Up to max_size, in one frame or many; also while nothing is taken, as there is no worker yet."""
    d = zmq_daemon("pipeline", "relay")
    s = zmtp(d.tasks_in, b"PUSH")
    s.settimeout(60)
    size, n = (1 << 20) - 100, 40
    pieces = [b"%05d" % i + b"x" * 895 for i in range(1100)]
    many = b"".join(frame(p, i + 1 < len(pieces)) for i, p in enumerate(pieces))
    for i in range(n):
        s.sendall(frame(b"%05d" % i + b"y" * (size - 5)) if i % 2 else many)
    worker = zmtp(d.tasks_out, b"PULL")
    worker.settimeout(60)
    expected = sum(size + 9 if i % 2 else len(many) for i in range(n))
    got = 0
    while got < expected:
        part = worker.recv(1 << 20)
        check(part, "closed after", got)
        got += len(part)
    # As fast as it goes, in messages of all lengths, with others that talk.
    fast = zmtp(d.pull, b"PUSH")
    fast.settimeout(60)
    other = zmtp(d.pull, b"PUSH")
    burst = b"".join(frame(b"z" * length) for length in (1, 10, 100, 1000, 10000, 100000, 1000000)) * 5
    for _ in range(max(4, int(30 * SCALE))):
        fast.sendall(burst)
        other.sendall(frame(b"hello"))
    wait_for(lambda: [l for l in d.json("list", "listeners") if l["name"] == "relay"][0]["received"] ==
             max(4, int(30 * SCALE)) * 36, 60, "all of them")
    equal(d.metric("zmq_too_long_total"), 0)
    for k in (s, worker, fast, other):
        k.close()


@test
@cleaned
def peers_leave_the_others_some_descriptors():
    """libzmq accepts whoever comes; those beyond what is for clients are sent away, and nothing spins."""
    d = zmq_daemon("reply", "chat")
    import resource
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (d.fds() + 120,) * 2)
    where = ("127.0.0.1", int(d.reply.rsplit(":", 1)[1]))
    flood = []
    for _ in range(400):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(where)
        flood.append(s)
    # Also while libzmq takes each descriptor that somebody closes, as it does until nobody waits at its door any more.
    for i in range(100):
        reply = control(d, "Ban", {"address": "192.0.2.%d" % i, "seconds": 3600})
        check(reply["parameters"].get("saved"), i, reply)
    wait_for(lambda: "listener reply: no more connections can be accepted" in d.log(), what="the limit")
    equal(d.ctl("ban", "198.51.100.1", "1h")[0], 0)
    equal(len(d.json("list", "bans")), 101)
    before = d.cpu()
    time.sleep(1.5)
    check(d.cpu() - before < 0.5, "it used", d.cpu() - before, "s of CPU in 1.5 s")
    for s in flood:
        s.close()
    wait_for(lambda: "listener reply: connections are accepted again" in d.log(), what="free descriptors")
    equal(tool("req", d.reply, 10, 10, 64), "100 answers\n")
    d.join()


@test
@cleaned
def garbage_costs_nothing():
    d = zmq_daemon("reply", "relay")
    rng = __import__("random").Random(1)
    reply = ("127.0.0.1", int(d.reply.rsplit(":", 1)[1]))
    before, fds = d.cpu(), d.fds()
    half = []
    for i in range(300):
        s = socket.create_connection(reply)
        try:
            s.send([b"GET / HTTP/1.0\r\n\r\n", bytes(rng.randrange(256) for _ in range(200)), b"\xff", b"\xff" + b"\0" * 8,
                    b"\xff\0\0\0\0\0\0\0\1\x7f\3"][i % 5])
        except OSError:
            pass
        if i % 10 == 0:
            half.append(s)
        else:
            s.close()
    equal(tool("req", d.reply, 10, 10, 64), "100 answers\n")
    wait_for(lambda: d.json("list", "listeners")[0]["ignored"] > 50)
    # Whoever says half a greeting and waits is sent away.
    wait_for(lambda: d.fds() < fds + 5, what="the half greetings' end")
    check(d.cpu() - before < 5, d.cpu() - before)
    for s in half:
        s.close()


main()
