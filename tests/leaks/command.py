"""scripts/fuzz leaks: counts what a large number of calls and requests leave behind, and prints it."""

from __future__ import annotations

import argparse
import logging
import time
import tracemalloc
from collections.abc import Sequence
from functools import partial

import structlog
import trio
import trio.testing

from tests.leaks.calls import KINDS, leaks_of_calls
from tests.leaks.counting import SLACK_BYTES
from tests.leaks.requests import leaks_of_requests

WARM_UP = 500
"""Calls that are made before anything is counted: they fill the caches."""


def main(arguments: Sequence[str]) -> int:
    """Gives 1 if anything was left behind."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz leaks", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="of each kind, with and without losses")
    parser.add_argument("--requests", type=int, default=10_000, help="to a cluster of three nodes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("gossipnode.rpc").setLevel(logging.CRITICAL)
    found = 0
    for kind in KINDS:
        for losses in (False, True):
            run = partial(
                leaks_of_calls, kind, options.calls, seed=options.seed, losses=losses, warm_up=WARM_UP
            )
            found += count(f"{options.calls} {kind} calls{', connections lost' * losses}", run, traced=True)
    if options.requests:
        run = partial(leaks_of_requests, options.requests, seed=options.seed, warm_up=WARM_UP)
        found += count(f"{options.requests} requests to a cluster", run, traced=False)
    return 1 if found else 0


def count(what: str, run: partial[object], *, traced: bool) -> int:
    began = time.process_time()
    if traced:
        tracemalloc.start()
    leaks, ends, grown = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    tracemalloc.stop()
    if grown > SLACK_BYTES:
        leaks.append(f"{grown} bytes")
    ended = ", ".join(f"{number} {how}" for how, number in sorted(ends.items()))
    size = f"{grown} bytes, " * traced
    seconds = time.process_time() - began
    print(f"{what}: {ended}: {'; '.join(leaks) or 'nothing is left'} ({size}{seconds:.0f} s)", flush=True)
    return len(leaks)
