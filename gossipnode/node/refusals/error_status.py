"""Which gRPC status each of our errors becomes for a caller. The text of the error goes with it."""

from __future__ import annotations

from types import TracebackType

from gossipnode.core.cluster.change_refusals import ChangeRefusedError, GroupExistsError, NoSuchThingError
from gossipnode.core.model.errors import CoreError
from gossipnode.node.refusals.request_errors import (
    InvalidRequestIdError,
    MemberError,
    NotAReplicaError,
    NotFormedError,
    NotStoredError,
    QueryTooLargeError,
    RecordLostError,
    RefusedGroupError,
    ReplicasFullError,
    ShardGoneError,
    TooFewMembersError,
    TooFewReplicasError,
    TooManyRoundsError,
    UnknownGroupError,
    UnknownLevelError,
    ViewConflictError,
)
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import RecordDamagedError, StoreClosedError, StoreError, StoreFullError
from gossipnode.store.snapshot.manifest import SnapshotError, SnapshotExistsError, SnapshotNameError
from gossipnode.wire.epochs.metadata_codec import MetadataTooLargeError
from gossipnode.wire.wire_errors import WireError

_STATUS: tuple[tuple[type[Exception], Status], ...] = (
    (WireError, Status.INVALID_ARGUMENT),
    (CoreError, Status.INVALID_ARGUMENT),
    (UnknownLevelError, Status.INVALID_ARGUMENT),
    (InvalidRequestIdError, Status.INVALID_ARGUMENT),
    (UnknownGroupError, Status.NOT_FOUND),
    (NoSuchThingError, Status.NOT_FOUND),
    (GroupExistsError, Status.ALREADY_EXISTS),
    (ChangeRefusedError, Status.FAILED_PRECONDITION),
    (MetadataTooLargeError, Status.RESOURCE_EXHAUSTED),
    (NotFormedError, Status.UNAVAILABLE),
    (TooFewMembersError, Status.UNAVAILABLE),
    (MemberError, Status.FAILED_PRECONDITION),
    (ReplicasFullError, Status.RESOURCE_EXHAUSTED),
    (RecordLostError, Status.DATA_LOSS),
    (TooFewReplicasError, Status.UNAVAILABLE),
    (ShardGoneError, Status.FAILED_PRECONDITION),
    (ViewConflictError, Status.FAILED_PRECONDITION),
    (RefusedGroupError, Status.PERMISSION_DENIED),
    (NotAReplicaError, Status.FAILED_PRECONDITION),
    (NotStoredError, Status.ABORTED),
    (QueryTooLargeError, Status.RESOURCE_EXHAUSTED),
    (TooManyRoundsError, Status.RESOURCE_EXHAUSTED),
    (StoreFullError, Status.RESOURCE_EXHAUSTED),
    (StoreClosedError, Status.UNAVAILABLE),
    (SnapshotNameError, Status.INVALID_ARGUMENT),
    (SnapshotExistsError, Status.ALREADY_EXISTS),
    (SnapshotError, Status.FAILED_PRECONDITION),
    (RecordDamagedError, Status.DATA_LOSS),
    (StoreError, Status.INTERNAL),
)
_KNOWN: tuple[type[Exception], ...] = tuple(kind for kind, _ in _STATUS)


class _AsStatus:
    """See `as_status`."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, _KNOWN):
            status = next(status for kind, status in _STATUS if isinstance(error, kind))
            raise RpcError(status, str(error)) from error


_AS_STATUS = _AsStatus()


def as_status() -> _AsStatus:
    """Let an error of ours leave the block (`with`) as the status that it stands for."""
    return _AS_STATUS
