"""What goes wrong with a request, each error with a text that says what a user can do. See `error_status`."""

from __future__ import annotations

from collections.abc import Iterable


class RefusedGroupError(Exception):
    """A group that no client may write to."""


class NotStoredError(Exception):
    """The write lost to newer versions again and again, or the store refused it; the text says why."""


class UnknownLevelError(ValueError):
    """An acknowledgement level that does not exist."""


class InvalidRequestIdError(ValueError):
    """A request id that no replica would remember."""


class NotAReplicaError(Exception):
    """This node holds no copy of the shard, and so cannot serve the request alone."""


class TooFewReplicasError(Exception):
    """Not enough replicas did what was asked; the text says how many did, and which ones did not."""


class ReplicasFullError(TooFewReplicasError):
    """Not enough replicas have room for what was to be written. Asking another node would not help."""


class WrongClockError(TooFewReplicasError):
    """This node's clock cannot be right, so it stamps nothing. Another node can serve the request."""


class RecordLostError(TooFewReplicasError):
    """All replicas in which the record is sound have answered, and they are fewer than the level needs."""

    def __init__(self, message: str, acknowledged: int) -> None:
        """Say how many have answered."""
        super().__init__(message)
        self.acknowledged = acknowledged


class OtherViewError(TooFewReplicasError):
    """Not enough replicas see the members that we see. `peer` is one of those that do not."""

    def __init__(self, message: str, peer: str) -> None:
        """Name a peer whose epoch is to be compared with ours."""
        super().__init__(message)
        self.peer = peer


class ShardGoneError(Exception):
    """A shard that this node held when a session over it began, and no longer holds."""


class ViewConflictError(Exception):
    """A peer does not see the cluster as this node does; the text says what differs."""


class TooManyRoundsError(Exception):
    """Too many rounds of this node are under way for another one to start."""


class UnknownGroupError(LookupError):
    """A group that this node has no definition of."""

    def __init__(self, group: str, known: Iterable[str]) -> None:
        """Name the group, and the groups that there are."""
        has = ", ".join(sorted(known)) or "none"
        super().__init__(f"group {group[:80]!r} is unknown here; this node has: {has}")


class MemberError(Exception):
    """A member that cannot be taken in; the text says why."""


class NotFormedError(Exception):
    """There is no cluster yet, because its members have not all agreed to form it."""


class TooFewMembersError(Exception):
    """Too few members agreed to a change; the text says how many did, and why others did not."""


class QueryTooLargeError(Exception):
    """The answer would take more memory than a query may; the text says what to do."""
