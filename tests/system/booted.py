# SPDX-License-Identifier: MIT
"""A machine of its own for tests: a real systemd, booted in a container (systemd-nspawn) over an overlay of this one's files,
with the chatd that was built installed."""

import atexit
import glob
import json
import os
import re
import signal
import subprocess
import tempfile

from testing import BUILD, Failure, Skip, check, need, run, wait_for


class Container:
    def __init__(self, netns=None, size="1g"):
        need("systemd-nspawn", "nsenter", "mount", "make")
        if os.geteuid() != 0:
            raise Skip("only root can boot a container")
        if not os.path.exists("/lib/systemd/systemd"):
            raise Skip("systemd is not installed")
        self.dir = tempfile.mkdtemp(prefix="chatd-container-")
        self.nspawn = None
        self.mounts = []
        atexit.register(self.destroy)
        self.mount("-t", "tmpfs", "-o", "size=" + size, "tmpfs", self.dir)
        self.root = os.path.join(self.dir, "root")
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.dir, name))
        self.mount("-t", "overlay", "-o", "lowerdir=/,upperdir=%s/upper,workdir=%s/work" % (self.dir, self.dir),
                   "overlay", self.root)
        for link in glob.glob(self.root + "/etc/systemd/system/*.wants/*"):
            os.unlink(link)
        self.install(BUILD)
        with open(self.root + "/etc/machine-id", "w") as f:
            f.write("0123456789abcdef0123456789abcdef\n")
        self.run_on_host("systemd-sysusers", "--root=" + self.root)
        env = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1")
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "--directory=" + self.root, "--boot", "--register=no", "--keep-unit",
             "--network-namespace-path=/run/netns/" + netns if netns else "--private-network", "--console=pipe", "--quiet"],
            stdin=subprocess.DEVNULL, stdout=open(os.path.join(self.dir, "console"), "wb"),
            stderr=subprocess.STDOUT, env=env)
        self.pid = wait_for(self.find_systemd, what="the container's systemd")
        wait_for(lambda: self.try_run("systemctl", "is-system-running")[1].strip() in ("running", "degraded"), 60,
                 "the container's boot")
        self.sh("ip link set lo up || true")

    def mount(self, *args):
        p = run("mount", *args)
        if p.returncode:
            raise Skip("can't mount: %s" % p.stderr.decode().strip())
        self.mounts.append(args[-1])

    def run_on_host(self, *args):
        p = run(*args, timeout=120)
        check(p.returncode == 0, args, p.stdout.decode(), p.stderr.decode())
        return p.stdout.decode()

    def install(self, build):
        self.run_on_host("make", "-s", "-C", build, "install", "DESTDIR=" + self.root)
        with open(os.path.join(build, "Makefile")) as f:
            self.prefix = re.search(r"^prefix = (.*)$", f.read(), re.M).group(1)
        self.config = glob.glob(self.root + "/etc/chatd.conf") + glob.glob(self.root + self.prefix + "/etc/chatd.conf")
        self.config = self.config[0]

    def find_systemd(self):
        check(self.nspawn.poll() is None, "systemd-nspawn ended:", open(os.path.join(self.dir, "console")).read()[-2000:])
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path) as f:
                    text = f.read()
            except OSError:
                continue
            fields = text.rsplit(")", 1)[1].split()
            if int(fields[1]) == self.nspawn.pid and "(systemd)" in text:
                return int(path.split("/")[2])
        return None

    def try_run(self, *args, stdin=b"", timeout=60):
        p = subprocess.run(["nsenter", "-t", str(self.pid), "-a", "--", *args], input=stdin, capture_output=True,
                           timeout=timeout)
        return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")

    def run(self, *args, **kwargs):
        code, out, err = self.try_run(*args, **kwargs)
        check(code == 0, args, "gave", code, out, err)
        return out

    def sh(self, text):
        return self.run("sh", "-c", text)

    def systemctl(self, *args):
        return self.run("systemctl", *args)

    def show(self, what, unit="chatd.service"):
        return self.run("systemctl", "show", "-P", what, unit).strip()

    def journal(self, *args):
        return [json.loads(l) for l in self.run("journalctl", "-o", "json", "--all", *args).splitlines()]

    def popen(self, *args, **kwargs):
        """Python inside the container's network, with the host's files."""
        return subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", "--", *args], **kwargs)

    def nc(self, script, port=5050, timeout=15):
        """A person with nc: the shell script's output goes to it."""
        return self.run("sh", "-c", "(%s) | timeout %d nc 127.0.0.1 %d" % (script, timeout, port))

    def write_config(self, text):
        with open(self.config, "w") as f:
            f.write(text)

    def chatd_pid(self):
        """As the host sees it."""
        inside = self.show("MainPID")
        for path in glob.glob("/proc/[0-9]*/status"):
            try:
                with open(path) as f:
                    text = f.read()
            except OSError:
                continue
            found = re.search(r"^NSpid:\s+(\d+)\s+(\d+)$", text, re.M)
            if found and found.group(2) == inside and "Name:\tchatd" in text:
                return int(found.group(1))
        raise Failure("no chatd with pid %s in the container" % inside)

    def destroy(self):
        if self.nspawn and self.nspawn.poll() is None:
            if getattr(self, "pid", None):
                os.kill(self.pid, signal.SIGRTMIN + 4)  # poweroff
            try:
                self.nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        for m in reversed(self.mounts):
            run("umount", "-l", m)
        self.mounts = []
        try:
            os.rmdir(self.dir)
        except OSError:
            pass
