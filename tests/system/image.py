#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The image of packaging/container, run by podman: chatd as the first process of a container without systemd."""

import ctypes
import resource
import signal
import threading
import time

from testing import *

IMAGE = "localhost/chatd-test"


class Podman:
    """With a storage of its own, and in a mount namespace of its own, where cgroups are as podman wants them."""

    def __init__(self):
        if os.environ.get("CHATD_NO_CONTAINER"):
            raise Skip("the container tests run with the plain build only")
        need("podman", "crun", "unshare", "nsenter", "ldd", "dpkg")
        if os.geteuid() != 0:
            raise Skip("only root can run a container here")
        self.dir = tempfile.mkdtemp(prefix="chatd-image-")
        atexit.register(self.destroy)
        self.mounts = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", "umount -l /sys/fs/cgroup; "
             "mount -t cgroup2 none /sys/fs/cgroup && echo ready && exec sleep 3600"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = self.mounts.stdout.readline()
        if said != b"ready\n":
            raise Skip("no mount namespace here: %s" % said.decode().strip())
        p = run(os.path.join(SOURCE, "packaging", "container", "root"), BUILD, self.dir, timeout=120)
        equal((p.returncode, p.stderr), (0, b""))
        code, _, err = self.run("build", "-q", "-t", IMAGE, "-f", os.path.join(SOURCE, "packaging", "container", "Containerfile"),
                                self.dir)
        if code:
            raise Skip("podman can't build an image: " + err[-300:])
        code, out, err = self.container("--rm", IMAGE, "-V")
        if code in (125, 126, 127) and "not found" not in err:  # what a container needs is missing, and not the program
            raise Skip("podman can't run a container: " + err[-300:])
        check(code == 0 and out.startswith("chatd "), code, out, err)

    def run(self, *args, timeout=120):
        p = run("nsenter", "-t", str(self.mounts.pid), "-m", "podman", "--root", self.dir + "/storage", "--runroot",
                self.dir + "/run", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--log-level=error", *args, timeout=timeout)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def must(self, *args):
        code, out, err = self.run(*args)
        check(code == 0, args, code, out, err)
        return out.strip()

    def container(self, *args):
        """podman run, with no more than this process may itself."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits = ["--ulimit", "nofile=%d:%d" % (files, files), "--ulimit", "nproc=4096:4096"]
        return self.run("run", "--network=none", "--cgroups=disabled", *limits, *args)

    def destroy(self):
        self.run("rm", "-f", "-a")
        self.mounts.kill()
        self.mounts.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


shared = {}


def podman():
    if "skip" in shared:
        raise Skip(shared["skip"])
    if "it" not in shared:
        try:
            shared["it"] = Podman()
        except Skip as e:
            shared["skip"] = str(e)
            raise
    return shared["it"]


class Container:
    def __init__(self, p):
        self.p = p
        code, self.id, err = p.container("-d", "--cap-drop=all", "--security-opt=no-new-privileges", IMAGE)
        equal((code, err), (0, ""))
        self.id = self.id.strip()
        self.pid = int(p.must("inspect", "-f", "{{.State.Pid}}", self.id))
        wait_for(lambda: p.run("exec", self.id, "chatctl", "status")[0] == 0, what="the daemon: " + self.log())

    def log(self):
        return "".join(self.p.run("logs", self.id)[1:])

    def ctl(self, *args):
        return self.p.must("exec", self.id, "chatctl", *args)

    def takeovers(self):
        out = self.p.run("exec", self.id, "chatctl", "--json", "status")[1]
        return json.loads(out)["takeover"]["count"] if out else -1

    def daemon(self):
        """As the host sees it."""
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return int((f.read().split() or [0])[0])

    def connect(self):
        """A client in the container's network, made by a thread that goes there and ends."""
        made = []

        def make():
            libc = ctypes.CDLL(None, use_errno=True)
            with open("/proc/%d/ns/net" % self.pid) as there:
                if libc.setns(there.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.create_connection(("127.0.0.1", 5050), 20))
        t = threading.Thread(target=make)
        t.start()
        t.join()
        check(made, "no connection")
        return Client(made[0])


@test
def talks_is_killed_is_upgraded_and_stops_in_order():
    p = podman()
    c = Container(p)
    with open("/proc/%d/cmdline" % c.pid, "rb") as f:
        equal(f.read(), b"/usr/sbin/chatd\0--supervise\0")
    with open("/proc/%d/status" % c.pid) as f:
        text = f.read()
    check(re.search(r"^Uid:\s+990\s", text, re.M) and re.search(r"^NSpid:\s+\d+\s+1$", text, re.M), text)
    alice, bob = c.connect(), c.connect()
    for name, client in (("alice", alice), ("bob", bob)):
        client.expect(WELCOME)
        client.send("/nick %s\n" % name)
        client.expect(re.compile(rb"(now %b)\.?\n" % name.encode()))
    alice.expect("is now bob\n")
    said = []

    def talk(text):
        alice.send(text + "\n")
        for client in (alice, bob):
            equal(client.expect("\n"), b"alice: %b\n" % text.encode())
        said.append(text)
    talk("hello")
    check("clients    2 (all of them survive a restart or a crash)" in c.ctl("status"))
    for i in range(3):
        before = c.daemon()
        os.kill(before, signal.SIGKILL)
        talk("killed %d times" % (i + 1))
        wait_for(lambda: c.takeovers() == i + 1)
        check(c.daemon() != before)
    # Another binary, put there as a package manager does it.
    for i, how in enumerate((("exec", c.id, "chatctl", "restart"), ("kill", "-s", "USR2", c.id), ("kill", "-s", "USR1", c.id))):
        program = "/proc/%d/root/usr/sbin/chatd" % c.pid
        shutil.copy(program, program + ".new")
        os.rename(program + ".new", program)
        p.must(*how)
        wait_for(lambda: c.takeovers() == 4 + i, what=str(how))
        equal(os.stat("/proc/%d/exe" % c.daemon()).st_ino, os.stat(program).st_ino)
        talk("upgraded by %s" % how[-1])
    equal(json.loads(c.ctl("--json", "status"))["takeover"]["closed"], 0)
    equal([l for l in c.ctl("tail", "-n", "20", "lobby").splitlines() if l.startswith("alice: ")], ["alice: " + s for s in said])
    p.must("stop", "-t", "20", c.id)
    for client in (alice, bob):
        equal(client.rest(), b"* chatd is going down\n")
    equal(p.must("inspect", "-f", "{{.State.ExitCode}}", c.id), "0")
    logged(c, "stopped\n")


@test
def a_configuration_with_mistakes_ends_it():
    p = podman()
    bad = os.path.join(p.dir, "bad.conf")
    with open(bad, "w") as f:
        f.write("nonsense = 1;\n")
    code, out, err = p.container("--rm", "-v", bad + ":/etc/chatd.conf:ro", IMAGE)
    equal(code, os.EX_CONFIG)
    check("/etc/chatd.conf:1: unknown setting nonsense" in out + err, out, err)


@test
def what_is_in_it_is_what_is_needed():
    """The listeners' ports are those that are told and published, and there is nothing to run but chatd and chatctl."""
    p = podman()
    there = os.path.join(SOURCE, "packaging", "container")
    ports = {}
    for name, pattern in (("chatd.conf", r'listen = "\[::\]:(\d+)"'), ("Containerfile", r"(\d+)/(?:tcp|udp)"),
                          ("compose.yaml", r'"127\.0\.0\.1:\d+:(\d+)/(?:tcp|udp)"')):
        with open(os.path.join(there, name)) as f:
            ports[name] = sorted(re.findall(pattern, f.read()))
    equal(list(ports.values()), [["5050", "5051"]] * 3)
    programs = [os.path.join(d, f) for d, _, files in os.walk(p.dir + "/root") for f in files
                if os.access(os.path.join(d, f), os.X_OK) and ".so" not in f and not f.startswith("ld-")]
    equal(sorted(os.path.basename(f) for f in programs), ["chatctl", "chatd"])


main()
