"""`import`: write many records from lines of JSON, or from the table of Unicode characters."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command, PathType
from gossipnode.cli.failure import FAILED, INTERRUPTED, WRONG_USE, Failure, failure_of
from gossipnode.cli.options import (
    NodeTarget,
    ack_option,
    group_argument,
    output_option,
    run_async,
    target_options,
)
from gossipnode.cli.output import counted, print_json, print_table, progress, say
from gossipnode.client.errors import BadRecordError, ClientError, InvalidInputError, sole_error
from gossipnode.client.values.property_json import property_from_json

if TYPE_CHECKING:
    from gossipnode.client.calls.importer import Batch, Importer
    from gossipnode.client.values.stored_property import StoredProperty

UNICODE = "unicode"
LINE_MAX_BYTES = 16 << 20
SHOWN_BAD_LINES = 20


@click.command("import", cls=Command)
@group_argument
@click.argument("file", type=PathType())
@click.option(
    "--keep-versions", is_flag=True, help="Write stamps and delete_time as given, to the node asked."
)
@click.option(
    "--from-line",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Begin at this line of FILE: an import that was cut short says at which one to go on.",
)
@click.option("--skip-bad", is_flag=True, help="Go on after bad lines; the exit code is 1 all the same.")
@ack_option
@output_option
@target_options
def command(
    group: str,
    file: str,
    keep_versions: bool,
    from_line: int,
    skip_bad: bool,
    ack: str,
    output: str,
    target: NodeTarget,
) -> None:
    """Write the records in FILE to GROUP, one line of JSON each, as `export` prints them.

    FILE may be - (standard input), or `unicode`: the Unicode character table, over 20,000 records. A record
    counts as written when as many replicas as --ack says have it on disk; with --keep-versions, when the node
    asked has it.
    """
    job = _Job(group, file, keep_versions, from_line, skip_bad, ack, output)
    run_async(_import, target, job)


@dataclass(slots=True)
class _Job:
    group: str
    file: str
    keep_versions: bool
    from_line: int
    skip_bad: bool
    ack: str
    output: str
    skipped: int = 0
    advance: Callable[[int], None] = field(default=lambda _done: None)

    @property
    def source(self) -> str:
        return "standard input" if self.file == "-" else self.file

    def bad(self, line: int, problem: str) -> None:
        """Count a bad line, or stop at it."""
        if not self.skip_bad:
            raise BadRecordError(f"line {line}: {problem}")
        self.skipped += 1
        if self.skipped <= SHOWN_BAD_LINES:
            say(f"{self.source}, line {line}: skipped: {problem}")
        elif self.skipped == SHOWN_BAD_LINES + 1:
            say("further bad lines are only counted")


async def _import(target: NodeTarget, job: _Job) -> None:
    from gossipnode.client.calls.importer import Importer

    began = time.monotonic()
    with ExitStack() as stack:
        batches, total, is_bytes = _open(job, stack)
        job.advance = stack.enter_context(progress(f"importing {job.group}", total, is_bytes=is_bytes))
        async with target.connect() as node:
            importer = Importer(
                node=node,
                group=job.group,
                keep_versions=job.keep_versions,
                ack=job.ack,
                on_bad=job.bad if job.skip_bad else None,
            )
            try:
                await importer.run(batches)
            except (KeyboardInterrupt, ClientError, BaseExceptionGroup) as caught:
                raise _cut_short(sole_error(caught), job, importer) from None
    _report(job, importer.written, time.monotonic() - began)


def _cut_short(error: BaseException, job: _Job, importer: Importer) -> BaseException:
    """The end of an import that did not come to its end: how much is written, and where to go on."""
    done = f"{counted(importer.written, 'record')} written"
    if importer.written:
        done += f"; go on with --from-line {importer.written_to + 1}"
    match error:
        case BadRecordError():
            return Failure(f"{job.source}, {error} ({done})", FAILED)
        case KeyboardInterrupt():
            return Failure(f"interrupted: {done}", INTERRUPTED)
        case ClientError():
            failure = failure_of(error)
            return Failure(f"{failure}; {done}", failure.exit_code)
        case _:
            return error


def _report(job: _Job, records: int, seconds: float) -> None:
    result = {"group": job.group, "records": records, "skipped": job.skipped, "seconds": round(seconds, 3)}
    if job.output == "json":
        print_json(result)
    else:
        print_table(tuple(result), [(job.group, f"{records:,}", f"{job.skipped:,}", f"{seconds:.2f}")])
    if job.skipped:
        raise Failure(f"{job.source}: {counted(job.skipped, 'bad line')} skipped", FAILED)


def _open(job: _Job, stack: ExitStack) -> tuple[AsyncGenerator[Batch], int | None, bool]:
    """The batches, and how much there is to do (None: unknown), counted in bytes or in records."""
    if job.file == UNICODE:
        from gossipnode.cli.unicode_table import unicode_records

        records = list(unicode_records(job.group))
        return _batches_of_records(job, records), len(records), False
    if job.file == "-":
        if sys.stdin is None:
            raise Failure("standard input: it is closed, so there is nothing to import", FAILED)
        return _batches_of_lines(job, sys.stdin.buffer), None, True
    try:
        opened = Path(job.file).open("rb")  # noqa: SIM115 - closed by the stack
    except OSError as error:
        named_wrong = isinstance(error, FileNotFoundError | IsADirectoryError)
        code = WRONG_USE if named_wrong else FAILED
        raise Failure(f"{job.file}: cannot be read: {error.strerror}", code) from None
    stack.enter_context(opened)
    # The size of a pipe or a device is 0.
    return _batches_of_lines(job, opened), Path(job.file).stat().st_size or None, True


async def _batches_of_records(job: _Job, records: list[StoredProperty]) -> AsyncGenerator[Batch]:
    from gossipnode.client.calls.importer import Batch

    batch = Batch()
    for place, record in enumerate(records[job.from_line - 1 :], job.from_line):
        batch.add(record, place)
        if batch.full:
            job.advance(len(batch.records))
            yield batch
            batch = Batch()
    if batch.records:
        job.advance(len(batch.records))
        yield batch


async def _batches_of_lines(job: _Job, file: IO[bytes]) -> AsyncGenerator[Batch]:
    import trio

    from gossipnode.client.calls.importer import Batch

    number = 0
    # Lines are read in a thread, because standard input may have nothing to read for a long time.
    while lines := await trio.to_thread.run_sync(_read_lines, file, job.source, abandon_on_cancel=True):
        batch = Batch()
        for line in lines:
            number += 1
            if number >= job.from_line:
                _add_line(job, batch, line, number)
        job.advance(sum(map(len, lines)))
        if batch.records:
            yield batch


def _read_lines(file: IO[bytes], source: str) -> list[bytes]:
    """The next lines, about as many as fill a batch. A line over the limit is cut, and is the last one."""
    try:
        return _read_batch(file)
    except OSError as error:
        raise Failure(f"{source}: cannot be read: {error.strerror}", FAILED) from None


def _read_batch(file: IO[bytes]) -> list[bytes]:
    from gossipnode.client.calls.importer import BATCH_MAX_BYTES, BATCH_MAX_RECORDS

    lines: list[bytes] = []
    size = 0
    while len(lines) < BATCH_MAX_RECORDS and size < BATCH_MAX_BYTES:
        line = file.readline(LINE_MAX_BYTES)
        if not line:
            break
        lines.append(line)
        size += len(line)
        while len(line) == LINE_MAX_BYTES and not line.endswith(b"\n"):
            line = file.readline(LINE_MAX_BYTES)
    return lines


def _add_line(job: _Job, batch: Batch, line: bytes, number: int) -> None:
    # Some editors put a mark of Unicode before the text, and where files are joined it stands within.
    line = line.removeprefix(codecs.BOM_UTF8)
    if not line.strip():
        return
    try:
        batch.add(_parse(job, line), number)
    except (InvalidInputError, BadRecordError) as error:
        job.bad(number, str(error))


def _parse(job: _Job, line: bytes) -> StoredProperty:
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInputError("UTF-16 text: save the file as UTF-8")
    if len(line) == LINE_MAX_BYTES and not line.endswith(b"\n"):
        raise InvalidInputError(f"longer than {LINE_MAX_BYTES:,} bytes")
    record = property_from_json(line, group=job.group)
    if job.keep_versions:
        return record
    if record.delete_time:
        # Writing its tags would bring back what was deleted.
        raise InvalidInputError("a deleted record: --keep-versions imports it as one")
    if not record.tags:
        raise InvalidInputError("a record without tags: it has at least one, but with --keep-versions")
    return record
