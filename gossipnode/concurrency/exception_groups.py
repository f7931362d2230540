"""What is inside an exception group.

Imports nothing heavy: the command line uses it before it has imported Trio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast


def errors_in(error: BaseException) -> Iterator[BaseException]:
    """The error itself, or every error inside a group and the groups in it, in order."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for child in cast("BaseExceptionGroup[BaseException]", error).exceptions:
        yield from errors_in(child)
