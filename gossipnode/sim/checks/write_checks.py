"""Checks of what became of writes: those that failed, those that were tried again, and deletes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set

from gossipnode.sim.checks.hiders import Gone, gone_at, may_be_deleted, may_live, values_of
from gossipnode.sim.checks.key_story import KeyStory
from gossipnode.sim.checks.sights import KeyWrite, Shown, Span
from gossipnode.sim.checks.verdict import Verdict


def always_failed_writes_never_overtake(story: KeyStory, verdict: Verdict) -> None:
    """A write that failed never overtakes one that began after that failure and was acknowledged."""
    failed = {
        (tag, write.tags[tag]): write
        for write in story.writes
        if not write.promised and not write.weak and write.ended < math.inf
        for tag in sorted(write.tags)
    }
    for gone, by in _overwritten(story):
        _expect_none_back(story, gone, _ended(gone, by, failed), verdict)


def always_retries_are_done_once(story: KeyStory, verdict: Verdict) -> None:
    """What was done and then overwritten or deleted does not come back: no try of a write is done twice."""
    known = _known_since(story)
    ends: list[tuple[Gone, KeyWrite | Shown]] = [*_overwritten(story), *_lacking(story)]
    for gone, by in ends:
        _expect_none_back(story, gone, _ended(gone, by, known), verdict)


def always_deletes_stay(story: KeyStory, verdict: Verdict) -> None:
    """After an acknowledged quorum delete, even of nothing, what ended before it is never shown again."""
    for shown in story.judged:
        floor = story.floors.below_by("delete", shown)
        if shown.tags is not None and floor.revision and verdict.fails(shown.revision >= floor.revision):
            verdict.add(
                shown.ended,
                f"{story.key}: {shown.at()} showed revision {shown.revision}, which operation "
                f"{floor.number} had deleted",
                (floor.number, shown.number),
            )
    for delete in story.promised():
        if not delete.deletes:
            continue
        for shown in story.judged:
            if delete.before(shown) and shown.tags is not None:
                _expect_made_anew(story, delete, shown, verdict)
        over = {
            (tag, value)
            for write in story.writes
            if _was_over(write, delete)
            for tag, value in write.tags.items()
        }
        gone = gone_at(story, delete, f"operation {delete.number} had deleted it")
        _expect_none_back(story, gone, over, verdict)


def always_deletes_say_what_they_did(story: KeyStory, verdict: Verdict) -> None:
    """A delete says that a record was there, and an apply that it made one, if and only if that is so."""
    absent = [shown for shown in story.sights if shown.tags is None]
    live = [shown for shown in story.sights if shown.tags is not None]
    for write in story.promised():
        if write.found is None:
            continue
        if write.found:
            reason = _why_nothing_was_there(story, write, absent)
            said = "that a record was there"
        else:
            reason = _why_a_record_was_there(story, write, live)
            said = "that no record was there"
        if verdict.fails(not reason):
            verdict.add(
                write.ended,
                f"{story.key}: operation {write.number} said {said}, but {reason}",
                (write.number,),
            )


def _why_a_record_was_there(story: KeyStory, write: KeyWrite, live: list[Shown]) -> str:
    for other in story.promised():
        if other.before(write) and not other.deletes and not may_be_deleted(story, other, write):
            return f"operation {other.number} had written one"
    for shown in live:
        if shown.before(write) and not may_be_deleted(story, shown, write):
            return f"operation {shown.number} had shown one"
    return ""


def _why_nothing_was_there(story: KeyStory, write: KeyWrite, absent: list[Shown]) -> str:
    if not may_live(story, None, write):
        return "nobody had made one"
    for other in story.promised():
        if other.before(write) and other.deletes and other.wrote and not may_live(story, other, write):
            return f"operation {other.number} had deleted it"
    for shown in absent:
        if shown.before(write) and not may_live(story, shown, write):
            return f"operation {shown.number} had shown that it did not exist"
    return ""


def _expect_made_anew(story: KeyStory, delete: KeyWrite, shown: Shown, verdict: Verdict) -> None:
    """Expect that somebody may have made a record after it was deleted."""
    made = any(
        not write.deletes and write.began < shown.ended and not _was_over(write, delete)
        for write in story.writes
    )
    if verdict.fails(made):
        verdict.add(
            shown.ended,
            f"{story.key}: {shown.at()} showed a record that operation {delete.number} had deleted",
            (delete.number, shown.number),
        )


def _was_over(write: KeyWrite, delete: KeyWrite) -> bool:
    """Whether a write had ended when a delete began, or cannot take effect after it for another reason."""
    return write.before(delete) or write.surely_before(delete)


def _known_since(story: KeyStory) -> dict[tuple[str, int], Span]:
    """For each value of a tag, the first span after which it was there for certain."""
    known: dict[tuple[str, int], Span] = {}

    def note(tag: str, value: int, span: Span) -> None:
        earlier = known.get((tag, value))
        if earlier is None or span.ended < earlier.ended:
            known[tag, value] = span

    for write in story.promised():
        for tag in sorted(write.tags):
            note(tag, write.tags[tag], write)
    for shown in story.sights:
        for tag, value in values_of(shown):
            note(tag, value, shown)
    return known


def _overwritten(story: KeyStory) -> Iterator[tuple[Gone, KeyWrite]]:
    """The acknowledged writes that left a version, each with what it ended."""
    for write in story.promised():
        if write.wrote and not write.deletes:
            yield gone_at(story, write, f"operation {write.number} had been acknowledged after it"), write
        elif write.wrote:
            yield gone_at(story, write, f"operation {write.number} had deleted it"), write


def _lacking(story: KeyStory) -> Iterator[tuple[Gone, Shown]]:
    """What quorums showed: it ended whatever was not in it."""
    for shown in story.sights:
        yield gone_at(story, shown, f"operation {shown.number} had shown the record without it"), shown


def _ended(gone: Gone, by: KeyWrite | Shown, known: Mapping[tuple[str, int], Span]) -> set[tuple[str, int]]:
    """Which values that were there before cannot be there after a write, or after what was shown."""
    return {
        (tag, value)
        for (tag, value), span in known.items()
        if span.before(gone.span) and _covers(by, tag, value)
    }


def _covers(by: KeyWrite | Shown, tag: str, value: int) -> bool:
    if isinstance(by, KeyWrite):
        return by.covers(tag)
    return by.tags is None or by.tags.get(tag) != value


def _expect_none_back(story: KeyStory, gone: Gone, values: Set[tuple[str, int]], verdict: Verdict) -> None:
    """Expect none of the values in what was shown later, unless a merge may have carried it over."""
    if not values:
        return
    for shown in story.judged:
        if not gone.span.before(shown):
            continue
        wrong = [
            (tag, value, writer.number)
            for tag, value in values_of(shown)
            if (tag, value) in values
            and (writer := story.sole_writer(tag, value))
            and not gone.may_return(writer, shown)
        ]
        if verdict.fails(not wrong):
            tag, value, number = wrong[0]
            verdict.add(
                shown.ended,
                f"{story.key}: {shown.at()} showed {tag}={value}, but {gone.because}",
                (number, gone.span.number, shown.number),
            )
