"""The command `scripts/bench`: runs benchmarks by name and prints their figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import click
import trio

from benchmarks.cluster_changes import cluster_changes
from benchmarks.cluster_size import cluster_size
from benchmarks.million import million
from benchmarks.nodes import BenchmarkError
from benchmarks.quorum import apply_quorum, get_quorum, import_quorum, query_indexed, visible
from benchmarks.repair import repair
from benchmarks.repair_rivals import repair_rivals
from benchmarks.rivals import rivals
from benchmarks.rpc import rpc
from benchmarks.scale import FULL, TINY, Scale
from benchmarks.snapshot import snapshot
from benchmarks.status import status_of_many
from benchmarks.watch import watch
from benchmarks.writes import applies, imports
from gossipnode.concurrency.nursery_errors import one_error

Benchmark = Callable[[Scale], Awaitable[dict[str, object]]]

LONG = "million"
"""Takes many minutes and 5 GB of disk at full scale, so it runs only when it is named."""


async def help_time(scale: Scale) -> dict[str, object]:
    """How long a bare `--help` takes, as a whole process."""
    took: list[float] = []
    for _ in range(scale.starts):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "gossipnode", "--help"], check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
        took.append(time.perf_counter() - began)
    return {"seconds": round(statistics.median(took), 3)}


BENCHMARKS: Mapping[str, Benchmark] = {
    "help": help_time,
    "rpc": rpc,
    "import": imports,
    "apply-1": partial(applies, 1),
    "apply-64": partial(applies, 64),
    "apply-quorum": apply_quorum,
    "get-quorum": get_quorum,
    "import-quorum": import_quorum,
    "visible": visible,
    "query": query_indexed,
    "cluster-changes": cluster_changes,
    "cluster-size": cluster_size,
    "status": status_of_many,
    "rivals": rivals,
    "repair": repair,
    "repair-rivals": repair_rivals,
    "snapshot": snapshot,
    "watch": watch,
    LONG: million,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option(
    "--records", type=click.IntRange(1), help="Records in the large benchmarks: 100,000 unless given."
)
@click.option("--tiny", is_flag=True, help="See whether they run, in seconds: the figures say nothing.")
def main(names: tuple[str, ...], records: int | None, tiny: bool) -> None:
    """Run the benchmarks named; without a name all of them, `million` only with --tiny."""
    scale = TINY if tiny else FULL
    if records is not None:
        scale = replace(scale, records=records)
    figures: dict[str, object] = {"machine": machine(), "scale": scale.name}
    for name in names or [name for name in BENCHMARKS if tiny or name != LONG]:
        print(f"{name} ...", file=sys.stderr)
        try:
            figures[name] = trio.run(limited, BENCHMARKS[name], scale)
        except BenchmarkError as error:
            raise click.ClickException(f"{name}: {error}") from None
    print(json.dumps(figures, indent=2))


async def limited(benchmark: Benchmark, scale: Scale) -> dict[str, object]:
    """Run a benchmark; one that takes longer than the scale allows fails, because it probably hangs."""
    with one_error(), trio.move_on_after(scale.limit_seconds):
        return await benchmark(scale)
    raise BenchmarkError(f"did not end within {scale.limit_seconds:g} s")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
