#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TCP chat and echo against the real daemon."""

import pty
import random
import selectors
import signal
import socket
import subprocess
import time

from testing import *


@test
def conversation_with_nc():
    need("nc")
    d = Daemon()
    alice = d.join(nick="alice")
    script = "printf '/nick bob\\nhello\\n'; sleep 0.5; printf 'quit\\n'"
    p = subprocess.run(["sh", "-c", "(%s) | timeout 10 nc 127.0.0.1 %d" % (script, d.port)], capture_output=True)
    check(b"* Welcome, guest2. You are in lobby; /help lists the commands.\n" in p.stdout, p.stdout)
    check(p.stdout.endswith(b"* guest2 is now bob\nbob: hello\n"), p.stdout)
    equal(alice.expect("left lobby\n"), b"* guest2 joined lobby\n* guest2 is now bob\nbob: hello\n* bob left lobby\n")


@test
def quit_gives_the_nick_back_at_once():
    d = Daemon()
    a, b = d.join(nick="zoe"), d.join()
    a.send("/quit\n")
    a.rest()  # the other half stays open
    b.send("/nick zoe\n")
    b.expect("is now zoe\n")


@test
def echo_with_socat():
    need("socat")
    d = Daemon()
    data = random.Random(1).randbytes(3_000_000)
    p = run("socat", "-t5", "-", "TCP:127.0.0.1:%d" % d.echo_port, stdin=data)
    check(p.stdout == data, "echoed", len(p.stdout), "of", len(data))


@test
def ipv4_and_ipv6_meet():
    d = Daemon()
    six = d.join(host="::1", nick="six")
    four = d.join(host="127.0.0.1", nick="four")
    four.send("hi\n")
    six.expect("four: hi\n")
    addresses = sorted(c["address"].rsplit(":", 1)[0] for c in d.json("list", "clients"))
    equal(addresses, ["127.0.0.1", "[::1]"])


@test
def any_fragments():
    d = Daemon()
    c = d.join(nick="slow")
    for byte in b"caf\xc3\xa9 au lait\r\n//slash\n":
        c.send(bytes([byte]))
        time.sleep(0.002)
    c.expect("slow: café au lait\nslow: /slash\n")


@test
def workers_are_named_threads():
    d = Daemon(workers=4)
    # TSan has a thread of its own, which bears the program's name, too.
    equal(sorted(set(d.threads())), ["chatd", "chatd/0", "chatd/1", "chatd/2", "chatd/3"])
    equal(len([t for t in d.threads() if t.startswith("chatd/")]), 4)
    clients = [d.join() for _ in range(8)]
    status = d.json("status")
    equal([w["name"] for w in status["workers"]], ["chatd/0", "chatd/1", "chatd/2", "chatd/3"])
    equal([w["connections"] for w in status["workers"]], [2, 2, 2, 2])
    equal(status["clients"], 8)
    del clients


@test
def several_listeners():
    a, b = free_port(), free_port()
    d = Daemon(rooms='{ name = "lobby"; }, { name = "den"; }', listeners="""
      { name = "one"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; },
      { name = "two"; type = "tcp"; mode = "chat"; listen = "[::1]:%d"; room = "den"; }""" % (a, b))
    one, two = d.connect(port=a), d.connect(port=b, host="::1")
    one.expect("You are in lobby;")
    two.expect("You are in den;")
    equal([(l["name"], l["accepted"]) for l in d.json("list", "listeners")], [("one", 1), ("two", 1)])


def pump_until_stuck(sock):
    """Sends until the other side takes no more; returns how much it took."""
    sock.settimeout(1)
    n = 0
    chunk = b"x" * 65536
    try:
        while n < 200_000_000:
            n += sock.send(chunk)
    except socket.timeout:
        return n
    raise Failure("it takes everything")


def resident(pid):
    """RSS with the shared pages, in bytes."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024


@test
def echo_has_back_pressure():
    d = Daemon()
    before = resident(d.pid)
    clients = [d.connect(port=d.echo_port) for _ in range(5)]
    for c in clients:
        pump_until_stuck(c.sock)
    # Sanitizers keep a shadow of the memory beside it.
    check(resident(d.pid) - before < (8_000_000 if SCALE >= 1 else 32_000_000), "chatd grew by", resident(d.pid) - before)
    # Whoever reads gets all of it.
    other = d.connect(port=d.echo_port)
    other.send("still here\n")
    other.expect("still here\n")


@test
def a_slow_reader_is_skipped_and_delays_nobody():
    d = Daemon(rooms='{ name = "lobby"; log_size = "128K"; history = 0; }')
    slow = d.join(rcvbuf=4096, nick="slow")
    fast, talker = d.join(nick="fast"), d.join(nick="talker")
    fast.expect("is now talker\n")
    total = 80000  # more than the kernel's buffers hold
    lines = ["talker: %06d %s\n" % (i, "." * 80) for i in range(total)]
    drain(talker)
    for i in range(0, total, 500):
        part = lines[i:i + 500]  # less than the log holds: the fast one is not to be skipped, however busy the machine is
        talker.send("".join(l.removeprefix("talker: ") for l in part))
        equal(fast.expect(part[-1]).decode(), "".join(part))
    # The slow one is told what it missed, and what it gets is in order and whole.
    data = slow.expect(lines[-1])
    expected, missed, skips = 0, 0, 0
    for line in data.split(b"\n")[:-1]:
        m = re.fullmatch(rb"\* (\d+) messages? skipped", line)
        if m:
            skips += 1
            missed += int(m.group(1))
            expected += int(m.group(1))
            continue
        m = re.fullmatch(rb"talker: (\d{6}) \.{80}", line)
        if m:
            equal(int(m.group(1)), expected)
            expected += 1
    equal(expected, total)
    check(skips > 0 and missed > 1000, "skipped", missed)
    check(d.metric("messages_skipped_total") >= missed)


@test
def a_slow_reader_is_disconnected_if_so_configured():
    d = Daemon(rooms='{ name = "lobby"; log_size = "128K"; history = 0; }', extra='slow = "disconnect";')
    slow = d.join(rcvbuf=4096, nick="slow")
    talker = d.join(nick="talker")
    drain(talker)
    line = "y" * 1000 + "\n"
    for _ in range(20000):
        talker.send(line)
        if _ % 100 == 0 and d.metric("clients_slow_closed_total"):
            break
    equal(d.metric("clients_slow_closed_total"), 1)
    wait_for(lambda: d.json("status")["clients"] == 1, what="the slow client's end")


@test
def announcements_are_limited():
    d = Daemon(rooms='{ name = "lobby"; announce_max = 5; }')
    first = d.join()
    others = [d.join() for _ in range(20)]
    first.send("mark\n")
    heard = first.expect("guest1: mark\n")
    equal(heard.count(b" joined lobby\n"), 4)
    for c in others[4:]:
        c.close()
    wait_for(lambda: d.json("list", "rooms")[0]["members"] == 5)
    for c in others[:4]:
        c.close()
    # Down to five members they are announced again.
    first.expect(re.compile(rb"(\* guest\d+ left lobby\n){4}"))


@test
def history_and_private_messages():
    d = Daemon(rooms='{ name = "lobby"; history = 2; }')
    a = d.join(nick="alice")
    a.send("one\ntwo\nthree\n")
    a.expect("alice: three\n")
    b = d.connect()
    b.expect("commands.\nalice: two\nalice: three\n")
    a.send("/msg guest2 psst\n")
    b.expect("* [alice -> you] psst\n")
    b.send("/join elsewhere\n/msg ALICE and back\n")
    a.expect("* [guest2 -> you] and back\n")


@test
def nicks_are_unique_across_workers():
    d = Daemon(workers=4)
    clients = [d.join() for _ in range(40)]
    for c in clients:
        c.send("/nick one\n")
    won = 0
    for c in clients:
        c.send("/who\n")
        if b"* You are" in c.expect(re.compile(rb"\* 40 in lobby: .*\n")):
            won += 1
    code, out, _ = d.ctl("list", "clients")
    equal(out.count(" one "), 1)


@test
def nobody_passes_for_somebody_else():
    """By what can't be seen, by case, or by letters that look the same."""
    d = Daemon()
    alice, eva = d.join(nick="alice"), d.join(nick="\u00c9va")
    c = d.join(nick="carol")
    # \u0430 and the like are Cyrillic; \uff21 is full-width.
    for nick in ("Alice", "\u0430lice", "al\u0456ce", "a1ice", "\uff21\uff2c\uff29\uff23\uff25", "\u00e9va", "e\u0301VA"):
        c.send("/nick %s\n" % nick)
        c.expect(re.compile(rb"\* .* is taken\.\n"))
    for nick in ("admin", "chatd", "CHATD", "\u0430dmin", "ADMlN", "\u0441hatd", "guest1", "guestl7", "Guest9"):
        c.send("/nick %s\n" % nick)
        c.expect(re.compile(rb"\* .* is reserved\.\n"))
    for blank in (0x34f, 0xfe0f, 0xe0061, 0x3164, 0x115f, 0xffa0, 0x180e, 0x61c, 0x2800, 0x17b5, 0x200b, 0xad):
        for nick in ("alice%c", "ali%cce", "%calice", "alice:%c"):
            c.send("/nick %s\n" % nick.replace("%c", chr(blank)))
            c.expect("* A name has 1 to 32 bytes")
    for nick in ("bob:", "[alice", "b*b", "/b", "#b", "\uff3balice"):
        c.send("/nick %s\n" % nick)
        c.expect("* A name has 1 to 32 bytes")
    c.send("/nick \uff42ob\nit is me\n")  # what was typed in full width is kept as ASCII
    c.expect("* carol is now bob\nbob: it is me\n")
    c.send("/msg \u00e9VA psst\n")
    eva.expect("* [bob -> you] psst\n")
    alice.send("/nick ALICE\n/nick alic\u0435\n")  # one's own may be written in another way
    alice.expect("* alice is now ALICE\n* ALICE is now alic\u0435\n")


@test
def half_closed_connections_get_everything():
    d = Daemon()
    a = d.join(nick="a")
    b = d.join(nick="b")
    b.send("one\ntwo\nthree, without its newline")
    b.sock.shutdown(socket.SHUT_WR)
    check(b.rest().endswith(b"b: one\nb: two\nb: three, without its newline\n"))
    a.expect("b: three, without its newline\n* b left lobby\n")


@test
def resets_and_floods_of_connects():
    d = Daemon()
    a = d.join(nick="a")
    fds = d.fds()
    for i in range(500):
        c = d.connect()
        if i % 3 == 0:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
    # All of them, also those that were still waiting to be accepted.
    wait_for(lambda: d.metric("clients_accepted_total") == 501, what="the connections")
    wait_for(lambda: d.json("status")["clients"] == 1, what="the connections' end")
    # Beside a ring for each of two workers there may be a pair of sockets more for the one who stays.
    wait_for(lambda: d.fds() <= fds + 4, what="their file descriptors")
    a.send("/who\n")
    a.expect("* 1 in lobby: a\n")


@test
def lines_per_second():
    d = Daemon(extra="limits: { lines_per_second = 20; };")
    c = d.join(nick="c")
    started = time.monotonic()
    c.send("".join("line %d\n" % i for i in range(60)))
    c.expect("c: line 59\n")
    took = time.monotonic() - started
    check(1.5 < took < 6, "60 lines at 20 a second took", took)
    check(d.metric("rate_pauses_total") > 0)


@test
def limits_on_clients():
    d = Daemon(extra="limits: { max_clients = 5; max_clients_per_address = 3; };")
    keep = [d.join() for _ in range(3)]
    equal(d.connect().rest(), b"* Sorry: there are too many connections from your address.\n")
    keep += [d.join(host="::1") for _ in range(2)]
    equal(d.connect(host="::1").rest(), b"* Sorry: the server is full.\n")
    equal(d.metric("clients_refused_total"), 2)
    keep.pop().close()
    wait_for(lambda: d.json("status")["clients"] == 4)
    d.join(host="::1")


@test
def idle_clients_are_sent_away():
    d = Daemon(extra="limits: { idle_timeout = 1.5; };")
    idle, busy = d.join(nick="idle"), d.join(nick="busy")
    for _ in range(8):
        busy.send(".\n")
        time.sleep(0.4)
    check(idle.rest().endswith(b"* You have been silent for too long.\n"))
    busy.send("here\n")
    busy.expect("busy: here\n")


@test
def accept_pauses_when_fds_run_out():
    """And resumes, without spinning, with one warning."""
    d = Daemon(start=False)
    d.limit_files(150)  # of which some are kept in reserve
    d.start()
    clients = [d.connect() for _ in range(150)]
    wait_for(lambda: "no more connections can be accepted" in d.log(), what="the warning")
    served = [c for c in clients[:60]]
    for c in served:
        c.expect(WELCOME)
    before = d.cpu()
    time.sleep(1.5)
    check(d.cpu() - before < 0.3, "it used", d.cpu() - before, "s of CPU in 1.5 s")
    logged(d, "no more connections can be accepted", 1)
    for c in clients[:60]:
        c.close()
    for c in clients[60:110]:
        c.expect(WELCOME)


@test
def many_members_over_four_workers():
    """200 clients in 10 rooms all talk at once; everybody's stream is the room's one order."""
    clients, rooms, each = 200, 10, max(20, int(100 * SCALE))
    d = Daemon(rooms=",".join('{ name = "r%d"; history = 0; log_size = "8M"; }' % r for r in range(rooms)) +
               ', { name = "lobby"; }', workers=4)
    members = []
    for i in range(clients):
        members.append(d.join(room="r%d" % (i % rooms), nick="c%d" % i))
    per_room = clients // rooms
    streams = {i: bytearray() for i in range(clients)}
    rng = random.Random(7)
    todo = {}
    for i in range(clients):
        data = "".join("%d %s\n" % (k, "z" * rng.randrange(200)) for k in range(each))
        todo[i] = data.encode()
    selector = selectors.DefaultSelector()
    for i, m in enumerate(members):
        m.sock.setblocking(False)
        streams[i] += m.buf
        selector.register(m.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, i)
    wanted = per_room * each
    seen = [0] * clients
    until = time.monotonic() + 120
    while min(seen) < wanted:
        check(time.monotonic() < until, "only", min(seen), "of", wanted, "messages came")
        for key, events in selector.select(1):
            i = key.data
            if events & selectors.EVENT_READ:
                data = members[i].sock.recv(1 << 18)
                check(data, "client", i, "was disconnected")
                streams[i] += data
                seen[i] += data.count(b"\n") - data.count(b"\n* ")
            if events & selectors.EVENT_WRITE:
                if todo[i]:
                    n = members[i].sock.send(todo[i][:rng.randrange(1, 3000)])
                    todo[i] = todo[i][n:]
                else:
                    selector.modify(key.fileobj, selectors.EVENT_READ, i)
    for r in range(rooms):
        reference = None
        for i in range(r, clients, rooms):
            lines = [l for l in bytes(streams[i]).split(b"\n")[:-1] if re.match(rb"c\d+: \d", l)]
            if reference is None:
                reference = lines
                for k in range(r, clients, rooms):
                    numbers = [int(l.split(b" ")[1]) for l in lines if l.startswith(b"c%d: " % k)]
                    equal(numbers, list(range(each)))
            check(lines == reference, "client", i, "has another order")
    note("%d deliveries compared" % (clients * wanted))


@test
def ten_thousand_clients():
    """As many as the machine's limit on open files allows, connected at once, all talking to one room."""
    take_turn()
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 500) if SCALE >= 1 else 1000
    d = Daemon(rooms='{ name = "lobby"; announce_max = 0; history = 0; }',
               extra="limits: { max_clients = 20000; max_clients_per_address = 0; };")
    started = time.monotonic()
    clients = []
    for i in range(n):
        clients.append(d.connect())
    for c in clients:
        c.expect(WELCOME)
    note("%d clients connected and greeted in %.2f s" % (n, time.monotonic() - started))
    equal(d.json("status")["clients"], n)
    clients[0].send("to all of you\n")
    for c in clients:
        c.expect("guest1: to all of you\n")
    equal(len(d.json("list", "clients")), n)
    wait_for(lambda: d.json("status")["takeover"]["uncovered"] in (0, n), what="the keeper")
    d.stop()


@test
def runs_without_systemd():
    d = Daemon()
    c = d.join(nick="c")
    logged(d, re.compile(r"^<6>chatd \S+ serves 2 listeners with 2 workers", re.M))
    c.send("last words\n")
    c.expect("c: last words\n")
    d.signal(signal.SIGTERM)
    equal(c.rest(), b"* chatd is going down\n")
    equal(d.wait(), 0)
    log = d.log()
    check(log.index("<6>stopping") < log.index("worker chatd/0 ended") < log.index("worker chatd/1 ended")
          < log.index("<6>stopped"), log)


@test
def a_terminal_gets_no_priorities():
    """They are for programs that read a log."""
    d = Daemon(start=False)
    master, slave = pty.openpty()
    p = subprocess.Popen([CHATD, "-c", d.config], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    while b" serves " not in said:
        said += os.read(master, 10000)
    p.terminate()
    equal(p.wait(20), 0)
    os.close(master)
    check(not re.search(rb"^<", said, re.M), said)


@test
def stopping_flushes_to_those_who_read():
    d = Daemon(rooms='{ name = "lobby"; log_size = "16M"; history = 0; }')
    reader, talker = d.join(nick="reader", rcvbuf=8192), d.join(nick="talker")
    drain(talker)
    total, before = 20000, d.metric("messages_total")
    talker.send("".join("%06d %s\n" % (i, "." * 90) for i in range(total)))
    wait_for(lambda: d.metric("messages_total") >= before + total)
    d.signal(signal.SIGTERM)
    time.sleep(0.2)
    data = reader.rest()
    equal(re.findall(rb"^talker: (\d+) ", data, re.M), [b"%06d" % i for i in range(total)])
    check(data.endswith(b"* chatd is going down\n"))
    equal(d.wait(), 0)


@test
def stopping_waits_no_longer_than_drain_timeout():
    d = Daemon(extra="drain_timeout = 1.0;", rooms='{ name = "lobby"; log_size = "16M"; history = 0; }')
    stuck, talker = d.join(nick="stuck", rcvbuf=4096), d.join(nick="talker")
    drain(talker)
    talker.send(("x" * 1000 + "\n") * 9000)
    wait_for(lambda: d.metric("messages_total") >= 9000)
    started = time.monotonic()
    d.stop()
    took = time.monotonic() - started
    check(0.9 < took < 4, "it took", took)
    logged(d, "1 client had not read everything")


@test
def no_drain_timeout_is_an_end_at_once():
    """The workers still end before the main thread does, and nobody is waited for: who lacks something is reset."""
    d = Daemon(extra="drain_timeout = 0;", rooms='{ name = "lobby"; log_size = "16M"; history = 0; }')
    stuck, talker, idle = d.join(nick="stuck", rcvbuf=4096), d.join(nick="talker"), d.join(nick="idle", room="quiet")
    drain(talker)
    talker.send(("x" * 1000 + "\n") * 9000)
    wait_for(lambda: d.metric("messages_total") >= 9000)
    started = time.monotonic()
    d.stop()
    check(time.monotonic() - started < 2)
    log = d.log()
    check(log.index("<6>stopping") < log.index("worker chatd/1 ended") < log.index("<6>stopped"), log)
    idle.rest()  # to its end
    try:
        stuck.rest()
        raise Failure("it looks as if nothing was missing")
    except ConnectionResetError:
        pass


main()
