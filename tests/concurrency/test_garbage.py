"""A node looks for cycles seldom, and those that are made afterwards go all the same."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc, weakref
from gossipnode.concurrency.garbage import YOUNG_OBJECTS, look_less_often

class Node: pass

look_less_often()
assert gc.get_threshold()[0] == YOUNG_OBJECTS, gc.get_threshold()
assert gc.get_freeze_count() > 1000
one, other = Node(), Node()
one.other, other.one = other, one
gone = weakref.ref(one)
del one, other
kept = [[] for _ in range(2 * YOUNG_OBJECTS)]
assert gone() is None
"""


def test_cycles_are_looked_for_seldom_and_still_found() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
