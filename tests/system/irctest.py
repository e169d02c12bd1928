#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
irctest (https://github.com/progval/irctest, commit b00c039) against chatd: what IRC's specifications say, by tests that others
wrote. CHATD_IRCTEST is the folder that it is in; it is left as it is.

tests/irctest/left-out says which tests are not passed, and why. Those, and no others: one that passes has to be taken from the
list, and one that the list has not must pass.
"""

import collections
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

from testing import *

OURS = os.path.abspath(os.path.join(SOURCE, "tests", "irctest"))
# The tests that irctest's Makefile selects for servers without accounts (ngircd, inspircd); and all that are for every server.
PLAIN = "not services and not implementation-specific and not deprecated and not strict"
ALL = "not implementation-specific and not deprecated"


def replaced(path, *pairs):
    with open(path) as f:
        text = f.read()
    for old, new in pairs:
        check(old in text, "that is another irctest:", path, old)
        text = text.replace(old, new)
    with open(path, "w") as f:
        f.write(text)


def interpreter():
    """A Python that has pytest."""
    for python in "python3", "/usr/bin/python3":
        if run(python, "-c", "import pytest").returncode == 0:
            return python
    return None


def adapted(directory):
    """A copy that runs with Debian's pytest, and in which no test waits for ever."""
    theirs = os.environ.get("CHATD_IRCTEST")
    if not theirs:
        raise Skip("irctest isn't here: CHATD_IRCTEST is to be the folder that it is in")
    if not os.path.isdir(os.path.join(theirs, "irctest", "server_tests")):
        raise Skip("there is no irctest in " + theirs)
    if not interpreter():
        raise Skip("pytest isn't here")
    copy = os.path.join(directory, "irctest")
    shutil.copytree(theirs, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    # pluggy 1.0 has no hooks that are wrappers of the newer kind.
    replaced(os.path.join(copy, "conftest.py"),
             ("@pytest.hookimpl(wrapper=True)", "@pytest.hookimpl(hookwrapper=True)"),
             ("    try:\n        return (yield)\n", "    signal.alarm(%d)\n    outcome = yield\n    signal.alarm(0)\n"
              "    try:\n        outcome.get_result()\n" % PATIENCE),
             ("import importlib\n", "import importlib\nimport signal\n"),
             ("def pytest_addoption(", "def too_long(number, frame):\n    raise TimeoutError('it waited too long')\n\n\n"
              "signal.signal(signal.SIGALRM, too_long)\n\n\ndef pytest_addoption("))
    # Nor has its websockets what can be used without asyncio.
    replaced(os.path.join(copy, "irctest", "server_tests", "websocket.py"),
             ("from websockets.sync.client import", "from websockets_sync import"))
    return copy


def pytest(copy, *args):
    # Each with files of its own: irctest's list of ports isn't made for several at a time.
    own = tempfile.mkdtemp(dir=os.path.dirname(copy))
    env = dict(os.environ, PYTHONPATH=OURS, BUILD_DIR=os.path.abspath(BUILD), TMPDIR=own, PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run([interpreter(), "-m", "pytest", "-p", "no:cacheprovider", "--controller", "chatd", *args], cwd=copy, env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def selected(copy, markers):
    """The tests' names, by their files: {"join.py": {"JoinTestCase::testJoin", ...}}."""
    p = pytest(copy, "--collect-only", "-q", "-m", markers, "irctest/server_tests")
    found = collections.defaultdict(set)
    for line in p.stdout.splitlines():
        m = re.match(r"irctest/server_tests/(\S+?\.py)::(.*)", line)
        if m:
            found[m.group(1)].add(m.group(2))
    check(found, p.stdout[-2000:])
    return found


def left_out():
    """Which tests are not passed, and why: {"join.py::JoinTestCase::testJoin": reason}. A reason that begins with "not run" is
    one for not trying either."""
    reasons, reason = {}, None
    with open(os.path.join(OURS, "left-out")) as f:
        for line in f.read().splitlines():
            if line.startswith("#"):
                continue
            if line and not line[0].isspace():
                reason = line
            elif line.strip():
                check(reason and line.strip() not in reasons, "left-out:", line)
                reasons[line.strip()] = reason
    return reasons


def outcomes(copy, name):
    """What became of that file's tests: {test: None, it passed, or why not}."""
    report = os.path.join(copy, name.replace("/", "_") + ".xml")
    never = ["--deselect=irctest/server_tests/" + one for one, why in left_out().items() if why.startswith("not run")]
    p = pytest(copy, "-q", "-m", ALL, *never, "--tb=short", "--show-capture=stdout", "--junitxml", report, "irctest/server_tests/" + name)
    try:
        cases = xml.etree.ElementTree.parse(report).iter("testcase")
    except FileNotFoundError:
        raise Failure("%s: %s" % (name, p.stdout[-4000:]))
    prefix = "irctest.server_tests." + name[:-3].replace("/", ".") + "."
    found = {}
    for case in cases:
        problems = [child for child in case if child.tag in ("skipped", "failure", "error")]
        test = "%s::%s" % (case.get("classname")[len(prefix):], case.get("name"))
        found[test] = None if not problems else "%s: %s\n%s" % (problems[0].tag, problems[0].get("message"), problems[0].text)
    return found


@test
def what_specifications_say():
    with tempfile.TemporaryDirectory(prefix="chatd-irctest-") as directory:
        copy = adapted(directory)
        every, plain = selected(copy, ALL), selected(copy, PLAIN)
        files = sorted(every, key=lambda name: -len(every[name]))
        got = side_by_side(lambda name: outcomes(copy, name), files, os.cpu_count() or 1)
    reasons, wrong, passed = left_out(), [], set()
    for name, tests_of in zip(files, got):
        due = {one for one in every[name] if not reasons.get(name + "::" + one, "").startswith("not run")}
        equal(set(tests_of), due)
        for one, problem in tests_of.items():
            full = name + "::" + one
            if problem is None:
                passed.add(full)
            if problem is None and full in reasons:
                wrong.append("%s passes, and is still in the list of those that don't" % full)
            elif problem is not None and full not in reasons:
                wrong.append("%s\n%s" % (full, problem[-3000:]))
    known = {name + "::" + one for name in every for one in every[name]}
    wrong += ["there is no %s, which the list has" % name for name in sorted(set(reasons) - known)]
    for title, selection in (("without accounts", plain), ("with accounts and strict ones", every)):
        names = {name + "::" + one for name in selection for one in selection[name]}
        note("%s: %d of %d are passed, %d are left out" % (title, len(names & passed), len(names), len(names & set(reasons))))
    for problem in wrong:
        for line in problem.splitlines():
            note(line)
    check(not wrong, "%d tests are not as tests/irctest/left-out says" % len(wrong))


main()
