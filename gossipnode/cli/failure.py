"""How a command ends when it cannot do what it was asked: one line on stderr, and an exit code."""

from __future__ import annotations

from gossipnode.client.errors import (
    ClientError,
    InvalidInputError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    TlsError,
    UnreachableError,
)

DONE = 0
FAILED = 1
WRONG_USE = 2
NOT_FOUND = 3
UNREACHABLE = 4
REFUSED = 5
INTERRUPTED = 130


class Failure(Exception):  # noqa: N818 - an end of a command, not a defect
    """Ends the command with this one line on stderr (none when empty) and this exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_EXIT_CODES: tuple[tuple[type[ClientError], int], ...] = (
    (InvalidInputError, WRONG_USE),
    (InvalidRequestError, WRONG_USE),
    (NotFoundError, NOT_FOUND),
    (UnreachableError, UNREACHABLE),
    (RefusedError, REFUSED),
)


def failure_of(error: ClientError) -> Failure:
    """The end that an error of the client room means for a command."""
    message = str(error)
    if isinstance(error, NoNodeError) and not isinstance(error, TlsError):
        message += "; is it running? --at names another node"
    code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)
    return Failure(message, code)
