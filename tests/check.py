#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What `./dev check` does: it builds, looks at the source, and runs all tests, plainly and under sanitizers, side by side.

Most tests wait most of the time, so several run at once, and the sanitizers' builds are made meanwhile with the lowest
priority. Tests that measure what others wait for run when all else is done, one at a time. The output of every step is
in build/check. What failed is said once more at the very end, in few lines, as the end is what one sees first.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

RESULTS = "build/check"
CORES = os.cpu_count() or 1
# Test programs at a time: most wait most of the time. Each has its own directories and ports (testing.py).
TESTS_AT_ONCE = CORES + 1
# What takes longer hangs.
PATIENCE = 1500
# Beside these nothing may run, in the plain build: they measure what honest people wait for.
ALONE = ("attacks.py",)
# These take long, so they begin first.
LONG = ("faults.py", "container.py", "web_page.py", "irc_state.py", "cluster.py", "cluster_survive.py", "cluster_setup.py", "survive.py", "supervise.py", "tls.py", "tls_survive.py", "access.py", "upgrade.py", "connections.py", "admin.py", "chat.py", "join.py")
# Not under TSan, which finds nothing in a program of one thread: what these are about is a browser, chatctl, a parent process,
# an older build, or a model that is run through for minutes. What chatd's threads do meanwhile is what all others test.
NO_THREADS = ("web_page.py", "shells.py", "join.py", "last_good.py", "supervise.py", "upgrade.py", "image.py", "cluster_setup.py",
              "test_store_crash", "test_store_trouble", "test_store_keep", "cluster/test_misuse",
              "cluster/test_presence", "irc/test_channels", "cluster/test_cluster", "cluster/test_names", "test_cluster_file", "test_keeper")
# A short one of each kind, for `./dev check quick`.
QUICK = {"chat.py": "conversation_with_nc", "connections.py": "browsers_are_turned_away",
         "admin.py": "a_bad_file_changes_nothing", "survive.py": "an_abort_is_survived", "supervise.py": "an_abort_is_survived",
         "last_good.py": "what_was_reloaded_is_what_goes_on", "udp.py": "conversation_with_nc",
         "zmq.py": "requests_are_answered", "access.py": "logins", "tls.py": "nobody_notices", "attacks.py": "a_gigabyte_without_a_newline", "shells.py": "bash",
         "cluster.py": "a_room_that_is_made_by_a_client_is_on_each_node", "join.py": "piped_over_tcp", "container.py": "starts_and_tells_so"}
# The lines of each failure, and of all of them, that are said at the end.
REASON, REASONS = 15, 100


class Step:
    """A command. needs: what must have passed, after: what must have ended; cores: how many of them it keeps busy; low: with
    the lowest priority; alone: with nothing beside it."""

    def __init__(self, name, *command, needs=(), after=(), cores=1, low=False, alone=False, env=None):
        self.name, self.command, self.needs, self.after = name, command, needs, after
        self.cores, self.low, self.alone = min(cores, CORES), low, alone
        self.env = dict(os.environ, **(env or {}))
        self.log = "%s/%s.log" % (RESULTS, re.sub(r"[^\w.]+", "-", name).strip("-"))
        self.process = None
        self.passed = self.failed = self.skipped = self.took = self.cpu = 0
        self.notes, self.failures = [], []  # failures: what, and the lines of the reason

    def start(self):
        def lowest():
            os.nice(19)
            try:  # the kernel may share the CPU among sessions first
                with open("/proc/self/autogroup", "w") as f:
                    f.write("19")
            except OSError:
                pass
        self.began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, preexec_fn=lowest if self.low else None)

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.process.wait()

    def poll(self):
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if not pid:
            return None
        self.cpu = usage.ru_utime + usage.ru_stime
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode

    def has_ended(self):
        status = self.poll()
        self.took = time.monotonic() - self.began
        if status is None and self.took > PATIENCE:
            status = self.stop()
        if status is None:
            return False
        with open(self.log, errors="replace") as f:
            self.lines = f.read().splitlines()
        self.judge(status)
        return True

    def judge(self, status):
        self.passed, self.failed = (1, 0) if status == 0 else (0, 1)
        self.notes = [line for line in self.lines if line.startswith("# ")]
        if self.failed:
            self.failures.append((self.name, self.reason(r"\berror\b|\bwarning\b|FAILED|Sanitizer")))

    def reason(self, pattern):
        """From the first line on that looks like it; else the end."""
        first = next((i for i, l in enumerate(self.lines) if re.search(pattern, l)), max(0, len(self.lines) - REASON))
        return self.lines[first:]


class Program(Step):
    """A program of tests, which speaks TAP. It keeps no core busy, since tests wait."""

    def __init__(self, name, *command, **options):
        super().__init__(name, *command, cores=0, **options)

    def judge(self, status):
        planned, why = 0, None
        for line in self.lines:
            if m := re.match(r"1\.\.(\d+)$", line):
                planned = int(m.group(1))
            elif m := re.match(r"ok \d+ - (.*?) *# SKIP *(.*)", line):
                self.skipped += 1
                self.notes.append("skipped: %s: %s" % m.groups())
            elif re.match(r"ok \d+", line):
                self.passed += 1
                why = None
            elif m := re.match(r"not ok \d+ - (\S+)", line):
                self.failed += 1
                why = []
                self.failures.append(("%s: %s" % (self.name, m.group(1)), why))
            elif why is not None and not line.startswith("# log: "):
                why.append(line)
            elif why is None and line.startswith("# ") and not line.startswith("# ok - "):
                self.notes.append(line)
        ran = self.passed + self.failed + self.skipped
        if ran != planned or planned == 0 or (status != 0 and not self.failed):
            self.failed += 1
            self.failures.append(("%s: status %d after %d of %d tests" % (self.name, status, ran, planned),
                                  self.reason("Sanitizer|runtime error")))


def tell(step):
    if isinstance(step, Program):
        counts = ", ".join("%d %s" % (n, what) for n, what in (
            (step.passed, "passed"), (step.failed, "FAILED"), (step.skipped, "skipped")) if n)
    else:
        counts = "FAILED" if step.failed else "ok"
    print("%6.1f s  %s: %s" % (step.took, step.name, counts))
    for note in step.notes:
        print("          " + note)
    if step.failed:
        print("--- %s" % step.log)
        print("\n".join(step.lines[-2000:]))
        print("---")
    sys.stdout.flush()


def run(steps):
    """All of them, each when what it needs has passed, in their order where there is a choice."""
    waiting, running, ended = list(steps), [], {}

    def may_start(step):
        if any(s.alone for s in running):
            return False
        if step.alone:
            return not running and not any(not s.alone for s in waiting)
        if isinstance(step, Program):
            return sum(isinstance(s, Program) for s in running) < TESTS_AT_ONCE
        return sum(s.cores for s in running) + step.cores <= CORES

    try:
        while waiting or running:
            for step in list(waiting):
                missing = [n for n in step.needs if n not in ended or ended[n].failed]
                if any(n in ended for n in missing):
                    step.failed, step.lines = 1, []
                    step.failures.append((step.name, ["needs " + ", ".join(missing)]))
                    ended[step.name] = step
                    waiting.remove(step)
                elif not missing and all(n in ended for n in step.after) and may_start(step):
                    step.start()
                    running.append(step)
                    waiting.remove(step)
            time.sleep(0.05)
            for step in list(running):
                if step.has_ended():
                    running.remove(step)
                    ended[step.name] = step
                    tell(step)
    finally:
        for step in running:
            step.stop()
    return list(ended.values())


def source(name, function, **options):
    """A step that is a function of ./dev."""
    return Step(name, "./dev", "step", *function.split(), **options)


def test_names():
    with open("tests/tests.am") as f:
        text = f.read()
    # Some are added for what may be left out of a build, which isn't here.
    lists = [" ".join(re.findall(r"^%s \+?= \\\n((?:\t.*\n)+)" % name, text, re.M)).replace("\\", "").split()
             for name in ("UNIT_TESTS", "SYSTEM_TESTS")]
    order = {name: i for i, name in enumerate(LONG)}
    return lists[0], sorted(lists[1], key=lambda t: order.get(os.path.basename(t), len(order)))


def fuzz_targets():
    with open("tests/tests.am") as f:
        return re.search(r"^FUZZERS = (.*)$", f.read(), re.M).group(1).replace("fuzz_", "").split()


def environment(build, **more):
    top = os.getcwd()
    return dict(CMOCKA_MESSAGE_OUTPUT="TAP", BUILD_DIR=os.path.join(top, build), SOURCE_DIR=top, PYTHONDONTWRITEBYTECODE="1",
                TSAN_OPTIONS="suppressions=%s/tests/tsan.supp" % top, **more)


def programs(build, suffix, needs, without="-", **more):
    """All tests of that build."""
    unit, system = test_names()
    unit, system = ([t for t in tests if not t.endswith(without)] for tests in (unit, system))
    env = environment(build, **more)
    steps = [Program(t + suffix, "%s/%s" % (build, t), needs=needs, env=env) for t in unit]
    for t in system:
        # What the plain run builds is there for the others.
        after = [t] if suffix and os.path.basename(t) == "upgrade.py" else []
        steps.append(Program(t + suffix, sys.executable, t, needs=needs, after=after, env=env, alone=not suffix and os.path.basename(t) in ALONE))
    return steps


BUILD, ASAN, TSAN, FUZZ = "build (gcc, warnings are errors)", "build (ASan, UBSan, fault points)", "build (TSan)", "build (fuzz targets)"


def looks():
    """What looks at the source only."""
    return [source("clang-format", "check_format", low=True), source("direction of includes", "check_direction", low=True),
            source("shell and Python", "check_scripts", low=True), source("man pages", "check_man", low=True),
            *(Step("source: " + rule, sys.executable, "tests/source.py", rule, low=True)
              for rule in ("sizes", "tops", "circles", "names", "suppressions", "claims", "spelling"))]


def everything():
    seconds = os.environ.get("FUZZ_SECONDS", "6")
    sanitized = {"CHATD_TEST_SCALE": "0.2", "CHATD_NO_CONTAINER": "1"}
    steps = [source(BUILD, "build_plain", cores=CORES)]
    steps += [source(name, function, needs=[BUILD], cores=CORES, low=True)
              for name, function in ((ASAN, "build_asan"), (TSAN, "build_tsan"), (FUZZ, "build_fuzz"))]
    steps += programs("build", "", [BUILD])
    steps += programs("build/asan", " (ASan, UBSan)", [ASAN], **sanitized)
    steps += programs("build/tsan", " (TSan, by send())", [TSAN], NO_THREADS, CHATD_TEST_IO_URING="false", **sanitized)
    steps += looks()
    steps += [source("make install", "check_install", needs=[BUILD], low=True),
              source("make dist", "check_dist", needs=[BUILD], low=True),
              source("without NATS, SQLite and libcurl", "check_without", needs=[BUILD], cores=CORES, low=True)]
    steps += [source("fuzz " + f, "fuzz_target %s %s" % (f, seconds), needs=[FUZZ]) for f in fuzz_targets()]
    steps += [source("clang-tidy", "check_tidy", needs=[BUILD], cores=CORES, low=True),
              source("cppcheck", "check_cppcheck", cores=CORES, low=True)]
    return steps


def quick():
    unit, system = test_names()
    env = environment("build")
    steps = [source(BUILD, "build_plain", cores=CORES), *looks()]
    steps += [Program(t, "build/" + t, needs=[BUILD], env=env) for t in unit]
    for t in system:
        name = os.path.basename(t)
        if name in QUICK:
            steps.append(Program(t, sys.executable, t, QUICK[name], needs=[BUILD], env=env, alone=name in ALONE))
    return steps


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # by way of run(), which ends all that runs
    shutil.rmtree(RESULTS, ignore_errors=True)
    os.makedirs(RESULTS)
    began = time.monotonic()
    steps = run(quick() if sys.argv[1:] == ["quick"] else everything())
    print("\n== how long the steps took, of %.0f s, and their CPU time, of %.0f s on %d cores" % (
        time.monotonic() - began, sum(s.cpu for s in steps), CORES))
    for step in sorted(steps, key=lambda s: -s.took):
        if step.took >= 1:
            print("%6.0f s %5.0f s  from %4.0f s  %s" % (step.took, step.cpu, step.began - began, step.name))
    failures = [f for s in steps for f in s.failures]
    if failures:
        print("\n== failed")
        each = min(REASON, max(1, REASONS // len(failures) - 1))
        for what, why in failures[:REASONS]:
            print("\n".join(["FAILED: " + what] + ["    " + line[:300] for line in why[:each]]))
    print("%d passed, %d failed, %d skipped" % tuple(sum(getattr(s, n) for s in steps) for n in ("passed", "failed", "skipped")))
    sys.exit(1 if failures else 0)


main()
