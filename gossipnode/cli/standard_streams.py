"""Standard input, output and error as a shell hands them over: perhaps closed, full, or without a reader.

A result that cannot be printed ends a command with an error. A message that cannot be printed is dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys

CLOSED = "it is closed"


class _ClosedOutput(io.RawIOBase):
    """Stands for a standard output that was closed from the start."""

    def writable(self) -> bool:
        """It is an output."""
        return True

    def write(self, _data: object) -> int:
        """Refuse, as the closed descriptor would.

        Raises:
            OSError: always.
        """
        raise OSError(errno.EBADF, CLOSED, "standard output")


def hold_streams() -> None:
    """Make the three streams usable, whatever the shell did to them.

    The null device takes each closed descriptor. Otherwise the next file that is opened would take it, and
    messages would be written into that file, which may hold records.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free descriptor is taken, and those below are held already.
            os.open(os.devnull, flags)
    # The interpreter has None in the place of a stream that was closed when it started.
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_ClosedOutput()))
    if sys.stderr is None:
        sys.stderr = _null_output()
    for stream in (sys.stdout, sys.stderr):
        # Stored texts are Unicode, whatever the locale is.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _null_output() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")


def write_message(line: str) -> None:
    """One line on stderr. It is dropped if stderr is full or gone, because nobody else could be told."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        return


def drop_stdout() -> None:
    """Let what is still to be printed go nowhere, instead of into a broken pipe or a full disk."""
    sys.stdout = _dropped(sys.stdout, 1)


def end_stderr() -> None:
    """Flush stderr before the process ends. What cannot be printed must not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = _dropped(sys.stderr, 2)


def _dropped(stream: io.TextIOBase | object, number: int) -> io.TextIOWrapper:
    nowhere = _null_output()
    try:
        is_descriptor = isinstance(stream, io.TextIOWrapper) and stream.fileno() == number
    except (OSError, ValueError):
        is_descriptor = False
    if is_descriptor:
        # The stream keeps what it could not write, and the interpreter tries once more at the end.
        os.dup2(nowhere.fileno(), number)
    return nowhere
