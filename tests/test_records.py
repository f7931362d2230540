"""The builders of records make what the product makes of the same input, in each form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gossipnode.core.model.property import Entity, check_record
from gossipnode.core.model.version import Version, payload_digest
from gossipnode.wire.property.payload import check_property, decode_record
from gossipnode.wire.property.property_edit import read_property, read_tags
from gossipnode.wire.wire_errors import UnstorableError
from tests.records import bare_record, entity, prop, record


def test_an_id_may_hold_slashes_and_a_name_is_needed() -> None:
    assert entity("n/1") == Entity("sw", "n", "1")
    assert entity("n/a/b", "g") == Entity("g", "n", "a/b")
    with pytest.raises(AssertionError, match="NAME/ID"):
        entity("1")


def test_a_property_is_one_that_a_client_may_send() -> None:
    of, parsed = check_property(prop("n/1", "g", a=1, b="x"))
    assert of == Entity("g", "n", "1")
    assert parsed.canonical == prop("n/1", "g", a=1, b="x")
    view = read_property(prop("n/1"))
    assert (view.entity, view.tags) == (entity("n/1"), {"k": "v"})
    assert (view.create_revision, view.mod_revision) == (0, 0)
    assert prop(entity("n/1"), a=1) == prop("n/1", a=1)


def test_a_record_holds_its_stamps_and_its_tags() -> None:
    made = record("n/1", revision=5, created=2, delete_time=7, group="g", key="x", n=None)
    assert made.entity == Entity("g", "n", "1")
    assert made.version == Version(5, 7, payload_digest(made.payload))
    assert made == decode_record(made.payload, 7)
    view = read_property(made.payload)
    assert (view.create_revision, view.mod_revision, view.tags) == (2, 5, {"key": "x", "n": None})
    assert read_tags(record("n/1").payload) == {"k": "v"}
    assert record("n/1") == record("n/1", revision=1, created=1, delete_time=0)


def test_a_record_that_no_replica_may_store_is_not_made() -> None:
    with pytest.raises(UnstorableError, match="mod_revision"):
        record("n/1", revision=-1)


def test_a_bare_record_has_any_payload_and_the_digest_of_it() -> None:
    made = bare_record("n/1", b"\xff", revision=5, delete_time=7, group="g")
    assert (made.entity, made.payload) == (Entity("g", "n", "1"), b"\xff")
    assert made.version == Version(5, 7, payload_digest(b"\xff"))
    assert bare_record(entity("n/1"), b"") == bare_record("n/1", b"")
    check_record(bare_record("n/1"))


def test_bare_records_differ_by_key_and_by_revision() -> None:
    made = [bare_record("n/1"), bare_record("n/2"), bare_record("n/1", revision=2)]
    assert len({each.version.digest for each in made}) == 3
    assert bare_record("n/1") == bare_record("n/1", revision=1)


def test_bare_records_need_no_wire() -> None:
    """The tests of the core run beside a copy of the core alone when its mutants are tried."""
    code = "import sys, tests.records as r; r.bare_record('n/1'); assert 'gossipnode.wire' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
