#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may come in, and how much of it: limits, address lists, bans, accounts, the PROXY protocol."""

import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import shutil
import socket
import ssl
import stat
import struct
import subprocess
import threading
import time

from testing import *


def run(*args):
    subprocess.run(args, check=True, capture_output=True)


LOGIN = b"* Welcome. Please log in: /login NAME PASSWORD\n"


# Whoever runs chatd on this machine otherwise.
AS_ROOT = ["--user", "root"] if os.geteuid() == 0 else []


# --- limits ---


@test
def bytes_per_second():
    """A notice, then a pause, and nothing is lost."""
    d = Daemon(extra="limits: { bytes_per_second = 20000; };")
    a, b = d.join(nick="a"), d.join(nick="b")
    lines = ["%05d %s" % (i, "x" * 490) for i in range(120)]
    started = time.monotonic()
    a.send("".join(l + "\n" for l in lines))
    for l in lines:
        b.expect("a: %s\n" % l)
    took = time.monotonic() - started
    check(0.9 < took < 12, "60 kB at 20 kB a second took", took)
    a.expect("* Not so fast: that is too many bytes a second. Nothing is lost, but it takes a while.\n")
    check(d.metric("rate_pauses_total") > 0)
    logged(d, "is slowed down")


@test
def a_notice_for_too_many_lines():
    d = Daemon(extra="limits: { lines_per_second = 10; };")
    a = d.join(nick="a")
    a.send("".join("line %d\n" % i for i in range(25)))
    text = a.expect("a: line 24\n")
    equal(text.count(b"* Not so fast: that is too many lines a second."), 1)
    for i in range(25):
        check(b"a: line %d\n" % i in text)


@test
def names_and_rooms_are_not_changed_for_ever():
    d = Daemon(extra="limits: { nick_changes_per_minute = 5; joins_per_minute = 5; };")
    a, b = d.join(), d.join()
    a.send("".join("/nick n%d\n" % i for i in range(9)))
    a.expect(re.compile(rb"(?s)is now n4\n.*(\* Not so fast: you have changed your name too often.*\n){4}"))
    b.send("".join("/join r%d\n" % i for i in range(9)))
    b.expect(re.compile(rb"(?s)You are in r4\.\n.*(\* Not so fast: you have changed rooms too often.*\n){4}"))
    equal(d.metric("changes_refused_total"), 8)
    logged(d, "changes its nick or room too often")


@test
def who_asks_much_waits_and_nobody_else():
    d = Daemon(extra="limits: { commands_per_second = 4; };")
    a, b = d.join(), d.join()
    a.send("/who\n" * 3 + "hello\n")  # each costs a second's worth
    a.expect(re.compile(rb"\* 2 in lobby: \S+, \S+\n"))
    a.expect("* Not so fast: that is too many commands a second.")
    b.send("hi\n/me waves\n/who\n")
    b.expect(re.compile(rb"guest2: hi\nguest2 \* waves\n\* 2 in lobby: \S+, \S+\n"))
    # Nothing is lost.
    a.expect(re.compile(rb"(?s)\* 2 in lobby: .*\* 2 in lobby: \S+, \S+\nguest1: hello\n"))
    equal(d.metric("rate_pauses_total"), 2)


@test
def private_messages_arrive_or_come_back():
    d = Daemon()
    a, b, deaf = d.join(nick="alice"), d.join(nick="bob"), d.join(nick="deaf", rcvbuf=4096)
    n, text = 3000, "." * 2000
    a.send("/msg deaf %s\n" % text)  # however long that takes
    for i in range(n):
        a.send("/msg deaf %d %s\n" % (i, text))
    a.send("/msg bob end\n")
    back = len(re.findall(rb"\n\* Your message to deaf could not be delivered", a.expect("* [you -> bob] end\n", 60)))
    b.expect("* [alice -> you] end\n")
    deaf.sock.settimeout(2)
    seen = []
    deaf.send("/msg alice seen\n")
    while b"[you -> alice] seen" not in deaf.buf:
        deaf.receive()
    seen = re.findall(rb"\* \[alice -> you\] (\d+ )?\.+\n", deaf.buf)
    back += len(re.findall(rb"\* Your message to deaf could not be delivered", a.expect("* [deaf -> you] seen\n")))
    equal(len(seen) + back, n + 1)
    equal(d.metric("private_messages_dropped_total"), back)
    check(back > 0, "it was not deaf enough")


@test
def rooms_in_all():
    d = Daemon(extra="limits: { max_rooms = 3; };")
    keep = [d.join(room=r) for r in ("one", "two")]
    c = d.join()
    c.send("/join three\n")
    c.expect("* Room three can't be opened: there are too many rooms.\n")
    equal(d.metric("rooms_full_total"), 1)
    logged(d, "could not open room three")
    keep.pop().close()  # an empty room makes way
    wait_for(lambda: d.json("status")["clients"] == 2)
    c.send("/join three\n")
    c.expect("* You are in three.\n")


@test
def rooms_opened_from_one_address():
    d = Daemon(extra="limits: { max_rooms = 6; max_rooms_per_address = 3; room_linger = 3600; };")

    def visitor(address):
        c = Client(socket.create_connection(("127.0.0.1", d.port), 20, (address, 0)))
        d.clients.append(c)
        c.expect(WELCOME)
        return c

    honest, greedy, other = visitor("127.0.0.1"), visitor("127.0.0.2"), visitor("127.0.0.2")
    honest.send("/join mine\nremember\n/join lobby\n")
    honest.expect(": remember\n* You are in lobby.\n")
    greedy.send("".join("/join r%d\n" % i for i in range(3)))
    greedy.expect("* You are in r2.\n")
    other.send("".join("/join s%d\n" % i for i in range(9)))
    for i in range(9):
        other.expect("* Room s%d can't be opened: you have opened too many.\n" % i)
    other.send("/join r0\n")  # what is there can be entered
    other.expect("* You are in r0.\n")
    honest.send("/join mine\n")
    honest.expect("* You are in mine.\nguest1: remember\n")
    honest.send("/join mine2\n")
    honest.expect("* You are in mine2.\n")
    equal(d.metric("rooms_full_total"), 9)


@test
def a_first_line_in_time():
    d = Daemon(extra="limits: { first_line_timeout = 1.5; };")
    mute, talker = d.join(), d.join(nick="talker")
    check(mute.rest().endswith(b"* You have said nothing yet; goodbye.\n"))
    time.sleep(1)
    talker.send("still here\n")
    talker.expect("talker: still here\n")
    equal(d.metric("clients_mute_closed_total"), 1)


@test
def clients_of_a_listener():
    d = Daemon(start=False)
    other = free_port()
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; max_clients = 2; },
      { name = "more"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; } """ % (d.port, other))
    d.start()
    keep = [d.join(), d.join()]
    equal(d.connect().rest(), b"* Sorry: there are too many connections here.\n")
    d.join(port=other)
    keep.pop().close()
    wait_for(lambda: d.json("status")["clients"] == 2)
    d.join()
    logged(d, "there are too many connections here")


@test
def the_log_is_limited_too():
    d = Daemon(extra="limits: { max_clients = 1; };")
    d.join()
    for _ in range(300):
        d.connect().rest()
    equal(d.metric("clients_refused_total"), 300)
    lines = d.log().count("refused 127.0.0.1")
    check(1 <= lines <= 5, "there are", lines, "lines of 300 refusals")


@test
def address_lists():
    d = Daemon(start=False)
    port, udp = free_port(), free_port(socket.SOCK_DGRAM)
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; deny = ( "127.0.0.0/8" ); },
      { name = "in"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; allow = ( "127.0.0.2", "10.0.0.0/8" ); },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; deny = ( "127.0.0.1" ); }
      """ % (d.port, port, udp))
    d.start()
    equal(d.connect().rest(), b"* Sorry: your address is not allowed here.\n")
    d.join(host="::1")
    equal(d.connect(port=port).rest(), b"* Sorry: your address is not allowed here.\n")
    s = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))
    c = Client(s)
    d.clients.append(c)
    c.expect(WELCOME)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(0.5)
        u.sendto(b"#REG x", ("127.0.0.1", udp))
        try:
            raise Failure("an answer: %r" % u.recv(1000))
        except TimeoutError:
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.bind(("127.0.0.2", 0))
        u.settimeout(PATIENCE)
        u.sendto(b"#REG x", ("127.0.0.1", udp))
        check(u.recv(1000).startswith(b"#OK x "))
    equal(d.metric("not_allowed_total"), 3)


# --- bans ---


@test
def bans():
    d = Daemon(store=True)
    a = d.join(nick="a")
    b = d.join(host="::1", nick="b")
    code, out, _ = d.ctl("ban", "127.0.0.0/8")
    equal((code, out), (0, "127.0.0.0/8 is banned; 1 removed\n"))
    check(a.rest().endswith(b"* You have been banned.\n"))
    equal(d.metric("clients_kicked_total"), 1)
    equal(d.connect().rest(), b"* Sorry: your address is banned.\n")
    b.send("here\n")
    b.expect("b: here\n")
    # What is banned is the network, whichever address of it was named.
    equal(d.ctl("ban", "10.0.0.1/8")[1], "10.0.0.0/8 is banned; 0 removed\n")
    equal(d.ctl("unban", "10.0.0.1/8"), (0, "", ""))
    logged(d, "<5>10.0.0.0/8 unbanned by ")
    equal(d.ctl("ban", "10.1.2.3", "1s")[0], 0)
    equal(d.ctl("ban", "2001:db8::/32", "2h")[0], 0)
    listed = {x["address"]: x.get("until") for x in d.json("list", "bans")}
    equal(sorted(listed), ["10.1.2.3", "127.0.0.0/8", "2001:db8::/32"])
    check(listed["127.0.0.0/8"] is None and 7100 < listed["2001:db8::/32"] - time.time() < 7300)
    check("127.0.0.0/8" in d.ctl("list", "bans")[1])
    # They survive whatever becomes of the process, and end in time.
    d.kill()
    d.start()
    equal(d.connect().rest(), b"* Sorry: your address is banned.\n")
    wait_for(lambda: len(d.json("list", "bans")) == 2)
    d.stop()
    d.start()
    equal(d.connect().rest(), b"* Sorry: your address is banned.\n")
    equal(d.ctl("unban", "127.0.0.0/8")[0], 0)
    d.join()
    code, _, err = d.ctl("unban", "127.0.0.0/8")
    equal((code, err), (1, "chatctl: 127.0.0.0/8 is not banned\n"))
    for wrong in (["ban", "nonsense"], ["ban", "1.2.3.4", "soon"], ["ban"], ["unban"]):
        check(d.ctl(*wrong)[0] in (1, 2), wrong)
    check(d.metric("banned_total") >= 1)


@test
def bans_of_udp_members():
    d = Daemon(start=False)
    udp = free_port(socket.SOCK_DGRAM)
    d.write_config(listeners='{ name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; }' % udp)
    d.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(PATIENCE)
        u.sendto(b"#REG x", ("127.0.0.1", udp))
        check(u.recv(1000).startswith(b"#OK x "))
        equal(d.ctl("ban", "127.0.0.1")[1], "127.0.0.1 is banned; 1 removed\n")
        heard = b""  # with its own joining, if there was time for that
        while b"#BYE" not in heard:
            heard += u.recv(1000)
        check(b"banned" in heard, heard)
        u.sendto(b"#REG x", ("127.0.0.1", udp))
        u.settimeout(0.5)
        try:
            raise Failure("an answer: %r" % u.recv(1000))
        except TimeoutError:
            pass


@test
def limits_of_bans_and_damaged_files():
    d = Daemon(start=False)
    with open(os.path.join(d.dir, "bans"), "w") as f:
        f.write("10.0.0.1 0\nnonsense\n10.0.0.2 12x\n10.0.0.3\n\n10.0.0.4 99999999999999999999\n10.0.0.5 1\n")
    d.write_config(extra="limits: { max_bans = 3; max_clients_per_address = 0; };")
    d.start()
    equal(sorted(x["address"] for x in d.json("list", "bans")), ["10.0.0.1", "10.0.0.3"])
    logged(d, "this isn't a ban; it is left out", 3)
    equal(d.ctl("ban", "10.0.0.6")[0], 0)
    equal(d.ctl("ban", "10.0.0.7")[2], "chatctl: there are too many bans (limits.max_bans)\n")


@test
def leftovers_keep_no_ban_from_being_saved():
    d = Daemon(start=False)
    os.mkdir(os.path.join(d.dir, "bans.new"))
    d.start()
    equal(d.ctl("ban", "10.0.0.1")[0], 0)
    d.stop()
    d.start()
    equal([x["address"] for x in d.json("list", "bans")], ["10.0.0.1"])


@test
def bans_on_a_full_disk():
    """And where nothing may be written at all: the ban holds, and the admin is told."""
    d = Daemon(start=False)
    for options in ("size=4k,nr_inodes=2", "ro"):
        where = os.path.join(d.dir, options[:2])
        os.mkdir(where)
        try:
            run("mount", "-t", "tmpfs", "-o", options, "none", where)
        except subprocess.CalledProcessError:
            raise Skip("a file system can't be mounted here") from None
        try:
            if options != "ro":
                with open(os.path.join(where, "full"), "w") as f:
                    f.write("x" * 4096)
            d.write_config(extra='state_directory = "%s";' % where)
            d.start()
            code, out, err = d.ctl("ban", "127.0.0.1")
            equal(code, 1)
            check("is banned; 0 removed" in out and "could not be saved" in err, out, err)
            equal(d.connect().rest(), b"* Sorry: your address is banned.\n")
            d.join(host="::1")
            logged(d, "the bans can't be saved")
            equal(d.ctl("unban", "127.0.0.1")[0], 1)
            d.join()
            d.stop()
        finally:
            run("umount", where)


# --- accounts ---


def with_accounts(rooms="", auth="password", more="", **kwargs):
    d = Daemon(start=False, **kwargs)
    d.passwords = os.path.join(d.dir, "passwords")
    add_account(d.passwords, "alice", "wonder land")
    add_account(d.passwords, "Bob", "b")
    d.guests = free_port()
    d.rooms = rooms or '{ name = "lobby"; }'
    d.doors = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "%s"; password_file = "%s"; %s },
      { name = "guests"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "hall"; }""" % (
        d.port, auth, d.passwords, more, d.guests)
    d.write_config(rooms=d.rooms, listeners=d.doors)
    d.start()
    return d


def login(d, nick, password, room="lobby", **kwargs):
    c = d.connect(**kwargs)
    c.expect(LOGIN)
    c.send("/login %s %s\n" % (nick, password))
    c.expect("* You are in %s; /help lists the commands.\n" % room)
    return c


@test
def logins():
    d = with_accounts()
    equal(stat.S_IMODE(os.stat(d.passwords).st_mode), 0o640)
    c = d.connect()
    equal(c.expect(LOGIN), LOGIN)
    c.send("hello\n/who\n/join x\n/nick x\n")
    for _ in range(4):
        c.expect("* Please log in first: /login NAME PASSWORD\n")
    c.send("/login\n/login alice\n/login alice wrong\n/login nobody wrong\n")
    c.expect("* Usage: /login NAME PASSWORD\n* Usage: /login")
    c.expect("* Wrong name or password.\n* Wrong name or password.\n")
    # The lines behind a login wait for it.
    c.send("/login ALICE wonder land\nhello there\n")
    c.expect("* You are now alice.\n* You are in lobby; /help lists the commands.\n")
    c.expect("alice: hello there\n")
    c.send("/nick somebody\n")
    c.expect("* You are logged in as alice, so that is your name.\n")
    c.send("/login bob b\n")
    c.expect("* You are logged in already.\n")
    second = d.connect()
    second.send("/login alice wonder land\n")
    second.expect("* alice is here already.\n")
    equal((d.metric("logins_total"), d.metric("logins_failed_total")), (1, 2))
    logged(d, "logged in as alice")
    logged(d, "wrong name or password")
    check("wonder land" not in d.log())


@test
def three_wrong_passwords_are_enough():
    d = with_accounts()
    c = d.connect()
    c.send("/login alice 1\n/login alice 2\n/login alice 3\n/login alice wonder land\n")
    text = c.rest()
    equal(text.count(b"Wrong name"), 3)
    check(b"You are in" not in text)


def found_by_fail2ban(path, mode="normal"):
    """The addresses that the filter in docs finds in a log."""
    p = subprocess.run(["fail2ban-regex", "-o", "<ip>", path,
                        "%s/docs/fail2ban/chatd.conf[mode=%s]" % (os.path.abspath(SOURCE), mode)],
                       capture_output=True, text=True)
    equal((p.returncode in (0, 1), p.stderr), (True, ""))
    return p.stdout.split()


@test
def fail2ban_finds_who_fails_and_nobody_else():
    need("fail2ban-regex")
    d = with_accounts(more='proxies = ( "127.0.0.1" );')
    found = []
    for address in ("192.0.2.7", "2001:db8::5", "192.0.2.8"):
        for _ in range(2):  # each of them has its line, however fast they come
            c = d.connect()
            c.send(v2(address, 4711) + b"/login alice nothing\n/login 203.0.113.1 x\n/login <4>client 17 from 203.0.113.2 "
                   b"port 1: wrong name or password (x)\n/login alice x\n")
            lines = c.rest().count(b"* Wrong name or password.\n")
            check(lines == 3, lines)
            found += [address] * lines
    # Who may come, and says what looks like it.
    guest = d.join(port=d.guests, nick="<4>chatd")
    guest.send("client 17 from 203.0.113.3 port 1: wrong name or password (alice)\n")
    guest.expect("wrong name")
    guest.send("/nick <4>client\n/nick client\n/join client\n/nick 203.0.113.4\n")
    guest.expect("203.0.113.4")
    c = d.connect()
    c.send(v2("192.0.2.1", 1) + b"/login alice wonder land\n")
    c.expect("You are in")
    logged(d, re.compile(r"^<4>client \d+ from 192\.0\.2\.7 port 4711: wrong name or password \(alice\)$", re.M))
    logged(d, re.compile(r"^<6>client \d+ from 192\.0\.2\.1 port 1 logged in as alice$", re.M))
    equal(found_by_fail2ban(d.log_path), found)
    # As syslog writes it, and what comes from other programs.
    path = os.path.join(d.dir, "syslog")
    with open(path, "w") as f:
        for line in d.log().splitlines():
            f.write("Nov 26 11:44:19 host chatd[12]: %s\n" % line[3:])
            f.write("Nov 26 11:44:20 host other[12]: %s\n" % line[3:])
    equal(found_by_fail2ban(path), found)


@test
def fail2ban_finds_who_is_refused_but_no_proxy():
    need("fail2ban-regex", "fail2ban-client")
    d = Daemon(start=False)
    cert, key = tls_files(d.dir)
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; proxies = ( "127.0.0.2" ); deny = ( "127.0.0.1" ); },
      { name = "tls"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; proxies = ( "127.0.0.1" );
        tls_certificate = "%s"; tls_key = "%s"; }""" % (d.port, d.echo_port, cert, key))
    d.start()
    d.connect().rest()
    with socket.create_connection(("127.0.0.1", d.port), source_address=("127.0.0.2", 0)) as s:
        s.sendall(b"no header\n")
        wait_for(lambda: "listener chat: proxy 127.0.0.2 port " in d.log(), what="its line in the log")
    c = d.connect(port=d.echo_port)
    c.send(v2("2001:db8::5", 99) + b"no TLS\n")
    wait_for(lambda: "listener tls: refused 2001:db8::5 port 99: " in d.log(), what="its line in the log")
    equal(found_by_fail2ban(d.log_path), [])
    equal(found_by_fail2ban(d.log_path, "aggressive"), ["127.0.0.1", "2001:db8::5"])
    # The jail and the action are what fail2ban takes.
    conf = os.path.join(d.dir, "fail2ban")
    shutil.copytree("/etc/fail2ban", conf)
    for name, to in (("chatd.conf", "filter.d"), ("jail.conf", "jail.d"), ("action.conf", "action.d")):
        shutil.copy(os.path.join(SOURCE, "docs/fail2ban", name), os.path.join(conf, to, "chatd.conf"))
    p = subprocess.run(["fail2ban-client", "-c", conf, "--dp"], capture_output=True, text=True)
    check(p.returncode == 0, p.stdout, p.stderr)
    for expected in ("chatctl ban <ip>", "chatctl unban <ip>", "_SYSTEMD_UNIT=chatd.service", "name or password"):
        check(expected in p.stdout, expected, p.stdout)


@test
def a_login_takes_not_for_ever():
    d = with_accounts()
    d.write_config(rooms=d.rooms, listeners=d.doors, extra="limits: { login_timeout = 1.5; };")
    equal(d.ctl("reload")[0], 0)
    check(d.connect().rest().endswith(b"* You have not logged in in time.\n"))


@test
def a_reset_while_a_password_is_checked_loses_nothing():
    d = with_accounts()
    guest = d.join(port=d.guests, room="lobby")
    a = d.connect()
    a.expect(LOGIN)
    a.send("/login alice wonder land\none\ntwo\n")
    a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    guest.expect("* alice joined lobby\nalice: one\nalice: two\n* alice left lobby\n")


@test
def names_belong_to_accounts():
    d = with_accounts(auth="none")
    g = d.join(port=d.guests, nick="guest-of-honour")
    g.send("/nick alice\n/nick BOB\n")
    g.expect("* alice is reserved.\n* BOB is reserved.\n")
    g.send("/login alice wonder land\n")
    g.expect("* There are no accounts here.\n")
    # Where a login is possible but not necessary, one gets the name by it.
    c = d.join()
    other = d.join(nick="other")
    c.send("/nick alice\n/login alice wonder land\n")
    c.expect("* alice is reserved.\n")
    c.expect("is now alice\n")
    other.expect("is now alice\n")
    c.send("hello\n")
    other.expect("alice: hello\n")
    # A new account takes effect with a reload, an old one ends with it.
    add_account(d.passwords, "carol", "c")
    equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "Bob"]).returncode, 0)
    equal(d.ctl("reload")[0], 0)
    g.send("/nick carol\n/nick bob\n")
    g.expect("* carol is reserved.\n")
    g.expect("is now bob\n")
    equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "nobody"], capture_output=True).returncode, 1)


@test
def a_login_is_no_new_name_of_nobody():
    d = with_accounts()
    c = d.connect()
    c.expect(LOGIN)
    c.send("/login alice wonder land\n")
    c.expect("* You are now alice.\n")
    logged(d, re.compile(r"^<7>client \d+ is now alice$", re.M))


@test
def who_had_a_name_before_its_account_came_gives_it_back():
    """At a reload as well as at a restart, over TCP and UDP, by name and by look; the owner can log in then."""
    d = with_accounts(auth="none", store=True)
    udp = free_port(socket.SOCK_DGRAM)
    d.write_config(rooms='{ name = "hall"; }', listeners=d.doors + """,
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "hall"; }""" % udp)
    equal(d.ctl("reload")[0], 0)
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.connect(("127.0.0.1", udp))
    device.settimeout(PATIENCE)

    def device_hears(pattern):
        while not re.fullmatch(pattern, device.recv(1000)):
            pass

    for name, again in (("carol", lambda: equal(d.ctl("reload")[0], 0)), ("frank", lambda: (d.kill(), d.start()))):
        squatters = [d.join(port=d.guests, nick=n) for n in (name, "d\u0430ve-" + name)]
        witness = d.join(port=d.guests, nick="witness-of-" + name)
        device.send(b"#REG erin-%s" % name.encode())
        device_hears(b"#OK erin-%s 300\n" % name.encode())
        for n in (name, "dave-" + name, "erin-" + name):
            add_account(d.passwords, n, "p")
        again()
        for c, n in zip(squatters, (name, "d\u0430ve-" + name)):
            c.expect(re.compile(rb"\* %b is reserved now; you are guest\d+\.\n" % n.encode()))
        witness.expect(re.compile(rb"(\* (%b|d\xd0\xb0ve-%b|erin-%b) is now guest\d+\n){3}" % ((name.encode(),) * 3)))
        device_hears(rb"#OK guest\d+ 300\n")
        owner = d.join()
        owner.send("/login %s p\n" % name)
        owner.expect("is now %s\n" % name)
        # Who is logged in keeps it.
        again()
        owner.send("it is me\n")
        text = owner.expect("%s: it is me\n" % name)
        check(b"account" not in text and b"is now" not in text, text)
        squatters[0].send("/nick %s\n/who\n" % name)
        squatters[0].expect("* %s is reserved.\n" % name)
    device.close()


@test
def names_of_members_are_reserved_also_where_nobody_can_log_in():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "board"; members = ( "zoe", "\u0130pek" ); }')
    c = d.join()
    c.send("/nick Zoe\n/nick z\u043ee\n/nick i\u0307pek\n/nick zora\n")
    c.expect("* Zoe is reserved.\n* z\u043ee is reserved.\n* i\u0307pek is reserved.\n")
    c.expect("is now zora\n")


@test
def accounts_that_look_alike_or_have_no_valid_name_are_left_out():
    """An older chatd took them; so they are no reason not to start, nor for anybody to pass for them."""
    d = with_accounts(auth="none", store=True)
    names = ["b0b", "\u0430\u043b\u0456\u0441\u0435", "\u0435l\u0456\u0455e", "elise", "x\u3164", "[eve", "a\u2019b", "admin", "ada", "\uff41da"]
    with open(d.passwords) as f:
        lines = f.read().splitlines()
    hash = lines[0].split(":", 1)[1]
    with open(d.passwords, "a") as f:
        f.writelines("%s:%s\n" % (n, hash) for n in names)
    expected = ["%s:%d: %s, so it is left out\n" % (d.passwords, line, what) for line, what in (
        (3, "b0b looks like the account Bob of line 2"),
        (6, "elise looks like the account \u0435l\u0456\u0455e of line 5"),
        (7, "this is not a valid name any more"), (8, "this is not a valid name any more"),
        (9, "this is not a valid name any more"), (10, "this is one of chatd's own names"),
        (12, "ada is the account ada of line 11"))]
    checked = subprocess.run([CHATD, "--check", *AS_ROOT, d.config], capture_output=True, text=True)
    equal(checked.returncode, 0)
    code, _, err = d.ctl("reload")
    equal(code, 0)
    d.kill()
    d.start()
    for line in expected:
        check(line in checked.stderr and line in err and d.log().count(line) >= 2, line, checked.stderr, err)
    c = d.connect()
    c.expect("* Welcome")
    c.send("/nick a'b\n/nick B0B\n/login b0b wonder land\n/login elise wonder land\n/quit\n")
    equal(c.rest().count(b" is reserved.\n"), 2)
    c = d.connect()
    c.expect("* Welcome")
    c.send("/login \u0435l\u0456\u0455e wonder land\n")
    c.expect(" is now \u0435l\u0456\u0455e\n")
    # They can be deleted.
    for name in names:
        equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, name]).returncode, 0)
    with open(d.passwords) as f:
        equal(f.read().splitlines(), lines)
    code, _, err = d.ctl("reload")
    check(code == 0 and "left out" not in err, code, err)


@test
def accounts_that_look_alike_are_one_too_many():
    d = with_accounts(auth="none")
    with open(d.passwords) as f:
        alice = f.read().splitlines()[0].split(":", 1)[1]
    with open(d.passwords, "a") as f:
        f.write("b0b:%s\nал\u0456се:%s\n\u0435l\u0456\u0455e:%s\nelise:%s\nx\u3164:%s\n" % ((alice,) * 5))
    code, _, err = d.ctl("reload")
    equal(code, 0)
    check(d.passwords + ":3: b0b looks like the account Bob of line 2, so it is left out\n" in err, err)
    check(d.passwords + ":6: elise looks like the account \u0435l\u0456\u0455e of line 5, so it is left out\n" in err, err)
    check(d.passwords + ":7: this is not a valid name any more, so it is left out\n" in err, err)
    c = d.join()
    c.send("/nick elise\n")
    c.expect("* elise is reserved.\n")


@test
def logins_survive():
    d = with_accounts(store=True, rooms='{ name = "lobby"; }, { name = "board"; members = ( "alice" ); }')
    alice = login(d, "alice", "wonder land")
    waiting = d.connect()
    waiting.expect(LOGIN)
    # The password is being checked, or not yet, when the process dies.
    waiting.send("/login bob b\n")
    d.kill()
    d.start()
    waiting.expect("* You are now Bob.\n")
    waiting.expect("* You are in lobby; /help lists the commands.\n")
    alice.send("/join board\n/nick x\n")
    alice.expect("* You are in board.\n")
    alice.expect("* You are logged in as alice, so that is your name.\n")
    waiting.send("/join board\n")
    waiting.expect("* Room board is for its members only.\n")


def renamed(d, name):
    d.write_config(rooms=d.rooms, listeners=d.doors.replace('"chat"; type', '"%s"; type' % name))
    equal(d.ctl("reload")[0], 0)


@test
def no_listener_is_not_a_listener_without_a_password():
    """Listeners come and go while people connect, who were accepted by one of them and are greeted by none."""
    d = with_accounts(workers=4)
    clients = []
    for i in range(20):
        renaming = threading.Thread(target=renamed, args=(d, "door%d" % i))
        renaming.start()
        while renaming.is_alive():
            if len(clients) < 300 * (i + 1):  # there are descriptors for so many
                clients.append(d.connect())
            else:
                time.sleep(0.001)
        renaming.join()
    for c in clients:
        equal(c.expect("\n"), LOGIN)
    # Whoever logs in at a door that is there no more can't.
    last = d.connect()
    last.expect(LOGIN)
    d.write_config(rooms=d.rooms, listeners=d.doors.split("},")[1])
    equal(d.ctl("reload")[0], 0)
    last.send("hello\n/login alice wonder land\n")
    last.expect("* Please log in first: /login NAME PASSWORD\n* There are no accounts here.\n")


@test
def a_password_is_asked_for_after_a_thousand_listeners():
    d = with_accounts()
    port = free_port()
    for k in range(5):
        more = ",".join('{ name = "l%d-%d"; type = "tcp"; mode = "chat"; listen = "127.0.1.%d:%d"; }' % (k, i, i, port)
                        for i in range(1, 241))
        d.write_config(rooms=d.rooms, listeners=d.doors + "," + more)
        equal(d.ctl("reload")[0], 0)
    c = d.connect()
    equal(c.expect("\n"), LOGIN)
    c.send("/login alice wonder land\n")
    c.expect("* You are in lobby; /help lists the commands.\n")
    guest = d.connect(port=d.guests)
    check(b"You are in hall" in guest.expect("\n"))


@test
def a_verdict_is_for_one_name_and_password():
    d = with_accounts()
    add_account(d.passwords, "mallory", "m" * 40)
    equal(d.ctl("reload")[0], 0)
    c = d.connect()
    c.expect(LOGIN)
    others = [d.connect() for _ in range(10)]
    for o in others:
        o.expect(LOGIN)
        o.send("/login alice no\n" * 2)
    c.send("/login mallory %s\n" % ("m" * 40))
    # While the password is being checked its line becomes too long.
    d.write_config(rooms=d.rooms, listeners=d.doors, extra="max_message = 20;")
    equal(d.ctl("reload")[0], 0)
    c.expect("* That message was longer than 20 bytes and has been refused.\n")
    c.send("/login bob x\n/who\n")
    c.expect("* Wrong name or password.\n* Please log in first")


@test
def an_address_with_many_failures_waits_and_others_do_not():
    d = Daemon(start=False)
    d.passwords = os.path.join(d.dir, "passwords")
    add_account(d.passwords, "alice", "a")
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }""" % (
          d.port, d.passwords), extra="limits: { max_clients_per_address = 0; failed_logins_per_minute = 3; };")
    d.start()
    c = d.connect()
    c.send("/login alice x\n" * 3)
    check(c.rest().endswith(b"* Wrong name or password.\n" * 3))
    c = d.connect()
    c.expect(LOGIN)
    c.send("/login alice x\n" * 3)  # three a minute: the fourth is told in 20 s
    other = socket.create_connection(("127.0.0.1", d.port), 20, ("127.0.0.9", 0))
    d.clients.append(Client(other))
    other.sendall(b"/login alice a\n")
    d.clients[-1].expect("* You are in lobby")
    c.nothing(0.5)
    equal((d.metric("logins_failed_total"), d.metric("logins_total")), (3, 1))


@test
def who_has_gone_waits_for_no_answer():
    """However many ask and go, their questions are not in the way of others'."""
    d = Daemon(start=False)
    d.passwords = os.path.join(d.dir, "passwords")
    add_account(d.passwords, "alice", "a")
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }""" % (
          d.port, d.passwords), extra="limits: { max_clients_per_address = 0; failed_logins_per_minute = 0; };")
    d.start()
    for _ in range(4):  # what twelve checks cost
        c = d.connect()
        c.send("/login alice x\n" * 3)
        c.rest()
    twelve, before = d.cpu(), d.metric("logins_failed_total")
    for _ in range(100):
        c = d.connect()
        c.expect(LOGIN)
        c.send("/login alice x\n")
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for c in d.json("list", "clients"):
        d.ctl("kick", str(c["id"]))
    for c in d.clients:
        c.close()
    wait_for(lambda: d.json("status")["clients"] == 0)
    c = d.connect()
    c.expect(LOGIN)
    c.send("/login alice a\n")
    c.expect("* You are in lobby")
    equal(before, 12)
    check(d.cpu() - twelve < 3 * twelve, "most of the hundred were checked all the same:", d.cpu() - twelve, twelve)


@test
def a_room_that_had_members_stays_closed():
    rooms = '{ name = "lobby"; }, { name = "board"; members = ( "alice" ); history = 5; }'
    d = with_accounts(store=True, rooms=rooms)
    alice = login(d, "alice", "wonder land")
    alice.send("/join board\nsecret\n")
    alice.expect("alice: secret\n")
    guest = d.join(port=d.guests)

    def is_closed():
        guest.send("/join board\n")
        guest.expect("* Room board is for its members only.\n")

    is_closed()
    for again in (lambda: equal(d.ctl("reload")[0], 0), lambda: (d.kill(), d.start())):
        d.write_config(rooms='{ name = "lobby"; }, { name = "bored"; members = ( "alice" ); }', listeners=d.doors,
                       extra="limits: { max_rooms = 4; room_linger = 0; };")
        again()
        is_closed()
        alice.send("still here\n")  # who is in stays
        alice.expect("alice: still here\n")
    alice.send("/join lobby\n")
    alice.expect("* You are in lobby.\n")
    # It makes way for nobody, and isn't forgotten; nor do devices or peers of ZeroMQ get in.
    udp, pull, pub = free_port(socket.SOCK_DGRAM), free_port(), free_port()
    guest.send("/join other\n/join another\n")
    guest.expect("* Room another can't be opened: there are too many rooms.\n")
    time.sleep(2.2)
    is_closed()
    logged(d, "room board had members and isn't in the configuration any more")
    d.write_config(rooms='{ name = "lobby"; }', listeners=d.doors + """,
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "board"; }""" % udp)
    equal(d.ctl("reload")[0], 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(PATIENCE)
        u.sendto(b"#REG x", ("127.0.0.1", udp))
        equal(u.recv(1000), b"#ERR this room is for its members only\n")
    d.write_config(rooms='{ name = "lobby"; }', listeners=d.doors + """,
      { name = "relay"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d";
        room = "board"; }""" % (pull, pub))
    equal(d.ctl("reload")[0], 1)
    # Nor does that listener keep a new process from serving the others.
    d.kill()
    d.start()
    guest.send("hello\n")
    guest.expect(": hello\n")
    is_closed()
    # Until an admin says otherwise.
    d.write_config(rooms='{ name = "lobby"; }, { name = "board"; history = 5; }', listeners=d.doors)
    equal(d.ctl("reload")[0], 0)
    guest.send("/join board\n")
    guest.expect("* You are in board.\nalice: secret\n")


@test
def rooms_with_members():
    rooms = '{ name = "lobby"; }, { name = "board"; members = ( "alice", "carol" ); history = 5; }'
    d = with_accounts(rooms=rooms, more='room = "board";')
    alice = login(d, "alice", "wonder land", room="board")
    alice.send("secret\n")
    alice.expect("alice: secret\n")
    bob = d.connect()
    bob.expect(LOGIN)
    bob.send("/login bob b\n/join board\n/join lobby\nhi\n")
    bob.expect("* Room board is for its members only; /join another one.\n")
    bob.expect("* Room board is for its members only.\n")
    check(b"secret" not in bob.expect("Bob: hi\n"))
    guest = d.join(port=d.guests)
    guest.send("/join board\n")
    guest.expect("* Room board is for its members only.\n")
    # Doors that would lead everybody in are an error.
    d.write_config(rooms=rooms, listeners=d.doors.replace('room = "hall"', 'room = "board"'))
    code, _, err = d.ctl("reload")
    equal(code, 1)
    check('room "board" has members, so the listener needs auth = "password"' in err, err)


@test
def members_are_accounts_of_exactly_that_name():
    d = Daemon(start=False)
    files = [os.path.join(d.dir, x) for x in ("staff", "public")]
    add_account(files[0], "alice", "a")
    add_account(files[1], "al1ce", "b")
    port = free_port()
    d.write_config(rooms='{ name = "lobby"; }, { name = "board"; members = ( "alice" ); }', listeners=",".join(
        '{ name = "l%d"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; auth = "password"; password_file = "%s"; }' % (
            i, p, f) for i, (p, f) in enumerate(zip((d.port, port), files))))
    d.start()
    stranger = d.connect(port=port)
    stranger.expect(LOGIN)
    stranger.send("/login al1ce b\n")
    stranger.expect("* Wrong name or password.\n")  # it looks like staff's account
    alice = login(d, "ALICE", "a")
    alice.send("/join board\n")
    alice.expect("* You are in board.\n")


@test
def an_account_that_looks_like_one_of_another_file_is_left_out_and_no_member():
    d = Daemon(start=False)
    staff, public, more = (os.path.join(d.dir, n) for n in ("staff", "public", "more"))
    add_account(staff, "alice", "a")
    add_account(public, "al1ce", "evil")
    add_account(more, "Alice", "c")  # the very name: as good as the other file's
    ports = [d.port, free_port(), free_port(), free_port()]
    door = '{ name = "n%d"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; auth = "password"; password_file = "%s"; }'
    rooms = '{ name = "lobby"; }, { name = "board"; members = ( "alice" ); }'
    doors = [door % (i, p, f) for i, (p, f) in enumerate(zip(ports, (staff, public, more, public)))]
    d.write_config(rooms=rooms, listeners=", ".join(doors))
    checked = subprocess.run([CHATD, "--check", *AS_ROOT, d.config], capture_output=True, text=True)
    check(checked.returncode == 0, checked.stderr)
    equal(re.findall("warning: (.*)", checked.stderr),
          ["%s:1: al1ce looks like the account alice of %s:1, so it is left out" % (public, staff)])
    d.start()
    for port, answer in ((ports[1], "* Wrong name or password.\n"), (ports[3], "* Wrong name or password.\n")):
        c = d.connect(port=port)
        c.expect(LOGIN)
        c.send("/login al1ce evil\n")
        c.expect(answer)
    for port, password in ((ports[0], "a"), (ports[2], "c")):
        c = d.connect(port=port)
        c.expect(LOGIN)
        c.send("/login alice %s\n/join board\n/quit\n" % password)
        check(b"* You are in board.\n" in c.rest())
    # Where the other account isn't in any file, looking like a member is still not being one.
    d.write_config(rooms=rooms, listeners=doors[1])
    code, _, err = d.ctl("reload")
    check(code == 0 and 'no password_file has an account "alice"' in err, code, err)
    c = d.connect(port=ports[1])
    c.expect(LOGIN)
    c.send("/login al1ce evil\n/join board\n")
    c.expect("* Room board is for its members only.\n")


@test
def names_that_an_older_chatd_took_are_left_out():
    d = with_accounts()
    with open(d.passwords) as f:
        alice, bob = [line.strip().split(":", 1)[1] for line in f]
    with open(d.passwords, "a") as f:
        f.write("".join("%s:%s\n" % a for a in (("a*b", bob), ("\u2603", bob), ("neil", alice), ("nell", bob))))
    equal(d.ctl("reload")[0], 0)
    logged(d, "nell looks like the account neil of line 5, so it is left out")
    c = d.connect()
    c.expect(LOGIN)
    c.send("/login nell b\n")
    c.expect("* Wrong name or password.\n")
    login(d, "neil", "wonder land")


@test
def passwd_changes_nobody_elses_account():
    d = with_accounts()
    add_account(d.passwords, "neil", "n")
    p = subprocess.run([CHATCTL, "passwd", d.passwords, "nell"], input=b"x\n", capture_output=True)
    equal((p.returncode, b"nell looks like the account neil" in p.stderr), (1, True))
    equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "nell"], capture_output=True).returncode, 1)
    with open(d.passwords) as f:
        equal([l.split(":")[0] for l in f], ["alice", "Bob", "neil"])


@test
def who_has_no_account_any_more_is_sent_away():
    d = with_accounts(store=True)
    alice, bob = login(d, "alice", "wonder land"), login(d, "bob", "b")
    equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "alice"]).returncode, 0)
    equal(d.ctl("reload")[0], 0)
    check(alice.rest().endswith(b"* Your account has been removed; goodbye.\n"))
    equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "bob"]).returncode, 0)
    d.kill()
    d.start()
    check(bob.rest().endswith(b"* Your account has been removed; goodbye.\n"))
    add_account(d.passwords, "alice", "new")
    equal(d.ctl("reload")[0], 0)
    login(d, "alice", "new")


@test
def whose_account_is_deleted_is_sent_away_and_nobody_else():
    d = with_accounts(store=True, rooms='{ name = "lobby"; }, { name = "board"; members = ( "alice" ); }')
    goodbye = b"* Your account has been removed; goodbye.\n"
    for again in (lambda: equal(d.ctl("reload")[0], 0), lambda: (d.kill(), d.start())):
        alice, bob, guest = login(d, "alice", "wonder land"), login(d, "bob", "b"), d.join(port=d.guests)
        alice.send("/join board\n")
        alice.expect("* You are in board.\n")
        # Neither a new password nor another listener is an end of the account.
        add_account(d.passwords, "Alice", "new")
        d.write_config(rooms=d.rooms, listeners=d.doors.replace('"chat"; type', '"door"; type'))
        again()
        alice.send("still here\n")
        check(goodbye not in alice.expect("alice: still here\n"))
        equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "alice"]).returncode, 0)
        add_account(d.passwords, "a1ice", "other")  # looking like it isn't being it
        again()
        check(alice.rest().endswith(goodbye))
        bob.send("hello\n")
        text = bob.expect("Bob: hello\n")
        guest.send("hello\n")
        check(goodbye not in text + guest.expect(": hello\n"))
        logged(d, "is sent away: the account alice has been removed")
        bob.close()
        equal(subprocess.run([CHATCTL, "passwd", "-d", d.passwords, "a1ice"]).returncode, 0)
        add_account(d.passwords, "alice", "wonder land")
        again()
        wait_for(lambda: len(d.json("list", "clients")) == 1)
        guest.close()


@test
def a_relay_is_not_called_as_somebody_else():
    for name in ("admin", "chatd", "guest2", "ALICE"):
        d = with_accounts()
        d.write_config(rooms=d.rooms, listeners=d.doors + """,
          { name = "%s"; type = "zmq"; mode = "relay"; pull = "tcp://127.0.0.1:%d"; pub = "tcp://127.0.0.1:%d";
            room = "lobby"; }""" % (name, free_port(), free_port()))
        code, _, err = d.ctl("reload")
        equal(code, 1)
        check('"%s" is somebody else\'s' % name in err, err)
        d.finish()


@test
def what_was_said_in_a_raw_room_is_no_history_of_a_named_one():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "sensors"; format = "raw"; }')
    mallory = d.join(room="sensors")
    mallory.send("alice: the new password is x\n\x1b[2J\n")
    mallory.expect("\x1b[2J\n")
    d.write_config(rooms='{ name = "lobby"; }, { name = "sensors"; }')
    equal(d.ctl("reload")[0], 0)
    mallory.send("named\n")
    mallory.expect("guest1: named\n")
    victim = d.connect()
    victim.expect(WELCOME)
    victim.send("/join sensors\n/who\n")
    equal(re.findall(rb"\n([^*\n].*)", victim.expect("* 2 in sensors")), [b"guest1: named"])
    equal(d.ctl("tail", "sensors")[1], "guest1: named\n")


@test
def read_only_rooms():
    d = Daemon(start=False)
    udp = free_port(socket.SOCK_DGRAM)
    d.write_config(rooms='{ name = "lobby"; read_only = true; }', listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; } """ % (d.port, udp))
    d.start()
    a, b = d.join(nick="a"), d.join(nick="b")
    a.send("hello\n/me waves\n")
    a.expect("* Room lobby is read-only.\n* Room lobby is read-only.\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.settimeout(PATIENCE)
        u.sendto(b"#REG x", ("127.0.0.1", udp))
        check(u.recv(1000).startswith(b"#OK x "))
        u.sendto(b"hello", ("127.0.0.1", udp))
        while True:
            got = u.recv(1000)
            if got.startswith(b"#ERR"):
                break
        equal(got, b"#ERR this room is read-only\n")
    equal(d.ctl("send", "lobby", "news")[0], 0)
    text = b.expect("admin: news\n")
    check(b"hello" not in text and b"waves" not in text)
    d.write_config(rooms='{ name = "lobby"; }')
    equal(d.ctl("reload")[0], 0)
    a.send("now\n")
    b.expect("a: now\n")


@test
def passwords_from_a_terminal():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "passwords")
    with open(path, "w") as f:
        f.write("# ours\n\nalice:old\n")

    def typed(*answers):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(CHATCTL, [CHATCTL, "passwd", path, "alice"])
        seen = b""
        for prompt, answer in zip((b"Password: ", b"Once more: "), answers):
            while prompt not in seen:
                seen += os.read(fd, 1000)
            time.sleep(0.1)
            os.write(fd, answer + b"\n")
        try:
            while data := os.read(fd, 1000):
                seen += data
        except OSError:
            pass
        os.close(fd)
        check(b"secret" not in seen, "it is echoed")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    equal(typed(b"secret word", b"secret word"), 0)
    with open(path) as f:
        text = f.read()
    check(text.startswith("# ours\n\nalice:$argon2id$"), text)
    equal(typed(b"one", b"other"), 1)
    with open(path) as f:
        equal(f.read(), text)
    for wrong in (["passwd"], ["passwd", path], ["passwd", path, "#x"]):
        equal(subprocess.run([CHATCTL, *wrong], capture_output=True, input=b"x\n").returncode, 2)
    equal(subprocess.run([CHATCTL, "passwd", path, "x"], capture_output=True, input=b"\n").returncode, 1)
    equal(subprocess.run([CHATCTL, "passwd", "/nowhere/at/all", "x"], capture_output=True, input=b"p\n").returncode, 1)


@test
def leftovers_and_others_at_work_keep_no_password_from_being_set():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "passwords")
    add_account(path, "alice", "one")
    # What one that was interrupted left, under whatever name.
    for name in (".new", ".tmp", "~"):
        os.mkdir(path + name)
    add_account(path, "bob", "two")
    os.symlink("passwords", path + "-link")
    add_account(path + "-link", "carol", "three")
    check(os.path.islink(path + "-link"))
    os.chmod(path, 0o604)
    # Many at once: each has its account at the end, and so have those before.
    names = ["n%d" % i for i in range(12)]
    at_once = [subprocess.Popen([CHATCTL, "passwd", path, n], stdin=subprocess.PIPE) for n in names]
    for p in at_once:
        p.stdin.write(b"x\n")
        p.stdin.close()
    equal([p.wait(60) for p in at_once], [0] * len(names))
    with open(path) as f:
        equal(sorted(l.split(":")[0] for l in f), sorted(["alice", "bob", "carol"] + names))
    equal(os.stat(path).st_mode & 0o7777, 0o604)
    equal(sorted(n for n in os.listdir(d.dir) if n.startswith("passwords")),
          ["passwords", "passwords-link", "passwords.new", "passwords.tmp", "passwords~"])


def passwd(*args):
    p = subprocess.run([CHATCTL, "passwd", *args], input="p\n", capture_output=True, text=True, timeout=60)
    return p.returncode, p.stderr


@test
def passwords_are_set_and_deleted_for_the_very_name_only():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "passwords")
    for n in ("neil", "\u00c9mile"):
        add_account(path, n, "p")
    with open(path) as f:
        before = f.read()
    for args in ((path, "nell"), ("-d", path, "nell"), (path, "n\u0435il")):
        equal(passwd(*args), (1, "chatctl: %s looks like the account neil of %s; nothing has changed\n" % (args[-1], path)))
    equal(passwd("-d", path, "bob"), (1, "chatctl: there is no account bob in %s\n" % path))
    for name in ("admin", "\u0430dmin", "Guest7"):
        code, err = passwd(path, name)
        check(code == 2 and "one of chatd's own names" in err, code, err)
    with open(path) as f:
        equal(f.read(), before)
    # In any case, and composed or not, it is the very name.
    equal(passwd(path, "NEIL")[0], 0)
    equal(passwd("-d", path, "e\u0301MILE")[0], 0)
    with open(path) as f:
        equal([l.split(":")[0] for l in f], ["NEIL"])


@test
def who_locks_the_directory_keeps_no_password_waiting_for_ever():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "passwords")
    fd = os.open(d.dir, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)  # as anybody can who may read it
    code, err = passwd(path, "alice")
    check(code == 1 and "another process has had the directory of %s locked" % path in err, code, err)
    os.close(fd)
    check(not os.path.exists(path))
    equal(passwd(path, "alice"), (0, ""))
    # A link to nothing isn't replaced.
    os.symlink("nothing", path + "-link")
    code, err = passwd(path + "-link", "alice")
    check(code == 1 and "is a link to a file that is not there" in err, code, err)
    equal(os.readlink(path + "-link"), "nothing")
    equal(sorted(n for n in os.listdir(d.dir) if n.startswith("passwords")), ["passwords", "passwords-link"])


@test
def errors_in_files_are_told():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "passwords")
    with open(path, "w") as f:
        f.write("alice\n#x\n:y\nbob:plain\n")
    cert, key = tls_files(d.dir)
    other = tls_files(d.dir, "other")
    d.write_config(listeners="""
      { name = "a"; type = "tcp"; mode = "chat"; listen = "[::]:1"; password_file = "%s"; },
      { name = "b"; type = "tcp"; mode = "chat"; listen = "[::]:2"; auth = "password"; },
      { name = "c"; type = "tcp"; mode = "chat"; listen = "[::]:3"; tls_certificate = "%s"; tls_key = "%s"; },
      { name = "d"; type = "tcp"; mode = "chat"; listen = "[::]:4"; tls_key = "%s"; auth = "some"; },
      { name = "e"; type = "tcp"; mode = "chat"; listen = "[::]:5"; tls_certificate = "relative"; allow = ( ); },
      { name = "f"; type = "tcp"; mode = "echo"; listen = "[::]:6"; auth = "password"; password_file = "/nowhere"; },
      { name = "g"; type = "udp"; mode = "echo"; listen = "[::]:7"; proxies = ( "::1" ); deny = ( "x" ); }
      """ % (path, cert, other[1], key))
    p = subprocess.run([CHATD, "--check", *AS_ROOT, d.config], capture_output=True, text=True)
    equal(p.returncode, 1)
    for expected in (path + ":1: a line is NAME:HASH", path + ":3: this is not a valid name",
                     path + ":4: this isn't a hash of argon2id", 'auth = "password" needs a password_file',
                     "can't be used with the certificate", "tls_key needs a tls_certificate",
                     'auth must be "none" or "password", not "some"', "tls_certificate must be an absolute path",
                     "allow is empty", 'mode "echo" of type "tcp" has no auth', "/nowhere: can't be read",
                     'mode "echo" of type "udp" has no proxies', "deny must be a list of addresses"):
        check(expected in p.stderr, expected, "is missing in", p.stderr)


@test
def tls_files_that_can_not_be_used_are_named():
    d = Daemon(start=False)
    cert, key = tls_files(d.dir)
    other, other_key = tls_files(d.dir, "other")
    empty = os.path.join(d.dir, "empty")
    open(empty, "w").close()
    doors = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:1";
        tls_certificate = "%s";
        tls_key = "%s";
        tls_client_ca = "%s"; }"""
    for files, line, expected in (
            ((cert, key, cert), 0, None),
            (("/nowhere/cert", key, cert), 1, "the certificate in /nowhere/cert can't be used: No such file or directory"),
            ((cert, "/nowhere/key", cert), 2, "the key in /nowhere/key can't be used: No such file or directory"),
            ((cert, key, "/nowhere/ca"), 3, "the certificates in /nowhere/ca can't be used: No such file or directory"),
            ((cert, other_key, cert), 2, "the key in %s can't be used with the certificate in %s: " % (other_key, cert)),
            ((cert, empty, cert), 2, "there is no private key in %s" % empty)):
        d.write_config(listeners=doors % files)
        with open(d.config) as f:
            first = f.read().split("\n").index('      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:1";') + 1
        p = subprocess.run([CHATD, "--check", *AS_ROOT, d.config], capture_output=True, text=True)
        equal(p.returncode, 1 if expected else 0)
        if expected:
            check(p.stderr.startswith("%s:%d: %s" % (d.config, first + line, expected)), p.stderr)
        check("(null)" not in p.stderr, p.stderr)


@test
def root_checks_as_the_user_of_chatd():
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    d = Daemon(start=False)
    cert, key = tls_files(d.dir)
    passwords = os.path.join(d.dir, "passwords")
    add_account(passwords, "alice", "x")
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:1"; tls_certificate = "%s"; tls_key = "%s"; },
      { name = "more"; type = "tcp"; mode = "chat"; listen = "[::]:2"; auth = "password"; password_file = "%s"; }
      """ % (cert, key, passwords), extra='state_directory = "%s";' % d.dir)

    def judged(*user):
        p = subprocess.run([CHATD, "--check", *user, d.config], capture_output=True, text=True)
        return p.returncode, p.stderr

    equal(judged("--user", "root"), (0, ""))
    # The configuration itself is read as root; what it names is not.
    os.chmod(d.config, 0o600)
    os.chmod(cert, 0o644)
    os.chmod(key, 0o600)
    os.chmod(d.dir, 0o755)
    code, err = judged("--user", "nobody")
    equal(code, 1)
    for expected in (d.config + ": warning: can't be read as user nobody: Permission denied\n",
                     "the key in %s can't be used: Permission denied as user nobody\n" % key,
                     passwords + ": can't be read: Permission denied\n",
                     "this password_file can't be used as user nobody\n",
                     "warning: bans can't be kept in %s as user nobody: Permission denied\n" % d.dir):
        check(expected in err, expected, "is missing in", err)
    for path in (key, passwords, d.config):
        os.chmod(path, 0o644)
    equal(judged("--user", "nobody")[0], 0)
    equal(judged("--user", "nobody-at-all"), (2, 'chatd: there is no user "nobody-at-all"\n'))


# --- the PROXY protocol ---


def v2(address, port, command=1, extra=b""):
    if ":" in address:
        body = socket.inet_pton(socket.AF_INET6, address) + socket.inet_pton(socket.AF_INET6, "::1")
        family = 0x21
    else:
        body = socket.inet_aton(address) + socket.inet_aton("127.0.0.1")
        family = 0x11
    body += struct.pack("!HH", port, 5050) + extra
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


def with_proxy(more="", **kwargs):
    d = Daemon(start=False, **kwargs)
    d.write_config(listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; proxies = ( "127.0.0.1" ); %s }""" % (
        d.port, more), extra="limits: { max_clients_per_address = 2; handshake_timeout = 2.0; };")
    d.start()
    return d


def addresses(d):
    return sorted(x["address"] for x in d.json("list", "clients"))


@test
def proxies():
    d = with_proxy(store=True)
    a, b, c = d.connect(), d.connect(), d.connect()
    a.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 5050\r\n/nick a\n")
    b.send(v2("2001:db8::5", 99, extra=b"\x04\0\x02ab"))
    for byte in b"PROXY UNKNOWN\r\n":  # at least one proxy sends it in pieces
        c.send(bytes([byte]))
        time.sleep(0.01)
    for x in (a, b, c):
        x.expect(WELCOME)
    a.expect("is now a\n")
    listed = addresses(d)
    equal(listed[1:], ["192.0.2.7:4711", "[2001:db8::5]:99"])
    check(listed[0].startswith("127.0.0.1:"))
    # Who is no proxy says no header.
    d.join(host="::1")
    # It is the real address that counts.
    keep = []
    for _ in range(2):
        keep.append(d.connect())
        keep[-1].send(b"PROXY TCP4 192.0.2.8 127.0.0.1 4711 5050\r\n")
        keep[-1].expect(WELCOME)
    x = d.connect()
    x.send(b"PROXY TCP4 192.0.2.8 127.0.0.1 4711 5050\r\n")
    equal(x.rest(), b"* Sorry: there are too many connections from your address.\n")
    equal(d.ctl("ban", "192.0.2.0/24")[1], "192.0.2.0/24 is banned; 3 removed\n")
    x = d.connect()
    x.send(v2("192.0.2.9", 1))
    equal(x.rest(), b"* Sorry: your address is banned.\n")
    # And it survives.
    b.send("/nick b\nhalf")
    b.expect("is now b\n")
    d.kill()
    d.start()
    b.send(" a line\n")
    b.expect("b: half a line\n")
    check("[2001:db8::5]:99" in addresses(d))


@test
def bad_proxy_headers():
    d = with_proxy()
    for bad in (b"hello\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200,
                b"PROXY TCP4 ::1 ::1 1 1\r\n", v2("192.0.2.1", 1)[:12] + b"\x31\x11\0\x0c" + b"x" * 12,
                v2("192.0.2.1", 1)[:13] + b"\x11\xff\xff" + b"x" * 100, b""):
        s = socket.create_connection(("127.0.0.1", d.port), timeout=10)
        s.sendall(bad)
        if not bad:
            s.shutdown(socket.SHUT_WR)
        try:
            equal(s.recv(1000), b"")
        except ConnectionResetError:
            pass
        s.close()
    s = socket.create_connection(("127.0.0.1", d.port), timeout=10)
    s.sendall(b"PROXY TCP4 ")
    before = d.cpu()
    try:
        equal(s.recv(1000), b"")  # too late
    except ConnectionResetError:
        pass
    check(d.cpu() - before < 1, "it span")
    s.close()
    equal(d.metric("proxy_failed_total"), 9)
    equal(d.json("status")["clients"], 0)


@test
def tls_behind_a_proxy():
    d = Daemon(start=False)
    cert, key = tls_files(d.dir)
    d.write_config(listeners="""{ name = "tls"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; tls_certificate = "%s";
      tls_key = "%s"; proxies = ( "127.0.0.0/8" ); }""" % (d.port, cert, key))
    d.start()
    s = socket.create_connection(("127.0.0.1", d.port), timeout=20)
    s.sendall(v2("192.0.2.7", 80))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    c = Client(context.wrap_socket(s))
    d.clients.append(c)
    c.expect(WELCOME)
    equal(addresses(d), ["192.0.2.7:80"])


@test
def tokens_are_added_listed_and_revoked():
    path = os.path.join(Daemon(start=False).dir, "tokens")

    def token(*args, status=0):
        p = subprocess.run([CHATCTL, *args], capture_output=True, text=True, timeout=60)
        equal((p.returncode, p.stderr if status == 0 else ""), (status, ""))
        return p.stdout if status == 0 else p.stderr

    shown = token("token", "add", "--room", "ops", "--room", "lobby", "--read", "--speak", "bot", path).strip()
    check(re.fullmatch(r"chatd_[A-Za-z0-9_-]{43}", shown), shown)
    other = json.loads(token("--json", "token", "add", "--read", "Reader", path))
    equal(other["name"], "Reader")
    check(other["token"] != shown)
    text = open(path).read()
    check(shown not in text and other["token"] not in text, text)
    h = base64.urlsafe_b64encode(hashlib.sha256(shown.encode()).digest()).decode().rstrip("=")
    equal(text.splitlines()[0], "bot:%s:ops=read,speak lobby=read,speak" % h)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o640)
    equal(json.loads(token("--json", "token", "list", path)),
          [{"name": "bot", "rooms": [{"room": "ops", "read": True, "speak": True}, {"room": "lobby", "read": True, "speak": True}]},
           {"name": "Reader", "rooms": [{"room": "*", "read": True, "speak": False}]}])
    check(re.search(r"(?m)^Reader +\(all\) +read *$", token("token", "list", path)))
    check("there is a token bot" in token("token", "add", "--read", "B0T", path, status=1))
    equal(open(path).read(), text)
    for wrong in (["add", "x", path], ["add", "--read", "admin", path], ["add", "--read", "--room", "a b", "x", path],
                  ["add", "--read", "x"], ["list"], ["revoke", path], ["list", "--read", path], ["burn", "bot", path]):
        token("token", *wrong, status=2)
    equal(token("token", "revoke", "BOT", path), "")
    check("there is no token BOT" in token("token", "revoke", "BOT", path, status=1))
    check("can't be read" in token("token", "list", path + "x", status=1))
    equal(open(path).read(), text.splitlines(True)[1])


main()
