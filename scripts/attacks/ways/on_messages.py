"""Messages of up to 4 MiB that are dear to read, to judge or to keep."""

from __future__ import annotations

from collections.abc import Iterator

from attacks import frames
from attacks.attack import Attacks, Scene
from attacks.honest import callers
from attacks.ways.on_frames import REPAIR, again_and_again
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_apply

ATTACKS = Attacks()

MESSAGE_BYTES = (4 << 20) - 1024
CRITERIA = 4
"""The number of the field in a query."""


async def _unary_storm(scene: Scene, path: str, data: bytes, connections: int = 4) -> None:
    """The same request, again and again, as fast as windows allow."""

    def storm() -> Iterator[bytes]:
        for stream in range(1, 2**31, 2):
            yield frames.request(stream, path, data)

    await again_and_again(scene, storm, connections=connections, within_windows=True)


async def _session_storm(scene: Scene, data: bytes, connections: int = 4) -> None:
    """Sessions that begin properly and go on with this message."""
    root = frames.field(1, frames.field(1, b"sw") + frames.field(3, b"00"))
    begun = frames.message(root) + frames.message(data)

    def storm() -> Iterator[bytes]:
        for stream in range(1, 2**31, 2):
            yield frames.call(stream, REPAIR) + frames.data_frames(stream, begun, end=True)

    await again_and_again(scene, storm, connections=connections, within_windows=True)


def crowd(element: bytes) -> bytes:
    """As many of them as a message holds."""
    return element * (MESSAGE_BYTES // len(element))


@ATTACKS.add("two million slots of two bytes in a session")
async def tree_slots(scene: Scene) -> None:
    await _session_storm(scene, frames.field(2, crowd(b"\x0a\x00")))


@ATTACKS.add("a property of 1 MiB with 500,000 empty tags in a session")
async def half_a_million_tags(scene: Scene) -> None:
    await _session_storm(scene, frames.field(4, frames.field(2, b"\x1a\x00" * 500_000)))


@ATTACKS.add("two million unknown fields in each of a query, an apply and a session")
async def unknown_fields(scene: Scene) -> None:
    unknown = crowd(b"\x78\x01")
    one_property = frames.field(1, frames.field(1, b"sw") + unknown[:-64])

    def storm() -> Iterator[bytes]:
        for stream in range(1, 2**31, 6):
            yield frames.request(stream, services.QUERY.path, frames.field(1, b"sw") + unknown)
            yield frames.request(stream + 2, services.NODE_APPLY.path, one_property)
            begun = frames.call(stream + 4, REPAIR)
            yield begun + frames.data_frames(stream + 4, frames.message(unknown), end=True)

    await again_and_again(scene, storm, connections=2, within_windows=True)


@ATTACKS.add("criteria in 78 levels around 3.9 MB")
async def deep_criteria(scene: Scene) -> None:
    criteria = frames.field(15, bytes(3_900_000))
    for _ in range(78):
        criteria = frames.field(1, frames.field(2, criteria))
    await _unary_storm(scene, services.QUERY.path, frames.field(1, b"sw") + frames.field(CRITERIA, criteria))


@ATTACKS.add("criteria of 4,096 conditions")
async def many_conditions(scene: Scene) -> None:
    def balanced(count: int) -> model.Criteria:
        if count == 1:
            value = model.TagValue(int=model.Int(1))
            return model.Criteria(
                condition=model.Condition(name="n", op=model.ConditionBinaryOp(1), value=value)
            )
        sides = balanced(count // 2), balanced(count - count // 2)
        return model.Criteria(
            le=model.LogicalExpression(op=model.LogicalExpressionLogicalOp(2), left=sides[0], right=sides[1])
        )

    query = encode(banyandb.QueryRequest(groups=["sw"], criteria=balanced(4096)))
    await _unary_storm(scene, services.QUERY.path, query)


def _in(count: int) -> bytes:
    value = model.TagValue(int_array=model.IntArray(list(range(count))))
    condition = model.Condition(name="n", op=model.ConditionBinaryOp(9), value=value)
    return encode(banyandb.QueryRequest(groups=["sw"], criteria=model.Criteria(condition=condition), limit=1))


@ATTACKS.add("IN of 400,000 numbers")
async def in_400000(scene: Scene) -> None:
    await _unary_storm(scene, services.QUERY.path, _in(400_000))


@ATTACKS.add("8 clients with IN of 4,096 numbers over 5,000 records", records=5000)
async def in_4096(scene: Scene) -> None:
    request = banyandb.QueryRequest().parse(_in(4096))

    async def once(channel: Channel, _: int) -> None:
        await channel.unary(services.QUERY, request, timeout=30)

    await callers(scene, 8, once)


@ATTACKS.add("8 clients that apply a property of 4,096 tags, again and again")
async def many_tags(scene: Scene) -> None:
    tags = {f"tag-{at}": "x" * 200 for at in range(4096)}

    async def once(channel: Channel, number: int) -> None:
        made = build_property(Entity("sw", "tags", str(number % 8)), {**tags, "tag-0": str(number)})
        await channel.unary(services.NODE_APPLY, encode_apply(made, ack="quorum"), timeout=30)

    await callers(scene, 8, once, channels=2)


@ATTACKS.add("24 clients that apply 1 MB each at once")
async def large_writes(scene: Scene) -> None:
    async def once(channel: Channel, number: int) -> None:
        made = build_property(Entity("sw", "large", str(number % 24)), {"text": "x" * 1_000_000, "n": number})
        await channel.unary(services.NODE_APPLY, encode_apply(made, ack="quorum"), timeout=30)

    await callers(scene, 24, once, channels=4)


@ATTACKS.add("an import of 8,192 empty records in each message")
async def empty_imports(scene: Scene) -> None:
    batch = encode(v1.ImportRequest(group="sw")) + b"\x12\x00" * 8192
    await _unary_storm(scene, services.NODE_IMPORT.path, batch)
