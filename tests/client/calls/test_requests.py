from __future__ import annotations

import pytest

from gossipnode.client.calls.requests import (
    QueryOptions,
    apply_request,
    delete_request,
    get_request,
    query_request,
)
from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.model.limits import PROPERTY_MAX_BYTES
from gossipnode.core.model.property import Entity
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import read_property

KEY = Entity("g", "n", "i/j")


def test_the_requests_for_one_record() -> None:
    assert get_request(KEY, "one") == messages.GetRequest("g", "n", "i/j", "one")
    assert delete_request(KEY, "") == messages.DeleteRequest("g", "n", "i/j")
    again = delete_request(KEY, "all", request_id="r")
    assert (again.ack, again.request_id) == ("all", "r")


@pytest.mark.parametrize(("replace", "strategy"), [(False, 1), (True, 2)])
def test_the_request_of_a_write(replace: bool, strategy: int) -> None:
    request = apply_request(StoredProperty(KEY, {"a": 1}), replace=replace, ack="one", request_id="r")
    written = read_property(request.property)
    assert (written.entity, dict(written.tags)) == (KEY, {"a": 1})
    assert (request.strategy, request.ack, request.request_id) == (strategy, "one", "r")


def test_a_record_that_is_too_large() -> None:
    fits = PROPERTY_MAX_BYTES - len(apply_request(record(0), replace=False, ack="").property) - 10
    apply_request(record(fits), replace=False, ack="")
    with pytest.raises(
        InvalidInputError, match=f"g/n/i/j: the record has .* bytes, over {PROPERTY_MAX_BYTES:,}"
    ):
        apply_request(record(PROPERTY_MAX_BYTES), replace=False, ack="")


def record(pad_bytes: int) -> StoredProperty:
    return StoredProperty(KEY, {"a": "x" * pad_bytes})


def test_a_query_of_nothing_but_a_group() -> None:
    """What is not given stays empty, and means all."""
    request = query_request(QueryOptions(["g"]))
    assert request == messages.QueryRequest(query=type(request.query)(groups=["g"]))
