"""What a command prints: results as JSON or tables on stdout, messages and progress on stderr.

Rich is imported only where a table or a progress bar is drawn. Colours appear on a terminal alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gossipnode.client.values.property_json import dump_json, property_to_json, tags_to_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gossipnode.client.values.stored_property import StoredProperty
    from gossipnode.core.model.tag_value import TagValue

Advance = Callable[[int], None]

_FOLDED_COLUMNS = ("key", "tag", "tags", "value", "sha", "indexes")
"""Columns that take more lines on a narrow terminal; the other columns keep their words whole."""


def print_line(line: str) -> None:
    """One line on stdout, as UTF-8 whatever the locale."""
    sys.stdout.buffer.write(line.encode() + b"\n")


def print_lines(lines: Iterable[str]) -> None:
    """Many lines on stdout, in one write."""
    sys.stdout.buffer.write("".join([line + "\n" for line in lines]).encode())


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    print_line(dump_json(value))


def say(message: str) -> None:
    """A message on stderr."""
    print(message, file=sys.stderr, flush=True)


def say_spread(acknowledged: int, members: int) -> None:
    """Tell how many members know of a change, if not all of them do yet."""
    if acknowledged < members:
        say(f"{acknowledged} of {members} members know by now; the others hear of it when they are reached")


def console() -> Console:
    """Stdout through rich. Off a terminal nothing is coloured or cut, however long a line is."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=width)


def make_table(*headers: str, title: str | None = None) -> Table:
    """A plain table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header not in _FOLDED_COLUMNS)
    return table


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table of texts."""
    from rich.text import Text

    table = make_table(*headers)
    for row in rows:
        # Cells are Text, because what stands in a record is never markup.
        table.add_row(*[Text(printable(str(cell))) for cell in row])
    console().print(table)


def printable(text: str) -> str:
    """The text without control characters, which could play tricks on a terminal."""
    return "".join([letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text])


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
    print_lines([dump_json(property_to_json(record)) for record in records])


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
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    count: Any = DownloadColumn() if is_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


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
