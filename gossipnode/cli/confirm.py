"""The question that a command asks before it destroys something.

It is asked on a terminal only. A script has no terminal, and what it says is done at once; so is what comes
with --yes. The command with the gravest consequences is not done without a terminal, unless --yes is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.standard_streams import write_message, write_question

_CONSENT = ("y", "yes")


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --yes; the command gets it as `yes`, for `confirm`."""
    return click.option(
        "--yes", is_flag=True, help="Do not ask. Without a terminal nothing is asked anyway."
    )(command)


def confirm(question: str, *, yes: bool, unattended: bool = True) -> None:
    """Ask, and go on only if the answer is yes. Without a terminal, and with `yes`, nothing is asked.

    Without a terminal and `yes`, a command that may not run `unattended` ends here.

    Raises:
        Failure: the answer was another one, or nobody could see the question.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        if unattended:
            return
        raise Failure("there is no terminal to ask at, and nothing was changed: add --yes", WRONG_USE)
    if not sys.stderr.isatty():
        raise Failure("standard error is no terminal, so nobody would see the question: add --yes", WRONG_USE)
    write_question(f"{question}? [y/N] ")
    answer = ""
    try:
        answer = sys.stdin.buffer.readline().decode(errors="replace")
    finally:
        # After Ctrl-D or Ctrl-C the cursor is still behind the question.
        if not answer.endswith("\n"):
            write_message("")
    if answer.strip().lower() not in _CONSENT:
        raise Failure("not confirmed: nothing was changed", FAILED)
