#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Nodes of a cluster that store what is said, and lose their memory: they read NATS's stream from its beginning then. What the
database had from it doesn't come again, also if it was forgotten there since; what it had not does.
"""

import sqlite3

from nats import Raw
from nodes import Cluster
from past import *
from testing import *

ROOMS = '{ name = "lobby"; announce_max = 0; history = 100; }'
EXTRA = 'room_defaults: { history = 100; log_size = "1M"; announce_max = 0; }; history: { database = "history.db"; };'


def nodes(**kwargs):
    return Cluster(2, rooms=ROOMS, extra=EXTRA, **kwargs)


def place(d, room="lobby"):
    """In the stream, up to which all is stored."""
    return query(d, "SELECT place >> 16, streams.time FROM streams JOIN rooms ON rooms.id = room WHERE name = ?", room)


def wait_placed(c, d, room="lobby"):
    """All that is in the stream is stored."""
    with Raw(c.servers[0]) as r:
        subject = "chatd.s.room." + room
        last = r.api("STREAM.MSG.GET.CHATD", {"last_by_subj": subject})["message"]["seq"]
    wait_for(lambda: [p for p, _ in place(d, room)] == [last], what="its place in the database")


def talk(who, name, texts, *hear):
    for text in texts:
        who.send(text + "\n")
        for p in hear:
            p.expect("%s: %s\n" % (name, text))
    return ["%s: %s" % (name, text) for text in texts]


@test
def what_is_forgotten_stays_so():
    """Also the last that was said, all of a room, and what was said in a room that is over."""
    c = nodes()
    node, other = c.nodes
    alice, bob = node.join(nick="alice"), other.join(nick="bob")
    lines = talk(alice, "alice", ["one", "two"], alice, bob)
    talk(bob, "bob", ["secret %d" % i for i in range(5)], alice, bob)
    den = node.join("den", "carol")
    talk(den, "carol", ["secret too"], den)
    wait_placed(c, node)
    wait_placed(c, node, "den")
    wait_for(lambda: stored(node, "den") == ["secret too"], what="what was said in the database")
    equal(node.ctl("forget", "--yes", "--nick", "bob")[0], 0)
    equal(node.ctl("forget", "--yes", "--room", "den")[0], 0)
    equal(stored(node), ["one", "two"])
    for how in ("kill", "stop", "kill"):
        reboot(node, how)
        node.start()
        c.wait_connected([node])
        lines += talk(bob, "bob", ["after a " + how], bob)
        wait_for(lambda: tail(node)[-1:] == lines[-1:], what="what was said meanwhile")
        equal(tail(node), lines)
        equal(tail(node, "den"), [])
        wait_stored(node, [l.split(": ")[1] for l in lines])
        equal(stored(node, "den"), [])
    # Nobody has asked the other node to forget it.
    check("bob: secret 4" in tail(other), tail(other))
    c.finish()


@test
def a_stream_that_is_made_anew():
    """While a node was away: its first lines have places in the stream that others had before."""
    c = nodes()
    node, other = c.nodes
    alice, bob = node.join(nick="alice"), other.join(nick="bob")
    lines = talk(alice, "alice", ["before %d" % i for i in range(20)], alice, bob)
    wait_placed(c, node)
    reboot(node)
    db = sqlite3.connect(database(node))  # an hour ago
    db.execute("UPDATE streams SET time = time - 3600000000")
    db.commit()
    db.close()
    c.servers[0].kill()
    c.servers[0].wipe()
    c.servers[0].start()
    c.wait_connected([other])
    lines += talk(bob, "bob", ["after"], bob)
    node.start()
    c.wait_connected([node])
    wait_for(lambda: "bob: after" in tail(node), what="what was said in the new stream")
    equal(tail(node), lines)
    wait_stored(node, [l.split(": ")[1] for l in lines])
    c.finish()


@test
def what_was_shown_before_the_others_had_it():
    """It was stored without a place in the stream, as it had none, and got one later."""
    c = nodes(when_away="local", more="away_after = 0.5;")
    node, other = c.nodes
    alice, bob = node.join(nick="alice"), other.join(nick="bob")
    lines = talk(alice, "alice", ["before"], alice, bob)
    c.servers[0].kill()
    lines += talk(alice, "alice", ["meanwhile %d" % i for i in range(5)], alice)
    wait_stored(node, [l.split(": ")[1] for l in lines])
    c.servers[0].start()
    bob.expect("alice: meanwhile 4\n")
    wait_placed(c, node)
    for how in ("kill", "stop"):
        reboot(node, how)
        node.start()
        c.wait_connected([node])
        lines += talk(bob, "bob", ["after a " + how], bob)
        wait_for(lambda: tail(node)[-1:] == lines[-1:], what="what was said meanwhile")
        equal(tail(node), lines)
        wait_stored(node, [l.split(": ")[1] for l in lines])
    c.finish()


main()
