"""`--watch`: the same question again and again. Answers are redrawn on a terminal, and printed elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gossipnode.cli.options import NodeTarget
from gossipnode.cli.output import folded_lines, print_json_lines, print_lines, say
from gossipnode.cli.standard_streams import flush_results
from gossipnode.client.errors import ClientError, sole_error

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import NodeClient

WATCH_SECONDS = 1.0
"""Between an answer and the next question."""
PROBLEM_SECONDS = 0.05
"""How long a problem waits before it is shown."""

Answer = TypeVar("Answer")


def watch_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --watch; the command gets it as `watch`."""
    return click.option(
        "--watch", is_flag=True, help="Show it again each second until Ctrl-C, also while the node is away."
    )(command)


async def watch_node(
    target: NodeTarget,
    ask: Callable[[NodeClient], Awaitable[Answer]],
    show: Callable[[Answer], list[str]],
    *,
    as_json: bool,
) -> None:
    """Ask a node again and again, until Ctrl-C; `show` makes lines of an answer, of text or of JSON.

    Raises:
        ClientError: the first question failed. Later ones may.
    """
    import trio

    lines: list[str] = []
    try:
        with _screen(as_json=as_json) as draw:
            async with target.connect() as node:
                while True:
                    problem = ""
                    try:
                        lines = show(await ask(node))
                    except ClientError as error:
                        if not lines:
                            raise
                        problem = str(error)
                        # Ctrl-C may have ended the connection, and is on its way.
                        await trio.sleep(PROBLEM_SECONDS)
                    draw(lines, problem)
                    await trio.sleep(WATCH_SECONDS)
    except (KeyboardInterrupt, BaseExceptionGroup) as caught:
        sole = sole_error(caught)
        if not isinstance(sole, KeyboardInterrupt):
            raise sole from None
    if sys.stdout.isatty() and not as_json:
        # The screen is as it was before. What was seen last stays.
        print_lines(lines)


@contextmanager
def _screen(*, as_json: bool) -> Generator[Callable[[list[str], str], None]]:
    """Yields what shows an answer, or the last one and why there is no newer one."""
    if as_json or not sys.stdout.isatty():
        yield _Printer(print_json_lines if as_json else print_lines).show
        return
    from gossipnode.cli.drawing import live_screen

    with live_screen() as draw:
        yield lambda lines, problem: draw([*_head(problem), "", *lines])


def _head(problem: str) -> list[str]:
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    return folded_lines(f"{now}, again each second; Ctrl-C ends it" + (f"; {problem}" if problem else ""))


class _Printer:
    """Prints each answer that differs from the one before. A problem is told once."""

    def __init__(self, print_all: Callable[[list[str]], None]) -> None:
        self._print_all = print_all
        self._lines: list[str] | None = None
        self._problem = ""

    def show(self, lines: list[str], problem: str) -> None:
        if problem and problem != self._problem:
            say(f"gossipnode: {problem}")
        self._problem = problem
        if lines != self._lines:
            self._print_all(lines)
            flush_results()
        self._lines = lines
