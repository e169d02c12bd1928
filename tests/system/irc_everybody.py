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
def keys_are_not_guessed():
    d = irc_daemon(extra="limits: { max_clients_per_address = 0; commands_per_second = 0; joins_per_minute = 10; };")
    ann, eve = IRC(d, "ann"), IRC(d, "eve")
    ann.join("#den")
    ann.line("MODE #den +k key12")
    ann.settled()
    got = eve.ask("JOIN %s %s" % (",".join(15 * ["#den"]), ",".join("key%d" % i for i in range(15))))
    told = [l.command for l in got]
    check(set(told[10:]) <= {"475", "437"} and told[-1] == "437" and told[:10] == 10 * ["475"], told)
    # Channels without one are none of that.
    eve.join(*("#yard%d" % i for i in range(15)))


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


def two_operators(d):
    """Ann on IRC, and carl at nc."""
    ann = IRC(d, "ann")
    ann.join("#den")
    nc = d.join("den", "carl")
    wait_for(lambda: "carl" in [c["nick"] for c in d.json("list", "clients", "--room", "den")], what="carl")
    ann.line("MODE #den +o carl")
    nc.expect("* ann set mode +o carl\n")
    ann.settled()
    return ann, nc


def read_without_token(d, what=""):
    """The status of the answer, and its body."""
    c = d.connect(port=d.web_port)
    c.send("GET /api/v1/rooms%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % what)
    got = c.rest().decode()
    return int(got.split()[1]), got.partition("\r\n\r\n")[2]


@test
def what_is_closed_is_not_read_from_outside():
    """By HTTP without a token, as long as not everybody may come in; nor is what is secret listed, at nc and in a browser either."""
    d = everybody(store=True)
    ann, nc = two_operators(d)
    ann.line("PRIVMSG #den :what we said")
    nc.expect("what we said\n")
    other = d.join(nick="other")
    for on, off in ("+k sesame", "-k *"), ("+i", "-i"), ("+R", "-R"):
        check("what we said" in read_without_token(d, "/den/messages")[1])
        ann.line("MODE #den " + on)
        nc.expect(" set mode " + on + "\n")
        for where in "/den/messages", "/den/events":
            equal(read_without_token(d, where)[0], 401)
        check('"den"' not in read_without_token(d)[1])
        d.kill()
        d.start()
        equal(read_without_token(d, "/den/messages")[0], 401)
        ann.line("MODE #den " + off)
        nc.expect(" set mode " + off + "\n")
    browser = WebSocket(d, JSON)

    def listed():
        other.send("/rooms\n/join nowhere else\n")
        browser.put(TEXT, '{"do": "rooms", "id": 1}')
        while '"rooms":' not in (text := browser.next()[1]):
            pass
        return ["den (" in other.expect("nowhere").decode(), '"den"' in text, '"den"' in read_without_token(d)[1]]

    equal(listed(), [True, True, True])
    ann.line("MODE #den +s")
    nc.expect(" set mode +s\n")
    equal(listed(), [False, False, False])
    nc.send("/rooms\n")
    nc.expect("* den (2)\n")


@test
def many_are_removed_at_once():
    # More than a record has space for (IRC_INVITED_MAX): nobody who is said to be removed is left there.
    d = everybody()
    ann, nc = two_operators(d)
    others = [d.join("den", "other%d" % i) for i in range(80)]
    ann.send(b"".join(b"KICK #den other%d :enough\r\n" % i for i in range(40)))
    nc.send("".join("/kick other%d enough\n" % i for i in range(40, 80)))
    for i, c in enumerate(others):
        c.expect("* %s has removed you from den: enough. You are in no room; /join one.\n" % ("ann" if i < 40 else "carl"))
    ann.settled()
    equal(sorted(one(ann.ask("NAMES #den"), "353")[-1].split()), ["@ann", "@carl"])


@test
def who_is_removed_is_gone_at_once():
    # What they did in the same moment is nothing that the room is told: for it they weren't there any more.
    d = everybody(workers=1)
    ann, nc = two_operators(d)
    people = {nick: IRC(d, nick) for nick in ("bob", "max", "pat")}
    for c in people.values():
        c.join("#den")
    people.update({nick: d.join("den", nick) for nick in ("eve", "zoe", "kim")})
    did = dict(bob="NICK rob", max="PART #den", pat="QUIT", eve="/nick eva", zoe="/join yard", kim="/quit")
    ann.settled()
    before = len(ann.lines)
    d.signal(signal.SIGSTOP)
    wait_stopped(d.pid)
    ann.send("".join("KICK #den %s :enough\r\n" % nick for nick in people))
    for nick, c in people.items():
        c.send(did[nick] + "\r\n")
    d.signal(signal.SIGCONT)
    ann.settled()
    people["bob"].expect(" NICK rob\r\n")
    people["eve"].expect(re.compile(rb"\* (You are|eve is) now eva\.?\n"))
    nc.send("end\n")
    ann.until("PRIVMSG")
    removed = set()
    for l in ann.lines[before:]:
        if l.command == "KICK":
            removed.add(l.params[1])
        check(l.command not in ("NICK", "PART", "QUIT") or l.nick not in removed, l.text)
    check(removed)


@test
def all_that_is_decided_is_told():
    d = everybody()
    ann, nc = two_operators(d)
    bob = IRC(d, "bob")
    bob.join("#den")
    masks = ["%02d%s!*@*" % (i, "x" * 80) for i in range(20)]
    nc.send("/mode +%s %s\n/topic done\n" % ("b" * 20, " ".join(masks)))
    got = [l for l in bob.until("TOPIC") if l.command == "MODE"]
    for l in got:
        equal(l.params[1], "+" + "b" * len(l.params[2:]))
    equal([mask for l in got for mask in l.params[2:]], masks)
    nc.send("/mode -%s %s\n" % ("b" * 21, " ".join(masks + ["one-more"])))
    nc.expect("* At most 20 modes can be changed at once.\n")
    nc.send("/ban\n")
    nc.expect("* 20 banned in den: %s\n" % " ".join(masks))
    # As many letters as a line has space for; and a list is shown once.
    for c, other in (ann, bob), (bob, ann):
        other.settled()
        got = c.ask("MODE #den " + "+m-m" * 60 + "b" * 100)
        equal(len([l for l in got if l.command == "367"]), 20)
        equal(len([l for l in got if l.command == "368"]), 1)
        if c is ann:
            told = [l.params[1] for l in got if l.command == "MODE"]
            equal("".join(told), "+m-m" * 60)
            equal([l.params[1] for l in bob.settled() if l.command == "MODE"], told)


@test
def what_is_decided_is_clean():
    d = everybody()
    ann, nc = two_operators(d)
    ann.line("MODE #den +b \x1b[31mx!*@*")
    nc.expect("* ann set mode +b \ufffd[31mx!*@*\n".encode())
    equal([l.command for l in ann.ask("MODE #den +k \x1b[31m") if l.command != "MODE"], ["525"])
    nc.send("/ban\n/mode\n")
    nc.expect("* 1 banned in den: \ufffd[31mx!*@*\n* The modes of den are +nt\n".encode())
    ann.line("MODE #den -b \x1b[31mx!*@*")
    nc.expect("* ann set mode -b \ufffd[31mx!*@*\n".encode())
    # Nicks that aren't as IRC has them, and one whose backslash is no wildcard.
    odd, eve = d.join("den"), d.join("den")
    odd.send("/nick a,b\n")
    nc.expect("is now a,b\n")
    eve.send("/nick \\eve/\n")
    nc.expect("is now \\eve/\n")
    nc.send("/voice a,b\n/ban \\eve/\n")
    ann.expect(" MODE #den +v a\uff0cb\r\n".encode())
    eve.expect("set mode +b \\eve/!*@*\n")
    eve.send("hello?\n")
    eve.expect("* You can't speak in den: you are banned.\n")


@test
def who_may_not_speak_has_no_last_words():
    d = everybody()
    ann, nc = two_operators(d)
    bob = IRC(d, "bob")
    bob.join("#den")
    bob.line("PART #den :see you")
    nc.expect("* bob left den: see you\n")
    bob.join("#den")
    ann.line("MODE #den +m-t")
    nc.expect("* ann set mode +m-t\n")
    equal([l.command for l in bob.ask("TOPIC #den :hear me")], ["482"])
    bob.line("PART #den :hear me")
    nc.expect("* bob left den\n")
    bob.join("#den", "#yard")
    yard = d.join("yard")
    bob.line("QUIT :hear me")
    nc.expect("* bob left den: Quit\n")
    yard.expect("* bob left yard: Quit: hear me\n")


@test
def who_decides():
    d = everybody()
    ann, bob, nc, eve = IRC(d, "ann"), IRC(d, "bob"), d.join(nick="carl"), d.join(nick="eve")
    ann.join("#den")
    bob.join("#den")
    for c in nc, eve:
        c.send("/join den\n")
        c.expect("* You are in den.\n")
    only = "* Only operators of den can do that.\n"
    nc.send("/topic mine\n/kick bob\n/mode +m\n/op carl\n/ban bob\n")
    nc.expect(5 * only)
    ann.line("MODE #den +o carl")
    nc.expect("* ann set mode +o carl\n")
    bob.settled()

    def does(line, irc, told):
        nc.send(line + "\n")
        nc.expect(told + "\n")
        eve.expect(told + "\n")
        bob.expect(":carl!carl@chat %s\r\n" % irc)

    does("/topic all of us", "TOPIC #den :all of us", "* carl set the topic: all of us")
    nc.send("/topic\n/mode\n/ban\n")
    nc.expect("* The topic of den is, by carl: all of us\n* The modes of den are +nt\n* 0 banned in den\n")
    does("/mode +mk-t sesame", "MODE #den +mk-t sesame", "* carl set mode +mk-t sesame")
    does("/voice eve", "MODE #den +v eve", "* carl set mode +v eve")
    eve.send("I may\n")
    nc.expect("eve: I may\n")
    bob.expect("I may\r\n")
    does("/devoice eve", "MODE #den -v eve", "* carl set mode -v eve")
    eve.send("nor now\n")
    eve.expect("* You can't speak in den: it is moderated.\n")
    does("/mode -mk+l 7", "MODE #den -mk+l * 7", "* carl set mode -mk+l * 7")
    does("/ban bob", "MODE #den +b bob!*@*", "* carl set mode +b bob!*@*")
    nc.send("/ban\n")
    nc.expect("* 1 banned in den: bob!*@*\n")
    equal([l.command for l in bob.ask("PRIVMSG #den :me?") if l.command.isdigit()], ["404"])
    does("/unban bob!*@*", "MODE #den -b bob!*@*", "* carl set mode -b bob!*@*")
    does("/op eve", "MODE #den +o eve", "* carl set mode +o eve")
    does("/deop eve", "MODE #den -o eve", "* carl set mode -o eve")
    does("/kick bob be nice", "KICK #den bob :be nice", "* carl removed bob: be nice")
    # All of it or nothing.
    for wrong, why in (("+mx", "There is no mode x; there are b C e i I k l m M n o R s t v."), ("+mo nobody", "There is nobody by that name in den."),
                       ("+mk", "Mode k needs a word behind it."), ("+mk a,b", "A key is one word of at most 23 bytes, without : and a comma."),
                       ("+ml none", "A limit is a number from 1 to 1000000."), ("-m", "That is so already.")):
        nc.send("/mode %s\n" % wrong)
        nc.expect("* %s\n" % why)
    equal([l.params[2:] for l in ann.ask("MODE #den") if l.command == "324"], [["+nl", "7"]])
    nc.send("/kick eve\n")
    eve.expect("* carl has removed you from den: carl. You are in no room; /join one.\n")
    eve.send("/mode +m\n")
    eve.expect("* You are in no room; /join one.\n")
    nc.send("/help\n")
    nc.expect("* /kick NICK [WHY]")


@test
def who_has_an_account_of_an_operator():
    d = Daemon(start=False)
    accounts = os.path.join(d.dir, "accounts")
    add_account(accounts, "root", "sesame")
    os.chmod(accounts, 0o644)
    os.chmod(d.dir, 0o755)
    irc_daemon(d=d, start=False)
    d.write_config("", d.listeners.replace('room = "lobby";', 'room = "lobby"; password_file = "%s"; auth = "none";' % accounts),
                   IRC_EXTRA + UNLIMITED + ' operators = ( { account = "root"; } );')
    d.start()
    nc = d.join(nick="carl")
    nc.send("/mode +m\n")
    nc.expect("* Only operators of lobby can do that.\n")
    nc.send("/login root sesame\n")
    nc.expect("* carl is now root\n")
    nc.send("/mode +m\n")
    nc.expect("* root set mode +m\n")


@test
def without_irc_there_is_nothing_of_it():
    d = Daemon()
    nc = d.join(nick="carl")
    nc.send("/op carl\n/help\n")
    nc.expect("* There is no such command; /help lists them.\n")
    check(b"/kick" not in nc.expect("something that begins with /\n"))


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
        ann.line("MODE #den +o carl")
        nc.expect("* ann set mode +o carl\n")
        nc.send("/mode -o+v carl carl\n")
        nc.expect("* carl set mode -o+v carl carl\n")
        kill(d)
        nc.send("I may\n")
        nc.expect("carl: I may\n")
        ann.line("MODE #den -v carl")
        nc.expect("* ann set mode -v carl\n")
    d.unsupervise()
    d.finish()


main()
