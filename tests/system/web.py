#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A listener of type "http": the page's files, the API, server-sent events, and who tries to misuse them."""

import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

from testing import *


LOBBY = '{ name = "lobby"; history = 20; }'


def listener(port, more="", chat=None, address="127.0.0.1"):
    return """{ name = "web"; type = "http"; mode = "chat"; listen = "%s:%d"; room = "lobby"; %s },
              { name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; }""" % (
        address, port, more, chat or free_port())


class Web:
    """A chatd with such a listener, and a token "bot" that may do what rights say."""

    def __init__(self, more="", rights=("--read", "--speak"), rooms=LOBBY, **kwargs):
        need("curl")
        self.port, chat = free_port(), free_port()
        self.d = Daemon(rooms=rooms, start=False, **kwargs)
        self.tokens = os.path.join(self.d.dir, "tokens")
        self.bot = self.make_token("bot", *rights)
        self.more, self.rooms, self.kwargs = more, rooms, kwargs
        self.d.port = chat
        self.configure(more)
        self.d.start()

    def configure(self, more):
        self.d.write_config(self.rooms, listener(self.port, 'token_file = "%s"; %s' % (self.tokens, more), self.d.port),
                            self.kwargs.get("extra", ""))

    def make_token(self, name, *rights):
        p = subprocess.run([CHATCTL, "token", "add", name, *rights, self.tokens], capture_output=True, text=True)
        equal((p.returncode, p.stderr), (0, ""))
        os.chmod(self.tokens, 0o644)
        os.chmod(self.d.dir, 0o755)
        return re.search(r"chatd_[\w-]+", p.stdout).group(0)

    def curl(self, path, *args, token=None):
        """(status, headers, body)"""
        if token:
            args += ("-H", "Authorization: Bearer " + token)
        p = subprocess.run(["curl", "-sS", "-i", "--max-time", "30", *args, "http://127.0.0.1:%d%s" % (self.port, path)],
                           capture_output=True)
        equal((p.returncode, p.stderr), (0, b""))
        head, _, body = p.stdout.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        headers = {k.lower(): v for k, v in (l.split(": ", 1) for l in lines[1:])}
        return int(lines[0].split()[1]), headers, body

    def api(self, path, *args, token=None, status=200):
        got, headers, body = self.curl("/api/v1" + path, *args, token=token)
        if got != status:
            raise Failure("%s: %d %s" % (path, got, body))
        return json.loads(body)

    def say(self, text, room="lobby", token=None, status=201, kind="message"):
        return self.api("/rooms/%s/messages" % room, "-H", "Content-Type: application/json", "--data",
                        json.dumps({"text": text, "kind": kind}), token=token or self.bot, status=status)

    def connect(self):
        return self.d.connect(port=self.port)

    def events(self, room="lobby", headers="", query=""):
        """A client that has read the head of a stream."""
        c = self.connect()
        c.send("GET /api/v1/rooms/%s/events%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (room, query, headers))
        head = c.expect("\r\n\r\n")
        check(head.startswith(b"HTTP/1.1 200 OK\r\n"), head)
        c.expect("retry: 2000\n\n")
        return c


EVENT = re.compile(rb"id: ([0-9a-f]+-\d+)\ndata: (\{.*\})\n\n")


def event(c):
    taken = c.expect(EVENT)
    m = EVENT.fullmatch(taken)
    check(m, taken)
    return m.group(1).decode(), json.loads(m.group(2))


def texts(c, n):
    return [event(c)[1]["text"] for _ in range(n)]


GET = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answer(c):
    """One answer with a body of that length: (status, body)."""
    head = c.expect("\r\n\r\n").decode()
    length = int(re.search(r"(?m)^Content-Length: (\d+)\r$", head).group(1))
    body = c.expect(re.compile(rb"(?s)\A.{%d}" % length)) if length else b""
    return int(head.split()[1]), body


# --- what is served ---


@test
def the_page_is_asked_for_again_and_not_sent_again():
    w = Web()
    status, headers, body = w.curl("/")
    equal((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
    check("<!DOCTYPE html>" in body)
    policy = headers["content-security-policy"]
    check("default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy)
    equal((headers["x-content-type-options"], headers["referrer-policy"]), ("nosniff", "no-referrer"))
    for path, kind in ("/", "html"), ("/chat.css", "css"), ("/chat.js", "javascript"):
        status, headers, body = w.curl(path)
        with open(os.path.join(SOURCE, "daemon/web/page", path[1:] or "index.html"), newline="") as f:
            equal(body, f.read())
        check(kind in headers["content-type"])
        status, again, body = w.curl(path, "-H", "If-None-Match: " + headers["etag"])
        equal((status, body, again["etag"]), (304, "", headers["etag"]))
        equal(w.curl(path, "-H", 'If-None-Match: W/"x", W/%s' % headers["etag"])[0], 304)
        equal(w.curl(path, "-H", 'If-None-Match: "x"')[0], 200)
        status, head, body = w.curl(path, "-I")
        equal((status, head["content-length"], body), (200, headers["content-length"], ""))


@test
def a_program_speaks_and_reads():
    w = Web()
    a = w.d.join(nick="alice")
    said = w.say("deployed \u00e9 \"x\"")
    a.expect('bot: deployed \u00e9 "x"\n')
    w.say("is glad", kind="action")
    a.expect("bot * is glad\n")
    a.send("thanks\n")
    a.expect("alice: thanks\n")
    got = w.api("/rooms/lobby/messages")
    equal([(m["kind"], m["nick"], m["text"]) for m in got["messages"]],
          [("message", "bot", "deployed \u00e9 \"x\""), ("action", "bot", "is glad"), ("message", "alice", "thanks")])
    first = got["messages"][0]
    equal((first["number"], got["epoch"], got["more"]), (said["number"], said["epoch"], False))
    check(abs(first["time"] / 1e6 - time.time()) < 60)
    equal([m["text"] for m in w.api("/rooms/lobby/messages?limit=1&after=%d" % first["number"])["messages"]], ["is glad"])
    equal([m["text"] for m in w.api("/rooms/lobby/messages?limit=1&before=%d" % got["messages"][2]["number"])["messages"]],
          ["is glad"])
    equal(w.api("/rooms")["rooms"], [{"name": "lobby", "members": 1, "last": got["messages"][2]["number"],
                                      "epoch": got["epoch"], "raw": False, "read_only": False}])
    equal(w.api("/rooms")["more"], False)
    # A name that speaks is nobody else's.
    a.send("/nick Bot\n")
    a.expect("reserved")
    check(w.d.metric("http_requests_total") >= 6)


@test
def more_rooms_than_fit_an_answer():
    w = Web(rooms=", ".join('{ name = "lobby-%04d-%s"; log_size = "64K"; }' % (i, "x" * 50) for i in range(2000)),
            extra="limits: { max_rooms = 3000; commands_per_second = 0; };")
    names = ["lobby-%04d-%s" % (i, "x" * 50) for i in range(2000)]
    for limit, n in (("", 200), ("?limit=7", 7), ("?limit=1000", 1000), ("?limit=5000", 1000)):
        got = w.api("/rooms" + limit)
        equal(([r["name"] for r in got["rooms"]], got["more"]), (names[:n], True))
    # Page by page each is there once, in the order of their names.
    found, on = [], ""
    while True:
        got = w.api("/rooms?limit=700" + on)
        found += [r["name"] for r in got["rooms"]]
        if not got["more"]:
            break
        on = "&after=" + found[-1]
    equal(found, names)
    equal(w.api("/rooms?limit=1&after=lobby-1998-y")["rooms"][0]["name"], names[1999])
    equal(w.api("/rooms?limit=1&after=" + names[1998])["more"], False)
    equal(w.api("/rooms?after=zzz"), {"rooms": [], "more": False})
    for wrong in ("limit=0", "limit=x", "limit=1&limit=2", "after=a/b", "after=" + "x" * 65, "after=a&after=b"):
        w.api("/rooms?" + wrong, status=400)


@test
def who_has_no_right_gets_none():
    w = Web(rights=("--read", "--speak", "--room", "lobby"),
            rooms=LOBBY + ', { name = "board"; members = ( "alice" ); }, { name = "other"; history = 1; }')
    reader = w.make_token("reader", "--read", "--room", "board")
    equal(w.d.ctl("reload")[0], 0)
    problem = w.say("x", room="other", status=403)
    equal((problem["title"], problem["status"]), ("Forbidden", 403))
    w.say("x", token="chatd_" + "A" * 43, status=401)
    w.say("x", token=reader, status=403)
    w.say("x", token=reader, room="board", status=403)
    w.api("/rooms/board/messages", status=401)
    w.api("/rooms/board/messages", token=w.bot, status=403)
    equal(w.api("/rooms/board/messages", token=reader)["messages"], [])
    equal([r["name"] for r in w.api("/rooms")["rooms"]], ["lobby", "other"])
    equal([r["name"] for r in w.api("/rooms", token=reader)["rooms"]], ["board", "lobby", "other"])
    status, headers, _ = w.curl("/api/v1/rooms/lobby/messages", "--json", '{"text": "x"}')
    equal((status, headers["www-authenticate"]), (401, 'Bearer realm="chatd"'))
    c = w.connect()
    c.send("GET /api/v1/rooms/board/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % reader)
    c.expect("retry: 2000\n\n")
    # What is taken away is taken away at once.
    equal(subprocess.run([CHATCTL, "token", "revoke", "reader", w.tokens], capture_output=True).returncode, 0)
    equal(w.d.ctl("reload")[0], 0)
    check(b"event: notice\ndata: {" in c.rest())
    w.api("/rooms/board/messages", token=reader, status=401)
    w.say("still", status=201)
    logged(w.d, "wrong token")
    # One of the same name that was made anew is another one: whoever has the old one has nothing.
    old = w.make_token("again", "--read", "--room", "board")
    equal(w.d.ctl("reload")[0], 0)
    c = w.events("board", "Authorization: Bearer %s\r\n" % old)
    equal(subprocess.run([CHATCTL, "token", "revoke", "again", w.tokens], capture_output=True).returncode, 0)
    w.make_token("again", "--read", "--room", "board")
    equal(w.d.ctl("reload")[0], 0)
    check(b"event: notice\ndata: {" in c.rest())
    w.api("/rooms/board/messages", token=old, status=401)
    # A file with a mistake changes nothing.
    with open(w.tokens, "a") as f:
        f.write("broken:x:lobby=read\n")
    code, _, err = w.d.ctl("reload")
    check(code != 0 and w.tokens + ":" in err and "this token_file can't be used" in err, err)
    w.say("and still", status=201)


@test
def a_listener_with_a_password_shows_nothing():
    w = Web()
    passwords = os.path.join(w.d.dir, "passwords")
    subprocess.run([CHATCTL, "passwd", passwords, "alice"], input=b"secret\n", capture_output=True, check=True)
    os.chmod(passwords, 0o644)
    w.configure('auth = "password"; password_file = "%s";' % passwords)
    equal(w.d.ctl("reload")[0], 0)
    for path in "/rooms", "/rooms/lobby/messages", "/rooms/lobby/events", "/rooms/nowhere/messages":
        w.api(path, status=401)
    equal(w.api("/rooms/lobby/messages", token=w.bot)["messages"], [])
    equal(w.curl("/")[0], 200)


# --- events ---


@test
def a_stream_goes_on_after_everything():
    w = Web(store=True)
    w.d.supervise()
    a, s = w.d.join(nick="alice"), w.events()
    check(w.d.ctl("list", "clients")[1].count(" web ") == 1)
    ids = []
    for i in range(1, 31):
        a.send("line %d\n" % i)
        a.expect("alice: line %d\n" % i)
        if i % 10 == 0:
            deaths = w.d.deaths
            w.d.signal(signal.SIGKILL)
            wait_for(lambda: w.d.deaths > deaths, what="the kill")
        if i == 15:
            equal(w.d.ctl("restart")[0], 0)
    for i in range(1, 31):
        name, e = event(s)
        equal((e["kind"], e["nick"], e["text"]), ("message", "alice", "line %d" % i))
        ids.append(name)
    # Exactly what is behind one of them.
    later = w.events(headers="Last-Event-ID: %s\r\n" % ids[11])
    equal(texts(later, 18), ["line %d" % i for i in range(13, 31)])
    later = w.events(query="?after=" + ids[28])
    equal(texts(later, 1), ["line 30"])
    a.send("/who\n")
    a.expect("* 1 in lobby: alice\n")
    w.d.unsupervise()


@test
def a_gap_is_said():
    w = Web(rooms='{ name = "lobby"; history = 20; log_size = "64K"; }')
    a = w.d.join(nick="alice")
    s = w.events()
    a.send("first\n")
    name, _ = event(s)
    s.close()
    for i in range(100):
        a.send("x" * 1000 + "\n")
        a.expect("x\n")
    later = w.events(headers="Last-Event-ID: %s\r\n" % name)
    gap = later.expect(re.compile(rb'event: gap\ndata: \{"from":(\d+),"to":(\d+)\}\n\n'))
    check(int(re.search(rb'from":(\d+)', gap).group(1)) == int(name.split("-")[1]) + 1, gap)
    e = event(later)[1]
    equal(e["number"], int(re.search(rb'to":(\d+)', gap).group(1)) + 1)


@test
def who_reads_too_slowly_is_told_so():
    w = Web(rooms='{ name = "lobby"; history = 20; log_size = "64K"; }')
    a = w.d.join(nick="alice")
    c = w.d.connect(port=w.port, rcvbuf=4096)
    c.send(GET % "/api/v1/rooms/lobby/events")
    c.expect("retry: 2000\n\n")
    for i in range(4000):
        a.send("%d %s\n" % (i, "x" * 1000))
        a.expect("x\n")
    c.expect(re.compile(rb'event: notice\ndata: \{"text":"\d+ messages? skipped"\}\n\n'))
    a.send("the last one\n")
    while event(c)[1]["text"] != "the last one":
        pass


# --- one connection ---


@test
def requests_of_one_connection_survive():
    """A kill between requests, and one within a request."""
    w = Web(store=True)
    w.d.supervise()
    c = w.connect()
    body = json.dumps({"text": "once"})
    request = ("POST /api/v1/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
               "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (w.bot, len(body), body))
    for i in range(5):
        c.send(request[:40])
        time.sleep(0.05)
        deaths = w.d.deaths
        w.d.signal(signal.SIGKILL)
        wait_for(lambda: w.d.deaths > deaths and w.d.ctl("ping")[0] == 0, what="the next process")
        c.send(request[40:] + GET % "/nothing")
        equal(answer(c)[0], 201)
        equal(answer(c)[0], 404)
    equal(len(w.api("/rooms/lobby/messages")["messages"]), 5)
    w.d.unsupervise()


@test
def many_requests_at_once_are_answered_in_order():
    w = Web(extra="limits: { commands_per_second = 0; max_clients_per_address = 0; };")
    c = w.connect()
    c.send("".join(GET % ("/nothing" if i % 3 else "/") for i in range(300)))
    for i in range(300):
        equal(answer(c)[0], 404 if i % 3 else 200)
    c.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    equal(answer(c)[0], 404)
    equal(c.rest(), b"")


@test
def who_asks_before_sending_a_body_is_told():
    w = Web(store=True)
    body = json.dumps({"text": "hello"})
    head = ("POST /api/v1/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n")
    c = w.connect()
    for _ in range(2):  # on one connection
        c.send(head % (w.bot, len(body)))
        c.expect("HTTP/1.1 100 Continue\r\n\r\n")
        c.send(body[:5])
        time.sleep(0.05)
        c.send(body[5:])
        equal(answer(c)[0], 201)
    # Whoever sends it all the same isn't told to.
    c.send(head % (w.bot, len(body)) + body)
    equal(answer(c)[0], 201)
    # The old protocol has no such thing.
    c = w.connect()
    c.send((head % (w.bot, len(body))).replace("HTTP/1.1", "HTTP/1.0"))
    time.sleep(0.1)
    c.send(body)
    equal(answer(c)[0], 201)
    # What is refused by its head is so at once, and without the body; that is the end.
    for bad, status in [(head % ("chatd_x", 10), 401), ((head % (w.bot, 10)).replace("lobby", "a%20b"), 404),
                        ((head % (w.bot, 10)).replace("/json", "/x"), 415), (head % (w.bot, 2000000), 413),
                        ((head % (w.bot, 10)).replace("localhost", "evil.test"), 421),
                        ((head % (w.bot, 10)).replace("messages", "events"), 405)]:
        c = w.connect()
        c.send(bad)
        got = c.rest()
        check(got.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in got, status, got)
        check(b"Continue" not in got, got)
    # A request that needs no body may have one.
    c = w.connect()
    c.send("GET /api/v1/rooms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    c.expect("HTTP/1.1 100 Continue\r\n\r\n")
    c.send("abc")
    equal(answer(c)[0], 200)
    began = time.monotonic()
    status, _, rest = w.curl("/api/v1/rooms/lobby/messages", "-H", "Expect: 100-continue", "--expect100-timeout", "20",
                             "--json", body, token=w.bot)
    check(status == 100 and rest.startswith("HTTP/1.1 201 ") and time.monotonic() - began < 10, status, rest)
    # A kill between the two: the answer may come twice, what is said is said once.
    w.d.supervise()
    c = w.connect()
    c.send(head % (w.bot, len(body)))
    c.expect("HTTP/1.1 100 Continue\r\n\r\n")
    deaths = w.d.deaths
    w.d.signal(signal.SIGKILL)
    wait_for(lambda: w.d.deaths > deaths and w.d.ctl("ping")[0] == 0, what="the next process")
    c.send(body)
    c.expect("HTTP/1.1 201 ")
    w.d.unsupervise()
    equal([m["text"] for m in w.api("/rooms/lobby/messages")["messages"]], ["hello"] * 6)


# --- misuse ---


def problem(got, status):
    """What an answer says of a problem: each says why, and what to do."""
    head, _, body = got.decode().partition("\r\n\r\n")
    check("\r\nContent-Type: application/problem+json\r\n" in head, got)
    o = json.loads(body)
    equal((o["type"], o["status"], sorted(o)), ("about:blank", status, ["detail", "status", "title", "type"]))
    check(head.startswith("HTTP/1.1 %d %s\r\n" % (status, o["title"])) and len(o["detail"]) > 10, got)
    return o["detail"]


@test
def problems_say_why():
    w = Web()
    for method, path, token, body, status in [
            ("GET", "/nothing", None, "", 404), ("POST", "/", None, "{}", 405), ("PUT", "/api/v1/rooms", None, "{}", 405),
            ("GET", "/api/v1/rooms/nowhere/messages", None, "", 404), ("GET", "/api/v1/rooms/a%20b/messages", None, "", 404),
            ("GET", "/api/v1/rooms/lobby/messages?limit=0", None, "", 400), ("GET", "/ws", None, "", 426),
            ("POST", "/api/v1/rooms/lobby/messages", None, '{"text":"x"}', 401),
            ("POST", "/api/v1/rooms/lobby/messages", "chatd_x", '{"text":"x"}', 401),
            ("POST", "/api/v1/rooms/lobby/messages", w.bot, '{"text":5}', 400),
            ("POST", "/api/v1/rooms/lobby/messages", w.bot, '{"text":"\xff"}', 400),
            ("POST", "/api/v1/rooms/lobby/messages", w.bot, '{"text":""}', 422)]:
        c = w.connect()
        c.send(("%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close"
                "\r\n\r\n%s" % (method, path, "Authorization: Bearer %s\r\n" % token if token else "", len(body), body)
                ).encode("latin-1"))
        problem(c.rest(), status)
    # Several spaces are as good as one.
    for scheme, status in (("Bearer   ", 201), ("bearer ", 201), ("Bearer", 401), ("Bearer\t", 401), ("Basic ", 401)):
        got, _, _ = w.curl("/api/v1/rooms/lobby/messages", "--json", '{"text":"x"}', "-H",
                           "Authorization: %s%s" % (scheme, w.bot))
        equal((scheme, got), (scheme, status))
    equal(w.d.ctl("ban", "127.0.0.1")[0], 0)
    check("banned" in problem(w.connect().rest(), 503))


@test
def what_is_not_quite_http_is_refused():
    w = Web()
    good = "GET / HTTP/1.1\r\nHost: localhost\r\n"
    for text, status in [
            ("nonsense\r\n\r\n", 400),
            ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 60, 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            (good + "Host: other\r\n\r\n", 400),
            (good + " folded: x\r\n\r\n", 400),
            (good + "Space : x\r\n\r\n", 400),
            (good + "A: x\nB: y\r\n\r\n", 400),
            (good + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
            (good + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (good + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + GET % "/smuggled", 411),
            (good + "Transfer-Encoding: xchunked\r\n\r\n", 501),
            (good + "Content-Length: 1000000\r\n\r\n", 413),
            (good + "A: %s\r\n\r\n" % ("x" * 9000), 431),
            (good + "A: b\r\n" * 64 + "\r\n", 431),
            ("GET /%s HTTP/1.1\r\n" % ("x" * 3000), 414),
            ("GET / HTTP/3.0\r\n\r\n", 505)]:
        c = w.connect()
        c.send(text.encode("latin-1"))
        got = c.rest()
        check(got.startswith(b"HTTP/1.1 %d " % status) and got.count(b"HTTP/1.1 ") == 1, text[:60], got[:200])
        check(b"Connection: close\r\n" in got)
        problem(got, status)
    check(w.d.metric("http_requests_refused_total") >= 16)
    equal(w.curl("/")[0], 200)


@test
def other_pages_and_names_can_not_talk():
    w = Web(more='origins = ( "https://example.org" ); hosts = ( "chat.example.net" );')
    for host, origin, status in [
            (None, None, 200), ("evil.test", None, 421), ("evil.test", "http://evil.test", 421),
            (None, "http://evil.test", 403), (None, "null", 403), (None, "https://example.org", 200),
            ("chat.example.net", "https://chat.example.net", 200), ("localhost:1", "http://localhost:1", 200)]:
        args = (["-H", "Host: " + host] if host else []) + (["-H", "Origin: " + origin] if origin else [])
        equal((host, origin, w.curl("/api/v1/rooms", *args)[0]), (host, origin, status))
    status, headers, _ = w.curl("/api/v1/rooms", "-X", "OPTIONS", "-H", "Origin: https://example.org")
    equal((status, headers["access-control-allow-origin"]), (204, "https://example.org"))
    # In the configuration they are checked as well.
    w.configure('origins = ( "example.org" );')
    code, out, err = w.d.ctl("reload")
    check(code != 0 and "origins must be" in err, err)
    w.configure('hosts = ( "http://x" );')
    check(w.d.ctl("reload")[0] != 0)


@test
def slow_and_endless_requests_end():
    w = Web(more="max_clients = 3;")
    slow, endless = w.connect(), w.connect()
    slow.send("GET / HTTP/1.1\r\n")
    endless.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n")
    began = time.monotonic()
    over = []

    def drip():
        try:
            while not over:
                slow.send("A: b\r\n")
                endless.send("x")
                time.sleep(0.2)
        except OSError:
            pass
    t = threading.Thread(target=drip)
    t.start()
    for c in slow, endless:
        got = c.rest()
        check(got.startswith(b"HTTP/1.1 408 ") or got.startswith(b"HTTP/1.1 431 "), got)
        problem(got, int(got.split()[1]))
    over.append(1)
    t.join()
    check(8 < time.monotonic() - began < 40, time.monotonic() - began)
    equal(w.curl("/")[0], 200)


@test
def limits_and_lists_and_kicks():
    w = Web(extra="limits: { lines_per_second = 5; };")
    clients = [w.connect() for _ in range(30)]
    for i, c in enumerate(clients, 10):
        c.send("POST /api/v1/rooms/lobby/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n"
               "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"text\": \"%d\"}" % (w.bot, i))
    heads = [c.expect("\r\n\r\n").decode().lower() for c in clients]
    statuses = [(int(head.split()[1]), head) for head in heads]
    refused = [int(re.search(r"retry-after: (\d+)\r", head)[1]) for status, head in statuses if status == 429]
    check(refused and min(refused) >= 1, statuses)
    check([s for s, _ in statuses].count(201) >= 5, statuses)
    w = Web(extra="limits: { max_clients_per_address = 0; };", more="max_clients = 2;")
    s, idle = w.events(), w.connect()
    wait_for(lambda: len(w.d.json("list", "clients")) == 2)
    c = w.connect()
    check(c.rest().startswith(b"HTTP/1.1 503 "))
    for client in w.d.json("list", "clients"):
        equal(client["listener"], "web")
        equal(w.d.ctl("kick", str(client["id"]), "enough")[0], 0)
    check(b'event: notice\ndata: {"text":"You have been removed: enough"}\n\n' in s.rest())
    equal(idle.rest(), b"")
    row = [l for l in w.d.json("list", "listeners") if l["name"] == "web"][0]
    equal((row["type"], row["mode"]), ("http", "chat"))
    equal(w.d.ctl("ban", "127.0.0.1")[0], 0)
    check(w.connect().rest().startswith(b"HTTP/1.1 503 "))


# --- TLS and proxies ---


@test
def it_is_the_same_over_tls():
    need("openssl")
    w = Web(store=True)
    pem = os.path.join(w.d.dir, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", pem, "-out",
                    pem + ".crt"], check=True, capture_output=True)
    with open(pem, "a") as f, open(pem + ".crt") as crt:
        f.write(crt.read())
    os.chmod(pem, 0o644)
    w.configure('tls_certificate = "%s";' % pem)
    equal(w.d.ctl("reload")[0], 0)
    url = "https://localhost:%d" % w.port
    p = subprocess.run(["curl", "-sS", "--cacert", pem + ".crt", url + "/api/v1/rooms"], capture_output=True)
    equal((p.returncode, json.loads(p.stdout)["rooms"][0]["name"]), (0, "lobby"))
    context = ssl.create_default_context(cafile=pem + ".crt")
    s = Client(context.wrap_socket(socket.create_connection(("127.0.0.1", w.port)), server_hostname="localhost"))
    w.d.clients.append(s)
    s.send(GET % "/api/v1/rooms/lobby/events")
    s.expect("retry: 2000\n\n")
    a = w.d.join(nick="alice")
    w.d.supervise()
    for i in range(3):
        deaths = w.d.deaths
        w.d.signal(signal.SIGKILL)
        wait_for(lambda: w.d.deaths > deaths, what="the kill")
        a.send("line %d\n" % i)
    found = []
    while len(found) < 3:
        found += [t for t in texts(s, 1) if t.startswith("line")]
    equal(found, ["line 0", "line 1", "line 2"])
    w.d.unsupervise()


@test
def a_proxy_says_who_it_is():
    w = Web(more='proxies = ( "127.0.0.1" );')
    c = w.connect()
    c.send("PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n" + GET % "/api/v1/rooms/lobby/events")
    c.expect("retry: 2000\n\n")
    equal([x["address"] for x in w.d.json("list", "clients")], ["192.0.2.7:4711"])


# --- what is stored ---


@test
def what_is_stored_is_found():
    w = Web(rooms='{ name = "lobby"; history = 20; log_size = "64K"; }',
            extra='history: { database = "history.db"; keep = "1d"; }; limits: { commands_per_second = 0; '
                  'max_clients_per_address = 0; };')
    a = w.d.join(nick="alice")
    for i in range(300):
        a.send("%d %s\n" % (i, "x" * 1000))
        a.expect("x\n")
        if i % 20 == 0:  # what is gone from the log before it is stored can't be had
            time.sleep(0.3)
    found, before = [], ""
    while True:
        got = w.api("/rooms/lobby/messages?limit=70" + before)
        found = [m["text"].split()[0] for m in got["messages"]] + found
        if not got["more"]:
            break
        before = "&before=%d" % got["messages"][0]["number"]
    equal(found, [str(i) for i in range(300)])
    found, after = [], 0
    while True:
        got = w.api("/rooms/lobby/messages?limit=70&after=%d" % after)
        check("gaps" not in got, got)
        found += [m["text"].split()[0] for m in got["messages"]]
        if not got["more"]:
            break
        after = got["messages"][-1]["number"]
    equal(found, [str(i) for i in range(300)])


def page_through(w, forwards):
    """All that there is in lobby, page by page: the texts, and the numbers of what is told to be missing."""
    found, gaps, on = [], set(), "&after=0" if forwards else ""
    while True:
        got = w.api("/rooms/lobby/messages?limit=40" + on)
        messages = [(m["number"], m["text"].split()[0]) for m in got["messages"]]
        found = found + messages if forwards else messages + found
        for g in got.get("gaps", []):
            numbers = set(range(g["from"], g["to"] + 1))
            check(not numbers & gaps, "told twice", g)
            gaps |= numbers
        if not got["more"]:
            return found, gaps
        on = "&after=%d" % messages[-1][0] if forwards else "&before=%d" % messages[0][0]


@test
def what_is_missing_is_told_in_both_directions():
    w = Web(rooms='{ name = "lobby"; history = 20; log_size = "64K"; announce_max = 0; }',
            extra='history: { database = "history.db"; keep = "1d"; }; limits: { commands_per_second = 0; '
                  'lines_per_second = 0; bytes_per_second = 0; max_clients_per_address = 0; };')
    a = w.d.join(nick="alice")
    said = 0
    # Far more than the log has space for, until some is gone before it is stored; three times.
    for _ in range(3):
        had = w.d.metric("history_gaps_total")
        for _ in range(100):
            a.send("".join("%d %s\n" % (said + i, "x" * 1000) for i in range(300)))
            said += 300
            a.expect("%d x" % (said - 1))
            time.sleep(0.3)  # it stores the rest, and what is said next lies behind the hole
            if w.d.metric("history_gaps_total") > had:
                break
    a.send("%d x\n" % said)
    said += 1
    a.expect("%d x" % (said - 1))
    wait_for(lambda: w.d.json("status")["history"]["waiting"] == 0, what="all to be stored")
    backwards, missing = page_through(w, False)
    check(missing and len(backwards) < said)
    forwards, missing_forwards = page_through(w, True)
    equal(forwards, backwards)
    equal(missing_forwards, missing)
    # Each line is either there or told to be missing: numbers are one after the other.
    base = forwards[0][0] - int(forwards[0][1])
    check(all(n == base + int(text) for n, text in forwards))
    equal({n - base for n in missing} | {n - base for n, _ in forwards}, set(range(said)))
    equal(len(missing) + len(forwards), said)
    # Who begins within the hole is told of the rest of it; and what lies behind the end of a page isn't told yet.
    inside = sorted(missing)[len(missing) // 2]
    got = w.api("/rooms/lobby/messages?limit=1&after=%d" % (inside - 1))
    equal(min(g["from"] for g in got["gaps"]), inside)
    check(max(g["to"] for g in got["gaps"]) < got["messages"][0]["number"], got)
    w.d.stop()
    # The log is gone, too: all of it is the database's now.
    w.d.start()
    equal(page_through(w, True), (forwards, missing))


@test
def what_can_not_be_stored_yet_is_told_as_well():
    """The database is locked by somebody else, and the log goes round."""
    w = Web(rooms='{ name = "lobby"; history = 20; log_size = "64K"; announce_max = 0; }',
            extra='history: { database = "history.db"; keep = "1d"; }; limits: { commands_per_second = 0; '
                  'lines_per_second = 0; bytes_per_second = 0; max_clients_per_address = 0; };')
    a = w.d.join(nick="alice")

    def say(first, n):
        a.send("".join("%d %s\n" % (first + i, "x" * 1000) for i in range(n)))
        a.expect("%d x" % (first + n - 1))
    say(0, 10)
    wait_for(lambda: w.d.json("status")["history"]["waiting"] == 0, what="what is said to be stored")
    db = sqlite3.connect(os.path.join(w.d.dir, "history.db"), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    say(10, 500)
    for forwards in (True, False):
        found, missing = page_through(w, forwards)
        base = found[0][0]
        equal([int(t) for _, t in found[:10]], list(range(10)))
        lost = {n - base for n in missing}
        equal((min(lost), lost | {int(t) for _, t in found}), (10, set(range(510))))
        equal(lost & {int(t) for _, t in found}, set())
    # Once it can be stored, the history says what is gone; a few may have been read from the log before that.
    db.execute("COMMIT")
    wait_for(lambda: w.d.json("status")["history"]["waiting"] == 0, what="the rest to be stored")
    say(510, 1)
    wait_for(lambda: w.d.json("status")["history"]["waiting"] == 0, what="the rest to be stored")
    for forwards in (True, False):
        found, missing = page_through(w, forwards)
        gone = {n - base for n in missing}
        check(gone and gone <= lost, gone - lost)
        equal([int(t) for _, t in found], sorted(set(range(511)) - gone))


if __name__ == "__main__":
    main()
