#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a history must never do, whatever is wrong with its database: open what is closed, name two messages alike, take what
is another's for damaged, or keep what is to leave no trace."""

import contextlib
import sqlite3
import threading

from testing import *

DEFAULTS = "room_defaults: { history = 20; announce_max = 0; };"
STAFF = '{ name = "lobby"; announce_max = 0; }, { name = "staff"; members = ( "zoe" ); announce_max = 0; }'
LOBBY = '{ name = "lobby"; announce_max = 0; }'
LATER = "can't be opened yet: what was said there before can't be read; try again in a moment."


def history_daemon(rooms=LOBBY, history="", limits="", defaults=DEFAULTS, **kwargs):
    d = Daemon(start=False, store=True, **kwargs)
    d.database = os.path.join(d.dir, "history.db")
    d.door = os.path.join(d.dir, "passwords")
    add_account(d.door, "zoe")

    def configure(rooms=rooms, history=history, database=None):
        d.write_config(
            listeners='{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; password_file = "%s"; }' % (
                d.port, d.door),
            rooms=rooms, extra='%s history: { database = "%s"; %s }; limits: { commands_per_second = 0; lines_per_second = 0; '
            'max_clients_per_address = 0; %s };' % (defaults, database or d.database, history, limits))
    d.configure = configure
    configure()
    return d


def query(path, sql, *args):
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=5)) as db:
        return db.execute(sql, args).fetchall()


def change(d, *statements):
    """While nobody has it open."""
    db = sqlite3.connect(d.database)
    for s in statements:
        db.execute(s)
    db.commit()
    db.close()


def rows(d):
    return query(d.database, "SELECT name, epochs.epoch, number, text FROM messages JOIN rooms ON rooms.id = room "
                             "JOIN epochs ON epochs.id = messages.epoch WHERE kind < 2 ORDER BY messages.id")


def stored(d, *texts):
    def is_there():
        try:
            return set(texts) <= {r[3] for r in rows(d)}
        except sqlite3.OperationalError:
            return False
    wait_for(is_there, what="what was said in the database")


def say(c, *lines):
    for line in lines:
        c.send(line + "\n")
        c.expect(": %s\n" % line)


def state(d):
    return d.json("status")["history"]


def reboot(d, how="stop"):
    """Ends, and the state is gone."""
    getattr(d, how)()
    for c in d.clients:
        c.close()
    d.clients = []
    d.forget_store()


def answer(c, question):
    c.send(question + "\n/nothing\n")
    return c.expect("* There is no such command; /help lists them.\n").decode()


def enters(c, room):
    c.send("/join %s\n" % room)
    return b"You are in" in c.expect(re.compile(rb"\* (You are in %b|Room %b [^\n]*)\.\n" % (room.encode(), room.encode())))


def member(d):
    c = d.join()
    c.send("/login zoe secret\n")
    c.expect("You are now zoe.\n")
    return c


class Lock:
    """Another process that lets nobody at the database."""

    CODE = ('import sqlite3, sys\n'
            'db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)\n'
            'db.execute("PRAGMA locking_mode = EXCLUSIVE")\n'
            'db.execute("BEGIN EXCLUSIVE")\n'
            'print("locked", flush=True)\n'
            'sys.stdin.read()\n')

    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        equal(self.process.stdout.readline(), b"locked\n")

    def release(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@test
def a_locked_database_opens_no_closed_room():
    d = history_daemon(rooms=STAFF)
    d.start()
    zoe = member(d)
    check(enters(zoe, "staff"))
    say(zoe, "payroll")
    bob = d.join("den", nick="bob")
    say(bob, "hello")
    stored(d, "payroll", "hello")
    d.configure(rooms=LOBBY)
    reboot(d)
    lock = Lock(d.database)
    d.start()
    mallory = d.join(nick="mallory")  # the listener's own room is there
    for room in ("staff", "den", "new"):
        mallory.send("/join %s\n" % room)
        mallory.expect("* Room %s %s\n" % (room, LATER))
    equal([r["name"] for r in d.json("list", "rooms")], ["lobby"])
    logged(d, "no rooms are opened")
    # Neither a crash, a restart nor a reload changes that.
    for again in (lambda: (d.kill(), d.start()), lambda: equal(d.ctl("restart")[0], 0), lambda: equal(d.ctl("reload")[0], 0)):
        again()
        mallory.send("/join staff\n")
        mallory.expect("* Room staff %s\n" % LATER)
    say(mallory, "goes on")
    lock.release()
    wait_for(lambda: state(d)["state"] == "stores", what="the database")

    def staff():
        mallory.send("/join staff\n")
        return mallory.expect(re.compile(rb"\* Room staff [^\n]*\n"))
    wait_for(lambda: staff() != ("* Room staff %s\n" % LATER).encode(), what="the rooms")  # they are known a moment later
    equal(staff(), b"* Room staff is for its members only.\n")
    wait_for(lambda: enters(mallory, "new"), what="a new room")
    check(enters(mallory, "den"))
    wait_for(lambda: "bob: hello" in answer(mallory, "/history"), what="what was said in an open room")
    mallory.send("/join staff\n")
    mallory.expect("* Room staff is for its members only.\n")
    # Who is its member by the configuration has it back.
    d.configure(rooms=STAFF)
    equal(d.ctl("reload")[0], 0)
    zoe = member(d)
    check(enters(zoe, "staff"))
    check("zoe: payroll" in answer(zoe, "/history"))
    stored(d, "goes on")


@test
def it_dies_while_the_rooms_become_known():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    d = history_daemon(rooms=STAFF)
    once = d.arm("archive-learned")
    d.start()
    zoe = member(d)
    check(enters(zoe, "staff"))
    say(zoe, "payroll")
    stored(d, "payroll")
    d.configure(rooms=LOBBY)
    reboot(d)
    lock = Lock(d.database)
    d.spawn()
    d.supervise()
    wait_for(lambda: d.ready, what="chatd")
    mallory = d.join(nick="mallory")
    lock.release()
    wait_for(lambda: not os.path.exists(once), what="the death")
    wait_for(lambda: enters(mallory, "new"), what="a new room")
    mallory.send("/join staff\n")
    mallory.expect("* Room staff is for its members only.\n")
    d.unsupervise()
    d.finish()


@test
def numbers_go_on_behind_a_lock():
    """The clock is set back: what was stored is an hour ahead. Then the database is locked at the next boot."""
    d = history_daemon()
    d.start()
    say(d.join(nick="alice"), "one")
    stored(d, "one")
    reboot(d)
    hour = 3600 * 1000000
    change(d, "UPDATE messages SET number = number + %d" % hour, "UPDATE rooms SET next = next + %d WHERE next > 0" % hour)
    later = time.time() + 3600
    os.utime(d.database, (later, later))
    lock = Lock(d.database)
    os.utime(d.database, (later, later))
    d.start()
    c = d.join(nick="bob")
    say(c, "two")
    lock.release()
    stored(d, "one", "two")
    wait_for(lambda: enters(c, "den"), what="the rooms")  # they are known a moment later
    say(c, "three")
    stored(d, "three")
    c.send("/join lobby\n")
    c.expect("You are in lobby.\n")
    reply = answer(c, "/history")
    check(re.search(r"alice: one\n.*bob: two\n", reply), reply)
    for _ in range(2):
        reboot(d)
        d.start()
        c = d.join(nick="carol")
        say(c, "four")
        wait_for(lambda: sum(r[3] == "four" for r in rows(d)) > _, what="what was said last")
        reply = answer(c, "/history")
        check(re.search(r"alice: one\n.*bob: two\n.*carol: four\n", reply), reply)
    all_rows = rows(d)
    lobby = [(number, epoch) for room, epoch, number, _ in all_rows if room == "lobby"]
    equal(lobby, sorted(lobby))
    equal(len({(room, epoch, number) for room, epoch, number, _ in all_rows}), len(all_rows))


@test
def numbers_are_of_another_epoch_when_in_doubt():
    """As before, but nothing shows how far ahead they were."""
    d = history_daemon()
    d.start()
    say(d.join(nick="alice"), *["one %d" % i for i in range(5)])
    stored(d, "one 4")
    reboot(d)
    year = 365 * 24 * 3600 * 1000000
    change(d, "UPDATE messages SET number = number + %d" % year, "UPDATE rooms SET next = next + %d WHERE next > 0" % year)
    lock = Lock(d.database)
    d.start()
    c = d.join(nick="bob")
    say(c, "two")
    lock.release()
    stored(d, "two")
    # All of it is shown, although the numbers lead back.
    reply = wait_for(lambda: "one 4" in (reply := answer(c, "/history")) and reply, what="what was said before")
    check(re.search(r"alice: one 0\n(.*\n)*.*alice: one 4\n.*bob: two\n", reply), reply)
    # What the database has is not forgotten for that: at the next boot numbers are above all.
    reboot(d)
    d.start()
    c = d.join(nick="carol")
    say(c, "three")
    stored(d, "three")
    all_rows = rows(d)
    equal(len({(epoch, number) for _, epoch, number, _ in all_rows}), len(all_rows))
    check(all_rows[-1][2] > max(r[2] for r in all_rows[:-1]), all_rows)
    first = all_rows[0][1]
    check(all_rows[-2][1] != first, all_rows)


@test
def two_chatds_with_one_database():
    d = history_daemon()
    d.start()
    alice = d.join(nick="alice")
    say(alice, "one")
    stored(d, "one")
    other = history_daemon()
    other.database = d.database
    other.configure(database=d.database)
    other.start()
    bob = other.join(nick="bob")
    say(bob, "two")
    s = wait_for(lambda: (s := state(other))["state"] == "away" and s, what="that the second is refused")
    check("another chatd (process %d) writes to it" % d.pid in s["why"], s)
    for i in range(20):
        say(alice, "a%d" % i)
        say(bob, "b%d" % i)
    stored(d, *["a%d" % i for i in range(20)])
    equal([t for _, _, _, t in rows(d)], ["one"] + ["a%d" % i for i in range(20)])
    equal(glob.glob(d.database + ".damaged*"), [])
    equal((state(d)["state"], state(d)["set_aside"], state(other)["set_aside"]), ("stores", 0, 0))
    equal(os.stat(d.database + "-lock").st_mode & 0o777, 0o600)
    # A restart leaves it the first one's.
    equal(d.ctl("restart")[0], 0)
    say(alice, "again")
    stored(d, "again")
    # Whoever is stopped leaves it to the other.
    d.stop()
    wait_for(lambda: state(other)["state"] == "stores", what="that the second one has it")
    stored(other, "two", "b19")
    equal([t for _, _, _, t in rows(d)][:21], ["one"] + ["a%d" % i for i in range(20)])
    other.finish()


@test
def who_has_crashed_finds_its_database_as_it_left_it():
    d = history_daemon()
    d.start()
    alice = d.join(nick="alice")
    say(alice, "one")
    stored(d, "one")
    other = history_daemon()
    other.configure(database=d.database)
    other.start()  # with its first tries, which come often
    wait_for(lambda: "writes to it" in state(other)["why"], what="that the second is refused")
    d.kill()
    wait_for(lambda: "may come back" in state(other)["why"], what="that the second waits")
    d.start()
    say(alice, "two")
    stored(d, "two")
    d.stop()
    wait_for(lambda: state(other)["state"] == "stores", what="that the second one has it")
    other.finish()


def shown(d):
    """The lines that somebody who comes is shown."""
    c = d.connect()
    c.expect(WELCOME)
    c.send("/nothing\n")
    lines = c.expect("* There is no such command; /help lists them.\n").decode().splitlines()
    c.close()
    return [l for l in lines if not l.startswith("* ")]


@test
def small_logs_get_as_many_lines_back():
    d = history_daemon(rooms='{ name = "lobby"; log_size = "64K"; history = 60; announce_max = 200; }')
    d.start()
    alice = d.join(nick="alice")
    texts = ["%03d %s" % (i, "x" * 600) for i in range(80)]
    say(alice, *texts)
    stored(d, *texts)
    equal(shown(d), ["alice: " + t for t in texts[-60:]])
    reboot(d)
    d.start()
    equal(shown(d), ["alice: " + t for t in texts[-60:]])
    # However many have come and gone since, also if all of them are there at once.
    for i in range(130):
        d.connect().close()
    wait_for(lambda: query(d.database, "SELECT count(*) FROM messages WHERE kind > 2")[0][0] >= 260, what="the comings and goings")
    reboot(d)
    d.start()
    equal(shown(d), ["alice: " + t for t in texts[-60:]])


def traces(d, *names):
    """Files of the database that have these bytes somewhere."""
    found = []
    for path in glob.glob(d.database + "*"):
        with open(path, "rb") as f:
            text = f.read()
        found += [(os.path.basename(path), name) for name in names if name.encode() in text]
    return found


@test
def a_room_that_leaves_no_trace_leaves_no_name():
    hush = LOBBY + ', { name = "hushhush"; keep = "0"; }, { name = "whisperers"; keep = "0"; }'
    d = history_daemon(limits="room_linger = 0.0;")
    d.start()
    alice = d.join("hushhush", nick="alice")
    say(alice, "one")
    bob = d.join("whisperers", nick="bob")
    say(bob, "two")
    stored(d, "one", "two")
    check(traces(d, "hushhush") and traces(d, "whisperers"))
    numbers = [r[2] for r in rows(d) if r[0] == "hushhush"]
    # By a reload, by a restart, by a start; and while the rooms end.
    d.configure(rooms=hush)
    equal(d.ctl("reload")[0], 0)
    wait_for(lambda: not traces(d, "hushhush", "whisperers"), what="that nothing is left")
    say(alice, "three")
    bob.send("/join lobby\n")
    bob.expect("You are in lobby.\n")
    say(bob, "four")
    stored(d, "four")
    equal(traces(d, "hushhush", "whisperers"), [])
    d.configure()
    equal(d.ctl("reload")[0], 0)
    say(alice, "five")
    stored(d, "five")
    check(traces(d, "hushhush"))
    check("three" not in {r[3] for r in rows(d)})
    check(max(numbers) < [r[2] for r in rows(d) if r[3] == "five"][0], numbers, rows(d))
    d.configure(rooms=hush)
    equal(d.ctl("restart")[0], 0)
    wait_for(lambda: not traces(d, "hushhush", "whisperers"), what="that nothing is left")
    d.configure()
    equal(d.ctl("restart")[0], 0)
    say(alice, "six")
    stored(d, "six")
    d.configure(rooms=hush)
    reboot(d)
    d.start()
    wait_for(lambda: not traces(d, "hushhush", "whisperers"), what="that nothing is left")
    reboot(d)
    equal(traces(d, "hushhush", "whisperers"), [])


@test
def a_row_that_cant_be_read_opens_no_closed_room():
    for damage in ("UPDATE messages SET kind = 77 WHERE room = (SELECT id FROM rooms WHERE name = 'lobby')",
                   "UPDATE messages SET text = 'a' || char(10) || 'b'", "UPDATE messages SET epoch = 99",
                   "UPDATE runs SET last = last + 5", "UPDATE rooms SET name = 'a b' WHERE name = 'lobby'",
                   "UPDATE rooms SET name = 'a b' WHERE name = 'den'", "UPDATE rooms SET epoch = 99 WHERE name = 'den'",
                   "UPDATE rooms SET next = -1"):
        d = history_daemon(rooms=STAFF)
        d.start()
        zoe = member(d)
        check(enters(zoe, "staff"))
        say(zoe, "payroll")
        say(d.join("den", nick="bob"), "hello")
        say(d.join(nick="carol"), "good morning")
        stored(d, "payroll", "hello", "good morning")
        d.configure(rooms=LOBBY)
        reboot(d)
        change(d, damage)
        d.start()
        mallory = d.join(nick="mallory")
        # It is closed; or the database was set aside, and nobody reads it.
        told = []
        def is_known():
            mallory.send("/join staff\n")
            told[:] = [mallory.expect(re.compile(rb"\* (Room|You are in) staff[^\n]*\n")).decode()]
            return LATER not in told[0]
        wait_for(is_known, what="the rooms")
        if "members only" not in told[0]:
            check(state(d)["set_aside"] == 1 and "You are in" in told[0], damage, told, state(d))
        for question in ("/history", "/search payroll"):
            check("zoe: payroll" not in answer(mallory, question), damage, told)
        d.finish()


def read_while_forgetting(dies):
    """Somebody reads the database all the while; a process that dies meanwhile leaves it to the next one."""
    secret = "xyzzy-secret"
    d = history_daemon()
    d.start()
    alice = d.join(nick="alice")
    say(alice, *["%s %d" % (secret, i) for i in range(50)], "last")
    stored(d, "last")
    reader = sqlite3.connect(d.database, isolation_level=None)
    reader.execute("BEGIN")
    equal(reader.execute("SELECT count(*) FROM messages WHERE text LIKE 'xyzzy%'").fetchone()[0], 50)
    code, out, err = d.ctl("forget", "--room", "lobby", "-y", timeout=300)
    equal((code, out), (1, "51 messages forgotten\n"))
    check("traces of them are still in its files" in err, err)
    check(traces(d, secret), "the reader kept nothing")
    equal(reader.execute("SELECT count(*) FROM messages WHERE text LIKE 'xyzzy%'").fetchone()[0], 50)
    say(alice, "goes on")
    if dies:
        d.kill()
        d.start()
    reader.close()
    wait_for(lambda: not traces(d, secret), what="the end of the traces")
    stored(d, "goes on")
    d.finish()


@test
def traces_behind_a_reader_go_with_it():
    side_by_side(read_while_forgetting, [False, True])


@test
def forgetting_has_an_end_however_much_is_said():
    d = history_daemon()
    d.start()
    alice = d.join(nick="alice")
    say(alice, *["before %d" % i for i in range(20)])
    ended, said = threading.Event(), [0]

    def talk():
        c = d.join(nick="bob")
        while not ended.is_set():
            c.send("".join("during %d\n" % (said[0] + i) for i in range(100)))
            said[0] += 100
            # What is forgotten on its way comes as blanks.
            for _ in range(100):
                c.expect("\n")
            time.sleep(0.01)
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        wait_for(lambda: said[0] > 2000)
        for times in (["--before", "2099-01-01"], []):
            at = said[0]
            code, out, err = d.ctl("forget", "--room", "lobby", "-y", *times, timeout=300)
            check(out.endswith(" messages forgotten\n"), code, out, err)
            # What is said later stays.
            wait_for(lambda: any(t.startswith("during") and int(t[7:]) > at for _, _, _, t in rows(d)), what="what was said later")
        # Nor does an end of chatd wait for it.
        p = subprocess.Popen([CHATCTL, "-s", d.socket, "forget", "--nick", "bob", "-y"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        began = time.monotonic()
        ended.set()
        thread.join()
        d.stop()
        check(time.monotonic() - began < 30)
        p.communicate()
    finally:
        ended.set()
        thread.join()


@test
def copies_of_others_are_no_backup():
    stale = ["%s", "%s-journal", "%s-wal", "%s-shm"]
    d = history_daemon()
    d.start()
    say(d.join(nick="alice"), "one")
    stored(d, "one")

    def leave():
        for name in stale:
            with open(name % (d.database + ".backup"), "w") as f:
                f.write("STALE" * 2000)

    def left():
        return glob.glob(d.database + ".backup*")

    def back_up():
        copy = os.path.join(d.dir, "copy.db")
        equal(d.ctl("backup", copy), (0, "", ""))
        equal([r[0] for r in query(copy, "SELECT text FROM messages WHERE kind < 2")], ["one"])
        equal(query(copy, "PRAGMA integrity_check"), [("ok",)])
        with open(copy, "rb") as f:
            check(b"STALE" not in f.read())
        os.unlink(copy)
        equal(left(), [])

    leave()
    back_up()
    for again in (lambda: (d.kill(), d.start()), lambda: equal(d.ctl("restart")[0], 0)):
        leave()
        again()
        wait_for(lambda: left() == [], what="the end of what was left")
        back_up()
    # Another chatd with this database leaves a copy alone that is being made.
    other = history_daemon()
    other.configure(database=d.database)
    leave()
    other.start()
    wait_for(lambda: state(other)["state"] == "away")
    code, out, err = other.ctl("backup", os.path.join(other.dir, "copy.db"))
    check((code, out) == (1, "") and "another chatd writes to it" in err, code, out, err)
    equal(len(left()), 4)
    other.finish()
    back_up()


BEHIND = "* What was said last isn't stored yet, so it isn't among that; /history has it.\n"


@test
def a_search_says_what_it_does_not_have():
    d = history_daemon()
    d.start()
    alice = d.join(nick="alice")
    say(alice, "a brown fox")
    stored(d, "a brown fox")
    wait_for(lambda: state(d)["waiting"] == 0)
    reply = answer(alice, "/search fox")
    check("alice: a brown fox\n" in reply and BEHIND not in reply, reply)
    # Somebody else writes, for long: what is stored can still be read.
    writer = sqlite3.connect(d.database, isolation_level=None, timeout=20)
    writer.execute("BEGIN IMMEDIATE")
    say(alice, "a red fox")
    wait_for(lambda: state(d)["state"] == "away", what="the trouble")
    for text, n in (("fox", 1), ("red", 0)):
        reply = answer(alice, "/search " + text)
        equal((reply.count("fox\n"), BEHIND in reply), (n, True))
    check(BEHIND not in answer(alice, "/history"))
    equal(glob.glob(d.database + ".damaged*"), [])
    writer.execute("ROLLBACK")
    writer.close()
    stored(d, "a red fox")
    wait_for(lambda: state(d)["waiting"] == 0)
    reply = answer(alice, "/search fox")
    check("alice: a red fox\n" in reply and BEHIND not in reply, reply)


# --- what can't be written or read ---

def elsewhere(d, program):
    """From the next start on chatd sees a file system of its own, which the program (a shell's) prepares; or the test is skipped."""
    p = run("unshare", "-m", "true")
    if p.returncode != 0:
        raise Skip("no mount namespace can be made")
    inner = os.path.join(d.dir, "prepared")
    with open(inner, "w") as f:
        f.write('#!/bin/sh\n%s || exit 77\nexec %s "$@"\n' % (program, CHATD))
    os.chmod(inner, 0o755)
    d.start_by("exec unshare -m", inner)


def inside(d, *args):
    p = run("nsenter", "-t", str(d.pid), "-m", *args)
    equal(p.returncode, 0)
    return p


@test
def a_database_on_a_disk_that_is_read_only():
    """At the start, while it runs, and after a reboot: what is there is read, and chat goes on."""
    d = history_daemon()
    disk = os.path.join(d.dir, "disk")
    os.mkdir(disk)
    d.database = os.path.join(disk, "history.db")
    d.configure()
    d.start()
    alice = d.join("den", nick="alice")
    say(alice, "one")
    stored(d, "one")
    d.stop()
    elsewhere(d, "mount --bind %s %s && mount -o remount,bind,rw %s" % (disk, disk, disk))
    d.forget_store()
    d.start()
    say(d.join("den", nick="alice"), "two")
    stored(d, "one", "two")
    # While it runs: the kernel doesn't let a mount become read-only under a file that is open to be written.
    if run("nsenter", "-t", str(d.pid), "-m", "mount", "-o", "remount,bind,ro", disk).returncode == 0:
        c = d.join("den", nick="bob")
        say(c, "three")
        wait_for(lambda: state(d)["state"] == "away", what="the trouble")
        inside(d, "mount", "-o", "remount,bind,rw", disk)
        wait_for(lambda: state(d)["state"] == "stores", what="its end")
        stored(d, "three")
    reboot(d)
    # At the start: a WAL database can't be read without its shared memory, so which rooms there were isn't known.
    elsewhere(d, "mount --bind %s %s && mount -o remount,bind,ro %s" % (disk, disk, disk))
    d.start()
    c = d.join(nick="carol")
    say(c, "goes on")
    s = wait_for(lambda: (s := state(d))["state"] == "away" and s, what="the trouble")
    check("read" in s["why"].lower(), s)
    c.send("/join den\n")
    told = c.expect(re.compile(rb"\* (You are in den\.|Room den [^\n]*)\n")).decode()
    if "You are" in told:  # it could be read
        check("alice: two" in answer(c, "/history"), told)
    else:
        check(LATER in told, told)
    inside(d, "mount", "-o", "remount,bind,rw", disk)
    wait_for(lambda: state(d)["state"] == "stores", what="the end of the trouble")
    stored(d, "goes on")
    wait_for(lambda: enters(d.join(nick="dave"), "den"))
    equal(glob.glob(d.database + ".damaged*"), [])


@test
def a_database_that_chatd_may_not_open():
    """chatd is somebody else, whom the file isn't."""
    need("setpriv")
    if run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "true").returncode != 0:
        raise Skip("nobody else can be had")
    d = history_daemon()
    os.chmod(d.dir, 0o777)
    os.chmod(d.config, 0o644)
    os.chmod(d.door, 0o644)
    d.database = os.path.join(d.dir, "state", "history.db")
    os.mkdir(os.path.dirname(d.database))
    os.chmod(os.path.dirname(d.database), 0o777)
    d.configure()
    d.start_by("exec setpriv --reuid 65534 --regid 65534 --clear-groups")
    if run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", CHATD, "--version").returncode != 0:
        raise Skip("somebody else may not run %s" % CHATD)
    d.start()
    say(d.join("den", nick="alice"), "one")
    stored(d, "one")
    reboot(d)
    for path in glob.glob(d.database + "*"):
        os.chown(path, 0, 0)
        os.chmod(path, 0o600)
    d.start()
    c = d.join(nick="bob")
    say(c, "goes on")
    s = wait_for(lambda: (s := state(d))["state"] == "away" and s, what="the trouble")
    check("denied" in s["why"] or "open" in s["why"], s)
    c.send("/join den\n")
    c.expect("* Room den %s\n" % LATER)
    check("* The history" in (reply := answer(c, "/search one")) or "can't be searched" in reply, reply)
    equal(d.ctl("backup", os.path.join(d.dir, "copy"))[0], 1)
    logged(d, "history: nothing can be stored at the moment")
    for path in glob.glob(d.database + "*"):
        os.chown(path, 65534, 65534)
    wait_for(lambda: state(d)["state"] == "stores", what="the end of the trouble")
    stored(d, "one", "goes on")
    wait_for(lambda: enters(c, "den"))
    check("alice: one" in answer(c, "/history"))
    # While it runs: what it has open stays its own, so what is taken away is its folder.
    os.chown(os.path.dirname(d.database), 0, 0)
    os.chmod(os.path.dirname(d.database), 0o700)
    say(c, "still here")
    check("bob: still here" in answer(c, "/history"))
    os.chmod(os.path.dirname(d.database), 0o777)
    stored(d, "still here")
    equal(glob.glob(d.database + ".damaged*"), [])


if __name__ == "__main__":
    main()
