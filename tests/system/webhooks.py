#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is said in a room is posted to a receiver: in order, none left out, and doubles can be told, whatever dies when."""

import base64
import hashlib
import hmac
import http.server
import json
import random
import signal
import ssl
import threading
import time

from testing import *

SECRET = "a secret of more than 16 bytes"
ROOMS = '{ name = "lobby"; announce_max = 0; }, { name = "ops"; announce_max = 0; }'


class Receiver:
    """A receiver that answers as the test says, and checks what it gets."""

    def __init__(self, secret=SECRET, tls=None, port=None):
        self.secret = secret
        self.requests = []  # (headers, payload)
        self.accepted = {}  # number -> text, of what was answered with 2xx
        self.noting = threading.Lock()
        self.order = []  # numbers as they came for the first time
        self.doubles = 0
        self.wrong = []
        self.connections = []
        self.answer = lambda handler, n: handler.reply(204)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                receiver.connections.append(self.connection)

            def reply(self, code, headers=(), body=b""):
                receiver.note(self.payload, code)
                self.send_response(code)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.check_signature(self.headers, body)
                self.payload = json.loads(body)
                receiver.requests.append((self.headers, self.payload))
                try:
                    receiver.answer(self, len(receiver.requests))
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # chatd was killed

        self.port = port or free_port()
        self.server = Server(("127.0.0.1", self.port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def check_signature(self, headers, body):
        what = headers["Webhook-Id"].encode() + b"." + headers["Webhook-Timestamp"].encode() + b"." + body
        key = base64.b64decode(self.secret[6:]) if self.secret.startswith("whsec_") else self.secret.encode()
        right = "v1," + base64.b64encode(hmac.new(key, what, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(headers["Webhook-Signature"], right) or \
                abs(time.time() - int(headers["Webhook-Timestamp"])) > 60:
            self.wrong.append(dict(headers))

    def note(self, payload, code):
        if not 200 <= code < 300:
            return
        with self.noting:  # that of a process that was killed may be noted at the same time
            for m in payload["messages"]:
                if m["number"] in self.accepted:
                    self.doubles += 1
                    equal(self.accepted[m["number"]], m["text"])
                else:
                    self.order.append(m["number"])
                    self.accepted[m["number"]] = m["text"]

    def texts(self):
        return [self.accepted[n] for n in self.order]

    def wait(self, texts, timeout=PATIENCE):
        try:
            wait_for(lambda: self.texts() == texts, timeout)
        except Failure:
            equal(self.texts(), texts)
        equal(self.order, sorted(self.order))
        equal(self.wrong, [])

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for s in self.connections:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def hook(r, name="ops", room="lobby", more="", url=None):
    return '{ name = "%s"; room = "%s"; url = "%s"; %s %s }' % (
        name, room, url or "http://127.0.0.1:%d/in" % r.port,
        "" if "secret" in more else 'secret = "%s";' % SECRET, more)


def hooks(*them):
    return "webhooks = ( %s );" % ", ".join(them)


def chatd(*them, **kwargs):
    return Daemon(rooms=ROOMS, extra=hooks(*them) + kwargs.pop("extra", ""), **kwargs)


def status(d, name="ops"):
    return next(w for w in d.json("status")["webhooks"] if w["name"] == name)


def kill(d):
    """kill -9, and the next one is there."""
    deaths = d.deaths
    d.signal(signal.SIGKILL)
    wait_for(lambda: d.deaths > deaths and d.ctl("ping")[0] == 0, what="chatd to be there again")


@test
def what_is_said_is_posted():
    r = Receiver()
    d = chatd(hook(r))
    a, b = d.join(nick="alice"), d.join("ops", "bob")
    a.send("hello\n/me waves\n\"quoted\" <b>\\ \u00e9\n")
    b.send("elsewhere\n")
    r.wait(["hello", "waves", '"quoted" <b>\\ \u00e9'])
    headers, first = r.requests[0]
    equal((first["webhook"], first["room"], first["missed"]), ("ops", "lobby", 0))
    m = first["messages"][0]
    equal((m["kind"], m["nick"], m["text"]), ("message", "alice", "hello"))
    check(abs(m["time"] / 1e6 - time.time()) < 60)
    equal(m["id"], "%s-%d" % (first["epoch"], m["number"]))
    equal(headers["Content-Type"], "application/json")
    equal(headers["Webhook-Id"], first["messages"][-1]["id"])
    equal([m["kind"] for _, p in r.requests for m in p["messages"]], ["message", "action", "message"])
    wait_for(lambda: status(d)["waiting"] == 0, what="all to be delivered")
    s = status(d)
    equal((s["room"], s["state"], s["delivered"], s["missed"], s["failures"]), ("lobby", "delivers", 3, 0, 0))
    check("webhooks   ops: delivers" in d.ctl("status")[1])
    equal(d.metric('webhook_delivered_messages_total{webhook="ops"}'), 3)
    equal(d.metric('webhook_delivers{webhook="ops"}'), 1)


@test
def notices_if_they_are_wanted():
    r = Receiver()
    d = Daemon(extra=hooks(hook(r, more="notices = true;")))
    a = d.join(nick="alice")
    a.send("/nick zoe\nhi\n/quit\n")
    wait_for(lambda: len(r.order) == 5, what="comings and goings")
    equal([(m["kind"], m["nick"], m["text"]) for _, p in r.requests for m in p["messages"]],
          [("join", "guest1", "lobby"), ("rename", "guest1", "alice"), ("rename", "alice", "zoe"), ("message", "zoe", "hi"),
           ("quit", "zoe", "lobby")])
    equal(r.wrong, [])


@test
def a_secret_of_base64_in_a_file():
    key = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    r = Receiver(secret=key)
    d = Daemon(start=False)
    path = os.path.join(d.dir, "secret")
    with open(path, "w") as f:
        f.write(key + "\n")
    d.write_config(ROOMS, extra=hooks(hook(r, more='secret_file = "%s";' % path)))
    d.start()
    d.join(nick="a").send("signed\n")
    r.wait(["signed"])


@test
def over_tls_with_a_ca_of_ones_own():
    d = Daemon(start=False)
    certificate, key = tls_files(d.dir, "localhost")[:2]
    r = Receiver(tls=(certificate, key))
    url = "https://localhost:%d/in" % r.port
    d.write_config(ROOMS, extra=hooks(hook(r, more='ca_file = "%s";' % certificate, url=url), hook(r, "wrong", "ops", url=url)))
    d.start()
    d.join(nick="a").send("sealed\n")
    d.join("ops", "b").send("not for you\n")
    r.wait(["sealed"])
    # The system's certificates don't know it.
    wait_for(lambda: status(d, "wrong")["state"] == "away", what="the other one to be refused")
    check("ertificate" in status(d, "wrong")["why"], status(d, "wrong"))
    equal(r.texts(), ["sealed"])


@test
def an_outage_loses_nothing():
    r = Receiver()
    d = chatd(hook(r))
    a = d.join(nick="a")
    a.send("before\n")
    r.wait(["before"])
    r.close()
    a.send("meanwhile 1\nmeanwhile 2\n")
    wait_for(lambda: status(d)["state"] == "away", what="the receiver to be missed")
    s = status(d)
    check("onnect" in s["why"], s)
    equal(s["waiting"], 2)
    code, out, _ = d.ctl("status")
    check(code == 1 and out.startswith("NOT WELL: nothing is delivered to ops: ") and "webhooks   ops: AWAY since" in out, out)
    equal(d.metric('webhook_delivers{webhook="ops"}'), 0)
    logged(d, "can't be delivered at the moment")
    again = Receiver(port=r.port)
    again.wait(["meanwhile 1", "meanwhile 2"], 40)
    wait_for(lambda: "is delivered again" in d.log(), what="a line in the log")
    equal(status(d)["state"], "delivers")


@test
def answers_that_are_none():
    """Errors are tried again, redirections are not followed, and a receiver may say when to come again."""
    r, other = Receiver(), Receiver()
    answers = {1: lambda h: h.reply(500), 2: lambda h: h.reply(307, [("Location", "http://127.0.0.1:%d/" % other.port)]),
               3: lambda h: h.reply(503, [("Retry-After", "1")])}
    r.answer = lambda h, n: answers.get(n, lambda h: h.reply(200, body=b"x" * 200000))(h)
    d = chatd(hook(r))
    d.join(nick="a").send("one\n")
    r.wait(["one"], 40)
    equal(len(r.requests), 4)
    equal(other.requests, [])
    equal(len({h["Webhook-Id"] for h, _ in r.requests}), 1)
    wait_for(lambda: status(d)["state"] == "delivers", what="the delivery to be noted")
    equal(status(d)["failures"], 3)


@test
def an_answer_without_an_end_costs_little():
    """Be it fields behind the body, or the frames of chunks, of which a receiver may send as much as it likes."""
    floods = {"trailers": b"0\r\n" + b"X: y\r\n" * 100000, "chunks": (b"1;" + b"x" * 60000 + b"\r\nz\r\n") * 20}
    for name, block in floods.items():
        door, sent = socket.create_server(("127.0.0.1", 0)), []

        def flood():
            s, _ = door.accept()
            with s:
                s.recv(65536)
                try:
                    s.sendall(b"HTTP/1.1 500 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        s.sendall(block)
                        sent.append(len(block))
                        block_again = block if name == "chunks" else b"X: y\r\n" * 100000
                        s.sendall(block_again)
                except OSError:
                    pass

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        d = Daemon(rooms='{ name = "lobby"; }',
                   extra='webhooks = ( { name = "ops"; room = "lobby"; url = "http://127.0.0.1:%d/"; secret = "0123456789abcdef"; } );' % door.getsockname()[1])
        alice = d.join(nick="alice")
        alice.send("hello\n")
        wait_for(lambda: "it answers with 500" in d.log(), what="the end of it")
        thread.join(PATIENCE)
        check(not thread.is_alive() and sum(sent) < 64 << 20, name, sum(sent))
        door.close()
        d.finish()


@test
def too_large_is_made_smaller():
    r = Receiver()
    r.answer = lambda h, n: h.reply(413 if len(h.payload["messages"]) > 3 else 200)
    d = chatd(hook(r))
    a = d.join(nick="a")
    d.ctl("status")
    a.send("".join("line %d\n" % i for i in range(20)))
    r.wait(["line %d" % i for i in range(20)], 60)
    equal(r.doubles, 0)


@test
def nobody_waits_for_a_receiver():
    """One hangs, one sends without end, one can't be found: chat, the others, a reload and a stop are as quick as ever."""
    r, hangs, endless = Receiver(), Receiver(), Receiver()
    release = threading.Event()
    hangs.answer = lambda h, n: release.wait(60)

    def send_for_ever(h, n):
        h.send_response(200)
        h.end_headers()
        while not release.is_set():
            h.wfile.write(b"x" * 1000)

    endless.answer = send_for_ever
    them = [hook(r), hook(hangs, "hangs", more="timeout = 60;"), hook(endless, "endless"),
            hook(r, "lost", url="http://nowhere.invalid/x")]
    d = chatd(*them, extra="drain_timeout = 2;")
    a, b = d.join(nick="a"), d.join(nick="b")
    a.send("first\n")
    b.expect("a: first\n")
    r.wait(["first"])
    wait_for(lambda: hangs.requests and endless.requests, what="all to be tried")
    began = time.monotonic()
    a.send("second\n")
    b.expect("a: second\n")
    r.wait(["first", "second"])
    d.write_config(ROOMS, extra=hooks(*them[:3]) + "drain_timeout = 2;")
    equal(d.ctl("reload")[0], 0)
    check(time.monotonic() - began < 5, "chat and a reload took", time.monotonic() - began)
    # What was answered with 200 and has no end is delivered.
    wait_for(lambda: status(d, "endless")["delivered"] >= 1, what="an answer without end to be cut")
    began = time.monotonic()
    d.stop()
    check(time.monotonic() - began < 10, "the end took", time.monotonic() - began)
    logged(d, "webhook hangs: 2 messages of room lobby could not be delivered")
    release.set()


@test
def a_reload_changes_only_what_it_changes():
    r, s = Receiver(), Receiver()
    hold = threading.Event()
    r.answer = lambda h, n: (hold.wait(20), h.reply(200))
    d = chatd(hook(r))
    a = d.join(nick="a")
    a.send("one\n")
    wait_for(lambda: len(r.requests) == 1, what="the first delivery")
    # The first one's delivery goes on; the new one gets what is said from now on.
    d.write_config(ROOMS, extra=hooks(hook(r), hook(s, "second")))
    equal(d.ctl("reload")[0], 0)
    a.send("two\n")
    s.wait(["two"])
    equal(len(r.requests), 1)
    hold.set()
    r.wait(["one", "two"])
    equal(r.doubles, 0)
    # Another address, the same place; and one that is gone.
    t = Receiver()
    d.write_config(ROOMS, extra=hooks(hook(t)))
    equal(d.ctl("reload")[0], 0)
    a.send("three\n")
    t.wait(["three"])
    equal([w["name"] for w in d.json("status")["webhooks"]], ["ops"])
    d.write_config(ROOMS)
    equal(d.ctl("reload")[0], 0)
    a.send("four\n")
    wait_for(lambda: "webhooks" not in d.json("status"), what="none to be left")
    equal(s.texts() + t.texts(), ["two", "three"])


@test
def there_is_no_thread_without_one():
    r = Receiver()
    d = Daemon()
    check(not any("webhook" in t for t in d.threads()), d.threads())
    d.write_config(ROOMS, extra=hooks(hook(r)))
    equal(d.ctl("reload")[0], 0)
    d.join(nick="a").send("later\n")
    r.wait(["later"])
    check(any("webhook" in t for t in d.threads()), d.threads())


@test
def what_is_kept_for_too_long_is_told_as_missed():
    r = Receiver()
    d = chatd(hook(r, more='keep = 2;'))
    a = d.join(nick="a")
    a.send("first\n")
    r.wait(["first"])
    r.close()
    a.send("old 1\nold 2\n")
    wait_for(lambda: status(d)["state"] == "away", what="the receiver to be missed")
    time.sleep(2.2)  # it is about time
    a.send("young\n")
    again = Receiver(port=r.port)
    wait_for(lambda: sum(p["missed"] for _, p in again.requests) == 2 or len(again.requests) > 5, 60, "what is missed")
    equal(sum(p["missed"] for _, p in again.requests), 2 if "young" in again.texts() else 3)
    wait_for(lambda: status(d)["missed"] >= 2, what="it to be counted")
    logged(d, "too old, or gone")


@test
def what_the_log_has_no_more_is_told_as_missed():
    r = Receiver()
    d = Daemon(rooms='{ name = "lobby"; announce_max = 0; log_size = "64K"; }', extra="room_defaults: { log_size = \"64K\"; };"
               + hooks(hook(r)))
    a, b = d.join(nick="a"), d.join(nick="b")
    a.send("first\n")
    r.wait(["first"])
    r.close()
    for i in range(200):
        a.send("%03d %s\n" % (i, "x" * 1000))
        b.expect("a: %03d " % i)
    again = Receiver(port=r.port)
    wait_for(lambda: again.order and again.texts()[-1].startswith("199"), 60, "the rest")
    missed = sum(p["missed"] for _, p in again.requests)
    equal(missed + len(again.order), 200)
    check(missed > 100, missed)


HISTORY = 'room_defaults: { log_size = "64K"; }; history: { database = "history.db"; }; state_directory = "%s";'


@test
def what_the_log_has_no_more_is_in_the_history():
    """An outage that is longer than the log, and then a power cut within it."""
    r = Receiver()
    d = Daemon(start=False)
    d.write_config('{ name = "lobby"; announce_max = 9; log_size = "64K"; }', extra=HISTORY % d.dir + hooks(hook(r, more="batch = 30;")))
    d.start()
    a, b = d.join(nick="a"), d.join(nick="b")
    a.send("first\n")
    r.wait(["first"])
    r.close()
    said = []
    for i in range(300):
        said.append("%03d %s" % (i, "x" * 500))
        a.send(said[-1] + "\n")
        b.expect("a: %03d " % i)
        if i % 50 == 0:  # comings and goings have numbers, too
            d.join().close()
        if i % 25 == 0:  # the history isn't overrun, as the log is small
            wait_for(lambda: d.json("status")["history"]["waiting"] == 0, what="it to be stored")
    again = Receiver(port=r.port)
    again.wait(said, 60)
    equal(sum(p["missed"] for _, p in again.requests), 0)
    wait_for(lambda: status(d)["waiting"] == 0 and status(d)["state"] == "delivers", what="it to be noted")
    again.close()
    last = ["before a power cut %d" % i for i in range(100)]
    a.send("".join(l + "\n" for l in last))
    b.expect("a: " + last[-1])
    wait_for(lambda: d.json("status")["history"]["waiting"] == 0 and status(d)["state"] == "away", what="it to be stored")
    d.kill()
    third = Receiver(port=r.port)
    d.start()
    third.wait(last, 60)
    equal([p["missed"] for _, p in third.requests if p["missed"]], [])


@test
def a_restart_goes_on_behind_what_was_delivered():
    r = Receiver()
    d = chatd(hook(r), store=True)
    d.supervise()
    a = d.join(nick="a")
    a.send("one\n")
    r.wait(["one"])
    wait_for(lambda: status(d)["waiting"] == 0, what="it to be noted")
    equal(d.ctl("restart")[0], 0)
    a.send("two\n")
    r.wait(["one", "two"])
    equal(r.doubles, 0)
    kill(d)
    a.send("three\n")
    r.wait(["one", "two", "three"])


@test
def kills_lose_nothing():
    rng = random.Random(19)
    r, other = Receiver(), Receiver()
    r.answer = other.answer = lambda h, n: (time.sleep(rng.random() * 0.02), h.reply(200))
    d = chatd(hook(r, more="batch = 5;"), hook(other, "other", "ops"), store=True)
    # Where they begin is noted before anybody is served, so that the first kill loses nothing either.
    check(os.path.exists(os.path.join(os.path.dirname(d.socket), "webhooks")))
    d.supervise()
    a, b = d.join(nick="a"), d.join("ops", "b")
    said = []
    for _ in range(30):
        for _ in range(rng.randrange(1, 30)):
            said.append("line %d" % len(said))
            a.send(said[-1] + "\n")
            b.send(said[-1] + "\n")
        time.sleep(rng.random() * 0.05)  # anywhere
        kill(d)
    r.wait(said, 60)
    other.wait(said, 60)
    equal([p["missed"] for _, p in r.requests + other.requests if p["missed"]], [])
    note("%d messages to two, 30 kills: %d came twice" % (len(said), r.doubles + other.doubles))


def die_at(name):
    """At each passage, until it is not reached any more."""
    hits = 0
    for passage in (1, 2, 3, 7):
        r = Receiver()
        d = Daemon(rooms=ROOMS, extra=hooks(hook(r)), store=True, start=False)
        once = d.arm("%s:%d" % (name, passage))
        d.start_supervised()
        said = []
        a = None
        for i in range(12):
            while True:
                try:
                    a = a or d.join(nick="alice")
                    break
                except (ConnectionError, Failure):
                    time.sleep(0.05)
            said.append("line %d" % i)
            a.send(said[-1] + "\n")
            r.wait(said, 30)
        hit = not os.path.exists(once)
        hits += hit
        d.unsupervise()
        d.finish()
        r.close()
        check(hit or passage > 1, "fault point", name, "was never reached")
        if not hit:
            break
    return hits


@test
def it_may_die_at_every_step():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    names = [n for n in fault_points() if n.startswith("webhook-")]
    hits = dict(zip(names, side_by_side(die_at, names)))
    check(all(hits.values()) and len(names) == 3, hits)
    note("%d deaths at %d fault points" % (sum(hits.values()), len(names)))


@test
def a_stop_delivers_what_was_said():
    r = Receiver()
    r.answer = lambda h, n: (time.sleep(0.3), h.reply(200))
    d = chatd(hook(r, more="batch = 1;"))
    a = d.join(nick="a")
    a.send("one\ntwo\nthree\n")
    a.expect("a: three\n")
    d.stop()
    r.wait(["one", "two", "three"])
    check("could not be delivered" not in d.log())
    # Nothing is missing then in the next life.
    d.start()
    d.join(nick="a").send("four\n")
    r.wait(["one", "two", "three", "four"])
    equal([p["missed"] for _, p in r.requests], [0] * 4)


@test
def a_file_that_is_damaged_is_not_believed():
    r = Receiver()
    d = chatd(hook(r))
    d.stop()
    with open(os.path.join(d.dir, "webhooks"), "w") as f:
        f.write("chatd webhooks 1\nops lobby 12")
    d.start()
    wait_for(lambda: "can't be used, so they begin with what is said from now on" in d.log(), what="a line in the log")
    d.join(nick="a").send("one\n")
    r.wait(["one"])


@test
def mistakes_in_the_configuration():
    r = Receiver()
    d = Daemon(start=False)
    for more, why in (('secret = "short";', "needs a secret"), ("keep = 0;", "keep must be"), ('ca_file = "/nowhere/x";', "can't be read"),
                      ("batch = 0;", "batch must be"), ('secret_file = "/nowhere/x";', "can't be read"), ("colour = 1;", "colour")):
        d.write_config(ROOMS, extra=hooks(hook(r, more=more)))
        p = run(CHATD, "--check", "-c", d.config)
        check(p.returncode != 0 and why in p.stderr.decode(), more, p.stderr)
    for url in ("ftp://x/", "http://", "https:///x", "file:///etc/passwd", "http://a b/"):
        d.write_config(ROOMS, extra=hooks(hook(r, url=url)))
        check(run(CHATD, "--check", "-c", d.config).returncode != 0, url)
    d.write_config(ROOMS, extra=hooks(hook(r), hook(r)))
    check(b'two webhooks named "ops"' in run(CHATD, "--check", "-c", d.config).stderr)
    d.write_config(ROOMS, extra=hooks(hook(r, url="http://example.org/x")))
    p = run(CHATD, "--check", "-c", d.config)
    check(p.returncode == 0 and b"in plain text" in p.stderr, p.stderr)


main()
