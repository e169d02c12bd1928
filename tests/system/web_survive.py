#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
chatd is killed over and over, wherever it is at the moment, and nobody notices who came by the web: WebSockets with lines and with
JSON, and server-sent events, plainly and by TLS, of people who read and of some who don't, get the very same bytes as without a death.
faults.py has the fault points one by one.
"""

import base64
import os
import re
import signal
import socket
import ssl
import struct
import threading
import time

from testing import *
from ws import TEXT, frame

WIDE = 40  # bytes of text in a line that goes round a ring


class Talker(Client):
    """By lines, over TCP. Whoever is reset before the greeting, in the window of accept(), tries again."""

    def __init__(self, d, nick):
        for _ in range(20):
            try:
                super().__init__(d.connect().sock)
                self.expect(WELCOME)
                break
            except (Failure, ConnectionError, ssl.SSLError):  # a handshake of TLS ends with its process
                time.sleep(0.02)
        self.send("/nick %s\n" % nick)
        self.expect("is now %s\n" % nick)


class Visitor(Client):
    """Asks by HTTP, and remembers every byte behind the head of the answer. In the window of accept() it comes again."""

    def __init__(self, d, path, headers="", rcvbuf=None):
        for attempt in range(20):
            self.all = b""
            try:
                sock = d.connect(port=d.web_port, rcvbuf=rcvbuf).sock
                super().__init__(d.context.wrap_socket(sock) if d.context else sock)
                self.send("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (path, headers))
                self.head = self.expect("\r\n\r\n")
                self.all = bytes(self.buf)
                return
            except (Failure, ConnectionError, ssl.SSLError):  # as above
                if self.all:
                    raise
                time.sleep(0.02)
        raise Failure("nobody answers")

    def receive(self):
        data = super().receive()
        self.all += data
        return data


class Socket(Visitor):
    def __init__(self, d, nick, protocol="", **kwargs):
        super().__init__(d, "/ws?room=lobby&nick=" + nick, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: %s\r\n%s" % (base64.b64encode(os.urandom(16)).decode(),
                                                         protocol and "Sec-WebSocket-Protocol: %s\r\n" % protocol), **kwargs)

    def say(self, text):
        self.send(frame(TEXT, text))


def pieces(client, data, at):
    """Sends it in pieces, between which chatd has turns of its own."""
    for i in range(0, len(data), at):
        client.send(data[i:i + at])
        time.sleep(0.003)


def scenario(d):
    """What each of them got. Every step waits for the one before, so that there is one order only."""
    alice = Talker(d, "alice")
    lines = Socket(d, "lena")
    alice.expect("* lena joined lobby\n")
    json = Socket(d, "jo", "chatd.v1.json")
    alice.expect("* jo joined lobby\n")
    events = Visitor(d, "/api/v1/rooms/lobby/events")
    all_of_them = (alice, lines, json, events)

    def everybody(text):
        for p in all_of_them:
            p.expect(text)

    alice.send("first\n")
    everybody("first")
    lines.say("from a line")
    everybody("from a line")
    json.say('{"do":"say","text":"from an object"}')
    everybody("from an object")
    # A message in fragments with a ping within, in pieces.
    pieces(lines, frame(1, "in fr", fin=False) + frame(9, "are you there?") + frame(0, "agments"), 5)
    everybody("in fragments")
    lines.send(frame(9, "and now?"))
    lines.expect("and now?")
    lines.say("/msg jo psst")
    lines.expect("psst")
    json.expect("psst")
    json.say('{"do":"to","nick":"lena","text":"hush"}')
    lines.expect("hush")
    json.expect("hush")
    lines.say("/who")
    lines.expect("3 in lobby")
    # Out and in again, between other people's words.
    json.say('{"do":"join","room":"small"}')
    json.expect('"type":"joined"')
    alice.expect("* jo left lobby\n")
    json.say('{"do":"say","text":"nobody hears this"}')
    json.expect("nobody hears this")
    alice.send("while jo was away\n")
    alice.expect("while jo was away\n")
    json.say('{"do":"join","room":"lobby"}')
    json.expect('"type":"joined"')
    alice.expect("* jo joined lobby\n")
    # A ring that goes round several times, a part of which is sent at once.
    for p, text in ((lines, "/join small"), (json, '{"do":"join","room":"small"}'), (alice, None)):
        p.send("/join small\n") if text is None else p.say(text)
        p.expect(b"You are in small" if p is not json else b'"type":"joined"')
    for k in range(30):
        alice.send("".join("%04d %s\n" % (i, "." * WIDE) for i in range(k * 100, k * 100 + 100)))
        for p in (alice, lines, json):
            p.expect("%04d %s" % (k * 100 + 99, "." * WIDE))
    for p, text in ((lines, "/join lobby"), (json, '{"do":"join","room":"lobby"}'), (alice, None)):
        p.send("/join lobby\n") if text is None else p.say(text)
        p.expect(b"You are in lobby" if p is not json else b'"type":"joined"')
    # Readers whose sockets are full.
    slow = [Socket(d, "slow", rcvbuf=4096)]
    everybody("slow")
    slow.append(Socket(d, "slower", "chatd.v1.json", rcvbuf=4096))
    everybody("slower")
    slow.append(Visitor(d, "/api/v1/rooms/lobby/events", rcvbuf=4096))
    for k in range(10):
        alice.send(("%02d" % k + "y" * 998 + "\n") * 250 + "done %02d\n" % k)
        everybody("done %02d" % k)
    for p in slow:
        p.expect("done %02d" % 9, 60)
    # Leaving, in each of the ways.
    slow[0].say("/quit")
    slow[0].rest()
    everybody("slow")
    slow[1].send(frame(8, struct.pack(">H", 1000)))
    slow[1].rest()
    slow[2].close()
    alice.expect("* slower left lobby\n")
    lines.send(frame(2, b"bytes"))
    lines.rest()
    alice.expect("* lena left lobby\n")
    alice.send("last\n")
    for p in (alice, json, events):
        p.expect("last")
    people = dict(lines=lines, json=json, events=events, slow=slow[0], slower=slow[1], slow_events=slow[2])
    return {name: normalise(p.all) for name, p in people.items()}


def normalise(data):
    """Times, epochs and numbers are others in each run, but as long; who was reset in the window of accept() took an id."""
    data = re.sub(rb'("(?:epoch|since_epoch)":")[0-9a-f]+', rb"\1E", data)
    data = re.sub(rb"id: [0-9a-f]+-\d+", rb"id: E-N", data)
    data = re.sub(rb'"id":\d+,', b'"id":I,', data)
    # An id may have a digit more, and an epoch one less, and so the frame that they are in.
    data = re.sub(rb"\x81(?:[\x00-\x7d]|\x7e..)\{", b"\x81L{", data, flags=re.S)
    return re.sub(rb"\d{12,}", b"N", data)


def launch(tls):
    d = Daemon(store=True, start=False, workers=2)
    d.web_port, d.context, settings = free_port(), None, ""
    if tls:
        settings = 'tls_certificate = "%s"; tls_key = "%s";' % tls_files(d.dir)[:2]
        d.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        d.context.check_hostname, d.context.verify_mode = False, ssl.CERT_NONE
    listeners = """
      { name = "web"; type = "http"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; %s },
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }""" % (d.web_port, settings, d.port)
    d.write_config(listeners=listeners, rooms='{ name = "lobby"; history = 3; log_size = "16M"; }, { name = "small"; log_size = "128K"; history = 0; }')
    d.start_supervised()
    return d


def finish(d):
    wait_for(lambda: d.ready, what="chatd")
    d.unsupervise()
    d.finish()


def nobody_notices(tls):
    d = launch(tls)
    reference = scenario(d)
    finish(d)
    d = launch(tls)
    stop = threading.Event()

    def kill():
        while not stop.wait(0.05 + 0.15 * os.urandom(1)[0] / 256):
            if d.ready:
                d.signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        got = scenario(d)
    finally:
        stop.set()
        killer.join()
    for name in reference:
        a, b = reference[name], got[name]
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        check(a == b, "after %d deaths" % d.deaths, name, "got", b[max(0, at - 60):at + 60], "instead of", a[max(0, at - 60):at + 60])
    check(d.deaths > 3, d.deaths)
    note("%d deaths" % d.deaths)
    finish(d)


@test
def nobody_notices_deaths():
    nobody_notices(tls=False)


@test
def nor_do_those_who_came_by_tls():
    nobody_notices(tls=True)


main()
