"""What every command has in common: help, wrong use, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import (
    COMMAND,
    ENVIRONMENT,
    WAIT_SECONDS,
    Cli,
    Running,
    refused,
    run_process,
    wait_for_record,
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["appl"], ["No such command 'appl'. Did you mean 'apply'?"]),
        (["stats"], ["No such command 'stats'. Did you mean 'status'?"]),
        (["forget", "a"], ["Did you mean 'member forget'?"]),
        (["xyzzy"], ["No such command 'xyzzy'. (see gossipnode --help)"]),
        (["group", "creat", "sw"], ["Did you mean 'create'?", "see gossipnode group --help"]),
        (["help", "stats"], ["No such command 'stats'. Did you mean 'status'?"]),
        (["help", "get", "put"], ["gossipnode get has no commands of its own"]),
        (["get"], ["Missing argument 'KEY'", "gossipnode get --help"]),
        (["get", "sw/a/1", "--bogus"], ["No such option", "--bogus"]),
        (["group", "rename", "sw"], ["No such command 'rename'"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.parametrize("arguments", [["group"], ["member"]])
def test_without_a_command_the_help_is_shown(cli: Cli, arguments: list[str]) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert f"Usage: gossipnode {arguments[0]}" in ended.err


@pytest.mark.parametrize("names", [[], ["get"], ["group"], ["group", "create"]])
def test_help_is_a_command_as_well(cli: Cli, names: list[str]) -> None:
    ended = cli("help", *names)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == cli(*names, "--help").out


def test_help_is_there_for_every_command(cli: Cli) -> None:
    listed = cli("--help").out
    for name in (
        "run", "cluster", "demo", "apply", "get", "delete", "query", "import", "export", "group", "repair",
        "tree", "status", "members", "member", "certs", "verify",
    ):  # fmt: skip
        assert f"  {name} " in listed
        ended = cli(name, "--help")
        assert ended.code == 0
        assert ended.out.startswith(f"Usage: gossipnode {name}")
    assert cli("--version").out.startswith("gossipnode ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("apply", "as many of them as --ack says have it on disk"),
        ("apply", "the last writer wins by record, not by tag"),
        ("get", "whatever a quorum has acknowledged"),
        ("query", "records without it or with null last"),
        ("import", "as many replicas as --ack says"),
        ("run", "In place of --peer"),
    ],
)
def test_help_tells_what_one_must_know(cli: Cli, command: str, words: str) -> None:
    assert words in " ".join(cli(command, "--help").out.split())


@pytest.mark.slow
def test_a_bare_help_imports_little() -> None:
    probe = "import sys; from gossipnode.cli.main import run; run(['--help']); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True).stdout.split()
    assert not {b"rich", b"trio", b"msgspec", b"betterproto", b"google.protobuf", b"h2"} & set(loaded)


@pytest.mark.slow
def test_nothing_at_all_shows_the_help() -> None:
    ended = run_process()
    assert ended.code == 2
    assert "Commands:" in ended.err


@pytest.mark.slow
def test_a_reader_that_leaves_early(node: Running, cli: Cli) -> None:
    for number in range(4):
        assert cli("apply", f"sw/long/{number}", "a=" + "x" * 100_000, "--at", node.address).code == 0
    exporting = subprocess.Popen(
        [*COMMAND, "export", "sw", "--at", node.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert exporting.stdout is not None
    assert exporting.stdout.readline().startswith(b"{")
    exporting.stdout.close()
    assert exporting.stderr is not None
    assert exporting.stderr.read() == b""
    exporting.stderr.close()
    assert exporting.wait(WAIT_SECONDS) == 0


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line(node: Running) -> None:
    importing = subprocess.Popen(
        [*COMMAND, "import", "sw", "-", "--at", node.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert importing.stdin is not None
    assert importing.stderr is not None
    # Once the first batch is written, the command surely runs.
    batch = b'{"name": "pipe", "id": "1", "tags": {"a": 1}}\n' * 256
    importing.stdin.write(batch)
    importing.stdin.flush()
    wait_for_record(node)
    importing.send_signal(signal.SIGINT)
    said = importing.stderr.read()
    # The answer to the batch may still be on its way.
    assert said in (
        b"gossipnode: interrupted: 256 records written; go on with --from-line 257\n",
        b"gossipnode: interrupted: 0 records written\n",
    )
    assert importing.wait(WAIT_SECONDS) == 130
    importing.communicate()
