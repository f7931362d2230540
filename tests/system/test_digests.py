"""The digests that `digests.py` computes are those that were recorded from a running peer."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from tests.system.digests import canonical_json, leaves_by_slot, root_sha, slot_shas
from tests.system.held_records import Held

VECTORS = Path(__file__).parent.parent / "golden" / "vectors"


@pytest.mark.parametrize("name", ["empty", "one", "order", "tombstones", "types"])
def test_our_own_digests_are_those_of_the_peer(name: str) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    records = []
    for record in vector["records"]:
        message = Property.FromString(base64.b64decode(record["property"]))
        assert canonical_json(message) == record["canonical_json"]
        records.append(Held(message, record["delete_time"]))
    assert root_sha(records) == vector["root"]
    assert slot_shas(records) == {slot["slot"]: slot["sha"] for slot in vector["slots"]}
    leaves = [
        {"entity": held.text, "slot": slot, "sha": sha}
        for slot, leaves in leaves_by_slot(records).items()
        for held, sha in leaves
    ]
    assert leaves == vector["leaves"]
