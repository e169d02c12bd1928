#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A cluster whose servers hang, whose clocks differ, and in which somebody says what no node has said."""

import json

from nats import NatsServer, Raw
from nodes import *
from testing import *


@test
def a_restart_does_not_wait_for_a_server_that_hangs():
    """What has not gone out is the next process's, so there is nothing to wait for: not even that the silence is noticed."""
    c = Cluster(2, extra=DEFAULTS + " drain_timeout = 60.0;")
    a, b = (d.join(nick="on-" + d.name) for d in c.nodes)
    talk_to_each_other({"on-a": a, "on-b": b})
    c.servers[0].pause()
    a.send("waits\n")
    began = len(c.nodes[0].log())
    equal(c.nodes[0].ctl("restart")[0], 0)
    log = wait_for(lambda: re.search(r"handing over.*clients? taken over", c.nodes[0].log()[began:], re.S), what="the next process")
    check("NATS is lost: nats" not in log.group(0), log.group(0))
    c.servers[0].go_on()
    for x in (a, b):
        x.expect("on-a: waits\n")
    talk_to_each_other({"on-a": a, "on-b": b})


@test
def who_speaks_in_the_name_of_a_node_silences_nobody():
    """Numbers that the node would give next: what it says then would be taken for known by the others."""
    c = Cluster(3)
    clients = {"on-" + d.name: d.join(nick="on-" + d.name) for d in c.nodes}
    talk_to_each_other(clients)
    a = c.nodes[0]
    with Raw(c.servers[0]) as r:
        for times, (ahead, count) in enumerate([(0, 1), (0, 100), (1000000, 1), (10, 1), (0, 1)], 1):
            talk_to_each_other({n: clients[n] for n in ("on-b", "on-c", "on-a")})
            name, boot, first, n = last_batch(r)
            equal(name, b"a")
            if times == 3:
                a.kill()
            r.store("chatd.s.room.lobby", forged(name, boot, first + n + ahead, count))
            if times == 3:
                a.start()
            wait_for(lambda: a.json("status")["cluster"]["misused"] > 0, what="what was not said there")
            talk_to_each_other(clients)
            check(last_batch(r)[1] != boot)
    status = a.json("status")["cluster"]
    check(status["misused"] >= 3, status)
    check("somebody else spoke in the name of this node" in a.ctl("status")[1])
    equal(a.metric("cluster_misused_messages_total"), status["misused"])
    logged(a, "somebody else speaks as this node in room lobby")
    for d in c.nodes:
        equal(d.json("status")["cluster"]["missing"], 0)


@test
def a_node_has_its_new_name_when_nothing_waits_under_the_old_one():
    c = Cluster(2)
    clients = {"on-" + d.name: d.join(nick="on-" + d.name) for d in c.nodes}
    a, b = c.nodes
    talk_to_each_other(clients)

    def write(*names):
        """They know of each other, and each writes to the other."""
        for d in c.nodes:
            wait_for(lambda: {(k["node"], k["nick"]) for k in d.json("list", "clients", "--all")} == {
                (names[0], "on-a"), (names[1], "on-b")}, what="who is where")
        for x, y in (("on-a", "on-b"), ("on-b", "on-a")):
            mark = os.urandom(4).hex()
            clients[x].send("/msg %s %s\n" % (y, mark))
            clients[y].expect(mark)
            clients[x].expect(mark)

    write("a", "b")
    c.servers[0].kill()
    clients["on-a"].send("waits\n")
    wait_for(lambda: a.json("status")["cluster"]["waiting"] > 0, what="what waits")
    a.kill()
    c.configure(a, node="z")
    a.start()
    equal(a.json("status")["cluster"]["node"], "a")
    logged(a, "<3>cluster: this node is still called a, as 1 line said under that name")
    c.servers[0].start()
    for x in clients.values():
        x.expect("on-a: waits\n")
    talk_to_each_other(clients)
    wait_for(lambda: a.json("status")["cluster"]["waiting"] == 0, what="all to be out")
    for restart in (lambda: a.ctl("restart"), lambda: (a.kill(), a.start())):
        restart()
        wait_for(lambda: (a.tried("status") or {}).get("cluster", {}).get("node") == "z", what="the new name")
        c.wait_connected()
        for x in clients.values():
            hears_nothing(x)
        talk_to_each_other(clients)
    wait_for(lambda: [n["name"] for n in b.json("list", "nodes") if n["here"]] == ["b", "z"], what="the new name there")
    write("z", "b")
    for d in c.nodes:
        equal(d.json("status")["cluster"]["missing"], 0)


@test
def rooms_that_are_not_the_same_on_all_nodes_are_told():
    lobby, den = '{ name = "lobby"; }', '{ name = "den"; members = ( "alice" ); }'
    c = Cluster(2, rooms=lobby + ", " + den)
    a, b = c.nodes
    c.configure(b, rooms=lobby + ', { name = "den"; members = ( "alice", "bob" ); }')
    equal(b.ctl("reload")[0], 0)
    for d, other in ((a, "b"), (b, "a")):
        wait_for(lambda: d.json("status")["cluster"]["differences"] == [{"room": "den", "node": other, "what": "members"}],
                 what="what differs")
        check("room den is not on node %s what it is here: members\n" % other in d.ctl("status")[1])
        equal(d.metric("cluster_differing_rooms"), 1)
    c.configure(b)
    equal(b.ctl("reload")[0], 0)
    for d in c.nodes:
        wait_for(lambda: d.json("status")["cluster"]["differences"] == [], what="all to be the same again")
        logged(d, "cluster: room den is not on node", 1)


@test
def a_server_that_takes_little_hears_who_is_where():
    server = NatsServer(more="max_payload: 2048\n")
    c = Cluster(2, servers=[server])
    crowd = [c.nodes[0].join(nick="on-a-%d" % i) for i in range(60)]
    wait_for(lambda: c.nodes[1].json("list", "rooms")[0]["elsewhere"] == 60, what="those on a")
    c.nodes[1].kill()
    c.nodes[1].start()
    wait_for(lambda: c.nodes[1].json("list", "rooms")[0]["elsewhere"] == 60, what="all of those on a")
    for i in range(40):
        equal(c.nodes[0].ctl("ban", "192.0.2.%d" % i)[0], 0)
    wait_for(lambda: len(c.nodes[1].json("list", "bans")) == 40, what="the bans")
    crowd[0].send("hello\n")
    equal([c.nodes[i].json("status")["cluster"]["unread"] for i in range(2)], [0, 0])
    check("max_payload" not in c.nodes[0].log(), c.nodes[0].log()[-2000:])


if __name__ == "__main__":
    main()
