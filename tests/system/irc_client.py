# SPDX-License-Identifier: MIT
"""An IRC client by hand, line by line, so that tests see every byte, and a chatd with a listener for it."""

import collections
import re
import signal

from testing import *
from ws import BINARY, TEXT, WebSocket

SERVER = "irc.example.org"
IRC_EXTRA = 'server_name = "%s"; network = "ExampleNet";' % SERVER


UNLIMITED = " limits: { max_clients_per_address = 0; lines_per_second = 0; commands_per_second = 0; bytes_per_second = 0; " \
            "nick_changes_per_minute = 0; joins_per_minute = 0; };"


def kill(d):
    """The process dies, and the next one serves."""
    before = d.pid
    d.signal(signal.SIGKILL)
    wait_for(lambda: d.pid not in (before, None) and d.ready, what="the next process")


def irc_listener(port, more=""):
    return '{ name = "irc"; type = "tcp"; mode = "irc"; listen = "127.0.0.1:%d"; %s }' % (port, more)


def irc_daemon(more="", start=True, extra="", listeners="", d=None, **kwargs):
    """A chatd with a listener for IRC at irc_port, and one for nc. more: settings of the former; listeners: more of them."""
    d = d or Daemon(start=False, **kwargs)
    d.irc_port = free_port()
    d.listeners = irc_listener(d.irc_port, more) + """,
        { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }""" % d.port
    if listeners:
        d.listeners += ", " + listeners
    if "server_name" not in extra:
        extra += IRC_EXTRA
    if "limits" not in extra:
        extra += UNLIMITED
    d.write_config(kwargs.get("rooms", ""), d.listeners, extra)
    if start:
        d.start()
    return d


def unescape(value):
    return re.sub(r"\\(.?)", lambda m: {":": ";", "s": " ", "r": "\r", "n": "\n"}.get(m[1], m[1]), value)


class Line(collections.namedtuple("Line", "tags source command params text")):
    """text: all of it as it came, without its end."""

    @classmethod
    def of(cls, text):
        tags, source, rest = {}, "", text
        if rest.startswith("@"):
            head, _, rest = rest[1:].partition(" ")
            for tag in head.split(";"):
                key, _, value = tag.partition("=")
                tags[key] = unescape(value)
        if rest.startswith(":"):
            source, _, rest = rest[1:].partition(" ")
        middle, colon, last = (" " + rest).partition(" :")
        words = middle.split()
        return cls(tags, source, words[0].upper() if words else "", words[1:] + ([last] if colon else []), text)

    @property
    def nick(self):
        return self.source.partition("!")[0]

    def body(self):
        """Without tags."""
        return self.text.partition(" ")[2] if self.text.startswith("@") else self.text


class IRC(Client):
    """nick=None: it has not registered yet. Every line that came is in lines."""

    def __init__(self, d, nick=None, caps="", user=None, realname=None, port=None, password=None, sock=None):
        super().__init__(sock or socket.create_connection(("127.0.0.1", port or d.irc_port)))
        self.sock.settimeout(PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = []
        self.nick = nick
        self.numbers = itertools.count()
        if password is not None:
            self.line("PASS :" + password)
        if caps:
            self.line("CAP REQ :" + caps)
        if nick is None:
            return
        self.line("NICK " + nick)
        self.line("USER %s 0 * :%s" % (user or "u" + re.sub("[^a-z0-9]", "", nick.lower()), realname or "Real " + nick))
        if caps:
            self.line("CAP END")
        self.welcome = self.until("376", "422")

    def line(self, text):
        self.send(text.encode() + b"\r\n" if isinstance(text, str) else text + b"\r\n")

    def next(self, timeout=PATIENCE):
        """The next line. It ends with CR LF, and what stands before it is at most 510 bytes without tags."""
        raw = self.expect("\n", timeout)
        check(raw.endswith(b"\r\n"), "a line without CR:", raw)
        text = raw[:-2].decode()
        check(not set(text) & set("\r\n\0"), raw)
        line = Line.of(text)
        check(len(line.body().encode()) <= 510, "%d bytes: %s" % (len(line.body().encode()), text))
        if line.command == "PING":
            self.line("PONG :" + line.params[-1])
            return self.next(timeout)
        self.lines.append(line)
        return line

    def until(self, *commands):
        """All lines until one of these commands has come, with it."""
        got = []
        while not got or got[-1].command not in commands:
            got.append(self.next())
        return got

    def settled(self):
        """All lines that are there before the server answers once more."""
        token = "settled-%d" % next(self.numbers)
        self.line("PING :" + token)
        got = []
        while True:
            line = self.next()
            if line.command == "PONG" and line.params[-1] == token:
                self.lines.pop()
                return got
            got.append(line)

    def ask(self, text):
        """Everything that is answered to this line."""
        self.settled()
        self.line(text)
        return self.settled()

    def join(self, *channels, key=""):
        """Returns what it was told of them."""
        got = []
        for channel in channels:
            self.line("JOIN %s %s" % (channel, key))
            got += self.until("366", "403", "405", "471", "473", "474", "475", "476", "477")
        return got

    def privmsg(self, target, text):
        self.line("PRIVMSG %s :%s" % (target, text))


TEXT_PROTOCOL, BINARY_PROTOCOL = "text.ircv3.net", "binary.ircv3.net"


class SocketIRC(IRC):
    """The same client, line by line, in a WebSocket. protocol: the subprotocol, or None."""

    def __init__(self, d, nick=None, protocol=TEXT_PROTOCOL, **kwargs):
        self.opcode = BINARY if protocol == BINARY_PROTOCOL else TEXT
        self.ws = WebSocket(d, protocol)
        if protocol:
            check(b"\r\nSec-WebSocket-Protocol: %s\r\n" % protocol.encode() in self.ws.head + b"\r\n", self.ws.head)
        self.echoes = "echo-message" in kwargs.get("caps", "")
        super().__init__(d, nick, sock=self.ws.sock, **kwargs)

    def line(self, text):
        self.ws.put(self.opcode, text)

    def next(self, timeout=PATIENCE):
        opcode, payload = self.ws.next()
        equal(opcode, self.opcode)
        text = payload.decode() if opcode == BINARY else payload
        check(not set(text) & set("\r\n\0"), payload)
        line = Line.of(text)
        if line.command == "PING":
            self.line("PONG :" + line.params[-1])
            return self.next(timeout)
        self.lines.append(line)
        return line


def numerics(lines, *which):
    """The lines of these numerics, without the client's own nick before the parameters."""
    return [line.params[1:] for line in lines if line.command in which]


def one(lines, which):
    found = numerics(lines, which)
    check(len(found) == 1, "one %s in" % which, [line.text for line in lines])
    return found[0]
