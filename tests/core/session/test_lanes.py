"""The two lanes of a session: records on their way to the store, and answers owed to the peer."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.session import lanes
from gossipnode.core.session.commands import Write
from gossipnode.core.session.lanes import (
    ANSWERED_MAX_ENTITIES,
    OWED_KEY_OVERHEAD_BYTES,
    OWED_MAX_BYTES,
    READ_BATCH_RECORDS,
    UNWRITTEN_MAX_BYTES,
    UNWRITTEN_MAX_RECORDS,
    WRITE_BATCH_BYTES,
    WRITE_BATCH_RECORDS,
    OwedLane,
    Taken,
    WriteLane,
    present,
)
from gossipnode.core.session.messages import AnswerTo
from tests.core.support import record


def sized(size: int, id_: str = "i") -> Taken:
    return Taken(Record(Entity("g", "n", id_), Version(1, 0, b""), bytes(size)), AnswerTo.SYNC)


def test_a_batch_is_bounded_in_records() -> None:
    lane = WriteLane()
    for number in range(WRITE_BATCH_RECORDS + 1):
        lane.add(sized(0, str(number)))
    first = lane.next()
    assert isinstance(first, Write)
    assert len(first.records) == WRITE_BATCH_RECORDS == 256
    assert lane.next() is None, "one write at a time"
    assert [taken.record for taken in lane.done()] == list(first.records)
    assert not lane.empty
    second = lane.next()
    assert second is not None
    assert [each.entity.id for each in second.records] == [str(WRITE_BATCH_RECORDS)]
    assert not lane.empty, "still in the store"
    assert len(lane.done()) == 1
    assert lane.empty
    assert lane.next() is None
    assert lane.done() == ()


def test_a_batch_is_bounded_in_bytes() -> None:
    lane = WriteLane()
    half = WRITE_BATCH_BYTES // 2
    for size in (half, half, 1, half, half - 1, 1, 5):
        lane.add(sized(size))
    sizes = []
    while (batch := lane.next()) is not None:
        sizes.append([len(each.payload) for each in batch.records])
        lane.done()
    assert sizes == [[half, half], [1, half, half - 1], [1, 5]]
    assert lane.empty


def test_the_lane_is_bounded_in_records() -> None:
    assert UNWRITTEN_MAX_RECORDS == 1024
    lane = WriteLane()
    assert lane.empty
    for _ in range(UNWRITTEN_MAX_RECORDS - 1):
        lane.add(sized(0))
    assert not lane.full
    lane.add(sized(0))
    assert lane.full
    assert lane.next() is not None
    assert not lane.full


def test_the_lane_is_bounded_in_bytes() -> None:
    assert UNWRITTEN_MAX_BYTES == 8 * 1024 * 1024
    lane = WriteLane()
    lane.add(sized(UNWRITTEN_MAX_BYTES - 1))
    assert not lane.full
    lane.add(sized(1))
    assert lane.full
    lane.next()
    assert not lane.full, "what the store has is not counted"
    lane.done()
    lane.add(sized(UNWRITTEN_MAX_BYTES - 2))
    assert not lane.full, "the one byte left and these are one too few"
    lane.add(sized(1))
    assert lane.full


def test_answers_are_taken_in_order_and_in_batches() -> None:
    lane = OwedLane()
    assert not lane
    entities = [Entity("g", "n", str(number)) for number in range(READ_BATCH_RECORDS + 2)]
    for entity in entities:
        assert lane.add(entity, AnswerTo.MISSING)
    assert lane
    assert lane.take() == [(entity, AnswerTo.MISSING) for entity in entities[:READ_BATCH_RECORDS]]
    assert lane.take() == [(entity, AnswerTo.MISSING) for entity in entities[READ_BATCH_RECORDS:]]
    assert not lane
    assert lane.take() == []


def test_the_same_key_may_be_owed_twice() -> None:
    lane = OwedLane()
    entity = Entity("g", "n", "i")
    assert lane.add(entity, AnswerTo.MISSING)
    assert lane.add(entity, AnswerTo.SYNC)
    assert lane.take() == [(entity, AnswerTo.MISSING), (entity, AnswerTo.SYNC)]


def test_what_is_owed_has_a_cap_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OWED_MAX_BYTES == 8 * 1024 * 1024
    entity = Entity("g", "nn", "iii")
    cost = OWED_KEY_OVERHEAD_BYTES + 4 * 5
    monkeypatch.setattr(lanes, "OWED_MAX_BYTES", 2 * cost)
    lane = OwedLane()
    assert lane.add(entity, AnswerTo.SYNC)
    assert lane.add(entity, AnswerTo.SYNC)
    assert not lane.add(entity, AnswerTo.SYNC)
    assert len(lane.take()) == 2
    assert lane.add(entity, AnswerTo.SYNC)
    monkeypatch.setattr(lanes, "OWED_MAX_BYTES", cost + 1)
    assert lane.add(entity, AnswerTo.SYNC)
    assert not lane.add(entity, AnswerTo.SYNC)


def test_an_entity_is_answered_once_it_is_remembered() -> None:
    lane = OwedLane()
    assert not lane.was_answered(Entity("g", "n", "a"))
    assert lane.remember(Entity("g", "n", "a"))
    assert lane.was_answered(Entity("g", "n", "a"))
    assert not lane.was_answered(Entity("g", "n", "b"))


def test_the_memory_of_answers_has_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ANSWERED_MAX_ENTITIES == 65536
    monkeypatch.setattr(lanes, "ANSWERED_MAX_ENTITIES", 2)
    lane = OwedLane()
    assert [lane.remember(Entity("g", "n", id_)) for id_ in "abc"] == [True, True, False]
    assert [lane.was_answered(Entity("g", "n", id_)) for id_ in "abc"] == [True, True, False]
    assert len(lane._answered) == 2


def test_present_leaves_out_what_is_not_there() -> None:
    assert present([None, record("i", 1), None]) == [record("i", 1)]
