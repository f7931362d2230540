"""The parts of scripts/hostile that need no node: frames, what is heard, verdicts and tables."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, SettingsFrame

from attacks import command, frames, innocents
from attacks.attack import Attacks, Scene
from attacks.attacker import Ending, Listener
from attacks.verdict import Memory, Outcome, markdown, problems_of, row_of, table

FIGURES = {
    kind: {"calls": 10, "errors": 0, "first_error": "", "median_ms": 2.0, "slowest_ms": 20.0}
    for kind in innocents.PAUSES_SECONDS
}
MEMORY = Memory(50.0, 100.0, 60.0)
OUTCOME = Outcome("ping-storm", FIGURES, MEMORY, "1 opened, 1 closed", 50.0)


def slower(kind: str, **changed: object) -> dict[str, dict[str, object]]:
    return {**FIGURES, kind: {**FIGURES[kind], **changed}}


def parsed(data: bytes) -> list[Frame]:
    found = []
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + size]))
        found.append(frame)
        data = data[9 + size :]
    return found


# --- frames ---


def test_a_call_is_what_a_stock_client_would_send() -> None:
    head, body = parsed(frames.request(3, "/a.B/C", b"abc", ("x", "y")))
    assert isinstance(head, HeadersFrame)
    fields = dict(Decoder().decode(head.data))
    assert (fields[":path"], fields["x"], head.stream_id) == ("/a.B/C", "y", 3)
    assert isinstance(body, DataFrame)
    assert body.data == b"\0\0\0\0\3abc"
    assert "END_STREAM" in body.flags


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 40_000])
def test_data_is_cut_into_frames(size: int) -> None:
    parts = parsed(frames.data_frames(1, bytes(size), end=True))
    assert b"".join(part.data for part in parts) == bytes(size)
    assert ["END_STREAM" in part.flags for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_setting_may_stand_again_and_again() -> None:
    data = frames.settings((1, 0), (1, 4096), (1, 0))
    assert isinstance(parsed(data)[0], SettingsFrame)
    assert len(data) == 9 + 3 * 6


def test_fields_of_protobuf() -> None:
    assert frames.field(1, b"ab") == b"\x0a\x02ab"
    assert frames.field(16, bytes(300))[:4] == b"\x82\x01\xac\x02"


# --- how a connection ended ---


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_what_is_heard_in_any_portions(portion: int) -> None:
    block = Encoder().encode([("grpc-status", "8"), ("grpc-message", "too large")])
    calm = int(ErrorCodes.ENHANCE_YOUR_CALM)
    data = (
        frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block)
        + frames.reset(3, calm)
        + frames.window_update(0, 100)
        + frames.window_update(1, 7)
        + GoAwayFrame(0, error_code=calm, additional_data=b"flood").serialize()
    )
    ending = Ending(opened=2, closed=1)
    listener = Listener(ending)
    for at in range(0, len(data), portion):
        listener.take(data[at : at + portion])
    assert ending.text() == (
        "2 opened, 1 closed; GOAWAY ENHANCE_YOUR_CALM flood x1; status 8 too large x1; "
        "RST ENHANCE_YOUR_CALM x1"
    )
    assert listener.window_bytes == 65_535 + 100


# --- verdicts ---


def test_a_calm_node_has_no_problem() -> None:
    assert problems_of(FIGURES, MEMORY, 50.0, FIGURES) == ()
    assert problems_of(slower("get", slowest_ms=100.0), MEMORY, 50.0, FIGURES) == ()


def test_each_problem_is_named() -> None:
    assert problems_of(slower("get", slowest_ms=101.0), MEMORY, 50.0, FIGURES) == (
        "get: 5 times the baseline's slowest",
    )
    failed = slower("apply", errors=2, first_error="RpcError: gone")
    assert problems_of(failed, MEMORY, 50.0, FIGURES) == ("apply: 2 errors, RpcError: gone",)
    grown = replace(MEMORY, highest=307.0)
    assert problems_of(FIGURES, grown, 50.0, FIGURES) == ("memory: 257 MB above its base",)


def test_the_baseline_is_not_measured_by_itself() -> None:
    assert problems_of(slower("get", slowest_ms=9999.0), MEMORY, 50.0, None) == ()


def test_tables() -> None:
    bad = replace(OUTCOME, name="x", problems=("get: 2 errors, gone", "memory: 300 MB above its base"))
    lines = table([OUTCOME, bad]).splitlines()
    assert [line.split()[0] for line in lines] == ["attack", "ping-storm", "x"]
    assert row_of(bad)[-2] == "get: 2 errors; memory: 300 MB above its base"
    rows = markdown([OUTCOME]).splitlines()
    assert rows[1].count("---") == rows[0].count("|") - 1
    assert "| ping-storm | 2.0 / 20.0 |" in rows[2]
    assert OUTCOME.describe()["verdict"] == "ok"


# --- innocents ---


def test_figures_of_what_was_seen() -> None:
    seen = innocents.Seen(calls=3, errors=1, first_error="gone", took_ms=[1.0, 5.0, 2.0])
    assert seen.figures()["median_ms"] == 2.0
    assert seen.figures()["slowest_ms"] == 5.0
    assert innocents.Seen().figures()["slowest_ms"] == 0.0


def test_a_request_for_innocents_is_json() -> None:
    request = innocents.Request("127.0.0.1", 7400, 3.0, ca="ca.pem")
    assert innocents.Request(**json.loads(innocents.as_json(request))) == request


async def test_errors_are_counted_with_the_first_one(autojump_clock: object) -> None:
    import trio

    stop, seen, calls = trio.Event(), innocents.Seen(), []

    async def once() -> None:
        calls.append(trio.current_time())
        if len(calls) == 4:
            stop.set()
        if len(calls) > 1:
            raise OSError(f"refused {len(calls)}")

    await innocents.client(once, 0.05, seen, stop)
    assert (seen.calls, seen.errors, seen.first_error) == (4, 3, "OSError: refused 2")
    assert len(seen.took_ms) == 4


# --- the command ---


def test_attacks_are_named_after_their_functions() -> None:
    attacks = Attacks()

    @attacks.add("does nothing", records=3)
    async def do_nothing(_: Scene) -> None: ...

    assert attacks["do-nothing"].records == 3


def test_the_list_names_every_attack(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(command.ATTACKS)
    assert len(command.ATTACKS) > 40


def test_an_attack_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "no such attack: nothing" in capsys.readouterr().err
