"""The faults that a random schedule may hold: each an episode of steps that begins, lasts, and is over."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gossipnode.sim.scenario.scenario import Step


@dataclass(frozen=True, slots=True)
class Episode:
    """What an episode of a fault is made of."""

    rng: random.Random
    begins: float
    ends: float
    host: str
    """The machine that it befalls."""
    others: Sequence[str]
    """All other machines of the configuration."""
    number: int
    """Tells it from all other episodes of the run."""

    def step(self, part: float, verb: str, *arguments: str) -> Step:
        """A step when `part` of the episode is over: 0 is its beginning and 1 its end."""
        return Step(round(self.begins + part * (self.ends - self.begins), 3), verb, arguments)

    @property
    def other(self) -> str:
        """One of the other machines."""
        return self.rng.choice(self.others)


Steps = list[Step]


def _crash(e: Episode) -> Steps:
    return [e.step(0, "crash", e.host), e.step(1, "restart", e.host)]


def _quick_crash(e: Episode) -> Steps:
    return [step for part in (0.0, 0.3, 0.6) for step in _at_once(e, part)]


def _at_once(e: Episode, part: float) -> Steps:
    return [e.step(part, "crash", e.host), e.step(part + 0.02, "restart", e.host)]


def _power(e: Episode) -> Steps:
    return [e.step(0, "power", e.host), e.step(1, "restart", e.host)]


def _stop(e: Episode) -> Steps:
    return [e.step(0, "stop", e.host), e.step(1, "restart", e.host)]


def _pause(e: Episode) -> Steps:
    return [e.step(0, "pause", e.host), e.step(1, "resume", e.host)]


def _slow(e: Episode) -> Steps:
    seconds = e.rng.choice(("0.05", "0.2", "1"))
    return [e.step(0, "slow", e.host, seconds), e.step(1, "slow", e.host, "0")]


def _cut(e: Episode) -> Steps:
    link = e.rng.choice((f"{e.host}-*", f"{e.host}-{e.other}"))
    return [e.step(0, "cut", link), e.step(1, "mend", link)]


def _one_way(e: Episode) -> Steps:
    link = e.rng.choice((f"{e.host}>*", f"*>{e.host}", f"{e.host}>{e.other}"))
    verb = e.rng.choice(("cut", "drop"))
    return [e.step(0, verb, link), e.step(1, "mend", link)]


def _drop(e: Episode) -> Steps:
    link = e.rng.choice((f"{e.host}-*", f"{e.host}-{e.other}"))
    return [e.step(0, "drop", link), e.step(1, "mend", link)]


def _flap(e: Episode) -> Steps:
    period = e.rng.choice((0.2, 1.0, 3.0))
    count = max(1, int((e.ends - e.begins) / (2 * period)))
    return [e.step(0, "flap", f"{e.host}-*", f"{period:g}", f"{count}")]


def _reset(e: Episode) -> Steps:
    return [e.step(part, "reset", f"{e.host}-*") for part in (0.0, 0.4, 1.0)]


def _latency(e: Episode) -> Steps:
    most = e.rng.choice(("0.02", "0.2", "1.5"))
    return [
        e.step(0, "latency", f"{e.host}-*", "0.001", most),
        e.step(1, "latency", f"{e.host}-*", "0", "0.001"),
        e.step(1, "mend", f"{e.host}-*"),
    ]


def _bandwidth(e: Episode) -> Steps:
    rate = e.rng.choice(("500", "5000", "50000"))
    return [e.step(0, "bandwidth", f"{e.host}-*", rate), e.step(1, "mend", f"{e.host}-*")]


def _clock(e: Episode) -> Steps:
    jump = e.rng.choice((0.5, 2.0, 30.0, 3600.0)) * e.rng.choice((-1, 1))
    return [e.step(0, "clock", e.host, f"{jump:+g}"), e.step(1, "clock", e.host, f"{-jump:+g}")]


def _drift(e: Episode) -> Steps:
    drift = e.rng.choice((200, 5000)) * e.rng.choice((-1, 1))
    return [e.step(0, "drift", e.host, f"{drift:+d}"), e.step(1, "drift", e.host, "0")]


def _full(e: Episode) -> Steps:
    return [e.step(0, "full", e.host), e.step(1, "room", e.host)]


def _slow_disk(e: Episode) -> Steps:
    most = e.rng.choice(("0.05", "0.5", "4"))
    return [e.step(0, "commits", e.host, "0.001", most), e.step(1, "commits", e.host, "0", "0")]


def _fail(e: Episode) -> Steps:
    return [e.step(0, "fail", e.host, e.rng.choice(("1", "3"))), e.step(1, "restart", e.host)]


def _tear(e: Episode) -> Steps:
    return [e.step(0, "tear", e.host), e.step(1, "restart", e.host)]


def _flip(e: Episode) -> Steps:
    return [e.step(0, "flip", e.host)]


def _older_disk(e: Episode) -> Steps:
    steps = [e.step(0, "copy", e.host), e.step(0.8, "putback", e.host)]
    if e.rng.random() < 0.7:
        # What was acknowledged meanwhile is at a bare quorum, of which one member forgets it.
        other = e.other
        steps += [e.step(0.05, "cut", f"{other}-*"), e.step(0.85, "mend", f"{other}-*")]
        steps += [e.step(0.9, "cut", f"{e.other}-*"), e.step(1, "mend", "all")]
    return steps


def _empty_disk(e: Episode) -> Steps:
    return [e.step(0.5, "wipe", e.host)]


def _move(e: Episode) -> Steps:
    away = f"{e.host}{e.number}"
    return [e.step(0, "move", e.host, away), e.step(1, "move", away, e.host)]


def _twin(e: Episode) -> Steps:
    twin = f"{e.host}{e.number}"
    last = e.rng.choice((0.4, 0.7, 1.0))
    return [
        e.step(0, "cut", f"{e.host}-*"),
        e.step(0.1, "twin", e.host, twin),
        e.step(last - 0.1, "mend", f"{e.host}-*"),
        e.step(1, "crash", twin),
    ]


def _join(e: Episode) -> Steps:
    """One node joins or several at once, and in every other case a member hears of it late."""
    through, count = e.other, e.rng.choice((1, 1, 2, 3))
    steps = [e.step(0.3, "join", f"n{e.number}{'xyz'[each]}", "through", through) for each in range(count)]
    if e.rng.random() < 0.5:
        links = [f"{e.host}-{through}", *(f"{e.host}-{step.arguments[0]}" for step in steps)]
        steps += [e.step(0.2, "cut", *links), e.step(1, "mend", *links)]
    return steps


def _forget(e: Episode) -> Steps:
    return [e.step(0.3, "forget", e.host, "at", e.other)]


def _forget_two(e: Episode) -> Steps:
    """Two members are forgotten at once, after a third one has missed what they took."""
    first, *rest = [e.host, *e.rng.sample(list(e.others), min(3, len(e.others)))]
    second, third, teller = [*rest, first, first, first][:3]
    return [
        e.step(0, "cut", f"{third}-*"),
        e.step(0.5, "mend", f"{third}-*"),
        e.step(0.51, "forget", first, "at", teller),
        e.step(0.52, "forget", second, "at", teller),
    ]


def _rejoin(e: Episode) -> Steps:
    """A member is forgotten, and one of its name comes with an empty disk."""
    return [
        e.step(0, "forget", e.host, "at", e.other),
        e.step(0.5, "crash", e.host),
        e.step(0.6, "wipe", e.host),
    ]


def _groups(e: Episode) -> Steps:
    name = f"g{e.number % 3}"
    last = e.rng.choice(("drop-group", "alter", "none"))
    steps = [e.step(0, "create", f"{name}:2:3", "at", e.host)]
    steps += [e.step(0.2, "apply", e.other, f"{name}/n/1", f"g={e.number}")]
    if last == "drop-group":
        steps.append(e.step(1, "drop-group", name, "at", e.other))
    elif last == "alter":
        steps.append(e.step(1, "alter", name, "all", "at", e.other))
    return steps


def _groups_apart(e: Episode) -> Steps:
    """A group is changed at a member that is cut off, and in another way at the others."""
    name = f"h{e.number % 3}"
    there, here = e.host, e.other
    changes = e.rng.choice(
        (
            [e.step(0.4, "drop-group", name, "at", here), e.step(0.5, "alter", name, "one", "at", there)],
            [e.step(0.4, "drop-group", name, "at", there), e.step(0.5, "apply", here, f"{name}/n/2", "h=1")],
            [e.step(0.4, "alter", name, "all", "at", here), e.step(0.5, "alter", name, "one", "at", there)],
        )
    )
    begins = [e.step(0, "create", f"{name}:2:3", "at", here)]
    if e.rng.random() < 0.3:
        # Both sides create it, each without knowing of the other.
        begins = [e.step(0.35, "create", f"{name}:2:3", "at", here)]
        changes = [e.step(0.4, "create", f"{name}:3:3", "at", there)]
    writes = [
        e.step(part, "apply", node, f"{name}/n/1", f"{tag}={e.number}")
        for part, node, tag in ((0.1, here, "u"), (0.45, here, "v"), (0.6, there, "w"))
    ]
    cut = [e.step(0.3, "cut", f"{there}-*"), e.step(0.8, "mend", f"{there}-*")]
    return [*begins, *cut, *changes, *writes]


def _mute(e: Episode) -> Steps:
    """A node hears the others, and what it says is lost: again and again, for a short time."""
    link = f"{e.host}>*"
    parts = (0.0, 0.25, 0.5, 0.75)
    return [
        step for part in parts for step in (e.step(part, "drop", link), e.step(part + 0.15, "mend", link))
    ]


def _ahead(e: Episode) -> Steps:
    """A node whose clock is ahead reaches one other alone: its writes fail, and their stamps are high."""
    alone = e.other
    away = [f"{e.host}-{other}" for other in e.others if other != alone]
    ahead = e.rng.choice(("2", "30"))
    steps = [e.step(0, "clock", e.host, f"+{ahead}"), e.step(1, "clock", e.host, f"-{ahead}")]
    return steps + [e.step(part, verb, link) for link in away for part, verb in ((0.1, "cut"), (0.6, "mend"))]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: one sentence about it, and how an episode of it is made."""

    about: str
    make: Callable[[Episode], Steps]
    weight: int = 2
    """How often it comes in comparison with others."""


FAULT_KINDS: Final[Mapping[str, FaultKind]] = {
    "crash": FaultKind("A node is killed, and starts again later.", _crash, 4),
    "crash-loop": FaultKind("A node is killed and starts again at once, several times.", _quick_crash),
    "power": FaultKind("A machine loses power: nobody is told that its connections have ended.", _power),
    "stop": FaultKind("A node is asked to end, and starts again later.", _stop),
    "pause": FaultKind("A node stands still, and goes on later.", _pause, 3),
    "slow": FaultKind("Some steps of a node take long.", _slow),
    "cut": FaultKind("A machine is cut off, from all others or from one.", _cut, 4),
    "one-way": FaultKind("A machine is cut off in one direction.", _one_way, 3),
    "drop": FaultKind("What is sent to a machine and by it vanishes for a while.", _drop, 3),
    "flap": FaultKind("A machine is cut off again and again, for a short time.", _flap),
    "reset": FaultKind("The connections of a machine break.", _reset),
    "latency": FaultKind("Bytes are long under way.", _latency),
    "bandwidth": FaultKind("A machine's links carry few bytes.", _bandwidth, 1),
    "clock": FaultKind("A clock jumps, forward or back, and back again.", _clock),
    "drift": FaultKind("A clock is too fast or too slow.", _drift, 1),
    "full": FaultKind("A disk is full for a while.", _full),
    "slow-disk": FaultKind("Commits take long.", _slow_disk),
    "fail": FaultKind("Some commits fail.", _fail),
    "tear": FaultKind("A node dies in the middle of a commit.", _tear),
    "flip": FaultKind("A bit of a stored record flips.", _flip, 1),
    "older-disk": FaultKind("An older copy of a disk is put back.", _older_disk),
    "empty-disk": FaultKind("A disk comes back empty.", _empty_disk),
    "move": FaultKind("A node comes back at another address.", _move, 1),
    "twin": FaultKind("A second node of the same name is started while the first one is cut off.", _twin, 1),
    "join": FaultKind("Nodes join.", _join, 1),
    "forget": FaultKind("A member is forgotten.", _forget, 1),
    "forget-two": FaultKind("Two members are forgotten, one right after the other.", _forget_two, 1),
    "rejoin": FaultKind("A member is forgotten, and comes back with an empty disk.", _rejoin, 1),
    "groups": FaultKind("Groups are created, altered and deleted.", _groups),
    "groups-apart": FaultKind("Groups are changed at a member that is cut off, too.", _groups_apart),
    "mute": FaultKind("What a node says is lost, again and again.", _mute, 3),
    "ahead": FaultKind("A node with a clock that is ahead reaches one other alone.", _ahead, 2),
}
