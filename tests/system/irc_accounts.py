#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Accounts on IRC: SASL, PASS, OPER, REGISTER, whatever dies in between; and what others make of wrong passwords."""

import base64
import hashlib
import hmac
import os
import re
import signal

from testing import *

SERVER = "irc.test.example"
EXTRA = 'server_name = "%s"; ' % SERVER


UNHURRIED = "limits: { commands_per_second = 0; max_clients_per_address = 0; };"


class Irc:
    """An IRC client, by lines."""

    def __init__(self, d, port=None, client=None):
        self.c = client or d.connect(port or d.irc)

    def send(self, *lines):
        for line in lines:
            self.c.send(line + "\r\n")

    def line(self):
        return self.c.expect("\r\n").decode()[:-2]

    def until(self, pattern):
        """Lines up to one that has the pattern in it."""
        got = []
        while not got or not re.search(pattern, got[-1]):
            got.append(self.line())
        return got

    def sync(self):
        """What has come so far."""
        self.send("PING sync")
        return self.until(" PONG .*sync$")[:-1]

    def numeric(self, number):
        """The next line is that one; its parameters."""
        line = self.line()
        check(line.startswith(":%s %s " % (SERVER, number)), number, line)
        return line.split(" ", 2)[2]

    def capabilities(self):
        """CAP LS 302: all of the list, of as many lines as it takes; with a space before and behind each."""
        self.send("CAP LS 302")
        return "".join(" %s " % line.partition(" :")[2] for line in self.until(r" CAP \S+ LS :"))

    def ask(self, *caps):
        self.send("CAP REQ :" + " ".join(caps))
        check(" ACK " in self.line())

    def hello(self, nick):
        """All of a registration, whose last line is that of the message of the day."""
        self.send("NICK " + nick, "USER %s 0 * :%s" % (nick, nick), "CAP END")
        return self.until(" (422|376) ")


def with_irc(more="", extra="", accounts=True, start=True, **kwargs):
    d = Daemon(start=False, **kwargs)
    d.irc = free_port()
    d.passwords = os.path.join(d.dir, "passwords")
    add_account(d.passwords, "ann", "secret")
    add_account(d.passwords, "old", "secret", "-S")
    d.doors = """
      { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; %s },
      { name = "irc"; type = "tcp"; mode = "irc"; listen = "[::]:%d"; %s %s }""" % (
        d.port, 'password_file = "%s";' % d.passwords if accounts else "", d.irc,
        'password_file = "%s";' % d.passwords if accounts else "", more)
    d.extra = EXTRA + extra
    d.write_config(listeners=d.doors, extra=d.extra)
    if start:
        d.start()
    return d


def b64(data):
    return base64.b64encode(data).decode()


def plain(name, password, act_as=""):
    return b64(("%s\0%s\0%s" % (act_as, name, password)).encode())


class Scram:
    """The client's side, by RFC 5802."""

    def __init__(self, name, password, nonce="rOprNGfwEbeRWgbNEkqO"):
        self.password = password
        self.bare = "n=%s,r=%s" % (name, nonce)
        self.first = "n,," + self.bare

    def final(self, challenge):
        self.fields = dict(part.split("=", 1) for part in challenge.split(","))
        check(self.fields["r"].startswith(self.bare.split("r=")[1]))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(self.fields["s"]), int(self.fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = "c=biws,r=" + self.fields["r"]
        said = ",".join((self.bare, challenge, without)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        self.expected = "v=" + b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256"))
        return without + ",p=" + b64(bytes(a ^ b for a, b in zip(key, signature)))


def answer(c):
    """What an AUTHENTICATE of the server's says."""
    line = c.line()
    check(line.startswith("AUTHENTICATE "), line)
    return line.split(" ")[1]


def begin(d, mechanism, caps=("sasl",), **kwargs):
    c = Irc(d, **kwargs)
    c.ask(*caps)
    c.send("AUTHENTICATE " + mechanism)
    equal(answer(c), "+")
    return c


def logged_in(c, account):
    check(re.fullmatch(r"\S+ \S+!\S*@\S+ %s :You are now logged in as %s" % (account, account), c.numeric(900)))
    check(c.numeric(903))


@test
def plain_passwords():
    d = with_irc()
    c = Irc(d)
    check(re.search(r"[ :]sasl=PLAIN,SCRAM-SHA-256( |$)", c.capabilities()))
    c = begin(d, "PLAIN")
    c.send("AUTHENTICATE " + plain("ANN", "secret"))
    logged_in(c, "ann")
    check(re.search(" 001 ann ", c.hello("ann")[0]))
    # Who acts as itself, and in another case.
    c = begin(d, "plain")
    c.send("AUTHENTICATE " + plain("ann", "secret", "Ann"))
    logged_in(c, "ann")
    equal(d.metric("logins_total"), 2)
    for message in (plain("ann", "wrong"), plain("nobody", "secret")):
        c = begin(d, "PLAIN")
        c.send("AUTHENTICATE " + message)
        check(c.numeric(904))
        # It may be tried again at once.
        c.send("AUTHENTICATE PLAIN")
        equal(answer(c), "+")
        c.send("AUTHENTICATE " + plain("ann", "secret"))
        logged_in(c, "ann")
    equal(d.metric("logins_failed_total"), 2)
    logged(d, "wrong name or password (nobody)")


@test
def what_is_no_login():
    d = with_irc()
    for message in (plain("ann", "secret", "bob"), plain("", "secret"), plain("ann", ""), plain("ann", "secret\0"), b64(b"ann"), "!!!",
                    "+", "AAA"):
        c = begin(d, "PLAIN")
        c.send("AUTHENTICATE " + message)
        check(c.numeric(904), message)
    # These were mistakes, and no guesses.
    equal(d.metric("logins_failed_total"), 0)
    c = begin(d, "PLAIN")
    c.send("AUTHENTICATE *")
    check(c.numeric(906))
    c.send("AUTHENTICATE PLAIN")
    equal(answer(c), "+")
    c.send("AUTHENTICATE " + 401 * "A")
    check(c.numeric(905))
    for name in ("FOO", "EXTERNAL", "SCRAM-SHA-256-PLUS"):
        c.send("AUTHENTICATE " + name)
        equal(c.numeric(908), "* PLAIN,SCRAM-SHA-256 :are available SASL mechanisms")
        check(c.numeric(904))
    # More than any message has.
    c.send("AUTHENTICATE PLAIN", *["AUTHENTICATE " + 400 * "A"] * 5)
    equal(answer(c), "+")
    check(c.numeric(904))
    # A registration doesn't wait for it.
    c = begin(d, "PLAIN")
    check([line for line in c.hello("bob") if " 906 bob " in line or " 906 * " in line])
    # Who hasn't asked for the capability hasn't got it.
    c = Irc(d)
    c.send("AUTHENTICATE PLAIN")
    check(c.numeric(904))
    # Where nobody has an account, there is nothing.
    d = with_irc(accounts=False)
    c = Irc(d)
    check("sasl" not in c.capabilities())
    c.send("CAP REQ sasl")
    check(" NAK " in c.line())


@test
def long_messages_come_in_chunks():
    d = with_irc()
    # 400 and 800 bytes of base64 exactly, which end with "+"; and something in between.
    for n in (295, 595, 400, 1000):
        add_account(d.passwords, "big", "x" * n)
        equal(d.ctl("reload")[0], 0)
        message = plain("big", "x" * n)
        c = begin(d, "PLAIN")
        chunks = [message[i:i + 400] for i in range(0, len(message), 400)]
        c.send(*["AUTHENTICATE " + chunk for chunk in chunks + ["+"] * (len(chunks[-1]) == 400)])
        logged_in(c, "big")


@test
def somebody_who_guesses_is_sent_away():
    d = with_irc()
    c = Irc(d)
    c.ask("sasl")
    for i in range(3):
        c.send("AUTHENTICATE PLAIN")
        equal(answer(c), "+")
        c.send("AUTHENTICATE " + plain("ann", "wrong%d" % i))
        check(c.numeric(904))
    check(c.c.rest().startswith(b"ERROR "))


@test
def scram():
    d = with_irc()
    c, s = begin(d, "SCRAM-SHA-256"), Scram("ann", "secret")
    c.send("AUTHENTICATE " + b64(s.first.encode()))
    c.send("AUTHENTICATE " + b64(s.final(base64.b64decode(answer(c)).decode()).encode()))
    equal(base64.b64decode(answer(c)).decode(), s.expected)
    c.send("AUTHENTICATE +")
    logged_in(c, "ann")
    # A wrong password, a name without a verifier, and one that is nobody's look the same.
    salts = {}
    for name, password in (("ann", "wrong"), ("old", "secret"), ("nobody", "secret"), ("nobody", "secret")):
        c, s = begin(d, "SCRAM-SHA-256"), Scram(name, password)
        c.send("AUTHENTICATE " + b64(s.first.encode()))
        c.send("AUTHENTICATE " + b64(s.final(base64.b64decode(answer(c)).decode()).encode()))
        check(c.numeric(904))
        equal(s.fields["i"], "100000")
        equal(len(base64.b64decode(s.fields["s"])), 16)
        equal(salts.setdefault(name, s.fields["s"]), s.fields["s"])
    equal(d.metric("logins_failed_total"), 4)
    # The password itself is good for who has no verifier.
    c = begin(d, "PLAIN")
    c.send("AUTHENTICATE " + plain("old", "secret"))
    logged_in(c, "old")
    # What is no proof at all.
    c = begin(d, "SCRAM-SHA-256")
    c.send("AUTHENTICATE " + b64(b"p=tls-unique,,n=ann,r=abc"))
    check(c.numeric(904))


@test
def failures_of_all_kinds_make_an_address_wait():
    d = with_irc(extra="limits: { failed_logins_per_minute = 1; max_clients_per_address = 0; };")
    for _ in range(3):
        c, s = begin(d, "SCRAM-SHA-256"), Scram("ann", "wrong")
        c.send("AUTHENTICATE " + b64(s.first.encode()))
        line = c.line()
        if " 904 " in line:
            break
        c.send("AUTHENTICATE " + b64(s.final(base64.b64decode(line.split(" ")[1]).decode()).encode()))
        check(c.numeric(904))
    logged(d, "too many logins at once (ann)")
    # Passwords wait as well, and their thread has nothing to do meanwhile.
    c = begin(d, "PLAIN")
    c.send("AUTHENTICATE " + plain("ann", "secret"))
    c.c.nothing(1.0)


@test
def certificates():
    d = Daemon(start=False)
    d.irc = free_port()
    ca = os.path.join(d.dir, "ca")
    tls_files(d.dir, "ca")
    ann, zoe, bi11 = (tls_files(d.dir, name, ca=ca) for name in ("ann", "zoe", "bi11"))
    cert, key = tls_files(d.dir)
    d.passwords = os.path.join(d.dir, "passwords")
    add_account(d.passwords, "ann", "secret")
    add_account(d.passwords, "bill", "secret")
    d.write_config(listeners="""{ name = "irc"; type = "tcp"; mode = "irc"; listen = "[::]:%d"; password_file = "%s";
      tls_certificate = "%s"; tls_key = "%s"; tls_client_ca = "%s.pem"; tls_client_optional = true; }""" % (
        d.irc, d.passwords, cert, key, ca), extra=EXTRA)
    d.start()
    c = Irc(d, client=tls_connect(d, d.irc, cert=ann))
    caps = c.capabilities()
    check("sasl=PLAIN,EXTERNAL,SCRAM-SHA-256" in caps, caps)
    c = begin(d, "EXTERNAL", client=tls_connect(d, d.irc, cert=ann))
    c.send("AUTHENTICATE +")
    logged_in(c, "ann")
    c = begin(d, "EXTERNAL", client=tls_connect(d, d.irc, cert=ann))
    c.send("AUTHENTICATE " + b64(b"Ann"))
    logged_in(c, "ann")
    c = begin(d, "EXTERNAL", client=tls_connect(d, d.irc, cert=ann))
    c.send("AUTHENTICATE " + b64(b"zoe"))
    check(c.numeric(904))
    # She has a certificate, but no account; one only looks like an account's; and he has none.
    for cert in (zoe, bi11):
        c = begin(d, "EXTERNAL", client=tls_connect(d, d.irc, cert=cert))
        c.send("AUTHENTICATE +")
        check(c.numeric(904))
    c = Irc(d, client=tls_connect(d, d.irc))
    c.ask("sasl")
    c.send("AUTHENTICATE EXTERNAL")
    check(c.numeric(908))


@test
def an_account_and_a_nick():
    d = with_irc()
    c = Irc(d)
    # Many programs say their nick first, which is the account's and nobody else's.
    c.send("CAP LS 302", "NICK ann", "USER ann 0 * :ann")
    c.until(r" CAP \S+ LS :")
    c.ask("sasl")
    c.send("AUTHENTICATE PLAIN")
    equal(answer(c), "+")
    c.send("AUTHENTICATE " + plain("ann", "secret"))
    c.until(" 903 ")
    c.send("CAP END")
    check(re.search(" 001 ann ", c.until(" 001 ")[-1]))
    # Who doesn't log in doesn't get it.
    other = Irc(d)
    other.send("NICK ann", "USER ann 0 * :ann")
    check(other.line().endswith(" 433 * ann :Nickname is reserved; if it is your account's, log in with SASL or PASS NAME:PASSWORD"))
    other.send("NICK bob")
    check(re.search(" 001 bob ", other.until(" 001 ")[-1]))
    other.sync()
    # Logged in under another nick: the account is there, and the nick may come later.
    other.ask("sasl")
    other.send("AUTHENTICATE PLAIN")
    equal(answer(other), "+")
    other.send("AUTHENTICATE " + plain("old", "secret"))
    logged_in(other, "old")
    other.send("NICK old")
    check(other.line().startswith(":bob!") and not other.sync())
    # And once more as somebody else.
    other.send("AUTHENTICATE PLAIN")
    equal(answer(other), "+")
    other.send("AUTHENTICATE " + plain("ann", "secret"))
    logged_in(other, "ann")


@test
def others_are_told():
    d = with_irc()
    c, other, old = Irc(d), Irc(d), Irc(d)
    other.ask("account-notify")
    for who, nick in ((c, "bob"), (other, "other"), (old, "older")):
        who.hello(nick)
        who.send("JOIN #lobby")
        who.until(" 366 ")
    c.until("^:older!.* JOIN ")
    other.until("^:older!.* JOIN ")
    c.ask("sasl")
    c.send("AUTHENTICATE PLAIN")
    equal(answer(c), "+")
    c.send("AUTHENTICATE " + plain("ann", "secret"))
    logged_in(c, "ann")
    check(re.fullmatch(r":bob!\S+ ACCOUNT ann", other.line()))
    check(not [line for line in old.sync() if "ACCOUNT" in line])
    # Whose account is gone is sent away.
    equal(run(CHATCTL, "passwd", "-d", d.passwords, "ann").returncode, 0)
    equal(d.ctl("reload")[0], 0)
    check(b"ERROR :" in c.c.rest())
    logged(d, "the account ann has been removed")
    check([line for line in other.sync() if line.startswith(":bob!")])


@test
def passwords_in_pass():
    d = with_irc()
    c = Irc(d)
    c.send("PASS ann:secret")
    check(c.numeric(900))
    check(re.search(" 001 ann ", c.hello("ann")[0]))
    c.send("PASS ann:secret")
    check(c.numeric(462))
    c = Irc(d)
    c.send("PASS ann:wrong")
    check(c.numeric(464))
    check(c.c.rest().startswith(b"ERROR "))
    # What isn't an account's is left alone where nobody asks for a password.
    c = Irc(d)
    c.send("PASS whatever")
    c.hello("bob")


@test
def a_password_of_the_listener():
    hashed = run(CHATCTL, "passwd", "-S", "-", "x", stdin=b"let me: in\n").stdout.decode().strip().split(":", 1)[1]
    for text in ("let me: in", hashed):
        d = with_irc('password = "%s";' % text)
        c = Irc(d)
        c.send("PASS :let me: in")
        check(re.search(" 001 bob ", c.hello("bob")[0]))
        c = Irc(d)
        c.send("PASS :let me out", "NICK bob2", "USER bob 0 * :bob")
        check(c.numeric(464))
        check(b" 001 " not in c.c.rest())
        c = Irc(d)
        c.send("NICK bob3", "USER bob 0 * :bob")
        check(b" 464 " in c.c.rest())
        # An account's is another one, and both may be said.
        c = Irc(d)
        c.send("PASS ann:secret")
        check(c.numeric(900))
        c.send("PASS :let me: in")
        check(re.search(" 001 ann ", c.hello("ann")[0]))
        equal(d.metric("logins_failed_total"), 1)
    # One that looks like an account's is no way around what an address may try either.
    d = with_irc('password = "top:secret";', extra="limits: { failed_logins_per_minute = 1; max_clients_per_address = 0; };")
    c = Irc(d)
    c.send("PASS top:secret")
    check(re.search(" 001 bob ", c.hello("bob")[0]))
    c = Irc(d)
    c.send("PASS top:wrong")
    check(c.numeric(464))
    c = Irc(d)
    c.send("PASS top:secret", "NICK bob2", "USER bob 0 * :bob")
    c.c.nothing(1.0)


@test
def nothing_without_an_account():
    d = with_irc('auth = "password";')
    c = Irc(d)
    c.send("NICK bob", "USER bob 0 * :bob")
    check(b" 001 " not in c.c.rest())
    c = begin(d, "PLAIN")
    c.send("AUTHENTICATE " + plain("ann", "secret"))
    logged_in(c, "ann")
    c.hello("ann")


@test
def operators():
    hashed = run(CHATCTL, "passwd", "-S", "-", "x", stdin=b"hash word\n").stdout.decode().strip().split(":", 1)[1]
    d = with_irc(extra='operators = ( { account = "ann"; }, { name = "root"; password = "top word"; }, '
                 '{ name = "hash"; password = "%s"; } );' % hashed)
    for name, password in (("ann", "secret"), ("ROOT", ":top word"), ("hash", ":hash word")):
        c = Irc(d)
        c.hello("bob")
        c.send("REHASH")
        check(c.numeric(481))
        c.send("OPER %s %s" % (name, password))
        check(" MODE bob " in c.line())
        check(c.numeric(381))
        c.send("OPER %s %s" % (name, password))
        check(c.numeric(381))
        c.send("QUIT")
        c.c.rest()
    logged(d, "is an operator of IRC now, as root")
    for name, password in (("ann", "top"), ("root", "secret"), ("hash", "x"), ("old", "secret"), ("nobody", "x")):
        c = Irc(d)
        c.hello("bob")
        c.send("OPER %s %s" % (name, password))
        check(c.numeric(464), name)
        c.send("REHASH")
        check(c.numeric(481))
        c.send("QUIT")
        c.c.rest()
    equal(d.metric("logins_failed_total"), 5)


@test
def rehash_reloads():
    d = with_irc(extra='operators = ( { name = "root"; password = "top"; } );')
    c = Irc(d)
    c.hello("bob")
    c.send("OPER root top")
    c.until(" 381 ")
    with open(os.path.join(d.dir, "motd"), "w") as f:
        f.write("hello there\n")
    d.write_config(listeners=d.doors, extra=d.extra + ' motd_file = "%s/motd";' % d.dir)
    c.send("REHASH")
    check(c.numeric(382))

    def has_it():
        c.send("MOTD")
        return any("hello there" in line for line in c.until(" (376|422) "))
    wait_for(has_it)


@test
def nobody_makes_an_operators_account():
    """Where it isn't there yet, whoever came first would be an operator."""
    d = with_irc("register_accounts = true;", store=True, extra='operators = ( { account = "boss"; } );')
    c = Irc(d)
    c.hello("boss")
    c.send("REGISTER * * :new word")
    check(" REGISTER BAD_ACCOUNT_NAME boss :" in c.line())
    check(not c.sync())


@test
def somebody_makes_an_account():
    d = with_irc("register_accounts = true;", store=True)
    c = Irc(d)
    check(re.search(r"[ :]draft/account-registration( |$)", c.capabilities()))
    c.hello("zoe")
    c.send("REGISTER zoe * :new word")
    check(c.line().startswith(":%s REGISTER SUCCESS zoe :" % SERVER))
    check(c.numeric(900))
    check(not c.sync())
    with open(d.passwords) as f:
        check(re.search(r"(?m)^zoe:\$argon2id\$[^:]*:SCRAM-SHA-256\$", f.read()))
    # It is there at once, for all listeners with that file, in all ways.
    other, s = begin(d, "SCRAM-SHA-256"), Scram("zoe", "new word")
    other.send("AUTHENTICATE " + b64(s.first.encode()))
    other.send("AUTHENTICATE " + b64(s.final(base64.b64decode(answer(other)).decode()).encode()))
    equal(base64.b64decode(answer(other)).decode(), s.expected)
    nc = d.join()
    nc.send("/login zoe wrong\n")
    nc.expect("* Wrong name or password.\n")
    c.send("REGISTER zoe * other")
    check(" FAIL REGISTER ALREADY_AUTHENTICATED zoe :" in c.line())
    # Its name is reserved when it goes, also in the next process, and after a reload.
    c.send("QUIT")
    c.c.rest()

    def is_reserved():
        late = Irc(d)
        late.send("NICK zoe", "USER zoe 0 * :zoe")
        first = late.line()
        late.send("QUIT")
        late.c.rest()
        return " 433 " in first
    for step in (lambda: None, lambda: equal(d.ctl("reload")[0], 0), lambda: (d.kill(), d.start())):
        step()
        wait_for(is_reserved)
        late = begin(d, "PLAIN")
        late.send("AUTHENTICATE " + plain("zoe", "new word"))
        logged_in(late, "zoe")


@test
def accounts_that_can_not_be_made():
    d = with_irc("register_accounts = true; register_email = true;", extra=UNHURRIED)
    c = Irc(d)
    c.send("REGISTER * * word")
    check(" FAIL REGISTER COMPLETE_CONNECTION_REQUIRED * :" in c.line())
    check(re.search(r"[ :]draft/account-registration=email-required( |$)", c.capabilities()))
    c.hello("zoe")
    for command, code in (("* * word", "INVALID_EMAIL zoe"), ("* nonsense word", "INVALID_EMAIL zoe"), ("* @x word", "INVALID_EMAIL zoe"),
                          ("bob a@b word", "ACCOUNT_NAME_MUST_BE_NICK bob"), ("* a@b :", "UNACCEPTABLE_PASSWORD zoe")):
        c.send("REGISTER " + command)
        check(" FAIL REGISTER %s :" % code in c.line(), command)
    # Somebody else wrote one like it to the file meanwhile.
    add_account(d.passwords, "z0e", "x")
    c.send("REGISTER * a@b word")
    check(" FAIL REGISTER ACCOUNT_EXISTS zoe :" in c.line())
    with open(d.passwords) as f:
        check("\nzoe:" not in f.read())
    # The file can't be written.
    os.rename(d.passwords, d.passwords + "-old")
    os.symlink("/nowhere/at/all", d.passwords)
    c.send("REGISTER * a@b word")
    check(" FAIL REGISTER TEMPORARILY_UNAVAILABLE zoe :" in c.line())
    # Where the admin makes them.
    d = with_irc()
    c = Irc(d)
    check("account-registration" not in c.capabilities())
    c.hello("zoe")
    c.send("REGISTER * * word")
    check(" FAIL REGISTER TEMPORARILY_UNAVAILABLE zoe :" in c.line())


@test
def an_account_before_the_welcome():
    d = with_irc('register_accounts = true; register_early = true; auth = "password";')
    c = Irc(d)
    check(re.search(r"[ :]draft/account-registration=before-connect( |$)", c.capabilities()))
    c.send("REGISTER * * word")
    check(" FAIL REGISTER NEED_NICK * :" in c.line())
    c.send("NICK zoe", "REGISTER * * word")
    check(" REGISTER SUCCESS zoe :" in c.line())
    check(c.numeric(900))
    c.hello("zoe")


@test
def an_account_is_made_once():
    if not has_faults():
        raise Skip("this chatd has no fault points")
    for fault in [name for name in fault_points() if name.startswith("irc-register-")]:
        d = with_irc("register_accounts = true;", store=True, start=False)
        once = d.arm(fault)
        d.start()
        c, other = Irc(d), Irc(d)
        for who, nick in ((c, "zoe"), (other, "other")):
            who.hello(nick)
            who.send("JOIN #lobby")
            who.until(" 366 ")
        c.until("^:other!.* JOIN ")
        d.supervise()
        c.send("REGISTER * * :new word")
        check(" REGISTER SUCCESS zoe :" in c.line(), fault)
        check(c.numeric(900))
        check(not os.path.exists(once), fault)
        # It has its nick, and is where it was.
        other.send("PRIVMSG zoe :hello")
        check(c.until(" PRIVMSG zoe :hello$"))
        other.send("PRIVMSG #lobby :all")
        check(c.until(" PRIVMSG #lobby :all$"))
        with open(d.passwords) as f:
            equal(f.read().count("zoe:"), 1)
        late = begin(d, "PLAIN")
        late.send("AUTHENTICATE " + plain("zoe", "new word"))
        logged_in(late, "zoe")
        d.unsupervise()
        d.stop()


@test
def an_exchange_outlives_the_process():
    d = with_irc(store=True)
    d.supervise()

    def die():
        deaths = d.deaths
        d.signal(signal.SIGKILL)
        wait_for(lambda: d.deaths > deaths and d.ready)
    c, s = begin(d, "SCRAM-SHA-256"), Scram("ann", "secret")
    die()
    c.send("AUTHENTICATE " + b64(s.first.encode()))
    challenge = answer(c)
    die()
    c.send("AUTHENTICATE " + b64(s.final(base64.b64decode(challenge).decode()).encode()))
    equal(base64.b64decode(answer(c)).decode(), s.expected)
    die()
    c.send("AUTHENTICATE +")
    logged_in(c, "ann")
    die()
    check(re.search(" 001 ann ", c.hello("ann")[0]))
    # Of chunks, too.
    add_account(d.passwords, "big", "x" * 1000)
    equal(d.ctl("reload")[0], 0)
    c = begin(d, "PLAIN")
    message = plain("big", "x" * 1000)
    for i in range(0, len(message), 400):
        die()
        c.send("AUTHENTICATE " + message[i:i + 400])
    logged_in(c, "big")
    # A password that is being checked.
    c = begin(d, "PLAIN")
    c.send("AUTHENTICATE " + plain("old", "secret"))
    die()
    logged_in(c, "old")
    d.unsupervise()


if __name__ == "__main__":
    main()
