#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page in a real browser, which talks to people who have nc or another browser."""

import glob
import json
import os
import subprocess

from browser import *
from irc_client import IRC

ROOMS = '{ name = "lobby"; history = 20; }, { name = "den"; history = 20; }'
FAST = """limits: { max_clients_per_address = 0; lines_per_second = 0; commands_per_second = 0; bytes_per_second = 0;
                    joins_per_minute = 0; nick_changes_per_minute = 0; };"""


def chatd(more="", rooms=ROOMS, extra=FAST, tls=False, **kwargs):
    d = Daemon(start=False, **kwargs)
    d.web_port = free_port()
    d.url = "http%s://127.0.0.1:%d/" % ("s" if tls else "", d.web_port)
    if tls:
        d.cert, d.key = tls_files(d.dir)
    d.write_config(rooms, """
        { name = "web"; type = "http"; mode = "chat"; listen = "127.0.0.1:%d"; room = "lobby"; %s },
        { name = "chat"; type = "tcp"; mode = "chat"; listen = "[::]:%d"; room = "lobby"; }""" % (d.web_port, more % vars(d), d.port), extra)
    return d


def started(*args, **kwargs):
    d = chatd(*args, **kwargs)
    d.start()
    return d


def page(d, nick=None, **kwargs):
    b = Browser(d.url, **kwargs)
    b.wait_connected()
    if nick:
        b.js("document.querySelector('#nick').value = arguments[0]; document.querySelector('#rename').requestSubmit()", nick)
        wait_for(lambda: nick in b.people(), what=nick + " among the people")
    return b


def with_accounts(**kwargs):
    """Whoever comes by the web has to log in: alice, by "wonder land"."""
    d = chatd('auth = "password"; password_file = "%(dir)s/passwords";', **kwargs)
    subprocess.run([CHATCTL, "passwd", os.path.join(d.dir, "passwords"), "alice"], input=b"wonder land\n", capture_output=True, check=True)
    return d


def log_in(b):
    wait_for(lambda: b["#login"].is_displayed(), what="the dialog")
    b["#login-name"].click()
    b.keys("alice\twonder land\n")
    b.wait_connected()


class Nc:
    """nc itself."""

    def __init__(self, d, nick):
        need("nc")
        self.p = subprocess.Popen(["nc", "127.0.0.1", str(d.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        d.clients.append(self)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.got = b""
        self.say("/nick " + nick)
        self.expect("now %s" % nick)

    def say(self, text):
        self.p.stdin.write(text.encode() + b"\n")
        self.p.stdin.flush()

    def expect(self, text):
        def come():
            self.got += self.p.stdout.read() or b""
            return text.encode() in self.got
        wait_for(come, what="%r by nc" % text)

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


def numbers(b):
    """Of the messages that are shown, in their order."""
    return b.js("return [...document.querySelectorAll('#lines > *')].map((e) => e.message?.number).filter((n) => n)")


def scroll_to_top(b):
    b.js("document.querySelector('#log').scrollTop = 0; document.querySelector('#log').dispatchEvent(new Event('scroll'))")


# --- people ---


@page_test
def what_is_decided_on_irc_is_said():
    port = free_port()
    d = started('}, { name = "irc"; type = "tcp"; mode = "irc"; listen = "127.0.0.1:%d";' % port)
    ann = IRC(d, "ann", port=port)
    ann.join("#new")
    ben = page(d, "ben")
    ben.say("/join new")
    wait_for(lambda: sorted(ben.people()) == ["ann", "ben"], what="the people, who are %r" % ben.people())
    ann.line("TOPIC #new :what is new")
    ann.line("MODE #new -t")
    ann.line("KICK #new ben :enough")
    for text in "ann set the topic: what is new", "ann set mode -t":
        wait_for(lambda: text in ben.shown(".notice"), what="%s, among %r" % (text, ben.shown(".notice")))
    ben.say("/join new")
    wait_for(lambda: "ann removed ben: enough" in ben.shown(".notice"), what="the kick, among %r" % ben.shown(".notice"))


@page_test
def two_pages_and_nc_talk():
    d = started()
    ann, ben, nc = page(d, "ann"), page(d, "ben"), Nc(d, "cleo")
    for b in (ann, ben):
        wait_for(lambda: sorted(b.people()) == ["ann", "ben", "cleo"], what="the people, who are %r" % b.people())
    ann.say("hello from a page")
    nc.expect("ann: hello from a page\n")
    nc.say("hello from nc")
    ben.say("hello from another")
    nc.expect("ben: hello from another\n")
    for b in (ann, ben):
        for text in ("ann: hello from a page", "cleo: hello from nc", "ben: hello from another"):
            b.wait_shown(text)
    nc.say("/me waves")
    ann.say("/me waves back")
    nc.expect("ann * waves back\n")
    for b in (ann, ben):
        for text in ("cleo waves", "ann waves back"):
            wait_for(lambda: text in b.shown(".action"), what=text)
    # What is addressed to one is told apart, and no one else sees it.
    nc.say("/msg ben psst")
    wait_for(lambda: any("psst" in line for line in ben.shown(".private") + ben.shown(".reply")), what="a private message")
    equal([line for line in ann.shown() if "psst" in line], [])
    # Notices are no messages.
    nc.say("/nick cleopatra")
    wait_for(lambda: "cleo is now cleopatra" in ann.shown(".notice"), what="the notice, among %r" % ann.shown(".notice"))
    nc.say("/quit")
    wait_for(lambda: "cleopatra left" in ben.shown(".notice"), what="the notice")
    wait_for(lambda: sorted(ben.people()) == ["ann", "ben"], what="those who are left")


@page_test
def over_tls():
    """The page, its WebSocket and a login by https, which a kill doesn't end either."""
    need("openssl")
    d = chatd('auth = "password"; password_file = "%(dir)s/passwords"; tls_certificate = "%(cert)s"; tls_key = "%(key)s";',
              store=True, tls=True)
    subprocess.run([CHATCTL, "passwd", os.path.join(d.dir, "passwords"), "alice"], input=b"wonder land\n", capture_output=True, check=True)
    d.start()
    d.supervise()
    alice, nc = Browser(d.url), Nc(d, "cleo")
    log_in(alice)
    equal(alice.spied()["opened"], ["wss://127.0.0.1:%d/ws" % d.web_port])
    alice.say("hello in secret")
    nc.expect("alice: hello in secret\n")
    for i in range(3):
        deaths = d.deaths
        d.signal(signal.SIGKILL)
        wait_for(lambda: d.deaths > deaths, what="the death")
        nc.say("news %d" % i)
        alice.wait_shown("cleo: news %d" % i)
        alice.say("answer %d" % i)
        nc.expect("alice: answer %d\n" % i)
    s = alice.spied()
    equal((len(s["opened"]), s["closed"]), (1, 0))
    equal([t for t in alice.shown() if t.startswith("cleo: ")], ["cleo: news %d" % i for i in range(3)])
    d.unsupervise()


@page_test
def links_are_safe():
    d = started()
    ann, nc = page(d, "ann"), Nc(d, "cleo")
    nc.say("see https://example.org/a?b=c&d=(e). or HTTP://EXAMPLE.COM, javascript:alert(1) ftp://x.y http:// data:text/html,x https://a@b:c")
    wait_for(lambda: ann.shown(".message"), what="the message")
    links = ann.js("return [...document.querySelectorAll('#lines a')].map((a) => [a.href, a.textContent, a.rel, a.target])")
    equal([l[:2] for l in links], [["https://example.org/a?b=c&d=(e)", "https://example.org/a?b=c&d=(e)"], ["http://example.com/", "HTTP://EXAMPLE.COM"]])
    for l in links:
        check("noopener" in l[2] and "noreferrer" in l[2] and l[3] == "_blank", l)


@page_test
def rooms_and_what_is_unread():
    d = started()
    ann, nc = page(d, "ann"), Nc(d, "cleo")
    wait_for(lambda: ann.rooms() == {"lobby": False, "den": False}, what="the rooms, which are %r" % ann.rooms())
    # Another room, one that is there, and a new one.
    ann.js("[...document.querySelectorAll('#rooms button')].find((b) => b.textContent.startsWith('den')).click()")
    ann.wait_text("#title", "den")
    wait_for(lambda: ann.people() == ["ann"], what="who is in the den, which are %r" % ann.people())
    ann["#room-name"].send_keys("attic\n")
    ann.wait_text("#title", "attic")
    check(ann.driver.current_url.endswith("#attic"), ann.driver.current_url)
    # What is said in a room that one has been in is marked there, and in no other one.
    nc.say("are you there?")
    nc.expect("are you there?")
    ann.js("document.dispatchEvent(new Event('visibilitychange'))")  # it asks now, and not in ten seconds
    wait_for(lambda: ann.rooms().get("lobby"), what="the mark")
    equal([r for r, unread in ann.rooms().items() if unread], ["lobby"])
    equal(ann.driver.title, "(1) attic – chatd")
    # All of that is one question, however many rooms there are.
    ann.js("""window.asked = []; const send = WebSocket.prototype.send;
              WebSocket.prototype.send = function (text) { window.asked.push(JSON.parse(text).do); send.call(this, text); };
              document.dispatchEvent(new Event('visibilitychange'))""")
    wait_for(lambda: ann.js("return window.asked.length") > 0, what="the question")
    what = ann.js("return window.asked")  # it may be time for the next one, too
    check(1 <= what.count("rooms") <= 2 and set(what) <= {"rooms", "ping", "who"}, what)
    ann.js("[...document.querySelectorAll('#rooms button')].find((b) => b.textContent.startsWith('lobby')).click()")
    ann.wait_text("#title", "lobby")
    ann.wait_shown("cleo: are you there?")
    wait_for(lambda: ann.driver.title == "lobby – chatd", what="no counter in %r" % ann.driver.title)
    wait_for(lambda: not any(ann.rooms().values()), what="no mark")
    # Whoever looks elsewhere sees in the title how much there is.
    ann.driver.minimize_window()
    wait_for(lambda: ann.js("return document.hidden"), what="a hidden page")
    for i in range(3):
        nc.say("news %d" % i)
    nc.say("/me leaves a note")
    wait_for(lambda: ann.driver.title == "(4) lobby – chatd", what="the counter in %r" % ann.driver.title)
    ann.driver.set_window_rect(0, 0, 1200, 800)
    wait_for(lambda: ann.driver.title == "lobby – chatd", what="no counter in %r" % ann.driver.title)
    equal(ann.js("return [...document.querySelectorAll('#lines > .fresh')].map((e) => e.nextElementSibling.querySelector('.what').textContent)"),
          ["cleo: news 0"])


@page_test
def private_messages_stay():
    d = started()
    nc = Nc(d, "cleo")
    for i in range(120):
        nc.say("line %d" % i)
    nc.expect("line 119\n")
    ann = page(d, "ann")
    ann.wait_shown("cleo: line 119")
    for i in range(2):
        nc.say("/msg ann psst %d" % i)
        wait_for(lambda: "cleo to you: psst %d" % i in ann.shown(".private"), what="the private message")
    ann.say("/msg cleo who is there?")
    wait_for(lambda: len(ann.shown(".private")) == 3, what="the answer")
    nc.say("behind it")
    ann.wait_shown("cleo: behind it")
    said = ["cleo to you: psst 0", "cleo to you: psst 1", "You to cleo: who is there?"]

    def where():
        return [t for t in ann.shown() if t in said or t in ("cleo: line 119", "cleo: behind it")]
    for room in ("attic", "den", "lobby", "attic", "lobby"):
        ann.js("document.querySelector('#room-name').value = arguments[0]; document.querySelector('#enter').requestSubmit()", room)
        ann.wait_text("#title", room)
        wait_for(lambda: ann.shown(".private") == said, what="the private messages in %s, among %r" % (room, ann.shown()))
        if room == "lobby":
            wait_for(lambda: where() == ["cleo: line 119", *said, "cleo: behind it"], what="each in its place, not %r" % where())
    # Older messages that come go in front of them.
    scroll_to_top(ann)
    wait_for(lambda: "cleo: line 60" in ann.shown(), what="older ones")
    equal(where(), ["cleo: line 119", *said, "cleo: behind it"])
    equal(ann.js("return document.querySelectorAll('#lines .date').length"), 1)
    # The page's own counter has them as well.
    ann.driver.minimize_window()
    wait_for(lambda: ann.js("return document.hidden"), what="a hidden page")
    nc.say("/msg ann psst 2")
    wait_for(lambda: ann.driver.title == "(1) lobby – chatd", what="the counter in %r" % ann.driver.title)


@page_test
def older_messages_come_by_scrolling():
    d = started()
    nc = Nc(d, "cleo")
    for i in range(300):
        nc.say("line %d" % i)
    nc.expect("line 299\n")
    ann = page(d, "ann")
    ann.wait_shown("cleo: line 299")
    check(len(ann.shown(".message")) < 200, "all at once")

    def where(text):
        return ann.js("return [...document.querySelectorAll('#lines .message .what')].find((e) => e.textContent === arguments[0])"
                      ".lastElementChild.getBoundingClientRect().top", text)
    while ann.shown(".message")[0] != "cleo: line 0":
        before = ann.shown(".message")
        at = ann.js("document.querySelector('#log').scrollTop = 0;"
                    "return document.querySelectorAll('#lines .message .words')[1].getBoundingClientRect().top")
        wait_for(lambda: len(ann.shown(".message")) > len(before), what="older ones than %r" % before[0])
        # What was looked at stays where it was. (The first one may have become one that follows.)
        check(abs(where(before[1]) - at) < 40, where(before[1]), at)
    equal(ann.shown(".message"), ["cleo: line %d" % i for i in range(300)])
    equal(numbers(ann), sorted(set(numbers(ann))))
    wait_for(lambda: ann["#beginning"].is_displayed(), what="the beginning")
    # What is new doesn't move who reads what is old, and one key leads to it.
    ann.js("document.querySelector('#log').scrollTop = 0")
    nc.say("the newest")
    wait_for(lambda: ann["#newest"].is_displayed(), what="a hint at what is new")
    equal(ann.js("return document.querySelector('#log').scrollTop"), 0)
    ann["#newest"].click()
    wait_for(lambda: not ann["#newest"].is_displayed(), what="the end")
    # Dates and times, and who says several things in a row.
    equal(ann.js("return document.querySelectorAll('#lines .date').length"), 1)
    check(ann.js("return document.querySelectorAll('#lines .follows').length") > 250)
    check(ann.js("return [...document.querySelectorAll('#lines time')].every((t) => !isNaN(new Date(t.dateTime)))"))


@page_test
def a_page_does_not_grow_for_ever():
    d = started(rooms='{ name = "lobby"; history = 20; log_size = "4M"; }')
    ann, c = page(d, "ann"), d.join(nick="cleo")
    for first in range(0, 4500, 500):
        c.send("".join("line %d\n" % i for i in range(first, first + 500)))
        c.expect("line %d\n" % (first + 499))
    ann.wait_shown("cleo: line 4499")
    count = lambda: ann.js("return document.querySelector('#lines').childElementCount")
    check(1000 < count() <= 2000, count())
    # What has gone comes back.
    first = ann.shown(".message")[0]
    ann.js("document.querySelector('#log').scrollTop = 0")
    wait_for(lambda: ann.shown(".message")[0] != first, what="older ones")
    got = [int(line.split()[-1]) for line in ann.shown(".message")]
    equal(got, list(range(got[0], 4500)))
    # Also who reads what is old keeps a page that ends somewhere.
    for _ in range(3):
        first = ann.shown(".message")[0]
        scroll_to_top(ann)
        wait_for(lambda: ann.shown(".message")[0] != first, what="older ones")
    for start in range(5000, 8000, 500):
        c.send("".join("line %d\n" % i for i in range(start, start + 500)))
        c.expect("line %d\n" % (start + 499))
    wait_for(lambda: ann["#newest"].is_displayed(), what="what is new")
    ann["#newest"].click()
    ann.wait_shown("cleo: line 7999")
    wait_for(lambda: count() <= 2000, what="at most 2000 lines, and not %d" % count())


@page_test
def a_login():
    d = with_accounts()
    d.start()
    b = Browser(d.url)
    wait_for(lambda: b["#login"].is_displayed(), what="the dialog")
    equal(b.js("return document.activeElement.id"), "login-name")
    b.keys("alice\twrong\n")
    b.wait_text("#login-problem", "Wrong name or password.")
    b["#login-name"].clear()
    b["#login-name"].click()
    b.keys("alice\twonder land\n")
    b.wait_connected()
    wait_for(lambda: not b["#login"].is_displayed(), what="the page behind the dialog")
    b.say("I am in")
    b.wait_shown("alice: I am in")
    check("wonder land" not in b.js("return JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])"))


@page_test
def who_fails_to_log_in_can_come_back():
    d = with_accounts()
    d.start()
    b = Browser(d.url)
    wait_for(lambda: b["#login"].is_displayed(), what="the dialog")
    for i in range(3):
        b["#login-name"].clear()
        b["#login-name"].click()
        b.keys("alice\twrong\n")
        if i < 2:
            b.wait_text("#login-problem", "Wrong name or password.")
            b.js("document.querySelector('#login-problem').textContent = ''")
    b.wait_text("#state", "You were sent away")
    wait_for(lambda: not b["#login"].is_displayed(), what="the page behind the dialog")
    equal(b.shown(".reply"), [])
    b["#again"].click()
    wait_for(lambda: b["#login"].is_displayed(), what="the dialog once more")
    b["#login-name"].clear()
    log_in(b)
    b.say("at last")
    b.wait_shown("alice: at last")


@page_test
def what_is_refused_goes_back_to_the_entry():
    d = started()
    b = page(d, "ann")
    b.js("document.querySelector('#entry').value = 'x'.repeat(5000)")
    b["#entry"].send_keys("\n")
    b.wait_text("#hint", "Not sent: it is longer than 4096 bytes.")
    equal(b.js("return document.querySelector('#entry').value.length"), 5000)
    equal(b.shown(".error"), [])
    b.js("document.querySelector('#entry').value = ''")
    b.say("short")
    b.wait_shown("ann: short")


# --- what the page survives ---


@page_test
def a_kill_is_not_noticed():
    d = started(store=True)
    d.supervise()
    ann, nc = page(d, "ann"), Nc(d, "cleo")
    client = [c["id"] for c in d.json("list", "clients") if c.get("nick") == "ann"]
    for i in range(5):
        ann.say("before %d" % i)
        nc.say("nc before %d" % i)
        deaths = d.deaths
        d.signal(signal.SIGKILL)
        ann.say("after %d" % i)
        nc.say("nc after %d" % i)
        wait_for(lambda: d.deaths > deaths, what="a death")
    for i in range(5):
        for text in ("before %d", "after %d"):
            nc.expect("ann: " + text % i)
            ann.wait_shown("ann: " + text % i)
            ann.wait_shown("cleo: nc " + text % i)
    equal(numbers(ann), sorted(set(numbers(ann))))
    spied = ann.spied()
    equal((len(spied["opened"]), spied["closed"]), (1, 0))
    equal(ann.text("#state"), "Connected")
    wait_for(lambda: d.ctl("ping")[0] == 0, what="chatd")
    equal([c["id"] for c in d.json("list", "clients") if c.get("nick") == "ann"], client)
    d.unsupervise()


@page_test
def who_is_sent_away_comes_back_when_they_want_to():
    d = started()
    ann = page(d, "ann")
    client, = [c["id"] for c in d.json("list", "clients") if c.get("nick") == "ann"]
    equal(d.ctl("kick", str(client), "please stop")[0], 0)
    ann.wait_text("#state", "please stop")
    time.sleep(2)  # it would have come back by now
    equal(len(ann.spied()["opened"]), 1)
    ann["#again"].click()
    ann.wait_connected()
    ann.say("here again")
    ann.wait_shown("ann: here again")
    check(not ann["#again"].is_displayed(), "it is still offered")


def away(b):
    """From now on the page gets nowhere when it wants to come back."""
    b.js("window.held = true")


def lose(b):
    """Its connection ends without a word, as when a network goes."""
    b.js("newest.close()")


def come_back(b):
    b.js("window.held = false; dispatchEvent(new Event('online'))")
    b.wait_connected()


# What chromium says of a WebSocket that leads nowhere.
UNREACHABLE = "WebSocket connection to"


@page_test
def it_comes_back_after_a_stop_without_a_gap():
    d = started(extra=FAST + 'history: { database = "history.db"; };')
    ann, nc = page(d, "ann"), Nc(d, "cleo")
    for i in range(30):
        nc.say("line %d" % i)
    ann.wait_shown("cleo: line 29")
    ann.say("mine")
    nc.expect("ann: mine")
    away(ann)
    d.stop()
    ann.wait_text("#state", "Not connected")
    # What is written meanwhile stays there until it can be sent.
    ann.say("written meanwhile")
    equal(ann.js("return document.querySelector('#entry').value"), "written meanwhile")
    d.start()
    # Others are back before, and say what it must not miss: more than is shown to who enters.
    nc = Nc(d, "cleo")
    for i in range(30, 90):
        nc.say("line %d" % i)
    nc.expect("line 89")
    come_back(ann)
    ann.wait_shown("cleo: line 89")
    ann["#entry"].click()
    ann.keys("\n")
    nc.expect("ann: written meanwhile")
    ann.wait_shown("ann: written meanwhile")
    equal([l for l in ann.shown(".message") if l.startswith("cleo")], ["cleo: line %d" % i for i in range(90)])
    equal(ann.shown(".message").count("ann: mine"), 1)
    equal(numbers(ann), sorted(set(numbers(ann))))
    equal(ann.js("return document.querySelectorAll('#lines .gap').length"), 0)
    ann.finish(expected=[UNREACHABLE])


@page_test
def who_has_logged_in_comes_back_logged_in():
    d = with_accounts(extra=FAST + 'history: { database = "history.db"; };')
    d.start()
    b = Browser(d.url)
    log_in(b)
    nc = Nc(d, "cleo")
    for i in range(10):
        nc.say("line %d" % i)
    b.wait_shown("cleo: line 9")
    # Who enters is shown the last 20: more than those were said meanwhile, and then fewer, so that some are sent twice.
    for first, end in ((10, 60), (60, 65)):
        away(b)
        d.stop()
        b.wait_text("#state", "Not connected")
        d.start()
        nc = Nc(d, "cleo")
        for i in range(first, end):
            nc.say("line %d" % i)
        nc.expect("line %d" % (end - 1))
        come_back(b)
        b.wait_shown("cleo: line %d" % first)
        b.wait_shown("cleo: line %d" % (end - 1))
        wait_for(lambda: b.js("return document.querySelectorAll('#lines .gap').length") == 0, what="no gap")
        equal([l for l in b.shown(".message") if l.startswith("cleo")], ["cleo: line %d" % i for i in range(end)])
    check(not b["#login"].is_displayed())
    b.say("back")
    nc.expect("alice: back")
    # Another room than the listener's is where it comes back to as well.
    b.say("/join den")
    b.wait_text("#title", "den")
    b.say("in the den")
    b.wait_shown("alice: in the den")
    away(b)
    d.stop()
    b.wait_text("#state", "Not connected")
    d.start()
    come_back(b)
    b.wait_text("#title", "den")
    b.say("still there")
    b.wait_shown("alice: still there")
    equal(b.shown(".message"), ["alice: in the den", "alice: still there"])
    b.finish(expected=[UNREACHABLE])


@page_test
def what_can_not_be_had_is_said():
    d = started(rooms='{ name = "lobby"; history = 20; log_size = "64K"; }')
    ann, nc = page(d, "ann"), d.join(nick="cleo")
    nc.send("the last that was seen\n")
    ann.wait_shown("cleo: the last that was seen")
    away(ann)
    lose(ann)
    ann.wait_text("#state", "Not connected")
    for first in range(0, 2000, 100):
        nc.send("".join("line %d %s\n" % (i, "x" * 90) for i in range(first, first + 100)))
        nc.expect("line %d " % (first + 99))
    come_back(ann)
    wait_for(lambda: any("line 1999 " in l for l in ann.shown(".message")), what="the last one")
    wait_for(lambda: "can't be had" in ann.text("#lines .gap"), what="the gap")
    got = [int(l.split()[2]) for l in ann.shown(".message") if l.startswith("cleo: line ")]
    check(got[0] > 0)
    equal(got, list(range(got[0], 2000)))
    equal(numbers(ann), sorted(set(numbers(ann))))
    # It stands where it is: behind what was seen, in front of what came.
    where = ann.js("return [...document.querySelectorAll('#lines > *')].map((e) => e.textContent)")
    gap = next(i for i, text in enumerate(where) if "can't be had" in text)
    check(any("the last that was seen" in t for t in where[:gap]) and not any("line 1999 " in t for t in where[:gap]), where[:gap + 2])
    ann.finish(expected=[UNREACHABLE])


@page_test
def a_room_that_begins_anew_is_another_one():
    """Without a history a stop is the end of the room: its numbers begin again, in another epoch."""
    d = started()
    ann, nc = page(d, "ann"), Nc(d, "cleo")
    for i in range(30):
        nc.say("old %d" % i)
    ann.wait_shown("cleo: old 29")
    away(ann)
    d.stop()
    ann.wait_text("#state", "Not connected")
    d.start()
    nc = Nc(d, "cleo")
    nc.say("new 0")
    nc.expect("new 0")
    come_back(ann)
    ann.wait_shown("cleo: new 0")
    nc.say("new 1")
    ann.wait_shown("cleo: new 1")
    ann.say("me, too")
    ann.wait_shown("ann: me, too")
    ann.finish(expected=[UNREACHABLE])


# --- who means harm ---

HOSTILE = ["<script>window.broken=1</script>", "<img src=x onerror=window.broken=1>", "\"><svg onload=window.broken=1>",
           "javascript:window.broken=1", "https://x/\"onmouseover=window.broken=1", "https://x/<img src=x onerror=window.broken=1>",
           "${window.broken=1}{{window.broken=1}}", "&lt;b&gt;&#60;i&#62;", "__proto__", "constructor", "a" * 1000]


@page_test
def what_is_hostile_stays_text():
    d = started()
    ann, nc = page(d, "ann"), d.join(nick="cleo")
    for text in HOSTILE:
        nc.send(text + "\n")
    for text in HOSTILE:
        ann.wait_shown("cleo: " + text)
    # Whatever the names of people and rooms may be.
    for nick in ("<b>x</b>", "<img/src=x/onerror=alert(1)>", "__proto__", "constructor", "x'\"&amp;"):
        nc.send("/nick %s\n/me is here\n" % nick)
    nc.send("/nick __proto__\nhere\n/join __proto__\nthere\n/join constructor\n/join lobby\nback\n")
    ann.wait_shown("__proto__: back")
    ann.js("document.dispatchEvent(new Event('visibilitychange'))")
    wait_for(lambda: len(ann.people()) == 2, what="the people")
    for bad in ("#__proto__", "#<img src=x onerror=window.broken=1>", "#%E0%A4%A", "?room=%3Cscript%3E#constructor"):
        ann.driver.get("about:blank")
        ann.driver.get(d.url + bad)
        if "<" in bad or "%E0" in bad:
            wait_for(lambda: ann.text("#title"), what="a page for %r" % bad)
        else:
            ann.wait_text("#title", bad.partition("#")[2])
        check_tame(ann)
    nc.send("/join constructor\nhello\n")
    ann.wait_shown("__proto__: hello")
    check_tame(ann)
    ann.finish(expected=["WebSocket connection to"])


def check_tame(b):
    equal(b.js("return window.broken"), None)
    tags = set(b.js("return [...document.querySelectorAll('#lines *, #people *, #rooms *, h1 *')].map((e) => e.localName)"))
    check(tags <= {"div", "span", "time", "a", "li", "button"}, tags)
    equal(b.js("return [...document.querySelectorAll('body *')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on'))).length"), 0)
    equal([h for h in b.js("return [...document.querySelectorAll('#lines a')].map((a) => a.protocol)") if h not in ("http:", "https:")], [])
    equal(b.js("return document.querySelectorAll('script, iframe, object, embed').length"), 1)


@page_test
def the_policy_forbids_what_is_not_the_page():
    d = started()
    b = page(d)
    b.js("const s = document.createElement('script'); s.textContent = 'window.broken = 1'; document.body.append(s);"
         "const i = document.createElement('img'); i.src = 'http://127.0.0.1:1/x.png'; document.body.append(i);"
         "document.body.insertAdjacentHTML('beforeend', '<p id=p style=\"color: red\" onclick=\"window.broken = 1\">x</p>'); p.click()")
    wait_for(lambda: len(b.spied()["forbidden"]) >= 4, what="what is forbidden, which is %r" % b.spied()["forbidden"])
    equal(b.js("return window.broken"), None)
    b.close()  # with its complaints


# --- how it is used, and by whom ---


@page_test
def the_keyboard_is_enough():
    d = started()
    ann, nc = page(d, "ann"), Nc(d, "cleo")
    from selenium.webdriver.common.keys import Keys
    entry = lambda: ann.js("return document.querySelector('#entry').value")
    focus = lambda: ann.js("const e = document.activeElement; return e.id || (e.closest('[id]')?.id ?? '') + ' ' + e.localName")
    equal(focus(), "entry")  # one can write at once
    # A command by its first letter, chosen from a list.
    ann.keys("/h")
    wait_for(lambda: ann["#suggestions"].is_displayed(), what="the commands")
    options = ann.js("return [...document.querySelectorAll('#suggestions [role=option]')].map((e) => e.textContent)")
    check(any(o.startswith("/help") for o in options) and all(o.startswith("/h") for o in options), options)
    ann.keys(Keys.ARROW_DOWN)
    chosen = ann.js("return document.querySelector('#' + document.querySelector('#entry').getAttribute('aria-activedescendant')).textContent")
    check(chosen == options[0], chosen)
    ann.keys(Keys.ESCAPE)
    check(not ann["#suggestions"].is_displayed())
    ann.keys("el", Keys.TAB)
    check(entry().startswith("/help"), entry())
    ann.keys("\n")
    wait_for(lambda: any("/nick" in l for l in ann.shown(".reply")), what="the help")
    ann.keys("/who\n")
    ann.wait_shown("2 people in lobby: ann, cleo")
    # A name by its first letters.
    ann.keys("cl", Keys.TAB, "hello\n")
    nc.expect("ann: cleo: hello")
    # Several lines, each a message.
    ann.keys("one")
    ann.with_shift("\n")
    ann.keys("two")
    equal(entry(), "one\ntwo")
    ann.wait_text("#hint", "2")
    ann.keys("\n")
    nc.expect("ann: one\n")
    nc.expect("ann: two\n")
    ann.wait_shown("ann: two")
    # Many lines are sent only by who wants it.
    ann.paste("\n".join("pasted %d" % i for i in range(20)))
    ann.keys("\n")
    ann.wait_text("#hint", "20")
    equal([l for l in ann.shown() if "pasted" in l], [])
    ann.keys("\n")
    nc.expect("ann: pasted 19\n")
    equal(entry(), "")
    ann.wait_shown("ann: pasted 19")
    # Each place is reached by Tab, and seen when it is.
    ann.js("document.activeElement.blur(); getSelection().removeAllRanges(); window.scrollTo(0, 0)")
    ann.driver.get(d.url)
    ann.wait_connected()
    wait_for(lambda: len(ann.rooms()) == 2, what="the rooms")
    reached = []
    for _ in range(25):
        ann.with_shift(Keys.TAB)
        reached.append(focus())
        outline = ann.js("const s = getComputedStyle(document.activeElement); return document.activeElement === document.body ? '3px' : s.outlineWidth")
        check(outline not in ("", "0px"), reached[-1], outline)
    for place in ("log", "room-name", "nick", "rooms button"):
        check(place in reached, place, "is not among", reached)
    # The other room, by a key.
    ann.js("[...document.querySelectorAll('#rooms button')].find((b) => b.textContent.startsWith('den')).focus()")
    ann.keys("\n")
    ann.wait_text("#title", "den")


@page_test
def a_phone_in_the_dark():
    d = started()
    nc = Nc(d, "cleo")
    nc.say("a word that is longer than any phone is wide: " + "w" * 300)
    nc.say("https://example.org/" + "x" * 300)
    b = page(d, "ann", phone=True, dark=True)
    b.wait_shown("cleo: https://example.org/" + "x" * 300)
    wide = lambda: b.js("return [document.documentElement.scrollWidth, innerWidth, document.querySelector('#log').scrollWidth - document.querySelector('#log').clientWidth]")
    equal(wide(), [390, 390, 0])
    check(not b["#rooms-panel"].is_displayed() and not b["#people-panel"].is_displayed())
    b["#people-toggle"].click()
    check(b["#people-panel"].is_displayed())
    equal(b["#people-toggle"].get_attribute("aria-expanded"), "true")
    equal(wide(), [390, 390, 0])
    b["#rooms-toggle"].click()
    check(b["#rooms-panel"].is_displayed() and not b["#people-panel"].is_displayed())
    b.js("[...document.querySelectorAll('#rooms button')].find((b) => b.textContent.startsWith('den')).click()")
    b.wait_text("#title", "den")
    check(not b["#rooms-panel"].is_displayed())
    b.say("from a phone")
    b.wait_shown("ann: from a phone")
    # What is touched is large enough to be hit (WCAG 2.2: 24 pixels).
    small = b.js("return [...document.querySelectorAll('button, input, textarea')].filter((e) => e.offsetParent && Math.min(e.offsetWidth, e.offsetHeight) < 24).map((e) => e.id || e.textContent)")
    equal(small, [])
    shade = lambda: b.js("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, v) => a + Number(v), 0)")
    check(shade() < 200, shade())
    b.dark(False)
    check(shade() > 600, shade())


CONTRAST = """
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (c) => rgb(c).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const nick = document.querySelector("#lines .nick"), style = getComputedStyle(document.documentElement);
  let worst = [99];
  for (let hue = 0; hue < 360; hue++) {
    nick.style.setProperty("--hue", hue);
    for (const back of ["--back", "--panel", "--mine"]) {
      const c = contrast(getComputedStyle(nick).color, style.getPropertyValue(back).trim());
      if (c < worst[0]) worst = [c, hue, back];
    }
  }
  return worst;
"""


@page_test
def every_name_can_be_read():
    """Its colour is by chance, so each one that there is has to be told from what is behind it (WCAG AA: 4.5)."""
    d = started()
    b = page(d, "ann")
    b.say("hello")
    b.wait_shown("ann: hello")
    for dark in (False, True):
        b.dark(dark)
        worst = b.js(CONTRAST)
        note("%s: the least contrast of a name is %.2f" % ("dark" if dark else "light", worst[0]))
        check(worst[0] >= 4.5, worst)


def axe():
    """axe-core, which npm gets for this test alone; CHATD_AXE names a file that is there already."""
    given = os.environ.get("CHATD_AXE")
    if given:
        with open(given) as f:
            return f.read()
    need("npm")
    cache = os.path.join(BUILD, "axe")
    if not glob.glob(cache + "/node_modules/axe-core/axe.min.js"):
        os.makedirs(cache, exist_ok=True)
        try:
            p = run("npm", "install", "--prefix", cache, "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@4", timeout=100)
        except subprocess.TimeoutExpired:
            raise Skip("npm could not get axe-core in time")
        if p.returncode:
            raise Skip("npm could not get axe-core")
    with open(cache + "/node_modules/axe-core/axe.min.js") as f:
        return f.read()


@page_test
def axe_finds_nothing():
    script = axe()
    d = with_accounts()
    d.start()
    b = Browser(d.url)
    wait_for(lambda: b["#login"].is_displayed(), what="the dialog")
    b.cdp("Runtime.evaluate", expression=script)  # the policy would forbid a script element

    def look(what):
        result = b.driver.execute_async_script(
            "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(arguments[0], (e) => arguments[0]({ error: String(e) }))")
        check("error" not in result, what, result.get("error"))
        found = ["%s: %s: %s" % (v["id"], v["help"], "; ".join(n["html"][:150] + " " + n["failureSummary"][:200] for n in v["nodes"][:3])) for v in result["violations"]]
        equal((what, found), (what, []))
        return len(result["passes"])

    for dark in (False, True):
        b.dark(dark)
        look("the login")
    log_in(b)
    nc = Nc(d, "cleo")
    nc.say("see https://example.org/ and this")
    nc.say("and that")
    nc.say("/me waves")
    nc.say("/msg alice psst")
    b.say("mine")
    b.say("/nosuchcommand")
    b.say("/help")
    b.wait_shown("alice: mine")
    b.write("/")
    wait_for(lambda: b["#suggestions"].is_displayed(), what="the commands")
    passes = [(b.dark(dark), look("the page, dark: %s" % dark))[1] for dark in (False, True)]
    b["#entry"].clear()
    b.cdp("Emulation.setDeviceMetricsOverride", **PHONE)
    for panel in ("rooms", "people"):
        b["#%s-toggle" % panel].click()
        look("a phone with its %s" % panel)
        b.keys("\ue00c")
    note("%d rules were passed" % min(passes))


@page_test
def a_screen_reader_is_told():
    """What axe can't know: what is said when, and what isn't."""
    d = started()
    nc = Nc(d, "cleo")
    for i in range(100):
        nc.say("line %d" % i)
    nc.expect("line 99")
    b = page(d, "ann")
    b.wait_shown("cleo: line 99")
    equal(b.js("const l = document.querySelector('#log'); return [l.getAttribute('role'), l.getAttribute('aria-label') !== null]"), ["log", True])
    for status in ("#state", "#hint"):
        equal(b[status].get_attribute("role"), "status")
    # What is old isn't read aloud when it comes by scrolling: the log says so.
    b.js("""window.quiet = []; const log = document.querySelector('#log');
            new MutationObserver((all) => { for (const m of all) if ([...m.addedNodes].some((n) => n.message?.text === 'line 10')) quiet.push(log.getAttribute('aria-live')); })
              .observe(document.querySelector('#lines'), { childList: true })""")
    while "cleo: line 10" not in b.shown():
        before = len(b.shown())
        b.js("document.querySelector('#log').scrollTop = 0")
        wait_for(lambda: len(b.shown()) > before, what="older ones")
    equal(set(b.js("return quiet")), {"off"})
    wait_for(lambda: b["#log"].get_attribute("aria-live") is None, what="a log that speaks")
    tree = b.cdp("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value")) for n in tree if n.get("role") and not n.get("ignored")}
    for role, name in (("log", "Messages"), ("textbox", "Message"), ("navigation", "Rooms"), ("complementary", "People"), ("main", "")):
        check(any(r == role and (n or "").startswith(name) for r, n in named), role, name, "is not among", sorted(named, key=str))


@test
def the_script_is_javascript():
    need("node")
    p = run("node", "--check", os.path.join(SOURCE, "daemon", "web", "page", "chat.js"))
    equal((p.returncode, p.stderr), (0, b""))


# --- pictures for the README: CHATD_SCREENSHOTS names the folder ---


@page_test
def pictures():
    folder = os.environ.get("CHATD_SCREENSHOTS")
    if not folder:
        raise Skip("CHATD_SCREENSHOTS names no folder")
    d = started(rooms=ROOMS + ', { name = "kitchen"; history = 20; }')
    tom, eva = Nc(d, "tom"), Nc(d, "eva")
    mia = Browser(d.url, nick="mia", size=(1180, 760))
    mia.wait_connected()
    for who, text in ((tom, "The new release is on the test machine: https://example.org/changes"), (tom, "Could somebody look at it before we go?"),
                      (mia, "I'll do it now."), (eva, "/me fetches a coffee"), (eva, "Nobody was thrown out by the restart this time"), (tom, "Nobody ever is."),
                      (mia, "Looks good. I'm writing this from a browser, by the way."), (eva, "And I by nc.")):
        who.say(text)
        eva.expect(text.replace("/me ", ""))
    mia.wait_shown("eva: And I by nc.")
    mia.wait_text("#people", "tom")
    mia.js("document.activeElement.blur()")
    mia.driver.save_screenshot(os.path.join(folder, "web-desktop.png"))
    phone = Browser(d.url, nick="zoe", phone=True, dark=True)
    phone.wait_shown("eva: And I by nc.")
    phone.say("Hello from the train")
    phone.wait_shown("zoe: Hello from the train")
    phone.js("document.activeElement.blur()")
    phone.driver.save_screenshot(os.path.join(folder, "web-phone.png"))
    for name in ("web-desktop.png", "web-phone.png"):
        size = os.path.getsize(os.path.join(folder, name))
        note("%s: %d bytes" % (name, size))
        check(size < 150000, name, size)


main()
