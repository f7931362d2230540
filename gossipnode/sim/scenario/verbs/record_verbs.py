"""What is put into a store past every rule of writing, and what rots there without a word.

`raw-put` takes `at=STAMP`, a stamp that two records are to share, and `unknown=1` for a field that no
version of this program knows. `raw-put-many` takes `older=1`: all other replicas get an older version.
"""

from __future__ import annotations

from collections.abc import Iterable

from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import Entity, parse_entity
from gossipnode.node.node import Node
from gossipnode.sim.history.operations import NOBODYS, Apply, Failed, Operation
from gossipnode.sim.scenario.scenario import ScenarioError
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import build_property

UNKNOWN_FIELD = bytes([0xFA, 0x3E, 1, 0x78])
"""Field 1007 of a property, a text of one letter. There is no such field."""


async def _raw_put(stage: Stage, words: Words) -> Iterable[str]:
    host, key, *rest = words
    node = stage.node(host)
    if node is None:
        return ["fails", "down"]
    await _put(stage, host, node, _entity(key), *_numbers(rest))
    return ["ok"]


async def _raw_put_many(stage: Stage, words: Words) -> Iterable[str]:
    """Put numbered records each into one replica of its shard: into the first, the second, and so on."""
    prefix, first, count, *rest = words
    if not (first.isdigit() and count.isdigit()):
        raise ScenarioError("FIRST and COUNT are whole numbers")
    tags, options = _numbers(rest)
    for number in range(int(first), int(first) + int(count)):
        entity = _entity(f"{prefix}/{number}")
        holders = [
            (machine.host, node)
            for machine in stage.machines.running
            if (node := machine.node) is not None
            and node.parts.local.shards.holds(node.parts.local.shards.shard_of(entity))
        ]
        if holders:
            host, node = holders[number % len(holders)]
            if options.get("older"):
                stamp = node.parts.local.clock.next()
                for other in holders:
                    await _put(stage, *other, entity, tags, {"at": stamp})
            await _put(stage, host, node, entity, tags, options)
    return ["ok"]


async def _put(
    stage: Stage, host: str, node: Node, entity: Entity, tags: dict[str, int], options: dict[str, int]
) -> None:
    stamp = options.get("at") or node.parts.local.clock.next()
    payload = build_property(entity, tags, create_revision=stamp, mod_revision=stamp)
    payload += UNKNOWN_FIELD if options.get("unknown") else b""
    shard = node.parts.local.shards.shard_of(entity)
    # Nobody was told that it is there, and everybody may see it: as a write that has failed halfway.
    operations = stage.history.operations
    operation = Operation(1 + len(operations), NOBODYS, host, "local", Apply(entity.text, tags), stage.now)
    operations.append(operation)
    await node.parts.local.store.write([(shard, decode_record(payload, 0))])
    operation.heard, operation.ended = (
        Failed("UnreachableError", "put past every rule", maybe=True),
        stage.now,
    )


def _numbers(words: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Tags and options, which have the same form."""
    tags: dict[str, int] = {}
    options: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not value.isdigit():
            raise ScenarioError(f"{word!r} is neither TAG=NUMBER nor an option: {', '.join(_OPTIONS)}")
        (options if name in _OPTIONS else tags)[name] = int(value)
    return tags, options


_OPTIONS = ("at", "unknown", "older")


async def _spoil(stage: Stage, words: Words) -> Iterable[str]:
    host, key = words
    if not stage.machine(host).disk.spoil_digest(_entity(key)):
        return ["fails", "it has kept no digest of that record"]
    stage.fault(host, f"its digest of {key} is wrong from now on", "wrong digest")
    return ["ok"]


def _entity(text: str) -> Entity:
    try:
        return parse_entity(text)
    except InvalidEntityError as error:
        raise ScenarioError(str(error)) from None


VERBS = by_name(
    Verb("raw-put", "HOST KEY TAG=N...", "Put a record into one store only.", _raw_put, 3),
    Verb(
        "raw-put-many",
        "GROUP/NAME FIRST COUNT TAG=N...",
        "Put numbered records, each into one replica of its shard.",
        _raw_put_many,
        4,
    ),
    Verb("spoil", "HOST KEY", "Let the digest that a store has kept of a record be wrong.", _spoil, 2, 2),
)
