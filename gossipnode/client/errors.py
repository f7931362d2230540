"""Every error that the client library raises. Each message is one line that a user can act on."""

from __future__ import annotations

from typing import cast

from gossipnode.concurrency.exception_groups import errors_in


class ClientError(Exception):
    """Base of every error that a program or a person meets when asking a node for something."""


class InvalidInputError(ClientError, ValueError):
    """A key, a tag, an expression or a record is wrong in itself. No node was asked."""


class NotFoundError(ClientError):
    """The node knows no such record, group, shard or member."""


class UnreachableError(ClientError):
    """The node did not answer in time, went away, or reached too few replicas. A write may have happened."""


class NoNodeError(UnreachableError):
    """No node was reached at all, so a write has not happened."""


class TlsError(NoNodeError):
    """A node was reached, but no TLS was agreed upon with it, so a write has not happened."""


class RefusedError(ClientError):
    """The node does not accept our certificate, or does not allow what was asked."""


class InvalidRequestError(ClientError):
    """The node says that the request is wrong."""


class FailedError(ClientError):
    """The node took the request and failed at it, or a limit was reached."""


class AlreadyExistsError(FailedError):
    """The group that was to be created exists already."""


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
