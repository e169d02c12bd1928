#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
WebSockets against the real daemon: what of the Autobahn suite applies here, both protocols, and what a crash does to
them. tests/unit/web/test_frames.c has the framing by itself.
"""

import fcntl
import random
import select
import ssl
import termios

from ws import *

# What may be asked for without being slowed down.
FAST = "limits: { max_clients_per_address = 0; lines_per_second = 0; commands_per_second = 0; bytes_per_second = 0; joins_per_minute = 0; nick_changes_per_minute = 0; };"


def pair(d, **kwargs):
    """alice has JSON, bob has lines; both are in the lobby and have seen each other come."""
    alice = WebSocket(d, JSON, "?nick=alice", **kwargs)
    alice.got("joined")
    bob = WebSocket(d, query="?nick=bob", **kwargs)
    bob.text("* Welcome, bob. You are in lobby; /help lists the commands.")
    alice.got("join", nick="bob")
    return alice, bob


# --- the handshake ---


@test
def handshakes():
    d = web_daemon()
    w = WebSocket(d, "other, %s" % JSON)
    check(b"\r\nSec-WebSocket-Protocol: chatd.v1.json" in w.head, w.head)
    w = WebSocket(d)
    check(b"Sec-WebSocket-Protocol" not in w.head, w.head)
    check(b"Extensions" not in WebSocket(d, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n").head)
    WebSocket(d, "other", expect=400)
    WebSocket(d, query="?room=a%2fb", expect=400)
    WebSocket(d, query="?since=x", expect=400)
    WebSocket(d, query="?since=1&epoch=XYZ", expect=400)
    # A name that can't be had makes a guest, however long it is; one that can't be read is refused.
    for query in ("?nick=" + "x" * 33, "?nick=" + "x" * 1000, "?nick=a%20b", "?nick="):
        w = WebSocket(d, JSON, query)
        check(w.got("joined")["nick"].startswith("guest"), query)
        w.close()
    WebSocket(d, query="?nick=%0a", expect=400)
    WebSocket(d, query="?nick=a&nick=b", expect=400)
    good = {"Host": "localhost", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    cases = [({}, 101), ({"Upgrade": None}, 426), ({"Connection": "keep-alive"}, 426), ({"Sec-WebSocket-Version": "8"}, 426),
             ({"Sec-WebSocket-Version": None}, 426), ({"Sec-WebSocket-Key": None}, 400),
             ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400), ({"Sec-WebSocket-Key": "x" * 24}, 400),
             ({"Origin": "http://localhost"}, 101), ({"Origin": "http://evil.example"}, 403)]
    for change, status in cases:
        headers = {k: v for k, v in {**good, **change}.items() if v is not None}
        c = d.connect(port=d.web_port)
        c.send("GET /ws HTTP/1.1\r\n%s\r\n" % "".join("%s: %s\r\n" % h for h in headers.items()))
        answer = c.expect("\r\n\r\n").decode()
        equal((change, int(answer.split()[1])), (change, status))
        if status == 101:  # as in RFC 6455
            check("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer, answer)
        if "Sec-WebSocket-Version" in change:
            check("Sec-WebSocket-Version: 13\r\n" in answer, answer)


@test
def frames_that_come_with_the_handshake():
    d = web_daemon()
    c = d.connect(port=d.web_port)
    c.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame(TEXT, "early") + frame(PING, "x"))
    c.expect(b"\x81\x0dguest1: early")
    c.expect(b"\x8a\x01x")


# --- frames: the numbers are the Autobahn suite's ---


@test
def lines_of_all_lengths():  # 1
    d = web_daemon(extra=FAST.replace("limits", "max_message = 16384; limits"))
    alice, bob = pair(d)
    for n in (1, 2, 124, 125, 126, 127, 128, 4096, 16384):
        text = "x" * n
        bob.say(text)
        bob.text("bob: " + text)
        equal(alice.got("message")["text"], text)
    bob.say("")  # as an empty line: nothing
    bob.say("y" * 16385)
    bob.text("* That message was longer than 16384 bytes and has been refused.")
    bob.say("z" * 41000)
    equal(bob.closed()[0], 1009)


@test
def pings():  # 2
    d = web_daemon(extra=FAST)
    _, w = pair(d)
    for payload in (b"", b"Hello", b"\x00\xff\xfe\xfd", b"\xfe" * 125):
        w.put(PING, payload)
        equal(w.next(), (PONG, payload))
    for byte in frame(PING, b"slowly"):
        w.send(bytes([byte]))
        time.sleep(0.002)
    equal(w.next(), (PONG, b"slowly"))
    w.put(PONG, b"nobody asked")
    w.send(b"".join(frame(PING, b"%d" % i) for i in range(10)))
    for i in range(10):
        equal(w.next(), (PONG, b"%d" % i))
    w.put(PING, b"x" * 126)
    equal(w.closed()[0], 1002)


@test
def what_breaks_the_protocol():  # 3, 4, 5, 7
    d = web_daemon(extra=FAST)
    cases = [frame(TEXT, "x", rsv=r) for r in range(1, 8)] + [frame(PING, "x", rsv=1), frame(CLOSE, "", rsv=4)] + \
        [frame(o, "x") for o in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)] + \
        [frame(PING, "x", fin=False), frame(CLOSE, b"\x03\xe8", fin=False), frame(PONG, "x", fin=False)] + \
        [frame(0, "x"), frame(0, "x", fin=False), frame(TEXT, "a", fin=False) + frame(TEXT, "b")] + \
        [frame(TEXT, "x", mask=None), b"\x81\xfe\x00\x01mask.", b"\x81\xff" + b"\0" * 6 + b"\xff\xffmask"] + \
        [b"\x81\xff\x80" + b"\0" * 7 + b"mask", frame(CLOSE, b"\x03"), frame(CLOSE, b"\x03" * 126)] + \
        [frame(CLOSE, struct.pack(">H", c)) for c in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)]
    for case in cases:
        w = WebSocket(d)
        w.text()
        w.send(case + frame(TEXT, "behind the end nothing counts"))
        equal((case, w.closed()[0]), (case, 1002))
    equal(d.metric("web_sockets_broken_total"), len(cases))
    for length in (b"\x81\xff\x7f" + b"\xff" * 7, b"\x81\xff" + b"\0" * 3 + b"\1" + b"\0" * 4):
        w = WebSocket(d)
        w.send(length + b"mask")
        equal(w.closed()[0], 1009)
    w = WebSocket(d)
    w.put(BINARY, b"\0\1")
    equal(w.closed()[0], 1003)


@test
def fragments():  # 5
    d = web_daemon(extra=FAST)
    alice, bob = pair(d)

    def both(text):
        equal(bob.text(), "bob: " + text)
        equal(alice.got("message")["text"], text)

    whole = [frame(TEXT, "frag", fin=False), frame(PING, "1"), frame(0, "", fin=False), frame(PONG, "2"), frame(PING, "3"),
             frame(0, "ment")]
    for send in (lambda f: bob.send(b"".join(f)), lambda f: [bob.send(x) or time.sleep(0.01) for x in f],
                 lambda f: [bob.send(bytes([b])) or time.sleep(0.001) for b in b"".join(f)]):
        send(whole)
        equal(bob.next(), (PONG, b"1"))
        equal(bob.next(), (PONG, b"3"))
        both("fragment")
    bob.send(b"".join(frame(TEXT if i == 0 else 0, "é"[:1], fin=i == 99) for i in range(100)))
    both("é" * 100)
    bob.put(TEXT, "lost", fin=False)
    bob.put(CLOSE, b"\x03\xe8")
    equal(bob.closed()[0], 1000)


@test
def one_byte_fragments_are_bounded():
    d = web_daemon(extra=FAST)
    w = WebSocket(d)
    w.text()
    w.put(TEXT, "x", fin=False)
    before = d.cpu()
    try:
        for _ in range(20000):
            w.put(0, "", fin=False)
    except ConnectionError:
        pass
    equal(w.closed()[0], 1009)
    note("20000 empty fragments took chatd %.2f s" % (d.cpu() - before))
    check(d.cpu() - before < 5, d.cpu() - before)


@test
def utf8():  # 6
    d = web_daemon(extra=FAST)
    for text in ("κόσμε", "\U0010ffff", "\uffff", "a\u0080b"):
        w = WebSocket(d)
        w.text()
        data = text.encode()
        w.send(b"".join(frame(TEXT if i == 0 else 0, data[i:i + 1], fin=i == len(data) - 1) for i in range(len(data))))
        check(w.text().startswith("guest"))
        w.close()
    for bad in (b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xce", b"\xff", b"\xf8\x88\x80\x80\x80"):
        for protocol in (None, JSON):
            w = WebSocket(d, protocol)
            w.text()
            w.send(frame(TEXT, bad[:2], fin=False) + frame(0, bad[2:]))
            equal(w.closed()[0], 1007)
    w = WebSocket(d)
    w.put(CLOSE, b"\x03\xe8\xff")
    equal(w.closed()[0], 1007)


@test
def closes():  # 7
    d = web_daemon(extra=FAST)
    alice, bob = pair(d)
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        w = WebSocket(d)
        w.text()
        w.send(frame(CLOSE, struct.pack(">H", code) + b"why") + frame(TEXT, "never said") + frame(PING, "no"))
        equal(w.closed(), (code, ""))
    w = WebSocket(d)
    w.put(CLOSE)
    equal(w.closed(), (None, ""))
    bob.say("/quit")
    equal(bob.closed(), (1000, ""))
    alice.got("quit", nick="bob")
    c = WebSocket(d, query="?nick=carl")
    alice.got("join", nick="carl")
    number = [x["id"] for x in d.json("list", "clients") if x["nick"] == "carl"][0]
    equal(d.ctl("kick", str(number), "too loud"), (0, "", ""))
    equal(c.closed(), (1008, "You have been removed: too loud"))
    d.stop()
    equal(alice.closed()[0], 1001)
    check("never said" not in d.log())


# --- lines ---


@test
def one_line_a_message():
    d = web_daemon(extra=FAST)
    alice, bob = pair(d)
    for text, said in (("plain\n", "plain"), ("crlf\r\n", "crlf"), ("//help", "/help"), ("tab\there", "tab\there"),
                       ("\x1b[1m", "\ufffd[1m")):
        bob.say(text)
        equal(bob.text(), "bob: " + said)
        equal(alice.got("message")["text"], said)
    bob.say("two\nlines")
    bob.text("* One line a message, please; that one has been refused.")
    bob.say("/who")
    check(bob.text() in ("* 2 in lobby: alice, bob", "* 2 in lobby: bob, alice"))


@test
def a_raw_room_has_any_bytes():
    d = web_daemon(rooms='{ name = "lobby"; format = "raw"; }', extra=FAST)
    alice, bob = WebSocket(d, JSON), WebSocket(d)
    bob.text()
    c = d.join()
    c.send(b"a\xff\x01b\n*star\n")
    bob.text("a\ufffd\ufffdb")
    bob.text("**star")
    equal(alice.got("message")["text"], "a\ufffd\ufffdb")
    m = alice.got("message")
    equal((m["text"], m.get("nick")), ("*star", None))


# --- chatd.v1.json ---


@test
def conversation_in_json():
    d = web_daemon(extra=FAST)
    alice = WebSocket(d, JSON)
    welcome = alice.got()
    equal((welcome["type"], welcome["nick"], welcome["login"]), ("welcome", "guest1", False))
    check({"name": "me", "arguments": "TEXT", "help": "say what you do"} in welcome["commands"], welcome)
    joined = alice.got()
    equal((joined["type"], joined["room"], joined["nick"]), ("joined", "lobby", "guest1"))
    nc = d.join(nick="nc")
    alice.got("join", nick="guest2")
    equal(alice.got()["text"], "nc")
    alice.ask(do="say", text='say "hi" \\ \t /x', id=1)
    nc.expect(b'guest1: say "hi" \\ \t /x\n')
    m = alice.got()
    equal((m["type"], m["nick"], m["text"], m["room"], m["epoch"]),
          ("message", "guest1", 'say "hi" \\ \t /x', "lobby", joined["epoch"]))
    check(m["number"] > joined["next"] and abs(m["time"] / 1e6 - time.time()) < 60, m)
    for text in ("/help", "quit", "//x"):  # nothing of that is a command here
        alice.ask(do="say", text=text)
        equal(alice.got()["text"], text)
    alice.ask(do="act", text="waves")
    equal(alice.got()["type"], "action")
    alice.ask(do="nick", nick="alice", id="n")
    equal(alice.got(), {"type": "nick", "id": "n", "nick": "alice"})
    equal(alice.got()["type"], "rename")
    alice.ask(do="to", nick="nc", text="psst", id="p")
    equal(alice.got(), {"type": "private", "id": "p", "to": "nc", "text": "psst"})
    nc.expect("* [alice -> you] psst\n")
    nc.send("/msg alice back\n")
    m = alice.got()
    equal((m["type"], m["from"], m["text"]), ("private", "nc", "back"))
    alice.ask(do="to", nick="nobody", text="x", id=3)
    equal(alice.got(), {"type": "reply", "id": 3, "text": "* There is nobody by that name here."})
    alice.ask(do="who", id=4)
    equal(alice.got(), {"type": "who", "id": 4, "room": "lobby", "nicks": ["alice", "nc"], "count": 2})
    alice.ask(do="run", line="/who", id=5)
    equal(alice.got()["nicks"], ["alice", "nc"])
    alice.ask(do="join", room="den", id=6)
    m = alice.got()
    equal((m["type"], m["id"], m["room"]), ("joined", 6, "den"))
    nc.send("last\n")
    nc.expect("nc: last\n")
    alice.ask(do="rooms", id=7)
    rooms = {r["name"]: r for r in alice.got("rooms")["rooms"]}
    equal(sorted(rooms), ["den", "lobby"])
    equal((rooms["lobby"]["members"], rooms["lobby"]["epoch"], rooms["den"]["last"]), (1, joined["epoch"], 0))
    alice.ask(do="join", room="lobby")
    alice.got("joined", room="lobby")
    alice.ask(do="history", id=8, limit=2)
    h = alice.got("history", id=8)
    equal(([m["text"] for m in h["messages"]], h["more"], h["messages"][-1]["number"]),
          (["waves", "last"], True, rooms["lobby"]["last"]))
    alice.ask(do="history", before=h["messages"][0]["number"], limit=200)
    h = alice.got("history")
    equal(([m["text"] for m in h["messages"]], h["more"]), (['say "hi" \\ \t /x', "/help", "quit", "//x"], False))
    alice.ask(do="ping", id=9)
    equal(alice.got(), {"type": "pong", "id": 9})
    for name in ("\x01" * 33, "\x1f" * 64, '"' * 64, "x" * 64):
        alice.ask(do="ping", id=name)
        equal(alice.got(), {"type": "pong", "id": name})
        alice.ask(do="who", id=name)
        equal(alice.got()["id"], name)
        alice.ask(do="nothing", id=name)
        equal(alice.got()["id"], name)


@test
def json_that_is_wrong():
    d = web_daemon(extra=FAST)
    w = WebSocket(d, JSON)
    w.got("joined")
    deep = "[" * 10000
    for text in ("", "x", "[]", "1", "null", '"say"', "{", '{"do":"say"', deep, '{"do":"say","do":"say","text":"x"}', "{}",
                 '{"do":1}', '{"do":"nothing"}', '{"do":"say"}', '{"do":"say","text":1}', '{"do":"say","text":null}',
                 '{"do":"say","text":"a\\nb"}', '{"do":"say","text":"\\u0000"}', '{"do":"say","text":"\\ud800"}',
                 '{"do":"say","text":"%s"}' % ("x" * 4097), '{"do":"act","text":"%s"}' % ("x" * 4097), '{"do":"ping","id":{}}',
                 '{"do":"ping","id":1.5}', '{"do":"ping","id":"%s"}' % ("x" * 65), '{"do":"ping","id":99999999999999999999}',
                 '{"do":"ping","id":1e999}', '{"do":"join","room":"lobby","since":1}', '{"do":"join","room":"x","since":{}}',
                 '{"do":"join","room":"x","since":{"epoch":"g","number":1}}',
                 '{"do":"join","room":"x","since":{"epoch":"1","number":-1}}', '{"do":"history","limit":0}',
                 '{"do":"history","limit":201}', '{"do":"history","before":-1}', '{"do":"history","before":"1"}',
                 '{"do":"to","nick":"x"}', '{"do":"login","name":"x"}', '{"do":"search","text":""}x'):
        w.say(text)
        o = w.got()
        equal((text[:60], o["type"]), (text[:60], "error"))
        check(o["problem"], o)
    w.ask(do="nothing", id="who")
    equal(w.got()["id"], "who")
    w.say('{"do":"say","text":"\\ud83d\\ude00 ok","more":[[1]]}')
    equal(w.got()["text"], "\U0001f600 ok")


@test
def coming_back_without_a_gap():
    """Each message once and none twice, and an honest word where something can't be had."""
    d = web_daemon(rooms='{ name = "lobby"; history = 20; log_size = "64K"; }, { name = "mute"; history = 0; }', extra=FAST)
    w = WebSocket(d, JSON, "?nick=w")
    epoch = w.got("joined")["epoch"]
    nc = d.join(nick="nc")
    nc.send("one\n")
    seen = w.got("message", text="one")["number"]
    w.put(CLOSE)
    w.closed()
    for i in range(30):
        nc.send("missed %d\n" % i)
    nc.expect("missed 29\n")
    w = WebSocket(d, JSON, "?nick=w&room=lobby&epoch=%s&since=%d" % (epoch, seen))
    j = w.got("joined")
    check("gap" not in j, j)
    got = [w.got() for _ in range(30)]
    equal([m["text"] for m in got], ["missed %d" % i for i in range(30)])
    nc.send("live\n")
    last = w.got()
    equal((last["text"], last["number"] >= j["next"]), ("live", True))
    w.ask(do="join", room="mute")
    w.got("joined", room="mute")
    w.ask(do="join", room="lobby", since={"epoch": epoch, "number": last["number"]}, id=5)
    j = w.got("joined", id=5)
    check("gap" not in j, j)
    w.ask(do="join", room="mute", since={"epoch": "1", "number": 1})
    check("gap" in w.got("joined", room="mute"))
    for i in range(900):  # more than the log has
        nc.send("%d %s\n" % (i, "." * 100))
    nc.expect("nc: 899 %s\n" % ("." * 100))
    w.ask(do="join", room="lobby", since={"epoch": epoch, "number": last["number"]})
    j = w.got("joined", room="lobby")
    equal(j["gap"]["from"], last["number"] + 1)
    first = w.got()
    equal(first["number"], j["gap"]["to"] + 1)
    while first["text"] != "899 " + "." * 100:
        following = w.got()
        equal(following["number"], first["number"] + 1)
        first = following
    w.ask(do="join", room="mute")
    w.got("joined", room="mute")
    w.ask(do="join", room="lobby", since={"epoch": "abc", "number": first["number"] - 1})
    j = w.got("joined", room="lobby")  # numbers grow, whatever the epoch
    check("gap" not in j, j)
    equal(w.got()["number"], first["number"])


@test
def a_real_stop_and_the_history():
    """Everything is in the database: older messages, what is searched for, and what comes back after a stop."""
    d = web_daemon(start=False)
    extra = FAST + ' history: { database = "%s/history.db"; };' % d.dir
    rooms = '{ name = "lobby"; history = 20; log_size = "128K"; }'
    d.write_config(rooms, d.listeners, extra)
    d.start()
    w = WebSocket(d, JSON)
    w.got("joined")
    for i in range(1500):
        w.ask(do="say", text="%d %s" % (i, "." * 200))
        if i % 50 == 49:  # so that the database keeps up
            w.got("message", text="%d %s" % (i, "." * 200))
            wait_for(lambda: d.json("status")["history"]["stored"] > i)
    before, texts = None, []
    while len(texts) < 1500:
        w.ask(do="history", limit=200, **({"before": before} if before else {}))
        h = w.got("history")
        check(h["messages"], len(texts))
        texts = [m["text"] for m in h["messages"]] + texts
        before = h["messages"][0]["number"]
        equal(h["more"], len(texts) < 1500)
    equal([t.split()[0] for t in texts], [str(i) for i in range(1500)])
    w.ask(do="say", text="a needle here")
    last = w.got("message", text="a needle here")

    def found():
        w.ask(do="search", text="needle", id=1)
        h = w.got("history")
        equal((h["search"], h["id"]), ("needle", 1))
        return [m["text"] for m in h["messages"]] == ["a needle here"]

    wait_for(found)
    d.stop()
    equal(w.closed()[0], 1001)
    d.start()
    nc = d.join(nick="nc")
    nc.send("after\n")
    nc.expect("nc: after\n")
    w = WebSocket(d, JSON, "?epoch=%s&since=%d" % (last["epoch"], last["number"]))
    j = w.got("joined")
    check("gap" not in j, j)
    equal(w.got()["text"], "after")
    w.ask(do="history", limit=2)
    equal([m["text"] for m in w.got("history")["messages"]], ["a needle here", "after"])


@test
def a_login():
    d = web_daemon(start=False)
    accounts = d.dir + "/accounts"
    add_account(accounts, "alice")
    more = 'auth = "password"; password_file = "%s";' % accounts
    d.write_config(listeners=listener(d.web_port, more) + d.listeners.split("},", 1)[1], extra=FAST)
    d.start()
    w = WebSocket(d, JSON)
    m = w.got()
    equal((m["type"], m["login"], m.get("nick")), ("welcome", True, None))
    w.ask(do="say", text="x", id=1)
    check("log in" in w.got("reply", id=1)["text"])
    w.ask(do="login", name="alice", password="wrong", id=2)
    equal(w.got()["text"], "* Wrong name or password.")
    w.ask(do="login", name="alice", password="secret", id=3)
    equal(w.got(), {"type": "nick", "id": 3, "nick": "alice"})
    m = w.got()
    equal((m["type"], m["room"], m["nick"]), ("joined", "lobby", "alice"))
    w = WebSocket(d)
    w.text("* Welcome. Please log in: /login NAME PASSWORD")
    for _ in range(3):
        w.say("/login alice wrong")
    equal(w.closed(), (1008, "Wrong name or password."))
    d.write_config(listeners=listener(d.web_port, more) + d.listeners.split("},", 1)[1],
                   extra=FAST.replace("limits: {", "limits: { login_timeout = 1;"))
    equal(d.ctl("reload")[0], 0)
    equal(WebSocket(d, JSON).closed()[0], 1008)


# --- limits ---


@test
def a_flood_waits():
    """Pings, lines and JSON are slowed down as lines are; nothing is lost."""
    d = web_daemon(extra="limits: { max_clients_per_address = 0; lines_per_second = 50; };")
    _, other = pair(d)
    for what, answer in ((frame(PING, "x"), (PONG, b"x")), (frame(TEXT, "x"), None)):
        w = WebSocket(d)
        w.text()
        begin = time.monotonic()
        w.send(what * 150)
        n = 0
        while n < 150:
            got = w.next()
            n += got == answer if answer else got[1].endswith(": x")
        check(time.monotonic() - begin > 1.5, time.monotonic() - begin)
        w.close()


@test
def who_does_not_read():
    """A flood of pings by somebody who reads nothing holds nobody up, and is answered when it is read."""
    d = web_daemon(extra=FAST)
    alice, bob = pair(d)
    deaf = WebSocket(d)
    deaf.text()
    n = 60000
    sender = threading.Thread(target=lambda: deaf.send(frame(PING, b"x" * 125) * n))
    sender.start()
    time.sleep(0.5)
    bob.say("still here")
    alice.got("message", text="still here")
    while n > 0:  # and when it reads, all of it is there
        opcode, payload = deaf.next()
        n -= opcode == PONG
        equal(payload, b"x" * 125 if opcode == PONG else payload)
    sender.join()


@test
def what_was_said_before_it_went_counts():
    """However it went, and whatever answers nobody hears any more."""
    d = web_daemon(extra=FAST)
    alice, _ = pair(d)
    for protocol, last in ((None, "bye"), (JSON, '{"do":"say","text":"bye"}')):
        w = WebSocket(d, protocol)
        w.text()
        w.send((frame(PING, b"x" * 125) + frame(TEXT, "two\nlines") + frame(TEXT, "{}")) * 250 + frame(TEXT, last))
        wait_for(lambda: struct.unpack("i", fcntl.ioctl(w.sock, termios.TIOCOUTQ, b"1234"))[0] == 0)
        w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        w.close()
        alice.got("message", text="bye")
        alice.got("quit")


@test
def who_is_overtaken_is_told():
    """A member that doesn't read is lapped by the room, and told how much it missed, in its own protocol."""
    d = web_daemon(rooms='{ name = "lobby"; log_size = "64K"; history = 0; }', extra=FAST)
    slow, lines, nc = [], [], d.join(nick="nc")
    for protocol, query in ((JSON, "?nick=slow"), (None, "?nick=lines")):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", d.web_port))
        (slow if protocol else lines).append(WebSocket(d, protocol, query, sock=sock))
    text = "z" * 1000
    n = 6000
    for i in range(n):
        nc.send("%05d %s\n" % (i, text))
        if i % 50 == 49:
            nc.expect("nc: %05d %s\n" % (i, text))
    got, skipped, last = 0, 0, None
    while last != n - 1:
        m = json.loads(slow[0].text())
        if m["type"] == "skipped":
            skipped += m["count"]
        elif m["type"] == "message":
            equal(int(m["text"][:5]), got + skipped)
            got += 1
            last = int(m["text"][:5])
    check(skipped > 0, skipped)
    equal(got + skipped, n)
    while True:
        t = lines[0].text()
        if re.fullmatch(r"\* \d+ messages skipped", t):
            break
        check(t.startswith(("nc: ", "* ")), t)


@test
def a_ban_closes():
    d = web_daemon(extra=FAST)
    alice, bob = pair(d)
    d.ctl("ban", "127.0.0.1")
    equal(bob.closed()[0], 1008)
    equal(alice.closed()[0], 1008)


# --- surviving ---


def dies(d, how):
    if how == "kill":
        d.kill()
        d.start()
    else:
        equal(d.ctl("restart")[0], 0)


@test
def nobody_notices_a_death():
    """In mid-conversation, within fragmented messages, half frames and half headers, over TLS and not."""
    for tls in (False, True):
        for how in ("kill", "restart"):
            d = web_daemon(store=True, start=False, extra=FAST)
            if tls:
                cert, key = tls_files(d.dir)
                d.write_config(listeners=listener(d.web_port, 'tls_certificate = "%s"; tls_key = "%s";' % (cert, key)) +
                               d.listeners.split("},", 1)[1], extra=FAST)
            d.start()

            def connect(*args):
                return WebSocket(d, *args, sock=tls_connect(d, d.web_port).sock if tls else None)

            alice = connect(JSON, "?nick=alice")
            alice.got("joined")
            bob = connect(None, "?nick=bob")
            bob.text()
            message = frame(TEXT, "one, ", fin=False) + frame(PING, "p") + frame(0, "two, ", fin=False) + frame(0, "three" * 30)
            for cut in range(1, len(message), 17 if SCALE == 1 else 43):
                bob.send(message[:cut])
                alice.ask(do="say", text="cut at %d" % cut)
                alice.got("message", text="cut at %d" % cut)
                dies(d, how)
                bob.send(message[cut:])
                seen = [bob.next() for _ in range(3)]
                pongs = [s for s in seen if s == (PONG, b"p")]
                check(pongs, seen)
                texts = [s[1] for s in seen if s[0] == TEXT]
                while len(texts) < 2:  # a ping may be answered twice
                    opcode, payload = bob.next()
                    texts += [payload] if opcode == TEXT else []
                equal(texts, ["alice: cut at %d" % cut, "bob: one, two, " + "three" * 30])
                equal(alice.got("message")["text"], "one, two, " + "three" * 30)
            d.stop()


def babble(w, number, n):
    """Says n messages in fragments of all lengths with pings among them, sent in pieces that end wherever they do."""
    r, data = random.Random(number), b""
    for k in range(n):
        text = "%d %s" % (k, "é" * r.randrange(60))
        rest = (json.dumps({"do": "say", "text": text}) if number % 2 else text).encode()
        opcode = TEXT
        while rest:
            cut = r.randrange(1, 200)
            data += frame(opcode, rest[:cut], fin=cut >= len(rest), mask=r.randbytes(4))
            data += frame(PING, b"x") if r.random() < 0.2 else b""
            opcode, rest = 0, rest[cut:]
    while data:
        cut = r.randrange(1, 2500)
        w.sock.sendall(data[:cut])
        data = data[cut:]
        time.sleep(0.004 / SCALE)


class OneAtATime:
    """A socket with TLS for a thread that reads and one that writes: python3 before 3.13 lets both into OpenSSL at once."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.lock = sock, threading.Lock()

    def recv(self, n):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with self.lock:
                try:
                    return self.sock.recv(n)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            select.select([self.sock], [], [], 1)
        raise TimeoutError("nothing came")

    def sendall(self, data):
        while data:
            with self.lock:
                try:
                    data = data[self.sock.send(data):]
                    continue
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            select.select([], [self.sock], [], 1)

    def close(self):
        self.sock.close()


def hear(w, number, n, got):
    """Collects n messages."""
    while len(got) < n:
        opcode, payload = w.next()
        if opcode == PONG:
            continue
        if number % 2:
            m = json.loads(payload)
            got += [(m["nick"], m["text"])] if m["type"] == "message" else []
        else:
            m = re.fullmatch(r"(w\d): (.*)", payload)
            got += [m.groups()] if m else []


@test
def many_talk_over_deaths_at_random_instants():
    """Each message comes to each of them, once, whole, and in the same order; plain and over TLS."""
    for tls in (False, True):
        d = web_daemon(store=True, start=False, extra=FAST)
        cert, key = tls_files(d.dir)
        more = 'tls_certificate = "%s"; tls_key = "%s";' % (cert, key) if tls else ""
        d.write_config(listeners=listener(d.web_port, more) + d.listeners.split("},", 1)[1], extra=FAST)
        d.start()
        people = [WebSocket(d, JSON if i % 2 else None, "?nick=w%d" % i, sock=tls_connect(d, d.web_port).sock if tls else None)
                  for i in range(4)]
        for w in people if tls else []:
            w.sock = OneAtATime(w.sock)
        n = int(1500 * SCALE)
        got = [[] for _ in people]
        threads = [threading.Thread(target=babble, args=(w, i, n)) for i, w in enumerate(people)] + \
            [threading.Thread(target=hear, args=(w, i, n * len(people), got[i])) for i, w in enumerate(people)]
        for t in threads:
            t.start()
        deaths = 0
        while any(t.is_alive() for t in threads) and deaths < 1000:
            time.sleep(random.random() * 0.15)
            dies(d, "kill" if deaths % 4 else "restart")
            deaths += 1
        for t in threads:
            t.join(PATIENCE)
        for i in range(len(people)):
            equal([int(text.split()[0]) for nick, text in got[0] if nick == "w%d" % i], list(range(n)))
            if got[i] != got[0]:
                at = next((k for k, (a, b) in enumerate(zip(got[i], got[0])) if a != b), min(len(got[i]), len(got[0])))
                raise Failure("w%d has %d messages and w0 %d; from %d on: %r and %r" % (
                    i, len(got[i]), len(got[0]), at, brief(got[i][at - 1:at + 3]), brief(got[0][at - 1:at + 3])))
        note("%d messages by %d over %d deaths%s" % (n, len(people), deaths, ", TLS" if tls else ""))
        d.stop()


# --- other clients ---


@test
def python3_websockets():
    """Debian's python3-websockets, which checks what a server sends."""
    code = """
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], subprotocols=["chatd.v1.json"]) as j, websockets.connect(sys.argv[1]) as l:
        assert j.subprotocol == "chatd.v1.json" and l.subprotocol is None
        await j.recv(); await j.recv(); await l.recv()
        await l.ping()
        await l.send("x" * 4000)
        await l.send(["in ", "frag", "ments"])
        while "in fragments" not in (await j.recv()): pass
        await (await j.ping())
        await j.close(1000, "bye")
        assert j.close_code == 1000, j.close_code
        print("good")
asyncio.run(main())
"""
    if run("/usr/bin/python3", "-c", "import websockets").returncode:
        raise Skip("python3-websockets is not installed")
    d = web_daemon(extra=FAST)
    p = run("/usr/bin/python3", "-c", code, "ws://127.0.0.1:%d/ws" % d.web_port)
    equal((p.stdout, p.returncode), (b"good\n", 0))


@test
def node_ws():
    """npm's ws, in whatever folder it is."""
    folder = os.environ.get("CHATD_TEST_WS", "/usr/share/nodejs/ws")  # Debian's node-ws
    if not os.path.isdir(folder):
        raise Skip("npm's ws is not installed")
    need("node")
    code = """
const WebSocket = require(process.argv[2]);
const j = new WebSocket(process.argv[1], "chatd.v1.json"), l = new WebSocket(process.argv[1]);
l.on("open", () => { l.send("in ", { fin: false }); l.ping("p"); l.send("fragments", { fin: true }); });
j.on("message", m => { const o = JSON.parse(m); if (o.text === "in fragments") j.ping("x"); });
j.on("pong", () => j.close(1000, "bye"));
j.on("close", code => { console.log(code); l.close(); });
"""
    d = web_daemon(extra=FAST)
    p = run("node", "-e", code, "ws://127.0.0.1:%d/ws" % d.web_port, folder)
    equal((p.stdout, p.returncode), (b"1000\n", 0))


main()
