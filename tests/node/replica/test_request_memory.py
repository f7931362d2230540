"""What a replica remembers of requests, how much of it, and for how long."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.core.model.property import ShardId
from gossipnode.node.replica import request_memory
from gossipnode.node.replica.request_memory import (
    REQUEST_ID_MAX_CHARACTERS,
    REQUESTS_REMEMBERED_SECONDS,
    DoneRequest,
    RequestMemory,
)
from tests.records import entity

SHARD = ShardId("sw", 0)


def done(number: int = 1) -> DoneRequest:
    return DoneRequest(SHARD, entity(f"n/{number}"), True)


async def test_a_request_is_known_for_ten_minutes(autojump_clock: object) -> None:
    memory = RequestMemory()
    memory.remember("one", done())
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS - 1)
    assert memory.recall("one") == done()
    await trio.sleep(1)
    assert memory.recall("one") is None
    assert REQUESTS_REMEMBERED_SECONDS == 600


async def test_a_request_that_comes_again_is_known_for_longer(autojump_clock: object) -> None:
    memory = RequestMemory()
    memory.remember("one", done())
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS - 1)
    memory.remember("one", done(2))
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS - 1)
    assert memory.recall("one") == done(2)


async def test_ids_that_are_none_are_not_kept(autojump_clock: object) -> None:
    memory = RequestMemory()
    for unusable in ("", "x" * (REQUEST_ID_MAX_CHARACTERS + 1)):
        memory.remember(unusable, done())
        assert memory.recall(unusable) is None
    longest = "x" * REQUEST_ID_MAX_CHARACTERS
    memory.remember(longest, done())
    assert memory.recall(longest) == done()


async def test_the_oldest_go_first_when_there_are_too_many(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_memory, "REQUESTS_REMEMBERED_MAX", 100)
    memory = RequestMemory()
    for number in range(100):
        memory.remember(str(number), done())
    memory.remember("0", done())
    memory.remember("new", done())
    known = [number for number in range(100) if memory.recall(str(number)) is not None]
    assert known == [0, *range(2, 100)]
    assert memory.recall("new") is not None


async def test_what_has_expired_is_let_go_of(autojump_clock: object) -> None:
    let_go: list[str] = []

    class Watched(DoneRequest):
        def __del__(self) -> None:
            let_go.append(self.entity.id)

    memory = RequestMemory()
    for number in range(100):
        memory.remember(str(number), Watched(*done(number)))
    assert let_go == []
    await trio.sleep(REQUESTS_REMEMBERED_SECONDS)
    memory.remember("new", done())
    assert let_go == [str(number) for number in range(100)]


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 400)), max_size=30))
@settings(deadline=None)
def test_it_knows_what_a_dict_with_times_would(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        memory = RequestMemory()
        until: dict[str, tuple[float, DoneRequest]] = {}
        for number, (request_id, pause) in enumerate(steps):
            memory.remember(request_id, done(number))
            until[request_id] = (trio.current_time() + REQUESTS_REMEMBERED_SECONDS, done(number))
            await trio.sleep(pause)
            for known, (end, what) in until.items():
                assert memory.recall(known) == (what if trio.current_time() < end else None)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
