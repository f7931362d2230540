"""Checks of what rounds reported, held against what their replicas held."""

from __future__ import annotations

from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import Cause, hop_limit
from gossipnode.sim.checks.key_story import group_of
from gossipnode.sim.checks.verdict import Verdict
from gossipnode.sim.history.history import CLOCK, DISK, DOWN, History, RoundSeen
from gossipnode.sim.history.operations import NOBODYS, Import, Operation, Query

CALM_BEFORE_SECONDS = 60.0
"""How long all must have been well before a round, so that it has no excuse.

By then members have said hello to each other again, and what was repaired in the background is repaired.
"""

STRAGGLER_SECONDS = 30.0
"""How long after the end of an operation its last calls to replicas may still be under way."""

ROUND_ENDS_SECONDS = 1800.0
"""A round is over in this time, whatever happens: each of its few hops ends, or its holder counts as gone."""

MADE_GOOD_SECONDS = 900.0
"""How long after a scheduled round was lost with its origin another one of its shard has ended well."""

SILENT = " does not report"
"""How the reason ends with which an origin blames a holder for its silence."""

FINAL_ROUNDS = 2
"""Rounds of each shard at the end of a run: the first repairs, the second finds nothing to do."""


def always_rounds_tell_the_truth(history: History, verdict: Verdict) -> None:
    """A round says that replicas are equal only if they are, unless somebody wrote or broke something.

    One that says that it was not needed came after another one that ended well.
    """
    for seen in history.rounds:
        if seen.outcome == RoundOutcome.NOT_NEEDED.value and verdict.fails(_was_done_before(history, seen)):
            verdict.add(seen.ended, f"{_named(seen)} said not needed, but no other one had ended well before")
        if not _is_still(history, seen, STRAGGLER_SECONDS):
            continue
        if seen.ended_well and verdict.fails(seen.equal_after):
            verdict.add(
                seen.ended, f"{_named(seen)} said {seen.outcome}, but its replicas differed when it ended"
            )
        if (
            seen.outcome == RoundOutcome.CONVERGED.value
            and _is_still(history, seen, CALM_BEFORE_SECONDS)
            and verdict.fails(seen.equal_before or _has_company(history, seen))
        ):
            verdict.add(seen.ended, f"{_named(seen)} said converged, but its replicas differed when it began")


def _was_done_before(history: History, seen: RoundSeen) -> bool:
    return any(
        other.ended_well and other.shard == seen.shard and other.ended <= seen.ended
        for other in history.rounds
    )


def always_rounds_claim_what_their_hops_show(history: History, verdict: Verdict) -> None:
    """A round that says converged moved no record, and one that says repaired left nothing and nobody out."""
    for seen in history.rounds:
        moved = sum(hop.sent + hop.received for hop in seen.hops)
        incomplete = [hop for hop in seen.hops if not hop.complete]
        if seen.outcome == RoundOutcome.CONVERGED.value and verdict.fails(not moved):
            verdict.add(seen.ended, f"{_named(seen)} said converged, but moved {moved} records")
        if seen.ended_well and verdict.fails(not incomplete):
            verdict.add(
                seen.ended,
                f"{_named(seen)} said {seen.outcome}, but its hop from {incomplete[0].from_node} to "
                f"{incomplete[0].to_node} was not complete",
            )
        due = hop_limit(seen.replicas)
        if seen.ended_well and verdict.fails(len(seen.hops) == due):
            verdict.add(
                seen.ended, f"{_named(seen)} said {seen.outcome}, but shows {len(seen.hops)} hops of {due}"
            )
        if seen.ended_well and seen.shard.group not in history.deleted_groups:
            _expect_at_all(seen, verdict)


def _expect_at_all(seen: RoundSeen, verdict: Verdict) -> None:
    if verdict.fails(not seen.lacking):
        verdict.add(
            seen.ended,
            f"{_named(seen)} said {seen.outcome}, but {', '.join(seen.lacking)} held no such shard",
        )


def always_rounds_hear_of_their_holders(history: History, verdict: Verdict) -> None:
    """A round blames no holder for silence that could speak, and is not said to be overtaken by itself."""
    for seen in history.rounds:
        silent = [hop for hop in seen.hops if hop.reason.endswith(SILENT)]
        if silent and verdict.fails(_is_anybody_away(history, seen)):
            verdict.add(seen.ended, f"{_named(seen)} said: {silent[0].reason}, but all were there")
        by_itself = [
            hop for hop in seen.hops if seen.number and hop.reason.endswith(f"by round {seen.number}")
        ]
        if verdict.fails(not by_itself):
            verdict.add(seen.ended, f"{_named(seen)} said: {by_itself[0].reason}, which is itself")


def always_calm_rounds_are_complete(history: History, verdict: Verdict) -> None:
    """A round in a calm cluster is complete: healthy never looks broken."""
    for seen in history.rounds:
        if not _is_calm(history, seen):
            continue
        reasons = sorted({hop.reason for hop in seen.hops if hop.reason})
        if verdict.fails(seen.outcome not in (RoundOutcome.INCOMPLETE.value, "")):
            verdict.add(
                seen.ended,
                f"{_named(seen)} was {seen.outcome or 'lost'} in a calm cluster"
                + (f": {'; '.join(reasons)}" if reasons else ""),
            )


def always_rounds_pass_by_the_dead(history: History, verdict: Verdict) -> None:
    """A round whose only trouble is that a replica is down makes all others equal."""
    for seen in history.rounds:
        away = {hop.to_node for hop in seen.hops if not hop.complete}
        if not away or seen.outcome != RoundOutcome.INCOMPLETE.value:
            continue
        begins = seen.began - STRAGGLER_SECONDS
        down = {
            harm.host
            for harm in history.harms
            if harm.kind == DOWN and harm.begins <= begins and seen.ended <= harm.ends
        }
        if away <= down and _is_still(history, seen, STRAGGLER_SECONDS) and verdict.fails(seen.equal_after):
            verdict.add(
                seen.ended,
                f"{_named(seen)} had to leave out {', '.join(sorted(away))}, "
                "but the others differed when it ended",
            )


def eventually_lost_rounds_are_made_good(history: History, verdict: Verdict) -> None:
    """A scheduled round that was lost with its origin is made good by another one, once all is calm."""
    for seen in history.rounds:
        if seen.outcome or seen.cause != Cause.SCHEDULED.value:
            continue
        calm_from = min(
            (
                max(calm.begins, seen.ended)
                for calm in history.calm
                if max(calm.begins, seen.ended) + MADE_GOOD_SECONDS <= calm.ends
            ),
            default=None,
        )
        if calm_from is None:
            continue
        until = calm_from + MADE_GOOD_SECONDS
        made_good = any(
            other.shard == seen.shard and seen.ended < other.ended <= until and other.ended_well
            for other in history.rounds
        )
        if verdict.fails(made_good):
            verdict.add(
                until,
                f"{_named(seen)}, which was scheduled, was lost with its origin, "
                f"and no other one ended well in {MADE_GOOD_SECONDS:g} s",
            )


def eventually_rounds_end(history: History, verdict: Verdict) -> None:
    """Each round ends within half an hour, whatever happens to its replicas."""
    for seen in history.rounds:
        took = seen.ended - seen.began
        if verdict.fails(took <= ROUND_ENDS_SECONDS):
            verdict.add(seen.ended, f"{_named(seen)} took {took:g} s")


def finally_rounds_repair(history: History, verdict: Verdict) -> None:
    """At the end one round of 2n-3 hops makes a shard's replicas equal, and the next moves no record."""
    final: dict[str, list[RoundSeen]] = {}
    for seen in history.rounds:
        if seen.final:
            final.setdefault(str(seen.shard), []).append(seen)
    for shard in sorted(final):
        rounds = sorted(final[shard], key=lambda each: (each.began, each.ended))
        _expect_repair(rounds[0], verdict)
        for seen in rounds[1:FINAL_ROUNDS]:
            moved = sum(hop.sent + hop.received for hop in seen.hops)
            if verdict.fails(seen.outcome == RoundOutcome.CONVERGED.value and not moved):
                verdict.add(
                    seen.ended,
                    f"{_named(seen)} came after one that had to repair all, but was "
                    f"{seen.outcome or 'lost'} and moved {moved} records",
                )


def _expect_repair(seen: RoundSeen, verdict: Verdict) -> None:
    due = hop_limit(seen.replicas)
    if verdict.fails(seen.ended_well):
        verdict.add(seen.ended, f"{_named(seen)} was {seen.outcome or 'lost'} although all was healed")
    if verdict.fails(len(seen.hops) == due or (not seen.ended_well and len(seen.hops) < due)):
        verdict.add(
            seen.ended,
            f"{_named(seen)} shows {len(seen.hops)} hops over {seen.replicas} replicas in place of {due}",
        )


def _named(seen: RoundSeen) -> str:
    return f"the round of {seen.shard} from {seen.origin} at {seen.began:g}"


def _is_still(history: History, seen: RoundSeen, before_seconds: float) -> bool:
    """Whether no request to its group and no fault came shortly before a round and during it."""
    begins = seen.began - before_seconds
    if any(event.kind == "fault" and begins <= event.time <= seen.ended for event in history.events):
        return False
    return not any(
        # What was put past every rule was done at once.
        operation.began <= seen.ended
        and (operation.client != NOBODYS or operation.began >= seen.began)
        and (operation.ended is None or operation.ended >= begins)
        and _concerns(operation, seen.shard.group)
        for operation in history.operations
    )


def _concerns(operation: Operation, group: str) -> bool:
    """Whether an operation may write into a group; a read may, by mending what it finds."""
    asked = operation.asked
    if isinstance(asked, Query):
        return asked.group == group
    if isinstance(asked, Import):
        return any(group_of(key) == group for key in asked.keys)
    return group_of(asked.key) == group


def _has_company(history: History, seen: RoundSeen) -> bool:
    """Whether another round of its shard, or a mender, ran at the same time, and may have repaired it."""
    return seen.mended or any(
        other is not seen
        and other.shard == seen.shard
        and other.began <= seen.ended
        and seen.began <= other.ended
        for other in history.rounds
    )


def _is_anybody_away(history: History, seen: RoundSeen) -> bool:
    """Whether a machine was away, cut off or slow shortly before a round or during it."""
    begins = seen.began - STRAGGLER_SECONDS
    return any(begins <= ended.time <= seen.ended for ended in history.ended_nodes) or any(
        harm.begins <= seen.ended and begins <= harm.ends
        for harm in history.harms
        if harm.kind not in (CLOCK, DISK)
    )


def _is_calm(history: History, seen: RoundSeen) -> bool:
    begins = seen.began - CALM_BEFORE_SECONDS
    if any(event.kind == "fault" and begins <= event.time <= seen.ended for event in history.events):
        return False
    return any(calm.begins <= begins and seen.ended <= calm.ends for calm in history.calm)
