#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people ask of the history: /history and /search over TCP, #HISTORY over UDP; page by page, and whatever goes wrong meanwhile."""

import datetime
import socket
import struct

from testing import *

PAST = re.compile(r"\* \[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] (.*)")
OLDER = re.compile(rb"\* Older ones: (.*)\n")


def history_daemon(more="", rooms='{ name = "lobby"; log_size = "64K"; }', history="", listeners="", extra="", **kwargs):
    d = Daemon(start=False, **kwargs)
    d.database = os.path.join(d.dir, "history.db")
    d.history_config = lambda more="", history=history, rooms=rooms, limits="": d.write_config(
        listeners='{ name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; %s }%s' % (
            d.port, more, listeners),
        rooms=rooms, extra='history: { database = "%s"; %s }; limits: { commands_per_second = 0; lines_per_second = 0; '
        'max_clients_per_address = 0; %s }; %s' % (d.database, history, limits, extra))
    d.history_config(more)
    return d


def say(c, lines, nick):
    """Says them all, and waits until all of them were heard; slowly enough for a small log to be stored."""
    for at in range(0, len(lines), 200):
        part = lines[at:at + 200]
        c.send("".join(line + "\n" for line in part))
        c.expect("%s: %s\n" % (nick, part[-1]))
        if len(lines) > 200:
            time.sleep(0.1)


def answer(c, question):
    """The whole reply: what was said before as texts, and the line to go on with (or None)."""
    c.send(question + "\n/nothing\n")
    reply = c.expect("* There is no such command; /help lists them.\n").decode()
    texts = [m.group(2) for m in map(PAST.fullmatch, reply.split("\n")) if m]
    older = OLDER.search(reply.encode())
    return texts, older and older.group(1).decode(), reply


def all_pages(c, question):
    """What is found by going on to the end, the oldest first."""
    texts, pages = [], 0
    while question:
        page, question, reply = answer(c, question)
        check(page or not question, reply)
        texts = page + texts
        pages += 1
    return texts, pages


# --- what is shown ---

@test
def everything_that_was_said_can_be_had_once_and_in_order():
    """More than the room's log has, by pages of all sizes; the same after a restart, a crash, and an end."""
    d = history_daemon(store=True)
    d.start()
    alice = d.join(nick="alice")
    lines = ["%04d %s" % (i, "x" * 60) for i in range(3000)]
    say(alice, lines, "alice")
    expected = ["alice: " + line for line in lines]

    def compare(c, question):
        texts, pages = all_pages(c, question)
        equal(texts, expected)
        return pages

    check(compare(alice, "/history 1000") >= 3)
    equal(compare(alice, "/history 700"), 5)
    compare(alice, "/history 99")
    # As it was said, with the time.
    _, _, reply = answer(alice, "/history 1")
    said = datetime.datetime.strptime(PAST.search(reply).group(1) + "+0000", "%Y-%m-%d %H:%M:%S%z").timestamp()
    check(abs(time.time() - said) < 600, reply)
    alice.send("/me waves\n")
    alice.expect("alice * waves\n")
    expected.append("alice * waves")
    equal(answer(alice, "/history 2")[0], expected[-2:])
    d.ctl("restart")
    compare(alice, "/history 1000")
    d.kill()
    d.start()
    compare(alice, "/history 1000")
    # A real end: alice is gone, the room is back, and what it doesn't have comes from the database.
    d.stop()
    d.forget_store()
    d.start()
    bob = d.join(nick="bob")
    compare(bob, "/history 500")
    say(bob, ["again"], "bob")
    expected.append("bob: again")
    compare(bob, "/history 400")


@test
def words_are_found():
    d = history_daemon()
    d.start()
    alice, bob = d.join(nick="alice"), d.join(nick="bob")
    alice.expect("bob\n")
    say(alice, ["The quick brown fox", "a lazy dog, quickly", "Füchse und Hunde"], "alice")
    say(bob, ["number %d of the haystack" % i for i in range(100)], "bob")
    bob.send("/me finds a fox\n")
    bob.expect("bob * finds a fox\n")
    bob.send("/join den\n")
    bob.expect("You are in den.\n")
    say(bob, ["a fox in its den"], "bob")
    bob.send("/msg alice the fox is asleep\n")
    alice.expect("asleep\n")

    def found(text):
        return wait_for(lambda: (a := answer(alice, "/search " + text))[0] and a, what=text)[0]

    # What was said last is stored a moment later.
    wait_for(lambda: found("fox") == ["alice: The quick brown fox", "bob * finds a fox"], what="both foxes")
    equal(found("FOX quick"), ["alice: The quick brown fox"])
    equal(found("quick*"), ["alice: The quick brown fox", "alice: a lazy dog, quickly"])
    equal(found('"lazy dog"'), ["alice: a lazy dog, quickly"])
    equal(found("füchse"), ["alice: Füchse und Hunde"])
    equal(all_pages(alice, "/search haystack"), (["bob: number %d of the haystack" % i for i in range(100)], 5))
    check("no message with these words in lobby" in answer(alice, "/search unicorn")[2])
    for nothing in ("***", '"', "- -", "'"):
        check(re.match(r"\* There is no (word|message)", answer(alice, "/search " + nothing)[2]), nothing)
    # Whatever stands there is words, and no language.
    for text in ("fox) OR (dog", "NEAR(fox", "text:fox", "fox NOT quick", "^fox", "{fox}", "a\x00b", "\xff" * 80, '"' * 81):
        answer(alice, "/search " + text)
    equal(found("fox"), ["alice: The quick brown fox", "bob * finds a fox"])
    # What was said to one person only is nowhere.
    equal(answer(alice, "/search asleep")[0], [])
    d.stop()
    for path in glob.glob(d.database + "*"):
        with open(path, "rb") as f:
            check(b"asleep" not in f.read(), path)


@test
def only_who_may_be_there_reads_it():
    rooms = '{ name = "lobby"; log_size = "64K"; }, { name = "staff"; members = ( "alice" ); }, { name = "silent"; history = 0; }'
    d = history_daemon(rooms=rooms)
    passwords = os.path.join(d.dir, "passwords")
    add_account(passwords, "alice")
    door = 'password_file = "%s";' % passwords
    d.history_config(door, rooms=rooms)
    d.start()
    alice, bob = d.join(), d.join(nick="bob")
    alice.send("/login alice secret\n")
    alice.expect("is now alice\n")
    alice.send("/join staff\n")
    alice.expect("You are in staff.\n")
    say(alice, ["payroll %d" % i for i in range(3)], "alice")

    def bob_is_told_nothing():
        bob.send("/join staff\n")
        bob.expect("* Room staff is for its members only.\n")
        equal((answer(bob, "/history")[0], answer(bob, "/search payroll")[0]), ([], []))

    equal(answer(alice, "/history")[0], ["alice: payroll %d" % i for i in range(3)])
    wait_for(lambda: len(answer(alice, "/search payroll")[0]) == 3)
    bob_is_told_nothing()
    # Nor when it isn't configured any more, in this process or after an end.
    d.history_config(door, rooms='{ name = "lobby"; log_size = "64K"; }')
    equal(d.ctl("reload")[0], 0)
    bob_is_told_nothing()
    # However many rooms have newer messages.
    for room in ("one", "two", "three"):
        bob.send("/join %s\n" % room)
        bob.expect("You are in %s.\n" % room)
        say(bob, ["hello"], "bob")
    d.history_config(door, rooms='{ name = "lobby"; log_size = "64K"; }', limits="max_rooms = 2;")
    d.stop()
    d.forget_store()
    d.start()
    bob = d.join(nick="bob")
    bob_is_told_nothing()
    # A room that shows newcomers nothing shows nothing at all.
    d.history_config(door, rooms=rooms)
    equal(d.ctl("reload")[0], 0)
    bob.send("/join silent\n")
    bob.expect("You are in silent.\n")
    for question in ("/history", "/search x"):
        check("* Room silent shows nothing of what was said before.\n" in answer(bob, question)[2])


@test
def who_has_no_name_yet_is_told_nothing():
    d = history_daemon()
    passwords = os.path.join(d.dir, "passwords")
    add_account(passwords, "alice")
    d.history_config('auth = "password"; password_file = "%s";' % passwords)
    d.start()
    c = d.connect()
    c.send("/history\n/search x\n/login alice secret\n/history\n")
    text = c.expect("no message in lobby.\n")
    equal(text.count(b"* Please log in first: /login NAME PASSWORD\n"), 2)


@test
def what_a_room_does_not_keep():
    d = history_daemon(rooms='{ name = "lobby"; log_size = "64K"; }, { name = "secret"; log_size = "64K"; keep = "0"; }')
    d.start()
    alice = d.join("secret", nick="alice")
    lines = ["whisper %04d %s" % (i, "x" * 100) for i in range(1000)]
    say(alice, lines, "alice")
    texts, _ = all_pages(alice, "/history 1000")
    check(0 < len(texts) < 1000)  # what is in memory
    equal(texts, ["alice: " + line for line in lines[-len(texts):]])
    check("* There is no search in secret.\n" in answer(alice, "/search whisper")[2])
    # A reload turns it on and off.
    open_rooms = '{ name = "lobby"; log_size = "64K"; }, { name = "secret"; log_size = "64K"; }'
    d.history_config(rooms=open_rooms)
    equal(d.ctl("reload")[0], 0)
    say(alice, ["aloud"], "alice")
    wait_for(lambda: answer(alice, "/search aloud")[0] == ["alice: aloud"])
    d.history_config(history='keep = "0";', rooms=open_rooms)
    equal(d.ctl("reload")[0], 0)
    wait_for(lambda: "* There is no search in secret.\n" in answer(alice, "/search aloud")[2])


# --- what goes wrong ---

@test
def the_database_is_away():
    d = history_daemon()
    d.start()
    alice = d.join(nick="alice")
    lines = ["%04d %s" % (i, "x" * 100) for i in range(1500)]
    say(alice, lines, "alice")
    wait_for(lambda: len(all_pages(alice, "/history 1000")[0]) == 1500)
    aside = os.path.join(d.dir, "aside")
    os.mkdir(aside)
    paths = glob.glob(d.database + "*")
    for path in paths:
        os.rename(path, os.path.join(aside, os.path.basename(path)))
    texts, _, reply = answer(alice, "/history 1000")
    check(0 < len(texts) < 1500, len(texts))
    equal(texts, ["alice: " + line for line in lines[-len(texts):]])
    for text in ("/search 0001", "/history 1000 before:1"):
        check("can't be" in answer(alice, text)[2] or "no message" in answer(alice, text)[2], text)
    say(alice, ["goes on"], "alice")


@test
def a_crash_between_question_and_answer():
    """Whatever chatd is doing when it dies: there is one answer, and then what was typed behind it."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    points = [n for n in fault_points() if n.startswith("question-")]
    check(len(points) >= 5, points)
    for point in points:
        d = history_daemon(store=True)
        once = d.arm(point)
        os.unlink(once)  # not before it is wanted
        d.start_supervised()
        alice = d.join(nick="alice")
        lines = ["%04d %s" % (i, "x" * 100) for i in range(1000)]
        for i in range(0, len(lines), 100):  # no more at once than a busy machine stores before they leave the log
            say(alice, lines[i:i + 100], "alice")
            time.sleep(0.1)
        open(once, "w").close()
        alice.send("/history 1000\n/search 0123\nhello\n")
        reply = alice.expect("alice: hello\n").decode()
        check(not os.path.exists(once), point, "was never reached")
        texts = [m.group(2) for m in map(PAST.fullmatch, reply.split("\n")) if m]
        equal(texts, ["alice: " + line for line in lines] + ["alice: " + lines[123]])
        equal(len(re.findall(r"^\* \d+ messages? (with these words )?in lobby, times in UTC:$", reply, re.M)), 2)
        alice.nothing()
        d.unsupervise()
        d.finish()


@test
def a_flood_of_questions():
    """Each has an answer, be it that there are too many; and whoever comes from elsewhere has a real one."""
    d = history_daemon(history="questions = 16;")
    d.start()
    alice = d.join(nick="alice")
    say(alice, ["%04d %s" % (i, "x" * 100) for i in range(1500)], "alice")
    crowd = [d.join("den") for _ in range(40)]
    for c in crowd:
        c.send("/join lobby\n")
        c.expect(re.compile(rb"You are in lobby\.\n"))
    time.sleep(0.3)
    for c in crowd:
        c.buf.clear()
        c.send("/history 900 before:9000000000000000000\n/search x*\n" * 10 + "/nothing\n")
    elsewhere = socket.socket()
    elsewhere.bind(("127.0.0.2", 0))
    elsewhere.settimeout(PATIENCE)
    elsewhere.connect(("127.0.0.1", d.port))
    bob = Client(elsewhere)
    bob.expect(WELCOME)
    for _ in range(10):
        check("Too many" not in answer(bob, "/history 900")[2])
    say(alice, ["still here"], "alice")
    refused = answered = 0
    for c in crowd:
        reply = c.expect("no such command; /help lists them.\n", 120).decode()
        refused += reply.count("* Too many are asking at the moment; try again in a while.\n")
        answered += len(re.findall(r"^\* (\d+ messages?|There is no message)( with these words)? in lobby", reply, re.M))
    note("%d answers, %d of them after being refused a place" % (answered, refused))
    check(refused > 0)
    check(answered + refused >= 40 * 20, answered, refused)
    # Those who go meanwhile leave nothing behind.
    for c in crowd[:20]:
        c.send("/history 900\n")
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    equal(len(answer(bob, "/history 900")[0]), 900)
    d.ctl("restart")
    equal(len(answer(bob, "/history 900")[0]), 900)


@test
def sent_away_while_asking():
    d = history_daemon()
    d.start()
    alice, bob = d.join(nick="alice"), d.join(nick="bob")
    say(alice, ["%04d %s" % (i, "x" * 100) for i in range(1000)], "alice")
    bob.send("/history 1000\n" * 50)
    number = next(c["id"] for c in d.json("list", "clients") if c["nick"] == "bob")
    equal(d.ctl("kick", str(number))[0], 0)
    check(b"You have been removed" in bob.rest())
    bob = d.join(nick="bob")
    bob.send("/search x*\n" * 50)
    equal(d.ctl("ban", "127.0.0.1")[0], 0)
    bob.rest()
    equal(d.ctl("unban", "127.0.0.1")[0], 0)
    carol = d.join(nick="carol")
    equal(len(answer(carol, "/history 900")[0]), 900)


@test
def devices_are_told_as_well():
    port = free_port(socket.SOCK_DGRAM)
    d = history_daemon(listeners=', { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }' % port)
    d.start()
    alice = d.join(nick="alice")
    lines = ["%04d %s" % (i, "x" * 100) for i in range(1500)]
    say(alice, lines, "alice")
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    device.settimeout(PATIENCE)
    device.connect(("127.0.0.1", port))
    device.send(b"#REG dev")
    equal(device.recv(100), b"#OK dev 300\n")
    got, more = [], b""
    while more is not None:
        device.send(b"#HISTORY                ")
        cookie = re.match(rb"#COOKIE (\S{8})", device.recv(100)).group(1)
        device.send(b"#HISTORY 100 " + cookie + b" " + more)
        page = [device.recv(65536)]
        while not page[-1].startswith(b"#END"):
            page.append(device.recv(65536))
            check(not page[-1].startswith(b"#ERR"), page[-1])
        got = [re.fullmatch(rb"#PAST \d+ \S+ (.*)\n", p).group(1).decode() for p in page[:-1]] + got
        equal(int(page[-1].split()[1]), len(page) - 1)
        more = page[-1].split()[2] if b"before:" in page[-1] else None
    equal(got, ["alice: " + line for line in lines])


main()
