"""Records and messages as they are written in scenario files, and back.

tests/scenarios/README.md explains the forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    RootCompare,
    TreeRoot,
    TreeSlots,
    Unreadable,
    WaitNextDiffer,
)
from gossipnode.core.session.tree import SlotDigest
from tests.core.session.talk import Message
from tests.core.support import record, sha_of

SHOP = ShardId("shop", 0)
NAME = "price"
SHOWN_DIGITS = 6
"""Digits of a digest that a scenario shows."""

_RECORD = re.compile(
    r"(?P<key>[^@=\s]+)@(?P<revision>\d+)(?: deleted@(?P<deleted>\d+))?(?: = (?P<content>\w+))?"
)
_VERDICTS = {
    "equal": RootCompare(tree_found=True, root_match=True),
    "differ": RootCompare(tree_found=True, root_match=False),
    "not found": RootCompare(tree_found=False, root_match=False),
}


class ScenarioError(Exception):
    """A line of a scenario file that nobody can understand."""


def items(text: str) -> list[str]:
    """The parts of a list; "nothing" is the empty list."""
    return [] if text in ("", "nothing") else [part.strip() for part in text.split(",")]


def listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "nothing"


def key_of(entity: Entity) -> str:
    """An entity in short: just its id, when group and name are those of every scenario."""
    return entity.id if entity[:2] == (SHOP.group, NAME) else entity.text


def shown(digest: str) -> str:
    return digest[:SHOWN_DIGITS] or "empty"


class Texts:
    """Turns records and messages into text and back. It remembers the records, to name leaves by them."""

    def __init__(self) -> None:
        self._by_sha: dict[str, str] = {}
        self._contents: dict[bytes, str] = {}

    # Records

    def parse_record(self, text: str) -> Record:
        match = _RECORD.fullmatch(text)
        if match is None:
            raise ScenarioError(f"{text!r} is no record: expected KEY@REVISION [deleted@TIME] [= CONTENT]")
        key = match["key"].split("/", 2)
        group, name, id_ = key if len(key) == 3 else (SHOP.group, NAME, match["key"])
        content = match["content"] or ""
        deleted = int(match["deleted"] or 0)
        made = record(id_, int(match["revision"]), content, deleted=deleted, name=name, group=group)
        self._contents[made.version.digest] = content
        self._by_sha[sha_of(made)] = self.record(made)
        return made

    def record(self, given: Record) -> str:
        version = given.version
        deleted = f" deleted@{version.delete_time}" if version.delete_time else ""
        content = self._contents[version.digest]
        shown_content = f" = {content}" if content else ""
        return f"{key_of(given.entity)}@{version.mod_revision}{deleted}{shown_content}"

    def records(self, given: Iterable[Record]) -> str:
        return listed(map(self.record, given))

    def leaf(self, key: str, sha: str) -> str:
        return self._by_sha.get(sha, f"{key}#{shown(sha)}")

    # Messages

    def message(self, given: Message) -> str:
        match given:
            case TreeRoot(group, shard, sha):
                return f"tree_root {group}/{shard} {shown(sha)}"
            case TreeSlots(slots):
                return "tree_slots " + (" ".join(f"{each.slot}={shown(each.sha)}" for each in slots) or "end")
            case PropertyMissing(entity):
                return f"property_missing {entity.removeprefix(f'{SHOP.group}/{NAME}/')}"
            case PropertySync(content):
                return f"property_sync {self._content(content)}"
            case WaitNextDiffer():
                return "wait_next_differ"
            case RootCompare():
                return f"root_compare {next(word for word, each in _VERDICTS.items() if each == given)}"
            case DifferSummary(leaves):
                return f"differ_tree_summary {self._page(leaves)}"
            case PropertyAnswer(answer_to, content):
                return f"property_sync {answer_to.name} {self._content(content)}"
        raise AssertionError(given)

    def _content(self, content: Record | Unreadable) -> str:
        return "unreadable" if isinstance(content, Unreadable) else self.record(content)

    def _page(self, leaves: Sequence[PageLeaf]) -> str:
        parts = []
        for (slot, exists), group in groupby(leaves, key=lambda leaf: (leaf.slot, leaf.exists)):
            texts = [self.leaf(leaf.entity.rpartition("/")[2], leaf.sha) for leaf in group]
            parts.append(f"slot {slot}: " + (", ".join(texts) if exists else "lacking"))
        return "; ".join(parts) or "end"

    def parse_message(self, text: str, *, from_server: bool) -> Message:
        """Read a message that a file makes up. `property_sync` has two forms, by who says it."""
        kind, _, rest = text.partition(" ")
        if kind == "tree_root":
            shard, _, sha = rest.partition(" ")
            group, _, number = shard.partition("/")
            return TreeRoot(group, int(number), "" if sha == "empty" else sha)
        if kind == "tree_slots":
            pairs = [] if rest == "end" else [part.partition("=") for part in rest.split()]
            return TreeSlots(tuple(SlotDigest(int(slot), sha) for slot, _, sha in pairs))
        if kind == "property_missing":
            return PropertyMissing(rest if "/" in rest else f"{SHOP.group}/{NAME}/{rest}")
        if kind == "property_sync" and from_server:
            answer_to, _, content = rest.partition(" ")
            return PropertyAnswer(AnswerTo[answer_to], self._parse_content(content))
        if kind == "property_sync":
            return PropertySync(self._parse_content(rest))
        if kind == "wait_next_differ":
            return WaitNextDiffer()
        if kind == "root_compare" and rest in _VERDICTS:
            return _VERDICTS[rest]
        if kind == "differ_tree_summary":
            return DifferSummary(() if rest == "end" else self._parse_page(rest))
        raise ScenarioError(f"{text!r} is no message")

    def _parse_content(self, text: str) -> Record | Unreadable:
        return Unreadable("made up") if text == "unreadable" else self.parse_record(text)

    def _parse_page(self, text: str) -> tuple[PageLeaf, ...]:
        leaves: list[PageLeaf] = []
        for part in text.split(";"):
            match = re.fullmatch(r"slot (-?\d+): (.+)", part.strip())
            if match is None:
                raise ScenarioError(f"{part!r} is no part of a page: expected slot NUMBER: LEAVES")
            slot = int(match[1])
            if match[2] == "lacking":
                leaves.append(PageLeaf(slot, False, "", ""))
                continue
            for each in map(self.parse_record, items(match[2])):
                leaves.append(PageLeaf(slot, True, each.entity.text, sha_of(each)))
        return tuple(leaves)
