"""What rich draws on a terminal: the live table of a cluster, and progress bars.

Its own escapes move the cursor and set colours. All other text passes the gate of `observe.printable`, once
more at the very end, so no cell or description can be forgotten.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.table import Table as Table
from rich.text import Text

from gossipnode.observe.printable import printable, printable_lines


class GatedConsole(Console):
    """A console of rich that shows no control character but its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does. Segments that carry its own codes are marked, and stay as they are."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable_lines(text), style, control)


def live_table(table: Table) -> Live:
    """A table on stdout that is drawn again when it is updated."""
    # Off a terminal nothing is coloured or cut, however long a line is.
    width = None if sys.stdout.isatty() else 10_000
    console = GatedConsole(highlight=False, soft_wrap=not sys.stdout.isatty(), width=width)
    return Live(table, console=console, refresh_per_second=4)


@contextmanager
def live_screen() -> Generator[Callable[[list[str]], None]]:
    """Take the whole terminal while the block runs, and leave it as it was. Yields what shows lines there."""
    console = GatedConsole(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def show(lines: list[str]) -> None:
            left = len(lines) - console.height
            if left > 0:
                lines = [*lines[: console.height - 1], f"and {left + 1} more lines, for a higher terminal"]
            live.update(Text("\n".join(map(printable, lines))), refresh=True)

        yield show


def make_table(*headers: str) -> Table:
    """A plain table, which folds cells that do not fit. Its cells are made by `cell`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def cell(text: str, style: str = "") -> Text:
    """A cell of a table: what stands in a record or a name is never markup."""
    return Text(printable(text), style)


@contextmanager
def steps_bar(what: str) -> Generator[Callable[[int, int, str], None]]:
    """A bar on stderr while the block runs. Yields what is told steps done, all steps, and what came last."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    )
    console = GatedConsole(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(printable(what), total=None, last="")
        yield lambda done, total, last: bar.update(task, completed=done, total=total, last=printable(last))


@contextmanager
def progress_bar(what: str, total: int | None, *, is_bytes: bool) -> Generator[Callable[[int], None]]:
    """A progress bar on stderr while the block runs. Yields what moves it on."""
    count: Any = DownloadColumn() if is_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeElapsedColumn())
    console = GatedConsole(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(printable(what), total=total)
        yield lambda done: bar.advance(task, done)
