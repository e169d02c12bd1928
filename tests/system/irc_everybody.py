#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What operators decide in a room holds for whoever is there: at nc, in a browser, as a device, with a token."""

from irc_client import *
from ws import JSON, WebSocket


def everybody(**kwargs):
    """Ann is an operator of #den, where the others go; and there is a device in lobby."""
    d = Daemon(**{**kwargs, "start": False})
    d.web_port, udp = free_port(), free_port(socket.SOCK_DGRAM)
    d.tokens = os.path.join(d.dir, "tokens")
    made = subprocess.run([CHATCTL, "token", "add", "bot", "--read", "--speak", d.tokens], capture_output=True, check=True)
    os.chmod(d.tokens, 0o644)
    os.chmod(d.dir, 0o755)
    d.token = re.search(r"chatd_[\w-]+", made.stdout.decode()).group(0)
    d.udp = udp
    return irc_daemon(listeners="""{ name = "web"; type = "http"; mode = "chat"; listen = "[::]:%d"; room = "lobby";
        token_file = "%s"; }, { name = "udp"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "yard"; }""" %
                      (d.web_port, d.tokens, udp), d=d, start=kwargs.get("start", True))


def said_with_token(d, room, text):
    """The status of the answer, and its body."""
    body = json.dumps({"text": text})
    c = d.connect(port=d.web_port)
    c.send("POST /api/v1/rooms/%s/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
           "Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (room, d.token, len(body), body))
    got = c.rest().decode()
    return int(got.split()[1]), got.partition("\r\n\r\n")[2]


class Device:
    def __init__(self, d, nick):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(("127.0.0.1", d.udp))
        self.send("#REG " + nick + " " * 100)
        proof = self.receive()
        self.answer = proof
        if proof.startswith("#COOKIE"):
            self.send("#REG %s %s" % (nick, proof.split()[1]))
            self.answer = self.receive()

    def send(self, text):
        self.sock.send(text.encode() + b"\n")

    def receive(self):
        return self.sock.recv(1 << 16).decode().rstrip("\n")

    def until(self, what):
        got = []
        while not got or what not in got[-1]:
            got.append(self.receive())
        return got[-1]


@test
def who_may_speak():
    d = everybody()
    ann = IRC(d, "ann")
    ann.join("#yard")
    ann.settled()
    nc, web, device = d.join("yard", "carl"), WebSocket(d, JSON, "?nick=wilma&room=yard"), Device(d, "meter")
    web.got("joined")
    nc.expect("* meter joined yard\n")
    nc.send("hello\n")
    nc.expect("carl: hello\n")
    ann.line("MODE #yard +m")
    nc.expect("* ann set mode +m\n")
    nc.send("mine\n/me waves\n")
    nc.expect("* You can't speak in yard: it is moderated.\n* You can't speak in yard: it is moderated.\n")
    web.ask(do="say", text="mine", id=1)
    check("You can't speak in yard: it is moderated." in json.dumps(web.got("reply", id=1)), web.all)
    device.send("mine")
    check("moderated" in device.until("#ERR"), "a device")
    status, body = said_with_token(d, "yard", "mine")
    equal((status, json.loads(body)["detail"]), (403, "You can't speak in yard: it is moderated."))
    ann.line("MODE #yard +v carl")
    nc.expect("* ann set mode +v carl\n")
    nc.send("I may\n/me bows\n")
    nc.expect("carl: I may\ncarl * bows\n")
    equal([l.params[1] for l in ann.settled() if l.command == "PRIVMSG"], ["hello", "I may", "\001ACTION bows\001"])
    # By mask: of nicks, of the host of those who are no IRC people, and who is muted only.
    ann.line("MODE #yard -mv+b carl m:*!*@chat")
    nc.expect("* ann set mode -mv+b carl m:*!*@chat\n")
    nc.send("nor I\n")
    nc.expect("* You can't speak in yard: you are banned.\n")
    ann.line("MODE #yard +e carl!*@*")
    nc.expect("* ann set mode +e carl!*@*\n")
    nc.send("I may again\n")
    nc.expect("carl: I may again\n")
    device.send("nor this")
    check("banned" in device.until("#ERR"), "a device")
    ann.line("MODE #yard -b m:*!*@chat")
    nc.expect("* ann set mode -b m:*!*@chat\n")
    equal(said_with_token(d, "yard", "now it may")[0], 201)
    device.send("so may this")
    nc.expect("bot: now it may\nmeter: so may this\n")


@test
def who_may_come_in():
    d = everybody()
    ann, nc = IRC(d, "ann"), d.join(nick="carl")
    ann.join("#den")
    ann.line("MODE #den +k sesame")
    ann.settled()
    for key, why in ("", "has a key: /join ROOM KEY"), (" sesam", "has a key: /join ROOM KEY"):
        nc.send("/join den%s\n" % key)
        nc.expect("* Room den %s.\n" % why)
    nc.send("still here\n")
    nc.expect("carl: still here\n")
    nc.send("/join den sesame\n")
    nc.expect("* You are in den.\n")
    web = WebSocket(d, JSON, "?nick=wilma")
    web.got("joined", room="lobby")
    web.ask(do="join", room="den", id=1)
    check("has a key" in json.dumps(web.got("reply", id=1)), web.all)
    ann.line("MODE #den +l 2")
    ann.settled()
    web.ask(do="join", room="den", key="sesame", id=2)
    check("is full" in json.dumps(web.got("reply", id=2)), web.all)
    ann.line("MODE #den -l")
    ann.settled()
    web.ask(do="join", room="den", key="sesame", id=3)
    web.got("joined", room="den")
    # An invitation is good for once, and who is banned needs one.
    ann.line("MODE #den -k+ib * *!*@chat")
    nc.expect("* ann set mode -k+ib * *!*@chat\n")
    nc.send("/join lobby\n")
    nc.expect("* You are in lobby.\n")
    for i in range(2):
        nc.send("/join den\n")
        nc.expect("* Room den can't be entered: you are banned.\n")
        if i == 0:
            ann.line("INVITE carl #den")
            nc.expect("* ann invites you: /join den\n")
            nc.send("/join den\n")
            nc.expect("* You are in den.\n")
            nc.send("/join lobby\n")
            nc.expect("* You are in lobby.\n")
    ann.line("MODE #den -b *!*@chat")
    ann.settled()
    nc.send("/join den\n")
    nc.expect("* Room den is for those who are invited only.\n")
    # A status ends with being there.
    ann.line("MODE #den -i+m")
    ann.settled()
    nc.send("/join den\n")
    nc.expect("* You are in den.\n")
    ann.line("MODE #den +v carl")
    nc.expect("* ann set mode +v carl\n")
    nc.send("/join lobby\n/join den\nno more\n")
    nc.expect("* You can't speak in den: it is moderated.\n")


@test
def the_first_room_as_well():
    d = everybody()
    ann = IRC(d, "ann")
    ann.join("#yard")
    ann.line("MODE #yard +k sesame")
    ann.settled()
    device = Device(d, "meter")
    equal(device.answer, "#ERR this room is for those who are let in only")
    web = WebSocket(d, JSON, "?nick=wilma&room=yard")
    equal(web.got("welcome")["nick"], "wilma")
    equal(web.got("reply")["text"], "* Room yard has a key: /join ROOM KEY. You are in no room; /join one.")
    web.ask(do="join", room="yard", key="sesame", id=1)
    web.got("joined", room="yard")
    ann.expect("JOIN #yard\r\n")


@test
def who_is_removed_may_come_back():
    d = everybody()
    ann, nc = IRC(d, "ann"), d.join(nick="carl")
    ann.join("#den")
    for _ in range(2):
        nc.send("/join den\n")
        nc.expect("* You are in den.\n")
        ann.line("KICK #den carl :enough")
        nc.expect("* ann removed carl: enough\n* ann has removed you from den: enough. You are in no room; /join one.\n")
        nc.send("hello?\n")
        nc.expect("* You are in no room; /join one.\n")
    nc.send("/join den\nhere again\n")
    nc.expect("carl: here again\n")


@test
def it_survives():
    d = everybody(store=True, start=False)
    d.start_supervised()
    ann, nc = IRC(d, "ann"), d.join(nick="carl")
    ann.join("#den")
    nc.send("/join den\n")
    nc.expect("* You are in den.\n")
    ann.line("MODE #den +mk sesame")
    nc.expect("* ann set mode +mk sesame\n")
    for _ in range(2):
        kill(d)
        nc.send("me?\n")
        nc.expect("* You can't speak in den: it is moderated.\n")
        ann.line("MODE #den +v carl")
        nc.expect("* ann set mode +v carl\n")
        kill(d)
        nc.send("I may\n")
        nc.expect("carl: I may\n")
        ann.line("MODE #den -v carl")
        nc.expect("* ann set mode -v carl\n")
    d.unsupervise()
    d.finish()


main()
