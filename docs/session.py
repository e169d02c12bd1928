#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Makes docs/session.svg and docs/irssi.svg: a short session of two people and an admin, and one of people with irssi, nc and a
device, played in tmux with the programs in build/, as they look at their ends. Needs tmux, nc and irssi; run it as
docs/session.py [session] [irssi] after ./dev build.
"""

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
COLOURS = {"31": "#c0392b", "32": "#2e8b57", "33": "#9a7d0a", "34": "#2c5aa0", "35": "#8e44ad", "36": "#117a8b"}
PORT = 5050
COLUMNS = 96
CELL = 7.8  # the width of a letter


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


def spans(line, x, y):
    """SVG text of a line with the escapes that tmux gives, each span in its place, and what is behind it."""
    style, behind, out, under, at = {}, None, "", "", 0
    for part in re.split(r"(\x1b\[[\d;]*m|\x0e|\x0f)", line):
        m = re.fullmatch(r"\x1b\[([\d;]*)m", part)
        if m:
            for code in (m.group(1) or "0").split(";"):
                if code == "0":
                    style, behind = {}, None
                elif code == "1":
                    style["font-weight"] = "bold"
                elif code == "2":
                    style["opacity"] = "0.55"
                elif code in COLOURS or (code[0] == "9" and "3" + code[1:] in COLOURS):
                    style["fill"] = COLOURS["3" + code[1:]]
                elif code in ("39", "30", "37", "90", "97"):
                    style.pop("fill", None)
                elif code == "44":
                    behind = "#dfe7f3"
                elif code == "49":
                    behind = None
        elif part and part not in "\x0e\x0f":
            if behind:
                under += '<rect x="%.1f" y="%d" width="%.1f" height="17" fill="%s"/>' % (x + at * CELL, y - 13, len(part) * CELL, behind)
            out += '<tspan x="%.1f"%s>%s</tspan>' % (x + at * CELL, "".join(' %s="%s"' % s for s in style.items()), html.escape(part))
            at += len(part)
    return '%s<text y="%d">%s</text>\n' % (under, y, out)


def draw(panes):
    width, y, body = max(p.columns for p in panes) * CELL + 30, 10, ""
    for p in panes:
        lines = p.lines()
        height = len(lines) * 17 + 40
        body += '<rect x="8" y="%d" width="%.0f" height="%d" rx="6" fill="#fbfbf8" stroke="#b8b8b0"/>' % (y, width - 16, height)
        body += '<text x="18" y="%d" font-weight="bold" fill="#555">%s</text>' % (y + 19, html.escape(p.title))
        body += "".join(spans(line, 18, y + 41 + 17 * i) for i, line in enumerate(lines))
        y += height + 10
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="monospace" font-size="13" '
            'fill="#222" xml:space="preserve">\n%s</svg>\n' % (width, y, body))


def shell(programs):
    return "PS1='$ ' PATH=%s:$PATH bash --norc" % programs


def session(base, where, programs):
    bob = Pane(base, "bob, with nc", shell(programs), COLUMNS, 15)
    alice = Pane(base, "alice, with chatctl join", shell(programs), COLUMNS, 12)
    admin = Pane(base, "an admin", "alias() { :; }; " + shell(programs), COLUMNS, 9)
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
    return [alice, bob, admin]


IRSSI = """
servers = ( { address = "127.0.0.1"; chatnet = "chatd"; port = "6667"; autoconnect = "yes"; } );
chatnets = { chatd = { type = "IRC"; }; };
channels = ( { name = "#lobby"; chatnet = "chatd"; autojoin = "yes"; } );
settings = { core = { real_name = "Carol"; user_name = "carol"; nick = "carol"; };
             "irc/core" = { cmd_queue_speed = "10msec"; cmds_max_at_once = "100"; }; };
"""


def irssi(base, where, programs):
    bob = Pane(base, "bob, with nc", shell(programs), COLUMNS, 13)
    porch = Pane(base, "porch, a device, by UDP", shell(programs), COLUMNS, 9)
    os.mkdir(where + "/irssi")
    with open(where + "/irssi/config", "w") as f:
        f.write(IRSSI)
    bob.type("nc 127.0.0.1 %d" % PORT)
    bob.type("/nick bob")
    carol = Pane(base, "carol, with irssi", "irssi --home %s/irssi" % where, COLUMNS, 12)
    time.sleep(2)
    carol.type("/window goto 2")
    porch.type("nc -u 127.0.0.1 %d" % (PORT + 1))
    porch.type("#REG porch")
    carol.type("how warm is it out there?")
    porch.type("21.5 degrees")
    bob.type("and I am here with nc")
    carol.type("/me comes out")
    bob.type("bye, both of you")
    return [carol, bob, porch]


def play(name, scene):
    where = tempfile.mkdtemp(prefix="chatd-session-")
    base = ["tmux", "-S", os.path.join(where, "s"), "-f", "/dev/null"]
    with open(os.path.join(ROOT, "etc", "chatd.conf")) as f:
        text = f.read().replace("/run/chatd/control.sock", where + "/socket")
    with open(os.path.join(where, "chatd.conf"), "w") as f:
        f.write(text.replace("listeners = (\n", 'listeners = (\n  { name = "irc"; type = "tcp"; mode = "irc"; '
                             'listen = "127.0.0.1:6667"; },\n', 1))
    programs = os.path.join(ROOT, "build")
    chatd = subprocess.Popen([programs + "/chatd", "--supervise", "-c", where + "/chatd.conf"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        panes = scene(base, where, programs)
        with open(os.path.join(ROOT, "docs", name), "w") as f:
            f.write(draw(panes).replace(ROOT + "/", ""))
    finally:
        subprocess.run(base + ["kill-server"])
        chatd.terminate()
        chatd.wait()
        shutil.rmtree(where)
    print("docs/%s is new" % name)


for picture in sys.argv[1:] or ("session", "irssi"):
    play(picture + ".svg", globals()[picture])
