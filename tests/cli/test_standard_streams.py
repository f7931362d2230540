"""Standard streams that are closed, full, or read by nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.answers import RECORD
from tests.cli.conftest import COMMAND, ENVIRONMENT, WAIT_SECONDS, Ended, Peer, run_process
from tests.ports import Ports


def in_shell(redirected: str, *arguments: str) -> Ended:
    """Run a command with redirections of a shell."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *arguments],
        capture_output=True,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        timeout=WAIT_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def answering(peer: Peer) -> Peer:
    peer.answers = {
        services.NODE_STATUS: messages.StatusResponse(node="a", address="h:1", state="ready"),
        services.NODE_GET: messages.GetResponse(),
        services.NODE_QUERY: [messages.RecordBatch(records=[RECORD])],
    }
    return peer


@pytest.mark.slow
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_result_without_an_output_is_an_error(answering: Peer, output: str) -> None:
    ended = in_shell(">&-", "status", "-o", output, "--at", answering.address)
    assert (ended.code, ended.problem) == (1, "standard output: it is closed")
    ended = in_shell(">/dev/full", "status", "-o", output, "--at", answering.address)
    assert (ended.code, ended.problem) == (1, "standard output: No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_a_message_without_an_output_changes_no_exit_code(answering: Peer, redirected: str) -> None:
    ended = in_shell(redirected, "get", "sw/a/1", "--at", answering.address)
    assert (ended.code, ended.out, ended.err) == (3, "", "")
    ended = in_shell(redirected, "query", "sw", "--trace", "--at", answering.address)
    assert (ended.code, ended.err) == (0, "")
    assert "sw/n/i" in ended.out
    assert in_shell(redirected, "get").code == 2


@pytest.mark.slow
def test_nothing_is_open_at_all(answering: Peer) -> None:
    ended = in_shell("<&- >&- 2>&-", "status", "--at", answering.address)
    assert (ended.code, ended.out, ended.err) == (1, "", "")


@pytest.mark.slow
def test_an_import_from_a_closed_input(answering: Peer) -> None:
    ended = in_shell("<&-", "import", "sw", "-", "--at", answering.address)
    assert ended.code == 1
    assert ended.problem == "standard input: it is closed, so there is nothing to import"


@pytest.mark.slow
@pytest.mark.parametrize("redirected", [">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_node_serves_whatever_its_outputs_are(tmp_path: Path, ports: Ports, redirected: str) -> None:
    address = ports.address()
    given = ["--name", "a", "--listen", address, "--data-dir", str(tmp_path / "a")]
    running = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, "run", *given, "--group", "sw:1:1"],
        env=ENVIRONMENT,
    )
    try:
        assert served(address, running)
        # Neither a file nor a socket has taken the place of a closed stream.
        held = [os.readlink(f"/proc/{running.pid}/fd/{number}") for number in (0, 1, 2)]
        for number, closed in enumerate(("<&-", ">&-", "2>&-")):
            assert closed not in redirected.split() or held[number] == os.devnull
        assert run_process("apply", "sw/n/i", "a=x", "--at", address).code == 0
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(WAIT_SECONDS) == 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait(WAIT_SECONDS)
    assert run_process("verify", "--data-dir", str(tmp_path / "a")).code == 0


@pytest.mark.slow
def test_a_node_waits_for_no_terminal_that_is_stopped(tmp_path: Path, ports: Ports) -> None:
    """Nobody reads its two outputs, which are full from the start: so does a terminal behave after Ctrl-S."""
    read_end, write_end = full_pipe()
    address = ports.address()
    given = ["--name", "a", "--listen", address, "--data-dir", str(tmp_path / "a")]
    running = subprocess.Popen(
        [*COMMAND, "run", *given, "--group", "sw:1:1"], env=ENVIRONMENT, stdout=write_end, stderr=write_end
    )
    os.close(write_end)
    try:
        assert served(address, running)
        assert run_process("apply", "sw/n/i", "a=x", "--at", address).code == 0
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(WAIT_SECONDS) == 0
    finally:
        os.close(read_end)
        if running.poll() is None:
            running.kill()
            running.wait(WAIT_SECONDS)


def full_pipe() -> tuple[int, int]:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, bytes(4096))
    os.set_blocking(write_end, True)
    return read_end, write_end


@pytest.mark.slow
def test_a_reader_of_the_help_that_leaves_early() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*COMMAND, "--help"], stdout=write_end, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_what_was_not_printed_was_not_exported(answering: Peer) -> None:
    answering.answers[services.NODE_EXPORT] = [messages.RecordBatch(records=[RECORD])]
    ended = in_shell(">/dev/full", "export", "sw", "--at", answering.address)
    assert (ended.code, ended.problem) == (1, "standard output: No space left on device")


@pytest.mark.slow
def test_streams_of_the_wrong_direction(answering: Peer) -> None:
    ended = in_shell("1</dev/null", "status", "--at", answering.address)
    assert (ended.code, ended.problem) == (1, "standard output: Bad file descriptor")
    ended = in_shell("0>/dev/null", "import", "sw", "-", "--at", answering.address)
    assert (ended.code, ended.problem) == (1, "standard input: cannot be read: Bad file descriptor")


def served(address: str, running: subprocess.Popen[bytes]) -> bool:
    """Ask until the node answers. Each question takes a process of its own, and so some time."""
    for _ in range(100):
        if running.poll() is not None:
            return False
        if run_process("status", "--at", address, "--timeout", "1").code == 0:
            return True
    return False
