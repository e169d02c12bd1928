#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chatctl join: from pipes over each transport, and at a terminal (tmux), where the line being typed stays whole."""

import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time

from testing import CHATCTL, PATIENCE, Daemon, Skip, add_account, check, equal, free_port, main, need, test, wait_for


def everything():
    d = Daemon(start=False)
    d.udp, d.pull, d.pub, d.tls = free_port(socket.SOCK_DGRAM), free_port(), free_port(), free_port()
    key, d.cert = os.path.join(d.dir, "key"), os.path.join(d.dir, "cert")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", d.cert, "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-x509"],
                   capture_output=True, check=True)
    d.listeners = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "tls"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; tls_certificate = "%s"; tls_key = "%s"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; trusted = ( ); },
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; room = "lobby"; }
      """ % (d.port, d.tls, d.cert, key, d.udp, d.pull, d.pub)
    d.write_config(listeners=d.listeners)
    d.start()
    return d


def pipe(url, *args, text="", timeout=PATIENCE):
    p = subprocess.run([CHATCTL, "join", *args, url], input=text.encode(), capture_output=True, timeout=timeout)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


@test
def piped_over_tcp():
    d = everything()
    reader = d.join(room="ops", nick="reader")
    code, out, err = pipe("tcp://127.0.0.1:%d" % d.port, "--nick", "alice", "--room", "ops",
                          text="hello\nh\u00e9 \u4f60\u597d\nno newline at the end")
    equal((code, err), (0, ""))
    check("* You are in ops.\n" in out and "alice: hello\n" in out and "alice: no newline at the end\n" in out, out)
    check("\x1b" not in out and not re.search(r"^\d\d:", out, re.M), "piped output is plain")
    reader.expect("alice: h\u00e9 \u4f60\u597d\n")
    reader.expect("* alice left ops\n")
    # Megabytes go through as well.
    lines = "".join("%d %s\n" % (i, "x" * 900) for i in range(3000))
    code, out, _ = pipe("tcp://[::1]:%d" % d.port, "--nick", "much", "--room", "ops", text=lines)
    equal(code, 0)
    equal(out.count("much: "), 3000)


@test
def piped_over_tls():
    d = everything()
    reader = d.join(nick="reader")
    for host in ("127.0.0.1", "localhost"):
        code, out, err = pipe("tls://%s:%d" % (host, d.tls), "--ca", d.cert, "--nick", "safe", text="hello\n")
        equal((code, err), (0, ""))
        check("safe: hello\n" in out, out)
        reader.expect("safe: hello\n")
        reader.expect("* safe left lobby\n")
    code, _, err = pipe("tls://127.0.0.1:%d" % d.tls)
    equal(code, 3)
    check("self-signed certificate" in err or "self signed" in err, err)
    code, _, err = pipe("tls://127.0.0.1:%d" % d.port, "--ca", d.cert)
    equal(code, 3)


@test
def piped_over_udp():
    d = everything()
    reader = d.join(nick="reader")
    code, out, err = pipe("udp://127.0.0.1:%d" % d.udp, "--nick", "porch", text="21.5 degrees\n")
    # The address is not trusted, so it was proved before; what was said before that is not heard.
    equal((code, err), (0, ""))
    check("* Registered as porch.\n" in out, out)
    reader.expect("* porch joined lobby\n")
    reader.expect("porch: 21.5 degrees\n")
    reader.expect("* porch left lobby\n")


@test
def piped_over_zeromq():
    d = everything()
    reader = d.join(nick="reader")
    code, _, err = pipe("zmq://127.0.0.1:%d,%d" % (d.pull, d.pub), "--nick", "program", "--room", "lobby", text="hello\n")
    equal((code, err), (0, ""))
    reader.expect("program: hello\n")


@test
def what_looks_like_a_command_is_not_said_where_there_are_none():
    """Least of all a password."""
    d = everything()
    words = ("/login dev hunter2", "/msg anna psst", "/help", "/who")
    for url, name, args in (("udp://127.0.0.1:%d" % d.udp, "UDP", ()), ("zmq://127.0.0.1:%d,%d" % (d.pull, d.pub), "ZeroMQ", ("--room", "lobby"))):
        reader = d.join(nick="reader-" + name)
        code, out, err = pipe(url, "--nick", "dev", *args, text="\n".join(words) + "\n//etc is a directory\n/quit\nnot this\n")
        equal((code, err), (1, "chatctl: not all lines were said\n"))
        for w in words:
            check("* There is no %s over %s;" % (w.split()[0], name) in out, out)
        heard = reader.expect("dev: /etc is a directory\n")
        check(not any(w in heard for w in (b"hunter2", b"psst", b"/help", b"/who")), heard)
        check("hunter2" not in out, out)
        reader.send("end\n")
        heard = reader.expect("reader-%s: end\n" % name)
        check(b"quit" not in heard and b"not this" not in heard, heard)


@test
def urls_that_are_none():
    # What has no port has the usual one; see urls_without_a_port().
    for url in ("", "non sense", "http://x", "tcp://", "tcp://x:y", "tcp://x/y", "[::1", "zmq://127.0.0.1:5", "zmq://127.0.0.1:,5",
                "udp://127.0.0.1:"):
        code, _, err = pipe(url)
        check(code == 2 and err.startswith("chatctl: "), url, code, err)
    code, _, err = pipe("tcp://127.0.0.1:%d" % free_port())
    equal(code, 3)
    check("Connection refused" in err, err)
    equal(pipe("udp://127.0.0.1:1", "--room", "x")[0], 2)
    equal(pipe("tcp://127.0.0.1:1", "--nick", "#x")[0], 2)


@test
def urls_without_a_port():
    """In a network of its own, as the ports are the usual ones."""
    need("unshare", "ip")
    d = Daemon(start=False)
    key, cert = os.path.join(d.dir, "key"), os.path.join(d.dir, "cert")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", cert, "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1", "-x509"],
                   capture_output=True, check=True)
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:5050"; },
      { name = "tls"; type = "tcp"; mode = "chat"; listen = "[::]:5052"; tls_certificate = "%s"; tls_key = "%s"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:5051"; },
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:5558"; pub = "tcp://127.0.0.1:5557"; room = "lobby"; }
      """ % (cert, key))
    name = "chatd-ports-%d" % os.getpid()
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        raise Skip("a network namespace can't be made here")
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        d.netns = name
        d.start()
        urls = ("localhost", "127.0.0.1", "::1", "[::1]", "localhost:5050", "tcp://127.0.0.1", "tls://127.0.0.1", "udp://127.0.0.1",
                "zmq://127.0.0.1")
        for i, url in enumerate(urls):
            p = subprocess.run(["nsenter", "--net=/run/netns/" + name, CHATCTL, "join", "--nick", "n%d" % i, "--ca", cert, url],
                               input=b"over %d\n" % i, capture_output=True, timeout=PATIENCE)
            equal((p.returncode, p.stderr), (0, b""))
            wait_for(lambda: "n%d: over %d\n" % (i, i) in d.ctl("tail", "lobby")[1], what=url)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


# --- at a terminal ---


class Terminal:
    def __init__(self, *command, columns=80, env="", locale="C.UTF-8"):
        need("tmux")
        self.dir = tempfile.mkdtemp(prefix="chatd-tmux-")
        self.base = ["tmux", "-S", os.path.join(self.dir, "s"), "-f", "/dev/null"]
        # What remains on the screen at the end, and the exit status.
        shell = "%s LC_ALL=%s %s; echo \"status $?\"; sleep 60" % (env, locale, shlex.join(command))
        subprocess.run(self.base + ["new-session", "-d", "-x", str(columns), "-y", "20", shell], check=True,
                       env=dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color"))

    def tmux(self, *args):
        return subprocess.run(self.base + list(args), capture_output=True, check=True).stdout.decode()

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def key(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self, colours=False):
        text = self.tmux("capture-pane", "-p", *(["-e"] if colours else []))
        return [l.rstrip() for l in text.split("\n")]

    def lines(self, colours=False):
        return [l for l in self.screen(colours) if l]

    def wait(self, what, **kwargs):
        """Until the screen has it (a regular expression for a line)."""
        try:
            wait_for(lambda: any(re.search(what, l) for l in self.lines(**kwargs)), what=what)
        except Exception as e:
            raise type(e)("%s; the screen is %r" % (e, self.lines())) from None

    def close(self):
        subprocess.run(self.base + ["kill-server"], capture_output=True)


def at_terminal(d, *args, **kwargs):
    t = Terminal(CHATCTL, "join", "--nick", "alice", *args, "tcp://127.0.0.1:%d" % d.port, **kwargs)
    t.wait(r"is now alice")
    t.wait(r"^> ?")
    return t


@test
def the_line_being_typed_stays_whole():
    d = Daemon()
    bob = d.join(nick="bob")
    t = at_terminal(d)
    try:
        t.type("half a \u4f60\u597d sentence")
        t.wait(r"^> half a \u4f60\u597d sentence$")
        for i in range(5):
            bob.send("message %d\n" % i)
        t.wait(r"^\d\d:\d\d:\d\d bob: message 4$")
        lines = t.lines()
        equal(lines[-1], "> half a \u4f60\u597d sentence")
        equal([l[9:] for l in lines[-6:-1]], ["bob: message %d" % i for i in range(5)])
        t.key("Left", "Left", "Left", "BSpace")
        bob.send("and one\n")
        t.wait(r"bob: and one$")
        equal(t.lines()[-1], "> half a \u4f60\u597d sentnce")
        t.key("Enter")
        bob.expect("alice: half a \u4f60\u597d sentnce\n")
        t.wait(r"alice: half a \u4f60\u597d sentnce$")
        # What was typed is shown once, as it came back.
        equal(sum("sentnce" in l for l in t.lines()), 1)
        # A line that is longer than the screen is wide, while more come in, and after a resize.
        t.type("w" * 100)
        bob.send("during a long line\n")
        t.wait("during a long line")
        t.tmux("resize-window", "-x", "60", "-y", "20")
        bob.send("after the resize\n")
        t.wait("after the resize")
        t.key("Enter")
        bob.expect("alice: " + "w" * 100 + "\n")
        # History, and the end by Ctrl-D.
        t.key("Up", "Up")
        t.wait(r"^> half a")
        t.key("C-u", "C-d")
        t.wait(r"^status 0$")
        bob.expect("* alice left lobby\n")
    finally:
        t.close()


@test
def tab_colours_and_the_ends():
    d = Daemon()
    bob = d.join(nick="bob-the-builder")
    bob.send("hello\n")
    t = at_terminal(d)
    try:
        t.wait(r"bob-the-builder: hello")
        t.type("bob")
        t.key("Tab")
        t.wait(r"^> bob-the-builder:$")
        t.key("C-u")
        t.type("/ni")
        t.key("Tab")
        t.wait(r"^> /nick$")
        t.key("C-u")
        check(any(re.search("\x1b\\[3[1-6]m(\x1b\\[49m)?bob-the-builder", l) for l in t.lines(colours=True)), t.lines(colours=True))
        t.key("C-c")
        t.wait(r"^status 0$")
    finally:
        t.close()
    t = at_terminal(d, env="NO_COLOR=1")
    try:
        t.type("/who")
        t.key("Enter")
        t.wait(r"2 in lobby: ")
        check(not any("\x1b[3" in l for l in t.lines(colours=True)))
        t.type("/quit")
        t.key("Enter")
        t.wait(r"^status 0$")
    finally:
        t.close()


@test
def a_server_that_goes_and_comes_back():
    d = Daemon(store=True)
    t = at_terminal(d)
    try:
        # A restart is not noticed.
        d.kill()
        d.start()
        t.type("still here")
        t.key("Enter")
        t.wait(r"alice: still here$")
        check(not any("lost" in l for l in t.lines()))
        d.stop()
        t.wait(r"\* The server has gone; waiting for it to come back\.$")
        d.start()
        t.wait(r"\* Connected again\.$")
        t.type("back")
        t.key("Enter")
        t.wait(r"alice: back$")
    finally:
        t.close()


def stopped_and_back(d, t, between=lambda: None):
    """A real end, after which nothing is known any more; between() is done before chatctl can come back."""
    d.stop()
    t.wait(r"\* The server has gone; waiting for it to come back\.$")
    d.forget_store()
    with open(d.config) as f:
        config = f.read()
    port, d.port = d.port, free_port()
    with open(d.config, "w") as f:
        f.write(config.replace(":%d" % port, ":%d" % d.port))
    d.start()
    between()
    d.port = port
    with open(d.config, "w") as f:
        f.write(config)
    equal(d.ctl("reload")[:2], (0, ""))
    t.wait(r"\* Connected again\.$")


TWO_ROOMS = '{ name = "lobby"; }, { name = "ops"; }'


@test
def it_comes_back_as_it_was():
    """Not in another room and under another name, where the next line would be said before others."""
    d = Daemon(store=True, rooms=TWO_ROOMS)
    t = at_terminal(d, "--room", "ops")
    try:
        t.wait(r"\* You are in ops\.$")
        t.type("/nick alicia")
        t.key("Enter")
        t.wait(r"is now alicia$")
        others = []
        # What is half typed, and what is typed while there is no server, is not lost either.
        t.type("for ")
        stopped_and_back(d, t, lambda: (others.extend((d.join(nick="bob"), d.join(nick="carol", room="ops"))), t.type("ops only")))
        bob, carol = others
        t.key("Enter")
        equal(carol.expect("ops only\n").splitlines()[-1], b"alicia: for ops only")
        bob.send("/who\n")
        equal(bob.expect(re.compile(rb"in lobby: .*\n")).count(b"ops only"), 0)
        t.wait(r"\* You are alicia in ops again\.$")
        t.wait(r" alicia: for ops only$")
        check(not any(re.search(r"\* \d+ in ops: ", l) for l in t.lines()), "what it asked is its own affair", t.lines())
        # A guest comes back as a guest, into the room.
        t.key("C-d")
        t.wait(r"^status 0$")
    finally:
        t.close()


@test
def who_can_not_be_as_before_says_nothing_until_the_person_decides():
    d = Daemon(store=True, rooms=TWO_ROOMS)
    t = at_terminal(d, "--room", "ops")
    try:
        t.wait(r"\* You are in ops\.$")
        taken = []
        stopped_and_back(d, t, lambda: taken.append(d.join(nick="alice", room="ops")))
        alice = taken[0]
        t.wait(r"\* You are guest\d+ in ops, not alice in ops\.$")
        t.wait(r"\* Nothing is said until you use /nick, /join, /login or /stay\.$")
        for line in ("a secret", "/me has a secret", "/msg alice a secret", "//secret"):
            t.type(line)
            t.key("Enter")
            wait_for(lambda: "\n".join(t.lines()).count("That was not said") > 0, what="a refusal")
            t.tmux("clear-history")
        t.type("/who")  # harmless
        t.key("Enter")
        t.wait(r"\* 2 in ops: ")
        t.type("/nick alice2")
        t.key("Enter")
        t.wait(r"\* You go on as alice2 in ops\.$")
        t.type("hello")
        t.key("Enter")
        heard = alice.expect("alice2: hello\n")
        check(b"secret" not in heard, heard)
        # Both are lost, and the person goes on as things are.
        d.write_config(rooms='{ name = "lobby"; }, { name = "ops"; members = ( "bob" ); }')
        taken.clear()
        stopped_and_back(d, t, lambda: taken.append(d.join(nick="alice2")))
        t.wait(r"\* You are guest\d+ in lobby, not alice2 in ops\.")
        t.type("another secret")
        t.key("Enter")
        t.wait(r"\* That was not said\.$")
        t.type("/stay")
        t.key("Enter")
        t.wait(r"\* You go on as guest\d+ in lobby\.$")
        t.type("here I am")
        t.key("Enter")
        heard = taken[0].expect(": here I am\n")
        check(b"secret" not in heard, heard)
    finally:
        t.close()


@test
def a_name_that_was_taken_back_is_not_forgotten():
    """As long as it is an account's nothing is said under another one after a lost connection; then it is had again."""
    d = Daemon(store=True, rooms=TWO_ROOMS)
    t = at_terminal(d, "--room", "ops")
    try:
        t.wait(r"\* You are in ops\.$")
        d.write_config(rooms=TWO_ROOMS + ', { name = "board"; members = ( "alice" ); }')
        equal(d.ctl("reload")[0], 0)
        t.wait(r"\* alice is reserved now; you are guest\d+\.$")
        stopped_and_back(d, t)
        t.wait(r"\* You are guest\d+ in ops, not alice in ops\.$")
        t.type("a secret")
        t.key("Enter")
        t.wait(r"\* That was not said\.$")
        d.write_config(rooms=TWO_ROOMS)
        stopped_and_back(d, t)
        t.wait(r"\* You are alice in ops again\.$")
        check("secret" not in d.ctl("tail", "ops")[1])
    finally:
        t.close()


@test
def who_is_removed_or_banned_does_not_come_back():
    d = everything()
    for url, cause, why in (("tcp://127.0.0.1:%d" % d.port, "kick", "You have been removed: enough"),
                            ("udp://127.0.0.1:%d" % d.udp, "kick", "You have been removed: enough"),
                            ("tcp://127.0.0.1:%d" % d.port, "ban", "You have been banned")):
        t = Terminal(CHATCTL, "join", "--nick", "alice", url)
        try:
            t.wait(r"(is now|Registered as) alice")
            if cause == "kick":
                number = [c["id"] for c in d.json("list", "clients") if c["nick"] == "alice"][0]
                equal(d.ctl("kick", str(number), "enough")[0], 0)
            else:
                equal(d.ctl("ban", "127.0.0.1")[0], 0)
            t.wait(r"^chatctl: %s$" % why)
            t.wait(r"^status 1$")
            wait_for(lambda: "alice" not in [c["nick"] for c in d.json("list", "clients")], what="an end")
        finally:
            t.close()
    # Who is banned meanwhile learns it on coming back, and a pipe as well.
    code, out, err = pipe("tcp://127.0.0.1:%d" % d.port, text="hello\n")
    equal((code, err), (1, "chatctl: Sorry: your address is banned\n"))


@test
def piped_lines_are_not_said_elsewhere_or_as_somebody_else():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "board"; members = ( "bob" ); }')
    alice = d.join(nick="alice")
    url = "tcp://127.0.0.1:%d" % d.port
    for args, what in ((("--nick", "alice"), r"guest\d+ in lobby, not alice in lobby"),
                       (("--room", "board"), r"guest\d+ in lobby, not guest\d+ in board"),
                       (("--nick", "eve", "--room", "board"), r"eve in lobby, not eve in board")):
        code, out, err = pipe(url, *args, text="a secret\n" * 100)
        equal(code, 1)
        check(re.fullmatch(r"chatctl: you are %s, so nothing was said\n" % what, err), err)
        check("secret" not in out, out)
    alice.send("done\n")
    check(b"secret" not in alice.expect("alice: done\n"))


def with_passwords(d, path, nick, password):
    add_account(path, nick, password)
    d.write_config(rooms=TWO_ROOMS, listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }""" % (d.port, path))


@test
def passwords_are_neither_shown_nor_kept():
    d = Daemon(start=False, store=True)
    with_passwords(d, os.path.join(d.dir, "passwords"), "alice", "open sesame")
    d.start()
    t = Terminal(CHATCTL, "join", "--room", "ops", "tcp://127.0.0.1:%d" % d.port)

    def everything_shown():
        return t.tmux("capture-pane", "-p", "-J", "-S", "-1000")

    try:
        t.wait("Please log in")
        # Asked for ...
        t.type("/login alice")
        t.key("Enter")
        t.wait(r"^Password:$")
        t.type("wrong")
        t.key("Enter")
        t.wait("Wrong name or password")
        # ... and typed along.
        t.type("/login  alice open sesx")
        t.wait(r"^> /login  alice$")
        d.ctl("send", "lobby", "x")
        t.key("BSpace")
        t.type("am")
        t.key("Enter")
        t.wait("Wrong name or password")
        t.key("Up")
        t.wait(r"^> /login alice$")  # nothing else is there to be recalled
        t.key("Up", "C-u")
        t.type("/LOGIN alice open sesame")
        t.wait(r"^> /LOGIN alice$")
        t.key("Enter")
        t.wait(r"\* You are now alice\.$")
        t.wait(r"\* You are in ops\.$")
        t.type("in")
        t.key("Enter")
        t.wait(r" alice: in$")
        t.key("Up")
        t.wait(r"^> in$")
        t.key("Up", "Up", "Up")
        t.wait(r"^> /login alice$")
        t.key("C-u")
        # After an end it has to be typed again, and then it is as before.
        stopped_and_back(d, t)
        t.wait(r"\* You were alice in ops, and will be again once you have logged in\.$")
        t.type("too early")
        t.key("Enter")
        t.wait("Please log in first")
        t.type("/login alice")
        t.key("Enter")
        t.wait(r"^Password:$")
        t.type("open sesame")
        t.key("Enter")
        t.wait(r"\* You are alice in ops again\.$")
        check("sesam" not in everything_shown() and "wrong" not in everything_shown(), everything_shown())
    finally:
        t.close()


@test
def a_pipe_logs_in_and_goes_where_it_was_sent():
    d = Daemon(start=False)
    with_passwords(d, os.path.join(d.dir, "passwords"), "alice", "a b")
    d.start()
    code, out, err = pipe("tcp://127.0.0.1:%d" % d.port, "--room", "ops", text="/login alice a b\nfor ops\n")
    equal((code, err), (0, ""))
    check("* You are in ops.\n" in out and "alice: for ops\n" in out, out)
    equal(d.ctl("tail", "lobby")[1], "")


@test
def history_has_no_time():
    """When it was said is not known."""
    d = Daemon()
    bob = d.join(nick="bob")
    for i in range(15):
        bob.send("old %d\n" % i)
    bob.send("/me was here\n")
    bob.expect("was here\n")
    t = at_terminal(d)
    try:
        t.wait("is now alice")
        bob.send("new\n")
        t.wait(r"^\d\d:\d\d:\d\d bob: new$")
        lines = t.lines()
        for i in range(3, 15):
            check("         bob: old %d" % i in lines, lines)
        check(any(re.fullmatch(r" {9}bob \* was here|\d\d:\d\d:\d\d \* bob was here", l) for l in lines), lines)
    finally:
        t.close()


@test
def udp_says_nothing_under_another_name():
    d = everything()
    t = Terminal(CHATCTL, "join", "--nick", "porch", "udp://127.0.0.1:%d" % d.udp)
    try:
        t.wait(r"\* Registered as porch\.$")
        taken = []
        d.stop()
        t.wait(r"\* The connection is lost; trying again\.$")
        # Somebody else has the name before the device can ask for it.
        d.write_config(listeners=re.split(r",\s+\{ name = \"udp\"", d.listeners)[0])
        d.start()
        taken.append(d.join(nick="porch"))
        d.write_config(listeners=d.listeners)
        equal(d.ctl("reload")[0], 0)
        t.wait(r"#ERR ")
        t.type("21.5 degrees")
        t.key("Enter")
        t.wait(r"\* That was not said; first take another name: #REG NAME$")
        t.type("#REG porch2")
        t.key("Enter")
        t.wait(r"\* Registered as porch2\.$")
        t.type("20 degrees")
        t.key("Enter")
        heard = taken[0].expect("porch2: 20 degrees\n")
        check(b"21.5" not in heard, heard)
    finally:
        t.close()
    code, out, err = pipe("udp://127.0.0.1:%d" % d.udp, "--nick", "porch", text="21.5 degrees\n")
    equal((code, err), (1, "chatctl: the name was refused, so nothing was said\n"))


@test
def utf8_is_typed_in_any_locale():
    """As Meta commands its bytes would change and send what nobody typed."""
    d = Daemon()
    bob = d.join(nick="bob")
    inputrc = os.path.join(d.dir, "inputrc")
    with open(inputrc, "w") as f:
        f.write("set convert-meta on\nset input-meta off\n")
    for locale, env in (("C", ""), ("POSIX", ""), ("C.UTF-8", "INPUTRC=" + inputrc)):
        t = at_terminal(d, locale=locale, env=env)
        try:
            text = "h\u00e9 \u2013 \u00fc\u00df \u4f60\u597d \u00b1 \u00aa\u00ae \U0001f600 \u043f\u0440\u0438\u0432\u0435\u0442"
            t.type(text)
            t.key("Enter")
            bob.expect("is now alice\n")
            equal(bob.expect("\n").decode(), "alice: " + text + "\n")
            t.wait("alice: " + text)
            t.type("\u4f60\u597d")
            t.key("Left", "BSpace", "Enter")
            bob.expect("alice: \u597d\n")
            t.key("C-d")
            t.wait(r"^status 0$")
            equal(bob.expect("\n"), b"* alice left lobby\n")
        finally:
            t.close()


# --- tables ---


@test
def tables_are_as_wide_as_the_terminal():
    d = everything()
    for i in range(60):
        d.join(nick="somebody-with-a-name-%d" % i, room="a-room-with-a-longer-name-%d" % (i % 3))
    d.join(nick="\u4f60\u597d" * 4)
    for columns in (80, 60, 120):
        for what, at_least in (("clients", ("ID", "NICK", "ROOM", "BEHIND")), ("rooms", ("ROOM", "MEMBERS")),
                               ("listeners", ("LISTENER", "TYPE", "MODE", "ADDRESS"))):
            t = Terminal("sh", "-c", '"$0" -s "$1" list "$2"; echo', CHATCTL, d.socket, what, columns=columns)
            try:
                t.wait(r"^status 0$")
                # All that there was, lines that were too long joined again.
                text = t.tmux("capture-pane", "-p", "-J", "-S", "-500").split("\nstatus")[0]
                lines = [l.rstrip() for l in text.split("\n") if l.strip()]
                equal(len(lines), {"clients": 63, "rooms": 5, "listeners": 5}[what])
                for l in lines:
                    check(sum(2 if "\u4e00" <= c <= "\u9fff" else 1 for c in l) <= columns, columns, l)
                equal(tuple(lines[0].split()[:len(at_least)]), at_least)
                if what == "clients":
                    check(re.match(r" *\d+  somebody-with\S+ +a-room-with\S+ +0 B", lines[1]), lines[1])
            finally:
                t.close()
    # A program gets everything, a line each.
    code, out, _ = d.ctl("list", "clients")
    lines = out.splitlines()
    equal((code, len(lines)), (0, 63))
    equal(len(lines[0].split()), 12)
    check(re.search(r"  somebody-with-a-name-59 +a-room-with-a-longer-name-2  .* 127\.0\.0\.1:\d+ ", out), out)
    equal(d.ctl("list", "bans"), (0, "ADDRESS  UNTIL\n", ""))


# --- chatctl top ---


@test
def top_scrolls_at_80_columns():
    d = Daemon()
    for i in range(60):
        d.join(nick="n%02d" % i)
    t = Terminal(CHATCTL, "-s", d.socket, "top")

    def shows(first, last, of=60):
        def there():
            names = re.findall(r"^ +\d+ (n\d\d) +lobby ", "\n".join(t.lines()), re.M)
            return names == ["n%02d" % i for i in range(first, last + 1)] and "%d-%d of %d" % (first + 1, last + 1, of) in t.lines()[-1]
        try:
            wait_for(there, what="clients %d to %d" % (first, last))
        except Exception as e:
            raise type(e)("%s; the screen is %r" % (e, t.lines())) from None

    try:
        t.wait(r"60 clients")
        t.key("n")  # by name
        shows(0, 12)  # 20 lines, of which 7 are no clients
        equal(t.lines()[3].split(), ["ID", "NICK", "ROOM", "BEHIND", "IN/s", "OUT/s", "IDLE"])
        check(t.lines()[-1].endswith("q: quit"))
        for key, first in (("Down", 1), ("NPage", 14), ("Up", 13), ("PPage", 0), ("Up", 0), ("End", 47), ("Down", 47), ("Home", 0)):
            t.key(key)
            shows(first, first + 12)
        # Sideways to what has no place.
        t.key("Right", "Right", "Right")
        wait_for(lambda: t.lines()[3].split() == ["ID", "NICK", "OUT/s", "IDLE", "ADDRESS", "DROPPED"], what="the other columns")
        t.key("Left", "Left", "Left")
        t.key("End")
        shows(47, 59)
        for c in d.clients[20:]:  # what it shows goes
            c.close()
        shows(7, 19, 20)
        t.tmux("resize-window", "-x", "80", "-y", "40")
        shows(0, 19, 20)
        t.key("q")
        t.wait(r"^status 0$")
    finally:
        t.close()


@test
def top():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "ops"; }')
    loud, quiet = d.join(nick="loud"), d.join(nick="quiet", room="ops")
    t = Terminal(CHATCTL, "-s", d.socket, "top", columns=140)
    try:
        t.wait(r"^chatd \S+  up .*  2 clients .*2 rooms$")
        t.wait(r"loud +lobby .* 127\.0\.0\.1:\d+ +0 chat$")
        for _ in range(200):
            loud.send("x" * 1000 + "\n")
        loud.expect("x\n")
        t.key("t")  # by what they send
        t.wait(r"^ +\d+ loud .* (\d|\.)+ kB ")
        names = [l.split()[1] for l in t.lines() if re.search(r"(loud|quiet) ", l)]
        equal(names, ["loud", "quiet"])
        t.key("n", "R")  # by name, backwards
        wait_for(lambda: [l.split()[1] for l in t.lines() if re.search(r"\d (loud|quiet) ", l)] == ["quiet", "loud"])
        t.tmux("resize-window", "-x", "100", "-y", "15")
        t.wait(r"q: quit$")
        quiet.send("/quit\n")
        t.wait(r"  1 client ")
        d.kill()
        t.wait(r"chatd can't be reached")
        d.start()
        t.wait(r"  0 clients ")
        t.key("q")
        t.wait(r"^status 0$")
    finally:
        t.close()
    p = subprocess.run([CHATCTL, "-s", d.socket, "top"], capture_output=True, text=True)
    equal((p.returncode, p.stdout), (1, ""))


@test
def top_has_more_than_clients():
    """Tab goes through rooms, listeners, nodes and webhooks, each as wide as the terminal; a line tells of history and cluster."""
    parts = ('cluster: { node = "berlin"; servers = ( "nats://127.0.0.1:1" ); }; history: { database = "history.db"; };'
             'webhooks = ( { name = "pager"; room = "lobby"; url = "http://127.0.0.1:1/"; secret = "0123456789abcdef"; } );')
    d = Daemon(rooms='{ name = "lobby"; }, { name = "ops"; }', extra=parts)
    alice = d.join(nick="alice")
    t = Terminal(CHATCTL, "-s", d.socket, "top", columns=100)

    def view(name, following, titles, row):
        t.wait(r"^1-\d of \d %s  Tab: %s  .*q: quit$" % (name, following))
        t.wait(row)
        title = next(l for l in t.lines() if re.match(titles[0] + " ", l.strip()))
        equal(title.split()[:len(titles)], titles)
        check(all(len(l) <= 100 for l in t.lines()), t.lines())

    try:
        t.wait(r"^history stores, \d+ waiting  NO NATS, 1 node, \d+ to go out, 0 to come in  1 webhook")
        view("clients", "rooms", ["ID", "NICK", "ROOM"], r"^ +1 alice +lobby ")
        t.key("Tab")
        view("rooms", "listeners", ["ROOM", "MEMBERS", "ELSEWHERE"], r"^lobby +1 +0 ")
        equal([l.split()[0] for l in t.lines() if re.match(r"(lobby|ops)  .* named ", l)], ["lobby", "ops"])  # the fullest first
        check(any(len(l) == 100 for l in t.lines() if l.startswith(("ROOM", "lobby  "))), t.lines())
        t.key("r", "R")
        wait_for(lambda: [l.split()[0] for l in t.lines() if re.match(r"(lobby|ops)  .* named ", l)] == ["ops", "lobby"])
        t.key("Tab")
        view("listeners", "nodes", ["LISTENER", "TYPE", "MODE", "ACCEPTED"], r"^chat +tcp +chat +1 ")
        t.key("Tab")
        view("nodes", "webhooks", ["NODE", "STATE", "CLIENTS", "LAG"], r"^berlin +this one +1 +0 ")
        t.key("Tab")
        alice.send("hello\n")
        view("webhooks", "clients", ["WEBHOOK", "STATE", "WAITING"], r"^pager +away +[1-9]")
        t.wait(r"  1 webhook, 1 AWAY$")
        # What goes with a reload isn't shown.
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(re.sub(r"webhooks = .*? \);", "", text))
        equal(d.ctl("reload")[0], 0)
        view("clients", "rooms", ["ID", "NICK"], r" alice ")
        t.key("BTab")
        view("nodes", "clients", ["NODE"], r"^berlin ")
        t.key("q")
        t.wait(r"^status 0$")
    finally:
        t.close()


main()
