#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A crash while the files on disk have mistakes: chatd goes on with the configuration that was in use, and says so."""

import signal
import socket
import ssl
import time

from testing import *


class Site:
    """A chatd whose configuration includes a file, and names accounts, a certificate and a key."""

    def __init__(self, parent):
        need("openssl")
        self.d = d = Daemon(start=False, parent=parent, store=not parent)
        self.passwords, self.rooms = os.path.join(d.dir, "passwords"), os.path.join(d.dir, "rooms.conf")
        self.cert, self.key = os.path.join(d.dir, "cert.pem"), os.path.join(d.dir, "key.pem")
        self.tls = free_port()
        equal(run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                  "-subj", "/CN=chatd.invalid", "-keyout", self.key, "-out", self.cert).returncode, 0)
        add_account(self.passwords, "carol")
        with open(self.rooms, "w") as f:
            f.write('rooms = ( { name = "lobby"; }, { name = "den"; members = ( "carol" ); } );\n')
        d.write_config(listeners="""
          { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; password_file = "%s"; },
          { name = "tls"; type = "tcp"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; password_file = "%s";
            tls_certificate = "%s"; tls_key = "%s"; } """ % (d.port, self.passwords, self.tls, self.passwords, self.cert, self.key),
            extra="limits: { max_clients_per_address = 0; idle_timeout = 1234.5; failed_logins_per_minute = 0; };")
        with open(d.config) as f:
            text = re.sub(r"rooms = .*", '@include "%s"' % self.rooms, f.read())
        with open(d.config, "w") as f:
            f.write(text)
        self.files = {}
        for path in (d.config, self.rooms, self.passwords, self.cert, self.key):
            with open(path) as f:
                self.files[path] = f.read()
        d.start()

    def crash(self):
        if self.d.parent:
            self.d.kill_child()
        else:
            self.d.kill()
            self.d.spawn()
        self.d.wait_ready()

    def put(self, path, text):
        """As editors do it, in place; None: it is gone."""
        if text is None:
            os.unlink(path)
            return
        with open(path, "w") as f:
            f.write(text)

    def mend(self):
        for path, text in self.files.items():
            self.put(path, text)

    def rooms_there(self):
        return [r["name"] for r in self.d.json("list", "rooms") if r["configured"]]

    def is_whole(self):
        """All of the configuration is in use: rooms, accounts, certificate."""
        d = self.d
        equal(self.rooms_there(), ["lobby", "den"])
        c = d.join()
        c.send("/login carol wrong\n")
        c.expect("* Wrong name or password.\n")
        c.send("/login carol secret\n")
        c.expect(re.compile(rb"is now carol\n|You are now carol\.\n"))
        c.send("/join den\n")
        c.expect("* You are in den.\n")
        c.send("/quit\n")
        c.rest()
        t = self.tls_client()
        equal(ssl.DER_cert_to_PEM_cert(t.sock.getpeercert(True)).strip(), self.files[self.cert].strip())
        t.close()

    def tls_client(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        t = Client(context.wrap_socket(socket.create_connection(("127.0.0.1", self.tls), 20)))
        t.expect(WELCOME)
        return t


def mistakes_of(s):
    """Which files, with what is wrong there; the text of it; and what is said of it."""
    d = s.d
    good = s.files[d.config]
    other = s.files[s.key].replace("BEGIN PRIVATE", "BEGIN PUBLIC")
    return {
        "a setting": (d.config, good + "nonsense = 1;\n", "unknown setting nonsense"),
        "syntax": (d.config, good + "listeners = ( ;\n", ""),
        "no file": (d.config, None, "No such file"),
        "included": (s.rooms, "rooms = ( { nom = 1; } );\n", "rooms.conf:1: "),
        "accounts": (s.passwords, "carol\n", "passwords:1: "),
        "no accounts": (s.passwords, None, "can't be read"),
        "certificate": (s.cert, "", "cert.pem"),
        "key": (s.key, other, "key.pem"),
        "no key": (s.key, None, "key.pem"),
    }


@test
def mistakes_keep_nobody_waiting():
    """By a service manager and by --supervise, with each kind of file."""
    for parent in (False, True):
        s = Site(parent)
        d = s.d
        a, t = d.join(nick="alice"), s.tls_client()
        s.is_whole()
        check("config_mistakes" not in d.json("status"))
        for i, (kind, (path, text, said)) in enumerate(mistakes_of(s).items()):
            if SCALE < 1 and i % 2 == parent:
                continue  # under sanitizers each kind once
            s.put(path, text)
            s.crash()
            a.send("%s\n" % kind)
            for c in (a, t):
                c.expect("alice: %s\n" % kind)
            mistakes = d.json("status")["config_mistakes"]
            check(said in mistakes and "\n\n" not in mistakes + "\n", kind, mistakes)
            equal(d.metric("config_stale"), 1)
            code, out, _ = d.ctl("status")
            check(code == 1 and out.startswith("NOT WELL: the configuration has mistakes, "), out)
            check("\nmistakes   that file is not in use; what was in use before goes on:\n" + mistakes + "\n" in out, kind, out)
            logged(d, "%s is not used; what was in use before goes on" % d.config)
            check("can't start" not in d.log(), d.last_words())
            if d.store:
                d.drain_notify()
                check("the configuration has mistakes" in d.status_text, d.status_text)
            s.is_whole()
            if i % 3 == 0:  # and the next one, by way of the other paths
                s.crash()
                s.is_whole()
                check(d.ctl("restart")[0] == 1)
                check(d.ctl("reload")[0] == 1)
                check(said in d.json("status")["config_mistakes"])
            s.mend()
            equal(d.ctl("reload"), (0, "", ""))
            check("config_mistakes" not in d.json("status"))
            equal(d.metric("config_stale"), 0)
        equal(d.json("status")["takeover"]["closed"], 0)
        if d.store:
            d.drain_notify()
            equal([len(v) for n, v in d.stored.items() if n.startswith("chatd-config-")], [1])
        # A real end leaves nothing, so mistakes are the admin's again.
        s.put(d.config, s.files[d.config] + "nonsense = 1;\n")
        a.close()
        t.close()
        d.stop()
        if d.store:
            equal(d.stored, {})
        d.spawn()
        equal(os.waitstatus_to_exitcode(d.wait()), os.EX_CONFIG)
        d.clean_up()


@test
def what_was_reloaded_is_what_goes_on():
    """Not what it was at the start, nor what a reload refused; nor what is on disk without a reload when that is good."""
    s = Site(parent=False)
    d = s.d
    a = d.join(nick="alice")

    def bad():
        """In one step: in between the file would be empty, which is no mistake."""
        s.put(d.config + ".new", s.files[d.config] + "nonsense = 1;\n")
        os.rename(d.config + ".new", d.config)

    s.put(s.rooms, 'rooms = ( { name = "lobby"; }, { name = "attic"; } );\n')
    equal(d.ctl("reload")[0], 0)
    s.put(s.rooms, 'rooms = ( { name = "lobby"; }, { name = "cellar"; nom = 1; } );\n')
    equal(d.ctl("reload")[0], 1)
    check("nom" in d.json("status")["config_mistakes"])
    s.crash()
    equal(s.rooms_there(), ["lobby", "attic"])
    for path in ("exec", "handover"):
        # Mistakes that come after the restart has looked for them are met by the successor.
        s.mend()
        equal(d.ctl("reload")[0], 0)
        if path == "exec":
            p = subprocess.Popen([CHATCTL, "-s", d.socket, "restart"], stdout=subprocess.DEVNULL)
            wait_for(lambda: "handing over to" in d.log(), what="the restart")
            bad()
            p.wait()
        else:
            bad()
            d.signal(signal.SIGUSR1)
            equal(d.wait(), 0)
            d.start()
        equal(s.rooms_there(), ["lobby", "den"])
    s.mend()
    s.put(s.rooms, 'rooms = ( { name = "lobby"; }, { name = "roof"; } );\n')
    s.crash()
    equal(s.rooms_there(), ["lobby", "roof"])
    check("config_mistakes" not in d.json("status"))
    a.send("here\n")
    a.expect("alice: here\n")


@test
def copies_that_can_not_be_trusted_are_refused():
    """Then it is as without them: it is tried again until the mistakes are mended."""
    for damage in ("empty", "junk", "unsealed", "cut", "pipe"):
        s = Site(parent=False)
        d = s.d
        a = d.join(nick="alice")
        d.kill()
        d.drain_notify()
        name = next(n for n in d.stored if n.startswith("chatd-config-"))
        size = os.fstat(d.stored[name][0]).st_size
        good = os.pread(d.stored[name][0], size, 0)
        check(b"PRIVATE KEY" in good and b"carol:$argon2id$" in good)
        os.close(d.stored[name][0])
        fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.write(fd, {"empty": b"", "junk": b"\xff" * size, "unsealed": good, "cut": good[:-7], "pipe": b""}[damage])
        if damage != "unsealed":
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
        d.stored[name] = [os.pipe()[0] if damage == "pipe" else fd]
        s.put(d.config, s.files[d.config] + "nonsense = 1;\n")
        d.spawn()
        equal(os.waitstatus_to_exitcode(d.wait()), 1)
        d.drain_notify()
        check("the state in %s can't be used" % name in d.log() and name not in d.stored, damage, d.last_words())
        s.mend()
        d.start()
        a.send("here\n")
        a.expect("alice: here\n")
        s.is_whole()
        d.finish()


@test
def what_can_not_be_put_to_use_keeps_nobody_waiting():
    """A file without mistakes whose address is in use, or nobody's; it is in use once it can be, by a reload."""
    for parent in (False, True):
        s = Site(parent)
        d = s.d
        a = d.join(nick="alice")
        good = s.files[d.config]
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for change in (("127.0.0.1:%d" % s.tls, "192.0.2.77:9"), (d.socket, d.dir + "/none/control.sock"),
                           ("127.0.0.1:%d" % s.tls, "127.0.0.1:%d" % port)):
                s.put(d.config, good.replace(*change))
                for _ in range(2):
                    if parent:
                        d.kill_child()
                    else:
                        d.kill()
                        d.spawn()
                        if not d.stored.get("chatd-refused"):
                            equal(os.waitstatus_to_exitcode(d.wait()), 1)
                            d.drain_notify()
                            check("chatd-refused" in d.stored, change)
                            d.spawn()
                    a.send("here\n")
                    a.expect("alice: here\n")
                    d.wait_ready()
                    check("could not be put to use" in d.json("status")["config_mistakes"])
                    s.is_whole()
                if "%d" % port not in change[1]:
                    s.mend()
                    equal(d.ctl("reload")[0], 0)
                    check("config_mistakes" not in d.json("status"))
                    if d.store:
                        d.drain_notify()
                        check("chatd-refused" not in d.stored)
                        with open(d.log_path, "w"):
                            pass
        equal(d.ctl("reload")[0], 0)
        check("config_mistakes" not in d.json("status"))
        s.crash()
        check("config_mistakes" not in d.json("status"))
        with socket.create_connection(("127.0.0.1", port)):
            pass
        a.send("here\n")
        a.expect("alice: here\n")
        a.close()
        d.stop()
        if d.store:
            equal(d.stored, {})
        d.clean_up()


@test
def the_copy_is_exchanged_wherever_a_reload_dies():
    s = Site(parent=False)
    if b", fault points" not in run(CHATD, "-V").stdout:
        raise Skip("this build has no fault points (--enable-faults)")
    d = s.d
    a = d.join(nick="alice")
    d.kill()
    once = os.path.join(d.dir, "once")
    d.env.update(CHATD_FAULT="config-kept", CHATD_FAULT_ONCE=once)
    d.start()
    open(once, "w").close()
    s.put(s.rooms, 'rooms = ( { name = "lobby"; }, { name = "attic"; } );\n')
    d.ctl("reload")  # which has no answer any more
    d.wait()
    d.drain_notify()
    equal(len([n for n in d.stored if n.startswith("chatd-config-")]), 2)
    s.put(d.config, None)
    d.start()
    equal(s.rooms_there(), ["lobby", "attic"])
    d.drain_notify()
    equal(len([n for n in d.stored if n.startswith("chatd-config-")]), 1)
    a.send("here\n")
    a.expect("alice: here\n")


main()
