"""Which status each error of ours becomes, and that no error of ours is without one."""

from __future__ import annotations

import inspect

import pytest

from gossipnode.core.model import errors as core_errors
from gossipnode.core.query.criteria import InvalidCriteriaError
from gossipnode.node.refusals import request_errors
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.refusals.request_errors import (
    NotStoredError,
    OtherViewError,
    QueryTooLargeError,
    ReplicasFullError,
    TooFewReplicasError,
    TooManyRoundsError,
    UnknownGroupError,
)
from gossipnode.rpc import RpcError, Status
from gossipnode.store import interface as store_errors
from gossipnode.store.interface import StoreClosedError, StoreError, StoreFullError
from gossipnode.wire.wire_errors import InvalidPropertyError, WireError

OURS = [
    kind
    for module in (request_errors, store_errors, core_errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == module.__name__
]


def status_of(error: Exception) -> RpcError:
    with pytest.raises(RpcError) as caught, as_status():
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WireError("x"), Status.INVALID_ARGUMENT),
        (InvalidPropertyError("x"), Status.INVALID_ARGUMENT),
        (InvalidCriteriaError("x"), Status.INVALID_ARGUMENT),
        (UnknownGroupError("x", ()), Status.NOT_FOUND),
        (TooFewReplicasError("x"), Status.UNAVAILABLE),
        (OtherViewError("x", "b"), Status.UNAVAILABLE),
        (ReplicasFullError("x"), Status.RESOURCE_EXHAUSTED),
        (QueryTooLargeError("x"), Status.RESOURCE_EXHAUSTED),
        (TooManyRoundsError("x"), Status.RESOURCE_EXHAUSTED),
        (NotStoredError("x"), Status.ABORTED),
        (StoreError("x"), Status.INTERNAL),
        (StoreFullError("x"), Status.RESOURCE_EXHAUSTED),
        (StoreClosedError("x"), Status.UNAVAILABLE),
    ],
)
def test_the_status_that_an_error_stands_for(error: Exception, status: Status) -> None:
    told = status_of(error)
    assert told.status is status
    assert told.message == str(error)
    assert told.__cause__ is error


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_has_a_status(kind: type[Exception]) -> None:
    """One without would reach the caller as a defect, without its text."""
    assert isinstance(status_of(kind.__new__(kind)), RpcError)


def test_what_is_no_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(KeyError), as_status():
        raise KeyError("a defect")
    with pytest.raises(RpcError) as caught, as_status():
        raise RpcError(Status.ABORTED, "as it is")
    assert caught.value.message == "as it is"
