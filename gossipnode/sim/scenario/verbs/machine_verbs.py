"""Verbs of machines: their processes, processors and clocks."""

from __future__ import annotations

from collections.abc import Iterable

from gossipnode.sim.history.history import CLOCK, DOWN, NodeEnded
from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name

# Processes


async def crash(stage: Stage, words: Words) -> None:
    """End a node as kill -9 does."""
    await end(stage, words[0], "crash", told=True)


async def _power(stage: Stage, words: Words) -> None:
    await end(stage, words[0], "power cut", told=False)


async def end(stage: Stage, host: str, point: str, *, told: bool) -> None:
    """End a node without its doing; `point` names the way. Its peers are `told`, or not."""
    stage.machine(host)
    stage.harm(DOWN, host)
    stage.fault(host, point, point)
    await stage.machines.crash(host, told=told)


async def _stop(stage: Stage, words: Words) -> None:
    host = words[0]
    stage.machine(host)
    stage.harm(DOWN, host)
    stage.fault(host, "stop", "stop")
    await stage.machines.stop(host)


async def restart(stage: Stage, words: Words) -> Iterable[str]:
    """Start the node of a machine, if it does not run."""
    host = words[0]
    if stage.machine(host).running:
        return ["ok", "running"]
    stage.tell(host, "starts")
    problem = await stage.machines.start(host)
    if problem:
        return ["fails", problem]
    stage.mended(DOWN, host)
    stage.mended("moved", host)
    stage.mended("paused", host)
    return ["ok", "started"]


async def _pause(stage: Stage, words: Words) -> None:
    host = words[0]
    stage.machine(host)
    stage.harm("paused", host)
    stage.fault(host, "pause", "pause")
    stage.scheduler.stop(host)


async def _resume(stage: Stage, words: Words) -> None:
    host = words[0]
    stage.machine(host)
    stage.tell(host, "goes on")
    stage.scheduler.go_on(host)
    stage.mended("paused", host)


async def _slow(stage: Stage, words: Words) -> None:
    host, seconds = words[0], parse_seconds(words[1])
    stage.machine(host)
    stage.scheduler.slow(host, seconds)
    if seconds:
        stage.harm("slow", host)
        stage.fault(host, f"some steps take {seconds} s", "slow processor")
    else:
        stage.mended("slow", host)


async def _move(stage: Stage, words: Words) -> Iterable[str]:
    host, new = words
    machine = stage.machine(host)
    if machine.running:
        await end(stage, host, "crash", told=True)
    stage.mended(DOWN, host)
    # Whoever asks at the old address finds nobody there.
    stage.harm("moved", host)
    stage.machines.move(host, new)
    stage.harm(DOWN, new)
    stage.fault(new, f"comes with the disk of {host}", "new address")
    return await restart(stage, (new,))


async def _twin(stage: Stage, words: Words) -> Iterable[str]:
    host, new, *rest = words
    machine = stage.machine(host)
    twin = stage.machines.add(new, machine.node_name, through=rest[-1] if rest else machine.through)
    twin.twin = twin.may_end = True
    if rest:
        # Its operator holds all others of the name for lost, and these then have to go.
        twin.settings["cluster.replace"] = True
        for other in stage.machines.of_name(machine.node_name):
            other.may_end = True
    stage.harm("twin", host)
    stage.fault(new, f"starts as a second {machine.node_name}, with an empty disk", "twin")
    result = await restart(stage, (new,))
    if rest and twin.node is not None:
        # It is the member now, and the first one is the second.
        for other in stage.machines.of_name(machine.node_name):
            other.twin = other is not twin
            if other.twin and not other.running:
                # Nobody starts it again. Clients have to ask the new one.
                stage.history.ended_nodes.append(
                    NodeEnded(stage.now, other.host, f"replaced by {new}", expected=True, forgotten=True)
                )
        twin.may_end = False
        del twin.settings["cluster.replace"]
    return result


_LISTS = ("groups", "cluster.peers", "cluster.join")
"""Settings that are lists."""


async def _settings(stage: Stage, words: Words) -> None:
    host, key, *values = words
    machine = stage.machine(host)
    machine.settings[key] = list(values) if key in _LISTS else values[0]
    machine.may_end = True  # what does not fit the cluster is refused
    stage.fault(host, f"has {key} = {' '.join(values)} from its next start on", "other settings")


# Clocks


async def _clock(stage: Stage, words: Words) -> None:
    host, text = words
    stage.machine(host)
    stage.machines.clocks.jump(host, _signed(text))
    _wrong_clock(stage, host, f"its clock jumps by {text} s", "clock jump")


async def _skew(stage: Stage, words: Words) -> None:
    host, text = words
    stage.machine(host)
    stage.machines.clocks.skew(host, _signed(text))
    _wrong_clock(stage, host, f"its clock is wrong by {text} s", "wrong clock")


async def _drift(stage: Stage, words: Words) -> None:
    host, text = words
    stage.machine(host)
    stage.machines.clocks.drift(host, int(_signed(text)))
    _wrong_clock(stage, host, f"its clock drifts by {text} parts in a million", "clock drift")


def _wrong_clock(stage: Stage, host: str, told: str, point: str) -> None:
    """A clock was touched. If it is right again, that is over."""
    if stage.machines.clocks.is_right(host):
        stage.mended(CLOCK, host)
        stage.tell(host, told)
    else:
        stage.harm(CLOCK, host)
        stage.fault(host, told, point)


def _signed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ScenarioError(f"{text!r} is no number: write +2.5 or -3") from None


VERBS = by_name(
    Verb("crash", "HOST", "End a node as kill -9 does.", crash, 1, 1),
    Verb("power", "HOST", "End a node as a power cut does: its peers are not told.", _power, 1, 1),
    Verb("stop", "HOST", "Ask a node to end, as SIGTERM does.", _stop, 1, 1),
    Verb("restart", "HOST", "Start the node of a machine, if it does not run.", restart, 1, 1),
    Verb("pause", "HOST", "Let a node stand still, as SIGSTOP does.", _pause, 1, 1),
    Verb("resume", "HOST", "Let a node that stands still go on.", _resume, 1, 1),
    Verb("slow", "HOST SECONDS", "Let some steps of a node take this long; 0: no more.", _slow, 2, 2),
    Verb("move", "HOST NEW", "Start a node with its disk at another address.", _move, 2, 2),
    Verb(
        "twin",
        "HOST NEW [through MEMBER]",
        "Start a second node of the same name, with an empty disk; it may take the place of the first.",
        _twin,
        2,
        4,
    ),
    Verb("settings", "HOST KEY VALUE...", "Another setting, from the next start on.", _settings, 3),
    Verb("clock", "HOST SECONDS", "Let a clock jump by +N or -N seconds.", _clock, 2, 2),
    Verb("skew", "HOST SECONDS", "Let a clock be wrong by +N or -N seconds.", _skew, 2, 2),
    Verb(
        "drift", "HOST PPM", "Let a clock run fast, or slow, by this many parts in a million.", _drift, 2, 2
    ),
)
