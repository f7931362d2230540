"""The errors of the client room. Each message is one line that a user can act on."""

from __future__ import annotations

from typing import cast

from gossipnode.concurrency.exception_groups import errors_in


class ClientError(Exception):
    """Base of what can go wrong when a program or a person asks a node for something."""


class InvalidInputError(ClientError, ValueError):
    """A key, a tag, an expression or a record that is wrong in itself, before any node was asked."""


class NotFoundError(ClientError):
    """The node knows no such thing: a record, a group, a shard."""


class UnreachableError(ClientError):
    """The node did not answer in time, went away, or reached too few replicas."""


class NoNodeError(UnreachableError):
    """Nobody listens at the address, or what listens there is no node."""


class RefusedError(ClientError):
    """The node does not let us in, or not do this."""


class InvalidRequestError(ClientError):
    """The node calls the request wrong."""


class FailedError(ClientError):
    """The node took the request and failed at it."""


class AlreadyExistsError(FailedError):
    """What was to be made is there already."""


class BadRecordError(ClientError):
    """A record of an import was refused, and nothing of its batch was written."""


def sole_error(error: BaseException) -> BaseException:
    """The one error inside nested exception groups, as nurseries raise them; a group of several as it is.

    A KeyboardInterrupt or a ClientError counts as the one even in a group of several: what the tasks beside
    it met while they were cancelled is noise.
    """
    for wanted in (KeyboardInterrupt, ClientError):
        for found in errors_in(error):
            if isinstance(found, wanted):
                return found
    inside = [error]
    while len(inside) == 1 and isinstance(error := inside[0], BaseExceptionGroup):
        inside = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return error
