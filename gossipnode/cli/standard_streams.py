"""The standard streams: the only way by which texts leave this process, and what becomes of broken ones.

Every line passes the gate of `observe.printable` here, whatever the stream is: what goes to a file or a pipe
today is shown on a terminal tomorrow. A stream may be closed, full, or without a reader. A result that cannot
be printed ends a command with an error. A message that cannot be printed is dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any

from gossipnode.observe.patient_writer import PatientWriter
from gossipnode.observe.printable import printable, printable_json, shortened

CLOSED = "it is closed"
OUTPUT = "standard output"

_writers: dict[int, PatientWriter] = {}
"""By descriptor, while nothing may wait for the reader of a stream."""


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
        raise OSError(errno.EBADF, CLOSED, OUTPUT)


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
    # Writing to a pipe that another program has made non-blocking would fail as soon as it is full.
    with suppress(OSError):
        os.set_blocking(1, True)
    # The interpreter has None in the place of a stream that was closed when it started.
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_ClosedOutput()))
    if sys.stderr is None:
        sys.stderr = _null_output()
    for stream in (sys.stdout, sys.stderr):
        # Stored texts are Unicode, whatever the locale is.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # The interpreter itself would print a traceback of these.
    warnings.showwarning = _tell_warning
    threading.excepthook = _tell_defect
    sys.unraisablehook = _tell_defect


def _null_output() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")


def _tell_warning(message: Warning | str, category: type[Warning], *_place: Any, **_more: Any) -> None:
    write_message(f"gossipnode: {category.__name__}: {message}")


def _tell_defect(what: Any) -> None:
    name = getattr(what.exc_type, "__name__", "error")
    write_message(f"gossipnode: a defect of gossipnode: {name}: {what.exc_value}")


def write_lines(lines: Iterable[str]) -> None:
    """Lines of a result on stdout, as UTF-8 whatever the locale.

    Raises:
        OSError: they cannot be printed. A BrokenPipeError: the reader has left.
    """
    _put("".join([printable(line) + "\n" for line in lines]))


def write_json_lines(lines: Iterable[str]) -> None:
    """Lines of JSON on stdout, of the same value, in which no string holds an unprintable character.

    Raises:
        OSError: as `write_lines`.
    """
    _put("".join([printable_json(line) + "\n" for line in lines]))


def _put(text: str) -> None:
    if 1 in _writers:
        _writers[1].write(text)
        return
    with _named():
        sys.stdout.buffer.write(text.encode())


def flush_results() -> None:
    """Hand over what was printed on stdout.

    Raises:
        OSError: as `write_lines`.
    """
    with _named():
        sys.stdout.flush()


@contextmanager
def _named() -> Generator[None]:
    """Errors name the standard output, which they do not by themselves."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, OUTPUT) from None


def write_message(line: str) -> None:
    """One line on stderr. It is dropped if stderr is full or gone, because nobody else could be told."""
    _put_message(printable(shortened(line)))


def write_question(text: str) -> None:
    """A question on stderr, which the answer is to follow in the same line."""
    with suppress(OSError):
        sys.stderr.write(printable(shortened(text)))
        sys.stderr.flush()


def write_json_message(line: str) -> None:
    """One line of JSON on stderr, dropped as a message is."""
    _put_message(printable_json(line))


def _put_message(line: str) -> None:
    if 2 in _writers:
        _writers[2].write(line + "\n")
        return
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@contextmanager
def waiting_for_nobody() -> Generator[Callable[[str], None] | None]:
    """While the block runs, nobody waits for a terminal that is stopped, or for a pipe that nobody reads.

    Yields what writes lines to stderr in this way, or None where stderr is no file.
    """
    for number, stream, failed in ((1, sys.stdout, _tell_unprinted), (2, sys.stderr, _drop)):
        if _is_descriptor(stream, number):
            _writers[number] = PatientWriter(number, failed)
    try:
        yield _writers[2].write if 2 in _writers else None
    finally:
        for number in list(_writers):
            # One that still waits is kept, so that the last message waits for nobody either.
            if _writers[number].close():
                del _writers[number]


def _drop(_lines: str, _error: OSError) -> None:
    """Nobody can be told."""


def _tell_unprinted(lines: str, error: OSError) -> None:
    for line in lines.splitlines():
        write_message(f"gossipnode: {line}, but {OUTPUT}: {error.strerror}")


@contextmanager
def until_reader_leaves() -> Generator[None]:
    """If the reader of stdout leaves early, the rest of the block is left out, and changes no exit code."""
    try:
        yield
    except BrokenPipeError:
        drop_stdout()


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
    if _is_descriptor(stream, number):
        # The stream keeps what it could not write, and the interpreter tries once more at the end.
        os.dup2(nowhere.fileno(), number)
    return nowhere


def _is_descriptor(stream: io.TextIOBase | object, number: int) -> bool:
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == number
    except (OSError, ValueError):
        return False
