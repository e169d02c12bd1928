#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chatctl's part of the history: history, search, export, forget, backup."""

import mailbox
import sqlite3
import stat

from testing import *


def daemon(rooms="", extra="", **kw):
    d = Daemon(rooms=rooms, start=False, **kw)
    d.database = os.path.join(d.dir, "history.db")
    d.rewrite = lambda: d.write_config(rooms, extra='history: { database = "%s"; }; %s' % (d.database, extra))
    d.rewrite()
    d.start()
    return d


def stored(d, n):
    """All of n messages are in the database."""
    def count():
        try:
            with sqlite3.connect("file:%s?mode=ro" % d.database, uri=True, timeout=5) as db:
                return db.execute("SELECT count(*) FROM messages WHERE kind < 2").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
    wait_for(lambda: count() >= n, what="%d messages to be stored: %s" % (n, count()))


def say(client, *lines):
    for line in lines:
        client.send(line + "\n")
    client.expect(lines[-1].replace("/me", " *") + "\n")


def lines(d, *args, **kw):
    code, out, err = d.ctl(*args, **kw)
    equal((code, err), (0, ""))
    return out.splitlines()


def texts(d, *args):
    return [json.loads(line)["text"] for line in lines(d, *args, "--json")]


@test
def what_was_said_is_shown_from_the_database():
    d = daemon('{ name = "lobby"; }, { name = "ops"; }')
    alice, bob = d.join(nick="alice"), d.join(nick="bob", room="ops")
    say(alice, *["hello %d" % i for i in range(30)])
    say(alice, "/me waves")
    say(bob, "the disk is full", "a disk is empty")
    stored(d, 33)
    shown = lines(d, "history", "lobby")
    equal(len(shown), 20)
    check(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  alice: hello 11$", shown[0]), shown[0])
    check(shown[-1].endswith("  alice * waves"), shown[-1])
    equal(texts(d, "history", "-n", "2", "lobby"), ["hello 29", "waves"])
    # Counted at once, not only when the database is looked through again.
    check(d.json("status")["history"]["messages"] >= 33, d.json("status")["history"])
    for words in (["history", "nowhere"], ["search", "nothing"]):
        equal(d.ctl(*words), (0, "", "No message was found.\n"))
    equal(d.ctl("history", "nowhere", "--json"), (0, "", ""))
    equal(texts(d, "history", "--since", "1h", "lobby"), ["hello %d" % i for i in range(30)] + ["waves"])
    equal(texts(d, "history", "--until", "1h", "lobby"), [])
    equal(texts(d, "history", "--from", "ALICE", "-n", "1", "lobby"), ["waves"])
    equal(texts(d, "history", "--from", "bob", "lobby"), [])
    equal(texts(d, "history", "--grep", "hello 17", "lobby"), ["hello 17"])
    equal(texts(d, "history", "nowhere"), [])
    # The name that the channel has on IRC.
    equal(texts(d, "history", "#lobby"), texts(d, "history", "lobby"))
    equal(texts(d, "search", "--room", "#lobby", "hello 17"), ["hello 17"])
    kinds = [json.loads(line)["kind"] for line in lines(d, "history", "--notices", "--since", "1h", "ops", "--json")]
    equal(kinds.count("message"), 2)
    check("join" in kinds or "rename" in kinds, kinds)
    # Numbers grow, and name a message together with the epoch.
    all_of_it = [json.loads(line) for line in lines(d, "history", "--since", "1h", "lobby", "--json")]
    equal([m["number"] for m in all_of_it], sorted({m["number"] for m in all_of_it}))
    equal(len({m["epoch"] for m in all_of_it}), 1)
    equal(lines(d, "history", "-n", "0", "lobby"), [])


@test
def words_are_found_in_all_rooms_or_in_one():
    d = daemon('{ name = "lobby"; }, { name = "ops"; }')
    say(d.join(nick="alice"), "the disk is full", "nothing else", "Diskette")
    say(d.join(nick="bob", room="ops"), "which DISK?")
    stored(d, 4)
    found = lines(d, "search", "disk")
    equal([line.split("  ", 1)[1] for line in found], ["lobby       alice: the disk is full", "ops         bob: which DISK?"])
    equal(texts(d, "search", "--room", "lobby", "disk"), ["the disk is full"])
    equal(texts(d, "search", "disk*"), ["the disk is full", "Diskette", "which DISK?"])
    equal(texts(d, "search", "full", "disk"), ["the disk is full"])
    equal(texts(d, "search", '"disk is"'), ["the disk is full"])
    equal(texts(d, "search", "--from", "bob", "disk"), ["which DISK?"])
    equal(texts(d, "search", "nowhere"), [])
    code, out, err = d.ctl("search", "...")
    equal((code, out), (1, ""))
    check("no word" in err, err)


@test
def many_pages_are_one_list():
    d = daemon()
    alice = d.join(nick="alice")
    for i in range(0, 3000, 500):
        say(alice, *["line %d" % k for k in range(i, i + 500)])
    stored(d, 3000)
    equal(texts(d, "history", "--since", "1h", "lobby"), ["line %d" % i for i in range(3000)])
    equal(texts(d, "history", "-n", "1700", "lobby"), ["line %d" % i for i in range(1300, 3000)])
    equal([json.loads(line)["text"] for line in lines(d, "export", "lobby") if '"message"' in line],
          ["line %d" % i for i in range(3000)])


@test
def an_export_goes_on_when_chatd_is_restarted():
    d = daemon(store=True)
    alice = d.join(nick="alice")
    for i in range(0, 20000, 1000):
        say(alice, *["line %d" % k for k in range(i, i + 1000)])
    stored(d, 20000)
    for how in (lambda: equal(d.ctl("restart")[0], 0), lambda: (d.kill(), d.start())):
        p = subprocess.Popen([CHATCTL, "-s", d.socket, "export", "lobby"], stdout=subprocess.PIPE, text=True)
        begin = [p.stdout.readline() for _ in range(10)]
        how()
        got = [json.loads(line) for line in begin + p.stdout.readlines()]
        equal(p.wait(), 0)
        equal([m["text"] for m in got if m["kind"] == "message"], ["line %d" % i for i in range(20000)])


@test
def what_is_exported_is_mail():
    d = daemon('{ name = "lobby"; }, { name = "raw"; format = "raw"; }')
    say(d.join(nick="alice"), "first", "From here on", ">From there", "\u00fcber 'quotes\" \\")
    stored(d, 4)
    path = os.path.join(d.dir, "mbox")
    code, out, err = d.ctl("export", "--format", "mbox")
    equal((code, err), (0, ""))
    with open(path, "w") as f:
        f.write(out)
    mails = [m for m in mailbox.mbox(path) if m["X-Chatd-Kind"] == "message"]
    equal([m.get_payload(decode=True).decode().rstrip("\n") for m in mails],
          ["first", ">From here on", ">>From there", "\u00fcber 'quotes\" \\"])
    equal({m["Subject"] for m in mails}, {"lobby"})
    equal({m["From"] for m in mails}, {'"alice" <chatd@localhost>'})
    equal(len({m["Message-ID"] for m in mails}), 4)
    equal(d.ctl("export", "--format", "pdf")[0], 2)


def remains(d, text):
    """Files of the database that have these bytes somewhere."""
    found = []
    for path in glob.glob(d.database + "*"):
        with open(path, "rb") as f:
            if text in f.read():
                found.append(path)
    return found


@test
def what_is_forgotten_is_nowhere():
    d = daemon('{ name = "lobby"; history = 50; }, { name = "ops"; history = 50; }')
    alice, bob = d.join(nick="alice"), d.join(nick="bob", room="ops")
    say(alice, "xyzzy-secret one", "hello")
    carol = d.join(nick="carol", room="ops")
    say(carol, "xyzzy-secret two")
    say(bob, "plugh-open three")
    stored(d, 4)
    wait_for(lambda: remains(d, b"xyzzy"))
    code, out, err = d.ctl("forget", "--nick", "ALICE", stdin=b"")
    equal((code, out), (2, ""))
    check("--yes" in err, err)
    equal(d.ctl("forget", "--nick", "ALICE", "--yes"), (0, "2 messages forgotten\n", ""))
    equal(texts(d, "history", "lobby"), [])
    equal(d.ctl("forget", "--nick", "carol", "--room", "ops", "-y"), (0, "1 message forgotten\n", ""))
    equal(remains(d, b"xyzzy"), [])
    check(remains(d, b"plugh"), "what was not to be forgotten is still there")
    equal(texts(d, "history", "ops"), ["plugh-open three"])
    # Whoever comes now is not shown it.
    late = d.connect()
    late.expect(WELCOME)
    late.send("/join ops\n")
    late.expect("bob: plugh-open three\n")
    check(b"xyzzy" not in late.buf and b"carol: " not in late.buf, late.buf)
    # A whole room, before a time, and what is said later stays.
    equal(d.ctl("forget", "--room", "ops", "--before", "1h", "-y"), (0, "0 messages forgotten\n", ""))
    check(d.ctl("forget", "--room", "ops", "-y")[1].endswith(" forgotten\n"))
    say(bob, "later")
    stored(d, 1)
    equal(texts(d, "history", "ops"), ["later"])
    equal(remains(d, b"plugh"), [])
    logged(d, "has 2 messages of ALICE forgotten")


@test
def what_is_forgotten_does_not_come_back():
    d = daemon('{ name = "lobby"; history = 50; }', store=True)
    say(d.join(nick="alice"), "xyzzy", "hello")
    stored(d, 2)
    equal(d.ctl("forget", "--room", "lobby", "-y")[0], 0)
    d.kill()
    d.start()
    late = d.connect()
    late.expect(WELCOME)
    late.send("/history\n")
    late.expect("* ")
    time.sleep(0.3)
    check(b"xyzzy" not in late.buf, late.buf)
    equal(texts(d, "history", "lobby"), [])
    equal(remains(d, b"xyzzy"), [])


@test
def a_backup_is_a_database_with_all_that_is_needed():
    d = daemon()
    accounts = os.path.join(d.dir, "accounts")
    add_account(accounts, "zoe")
    d.write_config("", listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; password_file = "%s"; }""" % (d.port, accounts),
                   extra='history: { database = "%s"; };' % d.database)
    equal(d.ctl("reload")[0], 0)
    equal(d.ctl("ban", "192.0.2.77")[0], 0)
    alice = d.join(nick="alice")
    for i in range(0, 20000, 1000):  # some megabytes: more than goes out at once
        say(alice, *["line %d %s" % (k, "x" * 200) for k in range(i, i + 1000)])
        stored(d, i + 1000)
    copy = os.path.join(d.dir, "copy.db")
    equal(d.ctl("backup", copy), (0, "", ""))
    equal(stat.S_IMODE(os.stat(copy).st_mode), 0o600)
    with sqlite3.connect(copy) as db:
        equal(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        check(db.execute("SELECT count(*) FROM messages WHERE kind < 2").fetchone()[0] >= 20000)
        files = dict(db.execute("SELECT path, content FROM files"))
    equal(files[accounts], open(accounts, "rb").read())
    check(any(b"192.0.2.77" in bytes(v) for v in files.values()), files)
    # What is there isn't overwritten, and nothing else is left lying about.
    code, out, err = d.ctl("backup", copy)
    equal((code, out), (1, ""))
    check("is there already" in err, err)
    equal(d.ctl("backup", os.path.join(d.dir, "no", "dir", "x"))[0], 1)
    check(not glob.glob(d.database + ".backup*") and not glob.glob(copy + ".part*"), os.listdir(d.dir))
    # It works as a database.
    d.stop()
    shutil.copyfile(copy, d.database)
    for rest in glob.glob(d.database + "-*"):
        os.unlink(rest)
    d.start()
    equal(texts(d, "history", "-n", "1", "lobby"), ["line 19999 " + "x" * 200])


@test
def without_a_history_the_answer_is_no():
    d = Daemon()
    for command in (["history", "lobby"], ["search", "x"], ["export"], ["forget", "--room", "lobby", "-y"],
                    ["backup", os.path.join(d.dir, "x")]):
        code, out, err = d.ctl(*command)
        equal((code, out), (1, ""))
        check("there is no history" in err, err)
    check(not os.path.exists(os.path.join(d.dir, "x")))


@test
def wrong_words_are_told():
    d = daemon()
    for command, word in ((["history"], "usage"), (["history", "a b"], "room"), (["history", "--since", "soon", "lobby"], "2h"),
                          (["history", "-n", "x", "lobby"], "-n"), (["search"], "usage"), (["forget"], "usage"),
                          (["forget", "--nick", "x", "y"], "usage"), (["backup"], "usage"),
                          (["history", "--nonsense", "lobby"], "--nonsense"), (["export", "--grep", "x"], "usage")):
        code, out, err = d.ctl(*command)
        equal((code, out), (2, ""))
        check(word in err, command, err)


@test
def odd_values_are_told():
    """An empty or odd value is never taken as none: least of all where that would forget everything."""
    d = daemon()
    alice = d.join(nick="alice")
    say(alice, "hello", "world")
    stored(d, 2)
    odd = [
        (["history", "--since", ""], "a time"), (["history", "--until", " "], "a time"), (["history", "--since", "nan"], "a time"),
        (["history", "--since", "99999999h"], "a time"), (["history", "--since", "@-1"], "a time"),
        (["history", "--since", "1h", "--until", "2h"], "--since has to be"), (["history", "--from", ""], "--from takes a nick"),
        (["history", "--from", "x" * 300], "--from takes a nick"), (["history", "--grep", ""], "--grep takes a word"),
        (["history", "--grep", "  "], "--grep takes a word"), (["history", "--grep", "\udcff"], "UTF-8"),
        (["history", "-n", ""], "-n takes a number"), (["history", "-n", "-1"], "-n takes a number"),
        (["history", "-n", "+1"], "-n takes a number"), (["history", "-n", " 1"], "-n takes a number"),
        (["history", "-n", "1x"], "-n takes a number"), (["history", "-n", "9" * 30], "-n takes a number")]
    odd = [(words + ["lobby"], text) for words, text in odd] + [
        (["history", ""], "room name"), (["search", "--room", "", "x"], "room name"), (["search", ""], "search takes a word"),
        (["search", " ", " "], "search takes a word"), (["search", "--from", "", "x"], "--from takes a nick"),
        (["export", ""], "room name"), (["export", "--format", ""], "--format takes"), (["export", "--until", ""], "a time"),
        (["forget", "-y", "--room", ""], "room name"), (["forget", "-y", "--nick", ""], "--nick takes a nick"),
        (["forget", "-y", "--nick", "x" * 300], "--nick takes a nick"), (["forget", "-y", "--room", "lobby", "--before", ""], "a time"),
        (["forget", "-y", "--room", "lobby", "--since", "1h", "--before", "2h"], "--since has to be"), (["backup", ""], "usage")]
    for command, word in odd:
        code, out, err = d.ctl(*command)
        check((code, out) == (2, "") and word in err, command, code, out, err)
    # At the beginning of time nothing was said, and a time to come is now.
    equal(texts(d, "history", "--since", "@0", "lobby"), ["hello", "world"])
    equal(texts(d, "history", "--until", "@0", "lobby"), [])
    equal(texts(d, "history", "-n", "9223372036854775807", "lobby"), ["hello", "world"])
    for before in ("@0", "@0.0000001"):
        equal(d.ctl("forget", "-y", "--room", "lobby", "--before", before), (0, "0 messages forgotten\n", ""))
    reply = call(d, "Forget", {"room": "lobby", "before": 1e-9})
    equal(reply["parameters"]["removed"], 0)
    equal(texts(d, "history", "lobby"), ["hello", "world"])


def call(d, method, parameters):
    """The first reply."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(d.socket)
    s.settimeout(PATIENCE)
    s.sendall(json.dumps({"method": "io.chatd.Control." + method, "parameters": parameters, "more": True}).encode() + b"\0")
    data = b""
    while b"\0" not in data:
        data += s.recv(65536)
    s.close()
    return json.loads(data.split(b"\0")[0])


@test
def wrong_calls_are_refused():
    d = daemon()
    for method, parameters, name in (("History", {"room": 5}, "room"), ("History", {"since": "x"}, "since"),
                                     ("History", {"limit": -1}, "limit"), ("History", {"after": 1.5}, "after"),
                                     ("History", {"until": 1e300}, "until"), ("History", {"notices": 1}, "notices"),
                                     ("History", {"text": ""}, "text"), ("Forget", {}, "room"), ("Forget", {"nick": ""}, "nick"),
                                     ("Forget", {"room": "x" * 500}, "room"), ("Forget", {"room": "x", "before": -1}, "before")):
        s = socket.socket(socket.AF_UNIX)
        s.connect(d.socket)
        s.sendall(json.dumps({"method": "io.chatd.Control." + method, "parameters": parameters, "more": True}).encode() + b"\0")
        reply = json.loads(s.recv(65536).rstrip(b"\0"))
        equal((reply.get("error"), reply["parameters"]), ("org.varlink.service.InvalidParameter", {"parameter": name}))
        s.close()
    # A client that goes away in the middle, and one that asks again before the answer is there.
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(d.socket)
        for method in ("History", "Backup", "History"):
            s.sendall(json.dumps({"method": "io.chatd.Control." + method, "parameters": {}, "more": True}).encode() + b"\0")
        s.close()
    wait_for(lambda: d.ctl("backup", os.path.join(d.dir, "copy.db"))[0] == 0, what="the backup that was begun to be over")


if __name__ == "__main__":
    main()
