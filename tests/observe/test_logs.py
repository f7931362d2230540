"""What a node says on stderr."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from gossipnode.observe.logs import configure_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("gossipnode").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def test_a_line_of_a_round_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(json=True)
    log = structlog.get_logger("gossipnode.ring").bind(round="r1", hop=2, peer="b", group="sw", shard=0)
    log.info("hop ended", outcome="equal")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "hop ended",
        "level": "info",
        "logger": "gossipnode.ring",
        "round": "r1",
        "hop": 2,
        "peer": "b",
        "group": "sw",
        "shard": 0,
        "outcome": "equal",
    }


def test_what_libraries_log_takes_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(json=True)
    logging.getLogger("gossipnode.rpc").warning("connection of %s ended: %s", "peer", "idle")
    said = json.loads(capsys.readouterr().err)
    assert (said["event"], said["level"], said["logger"]) == (
        "connection of peer ended: idle",
        "warning",
        "gossipnode.rpc",
    )


def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", json=True)
    structlog.get_logger("gossipnode.ring").debug("hop started")
    logging.getLogger("gossipnode.rpc").debug("idle")
    logging.getLogger("somebody.else").info("chatter")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(json=False)
    structlog.get_logger("gossipnode.node").info("ready", address="127.0.0.1:7400")
    said = capsys.readouterr().err
    assert "ready" in said
    assert "address=127.0.0.1:7400" in said
    assert not said.startswith("{")
