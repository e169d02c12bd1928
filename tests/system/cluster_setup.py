#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/CLUSTER.md on three machines, each booted in a container, with a cable to each other: its commands, as they stand
there."""

from booted import Container
from nodes import Network
from testing import *


def blocks():
    """(comment's word, machines, text) of each block of shell that has a comment above it."""
    with open(os.path.join(SOURCE, "docs", "CLUSTER.md")) as f:
        found = re.findall(r"<!-- (settings|run): (\w+) -->\n```sh\n(.*?)^```$", f.read(), re.S | re.M)
    check(len(found) >= 5, "no blocks in docs/CLUSTER.md")
    return found


@test
def the_commands_that_are_told_make_a_cluster():
    if os.environ.get("CHATD_NO_CONTAINER"):
        raise Skip("the container tests run with the plain build only")
    need("nats-server")
    network = Network(3)
    machines = {}
    try:
        for i, name in enumerate("abc"):
            machines[name] = Container(network.names[i], "3g")  # NATS wants 1 GB to be free
        settings = {}
        for what, whom, text in blocks():
            if what == "settings":
                for i, name in enumerate("abc"):
                    # What the reader changes: its own name, and where all are.
                    values = dict(zip("ABC", (network.address(k) for k in range(3))), NODE=name)
                    check(all(re.search(r"\b%s=" % k, text) for k in values), text)
                    settings[name] = "".join("%s=%s\n" % v for v in values.items())
                continue
            for name in ("abc" if whom == "each" else whom):
                out = machines[name].run("bash", "-ec", settings[name] + text, timeout=120)
                note("%s: %s" % (name, " | ".join(out.splitlines()[:4])))
            if "openssl rand" in text:
                secret = machines[whom].sh("cat /etc/chatd/nats-password")
                for name in "abc".replace(whom, ""):
                    machines[name].run("sh", "-c", "install -d -m 755 /etc/chatd; umask 077; cat >/etc/chatd/nats-password",
                                       stdin=secret.encode())
            if "systemctl restart chatd" in text:
                for name, m in machines.items():
                    wait_for(lambda: "connected to nats" in m.try_run("chatctl", "status")[1], 60, "node %s: %s" % (
                        name, m.try_run("chatctl", "status")[1] + m.sh("journalctl -u chatd -u nats-server | tail -30")))
                wait_for(lambda: machines["a"].try_run("chatctl", "status")[1].find("3 nodes are here") > 0, what="all nodes")
            if "chatctl send" in text:
                wait_for(lambda: "hello from all of us" in machines["c"].run("chatctl", "tail", "lobby"), what="the line on c")
        wait_for(lambda: "hello from all of us" in machines["b"].run("chatctl", "tail", "lobby"), what="the line on b")
        # One machine burns.
        machines["a"].destroy()
        machines["b"].run("chatctl", "send", "lobby", "a is gone")
        wait_for(lambda: "a is gone" in machines["c"].run("chatctl", "tail", "lobby"), what="the line without a")
        wait_for(lambda: "2 nodes are here" in machines["c"].try_run("chatctl", "status")[1], what="the end of a")
    except Failure:
        for name, m in machines.items():
            try:
                note("%s: %s" % (name, m.sh("systemctl show -p NRestarts chatd; journalctl -u chatd | tail -40")))
            except Failure as e:
                note("%s: %s" % (name, e))
        raise
    finally:
        for m in machines.values():
            m.destroy()
        network.close()


if __name__ == "__main__":
    main()
