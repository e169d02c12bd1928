#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
chatd dies at every step between two stores or system calls, and nobody notices. A fixed scenario is run once without a
fault; then once for each fault point and passage, where everybody has to receive the very same bytes.
"""

import random
import signal
import socket

from nats import Raw
from nodes import Cluster, forged, last_batch
from testing import *
from ws import *


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
        self.all = bytearray()
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


def launch(fault=None, workers=1, more="", then=None, parent=False):
    d = Daemon(store=not parent, parent=parent, start=False, workers=workers)
    listeners = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
      { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; }%s""" % (d.port, d.echo_port, more)
    d.write_config(listeners=listeners, rooms='{ name = "lobby"; history = 3; log_size = "16M"; }, { name = "small"; log_size = "128K"; history = 0; }')
    once = d.arm(fault, then) if fault else os.path.join(d.dir, "once")
    d.start_supervised()
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
# Passed only by the nodes of a cluster; which of them where lines are missing; and which by
# tests/unit/rooms/test_outgoing.c, tests/unit/state/test_cluster_file.c and tests/unit/cluster/test_cluster.c.
CLUSTER = ("cluster-", "outgoing-")
# And those of what stores it, by history.py.
HISTORY = ("archive", "history-", "question-", "restore-")
# And those of HTTP by a scenario of their own, below.
WEB = ("http-",)
# And those of WebSockets; these are passed only by a successor.
SOCKETS = ("socket-", "send-rendered", "recover-rendered")
AFTER_SOCKETS = {"recover-rendered": "send-rendered:%d"}
# And those of webhooks, by webhooks.py.
WEBHOOKS = ("webhook-",)
# And those of IRC, by irc_state.py.
IRC = ("irc-", "seat-")
GAPS = ("cluster-gap-accepted", "cluster-gap-told")
BOOTS = ("cluster-boot-noted", "outgoing-boot-written", "outgoing-boot", "cluster-boot-closed")
NAMES = ("cluster-renaming", "cluster-name-written", "cluster-renamed")
CLUSTER_ELSEWHERE = {*GAPS, *BOOTS, *NAMES, "cluster-gap-dropped", "cluster-letter-refused", "cluster-other-rooms",
                     "cluster-position-evicted",
                     "outgoing-moved", "outgoing-moved-part", "outgoing-moving", "outgoing-noted", "outgoing-removed"}


# Where the scenario comes by.
def points_of_the_scenario():
    return [n for n in fault_points()
            if n not in ELSEWHERE and not n.startswith(("udp-", "convert-", "reload-", "speech-", "tls-") + CLUSTER + HISTORY + WEB + SOCKETS + WEBHOOKS + IRC)]


def die_at(name, reference, passages, parent=False):
    """At each passage, until it is not reached any more; how often it was."""
    hits = 0
    for passage in passages:
        if name in AFTER:
            d, once = launch(AFTER[name] % passage, then=name + ":1", parent=parent)
        else:
            d, once = launch("%s:%d" % (name, passage), parent=parent)
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


def what_everybody_gets():
    d, _ = launch()
    reference = scenario(d)
    d.unsupervise()
    d.finish()
    return reference


@test
def every_fault_point_is_recovered_exactly():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    reference, names = what_everybody_gets(), points_of_the_scenario()
    passages = [1, 2, 7] if SCALE < 1 else [1, 2, 3, 5, 9, 20, 100]
    hits = dict(zip(names, side_by_side(lambda name: die_at(name, reference, passages), names)))
    check(all(hits.values()), hits)
    note("%d deaths at %d fault points" % (sum(hits.values()), len(fault_points())))


@test
def a_parent_keeps_all_that_systemd_keeps():
    """A few of the points, others each time. All of them, and the other tests here: CHATD_TEST_PARENT=1."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    names = random.sample([n for n in points_of_the_scenario() if n not in AFTER], 6)
    note("with a parent: " + " ".join(names))
    reference = what_everybody_gets()
    hits = side_by_side(lambda name: die_at(name, reference, [1], parent=True), names)
    equal(hits, [1] * len(names))


def join_again(d):
    """Whoever is being accepted when the process dies is closed without a word, and comes again."""
    try:
        return d.join()
    except Failure as e:
        if "closed; expected" not in str(e) or not str(e).endswith("got b''"):
            raise
        wait_for(lambda: d.deaths == 1 and d.ready, what="the next process")
        return d.join()


@test
def the_keeper_may_be_interrupted_anywhere():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    for fault in ("keeper-swap:1", "keeper-copied:1", "keeper-merged:1", "keeper-store:2", "keeper-store:3", "keeper-store:4"):
        d, once = launch(fault)
        clients = [join_again(d) for _ in range(300)]
        # Each merge makes new pairs, and takes place when there are enough new sockets.
        for _ in range(5):
            time.sleep(1.2)
            if not os.path.exists(once):
                break
            clients += [join_again(d) for _ in range(150)]
        check(not os.path.exists(once), fault, "was never reached")
        wait_for(lambda: d.deaths == 1 and d.ready, what="the next process")
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
    wait_for(lambda: d.ready, what="chatd")  # which opens the control socket last
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
    add_account(passwords, "alice")
    doors = """{ name = "%%s"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; },
      { name = "open"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; }""" % (d.port, passwords, d.echo_port)
    d.write_config(listeners=doors % "door")
    open(once, "w").close()
    d.env.update(CHATD_FAULT="accept-keeper:2", CHATD_FAULT_ONCE=once)
    d.start_supervised()
    guest = d.connect(port=d.echo_port)
    guest.expect(WELCOME)
    d.write_config(listeners=doors % "gate")
    stranger = d.connect()
    wait_for(lambda: d.deaths == 1 and d.ready, what="the next process")
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
        device.settimeout(PATIENCE)
        device.send(b"#REG carol")
        witness.expect("* carol joined lobby\n")
        for nick in ("alice", "bob", "carol"):
            add_account(passwords, nick)
        d.write_config(listeners=doors % ('password_file = "%s";' % passwords))
        open(once, "w").close()
        d.ctl("reload")  # which has no answer any more, or one that it is none
        wait_for(lambda: d.deaths == 1, what="the death at " + name)
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
        wait_for(lambda: d.deaths == 1 and d.ready, what="the death at " + name)
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
        wait_for(lambda: [n for n in d.kept() if n.startswith("chatd-own-")] ==
                 ["chatd-own-" + n for n in ("chat", "echo", "new", "wide")], 5, "what is kept: %r" % d.kept())
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
            wait_for(lambda: d.deaths == died + deaths and d.ready, what="the death at %s of %r" % (name, what))
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


def web_scenario(d, port, token):
    """What a stream and a connection with requests get, with names of messages left out."""
    stream, program = Person(d, None, port=port), Person(d, None, port=port)
    alice = Person(d, "alice")

    def ask(line, body="", end=b'"more":false}'):
        program.send("%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %d\r\n\r\n%s" % (line, token, len(body), body))
        program.expect(end)

    stream.send("GET /api/v1/rooms/lobby/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stream.expect("retry: 2000\n\n")
    for i in range(3):
        ask("POST /api/v1/rooms/lobby/messages", '{"text": "word %d"}' % i, re.compile(rb'"number":\d+\}'))
        alice.expect("bot: word %d\n" % i)
        alice.send("line %d\n" % i)
        alice.expect("alice: line %d\n" % i)
        stream.expect('"text":"line %d"}\n\n' % i)
    ask("GET /api/v1/rooms/lobby/messages?limit=4&before=9000000000000000", end=b'"more":true}')
    program.send("POST /api/v1/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: "
                 "application/json\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n" % token)
    program.expect("100 Continue\r\n\r\n")
    program.send('{"text":"held"}')
    program.expect(re.compile(rb'"number":\d+\}'))
    alice.expect("bot: held\n")
    stream.expect('"text":"held"}\n\n')
    ask("GET /nothing", end=re.compile(rb'"status":404[^}]*\}'))
    # What the log doesn't have is asked of the database, once that is there.
    wait_for(lambda: b"line 2" in d.ctl("history", "lobby")[1].encode(), what="the database")
    ask("GET /api/v1/rooms/lobby/messages")
    # Whoever dies behind 100 Continue may send it once more.
    return {name: re.sub(rb"[0-9a-f]{8,16}-\d+|\d{16}|\b[0-9a-f]{8,16}\b|guest\d+|-Length: \d+", b"N",
                         re.sub(rb"(HTTP/1.1 100 Continue\r\n\r\n)+", b"continue ", c.all))
            for name, c in (("stream", stream), ("program", program), ("alice", alice))}


@test
def streams_and_requests_are_recovered_at_every_fault_point():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def begin(fault):
        d, port = Daemon(store=True, start=False, workers=1), free_port()
        tokens = os.path.join(d.dir, "tokens")
        made = subprocess.run([CHATCTL, "token", "add", "bot", "--read", "--speak", tokens], capture_output=True, check=True)
        d.write_config(rooms='{ name = "lobby"; history = 3; log_size = "16M"; }', listeners="""
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
          { name = "web"; type = "http"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; token_file = "%s"; }""" %
                       (d.port, port, tokens), extra='history: { database = "%s/history.db"; };' % d.dir)
        once = d.arm(fault) if fault else None
        d.start_supervised()
        return d, once, web_scenario(d, port, re.search(rb"chatd_[\w-]+", made.stdout).group().decode())

    def end(d):
        d.unsupervise()
        d.finish()

    d, _, reference = begin(None)
    end(d)

    def die_at(name):
        for passage in (1, 2, 4):
            d, once, got = begin("%s:%d" % (name, passage))
            compare(reference, got, "%s:%d" % (name, passage))
            hit = not os.path.exists(once)
            end(d)
            check(hit or passage > 1, "fault point", name, "was never reached")
            if not hit:
                break

    side_by_side(die_at, [n for n in fault_points() if n.startswith(WEB)] +
                 ["commit-log", "commit-live", "receive", "receive-settled", "send-outbox", "send-log"])


class Socket(WebSocket):
    """Whoever is reset within the window of accept() tries again."""

    def __init__(self, d, protocol, query, rcvbuf=None):
        for _ in range(20):
            try:
                sock = d.connect(port=d.web_port, rcvbuf=rcvbuf).sock
                super().__init__(d, protocol, query, sock=sock)
                break
            except (EOFError, ConnectionError):
                time.sleep(0.02)
        self.seen = []

    def next(self):
        got = super().next()
        while got[0] == PONG and got in self.seen:  # a ping may be answered twice by those who die over it
            got = super().next()
        self.seen.append(got)
        return got

    def pong(self, payload):
        while self.next() != (PONG, payload):
            pass


def socket_scenario(d):
    """What WebSockets of both kinds get, with names of messages left out."""
    alice, bob = Socket(d, JSON, "?nick=alice"), Socket(d, None, "?nick=bob")
    alice.got("join", nick="bob")

    def both(text):
        alice.got(text=text)
        while not re.match(r"\w+(: | \* )%s$" % text, bob.next()[1]):
            pass

    alice.ask(do="say", text="one", id=1)
    both("one")
    bob.put(PING, "first")
    bob.pong(b"first")
    bob.send(frame(TEXT, "t", fin=False) + frame(PING, "second")[:3])
    time.sleep(0.02)
    bob.send(frame(PING, "second")[3:] + frame(0, "w", fin=False))
    bob.pong(b"second")
    bob.put(0, "o")
    both("two")
    alice.ask(do="act", text="waves")
    both("waves")
    alice.ask(do="to", nick="bob", text="psst", id="p")
    alice.got("private")
    bob.next()
    bob.say("/msg alice back")
    alice.got("private", text="back")
    bob.next()
    alice.ask(do="nick", nick="alicia", id=3)
    alice.got("rename")
    bob.next()
    alice.ask(do="join", room="den", id=4)
    alice.got("joined", room="den")
    bob.next()
    alice.ask(do="who", id=5)
    alice.got("who")
    bob.say("three")
    bob.next()
    alice.ask(do="join", room="lobby", since={"epoch": "0", "number": 1})
    alice.got("message", text="three")
    bob.next()
    slow = Socket(d, JSON, "?nick=slow", rcvbuf=4096)
    alice.got("join", nick="slow")
    bob.next()
    nc = Person(d, "nc")
    alice.got("rename", text="nc")
    for i in range(12):
        nc.send(("%02d" % i + "y" * 998 + "\n") * 300)
        for _ in range(300):
            nc.expect("nc: %02d" % i)
    for w in (alice, slow):
        w.got("message", text="11" + "y" * 998)
    d.signal(signal.SIGKILL)
    bob.say("four")
    for w in (alice, slow):
        w.got("message", text="four")
    slow.put(CLOSE, b"\x03\xe8")
    slow.closed()
    alice.got("quit", nick="slow")
    bob.send(frame(TEXT, "x", mask=None))
    equal(bob.closed()[0], 1002)
    alice.got("quit", nick="bob")
    alice.ask(do="run", line="/quit")
    equal(alice.closed()[0], 1000)
    return {name: re.sub(r'"(number|time|next|from|to|client|epoch)":"?\w+"?|guest\d+', "N", "\n".join(str(s) for s in w.seen))
            for name, w in (("alice", alice), ("bob", bob), ("slow", slow))}


@test
def websockets_are_recovered_at_every_fault_point():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def begin(fault, then=None):
        d = Daemon(store=True, start=False, workers=1)
        d.web_port = free_port()
        d.write_config(rooms='{ name = "lobby"; history = 3; log_size = "16M"; }', listeners=listener(d.web_port) + """
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }""" % d.port,
                       extra="limits: { max_clients_per_address = 0; lines_per_second = 0; commands_per_second = 0; };")
        once = d.arm(fault, then) if fault else None
        d.start_supervised()
        try:
            got = socket_scenario(d)
        except Exception as e:
            raise Failure("at fault point %s: %s" % (fault, e)) from e
        d.unsupervise()
        d.finish()
        return once, got

    _, reference = begin(None)

    def die_at(name):
        after = AFTER_SOCKETS.get(name)
        for passage in (1, 2, 6):
            once, got = begin(after % passage, name + ":1") if after else begin("%s:%d" % (name, passage))
            compare(reference, got, "%s:%d" % (name, passage))
            hit = not os.path.exists(once)
            check(hit or passage > 1, "fault point", name, "was never reached")
            if not hit:
                break

    side_by_side(die_at, [n for n in fault_points() if n.startswith(SOCKETS)] +
                 ["greet", "join", "leave", "nick", "msg", "quit", "commit-prepared", "commit-log", "commit-live", "receive",
                  "receive-owner", "receive-settled", "send-outbox", "accept-entry", "accept-keeper"])


def cluster_scenario(c):
    """One talks on each of two nodes, in turns; batches of each size go out, NATS is away for a while, and forgets all."""
    alice, bob = Person(c.nodes[0], "alice"), Person(c.nodes[1], "bob")
    alice.expect("is now bob\n")
    server = c.servers[0]

    def both(*lines):
        for line in lines:
            for p in (alice, bob):
                p.expect(line + "\n", 40)

    def say(who, text, *lines):
        who.send(text)
        both(*(lines or ["%s: %s" % ("alice" if who is alice else "bob", l) for l in text.splitlines()]))

    say(alice, "one\n")
    say(bob, "two\nthree\n")
    say(alice, "/me waves\n", "alice * waves")
    # In private, from one node to the other.
    for d in c.nodes:
        wait_for(lambda: {"alice", "bob"} <= {k["nick"] for k in d.tried("list", "clients", "--all") or ()}, what="both to be known")
    for who, to in ((alice, "bob"), (bob, "alice")):
        for i in range(3):
            who.send("/msg %s psst %d\n" % (to, i))
            who.expect("* [you -> %s] psst %d\n" % (to, i), 40)
        (bob if who is alice else alice).expect("-> you] psst 2\n", 40)
    alice.send("/join den\n")
    alice.expect("* alice joined den\n")
    bob.expect("* alice left lobby\n")
    bob.send("/join den\n")
    both("* bob joined den")
    say(bob, "in the den\n")
    # More than fits a batch, twice over.
    for text in ("x", "y"):
        for who in (alice, bob):
            who.send("".join("%04d %s\n" % (i, text * 90) for i in range(1500)))
            both("%04d %s" % (1499, text * 90))
    server.kill()
    alice.send("while NATS is away\n")
    if c.when_away == "local":
        alice.expect("alice: while NATS is away\n", 40)
        time.sleep(0.3)
    server.start()
    bob.expect("alice: while NATS is away\n", 40)
    if c.when_away != "local":
        alice.expect("alice: while NATS is away\n", 40)
    say(bob, "four\n")
    server.kill()
    server.wipe()
    server.start()
    say(alice, "five\n")
    say(bob, "six\n")
    bob.send("/join lobby\n")
    bob.expect("* bob joined lobby\n")
    alice.expect("* bob left den\n")
    alice.send("/join lobby\n")
    both("* alice joined lobby")
    bob.send("last words, without a newline")
    bob.sock.shutdown(socket.SHUT_WR)
    alice.expect("bob: last words, without a newline\n* bob left lobby\n")
    bob.rest()
    # Whether who enters is shown what was said just before on the other node is a matter of milliseconds.
    return {name: re.sub(rb"(?m)^\* (The other nodes |\w+ joined |\w+ left |Your message to \w+ waits)[^\n]*\n", b"", p.all[p.all.index(b"alice: one\n"):])
            for name, p in (("alice", alice), ("bob", bob))}


@test
def nodes_of_a_cluster_may_die_anywhere():
    """Each of two nodes at each point; nobody notices, on either. In `./dev check` at a few points, others each time."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    points = [n for n in fault_points() if n.startswith(CLUSTER) and n not in CLUSTER_ELSEWHERE]
    check(points, "no fault points of a cluster")
    if SCALE < 1:
        points = random.sample(points, 6)
    passages = [1, 3] if SCALE < 1 else [1, 2, 3, 7, 30]

    def begin(policy):
        c = Cluster(2, when_away=policy, start=False, workers=1, more="away_after = 0.1;",
                    rooms='{ name = "lobby"; history = 3; }, { name = "den"; history = 0; }')
        return c

    def run_through(c):
        for d in c.nodes:
            d.spawn()
            d.supervise()
        for d in c.nodes:
            wait_for(lambda: d.ready, what="node " + d.name)
        c.wait_connected()
        got = cluster_scenario(c)
        for d in c.nodes:
            wait_for(lambda: d.ready, what="node " + d.name)
            d.unsupervise()
        hit = not any(os.path.exists(d.env.get("CHATD_FAULT_ONCE", "")) for d in c.nodes)
        c.finish()
        return {name: text.decode("latin-1") for name, text in got.items()}, hit

    references = dict(zip(("wait", "local"), side_by_side(lambda policy: run_through(begin(policy))[0], ["wait", "local"])))

    def die_at(name):
        hits = 0
        for policy in ("wait", "local"):
            for which in (0, 1):
                for passage in passages:
                    c = begin(policy)
                    c.nodes[which].arm("%s:%d" % (name, passage))
                    where = "%s:%d of node %s, %s" % (name, passage, c.nodes[which].name, policy)
                    try:
                        got, hit = run_through(c)
                        compare(references[policy], got, where)
                    except Failure as e:
                        raise Failure("at fault point %s: %s" % (where, e)) from e
                    if not hit:
                        break
                    hits += 1
        return hits

    hits = dict(zip(points, side_by_side(die_at, points)))
    note("%d deaths at %d fault points of a cluster" % (sum(hits.values()), len(points)))
    check(all(hits.values()), hits)


@test
def lines_that_are_gone_are_told_wherever_a_node_dies():
    """A node was away, and what was said meanwhile is neither in the stream nor with who said it."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def die_at(name):
        c = Cluster(2, rooms='{ name = "lobby"; log_size = "128K"; history = 0; }', more='keep_bytes = "1M";')
        alice, bob = (Person(d, nick) for d, nick in zip(c.nodes, ("alice", "bob")))
        bob.send("here\n")
        alice.expect("bob: here\n")
        c.nodes[1].kill()
        for k in range(20):
            alice.send("".join("%d %s\n" % (i, "." * 900) for i in range(k * 100, k * 100 + 100)))
            alice.expect("alice: %d %s\n" % (k * 100 + 99, "." * 900))
        # Either the stream has more than alice's node has, or that one says again what it has.
        with Raw(c.servers[0]) as r:
            check(r.stream()["state"]["first_seq"] > 3)
            if name == "cluster-gap-told":
                r.purge()
        once = c.nodes[1].arm(name + ":1")
        c.nodes[1].spawn()
        c.nodes[1].supervise()
        alice.send("and now\n")
        bob.expect("alice: and now\n", 60)
        wait_for(lambda: c.nodes[1].ready, what="node b")
        c.nodes[1].unsupervise()
        check(not os.path.exists(once), name, "was never reached")
        gaps = [int(n) for n in re.findall(rb"(?m)^\* (\d+) lines? of node a (?:are|is) missing here\.\n", bob.all)]
        numbers = [int(n) for n in re.findall(rb"(?m)^alice: (\d+) \.{900}\n", bob.all)]
        # Who dies right behind saying so says so again.
        equal(numbers, list(range(2000 - len(numbers), 2000)))
        check(0 < len(numbers) < 2000 and len(gaps) in (1, 2) and set(gaps) == {2000 - len(numbers)}, gaps, len(numbers))
        c.finish()

    side_by_side(die_at, list(GAPS))



@test
def whose_name_is_another_or_is_misused_may_die_anywhere():
    """Lines that a node has not said in its name, and a change of that: it takes another boot, and each line is said once."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def die_at(case):
        name, renamed = case
        c = Cluster(2, rooms='{ name = "lobby"; history = 0; }', workers=1)
        alice, bob = (Person(d, nick) for d, nick in zip(c.nodes, ("alice", "bob")))
        said = []

        def say(*people):
            for who in people:
                said.append("%s: line %d\n" % ("alice" if who is alice else "bob", len(said)))
                who.send(said[-1].partition(": ")[2])
                for x in (alice, bob):
                    x.expect(said[-1], 60)

        say(bob, alice, bob, alice)
        dropped = name == "cluster-gap-dropped"
        d = c.nodes[dropped]
        wait_for(lambda: d.json("status")["cluster"]["waiting"] == 0, what="all to be out")
        d.kill()
        if renamed:
            c.configure(d, node="z")
        else:
            with Raw(c.servers[0]) as r:
                node, boot, first, n = last_batch(r)
                equal(node, b"a")
                r.store("chatd.s.room.lobby", forged(node, boot, first + n + 10**6 * dropped, 1))
        once = d.arm(name + ":1")
        d.spawn()
        d.supervise()
        say(alice, bob, alice)
        wait_for(lambda: not os.path.exists(once), what=name)
        wait_for(lambda: d.ready, what="the node that died")
        say(alice, bob, alice)
        d.unsupervise()
        for x in (alice, bob):
            equal(re.findall(rb"(?m)^\w+: line \d+\n", x.all), [l.encode() for l in said])
            check(b"missing" not in x.all, x.all)
        c.finish()

    side_by_side(die_at, [(n, False) for n in BOOTS + ("cluster-gap-dropped",)] + [(n, True) for n in BOOTS + NAMES])


main()
