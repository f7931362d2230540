"""The cluster metadata as messages of `gossipnode.v1`, and back.

The form is numbered. A value that is over `METADATA_MAX_BYTES`, of another form, or that no change could have
made is refused: it came from a newer version, or from somebody who lies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sized
from functools import lru_cache
from typing import Final, NamedTuple

from gossipnode.core.cluster.cluster_metadata import (
    CLUSTER_ID_BYTES,
    CLUSTER_KEY_BYTES,
    LAYOUTS_MAX,
    ClusterMetadata,
    Group,
    Identity,
    Member,
    MemberLayout,
    check_group,
)
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.limits import REPLICAS_MAX
from gossipnode.core.model.property import FIRST_EPOCH
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as pb
from gossipnode.wire.wire_errors import WireError

METADATA_FORMAT = 1
METADATA_MAX_BYTES = 1 << 20
"""The encoded value. A change that would make it larger is refused."""

GROUPS_KEPT_MAX = 4096
"""Definitions of groups whose messages are remembered: a change leaves most of them as they are."""

EPOCH_MAX = 1 << 62
MEMBER_TEXT_MAX_BYTES = 512
"""A member's name and its address, each."""


class MetadataTooLargeError(Exception):
    """A value that would not fit into `METADATA_MAX_BYTES`."""


_ENCODED: Final[deque[tuple[ClusterMetadata, pb.ClusterValue]]] = deque(maxlen=4)
"""The values that were encoded last. A change encodes one for each member, and for each note of it."""


def encode_metadata(value: ClusterMetadata) -> pb.ClusterValue:
    """The message of a value; equal values give equal bytes. It is the caller's own."""
    encoded = next((message for known, message in _ENCODED if known is value), None)
    if encoded is None:
        encoded = _encode(value)
        _ENCODED.append((value, encoded))
    message = pb.ClusterValue()
    message.CopyFrom(encoded)
    return message


def _encode(value: ClusterMetadata) -> pb.ClusterValue:
    return pb.ClusterValue(
        format=METADATA_FORMAT,
        epoch=value.epoch,
        cluster_id=value.cluster_id,
        key=value.key,
        members=[
            pb.ClusterMember(name=each.name, address=each.address, birth=each.birth, leaving=each.leaving)
            for each in value.members.values()
        ],
        groups=encode_cluster_groups(value.groups.values()),
        layouts=[_encode_layout(layout) for layout in value.layouts],
        lies=[
            pb.ShardLayouts(group=name, layouts=bytes(indexes))
            for name, indexes in sorted(value.lies.items())
        ],
        forgotten=sorted(value.forgotten),
        foreign=[
            pb.ForeignMember(name=name, address=address) for name, address in sorted(value.foreign.items())
        ],
        movers=_encode_numbers(value.movers),
        altered=_encode_numbers(value.altered),
    )


def check_size(value: ClusterMetadata) -> None:
    """Refuse a value that is too large.

    Raises:
        MetadataTooLargeError: says how large it is.
    """
    size = encode_metadata(value).ByteSize()
    if size > METADATA_MAX_BYTES:
        raise MetadataTooLargeError(
            f"members and groups would take {size} bytes, and the limit is {METADATA_MAX_BYTES}"
        )


def decode_metadata(message: pb.ClusterValue) -> ClusterMetadata:
    """The value that a message stands for.

    Raises:
        WireError: it is of another form, too large, or makes no sense.
    """
    if message.format != METADATA_FORMAT:
        raise WireError(f"cluster metadata of form {message.format}: this version knows {METADATA_FORMAT}")
    if message.ByteSize() > METADATA_MAX_BYTES:
        raise WireError(f"cluster metadata of over {METADATA_MAX_BYTES} bytes")
    _check(FIRST_EPOCH <= message.epoch <= EPOCH_MAX, "epoch")
    _check(len(message.cluster_id) == CLUSTER_ID_BYTES, "cluster_id")
    _check(len(message.key) == CLUSTER_KEY_BYTES, "key")
    members = {
        each.name: Member(_text(each.name), _text(each.address), each.birth, each.leaving)
        for each in message.members
    }
    _check(_in_order(message.members, members), "members")
    groups = {group.name: group for group in decode_cluster_groups(message.groups)}
    _check(_in_order(message.groups, groups), "groups")
    for name, group in groups.items():
        _check(group.incarnation <= message.epoch, f"group {name[:80]!r}")
    _check(len(message.layouts) <= LAYOUTS_MAX, "layouts")
    value = _Value(
        members,
        groups,
        tuple(_decode_layout(layout, groups) for layout in message.layouts),
        {each.group: tuple(each.layouts) for each in message.lies},
    )
    _check(len(value.lies) == len(message.lies), "lies")
    _check_layouts(value)
    forgotten = frozenset(_text(name) for name in message.forgotten)
    _check(len(forgotten) == len(message.forgotten) and forgotten.isdisjoint(members), "forgotten")
    foreign = {_text(each.name): _text(each.address) for each in message.foreign}
    _check(len(foreign) == len(message.foreign) and foreign.keys().isdisjoint(members), "foreign")
    movers, altered = _decode_turns(message, value)
    return ClusterMetadata(
        epoch=message.epoch,
        cluster_id=message.cluster_id,
        key=message.key,
        members=members,
        groups=groups,
        layouts=value.layouts,
        lies=value.lies,
        movers=movers,
        altered=altered,
        forgotten=forgotten,
        foreign=foreign,
    )


class _Value(NamedTuple):
    """What says where shards lie."""

    members: Mapping[str, Member]
    groups: Mapping[str, Group]
    layouts: tuple[MemberLayout, ...]
    lies: Mapping[str, tuple[int, ...]]


def _check_layouts(value: _Value) -> None:
    """Some member stays, the last layout is of those that do, and some shard lies by each other one."""
    layouts, staying = value.layouts, _staying(value.members.values())
    _check(bool(staying), "members")
    _check(bool(layouts) and layouts[-1] == MemberLayout(staying), "layouts")
    last = len(layouts) - 1
    used = {last}
    for name, indexes in value.lies.items():
        _check(name in value.groups and len(indexes) == value.groups[name].shards, "lies")
        _check(max(indexes) <= last and min(indexes) < last, "lies")
        used.update(indexes)
    _check(len(used) == len(layouts), "layouts")


def _decode_turns(message: pb.ClusterValue, value: _Value) -> tuple[dict[str, int], dict[str, int]]:
    """The members that came or went, and the groups with another number of replicas: kept for moves alone."""
    movers = _decode_numbers(message.movers, "movers")
    altered = _decode_numbers(message.altered, "altered")
    _check(altered.keys() <= value.groups.keys(), "altered")
    for what, epochs in (("movers", movers), ("altered", altered)):
        _check(bool(value.lies) or not epochs, what)
        _check(all(FIRST_EPOCH < epoch <= message.epoch for epoch in epochs.values()), what)
    return movers, altered


def _staying(members: Iterable[Member]) -> tuple[Identity, ...]:
    return tuple(each.identity for each in members if not each.leaving)


def _in_order(messages: Sized, by_name: Mapping[str, object]) -> bool:
    """Whether messages came in the order of their names, each name once."""
    return len(messages) == len(by_name) and [*by_name] == sorted(by_name)


def encode_cluster_groups(groups: Iterable[Group]) -> list[pb.ClusterGroup]:
    """The messages of definitions."""
    return [_encode_group(each) for each in groups]


@lru_cache(GROUPS_KEPT_MAX)
def _encode_group(group: Group) -> pb.ClusterGroup:
    """The message of a definition. It is put into other messages, which copies it, and is never changed."""
    return pb.ClusterGroup(
        name=group.name,
        shards=group.shards,
        replicas=group.replicas,
        ack=group.ack.value,
        tombstone_retention_seconds=group.tombstone_retention_seconds,
        indexes=group.indexes,
        incarnation=group.incarnation,
    )


def decode_cluster_groups(messages: Iterable[pb.ClusterGroup]) -> list[Group]:
    """The definitions of messages.

    Raises:
        WireError: one that no group may have.
    """
    return [_decode_group(each.SerializeToString()) for each in messages]


@lru_cache(GROUPS_KEPT_MAX)
def _decode_group(data: bytes) -> Group:
    """One definition. Most of them are the same in the next epoch."""
    message = pb.ClusterGroup.FromString(data)
    try:
        group = Group(
            message.name,
            message.shards,
            message.replicas,
            AckLevel(message.ack),
            message.tombstone_retention_seconds,
            tuple(message.indexes),
            message.incarnation,
        )
        check_group(group)
    except (ValueError, CoreError) as error:
        raise WireError(f"cluster metadata: group {message.name[:80]!r}: {error}") from None
    _check(FIRST_EPOCH <= group.incarnation <= EPOCH_MAX, f"group {message.name[:80]!r}")
    return group


def _encode_layout(layout: MemberLayout) -> pb.Layout:
    return pb.Layout(
        members=[pb.Layout.Identity(name=each.name, birth=each.birth) for each in layout.members],
        replicas=_encode_numbers(layout.replicas),
    )


def _decode_layout(message: pb.Layout, groups: Collection[str]) -> MemberLayout:
    members = tuple(Identity(_text(each.name), each.birth) for each in message.members)
    names = [each.name for each in members]
    _check(bool(names) and names == sorted(set(names)), "layouts")
    replicas = _decode_numbers(message.replicas, "layouts")
    for name, count in replicas.items():
        _check(name in groups and 0 < count <= REPLICAS_MAX, "layouts")
    return MemberLayout(members, replicas)


def _encode_numbers(numbers: Mapping[str, int]) -> list[pb.NamedNumber]:
    return [pb.NamedNumber(name=name, number=number) for name, number in sorted(numbers.items())]


def _decode_numbers(messages: Collection[pb.NamedNumber], what: str) -> dict[str, int]:
    numbers = {_text(each.name): each.number for each in messages}
    _check(_in_order(messages, numbers), what)
    return numbers


def _text(text: str) -> str:
    _check(0 < len(text.encode()) <= MEMBER_TEXT_MAX_BYTES, "a name or an address")
    return text


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise WireError(f"cluster metadata: {what} makes no sense")
