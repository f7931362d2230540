"""What clients do: write, delete, read, search and import.

Options come after the rest: `ack=LEVEL` (quorum unless said), `by=HOST` (the client's host), `via=NODE,NODE`
(the nodes that it may ask after the first one; all of the configuration unless said; `via=none`: it asks no
other), `timeout=SECONDS` (10 unless said), `request=NAME` (writes of one name and content are one write that
is tried again), `pad=BYTES` (a write has a tag of that size beside the others).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gossipnode.client.values.given import Ack
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import parse_entity
from gossipnode.sim.history.operations import (
    Apply,
    Asked,
    Delete,
    Deleted,
    Failed,
    Get,
    Heard,
    Import,
    Imported,
    Nothing,
    Query,
    Row,
    Rows,
    Stored,
    Tags,
)
from gossipnode.sim.scenario.clients import CLIENT, TIMEOUT_SECONDS, WATCHER, Manner
from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name

_OPTIONS = ("ack", "by", "via", "timeout", "request", "pad")
_LEVELS: Final[Mapping[str, Ack]] = {"local": "local", "one": "one", "quorum": "quorum", "all": "all"}


async def _apply(stage: Stage, words: Words) -> Iterable[str]:
    node, key, *rest = words
    given, options = _split(rest)
    return await _do(stage, node, Apply(_key(key), _tags(given)), options)


async def _replace(stage: Stage, words: Words) -> Iterable[str]:
    node, key, *rest = words
    given, options = _split(rest)
    return await _do(stage, node, Apply(_key(key), _tags(given), replace=True), options)


async def _delete(stage: Stage, words: Words) -> Iterable[str]:
    node, key, *rest = words
    return await _do(stage, node, Delete(_key(key)), _only_options(rest))


async def _get(stage: Stage, words: Words) -> Iterable[str]:
    node, key, *rest = words
    return await _do(stage, node, Get(_key(key)), _only_options(rest))


async def _query(stage: Stage, words: Words) -> Iterable[str]:
    node, group, *rest = words
    return await _do(stage, node, Query(group), _only_options(rest))


async def _import(stage: Stage, words: Words) -> Iterable[str]:
    node, prefix, first, count, *rest = words
    given, options = _split(rest)
    return await _do(stage, node, Import(_numbered(prefix, first, count), _tags(given)), options)


async def _apply_many(stage: Stage, words: Words) -> Iterable[str]:
    node, prefix, first, count, *rest = words
    given, options = _split(rest)
    failed = 0
    for key in _numbered(prefix, first, count):
        result = await _do(stage, node, Apply(key, _tags(given)), options)
        failed += "ok" not in result
    return ["fails", f"{failed} failed"] if failed else ["ok"]


async def _get_many(stage: Stage, words: Words) -> Iterable[str]:
    node, prefix, first, count, *rest = words
    options = _only_options(rest)
    keys = _numbered(prefix, first, count)
    results = [set(await _do(stage, node, Get(key), options)) for key in keys]
    same = {word for word in results[0] if all(word in result for result in results)}
    found = sum("ok" in result and "nothing" not in result for result in results)
    return [f"{found}", *sorted(same)]


async def _read_slowly(stage: Stage, words: Words) -> None:
    node, group, count = words
    stage.check_host(node)
    if not count.isdigit():
        raise ScenarioError("write: read-slowly NODE GROUP COUNT")
    for number in range(int(count)):
        await stage.clients.read_slowly(f"reader{number}", [node], group)
    stage.tell(node, f"{count} clients read {group}, and take no more after the first record")


async def _watch(stage: Stage, words: Words) -> None:
    node, group, *rest = words
    stage.check_host(node)
    options = _only_options(rest)
    others = [each for each in stage.scenario.nodes if each != node]
    stage.clients.watch(options.get("by", WATCHER), [node, *others], group)


def _numbered(prefix: str, first: str, count: str) -> tuple[str, ...]:
    if not (first.isdigit() and count.isdigit() and int(count)):
        raise ScenarioError("FIRST and COUNT are whole numbers, and COUNT is more than 0")
    return tuple(_key(f"{prefix}/{number}") for number in range(int(first), int(first) + int(count)))


async def _do(stage: Stage, node: str, asked: Asked, options: Mapping[str, str]) -> Iterable[str]:
    stage.check_host(node)
    via = options.get("via")
    others = [each for each in stage.scenario.nodes if each != node] if via is None else via.split(",")
    nodes = [node] if via == "none" else [node, *others]
    operation = await stage.clients.do(options.get("by", CLIENT), nodes, asked, _manner(options))
    return _result(operation.heard)


def _manner(options: Mapping[str, str]) -> Manner:
    ack = options.get("ack", "quorum")
    if ack not in _LEVELS:
        raise ScenarioError(f"{ack!r} is no level: write one of {', '.join(_LEVELS)}")
    pad = options.get("pad", "0")
    if not pad.isdigit():
        raise ScenarioError(f"{pad!r} is no number of bytes")
    seconds = parse_seconds(options["timeout"]) if "timeout" in options else TIMEOUT_SECONDS
    return Manner(_LEVELS[ack], seconds, options.get("request", ""), int(pad))


def _result(heard: Heard | None) -> list[str]:
    """The words of what was heard."""
    match heard:
        case Stored(_, tags, created):
            return ["ok", "created" if created else "merged", *_tag_words(tags)]
        case Deleted(deleted):
            return ["ok", "deleted" if deleted else "nothing"]
        case Row(_, _, tags):
            return ["ok", *_tag_words(tags)]
        case Nothing():
            return ["ok", "nothing"]
        case Rows(rows):
            return ["ok", f"{len(rows)}", *(row.key for row in rows)]
        case Imported(records):
            return ["ok", f"{records}"]
        case Failed(error, text, maybe):
            return ["fails", error, "maybe" if maybe else "never", text]
        case None:
            return ["silence"]


def _tag_words(tags: Tags) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(tags.items())]


def _split(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Tags and options, which have the same form."""
    pairs = [word.partition("=") for word in words]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise ScenarioError(f"{wrong[0]!r} is neither TAG=NUMBER nor an option: {', '.join(_OPTIONS)}")
    options = {name: value for name, _, value in pairs if name in _OPTIONS}
    return [f"{name}={value}" for name, _, value in pairs if name not in _OPTIONS], options


def _only_options(words: Iterable[str]) -> dict[str, str]:
    tags, options = _split(words)
    if tags:
        raise ScenarioError(f"{tags[0]!r} is no option: there are {', '.join(_OPTIONS)}")
    return options


def _tags(words: Iterable[str]) -> Tags:
    tags: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            tags[name] = int(value)
        except ValueError:
            raise ScenarioError(f"{word!r}: the value of a tag is a whole number here") from None
    if not tags:
        raise ScenarioError("a write needs TAG=NUMBER")
    return tags


def _key(text: str) -> str:
    try:
        return parse_entity(text).text
    except InvalidEntityError as error:
        raise ScenarioError(str(error)) from None


VERBS = by_name(
    Verb("apply", "NODE KEY TAG=N...", "Merge tags into a record.", _apply, 3),
    Verb("replace", "NODE KEY TAG=N...", "Put tags in place of all tags of a record.", _replace, 3),
    Verb("delete", "NODE KEY", "Delete a record.", _delete, 2),
    Verb("get", "NODE KEY", "Read a record.", _get, 2),
    Verb("query", "NODE GROUP", "Read all records of a group.", _query, 2),
    Verb(
        "apply-many",
        "NODE GROUP/NAME FIRST COUNT TAG=N...",
        "Merge tags into numbered records, one after the other.",
        _apply_many,
        5,
    ),
    Verb(
        "get-many",
        "NODE GROUP/NAME FIRST COUNT",
        "Read numbered records: how many there are, and what all of them have.",
        _get_many,
        4,
    ),
    Verb(
        "read-slowly", "NODE GROUP COUNT", "Let clients begin to read, and read no more.", _read_slowly, 3, 3
    ),
    Verb("watch", "NODE GROUP", "Let a client watch a group until the run is over.", _watch, 2),
    Verb("import", "NODE GROUP/NAME FIRST COUNT TAG=N...", "Write many records, numbered.", _import, 5),
)
