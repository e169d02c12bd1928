#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is said in rooms is stored: exactly once and in order, whatever dies when, and rooms come back with it."""

import random
import sqlite3
import threading

from past import *
from testing import *

ROOMS = '{ name = "lobby"; announce_max = 0; history = 20; }'
DEFAULTS = 'room_defaults: { history = 20; log_size = "1M"; announce_max = 0; };'
HISTORY = 'history: { database = "history.db"; %s };'


def chatd(more="", extra="", **kwargs):
    return Daemon(rooms=kwargs.pop("rooms", ROOMS), extra=DEFAULTS + HISTORY % more + extra, **kwargs)


@test
def what_is_said_is_stored():
    d = chatd(store=True)
    a, b = d.join(nick="alice"), d.join("den", "bob")
    a.send(b"hello\n/me waves\n")
    b.send(b"one\n")
    wait_stored(d, ["hello", "waves"])
    wait_stored(d, ["one"], "den")
    equal(os.stat(database(d)).st_mode & 0o777, 0o600)
    # A restart and a crash leave nothing out, and store nothing twice.
    for how in (d.kill, d.kill):
        how()
        a.send(b"again\n")
        d.start()
    wait_stored(d, ["hello", "waves", "again", "again"])
    d.finish()


@test
def rooms_come_back_after_a_stop_and_a_reboot():
    d = chatd(store=True)
    a, b = d.join(nick="alice"), d.join("den", "bob")
    lines = ["line %d" % i for i in range(30)]
    for line in lines:
        a.send(line + "\n")
    shown = ["alice: " + line for line in lines]
    b.send(b"one\n/me waves\n")
    a.expect("line 29\n")
    b.expect("waves\n")
    wait_stored(d, lines)
    wait_stored(d, ["one", "waves"], "den")
    for how in ("stop", "kill", "stop"):
        reboot(d, how)
        d.start()
        equal([r["name"] for r in d.json("list", "rooms")], ["lobby", "den"])
        equal(tail(d, "lobby"), shown[-20:])
        equal(tail(d, "den"), ["bob: one", "bob * waves"])
        # What is said now goes on behind it, and nothing is stored again.
        c = d.join(nick="carol")
        lines.append("after a " + how)
        shown.append("carol: " + lines[-1])
        c.send(lines[-1] + "\n")
        wait_stored(d, lines)
        equal(tail(d), shown[-20:])
        numbers = stored_numbers(d)
        equal(numbers, sorted(set(numbers)))
        equal(len(query(d, "SELECT DISTINCT epoch FROM messages")), 1)
    wait_stored(d, ["one", "waves"], "den")
    d.finish()


@test
def a_stop_stores_what_was_said_last():
    d = chatd(store=True)
    a = d.join(nick="alice")
    for i in range(10):
        a.send("line %d\n" % i)
    a.expect("line 9\n")
    d.stop()
    equal(stored(d), ["line %d" % i for i in range(10)])
    d.clean_up()


@test
def a_room_that_was_over_stays_away():
    d = chatd(store=True, extra="limits: { room_linger = 0.0; max_clients_per_address = 0; };")
    a = d.join("den", "alice")
    a.send(b"hello\n/join lobby\n")
    a.expect("* You are in lobby.\n")
    wait_for(lambda: [r["name"] for r in d.json("list", "rooms")] == ["lobby"], what="the end of the room")
    wait_stored(d, ["hello"], "den")
    reboot(d, "stop")
    d.start()
    equal([r["name"] for r in d.json("list", "rooms")], ["lobby"])
    # Somebody makes it again: what is said there has higher numbers.
    b = d.join("den", "bob")
    b.send(b"again\n")
    wait_stored(d, ["hello", "again"], "den")
    numbers = stored_numbers(d, "den")
    equal(numbers, sorted(set(numbers)))
    d.finish()


class Talk:
    """People who talk in rooms as fast as they are read, and one in each of them who notes what came."""

    def __init__(self, d, rooms, senders=2):
        self.d, self.rooms = d, rooms
        self.ended = threading.Event()
        self.threads = []
        self.got = {room: [] for room in rooms}
        self.said = {room: [0] * senders for room in rooms}
        self.pause = 0.001
        for room in rooms:
            listener = d.join(room if room != "lobby" else None)
            listener.sock.settimeout(0.2)
            self.threads.append(threading.Thread(target=self.listen, args=(room, listener)))
            for i in range(senders):
                c = d.join(room if room != "lobby" else None, "%s%d" % (room, i))
                self.threads.append(threading.Thread(target=self.talk, args=(room, i, c)))
        for t in self.threads:
            t.start()

    def listen(self, room, c):
        while not (self.ended.is_set() and len(self.got[room]) == sum(self.said[room])):
            try:
                if not c.receive():
                    return
            except socket.timeout:
                if self.ended.is_set() and time.monotonic() > self.until:
                    return
            *lines, rest = bytes(c.buf).split(b"\n")
            c.buf[:] = rest
            self.got[room] += [l.split(b": ", 1)[1].decode() for l in lines if l.startswith(room.encode())]

    def talk(self, room, i, c):
        c.sock.setblocking(True)
        while not self.ended.is_set():
            c.send("%s %d %d\n" % (room, i, self.said[room][i]))
            self.said[room][i] += 1
            while select.select([c.sock], [], [], 0)[0]:
                c.sock.recv(1 << 16)
            time.sleep(self.pause)

    def finish(self):
        self.until = time.monotonic() + 20
        self.ended.set()
        for t in self.threads:
            t.join()
        for room in self.rooms:
            equal(len(self.got[room]), sum(self.said[room]))


@test
def kills_at_random_instants():
    """Row by row the database has what a member of the room got."""
    rounds = int(os.environ.get("CHATD_HISTORY_KILLS", "60" if SCALE >= 1 else "10"))
    rng = random.Random(5)
    d = chatd(store=True)
    talk = Talk(d, ["lobby", "den", "bar"])
    for i in range(rounds):
        time.sleep(rng.random() * 0.2)
        d.kill()
        d.spawn()
        if i % 5 == 4:  # and again while it starts
            for _ in range(rng.randrange(1, 4)):
                time.sleep(rng.random() * 0.03)
                d.kill()
                d.spawn()
        d.wait_ready()
    talk.finish()
    for room in talk.rooms:
        wait_for(lambda: len(stored(d, room)) >= len(talk.got[room]), what="what was said in the database")
        equal(stored(d, room), talk.got[room])
        numbers = stored_numbers(d, room)
        equal(numbers, sorted(set(numbers)))
    equal(query(d, "SELECT * FROM gaps"), [])
    note("%d kills, %d rows compared" % (rounds, sum(len(g) for g in talk.got.values())))
    d.finish()


# Passed where a database is damaged, or where what was said is gone: see below.
ELSEWHERE = {"archive-aside", "archive-gap", "archive-learned",  # the last one: history_trust.py
             "archive-channel", "restore-channel"}  # irc_history.py


def die_at(name, passages=(1, 2, 3, 5, 9)):
    """At each passage, until it is not reached any more; in the first life, and in one after a reboot."""
    hits = 0
    for passage in passages:
        d = chatd("keep_messages = 25;", store=True, start=False, workers=1)
        once = d.arm("%s:%d" % (name, passage))
        d.start_supervised()
        lines, den = [], []
        for life in range(2):
            c = retry(lambda: d.join(nick="alice"))
            b = retry(lambda: d.join("den", "bob"))
            for i in range(20):
                lines.append("%d %d" % (life, i))
                c.send(lines[-1] + "\n")
                c.expect("alice: %s\n" % lines[-1])
                if i % 7 == 0:
                    den.append("den %d %d" % (life, i))
                    b.send(den[-1] + "\n")
                    b.expect("bob: %s\n" % den[-1])
                    time.sleep(0.06)
            try:
                wait_for(lambda: stored(d)[-20:] == lines[-20:], what="what was said in the database")
                wait_stored(d, den, "den")
                numbers = stored_numbers(d)
                equal(numbers, sorted(set(numbers)))
                equal(query(d, "SELECT * FROM gaps"), [])
                if life == 0:
                    equal(stored(d), lines)
                    time.sleep(0.1)  # it may be dying of the last one
                    wait_for(lambda: d.ready, what="chatd")
                    d.unsupervise()
                    d.signal(signal.SIGTERM)
                    d.wait()  # or it dies while it ends
                    reboot(d)
                    d.start_supervised()
                    equal(tail(d), ["alice: " + l for l in lines[-20:]])
                    equal(tail(d, "den"), ["bob: " + l for l in den[-20:]])
            except Failure as e:
                raise Failure("%s:%d, life %d: %s" % (name, passage, life, e)) from e
        time.sleep(0.1)
        wait_for(lambda: d.ready, what="chatd")
        d.unsupervise()
        d.signal(signal.SIGTERM)
        d.wait()
        check(d.status == 0 or not os.path.exists(once), d.last_words())
        d.clean_up()
        hit = not os.path.exists(once)
        hits += hit
        check(hit or passage > 1, "fault point", name, "was never reached")
        if not hit:
            break
    return hits


def retry(function):
    """Who is reset before the greeting, as chatd dies there, comes again."""
    for _ in range(20):
        try:
            return function()
        except (ConnectionError, Failure):
            time.sleep(0.05)
    return function()


@test
def it_may_die_at_every_step():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    names = [n for n in fault_points() if n.startswith(("archive", "history-", "restore-")) and n not in ELSEWHERE]
    hits = dict(zip(names, side_by_side(die_at, names)))
    note("%d deaths at %d fault points" % (sum(hits.values()), len(names)))


# --- trouble ---

SMALL = '{ name = "lobby"; announce_max = 0; history = 0; log_size = "64K"; }'


def account(d, got, room="lobby"):
    """What members got is stored, or it is known to be missing: each message once and in order. Returns how many are missing."""
    rows = query(d, "SELECT number, text FROM messages JOIN rooms ON rooms.id = room WHERE name = ? AND kind < 2 "
                    "ORDER BY messages.id", room)
    gaps = query(d, 'SELECT first, "end", why FROM gaps JOIN rooms ON rooms.id = room WHERE name = ?', room)
    at = {n: text for n, text in rows}
    equal(len(at), len(rows))
    for first, end, _ in gaps:
        for n in range(first, end):
            check(n not in at, "a message that is there is told to be missing", n, at.get(n))
            at[n] = None
    numbers = sorted(at)
    equal(numbers, list(range(numbers[0], numbers[0] + len(got))))
    equal([at[n] if at[n] is not None else text for n, text in zip(numbers, got)], got)
    return sum(end - first for first, end, _ in gaps)


def say(c, first, n, size=100):
    """Lines that each come back before the next batch is said."""
    lines = ["%d %s" % (i, "x" * size) for i in range(first, first + n)]
    for i in range(0, n, 50):
        c.send("".join(l + "\n" for l in lines[i:i + 50]))
        c.expect(lines[min(i + 50, n) - 1] + "\n")
    return lines


def state(d):
    return d.json("status")["history"]


def on_a_disk(d, options):
    """From the next start on the directory disk is a file system of its own, which only chatd sees."""
    disk = os.path.join(d.dir, "disk")
    os.mkdir(disk)
    inner = os.path.join(d.dir, "mounted")
    d.start_by("exec unshare -m", inner)
    with open(inner, "w") as f:
        f.write('#!/bin/sh\nmount -t tmpfs -o %s tmpfs %s\nexec %s "$@"\n' % (options, disk, CHATD))
    os.chmod(inner, 0o755)


def inside(d, *args):
    """Runs a program where chatd is."""
    return run("nsenter", "-t", str(d.pid), "-m", *args)


@test
def a_full_disk():
    d = chatd(rooms=SMALL, store=True, start=False)
    disk = os.path.join(d.dir, "disk")
    d.write_config(rooms=SMALL, extra=DEFAULTS + 'history: { database = "%s/history.db"; };' % disk)
    on_a_disk(d, "size=1m")
    d.start()
    c = d.join(nick="alice")
    got = say(c, 0, 10)
    wait_for(lambda: state(d)["stored"] >= 10, what="the first messages")
    inside(d, "dd", "if=/dev/zero", "of=%s/filler" % disk, "bs=4k")
    for _ in range(100):
        got += say(c, len(got), 50)
        if state(d)["state"] == "away":
            break
        time.sleep(0.06)
    s = state(d)
    equal(s["state"], "away")
    check(d.ctl("status")[1].startswith("NOT WELL: nothing can be stored: "), d.ctl("status"))
    check("full" in s["why"], s)
    got += say(c, len(got), 2000)  # more than the room's log holds; nobody waits for the disk
    equal(d.metric("history_stores"), 0)
    inside(d, "rm", "%s/filler" % disk)
    wait_for(lambda: state(d)["state"] == "stores" and state(d)["waiting"] == 0, 60, "the end of the trouble")
    got += say(c, len(got), 10)
    wait_for(lambda: state(d)["waiting"] == 0, what="what was said last")
    lost = d.metric("history_lost_messages_total")
    for name in ("history.db", "history.db-wal"):
        with open(os.path.join(d.dir, name), "wb") as f:
            f.write(inside(d, "cat", os.path.join(disk, name)).stdout)
    equal(account(d, got), lost)
    check(0 < lost < 2100, lost)
    logged(d, "history: %d messages of room lobby could not be stored: " % lost)
    logged(d, "history: nothing can be stored at the moment")
    logged(d, "is stored again")
    note("%d of %d messages were lost, and are known to be" % (lost, len(got)))
    d.finish()


@test
def a_disk_that_cant_be_written_to():
    d = chatd(rooms=SMALL, store=True, start=False)
    disk = os.path.join(d.dir, "disk")
    d.write_config(rooms=SMALL, extra=DEFAULTS + 'history: { database = "%s/history.db"; };' % disk)
    on_a_disk(d, "ro")
    d.start()
    c = d.join(nick="alice")
    got = say(c, 0, 10)
    wait_for(lambda: state(d)["state"] == "away", what="the trouble")
    equal(state(d)["waiting"] >= 10, True)
    inside(d, "mount", "-o", "remount,rw", disk)
    wait_for(lambda: state(d)["state"] == "stores" and state(d)["waiting"] == 0, 60, "the end of the trouble")
    equal(d.metric("history_lost_messages_total"), 0)
    got += say(c, len(got), 1)
    d.finish()


@test
def a_slow_disk_and_more_than_it_takes():
    if "asan" in BUILD or "tsan" in BUILD:
        raise Skip("LD_PRELOAD and sanitizers don't go together")
    need("cc")
    d = chatd(rooms=SMALL, store=True, start=False)
    library, slow = os.path.join(d.dir, "slowdisk.so"), os.path.join(d.dir, "slow")
    source = os.path.join(SOURCE, "tests", "system", "slowdisk.c")
    p = run("cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source, "-ldl")
    equal(p.returncode, 0)
    d.env.update(LD_PRELOAD=library, SLOW_DISK=slow)
    d.start()
    c = d.join(nick="alice")
    got = say(c, 0, 10)
    wait_for(lambda: state(d)["stored"] >= 10, what="the first messages")
    with open(slow, "w") as f:
        f.write("100")
    # Each is answered before the next is said, and all of it doesn't take as long as the disk.
    before, trips = d.metric("history_commits_total"), 0
    while d.metric("history_commits_total") < before + 3:
        for _ in range(100):
            got += say(c, len(got), 1)
        trips += 100
    check(trips > 300, "a room waits for the disk", trips)
    # More than the room's log holds between two transactions.
    with open(slow, "w") as f:
        f.write("1000")
    for _ in range(10):
        got += say(c, len(got), 500)
    wait_for(lambda: state(d)["state"] == "behind", what="that it says so")
    equal(d.metric("history_behind"), 1)
    os.unlink(slow)
    wait_for(lambda: state(d)["state"] == "stores" and state(d)["waiting"] == 0, 60, "the end of the trouble")
    lost = account(d, got)
    check(lost > 0, "it kept up")
    equal(d.metric("history_lost_messages_total"), lost)
    logged(d, "could not be stored: more was said than could be stored")
    note("%d round trips in 3 transactions; %d of %d messages lost, and known to be" % (trips, lost, len(got)))
    d.finish()


@test
def a_damaged_database_is_set_aside():
    d = chatd(store=True)
    c = d.join(nick="alice")
    got = say(c, 0, 100)
    wait_stored(d, got)
    d.kill()
    size = os.path.getsize(database(d))
    with open(database(d), "r+b") as f:
        f.write(os.urandom(max(size, 8192)))
    if os.path.exists(database(d) + "-wal"):
        os.unlink(database(d) + "-wal")
    d.start()
    got += say(c, len(got), 3)
    # The room has all of it still, so the new one does, too.
    wait_stored(d, got)
    aside = [n for n in os.listdir(d.dir) if n.startswith("history.db.damaged-")]
    check(aside, os.listdir(d.dir))
    equal(state(d)["set_aside"], 1)
    logged(d, "the database is damaged")
    equal(stored_numbers(d), sorted(set(stored_numbers(d))))
    d.finish()


@test
def a_newer_database_is_left_alone():
    d = chatd(store=True, start=False)
    db = sqlite3.connect(database(d))
    db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE later (x); PRAGMA user_version = 99; PRAGMA application_id = %d;"
                     % application_id())
    db.close()
    with open(database(d), "rb") as f:
        before = f.read()
    d.start()
    c = d.join(nick="alice")
    say(c, 0, 10)
    wait_for(lambda: state(d)["state"] == "away", what="what is told of it")
    check("newer" in state(d)["why"], state(d))
    d.stop()
    with open(database(d), "rb") as f:
        equal(f.read() == before, True)
    logged(d, "messages could not be stored, and end with this process")
    d.clean_up()


@test
def an_older_database_is_brought_up_to_date():
    """Before rooms are restored from it, and while its rooms are there."""
    d = chatd(store=True)
    a = d.join(nick="alice")
    lines = say(a, 0, 30)
    wait_stored(d, lines)
    for how in ("kill", "stop", "reboot"):
        (reboot if how == "reboot" else Daemon.kill if how == "kill" else Daemon.stop)(d)
        if how == "stop":
            d.forget_store()
        db = sqlite3.connect(database(d))
        db.executescript("DROP TABLE channels; PRAGMA user_version = 2;" if how == "stop" else
                         "DROP TABLE channels; DROP TABLE streams; PRAGMA user_version = 1;")
        db.close()
        d.start()
        if how != "kill":
            a = d.join(nick="alice")
            equal(tail(d)[-1], "alice: " + lines[-1])
        lines += say(a, len(lines), 3)
        wait_stored(d, lines)
        equal(query(d, "PRAGMA user_version"), [(3,)])
        check("damaged" not in d.log() and "older" not in d.log(), d.last_words())
    numbers = stored_numbers(d)
    equal(numbers, sorted(set(numbers)))
    equal(len(query(d, "SELECT DISTINCT epoch FROM messages")), 1)
    d.finish()


def application_id():
    """Of a database that chatd made."""
    d = chatd()
    wait_for(lambda: query(d, "SELECT * FROM epochs"), what="a database")
    n = query(d, "PRAGMA application_id")[0][0]
    d.finish()
    return n


@test
def what_is_too_old_goes_and_some_leaves_no_trace():
    secret = "sesame-open"
    with_den = ROOMS + ', { name = "den"; announce_max = 0; history = 20; keep = "0"; }'
    d = chatd("keep_messages = 100;", rooms=with_den, store=True)
    a, b = d.join(nick="alice"), d.join("den", "bob")
    got = say(a, 0, 300)
    b.send(secret + "1\n")
    b.expect(secret)
    a.send("/msg bob %s\n" % secret)
    b.expect(secret)
    wait_for(lambda: stored(d) == got[-100:], what="that what is too much goes")
    equal(stored(d, "den"), [])
    # By a reload a room is stored from then on, and then no more.
    d.write_config(rooms=ROOMS, extra=DEFAULTS + HISTORY % "keep_messages = 100")
    equal(d.ctl("reload")[0], 0)
    b.send(b"from now on\n")
    b.expect("from now on\n")
    wait_stored(d, ["from now on"], "den")
    d.write_config(rooms=with_den, extra=DEFAULTS + HISTORY % "keep_messages = 100")
    equal(d.ctl("reload")[0], 0)
    b.send(secret + "2\n")
    b.expect(secret)
    wait_for(lambda: stored(d, "den") == [], what="that what was stored goes")
    got = stored(d) + say(a, 300, 3)
    wait_stored(d, got[-103:])

    def traces():
        found = []
        for name in os.listdir(d.dir):
            if name.startswith("history.db"):
                with open(os.path.join(d.dir, name), "rb") as f:
                    text = f.read()
                found += [(name, t) for t in (secret.encode(), b"from now on") if t in text]
        return found

    wait_for(lambda: not traces(), what="that no trace is left")
    reboot(d, "stop")
    equal(traces(), [])
    d.start()
    d.finish()


@test
def a_node_of_a_cluster_that_lost_its_state():
    """What is in its database isn't put into its rooms or stored again; what was said on the others meanwhile is."""
    from nodes import Cluster
    c = Cluster(2, rooms=ROOMS.replace("20", "100"), extra=DEFAULTS + HISTORY % "")
    node, other = c.nodes
    alice, bob = node.join(nick="alice"), other.join(nick="bob")
    lines = []

    def talk(who, name, text, *hear):
        lines.append((name, text))
        who.send(text + "\n")
        for p in hear:
            p.expect("%s: %s\n" % (name, text))

    for i in range(10):
        talk(alice, "alice", "a%d" % i, alice, bob)
        talk(bob, "bob", "b%d" % i, alice, bob)
    for d in c.nodes:
        wait_stored(d, [t for _, t in lines])
        numbers = [s for s, in query(d, "SELECT stream FROM messages WHERE kind < 2 ORDER BY id")]
        equal(numbers, sorted(set(numbers)))
        check(numbers[0] > 0)
    reboot(node)
    for i in range(3):
        talk(bob, "bob", "meanwhile%d" % i, bob)
    node.start()
    c.wait_connected([node])
    talk(bob, "bob", "again", bob)
    wait_stored(node, [t for _, t in lines])
    equal(tail(node), ["%s: %s" % l for l in lines])
    time.sleep(0.3)
    for d in c.nodes:
        equal(stored(d), [t for _, t in lines])
    c.finish()


if __name__ == "__main__":
    main()
