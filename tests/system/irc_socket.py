#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""IRC in WebSockets: each message is a line, text or binary; and nobody notices what happens to chatd."""

from irc_client import *
from ws import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame


def daemon(more="", **kwargs):
    port = free_port()
    d = irc_daemon(listeners='{ name = "web-irc"; type = "http"; mode = "irc"; listen = "127.0.0.1:%d"; %s }' % (port, more), **kwargs)
    d.web_port = port
    return d


@test
def all_of_them_talk():
    d = daemon()
    ann, bob, carl = SocketIRC(d, "ann"), SocketIRC(d, "bob", BINARY_PROTOCOL, caps="message-tags server-time"), IRC(d, "carl")
    dave = SocketIRC(d, "dave", None)
    everybody = (ann, bob, carl, dave)
    for p in everybody:
        p.join("#lobby")
    nc = d.join(nick="nina")
    for p in everybody:
        p.settled()
    nc.send("hello from nc \u2713\n")
    for p in everybody:
        equal(p.until("PRIVMSG")[-1].params, ["#lobby", "hello from nc \u2713"])
    ann.privmsg("#lobby", "from a browser")
    for p in bob, carl, dave:
        line = p.until("PRIVMSG")[-1]
        equal((line.nick, line.params), ("ann", ["#lobby", "from a browser"]))
        equal("msgid" in line.tags, p is bob)
    nc.expect("ann: from a browser\n")
    carl.privmsg("bob", "privately")
    equal(bob.until("PRIVMSG")[-1].params, ["bob", "privately"])
    # A long one is several lines, each of them a message.
    nc.send("x" * 1500 + "\n")
    for p in ann, bob, carl:
        got = ""
        while len(got) < 1500:
            got += p.until("PRIVMSG")[-1].params[1]
        equal(got, "x" * 1500)
    # And what was said before, for one who comes later.
    ella = SocketIRC(d, "ella", caps="batch server-time draft/chathistory message-tags")
    ella.join("#lobby")
    ella.line("CHATHISTORY LATEST #lobby * 3")
    got = ella.until("BATCH") + ella.until("BATCH")
    check([line for line in got if line.command == "PRIVMSG" and "xxx" in line.params[-1]], got)
    dave.line("QUIT :bye")
    equal(dave.until("ERROR")[-1].command, "ERROR")
    equal(dave.ws.closed(), (1000, ""))
    equal(ann.until("QUIT")[-1].nick, "dave")


@test
def what_is_no_handshake_is_refused():
    d = daemon()
    for protocol, status in ((None, 101), ("text.ircv3.net", 101), ("chat, binary.ircv3.net", 101),
                             ("binary.ircv3.net, text.ircv3.net", 101), ("chatd.v1.json", 400)):
        w = WebSocket(d, protocol, expect=status)
        if status == 101 and protocol:
            check((b"text" if "text" in protocol.split("binary")[0] else b"binary") in w.head, w.head)
    WebSocket(d, headers="Origin: https://evil.example\r\n", expect=403)
    for request, status in ((b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426), (b"POST /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
                            (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421), (b"NICK ann\r\nUSER a 0 * :a\r\n\r\n", 400)):
        c = d.connect(port=d.web_port)
        c.send(request)
        got = bytes(c.rest())
        check(got.startswith(b"HTTP/1.1 %d " % status), request, got)
        check(b"application/problem+json" in got, got)
    # Neither half a request nor half a word of it changes anything for others, or for the next process.
    half = d.connect(port=d.web_port)
    half.send(b"GET /ws HTTP/1.1\r\nHost: loc")
    SocketIRC(d, "ann")
    wait_for(lambda: d.json("status")["clients"] == 2, what="the others to be gone")


@test
def frames_are_checked():
    d = daemon()
    ann = SocketIRC(d, "ann")
    ann.ws.put(PING, "are you there")
    equal(ann.ws.next(), (PONG, b"are you there"))
    # In pieces, with a ping in between.
    ann.ws.sock.sendall(frame(TEXT, "PING :in ", fin=False) + frame(PING, "x") + frame(0, "pieces"))
    equal(ann.ws.next(), (PONG, b"x"))
    equal(ann.next().params[-1], "in pieces")
    # With an end of line, as some send it; and one that is too long, of which no more is lost.
    ann.line("PING :crlf\r\n")
    equal(ann.next().params[-1], "crlf")
    ann.line("PRIVMSG ann :" + "x" * 9000)
    equal(ann.next().command, "417")
    ann.line("PING :after")
    equal(ann.next().params[-1], "after")
    for bad, code in ((frame(TEXT, "PING :a\nPING :b"), 1008), (frame(TEXT, b"PING :\xff"), 1007), (frame(TEXT, "PING :a", mask=None), 1002),
                      (frame(TEXT, "x" * 20000), 1009), (frame(3), 1002), (frame(CLOSE, b"\x03\xe8bye"), 1000)):
        w = SocketIRC(d, "bob")
        w.ws.sock.sendall(bad)
        equal(w.ws.closed()[0], code)
        w.close()
        wait_for(lambda: d.json("status")["clients"] == 1, what="its end")
    # In binary messages what isn't UTF-8 is a line's own fault.
    w = SocketIRC(d, "bob", BINARY_PROTOCOL)
    w.ws.put(BINARY, b"PRIVMSG ann :\xff")
    check("UTF-8" in w.next().text)
    w.line("PING :still here")
    equal(w.next().params[-1], "still here")


@test
def who_is_sent_away_is_told_so():
    d = daemon()
    ann = SocketIRC(d, "ann")
    equal(d.ctl("kick", "1")[0], 0)
    equal(ann.until("ERROR")[-1].command, "ERROR")
    equal(ann.ws.closed()[0], 1008)
    bob = SocketIRC(d, "bob")
    d.signal(signal.SIGTERM)
    equal(bob.until("ERROR")[-1].command, "ERROR")
    equal(bob.ws.closed()[0], 1001)


@test
def nobody_notices_deaths():
    d = daemon(store=True, start=False)
    d.start_supervised()
    waiting = d.connect(port=d.web_port)
    waiting.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n")
    people = [SocketIRC(d, "p%d" % i, (TEXT_PROTOCOL, BINARY_PROTOCOL)[i % 2],
                        caps=("", "message-tags", "echo-message server-time")[i % 3]) for i in range(6)]
    rooms = ["#a", "#b"]
    for p in people:
        p.join(*rooms)
    for p in people:
        p.settled()
    rounds = max(4, int(20 * SCALE))
    for i in range(rounds):
        for p in people:
            for room in rooms:
                p.privmsg(room, "%s %d" % (p.nick, i))
        if i % 4 == 3:
            d.ctl("restart")
        else:
            kill(d)
    for p in people:
        lines = p.settled()
        for room in rooms:
            for q in people:
                got = [l.params[1] for l in lines if l.command == "PRIVMSG" and l.params[0] == room and l.nick == q.nick]
                equal(got, ["%s %d" % (q.nick, i) for i in range(rounds)] if q is not p or p.echoes else [])
    waiting.send(b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    waiting.expect("101 Switching Protocols")
    note("%d deaths" % d.deaths)
    d.unsupervise()
    d.finish()


@test
def it_may_die_while_somebody_comes_or_goes():
    if not has_faults():
        raise Skip("this build has no fault points (--enable-faults)")
    for fault in "irc-socket-open", "irc-socket-end":
        d = daemon(store=True, start=False)
        once = d.arm(fault + ":1")
        d.start_supervised()
        for _ in range(20):
            try:
                ann = SocketIRC(d, "ann")
                break
            except (ConnectionError, EOFError):  # who isn't safe yet when it dies comes again
                wait_for(lambda: d.ready, what="the next process")
        bob = SocketIRC(d, "bob")
        ann.join("#lobby")
        bob.join("#lobby")
        ann.until("JOIN")
        ann.ws.put(CLOSE, b"\x03\xe8")
        equal(ann.ws.closed(), (1000, ""))
        ann.close()
        equal(bob.until("QUIT")[-1].nick, "ann")
        check(not os.path.exists(once), fault, "was never reached")
        wait_for(lambda: d.ready and d.json("status")["clients"] == 1, what="its end")
        d.unsupervise()
        d.finish()


@test
def of_several_subprotocols_the_first():
    d = daemon()
    for offered, chosen in ("x, binary.ircv3.net, text.ircv3.net", BINARY_PROTOCOL), ("text.ircv3.net, binary.ircv3.net", TEXT_PROTOCOL):
        ws = WebSocket(d, offered)
        check(b"\r\nSec-WebSocket-Protocol: %s\r\n" % chosen.encode() in ws.head + b"\r\n", ws.head)


main()
