"""The changes of the cluster metadata: each one function from a value to the next one, with its rule.

A change that stands already gives the value back as it is. One that its rule forbids raises
`ChangeRefusedError`, whose text says why and what to do. Whether a member answers is not known here: the
caller finds out, and chooses between `leave` and `drop`.

A change that looks at every shard comes as `Steps`, because that takes long in a large cluster. The caller
does other work in between; what comes out is the change of the value that it began with.

Of a shard with k settled replicas, a write that was acknowledged at quorum is at Q of them, a majority of
the number that the group asks for. So any k - Q + 1 of them include one that has it, and a change that leaves
that number of sources loses no write.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from gossipnode.core.cluster.change_refusals import (
    ChangeRefusedError,
    GroupExistsError,
    NoSuchThingError,
    refuse_loss,
    refuse_other_store,
    refuse_too_few,
    refuse_too_many_replicas,
)
from gossipnode.core.cluster.cluster_metadata import (
    CLUSTER_ID_BYTES,
    LAYOUTS_MAX,
    ClusterMetadata,
    Group,
    Member,
    MemberLayout,
    check_group,
    with_names_in_order,
)
from gossipnode.core.model.property import FIRST_EPOCH, ShardId

Steps: TypeAlias = Generator[None, None, ClusterMetadata]
"""A change that yields after each shard that it looks at, and gives the next value in the end."""

Change: TypeAlias = Callable[[ClusterMetadata], ClusterMetadata | Steps]


def first_epoch(
    cluster_id: bytes,
    key: bytes,
    members: Iterable[Member],
    groups: Iterable[Group],
    foreign: Mapping[str, str] | None = None,
) -> ClusterMetadata:
    """The value of a cluster that is formed by these members, which must all agree to it."""
    assert len(cluster_id) == CLUSTER_ID_BYTES
    by_name = with_names_in_order(members)
    return ClusterMetadata(
        epoch=FIRST_EPOCH,
        cluster_id=cluster_id,
        key=key,
        members=by_name,
        groups={group.name: group for group in sorted(groups, key=lambda group: group.name)},
        layouts=(MemberLayout(tuple(member.identity for member in by_name.values())),),
        foreign=dict(sorted((foreign or {}).items())),
    )


# --- members ---


def join(now: ClusterMetadata, newcomer: Member) -> ClusterMetadata:
    """Take a new member in, or take note of the address of one.

    A store that was dropped counts as lost wherever a shard lies by it, although it may have missed writes
    since. So it does not come back before these shards have moved.

    Raises:
        ChangeRefusedError: the name belongs to another store, or it was dropped and shards still lie by it.
    """
    known = now.members.get(newcomer.name)
    if newcomer.name in now.foreign:
        raise ChangeRefusedError(f"{newcomer.name!r} is a foreign member: give every node a name of its own")
    if known is None:
        if any(newcomer.identity in layout.members for layout in now.layouts):
            raise ChangeRefusedError(
                f"{newcomer.name} was dropped with this data directory, and shards still lie by it: wait "
                "until they have moved (`status`), or start it with --join ADDR --as-new"
            )
        return _with_members(now, [*now.members.values(), replace(newcomer, leaving=False)])
    if known.birth != newcomer.birth:
        raise ChangeRefusedError(
            f"a member {known.name!r} at {known.address} has another data directory: give every node a name "
            "of its own, or start it with --join --replace if that disk is lost for good"
        )
    if known.address == newcomer.address:
        return now
    moved = {**now.members, known.name: replace(known, address=newcomer.address)}
    return replace(now, epoch=now.epoch + 1, members=moved)


def replace_member(
    now: ClusterMetadata, newcomer: Member, *, accept_loss: bool = False, gone: int | None = None
) -> Steps:
    """Put a new store in the place of a member's, which does not answer any more.

    `gone` is the birth of the store that was looked for in vain.

    Raises:
        NoSuchThingError: there is no such member.
        ChangeRefusedError: acknowledged writes could be lost by it, or the member is another store by now.
    """
    known = _member(now, newcomer.name)
    if known.birth == newcomer.birth:
        return join(now, newcomer)
    refuse_other_store(known, gone)
    if not accept_loss:
        yield from refuse_loss(now, known.identity, "replaced")
    others = [member for member in now.members.values() if member.name != known.name]
    after = _with_members(now, [*others, replace(newcomer, leaving=False)])
    return (yield from _settled_without_sources(after))


def leave(
    now: ClusterMetadata, name: str, *, force: bool = False, birth: int | None = None
) -> ClusterMetadata:
    """Let a member that answers go: it stays a source and a voter until it has handed everything over.

    `birth` is that of the store that answered.

    Raises:
        NoSuchThingError: there is no such member.
        ChangeRefusedError: it is the last one, too few would be left for a group's quorum, or it is another
            store by now.
    """
    known = _member(now, name)
    refuse_other_store(known, birth)
    if known.leaving:
        return now
    refuse_too_few(now, name, force=force)
    others = [member for member in now.members.values() if member.name != name]
    return _with_members(now, [*others, replace(known, leaving=True)])


def drop(
    now: ClusterMetadata,
    name: str,
    *,
    accept_loss: bool = False,
    force: bool = False,
    birth: int | None = None,
) -> Steps:
    """Drop a member that does not answer, or that has handed everything over.

    `birth` is that of the store that does not answer, or that has handed over.

    Raises:
        NoSuchThingError: there is no such member.
        ChangeRefusedError: acknowledged writes could be lost by it, it is the last one, too few would be left
            for a group's quorum, or it is another store by now.
    """
    known = now.members.get(name)
    if known is None and name in now.forgotten:
        return now
    known = _member(now, name)
    refuse_other_store(known, birth)
    if not known.leaving:
        refuse_too_few(now, name, force=force)
    if not accept_loss:
        yield from refuse_loss(now, known.identity, "dropped")
    others = [member for member in now.members.values() if member.name != name]
    after = yield from _settled_without_sources(_with_members(now, others))
    return replace(after, forgotten=after.forgotten | {name})


# --- groups ---


def create_group(now: ClusterMetadata, group: Group, *, force: bool = False) -> ClusterMetadata:
    """Make a group. Its shards lie by the last layout from the start.

    Raises:
        InvalidGroupError: names the field that is wrong.
        GroupExistsError: there is one already.
        ChangeRefusedError: it wants more replicas than there are members.
    """
    check_group(group)
    known = now.groups.get(group.name)
    if known is not None:
        raise GroupExistsError(f"group {group.name[:80]!r} exists already: `group alter` changes it")
    refuse_too_many_replicas(now, group, force=force)
    made = replace(group, incarnation=now.epoch + 1)
    return replace(now, epoch=now.epoch + 1, groups=dict(sorted({**now.groups, group.name: made}.items())))


def alter_group(
    now: ClusterMetadata, name: str, alter: Callable[[Group], Group], *, force: bool = False
) -> ClusterMetadata:
    """Change a definition. Another number of replicas gives its shards another layout.

    Raises:
        NoSuchThingError: there is no such group.
        InvalidGroupError: names the field that is wrong.
        ChangeRefusedError: it wants more replicas than there are members.
    """
    known = _group(now, name)
    altered = alter(known)
    check_group(altered)
    assert (altered.name, altered.shards, altered.incarnation) == (name, known.shards, known.incarnation)
    if altered == known:
        return now
    groups = {**now.groups, name: altered}
    if altered.replicas == known.replicas:
        return replace(now, epoch=now.epoch + 1, groups=groups)
    if altered.replicas > known.replicas:
        refuse_too_many_replicas(now, altered, force=force)
    last = now.layouts[-1]
    before = tuple(
        layout
        if name in layout.replicas
        else replace(layout, replicas={**layout.replicas, name: known.replicas})
        for layout in now.layouts
    )
    coming = MemberLayout(
        last.members, {group: count for group, count in last.replicas.items() if group != name}
    )
    altered_by = {**now.altered, name: now.epoch + 1}
    after = replace(now, epoch=now.epoch + 1, groups=groups, layouts=before, altered=altered_by)
    return _laid_out(after, now, coming)


def delete_group(now: ClusterMetadata, name: str) -> ClusterMetadata:
    """Delete a group with all its records, for good.

    Raises:
        NoSuchThingError: there is no such group.
    """
    _group(now, name)
    groups = {each: group for each, group in now.groups.items() if each != name}
    lies = {each: indexes for each, indexes in now.lies.items() if each != name}
    layouts = tuple(
        replace(layout, replicas={each: count for each, count in layout.replicas.items() if each != name})
        for layout in now.layouts
    )
    altered = {each: epoch for each, epoch in now.altered.items() if each != name}
    return _pruned(
        replace(now, epoch=now.epoch + 1, groups=groups, lies=lies, layouts=layouts, altered=altered)
    )


def settle(now: ClusterMetadata, filled: Iterable[tuple[ShardId, bytes]]) -> Steps:
    """Take note of shards that lie where they belong: their new replicas said under this fence that they are
    filled. Shards that have another fence by now are left out.
    """
    last = len(now.layouts) - 1
    lies = {name: list(indexes) for name, indexes in now.lies.items()}
    changed = False
    for shard, fence in filled:
        yield
        group = now.groups.get(shard.group)
        indexes = lies.get(shard.group)
        if group is None or indexes is None or group.incarnation != shard.incarnation:
            continue
        if indexes[shard.shard] != last and now.place(shard).fence == fence:
            indexes[shard.shard] = last
            changed = True
    if not changed:
        return now
    left = {name: tuple(indexes) for name, indexes in lies.items() if set(indexes) != {last}}
    return _pruned(replace(now, epoch=now.epoch + 1, lies=left))


# --- what they share ---


def _member(now: ClusterMetadata, name: str) -> Member:
    known = now.members.get(name)
    if known is None:
        raise NoSuchThingError(f"there is no member {name[:80]!r}: see `members`")
    return known


def _group(now: ClusterMetadata, name: str) -> Group:
    known = now.groups.get(name)
    if known is None:
        has = ", ".join(now.groups) or "none"
        raise NoSuchThingError(f"group {name[:80]!r} is unknown here; this cluster has: {has}")
    return known


def _with_members(now: ClusterMetadata, members: Iterable[Member]) -> ClusterMetadata:
    by_name = with_names_in_order(members)
    coming = MemberLayout(tuple(each.identity for each in by_name.values() if not each.leaving))
    # The value is not whole until both are in it, so it is made in one step.
    if coming.members == now.layouts[-1].members:
        return replace(
            now,
            epoch=now.epoch + 1,
            members=by_name,
            forgotten=now.forgotten - by_name.keys(),
        )
    return _laid_out(now, now, coming, members=by_name)


def _laid_out(
    now: ClusterMetadata,
    before: ClusterMetadata,
    coming: MemberLayout,
    *,
    members: Mapping[str, Member] | None = None,
) -> ClusterMetadata:
    """The value with another last layout; every shard lies where it lay."""
    if len(now.layouts) >= LAYOUTS_MAX:
        raise ChangeRefusedError(
            "too many moves of shards are under way: wait until some are over (`status`)"
        )
    was_last = len(now.layouts) - 1
    lies = {name: before.lies.get(name, (was_last,) * group.shards) for name, group in now.groups.items()}
    moved = {each.name for each in {*before.layouts[-1].members} ^ {*coming.members}}
    return _pruned(
        replace(
            now,
            epoch=before.epoch + 1,
            movers={**now.movers, **dict.fromkeys(sorted(moved), before.epoch + 1)},
            members=now.members if members is None else members,
            forgotten=now.forgotten if members is None else now.forgotten - members.keys(),
            layouts=(*now.layouts, coming),
            lies=lies,
        )
    )


def _pruned(now: ClusterMetadata) -> ClusterMetadata:
    """The value without the layouts that no shard lies by any more, and without what only moves need."""
    if not now.lies:
        return replace(now, layouts=now.layouts[-1:], movers={}, altered={})
    last = len(now.layouts) - 1
    used = sorted({last, *(index for indexes in now.lies.values() for index in indexes)})
    if len(used) == len(now.layouts):
        return now
    renumbered = {index: position for position, index in enumerate(used)}
    return replace(
        now,
        layouts=tuple(now.layouts[index] for index in used),
        lies={name: tuple(renumbered[index] for index in indexes) for name, indexes in now.lies.items()},
    )


def _settled_without_sources(now: ClusterMetadata) -> Steps:
    """The value in which shards of which no copy is left lie by the last layout.

    There is nothing to fill their new replicas with. But these take writes from now on, and are the sources
    of them.
    """
    last = len(now.layouts) - 1
    lies = {name: list(indexes) for name, indexes in now.lies.items()}
    left_behind = False
    for shard in now.unsettled_shards():
        yield
        if not any(now.is_member(each) for each in now.settled(shard)):
            lies[shard.group][shard.shard] = last
            left_behind = True
    if not left_behind:
        return now
    left = {name: tuple(indexes) for name, indexes in lies.items() if set(indexes) != {last}}
    return _pruned(replace(now, lies=left))
