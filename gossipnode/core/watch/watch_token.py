"""Where a watch stands: up to which commit of which replicas' stores everything is told.

A client keeps it as a token, and goes on from there later, at any node.
"""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.core.model.errors import CoreError


class TokenError(CoreError):
    """A token from which no watch can go on. The message says why."""


class FeedPosition(NamedTuple):
    """How far the changes of some shards are told: those of one replica, in the order of its commits."""

    node: str
    birth: int
    """The birth of its store: another store has other commits."""
    sequence: int
    """All commits up to this number are told."""
    shards: frozenset[int]
    mark: int = 0
    """Tombstones with a stamp up to this one were purged there by then: a later mark hides deletes."""


class WatchToken(NamedTuple):
    """Where a watch of a group stands."""

    cluster: str
    """The id of the cluster, in hex."""
    group: str
    incarnation: int
    positions: tuple[FeedPosition, ...]


def check_token(token: WatchToken, cluster: str, group: str, shards: int) -> None:
    """Refuse a token that is not of this group of this cluster. Another incarnation of the group is a gap.

    Raises:
        TokenError: says which one it is of, or what is wrong with it.
    """
    if token.cluster != cluster:
        raise TokenError(
            f"since: the token is of another cluster ({token.cluster[:32]}, this one is {cluster[:32]}):"
            " watch without it"
        )
    if token.group != group:
        raise TokenError(f"since: the token is of group {token.group[:80]!r}, not of {group!r}")
    told: set[int] = set()
    for position in token.positions:
        if told & position.shards or max(position.shards, default=0) >= shards:
            raise TokenError("since: the token is damaged: its shards are not those of the group")
        told |= position.shards


def moved_on(positions: tuple[FeedPosition, ...], reached: FeedPosition) -> tuple[FeedPosition, ...]:
    """Positions once those shards stand where `reached` says, whatever replica they followed before."""
    others: list[FeedPosition] = []
    for position in positions:
        left = position.shards - reached.shards
        if left:
            others.append(position if left == position.shards else position._replace(shards=left))
    return (*others, reached)
