# SPDX-License-Identifier: MIT
"""Older releases, built from the history, for tests that upgrade from them."""

import os
import shutil

from testing import *

COMMIT = "ac3e7bb"  # layout 4


def old_chatd(commit=COMMIT):
    """An old release's binary, built if need be."""
    built = os.path.join(os.path.abspath(SOURCE), "build", commit)
    binary = os.path.join(built, "build", "chatd")
    if commit == COMMIT:
        binary = os.environ.get("CHATD_OLD", binary)
    if os.path.exists(binary):
        return binary
    if SCALE < 1:
        raise Skip("%s is not built; the run without sanitizers does that" % commit)
    if run("git", "-C", SOURCE, "cat-file", "-e", commit + "^{commit}").returncode != 0:
        raise Skip("the history with %s is not here" % commit)
    tree = built + ".new"
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    log = run("sh", "-c", "git -C %s archive %s | tar x -C %s && cd %s && CC= CFLAGS=-O0 ./dev build" % (SOURCE, commit, tree, tree), timeout=900)
    if log.returncode != 0:
        raise Failure("%s can't be built:\n%s" % (commit, (log.stdout + log.stderr)[-3000:].decode()))
    shutil.rmtree(built, ignore_errors=True)
    os.rename(tree, built)
    return os.path.join(built, "build", "chatd")
