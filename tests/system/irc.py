#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""IRC clients talk, with each other and with people at nc; what operators decide holds, also after a kill."""

from irc_client import *

CAPS = "message-tags server-time echo-message labeled-response batch account-tag extended-join multi-prefix"


def refusals(lines):
    return [l.command for l in lines if l.command.isdigit()]


@test
def irc_and_nc_talk():
    d = irc_daemon()
    ann, bob = IRC(d, "ann"), IRC(d, "bob", caps=CAPS)
    ann.join("#lobby")
    bob.join("#lobby")
    nc = d.join(nick="carl")
    ann.line("PRIVMSG #lobby :hello")
    nc.expect("ann: hello\n")
    nc.send("hello from nc\n/me waves\n")
    ann.expect(":carl!carl@chat PRIVMSG #lobby :hello from nc\r\n")
    ann.expect(":carl!carl@chat PRIVMSG #lobby :\001ACTION waves\001\r\n")
    got = bob.settled()
    said = [l for l in got if l.command == "PRIVMSG"]
    equal([l.params[1] for l in said][-3:], ["hello", "hello from nc", "\001ACTION waves\001"])
    check(all(re.match(r"[0-9a-f]{16}-\d+$", l.tags["msgid"]) and l.tags["time"].endswith("Z") for l in said))
    ann.line("PRIVMSG #lobby :\001ACTION bows\001")
    nc.expect("ann * bows\n")
    ann.line("NOTICE #lobby :take note")
    nc.expect("ann: take note\n")
    # Colours are IRC's own.
    ann.line("PRIVMSG #lobby :\x02bold\x02 \x0304,12red\x03 plain")
    nc.expect("ann: bold red plain\n")
    # Privately, both ways.
    ann.line("PRIVMSG carl :psst")
    nc.expect("* [ann -> you] psst\n")
    nc.send("/msg ann aha\n")
    ann.expect(":carl!carl@chat PRIVMSG ann :aha\r\n")
    ann.line("NICK annie")
    nc.expect("* ann is now annie\n")
    ann.line("PART #lobby :bye")
    nc.expect("* annie left lobby: bye\n")
    bob.line("QUIT :gone")
    nc.expect("* bob left lobby: Quit: gone\n")


@test
def nobody_hears_itself_unless_it_wants_to():
    d = irc_daemon()
    ann, bob = IRC(d, "ann"), IRC(d, "bob", caps="echo-message")
    for c in ann, bob:
        c.join("#a,#b")
    ann.line("PRIVMSG #a :1")
    bob.line("PRIVMSG #a :2")
    bob.line("PRIVMSG #b :3")
    ann.line("PRIVMSG #b :4")
    for c, due in (ann, ["2", "3"]), (bob, ["1", "2", "3", "4"]):
        said = []
        while len(said) < len(due):
            said.append(c.until("PRIVMSG")[-1].params[1])
        equal(sorted(said), due)
        equal([l for l in c.settled() if l.command == "PRIVMSG"], [])


@test
def a_nick_and_an_end_are_told_once():
    """However many channels one shares with somebody."""
    d = irc_daemon()
    ann, bob, eve = IRC(d, "ann"), IRC(d, "bob"), IRC(d, "eve")
    ann.join("#a,#b,#c")
    bob.join("#a,#b,#c")
    eve.join("#c")
    ann.line("NICK anna")
    ann.settled()
    ann.line("QUIT :enough")
    ann.rest()
    for c, in_all in (bob, True), (eve, False):
        got = c.until("QUIT") + c.settled()
        about = [l.body() for l in got if l.nick in ("ann", "anna") and l.command in ("NICK", "QUIT")]
        equal([a.partition(" ")[2] for a in about], ["NICK anna", "QUIT :Quit: enough"])


@test
def operators_decide():
    d = irc_daemon()
    ann, bob = IRC(d, "ann"), IRC(d, "bob")
    ann.join("#dev")
    bob.join("#dev")
    nc = d.join("dev", "carl")
    equal(refusals(bob.ask("TOPIC #dev :mine")), ["482"])
    equal(refusals(bob.ask("MODE #dev +m")), ["482"])
    equal(refusals(bob.ask("KICK #dev ann")), ["482"])
    ann.line("TOPIC #dev :what this is about")
    nc.expect("* ann set the topic: what this is about\n")
    ann.line("MODE #dev +mv-t bob")
    nc.expect("* ann set mode +mv-t bob\n")
    got = [l.body().partition(" ")[2] for l in bob.settled()]
    check("TOPIC #dev :what this is about" in got and "MODE #dev +mv-t bob" in got, got)
    bob.line("PRIVMSG #dev :I may")
    nc.expect("bob: I may\n")
    ann.line("MODE #dev -v bob")
    nc.expect("* ann set mode -v bob\n")
    equal(refusals(bob.ask("PRIVMSG #dev :and now not")), ["404"])
    # A nick that IRC can't have is shown as what it can.
    other = d.join("dev", "d@ve")
    ann.line("INVITE d\uff20ve #dev")
    ann.expect(" 443 ann d\uff20ve #dev :")
    ann.line("KICK #dev d\uff20ve :as well")
    ann.expect("KICK #dev d\uff20ve :as well\r\n")
    bob.expect("KICK #dev d\uff20ve :as well\r\n")
    other.expect("* ann has removed you from dev: as well.")
    ann.line("KICK #dev bob :be nice")
    nc.expect("* ann removed bob: be nice\n")
    bob.expect("KICK #dev bob :be nice\r\n")
    equal(refusals(bob.ask("PRIVMSG #dev :hello?")), ["404"])
    ann.line("KICK #dev carl")
    nc.expect("* ann has removed you from dev: ann. You are in no room; /join one.\n")
    ann.line("MODE #dev +ib evil!*@*")
    ann.settled()
    equal(refusals(bob.ask("JOIN #dev")), ["473"])
    ann.line("INVITE bob #dev")
    bob.expect("INVITE bob #dev\r\n")
    check("332" in [l.command for l in bob.join("#dev")])
    equal([l.params[1:3] for l in bob.ask("MODE #dev b") if l.command == "367"], [["#dev", "evil!*@*"]])
    equal([l.params[2] for l in bob.ask("MODE #dev") if l.command == "324"], ["+imn"])
    ann.line("MODE #dev -i+kl secret 2")
    ann.settled()
    eve = IRC(d, "eve")
    equal(refusals(eve.ask("JOIN #dev")), ["475"])
    equal(refusals(eve.ask("JOIN #dev secret")), ["471"])


@test
def a_channel_of_the_configuration():
    """Nobody is its operator, and it was made when it was, not when somebody came."""
    before = int(time.time())
    d = irc_daemon(rooms='{ name = "lobby"; }')
    made = []
    for nick in "ann", "bob":
        who = IRC(d, nick)
        who.join("#lobby")
        check(before <= int(one(who.ask("MODE #lobby"), "329")[1]) <= before + 60)
        made.append(one(who.ask("MODE #lobby"), "329")[1])
        equal(refusals(who.ask("TOPIC #lobby :mine")), ["482"])
        time.sleep(1.1)
    equal(made[0], made[1])


@test
def what_was_decided_survives():
    d = irc_daemon(store=True, start=False)
    d.start_supervised()
    ann, bob = IRC(d, "ann"), IRC(d, "bob")
    ann.join("#dev")
    bob.join("#dev")
    ann.line("TOPIC #dev :of old")
    ann.line("MODE #dev +mkb-t secret evil!*@*")
    ann.line("MODE #dev +v bob")
    ann.settled()
    for i in range(3):
        kill(d)
        equal([l.params[2:4] for l in bob.ask("MODE #dev") if l.command == "324"], [["+mnk", "secret"]])
        equal([l.params[2] for l in bob.ask("TOPIC #dev") if l.command == "332"], ["of old"])
        equal([l.params[2] for l in bob.ask("MODE #dev b") if l.command == "367"], ["evil!*@*"])
        bob.line("PRIVMSG #dev :still %d" % i)
        ann.expect("PRIVMSG #dev :still %d\r\n" % i)
        ann.line("MODE #dev %sv bob" % ("-+"[i % 2]))
        ann.line("MODE #dev %sv bob" % ("+-"[i % 2]))
        ann.line("MODE #dev +v bob")
        ann.settled()
    d.unsupervise()
    d.finish()


@test
def a_label_is_on_the_answer():
    d = irc_daemon()
    ann = IRC(d, "ann", caps=CAPS)
    ann.join("#a")
    ann.line("@label=one PRIVMSG #a :hi")
    equal(Line.of(ann.expect("\r\n").decode().rstrip()).tags.get("label"), "one")
    ann.line("@label=two PONG x")
    line = Line.of(ann.expect("\r\n").decode().rstrip())
    equal((line.command, line.tags.get("label")), ("ACK", "two"))
    ann.line("@label=three WHOIS ann")
    first = Line.of(ann.expect("\r\n").decode().rstrip())
    equal((first.command, first.tags.get("label"), first.params[1]), ("BATCH", "three", "labeled-response"))
    got = ann.expect("BATCH -" + first.params[0][1:] + "\r\n").decode().split("\r\n")[:-2]
    check(all(Line.of(l).tags.get("batch") == first.params[0][1:] for l in got), got)
    # Whatever it is, it ends neither the tag nor the line.
    ann.line("@label=a\\:b\\sc\\r\\nd PONG x")
    line = Line.of(ann.expect("\r\n").decode().rstrip())
    equal((line.command, line.tags.get("label")), ("ACK", "a;b c\r\nd"))
    # One that is too long is none.
    for n, answers in (64, 1), (65, 0):
        ann.line("@label=%s PONG x" % (n * "x"))
        ann.line("PING y")
        got = ann.expect("PONG irc.example.org :y\r\n").decode()
        equal(got.count(n * "x" + ";") + got.count(n * "x" + " "), answers)


@test
def bad_input_is_refused():
    d = irc_daemon()
    raw = IRC(d)
    equal(refusals(raw.ask("JOIN #a")), ["451"])
    ann = IRC(d, "ann")
    ann.join("#a")
    ann.sock.sendall(b"PRIVMSG #a :" + b"x" * 600 + b"\r\n")
    ann.expect(" 417 ")
    ann.expect("\r\n")
    ann.sock.sendall(b"PRIVMSG #a :\xff\xfe\r\n")
    ann.expect("UTF-8")
    ann.expect("\r\n")
    ann.sock.sendall(b"x" * 100000 + b"\r\n")
    ann.expect(" 417 ")
    ann.expect("\r\n")
    for line, numeric in (("NICK", "431"), ("NICK a,b", "432"), ("NICK admin", "433"), ("JOIN a", "403"), ("JOIN #", "403"), ("PRIVMSG", "411"),
                          ("PRIVMSG #a", "412"), ("PRIVMSG nobody :x", "401"), ("PRIVMSG #none :x", "403"), ("PART #none", "403"), ("FOO", "421"),
                          ("USER a b c d", "462"), ("CAP X", "410"), ("MODE", "461"), ("TOPIC #none", "403"), ("MODE #a +Q", "472")):
        equal(refusals(ann.ask(line))[:1], [numeric])
    bob = IRC(d)
    bob.line("NICK ann")
    bob.expect(" 433 * ann :Nickname is already in use\r\n")
    bob.line("NICK admin")
    bob.expect(" 433 * admin :Nickname is reserved\r\n")


@test
def the_most_tags_that_a_message_may_have():
    """All of 4,094 bytes of client-only tags get to who has tags, with a short text, and nobody dies of that."""
    d = irc_daemon()
    alice, bob, carol = (IRC(d, nick, caps=caps) for nick, caps in
                         (("alice", "message-tags echo-message"), ("bob", "message-tags server-time account-tag"), ("carol", "")))
    for who in alice, bob, carol:
        who.join("#x")
    pid = d.pid
    value = "y" * (4094 - len("+x="))
    alice.line("@+x=" + value + " PRIVMSG #x :hi")
    for who in alice, bob:
        got = [line for line in who.settled() if line.command == "PRIVMSG"]
        equal([(line.params, line.tags["+x"]) for line in got], [(["#x", "hi"], value)])
    equal([line.text.partition(" ")[2] for line in carol.settled() if line.command == "PRIVMSG"], ["PRIVMSG #x :hi"])
    equal(d.pid, pid)


@test
def who_hears_only_oneself():
    """Somebody who is told of its own messages at once, and is alone, says more than the room's log holds; nor do others wait."""
    d = irc_daemon(rooms='{ name = "x"; log_size = "64K"; }', extra="max_message = 4096;")
    alice = IRC(d, "alice", caps="echo-message")
    alice.join("#x", "#y")
    texts = ["%d %s" % (i, "x" * 200) for i in range(600)]
    for text in texts:
        alice.privmsg("#x", text)
    equal([line.params[1] for line in alice.settled() if line.command == "PRIVMSG"], texts)
    nc = d.join("x", "dave")
    nc.send(b"by nc\n")
    while alice.next().params != ["#x", "by nc"]:
        pass
    nc.close()


main()
