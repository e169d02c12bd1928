# SPDX-License-Identifier: MIT
"""
The shape `history` of ./dev bench: what it costs who talks that everything is stored, side by side with a chatd that stores
nothing; how much is stored when as much is said as possible, or as much as was promised; and the memory for a room.
"""

import re
import statistics
import subprocess
import time

STORES = 'history: { database = "DIR/history.db"; };'


def off():
    return BENCH.chatd("no history", 1)


def on():
    return BENCH.chatd("history", 1, more=STORES)


def without_index():
    return BENCH.chatd("history, no index", 1, more=STORES.replace("; }", "; search = false; }"))


def metrics(server):
    text = subprocess.run([BENCH.BUILD + "/chatctl", "-s", server.dir + "/socket", "metrics"], capture_output=True, text=True).stdout
    return {k: float(v) for k, v in re.findall(r"^chatd_history_(\w+) ([\d.e+-]+)$", text, re.M)}


def storing(title, rooms, publishers, rate):
    """What is stored a second while people talk, and afterwards until all of it is."""
    print("\n## " + title)
    for make in (on, without_index):
        rows = {"stored while they talked": [], "said": [], "lost": [], "behind at the end": []}
        for _ in range(BENCH.options.runs):
            s = make()
            try:
                before, began = metrics(s), time.monotonic()
                load = BENCH.Load(s, "fanout", s.protocol, s.port, rooms, publishers, 1, 64, 1000, rate, BENCH.options.seconds, 0)
                took = load.result["seconds"]
                after = metrics(s)
                until = time.monotonic() + 60
                while metrics(s)["waiting_messages"] > 0 and time.monotonic() < until:
                    time.sleep(0.02)
                end = metrics(s)
                total = end["stored_messages_total"] + end["lost_messages_total"]
                rows["stored while they talked"].append(after["stored_messages_total"] / took / 1e3)
                rows["said"].append(total / took / 1e3)
                rows["lost"].append(end["lost_messages_total"] / total * 100)
                rows["behind at the end"].append(after["waiting_messages"] / 1e3)
            finally:
                s.close()
        units = ("k/s", "k/s", "%", "k")
        print("%-20s %s" % (s.name, "; ".join("%s %s %s" % (k, BENCH.spread(v, "%.1f"), u) for (k, v), u in zip(rows.items(), units))),
              flush=True)
        BENCH.results.setdefault(title, {})[s.name] = rows


def memory_of_a_room():
    """From the difference that rooms make, so that what there is once doesn't count."""
    print("\n## memory for a room, kB")
    for make in (off, on):
        per_room = []
        for _ in range(BENCH.options.runs):
            at = []
            for rooms in (500, 3000):
                s = make()
                try:
                    at.append(BENCH.fanout(rooms, 1, 0, 64, 1, rate=1)(s).memory)
                finally:
                    s.close()
            per_room.append((at[1] - at[0]) / 2500 / 1024)
        print("%-20s %s" % (s.name, BENCH.spread(per_room, "%.2f")), flush=True)
        BENCH.results.setdefault("memory for a room, kB", {})[s.name] = per_room


def run(bench):
    global BENCH
    BENCH = bench
    bench.shape("history (a) 1 publisher -> 1000 subscribers, 64 bytes, 1000 in flight", [off, on],
                bench.fanout(1, 1, 1000, 64, 1000), [bench.RATE, bench.COST])
    bench.shape("history (b) 1 -> 1000, one message at a time", [off, on], bench.fanout(1, 1, 1000, 64, 1),
                [bench.RATE, bench.COST, bench.P50])
    storing("history: 200,000 messages a second in 20 rooms", 20, 1, 10000)
    storing("history: as many messages as possible in 20 rooms", 20, 4, 0)
    memory_of_a_room()
