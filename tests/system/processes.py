"""Commands and nodes of gossipnode in processes of their own, and what they print.

A node holds the reading end of a pipe of ours as its stdin, and stops when that closes: it cannot outlive the
tests. A thread reads its log as it comes, so that a test can wait for a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

WAIT_SECONDS = 45.0
"""The longest that any test waits for what must come."""
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPNODE_")}
COMMAND = [sys.executable, "-m", "gossipnode"]

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], what: str) -> Found:
    """Ask `look`, which asks a process or the system, until its answer is true; give that answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        select.select([], [], [], 0.01)
    raise AssertionError(f"within {WAIT_SECONDS:g} s there was no {what}")


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """Its error: the one line that it wrote on stderr."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("gossipnode: ")
        assert "Traceback" not in self.err
        return self.err.removeprefix("gossipnode: ").rstrip("\n")


def command(*arguments: str, **options: Any) -> Ended:
    """Run a command of gossipnode to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=WAIT_SECONDS,
        check=False,
        **options,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class Lines:
    """The lines of a pipe, read by a thread as they come."""

    def __init__(self, pipe: Any) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Read what is left in the pipe, whose writer has ended, and close it."""
        self._thread.join(WAIT_SECONDS)
        self._pipe.close()

    @property
    def all(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def wait(self, wanted: Callable[[str], bool], what: str) -> list[str]:
        """Wait for a line that is wanted, unless it has come already; give all such lines."""

        def found() -> list[str]:
            return [line for line in self._lines if wanted(line)]

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, WAIT_SECONDS)
            lines = found()
            assert lines, f"no {what} in:\n" + "\n".join(self._lines[-30:])
            return lines


@dataclass
class Node:
    """A node in a process of its own. It can be stopped, and started again with the same settings."""

    name: str
    config: Path
    data_dir: Path
    address: str
    process: subprocess.Popen[bytes] | None = None
    log: Lines | None = None
    said: list[str] = field(default_factory=list)
    """What earlier processes of this node have logged."""

    def start(self, *arguments: str) -> Node:
        """Start it and wait until it serves."""
        problem = self.try_start(*arguments)
        assert problem is None, problem
        return self

    def try_start(self, *arguments: str) -> Ended | None:
        """Start it. None when it serves; if it ends instead, how it ended."""
        self.process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(self.config), "--until-stdin-closes", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self.log = Lines(self.process.stderr)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if not line:
            code = self.process.wait(WAIT_SECONDS)
            return Ended(code, "", "".join(f"{said}\n" for said in self._close()))
        assert line.startswith(f"ready {self.name} "), line
        self.address = line.split()[2]
        return None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, and give its exit code."""
        assert self.process is not None
        code = self.process.wait(WAIT_SECONDS)
        self._close()
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """End it at once, as a power failure would."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def _close(self) -> list[str]:
        process, log = self.process, self.log
        if process is None or log is None:
            return []
        log.close()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self.said += log.all
        self.log = None
        return log.all

    @property
    def lines(self) -> list[str]:
        """All that its processes have logged."""
        return [*self.said, *(self.log.all if self.log is not None else [])]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The entries of one kind in its log."""
        found = [json.loads(line) for line in self.lines if f'"event": "{event}"' in line]
        return [entry for entry in found if entry["event"] == event]

    def wait_event(self, event: str) -> None:
        """Wait until the process that runs has logged an entry of this kind."""
        assert self.log is not None
        self.log.wait(lambda line: f'"event": "{event}"' in line, event)

    def assert_no_defect(self) -> None:
        """Check that no line of its log comes from a defect."""
        for line in self.lines:
            for mark in ("Traceback", '"exception"', "exc_type", '"level": "critical"'):
                assert mark not in line, line

    # What the system knows of the process

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(key)).split()[1]) * 1024

    @contextlib.contextmanager
    def memory_watched(self, most_bytes: int = 100 << 20) -> Iterator[None]:
        """Check that what is done in the block never makes the resident memory grow by more than this."""
        before = self._status("VmRSS")
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        yield
        grown = self._status("VmHWM") - before
        assert grown < most_bytes, f"grown by {grown >> 20} MiB"

    def end(self) -> None:
        """End the process if it still runs, even if it has been stopped by SIGSTOP."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(WAIT_SECONDS)
        self._close()


def verify(node: Node) -> dict[str, Any]:
    """What the command `verify` says of the data of a node that has ended. It must find nothing wrong."""
    ended = command("verify", "--data-dir", str(node.data_dir), "-o", "json")
    assert ended.code == 0, ended
    found: dict[str, Any] = json.loads(ended.out)
    assert found["wrong"] == 0
    return found
