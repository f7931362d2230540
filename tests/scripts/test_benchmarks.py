"""The harness of scripts/bench. Whether each benchmark runs is seen by `scripts/bench --tiny` in .ci/run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio

from benchmarks import command, repair_rivals, rivals, watch, watch_etcd
from benchmarks.load import cpu_seconds, load, percentiles
from benchmarks.nodes import BenchmarkError, record
from benchmarks.scale import FULL, TINY, Scale
from gossipnode.concurrency.nursery_errors import one_error

ONE_REQUEST = replace(TINY, load_seconds=1e-9, warm_up_seconds=0.0)


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs scripts/bench in this process."""

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as caught:
            command.main(list(arguments))
        said = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Ended(caught.value.code, said.out, said.err)

    return run


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Scale]]:
    """Puts benchmarks that do nothing in place of all; gives those that ran, and their scales."""
    found: list[tuple[str, Scale]] = []

    def fake(name: str) -> command.Benchmark:
        async def benchmark(scale: Scale) -> dict[str, object]:
            found.append((name, scale))
            return {"figure": 1}

        return benchmark

    monkeypatch.setattr(command, "BENCHMARKS", {name: fake(name) for name in command.BENCHMARKS})
    return found


def test_all_but_the_longest_run_by_default(bench: Any, ran: list[tuple[str, Scale]]) -> None:
    ended = bench()
    assert ended.code == 0
    assert ran == [(name, FULL) for name in command.BENCHMARKS if name != "million"]
    figures = json.loads(ended.out)
    assert figures.keys() == {"machine", "scale", *(name for name, _ in ran)}
    assert figures["scale"] == "full"
    assert figures["repair"] == {"figure": 1}


def test_every_one_runs_at_a_tiny_scale(bench: Any, ran: list[tuple[str, Scale]]) -> None:
    ended = bench("--tiny")
    assert ran == [(name, TINY) for name in command.BENCHMARKS]
    assert json.loads(ended.out)["scale"] == "tiny"


def test_those_that_are_named(bench: Any, ran: list[tuple[str, Scale]]) -> None:
    bench("million", "help", "--records", "7")
    assert ran == [(name, replace(FULL, records=7)) for name in ("million", "help")]


def test_one_that_does_not_exist(bench: Any) -> None:
    ended = bench("nothing")
    assert (ended.code, ended.out) == (2, "")
    assert "'nothing'" in ended.err


def test_one_that_fails_is_named_in_one_line(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise BenchmarkError("import refused: no room")

    async def benchmark(_: Scale) -> dict[str, object]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
        return {}

    monkeypatch.setattr(command, "BENCHMARKS", {"import": benchmark})
    ended = bench("import")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == ["import ...", "Error: import: import refused: no room"]


async def test_one_that_hangs(autojump_clock: trio.abc.Clock) -> None:
    async def benchmark(_: Scale) -> dict[str, object]:
        await trio.sleep_forever()
        return {}

    with pytest.raises(BenchmarkError, match="did not end within 120 s"):
        await command.limited(benchmark, TINY)


async def test_help_time_is_measured_on_a_process() -> None:
    figures = await command.help_time(TINY)
    assert isinstance(figures["seconds"], float)


# --- load ---


def test_percentiles_of_times_in_any_order() -> None:
    took = [number / 1000 for number in range(100, 0, -1)]
    assert percentiles(took) == {"p50_ms": 50.5, "p99_ms": 100.0}
    assert percentiles([0.002]) == {"p50_ms": 2.0, "p99_ms": 2.0}


async def test_load_asks_at_least_once_and_never_twice_the_same() -> None:
    asked: list[int] = []

    async def ask(number: int) -> None:
        asked.append(number)
        await trio.lowlevel.checkpoint()

    figures = await load(ask, 3, {"self": os.getpid()}, ONE_REQUEST)
    assert len(set(asked)) == len(asked) >= 2
    assert figures["clients"] == 3
    assert set(figures["cpu_us"]) == {"self", "clients"}  # type: ignore[call-overload]


async def test_the_error_of_a_request_ends_the_load() -> None:
    async def ask(_: int) -> None:
        raise BenchmarkError("refused")

    with pytest.raises(BenchmarkError, match="refused"), one_error():
        await load(ask, 2, {}, ONE_REQUEST)


def test_the_cpu_time_of_a_process() -> None:
    assert cpu_seconds(os.getpid()) > 0


def test_a_record_has_about_2_kb() -> None:
    sizes = [len(record(number)) for number in range(20)]
    assert min(sizes) > 1900
    assert max(sizes) < 2200


def test_another_revision_is_another_content() -> None:
    assert record(3) != record(3, 1)
    assert record(3) == record(3)


# --- rivals ---


async def test_a_rival_that_is_not_installed_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert await rivals.rivals(TINY) == {
        "redis": {"skipped": "redis-server is not installed"},
        "etcd": {"skipped": "etcd is not installed"},
    }


def test_requests_to_redis() -> None:
    assert rivals._redis_get(7) == (b"*2\r\n$3\r\nGET\r\n$2\r\nk7\r\n", 2)
    request, lines = rivals._set_and_wait(7)
    assert request.startswith(b"*3\r\n$3\r\nSET\r\n$2\r\nk7\r\n$2048\r\n")
    assert request.endswith(b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n")
    assert lines == 2


@pytest.mark.parametrize(
    ("size", "length"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (2048, b"\x80\x10")]
)
def test_fields_of_requests_to_etcd(size: int, length: bytes) -> None:
    assert rivals.etcd_field(2, b"x" * size) == b"\x12" + length + b"x" * size


def test_ratios_are_of_what_both_have() -> None:
    ours = {name: {"seconds": 3.0} for name in repair_rivals.SCENARIOS}
    assert repair_rivals.ratios(ours, {"skipped": "etcd is not installed"}) == {}
    theirs = {"missed": {"seconds": 1.5}, "diverged": {"skipped": "cannot"}}
    assert repair_rivals.ratios(ours, theirs) == {"missed": 2.0}


def test_a_number_in_a_message_of_etcd() -> None:
    message = b"\x0a\x03abc" + b"\x10\x05" + b"\x38\xac\x02"
    assert [repair_rivals.varint_field(message, number) for number in (2, 7, 4)] == [5, 300, 0]


async def test_watches_of_etcd_are_skipped_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    skipped = await watch_etcd.watch_etcd(TINY)
    assert skipped == {"skipped": "etcd is not installed"}
    assert watch.ratios({"few": {"p50_ms": 3.0}}, skipped) == {}


def test_ratios_of_watches() -> None:
    ours = {load: dict.fromkeys(names, 3.0) for load, names in watch.RATIOS.items()}
    theirs = {load: dict.fromkeys(names, 1.5) for load, names in watch.RATIOS.items()}
    theirs["resumed"]["node_cpu_seconds"] = 0.0
    found = watch.ratios(ours, theirs)
    assert found["few"] == {"p50_ms": 2.0, "p99_ms": 2.0}
    assert found["resumed"] == {"seconds": 2.0}


def test_the_revision_in_an_answer_of_etcd() -> None:
    assert watch_etcd.revision_of(b"\x0a\x05\x08\x07\x18\xac\x02" + b"\x12\x00") == 300
    with pytest.raises(BenchmarkError, match="without a header"):
        watch_etcd.revision_of(b"\x12\x00")
