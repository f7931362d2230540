"""The cluster metadata comes back as it was, and what no change could have made is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.wire.epochs import metadata_codec
from gossipnode.wire.epochs.metadata_codec import (
    EPOCH_MAX,
    MEMBER_TEXT_MAX_BYTES,
    METADATA_FORMAT,
    METADATA_MAX_BYTES,
    MetadataTooLargeError,
    check_size,
    decode_cluster_groups,
    decode_metadata,
    encode_cluster_groups,
    encode_metadata,
)
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as pb
from gossipnode.wire.wire_errors import WireError
from tests.core.cluster.clusters import formed, member, settle
from tests.wire.epochs.values import damages, moved_value, values
from tests.wire.support import examples

GROUP = Group("sw", 2, 3, AckLevel.ALL, 36 * 3600, ("zone", "port"), 4)


def as_bytes(value: ClusterMetadata) -> bytes:
    return encode_metadata(value).SerializeToString(deterministic=True)


# --- there and back ---


@pytest.mark.slow
@examples(100)
@given(values())
def test_a_value_comes_back_as_it_went(value: ClusterMetadata) -> None:
    again = decode_metadata(pb.ClusterValue.FromString(as_bytes(value)))
    assert again == value
    assert as_bytes(again) == as_bytes(value)
    assert [again.place(shard) for shard in again.shards()] == [value.place(each) for each in value.shards()]
    for names, others in ((again.members, value.members), (again.groups, value.groups)):
        assert list(names) == list(others)
    check_size(value)


def test_equal_values_give_equal_bytes() -> None:
    value = moved_value()
    turned = replace(
        value,
        lies=dict(sorted(value.lies.items(), reverse=True)),
        movers=dict(sorted(value.movers.items(), reverse=True)),
        forgotten=frozenset(sorted(value.forgotten, reverse=True)),
        foreign=dict(sorted(value.foreign.items(), reverse=True)),
    )
    assert turned == value
    assert as_bytes(turned) == as_bytes(value)


def test_a_value_is_encoded_once_and_each_message_is_the_callers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    value = moved_value()
    encoded: list[ClusterMetadata] = []
    encode = metadata_codec._encode

    def counted(value: ClusterMetadata) -> pb.ClusterValue:
        encoded.append(value)
        return encode(value)

    monkeypatch.setattr(metadata_codec, "_encode", counted)
    first = encode_metadata(value)
    first.epoch = 0
    assert decode_metadata(encode_metadata(value)) == value
    assert len(encoded) == 1
    assert encode_metadata(replace(value, epoch=value.epoch + 1)).epoch == value.epoch + 1


def test_definitions_that_stay_are_neither_made_nor_checked_again() -> None:
    value = formed("abc", *(Group(f"g{number}") for number in range(50)))
    metadata_codec._encode_group.cache_clear()
    metadata_codec._decode_group.cache_clear()
    for after in (value, changes.create_group(value, Group("new"))):
        assert decode_metadata(encode_metadata(after)) == after
    assert metadata_codec._encode_group.cache_info().misses == 51
    assert metadata_codec._decode_group.cache_info().misses == 51


def test_what_a_value_says_stands_in_its_message() -> None:
    value = moved_value()
    message = encode_metadata(value)
    assert (message.format, message.epoch) == (METADATA_FORMAT, value.epoch)
    assert [(each.name, each.leaving) for each in message.members] == [
        (each.name, each.leaving) for each in value.members.values()
    ]
    assert [tuple(each.layouts) for each in message.lies] == [value.lies[name] for name in sorted(value.lies)]
    assert list(message.forgotten) == sorted(value.forgotten)


def test_definitions_of_groups_come_back_in_their_order() -> None:
    groups = [GROUP, Group("a")]
    assert decode_cluster_groups(encode_cluster_groups(groups)) == groups


# --- limits ---


def test_a_value_over_the_limit_is_refused_on_both_sides() -> None:
    value = replace(formed(), forgotten=frozenset(f"{number:0200}" for number in range(6000)))
    with pytest.raises(MetadataTooLargeError, match=rf"would take \d+ bytes, and the limit is {1 << 20}"):
        check_size(value)
    with pytest.raises(WireError, match="of over 1048576 bytes"):
        decode_metadata(encode_metadata(value))


def test_a_value_of_just_the_limit_is_taken() -> None:
    value = formed()
    names: list[str] = []
    left = METADATA_MAX_BYTES - len(as_bytes(value))
    while left > 0:
        # A name takes three bytes beside its own; the last two share what is left.
        size = left - 3 if left <= 400 else min(400, left - 200)
        head = str(len(names))
        names.append(head + "x" * (size - (1 if size < 128 else 0) - len(head)))
        left -= 3 + size
    value = replace(value, forgotten=frozenset(names))
    assert len(as_bytes(value)) == METADATA_MAX_BYTES
    check_size(value)
    assert decode_metadata(encode_metadata(value)) == value


@pytest.mark.parametrize("form", [0, METADATA_FORMAT + 1])
def test_another_form_is_refused_with_both_numbers(form: int) -> None:
    message = encode_metadata(formed())
    message.format = form
    with pytest.raises(WireError, match=f"of form {form}: this version knows {METADATA_FORMAT}"):
        decode_metadata(message)


# --- what makes no sense ---

Spoil = Callable[[pb.ClusterValue], object]

SPOILED: dict[str, tuple[str, Spoil]] = {
    "no epoch": ("epoch", lambda it: setattr(it, "epoch", 0)),
    "an epoch without end": ("epoch", lambda it: setattr(it, "epoch", EPOCH_MAX + 1)),
    "a short cluster id": ("cluster_id", lambda it: setattr(it, "cluster_id", b"123")),
    "no key": ("key", lambda it: setattr(it, "key", b"")),
    "no members": ("members", lambda it: it.ClearField("members")),
    "members out of order": ("members", lambda it: it.members.reverse()),
    "a member twice": ("members", lambda it: it.members.extend([it.members[-1]])),
    "a member without a name": ("name", lambda it: setattr(it.members[0], "name", "")),
    "a member without an address": ("address", lambda it: setattr(it.members[0], "address", "")),
    "a long address": (
        "address",
        lambda it: setattr(it.members[0], "address", "x" * (MEMBER_TEXT_MAX_BYTES + 1)),
    ),
    "another store of a member": ("layouts", lambda it: setattr(it.members[0], "birth", 99)),
    "everybody leaves": ("layouts", lambda it: everybody_leaves(it)),
    "groups out of order": ("groups", lambda it: it.groups.reverse()),
    "a group twice": ("groups", lambda it: it.groups.extend([it.groups[-1]])),
    "a group of no shards": ("group 'g': shards", lambda it: setattr(it.groups[0], "shards", 0)),
    "a group of a future": ("group 'g'", lambda it: setattr(it.groups[0], "incarnation", it.epoch + 1)),
    "a group of no epoch": ("group 'g'", lambda it: setattr(it.groups[0], "incarnation", 0)),
    "a level that is none": ("group 'g'", lambda it: setattr(it.groups[0], "ack", "most")),
    "local": ("group 'g': ack", lambda it: setattr(it.groups[0], "ack", "local")),
    "no layouts": ("layouts", lambda it: it.ClearField("layouts")),
    "too many layouts": ("layouts", lambda it: it.layouts.extend([it.layouts[-1]] * 300)),
    "a layout without members": ("layouts", lambda it: it.layouts[0].ClearField("members")),
    "a layout out of order": ("layouts", lambda it: it.layouts[0].members.reverse()),
    "a layout with a name twice": (
        "layouts",
        lambda it: it.layouts[0].members.extend([it.layouts[0].members[-1]]),
    ),
    "a layout that no shard lies by": ("layouts", lambda it: it.ClearField("lies")),
    "no replicas in a layout": ("layouts", lambda it: replicas(it, 0, "g", 0)),
    "too many replicas in a layout": (
        "layouts",
        lambda it: replicas(it, 0, "g", 1025),
    ),
    "replicas of no group": ("layouts", lambda it: replicas(it, 0, "nobody", 2)),
    "other replicas in the last layout": (
        "layouts",
        lambda it: replicas(it, -1, "g", 2),
    ),
    "a layout that is not there": ("lies", lambda it: setattr(it.lies[0], "layouts", b"\x00\xff")),
    "layouts of too few shards": ("lies", lambda it: setattr(it.lies[0], "layouts", b"\x00")),
    "layouts of no shards": ("lies", lambda it: setattr(it.lies[0], "layouts", b"")),
    "layouts of no group": ("lies", lambda it: setattr(it.lies[0], "group", "nobody")),
    "layouts of a group twice": ("lies", lambda it: it.lies.extend([it.lies[0]])),
    "a forgotten name that is empty": ("name", lambda it: it.forgotten.append("")),
    "a forgotten name twice": ("forgotten", lambda it: it.forgotten.append(it.forgotten[-1])),
    "a forgotten member": ("forgotten", lambda it: it.forgotten.append(it.members[0].name)),
    "a foreign member without a name": ("name", lambda it: setattr(it.foreign[0], "name", "")),
    "a foreign member without an address": ("address", lambda it: setattr(it.foreign[0], "address", "")),
    "a foreign member twice": ("foreign", lambda it: it.foreign.extend([it.foreign[0]])),
    "a foreign member that is ours": (
        "foreign",
        lambda it: setattr(it.foreign[0], "name", it.members[0].name),
    ),
    "a move of a future": ("movers", lambda it: it.movers.add(name="a", number=it.epoch + 1)),
    "a move of nobody": ("name", lambda it: it.movers.add(name="", number=1)),
    "another number of replicas of no group": ("altered", lambda it: it.altered.add(name="nobody", number=1)),
    "another number of replicas in a future": (
        "altered",
        lambda it: it.altered.add(name="g", number=it.epoch + 1),
    ),
}


def replicas(message: pb.ClusterValue, index: int, group: str, count: int) -> None:
    message.layouts[index].replicas.add(name=group, number=count)


def everybody_leaves(message: pb.ClusterValue) -> None:
    for each in message.members:
        each.leaving = True
    message.layouts[-1].ClearField("members")


@pytest.mark.parametrize(("field", "spoil"), SPOILED.values(), ids=SPOILED.keys())
def test_a_value_that_no_change_could_have_made_is_refused(field: str, spoil: Spoil) -> None:
    message = encode_metadata(moved_value())
    decode_metadata(message)
    spoil(message)
    with pytest.raises(WireError, match=f"^cluster metadata: .*{field}"):
        decode_metadata(message)


def test_what_only_moves_need_is_refused_where_nothing_moves() -> None:
    for name in ("movers", "altered"):
        message = encode_metadata(formed("abc", Group("g")))
        getattr(message, name).add(name="g", number=2)
        with pytest.raises(WireError, match=name):
            decode_metadata(message)


@pytest.mark.slow
@examples(400)
@given(damages(encode_metadata(moved_value()).SerializeToString(deterministic=True)))
def test_a_damaged_value_is_refused_or_makes_sense(data: bytes) -> None:
    try:
        value = decode_metadata(pb.ClusterValue.FromString(data))
    except (WireError, DecodeError):
        return
    for shard in value.shards():
        placement = value.place(shard)
        assert placement.coming
        assert placement.fence
    assert decode_metadata(pb.ClusterValue.FromString(as_bytes(value))) == value
    settled = settle(value, [(each, value.place(each).fence) for each in value.shards()])
    joined = changes.join(settled, member("newcomer", 1))
    assert decode_metadata(encode_metadata(joined)) == joined
