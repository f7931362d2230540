"""A check of every version seen of a key: some write must have made it of a version that it may have read.

This is the sharpest of the checks of keys: it looks at revisions and at all tags together, and takes each
write that failed, or whose end nobody heard, as what may have been read or not. So it finds a merge that was
built upon a version older than what had been acknowledged, a failed write that came back on top of one that
had overtaken it, and a write that was done again on top of later ones.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate

from gossipnode.sim.checks.hiders import may_be_deleted
from gossipnode.sim.checks.key_story import KeyStory
from gossipnode.sim.checks.sights import NOBODY, KeyWrite, Span
from gossipnode.sim.checks.verdict import Verdict
from gossipnode.sim.history.operations import Tags

REVISION_MAX = 2**63
"""Above every revision."""

SEARCH_STEPS_MAX = 2_000
"""Steps of the search for one version. A version for which they are not enough counts as explained."""


def always_records_have_a_past(story: KeyStory, verdict: Verdict) -> None:
    """Each version of a record is what one write made of a version that this write may have read."""
    search = _Past(story)
    for version in search.versions:
        if verdict.fails(search.explains(version)):
            verdict.add(
                version.seen_at,
                f"{story.key}: {version.by} showed {dict(sorted(version.tags.items()))} at revision "
                f"{version.revision}, which no write can have made of what it read",
                (version.number,),
            )


@dataclass(frozen=True, slots=True)
class _Version:
    """A version that was seen, by anyone and at any level."""

    revision: int
    tags: Tags
    seen_at: float
    newest_at: float
    """When no newer one was at a quorum yet, or -inf if no quorum showed it."""
    number: int
    by: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A version that a write has read, if the search is right: what it must have been."""

    tags: Tags
    """The tags that it must have had, and no other but `masked`."""
    masked: frozenset[str]
    """Tags of which nothing is known, because later writes covered them."""
    low: int
    """Its revision is this at least."""
    high: int
    """Its revision is below this."""
    newest_at: float
    """When no newer one was at a quorum yet."""
    reader: KeyWrite

    def shows(self, tags: Tags) -> bool:
        """Whether tags are those that are wanted."""
        return {tag: value for tag, value in tags.items() if tag not in self.masked} == self.tags


class _Past:
    """The search for the past of the versions of one key."""

    def __init__(self, story: KeyStory) -> None:
        self._story = story
        self._sets = [write for write in story.writes if not write.deletes]
        self._ceilings = _ceilings(story)
        # How new the version must be that a write reads, and above what it must be itself.
        self._low = {write.number: self._floor(write) for write in self._sets}
        self._above = {
            write.number: -1 if write.weak else story.floors.below_live(write).revision
            for write in self._sets
        }
        walls = sorted((write.ended, write.began) for write in story.promised() if write.wrote)
        self._wall_ends = [ended for ended, _ in walls]
        self._wall_begins = list(accumulate((began for _, began in walls), max))
        self._may_lack: dict[int, bool] = {}
        self._steps = 0
        self.versions = _versions(story)

    def explains(self, version: _Version) -> bool:
        """Whether some write can have made a version."""
        self._steps = 0
        whole = _Wanted(
            version.tags, frozenset(), version.revision, version.revision + 1, version.newest_at, _NOBODY
        )
        return self._was_made(whole, version.seen_at, frozenset())

    def _floor(self, write: KeyWrite) -> int:
        return 0 if write.weak else self._story.floors.below(write).revision

    def _last_wall(self, time: float) -> float:
        """Nothing that was over by then is the newest at a time: an acknowledged write came in between."""
        index = bisect_right(self._wall_ends, time)
        return self._wall_begins[index - 1] if index else -math.inf

    def _was_made(self, wanted: _Wanted, until: float, used: frozenset[int]) -> bool:
        """Whether a write that is not used yet can have made a version, seen by nobody, that is as wanted."""
        wall = self._last_wall(wanted.newest_at)
        for write in self._sets:
            self._steps += 1
            if self._steps > SEARCH_STEPS_MAX:
                return True
            if write.number in used or write.began > until:
                continue
            top = min(wanted.high - 1, self._ceilings[write.number])
            low = self._low[write.number]
            if max(wanted.low, self._above[write.number] + 1) > top or write.ended <= wall:
                continue
            own = {tag: value for tag, value in write.tags.items() if tag not in wanted.masked}
            if any(wanted.tags.get(tag) != value for tag, value in own.items()):
                continue
            if write.replace:
                if own == wanted.tags:
                    return True
                continue
            if not own and low >= wanted.low and used and not self._lacks(write):
                # What it may have read, the reader of its version may have read itself.
                continue
            rest = {tag: value for tag, value in wanted.tags.items() if tag not in own}
            masked = wanted.masked | write.tags.keys()
            newest_at = -math.inf if write.weak else write.began
            before = _Wanted(rest, masked, low, top, newest_at, write)
            if self._was_there(before, until, used | {write.number}):
                return True
        return False

    def _was_there(self, wanted: _Wanted, until: float, used: frozenset[int]) -> bool:
        """Whether a write can have read what is wanted: a version that was seen, none, or an unseen one."""
        if any(wanted.low <= one.revision < wanted.high and wanted.shows(one.tags) for one in self.versions):
            return True
        if not wanted.tags and self._lacks(wanted.reader):
            return True
        return self._was_made(wanted, until, used)

    def _lacks(self, reader: KeyWrite) -> bool:
        """Whether a write may have found no record."""
        known = self._may_lack.get(reader.number)
        if known is None:
            known = reader.weak or not self._must_find(reader)
            self._may_lack[reader.number] = known
        return known

    def _must_find(self, reader: KeyWrite) -> bool:
        sources: list[Span] = [write for write in self._story.promised() if not write.deletes]
        sources += [shown for shown in self._story.sights if shown.tags is not None]
        return any(
            source.before(reader) and not may_be_deleted(self._story, source, reader) for source in sources
        )


_NOBODY = KeyWrite(
    NOBODY,
    0.0,
    math.inf,
    tags={},
    replace=False,
    deletes=False,
    promised=False,
    weak=False,
    last=math.inf,
    wrote=False,
)


def _versions(story: KeyStory) -> list[_Version]:
    seen: dict[tuple[int, tuple[tuple[str, int], ...]], _Version] = {}
    for shown in (*story.shown, *story.at_end):
        if shown.tags is None:
            continue
        key = (shown.revision, tuple(sorted(shown.tags.items())))
        known = seen.get(key)
        newest_at = shown.began if shown.strong else -math.inf
        if known is None:
            by, number = shown.at(), shown.number
            seen[key] = _Version(shown.revision, shown.tags, shown.ended, newest_at, number, by)
        else:
            seen_at, newest_at = min(shown.ended, known.seen_at), max(newest_at, known.newest_at)
            seen[key] = replace(known, seen_at=seen_at, newest_at=newest_at)
    return [seen[key] for key in sorted(seen)]


def _ceilings(story: KeyStory) -> dict[int, int]:
    """For each write the highest revision that a version of it can have.

    A write that is over has no version above that of an acknowledged write that began afterwards. It may have
    one above that of its own answer, from another of its tries.
    """
    later = sorted((write.began, write.revision) for write in story.promised() if write.revision)
    lowest: list[int] = [REVISION_MAX]
    for _, revision in reversed(later):
        lowest.append(min(lowest[-1], revision))
    lowest.reverse()
    ceilings: dict[int, int] = {}
    for write in story.writes:
        ceiling = REVISION_MAX
        if not write.weak and write.ended < math.inf:
            ceiling = lowest[bisect_left(later, (write.ended, 0))] - 1
        ceilings[write.number] = ceiling
    return ceilings
