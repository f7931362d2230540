"""What two replicas of a shard do before they exchange records of it.

Each tells its marks. Seals are joined first, so that neither takes late writes that the other one refuses.
Who may lack a tombstone that is purged gives up what it has up to there, and copies it from the other one:
so nothing that it should not have is ever offered.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipnode.core.retention.marks import Marks


@dataclass(frozen=True, slots=True)
class MarksMeeting:
    """What one side does. The other one judges in the same way, with the roles exchanged."""

    after: Marks
    """Its marks from then on."""
    give_up_to: int = 0
    """What it holds with a stamp up to this one goes into quarantine first; 0 if nothing does."""
    problem: str = ""
    """Why the two cannot exchange records yet, in words; empty if they can."""


def meet(own: Marks, told: Marks, *, settled: bool, given_up_to: int = 0, now: int) -> MarksMeeting:
    """What a replica does when another one has told its marks.

    Args:
        own: our marks.
        told: the marks of the other one.
        settled: whether the shard lies by us. If not, and we come with records or are new, our records were
            in no proof: all that the other one has proven counts, and not only what it has purged.
        given_up_to: up to which stamp we have given up our records since we started.
        now: the latest that our clock may show, in nanoseconds. It only keeps out what cannot be
            right: no replica seals, or has purged, what is still to come.
    """
    if max(told) > now:
        return MarksMeeting(own, problem="its marks are ahead of our clock: one of the clocks is wrong")
    sealed = max(own.sealed, told.sealed)
    if told.is_stale and own.complete < told.mark:
        return MarksMeeting(own._replace(sealed=sealed), problem="both wait for a replica that is complete")
    needed = told.mark if settled and not own.is_stale else max(own.mark, told.complete)
    if own.complete >= needed:
        return MarksMeeting(own._replace(sealed=sealed, mark=max(own.mark, told.mark)))
    if told.complete < own.mark:
        return MarksMeeting(own._replace(sealed=sealed), problem="it is not complete up to our mark")
    after = Marks(sealed, own.complete, max(own.mark, told.mark))
    return MarksMeeting(after, 0 if given_up_to >= told.complete else told.complete)


def agree(own: Marks, told: Marks, *, settled: bool, given_up_to: int = 0) -> bool:
    """Whether the server of a session can exchange records at once: a meeting would change nothing.

    The client judges its own side in the same way: one that is stale or not settled asks for a meeting first.
    """
    meeting = meet(own, told, settled=settled, given_up_to=given_up_to, now=max(own + told))
    same = (own.sealed, own.mark) == (told.sealed, told.mark)
    return same and meeting == MarksMeeting(own)


def completed(own: Marks, told: Marks) -> Marks:
    """The marks after a session with a replica that left nothing out, and had told its marks before.

    We gave up before it what we had up to what the other one has proven, or had proven as much.
    """
    return own if told.is_stale else own._replace(complete=max(own.complete, told.complete))
