"""What is noticed of writes that overlap: by replicas, in explanations, and by clients that watch."""

from __future__ import annotations

from collections.abc import Iterable

from gossipnode.client.errors import ClientError
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import parse_entity
from gossipnode.sim.scenario.clients import CLIENT
from gossipnode.sim.scenario.scenario import ScenarioError
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name


async def _explain(stage: Stage, words: Words) -> Iterable[str]:
    node, key = words
    stage.check_host(node)
    try:
        entity = parse_entity(key)
    except InvalidEntityError as error:
        raise ScenarioError(str(error)) from None
    client = await stage.clients.client(CLIENT, [node])
    try:
        explanation = await client.explain(*entity)
    except ClientError as error:
        return ["fails", type(error).__name__, str(error)]
    came = [f"{each.node}:{each.through.replace(' ', '-')}" for each in explanation.replicas]
    return ["ok", *came, *(f"{each.node}:overlap" for each in explanation.replicas if each.overlap)]


async def _overlaps(stage: Stage, words: Words) -> Iterable[str]:
    node = stage.node(words[0])
    return ["fails", "down"] if node is None else [f"{node.parts.news.overlaps}"]


async def _conflicts(stage: Stage, words: Words) -> Iterable[str]:
    watched = [each for each in stage.history.watched if each.group == words[0]]
    told = [key for each in watched for key in each.overlapped]
    return [f"{len(told)}", *told]


VERBS = by_name(
    Verb("explain", "NODE KEY", "How a record came to its replicas, and where it overlaps.", _explain, 2, 2),
    Verb("overlaps", "HOST", "How many overlaps a node has counted since it started.", _overlaps, 1, 1),
    Verb("conflicts", "GROUP", "The conflicts that clients were told that watch a group.", _conflicts, 1, 1),
)
