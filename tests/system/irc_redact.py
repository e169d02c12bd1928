#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""REDACT: what is taken back is gone for who comes later, in the log and in the history; who has it already is told."""

from irc_client import *

CAPS = "message-tags echo-message labeled-response batch draft/message-redaction"


def say(client, target, text):
    """Says it, and returns its msgid."""
    client.line("PRIVMSG %s :%s" % (target, text))
    return client.until("PRIVMSG")[-1].tags["msgid"]


def fails(lines):
    return [l.params[:2] for l in lines if l.command == "FAIL"]


def told(client):
    return [client.until("REDACT")[-1].params]


def shown_later(d, nick):
    """What somebody who comes by nc is shown of what was said before."""
    c = d.connect()
    c.send("/nick %s\n/me came\n" % nick)
    return c.expect(nick + " * came").decode()


@test
def who_may_take_what_back():
    d = irc_daemon()
    ann, bob, eve = IRC(d, "ann", caps=CAPS), IRC(d, "bob", caps=CAPS), IRC(d, "eve", caps="message-tags")
    for c in ann, bob, eve:
        c.join("#dev")
    ann.settled()
    mine = say(bob, "#dev", "of bob")
    ann.line("PRIVMSG #dev :of ann")
    hers = bob.until("PRIVMSG")[-1].tags["msgid"]
    equal(fails(bob.ask("REDACT #dev " + hers)), [["REDACT", "REDACT_FORBIDDEN"]])
    bob.line("REDACT #dev %s :a mistake" % mine)
    equal(told(bob), [["#dev", mine, "a mistake"]])
    equal(told(ann), [["#dev", mine, "a mistake"]])
    equal([l.text for l in eve.settled() if l.command == "REDACT"], [])
    other = say(bob, "#dev", "for the operator")
    ann.line("REDACT #dev " + other)
    equal(told(ann), [["#dev", other]])
    equal(told(bob), [["#dev", other]])
    # As often as one likes, since one can't know whether it has happened.
    equal([l.command for l in ann.ask("REDACT #dev " + other)], ["REDACT"])
    for wrong in "x", other + "0", "0" * 16 + "-" + other.split("-")[1], other.split("-")[0] + "-", other + "x":
        equal(fails(ann.ask("REDACT #dev " + wrong)), [["REDACT", "UNKNOWN_MSGID"]])
    equal(fails(ann.ask("REDACT #none " + other)), [["REDACT", "INVALID_TARGET"]])
    equal(fails(ann.ask("REDACT nobody " + other)), [["REDACT", "INVALID_TARGET"]])
    # A coming is no message.
    eve2 = IRC(d, "eva", caps=CAPS)
    eve2.join("#dev")
    equal(fails(ann.ask("REDACT #dev " + ann.until("JOIN")[-1].tags["msgid"])), [["REDACT", "UNKNOWN_MSGID"]])


@test
def private_messages():
    d = irc_daemon()
    ann, bob, eve = IRC(d, "ann", caps=CAPS), IRC(d, "bob", caps=CAPS), IRC(d, "eve", caps=CAPS)
    mine = say(ann, "bob", "a secret")
    equal(bob.until("PRIVMSG")[-1].tags["msgid"], mine)
    for other, whom in (bob, "ann"), (eve, "bob"), (eve, "ann"), (ann, "eve"):
        equal(fails(other.ask("REDACT %s %s" % (whom, mine))), [["REDACT", "UNKNOWN_MSGID"]])
    ann.line("REDACT bob %s :forget it" % mine)
    equal(told(ann), [["bob", mine, "forget it"]])
    equal(told(bob), [["bob", mine, "forget it"]])
    equal([l.text for l in eve.settled() if l.command == "REDACT"], [])


@test
def it_is_gone():
    """Also after a kill, and from the database. Those who are there stay, and have what they have."""
    d = irc_daemon(store=True, start=False, extra='operators = ( { name = "root"; password = "top"; } ); ' +
                   'history: { database = "%s/history.db"; };' % tempfile.mkdtemp())
    d.start_supervised()
    ann, nc = IRC(d, "ann", caps=CAPS), d.join(nick="carl")
    ann.join("#lobby")
    say(ann, "#lobby", "before")
    gone = say(ann, "#lobby", "blunder")
    # What is said in one breath has one time.
    nc.send("first\nsecond\nthird\n")
    second = [ann.until("PRIVMSG")[-1].tags["msgid"] for _ in range(3)][1]
    say(ann, "#lobby", "after")
    nc.expect("ann: after\n")
    stored = lambda: d.ctl("history", "lobby")[1]
    wait_for(lambda: "after" in stored(), what="the history")
    check("blunder" in stored())
    ann.line("REDACT #lobby " + gone)
    equal(told(ann), [["#lobby", gone]])
    ann.line("OPER root top")
    ann.line("REDACT #lobby " + second)
    equal(told(ann), [["#lobby", second]])
    for nick in "dave", "dora":
        shown = shown_later(d, nick)
        check("before" in shown and "after" in shown and "blunder" not in shown, shown)
        d.kill_child()
        wait_for(lambda: d.ready, what="chatd")
    say(ann, "#lobby", "and on")
    nc.expect("ann: and on\n")
    wait_for(lambda: "and on" in stored(), what="the history")
    check("before" in stored() and "blunder" not in stored(), stored())
    check("first" in stored() and "third" in stored() and "second" not in stored(), stored())


main()
