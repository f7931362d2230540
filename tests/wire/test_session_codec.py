"""The messages of a tree session, against sessions recorded between two peers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.session.messages import (
    AnswerTo,
    ClientMessage,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    RootCompare,
    ServerMessage,
    TreeRoot,
    TreeSlots,
    Unreadable,
    WaitNextDiffer,
)
from gossipnode.core.session.tree import SlotDigest
from gossipnode.wire.generated.bp.banyandb.property import v1 as bp
from gossipnode.wire.generated.pb.banyandb.property.v1 import property_pb2, repair_pb2
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.session_codec import (
    decode_client_message,
    decode_server_message,
    encode_client_message,
    encode_server_message,
)
from gossipnode.wire.wire_errors import WireError
from tests.records import record
from tests.wire.support import TEXTS, TRANSCRIPTS, examples, field, payloads, transcript_messages

RECORDS = [decode_record(payload, index % 2 * 10**18) for index, payload in enumerate(payloads("types"))]
SHAS = st.text("0123456789abcdef", max_size=128)
SLOTS = st.integers(-(2**31), 2**31 - 1)
CLIENT = st.one_of(
    st.builds(TreeRoot, TEXTS, st.integers(0, 2**32 - 1), SHAS),
    st.lists(st.builds(SlotDigest, SLOTS, SHAS), max_size=4).map(lambda page: TreeSlots(tuple(page))),
    st.builds(PropertyMissing, TEXTS),
    st.builds(PropertySync, st.sampled_from(RECORDS)),
    st.just(WaitNextDiffer()),
)
SERVER = st.one_of(
    st.builds(RootCompare, st.booleans(), st.booleans()),
    st.lists(st.builds(PageLeaf, SLOTS, st.booleans(), TEXTS, SHAS), max_size=4).map(
        lambda page: DifferSummary(tuple(page))
    ),
    st.builds(PropertyAnswer, st.sampled_from(AnswerTo), st.sampled_from(RECORDS)),
)


@pytest.mark.slow
@examples(100)
@given(CLIENT)
def test_client_messages_come_back_as_they_went(message: ClientMessage) -> None:
    data = encode_client_message(message)
    assert decode_client_message(data) == message
    assert bytes(bp.RepairRequest().parse(data)) == data
    assert repair_pb2.RepairRequest.FromString(data).SerializeToString() == data


@pytest.mark.slow
@examples(100)
@given(SERVER)
def test_server_messages_come_back_as_they_went(message: ServerMessage) -> None:
    data = encode_server_message(message)
    assert decode_server_message(data) == message
    assert bytes(bp.RepairResponse().parse(data)) == data
    assert repair_pb2.RepairResponse.FromString(data).SerializeToString() == data


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_recorded_session_is_read_and_written_again_to_the_byte(name: str) -> None:
    kinds: list[str] = []
    for side, seen, data in transcript_messages(name):
        read: Any
        if side == "client":
            read, again = decode_client_message(data), encode_client_message(decode_client_message(data))
        else:
            read, again = decode_server_message(data), encode_server_message(decode_server_message(data))
        assert again == data
        kinds.append(type(read).__name__)
        _check_values(read, seen)
    assert kinds[:2] == ["TreeRoot", "RootCompare"]


def _check_values(read: Any, seen: dict[str, Any]) -> None:
    (name, value), *rest = seen.items()
    assert not rest
    match read:
        case TreeRoot(group, shard, sha):
            assert (name, group, sha) == ("tree_root", value["group"], value.get("root_sha", ""))
            assert shard == value.get("shard_id", 0)
        case RootCompare(found, match):
            assert (found, match) == (value.get("tree_found", False), value.get("root_sha_match", False))
        case TreeSlots(slots):
            assert slots == tuple((slot.get("slot", 0), slot["value"]) for slot in value.get("slot_sha", ()))
        case DifferSummary(leaves):
            assert [(leaf.slot, leaf.exists, leaf.entity, leaf.sha) for leaf in leaves] == [
                (
                    node.get("slot_index", 0),
                    node.get("exists", False),
                    node.get("entity", ""),
                    node.get("sha", ""),
                )
                for node in value.get("nodes", ())
            ]
        case PropertyMissing(entity):
            assert entity == value["entity"]
        case PropertySync(record):
            _check_record(record, value)
        case PropertyAnswer(answer_to, record):
            assert value["from"].endswith(answer_to.name)
            _check_record(record, value["property"])
        case other:
            assert (other, name, value) == (WaitNextDiffer(), "wait_next_differ", {})


def _check_record(record: Record | Unreadable, seen: dict[str, Any]) -> None:
    assert isinstance(record, Record)
    metadata = seen["property"]["metadata"]
    assert record.entity == Entity(metadata["group"], metadata["name"], seen["property"]["id"])
    assert record.version.mod_revision == int(metadata["mod_revision"])
    assert record.version.delete_time == int(seen.get("delete_time", 0))


def test_the_id_of_a_sync_names_the_record_and_is_not_read() -> None:
    sent = record("n/a/b", group="g", revision=7, delete_time=9)
    request = repair_pb2.RepairRequest.FromString(encode_client_message(PropertySync(sent)))
    assert request.property_sync.id == b"g/n/a/b/7"
    assert request.property_sync.delete_time == 9
    request.property_sync.id = b"\xff other"
    assert decode_client_message(request.SerializeToString()) == PropertySync(sent)


def test_a_page_may_be_empty_and_is_there_all_the_same() -> None:
    assert encode_server_message(DifferSummary(())) == b"\x12\x00"
    assert decode_server_message(b"\x12\x00") == DifferSummary(())
    assert decode_client_message(b"\x12\x00") == TreeSlots(())
    assert decode_client_message(b"\x2a\x00") == WaitNextDiffer()
    assert decode_server_message(b"\x0a\x00") == RootCompare(False, False)


def sync_of(message: property_pb2.Property, delete_time: int = 0) -> bytes:
    request = repair_pb2.RepairRequest()
    request.property_sync.property.CopyFrom(message)
    request.property_sync.delete_time = delete_time
    return request.SerializeToString()


def sample() -> property_pb2.Property:
    return property_pb2.Property.FromString(record("n/i", group="g").payload)


def test_what_no_replica_may_store_is_unreadable_and_no_error() -> None:
    slash, late, never = sample(), sample(), sample()
    slash.metadata.group = "a/b"
    late.metadata.mod_revision = 2**62 + 1
    never.updated_at.seconds = 2**50
    faults = {
        "metadata: missing": sync_of(property_pb2.Property(id="x")),
        'holds a "/"': sync_of(slash),
        "mod_revision": sync_of(late),
        "delete_time": sync_of(sample(), -1),
        "updated_at": sync_of(never),
    }
    for text, data in faults.items():
        message = decode_client_message(data)
        assert isinstance(message, PropertySync)
        assert isinstance(message.record, Unreadable)
        assert text in message.record.problem
    answer = b"\x1a\x04\x08\x01\x12\x00"
    assert decode_server_message(answer) == PropertyAnswer(
        AnswerTo.MISSING, Unreadable("Property.metadata: missing")
    )
    assert decode_server_message(b"\x1a\x02\x08\x01") == decode_server_message(answer)  # without the record


def test_an_unreadable_record_is_never_sent_on() -> None:
    with pytest.raises(WireError, match="never sent on: why"):
        encode_client_message(PropertySync(Unreadable("why")))


def test_an_unknown_from_counts_as_unspecified() -> None:
    record = RECORDS[0]
    data = encode_server_message(PropertyAnswer(AnswerTo.SYNC, record)).replace(
        b"\x08\x02\x12", b"\x08\x09\x12", 1
    )
    assert decode_server_message(data) == PropertyAnswer(AnswerTo.UNSPECIFIED, record)


@pytest.mark.parametrize("data", [b"", b"\x7a\x01x"])
def test_an_empty_envelope_is_an_error_that_says_what_was_expected(data: bytes) -> None:
    with pytest.raises(
        WireError, match=r"RepairRequest\.data: nothing in it; expected one of tree_root, tree_slots"
    ):
        decode_client_message(data)
    with pytest.raises(WireError, match=r"RepairResponse\.data: .* root_compare, differ_tree_summary"):
        decode_server_message(data)


def test_a_malformed_payload_or_page_is_an_error() -> None:
    with pytest.raises(WireError, match="Property: malformed"):
        decode_client_message(b"\x22\x04\x12\x02\x0a\x05")
    with pytest.raises(WireError, match=r"RepairResponse\.differ_tree_summary: malformed"):
        decode_server_message(b"\x12\x02\x12\x05")
    with pytest.raises(WireError, match=r"RepairResponse\.differ_tree_summary\.nodes\[0\]\.sha: wire type 0"):
        decode_server_message(b"\x12\x04\x12\x02\x20\x01")


def test_the_leaves_of_a_page_are_made_when_they_are_looked_at() -> None:
    leaves = [PageLeaf(at, True, f"g/n/{at}", "ab") for at in range(5)]
    page = decode_server_message(encode_server_message(DifferSummary(tuple(leaves))))
    assert isinstance(page, DifferSummary)
    assert page == DifferSummary(tuple(leaves))
    assert page != DifferSummary(tuple(leaves[1:]))
    assert hash(page) == hash(DifferSummary(tuple(leaves)))
    assert (page.leaves[4], list(page.leaves[1:3]), len(page.leaves)) == (leaves[4], leaves[1:3], 5)
    assert page.leaves[0] is not page.leaves[0]


def test_a_number_that_does_not_fit_is_not_sent() -> None:
    with pytest.raises(WireError, match="RepairRequest"):
        encode_client_message(TreeRoot("g", -1, ""))
    with pytest.raises(WireError, match="RepairResponse"):
        encode_server_message(DifferSummary((PageLeaf(2**31, True, "", ""),)))


@pytest.mark.slow
@examples(200)
@given(st.binary(max_size=60), st.sampled_from(RECORDS[:6]), st.data())
def test_whatever_comes_is_a_message_or_a_wire_error(
    noise: bytes, record: Record, data: st.DataObject
) -> None:
    valid = encode_client_message(PropertySync(record))
    at = data.draw(st.integers(0, len(valid)))
    for candidate in (noise, valid[:at], valid[:at] + noise[:2] + valid[at + 2 :]):
        for read in (decode_client_message, decode_server_message):
            with suppress(WireError):
                read(candidate)


def test_a_property_with_too_many_tags_is_left_out_of_a_session_that_goes_on() -> None:
    crowded = RECORDS[0].payload + b"\x1a\x00" * 500_000
    sync = field(2, crowded)
    for message in (
        decode_client_message(field(4, sync)),
        decode_server_message(field(3, field(2, sync))),
        decode_client_message(field(4, sync + field(9, b""))),
    ):
        assert isinstance(message, (PropertySync, PropertyAnswer))
        assert message.record == Unreadable("Property.tags: more than 4096 elements")
