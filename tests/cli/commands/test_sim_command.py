"""`sim`: what it prints of seeds and scenarios, what it writes of a failure, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from gossipnode.cli.commands import sim_command
from gossipnode.sim.scenario import generate
from tests.cli.conftest import COMMAND, ENVIRONMENT, WAIT_SECONDS, Cli, refused

WRONG = """nodes a b
groups sw:1:2

@1 get a sw/n/1 -> live
@2 get b sw/n/1
@3 crash b
"""
SMALL = ("--nodes", "3", "--minutes", "0.2", "--operations", "10", "--faults", "crash,cut")


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A scenario that expects what does not happen, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.txt").write_text(WRONG)
    return "wrong.txt"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "5"], ["--seeds", "FROM:TO", "'5'"]),
        (["--seeds", "5:4"], ["--seeds", "FROM:TO"]),
        (["--seeds", "1:2", "--seed", "3"], ["--seed and --seeds"]),
        (["--nodes", "1"], ["--nodes", "2<=x<=16"]),
        (["--minutes", "0"], ["--minutes", "0 is not above 0"]),
        (["--minutes", "nan"], ["--minutes", "not above 0"]),
        (["--faults", "crash,flood"], ["--faults", "'flood'", "crash, "]),
        (["--faults", ""], ["--faults", "''"]),
        (["--scenario", "/nowhere/s.txt"], ["/nowhere/s.txt: cannot be read"]),
        (["--scenario", "/nowhere/s.txt", "--nodes", "3"], ["--scenario", "leave out --nodes"]),
        (["--history", "x.json"], ["--history", ".html"]),
        (["--history", "/nowhere/x.txt"], ["--history", "'/nowhere' is no directory"]),
        (["--history", "x.txt", "--seeds", "1:2"], ["--history", "--seeds"]),
        (["--jobs", "0"], ["--jobs"]),
    ],
)
def test_wrong_use(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, ["sim", *arguments], words)


def test_a_run_is_of_the_same_size_here_as_in_the_simulator() -> None:
    here = (sim_command.NODES, sim_command.MINUTES, sim_command.OPERATIONS)
    assert here == (generate.NODES, generate.MINUTES, generate.OPERATIONS)
    assert len(generate.NAMES) == sim_command.NODES_MAX


@pytest.mark.slow
def test_seeds_as_json_are_the_same_with_any_number_of_processes(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = cli("sim", *SMALL, "--seeds", "3:5", "--jobs", "1", "--no-shrink", "-o", "json")
    many = cli("sim", *SMALL, "--seeds", "3:5", "--jobs", "3", "--no-shrink", "-o", "json")
    assert one.out == many.out
    runs = [json.loads(line) for line in one.out.splitlines()]
    assert [run["seed"] for run in runs] == [3, 4, 5]
    assert list(runs[0]) == ["seed", "nodes", "faults", "operations", "checks", "reached", "violations"]
    assert (runs[0]["nodes"], runs[0]["faults"]) == (3, ["crash", "cut"])
    assert runs[0]["operations"] >= 10


@pytest.mark.slow
def test_a_run_in_which_all_holds_and_its_history(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text(WRONG.replace("live", "nothing"))
    for name in ("told.txt", "told.html"):
        ended = cli("sim", "--scenario", str(tmp_path / "s.txt"), "--history", str(tmp_path / name))
        assert (ended.code, ended.err) == (0, "")
    assert "seed 0: 2 operations in 0.1 minutes, 1 fault: " in ended.out
    assert ", all hold\n" in ended.out
    assert "steps  " in ended.out
    assert "crash           1" in ended.out
    assert "no such record" in (tmp_path / "told.txt").read_text()
    assert (tmp_path / "told.html").read_text().startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.txt", "told.html", "told.txt"]


@pytest.mark.slow
def test_a_failure_names_its_check_its_schedule_and_its_files(cli: Cli, wrong: str) -> None:
    ended = cli("sim", "--scenario", wrong, "--seed", "7")
    assert ended.code == 1
    assert ended.problem == "1 of 1 seed violated steps"
    assert "seed 7: 2 operations in 0.1 minutes, 1 fault: VIOLATED steps" in ended.out
    assert "first by: gossipnode sim --scenario wrong.txt --seed 7" in ended.out
    assert "wrong.txt:4: @1 get a sw/n/1 -> live" in ended.out
    assert "    @1 get a sw/n/1 -> live\n    @2 get b sw/n/1\n    @3 crash b\n\nreplay it" in ended.out
    name = "sim-seed-7-steps"
    assert f"replay it: gossipnode sim --scenario {name}.scenario.txt" in ended.out
    for suffix in ("txt", "html"):
        assert f"what happened: {name}.history.{suffix}" in ended.out
        assert "get sw/n/1" in Path(f"{name}.history.{suffix}").read_text()
    again = cli(
        "sim",
        "--scenario",
        f"{name}.scenario.txt",
    )
    assert "seed 7: 2 operations in 0.1 minutes, 1 fault: VIOLATED steps" in again.out


@pytest.mark.slow
def test_a_failure_as_json_is_told_on_stderr(cli: Cli, wrong: str) -> None:
    ended = cli("sim", "--scenario", wrong, "-o", "json")
    assert ended.code == 1
    violations = json.loads(ended.out)["violations"]
    assert [violation["check"] for violation in violations] == ["steps"]
    assert "    @3 crash b\n" in ended.err
    assert ended.err.endswith("gossipnode: 1 of 1 seed violated steps\n")


@pytest.mark.slow
def test_the_files_of_a_failure_stand_beside_the_history(cli: Cli, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ended = cli("sim", "--scenario", wrong, "--history", "out/told.txt")
    assert ended.code == 1
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_scenario_that_is_wrong_is_named_with_its_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("nodes a b\n\nfly a\n")
    ended = cli("sim", "--scenario", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert ended.problem.startswith(f"{path}:3: ")
    path.write_bytes(b"nodes \xff\n")
    assert cli("sim", "--scenario", str(path)).problem == f"{path}: is no UTF-8 text"


@pytest.mark.slow
def test_an_interrupt_ends_the_command_and_its_processes() -> None:
    running = subprocess.Popen(
        [*COMMAND, "sim", "--seeds", "1:100000", *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b"seed 1: ")
    workers = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=WAIT_SECONDS)
    assert (running.returncode, said) == (130, b"gossipnode: interrupted\n")
    assert workers
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.slow
def test_the_help_of_all_commands_imports_no_simulator() -> None:
    code = "import sys; from gossipnode.cli.main import run; run(['--help']); run(['sim', '--help']); "
    code += "sys.exit('trio' in sys.modules)"
    command = [COMMAND[0], "-c", code]
    assert subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=False).returncode == 0
