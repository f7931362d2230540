"""What either side of a session takes from its peer."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session import lanes
from gossipnode.core.session.commands import Write
from gossipnode.core.session.intake import Intake
from gossipnode.core.session.lanes import Taken
from gossipnode.core.session.messages import AnswerTo, Unreadable

SHARDS = 4
STAMP_MAX = 100
ENTITIES = [Entity("g", "n", str(nth)) for nth in range(50)]
HERE = [entity for entity in ENTITIES if shard_of(entity, SHARDS) == 1]
ELSEWHERE = next(entity for entity in ENTITIES if shard_of(entity, SHARDS) != 1)


def intake(shard: ShardId | None = ShardId("g", 1)) -> Intake:  # noqa: B008 - it is immutable
    return Intake({"g": SHARDS, "other": 1}, stamp_max=STAMP_MAX, shard=shard)


def of(entity: Entity, stamp: int = 1) -> Record:
    return Record(entity, Version(stamp, 0, b""), b"{}")


def test_a_record_of_the_shard_goes_to_the_store() -> None:
    taken = intake()
    assert taken.durable
    taken.take(of(HERE[0], STAMP_MAX), AnswerTo.SYNC)
    assert not taken.durable
    assert taken.next_write() == Write((of(HERE[0], STAMP_MAX),))
    assert not taken.durable
    assert taken.written([WriteOutcome.STORED]) == []
    assert taken.durable
    assert (taken.counts.received, taken.counts.skipped) == (1, 0)


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (Unreadable("no payload"), "not storable"),
        (of(ELSEWHERE), "of another group or shard"),
        (of(Entity("other", HERE[0].name, HERE[0].id)), "of another group or shard"),
        (of(HERE[0], STAMP_MAX + 1), "stamped too far ahead"),
    ],
)
def test_a_record_that_may_not_be_taken_is_counted_and_left_out(
    left_out: Record | Unreadable, reason: str
) -> None:
    taken = intake()
    taken.take(left_out, AnswerTo.SYNC)
    assert taken.next_write() is None
    assert taken.counts.received == 1
    assert taken.counts.reasons == {reason: 1}


def test_nothing_belongs_to_a_shard_that_was_not_named_yet() -> None:
    taken = intake(None)
    assert not taken.belongs(HERE[0])
    taken.shard = ShardId("g", 1)
    assert taken.belongs(HERE[0])
    assert not taken.belongs(ELSEWHERE)


def test_the_records_of_which_the_store_has_a_newer_version_are_given_back() -> None:
    taken = intake()
    for nth, answer_to in enumerate((AnswerTo.SYNC, AnswerTo.MISSING, AnswerTo.SYNC)):
        taken.take(of(HERE[nth]), answer_to)
    assert taken.next_write() is not None
    older = taken.written([WriteOutcome.REFUSED, WriteOutcome.OLDER, WriteOutcome.STORED])
    assert older == [Taken(of(HERE[1]), AnswerTo.MISSING)]
    assert taken.counts.reasons == {"not storable": 1}


def test_reading_waits_for_the_store_once_too_much_is_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "UNWRITTEN_MAX_RECORDS", 1)
    taken = intake()
    assert not taken.full
    taken.take(of(HERE[0]), AnswerTo.SYNC)
    assert taken.full
    assert taken.next_write() is not None
    assert not taken.full


def test_nothing_belongs_to_a_group_that_was_made_after_the_session_began() -> None:
    intake = Intake({"other": 1}, stamp_max=STAMP_MAX, shard=ShardId("g", 0))
    assert not intake.belongs(Entity("g", "n", "1"))
