#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What IRC clients ask: who is where, who somebody is, which channels there are, and what the server is."""

import time

from irc_client import *


def names(lines):
    """Channel -> the names in it, of all 353, sorted."""
    found = {}
    for params in numerics(lines, "353"):
        found.setdefault(params[1], []).extend(params[2].split())
    return {channel: sorted(found[channel]) for channel in found}


@test
def names_of_a_channel():
    """Who is there, by whatever way, with the status in front; a secret channel's are for those who are in it."""
    d = irc_daemon()
    alice = IRC(d, "alice")
    alice.join("#dev")
    bob = IRC(d, "bob", caps="multi-prefix userhost-in-names")
    equal(names(bob.join("#dev")), {"#dev": ["@alice!ualice@" + host_of(alice), "bob!ubob@" + host_of(bob)]})
    nc = d.join("dev", "n@c")
    equal(names(alice.ask("NAMES #dev")), {"#dev": ["@alice", "bob", "n\uff20c"]})
    equal([line.params for line in alice.ask("NAMES #dev") if line.command == "366"],
          [["alice", "#dev", "End of /NAMES list"]])
    # Whoever knows no better asks for the capitals.
    equal(names(alice.ask("NAMES #DEV")), {"#dev": ["@alice", "bob", "n\uff20c"]})
    # From outside as well, unless it is secret.
    carol = IRC(d, "carol")
    equal(names(carol.ask("NAMES #dev")), {"#dev": ["@alice", "bob", "n\uff20c"]})
    for nothing in "NAMES #nowhere", "NAMES x", "NAMES":
        got = carol.ask(nothing)
        equal([line.command for line in got], ["366"])
    # Several at once.
    bob.join("#two")
    got = alice.ask("NAMES #dev,#two")
    equal({k: len(v) for k, v in names(got).items()}, {"#dev": 3, "#two": 1})
    equal(one(got, "366")[0], "#dev,#two")
    nc.close()


@test
def names_of_many():
    """A channel with many people: as many lines as need be, none too long."""
    d = irc_daemon()
    n = int(400 * SCALE)
    first = IRC(d, "first", caps="userhost-in-names")
    first.join("#many")
    people = [d.join("many", "somebody-with-a-long-name-%d" % i) for i in range(n)]
    got = first.ask("NAMES #many")
    found = names(got)["#many"]
    equal(len(found), n + 1)
    equal(len(set(found)), n + 1)
    check(len(numerics(got, "353")) > n / 10)
    check("somebody-with-a-long-name-0!somebodywith@chat" in found, found[:3])
    equal(len(first.ask("WHO #many")), n + 2)
    for p in people:
        p.close()


@test
def answers_that_have_to_wait():
    """Many long answers for who does not read them yet: each is there in full; one that is too long for any outbox is cut."""
    d = irc_daemon()
    room = "r" * 64
    first = IRC(d, "first")
    first.join("#" + room)
    people = [d.join(room, "n" * 26 + "%06d" % i) for i in range(900)]
    for _ in range(40):
        first.line("WHO #" + room)
    first.line("PING :end")
    for _ in range(40):
        equal(len(numerics(first.until("315"), "352")), 901)
    first.until("PONG")
    # The same with time and label on every line, and in one batch.
    third = IRC(d, "third", caps="server-time batch labeled-response message-tags")
    for i in range(10):
        third.line("@label=%d WHO #%s" % (i, room))
    for i in range(10):
        got = third.until("315") + [third.next()]
        equal((len(numerics(got, "352")), got[0].tags["label"]), (901, str(i)))
        equal([line.params[0][0] for line in got if line.command == "BATCH"], ["+", "-"])
        check(all("time" in line.tags for line in got))
    people += [d.join(room, "n" * 26 + "%06d" % i) for i in range(900, 1600)]
    got = first.ask("WHO #" + room)
    check(900 < len(numerics(got, "352")) < 1601, len(got))
    equal([line.params[-1] for line in got if line.command == "NOTICE"],
          ["There are more people than one answer has space for."])
    equal(got[-1].command, "315")
    # And the names for who comes, whatever is to be read before.
    fourth = IRC(d, "fourth", caps="userhost-in-names")
    for n in range(300, 620, 20):
        come = "JOIN #%s\r\n" % room
        fourth.send((come + ("PING :%s\r\n" % (100 * "x")) * n + "PART #%s\r\n" % room + come + "PART #%s\r\n" % room).encode())
        for _ in range(2):
            got = fourth.until("PART")
            equal(sum(len(p[-1].split()) for p in numerics(got, "353")), 1602)
            equal(len(numerics(got, "366")), 1)
    for p in people:
        p.close()


def host_of(client):
    return one(client.ask("WHOIS " + client.nick), "311")[2]


@test
def who_is_in_a_channel():
    """WHO: of a channel, of a nick, of a mask."""
    d = irc_daemon()
    alice, bob = IRC(d, "alice", realname="Alice of Example"), IRC(d, "bob")
    alice.join("#dev")
    bob.join("#dev")
    nc = d.join("dev", "dave")
    got = bob.ask("WHO #dev")
    replies = sorted(numerics(got, "352"), key=lambda p: p[4])
    equal(replies[0], ["#dev", "ualice", host_of(alice), SERVER, "alice", "H@", "0 Alice of Example"])
    equal(replies[2], ["#dev", "dave", "chat", SERVER, "dave", "H", "0 dave"])
    equal(one(got, "315"), ["#dev", "End of /WHO list"])
    equal(len(replies), 3)
    for mask, who in (("alice", ["alice"]), ("ALICE", ["alice"]), ("al*", ["alice"]), ("*", ["alice", "bob", "dave"]),
                      ("*!ual*@*", ["alice"]), ("*of Example", []), ("?ob", ["bob"]), ("nobody", []), ("x*", []),
                      ("#nowhere", []), ("chat*", ["dave"])):
        got = bob.ask("WHO " + mask)
        equal(sorted(p[4] for p in numerics(got, "352")), who)
        equal(got[-1].params[1], mask.split()[0])
    equal(sorted(p[4] for p in numerics(bob.ask("WHO :*of Example"), "352")), ["alice"])
    # A nick that no channel is shared with.
    carol = IRC(d, "carol")
    equal(numerics(carol.ask("WHO alice"), "352")[0][0], "*")
    equal(numerics(bob.ask("WHO alice"), "352")[0][0], "#dev")
    nc.close()


@test
def whox():
    """The fields come in the order of the specification, whatever order they were asked in."""
    d = irc_daemon()
    alice, bob = IRC(d, "alice", realname="Alice of Example"), IRC(d, "bob")
    alice.join("#dev")
    bob.join("#dev")
    host = host_of(alice)
    full = ["123", "#dev", "ualice", "255.255.255.255", host, SERVER, "alice", "H@", "0", "0", "0", "n/a", "Alice of Example"]
    for fields in "tcuihsnfdlaor", "roaldfnshiuct":
        got = one(bob.ask("WHO alice %%%s,123" % fields), "354")
        got[9] = "0"  # how long it is idle
        equal(got, full)
    equal(one(bob.ask("WHO alice %tn,42"), "354"), ["42", "alice"])
    equal(one(bob.ask("WHO alice %na"), "354"), ["alice", "0"])
    equal(one(bob.ask("WHO alice %r"), "354"), ["Alice of Example"])
    equal(sorted(p[0] for p in numerics(bob.ask("WHO #dev %n"), "354")), ["alice", "bob"])
    # Operators only.
    equal(numerics(bob.ask("WHO #dev o"), "352"), [])
    equal(numerics(bob.ask("WHO #dev o%n"), "354"), [])
    # A token that is none.
    equal(one(bob.ask("WHO alice %tn,4x2"), "354"), ["0", "alice"])


@test
def whois():
    d = irc_daemon()
    alice, bob = IRC(d, "alice", realname="Alice of Example"), IRC(d, "bob")
    alice.join("#one", "#two")
    got = bob.ask("WHOIS Alice")
    equal([line.command for line in got], ["311", "319", "312", "317", "318"])
    user = one(got, "311")
    equal((user[:2], user[3:]), (["alice", "ualice"], ["*", "Alice of Example"]))
    equal(sorted(one(got, "319")[1].split()), ["@#one", "@#two"])
    equal(one(got, "312"), ["alice", SERVER, "ExampleNet"])
    idle = one(got, "317")
    check(0 <= int(idle[1]) < PATIENCE and abs(time.time() - int(idle[2])) < PATIENCE, idle)
    equal(one(got, "318")[0], "Alice")
    equal(len(bob.ask("WHOIS %s alice" % SERVER)), 5)
    got = bob.ask("WHOIS nobody")
    equal([line.params[1:] for line in got], [["nobody", "No such nick/channel"], ["nobody", "End of /WHOIS list"]])
    equal([line.command for line in bob.ask("WHOIS")], ["431"])
    # Somebody by nc, whose nick IRC can't have; typed as it is shown.
    nc = d.join("one", "d@ve")
    got = bob.ask("WHOIS d\uff20ve")
    equal(one(got, "311"), ["d\uff20ve", "dve", "chat", "*", "d@ve"])
    equal(one(got, "319"), ["d\uff20ve", "#one"])
    nc.close()


@test
def whois_over_tls():
    """Whose connection is secure is told, also by the next process."""
    d = Daemon(start=False)
    tls = free_port()
    irc_daemon(d=d, listeners="""{ name = "secure"; type = "tcp"; mode = "irc"; listen = "127.0.0.1:%d";
      tls_certificate = "%s"; tls_key = "%s"; }""" % (tls, *tls_files(d.dir)))
    alice, bob = IRC(d, "alice", sock=tls_connect(d, tls).sock), IRC(d, "bob")
    for _ in range(2):
        equal(one(bob.ask("WHOIS alice"), "671"), ["alice", "is using a secure connection"])
        equal(numerics(alice.ask("WHOIS bob"), "671"), [])
        equal(d.ctl("restart")[0], 0)


@test
def rooms_that_are_not_for_all():
    """A room for its members only tells nobody else who is there, nor that it is."""
    d = Daemon(start=False)
    accounts = d.dir + "/accounts"
    for account in "ann", "zoe":
        add_account(accounts, account)
    d.irc_port = free_port()
    with_rooms = '{ name = "lobby"; }, { name = "board"; members = ( "ann", "zoe" ); }'
    d.write_config(with_rooms, irc_listener(d.irc_port, 'password_file = "%s";' % accounts) + """,
        { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; auth = "password";
          password_file = "%s"; }""" % (d.port, accounts), IRC_EXTRA + ' operators = ( { name = "root"; password = "toor"; } );')
    d.start()
    nc = d.connect()
    nc.send("/login ann secret\n/join board\n")
    nc.expect("You are in board.")
    bob = IRC(d, "bob")
    equal(names(bob.ask("NAMES #board")), {})
    equal(numerics(bob.ask("WHO #board"), "352"), [])
    equal(numerics(bob.ask("LIST"), "322"), [])
    got = bob.ask("WHOIS ann")
    equal(numerics(got, "319"), [])
    equal(one(got, "330")[:2], ["ann", "ann"])
    # Without +n, others still can't say anything there.
    zoe = IRC(d, "zoe", password="zoe:secret")
    zoe.join("#board")
    zoe.ask("OPER root toor")
    zoe.line("MODE #board -n")
    nc.expect("* zoe set mode -n\n")
    equal([line.command for line in bob.ask("PRIVMSG #board :hello")], ["404"])
    zoe.line("PART #board")
    zoe.ask("PRIVMSG #board :as a member")
    equal(nc.expect("zoe: as a member\n").count(b"hello"), 0)
    nc.send("/join lobby\n")
    nc.expect("You are in lobby.")
    equal(one(bob.ask("WHOIS ann"), "319"), ["ann", "#lobby"])
    nc.close()


@test
def whowas():
    """The newest first, at most so many as are asked for; the living are not there."""
    d = irc_daemon()
    alice = IRC(d, "alice")
    for user in "first", "second":
        bob = IRC(d, "bob", user=user)
        bob.line("QUIT :bye")
        bob.rest()
    equal([p[1] for p in numerics(alice.ask("WHOWAS bob"), "314")], ["second", "first"])
    equal([p[1] for p in numerics(alice.ask("WHOWAS BOB 1"), "314")], ["second"])
    for count in "0", "-1", "x":
        equal([p[1] for p in numerics(alice.ask("WHOWAS bob " + count), "314")], ["second", "first"])
    equal([p[1] for p in numerics(alice.ask("WHOWAS b*"), "314")], ["second", "first"])
    got = alice.ask("WHOWAS alice")
    equal([line.command for line in got], ["406", "369"])
    equal([line.command for line in alice.ask("WHOWAS")], ["461"])
    # And who is called otherwise.
    alice.line("NICK alicia")
    equal([p[0] for p in numerics(alice.ask("WHOWAS alice"), "314")], ["alice"])
    # Who never registered was nobody.
    IRC(d).line("NICK carol")
    equal([line.command for line in alice.ask("WHOWAS carol")], ["406", "369"])


@test
def lists():
    """LIST and its conditions."""
    d = irc_daemon()
    alice, bob = IRC(d, "alice"), IRC(d, "bob")

    def listed(condition=""):
        got = alice.ask("LIST " + condition)
        equal((got[0].command, got[-1].command), ("321", "323"))
        return {p[0]: int(p[1]) for p in numerics(got, "322")}

    equal(listed(), {})
    alice.join("#one", "#two")
    bob.join("#two")
    nc = d.join("three", "dave")
    for condition, which in (("", "one two three"), ("#one", "one"), ("#ONE", "one"), ("#t*", "two three"),
                             ("!#t*", "one"), ("#one,#two", "one two"), ("#t*,!*o", "three"), (">1", "two"), ("<2", "one three"),
                             ("<1", ""), ("<2,#t*", "three"), (">0", "one two three"), ("C<1", "one two three"), ("C>1", ""),
                             ("C<0", ""), ("C<99999999999999999999", "one two three"), ("T<10", ""), ("T>0", ""),
                             ("#none", "")):
        equal((condition, set(listed(condition))), (condition, {"#" + r for r in which.split()}))
    equal(listed()["#two"], 2)
    nc.close()


@test
def what_is_not_for_all():
    """A secret channel and who is invisible are there for those who are with them; a bot is shown as one."""
    d = irc_daemon()
    alice, bob, carol = IRC(d, "alice"), IRC(d, "bob"), IRC(d, "carol")
    alice.join("#dev", "#open")
    bob.join("#dev")
    carol.join("#other")
    alice.ask("MODE #dev +sv bob")
    got = bob.ask("NAMES #dev")
    equal((numerics(got, "353")[0][0], names(got)), ("@", {"#dev": ["+bob", "@alice"]}))
    for question in "NAMES #dev", "WHO #dev":
        equal(len(carol.ask(question)), 1)
    # Nor are those who are kept out or let in.
    alice.ask("MODE #dev +bI eve!*@* dave!*@*")
    for question in "b", "e", "I":
        equal([l.command for l in carol.ask("MODE #dev " + question)], ["442"])
        check("442" not in [l.command for l in bob.ask("MODE #dev " + question)])
    equal(sorted(p[0] for p in numerics(carol.ask("LIST"), "322")), ["#open", "#other"])
    equal(sorted(p[0] for p in numerics(bob.ask("LIST"), "322")), ["#dev", "#open", "#other"])
    equal(one(carol.ask("WHOIS alice"), "319"), ["alice", "@#open"])
    equal(sorted(one(bob.ask("WHOIS alice"), "319")[1].split()), ["@#dev", "@#open"])
    # Both statuses, for who can show them.
    alice.ask("MODE #dev +v alice")
    equal(names(bob.ask("NAMES #dev")), {"#dev": ["+bob", "@alice"]})
    dave = IRC(d, "dave", caps="multi-prefix")
    dave.join("#dev")
    equal(names(dave.ask("NAMES #dev")), {"#dev": ["+bob", "@+alice", "dave"]})
    equal(sorted(p[5] for p in numerics(dave.ask("WHO #dev"), "352")), ["H", "H+", "H@+"])

    alice.ask("MODE alice +i")
    equal(numerics(carol.ask("WHO al*"), "352"), [])
    equal(len(numerics(carol.ask("WHO alice"), "352")), 1)
    equal(len(numerics(bob.ask("WHO al*"), "352")), 1)
    equal(len(numerics(alice.ask("WHO al*"), "352")), 1)
    equal(names(carol.ask("NAMES #open")), {})
    equal(numerics(carol.ask("WHO #open"), "352"), [])
    equal(numerics(carol.ask("LUSERS"), "251"), [["There are 3 users and 1 invisible on 1 servers"]])
    carol.join("#open")
    equal(names(carol.ask("NAMES #open")), {"#open": ["@alice", "carol"]})
    equal(len(numerics(carol.ask("WHO al*"), "352")), 1)

    alice.ask("MODE alice +B")
    equal(one(bob.ask("WHOIS alice"), "335"), ["alice", "is a bot"])
    equal([p[5] for p in numerics(bob.ask("WHO alice"), "352")], ["H@B"])


@test
def operators():
    """They are shown as such, and see what is not for all."""
    d = irc_daemon(extra='operators = ( { name = "root"; password = "secret"; } ); ')
    alice, bob = IRC(d, "alice"), IRC(d, "bob")
    alice.join("#dev")
    alice.ask("MODE #dev +s")
    alice.ask("MODE alice +i")
    equal(numerics(bob.ask("LIST"), "322"), [])
    check("381" in [line.command for line in bob.ask("OPER root secret")])
    equal([p[0] for p in numerics(bob.ask("LIST"), "322")], ["#dev"])
    equal(names(bob.ask("NAMES #dev")), {"#dev": ["@alice"]})
    equal([p[5] for p in numerics(bob.ask("WHO al*"), "352")], ["H"])
    equal(one(bob.ask("WHOIS alice"), "319"), ["alice", "@#dev"])
    equal(one(alice.ask("WHOIS bob"), "313"), ["bob", "is an IRC operator"])
    equal([p[5] for p in numerics(alice.ask("WHO bob"), "352")], ["H*"])
    equal([p[4] for p in numerics(alice.ask("WHO * o"), "352")], ["bob"])
    check(one(alice.ask("USERHOST bob"), "302")[0].startswith("bob*=+"))
    equal(one(alice.ask("LUSERS"), "252")[0], "1")
    equal([p[3] for p in numerics(bob.ask("STATS o"), "243")], ["root"])


@test
def topics_in_the_list():
    """LIST tells the topic, and finds channels by how old that is."""
    d = irc_daemon()
    alice = IRC(d, "alice")
    alice.join("#one", "#two")
    alice.ask("TOPIC #one :What it is about")
    equal(sorted(numerics(alice.ask("LIST"), "322")), [["#one", "1", "What it is about"], ["#two", "1", ""]])
    for condition, which in (("T<10", ["#one"]), ("T>10", []), ("T<10,!#one", [])):
        equal([p[0] for p in numerics(alice.ask("LIST " + condition), "322")], which)


@test
def ison_and_userhost():
    d = irc_daemon()
    alice, bob = IRC(d, "alice"), IRC(d, "bob")
    nc = d.join(nick="dave")
    equal(one(alice.ask("ISON bob nobody DAVE alice"), "303"), ["bob dave alice"])
    equal(one(alice.ask("ISON :nobody  bob"), "303"), ["bob"])
    equal(one(alice.ask("ISON nobody"), "303"), [""])
    equal([line.command for line in alice.ask("ISON")], ["461"])
    equal(one(alice.ask("USERHOST bob dave nobody"), "302"), ["bob=+ubob@%s dave=+dave@chat" % host_of(bob)])
    # Who has not registered isn't here.
    carol = IRC(d)
    carol.line("NICK carol")
    carol.line("PING x")
    equal(one(alice.ask("ISON carol"), "303"), [""])
    equal([line.command for line in alice.ask("WHOIS carol")], ["401", "318"])
    many = " ".join("x%d" % i for i in range(40))
    equal(one(alice.ask("ISON %s bob" % many), "303"), ["bob"])
    nc.close()


@test
def after_a_restart():
    """The next process tells of the same people, in the same channels, with the same status."""
    d = irc_daemon(store=True)
    alice, bob = IRC(d, "alice", realname="Alice of Example"), IRC(d, "bob")
    alice.join("#one", "#two")
    bob.join("#one")
    nc = d.join("one", "dave")
    questions = "NAMES #one", "WHO #one", "WHO alice %tcuhsnfar", "LIST", "ISON alice dave", "USERHOST alice dave", "LUSERS"

    def answers():
        lines = [line for line in bob.ask("WHOIS alice") if line.command != "317"]
        lines += [line for question in questions for line in bob.ask(question)]
        # In whatever order.
        return sorted(" ".join(sorted(line.text.replace(":", "").split())) for line in lines)
    before = answers()
    check(any("@#one" in text for text in before), before)
    d.kill()
    d.start()
    equal(answers(), before)
    nc.close()


@test
def lusers():
    d = irc_daemon()

    def counted(client):
        got = client.ask("LUSERS")
        equal([line.command for line in got], ["251", "252", "253", "254", "255", "265", "266"])
        users, invisible = re.match(r"There are (\d+) users and (\d+) invisible on 1 servers", one(got, "251")[0]).groups()
        equal(one(got, "255"), ["I have %d clients and 0 servers" % (int(users) + int(invisible))])
        return int(users), int(invisible), int(one(got, "252")[0]), int(one(got, "253")[0]), int(one(got, "266")[1])
    alice = IRC(d, "alice")
    equal(numerics(alice.welcome, "251"), [["There are 1 users and 0 invisible on 1 servers"]])
    equal(counted(alice), (1, 0, 0, 0, 1))
    bob = IRC(d)
    bob.line("NICK bob")
    bob.line("PING x")
    wait_for(lambda: counted(alice) == (1, 0, 0, 1, 1), what="who has not registered")
    bob.line("USER u 0 * :r")
    bob.until("422")
    equal(counted(alice), (2, 0, 0, 0, 2))
    bob.line("QUIT")
    bob.rest()
    equal(counted(alice), (1, 0, 0, 0, 2))
    nc = d.join(nick="dave")
    equal(counted(alice), (2, 0, 0, 0, 2))
    nc.close()


@test
def what_the_server_says():
    """MOTD, VERSION, TIME, INFO, ADMIN, STATS, LINKS, and another server, which there isn't."""
    d = irc_daemon(start=False)
    motd = d.dir + "/motd"
    with open(motd, "w") as f:
        f.write("Welcome\n\n" + "x" * 600 + "\n")
    d.write_config("", d.listeners, IRC_EXTRA + UNLIMITED + ' motd_file = "%s"; admin = ( "Example Ltd.", "irc@example.org" );' % motd)
    d.start()
    alice = IRC(d, "alice")
    got = alice.ask("MOTD")
    equal([line.command for line in got], ["375", "372", "372", "372", "376"])
    equal(numerics(got, "372")[0], ["- Welcome"])
    equal(one(alice.ask("VERSION"), "351")[1], SERVER)
    check(re.fullmatch(r"\w+, [ \d]\d \w+ \d{4} \d\d:\d\d:\d\d UTC", one(alice.ask("TIME"), "391")[1]))
    got = alice.ask("INFO")
    check(len(numerics(got, "371")) > 0 and got[-1].command == "374")
    got = alice.ask("ADMIN")
    equal([line.params[1:] for line in got], [[SERVER, "Administrative info"], ["Example Ltd."], ["irc@example.org"]])
    got = alice.ask("STATS u")
    check(re.fullmatch(r"Server Up 0 days 0:0\d:\d\d", one(got, "242")[0]), got)
    equal(one(got, "219"), ["u", "End of /STATS report"])
    equal([line.command for line in alice.ask("STATS x")], ["219"])
    equal([line.command for line in alice.ask("STATS o")], ["481", "219"])
    equal([line.command for line in alice.ask("LINKS")], ["365"])
    for here in SERVER, "*.example.org", "alice":
        equal([line.command for line in alice.ask("VERSION " + here)], ["351"])
    for command in "VERSION", "TIME", "INFO", "ADMIN", "STATS u":
        equal([line.params[1:] for line in alice.ask(command + " irc.example.net")],
              [["irc.example.net", "No such server"]])
    d.write_config("", d.listeners, IRC_EXTRA + UNLIMITED)
    equal(d.ctl("reload")[0], 0)
    wait_for(lambda: alice.ask("ADMIN")[0].command == "423", what="no administrative info")
    equal([line.command for line in alice.ask("MOTD")], ["422"])


@test
def a_pong_comes_after_what_was_said():
    """What was said before somebody asks is there before the answer, on whichever worker who said it is."""
    d = irc_daemon(workers=4)
    people = [IRC(d, "p%d" % i) for i in range(5)]
    for p in people:
        p.join("#dev")
    for p in people:
        p.settled()
    for i in range(int(400 * SCALE)):
        speaker = people[i % len(people)]
        speaker.line("PRIVMSG #dev :%d" % i)
        speaker.line("PING x")
        speaker.until("PONG")
        for p in people:
            if p != speaker:
                p.line("PING x")
        for p in people:
            if p != speaker:
                equal([line.params[-1] for line in p.until("PONG")], [str(i), "x"])


@test
def isupport():
    """What is promised is true: the limits, the prefix, the network."""
    d = irc_daemon()
    alice = IRC(d, "alice")
    tokens = [t for p in numerics(alice.welcome, "005") for t in p[:-1]]
    equal(len(tokens), len(set(t.partition("=")[0] for t in tokens)))
    for p in numerics(alice.welcome, "005"):
        check(len(p) - 1 <= 13 and p[-1] == "are supported by this server", p)
    check(not any(t.startswith("MONITOR") for t in tokens) or alice.ask("MONITOR L")[0].command != "421", tokens)
    for token in "NETWORK=ExampleNet", "CASEMAPPING=ascii", "CHANTYPES=#", "UTF8ONLY", "WHOX", "NICKLEN=32", "CHANNELLEN=65":
        check(token in tokens, token, tokens)
    # As long as is said, and no longer.
    alice.line("NICK " + "n" * 32)
    equal(alice.settled()[-1].command, "NICK")
    alice.line("NICK " + "n" * 33)
    equal(alice.settled()[-1].command, "432")
    equal(alice.join("#" + "c" * 64)[-1].command, "366")
    check(alice.join("#" + "c" * 65)[-1].command in ("403", "476"))


@test
def helps():
    d = irc_daemon()
    alice = IRC(d, "alice")
    for command in "HELP", "HELPOP":
        got = alice.ask(command)
        equal((got[0].command, got[-1].command), ("704", "706"))
        words = " ".join(p[1] for p in numerics(got, "705")).split()
        check({"PRIVMSG", "REGISTER", "REHASH", "TAGMSG"} <= set(words), words)
        # For each there is help, and each is a command.
        for word in words:
            got = alice.ask("%s %s" % (command, word.lower()))
            equal([line.command for line in got], ["704", "706"])
            equal(got[0].params[1], word.lower())
        equal(alice.ask(command + " NOTHING")[0].params[1:], ["NOTHING", "No help available on this topic"])


COSTS = """ limits: { max_clients_per_address = 0; lines_per_second = 0; bytes_per_second = 0; max_rooms_per_address = 0; };"""


def slowed(d, c, text):
    """How often it has to wait if it sends all of that at once."""
    before = d.metric("rate_pauses_total")
    c.line(text)
    c.settled()
    return d.metric("rate_pauses_total") - before


@test
def commands_cost_what_they_do():
    """Each of these is within commands_per_second, if it counted as one that looks at little does."""
    d = irc_daemon(extra=COSTS)
    owner = IRC(d, "owner")
    people = [d.connect() for _ in range(300)]
    channels = ["#c%d" % i for i in range(10)]
    owner.join(*channels)
    for nick, text in (("who", "WHO *x*\r\n" * 3 + "WHO *x*"), ("names", "NAMES %s\r\n" % ",".join(channels) * 4 + "NAMES #c0"),
                       ("room", "WHO #lobby\r\n" * 3 + "WHO #lobby")):
        check(slowed(d, IRC(d, nick), text) > 0, nick)
    # Who asks for little doesn't wait.
    equal(slowed(d, IRC(d, "few"), "WHO nobody\r\n" * 3 + "NAMES #c0"), 0)
    for p in people:
        p.close()


@test
def who_comes_back_does_not_wait():
    """A hundred channels at once, with whatever lines, and then PING; only who joins and parts them over and over waits."""
    d = irc_daemon(extra=COSTS)
    channels = ["#channel-%d" % i for i in range(100)]
    joins = ["JOIN " + ",".join(channels[i:i + 25]) for i in range(0, 100, 25)]
    parts = [line.replace("JOIN", "PART") for line in joins]
    for nick, lines in (("single", ["JOIN " + c for c in channels]), ("lists", joins)):
        c = IRC(d, nick)
        equal(slowed(d, c, "\r\n".join(lines) + "\r\nPING back"), 0)
        equal(len(numerics(c.lines, "366")), 100)
    # All of it is done, however long it takes.
    n = 0
    while slowed(d, c, "%s\r\n%s" % (parts[0], joins[0])) == 0:
        n += 1
        check(n < 50)
    equal(len(numerics(c.lines, "366")), 100 + 25 * (n + 1))
    equal(sum(len(p[1].split()) for p in numerics(c.ask("WHOIS lists"), "319")), 100)


main()
