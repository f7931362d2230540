"""Rounds, hops and reports as the messages of `gossipnode.v1`, and back. Nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.foreign_turn import ForeignTurn
from gossipnode.core.ring.round import (
    Ended,
    EndedWell,
    Forwarded,
    Hop,
    InSession,
    NotNeeded,
    Report,
    Round,
    Then,
)
from gossipnode.core.ring.turn import RING_MAX_NODES, Cause, HopEnd, RoundMessage
from gossipnode.wire.envelope.tables import chosen
from gossipnode.wire.generated.bp.gossipnode import v1

REPORT_HOPS_MAX = 2 * RING_MAX_NODES
"""The most hops in one report: for each successor one session, and one hand-over that failed."""

REPORT_TEXT_MAX_CHARACTERS = 500
"""The longest text in a report; a longer one is cut."""


def encode_hop(hop: Hop) -> v1.Hop:
    """A hop, for the command line or for the origin of the round."""
    return v1.Hop(
        from_=hop.from_node,
        to=hop.to_node,
        session=hop.session,
        outcome=hop.end.value,
        reason=hop.reason,
        sent=hop.sent,
        received=hop.received,
        skipped=hop.skipped,
        bytes_sent=hop.bytes_sent,
        bytes_received=hop.bytes_received,
        seconds=hop.seconds,
    )


def decode_hop(hop: v1.Hop) -> Hop:
    """A hop that a holder reports. Its texts are cut to `REPORT_TEXT_MAX_CHARACTERS`.

    Raises:
        ValueError: its outcome is unknown, or its seconds are no duration.
    """
    end = HopEnd(hop.outcome)
    if end is HopEnd.BUSY:
        # No holder reports it: a successor that stays busy is reported as `skipped`.
        raise ValueError("outcome of a hop: expected equal, repaired, skipped or failed")
    if not 0 <= hop.seconds < math.inf:
        raise ValueError(f"seconds of a hop: {hop.seconds} is no duration")
    return Hop(
        from_node=hop.from_[:REPORT_TEXT_MAX_CHARACTERS],
        to_node=hop.to[:REPORT_TEXT_MAX_CHARACTERS],
        end=end,
        reason=hop.reason[:REPORT_TEXT_MAX_CHARACTERS],
        session=hop.session[:REPORT_TEXT_MAX_CHARACTERS],
        sent=hop.sent,
        received=hop.received,
        skipped=hop.skipped,
        bytes_sent=hop.bytes_sent,
        bytes_received=hop.bytes_received,
        seconds=hop.seconds,
    )


def encode_round(the_round: Round) -> v1.Round:
    """A round, for the command line."""
    return v1.Round(
        round=the_round.round,
        group=the_round.shard.group,
        shard=the_round.shard.shard,
        origin=the_round.origin,
        outcome=the_round.outcome.value if the_round.outcome else "",
        seconds=the_round.seconds,
        hops=[encode_hop(hop) for hop in the_round.hops],
        started_at=the_round.started_at,
    )


def encode_started(known: Round) -> v1.RoundEvent:
    """The event of a round that was started."""
    return v1.RoundEvent(round=known.round, group=known.shard.group, shard=known.shard.shard)


def encode_hop_made(known: Round, hop: Hop) -> v1.RoundEvent:
    """The event of one hop of a round."""
    event = encode_started(known)
    event.hop = encode_hop(hop)
    return event


def encode_finished(known: Round) -> v1.RoundEvent:
    """The event of a round's end."""
    event = encode_started(known)
    event.finished = encode_round(known)
    return event


def event_content(event: v1.RoundEvent) -> v1.Hop | v1.Round | None:
    """What an event tells: a hop, or the round at its end; None for the event of its start."""
    content: v1.Hop | v1.Round | None = chosen(event, "event")[1]
    return content


def encode_report(report: Report) -> v1.ReportRequest:
    """A report, for the origin of the round."""
    message = v1.ReportRequest(
        round=report.round,
        group=report.shard.group,
        shard=report.shard.shard,
        holder=report.holder,
        count=report.count,
        hops=[encode_hop(hop) for hop in report.hops],
    )
    match report.then:
        case InSession(peer):
            message.in_session_with = peer
        case Forwarded(peer, foreign):
            message.forwarded_to = peer
            message.next_is_foreign = foreign
        case Ended(reason):
            message.ended = reason
        case NotNeeded(reason):
            message.not_needed = reason
    return message


def encode_alive(holder: str, signs: Iterable[Report]) -> v1.AliveRequest:
    """Signs of life of a holder for one origin, of which each is a report that ends with `InSession`."""
    return v1.AliveRequest(
        holder=holder,
        messages=[
            v1.MessageHeld(
                round=sign.round,
                group=sign.shard.group,
                shard=sign.shard.shard,
                count=sign.count,
                in_session_with=sign.then.peer,
            )
            for sign in signs
            if isinstance(sign.then, InSession)
        ],
    )


def decode_alive(message: v1.AliveRequest) -> list[Report]:
    """The signs of life of a holder, as reports that end with `InSession`."""
    return [
        Report(
            held.round,
            ShardId(held.group, held.shard),
            message.holder,
            held.count,
            (),
            InSession(held.in_session_with[:REPORT_TEXT_MAX_CHARACTERS]),
        )
        for held in message.messages
    ]


def encode_ended(ended: EndedWell) -> v1.RoundEndedRequest:
    """What a replica is told of a round that ended well."""
    return v1.RoundEndedRequest(round=ended.round, group=ended.shard.group, shard=ended.shard.shard)


def encode_foreign_turn(turn: ForeignTurn, *, wait: bool) -> v1.ForeignTurnRequest:
    """What a witness is told of a turn; with `wait` it answers once it knows the outcome."""
    message = turn.message
    return v1.ForeignTurnRequest(
        group=message.shard.group,
        shard=message.shard.shard,
        round=message.round,
        origin=message.origin,
        nodes=list(message.nodes),
        count=message.count,
        cause=message.cause.value,
        holder=turn.holder,
        wait=wait,
    )


def decode_foreign_turn(request: v1.ForeignTurnRequest, shard: ShardId) -> ForeignTurn:
    """A turn that this node is to be the witness of; `shard` is the one of the request, as this node has it.

    Raises:
        ValueError: its cause is unknown.
    """
    message = RoundMessage(
        request.round, shard, request.origin, tuple(request.nodes), request.count, Cause(request.cause)
    )
    return ForeignTurn(request.holder, message)


def encode_foreign_known(known: Hop | bool) -> v1.ForeignTurnResponse:
    """What a witness knows: the hop, or whether the holder is given up; False says nothing."""
    if isinstance(known, Hop):
        return v1.ForeignTurnResponse(hop=encode_hop(known))
    return v1.ForeignTurnResponse(given_up=True) if known else v1.ForeignTurnResponse()


def decode_foreign_known(response: v1.ForeignTurnResponse) -> Hop | bool:
    """What a witness knows, see `encode_foreign_known`.

    Raises:
        ValueError: see `decode_hop`.
    """
    known = chosen(response, "known")[1]
    return decode_hop(known) if isinstance(known, v1.Hop) else bool(known)


def decode_report(message: v1.ReportRequest) -> Report:
    """The report of a holder.

    Raises:
        ValueError: it does not say what happens next, or holds more hops than a holder can have made.
    """
    if len(message.hops) > REPORT_HOPS_MAX:
        raise ValueError(f"{len(message.hops)} hops in one report: expected {REPORT_HOPS_MAX} at most")
    then: Then
    match chosen(message, "next"):
        case ("in_session_with", peer):
            then = InSession(str(peer)[:REPORT_TEXT_MAX_CHARACTERS])
        case ("forwarded_to", peer):
            then = Forwarded(str(peer)[:REPORT_TEXT_MAX_CHARACTERS], message.next_is_foreign)
        case ("ended", reason):
            then = Ended(str(reason)[:REPORT_TEXT_MAX_CHARACTERS])
        case ("not_needed", reason):
            then = NotNeeded(str(reason)[:REPORT_TEXT_MAX_CHARACTERS])
        case _:
            raise ValueError(
                "a report without next: expected in_session_with, forwarded_to, ended or not_needed"
            )
    return Report(
        message.round,
        ShardId(message.group, message.shard),
        message.holder,
        message.count,
        tuple(decode_hop(hop) for hop in message.hops),
        then,
    )
