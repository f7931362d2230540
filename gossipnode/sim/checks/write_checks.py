"""Checks of what became of writes: those that failed, those that were tried again, and deletes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gossipnode.sim.checks.floors import Floors
from gossipnode.sim.checks.hiders import Gone, gone_at, may_be_deleted, may_live, values_of
from gossipnode.sim.checks.key_story import KeyStory, Shown, Span, Write
from gossipnode.sim.checks.verdict import Verdict


def always_failed_writes_never_overtake(story: KeyStory, verdict: Verdict) -> None:
    """A write that failed never overtakes one that began after that failure and was acknowledged."""
    failed = {
        write.number: write
        for write in story.writes
        if not write.promised and not write.weak and write.ended < math.inf
    }
    if not failed:
        return
    for gone, by in _overwritten(story):
        for shown, tag, value in _later_values(story, gone):
            write = failed.get(value)
            if write is None or not write.before(gone.span) or not _ends(gone, by, tag, value):
                continue
            _expect_no_return(story, (tag, value), gone, shown, verdict)


def always_retries_are_done_once(story: KeyStory, verdict: Verdict) -> None:
    """What was done and then overwritten or deleted does not come back: no try of a write is done twice."""
    known = _known_since(story)
    ends: list[tuple[Gone, Write | Shown]] = [*_overwritten(story), *_lacking(story)]
    for gone, by in ends:
        for shown, tag, value in _later_values(story, gone):
            seen = known.get((tag, value))
            if seen is None or not seen.before(gone.span) or not _ends(gone, by, tag, value):
                continue
            _expect_no_return(story, (tag, value), gone, shown, verdict)


def always_deletes_stay(story: KeyStory, verdict: Verdict) -> None:
    """After an acknowledged quorum delete, even of nothing, what ended before it is never shown again."""
    floors = Floors(story)
    for shown in story.judged:
        floor = floors.below_by("delete", shown)
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
        gone = gone_at(story, delete, f"operation {delete.number} had deleted it")
        for shown in story.judged:
            if delete.before(shown) and shown.tags is not None:
                _expect_made_anew(story, delete, gone, shown, verdict)


def always_deletes_say_what_they_did(story: KeyStory, verdict: Verdict) -> None:
    """A delete says that a record was there, and an apply that it made one, if and only if that is so."""
    absent = [shown for shown in story.sights if shown.tags is None]
    live = [shown for shown in story.sights if shown.tags is not None]
    for write in story.promised():
        if write.found is None or story.loose_from() < write.ended:
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


def _why_a_record_was_there(story: KeyStory, write: Write, live: list[Shown]) -> str:
    for other in story.promised():
        if other.before(write) and not other.deletes and not may_be_deleted(story, other, write):
            return f"operation {other.number} had written one"
    for shown in live:
        if shown.before(write) and not may_be_deleted(story, shown, write):
            return f"operation {shown.number} had shown one"
    return ""


def _why_nothing_was_there(story: KeyStory, write: Write, absent: list[Shown]) -> str:
    if not may_live(story, None, write):
        return "nobody had made one"
    for other in story.promised():
        if other.before(write) and other.deletes and other.wrote and not may_live(story, other, write):
            return f"operation {other.number} had deleted it"
    for shown in absent:
        if shown.before(write) and not may_live(story, shown, write):
            return f"operation {shown.number} had shown that there is none"
    return ""


def _expect_made_anew(story: KeyStory, delete: Write, gone: Gone, shown: Shown, verdict: Verdict) -> None:
    """Expect that the record, and each value in it, may have been written after a delete."""
    if verdict.fails(
        any(
            not write.deletes and write.began < shown.ended and not _was_over(write, delete)
            for write in story.writes
        )
    ):
        verdict.add(
            shown.ended,
            f"{story.key}: {shown.at()} showed a record that operation {delete.number} had deleted",
            (delete.number, shown.number),
        )
    for tag, value in values_of(shown):
        write = story.by_number.get(value)
        if write is not None and _was_over(write, delete):
            _expect_no_return(story, (tag, value), gone, shown, verdict)


def _was_over(write: Write, delete: Write) -> bool:
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
            note(tag, write.number, write)
    for shown in story.sights:
        for tag, value in values_of(shown):
            note(tag, value, shown)
    return known


def _overwritten(story: KeyStory) -> Iterator[tuple[Gone, Write]]:
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


def _ends(gone: Gone, by: Write | Shown, tag: str, value: int) -> bool:
    """Whether a value that was there before cannot be there after a write, or what was shown."""
    if gone.span.number == value:
        return False
    if isinstance(by, Write):
        return by.covers(tag)
    return by.tags is None or by.tags.get(tag) != value


def _later_values(story: KeyStory, gone: Gone) -> Iterator[tuple[Shown, str, int]]:
    for shown in story.judged:
        if gone.span.before(shown):
            for tag, value in values_of(shown):
                yield shown, tag, value


def _expect_no_return(
    story: KeyStory, tag_value: tuple[str, int], gone: Gone, shown: Shown, verdict: Verdict
) -> None:
    tag, value = tag_value
    if verdict.fails(gone.may_return(value, shown)):
        verdict.add(
            shown.ended,
            f"{story.key}: {shown.at()} showed {tag}={value}, but {gone.because}",
            (value, gone.span.number, shown.number),
        )
