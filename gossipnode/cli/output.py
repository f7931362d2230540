"""What a command prints: results as JSON or tables on stdout, messages and progress on stderr.

It leaves through `standard_streams`, or through `drawing` where rich draws a live table or a bar. Rich is
imported only then. Colours appear on a terminal alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gossipnode.cli.standard_streams import (
    write_json_lines,
    write_json_message,
    write_lines,
    write_message,
)
from gossipnode.cli.table_layout import (
    SAMPLE_CHARACTERS,
    SAMPLE_ROWS,
    TableLayout,
    folded_line,
    head_lines,
    lay_out,
    row_lines,
)
from gossipnode.client.values.property_json import dump_json, property_to_json, tags_to_json
from gossipnode.observe.printable import printable

if TYPE_CHECKING:
    from gossipnode.client.values.stored_property import StoredProperty
    from gossipnode.core.model.tag_value import TagValue

Advance = Callable[[int], None]


def print_line(line: str) -> None:
    """One line on stdout."""
    write_lines([line])


def print_lines(lines: Sequence[str]) -> None:
    """Lines of a result on stdout, made for the terminal already."""
    write_lines(lines)


def print_json_lines(lines: Sequence[str]) -> None:
    """Lines of JSON on stdout, made by `json_line`."""
    write_json_lines(lines)


def json_line(value: object) -> str:
    """One line of JSON."""
    return dump_json(value)


def print_folded(line: str) -> None:
    """One line on stdout, folded where the terminal is narrower."""
    write_lines(folded_lines(line))


def _terminal_cells() -> int | None:
    """The width of the terminal; None off a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_text(text: str) -> None:
    """A text of several lines on stdout."""
    write_lines(text.splitlines())


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    write_json_lines([dump_json(value)])


def say(message: str) -> None:
    """A message on stderr, in one line."""
    write_message(message)


def say_json(value: object) -> None:
    """One line of JSON on stderr."""
    write_json_message(dump_json(value))


def say_spread(acknowledged: int, members: int) -> None:
    """Tell how many members know of a change, if not all of them do yet."""
    if acknowledged < members:
        say(f"{acknowledged} of {members} members know by now; the others hear of it when they are reached")


class TableWriter:
    """Prints a table while its rows arrive. It keeps the first rows, until the columns have their widths."""

    def __init__(self, *headers: str) -> None:
        self._headers = headers
        self._sample: list[list[str]] = []
        self._sample_characters = 0
        self._layout: TableLayout | None = None

    def add(self, row: Iterable[object]) -> None:
        """Print a row, now or when the widths are known."""
        cells = [printable(str(value)) for value in row]
        if self._layout is not None:
            write_lines(row_lines(self._layout, cells))
            return
        self._sample.append(cells)
        self._sample_characters += sum(map(len, cells))
        if len(self._sample) >= SAMPLE_ROWS or self._sample_characters >= SAMPLE_CHARACTERS:
            self.end()

    def end(self) -> None:
        """Print what was kept. Rows may still follow."""
        if self._layout is None:
            self._layout = lay_out(self._headers, self._sample, _terminal_cells())
            write_lines(head_lines(self._layout))
            for cells in self._sample:
                write_lines(row_lines(self._layout, cells))
            self._sample.clear()


def folded_lines(line: str) -> list[str]:
    """One line, in as many as it takes where the terminal is narrower."""
    width = _terminal_cells()
    return [line] if width is None else folded_line(printable(line), width)


def table_lines(headers: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table that is short."""
    cells = [[printable(str(value)) for value in row] for row in rows]
    layout = lay_out(headers, cells, _terminal_cells())
    return [*head_lines(layout), *(line for row in cells for line in row_lines(layout, row))]


def print_table(headers: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A table of texts."""
    table = TableWriter(*headers)
    for row in rows:
        table.add(row)
    table.end()


def shown_tags(tags: Mapping[str, TagValue]) -> str:
    """Tags for people, as `key=value`, in their order."""
    return " ".join(f"{key}={_shown(value)}" for key, value in tags_to_json(tags).items())


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else dump_json(value)


def print_property(record: StoredProperty) -> None:
    """One record as a table of two columns."""
    from gossipnode.client.values.timestamps import format_nanoseconds

    rows: list[tuple[str, object]] = [("key", record.entity.text)]
    rows += [(key, _shown(value)) for key, value in tags_to_json(record.tags).items()]
    for what, stamp in (("created", record.create_revision), ("revision", record.mod_revision)):
        if stamp > 0:
            rows.append((f"({what})", f"{stamp} ({format_nanoseconds(stamp)})"))
    print_table(("tag", "value"), rows)


def print_properties_json(records: Iterable[StoredProperty]) -> None:
    """Records as JSON, one a line."""
    write_json_lines([dump_json(property_to_json(record)) for record in records])


@contextmanager
def progress(
    what: str, total: int | None = None, *, is_bytes: bool = False, beside_results: bool = False
) -> Generator[Advance]:
    """A progress bar on stderr while the block runs, on a terminal only. Yields what moves it on.

    With `beside_results` the block prints on stdout: no bar if that is the terminal as well.
    """
    if not sys.stderr.isatty() or (beside_results and sys.stdout.isatty()):
        yield _no_bar
        return
    from gossipnode.cli.drawing import progress_bar

    with progress_bar(what, total, is_bytes=is_bytes) as advance:
        yield advance


@contextmanager
def steps(what: str) -> Generator[Callable[[int, int, str], None]]:
    """A bar on stderr, on a terminal only. Yields what is told steps done, all steps, and what came last."""
    if not sys.stderr.isatty():
        yield lambda _done, _total, _last: None
        return
    from gossipnode.cli.drawing import steps_bar

    with steps_bar(what) as tell:
        yield tell


def _no_bar(_done: int) -> None:
    return None


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 record`, `20,000 records`; `things` is a plural that is not made with an s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def shown_bytes(number: int) -> str:
    """Bytes for people."""
    if number < 10_000:
        return f"{number:,} B"
    return f"{number / 1000:,.0f} kB" if number < 10_000_000 else f"{number / 1e6:,.1f} MB"
