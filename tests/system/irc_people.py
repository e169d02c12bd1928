#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What IRC clients are told of each other: who is away, what somebody's name is now, who comes and goes."""

from irc_client import *


def supervised(**kwargs):
    """A daemon that is started again whenever it dies; the test ends with end()."""
    d = irc_daemon(store=True, start=False, **kwargs)
    d.spawn()
    d.supervise()
    wait_for(lambda: d.ready, 20, "chatd")
    return d


def end(d):
    d.unsupervise()
    d.finish()


def told(c, *commands):
    """The lines of these commands that c was sent, "NICK COMMAND PARAMETERS", until it has all that was said before."""
    return ["%s %s" % (l.nick, l.body().partition(" ")[2]) for l in c.settled() if l.command in commands]


def hear(c, command, nick=None):
    """The next line of this command (by that nick), in the same form."""
    while True:
        l = c.until(command)[-1]
        if nick in (None, l.nick):
            return "%s %s" % (l.nick, l.body().partition(" ")[2])


@test
def away():
    """It is said to who speaks to somebody who is away, or asks; and it survives."""
    d = supervised()
    ann, bob = IRC(d, "ann"), IRC(d, "bob")
    ann.join("#a")
    equal(one(ann.ask("AWAY :out for \x02lunch"), "306"), ["You have been marked as being away"])
    for i in range(3):
        equal(numerics(bob.ask("PRIVMSG ann :hello"), "301"), [["ann", "out for \ufffdlunch"]])
        equal(numerics(bob.ask("NOTICE ann :hello"), "301"), [])
        equal(numerics(bob.ask("WHOIS ann"), "301"), [["ann", "out for \ufffdlunch"]])
        check(one(bob.ask("USERHOST ann"), "302")[0].startswith("ann=-"))
        equal(one(bob.ask("WHO #a"), "352")[5][0], "G")
        kill(d)
    # Cut where a character begins.
    ann.ask("AWAY :" + "\u00e4" * 150)
    equal(one(bob.ask("WHOIS ann"), "301")[1], "\u00e4" * 100)
    for back in "AWAY", "AWAY :":
        equal(one(ann.ask(back), "305"), ["You are no longer marked as being away"])
        equal(numerics(bob.ask("PRIVMSG ann :hello"), "301"), [])
        equal(numerics(bob.ask("WHOIS ann"), "301"), [])
        check(one(bob.ask("USERHOST ann"), "302")[0].startswith("ann=+"))
        equal(one(bob.ask("WHO #a"), "352")[5][0], "H")
        kill(d)
        equal(numerics(bob.ask("WHOIS ann"), "301"), [])
        ann.ask("AWAY :again")
    end(d)


@test
def away_notify():
    """Those who share a channel are told once, also when somebody who is away comes in; nobody else is."""
    d = irc_daemon()
    ann, bob, eve = IRC(d, "ann", caps="away-notify"), IRC(d, "bob", caps="away-notify server-time account-tag"), IRC(d, "eve")
    far = IRC(d, "far", caps="away-notify")
    ann.join("#a,#b")
    bob.join("#a,#b")
    eve.join("#a")
    far.join("#c")
    for c in ann, bob, eve:
        c.settled()
    ann.line("AWAY :lunch")
    ann.line("AWAY :lunch")
    ann.line("AWAY")
    ann.line("PRIVMSG #a :end")
    equal([hear(bob, "AWAY"), hear(bob, "AWAY")], ["ann AWAY :lunch", "ann AWAY"])
    check("time" in bob.lines[-1].tags)
    equal(told(bob, "AWAY"), [])
    for c in ann, eve, far:
        equal(told(c, "AWAY"), [])
    # It comes behind the JOIN.
    far.line("AWAY :not here")
    far.join("#b")
    got = [l.command for l in bob.until("AWAY") if l.nick == "far"]
    equal(got, ["JOIN", "AWAY"])
    equal(bob.lines[-1].params, ["not here"])
    equal(hear(ann, "AWAY"), "far AWAY :not here")
    equal(told(far, "AWAY"), [])
    check("away-notify" in one_cap_ls(d))


@test
def setname():
    """Those who share a channel and want to know are told, and who does it; it survives, and WHOIS knows it."""
    d = supervised()
    ann, bob = IRC(d, "ann", caps="setname"), IRC(d, "bob", caps="setname")
    eve, far = IRC(d, "eve", realname="x" * 150), IRC(d, "far", caps="setname")
    equal(one(ann.ask("WHOIS eve"), "311")[4], "x" * 100)
    for c in ann, bob, eve:
        c.join("#a")
    equal([l.params for l in ann.ask("SETNAME :Ann of \x02Old") if l.command == "SETNAME"], [["Ann of \ufffdOld"]])
    equal(hear(bob, "SETNAME"), "ann SETNAME :Ann of \ufffdOld")
    eve.ask("SETNAME Evelyn")
    equal(hear(bob, "SETNAME"), "eve SETNAME :Evelyn")
    for c in eve, far:
        equal(told(c, "SETNAME"), [])
    kill(d)
    equal(one(far.ask("WHOIS ann"), "311")[4], "Ann of \ufffdOld")
    equal(one(far.ask("WHOIS eve"), "311")[4], "Evelyn")
    plain = IRC(d, "plain", caps="standard-replies")
    for bad in "SETNAME :", "SETNAME :" + "x" * 101:
        equal([l.params[:2] for l in plain.ask(bad) if l.command == "FAIL"], [["SETNAME", "INVALID_REALNAME"]])
    equal([l.command for l in plain.ask("SETNAME")], ["461"])
    equal(one(far.ask("WHOIS plain"), "311")[4], "Real plain")
    end(d)


@test
def chghost():
    """A reload cloaks otherwise: everybody's host changes, and is told."""
    d = irc_daemon()
    ann, bob = IRC(d, "ann", caps="chghost"), IRC(d, "bob", caps="chghost userhost-in-names")
    eve, far = IRC(d, "eve"), IRC(d, "far")
    for c in ann, bob, eve:
        c.join("#a")
    before = one(far.ask("WHOIS ann"), "311")[2]
    check(before.endswith(".ip"), before)
    with open(d.config) as f:
        text = f.read()
    d.write_config("", d.listeners.replace('mode = "irc";', 'mode = "irc"; cloak = false;'), IRC_EXTRA + UNLIMITED)
    d.ctl("reload")
    line = ann.until("CHGHOST")[-1]
    while line.nick != "bob":
        line = ann.until("CHGHOST")[-1]
    equal((line.source, line.params), ("bob!ubob@" + before, ["ubob", "127.0.0.1"]))
    equal(one(far.until("396"), "396"), ["127.0.0.1", "is now your visible host"])
    bob.settled()
    equal([l.source for l in bob.lines if l.command == "CHGHOST" and l.nick == "bob"], ["bob!ubob@" + before])
    equal(told(eve, "CHGHOST") + told(far, "CHGHOST"), [])
    equal(one(far.ask("WHOIS ann"), "311")[2], "127.0.0.1")
    bob.line("PRIVMSG #a :hi")
    ann.expect(":bob!ubob@127.0.0.1 PRIVMSG #a :hi\r\n")
    # Back again, and a restart alone changes nothing.
    with open(d.config, "w") as f:
        f.write(text)
    d.ctl("reload")
    hear(ann, "CHGHOST", "bob")
    equal(one(far.ask("WHOIS ann"), "311")[2], before)


OPERATOR = ' operators = ( { name = "root"; password = "toor"; } );' + IRC_EXTRA


def operator(d, nick="oper"):
    c = IRC(d, nick)
    equal([l.command for l in c.ask("OPER root toor")], ["MODE", "381"])
    return c


@test
def kills():
    """Operators end somebody's connection, by whatever it came; nobody else does, and a killed one's nick is free."""
    d = irc_daemon(extra=OPERATOR)
    oper, ann, bob = operator(d), IRC(d, "ann"), IRC(d, "bob")
    for c in ann, bob:
        c.join("#a,#b")
    nc, watching = d.join("a", "carl"), d.join("a", "dave")
    for victim in "bob", "ann", "nobody":
        equal([l.command for l in ann.ask("KILL %s :why" % victim)], ["481"])
    equal([l.command for l in oper.ask("KILL")], ["461"])
    equal([l.command for l in oper.ask("KILL nobody :why")], ["401"])
    equal([l.command for l in oper.ask("KILL %s :why" % SERVER)], ["483"])
    oper.line("KILL bob :go \x02away")
    equal(hear(ann, "QUIT"), "bob QUIT :Killed (oper (go \ufffdaway))")
    equal(told(ann, "QUIT"), [])
    got = bob.until("ERROR")
    equal([(l.nick, l.params) for l in got if l.command == "KILL"], [("oper", ["bob", "Killed (oper (go \ufffdaway))"])])
    equal(got[-1].params[0].partition(" (")[2], "Killed (oper (go \ufffdaway)))")
    equal(bob.rest(), b"")
    watching.expect("* bob left a: Killed (oper (go \ufffdaway))\n")
    again = IRC(d, "bob")
    again.join("#a")
    # The longest reason fits into the lines.
    oper.line("KILL bob :" + "x" * 300)
    equal(hear(ann, "QUIT"), "bob QUIT :Killed (oper (%s))" % ("x" * 255))
    # By nc, and itself.
    oper.line("KILL carl")
    nc.expect("* You have been removed: Killed (oper (No reason))\n")
    equal(nc.rest(), b"")
    watching.expect("* carl left a\n")
    oper.line("KILL oper :enough")
    oper.until("ERROR")
    equal(oper.rest(), b"")
    check("removed by oper on IRC: enough" in d.log())


@test
def wallops():
    d = irc_daemon(extra=OPERATOR)
    oper, ann, bob = operator(d), IRC(d, "ann"), IRC(d, "bob")
    ann.ask("MODE ann +w")
    equal([l.command for l in ann.ask("WALLOPS :hi")], ["481"])
    equal([l.command for l in oper.ask("WALLOPS")] + [l.command for l in oper.ask("WALLOPS :")], ["461", "461"])
    oper.line("WALLOPS :hi everyone")
    equal(hear(ann, "WALLOPS"), "oper WALLOPS :hi everyone")
    equal(told(bob, "WALLOPS") + told(oper, "WALLOPS"), [])
    ann.ask("MODE ann -w")
    bob.ask("MODE bob +w")
    oper.line("WALLOPS :" + "x" * 450)
    check(len(bob.until("WALLOPS")[-1].params[0]) > 400)
    equal(told(ann, "WALLOPS"), [])


def one_cap_ls(d):
    c = IRC(d)
    c.line("CAP LS 302")
    words = []
    while True:
        l = c.until("CAP")[-1]
        words += l.params[-1].split()
        if l.params[2] != "*":
            c.close()
            return words


main()
