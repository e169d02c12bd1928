#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The installed chatd under a real systemd, booted in a container of its own (systemd-nspawn over an overlay)."""

import ctypes
import fnmatch
import glob
import json
import random
import threading
import time

import guide
from booted import Container
from testing import *


shared = {}


def container():
    if "skip" in shared:
        raise Skip(shared["skip"])
    if "it" not in shared:
        try:
            if os.environ.get("CHATD_NO_CONTAINER"):
                raise Skip("the container tests run with the plain build only")
            shared["it"] = Container()
            with open(shared["it"].config) as f:
                shared["config"] = f.read()
        except Skip as e:
            shared["skip"] = str(e)
            raise
    c = shared["it"]
    c.try_run("systemctl", "stop", "chatd.socket", "chatd.service")
    c.try_run("systemctl", "reset-failed")
    c.sh("rm -rf /run/systemd/system/chatd.service.d; systemctl daemon-reload")
    c.write_config(shared["config"])
    return c


def hear(person, line):
    """That line comes, behind what was said in the room before."""
    for _ in range(100):
        got = person.stdout.readline()
        if got == line or not got:
            break
    equal(got, line)


def drop_in(c, text):
    c.sh("mkdir -p /run/systemd/system/chatd.service.d && printf '%%b' '%s' >/run/systemd/system/chatd.service.d/t.conf"
         " && systemctl daemon-reload" % text.replace("\n", "\\n"))


@test
def starts_and_tells_so():
    c = container()
    c.systemctl("start", "chatd")
    equal(c.show("ActiveState"), "active")
    equal(c.show("User"), "chatd")
    check(re.fullmatch(r"0 clients in 1 room, 6 listeners, \d+ workers? and 1 service", c.show("StatusText")), c.show("StatusText"))
    out = c.nc("printf 'hello\\n'; sleep 1.5; systemctl show -P StatusText chatd >/tmp/status; printf 'quit\\n'")
    check("guest1: hello\n" in out, out)
    check("1 client in 1 room" in c.sh("cat /tmp/status"))
    out = c.run("chatctl", "status")
    check("all of them survive" in out, out)
    mode = c.sh("stat -c '%A %U %G' /run/chatd/control.sock").strip()
    equal(mode, "srw-rw---- chatd chatd")
    # Of the group one may, others may not.
    c.sh("useradd -r -G chatd friend 2>/dev/null; useradd -r stranger 2>/dev/null; true")
    c.sh("setpriv --reuid friend --regid nogroup --init-groups chatctl send lobby hi")
    code, _, err = c.try_run("setpriv", "--reuid", "stranger", "--regid", "nogroup", "--clear-groups", "chatctl", "status")
    check(code == 3 and "Permission denied; root and the members of group chatd may: sudo usermod -aG chatd $USER, then log in again" in err,
          err)


def addresses_bound(c):
    """Where the container has sockets of the Internet that take connections or datagrams from anybody, but systemd's own."""
    lines = c.sh("ss -Htulnp").splitlines()
    return {l.split()[4] for l in lines if "chatd" in l}


@test
def as_installed_it_listens_on_this_machine_only():
    c = container()
    c.systemctl("start", "chatd")
    bound = addresses_bound(c)
    equal({a.rsplit(":", 1)[0] for a in bound}, {"127.0.0.1", "[::1]"})
    for host in ("127.0.0.1", "::1"):
        out = c.run("sh", "-c", "(sleep 0.5; echo quit) | timeout 10 nc %s 5050" % host)
        check("Welcome" in out, host, out)
    c.systemctl("stop", "chatd")
    # And so it does with the socket.
    c.systemctl("start", "chatd.socket")
    equal({l.split()[3] for l in c.sh("ss -Htln sport = :5050").splitlines()}, {"127.0.0.1:5050", "[::1]:5050"})
    out = c.run("sh", "-c", "(sleep 1; echo quit) | timeout 10 nc ::1 5050")
    check("Welcome" in out, out)
    equal({l["name"]: (l["address"], l["socket"]) for l in json.loads(c.run("chatctl", "--json", "list", "listeners"))
           if l["type"] == "tcp" and l["mode"] == "chat"},
          {"chat": ("127.0.0.1:5050", "systemd"), "chat6": ("[::1]:5050", "systemd")})
    c.systemctl("stop", "chatd.socket", "chatd")
    # As the file says, it is opened by an address in place of both, and a reload.
    c.systemctl("start", "chatd")
    text = shared["config"].replace('listen = "127.0.0.1:5050"', 'listen = "[::]:5050"')
    text, n = re.subn(r'\n *\{ name = "chat6";[^}]*\},', "", text)
    equal(n, 1)
    c.write_config(text)
    equal(c.try_run("chatctl", "check"), (0, "", ""))
    equal(c.try_run("chatctl", "reload")[0], 0)
    check("*:5050" in addresses_bound(c), addresses_bound(c))
    # What stays beside it is told.
    c.write_config(shared["config"].replace('listen = "127.0.0.1:5050"', 'listen = "[::]:5050"'))
    code, _, err = c.try_run("chatctl", "check")
    check(code == 1 and '[::1]:5050 can\'t be had beside [::]:5050 of listener "chat"' in err, err)


@test
def it_starts_where_ipv6_is_turned_off():
    c = container()
    c.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    try:
        c.systemctl("start", "chatd")
        check("Welcome" in c.nc("sleep 0.5; echo quit"))
        c.systemctl("stop", "chatd")
        c.systemctl("start", "chatd.socket")
        check("Welcome" in c.nc("sleep 1; echo quit"))
    finally:
        c.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=0")


@test
def stops_in_order():
    c = container()
    c.systemctl("start", "chatd")
    since = c.sh("date +%s.%N").strip()
    out = c.nc("printf 'hello\\n'; sleep 0.5; systemctl stop chatd; sleep 0.5")
    check(out.endswith("guest1: hello\n* chatd is going down\n"), out)
    equal(c.show("Result"), "success")
    messages = [m["MESSAGE"] for m in c.journal("-u", "chatd", "--since", "@" + since)]
    order = [next(i for i, m in enumerate(messages) if re.search(p, m))
             for p in ("^stopping$", r"^\d+ workers? and 1 service ended$", "^stopped$")]
    equal(order, sorted(order))
    # Nothing is left for the next start.
    c.systemctl("start", "chatd")
    equal(json.loads(c.try_run("chatctl", "--json", "status")[1])["takeover"]["count"], 0)


@test
def socket_activation_by_name():
    c = container()
    c.systemctl("start", "chatd.socket")
    equal(c.show("ActiveState"), "inactive")
    out = c.nc("printf 'hello\\n'; sleep 1; printf 'quit\\n'")
    check("guest1: hello\n" in out, out)
    wait_for(lambda: c.show("ActiveState") == "active", what="READY=1")
    listeners = json.loads(c.run("chatctl", "--json", "list", "listeners"))
    equal({l["name"]: l["socket"] for l in listeners}, {"chat": "systemd", "chat6": "systemd", "echo": "own", "udp": "own", "udp6": "own", "relay": "own"})


@test
def socket_activation_by_address():
    c = container()
    c.sh("""cat >/run/systemd/system/chatd-echo.socket <<E
[Socket]
ListenStream=127.0.0.1:5007
Service=chatd.service
E
systemctl daemon-reload""")
    try:
        c.systemctl("start", "chatd-echo.socket")
        equal(c.sh("printf 'abc\\n' | timeout 5 nc -N 127.0.0.1 5007"), "abc\n")
        c.systemctl("start", "chatd")  # until it is ready, since clients are served before chatctl is
        listeners = json.loads(c.run("chatctl", "--json", "list", "listeners"))
        equal({l["name"]: l["socket"] for l in listeners}, {"chat": "own", "chat6": "own", "echo": "systemd", "udp": "own", "udp6": "own", "relay": "own"})
    finally:
        c.sh("systemctl stop chatd-echo.socket; rm /run/systemd/system/chatd-echo.socket; systemctl daemon-reload")


@test
def udp_and_zeromq_sockets_from_systemd():
    c = container()
    c.sh("""cat >/run/systemd/system/chatd-udp.socket <<E
[Socket]
ListenDatagram=127.0.0.1:5051
FileDescriptorName=udp
Service=chatd.service
E
cat >/run/systemd/system/chatd-relay.socket <<E
[Socket]
ListenStream=127.0.0.1:5558
FileDescriptorName=relay.pull
Service=chatd.service
E
systemctl daemon-reload""")
    try:
        c.systemctl("start", "chatd-udp.socket", "chatd-relay.socket")
        equal(c.show("ActiveState"), "inactive")
        # The first datagram starts chatd, and is answered.
        out = c.sh("(echo '#REG probe'; sleep 1; echo 'load 0.42'; sleep 0.5; systemctl restart chatd; echo 'load 0.43'; "
                   "sleep 0.5; echo quit; sleep 0.2) | timeout 10 nc -u -w3 127.0.0.1 5051")
        equal(out, "#OK probe 300\nprobe: load 0.42\nprobe: load 0.43\n#BYE\n")
        listeners = json.loads(c.run("chatctl", "--json", "list", "listeners"))
        equal({l["name"]: l["socket"] for l in listeners}, {"chat": "own", "chat6": "own", "echo": "own", "udp": "systemd", "udp6": "own", "relay": "systemd"})
        push = [os.path.join(os.path.abspath(BUILD), "tests/system/zmqtool"), "push", "tcp://127.0.0.1:5558"]
        p = c.popen(*push, stdin=subprocess.PIPE)
        p.communicate(b"pushed\n", 20)
        wait_for(lambda: "relay: pushed\n" in c.run("chatctl", "tail", "-n", "1", "lobby"), what="the pushed message")
    finally:
        c.sh("systemctl stop chatd-udp.socket chatd-relay.socket; rm /run/systemd/system/chatd-udp.socket "
             "/run/systemd/system/chatd-relay.socket; systemctl daemon-reload")


@test
def instances_beside_each_other():
    """Each with a configuration, sockets, a state and clients of its own, as chatd(8) has it; one by its socket."""
    c = container()
    c.systemctl("start", "chatd")
    c.sh("mkdir -p /run/systemd/system/chatd@b.socket.d && printf '[Socket]\\nListenStream=127.0.0.1:6051\\n' "
         ">/run/systemd/system/chatd@b.socket.d/t.conf && systemctl daemon-reload")
    for name, port in (("a", 6050), ("b", 6051)):
        with open(c.root + "/etc/chatd/%s.conf" % name, "w") as f:
            f.write('rooms = ( { name = "%s"; } ); listeners = ( { name = "chat"; type = "tcp"; mode = "chat"; '
                    'listen = "127.0.0.1:%d"; } );\ncontrol: { socket = "/run/chatd-%s/control.sock"; };\n' % (name, port, name))
    # Without a control socket of its own it would be another's.
    with open(c.root + "/etc/chatd/c.conf", "w") as f:
        f.write('rooms = ( { name = "c"; } ); listeners = ( { name = "chat"; type = "tcp"; mode = "chat"; '
                'listen = "127.0.0.1:6052"; } );\n')
    people = {}
    units = ("chatd@a.service", "chatd@b.service", "chatd@b.socket", "chatd@c.service")
    try:
        check(c.try_run("systemctl", "start", "chatd@c.service")[0] != 0)
        log = "\n".join(m["MESSAGE"] for m in c.journal("-u", "chatd@c"))
        check("/run/chatd/control.sock" in log, log)
        c.systemctl("stop", "chatd@c")
        c.systemctl("start", "chatd@a.service", "chatd@b.socket")
        people = {name: c.popen("timeout", "60", "nc", "127.0.0.1", port, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                  for name, port in (("a", "6050"), ("b", "6051"))}
        for name, p in people.items():
            check(b"Welcome, guest1" in p.stdout.readline(), name)
        ctl = lambda name, *args: c.run("chatctl", "-c", "/etc/chatd/%s.conf" % name, *args)
        equal(ctl("a", "ban", "192.0.2.7", "1h").strip(), "192.0.2.7 is banned; 0 removed")
        for name in people:
            c.systemctl("restart", "chatd@" + name)
            c.systemctl("reload", "chatd@" + name)
            status = json.loads(ctl(name, "--json", "status"))
            equal((status["takeover"]["count"], status["takeover"]["clients"]), (1, 1))
        equal(json.loads(ctl("b", "--json", "list", "listeners"))[0]["socket"], "systemd")
        # One's bans are not another's, nor are the plain one's.
        equal(["192.0.2.7" in ctl("a", "list", "bans"), "192.0.2.7" in ctl("b", "list", "bans"),
               "192.0.2.7" in c.run("chatctl", "list", "bans")], [True, False, False])
        equal(c.sh("cd /var/lib && ls -d chatd-[ab] && ls chatd-a").split(), ["chatd-a", "chatd-b", "bans"])
        c.systemctl("stop", "chatd@a")
        people["a"].stdin.close()
        check(people["a"].stdout.read().endswith(b"* chatd is going down\n"))
        equal(c.show("ActiveState"), "active")
        people["b"].stdin.write(b"here\n")
        people["b"].stdin.flush()
        hear(people["b"], b"guest1: here\n")
    finally:
        for p in people.values():
            p.kill()
            p.wait()
        c.try_run("systemctl", "stop", *units)
        c.sh("rm -rf /etc/chatd/[abc].conf /run/systemd/system/chatd@b.socket.d; systemctl daemon-reload")


@test
def reloads():
    c = container()
    c.systemctl("start", "chatd")
    text = shared["config"].replace("max_message = 4096", "max_message = 20")
    check(text != shared["config"])
    c.write_config(text)
    c.systemctl("reload", "chatd")
    out = c.nc("printf 'this is longer than that\\n'; sleep 0.3; printf 'quit\\n'")
    check("longer than 20 bytes" in out, out)
    c.write_config(text + "\nmistake = 1;\n")
    code, _, err = c.try_run("systemctl", "reload", "chatd")
    check(code != 0)
    log = "\n".join(m["MESSAGE"] for m in c.journal("-u", "chatd"))
    # Each mistake once: chatctl, which systemd calls, doesn't repeat what chatd has logged.
    equal((log.count("unknown setting mistake"), log.count("nothing has changed")), (1, 1))
    equal(c.show("ActiveState"), "active")


@test
def logs_with_fields():
    c = container()
    c.systemctl("start", "chatd")
    c.sh("(sleep 2) | timeout 5 nc 127.0.0.1 5050 >/dev/null & sleep 0.5; "
         "chatctl kick $(chatctl --json list clients | grep -o '\"id\":[1-9][0-9]*' | cut -d: -f2) 'bye'")
    kicked = c.journal("-u", "chatd", "MESSAGE_ID=5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f07")[-1]
    check(kicked["CHATD_CLIENT"].isdigit() and kicked["PRIORITY"] == "5", kicked)
    c.run("journalctl", "--update-catalog")
    explained = c.run("journalctl", "-x", "-n", "1", "-u", "chatd", "MESSAGE_ID=5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f07")
    check(" Subject: A client was kicked\n" in explained, explained)
    listener = c.journal("-u", "chatd", "CHATD_LISTENER=chat")[-1]
    check(listener["MESSAGE"].startswith("listener chat: tcp chat on 127.0.0.1:5050, room lobby"), listener)


@test
def the_journal_has_addresses_that_fail2ban_finds():
    c = container()
    need("fail2ban-regex")
    c.sh("printf 'secret\\n' | chatctl passwd /etc/chatd/passwords alice; chgrp chatd /etc/chatd/passwords; "
         "chmod 640 /etc/chatd/passwords")
    config, n = re.subn(r'("chat"; type = "tcp"; mode = "chat";)', r'\1 password_file = "/etc/chatd/passwords";',
                        shared["config"])
    check(n >= 1)
    c.write_config(config)
    since = c.sh("date +%s.%N").strip()
    c.systemctl("start", "chatd")
    out = c.nc("printf '/login alice wrong\\n'; sleep 1; printf '/quit\\n'")
    check("Wrong name or password" in out, out)
    failed = c.journal("-u", "chatd", "MESSAGE_ID=5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0e", "--since", "@" + since)[-1]
    equal(failed["CHATD_ADDRESS"], "127.0.0.1")
    equal(failed["MESSAGE"], "client %s from 127.0.0.1 port %s: wrong name or password (alice)"
          % (failed["CHATD_CLIENT"], failed["CHATD_PORT"]))
    with open(os.path.join(SOURCE, "docs/RECIPES.md")) as f:
        recipe = f.read().split("## With fail2ban\n")[1].split("\n## ")[0]
    install, find = re.findall(r"```sh\n(.*?)```", recipe, re.S)
    c.sh(install)
    # Debian's jail for sshd wants a log that a container doesn't have.
    out = c.sh("rm -f /etc/fail2ban/jail.d/defaults-debian.conf; fail2ban-client --test 2>&1")
    check("test is successful" in out, out)
    check("127.0.0.1" in c.sh(find).split(), "fail2ban-regex")
    c.sh("chatctl ban 192.0.2.1 1h")
    ban = c.journal("-u", "chatd", "MESSAGE_ID=5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0f")[-1]
    equal(ban["CHATD_ADDRESS"], "192.0.2.1")
    check(3000 < int(ban["CHATD_UNTIL"]) - time.time() <= 3600, ban)
    c.sh("chatctl unban 192.0.2.1")


@test
def the_log_says_who_did_it():
    c = container()
    c.systemctl("start", "chatd")
    c.sh("useradd -r -G chatd friend 2>/dev/null; true")
    since = c.sh("date +%s.%N").strip()
    c.run("chatctl", "ban", "192.0.2.1", "1h")
    c.sh("setpriv --reuid friend --regid nogroup --init-groups chatctl ban 192.0.2.2 1h")

    def bans():
        return {m["MESSAGE"] for m in c.journal("-u", "chatd", "--since", "@" + since) if "banned by" in m["MESSAGE"]}

    wait_for(lambda: len(bans()) == 2, what="the journal")
    uid = c.sh("id -u friend").strip()
    for address, who in (("192.0.2.1", "root (uid 0, pid "), ("192.0.2.2", "friend (uid %s, pid " % uid)):
        check(any(address in m and "by " + who in m for m in bans()), who, bans())
    for address in ("192.0.2.1", "192.0.2.2"):
        c.run("chatctl", "unban", address)


@test
def root_checks_with_the_eyes_of_chatd():
    c = container()
    c.sh("printf 'secret\\n' | chatctl passwd /etc/chatd/rootonly alice; chown root:root /etc/chatd/rootonly; "
         "chmod 600 /etc/chatd/rootonly")
    c.write_config(re.sub(r'("chat"; type = "tcp"; mode = "chat";)', r'\1 password_file = "/etc/chatd/rootonly";',
                          shared["config"]))
    code, _, err = c.try_run("chatctl", "check")
    equal(code, 1)
    check("this password_file can't be used as user chatd" in err, err)
    code, _, err = c.try_run("systemctl", "start", "chatd")
    check(code != 0, "chatd starts")
    c.sh("chgrp chatd /etc/chatd/rootonly; chmod 640 /etc/chatd/rootonly")
    equal(c.try_run("chatctl", "check"), (0, "", ""))
    c.systemctl("start", "chatd")


PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000


def traced_has_ended(thread):
    try:
        pid, status = os.waitpid(thread, os.WNOHANG | WALL)
    except ChildProcessError:
        return True
    return pid and not os.WIFSTOPPED(status)


@test
def the_watchdog_notices_a_stuck_worker():
    c = container()
    drop_in(c, "[Service]\nWatchdogSec=4\n")
    c.systemctl("start", "chatd")
    p = c.popen("nc", "127.0.0.1", "5050", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        check(b"Welcome" in p.stdout.readline())
        pid = c.chatd_pid()
        worker = next(int(t) for t in os.listdir("/proc/%d/task" % pid)
                      if open("/proc/%d/task/%s/comm" % (pid, t)).read().strip() == "chatd/0")
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        check(libc.ptrace(PTRACE_SEIZE, worker, None, None) == 0, "ptrace:", os.strerror(ctypes.get_errno()))
        check(libc.ptrace(PTRACE_INTERRUPT, worker, None, None) == 0)
        # The process can end only when its tracer, too, has seen this thread's end.
        wait_for(lambda: traced_has_ended(worker), what="the watchdog")
        wait_for(lambda: c.show("NRestarts") == "1", what="the restart")
        log = "\n".join(m["MESSAGE"] for m in c.journal("-u", "chatd"))
        check("worker chatd/0 makes no progress" in log, log)
        wait_for(lambda: c.show("ActiveState") == "active", what="the service")
        p.stdin.write(b"I noticed nothing\n")
        p.stdin.flush()
        hear(p, b"guest1: I noticed nothing\n")
    finally:
        p.kill()
        p.wait()


@test
def mistakes_in_the_configuration():
    """At a start they end it; at a restart and a crash what was in use before goes on."""
    c = container()
    good = shared["config"]
    c.write_config(good + "\nmistake = 1;\n")
    code, _, err = c.try_run("systemctl", "start", "chatd")
    check(code != 0 and "failed" in err, code, err)
    equal((c.show("ActiveState"), c.show("ExecMainStatus"), c.show("NRestarts")), ("failed", "78", "0"))
    c.write_config(good)
    c.systemctl("start", "chatd")
    p = c.popen("nc", "127.0.0.1", "5050", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        check(b"Welcome" in p.stdout.readline())
        c.write_config(good + "\nmistake = 1;\n")
        for way, text in (("restart", b"is anybody there?\n"), ("kill", b"and now?\n")):
            if way == "restart":
                c.systemctl("restart", "chatd")
            else:
                c.systemctl("kill", "-s", "KILL", "chatd")
            p.stdin.write(text)
            p.stdin.flush()
            hear(p, b"guest1: " + text)
            wait_for(lambda: "mistakes" in c.show("StatusText"), what="the status")
            check("unknown setting mistake" in c.try_run("chatctl", "status")[1])
        c.write_config(good)
        c.systemctl("reload", "chatd")
        check("mistakes" not in c.run("chatctl", "status"))
        takeover = json.loads(c.try_run("chatctl", "--json", "status")[1])["takeover"]
        equal((takeover["clients"], takeover["closed"]), (1, 0))
    finally:
        p.kill()
        p.wait()


@test
def kills_restarts_and_upgrades_under_load():
    """200 clients in 10 rooms, 4 workers: SIGKILLs at random instants, restarts, upgrades to another version."""
    c = container()
    kills = int(os.environ.get("CHATD_KILLS", "100"))
    c.write_config(shared["config"].replace("workers = 0", "workers = 4").replace(
        "max_clients_per_address = 1000", "max_clients_per_address = 0").replace(
        'room_defaults: { history = 20; log_size = "1M"; announce_max = 100; }',
        'room_defaults: { history = 0; log_size = "8M"; announce_max = 0; }'))
    program = build_upgrade(c)
    c.systemctl("start", "chatd")
    p = c.popen("python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py"), "127.0.0.1", "5050",
                "200", "10", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rng = random.Random(11)
    try:
        equal(p.stdout.readline(), "ready\n")
        since = c.sh("date +%s.%N").strip()
        killed = 0
        while killed < kills:
            # One call from outside takes longer than a restart, so the instants are chosen in there.
            waits = [rng.random() * (0.05 if i % 10 > 7 else 0.4) for i in range(20)]
            c.sh("for t in %s; do sleep $t; systemctl kill -s KILL chatd 2>/dev/null; done; true" %
                 " ".join("%.3f" % t for t in waits))
            killed = sum("status=9/KILL" in m["MESSAGE"] for m in c.journal("-u", "chatd", "--since", "@" + since))
        wait_for(lambda: c.show("ActiveState") == "active", what="the service")
        restarts = []
        for i in range(20):
            time.sleep(rng.random() * 0.3)
            c.systemctl("restart", "chatd")
            restarts.append(json.loads(c.try_run("chatctl", "--json", "status")[1])["takeover"]["gap"])
        for i in range(5):
            version = "9.9.%d" % i
            install_upgrade(c, program, version)
            c.systemctl("restart", "chatd")
            status = json.loads(c.try_run("chatctl", "--json", "status")[1])
            equal(status["version"], version)
        time.sleep(0.5)
        status = json.loads(c.try_run("chatctl", "--json", "status")[1])
        p.stdin.close()
        result = json.loads(p.stdout.read())
        takeovers = [m["MESSAGE"] for m in c.journal("MESSAGE_ID=5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0c", "--since", "@" + since)]
        gaps = sorted(float(re.search(r"served for ([\d.]+) s", t).group(1)) for t in takeovers)
        note("restarts one at a time: nobody was served for %.3f s (median), %.3f s (most)" % (
            sorted(restarts)[10], max(restarts)))
        note("%d SIGKILLs, 20 restarts, 5 upgrades; %d takeovers, nobody was served for %.3f s (median), %.3f s (most)"
             % (killed, status["takeover"]["count"], gaps[len(gaps) // 2], gaps[-1]))
        note("%(lines)d lines, %(deliveries)d deliveries compared, longest silence %(longest_silence).3f s" % result)
        for problem in result["problems"]:
            note(problem)
        equal(result["n_problems"], 0)
        equal((status["takeover"]["closed"], status["takeover"]["clients"]), (0, 200))
    finally:
        p.kill()
        p.wait()


def build_upgrade(c):
    """A real build with another version string."""
    build = os.path.join(c.dir, "upgrade")
    os.makedirs(build)
    p = subprocess.run(
        ["sh", "-ec", "cd '%s' && '%s/configure' -q --prefix='%s' --sysconfdir=/etc && "
         "make -s -j2 chatd CFLAGS=-O0 CPPFLAGS='-UPACKAGE_VERSION -DPACKAGE_VERSION=\\\"9.9.0\\\"'" % (
             build, os.path.abspath(SOURCE), c.prefix)], capture_output=True, timeout=300)
    check(p.returncode == 0, p.stderr.decode()[-2000:])
    with open(os.path.join(build, "chatd"), "rb") as f:
        program = f.read()
    shutil.rmtree(build)
    check(b"9.9.0" in program)
    return program


def install_upgrade(c, program, version):
    """As a package manager does it: written beside the old one, then renamed."""
    path = c.root + c.prefix + "/sbin/chatd"
    with open(path + ".new", "wb") as f:
        f.write(program.replace(b"9.9.0", version.encode()))
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


@test
def security_score():
    c = container()
    out = c.run("systemd-analyze", "security", "chatd.service", "--no-pager")
    score = float(re.search(r"Overall exposure level for chatd.service: ([\d.]+)", out).group(1))
    note("systemd-analyze security: %.1f" % score)
    check(score <= 1.2, out)
    # Whoever looks at the file alone comes to the same: what is meant is said there.
    unit = glob.glob(c.root + "/lib/systemd/system/chatd.service") + glob.glob(c.root + "/usr/lib/systemd/system/chatd.service")
    out = c.run_on_host("systemd-analyze", "security", "--offline=true", "--no-pager", unit[0])
    equal(float(re.search(r"Overall exposure level for chatd.service: ([\d.]+)", out).group(1)), score)
    for name in ("PrivateMounts", "PrivateTmp", "PrivateDevices", "NoNewPrivileges"):
        check("\u2713 %s=" % name in out, name, out)


@test
def everything_works_in_the_sandbox():
    """TLS with a key that only chatd may read, logins, bans, metrics, the directory of the state; through a restart."""
    c = container()
    c.sh("""set -e
        mkdir -p /etc/chatd; chown root:chatd /etc/chatd; chmod 750 /etc/chatd; cd /etc/chatd
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem \\
            -subj /CN=x -addext subjectAltName=IP:127.0.0.1 2>/dev/null
        chown root:chatd *.pem; chmod 640 key.pem
        rm -f passwords; echo 'wonder land' | chatctl passwd /etc/chatd/passwords alice
        test "$(stat -c '%a %G' passwords)" = '640 chatd'""")
    c.write_config("""
      rooms = ( { name = "lobby"; }, { name = "board"; members = ( "alice" ); } );
      listeners = (
        { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:5050"; },
        { name = "tls"; type = "tcp"; mode = "chat"; listen = "[::]:5052"; room = "board"; auth = "password";
          password_file = "/etc/chatd/passwords"; tls_certificate = "/etc/chatd/cert.pem"; tls_key = "/etc/chatd/key.pem"; } );
      metrics: { listen = "127.0.0.1:9150"; };""")
    since = c.sh("date +%s.%N").strip()
    c.systemctl("start", "chatd")
    alice = ("(sleep 0.5; echo '/login alice wonder land'; sleep 0.7; echo hello; sleep 0.3; echo quit) | "
             "timeout 20 chatctl join --ca /etc/chatd/cert.pem tls://127.0.0.1:5052")
    out = c.sh(alice)
    check("* You are in board" in out and "alice: hello\n" in out, out)
    equal(c.run("chatctl", "ban", "192.0.2.0/24").strip(), "192.0.2.0/24 is banned; 0 removed")
    equal(c.sh("stat -c '%a %U' /var/lib/chatd").strip(), "700 chatd")
    c.systemctl("restart", "chatd")
    c.systemctl("reload", "chatd")
    check("192.0.2.0/24" in c.run("chatctl", "list", "bans"))
    check("alice: hello\n" in c.sh(alice))
    equal(c.run("chatctl", "unban", "192.0.2.0/24"), "")
    page = c.sh("printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | timeout 10 nc 127.0.0.1 9150")
    check("200 OK" in page and "chatd_logins_total 2\n" in page, page[:500])
    equal(c.journal("-u", "chatd", "-p", "err", "--since", "@" + since), [])


@test
def what_is_stored_is_private():
    """In the sandbox: the modes of the files. Its threads step back behind those that serve people only where they may."""
    c = container()
    c.write_config("""
      rooms = ( { name = "lobby"; } );
      listeners = ( { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:5050"; } );
      history: { database = "history.db"; };""")
    since = c.sh("date +%s.%N").strip()
    c.systemctl("start", "chatd")
    c.nc("printf 'hello\\n'; sleep 1; printf '/search hello\\n'; sleep 1; printf 'quit\\n'")
    wait_for(lambda: "hello" in c.run("chatctl", "history", "lobby"), what="what was said in the database")
    c.run("chatctl", "backup", "/root/copy.db")
    equal(c.sh("stat -c '%a %U' /root/copy.db").strip(), "600 root")
    equal(c.sh("stat -c '%a %U' /var/lib/chatd").strip(), "700 chatd")
    for line in c.sh("cd /var/lib/chatd && stat -c '%a %U %n' history.db*").splitlines():
        equal(line.split()[:2], ["600", "chatd"])
    for expected in ("0", "5"):
        nice = dict(l.split() for l in c.sh("ps -L -o comm=,ni= -p $(systemctl show -P MainPID chatd)").splitlines())
        equal([nice[name] for name in ("chatd/0", "chatd/history")], ["0", expected])
        drop_in(c, "[Service]\nSystemCallFilter=setpriority\n")
        c.systemctl("restart", "chatd")
    # Its own: systemd's may be of the container's control groups.
    equal(c.journal("_SYSTEMD_UNIT=chatd.service", "-p", "warning", "--since", "@" + since), [])


def recipes():
    """docs/RECIPES.md: the code blocks of each heading, by language."""
    with open(os.path.join(os.path.abspath(SOURCE), "docs", "RECIPES.md")) as f:
        text = f.read()
    blocks = {}
    for part in re.split(r"^#+ ", text, flags=re.M)[1:]:
        title = part.split("\n", 1)[0]
        blocks[title] = re.findall(r"^```(\w+)\n(.*?)^```$", part, re.M | re.S)
    return blocks


@test
def the_recipes_work():
    need("haproxy", "stunnel4")
    c = container()
    r = recipes()
    done = set()

    def block(title, n=0):
        done.add(title)
        return r[title][n][1]

    c.write_config(block("Recipes"))
    c.systemctl("start", "chatd")
    running = []

    def background(*command):
        p = subprocess.Popen(["nsenter", "-t", str(c.pid), "-a", "--", "timeout", "60", *command], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        running.append(p)
        return p

    def hear(room, text):
        wait_for(lambda: text in c.run("chatctl", "tail", "-n", "50", room), what=text)

    try:
        posted = background("/usr/bin/python3", "-c", block("What is said, to another service"))
        c.run("chatctl", "send", "ops", "to a webhook")
        equal(posted.stdout.readline(), b"admin: to a webhook\n")

        background("sh", "-c", block("A machine's log in a room"))
        for i in range(50):  # until journalctl follows
            c.sh("logger -t backup 'the disk is %d %% full'" % i)
            if "journal: the disk is" in c.run("chatctl", "tail", "ops"):
                break
            time.sleep(0.2)
        hear("ops", "journal: the disk is")

        c.sh(block("An alert from cron"))
        hear("ops", "cron: backup failed on ")

        background("/usr/bin/python3", "-c", block("Alerts from Prometheus"))
        alert = json.dumps({"alerts": [{"status": "firing", "labels": {"alertname": "x"}, "annotations": {"summary": "all is lost"}}]})
        wait_for(lambda: c.try_run("sh", "-c", "printf 'POST / HTTP/1.0\\r\\nContent-Length: %d\\r\\n\\r\\n%%s' '%s' | "
                                   "timeout 5 nc 127.0.0.1 9099 | grep -q 204" % (len(alert), alert))[0] == 0)
        hear("ops", "prometheus: firing: all is lost")

        c.run("bash", "-c", block("A sensor over UDP, from a shell"))
        hear("sensors", "porch: ")

        worker = background("/usr/bin/python3", "-c", block("A ZeroMQ worker farm"))
        c.run("/usr/bin/python3", "-c", block("A ZeroMQ worker farm", 1))
        equal([worker.stdout.readline() for _ in range(100)], [b"done: task %d\n" % i for i in range(100)])

        subscriber = background("/usr/bin/python3", "-c", block("A room's messages over ZeroMQ"))
        wait_for(lambda: any(x.get("peers") for x in json.loads(c.run("chatctl", "--json", "list", "clients"))
                             if x["listener"] == "bridge"), what="the subscriber")
        push = ("import zmq; c = zmq.Context(); s = c.socket(zmq.PUSH); s.connect('tcp://127.0.0.1:5558'); "
                "[s.send_multipart(m) for m in ([b'ops2', b'admin: forged'], [b'opsadmin: forged'], [b'said over zmq'])]; s.close(); c.term()")
        # Its subscription may take a moment longer than its connection.
        said = threading.Thread(target=lambda: [(c.run("/usr/bin/python3", "-c", push), time.sleep(0.2)) for _ in range(10)])
        said.start()
        equal({subscriber.stdout.readline() for _ in range(3)},
              {b"ops2: admin: forged\n", b"bridge: opsadmin: forged\n", b"bridge: said over zmq\n"})
        said.join()

        background("sh", "-c", block("One room's messages in another"))
        for i in range(50):  # until it follows
            c.run("chatctl", "send", "ops", "to all %d" % i)
            if "ops: admin: to all" in c.run("chatctl", "tail", "lobby"):
                break
            time.sleep(0.2)
        hear("lobby", "ops: admin: to all")

        with open(c.root + "/root/haproxy.cfg", "w") as f:
            f.write(block("Behind haproxy"))
        background("haproxy", "-f", "/root/haproxy.cfg")
        c.sh("mkdir -p /etc/chatd; openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/chatd/k -out /etc/chatd/c -subj /CN=x "
             "2>/dev/null; cat /etc/chatd/k /etc/chatd/c >/etc/chatd/stunnel.pem")
        with open(c.root + "/root/stunnel.conf", "w") as f:
            f.write(block("Behind stunnel"))
        background("stunnel4", "/root/stunnel.conf")
        for connect in ("nc 127.0.0.1 6050", "openssl s_client -quiet -connect 127.0.0.1:6052"):
            person = "(sleep 0.3; echo /who; sleep 0.7; echo quit) | timeout 10 %s 2>/dev/null" % connect
            wait_for(lambda: "Welcome" in c.sh(person + " || true"), what=connect)
        # The address is the client's, not the proxy's.
        background("sh", "-c", "sleep 20 | nc -s 127.0.0.9 127.0.0.1 6050")
        wait_for(lambda: "127.0.0.9:" in c.run("chatctl", "list", "clients"), what="the real address")

        display = background("sh", "-c", block("A read-only display"))
        wait_for(lambda: "display" in c.run("chatctl", "list", "clients"), what="the display")
        c.run("chatctl", "send", "board", "lunch is ready")
        display.stdout.readline()
        equal(display.stdout.readline(), b"admin: lunch is ready\n")
        # the_journal_has_addresses_that_fail2ban_finds runs that one.
        elsewhere = {"irssi", "WeeChat", "ZNC",  # irc_clients.py
                     "soju, The Lounge, gamja and Kiwi IRC",  # nowhere, as it says
                     "With fail2ban", "The page behind nginx", "The page behind haproxy, with TLS and real addresses"}  # web_proxy.py
        equal(done | elsewhere, set(r))
    finally:
        for p in running:
            p.terminate()
            p.wait()
            p.stdout.close()


@test
def the_commands_of_the_readme_work():
    """Each chatctl line of it, as it stands there."""
    c = container()
    with open(os.path.join(os.path.abspath(SOURCE), "README.md")) as f:
        lines = re.findall(r"^    (?:.*?  (?:or|for an hour): +)?(chatctl .*)$", f.read(), re.M)
    commands = []
    for l in lines:
        # What follows two spaces is an explanation, which may name another command.
        commands += [part.strip() for part in re.split(r" {2,}", l) if part.startswith("chatctl ")]
        commands += re.findall(r"(?:or|for an hour): +((?:journalctl|chatctl) .*)$", l)
    check(len(commands) >= 12, commands)
    c.sh("mkdir -p /etc/chatd; cp /etc/chatd.conf /tmp/new.conf")
    c.write_config(shared["config"].replace('{ name = "lobby";', '{ name = "ops"; }, { name = "lobby";', 1))
    c.systemctl("start", "chatd")
    # The other machine is this one.
    c.sh("printf '#!/bin/sh\\nfor last; do :; done\\nexec sh -c \"$last\"\\n' >/usr/local/bin/ssh; chmod 755 /usr/local/bin/ssh")
    bob = c.popen("timeout", "60", "nc", "127.0.0.1", "5050", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        check(b"Welcome, guest1" in bob.stdout.readline())
        bob.stdin.write(b"/nick bob\n")
        bob.stdin.flush()
        wait_for(lambda: '"nick":"bob"' in c.run("chatctl", "--json", "list"), what="bob")
        for command in sorted(set(commands), key=commands.index):
            endless = " -f" in command or "watch" in command or command == "chatctl top"
            if command == "chatctl top":
                command = "script -qec 'timeout 2 chatctl top' /dev/null"
            elif " join" in command:
                command = "echo hello | " + command
            elif " passwd " in command:
                command = "echo secret | " + command
            code, out, err = c.try_run("sh", "-c", ("timeout 3 " if endless and not command.startswith("script") else "") + command)
            check(code == 0 or (endless and code in (124, 143)), command, "gave", code, out, err)
    finally:
        bob.kill()
        bob.wait()


def build_package(c):
    """dpkg-buildpackage on a copy of the sources; lintian has nothing to say of what comes out. The unit tests that it would
    run are those that run beside this one. It is made once."""
    if "package" in shared:
        return shared["package"]
    where = os.path.join(c.dir, "package")
    source = os.path.join(where, "chatd")
    shutil.copytree(os.path.abspath(SOURCE), source, symlinks=True,
                    ignore=shutil.ignore_patterns("build*", ".git", "autom4te.cache", "__pycache__"))
    # The aux files are no build directory.
    p = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=source, capture_output=True, text=True, timeout=600,
                       env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "CMOCKA"))} |
                       {"DEB_BUILD_OPTIONS": "nocheck"})
    check(p.returncode == 0, p.stdout[-3000:], p.stderr[-2000:])
    changes = glob.glob(where + "/chatd_*.changes")[0]
    p = subprocess.run(["lintian", "--fail-on", "error,warning", changes], capture_output=True, text=True, timeout=300)
    check(p.returncode == 0 and not p.stdout.strip(), p.stdout, p.stderr)
    shared["package"] = [f for f in glob.glob(where + "/chatd_*.deb") if "dbgsym" not in f][0]
    return shared["package"]


def higher_version(c, deb):
    """The same package as a later version."""
    higher = os.path.join(c.dir, "higher.deb")
    if os.path.exists(higher):
        return higher
    tree = os.path.join(c.dir, "higher")
    c.run_on_host("dpkg-deb", "-R", deb, tree)
    path = tree + "/DEBIAN/control"
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(re.sub(r"^Version: .*$", "Version: 99.0", text, flags=re.M))
    c.run_on_host("dpkg-deb", "--root-owner-group", "-b", tree, higher)
    shutil.rmtree(tree)
    return higher


def files_below(root):
    """As in other distributions, where /lib is /usr/lib."""
    return {re.sub("^/lib/", "/usr/lib/", f[len(root):]) for f in glob.glob(root + "/**", recursive=True) if os.path.isfile(f)}


def spec_files(text, installed):
    """What the %files of a spec list, of what is installed; and each of its lines that fits nothing."""
    macros = {"_sysconfdir": "/etc", "_prefix": "/usr", "_sbindir": "/usr/sbin", "_bindir": "/usr/bin", "_datadir": "/usr/share",
              "_unitdir": "/usr/lib/systemd/system", "_mandir": "/usr/share/man", "_docdir": "/usr/share/doc"}
    listed, idle = set(), []
    for line in re.search(r"^%files\n(.*?)\n\n", text, re.M | re.S).group(1).splitlines():
        if line.startswith("%license"):
            check(os.path.exists(os.path.join(SOURCE, line.split()[1])), line)
            continue
        path = re.sub(r"%\{(\w+)\}", lambda m: macros[m.group(1)], line.split()[-1])
        found = {f for f in installed if fnmatch.fnmatch(f, path + "*" if path.endswith("/") else path)}
        listed |= found
        if not found:
            idle.append(line)
    return listed, idle


def libraries():
    """What configure asks pkg-config for."""
    with open(os.path.join(SOURCE, "configure.ac")) as f:
        return {n for m in re.findall(r"PKG_CHECK_MODULES\(\[\w+\], \[(.*?)\]", f.read()) for n in re.findall(r"[a-z][\w-]+", m)}


@test
def the_debian_package_says_what_it_is_built_from():
    """`apt build-dep ./` installs each library that configure asks for, and no other; all of it is installed here."""
    need("apt-get", "dpkg-query", "pkg-config")
    names = sorted(libraries())
    places = run("pkg-config", "--variable=pcfiledir", *names).stdout.decode().split()
    p = run("dpkg-query", "-S", *("%s/%s.pc" % place for place in zip(places, names)))
    check(p.returncode == 0, p.stderr.decode())
    packages = {re.split("[:,]", l)[0] for l in p.stdout.decode().splitlines()}
    with open(os.path.join(SOURCE, "debian/control")) as f:
        asked = re.search(r"^Build-Depends:(.*?)^\S?$", f.read(), re.M | re.S).group(1)
    equal({n for n in re.findall(r"[\w.+-]+-dev\b", asked)}, packages)
    # Its lists, which take long to read, are not needed for what is installed.
    p = run("apt-get", "-o", "Dir::State::lists=/nonexistent", "build-dep", "-s", os.path.abspath(SOURCE))
    check(p.returncode == 0 and b"\nInst " not in p.stdout, p.stdout.decode(), p.stderr.decode())


@test
def packages_of_other_distributions():
    """The spec and the PKGBUILD are read by rpmspec and bash, and list what `make install` puts."""
    where = os.path.join(os.path.abspath(SOURCE), "packaging")
    version = run(os.path.join(BUILD, "chatd"), "--version").stdout.decode().split()[1]
    with tempfile.TemporaryDirectory() as root:
        p = run("make", "-s", "-C", BUILD, "install", "DESTDIR=" + root, timeout=120)
        check(p.returncode == 0, p.stderr.decode())
        installed = files_below(root)
    with open(where + "/chatd.spec") as f:
        spec = f.read()
    equal(re.search(r"^Version: +(.*)$", spec, re.M).group(1), version)
    listed, idle = spec_files(spec, installed)
    equal((sorted(installed - listed), idle), ([], []))
    # Each library that configure asks for, and no other.
    equal(set(re.findall(r"pkgconfig\((.*?)\)", spec)), libraries() - {"cmocka"})
    script = ('set -eu; . "$0"; echo "$pkgname $pkgver $pkgrel"; echo "${arch[@]}"; echo "${backup[@]}"; declare -F build package; '
              '[ ${#source[@]} = ${#sha256sums[@]} ]')
    p = run("bash", "-c", script, where + "/PKGBUILD")
    equal((p.returncode, p.stderr), (0, b""))
    lines = p.stdout.decode().splitlines()
    equal(lines[0], "chatd %s 1" % version)
    check({"/" + f for f in lines[2].split()} == {f for f in installed if f.startswith("/etc/")}, lines[2])
    if not shutil.which("rpmspec"):
        print("# the spec is not read by rpmspec, which isn't here (Debian's package rpm)")
        return
    p = run("rpmspec", "-P", where + "/chatd.spec")
    equal(p.returncode, 0)


def fresh(c):
    """Ready for a package. Containers are often told not to start services; and apt and man-db take
    half a minute to index what has nothing to do with it."""
    c.sh("rm -rf /usr/sbin/policy-rc.d /var/lib/man-db/auto-update /var/lib/apt/lists/* /etc/chatd.conf /etc/chatd /var/lib/chatd")


@test
def debian_package():
    """Builds, installs, passes its autopkgtest, upgrades with people connected, removes and purges."""
    need("dpkg-buildpackage", "dh", "lintian", "dpkg-deb")
    c = container()
    deb = build_package(c)
    for name, path in (("one", deb), ("two", higher_version(c, deb))):
        shutil.copy(path, c.root + "/root/%s.deb" % name)
    fresh(c)
    c.run("dpkg", "-i", "/root/one.deb", timeout=120)
    equal(c.show("ActiveState"), "active")
    check("/usr/sbin/chatd" in c.show("ExecStart"))
    equal(c.sh("stat -c '%A %U %G' /etc/chatd").strip(), "drwxr-x--- root chatd")
    equal(c.run("dpkg-query", "-W", "-f", "${Conffiles}", "chatd").split()[0], "/etc/chatd.conf")
    # As autopkgtest runs it.
    with open(os.path.join(SOURCE, "debian/tests/talk")) as f:
        out = c.run("sh", "-c", f.read(), timeout=120)
    check("all of them survive" in out, out)
    c.systemctl("stop", "chatd")
    c.systemctl("start", "chatd")
    c.sh("echo '# mine' >>/etc/chatd.conf")
    # An instance beside it is upgraded with it.
    with open(c.root + "/etc/chatd/a.conf", "w") as f:
        f.write('rooms = ( { name = "lobby"; } ); listeners = ( { name = "chat"; type = "tcp"; mode = "chat"; '
                'listen = "127.0.0.1:6050"; } );\ncontrol: { socket = "/run/chatd-a/control.sock"; };\n')
    c.systemctl("start", "chatd@a")
    people = [c.popen("timeout", "120", "nc", "127.0.0.1", port, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
              for port in ("5050", "6050")]
    try:
        for person in people:
            check(b"Welcome, guest1" in person.stdout.readline())
            person.stdin.write(b"before\n")
            person.stdin.flush()
            hear(person, b"guest1: before\n")
        c.run("dpkg", "-i", "/root/two.deb", timeout=120)
        for config in ("/etc/chatd.conf", "/etc/chatd/a.conf"):
            ask = ("chatctl", "-c", config, "--json", "status")
            wait_for(lambda: c.try_run(*ask)[0] == 0)
            takeover = json.loads(c.run(*ask))["takeover"]
            equal((config, takeover["count"], takeover["clients"], takeover["closed"]), (config, 1, 1, 0))
        check("# mine" in c.sh("cat /etc/chatd.conf"))
        for person in people:
            person.stdin.write(b"after\n")
            person.stdin.flush()
            equal(person.stdout.readline(), b"guest1: after\n")
        c.run("dpkg", "-r", "chatd", timeout=120)
        for person in people:
            person.stdin.close()
            equal(person.stdout.read(), b"* chatd is going down\n")
    finally:
        for person in people:
            person.kill()
            person.wait()
    equal(c.try_run("systemctl", "is-active", "chatd", "chatd@a")[1].split(), ["inactive"] * 2)
    c.sh("test -e /etc/chatd.conf")
    c.run("dpkg", "-P", "chatd", timeout=120)
    c.sh("test ! -e /etc/chatd.conf -a ! -e /usr/sbin/chatd")


@test
def what_the_guide_for_admins_says_works():
    """docs/ADMIN.md, from the package to the upgrade."""
    need("dpkg-buildpackage", "dh", "lintian", "dpkg-deb", "sqlite3", "curl")
    c = container()
    deb = build_package(c)
    admin = guide.Admin(c, (deb, higher_version(c, deb)))
    fresh(c)
    guide.follow(admin)


main()
