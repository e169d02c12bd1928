#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What IRC clients are told of each other: who is away, what somebody's name is now, who comes and goes."""

from irc_client import *


def supervised(**kwargs):
    """A daemon that is started again whenever it dies; the test ends with end()."""
    d = irc_daemon(store=True, start=False, **kwargs)
    d.start_supervised()
    return d


def end(d):
    d.unsupervise()
    d.finish()


def host_of(client):
    return one(client.ask("WHOIS " + client.nick), "311")[2]


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
    logged(d, "removed by oper on IRC: enough")


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


def statuses(lines):
    """730 and 731, nicks only."""
    return [(l.command, sorted(n.partition("!")[0] for n in l.params[1].split(","))) for l in lines if l.command in ("730", "731")]


def status(c):
    """The next of them."""
    return statuses(c.until("730", "731")[-1:])[0]


@test
def monitor():
    """Who watches is told once of each coming and going, by whatever way, whichever channels there are."""
    d = irc_daemon()
    ann, bob = IRC(d, "ann"), IRC(d, "bob")
    check("MONITOR=100" in " ".join(l.text for l in ann.welcome))
    got = ann.ask("MONITOR + bob,carl,Dave,ann")
    equal(statuses(got), [("730", ["ann", "bob"]), ("731", ["Dave", "carl"])])
    check("bob!ubob@%s" % host_of(bob) in one(got, "730")[0].split(","), got)
    equal(statuses(ann.ask("MONITOR S")), [("730", ["ann", "bob"]), ("731", ["Dave", "carl"])])
    # By nc: a name there, another one, and the end.
    nc = d.join(nick="carl")
    equal(ann.until("730")[-1].params, ["ann", "carl!carl@chat"])
    nc.send("/nick dave\n")
    equal(sorted([status(ann), status(ann)]), [("730", ["dave"]), ("731", ["carl"])])
    nc.close()
    equal(status(ann), ("731", ["dave"]))
    # On IRC: not before it has registered; another case is the same nick.
    half = IRC(d)
    half.line("NICK carl")
    half.settled()
    equal(statuses(ann.settled()), [])
    half.line("USER c 0 * :Carl")
    equal(status(ann), ("730", ["carl"]))
    half.line("NICK CARL")
    half.settled()
    equal(statuses(ann.settled()), [])
    half.line("NICK eve")
    equal(status(ann), ("731", ["CARL"]))
    half.line("NICK carl")
    equal(status(ann), ("730", ["carl"]))
    half.line("QUIT")
    equal(status(ann), ("731", ["carl"]))
    # Who only looks like it is somebody else.
    fake = d.join(nick="car1")
    equal(one(ann.ask("WHOIS carl"), "311")[0], "car1")
    equal(statuses(ann.ask("MONITOR S")), [("730", ["ann", "bob"]), ("731", ["Dave", "carl"])])
    fake.close()
    # The list.
    equal([l.params[1].split(",") for l in ann.ask("MONITOR L") if l.command == "732"], [["bob", "carl", "Dave", "ann"]])
    equal([l.command for l in ann.ask("MONITOR - bob,nobody,DAVE")], [])
    equal([l.params[1].split(",") for l in ann.ask("MONITOR L") if l.command == "732"], [["carl", "ann"]])
    bob.line("QUIT")
    bob.rest()
    equal([l.command for l in ann.ask("MONITOR C")], [])
    equal([l.command for l in ann.ask("MONITOR L")], ["733"])
    equal(statuses(ann.ask("MONITOR S")), [])
    d.join(nick="carl").close()
    equal(statuses(ann.settled()), [])
    # What can't be watched, and how many can.
    equal([l.command for l in ann.ask("MONITOR + *!u@h,x y")], ["432", "731"])
    equal([l.command for l in ann.ask("MONITOR +")] + [l.command for l in ann.ask("MONITOR")], ["461", "461"])
    ann.ask("MONITOR C")
    names = ["n%03d" % i + "x" * 28 for i in range(102)]
    for i in range(0, len(names), 10):
        got = ann.ask("MONITOR + " + ",".join(names[i:i + 10]))
    equal(one(got, "734")[:2], ["100", ",".join(names[100:])])
    listed = ",".join(l.params[1] for l in ann.ask("MONITOR L") if l.command == "732").split(",")
    equal(listed, names[:100])


@test
def monitor_survives():
    """The list, and what was told: after a death nobody is told anything again, but of who has gone with it."""
    d = supervised()
    ann, bob = IRC(d, "ann"), IRC(d, "bob")
    nc = d.join(nick="carl")
    ann.ask("MONITOR + bob,carl,eve")
    for i in range(3):
        kill(d)
        equal(statuses(ann.settled()), [])
        eve = IRC(d, "eve")
        equal(status(ann), ("730", ["eve"]))
        eve.close()
        equal(status(ann), ("731", ["eve"]))
    # Who goes while nobody is there.
    os.kill(d.pid, signal.SIGSTOP)
    bob.close()
    nc.close()
    kill(d)
    gone = []
    while len(gone) < 2: # in one line or two
        command, nicks = status(ann)
        equal(command, "731")
        gone += nicks
    equal(sorted(gone), ["bob", "carl"])
    equal(statuses(ann.settled()), [])
    d.ctl("restart")
    wait_for(lambda: d.ready, what="the next process")
    keep = IRC(d, "bob")
    equal(status(ann), ("730", ["bob"]))
    ann.ask("MONITOR - bob")
    kill(d)
    keep.line("QUIT")
    keep.rest()
    equal(statuses(ann.settled()), [])
    equal([l.params[1].split(",") for l in ann.ask("MONITOR L") if l.command == "732"], [["carl", "eve"]])
    end(d)


@test
def extended_monitor():
    """Who watches is told of changes as those who share a channel are, once, if it has the capabilities."""
    d = irc_daemon()
    caps = "extended-monitor away-notify setname"
    ann, bob = IRC(d, "ann", caps=caps), IRC(d, "bob")
    some, none, near = IRC(d, "some", caps="extended-monitor setname"), IRC(d, "none", caps="away-notify setname"), IRC(d, "near", caps=caps)
    for c in ann, some, none, near:
        c.ask("MONITOR + bob")
    for c in bob, near:
        c.join("#a")
    bob.line("AWAY :out")
    bob.line("SETNAME :Robert")
    bob.line("AWAY")
    for c in ann, near:
        equal([hear(c, "AWAY"), hear(c, "SETNAME"), hear(c, "AWAY")], ["bob AWAY :out", "bob SETNAME :Robert", "bob AWAY"])
    equal(hear(some, "SETNAME"), "bob SETNAME :Robert")
    equal(told(some, "AWAY") + told(none, "AWAY", "SETNAME") + told(ann, "AWAY", "SETNAME") + told(near, "AWAY", "SETNAME"), [])
    ann.ask("MONITOR C")
    bob.line("AWAY :again")
    hear(near, "AWAY")
    equal(told(ann, "AWAY"), [])


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
