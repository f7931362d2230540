"""The command `scripts/ablation`: takes safeguards out by name, and prints what found each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import click

from ablations.all_safeguards import SAFEGUARDS
from ablations.measure import Outcome, bench
from ablations.safeguard import NotOnceError

SEEDS = 12


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listed", is_flag=True, help="Name the safeguards, and what is taken out.")
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="At most, for each.")
@click.option("--jobs", type=click.IntRange(1), help="How many processes; if not given, one a processor.")
@click.option("-o", "--output", type=click.Choice(("text", "json", "markdown")), default="text")
def main(names: Sequence[str], listed: bool, seeds: int, jobs: int | None, output: str) -> None:
    """Take safeguards out of a copy of the product; without a name each of them, one after the other.

    The exit code is 1 if one is missed by nothing.
    """
    if listed:
        for safeguard in SAFEGUARDS.values():
            print(f"{safeguard.name:24} {safeguard.about}")
        return
    if unknown := [name for name in names if name not in SAFEGUARDS]:
        raise click.UsageError(f"no such safeguard: {', '.join(unknown)}; --list names them")
    outcomes: list[Outcome] = []
    with bench(seeds, jobs or os.cpu_count() or 1) as benched:
        for name in names or SAFEGUARDS:
            try:
                outcomes.append(benched.measure(SAFEGUARDS[name]))
            except NotOnceError as error:
                raise click.ClickException(f"{name}: {error}") from None
            print(line_of(outcomes[-1]), file=sys.stdout if output == "text" else sys.stderr, flush=True)
    if output == "json":
        print(json.dumps({"seeds": seeds, "safeguards": [each.describe() for each in outcomes]}, indent=2))
    elif output == "markdown":
        print(markdown(outcomes))
    if missed := [each.name for each in outcomes if not each.checks]:
        print(f"{len(missed)} of {len(outcomes)} found by nothing: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


def line_of(outcome: Outcome) -> str:
    """`name  check  seeds  seconds`."""
    found = ", ".join(outcome.checks) or "nothing"
    return f"{outcome.name:24} {found}  {outcome.seeds} seeds  {outcome.seconds:.0f} s"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a table of a document."""
    rows = ["| taken out | found by | seeds |", "| --- | --- | --- |"]
    for each in outcomes:
        found = ", ".join(f"`{check}`" for check in each.checks) or "nothing"
        rows.append(f"| `{each.name}`: {each.about} | {found} | {each.seeds} |")
    return "\n".join(rows)
