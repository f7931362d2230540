"""Checks of what reads of a key showed."""

from __future__ import annotations

from gossipnode.sim.checks.floors import Kind
from gossipnode.sim.checks.hiders import hiders, may_be_deleted, may_live, values_of
from gossipnode.sim.checks.key_story import KeyStory
from gossipnode.sim.checks.sights import KeyWrite, Shown, Span
from gossipnode.sim.checks.verdict import Verdict


def always_values_were_written(story: KeyStory, verdict: Verdict) -> None:
    """A record shows nothing but what somebody wrote to it, and nothing of a write that never happened."""
    for shown in (*story.shown, *story.at_end):
        for tag, value in values_of(shown):
            writers = story.writers.get((tag, value), [])
            if verdict.fails(any(write.began <= shown.ended for write in writers)):
                verdict.add(
                    shown.ended,
                    f"{story.key}: {shown.at()} showed {tag}={value}, which was not written",
                    (value, shown.number),
                )


def always_reads_show_acknowledged(story: KeyStory, verdict: Verdict) -> None:
    """A quorum read after an acknowledged quorum write of its key shows that write, or something newer."""
    _expect_floor(story, "write", "acknowledged by", verdict)
    for shown in story.judged:
        if shown.tags is not None or shown.source == "query":
            continue
        for write in story.promised():
            if not write.deletes and write.before(shown):
                _expect_deleter(story, write, shown, "was acknowledged", verdict)


def always_reads_never_go_back(story: KeyStory, verdict: Verdict) -> None:
    """What a quorum's answer showed of a key, a later quorum read shows too, or something newer."""
    _expect_floor(story, "read", "shown by", verdict)
    for first in story.sights:
        later = [shown for shown in story.judged if first.before(shown)]
        if first.tags is None:
            for shown in later:
                if shown.tags is not None:
                    _expect_maker(story, first, shown, verdict)
            continue
        for shown in later:
            if shown.tags is None:
                _expect_deleter(story, first, shown, "was shown", verdict)
        for tag, value in values_of(first):
            _expect_kept(story, (tag, value), first, later, verdict)


def always_merges_survive(story: KeyStory, verdict: Verdict) -> None:
    """What an acknowledged merge wrote is in the record until another write covers its tag."""
    for write in story.promised():
        if write.deletes:
            continue
        later = [shown for shown in story.judged if write.before(shown)]
        for tag in sorted(write.tags):
            _expect_kept(story, (tag, write.tags[tag]), write, later, verdict)


def _expect_kept(
    story: KeyStory, tag_value: tuple[str, int], since: Span, later: list[Shown], verdict: Verdict
) -> None:
    """Expect a tag's value in every record shown later, unless some write may have hidden it."""
    tag, value = tag_value
    hiding = hiders(story, tag, value, since)
    for shown in later:
        if shown.tags is None:
            continue
        seen = shown.tags.get(tag)
        if verdict.fails(seen == value or hiding.may_hide(seen, shown)):
            verdict.add(
                shown.ended,
                f"{story.key}: {shown.at()} showed {tag}={seen}, but {since.number} had {tag}={value}",
                (since.number, shown.number),
            )


def _expect_floor(story: KeyStory, kind: Kind, how: str, verdict: Verdict) -> None:
    """Expect no revision below the floor that earlier operations of a kind set."""
    for shown in story.judged:
        floor = story.floors.below_by(kind, shown)
        if shown.tags is None or not floor.revision:
            continue
        if verdict.fails(shown.revision >= floor.revision):
            verdict.add(
                shown.ended,
                f"{story.key}: {shown.at()} showed revision {shown.revision}, but at least {floor.revision} "
                f"had been {how} operation {floor.number}",
                (floor.number, shown.number),
            )


def _expect_deleter(
    story: KeyStory, since: KeyWrite | Shown, shown: Shown, how: str, verdict: Verdict
) -> None:
    if verdict.fails(may_be_deleted(story, since, shown)):
        verdict.add(
            shown.ended,
            f"{story.key}: {shown.at()} showed nothing, but operation {since.number} {how}",
            (since.number, shown.number),
        )


def _expect_maker(story: KeyStory, since: Shown, shown: Shown, verdict: Verdict) -> None:
    if verdict.fails(may_live(story, since, shown)):
        verdict.add(
            shown.ended,
            f"{story.key}: {shown.at()} showed a record, but {since.at()} had shown that it did not exist, "
            "and nobody made it since",
            (since.number, shown.number),
        )
