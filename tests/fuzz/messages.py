"""The layer of messages: bytes into every decoder of `wire`.

The first byte of a step says which decoder; the second one whether the message is made long by repeating a
field, and whether its memory is measured; the rest is the message. A decoder gives a value or raises the
documented error; a value that is encoded and decoded again is the same; Google's runtime reads the same from
what the strict reader takes; and neither the steps nor the memory grow beyond a multiple of the bytes.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, Final, NamedTuple

import betterproto
from google.protobuf import message_factory
from google.protobuf.message import Message

from fuzzing.inputs import Steps
from gossipnode.rpc import Method
from gossipnode.wire import services
from gossipnode.wire.bounds.message_bounds import FIELDS_MAX
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.pb import POOL
from gossipnode.wire.generated.pb.banyandb.property.v1 import gossip_pb2, rpc_pb2
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.wire_errors import WireError
from tests.fuzz import message_uses
from tests.fuzz.protobuf import BYTES, any_message, change_fields, fields_of

MEMORY_BASE_BYTES: Final = 256 << 10
MEMORY_PER_BYTE: Final = 1000
"""An element of a list may take two bytes, and become an object of betterproto's."""

MEASURED, LONG = 1, 2
LONG_BYTES: Final = 10_000
LONGER_BYTES: Final = 20_000
"""What a message is made long to: from 8 KiB on, the elements of a property are counted."""

_HEADER_BYTES: Final = 2
# Long messages take a hundred times as long, so few changes keep them long.
_FLAGS_SHARE: Final = 32


class Decoder(NamedTuple):
    """A decoder, and the message that it reads."""

    name: str
    message: type[Message]
    check: Callable[[bytes], None]
    """Has the bytes decoded; raises only if a promise is broken."""


def envelope_check(
    cls: type[betterproto.Message], runtime: type[Message], fields_max: int
) -> Callable[[bytes], None]:
    whole = not holds_raw(cls, runtime)

    def check(data: bytes) -> None:
        try:
            message = decode(cls, data, fields_max)
        except WireError:
            return
        again = encode(message)
        assert encode(decode(cls, again, fields_max)) == again, (
            "what is encoded again is read as something else"
        )
        if whole:
            assert read(runtime, data) == read(runtime, again), "Google's runtime reads something else"
        with suppress(ValueError):
            message_uses.use(message)

    return check


def read(runtime: type[Message], data: bytes) -> bytes:
    """What Google's runtime reads, in its own bytes."""
    message = runtime.FromString(data)
    message.DiscardUnknownFields()
    return message.SerializeToString(deterministic=True)


def holds_raw(
    cls: type[betterproto.Message], runtime: type[Message], seen: frozenset[str] = frozenset()
) -> bool:
    """Whether messages stand as bytes somewhere in a class of betterproto's."""
    meta = cls._betterproto
    names = {each.number: name for name, each in meta.meta_by_field_name.items()}
    for field in runtime.DESCRIPTOR.fields:
        if field.message_type is None or field.message_type.full_name in seen:
            continue
        name = names[field.number]
        if meta.meta_by_field_name[name].proto_type == betterproto.TYPE_BYTES:
            return True
        within = seen | {field.message_type.full_name}
        if holds_raw(meta.cls_by_field[name], runtime_of(field.message_type.full_name), within):
            return True
    return False


def runtime_of(full_name: str) -> type[Message]:
    found: type[Message] = message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))
    return found


def runtime_check(decoder: Callable[[bytes], Message]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        try:
            message = decoder(data)
        except WireError:
            return
        with suppress(ValueError):
            message_uses.use(message)

    return check


def make_decoders() -> list[Decoder]:
    found = [Decoder(use.__name__, runtime_of(name), use) for name, use in message_uses.WHOLE]
    criteria = runtime_of("banyandb.model.v1.Criteria")
    found.append(Decoder("criteria", criteria, envelope_check(model.Criteria, criteria, FIELDS_MAX)))
    for name, method in vars(services).items():
        if not isinstance(method, Method) or method is services.REPAIR:
            continue
        for side, decoder in (("request", method.decode_request), ("reply", method.decode_reply)):
            found.append(_decoder(f"{name} {side}", method.path, side, decoder))
    return found


def _decoder(name: str, path: str, side: str, decoder: Any) -> Decoder:
    service, _, method = path[1:].partition("/")
    known = POOL.FindServiceByName(service).methods_by_name[method]
    described = known.input_type if side == "request" else known.output_type
    runtime = runtime_of(described.full_name)
    if hasattr(decoder, "args"):
        return Decoder(
            name, runtime, envelope_check(decoder.args[0], runtime, decoder.keywords["fields_max"])
        )
    return Decoder(name, runtime, runtime_check(decoder))


DECODERS = make_decoders()


def run(steps: Steps) -> int:
    """Have each step decoded; gives how many bytes that was."""
    total = 0
    for step in steps:
        if len(step) < _HEADER_BYTES:
            continue
        decoder, data = DECODERS[step[0] % len(DECODERS)], step[_HEADER_BYTES:]
        flags = step[1]
        if flags & LONG:
            data = long_message(data, LONG_BYTES if flags & MEASURED else LONGER_BYTES)
        if flags & MEASURED:
            measured(decoder, data)
        else:
            decoder.check(data)
        total += len(data)
    return total


def long_message(data: bytes, size: int) -> bytes:
    """A message whose last field comes often; if it only encloses another one, that one is made long."""
    fields = fields_of(data)
    if not fields:
        return data
    last = fields[-1]
    if last.wire == BYTES and last.content[:1] and fields_of(last.content) and len(fields) == 1:
        return last._replace(content=long_message(last.content, size)).encode()
    return data + last.encode() * (size // len(last.encode()))


def measured(decoder: Decoder, data: bytes) -> None:
    """Have bytes decoded while their memory is counted, and nothing else: a tracer takes memory, too."""
    tracer = sys.gettrace()
    sys.settrace(None)
    tracemalloc.start()
    try:
        decoder.check(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        sys.settrace(tracer)
    most = MEMORY_BASE_BYTES + MEMORY_PER_BYTE * len(data)
    assert peak <= most, f"{decoder.name}: {peak} bytes of memory for {len(data)}: at most {most}"


def fresh(random: Random) -> bytes:
    number = random.randrange(len(DECODERS))
    flags = random.randrange(4) if not random.randrange(32) else 0
    return bytes((number, flags)) + any_message(DECODERS[number].message, random).SerializeToString()


def change(step: bytes, random: Random) -> bytes:
    """Change a field of the message in a step."""
    flags = step[1:_HEADER_BYTES] if not random.randrange(_FLAGS_SHARE) else b"\0"
    return step[:1] + flags + change_fields(step[_HEADER_BYTES:], random)


def change_decoder(step: bytes, random: Random) -> bytes:
    """Have the same bytes read by another decoder."""
    return bytes((random.randrange(len(DECODERS)),)) + step[1:]


def change_flags(step: bytes, random: Random) -> bytes:
    """Let the message be long, or its memory be measured."""
    return step[:1] + bytes((0 if random.randrange(8) else random.randrange(4),)) + step[2:]


_FILES: Final = (gossip_pb2, rpc_pb2, node_pb2)  # They fill the pool.
