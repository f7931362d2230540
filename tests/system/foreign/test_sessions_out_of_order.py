"""A stock gRPC client that says the messages of a session in the wrong order, or ends it too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.system.foreign.foreign_script import ForeignScript
from tests.system.foreign.foreign_session import WAIT_NEXT, request_of, root_request
from tests.system.held_records import held_record, sync_of
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import repairs

pytestmark = pytest.mark.slow


def slots(*numbers: int) -> Any:
    made = [repairs.TreeSlotSHA(slot=number, value="0" * 128) for number in numbers]
    return request_of(tree_slots=repairs.TreeSlots(slot_sha=made))


ROOT = root_request("g", 0, "0" * 128)
ASKED = request_of(property_missing=repairs.PropertyMissing(entity="g/n/x"))
GIVEN = request_of(property_sync=sync_of(held_record("g", "x", 1)))
NOTHING = repairs.RepairRequest()


@pytest.mark.parametrize(
    "message", [slots(1), WAIT_NEXT, ASKED, GIVEN], ids=["slots", "wait", "missing", "sync"]
)
def test_the_root_comes_first(stock: Stock, group: str, message: Any) -> None:
    with ForeignScript(stock, group, []) as script:
        script.say(message)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "expected tree_root"):
            script.next()


@pytest.mark.parametrize("message", [ROOT, WAIT_NEXT, ASKED], ids=["root", "wait", "missing"])
def test_slots_come_after_the_verdict(stock: Stock, group: str, message: Any) -> None:
    with ForeignScript(stock, group, [held_record(group, "x", 1)]) as script:
        script.verdict()
        script.say(message)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "expected tree_slots"):
            script.next()


SLOTS_REFUSED = [
    *(((numbers), "expected ascending") for numbers in [(3, 3), (4, 3), (-1,), (-(2**31),)]),
    *(((number,), "another number of slots than 32") for number in (32, 2**31 - 1)),
]


@pytest.mark.parametrize(("numbers", "words"), SLOTS_REFUSED, ids=str)
def test_slots_out_of_range_or_order(stock: Stock, group: str, numbers: tuple[int, ...], words: str) -> None:
    with ForeignScript(stock, group, [held_record(group, "x", 1)]) as script:
        script.verdict()
        script.say(slots(*numbers))
        with refused(grpc.StatusCode.INVALID_ARGUMENT, words):
            script.next()


@pytest.mark.parametrize("message", [ROOT, slots(1), slots()], ids=["root", "slots", "no slots"])
def test_the_wait_comes_after_a_page(stock: Stock, group: str, message: Any) -> None:
    with ForeignScript(stock, group, [held_record(group, "x", 1)]) as script:
        script.begin()
        assert script.next_page().nodes
        script.say(message)
        with refused(
            grpc.StatusCode.INVALID_ARGUMENT, "expected property_missing, property_sync or wait_next_differ"
        ):
            script.next()


@pytest.mark.parametrize("message", [ROOT, slots(1), slots()], ids=["root", "slots", "no slots"])
def test_the_wait_comes_after_the_last_page(stock: Stock, group: str, message: Any) -> None:
    with ForeignScript(stock, group, [held_record(group, "x", 1)]) as script:
        script.begin()
        while script.next_page().nodes:
            script.say(WAIT_NEXT)
        script.say(message)
        with refused(
            grpc.StatusCode.INVALID_ARGUMENT, "expected property_missing, property_sync or wait_next_differ"
        ):
            script.next()


def _before_anything(script: ForeignScript) -> None:
    script.half_close()


def _after_some_slots(script: ForeignScript) -> None:
    script.verdict()
    script.say(slots(1))
    script.half_close()


def _before_a_wait(script: ForeignScript) -> None:
    script.begin()
    assert script.next_page().nodes
    script.half_close()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (_before_anything, "tree_root"),
        (_after_some_slots, "tree_slots"),
        (_before_a_wait, "wait_next_differ"),
    ],
)
def test_a_client_that_ends_too_early(
    stock: Stock, group: str, steps: Callable[[ForeignScript], None], expected: str
) -> None:
    with ForeignScript(stock, group, [held_record(group, "x", 1)]) as script:
        steps(script)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "the client ended the session", expected):
            script.next()


def test_a_message_that_says_nothing(stock: Stock, group: str) -> None:
    with ForeignScript(stock, group, []) as script:
        script.say(NOTHING)
        with refused(grpc.StatusCode.INVALID_ARGUMENT):
            script.next()


def test_a_client_that_only_wants_to_know(stock: Stock, group: str) -> None:
    """It ends its half after the verdict, and the server ends the stream without an error."""
    with ForeignScript(stock, group, [held_record(group, "x", 1)]) as script:
        script.verdict()
        script.half_close()
        assert script.next() is None
        assert script.call.code() is grpc.StatusCode.OK
