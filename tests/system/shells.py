#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Completions, in the shells themselves; help and suggestions."""

import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

from testing import BUILD, CHATCTL, PATIENCE, SOURCE, Daemon, Skip, check, equal, main, need, test

COMPLETIONS = os.path.join(os.path.abspath(SOURCE), "completions")


def crowd():
    d = Daemon(rooms='{ name = "lobby"; }, { name = "laundry"; }, { name = "ops"; }')
    d.join(nick="alice")
    d.join(nick="bob")
    equal(d.ctl("ban", "192.0.2.1")[0], 0)
    return d


def environment():
    return dict(os.environ, PATH=os.path.dirname(CHATCTL) + ":" + os.environ["PATH"], HOME="/nonexistent")


def expect_all(complete, d):
    """complete(line) gives the words that line's last one can become."""
    s = "chatctl -s %s " % d.socket
    equal(complete(s + "ta"), ["tail"])
    check({"status", "list", "ban", "unban"} <= set(complete(s)))
    equal(complete(s + "tail l"), ["laundry", "lobby"])
    equal(complete(s + "send -"), ["--as"])
    equal(complete(s + "send --as al"), [])  # who is there can't be spoken as
    equal(complete(s + "list b"), ["bans"])
    equal(complete(s + "list --room o"), ["ops"])
    equal(complete(s + "list --listener "), ["chat", "echo"])
    check("-q" in complete(s + "reload -"))
    equal(complete(s + "kick "), ["1", "2"])
    equal(complete(s + "unban "), ["192.0.2.1"])
    equal(complete(s + "ban 1"), ["127.0.0.1"])
    equal(complete(s + "join --room o"), ["ops"])
    equal(complete(s + "history --since 2h l"), ["laundry", "lobby"])
    equal(complete(s + "export --format m"), ["mbox"])
    equal(complete(s + "forget --room o"), ["ops"])
    check({"--nick", "--before"} <= set(complete(s + "forget -")))
    equal(complete(s + "token r"), ["revoke"])
    equal(complete(s + "log-level d"), ["debug"])
    equal(complete(s + "-H there ta"), ["tail"])
    equal(complete(s + "token add --room o"), ["ops"])
    check({"--read", "--speak"} <= set(complete(s + "token add -")))
    equal(complete("chatctl -s /nowhere tail "), [])


@test
def bash():
    d = crowd()
    script = """source %s/chatctl.bash; line=$1; COMP_WORDS=($line); [[ $line == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _chatctl; printf '%%s\\n' "${COMPREPLY[@]}" """ % COMPLETIONS

    def complete(line):
        p = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, env=environment(), timeout=PATIENCE)
        equal(p.stderr, "")
        return sorted(set(p.stdout.split()))

    expect_all(complete, d)
    # A second Tab (COMP_TYPE 63) shows what they are for.
    p = subprocess.run(["bash", "-c", "COMP_TYPE=63 COLUMNS=40; " + script, "bash", "chatctl ba"], capture_output=True, text=True,
                       env=environment(), timeout=PATIENCE)
    equal((p.stdout, p.stderr), ("backup     copy the history, the bans a\nban        keep an address out (TIME: 9\n", ""))


@test
def fish():
    need("fish")
    d = crowd()

    def complete(line):
        p = subprocess.run(["fish", "--no-config", "-c", "source %s/chatctl.fish; complete -C %r" % (COMPLETIONS, line)],
                           capture_output=True, text=True, env=environment(), timeout=PATIENCE)
        if line.endswith(" ta"):
            check("tail\tshow what was said" in p.stdout, p.stdout)
        return sorted({w.split("\t")[0] for w in p.stdout.splitlines()})

    expect_all(complete, d)


@test
def zsh():
    """In a terminal, since only there it completes."""
    need("zsh")
    d = crowd()
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], dict(environment(), TERM="dumb", PS1="", PROMPT=""))

    def read(until, timeout=PATIENCE):
        seen, end = b"", time.monotonic() + timeout
        while until not in seen:
            check(time.monotonic() < end, "zsh said", seen)
            if select.select([fd], [], [], 0.2)[0]:
                seen += os.read(fd, 10000)
        return seen

    def send(text):
        os.write(fd, text.encode())

    # What would be offered is printed instead of shown.
    send("unsetopt zle_bracketed_paste 2>/dev/null; PS1=''; fpath=(%s $fpath); autoload -Uz compinit; compinit -u -D\n"
         % COMPLETIONS)
    send("compadd() { local -a got; builtin compadd -O got \"$@\"; print -r -- \"<${got[*]}>\" > %s/answer; "
         "builtin compadd \"$@\"; }\n" % d.dir)
    send("echo rea''dy\n")
    read(b"ready")
    answer = os.path.join(d.dir, "answer")

    def complete(line):
        if os.path.exists(answer):
            os.unlink(answer)
        send("\x15" + line + "\t")
        until = time.monotonic() + 20
        while not os.path.exists(answer) or not open(answer).read().endswith(">\n"):
            check(time.monotonic() < until, "zsh does not answer to", line)
            time.sleep(0.02)
        time.sleep(0.05)
        words = open(answer).read()[1:-2].split()
        send("\x15")
        return sorted(set(words))

    try:
        expect_all(complete, d)
    finally:
        os.close(fd)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def dev(command, *missing):
    """./dev with those packages missing, and nothing that it calls doing anything: what it would install, and what it says."""
    if not os.path.exists(os.path.join(os.path.abspath(SOURCE), "dev")):
        raise Skip("there is no ./dev here")
    with tempfile.TemporaryDirectory(prefix="chatd-dev-") as d:
        stubs = {"dpkg-query": 'case "$*" in %s) exit 1 ;; esac; echo "ii "' % "|".join('*" %s"' % m for m in missing),
                 "apt-get": 'echo "$*" >>%s/installed' % d, "sudo": 'exec "$@"', "make": "", "autoreconf": "",
                 "dpkg-buildpackage": 'test -e debian/control && touch ../chatd_1.deb && echo "buildpackage $*"',
                 "copy/configure": "touch config.status", "copy/build/chatd": 'echo "chatd $*"', "copy/build/chatctl": "exit 1"}
        shutil.copytree(os.path.abspath(SOURCE), d + "/copy", ignore=shutil.ignore_patterns("build*", ".git", "autom4te.cache"))
        os.mkdir(d + "/copy/build")
        for name, text in stubs.items():
            with open(os.path.join(d, name), "w") as f:
                f.write("#!/bin/sh\n%s\n" % text)
            os.chmod(os.path.join(d, name), 0o755)
        p = subprocess.run([d + "/copy/dev", command], env=dict(os.environ, PATH=d + ":" + os.environ["PATH"]),
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        equal((p.returncode, p.stderr), (0, ""))
        with open(d + "/installed") as f:
            return f.read(), p.stdout.replace(d, "")


@test
def dev_run_installs_nc_and_says_the_same_each_time():
    installed, said = dev("run", "netcat-openbsd")
    check(installed.rstrip().endswith(" netcat-openbsd"), installed)
    check("    build/chatctl -s build/run/control.sock status\n" in said, said)
    check(said.endswith("\nchatd --supervise -c /copy/build/run/chatd.conf\n"), said)
    equal(dev("run", "netcat-openbsd"), (installed, said))


@test
def dev_package_installs_what_it_needs():
    installed, said = dev("package", "debhelper", "fakeroot")
    check(" debhelper" in installed and " fakeroot" in installed, installed)
    check(said.endswith("buildpackage -us -uc -b\nbuild/package/chatd_1.deb\n"), said)


@test
def the_picture_of_the_fan_out_says_what_the_table_says():
    """With bars as long as the numbers, on a background of its own."""
    with open(os.path.join(os.path.abspath(SOURCE), "docs/PERFORMANCE.md")) as f:
        table = f.read().split("**(a) ", 1)[1].split("\n\n")[1]
    numbers = re.findall(r"^\| [^|]+ \| ([\d.]+) \(", table, re.M)
    check(len(numbers) > 5, table)
    with open(os.path.join(os.path.abspath(SOURCE), "docs/fanout.svg")) as f:
        svg = f.read()
    check('<rect width="760"' in svg.split("<text")[0], "no background")
    check(set(numbers) <= set(re.findall(r">([\d.]+)</text>", svg)), numbers)
    bars = [float(w) for w in re.findall(r'<rect x="140" y="[\d.]+" width="([\d.]+)"', svg)]
    for n, bar in zip(numbers, bars, strict=True):
        check(abs(bar / bars[0] - float(n) / float(numbers[0])) < 0.01, n, bar)


@test
def help_and_suggestions():
    def say(*args):
        p = subprocess.run([CHATCTL, *args], capture_output=True, text=True)
        return p.returncode, p.stdout + p.stderr

    code, out = say("help", "kick")
    equal(code, 0)
    check(out.startswith("Usage: chatctl [OPTION...] kick [-n] ID|NICK [REASON]\n"), out)
    for wrong, right in (("stauts", "status"), ("kcik", "kick"), ("metric", "metrics"), ("rel", "reload"), ("unbna", "unban"),
                         ("restrat", "restart")):
        code, out = say(wrong)
        equal(code, 2)
        check(re.search("do you mean %s\\?" % right, out), out)
    for nothing_like_it in ("xyzzy", "say", "lag", "who", "x"):
        equal(say(nothing_like_it), (2, 'chatctl: there is no command "%s"; chatctl --help lists them\n' % nothing_like_it))


@test
def an_unknown_option_points_at_help():
    for args, err in ((["--nope"], "there is no option --nope; chatctl --help lists them"),
                      (["-jx", "status"], "there is no option -x; chatctl --help lists them"),
                      (["--socket"], "--socket needs a value; see chatctl --help")):
        p = subprocess.run([CHATCTL, *args], capture_output=True, text=True)
        equal((p.returncode, p.stdout, p.stderr), (2, "", "chatctl: %s\n" % err))


@test
def installed_documents_name_what_is_installed():
    if not os.path.exists(os.path.join(BUILD, "Makefile")):
        raise Skip("this is not where chatd was built")
    with tempfile.TemporaryDirectory() as there:
        subprocess.run(["make", "-s", "-C", BUILD, "install-nobase_dist_docDATA", "DESTDIR=" + there], check=True, capture_output=True)
        files = [os.path.join(at, f) for at, _, names in os.walk(there) for f in names]
        top = [os.path.dirname(f) for f in files if os.path.basename(f) == "README.md"][0]
        for directory in ("docs/prometheus", "docs/fail2ban"):
            check(os.path.isdir(os.path.join(top, directory)), directory)
        outside = [os.path.join(SOURCE, f) for f in ("man/chatd.8", "man/chatd.conf.5", "man/chatctl.1", "etc/chatd.conf")]
        for f in [f for f in files if not f.endswith((".json", ".png"))] + outside:
            with open(f) as text:
                text = text.read()
            for name in re.findall(r"(?<![\w/])(?:/usr/share/doc/chatd/)?(docs/[\w/-]+(?:\.\w+)?)", text):
                check(os.path.exists(os.path.join(top, name)), f, "names", name)
            for name in re.findall(r"/usr/share/doc/chatd/([\w/-]+(?:\.\w+)?)", text):
                check(os.path.exists(os.path.join(top, name)), f, "names", name)
            for name in re.findall(r"\]\(([\w./]+)\)", text) if f.endswith(".md") else ():
                check(os.path.exists(os.path.join(os.path.dirname(f), name)), f, "links to", name)


def narrow(text):
    for line in text.splitlines():
        check(len(line) <= 80, "wider than 80 columns:", line)


@test
def every_command_has_help():
    lines = subprocess.run([CHATCTL, "complete", "commands"], capture_output=True, text=True).stdout.splitlines()
    commands = [line.split("\t")[0] for line in lines]
    check(len(commands) > 10 and all(re.fullmatch(r"[\w-]+\t\w.+", line) for line in lines), lines)
    narrow(subprocess.run([CHATCTL, "--help"], capture_output=True, text=True).stdout)
    for c in commands:
        for more in (["--help"], ["-h"]):
            p = subprocess.run([CHATCTL, "-s", "/nowhere", c, *more], capture_output=True, text=True)
            equal((p.returncode, p.stderr), (0, ""))
            check(p.stdout.startswith("Usage: chatctl [OPTION...] " + c), p.stdout)
            narrow(p.stdout)
            # Each option of the usage is explained; a command is said by a verb, which "show" and the like are.
            for o in re.findall(r"\[(-+\w+)", p.stdout.splitlines()[0]):
                check(re.search(r"^  .*%s\b.*  \S" % o, p.stdout, re.M), o, p.stdout)
    for c in ("send", "tail", "join", "passwd"):
        p = subprocess.run([CHATCTL, "-s", "/nowhere", c, "-q"], capture_output=True, text=True)
        equal(p.returncode, 2)
        check(p.stderr.startswith("chatctl: -q can't be used with %s; usage: chatctl %s [" % (c, c)) and p.stderr.count("\n") == 1, p.stderr)


main()
