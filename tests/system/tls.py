#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TLS: handshakes, certificates, keys; and that connections outlive chatd, whatever happens to it, to the byte."""

import contextlib
import mmap
import random
import signal
import socket
import ssl
import struct

from testing import *

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
# What survives: name, version, and the cipher that the client (TLS 1.2) or the server's order leaves.
SUITES = [(V12, "ECDHE-ECDSA-AES128-GCM-SHA256"), (V12, "ECDHE-ECDSA-AES256-GCM-SHA384"), (V12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
          (V13, "TLS_AES_256_GCM_SHA384")]


@test
def chat_over_tls():
    d = with_tls()
    plain = d.join(nick="plain")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = tls_connect(d, d.tls, minimum=version, maximum=version, ca=d.cert)
        c.expect(WELCOME)
        c.send("/nick t%d\nhello\n" % version.value)
        plain.expect("t%d: hello\n" % version.value)
        for i in range(500):
            plain.send("%d %s\n" % (i, "y" * 800))
        for i in range(500):
            c.expect("plain: %d %s\n" % (i, "y" * 800))
        listed = [x for x in d.json("list", "clients") if x["listener"] == "tls"]
        equal([x["tls"] for x in listed], [True])
        check("TLS" not in d.ctl("status")[1])
        c.send("/quit\n")
        c.rest()
        c.close()
        wait_for(lambda: d.json("status")["clients"] == 1)
    with socket.create_connection(("127.0.0.1", d.tls)) as s:
        s.sendall(b"hello\n")
        s.settimeout(PATIENCE)
        try:
            check(b"Welcome" not in s.recv(1000))
        except ConnectionResetError:
            pass
    try:
        tls_connect(d, d.tls, minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1)
        raise Failure("TLS 1.1 is accepted")
    except (ssl.SSLError, ConnectionResetError):
        pass
    check(d.metric("tls_failed_total") >= 2)
    p = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % d.tls, "-quiet"],
                       input=b"from openssl\n/quit\n", capture_output=True, timeout=PATIENCE)
    check(b"Welcome" in p.stdout and b": from openssl" in p.stdout, p.stdout[-300:])


@test
def echo_of_megabytes_over_tls():
    d = with_tls(mode="echo")
    c = tls_connect(d, d.tls)
    blob = os.urandom(6 << 20)
    got, sent = bytearray(), 0
    c.sock.setblocking(False)  # one thread for both ways: OpenSSL's objects are not for two
    while len(got) < len(blob):
        idle = True
        try:
            if sent < len(blob):
                sent += c.sock.send(blob[sent:sent + 65536])
                idle = False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            data = c.sock.recv(1 << 16)
            check(data, "the connection ended after", len(got))
            got += data
            idle = False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if idle:
            select.select([c.sock], [c.sock] if sent < len(blob) else [], [], 10)
    check(bytes(got) == blob, "the echo differs")


@test
def padding_counts_as_bytes():
    """Or a limit of bytes would be none for who fills records with zeros."""
    d = with_tls(start=False)
    d.write_config(listeners=d.doors, extra="limits: { max_clients_per_address = 0; bytes_per_second = 16384; };")
    d.start()
    plain = d.join(nick="plain")
    for padding, pauses in (("0", 0), ("16000", 1)):
        p = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % d.tls, "-quiet", "-record_padding", padding],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for i in range(12):
            p.stdin.write(b"%s %d\n" % (padding.encode(), i))
            p.stdin.flush()
            plain.expect(": %s %d\n" % (padding, i))
        equal(min(d.metric("rate_pauses_total"), 1), pauses)
        p.stdin.write(b"/quit\n")
        p.stdin.close()
        p.wait(60)


@test
def slow_readers_over_tls():
    d = Daemon(start=False)
    port = free_port()
    cert, key = tls_files(d.dir)
    d.write_config(rooms='{ name = "lobby"; log_size = "64K"; }', extra="max_message = 4096;", listeners="""
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "tls"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; tls_certificate = "%s"; tls_key = "%s"; }
      """ % (d.port, port, cert, key))
    d.start()
    slow = tls_connect(d, port)
    slow.expect(WELCOME)
    fast = d.join(nick="fast")
    for i in range(6000):
        fast.send("%05d %s\n" % (i, "z" * 1500))
        if i % 20 == 0:
            fast.expect("fast: %05d " % i)
    text = slow.expect("fast: 05999 ")
    check(b"messages skipped\n" in text)
    # What it got is whole lines, in order.
    numbers = [int(l[6:11]) for l in text.split(b"\n") if l.startswith(b"fast: ") and len(l) > 11]
    check(numbers == sorted(set(numbers)), "out of order")
    for l in text.split(b"\n")[:-1]:
        check(l.startswith(b"* ") or (l.startswith(b"fast: ") and len(l) == 12 + 1500), l[:80])


@test
def an_end_without_farewell_loses_nothing():
    """Programs that close their sending side without a close_notify: their last words count, also without a newline."""
    d = with_tls()
    plain = d.join(nick="plain")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = tls_connect(d, d.tls, minimum=version, maximum=version)
        c.expect(WELCOME)
        c.send("/nick t%d\none\ntwo, without its newline" % version.value)
        socket.socket.shutdown(c.sock, socket.SHUT_WR)  # of the socket below TLS
        plain.expect("t%d: one\nt%d: two, without its newline\n" % (version.value, version.value))
        check(b"two, without its newline" in c.rest())


TOOL = os.path.abspath(os.path.join(BUILD, "tests/system/tlstool"))


def tool(d, *args, version=None):
    p = subprocess.run([TOOL, str(d.tls), *map(str, args)], capture_output=True, text=True, timeout=60,
                       env=dict(os.environ, **({"TLS_VERSION": version} if version else {})))
    return p.returncode, p.stdout


@test
def new_keys_now_and_then_and_all_the_time():
    d = with_tls(mode="echo", workers=1)
    # 4 MB, with new keys twenty times.
    equal(tool(d, 4000, 1, 200), (0, ""))
    # Nothing but new keys: it would keep the worker from everybody else.
    equal(tool(d, 1, 200000, 1), (3, ""))
    equal(d.metric("tls_renewals_closed_total"), 1)
    logged(d, re.compile(r"^<5>client 2 from 127.0.0.1 port \d+ is closed: it wants new TLS keys all the time$", re.M))
    a = d.join(nick="a")
    a.send("hello\n")
    a.expect("a: hello\n")


@test
def no_tickets_and_no_new_handshakes():
    """Nothing of a session is kept, whose keys would outlive it; and nobody begins a handshake anew."""
    d = with_tls()
    for version in ("1.2", "1.3"):
        equal(tool(d, "tickets", version=version), (0, "tickets: 0, resumed: no\n"))
    code, out = tool(d, "renegotiate", version="1.2")
    check(code in (0, 3) and out == "renegotiated: no\n", code, out)


@test
def a_reset_of_a_slowed_down_sender_over_tls_loses_nothing():
    d = with_tls()
    d.write_config(listeners=d.doors, extra="limits: { lines_per_second = 30; };")
    equal(d.ctl("reload")[0], 0)
    b = d.join(nick="b")
    a = tls_connect(d, d.tls)
    a.expect(WELCOME)
    lines = ["%03d" % i for i in range(100)]
    a.send("/nick a\n" + "\n".join(lines) + "\n")
    a.expect("Not so fast")
    a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    equal(re.findall(rb"^a: (.*)$", b.expect("* a left lobby\n"), re.M), [l.encode() for l in lines])


@test
def certificates_are_renewed():
    d = with_tls()
    old = tls_connect(d, d.tls, ca=d.cert)
    old.expect(WELCOME)
    cert, key = tls_files(d.dir, "new.invalid")
    os.rename(cert, d.cert)
    os.rename(key, d.key)
    equal(d.ctl("reload")[0], 0)
    new = tls_connect(d, d.tls, ca=d.cert)
    new.expect(WELCOME)
    check("new.invalid" in str(new.sock.getpeercert()))
    old.send("still here\n")
    new.expect("still here\n")
    # A broken one changes nothing.
    with open(d.cert, "w") as f:
        f.write("nonsense\n")
    code, _, err = d.ctl("reload")
    equal(code, 1)
    check("can't be used" in err, err)
    tls_connect(d, d.tls).expect(WELCOME)


@test
def client_certificates():
    d = Daemon(start=False)
    ca = os.path.join(d.dir, "ca")
    tls_files(d.dir, "ca")
    good = tls_files(d.dir, "good", ca=ca)
    bad = tls_files(d.dir, "bad")
    cert, key = tls_files(d.dir)
    port = free_port()
    d.write_config(listeners="""{ name = "tls"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; tls_certificate = "%s";
      tls_key = "%s"; tls_client_ca = "%s.pem"; }""" % (port, cert, key, ca))
    d.start()
    tls_connect(d, port, cert=good).expect(WELCOME)
    for wrong in (bad, None):
        try:
            c = tls_connect(d, port, cert=wrong)
            check(not c.sock.recv(1000), "it was let in")
            raise ConnectionResetError
        except (ssl.SSLError, ConnectionResetError):
            pass
    equal(d.metric("tls_failed_total"), 2)
    # It may also be optional; a wrong one is refused even so.
    with open(d.config) as f:
        text = f.read()
    with open(d.config, "w") as f:
        f.write(text.replace("tls_client_ca", "tls_client_optional = true; tls_client_ca"))
    equal(d.ctl("reload")[0], 0)
    tls_connect(d, port).expect(WELCOME)
    tls_connect(d, port, cert=good).expect(WELCOME)
    try:
        c = tls_connect(d, port, cert=bad)
        check(not c.sock.recv(1000), "it was let in")
        raise ConnectionResetError
    except (ssl.SSLError, ConnectionResetError):
        pass
    equal(d.metric("tls_failed_total"), 3)


@test
def handshakes_that_never_end():
    d = with_tls()
    d.write_config(listeners=d.doors, extra="limits: { handshake_timeout = 1.0; max_clients_per_address = 0; };")
    equal(d.ctl("reload")[0], 0)
    socks = [socket.create_connection(("127.0.0.1", d.tls)) for _ in range(50)]
    for s in socks[:25]:
        s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    wait_for(lambda: d.json("status")["clients"] == 50)
    tls_connect(d, d.tls).expect(WELCOME)
    for s in socks:
        s.settimeout(PATIENCE)
        check(not s.recv(1000))
        s.close()
    wait_for(lambda: d.metric("tls_failed_total") == 50)


# --- nobody notices a restart ---


def connect(d, version=V13, cipher=None, rcvbuf=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if version == V12 and cipher:
        context.set_ciphers(cipher)
    s = socket.socket()
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(PATIENCE)
    s.connect(("127.0.0.1", d.tls))
    c = Client(context.wrap_socket(s))
    d.clients.append(c)
    if cipher:
        equal(c.sock.cipher()[0], cipher)
    return c


def by_kill(d):
    d.kill()
    d.start()


def by_service_manager(d):
    d.signal(signal.SIGUSR1)
    equal(d.wait(), 0)
    d.start()


def by_chatctl(d):
    code, out, err = d.ctl("restart")
    equal((code, err), (0, ""))


def talks(people, i):
    for k, c in enumerate(people):
        c.send("line %d of %d\n" % (i, k))
        for other in people:
            other.expect(": line %d of %d\n" % (i, k))


@test
def nobody_notices():
    """Every suite, through every kind of restart."""
    d = with_tls(store=True)
    people = [d.join(nick="plain")]
    for version, cipher in SUITES:
        c = connect(d, version, cipher)
        c.expect(WELCOME)
        people.append(c)
    for i, restart in enumerate([by_kill, by_service_manager, by_kill, by_chatctl, by_kill, by_chatctl]):
        talks(people, 2 * i)
        people[-1].send("/nick n%d\nhalf a " % i)
        people[1].expect("is now n%d\n" % i)
        restart(d)
        people[-1].send("line\n")
        for c in people:
            c.expect("n%d: half a line\n" % i)
        talks(people, 2 * i + 1)
    status = d.json("status")["takeover"]
    equal((status["clients"], status["closed"], status["tls"]), (len(people), 0, 0))
    check("(all of them survive a restart or a crash)\n" in d.ctl("status")[1], d.ctl("status"))
    equal([x["tls"] for x in d.json("list", "clients") if x["listener"] == "tls"], [True] * len(SUITES))
    check("can't be" not in d.log(), d.log())
    # An end in order is one over TLS as well.
    people[-1].send("/quit\n")
    people[-1].rest()


def pattern(n, seed):
    return random.Random(seed).randbytes(n)


def exchange(c, blob, seed, at_once=1 << 16, reads_late=False):
    """Sends blob to an echo in pieces, reads meanwhile, or only when nothing more can be sent, and compares. By one thread,
    since two may not share an SSL object."""
    rng, at, got, limit = random.Random(seed), 0, 0, 0
    until = time.monotonic() + 120
    c.sock.settimeout(0)
    while got < len(blob):
        check(time.monotonic() < until, "only %d of %d bytes came" % (got, len(blob)))
        limit = limit if limit > at else at + rng.choice((1, 30, 1000, 16384, 40000))
        idle = True
        try:
            n = c.sock.send(blob[at:limit]) if at < len(blob) else 0
            at += n
            idle = n == 0
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        if reads_late and (not idle or select.select([], [c.sock], [], 0.05)[1]) and at < len(blob):
            continue
        try:
            part = c.sock.recv(at_once)
            check(part, "it ended after %d of %d bytes" % (got, len(blob)))
            if part != blob[got:got + len(part)]:
                raise Failure("the echo differs within %d bytes" % (got + len(part)))
            got += len(part)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if idle:
                select.select([c.sock], [c.sock] if at < len(blob) else [], [], 0.2)
    c.sock.settimeout(PATIENCE)


def echo_through(d, c, seed, size, between):
    """Sends bytes to an echo, and compares what comes back, while between() makes it hard."""
    c.send("?")
    c.expect("?")  # TLS 1.3's client is done with its handshake before the server
    thread = threading.Thread(target=between)
    thread.start()
    try:
        exchange(c, pattern(size, seed), seed)
    finally:
        thread.join()
    c.send("end")
    equal(c.expect("end"), b"end")


@test
def bulk_through_kills():
    """Megabytes each way, while chatd is killed again and again: nothing is lost, doubled or damaged."""
    d = with_tls(mode="echo", store=True)
    rng = random.Random(5)

    def kills():
        for _ in range(12 if SCALE >= 1 else 4):
            time.sleep(rng.random() * 0.12)
            d.kill()
            d.spawn()
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.03)
                d.kill()
                d.spawn()
            d.wait_ready()

    for seed, (version, cipher) in enumerate(SUITES):
        echo_through(d, connect(d, version, cipher, rcvbuf=16384), seed, 6_000_000, kills)
    check("can't be" not in d.log(), d.log()[-3000:])


@test
def who_never_reads_is_there_after_a_kill():
    """Cipher text that the socket doesn't take is kept, and is what comes when it does."""
    d = with_tls(mode="echo", store=True)
    c, sent = connect(d, rcvbuf=4096), 0
    while [x["behind"] for x in d.json("list", "clients")] < [100000]:
        c.send(pattern(32768, sent))
        sent += 32768
        wait_for(lambda: [x["received"] for x in d.json("list", "clients")] == [sent])
    by_kill(d)
    by_service_manager(d)
    by_kill(d)
    got = bytearray()
    while len(got) < sent:
        got += c.sock.recv(1 << 16)
    check(bytes(got) == b"".join(pattern(32768, at) for at in range(0, sent, 32768)), "the echo differs")


@test
def new_keys_through_kills():
    """KeyUpdates of the client, each of which is answered, while chatd is killed."""
    d = with_tls(mode="echo", store=True)
    for _ in range(3):
        stop = threading.Event()

        def kills(stop=stop):
            wait_for(lambda: d.json("list", "clients"))  # a handshake would end with chatd
            while not stop.is_set():
                d.kill()
                d.start()
                stop.wait(0.05)
        killer = threading.Thread(target=kills)
        killer.start()
        try:
            equal(tool(d, 20000, 1, 200), (0, ""))
        finally:
            stop.set()
            killer.join()
    check("can't be" not in d.log(), d.log()[-3000:])


@test
def own_limits_come_before_the_ciphers():
    """With a limit of 50 records: new keys in TLS 1.3, an end in order in TLS 1.2."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    d = with_tls(store=True, env={"CHATD_TLS_RECORDS_MAX": "50"})
    a, b, plain = connect(d), connect(d, V12, SUITES[0][1]), d.join(nick="plain")
    a.expect(WELCOME)
    b.expect(WELCOME)
    for i in range(500):
        plain.send("line %d\n" % i)
        a.expect("plain: line %d\n" % i)
        if i % 100 == 60:
            by_kill(d)
    for i in range(60):  # of 1,000 bytes: 64 blocks each
        plain.send("x" * 1000 + "\n")
        a.expect("plain: " + "x" * 1000 + "\n")
    for _ in range(1000):
        plain.send("x" * 1000 + "\n")
        a.expect("x\n")
    check(b"x" * 1000 in b.rest(), "it ends with close_notify, or Python would complain")


@test
def a_death_at_the_ciphers_limit_is_no_damage():
    """TLS 1.2 ends in order there. Who dies meanwhile leaves nothing that a successor would complain of."""
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    for mode in ("echo", "chat"):
        for fault in ("close-shutdown", "close-release", "release-entry", None):
            d = with_tls(mode=mode, store=True, start=False, workers=1, env={"CHATD_TLS_RECORDS_MAX": "50"})
            if fault:
                once = d.arm(fault)
            d.start_supervised()
            c, other = connect(d, V12, SUITES[0][1]), d.join(nick="other")
            c.sock.settimeout(0.01)
            sent = got = 0
            until = time.monotonic() + 30
            with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
                while time.monotonic() < until:
                    with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
                        if sent - got < 40000:
                            sent += c.sock.send(b"%06d\n" % sent)
                        data = c.sock.recv(65536)
                        if not data:
                            break
                        got += len(data)
            check(time.monotonic() < until, "it has not ended")
            if fault:
                wait_for(lambda: d.deaths == 1 and d.ready, what="the next process")
                check(not os.path.exists(once), fault, "was never reached")
            wait_for(lambda: len(d.json("list", "clients")) == 1, what="its end")
            other.send("here\n")
            other.expect("other: here\n")
            complaints = [l for l in d.log().splitlines() if l.startswith("<3>")]
            equal((mode, fault, complaints), (mode, fault, []))
            d.unsupervise()
            d.finish()


@test
def tls_that_ends_with_the_process():
    """Where tls_survives says no, and with a suite without AEAD: sent away by a restart in order, cut by a crash."""
    for more, version, cipher in (("tls_survives = false;", V13, None), ("", V12, "ECDHE-ECDSA-AES128-SHA256")):
        d = with_tls(more=more, store=True)
        plain = d.join(nick="plain")
        c = connect(d, version, cipher)
        c.expect(WELCOME)
        c.send("/nick secret\n")
        plain.expect("is now secret\n")
        equal(d.json("status")["takeover"]["tls"], 1)
        check("1 of them uses TLS that does not survive, and is closed at a restart\n" in d.ctl("status")[1], d.ctl("status")[1])
        d.signal(10)  # SIGUSR1: the service manager's restart
        check(c.rest().endswith(b"* chatd restarts; please connect again.\n"))
        d.wait()
        d.start()
        plain.expect("* secret left lobby\n")
        # A crash says nothing, but the rest goes on.
        c = connect(d, version, cipher)
        c.expect(WELCOME)
        c.send("/nick again\n")
        plain.expect("is now again\n")
        d.kill()
        d.start()
        try:
            c.rest()
        except (ssl.SSLError, ConnectionResetError):
            pass
        plain.expect("* again left lobby\n")
        connect(d, version, cipher).expect(WELCOME)
        d.finish()


def half_a_record(c, n):
    """The beginning of one, past Python's TLS."""
    socket.socket.sendall(c.sock, b"\x17\x03\x03" + struct.pack(">H", 16384) + bytes(n))


def memory_of_clients(d):
    return os.fstat(d.stored["chatd-clients-5"][0]).st_blocks * 512


@test
def who_can_not_be_resumed_is_closed_and_the_log_says_why():
    """Secrets that are gone, as after a start by hand of something else: all others stay."""
    d = with_tls(store=True)
    plain, c = d.join(nick="plain"), connect(d)
    c.expect(WELCOME)
    before = memory_of_clients(d)
    half_a_record(c, 15000)
    wait_for(lambda: memory_of_clients(d) >= before + 15000)
    kept = memory_of_clients(d)
    d.kill()
    for fd in d.stored.pop("chatd-secrets-5"):
        os.close(fd)
    d.start()
    below = Client(socket.socket(fileno=os.dup(c.sock.fileno())))  # Python's TLS hides how it ends
    try:
        below.rest()
        raise Failure("it looks as if nothing was missing")
    except ConnectionResetError:
        pass
    below.close()
    plain.expect("* guest2 left lobby\n")
    plain.send("here\n")
    plain.expect("plain: here\n")
    logged(d, "can't be taken over: its TLS secrets are gone")
    equal(d.json("status")["takeover"]["closed"], 1)
    check(memory_of_clients(d) < kept - 12288, before, kept, memory_of_clients(d))
    connect(d).expect(WELCOME)


@test
def memory_of_who_has_gone_is_given_back():
    """Halves of records and unread output, whose clients go without what belongs to them."""
    d = with_tls(mode="echo", store=True)

    def come_and_go(n):
        people, before = [connect(d, rcvbuf=4096) for _ in range(n)], memory_of_clients(d)
        for c in people[2:]:
            half_a_record(c, 15000)
        wait_for(lambda: memory_of_clients(d) - before >= (n - 2) * 15000)
        for c in people[:2]:
            while [x["behind"] for x in d.json("list", "clients") if x["behind"] >= 50000] == []:
                c.send(bytes(32768))
        for c in people:
            c.close()
        return before
    come_and_go(4)
    before = come_and_go(40)
    wait_for(lambda: memory_of_clients(d) < before + 40 * 4096, what="the end of %d bytes" % (memory_of_clients(d) - before))


@test
def more_clients_than_hidden_secrets_have_places_for():
    """max_clients was raised since they were made: those that have a place stay."""
    d = with_tls(store=True, start=False)
    d.start_by("ulimit -l 128\nexec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock")
    small, large = ("limits: { max_clients = %d; max_clients_per_address = 0; };" % n for n in (100, 1000))
    d.write_config(listeners=d.doors, extra=small)
    d.start()
    c = connect(d)
    c.expect(WELCOME)
    d.write_config(listeners=d.doors, extra=large)
    equal(d.ctl("reload")[0], 0)
    for _ in range(600):
        d.connect()
    wait_for(lambda: d.json("status")["clients"] == 601)
    by_kill(d)
    c.send("still here\n")
    c.expect(": still here\n")


def secrets_left(d):
    d.drain_notify()
    with mmap.mmap(d.stored["chatd-secrets-5"][0], 65536) as m:
        return any(m[:])


@test
def secrets_end_with_their_connection():
    """However it ends; also when chatd dies within its beginning or its end."""
    d = with_tls(mode="echo", store=True)
    c = connect(d)
    c.send("?")
    c.expect("?")
    check(secrets_left(d))
    c.close()
    wait_for(lambda: d.json("status")["clients"] == 0)
    wait_for(lambda: not secrets_left(d), what="the end of the secrets")
    if not has_faults():
        return
    for point in ("tls-begin-secret:1", "tls-begin-secret:2", "tls-begun", "accept-entry", "release-entry"):
        d.finish()
        d = with_tls(mode="echo", store=True, start=False)
        once = os.path.join(d.dir, "once")
        open(once, "w").close()
        d.env.update(CHATD_FAULT=point, CHATD_FAULT_ONCE=once)
        d.start()
        try:
            c = connect(d)
            c.send("?")
            c.expect("?")
            c.close()
        except (Failure, OSError):
            pass
        d.wait()
        check(secrets_left(d), "they were there at", point)
        d.start()
        wait_for(lambda: d.json("status")["clients"] == 0)
        check(not secrets_left(d), "after a death at", point)


# --- at each fault point ---


def scenario(d, late):
    """What one did over TLS, of which all is compared."""
    for attempt in range(20):
        try:
            c = connect(d, rcvbuf=8192)
            c.send("?")
            c.expect("?")
            break
        except (Failure, OSError):
            time.sleep(0.02)  # it died in the window of accept(), or of the handshake
    exchange(c, pattern(400_000, 1), 1, 5000)
    if late:  # so that the socket is full
        exchange(c, pattern(12_000_000, 2), 2, reads_late=True)
    c.close()

    def nobody_is_left():
        try:
            return d.json("status")["clients"] == 0
        except Failure:
            return False
    wait_for(nobody_is_left)
    # New keys, asked for by the client: it is told of a difference by its exit code.
    for attempt in range(20):
        code, _ = tool(d, 300, 1, 30)
        if code == 0:
            break
        check(attempt < 3, "the client with new keys failed", code)


def room_scenario(d):
    """A room whose members are sent to in batches, one of whom reads late."""
    def member(**kwargs):
        for attempt in range(20):
            try:
                c = connect(d, **kwargs)
                c.expect(WELCOME)
                return c
            except (Failure, OSError):
                time.sleep(0.02)
        raise Failure("nobody can connect")
    people = [member(), member(version=V12, cipher=SUITES[0][1]), member(rcvbuf=4096)]
    people[0].send("/nick a\n")
    for c in people:
        c.expect("is now a\n")
    lines = ["a: %05d %s\n" % (i, "x" * (i % 900)) for i in range(10000)]
    for at in range(0, len(lines), 500):
        people[0].send("".join(l[3:] for l in lines[at:at + 500]))
        for c in people[:2]:
            equal(c.expect(lines[at + 499]).decode(), "".join(lines[at:at + 500]))
    equal(people[2].expect(lines[-1], 60).decode(), "".join(lines))
    for c in people:
        c.close()


# Passed where the kernel doesn't take all.
LATE = ("tls-stashed", "tls-recover-out", "tls-sent")
# Passed by the successor of one that died within something.
AFTER = {"tls-recover-in": "tls-received:%d", "tls-recover-out": "tls-stashed:%d"}


@test
def every_fault_point_of_tls():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    passages = [1, 7] if SCALE < 1 else [1, 2, 3, 5, 9, 20]

    def die_at(name):
        hits = 0
        for passage in passages:
            d = with_tls(mode="chat" if name.startswith("tls-batch") else "echo", store=True, start=False, workers=1)
            fault, then = "%s:%d" % (name, passage), None
            if name in AFTER:
                fault, then = AFTER[name] % passage, name + ":1"
            once = d.arm(fault, then)
            if not name.startswith("tls-batch"):  # whose connection of TLS 1.2 would end
                d.env.update(CHATD_TLS_RECORDS_MAX="40")
            d.start_supervised()
            try:
                if name.startswith("tls-batch"):
                    room_scenario(d)
                else:
                    scenario(d, name in LATE)
                check("can't be" not in d.log(), [l for l in d.log().splitlines() if "can't be" in l][:5])
            except Exception as e:
                raise Failure("at fault point %s:%d: %r" % (name, passage, e)) from e
            hit = not os.path.exists(once)
            hits += hit
            d.unsupervise()
            d.finish()
            if not hit and name not in AFTER:
                break
        return hits

    names = [n for n in fault_points() if n.startswith("tls-")]
    hits = dict(zip(names, side_by_side(die_at, names)))
    check(all(hits.values()), hits)
    note("%d deaths at %d fault points" % (sum(hits.values()), len(names)))


main()
