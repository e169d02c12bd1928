#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is said on IRC, to the letter: how long it may be, what its tags are, who may not say it; and what else irctest asks."""

from irc_client import *

CAPS = "message-tags echo-message labeled-response batch"


def pair(d, caps=CAPS):
    ann, bob = IRC(d, "ann", caps=caps), IRC(d, "bob", caps=caps)
    ann.join("#dev")
    bob.join("#dev")
    ann.settled()
    return ann, bob


@test
def what_is_too_long_is_refused():
    """A line that others can't be sent as one is no message at all; what must not be answered is several lines."""
    d = irc_daemon()
    ann, bob = pair(d, "")
    for target in "bob", "#dev":
        ann.line("PRIVMSG %s :x" % target)
        rest = len(bob.until("PRIVMSG")[-1].text) + 2 - 1
        for ending in "x", "\u00e9":
            whole = "x" * (512 - rest - len(ending.encode())) + ending
            equal(ann.ask("PRIVMSG %s :%s" % (target, whole)), [])
            equal([l.params[1] for l in bob.until("PRIVMSG")][-1], whole)
            equal([l.command for l in ann.ask("PRIVMSG %s :x%s" % (target, whole))], ["417"])
            equal(ann.ask("NOTICE %s :xx%s" % (target, whole)), [])
            parts = bob.until("NOTICE") + bob.until("NOTICE")
            equal("".join(l.params[1] for l in parts), "xx" + whole)


@test
def tags_of_private_messages():
    """Who gets it and who sent it have the same msgid and the same tags; also of what is in no log."""
    d = irc_daemon()
    ann, bob = pair(d)
    ann.ask("MODE ann +B")
    for target in "bob", "#dev":
        for command in "PRIVMSG %s :hi", "NOTICE %s :hi", "PRIVMSG %s :\001PING 1\001", "TAGMSG %s":
            ann.settled()
            ann.line("@label=1;+draft/reply=abc;other=x " + command % target)
            told, = ann.settled()
            got = bob.next()
            equal(got.body(), told.body())
            equal(told.tags.pop("label"), "1")
            check(got.tags.pop("msgid") and "bot" in got.tags, got.text)
            told.tags.pop("msgid")
            equal(got.tags, told.tags)
            equal(got.tags["+draft/reply"], "abc")
    plain = IRC(d, "eve")
    ann.line("@+x=y PRIVMSG eve :hello")
    equal(plain.until("PRIVMSG")[-1].tags, {})


@test
def who_may_not_say_it():
    d = irc_daemon()
    ann, bob = pair(d, "")
    ann.ask("MODE #dev +C")
    equal([l.command for l in bob.ask("PRIVMSG #dev :\001PING 1\001")], ["404"])
    equal(bob.ask("PRIVMSG #dev :\001ACTION may\001"), [])
    # Who is muted may come in, but not speak; unless it is excepted.
    ann.ask("MODE #dev +b m:bob!*@*")
    equal([l.command for l in bob.ask("PRIVMSG #dev :and this")], ["404"])
    bob.ask("PART #dev")
    check("353" in [l.command for l in bob.join("#dev")])
    ann.ask("MODE #dev +e m:*!ubob@*")
    equal(bob.ask("PRIVMSG #dev :and now"), [])
    # An exception from being muted is none from a ban.
    ann.ask("MODE #dev +b bob!*@*")
    bob.ask("PART #dev")
    equal([l.command for l in bob.join("#dev")], ["474"])


@test
def invitations_and_exceptions():
    d = irc_daemon()
    ann, bob = pair(d, "")
    equal([l.command for l in bob.ask("INVITE")], ["337"])
    equal([l.command for l in bob.ask("INVITE ann")], ["461"])
    for channel in "#a", "#b":
        ann.join(channel)
        ann.ask("INVITE bob " + channel)
    equal(sorted(numerics(bob.ask("INVITE"), "336")), [["#a"], ["#b"]])
    bob.join("#b")
    equal(numerics(bob.ask("INVITE"), "336"), [["#a"]])
    # Any member may tell somebody of a channel, but opens it to nobody.
    eve = IRC(d, "eve")
    for mode, refusal in ("+b eve!*@*", "474"), ("-b+k eve!*@* word", "475"), ("-k+l word 1", "471"):
        ann.ask("MODE #b " + mode)
        equal([l.command for l in bob.ask("INVITE eve #b")], ["341"])
        eve.until("INVITE")
        equal([l.command for l in eve.join("#b")], [refusal])
    ann.ask("INVITE eve #b")
    check("366" in [l.command for l in eve.join("#b")])
    ann.ask("MODE #dev +I bob!*@*")
    got = ann.ask("MODE #dev +I")
    equal([l.command for l in got], ["346", "347"])
    equal(got[0].params[1:3], ["#dev", "bob!*@*"])


@test
def several_are_removed():
    d = irc_daemon()
    ann, bob = pair(d, "")
    eve = IRC(d, "eve")
    eve.join("#dev")
    ann.join("#b")
    bob.join("#b")
    ann.settled()
    ann.line("KICK #b,#dev bob,eve :out")
    got = [(l.params[0], l.params[1]) for l in ann.settled() if l.command == "KICK"]
    equal(got, [("#b", "bob"), ("#dev", "eve")])
    bob.line("KICK #dev,#none ann,eve")
    equal([l.command for l in bob.settled() if l.command.isdigit()], ["482", "403"])


@test
def before_the_welcome():
    d = irc_daemon()
    c = IRC(d)
    c.line("NICK ann")
    c.line("USER ann 0 * :")
    equal(c.until("461")[-1].params[1], "USER")
    c.line(b"USER ann 0 * :\xe9")
    equal(c.until("FAIL")[-1].params[:2], ["USER", "INVALID_UTF8"])
    c.line("USER ann 0 * :Ann")
    c.until("422")


main()
