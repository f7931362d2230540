"""What a replica remembers of requests, how much of it, and for how long."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.request_lineage import REQUEST_ID_MAX_CHARACTERS, KnownRequest, Lineage
from gossipnode.node.replica import request_memory
from gossipnode.node.replica.request_memory import (
    REQUESTS_OF_RECORD_MAX,
    REQUESTS_REMEMBERED_SECONDS,
    RequestMemory,
)
from tests.records import entity

SHARD = ShardId("sw", 0)
N1 = entity("n/1")


def version(stamp: int) -> Version:
    return Version(stamp, 0, b"")


def took(
    memory: RequestMemory, stamp: int, request_id: str, before: Lineage | None = None, of: Entity = N1
) -> None:
    memory.took(SHARD, of, version(stamp), before or Lineage(), request_id, created=True)


def known(memory: RequestMemory, stamp: int, of: Entity = N1) -> list[str]:
    """The ids that are known while this version is held."""
    return [each.request_id for each in memory.lineage(SHARD, of, version(stamp)).known]


async def test_a_request_is_known_for_ten_minutes(autojump_clock: object) -> None:
    memory = RequestMemory()
    took(memory, 5, "one")
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS - 1)
    assert memory.lineage(SHARD, N1, version(5)) == Lineage((KnownRequest("one", True, 5),))
    await trio.sleep(1)
    assert memory.lineage(SHARD, N1, version(5)) == Lineage((), since=5)
    assert REQUESTS_REMEMBERED_SECONDS == 600


async def test_each_request_has_its_own_ten_minutes(autojump_clock: object) -> None:
    memory = RequestMemory()
    took(memory, 5, "one")
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS / 2)
    took(memory, 6, "two", memory.lineage(SHARD, N1, version(5)))
    assert known(memory, 6) == ["one", "two"]
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS / 2)
    assert known(memory, 6) == ["two"]


async def test_a_write_that_had_not_seen_a_request_lets_it_be_forgotten(autojump_clock: object) -> None:
    memory = RequestMemory()
    took(memory, 5, "one")
    took(memory, 6, "two", Lineage((), since=0))
    assert known(memory, 6) == ["two"]


async def test_what_may_be_included_stays_known(autojump_clock: object) -> None:
    memory = RequestMemory()
    took(memory, 5, "one")
    took(memory, 7, "two", Lineage((), since=6))
    assert memory.lineage(SHARD, N1, version(7)).since == 6
    assert known(memory, 7) == ["one", "two"]


async def test_of_a_version_that_came_on_another_path_nothing_is_certain(autojump_clock: object) -> None:
    memory = RequestMemory()
    took(memory, 5, "one")
    assert memory.lineage(SHARD, N1, version(9)) == Lineage((KnownRequest("one", True, 5),), since=9)
    assert memory.lineage(SHARD, entity("n/2"), version(9)) == Lineage((), since=9)
    assert memory.lineage(SHARD, entity("n/2"), None) == Lineage()


async def test_what_was_handed_on_is_known_here_too(autojump_clock: object) -> None:
    memory = RequestMemory()
    took(memory, 6, "", Lineage((KnownRequest("one", True, 5),), since=2))
    assert memory.lineage(SHARD, N1, version(6)) == Lineage((KnownRequest("one", True, 5),), since=2)


async def test_ids_that_are_none_are_not_kept(autojump_clock: object) -> None:
    memory = RequestMemory()
    for unusable in ("", "x" * (REQUEST_ID_MAX_CHARACTERS + 1)):
        took(memory, 5, unusable)
        assert known(memory, 5) == []
    longest = "x" * REQUEST_ID_MAX_CHARACTERS
    took(memory, 5, longest)
    assert known(memory, 5) == [longest]


async def test_the_records_written_longest_ago_go_first(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_memory, "REQUESTS_REMEMBERED_MAX", 100)
    memory = RequestMemory()
    keys = [entity(f"n/{number}") for number in range(101)]
    for key in keys[:100]:
        took(memory, 5, "one", of=key)
    took(memory, 6, "two", of=keys[0])
    took(memory, 5, "one", of=keys[100])
    assert [number for number, key in enumerate(keys) if not known(memory, 5, of=key)] == [1]


async def test_of_one_record_the_latest_requests_are_known(autojump_clock: object) -> None:
    memory = RequestMemory()
    for stamp in range(1, REQUESTS_OF_RECORD_MAX + 11):
        took(memory, stamp, f"r{stamp}", Lineage((), since=stamp))
    assert known(memory, stamp) == [f"r{number}" for number in range(11, REQUESTS_OF_RECORD_MAX + 11)]


async def test_what_has_expired_is_let_go_of(autojump_clock: object) -> None:
    memory = RequestMemory()
    for number in range(100):
        took(memory, 5, "one", of=entity(f"n/{number}"))
    assert len(memory) == 100
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS)
    took(memory, 5, "new")
    assert len(memory) == 1
