#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Rules about the source that no compiler knows (CONTRIBUTING.md): sizes, tops, circles, names, suppressions, what
docs/CLAIMS.md names, and the spelling of what is written for people.

What is found is printed, a line each. A rule that was never kept everywhere has a number of exceptions in ALLOWED, which
may only become smaller.
"""

import collections
import os
import re
import subprocess
import sys

FILE, FUNCTION = 500, 60
# So many are left of old; each number may only become smaller.
ALLOWED = {"sizes": 0, "tops": 0, "circles": 0, "names": 0, "suppressions": 0, "claims": 0, "spelling": 0}


def sources(*folders):
    names = subprocess.run(["git", "ls-files", "--"] + [f + "/*.[ch]" for f in folders], capture_output=True, text=True,
                           check=True).stdout.split()
    for name in names:
        try:
            with open(name) as f:
                yield name, f.read()
        except FileNotFoundError:
            pass  # removed, but not committed yet


def functions(text):
    """The name, the first line, how many lines, and whether it is static, of each function defined there."""
    for m in re.finditer(r"^(?!typedef|struct \w+ \{|enum|union \w+ \{|#)([a-z][^;{}=]*?\b(\w+)\([^;{}]*\))\n\{\n.*?^\}", text, re.M | re.S):
        yield m.group(2), text.count("\n", 0, m.start()) + 1, m.group(0).count("\n") + 1, m.group(1).startswith("static")


def top(text):
    """The comment behind the line of the licence; empty if there is none."""
    m = re.match(r"/\* SPDX[^\n]*\*/\n(/\*.*?\*/)", text, re.S)
    return m.group(1) if m else ""


def sizes():
    """No file or function is too long, unless the comment at the file's top says "Long because ..."."""
    for name, text in sources("common", "daemon", "cli"):
        if "Long because" in top(text):
            continue
        lines = text.count("\n")
        if lines > FILE:
            yield "%s has %d lines" % (name, lines)
        for function, line, n, _ in functions(text):
            if n > FUNCTION:
                yield "%s:%d: %s() has %d lines" % (name, line, function, n)


def tops():
    """Every file says at its top what it is."""
    for name, text in sources("common", "daemon", "cli", "tests"):
        if not top(text):
            yield "%s has no comment at its top" % name


def circles():
    """No two files (a .c and its .h are one) need each other, directly or by way of others."""
    includes = {}
    for name, text in sources("common", "daemon", "cli"):
        includes[name] = re.findall(r'^#include "([\w/]+\.h)"', text, re.M)
    needs = collections.defaultdict(set)

    def add(file, names, seen):
        for header in names:
            if header[:-2] + ".c" in includes:
                needs[file].add(header[:-2])
            elif header not in seen:  # a header without a .c is a part of whoever includes it
                add(file, includes.get(header, ()), seen | {header})
    for name in includes:
        if name[:-2] + ".c" in includes:
            add(name[:-2], includes[name], set())
            needs[name[:-2]].discard(name[:-2])

    def reached(start):
        seen, todo = set(), [start]
        while todo:
            for other in needs[todo.pop()] - seen:
                seen.add(other)
                todo.append(other)
        return seen
    reach = {name: reached(name) for name in list(needs)}
    for circle in sorted({tuple(sorted(o for o in reach[n] if n in reach.get(o, ()))) for n in reach if n in reach[n]}):
        yield "a circle: " + ", ".join(circle)


def names():
    """A static function's name is that of one file of its program only, so that gdb and perf can tell them apart."""
    for program in "daemon", "cli":
        where = collections.defaultdict(set)
        for name, text in sources("common", program):
            for function, line, _, static in functions(text):
                if static:
                    where[function].add(name)
        for function, files in sorted(where.items()):
            if len(files) > 1:
                yield "%s() is in %s" % (function, ", ".join(sorted(files)))


def suppressions():
    """A function that a sanitizer is told to pass over exists."""
    known = {function for _, text in sources("daemon") for function, *_ in functions(text)}
    with open("tests/tsan.supp") as f:
        for name in re.findall(r"^\w+:(\w+)$", f.read(), re.M):
            if name not in known:
                yield "tests/tsan.supp: there is no %s()" % name


def shows(what, targets, shapes, steps):
    """Whether a test, a bench, a fuzz target or a check is there, as docs/CLAIMS.md calls it."""
    kind, _, name = what.partition(" ")
    if what == "soak":
        return os.path.exists("tests/system/soak.py")
    if kind.endswith(".py"):
        path = "tests/system/" + kind
        return os.path.exists(path) and re.search(r"^(?:@\w+\n)+def %s\(\):" % re.escape(name), open(path).read(), re.M)
    known = {"bench": shapes, "step": steps, "source": ALLOWED}
    return name in known[kind] if kind in known else what in targets or os.path.exists("tests/unit/" + what)


def claims():
    """Each test, bench or check that docs/CLAIMS.md names exists, and each claim there has one."""
    def names_in(path, pattern):
        with open(path) as f:
            return set(re.findall(pattern, f.read(), re.M))
    known = (names_in("tests/tests.am", r"\bfuzz_\w+\b"), names_in("tests/bench/bench.py", r"^def shape_(\w+)"),
             names_in("dev", r"^(check_\w+)\(\)"))
    with open("docs/CLAIMS.md") as f:
        rows = [line.strip().strip("|").rsplit("|", 1) for line in f if re.match(r"\| (?!claim )", line)]
    for claim, where in rows:
        found = re.findall(r"`([^`]+)`", where)
        if not found or re.sub(r"`[^`]+`", "", where).strip(", "):
            yield "docs/CLAIMS.md: what shows%s?" % claim.rstrip()
        for what in found:
            if not shows(what, *known):
                yield "docs/CLAIMS.md: there is no %s" % what


# What the tests say in part: "to and fro", "hel", "noth*", and a frame that begins in the midst of a word.
NO_MISTAKES = "fro,hel,noth,ment"


def codespell():
    """What codespell finds, but for what fuzzers found, pictures, the escapes of strings and a macro of mdoc(7)."""
    names = subprocess.run(["git", "ls-files", "--", ".", ":!tests/fuzz/corpus", ":!*.svg"], capture_output=True, text=True, check=True).stdout.split()
    try:
        p = subprocess.run(["codespell", "-L", NO_MISTAKES, "--ignore-regex", r"\\[nrt]|^\.N\w", *filter(os.path.exists, names)],
                           capture_output=True, text=True)
    except FileNotFoundError:
        print("# codespell isn't here")
        return
    yield from p.stdout.splitlines()
    if p.returncode and not p.stdout:
        yield "codespell: " + p.stderr.strip()


def spelling():
    """No document has a word that is on lintian's list of misspelt ones, and no file one that is on codespell's."""
    yield from codespell()
    try:
        with open("/usr/share/lintian/data/spelling/corrections") as f:
            wrong = dict(line.strip().split("||", 1) for line in f if "||" in line and line[0] != "#")
    except FileNotFoundError:
        print("# lintian isn't here")
        return
    names = subprocess.run(["git", "ls-files", "--", "*.md", "NEWS", "man", "etc", "systemd", "completions", "debian/changelog",
                            "debian/control", "docs/prometheus", "docs/openapi.yaml"], capture_output=True, text=True,
                           check=True).stdout.split()
    for name in names:
        with open(name) as f:
            for number, line in enumerate(f, 1):
                for word in re.findall(r"[A-Za-z][A-Za-z']*", line):
                    if word.lower() in wrong:
                        yield "%s:%d: %s should be %s" % (name, number, word, wrong[word.lower()])


def main():
    status = 0
    for rule in [globals()[name] for name in sys.argv[1:] or ALLOWED]:
        found = list(rule())
        for what in found:
            print(what)
        print("# %s: %d, of %d allowed" % (rule.__name__, len(found), ALLOWED[rule.__name__]))
        if len(found) > ALLOWED[rule.__name__]:
            print("error: %s" % rule.__doc__)
            status = 1
    sys.exit(status)


main()
