# SPDX-License-Identifier: MIT
"""docs/ADMIN.md, done by an admin on a machine of its own: its blocks of shell, one after the other, as they stand there, and
whether they do what the guide says. The test that runs it is in container.py, which makes the packages."""

import json
import os
import re
import shutil
import subprocess

from testing import SOURCE, check, equal, wait_for

LIVE = "/etc/letsencrypt/live/chat.example.org"
IRC = "PASS alice:secret\\r\\nNICK alice\\r\\nUSER a 0 * a\\r\\nJOIN #lobby,#staff\\r\\nQUIT\\r\\n"


def blocks():
    with open(os.path.join(SOURCE, "docs", "ADMIN.md")) as f:
        return re.findall(r"^```sh\n(.*?)^```$", f.read(), re.M | re.S)


class Admin:
    """Where ./dev package has put the first of the packages, in the directory of the source."""

    def __init__(self, c, packages):
        self.c, self.packages, self.blocks, self.person = c, packages, blocks(), None
        self.put(0)
        c.sh("echo 127.0.0.1 chat.example.org >>/etc/hosts")

    def put(self, n):
        self.c.sh("rm -rf /root/chatd; mkdir -p /root/chatd/build/package")
        shutil.copy(self.packages[n], self.c.root + "/root/chatd/build/package/chatd_%d_amd64.deb" % n)

    def next(self, word, stdin=""):
        """Runs the next block, in which that word stands."""
        block = self.blocks.pop(0)
        check(word in block, word, "is not in", block)
        code, out, err = self.c.try_run("bash", "-ec", "cd /root/chatd\n" + block, stdin=stdin.encode(), timeout=120)
        check(code == 0, block, "gave", code, out, err)
        return out

    def client(self, port):
        """openssl, which believes in no certificate but the right one."""
        return ("timeout 120 openssl s_client -quiet -verify_return_error -CAfile /etc/chatd/cert.pem -verify_hostname "
                "chat.example.org -connect 127.0.0.1:%d 2>/dev/null" % port)

    def answers(self, said, port):
        """What comes back until the server ends it."""
        return self.c.sh("printf '%s' | %s || true" % (said, self.client(port)))

    def serial(self):
        """Of the certificate that those see who come."""
        return self.c.sh("openssl s_client -connect 127.0.0.1:5052 </dev/null 2>/dev/null | openssl x509 -noout -serial")

    def arrive(self):
        """Somebody who stays, over TLS."""
        self.person = subprocess.Popen(["nsenter", "-t", str(self.c.pid), "-a", "--", "sh", "-c", self.client(5052)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.say("/login bob secret")
        self.is_here("bob")

    def say(self, line):
        self.person.stdin.write(line.encode() + b"\n")
        self.person.stdin.flush()

    def is_here(self, word):
        """What is said by whoever stays arrives, in the room and back at them."""
        self.say("still here, " + word)
        for line in self.person.stdout:
            if line == b"bob: still here, %s\n" % word.encode():
                return
        check(False, "the connection is gone:", word)

    def leave(self):
        if self.person:
            self.person.kill()
            self.person.wait()
            self.person.stdout.close()


def install(a):
    check("all is well" in a.next("apt-get install"))
    a.next("openssl req")
    a.next("renewal-hooks")
    # What certbot has made.
    a.c.sh("mkdir -p {0}; cp /etc/chatd/cert.pem {0}/fullchain.pem; cp /etc/chatd/key.pem {0}/privkey.pem".format(LIVE))
    a.next("RENEWED_LINEAGE")
    a.next("passwd", "secret\n")
    a.c.run("chatctl", "passwd", "/etc/chatd/passwords", "bob", stdin=b"secret\n")
    equal(a.c.sh("stat -c '%a %U %G' /etc/chatd/key.pem /etc/chatd/passwords"), "640 root chatd\n" * 2)


def be_reached(a):
    listeners = a.next("cat >/etc/chatd.conf")
    check(all(re.search("^%s " % name, listeners, re.M) for name in ("local", "tls", "web", "irc")), listeners)
    a.arrive()
    # Nobody speaks there without a password.
    a.answers("a stranger says\\nquit\\n", 5052)
    check("a stranger" not in a.c.run("chatctl", "tail", "lobby"))
    check("alice: hello\n" in a.next("chatctl join", "/login alice secret\nhello\n") + a.c.run("chatctl", "tail", "lobby"))
    check("<title>" in a.next("curl"))
    out = a.answers(IRC, 6697)
    check(" 001 alice " in out and "JOIN #staff" in out, out)
    check("JOIN" not in a.answers(IRC.replace("secret", "wrong"), 6697))
    # A new certificate is for those who come; nobody goes.
    before = a.serial()
    a.c.sh("openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=chat.example.org -addext subjectAltName=DNS:chat.example.org "
           "-keyout {0}/privkey.pem -out {0}/fullchain.pem 2>&1; RENEWED_LINEAGE={0} /etc/letsencrypt/renewal-hooks/deploy/chatd"
           .format(LIVE))
    check(a.serial() != before, before)
    a.is_here("the new certificate")


def day_by_day(a):
    wait_for(lambda: "the new certificate" in a.c.run("chatctl", "history", "lobby"), what="what was said in the database")
    out = a.next("chatctl history")
    equal(out.count("hello"), 2)
    check("the new certificate" in out, out)
    out = a.next("chatctl status")
    check("all is well" in out and "bob" in out and "chatd_build_info" in out, out)
    mallory = a.c.popen("timeout", "60", "nc", "127.0.0.1", "5050", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    mallory.stdin.write(b"/nick mallory\nbuy this\n")
    mallory.stdin.flush()
    wait_for(lambda: "buy this" in a.c.run("chatctl", "history", "lobby"), what="mallory's in the database")
    a.next("chatctl kick")
    mallory.stdin.close()
    check(b"please stop" in mallory.stdout.read())
    mallory.wait()
    check("buy this" not in a.c.run("chatctl", "history", "lobby"))
    a.next("chatctl reload")
    a.is_here("the reload")


def lose_and_bring_back(a):
    c = a.c
    wait_for(lambda: "the reload" in c.run("chatctl", "history", "lobby"), what="what was said in the database")
    a.next("cron.daily")
    equal(c.sh("stat -c %a /var/backups/chatd /var/backups/chatd/*"), "700\n600\n600\n")
    # The machine burns.
    c.systemctl("stop", "chatd")
    c.sh("cp /etc/chatd/passwords /root; rm -rf /var/lib/chatd /etc/chatd /etc/chatd.conf")
    c.sh("systemd-tmpfiles --create; dpkg --force-confmiss -i /root/chatd/build/package/chatd_*.deb")
    a.next("systemctl stop")
    wait_for(lambda: c.try_run("chatctl", "status")[0] == 0, what="all to be well")
    check("the reload" in c.run("chatctl", "tail", "lobby"))
    check("192.0.2.7" in c.run("chatctl", "list", "bans"))
    c.run("chatctl", "ban", "192.0.2.8")
    c.sh("cmp /root/passwords /etc/chatd/passwords")
    equal(c.sh("stat -c '%a %U %G' /etc/chatd/key.pem /etc/chatd/passwords"), "640 root chatd\n" * 2)
    a.leave()
    a.arrive()


def upgrade(a):
    a.put(1)
    a.next("apt-get install")
    equal(a.blocks, [])
    takeover = json.loads(a.c.run("chatctl", "--json", "status"))["takeover"]
    equal((takeover["clients"], takeover["closed"]), (1, 0))
    a.is_here("the upgrade")


def follow(a):
    try:
        for part in (install, be_reached, day_by_day, lose_and_bring_back, upgrade):
            part(a)
    finally:
        a.leave()
