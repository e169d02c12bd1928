#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chatctl, the control socket, the configuration and its reload."""

import pty
import pwd
import signal
import socket
import stat
import time

from irc_client import IRC, irc_daemon
from testing import *


@test
def a_file_in_the_place_of_the_control_socket_is_left_alone():
    d = Daemon(start=False)
    with open(d.socket, "w") as f:
        f.write("precious\n")
    d.spawn()
    d.wait()
    logged(d, "Socket operation on non-socket")
    with open(d.socket) as f:
        equal(f.read(), "precious\n")


@test
def status_and_lists():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "sensors"; format = "raw"; }')
    d.join(nick="alice")
    code, out, err = d.ctl("status")
    equal((code, err), (0, ""))
    check(re.match(r"all is well\nchatd \S+, pid %d, up \d+ s, configured by %s\n" % (d.pid, d.config), out), out)
    check("clients    1 (they survive `chatctl restart`, but not a crash: neither systemd's fd store nor `chatd --supervise` is there)\n" in out, out)
    check(re.search(r"^THREAD   CLIENTS  SENDS BY\nchatd/0        \d  ", out, re.M), out)
    code, out, err = d.ctl("list")
    check(re.search(r"^ *ID  NICK   ROOM   BEHIND  IDLE  ADDRESS +LISTENER ", out, re.M), out)
    check(re.search(r"^ *1  alice  lobby     0 B  \d+ s   127\.0\.0\.1:\d+ +chat ", out, re.M), out)
    code, out, err = d.ctl("list", "rooms")
    check(re.search(r"^lobby          1 +\d+  named    4M  yes$", out, re.M), out)
    check(re.search(r"^sensors        0 +0  raw      4M  yes$", out, re.M), out)
    code, out, err = d.ctl("list", "listeners")
    check(re.search(r"^chat      tcp   chat  \[::\]:%d +lobby         1 +0 +0 +0  own$" % d.port, out, re.M), out)
    rooms = d.json("list", "rooms")
    equal([(r["name"], r["members"], r["format"]) for r in rooms], [("lobby", 1, "named"), ("sensors", 0, "raw")])


def status_of_another_version(there, answer):
    """What `chatctl status` says of a chatd on the socket there that answers so."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(there)
        s.listen()
        p = subprocess.Popen([CHATCTL, "-s", there, "status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        c, _ = s.accept()
        c.recv(1000)
        c.sendall(answer + b"\0")
        out, err = p.communicate(timeout=PATIENCE)
        c.close()
    os.unlink(there)
    return p.returncode, out, err


@test
def whether_all_is_well():
    """For scripts: the first line and the exit status, which a limit that is reached changes."""
    d = Daemon(extra="limits: { max_clients = 2; max_rooms = 2; max_bans = 1; };")
    a = d.join(nick="alice")
    code, out, err = d.ctl("status")
    equal((code, out.split("\n")[0], err), (0, "all is well", ""))
    equal(d.json("status")["problems"], [])
    b = d.join(nick="bob", room="ops")
    equal(d.ctl("ban", "192.0.2.1")[0], 0)
    code, out, err = d.ctl("status")
    equal((code, out.split("\n")[0], err),
          (1, "NOT WELL: nobody else can come: limits.max_clients is 2; no more rooms can be opened: limits.max_rooms is 2; "
           "no more bans are possible: limits.max_bans is 1", ""))
    equal(d.ctl("--json", "status")[0], 1)
    equal([p["what"] for p in d.json("status")["problems"]], ["clients", "rooms", "bans"])
    equal(d.ctl("unban", "192.0.2.1")[0], 0)
    b.close()
    wait_for(lambda: [p["what"] for p in d.json("status")["problems"]] in ([], ["rooms"]), what="the end of the rest")
    a.close()
    # A chatd from before that can't tell.
    code, out, _ = status_of_another_version(os.path.join(d.dir, "older.sock"), b'{"parameters":{"version":"0.1.0"}}')
    check(code == 1 and out.startswith("NOT KNOWN to be well: this chatd can't tell, as it is older than chatctl\n"), out)


@test
def the_log_level_changes_until_a_reload():
    d = Daemon(start=False)
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write(re.sub('log_level = "[a-z]+"', 'log_level = "warning"', text))
    d.start()
    configured = "warning, as the configuration has it\n"
    equal(d.ctl("log-level"), (0, configured, ""))
    d.join(nick="alice").close()
    check("guest1 is now alice" not in d.log())
    equal(d.ctl("log-level", "debug"), (0, "debug, until the next reload or restart: the configuration has warning\n", ""))
    d.join(nick="bob")
    logged(d, "is now bob")
    logged(d, "sets the log level to debug")
    equal(d.json("log-level"), {"level": "debug", "configured": "warning"})
    equal(d.ctl("log-level", "error"), (0, "error, until the next reload or restart: the configuration has warning\n", ""))
    equal(d.ctl("log-level", "loud"), (1, "", "chatctl: LEVEL has to be error, warning, notice, info or debug\n"))
    equal(d.ctl("reload"), (0, "", ""))
    equal(d.ctl("log-level"), (0, configured, ""))
    for wrong in '1', '"loud"', '[]':
        equal(talk(d.socket, ('{"method":"io.chatd.Control.LogLevel","parameters":{"level":%s}}\0' % wrong).encode())[0]["error"],
              "org.varlink.service.InvalidParameter")


@test
def the_configuration_in_use():
    """With all limits, without secrets, and good for a configuration again."""
    d = Daemon(start=False, extra='limits: { max_bans = 7; }; operators = ({ name = "op"; password = "hunter2"; });')
    d.start()
    code, out, err = d.ctl("config")
    equal((code, err), (0, ""))
    check("hunter2" not in out and "# operators[0].password is left out\n" in out and 'name = "op"' in out, out)
    check("max_bans = 7;" in out and "max_rooms_per_client = 100;" in out and "flush_timeout = 300.0;" in out, out)
    equal(d.json("config"), {"file": d.config, "text": out})
    # None of the settings that there are is missing.
    with open(d.config) as f:
        before = f.read()
    with open(d.config, "w") as f:
        f.write(before.replace("max_bans = 7;", "wrong = 1;"))
    limits = re.search("allowed are (.*)", d.ctl("reload")[2])[1].split(", ")
    check(len(limits) > 15 and all("%s = " % name in out for name in limits), limits)
    equal(d.ctl("config")[1], out)  # what is in use
    with open(d.config, "w") as f:
        f.write(out.replace('name = "op"', 'name = "op"; password = "other"'))
    equal(d.ctl("reload"), (0, "", ""))
    check("other" not in d.ctl("config")[1])


@test
def tables_on_narrow_terminals():
    """No line is wider, nor are the titles of a table without lines."""
    d = Daemon(rooms='{ name = "a-room-whose-name-is-as-long"; }', listeners=LISTENER % ("chat", "chat", free_port()))
    for columns in 10, 20, 40:
        for what in "clients", "rooms", "listeners", "bans":
            us, there = pty.openpty()
            p = subprocess.Popen([CHATCTL, "-s", d.socket, "list", what], stdout=there, env=dict(os.environ, COLUMNS=str(columns)))
            equal(p.wait(timeout=PATIENCE), 0)
            os.close(there)
            text = re.sub(r"\x1b\[[\d;]*m", "", os.read(us, 65536).decode())
            os.close(us)
            check(text.strip() and all(len(line) <= columns for line in text.splitlines()), columns, what, text)


@test
def another_machine():
    """By ssh, which here is a program that runs the command line as that machine's shell would."""
    d = Daemon()
    a = d.join(nick="alice")
    with open(d.dir + "/ssh", "w") as f:
        f.write("#!/bin/sh\nfor last; do :; done\nprintf '%%s\\n' \"$@\" >%s/arguments\n[ -z \"$SSH\" ] || exit $SSH\n"
                "PATH=%s:$PATH exec sh -c \"$last\"\n" % (d.dir, os.path.dirname(CHATCTL)))
    os.chmod(d.dir + "/ssh", 0o755)

    def ctl(*args, stdin=b"", **environment):
        p = subprocess.run([CHATCTL, *args], input=stdin, capture_output=True, timeout=60,
                           env=dict(os.environ, PATH=d.dir + ":/bin:/usr/bin", **environment))
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    there = ("--host", "root@there", "-s", d.socket)
    equal(ctl(*there, "send", "lobby", "it's $HOME; `id` \"quoted\" \\ all"), (0, "", ""))
    a.expect("admin: it's $HOME; `id` \"quoted\" \\ all\n")
    with open(d.dir + "/arguments") as f:
        equal(f.read().split("\n")[:6], ["-x", "-T", "-o", "LogLevel=ERROR", "--", "root@there"])
    equal(ctl(*there, "send", "lobby", "-", stdin=b"from stdin\n"), (0, "", ""))
    a.expect("admin: from stdin\n")
    equal([c["nick"] for c in json.loads(ctl(*there, "-j", "list")[1])], ["alice"])
    equal(ctl(*there, "kick", "99"), (1, "", "chatctl: there is no client 99\n"))
    equal(ctl(*there, "ping", SSH="255"), (3, "", "chatctl: root@there can't be reached by ssh\n"))
    equal(ctl(*there, "ping", SSH="127"), (3, "", "chatctl: there is no chatctl at root@there\n"))
    equal(ctl("--host", "-oProxyCommand=id", "ping")[0], 2)
    os.unlink(d.dir + "/ssh")
    p = subprocess.run([CHATCTL, *there, "ping"], capture_output=True, env=dict(os.environ, PATH=d.dir))
    equal((p.returncode, p.stderr), (3, b"chatctl: ssh can't be run: No such file or directory\n"))


@test
def ping_and_version():
    d = Daemon()
    check(re.fullmatch(r"chatd answers after \d+\.\d ms\n", d.ctl("ping")[1]))
    check(0 < d.json("ping")["seconds"] < 60)
    versions = d.json("version")
    equal((versions["chatd"], versions["chatctl"]), (d.json("status")["version"],) * 2)
    equal(d.ctl("version"), (0, "chatctl %s\nchatd   %s\n" % (versions["chatctl"], versions["chatd"]), ""))
    d.stop()
    equal(d.ctl("ping")[0], 3)
    equal(d.ctl("version")[:2], (3, "chatctl %s\n" % versions["chatctl"]))


@test
def lists_of_some_clients():
    """Of who is in many rooms as well."""
    d = irc_daemon(rooms='{ name = "lobby"; }, { name = "ops"; }, { name = "raw"; format = "raw"; }')
    d.join(nick="alice")
    d.join(nick="bob", room="ops")
    ann = IRC(d, "ann")
    for room in "#lobby", "#ops", "#new":
        ann.join(room)

    def nicks(*args):
        return [c["nick"] for c in d.json("list", *args)]

    equal(nicks("--room", "lobby"), ["alice", "ann"])
    equal(nicks("--room", "ops"), ["bob", "ann"])
    equal(nicks("--room", "#ops"), ["bob", "ann"])
    equal((nicks("-r", "new"), nicks("-r", "raw")), (["ann"], []))
    equal(nicks("--all", "--room", "ops"), ["bob", "ann"])
    equal((nicks("--nick", "ALICE"), nicks("--nick", "a1ice")), (["alice"], []))
    equal((nicks("--listener", "irc"), nicks("--listener", "chat", "--room", "ops")), (["ann"], ["bob"]))
    equal((nicks("--address", "127.0.0.0/8"), nicks("--address", "::1")), (["alice", "bob", "ann"], []))
    equal(d.ctl("list", "--room", "nowhere"), (1, "", "chatctl: there is no room nowhere\n"))
    for wrong in ("--room", "a b"), ("--address", "there"), ("rooms", "--nick", "alice"), ("--colour",):
        code, out, err = d.ctl("list", *wrong)
        check((code, out, err.count("\n")) == (2, "", 1), wrong, out, err)
    for wrong in '"all":1', '"room":1', '"room":"a b"':
        equal(talk(d.socket, ('{"method":"io.chatd.Control.List","parameters":{"what":"clients",%s}}\0' % wrong).encode())[0]["error"],
              "org.varlink.service.InvalidParameter")


@test
def a_restart_that_is_refused_names_all_mistakes():
    d = Daemon()
    a = d.join(nick="alice")
    with open(d.config, "a") as f:
        f.write("nonsense = 1;\nrubbish = 2;\n")
    lines = open(d.config).read().splitlines()
    code, _, err = d.ctl("restart")
    equal((code, len(err.splitlines())), (1, 2))
    for number, (line, name) in enumerate(zip(err.splitlines(), ("nonsense", "rubbish")), len(lines) - 1):
        check(line.startswith("chatctl: " + d.binary + " can't take over: " if name == "nonsense" else d.config), err)
        check("%s:%d: " % (d.config, number) in line and name in line, err)
        equal(len(re.findall("^<3>.*%s:%d: .*%s" % (d.config, number, name), d.log(), re.M)), 1)
    a.send("here\n")
    a.expect("alice: here\n")


@test
def sending():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "sensors"; format = "raw"; }')
    a = d.join(nick="alice")
    equal(d.ctl("send", "lobby", "back", "in", "5 min"), (0, "", ""))
    a.expect("admin: back in 5 min\n")
    equal(d.ctl("send", "--as", "cron", "lobby", "done"), (0, "", ""))
    a.expect("cron: done\n")
    equal(d.ctl("send", "lobby", "--as", "cron", "done", "--as", "said"), (0, "", ""))
    equal(d.ctl("send", "lobby", "-", "--as", "cron", stdin=b"a line\n"), (0, "", ""))
    a.expect("cron: done --as said\ncron: a line\n")
    equal(d.ctl("send", "lobby", "--as", "cron")[0], 2)
    equal(d.ctl("send", "lobby", "-", stdin="one\ntwo\n\033[1mthree".encode()), (0, "", ""))
    a.expect("admin: one\nadmin: two\nadmin: \ufffd[1mthree\n")
    s = d.join(room="sensors")
    equal(d.ctl("send", "sensors", "t=1"), (0, "", ""))
    s.expect("t=1\n")
    equal(d.ctl("send", "nowhere", "x"), (1, "", "chatctl: there is no room nowhere\n"))
    equal(d.ctl("send", "nowhere", "-", stdin=b"one\ntwo\n\nthree\n"), (1, "", "chatctl: there is no room nowhere\n"))
    equal(d.ctl("send", "--as", "alice", "lobby", "x"), (1, "", "chatctl: nick alice is in use\n"))
    equal(d.ctl("send", "--as", "a b", "lobby", "x"), (1, "", 'chatctl: "a b" is not a valid nick\n'))
    equal(d.ctl("send", "lobby", "x" * 5000)[0], 1)
    # One line that is refused does not keep the others back.
    code, _, err = d.ctl("send", "lobby", "-", stdin=b"four\n" + b"x" * 5000 + b"\nfive\n")
    check(code == 1 and "longer than max_message" in err)
    a.expect("admin: four\nadmin: five\n")
    equal(d.ctl("send", "lobby")[0], 2)


@test
def a_million_bytes_through_stdin():
    # The log holds it all, so that nobody is skipped.
    d = Daemon(rooms='{ name = "lobby"; history = 0; log_size = "2M"; }', extra="max_message = 1024;")
    a = d.join(nick="alice")
    lines = ["%05d %s" % (i, "." * 100) for i in range(10000)]
    equal(d.ctl("send", "lobby", "-", stdin="\n".join(lines).encode()), (0, "", ""))
    text = a.expect("admin: %s\n" % lines[-1]).decode()
    equal(re.findall(r"^admin: (.*)$", text, re.M), lines)


@test
def tail():
    d = Daemon()
    a = d.join(nick="alice")
    a.send("one\ntwo\n/me waves\n")
    a.expect("alice * waves\n")
    equal(d.ctl("tail", "lobby"), (0, "alice: one\nalice: two\nalice * waves\n", ""))
    equal(d.ctl("tail", "-n", "1", "lobby"), (0, "alice * waves\n", ""))
    equal(d.ctl("tail", "lobby", "-n", "0"), (0, "", ""))
    check(re.fullmatch(r"\d\d:\d\d:\d\d  alice \* waves\n", d.ctl("tail", "-t", "-n1", "lobby")[1]))
    message = json.loads(d.ctl("--json", "tail", "-n", "1", "lobby")[1])
    equal((message["kind"], message["line"], message["text"]), ("action", "alice * waves", "waves"))
    equal(d.ctl("tail", "nowhere"), (1, "", "chatctl: there is no room nowhere\n"))
    equal(d.ctl("tail", "-n", "x", "lobby")[0], 2)


@test
def json_may_be_asked_for_at_the_end():
    """Only what is behind the room of send is text."""
    d = Daemon()
    for option in ("-j", "--json"):
        for args in (("status",), ("list", "rooms"), ("list", "listeners")):
            code, out, err = d.ctl(*args, option)
            equal((code, err), (0, ""))
            json.loads(out)
        equal(d.ctl("send", option, "lobby", "before"), (0, "", ""))
        equal(d.ctl("send", "lobby", "hi", option), (0, "", ""))
        code, out, _ = d.ctl("tail", "-n", "2", "lobby", option)
        equal([json.loads(l)["line"] for l in out.splitlines()], ["admin: before", "admin: hi " + option])


@test
def tail_follows_also_across_a_restart():
    d = Daemon()
    a = d.join(nick="alice")
    a.send("before\n")
    a.expect("alice: before\n")
    p = subprocess.Popen([CHATCTL, "-s", d.socket, "tail", "-f", "lobby"], stdout=subprocess.PIPE)
    try:
        equal(p.stdout.readline(), b"alice: before\n")
        a.send("live\n")
        equal(p.stdout.readline(), b"alice: live\n")
        equal(d.ctl("restart")[0], 0)
        a.send("after\n")
        equal(p.stdout.readline(), b"alice: after\n")
        d.join(nick="bob")
        equal(p.stdout.readline(), b"* guest2 joined lobby\n")
    finally:
        p.kill()
        p.wait()


@test
def a_follower_that_does_not_read_delays_nobody():
    d = Daemon(rooms='{ name = "lobby"; history = 0; log_size = "64K"; }', extra="max_message = 1024;")
    a = d.join(nick="alice")
    s = socket.socket(socket.AF_UNIX)
    s.connect(d.socket)
    s.sendall(b'{"method":"io.chatd.Control.Tail","parameters":{"room":"lobby","follow":true},"more":true}\0')
    drain(a)
    a.send(("x" * 900 + "\n") * 5000)
    wait_for(lambda: d.metric("messages_total") >= 5000)
    s.close()


@test
def a_reload_that_takes_long_delays_nobody():
    """Nor with somebody who follows the room through the main thread, which is busy: it is lapped, and says so."""
    d = Daemon(rooms='{ name = "lobby"; history = 0; log_size = "64K"; }', extra="max_message = 1024;")
    a, b = d.join(nick="alice"), d.join(nick="bob")
    tail = socket.socket(socket.AF_UNIX)
    tail.settimeout(PATIENCE)
    tail.connect(d.socket)
    tail.sendall(b'{"method":"io.chatd.Control.Tail","parameters":{"room":"lobby","lines":0,"follow":true},"more":true}\0')
    check(tail.recv(65536))
    with open(d.config, "a") as f:
        f.write("".join("wrong%d = 1;\n" % i for i in range(100000)))  # takes as long as it is let
    reload = subprocess.Popen([CHATCTL, "-s", d.socket, "reload"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: "asks for a reload" in d.log(), what="the reload")
        drain(a)
        a.send("".join("%05d %s\n" % (i, "x" * 900) for i in range(300)))  # four times the log
        for i in range(300):
            b.expect("alice: %05d" % i)
        check(reload.poll() is None, "they had to wait for the reload")
    finally:
        check(b"more than 5 s to read" in reload.communicate(timeout=60)[1])
    got = b""
    while b"00299 " not in got:
        got += tail.recv(1 << 20)
    replies = [json.loads(m)["parameters"] for m in got.split(b"\0")[:-1]]
    there = sum(len(r["messages"]) for r in replies)
    check(sum(r["skipped"] for r in replies) >= 300 - there > 0, there)
    tail.close()


@test
def kicking():
    d = Daemon()
    a, b = d.join(nick="alice"), d.join(nick="bob")
    equal(d.ctl("kick", "2", "too loud"), (0, "", ""))
    check(b.rest().endswith(b"* You have been removed: too loud\n"))
    a.expect("* bob left lobby\n")
    equal(d.ctl("kick", "2"), (1, "", "chatctl: there is no client 2\n"))
    equal(d.ctl("kick", "bob"), (1, "", "chatctl: nobody is called bob\n"))
    # By nick in whatever case, but not one that only looks like it; a number is an id, unless it is said to be a nick.
    c, e = d.join(nick="carl"), d.join(nick="7")
    equal(d.ctl("kick", "car1"), (1, "", "chatctl: nobody is called car1, but client 3 is carl, which looks like it\n"))
    equal(d.ctl("kick", "CARL", "too late"), (0, "", ""))
    check(c.rest().endswith(b"* You have been removed: too late\n"))
    equal(d.ctl("kick", "7"), (1, "", "chatctl: there is no client 7\n"))
    equal(d.ctl("kick", "--nick", "7"), (0, "", ""))
    check(b"* You have been removed" in e.rest())
    equal(d.ctl("kick", "a b")[0], 2)
    for wrong in ('{"id":1,"nick":"alice"}', '{"nick":5}', '{"nick":""}', '{"id":"1"}', '{}', '{"nick":"alice","reason":1}'):
        equal(talk(d.socket, ('{"method":"io.chatd.Control.Kick","parameters":%s}\0' % wrong).encode())[0]["error"],
              "org.varlink.service.InvalidParameter")
    check(re.search(r"client 2 from 127\.0\.0\.1 port \d+ removed by %s \(uid %d, pid \d+\)" %
                    (pwd.getpwuid(os.getuid()).pw_name, os.getuid()), d.log()), d.log())


@test
def what_is_refused_is_told_in_words():
    """Never by the name of an error of the protocol."""
    d = Daemon()
    a = d.join(nick="alice")
    for args, status, words in ((("ban", "foo"), 2, '2001:db8::7, or a network such as 192.0.2.0/24, not "foo"'),
                                (("ban", ""), 2, 'not ""'), (("unban", "10.0.0.0/33"), 2, 'not "10.0.0.0/33"'),
                                (("ban", "10.0.0.1", "99999999w"), 1, "TIME has to be above 0 and at most"),
                                (("ban", "10.0.0.1", "soon"), 2, 'not "soon"'),
                                (("kick", "99999999999999999999"), 2, "ID is a number that `chatctl list` shows"),
                                (("kick", ""), 2, "neither an ID that `chatctl list` shows nor a nick"),
                                (("send", "lobby", ""), 1, "the message is empty"),
                                (("send", "", "x"), 2, '"" is not a valid room name'),
                                (("send", "a room", "x"), 2, '"a room" is not a valid room name'),
                                (("send", "--as", "", "lobby", "x"), 1, '"" is not a valid nick'),
                                (("tail", "/"), 2, '"/" is not a valid room name'),
                                (("tail", "nowhere"), 1, "there is no room nowhere")):
        code, out, err = d.ctl(*args)
        check(code == status and out == "" and words in err and err.count("\n") == 1, args, code, out, err)
        check("io.chatd" not in err and "varlink" not in err, err)
    # A text of many lines may have empty ones: they are no messages.
    equal(d.ctl("send", "lobby", "-", stdin=b"one\n\ntwo\n"), (0, "", ""))
    equal(a.expect("two\n"), b"admin: one\nadmin: two\n")
    # Of another version's calls and answers nothing is known.
    for error in ("org.varlink.service.MethodNotFound", "org.varlink.service.InvalidParameter", "io.chatd.Control.News"):
        answer = b'{"error":"%s","parameters":{"parameter":"new"}}' % error.encode()
        code, _, err = status_of_another_version(os.path.join(d.dir, "other.sock"), answer)
        check(code == 1 and "chatd" in err and error not in err and "varlink" not in err, err)


@test
def who_may_not_is_told_the_group():
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")
    d = Daemon()
    os.chmod(d.dir, 0o755)

    def stranger(*args):
        p = run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", CHATCTL, "-s", d.socket, *args)
        check(p.returncode == 3 and p.stdout == b"" and p.stderr.count(b"\n") == 1, p)
        return p.stderr.decode()

    start = "chatctl: chatd can't be reached at %s: Permission denied; " % d.socket
    os.chown(d.socket, 0, 1)
    group = subprocess.run(["getent", "group", "1"], capture_output=True, text=True).stdout.split(":")[0]
    os.chmod(d.socket, 0o660)
    for args in (("status",), ("tail", "lobby"), ("watch",), ("top",), ("send", "lobby", "-")):
        equal(stranger(*args), start + "root and the members of group %s may: sudo usermod -aG %s $USER, then log in again\n" % (group, group))
    os.chmod(d.socket, 0o600)
    equal(stranger("status"), start + "only root may connect\n")


@test
def a_quiet_reload():
    d = Daemon()
    equal(d.ctl("reload", "-q"), (0, "", ""))
    with open(d.config, "a") as f:
        f.write("\nmistake = 1;\n")
    equal(d.ctl("reload", "-q"), (1, "", ""))
    logged(d, "unknown setting mistake", 1)
    code, _, err = d.ctl("reload")
    check(code == 1 and "unknown setting mistake" in err and err.endswith("control, metrics, state_directory\n"), err)
    equal(run(CHATCTL, "-s", "/nowhere", "reload", "-q").returncode, 3)


@test
def old_messages_have_their_date():
    """From a server that has some; ours is too young."""
    now = time.time()
    messages = [{"time": t, "kind": "message", "client": 1, "line": "alice: %d" % i, "text": "%d" % i}
                for i, t in enumerate((now - 400 * 86400, now - 86400, now))]
    with tempfile.TemporaryDirectory() as where, socket.socket(socket.AF_UNIX) as s:
        there = os.path.join(where, "s")
        s.bind(there)
        s.listen()
        p = subprocess.Popen([CHATCTL, "-s", there, "tail", "-t", "lobby"], stdout=subprocess.PIPE, text=True)
        c, _ = s.accept()
        c.recv(1000)
        c.sendall(json.dumps({"parameters": {"messages": messages, "skipped": 0, "next": 3}}).encode() + b"\0")
        out = p.communicate(timeout=PATIENCE)[0]
        c.close()
    stamp = lambda t, form: time.strftime(form, time.localtime(int(t)))
    today = stamp(now, "%T") if stamp(time.time(), "%F") == stamp(now, "%F") else stamp(now, "%F %T")
    equal(out, "%s  alice: 0\n%s  alice: 1\n%s  alice: 2\n" % (stamp(now - 400 * 86400, "%F %T"), stamp(now - 86400, "%F %T"), today))


@test
def one_is_not_many():
    d = Daemon(workers=1, store=True)
    d.join(nick="alice")
    equal(d.ctl("restart")[0], 0)
    out = d.ctl("status")[1]
    check("the last" in out and ": 1 client taken over" in out, out)
    d.stop()
    for words in ("2 listeners with 1 worker ", "1 client taken over", "1 worker ended"):
        logged(d, words)
    check(not re.search(r"\b1 (clients|workers|listeners|rooms)\b", out + d.log() + d.status_text))


@test
def exit_codes():
    d = Daemon()
    equal(d.ctl()[0], 2)
    equal(d.ctl("dance")[0], 2)
    equal(d.ctl("list", "cows")[0], 2)
    equal(d.ctl("status", "now")[0], 2)
    equal(d.ctl("--help")[0], 0)
    check(d.ctl("--version")[1].startswith("chatctl "))
    p = run(CHATCTL, "-s", "/nonexistent.sock", "status")
    equal(p.returncode, 3)
    equal(p.stderr, b"chatctl: chatd can't be reached at /nonexistent.sock: No such file or directory\n")
    # The socket is the configuration's, if not said otherwise.
    equal(run(CHATCTL, "-c", d.config, "status").returncode, 0)


@test
def metrics():
    d = Daemon()
    d.join()
    code, out, err = d.ctl("metrics")
    equal((code, err), (0, ""))
    for line in out.splitlines():
        check(re.fullmatch(r"# (HELP|TYPE) (chatd|process)_\w+ .*|(chatd|process)_\w+(\{\w+=\"[^\"]*\"\})? [\d.]+", line), line)
    equal(d.metric("clients_accepted_total"), 1)
    equal(d.metric("clients"), 1)


@test
def watching():
    d = Daemon(store=True, rooms='{ name = "lobby"; log_size = "64K"; }')
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write(text.replace('log_level = "debug"', 'log_level = "info"'))
    equal(d.ctl("reload")[0], 0)
    p = subprocess.Popen([CHATCTL, "-s", d.socket, "--json", "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = []

    def read():
        for line in p.stdout:
            seen.append(json.loads(line))

    t = threading.Thread(target=read, daemon=True)
    t.start()

    def happened(kind, **fields):
        def found():
            return [e for e in seen if e["kind"] == kind and all(e.get(k) == v for k, v in fields.items())]
        wait_for(found, what="%s %s, not %s" % (kind, fields, seen[-5:]))
        return found()[0]

    # Until it watches.
    wait_for(lambda: d.join().close() or seen, what="the first event")
    a = d.join()
    a.send("/nick alice\n/join ops\n")
    a.expect("You are in ops")
    happened("joined", room="ops", text="alice joined ops", listener="chat")
    happened("left", room="lobby", text="alice left lobby")
    check(" is now alice" in happened("renamed")["text"])
    deaf = d.join(rcvbuf=2048)
    deaf.send("/nick deaf\n")
    happened("renamed", text=happened("renamed", client=happened("renamed")["client"])["text"])
    loud = d.join(nick="loud")
    for i in range(2500):
        loud.send("%d %s\n" % (i, "x" * 4000))
        if i % 8 == 7:
            loud.expect("loud: %d " % i)
    deaf.expect(" messages skipped\n")  # it reads again
    happened("skipped", room="lobby")
    ids = {c["nick"]: c["id"] for c in d.json("list", "clients")}
    equal(d.ctl("kick", str(ids["alice"]))[0], 0)
    happened("kicked", client=ids["alice"])
    happened("closed", client=ids["alice"])
    equal(d.ctl("ban", "192.0.2.1")[0], 0)
    happened("ban")
    # What is logged now and then only is shown each time.
    equal(d.ctl("ban", "127.0.0.2")[0], 0)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", d.port), source_address=("127.0.0.2", 0)) as s:
            s.recv(100)
    wait_for(lambda: len([e for e in seen if e["kind"] == "refused"]) == 3, what="the refusals")
    check("joined ops" not in d.log(), "events are logged at level info")
    # It goes on after a restart, and says so.
    d.kill()
    d.start()
    wait_for(lambda: d.join().close() or any(e["kind"] == "connected" and e["time"] > time.time() - 5 for e in seen[-3:]))
    p.terminate()
    check(b"chatd has restarted" in p.stderr.read())
    p.wait()
    t.join(10)
    p.stdout.close()
    p.stderr.close()


@test
def events_name_the_address_the_reason_and_the_time():
    udp = free_port(socket.SOCK_DGRAM)
    d = Daemon(start=False)
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; max_clients = 1; },
      { name = "six"; type = "tcp"; mode = "chat"; listen = "[::1]:%d"; room = "lobby"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; } """
                   % (d.port, d.echo_port, udp))
    d.start()
    p = subprocess.Popen([CHATCTL, "-s", d.socket, "--json", "watch"], stdout=subprocess.PIPE)
    seen = []

    def read():
        for line in p.stdout:
            seen.append(json.loads(line))

    threading.Thread(target=read, daemon=True).start()

    def happened(kind, client=None):
        return wait_for(lambda: [e for e in seen if e["kind"] == kind and client in (None, e.get("client"))],
                        what=kind)[0]

    def text_of(c):
        host, port = c.sock.getsockname()[:2]
        return "%s port %d" % (host, port), ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)

    # Until it watches.
    wait_for(lambda: d.join(host="::1", port=d.echo_port).close() or seen, what="the first event")
    for c in (d.join(nick="alice"), d.join(host="::1", port=d.echo_port, nick="bob")):
        said, address = text_of(c)
        number = [k["id"] for k in d.json("list", "clients") if k["address"] == address][0]
        equal(happened("connected", number)["address"], address)
        logged(d, "client %d from %s connected" % (number, said))
        equal(happened("joined", number)["address"], address)
        equal(happened("renamed", number)["address"], address)
        if ":" not in address.replace(":", "", 1):  # alice: nobody else fits in at that listener
            other = d.connect()
            whose, where = text_of(other)
            other.rest()
            equal(happened("refused")["address"], where)
            logged(d, "listener chat: refused %s: there are too many" % whose)
        equal(d.ctl("kick", str(number), "too loud, really"), (0, "", ""))
        kicked = happened("kicked", number)
        equal((kicked["address"], kicked["reason"]), (address, "too loud, really"))
        check(re.fullmatch(r"client %d from %s removed by .*: too loud, really" % (number, said), kicked["text"]), kicked)
        c.close()
        equal(happened("closed", number)["address"], address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(PATIENCE)
        u.connect(("127.0.0.1", udp))
        u.send(b"#REG sensor")
        check(u.recv(100).startswith(b"#OK sensor"))
        address = "127.0.0.1:%d" % u.getsockname()[1]
        number = d.json("list", "clients")[0]["id"]
        equal(happened("connected", number)["address"], address)
        equal(happened("joined", number)["address"], address)
        equal(d.ctl("kick", str(number))[0], 0)
        equal(happened("kicked", number)["address"], address)
        check("reason" not in happened("kicked", number))
        equal(happened("closed", number)["address"], address)
    equal(d.ctl("ban", "192.0.2.0/24", "1h")[0], 0)
    ban = happened("ban")
    equal(ban["address"], "192.0.2.0/24")
    check(3500 < ban["until"] - time.time() <= 3600 and ban["text"].endswith(" for 3600 s"), ban)
    p.terminate()
    p.wait()


def get(port, path, method="GET", accept="*/*"):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: %s\r\n\r\n" % (method, path, accept)).encode())
        data = b""
        while part := s.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body.decode()


@test
def metrics_over_http():
    need("promtool")
    d = Daemon(start=False)
    port, other = free_port(), free_port()
    d.write_config(extra='metrics: { listen = "127.0.0.1:%d"; };' % port)
    d.start()
    d.join()
    code, head, body = get(port, "/metrics")
    equal(code, 200)
    check("text/plain; version=0.0.4" in head, head)
    check("\nchatd_clients 1\n" in body and 'chatd_room_members{room="lobby"} 1\n' in body, body)
    p = run("promtool", "check", "metrics", stdin=body.encode())
    equal((p.returncode, p.stdout, p.stderr), (0, b"", b""))
    equal(get(port, "/other")[0], 404)
    equal(get(port, "/metrics", "POST")[0], 405)
    # Idle and broken connections keep nobody out for long, and cost the main thread nothing.
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    idle[0].sendall(b"\0\xff" * 1000)
    equal(get(port, "/metrics")[0], 200)
    before = d.cpu()
    time.sleep(0.5)
    check(d.cpu() - before < 0.2)
    # However many there are: the oldest make way.
    for n in (40, 400):
        idle += [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
        started = time.monotonic()
        equal(get(port, "/metrics")[0], 200)
        check(time.monotonic() - started < 5, "after", time.monotonic() - started, "s behind", n)
    for s in idle:
        s.close()
    # A reload moves it, and one that can't be had changes nothing.
    d.write_config(extra='metrics: { listen = "127.0.0.1:%d"; };' % other)
    equal(d.ctl("reload")[0], 0)
    equal(get(other, "/metrics")[0], 200)
    d.write_config(extra='metrics: { listen = "192.0.2.1:1"; };')
    code, _, err = d.ctl("reload")
    equal(code, 1)
    check("metrics: 192.0.2.1:1: " in err, err)
    equal(get(other, "/metrics")[0], 200)
    # At a start it is no reason not to serve.
    equal(d.ctl("restart")[0], 0)
    d.join()
    d.write_config(extra='metrics: { listen = "127.0.0.1:%d"; };' % other)
    equal(d.ctl("reload")[0], 0)
    equal(get(other, "/metrics")[0], 200)
    equal(d.ctl("restart")[0], 0)
    equal(get(other, "/metrics")[0], 200)
    d.write_config()
    equal(d.ctl("reload")[0], 0)
    try:
        get(other, "/metrics")
        raise Failure("it is still there")
    except ConnectionRefusedError:
        pass


def openmetrics(text):
    """What OpenMetrics 1.0.0 asks for, of what is used here. Returns the families and the samples."""
    check(text.endswith("\n# EOF\n") and text.count("# EOF") == 1, text[-100:])
    families, samples, now = {}, {}, None
    label = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"'
    for line in text[:-len("# EOF\n")].splitlines():
        if m := re.fullmatch(r"# (TYPE|UNIT|HELP) ([a-zA-Z_:][\w:]*) (.+)", line):
            what, name, value = m.groups()
            if what == "TYPE":
                check(name not in families and value in ("counter", "gauge"), line)
                now, families[name] = name, {}
            check(name == now and what not in families[name], "not with its family:", line)
            families[name][what] = value
            check(what != "UNIT" or name.endswith("_" + value), line)
            check(what != "HELP" or re.fullmatch(r'(?:[^"\\]|\\["\\n])*', value), line)
            continue
        m = re.fullmatch(r"(\w+)(?:\{(%s(?:,%s)*)\})? (-?\d+(?:\.\d+)?)" % (label, label), line)
        check(m and m.group(1) == now + ("_total" if families[now]["TYPE"] == "counter" else ""), line)
        check(m.group(1, 2) not in samples, "twice:", line)
        samples[m.group(1, 2)] = float(m.group(3))
    for name, f in families.items():
        check(f.get("HELP") and (f.get("UNIT") or not re.search("_(seconds|bytes)$", name)), name, f)
        check(name + "_total" not in families and not name.endswith(("_total", "_created", "_bucket")), name)
    return families, samples


@test
def metrics_as_openmetrics():
    port = free_port()
    # All that there may be.
    d = Daemon(extra='cluster: { node = "a"; servers = ( "nats://127.0.0.1:1" ); }; history: { database = "history.db"; };'
               'webhooks = ( { name = "a"; room = "lobby"; url = "http://127.0.0.1:1/"; secret = "0123456789abcdef"; } );'
               'metrics: { listen = "127.0.0.1:%d"; };' % port)
    d.join()
    # As Prometheus 2.42 asks.
    code, head, body = get(port, "/metrics", accept="application/openmetrics-text;version=1.0.0,"
                           "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    equal(code, 200)
    check("\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n" in head, head)
    families, samples = openmetrics(body)
    equal(samples["chatd_clients", None], 1)
    equal(samples["chatd_clients_accepted_total", None], 1)
    # The same families as in the text, which `chatctl metrics` has as well.
    text = d.ctl("metrics")[1]
    equal({re.sub("_total$", "", n) for n in re.findall(r"^# TYPE (\w+) ", text, re.M)}, set(families))
    version = run(CHATD, "--version").stdout.decode().split()[1]
    equal([v for (n, labels), v in samples.items() if n == "chatd_build_info" and labels == 'version="%s"' % version], [1])
    proc = "/proc/%d/" % d.pid
    check(0 < samples["process_cpu_seconds_total", None] <= d.cpu() + 0.02, samples["process_cpu_seconds_total", None], d.cpu())
    equal(samples["process_num_threads", None], len(os.listdir(proc + "task")))
    with open(proc + "limits") as f:
        equal(samples["process_max_fds", None], int(re.search(r"^Max open files +(\d+)", f.read(), re.M).group(1)))
    check(abs(samples["process_open_fds", None] - len(os.listdir(proc + "fd"))) <= 3, samples["process_open_fds", None])
    with open(proc + "statm") as f:
        rss = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    check(rss / 2 < samples["process_resident_memory_bytes", None] < rss * 2, rss)
    check(0 <= time.time() - samples["process_start_time_seconds", None] < 60)


def panels_are_queries(targets, labels):
    """Grafana's variables aside they are PromQL, rates are of counters, and legends name labels that there are."""
    rules = []
    for t in targets:
        expr = t["expr"].replace("$__rate_interval", "5m")
        rules.append({"record": "x", "labels": {"n": str(len(rules))}, "expr": expr})
        check(all(m.endswith("_total") for m in re.findall(r"(?:rate|increase)\((\w+)", expr)), expr)
        check(set(re.findall(r"\{\{(\w+)\}\}", t["legendFormat"])) <= labels, t["legendFormat"])
    check(len(rules) > 40)
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, f)  # which is YAML
        f.flush()
        p = run("promtool", "check", "rules", f.name)
    check(p.returncode == 0, p.stdout.decode(), p.stderr.decode())


@test
def alert_rules_and_dashboard():
    need("promtool")
    where = os.path.join(os.path.abspath(SOURCE), "docs", "prometheus")
    p = run("promtool", "check", "rules", os.path.join(where, "alerts.yml"))
    equal(p.returncode, 0)
    tests = os.path.join(os.path.abspath(SOURCE), "tests", "alerts.yml")
    p = run("promtool", "test", "rules", tests)
    check(p.returncode == 0, p.stdout.decode(), p.stderr.decode())
    with open(os.path.join(where, "alerts.yml")) as f, open(tests) as g:
        equal(re.findall(r"- alert: (\w+)", f.read()), re.findall(r"^ +alertname: (\w+)\n +exp_alerts:$", g.read(), re.M))
    # With a history, a webhook, and a cluster, whose NATS need not be there.
    d = Daemon(extra='cluster: { node = "a"; servers = ( "nats://127.0.0.1:1" ); }; history: { database = "history.db"; };'
               'webhooks = ( { name = "a"; room = "lobby"; url = "http://127.0.0.1:1/"; secret = "0123456789abcdef"; } );')
    text = d.ctl("metrics")[1]
    there, labels = set(re.findall(r"^# TYPE (\w+) ", text, re.M)), set(re.findall(r'[{,](\w+)="', text))
    for name in ("alerts.yml", "dashboard.json"):
        with open(os.path.join(where, name)) as f:
            text = f.read()
        if name.endswith(".json"):
            panels_are_queries([t for p in json.loads(text)["panels"] for t in p["targets"]], labels)
        # "chatd_clients" but not the name of the dashboard or of a job.
        used = set(re.findall(r"\b((?:chatd|process)_\w+)", text))
        check(used and used <= there, name, "uses", used - there)


@test
def the_journals_catalog_explains_each_event():
    need("journalctl")
    with open(os.path.join(SOURCE, "daemon/base/events.h")) as f:
        ids = re.findall(r'^#define EVENT_\w+ "(\w{32})"', f.read(), re.M)
    check(len(ids) > 20, ids)
    with tempfile.TemporaryDirectory() as root:
        for where in ("usr/lib", "var/lib"):
            os.makedirs(os.path.join(root, where, "systemd/catalog"))
        shutil.copy(os.path.join(SOURCE, "systemd/chatd.catalog"), os.path.join(root, "usr/lib/systemd/catalog"))
        # What is wrong with a line of it is a message.
        p = run("journalctl", "--root=" + root, "--update-catalog")
        equal((p.returncode, p.stdout, p.stderr), (0, b"", b""))
        text = run("journalctl", "--root=" + root, "--dump-catalog").stdout.decode()
    entries = re.split("^-- ", text, flags=re.M)[1:]
    equal(sorted(e[:32] for e in entries), sorted(ids))
    for e in entries:
        head, _, body = e.partition("\n\n")
        check(re.search("^Subject: .+$", head, re.M) and "Defined-By: chatd" in head and body.strip(), e)
        for command in re.findall("`chatctl (\\w+)", body):
            check(run(CHATCTL, command, "--help").returncode == 0, e)


def talk(path, data, timeout=5):
    """Sends bytes to the control socket and returns what comes back until it ends or is silent."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(path)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    out = b""
    try:
        while True:
            part = s.recv(65536)
            if not part:
                break
            out += part
    except socket.timeout:
        pass
    except ConnectionResetError:
        pass
    s.close()
    return [json.loads(m) for m in out.split(b"\0")[:-1]]


@test
def without_file_descriptors_an_admin_can_act():
    """Who floods chatd with connections can be found, kicked and banned, and nothing spins meanwhile."""
    import resource
    metrics = free_port()
    d = Daemon(start=False, extra='metrics: { listen = "127.0.0.1:%d"; };' % metrics)
    d.limit_files(150)
    d.start()

    def act(low, which):
        ids = [c["id"] for c in d.json("list", "clients")]
        equal(d.ctl("kick", str(ids[which])), (0, "", ""))
        equal(d.ctl("ban", "192.0.2.7", "1h")[0], 0)
        check("192.0.2.7" in d.ctl("list", "bans")[1])
        equal(d.ctl("unban", "192.0.2.7")[0], 0)
        equal(d.ctl("reload"), (0, "", ""))
        equal(d.ctl("send", "lobby", "stay calm")[0], 0)
        equal(d.ctl("tail", "-n", "1", "lobby")[1], "admin: stay calm\n")
        # One who sits at the socket, or many, keep the next admin from nothing.
        sitting = []
        for _ in range(20):
            s = socket.socket(socket.AF_UNIX)
            s.connect(d.socket)
            sitting.append(s)
        equal(d.ctl("ping")[0], 0)
        before = d.cpu()
        time.sleep(1.5)
        check(d.cpu() - before < 0.3, low, "it used", d.cpu() - before, "s of CPU in 1.5 s")
        for s in sitting:
            s.close()

    flood = [d.connect() for _ in range(300)]
    wait_for(lambda: "no more connections can be accepted" in d.log(), what="the limit")
    wait_for(lambda: "NOT WELL: there were no file descriptors" in d.ctl("status")[1], what="that told")
    act("with the reserve:", 1)
    equal(get(metrics, "/metrics")[0], 200)
    # As if something else had used the reserve up.
    limit = max(int(fd) for fd in os.listdir("/proc/%d/fd" % d.pid) if int(fd) < 150) + 1
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (limit, limit))
    act("without any:", 2)
    half_way = [socket.create_connection(("127.0.0.1", metrics)) for _ in range(3)]
    before = d.cpu()
    time.sleep(1)
    check(d.cpu() - before < 0.3, "it used", d.cpu() - before, "s of CPU in 1 s")
    for s in half_way + flood:
        s.close()
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (150, 150))
    d.join()


@test
def varlink():
    d = Daemon()
    info = talk(d.socket, b'{"method":"org.varlink.service.GetInfo"}\0')[0]["parameters"]
    equal(info["interfaces"], ["org.varlink.service", "io.chatd.Control"])
    description = talk(d.socket, b'{"method":"org.varlink.service.GetInterfaceDescription",'
                       b'"parameters":{"interface":"io.chatd.Control"}}\0')[0]["parameters"]["description"]
    check(description.startswith("# Controls chatd.\ninterface io.chatd.Control\n"))
    for method in ("Status", "List", "Send", "Tail", "Kick", "Reload", "Restart", "Metrics"):
        check("method %s(" % method in description, method)
    equal(talk(d.socket, b'{"method":"io.chatd.Control.Dance"}\0')[0]["error"], "org.varlink.service.MethodNotFound")
    equal(talk(d.socket, b'{"method":"io.chatd.Control.List","parameters":{"what":1}}\0')[0]["error"],
          "org.varlink.service.InvalidParameter")
    equal(talk(d.socket, b'{"method":"io.chatd.Control.Tail","parameters":{"room":"lobby"}}\0')[0]["error"],
          "io.chatd.Control.Refused")
    # Several calls at once are answered in order.
    replies = talk(d.socket, b'{"method":"io.chatd.Control.Status"}\0' * 3)
    equal([r["parameters"]["pid"] for r in replies], [d.pid] * 3)
    equal(talk(d.socket, b'{"method":"io.chatd.Control.Status","oneway":true}\0'), [])


@test
def replies_are_as_the_interface_says():
    """Each member that it names is there, and is of its type: a float is no integer."""
    d = Daemon(start=False)
    d.write_config(listeners=LISTENER % ("chat", "chat", d.port) + ''', { name = "z"; type = "zmq"; mode = "relay"; room = "lobby";
        pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d"; }''' % (free_port(), free_port()), extra="limits: { max_bans = 1; };")
    d.start()
    a = d.join(nick="alice")
    equal(d.ctl("ban", "192.0.2.1", "1h")[0], 0)
    text = talk(d.socket, b'{"method":"org.varlink.service.GetInterfaceDescription",'
                b'"parameters":{"interface":"io.chatd.Control"}}\0')[0]["parameters"]["description"]
    text = re.sub(r"#.*", "", text)
    types = dict(re.findall(r"type (\w+) \(([^)]*)\)", text))
    types.update(("reply of " + m, r) for m, r in re.findall(r"method (\w+)\([^)]*\) -> \(([^)]*)\)", text))
    plain = {"int": int, "float": float, "string": str, "bool": bool}

    def compare(value, kind, where):
        if kind.startswith("?"):
            return value is None or compare(value, kind[1:], where)
        if kind.startswith("[]"):
            check(type(value) is list, where, value)
            for v in value:
                compare(v, kind[2:], where)
        elif kind in plain:
            check(type(value) is plain[kind], where, "is", repr(value), "instead of", kind)
        else:
            members = dict(re.findall(r"(\w+): ([?\[\]\w]+)", types[kind]))
            check(set(value) <= set(members), where, "has", set(value) - set(members))
            for m in members:
                compare(value.get(m), members[m], where + "." + m)

    for method, parameters in [("Status", {}), ("Metrics", {})] + [("List", {"what": w}) for w in ("clients", "rooms", "listeners", "bans")]:
        request = {"method": "io.chatd.Control." + method, "parameters": parameters}
        reply = talk(d.socket, json.dumps(request).encode() + b"\0")[0]["parameters"]
        check(all(reply.values()), reply)
        compare(reply, "reply of " + method, method)
    for method, parameters in ("Tail", {"room": "lobby"}), ("Watch", {}):
        request = {"method": "io.chatd.Control." + method, "parameters": parameters, "more": True}
        compare(talk(d.socket, json.dumps(request).encode() + b"\0", 1)[0]["parameters"], "reply of " + method, method)
    a.close()


@test
def calls_in_a_row_are_all_answered():
    """However much there is to answer, and whether the caller reads meanwhile or not; and in their order."""
    d = Daemon()
    ask = b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.chatd.Control"}}\0'
    status, tail = b'{"method":"io.chatd.Control.Status"}\0', \
        b'{"method":"io.chatd.Control.Tail","parameters":{"room":"lobby","lines":3},"more":true}\0'
    n = 140
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(d.socket)
    s.sendall(ask * n + status)
    got = b""
    while got.count(b"\0") < n + 1:
        part = s.recv(65536)
        check(part, "closed after", got.count(b"\0"), "answers")
        got += part
    check(len(got) > 300000, len(got))
    equal(json.loads(got.split(b"\0")[n])["parameters"]["pid"], d.pid)
    s.close()
    # Whoever hangs up has been heard.
    s = socket.socket(socket.AF_UNIX)
    s.connect(d.socket)
    s.sendall(b"".join(b'{"method":"io.chatd.Control.Send","parameters":{"room":"lobby","text":"%d"}}\0' % i for i in range(20)))
    s.close()
    wait_for(lambda: "admin: 19\n" in d.ctl("tail", "lobby")[1], what="what was sent")
    # Who says at once that there are no more calls gets all answers as well.
    equal(len(talk(d.socket, ask * n, 20)), n)
    for text in ("one", "two", "three"):
        equal(d.ctl("send", "lobby", text)[0], 0)
    replies = [r["parameters"] for r in talk(d.socket, status + tail + status, 20)]
    equal([sorted(r)[0] for r in replies], ["clients", "messages", "clients"])
    equal([m["text"] for m in replies[1]["messages"]], ["one", "two", "three"])


@test
def garbage_on_the_control_socket():
    d = Daemon()
    talk(d.socket, b"GET / HTTP/1.0\r\n\r\n\0", 1)
    talk(d.socket, b"[]\0", 1)
    talk(d.socket, b"\0" * 1000, 1)
    talk(d.socket, b"{" * 1000 + b"\0", 1)
    # Half a request, and waiting.
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(d.socket)
    waiting.sendall(b'{"method":')
    # Too long a request is cut off.
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(d.socket)
    try:
        for _ in range(100):
            s.sendall(b"x" * 65536)
        raise Failure("it takes everything")
    except (BrokenPipeError, ConnectionResetError):
        pass
    equal(d.ctl("ping")[0], 0)
    waiting.close()
    many = []
    for _ in range(100):
        k = socket.socket(socket.AF_UNIX)
        k.connect(d.socket)
        many.append(k)
    for k in many:
        k.close()
    wait_for(lambda: d.ctl("ping")[0] == 0, what="the control socket")


@test
def the_socket_is_protected():
    d = Daemon()
    mode = os.stat(d.socket).st_mode
    check(stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660, oct(mode))
    path = d.socket
    d.stop()
    check(not os.path.exists(path))
    # A leftover of a crash makes way; a living daemon's socket doesn't.
    d.start()
    d.kill()
    check(os.path.exists(path))
    d.start()
    other = Daemon(start=False)
    other.socket = d.socket
    other.write_config()
    other.spawn()
    check(other.wait() != 0)
    logged(other, "Address already in use")
    equal(d.ctl("ping")[0], 0)


LISTENER = '{ name = "%s"; type = "tcp"; mode = "%s"; listen = "127.0.0.1:%d"; }'


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return False
    except ConnectionRefusedError:
        return True


@test
def reload_adds_and_removes_listeners():
    d = Daemon()
    a = d.join(nick="alice")
    e = d.connect(port=d.echo_port)
    new = free_port()
    chat = LISTENER % ("chat", "chat", d.port)
    chat = chat.replace("127.0.0.1", "[::]")
    d.write_config(listeners=chat + "," + LISTENER % ("extra", "chat", new), extra='max_message = 50;')
    equal(d.ctl("reload"), (0, "", ""))
    b = d.join(port=new, nick="bob")
    a.expect("is now bob\n")
    b.send("y" * 51 + "\n")
    b.expect("* That message was longer than 50 bytes")
    check(refused(d.echo_port))
    e.send("still echoed\n")
    e.expect("still echoed\n")
    equal(sorted(l["name"] for l in d.json("list", "listeners")), ["chat", "extra"])
    # Another name at the same address, and a room of its own.
    d.write_config(rooms='{ name = "den"; history = 0; }', listeners='{ name = "other"; type = "tcp"; mode = "chat"; '
                   'listen = "[::]:%d"; room = "den"; }' % d.port)
    d.signal(signal.SIGHUP)
    wait_for(lambda: [l["name"] for l in d.json("list", "listeners")] == ["other"])
    d.connect().expect("You are in den;")
    a.send("alice is still here\n")
    b.expect("alice: alice is still here\n")
    check(refused(new))
    equal(d.log().count(" closed"), 0)


@test
def reload_changes_limits_and_log_level():
    d = Daemon()
    a = d.join(nick="alice")
    d.write_config(extra='limits: { max_clients = 1; };')
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write(text.replace('log_level = "debug"', 'log_level = "error"'))
    equal(d.ctl("reload"), (0, "", ""))
    equal(d.connect().rest(), b"* Sorry: the server is full.\n")
    check("refused" not in d.log().split("is in use")[-1])
    a.send("x\n")
    a.expect("alice: x\n")


@test
def a_bad_file_changes_nothing():
    d = Daemon()
    a = d.join(nick="alice")
    with open(d.config) as f:
        good = f.read()
    with open(d.config, "w") as f:
        f.write(good + "\nworkerz = 1;\nslow = \"never\";\n")
    line = good.count("\n") + 2
    code, out, err = d.ctl("reload")
    equal(code, 1)
    for what in ("%s:%d: " % (d.config, line), "workerz", "%s:%d: slow must be" % (d.config, line + 1)):
        check(what in err, err)
        logged(d, what)
    logged(d, "nothing has changed")
    # A listener whose address is taken: nothing of the new configuration is used.
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    d.write_config(listeners=LISTENER % ("a", "echo", taken.getsockname()[1]) + "," + LISTENER % ("b", "chat", free_port()))
    code, out, err = d.ctl("reload")
    equal(code, 1)
    check("Address already in use" in err, err)
    equal(sorted(l["name"] for l in d.json("list", "listeners")), ["chat", "echo"])
    a.send("fine\n")
    a.expect("alice: fine\n")
    d.join(host="::1")
    with open(d.config, "w") as f:
        f.write(good)
    equal(d.ctl("reload")[0], 0)


@test
def reloads_under_load_drop_nobody():
    d = Daemon(workers=3)
    clients = [d.join() for _ in range(30)]
    for i in range(20):
        d.write_config(extra="max_message = %d;" % (1000 + i))
        equal(d.ctl("reload")[0], 0)
        clients[i].send("round %d\n" % i)
        for c in clients:
            c.expect(re.compile(rb"guest\d+: round %d\n" % i))
    equal(d.json("status")["clients"], 30)


@test
def a_start_with_mistakes():
    d = Daemon(start=False, store=True)
    with open(d.config, "a") as f:
        f.write("\nmistake = 1;\n")
    equal(run(CHATD, "-c", d.config).returncode, os.EX_CONFIG)
    with open(d.config, "w") as f:
        f.write("listeners = ( ;")
    equal(run(CHATD, "-c", d.config).returncode, os.EX_CONFIG)
    # Where connections wait it is to be tried again: those of a process that became this one by exec ...
    script = "CHATD_HANDOVER=$$:3=x exec '%s' -c '%s' 3</dev/null" % (CHATD, d.config)
    equal(run("sh", "-c", script).returncode, 1)
    # ... and those from the service manager, with a pause that is the service's own.
    d.passed = [(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), "x")]
    started = time.monotonic()
    d.spawn()
    equal(os.waitstatus_to_exitcode(d.wait()), 1)
    check(time.monotonic() - started >= 1)
    d.drain_notify()
    check("can't start" in d.status_text)


@test
def a_port_in_use_makes_no_hot_loop():
    """Under a service manager, which starts chatd again at once, a start that failed takes a second."""
    d = Daemon(store=True, start=False)
    taken = socket.socket(socket.AF_INET6)
    taken.bind(("::", d.port))
    taken.listen()
    for _ in range(3):
        started = time.monotonic()
        d.spawn()
        d.wait()
        took = time.monotonic() - started
        check(took >= 0.9, "it took", took, "s")
        equal(os.WEXITSTATUS(d.status), 1)
    # A stop need not wait for that.
    d.spawn()
    wait_for(lambda: "can't start" in d.status_text, what="the failure")
    d.signal(signal.SIGTERM)
    d.wait()
    logged(d, "Address already in use")
    taken.close()


# Where the package isn't installed.
NO_USER = "chatd: warning: there is no user chatd; checked as root\n"


@test
def checking():
    d = Daemon()
    equal(run(CHATD, "--check", d.config).returncode, 0)
    code, out, err = d.ctl("check", d.config)
    equal((code, out, err.replace(NO_USER, "")), (0, "", ""))
    equal(run(CHATD, "--check", os.path.join(SOURCE, "etc", "chatd.conf")).returncode, 0)
    with open(d.config, "a") as f:
        f.write("\nlisteners2 = 1;\nmax_message = \"big\";\n")
    p = run(CHATD, "--check", d.config)
    equal(p.returncode, 1)
    check(re.fullmatch(rb"\S+chatd.conf:\d+: .*listeners2.*\n\S+chatd.conf:\d+: max_message .*\n", p.stderr.replace(NO_USER.encode(), b"")), p.stderr)
    equal(d.ctl("check", d.config), (1, "", p.stderr.decode()))
    equal(run(CHATD, "--check", "/nonexistent").returncode, 1)
    equal(run(CHATD, "--frobnicate").returncode, 2)
    equal(run(CHATD, "surprise").returncode, 2)
    equal(run(CHATD, "--help").returncode, 0)
    check(run(CHATD, "--version").stdout.startswith(b"chatd "))


def checked(d, text=None, env=None):
    """What `chatd --check` says of a configuration, or of d's; its lines without the file's name."""
    if text is not None:
        with open(d.config, "w") as f:
            f.write(text)
    p = subprocess.run([CHATD, "--check", d.config], capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    err = p.stderr.replace(NO_USER, "")
    for line in err.splitlines():
        check(line.startswith((d.config + ":", "/")), line)
        check(":0:" not in line, line)
    return p.returncode, err.replace(d.config + ":", "")


@test
def checking_judges_addresses_as_the_kernel_does():
    d = Daemon(start=False)
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    hosts = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]")

    def bound(kind, host, port):
        s = socket.socket(socket.AF_INET6 if "[" in host else socket.AF_INET, kinds[kind])
        if kind == "tcp":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if s.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind((host.strip("[]"), port))
        if kind == "tcp":
            s.listen()
        return s

    for one in [("tcp", h) for h in hosts] + [("udp", "[::]"), ("udp", "127.0.0.1")]:
        for two in [("tcp", h) for h in hosts] + [("udp", "127.0.0.1"), ("udp", "[::ffff:127.0.0.1]")]:
            port = free_port(kinds[one[0]])
            with bound(*one, port):
                try:
                    bound(*two, port).close()
                    possible = True
                except OSError:
                    possible = False
            text = "listeners = ( %s,\n %s );" % tuple(
                '{ name = "%s"; type = "%s"; mode = "echo"; listen = "%s:%d"; }' % (name, kind, host, port)
                for name, (kind, host) in (("a", one), ("b", two)))
            code, err = checked(d, text)
            equal((one, two, code == 0), (one, two, possible))
            check(possible or err.startswith("2: "), err)


def bound_socket(host, port=0, kind=socket.SOCK_STREAM, only=0):
    """As systemd makes one for a unit."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if s.family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    s.bind((host, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


@test
def what_systemd_bound_is_told_and_not_what_the_configuration_says():
    d = Daemon(start=False)
    udp, echo = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    sockets = {"chat": bound_socket("127.0.0.1"), "udp": bound_socket("::", kind=socket.SOCK_DGRAM),
               "udp2": bound_socket("127.0.0.1", kind=socket.SOCK_DGRAM),
               "same": bound_socket("::"), "six": bound_socket("::", only=1), "relay.pull": bound_socket("127.0.0.1")}
    path = os.path.join(d.dir, "pub")
    sockets["relay.pub"] = socket.socket(socket.AF_UNIX)
    sockets["relay.pub"].bind(path)
    sockets["relay.pub"].listen()
    at = {name: "%s:%d" % ("[::]" if s.getsockname()[0] == "::" else "127.0.0.1", s.getsockname()[1])
          for name, s in sockets.items() if name != "relay.pub"}
    listeners = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "same"; type = "tcp"; mode = "echo"; listen = "%s"; },
      { name = "six"; type = "tcp"; mode = "echo"; listen = "%s"; },
      { name = "udp"; type = "udp"; mode = "echo"; listen = "127.0.0.1:%d"; },
      { name = "udp2"; type = "udp"; mode = "echo"; listen = "127.0.0.1:%d"; },
      { name = "own"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; },
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:9"; pub = "ipc://%s/other"; }
      """ % (d.port, at["same"], at["six"], udp, echo, d.echo_port, d.dir)
    d.passed = [(os.dup(s.fileno()), name) for name, s in sockets.items()]
    d.write_config(listeners=listeners)
    d.start()
    expected = dict(at, own="127.0.0.1:%d" % d.echo_port, relay="pull tcp://%s pub ipc://%s" % (at["relay.pull"], path))
    del expected["relay.pull"]
    for _ in range(2):
        equal({l["name"]: l["address"] for l in d.json("list", "listeners")}, expected)
        # A reload that keeps them knows it still.
        d.write_config(listeners=listeners, extra="max_message = 1000;")
        equal(d.ctl("reload"), (0, "", ""))
    log = d.log()
    for name, place in expected.items():
        check(re.search(r"^<6>listener %s: \w+ \w+ on %s\b" % (name, re.escape(place)), log, re.M), name, log)
    warned = re.findall(r"^<4>listener (\S+): the socket from systemd (?:is )?at (\S+)(, which counts; the configuration says "
                        r"\S+| takes no IPv4 \(BindIPv6Only=\))$", log, re.M)
    says = ", which counts; the configuration says "
    equal(sorted(warned), sorted([
        ("chat", at["chat"], says + "[::]:%d" % d.port), ("udp", at["udp"], says + "127.0.0.1:%d" % udp),
        ("udp2", at["udp2"], says + "127.0.0.1:%d" % echo), ("six", at["six"], " takes no IPv4 (BindIPv6Only=)"),
        ("relay", "tcp://" + at["relay.pull"], says + "tcp://127.0.0.1:9"),
        ("relay", "ipc://" + path, says + "ipc://%s/other" % d.dir)]))
    d.join(port=sockets["chat"].getsockname()[1])
    # Answers come from the address that was asked, as the socket is at all of them.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(PATIENCE)
        u.sendto(b"x", ("127.0.0.2", sockets["udp"].getsockname()[1]))
        equal(u.recvfrom(10), (b"x", ("127.0.0.2", sockets["udp"].getsockname()[1])))
    # And none goes to a port of another listener of ours, which would be made to answer it.
    ignored = d.metric("datagrams_ignored_total")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        u.bind(("127.0.0.3", sockets["udp2"].getsockname()[1]))
        u.sendto(b"x", ("127.0.0.1", sockets["udp"].getsockname()[1]))
        wait_for(lambda: d.metric("datagrams_ignored_total") > ignored, what="the datagram")
    for s in sockets.values():
        s.close()


@test
def a_unit_with_two_sockets_gives_each_to_its_listener():
    d = Daemon(start=False)
    six, four = bound_socket("::1"), bound_socket("127.0.0.1")
    d.passed = [(os.dup(s.fileno()), "chat") for s in (six, four)]
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; },
      { name = "chat6"; type = "tcp"; mode = "chat"; listen = "[::1]:%d"; }
      """ % (four.getsockname()[1], six.getsockname()[1]))
    d.start()
    equal({l["name"]: (l["address"], l["socket"]) for l in d.json("list", "listeners")},
          {"chat": ("127.0.0.1:%d" % four.getsockname()[1], "systemd"),
           "chat6": ("[::1]:%d" % six.getsockname()[1], "systemd")})
    check("which counts" not in d.log(), d.log())
    six.close()
    four.close()


@test
def a_reload_that_can_not_bind_names_the_line():
    d = Daemon()
    d.join(nick="alice")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        d.write_config(listeners=LISTENER % ("chat", "chat", d.port) + ",\n" + LISTENER % ("more", "chat", port))
        with open(d.config) as f:
            line = [i for i, l in enumerate(f, 1) if '"more"' in l][0]
        code, _, err = d.ctl("reload")
        equal(code, 1)
        check("%s:%d: listener more: 127.0.0.1:%d: Address already in use\n" % (d.config, line, port) in err, err)
        d.write_config(extra='\nmetrics: { listen = "127.0.0.1:%d"; };' % port)
        with open(d.config) as f:
            line = [i for i, l in enumerate(f, 1) if "metrics" in l][0]
        code, _, err = d.ctl("reload")
        equal(code, 1)
        check("%s:%d: metrics: 127.0.0.1:%d: Address already in use\n" % (d.config, line, port) in err, err)


@test
def reload_moves_listeners_to_all_addresses_and_back():
    """An address of the same port can't be bound beside the old one, so that nobody could open a listener to all."""
    d = Daemon(start=False)
    udp = free_port(socket.SOCK_DGRAM)

    def move(host):
        d.write_config(listeners="""
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "%s:%d"; },
          { name = "udp"; type = "udp"; mode = "echo"; listen = "%s:%d"; },
          { name = "answers"; type = "zmq"; mode = "reply"; listen = "tcp://%s:%d"; }""" % (
              host, d.port, host, udp, host, d.echo_port))

    move("127.0.0.1")
    d.start()
    a = d.join(nick="alice")
    for host in ("[::]", "127.0.0.1", "0.0.0.0", "[::]", "[::1]", "[::]"):
        move(host)
        equal(d.ctl("reload"), (0, "", ""))
        target = "::1" if host == "[::1]" else "127.0.0.1"
        d.join(host=target).close()
        with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as u:
            u.settimeout(PATIENCE)
            u.sendto(b"back?", (target, udp))
            equal(u.recv(100), b"back?")
        a.send("still %s\n" % host)
        a.expect("alice: still %s\n" % host)
        equal({l["address"].replace("tcp://", "") for l in d.json("list", "listeners")},
              {"%s:%d" % (host, p) for p in (d.port, udp, d.echo_port)})
    # Once they are there, another chatd can't have the address.
    other = Daemon(start=False)
    other.port = d.port
    other.write_config()
    other.spawn()
    check(other.wait() != 0 and "Address already in use" in other.log(), other.log())


@test
def checking_leaves_credentials_to_the_service():
    d = Daemon(start=False)
    text = """
listeners = ( { name = "a"; type = "tcp"; mode = "chat"; listen = "[::]:1"; room = "lobby"; auth = "password";
  password_file = "credential:passwords"; tls_certificate = "credential:cert"; tls_key = "credential:key"; } );
rooms = ( { name = "lobby"; members = ( "alice" ); } );
"""
    code, err = checked(d, text)
    equal(code, 0)
    for name in ("password_file: credential:passwords", "tls_certificate: credential:cert", "tls_key: credential:key"):
        check("3: warning: %s is only there in the service, and isn't looked at here\n" % name in err, err)
    check("alice" not in err, err)
    # There they are looked at.
    code, err = checked(d, env={"CREDENTIALS_DIRECTORY": d.dir})
    equal(code, 1)
    for expected in ("%s/passwords: can't be read: No such file" % d.dir, "the certificate in %s/cert can't be used" % d.dir):
        check(expected in err, expected, "is missing in", err)
    p = run(CHATD, "-c", d.config)
    equal(p.returncode, os.EX_CONFIG)
    check(b"there are no credentials" in p.stderr, p.stderr)


@test
def checking_warns_of_what_is_not_there():
    d = Daemon(start=False)
    passwords = os.path.join(d.dir, "passwords")
    add_account(passwords, "alice", "x")
    os.chmod(d.dir, 0o755)
    os.chmod(passwords, 0o644)
    empty = os.path.join(d.dir, "empty")
    open(empty, "w").close()
    code, err = checked(d, """rooms = ( { name = "board"; members = ( "Alice",
  "bob" ); } );
listeners = (
  { name = "a"; type = "tcp"; mode = "chat"; listen = "[::]:1"; auth = "password"; password_file = "%s"; room = "board"; },
  { name = "b"; type = "tcp"; mode = "chat"; listen = "[::]:2"; room = "desk"; },
  { name = "c"; type = "tcp"; mode = "chat"; listen = "[::]:3"; auth = "password"; password_file = "%s"; } );
state_directory = "/nowhere/at/all";
control: { group = "no-such-group"; };
""" % (passwords, empty))
    equal(code, 0)
    # In the order of the file.
    equal(re.sub(r"( as user \S+)", "", err).splitlines(), [
        '2: warning: no password_file has an account "bob"',
        '5: warning: room "desk" is not in rooms; it is made as room_defaults say',
        "6: warning: %s has no accounts, so nobody can log in here" % empty,
        "7: warning: bans can't be kept in /nowhere/at/all: No such file or directory",
        '8: warning: there is no group "no-such-group"'])
    # A file that was cut short, for instance.
    code, err = checked(d, "workers = 1;\n")
    equal((code, re.sub(r"( as user \S+)", "", err)), (0, " warning: there are no listeners, so nobody can connect\n"))


@test
def checking_looks_at_the_control_socket():
    d = Daemon(start=False)
    zmq = 'listeners = ( { name = "z"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:1"; pub = "ipc://%s"; } );\n'
    tcp = 'listeners = ( { name = "a"; type = "tcp"; mode = "echo"; listen = "[::]:1"; } );\n'
    path = os.path.join(d.dir, "sock")
    os.chmod(d.dir, 0o777)
    # A path that is somebody else's, as the configuration says or by default.
    equal(checked(d, zmq % path + '\ncontrol: { socket = "%s"; };' % path),
          (1, '3: control.socket: %s is taken by listener "z"; each needs its own path\n' % path))
    equal(checked(d, zmq % "/run/chatd/control.sock"),
          (1, '1: control.socket: /run/chatd/control.sock is taken by listener "z"; each needs its own path\n'))
    equal(checked(d, zmq % (path + "2") + '\ncontrol: { socket = "%s"; };' % path), (0, ""))
    # A directory that is not there; /run/chatd is made by the service manager.
    code, err = checked(d, tcp + 'control: { socket = "/nowhere/at/all/sock"; };')
    equal((code, re.sub(r" as user \S+:", ":", err)),
          (0, "2: warning: the control socket can't be made in /nowhere/at/all: No such file or directory\n"))
    equal(checked(d, tcp + 'control: { socket = "/run/chatd/control.sock"; };'), (0, ""))
    # An address that this machine hasn't may come later.
    equal(checked(d, 'control: { socket = "%s"; };\nlisteners = ( { name = "a"; type = "tcp"; mode = "echo"; '
                     'listen = "203.0.113.77:1"; } );\nmetrics: { listen = "203.0.113.77:2"; };' % path), (0, ""))


@test
def a_reload_warns_as_checking_does():
    """Where it was asked for as well as in the log; and so does a start."""
    d = Daemon()
    d.write_config(rooms='{ name = "lobby"; },\n { name = "board"; members = ( "bob" ); }', listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "loby"; }""" % d.port)
    warned = [l for l in run(CHATD, "--check", d.config).stderr.decode().splitlines() if l.startswith(d.config)]
    equal(len(warned), 2)
    check('room "loby" is not in rooms' in "".join(warned) and 'no password_file has an account "bob"' in "".join(warned), warned)
    code, out, err = d.ctl("reload")
    equal((code, out, err.splitlines()), (0, "", warned))
    for l in warned:
        logged(d, "<4>" + l, 1)
    equal(d.ctl("reload", "-q"), (0, "", ""))
    for l in warned:
        logged(d, "<4>" + l, 2)
    d.stop()
    d.start()
    for l in warned:
        wait_for(lambda: d.log().count("<4>" + l) in (1, 3), what="a warning at the start")


@test
def checking_as_root_says_so_without_a_user_chatd():
    d = Daemon(start=False)
    d.write_config()
    try:
        pwd.getpwnam("chatd")
        there = True
    except KeyError:
        there = False
    p = run(CHATD, "--check", d.config)
    equal(p.returncode, 0)
    equal(b"chatd: warning: there is no user chatd; checked as root\n" in p.stderr, os.geteuid() == 0 and not there)


@test
def a_tls_key_without_a_key_says_so():
    d = Daemon(start=False)
    key, cert = os.path.join(d.dir, "key"), os.path.join(d.dir, "cert")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", cert, "-subj", "/CN=x", "-x509"], capture_output=True, check=True)
    os.chmod(d.dir, 0o755)
    listener = 'listeners = ( { name = "a"; type = "tcp"; mode = "chat"; listen = "[::]:1"; tls_certificate = "%s"; %s } );\n'
    code, err = checked(d, listener % (cert, 'tls_key = "%s";' % cert))
    check(code == 1 and re.search("1: there is no private key in %s( as user .*)?\n" % cert, err), err)
    code, err = checked(d, listener % (cert, ""))
    check(code == 1 and "1: there is no private key in %s; it needs a tls_key" % cert in err, err)


@test
def checking_names_the_line_and_the_key():
    d = Daemon(start=False)
    equal(checked(d, 'workers = 1;\nstate_directory = "/x;\ncontrol: { group = "x"; };\n'),
          (1, "4: syntax error: is a comma, a semicolon or a bracket missing (or too much) here, or at the end of line 3; "
              "or is the quote in line 2 not closed?\n"))
    equal(checked(d, 'rooms = (\n  { name = "a"; }\n\n  { name = "b"; } );\n'),
          (1, "4: syntax error: is a comma, a semicolon or a bracket missing (or too much) here, or at the end of line 2?\n"))
    equal(checked(d, 'workers = 1;\nlimits: { max_rooms = 1; };\nworkers = 2;\n'),
          (1, "3: workers is set twice; the first is in line 1\n"))
    # In a file that is included, too.
    other = os.path.join(d.dir, "other.conf")
    with open(other, "w") as f:
        f.write("slow = \"skip\";\n\nslow = \"skip\";\n")
    equal(checked(d, '@include "%s"\n' % other), (1, "%s:3: slow is set twice; the first is in line 1\n" % other))
    for text, expected in (("", 0), ('@include "/nowhere"\n', 1), ("}", 1), ("rooms = 1;", 1)):
        equal(checked(d, text)[0], expected)
    for path, why in (("/nowhere/chatd.conf", b"No such file or directory"), ("/", b"Is a directory")):
        equal(run(CHATD, "--check", path).stderr.replace(NO_USER.encode(), b""), path.encode() + b": can't be read: " + why + b"\n")


@test
def nothing_of_clients_reaches_the_log_unescaped():
    d = Daemon()
    c = d.join()
    c.send(b"/nick \033[31mevil\n/join \033]0;x\007\n\033[2J\n/msg \xff\xfe x\n")
    c.expect("* There is nobody by that name here.\n")
    d.ctl("kick", "1", "\033[31mreason")
    d.ctl("send", "lob\nby", "x")
    c.rest()
    with open(d.log_path, "rb") as f:
        log = f.read()
    check(re.fullmatch(rb"[\x20-\x7e\n]*", log), log)


main()
