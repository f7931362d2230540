"""Counting replicas: when is a request done, when can it be done no more, and who is to blame.

Nothing here waits: the coordinator tells a tally what each replica said, and asks where the request stands.
"""

from __future__ import annotations

from collections.abc import Collection, Set

from gossipnode.core.cluster.placement import AckLevel, Placement, Quorum


class Tally:
    """The replicas of one request, as they answer."""

    __slots__ = ("_failed", "_level", "_placement", "_quorums", "_took")

    def __init__(self, placement: Placement, level: AckLevel, *, reading: bool = False) -> None:
        """Start with no answer. `level` is one, quorum or all."""
        self._placement = placement
        self._level = level
        self._quorums: tuple[Quorum, ...] = placement.quorums(level, reading=reading)
        self._took: set[str] = set()
        self._failed: dict[str, str] = {}

    def took(self, replica: str) -> None:
        """A replica has done what was asked."""
        self._took.add(replica)

    def failed(self, replica: str, reason: str) -> None:
        """A replica has not, and will not."""
        self._failed[replica] = reason

    @property
    def failures(self) -> Set[str]:
        """Those that have not done it, and will not."""
        return self._failed.keys()

    @property
    def acknowledged(self) -> int:
        """How many replicas have done it."""
        return len(self._took)

    @property
    def reached(self) -> bool:
        """Whether enough of them have."""
        return all(len(quorum.among & self._took) >= quorum.needed for quorum in self._quorums)

    @property
    def impossible(self) -> bool:
        """Whether enough of them cannot be had any more."""
        return self.impossible_without(())

    def impossible_without(self, replicas: Collection[str]) -> bool:
        """Whether enough of them cannot be had if these are left out."""
        gone = self._failed.keys() | set(replicas)
        return any(len(quorum.among - gone) < quorum.needed for quorum in self._quorums)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those that have not answered yet, in ring order."""
        return tuple(
            name for name in self._placement.holders if name not in self._took and name not in self._failed
        )

    def problem(self, verb: str) -> str:
        """Why it cannot be done: "took it" or "answered" by how many of how many, and who did not.

        Those that nothing was heard of are named as well.
        """
        placement, level = self._placement, self._level.value
        needed = max(quorum.needed for quorum in self._quorums)
        text = f"{len(self._took)} of {placement.replicas} replicas {verb}, {level} needs {needed}"
        if placement.moving and self._level is not AckLevel.ONE:
            text += " of the old and of the new ones, for the shard is being moved"
        others = {**self._failed, **dict.fromkeys(self.missing, "no answer")}
        if others:
            text += "; not: " + ", ".join(f"{name} ({others[name]})" for name in sorted(others))
        if len(placement.holders) < placement.replicas:
            text += f"; there are {len(placement.holders)} members for {placement.replicas} replicas"
        return text
