"""Which clients' requests a version of a record includes: it is what they wrote, or was built upon that.

A request whose answer was lost is tried again, and must not be done twice. Nor may it count as done when
another write, which had not seen it, has taken its place. So every write of a record hands on the requests
that the version before it includes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gossipnode.core.model.version import Version

LINEAGE_MAX_REQUESTS = 32
"""Requests that a write hands on at most, the latest ones. Earlier ones may or may not be included."""


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


def _latest(known: Iterable[KnownRequest], since: int) -> Lineage:
    by_stamp = sorted(known, key=_stamp)
    left_out = by_stamp[:-LINEAGE_MAX_REQUESTS]
    if left_out:
        since = max(since, left_out[-1].stamp)
    return Lineage(tuple(by_stamp[-LINEAGE_MAX_REQUESTS:]), since)


def _stamp(known: KnownRequest) -> int:
    return known.stamp
