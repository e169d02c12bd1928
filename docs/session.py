#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Makes docs/session.svg: a short session of two people and an admin, played in tmux with the programs in build/, as it
looks at its end. Needs tmux and nc; run it as docs/session.py after ./dev build.
"""

import html
import os
import re
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
COLOURS = {"31": "#c0392b", "32": "#2e8b57", "33": "#9a7d0a", "34": "#2c5aa0", "35": "#8e44ad", "36": "#117a8b"}
PORT = 5050
COLUMNS = 96


class Pane:
    def __init__(self, base, title, command, columns, rows):
        self.base, self.title, self.columns, self.rows = base, title, columns, rows
        self.name = re.sub(r"\W", "", title)
        subprocess.run(base + ["new-session", "-d", "-s", self.name, "-x", str(columns), "-y", str(rows), command], check=True,
                       env=dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color", TZ="UTC"))

    def type(self, text, wait=0.8):
        subprocess.run(self.base + ["send-keys", "-t", self.name, "-l", text], check=True)
        subprocess.run(self.base + ["send-keys", "-t", self.name, "Enter"], check=True)
        time.sleep(wait)

    def lines(self):
        out = subprocess.run(self.base + ["capture-pane", "-e", "-p", "-t", self.name], check=True, capture_output=True)
        return out.stdout.decode().rstrip("\n").split("\n")


def spans(line):
    """SVG text spans of a line with the escapes that tmux gives."""
    style, out = {}, ""
    for part in re.split(r"(\x1b\[[\d;]*m)", line):
        m = re.fullmatch(r"\x1b\[([\d;]*)m", part)
        if m:
            for code in (m.group(1) or "0").split(";"):
                if code == "0":
                    style = {}
                elif code == "2":
                    style["opacity"] = "0.55"
                elif code in COLOURS:
                    style["fill"] = COLOURS[code]
                elif code == "39":
                    style.pop("fill", None)
        elif part:
            out += "<tspan%s>%s</tspan>" % ("".join(' %s="%s"' % s for s in style.items()), html.escape(part))
    return out


def draw(panes):
    width, y, body = max(p.columns for p in panes) * 7.8 + 30, 10, ""
    for p in panes:
        lines = p.lines()
        height = len(lines) * 17 + 40
        body += '<rect x="8" y="%d" width="%.0f" height="%d" rx="6" fill="#fbfbf8" stroke="#b8b8b0"/>' % (y, width - 16, height)
        body += '<text x="18" y="%d" font-weight="bold" fill="#555">%s</text>' % (y + 19, html.escape(p.title))
        for i, line in enumerate(lines):
            body += '<text x="18" y="%d">%s</text>\n' % (y + 41 + 17 * i, spans(line))
        y += height + 10
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="monospace" font-size="13" '
            'fill="#222" xml:space="preserve">\n%s</svg>\n' % (width, y, body))


def main():
    where = tempfile.mkdtemp(prefix="chatd-session-")
    base = ["tmux", "-S", os.path.join(where, "s"), "-f", "/dev/null"]
    with open(os.path.join(ROOT, "etc", "chatd.conf")) as f:
        text = f.read().replace("/run/chatd/control.sock", where + "/socket")
    with open(os.path.join(where, "chatd.conf"), "w") as f:
        f.write(text)
    programs = os.path.join(ROOT, "build")
    chatd = subprocess.Popen([programs + "/chatd", "--supervise", "-c", where + "/chatd.conf"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        path = "PS1='$ ' PATH=%s:$PATH bash --norc" % programs
        bob = Pane(base, "bob, with nc", path, COLUMNS, 15)
        alice = Pane(base, "alice, with chatctl join", path, COLUMNS, 12)
        admin = Pane(base, "an admin", "alias() { :; }; " + path, COLUMNS, 9)
        admin.type("chatctl() { command chatctl -s %s/socket \"$@\"; }; clear" % where)
        bob.type("nc 127.0.0.1 %d" % PORT)
        bob.type("/nick bob")
        alice.type("clear; chatctl join --nick alice", 1.2)
        alice.type("hello, is anybody here?")
        bob.type("I am. Still with plain nc :)")
        admin.type("pkill -9 -f '%s/chatd -c'" % programs, 1.5)
        alice.type("somebody just killed the server")
        bob.type("really? I did not notice")
        admin.type("chatctl send lobby \"that was me\"")
        admin.type("chatctl status | sed -n '/^clients/p; /^takeovers/p'")
        with open(os.path.join(ROOT, "docs", "session.svg"), "w") as f:
            f.write(draw([alice, bob, admin]).replace(ROOT + "/", ""))
    finally:
        subprocess.run(base + ["kill-server"])
        chatd.terminate()
        chatd.wait()
        shutil.rmtree(where)
    print("docs/session.svg is new")


main()
