"""What operators and stray nodes do to the members, and to the groups."""

from __future__ import annotations

from gossipnode.sim.scenario.faults.client_faults import two_of_a_name
from gossipnode.sim.scenario.faults.episode import Episode, Steps


def move(e: Episode) -> Steps:
    """A node comes back at another address."""
    away = f"{e.host}{e.number}"
    return [e.step(0, "move", e.host, away), e.step(1, "move", away, e.host)]


def twin(e: Episode) -> Steps:
    """A second node of the same name is started while the first one is cut off."""
    if e.rng.random() < 0.6:
        return two_of_a_name(e)
    twin = f"{e.host}{e.number}"
    last = e.rng.choice((0.4, 0.7, 1.0))
    return [
        e.step(0, "cut", f"{e.host}-*"),
        e.step(0.1, "twin", e.host, twin, *e.rng.choice(((), ("through", e.other)))),
        e.step(last - 0.1, "mend", f"{e.host}-*"),
        e.step(1, "crash", twin),
    ]


def join(e: Episode) -> Steps:
    """Nodes join."""
    through, count = e.other, e.rng.choice((1, 1, 2, 3))
    steps = [e.step(0.3, "join", f"n{e.number}{'xyz'[each]}", "through", through) for each in range(count)]
    if e.rng.random() < 0.5:
        links = [f"{e.host}-{through}", *(f"{e.host}-{step.arguments[0]}" for step in steps)]
        steps += [e.step(0.2, "cut", *links), e.step(1, "mend", *links)]
    return steps


def forget(e: Episode) -> Steps:
    """A member is forgotten."""
    return [e.step(0.3, "forget", e.host, "at", e.other)]


def forget_two(e: Episode) -> Steps:
    """Two members are forgotten, one right after the other."""
    first, *rest = [e.host, *e.rng.sample(list(e.others), min(3, len(e.others)))]
    second, third, teller = [*rest, first, first, first][:3]
    return [
        e.step(0, "cut", f"{third}-*"),
        e.step(0.5, "mend", f"{third}-*"),
        e.step(0.51, "forget", first, "at", teller),
        e.step(0.52, "forget", second, "at", teller),
    ]


def rejoin(e: Episode) -> Steps:
    """A member is forgotten, and comes back with an empty disk."""
    return [
        e.step(0, "forget", e.host, "at", e.other),
        e.step(0.5, "crash", e.host),
        e.step(0.6, "wipe", e.host, "if-settled"),
        e.step(0.7, "reinstate", e.host, "through", e.other),
    ]


def groups(e: Episode) -> Steps:
    """Groups are created, altered and deleted."""
    name = f"g{e.number % 3}"
    last = e.rng.choice(("drop-group", "alter", "none"))
    steps = [e.step(0, "create", f"{name}:2:3", "at", e.host)]
    steps += [e.step(0.2, "apply", e.other, f"{name}/n/1", f"g={e.number}")]
    if last == "drop-group":
        steps.append(e.step(1, "drop-group", name, "at", e.other))
    elif last == "alter":
        steps.append(e.step(1, "alter", name, "all", "at", e.other))
    return steps


def groups_apart(e: Episode) -> Steps:
    """Groups are changed at a member that is cut off, too."""
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
