"""The commands that start nodes after a recovery or a restore, and the shards that are named with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossipnode.core.cluster.cluster_metadata import Member
    from gossipnode.core.model.property import ShardId

SHARDS_NAMED_MAX = 20
"""Shards of a kind that are named on a terminal; JSON has all of them."""


def start_line(member: Member, data_dir: Path) -> str:
    """The command that starts a member on its data directory."""
    return (
        f"gossipnode run --name {member.name} --listen {member.address} "
        f"--data-dir {shlex.quote(str(data_dir))}"
    )


def join_lines(survivor: Member, others: Iterable[Member]) -> list[str]:
    """The command for each other member of an old cluster. Where its data directory is, it knows itself."""
    return [
        f"gossipnode run --name {other.name} --listen {other.address} --data-dir data/{other.name} "
        f"--join {survivor.address} --as-new"
        for other in others
    ]


def named_shards(shards: Sequence[ShardId]) -> str:
    """The first of some shards, and how many more there are."""
    more = f" and {len(shards) - SHARDS_NAMED_MAX} more" if len(shards) > SHARDS_NAMED_MAX else ""
    return ", ".join(map(str, shards[:SHARDS_NAMED_MAX])) + more
