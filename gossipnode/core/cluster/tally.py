"""Counts the replicas of a request: whether it is done, whether it can still be done, and which ones failed.

Nothing here waits. The coordinator tells a tally what each replica answered, and asks how the request stands.
"""

from __future__ import annotations

from collections.abc import Collection, Set

from gossipnode.core.cluster.placement import AckLevel, Placement, Quorum


class Tally:
    """The replicas of one request, and their answers. A replica either does the request or fails."""

    __slots__ = ("_failed", "_level", "_placement", "_quorums", "_took")

    def __init__(self, placement: Placement, level: AckLevel, *, reading: bool = False) -> None:
        """Start without answers. `level` is ONE, QUORUM or ALL."""
        self._placement = placement
        self._level = level
        self._quorums: tuple[Quorum, ...] = placement.quorums(level, reading=reading)
        self._took: set[str] = set()
        self._failed: dict[str, str] = {}

    def took(self, replica: str) -> None:
        """Note that a replica has done what was asked."""
        assert replica not in self._failed, f"{replica} failed before"
        self._took.add(replica)

    def failed(self, replica: str, reason: str) -> None:
        """Note that a replica has not done what was asked, and will not do it."""
        assert replica not in self._took, f"{replica} took it before"
        self._failed[replica] = reason

    @property
    def failures(self) -> Set[str]:
        """The replicas that have not done the request, and will not do it."""
        return self._failed.keys()

    @property
    def acknowledged(self) -> int:
        """The number of replicas that have done the request."""
        return len(self._took)

    @property
    def reached(self) -> bool:
        """Whether enough replicas have done the request."""
        for among, needed in self._quorums:  # noqa: SIM110 - asked several times a request
            if len(among & self._took) < needed:
                return False
        return True

    @property
    def impossible(self) -> bool:
        """Whether too many replicas failed for the request to be done."""
        return self.impossible_without(())

    def impossible_without(self, replicas: Collection[str]) -> bool:
        """Whether the request could not be done if these replicas were left out."""
        assert self._failed.keys().isdisjoint(self._took)
        gone = self._failed.keys() | set(replicas)
        for among, needed in self._quorums:  # noqa: SIM110 - the same
            if len(among - gone) < needed:
                return True
        return False

    @property
    def missing(self) -> tuple[str, ...]:
        """The replicas that have not answered yet, in ring order."""
        return tuple(
            name for name in self._placement.holders if name not in self._took and name not in self._failed
        )

    def problem(self, verb: str) -> str:
        """Say for people why the request is not done.

        The text gives how many replicas of how many `verb` ("took it", "answered"), how many the level needs,
        and the names of the other replicas with the reason of each. Those that did not answer are among them.
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


def in_every_quorum(placement: Placement, names: Set[str]) -> bool:
    """Whether these replicas are enough for every quorum of a placement."""
    quorums = placement.quorums(AckLevel.QUORUM, reading=True)
    return all(len(quorum.among & names) >= quorum.needed for quorum in quorums)
