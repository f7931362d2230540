"""What happens between machines.

A link is written `a-b` (both directions) or `a>b` (from a to b); `*` stands for every other machine, and
`*-*` for all links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio

from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import OUTSIDE, Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name

Pair = tuple[str, str]

SLOW_NETWORK_SECONDS = 0.3
"""A network of another continent is well; one that takes longer is not."""


def _pairs(stage: Stage, words: Iterable[str]) -> Iterator[Pair]:
    """The directed links that words name."""
    for word in words:
        for source, target in _named(stage, word):
            yield source, target
            if ">" not in word:
                yield target, source


def _named(stage: Stage, word: str) -> Iterator[Pair]:
    source, mark, target = word.partition(">" if ">" in word else "-")
    if not (source and mark and target) or source == target != "*":
        raise ScenarioError(f"{word!r} is no link: write a-b, a>b or a-*")
    for one in stage.hosts() if source == "*" else (source,):
        for other in stage.hosts() if target == "*" else (target,):
            if one != other:
                yield one, other


def _harmed(stage: Stage, words: Words) -> list[str]:
    """The machine that each link leaves without its cluster: the one that is named first and is no star."""
    sides = [word.replace(">", "-").split("-") for word in words]
    hosts = [first if first != "*" else second for first, second in sides]
    return list(stage.hosts()) if "*" in hosts else hosts


async def _cut(stage: Stage, words: Words) -> None:
    stage.machines.links.cut(*_pairs(stage, words))
    _note(stage, "cut", words, "one-way cut" if ">" in "".join(words) else "cut")


async def _drop(stage: Stage, words: Words) -> None:
    stage.machines.links.drop(*_pairs(stage, words))
    _note(stage, "drop", words, "one-way drop" if ">" in "".join(words) else "drop")


def _note(stage: Stage, kind: str, words: Words, point: str) -> None:
    for host in _harmed(stage, words):
        stage.harm("network", host)
    stage.fault(OUTSIDE, f"{kind} {' '.join(words)}", point)


async def _mend(stage: Stage, words: Words) -> None:
    if words == ("all",):
        stage.machines.links.heal()
        stage.mended("network")
    else:
        links = stage.machines.links
        for pair in _pairs(stage, words):
            links.mend(pair)
            if links.link(*pair).bytes_per_second is not None:
                links.set_bandwidth(pair, None)
        for host in _harmed(stage, words):
            stage.mended("network", host)
    stage.tell(OUTSIDE, f"mend {' '.join(words)}")


async def _reset(stage: Stage, words: Words) -> None:
    stage.machines.links.reset(*_pairs(stage, words))
    for host in _harmed(stage, words):
        stage.harm("reset", host)
    stage.fault(OUTSIDE, f"reset {' '.join(words)}", "reset")
    for host in _harmed(stage, words):
        stage.mended("reset", host)


async def _latency(stage: Stage, words: Words) -> None:
    *links, least, most = words
    low, high = parse_seconds(least), parse_seconds(most)
    for pair in _pairs(stage, links):
        stage.machines.links.set_latency(pair, low, high)
    _slows(stage, links, high)
    stage.fault(OUTSIDE, f"latency {' '.join(words)}", "latency")


def _slows(stage: Stage, links: list[str], seconds: float) -> None:
    """A link that takes long leaves its machine without its cluster."""
    if seconds > SLOW_NETWORK_SECONDS:
        for host in _harmed(stage, tuple(links)):
            stage.harm("network", host)


async def _bandwidth(stage: Stage, words: Words) -> None:
    *links, rate = words
    if not rate.isdigit() or not int(rate):
        raise ScenarioError("write: bandwidth LINK... BYTES_PER_SECOND")
    for pair in _pairs(stage, links):
        stage.machines.links.set_bandwidth(pair, int(rate))
    for host in _harmed(stage, tuple(links)):
        stage.harm("network", host)
    stage.fault(OUTSIDE, f"bandwidth {' '.join(words)}", "bandwidth")


async def _buffer(stage: Stage, words: Words) -> None:
    *links, size = words
    if not size.isdigit() or not int(size):
        raise ScenarioError("write: buffer LINK... BYTES")
    for pair in _pairs(stage, links):
        stage.machines.links.set_buffer(pair, int(size))
    stage.fault(OUTSIDE, f"buffer {' '.join(words)}", "small buffer")


async def _flap(stage: Stage, words: Words) -> None:
    *links, seconds, count = words
    period = parse_seconds(seconds)
    if not count.isdigit():
        raise ScenarioError("write: flap LINK... SECONDS COUNT")
    pairs = list(_pairs(stage, links))
    for host in _harmed(stage, tuple(links)):
        stage.harm("network", host)
    for _ in range(int(count)):
        stage.machines.links.cut(*pairs)
        stage.fault(OUTSIDE, f"flap {' '.join(links)}", "flap")
        await trio.sleep(period)
        stage.machines.links.mend(*pairs)
        await trio.sleep(period)
    for host in _harmed(stage, tuple(links)):
        stage.mended("network", host)


VERBS = by_name(
    Verb("cut", "LINK...", "Break connections, and refuse new ones, until `mend`.", _cut, 1),
    Verb("drop", "LINK...", "Let what is sent vanish without a word, until `mend`.", _drop, 1),
    Verb("mend", "LINK... | all", "Let links be well again.", _mend, 1),
    Verb("reset", "LINK...", "Break the connections that are open, once.", _reset, 1),
    Verb("latency", "LINK... LEAST MOST", "How long bytes are under way, in seconds.", _latency, 3),
    Verb("bandwidth", "LINK... BYTES_PER_SECOND", "How much a link carries.", _bandwidth, 2),
    Verb("buffer", "LINK... BYTES", "How much may be under way unread before a sender waits.", _buffer, 2),
    Verb("flap", "LINK... SECONDS COUNT", "Cut and mend links, again and again.", _flap, 3),
)
