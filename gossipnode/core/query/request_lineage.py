"""Which clients' requests a version of a record includes: it is what they wrote, or was built upon that.

A request whose answer was lost is tried again, and must not be done twice. Nor may it count as done when
another write, which had not seen it, has taken its place. So every write of a record hands on the requests
that the version before it includes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version

LINEAGE_MAX_REQUESTS = 32
"""Requests that a write hands on at most, the latest ones. Earlier ones may or may not be included."""

REQUESTS_REMEMBERED_NANOSECONDS = 600 * 1_000_000_000
"""How long a request is remembered at least, as long as it is one of the latest of its record."""

REQUEST_ID_MAX_CHARACTERS = 128
"""The id of a client's request; a replica remembers none that is longer."""


class KnownRequest(NamedTuple):
    """A request that was carried out."""

    request_id: str
    created: bool
    """What its client was told, or was to be told."""
    stamp: int
    """The stamp of the version that it wrote."""


class Lineage(NamedTuple):
    """The requests that a version includes.

    It names all that were stamped after `since`, and no others. Of those stamped at `since` or before nothing
    is known for certain, and those that are named are believed to be included.
    """

    known: tuple[KnownRequest, ...] = ()
    since: int = 0

    def find(self, request_id: str) -> KnownRequest | None:
        """A request, if it is included."""
        if not request_id:
            return None
        return next((known for known in self.known if known.request_id == request_id), None)


class KeptLineage(NamedTuple):
    """What a replica keeps of a record beside it: the version that the last request wrote, and its lineage.

    The record itself may have come to another version since, in a round or by an import.
    """

    version: Version
    lineage: Lineage

    def of(self, held: Version | None) -> Lineage:
        """What is known of the version that the replica holds now, on whatever path it came."""
        if held == self.version:
            return self.lineage
        return Lineage(_until(self.lineage.known, held), held.stamp) if held else Lineage()

    def joined(self, other: KeptLineage) -> KeptLineage:
        """What is known from two replicas together, of the newer one of their versions."""
        newest = max(self.version, other.version)
        return KeptLineage(newest, joined_lineage(newest, (self, other)))


class LineagePage(NamedTuple):
    """Some of the lineages of a shard, each with its record's entity, and as it is kept."""

    found: list[tuple[Entity, bytes]]
    after: Entity | None
    """Where the next page begins; None at the end."""


def continued(before: Lineage, kept: Lineage | None, own: KnownRequest | None) -> Lineage:
    """The lineage of a version that a request writes.

    Args:
        before: that of the version which it is built upon, as its coordinator knows it.
        kept: what the replica itself knows of the version that it held, if it knows anything.
        own: the request, if its client may try it again.
    """
    # Of what was stamped after `since` the coordinator tells all; what is older may be included.
    uncertain = () if kept is None else kept.known
    included = {known.request_id: known for known in uncertain if known.stamp <= before.since}
    included.update({known.request_id: known for known in before.known})
    if own is None:
        return _latest(included.values(), before.since)
    included[own.request_id] = own
    earliest = own.stamp - REQUESTS_REMEMBERED_NANOSECONDS - MAX_CLOCK_SKEW_NANOSECONDS
    return _latest(included.values(), before.since, earliest)


def joined_lineage(newest: Version | None, told: Iterable[tuple[Version | None, Lineage]]) -> Lineage:
    """The lineage of the newest version, from what replicas tell of the versions that they hold.

    A replica that holds another version may have carried out a request that the newest one does not include.
    """
    answers = list(told)
    if answers and all(answer == (newest, answers[0][1]) for answer in answers):
        return _latest(answers[0][1].known, answers[0][1].since)
    of_newest = [lineage for version, lineage in answers if version == newest]
    unknown = 0 if newest is None else newest.stamp
    since = min((lineage.since for lineage in of_newest), default=unknown)
    included: dict[str, KnownRequest] = {}
    for lineage in of_newest:
        included.update({known.request_id: known for known in lineage.known if known.stamp > lineage.since})
    for _, lineage in answers:
        included.update({known.request_id: known for known in lineage.known if known.stamp <= since})
    return _latest(included.values(), since)


def _latest(known: Iterable[KnownRequest], since: int, earliest: int = 0) -> Lineage:
    """The latest of these requests, those that are not before `earliest`."""
    by_stamp = sorted(known, key=_stamp)
    first = max(len(by_stamp) - LINEAGE_MAX_REQUESTS, bisect_left(by_stamp, earliest, key=_stamp))
    if first:
        since = max(since, by_stamp[first - 1].stamp)
    return Lineage(tuple(by_stamp[first:]), since)


def _until(known: Iterable[KnownRequest], version: Version) -> tuple[KnownRequest, ...]:
    """Those that a version may include: it includes nothing that was written after it."""
    return tuple(each for each in known if each.stamp <= version.stamp)


def _stamp(known: KnownRequest) -> int:
    return known.stamp
