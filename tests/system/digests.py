"""The digests of the protocol, computed from its definition with none of the product's code.

Canonical JSON is written by Google's json_format and the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import xxhash
from google.protobuf import json_format

from tests.system.held_records import Held

SLOTS = 32


def canonical_json(message: Any) -> str:
    """ProtoJSON in field order, without spaces."""
    return json.dumps(json_format.MessageToDict(message), ensure_ascii=False, separators=(",", ":"))


def leaf_sha(held: Held) -> str:
    return hashlib.sha512(f"{canonical_json(held.message)}{held.delete_time}".encode()).hexdigest()


def slot_of(text: str) -> int:
    return int(xxhash.xxh64_intdigest(text.encode(), seed=0) % SLOTS)


def leaves_by_slot(records: Iterable[Held]) -> dict[int, list[tuple[Held, str]]]:
    """Each slot's records with their digests, in the order of the tree."""
    slots: dict[int, list[tuple[Held, str]]] = {}
    for held in sorted(records, key=lambda held: held.key):
        slots.setdefault(slot_of(held.text), []).append((held, leaf_sha(held)))
    return dict(sorted(slots.items()))


def slot_shas(records: Iterable[Held]) -> dict[int, str]:
    return {
        slot: hashlib.sha512("".join(sha for _, sha in leaves).encode()).hexdigest()
        for slot, leaves in leaves_by_slot(records).items()
    }


def root_sha(records: Iterable[Held]) -> str:
    shas = slot_shas(records)
    return hashlib.sha512("".join(shas.values()).encode()).hexdigest() if shas else ""
