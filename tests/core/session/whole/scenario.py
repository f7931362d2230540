"""Runs a scenario file: a text that drives the sides of a session, and says what each of them does.

tests/scenarios/README.md explains the format.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Literal
from unittest import mock

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session import lanes
from gossipnode.core.session.commands import (
    Command,
    FetchRecords,
    Finish,
    HalfClose,
    ReadLeaves,
    ReadTree,
    Write,
)
from gossipnode.core.session.tree_server import TreeServer
from tests.core.session.talk import Message, Session, Side, client_of, server_of
from tests.core.session.whole.scenario_text import SHOP, ScenarioError, Texts, items, key_of, listed, shown
from tests.core.support import Shelf

RULE = "----"
"""Divides a step from what it does."""

END = "end"
OnTheWay = Message | Literal["end"]


class ScriptedSide(Side):
    """A side that notes everything it does. Its store can be stopped."""

    def __init__(self, session: Session, shelf: Shelf, texts: Texts, *, tree_found: bool) -> None:
        super().__init__(session, shelf, tree_found=tree_found)
        self.texts = texts
        self.heard: deque[OnTheWay] = deque()
        """What the other side has said, and this one has not received yet."""
        self.said: deque[OnTheWay] = deque()
        self.notes: list[str] = []
        self.store_runs = True
        self.broken = False

    def act(self) -> None:
        """Do everything that can be done without another message."""
        try:
            while (
                self.step_send(lambda: True, self._say)
                or self.step_command()
                or self.step_write_begin()
                or (self.store_runs and self.step_write_end())
            ):
                pass
        except SessionViolationError as error:
            self._break(error)

    def hear_next(self) -> None:
        message = self.heard.popleft()
        self.notes.append("<- " + ("end of stream" if message == END else self.texts.message(message)))
        try:
            if message == END:
                self.session.peer_ended()
            else:
                self.session.receive(message)  # type: ignore[arg-type]
        except SessionViolationError as error:
            self._break(error)
        else:
            self.act()

    def _break(self, error: SessionViolationError) -> None:
        self.broken = True
        self.notes.append(f"   violation: {error}")

    def _say(self, message: Message) -> None:
        self.said.append(message)
        self.notes.append(f"-> {self.texts.message(message)}")

    def _carry_out(self, command: Command) -> None:
        match command:
            case ReadTree():
                root = shown(self.shelf.tree().root) if self.tree_found else "it holds none"
                self.notes.append(f"   reads its tree: {root}")
            case ReadLeaves(slot, after, limit):
                found = [self.shelf.records[leaf.entity] for leaf in self.shelf.leaves(slot, after, limit)]
                where = f"slot {slot}" + ("" if after is None else f" after {key_of(after)}")
                self.notes.append(f"   reads {limit} leaves of {where}: {self.texts.records(found)}")
            case FetchRecords(entities):
                self.notes.append(f"   reads records: {listed(map(key_of, entities))}")
            case HalfClose():
                self.said.append(END)
                self.notes.append("-> end of stream")
            case Finish(end):
                self.notes.append(f"   finishes: {end.value}")
                if isinstance(self.session, TreeServer):
                    self.said.append(END)
                    self.notes.append("-> end of stream")
        super()._carry_out(command)

    def step_write_begin(self) -> bool:
        begun = super().step_write_begin()
        if begun and not self.store_runs:
            assert self.in_store is not None
            self.notes.append(f"   writes {self.texts.records(self.in_store.records)}")
        return begun

    def _store(self, write: Write) -> list[WriteOutcome]:
        outcomes = super()._store(write)
        for new, outcome in zip(write.records, outcomes, strict=True):
            self.notes.append(f"   writes {self.texts.record(new)}: {outcome.value}")
        return outcomes


class Scenario:
    """The state of one scenario file while its steps are done."""

    def __init__(self, patches: ExitStack) -> None:
        self._patches = patches
        self._texts = Texts()
        self._sides: dict[str, ScriptedSide] = {}
        self._page_leaves = 10

    def do(self, step: str) -> list[str]:
        """Do one step; give the lines that say what came of it."""
        forms: tuple[tuple[str, Callable[..., list[str]]], ...] = (
            (r"new session", self._new_session),
            (r"set page_leaves (\d+)", self._set_page_leaves),
            (r"set (UNWRITTEN_MAX_RECORDS) (\d+)", self._set_limit),
            (r"(client|server) holds (.+)", self._holds),
            (r"(client) starts", self._starts),
            (r"(client|server) hears", self._hears),
            (r"(client|server) hears: (.+)", self._hears_made_up),
            (r"(client|server) store (stops|goes on)", self._store),
            (r"result", self._result),
        )
        for form, method in forms:
            match = re.fullmatch(form, step)
            if match is not None:
                return method(*match.groups())
        raise ScenarioError(f"{step!r} is no step")

    def _new_session(self) -> list[str]:
        self._sides.clear()
        return []

    def _set_page_leaves(self, number: str) -> list[str]:
        self._page_leaves = int(number)
        return []

    def _set_limit(self, limit: str, number: str) -> list[str]:
        self._patches.enter_context(mock.patch.object(lanes, limit, int(number)))
        return []

    def _holds(self, name: str, text: str) -> list[str]:
        """Give a side its records."""
        found = text != "no tree"
        records = [self._texts.parse_record(part) for part in (items(text) if found else [])]
        shelf = Shelf(records, shard=SHOP)
        make = client_of if name == "client" else server_of
        session = make(shelf, page_leaves=self._page_leaves)
        self._sides[name] = ScriptedSide(session, shelf, self._texts, tree_found=found)
        if len(self._sides) == 2:
            client, server = self._sides["client"], self._sides["server"]
            client.heard, server.heard = server.said, client.said
        tree = shelf.tree()
        lines = [f"root {shown(tree.root)}"] if found else []
        for digest in tree.slots:
            leaves = [shelf.records[leaf.entity] for leaf in shelf.leaves(digest.slot, None, len(records))]
            lines.append(f"slot {digest.slot}={shown(digest.sha)}: {self._texts.records(leaves)}")
        return lines

    def _side(self, name: str) -> ScriptedSide:
        side = self._sides.get(name)
        if side is None or side.broken:
            raise ScenarioError(f"the {name} has no session")
        return side

    def _noted(self, side: ScriptedSide) -> list[str]:
        notes, side.notes = side.notes, []
        return notes

    def _starts(self, name: str) -> list[str]:
        side = self._side(name)
        side.act()
        return self._noted(side)

    def _hears(self, name: str) -> list[str]:
        side = self._side(name)
        if not side.heard:
            raise ScenarioError(f"nothing is on the way to the {name}")
        while side.heard and not side.broken and not side.finished:
            if side.session.unwritten_full:
                side.notes.append(f"   waits for the store, and leaves {len(side.heard)} unread")
                break
            side.hear_next()
        return self._noted(side)

    def _hears_made_up(self, name: str, text: str) -> list[str]:
        side = self._side(name)
        if text == "end of stream":
            side.heard.append(END)
        else:
            side.heard.append(self._texts.parse_message(text, from_server=name == "client"))
        return self._hears(name)

    def _store(self, name: str, what: str) -> list[str]:
        side = self._side(name)
        side.store_runs = what == "goes on"
        side.act()
        return self._noted(side)

    def _result(self) -> list[str]:
        lines: list[str] = []
        for name, side in sorted(self._sides.items()):
            end = "broken off" if side.broken else side.end.value if side.end else "not over"
            counts = side.session.counts
            line = f"{name}: {end}, sent {counts.sent}, received {counts.received}, skipped {counts.skipped}"
            reasons = [f"{reason}: {number}" for reason, number in counts.reasons.items()]
            lines.append(line + (f" ({', '.join(reasons)})" if reasons else ""))
            held = [side.shelf.records[entity] for entity in sorted(side.shelf.records)]
            lines.append(f"{name} holds {self._texts.records(held)}")
        roots = {side.shelf.tree().root for side in self._sides.values()}
        if len(self._sides) == 2:
            lines.append("the roots are equal" if len(roots) == 1 else "the roots differ")
        return lines


def run(text: str) -> str:
    """Do the steps of a scenario; give its text with what they really do in place of what it says."""
    lines = deque(text.splitlines())
    result: list[str] = []
    with ExitStack() as patches:
        scenario = Scenario(patches)
        number = 0
        while lines:
            line = lines.popleft()
            number += 1
            result.append(line)
            if not line or line.startswith("#"):
                continue
            try:
                output = scenario.do(line)
            except ScenarioError as error:
                raise ScenarioError(f"line {number}: {error}") from None
            if output:
                result += [RULE, *output]
            number += _skip_output(lines)
    return "\n".join(result) + "\n"


def without_output(text: str) -> str:
    """The comments and steps of a scenario alone."""
    return "\n".join(_kept(text.splitlines())) + "\n"


def _kept(all_lines: list[str]) -> Iterator[str]:
    lines = deque(all_lines)
    while lines:
        yield lines.popleft()
        _skip_output(lines)


def _skip_output(lines: deque[str]) -> int:
    skipped = 0
    if lines and lines[0] == RULE:
        while lines and lines[0]:
            lines.popleft()
            skipped += 1
    return skipped
