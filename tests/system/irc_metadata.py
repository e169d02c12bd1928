#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""METADATA: what people and channels say of themselves outlives the process; who wants to know is told, and nobody else."""

from irc_client import *

CAPS = "draft/metadata-3 batch"


def fails(lines):
    return [l.params[1:-1] for l in lines if l.command == "FAIL"]


def said(lines):
    """Key and value of each, None: it isn't set."""
    return [(l.params[2], l.params[4] if l.command == "761" else None) for l in lines if l.command in ("761", "766")]


@test
def it_outlives_the_process():
    d = irc_daemon(store=True, start=False)
    d.start_supervised()
    ann, bob = IRC(d, "ann", caps=CAPS), IRC(d, "bob", caps=CAPS)
    ann.join("#dev")
    equal(said(ann.ask("METADATA * SET url :https://example.org/?a=b")), [("url", "https://example.org/?a=b")])
    ann.ask("METADATA #dev SET about :this and that")
    bob.ask("METADATA * SUB url about")
    for i in range(3):
        d.kill_child()
        wait_for(lambda: d.ready, what="chatd")
        equal(said(bob.ask("METADATA ann GET url other")), [("url", "https://example.org/?a=b"), ("other", None)])
        equal(said(bob.ask("METADATA #dev LIST")), [("about", "this and that")])
        equal(sorted(l.params[1:] for l in bob.ask("METADATA * SUBS")), [["url", "about"]])
        ann.ask("METADATA * SET n :%d" % i)
    # Who comes is told what it wants to know, and of the next change as well.
    equal(sorted(said(bob.join("#dev") + bob.settled())), [("about", "this and that"), ("url", "https://example.org/?a=b")])
    ann.line("METADATA #dev SET about :more")
    equal(bob.until("761")[-1].params, ["bob", "#dev", "about", "*", "more"])
    ann.line("METADATA * CLEAR")
    equal(bob.until("766")[-1].params[:3], ["bob", "ann", "url"])
    equal(said(bob.ask("METADATA ann LIST")), [])
    # Whoever gets the place of one who is gone has nothing of it.
    ann.ask("METADATA * SET url :gone with ann")
    ann.line("QUIT")
    ann.rest()
    eve = IRC(d, "eve", caps=CAPS)
    equal(said(eve.ask("METADATA * LIST")), [])


@test
def who_may_say_and_know_what():
    d = irc_daemon()
    ann, bob, eve = IRC(d, "ann", caps=CAPS), IRC(d, "bob", caps=CAPS), IRC(d, "eve", caps=CAPS)
    for c in ann, bob:
        c.join("#dev")
    equal(fails(bob.ask("METADATA ann SET a :b")), [["KEY_NO_PERMISSION", "ann", "a"]])
    equal(fails(bob.ask("METADATA #dev SET a :b")), [["KEY_NO_PERMISSION", "#dev", "a"]])
    equal(fails(bob.ask("METADATA #dev CLEAR")), [["KEY_NO_PERMISSION", "#dev", "*"]])
    equal(fails(ann.ask("METADATA * SET A :b")), [["KEY_INVALID", "A"]])
    equal(fails(ann.ask("METADATA * SET a :" + 257 * "x")), [["INVALID_VALUE", "a"]])
    equal(said(ann.ask("METADATA * SET a :" + 256 * "x")), [("a", 256 * "x")])
    equal(fails(ann.ask("METADATA * SET b")), [["KEY_NOT_SET", "ann", "b"]])
    equal(fails(ann.ask("METADATA none GET b")), [["INVALID_TARGET", "none"]])
    equal(fails(ann.ask("METADATA * WHAT")), [["SUBCOMMAND_INVALID", "WHAT"]])
    for i in range(30):
        last = fails(ann.ask("METADATA #dev SET k%d :%s" % (i, 250 * "v")))
    equal(last, [["LIMIT_REACHED", "#dev"]])
    check(0 < len(said(eve.ask("METADATA #dev LIST"))) <= 6)
    for mode in "+i", "-i+s", "-s+k key":
        ann.ask("MODE #dev " + mode)
        for what in "GET k0", "LIST", "SYNC", "SET k0 :x":
            equal(fails(eve.ask("METADATA #dev " + what)), [["INVALID_TARGET", "#dev"]])
    check(said(bob.ask("METADATA #dev LIST")))
    # Who hasn't asked isn't told.
    bob.ask("METADATA * SUB wanted")
    for key in "other", "wanted":
        ann.ask("METADATA * SET %s :x" % key)
    equal(said([bob.until("761")[-1]]), [("wanted", "x")])


@test
def what_is_too_much_ends_in_order():
    """More than an answer has space for: its batch ends. Who wants to know a key in rooms of many is told to ask for the rest."""
    d = irc_daemon()
    keys = ["k%d" % i for i in range(15)]
    crowd = [IRC(d, "p%d" % i, caps=CAPS) for i in range(60)]
    for c in crowd:
        c.line("\r\n".join("METADATA * SET %s :%s" % (k, 250 * "x") for k in keys) + "\r\nJOIN #a,#b,#c")
        c.settled()
    ann = IRC(d, "ann", caps=CAPS)
    ann.join("#a", "#b", "#c")
    got = ann.ask("METADATA * SUB " + " ".join(keys))
    check({l.params[1] for l in got if l.command == "774"}, [l.command for l in got])
    got = ann.ask("METADATA #a SYNC")
    equal([l.params[0][0] for l in got if l.command == "BATCH"], ["+", "-"])
    check(500 < len(said(got)) < 60 * 15, len(said(got)))


main()
