# SPDX-License-Identifier: MIT
"""What the system tests share: a chatd of their own, clients, a stand-in for systemd's fd store, and TAP output."""

import array
import atexit
import contextlib
import ctypes
import fcntl
import glob
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings

BUILD = os.environ.get("BUILD_DIR", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
SOURCE = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", ".."))
CHATD = os.path.abspath(os.path.join(BUILD, "chatd"))
CHATCTL = os.path.abspath(os.path.join(BUILD, "chatctl"))
# Sanitizers make everything slower; CHATD_TEST_SCALE < 1 makes the big tests smaller.
SCALE = float(os.environ.get("CHATD_TEST_SCALE", "1"))
# Both ways of sending go through the same tests.
IO_URING = os.environ.get("CHATD_TEST_IO_URING", "true")
# What is to happen happens within so many seconds, however slow the machine is.
PATIENCE = 60.0
WELCOME = re.compile(rb"\* Welcome, (\S+)\. You are in (\S+); /help lists the commands\.\n")


class Skip(Exception):
    pass


class Failure(AssertionError):
    pass


tests = []


def test(function):
    tests.append(function)
    return function


def note(text):
    print("# " + text, flush=True)


def main():
    """Runs the tests of the calling file (or those named as arguments) and prints TAP."""
    unknown = set(sys.argv[1:]) - {t.__name__ for t in tests}
    if unknown:
        sys.exit("there is no test " + ", ".join(unknown))
    chosen = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    print("1..%d" % len(chosen), flush=True)
    failed = False
    for number, t in enumerate(chosen, 1):
        started = time.monotonic()
        try:
            t()
            for d in list(Daemon.running):
                d.finish()
            print("ok %d - %s # %.1f s" % (number, t.__name__, time.monotonic() - started), flush=True)
        except Skip as e:
            print("ok %d - %s # SKIP %s" % (number, t.__name__, e), flush=True)
        except Exception:
            failed = True
            print("not ok %d - %s" % (number, t.__name__), flush=True)
            # The reason first: what shows only the beginning shows that.
            kind, error, where = sys.exc_info()
            for line in traceback.format_exception_only(kind, error) + traceback.format_tb(where):
                for part in line.splitlines():
                    note(part)
            del error, where  # and with them the connections of the test
            for d in Daemon.running:
                for line in d.log().splitlines()[-60:]:
                    note("log: " + line)
        finally:
            for d in list(Daemon.running):
                d.clean_up()
            give_turn()
    sys.exit(1 if failed else 0)


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what) or "check failed")


def brief(value):
    text = repr(value)
    return text if len(text) < 2000 else text[:900] + " ... " + text[-900:]


def equal(got, expected):
    if got != expected:
        raise Failure("got %s, expected %s" % (brief(got), brief(expected)))


def wait_for(condition, timeout=PATIENCE, what="condition"):
    until, pause = time.monotonic() + timeout, 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise Failure("timed out waiting for " + what)
        # What takes long is asked for less often, as asking takes CPU, too.
        time.sleep(pause)
        pause = min(1.25 * pause, 0.2)


def logged(d, what, times=None):
    """Waits until that text (or compiled expression) stands in its log: what is logged may come after what clients are told.
    times: and it stands there so often."""
    pattern = what if hasattr(what, "findall") else re.compile(re.escape(what))
    wait_for(lambda: len(pattern.findall(d.log())) >= (times or 1), what="%r in the log" % pattern.pattern)
    if times:
        equal(len(pattern.findall(d.log())), times)


class Ports:
    """A block of ports that is this program's alone, since others run beside it: whoever has the abstract socket of that
    name has the block. What clients get from the kernel comes from above them all."""

    FIRST, LAST, BLOCK = 10000, 30000, 400

    def __init__(self):
        blocks = list(range(self.FIRST, self.LAST, self.BLOCK))
        start = os.getpid() % len(blocks)
        for first in blocks[start:] + blocks[:start]:
            self.lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self.lock.bind("\0chatd-test-ports-%d" % first)
                break
            except OSError:
                self.lock.close()
        else:
            raise Failure("all ports are taken by other tests")
        self.numbers = itertools.cycle(range(first, first + self.BLOCK))

    def next(self, kind):
        for port in itertools.islice(self.numbers, self.BLOCK):
            with socket.socket(socket.AF_INET6, kind) as s:
                try:
                    s.bind(("::", port))
                    return port
                except OSError:
                    pass
        raise Failure("no port is free")


turn = None


def take_turn():
    """Tests of ten thousand connections call this: until the test's end no other such test runs on this machine. The kernel
    counts a user's sockets in flight, which the keeper's are, over all processes."""
    global turn
    turn = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def taken():
        try:
            turn.bind("\0chatd-test-crowd")
            return True
        except OSError:
            return False
    wait_for(taken, 600, "another test's end")


def give_turn():
    global turn
    if turn:
        turn.close()
    turn = None


ports = None


def free_port(kind=socket.SOCK_STREAM):
    global ports
    ports = ports or Ports()
    return ports.next(kind)


def side_by_side(function, arguments, at_once=2 * (os.cpu_count() or 1)):
    """The values of function for each of them, in their order, by processes of their own, each with its daemons and ports.
    Values have to be what JSON can say; the first failure is raised, with the end of the logs there."""
    global ports
    waiting, running, values = list(enumerate(arguments)), {}, {}

    def child(argument, pipe):
        global ports
        ports, Daemon.running = None, []
        try:
            answer = {"is": function(argument)}
        except BaseException:
            logs = "".join("\n" + d.last_words() for d in Daemon.running)
            answer = {"failed": traceback.format_exc() + logs}
        for d in list(Daemon.running):
            d.clean_up()
        with os.fdopen(pipe, "w") as f:
            json.dump(answer, f)
        sys.stdout.flush()

    failed = None
    while running or (waiting and not failed):
        while waiting and not failed and len(running) < at_once:
            number, argument = waiting.pop(0)
            result, pipe = os.pipe()
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                try:
                    child(argument, pipe)
                finally:
                    os._exit(0)
            os.close(pipe)
            running[result] = pid, number
        for result in select.select(list(running), [], [])[0]:
            pid, number = running.pop(result)
            with os.fdopen(result) as f:
                answer = json.loads(f.read() or '{"failed": "it died"}')
            os.waitpid(pid, 0)
            if "failed" in answer:
                failed = failed or Failure("%s: %s" % (arguments[number], answer["failed"]))
            else:
                values[number] = answer["is"]
    if failed:
        raise failed
    return [values[i] for i in range(len(arguments))]


def children_exit(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return (pid, 0)


def read_log(path):
    """What a program has written there so far."""
    try:
        with open(path, errors="backslashreplace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def wait_stopped(pid):
    """The signal is one thread's, which has to run before it stops the others: until then they work."""
    def states():
        for stat in glob.glob("/proc/%d/task/*/stat" % pid):
            with contextlib.suppress(OSError), open(stat) as f:  # it may have ended
                yield f.read().rpartition(")")[2].split()[0]
    wait_for(lambda: set(states()) <= {"T", "t"}, what="process %d to stop" % pid)


class Daemon:
    """A chatd with its own directory, ports and control socket. store=True: this class keeps its fds as systemd would;
    parent=True: `chatd --supervise` does, which is who pid is then. With CHATD_TEST_PARENT=1 that one does it for store=True, too."""

    running = []
    log_level = "debug"

    def __init__(self, rooms="", listeners=None, extra="", store=False, env=None, workers=2, start=True, binary=CHATD,
                 netns=None, parent=False):
        self.dir = tempfile.mkdtemp(prefix="chatd-test-")
        self.socket = os.path.join(self.dir, "control.sock")
        self.config = os.path.join(self.dir, "chatd.conf")
        self.log_path = os.path.join(self.dir, "log")
        self.binary = binary
        self.env = dict(env or {})
        self.pid = None
        self.status = None
        self.parent = parent or (store and "CHATD_TEST_PARENT" in os.environ)
        self.ready = False
        self.notify = None
        self.notify_lock = threading.Lock()
        self.status_text = ""
        self.stored = {}  # name -> list of fds
        self.passed = []  # sockets from "systemd": (fd, name)
        self.store = store and not self.parent
        self.port = free_port()
        self.echo_port = free_port()
        self.workers = workers
        self.clients = []
        self.supervised = False
        self.spawning = threading.Lock()
        self.netns = netns
        self.write_config(rooms, listeners, extra)
        Daemon.running.append(self)
        if start:
            self.start()

    def write_config(self, rooms="", listeners=None, extra=""):
        if listeners is None:
            listeners = """
              { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; },
              { name = "echo"; type = "tcp"; mode = "echo"; listen = "127.0.0.1:%d"; } """ % (self.port, self.echo_port)
        if "limits" not in extra:
            extra += " limits: { max_clients_per_address = 0; };"
        with open(self.config, "w") as f:
            f.write("""
workers = %d;
log_level = "%s";
io_uring = %s;
rooms = ( %s );
listeners = ( %s );
%s
control: { socket = "%s"; group = "chatd"; };
""" % (self.workers, self.log_level, IO_URING, rooms or '{ name = "lobby"; }', listeners, extra, self.socket))

    def limit_files(self, n):
        """From the next start on no more than n file descriptors are allowed."""
        self.start_by("ulimit -n %d\nexec" % n)

    def start_by(self, shell, program=CHATD):
        """From the next start on chatd is what these words of shell are followed by."""
        self.binary = os.path.join(self.dir, "started-by")
        with open(self.binary, "w") as f:
            f.write('#!/bin/sh\n%s %s "$@"\n' % (shell, program))
        os.chmod(self.binary, 0o755)

    def arm(self, fault, then=None):
        """The next process dies at the fault, and one after it at the other. Returns the file that goes with the last one."""
        once = os.path.join(self.dir, "once")
        open(once, "w").close()
        self.env.update(CHATD_FAULT=fault, CHATD_FAULT_ONCE=once)
        if then:
            once += "-then"
            open(once, "w").close()
            self.env.update(CHATD_FAULT_THEN=then, CHATD_FAULT_THEN_ONCE=once)
        return once

    # --- the service manager's part ---

    def drain_notify(self):
        with self.notify_lock:
            self.drain_notify_locked()

    def keep_draining(self):
        """A service manager is always there; a full queue would hold chatd up."""
        while self in Daemon.running:
            self.drain_notify()
            time.sleep(0.002)

    def drain_notify_locked(self):
        while self.notify:
            try:
                data, anc, flags, _ = self.notify.recvmsg(8192, socket.CMSG_SPACE(64 * 4),
                                                          socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            fds = []
            for level, kind, payload in anc:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    a = array.array("i")
                    a.frombytes(payload[:len(payload) - len(payload) % 4])
                    fds += list(a)
            fields = dict(l.split("=", 1) for l in data.decode().split("\n") if "=" in l)
            if fields.get("READY") == "1":
                self.ready = True
            if "STATUS" in fields:
                self.status_text = fields["STATUS"]
            name = fields.get("FDNAME", "stored")
            if fields.get("FDSTORE") == "1" and self.store:
                # As systemd does it: what is there already is not stored again.
                known = {self.identity(fd) for kept in self.stored.values() for fd in kept}
                self.stored.setdefault(name, []).extend(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 300) for fd in fds
                                                        if self.identity(fd) not in known)
            if fields.get("FDSTOREREMOVE") == "1":
                for fd in self.stored.pop(name, []):
                    os.close(fd)
            for fd in fds:
                os.close(fd)

    @staticmethod
    def identity(fd):
        st = os.fstat(fd)
        return st.st_dev, st.st_ino

    def forget_store(self):
        self.drain_notify()
        for fds in self.stored.values():
            for fd in fds:
                os.close(fd)
        self.stored = {}

    def spawn(self):
        if not self.notify:
            self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            self.notify.bind(os.path.join(self.dir, "notify"))
            os.chmod(os.path.join(self.dir, "notify"), 0o777)  # chatd may be somebody else
            if self.store:
                threading.Thread(target=self.keep_draining, daemon=True).start()
        self.drain_notify()
        self.ready = False
        env = dict(os.environ, **self.env)
        if self.store:
            env["NOTIFY_SOCKET"] = os.path.join(self.dir, "notify")
        pairs = list(self.passed) + [(fd, name) for name, fds in self.stored.items() for fd in fds]
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_OPEN, 1, self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640),
                   (os.POSIX_SPAWN_DUP2, 1, 2)]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 1000) for fd, _ in pairs]
        for i, fd in enumerate(high):
            actions.append((os.POSIX_SPAWN_DUP2, fd, 3 + i))
        if pairs:
            env["LISTEN_FDS"] = str(len(pairs))
            env["LISTEN_FDNAMES"] = ":".join(name for _, name in pairs)
        enter = "nsenter --net=/run/netns/%s " % self.netns if self.netns else ""
        self.pid = os.posix_spawn("/bin/sh", ["sh", "-c", 'LISTEN_PID=$$ exec %s"$0" %s -c "$1"' %
                                              (enter, "--supervise" if self.parent else ""), self.binary, self.config],
                                  env, file_actions=actions)
        self.status = None
        for fd in high:
            os.close(fd)

    def alive(self):
        if self.pid is None:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return True
        self.pid = None
        self.status = status
        return False

    def start(self, timeout=PATIENCE):
        self.spawn()
        self.wait_ready(timeout)

    def wait_ready(self, timeout=PATIENCE):
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if not self.alive():
                raise Failure("chatd ended with status %r:\n%s" % (self.status, self.last_words()))
            if self.store:
                self.drain_notify()
                if self.ready:
                    return
            elif os.path.exists(self.socket) and self.ctl("ping")[0] == 0:
                return
            time.sleep(0.005)
        raise Failure("chatd is not ready:\n" + self.last_words())

    @property
    def ready(self):
        return " serves " in self.log().rpartition("supervisor: ")[2] if self.parent else self.said_ready

    @ready.setter
    def ready(self, value):
        self.said_ready = value

    @property
    def deaths(self):
        return self.log().count(" was ended by signal 9") if self.parent else self.counted_deaths

    def start_supervised(self):
        """It serves; and whenever it dies, the next one will."""
        self.spawn()
        self.supervise()
        wait_for(lambda: self.ready, what="chatd")

    def supervise(self):
        """From now on chatd is started again whenever it dies by SIGKILL, as systemd would do it (and a parent does)."""
        self.supervised = True
        self.counted_deaths = 0
        if self.parent:
            return

        def watch():
            while self.supervised:
                with self.spawning:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                    if pid and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                        self.counted_deaths += 1
                        self.spawn()
                    elif pid:
                        self.pid, self.status, self.supervised = None, status, False
                if pid == 0:
                    self.drain_notify()
                    time.sleep(0.002)

        self.watcher = threading.Thread(target=watch, daemon=True)
        self.watcher.start()

    def unsupervise(self):
        self.supervised = False
        if not self.parent:
            self.watcher.join()

    def signal(self, number):
        """Who is supervised dies itself, and not its parent."""
        with self.spawning:  # no pid of one that is gone
            os.kill(self.child() if self.parent and self.supervised and number == signal.SIGKILL else self.pid, number)
        if number == signal.SIGSTOP:
            wait_stopped(self.pid)

    def kept(self):
        """The names of what is kept for the next process: a parent tells only that one."""
        if not self.parent:
            return sorted(name for name, fds in self.stored.items() for _ in fds)
        self.kill_child()
        with open("/proc/%d/environ" % self.child(), "rb") as f:
            text = dict(e.split("=", 1) for e in f.read().decode().split("\0") if "=" in e).get("CHATD_HANDOVER", "")
        return sorted(part.partition("=")[2] for part in text.split(":")[1:])

    def child(self):
        """The daemon that a parent has now; None: there is none for the moment."""
        try:
            with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
                return int((f.read().split() or [0])[0]) or None
        except OSError:
            return None

    def kill_child(self):
        pid = self.child()
        if pid:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: self.child() not in (pid, None), what="the next daemon")

    def wait(self, timeout=PATIENCE):
        wait_for(lambda: not self.alive(), timeout, "chatd's end")
        return self.status

    def stop(self):
        self.signal(signal.SIGTERM)
        status = self.wait()
        self.drain_notify()
        equal(status, 0)

    def kill(self):
        """As a crash; start() afterwards is the service manager's restart."""
        if self.alive():
            self.signal(signal.SIGKILL)
            self.wait()

    def finish(self):
        """Every test ends with a graceful stop, which is where sanitizers report what they found."""
        for c in self.clients:
            c.close()
        if self.alive():
            self.signal(signal.SIGTERM)
            self.wait()
            check(self.status == 0, "chatd ended with status", self.status, self.last_words())
        self.clean_up()

    def clean_up(self):
        if self.supervised:
            self.unsupervise()
        if self.alive():
            self.signal(signal.SIGKILL)
            self.wait()
        for c in self.clients:
            c.close()
        self.forget_store()
        with self.notify_lock:
            if self.notify:
                self.notify.close()
            self.notify = None
        for fd, _ in self.passed:
            os.close(fd)
        shutil.rmtree(self.dir, ignore_errors=True)
        Daemon.running.remove(self)

    # --- looking at it ---

    def log(self):
        return read_log(self.log_path)

    def last_words(self):
        """The end of the log, or what a sanitizer said in it."""
        text = self.log()
        m = re.search(r"^(==\d+==ERROR|WARNING: \w+Sanitizer|.*: runtime error:)", text, re.M)
        return text[m.start():][:3000] if m else text[-3000:]

    def ctl(self, *args, stdin=b"", timeout=PATIENCE):
        p = subprocess.run([CHATCTL, "-s", self.socket, *args], input=stdin, capture_output=True, timeout=timeout)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def json(self, *args):
        code, out, err = self.ctl("--json", *args)
        check(code == 0 or (code == 1 and args[0] == "status"), code, err)  # 1: not all is well
        equal(err, "")
        return json.loads(out)

    def metric(self, name):
        code, out, _ = self.ctl("metrics")
        equal(code, 0)
        return int(re.search(r"^chatd_%s (\d+)$" % name, out, re.M).group(1))

    def threads(self):
        names = []
        for t in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/comm" % (self.pid, t)) as f:
                names.append(f.read().strip())
        return sorted(names)

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def cpu(self):
        """Seconds of CPU used so far."""
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- clients ---

    def connect(self, port=None, host="127.0.0.1", rcvbuf=None):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        s.settimeout(PATIENCE)
        s.connect((host, port or self.port))
        c = Client(s)
        self.clients.append(c)  # or it would be closed with its last reference
        return c

    def join(self, room=None, nick=None, **kwargs):
        """A client that has been greeted, and is in that room under that nick."""
        c = self.connect(**kwargs)
        c.expect(WELCOME)
        if room:
            c.send("/join %s\n" % room)
            c.expect(("* You are in %s.\n" % room).encode())
        if nick:
            c.send("/nick %s\n" % nick)
            c.expect(re.compile(rb"\* (You are now %b\.|\S+ is now %b)\n" % (nick.encode(), nick.encode())))
        return c


class Client:
    def __init__(self, sock):
        self.sock = sock
        self.buf = bytearray()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def receive(self):
        data = self.sock.recv(1 << 16)
        self.buf += data
        return data

    def expect(self, what, timeout=PATIENCE):
        """Reads until what (text, bytes or a compiled pattern) has come; returns it with what came before."""
        if isinstance(what, str):
            what = what.encode()
        until = time.monotonic() + timeout
        searched = 0
        while True:
            if isinstance(what, bytes):
                # What begins with it is seen faster so.
                at = 0 if self.buf.startswith(what) else self.buf.find(what, searched)
                end = at + len(what) if at >= 0 else -1
                searched = max(0, len(self.buf) - len(what))
            else:
                m = what.search(self.buf)
                end = m.end() if m else -1
                m = None  # which would keep the buffer from being changed
            if end >= 0:
                taken = bytes(self.buf[:end])
                del self.buf[:end]
                return taken
            left = until - time.monotonic()
            if left <= 0:
                raise Failure("expected %r, got %r" % (what, bytes(self.buf[-2000:])))
            self.sock.settimeout(left)
            try:
                if not self.receive():
                    raise Failure("closed; expected %r, got %r" % (what, bytes(self.buf[-2000:])))
            except socket.timeout:
                pass

    def expect_messages(self, n):
        """Reads lines until n of them are messages, and not notices; returns the messages."""
        messages = []
        while len(messages) < n:
            line = self.expect("\n").decode().rstrip("\n")
            if not line.startswith("*"):
                messages.append(line)
        return messages

    def nothing(self, seconds=0.3):
        """Nothing may come for so long."""
        self.sock.settimeout(seconds)
        try:
            self.receive()
        except socket.timeout:
            pass
        equal(self.buf, b"")

    def rest(self, timeout=PATIENCE):
        """Everything up to the end of the connection, which is then closed here, too, or chatd would wait for that."""
        self.sock.settimeout(timeout)
        while self.receive():
            pass
        self.close()
        data, self.buf = bytes(self.buf), bytearray()
        return data

    def close(self):
        self.sock.close()


CLONE_NEWNET = 0x40000000


class Namespace:
    """A network of its own: chatd on one end of a cable, a host with two addresses on the other."""

    def __init__(self):
        need("ip", "nsenter")
        self.names = ["chatd-test-%d-%s" % (os.getpid(), x) for x in "ab"]
        self.libc = ctypes.CDLL(None, use_errno=True)
        for n in self.names:
            if run("ip", "netns", "add", n).returncode:
                raise Skip("no network namespaces here")
        a, b = self.names
        for command in (
                "ip -n %s link add va type veth peer name vb netns %s" % (a, b),
                "ip -n %s addr add 10.77.0.1/24 dev va" % a, "ip -n %s addr add 10.77.0.2/24 dev vb" % b,
                "ip -n %s addr add 10.77.0.3/24 dev vb" % b, "ip -n %s link set lo up" % a, "ip -n %s link set va up" % a,
                "ip -n %s link set vb up" % b):
            p = run(*command.split())
            if p.returncode:
                self.close()
                raise Skip("can't make a network: %s" % p.stderr.decode().strip())

    def socket(self, which, *args):
        """A socket in that namespace, made by this thread."""
        with open("/proc/self/ns/net") as home, open("/run/netns/" + self.names[which]) as there:
            check(self.libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno()))
            try:
                return socket.socket(*args)
            finally:
                check(self.libc.setns(home.fileno(), CLONE_NEWNET) == 0)

    def close(self):
        for n in self.names:
            run("ip", "netns", "del", n)


def drain(client):
    """Reads and forgets what the client gets, in the background."""
    def read():
        try:
            client.rest(120)
        except OSError:
            pass
    threading.Thread(target=read, daemon=True).start()


def run(*args, stdin=b"", timeout=PATIENCE):
    return subprocess.run(args, input=stdin, capture_output=True, timeout=timeout)


secrets = {}


def add_account(path, nick, password="secret", *options):
    """By chatctl; who is new with a password that had its turn gets what chatctl made of that, as hashing takes long."""
    names, known = [], secrets.get((password, options))
    if os.path.exists(path):
        with open(path) as f:
            names = [line.split(":")[0].casefold() for line in f]
    if known and nick.casefold() not in names:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640), "w") as f:
            f.write("%s:%s" % (nick, known))
        return
    p = run(CHATCTL, "passwd", *options, path, nick, stdin=password.encode() + b"\n")
    equal((p.returncode, p.stderr), (0, b""))
    with open(path) as f:
        secrets[password, options] = next(line for line in f if line.startswith(nick + ":")).partition(":")[2]


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Skip(p + " is not installed")


def fault_points():
    names = set()
    for path in glob.glob(os.path.join(SOURCE, "daemon", "**", "*.c"), recursive=True):
        with open(path) as f:
            names.update(re.findall(r'\bFAULT\("([\w-]+)"\)', f.read()))
    check(names, "no fault points were found in the source")
    return sorted(names)


def has_faults():
    return run(CHATD, "--version").stdout.find(b"fault points") >= 0


# --- TLS ---


def tls_files(directory, name="chatd.invalid", ca=None):
    """A certificate with its key, and a CA for clients; made by openssl(1)."""
    key, cert = os.path.join(directory, name + ".key"), os.path.join(directory, name + ".pem")
    args = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
            "-out", cert, "-subj", "/CN=" + name, "-days", "2", "-x509"]
    if ca:
        args += ["-CA", ca + ".pem", "-CAkey", ca + ".key"]
    subprocess.run(args, check=True, capture_output=True)
    return cert, key


def tls_connect(d, port, cert=None, minimum=ssl.TLSVersion.TLSv1_2, maximum=None, ca=None):
    warnings.simplefilter("ignore", DeprecationWarning)  # old versions are wanted here
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if cert:
        context.load_cert_chain(*cert)
    s = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    c = Client(context.wrap_socket(s))
    d.clients.append(c)
    return c


def with_tls(more="", mode="chat", start=True, **kwargs):
    """A daemon with a listener of TLS beside one without."""
    d = Daemon(start=False, **kwargs)
    d.tls = free_port()
    d.cert, d.key = tls_files(d.dir)
    d.doors = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; },
      { name = "tls"; type = "tcp"; mode = "%s"; listen = "127.0.0.1:%d"; tls_certificate = "%s"; tls_key = "%s"; %s
      } """ % (d.port, mode, d.tls, d.cert, d.key, more)
    d.write_config(listeners=d.doors)
    if start:
        d.start()
    return d
