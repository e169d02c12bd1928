#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A cluster as an admin sees it: its configuration, and what chatctl says of it."""

from nats import NatsServer
from nodes import need_cluster
from testing import *


def cluster(node="a", servers='"nats://127.0.0.1:1"', rest=""):
    return "cluster: { node = \"%s\"; servers = ( %s ); %s };" % (node, servers, rest)


@test
def mistakes_are_told():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "secret")

    def complaint(text):
        d.write_config(extra="\n" + text)
        p = run(CHATD, "--check", d.config)
        equal(p.returncode, 1)
        return p.stdout.decode() + p.stderr.decode()

    check("a cluster needs the name of this node" in complaint('cluster: { servers = ( "nats://a" ); };'))
    check("servers: a user and a password have settings" in complaint(cluster(servers='"nats://me:geheim@a"')))
    check("geheim" not in complaint(cluster(servers='"nats://me:geheim@a"', rest='user = "me"; password = "geheim";')))
    check(re.search(r"chatd\.conf:\d+: %s can't be read: No such file" % path, complaint(cluster(rest='token_file = "%s";' % path))))
    check("replicas must be 1, 3 or 5" in complaint(cluster(rest="replicas = 2;")))
    check('"lob*" is neither the name of a room nor' in complaint(cluster(rest='rooms = ( "lob*" );')))


@test
def secrets_are_judged_with_the_eyes_of_chatd():
    need_cluster()
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    d = Daemon(start=False)
    path = os.path.join(d.dir, "token")
    os.chmod(d.dir, 0o755)
    with open(path, "w") as f:
        f.write("geheim\n")
    os.chmod(path, 0o600)
    d.write_config(extra=cluster(rest='token_file = "%s";' % path))
    equal(run(CHATD, "--check", "--user", "root", d.config).returncode, 0)
    p = run(CHATD, "--check", "--user", "nobody", d.config)
    check(p.returncode == 1 and b"token can't be read as user nobody: Permission denied" in p.stdout + p.stderr, p)


@test
def without_a_cluster():
    need_cluster()
    d = Daemon()
    check("cluster" not in d.ctl("status")[1] and "cluster" not in d.json("status"))
    equal(d.ctl("list", "nodes"), (1, "", "chatctl: there is no cluster in the configuration that is in use\n"))
    check("chatd_cluster_" not in d.ctl("metrics")[1])
    # It begins with the next process.
    d.write_config(extra=cluster())
    equal(d.ctl("reload")[0], 0)
    logged(d, "change at the next restart")
    check("cluster" not in d.json("status"))


@test
def nats_is_not_there():
    """People talk all the same, and everything says how it is."""
    need_cluster()
    d = Daemon(extra=cluster(rest="away_after = 3.0;"))
    a = d.connect()
    a.expect("* The other nodes can't be reached; they will get later what is said meanwhile.\n")
    a.send("/nick alice\n")
    a.send("hello\n")
    a.expect("alice: hello\n")
    status = wait_for(lambda: d.json("status")["cluster"].get("why") and d.json("status")["cluster"])
    equal((status["node"], status["connected"], status["waiting"] > 0, status["rooms"]), ("a", False, True, 1))
    out = d.ctl("status")[1]
    check(re.search(r"^cluster    node a, NOT connected to NATS(?: since [\d: -]+)?: .+\n"
                    r"           what is said here is shown here at once, and elsewhere when NATS is back\n"
                    r"           \d nodes? (is|are) here, 1 shared room; \d+ lines? to go out, 0 messages to come in$", out, re.M), out)
    nodes = d.json("list", "nodes")
    equal([(n["name"], n["self"], n["clients"], n["version"]) for n in nodes], [("a", True, 1, d.json("status")["version"])])
    check(re.search(r"^NODE +STATE +SINCE +CLIENTS +LAG +VERSION +SEEN *\na +this one +\S", d.ctl("list", "nodes")[1], re.M),
          d.ctl("list", "nodes")[1])
    equal(d.metric("cluster_connected"), 0)
    check(d.metric("cluster_waiting_lines") > 0)
    # What a reload can change, and what it can't.
    d.write_config(extra=cluster(node="b", rest='rooms = ( "x" );'))
    equal(d.ctl("reload")[0], 0)
    logged(d, "change at the next restart")
    equal(d.json("status")["cluster"]["node"], "a")
    d.write_config(extra=cluster(rest='when_away = "wait";'))
    equal(d.ctl("reload")[0], 0)
    wait_for(lambda: d.json("status")["cluster"]["when_away"] == "wait")
    # Off at the next start: what waited for the others is not lost here.
    d.write_config()
    equal(d.ctl("reload")[0], 0)
    check("cluster" in d.json("status"))
    equal(d.ctl("restart")[0], 0)
    wait_for(lambda: "cluster" not in d.json("status"))
    a.send("alone again\n")
    a.expect("alice: alone again\n")


@test
def the_permissions_that_are_told_are_enough():
    """docs/SECURITY.md: what NATS has to allow the nodes' user."""
    need_cluster()
    with open(os.path.join(SOURCE, "docs", "SECURITY.md")) as f:
        user = re.search(r"\{ user: chatd, .*?\] \} \}", f.read(), re.S).group(0)
    nats = NatsServer(more="authorization { users = [ %s ] }\n" % user)
    nodes = [Daemon(extra=cluster(name, '"%s"' % nats.url, 'user = "chatd"; password = "...";')) for name in "ab"]
    for d in nodes:
        wait_for(lambda: d.json("status")["cluster"]["connected"], what="NATS")
    for d in nodes:
        wait_for(lambda: [n["here"] for n in d.json("list", "nodes")] == [True, True], what="the other node")
    a, b = (d.join(nick=nick) for d, nick in zip(nodes, ("alice", "bob")))
    a.send("hello\n")
    b.expect("alice: hello\n")
    a.expect("alice: hello\n")
    for d in nodes:
        # It is of some 20 ms before.
        wait_for(lambda: (lambda s: s["published"] > 0 and s["received"] > 0 and s["waiting"] == 0)(d.json("status")["cluster"]),
                 what="a status with what was said")
        status = d.json("status")["cluster"]
        equal((status["server"], status["nodes"], status["rooms"], status["missing"]), (nats.url, 2, 1, 0))
        check(re.search(r"^cluster    node [ab], connected to %s since [\d: -]+\n +2 nodes are here, 1 shared room; " % nats.url,
                        d.ctl("status")[1], re.M), d.ctl("status")[1])
        equal(d.metric("cluster_nodes"), 2)
    check("violation" not in nats.log().lower(), nats.log())
    for d in nodes:  # before NATS, for which they would wait
        d.finish()


if __name__ == "__main__":
    main()
