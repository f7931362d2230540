"""Many runs, spread over processes, with their results in the order of the jobs.

A process that ends or hangs in the middle of a run is a finding about that run. It never ends the other runs,
and none of the processes outlives the program that started them.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

import msgspec

from gossipnode.sim.runs.run_messages import Job, Summary, broken_off, decode_summary, encode_line

WORKER = "gossipnode.sim.runs.worker"

REAL_SECONDS_MAX = 120.0
"""How long one run may take by the clock on the wall. A run of five virtual minutes takes a few seconds."""

AHEAD_MAX = 1_000
"""How many summaries may wait for one of an earlier job."""

LAST_WORDS_BYTES = 4096
READ_BYTES = 1 << 16


@dataclass(slots=True)
class _Worker:
    """A process, and the job that it has."""

    process: subprocess.Popen[bytes]
    results: int
    """The descriptor by which summaries come."""
    errors: IO[bytes]
    """What it says on standard error."""
    place: int
    job: Job
    deadline: float
    received: bytearray = field(default_factory=bytearray)

    def last_words(self) -> str:
        """The last line that it has said on standard error."""
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "without a word"


def _environment() -> dict[str, str]:
    """A fixed order of sets, and modules from where this process has its own."""
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path}


class Workers:
    """Up to `count` processes that do runs. They live as long as the `with` block."""

    def __init__(
        self, count: int, *, module: str = WORKER, real_seconds_max: float = REAL_SECONDS_MAX
    ) -> None:
        """No process yet: they start when there are jobs."""
        self._count = max(1, count)
        self._module = module
        self._real_seconds_max = real_seconds_max
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._busy.values(), *self._idle]:
            self._end(worker)
        # A reader that still holds `run_all` finds nothing left to end.
        self._busy.clear()
        self._idle.clear()
        self._selector.close()

    def run(self, job: Job) -> Summary:
        """Do one run."""
        return next(self.run_all([job]))

    def run_all(self, jobs: Iterable[Job], finished: Callable[[], None] = lambda: None) -> Iterator[Summary]:
        """Do runs, and give their summaries in the order of the jobs.

        `finished` is called at the end of each run. Whoever stops reading ends the runs that are under way.
        """
        try:
            yield from self._run_all(jobs, finished)
        finally:
            for worker in list(self._busy.values()):
                self._give_up(worker)

    def _run_all(self, jobs: Iterable[Job], finished: Callable[[], None]) -> Iterator[Summary]:
        waiting = enumerate(jobs)
        done: dict[int, Summary] = {}
        upcoming = next(waiting, None)
        given = 0
        while True:
            while upcoming is not None and len(self._busy) < self._count and upcoming[0] - given < AHEAD_MAX:
                self._begin(*upcoming)
                upcoming = next(waiting, None)
            if not self._busy:
                return
            for place, summary in self._wait():
                done[place] = summary
                finished()
            while given in done:
                yield done.pop(given)
                given += 1

    def _begin(self, place: int, job: Job) -> None:
        """Give a job to a process that has none, or to a new one."""
        worker = self._idle.pop() if self._idle else self._start(job)
        worker.place, worker.job = place, job
        worker.deadline = time.monotonic() + self._real_seconds_max
        self._busy[worker.results] = worker
        assert worker.process.stdin is not None, "it is a pipe"
        # If the process has ended, the end of its results tells so.
        with suppress(BrokenPipeError):
            worker.process.stdin.write(encode_line(job))
            worker.process.stdin.flush()

    def _start(self, job: Job) -> _Worker:
        results, writing = os.pipe()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[writing],
                env=_environment(),
                # Ctrl-C reaches this process alone, which then ends the others.
                start_new_session=True,
            )
        except BaseException:
            os.close(results)
            errors.close()
            raise
        finally:
            os.close(writing)
        self._selector.register(results, selectors.EVENT_READ)
        return _Worker(process, results, errors, 0, job, 0.0)

    def _wait(self) -> Iterator[tuple[int, Summary]]:
        """Wait until something happens; gives what has ended by then."""
        first = min(worker.deadline for worker in self._busy.values())
        for key, _ in self._selector.select(max(0.0, first - time.monotonic())):
            if worker := self._busy.get(key.fd):
                yield from self._receive(worker)
        now = time.monotonic()
        for worker in [worker for worker in self._busy.values() if worker.deadline <= now]:
            yield self._lost(worker, f"the run did not end within {self._real_seconds_max:g} s of real time")

    def _receive(self, worker: _Worker) -> Iterator[tuple[int, Summary]]:
        part = os.read(worker.results, READ_BYTES)
        worker.received += part
        if not part:
            code = worker.process.wait()
            yield self._lost(worker, f"its process ended with {code}: {worker.last_words()}")
        elif part.endswith(b"\n"):
            line = bytes(worker.received)
            worker.received.clear()
            try:
                summary = decode_summary(line)
            except msgspec.MsgspecError as error:
                yield self._lost(worker, f"its process sent what nobody can read: {error}")
                return
            del self._busy[worker.results]
            self._idle.append(worker)
            yield worker.place, summary

    def _lost(self, worker: _Worker, why: str) -> tuple[int, Summary]:
        """Give up a process, and say why its run has no result."""
        self._give_up(worker)
        return worker.place, broken_off(worker.job.run, why)

    def _give_up(self, worker: _Worker) -> None:
        del self._busy[worker.results]
        self._end(worker)

    def _end(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.wait()
        self._selector.unregister(worker.results)
        os.close(worker.results)
        worker.errors.close()
        if worker.process.stdin is not None:
            with suppress(BrokenPipeError):
                worker.process.stdin.close()
