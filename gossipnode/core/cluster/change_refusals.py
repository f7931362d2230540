"""What forbids a change of the cluster metadata, and how that is said.

Each of these raises `ChangeRefusedError`, whose text says what to do.
"""

from __future__ import annotations

from collections.abc import Generator

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Identity, Member
from gossipnode.core.cluster.placement import levels_that_fail, majority
from gossipnode.core.model.property import ShardId

SHARDS_NAMED_MAX = 5
"""Shards that a refusal names; it says how many more there are."""


class ChangeRefusedError(Exception):
    """A change that its rule forbids; the text says why, and what to do."""


class NoSuchThingError(ChangeRefusedError):
    """A change of a member or a group that does not exist."""


class GroupExistsError(ChangeRefusedError):
    """There is a group of that name already."""


def refuse_other_store(known: Member, birth: int | None) -> None:
    """Refuse what was meant for another store of this name: a change is judged on the value that it meets."""
    if birth is not None and known.birth != birth:
        raise ChangeRefusedError(
            f"{known.name} is another data directory by now: look at `members`, and ask again"
        )


def refuse_loss(now: ClusterMetadata, gone: Identity, how: str) -> Generator[None, None, None]:
    """Refuse what would leave fewer sources than acknowledged writes need. It yields after each shard."""
    lost: list[str] = []
    for shard in now.shards():
        if gone in now.settled(shard) and _would_lose(now, shard):
            lost.append(str(shard))
        yield
    if not lost:
        return
    more = f" and {len(lost) - SHARDS_NAMED_MAX} more" if len(lost) > SHARDS_NAMED_MAX else ""
    raise ChangeRefusedError(
        f"{gone.name} cannot be {how} without losing acknowledged writes: too few other copies of "
        f"{', '.join(lost[:SHARDS_NAMED_MAX])}{more}; bring it back, or accept that with --accept-loss"
    )


def _would_lose(now: ClusterMetadata, shard: ShardId) -> bool:
    """Whether a shard may lose acknowledged writes if one more of its sources goes."""
    placement = now.place(shard)
    return len(placement.sources) - 1 < placement.full_sources


def refuse_too_few(now: ClusterMetadata, name: str, *, force: bool) -> None:
    """Refuse to let the last member go, and, unless forced, one without which a group has no quorum."""
    staying = sum(1 for member in now.members.values() if not member.leaving and member.name != name)
    if not staying:
        raise ChangeRefusedError(f"{name} is the last member: stop the node, or remove its data directory")
    for group in now.groups.values():
        needed = majority(group.replicas)
        if staying < needed <= staying + 1 and not force:
            raise ChangeRefusedError(
                f"without {name} there are {staying} members, and a quorum of group {group.name!r} needs "
                f"{needed}: add a member first, or force it with --force"
            )


def refuse_too_many_replicas(now: ClusterMetadata, group: Group, *, force: bool) -> None:
    """Refuse, unless forced, a group that is to have more replicas than there are members."""
    staying = len(now.layouts[-1].members)
    if group.replicas > staying and not force:
        raise ChangeRefusedError(
            f"group {group.name[:80]!r} is to have {group.replicas} replicas, and the number of members is "
            f"{staying}: {levels_that_fail(group.replicas, staying)}; start further members first, or have "
            "it so all the same with --force (force=True)"
        )
