"""Data recorded from a running peer (tests/golden), as values of the core.

The payload of a record here is its canonical JSON, which is the text that a leaf's sha covers.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from gossipnode.core.model.property import Entity, Record
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
    WaitNextDiffer,
)
from gossipnode.core.session.tree import SlotDigest
from tests.core.session.talk import Message
from tests.core.support import Shelf
from tests.records import bare_record

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
VECTORS = sorted(path.stem for path in (GOLDEN / "vectors").glob("*.json"))
TRANSCRIPTS = sorted(path.stem for path in (GOLDEN / "transcripts").glob("*.json"))

_CAMEL = {"create_revision": "createRevision", "mod_revision": "modRevision"}


@cache
def vector(name: str) -> Any:
    return json.loads((GOLDEN / "vectors" / f"{name}.json").read_text(encoding="utf-8"))


@cache
def transcript(name: str) -> Any:
    return json.loads((GOLDEN / "transcripts" / f"{name}.json").read_text(encoding="utf-8"))


def _record(property_: Any, delete_time: int) -> Record:
    """A record from ProtoJSON. The transcripts hold plain text only, whose compact form is canonical."""
    metadata = {_CAMEL.get(key, key): value for key, value in property_["metadata"].items()}
    whole = {**property_, "metadata": metadata}
    payload = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    entity = Entity(metadata["group"], metadata["name"], property_["id"])
    return bare_record(entity, payload, revision=int(metadata["modRevision"]), delete_time=delete_time)


def shelf(name: str, side: str) -> Shelf | None:
    """What a side ("client", "server") held before; None when no tree was built."""
    pairs = transcript(name)[side]
    return None if pairs is None else Shelf(_record(*pair) for pair in pairs)


def _synced(value: Any) -> Record:
    return _record(value["property"], int(value.get("delete_time", "0")))


def _message(side: str, kind: str, value: Any) -> Message:
    match side, kind:
        case "client", "tree_root":
            return TreeRoot(value["group"], value.get("shard_id", 0), value.get("root_sha", ""))
        case "client", "tree_slots":
            slots = value.get("slot_sha", [])
            return TreeSlots(tuple(SlotDigest(slot.get("slot", 0), slot["value"]) for slot in slots))
        case "client", "property_missing":
            return PropertyMissing(value["entity"])
        case "client", "property_sync":
            return PropertySync(_synced(value))
        case "client", "wait_next_differ":
            return WaitNextDiffer()
        case "server", "root_compare":
            return RootCompare(value.get("tree_found", False), value.get("root_sha_match", False))
        case "server", "differ_tree_summary":
            return DifferSummary(
                tuple(
                    PageLeaf(
                        node.get("slot_index", 0),
                        node.get("exists", False),
                        node.get("entity", ""),
                        node.get("sha", ""),
                    )
                    for node in value.get("nodes", [])
                )
            )
        case "server", "property_sync":
            answer_to = AnswerTo[value["from"].removeprefix("PROPERTY_SYNC_FROM_TYPE_")]
            return PropertyAnswer(answer_to, _synced(value["property"]))
    raise AssertionError(f"{side} {kind}")


def messages(name: str) -> list[tuple[str, Message]]:
    """(side, message) in the order recorded, without the ends of the streams."""
    return [
        (event["dir"], _message(event["dir"], *next(iter(event["message"].items()))))
        for event in transcript(name)["messages"]
        if "message" in event
    ]


def said_by(side: str, name: str) -> list[Message]:
    return [message for from_side, message in messages(name) if from_side == side]
