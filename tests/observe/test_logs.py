"""What a node says on stderr."""

from __future__ import annotations

import errno
import io
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
    configure_logs(form="json")
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
    configure_logs(form="json")
    logging.getLogger("gossipnode.rpc").warning("connection of %s ended: %s", "peer", "idle")
    said = json.loads(capsys.readouterr().err)
    assert (said["event"], said["level"], said["logger"]) == (
        "connection of peer ended: idle",
        "warning",
        "gossipnode.rpc",
    )


def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    structlog.get_logger("gossipnode.ring").debug("hop started")
    logging.getLogger("gossipnode.rpc").debug("idle")
    logging.getLogger("somebody.else").info("chatter")
    assert capsys.readouterr().err == ""


def test_each_level_leaves_out_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    for level, expected in (("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")):
        configure_logs(level, "json")
        for log in (structlog.get_logger("gossipnode.ring"), logging.getLogger("gossipnode.rpc")):
            for method in ("debug", "info", "warning", "error"):
                getattr(log, method)(method)
        logging.getLogger("somebody.else").warning("w")
        said = [json.loads(line)["event"][0] for line in capsys.readouterr().err.splitlines()]
        assert "".join(said) == 2 * expected + ("w" if level != "error" else "")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_field_that_says_nothing_is_left_out(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logs(form=form)
    log = structlog.get_logger("gossipnode.session").bind(hop="", reason="", peer=None, round="r1")
    log.info("session served", skipped=0, whole=False)
    said = capsys.readouterr().err
    assert not [field for field in ("hop", "reason", "peer") if field in said]
    assert not [field for field in ("round", "skipped", "whole") if field not in said]


def test_a_terminal_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form="console")
    structlog.get_logger("gossipnode.node").info("ready", address="127.0.0.1:7400")
    said = capsys.readouterr().err
    assert "ready" in said
    assert "address=127.0.0.1:7400" in said
    assert not said.startswith("{")


NASTY = "\x1b[2J\x9b31m\r"


def test_no_value_of_a_line_plays_tricks_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form="console")
    log = structlog.get_logger("gossipnode.node")
    log.info(f"ready{NASTY}", group=NASTY, many=[NASTY], **{f"key{NASTY}": 1})
    logging.getLogger("gossipnode.rpc").warning("connection of %s ended", NASTY)
    try:
        raise ValueError(NASTY)
    except ValueError:
        log.exception("defect")
    said = capsys.readouterr().err
    assert "ready\\x1b[2J\\x9b31m\\r" in said
    assert "ValueError: \\x1b[2J" in said
    assert "Traceback (most recent call last):\n" in said
    assert all(line.isprintable() for line in said.split("\n"))


def test_json_keeps_its_value_and_holds_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form="json")
    structlog.get_logger("gossipnode.node").info("ready", group=NASTY, name="\udcff")
    said = capsys.readouterr().err.rstrip("\n")
    assert said.isprintable()
    assert (json.loads(said)["group"], json.loads(said)["name"]) == (NASTY, "\udcff")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_long_value_is_shortened_and_says_so(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logs(form=form)
    structlog.get_logger("gossipnode.node").info("ready", group="x" * 100_000, many=["y" * 100_000])
    said = capsys.readouterr().err
    assert len(said) < 10_000
    assert said.count("... (96,00") == 2


def test_lines_may_be_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    configure_logs(form="json", write=lines.append)
    structlog.get_logger("gossipnode.node").info("ready")
    logging.getLogger("gossipnode.rpc").warning("%d", "no number")
    (line,) = lines
    assert json.loads(line)["event"] == "ready"
    assert capsys.readouterr().err == ""


class _Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_stderr_does_not_take_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", full := _Full())
    configure_logs(form="json")
    monkeypatch.setattr("sys.stderr", told := io.StringIO())
    structlog.get_logger("gossipnode.node").info("ready")
    assert (full.getvalue(), told.getvalue()) == ("", "")
