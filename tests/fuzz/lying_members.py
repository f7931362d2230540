"""Members that lie: about rounds, and in their answers to reads, writes and searches."""

from __future__ import annotations

from gossipnode.core.model.errors import InvalidRoundError
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.newest import NewestRecords, certain_record
from gossipnode.core.query.replica_messages import (
    SAME,
    Candidate,
    Held,
    RecordsRead,
    RecordsWritten,
    Refusal,
    ReplicaReply,
)
from gossipnode.core.query.request_lineage import KnownRequest, Lineage
from gossipnode.core.query.search import Place
from gossipnode.core.query.write_answers import WriteAnswers
from gossipnode.core.ring.admission import Admission, Mailbox
from gossipnode.core.ring.round import Ended, Forwarded, Hop, InSession, OpenRound, Report, RoundOutcome
from gossipnode.core.ring.turn import (
    BUSY_RETRIES,
    Cause,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
    check_message,
    hop_limit,
)
from tests.core.support import SHARD, record
from tests.fuzz.tape import Tape

NAMES = ("a", "b", "c", "d", "stranger", "")
MEMBERS = NAMES[:4]
STEP_BYTES = 256
ENTITIES = tuple(Entity("g", "n", f"i{number}") for number in range(4))
RECORDS = tuple(
    record(f"i{number}", revision, deleted=deleted)
    for number in range(5)
    for revision, deleted in ((1, 0), (2, 0), (2, 9), (3, 0))
)


# --- rounds ---


def names(tape: Tape) -> tuple[str, ...]:
    return tuple(tape.pick(NAMES) for _ in range(tape.below(7)))


def messages_of_rounds(first: bytes, steps: tuple[bytes, ...]) -> int:
    """A message of a round is refused, or the turn that it gives ends within its hops."""
    admission, mailbox = Admission(), Mailbox()
    now = 0.0
    for step in (first, *steps):
        tape = Tape(step)
        now += tape.byte()
        replicas = set(names(tape)) & set(MEMBERS)
        message = RoundMessage(
            tape.pick(("", "r1", "r2")),
            SHARD,
            tape.pick(NAMES),
            names(tape),
            tape.byte() - 4,
            tape.pick(list(Cause)),
        )
        try:
            checked = check_message(message, own_name="a", members=MEMBERS, replicas=replicas)
        except InvalidRoundError:
            continue
        assert set(checked.nodes) <= replicas
        assert "a" in checked.nodes
        assert 0 <= checked.count <= checked.limit
        again = admission.comes_again(checked)
        if checked.round:
            assert admission.comes_again(checked), "the same message is taken twice"
        if tape.byte() % 2:
            admission.ended_well(SHARD, tape.pick(MEMBERS), now=now)
        if not again and not admission.not_needed(checked, now=now, half_interval=100.0):
            mailbox.put(checked)
            turn(checked, tape, replicas)
    waiting = 0
    while mailbox.take(SHARD):
        waiting += 1
    assert waiting <= len(MEMBERS), "more than one message of an origin waits"
    return STEP_BYTES * (1 + len(steps))


def turn(message: RoundMessage, tape: Tape, replicas: set[str]) -> None:
    holder = HolderTurn(message, "a")
    step = holder.next_step()
    for _ in range((BUSY_RETRIES + 2) * len(message.nodes) + 1):
        match step:
            case RepairWith(peer):
                assert peer in replicas
                assert peer != "a"
                step = holder.repaired(tape.pick(list(HopEnd)))
            case Forward(peer, following):
                assert following.count <= message.limit
                check_message(following, own_name=peer, members=MEMBERS, replicas=replicas)
                step = holder.not_forwarded()
            case EndRound():
                return
    raise AssertionError("a turn does not end")


def reports_of_rounds(first: bytes, steps: tuple[bytes, ...]) -> int:
    """A round ends soon after the last sign of life, whatever was reported, and claims no more than that."""
    tape = Tape(first)
    nodes = tuple(dict.fromkeys(name for name in names(tape) if name in MEMBERS))
    now = 10.0
    opened = OpenRound("r", SHARD, "a", nodes, started_at=1, now=now, deadline_seconds=300.0)
    for step in steps:
        tape = Tape(step)
        now += tape.byte() / 4
        match tape.below(8):
            case 0:
                opened.expire(now)
            case 1:
                opened.taken_by(tape.pick(NAMES), now, foreign=tape.flag())
            case 2 if tape.flag():
                opened.abandon("why", now)
            case _:
                opened.report(a_report(tape), now)
        known = opened.snapshot(now)
        assert (known.outcome is None) == (opened.finished is None)
        assert opened.finished or opened.expires <= now + 300.0, (
            "it waits beyond the deadline of a foreign holder"
        )
    for _ in range(2):
        opened.expire(max(now, opened.expires))
    finished = opened.finished
    assert finished is not None, "a round does not end"
    if finished.outcome is RoundOutcome.CONVERGED:
        assert all(hop.end is HopEnd.EQUAL and not hop.skipped for hop in finished.hops)
        assert sum(hop.successful for hop in finished.hops) >= hop_limit(len(nodes))
    return STEP_BYTES * (2 + len(steps) + len(finished.hops))


def a_report(tape: Tape) -> Report:
    hops = tuple(
        Hop(
            tape.pick(NAMES),
            tape.pick(NAMES),
            tape.pick([end for end in HopEnd if end is not HopEnd.BUSY]),
            skipped=tape.below(2),
        )
        for _ in range(tape.below(6))
    )
    then = tape.pick(
        (
            Ended(tape.pick(("", "why", EndRound.NO_SUCCESSOR))),
            Forwarded(tape.pick(NAMES), foreign=tape.flag()),
            InSession(tape.pick(NAMES)),
        )
    )
    return Report("r", SHARD, tape.pick(NAMES), tape.below(9) - 1, hops, then)


# --- answers to reads, writes and searches ---


def a_held(tape: Tape) -> Held:
    return tape.pick((None, SAME, *RECORDS))


def a_reply(tape: Tape) -> ReplicaReply:
    match tape.below(4):
        case 0:
            return Refusal(tape.byte(), tape.pick(("", "why")), other_view=tape.flag())
        case 1:
            versions = (None, Version(1, 0, b"x"))
            return RecordsWritten(
                tuple(
                    WriteResult(tape.pick(list(WriteOutcome)), tape.pick(versions), tape.pick(("", "why")))
                    for _ in range(tape.below(6))
                )
            )
        case _:
            known = KnownRequest("one", tape.flag(), tape.byte())
            lineage = Lineage((known,) * tape.below(3), tape.byte()) if tape.flag() else None
            fitting = tape.flag()
            return RecordsRead(
                tuple(
                    tape.pick((None, SAME, *RECORDS[4 * number : 4 * number + 4]))
                    if fitting
                    else a_held(tape)
                    for number in range(tape.below(6))
                ),
                lineage,
            )


def answers(first: bytes, steps: tuple[bytes, ...]) -> int:
    """What replicas answer to one read and one write."""
    tape = Tape(first)
    asked = ENTITIES[: 1 + tape.below(4)]
    own: list[Record | None] = [
        RECORDS[4 * number + tape.below(4)] if tape.flag() else None for number in range(len(asked))
    ]
    written = [RECORDS[4 * number] for number in range(len(asked))]
    newest = NewestRecords(SHARD, asked, own)
    judge = WriteAnswers(written, newer_counts=tape.flag(), names_records=tape.flag())
    for number, step in enumerate(steps):
        reply = a_reply(Tape(step))
        before = newest.records()
        if not newest.take(f"replica {number}", reply):
            assert isinstance(reply, RecordsRead)
        for position, after in enumerate(newest.records()):
            assert after is None or after.entity == asked[position], "a record that was not asked for"
            held = before[position]
            assert held is None or (after is not None and after.version >= held.version), (
                "a version went down"
            )
        if not judge.take("replica", reply):
            assert isinstance(reply, RecordsWritten)
            assert len(reply.results) == len(written)
            assert all(result.outcome is not WriteOutcome.REFUSED for result in reply.results)
    for stale in newest.stale():
        assert stale.record.entity in asked
    return STEP_BYTES * (1 + len(steps)) * len(asked)


def candidates(first: bytes, steps: tuple[bytes, ...]) -> int:
    """What replicas find of one record. It is certain only if all that were asked say the same."""
    asked = {name for name in MEMBERS if Tape(first).byte() & 1 << MEMBERS.index(name)}
    found: list[tuple[str, Candidate]] = []
    for step in steps:
        tape = Tape(step)
        one = tape.pick(RECORDS[:4])
        payload = one.payload if tape.flag() else None
        found.append((tape.pick(NAMES), Candidate(Place(one.entity), SHARD, one.version, payload)))
    if found:
        certain = certain_record(found, asked)
        if certain is not None:
            assert certain in RECORDS
            assert asked <= {name for name, _ in found}
            assert all(each.version == certain.version for _, each in found)
    return STEP_BYTES * (1 + len(steps))
