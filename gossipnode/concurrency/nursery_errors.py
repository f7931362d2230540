"""The one error of a nursery: nurseries raise groups, and callers want the error by its own kind."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import trio

from gossipnode.concurrency.exception_groups import errors_in


def first_error(error: BaseException) -> BaseException | None:
    """The error itself, or the first one inside a group; None for nothing but cancellations."""
    return next((found for found in errors_in(error) if not isinstance(found, trio.Cancelled)), None)


@contextmanager
def one_error() -> Generator[None]:
    """Let the first error of a nursery leave the block by its own kind, and not inside a group.

    A group of nothing but cancellations leaves as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        raise first_error(group) or group from None
