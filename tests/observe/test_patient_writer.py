"""Lines for a terminal or a pipe that nobody reads."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gossipnode.observe.patient_writer import PatientWriter

PIPE_BYTES = 4096
LINE = "x" * 99 + "\n"
WAIT_SECONDS = 60


@dataclass
class Pipe:
    read_end: int
    write_end: int

    def read_until(self, wanted: bytes) -> bytes:
        said = b""
        while wanted not in said:
            said += os.read(self.read_end, 65536)
        return said


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """The smallest pipe, and one that the system fills at once."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield Pipe(read_end, write_end)
    os.close(read_end)
    os.close(write_end)


def fail(_lines: str, error: OSError) -> None:
    raise AssertionError(error)


def test_nobody_waits_for_a_reader_and_the_gap_is_told(pipe: Pipe) -> None:
    writer = PatientWriter(pipe.write_end, fail, waiting_max_bytes=10 * len(LINE))
    written = PIPE_BYTES // len(LINE) + 100
    for _ in range(written):
        writer.write(LINE)
    assert not writer.close(patience_seconds=0)
    said = pipe.read_until(b"were dropped here: nobody read them\n").decode()
    assert writer.close(WAIT_SECONDS)
    lines = said.splitlines(keepends=True)
    assert set(lines[:-1]) == {LINE}
    (dropped,) = [int(word) for word in lines[-1].split() if word.isdigit()]
    assert dropped + len(lines) - 1 == written


def test_a_non_blocking_descriptor_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_end, False)
    writer = PatientWriter(pipe.write_end, fail)
    writer.write(LINE * 100 + "end\n")
    assert pipe.read_until(b"end\n").decode() == LINE * 100 + "end\n"
    assert writer.close(WAIT_SECONDS)


def test_lines_that_are_not_taken_are_handed_back() -> None:
    handed_back: list[tuple[str, str | None]] = []
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = PatientWriter(full, lambda lines, error: handed_back.append((lines, error.strerror)))
        writer.write("ready\n")
        assert writer.close(WAIT_SECONDS)
    finally:
        os.close(full)
    assert handed_back == [("ready\n", "No space left on device")]
