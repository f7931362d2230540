"""Queries: how many records an answer holds at most."""

from __future__ import annotations

import pytest

from gossipnode.core.query.query import QUERY_DEFAULT_LIMIT, Query
from gossipnode.core.query.search import QUERY_MAX_RECORDS


@pytest.mark.parametrize(
    ("query", "most"),
    [
        (Query(("sw",)), QUERY_DEFAULT_LIMIT),
        (Query(("sw",), limit=5), 5),
        (Query(("sw",), limit=QUERY_MAX_RECORDS + 1), QUERY_MAX_RECORDS),
        (Query(("sw",), limit=5, everything=True), 0),
    ],
)
def test_an_answer_holds_as_many_records_as_asked_for_within_the_limits(query: Query, most: int) -> None:
    assert query.most == most
