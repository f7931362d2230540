"""The command line of scripts/fuzz."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fuzzing.fuzzer import Finding, Fuzzer
from fuzzing.inputs import from_text, name_of, read_inputs, wrapped
from fuzzing.layer import Layer, replay
from fuzzing.lines import lines_of

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = REPOSITORY / "tests" / "fuzz" / "kept"
PROGRESS_SECONDS = 10.0
SECONDS_PER_MINUTE = 60.0


def parse(arguments: Sequence[str], layers: Mapping[str, Layer]) -> argparse.Namespace:
    abouts = "\n".join(f"  {name:10} {layer.about}" for name, layer in layers.items())
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description=f"Fuzz what takes bytes from others. Ends with 1 if a promise was broken.\n\n{abouts}",
        epilog="`scripts/fuzz leaks` counts what calls that were cut off leave behind.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="all by default")
    parser.add_argument("--minutes", type=float, default=1.0, help="processor time for each layer")
    parser.add_argument("--runs", type=int, default=0, help="inputs for each layer, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="hand the inputs of a file to one layer")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    parser.add_argument(
        "--keep", action="store_true", help="write a few inputs that reach everything to tests/fuzz/kept"
    )
    options = parser.parse_args(arguments)
    for name in options.layers:
        if name not in layers:
            parser.error(f"no layer {name}: expected one of {', '.join(layers)}")
    if options.replay is not None and len(options.layers) != 1:
        parser.error("--replay needs one layer")
    return options


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["leaks"]:
        from tests.leaks.command import main as count_leaks

        return count_leaks(arguments[1:])
    from tests.fuzz.layers import LAYERS

    options = parse(arguments, LAYERS)
    chosen = [LAYERS[name] for name in options.layers or LAYERS]
    if options.replay is not None:
        return replay_file(chosen[0], options.replay)
    found = sum(fuzz(layer, options) for layer in chosen)
    return 1 if found else 0


def replay_file(layer: Layer, path: Path) -> int:
    inputs = from_text(path.read_text("ascii"))
    for steps in inputs:
        replay(layer, steps)  # a broken promise is shown by its traceback
    print(f"{len(inputs)} inputs, no promise broken")
    return 0


def fuzz(layer: Layer, options: argparse.Namespace) -> int:
    """Fuzz one layer; gives the number of findings, which are written to files and printed."""
    fuzzer = Fuzzer(layer, options.seed)
    began = time.process_time()
    until = began + SECONDS_PER_MINUTE * options.minutes
    fuzzer.begin(read_inputs(KEPT / layer.name))
    fuzzer.go_on(lambda: say(fuzzer, began) and _more(fuzzer, options.runs, until))
    seconds = max(time.process_time() - began, 1e-9)
    total = lines_of(REPOSITORY / "gossipnode", layer.folders, layer.left_out)
    print(
        f"{layer.name}: {fuzzer.runs} inputs in {seconds:.0f} s of processor time "
        f"({fuzzer.runs / seconds:.0f} a second), {len(fuzzer.lines())} of {total} lines, "
        f"{len(fuzzer.corpus)} inputs reached something new, {len(fuzzer.findings)} findings"
    )
    for finding in fuzzer.findings.values():
        tell(layer, finding, options.findings)
    if options.keep:
        keep(fuzzer)
    return len(fuzzer.findings)


def _more(fuzzer: Fuzzer, runs: int, until: float) -> bool:
    return fuzzer.runs < runs if runs else time.process_time() < until


def _progress() -> Callable[[Fuzzer, float], bool]:
    told_at = time.monotonic()

    def say(fuzzer: Fuzzer, began: float) -> bool:
        nonlocal told_at
        if time.monotonic() - told_at >= PROGRESS_SECONDS:
            told_at = time.monotonic()
            print(
                f"{fuzzer.layer.name}: {time.process_time() - began:.0f} s, {fuzzer.runs} inputs, "
                f"{len(fuzzer.corpus)} kept, {len(fuzzer.arcs)} arcs, {len(fuzzer.findings)} findings",
                file=sys.stderr,
                flush=True,
            )
        return True

    return say


say = _progress()


def tell(layer: Layer, finding: Finding, folder: Path) -> None:
    """Write a finding to a file, and print it with the command that replays it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{layer.name}-{name_of(finding.steps)}.txt"
    path.write_text(f"# {finding.kind}\n{wrapped(finding.steps)}", "ascii")
    print(f"\nfinding: {finding.kind}\n{finding.trace}replay: scripts/fuzz {layer.name} --replay {path}")


def keep(fuzzer: Fuzzer) -> None:
    folder = KEPT / fuzzer.layer.name
    folder.mkdir(parents=True, exist_ok=True)
    texts = [wrapped(steps) for steps in fuzzer.worth_keeping()]
    (folder / "corpus.txt").write_text("\n".join(texts), "ascii")
