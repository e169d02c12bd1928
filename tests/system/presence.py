#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who is where in a cluster: lists of people on all nodes, names that nobody else has, nodes that go and come back."""

import math
import subprocess

from irc_client import IRC, IRC_EXTRA, SERVER, UNLIMITED, irc_listener, one
from nats import nats_cluster
from nodes import DEFAULTS, Cluster, Network
from past import query, reboot
from testing import *


def listeners(d):
    d.udp = getattr(d, "udp", 0) or free_port(socket.SOCK_DGRAM)
    return ('{ name = "chat"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; },'
            '{ name = "devices"; type = "udp"; mode = "registry"; listen = "127.0.0.1:%d"; room = "lobby"; }' % (d.port, d.udp))


def cluster(n=2, which='"lobby", "den"', **kwargs):
    c = Cluster(n, start=False, which=which, listeners=listeners, **kwargs)
    c.start()
    for d in c.nodes:
        wait_for(lambda: sum(k["here"] for k in d.json("list", "nodes")) == n, what="all nodes know each other")
    return c


def register(d, nick):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", d.udp))
    s.settimeout(PATIENCE)
    s.send(b"#REG " + nick.encode())
    return s, s.recv(1000)


def who(c):
    """The names that /who lists, sorted."""
    c.send("/who\n")
    line = c.expect(re.compile(rb"\* \d+ in \S+: [^\n]*\n")).decode()
    m = re.search(r"\* (\d+) in (\S+): ([^\n]*)\n", line)
    names = sorted(m.group(3).split(", "))
    equal(int(m.group(1)), len(names))
    return names


def sees(c, names):
    wait_for(lambda: who(c) == sorted(names), what="/who to list %s, not %s" % (names, who(c)))


@test
def people_of_all_nodes_are_listed():
    a, b = cluster().nodes
    alice, bob = a.join(nick="alice"), b.join(nick="bob")
    s, answer = register(b, "sensor")
    equal(answer, b"#OK sensor 300\n")
    for c in alice, bob:
        sees(c, ["alice", "bob", "sensor"])
    everybody = a.json("list", "clients", "--all")
    equal(sorted((k["node"], k["nick"], k["room"], k.get("type")) for k in everybody),
          [("a", "alice", "lobby", None), ("b", "bob", "lobby", "tcp"), ("b", "sensor", "lobby", "udp")])
    table = b.ctl("list", "--all")[1]
    check(re.search(r"^NODE +ID +NICK +ROOM +VIA$", table, re.M) and re.search(r"^a +\d+ +alice +lobby +tcp$", table, re.M), table)
    equal([(r["members"], r["elsewhere"]) for r in a.json("list", "rooms") if r["name"] == "lobby"], [(1, 2)])
    equal([k["nick"] for k in a.json("list", "clients")], ["alice"])

    # They move, and go. Nobody is told who is in a room that isn't shared.
    bob.send("/join den\n")
    bob.expect("* You are in den.\n")
    sees(alice, ["alice", "sensor"])
    bob.send("/join own\n")
    bob.expect("* You are in own.\n")
    alice.send("/join own\n")
    alice.expect("* You are in own.\n")
    wait_for(lambda: [k["room"] for k in a.json("list", "clients", "--all") if k["nick"] == "bob"] == [""], what="bob to be nowhere")
    equal(who(alice), ["alice"])
    alice.send("/join lobby\n/msg bob hello\n/msg nobody hello\n")
    alice.expect("* [you -> bob] hello\n")
    alice.expect("* There is nobody by that name here.\n")
    s.send(b"#DEREG")
    sees(alice, ["alice"])

    # Rooms with those of all nodes; those that are only elsewhere, too, but for what isn't shared.
    def rooms(client):
        client.send("/rooms\n/join\n")
        return dict(re.findall(r"(?m)^\* (\w+) \((\d+)\)$", client.expect("* A room's name has").decode()))

    bob.send("/join lobby\n")
    bob.expect("* You are in lobby.\n")
    wait_for(lambda: rooms(alice)["lobby"] == "2", what="bob to be counted")
    carol = b.join(nick="carol")
    carol.send("/join den\n")
    carol.expect("* You are in den.\n")
    wait_for(lambda: rooms(alice).get("den") == "1", what="the room that is elsewhere to be listed")
    carol.send("/join own\n")
    carol.expect("* You are in own.\n")
    wait_for(lambda: "den" not in rooms(alice), what="the room to be gone")
    equal(rooms(alice), {"lobby": "2", "own": "0"})
    carol.close()
    bob.close()
    wait_for(lambda: len(a.json("list", "clients", "--all")) == 1, what="bob to be gone")


@test
def a_name_is_had_once():
    a, b = cluster().nodes
    alice, bob = a.join(nick="alice"), b.join()
    sees(bob, ["alice", next(n for n in who(bob) if n != "alice")])
    guest = next(n for n in who(bob) if n != "alice")
    check(re.fullmatch(r"guest\d+-b", guest), guest)
    for name in "alice", "ALICE", "a1ice", "аlice":
        bob.send("/nick %s\n" % name)
        bob.expect("* %s is taken.\n" % name)
    for name in "guest1", "guest1-a":
        bob.send("/nick %s\n" % name)
        bob.expect("* %s is reserved.\n" % name)
    equal(register(b, "alice")[1], b"#ERR that name is taken\n")
    code, _, err = b.ctl("send", "--as", "Alice", "lobby", "hello")
    check(code == 1 and "nick Alice is in use on node a" in err, code, err)
    alice.send("/nick carol\n")
    sees(bob, ["carol", guest])
    bob.send("/nick alice\n")
    bob.expect("* You are now alice.\n")
    sees(alice, ["carol", "alice"])


@test
def a_node_that_dies_is_gone_with_one_notice():
    c = cluster(3)
    a, b, third = c.nodes
    alice = a.join(nick="alice")
    people = [b.join(nick="p%d" % i) for i in range(5)]
    carol = third.join(nick="carol")
    everybody = ["alice", "carol"] + ["p%d" % i for i in range(5)]
    sees(alice, everybody)
    sees(carol, everybody)
    alice.buf.clear()
    # The service manager starts it again at once: nobody is gone, and nothing is said.
    for i in range(3):
        b.kill()
        b.start()
        equal(who(alice), sorted(everybody))
    equal(b.ctl("restart")[0], 0)
    equal(who(alice), sorted(everybody))
    c.wait_connected()
    people[0].send("/nick p9\n")
    everybody = [n.replace("p0", "p9") for n in everybody]
    sees(alice, everybody)
    equal([l for l in bytes(alice.buf).decode().splitlines() if "gone" in l], [])
    # And this time it is not there any more.
    b.kill()
    alice.expect("* Node b is gone, with 5 people who were here.\n")
    equal(who(alice), ["alice", "carol"])
    carol.expect("* Node b is gone, with 5 people who were here.\n")
    b.start()
    sees(alice, everybody)
    sees(carol, everybody)
    check(b"* Node" not in alice.buf and b"* Node" not in carol.buf, alice.buf, carol.buf)


@test
def a_node_that_ends_in_order_is_gone_at_once():
    a, b = cluster().nodes
    alice, bob = a.join(nick="alice"), b.join(nick="bob")
    sees(alice, ["alice", "bob"])
    bob.send("/quit\n")
    sees(alice, ["alice"])
    bob = b.join(nick="bob")
    sees(alice, ["alice", "bob"])
    b.stop()
    ended = time.monotonic()
    alice.expect("* Node b is gone, with 1 person who was here.\n")
    check(time.monotonic() - ended < 7, "by its silence, of 10 s")
    equal(who(alice), ["alice"])


def with_irc(d):
    d.irc_port = getattr(d, "irc_port", 0) or free_port()
    return listeners(d) + "," + irc_listener(d.irc_port)


def irc_cluster():
    """Two nodes with IRC; who comes and goes is told."""
    c = Cluster(2, start=False, which='"lobby", "den"', listeners=with_irc, rooms='{ name = "lobby"; history = 0; }',
                extra=DEFAULTS.replace("announce_max = 0", "announce_max = 100") + IRC_EXTRA)
    c.start()
    for d in c.nodes:
        wait_for(lambda: sum(k["here"] for k in d.json("list", "nodes")) == 2, what="the nodes know each other")
    return c


@test
def a_private_message_goes_to_another_node_from_irc():
    """As /msg does, once, through the death of the sender's process; the sender is told by an echo, or that nobody is called so."""
    a, b = irc_cluster().nodes
    bob, dave = IRC(b, "bob"), b.join(nick="dave")
    ann = IRC(a, "ann", caps="echo-message")
    wait_for(lambda: one(ann.ask("ISON bob dave"), "303")[-1].strip() == "bob dave", what="node a knows bob and dave")
    ann.line("PRIVMSG bob,dave,nobody :psst")
    equal([l.params for l in ann.settled() if l.command in ("PRIVMSG", "401")],
          [["bob", "psst"], ["dave", "psst"], ["ann", "nobody", "No such nick/channel"]])
    ann.line("PRIVMSG BOB :\1ACTION waves\1")
    for text in "psst", "* waves":
        got = bob.until("PRIVMSG")[-1]
        equal((got.source, got.params), ("ann!ann@chat", ["bob", text]))
    dave.expect("* [ann -> you] psst\n")
    if has_faults():
        a.arm("irc-letter")
        a.kill()
        a.start()
        ann.line("PRIVMSG bob :once")
        a.wait()
        a.start()
        equal(bob.until("PRIVMSG")[-1].params, ["bob", "once"])
    # What asks for no answer, or is none, isn't turned into something else there.
    ann.line("NOTICE bob :no")
    ann.line("PRIVMSG bob :\1VERSION\1")
    ann.line("PRIVMSG bob :last")
    got = bob.until("PRIVMSG")
    equal([l.params for l in got if l.command in ("PRIVMSG", "NOTICE")], [["bob", "last"]])


@test
def a_node_that_is_gone_is_a_netsplit_on_irc():
    """People of it quit in one batch, also for who was being served by a process that died; without batches line by line."""
    a, b = irc_cluster().nodes
    ann, max_, pat = IRC(a, "ann", caps="batch server-time"), IRC(a, "max"), a.join(nick="pat")
    for client in ann, max_:
        client.join("#lobby")
    others = [b.join(nick="p%d" % i) for i in range(5)]
    sees(pat, ["ann", "max", "pat"] + ["p%d" % i for i in range(5)])
    others[-1].send("here\n")
    for client in ann, max_:
        client.until("PRIVMSG")
    # Before that they are told of as far as their node does.
    equal([l.params[1:] for l in ann.ask("ISON p1 nobody") if l.command == "303"], [["p1"]])
    equal([l.params[1:] for l in ann.ask("USERHOST p1") if l.command == "302"], [["p1=+p1@chat"]])
    got = {l.command: l.params[1:] for l in ann.ask("WHOIS p1")}
    equal((got["311"], got["319"], got["312"][:2]), (["p1", "p1", "chat", "*", "p1"], ["p1", "#lobby"], ["p1", "b"]))
    equal([l.params[4:6] for l in ann.ask("WHO p1") if l.command == "352"], [["b", "p1"]])
    everybody = sorted(["ann", "max", "pat"] + ["p%d" % i for i in range(5)])
    equal(sorted(l.params[5] for l in ann.ask("WHO #lobby") if l.command == "352"), everybody)
    equal(sorted(" ".join(l.params[3] for l in ann.ask("NAMES #lobby") if l.command == "353").split()), everybody)
    # By a mask who is in a room with them.
    equal(sorted(l.params[1:6] for l in ann.ask("WHO P*") if l.command == "352"),
          sorted([["#lobby", "pat", "chat", SERVER, "pat"]] + [["#lobby", "p%d" % i, "chat", "b", "p%d" % i] for i in range(5)]))
    eve = IRC(a, "eve")
    equal([l.params[5] for l in eve.ask("WHO p?*") if l.command == "352"], ["pat"])
    equal([l.command for l in ann.ask("WHOWAS p1")], ["406", "369"])
    equal(sorted(l.params[1] + l.params[2] for l in ann.ask("WHO #lobby %ns") if l.command == "354" and l.params[1] == "b"), ["bp%d" % i for i in range(5)])
    b.stop()
    text = pat.expect(re.compile(rb"\* Node b [^\n]*\n")).decode()
    names = sorted(text.rpartition(": ")[2].rstrip(".\n").split(", "))
    check("is gone, with 5 people who were here: p" in text and names == ["p%d" % i for i in range(5)], text)
    equal([l.params[1:] for l in eve.ask("WHOWAS p1") if l.command == "314"], [["p1", "p1", "chat", "*", "p1"]])
    equal([l.params[2] for l in eve.ask("WHOWAS p? 2") if l.command == "312"], ["b", "b"])
    a.kill()
    a.start()
    got = ann.until("BATCH")[-1:]
    equal((got[0].source, got[0].params[0][0], got[0].params[1:]), ("chatd", "+", ["netsplit", "chatd", "b"]))
    batch = got[0].params[0][1:]
    got = ann.until("BATCH")
    equal(got[-1].params, ["-" + batch])
    equal(sorted((l.source, l.command, l.params[0], l.tags["batch"], "time" in l.tags) for l in got[:-1]),
          [("p%d!p%d@chat" % (i, i), "QUIT", "chatd b", batch, True) for i in range(5)])
    got = [l for l in max_.settled() if l.command in ("QUIT", "BATCH")]
    equal(sorted(l.text for l in got), [":p%d!p%d@chat QUIT :chatd b" % (i, i) for i in range(5)])
    check(others)


OPERATORS = DEFAULTS + IRC_EXTRA + UNLIMITED + ' operators = ( { name = "root"; password = "top"; } ); '


def decided_on(d, command="TOPIC #lobby"):
    """What an IRC client there is answered, but for who it is."""
    who = IRC(d, "eye-" + d.name)
    who.join("#lobby")
    got = [(l.command, *l.params[1:]) for l in who.ask(command) if l.command.isdigit() and l.command not in ("315", "329", "366")]
    who.line("QUIT")
    who.until("ERROR")
    return got


def operator(d, nick):
    who = IRC(d, nick)
    who.ask("OPER root top")
    who.join("#lobby")
    return who


def all_agree(nodes, command, want):
    got = []
    for d in nodes:
        wait_for(lambda: want(decided_on(d, command)), what="%s on node %s" % (command, d.name))
        got.append(decided_on(d, command))
    check(got.count(got[0]) == len(got), got)


@test
def a_topic_is_the_same_on_all_nodes():
    """Whoever sets it, also at once; after kills, for a node that was away, and for a new one."""
    c = Cluster(2, start=False, which='"lobby"', listeners=with_irc, extra=OPERATORS)
    c.start()
    a, b = c.nodes

    def is_topic(text):
        return lambda got: [l[2] for l in got if l[0] == "332"] == [text]

    ann, bob, nc = operator(a, "ann"), IRC(b, "bob"), b.join(nick="nc")
    bob.join("#lobby")
    ann.line("TOPIC #lobby :what it is about")
    bob.expect(":ann!ann@chat TOPIC #lobby :what it is about\r\n")
    ann.expect("TOPIC #lobby :what it is about\r\n")
    nc.expect("* ann set the topic: what it is about\n")
    nc.send("/topic\n")
    nc.expect("* The topic of lobby is, by ann: what it is about\n")
    equal([l.command for l in bob.ask("TOPIC #lobby :mine") if l.command.isdigit()], ["482"])
    # Nobody is removed; who may decide is told why, and isn't told to be no operator.
    equal([l.command for l in bob.ask("KICK #lobby nc") if l.command.isdigit()], ["482"])
    equal([l.params for l in ann.ask("KICK #lobby nc")], [["ann", "Nobody can be removed from a channel that several nodes share"]])
    nc.send("/topic mine\n")
    nc.expect("* Only operators of lobby can do that.\n")
    all_agree(c.nodes, "TOPIC #lobby", is_topic("what it is about"))

    # Many at once, and nodes die: of all nodes the last one in the room is what it is.
    eve = operator(b, "eve")
    for i in range(20):
        ann.line("TOPIC #lobby :ann's %d" % i)
        eve.line("TOPIC #lobby :eve's %d" % i)
        if i in (7, 13):
            (a if i == 7 else b).kill()
            (a if i == 7 else b).start()
    for who in ann, eve:
        who.line("PRIVMSG #lobby :done")
    said = nc.expect(": done\n", 30) + nc.expect(": done\n", 30)
    topics = re.findall(rb"(?m)^\* \w+ set the topic: (.*)$", said)
    equal(sorted(topics), sorted(b"%s's %d" % (who, i) for who in (b"ann", b"eve") for i in range(20)))
    all_agree(c.nodes, "TOPIC #lobby", is_topic(topics[-1].decode()))

    # Really stopped: it has no memory of the room, but the stream has.
    b.stop()
    ann.line("TOPIC #lobby :while it was away")
    b.start()
    all_agree(c.nodes, "TOPIC #lobby", is_topic("while it was away"))
    ann.line("TOPIC #lobby :")
    c.add()
    all_agree(c.nodes, "TOPIC #lobby", lambda got: [l[0] for l in got] == ["331"])


@test
def a_node_that_is_back_is_a_netjoin_on_irc():
    """Its people join in one batch, also where other processes told that they quit, and once."""
    a, b = irc_cluster().nodes
    pat = a.join(nick="pat")
    ann, max_ = IRC(a, "ann", caps="batch extended-join"), IRC(a, "max")
    for client in ann, max_:
        client.join("#lobby")
    others = [b.join(nick="p%d" % i) for i in range(5)]
    sees(pat, ["ann", "max", "pat"] + ["p%d" % i for i in range(5)])
    others[4].send("here\n")
    for client in ann, max_:
        client.until("PRIVMSG")
    b.kill()
    pat.expect("* Node b is gone, with 5 people who were here: ")
    equal(ann.until("BATCH")[-1].params[1], "netsplit")
    ann.until("BATCH")
    a.kill()
    a.start()
    b.start()
    got = ann.until("BATCH")
    equal((got[-1].source, got[-1].params[0][0], got[-1].params[1:]), ("chatd", "+", ["netjoin", "chatd", "b"]))
    batch = got[-1].params[0][1:]
    got = ann.until("BATCH")
    equal(got[-1].params, ["-" + batch])
    equal(sorted((l.source, l.command, l.params, l.tags["batch"]) for l in got[:-1]),
          [("p%d!p%d@chat" % (i, i), "JOIN", ["#lobby", "*", "p%d" % i], batch) for i in range(5)])
    pat.expect("* Back on node b: p0, p1, p2, p3, p4.\n")
    got = [l for l in max_.settled() if l.command in ("QUIT", "JOIN", "BATCH")]
    equal([l.text for l in got[5:]], [":p%d!p%d@chat JOIN #lobby" % (i, i) for i in range(5)])
    # Who hears of them for the first time, but said so before, doesn't say it again; and who comes anew joins once.
    a.kill()
    a.start()
    wait_for(lambda: "p0" in who(pat), what="they are known")
    others.append(b.join(nick="p5"))
    got = ann.until("NICK")
    equal([(l.command, l.nick[:7]) for l in got if l.command in ("JOIN", "BATCH")], [("JOIN", "guest6-")])
    equal(got[-1].params, ["p5"])


@test
def monitor_tells_of_people_on_other_nodes():
    """Nobody is gone because this process or the connection to the others is new; who went meanwhile is."""
    c = irc_cluster()
    a, b = c.nodes
    ann = IRC(a, "ann")

    def changes(lines):
        return sorted((l.command, nick) for l in lines if l.command in ("730", "731") for nick in l.params[1].split(","))

    def told(n):
        lines = []
        while len(changes(lines)) < n:
            lines += ann.until("730", "731")
        return changes(lines)

    bob = b.join(nick="bob")
    wait_for(lambda: [l.params[1:] for l in ann.ask("ISON bob") if l.command == "303"] == [["bob"]], what="bob to be known")
    equal(changes(ann.ask("MONITOR + bob,dave,Carol,ce1ine")), [("730", "bob!bob@chat"), ("731", "Carol"), ("731", "ce1ine"), ("731", "dave")])
    bob.send("/nick dave\n")
    equal(told(2), [("730", "dave!dave@chat"), ("731", "bob")])
    carol, other = b.join(nick="carol"), b.join(nick="celine")
    equal(told(1), [("730", "carol!carol@chat")])
    c.servers[0].kill()
    a.kill()
    a.start()
    equal(changes(ann.ask("MONITOR S")), [("730", "Carol"), ("730", "dave"), ("731", "bob"), ("731", "ce1ine")])
    # Who was here is gone at once, wherever else nobody knows.
    second = IRC(a, "bob")
    (command, name), = told(1)
    equal((command, name[:4]), ("730", "bob!"))
    second.line("QUIT")
    equal(told(1), [("731", "bob")])
    bob.close()
    c.servers[0].restart()
    equal(told(1), [("731", "dave")])
    equal(changes(ann.ask("MONITOR S")), [("730", "carol!carol@chat"), ("731", "bob"), ("731", "ce1ine"), ("731", "dave")])
    b.stop()
    equal(told(1), [("731", "carol")])
    check(carol and other)


@test
def modes_are_the_same_on_all_nodes():
    """And hold for whoever is there, by IRC and at nc; after kills, for a node that was away, and for a new one."""
    c = Cluster(2, start=False, which='"lobby"', listeners=with_irc, extra=OPERATORS)
    c.start()
    a, b = c.nodes
    ann, bob, nc = operator(a, "ann"), IRC(b, "bob"), b.join(nick="nc")
    bob.join("#lobby")

    def decide(text, on=ann):
        on.line("MODE #lobby " + text)
        on.expect("MODE #lobby %s\r\n" % text)
        nc.expect("set mode %s\n" % text)

    def refused(command, number, on=bob):
        equal([l.command for l in on.ask(command) if l.command.isdigit()][-1:], [number])

    def silent(why):
        nc.send("hello\n")
        nc.expect("* You can't speak in lobby: %s.\n" % why)

    refused("MODE #lobby +m", "482")
    nc.send("/mode +m\n")
    nc.expect("* Only operators of lobby can do that.\n")
    decide("+m")
    refused("PRIVMSG #lobby :hello", "404")
    silent("it is moderated")
    nc.send("/me waves\n")
    nc.expect("* You can't speak in lobby: it is moderated.\n")
    decide("-m+bbk bob!*@* nc!*@* sesame")
    for d in a, b:
        d.kill()
        d.start()
    refused("PRIVMSG #lobby :hello", "404")
    silent("you are banned")
    for d in a, b:
        refused("JOIN #lobby", "475", IRC(d, "new-" + d.name))
        d.connect().expect("* Room lobby has a key: /join ROOM KEY.")
    decide("-k *")
    decide("+e nc!*@*")
    nc.send("hello\n")
    ann.expect(":nc!nc@chat PRIVMSG #lobby :hello\r\n")
    all_agree(c.nodes, "MODE #lobby b", lambda got: [l[2] for l in got if l[0] == "367"] == ["bob!*@*", "nc!*@*"])

    # Who decides on another node at once, and a node that has no memory of it.
    eve = operator(b, "eve")
    for i in range(10):
        ann.line("MODE #lobby %sCb x%d!*@*" % ("+-"[i % 2], i))
        eve.line("MODE #lobby %sCI y%d!*@*" % ("-+"[i % 2], i))
    for who in ann, eve:
        who.line("PRIVMSG #lobby :done")
    for who in range(2):
        nc.expect(": done\n")
    for letter in "", "b", "e", "I":
        all_agree(c.nodes, "MODE #lobby " + letter, lambda got: got)
    b.stop()
    ann.line("MODE #lobby +Mb z!*@*")
    ann.expect("MODE #lobby +Mb z!*@*\r\n")
    b.start()
    all_agree(c.nodes, "MODE #lobby b", lambda got: "z!*@*" in [l[2] for l in got if l[0] == "367"])
    c.add()
    for letter in "", "b", "e", "I":
        all_agree(c.nodes, "MODE #lobby " + letter, lambda got: letter or "M" in got[0][2])


@test
def a_room_that_people_made_keeps_its_key_on_all_nodes():
    """Also where nobody was in it for longer than rooms last otherwise; and there it is one like any other when the key is gone."""
    linger = OPERATORS.replace("limits: {", "limits: { room_linger = 0.0;")
    c = Cluster(2, start=False, which='"*"', listeners=with_irc, extra=linger)
    c.start()
    a, b = c.nodes
    ann, bob = operator(a, "ann"), IRC(b, "bob")

    def rooms(d):
        return [r["name"] for r in d.json("list", "rooms")]

    ann.join("#den", "#other")
    ann.line("MODE #den +k sesame")
    ann.line("MODE #other +k-k x x")
    wait_for(lambda: {"den", "other"} <= set(rooms(b)), what="both rooms on node b")
    b.kill()
    b.start()
    wait_for(lambda: "other" not in rooms(b), what="the end of a room of which nothing is decided")
    equal([l.command for l in bob.join("#den")], ["475"])
    for line in "JOIN #den sesame", "PART #den":
        bob.line(line)
        bob.expect(" " + line.replace(" sesame", ""))
    ann.line("MODE #den -k *")
    ann.expect("MODE #den -k *\r\n")
    wait_for(lambda: "den" not in rooms(b), what="the end of the other room")


def with_accounts(c, *names):
    """All nodes have the same of them, and log in whoever wants to."""
    path = os.path.join(c.nodes[0].dir, "accounts")
    for name in names:
        add_account(path, name)
    os.chmod(path, 0o644)
    os.chmod(c.nodes[0].dir, 0o755)
    c.listeners = lambda d: with_irc(d).replace('type = "tcp";', 'type = "tcp"; password_file = "%s"; auth = "none";' % path)
    for d in c.nodes:
        c.configure(d)


@test
def operators_are_the_same_on_all_nodes():
    """By account: whoever is logged in as that, on whichever node, by IRC and at nc."""
    c = Cluster(2, start=False, which='"lobby"', extra=OPERATORS)
    a, b = c.nodes
    with_accounts(c, "carl", "dora")
    c.start()
    ann, carl, eve = operator(a, "ann"), b.join(), b.join(nick="eve")
    dora = IRC(b, "dora", password="dora:secret")
    dora.join("#lobby")
    carl.send("/login carl secret\n")
    carl.expect("* You are now carl.\n")
    carl.send("/mode +m\n")
    carl.expect("* Only operators of lobby can do that.\n")
    wait_for(lambda: [l for l in ann.ask("WHOIS carl") if l.command == "330"], what="node a to know who is logged in there")
    # Eve is nobody in particular.
    equal([l.command for l in ann.ask("MODE #lobby +o eve") if l.command.isdigit()], ["696"])
    ann.line("MODE #lobby +ov carl dora")
    carl.expect("* ann set mode +ov carl dora\n")
    carl.send("/mode +m\n")
    carl.expect("* carl set mode +m\n")
    eve.send("hello\n")
    eve.expect("* You can't speak in lobby: it is moderated.\n")
    dora.line("PRIVMSG #lobby :I may")
    ann.expect("PRIVMSG #lobby :I may\r\n")

    def signs(d):
        names = " ".join(l[-1] for l in decided_on(d, "NAMES #lobby") if l[0] == "353").split()
        return sorted(n for n in names if n[0] in "@+")

    for d in c.nodes:
        wait_for(lambda: signs(d) == ["+dora", "@carl"], what="who has a status")
        equal([l[-2][:2] for l in decided_on(d, "WHO #lobby") if l[0] == "352" and l[5] == "carl"], ["H@"])
    for d in a, b:
        d.kill()
        d.start()
    carl.send("/op eve\n")
    carl.expect("* Nobody is logged in as that, and several nodes share lobby.\n")
    carl.send("/kick eve\n")
    carl.expect("* Nobody can be removed from lobby, which several nodes share.\n")
    carl.send("/topic mine\n")
    carl.expect("* carl set the topic: mine\n")
    # A node that has forgotten it, whoever has left it; and who isn't there is no operator any more if so it is decided.
    b.stop()
    b.start()
    carl = b.join(nick="bert")
    carl.send("/login carl secret\n/mode -m\n")
    carl.expect("* carl set mode -m\n")
    carl.close()
    wait_for(lambda: not [l for l in ann.ask("WHOIS carl") if l.command == "311"], what="carl to be gone")
    ann.line("MODE #lobby -o carl")
    ann.expect("MODE #lobby -o carl\r\n")
    carl = a.join()
    carl.send("/login carl secret\n/mode +m\n")
    carl.expect("* Only operators of lobby can do that.\n")


@test
def operators_of_a_room_that_becomes_shared_are_accounts():
    """Who has none is nobody's operator any more: nobody could take that back."""
    c = Cluster(1, start=False, which='"den"', extra=OPERATORS)
    node = c.nodes[0]
    with_accounts(c, "carl")
    c.start()
    ann, bob, carl = operator(node, "ann"), IRC(node, "bob"), IRC(node, "carl", password="carl:secret")
    for who in bob, carl:
        who.join("#lobby")
    ann.ask("MODE #lobby +ovo bob carl carl")

    def names():
        return sorted([l.params[3] for l in ann.ask("NAMES #lobby") if l.command == "353"][0].split())

    equal(names(), ["@bob", "@carl", "ann"])
    c.configure(node, which='"den", "lobby"')
    equal(node.ctl("restart")[0], 0)
    c.wait_connected()
    equal(names(), ["@carl", "ann", "bob"])
    equal([l.command for l in bob.ask("MODE #lobby +m") if l.command.isdigit()], ["482"])
    ann.line("MODE #lobby -ov carl carl")
    ann.expect("MODE #lobby -ov carl carl\r\n")
    equal(names(), ["ann", "bob", "carl"])
    c.finish()


@test
def what_was_decided_comes_back_from_a_nodes_own_database():
    """What is in that isn't taken from the stream again, so nothing of the stream has it."""
    c = Cluster(1, start=False, which='"lobby"', extra=OPERATORS + 'history: { database = "history.db"; };')
    node = c.nodes[0]
    with_accounts(c, "carl")
    c.start()
    ann, carl = operator(node, "ann"), IRC(node, "carl", password="carl:secret")
    carl.join("#lobby")
    for line in "MODE #lobby +ob carl x!*@*", "TOPIC #lobby :one", "TOPIC #lobby :two":
        ann.line(line)
        text = line.rpartition(" ")[2].strip(":").encode()
        wait_for(lambda: any(text in r for r, in query(node, "SELECT record FROM channels")), what="what was decided in the database")
    reboot(node)
    node.start()
    carl = IRC(node, "carl", password="carl:secret")
    got = carl.join("#lobby")
    equal([l.params[-1] for l in got if l.command in ("332", "353")], ["two", "@carl"])
    equal([l[2] for l in decided_on(node, "MODE #lobby b") if l[0] == "367"], ["x!*@*"])
    c.finish()


@test
def of_two_that_were_given_one_name_the_first_keeps_it():
    c = cluster()
    a, b = c.nodes
    first, second, device = a.join(), b.join(), register(b, "gauge")[0]
    wait_for(lambda: len(who(first)) == 3, what="they know each other")
    c.servers[0].kill()
    # Each node forgets the other one after a while, without a word of people.
    wait_for(lambda: len(who(first)) == 1 and len(who(second)) == 2, what="they are apart")
    first.send("/nick zoe\n")
    first.expect("* You are now zoe.\n")
    third = a.join(nick="meter")
    time.sleep(0.1)
    second.send("/nick zoe\n")
    second.expect("* You are now zoe.\n")
    device.send(b"#REG meter")
    wait_for(lambda: device.recv(1000) == b"#OK meter 300\n", what="the device's name")
    c.servers[0].restart()
    second.expect(re.compile(rb"\* zoe is somebody's on another node; you are guest\d+-b\.\n"))
    wait_for(lambda: re.fullmatch(rb"#OK guest\d+-b 300\n", device.recv(1000)), what="the device's name to be given back")
    guests = [k["nick"] for k in b.json("list", "clients")]
    check(all(re.fullmatch(r"guest\d+-b", g) for g in guests), guests)
    sees(first, ["zoe", "meter"] + guests)
    sees(second, ["zoe", "meter"] + guests)
    check(b"* Node" not in first.buf, first.buf)
    third.close()


@test
def who_had_a_name_first_keeps_it_whatever_dies():
    """The holder's node dies, also after somebody elsewhere took the name while the nodes were apart; so does the other one."""
    c = cluster()
    a, b = c.nodes
    first, second = a.join(nick="zoe"), b.join()
    holder, meter = register(a, "meter")[0], register(b, "gauge")[0]
    wait_for(lambda: len(who(second)) == 4, what="they know each other")
    c.servers[0].kill()
    a.kill()
    a.start()
    wait_for(lambda: len(who(second)) == 2, what="they are apart")
    # As it was: in another case it is the same name.
    first.send("/nick Zoe\n")
    first.expect("* You are now Zoe.\n")
    second.send("/nick zoe\n")
    second.expect("* You are now zoe.\n")
    meter.send(b"#REG meter")
    wait_for(lambda: meter.recv(1000) == b"#OK meter 300\n", what="the device's name")
    a.kill()
    a.start()
    b.kill()
    b.start()
    equal(a.ctl("restart")[0], 0)
    c.servers[0].restart()
    second.expect(re.compile(rb"\* zoe is somebody's on another node; you are guest\d+-b\.\n"))
    wait_for(lambda: re.fullmatch(rb"#OK guest\d+-b 300\n", meter.recv(1000)), what="the device's name to be given back")
    guests = [k["nick"] for k in b.json("list", "clients")]
    for one in first, second:
        sees(one, ["Zoe", "meter"] + guests)
    check(b"somebody's" not in first.buf, first.buf)
    holder.settimeout(0.5)
    try:
        while True:
            check(b"guest" not in holder.recv(1000), "the holder's name was taken away")
    except socket.timeout:
        pass


@test
def lists_agree_when_a_cut_network_is_whole_again():
    """A server of NATS beside each node; one is cut off with its node. Each of the others tells of that once. The one
    that is alone with its server notices that nothing can be stored, or that it hears of nobody, whichever is first."""
    network = Network(3)
    try:
        servers = nats_cluster(3, hosts=[network.address(i) for i in range(3)], netns=network.names)
        c = Cluster(3, servers=servers, replicas=3, network=network, extra=DEFAULTS + "limits: { max_clients_per_address = 0; };")
        a, b, third = c.nodes
        people = {d: [d.join(nick="%s%d" % (d.name, i)) for i in range(1 + d.number)] for d in c.nodes}
        one = {d: people[d][0] for d in c.nodes}
        everybody = [k["nick"] for d in c.nodes for k in d.json("list", "clients")]
        equal(len(everybody), 6)
        for d in c.nodes:
            sees(one[d], everybody)
            one[d].buf.clear()

        def gone(d):
            return sorted(l for l in bytes(one[d].buf).decode().splitlines() if re.match(r"\* Node \S+ is gone", l))

        network.cut(2)
        one[a].expect("* Node c is gone, with 3 people who were here.\n", 40)
        one[b].expect("* Node c is gone, with 3 people who were here.\n", 40)
        one[third].expect(re.compile(rb"\* The other nodes can't be reached; .*\n|\* Node [ab] is gone, .*\n"), 40)
        sees(one[a], [n for n in everybody if n[0] != "c"])
        sees(one[third], [n for n in everybody if n[0] == "c"])
        alone = {l[:8] for l in gone(third)}
        check(alone <= {"* Node a", "* Node b"} and len(gone(third)) == len(alone), gone(third))
        equal((gone(a), gone(b)), ([], []))
        # Names of the other side are free; those that are taken on both are the first one's, wherever that is.
        newcomers = {}
        for d, name in (b, "c1"), (third, "a0"), (third, "late"), (a, "late"), (a, "early"), (third, "early"):
            newcomers[d, name] = d.join()
            newcomers[d, name].send("/nick %s\n" % name)
            newcomers[d, name].expect(re.compile(rb"(are|is) now %b\.?\n" % name.encode()))
            time.sleep(0.05)
        network.plug(2)
        losers = (b, "c1"), (third, "a0"), (a, "late"), (third, "early")
        for d, name in losers:
            newcomers[d, name].expect(re.compile(rb"\* %b is somebody's on another node; you are guest\d+-%b\.\n" % (
                name.encode(), d.name.encode())), 60)
        everybody = [k["nick"] for d in c.nodes for k in d.json("list", "clients")]
        equal((len(everybody), len(set(everybody)), sum(n.startswith("guest") for n in everybody)), (12, 12, 4))
        for d in c.nodes:
            sees(one[d], everybody)
            equal(sorted(k["nick"] for k in d.json("list", "clients", "--all")), sorted(everybody))
        equal((gone(a), gone(b)), ([], []))
        check(len(gone(third)) <= 2 and len(set(gone(third))) == len(gone(third)), gone(third))
        c.finish()
    finally:
        network.close()


@test
def bans_hold_on_all_nodes():
    c = cluster(3)
    a, b, third = c.nodes
    equal(a.ctl("ban", "192.0.2.0/24", "1h")[0], 0)
    equal(a.ctl("ban", "127.0.0.2")[0], 0)
    alice = b.connect(host="127.0.0.1")

    def bans(d):
        return sorted(k["address"] for k in d.json("list", "bans"))

    for d in b, third:
        wait_for(lambda: bans(d) == ["127.0.0.2", "192.0.2.0/24"], what="the bans to be known: %s" % bans(d))
    # Others have its end as the file has it.
    until = [[math.ceil(k["until"]) for k in d.json("list", "bans") if "until" in k] for d in c.nodes]
    check(until[0] == until[1] == until[2] != [], until)
    logged(b, "192.0.2.0/24 banned on another node")
    # Whoever is there from that address has to go, on each node.
    alice.expect(WELCOME)
    equal(third.ctl("ban", "127.0.0.1")[0], 0)
    alice.expect("banned")
    wait_for(lambda: "127.0.0.1" in bans(a), what="the ban to be known where it is taken back: %s" % bans(a))
    equal(a.ctl("unban", "127.0.0.1")[0], 0)
    wait_for(lambda: bans(third) == bans(b) == ["127.0.0.2", "192.0.2.0/24"], what="the unban to be known")
    # A node that was away hears of what was said meanwhile, and what it said before stays.
    third.kill()
    equal(a.ctl("unban", "127.0.0.2")[0], 0)
    equal(b.ctl("ban", "2001:db8::/32")[0], 0)
    third.start()
    for d in c.nodes:
        wait_for(lambda: bans(d) == ["192.0.2.0/24", "2001:db8::/32"], what="the bans of all: %s" % bans(d))
    # What it said again was no news.
    for d in b, third:
        logged(d, "192.0.2.0/24 banned on another node", 1)
    check("192.0.2.0/24 banned on another node" not in a.log(), a.log())


@test
def accounts_of_one_node_are_nobodys_on_another():
    c = Cluster(2, start=False, which='"lobby"', listeners=listeners)
    a, b = c.nodes
    path = os.path.join(a.dir, "accounts")

    def passwd(*args):
        equal(subprocess.run([CHATCTL, "passwd", *args], input=b"secret\n", capture_output=True).returncode, 0)

    passwd(path, "alice")
    c.listeners = lambda d: listeners(d).replace(' mode = "chat";', ' mode = "chat"; password_file = "%s";' % path, 1)
    c.configure(a)
    b.spawn()
    b.wait_ready()
    squatter, other = b.join(nick="Alice"), b.join()
    a.spawn()
    a.wait_ready()
    c.wait_connected()
    squatter.expect(re.compile(rb"\* Alice is reserved now; you are guest\d+-b\.\n"))
    other.send("/nick alice\n")
    other.expect("* alice is reserved.\n")
    equal([k["nick"] for k in b.json("list", "clients", "--all") if k["node"] == "a"], [])
    alice = a.join()
    alice.send("/login alice secret\n")
    alice.expect("* You are now alice.\n")
    wait_for(lambda: "alice" in who(other), what="her to be seen")
    # With a reload of its node a name is free again, and another one isn't.
    alice.close()
    passwd("-d", path, "alice")
    passwd(path, "bob")
    equal(a.ctl("reload")[0], 0)

    def renamed(nick):
        other.send("/nick %s\n" % nick)
        return b"now" in other.expect(re.compile(rb"\* (You are now %b|%b is [a-z]+)\.\n" % ((nick.encode(),) * 2)))

    wait_for(lambda: renamed("alice"), what="alice's name to be free")
    wait_for(lambda: not renamed("bob"), what="bob's name to be reserved")


@test
def names_of_accounts_stay_reserved_while_their_node_is_away():
    """Also when the other node is restarted meanwhile, or made from nothing; until that one is back and says otherwise."""
    c = Cluster(2, start=False, which='"lobby"', listeners=listeners, more='reserve_for = "1h";',
                extra=DEFAULTS + "limits: { nick_changes_per_minute = 10000; };")
    a, b = c.nodes
    path = os.path.join(a.dir, "accounts")

    def passwd(*args):
        equal(subprocess.run([CHATCTL, "passwd", *args], input=b"secret\n", capture_output=True).returncode, 0)

    for name in "alice", "bob":
        passwd(path, name)
    c.listeners = lambda d: listeners(d).replace(' mode = "chat";', ' mode = "chat"; password_file = "%s";' % path, 1)
    c.configure(a)
    c.start()

    def try_nick(client, nick):
        client.send("/nick %s\n" % nick)
        return client.expect(re.compile(rb"\* (?:You are now %b|%b is [a-z]+)\.\n" % ((nick.encode(),) * 2))).split()[-1]

    def expect_all(answer, client):
        for nick in "alice", "Bob":
            equal((nick, try_nick(client, nick)), (nick, answer))

    kept = os.path.join(b.dir, "reserved")
    wait_for(lambda: os.path.exists(kept) and open(kept).read().count("\n") == 2, what="the names to be kept")
    equal(os.stat(kept).st_mode & 0o777, 0o600)
    other, zoe = b.join(), a.join(nick="zoe")
    expect_all(b"reserved.", other)

    def nicks_on_a():
        return [k["nick"] for k in b.json("list", "clients", "--all") if k["node"] == "a"]

    wait_for(lambda: nicks_on_a() == ["zoe"], what="she is known")
    for name in "alice", "bob":
        passwd("-d", path, name)
    passwd(path, "carol")
    a.kill()
    wait_for(lambda: nicks_on_a() == [], what="the node to be gone")
    expect_all(b"reserved.", other)
    b.kill()
    b.start()
    expect_all(b"reserved.", other)
    b.stop()
    b.start()
    other = b.join()
    expect_all(b"reserved.", other)
    # It is back, and says something else; and it ends in order, which is the same as dying.
    a.start()
    c.wait_connected()
    wait_for(lambda: try_nick(other, "alice").startswith(b"alice"), what="alice's name to be free")
    equal(try_nick(other, "carol"), b"reserved.")
    a.stop()
    equal(try_nick(other, "carol"), b"reserved.")
    # Who doesn't want that says so.
    c.more, c.listeners = "reserve_for = 0;", listeners
    c.configure(b)
    equal(b.ctl("reload")[0], 0)
    wait_for(lambda: try_nick(other, "carol").startswith(b"carol"), what="carol's name to be free")
    zoe.close()


main()
