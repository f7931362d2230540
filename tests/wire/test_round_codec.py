"""Rounds, events and reports come back as they were sent; a report cannot say more than a holder can know."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import FIRST_EPOCH, ShardId
from gossipnode.core.ring.foreign_turn import ForeignTurn
from gossipnode.core.ring.round import (
    Ended,
    Forwarded,
    Hop,
    InSession,
    NotNeeded,
    Report,
    Round,
    RoundOutcome,
)
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.round_codec import (
    REPORT_HOPS_MAX,
    REPORT_TEXT_MAX_CHARACTERS,
    decode_alive,
    decode_foreign_known,
    decode_foreign_turn,
    decode_hop,
    decode_report,
    encode_alive,
    encode_finished,
    encode_foreign_known,
    encode_foreign_turn,
    encode_hop,
    encode_hop_made,
    encode_report,
    encode_round,
    encode_started,
    event_content,
)
from tests.wire.support import TEXTS, examples

COUNTS = st.integers(0, 2**32 - 1)
HOPS = st.builds(
    Hop,
    TEXTS,
    TEXTS,
    st.sampled_from([end for end in HopEnd if end is not HopEnd.BUSY]),
    TEXTS,
    TEXTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    st.floats(0, 1e6),
)
REPORTS = st.builds(
    Report,
    TEXTS,
    st.builds(ShardId, TEXTS, COUNTS, st.just(FIRST_EPOCH)),
    TEXTS,
    st.integers(0, 2**31 - 1),
    st.lists(HOPS, max_size=3).map(tuple),
    st.builds(InSession, TEXTS)
    | st.builds(Forwarded, TEXTS, st.booleans())
    | st.builds(Ended, TEXTS)
    | st.builds(NotNeeded, TEXTS),
)
HOP = Hop(
    "a", "b", HopEnd.REPAIRED, sent=3, received=4, skipped=1, bytes_sent=5, bytes_received=6, seconds=0.5
)
ROUND = Round("r", ShardId("g", 2), "a", 17, None, 1.5, (HOP,))
REPORT = Report("r", ShardId("g", 2), "a", 7, (HOP,), Ended(""))


@pytest.mark.slow
@examples(100)
@given(REPORTS)
def test_a_report_comes_back_as_it_went(report: Report) -> None:
    data = encode(encode_report(report))
    assert decode_report(decode(v1.ReportRequest, data)) == report
    assert node_pb2.ReportRequest.FromString(data).SerializeToString() == data


def test_signs_of_life_come_back_as_they_went_and_other_reports_are_none() -> None:
    long = "x" * (REPORT_TEXT_MAX_CHARACTERS + 1)
    signs = [replace(REPORT, round=f"r{each}", hops=(), then=InSession("b")) for each in range(3)]
    read = decode_alive(encode_alive("a", [*signs, REPORT, replace(REPORT, then=InSession(long))]))
    assert read == [*signs, replace(REPORT, hops=(), then=InSession(long[:-1]))]


def test_a_hop_whose_outcome_no_holder_reports_is_refused() -> None:
    for outcome in ("", "nonsense", "busy"):
        message = encode_hop(HOP)
        message.outcome = outcome
        with pytest.raises(ValueError, match=r"outcome of a hop|is not a valid HopEnd"):
            decode_hop(message)


@pytest.mark.parametrize("seconds", [-0.001, math.inf, math.nan])
def test_a_hop_of_no_duration_is_refused(seconds: float) -> None:
    message = encode_hop(HOP)
    message.seconds = seconds
    with pytest.raises(ValueError, match="is no duration"):
        decode_hop(message)


def test_long_texts_of_a_report_are_cut() -> None:
    long = "x" * (REPORT_TEXT_MAX_CHARACTERS + 1)
    hop = replace(HOP, from_node=long, to_node=long, reason=long, session=long)
    for then in (InSession(long), Forwarded(long, True), Ended(long), NotNeeded(long)):
        read = decode_report(encode_report(replace(REPORT, hops=(hop,), then=then)))
        (cut,) = read.hops
        told = read.then.reason if isinstance(read.then, Ended | NotNeeded) else read.then.peer
        for text in (cut.from_node, cut.to_node, cut.reason, cut.session, told):
            assert text == long[:-1]


def test_a_report_of_more_hops_than_a_holder_can_make_is_refused() -> None:
    most = replace(REPORT, hops=(HOP,) * REPORT_HOPS_MAX)
    assert decode_report(encode_report(most)) == most
    with pytest.raises(ValueError, match=f"{REPORT_HOPS_MAX + 1} hops in one report"):
        decode_report(encode_report(replace(REPORT, hops=(HOP,) * (REPORT_HOPS_MAX + 1))))


def test_a_report_without_what_happens_next_is_refused() -> None:
    with pytest.raises(ValueError, match="a report without next"):
        decode_report(v1.ReportRequest(round="r"))


@pytest.mark.parametrize("outcome", [None, *RoundOutcome])
def test_a_round_under_way_has_no_outcome(outcome: RoundOutcome | None) -> None:
    read = node_pb2.Round.FromString(encode(encode_round(replace(ROUND, outcome=outcome))))
    assert read.outcome == (outcome.value if outcome else "")
    assert (read.round, read.group, read.shard, read.origin) == ("r", "g", 2, "a")
    assert (read.started_at, read.seconds, len(read.hops)) == (17, 1.5, 1)


def test_the_events_of_a_round_name_it_and_tell_one_thing() -> None:
    finished = replace(ROUND, outcome=RoundOutcome.REPAIRED)
    events = [encode_started(ROUND), encode_hop_made(ROUND, HOP), encode_finished(finished)]
    contents: list[v1.Hop | v1.Round | None] = [None, encode_hop(HOP), encode_round(finished)]
    for event, content in zip(events, contents, strict=True):
        read = decode(v1.RoundEvent, encode(event))
        assert (read.round, read.group, read.shard) == ("r", "g", 2)
        assert event_content(read) == event_content(event) == content


def test_the_turn_of_a_foreign_holder_crosses() -> None:
    shard = ShardId("g", 2, incarnation=7)
    turn = ForeignTurn("c", RoundMessage("r", shard, "a", ("a", "b", "c"), 1, Cause.ASKED))
    for wait in (False, True):
        told = decode(v1.ForeignTurnRequest, encode(encode_foreign_turn(turn, wait=wait)))
        assert told.wait is wait
        assert decode_foreign_turn(told, shard) == turn


@pytest.mark.parametrize("known", [HOP, True, False])
def test_what_a_witness_knows_crosses(known: Hop | bool) -> None:
    told = decode(v1.ForeignTurnResponse, encode(encode_foreign_known(known)))
    assert decode_foreign_known(told) == known
