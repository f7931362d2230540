"""A state is told when it changes."""

from __future__ import annotations

import logging

import structlog
import structlog.testing

from gossipnode.node.local.told_states import TOLD_MAX_THINGS, ToldStates


def levels(logs: list[structlog.typing.EventDict]) -> str:
    return "".join(log["log_level"][0] for log in logs)


def test_a_state_is_told_when_it_changes_and_otherwise_to_those_who_debug() -> None:
    with structlog.testing.capture_logs() as logs:
        told = ToldStates(structlog.get_logger())
        for reason in ("refused", "refused", "hangs", "refused"):
            told.tell("b", "not filled", reason=reason, level=logging.WARNING, peer="b")
        told.tell("c", "not filled", reason="refused")
        told.is_over("b")
        told.tell("b", "not filled", reason="refused")
        told.is_over("never told of")
    assert levels(logs) == "wdwwii"
    assert logs[0] == {"event": "not filled", "reason": "refused", "peer": "b", "log_level": "warning"}


def test_things_that_are_known_are_bounded() -> None:
    with structlog.testing.capture_logs() as logs:
        told = ToldStates(structlog.get_logger())
        for thing in (*range(TOLD_MAX_THINGS), 0, "one more", 0, 1):
            told.tell(thing, "down", reason="refused")
    # The last one was told longest ago, and made room.
    assert levels(logs) == TOLD_MAX_THINGS * "i" + "didi"
