# SPDX-License-Identifier: MIT
"""What the tests of the history share: what is in a daemon's database, and what people are shown of it."""

import os
import re
import sqlite3

from testing import WELCOME, wait_for


def database(d, name="history.db"):
    return os.path.join(d.dir, name)


def query(d, sql, *args):
    """Whatever there is so far: the database may not be there yet."""
    try:
        db = sqlite3.connect("file:%s?mode=ro" % database(d), uri=True)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()
    except sqlite3.DatabaseError:
        return []


def stored(d, room="lobby"):
    """The texts of a room's messages, without comings and goings, in the order in which they were stored."""
    return [t for t, in query(d, "SELECT text FROM messages JOIN rooms ON rooms.id = room WHERE name = ? AND kind < 2 "
                                 "ORDER BY messages.id", room)]


def stored_numbers(d, room="lobby"):
    return [n for n, in query(d, "SELECT number FROM messages JOIN rooms ON rooms.id = room WHERE name = ? "
                                 "ORDER BY messages.id", room)]


def wait_stored(d, texts, room="lobby"):
    wait_for(lambda: stored(d, room) == texts, what="what was said in the database")


def tail(d, room="lobby"):
    """The lines that somebody who comes is shown."""
    c = d.connect()
    c.expect(WELCOME)
    if room != "lobby":
        c.send("/join %s\n" % room)
        c.expect("* You are in %s.\n" % room)
    c.send("/who\n")
    lines = c.expect(re.compile(rb"\* .*in %b: [^\n]*\n" % room.encode())).decode().splitlines()
    c.close()
    return [l for l in lines if not l.startswith("* ")]


def reboot(d, how="kill"):
    """The state is gone, and whoever was there."""
    getattr(d, how)()
    for c in d.clients:
        c.close()
    d.clients = []
    d.forget_store()
