"""The command line in this process, nodes in processes of their own, and a peer whose answers a test sets."""

from __future__ import annotations

import io
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from gossipnode.cli.main import run
from gossipnode.rpc import CallContext, Cardinality, Method, Server, ServerStream
from gossipnode.wire import services

WAIT_SECONDS = 60
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPNODE_")}
COMMAND = [sys.executable, "-m", "gossipnode"]


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The one line on stderr that every error is."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("gossipnode: ")
        assert "Traceback" not in self.err
        return self.err.removeprefix("gossipnode: ").rstrip("\n")


Cli = Callable[..., Ended]


def refused(cli: Cli, arguments: list[str], words: list[str]) -> None:
    """Check that a command ends as wrong use, in one line with these words."""
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    for word in words:
        assert word in ended.problem


def lines(ended: Ended) -> list[dict[str, object]]:
    """What a command that went well has printed as lines of JSON."""
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.fixture
def one_line_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"name": "n", "id": "i", "tags": {"a": "x"}}\n'
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(line)))


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in this process."""
    for key in set(os.environ) - set(ENVIRONMENT):
        monkeypatch.delenv(key)

    def call(*arguments: str) -> Ended:
        capsysbinary.readouterr()
        code = run(list(arguments))
        said = capsysbinary.readouterr()
        return Ended(code, said.out.decode(), said.err.decode())

    return call


def run_process(*arguments: str, **options: object) -> Ended:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=WAIT_SECONDS,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass
class Peer:
    """Serves every method of our own over gRPC on loopback, with the answers that a test puts here.

    An answer is a message, a list of them for a stream, an error to raise, or a function of the request.
    """

    address: str = ""
    answers: dict[Method[Any, Any], Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def handlers(self) -> dict[Any, Any]:
        methods = [each for name, each in vars(services).items() if name.startswith("NODE_")]
        methods += [services.WATCH, services.WAIT, services.EXPLAIN]
        return {
            method: partial(
                self._unary if method.cardinality is Cardinality.UNARY_UNARY else self._stream, method
            )
            for method in methods
        }

    async def _unary(self, method: Method[Any, Any], request: Any, call: CallContext) -> Any:
        return self._answer(method, request)

    async def _stream(self, method: Method[Any, Any], stream: ServerStream[Any, Any]) -> None:
        while (request := await stream.recv()) is not None:
            for message in self._answer(method, request):
                await stream.send(message)

    def _answer(self, method: Method[Any, Any], request: Any) -> Any:
        self.asked.append(request)
        answer = self.answers[method]
        if isinstance(answer, BaseException):
            raise answer
        return answer(request) if callable(answer) else answer

    async def serve(self, started: queue.SimpleQueue[Callable[[], None]]) -> None:
        token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as scope:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            started.put(lambda: token.run_sync_soon(scope.cancel))
            await Server(self.handlers()).serve(listeners)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A peer in a thread of its own, because a command runs its own loop in ours."""
    made = Peer()
    started: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    serving = threading.Thread(target=trio.run, args=(made.serve, started))
    serving.start()
    stop = started.get(timeout=WAIT_SECONDS)
    yield made
    stop()
    serving.join(WAIT_SECONDS)


@pytest.fixture
def ask_peer(cli: Cli, peer: Peer) -> Cli:
    """Run a command that asks the peer."""

    def call(*arguments: str) -> Ended:
        return cli(*arguments, "--at", peer.address)

    return call


@dataclass
class Running:
    """A node in a process of its own."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    arguments: list[str]
    log: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)


def start_node(directory: Path, name: str, *arguments: str) -> Running:
    """Start a node and wait until it serves."""
    log = directory / f"{name}.log"
    listen = [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
    given = ["run", "--name", name, *listen, "--data-dir", str(directory / name), *arguments]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*COMMAND, *given],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=ENVIRONMENT,
        )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    running = Running(name, line.rpartition(" ")[2].strip(), process, given, log)
    if not line.startswith(f"ready {name} "):
        end(running)
        pytest.fail(log.read_text())
    return running


Starter = Callable[..., Running]


@pytest.fixture
def node_starter(tmp_path: Path) -> Iterator[Starter]:
    """Starts nodes, each in a process; those still running at the end are killed."""
    started: list[Running] = []

    def start(name: str, *arguments: str) -> Running:
        started.append(start_node(tmp_path, name, *arguments))
        return started[-1]

    yield start
    for each in started:
        end(each)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One node for all tests that only talk to one. Each test uses names of its own."""
    running = start_node(tmp_path_factory.mktemp("node"), "a", "--group", "sw:1:1", "--group", "many:2:1")
    yield running
    end(running)


@pytest.fixture
def ask(cli: Cli, node: Running) -> Cli:
    """Run a command that asks the node."""

    def call(*arguments: str) -> Ended:
        return cli(*arguments, "--at", node.address)

    return call


def wait_for_record(node: Running) -> None:
    """Wait until an import from a pipe has written its first batch."""
    for _ in range(100):
        if run_process("get", "sw/pipe/1", "--at", node.address).code == 0:
            return
    raise AssertionError("the import never wrote")


def wait_gone(pids: list[int]) -> None:
    """Wait for processes that are not our children to end."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        readable, _, _ = select.select([handle], [], [], WAIT_SECONDS)
        os.close(handle)
        assert readable, f"{pid} still runs"


def end(running: Running) -> None:
    """Kill a node that is still running."""
    if running.process.poll() is None:
        running.process.kill()
    running.process.wait(WAIT_SECONDS)
    if running.process.stdout is not None:
        running.process.stdout.close()
