"""Who counts as one caller."""

from __future__ import annotations

import pytest

from gossipnode.concurrency.shares import Caller
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.callers import caller_of
from gossipnode.rpc import CallContext, ReplyBudget
from tests.concurrency.accounts import account


@pytest.mark.parametrize(
    ("names", "said", "address", "caller"),
    [
        (("a", "a.example"), "a", "10.0.0.1:4711", Caller("a", member=True)),
        (("a", "b"), "b", "10.0.0.1:4711", Caller("b", member=True)),
        (("b", "a"), "mallory", "10.0.0.1:4711", Caller("a b", member=True)),
        (("app",), "", "10.0.0.1:4711", Caller("app")),
        (("app",), "a", "10.0.0.1:4711", Caller("app")),
        ((), "a", "10.0.0.1:4711", Caller("a at 10.0.0.1", member=True)),
        ((), "mallory", "10.0.0.1:4711", Caller("10.0.0.1")),
        ((), "", "[2001:db8::1]:4711", Caller("[2001:db8::1]")),
        ((), "", "unix", Caller("unix")),
    ],
)
def test_a_caller_is_told_by_its_certificate_or_its_address(
    names: tuple[str, ...], said: str, address: str, caller: Caller
) -> None:
    call = CallContext("/s/m", {call_metadata.NODE: said}, address, names, None, ReplyBudget(1, account()))
    assert caller_of(call, {"a", "b"}) == caller


def test_more_connections_make_no_more_callers() -> None:
    calls = [
        CallContext("/s/m", {}, f"10.0.0.1:{port}", (), None, ReplyBudget(1, account())) for port in (1, 2)
    ]
    assert len({caller_of(call, {"a"}) for call in calls}) == 1
