#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The power goes while chatd stores what is said: the files of its database as a disk could have them then (what was synced,
and any part of what was written later) are given to a chatd that knows nothing else. What it has of each room is what was
said, from the beginning and without a hole, up to some moments before; and it goes on with numbers that no message had.
"""

import bisect
import random
import sqlite3
import struct
import threading

from past import tail
from testing import *

ROOMS = ("lobby", "den")
CONFIG = dict(rooms='{ name = "lobby"; announce_max = 0; history = 20; }, { name = "den"; announce_max = 0; history = 20; }',
              extra='room_defaults: { log_size = "1M"; }; history: { database = "history.db"; };')
FILES = ("history.db", "history.db-wal", "history.db-journal")
SECTOR = 512
WRITE, CUT, SYNC, REMOVE = range(4)
ENTRY = struct.Struct("=QIIQQ")
CUTS = int(os.environ.get("CHATD_HISTORY_CUTS", "120"))
# What was said so long before the cut is there, mostly; and however busy the machine is.
MOSTLY, ALWAYS = 0.1, 3.0


class Room:
    """One who notes what comes and when, while others talk."""

    def __init__(self, d, name):
        self.d, self.name, self.said, self.ended = d, name, 0, threading.Event()
        self.texts, self.times = [], []
        self.listener = d.join(name if name != "lobby" else None)
        self.listener.sock.settimeout(0.2)
        self.talker = d.join(name if name != "lobby" else None, name + "0")
        self.threads = [threading.Thread(target=f) for f in (self.listen, self.talk)]
        for t in self.threads:
            t.start()

    def listen(self):
        until = None
        while until is None or (len(self.texts) < self.said and time.monotonic() < until):
            try:
                self.listener.receive()
            except socket.timeout:
                pass
            now = time.time()
            *lines, rest = bytes(self.listener.buf).split(b"\n")
            self.listener.buf[:] = rest
            for l in lines:
                if l.startswith(self.name.encode() + b"0: "):
                    self.texts.append(l.split(b": ", 1)[1].decode())
                    self.times.append(now)
            if self.ended.is_set() and until is None:
                until = time.monotonic() + PATIENCE

    def talk(self):
        rng = random.Random(self.name)
        while not self.ended.is_set():
            for _ in range(rng.randrange(1, 6)):
                self.talker.send("%s %d %s\n" % (self.name, self.said, "x" * rng.randrange(300)))
                self.said += 1
            while select.select([self.talker.sock], [], [], 0)[0]:
                self.talker.sock.recv(1 << 16)
            time.sleep(rng.random() * 0.01)

    def finish(self):
        self.ended.set()
        for t in self.threads:
            t.join()
        equal(len(self.texts), self.said)


def rows(path):
    """(room, number, epoch, text) of all that was said, in the order in which it was stored."""
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    try:
        return db.execute("SELECT name, number, epochs.epoch, text FROM messages JOIN rooms ON rooms.id = room "
                          "JOIN epochs ON epochs.id = messages.epoch WHERE kind < 2 ORDER BY messages.id").fetchall()
    finally:
        db.close()


def preload(where):
    library = os.path.join(where, "disklog.so")
    p = run("cc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library, os.path.join(SOURCE, "tests", "system", "disklog.c"), "-ldl")
    equal((p.returncode, p.stderr), (0, b""))
    return library


def read_entries(path):
    with open(path, "rb") as f:
        data = f.read()
    entries, at = [], 0
    while at + ENTRY.size <= len(data):
        when, kind, file, offset, size = ENTRY.unpack_from(data, at)
        at += ENTRY.size
        entries.append((when / 1e6, kind, file, offset, data[at:at + size] if kind == WRITE else b""))
        at += size
    equal(at, len(data))
    return entries


class Image:
    """A file as it is on the disk."""

    def __init__(self):
        self.data = None

    def write(self, offset, data, arrives):
        if self.data is None:
            self.data = bytearray()
        at = 0
        while at < len(data):
            n = min(SECTOR - (offset + at) % SECTOR, len(data) - at)
            if arrives():
                if len(self.data) < offset + at + n:
                    self.data.extend(bytes(offset + at + n - len(self.data)))
                self.data[offset + at:offset + at + n] = data[at:at + n]
            at += n

    def cut(self, size):
        self.data = self.data or bytearray()
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))


def files_after(entries, cut, how, rng):
    """The contents when the power goes right before that entry: of what is not synced there is nothing, all, all but the last,
    any of the writes, or any of their sectors."""
    synced = [0] * len(FILES)
    for i, (_, kind, file, _, _) in enumerate(entries[:cut]):
        if kind in (SYNC, REMOVE):
            synced[file] = i + 1
    images = [Image() for _ in FILES]
    for i, (_, kind, file, offset, data) in enumerate(entries[:cut]):
        sure = i < synced[file]
        whole = sure or (False, True, i < cut - 1, rng.random() < 0.5, rng.random() < 0.5)[how]
        if kind == WRITE and (whole or how == 4):
            images[file].write(offset, data, (lambda: rng.random() < 0.5) if how == 4 and not sure else lambda: True)
        elif kind == CUT and whole:
            images[file].cut(offset)
        elif kind == REMOVE:
            images[file].data = None
    return [image.data for image in images]


def after_a_cut(files, library, clock_back, texts, had):
    """Returns how many messages of each room are there."""
    d = Daemon(store=True, start=False, **CONFIG)
    for name, data in zip(FILES, files):
        if data is not None:
            with open(os.path.join(d.dir, name), "wb") as f:
                f.write(data)
    if clock_back:
        d.env.update(LD_PRELOAD=library, CLOCK_BACK="3600")
    d.start()
    path = os.path.join(d.dir, FILES[0])
    wait_for(lambda: d.json("status")["history"]["state"] == "stores", what="storing")
    equal(d.json("status")["history"]["set_aside"], 0)
    there = {room: [t for r, _, _, t in rows(path) if r == room] for room in ROOMS}
    for room in ROOMS:
        equal(there[room], texts[room][:len(there[room])])
        equal([l.split(": ", 1)[1] for l in tail(d, room)], there[room][-20:])
    c = d.join(nick="carol")
    for room in ROOMS:
        c.send("/join %s\nafter all 1\nafter all 2\n" % room)
    wait_for(lambda: [t for _, _, _, t in rows(path)].count("after all 2") == len(ROOMS), what="what is said then in the database")
    for room, number, epoch, text in rows(path):
        equal(had.get((room, number, epoch), text), text)
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    equal(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
    db.close()
    d.finish()
    return {room: len(there[room]) for room in ROOMS}


@test
def the_power_goes():
    if "asan" in BUILD or "tsan" in BUILD:
        raise Skip("LD_PRELOAD and sanitizers don't go together")
    need("cc")
    d = Daemon(store=True, start=False, **CONFIG)
    library, log = preload(d.dir), os.path.join(d.dir, "disk.log")
    d.env.update(LD_PRELOAD=library, DISK_LOG=log)
    d.start()
    rooms = [Room(d, room) for room in ROOMS]
    for _ in range(3):
        time.sleep(2)
        d.kill()
        d.start()
    time.sleep(2)
    for r in rooms:
        r.finish()
    path = os.path.join(d.dir, FILES[0])
    total = sum(r.said for r in rooms)
    wait_for(lambda: len(rows(path)) == total, what="what was said in the database")
    had = {(room, number, epoch): text for room, number, epoch, text in rows(path)}
    equal(len(had), total)
    d.stop()
    entries = read_entries(log)
    check(sum(kind == SYNC and file == 0 for _, kind, file, _, _ in entries) > 2, "no checkpoint was in it")
    texts = {r.name: r.texts for r in rooms}
    rng = random.Random(18)
    cuts = [rng.randrange(1, len(entries)) for _ in range(CUTS)]

    def one(i):
        files = files_after(entries, cuts[i], i % 5, random.Random(i))
        n = after_a_cut(files, library, i // 5 % 2, texts, had)
        missing = 0.0
        for r in rooms:
            # Those that had come to somebody before that moment.
            known = bisect.bisect_left(r.times, entries[cuts[i]][0])
            if n[r.name] < known:
                missing = max(missing, entries[cuts[i]][0] - r.times[n[r.name]])
        return missing

    missing = sorted(side_by_side(one, range(CUTS)))
    note("%d cuts among %d operations; %d messages; what was missing had been said for %.0f ms at most, %.0f ms in 9 of 10" % (
        CUTS, len(entries), total, missing[-1] * 1e3, missing[CUTS * 9 // 10] * 1e3))
    check(missing[CUTS // 2] <= MOSTLY and missing[-1] <= ALWAYS, missing)
    d.clean_up()


main()
