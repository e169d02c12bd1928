#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
IRC clients with different capabilities, over TCP, TLS and WebSocket, talk in several channels while chatd is killed, restarted
and upgraded: the stream of each is compared, event by event, with what its capabilities entitle it to.

One who is in all channels, has all capabilities and says nothing to them is the reference: what it sees has to be what was said,
and what the others see has to be what it sees, in each channel in the same order, with those of the tags that they asked for.
CHATD_IRC_KILLS=100: so many clients, and kills.
"""

import random
import select
import ssl

from irc_client import *
from releases import old_chatd

KILLS = int(os.environ.get("CHATD_IRC_KILLS", "0"))
PEOPLE = KILLS or max(24, int(40 * SCALE))
ROUNDS = 4 * KILLS // 3 + 2 if KILLS else max(6, int(14 * SCALE))  # one of four is a restart
OLD_IRC = "808b733"  # the first one whose IRC has this layout
CAPS = ["", "message-tags", "server-time", "account-tag", "extended-join", "message-tags server-time account-tag extended-join",
        "echo-message", "echo-message message-tags server-time batch labeled-response", "message-tags account-tag",
        "server-time extended-join", "echo-message server-time account-tag"]
CHANNELS = ["#a", "#b", "#c", "#d", "#e"]
EVENTS = ("PRIVMSG", "NOTICE", "JOIN", "PART", "TOPIC", "MODE")


class Person:
    """user: what it is known by, whatever its nick is."""

    def __init__(self, d, i, rng):
        self.user, self.caps = "up%d" % i, CAPS[i % len(CAPS)].split()
        nick = "p%d" % i
        self.wanders, self.renames = i % 4 == 0, i % 4 == 1
        args = dict(caps=" ".join(self.caps), user=self.user, password="%s:secret" % nick if i in d.accounts else None)
        way = i % 5
        self.web = way in (2, 3)
        if self.web:
            self.irc = SocketIRC(d, nick, (TEXT_PROTOCOL, BINARY_PROTOCOL)[way - 2], **args)
        else:
            self.irc = IRC(d, nick, sock=tls_connect(d, d.tls_port).sock if way == 4 else None, **args)
        self.rooms = rng.sample(CHANNELS, 1 + i % len(CHANNELS))
        for room in self.rooms:
            self.irc.join(room)
        self.here = set(self.rooms)
        self.said = {room: [] for room in self.rooms}
        self.letters = {}  # to whom -> what
        self.heard = []
        self.renamed = self.labels = 0

    def line(self, text):
        if "labeled-response" in self.caps:
            self.labels += 1
            text = text[0] == "@" and "@label=%d;%s" % (self.labels, text[1:]) or "@label=%d %s" % (self.labels, text)
        self.irc.line(text)

    def say(self, rng):
        room = rng.choice(sorted(self.here))
        text = "%s %s %d" % (self.user, room, len(self.said[room]))
        verb = rng.choice(("PRIVMSG", "PRIVMSG", "NOTICE", "ACTION"))
        tag = str(len(self.said[room])) if "message-tags" in self.caps and rng.random() < 0.3 else None
        tags = "@+draft/x=%s " % tag if tag else ""
        self.said[room].append((text, tag))
        self.line("%sPRIVMSG %s :\001ACTION %s\001" % (tags, room, text) if verb == "ACTION" else "%s%s %s :%s" % (tags, verb, room, text))

    def whisper(self, to):
        self.letters.setdefault(to.user, []).append("%s to %s %d" % (self.user, to.user, len(self.letters.get(to.user, []))))
        self.line("PRIVMSG %s :%s" % (to.irc.nick, self.letters[to.user][-1]))

    def go(self, rng):
        """Out of a channel, or back into one."""
        room = rng.choice(self.rooms)
        if room not in self.here:
            self.here.add(room)
            self.line("JOIN " + room)
        elif len(self.here) > 1:
            self.here.remove(room)
            self.line("PART %s :%s" % (room, self.user))

    def rename(self):
        self.renamed += 1
        self.line("NICK %sx%d" % (self.irc.nick, self.renamed))

    def hear(self):
        """Whatever is there."""
        sock = self.irc.sock
        sock.settimeout(0)
        data = self.irc.ws.buffer if self.web else bytes(self.irc.buf)
        try:
            while True:
                more = sock.recv(1 << 18)
                check(more, self.user, "was closed")
                data += more
        except (BlockingIOError, ssl.SSLWantReadError):
            sock.settimeout(PATIENCE)
        texts, rest = frames(data) if self.web else lines(data)
        if self.web:
            self.irc.ws.buffer = rest
        else:
            self.irc.buf[:] = rest
        self.heard += [Line.of(text.decode()) for text in texts]

    # --- what it should have heard ---

    def due(self, line):
        """What it is shown of what the reference was."""
        tags = {k: v for k, v in line.tags.items() if "server-time" in self.caps and k == "time" or
                "account-tag" in self.caps and k == "account" or "message-tags" in self.caps and k not in ("time", "account")}
        params = line.params[:1] if line.command == "JOIN" and "extended-join" not in self.caps else line.params
        return tags, line.source, line.command, params

    def due_in(self, room, reference):
        """Of all that happened there since it was there: not what happened while it was out, and of its own what it gets back."""
        here, due = False, []
        for line in reference:
            own = user_of(line) == self.user
            if own and line.command in ("JOIN", "PART"):
                here = line.command == "JOIN"
            elif here and (not own or line.command not in ("PRIVMSG", "NOTICE") or "echo-message" in self.caps):
                due.append(self.due(line))
        return due

    def heard_in(self, room):
        got = []
        for line in self.heard:
            if line.command in EVENTS and line.params[0] == room and not (line.command in ("JOIN", "PART") and user_of(line) == self.user):
                tags = dict(line.tags)
                labeled = "labeled-response" in self.caps and user_of(line) == self.user
                equal("label" in tags or "batch" in tags, labeled)
                tags.pop("label", None)
                tags.pop("batch", None)
                got.append((tags, line.source, line.command, line.params))
        return got


def user_of(line):
    return line.source.partition("!")[2].partition("@")[0]


def lines(data):
    *whole, rest = data.split(b"\r\n")
    return whole, rest


def frames(data):
    """Whole ones, which the server doesn't mask, and what is left."""
    found, at = [], 0
    while len(data) - at >= 2:
        n, head = data[at + 1], 2
        if n == 126:
            n, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
        if len(data) - at < head + n:
            break
        found.append(data[at + head:at + head + n])
        at += head + n
    return found, data[at:]


def hear_all(people, until, what, patience=60):
    end = time.monotonic() + patience
    by_fd = {p.irc.sock.fileno(): p for p in people}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    while True:
        ready = poll.poll(20)
        for fd, _ in ready:
            by_fd[fd].hear()
        if not ready and until():
            return
        check(time.monotonic() < end, "timed out waiting for", what)


def everything_has_come(people):
    """Each has been answered; and once more, when whatever any of them has said was said."""
    for word in "once", "twice":
        for p in people:
            p.irc.line("PING :" + word)
        hear_all(people, lambda: all(any(l.command == "PONG" and l.params[-1] == word for l in p.heard) for p in people), "the end")


def check_channels(people, ear, accounts):
    equal({l.command for l in ear.heard if not l.command.isdigit()} - {"PONG"}, {*EVENTS, "NICK"})
    for room in CHANNELS:
        reference = ear.heard_in(room)
        texts = [(params[1].removeprefix("\001ACTION ").rstrip("\001"), tags.get("+draft/x")) for tags, _, command, params in reference
                 if command in ("PRIVMSG", "NOTICE")]
        for p in people:
            equal([t for t in texts if t[0].startswith(p.user + " ")], p.said.get(room, []))
        equal(len(texts), sum(len(p.said.get(room, [])) for p in people))
        whole = [l for l in ear.heard if l.command in EVENTS and l.params[0] == room and user_of(l) != ear.user or
                 l.command == "MODE" and l.params[0] == room]
        for line in whole:
            account = accounts.get(user_of(line))
            equal((line.tags.get("account"), "time" in line.tags, "msgid" in line.tags), (account, True, True))
            check(line.command != "JOIN" or line.params[1] == (account or "*"), line.text)
        for p in people:
            if room in p.rooms:
                got, due = p.heard_in(room), p.due_in(room, whole)
                for i, (a, b) in enumerate(zip(got, due)):
                    check(a == b, p.user, p.caps, "in", room, "event", i, "is", a, "and should be", b)
                equal(len(got), len(due))


def check_letters(people):
    for p in people:
        got = [l for l in p.heard if l.command == "PRIVMSG" and l.params[0] == p.irc.nick and user_of(l) != p.user]
        for q in people:
            of = [l for l in got if user_of(l) == q.user]
            equal([l.params[1] for l in of], q.letters.get(p.user, []))
            for l in of:
                equal(("time" in l.tags, "msgid" in l.tags), ("server-time" in p.caps, "message-tags" in p.caps))


def check_nicks(people):
    """A name that changed is told once to each with whom one shares a channel, whoever doesn't go in and out meanwhile."""
    for p in people:
        for q in people:
            if not p.wanders and q.renames and (p is q or set(p.rooms) & set(q.rooms)):
                equal([l.params[0] for l in p.heard if l.command == "NICK" and user_of(l) == q.user],
                      ["%sx%d" % (q.irc.nick, n + 1) for n in range(q.renamed)])


def start():
    port, tls_port, web_port = free_port(), free_port(), free_port()
    d = irc_daemon(store=True, start=False, workers=2)
    cert, key = tls_files(d.dir)
    d.irc_port, d.tls_port, d.web_port = port, tls_port, web_port
    d.accounts = set(range(0, PEOPLE, 3))
    passwords = d.dir + "/passwords"
    for i in d.accounts:
        add_account(passwords, "p%d" % i)
    accounts = 'password_file = "%s";' % passwords
    tls = 'tls_certificate = "%s"; tls_key = "%s";' % (cert, key)
    d.write_config("".join('{ name = "%s"; log_size = "4M"; history = 0; },' % c[1:] for c in CHANNELS).rstrip(","), ", ".join((
        irc_listener(port, accounts),
        '{ name = "irc-tls"; type = "tcp"; mode = "irc"; listen = "127.0.0.1:%d"; %s %s }' % (tls_port, tls, accounts),
        '{ name = "irc-web"; type = "http"; mode = "irc"; listen = "127.0.0.1:%d"; %s }' % (web_port, accounts))),
        IRC_EXTRA + UNLIMITED + ' operators = ( { name = "root"; password = "top"; } );')
    return d


class Ear(Person):
    """The reference. It speaks in private only, and gives and takes voice."""

    def __init__(self, d):
        self.user, self.caps, self.web = "uear", ["message-tags", "server-time", "account-tag", "extended-join", "echo-message"], False
        self.irc = IRC(d, "ear", caps=" ".join(self.caps))
        self.irc.ask("OPER root top")
        self.irc.join(*CHANNELS)
        for room in CHANNELS:
            self.irc.ask("MODE %s -t" % room)
        self.heard = []


def round_of_talk(people, ear, rng, i):
    for k in range(100):
        p = rng.choice(people)
        what = rng.random()
        if what < 0.8:
            p.say(rng)
        elif what < 0.87:
            q = rng.choice(people)
            if q is not p and not q.renames:
                p.whisper(q)
        elif what < 0.92:
            room = rng.choice(sorted(p.here))
            p.line("TOPIC %s :%s %d.%d" % (room, p.user, i, k))
        elif what < 0.95 and p.wanders:
            p.go(rng)
        elif what < 0.97 and p.renames:
            p.rename()
        elif not p.renames:
            ear.irc.line("MODE %s %sv %s" % (rng.choice(p.rooms), rng.choice("+-"), p.irc.nick))


def survive(old):
    """old: the program that it begins with, which is replaced halfway."""
    rng = random.Random(20)
    d = start()
    d.binary = old
    d.start_supervised()
    ear = Ear(d)
    people = [Person(d, i, rng) for i in range(PEOPLE)]
    everybody = people + [ear]
    everything_has_come(everybody)
    for i in range(ROUNDS):
        round_of_talk(people, ear, rng, i)
        if i == ROUNDS // 2:
            d.binary = CHATD
            kill(d)
        elif i % 4 == 3:
            d.ctl("restart")
        else:
            kill(d)
        hear_all(everybody, lambda: True, "")
    everything_has_come(everybody)
    check_channels(people, ear, {"up%d" % i: "p%d" % i for i in d.accounts})
    check_letters(people)
    check_nicks(people)
    equal(d.json("status")["takeover"]["closed"], 0)
    note("%d clients, %d lines heard, %d deaths" % (len(everybody), sum(len(p.heard) for p in everybody), d.deaths))
    d.unsupervise()
    d.finish()


@test
def each_stream_is_what_its_capabilities_entitle_it_to():
    survive(old_chatd(OLD_IRC) if KILLS else CHATD)


main()
