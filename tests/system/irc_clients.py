#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that people use, irssi, WeeChat and the bouncer ZNC, stay in their channel through kill -9, and get each line once."""

import shlex
import tempfile

from irc_client import *

IRSSI = """
settings = { core = { real_name = "I"; user_name = "irssi"; nick = "irssi"; };
             "irc/core" = { cmd_queue_speed = "10msec"; cmds_max_at_once = "100"; };
             "fe-common/core" = { autolog = "yes"; autolog_path = "%s/$0.log"; }; };
"""


def recipe(d, title):
    """As docs/RECIPES.md has it."""
    with open(os.path.join(os.path.abspath(SOURCE), "docs", "RECIPES.md")) as f:
        return re.search(r"^## %s\n.*?^```\w+\n(.*?)^```$" % title, f.read(), re.M | re.S)[1].replace("6667", str(d.irc_port))


def said(path, pattern):
    """What the log of a program has of somebody, in its order."""
    try:
        with open(path, errors="replace") as f:
            return re.findall(pattern, f.read())
    except OSError:
        return []


@test
def they_notice_no_death():
    need("irssi", "weechat-headless", "tmux")
    d = irc_daemon(store=True, start=False)
    d.start_supervised()
    home = os.path.join(d.dir, "clients")
    os.makedirs(home + "/irssi")
    with open(home + "/irssi/config", "w") as f:
        f.write(recipe(d, "irssi") + IRSSI % home)
    irssi_log, weechat_log = home + "/#lobby.log", home + "/weechat/logs/irc.chatd.#lobby.weechatlog"
    ann = IRC(d, "ann")
    ann.join("#lobby")
    tmux = ["tmux", "-S", home + "/tmux", "-f", "/dev/null"]
    subprocess.run(tmux + ["new-session", "-d", "-x", "100", "-y", "30", "irssi --home %s" % shlex.quote(home + "/irssi")], check=True,
                   env=dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color"))
    weechat = subprocess.Popen(["weechat-headless", "-d", home + "/weechat", "-r", "/set logger.file.flush_delay 0",
                                "-r", "/set irc.server_default.nicks weechat",
                                *(a for line in recipe(d, "WeeChat").splitlines() for a in ("-r", line))],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=dict(os.environ, LC_ALL="C.UTF-8"))
    try:
        came = {line.nick for line in ann.until("JOIN") + ann.until("JOIN") if line.command == "JOIN"}
        equal(came, {"irssi", "weechat"})
        subprocess.run(tmux + ["send-keys", "-l", "/window goto 2\n/join #lobby\n"], check=True)
        rounds = max(5, int(30 * SCALE))
        for i in range(rounds):
            for k in range(5):
                ann.privmsg("#lobby", "line %d end" % (5 * i + k))
            subprocess.run(tmux + ["send-keys", "-l", "/msg #lobby typed %d end\n" % i], check=True)
            kill(d)
        everything = [str(n) for n in range(5 * rounds)]
        for path in irssi_log, weechat_log:
            wait_for(lambda: said(path, r"ann\S*\s+line (\d+) end")[-1:] == everything[-1:], what="the last line in " + path)
            equal(said(path, r"ann\S*\s+line (\d+) end"), everything)
        typed = []
        while len(typed) < rounds:
            typed += [line.params[1] for line in ann.until("PRIVMSG") if line.command == "PRIVMSG" and line.nick == "irssi"]
        equal(typed, ["typed %d end" % i for i in range(rounds)])
        own = [str(i) for i in range(rounds)]
        wait_for(lambda: said(weechat_log, r"irssi\S*\s+typed (\d+) end")[-1:] == own[-1:], what="the last line of irssi's")
        equal(said(weechat_log, r"irssi\S*\s+typed (\d+) end"), own)
        # Neither has left, nor come again.
        equal([line.text for line in ann.lines if line.command in ("QUIT", "PART") or (line.command == "JOIN" and line.nick != "ann")][2:], [])
        note("%d deaths" % d.deaths)
    finally:
        subprocess.run(tmux + ["kill-server"], capture_output=True)
        weechat.kill()
        weechat.wait()
    d.unsupervise()
    d.finish()


class Attached(IRC):
    """A program at the bouncer."""

    def __init__(self, d, port, password):
        super().__init__(d, port=port)
        self.nick = "program"
        for line in "PASS " + password, "NICK program", "USER program 0 * :program":
            self.line(line)


@test
def a_bouncer_keeps_what_was_said():
    need("znc", "setpriv")
    d = irc_daemon(store=True, start=False)
    d.start_supervised()
    port = free_port()
    config = recipe(d, "ZNC").replace("6670", str(port)) + "ConnectDelay = 1\n"
    ann = IRC(d, "ann")
    ann.join("#lobby")
    # ZNC waits for half a minute before it runs as root.
    with tempfile.TemporaryDirectory() as home:
        os.makedirs(home + "/configs")
        with open(home + "/configs/znc.conf", "w") as f:
            f.write(config)
        command = ["znc", "-f", "-d", home]
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", home], check=True)
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        znc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            came = ann.until("JOIN")[-1].nick
            equal(came, "zoe")
            for i in range(6):
                ann.privmsg("#lobby", "line %d end" % i)
                ann.settled()
                if i % 2:
                    kill(d)
            program = Attached(d, port, "zoe/chatd:choose-another-one")
            program.expect("line 5 end")
            kill(d)
            ann.privmsg("#lobby", "line 6 end")
            program.expect("line 6 end")
            program.line("PRIVMSG #lobby :I am here")
            ann.expect(":zoe!zoe@")
            ann.expect("PRIVMSG #lobby :I am here\r\n")
            # ZNC has not gone, nor come again.
            equal([line.text for line in ann.lines if line.command in ("QUIT", "PART")], [])
        finally:
            znc.kill()
            znc.wait()
    d.unsupervise()
    d.finish()


main()
