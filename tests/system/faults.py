#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
chatd dies at every step between two stores or system calls, and nobody notices. A fixed scenario is run once without a
fault; then once for each fault point and passage, where everybody has to receive the very same bytes.
"""

import signal
import socket

from testing import *


class Person(Client):
    """Remembers everything it got. Whoever is reset before the greeting, in the window of accept(), tries again."""

    def __init__(self, d, nick, port=None, rcvbuf=None):
        for attempt in range(20):
            try:
                c = d.connect(port=port, rcvbuf=rcvbuf)
                break
            except ConnectionError:
                time.sleep(0.02)
        super().__init__(c.sock)
        self.all = b""
        self.d = d
        self.port = port
        if nick is not None:
            try:
                self.expect(WELCOME)
            except (Failure, ConnectionError):
                if self.all:
                    raise
                self.__init__(d, nick, port, rcvbuf)
                return
        if nick:
            self.send("/nick %s\n" % nick)
            self.expect("is now %s\n" % nick)

    def receive(self):
        data = super().receive()
        self.all += data
        return data


def scenario(d):
    """Returns what each of the people got. Every step waits for the one before, so that there is one order only."""
    alice = Person(d, "alice")
    bob = Person(d, "bob")
    alice.expect("is now bob\n")

    def both(text, expected):
        alice.expect(expected)
        bob.expect(expected)

    alice.send("one\n")
    both("one", "alice: one\n")
    bob.send("tw")
    time.sleep(0.02)
    bob.send("o\nthree\n")
    both("three", "bob: two\nbob: three\n")
    alice.send("/me waves\n")
    both("waves", "alice * waves\n")
    alice.send("/msg bob psst\n")
    alice.expect("* [you -> bob] psst\n")
    bob.expect("* [alice -> you] psst\n")
    bob.send("/join den\n")
    bob.expect("* You are in den.\n")
    alice.expect("* bob left lobby\n")
    bob.send("alone\n/who\n")
    bob.expect("* 1 in den: bob\n")
    bob.send("/join lobby\n")
    both("back", re.compile(rb"\* (bob joined lobby|You are in lobby\.)\n"))
    alice.send("/nick alicia\n")
    both("nick", "* alice is now alicia\n")
    # Too long, in pieces, with something behind it.
    for i in range(6):
        alice.send("x" * 1000)
        time.sleep(0.005)
    alice.send("\nfour\n")
    alice.expect("* That message was longer than 4096 bytes and has been refused.\n")
    both("four", "alicia: four\n")
    # A ring that goes round.
    for p in (alice, bob):
        p.send("/join small\n")
        p.expect("* You are in small.\n")
    alice.expect("* bob joined small\n")
    for k in range(30):
        alice.send("".join("%04d %s\n" % (i, "." * 40) for i in range(k * 100, k * 100 + 100)))
        both("ring", "alicia: %04d %s\n" % (k * 100 + 99, "." * 40))
    for p in (bob, alice):
        p.send("/join lobby\n")
        p.expect("* You are in lobby.\n")
    bob.expect("* alicia joined lobby\n")
    # A reader whose socket is full.
    slow = Person(d, "slow", rcvbuf=4096)
    both("slow", "is now slow\n")
    for k in range(12):
        bob.send(("%02d" % k + "y" * 998 + "\n") * 500)
        last = "bob: %02d" % k + "y" * 998 + "\n"
        for i in range(500):
            both("y", last)
    # Several deaths while much is under way.
    alice.send("half a li")
    time.sleep(0.03)
    before = d.deaths
    d.signal(signal.SIGKILL)
    wait_for(lambda: d.deaths > before)
    alice.send("ne\n")
    both("half", "alicia: half a line\n")
    slow.expect("alicia: half a line\n", 60)
    # Echo, with more than fits.
    echo = Person(d, None, port=d.echo_port, rcvbuf=4096)
    for attempt in range(20):
        try:
            echo.send("?")
            echo.expect("?")
            break
        except (Failure, ConnectionError):
            echo = Person(d, None, port=d.echo_port, rcvbuf=4096)
    blob = bytes(i * 7 % 251 for i in range(300_000))
    sender = threading.Thread(target=lambda: echo.send(blob))
    sender.start()
    while len(echo.all) < len(blob) + 1:
        echo.receive()
    sender.join()
    check(echo.all[1:] == blob, "the echo differs")
    echo.close()
    # Leaving, in each of the ways.
    slow.close()
    both("left", "* slow left lobby\n")
    bob.send("last words, without a newline")
    bob.sock.shutdown(socket.SHUT_WR)
    alice.expect("bob: last words, without a newline\n* bob left lobby\n")
    bob.rest()
    browser = Person(d, "")
    alice.expect(" joined lobby\n")
    browser.send("GET / HTTP/1.1\r\n\r\n")
    check(b"400 Bad Request" in browser.rest())
    alice.expect(" left lobby\n")
    carol = Person(d, "carol")
    alice.expect("is now carol\n")
    carol.send("bye\n/quit\n")
    carol.rest()
    alice.expect("carol: bye\n* carol left lobby\n")
    alice.send("quit\n")
    alice.rest()

    def nobody_is_left():
        try:
            return d.json("status")["clients"] == 0
        except Failure:
            return False  # it has died just now

    wait_for(nobody_is_left)
    return {name: normalise(p.all) for name, p in
            (("alice", alice), ("bob", bob), ("slow", slow), ("carol", carol))}


def normalise(data):
    """Who was reset in the window of accept() has taken a number with it."""
    return re.sub(rb"guest\d+", b"guestN", data)


# These are passed only by the successor of a process that died in the midst of something.
AFTER = {"recover-input": "receive:%d", "recover-intent": "commit-log:%d"}


def launch(fault=None, workers=1, more="", then=None):
    d = Daemon(store=True, start=False, workers=workers)
    listeners = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
      { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; }%s""" % (d.port, d.echo_port, more)
    d.write_config(listeners=listeners, rooms='{ name = "lobby"; history = 3; log_size = "16M"; }, { name = "small"; log_size = "128K"; history = 0; }')
    once = d.arm(fault, then) if fault else os.path.join(d.dir, "once")
    d.spawn()
    d.supervise()
    wait_for(lambda: d.ready, 20, "chatd")
    return d, once


def compare(reference, got, what):
    for name in reference:
        a, b = reference[name], got[name]
        if a == b:
            continue
        at = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
        raise Failure("%s: %s got %r instead of %r" % (what, name, b[max(0, at - 60):at + 60], a[max(0, at - 60):at + 60]))


# Reached by other means than the scenario; those of converting an old state in upgrade.py.
ELSEWHERE = {"keeper-swap", "keeper-copied", "keeper-merged"}


@test
def every_fault_point_is_recovered_exactly():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    d, _ = launch()
    reference = scenario(d)
    d.unsupervise()
    d.finish()
    passages = [1, 2, 7] if SCALE < 1 else [1, 2, 3, 5, 9, 20, 100]

    def die_at(name):
        """At each passage, until it is not reached any more; how often it was."""
        hits = 0
        for passage in passages:
            if name in AFTER:
                d, once = launch(AFTER[name] % passage, then=name + ":1")
            else:
                d, once = launch("%s:%d" % (name, passage))
            try:
                compare(reference, scenario(d), "%s:%d" % (name, passage))
            except Failure as e:
                raise Failure("at fault point %s:%d: %s" % (name, passage, e)) from e
            hit = not os.path.exists(once)
            hits += hit
            d.unsupervise()
            d.finish()
            check(hit or passage > 1 or name in AFTER, "fault point", name, "was never reached")
            if not hit and name not in AFTER:
                break
        return hits

    names = [n for n in fault_points() if n not in ELSEWHERE and not n.startswith(("udp-", "convert-", "reload-", "speech-", "tls-"))]
    hits = dict(zip(names, side_by_side(die_at, names)))
    check(all(hits.values()), hits)
    note("%d deaths at %d fault points" % (sum(hits.values()), len(fault_points())))


@test
def the_keeper_may_be_interrupted_anywhere():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    for fault in ("keeper-swap:1", "keeper-copied:1", "keeper-merged:1", "keeper-store:2", "keeper-store:3", "keeper-store:4"):
        d, once = launch(fault)
        clients = [d.join() for _ in range(300)]
        # Each merge makes new pairs, and takes place when there are enough new sockets.
        for _ in range(5):
            time.sleep(1.2)
            if not os.path.exists(once):
                break
            clients += [d.join() for _ in range(150)]
        check(not os.path.exists(once), fault, "was never reached")
        wait_for(lambda: d.deaths == 1 and d.ready, 20, "the next process")
        time.sleep(0.2)
        before = d.deaths
        d.signal(signal.SIGKILL)
        wait_for(lambda: d.deaths > before and d.ready)
        equal(d.json("status")["takeover"]["clients"], len(clients))
        clients[0].send("all here\n")
        for c in clients:
            c.expect("all here\n")
        d.unsupervise()
        d.finish()


def ask(device, question, answer):
    """As a device does it: asks again until it is answered; what else comes is returned."""
    before = []
    for _ in range(50):
        device.send(question)
        try:
            while True:
                data = device.recv(65536)
                if data == answer:
                    return before
                before.append(data)
        except socket.timeout:
            pass
    raise Failure("no %r, but %r" % (answer, before))


def udp_scenario(d, port):
    alice = Person(d, "alice")
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.connect(("127.0.0.1", port))
    device.settimeout(0.3)
    ask(device, b"#REG dev", b"#OK dev 300\n")
    alice.expect("* dev joined lobby\n")
    for i in range(5):
        alice.send("line %d\n" % i)
        alice.expect("alice: line %d\n" % i)
    got = []
    while b"alice: line 4\n" not in got:
        got.append(device.recv(65536))
    # In order, none missing; around a crash one may come twice.
    lines = [g for g in got if g.startswith(b"alice: line")]
    equal(sorted(set(lines)), [b"alice: line %d\n" % i for i in range(5)])
    equal(lines, sorted(lines))
    ask(device, b"#REG other", b"#OK other 300\n")
    alice.expect("* dev is now other\n")
    for _ in range(20):
        device.send(b"quit")
        try:
            alice.expect("* other left lobby\n", 0.5)
            break
        except Failure:
            pass
    wait_for(lambda: d.ready, 20, "chatd")  # which opens the control socket last
    equal([c["nick"] for c in d.json("list", "clients")], ["alice"])
    device.close()
    equal(len(re.findall(rb"joined lobby|left lobby|is now other", alice.all)), 3)


@test
def a_password_is_asked_for_by_a_process_that_does_not_know_the_listener():
    """A connection that was accepted, but not greeted yet, comes to a process where its listener has another name."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    d = Daemon(store=True, start=False)
    passwords, once = os.path.join(d.dir, "passwords"), os.path.join(d.dir, "once")
    equal(run(CHATCTL, "passwd", passwords, "alice", stdin=b"secret\n").returncode, 0)
    doors = """{ name = "%%s"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; },
      { name = "open"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; }""" % (d.port, passwords, d.echo_port)
    d.write_config(listeners=doors % "door")
    open(once, "w").close()
    d.env.update(CHATD_FAULT="accept-keeper:2", CHATD_FAULT_ONCE=once)
    d.spawn()
    wait_for(lambda: d.ready, 20, "chatd")
    guest = d.connect(port=d.echo_port)
    guest.expect(WELCOME)
    stranger = d.connect()
    d.wait()
    d.write_config(listeners=doors % "gate")
    d.start()
    equal(stranger.expect("\n"), b"* Welcome. Please log in: /login NAME PASSWORD\n")
    guest.send("still here\n")
    guest.expect(": still here\n")


@test
def names_are_given_back_once_wherever_a_reload_dies():
    """Two people and a device have names that belong to accounts now. Each hears once that it is a guest again."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    for name in ("nick", "commit-prepared", "commit-intent", "commit-log", "commit-live"):
        d = Daemon(store=True, start=False, workers=1)
        udp, passwords, once = free_port(socket.SOCK_DGRAM), os.path.join(d.dir, "passwords"), os.path.join(d.dir, "once")
        doors = """{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; %%s },
          { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }""" % (d.port, udp)
        d.write_config(listeners=doors % "")
        d.env.update(CHATD_FAULT=name, CHATD_FAULT_ONCE=once)
        d.start()
        d.supervise()
        squatters = [d.join(nick="alice"), d.join(nick="bob")]
        witness = d.join(nick="witness")
        device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        device.connect(("127.0.0.1", udp))
        device.settimeout(20)
        device.send(b"#REG carol")
        witness.expect("* carol joined lobby\n")
        for nick in ("alice", "bob", "carol"):
            equal(run(CHATCTL, "passwd", passwords, nick, stdin=b"secret\n").returncode, 0)
        d.write_config(listeners=doors % ('password_file = "%s";' % passwords))
        open(once, "w").close()
        d.ctl("reload")  # which has no answer any more, or one that it is none
        wait_for(lambda: d.deaths == 1, 20, "the death at " + name)
        text = witness.expect(re.compile(rb"(\* \w+ is now guest\d+\n){3}"))
        for i, nick in enumerate((b"alice", b"bob", b"carol")):
            check(b"* %b is now guest%d\n" % (nick, i + 1 if i < 2 else 4) in text, name, text)
        for i, (c, nick) in enumerate(zip(squatters, ("alice", "bob"))):
            c.send("me\n")
            text = c.expect("guest%d: me\n" % (i + 1))
            equal(text.count(b"* %b is reserved now; you are guest%d.\n" % (nick.encode(), i + 1)), 1)
            equal(text.count(b"* %b is now " % nick.encode()), 1)
        while device.recv(1000) != b"#OK guest4 300\n":
            pass
        device.close()
        d.unsupervise()
        d.finish()


@test
def listeners_are_exchanged_wherever_a_reload_dies():
    """One goes on, one moves to all addresses, one to another port, and of ZeroMQ's one ends and one begins."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    points = [n for n in fault_points() if n.startswith("reload-")]
    check(points, "no fault points of a reload")

    def die_at(name):
        d = Daemon(store=True, start=False, workers=2)
        once = os.path.join(d.dir, "once")
        wide, moved, old, new = (free_port() for _ in range(4))
        doors = """{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
          { name = "wide"; type = "tcp"; mode = "chat"; listen = "%s:%d"; room = "lobby"; },
          { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; },
          { name = "%s"; type = "zmq"; mode = "reply"; listen = "tcp://127.0.0.1:%d"; }"""
        d.write_config(listeners=doors % (d.port, "127.0.0.1", wide, d.echo_port, "old", old))
        d.env.update(CHATD_FAULT=name, CHATD_FAULT_ONCE=once)
        d.start()
        d.supervise()
        alice, bob, echo = d.join(nick="alice"), d.join(nick="bob"), d.connect(port=d.echo_port)
        echo.send("?")
        echo.expect("?")
        d.write_config(listeners=doors % (d.port, "[::]", wide, moved, "new", new))
        open(once, "w").close()
        d.ctl("reload")  # which has no answer any more
        wait_for(lambda: d.deaths == 1 and d.ready, 20, "the death at " + name)
        alice.send("here\n")
        bob.expect("alice: here\n")
        echo.send("!")
        echo.expect("!")
        for host, port in (("127.0.0.1", d.port), ("127.0.0.1", wide), ("::1", wide)):
            d.connect(port=port, host=host).expect(WELCOME)
        another = d.connect(port=moved)
        another.send("?")
        another.expect("?")
        for port, there in ((d.echo_port, False), (old, False), (new, True)):
            with socket.socket() as s:
                equal((port, s.connect_ex(("127.0.0.1", port)) == 0), (port, there))
        equal(sorted(l["name"] for l in d.json("list", "listeners")), ["chat", "echo", "new", "wide"])
        # Nothing of the old ones is kept, and nothing twice.
        wait_for(lambda: sorted(n for n in d.stored if n.startswith("chatd-own-")) ==
                 ["chatd-own-" + n for n in ("chat", "echo", "new", "wide")], 5, str(sorted(d.stored)))
        equal([n for n in d.stored if n.startswith("chatd-own-") and len(d.stored[n]) != 1], [])
        d.unsupervise()
        d.finish()

    side_by_side(die_at, points)


@test
def what_is_said_without_a_transaction_is_said_once_or_not_at_all():
    """By an admin, a device, and a ZeroMQ peer; and, always once, that a device has left whose listener is no more."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    points = [n for n in fault_points() if n.startswith("speech-")]
    check(points, "no fault points of speech")

    def die_at(name):
        port, pull, pub = free_port(socket.SOCK_DGRAM), free_port(), free_port()
        d = Daemon(store=True, start=False, workers=2)
        once = os.path.join(d.dir, "once")
        doors = ['{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }' % d.port,
                 '{ name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }' % port,
                 '{ name = "bridge"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; '
                 'room = "lobby"; }' % (pull, pub)]
        d.write_config(listeners=", ".join(doors))
        d.env.update(CHATD_FAULT=name, CHATD_FAULT_ONCE=once)
        d.start()
        d.supervise()
        people = [Person(d, "alice"), Person(d, "bob")]
        device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        device.connect(("127.0.0.1", port))
        device.settimeout(0.3)
        ask(device, b"#REG dev", b"#OK dev 300\n")
        for p in people:
            p.expect("* dev joined lobby\n")

        def dies(what, said, act, deaths=1):
            before = [len(p.all) for p in people]
            died = d.deaths
            open(once, "w").close()
            act()
            wait_for(lambda: d.deaths == died + deaths and d.ready, 20, "the death at %s of %r" % (name, what))
            people[0].send("after\n")
            for p, at in zip(people, before):
                p.expect("alice: after\n")
                equal((name, what, p.all[at:].count(what)), (name, what, said))

        said = int(name != "speech-put")
        dies(b"admin: by an admin\n", said, lambda: d.ctl("send", "lobby", "by an admin"))
        dies(b"dev: by a device\n", said, lambda: device.send(b"by a device"))
        dies(b"bridge: by a peer\n", said, lambda: subprocess.run(
            [os.path.abspath(os.path.join(BUILD, "tests/system/zmqtool")), "push", "tcp://127.0.0.1:%d" % pull],
            input=b"by a peer\n", timeout=60))

        def take_the_door_away():
            d.write_config(listeners=", ".join(doors[:1]))
            d.signal(signal.SIGKILL)
        dies(b"* dev left lobby\n", 1, take_the_door_away, 2)
        device.close()
        d.unsupervise()
        d.finish()

    side_by_side(die_at, points)


@test
def registrations_are_recovered_at_every_fault_point():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def die_at(name):
        for passage in (1, 2, 3, 4):
            port = free_port(socket.SOCK_DGRAM)
            d, once = launch("%s:%d" % (name, passage), more="""
              , { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }""" % port)
            try:
                udp_scenario(d, port)
            except Exception as e:
                raise Failure("at fault point %s:%d: %s" % (name, passage, e)) from e
            hit = not os.path.exists(once)
            d.unsupervise()
            d.finish()
            check(hit or passage > 1, "fault point", name, "was never reached")
            if not hit:
                break

    side_by_side(die_at, [n for n in fault_points() if n.startswith("udp-") or n.startswith("commit-")])


main()
