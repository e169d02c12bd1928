#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nobody notices a restart: crashes, restarts and upgrades, with a stand-in for systemd's fd store."""

import array
import random
import signal
import socket
import struct
import time

from load import Load, during
from testing import *

ROOMS = '{ name = "lobby"; announce_max = 0; history = 0; }'
DEFAULTS = "room_defaults: { history = 0; log_size = \"8M\"; announce_max = 0; };"


def report(load):
    result = load.finish()
    note("%(lines)d lines, %(deliveries)d deliveries compared, longest silence %(longest_silence).3f s" % result)
    for p in result["problems"]:
        note(p)
    equal(result["n_problems"], 0)
    check(result["deliveries"] > 0)
    load.close()


@test
def kills_at_random_instants():
    """SIGKILL under load, also several within 100 ms and during the start."""
    rounds = int(os.environ.get("CHATD_KILLS", "100" if SCALE >= 1 else "15"))
    d = Daemon(rooms=ROOMS, extra=DEFAULTS, store=True, workers=4)
    load = Load("127.0.0.1", d.port, 200 if SCALE >= 1 else 60, 10)
    rng = random.Random(3)

    def steps():
        for i in range(rounds):
            yield rng.random() * 0.25
            d.kill()
            d.spawn()
            if i % 5 == 4:  # and again while it starts
                for _ in range(rng.randrange(1, 4)):
                    yield rng.random() * 0.03
                    d.kill()
                    d.spawn()
            while not d.ready:
                d.drain_notify()
                check(d.alive(), d.log()[-2000:])
                yield 0.002
        yield 0.3

    during(load, steps())
    status = d.json("status")
    note("%d takeovers" % status["takeover"]["count"])
    equal(status["takeover"]["closed"], 0)
    equal(status["takeover"]["clients"], len(load.members))
    check("can't be" not in d.log(), [l for l in d.log().splitlines() if "can't be" in l][:5])
    report(load)


@test
def restarts_by_the_service_manager():
    d = Daemon(rooms=ROOMS, extra=DEFAULTS, store=True, workers=4)
    load = Load("127.0.0.1", d.port, 100, 5)

    def steps():
        for _ in range(20 if SCALE >= 1 else 6):
            yield 0.2
            d.signal(signal.SIGUSR1)
            while d.alive():
                yield 0.001
            equal(d.status, 0)
            d.spawn()
            while not d.ready:
                d.drain_notify()
                yield 0.001
        yield 0.2

    during(load, steps())
    report(load)


@test
def restarts_without_a_service_manager():
    """`chatctl restart` and SIGUSR2, under load, with the other binary every second time."""
    d = Daemon(rooms=ROOMS, extra=DEFAULTS, workers=4, start=False)
    d.binary = os.path.join(d.dir, "chatd")
    shutil.copy(CHATD, d.binary)
    d.start()
    pid = d.pid
    load = Load("127.0.0.1", d.port, 200 if SCALE >= 1 else 60, 10)
    count = 20 if SCALE >= 1 else 6

    def takeovers():
        """How many there have been; 0 while the next process isn't there to say so."""
        out = d.ctl("--json", "status")[1]
        return json.loads(out)["takeover"]["count"] if out else 0

    def steps():
        for i in range(count):
            yield 0.2
            if i % 2:
                # As a package manager does it: the new file takes the old one's name.
                shutil.copy(CHATD, d.binary + ".new")
                os.rename(d.binary + ".new", d.binary)
                p = subprocess.Popen([CHATCTL, "-s", d.socket, "restart"], stdout=subprocess.PIPE)
                while p.poll() is None:
                    yield 0.005
                equal(p.returncode, 0)
                check(b" closed; nobody was served for " in p.stdout.read())
                p.stdout.close()
            else:
                d.signal(signal.SIGUSR2)
                yield 0.3
                until = time.monotonic() + 20
                while takeovers() <= i and time.monotonic() < until:
                    yield 0.05
        yield 0.2

    during(load, steps())
    t = d.json("status")["takeover"]
    equal((t["count"], t["closed"], t["clients"]), (count, 0, len(load.members)))
    equal(d.pid, pid)
    check(d.alive())
    report(load)


@test
def everything_comes_back():
    """Nick, room, listener, half a line, unread replies, history; who was not greeted is greeted once."""
    other = free_port()
    d = Daemon(store=True, start=False)
    d.write_config(rooms='{ name = "lobby"; }, { name = "den"; }', listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
      { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; },
      { name = "other"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "den"; }
      """ % (d.port, d.echo_port, other))
    d.start()
    alice, bob = d.join(nick="alice"), d.join(nick="bob")
    den = d.connect(port=other)
    den.expect(WELCOME)
    echo = d.connect(port=d.echo_port)
    echo.send("half")
    echo.expect("half")
    bob.send("/join secret\n")
    bob.expect("* You are in secret.\n")
    bob.send("in the secret room\n")
    bob.expect("bob: in the secret room\n")
    alice.expect("* bob left lobby\n")
    alice.send("half a li")
    time.sleep(0.1)
    before = {c["id"]: (c["nick"], c["room"], c["listener"], c["address"]) for c in d.json("list", "clients")}
    d.kill()
    # These wait in the backlog while nobody is there.
    late = [d.connect() for _ in range(3)]
    late[0].send("/nick late\nhi\n")
    alice.send("ne, continued")
    d.start()
    after = {c["id"]: (c["nick"], c["room"], c["listener"], c["address"]) for c in d.json("list", "clients")}
    for i, c in before.items():
        equal(after.get(i), c)
    for c in late:
        c.expect(WELCOME)
    late[0].expect("late: hi\n")
    alice.send(" here\n")
    alice.expect("alice: half a line, continued here\n")
    echo.send(" and half")
    echo.expect(" and half")
    den.send("den\n")
    den.expect("den\n")
    bob.nothing()
    bob.send("/nick bobby\n")
    bob.expect("* bob is now bobby\n")
    late[1].send("/nick Alice\n")
    late[1].expect("* Alice is taken.\n")
    c = d.join()
    c.send("/join secret\n")
    c.expect("bob: in the secret room\n")
    equal(alice.buf.count(b"Welcome"), 0)
    status = d.json("status")
    equal((status["takeover"]["count"], status["takeover"]["clients"], status["takeover"]["closed"]), (1, 4, 0))
    check(0 < status["takeover"]["gap"] < 10)
    out = d.ctl("status")[1]
    check(re.search(r"^clients    8 \(all of them survive a restart or a crash\)$", out, re.M), out)
    check(re.search(r"^takeovers  1, the last .*: 4 clients taken over, 0 closed; nobody was served for", out, re.M), out)


@test
def unread_output_comes_back():
    """A client that does not read while chatd dies several times gets all of it, once."""
    d = Daemon(store=True, rooms='{ name = "lobby"; history = 0; log_size = "16M"; }')
    reader, talker = d.join(nick="reader", rcvbuf=4096), d.join(nick="talker")
    drain(talker)
    echo = d.connect(port=d.echo_port, rcvbuf=4096)
    blob = random.Random(5).randbytes(100_000)
    echo.send(blob)
    total = 60000
    for i in range(0, total, 1000):
        talker.send("".join("%06d %s\n" % (k, "." * 90) for k in range(i, i + 1000)))
        if i in (10000, 30000, 50000):
            d.kill()
            d.start()
    wait_for(lambda: "%06d" % (total - 1) in d.ctl("tail", "-n", "1", "lobby")[1], what="the last message")
    d.kill()
    d.start()
    data = reader.expect(re.compile(rb"talker: %06d \.{90}\n" % (total - 1)), 60)
    equal(re.findall(rb"^talker: (\d+) \.{90}$", data, re.M), [b"%06d" % i for i in range(total)])
    got = b""
    echo.sock.settimeout(PATIENCE)
    while len(got) < len(blob):
        got += echo.sock.recv(1 << 16)
    check(got == blob)


@test
def those_who_leave_while_chatd_is_away():
    d = Daemon(store=True)
    a, b, c = d.join(nick="a"), d.join(nick="b"), d.join(nick="c")
    a.expect("is now c\n")
    d.kill()
    b.send("my last words\n")
    b.close()
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
    d.start()
    text = a.expect(re.compile(rb"(?s)(?=.*b: my last words\n)(?=.*\* b left lobby\n)(?=.*\* c left lobby\n).*"))
    check(text.index(b"b: my last words\n") < text.index(b"* b left lobby\n"))
    wait_for(lambda: d.json("status")["clients"] == 1)


@test
def a_quiet_room_is_nobody_elses_after_a_restart():
    """Its log has another size now, and a room of its old size is new: who is in it is in neither."""
    for how in ("kill", "restart"):
        for kind in ('format = "raw";', "announce_max = 0;"):
            d = Daemon(store=True, start=False)
            listeners = '{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "hall"; }' % d.port
            d.write_config(rooms='{ name = "hall"; log_size = "128K"; %s }' % kind, listeners=listeners)
            d.start()
            guest = d.join()
            d.write_config(rooms='{ name = "hall"; log_size = "256K"; %s }, { name = "board"; members = ( "alice" ); '
                                 'log_size = "128K"; }' % kind, listeners=listeners)
            if how == "kill":
                d.kill()
                d.start()
            else:
                equal(d.ctl("restart")[0], 0)
                d.wait_ready()
            guest.send("/who\n")
            guest.expect("* 1 in hall: guest1\n")
            equal(d.json("status")["takeover"]["closed"], 0)
            d.finish()


@test
def without_its_rooms_nobody_is_taken_over_into_others():
    d = Daemon(store=True, start=False)
    listeners = '{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "hall"; }' % d.port
    d.write_config(rooms='{ name = "hall"; announce_max = 0; }', listeners=listeners)
    d.start()
    guest = d.join()
    d.kill()
    for fd in d.stored.pop("chatd-rooms-5"):
        os.close(fd)
    d.write_config(rooms='{ name = "board"; members = ( "alice" ); announce_max = 0; }, { name = "hall"; }',
                   listeners=listeners)
    d.start()
    equal(guest.rest(), b"* chatd can't go on with this connection; please connect again.\n")
    equal([r["members"] for r in d.json("list", "rooms")], [0, 0])


@test
def listeners_get_other_names_while_chatd_is_away():
    d = Daemon(store=True, start=False)
    names = ("red", "green")

    def configure(a, b):
        d.write_config(listeners="""
          { name = "%s"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
          { name = "%s"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; } """ % (a, d.port, b, d.echo_port))

    configure(*names)
    d.start()
    first = d.join()
    for new in (("green", "red"), ("blue", "red"), ("red", "blue")):
        d.kill()
        waiting = d.connect(port=d.port), d.connect(port=d.echo_port)  # in the sockets' queues
        configure(*new)
        d.start()
        for c in waiting:
            c.expect(WELCOME)
        equal(sorted(n for n in d.stored if n.startswith("chatd-own-")), sorted("chatd-own-" + n for n in new))
    first.send("still here\n")
    first.expect("guest1: still here\n")


@test
def listeners_get_other_addresses_while_chatd_is_away():
    """Of a port that a socket of the process before still has: all addresses instead of one, and back."""
    d = Daemon(store=True, start=False)
    udp = free_port(socket.SOCK_DGRAM)

    def configure(host):
        d.write_config(listeners="""
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "%s:%d"; },
          { name = "udp"; type = "udp"; mode = "registry"; listen = "%s:%d"; room = "lobby"; } """ % (host, d.port, host, udp))

    configure("127.0.0.1")
    d.start()
    first = d.join()
    for host, restart in (("[::]", d.kill), ("127.0.0.1", d.kill), ("[::]", None), ("127.0.0.1", None)):
        configure(host)
        if restart:
            restart()
            d.start()
        else:
            equal(d.ctl("restart")[0], 0)
        equal([l["address"] for l in d.json("list", "listeners")], ["%s:%d" % (host, d.port), "%s:%d" % (host, udp)])
        d.connect().expect(WELCOME)
        if restart:
            equal(sorted(n for n in d.stored if n.startswith("chatd-own-")), ["chatd-own-chat", "chatd-own-udp"])
            equal([len(d.stored["chatd-own-" + n]) for n in ("chat", "udp")], [1, 1])
    first.send("still here\n")
    first.expect("guest1: still here\n")


@test
def a_stop_is_an_end():
    d = Daemon(store=True)
    a = d.join(nick="alice")
    d.stop()
    check(a.rest().endswith(b"* chatd is going down\n"))
    equal(d.stored, {})
    d.start()
    equal(d.json("status")["takeover"]["count"], 0)


@test
def a_successor_that_fails_leaves_the_old_one_serving():
    d = Daemon(start=False)
    d.binary = os.path.join(d.dir, "chatd")
    shutil.copy(CHATD, d.binary)
    d.start()
    a = d.join(nick="alice")

    def replace(text):
        with open(d.binary + ".new", "w") as f:
            f.write(text)
        os.chmod(d.binary + ".new", 0o755)
        os.rename(d.binary + ".new", d.binary)

    for text, why in (("#!/bin/sh\necho no such library >&2; exit 127\n", "no such library"),
                      ("#!/bin/sh\nsleep 60\n", "does not end"),
                      ("#!/bin/sh\necho something else\n", "is not chatd"),
                      ("not a program", "")):
        replace(text)
        code, out, err = d.ctl("restart")
        check(code == 1 and why in err, code, err)
        a.send("served\n")
        a.expect("alice: served\n")
    os.unlink(d.binary)
    code, out, err = d.ctl("restart")
    check(code == 1 and "No such file" in err, err)
    shutil.copy(CHATD, d.binary)
    with open(d.config, "a") as f:
        f.write("nonsense = 1;\n")
    code, out, err = d.ctl("restart")
    check(code == 1 and "nonsense" in err, err)
    d.write_config()
    equal(d.ctl("restart")[0], 0)
    a.send("still served\n")
    a.expect("alice: still served\n")


@test
def an_abort_is_survived():
    d = Daemon(store=True)
    a = d.join(nick="alice")
    d.signal(signal.SIGABRT)
    d.wait()
    d.start()
    a.send("here\n")
    a.expect("alice: here\n")


@test
def state_that_can_not_be_trusted_is_refused():
    """Damaged and foreign state: those clients are closed, and chatd serves all the same."""
    for damage in ("clients-magic", "clients-other", "rooms-magic", "rooms-type", "keeper-type", "entry"):
        d = Daemon(store=True)
        a = d.join(nick="alice")
        d.kill()
        d.drain_notify()
        clients, rooms = d.stored["chatd-clients-5"][0], d.stored["chatd-rooms-5"][0]
        if damage == "clients-magic":
            os.pwrite(clients, b"garbage!", 0)
        elif damage == "clients-other":
            os.pwrite(clients, struct.pack("I", 99), 8)  # another layout's version
        elif damage == "rooms-magic":
            os.pwrite(rooms, b"garbage!", 0)
        elif damage == "rooms-type":
            os.dup2(os.open("/dev/null", os.O_RDWR), rooms)
        elif damage == "keeper-type":
            for name in [n for n in d.stored if n.startswith("chatd-keeper")]:
                os.dup2(os.open("/dev/null", os.O_RDWR), d.stored[name][0])
        elif damage == "entry":
            # The entry's flags, wherever they are: overwrite the nick with what no nick can be.
            data = os.pread(clients, 64 << 20, 0)
            at = data.find(b"alice")
            while at >= 0:
                os.pwrite(clients, b"\033\033\033\033\033", at)
                at = data.find(b"alice", at + 1)
        d.start()
        b = d.join(nick="bob")
        b.send("served\n")
        b.expect("bob: served\n")
        if damage != "keeper-type":
            logged(d, "can't be")
        # The connection may take an orderly end only.
        if damage != "keeper-type":
            data = a.rest()
            note("%s: %r" % (damage, data))
        d.kill()
        d.start()
        b.send("and after the next crash\n")
        b.expect("bob: and after the next crash\n")
        d.clean_up()


@test
def the_keeper_is_merged():
    """Thousands of clients come and go; what the keeper holds stays bounded, and a crash loses nobody."""
    d = Daemon(store=True, rooms=ROOMS)
    clients = [d.join() for _ in range(1500 if SCALE >= 1 else 300)]
    for i in range(0, len(clients), 2):
        clients[i].close()
    rest = clients[1::2]
    wait_for(lambda: d.json("status")["clients"] == len(rest))
    time.sleep(2.5)
    d.drain_notify()
    pairs = [n for n in d.stored if n.startswith("chatd-keeper")]
    check(len(pairs) <= 10, pairs)  # two ends each: a base, and what new sockets go to
    equal(d.json("status")["takeover"]["uncovered"], 0)
    for _ in range(3):
        d.kill()
        d.start()
        equal(d.json("status")["takeover"]["clients"], len(rest))
    rest[0].send("all here\n")
    for c in rest:
        c.expect("all here\n")


@test
def counters_go_on():
    """What was counted isn't forgotten: by listener and in the metrics, after a restart and a crash."""
    udp, pull = free_port(socket.SOCK_DGRAM), free_port()
    d = Daemon(store=True, rooms=ROOMS, start=False)
    d.write_config(rooms=ROOMS, listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; },
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; }"""
                   % (d.port, udp, pull, free_port()))
    d.start()
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.settimeout(PATIENCE)
    device.connect(("127.0.0.1", udp))
    device.send(b"#REG porch")
    check(device.recv(100).startswith(b"#OK porch"))
    clients = [d.join() for _ in range(7)]
    for i in range(5):
        device.send(b"21.%d degrees" % i)
        clients[0].expect("porch: 21.%d degrees\n" % i)
    socket.create_connection(("127.0.0.1", pull)).close()

    def listeners():
        return {l["name"]: {k: l[k] for k in ("accepted", "received", "dropped", "ignored")} for l in d.json("list", "listeners")}

    wait_for(lambda: listeners()["relay"]["accepted"] == listeners()["relay"]["ignored"] == 1)
    before, names = listeners(), ("clients_accepted", "messages", "datagrams_received", "zmq_peers_accepted")
    equal((before["chat"]["accepted"], before["udp"]["accepted"], before["udp"]["received"]), (7, 1, 6))
    totals = {n: d.metric(n + "_total") for n in names}
    check(all(totals.values()), totals)
    for way in (d.kill, lambda: (d.signal(signal.SIGUSR1), d.wait()), d.kill):
        way()
        d.start()
        equal(listeners(), before)
        equal({n: d.metric(n + "_total") for n in names}, totals)
    clients.append(d.join())
    equal(listeners()["chat"]["accepted"], 8)
    equal(d.metric("clients_accepted_total"), totals["clients_accepted"] + 1)
    # The end of all is one of the counting as well.
    d.stop()
    d.start()
    equal((listeners()["chat"]["accepted"], d.metric("clients_accepted_total")), (0, 0))
    device.close()


@test
def an_idle_servers_gap_is_the_real_one():
    """It served up to its end, not up to when its worker last had something to do."""
    d = Daemon(store=True, rooms=ROOMS, workers=1)
    c = d.join()
    table = os.dup(d.stored["chatd-clients-5"][0])

    def scratch():
        """Whether the worker waits, and the end of its last turn."""
        return struct.unpack("=I8xQ", os.pread(table, 20, 524288 + 36))  # struct scratch

    told = 0
    for _ in range(10):
        last = scratch()
        wait_for(lambda: scratch()[1] != last[1], what="a beat")
        time.sleep(0.85)  # the next one comes after a second
        killed = time.monotonic()
        d.kill()
        waits, beat = scratch()
        d.start()
        gap = d.json("status")["takeover"]["gap"]
        check(gap > 0, gap)
        # On a busy machine the next beat may have been due, or just made.
        if waits and beat and 0.8 < killed - beat / 1e6 < 0.99:
            # The kernel tells in hundredths of a second when a process was made.
            check(gap < time.monotonic() - killed + 0.02, gap)
            told += 1
        if told == 2:
            break
    equal(told, 2)
    c.send("still here\n")
    c.expect("still here\n")
    os.close(table)


def keeper_pairs(d):
    d.drain_notify()
    return {n for n in d.stored if n.startswith("chatd-keeper")}


def kept_sockets(d):
    """How many sockets are in the keeper's pairs; chatd is not there, so nobody else looks at them."""
    SO_PEEK_OFF = 42
    n = 0
    for name in keeper_pairs(d):
        if not name.endswith("-r"):
            continue
        s = socket.socket(fileno=os.dup(d.stored[name][0]))
        s.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)
        while True:
            try:
                data, anc, _, _ = s.recvmsg(1, socket.CMSG_SPACE(253 * 4),
                                            socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            for _, _, payload in anc:
                fds = array.array("i")
                fds.frombytes(payload)
                n += len(fds)
                for fd in fds:
                    os.close(fd)
        s.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)
        s.close()
    return n


@test
def closed_sockets_leave_the_keeper():
    d = Daemon(store=True, rooms=ROOMS)
    stay = [d.join() for _ in range(10)]
    before = keeper_pairs(d)
    # One after the other, so that no more than one of them is there when a merge looks.
    for _ in range(400):
        c = d.connect()
        c.expect("Welcome")
        c.send("/quit\n")
        c.rest()
        c.close()
    wait_for(lambda: d.json("status")["clients"] == len(stay))
    wait_for(lambda: not before & keeper_pairs(d), what="the merge")
    d.kill()
    kept = kept_sockets(d)
    check(len(stay) <= kept <= len(stay) + 140, kept, "sockets are kept")
    d.start()
    equal(d.json("status")["takeover"]["clients"], len(stay))


@test
def few_file_descriptors_lose_nobody():
    """Neither is the keeper dearer than the limit allows, nor does a merge that finds none free cost anybody."""
    import resource
    d = Daemon(store=True, rooms=ROOMS, start=False)
    d.limit_files(300)
    d.start()
    before = keeper_pairs(d)
    clients = [d.join() for _ in range(200)]
    wait_for(lambda: not before & keeper_pairs(d), what="the merge")
    for _ in range(2):
        t = d.json("status")["takeover"]
        equal((t["covered"], t["uncovered"]), (200, 0))
        d.kill()
        d.start()
        t = d.json("status")["takeover"]
        equal((t["clients"], t["closed"]), (200, 0))
    clients[0].send("all here\n")
    for c in clients:
        c.expect("all here\n")

    d = Daemon(store=True, rooms=ROOMS)
    clients = [d.join() for _ in range(100)]
    limit = d.fds() + 60
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (limit, limit))
    clients += [d.join() for _ in range(30)]
    wait_for(lambda: "sockets can't be merged: file descriptors ran out" in d.log(), what="a merge")
    t = d.json("status")["takeover"]
    equal((t["covered"], t["uncovered"]), (130, 0))
    d.kill()
    d.start()
    t = d.json("status")["takeover"]
    equal((t["clients"], t["closed"]), (130, 0))
    clients[0].send("all here\n")
    for c in clients:
        c.expect("all here\n")


@test
def a_burst_is_kept():
    """Connections come faster than a keeper as small as an ordinary user's holds them one by one."""
    take_turn()
    need("setpriv")
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 2000) if SCALE >= 1 else 1000
    d = Daemon(rooms=ROOMS, extra=DEFAULTS, store=True, start=False)
    # A user of our own: the kernel counts a user's sockets in flight over all processes.
    user = 60000 + os.getpid() % 5000
    shutil.copy(CHATD, d.dir)
    os.chown(d.dir, user, user)
    d.start_by("exec setpriv --reuid %d --regid %d --clear-groups --bounding-set=-all" % (user, user), os.path.join(d.dir, "chatd"))
    d.start()
    clients = [socket.create_connection(("127.0.0.1", d.port)) for _ in range(n)]
    began = time.monotonic()
    wait_for(lambda: d.json("status")["clients"] == n)
    wait_for(lambda: d.json("status")["takeover"]["uncovered"] == 0, what="the keeper")
    note("%d connections at once were all kept %.1f s later" % (n, time.monotonic() - began))
    d.kill()
    d.start()
    t = d.json("status")["takeover"]
    equal((t["closed"], t["clients"]), (0, n))
    for c in clients:
        c.close()


@test
def ten_thousand_idle_and_a_hundred_talking():
    take_turn()
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = min(10000, hard - 2000) if SCALE >= 1 else 500
    d = Daemon(rooms=ROOMS, extra=DEFAULTS, store=True, workers=2)
    load = Load("127.0.0.1", d.port, 100, 5, idle=idle)
    wait_for(lambda: d.json("status")["takeover"]["uncovered"] == 0, 60, "the keeper")
    gaps = []

    def steps():
        for i in range(6):
            yield 1.5
            d.signal(signal.SIGUSR1 if i % 2 else signal.SIGKILL)
            while d.alive():
                yield 0.001
            d.spawn()
            while not d.ready:
                d.drain_notify()
                yield 0.002
            gaps.append(d.json("status")["takeover"]["gap"])
        yield 1.0

    during(load, steps())
    t = d.json("status")["takeover"]
    equal((t["closed"], t["clients"]), (0, idle + 100))
    note("%d idle and 100 talking clients: nobody was served for %s s" % (idle, ", ".join("%.2f" % g for g in gaps)))
    report(load)


main()
