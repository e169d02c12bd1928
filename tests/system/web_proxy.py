#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page behind haproxy and nginx, as docs/RECIPES.md has them: with TLS, WebSockets and streams, through a kill."""

import re
import ssl
import subprocess

from testing import *
from ws import *


def recipe(title):
    """The block of code below that title."""
    with open(os.path.join(SOURCE, "docs/RECIPES.md")) as f:
        return re.search(r"(?s)^## %s\n.*?^```\w+\n(.*?)^```$" % re.escape(title), f.read(), re.M).group(1)


class Proxy:
    """A program in front of d, listening at port."""

    def __init__(self, d, config, *command):
        self.port = free_port()
        cert, key = tls_files(d.dir, "localhost")
        with open(cert) as c, open(key) as k, open(os.path.join(d.dir, "both.pem"), "w") as both:
            both.write(c.read() + k.read())
        for old, new in (("/etc/haproxy/chat.pem", os.path.join(d.dir, "both.pem")), ("/etc/nginx/chat.pem", cert),
                         ("/etc/nginx/chat.key", key), ("bind :443", "bind 127.0.0.1:%d" % self.port),
                         ("listen 443", "listen 127.0.0.1:%d" % self.port), ("127.0.0.1:8080", "127.0.0.1:%d" % d.web_port),
                         ("DIR", d.dir)):
            config = config.replace(old, new)
        self.config = os.path.join(d.dir, "proxy.conf")
        with open(self.config, "w") as f:
            f.write(config)
        os.chmod(d.dir, 0o755)
        self.p = subprocess.Popen([*command, self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, what=command[0])

    def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port)))

    def close(self):
        self.p.terminate()
        self.p.wait(10)


def talks(d, proxy, path=""):
    """A member by WebSocket and a reader of the stream, both through the proxy, and one by nc; chatd is killed meanwhile."""
    a = WebSocket(d, JSON, sock=proxy.connect(), headers="Origin: https://localhost\r\n", path=path)
    equal(a.got("joined")["room"], "lobby")
    s = Client(proxy.connect())
    s.send("GET %s/api/v1/rooms/lobby/events HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
    s.expect("retry: 2000\n\n")
    b = d.join(nick="bob")
    for i in range(3):
        a.ask(do="say", text="from the page %d" % i)
        b.expect("from the page %d\n" % i)
        b.send("from nc %d\n" % i)
        a.got("message", nick="bob", text="from nc %d" % i)
        s.expect('"text":"from nc %d"}' % i)
        d.kill()
        d.start()
    WebSocket(d, JSON, sock=proxy.connect(), headers="Origin: https://elsewhere.invalid\r\n", path=path, expect=403)
    c = Client(proxy.connect())
    c.send("GET %s/ HTTP/1.1\r\nHost: chat.example.org\r\n\r\n" % path)
    c.expect("<title>chatd</title>")


@test
def behind_haproxy():
    need("haproxy")
    d = web_daemon('hosts = ( "chat.example.org" ); proxies = ( "127.0.0.1" );', store=True)
    proxy = Proxy(d, recipe("The page behind haproxy, with TLS and real addresses"), "haproxy", "-f")
    try:
        talks(d, proxy)
        by_web = [c for c in d.json("list", "clients") if c["listener"] == "web"]
        check(by_web and all(not c["address"].endswith(":%d" % proxy.port) for c in by_web), by_web)
    finally:
        proxy.close()


@test
def behind_nginx():
    need("nginx")
    d = web_daemon('hosts = ( "chat.example.org" );', store=True)
    proxy = Proxy(d, """daemon off;
pid DIR/nginx.pid;
error_log DIR/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
%s}
""" % recipe("The page behind nginx"), "nginx", "-c")
    try:
        talks(d, proxy, "/chat")
    finally:
        proxy.close()


main()
