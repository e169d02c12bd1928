# SPDX-License-Identifier: MIT
"""A WebSocket by hand, so that tests can send what no library would."""

import base64
import hashlib
import json
import os
import struct

from testing import *

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
JSON = "chatd.v1.json"


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d"):
    """As a client sends it; mask=None: as none does."""
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask is not None else 0
    head += bytes([bit | n]) if n < 126 else bytes([bit | 126]) + struct.pack(">H", n) if n < 65536 else \
        bytes([bit | 127]) + struct.pack(">Q", n)
    if mask is None:
        return head + payload
    key = (mask * (n // 4 + 1))[:n]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(n, "big")


def listener(port, more=""):
    return '{ name = "web"; type = "http"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; %s },' % (port, more)


def web_daemon(more="", start=True, **kwargs):
    """A chatd with a listener for the web at web_port, and one for nc."""
    d = Daemon(start=False, **kwargs)
    d.web_port = free_port()
    d.listeners = listener(d.web_port, more) + """
        { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }""" % d.port
    d.write_config(kwargs.get("rooms", ""), d.listeners, kwargs.get("extra", ""))
    if start:
        d.start()
    return d


class WebSocket(Client):
    """After the handshake. Every byte that came is in all, and every frame in frames."""

    def __init__(self, d, protocol=None, query="", headers="", sock=None, expect=101, path=""):
        super().__init__(sock or socket.create_connection(("127.0.0.1", d.web_port)))
        self.sock.settimeout(PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent in pieces comes in pieces
        key = base64.b64encode(os.urandom(16)).decode()
        if protocol:
            headers += "Sec-WebSocket-Protocol: %s\r\n" % protocol
        self.sock.sendall(("GET %s/ws%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n" % (path, query, key, headers)).encode())
        self.buffer = b""
        self.all = b""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        equal(int(self.head.split()[1]), expect)
        if expect == 101:
            accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            check(b"Sec-WebSocket-Accept: " + accept in self.head, self.head)

    def fill(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError("it was closed")
        self.all += data
        self.buffer += data

    def bytes(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def next(self):
        """The next frame: its opcode and payload. Whatever a server may not do fails."""
        first, second = self.bytes(2)
        check(first & 0xf0 == 0x80, "whole and without reserved bits", first)
        check(second < 128, "not masked")
        n = second
        if n == 126:
            n, = struct.unpack(">H", self.bytes(2))
            check(n > 125)
        elif n == 127:
            n, = struct.unpack(">Q", self.bytes(8))
            check(n > 65535)
        payload = self.bytes(n)
        if first & 15 == TEXT:
            payload = payload.decode()
        return first & 15, payload

    def put(self, *args, **kwargs):
        self.sock.sendall(frame(*args, **kwargs))

    def say(self, text):
        self.put(TEXT, text)

    def ask(self, **members):
        self.put(TEXT, json.dumps(members))

    def text(self, wanted=None):
        """The next text; wanted: others before it are skipped."""
        while True:
            opcode, payload = self.next()
            equal(opcode, TEXT)
            if wanted is None or payload == wanted:
                return payload

    def got(self, kind=None, **members):
        """The next JSON message that has these members; others are skipped."""
        while True:
            o = json.loads(self.text())
            if (kind is None or o["type"] == kind) and all(o.get(k) == v for k, v in members.items()):
                return o

    def closed(self):
        """The code and the reason with which it is closed; and then it is."""
        while True:
            opcode, payload = self.next()
            if opcode == CLOSE:
                break
        try:
            while True:
                self.fill()
        except (EOFError, ConnectionError):
            pass
        return (struct.unpack(">H", payload[:2])[0] if payload else None), payload[2:].decode()
