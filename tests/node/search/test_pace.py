"""Whoever compares many records with many conditions lets others have their turn meanwhile."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.criteria import CRITERIA_VALUES_MAX, Condition, Criteria, Op
from gossipnode.core.query.query import Query
from gossipnode.core.query.search import Search
from gossipnode.node.query import queries
from gossipnode.node.search import ordering
from gossipnode.node.search.ordering import Judge
from gossipnode.sim import Cluster, running
from tests.core.query.test_criteria_cost import any_of
from tests.node.queried import ALL, answer, put
from tests.records import record

SHARD = ShardId("sw", 0)


def most_conditions() -> Criteria:
    return any_of([Condition("t", Op.EQ, -1 - number) for number in range(CRITERIA_VALUES_MAX)])


class Between:
    """Counts the records that are compared between two turns of another task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        self.most = self._now = 0
        real = module.matches

        def counted(*args: Any) -> bool:
            self._now += 1
            self.most = max(self.most, self._now)
            return bool(real(*args))

        monkeypatch.setattr(module, "matches", counted)

    async def run(self) -> None:
        """The other task."""
        while True:
            await trio.lowlevel.checkpoint()
            self._now = 0


@pytest.mark.slow
async def test_a_page_of_small_records_and_many_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    between = Between(monkeypatch, ordering)
    judge = Judge(Search((SHARD,), criteria=most_conditions()))
    rows = [(SHARD, record(f"n/{number:02}", t=number)) for number in range(8)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(between.run)
        assert await judge.found(rows) == []
        nursery.cancel_scope.cancel()
    assert 1 <= between.most <= 3


@pytest.mark.slow
async def test_a_query_that_names_its_records(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = Between(monkeypatch, queries)
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(record(f"n/{number:02}", t=number) for number in range(8)))
        ids = frozenset(f"{number:02}" for number in range(8))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(between.run)
            assert await answer(cluster.nodes["a"], Query(("sw",), "n", ids, most_conditions())) == []
            nursery.cancel_scope.cancel()
    assert 1 <= between.most <= 3
