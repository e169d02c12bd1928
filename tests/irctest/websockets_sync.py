# SPDX-License-Identifier: MIT
"""What irctest uses of websockets.sync.client, which Debian 12's websockets hasn't: tests/system/irctest.py puts this in its place."""

import base64
import os
import socket
import struct
from typing import List, Optional, Union
from urllib.parse import urlparse

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class ConnectionClosed(Exception):
    pass


class ClientConnection:
    def __init__(self, url: str, subprotocols: List[str]):
        at = urlparse(url)
        self.socket = socket.create_connection((at.hostname, at.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.socket.settimeout(60)
        self.socket.sendall(
            (
                "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n"
                % (at.path or "/", base64.b64encode(os.urandom(16)).decode(), ", ".join(subprotocols))
            ).encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        if " 101 " not in lines[0]:
            raise ConnectionClosed(head)
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.subprotocol: Optional[str] = fields.get("sec-websocket-protocol")

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionClosed()
        self.buffer += data

    def _take(self, n: int) -> bytes:
        while len(self.buffer) < n:
            self._more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def _put(self, opcode: int, payload: bytes) -> None:
        mask, n = os.urandom(4), len(payload)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | n]) if n < 126 else bytes([0xFE]) + struct.pack(">H", n))
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def send(self, message: Union[str, bytes]) -> None:
        text = isinstance(message, str)
        self._put(TEXT if text else BINARY, message.encode() if isinstance(message, str) else message)

    def recv(self, timeout: Optional[float] = None) -> Union[str, bytes]:
        while True:
            if not self.buffer:
                self.socket.settimeout(timeout)
                self._more()
            self.socket.settimeout(60)
            opcode, n = (b & 0x7F for b in self._take(2))
            opcode &= 0x0F
            if n == 126:
                (n,) = struct.unpack(">H", self._take(2))
            elif n == 127:
                (n,) = struct.unpack(">Q", self._take(8))
            payload = self._take(n)
            if opcode == TEXT:
                return payload.decode()
            if opcode == BINARY:
                return payload
            if opcode == PING:
                self._put(PONG, payload)
            elif opcode == CLOSE:
                raise ConnectionClosed(payload)

    def close(self) -> None:
        self.socket.close()


def connect(url: str, subprotocols: List[str]) -> ClientConnection:
    return ClientConnection(url, subprotocols)
