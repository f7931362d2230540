"""The fuzzer finds what is hidden behind several steps, the same with the same seed, and makes it small."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fuzzing import command
from fuzzing.fuzzer import Fuzzer
from fuzzing.inputs import Steps, from_text, name_of, smaller, to_text
from fuzzing.layer import Layer
from tests.fuzz import tape


def run(steps: Steps) -> int:
    """Raises for one step in 65,536: what it wants has to be found check by check."""
    for step in steps:
        wanted = [byte % 16 for byte in step[:4]]
        if wanted[:1] != [3]:
            continue
        if wanted[1:2] != [9]:
            continue
        if wanted[2:3] != [10]:
            continue
        if wanted[3:4] == [5]:
            raise ZeroDivisionError
    return sum(map(len, steps))


def layer_of(runner: object = run) -> Layer:
    return Layer("scan", "", runner, tape.choices, ("/fuzz/test_fuzzer",), base_steps=10**6, steps_per_byte=0)  # type: ignore[arg-type]


def found(seed: int, runs: int = 20_000) -> Fuzzer:
    fuzzer = Fuzzer(layer_of(), seed)
    fuzzer.go_on(lambda: fuzzer.runs < runs and not fuzzer.findings)
    return fuzzer


@pytest.mark.slow
def test_it_finds_what_lies_behind_several_checks_and_makes_it_small() -> None:
    (finding,) = found(4).findings.values()
    assert finding.kind.startswith("ZeroDivisionError")
    assert [[byte % 16 for byte in step] for step in finding.steps] == [[3, 9, 10, 5]]


def test_a_seed_decides_the_whole_run() -> None:
    one, same, other = (found(seed, runs=300) for seed in (1, 1, 2))
    assert one.corpus == same.corpus
    assert one.corpus != other.corpus


def test_inputs_are_the_same_after_they_were_written_and_read() -> None:
    random = Random(0)
    inputs = [tuple(random.randbytes(random.randrange(4)) for _ in range(1 + number)) for number in range(5)]
    text = "# a comment\n" + "\n".join(map(to_text, inputs))
    assert from_text(text) == inputs
    assert len({name_of(steps) for steps in inputs}) == len(inputs)


def test_smaller_inputs_are_smaller() -> None:
    steps = (b"abcdef", b"", b"g" * 300)
    sizes = [len(to_text(each)) for each in smaller(steps)]
    assert max(sizes) < len(to_text(steps))


@pytest.mark.slow
def test_a_finding_is_written_to_a_file_and_told_with_the_command_that_replays_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.layers.LAYERS", {"scan": layer_of()})
    monkeypatch.setattr(command, "KEPT", tmp_path / "kept")
    arguments = ["scan", "--runs", "3400", "--seed", "4", "--findings", str(tmp_path / "found")]
    assert command.main(arguments) == 1
    (path,) = (tmp_path / "found").glob("scan-*.txt")
    assert f"replay: scripts/fuzz scan --replay {path}" in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError):
        command.main(["scan", "--replay", str(path)])


def test_a_layer_that_keeps_its_promises_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.layers.LAYERS", {"scan": layer_of(lambda steps: len(steps))})
    monkeypatch.setattr(command, "KEPT", tmp_path / "kept")
    assert command.main(["scan", "--runs", "50", "--keep"]) == 0
    assert "50 inputs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nothing"])
