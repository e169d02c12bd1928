#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What was said before, on IRC: CHATHISTORY from a room's log and from the history, and the last messages on JOIN; and what was decided,
which comes back with it after a reboot.
"""

import base64
import sqlite3

from irc_client import *

PAST = "batch message-tags server-time echo-message labeled-response draft/chathistory"
LONG_AGO, FAR_OFF = "timestamp=2020-01-01T00:00:00.000Z", "timestamp=2262-01-01T00:00:00.000Z"


def say(who, target, texts):
    """Says these lines, a few milliseconds apart, and returns them as they come back."""
    echoes = []
    for text in texts:
        who.privmsg(target, text)
        echoes += [line for line in who.settled() if line.command == "PRIVMSG" and line.nick == who.nick]
        time.sleep(0.003)
    equal([line.params[1] for line in echoes], list(texts))
    return echoes


def ids(lines):
    return [(line.source, line.params, line.tags["msgid"], line.tags["time"]) for line in lines]


def past(who, text, target="#x", kind="chathistory"):
    """The lines of the batch that this CHATHISTORY is answered with."""
    got = who.ask("CHATHISTORY " + text)
    check(len(got) >= 2 and got[0].command == got[-1].command == "BATCH", [line.text for line in got])
    equal(got[0].params[1:], [kind] + ([target] if target else []))
    equal(got[-1].params, ["-" + got[0].params[0][1:]])
    for line in got[1:-1]:
        equal(line.tags["batch"], got[0].params[0][1:])
    return got[1:-1]


def msgid(line):
    return "msgid=" + line.tags["msgid"]


def stamp(line):
    return "timestamp=" + line.tags["time"]


@test
def each_way_to_ask():
    """LATEST, BEFORE, AFTER, AROUND and BETWEEN, by messages and by times: lines as they were when they were said."""
    d = irc_daemon()
    alice = IRC(d, "alice", caps=PAST)
    alice.join("#x")
    said = say(alice, "#x", ["message %d" % i for i in range(10)])
    for ref in msgid, stamp:
        for question, answer in (("LATEST #x * 50", said), ("LATEST #X * 5", said[-5:]), ("LATEST #x * 1", said[-1:]),
                                 ("LATEST #x %s 50" % ref(said[4]), said[5:]), ("LATEST #x %s 2" % ref(said[4]), said[-2:]),
                                 ("BEFORE #x %s 50" % ref(said[6]), said[:6]), ("BEFORE #x %s 2" % ref(said[6]), said[4:6]),
                                 ("AFTER #x %s 50" % ref(said[3]), said[4:]), ("AFTER #x %s 3" % ref(said[3]), said[4:7]),
                                 ("AFTER #x %s 3" % ref(said[9]), []), ("BEFORE #x %s 3" % ref(said[0]), []),
                                 ("BETWEEN #x %s %s 50" % (ref(said[0]), ref(said[9])), said[1:9]),
                                 ("BETWEEN #x %s %s 50" % (ref(said[9]), ref(said[0])), said[1:9]),
                                 ("BETWEEN #x %s %s 3" % (ref(said[0]), ref(said[9])), said[1:4]),
                                 ("BETWEEN #x %s %s 3" % (ref(said[9]), ref(said[0])), said[6:9]),
                                 ("AROUND #x %s 1" % ref(said[7]), said[7:8]), ("AROUND #x %s 3" % ref(said[7]), said[6:9]),
                                 ("AROUND #x %s 50" % ref(said[5]), said)):
            equal(ids(past(alice, question)), ids(answer))
    equal(past(alice, "BEFORE #x %s 10" % LONG_AGO), [])
    equal(past(alice, "AFTER #x %s 10" % FAR_OFF), [])
    # With a label, all of it is one batch within another.
    got = alice.ask("@label=h1 CHATHISTORY LATEST #x * 2")
    equal([line.command for line in got], ["BATCH", "BATCH", "PRIVMSG", "PRIVMSG", "BATCH", "BATCH"])
    equal(got[0].tags["label"], "h1")
    equal([got[1].tags["batch"], got[2].tags["batch"]], [got[0].params[0][1:], got[1].params[0][1:]])


@test
def what_others_say_and_tags():
    """Whoever said it by whatever way, with its account of tags, is in it; also actions, notices and client-only tags."""
    d = irc_daemon()
    alice, bob = IRC(d, "alice", caps=PAST), IRC(d, "bob", caps="message-tags echo-message server-time")
    for who in alice, bob:
        who.join("#x")
    nc = d.join("x", "dave")
    bob.line("@+draft/reply=7 PRIVMSG #x :with a tag")
    bob.line("NOTICE #x :a notice")
    bob.line("PRIVMSG #x :\1ACTION waves\1")
    bob.settled()
    nc.send(b"by nc\n")
    live = [line for line in alice.settled() if line.command in ("PRIVMSG", "NOTICE")]
    while len(live) < 4:
        live += [alice.next()]
    got = past(alice, "LATEST #x * 10")
    equal(ids(got), ids(live))
    equal([line.command for line in got], ["PRIVMSG", "NOTICE", "PRIVMSG", "PRIVMSG"])
    equal(got[0].tags["+draft/reply"], "7")
    equal(got[3].source, "dave!dave@chat")
    nc.close()


@test
def comings_and_goings():
    """draft/event-playback: who came, left, was called otherwise, and what was decided; without it only what was said."""
    d = irc_daemon()
    alice = IRC(d, "alice", caps=PAST + " draft/event-playback")
    carol = IRC(d, "carol", caps=PAST)
    bob = IRC(d, "bob")
    alice.join("#x")
    bob.join("#x")
    carol.join("#x")
    for line in "PRIVMSG #x :hello", "NICK robert", "PART #x :bye":
        bob.line(line)
        bob.settled()
    for line in "TOPIC #x :what it is about", "MODE #x +m":
        alice.line(line)
    live = [line for line in alice.settled() if line.command in ("TOPIC", "MODE")]
    got = past(alice, "LATEST #x * 50")
    equal([(line.nick, line.command) for line in got],
          [("alice", "JOIN"), ("bob", "JOIN"), ("carol", "JOIN"), ("bob", "PRIVMSG"), ("bob", "NICK"), ("robert", "PART"),
           ("alice", "TOPIC"), ("alice", "MODE")])
    equal(ids(got[-2:]), ids(live))
    equal([line.command for line in past(carol, "LATEST #x * 50")], ["PRIVMSG"])


@test
def what_is_refused():
    """Each mistake has its code, and who isn't in a channel is told nothing of it."""
    d = irc_daemon(rooms='{ name = "quiet"; history = 0; }')
    alice, bob = IRC(d, "alice", caps=PAST + " standard-replies"), IRC(d, "bob", caps=PAST)
    alice.join("#x", "#quiet")
    bob.join("#secret")
    say(bob, "#secret", ["nothing for alice"])
    for text, code, context in (
            ("", "INVALID_PARAMS", "*"), ("LATEST", "INVALID_PARAMS", "LATEST"), ("LATEST #x * 10 10", "INVALID_PARAMS", "LATEST"),
            ("OLDEST #x * 10", "INVALID_PARAMS", "OLDEST"), ("LATEST #x * 0", "INVALID_PARAMS", "LATEST #x"),
            ("LATEST #x * -5", "INVALID_PARAMS", "LATEST #x"), ("BEFORE #x * 5", "INVALID_PARAMS", "BEFORE #x"),
            ("BEFORE #x timestamp=now 5", "INVALID_PARAMS", "BEFORE #x"), ("AFTER #x msgid=5 5", "INVALID_PARAMS", "AFTER #x"),
            ("AFTER #x account=5 5", "INVALID_MSGREFTYPE", "AFTER #x"),
            ("AFTER #x msgid=0000000000000007-5 5", "MESSAGE_ERROR", "AFTER #x"),
            ("TARGETS %s 5" % LONG_AGO, "INVALID_PARAMS", "TARGETS"), ("TARGETS * * 5", "INVALID_PARAMS", "TARGETS"),
            ("LATEST #secret * 5", "INVALID_TARGET", "LATEST #secret"), ("LATEST #nowhere * 5", "INVALID_TARGET", "LATEST #nowhere"),
            ("LATEST #quiet * 5", "INVALID_TARGET", "LATEST #quiet")):
        got = alice.ask("CHATHISTORY " + text)
        equal([line.command for line in got], ["FAIL"])
        equal(got[0].params[:-1], ["CHATHISTORY", code] + context.split())
    d.stop()


@test
def where_something_was_said():
    """TARGETS: the channels that one is in, by when something was said there last."""
    d = irc_daemon()
    alice = IRC(d, "alice", caps=PAST)
    alice.join("#a", "#b", "#c", "#nothing")
    said = [say(alice, channel, ["in " + channel])[0] for channel in ("#b", "#a", "#c")]
    ask = lambda *words: [line.params[1:] for line in
                          past(alice, "TARGETS " + " ".join(words), None, "draft/chathistory-targets")]
    rows = [[line.params[0], line.tags["time"]] for line in said]
    equal(ask(LONG_AGO, FAR_OFF, "10"), rows)
    equal(ask(LONG_AGO, FAR_OFF, "2"), rows[:2])
    equal(ask(FAR_OFF, LONG_AGO, "2"), rows[1:])
    equal(ask(stamp(said[0]), FAR_OFF, "10"), rows[1:])
    equal(ask(stamp(said[0]), stamp(said[2]), "10"), rows[1:2])
    newer = say(alice, "#b", ["again"])[0]
    equal(ask(LONG_AGO, stamp(newer), "10"), rows[1:])


@test
def private_messages():
    """What two people have said to each other is told to these two, as it was; what they said to others isn't among it."""
    d = irc_daemon()
    alice, bob, carol = (IRC(d, nick, caps=PAST) for nick in ("alice", "bob", "carol"))
    said = []
    for i in range(8):
        who, target = (alice, "bob") if i % 2 else (bob, "alice")
        said += say(who, target, ["message %d" % i])
    say(alice, "carol", ["to somebody else"])
    bob.settled()
    equal(ids(said[1::2]), ids(line for line in bob.lines if line.command == "PRIVMSG" and line.nick == "alice"))
    for who, peer in (alice, "bob"), (bob, "alice"), (bob, "ALICE"):
        for ref in msgid, stamp:
            for question, answer in (("LATEST %s * 50", said), ("LATEST %%s %s 50" % ref(said[4]), said[5:]),
                                     ("BEFORE %%s %s 2" % ref(said[4]), said[2:4]), ("AFTER %%s %s 2" % ref(said[4]), said[5:7]),
                                     ("AROUND %%s %s 3" % ref(said[4]), said[3:6]),
                                     ("BEFORE %%s %s 2" % ref(said[0]), []), ("AFTER %%s %s 2" % ref(said[0]), said[1:3]),
                                     ("AROUND %%s %s 3" % ref(said[0]), said[0:2]),
                                     ("BETWEEN %%s %s %s 3" % (ref(said[0]), ref(said[7])), said[1:4]),
                                     ("BETWEEN %%s %s %s 3" % (ref(said[7]), ref(said[0])), said[4:7])):
                equal(ids(past(who, question % peer, peer)), ids(answer))
    equal([line.params for line in past(carol, "LATEST alice * 10", "alice")], [["carol", "to somebody else"]])
    equal(past(carol, "LATEST bob * 10", "bob"), [])
    equal([line.params[1:2] for line in carol.ask("CHATHISTORY LATEST nobody * 10")], [["INVALID_TARGET"]])
    # With its tags, and to oneself.
    alice.line("@+draft/reply=9 PRIVMSG alice :to myself")
    got = [line for line in alice.settled() if line.command == "PRIVMSG"]
    equal([(line.params, line.tags["+draft/reply"]) for line in got], 2 * [(["alice", "to myself"], "9")])
    equal(ids(got[:1]), ids(got[1:]))
    equal(ids(past(alice, "LATEST alice * 10", "alice")), ids(got[:1]))
    # TARGETS has these people, while they are here.
    targets = [line.params[1] for line in past(alice, "TARGETS %s %s 10" % (LONG_AGO, FAR_OFF), None, "draft/chathistory-targets")]
    equal(targets, ["bob", "carol", "alice"])
    # Who comes under that nick later is somebody else.
    bob.line("QUIT")
    bob.until("ERROR")
    bob.close()
    other = IRC(d, "other", caps=PAST)
    while True:
        other.line("NICK bob")
        if other.until("NICK", "433")[-1].command == "NICK":
            break
    equal(past(other, "LATEST alice * 10", "alice"), [])
    equal(past(alice, "LATEST bob * 10", "bob"), [])


@test
def isupport_tells_the_limit():
    """CHATHISTORY and MSGREFTYPES in 005, as the configuration has it; more isn't answered with."""
    for extra, limit in ("", 100), ('history: { database = "h.db"; lines = 7; };', 7):
        d = irc_daemon(extra=extra)
        alice = IRC(d, "alice", caps=PAST)
        told = [word for line in alice.welcome if line.command == "005" for word in line.params]
        check("CHATHISTORY=%d" % limit in told and "MSGREFTYPES=msgid,timestamp" in told, told)
        alice.join("#x")
        say(alice, "#x", ["message %d" % i for i in range(9)])
        equal(len(past(alice, "LATEST #x * 50")), min(limit, 9))
        d.stop()


# --- from the history ---

HISTORY = 'history: { database = "h.db"; lines = 100; };'
SMALL = 'room_defaults: { log_size = "64K"; }; max_message = 4096; '


def wait_stored(d, n):
    """So many messages are in the database, without comings and goings."""
    def there():
        try:
            db = sqlite3.connect("file:%s?mode=ro" % os.path.join(d.dir, "h.db"), uri=True)
            try:
                return db.execute("SELECT count(*) FROM messages WHERE kind < 2").fetchone()[0] >= n
            finally:
                db.close()
        except sqlite3.OperationalError:
            return False
    wait_for(there, what="what was said in the database")


def talk(d, who, n, channel="#x"):
    """Says n lines, with their own texts, no faster than they are stored; returns them as they came back."""
    echoes = []
    for i in range(n):
        who.privmsg(channel, "%d %s" % (i, "x" * 200))
        if i % 50 == 49 or i == n - 1:
            echoes += [line for line in who.settled() if line.command == "PRIVMSG"]
            wait_stored(d, i + 1)
    equal(len(echoes), n)
    return echoes


@test
def what_an_admin_reads():
    """Who decided what, as it was said in the room."""
    d = irc_daemon(extra=HISTORY)
    ann = IRC(d, "ann")
    ann.join("#x")
    ann.line("TOPIC #x :of old")
    ann.line("MODE #x +m")
    d.join("x", "carl")
    ann.line("KICK #x carl :enough")
    ann.privmsg("#x", "done")
    ann.settled()
    wait_stored(d, 1)
    shown = [line[21:] for line in d.ctl("history", "--notices", "x")[1].splitlines()]
    equal([line for line in shown if "ann" in line],
          ["* ann joined x", "* ann set the topic: of old", "* ann set mode +m", "* ann removed carl: enough", "ann: done"])


@test
def what_the_log_has_no_more():
    """The history has what the log has not, and both together are as it was: no line is lost or there twice at the border."""
    d = irc_daemon(extra=SMALL + HISTORY)
    alice = IRC(d, "alice", caps=PAST)
    alice.join("#x")
    n = 600
    said = talk(d, alice, n)
    short = lambda lines: [(line.nick, line.params, line.tags["msgid"], line.tags["time"]) for line in lines]
    # All of it, page by page, backwards and forwards.
    got = past(alice, "LATEST #x * 70")
    pages = 1
    while True:
        page = past(alice, "BEFORE #x %s 70" % msgid(got[0]))
        if not page:
            break
        got = page + got
        pages += 1
    equal(short(got), short(said))
    equal(pages, -(-n // 70))
    got = past(alice, "AFTER #x %s 90" % LONG_AGO)
    while True:
        page = past(alice, "AFTER #x %s 90" % msgid(got[-1]))
        if not page:
            break
        got += page
    equal(short(got), short(said))
    for i in 3, 100, 299, 400, 597:
        equal(short(past(alice, "AROUND #x %s 21" % msgid(said[i]))), short(said[max(i - 10, 0):i + 11]))
        equal(short(past(alice, "BETWEEN #x %s %s 30" % (msgid(said[i]), msgid(said[1])))), short(said[max(i - 30, 2):i]))
    # After a stop all of it is from there, but for the last ones; names of messages stay true.
    d.stop()
    d.start()
    alice = IRC(d, "alice", caps=PAST)
    alice.join("#x")
    equal(short(past(alice, "LATEST #x * 100")), short(said[-100:]))
    equal(short(past(alice, "BEFORE #x %s 100" % msgid(said[300]))), short(said[200:300]))
    equal(short(past(alice, "AFTER #x %s 100" % msgid(said[0]))), short(said[1:101]))


@test
def who_asks_through_kills():
    """A process that dies while somebody waits for the history's answer leaves the line to the next one: one answer each."""
    d = irc_daemon(extra=SMALL + HISTORY, store=True, start=False)
    d.start_supervised()
    alice = IRC(d, "alice", caps=PAST)
    alice.join("#x")
    said = talk(d, alice, 300)
    for i in range(int(10 * SCALE) or 1):
        for k in range(3):
            alice.line("CHATHISTORY AROUND #x %s 9" % msgid(said[20 + i + k]))
        kill(d)
        for k in range(3):
            got = alice.until("BATCH") + alice.until("BATCH")
            equal([line.params[0] for line in got[1:-1]], ["#x"] * 9)
            equal([line.tags["msgid"] for line in got[1:-1]], [line.tags["msgid"] for line in said[16 + i + k:25 + i + k]])
        equal(alice.settled(), [])
    d.unsupervise()


# --- on JOIN ---

def joined(who, channel="#x"):
    """What a JOIN is answered with, behind the names."""
    who.line("JOIN " + channel)
    got = who.settled()
    while got and got[0].nick != who.nick:
        del got[0]
    commands = [line.command for line in got]
    equal(commands[0], "JOIN")
    return got[commands.index("366") + 1:]


@test
def the_last_messages_on_join():
    """Who can't ask for them gets as many messages as the room has for others who join: behind the names, with their time."""
    d = irc_daemon(rooms='{ name = "x"; history = 5; }, { name = "none"; history = 0; }')
    alice = IRC(d, "alice", caps=PAST)
    alice.join("#x", "#none")
    said = say(alice, "#x", ["message %d" % i for i in range(8)])
    say(alice, "#none", ["nothing to be told later"])
    plain, timed, batched, able = (IRC(d, "joe%d" % i, caps=caps) for i, caps in
                                   enumerate(("", "server-time message-tags", "batch server-time message-tags", PAST)))
    equal([line.text for line in joined(plain)],
          [":%s PRIVMSG #x :message %d" % (said[0].source, i) for i in range(3, 8)])
    equal(ids(joined(timed)), ids(said[3:]))
    got = joined(batched)
    equal(got[0].params[1:], ["chathistory", "#x"])
    equal(ids(got[1:-1]), ids(said[3:]))
    equal([line.tags["batch"] for line in got[1:-1]], [got[0].params[0][1:]] * 5)
    equal(joined(able), [])
    for who in plain, timed, batched, able:
        who.settled()
        equal(joined(who, "#none"), [])


@test
def no_message_is_lost_at_a_join():
    """Somebody joins while others talk: what is told behind the names and what comes then is what was said, each line once."""
    d = irc_daemon(rooms='{ name = "x"; history = 10000; }')
    alice = IRC(d, "alice", caps="message-tags")
    nc = d.join("x", "dave")
    alice.join("#x")
    for turn in range(max(3, int(12 * SCALE))):
        who = IRC(d, "joe%d" % turn, caps="message-tags batch server-time")
        first = turn * 20
        for i in range(10):
            alice.privmsg("#x", "a%d" % (first + i))
            nc.send(b"d%d\n" % (first + i))
        who.line("JOIN #x")
        for i in range(10, 20):
            alice.privmsg("#x", "a%d" % (first + i))
            nc.send(b"d%d\n" % (first + i))
        texts = {"alice": [], "dave": []}
        while len(texts["alice"]) + len(texts["dave"]) < 2 * (first + 20):
            line = who.next()
            if line.command == "PRIVMSG":
                texts[line.nick].append(line.params[1])
        equal(texts["alice"], ["a%d" % i for i in range(first + 20)])
        equal(texts["dave"], ["d%d" % i for i in range(first + 20)])
        check(not [line for line in who.settled() if line.command == "PRIVMSG"], "more than was said")
        who.line("QUIT")
        who.until("ERROR")
        who.close()
    nc.close()


@test
def many_joined_at_once():
    """One JOIN of many channels, with much in each: all of it comes, however little space there is at a time."""
    d = irc_daemon(extra='room_defaults: { history = 100; }; ')
    alice = IRC(d, "alice", caps="echo-message")
    channels = ["#c%d" % i for i in range(20)]
    for channel in channels:
        alice.join(channel)
        for i in range(100):
            alice.privmsg(channel, "%d %s" % (i, "x" * 300))
        alice.settled()
    who = IRC(d, "joe")
    who.line("JOIN " + ",".join(channels))
    got = who.settled()
    equal([line.params[0] for line in got if line.command == "JOIN"], channels)
    equal([line.params[0] for line in got if line.command == "PRIVMSG"], [channel for channel in channels for _ in range(100)])


# --- read markers ---

MARKS = "draft/read-marker standard-replies"


def marks(lines):
    return [line.params for line in lines if line.command == "MARKREAD"]


def marking_daemon(**kwargs):
    d = irc_daemon("password_file = \"passwords\";", start=False, **kwargs)
    for name in "ann", "bob":
        add_account(os.path.join(d.dir, "passwords"), name)
    d.write_config("", d.listeners.replace('"passwords"', '"%s"' % os.path.join(d.dir, "passwords")), IRC_EXTRA + UNLIMITED)
    return d


def log_in(d, nick, account, caps=MARKS):
    c = IRC(d)
    c.line("CAP REQ :sasl " + caps)
    c.line("AUTHENTICATE PLAIN")
    c.line("AUTHENTICATE " + base64.b64encode(("\0%s\0secret" % account).encode()).decode())
    c.until("903")
    c.nick = nick
    c.line("NICK " + nick)
    c.line("USER u 0 * :u")
    c.line("CAP END")
    c.until("376", "422")
    return c


@test
def read_markers():
    """Each target has a time, which only grows; it is told on JOIN, before the names, and to who asks."""
    d = irc_daemon()
    alice = IRC(d, "alice", caps=MARKS)
    got = alice.join("#x")
    equal([line.command for line in got if line.command in ("JOIN", "MARKREAD", "353", "366")], ["JOIN", "MARKREAD", "353", "366"])
    equal(marks(got), [["#x", "*"]])
    first, later = "timestamp=2019-01-04T14:33:26.123Z", "timestamp=2019-06-01T12:00:00.000Z"
    for text, answer in (("#x", "*"), ("#x " + first, first), ("#X", first), ("#x " + later, later), ("#x " + first, later), ("#x", later),
                         ("bob", "*"), ("bob " + first, first), ("BOB", first), ("#nowhere", "*")):
        equal([line.params[1:] for line in alice.ask("MARKREAD " + text)], [[answer]])
    alice.line("PART #x")
    alice.settled()
    equal(marks(alice.join("#x")), [["#x", later]])
    # Others have their own, and who hasn't asked for it isn't told by itself.
    bob = IRC(d, "bob")
    equal(marks(bob.join("#x")), [])
    equal(marks(bob.ask("MARKREAD #x")), [["#x", "*"]])
    for text, code in (("", "NEED_MORE_PARAMS"), ("#x *", "INVALID_PARAMS #x"), ("#x timestamp=not-a-timestamp", "INVALID_PARAMS #x"),
                       ("#x msgid=0123456789abcdef-5", "INVALID_PARAMS #x"), ("#x/y", "INVALID_PARAMS #x/y")):
        got = alice.ask("MARKREAD " + text)
        equal([(line.command, line.params[:-1]) for line in got], [("FAIL", ["MARKREAD"] + code.split())])


@test
def an_account_has_its_markers_everywhere():
    """All clients of an account have the same markers, and are told of new ones; nobody else is; they survive kill -9."""
    d = marking_daemon(store=True)
    d.start_supervised()
    a, b, deaf, bob, guest = (log_in(d, "annA", "ann"), log_in(d, "annB", "ann"), log_in(d, "annC", "ann", "standard-replies"),
                              log_in(d, "bob", "bob"), IRC(d, "guest", caps=MARKS))
    everybody = a, b, deaf, bob, guest
    for who in everybody:
        who.join("#x")
    stamp = "timestamp=2022-11-11T11:11:11.%03dZ"
    for i in range(max(3, int(20 * SCALE))):
        for who in everybody:
            who.settled()
        a.line("MARKREAD #x " + stamp % (2 * i))
        if i % 2:
            kill(d)
        equal(marks(a.settled()), [["#x", stamp % (2 * i)]])
        if not i % 2: # who dies in between has not told
            while not marks([b.next()]):
                pass
        equal([marks(who.settled()) for who in (deaf, bob, guest)], 3 * [[]])
        equal([marks(who.ask("MARKREAD #x")) for who in (a, b, deaf)], 3 * [[["#x", stamp % (2 * i)]]])
        equal([marks(who.ask("MARKREAD #x")) for who in (bob, guest)], 2 * [[["#x", "*"]]])
        # What is no news isn't told.
        a.ask("MARKREAD #x " + LONG_AGO)
        equal(marks(b.settled()), [])
    for who in everybody:
        who.line("QUIT")
        who.until("ERROR")
        who.close()
    # And later, with another client.
    again = log_in(d, "again", "ann")
    equal(marks(again.join("#x")), [["#x", stamp % (2 * i)]])
    d.unsupervise()


@test
def it_is_answered_at_every_fault_point():
    """Whoever dies while it answers, or notes what was read, leaves the line to the next one: there is one answer, and it is true."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def die_at(name):
        d = irc_daemon(extra=SMALL + HISTORY, store=True, start=False)
        once = d.arm(name + ":1")
        d.start_supervised()
        alice = IRC(d, "alice", caps=PAST + " " + MARKS)
        alice.join("#x")
        said = talk(d, alice, 300)
        for i in 20, 280:
            alice.line("CHATHISTORY AROUND #x %s 9" % msgid(said[i]))
            got = alice.until("BATCH") + alice.until("BATCH")
            equal([line.tags["msgid"] for line in got[1:-1]], [line.tags["msgid"] for line in said[i - 4:i + 5]])
            alice.line("MARKREAD #x " + stamp(said[i]))
            equal(alice.until("MARKREAD")[0].params, ["#x", stamp(said[i])])
            equal(alice.settled(), [])
            equal(marks(alice.ask("MARKREAD #x")), [["#x", stamp(said[i])]])
        check(not os.path.exists(once), "fault point", name, "was never reached")
        d.unsupervise()
        d.finish()

    side_by_side(die_at, [n for n in fault_points() if n.startswith(("irc-history-", "irc-marker-"))])


# --- what was decided ---

# An account, whose nick IRC can't have as it is.
DAN, DAN_SHOWN = "dan@x", "dan\uff20x"


def deciding_daemon(**kwargs):
    d = marking_daemon(**kwargs)
    passwords = os.path.join(d.dir, "passwords")
    for account in "dan", DAN:
        equal(run(CHATCTL, "passwd", passwords, account, stdin=b"secret\n").returncode, 0)
    d.listeners = d.listeners.replace('"passwords"', '"%s"' % passwords)
    d.listeners = d.listeners.replace('room = "lobby";', 'room = "lobby"; password_file = "%s"; auth = "none";' % passwords)
    d.write_config('{ name = "lobby"; }, { name = "den"; keep = "0"; }', d.listeners, IRC_EXTRA + UNLIMITED + HISTORY)
    return d


def by_nc(d, account, *lines):
    c = d.join()
    for line in ("/login %s secret" % account,) + lines:
        c.send(line + "\n")
    return c


def records(d):
    """What the database has of channels."""
    try:
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(d.dir, "h.db"), uri=True)
        try:
            return dict(db.execute("SELECT name, record FROM channels JOIN rooms ON rooms.id = channels.room"))
        finally:
            db.close()
    except sqlite3.OperationalError:
        return {}


def wait_decided(d, channel, *texts):
    wait_for(lambda: all(t in records(d).get(channel, b"") for t in texts), 20, "what was decided in the database")


def lose_all(d, how):
    """It stops, or dies, and the state is gone, as at a reboot."""
    getattr(d, how)()
    for c in d.clients:
        c.close()
    d.clients = []
    d.forget_store()


def names(lines):
    return sorted(" ".join(params[-1] for params in numerics(lines, "353")).split())


def decided(who, channel):
    """What anybody who is there is told: the topic, the modes, the bans."""
    topic = [params[1] for params in numerics(who.ask("TOPIC " + channel), "332")]
    return topic, numerics(who.ask("MODE " + channel), "324"), [p[:3] for p in numerics(who.ask("MODE %s b" % channel), "367")]


@test
def no_channel_is_of_the_future():
    """Numbers of messages are above those of the database, which says nothing of when a room was made."""
    d = deciding_daemon(store=True)
    d.start()
    eve = IRC(d, "eve")
    eve.join("#lobby")
    eve.ask("PRIVMSG #lobby :hello")
    made = int(one(eve.ask("MODE #lobby"), "329")[1])
    check(made <= time.time(), made)
    wait_for(lambda: d.ctl("search", "hello")[1], what="what was said is stored")
    lose_all(d, "stop")
    d.start()
    eve = IRC(d, "eve")
    eve.join("#lobby")
    later = [int(params[1]) for params in numerics(eve.ask("MODE #lobby"), "329")]
    check(all(t <= time.time() for t in later), later)
    equal([params[0] for params in numerics(eve.ask("LIST C>1"), "322")], ["#lobby"])


@test
def what_was_decided_outlives_a_reboot():
    d = deciding_daemon(store=True)
    d.start()
    ann, bob, carl = log_in(d, "ann", "ann", ""), log_in(d, "bobby", "bob", ""), IRC(d, "carl")
    for who in ann, bob, carl:
        who.join("#x", "#den")
    dan = by_nc(d, DAN, "/join x")
    dan.expect("* You are in x.\n")
    for line in ("TOPIC #x :zero", "MODE #x +ov {0} {0}".format(DAN_SHOWN), "MODE #x +mk sesame", "MODE #x +b eve!*@*", "MODE #x +v bobby", "MODE #x +o carl", "TOPIC #den :untold"):
        ann.ask(line)
    wait_decided(d, "x", b"zero", b"sesame", b"eve!*@*", b"ann", b"bob", b"dan")
    for i, how in enumerate(("kill", "stop")):
        topic = ["zero", "one 1", "two"][i]
        lose_all(d, how)
        d.start()
        # Whoever comes first is no operator where one with an account is to come back, and needs the key.
        carl = IRC(d, "carl")
        equal([line.command for line in carl.join("#x")], ["475"])
        equal(names(carl.join("#x", key="sesame")), ["carl"])
        equal(decided(carl, "#x"), ([topic], [["#x", "+mntk", "sesame"]], [["#x", "eve!*@*", "ann"]]))
        equal([line.command for line in carl.ask("TOPIC #x :mine")], ["482"])
        eve = IRC(d, "eve")
        equal([line.command for line in eve.join("#x", key="sesame")], ["474"])
        # Those who have an account are what they were, and the others see it.
        ann = log_in(d, "anna", "ann", "")
        equal(names(ann.join("#x", key="sesame")), ["@anna", "carl"])
        equal([line.text for line in ann.settled()], [":chatd!chatd@chat MODE #x +o anna"])
        bob = log_in(d, "bobby", "bob", "")
        equal(names(bob.join("#x", key="sesame")), ["+bobby", "@anna", "carl"])
        equal([line.text.partition(" ")[2] for line in bob.settled()], ["MODE #x +v bobby"])
        dan = by_nc(d, DAN, "/join x sesame")
        dan.expect("* chatd set mode +ov {0} {0}\n".format(DAN_SHOWN))
        got = [line.text.partition(" ")[2] for line in carl.settled() if line.command == "MODE"]
        equal(got, ["MODE #x +o anna", "MODE #x +v bobby", "MODE #x +ov {0} {0}".format(DAN_SHOWN)])
        # What is to leave no trace has left none.
        equal(decided(carl if carl.join("#den") else None, "#den")[0], [])
        # It goes on, through deaths in between; what is decided right before the end is there, too.
        for n in range(2):
            equal([line.command for line in ann.ask("TOPIC #x :one %d" % n)], ["TOPIC"])
            d.kill()
            d.start()
        if how == "kill":
            wait_decided(d, "x", b"one 1")
        equal(names(ann.ask("NAMES #x")), ["+bobby", "@anna", "@" + DAN_SHOWN, "carl"])
        ann.ask("MODE #x -o+o anna anna")
    ann.ask("TOPIC #x :two")
    lose_all(d, "stop")
    equal(list(records(d)), ["x"])
    d.start()
    equal([params[1] for params in numerics(IRC(d, "dora").join("#x", key="sesame"), "332")], ["two"])
    d.finish()


@test
def who_logs_in_later_can_lose_its_status():
    """Its account has the status again after a reboot, also without coming in once more."""
    d = deciding_daemon(store=True)
    d.start()
    ann, bob = log_in(d, "ann", "ann", ""), log_in(d, "bobby", "bob", "")
    for who in ann, bob:
        who.join("#x")
    by_nc(d, "dan", "/join x").expect("* You are in x.\n")
    ann.ask("MODE #x +oo bobby dan")
    wait_decided(d, "x", b"ann", b"bob", b"dan")
    lose_all(d, "kill")
    d.start()
    ann = log_in(d, "ann", "ann", "")
    equal(names(ann.join("#x")), ["@ann"])
    bob, dan = IRC(d, "bobby", caps="sasl"), d.join("x", "danny")
    bob.join("#x")
    bob.line("AUTHENTICATE PLAIN")
    bob.line("AUTHENTICATE " + base64.b64encode(b"\0bob\0secret").decode())
    bob.until("903")
    dan.send("/login dan secret\n")
    dan.expect("* danny is now dan\n")
    equal(names(ann.ask("NAMES #x")), ["@ann", "@bobby", "@dan"])
    equal([line.params for line in ann.ask("MODE #x -o bobby")], [["#x", "-o", "bobby"]])
    ann.line("KICK #x dan :out")
    dan.expect("out")
    dan.send("/join x\n")
    dan.expect("* You are in x.\n")
    equal(names(ann.ask("NAMES #x")), ["@ann", "bobby", "dan"])
    equal([line.command for line in bob.ask("TOPIC #x :mine") if line.command != "MODE"], ["482"])
    dan.send("/topic mine\n")
    dan.expect("* Only operators of x can do that.\n")
    d.finish()


@test
def a_room_that_is_closed_is_not_made_anew():
    """Whoever waited for its end could read what was said there; other rooms end, and so does that one when it is open again."""
    d = deciding_daemon(store=True)
    d.write_config('{ name = "lobby"; }', d.listeners,
                   IRC_EXTRA + HISTORY + UNLIMITED.replace("limits: {", "limits: { room_linger = 0.0;") +
                   ' operators = ( { name = "root"; password = "top"; } ); ')
    d.start()
    ann, eve = log_in(d, "ann", "ann", ""), IRC(d, "eve")

    def rooms():
        return [r["name"] for r in d.json("list", "rooms")]

    ann.join("#open", "#x")
    ann.ask("MODE #x +k sesame")
    for room in "#open", "#x":
        ann.ask("PART " + room)
    wait_for(lambda: "open" not in rooms(), what="the end of the other room")
    d.kill()
    d.start()
    equal([line.command for line in eve.join("#x")], ["475"])
    ann.ask("OPER root top")
    ann.join("#x", key="sesame")
    ann.ask("MODE #x -k *")
    ann.ask("PART #x")
    wait_for(lambda: "x" not in rooms(), what="its end")
    d.finish()


@test
def what_was_decided_is_stored_and_restored_whatever_dies():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")

    def die_at(name):
        d = deciding_daemon(store=True)
        once = d.arm(name)
        d.start_supervised()
        ann = log_in(d, "ann", "ann", "")
        ann.join("#x")
        for text in "one", "two":
            equal([line.params for line in ann.ask("TOPIC #x :" + text)], [["#x", text]])
            wait_decided(d, "x", text.encode())
        wait_for(lambda: d.ready, 20, "chatd")
        d.unsupervise()
        lose_all(d, "kill")
        d.start_supervised()
        ann = log_in(d, "ann", "ann", "")
        got = ann.join("#x")
        equal(([params[1] for params in numerics(got, "332")], names(got)), (["two"], ["@ann"]))
        check(not os.path.exists(once), "fault point", name, "was never reached")
        d.unsupervise()
        d.finish()

    side_by_side(die_at, ["archive-channel:1", "archive-channel:2", "archive-committed:2", "irc-channel-sealed:2", "restore-channel:1",
                          "restore-commit:1"])


@test
def what_is_damaged_of_it_is_left_out():
    d = deciding_daemon(store=True)
    d.start()
    ann = log_in(d, "ann", "ann", "")
    for channel in "#x", "#y":
        ann.join(channel)
        ann.ask("TOPIC %s :of %s" % (channel, channel))
        wait_decided(d, channel[1:], b"of " + channel.encode())
    lose_all(d, "kill")
    db = sqlite3.connect(os.path.join(d.dir, "h.db"))
    db.execute("UPDATE channels SET record = ? WHERE room = (SELECT id FROM rooms WHERE name = 'x')",
               (records(d)["x"].replace(b"of #x", b"of #X"),))
    db.commit()
    db.close()
    d.start()
    check("topic and modes of x are not restored: what is in the database is damaged" in d.log(), d.last_words())
    ann = log_in(d, "ann", "ann", "")
    equal([numerics(ann.join(channel), "332") for channel in ("#x", "#y")], [[], [["#y", "of #y"]]])
    ann.ask("TOPIC #x :anew")
    wait_decided(d, "x", b"anew")
    d.finish()


@test
def what_was_decided_ends_with_its_room():
    d = deciding_daemon(store=True)
    d.write_config('{ name = "lobby"; }', d.listeners,
                   IRC_EXTRA + HISTORY + UNLIMITED.replace("limits: {", "limits: { room_linger = 0.0;"))
    d.start()
    ann = log_in(d, "ann", "ann", "")
    for text in b"first", b"second":
        ann.join("#x")
        equal(numerics(ann.ask("TOPIC #x"), "332"), [])
        ann.ask(b"TOPIC #x :" + text)
        wait_decided(d, "x", text)
        ann.ask("PART #x")
        wait_for(lambda: not records(d), 20, "the end of the room")
    d.finish()


main()
