"""The command `scripts/hostile`: runs attacks by name, and prints what innocent clients saw."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby

import click
import trio

from attacks import honest
from attacks.attack import Attack
from attacks.clusters import cluster_of
from attacks.run import ATTACK_SECONDS, measure
from attacks.verdict import Figures, Outcome, markdown, row_of, table
from attacks.ways import ATTACKS
from benchmarks.command import machine


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listed", is_flag=True, help="Name the attacks, and what each one does.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print them as a table of a document.")
@click.option("--seconds", type=click.FloatRange(0.5), default=ATTACK_SECONDS, help="How long each lasts.")
def main(names: Sequence[str], listed: bool, as_json: bool, as_markdown: bool, seconds: float) -> None:
    """Attack real nodes; without a name in every way. Exit code 1 if a verdict is not ok."""
    if listed:
        for attack in ATTACKS.values():
            print(f"{attack.name:24} {attack.what}")
        return
    if unknown := [name for name in names if name not in ATTACKS]:
        raise click.UsageError(f"no such attack: {', '.join(unknown)}; --list names them")
    chosen = [ATTACKS[name] for name in names] or list(ATTACKS.values())
    outcomes = trio.run(run_all, chosen, seconds)
    if as_json:
        figures = {outcome.name: outcome.describe() for outcome in outcomes}
        print(json.dumps({"machine": machine(), "attacks": figures}, indent=2))
    else:
        print(markdown(outcomes) if as_markdown else table(outcomes))
    if any(outcome.problems for outcome in outcomes):
        sys.exit(1)


async def run_all(chosen: Sequence[Attack], seconds: float) -> list[Outcome]:
    """Run attacks, those of one kind on one cluster, after a busy honest node on the same cluster."""
    outcomes: list[Outcome] = []
    ordered = sorted(chosen, key=lambda attack: attack.kind.value)
    for kind, attacks in groupby(ordered, key=lambda attack: attack.kind):
        async with cluster_of(kind) as cluster:
            baseline: Figures | None = None
            base_mb = 0.0
            for attack in (honest.load_on(kind), *attacks):
                base_mb = base_mb or cluster.resident_mb
                outcome = await measure(attack, cluster, base_mb, baseline, seconds)
                if baseline is None:
                    baseline, base_mb = outcome.innocents, outcome.memory.after
                outcomes.append(outcome)
                print("  ".join(row_of(outcome)), file=sys.stderr)
    return outcomes
