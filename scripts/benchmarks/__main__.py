"""Runs benchmarks by name and prints their figures, with what they were measured on, as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial

import click
import trio

from benchmarks.million import million
from benchmarks.quorum import apply_quorum, get_quorum, import_quorum, query_indexed, visible
from benchmarks.repair import repair
from benchmarks.rivals import rivals
from benchmarks.rpc import rpc
from benchmarks.writes import applies, imports

Benchmark = Callable[[], Awaitable[dict[str, object]]]


async def help_time() -> dict[str, object]:
    """How long a bare `--help` takes, as a whole process."""
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "gossipnode", "--help"], check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
        took.append(time.perf_counter() - began)
    return {"seconds": round(statistics.median(took), 3)}


def benchmarks(records: int) -> dict[str, Benchmark]:
    """Every benchmark by name."""
    return {
        "help": help_time,
        "rpc": rpc,
        "import": partial(imports, min(records, 40_000)),
        "apply-1": partial(applies, 1),
        "apply-64": partial(applies, 64),
        "apply-quorum": apply_quorum,
        "get-quorum": get_quorum,
        "import-quorum": partial(import_quorum, min(records, 20_000)),
        "visible": visible,
        "query": partial(query_indexed, records),
        "rivals": rivals,
        "repair": partial(repair, records),
        "million": partial(million, 10 * records),
    }


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(benchmarks(1))))
@click.option("--records", default=100_000, show_default=True, help="Records in the large benchmarks.")
def main(names: tuple[str, ...], records: int) -> None:
    """Run the benchmarks named, or all but `million`, which takes many minutes and 5 GB of disk."""
    known = benchmarks(records)
    figures: dict[str, object] = {"machine": machine()}
    for name in names or [name for name in known if name != "million"]:
        print(f"{name} ...", file=sys.stderr)
        figures[name] = trio.run(known[name])
    print(json.dumps(figures, indent=2))


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


main()
