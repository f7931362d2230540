"""A history as one HTML page: a lane for each node and client, along the time of the run.

What was wrong is a band, what a client did is a bar, coloured by how it ended, and what is violated stands at
the top. Texts of a history come from clients and peers, so all of them are escaped here, in `_text`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import inf

from gossipnode.observe.printable import printable
from gossipnode.sim.checks.verdict import Violation
from gossipnode.sim.history.history import History, Period, RoundSeen
from gossipnode.sim.history.operation_words import asked_words, counted, heard_words, outcome_of
from gossipnode.sim.history.operations import Operation
from gossipnode.sim.history.page_frame import page
from gossipnode.sim.history.story import (
    CLUSTER,
    Mark,
    event_lines,
    history_text,
    hop_words,
    round_words,
    seconds,
    violation_words,
)

VIOLATIONS_MAX = 5
"""How many violations of one check the page shows. The text below it has all of them."""

PAGE_PIXELS = 1100
"""How wide a whole run is when the page opens."""

TICKS_MAX = 40
"""How many times stand along the top."""

ROWS_MAX = 6
"""How many things of one time a lane shows below each other."""

NARROWEST_SHARE = 1 / 120
"""Of the run: how much of a row a thing takes at least, so that its neighbour does not hide it."""


@dataclass(frozen=True, slots=True)
class Item:
    """A bar or a point in a lane."""

    begins: float
    ends: float
    classes: str
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """What is drawn beside one name. Bands stand behind the items."""

    name: str
    kind: str
    bands: Sequence[Item]
    items: Sequence[Item]


def history_page(
    history: History, violations: Sequence[Violation] = (), title: str = "a simulated run"
) -> str:
    """The whole page."""
    length = _length(history, violations)
    scale = PAGE_PIXELS / length
    first, left_out = _first_ones(violations)
    drawn = "\n".join(_lane(lane, first, length) for lane in _lanes(history, first, length))
    content = f"""<header>
<h1>{_text(title)}</h1>
<p>{_text(_summary(history, length))}</p>
{_violations(first, left_out)}
<p class="legend">Operations:{_legend(_OPERATION_COLOURS)}<br>Else:{_legend(_OTHER_COLOURS)}</p>
<div id="tools"><button type="button" id="closer">+</button><button type="button" id="farther">−</button>
<button type="button" id="whole">whole run</button>
<input id="words" type="search" placeholder="show only what names ..." aria-label="what to show"></div>
</header>
<div id="lanes" data-length="{length:g}" data-scale="{scale:g}" style="--scale:{scale:g};--length:{length:g}">
{_ticks(length)}
{drawn}
</div>
<details><summary>The whole story as text</summary>
<pre>{escape(history_text(history, violations))}</pre></details>
<div id="about" aria-live="polite">Point at something, or tap it, to read what it is.</div>"""
    return page(title, content)


_OPERATION_COLOURS = {
    "done": "acknowledged",
    "refused": "failed",
    "unknown": "failed, may have happened",
    "open": "no answer",
}
_OTHER_COLOURS = {
    "round": "round",
    "fault": "fault",
    "bad": "error",
    "plain": "event",
    "harm": "machine unwell",
    "unwell": "something is wrong",
    "unserved": "maybe no majority",
}


def _legend(colours: Mapping[str, str]) -> str:
    return "".join(f'<span><i class="{name}"></i>{meaning}</span> ' for name, meaning in colours.items())


def _text(text: str) -> str:
    return escape(printable(text), quote=True)


def _length(history: History, violations: Iterable[Violation]) -> float:
    """How long the run was, in seconds, but never nothing."""
    times = [event.time for event in history.events]
    times += [
        operation.began if operation.ended is None else operation.ended for operation in history.operations
    ]
    times += [seen.ended for seen in history.rounds]
    times += [harm.begins if harm.ends == inf else harm.ends for harm in history.harms]
    times += [violation.time for violation in violations]
    return max([0.001, *(time for time in times if time != inf)])


def _summary(history: History, length: float) -> str:
    groups = ", ".join(f"{name} on {replicas} replicas" for name, replicas in history.groups.items())
    return (
        f"Nodes {', '.join(history.nodes)}. Groups: {groups or 'none'}. "
        f"{counted(len(history.operations), 'operation')} and {counted(len(history.rounds), 'round')} "
        f"in {length:.1f} s of virtual time."
    )


def _violations(violations: Sequence[Violation], left_out: Mapping[str, int]) -> str:
    if not violations:
        return '<p class="well">No check is violated.</p>'
    rows = "\n".join(
        f'<li><button type="button" data-time="{_time(violation.time):g}">'
        f"{_text(violation_words(violation))}</button></li>"
        for violation in violations
    )
    rest = ", ".join(f"{number} more of {_text(check)}" for check, number in left_out.items())
    more = f"<p>and {rest}: the text below has them</p>" if rest else ""
    return f'<section class="violated"><h2>Violated</h2><ol>\n{rows}\n</ol>{more}</section>'


def _first_ones(violations: Iterable[Violation]) -> tuple[list[Violation], dict[str, int]]:
    """The first violations of each check, and how many others of which check there are."""
    first: list[Violation] = []
    found: Counter[str] = Counter()
    for violation in violations:
        found[violation.check] += 1
        if found[violation.check] <= VIOLATIONS_MAX:
            first.append(violation)
    return first, {check: times - VIOLATIONS_MAX for check, times in found.items() if times > VIOLATIONS_MAX}


def _time(time: float) -> float:
    return time if time != inf else 0.0


# Lanes


def _lanes(history: History, violations: Sequence[Violation], length: float) -> Iterator[Lane]:
    shown = {number for violation in violations for number in violation.operations}
    clients = list(dict.fromkeys(operation.client for operation in history.operations))
    others = [*(line.lane for line in event_lines(history)), *(harm.host for harm in history.harms)]
    rest = sorted({*others, *(seen.origin for seen in history.rounds)} - {*history.nodes, *clients, CLUSTER})
    yield _cluster_lane(history, violations, length)
    for name in [*history.nodes, *rest, *clients]:
        bands = [
            Item(harm.begins, harm.ends, "harm", f"{name}: {harm.kind}")
            for harm in history.harms
            if harm.host == name
        ]
        kind = "node" if name in history.nodes else "client" if name in clients else ""
        yield Lane(name, kind, bands, list(_items(history, name, shown)))


def _cluster_lane(history: History, violations: Sequence[Violation], length: float) -> Lane:
    bands = [
        *_gaps(history.calm, length, "unwell", "something is wrong"),
        *_gaps(history.served, length, "unserved", "a shard may have no majority"),
    ]
    items = [
        Item(violation.time, violation.time, "bad point", violation_words(violation))
        for violation in violations
    ]
    return Lane(CLUSTER, "", bands, [*items, *_items(history, CLUSTER, set())])


def _gaps(periods: Iterable[Period], length: float, classes: str, text: str) -> Iterator[Item]:
    """The times between periods. A run that noted no period at all has no gaps either."""
    since: float | None = None
    for period in periods:
        if since is not None or period.begins > 0:
            yield Item(since or 0.0, period.begins, classes, text)
        since = period.ends
    if since is not None and since < length:
        yield Item(since, length, classes, text)


_MARK_CLASSES = {Mark.FAULT: "fault", Mark.BAD: "bad"}


def _items(history: History, lane: str, shown: set[int]) -> Iterator[Item]:
    for seen in history.rounds:
        if seen.origin == lane:
            yield Item(seen.began, seen.ended, "round", _round_text(seen))
    for line in event_lines(history):
        if line.lane == lane:
            classes = f"{_MARK_CLASSES.get(line.mark, 'plain')} point"
            yield Item(line.time, line.time, classes, f"{seconds(line.time)} {lane}: {line.text}")
    for operation in history.operations:
        if operation.client == lane:
            yield _operation_item(operation, operation.number in shown)


def _round_text(seen: RoundSeen) -> str:
    times = f"{seconds(seen.began)} to {seconds(seen.ended)}, from {seen.origin}"
    return " | ".join([f"{times}: {round_words(seen)}", *hop_words(seen)])


def _operation_item(operation: Operation, shown: bool) -> Item:
    ends = inf if operation.ended is None else operation.ended
    text = (
        f"{seconds(operation.began)} to {seconds(ends)}, {operation.client}: {asked_words(operation)}"
        f" | {heard_words(operation)}"
    )
    return Item(operation.began, ends, outcome_of(operation).value + (" shown" if shown else ""), text)


# Drawing


def _lane(lane: Lane, violations: Sequence[Violation], length: float) -> str:
    placed, rows = _placed(lane.items, length * NARROWEST_SHARE, length)
    parts = [
        f'<button type="button" class="band {band.classes}" style="{_place(band, length)}" '
        f'title="{_text(_band_text(band))}">{_text(band.text.rpartition(": ")[2])}</button>'
        for band in lane.bands
    ]
    parts += [f'<i class="line" style="--t:{_time(violation.time):.6f}"></i>' for violation in violations]
    parts += [
        f'<button type="button" class="item {item.classes}" style="{_place(item, length)};--r:{row}" '
        f'title="{_text(item.text)}" aria-label="{_text(item.text)}"></button>'
        for item, row in placed
    ]
    inside = "\n".join(parts)
    return (
        f'<div class="lane"><div class="name">{_text(lane.name)}<small>{lane.kind}</small></div>'
        f'<div class="track" style="--rows:{rows}">\n{inside}\n</div></div>'
    )


def _band_text(band: Item) -> str:
    return f"{seconds(band.begins)} to {seconds(band.ends)}: {band.text}"


def _place(item: Item, length: float) -> str:
    begins = min(item.begins, length)
    return f"--t:{begins:.6f};--d:{max(0.0, min(item.ends, length) - begins):.6f}"


def _placed(items: Iterable[Item], least: float, length: float) -> tuple[list[tuple[Item, int]], int]:
    """Each item with its row, so that items of one time stand below each other; and how many rows.

    Where more things happen at a time than there are rows, the last row has one item for the rest of them.
    """
    free: list[float] = []
    placed: list[tuple[Item, int]] = []
    last = -1
    for item in sorted(items, key=lambda item: item.begins):
        until = max(min(item.ends, length), item.begins + least)
        row = next((row for row, time in enumerate(free) if time <= item.begins), len(free))
        if row == ROWS_MAX:
            placed[last] = (_together(placed[last][0], item), row - 1)
            free[row - 1] = max(free[row - 1], until)
            continue
        if row == len(free):
            free.append(until)
        free[row] = until
        if row == ROWS_MAX - 1:
            last = len(placed)
        placed.append((item, row))
    return placed, max(1, len(free))


def _together(one: Item, other: Item) -> Item:
    """Two items as one. It looks as the first does, unless only the second shows a violation or an error."""
    matters = [item for item in (one, other) if {"shown", "bad"} & set(item.classes.split())]
    classes = (matters or [one])[0].classes
    return Item(one.begins, max(one.ends, other.ends), classes, f"{one.text} | {other.text}")


def _ticks(length: float) -> str:
    step = next(
        step * 10.0**power
        for power in range(-4, 8)
        for step in (1, 2, 5)
        if step * 10.0**power * TICKS_MAX >= length
    )
    count = int(length / step) + 1
    ticks = "\n".join(f'<i class="tick" style="--t:{at * step:g}">{at * step:g} s</i>' for at in range(count))
    return (
        '<div class="lane"><div class="name">time</div>'
        f'<div class="track" style="--rows:1;min-height:1.5rem">\n{ticks}\n</div></div>'
    )
