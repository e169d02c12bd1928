#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chatd --supervise: what holds under systemd holds without it, by a parent that keeps the state and starts it again."""

import contextlib
import random
import signal
import socket
import time

from load import Load, during
from testing import *

QUICK = '{ name = "lobby"; announce_max = 0; history = 0; }'
DEFAULTS = "room_defaults: { history = 0; log_size = \"8M\"; announce_max = 0; };"


def takeovers(d):
    """How many there have been; -1 while nobody is there to say so."""
    out = d.ctl("--json", "status")[1]
    return json.loads(out)["takeover"]["count"] if out else -1


def environment(pid):
    with open("/proc/%d/environ" % pid, "rb") as f:
        return dict(e.split("=", 1) for e in f.read().decode().split("\0") if "=" in e)


def own_binary(d):
    """A copy of chatd, in whose place another program may be put as a package manager does it: own(CHATD), own("script")."""
    d.binary = os.path.join(d.dir, "chatd")

    def put(what):
        if what == CHATD:
            shutil.copy(CHATD, d.binary + ".new")
        else:
            with open(d.binary + ".new", "w") as f:
                f.write(what)
            os.chmod(d.binary + ".new", 0o755)
        os.rename(d.binary + ".new", d.binary)
    put(CHATD)
    return put


def upgradable():
    """A daemon with one client, and what puts another program in its place."""
    d = Daemon(parent=True, start=False)
    put = own_binary(d)
    d.start()
    return d, put, d.join(nick="alice")


@test
def kills_at_random_instants():
    """SIGKILL of the daemon under load, also several within 100 ms and during the start: nothing lost, doubled, reordered."""
    rounds = int(os.environ.get("CHATD_KILLS", "100" if SCALE >= 1 else "15"))
    d = Daemon(rooms=QUICK, extra=DEFAULTS, parent=True, workers=4)
    load = Load("127.0.0.1", d.port, 200 if SCALE >= 1 else 60, 10)
    rng = random.Random(3)
    kills = []

    def kill():
        pid = d.child()
        try:
            if pid:
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)
        except ProcessLookupError:
            pass  # it was killed just now

    def is_served(since):
        with open(d.log_path, errors="replace") as f:
            f.seek(since)
            return " serves 2 listeners" in f.read().rpartition("supervisor: ")[2]

    def steps():
        for i in range(rounds):
            yield rng.random() * 0.25
            since = os.path.getsize(d.log_path)
            kill()
            if i % 5 == 4:  # and again while it starts
                for _ in range(rng.randrange(1, 4)):
                    yield rng.random() * 0.03
                    kill()
            # What died before it was ready is started more slowly, so the next round waits for it.
            while not is_served(since):
                check(d.alive(), d.last_words())
                yield 0.01
        yield 1.5

    during(load, steps())
    wait_for(lambda: takeovers(d) > 0)
    status = d.json("status")
    note("%d kills, %d takeovers" % (len(kills), status["takeover"]["count"]))
    check(status["takeover"]["count"] > rounds / 3)
    equal((status["takeover"]["closed"], status["takeover"]["clients"]), (0, len(load.members)))
    check("can't be" not in d.log(), [l for l in d.log().splitlines() if "can't be" in l][:5])
    result = load.finish()
    note("%(lines)d lines, %(deliveries)d deliveries compared, longest silence %(longest_silence).3f s" % result)
    equal((result["n_problems"], result["problems"]), (0, []))
    check(result["deliveries"] > 0)
    load.close()


@test
def signals_are_passed_on():
    """HUP reloads, USR2 and chatctl restart within the process, USR1 by the next one, TERM ends in order."""
    d = Daemon(parent=True)
    a = d.join(nick="alice")
    first = d.child()
    d.write_config(rooms='{ name = "lobby"; }, { name = "den"; }')
    d.signal(signal.SIGHUP)
    wait_for(lambda: [r["name"] for r in d.json("list", "rooms")] == ["lobby", "den"], what="the reload")
    d.signal(signal.SIGUSR2)
    wait_for(lambda: takeovers(d) == 1, what="the restart")
    equal(d.ctl("restart")[0], 0)
    equal((takeovers(d), d.child()), (2, first))
    d.signal(signal.SIGUSR1)
    wait_for(lambda: takeovers(d) == 3, what="the handover")
    check(d.child() != first)
    logged(d, "handing over to the next process")
    out = d.ctl("status")[1]
    check("clients    1 (all of them survive a restart or a crash)\n" in out, out)
    a.send("still here\n")
    a.expect("alice: still here\n")
    equal(a.buf, b"")
    d.stop()
    equal(a.rest(), b"* chatd is going down\n")
    # Nothing is left of it.
    d.start()
    equal(takeovers(d), 0)


@test
def upgrades_take_the_program_on_disk():
    d, put, a = upgradable()
    for how in ("kill", "restart", "handover"):
        put(CHATD)
        new = os.stat(d.binary).st_ino
        before, count = d.child(), takeovers(d)
        if how == "kill":
            d.kill_child()
        elif how == "restart":
            equal(d.ctl("restart")[0], 0)
        else:
            d.signal(signal.SIGUSR1)
        wait_for(lambda: takeovers(d) == count + 1, what="the takeover by " + how)
        equal(os.stat("/proc/%d/exe" % d.child()).st_ino, new)
        equal(d.child() == before, how == "restart")
        a.send("%s\n" % how)
        a.expect("alice: %s\n" % how)


FAILING = """#!/bin/sh
date +%s%N >>"${0%/*}/starts"
exit 3
"""


@test
def what_dies_before_it_is_ready_is_started_ever_more_slowly():
    d, put, a = upgradable()
    put(FAILING)
    killed = time.time()
    os.kill(d.child(), signal.SIGKILL)

    def starts():
        try:
            with open(os.path.join(d.dir, "starts")) as f:
                return [int(l) / 1e9 for l in f]
        except FileNotFoundError:
            return []
    a.send("meanwhile\n")
    wait_for(lambda: len(starts()) >= 10, 60, "ten starts")
    at = starts()
    # It may take longer than that, but not less. A script may be late, so all is counted from the beginning.
    for i in range(10):
        check(at[i] - killed > sum(min(0.01 * 2 ** k, 1) for k in range(i)), i, at[i] - killed)
    check(d.log().count("ended with status 3 before it was ready; it is started again") >= 9, d.last_words())
    put(CHATD)
    a.expect("alice: meanwhile\n")
    # It was ready now, so the next one comes at once, and counts from the beginning.
    put(FAILING)
    n = len(starts())
    os.kill(d.child(), signal.SIGKILL)
    wait_for(lambda: len(starts()) >= n + 3, what="the next starts")
    put(CHATD)
    a.send("again\n")
    a.expect("alice: again\n")


@test
def the_exit_status_is_the_daemons():
    """Mistakes in the configuration end it with 78, as by systemd's unit; what may go away by itself is waited for."""
    d = Daemon(parent=True, start=False)
    with open(d.config, "a") as f:
        f.write("nonsense = 1;\n")
    d.spawn()
    equal(os.waitstatus_to_exitcode(d.wait()), 78)
    logged(d, "nonsense", 1)
    taken = socket.create_server(("127.0.0.1", d.echo_port))
    d.write_config()
    d.spawn()
    wait_for(lambda: d.log().count("it is started again") >= 2, what="two starts in vain")
    taken.close()
    d.wait_ready()
    # Told to end in a pause.
    d.stop()
    taken = socket.create_server(("127.0.0.1", d.echo_port))
    d.spawn()
    wait_for(lambda: d.log().count("it is started again") >= 5, what="starts in vain")
    d.signal(signal.SIGTERM)
    d.wait()
    taken.close()


@test
def an_impossible_control_socket_is_told():
    """It ends a fresh start, as other mistakes in the configuration do. Who has clients goes on with what was in use before."""
    d = Daemon(parent=True, start=False)
    place, d.socket = d.socket, os.path.join(d.dir, "missing", "control.sock")
    d.write_config()
    d.spawn()
    equal(os.waitstatus_to_exitcode(d.wait()), 78)
    log = d.log()
    equal(log.count("No such file or directory\n<3>chatd can't start"), 1)
    check("taken over" not in log and "is started again" not in log, log)
    os.unlink(d.log_path)
    d.socket = place
    d.write_config()
    d.start()
    a = d.join(nick="alice")
    d.socket = os.path.join(d.dir, "missing", "control.sock")
    d.write_config()
    d.kill_child()
    d.socket = place
    a.send("here\n")
    a.expect("alice: here\n")
    wait_for(lambda: takeovers(d) == 1, what="who can be asked")
    log = d.log()
    # Once, and not by the start that failed.
    equal((log.count(" taken over, "), log.count("\n<3>chatd can't start")), (1, 1))


@test
def too_few_files_for_max_clients_are_told_once():
    """Those that max_clients needs are no matter, and later starts say nothing of it."""
    line = "<5>max_clients is %d, but file descriptors are allowed for %d clients at most"
    d = Daemon(parent=True, start=False)
    d.start_by("ulimit -n 600\nexec")
    for clients, times in ((500, 0), (526, 1)):
        d.write_config(extra="limits: { max_clients = %d; max_clients_per_address = 0; };" % clients)
        d.start()
        d.kill_child()
        wait_for(lambda: takeovers(d) == 1)
        equal((clients, d.log().count(line % (clients, 525)), d.log().count("max_clients is")), (clients, times, times))
        d.stop()


@test
def an_abort_is_survived():
    d = Daemon(parent=True)
    a = d.join(nick="alice")
    for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL):
        before = d.child()
        os.kill(before, number)
        wait_for(lambda: d.child() not in (before, None))
        a.send("after %d\n" % number)
        a.expect("alice: after %d\n" % number)


@test
def without_the_parent_it_ends_in_order():
    """Its parent's death is a real end, however it died, also after an exec; the next start is a fresh one."""
    for restart in (False, True):
        d = Daemon(parent=True)
        a = d.join(nick="alice")
        if restart:
            equal(d.ctl("restart")[0], 0)
        child = d.child()
        d.signal(signal.SIGKILL)
        d.wait()
        equal(a.rest(), b"* chatd is going down\n")
        wait_for(lambda: not os.path.exists("/proc/%d" % child), what="the daemon's end")
        d.start()
        equal(takeovers(d), 0)
        d.finish()


@test
def strangers_are_not_believed():
    """Anybody can write to the socket by which the daemon tells what is to be kept."""
    d = Daemon(parent=True)
    a = d.join(nick="alice")
    name = environment(d.child())["NOTIFY_SOCKET"]
    check(name.startswith("@"), name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        for text in [b"FDSTOREREMOVE=1\nFDNAME=%b" % n for n in (b"chatd-clients-5", b"chatd-rooms-5", b"chatd-own-chat")] + \
                [b"STOPPING=1", b"READY=1", b"WATCHDOG=trigger", b"x" * 9000, b"", b"\n\n=\n", b"\xff\0\n"]:
            s.sendto(text, "\0" + name[1:])
        # What they store is closed.
        inside, outside = os.pipe()
        s.connect("\0" + name[1:])
        socket.send_fds(s, [b"FDSTORE=1\nFDNAME=chatd-own-evil"], [outside])
        os.close(outside)
        equal(os.read(inside, 1), b"")
        os.close(inside)
    fds = len(os.listdir("/proc/%d/fd" % d.pid))
    for _ in range(3):
        d.kill_child()
        a.send("here\n")
        a.expect("alice: here\n")
    equal(len(os.listdir("/proc/%d/fd" % d.pid)), fds)


# A daemon that does as it is told, by a line of Python for each of its starts.
PUPPET = """#!/usr/bin/env python3
import array, fcntl, json, os, signal, socket, sys, time
top = os.path.dirname(os.path.abspath(sys.argv[0]))
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
def say(text, *fds):
    socket.send_fds(s, [text.encode()], list(fds))
def tell(what):
    with open(top + "/told", "a") as f:
        f.write(json.dumps(what) + "\\n")
own, *kept = os.environ["CHATD_HANDOVER"].split(":")
kept = [(int(k.split("=")[0]), k.split("=")[1]) for k in kept]
with open(top + "/orders") as f:
    lines = f.read().splitlines()
with open(top + "/orders", "w") as f:
    f.write("\\n".join(lines[1:]) + "\\n")
exec(lines[0].replace("; ", "\\n"))
"""


def puppet(d, orders, env=None):
    """What it told when it has ended."""
    d.env.update(env or {})
    put = own_binary(d)
    d.write_config(extra="max_message = 4096;")
    d.start()
    put(PUPPET)
    with open(os.path.join(d.dir, "orders"), "w") as f:
        f.write("\n".join(orders) + "\n")
    os.kill(d.child(), signal.SIGKILL)
    status = os.waitstatus_to_exitcode(d.wait())
    with open(os.path.join(d.dir, "told")) as f:
        return status, [json.loads(l) for l in f]


@test
def it_speaks_as_systemd_does():
    d = Daemon(parent=True, start=False)
    names = '[n for fd, n in kept]'
    texts = '[os.read(fd, 9).decode() for fd, n in kept if n.startswith("mine")]'
    seek = '[os.lseek(fd, 0, 0) for fd, n in kept if n.startswith("mine")]'
    make = 'm = os.memfd_create("m"); os.write(m, b"text"); n = os.memfd_create("n"); os.write(n, b"more")'
    status, told = puppet(d, [
        make + '; say("READY=1"); say("FDSTORE=1\\nFDNAME=mine\\nFDPOLL=0", m); say("FDSTORE=1\\nFDNAME=mine", n); '
        'say("FDSTORE=1\\nFDNAME=other", m); say("FDSTORE=1\\nFDNAME=a:b", os.memfd_create("x")); os.kill(os.getpid(), 9)',
        # What is there already has not been stored twice; names are in the order of storing.
        '%s; tell([int(own) == os.getpid(), "LISTEN_FDS" in os.environ, %s.count("mine"), %s.count("other")]); tell(%s); '
        'say("FDSTOREREMOVE=1\\nFDNAME=mine"); say("READY=1"); os.kill(os.getpid(), 9)' % (seek, names, names, texts),
        # A barrier's descriptor is closed when all before it has been seen.
        'tell(%s.count("mine")); r, w = os.pipe(); say("BARRIER=1", w); os.close(w); tell(os.read(r, 1).decode()); '
        'tell([os.environ["FDSTORE"], os.environ["WATCHDOG_USEC"], signal.SIGTERM in signal.pthread_sigmask(0, [])]); '
        'say("STOPPING=1"); sys.exit(5)' % names,
        'tell("too early"); sys.exit(0)',  # before it was ready, so it is no end in order
        'tell("again"); say("READY=1"); sys.exit(0)',
    ])
    equal(status, 0)
    equal(told[0], [True, False, 2, 0])
    equal(told[1], ["text", "more"])
    equal(told[2:], [0, "", ["512", "30000000", True], "too early", "again"])


@test
def what_hangs_is_ended():
    """The watchdog: a daemon that says nothing any more is aborted; one that speaks, or that is not ready yet, is not."""
    d = Daemon(parent=True, start=False, env={"WATCHDOG_USEC": "1500000"})
    status, told = puppet(d, [
        'time.sleep(4); say("READY=1"); tell("ready"); time.sleep(60); tell("never")',
        'say("READY=1"); [(time.sleep(0.2), say("WATCHDOG=1")) for _ in range(20)]; tell("spoke"); sys.exit(0)',
    ])
    equal((status, told), (0, ["ready", "spoke"]))
    log = d.log()
    check(re.search(r"supervisor: chatd \(\d+\) hangs, and gets signal 6\n.*was ended by signal 6; it is started again", log),
          log[-2000:])
    equal(log.count("hangs"), 1)


@test
def orphans_are_reaped():
    """As the first process of a container it gets all orphans there as children."""
    need("unshare", "nsenter")
    if run("unshare", "--pid", "--fork", "--mount-proc", "true").returncode:
        raise Skip("no process namespaces here")
    d = Daemon(parent=True, start=False)
    d.start_by("exec unshare --pid --fork --kill-child --mount-proc")
    d.start()
    a = d.join(nick="alice")
    first = d.child()  # unshare's, which is process 1 there
    for _ in range(5):
        equal(run("nsenter", "-t", str(first), "-p", "-m", "sh", "-c", "(sleep 0.3; true) & (sleep 0.2; true) &").returncode, 0)

    def inside():
        out = run("nsenter", "-t", str(first), "-p", "-m", "ps", "-eo", "pid=,stat=,comm=").stdout.decode()
        return [l.split() for l in out.splitlines() if "ps" not in l.split()]
    wait_for(lambda: len([p for p in inside() if p[2] != "chatd"]) == 0, what="no orphans, and no zombies")
    equal([p[0] for p in inside()][0], "1")
    equal(len(inside()), 2)
    # And it does not die of its own daemon's death.
    equal(run("nsenter", "-t", str(first), "-p", "-m", "sh", "-c", "kill -9 %s" % inside()[1][0]).returncode, 0)
    a.send("here\n")
    a.expect("alice: here\n")
    os.kill(first, signal.SIGTERM)
    d.wait()
    equal(a.rest(), b"* chatd is going down\n")


@test
def a_program_that_does_nothing_ends_nothing():
    """An upgrade that went wrong ends with 0 at once: nobody is sent away for that."""
    d, put, a = upgradable()
    put("#!/bin/sh\nexit 0\n")
    os.kill(d.child(), signal.SIGKILL)
    wait_for(lambda: d.log().count("ended with status 0 before it was ready; it is started again") >= 3, what="three starts")
    put(CHATD)
    a.send("here\n")
    a.expect("alice: here\n")


@test
def a_time_in_which_all_stood_still_does_not_count():
    """SIGSTOP and a container's pause stop both; neither has hung."""
    d = Daemon(parent=True, env={"WATCHDOG_USEC": "1000000"})
    a = d.join(nick="alice")
    child = d.child()
    for _ in range(3):
        for pid in (child, d.pid):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.5)
        d.signal(signal.SIGCONT)
        time.sleep(0.05)
        check(d.child() == child and "hangs" not in d.log(), d.last_words())
        os.kill(child, signal.SIGCONT)
        a.send("here\n")
        a.expect("alice: here\n")


@test
def any_time_of_the_watchdog_is_understood():
    """The last two are more than a clock can count; systemd's infinity is one of them."""
    for value in ("", "0", "-5", "abc", "9223372036854775807", "18446744073709551615"):
        d = Daemon(parent=True, env={"WATCHDOG_USEC": value})
        child = d.child()
        d.join().send("here\n")
        time.sleep(0.2)
        check(d.child() == child and "hangs" not in d.log(), value, d.last_words())
        d.finish()


@test
def few_descriptors_are_enough():
    """A soft limit is raised as the daemon does it; what is kept then needs no second number for the next start."""
    for limit in ("ulimit -S -n 24", "ulimit -n 60"):
        d = Daemon(parent=True, start=False)
        ports = [free_port() for _ in range(18)]
        d.write_config(listeners=", ".join('{ name = "c%d"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; }' %
                                           (i, port) for i, port in enumerate(ports)))
        d.start_by(limit + "\nexec")
        d.start()
        a, b = d.join(port=ports[0], nick="alice"), d.join(port=ports[-1], nick="bob")
        for _ in range(3):
            d.kill_child()
            a.send("here\n")
            b.expect("alice: here\n")
        check(" is lost: " not in d.log() and "can't be kept" not in d.log(), d.last_words())
        equal(len(d.json("list", "listeners")), 18)
        d.finish()


@test
def a_log_that_nobody_takes_holds_up_nobody():
    d = Daemon(parent=True, start=False)
    log, d.log = d.log, lambda: ""
    os.mkfifo(d.log_path)
    reader, writer = os.open(d.log_path, os.O_RDONLY | os.O_NONBLOCK), os.open(d.log_path, os.O_WRONLY | os.O_NONBLOCK)
    d.start()
    a = d.join(nick="alice")
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * size)
    for _ in range(2):
        d.kill_child()
        a.send("here\n")
        a.expect("alice: here\n")
    os.read(reader, 1 << 20)
    before = d.child()
    d.kill_child()
    a.send("here\n")
    a.expect("alice: here\n")
    text = os.read(reader, 1 << 20).decode()
    check(re.search(r"^<4>2 lines of the log are missing here: nobody took them$", text, re.M), text[:500])
    check("<3>supervisor: chatd (%d) was ended by signal 9" % before in text, text[:500])
    d.stop()
    for fd in (reader, writer):
        os.close(fd)
    os.unlink(d.log_path)
    d.log = log


@test
def an_end_during_a_handover_is_in_order():
    """SIGUSR1, then SIGTERM before there is a next daemon: it is started, and tells everybody."""
    for pause in (0, 0, 0.001, 0.003):
        d = Daemon(parent=True)
        a = d.join(nick="alice")
        d.signal(signal.SIGUSR1)
        time.sleep(pause)
        d.stop()
        equal(a.rest(), b"* chatd is going down\n")


@test
def sockets_from_outside_are_the_daemons():
    """LISTEN_FDS=, as by systemd-socket-activate; they stay where they are through all restarts."""
    d = Daemon(parent=True, start=False)
    with socket.create_server(("127.0.0.1", d.port)) as s:
        inode = os.fstat(s.fileno()).st_ino
        d.passed = [(os.dup(s.fileno()), "chat")]
    d.start()
    a = d.join(nick="alice")
    for _ in range(2):
        d.kill_child()
        a.send("here\n")
        a.expect("alice: here\n")
        d.join().close()
    check(inode in [os.stat("/proc/%d/fd/%s" % (d.pid, n)).st_ino for n in os.listdir("/proc/%d/fd" % d.pid)])
    logged(d, "(socket from systemd)")


@test
def it_stays_small():
    """A thousand clients cost it nothing but the few descriptors that the daemon stores."""
    d = Daemon(parent=True)

    def size():
        with open("/proc/%d/status" % d.pid) as f:
            text = f.read()
        return int(re.search(r"RssAnon:\s+(\d+)", text).group(1)), len(os.listdir("/proc/%d/fd" % d.pid))
    d.join()
    before = size()
    clients = [d.connect() for _ in range(1000 if SCALE >= 1 else 200)]
    for c in clients:
        c.expect(WELCOME)
    d.kill_child()
    wait_for(lambda: takeovers(d) == 1)
    after = size()
    note("anonymous memory %d kB before, %d after; %d and %d descriptors" % (before[0], after[0], before[1], after[1]))
    check(after[0] - before[0] < 64 and after[1] - before[1] < 8, before, after)


main()
